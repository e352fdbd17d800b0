"""A day of one row a second, sealed every minute: what a writer's merging leaves, and what it writes for that."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from maskl_storage import (
    Column,
    ImageCell,
    Layout,
    Rows,
    RunInfo,
    Store,
    Writer,
    count_mask,
    encode_mask,
    joint_cells,
)
from maskl_storage.format.metadata import ClassItem, ClassSet
from maskl_storage.format.seals import Seal
from maskl_storage.merge.background import merge_writer
from maskl_storage.verify.verify import verify
from tests.storage.stores import png

pytestmark = pytest.mark.durability

MINUTES, ROWS = 1440, 60
CLASSES = ClassSet((ClassItem(0, "sky"), ClassItem(1, "road"), ClassItem(2, "car")))
COLUMNS = (Column("image", "image"), Column("value", "n", "int"))


def rows_of_a_minute(writer: Writer, minute: int) -> Rows:
    """Sixty rows of an image with two masks; ten images are new."""
    rng = np.random.default_rng(minute)
    cells = []
    for second in range(ROWS):
        masks, runs = {}, {}
        for key in ("ground_truth", "predictions"):
            pixels = np.zeros((24, 32), np.uint8)
            pixels[rng.integers(24) :] = 1
            pixels[:, : rng.integers(1, 32)] = 2
            data, runs[key], counts = encode_mask(pixels)
            masks[key] = count_mask(data, runs[key], counts, CLASSES, statistics=None)
        image = png(minute * 10 + second % 10)
        writer.add_image(image)
        cells.append((ImageCell(image.digest, "png", "L", 1, 1, masks=masks, joints=joint_cells(runs)), second))
    return Rows(COLUMNS, cells)


def size(seal: Seal) -> int:
    return seal.bytes + len(json.dumps(seal.to_json()))


def test_a_day_leaves_a_handful_of_files(store_dir: Path) -> None:
    layout = Layout.create(store_dir)
    writer = Writer(layout, RunInfo("day", "day"), merges=False)
    first = again = most = 0
    for minute in range(MINUTES):
        writer.write({"t": rows_of_a_minute(writer, minute)}, minute // 10, {"loss": 0.5})
        writer.seal()
        first += sum(sealed.part.bytes for sealed in layout.listing().parts if f"/0-{minute}." in sealed.part.path)
        again += sum(map(size, merge_writer(layout, "day", writer.number)))
        most = max(most, sum(path.is_file() for path in layout.root.rglob("*")))
    again += sum(map(size, merge_writer(layout, "day", writer.number, last=True)))
    writer.close()
    left = sum(path.is_file() for path in layout.root.rglob("*"))
    live = sum(sealed.part.bytes for sealed in layout.listing().parts)
    print(
        f"{left} files, at most {most}; {first / 1e6:.1f} MB sealed, {again / 1e6:.1f} MB merged, "
        f"{live / 1e6:.1f} MB live"
    )
    assert left <= 40
    assert most <= 8 * 4 * 11
    assert again <= 5 * first
    store = Store(layout.root)
    assert store.sql("SELECT count(*), count(DISTINCT _row) FROM t").fetchall() == [(MINUTES * ROWS, MINUTES * ROWS)]
    assert verify(layout).faults == []
