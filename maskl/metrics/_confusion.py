"""Confusion matrices: the pixels of every pair of classes, counted from the runs of masks.

The metrics are ratios of these counts; :mod:`maskl.metrics` is the face of this module.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from maskl.adapters.objects import as_array, is_array
from maskl.annotations.classes import Classes, join_class_set, told_apart
from maskl.annotations.mask import ImageMask, ignored_ids
from maskl.masks import MaskLike, run_lengths
from maskl.metrics.formulas import ratios
from maskl.metrics.registry import ClassCounts, Counts, Scores, find
from maskl_storage.errors import InvalidType, InvalidValue
from maskl_storage.format.metadata import ClassItem, ClassSet, class_name
from maskl_storage.masks.histograms import MAX_CLASSES, joint_pixels

__all__ = ["ConfusionMatrix", "Masks", "confusion_matrix"]

#: one mask, or one for each image
Masks = MaskLike | Iterable[MaskLike]

_NONE_LEFT: Final = object()


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
    named = classes if isinstance(classes, Classes) or classes is None else _named(classes)
    several = isinstance(ignore_index, Iterable) and not is_array(ignore_index)
    ignored = ignored_ids(list(ignore_index) if several else ignore_index)  # type: ignore[arg-type]  # as just asked
    tally = _Tally()
    for index, (a, b) in enumerate(_pairs(truth, prediction)):
        tally.add(index, a, b, named, ignored)
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

    def add(self, index: int, truth: Any, prediction: Any, classes: Classes | None, ignored: frozenset[int]) -> None:
        runs_a, runs_b = run_lengths(truth), run_lengths(prediction)
        if runs_a.shape != runs_b.shape:
            sizes = [f"{width}×{height}" for height, width in (runs_a.shape, runs_b.shape)]
            raise InvalidValue(f"image {index}: the truth is {sizes[0]} pixels and the prediction {sizes[1]}")
        joint = joint_pixels(runs_a, runs_b)
        a = _names(_declared(truth, prediction, joint.ids_a, classes, ignored), _present(joint.ids_a, index))
        b = _names(_declared(prediction, truth, joint.ids_b, classes, frozenset()), _present(joint.ids_b, index))
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
        if not self._truth:
            raise InvalidValue("at least one truth and one prediction are needed; got none")
        if not self._shared and self._predicted.isdisjoint(name for name, _ in self._truth):
            raise InvalidValue(
                f"truth and prediction have no class name in common: the truth has "
                f"{_some(name for name, _ in self._truth)}, the prediction {_some(self._predicted)}; give both "
                f"the same class_labels, or name their ids with classes="
            )
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


@dataclass(frozen=True, slots=True)
class _Names:
    """The names of a mask's ids, declared or present, and which of them are ignored."""

    of: dict[int, str]
    ignored: frozenset[int]
    named: frozenset[tuple[str, bool]]
    known: frozenset[str] | None

    def admits(self, name: str) -> bool:
        """Whether a name is one of the mask's classes; a mask without any name admits every class."""
        return self.known is None or name in self.known


@lru_cache(maxsize=1024)
def _names(class_set: ClassSet, present: frozenset[int]) -> _Names:
    items = {item.id: item for item in class_set}
    of = {number: class_name(items.get(number), number) for number in items.keys() | present}
    ignored = class_set.ignored
    labelled = any(item.name is not None for item in class_set)
    named = frozenset((name, number in ignored) for number, name in of.items())
    return _Names(of, ignored, named, frozenset(of.values()) if labelled else None)


def _declared(
    mask: Any, other: Any, ids: npt.NDArray[np.int32], classes: Classes | None, ignored: frozenset[int]
) -> ClassSet:
    """Return a mask's class set, as if both masks were logged in one image."""
    own, hidden = None, ignored
    if isinstance(mask, ImageMask):
        if mask.class_set is not None and classes is None:
            return _ignoring(told_apart(mask.class_set, frozenset(ids.tolist())), ignored)
        own, hidden = mask.own_labels, mask.ignore_index | ignored
    others = (other.own_labels,) if isinstance(other, ImageMask) and other.own_labels else ()
    return join_class_set(own, hidden, classes, others, frozenset(ids.tolist()) - {number for number, _ in own or ()})


@lru_cache(maxsize=1024)
def _ignoring(class_set: ClassSet, ignored: frozenset[int]) -> ClassSet:
    items = {item.id: item for item in class_set}
    for number in ignored:
        item = items.get(number, ClassItem(number))
        items[number] = ClassItem(number, item.name, item.color, True)
    return ClassSet(items[number] for number in sorted(items))


def _present(ids: npt.NDArray[np.int32], index: int) -> frozenset[int]:
    present = frozenset(ids.tolist())
    if len(present) > MAX_CLASSES:
        raise InvalidValue(
            f"image {index}: a mask has {len(present)} distinct ids, more than {MAX_CLASSES}: it holds instances or "
            f"noise, not classes"
        )
    return present


def _pairs(truth: Any, prediction: Any) -> Iterator[tuple[Any, Any]]:
    truth, prediction = (as_array(masks) if is_array(masks) else masks for masks in (truth, prediction))
    one, other = _is_mask(truth), _is_mask(prediction)
    if one != other:
        raise InvalidType(
            f"truth and prediction must both be one mask, or both several; {'truth' if one else 'prediction'} is one"
        )
    if one:
        yield truth, prediction
        return
    for index, (a, b) in enumerate(zip_longest(truth, prediction, fillvalue=_NONE_LEFT)):
        if a is _NONE_LEFT or b is _NONE_LEFT:
            shorter = "truth" if a is _NONE_LEFT else "prediction"
            raise InvalidValue(f"truth and prediction must be equally long; {shorter} ends after {index}")
        yield a, b


def _is_mask(value: Any) -> bool:
    """Whether a value is one mask, rather than several."""
    if isinstance(value, ImageMask | bytes | bytearray | memoryview):
        return True
    if isinstance(value, list | tuple):
        first = value[0] if value else None
        return (
            first is not None
            and not isinstance(first, ImageMask | bytes | bytearray | memoryview)
            and as_array(first).ndim < 2
        )
    if hasattr(value, "ndim"):
        return int(value.ndim) != 3
    if not isinstance(value, Iterable) or isinstance(value, str | Mapping):
        raise InvalidType(f"a mask, or a sequence of masks, is needed; got {value!r:.60}")
    return False


def _named(labels: Mapping[int, str]) -> Classes:
    if not isinstance(labels, Mapping):
        raise InvalidType(f"classes must be Classes, or a dictionary of ids to names; got {labels!r:.60}")
    return Classes([{"id": number, "name": name} for number, name in labels.items()])


def _some(names: Iterable[str]) -> str:
    listed = sorted(names)
    return ", ".join(map(repr, listed[:5])) + (", …" if len(listed) > 5 else "")
