"""What a live writer does about its own small parts: it merges them as it goes, on a thread of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pyarrow as pa

from maskl_storage.catalog.layout import Layout
from maskl_storage.disk.futures import Timer
from maskl_storage.errors import MasklError
from maskl_storage.format.seals import Seal
from maskl_storage.merge import GRACE
from maskl_storage.merge.leftovers import MERGED, free_numbers, sweep_replaced
from maskl_storage.merge.rewrite import AT_ONCE, FAN_IN, Counted, Take, lanes, merge, mergeable, plan_merge

__all__ = ["Merger", "merge_writer"]

#: a run that ends with this many seals stays as it is; so does one with a few more that are large, as copying them
#: would cost more than it helps
FEW: Final = 3
MANY: Final = 8
SMALL: Final = 128 << 20


class Merger:
    """Merges the seals of one live writer, as they come and when it ends.

    What goes wrong changes nothing: the seals stay as they are, and compaction merges them later.

    Parameters
    ----------
    root : Path
        The store's directory.
    run_id : str
        The run.
    writer : int
        The writer's number.
    """

    def __init__(self, root: Path, run_id: str, writer: int) -> None:
        self._root, self._run_id, self._writer = root, run_id, writer
        self._below = self._begun = 0
        self._merging: Timer | None = None

    def sealed(self, below: int) -> None:
        """Note that what the seals below a number hold is in no write-ahead file any more, and merge if they are many.

        Others stay as they are: should the process end, what is in such a file is compared with its seal.
        """
        self._below = below
        if below // FAN_IN > self._begun // FAN_IN and (self._merging is None or self._merging.done):
            self._begun = below
            with contextlib.suppress(RuntimeError):  # the interpreter is shutting down
                self._merging = Timer(0, self._merge)

    def finish(self) -> None:
        """Merge what is left, where the run ends in many seals or small ones."""
        if self._merging is not None:
            self._merging.wait()
        if self._below > FEW:
            self._merge(ends=True)

    def _merge(self, *, ends: bool = False) -> None:
        with contextlib.suppress(MasklError, OSError, pa.ArrowException):
            layout = Layout(self._root)
            if ends:
                mine = [seal for seal, _ in _mergeable(layout, self._run_id, self._writer, lambda: self._below)]
                small = sum(seal.bytes for seal in mine) <= SMALL
                ends = len(mine) > (FEW if small else MANY)
            merge_writer(layout, self._run_id, self._writer, last=ends, below=lambda: self._below)


def merge_writer(
    layout: Layout,
    run_id: str,
    writer: int,
    take: Take | None = None,
    *,
    last: bool = False,
    grace: float = GRACE,
    below: Callable[[], int] = lambda: MERGED,
) -> list[Seal]:
    """Merge a live writer's own seals where it is time to, and remove what earlier merges replaced.

    To be called by the writer after each seal, on any one thread at a time; sealing may go on meanwhile.

    Parameters
    ----------
    layout : Layout
        The store.
    run_id : str
        The run.
    writer : int
        The writer's number, whose lock this process holds.
    take : callable, optional
        Takes a count and returns the first of so many numbers that no seal or part of the writer has or will have;
        by default such numbers begin where the writer's own never get to.
    last : bool, optional
        Whether the run ends: all that one seal can replace becomes one.
    grace : float, optional
        Seconds for which others may still read what was replaced. Where no other writer or reader of the store is
        at work, it goes at once.
    below : callable, optional
        Returns the number below which what the writer's own seals hold is in no write-ahead file any more; by default
        that is said of all.

    Returns
    -------
    list of Seal
        The new seals; none where nothing was to be done.
    """
    made = []
    take = take or free_numbers(layout, run_id, writer)
    while (plan := plan_merge(_mergeable(layout, run_id, writer, below))) is not None:
        made.append(merge(layout, plan, writer, take))
    while last and (longest := max(lanes(_mergeable(layout, run_id, writer, below)), key=len, default=[]))[1:]:
        made.append(merge(layout, longest[-AT_ONCE:], writer, take))
    sweep_replaced(layout, run_id, writer, grace=grace)
    return made


def _mergeable(layout: Layout, run_id: str, writer: int, below: Callable[[], int]) -> list[Counted]:
    end = below()  # before what is there is listed: it only grows
    return [
        (seal, parts) for seal, parts in mergeable(layout, run_id, {writer}) if seal.seal < end or seal.seal >= MERGED
    ]
