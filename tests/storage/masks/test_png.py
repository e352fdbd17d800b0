"""Masks as PNG: exact, in 8 or 16 bits, as Pillow reads them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from maskl_storage import encode
from maskl_storage.errors import InvalidType, InvalidValue
from maskl_storage.masks.png import KEYWORD, as_logged, fits, ids_of, ids_png, mask_png

DTYPES = ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", ">u2", ">i8"]


@st.composite
def masks(draw: st.DrawFn) -> np.ndarray[Any, Any]:
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    most = 1 if dtype.kind == "b" else min(np.iinfo(dtype).max, draw(st.sampled_from([1, 255, 256, 65_535, 65_536])))
    least = -1 if dtype.kind == "i" and draw(st.booleans()) else 0
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))
    return draw(hnp.arrays(np.int64, shape, elements=st.integers(least, most))).astype(dtype)


@given(masks())
def test_a_png_holds_a_mask_exactly(mask: np.ndarray[Any, Any]) -> None:
    data = encode(mask)
    assert fits(data) == (int(mask.min()) >= 0 and int(mask.max()) <= 0xFFFF)
    if fits(data):
        image = Image.open(io.BytesIO(mask_png(data)))
        assert image.mode == ("L" if int(mask.max()) <= 255 else "I;16")
        assert np.array_equal(np.asarray(image), mask)
        plain = mask.dtype == (np.uint8 if image.mode == "L" else np.uint16)
        assert image.text == ({} if plain else {KEYWORD: mask.dtype.str})  # type: ignore[attr-defined]  # of PNG alone


def test_a_png_of_a_street_is_small() -> None:
    mask = np.zeros((360, 480), np.uint8)
    mask[100:200, 50:300] = 7
    theirs = io.BytesIO()
    Image.fromarray(mask).save(theirs, "PNG")
    assert len(mask_png(encode(mask))) < 2 * len(theirs.getvalue())


@pytest.mark.parametrize("cut", [1, 20])
def test_what_is_no_mask_is_refused(cut: int) -> None:
    with pytest.raises(ValueError, match="mask"):
        mask_png(encode([[1, 2]])[:-cut])


@given(masks())
def test_ids_come_back_in_the_dtype_that_was_logged(mask: np.ndarray[Any, Any]) -> None:
    data = encode(mask)
    if not fits(data):
        with pytest.raises(InvalidValue, match=f"ids from 0 to 65535; this mask has {mask.min()} to {mask.max()}"):
            mask_png(data)
        return
    image = Image.open(io.BytesIO(mask_png(data)))
    ids = ids_of(image, "this")
    said = image.text.get(KEYWORD, ids.dtype.str)  # type: ignore[attr-defined]  # of PNG alone
    for name in (said, f"{'>' if mask.dtype.byteorder == '>' else ''}{mask.dtype.name}"):
        back = as_logged(ids, name, "the mask")
        assert (back.dtype, back.tolist()) == (mask.dtype, mask.tolist())


@given(masks())
def test_plain_ids_have_no_text_and_a_palette_where_they_are_small(mask: np.ndarray[Any, Any]) -> None:
    palette = bytes(range(256)) * 3
    if not fits(mask):
        with pytest.raises(InvalidValue, match="map them to others first"):
            ids_png(mask, palette)
        return
    for colors in (b"", palette):
        image = Image.open(io.BytesIO(ids_png(mask, colors)))
        assert image.mode == ("I;16" if int(mask.max()) > 255 else "P" if colors else "L")
        assert np.array_equal(ids_of(image, "this"), mask)
        assert not image.text  # type: ignore[attr-defined]  # of PNG alone
        if image.mode == "P":
            assert image.palette is not None
            assert image.palette.tobytes() == palette[: 3 * (int(mask.max()) + 1)]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "CMYK", "F"])
def test_a_picture_of_colours_has_no_ids(mode: str) -> None:
    with pytest.raises(InvalidType, match=f"x is a {mode} image; a mask file holds one class id a pixel"):
        ids_of(Image.new(mode, (2, 2)), "x")


@pytest.mark.parametrize(
    ("dtype", "message"),
    [("float32", "dtype must be one of bool, uint8"), ("<f4", "dtype must be"), ("int8", "ids that int8 cannot hold")],
)
def test_a_dtype_that_does_not_hold_the_ids_is_refused(dtype: str, message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        as_logged(np.array([[200]], np.uint8), dtype, "the mask")
