"""Masks with segments that a source describes: checked, and counted again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy.typing as npt

from maskl.annotations.mask import ImageMask
from maskl.annotations.segments import Segments, parse_segments
from maskl_storage.errors import InvalidType, InvalidValue
from maskl_storage.format.metadata import ClassSet
from maskl_storage.format.segments import Segment
from maskl_storage.masks.codec import countable, encode
from maskl_storage.masks.histograms import class_pixels
from maskl_storage.masks.segments import counted_segments

__all__ = ["counted", "said_segments", "segmented_mask"]

#: what a segment says itself; its pixels and its box are counted
SAID = ("id", "class_id", "category_id", "score", "iscrowd")


def segmented_mask(
    pixels: npt.NDArray[Any], key: str, classes: ClassSet, segments: Iterable[Segment] | Segments
) -> tuple[ImageMask, tuple[int, ...]]:
    """Return the mask of some pixels with exactly these classes, and the ids of segments that have no pixel in it.

    ``segments`` may be a rule.
    """
    data = encode(pixels)
    runs = countable(data)
    present = class_pixels(runs)
    listed = segments.present(present.ids).segments if isinstance(segments, Segments) else segments
    found, absent = counted_segments(listed, runs, present)
    return ImageMask.from_stored(data, key, classes, found), absent


def counted(data: bytes, segments: Iterable[Segment]) -> tuple[Segment, ...]:
    """Return the segments of an encoded mask with the pixels and the box that each has in it.

    Raises
    ------
    InvalidValue
        A segment that has no pixel.
    """
    runs = countable(data)
    found, absent = counted_segments(segments, runs, class_pixels(runs))
    if absent:
        raise InvalidValue(f"segment {absent[0]} has no pixel of the mask")
    return found


def said_segments(items: Any) -> tuple[Segment, ...]:
    """Return the segments of a list of objects with ``id``, ``class_id`` or ``category_id``, and perhaps more.

    Raises
    ------
    InvalidType, InvalidValue
        No objects, an id that occurs twice, or anything that is no number where one belongs.
    """
    if not isinstance(items, list | tuple):
        raise InvalidType(f"a list of segments is needed; got {items!r:.60}")
    said = [
        {name: item[name] for name in SAID if item.get(name) is not None} if isinstance(item, Mapping) else item
        for item in items
    ]
    return parse_segments(said).listed
