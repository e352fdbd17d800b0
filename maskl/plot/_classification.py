"""Charts of classifiers: which class is taken for which, and how well scores tell classes apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from maskl.adapters.objects import as_array
from maskl.plot.charts import CustomChart, plot_table
from maskl.tables.table import Table
from maskl_storage.errors import ConversionWarning, InvalidType, InvalidValue, warn

__all__ = ["confusion_matrix", "pr_curve", "roc_curve"]

#: W&B's name of the chart of curves, with a line for each class
CURVES: Final = "wandb/area-under-curve/v0"
#: what a recall may lie below a place for which it counts: sums of decimal fractions do not meet it exactly
NEAR: Final = 1e-9

Floats = npt.NDArray[np.float64]


def confusion_matrix(
    probs: Any = None,
    y_true: Any = None,
    preds: Any = None,
    class_names: Sequence[str] | None = None,
    title: str = "Confusion Matrix Curve",
    split_table: bool = False,
) -> CustomChart:
    """Return the counts of how often each class was taken for each.

    Parameters
    ----------
    probs : array of shape (N, K), optional
        The scores of each class; the class with the highest is the prediction.
    y_true : sequence of N ids or labels
        The true classes.
    preds : sequence of N ids or labels, optional
        The predicted classes, instead of ``probs``.
    class_names : sequence of str, optional
        The names of classes 0, 1, and so on. Without it the classes are those that occur, in their order, and are
        called ``Class_1``, ``Class_2``, and so on.
    title : str, optional
        The chart's title.
    split_table : bool, optional
        Whether the table is stored as ``Custom Chart Tables/<key>_table``.

    Returns
    -------
    CustomChart
        Logged under ``key``, it stores the table ``<key>_table`` with the columns ``Actual``, ``Predicted`` and
        ``nPredictions``: a row for each pair of classes, zeros included.

    Raises
    ------
    InvalidType, InvalidValue
        Neither or both of ``probs`` and ``preds``, other numbers of predictions than of true classes, or an id that
        has no name.

    Warns
    -----
    ConversionWarning
        Scores that are NaN predict nothing: their rows are left out.

    Examples
    --------
    >>> chart = confusion_matrix(y_true=[0, 0, 1], preds=[0, 1, 1], class_names=["road", "car"])
    >>> chart.table.data
    [['road', 'road', 1], ['road', 'car', 1], ['car', 'road', 0], ['car', 'car', 1]]
    """
    if (probs is None) == (preds is None):
        given = "neither" if probs is None else "both"
        raise InvalidValue(f"a confusion matrix needs the scores probs or the predictions preds; got {given}")
    truth = _labels(y_true, "y_true")
    if probs is not None:
        scores, truth = _scored(probs, truth, "probs")
        predicted: npt.NDArray[Any] = scores.argmax(axis=1) if scores.size else np.zeros(0, np.int64)
    else:
        predicted = _labels(preds, "preds")
        if predicted.size != truth.size:
            raise InvalidValue(f"there must be a prediction for each of {truth.size} rows; got {predicted.size}")
    if class_names is None:
        classes, places = np.unique(_together(truth, predicted), return_inverse=True)
        names = [f"Class_{index + 1}" for index in range(classes.size)]
    else:
        names = [str(name) for name in as_array(list(class_names)).tolist()]
        places = np.concatenate(
            [_ids(values, names, what) for values, what in ((truth, "y_true"), (predicted, "preds"))]
        )
    count = len(names)
    rows, columns = places[: truth.size].astype(np.int64), places[truth.size :].astype(np.int64)
    counts = np.bincount(rows * count + columns, minlength=count * count)
    classes_of = pa.array(names, pa.string())
    table = pa.table(
        {
            "Actual": classes_of.take(pa.array(np.repeat(np.arange(count), count))),
            "Predicted": classes_of.take(pa.array(np.tile(np.arange(count), count))),
            "nPredictions": pa.array(counts, pa.int64()),
        }
    )
    fields = {name: name for name in table.column_names}
    return plot_table("wandb/confusion_matrix/v1", Table(dataframe=table), fields, {"title": title}, split_table)


def roc_curve(
    y_true: Any,
    y_probas: Any = None,
    labels: Sequence[str] | None = None,
    classes_to_plot: Sequence[Any] | None = None,
    title: str = "ROC Curve",
    split_table: bool = False,
) -> CustomChart:
    """Return the ROC curve of each class against all others.

    For each threshold on the class's scores, from high to low: the false positive rate FP / (FP + TN) and the true
    positive rate TP / (TP + FN). Points between two others on one line are left out (Fawcett 2006).

    Parameters
    ----------
    y_true : sequence of N ids or labels
        The true classes.
    y_probas : array of shape (N, K)
        The scores of each class. Where the true classes are whole numbers below K they say which column is whose;
        else the columns are those of the classes that occur, in their order.
    labels : sequence of str, optional
        The names of classes 0, 1, and so on, where the true classes are whole numbers.
    classes_to_plot : sequence, optional
        Of which classes; by default of all that occur.
    title : str, optional
        The chart's title.
    split_table : bool, optional
        Whether the table is stored as ``Custom Chart Tables/<key>_table``.

    Returns
    -------
    CustomChart
        Logged under ``key``, it stores the table ``<key>_table`` with the columns ``class``, ``fpr`` and ``tpr``. Where
        there is no other class, ``fpr`` is missing.

    Raises
    ------
    InvalidType, InvalidValue
        Scores of another shape, or columns that no class has.

    Warns
    -----
    ConversionWarning
        Rows with scores that are NaN are left out.

    Examples
    --------
    >>> roc_curve([0, 1, 1], [[0.75, 0.25], [0.5, 0.5], [0.25, 0.75]], classes_to_plot=[1]).table.data
    [[1, 0.0, 0.0], [1, 0.0, 0.5], [1, 0.0, 1.0], [1, 1.0, 1.0]]
    """
    found = []
    for label, true, false in _counts(y_true, y_probas, labels, classes_to_plot):
        keep = np.ones(true.size, np.bool_)
        keep[1:-1] = (np.diff(false, 2) != 0) | (np.diff(true, 2) != 0)
        rates = [_share(np.concatenate([[0], counts[keep]])) for counts in (false, true)]
        found.append((label, *rates))
    texts = {"title": title, "x-axis-title": "False positive rate", "y-axis-title": "True positive rate"}
    return plot_table(
        CURVES, _curves(found, "fpr", "tpr"), {"x": "fpr", "y": "tpr", "class": "class"}, texts, split_table
    )


def pr_curve(
    y_true: Any = None,
    y_probas: Any = None,
    labels: Sequence[str] | None = None,
    classes_to_plot: Sequence[Any] | None = None,
    interp_size: int = 21,
    title: str = "Precision-Recall Curve",
    split_table: bool = False,
) -> CustomChart:
    """Return the precision of each class against all others, at recalls of equal distance.

    For a recall it is the highest precision TP / (TP + FP) of all thresholds on the class's scores whose recall
    TP / (TP + FN) is that or more (interpolated precision: Manning et al., *Introduction to Information Retrieval*,
    8.4); 1 for the recall 0.

    Parameters
    ----------
    y_true : sequence of N ids or labels
        The true classes.
    y_probas : array of shape (N, K)
        The scores of each class. Where the true classes are whole numbers below K they say which column is whose;
        else the columns are those of the classes that occur, in their order.
    labels : sequence of str, optional
        The names of classes 0, 1, and so on, where the true classes are whole numbers.
    classes_to_plot : sequence, optional
        Of which classes; by default of all that occur.
    interp_size : int, optional
        How many recalls, from 1 to 0.
    title : str, optional
        The chart's title.
    split_table : bool, optional
        Whether the table is stored as ``Custom Chart Tables/<key>_table``.

    Returns
    -------
    CustomChart
        Logged under ``key``, it stores the table ``<key>_table`` with the columns ``class``, ``precision`` and
        ``recall``.

    Raises
    ------
    InvalidType, InvalidValue
        Scores of another shape, or columns that no class has.

    Warns
    -----
    ConversionWarning
        Rows with scores that are NaN are left out.

    Examples
    --------
    >>> scores = [[0.75, 0.25], [0.25, 0.75], [0.5, 0.5]]
    >>> pr_curve([0, 0, 1], scores, classes_to_plot=[1], interp_size=3).table.data
    [[1, 0.5, 1.0], [1, 0.5, 0.5], [1, 1.0, 0.0]]
    """
    if isinstance(interp_size, bool) or not isinstance(interp_size, int | np.integer) or interp_size < 1:
        raise InvalidValue(f"interp_size must be a whole number of 1 or more; got {interp_size!r:.60}")
    places = np.linspace(0, 1, int(interp_size))[::-1]
    found = []
    for label, true, false in _counts(y_true, y_probas, labels, classes_to_plot):
        precision = np.concatenate([[1.0], true / (true + false)])
        recall = np.concatenate([[0.0], true / true[-1]])
        highest = np.maximum.accumulate(precision[::-1])[::-1]
        found.append((label, highest[np.searchsorted(recall, places - NEAR)], places))
    texts = {"title": title, "x-axis-title": "Recall", "y-axis-title": "Precision"}
    fields = {"x": "recall", "y": "precision", "class": "class"}
    return plot_table(CURVES, _curves(found, "precision", "recall"), fields, texts, split_table)


# --- inside -------------------------------------------------------------------------------------


def _counts(
    y_true: Any, y_probas: Any, labels: Sequence[str] | None, classes_to_plot: Sequence[Any] | None
) -> Iterator[tuple[Any, Floats, Floats]]:
    """Yield each class's name, and how many true and false positives there are at each of its distinct scores."""
    truth = _labels(y_true, "y_true")
    scores, truth = _scored(y_probas, truth, "y_probas")
    classes = np.unique(truth)
    columns = _columns(classes, scores.shape[1])
    wanted = classes if classes_to_plot is None else as_array(list(classes_to_plot))
    for value, column in zip(classes.tolist(), columns, strict=True):
        if not np.isin(value, wanted):
            continue
        order = np.argsort(-scores[:, column], kind="stable")
        ranked, positive = scores[order, column], truth[order] == value
        ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), ranked.size - 1)
        true = np.cumsum(positive, dtype=np.float64)[ends]
        yield _name(value, labels), true, ends + 1 - true


