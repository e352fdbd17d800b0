"""The functions over single masks: the same for arrays, masks and bytes, and as in SQL."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import maskl
from maskl import ImageMask, masks
from maskl.errors import CorruptData, InvalidType, InvalidValue
from maskl_storage import encode

MASK = np.array([[0, 0, 1, 1], [0, 300, 1, 0], [0, 0, 0, 0]], np.int32)
OTHER = np.array([[0, 1, 1, 0], [0, 300, 1, 0], [0, 0, 0, 5]], np.int64)
FORMS = {
    "array": lambda mask: mask,
    "list": lambda mask: mask.tolist(),
    "mask": lambda mask: ImageMask({"mask_data": mask}, "m"),
    "bytes": encode,
    "bytearray": lambda mask: bytearray(encode(mask)),
    "memoryview": lambda mask: memoryview(encode(mask)),
    "big-endian": lambda mask: mask.astype(">i4"),
    "transposed twice": lambda mask: np.asfortranarray(mask),
    "whole floats": lambda mask: mask.astype(np.float64),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_mask_has_the_same_answers(form: str) -> None:
    mask, other = FORMS[form](MASK), FORMS[form](OTHER)
    assert masks.shape(mask) == (3, 4)
    assert masks.classes(mask) == [0, 1, 300]
    assert masks.area(mask, 1) == 3
    assert masks.area(mask, 77) == 0
    assert masks.bbox(mask, 1) == {"x": 2, "y": 0, "width": 2, "height": 2}
    assert masks.bbox(mask, 77) is None
    assert masks.iou(mask, other, 1) == 2 / 4
    assert masks.iou(mask, MASK, 300) == 1.0
    assert masks.iou(mask, other, 77) is None
    assert masks.iou(mask, [[1]], 1) is None
    assert masks.rle(mask, 300) == {"size": [3, 4], "counts": "417"}
    assert masks.crop(mask, 1, 0, 2, 2).tolist() == [[0, 1], [300, 1]]
    assert np.array(Image.open(io.BytesIO(masks.png(mask)))).tolist() == MASK.tolist()
    assert masks.run_lengths(mask).starts.tolist() == [0, 2, 4, 5, 6, 7]


def test_a_stored_mask_answers_as_sql_does(tmp_path: Path) -> None:
    with maskl.init(dir=tmp_path) as run:
        run.log(
            {
                "t": maskl.Image(
                    np.zeros((3, 4, 3), np.uint8), masks={"m": {"mask_data": MASK}, "n": {"mask_data": OTHER}}
                )
            }
        )
    store = maskl.open(tmp_path)
    (row,) = store.table("t")
    stored, other = (row["image"].masks[key] for key in "mn")
    (answers,) = store.sql("""
        SELECT mask_shape(m), mask_classes(m), mask_area(m, 1), mask_bbox(m, 1), mask_iou(m, n, 1), mask_rle(m, 1),
               mask_rle(m), mask_png(m), mask_crop(m, 1, 0, 2, 2)
        FROM (SELECT image__mask__m AS m, image__mask__n AS n FROM tables.t)
    """).fetchall()
    shape, *rest = answers
    assert (shape["height"], shape["width"]) == masks.shape(stored)
    part = masks.crop(stored, 1, 0, 2, 2)
    assert part.dtype == np.int32
    assert rest == [
        masks.classes(stored),
        masks.area(stored, 1),
        masks.bbox(stored, 1),
        masks.iou(stored, other, 1),
        masks.rle(stored, 1),
        [{"class_id": number, **masks.rle(stored, number)} for number in masks.classes(stored)],
        masks.png(stored),
        encode(part),
    ]


@pytest.mark.parametrize("dtype", ["bool", "u1", "i1", "u2", ">i4", "u8"])
def test_a_crop_keeps_the_dtype(dtype: str) -> None:
    part = masks.crop(np.ones((4, 4), dtype), 1, 2, 3, 1)
    assert part.dtype == np.dtype(dtype)
    assert part.shape == (1, 3)


@pytest.mark.parametrize(
    ("mask", "error", "words"),
    [
        ([1, 2], InvalidType, "2D array"),
        ([[0.5]], InvalidType, "fractions"),
        ([["a"]], InvalidType, "integers or booleans"),
        (np.zeros((0, 3), int), InvalidValue, "empty"),
        ([[1 << 40]], InvalidValue, "signed 32 bits"),
        (b"", CorruptData, "at least 20 bytes"),
        (b"x" * 40, CorruptData, "not an encoded mask"),
    ],
)
def test_what_is_no_mask_is_refused(mask: Any, error: type[Exception], words: str) -> None:
    for ask in (masks.classes, masks.png, lambda mask: masks.area(mask, 1), lambda mask: masks.crop(mask, 0, 0, 1, 1)):
        with pytest.raises(error, match=words):
            ask(mask)


def test_a_class_is_named_by_its_id() -> None:
    assert masks.area(MASK, np.uint16(300)) == 1
    with pytest.raises(InvalidType, match=r"a class id is needed, an integer; got 'car': names are for maskl\.metrics"):
        masks.area(MASK, "car")  # type: ignore[arg-type]
    with pytest.raises(InvalidType, match=r"class_id must be an integer; got 1\.5"):
        masks.bbox(MASK, 1.5)  # type: ignore[arg-type]


def test_a_png_that_cannot_hold_the_ids_is_refused() -> None:
    with pytest.raises(InvalidValue, match="ids from 0 to 65535; this mask has -1 to 0"):
        masks.png([[0, -1]])


def test_a_box_outside_is_refused() -> None:
    with pytest.raises(InvalidValue, match=r"the box x=3, y=0, width=2, height=1 .* which is 4×3 pixels"):
        masks.crop(MASK, 3, 0, 2, 1)
