"""A validation set logged once as a table in an artifact, and tables of predictions that use its images again."""

from __future__ import annotations

import numpy as np

import maskl as wandb

CLASSES = {0: "background", 1: "cell", 2: "border"}
EPOCHS = 2


def dataset() -> list[tuple[str, np.ndarray, np.ndarray]]:
    generator = np.random.default_rng(3)
    pictures = generator.integers(0, 255, (4, 20, 30, 3), dtype="uint8")
    return [(f"{n}.png", picture, (picture[..., 1] // 86).astype("uint8")) for n, picture in enumerate(pictures)]


def log_dataset() -> None:
    with wandb.init(project="cells", job_type="data") as run:
        classes = wandb.Classes([{"id": number, "name": name} for number, name in CLASSES.items()])
        data_table = wandb.Table(columns=["id", "image", "label"])
        for name, picture, truth in dataset():
            masks = {"ground_truth": {"mask_data": truth, "class_labels": CLASSES}}
            data_table.add_data(name, wandb.Image(picture, masks=masks, classes=classes), int(truth.max()))
        val = wandb.Artifact("val", type="dataset")
        val.add(data_table, "val_data")
        run.use_artifact(val)  # which logs it
        val.wait()
        assert len(val.get("val_data").data) == len(dataset())


class EvalCallback:
    """Builds a table of each epoch's predictions beside the rows of the reference table."""

    def __init__(self) -> None:
        data_artifact = wandb.run.use_artifact("val:latest")
        self.data_table_ref = data_artifact.get("val_data.table.json")
        self.table_idxs = self.data_table_ref.get_index()
        self.pred_table = wandb.Table(columns=["epoch", "id", "image", "pred_label", "correct"])

    def add_model_predictions(self, epoch: int) -> None:
        generator = np.random.default_rng(epoch)
        truths = {name: truth for name, _, truth in dataset()}
        for idx in self.table_idxs:
            name, image, label = self.data_table_ref.data[idx]
            found = np.where(generator.random(truths[name].shape) < 0.5 + epoch / 4, truths[name], 0)
            masks = {
                "ground_truth": {"mask_data": image.masks["ground_truth"].mask_data, "class_labels": CLASSES},
                "prediction": {"mask_data": found, "class_labels": CLASSES},
            }
            picture = wandb.Image(image, masks=masks)
            self.pred_table.add_data(epoch, name, picture, int(found.max()), bool(found.max() == label))

    def log_eval_table(self) -> None:
        pred_artifact = wandb.Artifact(f"run_{wandb.run.id}_pred", type="evaluation")
        pred_artifact.add(self.pred_table, "eval_data")
        wandb.run.log_artifact(pred_artifact, aliases=["latest", "epoch"])
        wandb.run.log({"eval_data": self.pred_table})


def evaluate() -> None:
    wandb.init(project="cells", id="evaluation", job_type="train")
    callback = EvalCallback()
    for epoch in range(EPOCHS):
        wandb.log({"epoch/val_loss": 1 / (epoch + 1)})
        callback.add_model_predictions(epoch)
    callback.log_eval_table()
    wandb.finish()


if __name__ == "__main__":
    log_dataset()
    evaluate()
