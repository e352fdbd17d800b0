"""Masks whose ids stand for segments: the class of each pixel, and the size and place of each segment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from maskl_storage.format.segments import Segment
from maskl_storage.masks.histograms import ClassPixels
from maskl_storage.masks.run_lengths import Pixels, Runs

__all__ = ["counted_segments", "with_classes"]


def with_classes(mask: Runs | Pixels, classes: Mapping[int, int]) -> Runs | Pixels:
    """Return a mask with the class of each id in its place; an id that is not among ``classes`` is one.

    Parameters
    ----------
    mask : Runs or Pixels
        The mask.
    classes : mapping of int to int
        The class of each id of a segment.

    Examples
    --------
    >>> from maskl_storage.masks.codec import encode, runs_of
    >>> runs = runs_of(encode(np.array([[0, 17, 17, 18, 3]])))
    >>> with_classes(runs, {17: 3, 18: 3}).to_runs().values.tolist()
    [0, 3]
    """
    if not classes:
        return mask
    ids = np.array(sorted(classes), np.int64)
    of = np.array([classes[number] for number in ids.tolist()], np.int32)
    values = mask.values.astype(np.int32)
    at = ids.searchsorted(values)
    at[at == ids.size] = 0
    np.copyto(values, of[at], where=ids[at] == values)
    if isinstance(mask, Pixels):
        return Pixels(values, mask.shape)
    new = np.empty(values.size, np.bool_)
    new[0] = True
    np.not_equal(values[1:], values[:-1], out=new[1:])
    return Runs(mask.starts[new], values[new], mask.shape)


def counted_segments(
    segments: Iterable[Segment], mask: Runs | Pixels, present: ClassPixels
) -> tuple[tuple[Segment, ...], tuple[int, ...]]:
    """Return the segments of a mask with their pixels and the boxes around them, and the ids of those without a pixel.

    Parameters
    ----------
    segments : iterable of Segment
        Each id once.
    mask : Runs or Pixels
        The mask, with the ids of its segments.
    present : ClassPixels
        The ids that occur, and the pixels of each.
    """
    places = {number: place for place, number in enumerate(present.ids.tolist())}
    ordered = sorted(segments, key=lambda segment: segment.id)
    there = [segment for segment in ordered if segment.id in places]
    absent = tuple(segment.id for segment in ordered if segment.id not in places)
    if not there:
        return (), absent
    boxes = _boxes(mask, present.ids).tolist()
    pixels = present.pixels.tolist()
    return tuple(
        replace(segment, pixels=pixels[place], bbox=tuple(boxes[place]))
        for segment in there
        for place in (places[segment.id],)
    ), absent


def _boxes(mask: Runs | Pixels, ids: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Return left, top, width and height of the box around each of the ids that occur, shape (k, 4)."""
    runs = mask.to_runs()
    width = runs.shape[1]
    starts = runs.starts.astype(np.int64)
    last = np.append(starts[1:], runs.size) - 1
    top, bottom = starts // width, last // width
    one_line = top == bottom
    left = np.where(one_line, starts - top * width, 0)  # what goes on in the next line begins at its edge
    right = np.where(one_line, last - bottom * width, width - 1)
    codes = ids.searchsorted(runs.values)
    order = codes.argsort(kind="stable")
    first = codes[order].searchsorted(np.arange(ids.size))
    x0, y0 = np.minimum.reduceat(left[order], first), np.minimum.reduceat(top[order], first)
    x1, y1 = np.maximum.reduceat(right[order], first), np.maximum.reduceat(bottom[order], first)
    boxes: npt.NDArray[np.int64] = np.stack((x0, y0, x1 - x0 + 1, y1 - y0 + 1), axis=1)
    return boxes
