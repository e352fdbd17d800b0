"""A bar on standard error that shows how far an export, an import or the upkeep of a store is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from maskl.interchange.terminal import bare
from maskl_storage.format.visible import visible

__all__ = ["Progress", "progress"]


class Progress:
    """What is told how far something is, and shows it where there is a bar."""

    def __init__(self, bar: Any = None, task: Any = None) -> None:
        self._bar, self._task = bar, task

    def advance(self, count: int) -> None:
        """Say that so many more are done."""
        if self._bar is not None:
            self._bar.advance(self._task, count)

    def reach(self, done: int, total: int) -> None:
        """Say how many are done, and of how many."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total)


@contextmanager
def progress(what: str, total: int | None = None, unit: str = "", *, shown: bool | None = None) -> Iterator[Progress]:
    """Show a bar until the end of the block.

    Parameters
    ----------
    what : str
        What is done, such as ``exporting``.
    total : int, optional
        How many there are to do, where that is known before.
    unit : str, optional
        What is counted, such as ``rows``; by default shares of the whole are shown.
    shown : bool, optional
        Whether to show a bar; by default where standard error is a terminal, which it leaves as it was.
    """
    if not (sys.stderr is not None and sys.stderr.isatty() if shown is None else shown):
        yield Progress()
        return
    from rich import progress as rich
    from rich.console import Console

    endless = total is None and bool(unit)
    columns = [
        *([rich.SpinnerColumn()] if endless else []),
        rich.TextColumn("{task.description}", markup=False),
        *([] if endless else [rich.BarColumn()]),
        *(
            [rich.MofNCompleteColumn(), rich.TextColumn(visible(unit), markup=False)]
            if unit
            else [rich.TaskProgressColumn()]
        ),
        rich.TimeElapsedColumn() if endless else rich.TimeRemainingColumn(),
    ]
    with rich.Progress(*columns, console=Console(file=bare(sys.stderr)), transient=shown is None) as bar:
        yield Progress(bar, bar.add_task(visible(what), total=total))
