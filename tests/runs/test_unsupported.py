"""What W&B has and maskl has not: an error that says what to use instead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import maskl
from maskl.errors import MasklError, MissingName, NotSupported, StateError
from maskl.runs._unsupported import ABSENT, UnsupportedCall

pytestmark = pytest.mark.once

Start = Callable[..., maskl.Run]

CALLS = {name: member.instead for name, member in vars(maskl.Run).items() if isinstance(member, UnsupportedCall)}


def test_they_are_members_of_a_run() -> None:
    assert {"upsert_artifact", "finish_artifact"} <= set(CALLS)


@pytest.mark.parametrize("name", CALLS)
def test_a_call_says_what_to_use_instead(start: Start, name: str) -> None:
    run = start()
    for call in (getattr(run, name), getattr(maskl, name)):
        with pytest.raises(NotSupported) as caught:
            call("anything", keyword=1)
        assert str(caught.value) == f"{name} needs W&B's server, and maskl has none; instead: {CALLS[name]}"
        assert isinstance(caught.value, NotImplementedError)


def test_a_refused_call_leaves_the_run_as_it_was(start: Start) -> None:
    run = start()
    with pytest.raises(NotSupported):
        run.finish_artifact("model.pt")
    run.log({"a": 1})
    run.finish()
    assert maskl.open(run.dir).runs()[0].state == "finished"


@pytest.mark.parametrize("name", CALLS)
def test_calls_before_init_are_there_and_say_what_to_use_instead(name: str) -> None:
    assert hasattr(maskl, name)
    with pytest.raises(NotSupported, match=f"{name} needs W&B's server"):
        getattr(maskl, name)("anything")


#: what is a folder of the package is there once anything has imported it
FOLDERS = {path.name for path in Path(maskl.__file__).parent.iterdir() if path.is_dir()}


@pytest.mark.parametrize("name", sorted(ABSENT.keys() - FOLDERS))
def test_a_name_of_wandb_says_what_to_use_instead(name: str) -> None:
    assert not hasattr(maskl, name)
    assert getattr(maskl, name, None) is None
    with pytest.raises(MissingName) as caught:
        getattr(maskl, name)
    assert str(caught.value) == f"maskl has no {name}; instead: {ABSENT[name]}"
    assert caught.value.name == name
    assert isinstance(caught.value, AttributeError)
    assert isinstance(caught.value, NotSupported)


def test_a_name_is_told_by_whoever_imports_it() -> None:
    with pytest.raises(ImportError):
        from maskl import Api  # type: ignore[attr-defined]  # noqa: F401  # the import is the test


def test_other_names_are_unknown() -> None:
    with pytest.raises(AttributeError, match="module 'maskl' has no attribute 'nonsense'"):
        _ = maskl.nonsense
    assert not hasattr(maskl, "__path_of_no_one__")


@pytest.mark.parametrize("name", ["log", "define_metric", "watch", "unwatch", "alert", "link_model", "mark_preempting"])
def test_calls_that_need_a_run_say_so(name: str) -> None:
    with pytest.raises(StateError, match=rf"You must call maskl\.init\(\) before maskl\.{name}\(\)"):
        getattr(maskl, name)(*(() if name == "mark_preempting" else ("x",)))


def test_errors_have_the_names_that_wandb_code_catches() -> None:
    assert maskl.Error is MasklError
    assert issubclass(maskl.UsageError, maskl.Error)
    assert issubclass(maskl.CommError, maskl.Error)
    for base in (maskl.Error, maskl.UsageError):
        with pytest.raises(base):
            maskl.log({})
