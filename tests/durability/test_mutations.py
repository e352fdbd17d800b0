"""No file of a store, however it was changed, makes a command fail in a way that is not its own.

``MASKL_DURABILITY_MUTATIONS`` says how many changes are drawn, ``MASKL_DURABILITY_SEED`` which;
``MASKL_DURABILITY_PAIRS`` has a file of each kind changed in each way before each command.
"""

from __future__ import annotations

import os
from multiprocessing.connection import Pipe
from pathlib import Path

import pytest

from tests.conftest import HANGS
from tests.durability.children import start
from tests.durability.mutations import COMMANDS, store_of_all_kinds, try_mutations, ways_of

SEED = os.environ.get("MASKL_DURABILITY_SEED", "0")
COUNT = int(os.environ.get("MASKL_DURABILITY_MUTATIONS", "96"))
PAIRS = "MASKL_DURABILITY_PAIRS" in os.environ
#: processes that share the work
PARTS = 8

Trial = tuple[str, str | None, str | None, int | None]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store_of_all_kinds(tmp_path_factory.mktemp("made") / "maskl-store")


def faults_of(made: Path, folder: Path, trials: list[Trial]) -> list[str]:
    """Try mutations in a process of its own, which may crash, hang or fill the memory."""
    here, there = Pipe(duplex=False)
    process = start(try_mutations, made, folder, trials, there)
    there.close()
    faults: list[str] = []
    while here.poll(HANGS):
        try:
            found = here.recv()
        except EOFError:
            faults.append(f"the process ended with {process.exitcode} after {len(faults)} faults")
            break
        if found is None:
            break
        faults.append(found)
    else:
        faults.append("the process hangs")
        process.kill()
    process.join()
    return faults


@pytest.mark.parametrize("part", range(PARTS))
def test_a_random_change_and_a_command(made: Path, tmp_path: Path, part: int) -> None:
    trials: list[Trial] = [(f"{SEED}-{number}", None, None, None) for number in range(part, COUNT, PARTS)]
    assert faults_of(made, tmp_path, trials) == []


@pytest.mark.skipif(not PAIRS, reason="make durability tries all pairs")
@pytest.mark.parametrize("number", range(len(COMMANDS)))
def test_each_change_and_each_command(made: Path, tmp_path: Path, number: int) -> None:
    files = sorted(path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file())
    names = {(name.split("/")[0], Path(name).suffix): name for name in files}.values()  # one of each kind
    trials: list[Trial] = [
        (f"{SEED}-{name}-{way}", name, way, number) for name in names for way in dict.fromkeys(ways_of(name))
    ]
    assert faults_of(made, tmp_path, trials) == []
