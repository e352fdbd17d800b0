"""A trainer that calls back, as YOLO's does: curves, tables, boxes, and the best weights as an artifact."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np

import maskl as wandb

NAMES = {0: "person", 1: "bicycle", 2: "car"}


def custom_table(x: list, y: list, classes: list, title: str) -> object:
    """Return a curve of each class, drawn by a page of the server."""
    table = wandb.Table(columns=["class", "y", "x"])
    for name, across, up in zip(classes, x, y, strict=True):
        table.add_data(name, np.round(up, 3), np.round(across, 3))
    fields = {"x": "x", "y": "y", "class": "class"}
    return wandb.plot_table("wandb/area-under-curve/v0", table, fields=fields, string_fields={"title": title})


def plot_curve(x: np.ndarray, y: np.ndarray, names: list[str], key: str, title: str) -> None:
    places = np.linspace(x[0], x[-1], 20).round(5)
    wandb.run.log({f"curves/{key}": custom_table([*places], [*np.interp(places, x, y.mean(0))], ["mean"] * 20, title)})
    classes = [name for name in names for _ in x]
    wandb.run.log({f"curves/{key}_all": custom_table([*x] * len(names), [*y.ravel()], classes, title)}, commit=False)


def boxed(image: np.ndarray, boxes: np.ndarray, caption: str) -> wandb.Image:
    found = [
        {
            "position": {"minX": x, "minY": y, "maxX": x + 6, "maxY": y + 8},
            "domain": "pixel",
            "class_id": int(number),
            "box_caption": f"{NAMES[int(number)]} {score:.2f}",
            "scores": {"conf": float(score)},
        }
        for x, y, number, score in boxes.tolist()
    ]
    given = {"predictions": {"box_data": found, "class_labels": NAMES}}
    return wandb.Image(image, boxes=given, caption=caption)


def on_pretrain_routine_start(trainer: SimpleNamespace) -> None:
    if not wandb.run:
        wandb.init(project="runs/detect".replace("/", "-"), name=trainer.name, config=vars(trainer.args))


def on_fit_epoch_end(trainer: SimpleNamespace) -> None:
    run = wandb.run or wandb.init(project="lost")
    run.log(trainer.metrics, step=trainer.epoch + 1)
    for path in trainer.plots:
        run.log({path.stem: wandb.Image(str(path))}, step=trainer.epoch + 1)
    trainer.plots = []
    if trainer.epoch == 0:
        run.log({"model/parameters": 3011043, "model/GFLOPs": 8.2}, step=trainer.epoch + 1)


def on_model_save(trainer: SimpleNamespace) -> None:
    trainer.best.with_name("last.pt").write_text(f"weights of epoch {trainer.epoch}")
    score, trainer.best_score = trainer.metrics["metrics/mAP50(B)"], max(trainer.scores_by_epoch[: trainer.epoch + 1])
    art = wandb.Artifact(f"checkpoint_{wandb.run.id}", type="model", metadata={"fitness_score": np.float64(score)})
    art.add_file(str(trainer.best.with_name("last.pt")), name="last.pt")
    best = "best" if score == trainer.best_score else ""
    wandb.log_artifact(art, aliases=["latest", "last", f"epoch {trainer.epoch + 1}", best])


def on_train_epoch_end(trainer: SimpleNamespace) -> None:
    wandb.run.log({"train/box_loss": 1.5 - trainer.epoch / 10}, step=trainer.epoch + 1)
    wandb.run.log({f"lr/pg{n}": np.float64(0.01 / (n + 1)) for n in range(3)}, step=trainer.epoch + 1)


def on_train_end(trainer: SimpleNamespace) -> None:
    step = trainer.epoch + 1
    truth, found = trainer.truth, trainer.scores.argmax(1)
    matrix = wandb.plot.confusion_matrix(y_true=truth.tolist(), preds=found.tolist(), class_names=list(NAMES.values()))
    curves = {
        "confusion": matrix,
        "pr": wandb.plot.pr_curve(truth, trainer.scores, labels=list(NAMES.values())),
        "roc": wandb.plot.roc_curve(truth, trainer.scores, labels=list(NAMES.values())),
    }
    wandb.run.log(curves, step=step)
    wandb.run.log({"Validation/boxes": [boxed(trainer.image, trainer.boxes, f"val {n}") for n in range(2)]}, step=step)
    art = wandb.Artifact(type="model", name=f"run_{wandb.run.id}_model")
    if trainer.best.exists():
        art.add_file(trainer.best)
        wandb.run.log_artifact(art, aliases=["best"])
    x = np.linspace(0, 1, 50)
    for key, title in (("Precision-Recall(B)", "Precision Recall"), ("F1-Confidence(B)", "F1")):
        plot_curve(x, np.stack([1 - x * (n + 1) / 4 for n in range(3)]), list(NAMES.values()), key, title)
    wandb.run.finish()


def main() -> None:
    generator = np.random.default_rng(0)
    args = SimpleNamespace(epochs=3, imgsz=64, project=None, save_dir=Path("out"))
    trainer = SimpleNamespace(name="train7", args=args)
    trainer.truth = generator.integers(0, 3, 60)
    trainer.scores = generator.dirichlet(np.ones(3), 60)
    trainer.image = generator.integers(0, 255, (48, 64, 3), dtype="uint8")
    trainer.boxes = np.array([[1, 2, 0, 0.9], [10, 20, 2, 0.5]])
    trainer.best = Path("weights/best.pt")
    trainer.best.parent.mkdir()
    trainer.best.write_bytes(b"weights")
    trainer.scores_by_epoch = [0.5, 0.7, 0.6]
    on_pretrain_routine_start(trainer)
    for epoch in range(args.epochs):
        trainer.epoch = epoch
        plot = Path(f"train_batch{epoch}.jpg")
        wandb.Image(trainer.image).image.save(plot)
        trainer.plots = [plot]
        trainer.metrics = {"metrics/mAP50(B)": trainer.scores_by_epoch[epoch], "val/cls_loss": 0.7, "fitness": None}
        for call in (on_train_epoch_end, on_fit_epoch_end, on_model_save):
            call(trainer)
    on_train_end(trainer)
    assert wandb.run is None
    print(json.dumps({"truth": trainer.truth.tolist(), "found": trainer.scores.argmax(1).tolist()}))


if __name__ == "__main__":
    main()
