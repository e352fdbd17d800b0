"""Work of other threads, begun and waited for so that a signal in the middle raises what its handler raises, no more.

:mod:`threading` and the pools of :mod:`concurrent.futures` are written in Python, and a signal's handler may raise at
any point of it: a condition that is interrupted is let go of twice or never, so that RuntimeError comes out in place of
KeyboardInterrupt or all wait for ever; a pool that is interrupted while a thread begins does not know that thread, and
does not wait for it. What is here changes by single calls of what is written in C, and takes nothing that it would have
to give back.
"""

from __future__ import annotations

import _thread
import contextlib
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic, TypeVar

__all__ = ["Job", "Pool", "Timer"]

T = TypeVar("T")

#: seconds after which a thread without work ends
IDLE: Final = 30.0


class Job(Generic[T]):
    """A call that a pool makes; what it returned or raised is kept."""

    __slots__ = ("__weakref__", "_call", "_error", "_result", "_under_way")

    def __init__(self, call: Callable[[], T]) -> None:
        self._call: Callable[[], T] | None = call
        self._result: T | None = None
        self._error: BaseException | None = None
        self._under_way = _thread.allocate_lock()
        self._under_way.acquire()

    @property
    def done(self) -> bool:
        """Whether the call was made, or never will be."""
        return self._call is None

    def wait(self) -> None:
        """Wait until it is done."""
        if self._call is not None:
            with self._under_way:  # an interrupt comes before it is taken, or in here
                pass

    def result(self) -> T:
        """Wait for what the call returned, or raise what it raised."""
        self.wait()
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]  # what the call returned

    def drop(self) -> None:
        """Have it never be made, if that has not begun."""
        self._call = None

    def make(self, *, cancelled: bool = False) -> None:
        """Make the call, in a thread of the pool."""
        call = self._call
        try:
            if call is None or cancelled:
                raise RuntimeError("the call was not made: its pool ended")
            self._result = call()
        except BaseException as error:  # it is raised where somebody waits for it
            self._error = error
        self._call = None
        self._under_way.release()


class Pool:
    """Makes calls on some threads, in the order in which they came.

    Parameters
    ----------
    threads : int
        How many threads at most. They begin when there is work, and end when there is none for a while.

    Examples
    --------
    >>> pool = Pool(1)
    >>> pool.submit(dict).result()
    {}
    >>> pool.end()
    """

    def __init__(self, threads: int) -> None:
        self._jobs: SimpleQueue[Job[Any] | None] = SimpleQueue()
        self._places: SimpleQueue[None] = SimpleQueue()  # one for each thread that may still begin
        for _ in range(threads):
            self._places.put(None)
        self._cancels = False

    def submit(self, call: Callable[[], T] | Job[T]) -> Job[T]:
        """Have a thread make a call.

        Raises
        ------
        RuntimeError
            No thread can begin: there are too many, or the interpreter is shutting down. The call is not made then.
        """
        job = call if isinstance(call, Job) else Job(call)
        self._jobs.put(job)
        if not self._places.empty():
            try:
                _thread.start_new_thread(self._work, ())
            except RuntimeError:
                job.drop()
                raise
        return job

    def end(self, *, cancel: bool = False) -> None:
        """Wait for the calls of a pool of one thread, or for the one that is under way alone, and end the thread."""
        self._cancels = cancel
        if self._places.empty() or not self._jobs.empty():  # a thread is at work, or may be about to
            with contextlib.suppress(RuntimeError):  # there is none, and none can begin
                self.submit(_nothing).wait()
                self._jobs.put(None)
        self._cancels = False

    def _work(self) -> None:
        while True:
            try:
                self._places.get_nowait()
            except Empty:  # there are threads enough
                return
            try:
                while (job := self._jobs.get(timeout=IDLE)) is not None:
                    job.make(cancelled=self._cancels)
                    del job  # and what it leads to, while the thread waits
            except Empty:
                pass
            finally:
                self._places.put(None)
            if self._jobs.empty():  # what came while this thread still had its place began no other
                return


class Timer:
    """Makes a call after a while, in a thread that the interpreter does not wait for, unless it is cancelled first.

    Parameters
    ----------
    seconds : float
        The while; after none the call is made at once.
    call : callable
        What to call. What it raises is printed, as that of any thread.
    again : float, optional
        Seconds after which the call is made once more, and so on until it is cancelled.

    Raises
    ------
    RuntimeError
        No thread can begin.

    Examples
    --------
    >>> Timer(3600, print).end()
    """

    def __init__(self, seconds: float, call: Callable[[], None], again: float | None = None) -> None:
        self._seconds, self._call, self._again = seconds, call, again
        self._waiting, self._under_way = _thread.allocate_lock(), _thread.allocate_lock()
        self._waiting.acquire()
        self._under_way.acquire()
        _thread.start_new_thread(self._work, ())

    @property
    def done(self) -> bool:
        """Whether no call is under way, nor will be."""
        return not self._under_way.locked()

    def cancel(self) -> None:
        """Have the call never be made, if that has not begun."""
        with contextlib.suppress(RuntimeError):  # it was cancelled already
            self._waiting.release()

    def wait(self) -> None:
        """Wait until it is done."""
        with self._under_way:  # as for a job
            pass

    def end(self) -> None:
        """Cancel it, and wait for a call that is under way."""
        self.cancel()
        self.wait()

    def _work(self) -> None:
        try:
            seconds: float | None = self._seconds
            while seconds is not None and not self._waiting.acquire(timeout=seconds):
                self._call()
                seconds = self._again
        finally:
            self._under_way.release()


def _nothing() -> None:
    """Be done."""
