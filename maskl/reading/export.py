"""Exporting: a selection, in a format, to a destination that appears whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from maskl.formats import load, names
from maskl.interchange.options import ExportOptions, check_heeded
from maskl.interchange.progress import progress as shown_progress
from maskl_storage.catalog.layout import is_store
from maskl_storage.disk.atomic import beside, is_taken, move
from maskl_storage.errors import DroppedWarning, InvalidValue, warn

if TYPE_CHECKING:
    from maskl.interchange.selection import Selection

__all__ = ["Exported", "export_selection"]


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote; :meth:`maskl.Store.export` returns it.

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
    converted : mapping of str to int
        Which images stand in it in another format than in the store, and how many.
    """

    path: Path
    format: str
    rows: int
    size: int
    dropped: Mapping[str, int]
    converted: Mapping[str, int]


def export_selection(
    selection: Selection,
    dest: str | os.PathLike[str],
    format_: str,
    options: ExportOptions,
    progress: bool | None = None,
) -> Exported:
    """Write a selection in a format to a folder or file.

    Parameters
    ----------
    selection : Selection
        The rows and columns.
    dest : path-like
        Where to: one file where it has the format's suffix, else a folder.
    format_ : str
        One of :func:`maskl.formats.names`.
    options : ExportOptions
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
    form = load(format_, "write")
    assert form.write is not None  # noqa: S101  # else it is not loaded for this
    check_heeded(
        options, form.takes, form.name, lambda: {other: load(other, "write").takes for other in names("write")}
    )
    target = Path(os.path.abspath(os.fspath(dest)))
    _check_target(target, selection.store.root, options.force)
    alone = form.suffix is not None and target.suffix == form.suffix
    options = replace(options, file=target.name if alone else None)
    with _unfinished(target) as folder, shown_progress("exporting", len(selection), "rows", shown=progress) as bar:
        dropped = form.write(selection, folder, options, bar.advance)
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
    converted = dict(sorted(selection.portable.converted.items()))
    return Exported(target, format_, len(selection), size, listed, converted)


def _check_target(target: Path, root: Path, force: bool) -> None:
    """Refuse a destination that holds something, or must not be replaced even by force."""
    here, store = Path.cwd(), root.resolve()
    resolved = target.resolve()
    if resolved == store or store in resolved.parents:
        raise InvalidValue(f"{target}: this is inside the store {store}: export to another place")
    if resolved in store.parents or resolved == here or resolved in here.parents:
        raise InvalidValue(f"{target}: this holds the store or the working directory: export to a folder of its own")
    if is_store(target):
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
