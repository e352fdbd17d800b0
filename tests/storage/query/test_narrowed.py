"""A store of some runs: its SQL has their files and no other, and tells nothing of this machine."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb
import numpy as np
import pytest

import maskl
from maskl.errors import QueryError
from tests.storage.query.test_untrusted import table_functions

SECRET = "a value of the other project"
SHARED = np.zeros((2, 3), np.uint8)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a store of two projects that log one image both, and each one of its own."""
    directory = tmp_path_factory.mktemp("narrowed")
    for number, project in enumerate(("other", "mine"), 1):
        table = maskl.Table(["image", "note"])
        table.add_data(maskl.Image(SHARED), "shared")
        table.add_data(maskl.Image(SHARED + number), SECRET if project == "other" else "own")
        table.add_data(None, "none")
        with maskl.init(dir=directory, id=project, project=project, config={"key": SECRET}) as run:
            run.log({"t": table, "loss": number})
    return directory


def narrowed(place: Path) -> list[maskl.Store]:
    return [maskl.open(place, project="mine"), maskl.open(place, runs=["mine"])]


def test_no_file_of_another_run_is_read(place: Path) -> None:
    theirs = [path for path in sorted(place.rglob("run_id=other/*")) if path.is_file()]
    assert {path.suffix for path in theirs} == {".json", ".parquet"}
    for store in narrowed(place):
        for path in theirs:
            for reader in ("read_text", "read_blob", "read_json", "read_parquet", "parquet_metadata"):
                with pytest.raises((QueryError, duckdb.Error), match="disabled by configuration"):
                    store.sql(f"FROM {reader}('{path}')").fetchall()
        (mine,) = (place / "maskl-store" / "rows").rglob("run_id=mine/*.parquet")
        assert store.sql(f"SELECT count(*) FROM read_parquet('{mine}')").fetchall() == [(3,)]


def test_what_stands_with_another_run_has_no_bytes_in_sql_and_has_them_in_rows(place: Path) -> None:
    query = "SELECT note, bytes IS NULL FROM t JOIN images ON images.digest = t.image.digest ORDER BY note"
    assert maskl.open(place).sql(query).fetchall() == [
        (SECRET, False),
        ("own", False),
        ("shared", False),
        ("shared", False),
    ]
    described = "SELECT digest, format, mode, width, height FROM images ORDER BY digest"
    everything = maskl.open(place).sql(described).fetchall()
    for store in narrowed(place):
        assert store.sql(query).fetchall() == [("own", False), ("shared", True)]
        found = store.sql(described).fetchall()
        assert len(found) == 2
        assert set(found) < set(everything)
        assert store.sql("SELECT count(*) FROM images").fetchall() == [(2,)]
        rows = list(store.table("t"))
        assert [np.asarray(row["image"].image).tolist() for row in rows[:2]] == [SHARED.tolist(), (SHARED + 2).tolist()]


def test_a_store_of_runs_without_images_has_none(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with maskl.init(dir=tmp_path, id=name, project=name) as run:
            run.log({"loss": 1, "image": maskl.Image(SHARED)} if name == "a" else {"loss": 1})
    assert maskl.open(tmp_path, project="b").sql("FROM images").fetchall() == []
    assert maskl.open(tmp_path, project="nobody's").sql("FROM images").fetchall() == []


def test_a_query_is_told_no_path_of_this_machine(place: Path) -> None:
    """Neither by what DuckDB says of itself, nor by what it says of a mistake."""
    hidden = {str(Path.home()), str(Path.cwd()), os.path.expanduser("~")} - {"/"}
    with duckdb.connect() as plain:
        settings = [name for (name,) in plain.execute("SELECT name FROM duckdb_settings()").fetchall()]
        told = {plain.execute(f"SELECT current_setting('{name}')").fetchall()[0][0] for name in ("secret_directory",)}
    assert any(path in str(said) for path in hidden for said in told)  # of what is not locked, it tells
    store = maskl.open(place)
    queries = [f"SELECT current_setting('{name}')" for name in settings]
    queries += [f"FROM {name}()" for name, _ in table_functions()]
    queries += [f"FROM {name}('{path}')" for name, _ in table_functions() for path in ("~/x", "x")]
    queries += ["FROM duckdb_settings()", "FROM pg_catalog.pg_settings", "FROM '~/x.csv'", "SELECT st_point(1, 2)"]
    queries += ["SELECT getenv('HOME')", "PRAGMA database_list", "FROM 's3://bucket/x.parquet'"]
    for query in dict.fromkeys(queries):
        try:
            said = str(store.sql(query).fetchall())
        except (QueryError, duckdb.Error) as error:
            said = str(error)
        assert not [path for path in hidden if path in said], query


def test_nothing_is_read_from_the_folder_that_queries_spill_to(place: Path) -> None:
    folder = Path(".tmp")
    folder.mkdir()
    (folder / "x.txt").write_text(SECRET)
    store = maskl.open(place)
    (there,) = store.sql("SELECT current_setting('temp_directory')").fetchall()[0]
    assert not Path(there).exists()
    for path in (folder / "x.txt", folder.resolve() / "x.txt"):
        with pytest.raises((QueryError, duckdb.Error), match="disabled by configuration"):
            store.sql(f"FROM read_text('{path}')").fetchall()


@pytest.mark.parametrize("limit", [None, "200MB"])
def test_a_table_that_only_runs_have_that_were_not_chosen_is_empty_and_known(tmp_path: Path, limit: str | None) -> None:
    mask = {"ground_truth": {"mask_data": np.zeros((2, 3), np.uint8)}}
    for name in ("one", "two"):
        with maskl.init(dir=tmp_path, id=name) as run:
            run.log({f"of {name}": maskl.Image(SHARED, masks=mask)})
    store = maskl.open(tmp_path, runs=["one"])
    asked = "FROM class_coverage($t)"
    assert store.sql(asked, {"t": "of one"}, memory_limit=limit).fetchall() != []
    assert store.sql(asked, {"t": "of two"}, memory_limit=limit).fetchall() == []
    with pytest.raises((QueryError, duckdb.Error), match=r"there is no table 'of three'; there are: 'of one'$"):
        store.sql(asked, {"t": "of three"}, memory_limit=limit).fetchall()
