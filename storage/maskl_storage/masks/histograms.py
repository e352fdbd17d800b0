"""Class pixels and joint histograms, computed from the runs of encoded masks.

Everything here counts pixels exactly, in int64; the definitions that build on the counts (IoU, Dice,
coverage) live in SQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from maskl_storage.errors import InvalidValue
from maskl_storage.masks.run_lengths import Pixels, Runs

__all__ = ["MAX_CLASSES", "ClassPixels", "JointPixels", "class_pixels", "joint_pixels", "numbered"]

#: a mask with more distinct ids than this holds instances or noise, not classes
MAX_CLASSES: Final = 4096
#: value ranges up to this size are counted by index, larger ones by sorting
DENSE: Final = 1 << 12
#: and so are larger ones with no more values for each that is there: to sort takes longer than to pass over zeros
SPARSE: Final = 8
#: value ranges up to this size are numbered by a table, larger ones by sorting
TABLE: Final = 1 << 16
#: a block of runs is counted at a time, which takes some 50 bytes a run: so many runs at least and at most, and
#: in between as many as take no more memory than some bytes a pixel
BLOCK: Final = (1 << 13, 1 << 16)
PIXELS_A_RUN: Final = 16
#: counts of blocks that wait to be added up
WAITING: Final = 1 << 10

Ids = npt.NDArray[np.int32]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ClassPixels:
    """The histogram of one mask.

    Parameters
    ----------
    ids : ndarray of int32, shape (k,)
        The class ids present, ascending.
    pixels : ndarray of int64, shape (k,)
        How many pixels each has; the sum is H·W.
    """

    ids: Ids
    pixels: Counts


@dataclass(frozen=True, slots=True)
class JointPixels:
    """The joint histogram of two masks of one size.

    Parameters
    ----------
    ids_a, ids_b : ndarray of int32, shape (k,)
        The pairs of class ids that occur at the same pixel, ascending.
    pixels : ndarray of int64, shape (k,)
        At how many pixels each pair occurs; the sum is H·W.
    """

    ids_a: Ids
    ids_b: Ids
    pixels: Counts


def class_pixels(runs: Runs | Pixels) -> ClassPixels:
    """Count the pixels of every class id of a mask.

    Examples
    --------
    >>> from maskl_storage.masks.codec import encode_with_runs
    >>> _, runs = encode_with_runs(np.array([[0, 0, 7], [7, 7, 7]]))
    >>> class_pixels(runs)
    ClassPixels(ids=array([0, 7], dtype=int32), pixels=array([2, 4]))
    """
    if runs.values.size <= 2 * _block(runs.size):  # half of what a pair of masks takes
        return _class_pixels(runs)
    parts = (_class_pixels(block) for (block,) in _blocks(runs))
    ids, pixels = _summed((part.ids.astype(np.int64), part.pixels) for part in parts)
    return ClassPixels(ids.astype(np.int32), pixels)


def _class_pixels(runs: Runs | Pixels) -> ClassPixels:
    lengths = None
    if isinstance(runs, Runs):
        lengths = np.empty(runs.starts.size, np.float64)  # exact below 2**53
        np.subtract(runs.starts[1:], runs.starts[:-1], out=lengths[:-1], casting="unsafe")
        lengths[-1] = runs.size - int(runs.starts[-1])
    ids, codes = _codes(runs.values)
    counts = np.bincount(codes, lengths)
    present = counts.nonzero()[0]
    return ClassPixels(_ids(ids, present), counts.take(present).astype(np.int64))


def joint_pixels(a: Runs | Pixels, b: Runs | Pixels) -> JointPixels:
    """Count the pixels of every pair of class ids of two masks of the same size.

    The starts of both masks are merged, so the cost follows the number of runs, not of pixels.

    Raises
    ------
    InvalidValue
        The masks differ in shape.
    """
    if a.shape != b.shape:
        raise InvalidValue(f"masks of one shape are needed; got {a.shape} and {b.shape}")
    if a.values.size + b.values.size <= _block(a.size):
        return _joint_pixels(a, b)
    low_a, span_a = _span(a.values)
    low_b, span_b = _span(b.values)
    if span_a * span_b <= TABLE:
        return _added((low_a, low_b), (span_a, span_b), (_joint_pixels(*block) for block in _blocks(a, b)))
    pairs, pixels = _summed(_packed(_joint_pixels(*block)) for block in _blocks(a, b))
    ids_b = (pairs & 0xFFFFFFFF) - (1 << 31)
    return JointPixels((pairs >> 32).astype(np.int32), ids_b.astype(np.int32), pixels)


def _added(low: tuple[int, int], span: tuple[int, int], parts: Iterable[JointPixels]) -> JointPixels:
    """Return the sum of what is counted of ids that lie close together: a table of all their pairs is added to."""
    table = np.zeros(span[0] * span[1], np.int64)
    for part in parts:
        table[(part.ids_a.astype(np.int64) - low[0]) * span[1] + (part.ids_b.astype(np.int64) - low[1])] += part.pixels
    present = table.nonzero()[0]
    row, column = np.divmod(present, span[1])
    return JointPixels(_ids(low[0], row), _ids(low[1], column), table.take(present))


def _span(values: npt.NDArray[Any]) -> tuple[int, int]:
    """Return the lowest of some values, and how many whole numbers there are from it to the highest."""
    low = int(values.min())
    return low, int(values.max()) - low + 1


def _block(size: int) -> int:
    """Return how many runs of masks of this size are counted at a time."""
    return min(max(size // PIXELS_A_RUN, BLOCK[0]), BLOCK[1])


def _blocks(*masks: Runs | Pixels) -> Iterator[tuple[Runs | Pixels, ...]]:
    """Cut masks of one size at the same places, so that no piece has many more runs than a block."""
    size = masks[0].size
    pieces = min(-(-sum(mask.values.size for mask in masks) // _block(size)), size)
    for piece in range(pieces):
        start, stop = size * piece // pieces, size * (piece + 1) // pieces
        yield tuple(mask.between(start, stop) for mask in masks)


def _packed(joint: JointPixels) -> tuple[Counts, Counts]:
    """Return each pair of ids as one number, which sorts as the pair does, and its pixels."""
    return (joint.ids_a.astype(np.int64) << 32) + (joint.ids_b.astype(np.int64) + (1 << 31)), joint.pixels


def _summed(parts: Iterable[tuple[Counts, Counts]]) -> tuple[Counts, Counts]:
    """Return the distinct keys of all parts, ascending, and the sum of the pixels of each."""
    keys, pixels = np.zeros(0, np.int64), np.zeros(0, np.int64)
    waiting: list[tuple[Counts, Counts]] = []
    for part in parts:
        waiting.append(part)
        if sum(more.size for more, _ in waiting) > keys.size + WAITING:
            keys, pixels = _sum([(keys, pixels), *waiting])
            waiting = []
    return _sum([(keys, pixels), *waiting])


def _sum(parts: Sequence[tuple[Counts, Counts]]) -> tuple[Counts, Counts]:
    keys, pixels = (np.concatenate(some) for some in zip(*parts, strict=True))
    distinct, inverse = np.unique(keys, return_inverse=True)
    return distinct, np.bincount(inverse, pixels).astype(np.int64)  # exact below 2**53


def _joint_pixels(a: Runs | Pixels, b: Runs | Pixels) -> JointPixels:
    ids_a, codes_a = _codes(a.values)
    ids_b, codes_b = _codes(b.values)
    height, width = int(codes_a.max()) + 1, int(codes_b.max()) + 1
    lengths = None
    if isinstance(a, Runs) or isinstance(b, Runs):
        index_a, index_b, lengths = _merged(a, b)
        codes_a = codes_a.take(index_a)
        codes_b = codes_b.take(index_b)
    pairs = codes_a
    pairs *= width
    pairs += codes_b
    if height * width <= max(DENSE, SPARSE * pairs.size):
        counts = np.bincount(pairs, lengths)
        present = counts.nonzero()[0]
        counts = counts.take(present)
    else:
        present, inverse = np.unique(pairs, return_inverse=True)
        counts = np.bincount(inverse, lengths)
        occurs = counts > 0
        present, counts = present[occurs], counts[occurs]
    row, column = np.divmod(present, width)
    return JointPixels(_ids(ids_a, row), _ids(ids_b, column), counts.astype(np.int64))


def _merged(a: Runs | Pixels, b: Runs | Pixels) -> tuple[Counts, Counts, npt.NDArray[np.float64]]:
    """Return the runs of the pairs of two masks: the number of the run in each, and the length."""
    starts_a, starts_b = (mask.starts if isinstance(mask, Runs) else np.arange(mask.size) for mask in (a, b))
    # one sort of (start, mask) packed in a number; runs of length zero, where both begin, weigh nothing
    merged = np.concatenate((starts_a << 1, (starts_b << 1) | 1))
    merged.sort()
    from_b = merged & 1
    merged >>= 1
    lengths = np.empty(merged.size, np.float64)
    np.subtract(merged[1:], merged[:-1], out=lengths[:-1], casting="unsafe")
    lengths[-1] = a.size - int(merged[-1])
    index_b = from_b.cumsum(dtype=np.int64)
    index_a = np.arange(merged.size)
    index_a -= index_b
    index_b -= 1
    index_b[0] = 0  # both masks start at pixel 0, and this entry has length zero
    return index_a, index_b, lengths


def numbered(values: npt.NDArray[Any]) -> tuple[Counts, Counts]:
    """Return the distinct values, ascending, and the place of each value among them.

    Returns
    -------
    distinct : ndarray of int64, shape (k,)
    places : ndarray of int64, of the shape of the values

    Examples
    --------
    >>> distinct, places = numbered(np.array([[7, -1], [7, 90]]))
    >>> distinct.tolist(), places.tolist()
    ([-1, 7, 90], [[1, 0], [1, 2]])
    """
    low, high = int(values.min()), int(values.max())
    if high - low >= TABLE:
        distinct, places = np.unique(values, return_inverse=True)
        return distinct.astype(np.int64), places.reshape(values.shape).astype(np.int64, copy=False)
    codes = values.astype(np.int64)
    if low:
        codes -= low
    present = np.zeros(high - low + 1, np.bool_)
    present[codes.reshape(-1)] = True
    return present.nonzero()[0] + low, (present.cumsum() - 1).take(codes)


def _codes(values: npt.NDArray[Any]) -> tuple[int | npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Return numbers from 0 for the values, in their order: by an offset where they lie close together."""
    if values.dtype == np.uint8:
        return 0, values.astype(np.int64)
    low, high = int(values.min()), int(values.max())
    if high - low < DENSE:
        codes = values.astype(np.int64)
        if low:
            codes -= low
        return low, codes
    return numbered(values)


def _ids(ids: int | npt.NDArray[Any], codes: npt.NDArray[np.int64]) -> Ids:
    return (codes + ids if isinstance(ids, int) else ids.take(codes)).astype(np.int32)
