"""Stored rows, in order, across runs and parts: by index, in batches, or as one Arrow table."""

from __future__ import annotations

import copy
import dataclasses
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from maskl_storage.boxes import Box, parse_boxes
from maskl_storage.errors import NotFound
from maskl_storage.jsontext import load_text
from maskl_storage.parts import Sealed
from maskl_storage.schema import IMAGE, columns_of, type_suffix, with_metadata
from maskl_storage.spec import LABELLED, ClassSet, Column, set_name

__all__ = ["Row", "StoredImage", "StoredTable"]

#: for each row its part, its position there, and its ``_row``
Index = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image cell as it is stored: no pixels, and its masks still encoded; a reference has no digest."""

    digest: str | None
    format: str | None
    mode: str | None
    width: int | None
    height: int | None
    caption: str | None
    path: str | None
    masks: Mapping[str, tuple[bytes, ClassSet]]
    boxes: Mapping[str, tuple[tuple[Box, ...], ClassSet]] = dataclasses.field(default_factory=dict)


class _Part:
    """An open rows part."""

    def __init__(self, root: Path, sealed: Sealed) -> None:
        self.sealed = sealed
        self.path = root / sealed.part.path
        self._file: pq.ParquetFile | None = None
        self._columns: dict[str, Column] | None = None
        self._group: tuple[int, pa.Table] | None = None

    @property
    def file(self) -> pq.ParquetFile:
        if self._file is None:
            self._file = pq.ParquetFile(self.path, memory_map=True, pre_buffer=False)
        return self._file

    @property
    def columns(self) -> dict[str, Column]:
        if self._columns is None:
            self._columns = columns_of(self.file.schema_arrow, self.sealed.part.path)
        return self._columns

    def group_of(self, position: int) -> tuple[pa.Table, int]:
        """Return the row group that holds a row, and where the group begins."""
        metadata = self.file.metadata
        start = 0
        for group in range(metadata.num_row_groups):
            rows = metadata.row_group(group).num_rows
            if position < start + rows:
                held = self._group
                if held is None or held[0] != group:
                    held = self._group = (group, self.file.read_row_group(group))
                return held[1], start
            start += rows
        raise IndexError(position)


class Row(dict[str, Any]):
    """One row: the user's columns by their own names, and where it stands.

    Attributes
    ----------
    run_id, table_name : str
    row, step : int
        The ``_row`` and ``_step`` that SQL shows.
    """

    def __init__(self, cells: Mapping[str, Any], run_id: str, table_name: str, row: int, step: int) -> None:
        super().__init__(cells)
        self.run_id, self.table_name, self.row, self.step = run_id, table_name, row, step


class StoredTable(Sequence[Row]):
    """The rows of one table, of some runs and steps; rows are read when they are asked for.

    Parameters
    ----------
    root : Path
        The store's directory.
    parts : sequence of Sealed
        Rows parts, those of one run together, runs in the order wanted.
    step : int or 'last', optional
        Keep the rows of this step, or of each run's last one.
    decode : callable, optional
        What turns the stored cell of an image into a value; by default it stays a StoredImage.
    """

    def __init__(
        self,
        root: Path,
        parts: Sequence[Sealed],
        step: int | str | None = None,
        decode: Callable[[StoredImage], Any] = lambda image: image,
    ) -> None:
        self._parts = [_Part(root, sealed) for sealed in parts]
        self._step = step
        self._decode = decode
        self._index: Index | None = None
        self._lookup: dict[tuple[str, int], int] | None = None

    def __len__(self) -> int:
        if self._step is None and self._index is None:
            return sum(part.sealed.part.rows for part in self._parts)
        return len(self._places[0])

    @overload
    def __getitem__(self, index: int) -> Row: ...

    @overload
    def __getitem__(self, index: slice) -> StoredTable: ...

    def __getitem__(self, index: int | slice) -> Row | StoredTable:
        if isinstance(index, slice):
            view = copy.copy(self)
            numbers, positions, rows = self._places
            view._index = (numbers[index], positions[index], rows[index])
            view._lookup = None
            return view
        position = operator.index(index)
        if not -len(self) <= position < len(self):
            raise IndexError(f"row {index} of a table of {len(self)} rows")
        return self._row(position % len(self))

    def __repr__(self) -> str:
        return f"<StoredTable of {len(self)} rows: {', '.join(self.columns)}>"

    @property
    def columns(self) -> list[str]:
        """The user's column names, in order of first appearance."""
        columns = (column for part in self._parts for column in part.columns.values())
        return list(dict.fromkeys(column.name for column in columns if column.kind not in LABELLED))

    @property
    def names(self) -> dict[str, str]:
        """The user's name of each column by the name that it is stored under; SQL shows the latter."""
        return {stored: column.name for part in self._parts for stored, column in part.columns.items()}

    @property
    def primary_key(self) -> str | None:
        """The column that tells the rows apart, if one was set: the last part that has one says which."""
        for part in reversed(self._parts):
            for column in part.columns.values():
                if column.primary_key:
                    return column.name
        return None

    @property
    def parts(self) -> tuple[Sealed, ...]:
        """The parts that the rows stand in; :attr:`places` counts them."""
        return tuple(part.sealed for part in self._parts)

    @property
    def places(self) -> Index:
        """For each row, in order: the number of its part, its position there, and its ``_row``."""
        return self._places

    def at(self, positions: npt.NDArray[np.int64]) -> StoredTable:
        """Return the rows at these positions, in this order; none may be below 0."""
        view = copy.copy(self)
        numbers, places, rows = self._places
        view._index = (numbers[positions], places[positions], rows[positions])
        view._lookup = None
        return view

    @property
    def undecoded(self) -> StoredTable:
        """The same rows with their images as :class:`StoredImage`."""
        view = copy.copy(self)
        view._decode = lambda image: image
        return view

    @property
    def _places(self) -> Index:
        if self._index is None:
            self._index = self._build_index()
        return self._index

    def _build_index(self) -> Index:
        numbers, positions, rows, steps, runs = [], [], [], [], []
        order: dict[str, int] = {}
        for number, part in enumerate(self._parts):
            table = part.file.read(columns=["_row", "_step"])
            count = table.num_rows
            numbers.append(np.full(count, number, np.int64))
            positions.append(np.arange(count, dtype=np.int64))
            rows.append(table["_row"].to_numpy())
            steps.append(table["_step"].to_numpy())
            run = order.setdefault(part.sealed.run_id, len(order))
            runs.append(np.full(count, run, np.int64))
        if not numbers:
            empty = np.zeros(0, np.int64)
            return empty, empty, empty
        number_, position, row = map(np.concatenate, (numbers, positions, rows))
        step, run_ = np.concatenate(steps), np.concatenate(runs)
        if self._step == "last":
            last = np.full(len(order), np.iinfo(np.int64).min)
            np.maximum.at(last, run_, step)
            kept = step == last[run_]
        elif self._step is not None:
            kept = step == int(self._step)
        else:
            kept = np.ones(step.size, np.bool_)
        keep = np.lexsort((row[kept], run_[kept]))
        return number_[kept][keep], position[kept][keep], row[kept][keep]

    def _row(self, index: int) -> Row:
        numbers, positions, rows = self._places
        part = self._parts[int(numbers[index])]
        table, start = part.group_of(int(positions[index]))
        position = int(positions[index]) - start
        cells = _cells(table, position, part.columns)
        decoded = {k: self._decode(v) if isinstance(v, StoredImage) else v for k, v in cells.items()}
        name = str(part.sealed.table)
        return Row(decoded, part.sealed.run_id, name, int(rows[index]), table["_step"][position].as_py())

    def find(self, run_id: str, row: int) -> Row:
        """Return the row of this run with this ``_row``."""
        if self._lookup is None:
            numbers, _, rows = self._places
            runs = [part.sealed.run_id for part in self._parts]
            places = zip(numbers.tolist(), rows.tolist(), strict=True)
            self._lookup = {(runs[number], at): index for index, (number, at) in enumerate(places)}
        if (run_id, row) not in self._lookup:
            raise NotFound(f"run {run_id!r} has no row {row} in this table")
        return self._row(self._lookup[run_id, row])

    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the rows as one Arrow table, with ``run_id``, and class sets in the schema metadata.

        ``columns`` are stored names. Columns that a part lacks are null there; int64 and double
        become double.
        """
        numbers, positions, _ = self._places
        tables, places = [], []
        for number, part in enumerate(self._parts):
            mine = np.flatnonzero(numbers == number)
            if mine.size:
                tables.append(self._part_table(part, columns).take(pa.array(positions[mine])))
                places.append(mine)
        if not tables:
            if not self._parts:
                return pa.table({})
            tables = [self._part_table(self._parts[0], columns).slice(0, 0)]
            places = [np.zeros(0, np.int64)]
        joined = _join(tables)
        order = np.argsort(np.concatenate(places), kind="stable")
        return joined if np.array_equal(order, np.arange(order.size)) else joined.take(pa.array(order))

    def _part_table(self, part: _Part, columns: Sequence[str] | None) -> pa.Table:
        table: pa.Table = part.file.read(columns=None if columns is None else list(columns))
        run = pa.repeat(pa.scalar(part.sealed.run_id), table.num_rows)
        return table.append_column("run_id", run)


def _cells(table: pa.Table, position: int, columns: Mapping[str, Column]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    masks: dict[str, dict[str, tuple[bytes, ClassSet]]] = {}
    boxes: dict[str, dict[str, tuple[tuple[Box, ...], ClassSet]]] = {}
    for stored, column in columns.items():
        if column.kind in LABELLED and column.image is not None and column.key is not None:
            data = table[stored][position].as_py()
            if data is None:
                continue
            numbers = set_name(stored)
            number = table[numbers][position].as_py() if numbers in table.column_names else 0
            class_set = column.class_sets[number]
            if column.kind == "mask":
                masks.setdefault(column.image, {})[column.key] = (data, class_set)
            else:
                boxes.setdefault(column.image, {})[column.key] = (parse_boxes(data), class_set)
    for stored, column in columns.items():
        if column.kind == "image":
            value = table[stored][position].as_py()
            row[column.name] = None if value is None else _image(value, masks.get(stored, {}), boxes.get(stored, {}))
        elif column.kind == "value":
            row[column.name] = _value(table[stored][position], column)
    return row


def _image(value: Mapping[str, Any], masks: Mapping[str, Any], boxes: Mapping[str, Any]) -> StoredImage:
    # by name, since a newer minor version may hold more
    known: dict[str, Any] = {name: value[name] for name in IMAGE.names}
    return StoredImage(**known, masks=masks, boxes=boxes)


def _value(scalar: pa.Scalar, column: Column) -> Any:
    value = scalar.as_py()
    if value is None:
        return None
    if column.type == "json":
        return load_text(value)
    if column.type == "array":
        array = np.array(value, dtype=column.dtype)
        # nested lists do not tell the lengths inside an empty one
        inner = (column.shape or ())[array.ndim :] if array.size == 0 else ()
        return array.reshape((*array.shape, *(length or 0 for length in inner)))
    return value


def _join(tables: Sequence[pa.Table]) -> pa.Table:
    """Join tables of parts whose columns and class sets may differ."""
    metadata: dict[str, Column] = {}
    sets: dict[str, list[ClassSet]] = {}
    renumbered = []
    for table in tables:
        for stored, column in columns_of(table.schema, "rows").items():
            if column.kind in LABELLED and stored in table.column_names:
                table = _renumber(table, stored, column, sets.setdefault(stored, []))
            metadata.setdefault(stored, column)
        renumbered.append(table.replace_schema_metadata(None))
    for stored, known in sets.items():
        metadata[stored] = replace(metadata[stored], class_sets=tuple(known))
    joined = pa.concat_tables(_told_apart(renumbered), promote_options="permissive")
    return joined.replace_schema_metadata(with_metadata(joined.schema, metadata).metadata)


def _told_apart(tables: Sequence[pa.Table]) -> list[pa.Table]:
    """Rename columns whose types cannot become one: the first type keeps the name."""
    kinds: dict[str, pa.DataType] = {}
    taken = {name for table in tables for name in table.column_names}
    renamed = []
    for table in tables:
        names = []
        for field in table.schema:
            first = kinds.get(field.name, pa.null())
            if first == pa.null():
                kinds[field.name] = first = field.type
            numbers = {first, field.type} == {pa.int64(), pa.float64()}
            same = field.type in (first, pa.null()) or numbers
            name = field.name if same else f"{field.name}__{type_suffix(str(field.type))}"
            while not same and name in taken:
                name += "_1"
            names.append(name)
        renamed.append(table.rename_columns(names))
    return renamed


def _renumber(table: pa.Table, stored: str, column: Column, known: list[ClassSet]) -> pa.Table:
    """Make the set numbers of a column of masks or boxes count in ``known``, which grows by new sets."""
    mapping = []
    for items in column.class_sets:
        if items not in known:
            known.append(items)
        mapping.append(known.index(items))
    name = set_name(stored)
    if name in table.column_names:
        old = table[name].combine_chunks()
    elif mapping and mapping[0] != 0:
        old = pa.repeat(pa.scalar(0, pa.uint16()), table.num_rows)
    else:
        return table
    new = pa.array(mapping, pa.uint16()).take(old)
    if name in table.column_names:
        return table.set_column(table.column_names.index(name), name, new)
    return table.add_column(table.column_names.index(stored) + 1, name, new)
