"""Histograms, and charts of tables: what is kept of each."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from tests.conformance.scenario import Side, differs, same

ROWS = [[0, 0.5, "a"], [1, 0.75, "도로"]]


def table(side: Side) -> Any:
    return side.Table(columns=["step", "값", "name"], data=ROWS)


def counted(histogram: Any) -> object:
    return [histogram.histogram, histogram.bins]


def logged(side: Side, chart: Any, name: str = "chart_table") -> object:
    """Return the table that a chart is kept as."""
    kept = side.log({"chart": chart}).last(name)
    return [kept["columns"], kept["types"], kept["rows"]]


# --- histograms ---------------------------------------------------------------------------------


@same("Histogram", "Histogram(num_bins)", "Histogram.MAX_LENGTH")
def a_histogram_of_a_list(side: Side) -> object:
    return [
        counted(side.Histogram([1, 2, 2, 3], num_bins=4)),
        len(side.Histogram([1, 2]).bins),
        side.Histogram.MAX_LENGTH,
    ]


@same("Histogram")
def a_histogram_of_an_array(side: Side) -> object:
    return counted(side.Histogram(np.arange(24).reshape(2, 3, 4), num_bins=3))


@same("Histogram")
def a_histogram_that_is_counted(side: Side) -> object:
    return [
        counted(side.Histogram(np_histogram=np.histogram([1.0, 2.0, 2.5], bins=2))),
        counted(side.Histogram(np_histogram=([1, 2], [0.5, 1.5, 2.5]))),
    ]


@same("Histogram(num_bins)")
def histograms_that_are_none(side: Side) -> object:
    return [
        side.error(lambda: side.Histogram([1, 2], num_bins=513)),
        side.error(lambda: side.Histogram(np_histogram=([1, 2], [0, 1]))),
        side.error(lambda: side.Histogram(np_histogram=([1, 2], [0, 1, 2], 3))),
        side.refuses(lambda: side.Histogram()),
    ]


@differs("Histogram(sequence)", wandb="ValueError", maskl=[[1, 1], [1.0, 1.5, 2.0]])
def a_histogram_of_nan(side: Side) -> object:
    values = [1.0, float("nan"), 2.0, float("inf")]
    return side.error(lambda: side.Histogram(values, num_bins=2)) or counted(side.Histogram(values, num_bins=2))


@differs("Histogram(np_histogram)", wandb=None, maskl="ValueError")
def edges_that_do_not_ascend(side: Side) -> object:
    return side.error(lambda: side.Histogram(np_histogram=([1, 2], [2, 1, 0])))


@same("log(Histogram)", "Histogram")
def a_histogram_that_is_logged(side: Side) -> object:
    return side.log({"grads": side.Histogram([1, 2, 2, 3], num_bins=2), "loss": 0.5}).history


# --- charts -------------------------------------------------------------------------------------


ROWS_OF_TABLE = [f"plot.plot_table({name})" for name in ("vega_spec_name", "data_table", "fields", "string_fields")]


@same("plot", "plot.plot_table", "plot_table", *ROWS_OF_TABLE)
def a_chart_by_a_specification(side: Side) -> object:
    given = {"data_table": table(side), "fields": {"x": "step"}, "string_fields": {"title": "T"}}
    return [
        logged(side, side.plot.plot_table(vega_spec_name="wandb/line/v0", **given)),
        logged(side, side.plot_table("wandb/line/v0", table(side), {"x": "step"}, {"title": "T"})),
    ]


@same("plot.plot_table(split_table)")
def a_chart_with_its_table_apart(side: Side) -> object:
    chart = side.plot_table("wandb/line/v0", table(side), {"x": "step"}, split_table=True)
    return logged(side, chart, "Custom Chart Tables/chart_table")


@same("plot_table")
def a_chart_of_no_table(side: Side) -> object:
    return side.refuses(lambda: side.plot_table("wandb/line/v0", ROWS, {"x": "step"}))


ROWS_OF_BAR = (
    "plot.bar",
    "plot.bar(table)",
    "plot.bar(label)",
    "plot.bar(value)",
    "plot.bar(title)",
    "plot.bar(split_table)",
)


@same(*ROWS_OF_BAR)
def a_chart_of_bar(side: Side) -> object:
    return logged(side, side.plot.bar(table=table(side), label="name", value="값", title="T"))


@differs(*ROWS_OF_BAR, wandb=None, maskl="KeyError")
def a_chart_of_bar_without_its_column(side: Side) -> object:
    return side.error(lambda: side.plot.bar(table(side), label="none", value="값", split_table=True))


ROWS_OF_HISTOGRAM = (
    "plot.histogram",
    "plot.histogram(table)",
    "plot.histogram(value)",
    "plot.histogram(title)",
    "plot.histogram(split_table)",
)


@same(*ROWS_OF_HISTOGRAM)
def a_chart_of_histogram(side: Side) -> object:
    return logged(side, side.plot.histogram(table=table(side), value="값", title="T"))


@differs(*ROWS_OF_HISTOGRAM, wandb=None, maskl="KeyError")
def a_chart_of_histogram_without_its_column(side: Side) -> object:
    return side.error(lambda: side.plot.histogram(table(side), value="none", split_table=True))


ROWS_OF_LINE = (
    "plot.line",
    "plot.line(table)",
    "plot.line(x)",
    "plot.line(y)",
    "plot.line(stroke)",
    "plot.line(title)",
    "plot.line(split_table)",
)


@same(*ROWS_OF_LINE)
def a_chart_of_line(side: Side) -> object:
    return logged(side, side.plot.line(table=table(side), x="step", y="값", stroke="name", title="T"))


@differs(*ROWS_OF_LINE, wandb=None, maskl="KeyError")
def a_chart_of_line_without_its_column(side: Side) -> object:
    return side.error(lambda: side.plot.line(table(side), x="none", y="값", stroke="name", split_table=True))


ROWS_OF_SCATTER = (
    "plot.scatter",
    "plot.scatter(table)",
    "plot.scatter(x)",
    "plot.scatter(y)",
    "plot.scatter(title)",
    "plot.scatter(split_table)",
)


@same(*ROWS_OF_SCATTER)
def a_chart_of_scatter(side: Side) -> object:
    return logged(side, side.plot.scatter(table=table(side), x="step", y="값", title="T"))


@differs(*ROWS_OF_SCATTER, wandb=None, maskl="KeyError")
def a_chart_of_scatter_without_its_column(side: Side) -> object:
    return side.error(lambda: side.plot.scatter(table(side), x="none", y="값", split_table=True))


ROWS_OF_SERIES = tuple(
    f"plot.line_series{argument}" for argument in ("", "(xs)", "(ys)", "(keys)", "(title)", "(xname)", "(split_table)")
)


@same(*ROWS_OF_SERIES)
def lines_of_several_series(side: Side) -> object:
    one = side.plot.line_series([0, 1], [[5, 6], [7, 8]], keys=["a", "나"], title="T", xname="epoch")
    each = side.plot.line_series([[0, 1], [2, 3]], [[5, 6], [7, 8]])
    return [logged(side, one), logged(side, each)]


@same(*ROWS_OF_SERIES)
def series_that_do_not_go_together(side: Side) -> object:
    return [
        side.error(lambda: side.plot.line_series([[0, 1]], [[5, 6], [7, 8]])),
        side.error(lambda: side.plot.line_series([0, 1], [[5, 6]], keys=["a", "b"])),
    ]


@differs(*ROWS_OF_SERIES, wandb="IndexError", maskl=None)
def no_series(side: Side) -> object:
    return side.error(lambda: side.plot.line_series([], []))


ROWS_OF_MATRIX = tuple(
    f"plot.confusion_matrix{argument}"
    for argument in ("", "(probs)", "(y_true)", "(preds)", "(class_names)", "(title)", "(split_table)")
)


@same(*ROWS_OF_MATRIX)
def a_confusion_matrix(side: Side) -> object:
    named = side.plot.confusion_matrix(
        y_true=[0, 0, 1, 1, 1], preds=[0, 1, 1, 0, 1], class_names=["하늘", "road"], title="T"
    )
    scored = side.plot.confusion_matrix(probs=[[0.75, 0.25], [0.5, 0.5], [0.25, 0.75]], y_true=[0, 1, 1])
    return [logged(side, named), logged(side, scored)]


@same(*ROWS_OF_MATRIX)
def a_confusion_matrix_of_labels(side: Side) -> object:
    return logged(side, side.plot.confusion_matrix(y_true=["b", "a"], preds=["b", "c"]))


@same(*ROWS_OF_MATRIX)
def confusion_matrices_that_are_none(side: Side) -> object:
    matrix = side.plot.confusion_matrix
    return [
        side.error(lambda: matrix(probs=[[1.0]], y_true=[0], preds=[0])),
        side.error(lambda: matrix(y_true=[0, 1], preds=[0])),
        side.error(lambda: matrix(y_true=[0, 1, 2], preds=[0, 1, 1], class_names=["a", "b"])),
    ]


@differs(*ROWS_OF_MATRIX, wandb="KeyError", maskl="ValueError")
def a_confusion_matrix_of_an_id_without_a_name(side: Side) -> object:
    return side.error(lambda: side.plot.confusion_matrix(y_true=[0, 7], preds=[0, 0], class_names=["a", "b"]))


# --- tables of evaluations ----------------------------------------------------------------------

OF_TABLE = ("columns", "data", "rows", "dataframe", "dtype", "optional")
LISTS = ("input_columns", "output_columns", "score_columns")


@same("EvalTable", *(f"EvalTable({name})" for name in (*OF_TABLE, *LISTS)))
def a_table_of_an_evaluation(side: Side) -> object:
    make = partial(side.EvalTable, backend="ces")  # by default W&B needs another package
    listed = make(input_columns=["질문"], output_columns=["answer"], score_columns=["score"], data=[["a", "b", 0.5]])
    listed.add_data("c", "d", 1.0)
    named = make(columns=["q", "a"], rows=[["x", 1]], input_columns=["q"], dtype=[str, int], optional=False)
    framed = make(dataframe=named.get_dataframe(), score_columns=["a"])
    return [[list(made.columns), [list(row) for row in made.data]] for made in (listed, named, framed)]


@differs("EvalTable(allow_mixed_types)", wandb="Exception", maskl=None)
def mixed_types_of_an_evaluation(side: Side) -> object:
    return side.error(lambda: side.EvalTable(["a"], [[1], ["b"]], allow_mixed_types=True, backend="ces"))


@differs("EvalTable(log_mode)", wandb=["Exception", "Exception", "ValueError"], maskl=[None, None, "ValueError"])
def log_modes_of_evaluations(side: Side) -> object:
    make = side.EvalTable
    return [side.error(lambda mode=mode: make(["a"], log_mode=mode)) for mode in ("MUTABLE", "INCREMENTAL")] + [
        side.error(lambda: make(["a"], unsupported_media_mode="none"))
    ]


@differs("log(EvalTable)", wandb="Exception", maskl=None)
def an_evaluation_that_is_logged_without_a_server(side: Side) -> object:
    table = side.EvalTable(["q", "a"], [["x", 1]], input_columns=["q"], backend="ces")
    with side.init() as run:
        return side.error(lambda: run.log({"eval": table}))
