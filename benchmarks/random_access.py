"""Random rows and all rows in order of a large table, decoded, against Lance and Hugging Face ``datasets`` with PNG.

Frames in order become torch's tensors, as a DataLoader without workers reads them: of all three in an environment with
torch, and of maskl from frames in each format.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.metadata import requires, version
from pathlib import Path
from typing import Any, Final

import numpy as np
from blake3 import blake3
from PIL import Image

import maskl
from benchmarks.data import CLASSES, ROOT, Scene, distinct, origin
from benchmarks.peers import environment
from benchmarks.report import Result, at_least, info
from benchmarks.timing import median_ratio, per_second, timed
from maskl.images.formats import ImageFormat
from maskl_storage import StoredTable

__all__ = ["log_scenes", "run"]

ROWS: Final = 100_000
#: rows of the tables with frames: peers keep a copy of the frame in each row
FRAMES: Final = 5_000
SCENES: Final = 404
BLOCK: Final = 5_000
ROUNDS: Final = 5
RANDOM, RANDOM_FRAMES, IN_ORDER, TENSORS = 2_000, 200, 20_000, 400
#: formats of frames, the one that is the default first
FORMATS: Final[tuple[ImageFormat, ...]] = ("webp", "jxl", "png")
TORCH: Final = "torch==2.13.0"
JXL: Final = ("pillow-jxl-plugin",)
PEERS: Final = {"lance": ("pylance", "14.0.2"), "datasets": ("datasets", "5.2.0")}
WORKER: Final = Path(__file__).with_name("random_access_worker.py")


class Peer:
    """A process that reads what it is asked for with one of the peers, or with maskl where torch is."""

    def __init__(self, library: str, folder: Path, *counts: int) -> None:
        self.name, self.folder = " ".join(PEERS.get(library, (library,))), folder
        command = [str(_python(library)), str(WORKER), library, str(folder), *map(str, counts)]
        ours = {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "storage")))} if library == "maskl" else {}
        self._process = subprocess.Popen(
            command,
            env=os.environ | ours,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._answer()
        self.ways: dict[str, str] = {}

    def seconds(self, case: str, rows: list[int]) -> float:
        """Return how long decoding these rows takes."""
        return float(self._ask(case, rows, check=False))

    def sums(self, case: str, rows: list[int]) -> Any:
        """Return the sum of the pixels of each array of these rows."""
        return self._ask(case, rows, check=True)

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _ask(self, case: str, rows: list[int], *, check: bool) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"case": case, "rows": rows, "check": check}) + "\n")
        self._process.stdin.flush()
        found = self._answer()
        self.ways[case] = found["way"]
        return found["answer"]

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process that reads with {self.name} ended: run {WORKER.name} by itself to see why")
        found: dict[str, Any] = json.loads(line)
        return found


def run(scale: float) -> list[Result]:
    """Measure random rows with masks, with the frame too, and all masks in order."""
    rows, frames = max(2_000, round(ROWS * scale)), max(500, round(FRAMES * scale))
    with tempfile.TemporaryDirectory(prefix="maskl-bench-") as temporary:
        folder = Path(temporary)
        scenes = distinct(min(SCENES, frames))
        _write_png(folder, scenes)
        log_scenes(folder, scenes, rows)
        for form in FORMATS:
            log_scenes(folder / form, scenes, frames, image_format=form)
        del scenes
        store = maskl.open(folder)
        table = store.table("evaluation")
        peers: list[Peer] = []
        try:
            for library in PEERS:
                shutil.copytree(folder / "png", folder / library)
                peers.append(Peer(library, folder / library, rows, frames))
            return [*_measure(table, store.root, peers, rows, frames), *_tensors(folder, peers, frames)]
        except (subprocess.CalledProcessError, RuntimeError) as error:
            return [info("Lance and datasets", "not measured", f"could not be installed or run: {error}")]
        finally:
            for peer in peers:
                peer.close()


def _measure(table: StoredTable, store: Path, peers: list[Peer], rows: int, frames: int) -> list[Result]:
    rng = np.random.default_rng(0)
    in_order = min(IN_ORDER, rows // ROUNDS)
    cases: list[tuple[str, str, float, list[list[int]]]] = [
        (
            f"random rows of {rows:,}, two masks decoded ({origin()})",
            "masks",
            3,
            [rng.permutation(rows)[:RANDOM].tolist() for _ in range(ROUNDS + 1)],
        ),
        (
            "random rows, frame and two masks decoded",
            "frames",
            1.5,
            [rng.permutation(frames)[:RANDOM_FRAMES].tolist() for _ in range(ROUNDS + 1)],
        ),
        (
            "rows in order, two masks decoded",
            "masks in order",
            3,
            [list(range(start, start + in_order)) for start in range(0, in_order * ROUNDS, in_order)],
        ),
    ]
    results = []
    for what, case, limit, rounds in cases:
        _check(table, peers, case, rounds[0][:20])
        # the first round of random rows is the warm-up of all: what they keep of files and row groups
        seconds = [
            [
                _cached(store, partial(_read, table, case, some)),
                *(_cached(peer.folder, partial(peer.seconds, case, some)) for peer in peers),
            ]
            for some in rounds
        ]
        ours, *theirs = map(list, zip(*seconds[len(rounds) - ROUNDS :], strict=True))
        for peer, other in zip(peers, theirs, strict=True):
            count = len(rounds[0])
            text = f"{peer.name} ({peer.ways[case]}): {per_second(count, other)}"
            results.append(at_least(what, per_second(count, ours), text, median_ratio(other, ours), limit))
    return results


def _tensors(folder: Path, peers: list[Peer], frames: int) -> Iterator[Result]:
    """Yield how fast frames in order become tensors, from frames in each format."""
    count = min(TENSORS, frames // ROUNDS)
    case, rounds = "tensors in order", [list(range(start, start + count)) for start in range(0, count * ROUNDS, count)]
    for form in FORMATS:
        ours = Peer("maskl", folder / form)
        try:
            for peer in peers:
                if peer.sums(case, rounds[0][:20]) != ours.sums(case, rounds[0][:20]):
                    raise AssertionError(f"{peer.name} reads other pixels ({case})")
            all_ = (ours, *peers)
            seconds = [[_cached(one.folder, partial(one.seconds, case, some)) for one in all_] for some in rounds]
        finally:
            ours.close()
        mine, *theirs = map(list, zip(*seconds, strict=True))
        for peer, other in zip(peers, theirs, strict=True):
            what = f"frames in order as tensors, kept as {form}, with to_torch() and no workers"
            text = f"{peer.name} ({peer.ways[case]}): {per_second(count, other)}"
            ratio, limit = median_ratio(other, mine), 1.8 if form == FORMATS[0] else None
            yield Result(what, per_second(count, mine), text, ratio, limit)


def _cached(folder: Path, read: Callable[[], float]) -> float:
    """Measure with all files in the system's memory: some systems take it back from a process that waits."""
    for path in (path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb", buffering=0) as file:
            while file.read(1 << 22):
                pass
    return read()


def _read(table: StoredTable, case: str, rows: list[int]) -> float:
    """Decode rows, one after the other, and return the seconds; those with frames are named at once."""
    if case == "masks in order":
        return timed(lambda: _decode(table[rows[0] : rows[-1] + 1]))
    if case == "frames":
        return timed(lambda: _decode(table.at(rows), frame=True))
    return timed(lambda: _decode(table[row] for row in rows))


def _decode(rows: Iterable[Any], *, frame: bool = False) -> None:
    for row in rows:
        image = row["image"]
        for mask in image.masks.values():
            mask.mask_data  # noqa: B018  # decodes
        if frame:
            np.asarray(image.image)


def _check(table: StoredTable, peers: list[Peer], case: str, rows: list[int]) -> None:
    """Compare what all read."""
    ours = []
    for row in rows:
        image = table[row]["image"]
        arrays = [image.masks[key].mask_data for key in ("ground_truth", "predictions")]
        arrays += [np.asarray(image.image)] if case == "frames" else []
        ours.append([int(array.sum()) for array in arrays])
    for peer in peers:
        if peer.sums(case, rows) != ours:
            raise AssertionError(f"{peer.name} reads other pixels ({case})")


def _write_png(folder: Path, scenes: list[Scene]) -> None:
    for name, attribute in (("truth", "truth"), ("prediction", "final"), ("frame", "frame")):
        (folder / "png" / name).mkdir(parents=True)
        for number, scene in enumerate(scenes):
            Image.fromarray(getattr(scene, attribute)).save(folder / "png" / name / f"{number:05}.png")


def log_scenes(
    folder: Path, scenes: list[Scene], rows: int, block: int = BLOCK, image_format: ImageFormat | None = None
) -> None:
    """Log the scenes over and over, a block of rows a step; each mask is encoded once, each frame stored once."""
    images = [
        maskl.Image(
            scene.frame,
            masks={
                "ground_truth": {"mask_data": scene.truth, "class_labels": CLASSES},
                "predictions": {"mask_data": scene.final, "class_labels": CLASSES},
            },
        )
        for scene in scenes
    ]
    with maskl.init(dir=folder, name="run", image_format=image_format) as run:
        for start in range(0, rows, block):
            table = maskl.Table(["id", "image", "loss"])
            for number in range(start, min(start + block, rows)):
                table.add_data(number, images[number % len(images)], 1 / (number + 1))
            run.log({"evaluation": table})


def _python(library: str) -> Path:
    """Return the interpreter of an environment with a library and torch; of maskl, with what this process has."""
    if library != "maskl":
        package, number = PEERS[library]
        return environment(f"{package}-{number}-torch", [f"{package}=={number}", TORCH, "pillow", "numpy"])
    names = (re.split(r"[^\w.-]", line)[0] for line in requires("maskl") or () if "extra ==" not in line)
    packages = [f"{name}=={version(name)}" for name in (*names, *JXL)]
    key = blake3(" ".join(packages).encode()).hexdigest()[:8]
    return environment(f"maskl-{key}-torch", [*packages, TORCH])
