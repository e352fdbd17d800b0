"""How cost grows with a store: opening it and asking it, by a process that read nothing of it before.

Stores of more and more runs, and of more and more rows whose masks are tiny, so that their statistics are most of what
is stored; all are written by the storage package, by a few processes at once. With ``MASKL_BENCH_CACHE`` they are kept
there for as long as the code that writes them is the same. Opening is all up to the answer of ``FROM runs``.

Usage, for one store in a process of its own: python -m benchmarks.growth DIR OTHER
"""

from __future__ import annotations

import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

from blake3 import blake3
from rich.filesize import decimal

import maskl
import maskl_storage
from benchmarks import many_runs
from benchmarks.data import ROOT, camvid
from benchmarks.report import Result, at_most, info
from benchmarks.timing import peak_bytes, timed
from maskl_storage import Layout, locate
from maskl_storage.merge.leftovers import leftovers, remove

__all__ = ["run"]

RUNS: Final = (10, 1_000, 10_000)
ROWS: Final = (10_000, 1_000_000, 10_000_000)
#: rows of each run in stores of many runs
OF_A_RUN: Final = 2
#: pixels of masks, each way, in stores of many rows
SIDE: Final = 16
WRITERS: Final = 2
ROUNDS: Final = 5
RATIO_LIMIT: Final = 12
SECONDS_LIMIT: Final = 5
#: what is measured, one after the other, each with what the table calls it
STEPS: Final = {
    "open": "open",
    "runs": "`FROM runs`",
    "class_iou": "`class_iou`",
    "row": "one row",
    "again": "open again, `FROM runs`",
}
#: modules that write the stores, beside the storage package
WRITTEN_BY: Final = ("cells.py", "data.py", "evaluation_writer.py", "many_runs.py")


class _Store(NamedTuple):
    """A store of so many runs and rows."""

    folder: Path
    runs: int
    rows: int
    files: int
    bytes: int


def run(scale: float) -> list[Result]:
    """Write the stores, or take those that are kept, and have fresh processes open them in turn."""
    with ExitStack() as stack:
        temporary = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="maskl-bench-")))
        many_runs.write(temporary / "other", 1)
        kept = _kept() or temporary
        # no two are alike, however small the scale
        by_runs = [_many_runs(kept, max(least, round(count * scale))) for least, count in enumerate(RUNS, 1)]
        by_rows = [_many_rows(kept, max(WRITERS * least, round(count * scale))) for least, count in enumerate(ROWS, 1)]
        stores = [*by_runs, *by_rows]
        asked: dict[Path, list[dict[str, Any]]] = {store.folder: [] for store in stores}
        loops = []
        for number in range(ROUNDS + 1):
            for store in stores:
                found = _asked(store.folder, temporary / "other")
                if number:  # the first fills the system's memory
                    asked[store.folder].append(found)
            loops.append(timed(many_runs.loop))
        noise = f"a loop between the rounds: {min(loops):.2f} to {max(loops):.2f} s"
        return [*_gates(by_runs, asked, noise), *_lines(by_runs, asked), *_lines(by_rows, asked)]


def _gates(stores: Sequence[_Store], asked: dict[Path, list[dict[str, Any]]], noise: str) -> list[Result]:
    fewer, most = stores[-2:]
    pairs = list(zip(asked[fewer.folder], asked[most.folder], strict=True))
    few, many = ([_opening(found) for found in side] for side in zip(*pairs, strict=True))
    what = f"opening {most.runs:,} runs, up to the answer of `FROM runs`"
    took, beside = _spread(many), f"{fewer.runs:,} runs: {_spread(few)}"
    ratio = statistics.median(m / f for f, m in zip(few, many, strict=True))
    return [
        at_most(f"{what}: times {fewer.runs:,}", took, beside, ratio, RATIO_LIMIT),
        at_most(f"{what}: seconds", took, noise, statistics.median(many), SECONDS_LIMIT),
    ]


def _lines(stores: Sequence[_Store], asked: dict[Path, list[dict[str, Any]]]) -> list[Result]:
    """Return a line for each store; its ratio says how much longer opening takes with ten times as many."""
    results = []
    for before, store in zip([None, *stores[:-1]], stores, strict=True):
        found = asked[store.folder]
        steps = [f"{name} {_millis(found, step)} ms" for step, name in STEPS.items()]
        cpu, peak = (statistics.median(one[key] for one in found) for key in ("cpu", "peak"))
        held = f"{store.files:,} files, {decimal(store.bytes)}; opening: CPU {cpu * 1000:,.0f} ms, peak {decimal(peak)}"
        ratio, of = None, ""
        if before is not None:
            tenfold = math.log10(store.rows / before.rows)
            opened = [statistics.median(map(_opening, asked[one.folder])) for one in (before, store)]
            ratio, of = (opened[1] / opened[0]) ** (1 / tenfold), "; opening, for ten times as many"
        results.append(info(f"{store.runs:,} runs, {store.rows:,} rows{of}", ", ".join(steps), held, ratio))
    return results


