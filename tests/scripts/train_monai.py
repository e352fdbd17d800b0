"""A loop like MONAI's tutorials: metrics by epoch, images with masks, and the best checkpoint as an artifact."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

import maskl as wandb

LABELS = {0: "background", 1: "tumor core", 2: "whole tumor", 3: "enhancing tumor"}


def slices(image: np.ndarray, truth: np.ndarray, found: np.ndarray) -> list[wandb.Image]:
    """Return the slices of a volume, each with what is there and what was found; also of one class alone, in floats."""
    core = (truth == 1).astype("float32")
    return [
        wandb.Image(
            image[..., depth],
            masks={
                "ground_truth": {"mask_data": truth[..., depth], "class_labels": LABELS},
                "prediction": {"mask_data": found[..., depth], "class_labels": LABELS},
                "ground-truth/Tumor-Core": {"mask_data": core[..., depth], "class_labels": {0: "none", 1: LABELS[1]}},
            },
            caption=f"slice {depth}",
        )
        for depth in range(image.shape[-1])
    ]


def main() -> None:
    wandb.login()
    config = {"max_train_epochs": 4, "validation_intervals": 2, "roi_size": [16, 16, 3], "lr": 1e-4}
    run = wandb.init(project="brats", job_type="train", config=config)
    config = wandb.config
    wandb.define_metric("epoch/epoch_step")
    wandb.define_metric("epoch/*", step_metric="epoch/epoch_step")
    wandb.define_metric("batch/batch_step")
    wandb.define_metric("batch/*", step_metric="batch/batch_step")
    wandb.define_metric("validation/validation_step")
    wandb.define_metric("validation/*", step_metric="validation/validation_step")
    wandb.define_metric("validation/mean_dice", summary="max")
    wandb.watch(object(), log_freq=10)

    generator = np.random.default_rng(0)
    image = generator.random(config.roi_size, dtype="float32")
    truth = generator.integers(0, len(LABELS), config.roi_size).astype("uint8")
    os.makedirs("checkpoints", exist_ok=True)
    best, batch_step, validation_step = -1.0, 0, 0
    for epoch in range(config.max_train_epochs):
        for _ in range(3):
            wandb.log({"batch/batch_step": batch_step, "batch/train_loss": np.float32(1 / (1 + batch_step))})
            batch_step += 1
        wandb.log({"epoch/epoch_step": epoch, "epoch/mean_train_loss": 1 / (1 + epoch), "epoch/learning_rate": 1e-4})
        if (epoch + 1) % config.validation_intervals == 0:
            share = (0.95, 0.6)[validation_step]
            found = np.where(generator.random(truth.shape) < share, truth, 0).astype("uint8")
            metric = float((found == truth).mean())
            scores = {"tumor_core": metric / 2, "whole_tumor": metric / 3}
            wandb.log(
                {
                    "validation/validation_step": validation_step,
                    "validation/mean_dice": metric,
                    **{f"validation/{name}_dice": score for name, score in scores.items()},
                    "predictions": slices(image, truth, found),
                }
            )
            validation_step += 1
            path = os.path.join("checkpoints", "model.npz")
            np.savez(path, epoch=epoch)
            artifact = wandb.Artifact(name=f"{wandb.run.id}-checkpoint", type="model", metadata={"dice": metric})
            artifact.add_file(local_path=path)
            aliases = [f"epoch_{epoch}"]
            if metric > best:
                best = metric
                aliases.append("best")
                Path("best.npz").write_bytes(Path(path).read_bytes())
            wandb.log_artifact(artifact, aliases=aliases)
    run.summary["best"] = best
    wandb.finish()

    run = wandb.init(project="brats", job_type="inference")
    used = run.use_artifact(f"{wandb.run.entity or 'me'}/brats/{artifact.source_name.split(':')[0]}:best", type="model")
    folder = used.download()
    assert Path(folder, "model.npz").read_bytes() == Path("best.npz").read_bytes()
    assert used.metadata == {"dice": best}
    table = wandb.Table(columns=["slice", "image", "scores"])
    for depth, picture in enumerate(slices(image, truth, truth)):
        table.add_data(depth, picture, {"Tumor Core": best, "Whole Tumor": None})
    wandb.log({"inference": table})
    wandb.finish()


if __name__ == "__main__":
    main()
