"""Parts of one table as one: which can be, and what each part's rows become in it.

Nothing that is read from a row changes by it: a part whose columns differ in more than that some are absent,
or hold nothing, stays a part of its own, and a class set stays the set that it is.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pyarrow as pa

from maskl_storage.disk.local import Folder
from maskl_storage.disk.parquet import open_part
from maskl_storage.format.metadata import LABELLED, ClassSet, Column
from maskl_storage.format.names import set_name
from maskl_storage.format.schemas import columns_of, stored_type, with_metadata
from maskl_storage.format.seals import Part
from maskl_storage.format.union import NUMBERS, Numbering, adapted, merge_types, number_sets
from maskl_storage.format.union_names import OWN

__all__ = ["Form", "form_of", "join", "together"]

#: class sets of one column that a part can number
MAX_SETS: Final = 1 << 16


@dataclass(slots=True)
class Form:
    """The columns of some parts of one table, joined.

    ``fields`` and ``columns`` are in order of first appearance; columns that number class sets are in
    neither, since they follow from the sets.
    """

    fields: dict[str, pa.Field]
    columns: dict[str, Column]
    sets: dict[str, dict[ClassSet, int]] = field(default_factory=dict)

    @property
    def schema(self) -> pa.Schema:
        """The schema of a part in this form."""
        fields: list[pa.Field] = []
        for name, one in self.fields.items():
            fields.append(one)
            if len(self.sets.get(name, ())) > 1:
                fields.append(pa.field(set_name(name), NUMBERS))
        columns = {
            name: replace(column, class_sets=tuple(self.sets[name])) if name in self.sets else column
            for name, column in self.columns.items()
        }
        return with_metadata(pa.schema(fields), columns)

    def adapt(self, table: pa.Table, own: Form) -> pa.Table:
        """Return rows of a part in this form; ``own`` is the part's."""
        numberings = {}
        for name, sets in own.sets.items():
            mapping = pa.array([self.sets[name][one] for one in sets] or [0], NUMBERS)
            there = set_name(name) if set_name(name) in table.column_names else None
            numberings[set_name(name)] = Numbering(name, there, mapping)
        rows = dict(zip(table.column_names, table.columns, strict=True))
        return adapted(rows, table.num_rows, self.schema, dict(zip(own.fields, own.fields, strict=True)), numberings)


def form_of(files: Folder, part: Part) -> Form | None:
    """Return the form of a part; None where it holds a column that nothing here knows."""
    with open_part(files, part) as file:
        schema = file.schema_arrow
    columns = columns_of(schema, part.path)
    sets = {name: one.class_sets for name, one in columns.items() if one.kind in LABELLED}
    numbers = {set_name(name) for name in sets if schema.get_field_index(set_name(name)) >= 0}
    numbers = {name for name in numbers if schema.field(name).type == NUMBERS}
    fields = {one.name: _named(one, columns.get(one.name)) for one in schema if one.name not in numbers}
    if fields.keys() != {*OWN, *columns} or any(len(set(found)) < len(found) for found in sets.values()):
        return None
    return Form(
        fields,
        columns,
        {name: {one: number for number, one in enumerate(found)} for name, found in sets.items()},
    )


def _named(one: pa.Field, column: Column | None) -> pa.Field:
    """Return a field with the names inside lists that its writer gave them: Parquet does not keep those."""
    kind = one.type if column is None else stored_type(column)
    return one.with_type(kind) if kind == one.type else one


def together(forms: Sequence[Form], disputed: Collection[str] = ()) -> list[tuple[Form, list[int]]]:
    """Return the fewest forms that hold these, and the places of those that each holds.

    What is seen of a table in order of its parts stays as it is: the order of the columns and of class sets, the
    primary key, and each column's roles. ``disputed`` are columns, in lower case, whose type differs between parts:
    the type of most rows keeps the name, so a part's rows are not given such a column.
    """
    free = _grouped(forms, disputed, len(forms))
    return free if _seen([form for form, _ in free]) == _seen(forms) else _grouped(forms, disputed, 1)


