"""Bounding boxes over an image."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Final

from maskl.adapters.objects import as_number
from maskl.annotations._keys import warn_of_unknown
from maskl.annotations.classes import Classes, Labels, class_id, join_class_set, parse_labels
from maskl.annotations.deferred import Deferred
from maskl_storage.errors import InvalidType, InvalidValue, prefixed
from maskl_storage.format.boxes import CENTER, CORNERS, FRACTIONAL, PIXEL, Box
from maskl_storage.format.metadata import ClassSet
from maskl_storage.format.names import check_text

__all__ = ["BoundingBoxes2D", "resolve_boxes_class_set"]

KEYS: Final = ("box_data", "class_labels")
BOX_KEYS: Final = ("position", "domain", "class_id", "box_caption", "scores")
CORNER_KEYS: Final = ("minX", "minY", "maxX", "maxY")
CENTER_KEYS: Final = ("middle", "width", "height")
DOMAINS: Final = {None: FRACTIONAL, "fractional": FRACTIONAL, "pixel": PIXEL}


@dataclass(frozen=True, slots=True)
class _Parsed:
    """What boxes are."""

    key: str
    boxes: tuple[Box, ...]
    labels: Labels | None
    class_set: ClassSet | None = None


class BoundingBoxes2D(Deferred[_Parsed]):
    """Boxes over an image: what a detector found, or what there is to find.

    Parameters
    ----------
    val : dict
        ``box_data``: a list of dicts, one a box; ``class_labels`` (optional): dict of class id to name,
        by default ``class_<id>`` for the ids that occur. A box has

        - ``position``: ``minX``, ``maxX``, ``minY``, ``maxY``, or ``middle`` (``[x, y]``), ``width``,
          ``height``; each box may have its own form, and may reach beyond the image;
        - ``domain`` (optional): ``"pixel"`` for positions in pixels; by default fractions of the
          image's width and height;
        - ``class_id`` (optional): an integer within signed 32 bits;
        - ``scores`` (optional): dict of name to number;
        - ``box_caption`` (optional): text that stands with the box.

        Numbers may be Python's, NumPy's or torch's.
    key : str
        What the boxes are: ``"ground_truth"``, ``"predictions"``, …

    Raises
    ------
    InvalidType
        A value of the wrong type, a box without a position; the message says which box.
    InvalidValue
        A position that is NaN or infinite, an unknown domain, a class id out of range.

    Warns
    -----
    ConversionWarning
        A box has a key that boxes do not have; it is left out.

    Examples
    --------
    >>> boxes = BoundingBoxes2D(
    ...     {
    ...         "box_data": [
    ...             {"position": {"minX": 0.1, "maxX": 0.5, "minY": 0.2, "maxY": 0.4}, "class_id": 1},
    ...             {"position": {"middle": [64, 32], "width": 20, "height": 10}, "domain": "pixel"},
    ...         ],
    ...         "class_labels": {1: "car"},
    ...     },
    ...     "predictions",
    ... )
    >>> len(boxes), boxes.class_labels
    (2, {1: 'car'})
    >>> boxes.box_data[1]
    {'position': {'middle': [64, 32], 'width': 20, 'height': 10}, 'domain': 'pixel'}
    """

    def __init__(self, val: Mapping[str, Any], key: str) -> None:
        self._hold(_parse_boxes, val, key)

    @classmethod
    def from_stored(cls, boxes: tuple[Box, ...], key: str, class_set: ClassSet) -> BoundingBoxes2D:
        """Return the boxes of a stored row."""
        made = cls.__new__(cls)
        made._held = _Parsed(key, boxes, class_set.labels, class_set)
        return made

    def renamed(self, key: str) -> BoundingBoxes2D:
        """Return the same boxes under another key."""
        boxes = copy(self)
        boxes._held = replace(self._parsed, key=key)
        return boxes

    @classmethod
    def type_name(cls) -> str:
        """Return the name of this type of media, ``"boxes2D"``."""
        return "boxes2D"

    @classmethod
    def validate(cls, val: Mapping[str, Any]) -> bool:
        """Return True for a dict that boxes can be made from, and raise what is wrong otherwise."""
        _parse(val)
        return True

    @property
    def key(self) -> str:
        """What the boxes are."""
        return self._parsed.key

    @property
    def box_data(self) -> list[dict[str, Any]]:
        """The boxes in the form in which they were logged, new dicts at each call.

        What was not given is not there. Whole numbers of pixels are ints, other numbers floats.
        """
        return [_as_logged(box) for box in self.boxes]

    @property
    def class_labels(self) -> dict[int, str]:
        """The name of each class: as given, else ``class_<id>`` for the ids that occur."""
        labels = self._parsed.labels
        if labels is not None:
            return dict(labels)
        return {number: f"class_{number}" for number in sorted(self.ids)}

    @property
    def own_labels(self) -> Labels | None:
        """Ids and names that the boxes brought themselves, in order; None where they brought none."""
        return self._parsed.labels

    @property
    def class_set(self) -> ClassSet | None:
        """The class set that stored boxes came with; None for new ones."""
        return self._parsed.class_set

    @property
    def boxes(self) -> tuple[Box, ...]:
        """The boxes as they are stored."""
        return self._parsed.boxes

    @property
    def ids(self) -> frozenset[int]:
        """The class ids that occur."""
        return frozenset(box.class_id for box in self.boxes if box.class_id is not None)

    def __len__(self) -> int:
        return len(self.boxes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BoundingBoxes2D):
            return NotImplemented
        return self.key == other.key and self.boxes == other.boxes and self.class_labels == other.class_labels

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<BoundingBoxes2D {self.key!r} {len(self)} boxes>"


def resolve_boxes_class_set(
    boxes: BoundingBoxes2D, classes: Classes | None, others: Iterable[BoundingBoxes2D]
) -> ClassSet:
    """Return the class set of boxes: their own labels, else the image's classes, else other boxes'."""
    if boxes.class_set is not None and classes is None:
        return boxes.class_set
    more = tuple(other.own_labels for other in others if other is not boxes and other.own_labels)
    unnamed = boxes.ids - {number for number, _ in boxes.own_labels or ()}
    return join_class_set(boxes.own_labels, frozenset(), classes, more, unnamed)


def _parse_boxes(val: Mapping[str, Any], key: str) -> _Parsed:
    if not isinstance(key, str) or not key:
        raise InvalidType(f"the key of boxes must be a string that is not empty; got {key!r:.60}")
    check_text(key, "the key of boxes")
    try:
        return _Parsed(key, *_parse(val))
    except (InvalidType, InvalidValue) as error:
        raise prefixed(error, f"boxes {key!r}") from error


def _parse(val: object) -> tuple[tuple[Box, ...], Labels | None]:
    if not isinstance(val, Mapping):
        raise InvalidType(f"boxes must be a dictionary with the key 'box_data'; got {val!r:.60}")
    warn_of_unknown("boxes have", val, KEYS)
    data = val.get("box_data")
    if isinstance(data, str | bytes | Mapping) or not isinstance(data, Sequence):
        raise InvalidType(f"box_data must be a list with a dictionary for each box; got {data!r:.60}")
    labels = None if val.get("class_labels") is None else parse_labels(val["class_labels"])
    boxes = []
    for index, item in enumerate(data):
        try:
            boxes.append(_box(item, index))
        except (InvalidType, InvalidValue) as error:
            raise prefixed(error, f"box {index}") from error
    return tuple(boxes), labels


def _box(item: object, index: int) -> Box:
    if not isinstance(item, Mapping):
        raise InvalidType(f"a box must be a dictionary with the key 'position'; got {item!r:.60}")
    warn_of_unknown(f"box {index} has", item, BOX_KEYS)
    domain = item.get("domain")
    if not (domain is None or isinstance(domain, str)) or domain not in DOMAINS:
        raise InvalidValue(f"domain must be 'pixel', or be left out for fractions of the image; got {domain!r:.60}")
    form, position = _position(item.get("position"), index)
    caption = item.get("box_caption")
    if caption is not None and not isinstance(caption, str):
        raise InvalidType(f"box_caption must be a string; got {caption!r:.60}")
    return Box(
        position,
        form,
        DOMAINS[domain],
        None if item.get("class_id") is None else class_id(item["class_id"], "class_id"),
        None if caption is None else check_text(caption, "box_caption"),
        _scores(item.get("scores")),
    )


def _position(position: object, index: int) -> tuple[str, tuple[float, float, float, float]]:
    if isinstance(position, Mapping):
        for form, keys in ((CENTER, CENTER_KEYS), (CORNERS, CORNER_KEYS)):
            if all(key in position for key in keys):
                warn_of_unknown(f"box {index}: position has", position, keys)
                values = [position[key] for key in keys]
                return form, _numbers(keys, [*_pair(values[0]), *values[1:]] if form == CENTER else values)
    raise InvalidType(
        f"position must be a dictionary with minX, maxX, minY and maxY, or with middle, width and height; got "
        f"{position!r:.80}"
    )


def _pair(middle: Any) -> tuple[Any, Any]:
    try:
        x, y = middle
    except (TypeError, ValueError) as error:
        raise InvalidType(f"position's middle must be two numbers, [x, y]; got {middle!r:.60}") from error
    return x, y


def _numbers(keys: Sequence[str], values: Sequence[Any]) -> tuple[float, float, float, float]:
    names = keys if len(keys) == len(values) else ("middle", *keys)
    numbers = [as_number(value, f"position's {name}") for name, value in zip(names, values, strict=True)]
    for name, number in zip(names, numbers, strict=True):
        if not math.isfinite(number):
            raise InvalidValue(f"position's {name} must be finite; got {number}: leave such boxes out")
    a, b, c, d = numbers
    return a, b, c, d


def _scores(scores: object) -> dict[str, float] | None:
    if scores is None:
        return None
    if not isinstance(scores, Mapping):
        raise InvalidType(f"scores must be a dictionary of names to numbers; got {scores!r:.60}")
    made = {}
    for name, value in scores.items():
        if not isinstance(name, str):
            raise InvalidType(f"the name of a score must be a string; got {name!r:.60}")
        made[check_text(name, "the name of a score")] = as_number(value, f"score {name!r}")
    return made


def _as_logged(box: Box) -> dict[str, Any]:
    pixel = box.domain == PIXEL
    a, b, c, d = (int(number) if pixel and number.is_integer() else number for number in box.position)
    if box.form == CENTER:
        position: dict[str, Any] = {"middle": [a, b], "width": c, "height": d}
    else:
        position = {"minX": a, "maxX": c, "minY": b, "maxY": d}
    logged: dict[str, Any] = {"position": position}
    if pixel:
        logged["domain"] = "pixel"
    if box.class_id is not None:
        logged["class_id"] = box.class_id
    if box.caption is not None:
        logged["box_caption"] = box.caption
    if box.scores is not None:
        logged["scores"] = dict(box.scores)
    return logged
