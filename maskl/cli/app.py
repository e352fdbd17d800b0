"""The command line: parses, calls, prints."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, cast

import typer
from typer.core import TyperCommand, TyperGroup

import maskl
from maskl.cli import _evaluate as evaluate
from maskl.cli import _export as export
from maskl.cli import _scalars as scalars
from maskl.cli import _upkeep as upkeep
from maskl.cli._artifacts import artifacts
from maskl.cli._import_ import import_
from maskl.cli._options import (
    ClassMap,
    Csv,
    Directory,
    Json,
    Project,
    Runs,
    output_form,
    parse_parameters,
    read_class_map,
)
from maskl.cli._output import print_warning
from maskl.cli._score import score
from maskl.cli._view import view
from maskl.interchange.terminal import Terminal, bare, exact
from maskl_storage.errors import InvalidValue, MasklError
from maskl_storage.format.visible import visible

__all__ = ["app", "main"]

FOUND_ROWS: Final = 1
BAD_INPUT: Final = 2
INTERRUPTED: Final = 130
#: what every error of the parser is: not exported by typer, and not always from the same package
PARSER_ERROR: Final = cast("type[typer.TyperException]", typer.BadParameter.__mro__[2])


class Command(TyperCommand):
    """A command whose help is laid out for a terminal."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help as it is: it holds nothing of a store."""
        with _bare_output():
            super().format_help(ctx, formatter)


class Commands(TyperGroup):
    """All commands, with a help that is laid out for a terminal."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help as it is: it holds nothing of a store."""
        with _bare_output():
            super().format_help(ctx, formatter)


