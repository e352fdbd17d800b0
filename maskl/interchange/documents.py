"""Documents of JSON in a source: read within bounds, and what they say of classes and of types of values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from maskl.annotations.classes import Classes
from maskl.interchange.source_files import SourceFile
from maskl.interchange.untrusted import MAX_LINE, read_document
from maskl_storage.errors import CorruptData, InvalidType, InvalidValue, MasklError, prefixed
from maskl_storage.format.document import is_count
from maskl_storage.format.json_values import load_text
from maskl_storage.format.metadata import ClassItem, ClassSet, Column
from maskl_storage.masks.dtypes import DTYPES

__all__ = [
    "CLASSES",
    "CLASSES_KEY",
    "class_set",
    "parse_json",
    "parse_line",
    "parse_object",
    "read_classes",
    "read_json",
    "read_object",
    "read_value",
    "value_types",
]

#: where a source says what its classes are, and where they stand in it if it says more
CLASSES: Final = "classes.json"
CLASSES_KEY: Final = "classes"
#: what lists, arrays and columns of JSON may be of
VALUE_DTYPES: Final = (
    *(dtype.name for dtype in DTYPES.values()),
    *("float16", "float32", "float64", "string", "list", "dict", "anything"),
)
MAX_DIMENSIONS: Final = 32


def parse_json(data: bytes | str, where: object) -> Any:
    """Return what a JSON text holds.

    Raises
    ------
    CorruptData
        It is no JSON.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CorruptData(f"{where}: not JSON: {error}") from error


def parse_line(line: bytes | None) -> dict[str, Any]:
    """Return the JSON object of a line of :func:`read_lines`.

    Raises
    ------
    CorruptData
        It is none.
    InvalidValue
        It is too long.
    """
    if line is None:
        raise InvalidValue(f"the line has more than {MAX_LINE:,} bytes; lines of up to that are read")
    return parse_object(line, "the line")


def parse_object(data: bytes | str, where: object) -> dict[str, Any]:
    """Return the JSON object that a text holds, or raise CorruptData."""
    return _object(parse_json(data, where), where)


def _object(body: Any, where: object) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise CorruptData(f"{where}: an object is needed; got {type(body).__name__}")
    return body


def read_json(path: SourceFile | Path, most: int | None = None) -> Any:
    """Return what a JSON file holds; see :func:`maskl.interchange.untrusted.read_document`."""
    return parse_json(read_document(path, most), path)


def read_object(path: SourceFile | Path, most: int | None = None) -> dict[str, Any]:
    """Return the JSON object that a file holds; see :func:`read_json`."""
    return _object(read_json(path, most), path)


def read_value(text: str) -> Any:
    """Return the value of a JSON text in which maskl writes what JSON has no form for.

    Raises
    ------
    CorruptData
        Its parts do not make a value.
    """
    try:
        return load_text(text)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CorruptData(f"{text:.60} is no value that maskl wrote: {error!r}") from error


def value_types(columns: Mapping[str, Column], where: str) -> dict[str, Column]:
    """Return columns of values by their user's names, if what is said of their types can be.

    Raises
    ------
    CorruptData
        A dtype, number of dimensions or time zone that is none.
    """
    for name, column in columns.items():
        dtype, zone = column.dtype, column.timezone
        known = dtype is None or (isinstance(dtype, str) and dtype in VALUE_DTYPES)
        dimensions = column.ndim is None or (is_count(column.ndim) and column.ndim <= MAX_DIMENSIONS)
        if not known or not dimensions or not isinstance(zone, str | None):
            raise CorruptData(f"{where}: columns.{name}: a type of values is needed; got {column.to_json()!r:.120}")
    return {column.name: column for column in columns.values()}


def read_classes(path: SourceFile | Path) -> ClassSet:
    """Return the classes of a JSON file.

    It holds a list of classes, each with ``id``, ``name`` and perhaps ``color`` and ``ignore``; an object
    with such a list as ``classes``; or an object of names by id.

    Raises
    ------
    CorruptData, InvalidValue, InvalidType
        It is no JSON, or has another form; the message names the file.
    """
    body = read_json(path)
    if isinstance(body, dict) and CLASSES_KEY in body:
        body = body[CLASSES_KEY]
    elif isinstance(body, dict):
        body = [{"id": _number(path, key), "name": name} for key, name in body.items()]
    return class_set(body, path)


def class_set(body: Any, path: object) -> ClassSet:
    """Return the class set of a list of classes; those that are ignored need no name."""
    if not isinstance(body, list) or not all(isinstance(item, dict) for item in body):
        raise InvalidType(f"{path}: a list of objects like {{'id': 0, 'name': 'road'}} is needed; got {body!r:.60}")
    nameless = [item for item in body if "name" not in item and item.get("ignore") is True and "id" in item]
    try:
        # a name for the check alone
        named = Classes([{"name": "", **item} if item in nameless else item for item in body])
    except MasklError as error:
        raise prefixed(error, str(path)) from error
    unnamed = {item["id"] for item in nameless}
    items = [ClassItem(i.id, None if i.id in unnamed else i.name, i.color, i.ignore, i.isthing) for i in named]
    return ClassSet(sorted(items, key=lambda item: item.id))


def _number(path: object, key: str) -> int:
    try:
        return int(key)
    except ValueError as error:
        raise InvalidValue(f"{path}: an id is needed as key of a class's name; got {key!r:.60}") from error
