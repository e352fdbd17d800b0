"""Where the system knows no locks: what works, what is refused, and that it is said once."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

import maskl
from maskl.errors import MasklWarning, StateError
from maskl_storage.disk import locks

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def _no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "fcntl", None)
    monkeypatch.setattr(locks, "_warned", set())


def logged(directory: Path, run_id: str) -> maskl.Run:
    """Return a run that has logged a row, and is not finished."""
    run = maskl.init(id=run_id, dir=directory)
    run.log({"t": maskl.Table(["a"], [[1]]), "x": 1})
    return run


def test_who_writes_is_told_once_what_is_not_protected(tmp_path: Path) -> None:
    with pytest.warns(MasklWarning, match=r"locks do not work in .*compact and delete are refused"):
        logged(tmp_path, "a").finish()
    logged(tmp_path, "b").finish()  # warnings are errors here
    store = maskl.open(tmp_path)
    assert store.sql("SELECT count(*) FROM tables.t").fetchall() == [(2,)]
    assert store.recover() == []
    assert store.verify().faults == []


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda store: store.compact(), "locks do not work there: copy the store"),
        (lambda store: store.delete("a"), "locks do not work here"),
    ],
    ids=["compact", "delete"],
)
def test_what_cannot_be_done_safely_is_refused(
    tmp_path: Path, ask: Callable[[maskl.Store], object], words: str
) -> None:
    with pytest.warns(MasklWarning, match="locks do not work"):
        logged(tmp_path, "a").finish()
    with pytest.raises(StateError, match=words):
        ask(maskl.open(tmp_path))
    assert maskl.open(tmp_path).sql("SELECT count(*) FROM tables.t").fetchall() == [(1,)]


def test_what_a_killed_process_left_waits_for_who_says_that_it_is_gone(tmp_path: Path) -> None:
    with pytest.warns(MasklWarning, match="locks do not work"):
        run = logged(tmp_path / "live", "a")
    shutil.copytree(tmp_path / "live", tmp_path / "killed")
    run.finish()
    with pytest.warns(MasklWarning, match="maskl recover --force"):
        assert maskl.open(tmp_path / "killed").recover() == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (found,) = maskl.open(tmp_path / "killed").recover(force=True)
    assert (found.run_id, dict(found.rows)) == ("a", {"t": 1})
    assert maskl.open(tmp_path / "killed").sql("SELECT count(*) FROM tables.t").fetchall() == [(1,)]
