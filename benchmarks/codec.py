"""Encoding and decoding of masks, against Pillow's PNG at its default level and plain zstandard."""

from __future__ import annotations

import io
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import zstandard
from PIL import Image

import maskl_storage
from benchmarks import data
from benchmarks.report import Result, at_least, at_most
from benchmarks.timing import alternate, median_ratio

__all__ = ["run"]

ROUNDS: Final = 5
Masks = Sequence[npt.NDArray[np.uint8]]


def run(scale: float) -> list[Result]:
    """Measure CamVid's masks as they are, enlarged, with noise in them, and noise alone."""
    scenes = data.scenes()[: max(4, round(101 * scale))]
    masks = [mask for scene in scenes for mask in (scene.truth, scene.early, scene.final)]
    rng = np.random.default_rng(0)
    every_third = masks[::3] if len(masks) > 30 else masks
    large = [np.ascontiguousarray(mask.repeat(4, 0).repeat(4, 1)) for mask in every_third[::2]]
    plain = _against_png(f"{len(masks)} masks", masks, 0.50, 8, 4)
    if data.camvid() is None:  # these limits are CamVid's
        plain = [replace(result, limit=None) for result in plain]
    return [
        *plain,
        *_against_png(f"{len(large)} enlarged 4×", large, 1, 8, 2),
        *_against_png("1% noise", [_noisy(mask, rng) for mask in every_third], 1, 8, 2),
        _pure_noise(rng, max(5, round(30 * scale))),
    ]


def _against_png(what: str, masks: Masks, share: float, encoding: float, decoding: float) -> list[Result]:
    ours, theirs = [maskl_storage.encode(mask) for mask in masks], [_to_png(mask) for mask in masks]
    for mask, encoded in zip(masks, ours, strict=True):
        if not np.array_equal(maskl_storage.decode(encoded), mask):
            raise AssertionError("a mask came back changed")
    mine, png = statistics.mean(map(len, ours)), statistics.mean(map(len, theirs))
    return [
        at_most(f"{what}: bytes a mask", f"{mine:,.0f}", f"PNG {png:,.0f}", mine / png, share),
        _speed(f"{what}: encode", maskl_storage.encode, masks, _to_png, masks, encoding),
        _speed(f"{what}: decode", maskl_storage.decode, ours, _from_png, theirs, decoding),
    ]


def _speed(
    what: str, ours: Callable[[Any], Any], our_items: Sequence[Any],
    theirs: Callable[[Any], Any], their_items: Sequence[Any], limit: float,
) -> Result:  # fmt: skip
    mine, png = alternate(
        lambda: [ours(item) for item in our_items], lambda: [theirs(item) for item in their_items], rounds=ROUNDS
    )
    return at_least(
        what,
        f"{_micros(mine, our_items)} µs",
        f"PNG {_micros(png, their_items)} µs",
        median_ratio(png, mine),
        limit,
    )


def _micros(seconds: Sequence[float], items: Sequence[Any]) -> str:
    return f"{1e6 * statistics.median(seconds) / len(items):,.0f}"


def _to_png(mask: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    return buffer.getvalue()


def _from_png(data: bytes) -> npt.NDArray[np.uint8]:
    return np.array(Image.open(io.BytesIO(data)))


def _noisy(mask: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    noise = rng.integers(0, len(data.CLASSES), mask.shape, np.uint8)
    return np.where(rng.random(mask.shape) < 0.01, noise, mask)


def _pure_noise(rng: np.random.Generator, count: int) -> Result:
    masks = [rng.integers(0, len(data.CLASSES), (360, 480), np.uint8) for _ in range(count)]
    mine = statistics.mean(len(maskl_storage.encode(mask)) for mask in masks)
    plain = statistics.mean(len(zstandard.ZstdCompressor(level=1).compress(mask.tobytes())) for mask in masks)
    return at_most("noise alone: bytes a mask", f"{mine:,.0f}", f"zstd level 1 {plain:,.0f}", mine / plain, 1.02)
