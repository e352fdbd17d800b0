"""Deletion of runs, and of tables of runs; images and blobs stay until a compaction finds that nothing names them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from maskl_storage.catalog.layout import Layout
from maskl_storage.catalog.listing import damaged_seals, live_seals, write_seal
from maskl_storage.disk.local import folder_of
from maskl_storage.disk.locks import LocksUnsupported, nobody_reads
from maskl_storage.errors import CorruptData, NotFound, StateError
from maskl_storage.format.paths import RUNS, WAL, place_of, run_folder, wal_pattern, workplace, writer_pattern
from maskl_storage.format.seals import Part, Seal
from maskl_storage.merge import GRACE
from maskl_storage.merge.leftovers import free_numbers, leftovers, lock_writers, remove
from maskl_storage.upkeep.compact import alone_in

__all__ = ["Deleted", "delete"]


@dataclass(frozen=True)
class Deleted:
    """What was deleted, or would be; :meth:`maskl.Store.delete` returns it.

    Parameters
    ----------
    runs : list of str
        The ids of the runs.
    tables : list of str
        The names of the tables.
    rows : int
        How many rows they had.
    bytes : int
        The bytes that are not needed now.
    kept : int
        The files that stay until nobody can read them any more: ``maskl compact`` removes those in time.
    """

    runs: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0
    kept: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return it as a plain dict."""
        return dict(self.__dict__)


def delete(
    layout: Layout, runs: Sequence[str], table: str | None = None, *, dry_run: bool = False, grace: float = GRACE
) -> Deleted:
    """Delete runs, or one table of each of them.

    Parameters
    ----------
    layout : Layout
        The store.
    runs : sequence of str
        Ids of runs.
    table : str, optional
        Delete this table of these runs, and leave the runs.
    dry_run : bool, optional
        Only say what would be deleted.
    grace : float, optional
        Seconds for which files stay for those that read the store; where nobody does, they go at once.

    Raises
    ------
    StateError
        A run is being written or compacted; nothing was deleted then.
    NotFound
        None of the runs has the table.
    CorruptData
        A seal of one of the runs is damaged, so that nobody knows which images of other runs it holds.
    """
    parts: list[Part] = []
    gone: list[str] = []
    kept = 0
    with contextlib.ExitStack() as stack:
        for run_id in runs:
            stack.enter_context(_ended(layout, run_id))
            for problem in damaged_seals(layout.files, layout.seal_cache, run_id).values():
                raise CorruptData(
                    f"{problem}; run {run_id!r} was not deleted, since other runs may use images that it commits: "
                    f"bring the file back, or remove it, and delete again"
                )
        for run_id in runs:
            if table is not None and layout.files.glob(wal_pattern(run_id)):
                raise StateError(f"run {run_id!r} has rows that are not sealed: run maskl recover first")
            found = _parts(layout, run_id, table)
            parts += found
            gone += [run_id] if table is None or found else []
        if table is not None and not parts:
            raise NotFound(f"none of the runs {', '.join(runs)} has a table {table!r}")
        for run_id in () if dry_run else runs:
            if table is None:
                _delete_run(layout, run_id)
            else:
                _delete_table(layout, run_id, table)
        for run_id in () if dry_run else runs:
            kept += _clear(layout, run_id, grace)
    tables = list(dict.fromkeys(part.table for part in parts if part.table is not None))
    rows = sum(part.rows for part in parts if part.kind == "rows")
    return Deleted(gone, tables, rows, sum(part.bytes for part in parts), kept)


@contextlib.contextmanager
def _ended(layout: Layout, run_id: str) -> Iterator[None]:
    """Keep a run from being written, or refuse one that is."""
    files = layout.files
    writers = {seal.writer for seal in live_seals(files, layout.seal_cache, run_id)}
    for folder in (RUNS, WAL):
        places = (place_of(path) for path in files.glob(f"{run_folder(folder, run_id)}/*"))
        writers |= {place.writer for place in places if place is not None and place.finished}
    try:
        with alone_in(layout, run_id) as alone, lock_writers(layout, run_id, writers) as dead:
            if not alone:
                raise StateError(f"run {run_id!r} is being compacted by another process: try again when that has ended")
            if writers - dead:
                raise StateError(f"run {run_id!r} is being written: finish it first, then delete it")
            yield
    except LocksUnsupported as error:
        raise StateError(f"nobody can tell whether run {run_id!r} is being written: locks do not work here") from error


def _parts(layout: Layout, run_id: str, table: str | None) -> list[Part]:
    """Return the parts of a run, or of a table of it; images stay."""
    mine = [sealed.part for sealed in layout.listing().parts if sealed.run_id == run_id]
    return [part for part in mine if part.kind != "images" and table in (None, part.table)]


def _delete_run(layout: Layout, run_id: str) -> None:
    """Commit that nothing of a run but its images counts, then forget the run."""
    files = layout.files
    for path in files.glob(wal_pattern(run_id)):  # rows that nobody brought in are the run's too
        files.remove(path)
    live = live_seals(files, layout.seal_cache, run_id)
    if live:
        first = live[0]
        number = free_numbers(layout, run_id, first.writer)(1)
        newest = max(((*map(int, seal.version.split(".")),), seal.version) for seal in [*live, Seal("", 0, 0, ())])[1]
        kept = tuple(part for seal in live for part in seal.parts if part.kind == "images")
        write_seal(
            files,
            Seal(
                run_id,
                first.writer,
                number,
                kept,
                0,
                _replaced(layout, live),
                newest,
                first=first.place,
                level=_level(live),
            ),
        )
    for path in files.glob(writer_pattern(run_id)):
        files.remove(path)
    with contextlib.suppress(OSError):
        files.remove_folder(run_folder(RUNS, run_id))
    with contextlib.suppress(CorruptData):  # what bears the name of its folder and is none stays
        files.remove_tree(workplace(run_id))


def _delete_table(layout: Layout, run_id: str, table: str) -> None:
    """Commit, seal by seal, that a table's parts do not count.

    A lower generation goes before a higher one: it would be seen again else.
    """
    files = layout.files
    live = live_seals(files, layout.seal_cache, run_id)
    for seal in sorted(live, key=lambda seal: seal.generation):
        kept = tuple(part for part in seal.parts if part.table != table)
        if len(kept) < len(seal.parts):
            number = free_numbers(layout, run_id, seal.writer)(1)
            write_seal(
                files,
                Seal(
                    *(run_id, seal.writer, number, kept, seal.generation, _replaced(layout, [seal]), seal.version),
                    first=seal.place,
                    level=seal.level,
                ),
            )


def _level(seals: Sequence[Seal]) -> int:
    return max(seal.level for seal in seals) + 1


def _replaced(layout: Layout, seals: Sequence[Seal]) -> tuple[str, ...]:
    before = [path for seal in seals for path in seal.replaces if layout.files.exists(path)]
    return tuple(dict.fromkeys([*(seal.path for seal in seals), *before]))


def _clear(layout: Layout, run_id: str, grace: float) -> int:
    """Remove what is not needed now, and return how many files stay for those that read them."""
    with nobody_reads(layout.files) as unread:
        remove(layout, leftovers(layout, run_id), grace=0 if unread else grace)
    for seal in live_seals(layout.files, layout.seal_cache, run_id):
        if not seal.parts and not any(layout.files.exists(path) for path in seal.replaces):
            layout.files.remove(seal.path)
            with contextlib.suppress(OSError):
                layout.files.remove_folder(folder_of(seal.path))
    return len(leftovers(layout, run_id))