def join(forms: Sequence[Form]) -> Form:
    """Return the form that holds all of a group that :func:`together` found."""
    ((form, _),) = _grouped(forms, (), 1)
    return form


def _grouped(forms: Sequence[Form], disputed: Collection[str], reach: int) -> list[tuple[Form, list[int]]]:
    """Put each form to the first of the last ``reach`` groups that can hold it."""
    groups: list[tuple[Form, list[int]]] = []
    for place, form in enumerate(forms):
        for index in range(max(0, len(groups) - reach), len(groups)):
            other = groups[index][0]
            joined = _join(other, form) if _typed(other, disputed) == _typed(form, disputed) else None
            if joined is not None:
                groups[index] = (joined, [*groups[index][1], place])
                break
        else:
            groups.append((form, [place]))
    return groups


def _typed(form: Form, names: Collection[str]) -> dict[str, pa.DataType]:
    return {name.casefold(): one.type for name, one in form.fields.items() if name.casefold() in names}


def _seen(forms: Sequence[Form]) -> tuple[Any, ...]:
    """Return what readers take from the order of parts."""
    names = dict.fromkeys(name for form in forms for name in form.fields)
    types = dict.fromkeys((name, one.type) for form in forms for name, one in form.fields.items())
    sets: dict[str, dict[ClassSet, int]] = {}
    for form in forms:
        for name, found in form.sets.items():
            number_sets(sets.setdefault(name, {}), found)
    roles = {name: column.roles for form in forms for name, column in form.columns.items()}
    return list(names), [pair for pair in types if pair[1] != pa.null()], sets, _keys(forms[-1]), roles


def _join(a: Form, b: Form) -> Form | None:
    """Return a form that holds the rows of both, or None where their values would change by it."""
    spelled = {name.casefold(): name for name in a.fields}
    if any(spelled.get(name.casefold(), name) != name for name in b.fields) or _keys(a) != _keys(b):
        return None
    fields, columns = dict(a.fields), dict(a.columns)
    for name, one in b.fields.items():
        if name not in fields or fields[name].type == pa.null():
            fields[name] = one
        elif one.type not in (fields[name].type, pa.null()):
            return None
    for name, column in b.columns.items():
        joined = _join_columns(columns[name], column) if name in columns else column
        if joined is None:
            return None
        columns[name] = joined
    sets = {name: dict(found) for name, found in a.sets.items()}
    for name, found in b.sets.items():
        number_sets(sets.setdefault(name, {}), found)
        if len(sets[name]) > MAX_SETS:
            return None
    numbers = {set_name(name).casefold() for name in sets}
    return None if numbers & {name.casefold() for name in fields} else Form(fields, columns, sets)


def _keys(form: Form) -> list[str]:
    return [name for name, column in form.columns.items() if column.primary_key]


def _join_columns(a: Column, b: Column) -> Column | None:
    if a.kind in LABELLED:
        return a if replace(a, class_sets=()) == replace(b, class_sets=()) else None
    if a == b or _without_type(a) != _without_type(b):
        return a if a == b else None
    if "null" in (a.type, b.type) or _same_lengths(a, b):
        return merge_types(a, b)
    return None


def _without_type(column: Column) -> Column:
    return replace(column, type=None, dtype=None, ndim=None, shape=None, timezone=None)


def _same_lengths(a: Column, b: Column) -> bool:
    """Whether arrays differ in nothing but their lengths, and none changes by what both share.

    The lengths of the inner axes tell what is inside an empty array, so they give way only where none is empty.
    """
    if a.shape is None or b.shape is None or len(a.shape) != len(b.shape) or replace(a, shape=b.shape) != b:
        return False
    shared = tuple(left if left == right else None for left, right in zip(a.shape, b.shape, strict=True))
    return all(shape[1:] == shared[1:] or all(shape) for shape in (a.shape, b.shape))
