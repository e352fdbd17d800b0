"""Numbers as 8-bit pixels: which range they were meant in, by what an array looks like, and what is clipped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from maskl_storage.errors import ConversionWarning, warn

__all__ = ["to_bytes"]

#: how far beyond the ends of its range rounding and resampling take a value: clipped without a word
SLACK: Final = 0.05
#: how far a sharp filter or noise takes one: clipped with a warning
OVERSHOOT: Final = 0.5
#: below 0 by less than this is an error of computing, whatever the other values are
ROUNDING: Final = 1e-3
#: a picture in [0, 1] has at most this share of values below 0
BELOW: Final = 0.05
#: of so many values one may lie anywhere without saying what range the others are in
ONE_OF: Final = 1000
#: one of so many values, at least, is none of 0 and 1 where most are within them: the others are then meant so
FRACTIONS: Final = 100
#: fractions up to here are no picture in 0–255 that one can see
DARK: Final = 16
#: values that are converted at a time
BLOCK: Final = 1 << 16

Numbers = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class _Scale:
    """What a range becomes 0–255 by: an offset that is added, and a factor then."""

    name: str
    offset: float
    factor: float


UNIT: Final = _Scale("[0, 1]", 0, 255)
SIGNED: Final = _Scale("[−1, 1]", 1, 127.5)
BYTES: Final = _Scale("0–255", 0, 1)


def to_bytes(array: Numbers, *, normalize: bool = True) -> npt.NDArray[np.uint8]:
    """Return numbers as 8-bit pixels.

    Parameters
    ----------
    array : ndarray of bool, int or float
        The numbers. uint8 is returned as it is.
    normalize : bool, optional
        Whether floats that are meant in [0, 1] or [−1, 1] are scaled to 0–255; see :func:`_judge`.

    Warns
    -----
    ConversionWarning
        Values were clipped, or are NaN or infinite, or it is not clear which range they were meant in.

    Examples
    --------
    >>> to_bytes(np.array([[-0.03, 0.5, 1.04]])).tolist()
    [[0, 128, 255]]
    """
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        white = array.astype(np.uint8, order="C")
        white *= np.uint8(255)
        return white
    if array.dtype.kind == "f":
        return _scaled(array, normalize)
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > 255:
        _warn_of_range(low, high, "were clipped to 0–255: scale them before logging")
        return _in_blocks(array, lambda block: block.clip(0, 255))
    return array.astype(np.uint8, order="C")


def _scaled(array: Numbers, normalize: bool) -> npt.NDArray[np.uint8]:
    low, high, finite = _range(array)
    scale = _judge(array, low, high) if normalize else _as_bytes(low, high)
    if not finite:
        warn("image values that are NaN or infinite, or hidden by a masked array, were stored as 0", ConversionWarning)

    def convert(block: Numbers) -> npt.NDArray[np.float64]:
        values = block.astype(np.float64)
        known = None if finite else np.isfinite(values)
        if scale.offset:
            values += scale.offset
        if scale.factor != 1:
            values *= scale.factor
        values.clip(0, 255, out=values)
        if known is not None:
            values[~known] = 0
        return np.rint(values, out=values)

    return _in_blocks(array, convert)


# --- which range is meant -----------------------------------------------------------------------


def _judge(array: Numbers, low: float, high: float) -> _Scale:
    """Return which range floats are meant in, and warn where that is not clear.

    Whatever is within the ends of [0, 1] or [−1, 1], or not far beyond, is meant in it: what computing and
    resampling add is clipped. Few values that lie anywhere else say nothing of the others. The rest is in 0–255.
    """
    if low >= -SLACK and high <= 1 + SLACK:
        if low < -ROUNDING and high < OVERSHOOT:
            _warn_of_range(low, high, _unclear(UNIT))
        return UNIT
    if low >= -OVERSHOOT and high <= 1 + OVERSHOOT:
        scale = UNIT if high > 1 + SLACK else _unit_or_signed(low, array < 0)
        _warn_of_range(low, high, _unclear(scale))
        return scale
    if low >= -1 - OVERSHOOT and high <= 1 + OVERSHOOT:
        if low < -1 - SLACK or high > 1 + SLACK:
            _warn_of_range(low, high, _unclear(SIGNED))
        return SIGNED
    return _without_outliers(array, low, high) or _as_bytes(low, high, array)


def _without_outliers(array: Numbers, low: float, high: float) -> _Scale | None:
    """Return the range of all values but very few; None where these are more, or it is 0–255."""
    inside = (array >= -1 - SLACK) & (array <= 1 + SLACK)
    count = int(np.count_nonzero(inside))
    others = int(np.count_nonzero(np.isfinite(array))) - count
    if others * ONE_OF > array.size:
        return None
    whole = (array == 0) | (array == 1) | (array == -1)
    if (count - int(np.count_nonzero(whole))) * FRACTIONS < count:
        return None
    scale = _unit_or_signed(float(array.min(where=inside, initial=np.inf)), inside & (array < 0))
    _warn_of_range(
        low,
        high,
        f"were taken as {scale.name}, since all but {others:,} of {array.size:,} lie there, and these were clipped: "
        f"where 0–255 is meant, pass normalize=False",
    )
    return scale


def _as_bytes(low: float, high: float, array: Numbers | None = None) -> _Scale:
    """Return 0–255 for values that are in no other range, with a warning where they do not look so."""
    if low < -0.5 or high > 255.5:  # else they round to one that is there
        _warn_of_range(low, high, "were clipped to 0–255: scale them to [0, 1] before logging")
    elif array is not None and high <= DARK and bool((array != np.rint(array)).any()):
        _warn_of_range(low, high, "were taken as 0–255, where they are almost black: scale them to [0, 1]")
    return BYTES


def _unclear(scale: _Scale) -> str:
    return f"were taken as {scale.name} and clipped to it: scale them to [0, 1] before logging where that is wrong"


def _unit_or_signed(low: float, below: npt.NDArray[np.bool_]) -> _Scale:
    """Return the range of values of which some are below 0: in [0, 1], these are few and not far below."""
    few = low >= -SLACK or (low >= -OVERSHOOT and int(np.count_nonzero(below)) <= BELOW * below.size)
    return UNIT if few else SIGNED


def _warn_of_range(low: float, high: float, what: str) -> None:
    warn(f"image values from {low:g} to {high:g} {what}", ConversionWarning)


def _range(array: Numbers) -> tuple[float, float, bool]:
    """Return the lowest and the highest finite value, 0 where there is none, and whether all are finite."""
    with np.errstate(invalid="ignore"):
        low, high = float(array.min()), float(array.max())
    if np.isfinite(low) and np.isfinite(high):
        return low, high, True
    known = np.isfinite(array)
    if not known.any():
        return 0.0, 0.0, False
    return float(array.min(where=known, initial=np.inf)), float(array.max(where=known, initial=-np.inf)), False


def _in_blocks(array: Numbers, convert: Callable[[Numbers], Numbers]) -> npt.NDArray[np.uint8]:
    """Convert some rows at a time, since what converting takes may be many times the array."""
    made = np.empty(array.shape, np.uint8)
    rows = max(1, BLOCK * len(array) // array.size)
    for start in range(0, len(array), rows):
        made[start : start + rows] = convert(array[start : start + rows])
    return made
