"""Processes of their own that answer limited queries: what a query takes ends with the process that answers it.

Each is this Python again, begun anew with :mod:`subprocess` and :mod:`maskl_storage.query.worker`. It answers one
question at a time, over the moment of the store that it was handed, and stays for the next one.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import maskl_storage.query._frames as frames
from maskl_storage.disk.forks import renewed
from maskl_storage.disk.futures import Timer
from maskl_storage.disk.local import write_all

__all__ = ["Children", "Crashed", "Failed", "Late", "NoChild", "Question", "TooLarge", "pickled"]

MODULE: Final = "maskl_storage.query.worker"
#: how many answer at once, and how many stay when they have nothing to do
MOST: Final = 4
KEPT: Final = 2
#: moments that one has open: a store is asked with other class maps and limits in turn
MOMENTS: Final = 2
#: seconds that one may take to begin
START: Final = 180.0
#: seconds after its time in which a query may still say that it was interrupted
GRACE: Final = 0.3
#: bytes of an answer that are no rows: the schema, once for each stream
SLACK: Final = 16 << 20
#: variables of the environment that an interpreter may not start without
_NEEDED: Final = (
    "SYSTEMROOT",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "PYTHONHOME",
    "PYTHONPYCACHEPREFIX",
    "TZ",
    "LANG",
)
_NEEDED_TOO: Final = ("LC_ALL", "LC_CTYPE", "PYTHONDONTWRITEBYTECODE", "TEMP", "TMP", "TMPDIR")
#: memory is given back, and not set apart ahead of its use, which a limit would not see
_MEMORY: Final = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1"}


class NoChild(Exception):  # these are what may happen; the database says which error it is
    """No process can be begun here."""


class Late(Exception):  # as above
    """The process did not end the query when its time was over, and was ended."""


class TooLarge(Exception):  # as above
    """The rows are more than the limit allows."""


class Crashed(Exception):  # as above
    """The query ended the process; the message says how."""


class Failed(Exception):  # as above
    """The query raised an error there."""

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__(told.get("message"))
        self.told = told


@dataclass(frozen=True)
class Question:
    """A query with its limits, and the moment of a store that it is asked of.

    Parameters
    ----------
    moment : int
        Which moment it is: no two of a process have one number.
    snapshot : callable
        Returns the moment, pickled; it is told which of those that were handed over before are to stay open.
    query : bytes
        The SQL, its parameters and its time, pickled.
    timeout : float, optional
        Seconds.
    most : int, optional
        Bytes of rows.
    """

    moment: int
    snapshot: Callable[[tuple[int, ...]], bytes]
    query: bytes
    timeout: float | None
    most: int | None


class Children:
    """The processes that answer the limited queries of one store. They end when this is collected.

    Threads that ask at once are answered at once, each by its own process, up to a number; others wait.
    """

    def __init__(self) -> None:
        #: whether it was found that none begins here
        self.fail = False
        self.renew()
        renewed(self)

    def renew(self) -> None:
        """Begin anew, in a forked child: the processes are its parent's."""
        self._places = [threading.Lock() for _ in range(MOST)]  # what is written in Python can be left taken
        self._turns = itertools.cycle(self._places)
        self._lock = threading.Lock()
        self._idle: list[_Child] = []

    def ask(self, question: Question, take: Callable[[bytearray], None]) -> dict[str, Any]:
        """Have a process answer: hand over its Arrow streams when they come, and return what it said beside them.

        Raises
        ------
        NoChild
            None can be begun here.
        Late, TooLarge, Crashed, Failed
            What became of the query. A next one is answered.
        """
        with next((place for place in self._places if not place.locked()), next(self._turns)):
            for _ in range(2):  # one that had nothing to do may have been ended by somebody else, unnoticed
                child = self._prepared(question)
                keep = False
                try:
                    told = child.ask(question, take)
                    keep = not told.get("worn")
                    return told
                except frames.Ended:
                    continue
                except Failed as error:
                    keep = not error.told.get("worn")
                    raise
                finally:
                    if keep:
                        self._give_back(child)
                    else:
                        child.end()
                        self._warm()
            raise Crashed("it took no question up")

    def _prepared(self, question: Question) -> _Child:
        """Return a process that has opened the question's moment."""
        while (child := self._take(question.moment)) is not None:
            try:
                return self._handed(child, question)
            except frames.Ended:  # it had nothing to do, and somebody else ended it
                continue
        try:
            return self._handed(_Child(), question)
        except frames.Ended:
            raise NoChild from None

    def _handed(self, child: _Child, question: Question) -> _Child:
        """Hand a process the question's moment, and return it."""
        try:
            child.prepare(question)
        except Failed:
            self._give_back(child)
            raise
        except BaseException:
            child.end()
            raise
        return child

    def _take(self, moment: int) -> _Child | None:
        """Return a process that has nothing to do, one that has the moment if there is one."""
        with self._lock:
            if not self._idle:
                return None
            return self._idle.pop(next((n for n, child in enumerate(self._idle) if moment in child.moments), 0))

    def _give_back(self, child: _Child) -> None:
        with self._lock:
            if len(self._idle) < KEPT:
                self._idle.append(child)
                return
        child.end()

    def _warm(self) -> None:
        """Begin a process for the next question, where none waits for it."""
        with self._lock:
            if self._idle:
                return
        with contextlib.suppress(NoChild):
            self._give_back(_Child())


