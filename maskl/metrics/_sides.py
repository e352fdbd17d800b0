"""Pairs of masks whose ids stand for classes or segments, with the place of each among the classes that are scored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import repeat
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from maskl.annotations.mask import ImageMask
from maskl.annotations.segments import Segments, parse_segments, warn_of_absent
from maskl.metrics._pairs import Masks, Names, Naming, check_common, is_mask, pairs_of, runs_of_pair
from maskl_storage.errors import InvalidType, InvalidValue, prefixed
from maskl_storage.masks.histograms import class_pixels
from maskl_storage.masks.run_lengths import Runs, expand

__all__ = ["NONE", "Pair", "SegmentsLike", "Side", "Unnamed", "pairs_of_sides"]

#: no class that is scored
NONE: Final = -1
#: what an id is that no segment names, in a mask that has segments
Unnamed = Literal["class", "void"]
#: segments of one mask, a rule for all, or one such for each image; None where ids are classes
SegmentsLike = Mapping[Any, Any] | Segments | Sequence[Any] | None


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One mask of a pair.

    Parameters
    ----------
    runs : Runs
        Its pixels.
    ids : ndarray of int32, shape (k,)
        The ids that occur, ascending.
    places : ndarray of int64, shape (k,)
        The place of each id's class among the pair's classes; ``NONE`` for a class that is not scored, and for void.
    void : ndarray of bool, shape (k,)
        Whether it is no segment: its class is ignored, or no segment has this id.
    crowd : ndarray of bool, shape (k,)
        Whether it is a crowd.
    """

    runs: Runs
    ids: npt.NDArray[np.int32]
    places: npt.NDArray[np.int64]
    void: npt.NDArray[np.bool_]
    crowd: npt.NDArray[np.bool_]

    def label_map(self, width: int) -> npt.NDArray[Any]:
        """Return the place of each pixel's class among ``width`` classes, shape (H, W), in as few bits as hold it."""
        runs = self.runs
        values = self.places.astype(np.int8 if width < 1 << 7 else np.int16).take(self.ids.searchsorted(runs.values))
        if runs.size >= 1 << 31:  # more than Arrow's positions reach
            return values.repeat(np.diff(runs.starts, append=runs.size)).reshape(runs.shape)
        return expand(runs.starts, values, runs.size).reshape(runs.shape)


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """The two masks of an image.

    Parameters
    ----------
    classes : dict of str to int
        The names of the classes that are scored, in the order of the places, and the lowest id of each.
    truth, prediction : Side
    """

    classes: dict[str, int]
    truth: Side
    prediction: Side


@dataclass(slots=True)
class _Absent:
    """Segments without a pixel: those of the first image that has some, and how many more images have."""

    what: str
    ids: tuple[int, ...] = ()
    first: int = 0
    more: int = 0

    def add(self, index: int, ids: tuple[int, ...]) -> None:
        if ids and not self.ids:
            self.ids, self.first = ids, index
        elif ids:
            self.more += 1

    def warn(self) -> None:
        images = f"image {self.first}" + (f" and of {self.more} more" if self.more else "")
        warn_of_absent(self.ids, f"the {self.what} of {images}")


@dataclass(slots=True)
class _Seen:
    """The classes of all images so far: what has to be known of them to say that they have nothing in common."""

    truth: set[tuple[str, bool]] = field(default_factory=set)
    predicted: set[str] = field(default_factory=set)
    shared: bool = False
    last: _Plan | None = None

    def add(self, plan: _Plan, truth: Names, prediction: Names) -> None:
        """Take note of an image; most have the classes of the one before."""
        if plan is not self.last:
            self.truth |= truth.named
            self.predicted |= set(prediction.of.values())
            self.shared |= plan.shared
            self.last = plan


def pairs_of_sides(
    truth: Masks,
    prediction: Masks,
    naming: Naming,
    segments: tuple[SegmentsLike, SegmentsLike],
    unnamed: Unnamed,
) -> Iterator[Pair]:
    """Yield the pairs of masks of a call, one an image.

    Parameters
    ----------
    truth, prediction : Masks
        As :func:`maskl.metrics.confusion_matrix` takes them.
    naming : Naming
        Names of ids that masks do not name, and ids of the truth's classes to ignore.
    segments : tuple of two
        The segments of the truth and of the prediction; by default those that masks bring.
    unnamed : {'class', 'void'}
        What an id is that no segment names, in a mask with segments.

    Raises
    ------
    InvalidType, InvalidValue
        As :func:`maskl.metrics.confusion_matrix` does; segments that are wrong, or not as many as masks.

    Warns
    -----
    AbsentSegmentsWarning
        Segments have no pixel; once a call for the truth and once for the prediction.
    """
    seen = _Seen()
    absent = (_Absent("truth"), _Absent("prediction"))
    one = is_mask(truth)
    given = tuple(_each(some, which.what, one=one) for some, which in zip(segments, absent, strict=True))
    count = 0
    for index, masks in enumerate(pairs_of(truth, prediction)):
        mine = tuple(_next(some, which.what, index) for some, which in zip(given, absent, strict=True))
        yield _pair(index, masks, mine, naming, unnamed, seen, absent)
        count += 1
    check_common(seen.truth, seen.predicted, shared=seen.shared)
    for some, which in zip(given, absent, strict=True):
        if not isinstance(some, repeat) and next(some, which) is not which:
            raise InvalidValue(f"{which.what}_segments must be as many as the images, of which there are {count}")
        which.warn()


