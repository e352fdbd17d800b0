"""Frames decoded by other threads before they are asked for, for who reads rows one after the other."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from PIL import Image as PILImage

from maskl.images.threads import Threads
from maskl_storage.disk.futures import Job

__all__ = ["Decoding", "decoders"]

#: the threads of this process that decode frames ahead: as many as encode
decoders: Final = Threads()


class Decoding:
    """An image that another thread decodes.

    Parameters
    ----------
    decode : callable
        Returns the pixels.

    Raises
    ------
    RuntimeError
        No thread can begin.
    """

    __slots__ = ("_decode", "_job", "_process")

    def __init__(self, decode: Callable[[], PILImage.Image]) -> None:
        self._decode, self._process = decode, os.getpid()
        self._job = Job(decode)
        decoders.submit(self._job)

    def result(self) -> PILImage.Image:
        """Return the pixels, or raise why there are none; a forked child, which has no such thread, decodes itself."""
        return self._job.result() if os.getpid() == self._process else self._decode()
