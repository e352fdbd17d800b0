"""Files of pictures as Pillow decodes them, with one word for what it refuses."""

from __future__ import annotations

import io
import struct
from typing import Final

from PIL import Image as PILImage
from PIL import UnidentifiedImageError

from maskl_storage.errors import CorruptData, InvalidValue
from maskl_storage.images.jxl import is_jxl, open_image

__all__ = ["ORIENTATION", "UNREADABLE", "open_picture", "open_reduced", "orientation_of", "too_large", "turned"]

#: EXIF's tag that says how a photo is turned where it is shown: 1 is not at all, from 5 on width is height
ORIENTATION: Final = 0x0112
#: where the EXIF of a file begins that has one: in JPEG, PNG and WebP (of TIFF, Pillow turns the pixels itself)
EXIF: Final = (b"Exif\0\0", b"eXIf", b"EXIF")
#: bytes at the beginning of a file, and at its end, that are searched for it
SEARCHED: Final = 1 << 16
#: what Pillow raises for files that are broken; SyntaxError comes from its PNG plugin
UNREADABLE: Final = (OSError, SyntaxError, ValueError, EOFError, struct.error, LookupError, TypeError, OverflowError)


def open_picture(data: bytes, what: str) -> PILImage.Image:
    """Return the decoded picture of a file.

    Raises
    ------
    InvalidValue
        It has more pixels than Pillow decodes.
    CorruptData
        It is no picture that Pillow can read.
    MissingExtra
        It is JPEG XL, and the package that reads that is not installed.
    """
    return _decoded(data, what, None)[0]


def open_reduced(data: bytes, what: str, least: int) -> tuple[PILImage.Image, tuple[int, int]]:
    """Return the decoded picture of a file, perhaps smaller than it is, and the width and height that it has.

    A JPEG is decoded at a half, a quarter or an eighth of its size, which takes less time and memory, as long as its
    longest side is at least ``least`` then. Pillow decodes the other formats at no other size than their own.

    Raises
    ------
    InvalidValue, CorruptData, MissingExtra
        As :func:`open_picture` does.
    """
    return _decoded(data, what, least)


def _decoded(data: bytes, what: str, least: int | None) -> tuple[PILImage.Image, tuple[int, int]]:
    try:
        image = open_image(io.BytesIO(data))
        size = image.size
        if least is not None:
            times = max(1, max(size) // least)
            image.draft(None, (max(1, size[0] // times), max(1, size[1] // times)))
        image.load()
    except PILImage.DecompressionBombError as error:
        raise too_large(what, error) from error
    except UnidentifiedImageError as error:
        raise CorruptData(f"{what} is no picture that Pillow can read") from error
    except UNREADABLE as error:
        raise CorruptData(f"{what} is no picture that Pillow can read: {error}") from error
    return image, size


def orientation_of(data: bytes | PILImage.Image) -> int:
    """Return the EXIF orientation of an image file or of Pillow's image, 1 to 8; 1 for one that has none.

    Examples
    --------
    >>> orientation_of(b"no picture")
    1
    """
    if isinstance(data, PILImage.Image):
        return _orientation(data) if data.info.get("exif") else 1
    if is_jxl(data):  # which turns its pixels itself
        return 1
    ends = data[:SEARCHED], data[-SEARCHED:]
    if not any(mark in end for end in ends for mark in EXIF):
        return 1
    try:
        with PILImage.open(io.BytesIO(data)) as image:
            return 1 if image.format == "TIFF" else _orientation(image)
    except (*UNREADABLE, PILImage.DecompressionBombError):  # who decodes it says so
        return 1


def _orientation(image: PILImage.Image) -> int:
    found = image.getexif().get(ORIENTATION, 1)
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def turned(orientation: int) -> str:
    """Return the words for how an EXIF orientation meets masks."""
    return (
        f"its EXIF orientation {orientation} turns it where it is shown, and masks and boxes count in its pixels as "
        f"the file has them; where they were made of the turned photo, log that: Pillow's "
        f"ImageOps.exif_transpose(Image.open(path))"
    )


def too_large(what: str, error: PILImage.DecompressionBombError) -> InvalidValue:
    """Return the error that says that a picture has more pixels than Pillow decodes; raise it ``from`` Pillow's."""
    return InvalidValue(
        f"{what} is too large to decode: {error}; where it is meant to be so large, set PIL.Image.MAX_IMAGE_PIXELS"
    )
