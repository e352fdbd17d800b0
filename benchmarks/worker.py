"""Log prepared rows with maskl or W&B, and print how long it took; run by path, in a process of its own.

Usage: python worker.py {maskl,wandb} {arrays,files} DATA OUT

The two libraries get the very same calls. Needs NumPy and the library, and nothing of this package,
since W&B lives in another environment.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np


def load(source: str, data: Path) -> tuple[list[Any], Any, Any]:
    """Return frames (arrays or paths), ground truth (N, H, W) and predictions (epochs, N, H, W)."""
    truth, predictions = np.load(data / "truth.npy"), np.load(data / "predictions.npy")
    if source == "files":
        return sorted(map(str, (data / "frames").glob("*.png"))), truth, predictions
    return list(np.load(data / "frames.npy")), truth, predictions


def log_all(api: Any, labels: dict[int, str], out: str, frames: list[Any], truth: Any, predictions: Any) -> None:
    """Log a table for each epoch; from just before init() to just after finish()."""
    run = api.init(project="benchmark", dir=out)
    classes = api.Classes([{"id": number, "name": name} for number, name in labels.items()])
    for step, epoch in enumerate(predictions):
        table = api.Table(columns=["id", "image", "loss"])
        for index, frame in enumerate(frames):
            masks = {
                "ground_truth": {"mask_data": truth[index], "class_labels": labels},
                "predictions": {"mask_data": epoch[index], "class_labels": labels},
            }
            table.add_data(index, api.Image(frame, masks=masks, classes=classes), 1 / (index + 1))
        run.log({"evaluation": table}, step=step)
    run.finish()


def main() -> None:
    """Load, log, report."""
    library, source, data, out = sys.argv[1:]
    labels = {int(key): name for key, name in json.loads((Path(data) / "labels.json").read_text()).items()}
    api = importlib.import_module(library)
    prepared = load(source, Path(data))
    for name in ("init", "Classes", "Table", "Image"):
        getattr(api, name)  # maskl imports what is asked for
    before, start = time.process_time(), time.perf_counter()
    log_all(api, labels, out, *prepared)
    print(json.dumps({"seconds": time.perf_counter() - start, "cpu_before": before}))


if __name__ == "__main__":
    main()
