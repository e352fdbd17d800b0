"""A mask on its way to bytes: its pixels, and where runs of equal ones begin, each found once for all codecs."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from maskl_storage.masks.dtypes import check_values
from maskl_storage.masks.run_lengths import BAND, Pixels, Runs, band_starts, find_changes

__all__ = ["MAX_RUNS_PIXELS", "Scan", "native", "runs_or_pixels"]

BIT_OF_ROW: Final = (1 << np.arange(BAND)).astype(np.uint8)
#: larger masks are not kept as runs: what a reader allocates is then bounded by what it was given
MAX_RUNS_PIXELS: Final = 1 << 26
#: a mask with fewer pixels for each run is counted by its pixels
PIXELS_A_RUN: Final = 8
#: up to this many pixels every codec is tried, because headers weigh more than cleverness
SMALL: Final = 4096


class Scan:
    """The pixels and runs of a mask that is encoded.

    Parameters
    ----------
    mask : ndarray of int or bool, shape (H, W)
        The mask; nothing of it is kept after encoding.

    Attributes
    ----------
    shape : tuple of int
        ``(H, W)``.
    size : int
        H · W.
    stored : dtype
        The narrowest type that holds the values; what a codec writes has to be of it.
    few_runs : bool
        Whether runs are the way to keep the mask; False for noise, and for what is too large.
    small : bool
        Whether the mask is so small that any codec may win.

    Raises
    ------
    InvalidValue
        A value outside signed 32 bits.
    """

    __slots__ = (
        "_cells",
        "_change",
        "_events",
        "_flat",
        "_pixels",
        "_runs",
        "few_runs",
        "shape",
        "size",
        "small",
        "stored",
    )

    def __init__(self, mask: npt.NDArray[Any]) -> None:
        height, width = mask.shape
        self.shape = (height, width)
        self.size = mask.size
        self.small = mask.size <= SMALL
        self._flat = native(mask).reshape(-1)
        banded = self.size <= MAX_RUNS_PIXELS
        self._change = find_changes(self._flat, height, width, padded=banded)
        self._cells: tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]] | None = None
        self._events: tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]] | None = None
        self._runs: Runs | Pixels | None = None
        self._pixels: npt.NDArray[Any] | None = None
        self.few_runs = False
        if banded:
            bits = self._change.view(np.uint8).reshape(-1, BAND, width)
            cells = np.einsum("brc,r->bc", bits, BIT_OF_ROW).reshape(-1)
            columns = cells.view(np.bool_).nonzero()[0].astype(np.int32)
            self._cells = cells, columns
            self.few_runs = 2 * columns.size <= cells.size or self.small
        if self.few_runs:
            starts = band_starts(*self.events, width)
            values = self._flat.take(starts)
            self._runs = Runs(starts, values, self.shape)
            self.stored = check_values(values)
        else:
            self.stored = check_values(self._flat)

    @property
    def events(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
        """The columns of bands in which runs begin, and a bit for each of the band's rows; of up to 2²⁶ pixels."""
        if self._events is None:
            assert self._cells is not None, "a mask of more than MAX_RUNS_PIXELS has no events"  # noqa: S101
            cells, columns = self._cells
            self._events = columns, cells.take(columns)
        return self._events

    @property
    def pixels(self) -> npt.NDArray[Any]:
        """The values in raster order, of the stored type, shape (H · W,): a copy."""
        if self._pixels is None:
            self._pixels = self._flat.astype(self.stored)
        return self._pixels

    @property
    def runs(self) -> Runs:
        """The runs of equal pixels; their values are of any integer type that holds them."""
        return self.countable.to_runs()

    @property
    def countable(self) -> Runs | Pixels:
        """What statistics are computed from: the runs, or the pixels where those are counted sooner."""
        if self._runs is None:
            self._runs = runs_or_pixels(self.pixels, self._change, self.shape)
        return self._runs


def runs_or_pixels(flat: npt.NDArray[Any], change: npt.NDArray[np.bool_], shape: tuple[int, int]) -> Runs | Pixels:
    """Return the runs of pixels, or the pixels themselves where those take less memory and time to count."""
    if np.count_nonzero(change) * PIXELS_A_RUN > flat.size:
        return Pixels(flat, shape)
    starts = change.nonzero()[0]
    return Runs(starts, flat.take(starts), shape)


def native(mask: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a mask in this machine's byte order, C-ordered, booleans as 0 and 1."""
    if not mask.dtype.isnative:
        mask = mask.astype(mask.dtype.newbyteorder("="))
    mask = np.ascontiguousarray(mask)
    # a True may be any byte but 0: Pillow's is 255
    return (mask.view(np.uint8) != 0).view(np.uint8) if mask.dtype == np.bool_ else mask
