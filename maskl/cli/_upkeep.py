"""The commands that keep a store in order: verify, recover, compact and delete."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer
from rich.filesize import decimal

import maskl
from maskl.cli._options import Directory, Project, Runs
from maskl.cli._output import print_object
from maskl.interchange.progress import progress
from maskl_storage.disk.local import Folder
from maskl_storage.format.paths import PART
from maskl_storage.format.visible import visible
from maskl_storage.merge import GRACE

__all__ = ["compact", "delete", "recover", "verify"]

#: a store of fewer bytes is checked sooner than a second process is there
SMALL: Final = 64 << 20
MAX_PROCESSES: Final = 8
#: the exit code of what found something that should not be
FOUND: Final = 1

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
Object = Annotated[bool, typer.Option("--json", help="Print a JSON object.")]


def verify(
    processes: Annotated[
        int, typer.Option("--processes", min=0, help="How many processes check; 0: as many as make sense.")
    ] = 0,
    directory: Directory = None,
    as_json: Object = False,
) -> None:
    """Check every file of the store, and every statistic against the masks."""
    store = maskl.open(directory)
    with progress("verify") as bar:
        found = store.verify(processes=processes or _processes(store), tick=bar.reach)
    if as_json:
        print_object(found.to_json())
    else:
        for fault in found.faults:
            print(visible(str(fault)))
        for note in found.notes:
            print("note:", visible(note))
        print(
            f"{_count(found.parts, 'part')} of {_count(found.seals, 'seal')}, {decimal(found.bytes)}: "
            f"{_count(found.rows, 'row')}, {_count(found.masks, 'mask')}, {_count(found.images, 'image')}, "
            f"{_count(found.files, 'file')} checked; "
            f"{_count(len(found.faults), 'fault')}"
        )
    if not found.clean:
        raise typer.Exit(FOUND)


def recover(
    force: Annotated[
        bool, typer.Option("--force", help="Act also where locks do not work; only if no process logs to the store.")
    ] = False,
    dry_run: DryRun = False,
    directory: Directory = None,
    as_json: Object = False,
) -> None:
    """Bring in what killed processes had logged, and say which runs they were."""
    found = maskl.open(directory).recover(force=force, dry_run=dry_run)
    would = "would be " if dry_run else ""
    lines = []
    for left in found:
        rows = [f"{_count(count, 'row')} of {name!r}" for name, count in left.rows.items()]
        kinds = ((left.scalars, "scalar"), (left.images, "image"))
        what = ", ".join(rows + [_count(count, kind) for count, kind in kinds if count]) or "nothing"
        torn = f"; {_count(left.torn, 'byte')} of a call that was not done yet are left out" if left.torn else ""
        lines.append(f"run {left.run_id!r}, writer {left.writer}: {what} {would}brought in{torn}")
        lines += [f"note: {left.problem}"] if left.problem else []
    _print({"recovered": [left.to_json() for left in found]}, lines or ["nothing to bring in"], as_json)


def compact(
    grace: Annotated[
        float, typer.Option("--grace", min=0, help="Seconds for which files stay that somebody may be reading still.")
    ] = GRACE,
    dry_run: DryRun = False,
    directory: Directory = None,
    project: Project = None,
    run: Runs = None,
    as_json: Object = False,
) -> None:
    """Merge small parts, drop images that nothing refers to, and remove files that nobody needs."""
    store = maskl.open(directory, project, run)
    chosen = None if project is None and run is None else [info.run_id for info in store.runs()]
    with progress("compact", len(store.runs())) as bar:
        done = store.compact(chosen, dry_run=dry_run, grace=grace, step=lambda _: bar.advance(1))
    would = "would be " if dry_run else ""
    lines = [
        f"{_count(done.seals_before, 'seal')} of {_count(done.runs, 'run')} {would}merged into {done.seals_after}",
        f"{_count(done.images, 'image')} ({decimal(done.image_bytes)}) that nothing refers to {would}dropped",
        f"{_count(done.removed, 'file')} ({decimal(done.removed_bytes)}) {would}removed",
    ]
    if done.kept:
        lines.append(f"{_count(done.kept, 'file')} removed by a later compact, since they may still be read")
    _print(done.to_json(), [*lines, *(f"note: {reason}" for reason in done.skipped)], as_json)


def delete(
    runs: Annotated[
        list[str] | None,
        typer.Argument(help="Runs, by id, name or the beginning of the id.", metavar="RUN", show_default=False),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option("--where", help="Delete the runs for which this holds, such as \"state = 'failed'\"."),
    ] = None,
    table: Annotated[str | None, typer.Option("--table", help="Delete only this table, and leave the runs.")] = None,
    dry_run: DryRun = False,
    directory: Directory = None,
    project: Project = None,
    as_json: Object = False,
) -> None:
    """Delete runs, or a table of them; images stay until maskl compact finds that nothing refers to them."""
    store = maskl.open(directory, project)
    done = store.delete(runs or (), where=where, table=table, dry_run=dry_run)
    would = "would be " if dry_run else ""
    of = ", ".join(done.runs) or "no run"
    what = f"table {table!r} of {of}" if table is not None else of
    rows, tables = _count(done.rows, "row"), _count(len(done.tables), "table")
    lines = [f"{what} {would}deleted: {rows} of {tables}, {decimal(done.bytes)}"]
    if done.kept:
        lines.append(f"{_count(done.kept, 'file')} removed by maskl compact, since they may still be read")
    _print(done.to_json(), lines, as_json)


def _print(body: Mapping[str, Any], lines: list[str], as_json: bool) -> None:
    if as_json:
        print_object(body)
    else:
        print("\n".join(map(visible, lines)))


def _processes(store: maskl.Store) -> int:
    files = Folder(store.root)
    parts = (path for path in files.walk(lambda _path, _problem: None) if path.endswith(PART))
    size = sum(files.stat(path).st_size for path in parts)
    return 1 if size < SMALL else min(os.cpu_count() or 1, MAX_PROCESSES)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")
