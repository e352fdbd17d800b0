"""Queries with limits are answered by processes of their own, and nobody notices but who asks for too much."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import signal
import subprocess
import sys
import threading
import uuid
import warnings
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import duckdb
import numpy as np
import pytest

import maskl
from benchmarks.greedy import GREEDY, write
from maskl.errors import ClassMapWarning, ConversionWarning, InvalidType, QueryError, UnboundedWarning
from maskl_storage.query import children
from tests.conftest import HANGS, eventually
from tests.durability.interrupts import AtMoment

#: of queries that take what they can get, one for the planner, for the parser, in one value and in pixels
ONE_OF_EACH = ("doubled CTEs", "NOTs", "lpad", "masks of lists")
LIMITS: dict[str, Any] = {"timeout": HANGS, "memory_limit": "300MB"}
linux = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what a process is and has")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a store of a run with a table of masks."""
    directory = tmp_path_factory.mktemp("bounded")
    mask = {"mask_data": np.array([[0, 1]]), "class_labels": {0: "하늘", 1: "road"}}
    table = maskl.Table(["image", "loss", "글"])
    for number in range(3):
        image = maskl.Image(np.zeros((1, 2), np.uint8), masks={"ground_truth": mask, "predictions": mask})
        table.add_data(image, number / 2, None if number else "값")
    with maskl.init(dir=directory, id="r", config={"lr": 0.5}) as run:
        run.log({"t": table, "loss": 1})
    return directory


@pytest.fixture(scope="module")
def store(place: Path) -> maskl.Store:
    return maskl.open(place)


def pids(store: maskl.Store) -> list[int]:
    """Return the processes that wait for a store's questions."""
    assert store._children is not None
    return [child._process.pid for child in store._children._idle]


def is_there(pid: int) -> bool:
    """Whether a process runs; one that ended and that nobody waited for yet does not."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


# --- the answer is the same ---------------------------------------------------------------------

QUERIES = [
    "FROM runs",
    "FROM history",
    "FROM t",
    'SELECT "글", loss AS "L ""x""", loss AS loss FROM t',
    "FROM class_iou('t')",
    "SELECT mask_area(image__mask__predictions, 1), mask_rle(image__mask__ground_truth) FROM t",
    "SELECT mask_png(image__mask__predictions), mask_bbox(image__mask__predictions, 1) FROM t",
    "FROM t WHERE false",
    "SELECT 1 WHERE false",
    "DESCRIBE t",
    "SHOW ALL TABLES",
    "PIVOT t ON loss USING count(*)",
    "SELECT range FROM range(100000)",
    "SELECT 1::HUGEINT, 1::UHUGEINT, 1::UTINYINT, 1.5::DECIMAL(38, 3), 'x'::BLOB, '101'::BIT, true, NULL",
    "SELECT DATE '2020-01-01', TIME '01:02:03', TIMETZ '01:02:03+02', TIMESTAMPTZ '2020-01-01 00:00:00+00'",
    "SELECT TIMESTAMP_S '2020-01-01', TIMESTAMP_MS '2020-01-01', TIMESTAMP_NS '2020-01-01', INTERVAL 3 MONTH",
    "SELECT '{\"a\": 1}'::JSON, uuid '00000000-0000-0000-0000-000000000001'",
    "SELECT [1, NULL], {'a': [1], 'b': {'c': 'x'}}, MAP {'k': 1}, [1, 2]::INTEGER[2], union_value(num := 2)",
    "SELECT ''::VARCHAR, 'infinity'::DOUBLE, 'nan'::FLOAT, 'infinity'::DATE, '\U0001f600한글'",
]


@pytest.mark.parametrize("query", QUERIES)
def test_the_answer_is_that_of_a_query_without_limits(store: maskl.Store, query: str) -> None:
    plain, limited = store.sql(query), store.sql(query, **LIMITS)
    assert limited.columns == plain.columns
    assert list(map(str, limited.types)) == list(map(str, plain.types))
    assert repr(sorted(limited.fetchall(), key=repr)) == repr(sorted(plain.fetchall(), key=repr))
    assert limited.to_arrow_table().schema == plain.to_arrow_table().schema


def test_an_enumeration_comes_as_its_texts(store: maskl.Store) -> None:
    """Arrow knows no enumeration."""
    limited = store.sql("SELECT 'b'::ENUM('a', 'b') AS x", **LIMITS)
    assert (list(map(str, limited.types)), limited.fetchall()) == (["VARCHAR"], [("b",)])


