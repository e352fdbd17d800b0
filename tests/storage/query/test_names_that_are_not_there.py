"""A gate on a table or mask that is nowhere must not pass: every macro says what is not there, and what is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

import maskl

MASK = {"mask_data": np.array([[0, 1]]), "class_labels": {0: "sky", 1: "road"}}
#: each macro that takes a table and two masks, with its other arguments and a column
PAIRS = {
    "class_iou": ("", "class_name = 'sky' AND iou < 0"),
    "mean_iou": ("", "run_id = 'b' AND mean_iou < 0"),
    "row_iou": ("", "_row = 7"),
    "row_class_iou": ("", "class_name = 'sky' AND tp < 0"),
    "confusion_matrix": ("", "truth_class <> prediction_class"),
    "compare_classes": (", 'a', 'b'", "class_name = 'sky' AND change < 0"),
    "compare_means": (", 'a', 'b'", "metric = 'mean_iou' AND change < 0"),
    "compare_rows": (", 'a', 'b'", "change < 0"),
    "panoptic_quality": ("", "class_name = 'sky' AND pq < 0"),
    "mean_panoptic_quality": ("", "classes = 'all' AND pq < 0"),
    "row_panoptic_quality": ("", "class_name = 'sky' AND tp < 0"),
    "boundary_iou": ("", "class_name = 'sky' AND boundary_iou < 0"),
    "mean_boundary_iou": ("", "run_id = 'b' AND mean_boundary_iou < 0"),
    "row_boundary_iou": ("", "_row = 7"),
    "surface_scores": ("", "class_name = 'sky' AND surface_dice < 0"),
    "row_surface_scores": ("", "hausdorff < 0"),
    "instance_matches": ("", "class_name = 'sky' AND f1 < 0"),
    "pixel_scores": (", 'boundary'", "class_name = 'sky' AND mean < 0"),
    "row_pixel_scores": (", metric := 'boundary'", "name = 'union' AND value < 0"),
}
#: each that takes a table and one mask
SINGLE = {"class_coverage": "class_name = 'sky' AND coverage < 0", "cooccurrence": "class_a = 'sky' AND n_rows < 0"}
NO_TABLE = "there is no table 'evaluaton'; there are: 'evaluation', 'losses', 'pictures', '둘'"
NO_MASKS = "table 'evaluation' has no image with the masks '{}' and '{}'; it has: 'ground_truth', 'predictions'"
#: every macro with a table and with a mask that are nowhere
CALLS = [
    call
    for macro, (more, where) in PAIRS.items()
    for call in (
        (f"{macro}('evaluaton'{more})", where, NO_TABLE),
        (f"{macro}('evaluation'{more}, truth := 'truth')", where, NO_MASKS.format("truth", "predictions")),
    )
] + [
    call
    for macro, where in SINGLE.items()
    for call in (
        (f"{macro}('evaluaton')", where, NO_TABLE),
        (f"{macro}('evaluation', mask := 'x')", where, "has no image with a mask 'x'; it has: 'ground_truth', 'predi"),
    )
]
#: other names that are nowhere
MORE = {
    "class_iou('EVALUATION')": "there is no table 'EVALUATION'",
    "class_iou(NULL)": "there is no table 'NULL'",
    "class_iou('evaluation', prediction := 'prediction')": NO_MASKS.format("ground_truth", "prediction"),
    "class_iou('losses')": "'ground_truth' and 'predictions'; it has: none",
    "class_iou('pictures')": "'ground_truth' and 'predictions'; it has: none",
    "class_iou('둘')": "table '둘' has no image with the masks 'ground_truth' and 'predictions'; it has: 'gr",
    "class_coverage('losses')": "table 'losses' has no image with a mask 'ground_truth'; it has: none",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> maskl.Store:
    directory = tmp_path_factory.mktemp("names")

    def image(*keys: str) -> maskl.Image:
        return maskl.Image(np.zeros((1, 2), np.uint8), masks=dict.fromkeys(keys, MASK))

    for name in ("a", "b"):
        with maskl.init(dir=directory, id=name, name=name) as run:
            run.log({"evaluation": maskl.Table(["image"], [[image("ground_truth", "predictions")]])}, step=3)
            run.log({"losses": maskl.Table(["loss"], [[0.5]])})
            run.log({"pictures": maskl.Table(["image"], [[maskl.Image(np.zeros((1, 2), np.uint8))]])})
            run.log({"둘": maskl.Table(["l", "r"], [[image("ground_truth"), image("predictions")]])})
    with maskl.init(dir=directory, id="c", name="c", project="else") as run:
        run.log({"secret": maskl.Table(["image"], [[image("hidden")]])})
        run.log({"loss": 1})
    return maskl.open(directory, runs=["a", "b"])


@pytest.fixture(scope="module")
def asking(store: maskl.Store) -> dict[str, Callable[[str], Any]]:
    plain = duckdb.connect()
    plain.execute(store.setup_sql())
    return {"store": store.sql, "plain": plain.sql}


@pytest.mark.parametrize(("call", "condition", "message"), CALLS, ids=[call for call, *_ in CALLS])
def test_names_that_are_nowhere_are_errors_whatever_is_asked_for(
    asking: dict[str, Callable[[str], Any]], call: str, condition: str, message: str
) -> None:
    """DuckDB leaves out what it need not compute: a column nobody asks for, a row that a filter drops."""
    for where, query in (
        ("plain", f"SELECT count(*) FROM {call}"),
        ("plain", f"SELECT 1 FROM {call} WHERE {condition}"),
        ("store", f"FROM {call}"),
    ):
        with pytest.raises((duckdb.Error, maskl.errors.QueryError)) as caught:
            asking[where](query).fetchall()
        assert message in str(caught.value), query


@pytest.mark.parametrize(("call", "message"), MORE.items(), ids=list(MORE))
def test_other_names_that_are_nowhere(asking: dict[str, Callable[[str], Any]], call: str, message: str) -> None:
    with pytest.raises((duckdb.Error, maskl.errors.QueryError)) as caught:
        asking["plain"](f"FROM {call}").fetchall()
    assert message in str(caught.value), call


def test_names_that_are_parameters(store: maskl.Store) -> None:
    for macro in ("class_iou", "row_iou"):
        with pytest.raises((duckdb.Error, maskl.errors.QueryError), match="there is no table 'evaluaton'"):
            store.sql(f"FROM {macro}($t)", {"t": "evaluaton"}).fetchall()
        assert store.sql(f"SELECT count(*) FROM {macro}($t)", {"t": "evaluation"}).fetchall() != [(0,)]


def test_a_table_that_is_there_and_empty_for_what_was_chosen_is_no_rows(store: maskl.Store) -> None:
    for macro in (*SINGLE, "mean_iou", "row_iou", "confusion_matrix"):
        assert store.sql(f"FROM {macro}('evaluation', step := 9)").fetchall() == [], macro
        assert store.sql(f"FROM {macro}('evaluation') WHERE run_id = 'nobody'").fetchall() == [], macro
        if macro in SINGLE:
            continue
        one = maskl.open(store.root, runs=["c"])  # another run of the store has the table
        assert one.sql(f"FROM {macro}('evaluation')").fetchall() == [], macro
        with pytest.raises(duckdb.Error, match="there is no table 'evaluaton'; there are: 'secret'"):
            one.sql(f"FROM {macro}('evaluaton')").fetchall()


def test_a_table_of_another_project_is_nowhere(store: maskl.Store) -> None:
    other = maskl.open(store.root, project="else")
    with pytest.raises(duckdb.Error, match="there is no table 'evaluation'; there are: 'secret'"):
        other.sql("FROM class_iou('evaluation')").fetchall()
    assert "evaluation" not in other.setup_sql()


def test_a_class_that_is_nowhere_is_an_error(store: maskl.Store) -> None:
    with pytest.raises(
        duckdb.Error, match="table 'evaluation' has no class 'sy' in these runs; they have: 'road', 'sky'"
    ):
        store.sql("SELECT count(*) FROM compare_rows('evaluation', 'a', 'b', class := 'sy')").fetchall()
    assert len(store.sql("FROM compare_rows('evaluation', 'a', 'b', class := 'sky')").fetchall()) == 1


def test_the_calls_name_every_macro_that_takes_a_table(store: maskl.Store) -> None:
    query = """
        SELECT function_name FROM duckdb_functions() WHERE function_type = 'table_macro' AND NOT internal
        AND NOT starts_with(function_name, 'maskl_') AND list_contains(parameters, 't')
    """
    assert {name for (name,) in store.connect().sql(query).fetchall()} == {*PAIRS, *SINGLE}


def test_names_with_quotes(tmp_path: Path) -> None:
    with maskl.init(dir=tmp_path) as run:
        run.log({"it's": maskl.Table(["image"], [[maskl.Image(np.zeros((1, 2), np.uint8), masks={"a'b": MASK})]])})
    store = maskl.open(tmp_path)
    assert len(store.sql("FROM class_coverage($t, mask := $m)", {"t": "it's", "m": "a'b"}).fetchall()) == 2
    with pytest.raises((duckdb.Error, maskl.errors.QueryError), match="there is no table 'it''; there are: 'it's'"):
        store.sql("FROM class_iou($t)", {"t": "it'"}).fetchall()
