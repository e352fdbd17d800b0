"""Row groups of a table's parts, and which rows are checked together, so that memory does not grow with a table."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from maskl_storage.disk.local import Folder
from maskl_storage.disk.parquet import row_bounds
from maskl_storage.format.schemas import columns_of
from maskl_storage.format.seals import Part
from maskl_storage.verify._checks import BROKEN
from maskl_storage.verify._sums import Place

__all__ = ["EVERY", "Group", "declared_in", "groups_of", "together", "windows"]

#: rows that are checked together, at least
WINDOW: Final = 1 << 17
#: the first and the last row that there can be
EVERY: Final = (-(1 << 63), (1 << 63) - 1)


@dataclass(frozen=True, slots=True)
class Group:
    """A row group of a part: how many rows and bytes it has, and the first and the last ``_row`` in it."""

    part: Part
    number: int
    rows: int
    bytes: int
    low: int
    high: int

    def meets(self, window: tuple[int, int]) -> bool:
        """Whether it may have one of the rows from one up to another."""
        return self.low <= window[1] and self.high >= window[0]


def groups_of(files: Folder, part: Part) -> list[Group]:
    """Return the row groups of a part; none where it cannot be read."""
    groups = []
    try:
        with pq.ParquetFile(files.checked(part.path)) as file:
            for number, (low, high) in enumerate(_bounds_of(file)):
                group = file.metadata.row_group(number)
                groups.append(Group(part, number, group.num_rows, group.total_byte_size, low, high))
    except BROKEN:
        return []
    return groups


def _bounds_of(file: pq.ParquetFile) -> list[tuple[int, int]]:
    """Return the first and the last row of each row group, as many as there can be where it cannot be read."""
    with contextlib.suppress(*BROKEN):
        return [bounds or EVERY for bounds in row_bounds(file)]
    found = []
    for number in range(file.num_row_groups):
        bounds = None
        with contextlib.suppress(*BROKEN):  # whoever checks its rows tells
            (bounds,) = row_bounds(file, [number])
        found.append(bounds or EVERY)
    return found


def windows(groups: Sequence[Group]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last row of what is checked together: all rows that there can be, each once.

    No row group of rows stands in two of them.
    """
    start, last, rows = EVERY[0], EVERY[0], 0
    for group in sorted(groups, key=lambda group: group.low):
        if rows >= WINDOW and group.low > last:
            yield start, group.low - 1
            start, rows = group.low, 0
        last, rows = max(last, group.high), rows + group.rows
    yield start, EVERY[1]


def together(groups: Sequence[Group], rows: int | None, size: int) -> Iterator[list[Group]]:
    """Yield neighbouring row groups of a part that make up a task: of some rows, or some bytes."""
    task: list[Group] = []
    for group in groups:
        if task and (task[0].part.path != group.part.path or _full(task, rows, size)):
            yield task
            task = []
        task.append(group)
    if task:
        yield task


def _full(task: Sequence[Group], rows: int | None, size: int) -> bool:
    many = rows is not None and sum(group.rows for group in task) >= rows
    return many or sum(group.bytes for group in task) >= size


def declared_in(files: Folder, parts: Sequence[Part]) -> dict[Place, npt.NDArray[np.int64]]:
    """Return the ids that class sets of each mask declare, ascending, by image column and mask key."""
    found: dict[Place, set[int]] = {}
    for part in parts:
        try:
            columns = columns_of(pq.read_schema(files.checked(part.path)), part.path)
        except BROKEN:
            continue
        for column in columns.values():
            if column.kind == "mask":
                ids = found.setdefault((str(column.image), str(column.key)), set())
                ids.update(item.id for items in column.class_sets for item in items)
    return {place: np.array(sorted(ids), np.int64) for place, ids in found.items()}
