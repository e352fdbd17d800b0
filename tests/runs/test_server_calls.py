"""What W&B takes offline and only its server could heed: one warning by name, and the program goes on."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maskl
from maskl.errors import InvalidType, InvalidValue, MasklError, NotSupported, ServerOnlyWarning
from maskl.runs._server_calls import RunStatus, ServerCalls

pytestmark = pytest.mark.once

Start = Callable[..., maskl.Run]

RECORD = Path(__file__).parents[1] / "conformance" / "wandb-0.31.json"
WANDB: dict[str, list[str]] = json.loads(RECORD.read_text("utf-8"))["names"]
#: a call of each, and whether what it returns is as it should be
CALLS: dict[str, tuple[tuple[Any, ...], Callable[[Any], bool]]] = {
    "alert": (("title", "text"), lambda found: found is None),
    "display": ((), lambda found: found is False),
    "link_artifact": (("artifact", "registry/model"), lambda found: found == "artifact"),
    "link_model": (("model.pt", "model"), lambda found: not found.wait().version),
    "log_code": ((".",), lambda found: found is None),
    "mark_preempting": ((), lambda found: found is None),
    "pin_config_keys": ((["lr"],), lambda found: found is None),
    "status": ((), lambda found: found == RunStatus(0, 0, None)),
    "to_html": ((), lambda found: found.startswith("<pre>&lt;Run &#x27;")),
    "unwatch": ((), lambda found: found is None),
    "watch": ((object(),), lambda found: found is None),
    "write_logs": (("text",), lambda found: found is None),
}
ON_THE_MODULE = ("alert", "link_model", "mark_preempting", "pin_config_keys", "unwatch", "watch")
WITHOUT_A_RUN: dict[str, tuple[Any, ...]] = {"login": (), "require": ("core",), "termsetup": (None, None)}
URLS = ("url", "project_url", "sweep_url", "sweep_id")


@pytest.fixture(params=[False, True], ids=["storing", "disabled"])
def run(request: pytest.FixtureRequest, start: Start) -> maskl.Run:
    return start(mode="disabled" if request.param else None)


def told(call: Callable[[], object]) -> list[str]:
    """Return the warnings of a call."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    assert {warning.category for warning in caught} <= {ServerOnlyWarning}
    return [str(warning.message) for warning in caught]


def test_every_call_is_tried() -> None:
    quiet = {"get_url", "get_project_url", "get_sweep_url"}
    assert set(CALLS) == {name for name, member in vars(ServerCalls).items() if inspect.isfunction(member)} - quiet - {
        "__init__",
        "_tell",
    }


@pytest.mark.parametrize("name", CALLS)
def test_a_call_warns_once_by_its_name_and_goes_on(start: Start, name: str) -> None:
    arguments, right = CALLS[name]
    one, two = start(), start(mode="disabled")
    calls = [getattr(one, name)] * 2 + [getattr(two, name)] * 2
    calls += [getattr(maskl, name)] if name in ON_THE_MODULE else []
    (message,) = told(lambda: [calls[0](*arguments)])
    assert message.startswith(f"{name}() needs W&B's server, and maskl has none: ")
    assert told(lambda: [call(*arguments) for call in calls]) == []
    assert all(right(call(*arguments)) for call in calls)
    one.log({"a": 1})
    one.finish()
    assert right(calls[0](*arguments))  # whatever the run's state
    assert maskl.open(one.dir).run(one.id).history().to_pylist()[0]["key"] == "a"


def test_each_name_is_told_of(start: Start) -> None:
    run = start()
    messages = told(lambda: [getattr(run, name)(*arguments) for name, (arguments, _) in CALLS.items()] * 2)
    assert [message.partition("()")[0] for message in messages] == list(CALLS)


@pytest.mark.parametrize("name", ON_THE_MODULE)
def test_the_module_tells_of_the_active_run(start: Start, name: str) -> None:
    start()
    assert len(told(lambda: getattr(maskl, name)(*CALLS[name][0]))) == 1


@pytest.mark.parametrize("name", WITHOUT_A_RUN)
def test_calls_of_the_module_need_no_run(name: str) -> None:
    call = getattr(maskl, name)
    (message,) = told(lambda: call(*WITHOUT_A_RUN[name]))
    assert message.startswith(f"{name}() needs W&B's server, and maskl has none: ")
    assert told(lambda: call(*WITHOUT_A_RUN[name])) == []
    assert call(*WITHOUT_A_RUN[name]) is (True if name == "login" else None)


def test_what_is_asked_for_without_effect_is_not_told_of() -> None:
    assert told(maskl.require) == []
    assert told(maskl.ensure_configured) == []
    assert told(maskl.setup) == []
    assert "give them to init()" in told(lambda: maskl.setup(maskl.Settings(mode="offline")))[0]


def test_where_warnings_are_errors_each_call_is_one(start: Start) -> None:
    run = start()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            with pytest.raises(ServerOnlyWarning):
                run.log_code()


