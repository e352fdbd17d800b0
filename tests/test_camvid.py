"""The CamVid example end to end: every count and ratio as NumPy has them, every mask and frame identical."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

import maskl
from maskl import metrics
from maskl.cli import app

ROOT = Path(__file__).parents[1]
CAMVID = Path(os.environ.get("MASKL_CAMVID") or ROOT.parent / "shared" / "data" / "camvid")
RUNS = ("epoch03", "final")

pytestmark = pytest.mark.skipif(
    not (CAMVID / "expected.json").is_file(), reason="CamVid is not here: set MASKL_CAMVID to its folder"
)


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CAMVID / "expected.json").read_text())
    return found


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Run the example once; return where its store is and what it printed."""
    folder = tmp_path_factory.mktemp("camvid")
    environment = {key: value for key, value in os.environ.items() if key != "MASKL_DIR"}
    done = subprocess.run(
        [sys.executable, "-W", "error", ROOT / "examples" / "camvid.py", CAMVID, "--store", folder],
        check=True, capture_output=True, text=True, encoding="utf-8", env=environment | {"PYTHONUTF8": "1"}, cwd=folder,
    )  # fmt: skip
    return folder, done.stdout


@pytest.fixture(scope="module")
def store(printed: tuple[Path, str]) -> maskl.Store:
    return maskl.open(printed[0])


def test_two_runs_are_logged_with_every_frame(store: maskl.Store, expected: dict[str, Any]) -> None:
    assert [(run.name, run.project, run.state) for run in store.runs()] == [(n, "camvid", "finished") for n in RUNS]
    assert [(table.name, table.rows) for table in store.tables()] == [("evaluation", 2 * expected["rows"])]
    assert store.table("evaluation").columns == ["name", "image"]


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("mask", ["ground_truth", "predictions"])
def test_class_coverage_counts_every_pixel(store: maskl.Store, expected: dict[str, Any], run: str, mask: str) -> None:
    columns = "class_name, pixels, coverage, n_rows, ignored"
    query = f"SELECT {columns} FROM class_coverage('evaluation', mask := ?) WHERE run_name = ?"
    rows = store.sql(query, [mask, run]).fetchall()
    pixels = expected["coverage_pixels"]["ground_truth" if mask == "ground_truth" else run]
    total = expected["rows"] * expected["shape"][0] * expected["shape"][1]
    assert {name: count for name, count, *_ in rows} == pixels
    for name, count, coverage, n_rows, ignored in rows:
        assert coverage == pytest.approx(count / total, abs=1e-12)
        assert n_rows == expected["rows"]
        assert ignored is (name == "void")


@pytest.mark.parametrize("run", RUNS)
def test_class_iou_is_that_of_numpy(store: maskl.Store, expected: dict[str, Any], run: str) -> None:
    query = "SELECT class_name, iou, tp, fp, fn FROM class_iou('evaluation') WHERE run_name = ?"
    rows = store.sql(query, [run]).fetchall()
    wanted = {name: iou for name, iou in expected["iou"][run].items() if name not in ("mean", "pixel_accuracy")}
    assert {name: round(iou, 6) for name, iou, *_ in rows} == wanted
    for _, iou, tp, fp, fn in rows:
        assert iou == tp / (tp + fp + fn)


@pytest.mark.parametrize("run", RUNS)
def test_mean_iou_is_that_of_numpy(store: maskl.Store, expected: dict[str, Any], run: str) -> None:
    query = "SELECT mean_iou, pixel_accuracy FROM mean_iou('evaluation') WHERE run_name = ?"
    ((mean, accuracy),) = store.sql(query, [run]).fetchall()
    assert round(mean, 6) == expected["iou"][run]["mean"]
    assert round(accuracy, 6) == expected["iou"][run]["pixel_accuracy"]


@pytest.mark.parametrize("run", RUNS)
def test_every_mask_and_frame_is_read_back_identical(store: maskl.Store, run: str) -> None:
    table = store.table("evaluation", run=run)
    assert [row["name"] for row in table] == [path.stem for path in sorted((CAMVID / "images").glob("*.png"))]
    for row in table:
        file, image = f"{row['name']}.png", row["image"]
        assert store.image(image.digest()) == (CAMVID / "images" / file).read_bytes()
        for key, folder in (("ground_truth", CAMVID / "masks"), ("predictions", CAMVID / "predictions" / run)):
            with PILImage.open(folder / file) as original:
                pixels = np.array(original)
            assert image.masks[key].mask_data.dtype == pixels.dtype
            assert np.array_equal(image.masks[key].mask_data, pixels)


