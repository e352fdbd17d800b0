"""The codec ``bands``: where runs of equal pixels begin, 8 rows at a time, and the value of each run."""

from __future__ import annotations

import struct
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from maskl_storage.errors import CorruptData
from maskl_storage.masks._scan import MAX_RUNS_PIXELS, Scan
from maskl_storage.masks.codecs import Codec, MaskInfo, register
from maskl_storage.masks.codecs.zstd import compress, decompress
from maskl_storage.masks.run_lengths import BAND, Runs, band_starts

__all__ = ["Bands"]

COUNTS: Final = struct.Struct("<II")  # events, runs


@register
class Bands(Codec):
    """The starts of runs as gaps between columns of bands and bits of rows, for what has regions."""

    tag = 2
    name = "bands"
    checked = True

    def suits(self, scan: Scan) -> bool:
        """Whether few runs begin."""
        return scan.few_runs

    def encode(self, scan: Scan) -> bytes | None:
        """Return events and values; None for a mask that is too large."""
        if scan.size > MAX_RUNS_PIXELS:
            return None
        columns, bits = scan.events
        return _packed(columns, bits, scan.runs.values.astype(scan.stored, copy=False))

    def decode(self, payload: memoryview, info: MaskInfo) -> Runs:
        """Return the runs."""
        height, width = info.shape
        if len(payload) < COUNTS.size:
            raise CorruptData("the payload of an encoded mask is truncated")
        events, runs = COUNTS.unpack_from(payload)
        cells = -(-height // BAND) * width
        possible = 1 <= events <= cells and 1 <= runs <= min(info.size, BAND * events)
        if info.size > MAX_RUNS_PIXELS or not possible:
            raise CorruptData(f"an encoded mask of shape {info.shape} cannot have {events} events, {runs} runs")
        raw = decompress(payload[COUNTS.size :], 2 * events + runs * info.stored.itemsize)
        body = np.frombuffer(raw, np.uint8)
        gaps, bits = body[:events], body[events : 2 * events]
        columns = gaps.cumsum(dtype=np.int32 if 255 * events < 1 << 31 else np.int64)
        if columns.item(-1) > cells or gaps.min() == 0:
            raise CorruptData("the events of an encoded mask do not fit its shape")
        columns = columns.astype(np.int32, copy=False)
        columns -= 1
        starts = band_starts(columns, bits, width)
        if starts.size != runs or starts.item(0) != 0 or starts.item(-1) >= info.size:
            raise CorruptData("the runs of an encoded mask do not fit its shape")
        return Runs(starts, np.frombuffer(raw, info.stored, offset=2 * events), info.shape)


def _packed(columns: npt.NDArray[np.int32], bits: npt.NDArray[np.uint8], values: npt.NDArray[Any]) -> bytes:
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
    return COUNTS.pack(events, values.size) + compress(body)
