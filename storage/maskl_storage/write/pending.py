"""What waits for a seal: rows, and which of them one part can hold; images; scalars; and how much memory they take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from maskl_storage.cells.cells import Batch, ImageCell, Rows
from maskl_storage.cells.columns import exact_as_float, merge_columns
from maskl_storage.format.metadata import Column

__all__ = ["HistoryRow", "Pending", "Waiting", "cell_weight", "cut", "weight"]

#: ``_row, _step, _timestamp, key, value, text, form``
HistoryRow = tuple[int, int, int, str, float | None, str | None, str | None]

#: types of values whose size differs from cell to cell
SIZED: Final = frozenset(("string", "bytes", "json", "list", "array"))


@dataclass
class Pending:
    """Rows of one table that no seal holds yet and that one part can hold: cells, or frames.

    ``segments`` are ``(count, first _row, step, timestamp)`` of rows that came together.
    """

    columns: tuple[Column, ...]
    framed: bool = False
    rows: list[Sequence[Any]] = field(default_factory=list)
    frames: list[pa.Table] = field(default_factory=list)
    segments: list[tuple[int, int, int, int]] = field(default_factory=list)

    @classmethod
    def of(cls, columns: tuple[Column, ...], frame: pa.Table | None, cells: Sequence[Sequence[Any]]) -> Pending:
        """Return the rows of a frame, or those of the cells, without their numbers."""
        return cls(columns, frame is not None, list(cells), [] if frame is None else [frame])

    def __len__(self) -> int:
        return sum(frame.num_rows for frame in self.frames) if self.framed else len(self.rows)

    def take(self, other: Pending) -> bool:
        """Append other rows, if one part can hold them all and every value stays what it is."""
        if self.framed != other.framed:
            return False
        merged = merge_columns(self.columns, other.columns)
        if merged is None or not self._keeps_values(merged, other):
            return False
        self.columns = merged
        self.rows += other.rows
        self.frames += other.frames
        self.segments += other.segments
        return True

    def batch(self) -> Batch:
        """Return the rows with their numbers, steps and times."""
        counts, firsts, steps, stamps = map(_int64, zip(*self.segments, strict=True))
        ends: npt.NDArray[np.int64] = counts.cumsum()
        places: npt.NDArray[np.int64] = np.arange(ends[-1], dtype=np.int64)
        ids = places + (firsts + counts - ends).repeat(counts)
        frame = pa.concat_tables(self.frames) if self.framed else None
        return Batch(self.columns, self.rows, ids, steps.repeat(counts), stamps.repeat(counts), frame)

    def _keeps_values(self, merged: tuple[Column, ...], other: Pending) -> bool:
        """Whether no integer changes where a column of integers and one of floats become one."""
        if self.framed:
            return merged == self.columns == other.columns
        for index, column in enumerate(merged):
            for held in (self, other):
                integers = column.type == "float" and held.columns[index].type == "int"
                if integers and not exact_as_float(row[index] for row in held.rows):
                    return False
        return True


@dataclass
class Waiting:
    """The rows and scalars that one commit will seal; ``replaced`` names tables whose earlier rows go."""

    tables: dict[str, list[Pending]] = field(default_factory=dict)
    replaced: set[str] = field(default_factory=set)
    history: list[HistoryRow] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.tables or self.history)

    def add_call(
        self, tables: Mapping[str, tuple[Rows, int]], history: Sequence[HistoryRow], step: int, stamp: int
    ) -> None:
        """Take what a call logged: the rows of each table, with the ``_row`` of the first, and scalars."""
        for name, (rows, first) in tables.items():
            self.add(name, rows, first, step, stamp)
        self.add_history(history)

    def add(self, name: str, rows: Rows, first: int, step: int, stamp: int) -> None:
        """Take the rows of a call to one table; ``first`` is the ``_row`` of the first."""
        waiting = self.tables.setdefault(name, [])
        if rows.replace:
            waiting.clear()
            self.replaced.add(name)
        for frame, cells in rows.pieces:
            new = Pending.of(rows.columns, frame, cells)
            new.segments.append((len(new), first, step, stamp))
            first += len(new)
            if not (waiting and waiting[-1].take(new)):
                waiting.append(new)

    def add_history(self, rows: Sequence[HistoryRow]) -> None:
        """Take the scalars of a call."""
        self.history += rows


def cut(rows: Rows, first: int, step: int, stamp: int, pieces: int) -> Iterator[Pending]:
    """Yield many rows as parts of a size that memory can hold twice; they are read as they are asked for."""
    for frame, cells in rows.pieces:
        count = len(cells) if frame is None else frame.num_rows
        size = max(1, -(-count // pieces))
        for start in range(0, max(count, 1), size):
            piece = None if frame is None else frame.slice(start, size)
            new = Pending.of(rows.columns, piece, cells[start : start + size])
            new.segments.append((len(new), first, step, stamp))
            first += len(new)
            yield new


def weight(rows: Rows) -> int:
    """Return about how many bytes rows take."""
    if rows.bytes is not None:
        return rows.bytes
    size = 64 * len(rows.cells) * len(rows.columns) + (0 if rows.frame is None else int(rows.frame.nbytes))
    for index, column in enumerate(rows.columns):
        if column.kind == "image" or column.type in SIZED:
            size += sum(cell_weight(row[index]) for row in rows.cells)
    return size


def cell_weight(cell: Any) -> int:
    """Return about how many bytes a cell takes beyond its place in the row."""
    if isinstance(cell, ImageCell):
        boxes = sum(len(boxes.boxes) * 256 + 256 for boxes in cell.boxes.values())
        return 192 + boxes + sum(len(mask.data) + 256 for mask in cell.masks.values())
    if isinstance(cell, str | bytes):
        return len(cell)
    if isinstance(cell, np.ndarray):
        return 64 + int(cell.nbytes)
    return 16 * len(cell) if isinstance(cell, list) else 0


def _int64(values: Sequence[int]) -> npt.NDArray[np.int64]:
    return np.array(values, np.int64)
