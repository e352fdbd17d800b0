"""Artifacts go into a store, and are found there."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Container, Sequence
from dataclasses import replace

from maskl.artifacts.artifact import Artifact
from maskl.images.image import Image
from maskl.tables.table import Table
from maskl_storage.catalog.artifacts import entries_of, versions
from maskl_storage.catalog.layout import Layout
from maskl_storage.disk.blobs import open_blob
from maskl_storage.errors import CorruptData, NotFound
from maskl_storage.format.artifacts import LATEST, Entry, Version, check_alias, check_artifact_type, manifest_digest
from maskl_storage.format.document import dump_json
from maskl_storage.write.files import FileWriter, NewVersion
from maskl_storage.write.writer import Writer

__all__ = ["commit", "find"]

_NUMBER = re.compile(r"v(0|[1-9][0-9]{0,15})")


def commit(
    artifact: Artifact,
    writer: Writer,
    project: str | None,
    aliases: Sequence[str],
    store_table: Callable[[str, Table], None],
) -> Artifact:
    """Make a version of what an artifact holds; when it returns, every reader finds it.

    What is as it was in a version of the name becomes no new one: that version gets the aliases.

    Parameters
    ----------
    artifact : Artifact
        It is that version afterwards.
    writer : Writer
        The writer of the run that logs it.
    project : str or None
        The project whose name it is.
    aliases : sequence of str
        The aliases that the version gets beside ``latest``; an empty one is none.
    store_table : callable
        Stores the rows of a table under a name.

    Raises
    ------
    InvalidValue
        The name is one of artifacts of another type, or an alias is none.
    NotFound, CorruptData
        A file that was added is gone, or another one now; nothing is logged.
    """
    given = [check_alias(alias) for alias in aliases if alias not in ("", LATEST)]
    layout, name = writer.layout, artifact._name
    files = FileWriter(writer)
    if artifact._version is not None:
        artifact._say_anew(files, layout, artifact._version, given)
        return artifact
    known = [version for version in versions(layout, name) if version.project == project]
    for version in known:
        check_artifact_type(name, version.type, artifact.type)
    entries = {path: _stored(artifact, entry, files, writer) for path, entry in artifact._entries.items()}
    if artifact.incremental and known:
        entries = {entry.path: entry for entry in entries_of(layout, known[-1])} | entries
    digest = None if artifact._values else manifest_digest(entries.values())
    same = next((version for version in reversed(known) if version.digest == digest), None)
    said = artifact.description, dump_json(artifact.metadata)
    new = NewVersion(project, name, artifact.type, list(entries.values()), *said, given)
    if same is not None:
        number = same.number
        if said != (same.description, same.metadata) or set(given) - set(same.aliases):
            files.commit_version(replace(new, known=True), number)
    else:
        number = files.claim(project, name)
        taken = _tables_of(writer) if artifact._values else set()
        for path, value in artifact._values.items():
            table = _free(f"{name}/v{number}/{path}", taken)
            taken.add(table)
            store_table(table, Table(["image"], [[value]]) if isinstance(value, Image) else value)
            entries[path] = replace(entries[path], reference=table)
        files.commit_version(replace(new, entries=list(entries.values())), number)
    artifact._become(layout, _chosen(versions(layout, name), project, name, f"v{number}"), entries.values())
    return artifact


def _tables_of(writer: Writer) -> set[str | None]:
    """Return the names of the tables that a run has, also of what was logged last."""
    writer.seal()
    return {sealed.table for sealed in writer.layout.listing().of("rows", run_id=writer.run.run_id)}


def _free(name: str, taken: Container[str | None]) -> str:
    """Return the name for a table, with a number behind it where the run has one of the name already."""
    names = itertools.chain([name], (f"{name} ({number})" for number in itertools.count(2)))
    return next(free for free in names if free not in taken)


def _stored(artifact: Artifact, entry: Entry, files: FileWriter, writer: Writer) -> Entry:
    """Return an entry whose bytes this writer has put."""
    source = artifact._sources.get(entry.path)
    if entry.kind != "file" or source is None or source.writer is writer:
        return entry
    if source.path is not None:
        try:
            with source.path.open("rb") as file:
                digest, _ = files.put(file)
        except FileNotFoundError as error:
            raise NotFound(
                f"{str(source.path)!r} was added to artifact {artifact.name!r} as immutable, and is gone"
            ) from error
    else:
        assert source.files is not None  # noqa: S101  # a source is one or the other
        with open_blob(source.files, str(entry.digest)) as file:
            digest, _ = files.put(file)
    if digest != entry.digest:
        raise CorruptData(
            f"{entry.path!r} of artifact {artifact.name!r} is another file than when it was added: add it anew"
        )
    return entry


def find(layout: Layout, asked: str, project: str | None) -> Version:
    """Return the version that ``name``, ``name:alias``, ``name:v3`` or ``project/name:alias`` means.

    Parameters
    ----------
    layout : Layout
        The store.
    asked : str
        What is asked for; what stands before the project, W&B's entity, counts for nothing.
    project : str or None
        The project of a name that has none. Where that is None too, an artifact that only one project has is found.

    Raises
    ------
    NotFound
        There is no such artifact or version; the message names those that there are.
    """
    where, _, rest = asked.rpartition("/")
    name, _, version = rest.partition(":")
    project = where.rpartition("/")[2] if where else project
    everything = versions(layout)
    if project is None:
        projects = {one.project for one in everything if one.name == name}
        if len(projects) == 1:
            (project,) = projects
    return _chosen(everything, project, name, version or LATEST)


def _chosen(everything: Sequence[Version], project: str | None, name: str, version: str) -> Version:
    """Return a version of an artifact by its number, as ``v3``, or by an alias."""
    found = [one for one in everything if one.name == name and one.project == project]
    number = _NUMBER.fullmatch(version)
    for one in reversed(found):
        if one.number == int(number[1]) if number else version in one.aliases:
            return one
    where = "" if project is None else f" in project {project!r}"
    if found:
        there = ", ".join(dict.fromkeys([*(a for one in found for a in one.aliases), *(f"v{o.number}" for o in found)]))
        raise NotFound(f"artifact {name!r}{where} has no version {version!r}; there are: {there:.200}")
    others = ", ".join(dict.fromkeys(one.qualified.rpartition(":")[0] for one in everything)) or "none"
    # what W&B calls the artifact that it makes of a logged table
    hint = ": maskl.open().table(key, run=...) reads a table that a run logged" if name.startswith("run-") else ""
    raise NotFound(f"there is no artifact {name!r}{where}; there are: {others:.200}{hint}")
