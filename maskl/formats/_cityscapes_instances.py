"""Cityscapes' instance ids: 1,000 · class + number of an object; the class alone of crowds and of what is no object."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from maskl.annotations.mask import ImageMask
from maskl.annotations.segments import parse_segments
from maskl.interchange.options import Dropped
from maskl.interchange.pictures import Frame
from maskl.interchange.segmented import segmented_mask
from maskl_storage.format.metadata import ClassSet
from maskl_storage.format.segments import Segment
from maskl_storage.masks.coco import by_class

__all__ = ["CROWD", "DIVISOR", "Instances", "instance_mask"]

DIVISOR: Final = 1000
#: what ``classes.json`` has the classes under of which the id of the class alone is a crowd
CROWD: Final = "crowd"
#: ids that 16 bits hold
MAX_ID: Final = 0xFFFF


@dataclass
class Instances:
    """The masks of an export, as instance ids.

    Parameters
    ----------
    key : str
        What the masks are.
    dropped : Counter
        Takes what these ids do not say.
    """

    key: str
    dropped: Dropped
    #: the classes of which the id alone stands for a segment, and whether that is a crowd
    _alone: dict[int, bool] = field(default_factory=dict)

    @property
    def crowd(self) -> list[int]:
        """The classes of which an id of the class alone is a crowd."""
        return sorted(number for number, crowd in self._alone.items() if crowd)

    def of(self, frame: Frame) -> npt.NDArray[np.uint16] | None:
        """Return the instance ids of a mask with segments; None where 16 bits do not hold them."""
        assert frame.ids is not None  # noqa: S101  # only masks with segments come here
        labels, ids = by_class(frame.ids)
        named = {segment.id: segment for segment in frame.segments or ()}
        present = ids.tolist()
        numbers = {number: number for number in present}
        if not all(_follows(number, named.get(number)) for number in present):
            numbers = self._numbered(present, named)
            if max(numbers.values()) > MAX_ID or min(numbers.values()) < 0:
                self.dropped[f"segments of mask {self.key!r}, which no instance ids of 16 bits hold"] += 1
                return None
            self.dropped[f"ids of segments of mask {self.key!r}, which are numbered anew"] += 1
        self._note(numbers, named)
        return np.array([numbers[number] for number in present], np.uint16)[labels]

    def _numbered(self, present: Collection[int], named: Mapping[int, Segment]) -> dict[int, int]:
        """Return the new id of each: objects are counted by class."""
        counts: dict[int, int] = {}
        numbers: dict[int, int] = {}
        for number in present:
            segment = named.get(number)
            if segment is None:
                numbers[number] = number
            elif segment.iscrowd or segment.class_id < 1 or counts.get(segment.class_id, 0) == DIVISOR:
                numbers[number] = segment.class_id
            else:
                count = counts.setdefault(segment.class_id, 0)
                numbers[number] = DIVISOR * segment.class_id + count
                counts[segment.class_id] += 1
        return numbers

    def _note(self, numbers: Mapping[int, int], named: Mapping[int, Segment]) -> None:
        """Note which classes have crowds, and count what is not told apart."""
        if any(segment.score is not None for segment in named.values()):
            self.dropped[f"scores of segments of mask {self.key!r}"] += 1
        if len(set(numbers.values())) < len(numbers):
            self.dropped[f"masks {self.key!r} in which crowds, or segments of class 0, became one"] += 1
        for number, segment in named.items():
            alone = numbers[number]
            if alone < DIVISOR and self._alone.setdefault(alone, segment.iscrowd) != segment.iscrowd:
                self.dropped[f"whether segments of mask {self.key!r} are crowds"] += 1


def _follows(number: int, segment: Segment | None) -> bool:
    """Whether the class of an id is what the rule makes of it."""
    if segment is None or number < DIVISOR:
        return 0 <= number < DIVISOR and (segment is None or segment.class_id == number)
    return number <= MAX_ID and not segment.iscrowd and number // DIVISOR == segment.class_id


def instance_mask(pixels: npt.NDArray[Any], key: str, classes: ClassSet, crowd: Collection[int]) -> ImageMask:
    """Return the mask of instance ids; of the classes of ``crowd`` the id of the class alone is a crowd."""
    rule = parse_segments({"divisor": DIVISOR, CROWD: list(crowd)})
    return segmented_mask(pixels, key, classes, rule)[0]
