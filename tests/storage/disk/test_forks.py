"""What a forked child begins anew stands in one registry."""

from __future__ import annotations

import ast
import contextlib
import gc
import itertools
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from maskl_storage import Layout, RunInfo, Writer, register
from maskl_storage.disk.cache import Cache
from maskl_storage.disk.forks import ForkLock, renewed
from maskl_storage.disk.local import Folder
from maskl_storage.disk.locks import nobody_reads
from maskl_storage.write.live import live_writers
from tests.conftest import HANGS
from tests.durability.interrupts import AtMoment

ROOT = Path(__file__).parents[3]


def in_a_child(check: Callable[[], bool]) -> bool:
    """Return what a check says in a forked child."""
    child = os.fork()
    if child == 0:
        os._exit(0 if check() else 1)
    return os.waitpid(child, 0)[1] == 0


@pytest.mark.once
def test_no_other_module_asks_the_system_for_forks() -> None:
    found = set()
    for package in ("maskl", "storage/maskl_storage"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Attribute) and node.attr == "register_at_fork":
                    found.add(path.relative_to(ROOT).as_posix())
    assert found == {"storage/maskl_storage/disk/forks.py"}


def test_the_registry_keeps_nothing_alive() -> None:
    class Thing:
        def renew(self) -> None:
            pass

    thing = Thing()
    renewed(thing)
    gone = weakref.ref(thing)
    del thing
    gc.collect()
    assert gone() is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_begins_anew(store_dir: Path) -> None:
    lock, cache = ForkLock(), Cache[str](10, len)
    cache.put("key", "value")
    writer = Writer(Layout.create(store_dir), RunInfo("r", "r"))
    register(writer)
    free = threading.Event()
    taken = threading.Event()

    def hold() -> None:
        with lock.held:
            taken.set()
            free.wait(HANGS)

    holder = threading.Thread(target=hold)
    holder.start()
    taken.wait(HANGS)

    def begun_anew() -> bool:
        with lock.held:  # another thread of the parent holds it
            return cache.get("key") is None and live_writers() == [] and writer.forked

    try:
        assert in_a_child(begun_anew)
    finally:
        free.set()
        holder.join()
    assert (cache.get("key"), live_writers(store_dir), live_writers(store_dir / "other")) == ("value", [writer], [])
    with nobody_reads(Folder(store_dir)) as alone:
        assert alone
        descriptors = set(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else set()
        store = (store_dir / "maskl.json").resolve()

        def lets_go() -> bool:
            links = (Path("/proc/self/fd") / number for number in descriptors)
            return not any(link.exists() and link.resolve() == store for link in links)

        assert in_a_child(lets_go)
    writer.close()
    assert live_writers() == []


def note(lock: ForkLock, notes: list[str]) -> None:
    with lock.held:
        notes.append("held")


def test_whatever_interrupts_the_taking_of_a_lock_leaves_it_free() -> None:
    for at in itertools.count(1):
        lock, notes = ForkLock(), list[str]()
        with contextlib.suppress(KeyboardInterrupt), AtMoment(at) as interrupt:
            note(lock, notes)
        assert lock.held.acquire(blocking=False)
        if not interrupt.done:
            assert notes == ["held"]
            break
    assert at > 1


ARROW_BEGINS = """
import _thread, sys
from maskl_storage import Layout, RunInfo, Writer
from maskl_storage.disk.parquet import begin_arrow

begun = []
start = _thread.start_new_thread
_thread.start_new_thread = lambda *call: (begun.append(begin_arrow.cache_info().currsize), start(*call))
from pathlib import Path
writer = Writer(Layout.create(Path(sys.argv[1])), RunInfo("one", "one"))
assert begin_arrow.cache_info().currsize == 1
writer.write({}, 0, {"loss": 1.0})
writer.close()
assert begun and all(begun), begun
"""


def test_arrow_has_begun_before_there_is_a_thread_that_a_fork_could_catch_in_the_middle_of_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ARROW_BEGINS, str(tmp_path / "store")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
