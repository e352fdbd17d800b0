"""Memory of a process that reads a large table from end to end, over what its first thousand rows took.

Usage, for one case in a process of its own: python -m benchmarks.memory {rows,frames,batches} DIR
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
from rich.filesize import decimal

import maskl
from benchmarks.data import distinct
from benchmarks.random_access import log_scenes
from benchmarks.report import Result, at_most
from benchmarks.timing import peak_bytes

__all__ = ["run"]

ROWS: Final = 100_000
SCENES: Final = 404
FIRST: Final = 1_000
#: one frame of so many is decoded: all would take an hour
EACH: Final = 20
LIMIT: Final = 250


def run(scale: float) -> list[Result]:
    """Measure reading rows with their masks decoded, with frames too, and as Arrow batches."""
    rows = max(4 * FIRST, round(ROWS * scale))
    with tempfile.TemporaryDirectory(prefix="maskl-bench-") as temporary:
        folder = Path(temporary)
        log_scenes(folder, distinct(min(SCENES, rows)), rows)
        return [_measure(folder, case, what.format(rows)) for case, (what, _) in CASES.items()]


def _measure(folder: Path, case: str, what: str) -> Result:
    command = [sys.executable, "-m", "benchmarks.memory", case, str(folder)]
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=root)
    report = json.loads(done.stdout.splitlines()[-1])
    growth = report["peak"] - report["first"]
    first = f"after the first {FIRST:,} rows {decimal(report['first'])}"
    return at_most(f"{what}: MB over the first {FIRST:,} rows", decimal(report["peak"]), first, growth / 1e6, LIMIT)


def _rows(folder: Path) -> Iterator[int]:
    for row in maskl.open(folder).table("evaluation"):
        for mask in row["image"].masks.values():
            mask.mask_data  # noqa: B018  # decodes
        yield 1


def _frames(folder: Path) -> Iterator[int]:
    for number, row in enumerate(maskl.open(folder).table("evaluation")):
        if number % EACH == 0:
            np.asarray(row["image"].image)
        yield 1


def _batches(folder: Path) -> Iterator[int]:
    for batch in maskl.open(folder).table("evaluation").iter_batches(size=FIRST):
        yield batch.num_rows


CASES: Final[dict[str, tuple[str, Callable[[Path], Iterator[int]]]]] = {
    "rows": ("iterating over {:,} rows, two masks decoded", _rows),
    "frames": (f"iterating over {{:,}} rows, one frame of {EACH} decoded", _frames),
    "batches": ("iter_batches over {:,} rows", _batches),
}


def main() -> None:
    """Read, and report the peak after the first rows and at the end."""
    case, folder = sys.argv[1], Path(sys.argv[2])
    read, first = 0, 0
    for count in CASES[case][1](folder):
        read += count
        if not first and read >= FIRST:
            first = peak_bytes()
    print(json.dumps({"first": first, "peak": peak_bytes(), "rows": read}))


if __name__ == "__main__":
    main()