class _Child:
    """A process that answers questions."""

    def __init__(self) -> None:
        self.moments: list[int] = []
        self._begun = False
        if not sys.executable or getattr(sys, "frozen", False):
            raise NoChild
        try:
            self._process = subprocess.Popen(  # noqa: S603  # this interpreter, and a module of this package
                [sys.executable, "-P", "-m", MODULE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,  # by which it learns that nobody is here any more
                bufsize=0,
                env=_environment(),
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            raise NoChild from error
        self.end = weakref.finalize(self, _end, self._process, os.getpid())
        renewed(self)

    def renew(self) -> None:
        """Let go of it, in a forked child: it is the parent's, and ends when the parent lets go of it."""
        _close(self._process)
        self._process.returncode = 0  # it is nobody's to wait for here

    def prepare(self, question: Question) -> None:
        """Hand over the question's moment, unless it has it."""
        with _ended_after(None if self._begun else START, self._process):
            if not self._begun:
                kind, data = self._receive()
                if kind != frames.READY or data != frames.MAGIC:
                    raise frames.Ended
                self._begun = True
        if question.moment not in self.moments:
            del self.moments[: max(0, len(self.moments) + 1 - MOMENTS)]
            self._send(frames.SNAPSHOT, question.snapshot(tuple(self.moments)))
            kind, data = self._receive()
            if kind == frames.FAILED:
                raise Failed(json.loads(data))
            if kind != frames.OPENED:
                raise frames.Ended
            self.moments.append(question.moment)

    def ask(self, question: Question, take: Callable[[bytearray], None]) -> dict[str, Any]:
        """Hand over the streams of the answer, and return what was said beside them.

        Raises
        ------
        Ended
            The process was no more, and took nothing up.
        """
        clock = _Clock(self._process)
        size, is_taken_up = 0, False

        def allowed(kind: bytes, more: int) -> None:
            nonlocal size
            size += more if kind == frames.ROWS else 0
            if question.most is not None and size > question.most + SLACK:
                raise TooLarge

        try:
            self._send(frames.QUESTION, question.query)
            while True:
                kind, data = self._receive(allowed)
                is_taken_up = True
                if kind in (frames.RUNNING, frames.PAUSED):
                    clock.run(json.loads(data), running=kind == frames.RUNNING)
                elif kind == frames.ROWS:
                    take(data)
                elif kind == frames.DONE:
                    told: dict[str, Any] = json.loads(data)
                    return told
                elif kind == frames.FAILED:
                    raise Failed(json.loads(data))
        except frames.Ended:
            if clock.is_late:
                raise Late from None
            if not is_taken_up:
                raise
            raise Crashed(_how(self._process)) from None
        finally:
            clock.stop()

    def _send(self, kind: bytes, data: bytes) -> None:
        try:
            for part in (frames.head(kind, len(data)), data):
                write_all(cast(io.FileIO, self._process.stdin).fileno(), part)
        except (BrokenPipeError, ConnectionError) as error:
            raise frames.Ended from error

    def _receive(self, allowed: Callable[[bytes, int], None] = lambda _kind, _size: None) -> tuple[bytes, bytearray]:
        return frames.receive(cast(io.RawIOBase, self._process.stdout), allowed)


class _Clock:
    """Ends a process that does not end a query in time."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._timer: Timer | None = None
        self.is_late = False

    def run(self, left: float | None, *, running: bool) -> None:
        """Run, with so many seconds left; or stand still."""
        self.stop()
        if running and left is not None:
            self._timer = Timer(left + GRACE, self._end)

    def stop(self) -> None:
        """Stand still."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        self.is_late = True
        self._process.kill()


@contextlib.contextmanager
def _ended_after(seconds: float | None, process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End a process that does not begin."""
    clock = _Clock(process)
    clock.run(seconds, running=True)
    try:
        yield
    finally:
        clock.stop()


def _end(process: subprocess.Popen[bytes], owner: int) -> None:
    if os.getpid() == owner:
        process.kill()
        _close(process)
        process.wait()


def _close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def _how(process: subprocess.Popen[bytes]) -> str:
    """Say how a process ended."""
    try:
        code = process.wait(GRACE)
    except subprocess.TimeoutExpired:
        return "it stopped answering"
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


def _environment() -> dict[str, str]:
    """Return what an interpreter needs to begin and to find this package, and nothing else of this environment."""
    kept = {name: os.environ[name] for name in (*_NEEDED, *_NEEDED_TOO) if name in os.environ}
    package = str(Path(__file__).parents[2])
    return kept | _MEMORY | {"PYTHONPATH": os.pathsep.join([package, *(path for path in sys.path if path)])}


def pickled(value: Any) -> bytes:
    """Return a value for the other process."""
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
