"""The parts of a selection as one: which columns there are together, and each part's rows in that form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

import numpy as np
import pyarrow as pa

from maskl.tables.inference import MIXED, merge
from maskl_storage.errors import InvalidValue
from maskl_storage.format.metadata import LABELLED, ClassSet, Column
from maskl_storage.format.names import set_name
from maskl_storage.format.schemas import BOXES, IMAGE, type_suffix, value_type, with_metadata

__all__ = ["OWN", "Merged"]

#: columns that every row has, and their types
OWN: Final = {
    "run_id": pa.string(),
    "table_name": pa.string(),
    "_row": pa.int64(),
    "_step": pa.int64(),
    "_timestamp": pa.timestamp("us", "UTC"),
}
SET: Final = pa.uint16()


@dataclass
class Merged:
    """The columns of several parts together.

    Where parts hold a column in types that cannot become one, the first type keeps the name and the
    others stand in columns of their own, as in SQL. Class sets are numbered over all parts.

    Parameters
    ----------
    wanted : collection of str, optional
        The user's names of the columns to keep; all by default.

    Attributes
    ----------
    columns : dict of str to Column
        By the name in the merged table, in order of first appearance.
    """

    wanted: Iterable[str] | None = None
    columns: dict[str, Column] = field(default_factory=dict)
    #: for each part: the merged name of each stored column
    _names: list[dict[str, str]] = field(default_factory=list)
    #: for each part: the merged number of each of its class sets, by merged name
    _numbers: list[dict[str, list[int]]] = field(default_factory=list)

    def add(self, part: Mapping[str, Column]) -> None:
        """Take the columns of a further part, as its metadata has them."""
        names: dict[str, str] = {}
        numbers: dict[str, list[int]] = {}
        for stored, column in part.items():
            if column.kind not in LABELLED and (self.wanted is None or column.name in self.wanted):
                names[stored] = self._place(stored, column)
        for stored, column in part.items():
            if column.kind in LABELLED and column.image in names:
                names[stored] = name = self._place(stored, replace(column, image=names[column.image]))
                numbers[name] = self._join_sets(name, column.class_sets)
        self._names.append(names)
        self._numbers.append(numbers)

    def _place(self, stored: str, column: Column) -> str:
        """Return the merged name of a column, which is new or takes this one in."""
        for name, known in self.columns.items():
            if (known.name, known.image, known.key) != (column.name, column.image, column.key):
                continue
            joined = _joined(known, column)
            if joined is not None:
                self.columns[name] = joined
                return name
        name = self._free(stored, column)
        self.columns[name] = replace(column, class_sets=()) if column.kind in LABELLED else column
        return name

    def _free(self, stored: str, column: Column) -> str:
        taken = {name.casefold() for name in self.columns}
        if column.kind in LABELLED:
            stored = f"{column.image}__{column.kind}__{column.key}"
        elif any(known.name == column.name for known in self.columns.values()):
            if column.kind == "image" or any(
                known.name == column.name and known.kind == "image" for known in self.columns.values()
            ):
                raise InvalidValue(
                    f"column {column.name!r} holds images in some rows and other values in others: export the runs "
                    f"one by one, or leave the column out"
                )
            stored = f"{stored}__{type_suffix(str(value_type(column)))}"
        name, number = stored, 0
        while name.casefold() in taken:
            number += 1
            name = f"{stored}_{number}"
        return name

    def _join_sets(self, name: str, sets: Sequence[ClassSet]) -> list[int]:
        known = list(self.columns[name].class_sets)
        numbers = []
        for items in sets:
            if items not in known:
                known.append(items)
            numbers.append(known.index(items))
        self.columns[name] = replace(self.columns[name], class_sets=tuple(known))
        return numbers

    @cached_property
    def schema(self) -> pa.Schema:
        """The merged table's schema, with the columns' metadata."""
        fields = [pa.field(name, kind) for name, kind in OWN.items()]
        # masks and boxes follow their image
        order = {name: number for number, name in enumerate(self.columns)}
        for name, column in sorted(
            self.columns.items(), key=lambda item: (order[item[1].image or item[0]], order[item[0]])
        ):
            fields.append(pa.field(name, _arrow_type(column)))
            if column.kind in LABELLED and len(column.class_sets) > 1:
                fields.append(pa.field(set_name(name), SET))
        return with_metadata(pa.schema(fields), self.columns)

    def stored(self, part: int) -> list[str]:
        """Return the stored names of the columns to read from a part, those of class sets not among them."""
        return list(self._names[part])

    def table(self, part: int, run_id: str, table: str, rows: pa.Table) -> pa.Table:
        """Return rows of a part in the merged form."""
        found = {merged: stored for stored, merged in self._names[part].items()}
        arrays: dict[str, pa.Array | pa.ChunkedArray] = {}
        for entry in self.schema:
            name = entry.name
            if name in ("run_id", "table_name"):
                arrays[name] = pa.repeat(pa.scalar(run_id if name == "run_id" else table), rows.num_rows)
            elif name in OWN:
                arrays[name] = rows[name]
            elif name in self.columns:
                arrays[name] = self._values(name, entry.type, found.get(name), rows)
                if self.columns[name].kind in LABELLED and len(self.columns[name].class_sets) > 1:
                    arrays[set_name(name)] = self._sets(part, name, found.get(name), rows)
        return pa.table(list(arrays.values()), schema=self.schema)

    def _values(self, name: str, kind: pa.DataType, stored: str | None, rows: pa.Table) -> pa.Array | pa.ChunkedArray:
        if stored is None or rows[stored].type == pa.null():
            return pa.nulls(rows.num_rows, kind)
        if rows[stored].type == kind:
            return rows[stored]
        try:
            return rows[stored].cast(kind)
        except pa.ArrowInvalid as error:
            raise InvalidValue(
                f"column {self.columns[name].name!r} holds integers in some runs and floats in others, and float64 "
                f"cannot hold all of these integers: export the runs one by one, or leave the column out: {error}"
            ) from error

    def _sets(self, part: int, name: str, stored: str | None, rows: pa.Table) -> pa.Array:
        """Return the merged number of each row's class set."""
        numbers = np.array(self._numbers[part].get(name, ()) or (0,), np.uint16)
        own = set_name(stored or "")
        if stored is None or own not in rows.column_names:
            return pa.array(np.full(rows.num_rows, numbers[0], np.uint16))
        return pa.array(numbers).take(rows[own].combine_chunks().fill_null(0))


def _joined(known: Column, column: Column) -> Column | None:
    """Return the column that holds the values of both, None where there is none."""
    if known.kind in LABELLED:
        return known if known.kind == column.kind else None
    plain, other = (replace(one, class_sets=(), primary_key=False, foreign_key=None) for one in (known, column))
    types = {plain.type, other.type}
    if plain == other:
        found: Column | None = plain
    elif types == {"json"}:
        found = replace(plain, dtype=MIXED)
    else:
        found = merge(plain, other) if len(types) == 1 or "null" in types or types == {"int", "float"} else None
    if found is None:
        return None
    return replace(
        found,
        class_sets=known.class_sets or column.class_sets,
        primary_key=known.primary_key,
        foreign_key=known.foreign_key or column.foreign_key,
    )


def _arrow_type(column: Column) -> pa.DataType:
    if column.kind == "image":
        return IMAGE
    if column.kind in LABELLED:
        return pa.binary() if column.kind == "mask" else BOXES
    return value_type(column)
