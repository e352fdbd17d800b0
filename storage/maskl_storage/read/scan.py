"""Rows of a table as stored columns, some at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from maskl_storage.errors import NotFound
from maskl_storage.format.names import set_name
from maskl_storage.format.union import Joined
from maskl_storage.read.index import Index
from maskl_storage.read.row_groups import Group, RowsPart

__all__ = ["Scan"]

#: what every part has, and ``run_id``, which every table of rows has
OWN = ("_row", "_step", "_timestamp", "run_id")


class Scan:
    """Reads rows of parts as tables of one schema.

    Parameters
    ----------
    parts : sequence of RowsPart
        The parts.
    index : Index
        Where the rows stand in them.
    columns : sequence of str or None
        Stored names of the columns to read; None reads all.
    group : callable
        Returns a row group of a part, with columns of it.
    known : Scan, optional
        The scan that this one goes on with.

    Attributes
    ----------
    schema : pyarrow.Schema
        Of the tables, with the class sets in its metadata.

    Raises
    ------
    NotFound
        No part has such a column.
    """

    def __init__(
        self,
        parts: Sequence[RowsPart],
        index: Index,
        columns: Sequence[str] | None,
        group: Callable[[RowsPart, int, Sequence[str]], Group],
        known: Scan | None = None,
    ) -> None:
        self._parts, self._index, self._group = parts, index, group
        self._names = [_chosen(part.schema.names, columns) for part in parts]
        _check_columns(parts, columns)
        used = np.unique(index[0]).tolist() or list(range(len(parts)))[:1]
        self._place = {number: place for place, number in enumerate(used)}
        schemas = [(self._schema(number), parts[number].columns) for number in used]
        self._joined: Joined = Joined(schemas, None if known is None else known._joined)
        self.schema = self._joined.schema

    def rows(self, start: int, stop: int) -> pa.Table:
        """Return the rows from one place in the index to another."""
        numbers, positions = self._index[0][start:stop], self._index[1][start:stop]
        tables, places = [], []
        for number in np.unique(numbers).tolist():
            mine = np.flatnonzero(numbers == number)
            part = self._parts[number]
            groups = np.searchsorted(part.starts, positions[mine], "right") - 1
            for group in np.unique(groups).tolist():
                at = mine[groups == group]
                tables.append(self._rows_of(number, group, positions[at]))
                places.append(at)
        if not tables:
            return self.schema.empty_table()
        joined = pa.concat_tables(tables)
        order = np.argsort(np.concatenate(places), kind="stable")
        return joined if np.array_equal(order, np.arange(order.size)) else joined.take(pa.array(order))

    def _rows_of(self, number: int, group_number: int, positions: npt.NDArray[np.int64]) -> pa.Table:
        part, names = self._parts[number], self._names[number]
        group = self._group(part, group_number, names)
        columns = [group.take(name, positions - group.first) for name in names]
        run = pa.repeat(pa.scalar(part.sealed.run_id), positions.size)
        table = pa.Table.from_arrays([*columns, run], schema=self._schema(number))
        return self._joined.table(self._place[number], table)

    def _schema(self, number: int) -> pa.Schema:
        schema = self._parts[number].schema
        fields = [schema.field(name) for name in self._names[number]]
        return pa.schema([*fields, pa.field("run_id", pa.string())])


def _chosen(names: Sequence[str], columns: Sequence[str] | None) -> list[str]:
    if columns is None:
        return list(names)
    wanted = {*columns, *map(set_name, columns)}
    return [name for name in names if name in wanted]


def _check_columns(parts: Sequence[RowsPart], columns: Sequence[str] | None) -> None:
    there = dict.fromkeys((*OWN, *(name for part in parts for name in part.schema.names)))
    unknown = [name for name in columns or () if name not in there]
    if unknown and parts:
        known = ", ".join(map(repr, list(there)[len(OWN) :]))
        raise NotFound(f"there is no column {unknown[0]!r}; there are: {known}")
