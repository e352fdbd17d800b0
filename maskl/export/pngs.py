"""Masks as PNG files whose grey values are the class ids, made several at a time.

Nothing but the standard library's zlib compresses them: for masks, lines written as the difference to
the line above and matched as runs are smaller than what image libraries make, in a quarter of the time.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from maskl_storage.codec import decode

__all__ = ["KEYWORD", "MaskPngs", "fits", "mask_png"]

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
#: the keyword of the text that names the mask's dtype, where it is not that of the grey values
KEYWORD: Final = "maskl:dtype"
GREY: Final = 0
#: the filter of a line that is written as the difference to the one above
UP: Final = 2
#: threads, since zlib lets others run; more than the machine has would only take memory
THREADS: Final = 4
#: the codes of the types in a mask's header that no PNG needs to be asked about
UNSIGNED: Final = (2, 4)


def fits(data: bytes) -> bool:
    """Whether 16 bits hold every id of an encoded mask.

    Examples
    --------
    >>> from maskl_storage import encode
    >>> fits(encode([[0, 65535]])), fits(encode([[0, 65536]])), fits(encode([[-1]]))
    (True, True, False)
    """
    if data[7] in UNSIGNED:
        return True
    mask = decode(data)
    return int(mask.min()) >= 0 and int(mask.max()) <= 0xFFFF


def mask_png(data: bytes) -> bytes:
    """Return an encoded mask as PNG: 8 bits a pixel, or 16 where an id exceeds 255.

    A dtype other than uint8, or uint16, stands in a text chunk. The ids must :func:`fit <fits>`.
    """
    mask = decode(data)
    values = mask.astype(np.uint8) if mask.dtype.itemsize == 1 or int(mask.max()) <= 0xFF else mask.astype(">u2")
    chunks = [_chunk(b"IHDR", struct.pack(">IIBBBBB", *values.shape[::-1], 8 * values.dtype.itemsize, GREY, 0, 0, 0))]
    if mask.dtype not in (np.uint8, np.uint16) or mask.dtype.itemsize != values.dtype.itemsize:
        chunks.append(_chunk(b"tEXt", KEYWORD.encode() + b"\0" + mask.dtype.str.encode()))
    chunks += [_chunk(b"IDAT", _deflated(values)), _chunk(b"IEND", b"")]
    return SIGNATURE + b"".join(chunks)


def _deflated(values: npt.NDArray[Any]) -> bytes:
    height, width = values.shape
    pixels = np.ascontiguousarray(values).view(np.uint8).reshape(height, width * values.dtype.itemsize)
    lines = np.empty((height, pixels.shape[1] + 1), np.uint8)
    lines[:, 0] = UP
    lines[0, 1:] = pixels[0]
    np.subtract(pixels[1:], pixels[:-1], out=lines[1:, 1:])
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_RLE)
    return packer.compress(lines.data) + packer.flush()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


class MaskPngs:
    """Makes PNGs of columns of encoded masks, on threads."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool

    @classmethod
    @contextmanager
    def started(cls) -> Iterator[MaskPngs]:
        """Start the threads, and end them."""
        with ThreadPoolExecutor(THREADS, "maskl-export") as pool:
            yield cls(pool)

    def columns(self, masks: pa.ChunkedArray) -> tuple[pa.Array, pa.Array]:
        """Return the PNG of each mask, and the masks themselves that no PNG can hold; null elsewhere."""
        data: Sequence[bytes | None] = masks.to_pylist()
        pngs = list(self._pool.map(lambda mask: mask_png(mask) if mask is not None and fits(mask) else None, data))
        exact = [mask if png is None else None for mask, png in zip(data, pngs, strict=True)]
        return pa.array(pngs, pa.binary()), pa.array(exact, pa.binary())