def test_parameters_are_those_that_were_given(store: maskl.Store) -> None:
    values = [
        1,
        2**100,
        0.5,
        True,
        None,
        "글",
        b"\0x",
        date(2020, 1, 2),
        datetime(2020, 1, 2, tzinfo=UTC),
        Decimal("1.50"),
    ]
    values += [uuid.UUID(int=7), [1, 2], {"a": 1}]
    for value in values:
        query = "SELECT $1 AS x, typeof($1)"
        assert store.sql(query, [value], **LIMITS).fetchall() == store.sql(query, [value]).fetchall()
    assert store.sql("SELECT $a", {"a": 1}, **LIMITS).fetchall() == [(1,)]
    with pytest.raises(InvalidType, match="the parameters of a query with limits are plain values"):
        store.sql("SELECT ?", [threading.Lock()], **LIMITS)


@pytest.mark.parametrize(
    ("query", "params"),
    [
        ("SELEC 1", None),
        ("FROM nowhere", None),
        ("SELECT nowhere FROM t", None),
        ("DROP VIEW runs", None),
        ("", None),
        ("SELECT 1; SELECT 2", None),
        ("FROM read_text('/etc/passwd')", None),
        ("FROM checkpoint()", None),
        ("SELECT ?", None),
        ("SELECT 1", [1]),
        ("SELECT CAST('x' AS INTEGER)", None),
        ("SELECT error('mine')", None),
        ("SELECT mask_area('x'::BLOB, 1)", None),
        ("FROM class_iou('t', step := 'x')", None),
    ],
)
def test_the_error_is_that_of_a_query_without_limits(store: maskl.Store, query: str, params: Any) -> None:
    def told(**limits: Any) -> tuple[str, str]:
        with pytest.raises((QueryError, duckdb.Error)) as raised:
            store.sql(query, params, **limits).fetchall()
        return type(raised.value).__name__, str(raised.value)

    kind, message = told(**LIMITS)
    assert kind == "QueryError"  # it ran when it was asked for
    plain_kind, plain_message = told()
    if plain_kind == kind:
        assert message == plain_message
    else:  # it was raised when the rows were fetched
        assert message.splitlines()[0] == plain_message.splitlines()[0]


def test_warnings_are_told_once(tmp_path: Path) -> None:
    for number, value in enumerate((1, "x")):
        with maskl.init(dir=tmp_path, id=f"r{number}") as run:
            run.log({"odd": maskl.Table(["a"], [[value]])})
    store = maskl.open(tmp_path)
    with pytest.warns(ConversionWarning) as warned:
        assert store.sql("SELECT count(*) FROM odd", **LIMITS).fetchall() == [(2,)]
    assert warned[0].filename == __file__
    store.sql("SELECT count(*) FROM odd", **LIMITS)  # no warning, which would be an error
    with pytest.warns(ClassMapWarning):
        store.sql("FROM class_totals", class_map={"none": "x"}, **LIMITS)


def test_it_is_the_same_moment_of_the_store(tmp_path: Path) -> None:
    with maskl.init(dir=tmp_path, id="a") as run:
        run.log({"t": maskl.Table(["n"], [[1]])})
        store = maskl.open(tmp_path)
        count = "SELECT count(*) FROM t"
        assert store.sql(count, **LIMITS).fetchall() == [(1,)]
        database = store._database(None, LIMITS["memory_limit"])
        run.log({"t": maskl.Table(["n"], [[2]])})
        assert database.query(count, None, HANGS).fetchall() == [(1,)]
        assert store.sql(count, **LIMITS).fetchall() == [(2,)]  # what waits in this process is sealed first
    assert database.query(count, None, HANGS).fetchall() == [(1,)]
    assert len(pids(store)) == 1  # one process, whatever moments it was handed


def test_what_was_chosen_in_this_process_holds_there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = maskl.open(place)
    query = "SELECT mask_area(image__mask__predictions, 1) FROM t"
    assert store.sql(query, **LIMITS).fetchall() == [(1,)] * 3
    monkeypatch.setenv("MASKL_MAX_MASK_PIXELS", "1")
    with pytest.raises(QueryError, match="max_mask_pixels"):
        store.sql(query, **LIMITS)


# --- too much -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def greedy(tmp_path_factory: pytest.TempPathFactory) -> maskl.Store:
    directory = tmp_path_factory.mktemp("greedy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write(directory)
    return maskl.open(directory)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in ONE_OF_EACH else pytest.mark.durability) for name in GREEDY]
)
def test_a_greedy_query_ends_and_the_next_is_answered(greedy: maskl.Store, name: str) -> None:
    """Coming back at all is what there is to test; ``python -m benchmarks untrusted`` measures what they take."""
    assert GREEDY.keys() > {*ONE_OF_EACH}
    with contextlib.suppress(QueryError):
        greedy.sql(GREEDY[name], timeout=1, memory_limit="100MB")
    assert greedy.sql("SELECT count(*) FROM history", timeout=HANGS, memory_limit="100MB").fetchall() == [(10,)]


