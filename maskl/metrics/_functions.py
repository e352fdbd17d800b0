"""Each metric of masks as one function; :mod:`maskl.metrics` has their definitions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict, Unpack

from maskl.annotations.classes import Classes
from maskl.metrics._confusion import confusion_matrix
from maskl.metrics._pairs import Masks
from maskl.metrics.registry import Scores

__all__ = [
    "compute",
    "dice",
    "frequency_weighted_iou",
    "iou",
    "mean_accuracy",
    "mean_dice",
    "mean_iou",
    "pixel_accuracy",
    "precision",
    "recall",
]


class Options(TypedDict, total=False):
    """The keyword arguments of :func:`confusion_matrix`."""

    classes: Classes | Mapping[int, str] | None
    ignore_index: int | Iterable[int] | None


def compute(
    name: str,
    truth: Masks,
    prediction: Masks,
    *,
    classes: Classes | Mapping[int, str] | None = None,
    ignore_index: int | Iterable[int] | None = None,
    **options: Any,
) -> Any:
    """Return the metric of this name, one of those that :func:`registered` lists; see :func:`confusion_matrix`.

    ``options`` are those of the metric, such as ``exclude``.

    Examples
    --------
    >>> compute("mean_iou", [[0, 0, 1, 2]], [[0, 1, 1, 2]], exclude=["class_2"])
    0.5
    """
    return confusion_matrix(truth, prediction, classes=classes, ignore_index=ignore_index).compute(name, **options)


def iou(truth: Masks, prediction: Masks, **options: Unpack[Options]) -> Scores:
    """Return the intersection over union of each class, by name; see :func:`confusion_matrix`.

    Examples
    --------
    >>> iou([[0, 0, 1]], [[0, 1, 1]], classes={0: "sky", 1: "road", 2: "car"})
    {'sky': 0.5, 'road': 0.5, 'car': None}
    """
    return confusion_matrix(truth, prediction, **options).iou()


def dice(truth: Masks, prediction: Masks, **options: Unpack[Options]) -> Scores:
    """Return the Dice coefficient of each class, which is also its F1 score; see :func:`confusion_matrix`.

    Examples
    --------
    >>> dice([[0, 0, 1, 1]], [[0, 1, 1, 1]])
    {'class_0': 0.6666666666666666, 'class_1': 0.8}
    """
    return confusion_matrix(truth, prediction, **options).dice()


def precision(truth: Masks, prediction: Masks, **options: Unpack[Options]) -> Scores:
    """Return the share of each class's predicted pixels that are right; see :func:`confusion_matrix`.

    Examples
    --------
    >>> precision([[0, 0, 1]], [[0, 1, 1]])
    {'class_0': 1.0, 'class_1': 0.5}
    """
    return confusion_matrix(truth, prediction, **options).precision()


def recall(truth: Masks, prediction: Masks, **options: Unpack[Options]) -> Scores:
    """Return the share of each class's true pixels that were found; see :func:`confusion_matrix`.

    Examples
    --------
    >>> recall([[0, 0, 1]], [[0, 1, 1]])
    {'class_0': 0.5, 'class_1': 1.0}
    """
    return confusion_matrix(truth, prediction, **options).recall()


def mean_iou(
    truth: Masks, prediction: Masks, *, exclude: Iterable[str] = (), **options: Unpack[Options]
) -> float | None:
    """Return the mean of the classes' IoU; see :func:`confusion_matrix`.

    ``exclude`` names classes that are left out of the mean, while their pixels still count as errors
    of others: not the same as ignoring them.

    Examples
    --------
    >>> mean_iou([[0, 0, 1, 2]], [[0, 1, 1, 2]])
    0.6666666666666666
    >>> mean_iou([[0, 0, 1, 2]], [[0, 1, 1, 2]], exclude=["class_2"])
    0.5
    """
    return confusion_matrix(truth, prediction, **options).mean_iou(exclude)


def mean_dice(
    truth: Masks, prediction: Masks, *, exclude: Iterable[str] = (), **options: Unpack[Options]
) -> float | None:
    """Return the mean of the classes' Dice coefficients; see :func:`mean_iou`.

    Examples
    --------
    >>> mean_dice([[0, 1]], [[0, 1]])
    1.0
    """
    return confusion_matrix(truth, prediction, **options).mean_dice(exclude)


def mean_accuracy(
    truth: Masks, prediction: Masks, *, exclude: Iterable[str] = (), **options: Unpack[Options]
) -> float | None:
    """Return the mean of the classes' recall; see :func:`mean_iou`.

    Examples
    --------
    >>> mean_accuracy([[0, 0, 1]], [[0, 1, 1]])
    0.75
    """
    return confusion_matrix(truth, prediction, **options).mean_accuracy(exclude)


def frequency_weighted_iou(
    truth: Masks, prediction: Masks, *, exclude: Iterable[str] = (), **options: Unpack[Options]
) -> float | None:
    """Return the mean of the classes' IoU, weighted with their true pixels; see :func:`mean_iou`.

    Examples
    --------
    >>> frequency_weighted_iou([[0, 0, 0, 1]], [[0, 0, 0, 0]])
    0.5625
    """
    return confusion_matrix(truth, prediction, **options).frequency_weighted_iou(exclude)


def pixel_accuracy(truth: Masks, prediction: Masks, **options: Unpack[Options]) -> float | None:
    """Return the share of the pixels that count whose prediction is right; see :func:`confusion_matrix`.

    Examples
    --------
    >>> pixel_accuracy([[0, 0, 1, 255]], [[0, 1, 1, 1]], ignore_index=255)
    0.6666666666666666
    """
    return confusion_matrix(truth, prediction, **options).pixel_accuracy()
