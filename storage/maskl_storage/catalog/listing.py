"""Which seals and parts a store has: the only writer and lister of seals."""

from __future__ import annotations

import contextlib
import gc
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from maskl_storage.catalog.signed import write_json
from maskl_storage.disk.local import Folder, OpenFolder, name_of
from maskl_storage.disk.stamps import Stamp, stamp_of
from maskl_storage.errors import CorruptData
from maskl_storage.format.document import check_size
from maskl_storage.format.paths import SEALS, is_document, is_run_folder, is_seal, run_folder, run_of
from maskl_storage.format.seals import Part, Seal, read_seal

__all__ = [
    "Listing",
    "SealCache",
    "Sealed",
    "all_seals",
    "damaged_seals",
    "documents",
    "list_generations",
    "list_seals",
    "live_seals",
    "uncollected",
    "with_parts",
    "write_seal",
]

#: how often seals are listed that go while they are read
ATTEMPTS: Final = 100

#: what each file holds: a seal, or what is wrong with it; none changes, but a store can be removed and made again
SealCache = dict[str, tuple[Stamp, Seal | str]]


class Sealed(NamedTuple):
    """A live part, where it belongs, and the format version it was written in."""

    part: Part
    run_id: str
    table: str | None
    generation: int
    version: str


@dataclass(frozen=True)
class Listing:
    """The live seals of a store at one moment, the parts that they name, and what is wrong with seals set aside.

    Where only some runs are seen, ``elsewhere`` has the rows parts of the others: their tables are there, and empty.
    """

    seals: tuple[tuple[str, Stamp], ...]
    parts: tuple[Sealed, ...]
    damaged: tuple[tuple[str, str], ...] = ()
    elsewhere: tuple[Sealed, ...] = ()

    @cached_property
    def _by_kind(self) -> dict[str, list[Sealed]]:
        by_kind: dict[str, list[Sealed]] = {}
        for sealed in self.parts:
            by_kind.setdefault(sealed.part.kind, []).append(sealed)
        return by_kind

    def of(self, kind: str, table: str | None = None, run_id: str | None = None) -> list[Sealed]:
        """Return the parts of a kind, of one table or run where that is given."""
        return [
            sealed
            for sealed in self._by_kind.get(kind, ())
            if (table is None or sealed.table == table) and (run_id is None or sealed.run_id == run_id)
        ]


def write_seal(files: Folder, seal: Seal, *, sync: bool = False) -> None:
    """Commit: from here on the seal's parts are the store's content."""
    write_json(files, seal.path, json.dumps(seal.to_json(), ensure_ascii=False), sync=sync)


def list_seals(files: Folder, cache: SealCache) -> Listing:
    """List the live seals; ``cache`` keeps what was parsed, by path and what the file system says of it."""
    found, damaged = _read_seals(files, cache, None)
    live = _live(files, found, damaged)
    parts = [
        Sealed(part, seal.run_id, table, seal.generation, seal.version)
        for seal, counting in _all_counting(live.values())
        for part, table in counting
    ]
    stamps = tuple((path, cache[path][0]) for path in sorted(live))
    return Listing(stamps, tuple(parts), tuple(sorted(damaged.items())))


def all_seals(files: Folder, cache: SealCache, run_id: str | None = None) -> dict[str, Seal]:
    """Return the seals of a run, or of all, by path: those that others replace too."""
    return _read_seals(files, cache, run_id)[0]


def live_seals(files: Folder, cache: SealCache, run_id: str | None = None) -> list[Seal]:
    """Return the live seals of a run, or of all, in their order."""
    return list(_live(files, *_read_seals(files, cache, run_id)).values())


def damaged_seals(files: Folder, cache: SealCache, run_id: str | None = None) -> dict[str, str]:
    """Return the seals of a run, or of all, that cannot be read and that no other replaces, with what is wrong.

    Which parts they name nobody knows: nothing of their runs may be removed, merged or taken for unused.
    """
    return _read_seals(files, cache, run_id)[1]


def _live(files: Folder, found: Mapping[str, Seal], damaged: Mapping[str, str]) -> dict[str, Seal]:
    dead = {path for seal in found.values() for path in seal.replaces}
    live = [(path, seal) for path, seal in found.items() if path not in dead]
    if damaged:  # what a damaged seal replaced is known by its parts: they are removed before the seal that names them
        doubtful = {run_of(path) for path in damaged}
        live = [
            (path, seal)
            for path, seal in live
            if seal.run_id not in doubtful or all(files.exists(part.path) for part in seal.parts)
        ]
    return dict(sorted(live, key=lambda pair: (pair[1].run_id, pair[1].place, pair[1].seal)))


