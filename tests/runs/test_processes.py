"""Forks, threads, several processes in one store, and runs that are opened again."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import maskl
from maskl.errors import InvalidValue, NotFound
from maskl_storage import Column, Layout, RunInfo, Writer
from tests.conftest import eventually

pytestmark = pytest.mark.once

FORKED = """
import os, sys, maskl
run = maskl.init(dir=sys.argv[1], id="parent")
run.log({"parent": 1})
pid = os.fork()
if pid == 0:
    try:
        run.log({"stolen": 1})
    except maskl.errors.StateError as error:
        assert "belongs to process" in str(error), error
    else:
        os._exit(3)
    with maskl.init(dir=sys.argv[1], id="parent") as mine:
        mine.log({"child": 2})
        mine.log({"image": maskl.Image([[1, 2]])})
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
run.log({"parent": 3})
"""

ASKED = """
import gc, os, sys, maskl
from maskl.reading.questions import _opened

def ask():
    return [maskl.sql("SELECT value FROM history", dir=f"{sys.argv[1]}/{n}").fetchall() for n in range(3)]

for number in range(3):
    with maskl.init(dir=f"{sys.argv[1]}/{number}") as run:
        run.log({"loss": number})
expected = [[(number,)] for number in range(3)]
assert ask() == expected
inherited = set(map(id, _opened.values()))
for _ in range(5):
    pid = os.fork()
    if pid == 0:
        gc.collect()
        same = ask() == expected
        own = [store for (process, _), store in _opened.items() if process == os.getpid()]
        os._exit(0 if same and len(own) == 3 and not inherited & set(map(id, own)) else 1)
    assert os.waitpid(pid, 0)[1] == 0
assert ask() == expected and set(map(id, _opened.values())) == inherited
"""

RACE = """
import sys, maskl
print("ready", flush=True)
sys.stdin.read()  # until the pipe that all of them read is closed
with maskl.init(dir=sys.argv[1]) as run:
    run.log({"loss": 1})
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_writes_its_own_rows(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", FORKED, tmp_path], check=True)
    store = maskl.open(tmp_path)
    rows = store.sql("SELECT key, value FROM history ORDER BY value").fetchall()
    assert rows == [("parent", 1), ("child", 2), ("parent", 3)]
    assert len(store.table("image")) == 1
    assert [run.run_id for run in store.runs()] == ["parent"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_opens_stores_of_its_own(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", ASKED, tmp_path], check=True)


@pytest.mark.once
def test_processes_that_make_one_store_at_once_all_succeed(tmp_path: Path) -> None:
    race, go = os.pipe()
    command = [sys.executable, "-c", RACE, tmp_path]
    children = [subprocess.Popen(command, stdin=race, stdout=subprocess.PIPE) for _ in range(4)]
    os.close(race)
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
    os.close(go)
    for child in children:
        with child:
            assert child.wait() == 0
    assert maskl.open(tmp_path).sql("SELECT count(*) FROM history").fetchall() == [(4,)]


def test_a_run_that_is_opened_again_keeps_its_description(tmp_path: Path) -> None:
    with maskl.init(dir=tmp_path, id="r", name="unet", project="p", config={"lr": 1}, tags=["a"]) as run:
        run.log({"loss": 1})
    with maskl.init(dir=tmp_path, id="r", config={"epochs": 2}) as run:
        run.log({"loss": 2})
    (info,) = maskl.open(tmp_path, project="p").runs()
    assert (info.name, info.project, dict(info.config), info.tags) == ("unet", "p", {"lr": 1, "epochs": 2}, ("a",))


def test_what_waits_is_sealed_in_time_without_another_call(tmp_path: Path) -> None:
    layout = Layout.create(tmp_path / "maskl-store")
    writer = Writer(layout, RunInfo("r", "r"), seal_seconds=0.05)
    writer.append("t", (Column("value", "n", "int"),), [(1,)], 0)
    eventually(lambda: layout.listing().of("rows"))
    assert [sealed.part.rows for sealed in layout.listing().of("rows")] == [1]
    writer.close()


def test_threads_read_images_of_one_store(tmp_path: Path) -> None:
    for number in range(4):
        with maskl.init(dir=tmp_path, name=f"r{number}") as run:
            run.log({"t": [maskl.Image(np.full((2, 2), 10 * number + i, np.uint8)) for i in range(10)]})
    table = maskl.open(tmp_path).table("t")

    def first_pixel(index: int) -> int:
        return int(np.array(table[index % 40]["image"].image)[0, 0])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(first_pixel, range(400))) == [index % 40 for index in range(400)]


def test_threads_log_to_one_run(tmp_path: Path) -> None:
    with maskl.init(dir=tmp_path) as run, ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda number: run.log({"n": number}), range(120)))
    rows = maskl.open(tmp_path).sql("SELECT count(DISTINCT _step), count(DISTINCT value) FROM history").fetchall()
    assert rows == [(120, 120)]


def test_a_store_is_one_store_by_whatever_path(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with maskl.init(dir=tmp_path / "link") as run:
        run.log({"loss": 1})
        assert maskl.sql("SELECT value FROM history", dir=tmp_path / "real").fetchall() == [(1,)]


def test_a_path_that_sql_would_read_as_a_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=r"a component such as run_id=…"):
        maskl.init(dir=tmp_path / "pixels=9")


@pytest.mark.skipif(sys.platform != "linux", reason="file names are text elsewhere")
def test_a_file_name_that_is_not_text_is_kept_escaped(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff.png"
    with open(path, "wb") as file:
        maskl.Image([[1, 2]]).image.save(file, "PNG")
    with maskl.init(dir=tmp_path / "store") as run:
        run.log({"image": maskl.Image(os.fsdecode(path))})
    assert maskl.open(tmp_path / "store").sql("SELECT image.path FROM image").fetchall()[0][0].endswith("\\xff.png")


def test_what_is_seen_is_limited_in_every_view(tmp_path: Path) -> None:
    for project in ("a", "b"):
        with maskl.init(dir=tmp_path, name="unet", project=project) as run:
            run.log({"loss": 1})
    store = maskl.open(tmp_path, project="a", runs=["unet"])
    assert store.sql("SELECT project FROM runs").fetchall() == [("a",)]
    assert store.run("unet").info.project == "a"
    mistaken = maskl.open(tmp_path, runs=["typo"])
    for _ in range(2):
        with pytest.raises(NotFound, match="no run 'typo'"):
            mistaken.tables()


@pytest.mark.filterwarnings("ignore::maskl.errors.ConversionWarning")
def test_a_column_told_apart_takes_no_other_columns_name(tmp_path: Path) -> None:
    for data in ([[1, "keep"], [1, "keep"]], [["s", "keep2"]]):
        with maskl.init(dir=tmp_path) as run:
            run.log({"t": maskl.Table(["a", "a__string"], data)})
    store = maskl.open(tmp_path)
    rows = store.sql("SELECT a, a__string, a__string_1 FROM t ORDER BY ALL").fetchall()
    assert rows == [(1, "keep", None), (1, "keep", None), (None, "keep2", "s")]
    assert store.table("t").to_arrow()["a__string_1"].to_pylist() == [None, None, "s"]
