"""Which artifacts and files of runs a store has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from maskl_storage.catalog.layout import Layout
from maskl_storage.catalog.signed import read_document
from maskl_storage.disk.local import Folder
from maskl_storage.disk.locks import reading
from maskl_storage.disk.parquet import open_part
from maskl_storage.errors import CorruptData
from maskl_storage.format.artifacts import LATEST, Entry, RunFile, Version, check_entry, is_file_path
from maskl_storage.format.document import read_object
from maskl_storage.format.paths import version_of, version_path, version_pattern

#: what a row may lack
OPTIONAL: Final = ("project", "description")

__all__ = ["Claim", "blobs_named", "claimed", "claims", "entries_of", "files_of_run", "versions"]


@dataclass(frozen=True, slots=True)
class Claim:
    """A version that somebody claimed: the project, the name and the number, and the run, where that is known."""

    project: str | None
    name: str
    number: int
    run_id: str | None = None


def versions(layout: Layout, name: str | None = None) -> list[Version]:
    """Return the versions of all artifacts, or of those of a name, in order of project, name and number."""
    rows = [row for row in _rows(layout, "artifacts") if name is None or row["name"] == name]
    rows.sort(key=lambda row: (row["time"], row["writer"], row["seal"]))
    found: dict[tuple[str | None, str, int], dict[str, Any]] = {}
    aliases: dict[tuple[str | None, str, str], int] = {}
    for row in rows:
        key = row["project"], row["name"], row["version"]
        # what was said last counts, but for who logged it and when
        found[key] = row if key not in found else {**row, **{of: found[key][of] for of in ("run_id", "time")}}
        for alias in row["aliases"] or ():
            aliases[row["project"], row["name"], alias] = row["version"]
    highest: dict[tuple[str | None, str], int] = {}
    for project, of, number in found:
        highest[project, of] = max(number, highest.get((project, of), 0))
    held: dict[tuple[str | None, str, int], list[str]] = {}
    for (project, of, alias), number in aliases.items():
        held.setdefault((project, of, number), []).append(alias)
    return [
        Version(
            project=project,
            name=of,
            number=number,
            type=row["type"],
            digest=row["digest"],
            files=row["files"],
            size=row["size"],
            description=row["description"],
            metadata=row["metadata"],
            aliases=(
                *sorted(set(held.get((project, of, number), ())) - {LATEST}),
                *((LATEST,) if highest[project, of] == number else ()),
            ),
            run_id=row["run_id"],
            time=row["time"],
        )
        for (project, of, number), row in sorted(found.items(), key=lambda pair: (pair[0][0] or "", *pair[0][1:]))
    ]


def entries_of(layout: Layout, version: Version) -> list[Entry]:
    """Return what is in a version, in order of the paths."""
    found: dict[str, Entry] = {}
    for path, batch, _ in _batches(layout, "artifact_files", version.run_id):
        for row in _of_version(batch, version).to_pylist():
            if row["path"] is None or row["kind"] is None:
                raise CorruptData(f"{path}: path or kind is missing in a row")
            entry = Entry(row["path"], row["kind"], row["size"], row["digest"], row["reference"])
            found[entry.path] = check_entry(entry, path)
    return [found[path] for path in sorted(found)]


def _of_version(batch: pa.RecordBatch, version: Version) -> pa.RecordBatch:
    project = batch["project"]
    of_project = pc.is_null(project) if version.project is None else pc.equal(project, version.project)
    of_name = pc.and_(pc.equal(batch["name"], version.name), pc.equal(batch["version"], version.number))
    return batch.filter(pc.and_(of_project, of_name))


def files_of_run(layout: Layout, run_id: str) -> dict[str, RunFile]:
    """Return the files that a run keeps, by their paths: of each what was saved last."""
    rows = [row for row in _rows(layout, "run_files", run_id) if row["path"] is not None]
    rows.sort(key=lambda row: (row["time"], row["writer"], row["seal"]))
    found: dict[str, RunFile] = {}
    for row in rows:
        if not is_file_path(row["path"]):
            raise CorruptData(f"run {run_id!r}: {row['path']!r:.120} is no path of a file in a folder")
        found[row["path"]] = RunFile(row["path"], row["size"], row["digest"], row["time"])
    return dict(sorted(found.items()))


def blobs_named(layout: Layout) -> set[str]:
    """Return the digests of all bytes that live parts name."""
    named: set[str] = set()
    for kind in ("artifact_files", "run_files"):
        for _, batch, _ in _batches(layout, kind):
            named.update(batch["digest"].drop_null().to_pylist())
    return named


def claimed(files: Folder, project: str | None = None, name: str | None = None) -> list[tuple[str | None, str, int]]:
    """Return project, name and number of the versions that were claimed, of one artifact, or with no name of all."""
    said = map(version_of, files.glob(version_pattern(project, name)))
    return sorted((found for found in said if found is not None), key=lambda found: (found[0] or "", *found[1:]))


def claims(files: Folder) -> list[Claim]:
    """Return the versions that were claimed, also those that are not the store's, and who claimed them."""
    return [Claim(*said, _claimed_by(files, version_path(*said))) for said in claimed(files)]


def _claimed_by(files: Folder, path: str) -> str | None:
    """Return the run that claimed a version; None where that was not written, or is not to be read."""
    try:
        found = read_object(read_document(files, path), path).get("run_id")
    except (CorruptData, FileNotFoundError):
        return None
    return found if isinstance(found, str) else None


def _rows(layout: Layout, kind: str, run_id: str | None = None) -> Iterator[dict[str, Any]]:
    for path, batch, of_run in _batches(layout, kind, run_id):
        for row in batch.to_pylist():
            missing = [name for name, value in row.items() if value is None and name not in OPTIONAL]
            if missing:
                raise CorruptData(f"{path}: {missing[0]} is missing in a row")
            yield {**row, "run_id": of_run}


def _batches(layout: Layout, kind: str, run_id: str | None = None) -> Iterator[tuple[str, pa.RecordBatch, str]]:
    """Yield the rows of a kind, each with the part that has them and the run; nobody removes the parts meanwhile."""
    with reading(layout.files):
        for sealed in layout.listing().of(kind, run_id=run_id):
            with open_part(layout.files, sealed.part) as file:
                for batch in file.iter_batches():
                    yield sealed.part.path, batch, sealed.run_id
