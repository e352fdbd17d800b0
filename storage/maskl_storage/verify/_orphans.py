"""What lies in a store beside its live parts: rows that wait for a seal, what was left over, what is not its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from maskl_storage.catalog.artifacts import blobs_named, claimed, versions
from maskl_storage.catalog.layout import Layout
from maskl_storage.disk.local import Folder, folder_of, name_of
from maskl_storage.disk.locks import is_locked
from maskl_storage.errors import CorruptData, MasklError, UnsupportedVersion
from maskl_storage.format.document import STORE_FILE
from maskl_storage.format.paths import (
    DAMAGED,
    FOLDERS,
    IGNORE_FILE,
    KINDS,
    PART,
    UNFINISHED,
    WAL,
    blob_pattern,
    digest_of,
    kind_of,
    lock_path,
    version_path,
    wal_pattern,
)
from maskl_storage.merge.leftovers import leftovers
from maskl_storage.verify._faults import Fault
from maskl_storage.write.journal import replay
from maskl_storage.write.wal import wal_files, writers_of

__all__ = ["notes_of", "strange_faults", "waiting_faults"]

#: versions that are named of an artifact
NAMED: Final = 10
#: what a store has at its top
KNOWN: Final = {*KINDS, *FOLDERS, STORE_FILE, IGNORE_FILE}


def waiting_faults(files: Folder) -> Iterator[Fault]:
    """Yield the write-ahead files of dead writers whose bytes changed: a torn end is what a kill leaves."""
    for run_id, writer in writers_of(files):
        try:
            if is_locked(files, lock_path(run_id, writer)):
                continue
        except CorruptData:  # what bears the lock's name is a fault of its own, and nobody holds it
            pass
        for _, name in wal_files(files, run_id, writer):
            try:
                tail = replay(files, name).tail
                if tail.skipped:
                    yield Fault(name, f"{tail.skipped} bytes before whole records are none")
                if tail.damaged:
                    yield Fault(name, f"its last {tail.bytes} bytes were altered")
            except FileNotFoundError:  # brought in meanwhile
                continue
            except UnsupportedVersion:  # nothing that this version could judge
                continue
            except (MasklError, OSError) as error:
                yield Fault(name, str(error).removeprefix(f"{name}: ").removeprefix(f"{name_of(name)}: "))


def strange_faults(files: Folder) -> list[Fault]:
    """Return what lies where a store has files and folders and is neither, such as a link: nobody reads it."""
    found: list[Fault] = []
    for _ in files.walk(lambda path, problem: found.append(Fault(path, problem))):
        pass
    return [fault for fault in found if kind_of(fault.file) in KNOWN or fault.file.startswith(".")]


def notes_of(layout: Layout) -> list[str]:
    """Say which files are no part of the store."""
    files = layout.files
    notes = [f"{one.path}: {one.why}; maskl compact removes it in time" for one in leftovers(layout)]
    notes += [
        f"{path}: rows that are not sealed; maskl recover seals those of dead writers"
        for path in files.glob(wal_pattern())
    ]
    notes += [
        f"{path}: what could not be brought in of a write-ahead file; nothing removes it"
        for path in files.glob(f"{WAL}/*/*{DAMAGED}")
    ]
    notes += _notes_of_files(layout)
    notes += [f"{name}: nothing of a store" for name in files.names() if name not in KNOWN]
    for path in files.walk(lambda _path, _problem: None):  # what is no file is a fault
        if kind_of(path) in KINDS and not path.endswith((PART, UNFINISHED)):
            notes.append(f"{path}: nothing of a store")
    return notes


def _notes_of_files(layout: Layout) -> Iterator[str]:
    """Say which bytes nothing names, and which versions were claimed and are not the store's."""
    files = layout.files
    try:
        named = blobs_named(layout)
        there = {(version.project, version.name, version.number) for version in versions(layout)}
    except CorruptData:  # a fault of its own
        return
    for path in files.glob(blob_pattern()):
        said = digest_of(path)
        if said is None:
            yield f"{path}: nothing of a store"
        elif said[0] not in named:
            yield f"{path}: nothing names it; maskl compact removes it in time"
    gaps: dict[str, list[int]] = {}
    for claim in claimed(files):
        if claim not in there:
            gaps.setdefault(folder_of(version_path(*claim)), []).append(claim[2])
    for folder, numbers in gaps.items():
        first = ", ".join(map(str, numbers[:NAMED]))
        more = f" and {len(numbers) - NAMED} more" if len(numbers) > NAMED else ""
        yield f"{folder}: claimed by runs that never committed them, or are deleted: version {first}{more}"