def test_what_ends_the_process_is_an_error_of_the_query(store: maskl.Store) -> None:
    store.sql("SELECT 1", **LIMITS)
    (pid,) = pids(store)
    assert store._children is not None
    os.kill(pid, signal.SIGKILL)  # while nothing is asked: nobody notices
    assert store.sql("SELECT 1", **LIMITS).fetchall() == [(1,)]
    with pytest.raises(QueryError, match=r"the query ended the process that answered it \(SIGKILL\)"):
        ended_while(store, "SELECT count(*) FROM range(10000000000000)")
    assert store.sql("SELECT 1", **LIMITS).fetchall() == [(1,)]


def ended_while(store: maskl.Store, query: str) -> None:
    """Ask, and end the process that answers."""
    assert store._children is not None
    (child,) = store._children._idle
    asking = threading.Event()
    receive = child._receive

    def told(*arguments: Any) -> Any:
        frame = receive(*arguments)
        asking.set()
        return frame

    child._receive = told  # type: ignore[method-assign]  # of this one
    killer = threading.Thread(target=lambda: asking.wait(HANGS) and child._process.kill())
    killer.start()
    try:
        store.sql(query, **LIMITS)
    finally:
        killer.join(HANGS)


def test_rows_beyond_the_limit_are_not_taken_in(store: maskl.Store) -> None:
    with pytest.raises(QueryError, match="the rows of the query need more memory than memory_limit allows"):
        store.sql("SELECT range, range, range FROM range(100000000)", memory_limit="50MB")


# --- the processes ------------------------------------------------------------------------------


@pytest.mark.once
def test_threads_that_ask_at_once_each_get_their_answer(store: maskl.Store) -> None:
    answers: dict[int, Any] = {}

    def ask(number: int) -> None:
        answers[number] = store.sql("SELECT $1, count(*) FROM t", [number], **LIMITS).fetchall()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANGS)
    assert answers == {number: [(number, 3)] for number in range(6)}
    assert 1 <= len(pids(store)) <= children.KEPT


@linux
@pytest.mark.once
def test_they_load_no_pandas(store: maskl.Store) -> None:
    """Neither in the beginning nor for functions that make arrays of lists."""
    store.sql("SELECT mask_rle(image__mask__ground_truth) FROM t", **LIMITS)
    for pid in pids(store):
        assert "/pandas/" not in Path(f"/proc/{pid}/maps").read_text()


@linux
@pytest.mark.once
def test_they_end_with_the_store(place: Path) -> None:
    store = maskl.open(place)
    relation = store.sql("FROM runs", **LIMITS)
    (pid,) = pids(store)
    assert is_there(pid)
    del store
    gc.collect()
    assert not is_there(pid)
    assert len(relation.fetchall()) == 1


