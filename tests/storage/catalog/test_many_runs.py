"""A store of many runs is listed without opening more than each document, and each folder once."""

from __future__ import annotations

import gc
import os
import shutil
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import pytest

import maskl
from maskl_storage.catalog import layout
from maskl_storage.disk import local

pytestmark = pytest.mark.once

RUNS = 5


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store of a few runs with a row and a mask each."""
    for number in range(RUNS):
        with maskl.init(dir=tmp_path, name=f"run {number}") as run:
            table = maskl.Table(columns=["n"])
            table.add_data(number)
            run.log({"t": table})
    return maskl.open(tmp_path).root


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each name was opened, by its last component, in a process that has read nothing yet."""
    monkeypatch.setattr(layout, "_known", OrderedDict())
    counts: Counter[str] = Counter()
    real = os.open

    def counted(path: Any, *args: Any, **more: Any) -> int:
        counts[os.fspath(path).rpartition("/")[2]] += 1
        return real(path, *args, **more)

    monkeypatch.setattr(os, "open", counted)
    return counts


@pytest.mark.skipif(not local.AT, reason="folders are not opened there")
def test_each_document_is_opened_once_and_folders_are_held_open(root: Path, opened: Counter[str]) -> None:
    runs = maskl.open(root).runs()
    assert len(runs) == RUNS
    folders = {name: count for name, count in opened.items() if name.startswith("run_id=")}
    assert len(folders) == RUNS
    assert set(folders.values()) == {2}  # that of its seals, and that of what its writers say
    assert opened["writer-0.json"] == RUNS
    assert (opened["seals"], opened["runs"]) == (1, 1)


@pytest.mark.skipif(not local.AT, reason="folders are not opened there")
def test_what_was_read_is_not_opened_again_and_what_changed_is(root: Path, opened: Counter[str]) -> None:
    store = maskl.open(root)
    first = store.runs()
    opened.clear()
    assert store.runs() == first
    assert not [name for name in opened if name.endswith(".json")]
    path = next(root.glob("runs/*/writer-0.json"))
    path.write_bytes(path.read_bytes() + b" " * 10)
    store.runs()
    assert [name for name in opened if name.endswith(".json")] == ["writer-0.json"]


@pytest.mark.skipif(not local.AT, reason="folders are not opened there")
def test_a_store_that_is_opened_again_is_known_and_another_in_its_place_is_not(
    root: Path, opened: Counter[str], tmp_path: Path
) -> None:
    first = maskl.open(root).runs()
    opened.clear()
    assert maskl.open(root).runs() == first
    assert not [name for name in opened if name.endswith(".json") and name != "maskl.json"]
    for path in (*root.glob("runs/*/writer-0.json"), *root.glob("seals/*/0-0.json")):
        before = shutil.copy2(path, tmp_path / "before.json")
        path.write_bytes(path.read_bytes().replace(b"1.1.0", b"x.1.0"))  # as many bytes, and the times of before
        shutil.copystat(before, path)
    with pytest.warns(maskl.errors.DamagedWarning):
        assert [run.name for run in maskl.open(root).runs()] != [run.name for run in first]
    with pytest.warns(maskl.errors.DamagedWarning):
        assert maskl.open(root).tables() == []
    shutil.move(root, tmp_path / "elsewhere")
    with maskl.init(dir=root, name="another") as run:
        run.log({"loss": 1})
    assert [run.name for run in maskl.open(root).runs()] == ["another"]


def test_few_stores_are_known_at_a_time(tmp_path: Path) -> None:
    for number in range(layout.KNOWN_STORES + 3):
        with maskl.init(dir=tmp_path / str(number), name=f"run {number}"):
            pass
        assert [run.name for run in maskl.open(tmp_path / str(number)).runs()] == [f"run {number}"]
    assert len(layout._known) == layout.KNOWN_STORES


@pytest.mark.skipif(not local.AT, reason="folders are not opened there")
def test_many_files_are_looked_at_with_each_folder_opened_once(root: Path, opened: Counter[str]) -> None:
    files = local.Folder(root)
    paths = [path.relative_to(root).as_posix() for path in root.glob("rows/*/*/*.parquet")]
    assert len(paths) == RUNS
    assert files.refused([*paths, "rows/table_name=t/run_id=none/0-0.parquet"]) == {}
    assert opened["rows"] == opened["table_name=t"] == 1
    Path(root / paths[0]).unlink()
    Path(root / paths[0]).symlink_to(root / paths[1])
    assert list(files.refused(paths)) == [paths[0]]


def test_the_collector_is_as_it_was_after_a_listing(root: Path) -> None:
    was = gc.isenabled()
    try:
        for enabled in (True, False):
            (gc.enable if enabled else gc.disable)()
            maskl.open(root).runs()
            assert gc.isenabled() is enabled
    finally:
        (gc.enable if was else gc.disable)()


def test_what_the_caller_had_frozen_stays_so(root: Path) -> None:
    gc.freeze()
    try:
        maskl.open(root).runs()
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
    maskl.open(root).runs()
    assert gc.get_freeze_count() == 0
