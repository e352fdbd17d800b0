"""Long runs: memory while logging, rows a second and questions as a table grows, files left, the price of fsync."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import duckdb
from rich.filesize import decimal

import maskl
from benchmarks.data import distinct
from benchmarks.peers import WANDB, prepare, wandb_python
from benchmarks.report import Result, at_least, at_most, info
from benchmarks.timing import alternate, median_ratio, timed

__all__ = ["footprint", "run"]

ROWS: Final = 100_000
WANDB_ROWS: Final = 1_000
SCENES: Final = 404
SMALL: Final = (10_000, 100_000, 1_000_000)
DAY: Final = 86_400
CALLS: Final = 300
ROUNDS: Final = 5
MEMORY_LIMIT: Final = 250
FILES_LIMIT: Final = 40
WORKER: Final = Path(__file__).with_name("long_runs_worker.py")
COVERAGE: Final = "FROM class_coverage('evaluation')"


def run(scale: float) -> list[Result]:
    """Measure how logging and questions slow down as a table grows, and what fsync costs."""
    with tempfile.TemporaryDirectory(prefix="maskl-bench-") as temporary:
        folder = Path(temporary)
        return [*_growth(folder / "growth", scale), _fsync(folder / "fsync", scale)]


def footprint(scale: float) -> list[Result]:
    """Measure the memory of logging a large table, and the files that a long run leaves."""
    with tempfile.TemporaryDirectory(prefix="maskl-bench-") as temporary:
        folder = Path(temporary)
        return [*_memory(folder / "memory", scale), _day(folder / "day", scale)]


def _work(python: Path, case: str, *arguments: object, out: Path) -> dict[str, Any]:
    out.mkdir(parents=True, exist_ok=True)
    os.sync()
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("WANDB_", "MASKL_"))}
    folders = {f"WANDB_{name}": str(out) for name in ("DIR", "DATA_DIR", "ARTIFACT_DIR", "CACHE_DIR", "CONFIG_DIR")}
    more = folders | {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "MASKL_SILENT": "true"}
    command = [str(python), str(WORKER), case, *map(str, arguments), str(out)]
    done = subprocess.run(command, env=kept | more, check=True, stdout=subprocess.PIPE)
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def _memory(folder: Path, scale: float) -> list[Result]:
    rows, fewer = max(4_000, round(ROWS * scale)), max(100, round(WANDB_ROWS * scale))
    scenes = distinct(min(SCENES, rows))
    prepare(folder / "data", scenes, [[scene.final for scene in scenes]], files=False)
    ours = _work(Path(sys.executable), "memory", "maskl", rows, folder / "data", out=folder / "maskl")
    theirs = _work(wandb_python(), "memory", "wandb", fewer, folder / "data", out=folder / "wandb")
    grown = (ours["peak"] - ours["first"]) / 1e6
    curve = ", ".join(decimal(level) for level in theirs["curve"])
    peer = f"W&B {WANDB}, after each quarter of {fewer:,} rows: {curve}"
    what = f"logging {rows:,} rows: MB over the first 1,000 rows"
    return [at_most(what, decimal(ours["peak"]), f"after 1,000 rows {decimal(ours['first'])}", grown, MEMORY_LIMIT),
            info("after each quarter of them", ", ".join(decimal(level) for level in ours["curve"]), peer)]  # fmt: skip


def _growth(folder: Path, scale: float) -> list[Result]:
    sizes = [max(1_000, round(rows * scale)) for rows in SMALL]
    rates: dict[int, float] = {}
    for rows in sizes:
        spent = _work(Path(sys.executable), "small", rows, out=folder / str(rows))
        rates[rows] = rows / spent["seconds"]
    least, tenth, most = sizes
    few, many = f"{least:,} rows: {rates[least]:,.0f} rows/s", f"{rates[most]:,.0f} rows/s"
    results = [at_least(f"logging {most:,} small rows", many, few, rates[most] / rates[least], 0.8)]
    opened = [_seconds(lambda rows=rows: maskl.open(folder / str(rows)).sql("FROM runs").fetchall()) for rows in sizes]
    peer = f"{tenth:,} rows: {1e3 * opened[1]:.1f} ms"
    results.append(at_most("opening that store", f"{1e3 * opened[2]:.1f} ms", peer, opened[2] / opened[1], 2))
    return results + [_coverage(folder / str(rows), rows) for rows in (tenth, most)]


def _coverage(folder: Path, rows: int) -> Result:
    store, raw = maskl.open(folder), duckdb.connect()
    files = [str(path) for path in (folder / "maskl-store" / "confusion").rglob("*.parquet")]
    query = f"SELECT sum(pixels) FROM read_parquet({files})"
    ours, theirs = alternate(
        lambda: store.sql(COVERAGE).fetchall(), lambda: raw.sql(query).fetchall(), rounds=ROUNDS, warm_up=2
    )
    ratio = 1 / median_ratio(theirs, ours)
    peer = f"sum(pixels) of confusion {1e3 * statistics.median(theirs):.1f} ms"
    return at_most(f"class coverage of {rows:,} rows", f"{1e3 * statistics.median(ours):.1f} ms", peer, ratio, 3)


def _day(folder: Path, scale: float) -> Result:
    rows = max(600, round(DAY * scale))
    files = _work(Path(sys.executable), "day", rows, out=folder)["files"]
    return at_most(f"files after a row a second, {rows:,} times", str(files), "", files, FILES_LIMIT)


def _fsync(folder: Path, scale: float) -> Result:
    waited = _work(Path(sys.executable), "fsync", max(20, round(CALLS * scale)), out=folder)
    ours, without = 1e3 * waited["fsync"], 1e3 * waited["process"]
    return info("log() with durability='fsync'", f"{ours:.2f} ms", f"without {without:.2f} ms", ours / without)


def _seconds(call: Callable[[], Any]) -> float:
    call()
    return statistics.median(timed(call) for _ in range(ROUNDS))