def _opening(found: dict[str, Any]) -> float:
    return float(found["open"] + found["runs"])


def _spread(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"


def _millis(found: Sequence[dict[str, Any]], step: str) -> str:
    return f"{1000 * statistics.median(one[step] for one in found):,.0f}"


# --- stores -------------------------------------------------------------------------------------


def _kept() -> Path | None:
    """Return the folder that keeps stores from one time to the next, without those that other code wrote."""
    cache = os.environ.get("MASKL_BENCH_CACHE")
    if not cache:
        return None
    files = sorted(Path(maskl_storage.__file__).parent.rglob("*.py"))
    files += [Path(__file__).with_name(name) for name in WRITTEN_BY]
    key = blake3(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:16]
    folder = Path(cache, "growth", key)
    for other in folder.parent.glob("*"):
        if other != folder:
            shutil.rmtree(other)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _many_runs(kept: Path, runs: int) -> _Store:
    def command(folder: Path, number: int) -> list[object]:
        return ["benchmarks.many_runs", folder, runs, number, WRITERS]

    return _stored(kept / f"{runs}-runs", command, runs, runs * OF_A_RUN)


def _many_rows(kept: Path, rows: int) -> _Store:
    def command(folder: Path, number: int) -> list[object]:
        return ["benchmarks.evaluation_writer", rows // WRITERS, folder, 1, SIDE, number]

    scenes = "streets" if camvid() is None else "camvid"
    return _stored(kept / f"{rows}-rows-of-{scenes}-{SIDE}", command, WRITERS, rows // WRITERS * WRITERS)


def _stored(folder: Path, command: Callable[[Path, int], list[object]], runs: int, rows: int) -> _Store:
    """Return the store in a folder, which is written by several processes where it is not there whole."""
    if not folder.exists():
        unfinished = folder.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        started = [
            subprocess.Popen(
                [sys.executable, "-m", *map(str, command(unfinished, number))], cwd=ROOT, stdout=subprocess.DEVNULL
            )
            for number in range(WRITERS)
        ]
        codes = [writer.wait() for writer in started]
        if any(codes):
            raise RuntimeError(f"a process that writes {folder.name} failed")
        layout = Layout(locate(unfinished))
        remove(layout, leftovers(layout), grace=0)  # what merges replaced stays a while where there are other writers
        unfinished.rename(folder)
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    store = maskl.open(folder)
    if (len(store.runs()), len(store.table(many_runs.TABLE))) != (runs, rows):
        raise AssertionError(f"{folder.name} was to have {runs:,} runs with {rows:,} rows")
    return _Store(folder, runs, rows, len(sizes), sum(sizes))


# --- a process of its own -----------------------------------------------------------------------


def _asked(folder: Path, other: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.growth", str(folder), str(other)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def _ask(folder: Path) -> dict[str, Any]:
    """Open a store and ask it, and return the seconds of each; the CPU and memory are those of opening."""
    seconds: dict[str, float] = {}
    cpu, start = time.process_time(), time.perf_counter()
    store = maskl.open(folder)
    store.runs()
    seconds["open"] = time.perf_counter() - start
    seconds["runs"] = timed(lambda: store.sql("FROM runs").fetchall())
    used = {"cpu": time.process_time() - cpu, "peak": peak_bytes()}
    seconds["class_iou"] = timed(lambda: store.sql(f"FROM class_iou('{many_runs.TABLE}')").fetchall())

    def row() -> object:
        rows = store.table(many_runs.TABLE)
        return rows[len(rows) // 2]

    seconds["row"] = timed(row)
    seconds["again"] = timed(lambda: maskl.open(folder).sql("FROM runs").fetchall())
    return seconds | used


def main() -> None:
    """Ask another store, so that what it takes is imported, and then the one that is measured."""
    folder, other = map(Path, sys.argv[1:])
    _ask(other)
    print(json.dumps(_ask(folder)))


if __name__ == "__main__":
    main()
