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

from maskl.viewer._kept import Kept
from maskl.viewer._requests import SetRequest
from maskl.viewer._session import Moment, Session
from maskl_storage.errors import NotFound, QueryError
from maskl_storage.query.table_views import quote_name

__all__ = ["RUNS", "RowSet", "Sets", "kind_of"]

#: bytes of columns and of sets that are kept, and how many sets
KEPT_BYTES: Final = 64 << 20
KEPT_SETS: Final = 64
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

    @classmethod
    def of(cls, run: npt.NDArray[np.int32], row: Ints, step: Ints, runs: int) -> Base:
        """Return it of columns, in whatever order their rows are."""
        if not _is_sorted(run, row):
            order = np.lexsort((row, run))
            run, row, step = run[order], row[order], step[order]
        if len(step) and step.min() == step.max():
            steps, at = step[:1].copy(), np.zeros(len(step), np.uint8)
        else:
            steps, places = np.unique(step, return_inverse=True)
            at = places.astype(np.min_scalar_type(max(0, len(steps) - 1)))
        # a copy where it is a view: what it views is more than itself
        row = row if row.base is None else row.copy()
        return cls(row, np.searchsorted(run, np.arange(runs + 1)), steps, at)

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

    def locate(self, run: npt.NDArray[np.int32], row: Ints) -> Places:
        """Return where rows stand, −1 where they do not."""
        runs = self.spread(np.arange(len(self.starts) - 1, dtype=np.int32))
        if np.array_equal(row, self.row) and np.array_equal(run, runs):
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
        made = np.full(len(self.row), np.nan)
        there = places >= 0
        made[places[there]] = values[there]
        return made


@dataclass(frozen=True, eq=False)
class Series:
    """A number of each row of a base, NaN where it has none."""

    values: Numbers

    def arrays(self) -> tuple[npt.NDArray[Any], ...]:
        """Return the arrays that it holds."""
        return (self.values,)


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
        What they are sorted by, of all rows of the base and in its order, where it is a number: the column itself that
        other sets hold too, and no copy of it.
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

    def arrays(self) -> tuple[npt.NDArray[Any], ...]:
        """Return the arrays that it holds, those of its base too."""
        return (*self.base.arrays(), self.order, *(() if self.values is None else (self.values,)))

    @property
    def whole(self) -> bool:
        """Whether it has all rows of one step of each of its runs."""
        return len(self.order) == self.unbrushed and not self.request.sql and not self.request.every

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
        scores: list[Any] = [None] * len(chosen) if self.values is None else self.values[chosen].tolist()
        of = zip(
            self.base.runs_of(chosen).tolist(),
            self.base.row[chosen].tolist(),
            self.base.steps_of(chosen).tolist(),
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
        self.kept: Kept[Base | Series, RowSet] = Kept(KEPT_BYTES, KEPT_SETS)
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
        return self.kept.set(mark) or self._made(mark, request, moment)

    def get(self, mark: str) -> RowSet:
        """Return a set by its id, made again where it is no longer kept."""
        found = self.kept.set(mark)
        if found is not None:
            return found
        with self._lock:
            request = self._requests.get(mark)
        if request is None:
            raise NotFound("this set of rows is not kept any more: load the page again")
        return self._made(mark, request, self._session.moment())

    def base(self, moment: Moment, table: str, runs: Sequence[str]) -> Base:
        """Return all rows of a table and some runs."""
        key = (moment.mark, "rows", table, tuple(runs))
        found = self.kept.column(key)
        if not isinstance(found, Base):
            relation = moment.relation(table)
            answer = self._session.ask(
                f"SELECT n.place, t._row, t._step FROM {relation} AS t JOIN {RUNS} AS n USING (run_id)",
                {"runs": list(runs)},
            )
            run, row, step = (answer[name].to_numpy() for name in ("place", "_row", "_step"))
            found = Base.of(run, row, step, len(runs))
            self.kept.put_column(key, found)
        return found

    # --- inside ---------------------------------------------------------------------------------

    def _made(self, mark: str, request: SetRequest, moment: Moment) -> RowSet:
        with self._making:  # one at a time: each takes memory, and two that are alike need one column
            made = self.kept.set(mark)
            if made is not None:  # somebody else asked for it meanwhile
                return made
            for run_id in request.runs:
                moment.run(run_id)
            base = self.base(moment, request.table, request.runs)
            values: Numbers | None = None
            steps: dict[str, int] = {}
            if request.sql:
                places, values, notes = self._queried(request, base)
            else:
                places, steps, notes = _at_step(base, request, moment)
            if request.by not in ("sql", "_row"):
                values = self._series(request, base, moment)
            order, numbers = _ordered(places, None if values is None else values[places], request)
            order = order.astype(np.int32)  # it is kept
            unbrushed = len(order)
            shown = _is_number(request, moment)
            histogram = _histogram(numbers, request.bins) if numbers is not None and shown else None
            if request.range is not None and numbers is not None:
                inside = (numbers >= request.range[0]) & (numbers <= request.range[1])
                order = order[inside]
            if not shown:
                values = None
            made = RowSet(mark, request, moment, base, order, values, unbrushed, histogram, tuple(notes[:NOTES]), steps)
            self.kept.put_set(mark, made)
            return made

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
        explaining = _explaining(answer, doubles, chosen)
        values = None
        if explaining is not None:
            values = np.full(len(base.row), np.nan)
            values[places[first]] = explaining
        return places[first], values, notes

    def _series(self, request: SetRequest, base: Base, moment: Moment) -> Numbers:
        """Return what rows are sorted by, as numbers, NaN where a row has none."""
        pair = (request.image, request.truth, request.prediction)
        key = (moment.mark, request.by, pair, request.table, tuple(request.runs))
        found = self.kept.column(key)
        if not isinstance(found, Series):
            query, params = self._series_query(request, moment)
            answer = self._session.ask(query, {"runs": list(request.runs), **params})
            run, row = answer["place"].to_numpy(), answer["_row"].to_numpy()
            values = answer["value"].to_numpy()
            found = Series(base.aligned(run, row, np.asarray(values, np.float64)))
            self.kept.put_column(key, found)
        return found.values

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
    """Return the rows of the step that is looked at: of each run its last, or the nearest that is not above; or all."""
    if request.every:
        return np.arange(len(base.row)), {}, []
    # places among the steps, from 1 on: 0 is none
    most = len(base.steps) if request.step is None else int(np.searchsorted(base.steps, request.step, side="right"))
    at = base.at.astype(np.int32) + 1
    chosen = np.zeros(len(request.runs), np.int32)
    filled = np.flatnonzero(np.diff(base.starts) > 0)
    if filled.size:
        chosen[filled] = np.maximum.reduceat(np.where(at <= most, at, 0), base.starts[filled])
    steps = {run: int(base.steps[of - 1]) for run, of in zip(request.runs, chosen.tolist(), strict=True) if of}
    notes = []
    for place in filled.tolist() if request.step is not None else ():
        run = request.runs[place]
        name = moment.run(run).name
        if run not in steps:
            notes.append(f"run {name} has no step up to {request.step}: none of its rows is shown")
        elif steps[run] != request.step:
            notes.append(f"run {name} has no step {request.step}: its step {steps[run]} is shown")
    return np.flatnonzero(at == base.spread(chosen)), steps, notes


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