def with_parts(live: Sequence[Seal]) -> list[tuple[Seal, tuple[Part, ...]]]:
    """Return each of the live seals with those of its parts that count: a table's of its highest generation."""
    return [(seal, tuple([part for part, _ in counting])) for seal, counting in _all_counting(live)]


def _all_counting(live: Iterable[Seal]) -> list[tuple[Seal, list[tuple[Part, str | None]]]]:
    """Return of each seal the parts that count, each with its table: those of the table's highest generation."""
    named = [(seal, [(part, part.table) for part in seal.parts]) for seal in live]
    highest = _highest((seal, {table for _, table in parts}) for seal, parts in named)
    return [
        (seal, [pair for pair in parts if pair[1] is None or seal.generation == highest[seal.run_id, pair[1]]])
        for seal, parts in named
    ]


def list_generations(files: Folder, run_id: str, cache: SealCache) -> dict[str, int]:
    """Return the highest generation of each table of a run."""
    seals = all_seals(files, cache, run_id).values()
    highest = _highest((seal, {part.table for part in seal.parts}) for seal in seals)
    return {table: generation for (_, table), generation in highest.items()}


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Hold the garbage collector back while thousands of documents are parsed.

    What they become is kept and holds no cycles, and the collector would walk all of it again and again. Of threads
    that do this at once, the one that found it enabled enables it: the others end with it enabled, a little slower.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            if not gc.get_freeze_count():  # else it is the caller's, who would find it thawed
                gc.freeze()  # what was made is old at once, and not walked as young before it is
                gc.unfreeze()
            gc.enable()


def _highest(seals: Iterable[tuple[Seal, Iterable[str | None]]]) -> dict[tuple[str, str], int]:
    """Return the highest generation of each table of each run; seals come with their tables."""
    highest: dict[tuple[str, str], int] = {}
    for seal, tables in seals:
        for table in tables:
            if table is not None:
                key = (seal.run_id, table)
                highest[key] = max(highest.get(key, 0), seal.generation)
    return highest


def _read_seals(files: Folder, cache: SealCache, run_id: str | None) -> tuple[dict[str, Seal], dict[str, str]]:
    """Return the seals of a run, or of all, by path; and what is wrong with those that are damaged and not replaced."""
    for _ in range(ATTEMPTS):
        found: dict[str, Seal] = {}
        damaged: dict[str, str] = {}
        try:
            for folder, entry in documents(files, SEALS, run_id, damaged):
                path = folder.path_of(entry.name)
                stat = entry.stat(follow_symlinks=False)
                stamp = stamp_of(stat)
                if path not in cache or cache[path][0] != stamp:
                    if not is_seal(path):
                        continue
                    cache[path] = (stamp, _read_seal(folder, entry.name, stat))
                seal = cache[path][1]
                if isinstance(seal, Seal):
                    found[path] = seal
                else:
                    damaged[path] = seal
        except FileNotFoundError:  # replaced and removed since it was listed: what replaced it may not be listed yet
            continue
        if damaged:
            replaced = {path for seal in found.values() for path in seal.replaces}
            damaged = {path: problem for path, problem in damaged.items() if path not in replaced}
        return found, damaged
    raise CorruptData(f"the seals in {files.root} change faster than they can be read: try again")


def _read_seal(folder: OpenFolder, name: str, found: os.stat_result) -> Seal | str:
    """Return a seal, or what is wrong with it; ``found`` is what the system says of the file."""
    path = folder.path_of(name)
    try:
        check_size(found.st_size, path)
        return read_seal(folder.read(name, found), path)
    except CorruptData as error:
        return str(error)


def documents(
    files: Folder, kind: str, run_id: str | None, damaged: dict[str, str]
) -> Iterator[tuple[OpenFolder, os.DirEntry[str]]]:
    """Yield each document of a run, or of all, and its folder, which is open meanwhile.

    ``damaged`` is told of what has the name of a run's folder and is none.
    """
    with contextlib.ExitStack() as stack:
        try:
            top = stack.enter_context(files.opened(kind))
        except FileNotFoundError:
            return
        except CorruptData as error:
            if kind == SEALS:  # without them nothing is known of the store
                raise
            damaged[f"{kind}/"] = str(error)
            return
        if run_id is None:
            names = [entry.name for entry in top.entries() if is_run_folder(entry.name)]
        else:
            names = [name_of(run_folder(kind, run_id))]
        for name in names:
            try:
                below = top.below(name)
            except FileNotFoundError:  # no such run, or one that was deleted since it was listed
                continue
            except CorruptData as error:
                damaged[f"{top.path_of(name)}/"] = str(error)
                continue
            with contextlib.closing(below) as folder:
                for entry in folder.entries():
                    if is_document(entry.name):
                        yield folder, entry
