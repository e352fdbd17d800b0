"""Segments that were found, missed and invented, at a threshold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maskl.annotations.classes import Classes
from maskl.metrics._numbers import number_within
from maskl.metrics._pairs import Masks, parse_naming
from maskl.metrics._panoptic import HALF, Overlaps, overlaps_of
from maskl.metrics._sides import SegmentsLike, pairs_of_sides
from maskl.metrics._sums import Sums, added, frozen
from maskl.metrics.formulas import ratios
from maskl.metrics.registry import ClassCounts, Counts, Scores
from maskl_storage.errors import InvalidValue
from maskl_storage.extras import optional

__all__ = ["InstanceMatches", "instance_matches"]


@dataclass(frozen=True, slots=True, eq=False)
class InstanceMatches:
    """How many segments of each class were found, missed and invented; those of several images are added with ``+``.

    Parameters
    ----------
    classes : tuple of str, length T
        The classes that are scored.
    tp, fp, fn : ndarray of int64, shape (T,)
        Segments that match, predicted ones that match none, and true ones that match none.
    threshold : float
        The IoU above which two segments match.
    """

    classes: tuple[str, ...]
    tp: Counts
    fp: Counts
    fn: Counts
    threshold: float

    @property
    def counts(self) -> ClassCounts:
        """The counts as other metrics take them."""
        return ClassCounts(self.classes, self.tp, self.fp, self.fn)

    def f1(self) -> Scores:
        """Return 2 TP / (2 TP + FP + FN) of each class; None without a segment."""
        return ratios.dice(self.counts)

    def precision(self) -> Scores:
        """Return TP / (TP + FP) of each class; None without a predicted segment."""
        return ratios.precision(self.counts)

    def recall(self) -> Scores:
        """Return TP / (TP + FN) of each class; None without a true segment."""
        return ratios.recall(self.counts)

    def mean_f1(self, exclude: Iterable[str] = ()) -> float | None:
        """Return the mean F1 of the classes, without those in ``exclude``."""
        return ratios.mean_dice(self.counts, exclude)

    def __add__(self, other: InstanceMatches) -> InstanceMatches:
        if not isinstance(other, InstanceMatches):
            return NotImplemented
        if self.threshold != other.threshold:
            raise InvalidValue(
                f"matches at one threshold add up; these are at {self.threshold} and at {other.threshold}"
            )
        mine, theirs = ((some.tp, some.fp, some.fn) for some in (self, other))
        classes, (tp, fp, fn) = added(self.classes, mine, other.classes, theirs)
        return InstanceMatches(classes, tp, fp, fn, self.threshold)


def instance_matches(
    truth: Masks,
    prediction: Masks,
    *,
    threshold: float = HALF,
    truth_segments: SegmentsLike = None,
    prediction_segments: SegmentsLike = None,
    classes: Classes | Mapping[int, str] | None = None,
    ignore_index: int | Iterable[int] | None = None,
) -> InstanceMatches:
    """Count the segments of each class that were found, missed and invented.

    A predicted segment and a true one of its class can match where their IoU is above the threshold, and each matches
    one at most: from a threshold of 0.5 on no segment can have two; below that, as many pairs match as can. Void,
    crowds and masks without segments are as in :func:`panoptic_quality`, whose RQ is the F1 at 0.5.

    Parameters
    ----------
    truth, prediction : array_like, ImageMask or bytes, or iterables of these
        Masks of ids, as in :func:`confusion_matrix`.
    threshold : float
        From 0 to below 1. Below 0.5 it needs ``maskl[score]``.
    truth_segments, prediction_segments, classes, ignore_index
        As in :func:`panoptic_quality`.

    Returns
    -------
    InstanceMatches

    Raises
    ------
    InvalidType, InvalidValue
        As :func:`panoptic_quality`; a threshold that is not within 0 to below 1.
    MissingExtra
        SciPy is not installed, and the threshold is below 0.5.

    Examples
    --------
    >>> matches = instance_matches(
    ...     [[1, 1, 1, 2, 2, 0]], [[1, 1, 0, 0, 2, 3]], classes={0: "background", 1: "cell"},
    ...     truth_segments={1: 1, 2: 1}, prediction_segments={1: 1, 2: 1, 3: 1},
    ... )
    >>> matches.tp, matches.fp, matches.fn
    (array([0, 1]), array([0, 1]), array([0, 1]))
    >>> matches.f1()
    {'background': None, 'cell': 0.5}
    """
    level = number_within(threshold, "threshold", 0, 1)
    if level >= 1:
        raise InvalidValue("threshold must be below 1: no IoU is above it")
    sums = Sums(4)
    given = (truth_segments, prediction_segments)
    for pair in pairs_of_sides(truth, prediction, parse_naming(classes, ignore_index), given, "void"):
        found = overlaps_of(pair)
        matched = np.flatnonzero(found.iou > level)
        if level < HALF:
            matched = matched[_most(found, matched)]
        sums.add(pair.classes, found.counted(found.truth[matched], found.prediction[matched], found.iou[matched]))
    names, table = sums.table()
    tp, fp, fn = (frozen(column, np.int64) for column in table.T[:3])
    return InstanceMatches(names, tp, fp, fn, level)


def _most(found: Overlaps, pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Mark as many of the pairs as can match when each segment matches one at most."""
    sparse = optional("scipy.sparse", "a threshold below 0.5", extra="score")
    graph = optional("scipy.sparse.csgraph", "a threshold below 0.5", extra="score")
    rows, columns = found.truth[pairs], found.prediction[pairs]
    shape = (found.pair.truth.ids.size, found.pair.prediction.ids.size)
    edges = sparse.csr_matrix((np.ones(pairs.size, np.int8), (rows, columns)), shape)
    chosen: npt.NDArray[np.bool_] = graph.maximum_bipartite_matching(edges, perm_type="column")[rows] == columns
    return chosen
