"""Masks with segments in formats: what holds them brings them back, and what does not writes classes and says so."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maskl
from tests.formats.write.pictured import bring, export

NAMES = {0: "길", 3: "car", 7: "하늘"}
CARS = {301: {"class_id": 3, "score": 0.75}, 302: {"class_id": 3, "iscrowd": True}}


def ids() -> np.ndarray[Any, Any]:
    """Two cars on a road, one of them in two pieces; and the sky."""
    found = np.zeros((6, 8), np.int32)
    found[:2] = 7
    found[2:4, 1:3] = 301
    found[2:4, 3:5] = 302
    found[5, 7] = 302
    return found


def mask(pixels: Any = None, segments: Any = None, **more: Any) -> dict[str, Any]:
    return {
        "mask_data": ids() if pixels is None else pixels,
        "class_labels": NAMES,
        "segments": CARS if segments is None else segments,
        **more,
    }


@contextmanager
def logged(*masks: dict[str, Any], key: str = "ground_truth") -> Iterator[tuple[Path, maskl.Store]]:
    """Log a table with a row for each mask, and yield a folder to work in and its store."""
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore", maskl.errors.UnnamedClassWarning)
        folder = Path(name)
        with maskl.init(dir=folder / "store", name="run") as run:
            table = maskl.Table(columns=["picture"])
            for index, one in enumerate(masks):
                pixels = np.full((*one["mask_data"].shape, 3), index, np.uint8)
                table.add_data(maskl.Image(pixels, masks={key: one}))
            run.log({"표": table})
        yield folder, maskl.open(folder / "store")


def masks_of(rows: list[Any], column: str = "picture", key: str = "ground_truth") -> list[maskl.ImageMask]:
    return [row[column].masks[key] for row in rows]


def test_png_holds_the_classes_and_says_what_it_drops() -> None:
    with logged(mask(), {"mask_data": ids() % 100 % 8}) as (folder, store):
        assert export(store, folder, "png") == {"segments of mask 'ground_truth'": 1}
        before = masks_of(list(store.table("표")))
        after = masks_of(bring(folder / "once", "png")[1])
    for mine, theirs in zip(before, after, strict=True):
        assert theirs.segments is None
        assert theirs.mask_data.dtype == mine.mask_data.dtype
        assert np.array_equal(theirs.mask_data, mine.class_data)


@pytest.mark.parametrize("format_", ["parquet", "arrow", "huggingface"])
def test_tables_bring_back_every_mask_as_it_was(format_: str) -> None:
    many = np.arange(300, dtype=np.int32).reshape(15, 20) + 70_000  # beyond what a PNG holds
    with logged(mask(), mask(segments={}), {"mask_data": ids()}, mask(many, {70_001: 3})) as (folder, store):
        assert export(store, folder, format_) == {}
        before = masks_of(list(store.table("표")))
        after = masks_of(bring(folder / "once", format_)[1])
    assert after == before
    assert [None if one.segments is None else len(one.segments) for one in after] == [2, 0, None, 1]
