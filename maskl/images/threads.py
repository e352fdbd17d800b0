"""The threads that encode images, and those that decode them ahead: as many as there are cores, up to a limit."""

from __future__ import annotations

import os
import sys
from typing import Any, Final

from maskl_storage.disk.forks import in_forked_child, renewed
from maskl_storage.disk.futures import Job, Pool
from maskl_storage.errors import InvalidValue

__all__ = ["MOST", "VARIABLE", "Threads", "cores", "encoder_threads", "parse_threads", "set_encoder_threads"]

#: threads where nothing else is said: with more, one thread cannot hand them images fast enough
MOST: Final = 8
#: the environment variable that says something else
VARIABLE: Final = "MASKL_ENCODER_THREADS"


class _Limit:
    """The limit of this process, where one was set, and whether it came out of a fork."""

    threads: int | None = None
    forked: bool = False


def encoder_threads() -> int:
    """Return how many threads encode: as it was set in this process or its environment, else one for each of its cores.

    Processes that a pool or a DataLoader started, and forks, encode on one thread: there are as many of them already
    as there are cores.

    Raises
    ------
    InvalidValue
        The environment variable holds no such number.
    """
    if _Limit.forked or _is_child():
        return 1
    if _Limit.threads is not None:
        return _Limit.threads
    text = os.environ.get(VARIABLE)
    return parse_threads(text, f"the environment variable {VARIABLE}") if text else min(MOST, cores())


def set_encoder_threads(threads: int | None) -> None:
    """Set how many threads encode in this process; None leaves it to the environment."""
    _Limit.threads = threads


def parse_threads(value: Any, what: str) -> int:
    """Return a number of threads, also from a text, or raise InvalidValue.

    Examples
    --------
    >>> parse_threads("4", "encoder_threads")
    4
    """
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 5:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1024:
        raise InvalidValue(f"{what} must be a whole number of threads from 1 to 1024; got {value!r:.60}")
    return value


class Threads:
    """A pool of threads, from the first job on; a forked process begins without any.

    Parameters
    ----------
    count : int, optional
        How many threads; by default as :func:`encoder_threads` has it whenever a job comes.
    """

    def __init__(self, count: int | None = None) -> None:
        self._count = count
        self.renew()
        renewed(self)

    def renew(self) -> None:
        """Begin anew, in a forked child."""
        self._pool: tuple[int, Pool] | None = None

    @property
    def count(self) -> int:
        """How many threads there are for the next job."""
        return self._count or encoder_threads()

    def submit(self, job: Job[Any]) -> None:
        """Have a thread make a call.

        Raises
        ------
        RuntimeError
            No thread can begin.
        """
        count, pool = self.count, self._pool
        if pool is None or pool[0] != count:  # those of another one end when they have been idle for a while
            pool = self._pool = count, Pool(count)
        pool[1].submit(job)


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "process_cpu_count"):  # since Python 3.13
        found: int | None = os.process_cpu_count()
        return found or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _is_child() -> bool:
    """Whether multiprocessing started this process, as PyTorch's DataLoader does with its workers."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


@in_forked_child
def _forked() -> None:
    _Limit.forked = True
