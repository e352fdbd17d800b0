"""The pixel-level functions of SQL: what they are called, what they take and return, over Arrow arrays.

A declarative table, so that the module that owns DuckDB only registers it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from maskl_storage.errors import MasklError, prefixed
from maskl_storage.masks import measures
from maskl_storage.masks.codec import mask_info, runs_of
from maskl_storage.masks.png import mask_png

__all__ = ["FUNCTIONS", "MACRO", "NAMES", "SqlFunction"]

#: one cell from the cells of a row, none of which is NULL
Cell = Callable[..., Any]
#: an Arrow array of a type from the results of a function
ToArray = Callable[[Sequence[Any], pa.DataType], pa.Array]

_BOX: Final = pa.struct([(name, pa.int32()) for name in ("x", "y", "width", "height")])
_SHAPE: Final = pa.struct([("height", pa.int32()), ("width", pa.int32())])
_IDS: Final = pa.list_(pa.int32())
_RLE: Final = pa.struct([("size", _IDS), ("counts", pa.string())])
_CLASS_RLE: Final = pa.struct([("class_id", pa.int32()), *_RLE])
_SQL_BOX: Final = "STRUCT(x INTEGER, y INTEGER, width INTEGER, height INTEGER)"
_SQL_RLE: Final = "size INTEGER[], counts VARCHAR"

#: the size of a mask, its ids, and the run lengths of each
_ClassRles = tuple[tuple[int, int], npt.NDArray[np.int64], measures.Texts]


@dataclass(frozen=True, slots=True)
class SqlFunction:
    """A function of SQL.

    Parameters
    ----------
    name : str
        What it is called in SQL.
    parameters : tuple of str
        The SQL types of its arguments.
    returns : str
        The SQL type of what it returns.
    call : callable
        Takes an Arrow array (or chunked array) for each argument and returns one of equal length;
        where an argument is null, so is the result.
    """

    name: str
    parameters: tuple[str, ...]
    returns: str
    call: Callable[..., pa.Array]


def _function(
    name: str, parameters: str, returns: str, kind: pa.DataType, cell: Cell, to_array: ToArray = pa.array
) -> SqlFunction:
    types = tuple(parameters.split())

    def call(*columns: pa.Array | pa.ChunkedArray) -> pa.Array:
        rows = zip(*(column.to_pylist() for column in columns), strict=True)
        try:
            return to_array([None if None in row else cell(*row) for row in rows], kind)
        except MasklError as error:
            raise prefixed(error, name.removeprefix("maskl_").replace("rles", "rle")) from error

    # DuckDB counts the parameters
    places = [inspect.Parameter(f"column_{index}", inspect.Parameter.POSITIONAL_ONLY) for index in range(len(types))]
    call.__signature__ = inspect.Signature(places)  # type: ignore[attr-defined]  # what inspect looks for first
    return SqlFunction(name, types, returns, call)


def _shape(data: bytes) -> dict[str, int]:
    height, width = mask_info(data).shape
    return {"height": height, "width": width}


def _every_rle(data: bytes) -> _ClassRles:
    runs = runs_of(data)
    return runs.shape, *measures.rles(runs)


def _class_rles_array(found: Sequence[_ClassRles | None], kind: pa.ListType) -> pa.Array:
    """Return lists of classes with their run lengths; a mask may have 65,535, so that none is made a Python object."""
    masks = [mask for mask in found if mask is not None]
    if not masks:
        return pa.nulls(len(found), kind)
    counts = [ids.size for _, ids, _ in masks]
    sizes = np.array([shape for shape, _, _ in masks], np.int32).repeat(counts, axis=0)
    pair = pa.array(np.arange(len(sizes) + 1, dtype=np.int32) * 2)
    children = [
        pa.array(np.concatenate([ids for _, ids, _ in masks]), pa.int32()),
        pa.ListArray.from_arrays(pair, pa.array(sizes.reshape(-1))),
        pa.concat_arrays([_strings(texts) for _, _, texts in masks]),
    ]
    lengths = np.array([0 if mask is None else mask[1].size for mask in found])
    bounds = np.concatenate(([0], lengths.cumsum())).astype(np.int32)
    missing = pa.array([mask is None for mask in found])
    structs = pa.StructArray.from_arrays(children, fields=list(_CLASS_RLE))
    return pa.ListArray.from_arrays(pa.array(bounds), structs, type=kind, mask=missing)


def _strings(texts: measures.Texts) -> pa.StringArray:
    bounds = pa.py_buffer(texts.bounds.astype(np.int32))
    return pa.StringArray.from_buffers(texts.bounds.size - 1, bounds, pa.py_buffer(texts.data))


#: what DuckDB registers; names that begin with maskl_ are for the macro below
FUNCTIONS: Final = (
    _function("mask_shape", "BLOB", "STRUCT(height INTEGER, width INTEGER)", _SHAPE, _shape),
    _function("mask_classes", "BLOB", "INTEGER[]", _IDS, lambda data: measures.classes(runs_of(data))),
    _function("mask_png", "BLOB", "BLOB", pa.binary(), mask_png),
    _function("mask_area", "BLOB BIGINT", "BIGINT", pa.int64(), lambda data, i: measures.area(runs_of(data), i)),
    _function("mask_bbox", "BLOB BIGINT", _SQL_BOX, _BOX, lambda data, i: measures.bbox(runs_of(data), i)),
    _function(
        "mask_iou", "BLOB BLOB BIGINT", "DOUBLE", pa.float64(), lambda a, b, i: measures.iou(runs_of(a), runs_of(b), i)
    ),
    _function("mask_crop", "BLOB BIGINT BIGINT BIGINT BIGINT", "BLOB", pa.binary(), measures.crop),
    _function(
        *("maskl_mask_rles", "BLOB", f"STRUCT(class_id INTEGER, {_SQL_RLE})[]", pa.list_(_CLASS_RLE)),
        *(_every_rle, _class_rles_array),
    ),
    _function(
        "maskl_mask_rle", "BLOB BIGINT", f"STRUCT({_SQL_RLE})", _RLE, lambda data, i: measures.rle(runs_of(data), i)
    ),
)

#: a registered function has one list of arguments; a macro may have several
MACRO: Final = "CREATE OR REPLACE MACRO mask_rle(b) AS maskl_mask_rles(b), (b, class_id) AS maskl_mask_rle(b, class_id)"

#: finds a call of any of them, or a question which functions there are
NAMES: Final = re.compile(r"\bmask_(shape|classes|png|rle|area|bbox|iou|crop)\b|duckdb_functions", re.IGNORECASE)
