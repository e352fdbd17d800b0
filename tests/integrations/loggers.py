"""Loggers as frameworks have them, in our own words: the same names of W&B's module, and the same questions first.

Each takes a folder, logs what that framework logs, and ends the run as it does.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

LABELS = {0: "background", 1: "road"}


def picture() -> np.ndarray[Any, Any]:
    return np.zeros((4, 4, 3), np.uint8)


class LightningLike:
    """Asks for a lowest version, for classes of the inside, and hands its run to spawned processes by an id."""

    def __init__(self, folder: str) -> None:
        found = tuple(map(int, importlib.metadata.version("wandb").split(".")))
        if found < (0, 12, 10):
            raise ModuleNotFoundError("wandb>=0.12.10")
        self.arguments = {"name": None, "project": "lightning_logs", "dir": folder, "id": None, "resume": "allow"}
        self._experiment: Any = None
        self._attach_id: str | None = None

    def __getstate__(self) -> dict[str, Any]:
        import wandb

        wandb.require("service")
        attach_id = getattr(self.experiment, "_attach_id", None)
        return {**self.__dict__, "_attach_id": attach_id, "_experiment": None}

    @property
    def experiment(self) -> Any:
        import wandb
        from wandb.sdk.lib import RunDisabled
        from wandb.wandb_run import Run

        if self._experiment is None:
            if wandb.run is not None:
                self._experiment = wandb.run
            elif self._attach_id is not None and hasattr(wandb, "_attach"):
                self._experiment = wandb._attach(self._attach_id)
            else:
                self._experiment = wandb.init(**self.arguments, anonymous=None)
                if isinstance(self._experiment, Run | RunDisabled) and getattr(self._experiment, "define_metric", None):
                    self._experiment.define_metric("trainer/global_step")
                    self._experiment.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        return self._experiment

    def fit(self, steps: int = 3) -> None:
        import wandb

        self.experiment.config.update({"lr": 0.1, "layers": [3, 2]}, allow_val_change=True)
        for step in range(steps):
            self.experiment.log({"loss": 1 / (step + 1), "trainer/global_step": step})
        mask = {"predictions": {"mask_data": np.eye(4, dtype=np.uint8), "class_labels": LABELS}}
        self.experiment.log({"val": [wandb.Image(picture(), masks=mask)], "trainer/global_step": steps - 1})


def in_child(logger: LightningLike) -> None:
    logger.experiment.config.update({"ranks": 2})
    logger.experiment.log({"child": 1, "trainer/global_step": 3})
    logger.experiment.finish()


def lightning(folder: Path) -> None:
    LightningLike(str(folder)).fit()
    import wandb

    wandb.finish()


def lightning_spawned(folder: Path) -> None:
    logger = LightningLike(str(folder))
    logger.fit()
    child = multiprocessing.get_context("spawn").Process(target=in_child, args=(logger,))
    child.start()
    child.join()
    if child.exitcode:
        raise ChildProcessError(f"the child ended with {child.exitcode}")
    logger.experiment.finish()


def accelerate(folder: Path) -> None:
    """Ask whether the module can be found and the package has metadata; log to the run, configure the module."""
    if importlib.util.find_spec("wandb") is None:
        raise ModuleNotFoundError("wandb")
    importlib.metadata.metadata("wandb")
    import wandb

    run = wandb.init(project="project", dir=str(folder), tags=["a"])
    wandb.config.update({"lr": 0.1}, allow_val_change=True)
    run.log({"loss": 0.5}, step=2)
    run.log({"images": [wandb.Image(picture())]}, step=2)
    run.log({"table": wandb.Table(columns=["a"], data=[[1]], dataframe=None)}, step=3)
    run.finish()


def transformers(folder: Path) -> None:
    """Keep the module, label the run, catch an error of the inside, and read the summary back."""
    if importlib.util.find_spec("wandb") is None:
        raise ModuleNotFoundError("wandb")
    import wandb

    assert hasattr(wandb, "run")
    from wandb.sdk.lib.config_util import ConfigError

    wandb.termwarn("run_name is output_dir", repeat=False)
    if wandb.run is None:
        wandb.init(project=os.getenv("WANDB_PROJECT", "huggingface"), name="bert", dir=str(folder))
    wandb.config.update({"output_dir": "out", "label_names": None}, allow_val_change=True)
    if getattr(wandb, "define_metric", None):
        wandb.define_metric("train/global_step")
        wandb.define_metric("*", step_metric="train/global_step", step_sync=True)
    wandb.run._label(code="transformers_trainer")
    try:
        wandb.config["model/num_parameters"] = 17
        wandb.config["output_dir"] = "elsewhere"
    except ConfigError:
        wandb.run.summary["refused"] = 1
    wandb.run.summary["train_runtime"] = 0.25
    wandb.log({"train/loss": 0.5, "train/global_step": 1})
    kept = {name: value for name, value in dict(wandb.summary).items() if not name.startswith("_")}
    assert kept["train/loss"] == 0.5
    wandb.finish()


def mmengine(folder: Path) -> None:
    """Call the module for all, ask for the code to be kept, and end by an older name."""
    import wandb

    wandb.init(dir=str(folder), project="project")
    wandb.define_metric("loss", summary="min")
    wandb.config.update({"model": {"type": "UNet"}}, allow_val_change=False)
    wandb.run.log_code(name=None)
    wandb.watch(object(), log="all")
    wandb.log({"image": wandb.Image(picture())}, commit=True)
    wandb.log({"loss": np.float32(0.5)}, commit=True)
    wandb.log({"loss": 0.25, "acc": 0.8}, commit=True)
    wandb.join()


def ultralytics(folder: Path) -> None:
    """Tell a package from a folder of its name, log without a commit, and end the run twice."""
    import wandb

    assert hasattr(wandb, "__version__")
    if not wandb.run:
        wandb.init(project="Ultralytics", name="train", config={"epochs": 2}, id="train_1", dir=str(folder))
        for prefix in ("train", "lr"):
            wandb.run.define_metric(f"{prefix}/*", step_metric="epoch")
    wandb.run.config.setdefaults({"epochs": 3, "imgsz": 64})
    for epoch in (1, 2):
        wandb.run.log({"train/seg_loss": 1 / epoch, "epoch": epoch}, commit=False)
        wandb.run.log({"val": wandb.Image(picture())}, commit=False)
        wandb.run.log({"metrics/mAP": 0.5, "epoch": epoch}, commit=True)
    wandb.finish()
    wandb.finish(exit_code=1)


def monai(folder: Path) -> None:
    """Watch the model, draw the labels over slices of a volume, and keep the config as a namespace."""
    import wandb

    with wandb.init(project="spleen", dir=str(folder)) as run:
        config = wandb.config
        config.seed, config.pixdim = 0, (1.5, 1.5, 2.0)
        wandb.watch(object())
        labels = np.eye(4, dtype=np.uint8)
        table = wandb.Table(columns=["slice", "image"])
        for index in range(2):
            masks = {"ground_truth": {"mask_data": labels, "class_labels": {1: "spleen"}}}
            table.add_data(index, wandb.Image(picture(), masks=masks))
        wandb.log({"table": table, "dice": 0.9})
        wandb.summary["best"] = 0.9
        assert run.id == wandb.run.id


def keras(folder: Path) -> None:
    """Train with the callback that W&B's package brings, over what stands for Keras."""
    import wandb
    from wandb.integration.keras import WandbMetricsLogger

    model = SimpleNamespace(optimizer=SimpleNamespace(learning_rate=np.float32(0.5)))
    with wandb.init(project="project", dir=str(folder)):
        logger = WandbMetricsLogger(log_freq=2)
        logger.model = model
        for epoch in range(2):
            for batch in range(4):
                logger.on_train_batch_end(batch, {"loss": np.float64(1 / (batch + 1))})
            logger.on_epoch_end(epoch, {"loss": 0.25, "val_loss": 0.5})
        model.optimizer.learning_rate = lambda batches: 1 / batches
        logger.on_epoch_end(2)


LOGGERS: dict[str, Callable[[Path], None]] = {
    function.__name__: function
    for function in (lightning, accelerate, transformers, mmengine, ultralytics, monai, keras)
}
