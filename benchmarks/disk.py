"""Bytes on disk after ten epochs: the same frames and ground truth, new predictions each time."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from rich.filesize import decimal

import maskl
from benchmarks import data
from benchmarks.peers import WANDB, prepare, run_maskl, run_wandb
from benchmarks.report import Result, at_most, info
from benchmarks.timing import folder_bytes

__all__ = ["run"]

EPOCHS: Final = 10
FRAMES: Final = 101
#: how much of W&B's bytes a store may have, by the format of frames
LIMITS: Final = {"webp": 0.10, "png": 0.13, "jxl": 0.10}


def run(scale: float) -> list[Result]:
    """Measure maskl's store against W&B's run folder and staged artifacts."""
    count = max(8, round(FRAMES * scale))
    scenes = data.distinct(count)
    epochs = [[data.perturbed(s.final, epoch * FRAMES + i) for i, s in enumerate(scenes)] for epoch in range(EPOCHS)]
    with tempfile.TemporaryDirectory(prefix="maskl-bench-") as temporary:
        folder = Path(temporary)
        prepare(folder / "data", scenes, epochs, files=False)
        for form in LIMITS:
            run_maskl("arrays", folder / "data", folder / f"maskl-{form}", form)
        run_wandb("arrays", folder / "data", folder / "wandb")
        return _compare(folder, count)


def _compare(folder: Path, count: int) -> list[Result]:
    run, staged = folder_bytes(folder / "wandb" / "wandb"), folder_bytes(folder / "wandb" / "data")
    theirs = run + staged + folder_bytes(folder / "wandb" / "artifact")
    peer = f"W&B {WANDB}: {decimal(theirs)}; run {decimal(run)}, staged {decimal(staged)}"
    results = []
    for form, limit in LIMITS.items():
        store = folder / f"maskl-{form}" / "maskl-store"
        stored = maskl.open(store).table("evaluation")
        if len(stored) != EPOCHS * count:
            raise AssertionError(f"{EPOCHS * count} rows were logged, and {len(stored)} are stored")
        ours = folder_bytes(store)
        what = f"{EPOCHS} epochs of {count} frames as {form}"
        results += [at_most(what, decimal(ours), peer, ours / theirs, limit), info("of which", _parts(store))]
    return results


def _parts(store: Path) -> str:
    """Return what most of a store's bytes are."""
    kinds = {path.name: folder_bytes(path) for path in store.iterdir() if path.is_dir()}
    return ", ".join(f"{kind} {decimal(count)}" for kind, count in sorted(kinds.items(), key=lambda item: -item[1])[:4])
