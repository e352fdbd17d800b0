"""Files of pictures as Pillow decodes them, with one word for what it refuses."""

from __future__ import annotations

import io
import struct
from typing import Final

from PIL import Image as PILImage
from PIL import UnidentifiedImageError

from maskl_storage.errors import CorruptData, InvalidValue

__all__ = ["UNREADABLE", "open_picture", "too_large"]

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
    """
    try:
        image = PILImage.open(io.BytesIO(data))
        image.load()
    except PILImage.DecompressionBombError as error:
        raise too_large(what, error) from error
    except UnidentifiedImageError as error:
        raise CorruptData(f"{what} is no picture that Pillow can read") from error
    except UNREADABLE as error:
        raise CorruptData(f"{what} is no picture that Pillow can read: {error}") from error
    return image


def too_large(what: str, error: PILImage.DecompressionBombError) -> InvalidValue:
    """Return the error that says that a picture has more pixels than Pillow decodes; raise it ``from`` Pillow's."""
    return InvalidValue(
        f"{what} is too large to decode: {error}; where it is meant to be so large, set PIL.Image.MAX_IMAGE_PIXELS"
    )
