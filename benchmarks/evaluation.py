"""Evaluation in SQL over a million logged rows, against what DuckDB needs to add up the pixels of their pairs.

And over ten thousand rows against decoding every mask of a Hugging Face dataset.
"""

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
from rich.filesize import decimal

import maskl
from benchmarks import hugging_face
from benchmarks.data import CLASSES, ROOT
from benchmarks.report import Result, at_most, info
from benchmarks.timing import alternate, folder_bytes, median_ratio

__all__ = ["run"]

ROWS: Final = 1_000_000
FEW_ROWS: Final = 10_000
RUNS: Final = (1, 100)
ROUNDS: Final = 9
SLOW_ROUNDS: Final = 3
COVERAGE: Final = "FROM class_coverage('evaluation')"
IOU: Final = "FROM class_iou('evaluation')"
WORST: Final = "FROM row_iou('evaluation') ORDER BY mean_iou LIMIT 20"
#: milliseconds that a question may take that an open store was asked before
AGAIN: Final = 12
#: each with how many times the raw sum it may take
LIMITS: Final = ((COVERAGE, 3), (IOU, 4), (WORST, 4))
MORE: Final = (
    "FROM mean_iou('evaluation')",
    "FROM confusion_matrix('evaluation')",
    "FROM row_class_iou('evaluation') WHERE class_name = 'car' ORDER BY iou LIMIT 20",
    "FROM cooccurrence('evaluation')",
)
FROM_VIEW: Final = """
    SELECT class_name, sum(pixels) / sum(mask_pixels) AS coverage FROM class_pixels
    WHERE table_name = 'evaluation' AND mask_key = 'ground_truth' GROUP BY class_name
"""


def run(scale: float) -> list[Result]:
    """Write the stores in processes of their own, then ask."""
    count = max(FEW_ROWS, round(ROWS * scale))
    with tempfile.TemporaryDirectory(prefix="maskl-bench-") as temporary:
        _write(FEW_ROWS, Path(temporary), runs=1)
        results = _again(Path(temporary), FEW_ROWS)
    for runs in RUNS:
        with tempfile.TemporaryDirectory(prefix="maskl-bench-") as temporary:
            folder = Path(temporary)
            written = _write(count, folder, runs)
            store = maskl.open(folder)
            _check(store, count, runs)
            results += _queries(folder, store, count, runs)
            if runs == 1:
                results += [*_again(folder, count), *_more(folder, store), *_writing(written, folder, count)]
    return results + hugging_face.run(scale)


def _write(count: int, folder: Path, runs: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.evaluation_writer", str(count), str(folder), str(runs)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def _check(store: maskl.Store, count: int, runs: int) -> None:
    rows = store.sql(f"SELECT class_name, coverage, n_rows {COVERAGE}").fetchall()
    if len(rows) != len(CLASSES) * runs or sum(n_rows for *_, n_rows in rows) != count * len(CLASSES):
        raise AssertionError(f"coverage of {len(CLASSES)} classes of {count} rows in {runs} runs is wrong: {rows[:3]}")
    direct = dict(store.sql(FROM_VIEW).fetchall())
    if runs == 1 and any(abs(direct[name] - share) > 1e-12 for name, share, _ in rows):
        raise AssertionError("the totals and the rows that they sum disagree")
    counts = "SELECT sum(tp), sum(fp), sum(fn) FROM {}('evaluation') WHERE class_name = 'car'"
    by_class, by_row = (store.sql(counts.format(macro)).fetchall() for macro in ("class_iou", "row_class_iou"))
    if by_class != by_row:
        raise AssertionError(f"the counts of all rows are {by_row}, those of the run {by_class}")


def _queries(folder: Path, store: maskl.Store, count: int, runs: int) -> list[Result]:
    plain = duckdb.connect()
    scan = f"SELECT sum(pixels) FROM read_parquet({_files(folder, 'confusion')})"
    where = f"{count:,} rows × 2 masks in {runs} run{'s' if runs > 1 else ''}"
    results = []
    for query, limit in LIMITS:
        asked, summed = alternate(
            lambda query=query: store.sql(query).fetchall(),  # type: ignore[misc]  # bound to this round's query
            lambda: plain.execute(scan).fetchall(),
            rounds=ROUNDS,
            warm_up=2,
        )
        peer = f"DuckDB sum(pixels) of confusion {_millis(summed)}"
        ratio = 1 / median_ratio(summed, asked)
        results.append(at_most(f"`{query}`, {where}", _millis(asked), peer, ratio, limit))
    return results


def _again(folder: Path, count: int) -> list[Result]:
    """Ask an open store the same once more; what it is beside is the first question of a store that is opened anew."""
    stores = [maskl.open(folder)]

    def first() -> None:
        stores[:] = [maskl.open(folder)]
        stores[0].sql(IOU).fetchall()

    begun, again = alternate(first, lambda: stores[0].sql(IOU).fetchall(), rounds=2 * ROUNDS, warm_up=2)
    took = 1000 * statistics.median(again)
    what = f"`{IOU}` asked again on an open store, {count:,} rows"
    return [at_most(what, _millis(again), f"the first question {_millis(begun)}", took, AGAIN)]


def _more(folder: Path, store: maskl.Store) -> list[Result]:
    plain = duckdb.connect()
    scan = f"SELECT sum(pixels) FROM read_parquet({_files(folder, 'class_pixels')})"
    asked, summed = alternate(
        lambda: store.sql(COVERAGE).fetchall(), lambda: plain.execute(scan).fetchall(), rounds=ROUNDS, warm_up=2
    )
    peer = f"DuckDB sum(pixels) of class_pixels {_millis(summed)}"
    return [
        at_most(f"`{COVERAGE}`, one run", _millis(asked), peer, 1 / median_ratio(summed, asked), 3),
        _asked("the same from the view class_pixels", lambda: store.sql(FROM_VIEW).fetchall()),
        *(_asked(f"`{query}`", lambda query=query: store.sql(query).fetchall()) for query in MORE),  # type: ignore[misc]  # as above
        _asked("open and ask for class_coverage", lambda: maskl.open(folder).sql(COVERAGE).fetchall()),
    ]


def _asked(what: str, call: Callable[[], Any]) -> Result:
    (seconds,) = alternate(call, rounds=SLOW_ROUNDS)
    return info(what, _millis(seconds))


def _writing(written: dict[str, Any], folder: Path, count: int) -> list[Result]:
    store = folder / "maskl-store"
    kinds = {path.name: folder_bytes(path) for path in store.iterdir() if path.is_dir()}
    largest = sorted(kinds.items(), key=lambda item: -item[1])[:5]
    parts = len(list(store.glob("class_pixels/**/*.parquet")))
    return [
        info("writing it", f"{written['seconds']:.1f} s, {count / written['seconds']:,.0f} rows/s"),
        info("peak memory of the writer", decimal(written["peak"]), f"before writing {decimal(written['before'])}"),
        info("on disk", ", ".join(f"{kind} {decimal(total)}" for kind, total in largest), f"{parts} parts of each"),
    ]


def _files(folder: Path, kind: str) -> list[str]:
    return [str(path) for path in (folder / "maskl-store").glob(f"{kind}/**/*.parquet")]


def _millis(seconds: Sequence[float]) -> str:
    return f"{1000 * statistics.median(seconds):,.1f} ms"
