"""Runs: the only module with process-wide state."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import secrets
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, Final

import numpy as np

from maskl.encode import PendingImage, encoder, keep_scratch_memory
from maskl.image import Image
from maskl.infer import INT64, parse_cell
from maskl.joined import JoinedTable
from maskl.table import Table
from maskl_storage.errors import InvalidType, InvalidValue, NotFound, StateError
from maskl_storage.images import ImageReader
from maskl_storage.layout import Layout, RunInfo, locate
from maskl_storage.spec import check_name, check_text
from maskl_storage.store import register, unregister
from maskl_storage.writer import Writer

__all__ = ["Run", "finish", "init", "log"]

ID_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"

_active: Run | None = None


class Run:
    """One run: rows, images and scalars are logged to it until it is finished.

    Made by :func:`init`; a context manager that finishes the run, as failed if an exception left it.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._step = 0
        self._lock = threading.RLock()
        self._reader: ImageReader | None = None

    @property
    def id(self) -> str:
        """The run's id, which no other run of the store has."""
        return self._writer.run.run_id

    @property
    def name(self) -> str:
        """The run's name."""
        return self._writer.run.name

    @property
    def project(self) -> str | None:
        """The project that the run belongs to."""
        return self._writer.run.project

    @property
    def config(self) -> dict[str, Any]:
        """What the run was configured with."""
        return dict(self._writer.run.config)

    @property
    def step(self) -> int:
        """The step that the next :meth:`log` without one goes to."""
        return self._step

    @property
    def dir(self) -> str:
        """The store's directory."""
        return str(self._writer.layout.root)

    def log(self, data: Mapping[str, Any], step: int | None = None) -> None:
        """Log values under their keys.

        Parameters
        ----------
        data : dict of str to value
            A :class:`Table` becomes the table of that name; an :class:`Image` or a list of them a
            table with the columns ``image`` and ``index``; numbers and strings go to the history;
            nested dicts have their keys joined with ``/``.
        step : int, optional
            The step to log at. Without one the next: each such call moves on by one. An equal step
            adds to it, a higher one moves there, a lower one is logged there without moving.

        Raises
        ------
        InvalidType, InvalidValue
            A value that cannot be logged; nothing of the call is then stored.
        StateError
            The run is finished.
        """
        if not isinstance(data, Mapping):
            raise InvalidType(f"log() needs a dict of names to values; got {type(data).__name__}")
        if step is not None and (isinstance(step, bool) or not isinstance(step, int | np.integer)):
            raise InvalidType(f"step must be a whole number; got {step!r:.60}")
        if step is not None and not INT64[0] <= step <= INT64[1]:
            raise InvalidValue(f"step must be within signed 64 bits; got {step}")
        self._writer.check_open()
        tables, scalars = _sort_out(data)
        with self._lock:
            self._store(tables, scalars, step)

    def _store(self, tables: Mapping[str, Table], scalars: Mapping[str, Any], step: int | None) -> None:
        at = self._step if step is None else int(step)
        place, together = f"{self.id} in {self.dir}", {id(table): name for name, table in tables.items()}
        found = {name: table.rows_to_log(place, name, at, together) for name, table in tables.items()}
        rows = {name: some for name, some in found.items() if some is not None}
        for name, some in rows.items():
            for image in tables[name].images_of(some):
                if not self._writer.holds(image.digest):
                    self.store_image(image)
        self._writer.write(rows, at, scalars)
        for name in rows:
            tables[name].logged(place, name, at)
        self._step = at + 1 if step is None else max(at, self._step)

    def finish(self, exit_code: int | None = None) -> None:
        """Seal everything and end the run: as failed if ``exit_code`` is not 0."""
        global _active
        try:
            self._writer.close("failed" if exit_code else "finished")
        finally:
            unregister(self._writer)
            if _active is self:
                _active = None
                encoder.sink = None

    def stored_image(self, digest: str) -> Callable[[], bytes] | None:
        """Return how to read an image that the store holds already; None where it does not."""
        return partial(self._read, digest) if self._writer.holds(digest) else None

    def store_image(self, image: PendingImage) -> None:
        """Hand an encoded image to the store, which may write it before the row that refers to it."""
        encoded = image.result()
        with contextlib.suppress(StateError):  # a run that ended meanwhile leaves the image to the next log()
            self._writer.add_image(encoded)
            image.release(partial(self._read, encoded.digest))

    def _read(self, digest: str) -> bytes:
        self._writer.seal()
        layout = self._writer.layout
        if self._reader is None:
            self._reader = ImageReader(layout.root, layout.listing())
        try:
            return self._reader.read(digest)
        except NotFound:  # sealed since the reader was made
            self._reader = ImageReader(layout.root, layout.listing())
            return self._reader.read(digest)

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish(1 if kind is not None else 0)

    def __repr__(self) -> str:
        return f"<Run {self.id!r} {self._writer.run.state}>"


