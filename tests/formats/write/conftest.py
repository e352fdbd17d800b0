"""A store to export: two runs of one table with all kinds of columns, and a second table."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maskl

LABELS = {0: "도로", 1: "car", 2: "하늘"}
OTHERS = {0: "ground", 7: "sky"}
#: the dtype and ids of each row's mask
MASKS = [
    ("uint8", [0, 1]),
    ("bool", [0, 1]),
    ("int64", [0, 2]),
    (">u2", [1, 300]),
    ("int32", [-5, 70_000]),
    ("uint16", [1, 2]),
]


def mask_of(number: int) -> np.ndarray[Any, Any]:
    """Return a mask of an odd size, with ids and dtype of its own."""
    dtype, ids = MASKS[number % len(MASKS)]
    pixels = np.random.default_rng(number).integers(0, 2, (7, 5))
    return np.array(ids)[pixels].astype(dtype)


def image_of(number: int) -> maskl.Image:
    """Return an image with one mask, two, or none; one row in six is a reference."""
    if number % 6 == 5:
        return maskl.Image("https://example.com/a.png", caption="멀리")
    masks: dict[str, Any] = {}
    if number % 4 != 3:
        masks["ground_truth"] = {"mask_data": mask_of(number), "class_labels": LABELS, "ignore_index": 2}
    if number % 2:
        masks["예측"] = {"mask_data": mask_of(number + 1), "class_labels": OTHERS}
    box = {"position": {"minX": 0.1, "maxX": 0.5, "minY": 0.25, "maxY": 0.75}, "class_id": 1, "scores": {"loss": 0.5}}
    boxes = {"found": {"box_data": [box] * (number % 3), "class_labels": LABELS}} if number % 3 else None
    pixels = np.random.default_rng(100 + number).integers(0, 255, (7, 5, 3)).astype(np.uint8)
    return maskl.Image(pixels, caption=f"장면 {number}" if number % 2 else None, masks=masks or None, boxes=boxes)


def row_of(number: int) -> list[Any]:
    """Return a row of plain values and an image."""
    missing = number % 5 == 4
    return [
        number,
        None if missing else image_of(number),
        None if missing else number / 4,
        f"이름 {number}",
        {"a": [number, None], "b": b"x"},
        list(range(number % 3)),
        np.full((2, 2), number, np.float32),
        datetime(2026, 1, 1, 0, 0, number, tzinfo=timezone.utc),
        bool(number % 2),
        bytes([number]),
    ]


COLUMNS = ["id", "image", "loss", "name", "more", "list", "array", "at", "flag", "raw"]


def fill(store_dir: Path) -> maskl.Store:
    """Log two runs: twelve rows in two steps, and five with other columns and class names."""
    with maskl.init(dir=store_dir, name="첫 실행") as run:
        for step in range(2):
            run.log({"표": maskl.Table(COLUMNS, [row_of(6 * step + number) for number in range(6)])}, step=step)
        run.log({"other": maskl.Table(["id"], [[1], [2]])}, step=2)
    with maskl.init(dir=store_dir, name="second") as run:
        table = maskl.Table(["id", "image", "extra"])
        for number in range(5):
            masks = {"ground_truth": {"mask_data": mask_of(number), "class_labels": {0: "street", 1: "auto"}}}
            pixels = np.full((7, 5), number, np.uint8)
            table.add_data(number + 0.5, maskl.Image(pixels, masks=masks), "x")
        run.log({"표": table}, step=1)
    return maskl.open(store_dir)


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a store that no test changes."""
    folder = tmp_path_factory.mktemp("exported")
    fill(folder)
    return folder


@pytest.fixture
def store(filled: Path) -> maskl.Store:
    """The store, opened."""
    return maskl.open(filled)
