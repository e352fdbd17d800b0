"""A process that scores rows, ours or theirs, and says what a row took."""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np

DIVISOR: Final = 1000
CLASSES: Final = 12
VOID: Final = CLASSES - 1


def ours(table: str, metric: str, folder: Path) -> dict[str, float]:
    """Score the stored rows of a table, and keep the scores."""
    import maskl
    from benchmarks.timing import peak_bytes

    store = maskl.open(folder / "store")
    store.score("warm", metric, again=True)
    count = len(store.table(table))
    wall, cpu = time.perf_counter(), time.process_time()
    store.score(table, metric, again=True)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"wall": wall / count, "cpu": cpu / count, "bytes": peak_bytes()}


def theirs(metric: str, folder: Path, rows: int) -> dict[str, float]:
    """Score rows of files."""
    warnings.simplefilter("ignore")
    call = {"surface": monai, "boundary": coco, "panoptic": cityscapes}[metric](folder)
    call(0)
    cpu = time.process_time()
    for number in range(rows):
        call(number)
    return {"cpu": (time.process_time() - cpu) / rows}


def pair(folder: Path, number: int) -> tuple[Any, Any]:
    from PIL import Image

    truth, prediction = (np.array(Image.open(folder / f"{what}-{number}.png")) for what in ("truth", "prediction"))
    prediction[truth == VOID] = VOID
    return truth, prediction


def monai(folder: Path) -> Any:
    """Return what measures the surfaces of each class of a row."""
    import monai.metrics as library
    import torch

    torch.set_num_threads(1)

    def score(number: int) -> None:
        a, b = (
            torch.nn.functional.one_hot(torch.from_numpy(mask.astype(np.int64)), CLASSES).permute(2, 0, 1)[None, :VOID]
            for mask in pair(folder, number)
        )
        arguments = {"include_background": True, "spacing": [1.0, 1.0]}
        library.compute_surface_dice(b, a, [1.0] * VOID, **arguments)
        library.compute_hausdorff_distance(b, a, percentile=95, **arguments)
        library.compute_average_surface_distance(b, a, symmetric=True, **arguments)

    return score


def coco(folder: Path) -> Any:
    """Return what counts the boundaries of each class of a row."""
    import faster_coco_eval.core.mask as library

    def score(number: int) -> None:
        truth, prediction = pair(folder, number)
        for of in np.union1d(np.unique(truth), np.unique(prediction)).tolist():
            if of != VOID:
                edges = [
                    library.rleToBoundary(
                        library.encode(np.asfortranarray((mask == of).astype(np.uint8))), 0.02, "opencv"
                    )
                    for mask in (truth, prediction)
                ]
                for intersect in (True, False):
                    library.area(library.merge(edges, intersect))

    return score


def cityscapes(folder: Path) -> Any:
    """Return what matches the segments of a row."""
    from cityscapesscripts.evaluation.evalPanopticSemanticLabeling import pq_compute_single_core
    from PIL import Image

    categories = {number + 1: {"name": str(number), "isthing": 0} for number in range(CLASSES)}

    def listed(name: str, number: int) -> dict[str, Any]:
        bits = np.array(Image.open(folder / name)).astype(np.int64)
        ids, areas = np.unique(bits[:, :, 0] + 256 * bits[:, :, 1] + 65536 * bits[:, :, 2], return_counts=True)
        segments = [
            {"id": i, "category_id": ((i - 1) // DIVISOR if i > DIVISOR else i - 1) + 1, "iscrowd": 0, "area": area}
            for i, area in zip(ids.tolist(), areas.tolist(), strict=True)
        ]
        return {"image_id": number, "file_name": name, "segments_info": segments}

    known: dict[int, Any] = {}

    def score(number: int) -> None:
        pq_compute_single_core(0, [known[number]], str(folder), str(folder), categories)

    count = len(list(folder.glob("truth-*-ids.png")))
    for number in range(count):  # the evaluator is given them in a JSON file
        known[number] = tuple(listed(f"{what}-{number}-ids.png", number) for what in ("truth", "prediction"))
    return score


if __name__ == "__main__":
    side, metric, folder, rows = sys.argv[1:]
    found = theirs(metric, Path(folder), int(rows)) if side == "theirs" else ours(side, metric, Path(folder))
    print(json.dumps(found))
