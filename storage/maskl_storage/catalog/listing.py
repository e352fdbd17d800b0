"""Which seals and parts a store has: the only writer and lister of seals."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from maskl_storage.catalog.signed import write_json
from maskl_storage.disk.local import Folder, OpenFolder
from maskl_storage.errors import CorruptData
from maskl_storage.format.paths import SEALS, is_document, is_run_folder, run_folder
from maskl_storage.format.seals import Part, Seal, parse_seal

__all__ = [
    "Listing",
    "SealCache",
    "Sealed",
    "all_seals",
    "list_generations",
    "list_seals",
    "live_seals",
    "with_parts",
    "write_seal",
]

#: how often seals are listed that go while they are read
ATTEMPTS: Final = 100

#: modification time, size and inode: a seal never changes, but a store can be removed and made again
Stamp = tuple[int, int, int]
SealCache = dict[str, tuple[Stamp, Seal]]


@dataclass(frozen=True, slots=True)
class Sealed:
    """A live part, where it belongs, and the format version it was written in."""

    part: Part
    run_id: str
    table: str | None
    generation: int
    version: str


@dataclass(frozen=True)
class Listing:
    """The live seals of a store at one moment, and the parts that they name."""

    seals: tuple[tuple[str, Stamp], ...]
    parts: tuple[Sealed, ...]

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
    live = _live(_read_seals(files, cache, None))
    parts = [
        Sealed(part, seal.run_id, part.table, seal.generation, seal.version)
        for seal, counted in with_parts(list(live.values()))
        for part in counted
    ]
    return Listing(tuple((path, cache[path][0]) for path in sorted(live)), tuple(parts))


def all_seals(files: Folder, cache: SealCache, run_id: str | None = None) -> dict[str, Seal]:
    """Return the seals of a run, or of all, by path: those that others replace too."""
    return _read_seals(files, cache, run_id)


def live_seals(files: Folder, cache: SealCache, run_id: str | None = None) -> list[Seal]:
    """Return the live seals of a run, or of all, in their order."""
    return list(_live(_read_seals(files, cache, run_id)).values())


def _live(found: Mapping[str, Seal]) -> dict[str, Seal]:
    dead = {path for seal in found.values() for path in seal.replaces}
    live = [(path, seal) for path, seal in found.items() if path not in dead]
    return dict(sorted(live, key=lambda pair: (pair[1].run_id, pair[1].place, pair[1].seal)))


def with_parts(live: Sequence[Seal]) -> list[tuple[Seal, tuple[Part, ...]]]:
    """Return each of the live seals with those of its parts that count: a table's of its highest generation."""
    highest = _highest(live)
    return [
        (
            seal,
            tuple(
                part
                for part in seal.parts
                if (table := part.table) is None or seal.generation == highest[seal.run_id, table]
            ),
        )
        for seal in live
    ]


def list_generations(files: Folder, run_id: str, cache: SealCache) -> dict[str, int]:
    """Return the highest generation of each table of a run."""
    highest = _highest(_read_seals(files, cache, run_id).values())
    return {table: generation for (_, table), generation in highest.items()}


def _highest(seals: Iterable[Seal]) -> dict[tuple[str, str], int]:
    highest: dict[tuple[str, str], int] = {}
    for seal in seals:
        for table in {part.table for part in seal.parts}:
            if table is not None:
                key = (seal.run_id, table)
                highest[key] = max(highest.get(key, 0), seal.generation)
    return highest


def _read_seals(files: Folder, cache: SealCache, run_id: str | None) -> dict[str, Seal]:
    """Return the seals of a run, or of all, by path."""
    for _ in range(ATTEMPTS):
        found: dict[str, Seal] = {}
        try:
            for folder, name, stamp in _seal_files(files, run_id):
                path = folder.path_of(name)
                if path not in cache or cache[path][0] != stamp:
                    cache[path] = (stamp, parse_seal(folder.read(name), path))
                found[path] = cache[path][1]
        except FileNotFoundError:  # replaced and removed since it was listed: what replaced it may not be listed yet
            continue
        return found
    raise CorruptData(f"the seals in {files.root} change faster than they can be read: try again")


def _seal_files(files: Folder, run_id: str | None) -> Iterator[tuple[OpenFolder, str, Stamp]]:
    """Yield the folder, the name and the stamp of each file that may be a seal, each folder open meanwhile."""
    with contextlib.ExitStack() as stack:
        try:
            seals = stack.enter_context(files.opened(SEALS))
        except FileNotFoundError:
            return
        if run_id is None:
            names = [entry.name for entry in seals.entries() if is_run_folder(entry.name)]
        else:
            names = [run_folder(SEALS, run_id).removeprefix(f"{SEALS}/")]
            if not seals.exists(names[0]):
                return
        for name in names:
            with contextlib.closing(seals.below(name)) as folder:
                for entry in folder.entries():
                    if is_document(entry.name):
                        stat = entry.stat(follow_symlinks=False)
                        yield folder, entry.name, (stat.st_mtime_ns, stat.st_size, stat.st_ino)
