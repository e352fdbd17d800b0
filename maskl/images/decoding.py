"""Frames decoded by other threads before they are asked for, for who reads rows one after the other."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from typing import Final

from PIL import Image as PILImage

from maskl_storage.disk.forks import renewed
from maskl_storage.disk.futures import Pool

__all__ = ["Decoder", "Decoding", "decoder"]

#: more threads than these do not help who asks for one row after the other
MOST: Final = 8


class Decoding:
    """An image that another thread decodes.

    Parameters
    ----------
    decode : callable
        Returns the pixels.
    pool : Pool
        Whose thread it is.
    """

    __slots__ = ("_decode", "_job", "_pool")

    def __init__(self, decode: Callable[[], PILImage.Image], pool: Pool) -> None:
        self._decode, self._pool = decode, pool
        self._job = pool.submit(decode)

    def result(self) -> PILImage.Image:
        """Return the pixels, or raise why there are none; a forked child, which has no such thread, decodes itself."""
        return self._job.result() if self._pool is decoder.pool else self._decode()

    def drop(self) -> None:
        """Leave it, if nobody began it."""
        self._job.drop()


class Decoder:
    """The threads of this process that decode frames ahead.

    There are none in a process that another began for its work, as the workers of a DataLoader are: who begins several
    has one for each core.
    """

    def __init__(self) -> None:
        self.threads = 0 if multiprocessing.parent_process() is not None else min(MOST, _cores())
        self.pool = Pool(self.threads)
        renewed(self)

    def renew(self) -> None:
        """Have none in a forked child."""
        self.threads = 0
        self.pool = Pool(0)

    def begin(self, decode: Callable[[], PILImage.Image]) -> Decoding:
        """Have a thread decode an image.

        Raises
        ------
        RuntimeError
            No thread can begin.
        """
        return Decoding(decode, self.pool)


def _cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


#: the process's decoder
decoder: Final = Decoder()
