"""Programs that train a tiny random model with a framework's own logger for W&B, unchanged; none fetches weights.

Text, since the suite collects every module and has none of these frameworks.
"""

from __future__ import annotations

#: nothing leaves this machine: ranks that talk to each other do so on it
GUARD = """
import socket, sys

def connect(self, address, _connect=socket.socket.connect):
    if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost", socket.gethostname()):
        raise AssertionError(f"a connection to {address}")
    return _connect(self, address)

socket.socket.connect = connect
"""

LIGHTNING = """
import lightning, torch
from lightning.pytorch.loggers import WandbLogger
from torch.utils.data import DataLoader, TensorDataset

class Segmentation(lightning.LightningModule):
    def __init__(self, lr=0.1):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Conv2d(3, 2, 1)

    def training_step(self, batch, index):
        images, labels = batch
        loss = torch.nn.functional.cross_entropy(self.layer(images), labels)
        self.log("loss", loss)
        return loss

    def validation_step(self, batch, index):
        images, labels = batch
        found = self.layer(images).argmax(1)
        self.log("accuracy", (found == labels).float().mean(), sync_dist=True)
        classes = {0: "background", 1: "road"}
        masks = {"predictions": {"mask_data": found[0].numpy(), "class_labels": classes}}
        self.logger.log_image("validation", [images[0]], caption=["first"], masks=[masks])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)

if __name__ == "__main__":
    torch.manual_seed(0)
    data = DataLoader(TensorDataset(torch.rand(8, 3, 8, 8), torch.randint(0, 2, (8, 8, 8))), batch_size=2)
    logger = WandbLogger(project="segmentation", name="tiny", save_dir="out", log_model="all")
    kept = lightning.pytorch.callbacks.ModelCheckpoint(monitor="loss", save_top_k=-1)
    trainer = lightning.Trainer(
        callbacks=[kept],
        max_epochs=2, logger=logger, accelerator="cpu", devices=int(sys.argv[2]), strategy=sys.argv[1],
        log_every_n_steps=1, enable_progress_bar=False, enable_model_summary=False,
    )
    logger.watch(torch.nn.Linear(1, 1))
    trainer.fit(Segmentation(), data, data)
    logger.log_table("table", columns=["a", "b"], data=[[1, "x"], [2, "y"]])
"""

ACCELERATE = """
import numpy, torch
from accelerate import Accelerator

accelerator = Accelerator(log_with="wandb", cpu=True)
model = torch.nn.Conv2d(3, 2, 1)
model, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=0.1))
options = {"name": "tiny", "tags": ["a"], "dir": "out"}
accelerator.init_trackers("segmentation", config={"lr": 0.1}, init_kwargs={"wandb": options})
for step in range(4):
    loss = model(torch.rand(2, 3, 8, 8)).square().mean()
    accelerator.backward(loss)
    optimizer.step()
    accelerator.log({"loss": loss.item(), "step": step}, step=step)
if accelerator.is_main_process:
    tracker = accelerator.get_tracker("wandb")
    tracker.log_images({"images": [numpy.zeros((8, 8, 3), numpy.uint8)]}, step=3)
    tracker.log_table("table", columns=["a", "b"], data=[[1, "x"], [2, "y"]], step=3)
accelerator.end_training()
"""

TRANSFORMERS = """
import maskl
maskl.install_as_wandb()
import os
os.environ["WANDB_LOG_MODEL"] = "checkpoint"
import torch
from transformers import SegformerConfig, SegformerForSemanticSegmentation, Trainer, TrainingArguments

sizes = {"depths": [1], "hidden_sizes": [8], "num_attention_heads": [1], "decoder_hidden_size": 8}
per_block = {"sr_ratios": [1], "patch_sizes": [3], "strides": [2], "mlp_ratios": [2]}
config = SegformerConfig(num_encoder_blocks=1, num_labels=2, **sizes, **per_block)

class Scenes(torch.utils.data.Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        torch.manual_seed(index)
        return {"pixel_values": torch.rand(3, 16, 16), "labels": torch.randint(0, 2, (16, 16))}

arguments = TrainingArguments(
    output_dir="checkpoints", run_name="tiny", report_to=["wandb"], num_train_epochs=2, logging_steps=1,
    eval_strategy="epoch", save_strategy="epoch", per_device_train_batch_size=2, use_cpu=True, disable_tqdm=True,
    dataloader_num_workers=1,
)
model = SegformerForSemanticSegmentation(config)
Trainer(model, arguments, train_dataset=Scenes(), eval_dataset=Scenes()).train()
"""

MMENGINE = """
import numpy, torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import Dataset

class Segmentation(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 2, 1)

    def forward(self, images, labels, mode="tensor"):
        return {"loss": torch.nn.functional.cross_entropy(self.layer(images), labels)}

class Scenes(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.rand(3, 8, 8), torch.zeros(8, 8, dtype=torch.long)

backend = {"type": "WandbVisBackend", "init_kwargs": {"project": "segmentation", "name": "tiny", "dir": "out"}}
backend |= {"define_metric_cfg": {"loss": "min"}, "watch_kwargs": {"log": "all"}}
runner = Runner(
    model=Segmentation(),
    work_dir="work",
    train_dataloader={
        "batch_size": 2, "dataset": Scenes(), "collate_fn": {"type": "default_collate"},
        "sampler": {"type": "DefaultSampler", "shuffle": False},
    },
    train_cfg={"by_epoch": True, "max_epochs": 2},
    optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.1}},
    visualizer={"type": "Visualizer", "vis_backends": [backend]},
    default_hooks={"logger": {"type": "LoggerHook", "interval": 1}},
    cfg={"train_cfg": {"max_epochs": 2}},
)
runner.visualizer.add_image("images", numpy.zeros((8, 8, 3), numpy.uint8))
runner.train()
"""

KERAS = """
import keras, numpy
import wandb
from wandb.integration.keras import WandbMetricsLogger

wandb.init(project="segmentation", name="tiny", dir="out")
model = keras.Sequential([keras.layers.Input((8, 8, 3)), keras.layers.Dense(1, activation="sigmoid")])
schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
model.compile(keras.optimizers.SGD(schedule), "mean_squared_error", metrics=["mean_absolute_error"])
images, labels = numpy.random.rand(8, 8, 8, 3), numpy.random.randint(0, 2, (8, 8, 8, 1))
callbacks = [WandbMetricsLogger(log_freq="batch")]
model.fit(images, labels, batch_size=4, epochs=2, validation_split=0.5, callbacks=callbacks, verbose=0)
wandb.finish()
"""

PROGRAMS = {
    "lightning": LIGHTNING,
    "accelerate": ACCELERATE,
    "transformers": TRANSFORMERS,
    "mmengine": MMENGINE,
    "keras": KERAS,
}
