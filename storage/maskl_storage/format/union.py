"""Parts of differing columns as one table: the names and types of its columns, and a part's rows in them.

A seal lists the stored names and Arrow types of a part's columns. From these alone follows what the columns of all
parts are called together, see :mod:`~maskl_storage.format.union_names`: SQL shows these names, and so does whatever
else reads. The parts' metadata says what the values stand for (:class:`UnionSchema`). Merging parts gives their rows
other columns in the same way (:func:`adapted`).
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa

from maskl_storage.errors import InvalidValue
from maskl_storage.format.metadata import LABELLED, ClassSet, Column
from maskl_storage.format.names import set_name
from maskl_storage.format.schemas import stored_type, with_metadata
from maskl_storage.format.union_names import OWN, Kinds, UnionNames

__all__ = [
    "DICT",
    "LIST",
    "MIXED",
    "NUMBERS",
    "Fit",
    "Numbering",
    "PartColumns",
    "UnionSchema",
    "adapted",
    "merge_types",
    "number_sets",
]

#: the type of the columns that say which class set a row uses: no user's column has it
NUMBERS: Final = pa.uint16()
#: what the ``dtype`` of a JSON column says of its values: all lists, all dicts, or anything
LIST: Final = "list"
DICT: Final = "dict"
MIXED: Final = "anything"

#: an Array or ChunkedArray of Arrow's
Values = Any


# --- types --------------------------------------------------------------------------------------


def merge_types(a: Column, b: Column) -> Column | None:
    """Return the column that holds the values of both as they are, or None where there is none.

    Examples
    --------
    >>> merge_types(Column("value", "x", "int"), Column("value", "x", "float")).type
    'float'
    >>> merge_types(Column("value", "x", "int"), Column("value", "x", "string"))
    """
    if a is b or a == b or b.type == "null":
        return a
    if a.type == "null":
        return b
    if a.kind != "value" or b.kind != "value":
        return None
    if a.type == "json" and a.dtype == MIXED:
        return a
    if {a.type, b.type} == {"int", "float"}:
        return replace(a, type="float")
    if {a.type, b.type} == {"list", "json"}:
        plain, nested = (a, b) if a.type == "list" else (b, a)
        return nested if nested.dtype == LIST and plain.dtype is None else None
    if a.type == b.type and a.type in ("list", "array") and a.ndim == b.ndim:
        return _merge_items(a, b)
    return None


def _merge_items(a: Column, b: Column) -> Column | None:
    if a.dtype is None or b.dtype is None:
        return a if b.dtype is None else b
    if a.type == "array":
        shape = tuple(x if x == y else None for x, y in zip(a.shape or (), b.shape or (), strict=True))
        return replace(a, dtype=np.result_type(np.dtype(a.dtype), np.dtype(b.dtype)).name, shape=shape)
    return replace(a, dtype="float64") if {a.dtype, b.dtype} == {"int64", "float64"} else None


def _as_stored(a: Column, b: Column) -> Column:
    """Return what columns of one Arrow type are together: with strings JSON is text, with lists arrays are lists."""
    if a.kind != b.kind:  # a mask beside bytes, or beside what holds nothing
        plain, other = (a, b) if a.kind == "value" else (b, a)
        return other if plain.type == "null" else plain
    merged = merge_types(a, replace(b, name=a.name, image=a.image, key=a.key))
    if merged is not None:
        return merged
    if a.type == b.type == "json":
        return replace(a, dtype=MIXED)
    return b if a.type in ("json", "array") else a


# --- class sets ---------------------------------------------------------------------------------


def number_sets(known: dict[ClassSet, int], sets: Iterable[ClassSet]) -> list[int]:
    """Return the numbers of class sets among those that are known, which the others become."""
    return [known.setdefault(one, len(known)) for one in sets]


@dataclass(frozen=True, eq=False, slots=True)
class Numbering:
    """Which class set each row of a column of masks or boxes uses, counted anew.

    Parameters
    ----------
    labelled : str
        The stored column.
    numbers : str or None
        The stored column that numbers its class sets; without it, all rows use the first one.
    mapping : pa.Array
        The new number of each class set of the part.
    """

    labelled: str
    numbers: str | None
    mapping: pa.Array

    def of(self, rows: Mapping[str, Values]) -> Values:
        """Return the new number of each row, null where it has no masks or boxes."""
        missing = rows[self.labelled].is_null().to_numpy(zero_copy_only=False)
        numbers = np.zeros(missing.size, np.uint16)
        if self.numbers is not None:
            numbers = rows[self.numbers].fill_null(0).to_numpy(zero_copy_only=False)
        return self.mapping.take(pa.array(numbers, mask=missing))


# --- rows ---------------------------------------------------------------------------------------


def adapted(
    rows: Mapping[str, Values],
    count: int,
    schema: pa.Schema,
    stored: Mapping[str, str],
    numberings: Mapping[str, Numbering],
) -> pa.Table:
    """Return rows of a part as a table of another schema.

    Parameters
    ----------
    rows : mapping of str to arrays
        The part's columns by their stored names.
    count : int
        How many rows there are.
    schema : pyarrow.Schema
        Of the table.
    stored : mapping of str to str
        For each of its columns that the part has, the stored name; the others are null.
    numberings : mapping of str to Numbering
        The columns that number class sets.

    Raises
    ------
    InvalidValue
        Integers that become floats and that float64 cannot hold.
    """
    arrays: list[Values] = []
    for one in schema:
        own = stored.get(one.name)
        if own is not None and own in rows:
            arrays.append(_cast(rows[own], one))
        elif own is None and one.name in numberings:
            arrays.append(numberings[one.name].of(rows))
        else:
            arrays.append(pa.nulls(count, one.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def _cast(values: Values, field: pa.Field) -> Values:
    if values.type == field.type:
        return values
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), field.type)
    try:
        return values.cast(field.type)
    except pa.ArrowInvalid as error:
        raise InvalidValue(
            f"column {field.name!r} holds integers in some runs and floats in others, and float64 cannot hold all of "
            f"these integers: take the runs one by one, or leave the column out: {error}"
        ) from error


@dataclass(frozen=True, eq=False, slots=True)
class PartColumns:
    """What a part says of its columns; parts that say the same share one.

    Parameters
    ----------
    kinds : tuple of (str, str)
        Stored name and Arrow type of each, as its seal lists them.
    schema : pyarrow.Schema
        Its file's.
    columns : mapping of str to Column
        Its metadata.
    """

    kinds: Kinds
    schema: pa.Schema
    columns: Mapping[str, Column]


@dataclass(frozen=True, eq=False, slots=True)
class Fit:
    """How a part's columns become those of a union.

    Parameters
    ----------
    stored : mapping of str to str
        For each column of the union that the part has values of, the stored name.
    numberings : mapping of str to Numbering
        The union's columns that number class sets, as far as the part has masks or boxes.
    """

    stored: dict[str, str]
    numberings: dict[str, Numbering]

    def needs(self, names: Iterable[str]) -> list[str]:
        """Return the stored columns to read for some of the union's."""
        wanted: dict[str, None] = {}
        for name in names:
            if name in self.stored:
                wanted[self.stored[name]] = None
            elif name in self.numberings:
                numbering = self.numberings[name]
                wanted |= dict.fromkeys(one for one in (numbering.labelled, numbering.numbers) if one is not None)
        return list(wanted)


