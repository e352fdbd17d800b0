"""The lossless formats that hold the pixels of arrays, and what a digest says of them whatever the format."""

from __future__ import annotations

from typing import Final

from blake3 import blake3

from maskl_storage.images.jxl import is_jxl
from maskl_storage.masks.png import SIGNATURE

__all__ = ["EXACT", "FORMATS", "MAX_WEBP", "WEBP_MODES", "format_of", "is_array_of_another", "line_format"]

#: the formats that a store's frames are written in by choice
FORMATS: Final = ("webp", "png", "jxl")
#: every format that keeps the pixels of arrays as they are
EXACT: Final = (*FORMATS, "bmp")
#: modes and pixels a side that WebP keeps
WEBP_MODES: Final = ("RGB", "RGBA")
MAX_WEBP: Final = 16383


def line_format(mode: str, width: int, height: int) -> str:
    """Return the format that the digest of an array names, whatever lossless format holds it.

    So frames of one content are one image of a store, also where they were logged with other settings.

    Examples
    --------
    >>> line_format("RGB", 480, 360), line_format("L", 480, 360), line_format("RGB", 20000, 1)
    ('webp', 'png', 'png')
    """
    return "webp" if mode in WEBP_MODES and max(width, height) <= MAX_WEBP else "png"


def format_of(data: bytes) -> str | None:
    """Return which of :data:`FORMATS` a file is of; None for any other.

    Examples
    --------
    >>> format_of(b"RIFF....WEBPVP8L"), format_of(b"BM")
    ('webp', None)
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[:8] == SIGNATURE:
        return "png"
    return "jxl" if is_jxl(data) else None


def is_array_of_another(digest: str, form: str, mode: str, size: tuple[int, int], data: bytes) -> bool:
    """Whether an image is an array in another format than its digest says, which version 1.1 does not know of."""
    if form not in FORMATS or form == line_format(mode, *size):
        return False
    hasher = blake3(b"file\n")
    hasher.update(data)
    return hasher.hexdigest() != digest
