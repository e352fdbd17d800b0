"""Class pixels and joint histograms, computed from the runs of encoded masks.

Everything here counts pixels exactly, in int64; the definitions that build on the counts (IoU, Dice,
coverage) live in SQL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from maskl_storage.errors import InvalidValue
from maskl_storage.runs import Runs

__all__ = ["MAX_CLASSES", "ClassPixels", "JointPixels", "class_pixels", "joint_pixels"]

#: a mask with more distinct ids than this holds instances or noise, not classes
MAX_CLASSES: Final = 4096
#: value ranges up to this size are counted by index, larger ones by sorting
DENSE: Final = 1 << 12

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


def class_pixels(runs: Runs) -> ClassPixels:
    """Count the pixels of every class id of a mask.

    Examples
    --------
    >>> from maskl_storage.codec import encode_with_runs
    >>> _, runs = encode_with_runs(np.array([[0, 0, 7], [7, 7, 7]]))
    >>> class_pixels(runs)
    ClassPixels(ids=array([0, 7], dtype=int32), pixels=array([2, 4]))
    """
    lengths = np.empty(runs.starts.size, np.float64)  # exact below 2**53
    np.subtract(runs.starts[1:], runs.starts[:-1], out=lengths[:-1], casting="unsafe")
    lengths[-1] = runs.size - int(runs.starts[-1])
    ids, codes = _codes(runs.values)
    counts = np.bincount(codes, lengths)
    present = counts.nonzero()[0]
    return ClassPixels(_ids(ids, present), counts.take(present).astype(np.int64))


def joint_pixels(a: Runs, b: Runs) -> JointPixels:
    """Count the pixels of every pair of class ids of two masks of the same size.

    The starts of both masks are merged, so the cost follows the number of runs, not of pixels.

    Raises
    ------
    InvalidValue
        The masks differ in shape.
    """
    if a.shape != b.shape:
        raise InvalidValue(f"masks of one shape are needed; got {a.shape} and {b.shape}")
    # one sort of (start, mask) packed in a number; runs of length zero, where both begin, weigh nothing
    merged = np.concatenate((a.starts << 1, (b.starts << 1) | 1))
    merged.sort()
    from_b = merged & 1
    merged >>= 1
    lengths = np.empty(merged.size, np.float64)
    np.subtract(merged[1:], merged[:-1], out=lengths[:-1], casting="unsafe")
    lengths[-1] = a.size - int(merged[-1])
    index_b = from_b.cumsum(dtype=np.int64)
    index_a = np.arange(merged.size) - index_b
    index_b -= 1
    index_b[0] = 0  # both masks start at pixel 0, and this entry has length zero
    ids_a, codes_a = _codes(a.values)
    ids_b, codes_b = _codes(b.values)
    width = int(codes_b.max()) + 1
    pairs = codes_a.take(index_a)
    pairs *= width
    pairs += codes_b.take(index_b)
    if (int(codes_a.max()) + 1) * width <= DENSE:
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
    ids, inverse = np.unique(values, return_inverse=True)
    return ids, inverse.astype(np.int64, copy=False)


def _ids(ids: int | npt.NDArray[Any], codes: npt.NDArray[np.int64]) -> Ids:
    return (codes + ids if isinstance(ids, int) else ids.take(codes)).astype(np.int32)
