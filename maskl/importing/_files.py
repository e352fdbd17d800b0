"""Artifacts and files of the runs of an import: their bytes, checked against what the source says, and versions."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import IO, cast

from maskl.interchange.problems import Problems
from maskl.interchange.records import WRONG, Item, RunFiles, Version
from maskl.interchange.source_files import open_file
from maskl.interchange.untrusted import check_holes
from maskl.runs.run import Run
from maskl_storage.catalog.artifacts import claimed, versions
from maskl_storage.catalog.layout import Layout, is_store
from maskl_storage.disk.local import Folder
from maskl_storage.errors import (
    CorruptData,
    InvalidType,
    InvalidValue,
    NotFound,
    NotStoredWarning,
    StateError,
    StorageError,
    warn,
)
from maskl_storage.format.artifacts import (
    LATEST,
    Entry,
    check_alias,
    check_artifact_name,
    check_artifact_type,
    check_file_path,
    manifest_digest,
)
from maskl_storage.format.document import dump_json
from maskl_storage.format.names import check_text
from maskl_storage.write.files import FileWriter, NewFile, NewVersion
from maskl_storage.write.writer import Writer

__all__ = ["Files"]

#: what an artifact is called: its project, if it has one, and its name
Called = tuple[str | None, str]


@dataclass
class _Known:
    """The versions of a name: the type, the next number, and digest, number of each of this import, and the last's."""

    type: str | None = None
    next: int = 0
    numbers: dict[str, int] = field(default_factory=dict)
    last: Mapping[str, Entry] = field(default_factory=dict)


class Files:
    """What runs of one import keep beside their rows.

    Parameters
    ----------
    root : Path
        The store that they come to; the numbers of versions go on from those that it has.
    problems : Problems
        Is told of what cannot be kept.
    """

    def __init__(self, root: Path, problems: Problems) -> None:
        self._root, self._problems = root, problems

    @cached_property
    def _known(self) -> dict[Called, _Known]:
        found: dict[Called, _Known] = {}
        if is_store(self._root):
            for project, name, number in claimed(Folder(self._root)):
                found.setdefault((project, name), _Known()).next = number + 1
            for version in versions(Layout(self._root)):
                found.setdefault((version.project, version.name), _Known()).type = version.type
        return found

    def keep(self, run: Run, files: RunFiles) -> None:
        """Have a run keep files."""
        writer = _writer(run)
        new: dict[str, NewFile] = {}
        for item in files.items:
            try:
                check_file_path(item.path, "the path of a file")
                digest, size = _put(writer, item)
            except WRONG as error:
                self.refuse(f"{files.file}, file {item.path!r:.100}", error)
            else:
                new[item.path] = NewFile(item.path, size, digest)
        if new:
            writer.commit_files(list(new.values()))

    def log(self, run: Run, version: Version) -> None:
        """Have a run log a version of an artifact: the next one of its name in the store.

        What is as it was in a version of this import becomes no new one: that version gets the aliases. Files that are
        not there any more are left out with a warning, as artifacts' files often are gone when they were uploaded or
        lay in temporary folders; one that was altered is bad. A version of which no file is left is none.
        """
        writer, project = _writer(run), run.project
        try:
            name = check_artifact_name(version.name)
            kind = check_text(version.type, "the type of an artifact")
            known = self._known.setdefault((project, name), _Known())
            if not kind:
                raise InvalidValue(f"artifact {name!r} has no type")
            check_artifact_type(name, known.type, kind)
            metadata = dump_json(dict(version.metadata))
        except WRONG as error:
            self.refuse(version.file, error)
            return
        entries = self._entries(writer, version)
        if version.items and not entries:
            return
        if version.incremental:
            entries = {**known.last, **entries}
        new = NewVersion(
            project, name, kind, list(entries.values()), version.description, metadata, self._aliases(version)
        )
        digest = manifest_digest(new.entries)
        if digest in known.numbers:
            number = known.numbers[digest]
            new = replace(new, known=True)
        else:
            number = writer.claim(project, name, known.next)
            known.next, known.numbers[digest] = number + 1, number
        writer.commit_version(new, number)
        known.type, known.last = kind, entries

    def refuse(self, where: str, error: Exception) -> None:
        """Say that something is bad; an error of the store's own disk is none of the source."""
        if isinstance(error, StorageError | StateError):
            raise error
        self._problems.bad(where, None, error)

    def _aliases(self, version: Version) -> list[str]:
        made = []
        for alias in dict.fromkeys(version.aliases):
            try:
                if alias not in ("", LATEST):
                    made.append(check_alias(alias))
            except (InvalidType, InvalidValue) as error:
                self.refuse(version.file, error)
        return made

    def _entries(self, writer: FileWriter, version: Version) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        folders: set[str] = set()
        gone: list[NotFound] = []
        for item in version.items:
            try:
                path = check_file_path(item.path, "the path of a file in an artifact")
                above = {path[:at] for at, letter in enumerate(path) if letter == "/"}
                if path in folders or above & entries.keys():
                    raise InvalidValue(f"{path!r:.100} is a file and the folder of another")
                if item.find is None:
                    entries[path] = Entry(
                        path, "reference", item.size, None, check_text(str(item.reference), "an address")
                    )
                else:
                    digest, size = _put(writer, item)
                    entries[path] = Entry(path, "file", size, digest)
                folders |= above
            except NotFound as error:
                gone.append(error)
            except WRONG as error:
                self.refuse(f"{version.file}, file {item.path!r:.100}", error)
        if gone:
            rest = "the version holds the others" if entries else "the version is left out"
            warn(
                f"{version.file}: {len(gone)} of {len(version.items)} files are gone, and {rest}; the first: {gone[0]}",
                NotStoredWarning,
            )
        return entries


class _Checked:
    """A file that is read from its begin to its end, and then is what the source says of it."""

    def __init__(self, file: IO[bytes], item: Item, where: object) -> None:
        self._file, self._item, self._where = file, item, where
        self._md5 = hashlib.md5(usedforsecurity=False)

    def read(self, size: int) -> bytes:
        block = self._file.read(size)
        self._md5.update(block)
        if not block and self._item.md5 not in (None, self._md5.digest()):
            raise CorruptData(f"{self._where} was altered since it was logged: its MD5 does not match")
        return block


def _put(writer: FileWriter, item: Item) -> tuple[str, int]:
    """Store the bytes of a file, and return their BLAKE3 and their size."""
    assert item.find is not None  # noqa: S101  # else it is an address
    found = item.find()
    with open_file(found) as file:
        check_holes(file, found)
        size = os.fstat(file.fileno()).st_size
        if item.md5 is not None and item.size is not None and size != item.size:
            raise CorruptData(f"{found} was altered since it was logged: it has {size:,} bytes, not {item.size:,}")
        return writer.put(cast(IO[bytes], _Checked(cast(IO[bytes], file), item, found)))


def _writer(run: Run) -> FileWriter:
    assert isinstance(run._writer, Writer)  # noqa: S101  # the import made it
    return FileWriter(run._writer)
