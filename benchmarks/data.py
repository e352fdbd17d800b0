"""Frames and masks to measure with: CamVid's validation split, or a synthetic street without it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

__all__ = ["CLASSES", "Scene", "camvid", "distinct", "enlarged", "moved", "origin", "perturbed", "scenes"]

Mask = npt.NDArray[np.uint8]
Frame = npt.NDArray[np.uint8]

ROOT: Final = Path(__file__).resolve().parent.parent
SIZE: Final = (480, 360)  # width, height
SYNTHETIC: Final = 101
#: id to name, CamVid's eleven classes and void
CLASSES: Final = {
    0: "sky", 1: "building", 2: "pole", 3: "road", 4: "pavement", 5: "tree",
    6: "sign", 7: "fence", 8: "car", 9: "pedestrian", 10: "bicyclist", 11: "void",
}  # fmt: skip
COLORS: Final = np.array(
    [
        (128, 148, 180), (120, 90, 80), (150, 150, 120), (90, 80, 90), (130, 120, 130), (80, 100, 50),
        (160, 110, 110), (90, 90, 110), (80, 40, 90), (90, 80, 60), (60, 110, 140), (20, 20, 20),
    ],
    np.float32,
)  # fmt: skip
#: what stands about in a synthetic street: class, how many, and the ranges of width and height
THINGS: Final = (
    (7, 2, (40, 110), (20, 30)),
    (8, 4, (40, 90), (25, 60)),
    (6, 3, (8, 20), (8, 20)),
    (2, 6, (2, 5), (80, 190)),
    (9, 4, (8, 16), (25, 50)),
    (10, 1, (20, 30), (40, 60)),
)
Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Scene:
    """A frame (H, W, 3), its ground truth (H, W), and two models' predictions."""

    frame: Frame
    truth: Mask
    early: Mask
    final: Mask


def camvid() -> Path | None:
    """Return the folder with CamVid, if there is one: ``$MASKL_CAMVID``, or beside the repository."""
    folder = Path(os.environ.get("MASKL_CAMVID") or ROOT.parent / "shared" / "data" / "camvid")
    return folder if (folder / "classes.json").exists() else None


def origin() -> str:
    """Return which data this is, for the results."""
    return "CamVid's validation split" if camvid() is not None else "synthetic streets (set MASKL_CAMVID for CamVid)"


@cache
def scenes() -> tuple[Scene, ...]:
    """Return the scenes: 101 of 480 × 360 pixels."""
    folder = camvid()
    if folder is None:
        return tuple(_street(np.random.default_rng(seed)) for seed in range(SYNTHETIC))
    known = {item["id"]: item["name"] for item in json.loads((folder / "classes.json").read_text())}
    if known != CLASSES:
        raise ValueError(f"{folder} holds other classes than CamVid's twelve: {known}")
    return tuple(_read(folder, path.name) for path in sorted((folder / "images").glob("*.png")))


def _read(folder: Path, name: str) -> Scene:
    places = ("images", "masks", "predictions/epoch03", "predictions/final")
    frame, truth, early, final = (np.array(Image.open(folder / place / name)) for place in places)
    return Scene(frame, truth, early, final)


def distinct(count: int) -> list[Scene]:
    """Return as many scenes, none equal to another: past the first 101 they are flipped and rolled."""
    originals = scenes()
    made = []
    for number in range(count):
        made.append(moved(originals[number % len(originals)], number // len(originals)))
    return made


def moved(scene: Scene, variant: int) -> Scene:
    """Return the scene itself, or for a variant above 0 a flipped or rolled copy, each different."""
    return scene if variant == 0 else Scene(*(_moved(array, variant) for array in _arrays(scene)))


def enlarged(scene: Scene, size: tuple[int, int]) -> Scene:
    """Return a scene of another width and height: its frame smooth, its masks with the ids that they had."""
    frame, *masks = _arrays(scene)
    smooth = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC))
    return Scene(smooth, *(np.asarray(Image.fromarray(m).resize(size, Image.Resampling.NEAREST)) for m in masks))


