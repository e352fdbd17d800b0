"""Mask arrays to bytes and back; the layout is section 3 of SPEC.md.

A mask is cut into runs of equal pixels in raster order. The run starts are what is stored, and they
are also what the statistics are computed from, so that no second pass over the pixels is needed. How
they are written behind the header is a codec's business, see :mod:`maskl_storage.masks.codecs`.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from maskl_storage.errors import CorruptData, InvalidType, InvalidValue, UnsupportedVersion
from maskl_storage.lazy import LazyModule
from maskl_storage.masks._scan import MAX_RUNS_PIXELS, Scan, native, runs_or_pixels
from maskl_storage.masks.codecs import Codec, MaskInfo, Packed, by_name, by_tag, known
from maskl_storage.masks.dtypes import BIG_ENDIAN, CODE_OF, DTYPES, STORED, check_values, fit
from maskl_storage.masks.limits import check_pixels, warn_of_pixels
from maskl_storage.masks.run_lengths import Pixels, Runs, expand, find_changes

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = LazyModule("pyarrow")

__all__ = [
    "MaskInfo",
    "Unpacker",
    "check_values",
    "countable",
    "decode",
    "encode",
    "encode_with_runs",
    "find_runs",
    "mask_info",
    "runs_of",
]

MAGIC: Final = b"MSKL"
VERSION: Final = 1

HEADER: Final = struct.Struct("<4sBBBBII")  # magic, version, codec, dtype, stored type, height, width
CRC: Final = struct.Struct("<I")
OVERHEAD: Final = HEADER.size + CRC.size
CHANGED: Final = "the checksum of an encoded mask does not match: its bytes were altered or cut"


def encode(mask: npt.ArrayLike, codec: str | None = None) -> bytes:
    """Encode a mask.

    Parameters
    ----------
    mask : array_like of int or bool, shape (H, W)
        Any memory layout; H and W at least 1; values within signed 32 bits.
    codec : str, optional
        How: ``raw``, ``zstd``, ``bands``, or one that was registered; by default what takes the fewest
        bytes.

    Returns
    -------
    bytes
        What :func:`decode` turns back into an equal array of the same dtype.

    Raises
    ------
    InvalidType
        Not two-dimensional, or not of an integer or bool dtype.
    InvalidValue
        Empty, or a value outside signed 32 bits; a codec that there is not, or that cannot hold the mask.

    Examples
    --------
    >>> data = encode(np.eye(100, dtype=np.int64))
    >>> decode(data).dtype, len(data) < 300
    (dtype('int64'), True)
    """
    return encode_with_runs(np.asarray(mask), codec)[0]


def encode_with_runs(mask: npt.NDArray[Any], codec: str | None = None) -> tuple[bytes, Runs | Pixels]:
    """Encode a mask and return what statistics are computed from: its runs, or its pixels where it is noise."""
    code = _check(mask)
    warn_of_pixels(*mask.shape)
    scan = Scan(mask)
    chosen, payload = _smallest(scan) if codec is None else _asked(scan, by_name(codec))
    head = HEADER.pack(MAGIC, VERSION, chosen.tag, code, CODE_OF[scan.stored], *scan.shape)
    crc = CRC.pack(zlib.crc32(payload, zlib.crc32(head)))
    return b"".join((head, crc, payload)), scan.countable


def decode(data: bytes | bytearray | memoryview | pa.Buffer) -> npt.NDArray[Any]:
    """Decode what :func:`encode` made.

    Parameters
    ----------
    data : bytes-like
        One encoded mask.

    Returns
    -------
    ndarray, shape (H, W)
        A new, writable, C-ordered array of the dtype that was encoded.

    Raises
    ------
    CorruptData
        The bytes are torn, truncated, altered, or say something impossible; or no codec is known that
        reads them. Nothing larger than the mask that the payload can really hold is allocated before
        that is known.
    InvalidValue
        The mask has more pixels than this process reads; see :mod:`maskl_storage.masks.limits`.
    UnsupportedVersion
        The bytes were written by a newer version of the layout.
    """
    found, info, code = _read(data)
    logged = DTYPES[code & ~BIG_ENDIAN]
    flat = fit(found.values, logged)
    if isinstance(found, Runs):
        flat = expand(found.starts, flat, found.size)
    out = flat.reshape(info.shape).view(logged)
    return out.astype(info.dtype) if code & BIG_ENDIAN else out


def runs_of(data: bytes | bytearray | memoryview | pa.Buffer) -> Runs:
    """Return the runs of an encoded mask, without making its pixels where that can be avoided."""
    return countable(data).to_runs()


def countable(data: bytes | bytearray | memoryview | pa.Buffer) -> Runs | Pixels:
    """Return the runs of an encoded mask, or its pixels where those are counted sooner."""
    found, info, _ = _read(data)
    if isinstance(found, Runs):
        return found
    return runs_or_pixels(found.values, find_changes(found.values, *info.shape, padded=False), info.shape)


class Unpacker:
    """Unpacks many masks: what their headers say, which few of them differ in, is read once."""

    __slots__ = ("_heads",)

    def __init__(self) -> None:
        self._heads: dict[bytes, tuple[MaskInfo, Codec, int]] = {}

    def unpack(self, data: memoryview) -> tuple[Runs | Pixels | Packed, MaskInfo]:
        """Return what an encoded mask holds and says of itself; see :func:`decode` for what is raised.

        What is packed may yet turn out to be none of a mask.
        """
        head = bytes(data[: HEADER.size])
        known = self._heads.get(head)
        if known is None or data.nbytes < OVERHEAD:
            info, _, codec = _header(data)
            check_pixels(*info.shape)
            known = self._heads[head] = info, codec, zlib.crc32(head)
        info, codec, start = known
        payload = data[OVERHEAD:]
        if zlib.crc32(payload, start) != CRC.unpack_from(data, HEADER.size)[0]:
            raise CorruptData(CHANGED)
        if not codec.checked:
            found = codec.decode(payload, info)
            _check_decoded(found, info)
            return found, info
        return codec.unpack(payload, info), info


def find_runs(mask: npt.NDArray[Any]) -> Runs:
    """Return the runs of a mask that is not encoded; :func:`encode` says which arrays are masks."""
    _check(mask)
    flat = native(mask).reshape(-1)
    starts = find_changes(flat, *mask.shape, padded=False).nonzero()[0]
    values = flat.take(starts)
    check_values(values)
    return Runs(starts, values, mask.shape)


def mask_info(data: bytes | bytearray | memoryview | pa.Buffer) -> MaskInfo:
    """Return shape, dtype and codec of an encoded mask from its header alone.

    Examples
    --------
    >>> mask_info(encode(np.zeros((3, 4), np.uint16))).shape
    (3, 4)
    """
    return _header(memoryview(data))[0]


# --- encoding -----------------------------------------------------------------------------------


def _check(mask: npt.NDArray[Any]) -> int:
    if mask.ndim != 2:
        raise InvalidType(f"mask_data must be a 2D array; got {mask.ndim} dimensions, shape {mask.shape}")
    if mask.size == 0:
        raise InvalidValue(f"mask_data is empty: shape {mask.shape}; a mask has at least 1 × 1 pixels")
    code = CODE_OF.get(mask.dtype.newbyteorder("="))
    if code is None:
        raise InvalidType(f"mask_data must hold integers or booleans; got dtype {mask.dtype}")
    if max(mask.shape) >= 1 << 32:
        raise InvalidValue(f"mask_data is too large: shape {mask.shape}; each side must be below 2**32")
    return code if mask.dtype.isnative else code | BIG_ENDIAN


def _smallest(scan: Scan) -> tuple[Codec, bytes]:
    """Return the codec whose payload is the smallest, of several the one with the lowest tag, and that payload."""
    smallest: tuple[Codec, bytes] | None = None
    for codec in known():
        payload = codec.encode(scan) if codec.suits(scan) else None
        if payload is not None and (smallest is None or len(payload) < len(smallest[1])):
            smallest = codec, payload
    assert smallest is not None, "raw suits whatever bands does not"  # noqa: S101
    return smallest


def _asked(scan: Scan, codec: Codec) -> tuple[Codec, bytes]:
    payload = codec.encode(scan) if codec.checked or scan.size <= MAX_RUNS_PIXELS else None
    if payload is None:
        raise InvalidValue(f"codec {codec.name!r} cannot hold this mask of shape {scan.shape}: choose another")
    return codec, payload


# --- decoding -----------------------------------------------------------------------------------


def _header(view: memoryview) -> tuple[MaskInfo, int, Codec]:
    if view.nbytes < OVERHEAD:
        raise CorruptData(f"an encoded mask has at least {OVERHEAD} bytes; got {view.nbytes}")
    magic, version, tag, code, stored, height, width = HEADER.unpack_from(view)
    if magic != MAGIC:
        raise CorruptData(f"not an encoded mask: it begins with {magic!r}, not {MAGIC!r}")
    if version > VERSION:
        raise UnsupportedVersion(f"mask layout version {version}; this reader knows {VERSION}: update maskl")
    dtype = DTYPES.get(code & ~BIG_ENDIAN)
    if version < 1 or dtype is None or stored not in STORED or not height * width:
        raise CorruptData(
            f"the header of an encoded mask is wrong: version {version}, codec {tag}, dtype {code}, "
            f"stored type {stored}, shape ({height}, {width})"
        )
    codec = by_tag(tag)
    if codec is None:
        raise CorruptData(
            f"no codec {tag} is known, by which an encoded mask says that it was written; there are "
            f"{', '.join(f'{codec.tag} {codec.name}' for codec in known())}: import the module that registers it, or "
            f"update maskl"
        )
    dtype = dtype.newbyteorder(">") if code & BIG_ENDIAN else dtype
    return MaskInfo((height, width), dtype, codec.name, DTYPES[stored]), code, codec


def _read(data: bytes | bytearray | memoryview | pa.Buffer) -> tuple[Runs | Pixels, MaskInfo, int]:
    """Return what an encoded mask holds, and the header's information and code of the dtype."""
    view = memoryview(data)
    info, code, codec = _header(view)
    check_pixels(*info.shape)
    payload = view[OVERHEAD:]
    (crc,) = CRC.unpack_from(view, HEADER.size)
    if zlib.crc32(payload, zlib.crc32(view[: HEADER.size])) != crc:
        raise CorruptData(CHANGED)
    found = codec.decode(payload, info)
    if not codec.checked:
        _check_decoded(found, info)
    return found, info, code


def _check_decoded(found: Runs | Pixels, info: MaskInfo) -> None:
    """Raise CorruptData for runs or pixels that are not those of a mask: what uses them does not look."""
    runs = isinstance(found, Runs)
    right = found.shape == info.shape and found.values.dtype.kind in "iu" and found.values.ndim == 1
    if isinstance(found, Pixels):
        right = right and found.values.size == info.size
    else:
        starts = found.starts
        right = right and info.size <= MAX_RUNS_PIXELS and starts.dtype.kind == "i"
        right = right and starts.shape == found.values.shape and starts.size > 0 and starts.item(0) == 0
        right = bool(right and starts.item(-1) < info.size and (starts[1:] > starts[:-1]).all())
    if not right:
        raise CorruptData(f"codec {info.codec!r} made {'runs' if runs else 'pixels'} that are no mask of {info.shape}")
