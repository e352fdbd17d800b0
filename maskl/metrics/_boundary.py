"""Boundary IoU: the overlap of the pixels along the edges of classes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from maskl.annotations.classes import Classes
from maskl.metrics._numbers import number_within
from maskl.metrics._pairs import Masks, parse_naming
from maskl.metrics._sides import NONE, SegmentsLike, pairs_of_sides
from maskl.metrics._sums import Sums, added, frozen, mean_of, ratio
from maskl.metrics.registry import Counts, Scores
from maskl_storage.errors import InvalidValue

__all__ = ["BoundaryCounts", "boundary_counts", "boundary_iou"]

#: how wide the boundary is, as a part of the image's diagonal
RATIO: Final = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class BoundaryCounts:
    """The pixels of the boundaries of each class; those of several images are added with ``+``, by name.

    Parameters
    ----------
    classes : tuple of str, length T
        The classes that are scored.
    intersection : ndarray of int64, shape (T,)
        Pixels that are in the boundary of the class in both masks.
    union : ndarray of int64, shape (T,)
        Pixels that are in the boundary of the class in either mask.
    """

    classes: tuple[str, ...]
    intersection: Counts
    union: Counts

    def iou(self) -> Scores:
        """Return the boundary IoU of each class, ``intersection / union``; None where neither mask has it."""
        return ratio(self.classes, self.intersection, self.union)

    def mean_iou(self, exclude: Iterable[str] = ()) -> float | None:
        """Return the mean boundary IoU of the classes, without those in ``exclude``."""
        return mean_of(self.iou(), exclude)

    def __add__(self, other: BoundaryCounts) -> BoundaryCounts:
        if not isinstance(other, BoundaryCounts):
            return NotImplemented
        mine, theirs = ((some.intersection, some.union) for some in (self, other))
        classes, (intersection, union) = added(self.classes, mine, other.classes, theirs)
        return BoundaryCounts(classes, intersection, union)


def boundary_counts(
    truth: Masks,
    prediction: Masks,
    *,
    dilation_ratio: float = RATIO,
    truth_segments: SegmentsLike = None,
    prediction_segments: SegmentsLike = None,
    classes: Classes | Mapping[int, str] | None = None,
    ignore_index: int | Iterable[int] | None = None,
) -> BoundaryCounts:
    """Count the pixels of the boundaries of each class, and those that two masks share.

    The boundary of a class are its pixels from which one of no or another class is at most d pixels away, across,
    down or diagonally, where ``d = max(1, round(dilation_ratio * diagonal))`` with the diagonal of the image in pixels.
    Beyond the image's edge there is no class. Pixels whose truth is ignored have no class in both masks.

    Parameters
    ----------
    truth, prediction : array_like, ImageMask or bytes, or iterables of these
        Masks of class ids, as in :func:`confusion_matrix`.
    dilation_ratio : float
        How wide the boundary is, as a part of the diagonal: 0.02 as for COCO and LVIS; 0.005 for Cityscapes.
    truth_segments, prediction_segments : dict or list, optional
        As in :func:`panoptic_quality`, where ids are segments; all of a class are one region. Ids that no segment
        names are classes.
    classes, ignore_index
        As in :func:`confusion_matrix`.

    Returns
    -------
    BoundaryCounts

    Raises
    ------
    InvalidType, InvalidValue
        As :func:`panoptic_quality`; a ratio that is not above 0 and finite.

    References
    ----------
    B. Cheng, R. Girshick, P. Dollár, A. C. Berg, A. Kirillov, *Boundary IoU: Improving Object-Centric Image
    Segmentation Evaluation*, CVPR 2021.

    Examples
    --------
    >>> truth = [[0, 0, 0, 0, 1, 1, 1, 1]] * 8
    >>> counts = boundary_counts(truth, [[0, 0, 0, 0, 0, 1, 1, 1]] * 8)
    >>> counts.union, counts.intersection
    (array([28, 26]), array([14, 12]))
    """
    share = number_within(dilation_ratio, "dilation_ratio", 0)
    if not share:
        raise InvalidValue("dilation_ratio must be above 0; got 0")
    sums = Sums(2)
    given = (truth_segments, prediction_segments)
    for pair in pairs_of_sides(truth, prediction, parse_naming(classes, ignore_index), given, "class"):
        width = len(pair.classes)
        a, b = pair.truth.label_map(width), pair.prediction.label_map(width)
        void = a == NONE
        b[void] = NONE
        reach = max(1, round(min(share * math.hypot(*a.shape), 1 << 30)))  # which reaches everywhere
        a[~near_edges(a, reach)] = NONE
        b[~near_edges(b, reach)] = NONE
        own, other, both = (_count(labels, width) for labels in (a, b, a[a == b]))
        sums.add(pair.classes, np.stack((both, own + other - both), axis=1))
    names, table = sums.table()
    intersection, union = (frozen(column, np.int64) for column in table.T)
    return BoundaryCounts(names, intersection, union)


def boundary_iou(truth: Masks, prediction: Masks, **options: Any) -> Scores:
    """Return the boundary IoU of each class by name; :func:`boundary_counts` has the definition and the options.

    Intersections and unions are summed over images, and then divided.

    Examples
    --------
    >>> boundary_iou([[0] * 9] * 9, [[0] * 9] * 9, classes={0: "sky", 1: "road"})
    {'sky': 1.0, 'road': None}
    """
    return boundary_counts(truth, prediction, **options).iou()


def near_edges(labels: npt.NDArray[Any], reach: int) -> npt.NDArray[np.bool_]:
    """Mark the pixels that a pixel of another label, or the image's edge, is within ``reach`` steps of a king.

    A square of pixels has one label where no two neighbours in it differ: none of a row, and none of the column in its
    middle. So it is looked for two neighbours that differ, in squares of all sizes at once.

    Examples
    --------
    >>> near_edges(np.array([[0] * 5] * 5), 2).astype(int).sum()
    np.int64(24)
    """
    height, width = labels.shape
    near = np.ones((height, width), np.bool_)
    if min(height, width) > 2 * reach:
        across = _any_of(_any_of(labels[:, 1:] != labels[:, :-1], 2 * reach, 1), 2 * reach + 1, 0)
        inner = slice(reach, width - reach)
        across |= _any_of(labels[1:, inner] != labels[:-1, inner], 2 * reach, 0)
        near[reach : height - reach, inner] = across
    return near


def _any_of(marks: npt.NDArray[np.bool_], length: int, axis: int) -> npt.NDArray[np.bool_]:
    """Mark the places from where on one of ``length`` marks along an axis is set, doubling what one step looks at."""
    marks = marks.T if axis else marks
    seen = 1
    while seen < length:
        step = min(seen, length - seen)
        marks = marks[:-step] | marks[step:]
        seen += step
    return marks.T if axis else marks


def _count(labels: npt.NDArray[Any], width: int) -> Counts:
    """Return how many pixels have each label from 0 on."""
    return np.bincount(labels.reshape(-1).astype(np.int64) + 1, minlength=width + 1)[1:]
