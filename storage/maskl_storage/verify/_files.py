"""Checks of artifacts and files of runs: what is said of them, and every byte."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from maskl_storage.disk.blobs import hash_blob
from maskl_storage.disk.local import Folder
from maskl_storage.disk.parquet import open_part
from maskl_storage.errors import CorruptData, NotFound
from maskl_storage.format.artifacts import Entry, check_entry, is_file_path, manifest_digest
from maskl_storage.format.paths import blob_path
from maskl_storage.format.seals import Part
from maskl_storage.verify._checks import BROKEN
from maskl_storage.verify._faults import Fault

__all__ = ["check_blob", "check_files"]

#: the size that is said of some bytes, and the part that says so
Place = tuple[int, str]
#: a version of an artifact
Key = tuple[Any, ...]
#: faults that are named of one kind
NAMED: Final = 10


def check_files(files: Folder, parts: Sequence[Part]) -> tuple[dict[str, Place], list[Fault]]:
    """Return the bytes that parts name, each with its size and a part that says so, and what is wrong with parts."""
    named: dict[str, Place] = {}
    faults: list[Fault] = []
    said: dict[Key, tuple[dict[str, Any], str]] = {}
    entries: dict[Key, list[Entry]] = {}
    for part in parts:
        try:
            with open_part(files, part) as file:
                rows = file.read().to_pylist()
            for row in rows:
                if part.kind == "artifacts":
                    said[row["project"], row["name"], row["version"]] = (row, part.path)
                elif part.kind == "artifact_files":
                    entry = Entry(*(row[name] for name in ("path", "kind", "size", "digest", "reference")))
                    entries.setdefault((row["project"], row["name"], row["version"]), []).append(
                        check_entry(entry, part.path)
                    )
                    if entry.kind == "file":
                        named.setdefault(str(entry.digest), (int(entry.size or 0), part.path))
                else:
                    if not is_file_path(row["path"] or ""):
                        faults.append(Fault(part.path, f"{row['path']!r:.120} is no path of a file in a folder"))
                    named.setdefault(str(row["digest"]), (row["size"], part.path))
        except BROKEN as error:
            faults.append(Fault(part.path, str(error).removeprefix(f"{part.path}: ")))
            return named, faults
    faults += [
        Fault(path, f"the digest of {row['name']!r}, version {row['version']}, is not that of what is in it")
        for key, (row, path) in said.items()
        if row["digest"] != manifest_digest(entries.get(key, ()))
    ][:NAMED]
    return named, faults


def check_blob(files: Folder, digest: str, size: int, where: str) -> list[Fault]:
    """Check the bytes of a BLAKE3 that a part names."""
    path = blob_path(digest)
    try:
        found, count = hash_blob(files, digest)
    except NotFound:
        return [Fault(path, f"{where} names it, and it is not there")]
    except (OSError, CorruptData) as error:
        return [Fault(path, str(error).removeprefix(f"{path}: "))]
    if found != digest:
        return [Fault(path, "its BLAKE3 is not the one in its name: its bytes were altered")]
    return [] if count == size else [Fault(path, f"it has {count} bytes; {where} says {size}")]
