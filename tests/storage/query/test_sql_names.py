"""No parameter of a macro bears the name of a column that the macro touches: it would be read as the column.

``WHERE table_name = table_name`` is true of every row; nothing else notices.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pytest

import maskl
import maskl_storage

#: the public macros that make tables, and arguments to call them with
CALLS = {
    "class_coverage": "'t'",
    "class_iou": "'t'",
    "mean_iou": "'t', exclude := ['sky']",
    "row_iou": "'t'",
    "row_class_iou": "'t'",
    "confusion_matrix": "'t'",
    "cooccurrence": "'t'",
    "compare_classes": "'t', 'a', 'b'",
    "compare_means": "'t', 'a', 'b', resamples := 10",
    "compare_rows": "'t', 'a', 'b'",
    "panoptic_quality": "'t'",
    "mean_panoptic_quality": "'t', exclude := ['sky']",
    "row_panoptic_quality": "'t'",
    "boundary_iou": "'t', dilation_ratio := 0.02",
    "mean_boundary_iou": "'t', exclude := ['sky']",
    "row_boundary_iou": "'t'",
    "surface_scores": "'t', within := 1, percentile := 95",
    "row_surface_scores": "'t'",
    "instance_matches": "'t', threshold := 0.5",
    "pixel_scores": "'t', metric := 'boundary'",
    "row_pixel_scores": "'t', 'boundary'",
}
KINDS = {"BIGINT", "DOUBLE", "VARCHAR", "BOOLEAN", "INTEGER"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> maskl.Store:
    """A store of two runs with a table; its columns have names that parameters might bear."""
    directory = tmp_path_factory.mktemp("names")
    mask = {"mask_data": np.array([[0, 1]]), "class_labels": {0: "sky", 1: "road"}}
    for name in ("a", "b"):
        table = maskl.Table(["image", "loss", "weather"])
        masks = {"ground_truth": mask, "predictions": mask}
        table.add_data(maskl.Image(np.zeros((1, 2), np.uint8), masks=masks), 0.5, "rain")
        with maskl.init(dir=directory, id=name, name=name) as run:
            run.log({"t": table})
    store = maskl.open(directory)
    store.score("t", ["panoptic", "boundary", "surface", "instances"])
    return store


@pytest.fixture(params=["plain", pytest.param("class map", marks=pytest.mark.once)])
def connection(store: maskl.Store, request: pytest.FixtureRequest) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute(store.setup_sql({"sky": "above"} if request.param == "class map" else None))
        yield connection


def relations(connection: duckdb.DuckDBPyConnection) -> dict[str, set[str]]:
    """Return each view's columns, by the view's name."""
    views = connection.execute("SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal").fetchall()
    found: dict[str, set[str]] = {}
    for schema, name in views:
        described = connection.execute(f'DESCRIBE "{schema}"."{name}"').fetchall()
        found.setdefault(name, set()).update(column[0] for column in described)
    return found


def macros(connection: duckdb.DuckDBPyConnection) -> dict[str, tuple[list[str], str]]:
    """Return each macro's parameters and text, by its name."""
    query = """
        SELECT function_name, parameters, macro_definition FROM duckdb_functions()
        WHERE function_type IN ('macro', 'table_macro') AND NOT internal
    """
    return {name: (parameters, text) for name, parameters, text in connection.execute(query).fetchall()}


def clashes(connection: duckdb.DuckDBPyConnection) -> dict[str, set[str]]:
    """Return the parameters of each macro that bear the name of a column that it touches.

    A macro touches the columns of the views and macros that its text names, those that these macros touch, and
    so on; and what it names itself with AS.
    """
    views, known = relations(connection), macros(connection)

    def columns(text: str, seen: frozenset[str]) -> set[str]:
        found = set(re.findall(r"\bAS\s+\"?(\w+)", text, re.IGNORECASE))
        for word in set(re.findall(r"\w+", text)) - seen:
            if word in views:
                found |= views[word]
            if word in known:
                found |= columns(known[word][1], seen | {word})
        return {name.casefold() for name in found}

    found = {
        name: {parameter for parameter in parameters if parameter.casefold() in columns(text, frozenset({name}))}
        for name, (parameters, text) in known.items()
    }
    return {name: parameters for name, parameters in found.items() if parameters}


def test_no_parameter_bears_the_name_of_a_column(connection: duckdb.DuckDBPyConnection) -> None:
    known = macros(connection)
    assert set(CALLS) | {"iou", "dice"} <= set(known)
    assert "class_totals" in relations(connection)
    assert clashes(connection) == {}


@pytest.mark.once
@pytest.mark.parametrize(
    ("macro", "clash"),
    [
        ("planted(last_step) AS TABLE SELECT run_id FROM maskl_last_steps(last_step, 'last')", "last_step"),
        ("planted(P) AS TABLE WITH x AS (SELECT 1 AS p) SELECT p FROM x", "P"),
        ("planted(t, weather) AS TABLE SELECT loss FROM of_weather WHERE loss > weather", "weather"),
    ],
)
def test_the_check_finds_what_is_planted(connection: duckdb.DuckDBPyConnection, macro: str, clash: str) -> None:
    """What DuckDB does not notice when the macro is made: what lies deeper, and views that come to have the column."""
    connection.execute("CREATE VIEW of_weather AS SELECT 1 AS loss")
    connection.execute(f"CREATE MACRO {macro}")
    connection.execute("CREATE OR REPLACE VIEW of_weather AS SELECT 1 AS loss, 'rain' AS weather")
    assert clashes(connection) == {"planted": {clash}}


def test_a_column_in_plain_sight_is_refused_by_duckdb(connection: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(duckdb.BinderException, match="Conflicting column names for column table_name"):
        connection.execute("CREATE MACRO planted(table_name) AS TABLE FROM class_totals WHERE table_name = table_name")


def test_macros_return_plain_types(connection: duckdb.DuckDBPyConnection) -> None:
    """HUGEINT, which sums of BIGINT are, is no type of most tools that read a result."""
    tables = {name for name, (_, text) in macros(connection).items() if not name.startswith("maskl_")}
    assert tables - {"iou", "dice"} <= set(CALLS), "a macro without a call here"
    for name, arguments in CALLS.items():
        for step in ("each", "all", "last"):
            relation = connection.sql(f"FROM {name}({arguments}, step := '{step}')")
            assert {str(kind) for kind in relation.types} <= KINDS, (name, step, relation.types)
            assert relation.fetchall(), name
    assert {str(kind) for kind in connection.sql("SELECT iou(1, 2, 3), dice(1, 2, 3)").types} == {"DOUBLE"}


def test_counts_are_divided_in_one_place() -> None:
    """Whoever asks for IoU, Dice, a mean of them or pixel accuracy in SQL asks the macros of formulas.sql."""
    packages = [Path(module.__file__ or "").parent for module in (maskl, maskl_storage)]
    texts = [path for package in packages for kind in ("*.sql", "*.py") for path in package.rglob(kind)]
    divided = re.compile(r"/\s*nullif\([^()]*\b(tp|fp|fn|hits)\b|/\s*nullif\(sum\((\w\.)?(tp|hits)\b")
    assert {path.name for path in texts if divided.search(path.read_text("utf-8"))} == {"formulas.sql"}
