"""The views, names that SQL could trip over, the lock, and the printed set-up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

import maskl
from maskl.errors import ConversionWarning, QueryError

LABELS = {0: "하늘", 1: 'it\'s "road"'}
NAMES = [
    "plain",
    "with space",
    "val/평가",
    'it\'s "quoted"',
    "007",
    "1e3",
    "true",
    "a%2Fb",
    "semi;colon\n",
    "[x]{y}*?",
    "runs",
]


def image(**masks: Any) -> maskl.Image:
    made = {key: {"mask_data": np.array(value), "class_labels": LABELS} for key, value in masks.items()}
    return maskl.Image(np.zeros((1, 2, 3), np.uint8), masks=made)


def log_table(directory: Path, table: str, columns: list[str], rows: list[list[Any]], **init: Any) -> None:
    with maskl.init(dir=directory, **init) as run:
        run.log({table: maskl.Table(columns, rows)})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> maskl.Store:
    """A store that no test changes."""
    directory = tmp_path_factory.mktemp("sql")
    masked = image(ground_truth=[[0, 1]], predictions=[[0, 0]])
    log_table(directory, "t", ["image", "loss"], [[masked, 0.5], [masked, None]], name="a", config={"lr": 0.1})
    return maskl.open(directory)


@pytest.mark.parametrize("name", NAMES)
def test_any_table_name_and_run_id(tmp_path: Path, name: str) -> None:
    run_id = f"run {name}"
    masked = image(ground_truth=[[0, 1]], predictions=[[0, 0]])
    log_table(tmp_path, name, ["image", "n"], [[masked, 1]], id=run_id, name=name)
    store = maskl.open(tmp_path)
    quoted = name.replace('"', '""')
    row = store.sql(f'SELECT run_id, run_name, table_name, n FROM tables."{quoted}"').fetchall()
    assert row == [(run_id, name, name, 1)]
    assert store.table(name, run=run_id)[0]["n"] == 1
    for macro in ("class_coverage($t)", "class_iou($t)", "mean_iou($t)"):
        rows = store.sql(f"SELECT DISTINCT run_id, run_name FROM {macro}", {"t": name}).fetchall()
        assert rows == [(run_id, name)]
    assert store.sql("SELECT DISTINCT table_name, run_id FROM classes").fetchall() == [(name, run_id)]
    assert len(store.select(f'FROM tables."{quoted}"')) == 1


def test_any_column_name(tmp_path: Path) -> None:
    names = [
        "filename",
        "run_id",
        "run_name",
        "name",
        "Name",
        "table_name",
        "_row",
        "x__mask__y",
        "a b",
        'q"uote',
        "열",
    ]
    log_table(tmp_path, "t", names, [list(range(len(names)))], id="r")
    store = maskl.open(tmp_path)
    assert dict(store.table("t")[0]) == {name: number for number, name in enumerate(names)}
    relation = store.sql("FROM tables.t")
    row = dict(zip(relation.columns, relation.fetchall()[0], strict=True))
    assert row["filename"] == 0
    assert (row["run_id"], row["run_id_1"], row["run_name_1"]) == ("r", 1, 2)
    assert (row["name"], row["Name_1"], row["table_name"], row["table_name_1"]) == (3, 4, "t", 5)
    assert (row["_row"], row["_row_1"], row["x_mask_y"], row["a b"], row['q"uote'], row["열"]) == (
        0,
        6,
        7,
        8,
        9,
        10,
    )


def test_tables_that_differ_in_case_only_have_views_of_their_own(tmp_path: Path) -> None:
    log_table(tmp_path, "Eval", ["n"], [[1]])
    log_table(tmp_path, "eval", ["n"], [[2]])
    store = maskl.open(tmp_path)
    with pytest.warns(maskl.errors.NameCaseWarning, match=r"table 'eval' .* in case only, .* its view is \"eval_1\""):
        assert store.sql("SELECT n FROM tables.eval").fetchall() == [(1,)]
    assert store.sql("SELECT n FROM tables.eval_1").fetchall() == [(2,)]
    assert store.table("eval")[0]["n"] == 2


def test_runs_that_disagree_on_a_type_have_two_columns(tmp_path: Path) -> None:
    log_table(tmp_path, "t", ["x", "y"], [[1, 1], [2, 2]], id="ints")
    log_table(tmp_path, "t", ["x", "y"], [["one", 1.5]], id="texts")
    store = maskl.open(tmp_path)
    with pytest.warns(ConversionWarning, match=r"column 'x' is int64 in most rows and string in texts.*'x__string'"):
        relation = store.sql("SELECT run_id, x, x__string, y FROM tables.t ORDER BY ALL")
    assert relation.fetchall() == [("ints", 1, None, 1.0), ("ints", 2, None, 2.0), ("texts", None, "one", 1.5)]
    table = store.table("t").to_arrow()
    assert table.select(["x", "x__string", "y"]).to_pylist() == [
        {"x": 1, "x__string": None, "y": 1.0},
        {"x": 2, "x__string": None, "y": 2.0},
        {"x": None, "x__string": "one", "y": 1.5},
    ]


def test_columns_that_only_some_runs_have_are_null_elsewhere(tmp_path: Path) -> None:
    log_table(tmp_path, "t", ["image"], [[image(a=[[0, 0]])]], id="one")
    log_table(tmp_path, "t", ["image", "more"], [[image(b=[[1, 1]]), "x"]], id="two")
    query = "SELECT run_id, image__mask__a IS NULL, image__mask__b IS NULL, more FROM tables.t ORDER BY run_id"
    assert maskl.open(tmp_path).sql(query).fetchall() == [("one", False, True, None), ("two", True, False, "x")]


def test_an_empty_store_has_every_view_and_macro(tmp_path: Path) -> None:
    with maskl.init(dir=tmp_path, name="empty"):
        pass
    store = maskl.open(tmp_path)
    for view in ("history", "classes", "images", "class_pixels", "class_totals", "confusion", "confusion_totals"):
        assert store.sql(f"FROM {view}").fetchall() == []
    assert store.sql("SELECT run_name, state FROM runs").fetchall() == [("empty", "finished")]
    for macro in ("class_coverage", "class_iou", "mean_iou"):
        with pytest.raises(duckdb.InvalidInputException, match=r"there is no table 't'; there are: none"):
            store.sql(f"FROM {macro}('t')").fetchall()


def test_views_show_what_was_logged(store: maskl.Store) -> None:
    assert store.sql("SELECT config->>'lr', state, run_name FROM runs").fetchall() == [("0.1", "finished", "a")]
    assert store.sql("SELECT loss FROM t ORDER BY _row").fetchall() == [(0.5,), (None,)]
    assert store.sql("SELECT class_id, class_name, ignored FROM classes ORDER BY ALL LIMIT 1").fetchall() == [
        (0, "하늘", False)
    ]
    assert store.sql("SELECT count(*), count(DISTINCT digest) FROM images").fetchall() == [(1, 1)]
    both = "SELECT DISTINCT truth_key, prediction_key FROM confusion ORDER BY ALL"
    assert store.sql(both).fetchall() == [("ground_truth", "predictions"), ("predictions", "ground_truth")]
    assert store.sql("SELECT DISTINCT coverage FROM class_pixels WHERE mask_key = 'ground_truth'").fetchall() == [
        (0.5,)
    ]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS x",
        "FROM t",
        "SELECT 1 AS x;",
        "SELECT 1 AS x -- a comment at the end",
        "WITH a AS (SELECT 1 AS x) FROM a",
        "VALUES (1), (2)",
        "DESCRIBE t",
        "SUMMARIZE tables.t",
        "SHOW TABLES",
        "EXPLAIN SELECT 1",
        "explain analyze FROM t",
        "PIVOT class_iou('t') ON run_name USING first(iou) GROUP BY class_name",
        "PIVOT class_iou('t') ON run_name IN ('a') USING first(iou) GROUP BY class_name",
    ],
)
def test_one_select_of_any_form_runs(store: maskl.Store, query: str) -> None:
    assert store.sql(query).fetchall()


def test_what_the_lock_refuses_names_the_way_out(store: maskl.Store) -> None:
    with pytest.raises(QueryError, match=r"store\.connect\(\)"):
        store.sql("COPY (SELECT 1) TO 'x'")
    with pytest.raises(QueryError, match=r"store\.connect\(\)"):
        store.sql("FROM read_text('/etc/passwd')")
    assert store.connect().execute("CREATE TABLE mine AS FROM t; SELECT count(*) FROM mine").fetchall() == [(2,)]


def test_a_mistake_is_explained_in_the_users_words(store: maskl.Store) -> None:
    with pytest.raises(QueryError, match=r"syntax error at or near") as caught:
        store.sql("SELECT FROM WHERE")
    assert "SELECT * FROM (" not in str(caught.value)
    with pytest.raises(QueryError, match="nothing_like_this"):
        store.sql("FROM nothing_like_this")


def test_parameters(store: maskl.Store) -> None:
    assert store.sql("SELECT loss FROM t WHERE loss > ?", [0.1]).fetchall() == [(0.5,)]
    assert store.sql("SELECT loss FROM t WHERE loss > $least", {"least": 0.1}).fetchall() == [(0.5,)]


def test_a_relation_outlives_the_store_and_new_seals(tmp_path: Path) -> None:
    log_table(tmp_path, "t", ["n"], [[1]])
    relation = maskl.open(tmp_path).sql("SELECT n FROM t")
    log_table(tmp_path, "t", ["n"], [[2]])
    assert relation.fetchall() == [(1,)]


def test_an_open_store_sees_new_seals(tmp_path: Path) -> None:
    log_table(tmp_path, "t", ["n"], [[1]])
    store = maskl.open(tmp_path)
    assert store.sql("SELECT n FROM t").fetchall() == [(1,)]
    log_table(tmp_path, "t", ["n"], [[2]])
    assert store.sql("SELECT n FROM t ORDER BY n").fetchall() == [(1,), (2,)]


def test_what_waits_is_seen_in_its_own_process(tmp_path: Path) -> None:
    with maskl.init(dir=tmp_path) as run:
        run.log({"t": maskl.Table(["n"], [[1]]), "loss": 2})
        assert maskl.sql("SELECT n FROM t").fetchall() == [(1,)]
        assert maskl.open().table("t")[0]["n"] == 1
        run.log({"t": maskl.Table(["n"], [[2]])})
        assert maskl.sql("SELECT n FROM t ORDER BY n").fetchall() == [(1,), (2,)]


def test_project_and_runs_limit_what_is_seen(tmp_path: Path) -> None:
    for number in range(3):
        log_table(tmp_path, "t", ["n"], [[number]], id=f"r{number}", project="even" if number % 2 == 0 else "odd")
    query = "SELECT n FROM t ORDER BY n"
    assert maskl.open(tmp_path, project="even").sql(query).fetchall() == [(0,), (2,)]
    assert maskl.open(tmp_path, runs=["r1"]).sql(query).fetchall() == [(1,)]
    assert [run.run_id for run in maskl.open(tmp_path, project="odd").runs()] == ["r1"]
    assert len(maskl.open(tmp_path, project="odd").table("t")) == 1


FRESH = """
import sys, duckdb
con = duckdb.connect()
con.execute(sys.stdin.read())
assert not any(name.startswith("maskl") for name in sys.modules)
print(con.execute("SELECT run_name, loss FROM tables.t ORDER BY _row").fetchall())
print(con.execute("SELECT class_name, pixels FROM class_coverage('t') ORDER BY class_id").fetchall())
print(con.execute("SELECT class_name, iou FROM class_iou('t', step := 'last') ORDER BY iou").fetchall())
print(con.execute("SELECT mean_iou FROM mean_iou('t')").fetchall())
print(con.execute("SELECT count(*) FROM images").fetchall(), con.execute("SELECT state FROM runs").fetchall())
"""


def test_the_printed_setup_works_without_maskl(store: maskl.Store) -> None:
    """The suite runs with duckdb 1.5.5 and 2.0, so this does too."""
    done = subprocess.run(
        [sys.executable, "-c", FRESH], input=store.setup_sql(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "[('a', 0.5), ('a', None)]",
        "[('하늘', 2), ('it\\'s \"road\"', 2)]",
        "[('it\\'s \"road\"', 0.0), ('하늘', 0.5)]",
        "[(0.25,)]",
        "[(1,)] [('finished',)]",
    ]


def test_a_run_that_is_just_being_made_is_not_seen_yet(tmp_path: Path) -> None:
    log_table(tmp_path, "t", ["loss"], [[0.5]], name="a")
    store = maskl.open(tmp_path)
    claimed = store.root / "runs" / "run_id=new" / "writer-0.json"
    claimed.parent.mkdir()
    claimed.touch()
    assert [run.name for run in store.runs()] == ["a"]
    assert store.sql("SELECT run_name FROM runs").fetchall() == [("a",)]


def test_the_summaries_of_a_runs_writers_are_joined(tmp_path: Path) -> None:
    with maskl.init(id="a", dir=tmp_path, job_type="eval") as run:
        run.log({"x": 1, "y": {"z": 2}})
    with maskl.init(id="a", dir=tmp_path, resume="allow") as run:
        run.log({"x": 3, "w": "끝"})
    store = maskl.open(tmp_path)
    query = "SELECT job_type, summary->>'x', summary->>'w', summary->'y'->>'z' FROM runs"
    assert store.sql(query).fetchall() == [("eval", "3", "끝", "2")]
    assert store.run("a").summary == {"x": 3, "y": {"z": 2}, "w": "끝"}
