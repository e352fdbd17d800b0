"""Files that no live seal names any more, or never did: which there are, and when they may go."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from maskl_storage.catalog.layout import Layout
from maskl_storage.catalog.listing import all_seals, damaged_seals
from maskl_storage.disk.local import Folder, Odd, folder_of, telling
from maskl_storage.disk.locks import FileLock, LocksUnsupported, is_locked, nobody_reads
from maskl_storage.errors import CorruptData
from maskl_storage.format.paths import (
    KINDS,
    RUNS,
    SEALS,
    UNFINISHED,
    compaction_lock_path,
    kind_of,
    lock_path,
    lock_pattern,
    place_of,
    run_folder_patterns,
    run_of,
)
from maskl_storage.format.seals import Seal
from maskl_storage.merge import GRACE

__all__ = [
    "MERGED",
    "Leftover",
    "being_compacted",
    "came",
    "free_numbers",
    "leftovers",
    "live_writers",
    "lock_writers",
    "remove",
    "sweep_replaced",
]

#: the numbers of seals that replace others begin here
MERGED: Final = 1 << 32


@dataclass(frozen=True, slots=True)
class Leftover:
    """A file that is no part of the store any more, or not yet.

    ``why`` is ``replaced`` (a seal that another replaces, or a part of one), ``unfinished`` (a file under its
    temporary name) or ``stray`` (a part that no seal names). ``age`` is in seconds.
    """

    path: str
    why: str
    bytes: int
    age: float


# --- who is alive -------------------------------------------------------------------------------


def live_writers(files: Folder) -> set[tuple[str, int]]:
    """Return the run and number of each writer that is alive.

    Raises
    ------
    LocksUnsupported
        There are no locks here, so nobody can tell.
    """
    found = set()
    for path in files.glob(lock_pattern()):
        owner = _owner(path)
        if owner is not None and not _free(files, path):
            found.add(owner)
    return found


def being_compacted(files: Folder) -> set[str]:
    """Return the runs whose images may be left out at this moment: who begins to write relies on none of them."""
    found = set()
    for path in files.glob(lock_pattern()):
        run_id = run_of(path)
        if path == compaction_lock_path(run_id):
            with contextlib.suppress(CorruptData):  # what has the name of a lock and is none, nobody holds
                try:
                    locked = is_locked(files, path)
                except PermissionError:  # another user's: who may not open it cannot tell
                    locked = True
                if locked:
                    found.add(run_id)
    return found


@contextlib.contextmanager
def lock_writers(layout: Layout, run_id: str, writers: Iterable[int]) -> Iterator[set[int]]:
    """Hold the locks of a run's writers that are dead, so that nobody brings their rows in meanwhile."""
    locks = []
    dead = set()
    try:
        for writer in sorted(writers):
            lock = FileLock(layout.files, lock_path(run_id, writer))
            layout.files.make_folder(folder_of(lock.path))
            was_there = layout.files.exists(lock.path)
            if lock.acquire():
                locks.append((lock, was_there))
                dead.add(writer)
        yield dead
    finally:
        for lock, was_there in locks:
            lock.release(remove=not was_there)


def _free(files: Folder, path: str) -> bool:
    lock = FileLock(files, path)
    try:
        if not lock.acquire():
            return False
    except CorruptData:  # what has the name of a lock and is none, nobody holds
        return True
    except PermissionError:  # another user's: who may not lock it cannot tell
        return False
    lock.release()
    return True


def free_numbers(layout: Layout, run_id: str, writer: int) -> Callable[[int], int]:
    """Return what hands out numbers for seals that replace others, and for their parts.

    They begin so high that no seal of a writer's own gets there: one that waits in a write-ahead file has its
    number already. To be used by whoever may merge the writer's seals, and so by one process at a time.
    """

    def take(count: int) -> int:
        taken = [MERGED - 1]
        for folder in run_folder_patterns("*", run_id):
            for path in layout.files.glob(f"{folder}/{writer}-*"):
                place = place_of(path)
                taken += [] if place is None or place.seal is None else [place.seal]
        return max(taken) + 1

    return take


# --- what is left over --------------------------------------------------------------------------


