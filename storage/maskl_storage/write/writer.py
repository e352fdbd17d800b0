"""The write side of one process in one run: what is logged stands in a write-ahead file until a seal commits it."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, Final, NamedTuple

import pyarrow as pa

from maskl_storage.catalog.layout import Layout, is_store
from maskl_storage.catalog.runs import RunInfo
from maskl_storage.catalog.signed import write_json
from maskl_storage.cells.cells import Rows
from maskl_storage.disk.atomic import storage_error
from maskl_storage.disk.futures import Timer
from maskl_storage.disk.local import Folder, folder_of
from maskl_storage.disk.locks import FileLock, LocksUnsupported, warn_unprotected
from maskl_storage.disk.parquet import begin_arrow
from maskl_storage.errors import InvalidValue, MasklError, NotFound, StateError, StorageError
from maskl_storage.format.document import STORE_FILE, dump_json
from maskl_storage.format.json_values import JsonText
from maskl_storage.format.metadata import ROW_BITS, Column
from maskl_storage.format.names import check_name, warn_of_case
from maskl_storage.format.paths import SPOOL, lock_path, writer_path
from maskl_storage.format.schemas import JSON
from maskl_storage.images.reader import ImageReader
from maskl_storage.images.writer import ImageBytes
from maskl_storage.merge.background import Merger
from maskl_storage.write._moments import after, now
from maskl_storage.write.commit import Commit, Committer, NewImages
from maskl_storage.write.journal import Journal
from maskl_storage.write.pending import HistoryRow, Pending, Waiting, cut, weight
from maskl_storage.write.wal import Mark

__all__ = ["SEAL_BYTES", "SEAL_SECONDS", "Writer"]

#: what waits is sealed when it reaches this size or this age
SEAL_BYTES: Final = 32 << 20
SEAL_SECONDS: Final = 60.0
#: a call of this size is sealed at once, which is no slower than to write it ahead and seal it later
DIRECT_BYTES: Final = 16 << 20

#: a big call becomes parts of this size, since making one takes several times as much memory
PIECE_BYTES: Final = 20 << 20

#: rows that are taken at a time where they come as a stream
BLOCK: Final = 1024

Scalar = bool | int | float | str


class _Call(NamedTuple):
    """What one call logged: the rows of each table with the ``_row`` of the first, and scalars."""

    tables: Mapping[str, tuple[Rows, int]]
    history: Sequence[HistoryRow]
    step: int
    stamp: int


@dataclass(frozen=True, slots=True)
class _State:
    """What a writer has acknowledged. One assignment changes all of it, so that it is whole whatever interrupts.

    ``seals`` is the number of the next seal; ``rows`` and ``scalars`` count what this writer was given so far; the
    first ``waiting`` of the ``calls`` are in no seal yet, and what counts in the write-ahead file is up to ``mark``.
    ``taken`` counts the calls.
    """

    taken: int = 0
    seals: int = 0
    rows: Mapping[str, int] = field(default_factory=dict)
    scalars: int = 0
    calls: list[_Call] = field(default_factory=list)
    waiting: int = 0
    bytes: int = 0
    mark: Mark | None = None


class Writer:
    """Writes rows, images and history of one run; safe to call from several threads.

    Parameters
    ----------
    layout : Layout
        The store.
    run : RunInfo
        The run as it is described at the start.
    seal_bytes, seal_seconds : number
        When what waits is sealed.
    summary : callable, optional
        Returns the run's summary whenever its file is written; called with the writer's lock held.
    sync : bool
        Whether what is acknowledged also outlasts a power failure.
    clock : callable, optional
        Returns the time of what is logged, in microseconds since 1970.
    merges : bool
        Whether small parts are merged as they come, and when the run ends.
    """

    #: whether it takes everything and writes nothing, as :class:`~maskl_storage.write.null.NullWriter` does
    discards: Final = False

    def __init__(
        self,
        layout: Layout,
        run: RunInfo,
        *,
        seal_bytes: int = SEAL_BYTES,
        seal_seconds: float = SEAL_SECONDS,
        summary: Callable[[], Mapping[str, Any]] | None = None,
        sync: bool = False,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
        merges: bool = True,
    ) -> None:
        check_name(run.run_id, "run id")
        begin_arrow()
        self.layout = layout
        self._lock = threading.RLock()
        self._mine = threading.Condition(self._lock)
        self._seal_bytes, self._seal_seconds = seal_bytes, seal_seconds
        self._run = replace(run, started=run.started or now(), updated=now())
        self.sync, self._clock = sync, clock
        with self._writing("the run"):
            self.number = self._claim()
        self._committer = Committer(layout, run.run_id, self.number, sync=sync)
        self._journal = Journal(layout.files, run.run_id, self.number, sync=sync)
        self._images = NewImages(self._committer)
        self._reader: ImageReader | None = None
        self._merger = Merger(layout.root, run.run_id, self.number) if merges else None
        self._state = _State()
        #: a commit whose seals may be there already, and the state that it leads to
        self._begun: tuple[Commit, _State] | None = None
        self._closed = False
        #: the end state that was asked for while another call was at work, by a signal handler
        self._ending: str | None = None
        self._summary, self._summary_waits, self._summary_changed = summary, False, False
        self._process = os.getpid()
        self._timer: Timer | None = None
        with self._writing("the run"):
            self._save()

    @property
    def run(self) -> RunInfo:
        """The run as it is described now."""
        return self._run

    @property
    def closed(self) -> bool:
        """Whether the run has ended."""
        return self._closed

    @property
    def forked(self) -> bool:
        """Whether this process only inherited the writer: what waits in it is its parent's to seal."""
        return os.getpid() != self._process

    @property
    def spool(self) -> tuple[Folder, str]:
        """The folder of the store in which rows that are not logged yet may stand in files without a name."""
        return self.layout.files, SPOOL

    def check_open(self) -> None:
        """Raise StateError where nothing can be written: after the end, or in a forked process."""
        if self.forked:
            raise StateError(
                f"run {self._run.run_id!r} belongs to process {self._process}: a forked process begins its own writer "
                f"with init(id={self._run.run_id!r})"
            )
        if self._closed:
            raise StateError(f"run {self._run.run_id!r} is finished: call maskl.init() for a new one")

    def format_of(self, digest: str) -> str | None:
        """Return the format of an image that is in the store, or will be with the next seal; None where it is not."""
        if self.forked:
            self.check_open()
        with self._lock:
            return self._images.format_of(digest)

    def add_image(self, image: ImageBytes) -> None:
        """Store an image, unless it is stored already."""
        self._do("an image", partial(self._add_image, image))

    def read_image(self, digest: str) -> bytes:
        """Return the encoded bytes of an image that the store holds, sealing what waits first."""
        self.seal()
        reader = self._reader
        if reader is not None:
            with contextlib.suppress(NotFound):  # sealed since the reader was made
                return reader.read(digest)
        reader = self._reader = ImageReader(self.layout.files, self.layout.listing())
        return reader.read(digest)

    def append(self, table: str, columns: tuple[Column, ...], rows: Iterable[Sequence[Any]], step: int) -> int:
        """Append rows to a table as they come and return how many; see :meth:`write`."""
        added = 0
        stream = iter(rows)
        while block := list(islice(stream, BLOCK)):
            self.write({table: Rows(columns, block)}, step)
            added += len(block)
        return added

    def write(self, tables: Mapping[str, Rows], step: int, scalars: Mapping[str, Scalar] | None = None) -> None:
        """Append rows to tables and scalars to the history: all of them, or after an error none.

        When it returns they outlast the process. The images that the cells refer to must have been added
        before.

        Raises
        ------
        StorageError
            The disk took none of it; what was written before is kept.
        """
        for name, rows in tables.items():
            check_name(name, "table name")
            for row in rows.cells if isinstance(rows.cells, list | tuple) else ():
                if len(row) != len(rows.columns):
                    raise InvalidValue(f"table {name!r} has {len(rows.columns)} columns; a row has {len(row)} cells")
        warn_of_case(tables, self._state.rows)
        size = sum(map(weight, tables.values()))
        stamp = self._clock()
        self._do(f"what was logged at step {step}", partial(self._write, tables, step, stamp, scalars or {}, size))

    def taken(self) -> int:
        """Return how many calls of :meth:`write` were taken: all that returned, and of interrupted ones some."""
        self._check_free()
        with self._lock, self._writing("what was logged last"):
            self._settle()
            return self._state.taken

    def log_scalars(self, values: Mapping[str, Scalar], step: int) -> None:
        """Append numbers and strings to the run's history; a ``JsonText`` stands for the value that it holds."""
        self.write({}, step, values)

    def commit_alone(self, what: str, make: Callable[[int, int], Mapping[str, pa.Table]]) -> None:
        """Commit parts that belong to no table in a seal of their own; when it returns every reader sees them.

        ``make`` takes the numbers of the writer and of the seal, and returns each kind's rows.
        """
        self._do(what, partial(self._commit_alone, make))

    def describe(self, **changes: Any) -> None:
        """Change what the run's file says, and write it."""
        self._do("the run's description", partial(self._save, **changes))

    def note_summary(self, items: Mapping[str, Any]) -> None:
        """Take what a call made of some items of the summary, so that these outlast the process as its rows do."""
        if items and not self._closed:
            with contextlib.suppress(StorageError):  # the call is stored; the next seal writes the summary too
                self._do("the summary", partial(self._note_summary, items), closed=True)

    def summary_changed(self) -> None:
        """Have the summary written with the next seal, also where nothing else waits."""
        self.check_open()
        with self._lock:
            self.check_open()
            self._summary_waits = self._summary_changed = True
            self._seal_in_a_while()

    def seal(self) -> None:
        """Commit everything that waits; readers in any process see it from then on."""
        if not (self.forked or self._closed or self._at_work):
            self._do("what waits for a seal", self._seal, closed=True)

    def close(self, state: str = "finished") -> None:
        """Seal what waits and write the run's end state.

        Where a signal handler calls it in the middle of another call, it follows that call.
        """
        if self.forked or self._closed:
            return
        if self._at_work:
            self._ending = state
        else:
            self._do("the end of the run", partial(self._close, state), closed=True)

    def abandon(self) -> None:
        """Let go of all files without sealing what waits; what was acknowledged stays in the write-ahead file."""
        with self._lock:
            self._stop_timer()
            self._images.start_over()
            self._journal.abandon()
            self._closed = True
            if self._alive is not None:
                self._alive.release()

    # --- inside, with the lock held -------------------------------------------------------------

    @property
    def _at_work(self) -> bool:
        """Whether this thread is in the middle of another call, as a signal handler may find it."""
        try:
            self._mine.notify(0)
        except RuntimeError:  # the lock is free, or another thread's
            return False
        return True

    def _do(self, what: str, act: Callable[[], None], *, closed: bool = False) -> None:
        """Change the writer's state, once what was interrupted is brought to its end.

        ``closed`` says that nothing is to be done, and nothing wrong, where the writer is closed.
        """
        if not closed:
            self.check_open()
        self._check_free()
        with self._lock:  # and no context manager in Python, which could be interrupted before it lets go
            try:
                with self._writing(what):
                    if not self._closed:
                        self._settle()
                        act()
                    elif not closed:
                        self.check_open()
            finally:
                if self._ending is not None:
                    with self._writing("the end of the run"):
                        self._close(self._ending)

    def _check_free(self) -> None:
        """Raise StateError in the middle of another call."""
        if self._at_work:
            raise StateError(
                f"run {self._run.run_id!r} is in the middle of another call, which a signal handler interrupted: there "
                f"only finish() can be called, which then follows that call"
            )

    @contextlib.contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        """Turn what the disk refuses into an error that says what was not written and that nothing is lost."""
        try:
            yield
        except MasklError:
            raise
        except (OSError, pa.ArrowException) as error:
            raise storage_error(error, what, self.layout.root) from error

    def _claim(self) -> int:
        number = 0
        while True:
            path = writer_path(self._run.run_id, number)
            self.layout.files.make_folder(folder_of(path), sync=self.sync)
            try:
                os.close(self.layout.files.create(path))
            except FileExistsError:
                number += 1
            else:
                self._alive = self._live(number)
                return number

    def _live(self, number: int) -> FileLock | None:
        """Take the lock that shows others that this writer lives; None where there are no locks."""
        lock = FileLock(self.layout.files, lock_path(self._run.run_id, number))
        while True:
            self.layout.files.make_folder(folder_of(lock.path), sync=self.sync)
            try:
                lock.acquire(wait=True)
            except FileNotFoundError:  # somebody removed the folder while it was empty
                continue
            except LocksUnsupported:
                warn_unprotected(self.layout.root)
                return None
            return lock

    def _add_image(self, image: ImageBytes) -> None:
        self._check_store()
        if self._images.format_of(image.digest) is None:
            self._images.add(image, self._state.seals)
            self._state = replace(self._state, bytes=self._state.bytes + len(image.data))
            if self._state.bytes >= self._seal_bytes:
                self._seal()

    def _write(
        self, tables: Mapping[str, Rows], step: int, stamp: int, scalars: Mapping[str, Scalar], size: int
    ) -> None:
        self._check_store()
        if self._state.bytes + size >= self._seal_bytes or (self._state.waiting and self._state.mark is None):
            self._seal()  # also what stands in no file, as somebody removed it
        history = self._history_of(scalars, step, stamp)
        new = self._journal.lacks(self._images.waiting.values())
        if size + sum(len(image.data) for image in new) >= min(DIRECT_BYTES, self._seal_bytes):
            self._seal_at_once(tables, step, stamp, history, size)
        else:
            self._seal_in_a_while()
            self._write_ahead(tables, step, stamp, history, new, size)

    def _note_summary(self, items: Mapping[str, Any]) -> None:
        changed = self._summary_changed and self._summary is not None
        whole = self._summary() if changed and self._summary is not None else None
        self._seal_in_a_while()
        state = self._state
        mark = self._journal.summary(state.mark, state.seals, items if whole is None else whole, whole=changed)
        self._state = replace(state, mark=mark)
        self._summary_waits, self._summary_changed = True, False

    def _next_row(self, table: str) -> int:
        return (self.number << ROW_BITS) | self._state.rows.get(table, 0)

    def _rows_with(self, tables: Mapping[str, Rows]) -> dict[str, int]:
        """Return how many rows of each table there are with these."""
        before = self._state.rows
        return {**before, **{name: before.get(name, 0) + len(rows) for name, rows in tables.items()}}

    def _settle(self) -> None:
        """Bring what was interrupted to its end, or take it back, so that the state says what is on the disk."""
        if self._begun is not None:
            commit, after = self._begun
            if self._committer.publish_rest(commit):
                self._take(after)
            else:
                self._begun = None

    def _take(self, after: _State) -> None:
        """Take the state after a commit whose seals are there."""
        self._images.sealed()
        self._state = after
        self._begun = None

    def _write_ahead(
        self,
        tables: Mapping[str, Rows],
        step: int,
        stamp: int,
        history: Sequence[HistoryRow],
        images: Sequence[ImageBytes],
        size: int,
    ) -> None:
        """Have a call outlast the process, until a seal holds it."""
        before = self._state
        numbered = {name: (rows.copy(), self._next_row(name)) for name, rows in tables.items()}
        mark = self._journal.call(before.mark, before.seals, images, numbered, history, step, stamp)
        del before.calls[before.waiting :]
        before.calls.append(_Call(numbered, history, step, stamp))
        self._state = _State(
            before.taken + 1,
            before.seals,
            self._rows_with(tables),
            before.scalars + len(history),
            before.calls,
            before.waiting + 1,
            before.bytes + size + sum(64 + len(row[5] or "") for row in history),
            mark,
        )
        self._journal.holds(images)

    def _seal_at_once(
        self, tables: Mapping[str, Rows], step: int, stamp: int, history: Sequence[HistoryRow], size: int
    ) -> None:
        """Commit a big call by itself, in parts that memory can hold twice."""
        if self._state.waiting:
            self._seal()
        pieces = max(1, -(-size // min(PIECE_BYTES, self._seal_bytes)))
        generations = self._committer.generations(tables, {name for name, rows in tables.items() if rows.replace})
        made = {name: cut(rows, self._next_row(name), step, stamp, pieces) for name, rows in tables.items()}
        before = self._state
        after = _State(before.taken + 1, rows=self._rows_with(tables), scalars=before.scalars + len(history))
        self._save()
        self._commit(made, generations, history, after)

    def _history_of(self, values: Mapping[str, Scalar], step: int, stamp: int) -> list[HistoryRow]:
        first = (self.number << ROW_BITS) | self._state.scalars
        found = ((key, *_history_value(value)) for key, value in values.items())
        return [(first + at, step, stamp, *row) for at, row in enumerate(found)]

    def _seal_in_a_while(self) -> None:
        if self._timer is None:
            with contextlib.suppress(RuntimeError):  # the interpreter is shutting down: finish() seals
                self._timer = Timer(self._seal_seconds, self._seal_in_time)

    def _seal_in_time(self) -> None:
        """Seal what has waited long enough; what goes wrong is raised by the next call that seals."""
        with contextlib.suppress(MasklError, OSError, pa.ArrowException):
            self._timer = None
            self.seal()

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None  # where this is interrupted, it seals early
        if timer is not None:
            timer.cancel()

    def _seal(self) -> None:
        self._stop_timer()
        state = self._state
        if state.waiting or self._images.waiting:
            self._check_store()  # which seals, where what waits is in no file any more
            state = self._state
        if state.waiting or self._images.waiting:
            waiting = Waiting()
            for call in state.calls[: state.waiting]:
                waiting.add_call(call.tables, call.history, call.step, call.stamp)
            generations = self._committer.generations(waiting.tables, waiting.replaced)
            if state.mark is not None:  # it counts with the seals alone: what comes after a commit that failed
                self._journal.commit(state.mark, state.seals, generations)  # is written over it
            self._save()
            after = _State(state.taken, rows=state.rows, scalars=state.scalars)
            self._commit(waiting.tables, generations, waiting.history, after)
        elif self._summary_waits:
            self._save()
            self._state = replace(self._state, bytes=0, mark=None)
            self._sealed()

    def _commit(
        self,
        tables: Mapping[str, Iterable[Pending]],
        generations: Mapping[str, int],
        history: Sequence[HistoryRow],
        after: _State,
    ) -> None:
        """Write parts and seals, and take the state after them; what interrupts leaves it to :meth:`_settle`."""
        made = self._committer.write_parts(self._state.seals, tables, generations, history, self._images)
        self._publish(made, replace(after, seals=made.next))

    def _publish(self, made: Commit, after: _State) -> None:
        self._begun = made, after
        self._committer.publish(made)
        self._take(after)
        self._sealed()

    def _commit_alone(self, make: Callable[[int, int], Mapping[str, pa.Table]]) -> None:
        self._check_store()
        self._seal()
        before = self._state
        made = self._committer.write_alone(before.seals, make(self.number, before.seals))
        self._publish(made, replace(before, seals=made.next))

    def _sealed(self) -> None:
        with contextlib.suppress(OSError):  # the next call removes the file; until then nobody merges its seal
            self._journal.drop()
            if self._merger is not None:
                self._merger.sealed(self._state.seals)

    def _close(self, state: str) -> None:
        self._ending = None
        self._seal()
        if self._merger is not None:
            self._merger.finish()
        self._save(state=state, finished=now())
        self._state = replace(self._state, mark=None)
        with contextlib.suppress(OSError):  # its seal is there
            self._journal.drop()
        self._closed = True
        if self._alive is not None:
            self._alive.release(remove=True)

    def _check_store(self) -> None:
        """Raise where the store was removed while the run goes on, and take up again where it is back."""
        self._check_there()
        lost = self._alive is not None and self._alive.lost
        if lost or self._journal.removed:  # what waits is in no file: seal it
            self._state = replace(self._state, mark=None)
            copy = self._journal.abandon()
            self._images.start_over()
            if lost:
                self._alive = self._live(self.number)
            self._seal()
            if copy is not None:  # one may have been put back, and is sealed now
                self.layout.files.remove(copy)

    def _check_there(self) -> None:
        if not is_store(self.layout.root):
            raise StorageError(
                f"{self.layout.root} is not there any more, or holds no {STORE_FILE}: put it back and log again. "
                f"What was logged since the last seal is in memory still"
            )

    def _save(self, *, state: str = "running", finished: str | None = None, **changes: Any) -> None:
        self._check_there()
        summary = self._run.summary if self._summary is None else self._summary()
        run = replace(
            self._run, **changes, state=state, finished=finished, summary=summary, updated=self._time_of_update()
        )
        write_json(self.layout.files, writer_path(run.run_id, self.number), dump_json(run.to_json()), sync=self.sync)
        self._run = run
        self._summary_waits = self._summary_changed = False

    def _time_of_update(self) -> str:
        """Return the current time, or a moment after the run's last update where a clock was set back."""
        mine = str(self._run.updated)
        others = self.layout.last_update(self._run.run_id, but=writer_path(self._run.run_id, self.number))
        last = datetime.fromisoformat(mine)
        return max(now(), after(last if others is None else max(last, others)))


def _history_value(value: Scalar) -> tuple[float | None, str | None, str | None]:
    """Return value, text and form of what was logged."""
    if isinstance(value, str):
        return None, str(value), JSON if isinstance(value, JsonText) else None
    number = float(value)
    exact = not isinstance(value, int) or number == value
    return number, None if exact else str(value), None
