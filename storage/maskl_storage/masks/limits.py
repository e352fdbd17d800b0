"""How many pixels a mask may have that is read: a few bytes can claim more than any memory holds."""

from __future__ import annotations

import os
from typing import Final

from maskl_storage.errors import InvalidValue, LargeMaskWarning, warn

__all__ = [
    "DEFAULT",
    "VARIABLE",
    "check_pixels",
    "max_mask_pixels",
    "parse_pixels",
    "set_max_mask_pixels",
    "warn_of_pixels",
]

#: pixels that a mask may have where nothing else is said
DEFAULT: Final = 1 << 29
#: the environment variable that says something else
VARIABLE: Final = "MASKL_MAX_MASK_PIXELS"


class _Limit:
    """The limit of this process, where one was set, and whether a larger mask was warned of."""

    pixels: int | None = None
    warned: bool = False


def max_mask_pixels() -> int:
    """Return how many pixels a mask may have: as it was set in this process, else by the environment, else 2²⁹.

    Raises
    ------
    InvalidValue
        The environment variable holds no such number.
    """
    if _Limit.pixels is not None:
        return _Limit.pixels
    text = os.environ.get(VARIABLE)
    return parse_pixels(text, f"the environment variable {VARIABLE}") if text else DEFAULT


def set_max_mask_pixels(pixels: int | None) -> None:
    """Set how many pixels a mask may have that this process reads; None leaves it to the environment."""
    _Limit.pixels = pixels


def parse_pixels(value: object, what: str) -> int:
    """Return a number of pixels, also from a text, or raise InvalidValue."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidValue(f"{what} must be a whole number of pixels above 0; got {value!r:.60}")
    return value


def check_pixels(height: int, width: int) -> None:
    """Raise InvalidValue for a mask that is larger than this process reads."""
    if height * width > (most := max_mask_pixels()):
        raise InvalidValue(
            f"a mask of {width}×{height} pixels has more than max_mask_pixels, {most:,}: where it is meant to be so "
            f"large, set {VARIABLE}, or Settings(max_mask_pixels=...)"
        )


def warn_of_pixels(height: int, width: int) -> None:
    """Warn once in a process of a mask that is written and larger than readers take by default."""
    if height * width > (most := max_mask_pixels()) and not _Limit.warned:
        _Limit.warned = True
        warn(
            f"a mask of {width}×{height} pixels has more than max_mask_pixels, {most:,}: it is stored, and read only "
            f"where {VARIABLE} or Settings(max_mask_pixels=...) allows it",
            LargeMaskWarning,
        )