def _columns(classes: npt.NDArray[Any], count: int) -> list[int]:
    """Return the column of scores of each class."""
    if classes.dtype.kind in "biu" and (not classes.size or (classes[0] >= 0 and classes[-1] < count)):
        return [int(value) for value in classes]
    if classes.size != count:
        raise InvalidValue(
            f"y_probas has {count} columns, and there are {classes.size} classes: {', '.join(map(str, classes[:8]))}; "
            f"give each class a column, or call them 0 to {count - 1}"
        )
    return list(range(count))


def _name(value: Any, labels: Sequence[str] | None) -> Any:
    if labels is None or isinstance(value, str | float):
        return int(value) if isinstance(value, bool) else value
    if not 0 <= value < len(labels):
        raise InvalidValue(f"labels must name each class from 0 to {value}; got {len(labels)} names")
    return str(labels[int(value)])


def _scored(given: Any, truth: npt.NDArray[Any], what: str) -> tuple[Floats, npt.NDArray[Any]]:
    """Return the scores of each row, and its true class, of all rows whose scores are numbers."""
    if given is None:
        raise InvalidType(f"{what} is needed: an array of shape (rows, classes)")
    array = as_array(given)
    if array.dtype.kind not in "biuf":
        raise InvalidType(f"{what} must hold numbers; got {given!r:.60}")
    if array.ndim != 2 or array.shape[0] != truth.size or not array.shape[1]:
        raise InvalidValue(
            f"{what} must have a row for each of {truth.size} true classes, and a column for each class; got shape "
            f"{array.shape}"
        )
    scores = array.astype(np.float64)
    known = ~np.isnan(scores).any(axis=1)
    if not known.all():
        warn(f"{what}: rows with scores that are NaN are left out", ConversionWarning)
    return scores[known], truth[known]


