"""Scoring the rows of a store: those that have no scores yet, on all cores, kept as they come."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from maskl.images.threads import cores
from maskl.interchange.selection import Selection, choose
from maskl.scoring._batch import RUN, BatchScorer
from maskl.scoring._metrics import PixelMetric, known_metrics, metrics_of
from maskl.scoring._recount import recount
from maskl_storage.errors import InvalidValue, NotFound, StateError
from maskl_storage.lazy import LazyModule
from maskl_storage.read.scan import OWN
from maskl_storage.scores.writer import ScoreWriter, Superseded
from maskl_storage.store import Store

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = LazyModule("pyarrow")

__all__ = ["Scored", "known_metrics", "metrics_of", "recount", "score"]

#: rows that a process takes at a time
BATCH: Final = 64
#: rows and seconds after which scores are committed: what a kill costs, at most
COMMIT_ROWS: Final = 20_000
COMMIT_SECONDS: Final = 20.0
#: rows that are too few for another process to be worth its start
FEW: Final = 256
MAX_PROCESSES: Final = 64


@dataclass(frozen=True)
class Scored:
    """What was scored; :meth:`maskl.Store.score` returns it.

    Parameters
    ----------
    runs : list of str
        The runs whose tables were scored.
    rows : int
        How many rows were scored now.
    known : int
        How many had scores before.
    empty : int
        How many of ``rows`` have nothing to score: a mask is missing, the masks differ in size, or have no class in
        common.
    skipped : list of str
        Which runs were left alone, and why.
    """

    runs: list[str] = field(default_factory=list)
    rows: int = 0
    known: int = 0
    empty: int = 0
    skipped: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return it as a plain dict."""
        return dict(self.__dict__)


def score(
    store: Store,
    table: str,
    runs: Sequence[str],
    metrics: Sequence[PixelMetric],
    *,
    image: str | None = None,
    truth: str = "ground_truth",
    prediction: str = "predictions",
    again: bool = False,
    processes: int = 0,
    tick: Callable[[int, int], None] = lambda _done, _all: None,
) -> Scored:
    """Score rows of a table that have no scores yet; see :meth:`maskl.Store.score`.

    ``tick`` is told how many rows are done, and of how many.
    """
    done = {"rows": 0, "known": 0, "empty": 0}
    scored: list[str] = []
    skipped: list[str] = []
    with _Pool(processes) as pool:
        for run_id in runs:
            try:
                with ScoreWriter(store._layout, run_id, table) as writer:
                    _score_run(store, writer, metrics, (image, truth, prediction), pool, done, tick, again=again)
                scored.append(run_id)
            except Superseded as error:
                skipped.append(f"{error}: score it again")
            except StateError as error:
                skipped.append(str(error))
    return Scored(scored, done["rows"], done["known"], done["empty"], skipped)


def _score_run(
    store: Store,
    writer: ScoreWriter,
    metrics: Sequence[PixelMetric],
    names: tuple[str | None, str, str],
    pool: _Pool,
    done: dict[str, int],
    tick: Callable[[int, int], None],
    *,
    again: bool,
) -> None:
    selection = choose(store, writer.table, run=writer.run_id)
    own, image = _masks(selection, *names)
    _, truth, prediction = names
    rows = writer.rows()
    todo: dict[tuple[PixelMetric, ...], npt.NDArray[np.int64]] = {}
    missing = np.zeros(rows.size, np.int64)
    for bit, metric in enumerate(metrics):
        known = np.zeros(0, np.int64)
        if not again:
            known = writer.scored(image, truth, prediction, metric.name, metric.version, metric.params)
        missing |= (~np.isin(rows, known)).astype(np.int64) << bit
    for pattern in np.unique(missing[missing > 0]).tolist():
        chosen = tuple(metric for bit, metric in enumerate(metrics) if pattern >> bit & 1)
        todo[chosen] = np.sort(rows[missing == pattern])
    whole = int(np.count_nonzero(missing))
    done["known"] += rows.size - whole
    before, waiting = done["rows"], _Waiting(writer)
    try:
        for chosen, wanted in todo.items():
            scorer = BatchScorer(chosen, own, truth, prediction, image)
            for scores, count in pool.map(scorer, _batches(selection, scorer, wanted), wanted.size):
                waiting.take(scores, count)
                done["rows"] += count
                done["empty"] += _empty(scores)
                tick(done["rows"] - before, whole)
    finally:  # what was computed before somebody interrupted it is kept
        with contextlib.suppress(Superseded):
            waiting.commit()
    if waiting.superseded:
        raise Superseded(f"table {writer.table!r} of run {writer.run_id!r} was logged anew while it was scored")
    if whole:
        writer.merge()


