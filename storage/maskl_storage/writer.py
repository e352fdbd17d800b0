"""The write side of one process in one run: rows wait here until a seal commits them."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any, Final

import numpy as np
import pyarrow as pa

from maskl_storage.batches import build, exact_as_float, merge_columns
from maskl_storage.cells import Batch, ImageCell
from maskl_storage.errors import InvalidValue, MasklError, StateError
from maskl_storage.images import ImageBytes, ImagePart, stored_digests
from maskl_storage.layout import Layout, RunInfo, writer_path
from maskl_storage.parts import part_path, write_file, write_part, write_seal
from maskl_storage.schema import FIXED
from maskl_storage.seals import Part, Seal
from maskl_storage.spec import ROW_BITS, Column, check_name

__all__ = ["SEAL_BYTES", "SEAL_SECONDS", "Writer", "now"]

#: what waits is sealed when it reaches this size or this age
SEAL_BYTES: Final = 64 << 20
SEAL_SECONDS: Final = 60.0

Scalar = bool | int | float | str


@dataclass
class _Pending:
    """Rows of one table that no seal holds yet: parallel lists."""

    columns: tuple[Column, ...]
    rows: list[Sequence[Any]] = field(default_factory=list)
    row_ids: list[int] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    timestamps: list[int] = field(default_factory=list)


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
    """

    def __init__(
        self,
        layout: Layout,
        run: RunInfo,
        *,
        seal_bytes: int = SEAL_BYTES,
        seal_seconds: float = SEAL_SECONDS,
    ) -> None:
        check_name(run.run_id, "run id")
        self.layout = layout
        self._lock = threading.RLock()
        self._seal_bytes, self._seal_seconds = seal_bytes, seal_seconds
        self._run = replace(run, started=run.started or now(), updated=now())
        self.number = self._claim()
        self._seals = 0
        self._tables: dict[str, _Pending] = {}
        self._counts: dict[str, int] = {}
        self._history: list[tuple[int, int, int, str, float | None, str | None]] = []
        self._history_rows = 0
        self._images: dict[str, ImageBytes] = {}
        self._image_part: ImagePart | None = None
        self._digests: set[str] | None = None
        self._bytes = 0
        self._closed = False
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

    def append(
        self,
        table: str,
        columns: tuple[Column, ...],
        rows: Iterable[Sequence[Any]],
        step: int,
    ) -> int:
        """Append rows to a table and return how many; each row has one cell for each column.

        The images that the cells refer to must have been added before.
        """
        check_name(table, "table name")
        stamp = time.time_ns() // 1000
        with self._lock:
            self.check_open()
            pending = self._pending(table, columns, rows)
            added = 0
            for row in rows:
                if len(row) != len(columns):
                    raise InvalidValue(f"table {table!r} has {len(columns)} columns; a row has {len(row)} cells")
                pending.rows.append(row)
                pending.row_ids.append((self.number << ROW_BITS) | self._counts[table])
                pending.steps.append(step)
                pending.timestamps.append(stamp)
                self._counts[table] += 1
                added += 1
                self._bytes += _weight(row)
                if self._bytes >= self._seal_bytes:
                    self._seal()
                    pending = self._pending(table, columns, ())
            self._seal_if_due()
            return added

    def log_scalars(self, values: Mapping[str, Scalar], step: int) -> None:
        """Append numbers and strings to the run's history."""
        stamp = time.time_ns() // 1000
        with self._lock:
            self.check_open()
            for key, value in values.items():
                row = (self.number << ROW_BITS) | self._history_rows
                number, text = _history_value(value)
                self._history.append((row, step, stamp, key, number, text))
                self._history_rows += 1
                self._bytes += 64 + len(text or "")
            self._seal_if_due()

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

    def _pending(self, table: str, columns: tuple[Column, ...], rows: Iterable[Sequence[Any]]) -> _Pending:
        pending = self._tables.get(table)
        if pending is not None:
            merged = merge_columns(pending.columns, columns)
            if merged is not None and _keeps_values(merged, pending, columns, rows):
                pending.columns = merged
                return pending
            self._seal()  # one part has one set of columns
        self._counts.setdefault(table, 0)
        return self._tables.setdefault(table, _Pending(columns))

    def _seal_if_due(self) -> None:
        if self._bytes >= self._seal_bytes:
            self._seal()
        elif self._timer is None:
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
        if not (self._tables or self._history or self._images):
            return
        parts = [self._seal_images()] if self._images else []
        for kind, table, data in self._parts():
            parts.append(write_part(self.layout.root, self._path(kind, table), data))
        write_seal(self.layout.root, Seal(self._run.run_id, self.number, self._seals, tuple(parts)))
        if self._digests is not None:
            self._digests.update(self._images)
        self._tables, self._history, self._images = {}, [], {}
        self._bytes = 0
        self._seals += 1
        self._save()

    def _parts(self) -> Iterable[tuple[str, str | None, pa.Table]]:
        for name, pending in self._tables.items():
            batch = Batch(
                pending.columns,
                pending.rows,
                np.array(pending.row_ids, np.int64),
                np.array(pending.steps, np.int64),
                np.array(pending.timestamps, np.int64),
            )
            for kind, table in build(batch):
                yield kind, name, table
        if self._history:
            columns = list(zip(*self._history, strict=True))
            names = FIXED["history"].names
            yield "history", None, pa.table(dict(zip(names, map(list, columns), strict=True)), schema=FIXED["history"])

    def _path(self, kind: str, table: str | None) -> str:
        return part_path(kind, self._run.run_id, table, self.number, self._seals)

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
        self._run = replace(self._run, updated=now())
        path = writer_path(self._run.run_id, self.number)
        write_file(self.layout.root / path, _dumps(self._run))


def now() -> str:
    """Return the current time as the store writes it."""
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")


def _dumps(run: RunInfo) -> bytes:
    return json.dumps(run.to_json(), ensure_ascii=False, default=str).encode()


def _keeps_values(
    merged: tuple[Column, ...], pending: _Pending, columns: tuple[Column, ...], rows: Iterable[Sequence[Any]]
) -> bool:
    """Whether no integer changes where a column of integers and one of floats become one."""
    for index, column in enumerate(merged):
        if column.type == "float" and pending.columns[index].type == "int":
            held: Iterable[Sequence[Any]] = pending.rows
        elif column.type == "float" and columns[index].type == "int":
            if not isinstance(rows, Sequence):
                return False
            held = rows
        else:
            continue
        if not exact_as_float(row[index] for row in held):
            return False
    return True


def _weight(row: Sequence[Any]) -> int:
    size = 0
    for cell in row:
        if isinstance(cell, ImageCell):
            size += 256 + sum(len(mask.data) + 256 for mask in cell.masks.values())
            size += sum(len(boxes.boxes) * 256 + 256 for boxes in cell.boxes.values())
        elif isinstance(cell, str | bytes):
            size += len(cell) + 64
        elif isinstance(cell, np.ndarray):
            size += cell.nbytes + 128
        else:
            size += 64
    return size


def _history_value(value: Scalar) -> tuple[float | None, str | None]:
    if isinstance(value, str):
        return None, value
    number = float(value)
    exact = not isinstance(value, int) or number == value
    return number, None if exact else str(value)