def leftovers(
    layout: Layout, run_id: str | None = None, now: float | None = None, odd: Odd = lambda _path, _problem: None
) -> list[Leftover]:
    """Return the files of a store, or of a run, that no live seal names, oldest first.

    ``odd`` is told of what has the name of such a file or folder and is a link, or something else: that is none. A part
    that a live seal names but that a higher generation hides is not among them; nor is anything of a run of which a
    seal is damaged, since that may name it.
    """
    files = layout.files
    doubtful = {run_of(path) for path in damaged_seals(files, layout.seal_cache, run_id)}
    found = all_seals(files, layout.seal_cache, run_id)
    died = _deaths(files, found)
    named = {part.path for path, seal in found.items() if path not in died for part in seal.parts}
    of_dead = {part.path: died[path] for path, seal in found.items() if path in died for part in seal.parts}
    at = time.time() if now is None else now
    listed = []
    for path in _files(files, run_id, odd):
        if path in named or (path in found and path not in died) or (doubtful and run_of(path) in doubtful):
            continue
        with contextlib.suppress(FileNotFoundError), telling(odd, path):
            stat = files.stat(path)
            since = died.get(path, of_dead.get(path))
            why = "replaced" if since is not None else "unfinished" if path.endswith(UNFINISHED) else "stray"
            listed.append(Leftover(path, why, stat.st_size, at - (came(stat) if since is None else since)))
    return sorted(listed, key=lambda one: (-one.age, one.path))


def _deaths(files: Folder, found: dict[str, Seal]) -> dict[str, float]:
    """Return when each dead seal was replaced."""
    died: dict[str, float] = {}
    for path, seal in found.items():
        if seal.replaces:
            with contextlib.suppress(FileNotFoundError):
                at = came(files.stat(path))
                for other in seal.replaces:
                    if other in found:
                        died[other] = min(at, died.get(other, at))
    return died


def came(stat: os.stat_result) -> float:
    """Return when a file came to be where it is: a copy may keep the time of what it is a copy of."""
    return max(stat.st_mtime, stat.st_ctime)


def _files(files: Folder, run_id: str | None, odd: Odd) -> Iterator[str]:
    """Yield what lies in the folders of seals, parts and runs that bear a name that files there have."""
    for kind in (*KINDS, SEALS, RUNS):
        for folder in run_folder_patterns(kind, run_id):
            for path in files.glob(f"{folder}/*", odd):
                place = place_of(path)
                numbered = place is not None and place.seal is not None and kind != RUNS
                if numbered or path.endswith(UNFINISHED):
                    yield path


def remove(
    layout: Layout, found: Sequence[Leftover], *, grace: float = GRACE, alive: Collection[tuple[str, int]] = ()
) -> list[Leftover]:
    """Remove those of the files that have been left for long enough, and return them.

    A seal goes after its parts, and after what it had replaced: else that would be live again. ``alive`` are
    writers whose unfinished files are theirs to finish.
    """
    files = layout.files
    removed = []
    seals = [one for one in found if kind_of(one.path) == SEALS and one.why == "replaced"]
    others = [one for one in found if one not in seals]
    for one in others:
        if one.age >= grace and not (one.why != "replaced" and _owner(one.path) in alive):
            files.remove(one.path)
            removed.append(one)
    known = all_seals(files, layout.seal_cache)
    for one in sorted(seals, key=lambda one: known[one.path].level if one.path in known else 0):
        seal = known.get(one.path)
        before = [] if seal is None else [path for path in seal.replaces if files.exists(path)]
        if one.age >= grace and not before:
            files.remove(one.path)
            removed.append(one)
    _remove_empty_folders(files, {folder_of(one.path) for one in removed})
    return removed


def sweep_replaced(layout: Layout, run_id: str, writer: int, *, grace: float = GRACE) -> list[Leftover]:
    """Remove what a live writer's merges replaced: at once where nobody else is at work, else after the grace."""
    mine = [one for one in leftovers(layout, run_id) if one.why == "replaced" and _owner(one.path) == (run_id, writer)]
    if not mine:
        return []
    try:
        if live_writers(layout.files) - {(run_id, writer)}:
            return remove(layout, mine, grace=grace)
        with nobody_reads(layout.files) as alone:
            return remove(layout, mine, grace=0 if alone else grace)
    except LocksUnsupported:
        return remove(layout, mine, grace=grace)


def _owner(path: str) -> tuple[str, int] | None:
    place = place_of(path)
    return None if place is None else (place.run_id, place.writer)


def _remove_empty_folders(files: Folder, folders: Iterable[str]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):
            while folder:
                files.remove_folder(folder)
                folder = folder_of(folder)
