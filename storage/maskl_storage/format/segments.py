"""Segments of a mask: as plain data, and as an Arrow column that SQL can ask about.

A mask with segments keeps its ids as they were logged, and each segment says which class its id stands for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from maskl_storage.format.metadata import ClassSet, class_name

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["BBox", "Segment", "classes_by_id", "parse_stored_segments", "segments_array"]

#: left, top, width and height, in pixels
BBox = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment of a mask: an object, or a region.

    Parameters
    ----------
    id : int
        The id of its pixels, within signed 32 bits.
    class_id : int
        The id of its class, within signed 32 bits.
    score : float, optional
        How sure a model is of it.
    iscrowd : bool
        Whether it is a group of objects that nobody told apart.
    pixels : int, optional
        How many pixels it has; None where they were not counted.
    bbox : tuple of int, optional
        Left, top, width and height of the box around them, in pixels.

    Examples
    --------
    >>> Segment(17, 3, pixels=2, bbox=(4, 0, 2, 1))
    Segment(id=17, class_id=3, pixels=2, bbox=(4, 0, 2, 1))
    """

    id: int
    class_id: int
    score: float | None = None
    iscrowd: bool = False
    pixels: int | None = None
    bbox: BBox | None = None

    def __repr__(self) -> str:
        said = f"id={self.id}, class_id={self.class_id}"
        for name, usual in (("score", None), ("iscrowd", False), ("pixels", None), ("bbox", None)):
            value = getattr(self, name)
            said += "" if value == usual else f", {name}={value!r}"
        return f"Segment({said})"


def classes_by_id(segments: Iterable[Segment]) -> dict[int, int]:
    """Return the class of each id that a segment names."""
    return {segment.id: segment.class_id for segment in segments}


def segments_array(rows: Sequence[tuple[Sequence[Segment], ClassSet] | None]) -> pa.Array:
    """Return the column of the segments of several masks; NULL where a mask's ids are classes."""
    import pyarrow as pa

    from maskl_storage.format.schemas import SEGMENTS

    found = [
        None
        if row is None
        else [
            {
                "id": segment.id,
                "class_id": segment.class_id,
                "class_name": name,
                "pixels": segment.pixels,
                "bbox": segment.bbox,
                "score": segment.score,
                "iscrowd": segment.iscrowd,
            }
            for segment, name in zip(row[0], _class_names(*row), strict=True)
        ]
        for row in rows
    ]
    return pa.array(found, SEGMENTS)


def _class_names(segments: Sequence[Segment], class_set: ClassSet) -> list[str]:
    items = {item.id: item for item in class_set}
    return [class_name(items.get(segment.class_id), segment.class_id) for segment in segments]


def parse_stored_segments(stored: Sequence[Mapping[str, Any]]) -> tuple[Segment, ...]:
    """Return the segments of a row's cell, in the order of their ids."""
    found = [
        Segment(
            int(item["id"]),
            int(item["class_id"]),
            item["score"],
            bool(item["iscrowd"]),
            item["pixels"],
            None if item["bbox"] is None else _bbox(item["bbox"]),
        )
        for item in stored
    ]
    return tuple(sorted(found, key=lambda segment: segment.id))


def _bbox(numbers: Sequence[int]) -> BBox:
    left, top, width, height = numbers
    return left, top, width, height
