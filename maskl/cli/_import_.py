"""The command ``maskl import``."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from maskl.cli._options import Directory, Json
from maskl.cli._output import print_object
from maskl.formats import names
from maskl_storage.errors import InvalidValue, LeftOutWarning
from maskl_storage.format.visible import visible

if TYPE_CHECKING:
    from maskl.importing.importer import Imported

__all__ = ["import_"]

#: what was left out, of which the command line says that much
SHOWN: Final = 20


def import_(
    source: Annotated[
        list[str],
        typer.Argument(help="A file or folder, perhaps after the name of its format: wandb DIR.", metavar="SOURCE"),
    ],
    format: Annotated[  # noqa: A002  # the name of the option
        str | None,
        typer.Option("--format", help=f"One of {', '.join(names('read'))}. Default: what the source looks like."),
    ] = None,
    table: Annotated[
        str | None, typer.Option("--table", help="The table's name. Default: what the source says.")
    ] = None,
    run: Annotated[str | None, typer.Option("--run", help="The id of the new run.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="The name of the new run.")] = None,
    step: Annotated[
        int | None, typer.Option("--step", help="The step of every row. Default: what the source says.")
    ] = None,
    images: Annotated[
        str | None,
        typer.Option("--images", help="Where images are: a folder or pattern, such as 'img/*.jpg'. Default: images."),
    ] = None,
    masks: Annotated[
        list[str] | None,
        typer.Option(
            "--mask",
            help="A column of images that holds masks of the first other one; or, of folders, where masks are: a "
            "folder or pattern, such as 'ann/*_L.png', perhaps after KEY=. Repeatable.",
        ),
    ] = None,
    classes: Annotated[
        str | None, typer.Option("--classes", help="A JSON file of the masks' classes. Default: what the source says.")
    ] = None,
    staging: Annotated[
        Path | None, typer.Option("--staging", help="Where W&B's artifacts wait. Default: W&B's folder, else beside.")
    ] = None,
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="Follow links in the source, wherever they lead, if you trust it.")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave bad rows out, count and list them, instead of importing nothing.")
    ] = False,
    directory: Directory = None,
    as_json: Json = False,
) -> None:
    """Import a dataset as a new run: all of it, or nothing."""
    from maskl.importing.importer import import_dataset

    format, path = _split(source, format)  # noqa: A001  # as above
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeftOutWarning)  # a line of its own says each
        found = import_dataset(
            path,
            format,
            dir=directory,
            run=run,
            name=name,
            table=table,
            step=step,
            images=images,
            masks=masks or (),
            classes=classes,
            staging=staging,
            follow_links=follow_links,
            skip_bad=skip_bad,
        )
    _print(found, as_json)


def _split(words: list[str], format_: str | None) -> tuple[str | None, Path]:
    """Return the format and the source that the words name."""
    if len(words) == 2 and words[0] in names("read") and format_ in (None, words[0]):
        return words[0], Path(words[1])
    if len(words) != 1:
        raise InvalidValue(f"import takes one SOURCE, or the name of a format and one SOURCE; got {' '.join(words)}")
    return format_, Path(words[0])


def _print(found: Imported, as_json: bool) -> None:
    if as_json:
        body = {
            "runs": list(found.runs),
            "tables": dict(found.rows),
            "skipped": found.skipped,
            "problems": list(found.problems),
            "unused": list(found.unused),
        }
        print_object(body)
        return
    for message in found.problems[:SHOWN]:
        print(f"maskl: left out: {visible(message)}", file=sys.stderr)
    if found.skipped > min(SHOWN, len(found.problems)):
        print(f"maskl: left out: {found.skipped - SHOWN:,} more; --json lists the first 1,000", file=sys.stderr)
    for line in found.unused:
        print(f"maskl: not used: {visible(line)}", file=sys.stderr)
    tables = ", ".join(f"{visible(name)} ({rows:,} rows)" for name, rows in found.rows.items()) or "no table"
    print(f"imported {tables} as {'run' if len(found.runs) == 1 else 'runs'} {', '.join(map(visible, found.runs))}")
    if found.skipped:
        print(f"left out {found.skipped:,}")
