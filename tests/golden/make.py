"""Write the golden store of the current format version; run only when the format's version changes.

Usage: python tests/golden/make.py

The masks come from a formula, not from a random generator, so that any NumPy gives the same ones.
"""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import maskl
from maskl_storage.format.document import VERSION

HERE = Path(__file__).parent / f"v{VERSION}"

DTYPES = ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", ">u2")


def blobs(height: int, width: int, seed: int, classes: int) -> np.ndarray:
    """Return an image of blobs with ids from 0 to classes − 1."""
    y, x = np.mgrid[:height, :width]
    wave = np.sin((x + seed) / 7.0) + np.cos((y - seed) / 5.0) + np.sin((x + 2 * y) / 11.0)
    return ((wave + 3) / 6.001 * classes).astype(np.int64)


def noise(height: int, width: int) -> np.ndarray:
    """Return what looks like noise: a linear congruential sequence."""
    numbers = (np.arange(height * width, dtype=np.uint64) * 2862933555777941757 + 3037000493) >> 40
    return (numbers % 7).astype(np.int64).reshape(height, width)


def masks() -> dict[str, np.ndarray]:
    """Return every kind of mask that the layout knows."""
    made = {f"blobs {dtype}": (blobs(37, 53, 3, 2 if dtype == "bool" else 9)).astype(dtype) for dtype in DTYPES}
    made["negative"] = (blobs(20, 30, 1, 5) - 3).astype(np.int16)
    made["wide"] = (blobs(90, 300, 2, 4) * 500_000_000 - 1_000_000_000).astype(np.int32)
    made["constant"] = np.full((16, 700), 5, np.uint8)
    made["noise"] = noise(70, 70).astype(np.uint8)
    made["one pixel"] = np.array([[255]], np.uint8)
    return made


def boxes(index: int) -> list[dict[str, Any]]:
    """Return boxes of every form and domain."""
    corners = {"minX": 0.125, "maxX": 0.5, "minY": 0.25, "maxY": 1.5}
    middle = {"middle": [2, 1.5], "width": 2, "height": index}
    return [
        {"position": corners, "class_id": index % 3, "scores": {"정확도": 0.5, "loss": float(index)}},
        {"position": middle, "domain": "pixel", "class_id": 2, "box_caption": f"상자 {index}"},
        {"position": {**corners, "maxX": 4}, "domain": "pixel", "scores": {}},
        {"position": {**middle, "middle": [0.5, 0.5]}},
    ][: index % 5]


def predicted(index: int, mask: np.ndarray) -> np.ndarray:
    """Return a prediction: the mask moved by three columns, one of them narrower than its image's other mask."""
    moved = np.roll(mask, 3, axis=1)
    return moved[:, 1:].copy() if index == 7 else moved


def main() -> None:
    """Make the store and what a reader should find in it."""
    shutil.rmtree(HERE, ignore_errors=True)
    HERE.mkdir(parents=True)
    labels = {number: f"종류 {number}" for number in range(9)}
    table = maskl.Table(columns=["name", "image", "score"])
    expected = []
    for index, (name, mask) in enumerate(masks().items()):
        own = {**labels, 0: "배경"} if index == 3 else labels  # contradicts the others
        image = maskl.Image(
            np.full((4, 4, 3), index, np.uint8),
            caption=f"mask {index}",
            masks=None
            if index == 5
            else {
                "참값": {"mask_data": mask, "class_labels": own, "ignore_index": 8},
                "예측": {"mask_data": predicted(index, mask), "class_labels": labels},
            },
            boxes={"참값": {"box_data": boxes(index), "class_labels": own}} if index % 6 else None,
        )
        table.add_data(name, image, None if index == 7 else index / 4)
        expected.append(
            {
                "name": name,
                "score": None if index == 7 else index / 4,
                "dtype": mask.dtype.str,
                "mask": None if index == 5 else mask.astype(np.int64).tolist(),
                "predicted": None if index == 5 else predicted(index, mask).astype(np.int64).tolist(),
                "zero": None if index == 5 else own[0],
                "boxes": boxes(index) if index % 6 else None,
                "box_names": own if index % 6 else None,
            }
        )
    with maskl.init(name="golden", id="golden/1", dir=HERE / "maskl-store") as run:
        run.log({"표": table}, step=4)
    (HERE / "maskl-store" / ".gitignore").unlink()
    (HERE / "expected.json").write_text(json.dumps(expected, ensure_ascii=False, separators=(",", ":")))


if __name__ == "__main__":
    warnings.simplefilter("ignore", maskl.errors.SizeMismatchWarning)
    main()
