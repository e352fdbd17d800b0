"""Logs with the real W&B, of any version from 0.15, offline, what ``test_wandb_versions.py`` imports.

Run by an interpreter that has W&B: with a folder it logs there; with a file ``.json`` it also packs what was logged
into it, as ``wandb-0.15.json`` is. Two folders have one run, of a job that was resumed.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np

#: what is left out of a recording: what W&B says of the machine
MACHINE = ("requirements.txt", "wandb-metadata.json", "config.yaml", "output.log", "wandb-summary.json")
LABELS = {0: "하늘", 1: "car"}


def pixels(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def mask(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2, (4, 6)).astype(np.uint8)


def log(folder: Path) -> str:
    os.environ |= {
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
        "WANDB_CONSOLE": "off",
        "WANDB_DISABLE_GIT": "true",
        "WANDB_DISABLE_CODE": "true",
        "WANDB_DATA_DIR": str(folder),
        "WANDB_CACHE_DIR": str(folder / "cache"),
    }
    import wandb

    def image(seed: int, **more: object) -> wandb.Image:
        masks = {"ground_truth": {"mask_data": mask(seed), "class_labels": LABELS}}
        box = {"position": {"minX": 0.1, "maxX": 0.5, "minY": 0.2, "maxY": 0.4}, "class_id": 1, "box_caption": "차"}
        boxes = {"predictions": {"box_data": [box], "class_labels": LABELS}}
        return wandb.Image(pixels(seed, 4, 6, 3), caption=f"그림 {seed}", masks=masks, boxes=boxes, **more)

    made = folder / "made"
    made.mkdir()
    for name, data in {"s.wav": b"RIFF....WAVE", "v.mp4": b"\0\0\0\x18ftypmp42", "m.pdb": b"HEADER\n"}.items():
        (made / name).write_bytes(data)
    (made / "model.pt").write_bytes(b"weights")

    def table(number: int) -> wandb.Table:
        classes = wandb.Classes([{"id": id_, "name": name} for id_, name in LABELS.items()])
        columns = ["글", "image", "page", "sound", "video", "molecule", "points"]
        found = wandb.Table(columns=columns)
        found.add_data(
            f"글 {number}",
            image(number, classes=classes),
            wandb.Html(f"<p>{number}</p>", inject=False),
            wandb.Audio(str(made / "s.wav"), caption="소리"),
            wandb.Video(str(made / "v.mp4")),
            wandb.Molecule(str(made / "m.pdb")),
            wandb.Object3D(np.full((2, 3), number)),
        )
        return found

    run = wandb.init(project="camvid", id="run1", name="유넷", dir=str(folder), config={"lr": 0.1, "n": 1}, tags=["a"])
    run.log({"loss": 1.0, "hist": wandb.Histogram(np_histogram=([1, 2], [0, 1, 2]))})
    run.log({"image": image(7), "page": wandb.Html("<p>글</p>", inject=False)})
    run.log({"pages": [wandb.Html("<p>a</p>", inject=False), wandb.Html("<p>b</p>", inject=False)]})
    for step in (10, 11):
        run.log({"val/표": table(step), "loss": 1 / step}, step=step)
    model = wandb.Artifact("unet", "model", description="처음", metadata={"miou": 0.5})
    model.add_file(str(made / "model.pt"), name="best/model.pt")
    model.add_reference("lab://bucket/train.tar", name="train.tar")
    run.log_artifact(model, aliases=["best"])
    run.log({"loss": 0.25}, step=20)
    run.finish()
    run = wandb.init(project="camvid", id="run1", dir=str(folder), config={"n": 2}, reinit=True)
    run.log({"loss": 0.125, "acc": 0.5}, step=11)
    run.log({"loss": 0.0625}, step=21)
    run.finish(exit_code=1)
    return str(wandb.__version__)


def pack(folder: Path, version: str) -> str:
    """Return as JSON what was logged: the files of each run's folder, and those that wait as artifacts."""

    def packed(path: Path) -> str:
        return base64.b64encode(zlib.compress(path.read_bytes(), 9)).decode()

    found = {}
    for above in (*sorted(folder.glob("wandb/offline-run-*")), folder / "artifacts" / "staging"):
        for path in sorted(above.rglob("*")):
            if path.is_file() and path.name not in MACHINE and "logs" not in path.parts:
                found[path.relative_to(folder).as_posix()] = packed(path)
    return json.dumps({"wandb": version, "files": found}, indent=0, ensure_ascii=False) + "\n"


def unpack(recording: Path, folder: Path) -> Path:
    """Write the files of a recording to a folder, and return that."""
    for name, data in json.loads(recording.read_text(encoding="utf-8"))["files"].items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(zlib.decompress(base64.b64decode(data)))
    return folder


if __name__ == "__main__":
    target = Path(sys.argv[1])
    if target.suffix == ".json":
        with tempfile.TemporaryDirectory(prefix="w") as temporary:
            target.write_text(pack(Path(temporary), log(Path(temporary))), encoding="utf-8")
    else:
        log(target)
