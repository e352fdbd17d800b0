"""What the viewer keeps in memory: columns of numbers, and the sets that are made of them, each array counted once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import Final, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

__all__ = ["Kept"]


#: the newest columns, which a set is being made of: its rows, and what they are sorted by
COLUMNS: Final = 2


class _HasArrays(Protocol):
    def arrays(self) -> tuple[npt.NDArray[np.generic], ...]:
        """Return the arrays that it holds."""
        ...


Column = TypeVar("Column", bound=_HasArrays)
Group = TypeVar("Group", bound=_HasArrays)


class Kept(Generic[Column, Group]):
    """Columns, and sets that hold some of them, up to a number of bytes.

    A set that is dropped gives back what no other one holds. So the oldest sets go first, then the oldest columns that
    no set holds: a column that a set holds stays findable, and is never read a second time beside it.

    Parameters
    ----------
    limit : int
        Bytes of all arrays; the last set and its columns are kept even if they are more.
    most : int
        How many sets are kept, however small they are.
    """

    def __init__(self, limit: int, most: int) -> None:
        self._limit, self._most = limit, most
        self._lock = threading.Lock()
        self._columns: OrderedDict[Hashable, Column] = OrderedDict()
        self._sets: OrderedDict[str, Group] = OrderedDict()

    @property
    def nbytes(self) -> int:
        """The bytes of all arrays."""
        with self._lock:
            return self._weight()

    def column(self, key: Hashable) -> Column | None:
        """Return a column, None where it is not kept."""
        with self._lock:
            if key in self._columns:
                self._columns.move_to_end(key)
            return self._columns.get(key)

    def set(self, mark: str) -> Group | None:
        """Return a set, None where it is not kept."""
        with self._lock:
            if mark in self._sets:
                self._sets.move_to_end(mark)
            return self._sets.get(mark)

    def put_column(self, key: Hashable, column: Column) -> None:
        """Keep a column."""
        with self._lock:
            self._columns[key] = column
            self._columns.move_to_end(key)
            self._trim()

    def put_set(self, mark: str, made: Group) -> None:
        """Keep a set."""
        with self._lock:
            self._sets[mark] = made
            self._sets.move_to_end(mark)
            self._trim()

    # --- inside ---------------------------------------------------------------------------------

    def _weight(self) -> int:
        return sum(_by_id((*self._columns.values(), *self._sets.values())).values())

    def _trim(self) -> None:
        while len(self._sets) > 1 and (len(self._sets) > self._most or self._weight() > self._limit):
            self._sets.popitem(last=False)
        held = _by_id(self._sets.values())
        for key in list(self._columns)[:-COLUMNS]:
            if self._weight() <= self._limit:
                break
            if not _by_id((self._columns[key],)).keys() <= held.keys():
                del self._columns[key]


def _by_id(holders: Iterable[_HasArrays]) -> dict[int, int]:
    """Return the bytes of each array that somebody holds."""
    return {id(array): array.nbytes for holder in holders for array in holder.arrays()}
