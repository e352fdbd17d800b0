"""What a process that runs for long lets go of, and goes back to the system."""

from __future__ import annotations

import ctypes
from typing import Final

__all__ = ["give_back"]

#: bytes from which on memory is the system's own, and goes back when it is let go of
LARGE: Final = 256 << 10
#: heaps that threads share; each keeps what it had to give once
HEAPS: Final = 2
#: what glibc calls the two
_LARGE, _HEAPS = -3, -8


def give_back() -> None:
    """Have large blocks of memory go back to the system at once, where its C library is glibc.

    It else learns from the first ones that there are, and keeps what it gave to NumPy and Arrow up to 32 MB each.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library
        return
    mallopt(_LARGE, LARGE)
    mallopt(_HEAPS, HEAPS)
