"""Masks as PNG files whose grey values are the class ids, made several at a time.

Nothing but the standard library's zlib compresses them: for masks, lines written as the difference to
the line above and matched as runs are smaller than what image libraries make, in a quarter of the time.
"""

from __future__ import annotations

import struct
import zlib
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from maskl_storage.masks.codec import decode

__all__ = ["KEYWORD", "MaskPngs", "array_png", "fits", "mask_png"]

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
#: the keyword of the text that names the mask's dtype, where it is not that of the grey values
KEYWORD: Final = "maskl:dtype"
GREY: Final = 0
RGB: Final = 2
INDEXED: Final = 3
#: the filter of a line that is written as the difference to the one above
UP: Final = 2
#: threads that compress, and bytes of pixels that one takes at a time
THREADS: Final = 2
GROUP_BYTES: Final = 3 << 19
#: bytes of masks and PNGs that are kept
KEPT: Final = 16 << 20
#: the codes of the types in a mask's header that no PNG needs to be asked about
UNSIGNED: Final = (2, 4)


def fits(data: bytes) -> bool:
    """Whether 16 bits hold every id of an encoded mask.

    Examples
    --------
    >>> from maskl_storage import encode
    >>> fits(encode([[0, 65535]])), fits(encode([[0, 65536]])), fits(encode([[-1]]))
    (True, False, False)
    """
    if data[7] in UNSIGNED:
        return True
    mask = decode(data)
    return int(mask.min()) >= 0 and int(mask.max()) <= 0xFFFF


def mask_png(data: bytes) -> bytes:
    """Return an encoded mask as PNG: 8 bits a pixel, or 16 where an id exceeds 255.

    A dtype other than uint8, or uint16 of 16 bits, stands in a text chunk. The ids must :func:`fit <fits>`.
    """
    return _packed(_filtered(data))


def array_png(pixels: npt.NDArray[Any], palette: bytes = b"") -> bytes:
    """Return pixels as PNG.

    Parameters
    ----------
    pixels : ndarray of uint8 or uint16, shape (H, W), or of uint8, shape (H, W, 3)
        Grey values, indices, or red, green and blue.
    palette : bytes, optional
        Red, green and blue of each index.
    """
    kind = INDEXED if palette else GREY if pixels.ndim == 2 else RGB
    height, width = pixels.shape[:2]
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8 * pixels.dtype.itemsize, kind, 0, 0, 0))
    head += _chunk(b"PLTE", palette) if palette else b""
    return _packed(_Filtered(head, _lines(pixels.astype(pixels.dtype.newbyteorder(">"), copy=False))))


@dataclass(frozen=True, slots=True)
class _Filtered:
    """A mask that is ready to be compressed: what stands before the pixels in its PNG, and the lines."""

    head: bytes
    lines: npt.NDArray[np.uint8]


def _filtered(data: bytes) -> _Filtered:
    mask = decode(data)
    wide = mask.dtype.itemsize > 1 and int(mask.max()) > 0xFF
    values = mask.astype(">u2" if wide else np.uint8, copy=False)
    height, width = values.shape
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8 * values.dtype.itemsize, GREY, 0, 0, 0))
    if mask.dtype != (np.uint16 if wide else np.uint8):
        head += _chunk(b"tEXt", KEYWORD.encode() + b"\0" + mask.dtype.str.encode())
    return _Filtered(head, _lines(values))


def _lines(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return the lines of a PNG, each after the number of its filter."""
    height = values.shape[0]
    pixels = np.ascontiguousarray(values).view(np.uint8).reshape(height, -1)
    lines = np.empty((height, pixels.shape[1] + 1), np.uint8)
    lines[:, 0] = UP
    lines[0, 1:] = pixels[0]
    np.subtract(pixels[1:], pixels[:-1], out=lines[1:, 1:])
    return lines


def _packed(mask: _Filtered) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 8, zlib.Z_RLE)
    pixels = packer.compress(mask.lines.data) + packer.flush()
    return SIGNATURE + mask.head + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


class MaskPngs:
    """Makes PNGs of columns of encoded masks: zlib works on threads, beside the one that decodes.

    Those made last are kept, since the ground truth of a row is that of another epoch's too.
    """

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self._held = 0

    @classmethod
    @contextmanager
    def started(cls) -> Iterator[MaskPngs]:
        """Start the threads, and end them."""
        with ThreadPoolExecutor(THREADS, "maskl-export-png") as pool:
            yield cls(pool)

    def columns(self, masks: pa.ChunkedArray) -> tuple[pa.Array, pa.Array]:
        """Return the PNG of each mask, and the masks themselves that no PNG can hold; null elsewhere."""
        data: list[bytes | None] = masks.to_pylist()
        found = {mask: self._kept.get(mask) for mask in data if mask is not None}
        new = [mask for mask, png in found.items() if png is None and fits(mask)]
        found.update(zip(new, self._pngs(new), strict=True))
        for mask, png in found.items():
            if png is not None:
                self._keep(mask, png)
        exact = [mask if mask is not None and found[mask] is None else None for mask in data]
        return pa.array([None if mask is None else found[mask] for mask in data], pa.binary()), pa.array(
            exact, pa.binary()
        )

    def _keep(self, mask: bytes, png: bytes) -> None:
        if mask in self._kept:
            self._kept.move_to_end(mask)
            return
        self._kept[mask] = png
        self._held += len(mask) + len(png)
        while self._held > KEPT:
            self._held -= sum(map(len, self._kept.popitem(last=False)))

    def _pngs(self, masks: Sequence[bytes]) -> Iterator[bytes]:
        """Yield the PNG of each mask; so many are compressed in one call that threads rarely wait for each other."""
        waiting: deque[Future[list[bytes]]] = deque()
        group: list[_Filtered] = []
        for number, mask in enumerate(masks):
            group.append(_filtered(mask))
            if sum(one.lines.size for one in group) >= GROUP_BYTES or number == len(masks) - 1:
                waiting.append(self._pool.submit(lambda ready: list(map(_packed, ready)), group))
                group = []
            if len(waiting) > THREADS:
                yield from waiting.popleft().result()
        for done in waiting:
            yield from done.result()
