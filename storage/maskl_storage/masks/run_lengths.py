"""Runs of equal pixels: found in an array, recovered from bands, expanded to pixels again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["BAND", "Pixels", "Runs", "band_starts", "expand", "find_changes"]

#: rows a band
BAND: Final = 8


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs of equal pixels of a mask, in raster order.

    Parameters
    ----------
    starts : ndarray of int32 or int64, shape (n,)
        Flat position of each run's first pixel; ``starts[0] == 0``, strictly increasing.
    values : ndarray, shape (n,)
        The pixel value of each run, in any integer type that holds it.
    shape : tuple of int
        ``(H, W)`` of the mask.
    """

    starts: npt.NDArray[np.int32] | npt.NDArray[np.int64]
    values: npt.NDArray[Any]
    shape: tuple[int, int]

    @property
    def size(self) -> int:
        """Number of pixels of the mask."""
        return self.shape[0] * self.shape[1]

    def to_runs(self) -> Runs:
        """Return the runs themselves."""
        return self

    def between(self, start: int, stop: int) -> Runs:
        """Return the runs of the pixels from one flat position up to another, as of a mask of one row."""
        first = int(self.starts.searchsorted(start, "right")) - 1
        last = int(self.starts.searchsorted(stop))
        starts = self.starts[first:last] - start
        starts[0] = 0
        return Runs(starts, self.values[first:last], (1, stop - start))


@dataclass(frozen=True, slots=True)
class Pixels:
    """A mask that is counted pixel by pixel, since it has too many runs: those would take more memory.

    Parameters
    ----------
    values : ndarray, shape (H·W,)
        The pixels in raster order.
    shape : tuple of int
        ``(H, W)`` of the mask.
    """

    values: npt.NDArray[Any]
    shape: tuple[int, int]

    @property
    def size(self) -> int:
        """Number of pixels of the mask."""
        return self.values.size

    def to_runs(self) -> Runs:
        """Return the runs of these pixels."""
        starts = np.concatenate(([0], np.flatnonzero(self.values[1:] != self.values[:-1]) + 1))
        return Runs(starts, self.values.take(starts), self.shape)

    def between(self, start: int, stop: int) -> Pixels:
        """Return the pixels from one flat position up to another, as of a mask of one row."""
        return Pixels(self.values[start:stop], (1, stop - start))


def find_changes(flat: npt.NDArray[Any], height: int, width: int, *, padded: bool) -> npt.NDArray[np.bool_]:
    """Mark each pixel that differs from the one before it in raster order, and the first."""
    size = -(-height // BAND) * BAND * width if padded else flat.size
    change = np.empty(size, np.bool_)
    change[0] = True
    np.not_equal(flat[1:], flat[:-1], out=change[1 : flat.size])
    change[flat.size :] = False
    return change


def band_starts(columns: npt.NDArray[np.int32], bits: npt.NDArray[np.uint8], width: int) -> npt.NDArray[np.int32]:
    """Turn columns of bands and their row bits into sorted flat positions."""
    first_row = columns // np.int32(width)
    first_row *= (BAND - 1) * width
    first_row += columns
    bit = np.unpackbits(bits, bitorder="little").view(np.bool_).nonzero()[0]
    starts = first_row.take(bit >> 3)
    row = bit.astype(np.int32)
    row &= BAND - 1
    row *= width
    starts += row
    starts.sort()
    return starts


def expand(starts: npt.NDArray[Any], values: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """Repeat each value up to the next start; Arrow's kernel is twice as fast as np.repeat."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ends = np.empty(starts.size, np.int32)
    ends[:-1] = starts[1:]
    ends[-1] = size
    kind = pa.from_numpy_dtype(values.dtype)
    # unchecked, so the callers have made sure that starts increase from 0 and stay below size
    children = [
        pa.Array.from_buffers(pa.int32(), ends.size, [None, pa.py_buffer(ends)]),
        pa.Array.from_buffers(kind, values.size, [None, pa.py_buffer(values)]),
    ]
    encoded = pa.Array.from_buffers(pa.run_end_encoded(pa.int32(), kind), size, [None], 0, 0, children)
    buffer = pc.run_end_decode(encoded).buffers()[1]
    flat = np.frombuffer(buffer, values.dtype, size)
    return flat if flat.flags.writeable else flat.copy()
