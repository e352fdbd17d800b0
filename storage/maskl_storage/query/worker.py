"""The process that answers limited queries: ``python -m maskl_storage.query.worker``, begun by a store.

It reads questions from its standard input and writes answers to its standard output. It ends when its input does, as
that does when its parent is gone, even where something holds Python's lock meanwhile.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import queue
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from importlib import import_module
from typing import Any, Final

import pyarrow as pa

import maskl_storage.query._frames as frames
from maskl_storage import errors
from maskl_storage.catalog.layout import Layout
from maskl_storage.disk.hashes import set_check_hashes
from maskl_storage.disk.local import write_all
from maskl_storage.errors import InvalidType, QueryError
from maskl_storage.lazy import begin_without_pandas
from maskl_storage.masks.limits import set_max_mask_pixels
from maskl_storage.query._deadline import Deadline
from maskl_storage.query.database import Database

try:
    import fcntl
    import resource
except ImportError:  # Windows
    fcntl = resource = None  # type: ignore[assignment]  # asked for before each use

__all__ = ["main"]

#: bytes beyond the limit that a query may take of address space: what is no rows, and what is not counted
SPARE: Final = 150 << 20
#: a query that all threads work on, so that each has what it always keeps
WARM: Final = "SELECT sum(hash(range)) FROM range(1000000)"
#: bytes of rows that are sent at once
BLOCK: Final = 1 << 20
_MEMORY: Final = "the query needs more memory than memory_limit allows"


class _Worker:
    """What there is between two questions."""

    def __init__(self, output: int) -> None:
        self._output = output
        self._databases: dict[int, Database] = {}
        self._most: int | None = None
        self._base = 0

    def open(self, snapshot: bytearray) -> None:
        """Open a moment of a store."""
        before = _address_space()
        with self._reported(frames.OPENED):
            moment, others, root, listing, runs, arguments, settings = pickle.loads(snapshot)  # noqa: S301  # from who began this
            _choose(*settings)
            self._databases = {other: self._databases[other] for other in others}
            database = Database(Layout(root), listing, runs, locked=True, exact=True, **arguments)
            database.run(WARM, None, Deadline(None), lambda _schema, batches: list(batches).clear())
            self._databases[moment] = database
        self._base += _address_space() - before if self._base else _address_space()

    def answer(self, question: bytearray) -> None:
        """Answer a question."""
        with self._reported(frames.DONE):
            try:
                moment, sql, params, timeout, settings = pickle.loads(question)  # noqa: S301  # as above
            except Exception as error:
                raise InvalidType(f"the parameters of a query with limits are plain values: {error}") from error
            _choose(*settings)
            deadline = Deadline(timeout, self._running)
            self._running_deadline = deadline
            self._at_rest = _address_space()
            database = self._databases[moment]
            self._most = database.most
            database.run(sql, params, deadline, self._send_rows)

    def _send_rows(self, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
        """Send rows as they come."""
        waiting: list[pa.RecordBatch] = []
        size, sent = 0, False
        for batch in batches:
            waiting.append(batch)
            size += batch.nbytes
            if size >= BLOCK:
                self._send(frames.ROWS, _stream(schema, waiting))
                waiting, size, sent = [], 0, True
        if waiting or not sent:
            self._send(frames.ROWS, _stream(schema, waiting))

    def _running(self, running: bool) -> None:  # what a deadline calls
        """Have the query's limits hold while it runs, and tell whether its time does."""
        if running:
            space = _address_space()
            self._base += space - self._at_rest
            if self._most is not None:
                _limit(self._base + self._most + SPARE)
        else:
            _limit(None)
            self._at_rest = _address_space()
        left = json.dumps(self._running_deadline.left).encode()
        self._send(frames.RUNNING if running else frames.PAUSED, left)

    @contextlib.contextmanager
    def _reported(self, done: bytes) -> Iterator[None]:
        """Tell what a block came to: that it is done, or its error; and its warnings."""
        told: dict[str, Any] = {}
        kind = done
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                yield
            except MemoryError:
                kind, told = frames.FAILED, _told(QueryError(_MEMORY))
            except Exception as error:  # whatever it is, it is raised where the question was asked
                kind, told = frames.FAILED, _told(error)
        _limit(None)
        told["warnings"] = [
            (one.category.__name__, str(one.message)) for one in warned if issubclass(one.category, errors.MasklWarning)
        ]
        told["worn"] = self._is_worn()
        self._send(kind, json.dumps(told).encode())

    def _is_worn(self) -> bool:
        """Whether what was asked so far keeps so much that a next query would have too little."""
        spare = SPARE + (self._most or 0)
        return bool(self._base) and _address_space() > self._base + spare // 2

    def _send(self, kind: bytes, data: bytes | pa.Buffer) -> None:
        view = memoryview(data)
        write_all(self._output, frames.head(kind, view.nbytes))
        write_all(self._output, view)


def _choose(max_mask_pixels: int, check_hashes: bool, codecs: list[str]) -> None:  # as they are told
    """Have what was chosen in the process that asks hold here."""
    set_max_mask_pixels(max_mask_pixels)
    set_check_hashes(check_hashes)
    for name in codecs:
        if name not in sys.modules:
            with contextlib.suppress(Exception):  # whatever it raises, its masks are then of an unknown codec here
                import_module(name)


def _told(error: BaseException) -> dict[str, Any]:
    cause = error.__cause__
    told: dict[str, Any] = {"error": type(error).__name__, "message": str(error)}
    if cause is not None:
        told["cause"] = [type(cause).__name__, str(cause)]
    return told


def _stream(schema: pa.Schema, batches: list[pa.RecordBatch]) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue()


def _address_space() -> int:
    """Return the bytes of address space that this process has, 0 where the system does not say."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except (OSError, AttributeError):
        return 0


def _limit(most: int | None) -> None:
    """Bound the address space of this process, where the system does that."""
    if resource is not None and _address_space():
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        soft = hard if most is None else most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _listen(requests: queue.SimpleQueue[tuple[bytes, bytearray]]) -> None:
    """Read what is asked. When the parent is gone, this process ends, whatever it does."""
    source = io.FileIO(sys.stdin.fileno(), "rb", closefd=False)
    try:
        while True:
            requests.put(frames.receive(source))
    except BaseException:  # there is nobody to tell
        os._exit(0)


def _end_with_parent() -> None:
    """Have the system end this process when the other end of its standard error is closed.

    A thread that reads its input would see that only when it gets Python's lock, which what plans a query may hold for
    long. Linux tells with a signal, which ends who does not handle it. Nothing is ever written to standard error nor
    read from it, so that there is nothing else to tell of; of standard input it may tell of bytes that were read
    already, and end who answers.
    """
    if fcntl is not None and hasattr(os, "O_ASYNC") and sys.platform == "linux":
        number = os.dup(sys.stderr.fileno())
        fcntl.fcntl(number, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(number, fcntl.F_SETFL, fcntl.fcntl(number, fcntl.F_GETFL) | os.O_ASYNC)


def main() -> None:
    """Answer questions until there are no more."""
    begin_without_pandas()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # what a terminal sends is its parent's to handle
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _end_with_parent()
    output = os.dup(sys.stdout.fileno())
    with open(os.devnull, "wb") as nobody:  # whatever prints, prints to nobody
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nobody.fileno(), stream.fileno())
    worker = _Worker(output)
    requests: queue.SimpleQueue[tuple[bytes, bytearray]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    worker._send(frames.READY, frames.MAGIC)
    while True:
        kind, data = requests.get()
        (worker.open if kind == frames.SNAPSHOT else worker.answer)(data)


if __name__ == "__main__":
    main()
