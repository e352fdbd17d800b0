"""Pairs of masks, truth and prediction: which images there are, and the class names of their ids."""

from __future__ import annotations

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
from maskl_storage.errors import InvalidType, InvalidValue
from maskl_storage.format.metadata import ClassItem, ClassSet, class_name
from maskl_storage.masks.histograms import MAX_CLASSES
from maskl_storage.masks.run_lengths import Runs

__all__ = ["Masks", "Names", "Naming", "check_common", "is_mask", "pairs_of", "parse_naming", "runs_of_pair"]

#: one mask, or one for each image
Masks = MaskLike | Iterable[MaskLike]

_NONE_LEFT: Final = object()


@dataclass(frozen=True, slots=True, eq=False)
class Names:
    """The names of a mask's ids, declared or present, and which of them are ignored; one object for the same mask.

    Parameters
    ----------
    of : dict of int to str
        The name of each id.
    ignored : frozenset of int
        The ids that are ignored.
    named : frozenset of (str, bool)
        Each name, and whether it is ignored.
    known : frozenset of str, optional
        The names that the mask admits; None where its classes have no names, so that it admits all.
    declared : frozenset of int
        The ids that the mask's classes list.
    present : frozenset of int
        The ids that occur.
    """

    of: dict[int, str]
    ignored: frozenset[int]
    named: frozenset[tuple[str, bool]]
    known: frozenset[str] | None
    declared: frozenset[int]
    present: frozenset[int]

    def admits(self, name: str) -> bool:
        """Whether a name is one of the mask's classes; a mask without any name admits every class."""
        return self.known is None or name in self.known


@dataclass(frozen=True, slots=True)
class Naming:
    """What a call says of all its masks: names of ids that masks do not name, and ids of the truth to ignore."""

    classes: Classes | None
    ignored: frozenset[int]

    def names(self, mask: Any, other: Any, ids: npt.NDArray[np.int32], index: int, *, truth: bool) -> Names:
        """Return the names of a mask's class ids, of which ``ids`` occur, as if both masks were logged in one image."""
        class_set = _declared(mask, other, ids, self.classes, self.ignored if truth else frozenset())
        return _names(class_set, _present(ids, index))


def parse_naming(classes: Classes | Mapping[int, str] | None, ignore_index: int | Iterable[int] | None) -> Naming:
    """Return what the arguments of these names say, or raise what is wrong with them."""
    named = classes if isinstance(classes, Classes) or classes is None else _named(classes)
    several = isinstance(ignore_index, Iterable) and not is_array(ignore_index)
    ignored = ignored_ids(list(ignore_index) if several else ignore_index)  # type: ignore[arg-type]  # as just asked
    return Naming(named, ignored)


def runs_of_pair(truth: Any, prediction: Any, index: int, *, by_class: bool = True) -> tuple[Runs, Runs]:
    """Return the runs of two masks of one image, or raise that they differ in size.

    ``by_class`` has the class of each segment in its place, where a mask has segments.
    """
    runs_a, runs_b = (
        mask.classed[0].to_runs() if by_class and isinstance(mask, ImageMask) and mask.segments else run_lengths(mask)
        for mask in (truth, prediction)
    )
    if runs_a.shape != runs_b.shape:
        sizes = [f"{width}×{height}" for height, width in (runs_a.shape, runs_b.shape)]
        raise InvalidValue(f"image {index}: the truth is {sizes[0]} pixels and the prediction {sizes[1]}")
    return runs_a, runs_b


def check_common(truth: set[tuple[str, bool]], predicted: set[str], *, shared: bool) -> None:
    """Raise that there was no image, or that truth and prediction have no class in common.

    Parameters
    ----------
    truth : set of (str, bool)
        The names of the truth's classes, and whether they are ignored.
    predicted : set of str
        The names of the prediction's classes.
    shared : bool
        Whether a class that occurs in one is known to the other.
    """
    if not truth:
        raise InvalidValue("at least one truth and one prediction are needed; got none")
    if not shared and predicted.isdisjoint(name for name, _ in truth):
        raise InvalidValue(
            f"truth and prediction have no class name in common: the truth has "
            f"{_some(name for name, _ in truth)}, the prediction {_some(predicted)}; give both "
            f"the same class_labels, or name their ids with classes="
        )


@lru_cache(maxsize=1024)
def _names(class_set: ClassSet, present: frozenset[int]) -> Names:
    items = {item.id: item for item in class_set}
    of = {number: class_name(items.get(number), number) for number in items.keys() | present}
    ignored = class_set.ignored
    labelled = any(item.name is not None for item in class_set)
    named = frozenset((name, number in ignored) for number, name in of.items())
    known = frozenset(of.values()) if labelled else None
    return Names(of, ignored, named, known, frozenset(items), present)


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


def pairs_of(truth: Any, prediction: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the truth and the prediction of each image, of one mask each or of one for each image."""
    truth, prediction = (as_array(masks) if is_array(masks) else masks for masks in (truth, prediction))
    one, other = is_mask(truth), is_mask(prediction)
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


def is_mask(value: Any) -> bool:
    """Whether a value is one mask, rather than several."""
    value = as_array(value) if is_array(value) and not hasattr(value, "ndim") else value
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
