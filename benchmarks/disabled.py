"""What logging costs while it is disabled: an image with two masks, made and logged, against the enabled call."""

from __future__ import annotations

import tempfile
from itertools import cycle
from pathlib import Path
from typing import Final

import maskl
from benchmarks import data
from benchmarks.report import Result, at_most
from benchmarks.timing import median_ratio, timed

__all__ = ["run"]

CALLS: Final = 200
#: a disabled call takes microseconds, too few for one clock
TIMES: Final = 20
ROUNDS: Final = 7


def run(scale: float) -> list[Result]:
    """Measure the calls in turn; every frame is stored before, which is the cheapest that an enabled call can be."""
    scenes = data.scenes()
    count = max(20, round(CALLS * scale))
    rounds = max(2, round(ROUNDS * scale))
    disabled, enabled = [], []
    with tempfile.TemporaryDirectory(prefix="maskl-bench-") as folder:
        _seconds("offline", Path(folder), scenes, len(scenes))
        for _ in range(rounds):
            enabled.append(_seconds("offline", Path(folder), scenes, count) / count)
            disabled.append(_seconds("disabled", Path(folder), scenes, count * TIMES) / (count * TIMES))
        _check(Path(folder), len(scenes) + rounds * count)
    share = 1 / median_ratio(enabled, disabled)
    ours, theirs = (f"{sorted(seconds)[rounds // 2] * 1e6:,.1f} µs" for seconds in (disabled, enabled))
    return [at_most("log() of an image and two masks", ours, f"enabled: {theirs}", share, 0.02)]


def _seconds(mode: str, folder: Path, scenes: tuple[data.Scene, ...], count: int) -> float:
    """Return the seconds of the calls themselves: without the run's start and end."""
    turn = cycle(scenes)
    labels = dict(data.CLASSES)
    with maskl.init(dir=folder, mode=mode, settings=maskl.Settings(silent=True)) as logged:
        return timed(lambda: [_log(logged, next(turn), labels) for _ in range(count)])


def _log(logged: maskl.Run, scene: data.Scene, labels: dict[int, str]) -> None:
    masks = {
        "ground_truth": {"mask_data": scene.truth, "class_labels": labels},
        "predictions": {"mask_data": scene.final, "class_labels": labels},
    }
    logged.log({"frame": maskl.Image(scene.frame, caption="a frame", masks=masks)})


def _check(folder: Path, rows: int) -> None:
    """Check that the enabled calls stored their rows, and the disabled ones none."""
    found = len(maskl.open(folder).table("frame"))
    if found != rows:
        raise AssertionError(f"{rows} rows were logged, {found} are stored")
