"""What only W&B's server could do: an error that says what to use instead, or one warning."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import maskl
from maskl.errors import MasklError, NotSupported, ServerOnlyWarning, StateError
from maskl.runs._unsupported import ABSENT, UnsupportedCall, UnsupportedProperty

pytestmark = pytest.mark.once

Start = Callable[..., maskl.Run]

CALLS = {name: member.instead for name, member in vars(maskl.Run).items() if isinstance(member, UnsupportedCall)}
URLS = [name for name, member in vars(maskl.Run).items() if isinstance(member, UnsupportedProperty)]


def test_they_are_members_of_a_run() -> None:
    assert {"alert", "log_artifact", "save", "restore", "use_artifact"} <= set(CALLS)
    assert set(URLS) == {"url", "project_url", "sweep_url"}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_says_what_to_use_instead(start: Start, name: str) -> None:
    run = start()
    for call in (getattr(run, name), getattr(maskl, name)):
        with pytest.raises(NotSupported) as caught:
            call("anything", keyword=1)
        assert str(caught.value) == f"{name} needs W&B's server, and maskl has none; instead: {CALLS[name]}"
        assert isinstance(caught.value, NotImplementedError)


@pytest.mark.parametrize("name", URLS)
def test_there_is_no_url(start: Start, name: str) -> None:
    with pytest.raises(NotSupported, match=f"^{name} needs W&B's server.*run.dir is where the store is"):
        getattr(start(), name)


def test_a_refused_call_leaves_the_run_as_it_was(start: Start) -> None:
    run = start()
    with pytest.raises(NotSupported):
        run.log_artifact("model.pt")
    run.log({"a": 1})
    run.finish()
    assert maskl.open(run.dir).runs()[0].state == "finished"


def test_calls_before_init_say_what_to_use_instead() -> None:
    with pytest.raises(NotSupported, match="save needs W&B's server"):
        _ = maskl.save


@pytest.mark.parametrize("name", ABSENT)
def test_a_name_of_wandb_says_what_to_use_instead(name: str) -> None:
    assert not hasattr(maskl, name)
    with pytest.raises(AttributeError) as caught:
        getattr(maskl, name)
    assert str(caught.value) == f"maskl has no {name}; instead: {ABSENT[name]}"


def test_other_names_are_unknown() -> None:
    with pytest.raises(AttributeError, match="module 'maskl' has no attribute 'nonsense'"):
        _ = maskl.nonsense
    assert not hasattr(maskl, "__path_of_no_one__")


def test_login_is_true_and_warns_once() -> None:
    with pytest.warns(ServerOnlyWarning, match=r"^login\(\).*nothing is uploaded") as caught:
        assert maskl.login(key="x", relogin=True) is True
    assert len(caught) == 1


def test_setup_needs_nothing() -> None:
    maskl.setup()
    with pytest.warns(ServerOnlyWarning, match=r"give them to init\(\)"):
        maskl.setup(maskl.Settings(mode="offline"))


@pytest.mark.parametrize("name", ["watch", "unwatch"])
def test_watch_warns_and_records_nothing(start: Start, name: str) -> None:
    run = start()
    for call in (getattr(run, name), getattr(maskl, name)):
        with pytest.warns(ServerOnlyWarning, match=rf"^{name}\(\)") as caught:
            call(object(), log="all")
        assert len(caught) == 1


@pytest.mark.parametrize("name", ["log", "define_metric", "watch", "unwatch"])
def test_calls_that_need_a_run_say_so(name: str) -> None:
    with pytest.raises(StateError, match=rf"You must call maskl\.init\(\) before maskl\.{name}\(\)"):
        getattr(maskl, name)("x")


def test_errors_have_the_names_that_wandb_code_catches() -> None:
    assert maskl.Error is MasklError
    assert issubclass(maskl.UsageError, maskl.Error)
    for base in (maskl.Error, maskl.UsageError):
        with pytest.raises(base):
            maskl.log({})
