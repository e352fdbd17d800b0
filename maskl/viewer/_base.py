"""All rows of a table and some runs as columns of numbers, and what gathers them from the answers of queries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Base", "GatheredQuery", "GatheredRows", "GatheredValues", "Ints", "Numbers", "Places", "Series"]

Ints = npt.NDArray[np.int64]
Places = npt.NDArray[np.signedinteger[Any]]
Numbers = npt.NDArray[np.float64]

#: what the place of a run among those that are asked for is kept in
RUN: Final = np.uint16


@dataclass(frozen=True, eq=False)
class Base:
    """All rows of a table and some runs, runs in the order asked for, rows by ``_row``.

    Parameters
    ----------
    row : ndarray of int64
        ``_row``.
    starts : ndarray of int
        Where the rows of each run begin, and where the last one's end.
    steps : ndarray of int64
        The steps that there are, in order.
    at : ndarray of unsigned int
        The place of each row's ``_step`` among them, in the narrowest type: there are few steps and many rows.
    """

    row: Ints
    starts: Places
    steps: Ints
    at: npt.NDArray[np.unsignedinteger[Any]]

    def arrays(self) -> tuple[npt.NDArray[Any], ...]:
        """Return the arrays that it holds."""
        return (self.row, self.starts, self.steps, self.at)

    def runs_of(self, places: Places) -> Places:
        """Return the place of the run of each row among the runs."""
        return np.searchsorted(self.starts, places, side="right") - 1

    def steps_of(self, places: Places) -> Ints:
        """Return the ``_step`` of rows."""
        found: Ints = self.steps[self.at[places]]
        return found

    def spread(self, of_runs: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a value of each run for each of its rows."""
        return np.repeat(of_runs, np.diff(self.starts))

    def locate(self, run: npt.NDArray[Any], row: Ints) -> Places:
        """Return where rows stand, −1 where they do not."""
        found = np.full(len(run), -1, np.int32)
        for place, mine in _each_run(run):
            low, high = int(self.starts[place]), int(self.starts[place + 1])
            block, wanted = self.row[low:high], row[mine]
            first = int(np.searchsorted(block, wanted[0]))
            if np.array_equal(block[first : first + len(wanted)], wanted):  # as they stand in the store
                found[mine] = np.arange(low + first, low + first + len(wanted), dtype=np.int32)
                continue
            at = np.searchsorted(block, wanted)
            there = at < len(block)
            there[there] = block[at[there]] == wanted[there]
            found[mine] = np.where(there, low + at, -1)
        return found


@dataclass(frozen=True, eq=False)
class Series:
    """A number of each row of a base, NaN where it has none."""

    values: Numbers

    def arrays(self) -> tuple[npt.NDArray[Any], ...]:
        """Return the arrays that it holds."""
        return (self.values,)


class GatheredRows:
    """Gathers a base from rows of ``place, _row, _step``, in whatever order they come."""

    def __init__(self) -> None:
        self._runs: list[npt.NDArray[np.uint16]] = []
        self._rows: list[Ints] = []
        #: of each piece its steps, and which of them each of its rows has
        self._steps: list[tuple[Ints, npt.NDArray[np.unsignedinteger[Any]]]] = []

    def take(self, rows: pa.Table) -> None:
        """Take some rows."""
        self.add(*(rows[name].to_numpy() for name in ("place", "_row", "_step")))

    def add(self, run: npt.NDArray[Any], row: Ints, step: Ints) -> None:
        """Take some rows as arrays, which are copied."""
        steps, at = np.unique(step, return_inverse=True)
        self._runs.append(run.astype(RUN))
        self._rows.append(row.astype(np.int64))
        self._steps.append((steps.astype(np.int64), at.astype(np.min_scalar_type(max(0, len(steps) - 1)))))

    def base(self, runs: int) -> Base:
        """Return the base of all rows that came, of so many runs."""
        run, row = _joined(self._runs, RUN), _joined(self._rows, np.int64)
        steps = np.unique(np.concatenate([np.zeros(0, np.int64), *(steps for steps, _ in self._steps)]))
        kind = np.min_scalar_type(max(0, len(steps) - 1))
        at = _joined([np.searchsorted(steps, mine).astype(kind)[places] for mine, places in self._steps], kind)
        self._steps.clear()
        if not _is_sorted(run, row):
            order = np.argsort(run, kind="stable").astype(np.int32)
            if not _is_sorted(run[order], row[order]):
                order = np.lexsort((row, run)).astype(np.int32)
            run, row, at = run[order], row[order], at[order]
        return Base(row, np.searchsorted(run, np.arange(runs + 1)), steps, at)