def _labels(given: Any, what: str) -> npt.NDArray[Any]:
    """Return a class for each row: an integer, float, boolean or string."""
    if given is None:
        raise InvalidType(f"{what} is needed: a class for each row")
    array = as_array(list(given) if isinstance(given, range | set) else given)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise InvalidValue(f"{what} must have one dimension, a class for each row; got shape {array.shape}")
    if array.dtype.kind == "O" and all(isinstance(item, str) for item in array.tolist()):
        array = array.astype(str)
    if array.dtype.kind not in "biufU":
        raise InvalidType(f"{what} must hold ids of classes or their labels; got {given!r:.60}")
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise InvalidValue(f"{what} holds NaN, which is no class")
    return array


def _together(truth: npt.NDArray[Any], predicted: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if truth.size and predicted.size and (truth.dtype.kind == "U") != (predicted.dtype.kind == "U"):
        raise InvalidType("true and predicted classes must both be labels, or both be ids")
    return np.concatenate([truth, predicted])


def _ids(values: npt.NDArray[Any], names: Sequence[str], what: str) -> npt.NDArray[np.int64]:
    """Return ids that all have a name."""
    if values.size and values.dtype.kind == "U":
        raise InvalidType(f"{what} must hold ids where class_names are given: 0 to {len(names) - 1}")
    wrong = values[(values < 0) | (values >= len(names)) | (values != np.floor(values))] if values.size else values
    if wrong.size:
        raise InvalidValue(f"{what} holds {wrong[0]}, and class_names name the ids from 0 to {len(names) - 1}")
    return values.astype(np.int64)


def _share(counts: Floats) -> Floats:
    """Return counts as fractions of the last; NaN where that is 0."""
    return counts / counts[-1] if counts[-1] else np.full(counts.size, np.nan)


def _curves(found: Sequence[tuple[Any, Floats, Floats]], first: str, second: str) -> Table:
    """Return the points of all curves, those of a class together."""
    labels = [label for label, points, _ in found for _ in range(points.size)]
    columns = [np.concatenate([curve[at] for curve in found]) if found else np.zeros(0) for at in (1, 2)]
    return Table(
        dataframe=pa.table(
            {
                "class": pa.array(labels, None if labels else pa.string()),
                first: pa.array(columns[0], pa.float64(), from_pandas=True),
                second: pa.array(columns[1], pa.float64(), from_pandas=True),
            }
        )
    )
