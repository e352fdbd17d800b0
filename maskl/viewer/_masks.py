"""Masks as the page takes them: ids in the narrowest type behind a header of 16 bytes, deflated."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from maskl.drawing.overlay import stretch
from maskl.drawing.panels import fit
from maskl.viewer._values import mark_of
from maskl_storage.errors import InvalidValue
from maskl_storage.masks.codec import countable, mask_info
from maskl_storage.masks.run_lengths import Runs, expand
from maskl_storage.masks.segments import with_classes

__all__ = ["MAX_PIXELS", "mask_tag", "pack_mask"]

#: pixels of a mask or photo that the server decodes, and the page paints
MAX_PIXELS: Final = 1 << 26
MAGIC: Final = b"MKV1"
#: magic, bytes of an id, whether ids are signed, 0, width, height
HEADER: Final = struct.Struct("<4sBBHII")
#: what ids are sent in, the narrowest that holds them all
SENT: Final = (np.dtype("<u1"), np.dtype("<u2"), np.dtype("<i4"))


def pack_mask(data: bytes, side: int | None = None, classes: Mapping[int, int] | None = None) -> bytes:
    """Return an encoded mask for the page.

    Parameters
    ----------
    data : bytes
        The mask as it is stored.
    side : int, optional
        The longest side of a thumbnail: each of its pixels has the id of the nearest.
    classes : mapping of int to int, optional
        The class of each id of a segment, which stands in its place.

    Raises
    ------
    InvalidValue
        It has more pixels than are painted.
    CorruptData
        It is damaged.

    Examples
    --------
    >>> from maskl_storage.masks.codec import encode
    >>> packed = pack_mask(encode(np.array([[1, 70000]])))
    >>> HEADER.unpack(packed[:16]), np.frombuffer(zlib.decompress(packed[16:], -15), "<i4").tolist()
    ((b'MKV1', 4, 1, 0, 2, 1), [1, 70000])
    """
    height, width = mask_info(data).shape
    check_pixels(width, height)
    found = with_classes(countable(data), classes or {})
    values = _narrow(found.values)
    flat = expand(found.starts, values, found.size) if isinstance(found, Runs) else values
    mask: npt.NDArray[Any] = flat.reshape(height, width)
    if side is not None:
        mask = stretch(mask, *fit(width, height, side))
    kind = mask.dtype
    head = HEADER.pack(MAGIC, kind.itemsize, kind.kind == "i", 0, mask.shape[1], mask.shape[0])
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    return b"".join((head, packer.compress(np.ascontiguousarray(mask).data), packer.flush()))


def mask_tag(data: bytes, *what: object) -> str:
    """Return the ETag of an encoded mask: the same for the same checksum and address."""
    return f'"{mark_of(data[:24], repr(what))}"'


def check_pixels(width: int, height: int) -> None:
    """Raise InvalidValue for a picture that is larger than the page paints."""
    if width * height > MAX_PIXELS:
        raise InvalidValue(f"{width} × {height} pixels are more than the {MAX_PIXELS:,} that are painted")


def _narrow(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    kind = next((kind for kind in SENT[:2] if low >= 0 and high <= np.iinfo(kind).max), SENT[2])
    return np.ascontiguousarray(values, kind)
