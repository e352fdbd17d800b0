"""Verifying, compacting, merging and recovering a large store: seconds, CPU, and memory over the start of a process.

Usage, for one case in a process of its own: python -m benchmarks.maintenance {verify,compact,recover,kill} DIR [N]
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any, Final

from benchmarks.cells import image_of_all
from benchmarks.evaluation_writer import COLUMNS, SIDE, cells, rows
from benchmarks.report import Result, at_least, at_most
from benchmarks.timing import peak_bytes
from maskl_storage import Layout, Rows, RunInfo, Writer, locate
from maskl_storage.upkeep.compact import compact
from maskl_storage.upkeep.recovery import recover
from maskl_storage.verify.verify import verify
from maskl_storage.write.pending import weight
from maskl_storage.write.writer import SEAL_BYTES

__all__ = ["run"]

ROWS: Final = 1_000_000
RUNS: Final = 2
#: rows of the store on which one process and two race, round after round: to start them weighs more there
RACED: Final = 200_000
ROUNDS: Final = 3
MEMORY_LIMIT: Final = 400
SPEED_LIMIT: Final = 1.7
#: rows of a call of the writer that is killed
CALL: Final = 1024
#: what verification says of the one image that all rows refer to, which is no picture
NO_PICTURE: Final = "it does not decode"
ROOT: Final = Path(__file__).resolve().parent.parent


def run(scale: float) -> list[Result]:
    """Measure each on a store of many rows with two masks, and a writer that merges as it goes."""
    count, raced = (max(2 * CALL, round(rows * scale)) for rows in (ROWS, RACED))
    what = f"of {count:,} rows × 2 masks"
    with tempfile.TemporaryDirectory(prefix="maskl-bench-") as temporary:
        folder, smaller, killed = (Path(temporary) / name for name in ("store", "smaller", "killed"))
        written = _child("benchmarks.evaluation_writer", count, folder, RUNS)
        results = [_memory(f"writing and merging {what}", written | {"cpu": None})]
        results += [
            _memory(f"verify {what}, {name}", _case("verify", folder, cores))
            for cores, name in ((1, "one process"), (2, "two processes"))
        ]
        _child("benchmarks.evaluation_writer", raced, smaller, RUNS)
        rounds = [[_case("verify", smaller, cores)["seconds"] for cores in (1, 2)] for _ in range(ROUNDS)]
        ones, twos = (statistics.median(side) for side in zip(*rounds, strict=True))
        ratio = statistics.median(one / two for one, two in rounds)
        race = f"verify {raced:,} rows, two processes against one: times as fast"
        results.append(at_least(race, f"{twos:.1f} s", f"one process {ones:.1f} s", ratio, SPEED_LIMIT))
        compacted = _case("compact", folder)
        results.append(_memory("compact {} seals into {}, {}".format(*compacted["seals"], what), compacted))
        waiting = _case("kill", killed)["rows"]
        results.append(_memory(f"recover {waiting:,} rows of a writer that was killed", _case("recover", killed)))
        return results


def _memory(what: str, found: dict[str, Any]) -> Result:
    over = (found["peak"] - found["before"]) / 1e6
    seconds = f"{found['seconds']:.1f} s" + ("" if found["cpu"] is None else f", CPU {found['cpu']:.1f} s")
    return at_most(
        f"{what}: MB over its start", seconds, f"at its start {found['before'] / 1e6:.0f}", over, MEMORY_LIMIT
    )


def _case(case: str, folder: Path, *arguments: object) -> dict[str, Any]:
    return _child("benchmarks.maintenance", case, folder, *arguments)


def _child(module: str, *arguments: object) -> dict[str, Any]:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def _kill(folder: Path) -> None:
    """Write rows until the next call would seal them, and be gone."""
    writer = Writer(Layout.create(locate(folder)), RunInfo("killed", "killed"), seal_seconds=3600)
    writer.add_image(image_of_all(SIDE))
    stream, waiting, written = rows(ROWS, cells()), 0, 0
    while True:
        call = Rows(COLUMNS, list(islice(stream, CALL)))
        waiting += weight(call)
        if waiting >= SEAL_BYTES:
            break
        writer.write({"evaluation": call}, step=0)
        written += CALL
    print(json.dumps({"rows": written}), flush=True)
    os._exit(0)


def _verify(layout: Layout, processes: int) -> None:
    faults = [fault for fault in verify(layout, processes=processes).faults if NO_PICTURE not in fault.problem]
    if faults:
        raise AssertionError(f"a store that is whole has faults: {faults[:3]}")


def _compact(layout: Layout) -> dict[str, Any]:
    done = compact(layout)
    if done.skipped:
        raise AssertionError(f"a store that is whole was not compacted: {done}")
    return {"seals": (done.seals_before, done.seals_after)}


def _recover(layout: Layout) -> None:
    (found,) = recover(layout)
    if found.problem is not None or not found.rows:
        raise AssertionError(f"what a killed writer left was not brought in: {found}")


def main() -> None:
    """Do one thing to a store, and report."""
    case, folder = sys.argv[1], Path(sys.argv[2])
    if case == "kill":
        _kill(folder)
    layout = Layout(locate(folder))
    before, start = peak_bytes(), time.perf_counter()
    more: dict[str, Any] = {}
    if case == "verify":
        _verify(layout, int(sys.argv[3]))
    elif case == "compact":
        more = _compact(layout)
    else:
        _recover(layout)
    seconds = time.perf_counter() - start
    mine, theirs = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    cpu = mine.ru_utime + mine.ru_stime + theirs.ru_utime + theirs.ru_stime
    # the largest child begins with what this process had before it checked: both import the same
    peak = max(peak_bytes(), theirs.ru_maxrss * 1024)
    print(json.dumps({"seconds": seconds, "cpu": cpu, "before": before, "peak": peak, **more}))


if __name__ == "__main__":
    main()
