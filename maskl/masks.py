"""Questions about single masks: the pixel-level functions of SQL (``mask_area``, ``mask_bbox``, …) in Python.

A mask is an array of integers or booleans, shape (H, W), an :class:`maskl.ImageMask`, or the bytes of
a stored mask, such as SQL returns from a mask's column. All of it is computed from runs of equal
pixels; what is stored is not decoded, save by :func:`png` and :func:`crop`.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy.typing as npt

from maskl.annotations.classes import class_id
from maskl.annotations.mask import ImageMask, mask_array
from maskl_storage.errors import InvalidType
from maskl_storage.masks import measures
from maskl_storage.masks.codec import decode, encode, find_runs, mask_info, runs_of
from maskl_storage.masks.measures import Box, Rle
from maskl_storage.masks.png import mask_png
from maskl_storage.masks.run_lengths import Runs

__all__ = ["Box", "Rle", "area", "bbox", "classes", "crop", "iou", "png", "rle", "run_lengths", "runs", "shape"]

#: an array of class ids, a mask, or an encoded mask
MaskLike = npt.ArrayLike | ImageMask | bytes | bytearray | memoryview


def shape(mask: MaskLike) -> tuple[int, int]:
    """Return ``(H, W)``; in SQL ``mask_shape(b)``.

    Examples
    --------
    >>> shape([[0, 1, 1], [1, 1, 0]])
    (2, 3)
    """
    if isinstance(mask, ImageMask):
        return mask.shape
    if isinstance(mask, bytes | bytearray | memoryview):
        return mask_info(mask).shape
    height, width = mask_array(mask).shape
    return height, width


def classes(mask: MaskLike) -> list[int]:
    """Return the class ids that are present, ascending; in SQL ``mask_classes(b)``.

    Examples
    --------
    >>> classes([[7, 0], [7, 255]])
    [0, 7, 255]
    """
    return measures.classes(run_lengths(mask))


def png(mask: MaskLike) -> bytes:
    """Return a PNG file whose grey values are the class ids; in SQL ``mask_png(b)``.

    Eight bits a pixel (Pillow's mode ``L``), or 16 (``I;16``) where an id exceeds 255. A dtype that these bits do
    not tell stands in the text ``maskl:dtype``.

    Raises
    ------
    InvalidValue
        An id below 0 or above 65,535.

    Examples
    --------
    >>> import io
    >>> import numpy as np
    >>> from PIL import Image
    >>> np.array(Image.open(io.BytesIO(png([[0, 1], [2, 255]])))).tolist()
    [[0, 1], [2, 255]]
    """
    return mask_png(_encoded(mask))


def rle(mask: MaskLike, class_id: int) -> Rle:
    """Return one class as COCO's compressed run lengths, as pycocotools reads them; in SQL ``mask_rle(b, class_id)``.

    Returns
    -------
    dict
        ``size``: ``[H, W]``; ``counts``: the run lengths, down the columns, as text.

    Examples
    --------
    >>> rle([[0, 1, 1], [1, 1, 0]], 1)
    {'size': [2, 3], 'counts': '141'}
    """
    return measures.rle(run_lengths(mask), _id(class_id))


def area(mask: MaskLike, class_id: int) -> int:
    """Return the number of pixels of a class; in SQL ``mask_area(b, class_id)``.

    Examples
    --------
    >>> area([[0, 1, 1], [1, 1, 0]], 1)
    4
    """
    return measures.area(run_lengths(mask), _id(class_id))


def bbox(mask: MaskLike, class_id: int) -> Box | None:
    """Return the smallest box around a class, None where it is absent; in SQL ``mask_bbox(b, class_id)``.

    Examples
    --------
    >>> bbox([[0, 0, 1], [0, 1, 1]], 1)
    {'x': 1, 'y': 0, 'width': 2, 'height': 2}
    """
    return measures.bbox(run_lengths(mask), _id(class_id))


def iou(a: MaskLike, b: MaskLike, class_id: int) -> float | None:
    """Return intersection over union of one class of two masks; in SQL ``mask_iou(a, b, class_id)``.

    It knows no ignored pixels and no class names: :mod:`maskl.metrics` does.

    Returns
    -------
    float or None
        None where neither mask has the class, and where the masks differ in size.

    Examples
    --------
    >>> iou([[0, 1, 1]], [[1, 1, 0]], 1)
    0.3333333333333333
    """
    return measures.iou(run_lengths(a), run_lengths(b), _id(class_id))


def crop(mask: MaskLike, x: int, y: int, width: int, height: int) -> npt.NDArray[Any]:
    """Return the part of a mask that lies in a box, dtype as before; in SQL ``mask_crop(b, x, y, w, h)``, encoded.

    Raises
    ------
    InvalidValue
        The box is empty or leaves the mask.

    Examples
    --------
    >>> crop([[0, 1, 2], [3, 4, 5]], 1, 0, 2, 1).tolist()
    [[1, 2]]
    """
    return decode(measures.crop(_encoded(mask), x, y, width, height))


def run_lengths(mask: MaskLike) -> Runs:
    """Return the runs of equal pixels of a mask, which everything here is computed from.

    Raises
    ------
    InvalidType, InvalidValue
        Not an array of two dimensions, of integers or booleans, within signed 32 bits.
    CorruptData
        Bytes that are no stored mask.

    Examples
    --------
    >>> run_lengths([[5, 5, 0], [0, 0, 5]]).starts
    array([0, 2, 5])
    """
    if isinstance(mask, ImageMask):
        return mask.runs
    if isinstance(mask, bytes | bytearray | memoryview):
        return runs_of(mask)
    return find_runs(mask_array(mask))


def runs(mask: MaskLike) -> Runs:
    """Return :func:`run_lengths`, of which this is the deprecated name."""
    warnings.warn("maskl.masks.runs() is deprecated: it is called run_lengths() now", DeprecationWarning, stacklevel=2)
    return run_lengths(mask)


def _encoded(mask: MaskLike) -> bytes | bytearray | memoryview:
    if isinstance(mask, ImageMask):
        return mask.data
    return mask if isinstance(mask, bytes | bytearray | memoryview) else encode(mask_array(mask))


def _id(value: object) -> int:
    if isinstance(value, str):
        raise InvalidType(f"a class id is needed, an integer; got {value!r:.60}: names are for maskl.metrics")
    return class_id(value, "class_id")
