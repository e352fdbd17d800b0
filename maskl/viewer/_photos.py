"""Photos as browsers can show them: as they are stored where that is so, else as PNG of their pixels."""

from __future__ import annotations

import io
import threading
from typing import Final

import numpy as np
from PIL import Image as PILImage

from maskl.adapters.pictures import UNREADABLE, open_picture, open_reduced, too_large
from maskl.drawing.panels import encode_picture, fit, shown_pixels
from maskl.viewer._masks import check_pixels
from maskl_storage.errors import CorruptData
from maskl_storage.images.jxl import is_jxl, size_of
from maskl_storage.masks.png import frame_png

__all__ = ["photo_of"]

#: what browsers show, by Pillow's name: its media type, and the pixel formats of it that they show
SHOWN: Final = {
    "JPEG": ("image/jpeg", ("L", "RGB")),
    "PNG": ("image/png", ("1", "L", "LA", "P", "PA", "RGB", "RGBA")),
    "WEBP": ("image/webp", ("RGB", "RGBA")),
    "GIF": ("image/gif", ("L", "P", "RGB", "RGBA")),
}
#: pictures that are decoded at once, since each takes a few times its pixels
_decoding = threading.Semaphore(2)


def photo_of(data: bytes, what: str, side: int | None = None) -> tuple[bytes, str]:
    """Return a photo's bytes for a browser, and their media type.

    Parameters
    ----------
    data : bytes
        The photo as it is stored.
    what : str
        What errors call it.
    side : int, optional
        The longest side of a thumbnail.

    Raises
    ------
    InvalidValue
        It has more pixels than are painted.
    CorruptData
        It is no picture that Pillow can read.
    """
    form, mode, size = _said(data, what)
    check_pixels(*size)
    media_type, modes = SHOWN.get(form, ("", ()))
    if mode in modes and (side is None or max(size) <= side):
        return data, media_type
    with _decoding:
        if side is None:
            return frame_png(np.asarray(shown_pixels(open_picture(data, what)))), "image/png"
        reduced, size = open_reduced(data, what, 2 * side)
        pixels, small = shown_pixels(reduced), fit(*size, side)
        if small != pixels.size:
            pixels = pixels.resize(small, PILImage.Resampling.BILINEAR, reducing_gap=2.0)
        picture = encode_picture(pixels, "WEBP", quality=80, method=0)
    return picture.data, picture.media_type


def _said(data: bytes, what: str) -> tuple[str, str, tuple[int, int]]:
    """Return the format, pixel format and size that a picture's file says it has; nothing is decoded for it."""
    if is_jxl(data):  # which opening decodes, and browsers do not show
        return "JXL", "", size_of(data)
    try:
        with PILImage.open(io.BytesIO(data)) as picture:
            deep = any(";16" in str(tile[3]) for tile in getattr(picture, "tile", ()))
            return str(picture.format), "16 bits" if deep else picture.mode, picture.size
    except PILImage.DecompressionBombError as error:
        raise too_large(what, error) from error
    except UNREADABLE as error:
        raise CorruptData(f"{what} is no picture that Pillow can read: {error}") from error
