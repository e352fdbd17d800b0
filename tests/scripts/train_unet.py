"""Training of a U-Net as public repositories write it: every batch a scalar, at validation histograms and images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import maskl as wandb

CHECKPOINTS = Path("checkpoints")


class Net:
    """The weights of a network, and gradients that an optimizer would follow."""

    def __init__(self, classes: int) -> None:
        self.generator = np.random.default_rng(0)
        shapes = {"inc/double_conv.0": (4, 3, 3, 3), "enc.0": (8, 4, 3, 3), "outc.conv": (classes, 8)}
        self.weights = {name: self.generator.normal(size=shape).astype("float32") for name, shape in shapes.items()}
        self.grads: dict[str, np.ndarray] = {}

    def train(self, rate: float) -> float:
        for name, weight in self.weights.items():
            self.grads[name] = weight * np.float32(0.5)
            weight -= np.float32(rate) * self.grads[name]
        return float(sum(np.square(weight).mean() for weight in self.weights.values()))

    def predict(self, mask: np.ndarray) -> np.ndarray:
        return np.where(self.generator.random(mask.shape) < 0.9, mask, 0)


def dice(truth: np.ndarray, found: np.ndarray, classes: int) -> float:
    scores = []
    for number in range(1, classes):
        both = np.count_nonzero((truth == number) & (found == number))
        scores.append(2 * both / max(1, np.count_nonzero(truth == number) + np.count_nonzero(found == number)))
    return float(np.mean(scores))


def train_model(net: Net, classes: int, epochs: int = 3, batch_size: int = 2, learning_rate: float = 1e-1) -> None:
    images = np.random.default_rng(1).random((8, 24, 32, 3), dtype="float32")
    masks = (images[..., 0] * classes).astype("int64")

    experiment = wandb.init(project="U-Net", resume="allow", anonymous="must")
    experiment.config.update(
        {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "img_scale": 0.5, "amp": False}
    )
    global_step = 0
    for epoch in range(1, epochs + 1):
        epoch_loss = 0.0
        for start in range(0, len(images), batch_size):
            loss = net.train(learning_rate)
            global_step += 1
            epoch_loss += loss
            experiment.log({"train loss": loss, "step": global_step, "epoch": epoch})

            if global_step % 2 == 0:
                histograms = {}
                for name, value in net.weights.items():
                    tag = name.replace("/", ".")
                    if not (np.isinf(value) | np.isnan(value)).any():
                        histograms["Weights/" + tag] = wandb.Histogram(value)
                    grad = net.grads[name]
                    if not (np.isinf(grad) | np.isnan(grad)).any():
                        histograms["Gradients/" + tag] = wandb.Histogram(grad)
                found = net.predict(masks[start])
                experiment.log(
                    {
                        "learning rate": learning_rate,
                        "validation Dice": np.float64(dice(masks[start], found, classes)),
                        "images": wandb.Image(images[start]),
                        "masks": {
                            "true": wandb.Image(masks[start].astype("float32")),
                            "pred": wandb.Image(found.astype("float32")),
                        },
                        "step": global_step,
                        "epoch": epoch,
                        **histograms,
                    }
                )
        CHECKPOINTS.mkdir(parents=True, exist_ok=True)
        path = CHECKPOINTS / f"checkpoint_epoch{epoch}.npz"
        np.savez(path, **{name.replace("/", "."): value for name, value in net.weights.items()})
        wandb.save(str(path))


if __name__ == "__main__":
    train_model(Net(classes=3), classes=3)
