"""What child processes do until they are killed; each runs in a process of its own, forked off a server.

``Trap`` makes a process kill itself in the middle of what it does to the store: before, or halfway through, its
n-th effect on the disk. A clock of the parent's kills the others.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import maskl
from maskl_storage import Layout
from maskl_storage.upkeep.compact import compact
from maskl_storage.upkeep.recovery import recover
from tests.durability.plan import Logger, calls

__all__ = ["Options", "Trap", "compact_store", "log_on", "recover_store", "start"]

EFFECTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.truncate", "fcntl.flock"}

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    ["maskl", "maskl.cli.app", "pyarrow.parquet", "duckdb", "pytest"]
    + [f"tests.durability.{name}" for name in ("plan", "interrupts", "mutations")]
)


@dataclass(frozen=True)
class Trap:
    """Kills the process at its n-th effect below a directory, a write after that part of it; 0 never."""

    effect: int
    part: float = 0.5

    def set(self, root: Path) -> None:
        if not self.effect:
            return
        below, count, write = str(root), 0, os.write

        def due() -> bool:
            nonlocal count
            count += 1
            return count >= self.effect

        def watch(event: str, args: tuple[Any, ...]) -> None:
            if event in EFFECTS and (event == "fcntl.flock" or str(args[0]).startswith(below)) and due():
                os.kill(os.getpid(), signal.SIGKILL)

        def torn(descriptor: int, data: Any) -> int:
            if due():
                write(descriptor, memoryview(data)[: int(len(data) * self.part)])
                os.kill(os.getpid(), signal.SIGKILL)
            return write(descriptor, data)

        sys.addaudithook(watch)
        os.write = torn  # type: ignore[assignment]  # in a process that is about to end


@dataclass(frozen=True)
class Options:
    """How a child logs."""

    run_id: str
    seed: str
    child: int
    start: int = 0
    seal_bytes: int = 64 << 20
    seal_seconds: float = 60.0
    durability: str = "process"
    trap: Trap = Trap(0)
    #: whether the trap is set before the run begins
    early: bool = False


def start(target: Callable[..., None], *args: Any) -> ForkServerProcess:
    """Start a process that runs a function of this module."""
    process = _context.Process(target=target, args=args, daemon=True)
    process.start()
    return process


def log_on(root: Path, options: Options, acknowledged: Connection) -> None:
    """Log until killed; each call is acknowledged with its number after ``log()`` returned."""
    _quiet()
    if options.early:
        options.trap.set(root)
    run = maskl.init(dir=root, id=options.run_id, durability=options.durability)
    # the size and the age at which a writer seals are no settings, and so are set from here
    run._writer._seal_bytes, run._writer._seal_seconds = options.seal_bytes, options.seal_seconds
    logger = Logger(run)
    acknowledged.send(-1)
    if not options.early:
        options.trap.set(root)
    for number, call in enumerate(calls(options.seed, options.child, options.start)):
        logger.log(call)
        acknowledged.send(number)


def recover_store(root: Path, trap: Trap) -> None:
    """Recover once."""
    _quiet()
    if (root / "maskl.json").exists():  # those that were to make it may have died before
        trap.set(root)
        recover(Layout(root))


def compact_store(root: Path, trap: Trap, grace: float) -> None:
    """Compact once; what was replaced is removed after so many seconds."""
    _quiet()
    if (root / "maskl.json").exists():
        trap.set(root)
        compact(Layout(root), grace=grace)


def _quiet() -> None:
    os.environ["MASKL_SILENT"] = "true"
    warnings.simplefilter("ignore")
