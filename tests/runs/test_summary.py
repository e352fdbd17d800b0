"""``run.summary`` and ``define_metric``: what is computed, and that it is in the store."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maskl
from maskl import Image, Summary, Table
from maskl.errors import ConversionWarning, InvalidType, InvalidValue, ServerOnlyWarning, StateError

Start = Callable[..., maskl.Run]


@pytest.fixture
def stored(store_dir: Path) -> Callable[[], dict[str, Any]]:
    """Return the summary that SQL sees, which is also the one of ``maskl.open().run()``."""

    def stored() -> dict[str, Any]:
        store = maskl.open(store_dir)
        ((run_id, text),) = store.sql("SELECT run_id, summary FROM runs").fetchall()
        assert json.loads(text) == store.run(run_id).summary
        found: dict[str, Any] = json.loads(text)
        return found

    return stored


def test_by_default_it_holds_the_last_value_of_everything(start: Start, stored: Callable[[], Any]) -> None:
    run = start()
    for value in (3, 1, 2):
        run.log({"loss": value, "val": {"iou": value / 4, "note": f"가{value}"}, "ok": True, "none": None})
    expected = {"loss": 2, "val": {"iou": 0.5, "note": "가2"}, "ok": True}
    assert run.summary.as_dict() == expected
    assert stored() == expected
    run.finish()
    assert stored() == expected
    assert (run.summary["val"]["iou"], run.summary.val.note, maskl.run) == (0.5, "가2", None)


def test_a_value_for_an_earlier_step_is_not_the_last_one(start: Start, stored: Callable[[], Any]) -> None:
    run = start()
    run.define_metric("low", summary="min,last")
    run.log({"loss": 1, "low": 1}, step=9)
    run.log({"loss": 2, "low": 0}, step=4)
    assert stored() == {"loss": 1, "low": {"min": 0, "last": 1}}


def test_it_may_be_set_and_what_is_logged_comes_over_it(start: Start, stored: Callable[[], Any]) -> None:
    run = start()
    run.summary["best"] = np.float32(0.5)
    run.summary.model = {"depth": 2}
    run.summary["model"]["width"] = (3, 4)
    run.summary.update({"a": 1, "b": 1}, c=1)
    del run.summary["b"]
    del run.summary.c
    assert stored() == {"best": 0.5, "model": {"depth": 2, "width": [3, 4]}, "a": 1}
    run.log({"best": 7})
    assert stored()["best"] == 7
    assert maskl.summary is run.summary
    assert (run.summary.get("nothing"), "a" in run.summary, len(run.summary["model"])) == (None, True, 2)
    with pytest.raises(AttributeError, match="the summary has no 'nothing'"):
        _ = run.summary.nothing
    with pytest.raises(KeyError):
        del run.summary["nothing"]


def test_it_is_stored_without_anything_else_to_store(start: Start, stored: Callable[[], Any]) -> None:
    run = start()
    run.summary.a = 1
    assert stored() == {"a": 1}
    run.summary.a = 2
    run.finish()
    assert stored() == {"a": 2}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"good": 1, "bad": {(1, 2): 3}}, "summary item 'bad': a key must be a string or a number"),
        ({"good": 1, 3: 2}, "a summary's keys must be strings; got 3"),
    ],
    ids=["key inside", "key"],
)
def test_what_json_cannot_hold_changes_nothing(
    start: Start, stored: Callable[[], Any], values: dict[Any, Any], words: str
) -> None:
    run = start()
    with pytest.raises(InvalidType, match=words):
        run.summary.update(values)
    assert stored() == {} == run.summary.as_dict()


@pytest.mark.parametrize("value", [Image(np.zeros((2, 2), np.uint8)), Table()], ids=["image", "table"])
def test_what_is_logged_instead_is_kept_as_its_text(start: Start, stored: Callable[[], Any], value: Any) -> None:
    run = start()
    with pytest.warns(ConversionWarning, match=rf"summary item 'x' is a .* a {type(value).__name__} is logged with"):
        run.summary.update({"good": 1, "x": {"deep": value}})
    assert stored() == {"good": 1, "x": {"deep": str(value)}}


def test_nothing_changes_after_the_end(start: Start, stored: Callable[[], Any]) -> None:
    run = start()
    run.log({"a": 1})
    run.finish()
    with pytest.raises(StateError, match="is finished"):
        run.summary.a = 2
    with pytest.raises(StateError, match="is finished"):
        run.define_metric("a", summary="max")
    assert stored() == {"a": 1} == run.summary.as_dict()


def test_nan_and_infinity(start: Start, stored: Callable[[], Any]) -> None:
    run = start()
    run.define_metric("m", summary="min,max,mean,last")
    run.define_metric("only", summary="min,mean")
    for value in (1.0, math.nan, 3.0, math.nan):
        run.log({"m": value, "last": value, "up": math.inf, "only": math.nan})
    assert stored() == {
        "m": {"min": 1, "max": 3, "mean": 2, "last": None},
        "last": None,
        "up": math.inf,
        "only": {"min": None, "mean": None},
    }
    assert math.isnan(run.summary.last)


# --- define_metric ------------------------------------------------------------------------------

OPERATIONS = {
    "min": {"min": -1},
    "max": {"max": 4},
    "mean": {"mean": 1.25},
    "last": {"last": 0},
    "first": {"first": 2},
    "min,max,mean,last": {"min": -1, "max": 4, "mean": 1.25, "last": 0},
    "MIN, max": {"min": -1, "max": 4},
    "copy": 0,
    "copy,max": {"max": 4},
    "none": None,
    None: 0,
}


@pytest.mark.once
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("summary", OPERATIONS)
def test_operations(start: Start, stored: Callable[[], Any], summary: str | None, when: str) -> None:
    run = start()
    if when == "before":
        run.define_metric("iou", summary=summary)
    for value in (2, -1, 4, 0):
        run.log({"iou": value})
    if when == "after":
        run.define_metric("iou", summary=summary)
    assert stored() == ({} if summary == "none" else {"iou": OPERATIONS[summary]})


@pytest.mark.parametrize(("goal", "best"), [("minimize", 1), ("maximize", 3)])
def test_best_follows_the_goal(start: Start, stored: Callable[[], Any], goal: str, best: int) -> None:
    run = start()
    run.define_metric("iou", summary="best", goal=goal)
    for value in (2, 1, 3, 2):
        maskl.log({"iou": value})
    assert stored() == {"iou": {"best": best}}


def test_strings_have_no_minimum(start: Start, stored: Callable[[], Any]) -> None:
    run = start()
    run.define_metric("a", summary="min,last")
    run.log({"a": "text"})
    run.log({"a": True})
    assert stored() == {"a": {"min": None, "last": True}}


def test_a_star_stands_for_any_rest_and_an_own_definition_goes_before_it(
    start: Start, stored: Callable[[], Any]
) -> None:
    run = start()
    run.define_metric("*", summary="last")
    run.define_metric("val/*", summary="max")
    run.define_metric("val/loss", summary="min")
    run.define_metric("deep.er", summary="max")
    for value in (1, 3, 2):
        run.log({"val/loss": value, "val/iou": value, "other": value, "deep": {"er": value}})
    assert stored() == {
        "val/loss": {"min": 1},
        "val/iou": {"max": 3},
        "other": {"last": 2},
        "deep": {"er": {"max": 3}},
    }


def test_a_second_definition_joins_the_first_or_overwrites_it(start: Start) -> None:
    run = start()
    first = maskl.define_metric("a", step_metric="epoch", summary="min")
    assert (first.name, first.step_metric, first.step_sync, first.summary) == ("a", "epoch", True, ("min",))
    assert run.define_metric("a", summary="max") == maskl.Metric("a", "epoch", True, None, ("max",))
    assert run.define_metric("a", summary="mean", overwrite=True) == maskl.Metric("a", summary=("mean",))


def test_the_last_value_of_the_step_metric_is_logged_along(start: Start, store_dir: Path) -> None:
    run = start()
    run.define_metric("epoch")
    run.define_metric("val/*", step_metric="epoch")
    run.log({"val/a": 0})  # no epoch so far
    run.log({"epoch": 1}, commit=False)
    run.log({"val/a": 1})  # its step has it
    run.log({"val/a": 2, "other": 5})
    run.log({"val/a": 3, "epoch": 4})
    run.log({"other": 6})
    rows = maskl.open(store_dir).sql("SELECT _step, key, value FROM history ORDER BY _row").fetchall()
    assert rows == [
        (0, "val/a", 0),
        *[(1, "epoch", 1), (1, "val/a", 1)],
        *[(2, "val/a", 2), (2, "other", 5), (2, "epoch", 1)],
        *[(3, "val/a", 3), (3, "epoch", 4)],
        (4, "other", 6),
    ]


@pytest.mark.parametrize("arguments", [{"hidden": True}, {"step_metric": "b", "step_sync": False}], ids=str)
def test_what_only_charts_would_heed_warns(start: Start, arguments: dict[str, Any]) -> None:
    run = start()
    with pytest.warns(ServerOnlyWarning, match=r"metric 'a'.*there are no charts") as caught:
        run.define_metric("a", **arguments)
    assert len(caught) == 1


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"name": ""}, InvalidValue, "needs a name"),
        ({"name": 3}, InvalidType, "name must be a str; got 3"),
        ({"name": "a*b"}, InvalidValue, r"one \* and that at its end"),
        ({"name": "a", "summary": "median"}, InvalidValue, "summary may be min, max, .*; got 'median'"),
        ({"name": "a", "summary": ["min"]}, InvalidType, "summary must be a str"),
        ({"name": "a", "hidden": 1}, InvalidType, "hidden must be a bool; got 1"),
        ({"name": "a", "goal": "up"}, InvalidValue, "goal must be one of minimize, maximize; got 'up'"),
        ({"name": "a", "summary": "best"}, InvalidValue, "summary='best' needs goal="),
    ],
    ids=str,
)
def test_wrong_definitions(start: Start, arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    run = start()
    with pytest.raises(error, match=words):
        run.define_metric(**arguments)


def test_a_run_that_goes_on_counts_what_it_logged_before(start: Start, stored: Callable[[], Any]) -> None:
    with start(id="r") as run:
        for value in (5, 1):
            run.log({"loss": value, "val": {"iou": value}, "x": "y"})
        run.summary.own = 1
    run = start(id="r")
    run.log({"loss": 3, "val": {"iou": 3}})
    run.define_metric("loss", summary="min,max,mean,first")
    run.define_metric("val/iou", summary="max")
    run.log({"loss": 7})
    run.finish()
    assert stored() == {
        "own": 1,
        "x": "y",
        "val": {"iou": {"max": 5}},
        "loss": {"min": 1, "max": 7, "mean": 4, "first": 5},
    }


def test_an_earlier_step_of_a_run_that_goes_on_is_not_the_last_value(start: Start, stored: Callable[[], Any]) -> None:
    with start(id="r") as run:
        run.log({"loss": 5}, step=8)
    with start(id="r") as run:
        run.log({"loss": 1}, step=2)
    assert stored() == {"loss": 5}


def test_it_may_be_read_while_another_thread_logs() -> None:
    summary = Summary()

    def write(thread: int) -> None:
        for number in range(400):
            summary.put(("a", f"b{thread}", f"{number}"), number)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write, 0)
        while not writing.done():
            assert len(summary.as_dict()) <= 1
        writing.result()
    assert summary.as_dict() == {"a": {"b0": {str(number): number for number in range(400)}}}


def test_a_copy_can_be_made(start: Start) -> None:
    import copy

    summary = Summary({"a": {"b": 1}})
    assert copy.copy(summary).as_dict() == {"a": {"b": 1}}
    assert repr(summary.a) == "{'b': 1}"


@pytest.mark.parametrize(
    ("name", "logged", "fits"),
    [
        ("a.b", {"a.b": 1}, True),
        ("a.b", {"a": {"b": 1}}, True),
        ("a/b", {"a": {"b": 1}}, True),
        (r"a\.b", {"a.b": 1}, True),
        (r"a\.b", {"a": {"b": 1}}, False),
        (r"a\.b", {"a/b": 1}, False),
        (r"a\.b.c", {"a.b": {"c": 1}}, True),
        (r"a\.b.c", {"a": {"b.c": 1}}, False),
        ("a/b.c", {"a/b": {"c": 1}}, True),
        (r"모델\.val.*", {"모델.val": {"손실": 1}}, True),
        (r"a\.*", {"a.b": 1}, True),
        ("a.*", {"a": {"b": 1}}, True),
        ("a.*", {"ab": 1}, False),
        (r"a\b", {r"a\b": 1}, True),
    ],
    ids=str,
)
def test_a_dot_in_a_metrics_name_leads_inside_and_after_a_backslash_is_one(
    start: Start, name: str, logged: dict[str, Any], fits: bool
) -> None:
    run = start()
    run.define_metric(name, summary="max")
    run.log(logged)
    found: Any = run.summary.as_dict()
    while isinstance(found, dict) and "max" not in found:
        (found,) = found.values()
    assert found == ({"max": 1} if fits else 1)
