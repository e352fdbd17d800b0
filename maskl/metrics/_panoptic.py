"""Segments of two masks that overlap: panoptic quality, and matches at a threshold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from maskl.annotations.classes import Classes
from maskl.metrics._pairs import Masks, parse_naming
from maskl.metrics._sides import NONE, Pair, SegmentsLike, pairs_of_sides
from maskl.metrics._sums import Numbers, Sums, added, frozen, names_in, ratio
from maskl.metrics.registry import Counts, Scores
from maskl_storage.errors import InvalidValue
from maskl_storage.masks.histograms import joint_pixels

__all__ = ["Overlaps", "PanopticMean", "PanopticQuality", "overlaps_of", "panoptic_quality"]

#: which classes a mean is over
Of = Literal["all", "things", "stuff"]
#: a pair of segments with a larger IoU is a match, and no segment can have two such
HALF: Final = 0.5


@dataclass(frozen=True, slots=True)
class PanopticMean:
    """Means over classes.

    Parameters
    ----------
    pq, sq, rq : float or None
        The mean of each; None where no class has a segment. A class without a match has an SQ of 0 in its mean, as
        the official evaluator has it.
    n_classes : int
        The classes that have a segment in the truth or in the prediction, which the means are over.
    """

    pq: float | None
    sq: float | None
    rq: float | None
    n_classes: int


@dataclass(frozen=True, slots=True, eq=False)
class PanopticQuality:
    """How many segments of each class were found, missed and invented, and how well they were found.

    Those of several images are added with ``+``, by the names of the classes.

    Parameters
    ----------
    classes : tuple of str, length T
        The classes that are scored.
    tp, fp, fn : ndarray of int64, shape (T,)
        Segments that match, predicted ones that match none, and true ones that match none.
    iou_sum : ndarray of float64, shape (T,)
        The sum of the IoU of those that match.
    things : frozenset of str, optional
        The names of the classes of things; None where it was not said.
    """

    classes: tuple[str, ...]
    tp: Counts
    fp: Counts
    fn: Counts
    iou_sum: Numbers
    things: frozenset[str] | None = None

    def pq(self) -> Scores:
        """Return the panoptic quality of each class, ``iou_sum / (tp + fp / 2 + fn / 2)``; None without a segment."""
        return ratio(self.classes, self.iou_sum, self.tp + 0.5 * self.fp + 0.5 * self.fn)

    def sq(self) -> Scores:
        """Return the segmentation quality of each class, ``iou_sum / tp``; None without a match."""
        return ratio(self.classes, self.iou_sum, self.tp)

    def rq(self) -> Scores:
        """Return the recognition quality of each class, ``tp / (tp + fp / 2 + fn / 2)``; None without a segment."""
        return ratio(self.classes, self.tp, self.tp + 0.5 * self.fp + 0.5 * self.fn)

    def mean(self, of: Of = "all", exclude: Iterable[str] = ()) -> PanopticMean:
        """Return the means of PQ, SQ and RQ over classes.

        Parameters
        ----------
        of : {'all', 'things', 'stuff'}
            All classes, those that ``things`` names, or the others.
        exclude : iterable of str
            Classes that are left out.

        Raises
        ------
        InvalidValue
            ``of`` is none of these, or it was not said which classes are things.
        """
        if of not in get_args(Of):
            raise InvalidValue(f"of must be one of {', '.join(map(repr, get_args(Of)))}; got {of!r:.60}")
        if of != "all" and self.things is None:
            raise InvalidValue(f"which classes are {of} is not known: name them with things=['car', …]")
        left_out, things = names_in(exclude, "exclude"), self.things or frozenset()
        pq, sq, rq = self.pq(), self.sq(), self.rq()
        names = [
            name
            for name in self.classes
            if pq[name] is not None and name not in left_out and (of == "all" or (name in things) == (of == "things"))
        ]
        if not names:
            return PanopticMean(None, None, None, 0)
        means = [sum(scores[name] or 0.0 for name in names) / len(names) for scores in (pq, sq, rq)]
        return PanopticMean(means[0], means[1], means[2], len(names))

    def __add__(self, other: PanopticQuality) -> PanopticQuality:
        if not isinstance(other, PanopticQuality):
            return NotImplemented
        mine, theirs = ((some.tp, some.fp, some.fn, some.iou_sum) for some in (self, other))
        classes, (tp, fp, fn, iou_sum) = added(self.classes, mine, other.classes, theirs)
        known = [some.things for some in (self, other) if some.things is not None]
        return PanopticQuality(classes, tp, fp, fn, iou_sum, frozenset().union(*known) if known else None)


def panoptic_quality(
    truth: Masks,
    prediction: Masks,
    *,
    truth_segments: SegmentsLike = None,
    prediction_segments: SegmentsLike = None,
    things: Iterable[str] | None = None,
    classes: Classes | Mapping[int, str] | None = None,
    ignore_index: int | Iterable[int] | None = None,
) -> PanopticQuality:
    """Match the segments of truth and prediction, and count them: panoptic, segmentation and recognition quality.

    A predicted segment and a true one of its class match where their IoU is above 0.5; pixels whose truth is void
    count in no union. A predicted segment that matches none is a false positive, unless more than half of it is
    void or a crowd of its class; a true one that matches none is a false negative, unless it is a crowd. Void are
    pixels whose class the truth ignores and, in a truth with segments, ids that no segment names. A mask without
    segments has one for each class.

    Parameters
    ----------
    truth, prediction : array_like, ImageMask or bytes, or iterables of these
        Masks of ids, as in :func:`confusion_matrix`.
    truth_segments, prediction_segments : dict or list, optional
        What the ids of a mask stand for: ``{17: {"class_id": 3, "iscrowd": False}}``, ``{17: 3}``, a list of dicts
        with ``id`` and ``class_id`` or ``category_id``, or ``{"divisor": 1000}`` where an id from 1,000 on has the
        class ``id // 1000``, and a lower one is its class (``"below": 0`` makes 0 the class of those, and
        ``"crowd": [24]`` a crowd of those of class 24). Of several images a list of such, or one divisor for all.
    things : iterable of str, optional
        The names of the classes of things, to have means over things and stuff apart.
    classes : Classes or dict of int to str, optional
        Names of class ids that masks do not name themselves.
    ignore_index : int or list of int, optional
        Class ids of the truth that are void, in addition to what the truth itself ignores.

    Returns
    -------
    PanopticQuality

    Raises
    ------
    InvalidType, InvalidValue
        As :func:`confusion_matrix`; segments that are wrong, of a class that is not known, or not as many as images.

    Warns
    -----
    AbsentSegmentsWarning
        Segments that have no pixel are dropped.

    References
    ----------
    A. Kirillov, K. He, R. Girshick, C. Rother, P. Dollár, *Panoptic Segmentation*, CVPR 2019.

    Examples
    --------
    >>> truth, prediction = [[1, 1, 7, 7, 7, 9]], [[1, 1, 1, 5, 5, 6]]
    >>> quality = panoptic_quality(
    ...     truth, prediction, things=["car"], classes={0: "road", 1: "car"},
    ...     truth_segments={1: 0, 7: 1, 9: 1}, prediction_segments={1: 0, 5: 1, 6: 1},
    ... )
    >>> quality.pq()
    {'road': 0.6666666666666666, 'car': 0.8333333333333333}
    >>> quality.mean("things")
    PanopticMean(pq=0.8333333333333333, sq=0.8333333333333333, rq=1.0, n_classes=1)
    """
    named = None if things is None else names_in(things, "things")
    sums = Sums(4)
    given = (truth_segments, prediction_segments)
    for pair in pairs_of_sides(truth, prediction, parse_naming(classes, ignore_index), given, "void"):
        found = overlaps_of(pair)
        matched = found.iou > HALF
        sums.add(pair.classes, found.counted(found.truth[matched], found.prediction[matched], found.iou[matched]))
    names, table = sums.table()
    tp, fp, fn = (frozen(column, np.int64) for column in table.T[:3])
    return PanopticQuality(names, tp, fp, fn, frozen(table[:, 3]), named)


@dataclass(frozen=True, slots=True, eq=False)
class Overlaps:
    """The pairs of segments of one class that overlap.

    Parameters
    ----------
    pair : Pair
        The masks.
    truth, prediction : ndarray of int64, shape (n,)
        The places of both segments among the ids of their masks.
    iou : ndarray of float64, shape (n,)
        Their intersection over union, in which void counts nowhere.
    excused : ndarray of bool, shape (k,)
        Whether more than half of a predicted segment is void or a crowd of its class.
    """

    pair: Pair
    truth: npt.NDArray[np.int64]
    prediction: npt.NDArray[np.int64]
    iou: Numbers
    excused: npt.NDArray[np.bool_]

    def counted(self, truth: npt.NDArray[Any], prediction: npt.NDArray[Any], iou: Numbers) -> Numbers:
        """Return TP, FP, FN and the sum of IoU of each class, shape (T, 4), of pairs that match."""
        a, b, width = self.pair.truth, self.pair.prediction, len(self.pair.classes)
        missed = (a.places != NONE) & ~a.crowd
        missed[truth] = False
        wrong = (b.places != NONE) & ~self.excused
        wrong[prediction] = False
        columns = (
            np.bincount(a.places[truth], minlength=width),
            np.bincount(b.places[wrong], minlength=width),
            np.bincount(a.places[missed], minlength=width),
            np.bincount(a.places[truth], iou, minlength=width),
        )
        return np.stack(columns, axis=1).astype(np.float64)


def overlaps_of(pair: Pair) -> Overlaps:
    """Return the pairs of segments of one class that overlap, from the joint histogram of the ids."""
    a, b = pair.truth, pair.prediction
    joint = joint_pixels(a.runs, b.runs)
    of_a, of_b = a.ids.searchsorted(joint.ids_a), b.ids.searchsorted(joint.ids_b)
    area_a = np.bincount(of_a, joint.pixels, a.ids.size)
    area_b = np.bincount(of_b, joint.pixels, b.ids.size)
    void = np.bincount(of_b, joint.pixels * a.void[of_a], b.ids.size)
    same = (a.places[of_a] == b.places[of_b]) & (a.places[of_a] != NONE)
    crowd = same & a.crowd[of_a]
    excused = 2 * (void + np.bincount(of_b, joint.pixels * crowd, b.ids.size)) > area_b
    same &= ~crowd
    of_a, of_b, both = of_a[same], of_b[same], joint.pixels[same]
    return Overlaps(pair, of_a, of_b, both / (area_a[of_a] + area_b[of_b] - void[of_b] - both), excused)
