"""What it costs to read parts against the hashes of their seals: the first query of a process, with that and without.

Over a million rows, and over a store of thousands of runs, whose parts are tiny. Each round opens the store anew and
has the process forget which files it has read; the files themselves are in the system's cache.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import maskl
from benchmarks import many_runs
from benchmarks.data import ROOT
from benchmarks.report import Result, at_most
from benchmarks.timing import alternate
from maskl_storage.disk import hashes

__all__ = ["run"]

ROWS: Final = 1_000_000
QUERIES: Final = (
    "FROM class_coverage('evaluation')",
    "FROM class_iou('evaluation')",
    "FROM row_iou('evaluation') ORDER BY mean_iou LIMIT 20",
    "SELECT class_name, sum(tp) FROM class_scores GROUP BY ALL",
    "SELECT class_name, sum(pixels) FROM class_pixels GROUP BY ALL",
    "SELECT sum(pixels) FROM confusion",
)
OF_MANY: Final = ("FROM class_iou('evaluation')", "SELECT key, avg(value) FROM history GROUP BY ALL")
ROUNDS: Final = 15
OF_MANY_ROUNDS: Final = 5
LIMIT: Final = 1.1


def run(scale: float) -> list[Result]:
    """Write both stores, then ask."""
    count, runs = max(10_000, round(ROWS * scale)), max(10, round(many_runs.RUNS * scale))
    with tempfile.TemporaryDirectory(prefix="maskl-bench-") as temporary:
        large, many = Path(temporary, "large"), Path(temporary, "many")
        command = [sys.executable, "-m", "benchmarks.evaluation_writer", str(count), str(large), "1"]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        results = list(measured(large, QUERIES, f"{count:,} rows", ROUNDS))
        many_runs.write(many, runs)
        return [*results, *measured(many, OF_MANY, f"{runs:,} runs", OF_MANY_ROUNDS)]


def measured(folder: Path, queries: Sequence[str], of: str, rounds: int) -> Iterator[Result]:
    """Yield what the first of each query takes, with the hashes and without."""

    def first(query: str, *, checks: bool) -> Callable[[], object]:
        def ask() -> object:
            hashes.set_check_hashes(checks)
            hashes.forget()
            return maskl.open(folder).sql(query).fetchall()

        return ask

    try:
        for query in queries:
            checked, plain = alternate(first(query, checks=True), first(query, checks=False), rounds=rounds)
            ratio = statistics.median(c / p for c, p in zip(checked, plain, strict=True))
            took, without = (f"{statistics.median(seconds) * 1000:.0f} ms" for seconds in (checked, plain))
            yield at_most(f"the first `{query}` of {of}", took, f"without hashes: {without}", ratio, LIMIT)
    finally:
        hashes.set_check_hashes(None)