def init(
    project: str | None = None,
    *,
    name: str | None = None,
    id: str | None = None,  # noqa: A002  # the name that users of W&B know
    dir: str | os.PathLike[str] | None = None,  # noqa: A002  # as above
    config: Mapping[str, Any] | None = None,
    group: str | None = None,
    tags: Sequence[str] | None = None,
    notes: str | None = None,
) -> Run:
    """Start a run, or return the one that is active.

    Parameters
    ----------
    project : str, optional
        What the run belongs to.
    name : str, optional
        What the run is called; by default the time of its start.
    id : str, optional
        The run's id; by default its name and four characters. A second writer of a run names it too.
    dir : path-like, optional
        The store, or a directory to make ``maskl-store`` in; by default ``$MASKL_DIR``, else the
        working directory.
    config : dict, optional
        What the run is configured with: anything that JSON can hold.
    group, notes : str, optional
    tags : list of str, optional

    Returns
    -------
    Run

    Raises
    ------
    InvalidType, InvalidValue
        An argument of the wrong type; a directory that cannot be a store.
    StateError
        A run is active, and other arguments were given: finish it first.

    Examples
    --------
    >>> import tempfile
    >>> with init(project="demo", name="first", dir=tempfile.mkdtemp()) as run:
    ...     run.log({"loss": 0.5})
    """
    global _active
    given = [value for value in (project, name, id, dir, config, group, tags, notes) if value is not None]
    if _active is not None:
        if given:
            raise StateError(f"run {_active.id!r} is active: call maskl.finish() before init() with other arguments")
        return _active
    for what, value in (("project", project), ("name", name), ("group", group), ("notes", notes)):
        if value is not None and not isinstance(value, str):
            raise InvalidType(f"{what} must be a string; got {value!r:.60}")
        check_text(value or "", f"{what}")
    if isinstance(tags, str) or not all(isinstance(tag, str) for tag in tags or ()):
        raise InvalidType(f"tags must be a list of strings; got {tags!r:.60}")
    for tag in tags or ():
        check_text(tag, "a tag")
    name = name or id or f"run-{datetime.now():%Y%m%d-%H%M%S}"
    run_id = check_name(
        id if id is not None else f"{name}-{''.join(secrets.choice(ID_LETTERS) for _ in range(4))}", "run id"
    )
    layout = Layout.create(locate(dir))
    info = RunInfo(run_id, name, project, group, config=_config(config), tags=tuple(tags or ()), notes=notes)
    keep_scratch_memory()
    writer = Writer(layout, _continued(layout, info) if id is not None else info)
    register(writer)
    _active = Run(writer)
    encoder.sink = _active
    return _active


def _continued(layout: Layout, info: RunInfo) -> RunInfo:
    """Return the run with what was not given taken from its earlier writers, if there are any."""
    earlier = [run for run in layout.runs() if run.run_id == info.run_id]
    if not earlier:
        return info
    (old,) = earlier
    return replace(
        info,
        name=old.name if info.name == info.run_id else info.name,
        project=info.project or old.project,
        group=info.group or old.group,
        config={**old.config, **info.config},
        tags=info.tags or old.tags,
        notes=info.notes or old.notes,
        summary=old.summary,
    )


def log(data: Mapping[str, Any], step: int | None = None) -> None:
    """Log to the active run; see :meth:`Run.log`."""
    if _active is None:
        raise StateError("You must call maskl.init() before maskl.log()")
    _active.log(data, step)


def finish(exit_code: int | None = None) -> None:
    """End the active run, if there is one; see :meth:`Run.finish`."""
    if _active is not None:
        _active.finish(exit_code)


def _config(config: object) -> dict[str, Any]:
    if config is None:
        return {}
    if not isinstance(config, Mapping):
        raise InvalidType(f"config must be a dict; got {type(config).__name__}")
    try:
        parsed: dict[str, Any] = json.loads(json.dumps(dict(config), default=_plain), parse_constant=str)
    except (TypeError, ValueError) as error:
        raise InvalidType(f"config must be what JSON can hold: {error}") from error
    check_text(json.dumps(parsed, ensure_ascii=False), "config")
    return parsed


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"a {type(value).__name__} cannot be stored")


def _sort_out(data: Mapping[str, Any]) -> tuple[dict[str, Table], dict[str, Any]]:
    """Split what is logged into tables and scalars, checking everything before anything is stored."""
    tables: dict[str, Table] = {}
    images: dict[str, Sequence[Image]] = {}
    scalars: dict[str, Any] = {}
    for name, value in _flat(data):
        if name in tables or name in images or name in scalars:
            raise InvalidValue(f"{name!r} is logged twice in one call: once as it is and once in a nested dict")
        if isinstance(value, JoinedTable):
            value = value.table()
        if isinstance(value, Table):
            tables[check_name(name, "table name")] = value
        elif isinstance(value, Image):
            images[check_name(name, "table name")] = [value]
        elif _is_images(value):
            images[check_name(name, "table name")] = value
        else:
            scalars[name] = _scalar(name, value)
    for name, items in images.items():
        tables[name] = Table(["image", "index"], [(image, index) for index, image in enumerate(items)])
    return tables, {name: value for name, value in scalars.items() if value is not None}


def _flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        if not isinstance(key, str) or not key:
            raise InvalidType(f"a logged value needs a name, a string that is not empty; got {key!r:.60}")
        name = check_text(prefix + key, "a logged value's name")
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}/")
        else:
            yield name, value


def _scalar(name: str, value: Any) -> bool | int | float | str | None:
    column, cell = parse_cell(name, value)
    if column.type in ("list", "array", "bytes", "timestamp"):
        return json.dumps(cell.tolist() if isinstance(cell, np.ndarray) else cell, default=str)
    scalar: bool | int | float | str | None = cell
    return scalar


def _is_images(value: object) -> bool:
    if not isinstance(value, list | tuple) or not any(isinstance(item, Image) for item in value):
        return False
    for index, item in enumerate(value):
        if not isinstance(item, Image):
            raise InvalidValue(f"a list of images must hold nothing else; item {index} is a {type(item).__name__}")
    return True


def _at_exit() -> None:
    # sys.last_exc is set where an exception that nobody caught ended the program
    failed = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    finish(1 if failed else 0)


def _after_fork() -> None:
    global _active
    _active = None  # it is the parent's


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_after_fork)
