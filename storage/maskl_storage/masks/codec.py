"""Mask arrays to bytes and back; the layout is section 3 of SPEC.md.

A mask is cut into runs of equal pixels in raster order. The run starts are what is stored, and they
are also what the statistics are computed from, so that no second pass over the pixels is needed.
"""

from __future__ import annotations

import struct
import threading
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import zstandard

from maskl_storage.errors import CorruptData, InvalidType, InvalidValue, UnsupportedVersion
from maskl_storage.lazy import LazyModule
from maskl_storage.masks.run_lengths import BAND, Pixels, Runs, band_starts, expand, find_changes

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = LazyModule("pyarrow")

__all__ = [
    "MaskInfo",
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
RAW, ZSTD, BANDS = 0, 1, 2
CODECS: Final = {RAW: "raw", ZSTD: "zstd", BANDS: "bands"}

#: code of a dtype in the header; the high bit says big-endian
DTYPES: Final[dict[int, np.dtype[Any]]] = {
    1: np.dtype(np.bool_),
    2: np.dtype(np.uint8),
    3: np.dtype(np.int8),
    4: np.dtype(np.uint16),
    5: np.dtype(np.int16),
    6: np.dtype(np.uint32),
    7: np.dtype(np.int32),
    8: np.dtype(np.uint64),
    9: np.dtype(np.int64),
}
CODE_OF: Final = {dtype: code for code, dtype in DTYPES.items()}
BIG_ENDIAN: Final = 0x80
#: the types that values are stored in, narrowest first
STORED: Final = (2, 3, 4, 5, 7)

HEADER: Final = struct.Struct("<4sBBBBII")  # magic, version, codec, dtype, stored type, height, width
CRC: Final = struct.Struct("<I")
COUNTS: Final = struct.Struct("<II")  # events, runs
OVERHEAD: Final = HEADER.size + CRC.size

BIT_OF_ROW: Final = (1 << np.arange(BAND)).astype(np.uint8)
#: larger masks are kept as plain zstd: what a reader allocates is then bounded by what it was given
MAX_BANDS_PIXELS: Final = 1 << 26
#: zstd stores 128 KiB in no fewer than 4 bytes
MAX_ZSTD_RATIO: Final = 1 << 15
#: what a frame claims to hold is allocated at once up to this size
TRUSTED: Final = 1 << 20
#: a mask with fewer pixels for each run is counted by its pixels
PIXELS_A_RUN: Final = 8
#: below this many pixels every codec is tried, because headers weigh more than cleverness
SMALL: Final = 4096

_thread = threading.local()


@dataclass(frozen=True, slots=True)
class MaskInfo:
    """What the header of an encoded mask says."""

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    codec: str
    stored: np.dtype[Any]


def encode(mask: npt.ArrayLike) -> bytes:
    """Encode a mask.

    Parameters
    ----------
    mask : array_like of int or bool, shape (H, W)
        Any memory layout; H and W at least 1; values within signed 32 bits.

    Returns
    -------
    bytes
        What :func:`decode` turns back into an equal array of the same dtype.

    Raises
    ------
    InvalidType
        Not two-dimensional, or not of an integer or bool dtype.
    InvalidValue
        Empty, or a value outside signed 32 bits.

    Examples
    --------
    >>> data = encode(np.eye(100, dtype=np.int64))
    >>> decode(data).dtype, len(data) < 300
    (dtype('int64'), True)
    """
    return encode_with_runs(np.asarray(mask))[0]


def encode_with_runs(mask: npt.NDArray[Any]) -> tuple[bytes, Runs | Pixels]:
    """Encode a mask and return what statistics are computed from: its runs, or its pixels where it is noise."""
    code = _check(mask)
    height, width = mask.shape
    flat = _native(mask).reshape(-1)
    bands = flat.size <= MAX_BANDS_PIXELS
    change = find_changes(flat, height, width, padded=bands)
    if bands:
        folded = np.einsum("brc,r->bc", change.view(np.uint8).reshape(-1, BAND, width), BIT_OF_ROW).reshape(-1)
        columns = folded.view(np.bool_).nonzero()[0].astype(np.int32)
        bands = 2 * columns.size <= folded.size or flat.size <= SMALL
    runs: Runs | Pixels
    if not bands:
        stored = check_values(flat)
        pixels = flat.astype(stored)  # a copy, since what is returned must not be the caller's
        runs = _runs_or_pixels(pixels, change, (height, width))
        payload, codec = _smallest_plain(pixels)
    else:
        bits = folded.take(columns)
        starts = band_starts(columns, bits, width)
        values = flat.take(starts)
        stored = check_values(values)
        runs = Runs(starts, values, (height, width))
        payload, codec = _pack_bands(columns, bits, values.astype(stored, copy=False)), BANDS
        if flat.size <= SMALL:
            other, other_codec = _smallest_plain(flat.astype(stored, copy=False))
            if len(other) <= len(payload):
                payload, codec = other, other_codec
    head = HEADER.pack(MAGIC, VERSION, codec, code, CODE_OF[stored], height, width)
    crc = CRC.pack(zlib.crc32(payload, zlib.crc32(head)))
    return b"".join((head, crc, payload)), runs


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
        The bytes are torn, truncated, altered, or say something impossible. Nothing larger than
        the mask that the payload can really hold is allocated before that is known.
    UnsupportedVersion
        The bytes were written by a newer version of the layout.
    """
    info, code, payload = _open(data)
    logged = DTYPES[code & ~BIG_ENDIAN]
    if info.codec == "bands":
        runs = _unpack_bands(payload, info)
        values = _fit(runs.values, logged)
        flat = expand(runs.starts, values, runs.size)
    else:
        flat = _fit(_plain(payload, info), logged)
    out = flat.reshape(info.shape).view(logged)
    return out.astype(info.dtype) if code & BIG_ENDIAN else out


def runs_of(data: bytes | bytearray | memoryview | pa.Buffer) -> Runs:
    """Return the runs of an encoded mask, without making its pixels where that can be avoided."""
    return countable(data).to_runs()


def countable(data: bytes | bytearray | memoryview | pa.Buffer) -> Runs | Pixels:
    """Return the runs of an encoded mask, or its pixels where those are counted sooner."""
    info, _, payload = _open(data)
    if info.codec == "bands":
        return _unpack_bands(payload, info)
    flat = _plain(payload, info)
    return _runs_or_pixels(flat, find_changes(flat, *info.shape, padded=False), info.shape)


def find_runs(mask: npt.NDArray[Any]) -> Runs:
    """Return the runs of a mask that is not encoded; :func:`encode` says which arrays are masks."""
    _check(mask)
    flat = _native(mask).reshape(-1)
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


def _runs_or_pixels(flat: npt.NDArray[Any], change: npt.NDArray[np.bool_], shape: tuple[int, int]) -> Runs | Pixels:
    """Return the runs of pixels, or the pixels themselves where those take less memory and time to count."""
    if np.count_nonzero(change) * PIXELS_A_RUN > flat.size:
        return Pixels(flat, shape)
    starts = change.nonzero()[0]
    return Runs(starts, flat.take(starts), shape)


def _native(mask: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if not mask.dtype.isnative:
        mask = mask.astype(mask.dtype.newbyteorder("="))
    mask = np.ascontiguousarray(mask)
    # a True may be any byte but 0: Pillow's is 255
    return (mask.view(np.uint8) != 0).view(np.uint8) if mask.dtype == np.bool_ else mask


def check_values(values: npt.NDArray[Any]) -> np.dtype[Any]:
    """Return the narrowest type that holds the values, or raise InvalidValue where none does."""
    if values.dtype.itemsize == 1:
        return values.dtype
    low, high = int(values.min()), int(values.max())
    for code in STORED:
        info = np.iinfo(DTYPES[code])
        if info.min <= low and high <= info.max:
            return DTYPES[code]
    raise InvalidValue(
        f"mask_data holds values from {low} to {high}; class ids must be within signed 32 bits "
        f"(−2147483648 to 2147483647): map them to smaller ids first"
    )


def _smallest_plain(pixels: npt.NDArray[Any]) -> tuple[bytes, int]:
    packed = _compressor().compress(pixels.data)
    return (packed, ZSTD) if len(packed) < pixels.nbytes else (pixels.tobytes(), RAW)


def _pack_bands(columns: npt.NDArray[np.int32], bits: npt.NDArray[np.uint8], values: npt.NDArray[Any]) -> bytes:
    gaps = np.empty_like(columns)
    gaps[0] = 1
    np.subtract(columns[1:], columns[:-1], out=gaps[1:])
    tail = values.view(np.uint8)
    if gaps.max() > 255:  # a gap too wide for a byte is bridged by events without a row
        bridges = (gaps - 1) // 255
        place = (bridges + 1).cumsum() - 1
        events = int(place[-1]) + 1
        body = np.empty(2 * events + tail.size, np.uint8)
        body[:events] = 255
        body[events : 2 * events] = 0
        body[place] = gaps - 255 * bridges
        body[events : 2 * events][place] = bits
    else:
        events = columns.size
        body = np.empty(2 * events + tail.size, np.uint8)
        body[:events] = gaps
        body[events : 2 * events] = bits
    body[2 * events :] = tail
    return COUNTS.pack(events, values.size) + _compressor().compress(body.data)


def _compressor() -> zstandard.ZstdCompressor:
    # a compressor is not safe to share between threads, and costs more to make than to use
    if not hasattr(_thread, "compressor"):
        _thread.compressor = zstandard.ZstdCompressor(level=1, write_checksum=False, write_dict_id=False)
        _thread.decompressor = zstandard.ZstdDecompressor()
    compressor: zstandard.ZstdCompressor = _thread.compressor
    return compressor


# --- decoding -----------------------------------------------------------------------------------


def _header(view: memoryview) -> tuple[MaskInfo, int]:
    if view.nbytes < OVERHEAD:
        raise CorruptData(f"an encoded mask has at least {OVERHEAD} bytes; got {view.nbytes}")
    magic, version, codec, code, stored, height, width = HEADER.unpack_from(view)
    if magic != MAGIC:
        raise CorruptData(f"not an encoded mask: it begins with {magic!r}, not {MAGIC!r}")
    if version > VERSION:
        raise UnsupportedVersion(f"mask layout version {version}; this reader knows {VERSION}: update maskl")
    dtype = DTYPES.get(code & ~BIG_ENDIAN)
    if version < 1 or codec not in CODECS or dtype is None or stored not in STORED or not height * width:
        raise CorruptData(
            f"the header of an encoded mask is wrong: version {version}, codec {codec}, dtype {code}, "
            f"stored type {stored}, shape ({height}, {width})"
        )
    dtype = dtype.newbyteorder(">") if code & BIG_ENDIAN else dtype
    return MaskInfo((height, width), dtype, CODECS[codec], DTYPES[stored]), code


def _open(data: bytes | bytearray | memoryview | pa.Buffer) -> tuple[MaskInfo, int, memoryview]:
    view = memoryview(data)
    info, code = _header(view)
    payload = view[OVERHEAD:]
    (crc,) = CRC.unpack_from(view, HEADER.size)
    if zlib.crc32(payload, zlib.crc32(view[: HEADER.size])) != crc:
        raise CorruptData("the checksum of an encoded mask does not match: its bytes were altered or cut")
    return info, code, payload


def _decompress(frame: memoryview, size: int) -> bytes:
    try:
        claimed = zstandard.frame_content_size(frame)
        if claimed != size or size > len(frame) * MAX_ZSTD_RATIO:
            raise CorruptData(
                f"an encoded mask lies about its size: {size} bytes by its header, "
                f"{claimed} by its frame of {len(frame)} bytes"
            )
        _compressor()
        out = _read_frame(frame) if size > TRUSTED else _thread.decompressor.decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise CorruptData(f"the payload of an encoded mask does not decompress: {error}") from error
    if len(out) != size:
        raise CorruptData(f"the payload of an encoded mask has {len(out)} bytes; expected {size}")
    return out


def _read_frame(frame: memoryview) -> bytes:
    """Decompress piece by piece, so that a frame that claims more than it holds costs what it holds."""
    reader = _thread.decompressor.stream_reader(frame, read_across_frames=False)
    pieces = []
    while piece := reader.read(TRUSTED):
        pieces.append(piece)
    return b"".join(pieces)


def _plain(payload: memoryview, info: MaskInfo) -> npt.NDArray[Any]:
    size = info.shape[0] * info.shape[1] * info.stored.itemsize
    raw: bytes | memoryview = payload
    if info.codec == "zstd":
        raw = _decompress(payload, size)
    elif len(payload) != size:
        raise CorruptData(f"an encoded mask of shape {info.shape} needs {size} bytes; got {len(payload)}")
    return np.frombuffer(raw, info.stored)


def _unpack_bands(payload: memoryview, info: MaskInfo) -> Runs:
    height, width = info.shape
    size = height * width
    if len(payload) < COUNTS.size:
        raise CorruptData("the payload of an encoded mask is truncated")
    events, runs = COUNTS.unpack_from(payload)
    cells = -(-height // BAND) * width
    if size > MAX_BANDS_PIXELS or not 1 <= events <= cells or not 1 <= runs <= min(size, BAND * events):
        raise CorruptData(f"an encoded mask of shape {info.shape} cannot have {events} events, {runs} runs")
    raw = _decompress(payload[COUNTS.size :], 2 * events + runs * info.stored.itemsize)
    body = np.frombuffer(raw, np.uint8)
    gaps, bits = body[:events], body[events : 2 * events]
    columns = gaps.cumsum(dtype=np.int32 if 255 * events < 1 << 31 else np.int64)
    if columns.item(-1) > cells or gaps.min() == 0:
        raise CorruptData("the events of an encoded mask do not fit its shape")
    columns = columns.astype(np.int32, copy=False)
    columns -= 1
    starts = band_starts(columns, bits, width)
    if starts.size != runs or starts.item(0) != 0 or starts.item(-1) >= size:
        raise CorruptData("the runs of an encoded mask do not fit its shape")
    return Runs(starts, np.frombuffer(raw, info.stored, offset=2 * events), info.shape)


def _fit(values: npt.NDArray[Any], logged: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return the values in the dtype that was logged (bool as uint8), refusing what it cannot hold."""
    target = np.dtype(np.uint8) if logged == np.bool_ else logged
    if logged == np.bool_ or not np.can_cast(values.dtype, target):
        info = np.iinfo(target)
        top = 1 if logged == np.bool_ else info.max
        if int(values.min()) < info.min or int(values.max()) > top:
            raise CorruptData(f"an encoded mask holds values that {logged} cannot")
    return values.astype(target)
