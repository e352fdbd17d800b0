"""Waiting for what another thread does, so that a signal in the middle raises what its handler raises and no more.

A condition of :mod:`threading` that is interrupted while it waits is let go of twice: RuntimeError comes out of it, in
the place of KeyboardInterrupt. Locks and queues that are written in C are interrupted before or after.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

__all__ = ["Places", "result_of"]

T = TypeVar("T")


def result_of(future: Future[T]) -> T:
    """Wait for a future, and return its result or raise its error.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> with ThreadPoolExecutor(1) as pool:
    ...     result_of(pool.submit(sum, [1, 2]))
    3
    """
    if not future.done():
        done = threading.Lock()
        done.acquire()
        future.add_done_callback(lambda _: done.release())
        done.acquire()
    return future.result()


class Places:
    """A number of places, each taken by one at a time: a semaphore.

    Examples
    --------
    >>> places = Places(1)
    >>> places.take()
    >>> places.free()
    """

    def __init__(self, count: int) -> None:
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(count):
            self._free.put(None)

    def take(self) -> None:
        """Wait for a place."""
        self._free.get()

    def free(self) -> None:
        """Give a place back."""
        self._free.put(None)
