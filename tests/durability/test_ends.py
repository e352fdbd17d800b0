"""However a process ends, the next one sees how, and goes on where it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import maskl
from maskl.errors import NotFound, RecoveryWarning, StateError
from maskl_storage import Layout
from maskl_storage.upkeep.recovery import recover

HEAD = """
import os, signal, sys
import maskl
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background processes are begun with it ignored
run = maskl.init(dir=sys.argv[1], id="r", project="p", resume=sys.argv[2], config={"lr": 1})
for step in range(3):
    table = maskl.Table(["n"], [[run.step]])
    run.log({"loss": float(run.step), "nested": {"best": -run.step}, "t": table})
print("logged", flush=True)
"""

WAIT = "sys.stdin.read()"  # until it is killed

#: how a process ends: what it does last, the signal that it gets, the state of its run
ENDS = {
    "normal exit": ("", None, "finished"),
    "sys.exit(0)": ("sys.exit(0)", None, "finished"),
    "sys.exit(3)": ("sys.exit(3)", None, "failed"),
    "exception": ("raise ValueError('no')", None, "failed"),
    "Ctrl-C": (WAIT, signal.SIGINT, "failed"),
    "os._exit": ("os._exit(0)", None, "killed"),
    "SIGTERM": (WAIT, signal.SIGTERM, "killed"),
    "SIGKILL": (WAIT, signal.SIGKILL, "killed"),
}


def begin(root: Path, last: str, resume: str = "allow") -> subprocess.Popen[str]:
    """Start a process that logs three steps and then does something else, and wait until it has logged."""
    process = subprocess.Popen(
        [sys.executable, "-c", HEAD + last, str(root), resume],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"MASKL_SILENT": "true"},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "logged\n"
    return process


def end(process: subprocess.Popen[str], number: signal.Signals | None = None) -> None:
    if number is not None:
        process.send_signal(number)
    with process:
        process.wait()


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a store for each way to end."""
    roots = {name: tmp_path_factory.mktemp("ends") / "maskl-store" for name in ENDS}
    begun = [(begin(roots[name], last), number) for name, (last, number, _) in ENDS.items()]
    for process, number in begun:
        end(process, number)
    return roots


def states(store: maskl.Store) -> list[str]:
    """Return the state of the only run as each way to ask for it has it."""
    ((state,),) = store.sql("SELECT state FROM runs").fetchall()
    return [state, store.run("r").state]


@pytest.mark.parametrize("name", ENDS)
def test_the_state_says_how_a_process_ended(name: str, ended: dict[str, Path]) -> None:
    _, _, wanted = ENDS[name]
    store = maskl.open(ended[name])
    assert states(store) == [wanted] * 2  # also where nobody has recovered yet
    assert len(recover(Layout(ended[name]))) == (wanted == "killed")
    assert states(store) == [wanted] * 2
    assert states(maskl.open(ended[name])) == [wanted] * 2
    assert [(row["n"], row.step) for row in store.table("t")] == [(0, 0), (1, 1), (2, 2)]
    assert store.sql("SELECT key, value FROM history ORDER BY _row").fetchall() == [
        (key, sign * value) for value in range(3) for key, sign in (("loss", 1), ("nested/best", -1))
    ]


def test_a_store_that_is_open_sees_a_process_live_and_die(tmp_path: Path) -> None:
    root = tmp_path / "maskl-store"
    process = begin(root, WAIT)
    store = maskl.open(root)
    assert states(store) == ["running"] * 2
    end(process, signal.SIGKILL)
    assert states(store) == ["killed"] * 2


@pytest.mark.parametrize("resume", ["allow", "must", "auto"])
def test_a_killed_run_goes_on(resume: str, tmp_path: Path) -> None:
    root = tmp_path / "maskl-store"
    end(begin(root, WAIT, "auto"), signal.SIGKILL)
    given = {} if resume == "auto" else {"id": "r"}
    with pytest.warns(RecoveryWarning, match=r"run 'r' was killed; brought in: 3 of 't', 6 scalars"):
        run = maskl.init(dir=root, project="p", resume=resume, **given)
    assert (run.id, run.resumed, run.starting_step, dict(run.config)) == ("r", True, 3, {"lr": 1})
    assert run.summary.as_dict() == {"loss": 2.0, "nested": {"best": -2}}
    run.log({"loss": 3.0, "t": maskl.Table(["n"], [[3]])})
    run.finish()
    store = maskl.open(root)
    assert [(row["n"], row.step) for row in store.table("t")] == [(n, n) for n in range(4)]
    assert states(store) == ["finished"] * 2
    ((summary,),) = store.sql("SELECT summary FROM runs").fetchall()
    assert json.loads(summary) == {"loss": 3.0, "nested": {"best": -2}}
    with maskl.init(dir=root, project="p", resume="auto") as other:
        assert other.id != "r"  # which has ended well


def test_a_killed_run_is_there_for_never_and_another_id_is_not(tmp_path: Path) -> None:
    root = tmp_path / "maskl-store"
    end(begin(root, WAIT), signal.SIGKILL)
    with pytest.warns(RecoveryWarning), pytest.raises(StateError, match="there is a run 'r'"):
        maskl.init(dir=root, id="r", resume="never")
    with pytest.raises(NotFound, match="there is no run 'q'"):
        maskl.init(dir=root, id="q", resume="must")
    assert len(maskl.open(root).table("t")) == 3
    with maskl.init(dir=root, id="q", resume="never") as run:
        assert run.starting_step == 0


def test_a_run_that_another_process_writes_to_is_not_recovered(tmp_path: Path) -> None:
    root = tmp_path / "maskl-store"
    process = begin(root, WAIT)
    assert recover(Layout(root)) == []
    with maskl.init(dir=root, id="r") as run:
        run.log({"mine": 1})
    assert maskl.open(root).run("r").state == "running"
    end(process, signal.SIGTERM)
    (left,) = recover(Layout(root))
    assert (left.writer, left.rows, left.scalars, left.killed) == (0, {"t": 3}, 6, True)


def test_a_killed_run_keeps_what_its_summary_came_to(tmp_path: Path) -> None:
    root = tmp_path / "maskl-store"
    last = """
run.define_metric("score", summary="max")
run.define_metric("quiet", summary="none")
run.summary["mine"] = {"note": "기록", "huge": 2**80}
for value in (1, 5, 2):
    run.log({"score": value, "quiet": value})
run._writer.seal()
run.log({"loss": float("nan")})
os._exit(0)
"""
    end(begin(root, last))
    recover(Layout(root))
    mine = {"note": "기록", "huge": 2**80}
    wanted = {"loss": None, "nested": {"best": -2}, "score": {"max": 5}, "mine": mine}  # JSON has no NaN
    assert maskl.open(root).run("r").summary == wanted
