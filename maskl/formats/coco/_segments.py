"""What COCO's forms say of a segment beside its pixels and its category."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from maskl.interchange.segmented import said_segments
from maskl_storage.errors import InvalidValue, MasklError, prefixed
from maskl_storage.format.metadata import INT32
from maskl_storage.format.segments import Segment

__all__ = ["CROWD", "LOGGED", "REGION", "SCORE", "check_apart", "logged_id", "said_segment", "segment_notes"]

#: COCO's own keys
CROWD: Final = "iscrowd"
SCORE: Final = "score"
#: maskl's: the id that a segment has in its mask where the file has another one, whether it is a crowd where the file
#: calls it one for its class is ignored, and that it is no segment but the pixels of a class in a mask with segments
LOGGED: Final = "logged_id"
LOGGED_CROWD: Final = "logged_iscrowd"
REGION: Final = "class_region"


def segment_notes(segment: Segment, number: int | None, ignored: Collection[int]) -> dict[str, Any]:
    """Return what is said of a segment.

    Parameters
    ----------
    segment : Segment
        The segment.
    number : int or None
        The id that stands in the file; None where none does.
    ignored : collection of int
        The classes that scores leave out, as COCO's do with crowds.
    """
    crowd = segment.iscrowd or segment.class_id in ignored
    notes: dict[str, Any] = {CROWD: int(crowd)}
    notes |= {} if crowd == segment.iscrowd else {LOGGED_CROWD: 0}
    notes |= {} if segment.score is None else {SCORE: segment.score}
    return notes | ({} if segment.id == number else {LOGGED: segment.id})


def said_segment(where: str, said: Mapping[str, Any], category: int, number: int) -> Segment:
    """Return the segment of a category that a file describes, with the id that maskl wrote, else ``number``.

    Raises
    ------
    InvalidType, InvalidValue
        An id, a score or a crowd that is none; the message begins with ``where``.
    """
    try:
        (segment,) = said_segments(
            [
                {
                    "id": logged_id(said, number),
                    "class_id": category,
                    SCORE: said.get(SCORE),
                    CROWD: said.get(LOGGED_CROWD, said.get(CROWD)),
                }
            ]
        )
    except MasklError as error:
        raise prefixed(error, where) from error
    return segment


def logged_id(said: Mapping[str, Any], number: int) -> int:
    """Return the id that a segment has in its mask."""
    found = said.get(LOGGED, number)
    if isinstance(found, bool) or not isinstance(found, int) or not INT32[0] <= found <= INT32[1]:
        raise InvalidValue(f"{LOGGED}: an integer within signed 32 bits is needed; got {found!r:.40}")
    return found


def check_apart(ids: Iterable[int], where: str) -> None:
    """Raise InvalidValue where two segments, or one and a class, have one id in the mask."""
    seen: set[int] = set()
    for number in ids:
        if number in seen:
            raise InvalidValue(f"{where}: id {number} of the mask is of two segments, or of one and a class")
        seen.add(number)
