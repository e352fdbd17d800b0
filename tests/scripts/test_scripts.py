"""Scripts that train as public code does, with maskl for W&B, each run to its end as a program of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maskl

pytestmark = pytest.mark.once

#: what Python writes of a warning
WARNING = re.compile(r"^\S+:\d+: (\w+): (.*)$", re.MULTILINE)


def run_script(name: str, *args: str, status: int = 0) -> tuple[str, list[tuple[str, str]]]:
    """Run a script to its end; return what it prints, and each of maskl's warnings: its class and how it begins."""
    script = Path(__file__).with_name(name)
    command = [sys.executable, "-W", "always", script, *args]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    warnings = [(kind, " ".join(text.split()[:2])) for kind, text in WARNING.findall(done.stderr)]
    return done.stdout, sorted(warning for warning in warnings if hasattr(maskl.errors, warning[0]))


def history(store: maskl.Store, run: str) -> dict[str, list[Any]]:
    """Return the numbers that a run logged, by key, in order."""
    query = "SELECT key, list(value ORDER BY _step) FROM history WHERE run_id = ? AND value IS NOT NULL GROUP BY key"
    return dict(store.sql(query, [store.run(run).id]).fetchall())


def pixels(image: maskl.Image) -> Any:
    return np.asarray(image.image)


