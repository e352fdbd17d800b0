"""How much the values of Arrow rows come to as Python's: a few bytes may stand for very many of them.

Dictionaries, runs, views and lists that share what they refer to are small in a file, and are not when they are values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from maskl.interchange.untrusted import MAX_PICTURE
from maskl_storage.errors import InvalidValue

__all__ = ["pieces"]

#: bytes of rows that become values together, and of what a row by itself may come to
PIECE: Final = 64 << 20
MOST: Final = MAX_PICTURE
#: rows of a piece at most
ROWS: Final = 512
#: elements that are looked at at a time
MAX_ELEMENTS: Final = 1 << 23
#: bytes of a value beside its own
EACH: Final = 64

TEXT: Final = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)

Weights = npt.NDArray[np.float64]


class _TooManyError(Exception):
    """A column has more elements than are looked at."""


def pieces(table: pa.Table) -> Iterator[tuple[int, pa.Table | InvalidValue]]:
    """Yield a table in pieces that are small as values, each with the number of its first row.

    A row that is too large by itself is the error that says so.
    """
    waiting = [(start, min(ROWS, table.num_rows - start)) for start in range(0, table.num_rows, ROWS)][::-1]
    while waiting:
        start, rows = waiting.pop()
        piece = table.slice(start, rows)
        weight = _weight(piece)
        if weight <= PIECE or (rows == 1 and weight <= MOST):
            yield start, piece
        elif rows > 1:
            half = rows // 2
            waiting += [(start + half, rows - half), (start, half)]
        else:
            yield start, InvalidValue(f"the row comes to more than {MOST:,} bytes; rows of up to that are read")


def _weight(table: pa.Table) -> float:
    """Return about how many bytes the values of some rows take; without end where that is not even looked at."""
    try:
        return sum(float(_weights(chunk).sum()) for column in table.columns for chunk in column.chunks)
    except _TooManyError:
        return float("inf")


def _weights(array: Any) -> Weights:
    """Return the bytes of each value of an array."""
    kind, count = array.type, len(array)
    if count > MAX_ELEMENTS:
        raise _TooManyError
    if isinstance(array, pa.ExtensionArray):
        return _weights(array.storage)
    if pa.types.is_dictionary(kind):
        return _of_dictionary(array)
    if pa.types.is_run_end_encoded(kind):
        places = np.searchsorted(array.run_ends.to_numpy(), array.offset + np.arange(count), side="right")
        low, high = (int(places[0]), int(places[-1]) + 1) if count else (0, 0)
        values: Weights = _weights(array.values.slice(low, high - low))[places - low]
        return values
    if pa.types.is_struct(kind):
        return sum(_fields(array), np.full(count, EACH, np.float64))
    if pa.types.is_union(kind):
        return np.full(count, EACH + max((float(field.max(initial=0)) for field in _fields(array)), default=0.0))
    if pa.types.is_nested(kind):
        return _of_lists(array)
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        lengths = np.frombuffer(array.buffers()[1], np.int32)[4 * array.offset : 4 * (array.offset + count) : 4]
        return _and_each(np.where(array.is_valid().to_numpy(zero_copy_only=False), lengths, 0))
    if any(known(kind) for known in TEXT):
        lengths = pc.binary_length(array).fill_null(0).to_numpy(zero_copy_only=False)
        return _and_each(lengths)
    return np.full(count, EACH + (kind.byte_width if pa.types.is_fixed_size_binary(kind) else 0), np.float64)


def _and_each(lengths: npt.NDArray[Any]) -> Weights:
    weights: Weights = np.add(lengths, EACH, dtype=np.float64)
    return weights


def _fields(array: Any) -> list[Weights]:
    return [_weights(array.field(place)) for place in range(array.type.num_fields)]


def _of_dictionary(array: Any) -> Weights:
    """Return the bytes of each value, looking only at those of the dictionary that occur."""
    indices = array.indices.drop_null().to_numpy().astype(np.int64)
    found, which = np.unique(indices, return_inverse=True)
    weights = np.full(len(array), EACH, np.float64)
    weights[array.indices.is_valid().to_numpy(zero_copy_only=False)] = np.take(
        _weights(array.dictionary.take(pa.array(found))), which
    )
    return weights


def _of_lists(array: Any) -> Weights:
    """Return the bytes of each list, or map, from those of its elements, which several may share."""
    kind, count = array.type, len(array)
    if pa.types.is_fixed_size_list(kind):
        first = (array.offset + np.arange(count, dtype=np.int64)) * kind.list_size
        sizes = np.full(count, kind.list_size, np.int64)
    elif pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        first, sizes = (part.to_numpy().astype(np.int64) for part in (array.offsets, array.sizes))
    else:
        offsets = array.offsets.to_numpy().astype(np.int64)
        first, sizes = offsets[:-1], np.diff(offsets)
    used = sizes > 0
    if not used.any():
        return np.full(count, EACH, np.float64)
    low, high = int(first[used].min()), int((first + sizes)[used].max())
    if high - low > MAX_ELEMENTS:
        raise _TooManyError
    elements = (array.keys, array.items) if pa.types.is_map(kind) else (array.values,)
    each = np.sum([_weights(part.slice(low, high - low)) for part in elements], axis=0)
    sums = np.concatenate(([0.0], np.cumsum(each)))
    return EACH + np.where(
        used, sums[np.where(used, first + sizes - low, 0)] - sums[np.where(used, first - low, 0)], 0.0
    )