def test_there_are_no_addresses(run: maskl.Run) -> None:
    assert told(lambda: [getattr(run, name) for name in URLS]) == []
    assert [getattr(run, name) for name in URLS] == [None] * 4
    assert [call() for call in (run.get_url, run.get_project_url, run.get_sweep_url)] == [None] * 3  # type: ignore[func-returns-value]


def test_join_ends_the_run(start: Start) -> None:
    run = start()
    maskl.log({"a": 1})
    maskl.join(exit_code=1)
    assert maskl.run is None
    assert maskl.open(run.dir).runs()[0].state == "failed"
    maskl.join()


# --- what is printed ----------------------------------------------------------------------------------


@pytest.fixture
def loud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKL_SILENT", "0")
    monkeypatch.setenv("MASKL_QUIET", "1")


@pytest.mark.usefixtures("loud")
def test_alerts_are_printed(start: Start, capfd: pytest.CaptureFixture[str]) -> None:
    run = start()
    with pytest.warns(ServerOnlyWarning, match="it is printed, and sent to nobody"):
        run.alert("손실", "it is\x1b[31m high\nnow", maskl.AlertLevel.WARN)
    run.alert("t", "x")
    run.alert("t", "x", "ERROR", wait_duration=0)
    run.alert("t", "not again", wait_duration=timedelta(days=1))
    run.alert("u", "another title", wait_duration=3600)
    lines = ["WARN: 손실: it is\\x1b[31m high", "now", "INFO: t: x", "ERROR: t: x", "INFO: u: another title"]
    assert capfd.readouterr().err.splitlines() == [f"maskl: {line}" for line in lines]
    start(mode="disabled").alert("t", "x")
    start(reinit="create_new", settings={"silent": True}).alert("t", "x")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"level": "loud"}, InvalidValue, "level must be one of 'INFO', 'WARN', 'ERROR'; got 'loud'"),
        ({"level": 3}, InvalidValue, "got 3"),
        ({"level": ["INFO"]}, InvalidValue, "level must be one of"),
        ({"wait_duration": "1 s"}, InvalidType, "wait_duration must be a number of seconds or a timedelta; got '1 s'"),
    ],
)
def test_an_alert_that_is_none(run: maskl.Run, arguments: Any, error: type[MasklError], words: str) -> None:
    with pytest.raises(error) as caught:
        run.alert("t", "x", **arguments)
    assert words in str(caught.value)


@pytest.mark.usefixtures("loud")
def test_lines_are_printed(capfd: pytest.CaptureFixture[str]) -> None:
    maskl.termlog("epoch 1\nof 이백")
    maskl.termlog("once", repeat=False)
    maskl.termlog("once", repeat=False)
    maskl.termlog()
    maskl.termlog("plain", newline=False, prefix=False)
    maskl.termlog(" end\x1b", prefix=False)
    maskl.termwarn("w")
    maskl.termerror("e")
    printed = capfd.readouterr()
    assert printed.out == ""
    lines = ["maskl: epoch 1", "maskl: of 이백", "maskl: once", "maskl: ", "plain end\\x1b"]
    assert printed.err.splitlines() == [*lines, "maskl: WARNING w", "maskl: ERROR e"]


def test_lines_are_not_printed_where_it_is_silent(start: Start, capfd: pytest.CaptureFixture[str]) -> None:
    maskl.termlog("a")
    start(settings={"silent": False, "quiet": True})
    maskl.termerror("b")
    assert capfd.readouterr().err == "maskl: ERROR b\n"


# --- strict -------------------------------------------------------------------------------------------


def strictly(start: Start, how: str, monkeypatch: pytest.MonkeyPatch, **arguments: Any) -> maskl.Run:
    if how == "environment":
        monkeypatch.setenv("MASKL_STRICT", "1")
        return start(**arguments)
    return start(settings={"dict": {"strict": True}, "Settings": maskl.Settings(strict=True)}[how], **arguments)


@pytest.mark.parametrize("how", ["dict", "Settings", "environment"])
def test_a_strict_run_makes_errors_of_them(start: Start, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = strictly(start, how, monkeypatch)
    assert run.settings.strict is True
    for name, (arguments, _) in [*CALLS.items()] * 2:
        with pytest.raises(NotSupported, match=rf"^{name}\(\) needs W&B's server.*since strict is true"):
            getattr(run, name)(*arguments)
    for name, values in [*WITHOUT_A_RUN.items(), *((name, CALLS[name][0]) for name in ON_THE_MODULE)]:
        with pytest.raises(NotSupported, match=rf"^{name}\(\)"):
            getattr(maskl, name)(*values)
    with pytest.raises(NotSupported, match="hidden=True"):
        run.define_metric("a", hidden=True, summary="max")
    with pytest.raises(NotSupported, match="grouping"):
        maskl.Image(np.zeros((2, 2), np.uint8), grouping=3)
    for value in (3, 1):
        run.log({"a": value})
    run.finish()
    stored = maskl.open(run.dir).run(run.id)
    assert (stored.summary["a"], len(stored.history())) == (1, 2)  # no metric was defined


@pytest.mark.parametrize("how", ["dict", "Settings", "environment"])
@pytest.mark.parametrize("argument", [{"entity": "team"}, {"mode": "online"}, {"mode": "run"}])
def test_a_strict_run_does_not_begin(
    start: Start, store_dir: Path, how: str, argument: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotSupported, match="since strict is true"):
        strictly(start, how, monkeypatch, **argument)
    assert maskl.run is None
    assert not store_dir.exists()


def test_a_run_that_is_active_goes_on_where_a_strict_one_does_not_begin(start: Start) -> None:
    run = start()
    for arguments in ({"mode": "online"}, {"entity": "e"}):
        with pytest.raises(NotSupported):
            start(reinit="finish_previous", settings={"strict": True}, **arguments)
    assert maskl.run is run
    run.log({"a": 1})


def test_settings_are_strict_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotSupported, match="the setting api_key='x'"):
        maskl.Settings(strict=True, api_key="x")
    monkeypatch.setenv("MASKL_STRICT", "yes")
    with pytest.raises(NotSupported, match="the setting api_key='x'"):
        maskl.Settings(api_key="x")
    with pytest.raises(NotSupported, match=r"^login\(\)"):
        maskl.login()
    assert len(told(lambda: maskl.Settings(strict=False, api_key="x"))) == 1


