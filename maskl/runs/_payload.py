"""What a call of ``log()`` holds: tables, and scalars under the path of their keys."""

from __future__ import annotations

import json
import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

from maskl.adapters.objects import as_value, is_figure, is_frame, is_ours, logged_alone
from maskl.adapters.values import as_json, as_key, as_mapping
from maskl.images.image import Image
from maskl.media.media import Media
from maskl.plot.charts import CustomChart
from maskl.tables.histogram import Histogram
from maskl.tables.inference import INT64, known
from maskl.tables.joined import JoinedTable
from maskl.tables.table import Table
from maskl_storage.errors import ConversionWarning, InvalidType, InvalidValue, prefixed, warn
from maskl_storage.format.json_values import JsonText, dump_text
from maskl_storage.format.names import check_name, check_text

__all__ = ["Logged", "parse_step", "sort_out"]

Kind = TypeVar("Kind")
Path = tuple[str, ...]
Scalar = bool | int | float | str
Parts = list[Any] | dict[str, Any]


@dataclass(slots=True)
class Logged:
    """What one call logs, by the name that it is stored under.

    ``paths`` has the keys that led to a scalar, ``parts`` the list or dict that a scalar is the text of, ``media`` the
    kept media that scalars name.
    """

    tables: dict[str, Table] = field(default_factory=dict)
    scalars: dict[str, Scalar] = field(default_factory=dict)
    paths: dict[str, Path] = field(default_factory=dict)
    parts: dict[str, Parts] = field(default_factory=dict)
    media: list[tuple[str, Media]] = field(default_factory=list)


def sort_out(data: Mapping[str, Any]) -> Logged:
    """Split what is logged into tables and scalars, checking everything before anything is stored."""
    logged = Logged()
    images: dict[str, Sequence[Image]] = {}
    names: set[str] = set()
    for path, value in _flat(data):
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
        elif (media := _several(value, Media, "kept media")) is not None:
            logged.media += [(name, item) for item in media]
            logged.scalars[name], logged.paths[name] = JsonText(dump_text(value)), path
        elif (pictures := _several(value, Image, "images")) is not None:
            images[check_name(name, "table name")] = pictures
        elif (found := _value(name, value)) is not None:
            if isinstance(found, list | dict):
                logged.parts[name] = found
                found = json.dumps(found)
            logged.scalars[name] = found
            logged.paths[name] = path
    for name, items in images.items():
        logged.tables[name] = Table(["image", "index"], [(image, index) for index, image in enumerate(items)])
    return logged


def _flat(data: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
    for key, value in data.items():
        if not isinstance(key, str) or not key:
            raise InvalidType(f"a logged value needs a name, a string that is not empty; got {key!r:.60}")
        yield from _inside((check_text(key, "a logged value's name"),), value)


def _inside(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    """Yield a value, or those that are inside of it: of a dict, a dataclass, or a list of tables."""
    inner = as_mapping(value)
    if inner is None and isinstance(value, list | tuple) and any(isinstance(item, Table) for item in value):
        inner = dict(enumerate(value))
    if inner is None:
        yield path, value
        return
    for key, item in inner.items():
        if not (name := as_key(key, f"{'/'.join(path)!r}")):
            raise InvalidType(f"a value in {'/'.join(path)!r} needs a name that is not empty")
        yield from _inside((*path, name), item)


def _table(name: str, frame: Any) -> Table:
    try:
        return Table(dataframe=frame)
    except (InvalidType, InvalidValue) as error:
        raise prefixed(error, repr(name)) from error


def _several(value: Any, kind: type[Kind], what: str) -> Sequence[Kind] | None:
    """Return the images or the like that a value is or holds; None where it is something else."""
    if isinstance(value, kind):
        return [value]
    if not isinstance(value, list | tuple) or not any(isinstance(item, kind) for item in value):
        return None
    for index, item in enumerate(value):
        if not isinstance(item, kind):
            raise InvalidValue(f"a list of {what} must hold nothing else; item {index} is a {type(item).__name__}")
    return value


def _value(name: str, value: Any) -> Scalar | Parts | None:
    """Return a value as the history and the summary have it."""
    if isinstance(value, Histogram):
        return JsonText(dump_text(value))
    found = as_json(value, f"column {name!r}", _refuse, enums="value")
    if isinstance(found, int) and not isinstance(found, bool) and not INT64[0] <= found <= INT64[1]:
        return _rounded(name, found)
    kept: Scalar | Parts | None = found
    return kept


def _rounded(name: str, value: int) -> float | str:
    """Return an integer that has more than 64 bits as a float, or as text where it is none."""
    try:
        kept: float | str = float(value)
    except OverflowError:
        kept = str(value)
    if kept != value:
        warn(f"{name!r}: {value} is outside signed 64 bits, and is stored as {kept!r:.60}", ConversionWarning)
    return kept


def _refuse(value: Any, what: str) -> NoReturn:
    if is_frame(value) or is_figure(value):
        instead = logged_alone(value)
    elif is_ours(value):
        instead = "images and kept media are logged by themselves or in lists of them, masks and boxes with their image"
    else:
        kinds = "an Image, a Table, kept media such as Html, a number, a string, a datetime, a list, a dict or an array"
        instead = f"what is logged is {kinds}"
    raise InvalidType(f"{what} cannot hold a {type(value).__name__}: {instead}")


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
