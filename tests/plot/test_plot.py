"""Charts: the tables that they store, against figures counted by hand, and what ``log()`` makes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maskl
from maskl import Table, plot
from maskl.errors import ConversionWarning, InvalidType, InvalidValue, NotFound
from tests.adapters.foreign import Tensor

pytestmark = pytest.mark.once

Start = Callable[..., maskl.Run]

#: of four rows, two of class 1; sorted by its score: 1 (0.9), 0 (0.6), 1 (0.4), 0 (0.1)
TRUE = [1, 0, 1, 0]
SCORE = [0.9, 0.6, 0.4, 0.1]
PROBAS = [[1 - score, score] for score in SCORE]


def rows(chart: plot.CustomChart) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in chart.table.data]


# --- confusion_matrix ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {"preds": [0, 1, 1, 0, 1]},
        {"probs": [[0.9, 0.1], [0.2, 0.8], [0.1, 0.9], [0.6, 0.4], [0, 1]]},
        {"preds": Tensor(np.array([0, 1, 1, 0, 1]), requires_grad=True)},
        {"preds": np.array([[0.0], [1], [1], [0], [1]])},
        {"preds": [False, True, True, False, True]},
    ],
)
def test_a_confusion_matrix_counts(arguments: dict[str, Any]) -> None:
    chart = plot.confusion_matrix(y_true=[0, 0, 1, 1, 1], class_names=["하늘", "road"], **arguments)
    assert chart.table.columns == ["Actual", "Predicted", "nPredictions"]
    assert rows(chart) == [("하늘", "하늘", 1), ("하늘", "road", 1), ("road", "하늘", 1), ("road", "road", 2)]


def test_classes_without_names_are_those_that_occur() -> None:
    chart = plot.confusion_matrix(y_true=["cat", "dog", "ant"], preds=["cat", "cat", "ant"])
    counts = {(actual, predicted): count for actual, predicted, count in rows(chart) if count}
    assert counts == {("Class_1", "Class_1"): 1, ("Class_2", "Class_2"): 1, ("Class_3", "Class_2"): 1}
    assert len(chart.table) == 9
    assert rows(plot.confusion_matrix(y_true=[5, 9], preds=[9, 9]))[1] == ("Class_1", "Class_2", 1)


def test_a_class_that_does_not_occur_has_its_zeros() -> None:
    chart = plot.confusion_matrix(y_true=[2], preds=[2], class_names=["a", "b", "c"])
    assert [count for _, _, count in rows(chart)] == [0] * 8 + [1]
    assert len(plot.confusion_matrix(y_true=[], preds=[], class_names=["a"]).table) == 1
    assert len(plot.confusion_matrix(y_true=[], preds=[]).table) == 0


def test_a_million_rows_of_a_matrix() -> None:
    ids = np.arange(1_000_000) % 7
    chart = plot.confusion_matrix(y_true=ids, preds=(ids + 1) % 7, class_names=list("abcdefg"))
    assert sum(count for *_, count in rows(chart)) == 1_000_000
    assert ("a", "b", 142858) in rows(chart)


def test_scores_that_are_nan_predict_nothing() -> None:
    with pytest.warns(ConversionWarning, match="probs: rows with scores that are NaN are left out"):
        chart = plot.confusion_matrix(probs=[[0.0, 1], [np.nan, 1]], y_true=[0, 1], class_names=["a", "b"])
    assert [count for *_, count in rows(chart)] == [0, 1, 0, 0]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"y_true": [0]}, InvalidValue, "got neither"),
        ({"y_true": [0], "preds": [0], "probs": [[1]]}, InvalidValue, "got both"),
        ({"preds": [0]}, InvalidType, "y_true is needed"),
        ({"y_true": [0, 1], "preds": [0]}, InvalidValue, "each of 2 rows; got 1"),
        ({"y_true": [0, 1], "preds": [0, 2], "class_names": ["a", "b"]}, InvalidValue, "preds holds 2, .* from 0 to 1"),
        ({"y_true": [-1], "preds": [0], "class_names": ["a"]}, InvalidValue, "y_true holds -1"),
        ({"y_true": [0.5], "preds": [0], "class_names": ["a"]}, InvalidValue, "y_true holds 0.5"),
        ({"y_true": ["a"], "preds": [0], "class_names": ["a"]}, InvalidType, "must hold ids"),
        ({"y_true": ["a"], "preds": [0]}, InvalidType, "both be labels, or both be ids"),
        ({"y_true": [np.nan], "preds": [0]}, InvalidValue, "NaN, which is no class"),
        ({"y_true": [None], "preds": [0]}, InvalidType, "ids of classes or their labels"),
        ({"y_true": [[0, 1]], "preds": [0]}, InvalidValue, "one dimension"),
        ({"y_true": [0], "probs": [1.0]}, InvalidValue, r"got shape \(1,\)"),
        ({"y_true": [0], "probs": [["a"]]}, InvalidType, "must hold numbers"),
    ],
)
def test_what_is_no_confusion_matrix(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        plot.confusion_matrix(**arguments)


# --- roc_curve and pr_curve ---------------------------------------------------------------------


def test_a_roc_curve() -> None:
    """Class 1: the thresholds 0.9, 0.6, 0.4 and 0.1 take (tp, fp) of (1, 0), (1, 1), (2, 1) and (2, 2)."""
    chart = plot.roc_curve(TRUE, PROBAS, classes_to_plot=[1])
    assert chart.table.columns == ["class", "fpr", "tpr"]
    assert rows(chart) == [(1, 0, 0), (1, 0, 0.5), (1, 0.5, 0.5), (1, 0.5, 1), (1, 1, 1)]
    # class 0 has the scores 0.1, 0.4, 0.6, 0.9, and the rows of the other one are positive
    both = rows(plot.roc_curve(TRUE, Tensor(np.array(PROBAS), is_cuda=True), labels=["off", "켬"]))
    assert both[:5] == [("off", *point) for point in ((0, 0), (0, 0.5), (0.5, 0.5), (0.5, 1), (1, 1))]
    assert [name for name, *_ in both[5:]] == ["켬"] * 5


def test_equal_scores_are_one_threshold_and_points_on_a_line_are_left_out() -> None:
    true = [1, 1, 0, 1, 0, 0]
    score = np.array([0.9, 0.8, 0.5, 0.5, 0.2, 0.1])  # (tp, fp): (1, 0), (2, 0), (3, 1), (3, 2), (3, 3)
    found = rows(plot.roc_curve(true, np.stack([1 - score, score], 1), classes_to_plot=[1]))
    assert found == [(1, 0, 0), (1, 0, 1 / 3), (1, 0, 2 / 3), (1, 1 / 3, 1), (1, 1, 1)]


def test_a_pr_curve() -> None:
    """Class 1 has the precisions 1, 1/2, 2/3 and 1/2 at the recalls 1/2, 1/2, 1 and 1: the highest at 1 is 2/3."""
    chart = plot.pr_curve(TRUE, PROBAS, classes_to_plot=[1], interp_size=5)
    assert chart.table.columns == ["class", "precision", "recall"]
    assert rows(chart) == [(1, 2 / 3, 1), (1, 2 / 3, 0.75), (1, 1, 0.5), (1, 1, 0.25), (1, 1, 0)]
    assert len(plot.pr_curve(TRUE, PROBAS).table) == 42


def test_a_recall_is_met_where_a_sum_of_fractions_is_a_little_more() -> None:
    """Of ten positives the third is found at the recall 0.3, and the place is 0.30000000000000004."""
    true = [1] * 3 + [0] + [1] * 7
    score = np.linspace(1, 0.5, 11)
    found = rows(plot.pr_curve(true, np.stack([1 - score, score], 1), classes_to_plot=[1]))
    assert [precision for _, precision, recall in found if round(recall, 3) in (0.3, 0.35)] == [10 / 11, 1]


def test_columns_of_scores_belong_to_the_ids() -> None:
    """Class 1 of three never occurs; W&B would take its scores for those of class 2."""
    probas = [[0.8, 0.1, 0.1], [0.1, 0.0, 0.9]]
    found = rows(plot.roc_curve([0, 2], probas, labels=["a", "b", "c"]))
    assert found == [("a", 0, 0), ("a", 0, 1), ("a", 1, 1), ("c", 0, 0), ("c", 0, 1), ("c", 1, 1)]
    named = rows(plot.roc_curve(["x", "y"], [[0.9, 0.1], [0.2, 0.8]], classes_to_plot=["y"]))
    assert named == [("y", 0, 0), ("y", 0, 1), ("y", 1, 1)]


def test_one_class_alone_has_no_false_positive_rate() -> None:
    assert rows(plot.roc_curve([1], PROBAS[:1])) == [(1, None, 0), (1, None, 1)]
    assert rows(plot.pr_curve([1], PROBAS[:1], interp_size=2)) == [(1, 1, 1), (1, 1, 0)]
    assert rows(plot.roc_curve([1], PROBAS[:1], classes_to_plot=[0])) == []


@pytest.mark.parametrize("curve", [plot.roc_curve, plot.pr_curve])
def test_what_is_no_curve(curve: Any) -> None:
    with pytest.warns(ConversionWarning, match="NaN are left out"):
        assert rows(curve([*TRUE, 0], [*PROBAS, [np.nan, 1]])) == rows(curve(TRUE, PROBAS))
    for arguments, words in (
        ((TRUE, None), "y_probas is needed"),
        ((None, PROBAS), "y_true is needed"),
        ((TRUE, SCORE), "a row for each of 4 true classes"),
        ((TRUE, PROBAS[:3]), "a row for each of 4 true classes"),
        (([5, 7, 9, 5], PROBAS), "2 columns, and there are 3 classes: 5, 7, 9"),
        ((TRUE, PROBAS, ["a"]), "labels must name each class"),
    ):
        with pytest.raises((InvalidType, InvalidValue), match=words):
            curve(*arguments)


def test_interp_size_is_a_number_of_recalls() -> None:
    for size in (0, 2.5, True, None):
        with pytest.raises(InvalidValue, match="interp_size"):
            plot.pr_curve(TRUE, PROBAS, interp_size=size)  # type: ignore[arg-type]  # the wrong type is the test


# --- charts of tables ---------------------------------------------------------------------------


TABLE = Table(["step", "값", "name"], [[0, 1.5, "a"], [1, 2.5, "b"]])


@pytest.mark.parametrize(
    ("made", "spec", "fields"),
    [
        (plot.line(TABLE, "step", "값", title="T"), "wandb/line/v0", {"x": "step", "y": "값", "stroke": None}),
        (plot.line(TABLE, "step", "값", "name", "T"), "wandb/line/v0", {"x": "step", "y": "값", "stroke": "name"}),
        (plot.scatter(TABLE, "step", "값", "T"), "wandb/scatter/v0", {"x": "step", "y": "값"}),
        (plot.bar(TABLE, "name", "값", "T"), "wandb/bar/v0", {"label": "name", "value": "값"}),
        (plot.histogram(TABLE, "값", "T"), "wandb/histogram/v0", {"value": "값"}),
    ],
)
def test_a_chart_of_a_table_says_what_is_drawn(made: plot.CustomChart, spec: str, fields: dict[str, Any]) -> None:
    assert (made.spec_name, made.fields, made.string_fields) == (spec, fields, {"title": "T"})
    assert made.table is TABLE


def test_a_column_that_is_not_there_is_named() -> None:
    for make in (
        lambda: plot.line(TABLE, "x", "값"),
        lambda: plot.line(TABLE, "step", "값", "x"),
        lambda: plot.bar(TABLE, "name", "x"),
        lambda: plot.scatter(TABLE, "x", "x"),
        lambda: plot.histogram(TABLE, "x"),
    ):
        with pytest.raises(NotFound, match=r"'x' is no column of the table; it has: 'step', '값', 'name'"):
            make()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("s", [[1]], {}), "drawn of a Table; got list"),
        ((3, TABLE, {}), "vega_spec_name must be a string"),
        (("s", TABLE, ["x"]), "fields must be a dict"),
        (("s", TABLE, {}, {"title": 3}), "string_fields must be a dict of strings"),
        (("s", TABLE, {}, None, "yes"), "split_table must be True or False"),
    ],
)
def test_what_is_no_chart(arguments: tuple[Any, ...], words: str) -> None:
    with pytest.raises(InvalidType, match=words):
        maskl.plot_table(*arguments)


@pytest.mark.parametrize(
    "xs", [[0, 1], np.array([0, 1]), [[0, 1], (0, 1)], [np.array([0, 1]), range(2)], Tensor(np.array([0, 1]))]
)
def test_lines_of_one_or_of_their_own_places(xs: Any) -> None:
    chart = plot.line_series(xs, [[5, 6], np.array([7, 8])], keys=["a", "나"], title="T", xname="epoch")
    assert chart.table.columns == ["step", "lineKey", "lineVal"]
    assert rows(chart) == [(0, "a", 5), (1, "a", 6), (0, "나", 7), (1, "나", 8)]
    assert chart.string_fields == {"title": "T", "xname": "epoch"}


def test_lines_that_do_not_fit() -> None:
    assert rows(plot.line_series([1], [[2]])) == [(1, "line_0", 2)]
    with pytest.warns(ConversionWarning, match="line 'line_0' has not as many .* 2 places and 1 values"):
        assert rows(plot.line_series([1, 2], [[2]])) == [(1, "line_0", 2)]
    with pytest.raises(InvalidValue, match="2 lines in ys and 1 lists of places"):
        plot.line_series([[1]], [[2], [3]])
    with pytest.raises(InvalidValue, match="1 lines in ys and 2 names"):
        plot.line_series([1], [[2]], keys=["a", "b"])
    with pytest.raises(InvalidType, match="each line must be a sequence"):
        plot.line_series([1], [2])
    assert rows(plot.line_series([], [])) == []


# --- in a run -----------------------------------------------------------------------------------


def test_a_chart_is_logged_as_its_table(start: Start, store_dir: Path) -> None:
    with start(name="one") as run:
        for epoch in range(2):
            matrix = plot.confusion_matrix(y_true=[0, 1], preds=[0, epoch], class_names=["하늘", "road"], title="T")
            run.log({"cm": matrix, "val": {"curve": plot.line(TABLE, "step", "값", split_table=True)}, "loss": 1})
        assert run.summary["cm"]["table"] == "cm_table"
    store = maskl.open(store_dir)
    assert [table.name for table in store.tables()] == ["Custom Chart Tables/val/curve_table", "cm_table"]
    found = store.sql(
        "SELECT _step, Predicted, nPredictions FROM cm_table WHERE Actual = 'road' ORDER BY ALL"
    ).fetchall()
    assert found == [(0, "road", 0), (0, "하늘", 1), (1, "road", 1), (1, "하늘", 0)]
    assert store.run("one").values("cm")[1] == (
        1,
        {
            "chart": "wandb/confusion_matrix/v1",
            "table": "cm_table",
            "fields": {"Actual": "Actual", "Predicted": "Predicted", "nPredictions": "nPredictions"},
            "string_fields": {"title": "T"},
        },
    )
    assert not store.verify().faults


def test_a_table_is_named_once_in_a_call(start: Start) -> None:
    chart = plot.bar(TABLE, "name", "값")
    run = start()
    for data in ({"a": chart, "a_table": 1}, {"a_table": TABLE, "a": chart}):
        with pytest.raises(InvalidValue, match="'a_table' is logged twice in one call"):
            run.log(data)
    assert not run.summary.as_dict()
