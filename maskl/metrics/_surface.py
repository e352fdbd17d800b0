"""Distances between the contours of classes: surface Dice, Hausdorff and average surface distance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from maskl.adapters.objects import as_value
from maskl.annotations.classes import Classes
from maskl.metrics._contours import Elements, Points, Spacing, elements_of
from maskl.metrics._numbers import number_within
from maskl.metrics._pairs import Masks, parse_naming
from maskl.metrics._sides import NONE, SegmentsLike, pairs_of_sides
from maskl.metrics._sums import Numbers, Sums, added, frozen, ratio
from maskl.metrics.registry import Counts, Scores
from maskl_storage.errors import InvalidValue
from maskl_storage.extras import optional

__all__ = ["SurfaceScores", "average_surface_distance", "hausdorff", "surface_dice", "surface_scores"]

#: a number, or one for each class by name
Tolerance = float | Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class SurfaceScores:
    """How far the contours of each class are from each other; those of several images are added with ``+``, by name.

    Lengths and distances are in the unit of the spacing.

    Parameters
    ----------
    classes : tuple of str, length T
        The classes that are scored.
    overlap : ndarray of float64, shape (T,)
        The length of both contours that is within the tolerance of the other one.
    length : ndarray of float64, shape (T,)
        The length of both contours.
    distance_sum : ndarray of float64, shape (T,)
        The sum of length times distance, over images that have the class in both masks.
    distance_length : ndarray of float64, shape (T,)
        The length of both contours in those images.
    hausdorff_sum : ndarray of float64, shape (T,)
        The sum of the Hausdorff distances of those images.
    n_both, n_one : ndarray of int64, shape (T,)
        Images that have the class in both masks, and in one alone: from there no distance leads anywhere.
    """

    classes: tuple[str, ...]
    overlap: Numbers
    length: Numbers
    distance_sum: Numbers
    distance_length: Numbers
    hausdorff_sum: Numbers
    n_both: Counts
    n_one: Counts

    def surface_dice(self) -> Scores:
        """Return ``overlap / length`` of each class: None where no mask has it, 0 where only one has."""
        return ratio(self.classes, self.overlap, self.length)

    def average_surface_distance(self) -> Scores:
        """Return ``distance_sum / distance_length`` of each class; None where no image has it in both masks."""
        return ratio(self.classes, self.distance_sum, self.distance_length)

    def hausdorff(self) -> Scores:
        """Return the mean of the images' Hausdorff distances; None where no image has the class in both masks."""
        return ratio(self.classes, self.hausdorff_sum, self.n_both)

    @property
    def _columns(self) -> tuple[npt.NDArray[Any], ...]:
        sums = (self.overlap, self.length, self.distance_sum, self.distance_length, self.hausdorff_sum)
        return (*sums, self.n_both, self.n_one)

    def __add__(self, other: SurfaceScores) -> SurfaceScores:
        if not isinstance(other, SurfaceScores):
            return NotImplemented
        classes, columns = added(self.classes, self._columns, other.classes, other._columns)
        return SurfaceScores(classes, *columns)