def _each(given: Any, what: str, *, one: bool) -> Iterator[Any]:
    """Return the segments of each image in turn."""
    if given is None or one:
        return repeat(None if given is None else _parse(given, what, 0))
    if isinstance(given, Segments | Mapping):
        rule = parse_segments(given)
        if rule.divisor is None:
            raise InvalidValue(f"{what}_segments of several images must be a list with the segments of each image")
        return repeat(rule)
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise InvalidType(f"{what}_segments must be a list with the segments of each image; got {given!r:.60}")
    return iter(given)


def _next(given: Iterator[Any], what: str, index: int) -> Segments | None:
    try:
        found = next(given)
    except StopIteration:
        raise InvalidValue(f"{what}_segments must be as many as the images; they end after {index}") from None
    return None if found is None else _parse(found, what, index)


def _parse(given: Any, what: str, index: int, known: frozenset[int] | None = None) -> Segments:
    try:
        return parse_segments(given, known)
    except (InvalidType, InvalidValue) as error:
        raise prefixed(error, f"{what}_segments of image {index}") from error


@dataclass(frozen=True, slots=True, eq=False)
class _Named:
    """A mask's ids, and the id of the class of each; None for one that no segment names, where such are void."""

    runs: Runs
    ids: npt.NDArray[np.int32]
    classes: list[int | None]
    present: npt.NDArray[np.int32]  # the ids of the classes that occur, ascending
    crowd: npt.NDArray[np.bool_]
    absent: tuple[int, ...] = ()


def _ids_of(runs: Runs, segments: Segments | None, unnamed: Unnamed) -> _Named:
    ids = class_pixels(runs).ids
    if segments is None:
        return _Named(runs, ids, ids.tolist(), ids, np.zeros(ids.size, np.bool_))
    found = segments.present(ids)
    of = {segment.id: segment for segment in found.segments}
    mine = [of.get(number) for number in ids.tolist()]
    classes = [
        segment.class_id if segment is not None else number if unnamed == "class" else None
        for number, segment in zip(ids.tolist(), mine, strict=True)
    ]
    present = np.array(sorted({number for number in classes if number is not None}), np.int32)
    crowd = np.array([segment is not None and segment.iscrowd for segment in mine], np.bool_)
    return _Named(runs, ids, classes, present, crowd, found.absent)


def _own_segments(mask: Any) -> Segments | None:
    """Return the segments that a mask was made or stored with."""
    own = mask.segments if isinstance(mask, ImageMask) else None
    return None if own is None else Segments(own)


def _pair(
    index: int,
    masks: tuple[Any, Any],
    segments: tuple[Segments | None, ...],
    naming: Naming,
    unnamed: Unnamed,
    seen: _Seen,
    absent: tuple[_Absent, _Absent],
) -> Pair:
    runs = runs_of_pair(*masks, index, by_class=False)
    segments = tuple(given or _own_segments(mask) for given, mask in zip(segments, masks, strict=True))
    a, b = (_ids_of(some, given, unnamed) for some, given in zip(runs, segments, strict=True))
    names_a = naming.names(masks[0], masks[1], a.present, index, truth=True)
    names_b = naming.names(masks[1], masks[0], b.present, index, truth=False)
    for which, side, given, names in zip(absent, (a, b), segments, (names_a, names_b), strict=True):
        which.add(index, side.absent)
        if given is not None and names.known is not None:
            _parse(given, which.what, index, names.declared)
    plan = _plan(names_a, names_b)
    seen.add(plan, names_a, names_b)
    return Pair(plan.classes, _side(a, plan.truth, names_a.ignored), _side(b, plan.prediction, frozenset()))


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """The classes that are scored of a pair, and the place among them of each id of both masks that has one."""

    classes: dict[str, int]
    truth: dict[int | None, int]
    prediction: dict[int | None, int]
    shared: bool


@lru_cache(maxsize=1024)
def _plan(truth: Names, prediction: Names) -> _Plan:
    hidden = {name for name, ignored in truth.named if ignored}
    foreign = {prediction.of[number] for number in prediction.present}
    foreign = {name for name in foreign if truth.admits(name)}
    scored = {name for name, ignored in truth.named if not ignored} | (foreign - hidden)
    ranks: dict[str, int] = {}
    for names in (truth, prediction):
        for number, name in names.of.items():
            ranks[name] = min(number, ranks.get(name, number))
    places = {name: place for place, name in enumerate(sorted(scored, key=lambda name: (ranks[name], name)))}
    of_truth, of_prediction = (
        dict[int | None, int]((number, places[name]) for number, name in of.items() if name in places)
        for of in ({n: truth.of[n] for n in truth.of.keys() - truth.ignored}, prediction.of)
    )
    shared = bool(foreign) or any(
        prediction.admits(truth.of[number]) for number in truth.present if number not in truth.ignored
    )
    return _Plan({name: ranks[name] for name in places}, of_truth, of_prediction, shared)


def _side(mine: _Named, places: Mapping[int | None, int], ignored: frozenset[int]) -> Side:
    found = np.array([places.get(number, NONE) for number in mine.classes], np.int64)
    void = np.array([number is None or number in ignored for number in mine.classes], np.bool_)
    return Side(mine.runs, mine.ids, found, void, mine.crowd)
