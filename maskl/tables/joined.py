"""Two tables as one, joined by a key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from maskl.tables._column_types import FREE
from maskl.tables._rows import Content
from maskl.tables._spool import RowStore
from maskl.tables.inference import describe
from maskl.tables.table import Table
from maskl_storage.errors import InvalidType, InvalidValue, NotFound
from maskl_storage.format.metadata import Column
from maskl_storage.format.union import merge_types

__all__ = ["JoinedTable"]


class JoinedTable:
    """Two tables joined by a key; logging it stores a table with the columns of both.

    Parameters
    ----------
    table1, table2 : Table
        The tables; they are joined as they are when the joined table is logged.
    join_key : str or list of two str
        The column whose values match: one name for both tables, or the name in each.

    Raises
    ------
    InvalidType, InvalidValue
        Something else than tables or names; keys that are images, lists or arrays, or of types that
        never match.
    NotFound
        A table has no such column.

    Notes
    -----
    Every row of both tables is kept: where the other has no row with its key, that one's columns are
    missing. A key that occurs several times joins every row with every row. A missing key matches
    nothing. A column of the second table whose name the first has too becomes ``<name>_2``.

    Examples
    --------
    >>> truth = Table(columns=["id", "class"], data=[["a", "cat"], ["b", "dog"]])
    >>> found = Table(columns=["id", "class"], data=[["b", "cat"], ["c", "dog"]])
    >>> JoinedTable(truth, found, "id").table().data
    [['a', 'cat', None], ['b', 'dog', 'cat'], ['c', None, 'dog']]
    """

    def __init__(self, table1: Table, table2: Table, join_key: str | Sequence[str]) -> None:
        for what, table in (("table1", table1), ("table2", table2)):
            if not isinstance(table, Table):
                raise InvalidValue(f"JoinedTable {what} should be a Table; got {type(table).__name__}")
        keys = [join_key, join_key] if isinstance(join_key, str) else join_key
        if not isinstance(keys, list | tuple) or len(keys) != 2 or not all(isinstance(key, str) for key in keys):
            raise InvalidValue(
                f"JoinedTable join_key should be a string or a list of two strings; got {join_key!r:.60}"
            )
        for what, table, key in (("table1", table1, keys[0]), ("table2", table2, keys[1])):
            if key not in table.columns:
                raise NotFound(
                    f"JoinedTable {what} has no column {key!r}; it has: {', '.join(map(repr, table.columns))}"
                )
        self._tables = (table1, table2)
        self._keys = (keys[0], keys[1])
        self._key_column()

    def table(self) -> Table:
        """Return the joined rows as a table of their own."""
        left, right = (table.content for table in self._tables)
        at, other_at = self._places()
        shared = self._keys[0] == self._keys[1]
        kept = [index for index in range(len(right.types)) if not (shared and index == other_at)]
        types = list(left.types)
        types[at] = self._key_column()
        names = [column.name for column in types]
        for index in kept:
            column = right.types[index]
            names.append(_free_name(column.name, names))
            types.append(_renamed(column, names[-1]))
        joined = Content(names, [FREE] * len(names))
        joined.types, joined.images = tuple(types), {**right.images, **left.images}
        joined.media = {**right.media, **left.media}
        joined.rows = RowStore(joined.spool, self._rows(kept))
        return Table.of(joined)

    def as_dict(self) -> dict[str, Any]:
        """Return the names of the columns and the joined rows, as :meth:`Table.as_dict` does."""
        return self.table().as_dict()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, JoinedTable):
            return NotImplemented
        return self._keys == other._keys and self._tables == other._tables

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        first, second = self._tables
        return f"<JoinedTable of {len(first)} and {len(second)} rows by {' = '.join(dict.fromkeys(self._keys))}>"

    def _places(self) -> tuple[int, int]:
        first, second = (table.columns.index(key) for table, key in zip(self._tables, self._keys, strict=True))
        return first, second

    def _key_column(self) -> Column:
        """Return the column that holds the keys of both."""
        at, other_at = self._places()
        mine, others = self._tables[0].content.types[at], self._tables[1].content.types[other_at]
        for column in (mine, others):
            if column.kind == "image" or column.type in ("list", "array"):
                raise InvalidType(f"column {column.name!r} cannot be a join key: it holds {describe(column)}")
        merged = merge_types(mine, _renamed(others, mine.name))
        if merged is None:
            raise InvalidType(
                f"JoinedTable keys never match: {mine.name!r} of table1 holds {describe(mine)}, {others.name!r} of "
                f"table2 {describe(others)}"
            )
        return merged

    def _rows(self, kept: Sequence[int]) -> list[tuple[Any, ...]]:
        (left, right), (at, other_at) = (table.content for table in self._tables), self._places()
        partners: dict[Any, list[int]] = {}
        others = right.tuples()
        for number, row in enumerate(others):
            if row[other_at] is not None:
                partners.setdefault(row[other_at], []).append(number)
        alone = set(range(len(others)))
        nothing = (None,) * len(kept)
        rows: list[tuple[Any, ...]] = []
        for row in left.tuples():
            found = partners.get(row[at], ()) if row[at] is not None else ()
            alone.difference_update(found)
            rows += [(*row, *(others[number][index] for index in kept)) for number in found] or [(*row, *nothing)]
        width = len(left.types)
        for number in sorted(alone):
            row = others[number]
            own = [None] * width
            own[at] = row[other_at]
            rows.append((*own, *(row[index] for index in kept)))
        return rows


def _renamed(column: Column, name: str) -> Column:
    return Column(column.kind, name, column.type, column.dtype, column.ndim, column.shape, column.timezone)


def _free_name(name: str, taken: Sequence[str]) -> str:
    number = 2
    free = name
    while free in taken:
        free = f"{name}_{number}"
        number += 1
    return free
