"""Sets of rows: which rows of which runs, in which order; kept as columns of numbers, and handed out in windows."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from maskl.viewer._requests import SetRequest
from maskl.viewer._session import Moment, Session
from maskl_storage.disk.cache import Cache
from maskl_storage.errors import NotFound, QueryError
from maskl_storage.query.table_views import quote_name

__all__ = ["RUNS", "RowSet", "Sets", "kind_of"]

#: bytes of columns and of sets that are kept
COLUMNS_BYTES: Final = 96 << 20
SETS_BYTES: Final = 48 << 20
#: requests of sets, by which one that is no longer kept is made again
REQUESTS: Final = 4096
#: what is said of runs at most
NOTES: Final = 20
#: the runs that are asked for, each with its place among them
RUNS: Final = "(SELECT unnest($runs) AS run_id, CAST(unnest(range(len($runs))) AS INTEGER) AS place)"
#: scores that are kept for each row and pair of masks
MEANS: Final = ("mean_iou", "mean_dice", "pixel_accuracy")
#: columns of a query that say which row it is and not what is asked of it
ADDRESS: Final = ("run_id", "table_name", "_row")

Ints = npt.NDArray[np.int64]
Places = npt.NDArray[np.signedinteger[Any]]
Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Base:
    """All rows of a table and some runs, runs in the order asked for, rows by ``_row``.

    Parameters
    ----------
    run : ndarray of int32
        The place of each row's run among those asked for.
    row, step : ndarray of int64
        ``_row`` and ``_step``.
    starts : ndarray of int
        Where the rows of each run begin, and where the last one's end.
    """

    run: npt.NDArray[np.int32]
    row: Ints
    step: Ints
    starts: Places

    @property
    def nbytes(self) -> int:
        """The bytes that it takes."""
        return self.run.nbytes + self.row.nbytes + self.step.nbytes

    def locate(self, run: npt.NDArray[np.int32], row: Ints) -> Places:
        """Return where rows stand, −1 where they do not."""
        if len(run) == len(self.run) and np.array_equal(run, self.run) and np.array_equal(row, self.row):
            return np.arange(len(run))
        found = np.full(len(run), -1, np.intp)
        for place in np.unique(run).tolist():
            low, high = int(self.starts[place]), int(self.starts[place + 1])
            mine = np.flatnonzero(run == place)
            block = self.row[low:high]
            at = np.searchsorted(block, row[mine])
            there = at < len(block)
            there[there] = block[at[there]] == row[mine][there]
            found[mine[there]] = low + at[there]
        return found

    def aligned(self, run: npt.NDArray[np.int32], row: Ints, values: Numbers) -> Numbers:
        """Return the values of all rows, NaN of those that have none."""
        places = self.locate(run, row)
        if len(places) == len(self.run) and places.size and places[0] == 0 and (np.diff(places) == 1).all():
            return values
        made = np.full(len(self.run), np.nan)
        there = places >= 0
        made[places[there]] = values[there]
        return made


@dataclass(frozen=True, eq=False)
class RowSet:
    """A set of rows in its order.

    Parameters
    ----------
    mark : str
        Its id.
    request : SetRequest
        What was asked for.
    moment : Moment
        Of which moment of the store.
    base : Base
        The rows that it chooses from.
    order : ndarray of int
        Their places in it.
    values : ndarray of float, optional
        What they are sorted by, in the set's order, where it is a number.
    unbrushed : int
        How many there are without the range.
    histogram : dict, optional
        Of the numbers, all of them.
    notes : tuple of str
        What is to be said of it.
    steps : dict of str to int
        The step of each run that is shown; a run is not there of which nothing is.
    """

    mark: str
    request: SetRequest
    moment: Moment
    base: Base
    order: Places
    values: Numbers | None
    unbrushed: int
    histogram: Mapping[str, Any] | None
    notes: tuple[str, ...]
    steps: Mapping[str, int] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """The bytes that it takes beside its base."""
        return self.order.nbytes + (0 if self.values is None else self.values.nbytes) + 4096

    @property
    def whole(self) -> bool:
        """Whether it has all rows of its runs' steps."""
        return len(self.order) == self.unbrushed and not self.request.sql

    def to_json(self) -> dict[str, Any]:
        """Return what the page is told of it."""
        return {
            "set": self.mark,
            "total": len(self.order),
            "unbrushed": self.unbrushed,
            "histogram": self.histogram,
            "notes": list(self.notes),
        }

    def addresses(self, start: int, stop: int) -> list[tuple[str, int, int, float | None]]:
        """Return run, ``_row``, ``_step`` and score of the rows from one place to another."""
        chosen = self.order[start:stop]
        runs = self.request.runs
        scores: list[Any] = [None] * len(chosen) if self.values is None else self.values[start:stop].tolist()
        of = zip(
            self.base.run[chosen].tolist(),
            self.base.row[chosen].tolist(),
            self.base.step[chosen].tolist(),
            scores,
            strict=True,
        )
        return [
            (runs[run], row, step, None if score is None or score != score else score) for run, row, step, score in of
        ]


