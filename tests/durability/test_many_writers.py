"""Eight processes log to one store, four of them to one run, while a ninth asks all the time.

``MASKL_DURABILITY_RUNS``, which makes the tests beside this one large, makes it 2,000 rows a process.
"""

from __future__ import annotations

import os
from itertools import pairwise
from multiprocessing import get_context
from multiprocessing.connection import Connection, Pipe
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np

import maskl
from maskl_storage import Layout
from maskl_storage.upkeep.compact import compact
from maskl_storage.verify.verify import verify
from tests.conftest import HANGS, eventually
from tests.durability.children import start

PROCESSES, SHARED = 8, 4
ROWS = 2000 if "MASKL_DURABILITY_RUNS" in os.environ else 60

COUNTS = """
SELECT (SELECT count(*) FROM t), (SELECT count(DISTINCT (run_id, _row)) FROM t),
       (SELECT count(*) FROM class_pixels WHERE table_name = 't' AND pixels > 0),
       (SELECT sum(pixels) FROM class_pixels WHERE table_name = 't'),
       (SELECT count(*) FROM history)
"""


def write(root: Path, process: int, rows: int, done: list[Event]) -> None:
    """Log so many rows, one a call, in seals of a few dozen; the second half once all beside have done something."""
    name = "shared" if process < SHARED else f"own-{process}"
    with maskl.init(dir=root, id=name) as run:
        run._writer._seal_bytes = 15_000
        for number in range(rows):
            if number == rows // 2:
                run._writer.seal()
                assert all(event.wait(HANGS) for event in done)
            mask = np.full((4, 4), number % 5, np.uint8)
            picture = np.full((4, 4, 3), number % 50, np.uint8)
            image = maskl.Image(picture, masks={"m": {"mask_data": mask}})
            table = maskl.Table(["process", "n", "image"], [[process, number, image]])
            run.log({"t": table, "n": number})


def ask(root: Path, stop: Connection, answers: Connection, done: Event) -> None:
    """Ask until told to stop, and once after it; return the answers. What fails ends the process with an error."""
    eventually((root / "seals").exists)
    found, store, stopped = [], maskl.open(root), False
    while not stopped:
        stopped = stop.poll()
        if any(info.name == "t" for info in store.tables()):
            found.append(store.sql(COUNTS).fetchall()[0])
            table = maskl.open(root).table("t")
            assert table[len(table) - 1]["image"].masks["m"].mask_data.shape == (4, 4)
            done.set()
    answers.send(found)


def tidy(root: Path, stop: Connection, answers: Connection, done: Event) -> None:
    """Compact until told to stop, and return how often."""
    compacted = 0
    while not stop.poll(0.05):
        if (root / "maskl.json").exists():
            compact(Layout(root))
            compacted += 1
            done.set()
    answers.send(compacted)


def test_many_processes_write_while_others_ask(tmp_path: Path) -> None:
    root = tmp_path / "maskl-store"
    beside, done = [], []
    for target in (ask, tidy):
        (stopped, stop), (answers, answer) = Pipe(duplex=False), Pipe(duplex=False)
        done.append(get_context("forkserver").Event())
        beside.append((start(target, root, stopped, answer, done[-1]), stop, answers))
        answer.close()
    writers = [start(write, root, process, ROWS, done) for process in range(PROCESSES)]
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * PROCESSES
    for _, stop, _ in beside:
        stop.send(None)
    found, compacted = (answers.recv() for _, _, answers in beside)
    for process, _, _ in beside:
        process.join()
        assert process.exitcode == 0
    assert compacted > 0
    assert len(found) > 1
    assert found[0][0] < found[-1][0] == PROCESSES * ROWS
    for before, after in pairwise(found):
        assert all(a >= b for a, b in zip(after, before, strict=True)), (before, after)
    for rows, distinct, masks, pixels, _ in found:
        assert (rows, rows, 16 * rows) == (distinct, masks, pixels)
    store = maskl.open(root)
    assert store.sql("SELECT process, n FROM t ORDER BY ALL").fetchall() == [
        (process, number) for process in range(PROCESSES) for number in range(ROWS)
    ]
    assert {run.run_id for run in store.runs()} == {"shared", *(f"own-{p}" for p in range(SHARED, PROCESSES))}
    assert store.sql("SELECT count(*), count(DISTINCT (run_id, _row)) FROM history").fetchall() == [
        (PROCESSES * ROWS,) * 2
    ]
    assert verify(Layout(root)).faults == []
