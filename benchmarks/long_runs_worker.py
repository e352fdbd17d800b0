"""What ``long_runs`` measures, each case in a process of its own that prints one JSON object; run by path.

Usage: python long_runs_worker.py memory {maskl,wandb} ROWS DATA OUT
       python long_runs_worker.py {small,day,fsync} ROWS OUT

Needs NumPy and the library, and nothing of this package, since W&B lives in another environment.
"""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

#: rows after which memory is what it is to be compared with
FIRST = 1_000
#: rows that a simulated minute brings
MINUTE = 60
NAMES = [{"id": number, "name": f"class {number}"} for number in range(8)]


def resident() -> tuple[int, int]:
    """Return the bytes of memory that this process has now, and the most it had."""
    status = Path("/proc/self/status").read_text()
    now, peak = (int(status.split(f"{name}:")[1].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
    return now, peak


def memory(library: str, rows: int, data: str, out: str) -> dict[str, Any]:
    """Log one table, and follow the memory that it takes."""
    api = importlib.import_module(library)
    frames, truth, (predictions,) = (np.load(Path(data) / f"{name}.npy") for name in ("frames", "truth", "predictions"))
    labels = {int(key): name for key, name in json.loads((Path(data) / "labels.json").read_text()).items()}
    run = api.init(project="benchmark", dir=out)
    table = api.Table(columns=["id", "image", "loss"])
    first, curve = 0, []
    for row in range(rows):
        at = row % len(frames)
        masks = {
            "ground_truth": {"mask_data": truth[at], "class_labels": labels},
            "predictions": {"mask_data": predictions[at], "class_labels": labels},
        }
        table.add_data(row, api.Image(frames[at], masks=masks), 1 / (row + 1))
        if row + 1 == min(FIRST, rows // 4):
            first = resident()[0]
        if (row + 1) % (rows // 4) == 0:
            curve.append(resident()[0])
    run.log({"evaluation": table})
    run.finish()
    return {"first": first, "peak": resident()[1], "curve": curve}


def small(rows: int, out: str) -> dict[str, Any]:
    """Log small rows, and time it from before init() to after finish()."""
    import maskl
    from maskl import Classes, Image, Table, init  # noqa: F401  # imported when they are asked for, not in the timed part

    masks, frame = _small()
    start, cpu = time.perf_counter(), time.process_time()
    run = maskl.init(dir=out, name="small")
    classes = maskl.Classes(NAMES)
    table = maskl.Table(columns=["id", "image"])
    for row in range(rows):
        found = {"ground_truth": {"mask_data": masks[row % 256]}, "predictions": {"mask_data": masks[row * 7 % 256]}}
        table.add_data(row, maskl.Image(frame, classes=classes, masks=found))
    run.log({"evaluation": table})
    run.finish()
    return {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}


def day(rows: int, out: str) -> dict[str, Any]:
    """Log a row in each call, and seal as often as a run does that logs one a second."""
    import maskl

    masks, frame = _small()
    run = maskl.init(dir=out, name="day")
    for row in range(rows):
        found = {"ground_truth": {"mask_data": masks[row % 256]}, "predictions": {"mask_data": masks[row * 7 % 256]}}
        table = maskl.Table(["image", "loss"], [[maskl.Image(frame, masks=found), 0.5]])
        run.log({"evaluation": table, "loss": 0.5})
        if row % MINUTE == MINUTE - 1:
            run._writer.seal()
    run.finish()
    return {"files": sum(path.is_file() for path in Path(out).rglob("*"))}


def fsync(calls: int, out: str) -> dict[str, Any]:
    """Time calls of log() that wait for the disk, and calls that do not, in turn."""
    import maskl

    masks, frame = _small()
    seconds: dict[str, list[float]] = {"process": [], "fsync": []}
    runs = {how: maskl.init(dir=f"{out}/{how}", durability=how, reinit="create_new") for how in seconds}
    for call in range(calls):
        for how, run in runs.items():
            table = maskl.Table(
                ["image"], [[maskl.Image(frame, masks={"predictions": {"mask_data": masks[call % 256]}})]]
            )
            start = time.perf_counter()
            run.log({"evaluation": table, "loss": 0.5})
            seconds[how].append(time.perf_counter() - start)
    for run in runs.values():
        run.finish()
    return {how: statistics.median(found) for how, found in seconds.items()}


def _small() -> tuple[list[Any], Any]:
    chance = np.random.default_rng(0)
    masks = [np.kron(chance.integers(0, 8, (8, 8)), np.ones((8, 8))).astype(np.uint8) for _ in range(256)]
    return masks, chance.integers(0, 255, (64, 64, 3)).astype(np.uint8)


def main() -> None:
    """Run the case that was named."""
    case, *rest = sys.argv[1:]
    if case == "memory":
        library, rows, data, out = rest
        print(json.dumps(memory(library, int(rows), data, out)))
    else:
        print(json.dumps({"small": small, "day": day, "fsync": fsync}[case](int(rest[0]), rest[1])))


if __name__ == "__main__":
    main()
