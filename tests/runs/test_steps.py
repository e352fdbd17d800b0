"""W&B's step rules, and the one that is better here: nothing is dropped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maskl
from maskl import Table
from maskl.errors import InvalidType

pytestmark = pytest.mark.once

Start = Callable[..., maskl.Run]


def logged_at(store_dir: Path) -> list[int]:
    rows = maskl.open(store_dir).sql("SELECT _step FROM history ORDER BY _row").fetchall()
    return [step for (step,) in rows]


@pytest.mark.parametrize(
    ("calls", "steps", "next_step"),
    [
        ([{"commit": False}, {}], [0, 0], 1),
        ([{"commit": False}, {"commit": False}], [0, 0], 0),
        ([{"commit": True}, {"commit": True}], [0, 1], 2),
        ([{"step": 5, "commit": True}, {}], [5, 5 + 1], 7),
        ([{"step": 5, "commit": False}, {}], [5, 5], 6),
        ([{"step": 5}, {"step": 2, "commit": True}, {}], [5, 2, 5], 6),
        ([{"step": 5}, {"step": 5, "commit": True}, {}], [5, 5, 6], 7),
        ([{"commit": False}, {"step": 1}, {}], [0, 1, 1], 2),
        ([{"step": np.int32(2)}, {}], [2, 2], 3),
    ],
    ids=str,
)
def test_where_a_call_goes(
    start: Start, store_dir: Path, calls: list[dict[str, Any]], steps: list[int], next_step: int
) -> None:
    run = start()
    for number, call in enumerate(calls):
        run.log({f"k{number}": number}, **call)
    assert run.step == next_step
    assert logged_at(store_dir) == steps


def test_an_empty_call_closes_the_open_step(start: Start, store_dir: Path) -> None:
    with start() as run:
        run.log({"a": 1}, commit=False)
        run.log({}, commit=True)
        run.log({"b": 2})
    assert logged_at(store_dir) == [0, 1]


def test_tables_of_a_lower_step_are_stored_there(start: Start, store_dir: Path) -> None:
    with start() as run:
        run.log({"t": Table(["a"], [[1]])}, step=7)
        run.log({"t": Table(["a"], [[2]])}, step=3)
        assert run.step == 7
    assert [(row.step, row["a"]) for row in maskl.open(store_dir).table("t")] == [(7, 1), (3, 2)]


def test_a_name_logged_twice_at_a_step_is_kept_twice_and_the_later_one_is_the_summary(
    start: Start, store_dir: Path
) -> None:
    with start() as run:
        run.log({"a": 1}, step=0)
        run.log({"a": 2}, step=0)
    store = maskl.open(store_dir)
    assert store.sql("SELECT value FROM history ORDER BY _row").fetchall() == [(1,), (2,)]
    assert store.runs()[0].summary == {"a": 2}


def test_a_step_may_be_what_counts_as_an_integer(start: Start, store_dir: Path) -> None:
    class Index:
        def __index__(self) -> int:
            return 9

    with start() as run:
        run.log({"a": 1}, step=Index())  # type: ignore[arg-type]
    assert logged_at(store_dir) == [9]


def test_commit_is_a_bool(start: Start) -> None:
    run = start()
    with pytest.raises(InvalidType, match="commit must be True, False or None; got 'yes'"):
        run.log({"a": 1}, commit="yes")  # type: ignore[arg-type]
    assert run.step == 0
