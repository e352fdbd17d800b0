"""No test asks a clock: one that fails on a busy machine says nothing of what it tests.

Where time is the subject, a test counts what was done: rows, calls, cancellations. A time-out is there to end what
hangs, and long.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import HANGS

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent
#: searched as text, since much of what runs in other processes is text here
CLOCKS = re.compile(
    r"(?:perf_counter|monotonic|process_time|thread_time|clock_gettime|getrusage|timeit|\btime_ns|\btime\(\)|\bsleep\("
    r"|st_mtime|st_ctime|utcnow|\.now\(|\.today\()"
)
WAITS = re.compile(r"(?:\btimeout=|\bjoin\(|\bwait\(|\balarm\(|\bresult\(|\"--timeout\", \")(\d+(?:\.\d+)?)")
#: the files that ask a clock all the same or sleep, how often, and why
ASKING = {
    "conformance/theirs.py": (1, "pauses of a loop that waits for W&B"),
    "conftest.py": (2, "pauses of the loop that waits until something has happened; times of what nothing may touch"),
    "durability/mutations.py": (1, "the memory that was taken; no time"),
    "durability/test_fork.py": (2, "pauses of a loop that waits, and between forks; nothing is expected of them"),
    "durability/test_kill.py": (3, "the moments at which processes are killed; nothing is expected of them"),
    "formats/read/test_wandb.py": (1, "a time that was stored lies before now"),
    "runs/test_init.py": (2, "a time that was stored lies between two others"),
    "storage/disk/test_futures.py": (
        2,
        "pauses in which calls could overlap, or threads end; nothing is expected of them",
    ),
    "storage/disk/test_hashes.py": (1, "a file keeps its time; how late it is, is not asked"),
    "storage/test_lazy.py": (1, "an import that takes a while; how long is not asked"),
}
#: the time-outs that are meant to run out, or to be refused
SHORT = {
    "cli/test_evaluate.py": ["0.2", "0"],
    "storage/query/test_bounded.py": ["1"],
    "storage/query/test_untrusted.py": ["0.3"],
    "viewer/test_app_attacks.py": ["0.2"],
}

FILES = {str(path.relative_to(ROOT)): path for path in sorted(ROOT.rglob("*.py")) if path != Path(__file__)}


def test_no_test_asks_a_clock() -> None:
    asked = {name: CLOCKS.findall(path.read_text("utf-8")) for name, path in FILES.items()}
    wrong = {name: found for name, found in asked.items() if len(found) != ASKING.get(name, (0, ""))[0]}
    assert not wrong, "count what was done instead, or say in ASKING why a clock is needed"


def test_a_wait_ends_only_what_hangs() -> None:
    waits = {name: WAITS.findall(path.read_text("utf-8")) for name, path in FILES.items()}
    short = {name: found for name, all_ in waits.items() if (found := [one for one in all_ if float(one) < HANGS])}
    assert short == SHORT, f"a busy machine may need longer: wait for HANGS, {HANGS:g} seconds"


def test_every_exception_is_of_a_file() -> None:
    assert ASKING.keys() | SHORT.keys() <= FILES.keys()
