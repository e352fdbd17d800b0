"""The write side of one process in one run: rows wait here until a seal commits them."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from itertools import islice
from typing import Any, Final

import pyarrow as pa

from maskl_storage.batches import build
from maskl_storage.cells import Rows
from maskl_storage.errors import InvalidValue, MasklError, StateError
from maskl_storage.images import ImageBytes, ImagePart, stored_digests
from maskl_storage.layout import Layout, RunInfo, writer_path
from maskl_storage.parts import SealCache, list_generations, part_path, write_json, write_part, write_seal
from maskl_storage.pending import Pending, weight
from maskl_storage.schema import FIXED
from maskl_storage.seals import Part, Seal
from maskl_storage.spec import ROW_BITS, Column, check_name, dump_json

__all__ = ["SEAL_BYTES", "SEAL_SECONDS", "Writer", "now"]

#: what waits is sealed when it reaches this size or this age
SEAL_BYTES: Final = 64 << 20
SEAL_SECONDS: Final = 60.0

#: rows that are taken at a time where they come as a stream
BLOCK: Final = 1024

Scalar = bool | int | float | str
#: ``_row, _step, _timestamp, key, value, text``
_HistoryRow = tuple[int, int, int, str, float | None, str | None]


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
    """

    def __init__(
        self,
        layout: Layout,
        run: RunInfo,
        *,
        seal_bytes: int = SEAL_BYTES,
        seal_seconds: float = SEAL_SECONDS,
        summary: Callable[[], Mapping[str, Any]] | None = None,
    ) -> None:
        check_name(run.run_id, "run id")
        self.layout = layout
        self._lock = threading.RLock()
        self._seal_bytes, self._seal_seconds = seal_bytes, seal_seconds
        self._run = replace(run, started=run.started or now(), updated=now())
        self.number = self._claim()
        self._seals = 0
        self._seal_cache: SealCache = {}
        self._tables: dict[str, list[Pending]] = {}
        self._replaced: set[str] = set()
        self._counts: dict[str, int] = {}
        self._history: list[_HistoryRow] = []
        self._history_rows = 0
        self._images: dict[str, ImageBytes] = {}
        self._image_part: ImagePart | None = None
        self._digests: set[str] | None = None
        self._bytes = 0
        self._closed = False
        self._summary, self._summary_waits = summary, False
        self._process = os.getpid()
        self._timer: threading.Timer | None = None
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

    def check_open(self) -> None:
        """Raise StateError where nothing can be written: after the end, or in a forked process."""
        if self.forked:
            raise StateError(
                f"run {self._run.run_id!r} belongs to process {self._process}: a forked process begins its own writer "
                f"with init(id={self._run.run_id!r})"
            )
        if self._closed:
            raise StateError(f"run {self._run.run_id!r} is finished: call maskl.init() for a new one")

    def holds(self, digest: str) -> bool:
        """Whether an image is in the store, or will be with the next seal."""
        with self._lock:
            if self._digests is None:
                self._digests = stored_digests(self.layout.root, self.layout.listing())
            return digest in self._digests or digest in self._images

    def add_image(self, image: ImageBytes) -> None:
        """Store an image, unless it is stored already."""
        with self._lock:
            self.check_open()
            if not self.holds(image.digest):
                if self._image_part is None and not self._images:
                    self._image_part = ImagePart(self.layout.root, self._path("images", None))
                # kept until a seal holds it, so that a failed write loses nothing
                self._images[image.digest] = image
                self._bytes += len(image.data)
                self._write_ahead(image)
                if self._bytes >= self._seal_bytes:
                    self._seal()

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

        The images that the cells refer to must have been added before.
        """
        for name, rows in tables.items():
            check_name(name, "table name")
            for row in rows.cells:
                if len(row) != len(rows.columns):
                    raise InvalidValue(f"table {name!r} has {len(rows.columns)} columns; a row has {len(row)} cells")
        size = sum(map(weight, tables.values()))
        stamp = time.time_ns() // 1000
        with self._lock:
            self.check_open()
            if self._bytes + size >= self._seal_bytes:
                self._seal()
            history = self._history_of(scalars or {}, step, stamp)
            if size >= self._seal_bytes:
                pieces = -(-size // self._seal_bytes)
                made = {name: self._cut(name, rows, step, stamp, pieces) for name, rows in tables.items()}
                self._commit(made, {name for name, rows in tables.items() if rows.replace}, history)
            else:
                for name, rows in tables.items():
                    self._add(name, rows, step, stamp)
                self._history += history
                self._bytes += size + sum(64 + len(row[-1] or "") for row in history)
                self._seal_in_a_while()

    def log_scalars(self, values: Mapping[str, Scalar], step: int) -> None:
        """Append numbers and strings to the run's history."""
        self.write({}, step, values)

    def describe(self, **changes: Any) -> None:
        """Change what the run's file says, and write it."""
        with self._lock:
            self.check_open()
            self._run = replace(self._run, **changes)
            self._save()

    def summary_changed(self) -> None:
        """Have the summary written with the next seal, also where nothing else waits."""
        with self._lock:
            self.check_open()
            self._summary_waits = True
            self._seal_in_a_while()

    def seal(self) -> None:
        """Commit everything that waits; readers in any process see it from then on."""
        if self.forked:
            return
        with self._lock:
            if not self._closed:
                self._seal()

    def close(self, state: str = "finished") -> None:
        """Seal what waits and write the run's end state."""
        if self.forked:
            return
        with self._lock:
            if self._closed:
                return
            self._seal()
            self._run = replace(self._run, state=state, finished=now())
            self._save()
            self._closed = True

    # --- inside, with the lock held -------------------------------------------------------------

    def _claim(self) -> int:
        number = 0
        while True:
            path = self.layout.root / writer_path(self._run.run_id, number)
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                path.open("x").close()
            except FileExistsError:
                number += 1
            else:
                return number

    def _add(self, name: str, rows: Rows, step: int, stamp: int) -> None:
        """Let rows wait for the next seal."""
        waiting = self._tables.setdefault(name, [])
        if rows.replace:
            waiting.clear()
            self._replaced.add(name)
        for frame, cells in rows.pieces:
            new = self._pending(name, Pending.of(rows.columns, frame, cells), step, stamp)
            if not (waiting and waiting[-1].take(new)):
                waiting.append(new)

    def _cut(self, name: str, rows: Rows, step: int, stamp: int, pieces: int) -> Iterator[Pending]:
        """Yield many rows as parts of a size that memory can hold twice."""
        for frame, cells in rows.pieces:
            count = len(cells) if frame is None else frame.num_rows
            size = max(1, -(-count // pieces))
            for start in range(0, max(count, 1), size):
                piece = None if frame is None else frame.slice(start, size)
                new = Pending.of(rows.columns, piece, cells[start : start + size])
                yield self._pending(name, new, step, stamp)

    def _pending(self, name: str, new: Pending, step: int, stamp: int) -> Pending:
        first = self._counts.get(name, 0)
        self._counts[name] = first + len(new)
        new.segments.append((len(new), (self.number << ROW_BITS) | first, step, stamp))
        return new

    def _history_of(self, values: Mapping[str, Scalar], step: int, stamp: int) -> list[_HistoryRow]:
        rows: list[_HistoryRow] = []
        for key, value in values.items():
            number, text = _history_value(value)
            rows.append(((self.number << ROW_BITS) | self._history_rows, step, stamp, key, number, text))
            self._history_rows += 1
        return rows

    def _seal_in_a_while(self) -> None:
        if self._timer is None:
            self._timer = threading.Timer(self._seal_seconds, self._seal_in_time)
            self._timer.daemon = True
            with contextlib.suppress(RuntimeError):  # the interpreter is shutting down: finish() seals
                self._timer.start()

    def _seal_in_time(self) -> None:
        """Seal what has waited long enough; what goes wrong is raised by the next call that seals."""
        with self._lock, contextlib.suppress(MasklError, OSError, pa.ArrowException):
            self._timer = None
            if not self._closed:
                self._seal()

    def _seal(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._tables or self._history or self._images:
            self._commit(self._tables, self._replaced, self._history)
            self._tables, self._replaced, self._history = {}, set(), []
            self._bytes = 0
        elif self._summary_waits:
            self._save()

    def _commit(
        self, tables: Mapping[str, Iterable[Pending]], replaced: set[str], history: Sequence[_HistoryRow]
    ) -> None:
        """Write parts, then the seals that make them the store's: one for each generation among the tables.

        A table's second part in one commit bears the number that the next seal would have had.
        """
        known = list_generations(self.layout.root, self._run.run_id, self._seal_cache) if tables else {}
        generations = {name: known.get(name, -1) + 1 if name in replaced else known.get(name, 0) for name in tables}
        parts: dict[int, list[Part]] = {next(iter(generations.values()), 0): []}
        first = next(iter(parts.values()))
        most = 1
        try:
            if self._images:
                first.append(self._seal_images())
            if history:
                first.append(self._write("history", None, 0, _history_table(history)))
            for name, generation in generations.items():
                for number, pending in enumerate(tables[name]):
                    most = max(most, number + 1)
                    for kind, table in build(pending.batch()):
                        parts.setdefault(generation, []).append(self._write(kind, name, number, table))
        except BaseException:
            for part in (part for found in parts.values() for part in found):
                (self.layout.root / part.path).unlink(missing_ok=True)
            raise
        for number, (generation, found) in enumerate(parts.items()):
            seal = Seal(self._run.run_id, self.number, self._seals + number, tuple(found), generation)
            write_seal(self.layout.root, seal)
        self._seals += max(len(parts), most)
        if self._digests is not None:
            self._digests.update(self._images)
        self._images = {}
        self._save()

    def _write(self, kind: str, table: str | None, number: int, data: pa.Table) -> Part:
        return write_part(self.layout.root, self._path(kind, table, number), data)

    def _path(self, kind: str, table: str | None, number: int = 0) -> str:
        return part_path(kind, self._run.run_id, table, self.number, self._seals + number)

    def _write_ahead(self, image: ImageBytes) -> None:
        """Hand an image to the part that is being written; if that fails, the seal writes them all again."""
        if self._image_part is not None:
            try:
                self._image_part.add(image)
            except (OSError, pa.ArrowException):
                self._image_part.abandon()
                self._image_part = None

    def _seal_images(self) -> Part:
        part, self._image_part = self._image_part, None
        if part is not None:
            with contextlib.suppress(OSError, pa.ArrowException):
                return part.finish()
        part = ImagePart(self.layout.root, self._path("images", None))
        for image in self._images.values():
            part.add(image)
        return part.finish()

    def _save(self) -> None:
        summary = self._run.summary if self._summary is None else self._summary()
        self._run = replace(self._run, summary=summary, updated=now())
        self._summary_waits = False
        path = writer_path(self._run.run_id, self.number)
        write_json(self.layout.root / path, dump_json(self._run.to_json()))


def now() -> str:
    """Return the current time as the store writes it."""
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")


def _history_table(rows: Sequence[_HistoryRow]) -> pa.Table:
    columns = map(list, zip(*rows, strict=True))
    return pa.table(dict(zip(FIXED["history"].names, columns, strict=True)), schema=FIXED["history"])


def _history_value(value: Scalar) -> tuple[float | None, str | None]:
    if isinstance(value, str):
        return None, value
    number = float(value)
    exact = not isinstance(value, int) or number == value
    return number, None if exact else str(value)
