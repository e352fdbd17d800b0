"""Images, masks and paths of a source, none of which is trusted."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy.typing as npt
from blake3 import blake3
from PIL import Image as PILImage

from maskl.images.image import Image
from maskl_storage.errors import InvalidValue, MasklError
from maskl_storage.masks.png import KEYWORD, as_logged, ids_of
from maskl_storage.read.table import StoredImage

__all__ = ["check_shape", "file_inside", "mask_pixels", "picture", "read_inside", "stored_image"]

#: pixels that an image may have: what Pillow calls a decompression bomb
MAX_PIXELS: Final = 178_956_970
#: what Pillow hands to another program
FOREIGN: Final = ("EPS", "WMF")
#: what Pillow's plugins raise for files that are broken
BROKEN: Final = (
    *(OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError, MemoryError),
    *(struct.error, zlib.error, PILImage.DecompressionBombError),
)


def stored_image(
    data: bytes, path: str | None = None, mode: str | None = None, caption: str | None = None
) -> StoredImage:
    """Return what is stored of an encoded file, which is decoded once to see that it can be.

    Parameters
    ----------
    data : bytes
        The file, which is kept byte for byte.
    path : str, optional
        What it is called in the source.
    mode : str, optional
        Pillow's name of the pixel format, where a file does not say it: WebP drops an alpha channel that hides
        nothing.
    caption : str, optional
        Text that stands with the image.

    Raises
    ------
    InvalidValue
        No image, a broken one, or one of too many pixels.
    """
    with _opened(data) as image:
        image.load()
        size, own, kind = image.size, image.mode, str(image.format).lower()
    if mode not in (None, own) and (own, mode) != ("RGB", "RGBA"):
        raise InvalidValue(f"the image is said to be of mode {mode!r:.20}, and is of mode {own}")
    digest = blake3(b"file\n" + data).hexdigest()
    return StoredImage(digest, kind, mode or own, *size, caption, path, {})


def picture(
    data: bytes,
    path: str | None = None,
    *,
    caption: str | None = None,
    classes: Any = None,
    masks: Mapping[str, Any] | None = None,
    boxes: Mapping[str, Any] | None = None,
) -> Image:
    """Return the image of an encoded file, with what :class:`maskl.Image` takes beside it.

    Raises
    ------
    InvalidValue
        No image, a broken one, or one of too many pixels.
    """
    kept = Image.from_stored(stored_image(data, path, caption=caption), lambda: data)
    if classes is None and not masks and not boxes:
        return kept
    return Image(kept, classes=classes, masks=masks, boxes=boxes)


def mask_pixels(data: bytes) -> npt.NDArray[Any]:
    """Return the class ids of an encoded mask, shape (H, W), in the dtype that a PNG of ours names.

    Raises
    ------
    InvalidValue
        No image, a broken one, one of too many pixels, or a dtype that does not hold the ids.
    InvalidType
        One of colours.
    """
    with _opened(data) as image:
        pixels = ids_of(image, "this")
        dtype = image.info.get(KEYWORD)
    return pixels if dtype is None else as_logged(pixels, str(dtype), "the mask")


def check_shape(shape: tuple[int, int]) -> None:
    """Raise InvalidValue for a mask of too many pixels, before it is decoded."""
    if shape[0] * shape[1] > MAX_PIXELS:
        raise InvalidValue(f"a mask of {shape[1]}×{shape[0]} pixels; at most {MAX_PIXELS:,} are taken")


@contextmanager
def _opened(data: bytes) -> Iterator[PILImage.Image]:
    """Open an image within a limit of pixels, and say what is wrong with it in our words."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow's, about what is odd in a file
            with PILImage.open(io.BytesIO(data)) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise InvalidValue(f"an image of {width}×{height} pixels; at most {MAX_PIXELS:,} are taken")
                if image.format in FOREIGN:
                    raise InvalidValue(f"an image of the format {image.format}, which is not taken: convert it to PNG")
                yield image
    except MasklError:
        raise
    except PILImage.DecompressionBombError as error:
        raise InvalidValue(f"an image of too many pixels; at most {MAX_PIXELS:,} are taken: {error}") from error
    except BROKEN as error:
        raise InvalidValue(f"not an image that Pillow can read, or a broken one: {error}") from error


def file_inside(root: Path, name: str) -> Path:
    """Return the path of a file that a source names below a folder.

    Links are followed wherever they lead: datasets that were downloaded consist of them.

    Raises
    ------
    InvalidValue
        The name leads out of the folder.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if not name or "\0" in name or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise InvalidValue(f"the path {name!r:.200} leads out of the folder {root}")
    return root / path


def read_inside(root: Path, name: str) -> bytes:
    """Return the bytes of a file that a source names below a folder.

    Raises
    ------
    InvalidValue
        The name leads out of the folder, or there is no such file.
    """
    path = file_inside(root, name)
    try:
        return path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise InvalidValue(f"there is no file {path}") from error
