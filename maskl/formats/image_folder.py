"""Folders that ``datasets`` reads as an image folder: ``images/``, ``masks/`` and ``metadata.jsonl``.

A line of ``metadata.jsonl`` is a row. What ends in ``_file_name`` there names a file; masks are PNGs whose
values are the class ids, with a palette of the classes' colours, or of 16 bits. ``classes.json``
says what the lines do not: class sets, dtypes and types of columns.
"""

from __future__ import annotations

import json
import os
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from maskl.annotations.mask import ImageMask
from maskl.images.image import URL, Image
from maskl.interchange.documents import CLASSES, parse_line, read_classes, read_json, read_value, value_types
from maskl.interchange.format import Format
from maskl.interchange.notes import Notes
from maskl.interchange.options import Dropped, ExportOptions, ImportOptions
from maskl.interchange.pictures import Palettes, classes_of, dtype_name, picture, save_ids, value_columns
from maskl.interchange.problems import Problems
from maskl.interchange.records import IMAGE, MAX_COLUMNS, Layout, Record, blocks
from maskl.interchange.selection import Selection
from maskl.interchange.source_files import SourceFile, beside, has_file, inside
from maskl.interchange.untrusted import mask_of, read_ids, read_image, read_lines
from maskl_storage.errors import CorruptData, InvalidValue, MasklError, UnsupportedVersion
from maskl_storage.format.document import is_count
from maskl_storage.format.json_values import dump_text
from maskl_storage.format.metadata import ClassSet, Column
from maskl_storage.format.names import file_name
from maskl_storage.masks.codec import decode
from maskl_storage.masks.png import NAMED, as_logged
from maskl_storage.read.table import StoredImage

__all__ = ["FORMAT", "METADATA", "VERSION", "read", "sniff", "write"]

METADATA: Final = "metadata.jsonl"
#: the key that says that maskl wrote ``classes.json``, and the version that readers know
OWN: Final = "maskl"
VERSION: Final = 1
#: what it holds beside the notes: columns of captions and URLs of images, and the masks' class sets and dtypes by row
CAPTIONS: Final = "captions"
URLS: Final = "urls"
ROWS: Final = "rows"
#: what a column of files ends in, or is called; and one of lists of files, which a reader opens too
FILE: Final = "file_name"
FILES: Final = "file_names"
END: Final = f"_{FILE}"


# --- writing ------------------------------------------------------------------------------------


@dataclass
class _MaskColumn:
    """A mask's folder and column, and the class sets of its rows."""

    key: str
    folder: str
    column: str
    sets: list[ClassSet] = field(default_factory=list)
    #: from which row on masks have which class set and dtype
    rows: list[tuple[int, int, str]] = field(default_factory=list)

    def note(self, row: int, classes: ClassSet, dtype: str) -> None:
        if classes not in self.sets:
            self.sets.append(classes)
        now = (self.sets.index(classes), dtype)
        if not self.rows or self.rows[-1][1:] != now:
            self.rows.append((row, *now))


@dataclass
class _ImageColumn:
    """An image column: its folder, and the columns that it becomes."""

    name: str
    folder: str
    column: str
    caption: str
    url: str
    masks: list[_MaskColumn]


def write(selection: Selection, folder: Path, options: ExportOptions, tick: Callable[[int], None]) -> Dropped:
    """Write images, masks and metadata into an empty folder."""
    return _Folder(selection, folder).write(tick)


