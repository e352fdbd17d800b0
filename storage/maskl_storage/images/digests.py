"""Many digests in little memory: the first eight bytes of each, sorted."""

from __future__ import annotations

import binascii
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["Digests"]

#: digests that wait to be sorted
WAITING = 1 << 20


class Digests:
    """A set of digests; of a million, one that is not in it is taken for another once in ten million times.

    Examples
    --------
    >>> digests = Digests()
    >>> digests.add(pa.array(["0" * 64, None, "f" * 64]))
    >>> digests.has(pa.array(["f" * 64, "1" * 64])).tolist()
    [True, False]
    """

    def __init__(self) -> None:
        self._sorted = np.zeros(0, np.uint64)
        self._waiting: list[npt.NDArray[np.uint64]] = []
        self._count = 0

    def add(self, digests: pa.Array) -> None:
        """Add the digests of a column; what is null or no digest is left out."""
        found = heads(digests)
        self._waiting.append(found)
        self._count += found.size
        if self._count > WAITING:
            self._sort()

    def has(self, digests: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.bool_]:
        """Tell of each digest whether it was added."""
        self._sort()
        wanted = np.array([_head(value) for value in digests.to_pylist()], np.uint64)
        if not self._sorted.size:
            return np.zeros(wanted.size, np.bool_)
        places = self._sorted.searchsorted(wanted).clip(max=self._sorted.size - 1)
        return np.asarray(self._sorted[places] == wanted)

    def __len__(self) -> int:
        self._sort()
        return int(self._sorted.size)

    def _sort(self) -> None:
        if self._waiting:
            self._sorted = np.unique(np.concatenate([self._sorted, *self._waiting]))
            self._waiting, self._count = [], 0


def heads(digests: pa.Array) -> npt.NDArray[np.uint64]:
    """Return the first eight bytes of each digest of a column."""
    known = digests.drop_null()
    values: list[Any] = known.to_pylist()
    try:
        raw = binascii.unhexlify("".join(value[:16] for value in values))
        if len(raw) == 8 * len(values):
            return np.frombuffer(raw, ">u8").astype(np.uint64)
    except (binascii.Error, ValueError):
        pass
    return np.array([_head(value) for value in values], np.uint64)


def _head(digest: str | None) -> int:
    """Return the first eight bytes of what should be a digest; of what is none, a number that tells it apart."""
    try:
        return int((digest or "")[:16], 16)
    except ValueError:
        return hash(digest) & ((1 << 64) - 1)
