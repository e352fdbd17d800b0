"""A run: what is logged to it, what it was configured with, and what it comes to."""

from __future__ import annotations

import contextlib
import operator
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any

from maskl.encode import PendingImage
from maskl.infer import INT64
from maskl.media import Path, sort_out
from maskl.runconfig import Config
from maskl.runsummary import Metric, Metrics, Summary, parse_metric
from maskl.server import ServerCalls
from maskl.settings import Settings, parse_tags, warn_server_only
from maskl.table import Table
from maskl_storage.errors import InvalidType, InvalidValue, NotFound, StateError
from maskl_storage.images import ImageReader
from maskl_storage.layout import RunInfo
from maskl_storage.spec import check_text
from maskl_storage.writer import Writer

__all__ = ["Run", "parse_step"]


class Run(ServerCalls):
    """One run: rows, images and scalars are logged to it until it is finished.

    Made by :func:`init`; a context manager that finishes the run, as failed if an exception left it.
    """

    def __init__(
        self,
        writer: Writer,
        settings: Settings,
        config: Config,
        summary: Summary,
        metrics: Metrics,
        *,
        starting_step: int = 0,
        resumed: bool = False,
        entity: str = "",
        ended: Callable[[Run, int | None, bool], None] = lambda run, code, quiet: None,
    ) -> None:
        self._writer = writer
        self._settings = settings
        self._config = config
        self._summary = summary
        self._metrics = metrics
        self._step = self._starting_step = starting_step
        self._resumed, self._entity = resumed, entity
        self._ended = ended
        self._lock = threading.RLock()
        self._reader: ImageReader | None = None

    @property
    def id(self) -> str:
        """The run's id, which no other run of the store has."""
        return self._info.run_id

    @property
    def name(self) -> str:
        """The run's name; may be set."""
        return self._info.name

    @name.setter
    def name(self, name: str) -> None:
        self._describe(name=_text("name", name) or self.id)

    @property
    def notes(self) -> str | None:
        """What the user notes about the run; may be set."""
        return self._info.notes

    @notes.setter
    def notes(self, notes: str) -> None:
        self._describe(notes=_text("notes", notes))

    @property
    def tags(self) -> tuple[str, ...]:
        """The run's tags; may be set, also by ``run.tags += ("more",)``."""
        return tuple(self._info.tags)

    @tags.setter
    def tags(self, tags: Sequence[str]) -> None:
        self._describe(tags=parse_tags(tags) or ())

    @property
    def project(self) -> str | None:
        """The project that the run belongs to."""
        return self._info.project

    @property
    def entity(self) -> str:
        """The entity that was named in :func:`init`; the store does not keep it."""
        return self._entity

    @property
    def group(self) -> str:
        """The group that the run belongs to; empty where it has none."""
        return self._info.group or ""

    @property
    def job_type(self) -> str:
        """What kind of job the run is; empty where that was not said."""
        return self._info.job_type or ""

    @property
    def path(self) -> str:
        """Project and id, joined with ``/``."""
        return "/".join(part for part in (self._entity, self.project, self.id) if part)

    @property
    def config(self) -> Config:
        """What the run was configured with; see :class:`maskl.Config`."""
        return self._config

    @property
    def config_static(self) -> Mapping[str, Any]:
        """The config as a dict that nothing follows."""
        return self._config.as_dict()

    @property
    def summary(self) -> Summary:
        """What the run comes to; see :class:`maskl.Summary`."""
        return self._summary

    @property
    def settings(self) -> Settings:
        """What the run was started with."""
        return self._settings

    @property
    def step(self) -> int:
        """The step that the next :meth:`log` without one goes to."""
        return self._step

    @property
    def starting_step(self) -> int:
        """The step at which this process began: 0, or the one after the last that was stored."""
        return self._starting_step

    @property
    def resumed(self) -> bool:
        """Whether the store had this run already."""
        return self._resumed

    @property
    def start_time(self) -> float:
        """When the run was started here, in seconds since 1970."""
        return datetime.fromisoformat(str(self._info.started)).timestamp()

    @property
    def dir(self) -> str:
        """The store's directory."""
        return str(self._writer.layout.root)

    @property
    def sync_dir(self) -> str:
        """The store's directory."""
        return self.dir

    @property
    def offline(self) -> bool:
        """True: what is logged stays on this machine."""
        return True

    @property
    def disabled(self) -> bool:
        """Whether nothing that is logged is stored."""
        return False

    @property
    def sweep_id(self) -> None:
        """None: there are no sweeps."""
        return

    def log(self, data: Mapping[str, Any], step: int | None = None, commit: bool | None = None) -> None:
        """Log values under their keys.

        Parameters
        ----------
        data : dict of str to value
            A :class:`Table`, or a DataFrame of pandas, Polars, pyarrow or DuckDB, becomes the table of
            that name; an :class:`Image` or a list of them a table with the columns ``image`` and
            ``index``; numbers and strings go to the history; nested dicts have their keys joined with
            ``/``. None is not stored.
        step : int, optional
            The step to log at, by default the current one. An equal step adds to it, a higher one moves
            there, a lower one is logged there without moving.
        commit : bool, optional
            Whether the next call without a step goes to the next one; by default if this has no step
            either. With False this step stays open, and later calls add to it.

        Raises
        ------
        InvalidType, InvalidValue
            A value that cannot be logged; nothing of the call is then stored.
        StateError
            The run is finished.

        Notes
        -----
        A name that is logged twice at one step has both values in the history, in order; the summary
        has the later one.
        """
        if not isinstance(data, Mapping):
            raise InvalidType(f"log() needs a dict of names to values; got {type(data).__name__}")
        at = parse_step(step)
        if commit not in (None, True, False):
            raise InvalidType(f"commit must be True, False or None; got {commit!r:.60}")
        self._writer.check_open()
        logged = sort_out(data)
        with self._lock:
            scalars = logged.scalars
            scalars.update(self._metrics.synced(scalars, self._step if at is None else at))
            at = self._store(logged.tables, scalars, at)
            for name, value in scalars.items():
                path: Path = logged.paths.get(name, (name,))
                self._metrics.observe(path, value, at)
            self._move(at, step is None if commit is None else commit)

    def define_metric(
        self,
        name: str,
        step_metric: str | Metric | None = None,
        step_sync: bool | None = None,
        hidden: bool | None = None,
        summary: str | None = None,
        goal: str | None = None,
        overwrite: bool | None = None,
    ) -> Metric:
        """Say how values of a name are summarised.

        Parameters
        ----------
        name : str
            The name that is logged; one ``*`` at the end stands for any rest, and a name's own
            definition goes before it.
        step_metric : str or Metric, optional
            Another name that these values go by.
        step_sync : bool, optional
            Whether the last value of ``step_metric`` is logged along where a call does not bring one;
            by default if there is a ``step_metric``.
        hidden : bool, optional
            Only for W&B's charts.
        summary : str, optional
            One or several of ``min``, ``max``, ``mean``, ``last``, ``first`` and ``best``, separated by
            commas: the summary then holds a dict of them. ``none`` keeps the name out of the summary;
            ``copy`` is the last value by itself, as without a definition.
        goal : {'minimize', 'maximize'}, optional
            What ``best`` is.
        overwrite : bool, optional
            Whether to forget an earlier definition, instead of joining it with this one.

        Returns
        -------
        Metric

        Raises
        ------
        InvalidType, InvalidValue
            An argument of another type, or an operation that there is not.

        Notes
        -----
        Values that were logged before count too, also those of a run that is opened again. NaN is no
        minimum, maximum or part of a mean.
        """
        metric = parse_metric(name, step_metric, step_sync, hidden, summary, goal, overwrite)
        self._check_open()
        if hidden:
            warn_server_only(f"hidden=True of metric {name!r}", ": there are no charts")
        if metric.step_metric and metric.step_sync is False:
            warn_server_only(f"step_metric of metric {name!r} without step_sync", ": there are no charts")
        with self._lock, self._summary.changing():
            return self._metrics.define(metric, bool(overwrite))

    def finish(self, exit_code: int | None = None, quiet: bool | None = None) -> None:
        """Seal everything and end the run: as failed if ``exit_code`` is not 0.

        Parameters
        ----------
        exit_code : int, optional
            How the program ended.
        quiet : bool, optional
            Whether to leave out the line that says what was logged.
        """
        if self._writer.closed:
            return
        try:
            self._writer.close("failed" if exit_code else "finished")
        finally:
            self._ended(self, exit_code, bool(quiet))

    def stored_image(self, digest: str) -> Callable[[], bytes] | None:
        """Return how to read an image that the store holds already; None where it does not."""
        return partial(self._read, digest) if self._writer.holds(digest) else None

    def store_image(self, image: PendingImage) -> None:
        """Hand an encoded image to the store, which may write it before the row that refers to it."""
        encoded = image.result()
        with contextlib.suppress(StateError):  # a run that ended meanwhile leaves the image to the next log()
            self._writer.add_image(encoded)
            image.release(partial(self._read, encoded.digest))

    @property
    def _info(self) -> RunInfo:
        return self._writer.run

    def _describe(self, **changes: Any) -> None:
        self._writer.describe(**changes)

    def _check_open(self) -> None:
        self._writer.check_open()

    def _store(self, tables: Mapping[str, Table], scalars: Mapping[str, Any], step: int | None) -> int:
        """Store what a call logs, and return at which step."""
        at = self._step if step is None else step
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
        return at

    def _move(self, at: int, commit: bool) -> None:
        """Move the counter on, unless something was logged at a step that lies behind it."""
        if at >= self._step:
            self._step = at + 1 if commit else at

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
        left_well = kind is None or (isinstance(error, SystemExit) and error.code in (None, 0))
        self.finish(0 if left_well else 1)

    def __repr__(self) -> str:
        return f"<Run {self.id!r} {self._info.state}>"


def parse_step(step: Any) -> int | None:
    """Return a step as an int, or raise what is wrong with it."""
    if step is None:
        return None
    try:
        number = operator.index("" if isinstance(step, bool) else step)  # type: ignore[arg-type]  # what is no integer raises
    except TypeError as error:
        raise InvalidType(f"step must be a whole number; got {step!r:.60}") from error
    if not INT64[0] <= number <= INT64[1]:
        raise InvalidValue(f"step must be within signed 64 bits; got {step}")
    return number


def _text(what: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidType(f"{what} must be a string; got {value!r:.60}")
    return check_text(value, what)
