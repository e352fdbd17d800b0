"""Runs: where steps go, what becomes a table, and that a bad call stores nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maskl
from maskl import Image, Table
from maskl.errors import InvalidType, InvalidValue, StateError

Start = Callable[..., maskl.Run]
Refused = Callable[..., AbstractContextManager[Any]]
PIXELS = np.zeros((2, 2), np.uint8)


CIRCLE: dict[str, Any] = {}
CIRCLE["a"] = CIRCLE


class Odd:
    """Something that nothing knows, with a name that does not change from run to run."""

    def __repr__(self) -> str:
        return "odd"


@pytest.fixture
def history(store_dir: Path) -> Callable[[], list[tuple[int, str, Any]]]:
    """Return step, key and value of every scalar, in order."""
    query = "SELECT _step, key, coalesce(text, CAST(value AS VARCHAR)) FROM history ORDER BY run_id, _row"
    return lambda: [tuple(row) for row in maskl.open(store_dir).sql(query).fetchall()]


# --- steps --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "logged_at", "next_step"),
    [
        ([None, None, None], [0, 1, 2], 3),
        ([0, 0, 0], [0, 0, 0], 0),
        ([5], [5], 5),
        ([5, None, None], [5, 5, 6], 7),
        ([None, 7, None], [0, 7, 7], 8),
        ([3, 1, 3], [3, 1, 3], 3),
        ([3, 1, None], [3, 1, 3], 4),
        ([None, None, 0, None], [0, 1, 0, 2], 3),
        ([np.int64(4), None], [4, 4], 5),
        ([-1, None], [-1, 0], 1),
    ],
    ids=str,
)
def test_where_a_call_goes(store_dir: Path, given: list[Any], logged_at: list[int], next_step: int) -> None:
    run = maskl.init(dir=store_dir)
    for number, step in enumerate(given):
        run.log({f"k{number}": number}, step=step)
    assert run.step == next_step
    rows = maskl.open(store_dir).sql("SELECT _step FROM history ORDER BY _row").fetchall()
    assert [step for (step,) in rows] == logged_at


def test_tables_and_scalars_of_a_call_share_its_step(start: Start, store_dir: Path) -> None:
    with start() as run:
        run.log({"loss": 1, "t": Table(["a"], [[1]])}, step=4)
        run.log({"t": Table(["a"], [[2]])})
    assert [row.step for row in maskl.open(store_dir).table("t")] == [4, 4]


@pytest.mark.parametrize("step", [1.0, "1", True, [1]])
def test_a_step_of_another_kind_is_refused(start: Start, refused: Refused, step: Any) -> None:
    run = start()
    with refused(InvalidType, "step must be a whole number"):
        run.log({"a": 1}, step=step)
    assert run.step == 0


@pytest.mark.parametrize("step", [1 << 63, -(1 << 63) - 1])
def test_a_step_outside_64_bits_is_refused(start: Start, refused: Refused, step: int) -> None:
    run = start()
    with refused(InvalidValue, "step"):
        run.log({"a": 1}, step=step)


# --- what is logged -----------------------------------------------------------------------------


def test_scalars_go_to_the_history(start: Start, history: Callable[[], Any]) -> None:
    with start() as run:
        run.log({"loss": 0.5, "epoch": 3, "ok": True, "note": "좋다", "none": None, "nan": float("nan")})
    kept = [("loss", "0.5"), ("epoch", "3.0"), ("ok", "1.0"), ("note", "좋다"), ("nan", "nan")]
    assert history() == [(0, key, value) for key, value in kept]


def test_numpy_scalars_are_numbers(start: Start, store_dir: Path) -> None:
    with start() as run:
        run.log({"a": np.float32(0.5), "b": np.int64(7), "c": np.array(3)})
    rows = maskl.open(store_dir).sql("SELECT key, value FROM history ORDER BY _row").fetchall()
    assert rows == [("a", 0.5), ("b", 7.0), ("c", 3.0)]


def test_integers_that_a_double_cannot_hold_are_kept_as_text(start: Start, store_dir: Path) -> None:
    with start() as run:
        run.log({"big": (1 << 53) + 1, "small": 1 << 53})
    rows = maskl.open(store_dir).sql("SELECT key, text FROM history ORDER BY _row").fetchall()
    assert rows == [("big", str((1 << 53) + 1)), ("small", None)]


def test_nested_keys_are_joined_with_slashes(start: Start, store_dir: Path, history: Callable[[], Any]) -> None:
    with start() as run:
        run.log({"val": {"loss": 1, "deep": {"er": "x", "images": Image(PIXELS), "t": Table(["a"], [[1]])}}, "a/b": 2})
    assert [(key, value) for _, key, value in history()] == [("val/loss", "1.0"), ("val/deep/er", "x"), ("a/b", "2.0")]
    assert [table.name for table in maskl.open(store_dir).tables()] == ["val/deep/images", "val/deep/t"]


def test_an_image_becomes_a_table(start: Start, store_dir: Path) -> None:
    image = Image(PIXELS, caption="x")
    with start() as run:
        run.log({"shots": image})
    table = maskl.open(store_dir).table("shots")
    assert table.columns == ["image", "index"]
    assert [dict(row) for row in table] == [{"image": image, "index": 0}]


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_list_of_images_becomes_a_table(start: Start, store_dir: Path, kind: Callable[[Any], Any]) -> None:
    images = [Image(PIXELS + i) for i in range(3)]
    with start() as run:
        run.log({"shots": kind(images)})
    rows = maskl.open(store_dir).table("shots")
    assert [row["index"] for row in rows] == [0, 1, 2]
    assert [row["image"] for row in rows] == images


def test_what_was_logged_is_seen_at_once_in_this_process(start: Start, store_dir: Path) -> None:
    run = start()
    store = maskl.open(store_dir)
    for count in (1, 2, 3):
        run.log({"t": Table(["a"], [[count]])})
        assert len(store.table("t")) == count
        assert maskl.sql("SELECT count(*) FROM t").fetchall() == [(count,)]


def test_maskl_log_goes_to_the_active_run(start: Start, history: Callable[[], Any]) -> None:
    start()
    maskl.log({"a": 1}, step=3)
    maskl.finish()
    assert history() == [(3, "a", "1.0")]


def test_a_store_that_is_open_sees_what_another_process_logs(start: Start, store_dir: Path) -> None:
    with start(name="first") as run:
        run.log({"a": 1})
    store = maskl.open(store_dir)
    assert store.sql("SELECT count(*) FROM history").fetchall() == [(1,)]
    code = f"import maskl\nwith maskl.init(name='second', dir={str(store_dir)!r}) as run: run.log({{'a': 2}})"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert store.sql("SELECT run_name, value FROM history ORDER BY value").fetchall() == [
        ("first", 1.0),
        ("second", 2.0),
    ]


def test_threads_may_log_to_one_run(start: Start, store_dir: Path) -> None:
    run = start()

    def work(thread: int) -> None:
        for i in range(15):
            shade = np.full((8, 8, 3), 20 * thread + i, np.uint8)
            image = Image(shade, masks={"k": {"mask_data": np.full((8, 8), i)}})
            run.log({"t": Table(["id", "image"], [[20 * thread + i, image]]), "x": i})
            if i % 5 == 0:
                maskl.open(store_dir).refresh()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [None] * 4
    run.finish()
    store = maskl.open(store_dir)
    table = store.table("t")
    assert sorted(row["id"] for row in table) == sorted(20 * thread + i for thread in range(4) for i in range(15))
    assert len({row.row for row in table}) == 60
    assert all(np.array(row["image"].image)[0, 0, 0] == row["id"] for row in table)
    assert store.sql("SELECT count(*), count(DISTINCT _row) FROM history").fetchall() == [(60, 60)]


def test_a_table_whose_images_one_store_holds_is_logged_to_another(tmp_path: Path) -> None:
    image = Image(PIXELS + 3)
    with maskl.init(dir=tmp_path / "a") as run:
        run.log({"first": image})
        table = Table(["image"], [[image]])
    with maskl.init(dir=tmp_path / "b") as run:
        run.log({"second": table})
    assert maskl.open(tmp_path / "b").table("second")[0]["image"] == image


def test_a_store_that_was_removed_and_made_again_is_read_anew(start: Start, store_dir: Path) -> None:
    def log_rows(count: int) -> None:
        with start(id="same") as run:
            run.log({"t": Table(["a"], [[i] for i in range(count)])})

    log_rows(2)
    store = maskl.open(store_dir)
    assert len(store.table("t")) == 2
    shutil.rmtree(store_dir)
    log_rows(5)
    assert len(store.table("t")) == 5
    assert [row["a"] for row in store.table("t")] == [0, 1, 2, 3, 4]
    assert store.sql("SELECT count(*) FROM t").fetchall() == [(5,)]


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize("bad_first", [True, False])
@pytest.mark.parametrize(
    ("bad", "error", "words"),
    [
        ({"bad": Odd()}, InvalidType, "column 'bad' cannot hold a Odd"),
        ({"x": {"bad": Odd()}}, InvalidType, "'x/bad' cannot hold a Odd"),
        ({"x": {(1, 2): 3}}, InvalidType, "'x': a key must be a string or a number"),
        ({"bad": "\ud800"}, InvalidValue, "Unicode"),
        ({"\ud800": 1}, InvalidValue, "Unicode"),
        ({3: 1}, InvalidType, "needs a name, a string that is not empty; got 3"),
        ({"": 1}, InvalidType, "needs a name"),
        ({"bad": [Image(PIXELS), 3]}, InvalidValue, "a list of images must hold nothing else; item 1 is a int"),
        ({"NULL": Table(["a"], [[1]])}, InvalidValue, "table name must not be 'NULL'"),
        ({"x" * 201: Image(PIXELS)}, InvalidValue, "table name must be at most 200 bytes"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_one_bad_value_and_nothing_of_the_call_is_stored(
    start: Start, refused: Refused, bad: dict[Any, Any], error: type[Exception], words: str, bad_first: bool
) -> None:
    run = start()
    run.log({"good": 1, "t": Table(["a"], [[1]])})
    good = {"loss": 1, "t": Table(["a"], [[2]]), "shots": Image(PIXELS + 7), "nest": {"x": "y"}}
    with refused(error, words):
        run.log({**bad, **good} if bad_first else {**good, **bad})
    assert run.step == 1
    run.log({"after": 2})
    maskl.finish()
    assert maskl.open(run.dir).sql("SELECT key, _step FROM history ORDER BY _row").fetchall() == [
        ("good", 0),
        ("after", 1),
    ]
    assert [table.rows for table in maskl.open(run.dir).tables()] == [1]


@pytest.mark.parametrize(("width", "file_type"), [(70000, "jpg"), (17000, "webp")])
def test_an_image_too_large_for_its_file_type_is_refused_before_anything_is_stored(
    start: Start, refused: Refused, width: int, file_type: str
) -> None:
    run = start()
    pixels = np.zeros((1, width, 3), np.uint8)
    with refused(InvalidValue, str(width)):
        run.log({"good": Image(PIXELS + 7), "bad": Image(pixels, file_type=file_type)})
    assert maskl.open(run.dir).tables() == []


@pytest.mark.parametrize("value", [1, Image(PIXELS)], ids=["scalar", "image"])
def test_two_values_under_one_joined_key_are_refused(start: Start, refused: Refused, value: Any) -> None:
    run = start()
    with refused(InvalidValue, "'a/b'", "twice"):
        run.log({"a": {"b": value}, "a/b": value})


@pytest.mark.parametrize("data", [None, 3, "a", [("a", 1)], Table()], ids=str)
def test_log_needs_a_dict(start: Start, refused: Refused, data: Any) -> None:
    run = start()
    with refused(InvalidType, "log() needs a dict of names to values"):
        run.log(data)


def test_log_before_init_is_refused(refused: Refused) -> None:
    with refused(StateError, "You must call maskl.init() before maskl.log()"):
        maskl.log({"a": 1})


def test_log_after_finish_is_refused(start: Start, refused: Refused) -> None:
    run = start()
    run.finish()
    with refused(StateError, "is finished"):
        run.log({"a": 1})
    with refused(StateError, "You must call maskl.init() before maskl.log()"):
        maskl.log({"a": 1})


# --- begin and end ------------------------------------------------------------------------------


def test_a_run_is_running_until_it_is_finished(start: Start, store_dir: Path) -> None:
    run = start(name="n")
    assert maskl.open(store_dir).run("n").state == "running"
    run.finish()
    stored = maskl.open(store_dir).run("n")
    assert stored.state == "finished"
    assert stored.info.finished is not None


def test_an_exception_marks_the_run_as_failed_and_keeps_what_was_logged(start: Start, store_dir: Path) -> None:
    def fail() -> None:
        with start(name="n") as run:
            run.log({"a": 1})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    store = maskl.open(store_dir)
    assert store.run("n").state == "failed"
    assert store.run("n").history()["key"].to_pylist() == ["a"]
    with pytest.raises(StateError):
        maskl.log({"a": 1})


@pytest.mark.parametrize(("code", "state"), [(None, "finished"), (0, "finished"), (1, "failed")])
def test_an_exit_code_tells_how_a_run_ended(start: Start, store_dir: Path, code: int | None, state: str) -> None:
    start(name="n")
    maskl.finish(code)
    maskl.finish(1)
    assert maskl.open(store_dir).run("n").state == state


@pytest.mark.once
@pytest.mark.parametrize(("ending", "state"), [("", "finished"), ("raise SystemError", "failed")])
def test_a_program_that_ends_finishes_its_run(store_dir: Path, ending: str, state: str) -> None:
    code = f"import maskl\nmaskl.init(name='n', dir={str(store_dir)!r})\nmaskl.log({{'a': 1}})\n{ending}"
    subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    run = maskl.open(store_dir).run("n")
    assert run.state == state
    assert run.history()["value"].to_pylist() == [1.0]


def test_a_run_is_described_as_it_was_started(start: Start, store_dir: Path) -> None:
    config = {"lr": 3e-3, "layers": [1, 2], "deep": {"a": None}, "np": np.float32(0.5), "path": Path("x")}
    run = start(project="p", name="이름", config=config, group="g", tags=["a", "b"], notes="n")
    config["layers"].append(3)  # type: ignore[attr-defined]
    assert run.id.startswith("이름-")
    assert len(run.id) == len("이름-") + 4
    assert (run.name, run.project, run.store_dir) == ("이름", "p", str(store_dir))
    assert run.config == {"lr": 3e-3, "layers": [1, 2], "deep": {"a": None}, "np": 0.5, "path": "x"}
    info = maskl.open(store_dir).run("이름").info
    assert (info.project, info.group, info.tags, info.notes, info.config) == ("p", "g", ("a", "b"), "n", run.config)


def test_a_run_is_found_by_id_name_or_prefix(start: Start, store_dir: Path) -> None:
    for run_id, name in (("unet-aaaa", "unet"), ("unet-bbbb", "deeplab"), ("x", "x")):
        start(id=run_id, name=name).finish()
    store = maskl.open(store_dir)
    assert store.run("unet-bbbb").name == "deeplab"
    assert store.run("unet").id == "unet-aaaa"
    assert store.run("deep" + "lab").id == "unet-bbbb"
    assert store.run("unet-b").id == "unet-bbbb"
    with pytest.raises(maskl.errors.NotFound, match="names 2 runs: unet-aaaa, unet-bbbb"):
        store.run("une")


def test_two_writers_of_one_run_do_not_overwrite_each_other(start: Start, store_dir: Path) -> None:
    for value in (1, 2):
        with start(id="same") as run:
            run.log({"a": value, "t": Table(["a"], [[value]])})
    store = maskl.open(store_dir)
    assert [run.run_id for run in store.runs()] == ["same"]
    assert [row["a"] for row in store.table("t")] == [1, 2]
    assert len({row.row for row in store.table("t")}) == 2


@pytest.mark.parametrize("where", ["dir", "dir as text", "environment", "working directory"])
def test_where_the_store_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    place = tmp_path / "place"
    place.mkdir()
    if where == "environment":
        monkeypatch.setenv("MASKL_DIR", str(place))
    elif where == "working directory":
        monkeypatch.chdir(place)
    argument = {"dir": place, "dir as text": str(place)}.get(where)
    with maskl.init(dir=argument) as run:
        run.log({"a": 1})
    root = place / "maskl-store"
    assert json.loads((root / "maskl.json").read_text())["format"] == "maskl"
    assert (root / ".gitignore").read_text() == "*\n"
    assert maskl.open(argument).root == root


def test_a_store_is_found_upward_from_the_working_directory(
    start: Start, store_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start().finish()
    below = store_dir.parent / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert maskl.open().root == store_dir


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"name": 3}, InvalidType, "name must be a string; got 3"),
        ({"project": b"p"}, InvalidType, "project must be a string"),
        ({"group": 1}, InvalidType, "group must be a string"),
        ({"notes": 1}, InvalidType, "notes must be a string"),
        ({"tags": b"a"}, InvalidType, "tags must be a string or a list of strings"),
        ({"tags": [1]}, InvalidType, "tags must be a string or a list of strings"),
        ({"config": [1]}, InvalidType, "config must be a dict"),
        ({"config": {"a": Image(PIXELS)}}, InvalidType, "config item 'a' must be what JSON can hold"),
        ({"config": {("a",): 1}}, InvalidType, "a config's keys must be strings"),
        ({"config": {"a": {("b",): 1}}}, InvalidType, "a key must be a string or a number"),
        ({"config": CIRCLE}, InvalidValue, "config item 'a' contains itself"),
        ({"id": ""}, InvalidValue, "a run id must not be empty"),
        ({"id": "  "}, InvalidValue, "a run id must not be blank"),
        ({"id": "NULL"}, InvalidValue, "a run id must not be 'NULL'"),
        ({"id": "x" * 201}, InvalidValue, "at most 200 bytes"),
        ({"id": 3}, InvalidValue, "a run id must be a string"),
        ({"name": "x" * 200}, InvalidValue, "at most 200 bytes"),
        ({"name": "\ud800"}, InvalidValue, "Unicode"),
        ({"project": "\ud800"}, InvalidValue, "Unicode"),
        ({"config": {"a": "\ud800"}}, InvalidValue, "Unicode"),
    ],
    ids=ascii,
)
def test_wrong_arguments_start_no_run(
    start: Start, refused: Refused, arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    start(name="before").finish()
    with refused(error, words):
        start(**arguments)
    with pytest.raises(StateError):
        maskl.log({"a": 1})
