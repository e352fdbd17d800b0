"""Processes killed at random moments: what was acknowledged is there afterwards, once, and exact.

``MASKL_DURABILITY_RUNS`` says how many processes that log are killed; ``MASKL_DURABILITY_SEED`` makes the same
calls, and the same moments as far as these are no clock's.
"""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection, Pipe, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from maskl_storage import Layout
from maskl_storage.upkeep.compact import compact
from maskl_storage.upkeep.recovery import recover
from maskl_storage.verify.verify import verify
from tests.conftest import files_of
from tests.durability.check import Child, check_store, rows_of
from tests.durability.children import Options, Trap, compact_store, log_on, recover_store, start
from tests.durability.plan import Held, calls

SEED = os.environ.get("MASKL_DURABILITY_SEED", "0")
RUNS = int(os.environ.get("MASKL_DURABILITY_RUNS", "30"))
#: a store sees processes die three at a time, in rounds
TOGETHER, ROUNDS = 3, 2
#: seconds that a process may take to begin, and that it may live where it is to kill itself
BEGIN, LIFE = 60.0, 2.0


@dataclass
class Logging:
    """A process that logs, and what it said."""

    options: Options
    process: ForkServerProcess
    pipe: Connection
    #: when it is killed, in seconds after it began
    clock: float
    begun: float | None = None
    acknowledged: int = 0

    @classmethod
    def start(cls, root: Path, options: Options, clock: float) -> Logging:
        here, there = Pipe(duplex=False)
        process = start(log_on, root, options, there)
        there.close()
        return cls(options, process, here, clock)

    def listen(self) -> bool:
        """Take what it says; return whether it has ended."""
        try:
            number = self.pipe.recv()
        except EOFError:
            self.process.join()
            return True
        assert number == (self.acknowledged if self.begun else -1)
        self.begun = self.begun or time.monotonic()
        self.acknowledged = number + 1
        return False

    def child(self) -> Child:
        """Return what it logged, and what it may have logged."""
        made = calls(self.options.seed, self.options.child, self.options.start)
        held = Held()
        for call in islice(made, self.acknowledged):
            held = held.after(call)
        return Child(self.options.run_id, held, next(made), self.options.seal_bytes > 1 << 20)


@pytest.mark.parametrize("episode", range(-(-RUNS // (TOGETHER * ROUNDS))))
def test_killed_processes_lose_nothing(episode: int, tmp_path: Path) -> None:
    print(f"MASKL_DURABILITY_SEED={SEED}, episode {episode}")
    chance = random.Random(f"{SEED}-{episode}")
    root = tmp_path / "maskl-store"
    children: dict[int, Child] = {}
    for turn in range(ROUNDS):
        chosen = [options(chance, turn * TOGETHER + number, turn) for number in range(TOGETHER)]
        logging = [Logging.start(root, one, chance.uniform(0.0, 0.25)) for one in chosen]
        beside = [start(compact_store, root, trap(chance), 600.0) for _ in range(chance.randrange(2))]
        for ended in until_killed(logging):
            children[ended.options.child] = ended.child()
        for _ in range(chance.randrange(4)):
            alone = chance.random() < 0.7
            # without a grace nobody else may read what a compaction replaces, and so nobody is beside it
            keeping = [
                (recover_store, root, trap(chance)),
                (compact_store, root, trap(chance), 0.0 if alone else 600.0),
            ]
            for process in beside if alone else ():
                process.join()
            beside.append(start(*chance.choice(keeping)))
            if alone:
                beside[-1].join()
        for process in beside:
            process.join()
            assert process.exitcode in (0, -9)
    recovering = [start(recover_store, root, Trap(0)) for _ in range(2)]
    for process in recovering:
        process.join()
    assert [process.exitcode for process in recovering] == [0, 0]
    recover(Layout(root))  # the one may have left to the other what it had no end of yet
    before = files_of(root)
    assert recover(Layout(root)) == []
    assert files_of(root) == before
    check_store(root, children)
    rows = rows_of(root)
    compact(Layout(root), grace=0)
    assert rows_of(root) == rows
    assert {run.state for run in Layout(root).runs()} <= {"killed"}
    assert verify(Layout(root)).faults == []


def options(chance: random.Random, number: int, turn: int) -> Options:
    """Return how a child logs: to a run of its own, or with others to one."""
    trapped = chance.random() < 0.6
    return Options(
        run_id=chance.choice(["shared", "shared", f"own-{number}"]),
        seed=f"{chance.random()}",
        child=number,
        start=1000 * turn,
        seal_bytes=chance.choice([2_000, 20_000, 64 << 20, 64 << 20]),
        seal_seconds=chance.choice([0.005, 0.05, 60.0]),
        durability=chance.choice(["process", "process", "fsync"]),
        trap=Trap(chance.choice([chance.randrange(1, 40), chance.randrange(1, 400)]), chance.random())
        if trapped
        else Trap(0),
        early=chance.random() < 0.2,
    )


def until_killed(logging: list[Logging]) -> list[Logging]:
    """Listen to processes until all are dead, killing those whose time has come."""
    alive, started = list(logging), time.monotonic()
    while alive:
        now = time.monotonic()
        for one in alive:
            end = one.clock if one.options.trap.effect == 0 else LIFE
            if (one.begun is not None and now >= one.begun + end) or now >= started + BEGIN:
                one.process.kill()
        for pipe in wait([one.pipe for one in alive], 0.005):
            (one,) = [one for one in alive if one.pipe is pipe]
            if one.listen():
                alive.remove(one)
    assert [one.process.exitcode for one in logging] == [-9] * len(logging)
    return logging


def trap(chance: random.Random) -> Trap:
    """Return a trap for a process that recovers or compacts."""
    return Trap(chance.choice([0, chance.randrange(1, 60), chance.randrange(1, 400)]), chance.random())
