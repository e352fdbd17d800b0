"""Runs that come from another process in a pickle: nothing is opened or written before something is logged."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from maskl.runs._origin import Origin
from maskl.runs.run import Run
from maskl.runs.summary import Past
from maskl_storage.catalog.history import last_step, scalars
from maskl_storage.catalog.layout import Layout
from maskl_storage.catalog.runs import RunInfo
from maskl_storage.errors import StateError
from maskl_storage.write.null import NullWriter
from maskl_storage.write.writer import Writer

__all__ = ["last_of", "stand_in"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store is, which is not opened yet."""

    root: Path


class LateWriter:
    """Stands where a :class:`~maskl_storage.write.writer.Writer` would, until something is to be written.

    It answers what a run asks before it writes.

    Parameters
    ----------
    layout : Place
        Where the store is.
    run : RunInfo
        The run as it was described in the process that it comes from.
    begin : callable
        Begins the writer, puts it in this one's place, and returns it.
    """

    discards: Final = False

    def __init__(self, layout: Place, run: RunInfo, begin: Callable[[], Writer]) -> None:
        self.layout = layout
        self.run = run
        self.closed = False
        self._begin = begin
        self._lock = threading.RLock()
        self._writer: Writer | None = None

    def check_open(self) -> None:
        """Begin the writer: who asks is about to write.

        Raises
        ------
        StateError
            The run was finished here.
        """
        self._begun()

    def describe(self, **changes: Any) -> None:
        """Change how the run is described."""
        self._begun().describe(**changes)

    def summary_changed(self) -> None:
        """Have the summary written."""
        self._begun().summary_changed()

    def close(self, state: str = "finished") -> None:
        """Do nothing: the process that the run comes from ends it."""
        self.closed = True

    def _begun(self) -> Writer:
        with self._lock:
            if self.closed:
                raise StateError(f"run {self.run.run_id!r} is finished: call maskl.init() for a new one")
            if self._writer is None:
                self._writer = self._begin()
            return self._writer


def stand_in(
    origin: Origin,
    make: Callable[..., Run],
    known: Callable[[Path], Mapping[str, RunInfo]],
    began: Callable[[Run], None],
    ended: Callable[[Run, int | None, bool], None],
    *,
    over: bool,
) -> Run:
    """Return a run that is like the one it comes from, and another writer of it once something is logged.

    Parameters
    ----------
    make : callable
        Makes a run, as :class:`~maskl.runs.run.Run` does.
    known : callable
        Brings in what killed processes left in a store, and returns its runs.
    began : callable
        Called once the run has a writer here.
    ended : callable
        Called when the run ends.
    over : bool
        Whether the run ended in this very process, so that nothing can be logged any more.
    """
    info, settings = origin.info, origin.settings
    common = {"allow_val_change": origin.allow_val_change, "entity": origin.entity, "ended": ended}
    root, _ = origin.key
    if root is None:
        return make(info, lambda summary: NullWriter(info), settings, starting_step=origin.step, **common)
    made: list[Run] = []
    late = LateWriter(Place(Path(root)), info, lambda: _begin(made[0], known, began))
    late.closed = over
    made.append(
        make(info, lambda summary: cast("Writer", late), settings, starting_step=origin.step, resumed=True, **common)
    )
    made[0]._come(origin.metrics)
    return made[0]


def _begin(run: Run, known: Callable[[Path], Mapping[str, RunInfo]], began: Callable[[Run], None]) -> Writer:
    layout = Layout(Path(run.store_dir))
    old = known(layout.root).get(run.id)
    step, past = last_of(layout, run.id)
    info = replace(run._info, config=run.config.as_dict(), summary={}, state="running")
    writer = Writer(layout, info, summary=run.summary.as_dict, sync=run.settings.durability == "fsync")
    run._go_on(writer, {} if old is None else old.summary, step, past)
    began(run)
    _end_with_process(run)
    return writer


def last_of(layout: Layout, run_id: str) -> tuple[int, Past]:
    """Return the step after the last one that a run has in the store, and what gives its history."""
    listing = layout.listing()
    last = last_step(layout.files, listing, run_id)
    return 0 if last is None else last + 1, partial(scalars, layout.files, listing, run_id)


def _end_with_process(run: Run) -> None:
    """Have a run finished when a child process of multiprocessing ends: these call no exit handlers."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.Finalize(run, run.finish, kwargs={"quiet": True}, exitpriority=10)
