"""IoU of every class over ten thousand rows: one SQL query against decoding a Hugging Face dataset's masks."""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np

import maskl
from benchmarks.data import CLASSES, origin, scenes
from benchmarks.peers import environment
from benchmarks.report import Result, at_least, info
from benchmarks.timing import alternate

__all__ = ["run"]

ROWS: Final = 10_000
DATASETS: Final = "5.2.0"
ROUNDS: Final = 9
LIMIT: Final = 1000
QUERY: Final = "SELECT class_name, iou FROM class_iou('evaluation')"
WORKER: Final = Path(__file__).with_name("hugging_face_worker.py")


def run(scale: float) -> list[Result]:
    """Ask both for the IoU of every class; without ``datasets`` there is nothing to compare with."""
    count = max(200, round(ROWS * scale))
    with tempfile.TemporaryDirectory(prefix="maskl-bench-") as temporary:
        folder = Path(temporary)
        _log(folder, count)
        try:
            theirs = _peer(folder, count)
        except subprocess.CalledProcessError as error:
            return [info("Hugging Face datasets", "not measured", f"could not be installed or run: {error}")]
        store = maskl.open(folder)
        found = dict(store.sql(QUERY).fetchall())
        wrong = [name for name, iou in theirs["iou"].items() if iou != found[name] and abs(iou - found[name]) > 1e-12]
        if wrong:
            raise AssertionError(f"the IoU of {wrong} differs: {found} and {theirs['iou']}")
        (seconds,) = alternate(lambda: store.sql(QUERY).fetchall(), rounds=ROUNDS, warm_up=2)
        ours = statistics.median(seconds)
        what = f"IoU of every class, {count:,} rows ({origin()})"
        peer = f"datasets {DATASETS}, decode all and np.bincount {theirs['seconds']:.1f} s"
        return [at_least(what, f"{1000 * ours:,.1f} ms", peer, theirs["seconds"] / ours, LIMIT)]


def _log(folder: Path, count: int) -> None:
    """Log the scenes over and over, and save their masks once for the peer."""
    rows = scenes()
    void = next(number for number, name in CLASSES.items() if name == "void")
    images = [
        maskl.Image(
            scene.frame[:1, :1],
            masks={
                "ground_truth": {"mask_data": scene.truth, "class_labels": CLASSES, "ignore_index": void},
                "predictions": {"mask_data": scene.final, "class_labels": CLASSES},
            },
        )
        for scene in rows
    ]
    table = maskl.Table(["image"])
    with maskl.init(dir=folder, name="run") as run:
        for number in range(count):
            table.add_data(images[number % len(images)])
        run.log({"evaluation": table})
    for name, masks in (("truth", [s.truth for s in rows]), ("prediction", [s.final for s in rows])):
        np.save(folder / f"{name}.npy", np.stack(masks))
    (folder / "classes.json").write_text(json.dumps({"void": void, "names": list(CLASSES.values())}))


def _peer(folder: Path, count: int) -> dict[str, Any]:
    python = environment(f"datasets-{DATASETS}", [f"datasets=={DATASETS}", "pillow", "numpy"])
    done = subprocess.run(
        [python, WORKER, str(folder), str(count)], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report
