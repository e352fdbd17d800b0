"""Processes that are started where ``wandb`` is maskl have it so, or say that they have not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import maskl
from tests.integrations.conftest import ROOT

pytestmark = pytest.mark.once

WHOLE = """
import importlib.metadata, importlib.util, sys
assert not [name for name in sys.modules if name.startswith("maskl")], "nothing is loaded before it is asked for"
assert importlib.util.find_spec("wandb").origin == "maskl"
import wandb.sdk.lib, maskl
assert wandb.Image is maskl.Image
maskl.install_as_wandb()
print(sys.modules["wandb"] is wandb, importlib.metadata.version("wandb"), importlib.metadata.version("pytest") != "")
maskl.uninstall_as_wandb()
print(importlib.util.find_spec("wandb"))
"""


def python(code: str, *folders: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run lines in a new process, which finds maskl, with further folders in its path."""
    path = os.pathsep.join([os.environ["PYTHONPATH"], *map(str, folders), str(ROOT), str(ROOT / "storage")])
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.usefixtures("installed")
def test_a_child_has_it_and_can_do_without() -> None:
    done = python(WHOLE)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["True 0.31.0 True", "None"]


@pytest.mark.usefixtures("installed")
def test_a_child_asks_for_the_version_first(other: Path) -> None:
    """Also where another is installed: its version is told, and maskl imported."""
    done = python("import importlib.metadata as m, sys; print(m.version('wandb')); import wandb; print(wandb)", other)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["0.20.1", "<module 'wandb' that is maskl>"]


@pytest.mark.usefixtures("installed")
def test_a_child_that_cannot_have_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "maskl").mkdir()
    (tmp_path / "maskl" / "__init__.py").write_text("raise ImportError('another maskl')")
    (tmp_path / "wandb.py").write_text("")
    done = python("import wandb, importlib.util; print(wandb.__file__)", tmp_path)
    assert done.stdout.strip() == str(tmp_path / "wandb.py")
    assert "RuntimeWarning: wandb is not maskl in process" in done.stderr
    assert f"though process {os.getpid()}, which it comes from, called maskl.install_as_wandb()" in done.stderr


@pytest.mark.usefixtures("installed")
def test_a_sitecustomize_of_theirs_still_runs(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import builtins\nbuiltins.theirs = __file__")
    done = python("import sitecustomize; print(theirs == sitecustomize.__file__)\nimport wandb; print(wandb)", tmp_path)
    assert done.stdout.splitlines() == ["True", "<module 'wandb' that is maskl>"], done.stderr


def test_a_child_of_a_process_that_undid_it_knows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    maskl.install_as_wandb()
    path = os.environ["PYTHONPATH"]
    maskl.uninstall_as_wandb()
    monkeypatch.setenv("PYTHONPATH", path)  # a path that was kept
    done = python("import importlib.util; print(importlib.util.find_spec('wandb'))")
    assert (done.stdout.strip(), done.stderr) == ("None", "")
