"""Class coverage in SQL over a million logged rows, against what DuckDB needs to add up their pixels."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import duckdb

import maskl
from benchmarks.data import CLASSES, ROOT
from benchmarks.report import Result, at_most, info
from benchmarks.timing import alternate, folder_bytes, median_ratio, size

__all__ = ["run"]

ROWS: Final = 1_000_000
ROUNDS: Final = 9
SLOW_ROUNDS: Final = 3
COVERAGE: Final = "FROM class_coverage('evaluation')"
FROM_VIEW: Final = """
    SELECT class_name, sum(pixels) / sum(mask_pixels) AS coverage FROM class_pixels
    WHERE table_name = 'evaluation' AND mask_key = 'ground_truth' GROUP BY class_name
"""


def run(scale: float) -> list[Result]:
    """Write the store in a process of its own, then ask."""
    count = max(10_000, round(ROWS * scale))
    with tempfile.TemporaryDirectory(prefix="maskl-bench-") as temporary:
        folder = Path(temporary)
        written = _write(count, folder)
        store = maskl.open(folder)
        _check(store, count)
        return [*_queries(folder, store, count), *_writing(written, folder, count)]


def _write(count: int, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.coverage_writer", str(count), str(folder)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def _check(store: maskl.Store, count: int) -> None:
    rows = store.sql(f"SELECT class_name, pixels, coverage, n_rows {COVERAGE}").fetchall()
    direct = dict(store.sql(FROM_VIEW).fetchall())
    if len(rows) != len(CLASSES) or any(n_rows != count for *_, n_rows in rows):
        raise AssertionError(f"coverage of {len(CLASSES)} classes of {count} rows is wrong: {rows}")
    if any(abs(direct[name] - share) > 1e-12 for name, _, share, _ in rows):
        raise AssertionError("the totals and the rows that they sum disagree")


def _queries(folder: Path, store: maskl.Store, count: int) -> list[Result]:
    files = [str(path) for path in (folder / "maskl-store").glob("class_pixels/**/*.parquet")]
    plain = duckdb.connect()
    scan = f"SELECT sum(pixels) FROM read_parquet({files})"
    coverage, summed = alternate(
        lambda: store.sql(COVERAGE).fetchall(), lambda: plain.execute(scan).fetchall(), rounds=ROUNDS, warm_up=2
    )
    peer = f"DuckDB sum(pixels) {_millis(summed)}"
    gate = at_most(
        f"class_coverage, {count:,} rows × 2 masks", _millis(coverage), peer, 1 / median_ratio(summed, coverage), 3
    )
    return [
        gate,
        _asked("the same from the view class_pixels", lambda: store.sql(FROM_VIEW).fetchall(), summed),
        _asked("class_iou", lambda: store.sql("FROM class_iou('evaluation')").fetchall(), summed),
        _asked("mean_iou", lambda: store.sql("FROM mean_iou('evaluation')").fetchall(), summed),
        _asked("open and ask for class_coverage", lambda: maskl.open(folder).sql(COVERAGE).fetchall(), summed),
    ]


def _asked(what: str, call: Callable[[], Any], summed: Sequence[float]) -> Result:
    (seconds,) = alternate(call, rounds=SLOW_ROUNDS)
    ratio = statistics.median(seconds) / statistics.median(summed)
    return info(what, _millis(seconds), ratio=ratio)


def _writing(written: dict[str, Any], folder: Path, count: int) -> list[Result]:
    store = folder / "maskl-store"
    kinds = {path.name: folder_bytes(path) for path in store.iterdir() if path.is_dir()}
    largest = sorted(kinds.items(), key=lambda item: -item[1])[:3]
    parts = len(list(store.glob("class_pixels/**/*.parquet")))
    return [
        info("writing it", f"{written['seconds']:.1f} s, {count / written['seconds']:,.0f} rows/s"),
        info("peak memory of the writer", size(written["peak"]), f"before writing {size(written['before'])}"),
        info("on disk", ", ".join(f"{kind} {size(total)}" for kind, total in largest), f"{parts} parts of each"),
    ]


def _millis(seconds: Sequence[float]) -> str:
    return f"{1000 * statistics.median(seconds):,.1f} ms"
