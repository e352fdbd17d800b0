"""The command that shows a store in a browser."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

import typer

import maskl
from maskl.cli._options import Directory, Project, Runs, check_step
from maskl.cli._output import print_warning
from maskl_storage.errors import InvalidValue
from maskl_storage.format.visible import visible

__all__ = ["view"]


def view(
    table: Annotated[str | None, typer.Argument(help="The table to begin with.", show_default=False)] = None,
    sql: Annotated[
        str | None, typer.Option("--sql", help="Begin with the rows of this query, in its order.", show_default=False)
    ] = None,
    step: Annotated[
        str, typer.Option("--step", help="The step to begin with: last, all of them, or a number.")
    ] = "last",
    host: Annotated[
        str, typer.Option("--host", help="The address to listen on; others than this machine's own are warned of.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0 takes a free one.")] = 0,
    no_open: Annotated[bool, typer.Option("--no-open", help="Open no browser.")] = False,
    directory: Directory = None,
    project: Project = None,
    run: Runs = None,
) -> None:
    """Look at images, masks and errors in a browser; needs maskl[view]. Ctrl-C ends it."""
    from maskl.viewer.serving import ViewedStore, serve

    chosen = check_step(step)
    if chosen == "each":
        raise InvalidValue(f"--step must be last or a whole number, or all for the rows of all steps; got {step!r}")
    store = ViewedStore(directory, project)
    fields = [("project", project)] if project is not None else []
    if table is not None:
        store.table(table)  # raises an error that names the tables there are
        fields.append(("table", table))
    fields += [("run", store.run(name).id) for name in run or ()]
    if chosen != "last":
        fields.append(("step", str(chosen)))
    if sql is not None:
        fields.append(("sql", sql))
    serve(
        store,
        maskl.__version__,
        host=host,
        port=port,
        fragment=urlencode(fields),
        open_browser=not no_open,
        say=_say,
        warn=print_warning,
    )


def _say(line: str) -> None:
    print(visible(line), flush=True)
