"""What a call of ``log()`` holds: tables, and scalars under the path of their keys."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from maskl.adapters.objects import as_value, is_frame
from maskl.images.image import Image
from maskl.plot.charts import CustomChart
from maskl.tables.histogram import Histogram
from maskl.tables.inference import INT64, known, parse_cell
from maskl.tables.joined import JoinedTable
from maskl.tables.table import Table
from maskl_storage.errors import InvalidType, InvalidValue, prefixed
from maskl_storage.format.json_values import JsonText, dump_text
from maskl_storage.format.names import check_name, check_text

__all__ = ["Logged", "parse_step", "sort_out"]

Path = tuple[str, ...]
Scalar = bool | int | float | str


@dataclass(slots=True)
class Logged:
    """What one call logs, by the name that it is stored under; ``paths`` has the keys that led to a scalar."""

    tables: dict[str, Table] = field(default_factory=dict)
    scalars: dict[str, Scalar] = field(default_factory=dict)
    paths: dict[str, Path] = field(default_factory=dict)


def sort_out(data: Mapping[str, Any]) -> Logged:
    """Split what is logged into tables and scalars, checking everything before anything is stored."""
    logged = Logged()
    images: dict[str, Sequence[Image]] = {}
    names: set[str] = set()
    for path, value in _flat(data, ()):
        name = path[0] if len(path) == 1 else "/".join(path)
        if name in names:
            raise InvalidValue(f"{name!r} is logged twice in one call: once as it is and once in a nested dict")
        names.add(name)
        value = known(name, value)
        if isinstance(value, CustomChart):
            table = check_name(value.table_name(name), "table name")
            if table in names or table in data:
                raise InvalidValue(f"{table!r} is logged twice in one call: once as the table of chart {name!r}")
            names.add(table)
            logged.tables[table] = value.table
            logged.scalars[name], logged.paths[name] = JsonText(dump_text(value.described(name))), path
        elif isinstance(value, Table | JoinedTable):
            logged.tables[check_name(name, "table name")] = value if isinstance(value, Table) else value.table()
        elif is_frame(value):
            logged.tables[check_name(name, "table name")] = _table(name, value)
        elif (found := _images(value)) is not None:
            images[check_name(name, "table name")] = found
        elif (scalar := _scalar(name, value)) is not None:
            logged.scalars[name] = scalar
            logged.paths[name] = path
    for name, items in images.items():
        logged.tables[name] = Table(["image", "index"], [(image, index) for index, image in enumerate(items)])
    return logged


def _flat(data: Mapping[str, Any], above: Path) -> Iterator[tuple[Path, Any]]:
    for key, value in data.items():
        if not isinstance(key, str) or not key:
            raise InvalidType(f"a logged value needs a name, a string that is not empty; got {key!r:.60}")
        path = (*above, check_text(key, "a logged value's name"))
        if isinstance(value, Mapping):
            yield from _flat(value, path)
        else:
            yield path, value


def _table(name: str, frame: Any) -> Table:
    try:
        return Table(dataframe=frame)
    except (InvalidType, InvalidValue) as error:
        raise prefixed(error, repr(name)) from error


def _images(value: Any) -> Sequence[Image] | None:
    """Return the images that a value is or holds; None where it is something else."""
    if isinstance(value, Image):
        return [value]
    if not isinstance(value, list | tuple) or not any(isinstance(item, Image) for item in value):
        return None
    for index, item in enumerate(value):
        if not isinstance(item, Image):
            raise InvalidValue(f"a list of images must hold nothing else; item {index} is a {type(item).__name__}")
    return value


def _scalar(name: str, value: Any) -> Scalar | None:
    if isinstance(value, np.floating):
        value = float(value)
    if isinstance(value, float) and math.isnan(value):
        return value  # a fact in a run's history, where a table's cell would be missing
    column, cell = parse_cell(name, value)
    if isinstance(value, Histogram):
        return JsonText(cell)
    if column.type in ("list", "array", "bytes", "timestamp"):
        return json.dumps(cell.tolist() if isinstance(cell, np.ndarray) else cell, default=str)
    scalar: Scalar | None = cell
    return scalar


def parse_step(step: Any) -> int | None:
    """Return a step as an int, or raise what is wrong with it."""
    if step is None:
        return None
    try:
        number = operator.index("" if isinstance(step, bool) else as_value(step))  # type: ignore[arg-type]  # what is no integer raises
    except TypeError as error:
        raise InvalidType(f"step must be a whole number; got {step!r:.60}") from error
    if not INT64[0] <= number <= INT64[1]:
        raise InvalidValue(f"step must be within signed 64 bits; got {step}")
    return number
