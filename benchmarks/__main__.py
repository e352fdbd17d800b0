"""Run the benchmarks: ``python -m benchmarks [names...] [--scale S]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks import (
    artifacts,
    codec,
    data,
    disabled,
    disk,
    evaluation,
    exporting,
    growth,
    hashes,
    logging_rows,
    long_runs,
    maintenance,
    many_runs,
    memory,
    random_access,
    resampling,
    scoring,
    start_up,
    untrusted,
    viewing,
)
from benchmarks.report import Result, environment, merge_sections, render

BENCHMARKS: Final[dict[str, Callable[[float], list[Result]]]] = {
    "codec": codec.run,
    "logging_rows": logging_rows.run,
    "disabled": disabled.run,
    "disk": disk.run,
    "evaluation": evaluation.run,
    "resampling": resampling.run,
    "scoring": scoring.run,
    "exporting": exporting.run,
    "growth": growth.run,
    "hashes": hashes.run,
    "long_runs": long_runs.run,
    "footprint": long_runs.footprint,
    "maintenance": maintenance.run,
    "many_runs": many_runs.run,
    "random_access": random_access.run,
    "memory": memory.run,
    "artifacts": artifacts.run,
    "start_up": start_up.run,
    "untrusted": untrusted.run,
    "viewing": viewing.run,
}
RESULTS: Final = Path(__file__).with_name("RESULTS.md")


def main() -> int:
    """Run what was asked for and return 1 if a gate fails."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure maskl against its peers.")
    parser.add_argument("names", nargs="*", help=f"which to run, by default all: {', '.join(BENCHMARKS)}")
    parser.add_argument("--scale", type=float, default=1.0, help="shrink everything; below 1 nothing is written")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - BENCHMARKS.keys())
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are: {', '.join(BENCHMARKS)}")
    if arguments.scale <= 0:
        parser.error(f"--scale must be above 0; got {arguments.scale:g}")
    command = " ".join(["python -m benchmarks", *sys.argv[1:]])
    sections, failed = {}, []
    for name in arguments.names or BENCHMARKS:
        print(f"\n{name} ({data.origin()})", flush=True)
        results = BENCHMARKS[name](arguments.scale)
        print(render(results), flush=True)
        sections[name] = f"\n{environment(command)}\n{render(results)}"
        failed += [f"{name}: {result.what}" for result in results if result.passed is False]
    if arguments.scale >= 1:
        merge_sections(RESULTS, sections, list(BENCHMARKS))
    for gate in failed:
        print(f"FAIL {gate}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