class UnionSchema:
    """The columns of some parts together: their names, their types, and what their values stand for.

    Parameters
    ----------
    names : UnionNames
        What the columns are called: those of these parts, and perhaps of others.
    parts : sequence of PartColumns
        The parts in their order.
    labels : mapping of str to str, optional
        What the columns are called where names are the user's, if that is known: of these parts and of others.

    Attributes
    ----------
    own : list of str
        Those of :data:`OWN` that the parts have.
    types : dict of str to pyarrow.DataType
        By name, in order of first appearance; masks and boxes follow their image.
    columns : dict of str to Column
        What is known of them: ``name`` is their label, and ``image`` a name of this union.
    labels : dict of str to str
        The user's own name of each column, or this union's where it would be that of two; masks and boxes have that
        of their image.
    users : dict of str to str
        The user's own name in the first part that has the column; of masks and boxes, that of their image.
    row_names : list of str
        All names that the user has for images and values, in order of first appearance.
    layers : dict of str to tuple of (str, str)
        For each column of masks or boxes, the stored names of its image and the keys that parts know it by: several
        where they differ in case.
    readings : dict of str to set of str
        The types of a column's values where its parts differ in that and Arrow's type is one: JSON beside strings,
        arrays beside lists, integers beside floats.
    sets : dict of str to dict of ClassSet to int
        The numbers of the class sets of each column of masks or boxes.
    primary_key : str or None
        The user's own name of the column that tells rows apart: the last part that has one says which.
    """

    def __init__(
        self, names: UnionNames, parts: Sequence[PartColumns], labels: Mapping[str, str] | None = None
    ) -> None:
        self.names = names
        distinct = list(dict.fromkeys(parts))
        self.own = [name for name in OWN if any(name == stored for part in distinct for stored, _ in part.kinds)]
        found: dict[str, _Joint] = {}
        for part in distinct:
            for stored, kind, name in self._named(part):
                found.setdefault(name, _Joint(names.columns[name][1])).add(stored, kind, part, names)
        found = self._without_empty(found)
        places = {name: place for place, name in enumerate(found)}
        order = sorted(found, key=lambda name: (places.get(found[name].image or name, places[name]), places[name]))
        self.types = {name: found[name].type for name in order}
        known = self._label(found) if labels is None else labels
        self.labels = {name: known[name] for name in order if name in known}
        self.columns = {
            name: column for name in order if (column := found[name].described(self.labels.get(name))) is not None
        }
        labelled = [name for name, column in self.columns.items() if column.kind in LABELLED]
        self.layers = {name: tuple(found[name].layers) for name in labelled}
        self.sets = {name: found[name].sets for name in self.layers}
        self.readings = {name: some for name in order if len(some := found[name].readings) > 1}
        self._required = {name for name in order if found[name].required == len(distinct)}
        self.users = {name: found[name].user for name in self.columns}
        rows = (column.name for part in distinct for column in part.columns.values() if column.kind not in LABELLED)
        self.row_names = list(dict.fromkeys(rows))
        keys = (self._key_of(part) for part in dict.fromkeys(reversed(parts)))
        key = next((key for key in keys if key is not None), None)
        self.primary_key = None if key is None else key[1].name
        if key is not None and key[0] in self.columns:
            self.columns[key[0]] = replace(self.columns[key[0]], primary_key=True)
        for name, roles in self._roles(parts).items():
            if roles and name in self.columns:
                self.columns[name] = replace(self.columns[name], roles=roles)

    def keys(self, name: str) -> tuple[str, ...]:
        """Return the keys of a column of masks or boxes in its images; no other column has any."""
        return tuple(dict.fromkeys(key for _, key in self.layers.get(name, ())))

    def numbers(self, name: str) -> str | None:
        """Return the name of the column that numbers the class sets of another, where that has several."""
        return set_name(name) if len(self.sets.get(name, ())) > 1 else None

    @property
    def all_names(self) -> list[str]:
        """The names of all columns, those that number class sets behind what they belong to."""
        return [one for name in self.types for one in (name, self.numbers(name)) if one is not None]

    def schema(self, names: Iterable[str], own: Mapping[str, pa.DataType]) -> pa.Schema:
        """Return the schema of tables with some columns, of which ``own`` are in no union.

        Raises
        ------
        InvalidValue
            A column that numbers class sets would have the name of another.
        """
        fields = []
        for name in names:
            if self.numbers(name) in self.types:
                raise InvalidValue(
                    f"column {self.numbers(name)!r} has the name of the one that numbers the class sets of {name!r}: "
                    f"take the columns without one of them"
                )
            kind = own[name] if name in own else self.types.get(name, NUMBERS)
            fields.append(pa.field(name, kind, nullable=name not in self._required))
        return with_metadata(pa.schema(fields), self.columns)

    def only(self, names: Collection[str]) -> UnionSchema:
        """Return the columns of which these are labels or the user's own names, images with their masks and boxes."""
        kept = copy.copy(self)
        for what in ("types", "columns", "labels", "layers", "sets", "readings", "users"):
            all_of = getattr(self, what)
            mine = [name for name in all_of if {self.labels.get(name), self.users.get(name)} & {*names}]
            setattr(kept, what, {name: all_of[name] for name in mine})
        return kept

    def fit(self, part: PartColumns) -> Fit:
        """Return how a part's columns become these; what is not among them is left out."""
        stored: dict[str, str] = {}
        numberings: dict[str, Numbering] = {}
        for own, kind, name in self._named(part):
            if kind == "null" or name not in self.types:
                continue
            stored[name] = own
            numbers = self.numbers(name)
            if numbers is not None and own in part.columns:
                mapping = [self.sets[name].get(one) for one in part.columns[own].class_sets] or [0]
                there = (set_name(own), str(NUMBERS)) in part.kinds
                numberings[numbers] = Numbering(own, set_name(own) if there else None, pa.array(mapping, NUMBERS))
        return Fit(stored, numberings)

    def _named(self, part: PartColumns) -> Iterator[tuple[str, str, str]]:
        """Yield stored name, type and name here of each column of a part."""
        for stored, kind in part.kinds:
            if stored not in OWN and kind != str(NUMBERS):
                for name in self.names.of_part(stored, kind):
                    yield stored, kind, name

    def _without_empty(self, found: Mapping[str, _Joint]) -> dict[str, _Joint]:
        """Leave out columns that hold nothing where another one has the values that are there under this stored name.

        What holds nothing in one part stands in the column of most rows, and merging parts drops it.
        """
        typed = {self.names.columns[name][0] for name, joint in found.items() if joint.kinds != {"null"}}
        return {
            name: joint
            for name, joint in found.items()
            if joint.kinds != {"null"} or self.names.columns[name][0] not in typed
        }

    def _label(self, found: Mapping[str, _Joint]) -> dict[str, str]:
        """Return the users' names of the columns, whatever the order of the parts: no two are called the same."""
        own = {  # as it is spelled here, where several differ in case
            name: min(joint.owns, key=lambda pair: (pair[0] != name, pair))
            for name, joint in found.items()
            if joint.owns
        }
        listed = [name for name in self.names.columns if name in own]
        labels: dict[str, str] = {}
        for name in listed:  # those that stand under their own names come first
            stored, label = own[name]
            if name.casefold() != self.names.columns[name][0] or label.casefold() == stored.casefold():
                labels[name] = name
        for name in listed:
            label = own[name][1]
            while name not in labels:
                if label not in labels.values():
                    labels[name] = label
                label = name if label == own[name][1] else f"{label}_1"
        layers = {name: joint.image for name, joint in found.items() if joint.is_layer}
        return labels | {name: labels[image] for name, image in layers.items() if image in labels}

    def _roles(self, parts: Sequence[PartColumns]) -> dict[str, tuple[str, ...]]:
        """Return the roles of each column: the last part that has it says which."""
        roles: dict[str, tuple[str, ...]] = {}
        for part in dict.fromkeys(reversed(parts)):
            for stored, _, name in self._named(part):
                if stored in part.columns:
                    roles.setdefault(name, part.columns[stored].roles)
        return roles

    def _key_of(self, part: PartColumns) -> tuple[str | None, Column] | None:
        """Return a part's primary key, and what it is called here."""
        found = next(((stored, column) for stored, column in part.columns.items() if column.primary_key), None)
        if found is None:
            return None
        names = self.names.of_part(found[0], dict(part.kinds).get(found[0], "null"))
        return next(iter(names), None), found[1]


