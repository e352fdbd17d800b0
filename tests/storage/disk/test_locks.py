"""Locks end with the process that holds them, and a forked child holds none."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from maskl_storage.disk.local import Folder
from maskl_storage.disk.locks import FileLock, nobody_reads, reading
from maskl_storage.format.document import STORE_FILE
from tests.durability.interrupts import AtMoment

pytestmark = pytest.mark.once

HOLD = """
import sys
from pathlib import Path
from maskl_storage.disk.local import Folder
from maskl_storage.disk.locks import FileLock
lock = FileLock(Folder(Path(sys.argv[1])), "lock")
print(lock.acquire(), flush=True)
sys.stdin.read()  # until it is killed
"""


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    a, b = FileLock(Folder(tmp_path), "lock"), FileLock(Folder(tmp_path), "lock")
    assert a.acquire()
    assert a.acquire()
    assert not b.acquire()
    a.release()
    assert b.acquire()
    assert (a.held, b.held) == (False, True)


def test_a_removed_file_is_locked_anew(tmp_path: Path) -> None:
    a, b = FileLock(Folder(tmp_path), "lock"), FileLock(Folder(tmp_path), "lock")
    assert a.acquire()
    a.release(remove=True)
    assert not (tmp_path / "lock").exists()
    assert b.acquire()
    assert not a.acquire()


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    lock = FileLock(Folder(tmp_path), "lock")
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        assert not lock.acquire()
        other.kill()
        other.wait()
    assert lock.acquire()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_neither_holds_nor_ends_the_lock(tmp_path: Path) -> None:
    lock, other = FileLock(Folder(tmp_path), "lock"), FileLock(Folder(tmp_path), "lock")
    assert lock.acquire()
    child = os.fork()
    if child == 0:
        lock.release(remove=True)
        os._exit(3 if lock.held else 0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (tmp_path / "lock").exists()
    assert not other.acquire()


def take_and_release(files: Folder) -> None:
    lock = FileLock(files, STORE_FILE)
    assert lock.acquire()
    lock.release()


def take_and_remove(files: Folder) -> None:
    lock = FileLock(files, STORE_FILE)
    assert lock.acquire()
    lock.release(remove=True)


def ask_who_reads(files: Folder) -> None:
    with nobody_reads(files) as alone:
        assert alone


def read(files: Folder) -> None:
    with reading(files):
        pass


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("call", [take_and_release, take_and_remove, ask_who_reads, read])
def test_whatever_interrupts_a_call_its_lock_ends_with_it(call: Callable[[Folder], None], tmp_path: Path) -> None:
    for at in itertools.count(1):
        (tmp_path / STORE_FILE).write_text("{}")
        with contextlib.suppress(KeyboardInterrupt), AtMoment(at) as interrupt:
            call(Folder(tmp_path))
        with contextlib.suppress(FileNotFoundError), open(tmp_path / STORE_FILE, "rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises where somebody has it
        if not interrupt.done:
            break
    assert at > 20
