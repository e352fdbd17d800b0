"""Exporting ten thousand rows: against a plain copy of the same bytes, and against ``datasets`` writing them."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from rich.filesize import decimal

from benchmarks.data import origin
from benchmarks.report import Result, at_least, at_most, info
from benchmarks.timing import folder_bytes, median_ratio, timed

__all__ = ["run"]

ROWS: Final = 10_000
#: rounds against a plain copy, and against datasets, which takes a minute
COPIES: Final = 5
DATASETS: Final = 3
COPY_LIMIT: Final = 2.5
DATASETS_LIMIT: Final = 5
MEMORY_LIMIT: Final = 500e6
#: bytes that a plain copy reads and writes at a time
BUFFER: Final = 1 << 20


def run(scale: float) -> list[Result]:
    """Log the rows once, then export them in turn with what they are measured against."""
    count = max(202, round(ROWS * scale))
    with tempfile.TemporaryDirectory(prefix="maskl-bench-") as temporary:
        epochs, distinct = Path(temporary, "epochs"), Path(temporary, "distinct")
        _worker("store", epochs, epochs, str(count), "epochs")
        what = f"{count:,} rows ({origin()}, epoch after epoch)"
        results = [*_against_a_copy(epochs, what), *_against_datasets(epochs, what)]
        shutil.rmtree(epochs)
        _worker("store", distinct, distinct, str(count // 10), "distinct")
        ours, theirs, _ = _pairs(distinct)
        mine, peer = (f"{statistics.median(seconds):.2f} s" for seconds in (ours, theirs))
        what = f"huggingface: {count // 10:,} rows, every frame and mask another"
        return [*results, info(what, mine, f"datasets {peer}", median_ratio(theirs, ours))]


def _against_a_copy(folder: Path, what: str) -> list[Result]:
    ours, theirs, peaks = [], [], []
    for _ in range(COPIES):
        done = _worker("parquet", folder, folder / "out")
        ours.append(done["seconds"])
        peaks.append(done["peak"])
        theirs.append(timed(lambda: _copy(folder / "out", folder / "copy")))
        written = folder_bytes(folder / "out")
        _remove(folder / "out", folder / "copy")
    ratio = median_ratio(ours, theirs)
    peer = f"read and written plainly {statistics.median(theirs):.2f} s"
    mine = f"{statistics.median(ours):.2f} s, {decimal(written)}"
    return [at_most(f"parquet: {what}", mine, peer, ratio, COPY_LIMIT), _memory("parquet", peaks)]


def _against_datasets(folder: Path, what: str) -> list[Result]:
    ours, theirs, peaks = _pairs(folder)
    peer = f"datasets {version('datasets')}, from_generator and to_parquet {statistics.median(theirs):.1f} s"
    mine = f"{statistics.median(ours):.2f} s"
    ratio = median_ratio(theirs, ours)
    return [at_least(f"huggingface: {what}", mine, peer, ratio, DATASETS_LIMIT), _memory("huggingface", peaks)]


def _pairs(folder: Path) -> tuple[list[float], list[float], list[int]]:
    """Return the seconds of maskl and of datasets, round by round, and maskl's peak memory."""
    ours, theirs, peaks = [], [], []
    for _ in range(DATASETS):
        done = _worker("huggingface", folder, folder / "out")
        ours.append(done["seconds"])
        peaks.append(done["peak"])
        _remove(folder / "out")
        theirs.append(_worker("datasets", folder, folder / "dataset.parquet")["seconds"])
        _remove(folder / "dataset.parquet")
    return ours, theirs, peaks


def _memory(name: str, peaks: list[int]) -> Result:
    peak = max(peaks)
    return at_most(f"{name}: peak memory of the process", decimal(peak), decimal(MEMORY_LIMIT), peak / MEMORY_LIMIT, 1)


def _copy(source: Path, target: Path) -> None:
    """Read every file, then write it, a buffer at a time."""
    target.mkdir()
    for path in sorted(source.iterdir()):
        with path.open("rb") as reader, (target / path.name).open("wb") as writer:
            while data := reader.read(BUFFER):
                writer.write(data)


def _remove(*paths: Path) -> None:
    """Remove what was written, and let the disk finish, which must not slow the next measurement."""
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    os.sync()


def _worker(*arguments: str | Path) -> dict[str, Any]:
    """Run a worker, in a process whose memory is its own."""
    command = [sys.executable, "-m", "benchmarks.exporting_worker", *map(str, arguments)]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=os.environ | {"MASKL_SILENT": "1"}
    )
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report
