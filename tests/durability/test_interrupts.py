"""Whatever interrupts a call, and wherever: the program goes on, and what was acknowledged is stored once.

``MASKL_DURABILITY_INTERRUPTS`` says how many runs are interrupted in each way, ``MASKL_DURABILITY_SEED`` where.
"""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from pathlib import Path

import pytest

import maskl
from tests.durability.children import start
from tests.durability.interrupts import (
    LARGE,
    SMALL,
    AtMoment,
    AtSeam,
    Interrupt,
    Played,
    check,
    interrupted_child,
    play,
)

SEED = os.environ.get("MASKL_DURABILITY_SEED", "0")
RUNS = int(os.environ.get("MASKL_DURABILITY_INTERRUPTS", "3"))
#: of those at moments of the interpreter, which take long
MOMENTS = -(-RUNS // 4) if RUNS > 4 else 2
#: runs that one test makes, so that a failure says where
EACH = 20
SEAMS: dict[str, Callable[[int], Interrupt]] = {"before": AtSeam, "after": lambda at: AtSeam(at, after=True)}
#: more than there are effects of the system in what is played, which are most where a seal is small
MOST = 4000

# what was interrupted before it kept a file leaves it to the collector, which warns
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKL_SILENT", "true")


@pytest.mark.parametrize("part", range(-(-MOMENTS // EACH)))
def test_an_exception_at_a_random_moment_costs_nothing_that_returned(part: int, tmp_path: Path) -> None:
    chance = random.Random(f"{SEED}-moment-{part}")
    whole, seed = AtMoment(0), f"{chance.random()}"
    assert faults_of(whole, seed, tmp_path / "whole") == []
    for number in range(min(EACH, MOMENTS)):
        found = faults_of(AtMoment(chance.randrange(1, whole.count + 1)), seed, tmp_path / f"{number}")
        assert found == [], f"MASKL_DURABILITY_SEED={SEED}, part {part}, run {number}"


@pytest.mark.parametrize("kind", SEAMS)
@pytest.mark.parametrize("part", range(-(-RUNS // EACH)))
def test_an_exception_at_each_seam_costs_nothing_that_returned(kind: str, part: int, tmp_path: Path) -> None:
    seal_bytes = LARGE if part % 2 else SMALL
    whole = SEAMS[kind](0)
    assert faults_of(whole, SEED, tmp_path / "whole", seal_bytes) == []
    assert 50 < whole.count < MOST
    step = max(1, whole.count // RUNS)
    seams = range(random.Random(SEED).randrange(1, step + 1), whole.count + 1, step)
    for at in seams[part :: -(-RUNS // EACH)]:
        found = faults_of(SEAMS[kind](at), SEED, tmp_path / f"{at}", seal_bytes)
        assert found == [], f"MASKL_DURABILITY_SEED={SEED}, {kind} {at}"


def faults_of(interrupt: Interrupt, seed: str, folder: Path, seal_bytes: int | None = None) -> list[str]:
    """Return what does not hold after a run that was interrupted so."""
    root = folder / "maskl-store"
    return check(root, play(root, interrupt, seed, seal_bytes))


@pytest.mark.parametrize("part", range(-(-RUNS // EACH)))
def test_signals_at_random_moments_cost_nothing_that_returned(part: int, tmp_path: Path) -> None:
    chance = random.Random(f"{SEED}-signals-{part}")
    for number in range(min(EACH, RUNS)):
        root = tmp_path / f"{number}" / "maskl-store"
        here, there = Pipe(duplex=False)
        process = start(interrupted_child, root, f"{chance.random()}", there)
        there.close()
        played = Played()
        while take(here, played):
            pass
        process.join()
        assert process.exitcode == 0
        assert check(root, played) == [], f"MASKL_DURABILITY_SEED={SEED}"


def take(pipe: Connection, played: Played) -> bool:
    """Take the number of a call that returned; False at the end. A fault is a number below 0."""
    try:
        (number,) = struct.unpack("<q", os.read(pipe.fileno(), 8))
    except struct.error:
        return False
    if number >= 0:
        played.returned.append(number)
    else:
        played.faults.append(f"call {-number - 1} was refused")
    return True


def test_a_signal_handler_may_finish_the_run_in_the_middle_of_a_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = maskl.init(dir=tmp_path / "maskl-store", id="r")
    real, calls = os.write, []

    def write(descriptor: int, data: bytes) -> int:
        if not calls:
            calls.append("handler")
            with pytest.raises(maskl.errors.StateError, match=r"signal handler"):
                run.log({"n": 99})
            run.finish()
            assert not run._writer.closed
        return real(descriptor, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        run.log({"n": 0})
    assert calls
    assert run._writer.closed
    with pytest.raises(maskl.errors.StateError, match=r"finished"):
        run.log({"n": 1})
    store = maskl.open(tmp_path)
    assert store.sql("SELECT value FROM history").fetchall() == [(0.0,)]
    assert store.run("r").state == "finished"
