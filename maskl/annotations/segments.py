"""Segments: what a mask's ids stand for where each is an object or a region, and not a class."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy.typing as npt

from maskl.adapters.objects import as_real, as_scalar
from maskl.annotations._keys import warn_of_unknown
from maskl.annotations.classes import class_id
from maskl_storage.errors import AbsentSegmentsWarning, InvalidType, InvalidValue, warn
from maskl_storage.format.segments import Segment

__all__ = ["PresentSegments", "Segment", "Segments", "parse_segments", "warn_of_absent"]

#: the class of a segment: ours, and COCO's
CLASS: Final = ("class_id", "category_id")
FIELDS: Final = (*CLASS, "score", "iscrowd")
#: what COCO and detectron2 say of a segment besides, and what is known of its pixels and its class
COUNTED: Final = ("area", "bbox", "image_id", "instance_id", "isthing")
RULE: Final = ("divisor", "below", "crowd")
#: how many of a list a message names
NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class PresentSegments:
    """The segments of one mask, in the order of their ids.

    Parameters
    ----------
    segments : tuple of Segment
        Those that have pixels.
    absent : tuple of int
        The ids of those that have none.
    """

    segments: tuple[Segment, ...]
    absent: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Segments:
    """What :func:`parse_segments` made of an argument: the segments that are listed, or a rule for all ids.

    Parameters
    ----------
    listed : tuple of Segment
        The segments; empty for a rule.
    divisor : int, optional
        By the rule an id from here on has the class ``id // divisor``.
    below : int, optional
        The class of ids from 0 to below the divisor; None where each is its class itself.
    crowd : frozenset of int
        Classes of which an id below the divisor is a crowd.
    """

    listed: tuple[Segment, ...] = ()
    divisor: int | None = None
    below: int | None = None
    crowd: frozenset[int] = frozenset()

    def present(self, ids: npt.NDArray[Any]) -> PresentSegments:
        """Return the segments of a mask in which these ids occur.

        Parameters
        ----------
        ids : ndarray of int, shape (k,)
            The distinct ids of the mask.

        Examples
        --------
        >>> import numpy as np
        >>> parse_segments({17: 3, 18: 3}).present(np.array([0, 17]))
        PresentSegments(segments=(Segment(id=17, class_id=3),), absent=(18,))
        >>> [segment.class_id for segment in parse_segments({"divisor": 1000}).present(np.array([7, 26001])).segments]
        [7, 26]
        """
        there = sorted(ids.tolist())
        if self.divisor is not None:
            return PresentSegments(tuple(self._by_rule(number, self.divisor) for number in there if number >= 0))
        known = {segment.id: segment for segment in self.listed}
        absent = known.keys() - set(there)
        return PresentSegments(tuple(known[number] for number in there if number in known), tuple(sorted(absent)))

    def _by_rule(self, number: int, divisor: int) -> Segment:
        if number >= divisor:
            return Segment(number, number // divisor)
        of = number if self.below is None else self.below
        return Segment(number, of, iscrowd=of in self.crowd)


def parse_segments(value: object, known: Collection[int] | None = None) -> Segments:
    """Return the segments that an argument describes.

    Parameters
    ----------
    value : dict, list of dict, or Segments
        ``{17: {"class_id": 3, "score": 0.9, "iscrowd": False}}``, of which only the class is needed; ``{17: 3}``,
        ids and their classes; or a list of dicts with ``id`` and ``class_id`` or ``category_id``, as COCO has it.
        Or a rule for all ids: ``{"divisor": 1000}`` makes ``id // 1000`` the class of ids from 1,000 on, and lower
        ids their own class, as Cityscapes has it. ``"below": 0`` makes 0 the class of lower ids, as in detectron2;
        ``"crowd": [24, 26]`` makes a crowd of a lower id of these classes. Negative ids have no segment by a rule.
    known : collection of int, optional
        The ids of the classes that there are, where that is known.

    Returns
    -------
    Segments
        ``value`` itself if it is one.

    Raises
    ------
    InvalidType
        No dict and no list of dicts; an id, class or score that is no number; True or False where a number belongs.
    InvalidValue
        An id that occurs twice, one outside signed 32 bits, a class that is not among the known ones, a segment
        without a class or with two, a score that is not finite.

    Warns
    -----
    ConversionWarning
        A segment says more than is kept.

    Examples
    --------
    >>> parse_segments([{"id": 17, "category_id": 3, "iscrowd": 1}]).listed
    (Segment(id=17, class_id=3, iscrowd=True),)
    """
    if isinstance(value, Segments):
        found = value
    elif isinstance(value, Mapping):
        rule = any(isinstance(key, str) and key in RULE for key in value)
        found = _rule(value) if rule else Segments(tuple(_item(number, about) for number, about in value.items()))
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        found = Segments(tuple(_listed(about, index) for index, about in enumerate(value)))
    else:
        raise InvalidType(
            f"segments must be a dictionary of ids to classes, a list of dicts like {{'id': 17, 'class_id': 3}}, or "
            f"{{'divisor': 1000}}; got {value!r:.60}"
        )
    seen: set[int] = set()
    for segment in found.listed:
        if segment.id in seen:
            raise InvalidValue(f"segment {segment.id} occurs twice: each id of a mask is one segment")
        seen.add(segment.id)
        if known is not None and segment.class_id not in known:
            raise InvalidValue(
                f"segment {segment.id} has the class {segment.class_id}, which is not among the classes "
                f"{_some(sorted(known))}: add it to the classes, or mend the segment"
            )
    return found


def warn_of_absent(absent: Iterable[int], where: str) -> None:
    """Warn that segments have no pixels and are dropped; say nothing of none.

    Parameters
    ----------
    absent : iterable of int
        Their ids.
    where : str
        What lacks them, which begins the message: ``mask 'predictions'``.

    Warns
    -----
    AbsentSegmentsWarning
        There are some.
    """
    ids = list(absent)
    if ids:
        said = f"segment {ids[0]}, which has" if len(ids) == 1 else f"segments {_some(ids)}, which have"
        warn(f"{where} has no pixel of {said} been dropped", AbsentSegmentsWarning)


def _rule(value: Mapping[Any, Any]) -> Segments:
    more = [key for key in value if key not in RULE]
    if more or "divisor" not in value:
        raise InvalidValue(
            f"segments by a rule are {{'divisor': 1000}}, and perhaps 'below' and 'crowd'; got {dict(value)!r:.80}"
        )
    divisor = class_id(value["divisor"], "the divisor of segments")
    if divisor < 2:
        raise InvalidValue(f"the divisor of segments must be at least 2; got {divisor}")
    below = value.get("below")
    crowd = value.get("crowd", ())
    if isinstance(crowd, str | bytes | Mapping) or not isinstance(crowd, Iterable):
        raise InvalidType(f"'crowd' must be a list of class ids; got {crowd!r:.60}")
    return Segments(
        divisor=divisor,
        below=None if below is None else class_id(below, "'below' of segments"),
        crowd=frozenset(class_id(number, "'crowd' of segments: a class") for number in crowd),
    )


def _listed(about: object, index: int) -> Segment:
    if not isinstance(about, Mapping):
        raise InvalidType(
            f"item {index} of segments must be a dict like {{'id': 17, 'class_id': 3}}; got {about!r:.60}"
        )
    if "id" not in about:
        raise InvalidValue(f"item {index} of segments lacks 'id': {dict(about)!r:.80}")
    return _item(about["id"], {key: value for key, value in about.items() if key != "id"})


def _item(number: object, about: object) -> Segment:
    number = class_id(number, "the id of a segment")
    if not isinstance(about, Mapping):
        return Segment(number, class_id(about, f"the class of segment {number}"))
    classes = [about[key] for key in CLASS if key in about]
    if not classes:
        raise InvalidValue(f"segment {number} has no class: give 'class_id' or 'category_id'; got {dict(about)!r:.80}")
    ids = [class_id(value, f"the class of segment {number}") for value in classes]
    if ids[0] != ids[-1]:
        raise InvalidValue(f"segment {number} has two classes: class_id {ids[0]} and category_id {ids[1]}")
    if any(key not in FIELDS and key not in COUNTED for key in about):
        warn_of_unknown(f"segment {number} has", dict.fromkeys(key for key in about if key not in COUNTED), FIELDS)
    score = _score(about.get("score"), number)
    return Segment(number, ids[0], score, _flag(about.get("iscrowd", False), number))


def _score(value: Any, number: int) -> float | None:
    value = as_scalar(value)
    if value is None:
        return None
    score = as_real(value, f"the score of segment {number}")
    if not math.isfinite(score):
        raise InvalidValue(f"the score of segment {number} must be finite; got {score}")
    return score


def _flag(value: Any, number: int) -> bool:
    value = as_scalar(value)
    if not isinstance(value, int) or value not in (0, 1):
        raise InvalidType(f"iscrowd of segment {number} must be True or False; got {value!r:.60}")
    return bool(value)


def _some(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:NAMED])) + (", …" if len(numbers) > NAMED else "")
