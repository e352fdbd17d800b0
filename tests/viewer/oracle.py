"""What the page is to paint, by the design's formula in NumPy: masks and errors over a photo."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from maskl.drawing.overlay import class_color, parse_color

Pixels = npt.NDArray[Any]
RGB = tuple[int, int, int]


def weight_of(opacity: int) -> int:
    """Return the weight of a colour at an opacity in percent."""
    return int(255 * opacity / 100 + 0.5)


def blended(photo: Pixels, color: Pixels, weight: Pixels | int) -> Pixels:
    """Return a colour over a photo, as the design has it."""
    weight = np.asarray(weight, np.int64)[..., None]
    return ((photo.astype(np.int64) * (255 - weight) + color * weight + 127) // 255).astype(np.uint8)


def painted(photo: Pixels, mask: Pixels, colors: Mapping[int, RGB], on: Callable[[int], bool], weight: int) -> Pixels:
    """Return a mask over a photo."""
    ids, places = np.unique(mask, return_inverse=True)
    paint = np.array([colors.get(number) or class_color(number) for number in ids.tolist()])[places].reshape(
        *mask.shape, 3
    )
    shown = np.array([on(number) for number in ids.tolist()])[places].reshape(mask.shape)
    return np.where(shown[..., None], blended(photo, paint, weight), photo)


def named(mask: Pixels, names: Mapping[int, str]) -> Pixels:
    """Return the class of each pixel, by name."""
    ids, places = np.unique(mask, return_inverse=True)
    return np.array([names.get(number, f"class_{number}") for number in ids.tolist()])[places].reshape(mask.shape)


def errors(
    photo: Pixels,
    left: Pixels,
    right: Pixels,
    ignored: str,
    off: Collection[str],
    weight: int,
    colors: Mapping[str, Any],
) -> Pixels:
    """Return the error layer over a photo, of the names of the truth's classes and of the prediction's."""
    counted = left != ignored
    wrong = counted & (left != right)
    left_on, right_on = ~np.isin(left, list(off)), ~np.isin(right, list(off))
    y, x = np.indices(left.shape)
    kinds = [
        (wrong & left_on & ~right_on, colors["missed"], ((x + y) & 7) < 4),
        (wrong & ~left_on & right_on, colors["false"], ((x & 3) < 2) & ((y & 3) < 2)),
        (wrong & left_on & right_on, colors["wrong"], np.full(left.shape, True)),
        (~counted & ((x + y) // 4 % 2 == 0), colors["stripes"][0], np.full(left.shape, True)),
        (~counted & ((x + y) // 4 % 2 == 1), colors["stripes"][1], np.full(left.shape, True)),
    ]
    out = photo.copy()
    for where, color, pattern in kinds:
        layer = blended(photo, np.array(parse_color(color)), np.where(pattern, weight, weight // 2))
        out = np.where(where[..., None], layer, out)
    return out
