"""Bad input of every kind: the error's type and words, and a store that is unchanged byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from PIL import Image as PILImage

import maskl
from maskl import Image, Table
from maskl.errors import (
    CorruptData,
    DamagedWarning,
    InvalidType,
    InvalidValue,
    MasklError,
    NotFound,
    QueryError,
    SizeMismatchWarning,
    StoreNotFound,
    UnsupportedVersion,
)
from maskl_storage.format.document import VERSION

Start = Callable[..., maskl.Run]
Refused = Callable[..., AbstractContextManager[Any]]

PIXELS = np.zeros((2, 2), np.uint8)
GOOD = {"mask_data": PIXELS}


@pytest.fixture
def run(start: Start) -> maskl.Run:
    """A run that holds a good table already."""
    run = start(name="good")
    run.log({"t": Table(["id", "image"], [[1, Image(PIXELS, masks={"k": GOOD})]]), "loss": 0.5})
    return run


@pytest.fixture
def sealed(run: maskl.Run, store_dir: Path) -> maskl.Store:
    """A store whose run has ended."""
    run.finish()
    return maskl.open(store_dir)


# --- masks --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mask", "builtin", "error", "words"),
    [
        ({"mask_data": np.zeros((2, 2, 3), int)}, TypeError, InvalidType, "mask_data must be a 2D array; got 3 dim"),
        ({"mask_data": np.zeros(4, int)}, TypeError, InvalidType, "mask_data must be a 2D array"),
        ({"mask_data": [[0, 1], [2]]}, TypeError, InvalidType, "mask_data must be a 2D array"),
        ({"mask_data": np.array([[0.5]])}, TypeError, InvalidType, "fractions, such as 0.5"),
        ({"mask_data": np.array([[np.nan]])}, ValueError, InvalidValue, "NaN or infinity"),
        ({"mask_data": np.zeros((0, 2), int)}, ValueError, InvalidValue, "mask_data is empty: shape (0, 2)"),
        ({"mask_data": [[]]}, ValueError, InvalidValue, "mask_data is empty"),
        ({"mask_data": [[1 << 31]]}, ValueError, InvalidValue, "signed 32 bits"),
        ({}, TypeError, InvalidType, 'Missing key "mask_data": '),
        ({"class_labels": {0: "a"}}, TypeError, InvalidType, 'Missing key "mask_data": '),
        (
            {**GOOD, "class_labels": ["a"]},
            TypeError,
            InvalidType,
            "Class labels must be a dictionary of numbers to strings",
        ),
        (
            {**GOOD, "class_labels": {0: 1}},
            TypeError,
            InvalidType,
            "Class labels must be a dictionary of numbers to strings",
        ),
        (
            {**GOOD, "class_labels": {"0": "a"}},
            TypeError,
            InvalidType,
            "Class labels must be a dictionary of numbers to strings",
        ),
        ({**GOOD, "class_labels": {1 << 31: "a"}}, ValueError, InvalidValue, "signed 32 bits"),
        (PIXELS, TypeError, InvalidType, "a mask must be a dictionary"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_bad_mask_is_refused_by_name(
    run: maskl.Run, refused: Refused, mask: Any, builtin: type[Exception], error: type[MasklError], words: str
) -> None:
    with refused(error, words, "mask 'truth'") as caught:
        run.log({"x": 1, "shots": Image(PIXELS, masks={"truth": mask})})
    assert isinstance(caught.value, builtin)
    assert isinstance(caught.value, MasklError)


def test_masks_that_are_no_dictionary_are_refused_in_the_known_words(run: maskl.Run, refused: Refused) -> None:
    with refused(ValueError, 'Images "masks" argument must be a dictionary'):
        run.log({"shots": Image(PIXELS, masks=[GOOD])})  # type: ignore[arg-type]


def test_mask_keys_that_differ_only_in_case_are_refused(run: maskl.Run, refused: Refused) -> None:
    with refused(InvalidValue, "mask keys 'Truth' and 'truth' differ only in case", "rename one"):
        run.log({"shots": Image(PIXELS, masks={"Truth": GOOD, "truth": GOOD})})


@pytest.mark.parametrize(
    ("classes", "error", "words"),
    [
        ([{"id": 0, "name": "a"}, {"id": 0, "name": "b"}], InvalidValue, "class id 0 occurs twice: 'a' and 'b'"),
        ([{"id": 0, "name": 1}], InvalidType, "the name of class 0 must be a string"),
        ([{"id": 0}], InvalidValue, "class 0 lacks 'name'"),
        ({0: "a"}, InvalidType, "need a list of dicts"),
    ],
    ids=str,
)
def test_bad_classes_are_refused(
    run: maskl.Run, refused: Refused, classes: Any, error: type[MasklError], words: str
) -> None:
    with refused(error, words):
        run.log({"shots": Image(PIXELS, classes=classes)})


# --- files --------------------------------------------------------------------------------------


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    path = tmp_path / "notes.png"
    path.write_text("this is no image")
    return path


def test_an_image_path_that_is_no_image_is_refused(run: maskl.Run, refused: Refused, text_file: Path) -> None:
    with refused(InvalidValue, "notes.png is not an image that Pillow can read"):
        run.log({"shots": Image(text_file)})


def test_a_mask_path_that_is_no_image_is_refused(run: maskl.Run, refused: Refused, text_file: Path) -> None:
    with refused(InvalidValue, "notes.png is not an image that Pillow can read"):
        run.log({"shots": Image(PIXELS, masks={"k": {"path": text_file}})})


def test_a_missing_image_path_is_refused(run: maskl.Run, refused: Refused) -> None:
    with refused(FileNotFoundError, "nowhere.png"):
        run.log({"shots": Image("nowhere.png")})


def test_a_missing_mask_path_is_refused(run: maskl.Run, refused: Refused) -> None:
    with refused(FileNotFoundError, "nowhere.png"):
        run.log({"shots": Image(PIXELS, masks={"k": {"path": "nowhere.png"}})})


def test_a_mask_file_of_colours_is_refused(run: maskl.Run, refused: Refused, tmp_path: Path) -> None:
    PILImage.new("RGB", (2, 2)).save(tmp_path / "mask.png")
    with refused(InvalidType, "mask.png is a RGB image", "one class id a pixel", "convert its colours to ids first"):
        run.log({"shots": Image(PIXELS, masks={"k": {"path": tmp_path / "mask.png"}})})


def test_a_mask_of_another_size_is_stored_as_it_is_with_a_warning(run: maskl.Run, store_dir: Path) -> None:
    mask = np.arange(6, dtype=np.uint8).reshape(2, 3)
    with pytest.warns(SizeMismatchWarning, match="mask 'k' is 3×2 and its image 2×2") as caught:
        run.log({"shots": Image(PIXELS, masks={"k": {"mask_data": mask}})})
    assert len(caught) == 1
    assert caught[0].filename == __file__
    stored = maskl.open(store_dir).table("shots")[0]["image"].masks["k"].mask_data
    assert stored.dtype == mask.dtype
    assert np.array_equal(stored, mask)


# --- rows and tables ----------------------------------------------------------------------------


@pytest.mark.parametrize("row", [[], [1], [1, 2, 3]], ids=str)
def test_a_row_of_the_wrong_length_is_refused_in_the_known_words(
    run: maskl.Run, refused: Refused, row: list[int]
) -> None:
    with refused(ValueError, f"This table expects 2 columns: ['a', 'b'], found {len(row)}") as caught:
        run.log({"t": Table(["a", "b"], [[1, 2], row])})
    assert isinstance(caught.value, InvalidValue)


@pytest.mark.parametrize(("first", "second"), [(1, "x"), ("x", 1), (1, [1]), (True, 2), (1, Image(PIXELS))], ids=str)
def test_a_column_that_changes_type_is_refused(run: maskl.Run, refused: Refused, first: Any, second: Any) -> None:
    with refused(TypeError, "Data row contained incompatible types", "row 1", "'a'") as caught:
        run.log({"t": Table(["a"], [[first], [second]])})
    assert isinstance(caught.value, InvalidType)


UNKNOWN = [object(), [object()], {"x": object()}, np.dtype("int8")]


@pytest.mark.parametrize("cell", UNKNOWN, ids=lambda cell: type(cell).__name__)
def test_a_cell_of_an_unknown_type_is_refused(run: maskl.Run, refused: Refused, cell: Any) -> None:
    with refused(InvalidType, "row 0", "column 'a' cannot hold"):
        run.log({"t": Table(["a"], [[cell]])})


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("", InvalidType, "a string that is not empty"),
        ("NULL", InvalidValue, "table name must not be 'NULL'"),
        ("x" * 201, InvalidValue, "a table name must be at most 200 bytes"),
        ("평" * 67, InvalidValue, "has 201: shorten it"),
        ("/" * 67, InvalidValue, "has 201: shorten it"),
    ],
    ids=lambda value: str(value)[:12],
)
@pytest.mark.parametrize("value", [Table(["a"], [[1]]), Image(PIXELS), [Image(PIXELS)]], ids=["table", "image", "list"])
def test_a_table_name_that_cannot_be_kept_is_refused(
    run: maskl.Run, refused: Refused, name: str, error: type[MasklError], words: str, value: Any
) -> None:
    with refused(error, words):
        run.log({"x": 1, name: value})


def test_columns_that_differ_only_in_case_are_kept_apart(run: maskl.Run, store_dir: Path) -> None:
    """They are no error: SQL sees the second one with a number, rows have both under their own names."""
    run.log({"case": Table(["name", "Name"], [[1, 2]])})
    store = maskl.open(store_dir)
    assert dict(store.table("case")[0]) == {"name": 1, "Name": 2}
    assert store.sql('SELECT "name", "Name_1" FROM "case"').fetchall() == [(1, 2)]


def test_columns_that_occur_twice_are_refused(run: maskl.Run, refused: Refused) -> None:
    with refused(InvalidValue, "column 'a' occurs twice"):
        run.log({"t": Table(["a", "a"], [[1, 2]])})


# --- stores -------------------------------------------------------------------------------------


def both_ways(path: Path) -> list[Callable[[], object]]:
    return [lambda: maskl.open(path), lambda: maskl.sql("SELECT 1", dir=path), lambda: maskl.init(dir=path)]


@pytest.mark.parametrize("way", [0, 1, 2], ids=["open", "sql", "init"])
def test_a_store_of_a_newer_version_is_refused(
    sealed: maskl.Store, store_dir: Path, refused: Refused, way: int
) -> None:
    (store_dir / "maskl.json").write_text(json.dumps({"format": "maskl", "version": "2.0.0"}))
    with refused(UnsupportedVersion, "maskl.json: format version 2.0.0", f"reads up to {VERSION}: update maskl"):
        both_ways(store_dir)[way]()


def test_a_store_of_a_newer_minor_version_is_read(sealed: maskl.Store, store_dir: Path) -> None:
    (store_dir / "maskl.json").write_text(json.dumps({"format": "maskl", "version": "1.7.0", "new": True}))
    assert len(maskl.open(store_dir).table("t")) == 1


@pytest.mark.parametrize("pattern", ["seals/*/*.json", "runs/*/*.json"])
def test_a_file_of_a_newer_version_is_refused(
    sealed: maskl.Store, store_dir: Path, refused: Refused, pattern: str
) -> None:
    (path,) = store_dir.glob(pattern)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": "2.0.0"}))
    with refused(UnsupportedVersion, path.name, "format version 2.0.0"):
        maskl.open(store_dir).tables()


def test_a_torn_store_file_is_refused_by_name(sealed: maskl.Store, store_dir: Path, refused: Refused) -> None:
    path = store_dir / "maskl.json"
    path.write_bytes(path.read_bytes()[:20])
    with refused(CorruptData, path.name, "not JSON"):
        maskl.open(store_dir).tables()


@pytest.mark.parametrize("pattern", ["seals/*/*.json", "runs/*/*.json"])
def test_a_torn_file_is_named_and_set_aside(
    sealed: maskl.Store, store_dir: Path, snapshot: Callable[[], dict[str, bytes]], pattern: str
) -> None:
    (path,) = store_dir.glob(pattern)
    path.write_bytes(path.read_bytes()[:20])
    before = snapshot()
    with pytest.warns(DamagedWarning, match=rf"{path.name}: not JSON"):
        maskl.open(store_dir).tables()
    assert snapshot() == before


@pytest.mark.parametrize("text", ["[]", "{}", '{"format": "other", "version": "1.0.0"}'])
def test_a_store_file_of_something_else_is_refused(store_dir: Path, refused: Refused, text: str) -> None:
    store_dir.mkdir()
    (store_dir / "maskl.json").write_text(text)
    with refused(CorruptData, "maskl.json"):
        maskl.open(store_dir)
    with refused(CorruptData, "maskl.json"):
        maskl.init(dir=store_dir)


def test_a_directory_that_is_not_a_store_is_refused(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file.txt").write_text("x")
    with refused(StoreNotFound, "other", "is not a maskl store: a store holds a file maskl.json") as caught:
        maskl.open(tmp_path / "other")
    assert isinstance(caught.value, FileNotFoundError)


def test_a_directory_that_does_not_exist_is_refused(tmp_path: Path, refused: Refused) -> None:
    with refused(StoreNotFound, "nowhere", "does not exist"):
        maskl.open(tmp_path / "nowhere")


def test_reading_where_there_is_no_store_says_what_to_do(refused: Refused) -> None:
    with refused(StoreNotFound, "no maskl-store in", "log something first", "dir="):
        maskl.open()


def test_a_run_does_not_start_in_a_full_directory_that_is_no_store(store_dir: Path, refused: Refused) -> None:
    store_dir.mkdir()
    (store_dir / "thesis.tex").write_text("x")
    with refused(InvalidValue, "is not a maskl store and not empty"):
        maskl.init(dir=store_dir)


def test_a_run_does_not_start_in_a_file(store_dir: Path, refused: Refused) -> None:
    store_dir.write_text("x")
    for inside in (".", "x", "x/y/maskl-store"):
        with refused(InvalidValue, f"{store_dir} is a file: a store is a directory"):
            maskl.init(dir=store_dir / inside)


@pytest.mark.parametrize("name", ["a*b", "a?b", "a[1]", "{a,b}", "run_id=7", "table_name=x", "deep/run_id=7/store"])
def test_a_path_that_sql_would_misread_is_refused(tmp_path: Path, refused: Refused, name: str) -> None:
    with refused(InvalidValue, "which SQL would read as a pattern or a column: choose another directory"):
        maskl.init(dir=tmp_path / name)


@pytest.mark.parametrize("name", ["a*b", "run_id=7"])
def test_a_store_that_was_moved_to_such_a_path_is_refused(
    sealed: maskl.Store, store_dir: Path, tmp_path: Path, refused: Refused, name: str
) -> None:
    (tmp_path / name).mkdir()
    store_dir.rename(tmp_path / name / "maskl-store")
    with refused(InvalidValue, "choose another directory"):
        maskl.open(tmp_path / name)


def test_what_is_not_in_the_store_is_named(sealed: maskl.Store, refused: Refused) -> None:
    with refused(NotFound, "there is no table 'x'", "there are: 't'"):
        sealed.table("x")
    with refused(NotFound, "there is no run 'x'", "the latest are: good-"):
        sealed.table("t", run="x")


# --- SQL ----------------------------------------------------------------------------------------

NOT_A_SELECT = "one SELECT is needed; got "
LOCK = "store.connect()"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELEC 1", ("syntax error", "SELEC")),
        ("SELECT nothing FROM t", ("nothing",)),
        ("FROM no_such_table", ("no_such_table",)),
        ("SELECT no_such_function(1)", ("no_such_function",)),
        ("SELECT (1", ("syntax error",)),
        ("SELECT 'abc", ("unterminated",)),
        ("SELECT ?", ("parameter",)),
    ],
)
def test_sql_with_a_mistake_is_refused_in_duckdbs_words(
    sealed: maskl.Store, refused: Refused, query: str, words: tuple[str, ...]
) -> None:
    with refused(QueryError, *words) as caught:
        sealed.sql(query).fetchall()
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("query", ["", "   ", ";", "-- nothing", "/* nothing */"])
def test_no_sql_at_all_is_refused(sealed: maskl.Store, refused: Refused, query: str) -> None:
    with refused(QueryError):
        sealed.sql(query)


@pytest.mark.parametrize("query", [None, 3, b"SELECT 1", ["SELECT 1"]], ids=str)
def test_sql_that_is_no_string_is_refused(sealed: maskl.Store, refused: Refused, query: Any) -> None:
    with refused(QueryError, "a query is a string; got"):
        sealed.sql(query)


@pytest.mark.parametrize(
    "query",
    [
        "CREATE TABLE x AS SELECT 1",
        "CREATE OR REPLACE VIEW history AS SELECT 1",
        "DROP VIEW history",
        "DROP SCHEMA tables CASCADE",
        "INSERT INTO t VALUES (1)",
        "DELETE FROM t",
        "UPDATE t SET id = 2",
        "COPY (SELECT 1) TO 'out.csv'",
        "COPY t FROM 'in.csv'",
        "EXPORT DATABASE 'out'",
        "ATTACH 'other.db'",
        "USE other",
        "SET threads = 1",
        "SET GLOBAL enable_external_access = true",
        "RESET threads",
        "PRAGMA database_list",
        "INSTALL httpfs",
        "LOAD httpfs",
        "CALL duckdb_settings()",
        "CHECKPOINT",
        "BEGIN",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "VACUUM",
    ],
)
def test_sql_that_is_not_a_select_is_refused(sealed: maskl.Store, refused: Refused, query: str, tmp_path: Path) -> None:
    with refused(QueryError):
        sealed.sql(query)
    assert not (tmp_path / "out.csv").exists()
    assert sealed.sql("SELECT count(*) FROM t").fetchall() == [(1,)]


@pytest.mark.parametrize("query", ["CREATE TABLE x AS SELECT 1", "COPY (SELECT 1) TO 'out.csv'", "SET threads = 1"])
def test_what_to_use_instead_of_a_select_is_named(sealed: maskl.Store, refused: Refused, query: str) -> None:
    with refused(QueryError, NOT_A_SELECT, query.split()[0], LOCK):
        sealed.sql(query)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP VIEW history",
        "SET threads = 1; SELECT 1",
        "SELECT 1;;SELECT 2;",
        "EXPLAIN SELECT 1; SELECT 2",
        "SELECT 1); DROP TABLE t; --",
        "SELECT 1) AS a; SELECT * FROM (SELECT 2",
        "SELECT 1); COPY (SELECT 1) TO 'out.csv'; SELECT * FROM (SELECT 1",
        "SELECT 1) UNION ALL (SELECT 2",
        "1) --",
        "SELECT 1 /*",
        "SELECT 1\n) AS x CROSS JOIN (SELECT 2",
    ],
)
def test_several_statements_in_one_or_text_that_parses_only_when_wrapped_is_refused(
    sealed: maskl.Store, refused: Refused, query: str
) -> None:
    with refused(QueryError):
        sealed.sql(query).fetchall()
    assert sealed.sql("SELECT count(*) FROM history").fetchall() == [(1,)]


@pytest.mark.parametrize(
    "query",
    [
        "WITH x AS (COPY (SELECT 1 AS a) TO '{out}') SELECT * FROM x",
        "WITH x AS MATERIALIZED (COPY (SELECT 1 AS a) TO '{out}') FROM x",
        "SELECT * FROM (WITH x AS (COPY (SELECT 1 AS a) TO '{out}') SELECT * FROM x)",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{out}'",
        "EXPLAIN ANALYZE WITH x AS (COPY (SELECT 1 AS a) TO '{out}') SELECT * FROM x",
        "WITH x AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM x",
        "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x",
        "SELECT * FROM query('COPY (SELECT 1) TO ''{out}''')",
    ],
)
def test_sql_that_hides_a_change_is_refused(sealed: maskl.Store, refused: Refused, query: str, tmp_path: Path) -> None:
    with refused(QueryError):
        sealed.sql(query.format(out=tmp_path / "out.csv")).fetchall()
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_blob('/etc/passwd')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd.csv'",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM read_parquet('https://example.com/x.parquet')",
        "SELECT * FROM read_text('{secret}')",
        "SELECT (SELECT content FROM read_text('{secret}'))",
        "SELECT * FROM read_text('{store}/../secret.txt')",
        "SELECT * FROM query('SELECT * FROM read_text(''{secret}'')')",
    ],
)
def test_reading_another_file_is_refused(
    sealed: maskl.Store, refused: Refused, query: str, tmp_path: Path, store_dir: Path
) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    with refused(QueryError, LOCK):
        sealed.sql(query.format(secret=secret, store=store_dir)).fetchall()


def test_a_function_that_opens_its_file_only_when_rows_are_fetched_is_refused_at_once(
    sealed: maskl.Store, refused: Refused
) -> None:
    with refused(QueryError, "sniff_csv() is not for queries of a store", "store.connect()"):
        sealed.sql("SELECT * FROM sniff_csv('/etc/passwd')")


@pytest.mark.parametrize("write", ["write_csv", "write_parquet"])
def test_a_relation_writes_over_no_file_of_the_store(
    sealed: maskl.Store, store_dir: Path, refused: Refused, write: str
) -> None:
    relation = sealed.sql("SELECT 1 AS a")
    for part in store_dir.glob("*/**/*.parquet"):
        with refused(duckdb.PermissionException, "disabled by configuration"):
            getattr(relation, write)(str(part))


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 -- a comment",
        "SELECT 1 /* a comment */",
        "SELECT 1;",
        "SELECT 1 ; ; ",
        "-- a comment\nSELECT 1",
        "WITH x AS (SELECT 1) SELECT * FROM x",
        "FROM (VALUES (1))",
        "VALUES (1)",
        "SELECT ';)--' IS NOT NULL::INTEGER, 1 LIMIT 1",
        "(SELECT 1)",
        "SELECT 1 UNION SELECT 1",
    ],
)
def test_one_select_of_any_form_is_answered(sealed: maskl.Store, query: str) -> None:
    assert sealed.sql(query).fetchall()[0][-1] == 1


def test_parameters_are_values_and_never_sql(sealed: maskl.Store, refused: Refused) -> None:
    text = "1); DROP VIEW history; --"
    assert sealed.sql("SELECT ?", [text]).fetchall() == [(text,)]
    assert sealed.sql("SELECT $a", {"a": text}).fetchall() == [(text,)]
    with refused(QueryError, "parameter"):
        sealed.sql("SELECT ?, ?", [1])


def test_a_query_that_fails_leaves_the_connection_usable(sealed: maskl.Store) -> None:
    for query in ("SELEC", "FROM nothing", "SELECT * FROM read_text('/etc/passwd')", "SET threads = 1"):
        with pytest.raises(QueryError):
            sealed.sql(query)
    assert sealed.sql("SELECT id FROM t").fetchall() == [(1,)]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (
            "FROM class_coverage('t', mask := 'k', step := 'first')",
            "step must be 'each', 'last', 'all' or a whole number",
        ),
        ("FROM class_iou('t', truth := 'k', prediction := 'k', step := 'first')", "step must be"),
    ],
)
def test_a_step_that_a_macro_does_not_know_is_refused(
    sealed: maskl.Store, refused: Refused, query: str, words: str
) -> None:
    with refused(duckdb.Error, words):  # what only the data can tell comes when rows are fetched
        sealed.sql(query).fetchall()
