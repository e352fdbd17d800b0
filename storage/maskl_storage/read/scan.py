"""Rows of a table as tables of one schema, some at a time, gathered row group by row group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from maskl_storage.format.union import Fit, PartColumns, UnionSchema, adapted
from maskl_storage.read._index import Index
from maskl_storage.read._row_groups import Group, RowsPart

__all__ = ["OWN", "Scan"]

#: the columns that tables of rows have beside the user's, and their types
OWN: Final[Mapping[str, pa.DataType]] = {
    "run_id": pa.string(),
    "table_name": pa.string(),
    "_row": pa.int64(),
    "_step": pa.int64(),
    "_timestamp": pa.timestamp("us", "UTC"),
}
#: those of them that a part says nothing of, since they are the same in all of its rows
_OF_PART: Final = ("run_id", "table_name")


class Scan:
    """Reads rows of parts as tables of one schema.

    Parameters
    ----------
    parts : sequence of RowsPart
        The parts.
    index : Index
        Where the rows stand in them.
    union : UnionSchema
        What their columns are together.
    schema : pyarrow.Schema
        The tables': columns of the union, and of :data:`OWN`.
    group : callable
        Returns a row group of a part, with columns of it.
    """

    def __init__(
        self,
        parts: Sequence[RowsPart],
        index: Index,
        union: UnionSchema,
        schema: pa.Schema,
        group: Callable[[RowsPart, int, Sequence[str]], Group],
    ) -> None:
        self._parts, self._index, self._group = parts, index, group
        self._union, self._schema = union, schema
        #: how the columns of parts become those of the tables, and which of them are read
        self._fits: dict[PartColumns, tuple[Fit, list[str]]] = {}

    def rows(self, start: int, stop: int) -> pa.Table:
        """Return the rows from one place in the index to another."""
        numbers, positions = self._index[0][start:stop], self._index[1][start:stop]
        tables, places = [], []
        for number in np.unique(numbers).tolist():
            mine = np.flatnonzero(numbers == number)
            groups = np.searchsorted(self._parts[number].starts, positions[mine], "right") - 1
            for group in np.unique(groups).tolist():
                at = mine[groups == group]
                tables.append(self._rows_of(self._parts[number], group, positions[at]))
                places.append(at)
        if not tables:
            return self._schema.empty_table()
        joined = pa.concat_tables(tables)
        order = np.argsort(np.concatenate(places), kind="stable")
        return joined if np.array_equal(order, np.arange(order.size)) else joined.take(pa.array(order))

    def _rows_of(self, part: RowsPart, group_number: int, positions: npt.NDArray[np.int64]) -> pa.Table:
        fit, names = self._fit(part.described)
        group = self._group(part, group_number, names)
        rows = {name: group.take(name, positions - group.first) for name in names}
        for name, value in zip(_OF_PART, (part.sealed.run_id, part.sealed.table), strict=True):
            if name in self._schema.names:
                rows[name] = pa.repeat(pa.scalar(str(value), OWN[name]), positions.size)
        return adapted(rows, positions.size, self._schema, fit.stored, fit.numberings)

    def _fit(self, columns: PartColumns) -> tuple[Fit, list[str]]:
        found = self._fits.get(columns)
        if found is None:
            fit = self._union.fit(columns)
            fit = Fit(dict(zip(OWN, OWN, strict=True)) | fit.stored, fit.numberings)
            names = [name for name in fit.needs(self._schema.names) if name not in _OF_PART]
            found = self._fits[columns] = (fit, names)
        return found
