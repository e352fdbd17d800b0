"""Printing of what a query returned: tables and bars for people, JSON and CSV for programs.

Everything but warnings goes to standard output. Bytes are never printed: a mask is ``<mask 480×360 uint8>``,
anything else ``<N bytes>``.
"""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from maskl.interchange.terminal import exact
from maskl_storage.errors import CorruptData, MasklError
from maskl_storage.format.document import parse_json
from maskl_storage.format.visible import visible

if TYPE_CHECKING:
    import duckdb

__all__ = ["Result", "fetch", "listed", "print_object", "print_result", "print_results", "print_warning"]

#: rows that are laid out as a table; to measure more takes longer than anybody reads
MAX_ROWS: Final = 1000
IMAGE_FIELDS: Final = {"digest", "format", "mode", "width", "height", "caption", "path"}


def print_warning(text: str) -> None:
    """Print a warning as one line on standard error, whatever is being printed elsewhere."""
    print("maskl: warning:", visible(" ".join(text.split())), file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class Result:
    """Rows to print, none of whose cells holds bytes."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]


def fetch(relation: duckdb.DuckDBPyRelation) -> Result:
    """Fetch all rows of a relation, with bytes described instead of kept and JSON parsed.

    Raises
    ------
    duckdb.Error
        The query failed on the data.
    """
    parsed = [str(kind) == "JSON" for kind in relation.types]
    rows = [
        tuple(_parse(cell) if is_json else _plain(cell) for cell, is_json in zip(row, parsed, strict=True))
        for row in relation.fetchall()
    ]
    return Result(tuple(relation.columns), rows)


def listed(columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]], form: str) -> Result:
    """Return rows to print; in a table, lists are words and not JSON."""
    if form == "table":
        rows = [tuple(", ".join(cell) if isinstance(cell, list) else cell for cell in row) for row in rows]
    return Result(columns, rows)


def print_result(result: Result, form: str = "table") -> None:
    """Print rows as a ``table``, as ``json`` (an array of objects) or as ``csv``."""
    if form == "json":
        _print_json(result)
    elif form == "csv":
        writer = csv.writer(exact(sys.stdout), lineterminator="\n")
        writer.writerow(result.columns)
        writer.writerows([_full(cell) for cell in row] for row in result.rows)
    elif not result.rows:
        sys.stdout.write("  ".join(map(visible, result.columns)) + "\n(no rows)\n")
    else:
        _print_table(Result(result.columns, result.rows[:MAX_ROWS]))
        if len(result.rows) > MAX_ROWS:
            sys.stdout.write(f"… and {len(result.rows) - MAX_ROWS:,} more rows: --csv or --json prints all\n")


# --- values -------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    """Replace bytes by what they are, at any depth; keys become text."""
    if isinstance(value, bytes | bytearray | memoryview):
        return _describe(bytes(value))
    if isinstance(value, dict):
        return {key if isinstance(key, str) else _full(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def print_results(results: Mapping[str, Result], form: str) -> None:
    """Print several results: as one ``json`` object of arrays, or as one ``csv`` whose first column names them."""
    if form == "json":
        body = {
            name: [
                {column: _json(cell) for column, cell in zip(result.columns, row, strict=True)} for row in result.rows
            ]
            for name, result in results.items()
        }
        exact(sys.stdout).write(json.dumps(body, ensure_ascii=False, indent=1) + "\n")
        return
    columns = list(dict.fromkeys(name for result in results.values() for name in result.columns))
    writer = csv.writer(exact(sys.stdout), lineterminator="\n")
    writer.writerow(["of", *columns])
    for name, result in results.items():
        for row in result.rows:
            cells = dict(zip(result.columns, row, strict=True))
            writer.writerow([name, *(_full(cells.get(column)) for column in columns)])


def _describe(data: bytes) -> str:
    from maskl_storage.masks.codec import MAGIC, mask_info

    if data.startswith(MAGIC):
        try:
            info = mask_info(data)
        except MasklError:
            return f"<{len(data)} bytes>"
        return f"<mask {info.shape[1]}×{info.shape[0]} {info.dtype}>"
    return f"<{len(data)} bytes>"


def _parse(value: Any) -> Any:
    """Return what JSON text holds; text that no JSON can be read from is itself."""
    if not isinstance(value, str):
        return _plain(value)
    try:
        return parse_json(value, "JSON")
    except CorruptData:
        return value


def _json(value: Any) -> Any:
    """Return what JSON can hold; it has no NaN and no infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_json(item) for item in value]
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value if value is None or isinstance(value, bool | int | str) else _full(value)


def _full(value: Any) -> str:
    """Return a value as text that loses nothing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, dict | list):
        return json.dumps(_json(value), ensure_ascii=False)
    return str(value)


def _short(value: Any) -> str:
    """Return a value as text for a table's cell: floats of four digits, times of seconds."""
    if isinstance(value, float) and math.isfinite(value):
        if 1e4 <= abs(value) < 1e15:
            return f"{value:.0f}"
        return f"{value:#.4g}".rstrip(".")
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, dict) and value.keys() == IMAGE_FIELDS:
        size = f" {value['width']}×{value['height']}" if value["width"] is not None else ""
        kind = "".join(f" {value[key]}" for key in ("mode", "format") if value[key] is not None)
        return f"<image{size}{kind}>" if value["digest"] is not None else f"<image {value['path']}>"
    return visible(_full(value))


# --- output -------------------------------------------------------------------------------------


def print_object(body: Mapping[str, Any]) -> None:
    """Print an object of JSON, in one line."""
    exact(sys.stdout).write(json.dumps(body, ensure_ascii=False) + "\n")


def _print_json(result: Result) -> None:
    lines = (
        json.dumps({name: _json(cell) for name, cell in zip(result.columns, row, strict=True)}, ensure_ascii=False)
        for row in result.rows
    )
    out = exact(sys.stdout)
    separator = "["
    for line in lines:
        out.write(f"{separator}\n{line}")
        separator = ","
    out.write("\n]\n" if result.rows else "[]\n")


def _print_table(result: Result) -> None:
    from maskl.cli._layout import print_table

    cells = [[None if cell is None else _short(cell) for cell in row] for row in result.rows]
    numbers = [_is_number(values) for values in zip(*result.rows, strict=True)]
    print_table([visible(name) for name in result.columns], cells, numbers)


def _is_number(values: Iterable[Any]) -> bool:
    known = [value for value in values if value is not None]
    return bool(known) and all(isinstance(v, int | float | Decimal) and not isinstance(v, bool) for v in known)
