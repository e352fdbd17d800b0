"""What lies in a store beside its live parts: rows that wait for a seal, what was left over, what is not its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from maskl_storage.catalog.layout import Layout
from maskl_storage.disk.locks import is_locked
from maskl_storage.errors import MasklError, UnsupportedVersion
from maskl_storage.format.document import STORE_FILE
from maskl_storage.format.paths import (
    DAMAGED,
    FOLDERS,
    IGNORE_FILE,
    KINDS,
    PART,
    UNFINISHED,
    WAL,
    lock_path,
    wal_pattern,
)
from maskl_storage.merge.leftovers import leftovers
from maskl_storage.verify._faults import Fault
from maskl_storage.write.journal import replay
from maskl_storage.write.wal import wal_files, writers_of

__all__ = ["notes_of", "waiting_faults"]


def waiting_faults(root: Path) -> Iterator[Fault]:
    """Yield the write-ahead files of dead writers whose bytes changed: a torn end is what a kill leaves."""
    for run_id, writer in writers_of(root):
        if is_locked(root / lock_path(run_id, writer)):
            continue
        for _, path in wal_files(root, run_id, writer):
            name = path.relative_to(root).as_posix()
            try:
                tail = replay(path).tail
                if tail.skipped:
                    yield Fault(name, f"{tail.skipped} bytes before whole records are none")
                if tail.damaged:
                    yield Fault(name, f"its last {tail.bytes} bytes were altered")
            except FileNotFoundError:  # brought in meanwhile
                continue
            except UnsupportedVersion:  # nothing that this version could judge
                continue
            except (MasklError, OSError) as error:
                yield Fault(name, str(error).removeprefix(f"{path.name}: "))


def notes_of(layout: Layout) -> list[str]:
    """Say which files are no part of the store."""
    root = layout.root
    notes = [f"{one.path}: {one.why}; maskl compact removes it in time" for one in leftovers(layout)]
    notes += [
        f"{path.relative_to(root).as_posix()}: rows that are not sealed; maskl recover seals those of dead writers"
        for path in sorted(root.glob(wal_pattern()))
    ]
    notes += [
        f"{path.relative_to(root).as_posix()}: what could not be brought in of a write-ahead file; nothing removes it"
        for path in sorted(root.glob(f"{WAL}/*/*{DAMAGED}"))
    ]
    known = {*KINDS, *FOLDERS, STORE_FILE, IGNORE_FILE}
    notes += [f"{path.name}: nothing of a store" for path in sorted(root.iterdir()) if path.name not in known]
    for folder in sorted(known - set(FOLDERS)):
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and path.suffix not in (PART, UNFINISHED):
                notes.append(f"{path.relative_to(root).as_posix()}: nothing of a store")
    return notes
