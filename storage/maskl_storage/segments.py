"""Masks as COCO has them: segments with areas, boxes and run lengths, and masks from such run lengths.

A segment is all pixels of a class, or one connected component of it. COCO counts positions down the
columns, from left to right; everything here works on runs of equal pixels in that order.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from maskl_storage.errors import CorruptData
from maskl_storage.regions import RLE_BITS, RLE_FIRST, coco_text

__all__ = ["Segment", "by_class", "components", "positions", "read_counts", "segments_of"]

Labels = npt.NDArray[np.int64]
Positions = npt.NDArray[np.int64]

#: value ranges up to this size are numbered by index, larger ones by sorting
DENSE: Final = 1 << 12
#: characters of one number: what 64 bits take
MAX_CHARACTERS: Final = 13


@dataclass(frozen=True, slots=True)
class Segment:
    """Some pixels of one class.

    Parameters
    ----------
    class_id : int
    area : int
        The number of pixels.
    bbox : tuple of int
        ``x, y, width, height`` of the smallest box around them.
    counts : str
        The run lengths as COCO writes them; empty where they were not asked for.
    """

    class_id: int
    area: int
    bbox: tuple[int, int, int, int]
    counts: str = ""


def by_class(mask: npt.NDArray[Any]) -> tuple[Labels, npt.NDArray[Any]]:
    """Give the classes of a mask numbers, in order of their ids.

    Returns
    -------
    labels : ndarray of int64, shape (H, W)
        A number from 0 for each pixel.
    ids : ndarray, shape (n,)
        The class of each number.
    """
    low = int(mask.min())
    if int(mask.max()) - low >= DENSE:
        ids, labels = np.unique(mask, return_inverse=True)
        return labels.reshape(mask.shape).astype(np.int64, copy=False), ids.astype(np.int64)
    codes = mask.astype(np.int64)
    codes -= low
    present = np.bincount(codes.reshape(-1)).astype(np.bool_)
    return (present.cumsum() - 1)[codes], present.nonzero()[0] + low


def components(mask: npt.NDArray[Any]) -> tuple[Labels, npt.NDArray[Any]]:
    """Give the connected components of a mask numbers, in order of their first pixels, row by row.

    Pixels of one class are connected where they touch, also at a corner (8 neighbours).

    Returns
    -------
    labels : ndarray of int64, shape (H, W)
        A number from 0 for each pixel.
    ids : ndarray, shape (n,)
        The class of each number.

    Examples
    --------
    >>> labels, ids = components(np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0]]))
    >>> labels.tolist(), ids.tolist()
    ([[0, 1, 0], [2, 0, 1], [2, 2, 2]], [1, 0, 0])
    """
    height, width = mask.shape
    begins = np.ones(mask.shape, np.bool_)
    np.not_equal(mask[:, 1:], mask[:, :-1], out=begins[:, 1:])
    starts = begins.reshape(-1).nonzero()[0]
    values = mask.reshape(-1)[starts]
    above, below = _touching(starts, values, height, width)
    roots = _united(starts.size, above, below)
    distinct, numbers = np.unique(roots, return_inverse=True)
    lengths = np.diff(starts, append=height * width)
    return numbers.astype(np.int64).repeat(lengths).reshape(mask.shape), values[distinct].astype(np.int64)


def _touching(starts: Positions, values: npt.NDArray[Any], height: int, width: int) -> tuple[Positions, Positions]:
    """Return the pairs of runs of one value in neighbouring rows that touch."""
    row = starts // width
    stride = width + 2  # room between rows, so that runs of different rows never seem to touch
    first = starts + row * (stride - width)
    behind = first + np.diff(starts, append=height * width)
    low = behind.searchsorted(first + stride)
    high = first.searchsorted(behind + stride, "right")
    # the last row has nothing below it
    counts = np.where(row < height - 1, high - low, 0)
    above = np.arange(starts.size).repeat(counts)
    before = counts.cumsum() - counts
    below = np.arange(above.size) + (low - before).repeat(counts)
    same = values[above] == values[below]
    return above[same], below[same]


def _united(size: int, a: Positions, b: Positions) -> Positions:
    """Return for each of ``size`` things the lowest one that pairs connect it with."""
    roots = np.arange(size)
    while a.size:
        low, high = np.minimum(roots[a], roots[b]), np.maximum(roots[a], roots[b])
        apart = low != high
        if not apart.any():
            break
        a, b, low, high = a[apart], b[apart], low[apart], high[apart]
        np.minimum.at(roots, high, low)
        while True:  # everything points at its root again
            up = roots[roots]
            if np.array_equal(up, roots):
                break
            roots = up
    return roots


def segments_of(labels: Labels, ids: npt.NDArray[Any], *, counts: bool) -> list[Segment]:
    """Return the segment of each label, in order.

    Parameters
    ----------
    labels : ndarray of int, shape (H, W)
        Numbers from 0; each of them occurs.
    ids : ndarray, shape (n,)
        The class of each.
    counts : bool
        Whether to write the run lengths too.

    Examples
    --------
    >>> labels, ids = by_class(np.array([[0, 7, 7], [7, 7, 0]]))
    >>> segments_of(labels, ids, counts=True)[1]
    Segment(class_id=7, area=4, bbox=(0, 0, 3, 2), counts='141')
    """
    height = labels.shape[0]
    down = labels.T.reshape(-1)
    begins = np.ones(down.size, np.bool_)
    np.not_equal(down[1:], down[:-1], out=begins[1:])
    starts = begins.nonzero()[0]
    order = down[starts].argsort(kind="stable")
    behind = np.append(starts[1:], down.size)[order]
    starts = starts[order]
    number = down[starts]
    groups = number.searchsorted(np.arange(ids.size))
    areas = np.add.reduceat(behind - starts, groups)
    boxes = _boxes(starts, behind, groups, height)
    limits = [*groups.tolist(), starts.size]
    texts = [""] * ids.size
    if counts:
        places = [slice(*pair) for pair in pairwise(limits)]
        texts = [coco_text(_counts(starts[place], behind[place], down.size)) for place in places]
    return [Segment(*each) for each in zip(ids.tolist(), areas.tolist(), boxes, texts, strict=True)]


def _boxes(starts: Positions, behind: Positions, groups: Positions, height: int) -> list[tuple[int, int, int, int]]:
    """Return the box around each group of stretches, which go down the columns."""
    left, top = np.divmod(starts, height)
    right, bottom = np.divmod(behind - 1, height)
    wraps = right > left  # a stretch that goes on in the next column touches both edges
    top[wraps], bottom[wraps] = 0, height - 1
    x, y = np.minimum.reduceat(left, groups), np.minimum.reduceat(top, groups)
    w = np.maximum.reduceat(right, groups) - x + 1
    h = np.maximum.reduceat(bottom, groups) - y + 1
    return list(zip(x.tolist(), y.tolist(), w.tolist(), h.tolist(), strict=True))


def _counts(starts: Positions, behind: Positions, size: int) -> Positions:
    """Return the lengths of what is not, and is, in the stretches, in turn, beginning with what is not."""
    toggles = np.stack((starts, behind), axis=1).reshape(-1)
    if toggles[-1] == size:
        toggles = toggles[:-1]
    counts: Positions = np.diff(toggles, prepend=0, append=size)
    return counts


def read_counts(text: str | bytes) -> Positions:
    """Return the run lengths that COCO's text holds.

    Raises
    ------
    CorruptData
        The text ends within a number, has other characters, or numbers beyond 64 bits.

    Examples
    --------
    >>> read_counts("141").tolist()
    [1, 4, 1]
    """
    try:
        data = text.encode("ascii") if isinstance(text, str) else text
    except UnicodeEncodeError as error:
        raise CorruptData(f"run lengths are ASCII text; got {text!r:.40}") from error
    codes = np.frombuffer(data, np.uint8).astype(np.int64) - RLE_FIRST
    if codes.size and (codes.min() < 0 or codes.max() > 0x3F):
        raise CorruptData(f"run lengths are written with the characters '0' to 'o'; got {data!r:.40}")
    ends = (codes < 0x20).nonzero()[0]
    if codes.size and (not ends.size or ends[-1] != codes.size - 1):
        raise CorruptData("the run lengths end within a number")
    first = np.concatenate(([0], ends[:-1] + 1)) if ends.size else ends
    length = ends - first + 1
    if length.size and length.max() >= MAX_CHARACTERS:
        raise CorruptData("a run length does not fit in 64 bits")
    place = np.arange(codes.size) - first.repeat(length)
    numbers = np.add.reduceat((codes & 0x1F) << (RLE_BITS * place), first) if ends.size else ends
    # the highest bit that was written is the sign
    numbers = np.where(codes[ends] & 0x10, numbers - (1 << (RLE_BITS * length)), numbers)
    # from the fourth on they were written as differences to the last but one
    numbers[1::2] = numbers[1::2].cumsum()
    numbers[2::2] = numbers[2::2].cumsum()
    return numbers.astype(np.int64)


def positions(counts: npt.NDArray[Any], height: int, width: int) -> Positions:
    """Return the flat positions, row by row, of the pixels that run lengths cover.

    Raises
    ------
    CorruptData
        A length below 0, or lengths whose sum is not the number of pixels.

    Examples
    --------
    >>> positions(np.array([1, 4, 1]), 2, 3).tolist()
    [3, 1, 4, 2]
    """
    size = height * width
    if counts.size and counts.min() < 0:
        raise CorruptData(f"a run length is below 0: {int(counts.min())}")
    if counts.size and counts.max() > size:
        raise CorruptData(f"a run of {int(counts.max())} pixels leaves the {width}×{height} image")
    total = int(counts.sum())  # no overflow: each is below 2**62, and there are few enough
    if total != size:
        raise CorruptData(f"run lengths add up to {total} pixels; the {width}×{height} image has {size}")
    behind = counts.cumsum()
    lengths = counts[1::2]
    starts = behind[1::2] - lengths
    before = lengths.cumsum() - lengths
    down = np.arange(int(lengths.sum())) + (starts - before).repeat(lengths)
    column, row = np.divmod(down, height)
    flat: Positions = row * width + column
    return flat
