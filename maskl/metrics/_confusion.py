"""Confusion matrices: the pixels of every pair of classes, counted from the runs of masks.

The metrics are ratios of these counts; :mod:`maskl.metrics` is the face of this module.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskl.annotations.classes import Classes
from maskl.metrics._pairs import Masks, Naming, check_common, pairs_of, parse_naming, runs_of_pair
from maskl.metrics.formulas import ratios
from maskl.metrics.registry import ClassCounts, Counts, Scores, find
from maskl_storage.masks.histograms import joint_pixels

__all__ = ["ConfusionMatrix", "confusion_matrix"]


@dataclass(frozen=True, slots=True, eq=False)
class ConfusionMatrix:
    """How many pixels of each class of the truth were predicted as what.

    Parameters
    ----------
    truth_classes : tuple of str, length T
        The classes that metrics are over.
    prediction_classes : tuple of str, length P
        The same, in the same order, followed by whatever else was predicted on a pixel that counts.
    pixels : ndarray of int64, shape (T, P)
        Pixels of each pair of classes.
    fp : ndarray of int64, shape (T,)
        False positives: pixels of another class where the class was predicted, on images whose truth
        knows it. Where all truths have the same classes: the sum of a column less its true positives.
    """

    truth_classes: tuple[str, ...]
    prediction_classes: tuple[str, ...]
    pixels: Counts
    fp: Counts

    @property
    def tp(self) -> Counts:
        """True positives of each class, int64, shape (T,)."""
        return np.diagonal(self.pixels)

    @property
    def fn(self) -> Counts:
        """False negatives of each class, int64, shape (T,)."""
        missed: Counts = self.pixels.sum(axis=1) - self.tp
        return missed

    @property
    def counts(self) -> ClassCounts:
        """True positives, false positives and false negatives of each class."""
        return ClassCounts(self.truth_classes, self.tp, self.fp, self.fn)

    def compute(self, name: str, **options: Any) -> Any:
        """Return the metric of this name, one of those that :func:`maskl.metrics.registered` lists.

        Parameters
        ----------
        name : str
            ``iou``, ``mean_iou``, …, or one that was registered.
        **options
            What the metric takes, such as ``exclude``.

        Returns
        -------
        dict of str to float or None, or float or None
            A score for each class, or one number.

        Raises
        ------
        InvalidValue
            There is no such metric.
        """
        metric = find(name)
        return metric.function(self.counts if metric.needs == "counts" else self, **options)

    def iou(self) -> Scores:
        """Return TP / (TP + FP + FN) of each class."""
        return ratios.iou(self.counts)

    def dice(self) -> Scores:
        """Return 2 TP / (2 TP + FP + FN) of each class."""
        return ratios.dice(self.counts)

    def precision(self) -> Scores:
        """Return TP / (TP + FP) of each class."""
        return ratios.precision(self.counts)

    def recall(self) -> Scores:
        """Return TP / (TP + FN) of each class."""
        return ratios.recall(self.counts)

    def mean_iou(self, exclude: Iterable[str] = ()) -> float | None:
        """Return the mean IoU of the classes, without those in ``exclude``."""
        return ratios.mean_iou(self.counts, exclude)

    def mean_dice(self, exclude: Iterable[str] = ()) -> float | None:
        """Return the mean Dice coefficient of the classes, without those in ``exclude``."""
        return ratios.mean_dice(self.counts, exclude)

    def mean_accuracy(self, exclude: Iterable[str] = ()) -> float | None:
        """Return the mean recall of the classes, without those in ``exclude``."""
        return ratios.mean_accuracy(self.counts, exclude)

    def frequency_weighted_iou(self, exclude: Iterable[str] = ()) -> float | None:
        """Return the mean IoU of the classes, without those in ``exclude``, weighted with their pixels."""
        return ratios.frequency_weighted_iou(self.counts, exclude)

    def pixel_accuracy(self) -> float | None:
        """Return the share of the pixels that count whose prediction is right."""
        return ratios.pixel_accuracy(self.counts)


def confusion_matrix(
    truth: Masks,
    prediction: Masks,
    *,
    classes: Classes | Mapping[int, str] | None = None,
    ignore_index: int | Iterable[int] | None = None,
) -> ConfusionMatrix:
    """Count the pixels of every pair of classes.

    Parameters
    ----------
    truth, prediction : array_like, ImageMask or bytes, or iterables of these
        One mask each: class ids, shape (H, W); or one for each image: equally long sequences, or
        arrays of shape (N, H, W). Two masks of one image have one size. Masks that come from a store,
        as :class:`maskl.ImageMask`, bring their class names and what is ignored; bytes bring neither.
    classes : Classes or dict of int to str, optional
        Names for ids that masks do not name themselves, as in :class:`maskl.Image`. A class without a
        name is called ``class_<id>``.
    ignore_index : int or list of int, optional
        Ids of the truth whose pixels do not count, in addition to what the truth itself ignores.

    Returns
    -------
    ConfusionMatrix

    Raises
    ------
    InvalidType, InvalidValue
        No masks; one mask and several; sequences or masks that differ in size; truth and prediction
        without a class name in common; more than 4,096 distinct ids.

    Examples
    --------
    >>> matrix = confusion_matrix([[0, 0, 1, 9]], [[0, 1, 1, 1]], classes={0: "sky", 1: "road"}, ignore_index=9)
    >>> matrix.truth_classes
    ('sky', 'road')
    >>> matrix.pixels
    array([[1, 1],
           [0, 1]])
    >>> matrix.iou()
    {'sky': 0.5, 'road': 0.5}
    """
    naming = parse_naming(classes, ignore_index)
    tally = _Tally()
    for index, (a, b) in enumerate(pairs_of(truth, prediction)):
        tally.add(index, a, b, naming)
    return tally.matrix()


class _Tally:
    """The counts of the images so far, by class name."""

    def __init__(self) -> None:
        self._pixels: Counter[tuple[str, str]] = Counter()
        self._fp: Counter[str] = Counter()
        self._truth: set[tuple[str, bool]] = set()  # name, and whether it is ignored
        self._predicted: set[str] = set()
        self._foreign: set[str] = set()  # predicted where the truth admits it
        self._shared = False
        self._rank: dict[str, int] = {}  # the lowest id of each name, which orders them

    def add(self, index: int, truth: Any, prediction: Any, naming: Naming) -> None:
        joint = joint_pixels(*runs_of_pair(truth, prediction, index))
        a = naming.names(truth, prediction, joint.ids_a, index, truth=True)
        b = naming.names(prediction, truth, joint.ids_b, index, truth=False)
        for names in (a, b):
            for number, name in names.of.items():
                self._rank[name] = min(number, self._rank.get(name, number))
        self._truth |= a.named
        self._predicted |= set(b.of.values())
        for id_a, id_b, pixels in zip(joint.ids_a.tolist(), joint.ids_b.tolist(), joint.pixels.tolist(), strict=True):
            if id_a in a.ignored:
                continue
            name_a, name_b = a.of[id_a], b.of[id_b]
            self._pixels[name_a, name_b] += pixels
            self._shared |= b.admits(name_a)
            if a.admits(name_b):
                self._shared = True
                self._foreign.add(name_b)
                if name_a != name_b:
                    self._fp[name_b] += pixels

    def matrix(self) -> ConfusionMatrix:
        check_common(self._truth, self._predicted, shared=self._shared)
        hidden = {name for name, ignored in self._truth if ignored}
        metric = {name for name, ignored in self._truth if not ignored} | (self._foreign - hidden)
        other = {name for _, name in self._pixels} - metric
        rows, rest = (sorted(names, key=lambda name: (self._rank[name], name)) for names in (metric, other))
        columns = rows + rest
        pixels = np.array([[self._pixels[row, column] for column in columns] for row in rows], np.int64)
        pixels = pixels.reshape(len(rows), len(columns))
        fp = np.array([self._fp[row] for row in rows], np.int64)
        for array in (pixels, fp):
            array.setflags(write=False)
        return ConfusionMatrix(tuple(rows), tuple(columns), pixels, fp)
