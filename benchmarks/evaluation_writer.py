"""Write a store of many small masks, and print how long it took and the memory it needed.

Usage: python -m benchmarks.evaluation_writer ROWS DIR RUNS [SIDE [FIRST]]

The masks have SIDE pixels each way, and the runs are numbered from FIRST on: several processes write one store.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks import data
from benchmarks.cells import image_cell, image_of_all
from benchmarks.timing import peak_bytes
from maskl_storage import (
    ClassItem,
    Column,
    ImageCell,
    Layout,
    RunInfo,
    Writer,
    locate,
)
from maskl_storage.format.metadata import ClassSet

SIDE: Final = 64
#: pixels of a scene, each way, that the masks are made of
CROP: Final = 4 * SIDE
CELLS: Final = 1000
CLASS_SET: Final = ClassSet(ClassItem(number, name, ignore=name == "void") for number, name in data.CLASSES.items())
COLUMNS: Final = (Column("value", "id", "int"), Column("image", "image"), Column("value", "loss", "float"))


def cells(side: int = SIDE) -> list[ImageCell]:
    """Return image cells with two masks each: crops of the scenes, as many pixels each way."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(CELLS):
        scene = data.scenes()[number % len(data.scenes())]
        y, x = rng.integers(0, scene.truth.shape[0] - CROP), rng.integers(0, scene.truth.shape[1] - CROP)
        crop = np.s_[y : y + CROP : CROP // side, x : x + CROP : CROP // side]
        made.append(image_cell({"ground_truth": scene.truth[crop], "predictions": scene.final[crop]}, CLASS_SET))
    return made


def rows(count: int, images: list[ImageCell]) -> Iterator[tuple[int, ImageCell, float]]:
    """Yield the rows, so that the writer is all that holds them."""
    for number in range(count):
        yield number, images[number % len(images)], number / count


def main() -> None:
    """Write and report."""
    count, folder, runs = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    side, first = map(int, [*sys.argv[4:], *(str(SIDE), "0")[len(sys.argv) - 4 :]])
    images = cells(side)
    before, start = peak_bytes(), time.perf_counter()
    for number in range(first, first + runs):
        writer = Writer(Layout.create(locate(folder)), RunInfo(f"synthetic-{number}", f"synthetic-{number}"))
        writer.add_image(image_of_all(side))
        writer.append("evaluation", COLUMNS, rows(count // runs, images), step=0)
        writer.close()
    print(json.dumps({"seconds": time.perf_counter() - start, "peak": peak_bytes(), "before": before}))


if __name__ == "__main__":
    main()
