"""Intervals of the change between two runs: 10,000 rows of 20 classes and 1,000 resamples.

In Python, on the command line, and as plain SQL in a DuckDB without maskl.
"""

from __future__ import annotations

import contextlib
import io
import math
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np

import maskl
from benchmarks.cells import image_cell, image_of_all
from benchmarks.data import ROOT
from benchmarks.report import Result, at_most
from benchmarks.timing import timed
from maskl_storage import ClassItem, Column, ImageCell, Layout, Rows, RunInfo, Writer, locate
from maskl_storage.format.metadata import ClassSet

__all__ = ["run", "write"]

ROWS: Final = 10_000
CLASSES: Final = 20
RESAMPLES: Final = 1_000
SIDE: Final = 20
ROUNDS: Final = 5
TABLE: Final = "evaluation"
CLASS_SET: Final = ClassSet(ClassItem(number, f"class {number:02}") for number in range(CLASSES))
COLUMNS: Final = (Column("value", "id", "int", primary_key=True), Column("image", "image"))
QUERY: Final = "FROM compare_classes('{}', 'main', 'candidate', resamples := {})"


def run(scale: float) -> list[Result]:
    """Write a store of two runs and compare them in three ways."""
    rows, resamples = max(100, round(ROWS * scale)), RESAMPLES
    with tempfile.TemporaryDirectory(prefix="maskl-bench-") as temporary:
        folder = Path(temporary)
        write(folder, rows)
        store = maskl.open(folder)
        what = f"{rows:,} rows × {CLASSES} classes × {resamples:,} resamples"
        query = QUERY.format(TABLE, resamples)
        command = [sys.executable, "-m", "maskl", "compare", "main", "candidate", "--dir", str(folder)]
        command += ["--resamples", str(resamples)]
        with duckdb.connect() as plain:
            plain.execute(store.setup_sql())
            _check(store, plain, query, resamples)
            return [
                _result(
                    f"store.compare(…), {what}",
                    lambda: store.compare(TABLE, "main", "candidate", resamples=resamples),
                    lambda: store.compare(TABLE, "main", "candidate"),
                    1.0,
                ),
                _result(
                    f"maskl compare --resamples {resamples}, {what}",
                    lambda: _run(command),
                    lambda: _run(command[:-2]),
                    1.0,
                ),
                _result(
                    f"`{query}`, {what}, without maskl",
                    lambda: plain.execute(query).fetchall(),
                    lambda: plain.execute(QUERY.format(TABLE, 0)).fetchall(),
                    6.0,
                ),
            ]


def _run(command: list[str]) -> None:
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def _check(store: maskl.Store, plain: duckdb.DuckDBPyConnection, query: str, resamples: int) -> None:
    ours = store.compare(TABLE, "main", "candidate", resamples=resamples).to_pylist()
    theirs = plain.sql(query).to_arrow_table().to_pylist()
    if len(ours) != CLASSES or any(
        not math.isclose(a[name], b[name], rel_tol=0, abs_tol=1e-12)
        for a, b in zip(ours, theirs, strict=True)
        for name in ("change", "change_low", "change_high")
    ):
        raise AssertionError(f"Python and SQL disagree: {ours[:1]} and {theirs[:1]}")


def _result(what: str, call: Callable[[], Any], without: Callable[[], Any], seconds: float) -> Result:
    """Return the median of some rounds, beside the same question without intervals."""
    call()
    taken, plain = [], []
    for _ in range(ROUNDS):
        taken.append(timed(call))
        plain.append(timed(without))
    median = statistics.median(taken)
    peer = f"without intervals {statistics.median(plain):.2f} s"
    return at_most(what, f"{median:.2f} s ({min(taken):.2f} to {max(taken):.2f})", peer, median, seconds)


def write(folder: Path, rows: int = ROWS) -> None:
    """Write two runs of rows of two masks with every class; what the second predicts is right a little more often."""
    layout = Layout.create(locate(folder))
    for number, name in enumerate(("main", "candidate")):
        with contextlib.redirect_stderr(io.StringIO()):
            writer = Writer(layout, RunInfo(f"{name}-1", name))
            if not number:  # the rows of the other refer to it
                writer.add_image(image_of_all(SIDE))
            cells = [(row, _cell(row, 0.7 + 0.01 * number, number)) for row in range(rows)]
            writer.write({TABLE: Rows(COLUMNS, cells)}, 0)
            writer.close()


def _cell(row: int, share: float, number: int) -> ImageCell:
    rng = np.random.default_rng(row)
    truth = np.repeat(rng.permutation(CLASSES), SIDE * SIDE // CLASSES).reshape(SIDE, SIDE).astype(np.uint8)
    rng = np.random.default_rng([row, number])
    wrong = rng.integers(0, CLASSES, (SIDE, SIDE), np.uint8)
    arrays = {"ground_truth": truth, "predictions": np.where(rng.random((SIDE, SIDE)) < share, truth, wrong)}
    return image_cell(arrays, CLASS_SET)


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]))
