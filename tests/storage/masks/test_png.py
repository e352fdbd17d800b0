"""Masks as PNG: exact, in 8 or 16 bits, as Pillow reads them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from maskl_storage import encode
from maskl_storage.masks.png import GROUP_BYTES, KEYWORD, MaskPngs, fits, mask_png

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


def test_a_column_keeps_its_order_and_what_no_png_holds() -> None:
    rng = np.random.default_rng(0)
    side = 1 << 9
    small = [rng.integers(0, 3, (side, side)).astype(np.uint8) for _ in range(4 * GROUP_BYTES // side**2)]
    encoded = [encode(mask) for mask in small]
    large = encode([[-1, 70_000]])
    cells = [None, large, *encoded, None, large]
    with MaskPngs.started() as made:
        pngs, exact = made.columns(pa.chunked_array([cells[:5], cells[5:]], pa.binary()))
        assert made.columns(pa.chunked_array([], pa.binary())) == (pa.array([], pa.binary()), pa.array([], pa.binary()))
    assert exact.to_pylist() == [cell if cell is large else None for cell in cells]
    found = [None if png is None else np.asarray(Image.open(io.BytesIO(png))) for png in pngs.to_pylist()]
    assert [mask is None for mask in found] == [cell is None or cell is large for cell in cells]
    assert all(np.array_equal(a, b) for a, b in zip((m for m in found if m is not None), small, strict=True))


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
