"""JPEG XL, which Pillow reads and writes with a plugin alone: an extra of maskl brings it.

Files of this format are opened here and nowhere else, so that one that cannot be read says what is missing, and one
that claims more pixels than memory has is refused before it is decoded: the plugin decodes a file when it opens it.
"""

from __future__ import annotations

import io
from typing import IO, Any, Final

import numpy.typing as npt
from PIL import Image as PILImage

from maskl_storage.errors import CorruptData
from maskl_storage.extras import optional

__all__ = ["MODES", "encode", "is_jxl", "open_image", "plugin", "size_of"]

#: how the bare codestream begins, and from the fifth byte on a container
CODESTREAM: Final = b"\xff\x0a"
BOX: Final = b"JXL"
#: Pillow's modes that are kept as they are
MODES: Final = ("L", "LA", "RGB", "RGBA", "I;16")
#: width to height, by the number in the header
RATIOS: Final = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
#: bits of a side, by the two bits before them
SIDE_BITS: Final = (9, 13, 18, 30)
#: bytes of a codestream that hold its size
HEAD: Final = 16


def plugin(needed_by: str) -> Any:
    """Return the module that reads and writes JPEG XL.

    Parameters
    ----------
    needed_by : str
        What needs it, which begins the message.

    Raises
    ------
    MissingExtra
        It is not installed, or cannot be imported.
    """
    return optional("pillow_jxl", needed_by, extra="jxl")


def is_jxl(data: bytes) -> bool:
    """Whether a file says that it is JPEG XL, as the plugin has it, which is not strict with containers.

    Examples
    --------
    >>> is_jxl(bytes([0xFF, 0x0A])), is_jxl(b"RIFF")
    (True, False)
    """
    return data[:2] == CODESTREAM or data[4:7] == BOX


def encode(pixels: npt.NDArray[Any], mode: str) -> bytes:
    """Return pixels as JPEG XL by the fastest lossless setting: on street scenes a fifth of the time of WebP's.

    Parameters
    ----------
    pixels : ndarray of uint8 or uint16, shape (H, W) or (H, W, C)
    mode : str
        One of :data:`MODES`.
    """
    height, width = pixels.shape[:2]
    # more threads than that of the caller only wait for each other at this setting
    encoder = plugin("an image as JPEG XL").Encoder(
        mode=mode,
        lossless=True,
        quality=100,
        decoding_speed=0,
        effort=1,
        use_container=False,
        use_original_profile=False,
        num_threads=0,
    )
    nothing: dict[str, Any] = {"exif": None, "jumb": None, "xmp": None, "compress": False}
    ordered = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    data: bytes = encoder(ordered.tobytes(), width, height, jpeg_encode=False, **nothing)
    return data


def open_image(file: IO[bytes]) -> PILImage.Image:
    """Open a picture of any format as Pillow does; JPEG XL too, and of that no more pixels than Pillow takes.

    Raises
    ------
    MissingExtra
        It is JPEG XL, and the plugin is not installed.
    PIL.Image.DecompressionBombError
        It is JPEG XL and claims more pixels than Pillow decodes.
    CorruptData
        It is JPEG XL and broken.
    OSError, SyntaxError, ValueError
        What Pillow raises of a file that it cannot read.
    """
    head = file.read(HEAD)
    file.seek(0)
    return _opened(file.read()) if is_jxl(head) else PILImage.open(file)


def size_of(data: bytes) -> tuple[int, int]:
    """Return the width and height that the header of a JPEG XL file names, before any orientation.

    Raises
    ------
    CorruptData
        It has no whole header.
    """
    head = _codestream(data)
    if head[:2] != CODESTREAM:
        raise CorruptData("a JPEG XL file without a picture")
    bits = _Bits(int.from_bytes(head[2:HEAD].ljust(HEAD, b"\0"), "little"))
    small = bits.take(1)
    height = bits.side(small=bool(small))
    across, down = RATIOS[bits.take(3)]
    return (height * across // down if across else bits.side(small=bool(small))), height


class _Bits:
    """The bits of a header, lowest first."""

    def __init__(self, bits: int) -> None:
        self._bits = bits

    def take(self, count: int) -> int:
        """Return the next bits."""
        found = self._bits & ((1 << count) - 1)
        self._bits >>= count
        return found

    def side(self, *, small: bool) -> int:
        """Return a side in pixels: of a small picture a multiple of 8."""
        return 8 * (self.take(5) + 1) if small else 1 + self.take(SIDE_BITS[self.take(2)])


def _codestream(data: bytes) -> bytes:
    """Return how the codestream of a file begins, which may stand in a box of a container, or in several."""
    if data[:2] == CODESTREAM:
        return data[:HEAD]
    found, at = b"", 0
    while at + 8 <= len(data) and len(found) < HEAD:
        size, kind, head = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        end = at + size if size else len(data)
        if end < at + head:
            break
        head += 4 if kind == b"jxlp" else 0  # which numbers its pieces
        if kind in (b"jxlc", b"jxlp"):
            found += data[at + head : min(end, at + head + HEAD)]
        at = end
    return found


def _opened(data: bytes) -> PILImage.Image:
    """Return a picture, decoded: one of the usual modes in one thread, which is faster than through Pillow."""
    decoder = plugin("a picture that is JPEG XL").Decoder(num_threads=0)
    width, height = size_of(data)
    most = PILImage.MAX_IMAGE_PIXELS
    if most is not None and width * height > 2 * most:
        raise PILImage.DecompressionBombError(
            f"Image size ({width * height} pixels) exceeds limit of {2 * most} pixels, could be decompression bomb DOS "
            f"attack."
        )
    try:
        is_jpeg, info, pixels, *_ = decoder(data)
    except RuntimeError as error:  # which says nothing more
        raise CorruptData("a JPEG XL file that does not decode") from error
    if is_jpeg:  # a JPEG that was packed without loss comes back as that file
        image: PILImage.Image = PILImage.open(io.BytesIO(pixels))
        image.load()
    elif info.mode in MODES:
        image = PILImage.frombytes(info.mode, (info.width, info.height), pixels)
    else:
        return PILImage.open(io.BytesIO(data))
    image.format = "JXL"
    return image
