"""Attempts to get out of the locked SQL of a store: each is refused, changes nothing, and a next query works."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

import maskl
from benchmarks.greedy import NEVER_ENDING
from maskl.errors import InvalidValue, QueryError, QueryTimeout
from maskl_storage.query._allowed import ALLOWED
from tests.conftest import HANGS

SECRET = "a secret of somebody else"
#: what a query says to one of its arguments must never come back
MARK = "somebody"


@pytest.fixture(scope="module", autouse=True)
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Be in an empty folder, here and in the processes that answer, so that it is seen what is written there."""
    with contextlib.chdir(tmp_path_factory.mktemp("elsewhere")):
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a store, a secret beside it, and a link in the store that leads to the secret."""
    directory = tmp_path_factory.mktemp("untrusted")
    mask = {"mask_data": np.array([[0, 1]]), "class_labels": {0: "sky", 1: "road"}}
    table = maskl.Table(["image", "loss"])
    table.add_data(maskl.Image(np.zeros((1, 2), np.uint8), masks={"ground_truth": mask, "predictions": mask}), 0.5)
    with maskl.init(dir=directory, id="r") as run:
        run.log({"t": table, "loss": 1})
    for suffix in ("txt", "csv", "json", "parquet"):
        (directory / f"secret.{suffix}").write_text(f"a,b\n1,{SECRET}\n")
    (directory / "maskl-store" / "link.txt").symlink_to(directory / "secret.txt")
    part = next((directory / "maskl-store").glob("class_pixels/*/*/*.parquet"))
    (part.parent / "9-9.parquet").symlink_to(directory / "secret.txt")
    return directory


def files_of(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def opened(place: Path) -> maskl.Store:
    """One for all tests: with it go the processes that answer, which take longest to begin."""
    return maskl.open(place)


@pytest.fixture
def store(place: Path, opened: maskl.Store) -> Iterator[maskl.Store]:
    """A store that must be as it was afterwards, and must answer."""
    store = opened
    before = files_of(place)
    yield store
    assert files_of(place) == before
    assert store.sql("SELECT class_name, iou FROM class_iou('t')").fetchall() == [("road", 1.0), ("sky", 1.0)]
    assert store.sql("SELECT run_id FROM runs").fetchall() == [("r",)]


def filled(query: str, place: Path) -> str:
    root = place / "maskl-store"
    part = next(path for path in root.glob("class_pixels/*/*/*.parquet") if not path.is_symlink())
    return query.format(out=place / "out", secret=place / "secret", root=root, part=part)


STATEMENTS = [
    "COPY (SELECT 1) TO '{out}'",
    "COPY (SELECT 1) TO '{part}' (FORMAT parquet, USE_TMP_FILE false)",
    "COPY runs FROM '{secret}.csv'",
    "COPY FROM DATABASE memory TO other",
    "EXPORT DATABASE '{out}'",
    "IMPORT DATABASE '{out}'",
    "ATTACH '{out}' AS other",
    "ATTACH ':memory:' AS other",
    "DETACH memory",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{secret}.txt'",
    "UPDATE EXTENSIONS",
    "SET threads = 1",
    "SET GLOBAL enable_external_access = true",
    "SET VARIABLE x = 1",
    "RESET threads",
    "USE tables",
    "PRAGMA database_list",
    "PRAGMA enable_profiling",
    "CALL pragma_version()",
    "CALL enable_logging()",
    "CREATE TABLE x AS SELECT 1",
    "CREATE TEMP TABLE x AS SELECT 1",
    "CREATE OR REPLACE TEMP VIEW runs AS SELECT 1",
    "CREATE OR REPLACE MACRO class_iou(t) AS TABLE SELECT 1",
    "CREATE SECRET s (TYPE s3)",
    "INSERT INTO x VALUES (1)",
    "UPDATE runs SET run_id = 'x'",
    "DELETE FROM runs",
    "TRUNCATE runs",
    "MERGE INTO runs USING runs ON true WHEN MATCHED THEN DELETE",
    "DROP VIEW runs",
    "ALTER VIEW runs RENAME TO x",
    "COMMENT ON VIEW runs IS 'x'",
    "BEGIN",
    "COMMIT",
    "CHECKPOINT",
    "VACUUM",
    "ANALYZE",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "DEALLOCATE p",
    ".shell touch {out}",
    "",
    ";;",
    "-- nothing",
]


@pytest.mark.parametrize("query", STATEMENTS)
def test_only_one_select_is_a_query(store: maskl.Store, place: Path, query: str) -> None:
    with pytest.raises(QueryError):
        store.sql(filled(query, place))


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1; SELECT 2",
        "SELECT 1; COPY (SELECT 1) TO '{out}'",
        "SELECT 1;/* */;DROP VIEW runs",
        "SELECT/**/1;/**/COPY (SELECT 1) TO '{out}'",
        "SELECT 1); DROP VIEW runs; --",
        "SELECT 1) UNION ALL (SELECT 2",
        "SELECT 1)) ; --",
        "SELECT 1 /* ) */ ) UNION (SELECT 2",
        "SELECT 1 FROM (VALUES (1)) v(x) LIMIT 1 ) , (SELECT 2",
        "SELECT 1; --\nCOPY (SELECT 1) TO '{out}'",
        "SELECT 1；COPY (SELECT 1) TO '{out}'",
        "SELECT 1\u2028;COPY (SELECT 1) TO '{out}'",
        "ＣＯＰＹ (SELECT 1) TO '{out}'",
        "/* /* */ COPY (SELECT 1) TO '{out}' -- */",
        "SELECT $$ $$; COPY (SELECT 1) TO '{out}' -- $$",
        "SELECT 'a\\'; COPY (SELECT 1) TO '{out}' --'",
        "WITH a AS (COPY (SELECT 1 AS x) TO '{out}') SELECT * FROM a",
        "WITH a AS MATERIALIZED (COPY (SELECT 1 AS x) TO '{out}') SELECT 1",
        "SELECT * FROM (WITH a AS (COPY (SELECT 1 AS x) TO '{out}') SELECT * FROM a)",
        "SELECT (WITH a AS (COPY (SELECT 1 AS x) TO '{out}') SELECT count(*) FROM a)",
        "WITH a AS (INSERT INTO x VALUES (1) RETURNING *) SELECT * FROM a",
        "WITH a AS (COPY (SELECT 1 AS x) TO '{out}') PIVOT t ON loss USING first(_row)",
        "PIVOT (SELECT 1 a) ON a USING count(*); COPY (SELECT 1) TO '{out}'",
        "EXPLAIN COPY (SELECT 1) TO '{out}'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{out}'",
        "EXPLAIN ANALYZE EXPLAIN ANALYZE COPY (SELECT 1) TO '{out}'",
        "EXPLAIN (ANALYZE) COPY (SELECT 1) TO '{out}'",
        "EXPLAIN ANALYZE WITH a AS (COPY (SELECT 1 AS x) TO '{out}') SELECT * FROM a",
        "/* */ EXPLAIN ANALYZE COPY (SELECT 1) TO '{out}'",
        "FROM query('COPY (SELECT 1) TO ''{out}''')",
        "FROM query('SELECT 1')",
        "FROM \"query\"/* */('SELECT 1')",
        "FROM system.main.query('SELECT 1')",
        "FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
        "SELECT * FROM range(3), LATERAL query('SELECT 1')",
        "SELECT (SELECT count(*) FROM query('SELECT 1'))",
        "PIVOT (FROM query('SELECT 1 AS a')) ON a USING count(*)",
        "DESCRIBE FROM query('SELECT 1')",
        "EXPLAIN ANALYZE FROM query('SELECT 1')",
    ],
)
def test_a_select_hides_nothing(store: maskl.Store, place: Path, query: str) -> None:
    with pytest.raises(QueryError):
        store.sql(filled(query, place)).fetchall()


PATHS = [
    "{secret}.txt",
    "{root}/../secret.txt",
    "{root}/link.txt",
    "{root}/maskl.json",
    "{root}/class_pixels/table_name=t/run_id=r/9-9.parquet",
    "{part}/../../../../../secret.txt",
    "{root}/./runs/../../secret.txt",
    "file://{secret}.txt",
    "{root}/*/*/*/*.parquet",
    "/etc/passwd",
    "/proc/self/environ",
    "/dev/stdin",
    "~/.ssh/id_rsa",
    "https://127.0.0.1:9/x.csv",
    "s3://bucket/x.parquet",
]


@pytest.mark.parametrize("path", PATHS)
def test_no_other_file_is_read(store: maskl.Store, place: Path, path: str) -> None:
    name = filled(path, place)
    for call in (
        "read_text('{0}')",
        "read_text(['{0}'])",
        "read_blob('{0}')",
        "read_csv('{0}')",
        "read_parquet('{0}')",
        "read_json('{0}')",
        "parquet_metadata('{0}')",
        "parquet_kv_metadata('{0}')",
        "sniff_csv('{0}')",
        "glob('{0}')",
        "query_table('{0}')",
        "query_table(['{0}'])",
        "'{0}'",
        '"{0}"',
        "read_text(['" + filled("{part}", place) + "', '{0}'])",
    ):
        with pytest.raises((QueryError, duckdb.Error)) as caught:
            store.sql(f"FROM {call.format(name)}").fetchall()
        assert MARK not in str(caught.value)


@pytest.mark.parametrize("reader", ["read_text", "read_blob", "read_csv", "read_parquet"])
def test_no_path_comes_from_data(store: maskl.Store, place: Path, reader: str) -> None:
    secret = str(place / "secret.txt")
    for query, params in (
        (f"FROM {reader}($1)", [secret]),
        (f"FROM (SELECT $1 AS p) AS x, LATERAL {reader}(x.p)", [secret]),
        (f"FROM {reader}('{secret[:-3]}' || 'txt')", None),
        (f"FROM {reader}(getvariable('x'))", None),
    ):
        with pytest.raises((QueryError, duckdb.Error)) as caught:
            store.sql(query, params).fetchall()
        assert MARK not in str(caught.value)


#: table functions with an argument of these kinds may take a path, text to run, or a pointer
ARGUMENTS = {
    "VARCHAR": "'{secret}.csv'",
    "ANY[]": "['{secret}.csv']",
    "VARCHAR[]": "['{secret}.csv']",
    "ANY": "'{secret}.csv'",
    "VARIANT": "'{secret}.csv'",
    "BIGINT": "1",
    "POINTER": "0",
}


def table_functions() -> list[tuple[str, list[str]]]:
    """Return every table function that DuckDB has, with each of its lists of arguments."""
    query = "SELECT function_name, parameter_types FROM duckdb_functions() WHERE function_type = 'table' ORDER BY ALL"
    with duckdb.connect() as connection:
        return connection.execute(query).fetchall()


#: allowed functions that take text which is no path: JSON, a table's name
HARMLESS = {"json_each", "json_tree", "pragma_show", "pragma_table_info", "query_table", "repeat", "unnest"}


def test_no_table_function_takes_another_path(store: maskl.Store, place: Path) -> None:
    """Also those of versions to come: what is not known to be harmless is called with a path, and must fail."""
    tried = set()
    for name, kinds in table_functions():
        first = next((kind for kind in kinds if kind in ARGUMENTS), None)
        if first is None or name in HARMLESS or name in ("range", "generate_series", "repeat_row", "duckdb_settings"):
            continue
        for argument in {ARGUMENTS[first], "'{out}'"}:
            call = filled(f"FROM {name}({argument})", place)
            with pytest.raises((QueryError, duckdb.Error)) as caught:
                store.sql(call).fetchall()
            assert MARK not in str(caught.value), call
            tried.add(name)
    assert {"read_csv", "read_text", "glob", "sniff_csv", "parquet_metadata", "checkpoint"} <= tried


def test_every_table_function_that_is_not_listed_is_refused(store: maskl.Store) -> None:
    names = {name for name, _ in table_functions()}
    assert len(names) > len(ALLOWED)
    for name in names - ALLOWED:
        for call in (f"{name}()", f'"{name.upper()}"()', f"system.main.{name}(1)"):
            with pytest.raises(QueryError, match=r"store\.connect\(\)"):
                store.sql(f"FROM {call}")


@pytest.mark.parametrize(
    "query",
    [
        "FROM enable_logging('QueryLog')",
        "FROM enable_logging(storage = 'file', storage_path = '{out}')",
        "FROM enable_logging(storage = 'stdout')",
        "FROM enable_profiling(format = 'json', save_location = '{out}.json')",
        "PIVOT (SELECT 1 AS a) ON (SELECT count(*) FROM enable_logging()) USING count(*)",
        "FROM checkpoint()",
        "FROM summary(runs)",
        "FROM force_checkpoint()",
        "FROM duckdb_secrets()",
        "FROM which_secret('s3://x', 's3')",
        "FROM truncate_duckdb_logs()",
        "FROM pandas_scan(1)",
        "FROM arrow_scan(1, 1, 1)",
        "FROM python_map_function((SELECT 1))",
        "SELECT getenv('HOME')",
        "SELECT set_config('threads', '1')",
        "SELECT nextval('s')",
        "FROM read_xlsx('{secret}.txt')",
        "FROM '{out}.xlsx'",
        "FROM sqlite_scan('{secret}.txt', 'x')",
        "FROM st_read('{secret}.txt')",
        "FROM read_avro('{secret}.txt')",
        "FROM iceberg_scan('{secret}.txt')",
        "FROM read_yaml('{secret}.txt')",
        "SELECT load_aws_credentials()",
    ],
)
def test_functions_change_and_tell_nothing(
    store: maskl.Store, place: Path, query: str, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = "SELECT name, value FROM duckdb_settings() WHERE name <> 'errors_as_json' ORDER BY ALL"
    before = store.sql(settings).fetchall()
    with pytest.raises(QueryError):
        store.sql(filled(query, place)).fetchall()
    assert store.sql(settings).fetchall() == before
    assert capfd.readouterr() == ("", "")


def test_text_that_names_a_function_is_only_text(store: maskl.Store) -> None:
    rows = store.sql("""SELECT 'FROM query(1)' AS query, '"function_name":"checkpoint"' AS checkpoint""").fetchall()
    assert rows == [("FROM query(1)", '"function_name":"checkpoint"')]
    assert store.sql("SELECT query FROM (SELECT $1 AS query)", ["FROM enable_logging()"]).fetchall() == [
        ("FROM enable_logging()",)
    ]
    with pytest.raises(QueryError, match="class_iou"):  # DuckDB's own words about a mistake
        store.sql("FROM clas_iou('t')")


def test_variables_of_the_caller_are_not_tables(store: maskl.Store) -> None:
    hidden_table = pa.table({"x": [MARK]})
    hidden_dict = {"x": np.array([1, 2])}
    hidden_relation = duckdb.sql("SELECT 1 AS x")
    for name in ("hidden_table", "hidden_dict", "hidden_relation", "MODULE_TABLE"):
        with pytest.raises(QueryError, match="does not exist"):
            store.sql(f"FROM {name}")
        with pytest.raises((QueryError, duckdb.Error)):
            store.sql(f"FROM query_table('{name}')").fetchall()
    assert (hidden_table.num_rows, len(hidden_dict), hidden_relation.fetchall()) == (1, 1, [(1,)])


MODULE_TABLE = pa.table({"x": [MARK]})


# --- time and memory ----------------------------------------------------------------------------


@pytest.mark.parametrize("query", NEVER_ENDING.values())
def test_a_query_stops_when_its_time_is_over(store: maskl.Store, query: str) -> None:
    """None of these ends within days, so that coming back at all, interrupted, is what there is to test."""
    with pytest.raises(QueryTimeout, match=r"more than 0\.3 seconds") as caught:
        store.sql(query, timeout=0.3)
    assert "interrupt" in str(caught.value.__cause__).lower()
    assert store.sql("SELECT 1", timeout=HANGS).fetchall() == [(1,)]


def test_a_query_within_its_limits_is_as_without(store: maskl.Store) -> None:
    query = "SELECT * FROM class_coverage('t') ORDER BY ALL"
    rows = store.sql(query).fetchall()
    assert len(rows) == 2
    limited = store.sql(query, timeout=HANGS, memory_limit="200MB")
    assert (limited.fetchall(), limited.columns) == (rows, store.sql(query).columns)
    assert store.sql("SELECT 1 AS x WHERE false", timeout=HANGS).fetchall() == []
    assert len(store.sql("FROM range(100000)", memory_limit="200MB").fetchall()) == 100_000


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), True, "1"])
def test_a_timeout_is_a_number_above_0(store: maskl.Store, timeout: Any) -> None:
    with pytest.raises(InvalidValue, match="seconds above 0"):
        store.sql("SELECT 1", timeout=timeout)


@pytest.mark.parametrize("limit", ["", "much", "-1MB", "1; DROP VIEW runs", "1MB'; DROP VIEW runs; --", 5.5])
def test_a_memory_limit_is_a_size(store: maskl.Store, limit: Any) -> None:
    with pytest.raises(InvalidValue, match="memory_limit must be a size such as '500MB'"):
        store.sql("SELECT 1", memory_limit=limit)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM (SELECT range, hash(range) FROM range(50000000) GROUP BY ALL)",
        "SELECT range, random() AS r FROM range(50000000) ORDER BY r",
        "SELECT count(DISTINCT range) FROM range(100000000)",
        "SELECT a.range FROM range(20000000) AS a JOIN range(20000000) AS b ON a.range = b.range ORDER BY ALL",
        "SELECT row_number() OVER (ORDER BY hash(range)) FROM range(50000000)",
        "SELECT list(range) FROM range(100000000)",
        "SELECT array_agg(repeat('x', 10000)) FROM range(1000000)",
        "SELECT string_agg(range, ',') FROM range(100000000)",
        "FROM range(1000000000)",
        "SELECT repeat('x', 1000000) FROM range(1000)",
    ],
)
def test_a_query_stops_at_its_memory_limit(store: maskl.Store, place: Path, query: str) -> None:
    here = set(Path.cwd().rglob("*"))
    with pytest.raises(QueryError, match="memory_limit"):
        store.sql(query, memory_limit="60MB")
    assert set(Path.cwd().rglob("*")) == here  # nothing was spilled
    assert store.sql("SELECT count(*) FROM runs", memory_limit="60MB").fetchall() == [(1,)]