class _Joint:
    """One column of a union in the making.

    Parameters
    ----------
    kind : str
        Its Arrow type, as the union's names have it.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self.kinds: set[str] = set()
        self.readings: set[str] = set()
        self.layers: dict[tuple[str, str], None] = {}
        self.sets: dict[ClassSet, int] = {}
        #: parts whose file says that no value is missing
        self.required = 0
        #: the user's own name, of masks and boxes that of their image
        self.user = ""
        #: stored name and the user's own in each part, of images and values
        self.owns: set[tuple[str, str]] = set()
        #: of masks and boxes: the name of the image here
        self.image: str | None = None
        self._column: Column | None = None
        self._classes: set[tuple[ClassSet, ...]] = set()
        self._type: pa.DataType = pa.null()

    def add(self, stored: str, kind: str, part: PartColumns, names: UnionNames) -> None:
        """Take a column of a part in."""
        self.kinds.add(kind)
        field = part.schema.field(stored)
        self.required += not field.nullable
        if kind != "null":
            self._type = pa.float64() if self._kind == "double" else field.type
        column = part.columns.get(stored)
        if column is None:  # of a kind that is not known here
            return
        self.user = self.user or column.name
        if column.kind in LABELLED:
            self.layers[str(column.image), str(column.key)] = None
            number_sets(self.sets, column.class_sets)
            if self.image is None:
                images = names.of_part(str(column.image), dict(part.kinds).get(str(column.image), ""))
                self.image = next(iter(images), None)
        else:
            self.owns.add((stored, column.name))
            if column.type not in (None, "null"):
                self.readings.add(str(column.type))
                self._classes.add(column.class_sets)
        plain = replace(column, class_sets=(), primary_key=False, foreign_key=None, roles=())
        if self._column is not None:
            plain = _as_stored(replace(self._column, foreign_key=None), plain)
            column = replace(column, foreign_key=self._column.foreign_key or column.foreign_key)
        if plain.type == "int" and self._kind == "double":  # floats in a part of others
            plain = replace(plain, type="float")
        self._column = replace(plain, foreign_key=column.foreign_key)

    @property
    def is_layer(self) -> bool:
        """Whether it is one of masks, boxes or segments; a user's values of such a name in another part are none."""
        return self._column is not None and self._column.kind in LABELLED

    @property
    def type(self) -> pa.DataType:
        """The Arrow type, with the names inside lists that a writer gives them: Parquet does not keep those."""
        wanted = self._type if self._column is None else stored_type(self._column)
        return wanted if wanted == self._type else self._type

    def described(self, label: str | None) -> Column | None:
        """Return what is known of the column."""
        if self._column is None:
            return None
        labelled = self.is_layer
        # classes of ids hold where all parts say the same of them
        classes = tuple(self.sets) if labelled else next(iter(self._classes)) if len(self._classes) == 1 else ()
        return replace(
            self._column,
            name=self._column.name if label is None else label,
            image=self.image if labelled else None,
            class_sets=classes,
        )
