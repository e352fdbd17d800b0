"""Logging rows of one frame and two masks, from init() to finish(), against W&B offline, in each format of frames."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import maskl
from benchmarks import data
from benchmarks.peers import WANDB, Spent, prepare, run_maskl, run_wandb
from benchmarks.report import Result, at_least, info
from benchmarks.timing import median_ratio, per_second

__all__ = ["run"]

ROWS: Final = 404
#: rows of 2048 × 1024 pixels, twelve times as many
LARGE_ROWS: Final = 48
LARGE: Final = (2048, 1024)
REPETITIONS: Final = 3
#: what is logged, where frames come from, the format of frames, what W&B is given, and how many times as fast maskl is
CASES: Final = (
    ("arrays as webp", "arrays", "webp", "arrays", 12),
    ("arrays as png", "arrays", "png", "arrays", 22),
    ("arrays as jxl", "arrays", "jxl", "arrays", 30),
    ("files", "files", "webp", "files", 18),
    ("stored", "arrays", "webp", "arrays", 75),
)
FORMATS: Final = ("webp", "png", "jxl")


def run(scale: float) -> list[Result]:
    """Measure rows from arrays, from image files, and of frames that the store holds already; and of large ones."""
    count, large = max(20, round(ROWS * scale)), max(8, round(LARGE_ROWS * scale))
    scenes = data.distinct(count)
    with tempfile.TemporaryDirectory(prefix="maskl-bench-") as temporary:
        folder = Path(temporary)
        prepare(folder / "data", scenes, [[scene.final for scene in scenes]], files=True)
        repetitions = [_repetition(folder, number) for number in range(REPETITIONS)]
        _check(folder / "arrays as webp-0", 2 * count)
        enlarged = [data.enlarged(scene, LARGE) for scene in scenes[:large]]
        prepare(folder / "large", enlarged, [[scene.final for scene in enlarged]], files=False)
        of_large = [_large_repetition(folder, number) for number in range(REPETITIONS)]
    results = []
    for case, _, _, peer, limit in CASES:
        ours, theirs = ([spent[name] for spent in repetitions] for name in (case, f"wandb {peer}"))
        ratio = median_ratio(_seconds(theirs), _seconds(ours))
        told = f"W&B {WANDB}, {peer}: {_told(count, theirs)}"
        results.append(at_least(f"{count} rows, {case}", _told(count, ours), told, ratio, limit))
    theirs = [spent["wandb"] for spent in of_large]
    for form in FORMATS:
        ours = [spent[form] for spent in of_large]
        what = f"{large} rows of {LARGE[0]} × {LARGE[1]}, arrays as {form}"
        told = (
            f"W&B {WANDB}: {_told(large, theirs)}; {median_ratio(_seconds(theirs), _seconds(ours)):.3g} times as long"
        )
        results.append(info(what, _told(large, ours), told))
    return results


def _seconds(spent: Sequence[Spent]) -> list[float]:
    return [one.seconds for one in spent]


def _told(count: int, spent: Sequence[Spent]) -> str:
    """Return rows in a second, and the processor's time of a row."""
    cpu = statistics.median(one.cpu for one in spent) / count
    return f"{per_second(count, _seconds(spent))}, {1000 * cpu:.1f} ms of CPU each"


def _repetition(folder: Path, number: int) -> dict[str, Spent]:
    """Return what each case took; every one writes to a new place, but the stored frames' run."""
    rows = folder / "data"
    spent = {}
    for case, source, form, _, _ in CASES:
        place = "arrays as webp" if case == "stored" else case
        spent[case] = run_maskl(source, rows, folder / f"{place}-{number}", form)
        if case in ("arrays as webp", "files"):  # beside what it is compared with first
            spent[f"wandb {source}"] = run_wandb(source, rows, folder / "wandb")
            shutil.rmtree(folder / "wandb")
    return spent


def _large_repetition(folder: Path, number: int) -> dict[str, Spent]:
    spent = {form: run_maskl("arrays", folder / "large", folder / f"large-{form}-{number}", form) for form in FORMATS}
    spent["wandb"] = run_wandb("arrays", folder / "large", folder / "wandb")
    shutil.rmtree(folder / "wandb")
    return spent


def _check(store: Path, count: int) -> None:
    stored = maskl.open(store).table("evaluation")
    if len(stored) != count:
        raise AssertionError(f"{count} rows were logged, and {len(stored)} are stored")
