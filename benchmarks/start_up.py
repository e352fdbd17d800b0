"""What starting costs, each time in a process of its own: against W&B, and against an earlier maskl.

W&B is that of ``MASKL_WANDB_PYTHON``, else of ``.venv-wandb``; the earlier maskl is that of the environment whose
interpreter ``MASKL_BEFORE_PYTHON`` names. Where one is not there, its lines say so and are information.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.report import Result, at_most, info
from benchmarks.timing import alternate, median_ratio

__all__ = ["run"]

ROOT: Final = Path(__file__).parents[1]
ROUNDS: Final = 15
HERE: Final = Path(sys.executable)
#: what makes the first image with a mask, and what logs it to a new store
IMAGE: Final = """
import numpy as np
mask = {"mask_data": np.eye(64, dtype=np.uint8), "class_labels": {0: "road", 1: "car"}}
image = api.Image(np.zeros((64, 64, 3), np.uint8), masks={"predictions": mask})
"""
LOG: Final = """
with api.init(dir=".", settings=api.Settings(silent=True)) as run:
    run.log({"image": image, "loss": 0.5})
"""


@dataclass(frozen=True, slots=True)
class Case:
    """What two environments are to start, and the share that maskl may take of the other's time."""

    what: str
    ours: Sequence[str]
    peer: str
    theirs: Sequence[str]
    limit: float | None = None


def run(scale: float) -> list[Result]:
    """Start each process in turn with its peer, again and again."""
    rounds = max(3, round(ROUNDS * scale))
    wandb, before = _wandb(), _before()
    with tempfile.TemporaryDirectory(prefix="maskl-bench-") as folder:
        demo = str(Path(folder) / "maskl-demo")
        _output(HERE, ["maskl", "demo", "--dir", demo])
        listing = ["maskl", "runs", "--dir", demo]
        if before is not None and _output(HERE, listing) != _output(before, listing):
            raise AssertionError("maskl runs prints something else than before")
        against_wandb = [
            Case("import maskl", _code("import maskl"), "import wandb", _code("import wandb"), 0.30),
            Case("and an image with a mask", _code(IMAGE, "maskl"), "the same", _code(IMAGE, "wandb")),
        ]
        against_before = [
            Case("maskl --help", ["maskl", "--help"], "before", ["maskl", "--help"], 0.35),
            Case("maskl runs, the demo's store", listing, "before", listing, 0.50),
            Case("a program that logs", _code(IMAGE + LOG, "maskl"), "before", _code(IMAGE + LOG, "maskl")),
        ]
        results = [_compare(case, wandb, "W&B: make environments", rounds) for case in against_wandb]
        return results + [_compare(case, before, "maskl: see MASKL_BEFORE_PYTHON", rounds) for case in against_before]


def _compare(case: Case, other: Path | None, missing: str, rounds: int) -> Result:
    """Measure a case; ``other`` is the peer's interpreter."""
    if other is None:
        (ours,) = alternate(lambda: _output(HERE, case.ours), rounds=rounds)
        return info(case.what, _median(ours), f"there is no other {missing}")
    ours, theirs = alternate(lambda: _output(HERE, case.ours), lambda: _output(other, case.theirs), rounds=rounds)
    peer, share = f"{case.peer}: {_median(theirs)}", 1 / median_ratio(theirs, ours)
    if case.limit is None:
        return info(case.what, _median(ours), peer, share)
    return at_most(case.what, _median(ours), peer, share, case.limit)


def _median(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds) * 1000:,.0f} ms"


def _code(code: str, name: str = "") -> list[str]:
    """Return a command that runs Python code, with the package of that name as ``api``."""
    return ["python", "-c", f"import {name} as api\n{code}" if name else code]


def _output(python: Path, command: Sequence[str]) -> bytes:
    """Run a command of an environment to its end, in a folder of its own, and return what it prints."""
    program, *arguments = command
    environment = dict(os.environ)
    start: list[str | Path] = [python]
    if program == "maskl":
        # an earlier one knows no ``python -m maskl``; the difference is a millisecond or two, at our cost
        start = [python, "-m", "maskl"] if python == HERE else [python.with_name("maskl")]
    if python != HERE:
        environment.pop("PYTHONPATH", None)  # where this maskl is
    with tempfile.TemporaryDirectory(prefix="maskl-bench-") as folder:
        done = subprocess.run([*start, *arguments], cwd=folder, env=environment, check=True, capture_output=True)
    return done.stdout


def _wandb() -> Path | None:
    found = Path(os.environ.get("MASKL_WANDB_PYTHON") or ROOT / ".venv-wandb" / "bin" / "python")
    return found if found.exists() else None


def _before() -> Path | None:
    given = os.environ.get("MASKL_BEFORE_PYTHON")
    if given and not Path(given).with_name("maskl").exists():
        raise FileNotFoundError(f"MASKL_BEFORE_PYTHON is {given}, and there is no maskl beside it")
    return Path(given) if given else None