def _arrays(scene: Scene) -> Sequence[npt.NDArray[np.uint8]]:
    return scene.frame, scene.truth, scene.early, scene.final


def _moved(array: npt.NDArray[np.uint8], variant: int) -> npt.NDArray[np.uint8]:
    turned: npt.NDArray[np.uint8] = array[:, ::-1] if variant % 2 else array
    moved: npt.NDArray[np.uint8] = np.ascontiguousarray(np.roll(turned, 37 * (variant // 2), axis=1))
    return moved


def perturbed(mask: Mask, seed: int, amplitude: float = 4, patches: int = 4) -> Mask:
    """Return the mask as another epoch of a model would predict it: wavy edges and a few wrong patches."""
    rng = np.random.default_rng(seed)
    height, width = mask.shape
    rows = np.arange(height)[:, None] + _waves(rng, mask.shape, amplitude)
    columns = np.arange(width)[None, :] + _waves(rng, mask.shape, amplitude)
    out: Mask = mask[rows.clip(0, height - 1), columns.clip(0, width - 1)]
    for _ in range(patches):
        y, x = rng.integers(0, height - 8), rng.integers(0, width - 8)
        out[y : y + rng.integers(4, 24), x : x + rng.integers(4, 24)] = rng.integers(0, len(CLASSES))
    return out


def _waves(rng: np.random.Generator, shape: tuple[int, int], amplitude: float) -> npt.NDArray[np.int64]:
    coarse = rng.uniform(-amplitude, amplitude, (shape[0] // 20 + 1, shape[1] // 20 + 1)).astype(np.float32)
    fine = Image.fromarray(coarse).resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
    waves: npt.NDArray[np.int64] = np.rint(np.asarray(fine)).astype(np.int64)
    return waves


def _street(rng: np.random.Generator) -> Scene:
    """Draw a road between buildings, with trees, cars, poles and people, and what two models make of it."""
    width, height = SIZE
    image = Image.new("L", SIZE, 0)
    draw = ImageDraw.Draw(image)
    horizon = int(rng.integers(130, 190))
    _boxes(draw, rng, 1, 8, (60, 150), (90, 220), horizon + 20)
    draw.rectangle((0, horizon + 20, width, height), fill=4)
    draw.polygon([(width // 2 - 30, horizon), (width // 2 + 30, horizon), (width, height), (0, height)], fill=3)
    for _ in range(40):
        x, y, r = (int(rng.integers(*ends)) for ends in ((0, width), (horizon - 80, horizon), (6, 28)))
        draw.ellipse((x - r, y - r, x + r, y + r), fill=5)
    for label, count, w, h in THINGS:
        _boxes(draw, rng, label, count, w, h, horizon + 60)
    _boxes(draw, rng, 11, 3, (5, 60), (2, 12), height)
    truth = perturbed(np.array(image), _seed(rng), amplitude=1, patches=0)
    final = perturbed(truth, _seed(rng), amplitude=2)
    return Scene(_photo(truth, rng), truth, perturbed(final, _seed(rng), amplitude=2, patches=12), final)


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(1 << 32))


def _boxes(
    draw: ImageDraw.ImageDraw,
    rng: np.random.Generator,
    label: int,
    count: int,
    widths: Range,
    heights: Range,
    foot: int,
) -> None:
    for _ in range(count):
        x, w, h = (int(rng.integers(*ends)) for ends in ((0, SIZE[0]), widths, heights))
        bottom = foot + int(rng.integers(-20, 20))
        draw.rectangle((x, bottom - h, x + w, bottom), fill=label)


def _photo(mask: Mask, rng: np.random.Generator) -> Frame:
    """Colour a mask with light that changes slowly and a camera's noise."""
    light = rng.normal(0, 18, (12, 16)).astype(np.float32)
    smooth = np.asarray(Image.fromarray(light).resize(SIZE, Image.Resampling.BICUBIC))
    noise = rng.normal(0, 3, (*mask.shape, 3)).astype(np.float32)
    photo: Frame = (COLORS[mask] + smooth[..., None] + noise).clip(0, 255).astype(np.uint8)
    return photo
