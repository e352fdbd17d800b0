"""Rows parts, opened: their metadata, row groups as columns of which single values can be read, and rows of these."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from maskl_storage.catalog.listing import Sealed
from maskl_storage.disk.local import Folder
from maskl_storage.disk.mapped import Chunk, MappedFile, Maps, chunks_of, open_parquet
from maskl_storage.disk.parquet import row_bounds
from maskl_storage.errors import CorruptData
from maskl_storage.format.boxes import parse_boxes
from maskl_storage.format.json_values import load_text
from maskl_storage.format.metadata import LABELLED, METADATA_KEY, ClassSet, Column
from maskl_storage.format.names import set_name
from maskl_storage.format.schemas import IMAGE, check_columns, check_types, columns_of
from maskl_storage.format.segments import parse_stored_segments
from maskl_storage.format.union import PartColumns, UnionSchema
from maskl_storage.read._rows import StoredImage

__all__ = ["Group", "RowsPart"]

#: what a cell raises that is not what the part's metadata says, or no value of its type, such as the year 292,277
UNREADABLE: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, pa.ArrowException)

#: bytes of neighbouring values that are read at once
TOGETHER: Final = 16 << 20


class RowsPart:
    """A rows part; nothing of it is read before it is asked for, and no file stays open.

    Parameters
    ----------
    maps : Maps
        The reader's mapped files.
    sealed : Sealed
        The part.
    alike : dict
        What parts say of their columns, which those that say the same share.

    Attributes
    ----------
    maps : Maps
        As given.
    readers : dict of bool to RowReader
        What makes rows of its row groups: with the user's own names, and with those that all parts share.
    """

    def __init__(self, maps: Maps, sealed: Sealed, alike: dict[Hashable, PartColumns]) -> None:
        self.sealed = sealed
        self.maps = maps
        self.readers: dict[bool, RowReader] = {}
        self._alike = alike
        self._chunks: dict[str, list[Chunk | None]] = {}

    @cached_property
    def file(self) -> MappedFile:
        """Its file."""
        return self.maps.open(self.sealed.part.path, self.sealed.part.bytes)

    @cached_property
    def _footer(self) -> tuple[pq.FileMetaData, pa.Schema]:
        with open_parquet(self.file) as file:
            check_columns(file.schema_arrow, self.sealed.part)
            return file.metadata, file.schema_arrow

    @property
    def schema(self) -> pa.Schema:
        """The part's Arrow schema, without run_id."""
        return self._footer[1]

    @cached_property
    def described(self) -> PartColumns:
        """What the part says of its columns."""
        kinds, schema = self.sealed.part.columns, self.schema
        key = (kinds, (schema.metadata or {}).get(METADATA_KEY))
        found = self._alike.get(key)
        if found is None:
            made = PartColumns(kinds, schema, columns_of(schema, self.sealed.part.path))
            found = self._alike.setdefault(key, made)
        check_types(schema, found.columns, self.sealed.part.path)
        return found

    @cached_property
    def starts(self) -> list[int]:
        """Where each row group begins, and where the last one ends."""
        metadata = self._footer[0]
        sizes = (metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
        return [0, *accumulate(sizes)]

    @cached_property
    def row_bounds(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None:
        """The lowest and the highest ``_row`` of each row group, None where one has none."""
        if self.starts[-1] != self.sealed.part.rows:
            raise CorruptData(f"{self.file.path} has {self.starts[-1]} rows, and its seal says {self.sealed.part.rows}")
        with open_parquet(self.file, self._footer[0]) as file:
            found = list(row_bounds(file))
        known = [bounds for bounds in found if bounds is not None]
        if len(known) < len(found):
            return None
        return np.array([low for low, _ in known], np.int64), np.array([high for _, high in known], np.int64)

    @cached_property
    def blobs(self) -> frozenset[str]:
        """The columns of bytes."""
        return frozenset(field.name for field in self.schema if pa.types.is_binary(field.type))

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Return some columns of all rows."""
        with open_parquet(self.file, self._footer[0]) as file:
            table = file.read(columns=list(columns), use_threads=False)
        self._check(table, self.starts[-1])
        return table.select([name for name in columns if name in table.column_names])

    def read_group(self, number: int, columns: Sequence[str]) -> pa.Table:
        """Return some columns of a row group, in the order of ``columns``."""
        with open_parquet(self.file, self._footer[0]) as file:
            # a column that is called like another one and a dot comes along
            table = file.read_row_group(number, columns=list(columns), use_threads=False).select(columns)
        self._check(table, self.starts[number + 1] - self.starts[number])
        return table

    def _check(self, table: pa.Table, rows: int) -> None:
        if table.num_rows != rows:
            raise CorruptData(f"{self.file.path}: {table.num_rows} rows, where the file's metadata says {rows}")
        self.file.count(table.nbytes)

    def group_of(self, position: int) -> int:
        """Return the row group that holds a row."""
        return bisect_right(self.starts, position) - 1

    def chunk(self, group: int, name: str) -> Chunk | None:
        """Return the chunk of a column of bytes, None where it cannot be sliced."""
        found = self._chunks.get(name)
        if found is None:
            found = self._chunks[name] = chunks_of(self.file, self._footer[0], name)
        return found[group]


class Group:
    """A row group: small columns are read when one is asked for, bytes value by value."""

    def __init__(self, part: RowsPart, number: int) -> None:
        self._part, self._number = part, number
        self.first = part.starts[number]
        self.size = part.starts[number + 1] - self.first
        self._columns: dict[str, pa.Array] = {}
        self._starts: dict[str, array[int] | None] = {}
        self._fields: dict[str, list[pa.Array]] = {}
        self._complete = False

    @property
    def path(self) -> str:
        """Where its part lies, relative to the store."""
        return self._part.sealed.part.path

    @property
    def files(self) -> Folder:
        """The store."""
        return self._part.maps.files

    @property
    def weight(self) -> int:
        """About how many bytes are held."""
        held: int = sum(column.nbytes for column in list(self._columns.values()))
        return held + sum(8 * len(starts) for starts in list(self._starts.values()) if starts) + 1024

    def load(self, names: Sequence[str] | None = None) -> bool:
        """Read what is not read yet of some columns, by default of all; return whether there was something."""
        if names is None:
            if self._complete:
                return False
            self._complete = True
            names = self._part.schema.names
        places = [name for name in names if name in self._part.blobs and name not in self._starts]
        whole = [name for name in places if self._places(name) is None]
        missing = [name for name in names if name not in self._columns and name not in self._starts] + whole
        if missing:
            table = self._part.read_group(self._number, missing)
            for name in missing:
                self._columns[name] = _whole(table[name])
        return bool(places or missing)

    def column(self, name: str) -> pa.Array:
        """Return a column, all of it."""
        found = self._columns.get(name)
        if found is None:
            found = self._columns[name] = _whole(self._part.read_group(self._number, [name])[name])
        return found

    def fields(self, name: str) -> list[pa.Array]:
        """Return the fields of a column of images, in the order of ``IMAGE``."""
        found = self._fields.get(name)
        if found is None:
            images = self.column(name)
            # by name, since a newer minor version may hold more
            found = self._fields[name] = [images.field(field) for field in IMAGE.names]
        return found

    def blob(self, name: str, position: int) -> bytes | None:
        """Return one value of a column of bytes."""
        starts = self._places(name)
        if starts is None:
            value: bytes | None = self.column(name)[position].as_py()
            return value
        start, end = starts[position], starts[position + 1]
        return None if start == end else self._part.file.value(start, end)

    def take(self, name: str, positions: npt.NDArray[np.int64]) -> pa.Array:
        """Return some rows of a column, in this order."""
        starts = self._places(name) if name in self._part.blobs else None
        if starts is not None:
            return _binary(self._part.file, starts, positions, self._part.schema.field(name).type)
        column = self.column(name)
        first = int(positions[0]) if positions.size else 0
        if np.array_equal(positions, np.arange(first, first + positions.size)):
            return column.slice(first, positions.size)
        return column.take(pa.array(positions))

    def _places(self, name: str) -> array[int] | None:
        """Return where the values of a column of bytes begin, None where they cannot be sliced."""
        if name not in self._starts:
            chunk = self._part.chunk(self._number, name)
            fits = chunk is not None and chunk.rows == self.size
            self._starts[name] = chunk.value_starts(self._part.file) if chunk is not None and fits else None
        return self._starts[name]


def _binary(file: MappedFile, starts: array[int], positions: npt.NDArray[np.int64], kind: pa.DataType) -> pa.Array:
    """Return values as an array: those that lie together are read together."""
    ends = [(starts[position], starts[position + 1]) for position in positions.tolist()]
    together = bool(ends) and all(a[1] == b[0] for a, b in pairwise(ends)) and ends[-1][1] - ends[0][0] <= TOGETHER
    values = file.values(ends) if together else [None if a == b else file.value(a, b) for a, b in ends]
    made = pa.array(values, kind)
    return made if isinstance(made, pa.Array) else pa.concat_arrays(made.chunks)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    return whole if isinstance(whole, pa.Array) else pa.concat_arrays(whole.chunks)


# --- rows ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Labelled:
    """A column of masks, boxes or segments of an image, and the column that numbers its class sets, if any."""

    stored: str
    key: str
    numbers: str | None
    class_sets: tuple[ClassSet, ...]

    def class_set(self, group: Group, position: int) -> ClassSet:
        number = None if self.numbers is None else group.column(self.numbers)[position].as_py()
        return self.class_sets[number or 0]


class RowReader:
    """Makes rows of a part's row groups.

    Parameters
    ----------
    part : PartColumns
        What the part says of its columns.
    union : UnionSchema, optional
        The table's columns: every row then has all of them by their labels, None where its part has nothing of one.
        Without it, a row has the columns of its part, by the user's own names.
    """

    def __init__(self, part: PartColumns, union: UnionSchema | None = None) -> None:
        there = {name for name, _ in part.kinds}
        layers: dict[tuple[str, str], list[_Labelled]] = {}
        for stored, column in part.columns.items():
            if column.kind in LABELLED and column.image is not None and column.key is not None:
                numbers = set_name(stored)
                layer = _Labelled(stored, column.key, numbers if numbers in there else None, column.class_sets)
                layers.setdefault((column.kind, column.image), []).append(layer)
        named = [(column.name, stored) for stored, column in part.columns.items() if column.kind not in LABELLED]
        self._empty: dict[str, Any] = {}
        if union is not None:
            fit = union.fit(part).stored.items()
            named = [(union.labels[name], stored) for name, stored in fit if name not in union.layers]
            self._empty = {union.labels[name]: None for name in union.columns if name not in union.layers}
        self._readers: list[tuple[str, bool, Callable[[Group, int], Any]]] = []
        for name, stored in named:
            if part.columns[stored].kind == "image":
                mine = (layers.get((kind, stored), []) for kind in LABELLED)
                self._readers.append((name, True, _ImageColumn(stored, *mine)))
            elif part.columns[stored].kind == "value":
                self._readers.append((name, False, _ValueColumn(stored, part.columns[stored])))

    def cells(self, group: Group, position: int, decode: Callable[[StoredImage], Any]) -> dict[str, Any]:
        """Return the user's cells of a row; ``decode`` makes a value of each image."""
        cells = self._empty.copy()
        for name, is_image, read in self._readers:
            try:
                value = read(group, position)
            except UNREADABLE as error:
                place = f"{group.path}, row {group.first + position} of the file, column {name!r}"
                raise CorruptData(f"{place}: {error}") from error
            cells[name] = decode(value) if is_image and value is not None else value
        return cells


@dataclass(frozen=True, slots=True)
class _ImageColumn:
    stored: str
    masks: list[_Labelled]
    boxes: list[_Labelled]
    segments: list[_Labelled]

    def __call__(self, group: Group, position: int) -> StoredImage | None:
        images = group.column(self.stored)
        if images.null_count and not images[position].is_valid:
            return None
        digest, form, mode, width, height, caption, path = (
            values[position].as_py() for values in group.fields(self.stored)
        )
        masks = {}
        for layer in self.masks:
            data = group.blob(layer.stored, position)
            if data is not None:
                masks[layer.key] = (data, layer.class_set(group, position))
        boxes = {}
        for layer in self.boxes:
            found = group.column(layer.stored)[position].as_py()
            if found is not None:
                boxes[layer.key] = (parse_boxes(found), layer.class_set(group, position))
        segments = {}
        for layer in self.segments:
            some = group.column(layer.stored)[position].as_py()
            if some is not None:
                segments[layer.key] = parse_stored_segments(some)
        return StoredImage(digest, form, mode, width, height, caption, path, masks, boxes, segments)


@dataclass(frozen=True, slots=True)
class _ValueColumn:
    stored: str
    column: Column

    def __call__(self, group: Group, position: int) -> Any:
        if self.column.type == "bytes":
            return group.blob(self.stored, position)
        value = group.column(self.stored)[position].as_py()
        if value is None:
            return None
        if self.column.type == "json":
            return load_text(value, store=group.files)
        if self.column.type == "array":
            array = np.array(value, dtype=self.column.dtype)
            # nested lists do not tell the lengths inside an empty one
            inner = (self.column.shape or ())[array.ndim :] if array.size == 0 else ()
            return array.reshape((*array.shape, *(length or 0 for length in inner)))
        return value
