"""Clocks and counters that the benchmarks share."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

__all__ = ["alternate", "folder_bytes", "median_ratio", "peak_bytes", "per_second", "timed"]


def timed(call: Callable[[], Any]) -> float:
    """Return how many seconds a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def alternate(*calls: Callable[[], Any], rounds: int, warm_up: int = 1) -> list[list[float]]:
    """Time the calls in turn, round after round, and return the seconds of each call's rounds.

    Another process that takes the machine for a while then slows all of a round, not one side of it.
    """
    for _ in range(warm_up):
        for call in calls:
            call()
    seconds = [[timed(call) for call in calls] for _ in range(rounds)]
    return [list(column) for column in zip(*seconds, strict=True)]


def median_ratio(theirs: Sequence[float], ours: Sequence[float]) -> float:
    """Return the median over the rounds of how many times as long the peer took."""
    return statistics.median(t / o for t, o in zip(theirs, ours, strict=True))


def peak_bytes() -> int:
    """Return this process's peak memory.

    ``ru_maxrss`` is kept across exec, so in a child it can be its parent's; the kernel's own
    high-water mark is not.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        scale = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files under a folder, each link of one file counted once."""
    files = [path.stat() for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return sum({(stat.st_dev, stat.st_ino): stat.st_size for stat in files}.values())


def per_second(count: int, seconds: Sequence[float]) -> str:
    """Return the median rate as text."""
    return f"{count / statistics.median(seconds):,.0f} rows/s"
