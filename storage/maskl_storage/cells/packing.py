"""Rows of plain cells to bytes and back, exactly: for rows that no part holds yet.

The bytes are msgpack; what it has no type for is one of three extensions. Unlike the rows of a part they
keep what statistics are made of, so that nothing is decoded or counted again when they are read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import msgpack
import numpy as np
import pyarrow as pa

from maskl_storage.cells.cells import BoxesCell, ImageCell, MaskCell
from maskl_storage.errors import CorruptData, UnsupportedVersion
from maskl_storage.format.boxes import Box
from maskl_storage.format.document import check_version, is_newer, read_object
from maskl_storage.format.metadata import ClassItem, ClassSet, Column, class_set_problems, dump_metadata, parse_metadata
from maskl_storage.format.segments import Segment
from maskl_storage.masks.histograms import ClassPixels, JointPixels

__all__ = ["pack", "pack_columns", "pack_frame", "unpack", "unpack_columns", "unpack_frame"]

ARRAY: Final = 1
TIME: Final = 2
IMAGE: Final = 3
#: where columns are that are read
PACKED: Final = "packed columns"
#: NumPy's names of the types of arrays: booleans and numbers, as they lie in memory
DTYPE: Final = re.compile("[<>|=][biuf][1248]")


def pack(value: Any) -> bytes:
    """Return cells, or lists and dicts of them, as bytes."""
    data: bytes = msgpack.packb(value, default=_extension)
    return data


def unpack(data: bytes | memoryview) -> Any:
    """Return what was packed; tuples come back as lists. An extension holds no other extension.

    Raises
    ------
    CorruptData
        The bytes were not made by :func:`pack`.
    """
    return _unpacked(data, _value)


def _unpacked(data: bytes | memoryview, extension: Callable[[int, bytes], Any]) -> Any:
    try:
        return msgpack.unpackb(data, ext_hook=extension, strict_map_key=False)
    except (ValueError, TypeError, KeyError, IndexError, msgpack.UnpackException) as error:
        raise CorruptData(f"packed rows: {error or type(error).__name__}") from error


@lru_cache(maxsize=64)
def pack_columns(columns: tuple[Column, ...]) -> bytes:
    """Return a table's columns as bytes."""
    return dump_metadata({str(index): column for index, column in enumerate(columns)})


@lru_cache(maxsize=64)
def unpack_columns(data: bytes) -> tuple[Column, ...]:
    """Return the columns that were packed.

    Raises
    ------
    CorruptData
        The bytes were not made by :func:`pack_columns`.
    UnsupportedVersion
        They are of a newer version, whose columns may be others.
    """
    version = check_version(read_object(data, PACKED).get("version"), PACKED)
    if is_newer(version):
        raise UnsupportedVersion(f"{PACKED}: they are of format version {version}: update maskl")
    return tuple(parse_metadata(data, PACKED).values())


def pack_frame(frame: pa.Table | None) -> bytes | None:
    """Return a frame as an Arrow IPC stream."""
    if frame is None:
        return None
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, frame.schema) as stream:
        stream.write_table(frame)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def unpack_frame(data: bytes | None) -> pa.Table | None:
    """Return the frame that was packed.

    Raises
    ------
    CorruptData
        The bytes were not made by :func:`pack_frame`.
    """
    if data is None:
        return None
    try:
        frame: pa.Table = pa.ipc.open_stream(data).read_all()
        frame.validate(full=True)
    except (TypeError, OSError, pa.ArrowException) as error:  # Arrow calls a stream that ends too soon an OSError
        raise CorruptData(f"packed frame: {error}") from error
    return frame


def _extension(value: Any) -> msgpack.ExtType:
    if isinstance(value, ImageCell):
        return msgpack.ExtType(IMAGE, pack(_image_fields(value)))
    if isinstance(value, np.ndarray):
        return msgpack.ExtType(ARRAY, pack([value.dtype.str, value.shape, value.tobytes()]))
    if isinstance(value, datetime):
        return msgpack.ExtType(TIME, value.isoformat().encode())
    raise TypeError(f"no cell is a {type(value).__name__}")


def _value(code: int, data: bytes) -> Any:
    if code == IMAGE:
        return _image(_unpacked(data, _nested))
    if code == ARRAY:
        dtype, shape, values = _unpacked(data, _nested)
        if not isinstance(dtype, str) or not DTYPE.fullmatch(dtype):
            raise CorruptData(f"packed rows: an array of numbers is needed; got one of {dtype!r:.40}")
        return np.frombuffer(values, np.dtype(dtype)).reshape(shape).copy()
    if code == TIME:
        return datetime.fromisoformat(data.decode())
    raise CorruptData(f"packed rows: there is no extension {code}")