class _Waiting:
    """Scores that are computed and not committed yet."""

    def __init__(self, writer: ScoreWriter) -> None:
        self._writer = writer
        self._tables: list[pa.Table] = []
        self._rows, self._since = 0, time.monotonic()
        self.superseded = False

    def take(self, scores: pa.RecordBatch, rows: int) -> None:
        self._tables.append(pa.Table.from_batches([scores]))
        self._rows += rows
        if self._rows >= COMMIT_ROWS or time.monotonic() - self._since >= COMMIT_SECONDS:
            self.commit()

    def commit(self) -> None:
        tables, self._tables = self._tables, []
        self._rows, self._since = 0, time.monotonic()
        if tables and not self.superseded:
            try:
                self._writer.commit(pa.concat_tables(tables).drop_columns([RUN]).unify_dictionaries())
            except Superseded:
                self.superseded = True
                raise


def _empty(scores: pa.RecordBatch) -> int:
    """Return of how many rows there is nothing to say."""
    import pyarrow.compute as pc

    nothing = scores.filter(pc.is_null(scores["name"]))
    return len(pc.unique(nothing["_row"]))


def _masks(selection: Selection, image: str | None, truth: str, prediction: str) -> tuple[str, str]:
    """Return the image column by its user's name and by that of SQL, whose two masks are there."""
    columns = {c.name: name for name, c in selection.union.columns.items() if c.kind == "image"}
    chosen = next(iter(columns), None) if image is None else image
    if chosen not in columns:
        wanted = "an image column" if chosen is None else f"an image column {chosen!r}"
        raise NotFound(f"table {selection.table!r} has not {wanted}; it has: {', '.join(map(repr, columns)) or 'none'}")
    keys = selection.mask_keys(chosen)
    for key in (truth, prediction):
        if key not in keys:
            there = ", ".join(map(repr, keys)) or "none"
            raise NotFound(f"image column {chosen!r} of table {selection.table!r} has no mask {key!r}; it has: {there}")
    if truth == prediction:
        raise InvalidValue(f"a mask is not scored by itself: truth and prediction are both {truth!r}")
    return chosen, columns[chosen]


def _batches(selection: Selection, scorer: BatchScorer, wanted: npt.NDArray[np.int64]) -> Iterator[pa.RecordBatch]:
    """Yield the wanted rows with what a scorer needs of them, some at a time."""
    union = selection.union
    keys = {scorer.truth, scorer.prediction}
    names = [
        name
        for name, column in union.columns.items()
        if column.kind == "value"
        or (column.kind in ("image", "mask", "segments") and column.name == scorer.image and _has(union, name, keys))
    ]
    schema = union.schema([*OWN, *(one for name in names for one in (name, union.numbers(name)) if one)], OWN)
    reader = selection.rows.stretches(union, schema)
    for start in range(0, len(selection), BATCH):
        table = reader.rows(start, start + BATCH)
        there = np.isin(table["_row"].to_numpy(), wanted)
        if there.any():
            chosen = table if there.all() else table.filter(pa.array(there))
            yield from chosen.combine_chunks().to_batches()


def _has(union: Any, name: str, keys: set[str]) -> bool:
    return union.columns[name].kind == "image" or not keys.isdisjoint(union.keys(name))


class _Pool:
    """Processes that score batches, as many as there are cores unless that is said; none where one is enough.

    They are begun anew, not forked: a fork would take along locks that other threads hold.
    """

    def __init__(self, processes: int) -> None:
        self._count = min(processes or cores(), MAX_PROCESSES)
        self._stack = contextlib.ExitStack()
        self._executor: Any = None

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *error: object) -> None:
        if self._executor is not None and error[0] is not None:
            self._executor.shutdown(cancel_futures=True)
        self._stack.close()

    def map(
        self, scorer: BatchScorer, batches: Iterator[pa.RecordBatch], rows: int
    ) -> Iterator[tuple[pa.RecordBatch, int]]:
        """Yield the scores of each batch, and how many rows it had."""
        if self._count < 2 or rows < FEW:
            for batch in batches:
                yield scorer.score_batch(batch), batch.num_rows
            return
        executor = self._started()
        waiting: deque[tuple[Future[pa.RecordBatch], int]] = deque()
        for batch in batches:
            waiting.append((executor.submit(scorer.score_batch, batch), batch.num_rows))
            if len(waiting) > 3 * self._count:
                future, count = waiting.popleft()
                yield future.result(), count
        for future, count in waiting:
            yield future.result(), count

    def _started(self) -> Any:
        if self._executor is None:
            from concurrent.futures import ProcessPoolExecutor
            from multiprocessing import get_context

            from maskl_storage.masks.limits import max_mask_pixels, set_max_mask_pixels

            limit = (max_mask_pixels(),)
            made = ProcessPoolExecutor(self._count, get_context("spawn"), set_max_mask_pixels, limit)
            self._executor = self._stack.enter_context(made)
        return self._executor