@linux
@pytest.mark.once
def test_they_get_nothing_of_the_environment_but_what_they_need(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t")
    store = maskl.open(place)
    store.sql("SELECT 1", **LIMITS)
    (pid,) = pids(store)
    names = {pair.partition("=")[0] for pair in Path(f"/proc/{pid}/environ").read_text().split("\0")}
    assert "PYTHONPATH" in names
    assert not {"AWS_SECRET_ACCESS_KEY", "HOME", "USER", "PATH"} & names


def bytes_read(pid: int) -> int:
    """Return how many bytes a process has read."""
    return int(Path(f"/proc/{pid}/io").read_text().split("rchar:")[1].split()[0])


@linux
@pytest.mark.once
def test_what_tells_them_that_their_parent_is_gone_tells_of_nothing_else(place: Path) -> None:
    """The system may tell of bytes when they have been read, and end who is in the middle of the answer."""
    store = maskl.open(place)
    store.sql("SELECT 1", **LIMITS)
    (pid,) = pids(store)
    told_of = [
        os.readlink(path.parents[1] / "fd" / path.name)
        for path in Path(f"/proc/{pid}/fdinfo").iterdir()
        if int(path.read_text().split("flags:")[1].split()[0], 8) & os.O_ASYNC  # type: ignore[attr-defined]  # Linux has it
    ]
    assert len(told_of) == 1
    assert told_of[0].startswith("pipe:")
    assert told_of[0] not in {os.readlink(f"/proc/{pid}/fd/{number}") for number in (0, 1, 2)}


ASK = """
import sys, maskl
store = maskl.open(sys.argv[1])
store.sql("SELECT 1", timeout=1800)
print(store._children._idle[0]._process.pid, flush=True)
query = sys.stdin.readline()
if query:
    store.sql(query, timeout=1800)
sys.stdin.read()
"""
#: it holds Python's lock while it is looked at, so that no thread of the process can see its parent go
HOLDING = "SELECT 1 IN ({})".format(", ".join(map(str, range(60_000))))


@linux
@pytest.mark.once
@pytest.mark.parametrize("query", [None, "SELECT count(*) FROM range(10000000000000)", HOLDING])
def test_they_end_when_their_parent_is_killed(place: Path, query: str | None) -> None:
    command = [sys.executable, "-c", ASK, str(place)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "env": environment}
    with subprocess.Popen(command, text=True, **pipes) as parent:
        assert parent.stdout is not None
        assert parent.stdin is not None
        pid = int(parent.stdout.readline())
        assert is_there(pid)
        if query is not None:
            taken = bytes_read(pid) + len(query)
            parent.stdin.write(f"{query}\n")
            parent.stdin.flush()
            eventually(lambda: bytes_read(pid) >= taken)
        parent.kill()
    eventually(lambda: not is_there(pid))


FORK = """
import os, sys, warnings, maskl
warnings.simplefilter("error")
warnings.filterwarnings("ignore", category=DeprecationWarning)  # of forking with threads
store = maskl.open(sys.argv[1])
def pid():
    return store._children._idle[0]._process.pid
assert store.sql("SELECT 1", timeout=1800).fetchall() == [(1,)]
mine = pid()
child = os.fork()
if not child:
    fresh = maskl.open(sys.argv[1])
    assert fresh.sql("SELECT 2", timeout=1800).fetchall() == [(2,)]
    assert store._children._idle == []
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert store.sql("SELECT 3", timeout=1800).fetchall() == [(3,)]
assert pid() == mine
"""


@pytest.mark.once
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_leaves_them_to_its_parent(place: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", FORK, str(place)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=HANGS, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def no_executable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "")


def other_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/true")


def nothing_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")


@pytest.mark.once
@pytest.mark.parametrize("change", [no_executable, other_program, nothing_there])
def test_where_none_begins_the_query_is_answered_here(
    place: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[pytest.MonkeyPatch], None]
) -> None:
    change(monkeypatch)
    store = maskl.open(place)
    with pytest.warns(UnboundedWarning) as warned:
        assert store.sql("SELECT count(*) FROM t", **LIMITS).fetchall() == [(3,)]
    assert (len(warned), warned[0].filename) == (1, __file__)
    assert store.sql("SELECT count(*) FROM t", **LIMITS).fetchall() == [(3,)]  # and warns no more
    with pytest.raises(QueryError, match="memory_limit"):
        store.sql("SELECT list(range) FROM range(100000000)", memory_limit="60MB")


@pytest.mark.once
@pytest.mark.parametrize("begins", [True, False])
@pytest.mark.filterwarnings("ignore::maskl_storage.errors.UnboundedWarning")
def test_rows_come_in_pieces_wherever_the_query_is_answered(
    place: Path, monkeypatch: pytest.MonkeyPatch, begins: bool
) -> None:
    if not begins:
        no_executable(monkeypatch)
    database = maskl.open(place)._database(None, "60MB")
    pieces: list[Any] = []
    database.stream("SELECT range AS n FROM range($1) ORDER BY n", [300_000], None, pieces.append)
    assert max(piece.nbytes for piece in pieces) < 2 << 20
    assert [number for piece in pieces for number in piece["n"].to_pylist()] == list(range(300_000))
    nothing: list[Any] = []
    database.stream("SELECT 1 AS n WHERE false", None, None, nothing.append)
    assert [(piece.column_names, piece.num_rows) for piece in nothing][:1] == [(["n"], 0)]
    with pytest.raises(QueryError, match="memory_limit"):
        database.stream("SELECT list(range) FROM range(100000000)", None, None, nothing.append)


@pytest.mark.once
def test_whatever_interrupts_a_question_the_next_one_finds_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    child = Mock(**{"ask.return_value": {}})
    monkeypatch.setattr(children.Children, "_prepared", lambda _self, _question: child)
    question = children.Question(0, lambda _others: b"", b"", None, None)
    for at in itertools.count(1):
        asked = children.Children()
        with contextlib.suppress(KeyboardInterrupt), AtMoment(at) as interrupt:
            asked.ask(question, print)
        assert not any(place.locked() for place in asked._places)
        if not interrupt.done:
            break
    assert at > 3
