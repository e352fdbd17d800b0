"""A store of 3,000 small runs: what a first question costs, the store opened for it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

from maskl_storage import (
    ClassItem,
    Column,
    ImageBytes,
    ImageCell,
    Layout,
    Rows,
    RunInfo,
    Writer,
    count_mask,
    encode_mask,
    joint_cells,
    locate,
)
from maskl_storage.format.metadata import ClassSet

__all__ = ["write"]

RUNS: Final = 3000
SIDE: Final = 16
TABLE: Final = "evaluation"
CLASS_SET: Final = ClassSet(ClassItem(number, name) for number, name in enumerate(("sky", "road", "car", "tree")))
COLUMNS: Final = (Column("value", "id", "int"), Column("image", "image"))
IMAGE: Final = ImageBytes("0" * 64, "png", "L", SIDE, SIDE, b"one image for all rows")


def write(folder: Path, runs: int = RUNS) -> None:
    """Write a store of runs that each log two rows to one table, and a loss at two steps."""
    layout = Layout.create(locate(folder))
    for number in range(runs):
        writer = Writer(layout, RunInfo(f"run-{number:04}", f"name-{number}", config={"lr": number / runs}))
        if not number:  # the rows of the others refer to it
            writer.add_image(IMAGE)
        for step in range(2):
            rows = Rows(COLUMNS, [(step, _cell(number, step))])
            writer.write({TABLE: rows}, step, {"loss": 1 / (1 + number + step)})
        writer.close()


def _cell(number: int, step: int) -> ImageCell:
    rng = np.random.default_rng([number, step])
    arrays: dict[str, Any] = {
        key: np.sort(rng.integers(0, len(CLASS_SET), (SIDE, SIDE), np.uint8)) for key in ("ground_truth", "predictions")
    }
    encoded = {key: encode_mask(array) for key, array in arrays.items()}
    masks = {key: count_mask(*parts, CLASS_SET, statistics=None) for key, parts in encoded.items()}
    joints = joint_cells({key: runs for key, (_, runs, _) in encoded.items()})
    return ImageCell(IMAGE.digest, IMAGE.format, IMAGE.mode, SIDE, SIDE, masks=masks, joints=joints)


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]))
