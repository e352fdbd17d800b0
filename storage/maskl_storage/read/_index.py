"""Where the rows of a table stand in its parts, and in which order."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from maskl_storage.disk.forks import ForkLock
from maskl_storage.errors import CorruptData, NotFound
from maskl_storage.read._row_groups import RowsPart

__all__ = ["Finder", "Index", "RunIndex", "index_of", "moved"]

GONE: Final = "deleted or replaced since the table was opened: open it again"

#: for each row its part, its position there, and its ``_row``
Index = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]


def index_of(parts: Sequence[RowsPart], step: int | str | None) -> Index:
    """Return the rows of a step, of each run's last one or of all, run by run in order of ``_row``."""
    numbers, positions, rows, steps, runs = [], [], [], [], []
    order: dict[str, int] = {}
    for number, part in enumerate(parts):
        table = part.read(["_row", "_step"])
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
    step_, run_ = np.concatenate(steps), np.concatenate(runs)
    if step == "last":
        last = np.full(len(order), np.iinfo(np.int64).min)
        np.maximum.at(last, run_, step_)
        kept = step_ == last[run_]
    elif step is not None:
        kept = step_ == int(step)
    else:
        kept = np.ones(step_.size, np.bool_)
    keep = np.lexsort((row[kept], run_[kept]))
    return number_[kept][keep], position[kept][keep], row[kept][keep]


#: of each row group its part, its number there, and its lowest and highest ``_row``
_Bounds = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]


class RunIndex:
    """Where the rows of single runs stand, for who asks for a few of all steps: no part of another run is opened.

    Parameters
    ----------
    parts : sequence of RowsPart
        The parts, those of one run together.
    """

    def __init__(self, parts: Sequence[RowsPart]) -> None:
        self._parts = parts
        #: of each run its first row, its first part, and the part behind its last one
        self._spans: dict[str, tuple[int, int, int]] = {}
        first = 0
        for number, part in enumerate(parts):
            begin, start, _ = self._spans.get(part.sealed.run_id, (first, number, number))
            self._spans[part.sealed.run_id] = (begin, start, number + 1)
            first += part.sealed.part.rows
        self._count = first
        self._runs = list(self._spans)
        self._starts = [begin for begin, _, _ in self._spans.values()]
        self._known: dict[str, Index] = {}
        self._bounds: dict[str, _Bounds | None] = {}
        self._lock = ForkLock()

    def at(self, index: int) -> tuple[int, int, int]:
        """Return of a row its part, its position there, and its ``_row``."""
        run_id = self._runs[bisect_right(self._starts, index) - 1]
        begin, start, _ = self._spans[run_id]
        numbers, positions, rows = self._of(run_id)
        place = index - begin
        return start + int(numbers[place]), int(positions[place]), int(rows[place])

    def groups(self, run_id: str, row: int) -> list[tuple[int, int]] | None:
        """Return the part and number of each row group that a run's ``_row`` may stand in.

        It takes a few bytes for each row group, where an index of its rows takes 24 for each row. None where that index
        is there already, or the parts do not say which rows their row groups have.
        """
        if run_id in self._known:
            return None
        if run_id not in self._spans:
            return []
        if run_id not in self._bounds:
            _, start, end = self._spans[run_id]
            self._bounds[run_id] = _bounds_of(self._parts, range(start, end))
        bounds = self._bounds[run_id]
        if bounds is None:
            return None
        parts, numbers, lows, highs = bounds
        found = np.flatnonzero((lows <= row) & (row <= highs)).tolist()
        return [(int(parts[place]), int(numbers[place])) for place in found]

    def find(self, run_id: str, row: int) -> int:
        """Return which of all rows a run's ``_row`` is, −1 where it has none."""
        if run_id not in self._spans:
            return -1
        rows = self._of(run_id)[2]
        place = int(np.searchsorted(rows, row))
        return self._spans[run_id][0] + place if place < rows.size and rows[place] == row else -1

    def moved(self, parts: Sequence[RowsPart]) -> RunIndex:
        """Return the same after parts were replaced.

        Raises
        ------
        NotFound
            A run has other rows now.
        """
        new = RunIndex(parts)
        if not self._known:  # nobody has seen a row yet
            return new
        if new._starts != self._starts or new._runs != self._runs or new._count != self._count:
            raise NotFound(f"rows of this table were {GONE}")
        for run_id, (_, _, rows) in self._known.items():
            if not np.array_equal(new._of(run_id)[2], rows):
                raise NotFound(f"rows of run {run_id!r} were {GONE}")
        return new

    def _of(self, run_id: str) -> Index:
        found = self._known.get(run_id)
        if found is None:
            with self._lock.held:
                found = self._known.get(run_id)
                if found is None:
                    found = self._known[run_id] = self._read(run_id)
        return found

    def _read(self, run_id: str) -> Index:
        _, start, end = self._spans[run_id]
        parts = self._parts[start:end]
        found = index_of(parts, None)
        if found[0].size != sum(part.sealed.part.rows for part in parts):
            raise CorruptData(f"{parts[0].file.path}: the parts of its run have other rows than their seals say")
        return found