def test_frames_are_read_back_as_pixels(store: maskl.Store) -> None:
    for row in store.table("evaluation", run="final")[::20]:
        with PILImage.open(CAMVID / "images" / f"{row['name']}.png") as original:
            assert (row["image"].image.mode, row["image"].image.size) == (original.mode, original.size)
            assert np.array_equal(np.array(row["image"].image), np.array(original))


def test_the_classes_are_those_of_the_data_set(store: maskl.Store) -> None:
    classes = json.loads((CAMVID / "classes.json").read_text())
    for mask in store.table("evaluation")[0]["image"].masks.values():
        assert [item.to_json() for item in mask.class_set] == classes


def test_frames_of_both_runs_are_stored_once(store: maskl.Store, expected: dict[str, Any]) -> None:
    assert store.sql("SELECT count(*) FROM images").fetchall() == [(expected["rows"],)]


def test_the_example_prints_every_class_of_both_runs(printed: tuple[Path, str], expected: dict[str, Any]) -> None:
    for word in (*RUNS, *expected["coverage_pixels"]["ground_truth"], "mean_iou"):
        assert word in printed[1]


# --- the same figures from Python and from the command line ---------------------------------------


def ious(expected: dict[str, Any], run: str) -> dict[str, float]:
    return {name: iou for name, iou in expected["iou"][run].items() if name not in ("mean", "pixel_accuracy")}


def means(expected: dict[str, Any], run: str) -> tuple[float, float]:
    return expected["iou"][run]["mean"], expected["iou"][run]["pixel_accuracy"]


