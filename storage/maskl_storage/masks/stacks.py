"""Many masks of one shape, counted at once: their runs one after another, as those of one tall mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from maskl_storage.masks.codecs import Packed
from maskl_storage.masks.codecs.bands import Events
from maskl_storage.masks.run_lengths import Pixels, Runs

__all__ = ["Counted", "CountedPairs", "Stack", "class_pixels_of", "joint_pixels_of"]

#: tables of all that there could be hold up to this many times what there is, and this many more
DENSE: Final = 4, 1 << 16

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Counted:
    """The class pixels of several masks: ``lengths`` says how many of ``ids`` and ``pixels`` each has."""

    lengths: Ints
    ids: npt.NDArray[np.int32]
    pixels: Ints


@dataclass(frozen=True, slots=True)
class CountedPairs:
    """The joint histograms of several pairs of masks: ``lengths`` says how many entries each has."""

    lengths: Ints
    ids_a: npt.NDArray[np.int32]
    ids_b: npt.NDArray[np.int32]
    pixels: Ints


@dataclass(frozen=True, slots=True)
class Stack:
    """The runs of masks of one shape.

    Parameters
    ----------
    starts : ndarray of int64, shape (n,)
        Where runs begin, ascending; those of mask i from i · H · W on.
    values : ndarray of int32 or narrower, shape (n,)
        The pixel value of each run.
    counts : ndarray of int64, shape (k,)
        How many runs each mask has, at least 1.
    shape : tuple of int
        ``(H, W)`` of each mask.
    """

    starts: Ints
    values: npt.NDArray[Any]
    counts: Ints
    shape: tuple[int, int]

    @classmethod
    def of(cls, masks: Sequence[Runs | Pixels | Packed], shape: tuple[int, int]) -> Stack:
        """Return masks of one shape as a stack; CorruptData where one is none of its shape."""
        events = [(place, mask) for place, mask in enumerate(masks) if isinstance(mask, Events)]
        pixels = [(place, mask) for place, mask in enumerate(masks) if isinstance(mask, Pixels)]
        others = [(place, mask) for place, mask in enumerate(masks) if not isinstance(mask, Events | Pixels)]
        pieces: list[tuple[list[int], Stack]] = []
        if events:
            pieces.append(([place for place, _ in events], _of_events([mask for _, mask in events], shape)))
        if pixels:
            pieces.append(([place for place, _ in pixels], _of_pixels([mask for _, mask in pixels], shape)))
        if others:
            pieces.append(([place for place, _ in others], _of_runs([mask for _, mask in others], shape)))
        if len(pieces) == 1:
            return pieces[0][1]
        size = shape[0] * shape[1]
        counts = np.zeros(len(masks), np.int64)
        starts = []
        for some, piece in pieces:
            places = np.array(some)
            counts[places] = piece.counts
            starts.append(piece.starts + ((places - np.arange(places.size)) * size).repeat(piece.counts))
        joined = np.concatenate(starts)
        order = joined.argsort(kind="stable")  # which merges what is sorted
        values = np.concatenate([piece.values for _, piece in pieces])
        return cls(joined.take(order), values.take(order), counts, shape)

    def __len__(self) -> int:
        return self.counts.size

    @property
    def size(self) -> int:
        """How many pixels each mask has."""
        return self.shape[0] * self.shape[1]

    def take(self, places: Ints) -> Stack:
        """Return some of the masks; their places ascend."""
        if places.size == self.counts.size:
            return self
        chosen = np.zeros(self.counts.size, np.bool_)
        chosen[places] = True
        kept = chosen.repeat(self.counts)
        counts = self.counts[places]
        moved = (places - np.arange(places.size)) * self.size
        return Stack(self.starts[kept] - moved.repeat(counts), self.values[kept], counts, self.shape)


def _of_events(events: Sequence[Events], shape: tuple[int, int]) -> Stack:
    starts = Events.all_starts(events)
    if starts is None:
        return _of_runs(events, shape)  # raises, and says why
    values = [np.frombuffer(mask.raw, mask.info.stored, offset=2 * mask.events) for mask in events]
    counts = np.fromiter((mask.runs for mask in events), np.int64, len(events))
    return Stack(starts, np.concatenate(values), counts, shape)


def _of_pixels(masks: Sequence[Pixels], shape: tuple[int, int]) -> Stack:
    flat = np.concatenate([mask.values for mask in masks])
    size = shape[0] * shape[1]
    change = np.empty(flat.size, np.bool_)
    np.not_equal(flat[1:], flat[:-1], out=change[1:])
    change[::size] = True
    starts = change.nonzero()[0]
    counts = np.diff(starts.searchsorted(np.arange(len(masks) + 1) * size))
    return Stack(starts, flat.take(starts), counts, shape)


def _of_runs(masks: Sequence[Runs | Packed], shape: tuple[int, int]) -> Stack:
    runs = [mask.to_runs() for mask in masks]
    counts = np.fromiter((one.starts.size for one in runs), np.int64, len(runs))
    starts = np.concatenate([one.starts for one in runs]).astype(np.int64)
    starts += (np.arange(len(runs)) * (shape[0] * shape[1])).repeat(counts)
    return Stack(starts, np.concatenate([one.values for one in runs]), counts, shape)


def class_pixels_of(stack: Stack, declared: Sequence[int] = ()) -> Counted:
    """Count the pixels of every class id of each mask, and note those that are declared and absent.

    Examples
    --------
    >>> from maskl_storage.masks.codec import find_runs
    >>> masks = [find_runs(np.array([[0, 0, 7]])), find_runs(np.array([[7, 7, 7]]))]
    >>> class_pixels_of(Stack.of(masks, (1, 3)), declared=[0])
    Counted(lengths=array([2, 2]), ids=array([0, 7, 0, 7], dtype=int32), pixels=array([2, 1, 0, 3]))
    """
    named = np.array(declared, np.int64)
    low, span, codes = _codes(stack.values, named)
    lengths = np.diff(stack.starts, append=len(stack) * stack.size)
    keys = np.arange(len(stack)).repeat(stack.counts)
    keys *= span
    keys += codes
    always = ((np.arange(len(stack)) * span)[:, None] + (named - low)).reshape(-1)
    present, pixels = _added(keys, lengths, len(stack) * span, always)
    mask, code = np.divmod(present, span)
    return Counted(np.bincount(mask, minlength=len(stack)), (code + low).astype(np.int32), pixels)


def joint_pixels_of(a: Stack, b: Stack) -> CountedPairs:
    """Count the pixels of every pair of class ids of each mask of one stack and its fellow in another.

    Examples
    --------
    >>> from maskl_storage.masks.codec import find_runs
    >>> a, b = (Stack.of([find_runs(np.array([row]))], (1, 3)) for row in ([0, 0, 7], [1, 2, 2]))
    >>> joint_pixels_of(a, b).pixels
    array([1, 1, 1])
    """
    low_a, span_a, codes_a = _codes(a.values)
    low_b, span_b, codes_b = _codes(b.values)
    # one sort of (start, stack) packed in a number; runs of length zero, where both begin, weigh nothing
    merged = np.concatenate((a.starts << 1, (b.starts << 1) | 1))
    merged.sort()
    index_b = (merged & 1).cumsum()
    merged >>= 1
    index_a = np.arange(merged.size)
    index_a -= index_b
    index_b -= 1
    index_b[0] = 0
    lengths = np.diff(merged, append=len(a) * a.size)
    weighed = lengths.nonzero()[0]
    lengths = lengths.take(weighed)
    keys = np.arange(len(a)).repeat(a.counts).take(index_a := index_a.take(weighed))
    distinct_a: Ints | None = None
    distinct_b: Ints | None = None
    if len(a) * span_a > np.iinfo(np.int64).max // span_b:  # ids that are far apart
        distinct_a, codes_a = np.unique(codes_a, return_inverse=True)
        distinct_b, codes_b = np.unique(codes_b, return_inverse=True)
        span_a, span_b = distinct_a.size, distinct_b.size
    keys *= span_a
    keys += codes_a.take(index_a)
    keys *= span_b
    keys += codes_b.take(index_b.take(weighed))
    present, pixels = _added(keys, lengths, len(a) * span_a * span_b)
    pair, code_b = np.divmod(present, span_b)
    pair, code_a = np.divmod(pair, span_a)
    if distinct_a is not None and distinct_b is not None:
        code_a, code_b = distinct_a.take(code_a), distinct_b.take(code_b)
    ids_a, ids_b = (code_a + low_a).astype(np.int32), (code_b + low_b).astype(np.int32)
    return CountedPairs(np.bincount(pair, minlength=len(a)), ids_a, ids_b, pixels)


def _codes(values: npt.NDArray[Any], others: Ints | None = None) -> tuple[int, int, Ints]:
    """Return the lowest of values and others, how many whole numbers there are to the highest, and values from it."""
    low, high = int(values.min()), int(values.max())
    if others is not None and others.size:
        low, high = min(low, int(others.min())), max(high, int(others.max()))
    codes = values.astype(np.int64)
    if low:
        codes -= low
    return low, high - low + 1, codes


def _added(keys: Ints, amounts: Ints, possible: int, always: Ints | None = None) -> tuple[Ints, Ints]:
    """Return the distinct keys, ascending, and the sum of the amounts of each; ``always`` are there with nothing."""
    times, more = DENSE
    if possible <= times * keys.size + more:
        sums = np.bincount(keys, amounts, possible)  # exact below 2**53
        there = sums > 0
        if always is not None:
            there[always] = True
        present = there.nonzero()[0]
        return present, sums.take(present).astype(np.int64)
    if always is not None:
        keys = np.concatenate((keys, always))
        amounts = np.concatenate((amounts, np.zeros(always.size, np.int64)))
    present, places = np.unique(keys, return_inverse=True)
    return present, np.bincount(places, amounts).astype(np.int64)