def test_a_unet_logs_batches_histograms_images_and_checkpoints() -> None:
    _, warnings = run_script("train_unet.py")
    assert warnings == [("ServerOnlyWarning", "anonymous='must' only")]
    store = maskl.open()
    (info,) = store.runs()
    assert (info.project, info.state) == ("U-Net", "finished")
    assert info.config == {"epochs": 3, "batch_size": 2, "learning_rate": 0.1, "img_scale": 0.5, "amp": False}

    logged = history(store, info.run_id)
    assert len(logged["train loss"]) == 12
    assert logged["train loss"] == sorted(logged["train loss"], reverse=True)
    assert Counter(logged["step"]) == {number: 1 + (number % 2 == 0) for number in range(1, 13)}
    assert Counter(logged["epoch"]) == {1: 6, 2: 6, 3: 6}
    assert len(logged["validation Dice"]) == len(logged["learning rate"]) == 6
    assert all(0.5 < score < 1 for score in logged["validation Dice"])

    run = store.run(info.run_id)
    for kind in ("Weights", "Gradients"):
        for layer, size in {"inc.double_conv.0": 108, "enc.0": 288, "outc.conv": 24}.items():
            found = run.values(f"{kind}/{layer}")
            assert [step for step, _ in found] == [2, 5, 8, 11, 14, 17]
            assert [sum(histogram.histogram) for _, histogram in found] == [size] * 6
    assert run.summary["train loss"] == logged["train loss"][-1]
    assert run.summary["Weights/enc.0"] == run.values("Weights/enc.0")[-1][1]

    assert {table.name: table.rows for table in store.tables()} == {"images": 6, "masks/true": 6, "masks/pred": 6}
    image, truth, found = (store.table(name)[0]["image"] for name in ("images", "masks/true", "masks/pred"))
    assert pixels(image).shape == (24, 32, 3)
    assert set(np.unique(pixels(truth)).tolist()) == {0, 1, 2}  # three classes, not blurred by a scale
    assert 0.8 < (pixels(truth) == pixels(found)).mean() < 1
    assert (pixels(truth) == pixels(image)[..., 0] // 85.01).mean() > 0.97

    files = store.sql("SELECT path, size FROM run_files ORDER BY path").fetchall()
    paths = [Path(f"checkpoints/checkpoint_epoch{epoch}.npz") for epoch in (1, 2, 3)]
    assert files == [(str(path), path.stat().st_size) for path in paths]


def test_a_loop_like_monais_finds_its_best_checkpoint_again() -> None:
    _, warnings = run_script("train_monai.py")
    assert warnings == [("ServerOnlyWarning", "login() needs"), ("ServerOnlyWarning", "watch() needs")]
    store = maskl.open()
    train, inference = store.runs()
    assert [(run.project, run.job_type, run.state) for run in (train, inference)] == [
        ("brats", "train", "finished"),
        ("brats", "inference", "finished"),
    ]
    assert train.config["roi_size"] == [16, 16, 3]
    logged = history(store, train.run_id)
    assert logged["batch/batch_step"] == list(range(12))
    assert logged["epoch/mean_train_loss"] == [1, 1 / 2, 1 / 3, 1 / 4]
    first, second = logged["validation/mean_dice"]
    assert first > second
    summary = store.run(train.run_id).summary
    assert summary["validation/mean_dice"] == {"max": first}
    assert (summary["best"], summary["epoch/epoch_step"]) == (first, 3)

    versions = store.sql("SELECT version, type, aliases FROM artifacts ORDER BY version").fetchall()
    assert versions == [(0, "model", ["best", "epoch_1"]), (1, "model", ["epoch_3", "latest"])]
    best = store.artifact(f"brats/{train.run_id}-checkpoint:best")
    assert Path(best.file("elsewhere")).read_bytes() == Path("best.npz").read_bytes()

    rows = store.table("predictions", run=train.run_id)
    assert [row["image"].caption for row in rows] == ["slice 0", "slice 1", "slice 2"] * 2
    accuracy = [float(np.mean([score for *_, score in found])) for found in accuracies(rows)]
    assert accuracy == pytest.approx([first, second])
    scored = store.sql("SELECT pixel_accuracy FROM mean_iou('predictions', prediction := 'prediction') ORDER BY _step")
    assert [score for (score,) in scored.fetchall()] == pytest.approx([first, second])
    for row in rows:
        masks = {key: mask.mask_data for key, mask in row["image"].masks.items()}
        assert (masks["ground-truth/Tumor-Core"] == (masks["ground_truth"] == 1)).all()
    rows = store.table("inference", run=inference.run_id)
    assert [row["slice"] for row in rows] == [0, 1, 2]
    assert rows[2]["scores"] == {"Tumor Core": first, "Whole Tumor": None}


def accuracies(rows: Any) -> list[list[tuple[int, float]]]:
    """Return the share of equal pixels of each image, by validation."""
    masks = [row["image"].masks for row in rows]
    scores = [(m["ground_truth"].mask_data == m["prediction"].mask_data).mean() for m in masks]
    return [list(enumerate(scores[:3])), list(enumerate(scores[3:]))]


def test_callbacks_like_yolos_keep_curves_boxes_and_the_best_weights() -> None:
    printed, warnings = run_script("train_yolo.py")
    assert warnings == []
    store = maskl.open()
    (info,) = store.runs()
    assert (info.project, info.name, info.state) == ("runs-detect", "train7", "finished")
    assert info.config == {"epochs": 3, "imgsz": 64, "project": None, "save_dir": "out"}
    run = store.run("train7")
    assert run.values("train/box_loss") == [(1, 1.5), (2, 1.4), (3, 1.3)]
    assert run.values("metrics/mAP50(B)") == [(1, 0.5), (2, 0.7), (3, 0.6)]
    assert run.values("model/parameters") == [(1, 3011043)]
    assert run.values("fitness") == []
    for epoch in range(3):
        (row,) = store.table(f"train_batch{epoch}", step=epoch + 1)
        assert store.image(row["image"].digest()) == Path(f"train_batch{epoch}.jpg").read_bytes()

    labels = json.loads(printed)
    names = ["person", "bicycle", "car"]
    counts = Counter((names[a], names[b]) for a, b in zip(labels["truth"], labels["found"], strict=True))
    matrix = store.sql('SELECT "Actual", "Predicted", "nPredictions" FROM confusion_table').fetchall()
    assert {(a, b): n for a, b, n in matrix if n} == counts
    assert [step for step, _ in run.values("confusion")] == [3]
    for table, columns in {"pr_table": ("recall", "precision"), "roc_table": ("fpr", "tpr")}.items():
        found = store.sql(f"SELECT class, min({columns[0]}), max({columns[0]}) FROM {table} GROUP BY ALL").fetchall()
        assert sorted(found) == [("bicycle", 0, 1), ("car", 0, 1), ("person", 0, 1)]
    for key in ("Precision-Recall(B)", "F1-Confidence(B)"):
        ((_, chart),) = run.values(f"curves/{key}_all")
        assert chart["fields"] == {"x": "x", "y": "y", "class": "class"}
        rows = store.table(chart["table"])
        assert (len(rows), rows[49]) == (150, {"class": "person", "y": 0.75, "x": 1.0})
        assert len(store.table(f"curves/{key}_table")) == 20

    first, second = (row["image"] for row in store.table("Validation/boxes"))
    assert (first.caption, second.caption, first.digest()) == ("val 0", "val 1", second.digest())
    found = store.sql('SELECT unnest(image__boxes__predictions) FROM "Validation/boxes" WHERE index = 0').fetchall()
    boxes = [box for (box,) in found]
    assert [(box["class_name"], box["caption"], box["scores"]) for box in boxes] == [
        ("person", "person 0.90", {"conf": 0.9}),
        ("car", "car 0.50", {"conf": 0.5}),
    ]
    assert [(box["domain"], box["position"]) for box in boxes] == [
        ("pixel", [1, 2, 7, 10]),
        ("pixel", [10, 20, 16, 28]),
    ]
    assert first.boxes["predictions"].box_data == second.boxes["predictions"].box_data

    artifact = store.artifact(f"runs-detect/run_{info.run_id}_model:best")
    assert (artifact.type, artifact.aliases, artifact.file_count) == ("model", ["best", "latest"], 1)
    assert Path(artifact.file("elsewhere")).read_bytes() == b"weights"
    query = "SELECT version, aliases, metadata->>'fitness_score' FROM artifacts WHERE name = ? ORDER BY version"
    assert store.sql(query, [f"checkpoint_{info.run_id}"]).fetchall() == [
        (0, ["epoch 1"], "0.5"),
        (1, ["best", "epoch 2"], "0.7"),
        (2, ["epoch 3", "last", "latest"], "0.6"),
    ]
    best = store.artifact(f"checkpoint_{info.run_id}:best")
    assert Path(best.file("best")).read_text() == "weights of epoch 1"


def test_tables_of_predictions_use_the_images_of_the_reference_table() -> None:
    _, warnings = run_script("reference_table.py")
    assert warnings == []
    store = maskl.open()
    data, evaluation = store.runs()
    assert (data.job_type, evaluation.run_id, evaluation.state) == ("data", "evaluation", "finished")
    reference = store.artifact("cells/val").get("val_data")
    predicted = store.artifact("cells/run_evaluation_pred:epoch").get("eval_data")
    assert isinstance(reference, maskl.Table)
    assert isinstance(predicted, maskl.Table)
    assert predicted == maskl.Table(predicted.columns, [list(row.values()) for row in store.table("eval_data")])
    assert store.sql("SELECT count(*) FROM images").fetchall() == [(4,)]  # each is stored once

    known = {row[0]: row[1] for row in reference.data}
    assert [row[:2] for row in predicted.data] == [[epoch, f"{n}.png"] for epoch in (0, 1) for n in range(4)]
    for _, name, image, *_ in predicted.data:
        assert image.digest() == known[name].digest()
        truth = known[name].masks["ground_truth"]
        assert (image.masks["ground_truth"].mask_data == truth.mask_data).all()
        found = image.masks["prediction"].mask_data
        assert set(np.unique(found[found != truth.mask_data]).tolist()) == {0}
        assert image.masks["prediction"].class_labels == {0: "background", 1: "cell", 2: "border"}
    query = "SELECT epoch, avg(mean_iou) FROM row_iou('eval_data', prediction := 'prediction') "
    query += "JOIN tables.eval_data USING (run_id, _row) GROUP BY epoch ORDER BY epoch"
    (_, before), (_, after) = store.sql(query).fetchall()
    assert 0 < before < after < 1


def test_a_run_that_is_killed_goes_on_where_it_was() -> None:
    printed, warnings = run_script("train_resumed.py", "allow", "2", status=137)
    assert (json.loads(printed), warnings) == ([False, 0, 0, None], [])
    assert maskl.open().run("0a1b2c3d").state == "killed"
    printed, warnings = run_script("train_resumed.py", "must", "3", status=137)
    assert (json.loads(printed), warnings) == ([True, 10, 2, 0.1], [("RecoveryWarning", "a process")])
    printed, warnings = run_script("train_resumed.py", "allow", "9")
    assert (json.loads(printed), warnings) == ([True, 16, 3, 0.2], [("RecoveryWarning", "a process")])

    store = maskl.open()
    (info,) = store.runs()
    assert (info.run_id, info.state, info.config) == ("0a1b2c3d", "finished", {"epochs": 5})
    run = store.run(info.run_id)
    first, second = [0, 0, 0, 1, 1, 1, 2, 2], [2, 2, 2, 3, 3]  # each but its last epoch whole
    assert [epoch for _, epoch in run.values("epoch")] == [*first, *second, 3, 3, 3, 4, 4, 4]
    assert run.values("dice") == [(3, 0), (7, 0.1), (13, 0.2), (19, 0.3), (23, 0.4)]
    assert store.sql("SELECT count(DISTINCT _step), max(_step) FROM history").fetchall() == [(24, 23)]
    assert dict(run.summary) == {"loss": 1 / 15, "epoch": 4, "dice": 0.4, "best_dice": 0.4}
    samples = [row["image"] for row in store.table("sample")]
    assert [(image.caption, pixels(image)[0, 0].tolist()) for image in samples] == [
        (f"epoch {epoch}", [epoch] * 3) for epoch in range(5)
    ]
    files = store.sql("SELECT path FROM run_files ORDER BY path").fetchall()
    assert files == [("checkpoint.json",), *((f"epoch{epoch}.txt",) for epoch in range(5))]
    assert store.verify().clean


def test_processes_log_to_one_run_or_each_to_its_own() -> None:
    _, warnings = run_script("train_processes.py")
    expected = {"mode='online' only": 1, "the setting": 6}
    assert Counter(warnings) == {("ServerOnlyWarning", begins): count for begins, count in expected.items()}
    store = maskl.open()
    runs = {run.name: run for run in store.runs()}
    ranks = ["rank-0", "rank-1", "rank-2"]
    assert sorted(runs) == [*ranks, "rank-zero", "several", "shared-run"]
    assert {run.state for run in runs.values()} == {"finished"}

    assert runs["several"].config == {"lr": 0.5, "shape": [2, 3]}
    logged = history(store, "several")
    assert sorted(logged.pop("epoch")) == [0, 0, 1, 1]
    assert logged == {"loss": [1, 0.5], "worker0/loss": [0, 0], "worker1/loss": [0.5, 0.5]}
    summary = store.run("several").summary
    assert {key: summary[key] for key in logged} == {"loss": 0.5, "worker0/loss": 0, "worker1/loss": 0.5}
    samples = [row["image"] for row in store.table("samples")]
    assert sorted((image.caption, pixels(image).max()) for image in samples) == [("worker 0", 0), ("worker 1", 1)]
    files = store.sql("SELECT path, size FROM run_files ORDER BY path").fetchall()
    assert files == [("worker0.txt", 1), ("worker1.txt", 1)]

    assert history(store, "rank-zero") == {"loss": [1, 1 / 2, 1 / 3, 1 / 4], "rank": [0] * 4}
    assert store.run("rank-zero").summary["rank"] == 0
    assert len(store.table("images")) == 4
    (model,) = store.sql("SELECT name, version FROM artifacts").fetchall()
    assert model == ("ddp-model", 0)
    assert Path(store.artifact("ddp/ddp-model").file("elsewhere")).read_text() == "0"
    for number, name in enumerate(ranks):
        run = runs[name]
        assert (run.group, run.config) == ("ddp-group", {"world_size": 3, "backend": "gloo"})
        assert history(store, name)["loss"] == [number + step for step in range(4)]
    lines = {f"rank{number}/loss": [number + step for step in range(4)] for number in range(3)}
    assert history(store, "shared-run") == lines
    assert store.run("shared-run").summary == {key: line[-1] for key, line in lines.items()}