class _Folder:
    """An export in the making."""

    def __init__(self, selection: Selection, folder: Path) -> None:
        self.selection, self.folder = selection, folder
        self.dropped = Dropped()
        self.palettes = Palettes()
        self.taken: set[str] = set()
        self.values = value_columns(selection)
        self.names = {name: self._name(name) for name in self.values}
        self.images = self._images()
        #: columns that are left out where nothing stands in them
        self.optional = {column for image in self.images for column in (image.caption, image.url)}

    def write(self, tick: Callable[[int], None]) -> Dropped:
        if not self.images:
            raise InvalidValue("png holds images with masks; there is no image column among those to export")
        waiting = self.folder / f"{METADATA}.tmp"
        used: set[str] = set()
        with waiting.open("w", encoding="utf-8", newline="\n") as file:
            for number, row in enumerate(self.selection.rows):
                line = self._line(number, row)
                used |= {name for name in self.optional if line[name] is not None}
                file.write(f"{json.dumps(line, ensure_ascii=False)}\n")
                tick(1)
        self._write_lines(waiting, self.optional - used)
        self._write_classes(used)
        return self.dropped

    def _name(self, wanted: str, *, file: bool = False) -> str:
        """Return a name that no other column has, nor one that a column of files becomes when it is read."""
        name, number = wanted, 0
        while {name, f"{name}{END}" if file else name} & self.taken or (not file and name.endswith((FILE, FILES))):
            number += 1
            name = f"{wanted}_{number}"
        self.taken |= {name, f"{name}{END}"} if file else {name}
        return f"{name}{END}" if file else name

    def _images(self) -> list[_ImageColumn]:
        names = list(dict.fromkeys(column.name for column in self.selection.columns if column.kind == "image"))
        keys = [(name, key) for name in names for key in self.selection.mask_keys(name)]
        images = []
        for name in names:
            folder = "images" if len(names) == 1 else f"images/{file_name(name)}"
            masks = []
            column = self._name(name, file=True)
            for key in self.selection.mask_keys(name):
                own = f"{name}__mask__{key}"
                place = "masks" if len(keys) == 1 else f"masks/{file_name(key if len(names) == 1 else own)}"
                masks.append(_MaskColumn(key, place, self._name(own, file=True)))
            images.append(
                _ImageColumn(name, folder, column, self._name(f"{name}_caption"), self._name(f"{name}_url"), masks)
            )
        return images

    def _line(self, number: int, row: Mapping[str, Any]) -> dict[str, Any]:
        """Write the files of a row, and return its line."""
        line: dict[str, Any] = {}
        for image in self.images:
            cell = row.get(image.name)
            line[image.column] = None if cell is None else self._picture(number, image, cell)
            line[image.caption] = None if cell is None else cell.caption
            line[image.url] = cell.path if cell is not None and cell.digest is None else None
            for mask in image.masks:
                line[mask.column] = None if cell is None else self._mask(number, mask, cell)
            for key in () if cell is None else cell.boxes:
                self.dropped[f"boxes {key!r} of {image.name!r}"] += 1
        for name, column in self.values.items():
            line[self.names[name]] = _plain(row.get(name), column)
        return line

    def _picture(self, number: int, image: _ImageColumn, cell: StoredImage) -> str | None:
        if cell.digest is None:
            return None
        data, ending = picture(self.selection, cell)
        return self._write(f"{image.folder}/{number:07d}.{ending}", data)

    def _write(self, name: str, data: bytes) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return name

    def _mask(self, number: int, mask: _MaskColumn, cell: StoredImage) -> str | None:
        if mask.key not in cell.masks:
            return None
        data, classes = cell.masks[mask.key]
        pixels = decode(data)
        segments = cell.segments.get(mask.key)
        if segments is not None:
            self.dropped[f"segments of mask {mask.key!r}"] += 1
            pixels = classes_of(pixels, segments)
        name = f"{mask.folder}/{number:07d}.png"
        if not save_ids(self.folder / name, pixels, self.palettes.of(classes)):
            self.dropped[f"masks {mask.key!r} with ids outside 0–65535"] += 1
            return None
        mask.note(number, classes, dtype_name(pixels))
        return name

    def _write_lines(self, waiting: Path, empty: set[str]) -> None:
        """Write the lines again without the columns in which nothing stands."""
        if not empty:
            os.replace(waiting, self.folder / METADATA)
            return
        with (
            waiting.open(encoding="utf-8", newline="\n") as lines,
            (self.folder / METADATA).open("w", encoding="utf-8", newline="\n") as file,
        ):
            for text in lines:
                line = {name: value for name, value in json.loads(text).items() if name not in empty}
                file.write(f"{json.dumps(line, ensure_ascii=False)}\n")
        waiting.unlink()

    def _write_classes(self, used: set[str]) -> None:
        columns: dict[str, Column] = {self.names[name]: column for name, column in self.values.items()}
        extra: dict[str, Any] = {CAPTIONS: {}, URLS: {}, ROWS: {}}
        for image in self.images:
            columns[image.column] = Column("image", image.name)
            extra[CAPTIONS] |= {image.column: image.caption} if image.caption in used else {}
            extra[URLS] |= {image.column: image.url} if image.url in used else {}
            for mask in image.masks:
                sets = tuple(mask.sets)
                columns[mask.column] = Column("mask", image.name, image=image.column, key=mask.key, class_sets=sets)
                extra[ROWS][mask.column] = mask.rows
        body = {OWN: VERSION, **Notes.of(self.selection, columns).to_json(), **extra}
        text = json.dumps(body, ensure_ascii=False, indent=1)
        (self.folder / CLASSES).write_text(f"{text}\n", "utf-8", newline="\n")


def _plain(value: Any, column: Column) -> Any:
    """Return a value as JSON has it, of one type in all lines."""
    if value is None:
        return None
    if column.type in ("json", "array"):
        return dump_text(value)
    if column.type == "float":
        return float(value)
    if column.type == "bytes":
        return b64encode(value).decode("ascii")
    if column.type == "timestamp":
        return str(value.isoformat())
    return value


# --- reading ------------------------------------------------------------------------------------


def sniff(source: Path) -> bool:
    """Whether a source is a folder with ``metadata.jsonl``."""
    return has_file(source, METADATA)


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
class _Columns:
    """What the columns of ``metadata.jsonl`` are."""

    table: str
    columns: list[str]
    images: dict[str, str]
    masks: dict[str, dict[str, _Mask]]
    values: dict[str, Column]
    captions: dict[str, str] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)


