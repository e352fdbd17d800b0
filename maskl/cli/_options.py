"""What the commands of the command line have in common: their options, and how these are read."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from maskl_storage.errors import InvalidValue

__all__ = [
    "ClassMap",
    "Count",
    "Csv",
    "Directory",
    "Force",
    "Html",
    "Json",
    "Predictions",
    "Project",
    "Runs",
    "Step",
    "Truth",
    "check_step",
    "output_form",
    "parse_parameters",
    "read_class_map",
]

INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})")
FLOAT: Final = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?")

Directory = Annotated[
    Path | None,
    typer.Option("--dir", help="The store, or the directory that holds it. Default: $MASKL_DIR, else found upward."),
]
Project = Annotated[str | None, typer.Option("--project", help="See only the runs of this project.")]
Runs = Annotated[
    list[str] | None,
    typer.Option("--run", help="See only this run: its id, its name or the beginning of its id. Repeatable."),
]
Json = Annotated[bool, typer.Option("--json", help="Print a JSON array of objects.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV with a header.")]
ClassMap = Annotated[
    Path | None,
    typer.Option(
        "--class-map",
        metavar="FILE.json",
        help='Other names for classes, as JSON: {"car": "vehicle", "truck": "vehicle"} makes one class of two.',
    ),
]
Truth = Annotated[str, typer.Option("--truth", help="The key of the masks that are the truth.")]
Predictions = Annotated[str, typer.Option("--prediction", help="The key of the masks that are compared with it.")]
Step = Annotated[
    str, typer.Option("--step", help="each: every step by itself; last: each run's last; all: summed; or a number.")
]
Count = Annotated[int, typer.Option("-n", "--count", min=1, help="How many rows.")]
Html = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", help="Also write a page with the rows' images, masks and errors."),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite a page that exists.")]


def output_form(as_json: bool, as_csv: bool) -> str:
    """Return ``json``, ``csv`` or ``table``."""
    if as_json and as_csv:
        raise InvalidValue("--json and --csv exclude each other: name one")
    return "json" if as_json else "csv" if as_csv else "table"


def check_step(step: str) -> int | Literal["each", "last", "all"]:
    """Return a step that the SQL macros take, or raise what is wrong with it."""
    for word in ("each", "last", "all"):
        if step == word:
            return word
    if not INTEGER.fullmatch(step):
        raise InvalidValue(f"--step must be each, last, all or a whole number; got {step!r}")
    return int(step)


def parse_parameters(words: Sequence[str]) -> dict[str, int | float | str]:
    """Return the values of ``-p name=value``; what looks like a number is one."""
    parameters: dict[str, int | float | str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        name = name.removeprefix("$")
        if not equals or not name:
            raise InvalidValue(f"-p needs a name and a value, such as -p limit 10; got {word!r}")
        if name in parameters:
            raise InvalidValue(f"parameter {name!r} is given twice")
        parameters[name] = _number(value)
    return parameters


def read_class_map(path: Path | None) -> dict[str, str] | None:
    """Read a class map from a JSON file.

    Raises
    ------
    InvalidValue
        The file cannot be read, or is not JSON.
    InvalidType
        It holds anything but names of classes.
    """
    if path is None:
        return None
    from maskl_storage.query.views import check_class_map

    try:
        return check_class_map(json.loads(path.read_text("utf-8")))
    except OSError as error:
        raise InvalidValue(f"{os.fspath(path)}: the class map cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InvalidValue(f"{os.fspath(path)}: a class map is a JSON object of class names: {error}") from error


def _number(text: str) -> int | float | str:
    if INTEGER.fullmatch(text):
        return int(text)
    return float(text) if FLOAT.fullmatch(text) else text
