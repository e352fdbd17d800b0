"""The CamVid example end to end: every count and ratio as NumPy has them, every mask and frame identical."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

import maskl

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
