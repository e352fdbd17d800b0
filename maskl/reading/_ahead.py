"""Rows that are read before they are asked for, so that their frames are decoded meanwhile."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sized
from typing import Any, Final

import pyarrow as pa

from maskl.images.decoding import decoders
from maskl.images.image import Image, decode_ahead, is_decoded
from maskl_storage.errors import MasklError
from maskl_storage.read.table import Row

__all__ = ["Ahead", "in_turn"]

#: decoded pixels that wait at a time, as about as many bytes, and the rows that have them
BYTES: Final = 64 << 20
ROWS: Final = 32


class Ahead:
    """The rows of a table that come next, where who reads it takes one after the other and looks at their frames.

    Who reads masks alone, or rows here and there, has nothing read ahead.

    Parameters
    ----------
    table : StoredTable
        The table.
    """

    def __init__(self, table: Sized) -> None:
        self._table = weakref.ref(table)
        self._last = -2
        self._images: list[tuple[str, Image]] = []
        self._waiting: dict[int, Row] = {}

    def of(self, table: Sized) -> bool:
        """Whether these are a table's rows, and not those of the one that it is a view of."""
        return self._table() is table

    def row(self, index: int, read: Callable[[int], Row]) -> Row:
        """Return the row at an index, which ``read`` returns."""
        used = [column for column, image in self._images if is_decoded(image)]
        in_order = index == self._last + 1
        if not in_order:
            self._waiting = {}
        row = self._waiting.pop(index, None) or read(index)
        if in_order and used and decoders.count > 1:
            self._read_ahead(index + 1, used, read)
        self._last = index
        self._images = [(column, value) for column, value in row.items() if isinstance(value, Image)]
        return row

    def _read_ahead(self, first: int, columns: list[str], read: Callable[[int], Row]) -> None:
        """Have the frames of the next rows decoded, as many as there is room for."""
        waiting, table = self._waiting, self._table()
        room = BYTES - sum(map(_weight, waiting.values()))
        for index in range(first, min(first + ROWS, 0 if table is None else len(table))):
            if index in waiting:
                continue
            if room <= 0:
                return
            try:
                row = read(index)
            except (MasklError, OSError, pa.ArrowException):  # which who asks for it learns
                return
            waiting[index] = row
            _begin_decoding(row, columns)
            room -= _weight(row)


def in_turn(rows: deque[Mapping[str, Any]], columns: Collection[str]) -> Iterator[Mapping[str, Any]]:
    """Yield rows from the left, which nobody holds then, while other threads decode the frames of those that follow.

    As many are decoded ahead as there is room for.
    """
    begun = held = 0
    while rows:
        while begun < len(rows) and held < BYTES and decoders.count > 1:
            _begin_decoding(rows[begun], columns)
            held += _weight(rows[begun])
            begun += 1
        row = rows.popleft()
        yield row
        if begun:
            held -= _weight(row)
            begun -= 1


def _begin_decoding(row: Mapping[str, Any], columns: Iterable[str]) -> None:
    for column in columns:
        value = row.get(column)
        if isinstance(value, Image):
            decode_ahead(value)


def _weight(row: Mapping[str, Any]) -> int:
    return sum(4 * (value.width or 0) * (value.height or 0) for value in row.values() if isinstance(value, Image))
