"""What W&B has and maskl has not: an error that says what to use instead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import maskl
from maskl.errors import MasklError, MissingName, NotSupported, StateError
from maskl.runs._unsupported import ABSENT

pytestmark = pytest.mark.once

Start = Callable[..., maskl.Run]

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


@pytest.mark.parametrize("name", ["log", "watch", "alert", "link_model", "mark_preempting", "save", "use_artifact"])
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