class Sets:
    """The sets that were asked for, and the columns that they were made of.

    Parameters
    ----------
    session : Session
        The store.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._columns: Cache[Any] = Cache(COLUMNS_BYTES, lambda kept: int(kept.nbytes))
        self._sets: Cache[RowSet] = Cache(SETS_BYTES, lambda kept: kept.nbytes)
        self._requests: OrderedDict[str, SetRequest] = OrderedDict()
        self._lock = threading.Lock()
        self._making = threading.Lock()

    def make(self, request: SetRequest) -> RowSet:
        """Return the set that answers a request."""
        moment = self._session.moment()
        text = json.dumps([moment.mark, request.to_json()], sort_keys=True)
        mark = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
        with self._lock:
            self._requests[mark] = request
            self._requests.move_to_end(mark)
            if len(self._requests) > REQUESTS:
                self._requests.popitem(last=False)
        found = self._sets.get(mark)
        if found is None:
            found = self._made(mark, request, moment)
            self._sets.put(mark, found)
        return found

    def get(self, mark: str) -> RowSet:
        """Return a set by its id, made again where it is no longer kept."""
        found = self._sets.get(mark)
        if found is not None:
            return found
        with self._lock:
            request = self._requests.get(mark)
        if request is None:
            raise NotFound("this set of rows is not kept any more: load the page again")
        made = self._made(mark, request, self._session.moment())
        self._sets.put(mark, made)
        return made

    def base(self, moment: Moment, table: str, runs: Sequence[str]) -> Base:
        """Return all rows of a table and some runs."""
        key = (moment.mark, "rows", table, tuple(runs))
        found = self._columns.get(key)
        if found is None:
            relation = moment.relation(table)
            answer = self._session.ask(
                f"SELECT n.place, t._row, t._step FROM {relation} AS t JOIN {RUNS} AS n USING (run_id)",
                {"runs": list(runs)},
            )
            run, row, step = (answer[name].to_numpy() for name in ("place", "_row", "_step"))
            order = np.lexsort((row, run)) if not _is_sorted(run, row) else None
            if order is not None:
                run, row, step = run[order], row[order], step[order]
            starts = np.searchsorted(run, np.arange(len(runs) + 1))
            found = Base(run, row, step, starts)
            self._columns.put(key, found)
        return found

    # --- inside ---------------------------------------------------------------------------------

    def _made(self, mark: str, request: SetRequest, moment: Moment) -> RowSet:
        with self._making:  # one at a time: each takes memory, and two that are alike need one column
            for run_id in request.runs:
                moment.run(run_id)
            base = self.base(moment, request.table, request.runs)
            notes: list[str] = []
            if request.sql:
                places, values, told = self._queried(request, base)
                notes += told
                steps: dict[str, int] = {}
            else:
                places, steps, told = _at_step(base, request, moment)
                notes += told
                values = None
            if request.by not in ("sql", "_row"):
                values = self._series(request, base, moment)[places]
            order, numbers = _ordered(places, values, request)
            order = order.astype(np.int32)  # it is kept
            unbrushed = len(order)
            shown = _is_number(request, moment)
            histogram = _histogram(numbers, request.bins) if numbers is not None and shown else None
            if request.range is not None and numbers is not None:
                inside = (numbers >= request.range[0]) & (numbers <= request.range[1])
                order, numbers = order[inside], numbers[inside]
            if not shown:
                numbers = None
            return RowSet(
                mark, request, moment, base, order, numbers, unbrushed, histogram, tuple(notes[:NOTES]), steps
            )

    def _queried(self, request: SetRequest, base: Base) -> tuple[Places, Numbers | None, list[str]]:
        """Return where the rows of a query stand, in its order, and the number of it that says why."""
        body = request.sql.strip().rstrip(";").rstrip()
        described = dict(self._session.asked(f"DESCRIBE {body}").project("column_name, column_type").fetchall())
        missing = [name for name in ADDRESS if name not in described]
        if missing:
            raise QueryError(
                "the query must return run_id, table_name and _row, by which rows are shown; "
                f"it lacks {', '.join(missing)}"
            )
        doubles = [name for name, kind in described.items() if kind in ("DOUBLE", "FLOAT")][:4]
        wanted = ", ".join(map(quote_name, (*ADDRESS, *doubles)))
        answer = self._session.asked(f"SELECT {wanted} FROM (\n{body}\n)").to_arrow_table()
        number_of = {run: place for place, run in enumerate(request.runs)}
        runs = answer["run_id"].combine_chunks().dictionary_encode()
        if not hasattr(runs, "dictionary"):
            runs = runs.combine_chunks()
        known = np.array([number_of.get(str(run), -1) for run in runs.dictionary.to_pylist()] + [-1], np.int32)
        run = known[runs.indices.fill_null(len(known) - 1).to_numpy(zero_copy_only=False)]
        row = answer["_row"].cast("int64").fill_null(-1).to_numpy()
        import pyarrow.compute as pc

        here = (
            pc.equal(answer["table_name"].cast("string"), request.table).fill_null(False).to_numpy(zero_copy_only=False)
        )
        there = np.flatnonzero(here & (run >= 0))
        places = base.locate(run[there], row[there])
        there, places = there[places >= 0], places[places >= 0]
        _, first = np.unique(places, return_index=True)
        first.sort()
        notes = []
        if len(there) < answer.num_rows:
            notes.append(
                f"{answer.num_rows - len(there):,} rows of the query are of other tables or runs, and are not shown"
            )
        if len(first) < len(there):
            notes.append(f"the query returned {len(there) - len(first):,} rows more than once")
        chosen = there[first]
        return places[first], _explaining(answer, doubles, chosen), notes

    def _series(self, request: SetRequest, base: Base, moment: Moment) -> Numbers:
        """Return what rows are sorted by, as numbers, NaN where a row has none."""
        pair = (request.image, request.truth, request.prediction)
        key = (moment.mark, request.by, pair, request.table, tuple(request.runs))
        found = self._columns.get(key)
        if found is None:
            query, params = self._series_query(request, moment)
            answer = self._session.ask(query, {"runs": list(request.runs), **params})
            run, row = answer["place"].to_numpy(), answer["_row"].to_numpy()
            values = answer["value"].to_numpy()
            found = base.aligned(run, row, np.asarray(values, np.float64))
            self._columns.put(key, found)
        numbers: Numbers = found
        return numbers

    def _series_query(self, request: SetRequest, moment: Moment) -> tuple[str, dict[str, Any]]:
        kind, _, name = request.by.partition(":")
        if kind == "column" and name:
            columns = moment.names(request.table).columns
            if name not in columns:
                raise NotFound(f"table {request.table!r} has no column {name!r:.120}")
            column = f"t.{quote_name(name)}"
            value = {
                "number": f"CAST({column} AS DOUBLE)",
                "bool": f"CAST(CAST({column} AS INTEGER) AS DOUBLE)",
                "time": f"CAST(epoch_us({column}) AS DOUBLE)",
                "text": f"CASE WHEN {column} IS NOT NULL THEN dense_rank() OVER (ORDER BY {column}) END",
            }.get(kind_of(columns[name][1]))
            if value is None:
                raise QueryError(
                    f"rows cannot be sorted by column {name!r:.120}: it holds neither numbers, texts nor times"
                )
            return (
                f"SELECT n.place, t._row, {value} AS value FROM {moment.relation(request.table)} AS t "
                f"JOIN {RUNS} AS n USING (run_id)",
                {},
            )
        if request.truth is None or request.prediction is None or request.image is None:
            raise QueryError("rows are sorted by a score where an image, a truth and a prediction are chosen")
        params = {"t": request.table, "i": request.image, "a": request.truth, "b": request.prediction}
        where = "s.table_name = $t AND s.image_column = $i AND s.truth_key = $a AND s.prediction_key = $b"
        if request.by in MEANS:
            query = f"SELECT n.place, s._row, s.{request.by} AS value FROM scores AS s JOIN {RUNS} AS n USING (run_id)"
            return f"{query} WHERE {where}", params
        if kind == "iou" and name:
            query = (
                "SELECT n.place, s._row, maskl_iou(s.tp, s.fp, s.fn) AS value "
                f"FROM class_scores AS s JOIN {RUNS} AS n USING (run_id) WHERE {where} AND s.class_name = $c"
            )
            return query, {**params, "c": name}
        raise QueryError(
            f"rows are sorted by _row, sql, mean_iou, mean_dice, column:<name> or iou:<class>; got {request.by!r:.120}"
        )


def kind_of(kind: str) -> str:
    """Return what sort of values an Arrow type is, as seals write it.

    Examples
    --------
    >>> kind_of("double"), kind_of("string"), kind_of("timestamp[us, tz=UTC]"), kind_of("list<item: int64>")
    ('number', 'text', 'time', 'other')
    """
    if kind in ("int64", "double", "float", "int32", "uint64"):
        return "number"
    if kind == "bool":
        return "bool"
    if kind in ("string", "large_string"):
        return "text"
    return "time" if kind.startswith("timestamp") else "other"


def _is_sorted(run: npt.NDArray[Any], row: npt.NDArray[Any]) -> bool:
    rise = np.diff(run)
    return bool((rise >= 0).all() and ((rise > 0) | (np.diff(row) > 0)).all())


def _at_step(base: Base, request: SetRequest, moment: Moment) -> tuple[Places, dict[str, int], list[str]]:
    """Return the rows of the step that is looked at: of each run its last, or the nearest that is not above."""
    least = np.iinfo(np.int64).min
    allowed = base.step if request.step is None else np.where(base.step <= request.step, base.step, least)
    chosen = np.full(len(request.runs), least, np.int64)
    filled = np.flatnonzero(np.diff(base.starts) > 0)
    if filled.size:
        chosen[filled] = np.maximum.reduceat(allowed, base.starts[filled])
    steps = {run: int(step) for run, step in zip(request.runs, chosen.tolist(), strict=True) if step != least}
    notes = []
    for place in filled.tolist() if request.step is not None else ():
        run = request.runs[place]
        name = moment.run(run).name
        if run not in steps:
            notes.append(f"run {name} has no step up to {request.step}: none of its rows is shown")
        elif steps[run] != request.step:
            notes.append(f"run {name} has no step {request.step}: its step {steps[run]} is shown")
    mask = (base.step == chosen[base.run]) & (chosen[base.run] != least)
    return np.flatnonzero(mask), steps, notes


def _ordered(places: Places, values: Numbers | None, request: SetRequest) -> tuple[Places, Numbers | None]:
    """Return rows in order, and their numbers; those that have none come last."""
    if request.by in ("sql", "_row") or values is None:
        if request.by == "_row" and request.sql:
            order = np.argsort(places, kind="stable")
            places, values = places[order], None if values is None else values[order]
        return (places[::-1], None if values is None else values[::-1]) if request.descending else (places, values)
    order = np.argsort(-values if request.descending else values, kind="stable")
    return places[order], values[order]


def _histogram(values: Numbers, bins: int) -> dict[str, Any] | None:
    finite = values[np.isfinite(values)]
    if not finite.size or not np.isfinite(finite.max() - finite.min()):
        return None
    counts, edges = np.histogram(finite, bins)
    return {"edges": edges.tolist(), "counts": counts.tolist(), "missing": int(len(values) - len(finite))}


def _is_number(request: SetRequest, moment: Moment) -> bool:
    """Whether what rows are sorted by is a number to show, and not the rank of a text or a time."""
    kind, _, name = request.by.partition(":")
    if kind != "column":
        return True
    return kind_of(moment.names(request.table).columns[name][1]) in ("number", "bool")


def _explaining(answer: Any, doubles: Sequence[str], chosen: Places) -> Numbers | None:
    """Return the first number of a query's answer by which its rows are in order: what its ORDER BY may have named."""
    for name in doubles:
        values = np.asarray(answer[name].to_numpy(), np.float64)[chosen]
        known = values[~np.isnan(values)]
        rise = np.diff(known)
        if known.size and ((rise >= 0).all() or (rise <= 0).all()):
            return values
    return None
