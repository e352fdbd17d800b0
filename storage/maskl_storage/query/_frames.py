"""What a limited query and the process that answers it say to each other: frames of a kind, a length and so many bytes.

The process that asks sends pickles; what comes back is JSON and Arrow, which make nothing but data.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Final

__all__ = [
    *("DONE", "FAILED", "MAGIC", "OPENED", "PAUSED", "QUESTION", "READY", "ROWS", "RUNNING", "SNAPSHOT"),
    *("Ended", "head", "receive"),
]

#: to the process: the moment of a store that questions are asked of, and a question
SNAPSHOT, QUESTION = b"S", b"Q"
#: from it: it has begun, it has opened the moment, the query's time runs or does not, rows, the end of the answer
READY, OPENED, RUNNING, PAUSED, ROWS, DONE, FAILED = b"R", b"O", b"T", b"P", b"A", b"D", b"E"
#: what a process says that is the one that was to begin
MAGIC: Final = b"maskl query worker 1"

_HEAD: Final = struct.Struct("<cQ")


class Ended(Exception):  # never leaves this room: the other process is no more
    """The other process said nothing more."""


def head(kind: bytes, size: int) -> bytes:
    """Return what a frame begins with."""
    return _HEAD.pack(kind, size)


def receive(
    file: io.RawIOBase, allowed: Callable[[bytes, int], None] = lambda _kind, _size: None
) -> tuple[bytes, bytearray]:
    """Read a frame, and return its kind and its bytes.

    Parameters
    ----------
    file : io.RawIOBase
        What it comes from.
    allowed : callable, optional
        Is told the kind and the size before that much is read, and may raise.

    Raises
    ------
    Ended
        There is no more.
    """
    kind, size = _HEAD.unpack(_exactly(file, _HEAD.size))
    allowed(kind, size)
    return kind, _exactly(file, size)


def _exactly(file: io.RawIOBase, size: int) -> bytearray:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        got = file.readinto(view)
        if not got:
            raise Ended
        view = view[got:]
    view.release()
    return data
