"""Masks as COCO has them: segments with areas, boxes and run lengths, and masks from such run lengths.

A segment is all pixels of a class, or one connected component of it. COCO counts positions down the
columns, from left to right; everything here works on runs of equal pixels in that order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from maskl_storage.errors import CorruptData
from maskl_storage.masks.histograms import numbered
from maskl_storage.masks.limits import check_pixels
from maskl_storage.masks.measures import RLE_BITS, RLE_FIRST, coco_texts

__all__ = ["Segment", "by_class", "components", "polygon", "positions", "read_counts", "segments_of"]

Labels = npt.NDArray[np.int64]
Positions = npt.NDArray[np.int64]
#: positions in a picture, which take four bytes each wherever they can
Places = npt.NDArray[np.signedinteger[Any]]

#: characters of one number: what 64 bits take
MAX_CHARACTERS: Final = 13
#: the outline of a polygon is followed in fifths of a pixel, in at most so many steps
FIFTHS: Final = 5
MAX_STEPS: Final = 1 << 23
#: positions that are made at a time, which takes many times their bytes
PIECE: Final = 1 << 20


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
    ids, labels = numbered(mask)
    return labels, ids


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
    ([[0, 1, 0], [1, 0, 1], [1, 1, 1]], [1, 0])
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
    texts = [""] * ids.size
    if counts:
        stretches = np.diff(groups, append=starts.size)
        toggles = np.stack((starts, behind), axis=1).reshape(-1)
        texts = coco_texts(np.arange(ids.size).repeat(2 * stretches), toggles, ids.size, down.size).to_list()
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


def positions(counts: npt.NDArray[Any], height: int, width: int) -> Places:
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
    check_pixels(height, width)
    size = height * width
    if counts.size and counts.min() < 0:
        raise CorruptData(f"a run length is below 0: {int(counts.min())}")
    if counts.size and counts.max() > size:
        raise CorruptData(f"a run of {int(counts.max())} pixels leaves the {width}×{height} image")
    total = int(counts.sum())  # no overflow: each is below 2**62, and there are few enough
    if total != size:
        raise CorruptData(f"run lengths add up to {total} pixels; the {width}×{height} image has {size}")
    behind = counts.cumsum()[1::2]
    return _across(behind - counts[1::2], behind, height, width)


def polygon(corners: npt.NDArray[np.float64], height: int, width: int) -> Places:
    """Return the flat positions, row by row, of the pixels that COCO counts to a polygon.

    Parameters
    ----------
    corners : ndarray of float, shape (N, 2)
        x and y of each corner, in pixels from the upper left corner of the image.
    height, width : int
        Size of the image.

    Raises
    ------
    CorruptData
        A corner that is not finite or farther away from the image than its size, or an outline too long.

    Notes
    -----
    The outline is followed in steps of a fifth of a pixel. Each step from one side of the middle of a column
    of pixels to the other is a place in that column where what is inside changes, as in [1]_.

    .. [1] T.-Y. Lin et al., "Microsoft COCO: Common Objects in Context", 2014.

    Examples
    --------
    >>> sorted(polygon(np.array([[0, 0], [2, 0], [2, 1], [0, 1]]), 2, 3).tolist())
    [0, 1]
    """
    limit = np.array([width, height])
    if not np.isfinite(corners).all() or (corners < -limit).any() or (corners > 2 * limit).any():
        raise CorruptData(f"a corner is farther away from the {width}×{height} image than its size")
    points = np.trunc(FIFTHS * corners + 0.5).astype(np.int64)
    x, y = _outline(points[:, 0], points[:, 1])
    crossing = (x[1:] != x[:-1]).nonzero()[0]
    # in fifths: the column to the left of the step, and the upper end of the step
    left, upper = (np.minimum(along[crossing], along[crossing + 1]) for along in (x, y))
    column, rest = np.divmod(left - FIFTHS // 2, FIFTHS)
    middle = (rest == 0) & (column >= 0) & (column < width)
    row = np.ceil(((upper[middle] + 0.5) / FIFTHS - 0.5).clip(0, height)).astype(np.int64)
    toggles = column[middle] * height + row
    toggles.sort()
    # an outline is closed, so that it crosses a column an even number of times
    starts, behind = toggles[::2], toggles[1::2]
    return _across(starts, behind, height, width)


def _outline(x: Positions, y: Positions) -> tuple[Positions, Positions]:
    """Return the points of a closed outline one step apart, corner after corner; corners are there twice."""
    across, down = np.roll(x, -1) - x, np.roll(y, -1) - y
    steps = np.maximum(abs(across), abs(down))
    if int(steps.sum()) > MAX_STEPS:
        raise CorruptData(
            f"the outline of a polygon is {int(steps.sum()) // FIFTHS:,} pixels long; those of up to "
            f"{MAX_STEPS // FIFTHS:,} are drawn"
        )
    counts = steps + 1
    edge = np.arange(x.size).repeat(counts)
    at = np.arange(edge.size) - (counts.cumsum() - counts)[edge]
    flat = abs(across) >= abs(down)
    # each edge is sampled from its left or upper end, so that it is the same in both directions
    turned = np.where(flat, across < 0, down < 0)
    at = np.where(turned[edge], steps[edge] - at, at)
    from_x, from_y = np.where(turned, x + across, x), np.where(turned, y + down, y)
    sign = np.where(turned, -1, 1)
    slope = np.where(flat, down, across) * sign / np.maximum(steps, 1)
    base = np.where(flat, from_y, from_x)
    other = np.trunc(base[edge] + slope[edge] * at + 0.5).astype(np.int64)
    main = np.where(flat, from_x, from_y)[edge] + at
    return np.where(flat[edge], main, other), np.where(flat[edge], other, main)


def _across(starts: Positions, behind: Positions, height: int, width: int) -> Places:
    """Return row by row what lies in stretches down the columns."""
    lengths = behind - starts
    before = lengths.cumsum() - lengths
    narrow = np.int32 if height * width <= np.iinfo(np.int32).max else np.int64
    flat: Places = (starts - before).astype(narrow).repeat(lengths)
    for first in range(0, flat.size, PIECE):
        piece = flat[first : first + PIECE]
        piece += np.arange(first, first + piece.size).astype(narrow)
        column, row = np.divmod(piece, height)
        np.multiply(row, width, out=piece)
        piece += column
    return flat