def test_what_strict_may_be(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidValue, match="strict must be true or false"):
        maskl.Settings(strict="very")
    monkeypatch.setenv("MASKL_STRICT", "very")
    with pytest.raises(InvalidValue, match="the environment variable MASKL_STRICT"):
        start()
    monkeypatch.setenv("MASKL_STRICT", "1")
    run = start(settings={"strict": False})  # what is said goes before the environment
    assert len(told(run.log_code)) == 1
    assert told(lambda: maskl.Image(np.zeros((2, 2), np.uint8), grouping=3))


def test_a_disabled_run_is_never_strict(start: Start) -> None:
    run = start(mode="disabled", settings={"strict": True})
    assert told(lambda: [getattr(run, name)(*arguments) for name, (arguments, _) in CALLS.items()]) == []


# --- every name ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WANDB["wandb"])
def test_every_name_of_wandbs_module_is_there_or_refused_with_a_hint(name: str) -> None:
    if hasattr(maskl, name):
        assert name in maskl.__all__ or callable(getattr(maskl, name)) or f"maskl.{name}" in sys.modules
        return
    with pytest.raises(NotSupported, match=f"^maskl has no {name}; instead: .") as caught:
        getattr(maskl, name)
    assert isinstance(caught.value, AttributeError)


def test_the_names_are_all_of_them() -> None:
    assert len(set(WANDB["wandb"]) - {"Api"}) == 91


@pytest.mark.parametrize("name", WANDB["Run"])
def test_every_name_of_wandbs_run_is_there(run: maskl.Run, name: str) -> None:
    assert hasattr(maskl.Run, name)
    assert hasattr(run, name)


def test_other_names_of_a_run_are_attribute_errors(run: maskl.Run) -> None:
    assert not hasattr(run, "nonsense")
    assert getattr(run, "nonsense", 3) == 3


# --- a script -----------------------------------------------------------------------------------------

SCRIPT = """
import sys
import maskl as wandb

wandb.login()
wandb.require("core")
run = wandb.init(project="streets", tags="one", mode="dryrun", entity="team", save_code=True)
wandb.watch(object(), log="all")
run.log_code(".")
for epoch in range(3):
    wandb.log({"loss": 1 / (epoch + 1)})
    wandb.alert("loss", f"is {epoch}", level=wandb.AlertLevel.INFO)
    run.mark_preempting()
    wandb.pin_config_keys(["lr"])
    run.link_model("model.pt", "registered").wait()
    run.link_artifact(object(), "registry/model", aliases=["best"])
    run.display()
    run.to_html()
    run.write_logs("epoch ended")
    if run.status().sync_items_pending:
        sys.exit("waits for a server")
    if run.url is not None or run.get_url() is not None or hasattr(wandb, "keras"):
        sys.exit("there is a server")
    wandb.termlog(f"epoch {epoch}")
    wandb.termwarn("slow", repeat=False)
    if getattr(wandb, "sweep", None) is None and not hasattr(run, "get_sweep"):
        wandb.log({"checked": epoch})
wandb.unwatch()
wandb.join()
print("the end")
"""


def test_a_training_loop_runs_to_its_end(tmp_path: Path, store_dir: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "always::UserWarning", "-c", SCRIPT],
        cwd=tmp_path,
        env=os.environ | {"MASKL_SILENT": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "the end\n"
    said = [line.partition("ServerOnlyWarning: ")[2] for line in done.stderr.splitlines() if "ServerOnly" in line]
    calls = [line.partition("()")[0] for line in said if "()" in line]
    assert sorted(calls) == sorted([*CALLS, "login", "require"])
    assert done.stderr.count("maskl: WARNING slow") == 1
    (stored,) = maskl.open(store_dir).runs()
    assert (stored.state, stored.tags, stored.project) == ("finished", ("one",), "streets")
    logged = maskl.open(store_dir).sql("SELECT key, count(*), max(value) FROM history GROUP BY key ORDER BY key")
    assert logged.fetchall() == [("checked", 3, 2.0), ("loss", 3, 1.0)]
