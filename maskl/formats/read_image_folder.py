"""Image folders: ``metadata.jsonl`` names the files of images and masks, ``classes.json`` says what the rest is."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from maskl.annotations.mask import ImageMask
from maskl.images.image import URL, Image
from maskl.interchange.blocking import Layout, blocks
from maskl.interchange.import_options import Options
from maskl.interchange.problems import Problems
from maskl.interchange.records import Record
from maskl.interchange.untrusted import (
    DTYPES,
    as_logged,
    inside,
    mask_of,
    read_classes,
    read_ids,
    read_image,
    read_json,
    read_value,
    value_types,
)
from maskl_storage.errors import CorruptData, InvalidValue, MasklError, UnsupportedVersion
from maskl_storage.format.document import is_count
from maskl_storage.format.metadata import ClassSet, Column, parse_metadata

__all__ = ["read", "sniff"]

METADATA: Final = "metadata.jsonl"
CLASSES: Final = "classes.json"
VERSION: Final = 1
END: Final = "_file_name"


def sniff(source: Path) -> bool:
    """Whether a source is a folder with ``metadata.jsonl``."""
    return (source / METADATA).is_file()


@dataclass(frozen=True, slots=True)
class _Mask:
    """A mask: its key, its class sets, and from which row on it has which of them and which dtype."""

    key: str
    sets: tuple[ClassSet, ...]
    rows: tuple[tuple[int, int, str], ...] = ()

    def of(self, row: int) -> tuple[ClassSet, str | None]:
        """Return the class set and dtype of a row's mask."""
        number, dtype = 0, None
        # few entries, and those of the first rows are the rule
        for first, set_number, name in self.rows:
            if first > row:
                break
            number, dtype = set_number, name
        return self.sets[number] if self.sets else ClassSet(), dtype


@dataclass(frozen=True, slots=True)
class _Notes:
    """What the columns of ``metadata.jsonl`` are."""

    table: str
    columns: list[str]
    images: dict[str, str]
    masks: dict[str, dict[str, _Mask]]
    values: dict[str, Column]
    captions: dict[str, str] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)


def read(source: Path, options: Options, problems: Problems) -> Iterator[Record]:
    """Yield the rows of an image folder.

    Without maskl's ``classes.json`` the first column that names files is the image, and the others that do,
    or those that ``options`` names, are its masks.
    """
    file = source / METADATA
    if not sniff(source):
        raise InvalidValue(f"{source} is no folder with {METADATA}")
    lines = file.read_bytes().split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    own = (source / CLASSES).is_file() and options.classes is None
    notes = _own_notes(source / CLASSES) if own else _guessed(file, lines, options)

    def row(number: int, line: bytes) -> list[Any]:
        try:
            body = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise CorruptData(f"not JSON: {error}") from error
        if not isinstance(body, dict):
            raise CorruptData(f"an object is needed; got {type(body).__name__}")
        cells: dict[str, Any] = {
            name: _image(source, notes, column, body, number) for column, name in notes.images.items()
        }
        for name, column in notes.values.items():
            cells[column.name] = _value(body.get(name), column)
        return [cells.get(name) for name in notes.columns]

    types = {column.name: column for column in notes.values.values()} if own else {}
    yield from blocks(Layout(notes.table, notes.columns, file, types), lines, row, problems)


def _image(source: Path, notes: _Notes, column: str, body: Mapping[str, Any], number: int) -> Image | None:
    caption, url = body.get(notes.captions.get(column, "")), body.get(notes.urls.get(column, ""))
    masks: dict[str, ImageMask] = {}
    for name, mask in notes.masks[column].items():
        if body.get(name) is not None:
            classes, dtype = mask.of(number)
            pixels = read_ids(inside(source, body[name]), classes)
            masks[mask.key] = mask_of(pixels if dtype is None else as_logged(pixels, dtype, name), mask.key, classes)
    if body.get(column) is not None:
        return read_image(inside(source, body[column]), caption, masks)
    if url is not None:
        if not isinstance(url, str) or not URL.match(url):
            raise InvalidValue(f"a URL is needed; got {url!r:.60}")
        return Image(url, caption=caption, masks=masks)
    if masks:
        raise InvalidValue(f"there is a mask and no image: {column} is missing")
    return None


