"""The classical traps for the metrics of single rows, of pairs of classes, and of two runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

import maskl
from benchmarks.cells import image_cell, image_of_all
from maskl.errors import DuplicateNameWarning, SizeMismatchWarning
from maskl_storage import ClassItem, Column, Layout, Rows, RunInfo, Writer
from maskl_storage.format.metadata import ClassSet

LABELS = {0: "sky", 1: "road", 2: "car"}


def pair(truth: Any, prediction: Any, labels: Any = LABELS, ignore: Any = None, labels_b: Any = None) -> dict[str, Any]:
    """Return the masks of a row."""
    return {
        "ground_truth": {"mask_data": np.array(truth), "class_labels": labels, "ignore_index": ignore},
        "predictions": {"mask_data": np.array(prediction), "class_labels": labels_b or labels},
    }


def picture(shade: int, masks: dict[str, Any]) -> maskl.Image:
    return maskl.Image(np.full(masks["ground_truth"]["mask_data"].shape, shade, np.uint8), masks=masks)


def log(
    directory: Path,
    rows: Sequence[tuple[Any, ...]],
    columns: Sequence[str] = ("image",),
    name: str = "run",
    step: int = 0,
    **init: Any,
) -> maskl.Store:
    """Log a table t; a cell that is a dict holds the masks of an image of its own shade."""
    table = maskl.Table(columns=list(columns))
    for number, row in enumerate(rows):
        table.add_data(*(picture(number, cell) if isinstance(cell, dict) else cell for cell in row))
    with maskl.init(name=name, dir=directory, **init) as run:
        run.log({"t": table}, step=step)
    return maskl.open(directory)


def counts(store: maskl.Store) -> dict[str, Any]:
    rows = store.sql("SELECT class_name, tp, fp, fn FROM row_class_iou('t')").fetchall()
    return {name: tuple(values) for name, *values in rows}


def scores(store: maskl.Store) -> list[Any]:
    return store.sql("SELECT mean_iou, mean_dice, pixel_accuracy FROM row_iou('t') ORDER BY _row").fetchall()


# --- rows ---------------------------------------------------------------------------------------


def test_ids_of_one_name_that_another_writer_left_so_are_one_class(tmp_path: Path) -> None:
    """The API gives each id a name of its own; a store that has two with one name is asked by names."""
    truth = np.array([[1, 1, 2, 2, 0, 0]] * 6, np.uint8)
    predicted = np.array([[2, 1, 2, 0, 0, 1]] * 6, np.uint8)
    classes = ClassSet([ClassItem(0, "sky"), ClassItem(1, "car"), ClassItem(2, "car")])
    writer = Writer(Layout.create(tmp_path / "maskl-store"), RunInfo("r", "r"))
    writer.add_image(image_of_all(6))
    cell = image_cell({"ground_truth": truth, "predictions": predicted}, classes)
    writer.write({"t": Rows((Column("image", "image"),), [(cell,)])}, 0)
    writer.close()
    store = maskl.open(tmp_path)
    assert counts(store) == {"sky": (6, 6, 6), "car": (18, 6, 6)}
    assert store.sql("SELECT class_name, tp, fp, fn FROM class_iou('t') ORDER BY 1").fetchall() == [
        ("car", 18, 6, 6),
        ("sky", 6, 6, 6),
    ]


def test_prediction_of_an_ignored_class_is_an_error_and_no_class(tmp_path: Path) -> None:
    store = log(tmp_path, [(pair([[0, 0, 1, 2]], [[0, 2, 1, 1]], ignore=2),)])
    assert counts(store) == {"sky": (1, 0, 1), "road": (1, 0, 0)}
    assert scores(store) == [(0.75, (2 / 3 + 1) / 2, 2 / 3)]


def test_ignore_index_0(tmp_path: Path) -> None:
    store = log(tmp_path, [(pair([[0, 0, 1]], [[1, 0, 1]], ignore=0),)])
    assert counts(store) == {"road": (1, 0, 0), "car": (0, 0, 0)}
    assert scores(store) == [(1.0, 1.0, 1.0)]


def test_a_class_absent_from_truth_but_predicted_lowers_the_mean_and_one_absent_from_both_does_not(
    tmp_path: Path,
) -> None:
    store = log(tmp_path, [(pair([[0, 0]], [[0, 1]]),)])
    iou = store.sql("SELECT class_name, iou FROM row_class_iou('t') ORDER BY iou").fetchall()
    assert iou == [("road", 0.0), ("sky", 0.5), ("car", None)]
    assert scores(store) == [(0.25, 1 / 3, 0.5)]


def test_a_row_whose_truth_is_ignored_altogether_has_no_score(tmp_path: Path) -> None:
    store = log(tmp_path, [(pair([[2, 2]], [[0, 1]], ignore=2),), (pair([[0, 0]], [[0, 0]], ignore=2),)])
    assert scores(store) == [(None, None, None), (1.0, 1.0, 1.0)]
    means = "SELECT iou(tp, fp, fn), dice(tp, fp, fn) FROM row_class_iou('t') WHERE class_name = 'sky'"
    assert store.sql(means).fetchall() == [(1.0, 1.0)]


def test_sizes_that_differ_are_null_and_not_zero(tmp_path: Path) -> None:
    with pytest.warns(SizeMismatchWarning):
        store = log(tmp_path, [(pair([[0, 1]], [[0]]),), (pair([[0, 1]], [[0, 1]]),)])
    assert scores(store) == [(None, None, None), (1.0, 1.0, 1.0)]
    first = store.sql("SELECT class_name, tp, fp, fn, iou FROM row_class_iou('t') WHERE _row = 0 ORDER BY ALL")
    assert first.fetchall() == [(name, None, None, None, None) for name in ("car", "road", "sky")]
    assert store.sql("SELECT class_name, tp FROM class_iou('t') ORDER BY ALL").fetchall() == [
        ("car", 0),
        ("road", 1),
        ("sky", 1),
    ]


def test_a_truth_with_labels_names_a_prediction_without(tmp_path: Path) -> None:
    masks = pair([[0, 1]], [[0, 1]])
    del masks["predictions"]["class_labels"]
    store = log(tmp_path, [(masks,)])
    assert counts(store) == {"sky": (1, 0, 0), "road": (1, 0, 0), "car": (0, 0, 0)}


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> maskl.Store:
    """A store of a run whose masks have no class name in common."""
    directory = tmp_path_factory.mktemp("apart")
    return log(directory, [(pair([[0]], [[0]], {0: "a"}, labels_b={0: "b"}),)], name="unet", id="unet-1")


@pytest.mark.parametrize(
    "query",
    [
        "FROM class_iou('t')",
        "SELECT iou FROM class_iou('t')",
        "SELECT count(*) FROM class_iou('t')",
        "FROM mean_iou('t')",
        "SELECT pixel_accuracy FROM mean_iou('t')",
        "FROM row_iou('t')",
        "SELECT pixel_accuracy FROM row_iou('t')",
        "SELECT count(*) FROM row_iou('t')",
        "FROM row_iou('t', step := 'last') ORDER BY mean_iou LIMIT 1",
        "FROM row_class_iou('t')",
        "SELECT class_name, fp FROM row_class_iou('t')",
        "SELECT dice(tp, fp, fn) FROM row_class_iou('t')",
        "FROM compare_classes('t', 'unet', 'unet')",
        "FROM compare_rows('t', 'unet', 'unet')",
    ],
)
def test_no_name_in_common_is_an_error_whatever_is_asked_for(apart: maskl.Store, query: str) -> None:
    words = "table 't': masks 'ground_truth' and 'predictions' of run 'unet-1' have no class name in common"
    with pytest.raises(duckdb.Error, match=words):
        apart.sql(query).fetchall()


def test_unlabelled_masks_without_a_common_id_are_no_error(tmp_path: Path) -> None:
    store = log(tmp_path, [(pair([[255, 255]], [[0, 1]], None, ignore=255),)])
    assert store.sql("FROM class_iou('t')").fetchall() == []
    assert scores(store) == [(None, None, None)]


def test_unlabelled_masks_of_two_sizes_are_null(tmp_path: Path) -> None:
    with pytest.warns(SizeMismatchWarning):
        store = log(tmp_path, [(pair([[5, 5]], [[0]], None),)])
    assert store.sql("SELECT class_name, tp, iou FROM class_iou('t')").fetchall() == [("class_5", None, None)]
    assert scores(store) == [(None, None, None)]


def test_ten_epochs_are_ten_groups(tmp_path: Path) -> None:
    table = maskl.Table(["image"], [[maskl.Image(np.zeros((1, 4), np.uint8), masks=pair([[0, 0, 0, 1]], [[0] * 4]))]])
    with maskl.init(dir=tmp_path, name="a") as run:
        for step in range(10):
            run.log({"t": table}, step=step)
    store = maskl.open(tmp_path)

    def pixels(macro: str) -> list[int]:
        return [n for (n,) in store.sql(f"SELECT sum({macro} GROUP BY _step").fetchall()]

    assert pixels("pixels) FROM confusion_matrix('t')") == [4] * 10
    assert pixels("tp) FROM row_class_iou('t')") == [3] * 10
    assert pixels("tp) FROM row_class_iou('t', step := 'last')") == [3]
    assert pixels("n_rows) FROM cooccurrence('t')") == [2] * 10
    assert pixels("n_rows) FROM cooccurrence('t', step := 'all')") == [20]
    assert store.sql("SELECT count(*), sum(pixels) FROM confusion_matrix('t', step := 'all')").fetchall() == [(2, 40)]
    assert store.sql("SELECT count(*) FROM row_iou('t', step := 3)").fetchall() == [(1,)]
    assert store.sql("SELECT step_a, step_b FROM compare_classes('t', 'a', 'a') LIMIT 1").fetchall() == [(9, 9)]
    assert len(store.sql("FROM compare_rows('t', 'a', 'a', step := 'each')").fetchall()) == 10


def test_image_columns_are_not_pooled(tmp_path: Path) -> None:
    row = (pair([[0, 1]], [[0, 1]]), pair([[0, 1]], [[1, 0]]))
    store = log(tmp_path, [row], columns=("left", "right"))
    by = "SELECT image_column, pixel_accuracy FROM row_iou('t') ORDER BY ALL"
    assert store.sql(by).fetchall() == [("left", 1.0), ("right", 0.0)]
    diagonal = (
        "SELECT image_column, sum(pixels) FROM confusion_matrix('t') WHERE truth_class = prediction_class GROUP BY 1"
    )
    assert store.sql(diagonal).fetchall() == [("left", 2)]
    together = "SELECT DISTINCT image_column, n_rows FROM cooccurrence('t') ORDER BY ALL"
    assert store.sql(together).fetchall() == [("left", 1), ("right", 1)]
    changes = store.sql("SELECT image_column, change FROM compare_rows('t', 'run', 'run') ORDER BY ALL").fetchall()
    assert changes == [("left", 0.0), ("right", 0.0)]


def test_two_ids_of_one_name_are_one_class_where_a_class_map_says_so(tmp_path: Path) -> None:
    labels = {0: "sky", 1: "car", 2: "car"}
    with pytest.warns(DuplicateNameWarning):
        store = log(tmp_path, [(pair([[0, 1, 2, 2]], [[0, 2, 1, 0]], labels),)])
    assert counts(store) == {"sky": (1, 1, 0), "car": (0, 1, 1), "car (2)": (0, 1, 2)}
    by = "SELECT class_name, tp, fp, fn FROM class_iou('t') ORDER BY ALL"
    assert store.sql(by, class_map={"car (2)": "car"}).fetchall() == [("car", 2, 0, 1), ("sky", 1, 1, 0)]


# --- two runs -----------------------------------------------------------------------------------

GOOD, BAD = pair([[0, 1]], [[0, 1]]), pair([[0, 1]], [[0, 0]])


def two_runs(directory: Path, a: Sequence[Any], b: Sequence[Any], columns: Sequence[str] = ("image", "key")) -> Any:
    log(directory, a, columns, name="a", id="a-1")
    return log(directory, b, columns, name="b", id="b-1")


def test_rows_are_matched_by_their_image_else_by_a_key(tmp_path: Path) -> None:
    store = two_runs(tmp_path, [(GOOD, "x"), (BAD, "y")], [(BAD, "y"), (BAD, "x")])
    by_image = "SELECT row_a, _row, change FROM compare_rows('t', 'a', 'b') ORDER BY ALL"
    assert store.sql(by_image).fetchall() == [(0, 0, -0.75), (1, 1, 0.0)]
    by_key = "SELECT row_key, row_a, _row, run_id, change FROM compare_rows('t', 'a', 'b', key := 'key') ORDER BY ALL"
    assert store.sql(by_key).fetchall() == [("x", 0, 1, "b-1", -0.75), ("y", 1, 0, "b-1", 0.0)]
    one = "SELECT row_key, iou_a, iou_b FROM compare_rows('t', 'a', 'b', key := 'KEY', class := 'road') ORDER BY ALL"
    assert store.sql(one).fetchall() == [("x", 1.0, 0.0), ("y", 0.0, 0.0)]
    assert len(store.select("FROM compare_rows('t', 'a', 'b')")) == 2


def test_keys_that_are_missing_match_nothing(tmp_path: Path) -> None:
    store = two_runs(tmp_path, [(GOOD, None), (GOOD, None), (GOOD, "x")], [(BAD, None), (BAD, "x")])
    rows = store.sql("SELECT row_key, row_a, _row FROM compare_rows('t', 'a', 'b', key := 'key')").fetchall()
    assert rows == [("x", 2, 1)]


def test_keys_that_occur_twice_are_an_error(tmp_path: Path) -> None:
    store = two_runs(tmp_path, [(GOOD, "x"), (GOOD, "x")], [(BAD, "x"), (BAD, "y")])
    assert len(store.sql("FROM compare_rows('t', 'a', 'b')").fetchall()) == 2
    for query in ("FROM", "SELECT count(*) FROM"):
        with pytest.raises(duckdb.Error, match="several rows of run 'a-1' have the same key, x"):
            store.sql(f"{query} compare_rows('t', 'a', 'b', key := 'key')").fetchall()


def test_an_image_that_occurs_twice_is_an_error_that_names_the_way_out(tmp_path: Path) -> None:
    table = maskl.Table(["image"], [[maskl.Image(np.zeros((1, 2), np.uint8), masks=GOOD)]] * 2)
    with maskl.init(dir=tmp_path, id="a-1") as run:
        run.log({"t": table})
    with pytest.raises(duckdb.Error, match=r"have the same primary key, inputs or image, .*key := '<column>'"):
        maskl.open(tmp_path).sql("FROM compare_rows('t', 'a-1', 'a-1')").fetchall()


def test_a_key_that_is_no_column_is_an_error(tmp_path: Path) -> None:
    store = two_runs(tmp_path, [(GOOD, "x")], [(BAD, "x")])
    with pytest.raises(duckdb.Error, match=r"'t' has no column to match rows by that is called 'kee'; there are: key"):
        store.sql("FROM compare_rows('t', 'a', 'b', key := 'kee')").fetchall()


@pytest.mark.once
def test_runs_are_named_by_id_name_or_prefix(tmp_path: Path) -> None:
    for run_id, name in (("unet-aa", "unet"), ("unet-ab", "unet"), ("mask-1", "other"), ("other", "third")):
        log(tmp_path, [(GOOD,)], name=name, id=run_id)
    store = maskl.open(tmp_path)
    for macro in ("compare_classes", "compare_rows"):
        for query in ("SELECT DISTINCT run_id_a", "SELECT count(*)"):
            for name, problem in (
                ("unet", "'unet' names 2 runs: unet-aa, unet-ab"),
                ("unet-a", "'unet-a' names 2 runs: unet-aa, unet-ab"),
                ("resnet", "there is no run 'resnet'"),
            ):
                with pytest.raises(duckdb.Error, match=problem):
                    store.sql(f"{query} FROM {macro}('t', '{name}', 'mask-1')").fetchall()
                with pytest.raises(duckdb.Error, match=problem):
                    store.sql(f"{query} FROM {macro}('t', 'mask-1', '{name}')").fetchall()
        for name, run_id in (("unet-aa", "unet-aa"), ("mask", "mask-1"), ("other", "other"), ("third", "other")):
            found = store.sql(f"SELECT DISTINCT run_id_a FROM {macro}('t', '{name}', 'unet-ab')").fetchall()
            assert found == [(run_id,)]


def test_a_class_in_one_run_only_has_no_change(tmp_path: Path) -> None:
    more = {**LABELS, 3: "boat"}
    store = two_runs(tmp_path, [(GOOD, "x")], [(pair([[0, 3]], [[0, 3]], more), "x")])
    rows = store.sql("SELECT class_name, iou_a, iou_b, change FROM compare_classes('t', 'a', 'b') ORDER BY ALL")
    assert rows.fetchall() == [
        ("boat", None, 1.0, None),
        ("car", None, None, None),
        ("road", 1.0, None, None),
        ("sky", 1.0, 1.0, 0.0),
    ]


def test_a_table_in_one_run_only_is_an_error(tmp_path: Path) -> None:
    log(tmp_path, [(GOOD,)], name="a", id="a-1")
    with maskl.init(dir=tmp_path, name="b", id="b-1") as run:
        run.log({"loss": 1})
    store = maskl.open(tmp_path)
    words = "run 'b-1' has no masks 'ground_truth' and 'predictions' in a table 't'"
    for macro in ("compare_classes", "compare_rows"):
        for query in ("FROM", "SELECT count(*) FROM"):
            for a, b in (("a", "b"), ("b", "a"), ("b", "b")):
                with pytest.raises(duckdb.Error, match=words):
                    store.sql(f"{query} {macro}('t', '{a}', '{b}')").fetchall()


def test_runs_that_end_at_different_steps_are_compared_at_their_last(tmp_path: Path) -> None:
    log(tmp_path, [(GOOD,)], name="a", id="a-1", step=3)
    store = log(tmp_path, [(BAD,)], name="b", id="b-1", step=7)
    rows = "SELECT step_a, step_b, change FROM compare_rows('t', 'a', 'b'"
    assert store.sql(f"{rows})").fetchall() == [(3, 7, -0.75)]
    assert store.sql(f"{rows}, step := 'each')").fetchall() == []
