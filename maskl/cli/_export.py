"""The command that writes logged rows in other formats."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer
from rich.filesize import decimal

import maskl
from maskl.cli._options import Directory, Json, Project, Runs
from maskl.formats import DEFAULT
from maskl.formats import names as format_names
from maskl_storage.errors import InvalidValue
from maskl_storage.format.visible import visible

if TYPE_CHECKING:
    from maskl.interchange.choices import ImageFiles, MaskForm

__all__ = ["export"]


def export(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="[TABLE] DEST", help="The logged table, not with --sql; and the folder or file to write."
        ),
    ],
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            metavar="NAME",
            help=f"{', '.join(format_names('write'))}. Default: what DEST ends in, else {DEFAULT}.",
        ),
    ] = None,
    sql: Annotated[
        str | None, typer.Option("--sql", help="The rows that a query with run_id, table_name and _row returns.")
    ] = None,
    step: Annotated[
        str | None, typer.Option("--step", help="Only this step, or each run's last one: a number, or last.")
    ] = None,
    where: Annotated[str | None, typer.Option("--where", help="Only rows that an SQL condition holds for.")] = None,
    columns: Annotated[
        str | None, typer.Option("--columns", metavar="NAME,…", help="Only these columns; images bring their masks.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many rows.")] = None,
    masks: Annotated[
        str | None, typer.Option("--masks", help="How parquet and arrow write masks: maskl (smallest; default) or png.")
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(
            "--images", help="Images in parquet and arrow: stored (default), or portable: JPEG XL as WebP or PNG."
        ),
    ] = None,
    instances: Annotated[
        bool, typer.Option("--instances", help="In COCO's formats, a segment for each connected component.")
    ] = False,
    image: Annotated[
        str | None, typer.Option("--image", help="The image column, for formats that hold one. Default: the first.")
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option(
            "--mask", help="The mask's key, for formats that hold one. Default: ground_truth, else the first."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what stands at DEST.")] = False,
    directory: Directory = None,
    project: Project = None,
    run: Runs = None,
    as_json: Json = False,
) -> None:
    """Write rows as files of another format: Parquet, Hugging Face, COCO, folders of PNG."""
    if len(names) != (1 if sql is not None else 2):
        raise InvalidValue(
            f"export needs a table and a destination, or a destination and --sql; got {len(names)} names"
            + (" with --sql" if sql is not None else "")
        )
    done = maskl.open(directory, project, run).export(
        None if sql is not None else names[0],
        names[-1],
        format_,
        sql=sql,
        step=int(step) if step is not None and step.lstrip("-").isdecimal() else cast('Literal["last"] | None', step),
        where=where,
        columns=None if columns is None else [name.strip() for name in columns.split(",")],
        limit=limit,
        masks=cast("MaskForm | None", masks),
        images=cast("ImageFiles | None", images),
        instances=instances,
        image=image,
        mask=mask,
        force=force,
    )
    if as_json:
        from maskl.cli import _output as output

        fields = ("path", "format", "rows", "bytes", "dropped", "converted")
        row = (str(done.path), done.format, done.rows, done.size, dict(done.dropped), dict(done.converted))
        output.print_result(output.Result(fields, [row]), "json")
        return
    rows = f"{done.rows:,} row{'' if done.rows == 1 else 's'}"
    sys.stdout.write(f"{rows} as {done.format} in {visible(_path(done.path))} ({decimal(done.size)})\n")
    if done.converted:
        sys.stdout.write(f"images: {', '.join(f'{count:,} {what}' for what, count in done.converted.items())}\n")


def _path(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
