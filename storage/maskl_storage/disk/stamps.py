"""By what a file is known to be the one that was read."""

from __future__ import annotations

import os

__all__ = ["Stamp", "stamp_of"]

#: times of modification and change, size and inode of a file
Stamp = tuple[int, int, int, int]


def stamp_of(stat: os.stat_result) -> Stamp:
    """Return what changes when a file does."""
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino
