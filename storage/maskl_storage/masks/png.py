"""Masks as PNG files whose grey values are the class ids, class ids from pictures, and pixels of any kind as PNG.

Lines are written as the difference to the line above. For masks the standard library's zlib, matching runs alone, makes
less of them than image libraries do, in a quarter of the time. Photos go through ISA-L's deflate where it is installed:
on street scenes 25 times as fast as Pillow's, for 8% more bytes.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage

from maskl_storage.errors import InvalidType, InvalidValue, LossyMaskWarning, warn
from maskl_storage.masks.codec import decode, mask_info
from maskl_storage.masks.dtypes import DTYPES

__all__ = [
    "ID_MODES",
    "KEYWORD",
    "NAMED",
    "SIGNATURE",
    "Filtered",
    "array_png",
    "as_logged",
    "filtered",
    "fits",
    "frame_png",
    "ids_of",
    "ids_png",
    "is_lossy",
    "mask_png",
    "packed",
    "warn_of_loss",
]

Pixels = npt.NDArray[Any]

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
#: the keyword of the text that names the mask's dtype, where it is not that of the grey values
KEYWORD: Final = "maskl:dtype"
INDEXED: Final = 3
#: the colour type by the number of channels: grey, grey and alpha, RGB, RGBA
CHANNELS: Final = {1: 0, 2: 4, 3: 2, 4: 6}
#: the filter of a line that is written as the difference to the one above
UP: Final = 2
#: the largest id that a PNG holds
MAX_ID: Final = 0xFFFF
#: Pillow's modes whose pixels are one integer each
ID_MODES: Final = ("1", "L", "P", "I", "I;16", "I;16L", "I;16B")
#: Pillow's formats that do not keep pixels as they are
LOSSY: Final = ("JPEG", "MPO")
#: the deflate levels for photos: of ISA-L, which are nearly one to it, and of zlib
FAST_LEVEL: Final = 2
ZLIB_LEVEL: Final = 1
#: bytes of pixels that are compressed at a time, and stand in a chunk of their own
STRIPE: Final = 1 << 18
#: the dtypes of masks by what files call them: int32 and >int32, and as NumPy spells them, <i4 and >i4
NAMED: Final = {
    name: ordered
    for dtype in DTYPES.values()
    for sign, ordered in (("", dtype.newbyteorder("<")), (">", dtype.newbyteorder(">")))
    for name in (f"{sign}{dtype.name}", ordered.str)
}


# --- writing ------------------------------------------------------------------------------------


def fits(mask: bytes | Pixels) -> bool:
    """Whether 16 bits hold every id of a mask, encoded or not.

    Examples
    --------
    >>> from maskl_storage import encode
    >>> fits(encode([[0, 65535]])), fits(encode([[0, 65536]])), fits(np.array([[-1]]))
    (True, False, False)
    """
    if isinstance(mask, bytes):
        if mask_info(mask).stored.kind == "u":
            return True
        mask = decode(mask)
    return int(mask.min()) >= 0 and int(mask.max()) <= MAX_ID


def mask_png(data: bytes | bytearray | memoryview) -> bytes:
    """Return an encoded mask as PNG: 8 bits a pixel, or 16 where an id exceeds 255.

    A dtype other than uint8, or uint16 of 16 bits, stands in a text chunk.

    Raises
    ------
    InvalidValue
        An id below 0 or above 65,535.
    """
    return packed(filtered(data))


def ids_png(mask: Pixels, palette: bytes = b"") -> bytes:
    """Return class ids as PNG: 8 bits a pixel, with a palette where one is given, or 16 where an id exceeds 255.

    Raises
    ------
    InvalidValue
        An id below 0 or above 65,535.

    Examples
    --------
    >>> import io
    >>> PILImage.open(io.BytesIO(ids_png(np.array([[0, 256]])))).mode
    'I;16'
    """
    values = _unsigned(mask)
    wide = values.dtype.itemsize > 1
    return array_png(values, b"" if wide else palette[: 3 * (int(values.max()) + 1)])


def array_png(pixels: Pixels, palette: bytes = b"") -> bytes:
    """Return pixels as PNG.

    Parameters
    ----------
    pixels : ndarray of uint8 or uint16, shape (H, W), or of uint8, shape (H, W, 3)
        Grey values, indices, or red, green and blue.
    palette : bytes, optional
        Red, green and blue of each index.
    """
    return packed(_lined(pixels, _chunk(b"PLTE", palette) if palette else b"", INDEXED if palette else None))


def frame_png(pixels: Pixels, palette: bytes = b"", alpha: bytes = b"") -> bytes:
    """Return the pixels of a photo as PNG, made fast; no value changes.

    Parameters
    ----------
    pixels : ndarray
        Of bool, uint8 or uint16 and shape (H, W): black and white, grey values or indices; or of uint8 and shape
        (H, W, C), grey and alpha, RGB or RGBA.
    palette, alpha : bytes, optional
        Red, green and blue of each index, and how opaque the first of them are.

    Examples
    --------
    >>> import io
    >>> pixels = np.array([[[1, 2], [3, 4]]], np.uint8)
    >>> image = PILImage.open(io.BytesIO(frame_png(pixels)))
    >>> image.mode, np.asarray(image).tolist()
    ('LA', [[[1, 2], [3, 4]]])
    """
    head = _header(pixels, INDEXED if palette else None)
    head += (_chunk(b"PLTE", palette) if palette else b"") + (_chunk(b"tRNS", alpha) if alpha else b"")
    packer = _fast_packer()
    above = None
    made = [SIGNATURE, head]
    step = max(1, STRIPE * len(pixels) // max(1, pixels.nbytes))
    for top in range(0, len(pixels), step):  # some rows at a time, so that nothing as large as all is made
        rows = _rows(pixels[top : top + step])
        if piece := packer.compress(_up(rows, above).data):
            made.append(_chunk(b"IDAT", piece))
        above = rows[-1]
    return b"".join([*made, _chunk(b"IDAT", packer.flush()), _chunk(b"IEND", b"")])


def _packers() -> Callable[[], Any]:
    """Return what makes what compresses photos: ISA-L, which has no wheel for some machines, else zlib."""
    with contextlib.suppress(ImportError):
        from isal import isal_zlib

        return lambda: isal_zlib.compressobj(FAST_LEVEL)
    return lambda: zlib.compressobj(ZLIB_LEVEL)


_fast_packer: Final = _packers()


@dataclass(frozen=True, slots=True)
class Filtered:
    """A mask that is ready to be compressed: what stands before the pixels in its PNG, and the lines."""

    head: bytes
    lines: npt.NDArray[np.uint8]


def filtered(data: bytes | bytearray | memoryview) -> Filtered:
    """Return an encoded mask made ready: :func:`packed` does the rest of :func:`mask_png`, without Python's lock."""
    mask = decode(data)
    values = _unsigned(mask)
    plain = mask.dtype == values.dtype
    return _lined(values, b"" if plain else _chunk(b"tEXt", KEYWORD.encode() + b"\0" + mask.dtype.str.encode()))


