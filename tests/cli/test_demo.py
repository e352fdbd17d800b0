from __future__ import annotations

import io
import json
import shlex
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image as PILImage

import maskl
from maskl.cli import _demo as demo
from maskl.cli.app import main
from maskl.drawing.overlay import class_color, class_colors, legend, overlay, parse_color, side_by_side
from maskl.errors import InvalidValue
from maskl_storage import ClassItem

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("demo") / "한글 demo"
    demo.run(directory)
    return directory


def test_store_has_two_runs_and_a_rare_class(made: Path) -> None:
    store = maskl.open(made)
    assert [run.name for run in store.runs()] == ["baseline", "improved"]
    iou = dict(store.sql("SELECT run_name, mean_iou FROM mean_iou('evaluation')").fetchall())
    assert iou["improved"] > iou["baseline"] + 0.2
    query = "SELECT run_name, iou FROM class_iou('evaluation') WHERE class_name = 'pedestrian' ORDER BY run_name"
    (_, baseline), (_, improved) = store.sql(query).fetchall()
    assert baseline == 0
    assert improved > 0.5
    rare = store.sql("SELECT DISTINCT class_name FROM class_coverage('evaluation') WHERE coverage < 0.01").fetchall()
    assert rare == [("pedestrian",)]


def test_parquet_needs_nothing_else(made: Path) -> None:
    path = made / "evaluation.parquet"
    table = pq.read_table(path)
    assert table.num_rows == 48
    assert [item["name"] for item in json.loads(table.schema.metadata[b"classes"])][-2:] == ["pedestrian", "void"]
    store = maskl.open(made)
    for stored, row in zip(store.table("evaluation"), table.to_pylist(), strict=True):
        assert (stored["name"], store.run(stored.run_id).name) == (row["name"], row["run"])
        image = np.asarray(PILImage.open(io.BytesIO(row["image"])))
        assert np.array_equal(image, np.asarray(stored["image"].image))
        for key in ("ground_truth", "predictions"):
            mask = np.asarray(PILImage.open(io.BytesIO(row[f"{key}_png"])))
            assert np.array_equal(mask, stored["image"].masks[key].mask_data)
        truth = stored["image"].masks["ground_truth"].mask_data
        predicted = stored["image"].masks["predictions"].mask_data
        assert row["pixel_accuracy"] == pytest.approx((truth == predicted)[truth != 255].mean())
        assert row["mean_iou"] == pytest.approx(mean_iou(truth, predicted))
        assert sum(row["pixels"].values()) == truth.size
    query = f"SELECT run, avg(mean_iou) AS m FROM '{path}' WHERE pixels.pedestrian > 0 GROUP BY run ORDER BY m"
    assert [run for run, _ in duckdb.sql(query).fetchall()] == ["baseline", "improved"]


def mean_iou(truth: np.ndarray, predicted: np.ndarray) -> float:
    truth, predicted = truth[truth != 255], predicted[truth != 255]
    found = np.union1d(truth, predicted)
    return float(
        np.mean([((truth == c) & (predicted == c)).sum() / ((truth == c) | (predicted == c)).sum() for c in found])
    )


def test_picture_opens(made: Path) -> None:
    with PILImage.open(made / "comparison.png") as picture:
        picture.load()
        assert picture.format == "PNG"
        assert picture.width > 4 * 320
        assert picture.height > 240


def test_output_says_what_to_do_next_and_it_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    demo.run(Path("my demo"))
    out = capsys.readouterr().out
    for query in (demo.TRUTH_SQL, demo.COVERAGE_SQL, demo.IOU_SQL):
        assert f"     {query}\n" in out
    tried, _, looked = out.partition("Try next:\n")[2].partition("\n\n")
    assert looked.splitlines()[-1].strip() == "maskl view --dir 'my demo'"
    commands = [line.strip() for line in tried.splitlines() if line]
    assert len(commands) == 4
    for command in commands:
        name, *words = shlex.split(command)
        assert name == "maskl"
        with pytest.raises(SystemExit) as exit_:
            main(words)
        assert exit_.value.code == 0, command
        assert len(capsys.readouterr().out.splitlines()) > 2


def test_made_again_it_replaces_itself_and_nothing_else(tmp_path: Path) -> None:
    directory = tmp_path / "again"
    demo.run(directory)
    (directory / "notes.txt").write_text("mine")
    first = {run.run_id for run in maskl.open(directory).runs()}
    demo.run(directory)
    second = {run.run_id for run in maskl.open(directory).runs()}
    assert len(second) == 2
    assert not first & second
    assert (directory / "notes.txt").read_text() == "mine"


def test_directory_of_something_else_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(SystemExit) as exit_:
        main(["demo", "--dir", str(tmp_path)])
    out, err = capsys.readouterr()
    assert (exit_.value.code, out) == (2, "")
    assert "not the demo's" in err
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(InvalidValue, match="is a file"):
        demo.run(tmp_path / "thesis.tex")
    with pytest.raises(InvalidValue, match="name of a store"):
        demo.run(tmp_path / "maskl-store")


def test_a_run_of_the_users_own_is_kept(tmp_path: Path) -> None:
    demo.run(tmp_path)
    with maskl.init(project="mine", name="precious", dir=tmp_path) as run:
        run.log({"loss": 1.0})
    with pytest.raises(InvalidValue, match="precious"):
        demo.run(tmp_path)
    assert len(maskl.open(tmp_path).runs()) == 3


# --- overlay ------------------------------------------------------------------------------------


def test_palette_is_deterministic_and_distinct() -> None:
    colors = [class_color(number) for number in range(24)]
    assert colors == [class_color(number) for number in range(24)]
    distances = [
        sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) ** 0.5
        for index, a in enumerate(colors)
        for b in colors[:index]
    ]
    assert min(distances) > 20
    assert class_color(-1) != class_color(2**31 - 1)


def test_class_colors_prefer_the_classes_own() -> None:
    items = [ClassItem(0, "a", "#010203", False), ClassItem(1, "b", None, False), ClassItem(2, "c", None, True)]
    assert class_colors(items) == {0: (1, 2, 3), 1: class_color(1), 2: (96, 96, 96)}
    assert parse_color("#FFffFF") == (255, 255, 255)


def test_overlay_mixes_colors_outlines_and_leaves_hidden_classes() -> None:
    image = PILImage.new("L", (8, 6), 100)
    mask = np.array([[0, 7], [0, 7]], np.int64)
    drawn = np.asarray(overlay(image, mask, {0: (200, 0, 0)}, alpha=0.5, hidden=[7]))
    assert drawn.shape == (6, 8, 3)
    assert drawn[0, 0].tolist() == [150, 50, 50]
    assert drawn[0, 7].tolist() == [100, 100, 100]
    assert drawn[0, 4].tolist() == [201, 201, 201]  # the outline, where the mask changes
    boolean = np.asarray(overlay(image, np.ones((6, 8), np.bool_), {}, alpha=1))
    assert tuple(boolean[0, 0].tolist()) == class_color(1)


def test_legend_wraps_and_panels_stand_side_by_side() -> None:
    entries = [(f"class {number}", class_color(number)) for number in range(12)]
    assert legend(entries, 300).height > legend(entries, 3000).height
    panel = PILImage.new("RGB", (100, 80))
    sheet = side_by_side([("a", panel), ("b", panel)], entries)
    assert sheet.width > 200
    assert sheet.height > 80
