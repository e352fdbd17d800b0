"""The command that lists artifacts, their versions, and what is in one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import maskl
from maskl.cli._options import Csv, Directory, Json, Project, output_form
from maskl_storage.errors import InvalidValue

if TYPE_CHECKING:
    from maskl_storage.catalog.layout import Layout
    from maskl_storage.format.artifacts import Version

__all__ = ["artifacts"]

COLUMNS = ("project", "name", "version", "type", "aliases", "files", "size", "run_id", "time", "state")


def artifacts(
    name: Annotated[
        str | None,
        typer.Argument(
            help="An artifact, whose versions are listed; or name:v3, whose content is.", show_default=False
        ),
    ] = None,
    download: Annotated[
        Path | None, typer.Option("--download", metavar="FOLDER", help="Write the files of name:v3 to this folder.")
    ] = None,
    directory: Directory = None,
    project: Project = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """List artifacts and their versions, also those that were claimed and never committed."""
    from maskl.cli._output import Result, listed, print_result

    form = output_form(as_json, as_csv)
    store = maskl.open(directory, project)
    layout: Layout = store._layout
    if name is None or ":" not in name:
        if download is not None:
            raise InvalidValue("--download takes a version, such as unet:latest or unet:v3")
        print_result(listed(COLUMNS, _versions(layout, name, project), form), form)
        return
    found = store.artifact(name, project)
    if download is not None:
        print(found.download(download))
        return
    rows = [(one.path, one.kind, one.size, one.digest, one.reference) for one in found.manifest.entries.values()]
    print_result(Result(("path", "kind", "size", "digest", "reference"), rows), form)


def _versions(layout: Layout, name: str | None, project: str | None) -> Sequence[tuple[Any, ...]]:
    """Return the versions, and behind them those that are none: of runs that died, or that were deleted."""
    from maskl_storage.catalog.artifacts import claims, versions

    known = versions(layout, name)
    chosen = [version for version in known if project is None or version.project == project]
    there = {(version.project, version.name, version.number) for version in known}
    runs = {run.run_id for run in layout.runs()}
    rows = [_row(version) for version in chosen]
    for claim in claims(layout.files):
        if (claim.project, claim.name, claim.number) in there or name not in (None, claim.name):
            continue
        if project is None or claim.project == project:
            state = "not committed" if claim.run_id in runs or claim.run_id is None else "deleted"
            number = f"v{claim.number}"
            rows.append((claim.project, claim.name, number, None, [], None, None, claim.run_id, None, state))
    return rows


def _row(version: Version) -> tuple[Any, ...]:
    return (
        version.project,
        version.name,
        f"v{version.number}",
        version.type,
        list(version.aliases),
        version.files,
        version.size,
        version.run_id,
        version.time,
        "committed",
    )