def packed(mask: Filtered) -> bytes:
    """Return the PNG of a mask that was made ready."""
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 8, zlib.Z_RLE)
    pixels = packer.compress(mask.lines.data) + packer.flush()
    return SIGNATURE + mask.head + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _unsigned(mask: Pixels) -> Pixels:
    """Return ids in the 8 or 16 bits that a PNG holds them in."""
    # of most masks the type tells that they fit
    low, high = (
        (0 if mask.dtype.kind in "bu" else int(mask.min())),
        (0 if mask.dtype.itemsize == 1 else int(mask.max())),
    )
    if low < 0 or high > MAX_ID:
        raise InvalidValue(
            f"a PNG holds ids from 0 to {MAX_ID}; this mask has {mask.min()} to {mask.max()}: map them to others "
            f"first, or take the mask itself"
        )
    return mask.astype(np.uint16 if high > 0xFF else np.uint8, copy=False)


def _lined(values: Pixels, more: bytes = b"", kind: int | None = None) -> Filtered:
    """Return pixels as the lines of a PNG, each after the number of its filter."""
    return Filtered(_header(values, kind) + more, _up(_rows(values)))


def _header(values: Pixels, kind: int | None = None) -> bytes:
    """Return what a PNG says of its pixels; booleans take one bit each."""
    height, width = values.shape[:2]
    kind = CHANNELS[values.shape[2] if values.ndim == 3 else 1] if kind is None else kind
    depth = 1 if values.dtype == np.bool_ else 8 * values.dtype.itemsize
    return _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))


