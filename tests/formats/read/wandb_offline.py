"""Logs with the real W&B, offline, what ``test_wandb.py`` imports: run by the interpreter that has it."""

from __future__ import annotations

import datetime
import os
import sys

import numpy as np

os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_DATA_DIR": sys.argv[1]}
import wandb

LABELS = {0: "하늘", 1: "car", 255: "void"}


def pixels(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def mask(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).choice(np.array([0, 1, 255], np.uint8), shape)


def image(seed: int, **more: object) -> wandb.Image:
    masks = {
        "ground_truth": {"mask_data": mask(seed, 12, 16), "class_labels": LABELS},
        "predictions": {"mask_data": mask(seed + 1, 12, 16), "class_labels": LABELS},
    }
    return wandb.Image(pixels(seed, 12, 16, 3), caption=f"그림 {seed}", masks=masks, **more)


def boxes() -> dict[str, object]:
    corners = {"minX": 0.1, "maxX": 0.5, "minY": 0.2, "maxY": 0.4}
    box = {"position": corners, "class_id": 1, "box_caption": "차", "scores": {"score": 0.5}}
    middle = {"position": {"middle": [3, 4], "width": 2, "height": 2}, "domain": "pixel", "class_id": 0}
    return {"predictions": {"box_data": [box, middle], "class_labels": LABELS}}


def table() -> wandb.Table:
    classes = wandb.Classes([{"id": id_, "name": name} for id_, name in LABELS.items()])
    made = wandb.Table(columns=["id", "image", "score", "글", "when", "list", "dict", "array", "flag", "label"])
    for row in range(3):
        made.add_data(
            row,
            image(row, boxes=boxes() if row else None, classes=classes) if row != 1 else None,
            0.5 * row if row else None,
            f"글 {row}",
            datetime.datetime(2024, 1, 1 + row, 3, tzinfo=datetime.timezone.utc),
            [1, 2, row],
            {"k": row},
            np.full((2, 2), row, np.float32),
            bool(row),
            row % 2,
        )
    made.cast("label", classes.get_type())
    return made


def main(folder: str) -> None:
    with wandb.init(
        project="camvid",
        id="first",
        name="유넷",
        group="g",
        job_type="train",
        notes="some notes",
        tags=["a", "b"],
        config={"lr": 0.1, "deep": {"x": [1, 2]}},
        dir=folder,
    ) as run:
        run.define_metric("loss", summary="min")
        for step in range(3):
            run.log({"loss": 1 / (step + 1), "text": f"글 {step}", "nest": {"a": step, "b": {"c": 2 * step}}})
        run.log({"nan": float("nan"), "inf": float("inf"), "big": 1 << 60, "hist": wandb.Histogram([1, 2, 3])}, step=5)
        run.log({"page": wandb.Html("<p>글</p>")}, step=5)
        run.log({"img": image(10, boxes=boxes()), "in": {"side": image(11)}}, step=6)
        run.log({"imgs": [image(20), image(21, boxes=boxes())]}, step=7)
        run.log({"val/평가": table(), "loss": 0.25}, step=8)
        run.log({"val/평가": table()}, step=9)
        growing = wandb.Table(columns=["n"], log_mode="INCREMENTAL")
        changing = wandb.Table(columns=["n"], log_mode="MUTABLE")
        for row in range(3):
            growing.add_data(row)
            changing.add_data(10 * row)
            run.log({"growing": growing, "changing": changing}, step=10 + row)
        mixed = wandb.Table(columns=["any"], data=[[1], ["two"], [None]], allow_mixed_types=True)
        run.log({"mixed": mixed}, step=20)
        run.summary["best"] = {"iou": 0.9}
        run.config.update({"later": 3})
    run = wandb.init(id="second", dir=folder, reinit=True)
    run.log({"x": 1})
    run.finish(exit_code=3)


main(sys.argv[1])
