"""Frames decoded by other threads before they are asked for, for who reads rows one after the other."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from PIL import Image as PILImage

from maskl.images.threads import encoder_threads
from maskl_storage.disk.forks import renewed
from maskl_storage.disk.futures import Job, Pool

__all__ = ["Decoder", "Decoding", "decoder"]


class Decoding:
    """An image that another thread decodes.

    Parameters
    ----------
    decode : callable
        Returns the pixels.
    """

    __slots__ = ("_decode", "_process", "job")

    def __init__(self, decode: Callable[[], PILImage.Image]) -> None:
        self._decode, self._process = decode, os.getpid()
        self.job = Job(decode)

    def result(self) -> PILImage.Image:
        """Return the pixels, or raise why there are none; a forked child, which has no such thread, decodes itself."""
        return self.job.result() if os.getpid() == self._process else self._decode()


class Decoder:
    """The threads of this process that decode frames ahead: as many as encode, and none where that is one."""

    def __init__(self) -> None:
        self.renew()
        renewed(self)

    def renew(self) -> None:
        """Begin anew: a forked process has no pool threads."""
        self._pool: tuple[int, Pool] | None = None

    @property
    def is_of_use(self) -> bool:
        """Whether there are threads beside the one that asks."""
        return encoder_threads() > 1

    def begin(self, decode: Callable[[], PILImage.Image]) -> Decoding:
        """Have a thread decode an image.

        Raises
        ------
        RuntimeError
            No thread can begin.
        """
        threads, pool = encoder_threads(), self._pool
        if pool is None or pool[0] != threads:  # those of another one end when they have been idle for a while
            pool = self._pool = threads, Pool(threads)
        decoding = Decoding(decode)
        pool[1].submit(decoding.job)
        return decoding


#: the process's decoder
decoder: Final = Decoder()
