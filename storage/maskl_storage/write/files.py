"""Files of a run that is written: their bytes, versions of artifacts, and what the run keeps."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from typing import IO, Any

import pyarrow as pa

from maskl_storage.catalog.artifacts import claimed
from maskl_storage.catalog.layout import is_store
from maskl_storage.catalog.signed import write_json
from maskl_storage.disk.atomic import storage_error
from maskl_storage.disk.blobs import hash_of, put_blob
from maskl_storage.disk.local import Folder, Odd, folder_of
from maskl_storage.disk.stamps import Stamp, stamp_of
from maskl_storage.errors import StorageError
from maskl_storage.format.artifacts import Entry, RunFile, is_file_path, manifest_digest
from maskl_storage.format.paths import version_path, workplace
from maskl_storage.format.schemas import FIXED
from maskl_storage.write.writer import Writer

__all__ = ["FileWriter", "NewFile", "NewVersion", "changed_files", "files_tables"]


@dataclass(frozen=True, slots=True)
class NewVersion:
    """What is said of a version of an artifact when it is committed.

    Parameters
    ----------
    project : str or None
    name, type : str
    entries : sequence of Entry
        What is in it.
    description : str or None
    metadata : str
        JSON text of an object.
    aliases : sequence of str
        Those that it gets.
    known : bool
        Whether it is the store's already, with these entries.
    """

    project: str | None
    name: str
    type: str
    entries: Sequence[Entry]
    description: str | None = None
    metadata: str = "{}"
    aliases: Sequence[str] = ()
    known: bool = False


def changed_files(
    files: Folder,
    run_id: str,
    known: Mapping[str, RunFile],
    put: Callable[[IO[bytes]], tuple[str, int]],
    odd: Odd,
    seen: Container[tuple[str, Stamp]] = (),
) -> list[NewFile]:
    """Store what lies in a run's folder and is new or another than it was, and return what to commit of it.

    Parameters
    ----------
    files : Folder
        The store.
    run_id : str
        The run.
    known : mapping of str to RunFile
        The files that it keeps already.
    put : callable
        Stores what a file holds.
    odd : callable
        Is told of what is no file, or has a name that no file of a run can have, and why it is left out.
    seen : container of (str, Stamp), optional
        Paths, and what the system said of the files there when they were stored.
    """
    found = []
    folder = workplace(run_id)
    for path in files.walk(odd, folder):
        name = path.removeprefix(f"{folder}/")
        if not is_file_path(name):
            odd(path, "its name is none that a file of a run can have")
            continue
        stat = files.stat(path)
        if (name, stamp_of(stat)) in seen:
            continue
        old = known.get(name)
        if old is not None and old.size == stat.st_size:
            with files.raw_reader(path) as file:
                if hash_of(file)[0] == old.digest:
                    continue
        with files.raw_reader(path) as file:
            digest, size = put(file)
        found.append(NewFile(name, size, digest))
    return found


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file that a run keeps: its path in the run's folder, its bytes, and their BLAKE3."""

    path: str
    size: int
    digest: str


class FileWriter:
    """Stores files of one run.

    Parameters
    ----------
    writer : Writer
        What commits them.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer, self._sync = writer, writer.sync

    def put(self, source: IO[bytes]) -> tuple[str, int]:
        """Store what a file holds from here on, and return its BLAKE3, 64 hexadecimal digits, and its size in bytes.

        What nothing names by the time the run ends goes at some compaction.
        """
        self._writer.check_open()
        with self._writing("a file"):
            return put_blob(self._writer.layout.files, source, sync=self._sync)

    def commit_version(self, new: NewVersion, number: int) -> None:
        """Commit a version of an artifact that was claimed, whose files were put; when it returns every reader sees it.

        Of a number that is the store's, what is said of it counts from now on, and ``entries`` are as they were.
        """
        self._writer.commit_alone(f"artifact {new.name!r}", partial(_version_tables, new, number))

    def commit_files(self, new: Sequence[NewFile]) -> None:
        """Commit that the run keeps some files, whose bytes were put; when it returns every reader sees it."""
        self._writer.commit_alone("files of the run", partial(files_tables, new))

    def claim(self, project: str | None, name: str, least: int = 0) -> int:
        """Take the next version of an artifact, which nobody else gets then, and return its number.

        It is at least ``least``: a store that is to become part of another one has the numbers that follow there.
        """
        self._writer.check_open()
        layout, run_id = self._writer.layout, self._writer.run.run_id
        with self._writing(f"artifact {name!r}"):
            number = max(least, max((taken for _, _, taken in claimed(layout.files, project, name)), default=-1) + 1)
            while True:
                path = version_path(project, name, number)
                layout.files.make_folder(folder_of(path), sync=self._sync)
                try:
                    os.close(layout.files.create(path))
                except FileExistsError:
                    number += 1
                    continue
                with contextlib.suppress(OSError):  # it is claimed, whoever says so
                    text = json.dumps({"run_id": run_id}, ensure_ascii=False)
                    write_json(layout.files, path, text, sync=self._sync)
                return number

    @contextlib.contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        root = self._writer.layout.root
        if not is_store(root):
            raise StorageError(f"{root} is not there any more: put it back and try again")
        try:
            yield
        except OSError as error:
            raise storage_error(error, what, root) from error


def _version_tables(new: NewVersion, number: int, writer: int, seal: int) -> Mapping[str, pa.Table]:
    """Return the parts of a seal that commits a version; ``new.known`` says that what is in it is there already."""
    entries = [] if new.known else new.entries
    row = {
        "project": new.project,
        "name": new.name,
        "version": number,
        "type": new.type,
        "digest": manifest_digest(new.entries),
        "files": len(new.entries),
        "size": sum(entry.size or 0 for entry in new.entries),
        "description": new.description,
        "metadata": new.metadata,
        "aliases": list(new.aliases),
        **_stamp(writer, seal),
    }
    rows = [
        {
            "project": new.project,
            "name": new.name,
            "version": number,
            "path": entry.path,
            "kind": entry.kind,
            "size": entry.size,
            "digest": entry.digest,
            "reference": entry.reference,
        }
        for entry in entries
    ]
    return _tables(artifacts=[row], artifact_files=rows)


def files_tables(new: Sequence[NewFile], writer: int, seal: int) -> Mapping[str, pa.Table]:
    """Return the parts of a seal that commits files of a run."""
    stamp = _stamp(writer, seal)
    rows = [{"path": file.path, "size": file.size, "digest": file.digest, **stamp} for file in new]
    return _tables(run_files=rows)


def _stamp(writer: int, seal: int) -> dict[str, Any]:
    return {"time": datetime.now(timezone.utc), "writer": writer, "seal": seal}


def _tables(**rows: Sequence[Mapping[str, Any]]) -> Mapping[str, pa.Table]:
    """Return tables of rows, and one of history without any: readers that know none of these kinds keep the seal."""
    made = {"history": FIXED["history"].empty_table()}
    return made | {kind: pa.Table.from_pylist(list(some), FIXED[kind]) for kind, some in rows.items() if some}