def surface_scores(
    truth: Masks,
    prediction: Masks,
    *,
    tolerance: Tolerance = 1.0,
    percentile: float = 100.0,
    spacing: Spacing = 1.0,
    elements: Elements = "contour",
    truth_segments: SegmentsLike = None,
    prediction_segments: SegmentsLike = None,
    classes: Classes | Mapping[int, str] | None = None,
    ignore_index: int | Iterable[int] | None = None,
) -> SurfaceScores:
    """Measure how far the contours of each class are from each other; needs ``maskl[score]``.

    Every element of a contour has a length and a distance to the nearest element of the class in the other mask. The
    Hausdorff distance is the larger of two percentiles: of the distances from the truth, and of those from the
    prediction. Pixels whose truth is ignored are background in both masks, and so is all beyond the image's edge.

    Parameters
    ----------
    truth, prediction : array_like, ImageMask or bytes, or iterables of these
        Masks of class ids, as in :func:`confusion_matrix`.
    tolerance : float or dict of str to float
        The distance up to which contours agree, or one for each class by name; in the unit of the spacing.
    percentile : float
        The part of the distances, in percent, that are at most the Hausdorff distance: 100 for the largest of all, 95
        for what is called HD95.
    spacing : float or two floats
        The height and width of a pixel.
    elements : {'contour', 'pixels'}
        What a contour is made of. ``contour``: pieces of a line between the pixels, one at each corner of pixels where
        the class and another meet, as long as the line is there. ``pixels``: the pixels of the class that have a
        neighbour of another class above, below, left or right, each of length 1.
    truth_segments, prediction_segments : dict or list, optional
        As in :func:`boundary_counts`.
    classes, ignore_index
        As in :func:`confusion_matrix`.

    Returns
    -------
    SurfaceScores

    Raises
    ------
    InvalidType, InvalidValue
        As :func:`boundary_counts`; a tolerance below 0, a percentile outside 0 to 100, a spacing that is not above 0,
        a class without a tolerance.
    MissingExtra
        SciPy is not installed.

    References
    ----------
    S. Nikolov et al., *Deep learning to achieve clinically applicable segmentation of head and neck anatomy for
    radiotherapy*, arXiv:1809.04430, 2018. D. P. Huttenlocher et al., *Comparing images using the Hausdorff distance*,
    PAMI 15, 1993. T. Heimann et al., *Comparison and evaluation of methods for liver segmentation from CT datasets*,
    IEEE Transactions on Medical Imaging 28, 2009.

    Examples
    --------
    >>> scores = surface_scores([[0, 0, 1, 1, 1, 0]], [[0, 0, 1, 0, 0, 0]], elements="pixels", ignore_index=0)
    >>> scores.surface_dice(), scores.hausdorff(), scores.average_surface_distance()
    ({'class_1': 0.75}, {'class_1': 2.0}, {'class_1': 0.75})
    """
    limits = tolerance if isinstance(tolerance, Mapping) else None
    limit = None if limits is not None else number_within(tolerance, "tolerance", 0)
    share = number_within(percentile, "percentile", 0, 100)
    step = _spacing(spacing)
    if elements not in get_args(Elements):
        raise InvalidValue(f"elements must be one of {', '.join(map(repr, get_args(Elements)))}; got {elements!r:.60}")
    nearest = optional("scipy.spatial", "a distance between contours", extra="score").cKDTree
    sums = Sums(7)
    given = (truth_segments, prediction_segments)
    for pair in pairs_of_sides(truth, prediction, parse_naming(classes, ignore_index), given, "class"):
        width = len(pair.classes)
        a, b = pair.truth.label_map(width), pair.prediction.label_map(width)
        b[a == NONE] = NONE
        mine, theirs = (elements_of(labels, width, step, elements) for labels in (a, b))
        there, back = _distances(mine, theirs, step, nearest), _distances(theirs, mine, step, nearest)
        rows = np.zeros((width, 7))
        for place, name in enumerate(pair.classes):
            within = number_within(_of(limits, name), f"the tolerance of {name!r}", 0) if limit is None else limit
            ends = [
                (found[some.of(place)], some.lengths[some.of(place)]) for found, some in ((there, mine), (back, theirs))
            ]
            rows[place] = _row(ends, within, share, elements)
        sums.add(pair.classes, rows)
    names, table = sums.table()
    floats = [frozen(column) for column in table.T[:5]]
    counts = [frozen(column, np.int64) for column in table.T[5:]]
    return SurfaceScores(names, *floats, *counts)


def surface_dice(truth: Masks, prediction: Masks, *, tolerance: Tolerance, **options: Any) -> Scores:
    """Return the surface Dice of each class by name: the part of both contours that is within a tolerance.

    It is 0 where only one mask has the class, and None where none has. Lengths are summed over images, and then
    divided. :func:`surface_scores` has the definition and the options.

    Examples
    --------
    >>> truth, prediction = [[0] * 6, [0, 1, 1, 1, 1, 0], [0] * 6], [[0] * 6, [0, 0, 0, 1, 1, 0], [0] * 6]
    >>> surface_dice(truth, prediction, tolerance=1, ignore_index=0)
    {'class_1': 0.8964466094067262}
    """
    return surface_scores(truth, prediction, tolerance=tolerance, **options).surface_dice()


