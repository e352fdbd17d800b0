"""What a live writer does about its own small parts: it merges them as it goes."""

from __future__ import annotations

from maskl_storage.catalog.layout import Layout
from maskl_storage.format.seals import Seal
from maskl_storage.merge import GRACE
from maskl_storage.merge.leftovers import free_numbers, sweep_replaced
from maskl_storage.merge.rewrite import FAN_IN, Take, lanes, merge, mergeable, plan_merge

__all__ = ["merge_writer"]

#: seals that are merged at a time, which is the number of files that are open
AT_ONCE = 2 * FAN_IN


def merge_writer(
    layout: Layout, run_id: str, writer: int, take: Take | None = None, *, last: bool = False, grace: float = GRACE
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

    Returns
    -------
    list of Seal
        The new seals; none where nothing was to be done.
    """
    made = []
    take = take or free_numbers(layout, run_id, writer)
    while (plan := plan_merge(mergeable(layout, run_id, {writer}))) is not None:
        made.append(merge(layout, plan, writer, take))
    while last and (longest := max(lanes(mergeable(layout, run_id, {writer})), key=len, default=[]))[1:]:
        made.append(merge(layout, longest[-AT_ONCE:], writer, take))
    sweep_replaced(layout, run_id, writer, grace=grace)
    return made
