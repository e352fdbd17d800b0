"""What one class of one mask looks like: area, box, COCO's run lengths, overlap; all from runs.

A class of a mask is a function over the flat positions that is 0 or 1. Its *toggles* are the positions
where it changes, ascending, with H · W behind them where it ends as 1: an even number, one pair for
each stretch of pixels. Set operations on classes are merges of toggles, and no pixel is ever made.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, TypedDict

import numpy as np
import numpy.typing as npt

from maskl_storage.errors import InvalidValue
from maskl_storage.masks.codec import decode, encode, mask_info
from maskl_storage.masks.histograms import class_pixels, numbered
from maskl_storage.masks.run_lengths import Runs

__all__ = ["Box", "Rle", "Texts", "area", "bbox", "classes", "coco_texts", "crop", "iou", "rle", "rles"]

Positions = npt.NDArray[np.int64]

#: five bits a character, from this one on
RLE_BITS: Final = 5
RLE_FIRST: Final = 48


class Box(TypedDict):
    """The smallest box around a class, in pixels from the upper left corner."""

    x: int
    y: int
    width: int
    height: int


class Rle(TypedDict):
    """A class as COCO's compressed run lengths, as pycocotools reads them."""

    size: list[int]
    counts: str


@dataclass(frozen=True, slots=True)
class Texts:
    """Many short texts in ASCII, one behind the other: as Arrow has them, and nothing for each.

    Parameters
    ----------
    data : bytes
        All of them.
    bounds : ndarray of int64, shape (n + 1,)
        Where each begins, and the last one ends.
    """

    data: bytes
    bounds: Positions

    def to_list(self) -> list[str]:
        """Return each text."""
        text = self.data.decode("ascii")
        return [text[start:end] for start, end in pairwise(self.bounds.tolist())]


def classes(runs: Runs) -> list[int]:
    """Return the class ids that are present, ascending."""
    ids: list[int] = class_pixels(runs).ids.tolist()
    return ids


def area(runs: Runs, class_id: int) -> int:
    """Return the number of pixels of a class."""
    toggles = _toggles(runs, class_id)
    return int(toggles[1::2].sum() - toggles[::2].sum())


def bbox(runs: Runs, class_id: int) -> Box | None:
    """Return the smallest box around a class; None where the class is absent."""
    toggles = _toggles(runs, class_id)
    if not toggles.size:
        return None
    top, left = np.divmod(toggles[::2], runs.shape[1])
    bottom, right = np.divmod(toggles[1::2] - 1, runs.shape[1])
    # a stretch that goes on in the next row touches both edges
    wraps = bool((bottom > top).any())
    x, last = (0, runs.shape[1] - 1) if wraps else (int(left.min()), int(right.max()))
    return {"x": x, "y": int(top[0]), "width": last - x + 1, "height": int(bottom[-1] - top[0]) + 1}


def iou(a: Runs, b: Runs, class_id: int) -> float | None:
    """Return intersection over union of a class of two masks; None where neither has it, or sizes differ."""
    if a.shape != b.shape:
        return None
    first, second = _toggles(a, class_id), _toggles(b, class_id)
    merged = np.concatenate((first, second))
    order = merged.argsort(kind="stable")
    merged = merged[order]
    # up at every other toggle of a mask, down at the next
    steps = np.ones(order.size, np.int64)
    steps[1 : first.size : 2] = -1
    steps[first.size + 1 :: 2] = -1
    inside = steps[order].cumsum()[:-1]
    lengths = np.diff(merged)
    union = int(lengths[inside > 0].sum())
    return int(lengths[inside > 1].sum()) / union if union else None