def _value(value: Any, column: Column) -> Any:
    """Return a value as it was logged."""
    if value is None or column.type not in ("json", "array", "bytes", "timestamp"):
        return value
    if not isinstance(value, str):
        raise InvalidValue(f"{column.name}: text is needed for a value of type {column.type}; got {value!r:.60}")
    if column.type == "bytes":
        return b64decode(value, validate=True)
    if column.type == "timestamp":
        return datetime.fromisoformat(value)
    return read_value(value)


def _guessed(file: Path, lines: list[bytes], options: Options) -> _Notes:
    """Return what the columns seem to be, from the names in all lines."""
    names: dict[str, None] = {}
    for line in lines:
        try:
            body = json.loads(line)
        except (ValueError, RecursionError):
            continue  # reported with its row later
        names.update(dict.fromkeys(body if isinstance(body, dict) else ()))
    files = [name for name in names if name == END[1:] or name.endswith(END)]
    if not files:
        raise InvalidValue(f"{file}: no column names files: one that is, or ends in, 'file_name' is needed")
    classes = ClassSet() if options.classes is None else read_classes(Path(options.classes))
    called = {name: name.removesuffix(END[1:]).removesuffix("_") or "image" for name in files}
    unknown = [name for name in options.masks if name not in called.values()]
    if unknown:
        raise InvalidValue(
            f"{file}: no column of files is called {unknown[0]!r}; there are: {', '.join(called.values())}"
        )
    image = next((name for name in files if called[name] not in options.masks), files[0])
    masks = {
        name: _Mask(called[name], (classes,))
        for name in files
        if name != image and (not options.masks or called[name] in options.masks)
    }
    values = {name: Column("value", name) for name in names if name not in called}
    others = {name: called[name] for name in files if name not in (image, *masks)}
    columns = list(dict.fromkeys((called[image], *others.values(), *values)))
    return _Notes(
        "", columns, {image: called[image], **others}, {image: masks, **{name: {} for name in others}}, values
    )


def _own_notes(path: Path) -> _Notes:
    """Return what maskl's ``classes.json`` says, checked."""
    body = read_json(path)
    if not isinstance(body, dict) or "maskl" not in body:
        raise CorruptData(f"{path}: this is not maskl's {CLASSES}: take it as the file of classes with --classes")
    if not is_count(body["maskl"]) or body["maskl"] > VERSION:
        raise UnsupportedVersion(
            f"{path}: version {body['maskl']!r:.40}; this maskl reads up to {VERSION}: update maskl"
        )
    table, names = body.get("table", ""), body.get("columns")
    if not isinstance(table, str) or not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise CorruptData(f"{path}: table and columns must be names")
    columns = parse_metadata(json.dumps(body.get("metadata")), f"{path}: metadata")
    images = {name: column.name for name, column in columns.items() if column.kind == "image"}
    masks: dict[str, dict[str, _Mask]] = {name: {} for name in images}
    for name, column in columns.items():
        if column.kind == "mask":
            if column.image not in images:
                raise CorruptData(f"{path}: metadata: {name}: image: an image column is needed")
            masks[column.image][name] = _Mask(str(column.key), column.class_sets, _rows(path, body, name, column))
    values = {name: column for name, column in columns.items() if column.kind == "value"}
    value_types(values, f"{path}: metadata")
    if set(names) != {*images.values(), *(column.name for column in values.values())}:
        raise CorruptData(f"{path}: columns: the names that metadata has are needed; got {names!r:.80}")
    extra = [body.get(key, {}) for key in ("captions", "urls")]
    if not all(isinstance(some, dict) and all(isinstance(name, str) for name in some.values()) for some in extra):
        raise CorruptData(f"{path}: captions and urls must be objects of names")
    return _Notes(table, list(dict.fromkeys(names)), images, masks, values, *extra)


def _rows(path: Path, body: Mapping[str, Any], name: str, column: Column) -> tuple[tuple[int, int, str], ...]:
    try:
        rows = tuple((first, number, dtype) for first, number, dtype in body["rows"][name])
        for first, number, dtype in rows:
            if not is_count(first) or not is_count(number) or number >= len(column.class_sets):
                raise InvalidValue(f"{first!r}, {number!r}")
            if dtype.removeprefix(">") not in DTYPES:
                raise InvalidValue(f"{dtype!r}")
    except (KeyError, TypeError, ValueError, AttributeError, MasklError) as error:
        raise CorruptData(f"{path}: rows: {name}: lists of row, class set and dtype are needed: {error}") from error
    return rows
