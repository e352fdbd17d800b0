"""Frameworks train with their own loggers for W&B, unchanged, and what they log is in the store."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maskl
from tests.integrations.conftest import ROOT
from tests.integrations.programs import GUARD, PROGRAMS

pytestmark = pytest.mark.integrations

AS_WANDB = ("-m", "maskl.as_wandb")
RANKS = ("-m", "torch.distributed.run", "--nproc-per-node=2", "--master-addr=127.0.0.1")


def train(name: str, *arguments: str, way: tuple[str, ...] = AS_WANDB, **variables: str) -> str:
    """Run a program to its end, and return what it printed."""
    Path("train.py").write_text(GUARD + PROGRAMS[name])
    path = os.pathsep.join([str(ROOT), str(ROOT / "storage")])
    offline = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": path, "MASKL_SILENT": ""}
    done = subprocess.run(
        [sys.executable, *way, "train.py", *arguments],
        env={**os.environ, **offline, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def logged(folder: str) -> tuple[maskl.StoredRun, dict[str, list[Any]]]:
    """Return the one run, which ended well, and the values of its history by name."""
    store = maskl.open(folder)
    [info] = store.runs()
    assert info.state == "finished"
    history: dict[str, list[Any]] = {}
    for key, value in store.sql("SELECT key, value FROM history ORDER BY _step, _row").fetchall():
        history.setdefault(key, []).append(value)
    assert store.verify().faults == []
    return store.run(info.run_id), history


@pytest.mark.parametrize(("strategy", "devices"), [("auto", 1), ("ddp", 2), ("ddp_spawn", 2)])
def test_lightning(strategy: str, devices: int) -> None:
    printed = train("lightning", strategy, str(devices))
    assert "watch() needs W&B's server" in printed
    run, history = logged("out")
    steps = 8 // devices
    assert (run.config["lr"], run.name) == (0.1, "tiny")
    assert len(history["loss"]) == steps
    assert all(0 < loss < 2 for loss in history["loss"])
    assert len(history["accuracy"]) == 2
    store = maskl.open("out")
    assert [list(row) for row in store.sql("SELECT a, b FROM tables.table").fetchall()] == [[1, "x"], [2, "y"]]
    images = store.table("validation")
    assert len(images) >= 2 * steps // 2  # each epoch's batches, and those that it tries out first
    mask = images[-1]["image"].masks["predictions"]
    assert (mask.mask_data.shape, mask.class_labels) == ((8, 8), {0: "background", 1: "road"})
    assert images[-1]["image"].caption == "first"
    rows = store.sql("SELECT name, version, aliases FROM artifacts WHERE type = 'model' ORDER BY version").fetchall()
    assert [(name, version) for name, version, _ in rows] == [(f"model-{run.id}", number) for number in range(2)]
    assert "latest" in rows[-1][2]
    assert sum("best" in aliases for _, _, aliases in rows) == 1
    assert Path(store.artifact(f"model-{run.id}:best").file()).stat().st_size > 1000


@pytest.mark.parametrize("way", [AS_WANDB, (*RANKS, *AS_WANDB)], ids=["alone", "torchrun"])
def test_accelerate(way: tuple[str, ...]) -> None:
    train("accelerate", way=way)
    run, history = logged("out")
    assert (run.config["lr"], run.name) == (0.1, "tiny")
    assert len(history["loss"]) == 4
    assert history["step"] == [0, 1, 2, 3]
    store = maskl.open("out")
    assert np.array_equal(store.table("images")[0]["image"].image, np.zeros((8, 8, 3)))
    assert len(store.table("table")) == 2


def test_transformers() -> None:
    train("transformers", way=(), MASKL_DIR="out")
    run, history = logged("out")
    assert run.name == "tiny"
    assert run.config["model/num_parameters"] > 0
    assert run.config["model_type"] == "segformer"
    assert len(history["train/loss"]) == 8
    assert len(history["eval/loss"]) == 2
    assert run.summary["train_runtime"] > 0
    rows = maskl.open("out").sql("SELECT version, aliases FROM artifacts WHERE name = 'model-tiny'").fetchall()
    assert {alias for _, aliases in rows for alias in aliases} >= {"base_model", "final_model", "epoch_2.0", "latest"}


def test_mmengine() -> None:
    printed = train("mmengine")
    assert "log_code() needs W&B's server" in printed
    run, history = logged("out")
    assert len(history["loss"]) == 4
    assert run.summary["loss"] == {"min": pytest.approx(min(history["loss"]))}
    assert run.config["train_cfg"]["max_epochs"] == 2
    assert len(maskl.open("out").table("images")) == 1


def test_keras() -> None:
    train("keras", KERAS_BACKEND="torch")
    _, history = logged("out")
    assert history["epoch/epoch"] == [0, 1]
    assert history["batch/batch_step"] == [0, 1]
    assert history["batch/learning_rate"] == [pytest.approx(0.05), pytest.approx(0.025)]
    for name in ("epoch/loss", "epoch/val_loss", "epoch/mean_absolute_error", "batch/loss"):
        assert len(history[name]) == 2


@pytest.mark.parametrize("way", ["spawn", "forkserver"])
def test_ranks_that_multiprocessing_starts_log_to_one_run(way: str) -> None:
    Path("ranks.py").write_text("""
import sys, torch.multiprocessing
import wandb

def log(rank, run_id):
    with wandb.init(dir="out", id=run_id) as run:
        run.log({f"rank-{rank}": rank})

if __name__ == "__main__":
    torch.multiprocessing.start_processes(log, args=("one",), nprocs=2, start_method=sys.argv[1])
""")
    path = os.pathsep.join([str(ROOT), str(ROOT / "storage")])
    command = [sys.executable, *AS_WANDB, "ranks.py", way]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=True)
    _, history = logged("out")
    assert history == {"rank-0": [0], "rank-1": [1]}
