"""Prepared rows on disk, and the processes that log them with maskl or W&B."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from PIL import Image

from benchmarks.data import CLASSES, Mask, Scene

__all__ = ["WANDB", "Spent", "environment", "prepare", "run_maskl", "run_wandb", "wandb_python"]

WANDB: Final = "0.31.0"
WORKER: Final = Path(__file__).with_name("worker.py")


class Spent(NamedTuple):
    """What logging took: seconds by the clock, and by the processors, those of W&B's own processes too."""

    seconds: float
    cpu: float


def environment(name: str, packages: Sequence[str], ready: str = ".ready") -> Path:
    """Return the interpreter of an environment with these packages, made first where it is missing.

    ``ready`` is the file that says that all of it is there.
    """
    cache = Path(os.environ.get("MASKL_BENCH_CACHE") or Path.home() / ".cache" / "maskl-bench")
    folder = cache / name
    python = folder / "bin" / "python"
    if not (folder / ready).exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
        (folder / ready).touch()
    return python


def wandb_python() -> Path:
    """Return the interpreter of W&B's environment, made first where it is missing."""
    return environment(f"wandb-{WANDB}", [f"wandb=={WANDB}", "pillow", "numpy"], "bin/wandb")


def prepare(folder: Path, scenes: Iterable[Scene], predictions: Iterable[Iterable[Mask]], *, files: bool) -> None:
    """Write the rows that workers load before their clocks start."""
    rows = list(scenes)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "frames.npy", np.stack([scene.frame for scene in rows]))
    np.save(folder / "truth.npy", np.stack([scene.truth for scene in rows]))
    np.save(folder / "predictions.npy", np.stack([np.stack(list(epoch)) for epoch in predictions]))
    (folder / "labels.json").write_text(json.dumps(CLASSES))
    if files:
        (folder / "frames").mkdir()
        for number, scene in enumerate(rows):
            Image.fromarray(scene.frame).save(folder / "frames" / f"{number:05}.png")


def run_maskl(source: str, data: Path, out: Path, image_format: str = "webp") -> Spent:
    """Log everything to the store at ``out/maskl-store``, frames in this format, and return what it took."""
    return _run(Path(sys.executable), "maskl", source, data, out, {"MASKL_IMAGE_FORMAT": image_format})


def run_wandb(source: str, data: Path, out: Path) -> Spent:
    """Log everything with W&B offline, all that it writes below ``out``, and return what it took."""
    folders = {f"WANDB_{name}_DIR": out / name.lower() for name in ("DATA", "ARTIFACT", "CACHE", "CONFIG")}
    settings = {"WANDB_DIR": out, "TMPDIR": out / "tmp", **folders}
    for folder in settings.values():
        folder.mkdir(parents=True, exist_ok=True)
    extra = {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    return _run(wandb_python(), "wandb", source, data, out, extra | {key: str(path) for key, path in settings.items()})


def _run(python: Path, library: str, source: str, data: Path, out: Path, extra: dict[str, str]) -> Spent:
    out.mkdir(parents=True, exist_ok=True)
    os.sync()  # else one side pays for what the other left to be written
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("WANDB_", "MASKL_", "PYTHON"))}
    before = _cpu_of_children()
    done = subprocess.run(
        [python, WORKER, library, source, data, out], env=kept | extra, cwd=out, check=True, stdout=subprocess.PIPE
    )
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return Spent(float(report["seconds"]), _cpu_of_children() - before - float(report["cpu_before"]))


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
