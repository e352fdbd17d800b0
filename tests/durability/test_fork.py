"""Forked processes and threads beside a run that is being logged to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import maskl
from maskl_storage import Layout
from maskl_storage.upkeep.recovery import recover
from tests.conftest import HANGS

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

BEGIN = (
    f"""
HANGS = {HANGS}
"""
    + """
import gc, multiprocessing, os, signal, sys, threading, time
import numpy as np
import maskl
run = maskl.init(dir=sys.argv[1], id="parent")
rng = np.random.default_rng(0)

def image():
    mask = {"mask_data": rng.integers(0, 3, (64, 64), np.uint8), "class_labels": {0: "sky", 1: "road", 2: "car"}}
    return maskl.Image(rng.integers(0, 256, (64, 64, 3), np.uint8), masks={"ground_truth": mask})

table = maskl.Table(["image"])
for _ in range(4):
    table.add_data(image())
run.log({"t": table, "before": 1})
"""
)

#: a child that ends as any program does, so that all that it inherited is torn down
TORN_DOWN = """
run._writer.seal()  # no thread is left that holds what is to be torn down
table = maskl.Table(["image"], [[image()] for _ in range(4)])
while len(run._writer._images.waiting) < 4:  # written before they are logged
    time.sleep(0.01)
(part,) = run._writer.layout.root.glob("images/*/*.tmp")
size = part.stat().st_size
pid = os.fork()
if pid == 0:
    del run, table
    gc.collect()
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert part.stat().st_size == size
run.log({"t": table, "after": 2})
"""

#: worker processes as a DataLoader has them: they make images, and end when the parent says so
WORKERS = """
def work(numbers, made):
    for number in iter(numbers.get, None):
        seen = image()
        try:
            run.log({"stolen": number})
        except maskl.errors.StateError:
            made.put((number, seen.masks["ground_truth"].mask_data.sum()))

fork = multiprocessing.get_context("fork")
numbers, made = fork.Queue(), fork.Queue()
workers = [fork.Process(target=work, args=(numbers, made)) for _ in range(3)]
for worker in workers:
    worker.start()
for number in range(30):
    numbers.put(number)
    run.log({"t": image()})
assert sorted(made.get(timeout=HANGS)[0] for _ in range(30)) == list(range(30))
for worker in workers:
    numbers.put(None)
for worker in workers:
    worker.join(HANGS)
assert [worker.exitcode for worker in workers] == [0] * 3
"""

#: forks while another thread is in the middle of logging, whatever locks it holds then
WHILE_LOGGING = """
stop = threading.Event()

def log_on():
    while not stop.is_set():
        run.log({"t": image(), "n": 1})
        run._writer.seal()

thread = threading.Thread(target=log_on)
thread.start()
for number in range(8):
    time.sleep(0.01)
    pid = os.fork()
    if pid == 0:
        signal.alarm(int(HANGS))  # one that hangs is killed
        rng = np.random.default_rng(number)  # the other thread may have held the lock of its parent's
        with maskl.init(dir=sys.argv[1], id=f"child-{number}") as mine:
            mine.log({"t": image(), "child": number})
            assert len(maskl.open().table("t", run=mine.id)) == 1
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
stop.set()
thread.join()
"""

#: a parent that dies at once, and a child that lives on
SURVIVOR = """
pid = os.fork()
if pid == 0:
    print(os.getpid(), flush=True)
    sys.stdin.read()  # until it is killed
    os._exit(0)
os.kill(os.getpid(), signal.SIGKILL)
"""


def run_script(root: Path, *parts: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "\n".join(parts), str(root)]
    environment = os.environ | {"MASKL_SILENT": "true"}
    return subprocess.run(command, capture_output=True, text=True, timeout=HANGS, env=environment)


def finished(root: Path, *parts: str) -> maskl.Store:
    done = run_script(root, BEGIN, *parts, "run.finish()")
    assert done.returncode == 0, done.stderr[-3000:]
    store = maskl.open(root)
    for row in store.table("t"):
        image = row["image"]
        assert np.asarray(image.image).shape == (64, 64, 3)
        assert image.masks["ground_truth"].mask_data.shape == (64, 64)
    return store


def test_a_child_that_ends_seals_nothing_of_its_parent(tmp_path: Path) -> None:
    store = finished(tmp_path / "maskl-store", TORN_DOWN)
    assert len(store.table("t")) == 8
    assert store.sql("SELECT key, value FROM history ORDER BY _row").fetchall() == [("before", 1), ("after", 2)]
    assert len(Layout(store.root).writer_files()) == 1


def test_workers_of_a_data_loader_neither_hang_nor_log(tmp_path: Path) -> None:
    store = finished(tmp_path / "maskl-store", WORKERS)
    assert len(store.table("t")) == 34
    assert store.sql("SELECT key FROM history").fetchall() == [("before",)]
    assert [run.state for run in store.runs()] == ["finished"]


def test_forks_while_a_thread_logs(tmp_path: Path) -> None:
    store = finished(tmp_path / "maskl-store", WHILE_LOGGING)
    assert {run.run_id for run in store.runs()} == {"parent", *(f"child-{number}" for number in range(8))}
    assert store.sql("SELECT value FROM history WHERE key = 'child' ORDER BY value").fetchall() == [
        (number,) for number in range(8)
    ]
    parent = store.table("t", run="parent")
    assert len(parent) == 4 + store.sql("SELECT count(*) FROM history WHERE key = 'n'").fetchall()[0][0]


def test_a_child_does_not_keep_its_dead_parent_alive(tmp_path: Path) -> None:
    root = tmp_path / "maskl-store"
    with subprocess.Popen(
        [sys.executable, "-c", BEGIN + SURVIVOR, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.wait()
        try:
            assert maskl.open(root).run("parent").state == "killed"
            (left,) = recover(Layout(root))
            assert left.rows == {"t": 4}
        finally:
            os.kill(child, signal.SIGKILL)
    assert len(maskl.open(root).table("t")) == 4


def test_threads_share_a_run(tmp_path: Path) -> None:
    changing = [maskl.Table(["n"], log_mode="MUTABLE") for _ in range(4)]
    with maskl.init(dir=tmp_path) as run:
        run._writer._seal_bytes, run._writer._seal_seconds = 20_000, 0.01

        def log(number: int) -> None:
            for index in range(20):
                mask = {"mask_data": np.full((5, 6), index, np.uint8)}
                picture = np.full((5, 6, 3), number * 20 + index, np.uint8)
                table = maskl.Table(["n", "image"], [[index, maskl.Image(picture, masks={"m": mask})]])
                changing[number].add_data(index)
                run.log({"t": table, f"changing_{number}": changing[number], "thread": number})

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(log, range(4)))
    store = maskl.open(tmp_path)
    rows = store.table("t")
    seen = sorted((int(np.asarray(row["image"].image)[0, 0, 0]), row["n"]) for row in rows)
    assert seen == [(number * 20 + index, index) for number in range(4) for index in range(20)]
    assert len({row.row for row in rows}) == 80
    assert len({step for (step,) in store.sql("SELECT _step FROM history").fetchall()}) == 80
    for number in range(4):
        assert [row["n"] for row in store.table(f"changing_{number}")] == list(range(20))
