"""Stored rows, in order, across runs and parts: by index, in batches, or as one Arrow table."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from maskl_storage.catalog.listing import Sealed
from maskl_storage.disk.cache import Cache
from maskl_storage.disk.forks import ForkLock
from maskl_storage.disk.local import Folder
from maskl_storage.disk.mapped import Maps
from maskl_storage.disk.parquet import begin_arrow
from maskl_storage.errors import InvalidValue, NotFound
from maskl_storage.format.union import PartColumns, UnionSchema
from maskl_storage.format.union_names import UnionNames
from maskl_storage.read._index import Finder, Index, RunIndex, index_of, moved
from maskl_storage.read._row_groups import Group, RowReader, RowsPart
from maskl_storage.read._rows import Row, StoredImage, as_stored
from maskl_storage.read.scan import OWN, Scan

__all__ = ["Room", "Row", "StoredImage", "StoredTable", "Stretches"]

#: bytes of row groups that are kept, without their masks
KEPT: Final = 64 << 20
#: rows a batch; and those that are read at a time where all are wanted
BATCH: Final = 1024
BLOCK: Final = 8192

Result = TypeVar("Result")


@dataclass(eq=False)
class _Source:
    """The parts of a table as they were listed, and where its rows stand in them once that is known."""

    parts: tuple[RowsPart, ...]
    index: Index | None = None
    finder: Finder | None = None
    by_run: RunIndex | None = None
    lock: ForkLock = field(default_factory=ForkLock)

    @property
    def runs(self) -> list[str]:
        """The run of each part."""
        return [part.sealed.run_id for part in self.parts]


class Room:
    """Where the files and row groups are kept that tables of one store have read, up to numbers of bytes.

    Parameters
    ----------
    files : Folder
        The store.
    kept : int, optional
        Bytes of row groups that are kept, without their masks.
    mapped : int, optional
        Bytes of mapped files that are read before the maps are dropped; see :class:`Maps`.
    """

    def __init__(self, files: Folder, kept: int = KEPT, mapped: int | None = None) -> None:
        self.maps = Maps(files, mapped)
        self.groups: Cache[Group] = Cache(kept, lambda group: group.weight)


def _opened(maps: Maps, parts: Sequence[Sealed]) -> tuple[RowsPart, ...]:
    alike: dict[Hashable, PartColumns] = {}
    return tuple(RowsPart(maps, sealed, alike) for sealed in parts)


class _Columns:
    """A table's columns, which its views share: they stay when others replace its parts.

    Parameters
    ----------
    named : sequence of Sealed
        The parts that the names follow from, in the order of the store's listing.
    """

    def __init__(self, named: Sequence[Sealed]) -> None:
        self._named: Sequence[Sealed] = named
        self._names: UnionNames | None = None
        self._union: UnionSchema | None = None
        self._readers: dict[tuple[PartColumns, bool], RowReader] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"_named": (), "_names": self.names, "_union": self._union, "_readers": {}}

    @property
    def names(self) -> UnionNames:
        """What the columns are called."""
        if self._names is None:
            self._names = UnionNames.of((sealed.run_id, sealed.part) for sealed in self._named)
        return self._names

    def union(self, parts: Sequence[RowsPart]) -> UnionSchema:
        """Return what the columns are together, from all of the table's parts."""
        if self._union is None:
            self._union = UnionSchema(self.names, [part.described for part in parts])
        return self._union

    def reader(self, part: RowsPart, parts: Sequence[RowsPart], *, united: bool) -> RowReader:
        """Return what makes rows of a part; parts that say the same of their columns share it."""
        key = (part.described, united)
        found = self._readers.get(key)
        if found is None:
            found = self._readers[key] = RowReader(part.described, self.union(parts) if united else None)
        return found


