"""Deleting removes runs or tables for everybody, and images for nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import maskl
from maskl_storage import Column, ImageCell, Layout, Rows, RunInfo, Store, Writer
from maskl_storage.disk.local import folder_of
from maskl_storage.disk.locks import FileLock
from maskl_storage.errors import InvalidValue, NotFound, QueryError, StateError
from maskl_storage.format.paths import lock_path
from maskl_storage.upkeep.compact import compact
from maskl_storage.verify.verify import verify
from tests.storage.stores import everything, fill, png

NUMBERS = (Column("value", "n", "int"),)
IMAGE = (Column("image", "image"),)


@pytest.fixture
def layout(store_dir: Path) -> Layout:
    """A store of two runs, of which ``a`` failed; the second refers to an image of the first."""
    layout = Layout.create(store_dir)
    for run, state in (("a", "failed"), ("b", "finished")):
        writer = Writer(layout, RunInfo(run, f"name {run}"), merges=False)
        image = png(1)
        writer.add_image(image)
        writer.write({"t": Rows(IMAGE, [(ImageCell(image.digest, "png", "L", 1, 1),)])}, 0, {"loss": 1.0})
        writer.seal()
        writer.write({"t": Rows(IMAGE, [(None,)]), "u": Rows(NUMBERS, [(1,), (2,)])}, 1)
        writer.close(state)
    return layout


def told(layout: Layout) -> dict[str, Any]:
    store = Store(layout.root)
    return {
        "runs": [info.run_id for info in store.runs()],
        "tables": [(info.name, info.rows, info.runs) for info in store.tables()],
        "history": store.sql("SELECT run_id FROM history").fetchall(),
    }


def test_a_run_goes_and_its_images_stay(layout: Layout) -> None:
    store = Store(layout.root)
    done = store.delete("name a")
    assert (done.runs, done.tables, done.rows) == (["a"], ["t", "u"], 4)
    assert told(layout) == {"runs": ["b"], "tables": [("t", 2, ("b",)), ("u", 2, ("b",))], "history": [("b",)]}
    assert store.image(store.table("t")[0]["image"].digest) == png(1).data
    assert verify(layout).faults == []


def test_what_nobody_reads_goes_at_once_and_what_is_read_later(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maskl_storage.disk.locks._held", {})
    relation = Store(layout.root).sql("SELECT n FROM u ORDER BY n")
    done = Store(layout.root).delete("a")
    assert done.kept > 0
    assert relation.fetchall() == [(1,), (1,), (2,), (2,)]
    assert compact(layout, ["a"], grace=0).removed == done.kept
    assert not list(layout.root.glob("rows/*/run_id=a"))
    assert verify(layout).notes == []


@pytest.mark.parametrize(
    "chosen", [{"runs": "a"}, {"where": "run_id = 'a' AND run_id IN (SELECT run_id FROM history)"}]
)
def test_the_process_that_deletes_is_nobody_who_reads(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, chosen: dict[str, str]
) -> None:
    monkeypatch.setattr("maskl_storage.disk.locks._held", {})
    store = Store(layout.root)
    assert [info.run_id for info in store.runs()] == ["a", "b"]
    assert [info.name for info in store.tables()] == ["t", "u"]
    assert store.delete(**chosen).kept == 0
    assert not list(layout.root.glob("rows/*/run_id=a"))
    assert verify(layout).clean


@pytest.mark.parametrize("read", ["sql", "table", "image", "connect", "setup_sql"])
def test_what_was_given_away_may_be_read_still(layout: Layout, monkeypatch: pytest.MonkeyPatch, read: str) -> None:
    monkeypatch.setattr("maskl_storage.disk.locks._held", {})
    store = Store(layout.root)
    given = {"sql": ["FROM t"], "table": ["t"], "image": [png(1).digest]}.get(read, [])
    assert getattr(store, read)(*given)
    assert Store(layout.root).delete("a").kept > 0


def test_runs_are_chosen_by_a_condition(layout: Layout) -> None:
    store = Store(layout.root)
    condition = "state = 'failed' AND run_name LIKE 'name%' -- whatever state"
    assert store.delete(where=condition, dry_run=True).runs == ["a"]
    assert [info.run_id for info in store.runs()] == ["a", "b"]
    assert store.delete(where=condition).runs == ["a"]
    assert store.delete(where="false").runs == []
    assert [info.run_id for info in store.runs()] == ["b"]


@pytest.mark.parametrize("where", ["true) UNION (SELECT 'b'", "true); DROP VIEW runs; --", "state ="])
def test_a_condition_is_a_condition(layout: Layout, where: str) -> None:
    with pytest.raises(QueryError):
        Store(layout.root).delete(where=where)
    assert [info.run_id for info in Store(layout.root).runs()] == ["a", "b"]


def test_a_table_goes_and_the_runs_stay(layout: Layout) -> None:
    done = Store(layout.root).delete(table="t")
    assert (done.runs, done.tables, done.rows) == (["a", "b"], ["t"], 4)
    assert told(layout)["tables"] == [("u", 4, ("a", "b"))]
    assert Store(layout.root).delete(["a"], table="u").rows == 2
    assert told(layout) == {"runs": ["a", "b"], "tables": [("u", 2, ("b",))], "history": [("a",), ("b",)]}
    assert verify(layout).faults == []


def test_no_version_of_a_mutable_table_comes_back(store_dir: Path) -> None:
    layout = Layout.create(store_dir)
    writer = Writer(layout, RunInfo("r", "r"), merges=False)
    for value in range(4):
        writer.write({"m": Rows(NUMBERS, [(value,)], replace=True), "u": Rows(NUMBERS, [(value,)])}, value)
        writer.seal()
    writer.close()
    Store(layout.root).delete("r", table="m")
    assert [info.name for info in Store(layout.root).tables()] == ["u"]
    assert [row["n"] for row in Store(layout.root).table("u")] == [0, 1, 2, 3]
    again = Writer(layout, RunInfo("r", "r"), merges=False)
    again.write({"m": Rows(NUMBERS, [(9,)])}, 5)
    again.close()
    assert [row["n"] for row in Store(layout.root).table("m")] == [9]


def test_a_run_that_is_written_stays(layout: Layout) -> None:
    lock = FileLock(layout.files, lock_path("b", 0))
    layout.files.make_folder(folder_of(lock.path))
    assert lock.acquire()
    before = told(layout)
    with pytest.raises(StateError, match="run 'b' is being written: finish it first"):
        Store(layout.root).delete(["a", "b"])
    with pytest.raises(StateError, match="run 'b' is being written"):
        Store(layout.root).delete(table="t")
    assert told(layout) == before
    lock.release(remove=True)


def test_a_run_of_this_process_is_finished_first(store_dir: Path) -> None:
    with maskl.init(dir=store_dir, name="mine") as run:
        run.log({"loss": 1.0})
        with pytest.raises(StateError, match="finish it first"):
            maskl.open(store_dir).delete(run.id)
    assert maskl.open(store_dir).delete(run.id).runs == [run.id]
    assert maskl.open(store_dir).runs() == []


def test_rows_that_were_never_sealed_go_with_their_run(layout: Layout) -> None:
    waiting = layout.root / "wal" / "run_id=a" / "0-2.wal"
    waiting.parent.mkdir(parents=True, exist_ok=True)
    waiting.write_bytes(b"rows")
    Store(layout.root).delete("a")
    assert not waiting.exists()


def test_everything_else_is_as_before(store_dir: Path) -> None:
    layout = Layout.create(store_dir)
    fill(layout, 5, seals=5)
    Store(layout.root, runs=["run 1"])
    before = [row for row in everything(layout.root)["history"][2] if "'run 1'" in row]
    Store(layout.root).delete("run 0")
    assert everything(layout.root)["history"][2] == before
    compact(layout, grace=0)
    assert verify(layout).faults == []


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"runs": "c"}, NotFound, "there is no run 'c'"),
        ({"table": "nope"}, NotFound, "no table 'nope'"),
        ({"runs": "a", "table": "nope"}, NotFound, "none of the runs a has a table 'nope'"),
        ({}, InvalidValue, "needs runs, or where=, or table="),
    ],
)
def test_what_is_not_there_is_an_error(layout: Layout, arguments: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Store(layout.root).delete(**arguments)
    assert [info.run_id for info in Store(layout.root).runs()] == ["a", "b"]
