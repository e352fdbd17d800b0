"""Arrow tables of any file as blocks of rows: which run, table and step each belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import pyarrow as pa

from maskl.formats.rows._export_keys import RUN_NAME
from maskl.formats.rows._own import OwnRows, is_own
from maskl.formats.rows._plain import PlainRows
from maskl.formats.rows._weights import pieces
from maskl.interchange.documents import read_classes
from maskl.interchange.options import ImportOptions
from maskl.interchange.problems import Problems
from maskl.interchange.records import About, Block, Record
from maskl.interchange.source_files import SourceFile
from maskl_storage.errors import CorruptData, InvalidValue, MasklError
from maskl_storage.format.metadata import ClassSet

__all__ = ["HEEDS", "Tables"]

#: the options of importing that every format of Arrow tables heeds
HEEDS: Final = ("masks", "classes", "follow_links")
#: where a row of ours stands
RUN, TABLE, STEP, TIME = "run_id", "table_name", "_step", "_timestamp"
#: run, table, step, and time in microseconds
Place = tuple[str, str, int, int | None]


@dataclass
class Tables:
    """What the files of one source have in common while they are read one after another."""

    options: ImportOptions
    problems: Problems
    _runs: set[str] = field(default_factory=set)

    @cached_property
    def _classes(self) -> ClassSet | None:
        """The classes of the masks that the options name; None where they name none."""
        if self.options.classes is None:
            return None
        if not self.options.masks:
            raise InvalidValue("classes (--classes) are those of masks: say which columns are masks (--mask)")
        return read_classes(self.options.classes)

    def records(
        self, schema: pa.Schema, batches: Iterable[tuple[int, pa.Table]], source: SourceFile, table: str = ""
    ) -> Iterator[Record]:
        """Yield the rows of a file.

        Parameters
        ----------
        schema : pyarrow.Schema
            The file's.
        batches : iterable
            Tables, each with the number in the file of its first row.
        source : SourceFile
            The file.
        table : str
            The name of the table where the rows do not say it.
        """
        file = str(source)
        own = is_own(schema)
        if own and (self.options.masks or self.options.classes is not None):
            given = "masks (--mask)" if self.options.masks else "classes (--classes)"
            raise InvalidValue(f"{file} says itself what its masks and classes are: leave {given} out")
        try:
            rows = OwnRows(schema, file) if own else PlainRows(schema, source, self.options.masks, self._classes)
        except RecursionError as error:
            raise CorruptData(f"{file}: the metadata is nested too deep to be JSON that anybody meant") from error
        table, empty = rows.table or table, True
        for first, batch in batches:
            for start, piece in pieces(batch):
                empty = False
                if isinstance(piece, InvalidValue):
                    self.problems.bad(file, first + start, piece)
                else:
                    yield from self._batch(rows, piece, first + start, table, own)
        if empty:
            yield Block(table, rows.columns, [], 0, file, types=rows.types)

    def _batch(self, rows: OwnRows | PlainRows, batch: pa.Table, first: int, table: str, own: bool) -> Iterator[Record]:
        places, names = self._places(batch, table, rows.file) if own else ([("", table, 0, None)] * batch.num_rows, {})
        for run, name in names.items():
            if run not in self._runs:
                self._runs.add(run)
                yield About(run, name=name)
        waiting: list[Any] = []
        numbers: list[int] = []
        at = places[0]
        makers = rows.makers(batch)
        for index, place in enumerate(places):
            if place != at:
                yield self._block(rows, at, waiting, numbers)
                waiting, numbers, at = [], [], place
            try:
                waiting.append([make(index) for make in makers])
                numbers.append(first + index)
            except MasklError as error:
                self.problems.bad(rows.file, first + index, error)
        yield self._block(rows, at, waiting, numbers)

    def _block(self, rows: OwnRows | PlainRows, at: Place, values: list[Any], numbers: list[int]) -> Block:
        run, table, step, time = at
        return Block(table, rows.columns, values, step, rows.file, numbers, rows.types, run, time)

    def _places(self, batch: pa.Table, table: str, file: str) -> tuple[list[Place], dict[str, str]]:
        """Return where each row stands, and the name of each run."""
        count = batch.num_rows
        runs = _column(batch, RUN, pa.string(), "", file)
        tables = _column(batch, TABLE, pa.string(), table, file)
        steps = _column(batch, STEP, pa.int64(), 0, file)
        times = _column(batch, TIME, pa.timestamp("us", "UTC"), None, file, pa.int64())
        names = _column(batch, RUN_NAME, pa.string(), None, file)
        known = {run: name or run for run, name in zip(runs, names, strict=True) if run}
        return [(runs[index], tables[index], steps[index], times[index]) for index in range(count)], known


def _column(
    batch: pa.Table, name: str, kind: pa.DataType, missing: Any, file: str, number: pa.DataType | None = None
) -> list[Any]:
    """Return a column that must be of this type, perhaps as numbers."""
    if name not in batch.column_names:
        return [missing] * batch.num_rows
    try:
        values = batch[name].cast(kind).cast(number or kind).to_pylist()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise CorruptData(f"{file}: column {name!r} must be {kind}: {error}") from error
    return [missing if value is None else value for value in values]
