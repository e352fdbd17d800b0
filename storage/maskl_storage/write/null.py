"""A writer that takes everything and writes nothing: what a disabled run logs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from maskl_storage.catalog.layout import Layout
from maskl_storage.catalog.runs import RunInfo
from maskl_storage.cells.cells import Rows
from maskl_storage.disk.local import Folder
from maskl_storage.errors import NotFound
from maskl_storage.images.writer import ImageBytes
from maskl_storage.write._moments import now
from maskl_storage.write.writer import Scalar

__all__ = ["NullWriter"]


class NullWriter:
    """Stands where a :class:`~maskl_storage.write.writer.Writer` would, and keeps how its run is described, in memory.

    It takes every call, also after the end and in a forked process.

    Parameters
    ----------
    run : RunInfo
        The run as it is described at the start.
    """

    discards: Final = True
    #: there is no store
    layout: Final[Layout | None] = None
    spool: Final[tuple[Folder, str] | None] = None

    def __init__(self, run: RunInfo) -> None:
        self._run = replace(run, started=run.started or now(), updated=now())

    @property
    def run(self) -> RunInfo:
        """The run as it is described now."""
        return self._run

    @property
    def closed(self) -> bool:
        """Whether the run has ended."""
        return self._run.state != "running"

    def check_open(self) -> None:
        """Do nothing: every call is taken."""

    def format_of(self, digest: str) -> str | None:
        """Return None: there are no images."""

    def add_image(self, image: ImageBytes) -> None:
        """Do nothing."""

    def read_image(self, digest: str) -> bytes:
        """Raise NotFound: no image was kept."""
        raise NotFound(f"there is no image {digest}: the run is disabled")

    def write(self, tables: Mapping[str, Rows], step: int, scalars: Mapping[str, Scalar] | None = None) -> None:
        """Do nothing."""

    def taken(self) -> int:
        """Return 0: no call is kept."""
        return 0

    def describe(self, **changes: Any) -> None:
        """Change how the run is described."""
        self._run = replace(self._run, **changes)

    def note_summary(self, items: Mapping[str, Any]) -> None:
        """Do nothing."""

    def summary_changed(self) -> None:
        """Do nothing."""

    def seal(self) -> None:
        """Do nothing: nothing waits."""

    def close(self, state: str = "finished") -> None:
        """End the run."""
        self._run = replace(self._run, state=state, finished=now())

    def abandon(self) -> None:
        """Do nothing: no file is held."""
