"""Exporting: a selection, in a format, to a destination that appears whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from maskl.formats import TAKES, load
from maskl.interchange.options import Options
from maskl.interchange.selection import Selection
from maskl_storage.disk.atomic import beside, is_taken, move
from maskl_storage.errors import DroppedWarning, InvalidValue, warn
from maskl_storage.format.document import STORE_FILE

__all__ = ["Exported", "export_selection"]


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote.

    Parameters
    ----------
    path : Path
        The folder or file.
    format : str
        The format's name.
    rows : int
        How many rows it holds.
    size : int
        The bytes of its files.
    dropped : mapping of str to int
        What the format could not hold, and how often.
    """

    path: Path
    format: str
    rows: int
    size: int
    dropped: Mapping[str, int]


def export_selection(
    selection: Selection, dest: str | os.PathLike[str], format_: str, options: Options, progress: bool | None = None
) -> Exported:
    """Write a selection in a format to a folder or file.

    Parameters
    ----------
    selection : Selection
        The rows and columns.
    dest : path-like
        Where to: one file where it has the format's suffix, else a folder.
    format_ : str
        One of :data:`maskl.formats.FORMATS`.
    options : Options
        How.
    progress : bool, optional
        Whether to show a progress bar on standard error; by default where that is a terminal.

    Raises
    ------
    InvalidValue
        There is something at the destination, no such format, or an option that it would not heed.

    Warns
    -----
    DroppedWarning
        The format cannot hold all of the selection.
    """
    module = load(format_)
    _check_options(format_, options)
    target = Path(os.path.abspath(os.fspath(dest)))
    _check_target(target, selection.store.root, options.force)
    alone = getattr(module, "SUFFIX", None) is not None and target.suffix == module.SUFFIX
    options = replace(options, file=target.name if alone else None)
    with _unfinished(target) as folder, _bar(len(selection), progress) as tick:
        dropped = module.write(selection, folder, options, tick)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        try:
            move(folder / target.name if alone else folder, target, replace=options.force)
        except FileExistsError as error:  # it came while this was written
            raise InvalidValue(
                f"{target} exists by now: name another destination, or replace it with --force (force=True)"
            ) from error
    listed = {what: count for what, count in sorted(dropped.items()) if count}
    if listed:
        what = ", ".join(f"{name} ({count:,})" for name, count in listed.items())
        warn(f"{format_} cannot hold all that was exported; left out: {what}", DroppedWarning)
    return Exported(target, format_, len(selection), size, listed)


def _check_options(format_: str, options: Options) -> None:
    """Refuse an option that the format would not heed."""
    chosen = [
        name for name in ("masks", "instances", "image", "mask") if getattr(options, name) != getattr(Options(), name)
    ]
    for name in chosen:
        if name not in TAKES[format_]:
            heeding = ", ".join(other for other, takes in TAKES.items() if name in takes)
            raise InvalidValue(f"{format_} takes no option {name!r}; it is for {heeding}")


def _check_target(target: Path, root: Path, force: bool) -> None:
    """Refuse a destination that holds something, or must not be replaced even by force."""
    here, store = Path.cwd(), root.resolve()
    resolved = target.resolve()
    if resolved == store or store in resolved.parents:
        raise InvalidValue(f"{target}: this is inside the store {store}: export to another place")
    if resolved in store.parents or resolved == here or resolved in here.parents:
        raise InvalidValue(f"{target}: this holds the store or the working directory: export to a folder of its own")
    if (target / STORE_FILE).exists():
        raise InvalidValue(f"{target}: this is a store: export to another place")
    if not force and is_taken(target):
        raise InvalidValue(f"{target} exists: name another destination, or replace it with --force (force=True)")


@contextlib.contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    """Make a folder beside the target to write into; whatever is left in it goes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = beside(target)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _bar(rows: int, progress: bool | None) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on a terminal, and yield what to call with each number of rows done."""
    shown = sys.stderr is not None and sys.stderr.isatty() if progress is None else progress
    if not shown:
        yield lambda rows: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("exporting"), BarColumn(), MofNCompleteColumn(), TextColumn("rows"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=progress is None) as bar:
        task = bar.add_task("", total=rows)
        yield lambda done: bar.advance(task, done)
