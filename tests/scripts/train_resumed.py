"""A run that its machine ends in the middle of an epoch, and that goes on under the same id."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np

import maskl as wandb

EPOCHS = 5
CHECKPOINT = "checkpoint.json"


def main(resume: str, killed_at: int) -> None:
    id_file = Path("run_id.txt")
    if not id_file.exists():
        id_file.write_text("0a1b2c3d")
    run = wandb.init(project="resumed", id=id_file.read_text(), resume=resume, config={"epochs": EPOCHS})
    start_epoch = 0
    if wandb.run.resumed:
        with wandb.restore(CHECKPOINT, replace=True, root="restored") as checkpoint:
            start_epoch = json.load(checkpoint)["epoch"] + 1
    print(json.dumps([run.resumed, run.step, start_epoch, run.summary.get("best_dice")]))
    for epoch in range(start_epoch, EPOCHS):
        for batch in range(3):
            wandb.log({"loss": 1 / (1 + epoch * 3 + batch), "epoch": epoch})
            if (epoch, batch) == (killed_at, 1):
                os._exit(137)
        picture = wandb.Image(np.full((4, 6, 3), epoch, "uint8"), caption=f"epoch {epoch}")
        wandb.log({"dice": epoch / 10, "sample": picture})
        run.summary["best_dice"] = epoch / 10
        Path(wandb.run.dir, CHECKPOINT).write_text(json.dumps({"epoch": epoch}))
        wandb.save(os.path.join(wandb.run.dir, CHECKPOINT))
        Path(wandb.run.dir, f"epoch{epoch}.txt").write_text(str(epoch))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
