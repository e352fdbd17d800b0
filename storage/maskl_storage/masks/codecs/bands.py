"""The codec ``bands``: where runs of equal pixels begin, 8 rows at a time, and the value of each run."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from maskl_storage.errors import CorruptData
from maskl_storage.masks._scan import MAX_RUNS_PIXELS, Scan
from maskl_storage.masks.codecs import Codec, MaskInfo, Packed, register
from maskl_storage.masks.codecs.zstd import compress, decompress
from maskl_storage.masks.run_lengths import BAND, Runs, band_starts

__all__ = ["Bands", "Events"]

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

    def unpack(self, payload: memoryview, info: MaskInfo) -> Events:
        """Return events and values as they were written."""
        height, width = info.shape
        if len(payload) < COUNTS.size:
            raise CorruptData("the payload of an encoded mask is truncated")
        events, runs = COUNTS.unpack_from(payload)
        cells = -(-height // BAND) * width
        possible = 1 <= events <= cells and 1 <= runs <= min(info.size, BAND * events)
        if info.size > MAX_RUNS_PIXELS or not possible:
            raise CorruptData(f"an encoded mask of shape {info.shape} cannot have {events} events, {runs} runs")
        raw = decompress(payload[COUNTS.size :], 2 * events + runs * info.stored.itemsize)
        return Events(raw, events, runs, info)

    def decode(self, payload: memoryview, info: MaskInfo) -> Runs:
        """Return the runs."""
        return self.unpack(payload, info).to_runs()


@dataclass(frozen=True, slots=True)
class Events(Packed):
    """The events and values of one mask.

    Parameters
    ----------
    raw : bytes
        A byte of each event's gap, one of its rows, and the values.
    events, runs : int
        How many of these there are.
    info : MaskInfo
        What the mask's header says.
    """

    raw: bytes
    events: int
    runs: int
    info: MaskInfo

    @property
    def weight(self) -> int:
        """How many numbers it takes to count them."""
        return self.events + self.runs

    def to_runs(self) -> Runs:
        """Return the runs.

        Raises
        ------
        CorruptData
            They do not fit the mask's shape.
        """
        (height, width), events = self.info.shape, self.events
        body = np.frombuffer(self.raw, np.uint8)
        gaps, bits = body[:events], body[events : 2 * events]
        columns = gaps.cumsum(dtype=np.int32 if 255 * events < 1 << 31 else np.int64)
        if columns.item(-1) > -(-height // BAND) * width or gaps.min() == 0:
            raise CorruptData("the events of an encoded mask do not fit its shape")
        columns = columns.astype(np.int32, copy=False)
        columns -= 1
        starts = band_starts(columns, bits, width)
        if starts.size != self.runs or starts.item(0) != 0 or starts.item(-1) >= self.info.size:
            raise CorruptData("the runs of an encoded mask do not fit its shape")
        return Runs(starts, np.frombuffer(self.raw, self.info.stored, offset=2 * events), self.info.shape)

    @staticmethod
    def all_starts(masks: Sequence[Events]) -> npt.NDArray[np.int64] | None:
        """Return the starts of the runs of masks of one shape, those of the mask i from i · H · W on.

        None where a mask's do not fit its shape; :meth:`to_runs` says what is wrong.
        """
        (height, width), size = masks[0].info.shape, masks[0].info.size
        events = np.fromiter((mask.events for mask in masks), np.int64, len(masks))
        runs = np.fromiter((mask.runs for mask in masks), np.int64, len(masks))
        gaps = np.frombuffer(b"".join([mask.raw[: mask.events] for mask in masks]), np.uint8)
        bits = np.frombuffer(b"".join([mask.raw[mask.events : 2 * mask.events] for mask in masks]), np.uint8)
        columns = gaps.cumsum(dtype=np.int64)
        ends = events.cumsum()
        before = np.concatenate(([0], columns[ends[:-1] - 1]))
        if gaps.min() == 0 or (columns[ends - 1] - before > -(-height // BAND) * width).any():
            return None
        columns -= (before + 1).repeat(events)
        first = columns // width
        first *= (BAND - 1) * width
        first += columns
        bit = np.unpackbits(bits, bitorder="little").view(np.bool_).nonzero()[0]
        if (np.diff(bit.searchsorted(BAND * ends), prepend=0) != runs).any():
            return None
        starts = first.take(bit >> 3)
        starts += (bit & (BAND - 1)) * width
        if starts.max() >= size:
            return None
        starts += (np.arange(len(masks)) * size).repeat(runs)
        starts.sort()
        begins = starts[np.concatenate(([0], runs.cumsum()[:-1]))]
        return starts if (begins == np.arange(len(masks)) * size).all() else None


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