def _nested(code: int, data: bytes) -> Any:
    """Refuse: each level of extensions in extensions would take the stack of the interpreter, which has no bound."""
    raise CorruptData(f"packed rows: extension {code} inside another")


def _image_fields(cell: ImageCell) -> list[Any]:
    masks = [
        [
            key,
            mask.data,
            mask.shape,
            _items(mask.class_set),
            None if mask.counts is None else [_ints(mask.counts.ids), _ints(mask.counts.pixels)],
            sorted(mask.unnamed),
            mask.valid_pixels,
            *([] if mask.segments is None else [list(map(_segment_fields, mask.segments))]),
        ]
        for key, mask in cell.masks.items()
    ]
    joints = [[a, b, _ints(joint.ids_a), _ints(joint.ids_b), _ints(joint.pixels)] for a, b, joint in cell.joints]
    boxes = [
        [
            key,
            [[*box[:5], None if box.scores is None else dict(box.scores)] for box in found.boxes],
            _items(found.class_set),
            sorted(found.unnamed),
        ]
        for key, found in cell.boxes.items()
    ]
    about = [cell.digest, cell.format, cell.mode, cell.width, cell.height, cell.caption, cell.path]
    return [*about, masks, joints, boxes, *([] if cell.pairs is None else [sorted(cell.pairs)])]


def _image(fields: Sequence[Any]) -> ImageCell:
    digest, form, mode, width, height, caption, path, masks, joints, boxes, *pairs = fields
    if not all(isinstance(key, str) and key for key, *_ in (*masks, *boxes)):
        raise CorruptData("packed rows: a mask's or boxes' key is a string")
    return ImageCell(
        *(digest, form, mode, width, height, caption, path),
        masks={
            key: MaskCell(
                data,
                tuple(shape),
                _class_set(_hashable(items)),
                None if counts is None else ClassPixels(_array(counts[0], np.int32), _array(counts[1], np.int64)),
                frozenset(unnamed),
                valid,
                tuple(_segment(some) for some in segments[0]) if segments else None,
            )
            for key, data, shape, items, counts, unnamed, valid, *segments in masks
        },
        joints=tuple(
            (a, b, JointPixels(_array(ids_a, np.int32), _array(ids_b, np.int32), _array(pixels, np.int64)))
            for a, b, ids_a, ids_b, pixels in joints
        ),
        boxes={
            key: BoxesCell(
                tuple(Box(tuple(position), *rest) for position, *rest in found),
                _class_set(_hashable(items)),
                frozenset(unnamed),
            )
            for key, found, items, unnamed in boxes
        },
        pairs=frozenset((str(a), str(b)) for a, b in pairs[0]) if pairs else None,
    )


def _segment_fields(segment: Segment) -> list[Any]:
    return [segment.id, segment.class_id, segment.score, segment.iscrowd, segment.pixels, segment.bbox]


def _segment(fields: Sequence[Any]) -> Segment:
    number, of, score, crowd, pixels, (left, top, width, height) = fields
    return Segment(number, of, score, crowd, pixels, (left, top, width, height))


def _ints(values: np.ndarray[Any, Any]) -> bytes:
    return values.tobytes()


def _array(data: bytes, dtype: type) -> np.ndarray[Any, Any]:
    return np.frombuffer(data, dtype)


@lru_cache(maxsize=256)
def _items(class_set: ClassSet) -> list[tuple[Any, ...]]:
    # what is not said is left out: older readers know four
    return [
        (item.id, item.name, item.color, item.ignore, *(() if item.isthing is None else (item.isthing,)))
        for item in class_set
    ]


def _hashable(items: Iterable[Sequence[Any]]) -> tuple[tuple[Any, ...], ...]:
    return tuple(map(tuple, items))


@lru_cache(maxsize=256)
def _class_set(items: tuple[tuple[Any, ...], ...]) -> ClassSet:
    """Return the class set of some items: rows share few of them, and so the objects."""
    made = ClassSet(ClassItem(*item) for item in items)
    if problems := class_set_problems([item.to_json() for item in made]):
        raise CorruptData(f"packed classes{'; '.join(problems)}")
    return made
