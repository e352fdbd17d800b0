"""The codec ``zstd``: the values as one zstandard frame; and such frames for other codecs."""

from __future__ import annotations

import threading
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import zstandard

from maskl_storage.errors import CorruptData
from maskl_storage.masks._scan import Scan
from maskl_storage.masks.codecs import Codec, MaskInfo, register
from maskl_storage.masks.run_lengths import Pixels

__all__ = ["Zstd", "compress", "decompress"]

#: zstd stores 128 KiB in no fewer than 4 bytes
MAX_RATIO: Final = 1 << 15
#: what a frame claims to hold is allocated at once up to this size
TRUSTED: Final = 1 << 20

_thread = threading.local()


@register
class Zstd(Codec):
    """The values in raster order, compressed, for what has too many runs."""

    tag = 1
    name = "zstd"
    checked = True

    def suits(self, scan: Scan) -> bool:
        """Whether the mask is noise, or so small that runs may take more."""
        return scan.small or not scan.few_runs

    def encode(self, scan: Scan) -> bytes:
        """Return the values as a frame."""
        return compress(scan.pixels)

    def decode(self, payload: memoryview, info: MaskInfo) -> Pixels:
        """Return the pixels."""
        raw = decompress(payload, info.size * info.stored.itemsize)
        return Pixels(np.frombuffer(raw, info.stored), info.shape)


def compress(values: npt.NDArray[Any]) -> bytes:
    """Return values as a zstandard frame with its content size."""
    return _compressor().compress(values.data)


def decompress(frame: memoryview, size: int) -> bytes:
    """Return the ``size`` bytes that a frame holds.

    Raises
    ------
    CorruptData
        It holds more or fewer, or is broken.
    """
    try:
        claimed = zstandard.frame_content_size(frame)
        if claimed != size or size > len(frame) * MAX_RATIO:
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


def _compressor() -> zstandard.ZstdCompressor:
    # a compressor is not safe to share between threads, and costs more to make than to use
    if not hasattr(_thread, "compressor"):
        _thread.compressor = zstandard.ZstdCompressor(level=1, write_checksum=False, write_dict_id=False)
        _thread.decompressor = zstandard.ZstdDecompressor()
    compressor: zstandard.ZstdCompressor = _thread.compressor
    return compressor


def _read_frame(frame: memoryview) -> bytes:
    """Decompress piece by piece, so that a frame that claims more than it holds costs what it holds."""
    reader = _thread.decompressor.stream_reader(frame, read_across_frames=False)
    pieces = []
    while piece := reader.read(TRUSTED):
        pieces.append(piece)
    return b"".join(pieces)
