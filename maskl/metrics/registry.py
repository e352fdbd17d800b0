"""Metrics by name: what each is a function of, and how one of your own is made known."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar, get_args

import numpy as np
import numpy.typing as npt

from maskl_storage.errors import InvalidType, InvalidValue

__all__ = ["ClassCounts", "Counts", "Metric", "Scores", "find", "register", "registered"]

Counts = npt.NDArray[np.int64]
#: a score for each class by name; None where it is 0 / 0
Scores = dict[str, float | None]
Per = Literal["class", "all"]
Needs = Literal["counts", "confusion"]
Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, eq=False)
class ClassCounts:
    """The pixels of each class that were predicted rightly and wrongly: what most metrics are a function of.

    Parameters
    ----------
    classes : tuple of str, length T
        The classes that metrics are over.
    tp, fp, fn : ndarray of int64, shape (T,)
        True positives, false positives and false negatives of each.
    """

    classes: tuple[str, ...]
    tp: Counts
    fp: Counts
    fn: Counts

    def ratio(self, part: Counts, whole: Counts) -> Scores:
        """Return ``part / whole`` of each class by name; 0 / 0 is None."""
        counts = zip(self.classes, part.tolist(), whole.tolist(), strict=True)
        return {name: some / total if total else None for name, some, total in counts}

    def mean(self, scores: Scores, exclude: Iterable[str] = (), weights: Counts | None = None) -> float | None:
        """Return the mean of scores that are not None, without the classes in ``exclude``; None where none is left.

        Raises
        ------
        InvalidType
            ``exclude`` is a string.
        """
        if isinstance(exclude, str):
            raise InvalidType(f"exclude must be a list of class names, such as [{exclude!r}]; got {exclude!r}")
        left_out = frozenset(exclude)
        every = np.ones(len(scores), np.int64) if weights is None else weights
        counted = [
            (weight, score)
            for (name, score), weight in zip(scores.items(), every.tolist(), strict=True)
            if score is not None and name not in left_out
        ]
        total = sum(weight for weight, _ in counted)
        return sum(weight * score for weight, score in counted) / total if total else None


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric that is known by name.

    Parameters
    ----------
    name : str
        What it is called.
    function : callable
        Takes what the metric needs, and perhaps keyword arguments such as ``exclude``.
    per : {'class', 'all'}
        What it returns: a dict with a score for each class, or one number for all of them; None is 0 / 0.
    needs : {'counts', 'confusion'}
        What it takes: :class:`ClassCounts`, which a store has at hand, or a :class:`ConfusionMatrix`.
    version : int
        Counted up where the same masks get another score than before.
    """

    name: str
    function: Callable[..., Any]
    per: Per
    needs: Needs
    version: int


_metrics: Final[dict[str, Metric]] = {}


def register(
    *, per: Per, needs: Needs = "counts", version: int = 1, name: str | None = None
) -> Callable[[Function], Function]:
    """Make a function a metric that :func:`compute`, a confusion matrix and a store know by name.

    Parameters
    ----------
    per : {'class', 'all'}
        Whether the function returns a dict with a score for each class, or one number.
    needs : {'counts', 'confusion'}
        Whether it takes :class:`ClassCounts` or a :class:`ConfusionMatrix`.
    version : int
        To be counted up where the same masks get another score than before.
    name : str, optional
        What it is called; by default the function's name.

    Raises
    ------
    InvalidValue
        Another function has the name, or an argument is none of those above.

    Examples
    --------
    >>> from maskl import metrics
    >>> @metrics.register(per="all", needs="confusion")
    ... def cohen_kappa(matrix):
    ...     total = matrix.pixels.sum()
    ...     chance = (matrix.pixels.sum(axis=1) * matrix.pixels.sum(axis=0)[: len(matrix.tp)]).sum() / total**2
    ...     return float((matrix.pixel_accuracy() - chance) / (1 - chance))
    >>> metrics.compute("cohen_kappa", [[0, 0, 1, 1]], [[0, 1, 1, 1]])
    0.5
    """
    for what, value, allowed in (("per", per, Per), ("needs", needs, Needs)):
        if value not in get_args(allowed):
            raise InvalidValue(f"{what} must be one of {', '.join(map(repr, get_args(allowed)))}; got {value!r:.60}")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise InvalidValue(f"version must be an integer from 1 on; got {version!r:.60}")

    def decorate(function: Function) -> Function:
        called = function.__name__ if name is None else name
        if not isinstance(called, str) or not called.isidentifier():
            raise InvalidValue(f"a metric's name must be a word, which may be a column's; got {called!r:.60}")
        other = _metrics.get(called)
        # one that is made once more, as in a notebook, takes the place of the first
        if other is not None and _home(other.function) != _home(function):
            raise InvalidValue(f"metric {called!r} is registered already, by {'.'.join(_home(other.function))}")
        _metrics[called] = Metric(called, function, per, needs, version)
        return function

    return decorate


def registered() -> dict[str, Metric]:
    """Return every metric by name.

    Examples
    --------
    >>> [name for name, metric in registered().items() if metric.per == "all"][:2]
    ['mean_iou', 'mean_dice']
    """
    return dict(_metrics)


def find(name: str) -> Metric:
    """Return the metric of this name.

    Raises
    ------
    InvalidValue
        There is none.
    """
    if name not in _metrics:
        raise InvalidValue(f"metric must be one of {', '.join(map(repr, _metrics))}; got {name!r:.60}")
    return _metrics[name]


def _home(function: Callable[..., Any]) -> tuple[str, str]:
    return str(getattr(function, "__module__", "")), str(getattr(function, "__qualname__", ""))
