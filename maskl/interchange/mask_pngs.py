"""Columns of encoded masks as columns of PNGs, made several at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

import pyarrow as pa

from maskl_storage.disk.cache import Cache
from maskl_storage.masks.png import Filtered, filtered, fits, packed

__all__ = ["MaskPngs"]

#: threads that compress, and bytes of pixels that one takes at a time
THREADS: Final = 2
GROUP_BYTES: Final = 3 << 19
#: bytes of masks and PNGs that are kept
KEPT: Final = 16 << 20


class MaskPngs:
    """Makes PNGs of columns of encoded masks: zlib works on threads, beside the one that decodes.

    Those made last are kept, since the ground truth of a row is that of another epoch's too.
    """

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        #: masks with their PNGs, whose bytes both count
        self._kept: Cache[tuple[bytes, bytes]] = Cache(KEPT, lambda pair: sum(map(len, pair)))

    @classmethod
    @contextmanager
    def started(cls) -> Iterator[MaskPngs]:
        """Start the threads, and end them."""
        with ThreadPoolExecutor(THREADS, "maskl-export-png") as pool:
            yield cls(pool)

    def columns(self, masks: pa.ChunkedArray) -> tuple[pa.Array, pa.Array]:
        """Return the PNG of each mask, and the masks themselves that no PNG can hold; null elsewhere."""
        data: list[bytes | None] = masks.to_pylist()
        found: dict[bytes, bytes] = {}
        new = []
        for mask in dict.fromkeys(mask for mask in data if mask is not None):
            kept = self._kept.get(mask)
            if kept is not None:
                found[mask] = kept[1]
            elif fits(mask):
                new.append(mask)
        for mask, png in zip(new, self._pngs(new), strict=True):
            found[mask] = png
            self._kept.put(mask, (mask, png))
        exact = [mask if mask is not None and mask not in found else None for mask in data]
        pngs = [None if mask is None else found.get(mask) for mask in data]
        return pa.array(pngs, pa.binary()), pa.array(exact, pa.binary())

    def _pngs(self, masks: Sequence[bytes]) -> Iterator[bytes]:
        """Yield the PNG of each mask; so many are compressed in one call that threads rarely wait for each other."""
        waiting: deque[Future[list[bytes]]] = deque()
        group: list[Filtered] = []
        for number, mask in enumerate(masks):
            group.append(filtered(mask))
            if sum(one.lines.size for one in group) >= GROUP_BYTES or number == len(masks) - 1:
                waiting.append(self._pool.submit(lambda ready: list(map(packed, ready)), group))
                group = []
            if len(waiting) > THREADS:
                yield from waiting.popleft().result()
        for done in waiting:
            yield from done.result()
