"""A run: what is logged to it, what it was configured with, and what it comes to."""

from __future__ import annotations

import contextlib
import json
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any

from maskl.adapters.objects import is_ours
from maskl.runs._file_calls import FileCalls
from maskl.runs._on_error import going_on
from maskl.runs._origin import Origin, this_process
from maskl.runs._payload import Logged, parse_step, sort_out
from maskl.runs.config import Config
from maskl.runs.settings import Settings, parse_tags, warn_server_only
from maskl.runs.summary import Metric, Metrics, Past, Summary, parse_metric
from maskl.tables.table import Table, with_pairs
from maskl_storage.catalog.runs import RunInfo
from maskl_storage.cells.cells import Rows
from maskl_storage.errors import EncodingError, InvalidType, MasklError, NotStoredWarning, StateError, warn
from maskl_storage.format.names import check_text
from maskl_storage.write.null import NullWriter
from maskl_storage.write.writer import Writer

__all__ = ["Run"]


class Run(FileCalls):
    """One run: rows, images and scalars are logged to it until it is finished.

    Made by :func:`init`; a context manager that finishes the run, as failed if an exception left it. A run of
    ``mode="disabled"`` takes every call and stores nothing: its writer writes nothing, and values are not looked
    at. Its config and summary are kept in memory; the summary has what was logged as it was given, save images and
    tables.

    Pickled and copied, a run is itself in the same process. In another one it is a handle, which knows what was known
    of the run then; it opens the run, as another writer of it, with the first thing that is logged or set.
    """

    def __init__(
        self,
        info: RunInfo,
        open_writer: Callable[[Callable[[], Mapping[str, Any]]], Writer | NullWriter],
        settings: Settings,
        *,
        allow_val_change: bool = False,
        past: Past | None = None,
        starting_step: int = 0,
        resumed: bool = False,
        entity: str = "",
        ended: Callable[[Run, int | None, bool], None] = lambda run, code, quiet: None,
        found_again: Callable[[Origin], Run] | None = None,
    ) -> None:
        super().__init__()
        self._settings = settings
        self._summary = Summary(
            info.summary,
            lambda: self._writer.summary_changed(),
            lambda: self._writer.check_open(),
            run=self,
            as_given=settings.mode == "disabled",
        )
        self._writer = open_writer(self._summary.as_dict)
        self._config = Config(info.config, allow_val_change, lambda items: self._writer.describe(config=items), self)
        self._metrics = Metrics(self._summary, past, starting_step)
        self._step = self._starting_step = starting_step
        self._resumed, self._entity = resumed, entity
        self._ended, self._over = ended, False
        self._found_again = found_again
        #: whether the run was begun in another process, and came here in a pickle
        self._came = False
        self._lock = threading.RLock()
        #: how many calls the writer had taken before one, and what that one is to note once it is taken
        self._unsettled: tuple[int, deque[Callable[[], None]]] | None = None

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
        self._writer.describe(name=_text("name", name) or self.id)

    @property
    def notes(self) -> str | None:
        """What the user notes about the run; may be set."""
        return self._info.notes

    @notes.setter
    def notes(self, notes: str) -> None:
        self._writer.describe(notes=_text("notes", notes))

    @property
    def tags(self) -> tuple[str, ...]:
        """The run's tags; may be set, also by ``run.tags += ("more",)``."""
        return tuple(self._info.tags)

    @tags.setter
    def tags(self, tags: str | Sequence[str]) -> None:
        self._writer.describe(tags=parse_tags(tags) or ())

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
    def sync_dir(self) -> str:
        """The same as :attr:`store_dir`."""
        return self.store_dir

    @property
    def offline(self) -> bool:
        """True: what is logged stays on this machine."""
        return True

    @property
    def disabled(self) -> bool:
        """Whether nothing that is logged is stored."""
        return self._writer.discards

    def log(self, data: Mapping[str, Any], step: int | None = None, commit: bool | None = None) -> None:
        """Log values under their keys.

        Parameters
        ----------
        data : dict of str to value
            A :class:`Table`, or a DataFrame of pandas, Polars, pyarrow or DuckDB, becomes the table of
            that name, a list of tables one each; an :class:`Image` or a list of them a table with the
            columns ``image`` and ``index``; numbers, strings, :class:`Histogram`, and kept media such as
            :class:`Html`, also in a list, go to the history, and so do
            arrays and tensors of one element, lists as JSON text, and paths, sets, enums, times and the like as
            what JSON has for them; a chart of :mod:`maskl.plot` stores its table as ``<key>_table``; nested dicts
            and dataclasses have their keys joined with ``/``. None is not
            stored.
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
        EncodingError
            An image of some row could not be encoded or read; all else of the call is stored.
        StorageError
            The disk took nothing of it, for want of room or of a folder; what was logged before is kept.
        StateError
            The run is finished.

        Notes
        -----
        What is logged outlasts the process when this returns, however the process ends.

        A name that is logged twice at one step has both values in the history, in order; the summary
        has the later one.
        """
        if self._writer.discards:
            self._skip(data, step, commit)
            return
        if not isinstance(data, Mapping):
            raise InvalidType(f"log() needs a dict of names to values; got {type(data).__name__}")
        at = parse_step(step)
        if commit not in (None, True, False):
            raise InvalidType(f"commit must be True, False or None; got {commit!r:.60}")
        self._writer.check_open()
        with self._lock:
            at = self._step if at is None else at
            with self._going_on(data):
                self._log(sort_out(data), at)
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
        NotSupported
            What only charts would heed, where the run is strict.

        Notes
        -----
        Values that were logged before count too, also those of a run that is opened again. NaN is no
        minimum, maximum or part of a mean.
        """
        if self.disabled:
            return Metric(str(name))
        metric = parse_metric(name, step_metric, step_sync, hidden, summary, goal, overwrite)
        self._writer.check_open()
        if hidden:
            warn_server_only(f"hidden=True of metric {name!r}", ": there are no charts", strict=self._settings.strict)
        if metric.step_metric and metric.step_sync is False:
            what = f"step_metric of metric {name!r} without step_sync"
            warn_server_only(what, ": there are no charts", strict=self._settings.strict)
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
        if self._over:
            return
        try:
            with self._going_on({}):
                self._keep()
                self._writer.close("failed" if exit_code else "finished")
        except MasklError:
            self._ended(self, exit_code, bool(quiet))
            raise
        # not where an interrupt came between: the run is active still, and can be finished again
        self._ended(self, exit_code, bool(quiet))
        self._over = True

    # --- in other processes -----------------------------------------------------------------------

    def __reduce__(self) -> tuple[Callable[[Origin], Run], tuple[Origin]]:
        if self._found_again is None:
            raise InvalidType(f"run {self.id!r} was not started with init(), and cannot be pickled or copied")
        return self._found_again, (self._origin,)

    @property
    def _key(self) -> tuple[str | None, str]:
        """What tells the run from others of this process: the store, None where it is disabled, and the id."""
        return None if self.disabled else self.store_dir, self.id

    @property
    def _origin(self) -> Origin:
        """What a pickle of the run holds: where it is stored, and what is known of it now."""
        summary = {} if self.disabled else self._summary.as_dict()
        info = replace(self._info, config=self._config.as_dict(), summary=summary)
        allow = self._config.may_change
        metrics = tuple(self._metrics.defined.values())
        return Origin(self._key, this_process(), info, self._settings, allow, self._entity, self._step, metrics)

    def _come(self, metrics: Iterable[Metric]) -> None:
        """Be a run that was begun in another process, and came here in a pickle, with its metrics' definitions."""
        self._came = True
        for metric in metrics:
            self._metrics.defined[metric.name] = metric

    def _go_on(self, writer: Writer, summary: Mapping[str, Any], step: int, past: Past) -> None:
        """Begin to write, in a process that the run came to."""
        self._writer = writer
        for key, value in summary.items():
            if key not in self._summary:
                self._summary.put((key,), value)
        defined = self._metrics.defined.values()
        self._metrics = Metrics(self._summary, past, step)
        for metric in defined:
            self._metrics.define(metric)
        self._step = self._starting_step = step

    # --- inside ---------------------------------------------------------------------------------

    def _label(self, **of_framework: Any) -> None:
        """Do nothing: what a framework says of itself goes to W&B's statistics of use, and there are none here."""

    @property
    def _attach_id(self) -> str | None:
        """What frameworks hand to ``wandb._attach()`` in another process, to go on with this run there."""
        layout = self._writer.layout
        return None if layout is None else json.dumps([str(layout.root), self.id])

    @property
    def _info(self) -> RunInfo:
        return self._writer.run

    def _keep(self) -> None:
        """Keep the run's files; what of them cannot be kept does not keep the run from its end."""
        if not isinstance(self._writer, Writer) or self._writer.closed or self._writer.forked:
            return
        try:
            self._keep_files()
        except (MasklError, OSError) as error:
            warn(f"files of run {self.id!r} are not kept: {error}", NotStoredWarning)

    def _store_whole(self, name: str, table: Table) -> None:
        rows = table.all_rows(f"{self.id} in {self.store_dir}")
        broken = self._store_images(table, rows)
        if broken:
            why = "; ".join(f"row {row}, column {problem}" for row, problem in list(broken.items())[:5])
            raise EncodingError(f"table {name!r}, {why}: nothing is stored", len(broken))
        self._keep_media(((name, media) for media in table.media()), self._step)
        self._writer.write({name: rows}, self._step)

    def _skip(self, data: Any, step: Any, commit: Any) -> None:
        """Take what is logged to a disabled run: move the step on, and put it into the summary as it is.

        Images and tables are let go, so that nothing of them stays in memory.
        """
        if isinstance(data, Mapping):
            for key, value in data.items():
                first = value[0] if isinstance(value, list | tuple) and value else value
                if not is_ours(first):
                    self._summary.put((key,), value)
        if step is None or type(step) is int:
            self._move(self._step if step is None else step, step is None if commit is None else bool(commit))

    def _going_on(self, data: Mapping[str, Any]) -> contextlib.AbstractContextManager[None]:
        """Go on after what could not be stored, where the run was started with ``on_error="warn"``."""
        return going_on(self._summary, data) if self._settings.on_error == "warn" else contextlib.nullcontext()

    def _log(self, logged: Logged, at: int) -> None:
        self._settle()
        scalars = logged.scalars
        scalars.update(self._metrics.synced(scalars, at))
        paths = {name: logged.paths.get(name, (name,)) for name in scalars}
        observed = [
            partial(self._metrics.observe, paths[name], logged.parts.get(name, value), at)
            for name, value in scalars.items()
        ]
        in_cells = [(name, media) for name, table in logged.tables.items() for media in table.media()]
        self._keep_media([*logged.media, *in_cells], at)
        self._store(logged.tables, scalars, at, observed)
        if scalars:
            self._writer.note_summary(self._summary.part(path[0] for path in paths.values()))

    def _store(
        self,
        tables: Mapping[str, Table],
        scalars: Mapping[str, Any],
        at: int,
        observed: Iterable[Callable[[], None]],
    ) -> None:
        """Store what a call logs."""
        place, together = f"{self.id} in {self.store_dir}", {id(table): name for name, table in tables.items()}
        found = {name: table.rows_to_log(place, name, at, together) for name, table in tables.items()}
        rows = {name: some for name, some in found.items() if some is not None}
        failed: list[str] = []
        for name, some in rows.items():
            if self._settings.truth_keys is not None:  # a table may have been filled before the run was there
                some = rows[name] = with_pairs(some, self._settings.truth_keys)
            broken = self._store_images(tables[name], some)
            if broken:
                failed += [f"table {name!r}, row {row}, column {why}" for row, why in broken.items()]
                rows[name] = some.without(broken)
        noted = [tables[name].once_logged(place, name, at) for name in rows]
        notes = deque([*noted, *observed])
        self._unsettled = self._writer.taken(), notes
        self._writer.write(rows, at, scalars)
        self._note(notes)
        if failed:
            raise EncodingError(f"{'; '.join(failed[:5])}: all else of the call is stored", len(failed))

    def _settle(self) -> None:
        """Note what a call stored, also one that was interrupted before it could."""
        if self._unsettled is not None:
            before, notes = self._unsettled
            self._note(notes if self._writer.taken() > before else deque())

    def _note(self, notes: deque[Callable[[], None]]) -> None:
        while notes:
            notes.popleft()()
        self._unsettled = None

    def _store_images(self, table: Table, rows: Rows) -> dict[int, str]:
        """Store the images that rows refer to, and return which rows have one that could not be encoded."""
        broken: dict[int, str] = {}
        for row, column, image in table.images_of(rows):
            if self._writer.format_of(image.digest) is None:
                try:
                    encoded = image.result()
                except StateError:  # the images of a disabled run were never kept
                    raise
                except (MasklError, OSError, ValueError, MemoryError) as error:
                    broken[row] = f"{column!r}: the image could not be encoded: {error}"
                    continue
                image.store(encoded, self._writer)
        return broken

    def _move(self, at: int, commit: bool) -> None:
        """Move the counter on, unless something was logged at a step that lies behind it."""
        if at >= self._step:
            self._step = at + 1 if commit else at

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        left_well = kind is None or (isinstance(error, SystemExit) and error.code in (None, 0))
        self.finish(0 if left_well else 1)

    def __repr__(self) -> str:
        return f"<Run {self.id!r} {self._info.state}>"


def _text(what: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidType(f"{what} must be a string; got {value!r:.60}")
    return check_text(value, what)
