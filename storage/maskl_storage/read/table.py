"""Stored rows, in order, across runs and parts: by index, in batches, or as one Arrow table."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from maskl_storage.catalog.listing import Sealed
from maskl_storage.disk.cache import Cache
from maskl_storage.disk.forks import ForkLock
from maskl_storage.disk.mapped import Maps
from maskl_storage.errors import InvalidValue, NotFound
from maskl_storage.format.metadata import LABELLED
from maskl_storage.read.index import Finder, Index, index_of, moved
from maskl_storage.read.row_groups import Group, RowsPart
from maskl_storage.read.rows import Row, StoredImage, as_stored
from maskl_storage.read.scan import Scan

__all__ = ["Row", "StoredImage", "StoredTable"]

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
    lock: ForkLock = field(default_factory=ForkLock)

    @property
    def runs(self) -> list[str]:
        """The run of each part."""
        return [part.sealed.run_id for part in self.parts]


def _opened(root: Path, parts: Sequence[Sealed]) -> tuple[RowsPart, ...]:
    maps = Maps()
    return tuple(RowsPart(maps, root, sealed) for sealed in parts)


class StoredTable:
    """The rows of one table, of some runs and steps; rows are read when they are asked for.

    It is used like a list of rows, and like an Arrow stream of its stored columns. (It is no
    ``collections.abc.Sequence``: Polars would then make its columns from rows instead of the stream.)

    Several threads may read one table. It can be pickled, and read in forked processes: what a PyTorch Dataset
    needs is ``len`` and ``[]``. A row costs the bytes of its masks and a share of a small row group; memory does
    not grow with the rows that were read.

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
    refresh : callable, optional
        Returns the parts anew, for when a file is gone because others replaced it.
    """

    def __init__(
        self,
        root: Path,
        parts: Sequence[Sealed],
        step: int | str | None = None,
        decode: Callable[[StoredImage], Any] = as_stored,
        refresh: Callable[[], Sequence[Sealed]] | None = None,
    ) -> None:
        self._root = root
        self._step = step
        self._decode = decode
        self._refresh = refresh
        self._begin(parts, None)

    def _begin(self, parts: Sequence[Sealed], index: Index | None) -> None:
        self._source = _Source(_opened(self._root, parts), index)
        self._groups: Cache[Group] = Cache(KEPT, lambda group: group.weight)

    def __getstate__(self) -> dict[str, Any]:
        state = {name: self.__dict__[name] for name in ("_root", "_step", "_decode", "_refresh")}
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
        scan = self._retried(lambda: self._scan(None))
        reader = pa.RecordBatchReader.from_batches(scan.schema, self._batches(scan, None, BATCH))
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
        return self._retried(self._columns)

    def _columns(self) -> list[str]:
        columns = (column for part in self._parts for column in part.columns.values())
        return list(dict.fromkeys(column.name for column in columns if column.kind not in LABELLED))

    @property
    def names(self) -> dict[str, str]:
        """The user's name of each column by the name that it is stored under; SQL shows the latter."""
        return self._retried(
            lambda: {stored: column.name for part in self._parts for stored, column in part.columns.items()}
        )

    @property
    def primary_key(self) -> str | None:
        """The column that tells the rows apart, if one was set: the last part that has one says which."""
        keys = self._retried(
            lambda: [c.name for part in reversed(self._parts) for c in part.columns.values() if c.primary_key]
        )
        return keys[0] if keys else None

    @property
    def undecoded(self) -> StoredTable:
        """The same rows with their images as :class:`StoredImage`."""
        view = copy.copy(self)
        view._decode = as_stored
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
        source, index = self._retried(self._indexed)
        if source.finder is None:
            source.finder = Finder(index, source.runs)
        (found,) = source.finder.find(run_id, np.array([row], np.int64)).tolist()
        if found < 0:
            raise NotFound(f"run {run_id!r} has no row {row} in this table")
        return self._row(found)

    def iter_batches(self, columns: Sequence[str] | None = None, size: int = BATCH) -> Iterator[pa.RecordBatch]:
        """Read the rows in order, some at a time, as stored columns.

        Parameters
        ----------
        columns : sequence of str, optional
            Stored names of the columns to read, by default all; ``run_id`` is always there, and with a column of
            masks or boxes the one that numbers its class sets.
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
        return self._batches(self._retried(lambda: self._scan(columns)), columns, size)

    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the rows as one Arrow table, with ``run_id``, and class sets in the schema metadata.

        ``columns`` are stored names. Columns that a part lacks are null there; int64 and double
        become double.
        """
        scan = self._retried(lambda: self._scan(columns))
        return pa.Table.from_batches(self._batches(scan, columns, BLOCK), scan.schema)

    # --- inside ---------------------------------------------------------------------------------

    def _indexed(self) -> tuple[_Source, Index]:
        source = self._source
        if source.index is None:
            with source.lock:
                if source.index is None:
                    source.index = index_of(source.parts, self._step)
        return source, source.index

    def _row(self, index: int) -> Row:
        return self._retried(lambda: self._read_row(index))

    def _read_row(self, index: int) -> Row:
        source, (numbers, positions, rows) = self._indexed()
        part, position = source.parts[numbers.item(index)], positions.item(index)
        group = self._group(part, part.group_of(position))
        position -= group.first
        cells = part.rows.cells(group, position, self._decode)
        step = group.column("_step")[position].as_py()
        return Row(cells, part.sealed.run_id, str(part.sealed.table), rows.item(index), step)

    def _group(self, part: RowsPart, number: int, names: Sequence[str] | None = None) -> Group:
        """Return a row group with these columns, by default all, ready to read."""
        key = (part.sealed.part.path, number)
        group = self._groups.get(key)
        if group is None:
            group = Group(part, number)
        if group.load(names):
            self._groups.put(key, group)
        return group

    def _scan(self, columns: Sequence[str] | None, known: Scan | None = None) -> Scan:
        source, index = self._indexed()
        return Scan(source.parts, index, columns, self._group, known)

    def _batches(self, scan: Scan, columns: Sequence[str] | None, size: int) -> Iterator[pa.RecordBatch]:
        for start in range(0, len(self), size):
            source = self._source
            try:
                table = scan.rows(start, start + size)
            except FileNotFoundError as error:
                self._relist(source, error)
                scan = self._scan(columns, scan)
                table = scan.rows(start, start + size)
            yield from table.combine_chunks().to_batches()

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
        with gone.lock:
            if self._source is not gone:  # another thread did
                return
            fresh = _Source(_opened(self._root, self._refresh()))
            if gone.index is not None:
                fresh.index = moved(gone.index, gone.runs, index_of(fresh.parts, None), fresh.runs)
            self._source = fresh