def _rows(values: Pixels) -> npt.NDArray[np.uint8]:
    """Return the bytes of each row of pixels."""
    if values.dtype == np.bool_:
        return np.packbits(values, axis=1)
    ordered = values.astype(values.dtype.newbyteorder(">"), copy=False)
    return np.ascontiguousarray(ordered).view(np.uint8).reshape(len(values), -1)


def _up(rows: npt.NDArray[np.uint8], above: npt.NDArray[np.uint8] | None = None) -> npt.NDArray[np.uint8]:
    """Return the number of a filter before each row, and the row as the difference to the one above it."""
    lines = np.empty((rows.shape[0], rows.shape[1] + 1), np.uint8)
    lines[:, 0] = UP
    lines[0, 1:] = rows[0] if above is None else rows[0] - above
    np.subtract(rows[1:], rows[:-1], out=lines[1:, 1:])
    return lines


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


# --- reading ------------------------------------------------------------------------------------


def ids_of(image: PILImage.Image, what: str) -> Pixels:
    """Return the class ids of a picture, shape (H, W), in the dtype that Pillow has them in.

    Parameters
    ----------
    image : PIL.Image.Image
        The picture, whose pixels need not be decoded yet.
    what : str
        What it is called in messages.

    Raises
    ------
    InvalidType
        A picture of colours.

    Examples
    --------
    >>> ids_of(PILImage.new("L", (2, 1), 7), "this")
    array([[7, 7]], dtype=uint8)
    """
    if image.mode not in ID_MODES:
        raise InvalidType(
            f"{what} is a {image.mode} image; a mask file holds one class id a pixel (modes "
            f"{', '.join(ID_MODES[:5])}): convert its colours to ids first"
        )
    return np.array(image)


def is_lossy(image: PILImage.Image) -> bool:
    """Whether a picture comes from a file that does not keep pixels as they are: JPEG, by itself or in a TIFF."""
    return image.format in LOSSY or "jpeg" in str(image.info.get("compression", ""))


def warn_of_loss(what: str) -> None:
    """Warn that ids were read from a file that does not keep them."""
    warn(
        f"{what} is a JPEG, which does not keep class ids: there are others along every edge; take the PNG that it was "
        f"made from",
        LossyMaskWarning,
    )


def as_logged(ids: Pixels, dtype: str, what: str) -> Pixels:
    """Return class ids in the dtype that they were logged in.

    Parameters
    ----------
    ids : ndarray
        What a file holds.
    dtype : str
        What it says of them: ``int32``, ``>int32``, or ``<i4`` as the text :data:`KEYWORD` does.
    what : str
        What the mask is called in messages.

    Raises
    ------
    InvalidValue
        That is no dtype of masks, or one that cannot hold the ids.

    Examples
    --------
    >>> as_logged(np.array([[0, 1]]), "uint8", "the mask")
    array([[0, 1]], dtype=uint8)
    """
    if dtype not in NAMED:
        known = ", ".join(known.name for known in DTYPES.values())
        raise InvalidValue(f"{what}: dtype must be one of {known}; got {dtype!r:.40}")
    mask = ids.astype(NAMED[dtype], copy=False)
    if not np.array_equal(mask, ids):
        raise InvalidValue(f"{what}: there are ids that {dtype} cannot hold")
    return mask