def rle(runs: Runs, class_id: int) -> Rle:
    """Return a class as COCO's compressed run lengths: down the columns, from left to right."""
    toggles = _toggles(runs, class_id)
    (text,) = _texts(toggles[::2], toggles[1::2], np.zeros(toggles.size // 2, np.int64), 1, runs.shape).to_list()
    return {"size": [*runs.shape], "counts": text}


def rles(runs: Runs) -> tuple[Positions, Texts]:
    """Return the ids of the classes that are present, ascending, and COCO's compressed run lengths of each.

    Examples
    --------
    >>> from maskl_storage.masks.codec import find_runs
    >>> ids, texts = rles(find_runs(np.array([[0, 7, 7], [7, 7, 0]])))
    >>> ids.tolist(), texts.to_list()
    ([0, 7], ['0140', '141'])
    """
    ids, groups = numbered(runs.values)
    starts = runs.starts.astype(np.int64)
    return ids, _texts(starts, np.append(starts[1:], runs.size), groups, ids.size, runs.shape)


def _texts(starts: Positions, ends: Positions, groups: Positions, count: int, shape: tuple[int, int]) -> Texts:
    """Return the text of each group of stretches, all of them at once: a mask may have as many as pixels."""
    height, width = shape
    size = height * width
    # a number for each position of each group, which sorts by group first
    span = size + width + 1
    toggles = (np.stack((starts, ends), axis=1) + span * groups[:, None]).reshape(-1)
    # pixels that differ from the one above them, where above and below the mask is nothing: the class,
    # and the class one row further down, cancel where both are
    group, change = np.divmod(_expand(_cancel(np.concatenate((toggles, toggles + width)))), span)
    row, column = np.divmod(change, width)
    # the end of a column that is 1 cancels the beginning of the next
    group, down = np.divmod(_cancel(group * (size + 1) + column * height + row), size + 1)
    return coco_texts(group, down, count, size)


def crop(data: bytes | bytearray | memoryview, x: int, y: int, width: int, height: int) -> bytes:
    """Return the encoded part of a mask that lies in a box, in the dtype that was logged.

    Raises
    ------
    InvalidValue
        The box is empty or leaves the mask.
    """
    rows, columns = mask_info(data).shape
    if x < 0 or y < 0 or width < 1 or height < 1 or x + width > columns or y + height > rows:
        raise InvalidValue(
            f"the box x={x}, y={y}, width={width}, height={height} must hold a pixel and lie inside the mask, "
            f"which is {columns}×{rows} pixels"
        )
    return encode(decode(data)[y : y + height, x : x + width])


def _toggles(runs: Runs, class_id: int) -> Positions:
    """Return the first position of each stretch of a class, and the one behind its last."""
    found = (runs.values == class_id).nonzero()[0]
    toggles = np.empty((found.size, 2), np.int64)
    toggles[:, 0] = runs.starts.take(found)
    found += 1
    toggles[:, 1] = runs.starts.take(found, mode="clip")
    if found.size and found[-1] == runs.starts.size:
        toggles[-1, 1] = runs.size
    return toggles.reshape(-1)


def _cancel(positions: Positions) -> Positions:
    """Sort, and leave out what occurs twice; nothing occurs more often."""
    positions.sort()
    twice = np.zeros(positions.size + 1, np.bool_)
    np.equal(positions[1:], positions[:-1], out=twice[1:-1])
    once: Positions = positions[~(twice[1:] | twice[:-1])]
    return once


def _expand(toggles: Positions) -> Positions:
    """Return every position between the toggles of a pair."""
    lengths = toggles[1::2] - toggles[::2]
    before = lengths.cumsum() - lengths
    every: Positions = np.arange(int(lengths.sum())) + (toggles[::2] - before).repeat(lengths)
    return every


def coco_texts(groups: Positions, toggles: Positions, count: int, size: int) -> Texts:
    """Write groups of pixels as COCO does: the lengths of what is not in a group, and is, in turn.

    From the third on, lengths are differences to the last but one, and 5 bits a character.

    Parameters
    ----------
    groups : ndarray of int64, shape (n,)
        The group of each toggle, ascending.
    toggles : ndarray of int64, shape (n,)
        Where a group begins and ends, down the columns, ascending in each group.
    count : int
        How many groups there are.
    size : int
        How many pixels.
    """
    inside = toggles < size  # what ends with the mask needs no other end
    groups, toggles = groups[inside], toggles[inside]
    lengths = np.bincount(groups, minlength=count) + 1
    # a group has one length more than toggles: its first one begins at 0, its last one ends with the mask
    places = np.arange(toggles.size) + groups
    counts, before = np.full(toggles.size + count, size), np.zeros(toggles.size + count, np.int64)
    counts[places] = before[places + 1] = toggles
    counts -= before
    first = lengths.cumsum() - lengths
    differ = np.arange(counts.size) - first.repeat(lengths) > 2
    rest = counts.copy()
    rest[2:][differ[2:]] -= counts[:-2][differ[2:]]
    characters: list[npt.NDArray[Any]] = []
    going = np.ones(rest.size, np.bool_)
    written: list[npt.NDArray[np.bool_]] = []
    while going.any():
        low = rest & 0x1F
        rest >>= RLE_BITS
        # the number ends where what is left is all sign, and the highest bit that is written says which
        more = np.where(low & 0x10, rest != -1, rest != 0)
        characters.append(np.where(more, low | 0x20, low) + RLE_FIRST)
        written.append(going)
        going = going & more
    if not characters:
        return Texts(b"", np.zeros(1, np.int64))
    table, there = np.stack(characters, axis=1).astype(np.uint8), np.stack(written, axis=1)
    bounds = np.zeros(count + 1, np.int64)
    np.add.reduceat(there.sum(axis=1), first).cumsum(out=bounds[1:])
    return Texts(table[there].tobytes(), bounds)
