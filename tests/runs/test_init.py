"""``init()``: W&B's arguments, a second run beside the first, and runs that go on."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

import maskl
from maskl import Settings, Table
from maskl.errors import ActiveRunWarning, InvalidType, InvalidValue, NotFound, ServerOnlyWarning, StateError

pytestmark = pytest.mark.once

Start = Callable[..., maskl.Run]

WANDB_ARGUMENTS = """
entity project dir id name notes tags config config_exclude_keys config_include_keys allow_val_change group
job_type mode force reinit resume resume_from fork_from save_code tensorboard sync_tensorboard monitor_gym
settings anonymous
""".split()  # noqa: SIM905


def test_it_has_the_arguments_of_wandb_in_their_order_and_three_more() -> None:
    ours = ["on_error", "durability", "image_format"]
    assert list(inspect.signature(maskl.init).parameters) == [*WANDB_ARGUMENTS, *ours]


@pytest.mark.parametrize("name", ["mode", "resume", "reinit", "on_error", "durability"])
def test_a_type_checker_knows_the_choices_that_are_taken(name: str) -> None:
    hints = [get_type_hints(call)[name] for call in (maskl.init, Settings.__init__)]
    literals = [part for part in get_args(hints[0]) if get_origin(part) is Literal]
    choices = [choice for part in literals for choice in get_args(part)]
    assert hints[0] == hints[1]
    assert len(choices) > 1
    assert [getattr(Settings(**{name: choice}), name) for choice in choices] == choices
    with pytest.raises(InvalidValue, match=f"^{name} must be one of {', '.join(map(repr, choices))}; got 'other'$"):
        Settings(**{name: "other"})


def test_everything_that_describes_a_run_is_stored(start: Start, store_dir: Path) -> None:
    given = {"project": "p", "group": "g", "job_type": "eval", "notes": "n", "name": "이름", "id": "r"}
    before = time.time()
    run = start(**given, tags=("a", "b", "a"), config={"lr": 1})
    assert (run.group, run.job_type, run.tags, run.notes, run.path) == ("g", "eval", ("a", "b"), "n", "p/r")
    assert before <= run.start_time <= time.time()
    run.finish()
    info = maskl.open(store_dir).run("r").info
    kept = (info.project, info.group, info.job_type, info.notes, info.name, info.run_id, info.tags)
    assert kept == (*given.values(), ("a", "b"))


def test_name_notes_and_tags_may_be_set_later(start: Start, store_dir: Path) -> None:
    run = start(name="a", tags=["x"])
    run.name, run.notes = "b", "later"
    run.tags += ("y",)
    (path,) = store_dir.glob("runs/*/writer-0.json")
    body = json.loads(path.read_text("utf-8"))
    assert (body["name"], body["notes"], body["tags"]) == ("b", "later", ["x", "y"])
    for name, value in (("name", 3), ("notes", None), ("tags", 3)):
        with pytest.raises(InvalidType, match=f"{name} must be"):
            setattr(run, name, value)
    assert (run.name, run.tags) == ("b", ("x", "y"))


def test_a_bare_run_says_so(start: Start) -> None:
    run = start()
    assert (run.project, run.entity, run.group, run.job_type, run.notes, run.tags) == (None, "", "", "", None, ())
    assert (run.resumed, run.starting_step, run.offline, run.disabled, run.sweep_id) == (False, 0, True, False, None)
    assert run.config_static == {}
    assert run.sync_dir == run.store_dir


UNUSED = {
    "entity": "team",
    "force": True,
    "resume_from": "r?_step=3",
    "fork_from": "r?_step=3",
    "save_code": True,
    "tensorboard": True,
    "sync_tensorboard": True,
    "monitor_gym": True,
    "anonymous": "allow",
}


@pytest.mark.parametrize("name", UNUSED)
def test_an_argument_for_the_server_warns_once_and_the_run_starts(start: Start, store_dir: Path, name: str) -> None:
    with pytest.warns(ServerOnlyWarning, match=rf"^{name}=.* only means something to W&B's server") as caught:
        run = start(**{name: UNUSED[name]})
    assert len(caught) == 1
    assert Path(caught[0].filename).name == "conftest.py", "it points at the line that called"
    run.log({"a": 1})
    run.finish()
    assert len(maskl.open(store_dir).runs()) == 1


@pytest.mark.parametrize("name", sorted(set(UNUSED) - {"entity"}))
def test_what_is_switched_off_needs_no_warning(start: Start, name: str) -> None:
    assert start(**{name: False}).id


def test_online_runs_are_kept_here_and_say_so(start: Start, store_dir: Path) -> None:
    with pytest.warns(ServerOnlyWarning, match=f"mode='online'.*nothing is uploaded.*{store_dir}"):
        start(mode="online").finish()
    for mode in ("offline", "shared"):
        start(mode=mode).finish()
    assert len(maskl.open(store_dir).runs()) == 3


# --- another run is active ----------------------------------------------------------------------


@pytest.mark.parametrize("reinit", [None, False, "default", "return_previous"])
def test_the_active_run_is_returned(start: Start, store_dir: Path, reinit: Any) -> None:
    run = start(name="first")
    assert maskl.init(reinit=reinit) is run
    with pytest.warns(ActiveRunWarning, match=rf"run '{run.id}' is active.*without regard to dir, name, config"):
        assert start(name="second", config={"a": 1}, reinit=reinit) is run
    assert (run.name, dict(run.config)) == ("first", {})
    run.finish()
    assert len(maskl.open(store_dir).runs()) == 1


@pytest.mark.parametrize("reinit", [True, "finish_previous"])
def test_the_active_run_is_finished_first(start: Start, store_dir: Path, reinit: Any) -> None:
    first = start(name="first")
    second = start(name="second", reinit=reinit)
    assert maskl.run is second
    assert {run.name: run.state for run in maskl.open(store_dir).runs()} == {"first": "finished", "second": "running"}
    with pytest.raises(StateError, match="is finished"):
        first.log({"a": 1})


def test_a_notebook_finishes_the_run_of_an_earlier_cell(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))  # type: ignore[arg-type]
    first, second = start(config={"a": 1}), start(config={"a": 1})
    assert maskl.run is second is not first
    second.config.a = 2  # cells are run again
    assert second.config.a == 2


def test_a_second_run_beside_the_first(start: Start, store_dir: Path) -> None:
    first = start(name="first")
    second = start(name="second", reinit="create_new")
    assert maskl.run is first
    maskl.log({"a": 1})
    second.log({"a": 2, "t": Table(["x"], [[maskl.Image([[1, 2]])]])})
    first.log({"t": Table(["x"], [[maskl.Image([[1, 2]])]])})
    assert maskl.init() is second  # the one that was started last
    second.finish()
    assert maskl.run is first
    maskl.finish()
    store = maskl.open(store_dir)
    query = "SELECT run_name, value FROM history ORDER BY value"
    assert store.sql(query).fetchall() == [("first", 1), ("second", 2)]
    assert [row["x"] for row in store.table("t")] == [maskl.Image([[1, 2]])] * 2


def test_a_run_made_beside_none_is_not_the_active_one(start: Start) -> None:
    run = start(reinit="create_new")
    assert maskl.run is None
    with pytest.raises(StateError, match=r"You must call maskl\.init\(\) before maskl\.log\(\)"):
        maskl.log({"a": 1})
    run.log({"a": 1})
    maskl.teardown()
    assert repr(run).endswith("finished>")


def test_teardown_ends_every_run(start: Start, store_dir: Path) -> None:
    for name in "abc":
        start(name=name, reinit="create_new")
    maskl.teardown(2)
    assert [run.state for run in maskl.open(store_dir).runs()] == ["failed"] * 3


# --- resume -------------------------------------------------------------------------------------


@pytest.mark.parametrize("resume", [None, False, "allow", "must"])
def test_a_run_goes_on_where_it_ended(start: Start, store_dir: Path, resume: Any) -> None:
    with start(id="r", name="unet", config={"lr": 1}, tags=["a"], job_type="j") as run:
        run.log({"loss": 1})
        run.log({"t": Table(["a"], [[1]])}, step=6)
    run = start(id="r", config={"lr": 2, "new": 3}, resume=resume)
    assert (run.resumed, run.starting_step, run.step, run.name, run.job_type) == (True, 7, 7, "unet", "j")
    assert dict(run.config) == {"lr": 2, "new": 3}
    assert run.summary.loss == 1
    run.log({"loss": 2, "t": Table(["a"], [[2]])})
    run.finish()
    store = maskl.open(store_dir)
    assert [(row.step, row["a"]) for row in store.table("t")] == [(6, 1), (7, 2)]
    (info,) = store.runs()
    assert (info.state, info.tags, info.summary, info.config) == ("finished", ("a",), {"loss": 2}, {"lr": 2, "new": 3})


def test_steps_go_on_after_those_of_scalars_too(start: Start) -> None:
    with start(id="r") as run:
        run.log({"t": Table(["a"], [[1]])}, step=2)
        run.log({"loss": 1}, step=40)
    assert start(id="r").step == 41


def test_a_run_that_holds_nothing_begins_at_zero(start: Start) -> None:
    start(id="r").finish()
    run = start(id="r")
    assert (run.step, run.resumed) == (0, True)


@pytest.mark.parametrize("resume", ["allow", "never", "auto", True])
def test_a_run_that_is_not_there_begins(start: Start, store_dir: Path, resume: Any) -> None:
    run = start(id="r", resume=resume)
    assert (run.id, run.step, run.resumed) == ("r", 0, False)


@pytest.mark.parametrize("there", [True, False], ids=["store", "no store"])
def test_must_is_an_error_without_the_run(start: Start, store_dir: Path, there: bool) -> None:
    if there:
        start(id="other").finish()
    with pytest.raises(NotFound, match=r"there is no run 'r' in .*the latest are: " + ("other" if there else "none")):
        start(id="r", resume="must")
    with pytest.raises(InvalidValue, match="resume='must' needs the run's id"):
        start(resume="must")
    assert store_dir.exists() == there
    assert maskl.run is None


def test_must_does_not_return_another_run(start: Start) -> None:
    start(id="a")
    with pytest.raises(StateError, match="run 'a' is active: finish it before"):
        start(id="a", resume="must")


def test_never_is_an_error_with_the_run(start: Start, store_dir: Path) -> None:
    start(id="r").finish()
    before = sorted(store_dir.rglob("*"))
    with pytest.raises(StateError, match="resume='never', but there is a run 'r'"):
        start(id="r", resume="never")
    assert sorted(store_dir.rglob("*")) == before


def test_auto_goes_on_with_a_run_that_failed(start: Start) -> None:
    first = start(project="p", resume="auto")
    first.log({"a": 1})
    first.finish(1)
    assert start(project="other", resume="auto").id != first.id
    maskl.finish()
    again = start(project="p", resume=True)
    assert (again.id, again.step) == (first.id, 1)
    again.finish()
    assert start(project="p", resume="auto").id != first.id  # it ended well


def test_auto_goes_on_with_a_run_whose_process_was_killed(store_dir: Path) -> None:
    code = (
        f"import maskl, os\nrun = maskl.init(dir={str(store_dir)!r}, resume='auto')\nrun.log({{'a': 1}})\n"
        "maskl.open().refresh()\nprint(run.id, flush=True)\nos._exit(9)"
    )
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    run = maskl.init(dir=store_dir, resume="auto")
    assert (run.id, run.step) == (killed.stdout.strip(), 1)


def test_auto_leaves_a_run_alone_whose_process_lives(store_dir: Path) -> None:
    code = (
        f"import maskl, sys\nrun = maskl.init(dir={str(store_dir)!r}, resume='auto')\nprint(run.id, flush=True)\n"
        "sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        other = child.stdout.readline().decode().strip()
        assert maskl.init(dir=store_dir, resume="auto").id != other
        child.communicate()


def test_auto_gives_way_to_an_id(start: Start) -> None:
    start(id="a", resume="auto").finish(1)
    with pytest.warns(maskl.errors.ConversionWarning, match="id='b' goes before run 'a'"):
        assert start(id="b", resume="auto").id == "b"


@pytest.mark.parametrize("text", ["{", "[]", '{"run_id": "gone", "host": "h", "process": 1}', "{}"])
def test_auto_begins_a_new_run_where_nothing_sensible_is_remembered(start: Start, store_dir: Path, text: str) -> None:
    start(id="a", resume="auto").finish(1)
    (path,) = store_dir.glob(".resume-*.json")
    path.write_text(text)
    assert start(resume="auto").id != "a"


# --- how a program ends -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ending", "code", "state"),
    [
        ("sys.exit()", 0, "finished"),
        ("sys.exit(0)", 0, "finished"),
        ("sys.exit(3)", 3, "failed"),
        ("sys.exit('message')", 1, "failed"),
        ("with run: sys.exit(0)", 0, "finished"),
        ("with run: sys.exit(4)", 4, "failed"),
        ("try: sys.exit(3)\nexcept SystemExit: maskl.log({'b': 1})", 0, "finished"),
        ("run.finish(); sys.exit(3)", 3, "finished"),
        ("raise KeyboardInterrupt", -2, "failed"),
        ("assert sys.exit is not before; run.finish(); assert sys.exit is before", 0, "finished"),
    ],
)
def test_the_exit_code_tells_how_a_run_ended(store_dir: Path, ending: str, code: int, state: str) -> None:
    program = f"import maskl, sys\nbefore = sys.exit\nrun = maskl.init(dir={str(store_dir)!r})\n{ending}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, maskl.open(store_dir).runs()[0].state) == (code, state)


# --- settings and environment -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "value", "read"),
    [
        ("MASKL_PROJECT", "p", lambda run: run.project == "p"),
        ("MASKL_RUN_ID", "r", lambda run: run.id == "r"),
        ("MASKL_NAME", "이름", lambda run: run.name == "이름"),
        ("MASKL_RUN_GROUP", "g", lambda run: run.group == "g"),
        ("MASKL_JOB_TYPE", "j", lambda run: run.job_type == "j"),
        ("MASKL_NOTES", "n", lambda run: run.notes == "n"),
        ("MASKL_TAGS", "a, b,", lambda run: run.tags == ("a", "b")),
        ("MASKL_MODE", "disabled", lambda run: run.disabled),
        ("MASKL_ALLOW_VAL_CHANGE", "yes", lambda run: run.config.update({"a": 2}) is None),
        ("MASKL_RESUME", "must", lambda run: False),
        ("WANDB_MODE", "disabled", lambda run: not run.disabled),
        ("WANDB_PROJECT", "p", lambda run: run.project is None),
        ("MASKL_PROJECT", "", lambda run: run.project is None),
    ],
)
def test_the_environment(
    start: Start, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, read: Callable[[maskl.Run], bool]
) -> None:
    monkeypatch.setenv(variable, value)
    if value == "must":
        with pytest.raises(InvalidValue, match="resume='must' needs the run's id"):
            start()
    else:
        assert read(start(config={"a": 1}))


def test_arguments_go_before_settings_and_these_before_the_environment(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("MASKL_PROJECT", "MASKL_RUN_GROUP", "MASKL_NOTES"):
        monkeypatch.setenv(variable, "environment")
    run = start(settings=Settings(project="settings", run_group="settings"), project="argument")
    assert (run.project, run.group, run.notes) == ("argument", "settings", "environment")
    assert run.settings.given["project"] == "argument"
    run.finish()
    assert start(settings={"project": "dict"}).project == "dict"


def test_reinit_may_come_from_the_environment(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    first = start()
    monkeypatch.setenv("MASKL_REINIT", "true")
    assert start() is not first


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        (
            "MASKL_MODE",
            "off",
            "MASKL_MODE: mode must be one of 'online', 'offline', 'disabled', 'shared', 'dryrun', 'run'; got 'off'",
        ),
        ("MASKL_RESUME", "maybe", "MASKL_RESUME: resume must be one of 'allow'"),
        ("MASKL_REINIT", "x", "MASKL_REINIT: reinit must be one of 'default'"),
        ("MASKL_SILENT", "perhaps", "MASKL_SILENT: silent must be true or false"),
    ],
)
def test_a_wrong_variable_is_named(
    start: Start, store_dir: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidValue, match=words):
        start()
    assert not store_dir.exists()


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"mode": "of"}, InvalidValue, "mode must be one of"),
        ({"reinit": "x"}, InvalidValue, "reinit must be one of"),
        ({"resume": 1}, InvalidValue, "resume must be one of"),
        ({"job_type": 1}, InvalidType, "job_type must be a string"),
        ({"settings": 3}, InvalidType, "settings must be maskl.Settings or a dict; got int"),
        ({"settings": {"modes": "x"}}, InvalidType, "there is no setting 'modes'; did you mean 'mode'"),
        ({"settings": {"zzz": 1}}, InvalidType, "there is no setting 'zzz'; there are: root_dir"),
        ({"allow_val_change": 3}, InvalidValue, "allow_val_change must be true or false"),
        ({"settings": {"root_dir": 3}}, InvalidType, "dir must be a path; got 3"),
        ({"settings": {"config_paths": 3}}, InvalidType, "config_paths must be a list of paths"),
    ],
    ids=str,
)
def test_wrong_arguments_start_no_run(
    start: Start, store_dir: Path, arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        start(**arguments)
    assert not store_dir.exists()


def test_settings_of_the_server_warn_by_name() -> None:
    with pytest.warns(ServerOnlyWarning) as caught:
        settings = Settings(base_url="http://x", _disable_stats=True, x_label="a", console=None, mode="offline")
    named = [str(warning.message).split("=")[0] for warning in caught]
    assert named == ["the setting base_url", "the setting _disable_stats", "the setting x_label"]
    assert settings.given == {"mode": "offline"}


def test_a_forked_process_has_no_run(start: Start) -> None:
    start(id="r")
    if (child := os.fork()) == 0:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            os._exit(0 if maskl.run is None and maskl.init(id="r", mode="disabled").disabled else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert maskl.run is not None
