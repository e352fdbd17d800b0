"""Data frames as columns: pandas, and whatever speaks Arrow's PyCapsule interface. No frame library is imported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from maskl.adapters.objects import is_frame, is_pandas
from maskl_storage.errors import ConversionWarning, InvalidType, InvalidValue, warn
from maskl_storage.format.metadata import Column

__all__ = ["arrow_column", "read_frame"]

#: rows of strings that are converted at a time: one Arrow array holds 2 GB
SLICE: Final = 1 << 16
#: microseconds from 1970 to the first and last moment of the years 1 to 9999
YEARS: Final = (-62_135_596_800_000_000, 253_402_300_799_999_999)


def read_frame(frame: Any) -> tuple[list[Any], list[pa.ChunkedArray | list[Any]]]:
    """Return the names of a frame's columns, and each column: as Arrow has it, or its values one by one."""
    if is_pandas(frame):
        return list(frame.columns), [_pandas_column(frame.iloc[:, index]) for index in range(frame.shape[1])]
    if not is_frame(frame):
        raise InvalidType(
            f"dataframe must be a data frame of pandas, Polars, pyarrow, DuckDB or another library that speaks "
            f"Arrow's PyCapsule interface; got {type(frame).__name__}"
        )
    try:
        table = pa.table(frame)
    except (TypeError, ValueError, pa.ArrowException) as error:
        raise InvalidType(f"this {type(frame).__name__} cannot be read as an Arrow table: {error}") from error
    return table.column_names, table.columns


def _pandas_column(series: Any) -> pa.ChunkedArray | list[Any]:
    try:
        array = pa.Array.from_pandas(series)
    except (TypeError, ValueError, KeyError, pa.ArrowException):
        return list(series)  # KeyError: pyarrow looked for pandas before it was installed, and takes a list
    array = array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])
    if series.dtype == object and not (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)):
        return list(series)  # Arrow's guess may change a value: its own type is found cell by cell
    return array


def arrow_column(name: str, array: pa.ChunkedArray) -> tuple[Column, pa.ChunkedArray] | list[Any]:
    """Return an Arrow column as it is stored, or its values one by one where they are kept as JSON text.

    Raises
    ------
    InvalidType, InvalidValue
        A type or value that a column cannot hold.
    """
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        if not kind.extension_name.startswith("arrow."):
            raise _unknown(name, kind)
        array = pa.chunked_array([chunk.storage for chunk in array.chunks], kind.storage_type)
        kind = array.type
    if pa.types.is_dictionary(kind):
        return arrow_column(name, array.cast(kind.value_type))
    if pa.types.is_null(kind):
        return Column("value", name, "null"), array
    if pa.types.is_boolean(kind):
        return Column("value", name, "bool"), array
    if pa.types.is_integer(kind):
        return Column("value", name, "int"), _cast(name, array, pa.int64())
    if pa.types.is_floating(kind):
        return Column("value", name, "float"), _without_nan(array.cast(pa.float64()))
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _timestamps(name, array)
    return _sized_column(name, array)


def _sized_column(name: str, array: pa.ChunkedArray) -> tuple[Column, pa.ChunkedArray] | list[Any]:
    kind = array.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return Column("value", name, "string"), _sliced(array, pa.string())
    binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    if binary or pa.types.is_fixed_size_binary(kind):
        return Column("value", name, "bytes"), _sliced(array, pa.binary())
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        dtype = _item_dtype(kind.value_type)
        if dtype is not None:
            item = pa.string() if dtype == "string" else pa.from_numpy_dtype(np.dtype(dtype))
            return Column("value", name, "list", dtype=dtype, ndim=1), _cast(name, array, pa.list_(item))
        return list(array.to_pylist())
    if pa.types.is_map(kind):
        return [None if value is None else dict(value) for value in array.to_pylist()]
    if pa.types.is_struct(kind):
        return list(array.to_pylist())
    raise _unknown(name, kind)


def _unknown(name: str, kind: pa.DataType) -> InvalidType:
    return InvalidType(
        f"column {name!r}: Arrow type {kind} has no counterpart here: make it a number, a string, a timestamp or a list"
    )


def _item_dtype(kind: pa.DataType) -> str | None:
    if pa.types.is_boolean(kind):
        return "bool"
    if pa.types.is_integer(kind):
        return "int64"
    if pa.types.is_floating(kind):
        return "float64"
    return "string" if pa.types.is_string(kind) or pa.types.is_large_string(kind) else None


def _cast(name: str, array: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    try:
        return array.cast(kind)
    except pa.ArrowInvalid as error:
        raise InvalidValue(f"column {name!r}: {error}: values outside signed 64 bits are logged as strings") from error


def _sliced(array: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if array.type == kind:
        return array
    if array.nbytes < 1 << 30:
        return array.cast(kind)
    pieces: Sequence[pa.Array] = [
        chunk.slice(start, SLICE).cast(kind) for chunk in array.chunks for start in range(0, len(chunk), SLICE)
    ]
    return pa.chunked_array(pieces, kind)


def _without_nan(array: pa.ChunkedArray) -> pa.ChunkedArray:
    missing = pc.is_nan(array)
    return pc.if_else(missing, pa.scalar(None, pa.float64()), array) if pc.any(missing).as_py() else array


def _timestamps(name: str, array: pa.ChunkedArray) -> tuple[Column, pa.ChunkedArray]:
    kind = array.type
    zone = kind.tz if pa.types.is_timestamp(kind) else None
    micro = pa.timestamp("us", tz=zone)
    try:
        made = array.cast(micro, safe=pa.types.is_date(kind) or kind.unit != "ns")
    except pa.ArrowInvalid as error:
        raise InvalidValue(f"column {name!r}: {error}") from error
    if pa.types.is_timestamp(kind) and kind.unit == "ns" and not made.cast(kind).equals(array):
        warn(f"column {name!r}: its timestamps are kept to the microsecond", ConversionWarning)
    ends = pc.min_max(made.cast(pa.int64())).as_py()
    if ends["min"] is not None and not (YEARS[0] <= ends["min"] and ends["max"] <= YEARS[1]):
        raise InvalidValue(f"column {name!r}: a timestamp lies outside the years 1 to 9999")
    return Column("value", name, "timestamp", timezone=zone), made
