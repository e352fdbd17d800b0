"""What the server keeps of the sets that it made: each array once, and no more than it may."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import maskl.viewer._sets as sets_module
from maskl.viewer._base import GatheredQuery, GatheredRows, GatheredValues
from maskl.viewer._requests import parse_set
from maskl.viewer._session import Session, ViewedStore
from maskl.viewer._sets import Sets, _histogram, _ordered

pytestmark = pytest.mark.once
TABLE = "val/평가"


@pytest.fixture
def session(filled: Path) -> Session:
    return Session(ViewedStore(filled))


def asked(session: Session, **more: Any) -> Any:
    runs = [run.run_id for run in session.moment().runs if run.name != "odd"]
    body = {"table": TABLE, "runs": runs, "image": "image", "truth": "ground_truth", "prediction": "predictions"}
    return parse_set(body | more)


def test_sets_of_one_column_hold_it_once(session: Session) -> None:
    sets = Sets(session)
    first = sets.make(asked(session, sort={"by": "mean_iou"}))
    held = sets.kept.nbytes
    others = [
        sets.make(asked(session, sort={"by": "mean_iou", "descending": descending}, range=brushed))
        for descending in (False, True)
        for brushed in ([0, 1], [0.2, 0.9])
    ]
    for other in others:
        assert other.base is first.base
        assert other.values is first.values
    assert sets.kept.nbytes == held + sum(other.order.nbytes for other in others)


def test_old_sets_and_what_they_alone_held_are_dropped(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets_module, "KEPT_BYTES", 1)
    sets = Sets(session)
    request = asked(session, sort={"by": "mean_iou"})
    first = sets.make(request)
    mark, order = first.mark, first.order.tolist()
    gone: list[weakref.ref[Any]] = [weakref.ref(first), weakref.ref(first.values)]
    base = weakref.ref(first.base)
    del first
    last = sets.make(asked(session, sort={"by": "column:loss"}))
    gc.collect()
    assert [one() for one in gone] == [None, None]
    assert base() is last.base  # it is needed still, and is not read again
    # by its id it is made again as it was, and the other one goes
    assert sets.get(mark).order.tolist() == order
    assert sets.kept.set(last.mark) is None


def test_small_sets_are_as_many_as_may_be(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets_module, "KEPT_SETS", 2)
    sets = Sets(session)
    marks = [sets.make(asked(session, bins=bins)).mark for bins in (1, 2, 3)]
    assert [sets.kept.set(mark) is not None for mark in marks] == [False, True, True]


def test_the_steps_of_rows_take_a_byte_where_they_are_few() -> None:
    rng = np.random.default_rng(0)
    rows = rng.permutation(1000).astype(np.int64)
    steps = rng.choice(np.array([-(1 << 62), 0, 5, 1 << 62]), 1000)
    run = rng.integers(0, 3, 1000).astype(np.int32)
    gathered = GatheredRows()
    for part in np.array_split(np.arange(1000), 7):
        gathered.add(run[part], rows[part], steps[part])
    base = gathered.base(3)
    assert base.at.itemsize == 1
    order = np.lexsort((rows, run))
    places = np.arange(1000)
    assert base.steps_of(places).tolist() == steps[order].tolist()
    assert base.runs_of(places).tolist() == run[order].tolist()
    assert base.locate(run, rows).tolist() == np.argsort(order).tolist()
    assert base.locate(np.array([0, 2], np.int32), np.array([-1, 5000])).tolist() == [-1, -1]


def test_the_servers_own_queries_are_answered_beside_it(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = []
    stream = session.store.stream

    def noted(query: str, params: Any, take: Any, **more: Any) -> None:
        limits.append(more.get("memory_limit"))
        stream(query, params, take, **more)

    monkeypatch.setattr(session.store, "stream", noted)
    Sets(session).make(asked(session, sort={"by": "mean_iou"}))
    assert len(limits) == 2
    assert None not in limits


def pieces(rows: int, runs: int, size: int = 50_000) -> Any:
    """Return what a query of all rows answers, piece by piece: scattered runs, one row after the other."""
    rng = np.random.default_rng(0)
    for start in range(0, rows, size):
        row = np.arange(start, min(rows, start + size))
        made = {"place": (row * runs // rows).astype(np.int32), "_row": row, "_step": np.zeros(len(row), np.int64)}
        yield pa.table({**made, "value": rng.random(len(row))})


def peak_per_row(rows: int, call: Any) -> float:
    """Return the bytes a row that something takes at its peak, of what NumPy has."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1] / rows
    finally:
        tracemalloc.stop()


def test_what_a_row_of_a_set_takes_is_known() -> None:
    """A million rows may take a hundred and fifty bytes each at most, beside what the server takes without any."""
    rows, held = 400_000, []

    def make() -> None:
        gathered = GatheredRows()
        for piece in pieces(rows, 3):
            gathered.take(piece)
        held.append(gathered.base(3))
        values = GatheredValues(held[0])
        for piece in pieces(rows, 3):
            values.take(piece)
        request = parse_set({"table": "t", "runs": ["a", "b", "c"], "sort": {"by": "mean_iou", "descending": True}})
        held.append(_ordered(np.arange(rows, dtype=np.int32), values.values, request))
        held.append(_histogram(values.values, 40))

    assert peak_per_row(rows, make) < 60
    assert sum(array.nbytes for array in held[0].arrays()) < 10 * rows


def test_a_query_of_all_rows_is_never_held_whole() -> None:
    rows = 400_000
    gathered = GatheredRows()
    for piece in pieces(rows, 1):
        gathered.take(piece)
    base, found = gathered.base(1), []

    def make() -> None:
        query = GatheredQuery(base, ["a"], ["n0", "n1", "n2"])
        for piece in pieces(rows, 1):
            size, value = piece.num_rows, piece["value"]
            made = {
                "run_id": ["a"] * size,
                "here": [1] * size,
                "n0": value,
                "n1": piece["_row"].cast("double"),
            }
            query.take(pa.table({**made, "_row": piece["_row"], "n2": value}))
        found.append((query.places(), query.explaining()))

    assert peak_per_row(rows, make) < 60
    places, explaining = found[0]
    assert places.tolist() == list(range(rows))
    assert explaining.tolist() == list(range(rows))  # the one that its rows are in order of


def test_single_rows_are_found_without_an_index_of_all(session: Session) -> None:
    moment = session.moment()
    runs = [run.run_id for run in moment.runs if run.name != "odd"]
    tables = [moment.table(TABLE, run) for run in runs]
    for run, table in zip(runs, tables, strict=True):
        assert table.find(run, 3).row == 3
        assert table._source.index is None
        assert table._source.by_run is not None
        assert not table._source.by_run._known
        assert table._room is session.store._room
    assert moment.table(TABLE, runs[0]) is tables[0]