def read(source: Path, options: ImportOptions, problems: Problems) -> Iterator[Record]:
    """Yield the rows of an image folder.

    Without maskl's ``classes.json`` the first column that names files is the image, and the others that do,
    or those that ``options`` names, are its masks.
    """
    links = options.follow_links
    file = beside(source, METADATA, links=links)
    if file is None:
        raise InvalidValue(f"{source} is no folder with {METADATA}")
    own = beside(source, CLASSES, links=links) if options.classes is None else None
    if own is not None and options.masks:
        raise InvalidValue(
            f"{own} says itself what masks are: leave masks (--mask) out, or name a file of classes in its place "
            f"with classes (--classes)"
        )
    said = _guessed(file, options) if own is None else _own_notes(own)

    def row(number: int, line: bytes | None) -> list[Any]:
        body = parse_line(line)
        cells: dict[str, Any] = {
            name: _image(source, said, column, body, number, links) for column, name in said.images.items()
        }
        for name, column in said.values.items():
            cells[column.name] = _value(body.get(name), column)
        return [cells.get(name) for name in said.columns]

    types = {} if own is None else {column.name: column for column in said.values.values()}
    yield from blocks(Layout(said.table, said.columns, file, types), read_lines(file), row, problems)


def _image(
    source: Path, said: _Columns, column: str, body: Mapping[str, Any], number: int, links: bool
) -> Image | None:
    caption, url = body.get(said.captions.get(column, "")), body.get(said.urls.get(column, ""))
    masks: dict[str, ImageMask] = {}
    for name, mask in said.masks[column].items():
        if body.get(name) is not None:
            classes, dtype = mask.of(number)
            pixels = read_ids(inside(source, body[name], links=links), classes)
            masks[mask.key] = mask_of(pixels if dtype is None else as_logged(pixels, dtype, name), mask.key, classes)
    if body.get(column) is not None:
        return read_image(inside(source, body[column], links=links), caption, masks)
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


def _guessed(file: SourceFile, options: ImportOptions) -> _Columns:
    """Return what the columns seem to be, from the names in all lines."""
    names: dict[str, None] = {}
    for line in read_lines(file):
        with suppress(MasklError):  # reported with its row later
            names.update(dict.fromkeys(parse_line(line)))
        if len(names) > MAX_COLUMNS:
            raise InvalidValue(f"{file}: more than {MAX_COLUMNS:,} columns; tables of up to that are read")
    files = [name for name in names if name == FILE or name.endswith(END)]
    if not files:
        raise InvalidValue(f"{file}: no column names files: one that is, or ends in, {FILE!r} is needed")
    classes = ClassSet() if options.classes is None else read_classes(options.classes)
    called = {name: name.removesuffix(FILE).removesuffix("_") or IMAGE for name in files}
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
    if options.classes is not None and not masks:
        raise InvalidValue(f"{file}: classes (--classes) are those of masks, and no column of files is one")
    values = {name: Column("value", name) for name in names if name not in called}
    others = {name: called[name] for name in files if name not in (image, *masks)}
    columns = list(dict.fromkeys((called[image], *others.values(), *values)))
    return _Columns(
        "", columns, {image: called[image], **others}, {image: masks, **{name: {} for name in others}}, values
    )


def _own_notes(path: SourceFile) -> _Columns:
    """Return what maskl's ``classes.json`` says, checked."""
    body = read_json(path)
    if not isinstance(body, dict) or OWN not in body:
        raise CorruptData(f"{path}: this is not maskl's {CLASSES}: take it as the file of classes with --classes")
    if not is_count(body[OWN]) or body[OWN] > VERSION:
        raise UnsupportedVersion(f"{path}: version {body[OWN]!r:.40}; this maskl reads up to {VERSION}: update maskl")
    notes = Notes.parse(body, f"{path}: ")
    columns, names = notes.columns, notes.names
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
    extra = [body.get(key, {}) for key in (CAPTIONS, URLS)]
    if not all(isinstance(some, dict) and all(isinstance(name, str) for name in some.values()) for some in extra):
        raise CorruptData(f"{path}: {CAPTIONS} and {URLS} must be objects of names")
    return _Columns(notes.table, list(dict.fromkeys(names)), images, masks, values, *extra)


def _rows(path: SourceFile, body: Mapping[str, Any], name: str, column: Column) -> tuple[tuple[int, int, str], ...]:
    try:
        rows = tuple((first, number, dtype) for first, number, dtype in body[ROWS][name])
        for first, number, dtype in rows:
            if not is_count(first) or not is_count(number) or number >= len(column.class_sets):
                raise InvalidValue(f"{first!r}, {number!r}")
            if dtype not in NAMED:
                raise InvalidValue(f"{dtype!r}")
    except (KeyError, TypeError, ValueError, AttributeError, MasklError) as error:
        raise CorruptData(f"{path}: {ROWS}: {name}: lists of row, class set and dtype are needed: {error}") from error
    return rows


FORMAT: Final = Format("png", read=read, write=write, sniff=sniff, heeds=("masks", "classes", "follow_links"))
