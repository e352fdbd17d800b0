"""Scores of stored rows against the libraries that are their oracles: one process each, decoding included.

A row's scores are computed and committed by ``store.score``; a peer reads the row's two masks from PNG files, and gets
as far as numbers of each class. Peers are slow, so that they score a sample.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

import maskl
from benchmarks.data import CLASSES, distinct
from benchmarks.peers import environment
from benchmarks.report import Result, at_least, at_most, info
from benchmarks.scoring_worker import DIVISOR

__all__ = ["run"]

ROWS: Final = 10_000
#: rows that are scored to be compared, round after round, and before that to be warm
COMPARED: Final = 1000
WARM: Final = 30
SAMPLE: Final = 60
ROUNDS: Final = 3
WORKER: Final = Path(__file__).with_name("scoring_worker.py")
PACKAGES: Final = (
    "cityscapesScripts==2.3.0", "faster-coco-eval==1.8.0", "monai==1.6.1", "opencv-python-headless", "scipy", "torch",
    "pillow", "numpy",
)  # fmt: skip
#: what each metric is compared with, and how much faster it is to be
PEERS: Final = {
    "surface": ("MONAI", 8.0),
    "boundary": ("faster-coco-eval", 2.5),
    "panoptic": ("cityscapesScripts", 20.0),
}
MAX_BYTES: Final = 500 << 20
#: classes whose regions are objects
THINGS: Final = ("car", "pedestrian", "bicyclist")


def run(scale: float) -> list[Result]:
    """Score a table by each metric, and a sample of its rows by the peers."""
    rows, sample = max(60, round(ROWS * scale)), max(10, round(SAMPLE * min(scale, 1)))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pairs = [(objects(scene.truth), objects(scene.final)) for scene in distinct(101)]
        write_files(folder, pairs[:sample])
        for table, count in (("warm", WARM), ("compared", min(rows, COMPARED)), ("whole", rows)):
            log(folder, table, pairs, count)
        return list(_compared(folder, rows, sample))


def objects(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """Return a mask whose connected regions of things are objects: class · 1000 + number."""
    from scipy import ndimage

    found = mask.astype(np.int32)
    for number, name in CLASSES.items():
        if name in THINGS:
            labels, _ = ndimage.label(mask == number)
            found[labels > 0] = number * DIVISOR + labels[labels > 0] - 1
    return found


def write_files(folder: Path, pairs: list[tuple[Any, Any]]) -> None:
    """Write masks as peers read them: ids in three bytes for the panoptic evaluator, classes for the others."""
    for number, pair in enumerate(pairs):
        for what, ids in zip(("truth", "prediction"), pair, strict=True):
            classes = np.where(ids >= DIVISOR, ids // DIVISOR, ids).astype(np.uint8)
            Image.fromarray(classes).save(folder / f"{what}-{number}.png")
            # the evaluator takes 0 for void
            coded = ids + 1
            bits = np.stack([coded >> shift & 255 for shift in (0, 8, 16)], axis=2).astype(np.uint8)
            Image.fromarray(bits).save(folder / f"{what}-{number}-ids.png")


def log(folder: Path, name: str, pairs: list[tuple[Any, Any]], rows: int) -> None:
    """Log rows of masks with segments; the last class is ignored, as the peers' void is."""
    frame = np.zeros((360, 480), np.uint8)
    with maskl.init(dir=folder / "store", name=name, settings={"silent": True}) as active:
        table = maskl.Table(["image"], log_mode="INCREMENTAL")
        for number in range(rows):
            truth, prediction = pairs[number % len(pairs)]
            segments = {"segments": {"divisor": DIVISOR}, "class_labels": CLASSES}
            masks = {
                "ground_truth": {"mask_data": truth, "ignore_index": len(CLASSES) - 1, **segments},
                "predictions": {"mask_data": prediction, **segments},
            }
            table.add_data(maskl.Image(np.roll(frame, number), masks=masks))
            if number % 1000 == 999:
                active.log({name: table})
        active.log({name: table})


def _compared(folder: Path, rows: int, sample: int) -> Iterator[Result]:
    peers, here = environment("scoring", PACKAGES), Path(sys.executable)
    for metric, (name, limit) in PEERS.items():
        rounds = [
            (_call(peers, "theirs", metric, folder, sample), _call(here, "compared", metric, folder, sample))
            for _ in range(ROUNDS)
        ]
        ratio = statistics.median(peer["cpu"] / mine["cpu"] for peer, mine in rounds)
        peer, mine = (statistics.median(side["cpu"] for side in sides) for sides in zip(*rounds, strict=True))
        what = f"`{metric}`: CPU a row of 480 × 360, one process"
        yield at_least(what, f"{1000 * mine:.2f} ms", f"{name} {1000 * peer:.1f} ms", ratio, limit)
        whole = _call(here, "whole", metric, folder, sample)
        yield info(f"scoring {rows:,} rows by it", f"{1 / whole['wall']:,.0f} rows/s")
        used = whole["bytes"]
        yield at_most("memory of the process", f"{used / 1e6:,.0f} MB", "500 MB", used / MAX_BYTES, 1)


def _call(python: Path, side: str, metric: str, folder: Path, rows: int) -> dict[str, float]:
    module = [str(WORKER)] if side == "theirs" else ["-m", "benchmarks.scoring_worker"]
    done = subprocess.run(
        [python, *module, side, metric, folder, str(rows)], check=True, capture_output=True, text=True,
        cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found
