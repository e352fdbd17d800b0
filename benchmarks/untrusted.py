"""Queries with limits: what one costs beyond the same query in this process, and what the greediest of them take.

The memory is that of the process that answers, beyond what it had before the question, as Linux counts it.
"""

from __future__ import annotations

import contextlib
import re
import statistics
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import maskl
from benchmarks import resampling
from benchmarks.greedy import GREEDY, write
from benchmarks.report import Result, at_most, info
from benchmarks.timing import alternate, timed

__all__ = ["run"]

TIMEOUT: Final = 1.0
MEGABYTES: Final = 100
LIMIT: Final = f"{MEGABYTES}MB"
#: rows of each of the two runs that plain queries are about
ROWS: Final = 10_000
#: stores that are opened and asked once each, for what the first question waits
FIRST: Final = 5
ROUNDS: Final = 15
#: seconds between two looks at the memory of a process
PAUSE: Final = 0.005
PLAIN: Final = (
    "SELECT 1",
    "FROM history",
    "SELECT class_name, sum(pixels) FROM class_pixels GROUP BY ALL",
    "FROM class_coverage('evaluation')",
    "FROM mean_iou('evaluation')",
)


def run(scale: float) -> list[Result]:
    """Ask plain queries both ways, then all the greedy ones."""
    with tempfile.TemporaryDirectory(prefix="maskl-bench-") as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore", maskl.errors.MasklWarning)
        plain, greedy = Path(temporary) / "plain", Path(temporary) / "greedy"
        resampling.write(plain, max(10, round(ROWS * scale)))
        write(greedy)
        return [*_costs(plain), _first(plain), *_taken(greedy, scale)]


def _costs(folder: Path) -> Iterator[Result]:
    store = maskl.open(folder)
    for query in PLAIN:
        here, there = alternate(
            lambda query=query: store.sql(query).fetchall(),  # type: ignore[misc]  # bound here
            lambda query=query: store.sql(query, timeout=60, memory_limit="500MB").fetchall(),  # type: ignore[misc]
            rounds=ROUNDS,
        )
        more = statistics.median(b - a for a, b in zip(here, there, strict=True)) * 1000
        told = f"{statistics.median(there) * 1000:.1f} ms"
        yield at_most(f"`{query}` with limits", told, f"without: {statistics.median(here) * 1000:.1f} ms", more, 30)


def _first(folder: Path) -> Result:
    taken = []
    for _ in range(FIRST):
        store = maskl.open(folder)
        taken.append(timed(lambda store=store: store.sql("SELECT 1", timeout=60, memory_limit="500MB").fetchall()))  # type: ignore[misc]
        del store  # and with it its process
    return info("the first question with limits, `SELECT 1`", f"{statistics.median(taken) * 1000:.0f} ms")


def _taken(folder: Path, scale: float) -> Iterator[Result]:
    names = list(GREEDY)[:: max(1, round(1 / scale))]
    late, large, unanswered = [], [], []
    for name in names:
        store = maskl.open(folder)
        with _watched(store) as peak:
            began = time.perf_counter()
            with contextlib.suppress(maskl.errors.QueryError):
                store.sql(GREEDY[name], timeout=TIMEOUT, memory_limit=LIMIT)
            late.append((time.perf_counter() - began - TIMEOUT, name))
        large.append((peak[0], name))
        if store.sql("SELECT count(*) FROM runs", timeout=60, memory_limit=LIMIT).fetchall() != [(1,)]:
            unanswered.append(name)
    what = f"{len(names)} greedy queries, timeout {TIMEOUT:g} s, memory_limit {LIMIT}"
    (seconds, slowest), (memory, largest) = max(late), max(large)
    yield at_most(f"{what}: the longest, seconds beyond", f"{seconds:.2f} s", slowest, seconds, 1)
    yield at_most(f"{what}: the largest, MB", f"{memory:.0f} MB", largest, memory, MEGABYTES + 150)
    yield at_most("of which left the next query without an answer", str(len(unanswered)), "", len(unanswered), 0)
    yield info("the three longest", ", ".join(f"{name} {TIMEOUT + s:.2f} s" for s, name in sorted(late)[-3:]))
    yield info("the three largest", ", ".join(f"{name} {mb:.0f} MB" for mb, name in sorted(large)[-3:]))


@contextlib.contextmanager
def _watched(store: maskl.Store) -> Iterator[list[float]]:
    """Yield the megabytes that the process that answers a store's queries takes beyond what it has now."""
    store.sql("SELECT 1", timeout=60, memory_limit=LIMIT).fetchall()
    (child,) = store._children._idle  # type: ignore[union-attr]  # there is one: it has just answered
    status = Path(f"/proc/{child._process.pid}/status")
    Path(f"/proc/{child._process.pid}/clear_refs").write_text("5")  # the peak is from here on
    before, peak, done = _megabytes(status, "VmRSS"), [0.0], threading.Event()

    def look() -> None:
        while not done.wait(PAUSE):
            with contextlib.suppress(OSError, TypeError):  # it was ended
                peak[0] = max(peak[0], _megabytes(status, "VmHWM") - before)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def _megabytes(status: Path, name: str) -> float:
    return int(re.search(rf"{name}:\s+(\d+) kB", status.read_text())[1]) / 1024  # type: ignore[index]  # or it is gone