@pytest.fixture
def answered(store: maskl.Store, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    def answered(*arguments: str) -> Any:
        with pytest.raises(SystemExit) as ended:
            app.main([*arguments, "--json", "--dir", str(store.root)])
        assert not ended.value.code
        return json.loads(capsys.readouterr().out)

    return answered


@pytest.fixture(scope="module")
def rows(store: maskl.Store) -> dict[str, list[tuple[Any, Any]]]:
    """Return the pairs of masks of each run, as they are read from the store."""
    return {
        run: [
            (row["image"].masks["ground_truth"], row["image"].masks["predictions"])
            for row in store.table("evaluation", run=run)
        ]
        for run in RUNS
    }


@pytest.mark.parametrize("run", RUNS)
def test_store_metrics_are_those_of_numpy(store: maskl.Store, expected: dict[str, Any], run: str) -> None:
    found = [row for row in store.metrics("evaluation") if row["run_name"] == run]
    assert {row["class_name"]: round(row["iou"], 6) for row in found} == ious(expected, run)
    (mean,) = (row for row in store.metrics("evaluation", by="run") if row["run_name"] == run)
    assert (round(mean["mean_iou"], 6), round(mean["pixel_accuracy"], 6)) == means(expected, run)


@pytest.mark.parametrize("run", RUNS)
def test_metrics_of_stored_masks_are_those_of_numpy(
    rows: dict[str, list[tuple[Any, Any]]], expected: dict[str, Any], run: str
) -> None:
    truths, predictions = zip(*rows[run], strict=True)
    matrix = metrics.confusion_matrix(truths, predictions)
    assert {name: iou and round(iou, 6) for name, iou in matrix.iou().items()} == ious(expected, run)
    assert (round(matrix.mean_iou() or 0, 6), round(matrix.pixel_accuracy() or 0, 6)) == means(expected, run)
    pixels = expected["coverage_pixels"]["ground_truth"]
    assert dict(zip(matrix.truth_classes, matrix.pixels.sum(axis=1).tolist(), strict=True)) == {
        name: count for name, count in pixels.items() if name != "void"
    }


@pytest.mark.parametrize("run", RUNS)
def test_every_row_is_that_of_numpy(
    store: maskl.Store, rows: dict[str, list[tuple[Any, Any]]], expected: dict[str, Any], run: str
) -> None:
    """The figures of single rows are in no file: NumPy counts them here, from the pixels of the PNG files."""
    query = "SELECT _row, {} FROM {}('evaluation') WHERE run_id = (SELECT run_id FROM runs WHERE run_name = ?)"
    found = {
        row: rest for row, *rest in store.sql(query.format("mean_iou, pixel_accuracy", "row_iou"), [run]).fetchall()
    }
    by_class: dict[int, dict[str, float | None]] = {}
    for row, name, iou in store.sql(query.format("class_name, iou", "row_class_iou"), [run]).fetchall():
        by_class.setdefault(row, {})[name] = iou
    classes = {item["id"]: item["name"] for item in json.loads((CAMVID / "classes.json").read_text())}
    assert len(found) == expected["rows"]
    for row, path in enumerate(sorted((CAMVID / "masks").glob("*.png"))):
        truth, predicted = (np.array(PILImage.open(p)) for p in (path, CAMVID / "predictions" / run / path.name))
        kept = truth != 11
        wanted: dict[str, float | None] = {}
        for number, name in classes.items():
            union = int(np.sum(kept & ((truth == number) | (predicted == number))))
            if number != 11:
                wanted[name] = int(np.sum(kept & (truth == number) & (predicted == number))) / union if union else None
        present = {name: iou for name, iou in wanted.items() if iou is not None}
        assert {name: iou for name, iou in by_class[row].items() if iou is not None} == pytest.approx(
            present, rel=1e-12
        )
        right = float(np.mean(truth[kept] == predicted[kept]))
        assert found[row] == pytest.approx([float(np.mean(list(present.values()))), right], rel=1e-12)
        if row % 10 == 0:
            pair = rows[run][row]
            assert metrics.mean_iou(*pair) == pytest.approx(found[row][0], rel=1e-12)
            assert metrics.pixel_accuracy(*pair) == pytest.approx(found[row][1], rel=1e-12)


@pytest.mark.parametrize("run", RUNS)
def test_the_command_line_has_the_figures_of_numpy(
    answered: Callable[..., Any], expected: dict[str, Any], run: str
) -> None:
    found = [row for row in answered("metrics", "evaluation") if row["run_name"] == run]
    assert {row["class_name"]: round(row["iou"], 6) for row in found} == ious(expected, run)
    for mask, key in (("ground_truth", "ground_truth"), ("predictions", run)):
        covered = answered("coverage", "evaluation", "--mask", mask, "--run", run)
        assert {row["class_name"]: row["pixels"] for row in covered} == expected["coverage_pixels"][key]
        assert {row["n_rows"] for row in covered} == {expected["rows"]}
    (mean,) = answered("sql", "FROM mean_iou('evaluation')", "--run", run)
    assert (round(mean["mean_iou"], 6), round(mean["pixel_accuracy"], 6)) == means(expected, run)


def test_the_command_line_compares_both_runs(
    answered: Callable[..., Any], store: maskl.Store, expected: dict[str, Any]
) -> None:
    found = answered("compare", *RUNS)
    for side, run in (("iou_a", RUNS[0]), ("iou_b", RUNS[1])):
        assert {row["class_name"]: round(row[side], 6) for row in found["classes"]} == ious(expected, run)
    for row in found["classes"]:
        assert row["change"] == row["iou_b"] - row["iou_a"]
    assert len(answered("compare", *RUNS, "-n", "1000")["rows"]) == expected["rows"]
    scores = dict(store.sql("SELECT (run_id, _row)::VARCHAR, mean_iou FROM row_iou('evaluation')").fetchall())
    for row in found["rows"]:
        assert row["iou_a"] == scores[f"({row['run_id_a']}, {row['row_a']})"]
        assert row["iou_b"] == scores[f"({row['run_id']}, {row['_row']})"]
        assert row["row_a"] == row["_row"]  # both runs logged the frames in the same order


def test_the_table_for_people_has_every_figure(
    store: maskl.Store, expected: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        app.main(["metrics", "evaluation", "--dir", str(store.root)])
    lines = {line.split("  ")[0]: line.replace("*", " ").split() for line in capsys.readouterr().out.splitlines()}
    for name in ious(expected, RUNS[0]):
        assert lines[name][-2:] == [f"{ious(expected, run)[name]:.4f}" for run in RUNS], name
    for number, name in enumerate(("mean iou", "pixel accuracy")):
        assert lines[name][-2:] == [f"{means(expected, run)[number]:.4f}" for run in RUNS]