class GatheredValues:
    """Gathers a number of each row of a base from rows of ``place, _row, value``.

    Parameters
    ----------
    base : Base
        The rows.
    """

    def __init__(self, base: Base) -> None:
        self._base = base
        self.values: Numbers = np.full(len(base.row), np.nan)

    def take(self, rows: pa.Table) -> None:
        """Take some rows."""
        places = self._base.locate(rows["place"].to_numpy(), rows["_row"].to_numpy())
        there = places >= 0
        self.values[places[there]] = np.asarray(rows["value"].to_numpy(), np.float64)[there]


class GatheredQuery:
    """Gathers where the rows of a query stand, each once, in its order.

    Parameters
    ----------
    base : Base
        The rows that may be meant.
    runs : sequence of str
        Its runs.
    numbers : sequence of str
        The columns by whose numbers the query may have ordered its rows.
    """

    def __init__(self, base: Base, runs: Sequence[str], numbers: Sequence[str]) -> None:
        self._base = base
        self._run = {run: place for place, run in enumerate(runs)}
        self._seen = np.zeros(len(base.row), np.bool_)
        self._places: list[Places] = []
        self._numbers = {name: _Ordered() for name in numbers}
        #: rows that came, and those of them that stand in the base
        self.came = self.known = 0

    def take(self, rows: pa.Table) -> None:
        """Take some rows of ``run_id, here, _row`` and the numbers; ``here`` is 1 for those of the table."""
        ids = rows["run_id"].combine_chunks().dictionary_encode()
        ids = ids if hasattr(ids, "dictionary") else ids.combine_chunks()
        place_of = np.array([*(self._run.get(run, -1) for run in ids.dictionary.to_pylist()), -1], np.int32)
        run = place_of[ids.indices.fill_null(len(place_of) - 1).to_numpy(zero_copy_only=False)]
        there = np.flatnonzero((rows["here"].to_numpy() == 1) & (run >= 0))
        places = self._base.locate(run[there], rows["_row"].fill_null(-1).to_numpy()[there])
        there, places = there[places >= 0], places[places >= 0]
        self.came += rows.num_rows
        self.known += len(places)
        _, first = np.unique(places, return_index=True)
        first = np.sort(first[~self._seen[places[first]]])
        places = places[first]
        self._seen[places] = True
        self._places.append(places)
        for name, found in list(self._numbers.items()):
            if not found.add(np.asarray(rows[name].to_numpy(), np.float64)[there[first]]):
                del self._numbers[name]

    def places(self) -> Places:
        """Return where the rows stand, each where it came first."""
        return np.concatenate([np.zeros(0, np.int32), *self._places])

    def explaining(self) -> Numbers | None:
        """Return the first number by which the rows are in order, which an ORDER BY may have named; of all rows."""
        found = next((found for found in self._numbers.values() if found.last is not None), None)
        if found is None:
            return None
        values = np.full(len(self._base.row), np.nan)
        for places, numbers in zip(self._places, found.pieces, strict=True):
            values[places] = numbers
        return values


class _Ordered:
    """Numbers that come in pieces, while they rise or fall."""

    def __init__(self) -> None:
        self.pieces: list[Numbers] = []
        self.last: float | None = None
        self._rises = self._falls = True

    def add(self, numbers: Numbers) -> bool:
        """Take some, and return whether all so far are in order; those that are none stand anywhere."""
        self.pieces.append(numbers)
        known = numbers[~np.isnan(numbers)]
        if known.size:
            joined = known if self.last is None else np.r_[self.last, known]
            self._rises = self._rises and bool((joined[1:] >= joined[:-1]).all())
            self._falls = self._falls and bool((joined[1:] <= joined[:-1]).all())
            self.last = float(known[-1])
        return self._rises or self._falls


def _each_run(run: npt.NDArray[Any]) -> Iterator[tuple[int, Any]]:
    """Yield each run of rows, and what selects its rows."""
    order: Callable[[slice], Any] = lambda span: span  # noqa: E731  # as they stand
    if bool((run[1:] < run[:-1]).any()):
        sorting = np.argsort(run, kind="stable")
        run, order = run[sorting], sorting.__getitem__
    starts = np.flatnonzero(np.r_[True, run[1:] != run[:-1]]).tolist() if len(run) else []
    for start, end in zip(starts, [*starts[1:], len(run)], strict=True) if starts else ():
        yield int(run[start]), order(slice(start, end))


def _joined(pieces: list[npt.NDArray[Any]], kind: Any) -> npt.NDArray[Any]:
    """Return pieces as one array, and let go of them."""
    joined: npt.NDArray[Any] = np.concatenate([np.zeros(0, kind), *pieces])
    pieces.clear()
    return joined


def _is_sorted(run: npt.NDArray[Any], row: npt.NDArray[Any]) -> bool:
    same = run[1:] == run[:-1]
    return bool(((run[1:] > run[:-1]) | (same & (row[1:] > row[:-1]))).all())
