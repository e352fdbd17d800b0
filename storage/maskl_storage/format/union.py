"""Tables of parts whose columns, types and class sets differ, as tables of one schema."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from maskl_storage.format.metadata import LABELLED, ClassSet, Column
from maskl_storage.format.names import set_name
from maskl_storage.format.schemas import type_suffix, with_metadata

__all__ = ["Joined"]


class Joined:
    """What the columns of some parts are together.

    A column that several parts have in types that cannot become one keeps its name in the first of these types;
    in another one its name ends in that type's. Class sets are numbered anew, as ``schema``'s metadata lists them.

    Parameters
    ----------
    parts : sequence of (pyarrow.Schema, mapping of str to Column)
        Schema and metadata of each part, as its tables will be.
    known : Joined, optional
        What tables of these parts are to look like, where it is known already.
    """

    def __init__(self, parts: Sequence[tuple[pa.Schema, Mapping[str, Column]]], known: Joined | None = None) -> None:
        self._sets: dict[str, list[ClassSet]] = {} if known is None else {k: list(s) for k, s in known._sets.items()}
        self._numbers = [self._numbered(schema, columns) for schema, columns in parts]
        numbered = [_with_sets(schema, numbers) for (schema, _), numbers in zip(parts, self._numbers, strict=True)]
        self._types: dict[str, pa.DataType] = {} if known is None else dict(known._types)
        self._taken = {name for schema in numbered for name in schema.names}
        self._names = [self._told_apart(schema) for schema in numbered]
        if known is not None:
            self.schema: pa.Schema = known.schema
            return
        renamed = [
            pa.schema([field.with_name(name) for field, name in zip(schema, names, strict=True)])
            for schema, names in zip(numbered, self._names, strict=True)
        ]
        joined = pa.unify_schemas(renamed, promote_options="permissive") if renamed else pa.schema([])
        metadata: dict[str, Column] = {}
        for _, columns in parts:
            for stored, column in columns.items():
                metadata.setdefault(stored, column)
        for stored, sets in self._sets.items():
            metadata[stored] = replace(metadata[stored], class_sets=tuple(sets))
        self.schema = with_metadata(joined, metadata) if parts else joined

    def table(self, number: int, table: pa.Table) -> pa.Table:
        """Return a table of a part, the number-th, as one of the joint schema."""
        for stored, mapping in self._numbers[number].items():
            table = _renumber(table, stored, mapping)
        names = self._names[number]
        table = table.rename_columns(names).replace_schema_metadata(None)
        there = [name for name in names if name in self.schema.names]  # a part may hold more than it did
        plain = self.schema.remove_metadata()
        whole = pa.concat_tables([plain.empty_table(), table.select(there)], promote_options="permissive")
        return whole.select(plain.names).cast(plain).replace_schema_metadata(self.schema.metadata)

    def _numbered(self, schema: pa.Schema, columns: Mapping[str, Column]) -> dict[str, list[int]]:
        """Return the new numbers of the class sets of those columns whose numbers have to be written."""
        found = {}
        for stored, column in columns.items():
            if column.kind in LABELLED and stored in schema.names:
                known = self._sets.setdefault(stored, [])
                mapping = []
                for items in column.class_sets:
                    if items not in known:
                        known.append(items)
                    mapping.append(known.index(items))
                if set_name(stored) in schema.names or (mapping and mapping[0] != 0):
                    found[stored] = mapping
        return found

    def _told_apart(self, schema: pa.Schema) -> list[str]:
        """Return the names of a part's columns: the first type of a column keeps the name."""
        names = []
        for field in schema:
            first = self._types.get(field.name, pa.null())
            if first == pa.null():
                self._types[field.name] = first = field.type
            numbers = {first, field.type} == {pa.int64(), pa.float64()}
            same = field.type in (first, pa.null()) or numbers
            name = field.name if same else f"{field.name}__{type_suffix(str(field.type))}"
            while not same and name in self._taken:
                name += "_1"
            names.append(name)
        return names


def _with_sets(schema: pa.Schema, numbers: Iterable[str]) -> pa.Schema:
    """Return the schema with the columns of set numbers that will be added."""
    for stored in numbers:
        name = set_name(stored)
        if name not in schema.names:
            schema = schema.insert(schema.get_field_index(stored) + 1, pa.field(name, pa.uint16()))
    return schema


def _renumber(table: pa.Table, stored: str, mapping: Sequence[int]) -> pa.Table:
    """Write the numbers of the class sets of a column of masks or boxes."""
    name = set_name(stored)
    there = name in table.column_names
    old = table[name].combine_chunks() if there else pa.repeat(pa.scalar(0, pa.uint16()), table.num_rows)
    new = pa.array(mapping, pa.uint16()).take(old)
    if there:
        return table.set_column(table.column_names.index(name), name, new)
    return table.add_column(table.column_names.index(stored) + 1, name, new)
