"""W&B's offline runs: what real W&B wrote, and transaction logs that are torn, altered or meant badly."""

from __future__ import annotations

import json
import math
import shutil
import struct
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maskl
from maskl.errors import ConversionWarning, CorruptData, InvalidValue
from maskl.importing.importer import Imported, import_dataset
from tests.conftest import HANGS, python_of_wandb
from tests.formats.read.test_hostile import BOMB, png
from tests.formats.read.wandb_logs import ENDED, field, history, started, wandb_run

ROOT = Path(__file__).parents[3]
SCRIPT = Path(__file__).with_name("wandb_offline.py")
LABELS = {0: "하늘", 1: "car", 255: "void"}


# --- what real W&B wrote ------------------------------------------------------------------------


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that real W&B logged to, offline."""
    python = python_of_wandb()
    if python is None:
        pytest.skip("needs an environment with W&B: .venv-wandb, or MASKL_WANDB_PYTHON")
    folder = tmp_path_factory.mktemp("wandb")
    done = subprocess.run([python, SCRIPT, folder], capture_output=True, text=True, timeout=HANGS, cwd=folder)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.fixture
def source(written: Path, tmp_path: Path) -> Path:
    """A copy of it, whose log still names the first place of its artifacts."""
    shutil.copytree(written, tmp_path / "elsewhere", symlinks=True)
    return tmp_path / "elsewhere"


def taken(source: Path, tmp_path: Path, **arguments: Any) -> tuple[Imported, maskl.Store]:
    found = import_dataset(source, dir=tmp_path / "store", **arguments)
    return found, maskl.open(tmp_path / "store")


def run_folder(source: Path, run: str = "first") -> Path:
    (folder,) = (source / "wandb").glob(f"offline-run-*-{run}")
    return folder


def pixels(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def mask(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).choice(np.array([0, 1, 255], np.uint8), shape)


def assert_image(image: maskl.Image, seed: int, *, boxes: bool) -> None:
    """Check an image against what the script logged."""
    assert np.array_equal(np.asarray(image.image), pixels(seed, 12, 16, 3))
    assert image.caption == f"그림 {seed}"
    for number, key in enumerate(("ground_truth", "predictions")):
        assert np.array_equal(image.masks[key].mask_data, mask(seed + number, 12, 16))
        assert image.masks[key].class_labels == LABELS
    assert list(image.boxes) == ["predictions"] * boxes
    if boxes:
        found = image.boxes["predictions"]
        assert found.class_labels == LABELS
        assert found.box_data == [
            {
                "position": {"minX": 0.1, "maxX": 0.5, "minY": 0.2, "maxY": 0.4},
                "class_id": 1,
                "box_caption": "차",
                "scores": {"score": 0.5},
            },
            {"position": {"middle": [3, 4], "width": 2, "height": 2}, "domain": "pixel", "class_id": 0},
        ]


def test_a_run_comes_with_all_that_is_said_of_it(source: Path, tmp_path: Path) -> None:
    found, store = taken(source, tmp_path)
    assert found.runs == ("first", "second")
    info = store.run("유넷").info
    assert (info.run_id, info.project, info.group, info.job_type) == ("first", "camvid", "g", "train")
    assert (info.notes, info.tags, info.state) == ("some notes", ("a", "b"), "finished")
    assert info.config == {"lr": 0.1, "deep": {"x": [1, 2]}, "later": 3}
    kept = {
        "loss": {"min": 0.25},
        "text": "글 2",
        "nest": {"a": 2, "b": {"c": 4}},
        "best": {"iou": 0.9},
        "big": 1 << 60,
    }
    assert {key: info.summary[key] for key in kept} == kept
    assert set(info.summary) - set(kept) == {"nan", "inf", "hist", "page"}
    assert store.run("first").summary["hist"] == maskl.Histogram([1, 2, 3])
    assert store.run("second").state == "failed"
    times = [datetime.fromisoformat(str(time)) for time in (info.started, info.finished)]
    assert times[0] <= times[1] < datetime.now(timezone.utc) + timedelta(seconds=1)


def test_the_history_comes_in_order(source: Path, tmp_path: Path) -> None:
    _, store = taken(source, tmp_path)
    history = store.run("first").history().to_pylist()
    assert [(row["_step"], row["value"]) for row in history if row["key"] == "loss"] == [
        (0, 1.0),
        (1, 0.5),
        (2, 1 / 3),
        (8, 0.25),
    ]
    assert [row["text"] for row in history if row["key"] == "text"] == ["글 0", "글 1", "글 2"]
    assert [row["value"] for row in history if row["key"] == "nest/b/c"] == [0, 2, 4]
    last = {row["key"]: row for row in history if row["_step"] == 5}
    assert math.isnan(last["nan"]["value"])
    assert (last["inf"]["value"], last["big"]["value"]) == (math.inf, 1 << 60)
    assert store.run("first").values("hist") == [(5, maskl.Histogram([1, 2, 3]))]
    ((_, page),) = store.run("first").values("page")
    assert isinstance(page, maskl.Html)
    assert "<p>글</p>" in page.read().decode()
    assert not [row for row in history if row["key"].startswith("_")]
    begin = datetime.fromisoformat(str(store.run("first").info.started))
    assert all(begin <= row["_timestamp"] < begin + timedelta(minutes=5) for row in history)


@pytest.mark.parametrize(
    "broken", [{}, {"values": [1], "bins": [0]}, {"values": [1], "packedBins": {}}, {"values": "x", "bins": {"a": 1}}]
)
def test_a_histogram_that_is_none_is_kept_as_text(tmp_path: Path, broken: dict[str, Any]) -> None:
    folder = wandb_run(tmp_path, started(), history(0, {"h": {"_type": "histogram", **broken}}), ENDED)
    with pytest.warns(ConversionWarning, match="1 values of W&B's type 'histogram'"):
        import_dataset(folder, dir=tmp_path / "store")
    ((_, text),) = maskl.open(tmp_path / "store").run("r").values("h")
    assert json.loads(text) == {"_type": "histogram", **broken}


def test_images_come_with_masks_boxes_and_labels(source: Path, tmp_path: Path) -> None:
    _, store = taken(source, tmp_path)
    (row,) = store.table("img")
    assert (row.step, row["index"]) == (6, 0)
    assert_image(row["image"], 10, boxes=True)
    assert_image(store.table("in/side")[0]["image"], 11, boxes=False)
    rows = store.table("imgs")
    assert [row["index"] for row in rows] == [0, 1]
    assert_image(rows[0]["image"], 20, boxes=False)
    assert_image(rows[1]["image"], 21, boxes=True)


def test_tables_come_with_values_of_their_types(source: Path, tmp_path: Path) -> None:
    found, store = taken(source, tmp_path)
    rows = store.table("val/평가", step=8)
    assert (found.rows["val/평가"], len(rows), len(store.table("val/평가", step=9))) == (6, 3, 3)
    for number, row in enumerate(rows):
        assert row["array"].dtype == np.float32
        assert row["array"].tolist() == [[number] * 2] * 2
        assert {key: row[key] for key in row if key not in ("image", "array")} == {
            "id": number,
            "score": 0.5 * number if number else None,
            "글": f"글 {number}",
            "when": datetime(2024, 1, 1 + number, 3, tzinfo=timezone.utc),
            "list": [1, 2, number],
            "dict": {"k": number},
            "flag": bool(number),
            "label": number % 2,
        }
    assert_image(rows[0]["image"], 0, boxes=False)
    assert rows[1]["image"] is None
    assert_image(rows[2]["image"], 2, boxes=True)
    counted = store.sql("SELECT DISTINCT class_name FROM class_coverage('val/평가', step := 8)").fetchall()
    assert {name for (name,) in counted} == set(LABELS.values())


def test_log_modes_bring_each_row_once(source: Path, tmp_path: Path) -> None:
    _, store = taken(source, tmp_path)
    assert [(row.step, row["n"]) for row in store.table("growing")] == [(10, 0), (11, 1), (12, 2)]
    assert [(row.step, row["n"]) for row in store.table("changing")] == [(12, 0), (12, 10), (12, 20)]
    assert [row["any"] for row in store.table("mixed")] == [1, "two", None]


def test_a_source_is_a_log_a_run_or_a_folder_of_runs(source: Path, tmp_path: Path) -> None:
    for name, path in (
        ("a", source / "wandb"),
        ("b", run_folder(source)),
        ("c", next(run_folder(source).glob("*.wandb"))),
    ):
        found = import_dataset(path, dir=tmp_path / name)
        assert found.runs == (("first", "second") if name == "a" else ("first",))
    with pytest.raises(InvalidValue, match=r"'second'.*already"):
        import_dataset(run_folder(source, "second"), dir=tmp_path / "a")
    assert import_dataset(run_folder(source, "second"), dir=tmp_path / "a", run="again", name="other").runs == (
        "again",
    )


def test_artifacts_are_found_beside_the_run_or_where_they_are_said_to_be(
    source: Path, tmp_path: Path, written: Path
) -> None:
    staging = source / "artifacts" / "staging"
    moved = staging.rename(tmp_path / "moved")
    hidden = (written / "artifacts").rename(written / "hidden")
    try:
        with pytest.raises(InvalidValue, match=r"step 8, 'val/평가'.*--staging"):
            import_dataset(source, dir=tmp_path / "store")
        assert not (tmp_path / "store").exists()
        taken(source, tmp_path, staging=moved)
        found, store = taken(source, tmp_path / "part", skip_bad=True)
        assert (found.skipped, len(store.table("img"))) == (7, 1)
    finally:
        hidden.rename(written / "artifacts")


def test_what_was_altered_is_refused_or_skipped(source: Path, tmp_path: Path) -> None:
    media = next((run_folder(source) / "files/media/images").glob("img_*.png"))
    media.write_bytes(png())
    with pytest.raises(CorruptData, match=r"step 6, 'img'.*SHA-256"):
        import_dataset(source, dir=tmp_path / "store")
    assert not (tmp_path / "store").exists()
    found, store = taken(source, tmp_path, skip_bad=True)
    assert (found.skipped, found.rows["img"]) == (1, 0)
    assert "row 0" in found.problems[0]
    assert len(store.table("val/평가")) == 6


# --- logs that nobody wrote in good faith -------------------------------------------------------


def test_a_log_over_many_blocks(tmp_path: Path) -> None:
    text = "가" * 50_000
    folder = wandb_run(tmp_path, started(), history(0, {"a": text}), history(1, {"b": 2}), ENDED)
    import_dataset(folder, dir=tmp_path)
    found = maskl.open(tmp_path).run("r")
    assert [(row["key"], row["value"], row["text"]) for row in found.history().to_pylist()] == [
        ("a", None, text),
        ("b", 2.0, None),
    ]


def test_a_killed_run_is_taken_up_to_its_last_whole_record(tmp_path: Path) -> None:
    folder = wandb_run(tmp_path, started(), history(0, {"a": 1}), history(1, {"a": 2}), cut=-3)
    import_dataset(folder, dir=tmp_path)
    found = maskl.open(tmp_path).run("r")
    assert (found.state, found.history()["value"].to_pylist()) == ("killed", [1.0])


def test_an_altered_log_is_refused(tmp_path: Path) -> None:
    folder = wandb_run(tmp_path, started(), history(0, {"a": 1}), ENDED)
    log = folder / "run-r.wandb"
    data = log.read_bytes()
    for position in range(len(data)):
        log.write_bytes(data[:position] + bytes([data[position] ^ 4]) + data[position + 1 :])
        if position in range(4, 7) or _is_length(data, position):  # the version; a length past the end is a torn tail
            continue
        with pytest.raises(CorruptData, match=r"run-r\.wandb"):
            import_dataset(folder, dir=tmp_path / "store", format="wandb")
    log.write_bytes(b"")
    with pytest.raises(CorruptData, match="not a transaction log"):
        import_dataset(folder, dir=tmp_path / "store")
    assert not (tmp_path / "store").exists()


def _is_length(data: bytes, position: int) -> bool:
    at = 7
    while at < len(data):
        if at + 4 <= position < at + 6:
            return True
        at += 7 + struct.unpack_from("<H", data, at + 4)[0]
    return False


@pytest.mark.parametrize(
    ("path", "words"),
    [("../../secret.png", "leads out of"), ("/etc/hostname", "leads out of"), ("media/none.png", "there is no file")],
)
def test_media_stay_below_the_run(tmp_path: Path, path: str, words: str) -> None:
    (tmp_path / "secret.png").write_bytes(png())
    image = {"_type": "image-file", "path": path}
    folder = wandb_run(tmp_path, started(), history(3, {"img": image}), ENDED)
    with pytest.raises(InvalidValue, match=f"step 3, 'img'.*{words}"):
        import_dataset(folder, dir=tmp_path / "store")
    found = import_dataset(folder, dir=tmp_path / "store", skip_bad=True)
    assert (found.skipped, found.rows) == (1, {"img": 0})


def test_a_bomb_among_the_media(tmp_path: Path) -> None:
    images = {"_type": "images/separated", "filenames": ["media/a.png", "media/b.png"], "captions": ["a", "b"]}
    folder = wandb_run(tmp_path, started(), history(0, {"imgs": images}), ENDED)
    (folder / "files/media/a.png").write_bytes(png())
    (folder / "files/media/b.png").write_bytes(BOMB)
    with pytest.raises(InvalidValue, match=r"row 1.*'imgs'.*pixels"):
        import_dataset(folder, dir=tmp_path / "store")
    import_dataset(folder, dir=tmp_path / "store", skip_bad=True)
    assert [row["image"].caption for row in maskl.open(tmp_path / "store").table("imgs")] == ["a"]


def test_artifacts_outside_a_staging_folder_are_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps({"columns": ["a"], "data": [["secret"]]}))
    entry = field(1, "t.table.json") + field(2, "x") + field(6, str(secret))
    artifact = field(8, field(4, "run_table") + field(12, field(4, entry)) + field(15, "client"))
    value = {"_type": "table-file", "artifact_path": "wandb-client-artifact://client/t.table.json"}
    folder = wandb_run(tmp_path, started(), artifact, history(0, {"t": value}), ENDED)
    with pytest.raises(InvalidValue, match="staging"):
        import_dataset(folder, dir=tmp_path / "store")


def test_pickled_arrays_are_not_unpickled(tmp_path: Path) -> None:
    import base64
    import hashlib
    import io

    buffer = io.BytesIO()
    np.savez(buffer, a=np.array([np.zeros(1), None], object))
    body = {
        "columns": ["a"],
        "data": [[None], [None]],
        "column_types": {
            "params": {
                "type_map": {
                    "a": {"wb_type": "ndarray", "params": {"serialization_path": {"path": "a.npz", "key": "a"}}}
                }
            }
        },
    }
    staging = tmp_path / "artifacts" / "staging"
    staging.mkdir(parents=True)
    files = {"t.table.json": json.dumps(body).encode(), "a.npz": buffer.getvalue()}
    entries = b""
    for name, data in files.items():
        (staging / name).write_bytes(data)
        digest = base64.b64encode(hashlib.md5(data).digest()).decode()
        entries += field(4, field(1, name) + field(2, digest) + field(6, f"/gone/artifacts/staging/{name}"))
    artifact = field(8, field(4, "run_table") + field(12, entries) + field(15, "client"))
    value = {
        "_type": "table-file",
        "artifact_path": "wandb-client-artifact://client/t.table.json",
        "path": "media/t.table.json",
    }
    folder = wandb_run(tmp_path / "wandb", started(), artifact, history(0, {"t": value}), ENDED)
    (folder / "files/media/t.table.json").write_text(json.dumps({"columns": ["a"], "data": [[[1.5, 2.5]], [None]]}))
    import_dataset(folder, dir=tmp_path)
    rows = maskl.open(tmp_path).table("t")
    assert [None if row["a"] is None else row["a"].tolist() for row in rows] == [[1.5, 2.5], None]