class StoredTable:
    """The rows of one table, of some runs and steps; rows are read when they are asked for.

    It is used like a list of rows, and like an Arrow stream of its stored columns. (It is no
    ``collections.abc.Sequence``: Polars would then make its columns from rows instead of the stream.)

    Several threads may read one table. It can be pickled, and read in forked processes: what a PyTorch Dataset
    needs is ``len`` and ``[]``. A row costs the bytes of its masks and a share of a small row group; memory does
    not grow with the rows that were read.

    Parameters
    ----------
    files : Folder
        The store.
    parts : sequence of Sealed
        Rows parts, those of one run together, runs in the order wanted.
    step : int or 'last', optional
        Keep the rows of this step, or of each run's last one.
    decode : callable, optional
        What turns the stored cell of an image into a value; by default it stays a StoredImage.
    refresh : callable, optional
        Returns the parts anew, for when a file is gone because others replaced it.
    named : sequence of Sealed, optional
        The parts that the columns are called by, in the order of the store's listing, by default ``parts``: a
        column of some runs has the name that SQL shows for all of them.
    room : Room, optional
        What is shared with other tables of the store; by default the table has its own.
    """

    def __init__(
        self,
        files: Folder,
        parts: Sequence[Sealed],
        step: int | str | None = None,
        decode: Callable[[StoredImage], Any] = as_stored,
        refresh: Callable[[], Sequence[Sealed]] | None = None,
        named: Sequence[Sealed] | None = None,
        room: Room | None = None,
    ) -> None:
        begin_arrow()
        self._files = files
        self._step = step
        self._decode = decode
        self._refresh = refresh
        self._united = False
        self._shape = _Columns(parts if named is None else named)
        self._begin(parts, None, room)

    def _begin(self, parts: Sequence[Sealed], index: Index | None, room: Room | None = None) -> None:
        self._room = Room(self._files) if room is None else room
        self._source = _Source(_opened(self._room.maps, parts), index)

    def __copy__(self) -> StoredTable:
        """Return a view of the same parts and row groups; a pickle opens its own."""
        view = object.__new__(type(self))
        view.__dict__.update(self.__dict__)
        return view

    def __getstate__(self) -> dict[str, Any]:
        state = {name: self.__dict__[name] for name in ("_files", "_step", "_decode", "_refresh", "_united", "_shape")}
        return state | {"parts": self.parts, "index": self._source.index}

    def __setstate__(self, state: dict[str, Any]) -> None:
        parts, index = state.pop("parts"), state.pop("index")
        self.__dict__.update(state)
        self._begin(parts, index)

    def __len__(self) -> int:
        source = self._source
        if self._step is None and source.index is None:
            return sum(part.sealed.part.rows for part in source.parts)
        return len(self.places[0])

    @overload
    def __getitem__(self, index: int) -> Row: ...

    @overload
    def __getitem__(self, index: slice) -> StoredTable: ...

    def __getitem__(self, index: int | slice) -> Row | StoredTable:
        if isinstance(index, slice):
            return self.at(np.arange(len(self))[index])
        position, count = operator.index(index), len(self)
        if not -count <= position < count:
            raise IndexError(f"row {index} of a table of {count} rows")
        return self._row(position % count)

    def __iter__(self) -> Iterator[Row]:
        for index in range(len(self)):
            yield self._row(index)

    def __repr__(self) -> str:
        return f"<StoredTable of {len(self)} rows: {', '.join(self.columns)}>"

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Hand the rows to any library that knows Arrow's PyCapsule interface, batch by batch."""
        stretches = self._stretches(None)
        reader = pa.RecordBatchReader.from_batches(stretches.schema, self._batches(stretches, BATCH))
        return reader.__arrow_c_stream__(requested_schema)

    @property
    def _parts(self) -> tuple[RowsPart, ...]:
        return self._source.parts

    @property
    def parts(self) -> tuple[Sealed, ...]:
        """The parts that the rows stand in; :attr:`places` counts them."""
        return tuple(part.sealed for part in self._parts)

    @property
    def places(self) -> Index:
        """For each row, in order: the number of its part, its position there, and its ``_row``."""
        return self._retried(self._indexed)[1]

    @property
    def columns(self) -> list[str]:
        """The user's column names, in order of first appearance."""
        return list(self.union().row_names)

    @property
    def names(self) -> dict[str, str]:
        """The user's name of each column by the name that SQL shows; of masks and boxes, that of their image."""
        return dict(self.union().users)

    @property
    def primary_key(self) -> str | None:
        """The column that tells the rows apart, if one was set: the last part that has one says which."""
        return self.union().primary_key

    @property
    def roles(self) -> dict[str, tuple[str, ...]]:
        """What columns of an evaluation are, by the user's own names: ``input``, ``output``, ``score``."""
        return {column.name: column.roles for column in self.union().columns.values() if column.roles}

    def union(self, *, used: bool = False) -> UnionSchema:
        """Return what the columns are together, by the names that SQL shows.

        Parameters
        ----------
        used : bool, optional
            Leave out the runs that have none of the rows, unless there are no rows at all.
        """
        union = self._retried(lambda: self._shape.union(self._parts))
        if not used:
            return union
        source, (numbers, _, _) = self._retried(self._indexed)
        runs = {source.runs[number] for number in np.unique(numbers).tolist()}
        if not runs or runs == set(source.runs):
            return union

        def of_runs() -> UnionSchema:
            parts = [part.described for part in self._parts if part.sealed.run_id in runs]
            return UnionSchema(union.names, parts, union.labels)

        return self._retried(of_runs)

    def image_name(self, stored: str) -> str:
        """Return the user's name of the image column that statistics of masks call ``stored``."""
        found = self._retried(lambda: [part.described.columns.get(stored) for part in self._parts])
        names = [column.name for column in found if column is not None and column.kind == "image"]
        if not names:
            raise NotFound(f"there is no column of images {stored!r}")
        return names[0]

    def keys(self, start: int, stop: int) -> pa.Table:
        """Return ``run_id, table_name, _row`` of the rows from one place to another; nothing is read for it."""
        source, (numbers, _, rows) = self._retried(self._indexed)
        chosen = pa.array(numbers[start:stop])
        parts = [part.sealed for part in source.parts]
        names = ([part.run_id for part in parts], [str(part.table) for part in parts])
        columns = [pa.array(name, pa.string()).take(chosen) for name in names]
        return pa.table([*columns, pa.array(rows[start:stop])], names=["run_id", "table_name", "_row"])

    def typed(self, name: str, kind: str, start: int, stop: int) -> pa.Array:
        """Return whether a column's values are of a type of metadata, row by row; nothing is read for it.

        Parameters
        ----------
        name : str
            The column, by the name that SQL shows.
        kind : str
            The type: of JSON and strings SQL has one, and so it has of arrays and lists.
        start, stop : int
            The rows from one place to another.
        """
        union = self.union()
        source, (numbers, _, _) = self._retried(self._indexed)
        parts = [part.described for part in source.parts]
        found = dict.fromkeys(parts, False)
        for part in found:
            column = part.columns.get(union.fit(part).stored.get(name, ""))
            found[part] = column is not None and column.type == kind
        return pa.array(np.array([found[part] for part in parts], np.bool_)[numbers[start:stop]])

    def stretches(self, union: UnionSchema, schema: pa.Schema) -> Stretches:
        """Return what reads stretches of the rows as tables of a schema, with columns of a union and of the rows."""
        return Stretches(self, union, schema)

    @property
    def undecoded(self) -> StoredTable:
        """The same rows with their images as :class:`StoredImage`."""
        view = copy.copy(self)
        view._decode = as_stored
        return view

    @property
    def united(self) -> StoredTable:
        """The same rows with all columns of the table, by names that tell them apart.

        A column whose type differs between runs is several, as in SQL, and a row has None in those of other types.
        """
        view = copy.copy(self)
        view._united = True
        return view

    def at(self, positions: npt.NDArray[np.int64] | Sequence[int]) -> StoredTable:
        """Return the rows at these positions, in this order, as a table; none may be below 0."""
        source, (numbers, places, rows) = self._retried(self._indexed)
        chosen = np.asarray(positions, np.int64)
        view = copy.copy(self)
        view._source = _Source(source.parts, (numbers[chosen], places[chosen], rows[chosen]))
        return view

    def find(self, run_id: str, row: int) -> Row:
        """Return the row of this run with this ``_row``."""
        found = self._retried(lambda: self._found(run_id, row))
        if found is None:
            raise NotFound(f"run {run_id!r} has no row {row} in this table")
        return found

    def iter_batches(self, columns: Sequence[str] | None = None, size: int = BATCH) -> Iterator[pa.RecordBatch]:
        """Read the rows in order, some at a time, as stored columns.

        Parameters
        ----------
        columns : sequence of str, optional
            The columns to read by the names that SQL shows, by default all; ``run_id`` is always there, and with a
            column of masks or boxes the one that numbers its class sets, where there are several.
        size : int, optional
            Rows a batch, at most.

        Yields
        ------
        pyarrow.RecordBatch
            All of one schema, with the class sets in its metadata: what a part lacks is null.

        Raises
        ------
        NotFound
            No part has such a column.
        InvalidValue
            Integers in some runs and floats in others, and float64 cannot hold all of these integers.

        Examples
        --------
        >>> import tempfile, maskl
        >>> with maskl.init(dir=tempfile.mkdtemp()) as run:
        ...     run.log({"t": maskl.Table(["n"], [[number] for number in range(5)])})
        ...     rows = maskl.open().table("t")
        ...     [batch["n"].to_pylist() for batch in rows.iter_batches(["n"], size=2)]
        [[0, 1], [2, 3], [4]]
        """
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise InvalidValue(f"size must be a number of rows, 1 or more; got {size!r:.40}")
        return self._batches(self._stretches(columns), size)

    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the rows as one Arrow table, with ``run_id``, and class sets in the schema metadata.

        ``columns`` are names that SQL shows, and so are those of the table. Columns that a part lacks are null
        there; int64 and double become double, and where other types differ, the values of each stand in a column of
        their own.
        """
        stretches = self._stretches(columns)
        return pa.Table.from_batches(self._batches(stretches, BLOCK), stretches.schema)

    # --- inside ---------------------------------------------------------------------------------

    def _indexed(self) -> tuple[_Source, Index]:
        source = self._source
        if source.index is None:
            with source.lock.held:
                if source.index is None:
                    source.index = index_of(source.parts, self._step)
        return source, source.index

    def _by_run(self, source: _Source) -> RunIndex | None:
        """Return what knows where rows of single runs stand, where it suffices: nobody asked for all rows yet."""
        if self._step is not None or source.index is not None:
            return None
        if source.by_run is None:
            with source.lock.held:
                source.by_run = source.by_run or RunIndex(source.parts)
        return source.by_run

    def _found(self, run_id: str, row: int) -> Row | None:
        source = self._source
        by_run = self._by_run(source)
        groups = None if by_run is None else by_run.groups(run_id, row)
        if groups is None:
            place = self._find(run_id, row)
            return None if place < 0 else self._read_row(place)
        for number, group in groups:
            part = source.parts[number]
            rows = self._group(part, group, ["_row"]).column("_row")
            places = np.flatnonzero(rows.to_numpy() == row)
            if places.size:
                return self._row_of(part, part.starts[group] + int(places[0]), row)
        return None

    def _find(self, run_id: str, row: int) -> int:
        by_run = self._by_run(self._source)
        if by_run is not None:
            return by_run.find(run_id, row)
        source, index = self._indexed()
        if source.finder is None:
            source.finder = Finder(index, source.runs)
        return int(source.finder.find(run_id, np.array([row], np.int64))[0])

    def _place(self, index: int) -> tuple[RowsPart, int, int]:
        """Return of a row its part, its position there, and its ``_row``."""
        source = self._source
        by_run = self._by_run(source)
        if by_run is not None:
            number, position, row = by_run.at(index)
            return source.parts[number], position, row
        source, (numbers, positions, rows) = self._indexed()
        return source.parts[numbers.item(index)], positions.item(index), rows.item(index)

    def _row(self, index: int) -> Row:
        return self._retried(lambda: self._read_row(index))

    def _read_row(self, index: int) -> Row:
        return self._row_of(*self._place(index))

    def _row_of(self, part: RowsPart, position: int, number: int) -> Row:
        group = self._group(part, part.group_of(position))
        position -= group.first
        reader = part.readers.get(self._united)
        if reader is None:
            reader = self._shape.reader(part, self._source.parts, united=self._united)
            part.readers[self._united] = reader
        cells = reader.cells(group, position, self._decode)
        step = group.column("_step")[position].as_py()
        return Row(cells, part.sealed.run_id, str(part.sealed.table), number, step)

    def _group(self, part: RowsPart, number: int, names: Sequence[str] | None = None) -> Group:
        """Return a row group with these columns, by default all, ready to read."""
        key = (part.sealed.part.path, number)
        groups = self._room.groups
        group = groups.get(key)
        if group is None:
            group = Group(part, number)
        if group.load(names):
            groups.put(key, group)
        return group

    def _stretches(self, columns: Sequence[str] | None) -> Stretches:
        """Return what reads some columns, by default all."""
        union = self.union()
        order = [*union.own, *union.all_names, "run_id"] if self._parts else []
        if columns is not None:
            unknown = [name for name in columns if name not in order]
            if unknown and order:
                raise NotFound(f"there is no column {unknown[0]!r}; there are: {', '.join(map(repr, union.all_names))}")
            wanted = {"run_id", *columns, *(union.numbers(name) for name in columns)}
            order = [name for name in order if name in wanted]
        return Stretches(self, union, union.schema(order, OWN) if order else pa.schema([]))

    def _batches(self, stretches: Stretches, size: int) -> Iterator[pa.RecordBatch]:
        for start in range(0, len(self), size):
            yield from stretches.rows(start, start + size).combine_chunks().to_batches()

    def _retried(self, read: Callable[[], Result]) -> Result:
        """Read something, once more where a file is gone since it was listed."""
        source = self._source
        try:
            return read()
        except FileNotFoundError as error:
            self._relist(source, error)
        return read()

    def _relist(self, gone: _Source, error: FileNotFoundError) -> None:
        """List the parts again where a file is gone: others hold its rows."""
        if self._refresh is None:
            raise error
        with gone.lock.held:
            if self._source is not gone:  # another thread did
                return
            fresh = _Source(_opened(self._room.maps, self._refresh()))
            if gone.index is not None:
                fresh.index = moved(gone.index, gone.runs, index_of(fresh.parts, None), fresh.runs)
            elif gone.by_run is not None:
                fresh.by_run = gone.by_run.moved(fresh.parts)
            self._source = fresh


class Stretches:
    """Reads stretches of the rows of a table as tables of one schema.

    Parameters
    ----------
    table : StoredTable
        The table.
    union : UnionSchema
        What its columns are together.
    schema : pyarrow.Schema
        The tables'.
    """

    def __init__(self, table: StoredTable, union: UnionSchema, schema: pa.Schema) -> None:
        self.schema = schema
        self._table, self._union = table, union
        self._scan: tuple[_Source, Scan] | None = None

    def rows(self, start: int, stop: int) -> pa.Table:
        """Return the rows from one place to another."""
        return self._table._retried(lambda: self._current().rows(start, stop))

    def _current(self) -> Scan:
        """Return what reads the parts that there are now."""
        source, index = self._table._indexed()
        if self._scan is None or self._scan[0] is not source:
            self._scan = (source, Scan(source.parts, index, self._union, self.schema, self._table._group))
        return self._scan[1]
