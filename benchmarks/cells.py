"""Image cells as the storage package takes them, for stores that are written without images of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from maskl_storage import ImageBytes, ImageCell, count_mask, encode_mask, joint_cells
from maskl_storage.format.metadata import ClassSet

__all__ = ["image_cell", "image_of_all"]


def image_of_all(side: int) -> ImageBytes:
    """Return the image that all rows refer to; it is no picture, and nobody decodes it."""
    return ImageBytes("0" * 64, "png", "L", side, side, b"one image for all rows")


def image_cell(arrays: Mapping[str, npt.NDArray[Any]], class_set: ClassSet) -> ImageCell:
    """Return a cell with these masks, all of one size and square, of the image that all rows refer to."""
    image = image_of_all(next(iter(arrays.values())).shape[0])
    encoded = {key: encode_mask(np.ascontiguousarray(array)) for key, array in arrays.items()}
    masks = {key: count_mask(*parts, class_set, statistics=None) for key, parts in encoded.items()}
    joints = joint_cells({key: runs for key, (_, runs, _) in encoded.items()})
    return ImageCell(image.digest, image.format, image.mode, image.width, image.height, masks=masks, joints=joints)
