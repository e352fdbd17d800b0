"""Rows that no mean or sum is over, since their masks cannot be compared, are counted."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest

import maskl
from maskl.cli.app import main
from maskl.errors import RowsLeftOutWarning, SizeMismatchWarning

LABELS = {0: "sky", 1: "road"}
#: shapes of truth and prediction, row by row; None is no mask
Shape = tuple[int, int] | None
RUNS: dict[str, list[tuple[Shape, Shape]]] = {
    "fits": [((2, 2), (2, 2))] * 3,
    "differs": [((2, 2), (2, 2)), ((2, 2), (4, 1)), ((2, 2), (2, 3)), ((2, 2), None), (None, (2, 2))],
    "nothing": [((2, 2), (1, 2))],
}
WANTED = {"fits": (3, 0), "differs": (1, 4), "nothing": (0, 1)}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> maskl.Store:
    directory = tmp_path_factory.mktemp("left-out")
    for name, rows in RUNS.items():
        table = maskl.Table(["key", "image"])
        for number, shapes in enumerate(rows):
            masks = {
                key: {"mask_data": np.arange(shape[0] * shape[1]).reshape(shape) % 2, "class_labels": LABELS}
                for key, shape in zip(("ground_truth", "predictions"), shapes, strict=True)
                if shape is not None
            }
            differ = None not in shapes and shapes[0] != shapes[1]
            with pytest.warns(SizeMismatchWarning) if differ else nullcontext():
                table.add_data(number, maskl.Image(np.full((2, 2), number, np.uint8), masks=masks))
        with maskl.init(dir=directory, name=name, id=name) as run:
            run.log({"t": table})
    return maskl.open(directory)


@pytest.mark.parametrize("class_map", [None, {"sky": "above"}])
@pytest.mark.parametrize("step", ["each", "last", "all", 0])
def test_rows_that_were_compared_and_left_out_are_counted(
    store: maskl.Store, step: str | int, class_map: dict[str, str] | None
) -> None:
    for macro in ("class_iou", "mean_iou"):
        query = f"SELECT DISTINCT run_id, n_rows, n_left_out FROM {macro}('t', step := $step)"
        rows = store.sql(query, {"step": step}, class_map=class_map).fetchall()
        assert {name: tuple(counts) for name, *counts in rows} == WANTED, macro


def test_rows_of_both_runs_are_counted(store: maskl.Store) -> None:
    columns = "n_rows_a, n_left_out_a, n_rows_b, n_left_out_b"
    for macro in ("compare_classes", "compare_means"):
        rows = store.sql(f"SELECT DISTINCT {columns} FROM {macro}('t', 'fits', 'differs')").fetchall()
        assert rows == [(3, 0, 1, 4)]


def test_python_counts_and_warns(store: maskl.Store) -> None:
    with pytest.warns(RowsLeftOutWarning, match="table 't': 5 of 9 rows are in no mean or sum"):
        answer = store.metrics("t", by=())
    assert (answer["n_rows"], answer["n_left_out"]) == ([4], [5])
    with pytest.warns(RowsLeftOutWarning, match="4 of 5 rows"):
        by_run = store.metrics("t", by=("run", "class"))
    assert {row["run_id"]: (row["n_rows"], row["n_left_out"]) for row in by_run} == WANTED
    with pytest.warns(RowsLeftOutWarning, match="4 of 5 rows"):
        store.compare("t", "fits", "differs")
    store.compare("t", "fits", "fits")  # and no warning where no row is left out
    assert "n_left_out" not in store.metrics("t", by="row").column_names


@pytest.mark.filterwarnings("default")  # which the command prints
@pytest.mark.parametrize(
    "arguments",
    [("sql", "FROM mean_iou('t')"), ("metrics", "t"), ("compare", "fits", "differs")],
    ids=["sql", "metrics", "compare"],
)
def test_the_command_line_warns(
    store: maskl.Store, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--dir", str(store.root)])
    assert ended.value.code in (0, None)
    assert "4 of 5 rows are in no mean or sum" in capsys.readouterr().err
