"""Folders that ``datasets`` reads as an image folder: ``images/``, ``masks/`` and ``metadata.jsonl``.

A line of ``metadata.jsonl`` is a row. What ends in ``_file_name`` there names a file; masks are PNGs whose
values are the class ids, with a palette of the classes' colours, or of 16 bits. ``classes.json``
says what the lines do not: class sets, dtypes and types of columns.
"""

from __future__ import annotations

import json
import os
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from maskl.interchange.options import Dropped, Options
from maskl.interchange.pictures import Palettes, dtype_name, notes, picture, save_ids, value_columns
from maskl.interchange.selection import Selection
from maskl_storage.errors import InvalidValue
from maskl_storage.format.json_values import dump_text
from maskl_storage.format.metadata import ClassSet, Column
from maskl_storage.format.names import encode_name
from maskl_storage.masks.codec import decode
from maskl_storage.read.table import StoredImage

__all__ = ["CLASSES", "METADATA", "VERSION", "write"]

METADATA: Final = "metadata.jsonl"
CLASSES: Final = "classes.json"
#: what readers of ``classes.json`` know
VERSION: Final = 1
#: what a column of files ends in, and of lists of files
ENDS: Final = ("file_name", "file_names")


@dataclass
class _Mask:
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
class _Image:
    """An image column: its folder, and the columns that it becomes."""

    name: str
    folder: str
    column: str
    caption: str
    url: str
    masks: list[_Mask]


def write(selection: Selection, folder: Path, options: Options, tick: Callable[[int], None]) -> Dropped:
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
        while {name, f"{name}_file_name" if file else name} & self.taken or (not file and name.endswith(ENDS)):
            number += 1
            name = f"{wanted}_{number}"
        self.taken |= {name, f"{name}_file_name"} if file else {name}
        return f"{name}_file_name" if file else name

    def _images(self) -> list[_Image]:
        names = list(dict.fromkeys(column.name for column in self.selection.columns if column.kind == "image"))
        keys = [(name, key) for name in names for key in self.selection.mask_keys(name)]
        images = []
        for name in names:
            folder = "images" if len(names) == 1 else f"images/{encode_name(name)}"
            masks = []
            column = self._name(name, file=True)
            for key in self.selection.mask_keys(name):
                own = f"{name}__mask__{key}"
                place = "masks" if len(keys) == 1 else f"masks/{encode_name(key if len(names) == 1 else own)}"
                masks.append(_Mask(key, place, self._name(own, file=True)))
            images.append(_Image(name, folder, column, self._name(f"{name}_caption"), self._name(f"{name}_url"), masks))
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

    def _picture(self, number: int, image: _Image, cell: StoredImage) -> str | None:
        if cell.digest is None:
            return None
        data, ending = picture(self.selection, cell)
        return self._write(f"{image.folder}/{number:07d}.{ending}", data)

    def _write(self, name: str, data: bytes) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return name

    def _mask(self, number: int, mask: _Mask, cell: StoredImage) -> str | None:
        if mask.key not in cell.masks:
            return None
        data, classes = cell.masks[mask.key]
        pixels = decode(data)
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
        extra: dict[str, Any] = {"captions": {}, "urls": {}, "rows": {}}
        for image in self.images:
            columns[image.column] = Column("image", image.name)
            extra["captions"] |= {image.column: image.caption} if image.caption in used else {}
            extra["urls"] |= {image.column: image.url} if image.url in used else {}
            for mask in image.masks:
                sets = tuple(mask.sets)
                columns[mask.column] = Column("mask", image.name, image=image.column, key=mask.key, class_sets=sets)
                extra["rows"][mask.column] = mask.rows
        body = {"maskl": VERSION, **notes(self.selection, columns), **extra}
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
