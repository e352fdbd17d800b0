"""Sets of rows: which rows of which runs, in which order; kept as columns of numbers, and handed out in windows."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from maskl.viewer._base import Base, GatheredQuery, GatheredRows, GatheredValues, Numbers, Places, Series
from maskl.viewer._kept import Kept
from maskl.viewer._requests import SetRequest
from maskl.viewer._session import Moment, Session
from maskl.viewer._values import mark_of
from maskl_storage.errors import NotFound, QueryError
from maskl_storage.query.table_views import quote_name, quote_text

__all__ = ["RUNS", "RowSet", "Sets", "kind_of"]

#: bytes of columns and of sets that are kept, and how many sets
KEPT_BYTES: Final = 32 << 20
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

    def make(self, request: SetRequest) -> RowSet:
        """Return the set that answers a request."""
        moment = self._session.moment()
        mark = _mark(request, moment)
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
            query = f"SELECT n.place, t._row, t._step FROM {relation} AS t JOIN {RUNS} AS n USING (run_id)"
            found = self._session.gather(query, {"runs": list(runs)}, GatheredRows).base(len(runs))
            self.kept.put_column(key, found)
        return found

    # --- inside ---------------------------------------------------------------------------------

    def _made(self, mark: str, request: SetRequest, moment: Moment) -> RowSet:
        with self._session.alone:  # two that are alike need one column
            made = self.kept.set(mark) or self._brushed(mark, request, moment)
            if made is not None:  # somebody else asked for it meanwhile, or for all of it
                self.kept.put_set(mark, made)
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
            unbrushed, numbers = len(places), None if values is None else values[places]
            shown = _is_number(request, moment)
            histogram = _histogram(numbers, request.bins) if numbers is not None and shown else None
            if request.range is not None and numbers is not None:
                inside = (numbers >= request.range[0]) & (numbers <= request.range[1])
                places, numbers = places[inside], numbers[inside]
            order = _ordered(places, numbers, request).astype(np.int32, copy=False)  # it is kept
            if not shown:
                values = None
            made = RowSet(mark, request, moment, base, order, values, unbrushed, histogram, tuple(notes[:NOTES]), steps)
            self.kept.put_set(mark, made)
            return made

    def _brushed(self, mark: str, request: SetRequest, moment: Moment) -> RowSet | None:
        """Return a set of a range whose rows are all there in order, None where they are not."""
        whole = None if request.range is None else self.kept.set(_mark(replace(request, range=None), moment))
        if whole is None or request.range is None or whole.values is None:
            return None
        numbers = whole.values[whole.order]
        order = whole.order[(numbers >= request.range[0]) & (numbers <= request.range[1])]
        return replace(whole, mark=mark, request=request, order=order)

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
        numbers = [name for name, kind in described.items() if kind in ("DOUBLE", "FLOAT")][:4]
        named = [f"CAST({quote_name(name)} AS DOUBLE) AS n{at}" for at, name in enumerate(numbers)]
        here = f"CASE WHEN CAST(table_name AS VARCHAR) = {quote_text(request.table)} THEN 1 ELSE 0 END AS here"
        wanted = ", ".join(["CAST(run_id AS VARCHAR) AS run_id", here, "TRY_CAST(_row AS BIGINT) AS _row", *named])
        answer = self._session.gather_asked(
            f"SELECT {wanted} FROM (\n{body}\n)",
            lambda: GatheredQuery(base, request.runs, [f"n{at}" for at in range(len(numbers))]),
        )
        places, notes = answer.places(), []
        if answer.known < answer.came:
            notes.append(
                f"{answer.came - answer.known:,} rows of the query are of other tables or runs, and are not shown"
            )
        if len(places) < answer.known:
            notes.append(f"the query returned {answer.known - len(places):,} rows more than once")
        return places, answer.explaining(), notes

    def _series(self, request: SetRequest, base: Base, moment: Moment) -> Numbers:
        """Return what rows are sorted by, as numbers, NaN where a row has none."""
        pair = (request.image, request.truth, request.prediction)
        key = (moment.mark, request.by, pair, request.table, tuple(request.runs))
        found = self.kept.column(key)
        if not isinstance(found, Series):
            query, params = self._series_query(request, moment)
            params = {"runs": list(request.runs), **params}
            found = Series(self._session.gather(query, params, lambda: GatheredValues(base)).values)
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


def _at_step(base: Base, request: SetRequest, moment: Moment) -> tuple[Places, dict[str, int], list[str]]:
    """Return the rows of the step that is looked at: of each run its last, or the nearest that is not above; or all."""
    if request.every:
        return np.arange(len(base.row)), {}, []
    # places among the steps, from 1 on: 0 is none
    most = len(base.steps) if request.step is None else int(np.searchsorted(base.steps, request.step, side="right"))
    at = base.at.astype(np.min_scalar_type(len(base.steps))) + 1
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
    places = np.flatnonzero(at == base.spread(chosen.astype(at.dtype))).astype(np.int32)
    return places, steps, notes


def _mark(request: SetRequest, moment: Moment) -> str:
    """Return the id of a set."""
    return mark_of(moment.mark, json.dumps(request.to_json(), sort_keys=True))


def _ordered(places: Places, values: Numbers | None, request: SetRequest) -> Places:
    """Return rows in order; those that have no number come last."""
    if request.by in ("sql", "_row") or values is None:
        if request.by == "_row" and request.sql:
            places = np.sort(places)
        # a copy, since it is kept: what it views may be more
        return places[::-1].copy() if request.descending else places
    return places[np.argsort(-values if request.descending else values, kind="stable")]


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