def _bounds_of(parts: Sequence[RowsPart], numbers: range) -> _Bounds | None:
    """Return part, number, lowest and highest ``_row`` of each row group of some parts; None where one does not say."""
    found = [(number, parts[number].row_bounds) for number in numbers]
    known = [(number, bounds) for number, bounds in found if bounds is not None]
    if len(known) < len(found):
        return None
    sizes = [len(lows) for _, (lows, _) in known]
    return (
        np.repeat(np.array([number for number, _ in known], np.int64), sizes),
        np.concatenate([np.arange(size) for size in sizes]),
        np.concatenate([lows for _, (lows, _) in known]),
        np.concatenate([highs for _, (_, highs) in known]),
    )


class Finder:
    """Finds rows by their run and ``_row``.

    Parameters
    ----------
    index : Index
        The rows, in any order.
    runs : sequence of str
        The run of each part.
    """

    def __init__(self, index: Index, runs: Sequence[str]) -> None:
        numbers, _, rows = index
        self._runs = {run: ordinal for ordinal, run in enumerate(dict.fromkeys(runs))}
        run_of = np.array([self._runs[run] for run in runs], np.int64)[numbers]
        self._order = np.lexsort((rows, run_of))
        self._rows = rows[self._order]
        self._bounds = np.searchsorted(run_of[self._order], np.arange(len(self._runs) + 1))

    def find(self, run_id: str, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return where each of these rows of a run stands in the index, −1 where it does not."""
        run = self._runs.get(run_id)
        if run is None:
            return np.full(rows.size, -1, np.int64)
        first, end = self._bounds[run], self._bounds[run + 1]
        mine = self._rows[first:end]
        if not mine.size:
            return np.full(rows.size, -1, np.int64)
        at = np.searchsorted(mine, rows).clip(0, mine.size - 1)
        return np.where(mine[at] == rows, self._order[first + at], -1)


def moved(old: Index, old_runs: Sequence[str], new: Index, new_runs: Sequence[str]) -> Index:
    """Return where the rows of an index stand after their parts were replaced.

    Raises
    ------
    NotFound
        A row is no more.
    """
    numbers, _, rows = old
    finder = Finder(new, new_runs)
    at = np.empty(rows.size, np.int64)
    run_of = np.array(old_runs, object)[numbers] if rows.size else np.zeros(0, object)
    for run_id in dict.fromkeys(old_runs):
        mine = np.flatnonzero(run_of == run_id)
        at[mine] = finder.find(run_id, rows[mine])
    gone = np.flatnonzero(at < 0)
    if gone.size:
        run_id, row = run_of[gone[0]], rows[gone[0]]
        raise NotFound(f"row {row} of run {run_id!r} was {GONE}")
    found_numbers, found_positions, found_rows = new
    return found_numbers[at], found_positions[at], found_rows[at]
