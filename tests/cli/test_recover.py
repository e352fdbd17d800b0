"""``maskl recover`` brings in what a killed process had logged, and says what it found."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import maskl
from maskl.cli import app
from maskl.errors import RecoveryWarning

LOG = """
import os, signal, sys
import numpy as np
import maskl

run = maskl.init(dir=sys.argv[1], id="r", name="이름")
for step in range(3):
    image = maskl.Image(np.full((4, 5, 3), step, np.uint8), masks={"a": {"mask_data": np.eye(4, 5, dtype=np.uint8)}})
    run.log({"평가": maskl.Table(["image", "n"], [[image, step]]), "loss": step / 2})
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def killed(store_dir: Path) -> Path:
    environment = os.environ | {"MASKL_SILENT": "1"}
    done = subprocess.run([sys.executable, "-c", LOG, store_dir], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    return store_dir


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        app.main(arguments)
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_it_is_brought_in_once(killed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = maskl.open(killed)
    assert (store.run("r").state, store.tables()) == ("killed", [])
    said = "run 'r', writer 0: 3 rows of '평가', 3 scalars, 3 images {}brought in\n"
    assert call(capsys, "recover", "--dir", str(killed), "--dry-run") == said.format("would be ")
    assert store.tables() == []
    (found,) = json.loads(call(capsys, "recover", "--dir", str(killed), "--json"))["recovered"]
    assert (found["rows"], found["scalars"], found["killed"], found["problem"]) == ({"평가": 3}, 3, True, None)
    assert call(capsys, "recover", "--dir", str(killed)) == "nothing to bring in\n"
    assert [row["n"] for row in store.table("평가")] == [0, 1, 2]
    assert store.sql("SELECT state FROM runs").fetchall() == [("killed",)]
    assert store.verify().faults == []


def test_a_run_that_is_taken_up_again_has_it_all(killed: Path, start: Callable[..., maskl.Run]) -> None:
    with pytest.warns(RecoveryWarning, match="run 'r' was killed; brought in: 3 of '평가', 3 scalars"):
        run = start(id="r", resume="must")
    assert (run.step, run.summary["loss"]) == (3, 1.0)
    run.log({"loss": 2.0})
    run.finish()
    store = maskl.open(killed)
    assert store.run("r").state == "finished"
    assert store.run("r").history()["value"].to_pylist() == [0.0, 0.5, 1.0, 2.0]


def test_a_run_that_lives_is_left_alone(
    start: Callable[..., maskl.Run], store_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = start()
    run.log({"x": maskl.Image(np.zeros((2, 2), np.uint8))})
    assert call(capsys, "recover", "--dir", str(store_dir)) == "nothing to bring in\n"
    assert list((store_dir / "wal").rglob("*.wal"))
    assert maskl.open(store_dir).run(run.id).state == "running"
