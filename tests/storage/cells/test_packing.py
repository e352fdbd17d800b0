"""Packed rows come back as they were, with everything that statistics are made of."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import msgpack
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskl_storage import Column, ImageCell, count_mask, encode_mask, joint_cells
from maskl_storage.cells.cells import BoxesCell
from maskl_storage.cells.packing import pack, pack_columns, pack_frame, unpack, unpack_columns, unpack_frame
from maskl_storage.errors import CorruptData
from maskl_storage.format.boxes import Box
from maskl_storage.format.metadata import ClassItem, ClassSet, ForeignKey

CLASSES = ClassSet((ClassItem(0, "하늘", "#010203"), ClassItem(3, None, None, True), ClassItem(-7, "길")))


def image(dtype: str, *, statistics: bool | None = None) -> ImageCell:
    pixels = (np.arange(35).reshape(5, 7) % 4).astype(dtype)
    found = {key: encode_mask(mask) for key, mask in {"a": pixels, "나": pixels.T.reshape(5, 7).copy()}.items()}
    masks = {
        key: count_mask(data, runs, present, CLASSES, statistics=statistics)
        for key, (data, runs, present) in found.items()
    }
    boxes = {"b": BoxesCell((Box((0.0, 1.0, 2.5, 3.0), "corners", "pixel", 3, "고양이", {"s": 0.5}),), CLASSES)}
    joints = joint_cells({key: runs for key, (_, runs, _) in found.items()})
    return ImageCell("d", "PNG", "RGB", 7, 5, "설명", None, masks, joints, boxes)


def plain(value: Any) -> Any:
    """Return a value so that two of them compare by content."""
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, value.tolist()
    if hasattr(type(value), "__dataclass_fields__"):
        return {name: plain(getattr(value, name)) for name in type(value).__dataclass_fields__}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return type(value)(map(plain, value)) if isinstance(value, list) else value


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", ">i4", "int64"])
@pytest.mark.parametrize("statistics", [None, False])
def test_an_image_comes_back_whole(dtype: str, statistics: bool | None) -> None:
    cell = image(dtype, statistics=statistics)
    (found,) = unpack(pack([cell]))
    for name in ("digest", "format", "mode", "width", "height", "caption", "path", "boxes"):
        assert getattr(found, name) == getattr(cell, name) or name == "boxes"
    assert plain(found.masks) == plain(cell.masks)
    assert [(a, b, plain(joint)) for a, b, joint in found.joints] == [(a, b, plain(j)) for a, b, j in cell.joints]
    assert plain(found.boxes) == plain(cell.boxes)
    assert type(found.masks["a"].class_set) is ClassSet


CELLS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(st.lists(CELLS, max_size=3), max_size=3))
def test_values_come_back(rows: list[list[Any]]) -> None:
    assert unpack(pack(rows)) == rows


def test_arrays_and_times_come_back() -> None:
    cells = [
        np.arange(6, dtype=">u2").reshape(2, 3),
        np.zeros((0, 3)),
        datetime(2024, 2, 29, 1, 2, 3, 4),
        datetime(1, 1, 1, tzinfo=timezone.utc),
    ]
    assert plain(unpack(pack(cells))) == plain(cells)


def test_columns_come_back() -> None:
    columns = (
        Column("image", "그림"),
        Column("value", "id", "int", primary_key=True, class_sets=(CLASSES,)),
        Column("value", "t", "timestamp", timezone="UTC"),
        Column("value", "x", "array", "float32", 2, (None, 3), foreign_key=ForeignKey("t", None)),
    )
    assert unpack_columns(pack_columns(columns)) == columns


def test_a_frame_comes_back() -> None:
    frame = pa.table({"a": pa.chunked_array([[1], [2, None]]), "b": ["x", None, "z"]})
    assert unpack_frame(pack_frame(frame)) == frame
    assert unpack_frame(pack_frame(None)) is None


@pytest.mark.parametrize("data", [b"", b"\xc1", pack([1])[:-1], pack(image("uint8"))[:-3]])
def test_what_was_not_packed_is_an_error(data: bytes) -> None:
    with pytest.raises(CorruptData, match="packed rows"):
        unpack(data)


def test_what_no_cell_is_is_an_error() -> None:
    with pytest.raises(TypeError, match="no cell is a object"):
        pack([object()])


@pytest.mark.parametrize("code", [1, 2, 3, 7])
@pytest.mark.parametrize("depth", [2, 3, 200, 100_000])
def test_extensions_in_extensions_are_refused(code: int, depth: int) -> None:
    """They would take the interpreter's stack, level by level, until it is gone."""
    data = msgpack.packb(None)
    for _ in range(depth):
        size = len(data)
        data = (b"\xc9" + size.to_bytes(4, "big") + bytes([code])) + data
    with pytest.raises(CorruptData):
        unpack(data)
    with pytest.raises(CorruptData):
        unpack(msgpack.packb([[], {"a": 1}])[:-1] + data)


@pytest.mark.parametrize("opening", [b"\x91", b"\x81\x00", b"\xdd\x00\x00\x00\x01"])
def test_lists_and_dicts_without_end_are_refused(opening: bytes) -> None:
    with pytest.raises(CorruptData):
        unpack(opening * 100_000)