app = typer.Typer(
    cls=Commands,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


_command = partial(app.command, cls=Command)


class SqlCommand(Command):
    """A command whose option ``-p`` takes two words, which typer cannot declare for a repeated option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Join ``-p name value`` to ``-p name=value``."""
        joined: list[str] = []
        rest = list(args)
        while rest:
            word = rest.pop(0)
            joined.append(word)
            if word == "--":
                joined += rest
                break
            if word in ("-p", "--param") and len(rest) > 1 and "=" not in rest[0]:
                joined.append(f"{rest.pop(0)}={rest.pop(0)}")
        return super().parse_args(ctx, joined)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: with 0, or with 2 and one line on standard error for bad input.

    Whatever a store, a source or an argument holds, what is printed meanwhile shows as text.
    """
    with warnings.catch_warnings(), redirect_stdout(_shown(sys.stdout)), redirect_stderr(_shown(sys.stderr)):
        warnings.showwarning = _show_warning
        sys.exit(_run(arguments))


def _shown(stream: Any) -> Any:
    return None if stream is None else Terminal(bare(stream))


@contextmanager
def _bare_output() -> Iterator[None]:
    with redirect_stdout(bare(sys.stdout)):
        yield


def _run(arguments: Sequence[str] | None) -> int:
    try:
        code = app(args=arguments, prog_name="maskl", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # whoever read us has enough; what is still buffered must not fail again when Python exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except PARSER_ERROR as error:
        return _fail(error.format_message())
    except (MasklError, OSError) as error:
        return _fail(str(error))  # 1 is for rows that a gate found
    except _library_errors() as error:
        return _fail(str(error))
    except (RecursionError, OverflowError, MemoryError, UnicodeError) as error:
        return _fail(f"{type(error).__name__}: {error}")  # data that are too deep, too large, or no text
    return code if isinstance(code, int) else 0


def _library_errors() -> tuple[type[Exception], ...]:
    """Return what DuckDB and Arrow raise; nothing where no command has loaded them."""
    names = (("duckdb", "Error"), ("pyarrow", "ArrowException"))
    return tuple(getattr(sys.modules[module], name) for module, name in names if module in sys.modules)


def _fail(message: str) -> int:
    """Print a message as one line, without the part of DuckDB's that points into the query."""
    kept: list[str] = []
    lines = iter(message.removeprefix("Invalid Input Error: ").splitlines())
    for line in lines:
        if re.match(r"LINE \d+: ", line):
            next(lines, None)  # the caret
        elif line.strip():
            kept.append(line.strip())
    print("maskl:", visible(" ".join(kept)), file=sys.stderr)
    return BAD_INPUT


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print_warning(str(message))


@app.callback(invoke_without_command=True)
def root(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Ask questions about logged images and segmentation masks."""
    if version:
        print("maskl", maskl.__version__)
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())


@_command()
def demo(
    directory: Annotated[Path, typer.Option("--dir", help="Where to make the demo's files.")] = Path("maskl-demo"),
) -> None:
    """Log two made-up models, compare them, and leave files to look at."""
    from maskl.cli._demo import run

    run(directory)


@_command()
def runs(
    directory: Directory = None, project: Project = None, run: Runs = None, as_json: Json = False, as_csv: Csv = False
) -> None:
    """List the runs, in order of start."""
    from maskl.cli._output import listed, print_result

    form = output_form(as_json, as_csv)
    store = maskl.open(directory, project, run)
    tables = store.tables()
    rows = [
        (
            info.run_id,
            info.name,
            info.project,
            info.state,
            None if info.started is None else datetime.fromisoformat(info.started),
            [table.name for table in tables if info.run_id in table.runs],
        )
        for info in store.runs()
    ]
    print_result(listed(("run_id", "name", "project", "state", "started", "tables"), rows, form), form)


@_command()
def tables(
    directory: Directory = None, project: Project = None, run: Runs = None, as_json: Json = False, as_csv: Csv = False
) -> None:
    """List the logged tables, with their rows, runs and columns."""
    from maskl.cli._output import listed, print_result

    form = output_form(as_json, as_csv)
    store = maskl.open(directory, project, run)
    rows = [(info.name, info.rows, list(info.runs), list(info.columns)) for info in store.tables()]
    print_result(listed(("name", "rows", "runs", "columns"), rows, form), form)


@app.command(cls=SqlCommand)
def sql(
    query: Annotated[
        str | None, typer.Argument(help="One SELECT, or - to read it from standard input.", show_default=False)
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(
            "-p", "--param", metavar="NAME VALUE", help="The value of $name in the query. Repeatable; numbers are read."
        ),
    ] = None,
    print_setup: Annotated[
        bool,
        typer.Option("--print-setup", help="Print the SQL that makes the views and macros in any DuckDB, and exit."),
    ] = False,
    fail_if_rows: Annotated[
        bool, typer.Option("--fail-if-rows", help="Exit with 1 if the query returns any row: a gate for CI.")
    ] = False,
    timeout: Annotated[float | None, typer.Option("--timeout", help="Stop the query after so many seconds.")] = None,
    memory_limit: Annotated[
        str | None, typer.Option("--memory-limit", help="The memory that the query may take, such as 500MB.")
    ] = None,
    class_map: ClassMap = None,
    directory: Directory = None,
    project: Project = None,
    run: Runs = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Run one SELECT over the store and print what it returns."""
    from maskl.cli._output import fetch, print_result
    from maskl.reading.metrics import warn_left_out

    form = output_form(as_json, as_csv)
    store = maskl.open(directory, project, run)
    names = read_class_map(class_map)
    if print_setup:
        exact(sys.stdout).write(store.setup_sql(names))
        return
    if query is None:
        raise InvalidValue('sql needs a query, such as "FROM runs", or - to read it from standard input')
    text = sys.stdin.read() if query == "-" else query
    parameters = parse_parameters(param or ())
    answer = store.sql(text, parameters, class_map=names, timeout=timeout, memory_limit=memory_limit)
    result = fetch(answer)
    columns = result.columns
    warn_left_out(None, columns, lambda name: [row[columns.index(name)] for row in result.rows])
    print_result(result, form)
    if fail_if_rows and result.rows:
        raise typer.Exit(FOUND_ROWS)


_command()(view)
_command()(artifacts)
_command()(evaluate.coverage)
_command()(evaluate.metrics)
_command()(evaluate.worst)
_command()(evaluate.compare)
_command()(score)
_command()(scalars.history)
_command()(scalars.config)
_command()(export.export)
_command("import")(import_)
_command()(upkeep.verify)
_command()(upkeep.recover)
_command()(upkeep.compact)
_command()(upkeep.delete)
