"""Logging rows of one frame and two masks, from init() to finish(), against W&B offline."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Final

import maskl
from benchmarks import data
from benchmarks.peers import WANDB, prepare, run_maskl, run_wandb
from benchmarks.report import Result, at_least
from benchmarks.timing import median_ratio, per_second

__all__ = ["run"]

ROWS: Final = 404
REPETITIONS: Final = 3
CASES: Final = (("arrays", "arrays", 12), ("files", "files", 14), ("stored", "arrays", 50))


def run(scale: float) -> list[Result]:
    """Measure rows from arrays, from image files, and of frames that the store holds already."""
    count = max(20, round(ROWS * scale))
    scenes = data.distinct(count)
    with tempfile.TemporaryDirectory(prefix="maskl-bench-") as temporary:
        folder = Path(temporary)
        prepare(folder / "data", scenes, [[scene.final for scene in scenes]], files=True)
        repetitions = [_repetition(folder, number) for number in range(REPETITIONS)]
        _check(folder / "stored-0", 2 * count)
    results = []
    for case, peer, limit in CASES:
        ours = [seconds[f"maskl {case}"] for seconds in repetitions]
        theirs = [seconds[f"wandb {peer}"] for seconds in repetitions]
        wandb = f"W&B {WANDB}, {peer}: {per_second(count, theirs)}"
        ratio = median_ratio(theirs, ours)
        results.append(at_least(f"{count} rows, {case}", per_second(count, ours), wandb, ratio, limit))
    return results


def _repetition(folder: Path, number: int) -> dict[str, float]:
    """Return the seconds of each case; every one writes to a new place, but the stored frames' second run."""
    rows = folder / "data"
    seconds = {
        "maskl arrays": run_maskl("arrays", rows, folder / f"stored-{number}"),
        "maskl stored": run_maskl("arrays", rows, folder / f"stored-{number}"),
        "wandb files": run_wandb("files", rows, folder / "wandb"),
        "maskl files": run_maskl("files", rows, folder / f"files-{number}"),
        "wandb arrays": run_wandb("arrays", rows, folder / "wandb"),
    }
    shutil.rmtree(folder / "wandb")
    return seconds


def _check(store: Path, count: int) -> None:
    stored = maskl.open(store).table("evaluation")
    if len(stored) != count:
        raise AssertionError(f"{count} rows were logged, and {len(stored)} are stored")
