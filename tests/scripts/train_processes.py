"""Training in several processes: workers that log to one run, and ranks of which one or all log."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from typing import Any

import numpy as np

import maskl as wandb

WORLD = 3


def worker(number: int, run: wandb.Run, config: Any) -> None:
    """Log to the run of the parent: opened by its id, or as it came in the pickle."""
    if number == 0:
        run = wandb.init(project="processes", id=run.id, resume="allow")
    for epoch in range(2):
        run.log({f"worker{number}/loss": config["lr"] * number, "epoch": epoch})
    run.log({"samples": wandb.Image(np.full((2, 2), number, "uint8"), caption=f"worker {number}")})
    Path(run.dir, f"worker{number}.txt").write_text(str(number))
    if number == 0:
        run.finish()


def rank_zero_logs(rank: int, config: dict[str, Any]) -> None:
    run = wandb.init(project="ddp", name="rank-zero", config=config, mode="online" if rank == 0 else "disabled")
    for step in range(4):
        run.log({"loss": 1 / (1 + step), "rank": rank}, step=step)
        image = wandb.Image(np.zeros((2, 2), "uint8"))
        wandb.log({"images": image}, step=step)
    run.summary["rank"] = rank
    artifact = wandb.Artifact("ddp-model", type="model")
    with artifact.new_file("rank.txt") as file:
        file.write(str(rank))
    artifact.save()
    wandb.finish()


def every_rank_in_a_group(rank: int, config: dict[str, Any]) -> None:
    with wandb.init(project="ddp", group="ddp-group", job_type="train", name=f"rank-{rank}", config=config) as run:
        for step in range(4):
            run.log({"loss": rank + step, "step": step})


def every_rank_in_one_run(rank: int, run_id: str) -> None:
    settings = wandb.Settings(mode="shared", x_primary=rank == 0, x_label=f"rank_{rank}")
    with wandb.init(project="ddp", id=run_id, settings=settings) as run:
        for step in range(4):
            run.log({f"rank{rank}/loss": rank + step})


def rank(number: int, config: dict[str, Any]) -> None:
    """Be one of several ranks, three times."""
    os.environ["RANK"] = str(number)
    rank_zero_logs(number, config)
    every_rank_in_a_group(number, config)
    every_rank_in_one_run(number, "shared-run")


def start(count: int, target: Any, *args: Any) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=target, args=(number, *args)) for number in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0, process.exitcode


def main() -> None:
    run = wandb.init(project="processes", id="several", config={"lr": 0.5, "shape": (2, 3)})
    run.log({"loss": 1.0})
    start(2, worker, run, wandb.config)
    run.log({"loss": 0.5})
    run.finish()
    start(WORLD, rank, {"world_size": WORLD, "backend": "gloo"})


if __name__ == "__main__":
    main()