def hausdorff(truth: Masks, prediction: Masks, *, percentile: float = 100.0, **options: Any) -> Scores:
    """Return the Hausdorff distance of each class by name, or a percentile of it: 95 for HD95.

    None where not both masks have the class. Of several images it is the mean of the images' distances: percentiles do
    not add up. :func:`surface_scores` has the definition and the options.

    Examples
    --------
    >>> hausdorff([[1, 1, 1, 1, 0]], [[1, 0, 0, 0, 0]], spacing=(1, 0.5), classes={1: "car"}, ignore_index=0)
    {'car': 1.5}
    """
    return surface_scores(truth, prediction, percentile=percentile, **options).hausdorff()


def average_surface_distance(truth: Masks, prediction: Masks, **options: Any) -> Scores:
    """Return the average symmetric surface distance of each class by name: the mean over both contours.

    None where not both masks have the class. Sums are over images, and then divided. :func:`surface_scores` has the
    definition and the options.

    Examples
    --------
    >>> average_surface_distance([[1, 1, 1]], [[1, 1, 1]])
    {'class_1': 0.0}
    """
    return surface_scores(truth, prediction, **options).average_surface_distance()


def _distances(mine: Points, theirs: Points, step: tuple[float, float], nearest: Any) -> Numbers:
    """Return how far each element is from the nearest one of its class in the other mask; inf where there is none."""
    found = np.full(mine.keys.size, np.inf)
    if not theirs.keys.size:
        return found
    at = theirs.keys.searchsorted(mine.keys)
    at[at == theirs.keys.size] = 0
    same = theirs.keys[at] == mine.keys
    found[same] = 0.0
    for place in range(len(mine.starts) - 1):
        here, there = mine.of(place), theirs.of(place)
        left = np.flatnonzero(~same[here]) + here.start
        if not left.size or there.start == there.stop:
            continue
        tree = nearest(theirs.at[there] * step, leafsize=32, balanced_tree=False, compact_nodes=False)
        _, index = tree.query(mine.at[left] * step)
        # from whole pixels: positions that are scaled first would be off in the last digit, and so fail a tolerance
        rows, columns = ((mine.at[left, axis] - theirs.at[there][index, axis]) * step[axis] for axis in range(2))
        found[left] = np.sqrt(rows * rows + columns * columns)
    return found


def _row(ends: list[tuple[Numbers, Numbers]], tolerance: float, percentile: float, elements: Elements) -> list[float]:
    """Return the numbers of a class of an image, from the distances and lengths of both contours."""
    length = sum(float(lengths.sum()) for _, lengths in ends)
    overlap = sum(float(lengths[distances <= tolerance].sum()) for distances, lengths in ends)
    sides = [bool(distances.size) for distances, _ in ends]
    if not all(sides):
        return [overlap, length, 0.0, 0.0, 0.0, 0, int(any(sides))]
    total = sum(float((distances * lengths).sum()) for distances, lengths in ends)
    if elements == "pixels":
        furthest = max(float(np.percentile(distances, percentile)) for distances, _ in ends)
    else:
        furthest = max(_weighted(distances, lengths, percentile) for distances, lengths in ends)
    return [overlap, length, total, length, furthest, 1, 0]


def _weighted(distances: Numbers, lengths: Numbers, percentile: float) -> float:
    """Return the least distance that so much of the length is at most away."""
    order = np.lexsort((lengths, distances))
    lengths = lengths[order]
    part = np.cumsum(lengths) / lengths.sum()
    return float(distances[order[min(int(part.searchsorted(percentile / 100.0)), part.size - 1)]])


def _of(limits: Mapping[str, float] | None, name: str) -> Any:
    if limits is None or name not in limits:
        raise InvalidValue(f"tolerance has no number for the class {name!r:.60}: give each class one, or all the same")
    return limits[name]


def _spacing(value: Any) -> tuple[float, float]:
    value = as_value(value)
    many = isinstance(value, list | tuple | np.ndarray) and np.ndim(value) == 1
    sides = list(value) if many else [value, value]
    if len(sides) != 2:
        raise InvalidValue(f"spacing must be one number, or a pixel's height and width; got {value!r:.60}")
    height, width = (number_within(side, "spacing", 0) for side in sides)
    if not height or not width:
        raise InvalidValue(f"spacing must be above 0; got {value!r:.60}")
    return height, width
