"""``python -m maskl.as_wandb`` runs a program as Python would, with maskl under the name of W&B."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import maskl
from maskl.integrations.program import main
from tests.integrations.conftest import ROOT

pytestmark = pytest.mark.once

SPAWNS = """
import multiprocessing, pickle, sys
import beside
import wandb

class Kept:
    pass

def tell(who):
    print(who, wandb.__spec__.origin, sys.argv[1], flush=True)

if __name__ == "__main__":
    assert type(pickle.loads(pickle.dumps(Kept()))) is Kept
    tell("parent")
    child = multiprocessing.get_context("spawn").Process(target=tell, args=("child",))
    child.start()
    child.join()
    sys.exit(child.exitcode or 7)
"""
TELLS = """
import sys
import wandb
told.append((__name__, __file__, __package__, None if __spec__ is None else __spec__.name, sys.argv, sys.path[0]))
"""


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return what programs that run in this process tell of themselves, and undo what they change."""
    import builtins

    found: list[Any] = []
    monkeypatch.setattr(builtins, "told", found, raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    return found


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["as_wandb.py", *arguments])
    main()


def test_a_script_runs_as_main_and_its_children_have_it_too(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "train.py").write_text(SPAWNS)
    (tmp_path / "scripts" / "beside.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-u", "-m", "maskl.as_wandb", "scripts/train.py", "3"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "storage")])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (7, "")
    assert done.stdout.splitlines() == ["parent maskl 3", "child maskl 3"]


def test_a_script_is_told_what_python_tells_it(
    told: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "scripts"
    folder.mkdir()
    (folder / "tells.py").write_text(TELLS)
    run(monkeypatch, "scripts/tells.py", "-m", "--x=1")
    assert told == [
        ("__main__", "scripts/tells.py", None, None, ["scripts/tells.py", "-m", "--x=1"], str(folder)),
    ]
    assert sys.modules["wandb"].Image is maskl.Image


def test_a_module_is_told_what_python_tells_it(
    told: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "trainer"
    package.mkdir()
    (package / "__init__.py").write_text("import wandb")
    (package / "__main__.py").write_text(TELLS)
    (package / "tells.py").write_text(TELLS)
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        run(monkeypatch, "-m", "trainer.tells", "a")
        run(monkeypatch, "-m", "trainer")
    finally:
        del sys.modules["trainer"]
    files = [str(package / "tells.py"), str(package / "__main__.py")]
    assert told == [
        ("__main__", files[0], "trainer", "trainer.tells", [files[0], "a"], str(tmp_path)),
        ("__main__", files[1], "trainer", "trainer.__main__", [files[1]], str(tmp_path)),
    ]


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing.py"], "cannot open 'nothing.py': No such file"),
        (["."], "cannot open '.': Is a directory"),
        (["-m", "nothing_there.inside"], "no module named 'nothing_there.inside'"),
        (["-m", "sys"], "no module named 'sys' that can be run"),
    ],
)
def test_a_program_that_is_not_there_is_named(
    arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match=words):
        run(monkeypatch, *arguments)


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("arguments", [[], ["-m"], ["-x", "train.py"]])
def test_a_wrong_call_is_shown_the_right_one(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, *arguments)
    assert caught.value.code == 2
    assert "usage: python -m maskl.as_wandb SCRIPT" in capsys.readouterr().err
    assert "wandb" not in sys.modules


def test_help_is_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run(monkeypatch, "--help")
    assert "usage: python -m maskl.as_wandb SCRIPT" in capsys.readouterr().out
