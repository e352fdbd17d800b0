"""What COCO's two forms have in common: the JSON file, its categories, and the images that it names."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from maskl.images.image import URL, Image
from maskl.interchange.import_options import Options
from maskl.interchange.problems import Problems
from maskl.interchange.untrusted import (
    as_logged,
    check_size,
    inside,
    mask_of,
    read_image,
    read_json,
    read_value,
    value_types,
)
from maskl_storage.errors import CorruptData, InvalidValue, MasklError, NotFound
from maskl_storage.format.document import is_count
from maskl_storage.format.metadata import INT32, ClassItem, ClassSet, Column, parse_metadata
from maskl_storage.format.names import check_text

__all__ = ["Coco", "Entry", "Pixels", "find_file"]

Pixels = npt.NDArray[Any]

#: where images are looked for, from the JSON file's folder
FOLDERS: Final = ("images", ".")
#: ids that pixels of no category get, the first one that is free
SPARE: Final = (0, 255)


def find_file(source: Path, name: str, key: str) -> Path | None:
    """Return the JSON file of a source: itself, or of a folder the one of this name, else its only one with ``key``."""
    if source.is_file():
        return source if source.suffix.lower() == ".json" and _begins_like(source, key) else None
    if (source / name).is_file():
        return source / name
    found = [path for path in sorted(source.glob("*.json")) if _begins_like(path, key)]
    return found[0] if len(found) == 1 else None


def _begins_like(path: Path, key: str) -> bool:
    """Whether a file has a key in its first or last part; it may be too large to be read for that."""
    with path.open("rb") as file:
        head = file.read(1 << 20)
        file.seek(max(0, path.stat().st_size - (1 << 20)))
        parts = head + file.read(1 << 20)
    return f'"{key}"'.encode() in parts and b'"images"' in parts


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of a COCO file with its annotations."""

    id: int | str
    body: Mapping[str, Any]
    annotations: Sequence[tuple[int, Mapping[str, Any]]]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width as the file has them.

        Raises
        ------
        InvalidValue
            It has none, or some that no picture has.
        """
        width, height = self.body.get("width"), self.body.get("height")
        if not is_count(width) or not is_count(height) or not width or not height:
            raise InvalidValue(
                f"image {self.id!r:.40} needs a width and a height; got {width!r:.40} and {height!r:.40}"
            )
        check_size(width, height, f"image {self.id!r:.40}")
        return height, width


@dataclass(eq=False)
class Coco:
    """A COCO file.

    Parameters
    ----------
    file : Path
        The JSON file.
    options : Options
        Where its images are, if not beside it.
    problems : Problems
        Takes what is wrong with single annotations.

    Raises
    ------
    CorruptData
        No JSON, or no COCO file.
    """

    file: Path
    options: Options
    problems: Problems
    classes: ClassSet = field(init=False)
    entries: list[Entry] = field(init=False)
    image: str = field(init=False)
    key: str = field(init=False)
    table: str = field(init=False)
    columns: list[str] = field(init=False)
    types: dict[str, Column] = field(init=False)

    def __post_init__(self) -> None:
        body = read_json(self.file)
        if not isinstance(body, dict):
            raise CorruptData(f"{self.file}: an object is needed; got {type(body).__name__}")
        for name in ("images", "annotations", "categories"):
            items = body.get(name)
            if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
                raise CorruptData(f"{self.file}: {name}: a list of objects is needed; got {items!r:.60}")
        self.classes = self._classes(body["categories"])
        self.ids = frozenset(item["id"] for item in body["categories"])
        self.entries = self._entries(body["images"], body["annotations"])
        self._read_notes(body.get("info"))

    def _classes(self, categories: Sequence[Mapping[str, Any]]) -> ClassSet:
        items: dict[int, ClassItem] = {}
        seen: set[int] = set()
        for index, category in enumerate(categories):
            number, name, color = category.get("id"), category.get("name"), category.get("color")
            where = f"{self.file}: categories[{index}]"
            if isinstance(number, bool) or not isinstance(number, int) or not INT32[0] <= number <= INT32[1]:
                raise CorruptData(f"{where}: id: an integer within signed 32 bits is needed; got {number!r:.40}")
            if number in seen:
                raise CorruptData(f"{where}: id {number} occurs twice")
            if not isinstance(name, str):
                raise CorruptData(f"{where}: name: a string is needed; got {name!r:.40}")
            seen.add(number)
            check_text(name, f"{where}: name")
            ignore = category.get("ignore") is True
            known = None if category.get("unnamed") is True else name
            if known is not None or ignore:
                items[number] = ClassItem(number, known, _color(color, category, where), ignore)
        return ClassSet(items[number] for number in sorted(items))

    def _entries(self, images: Sequence[Mapping[str, Any]], annotations: Sequence[Mapping[str, Any]]) -> list[Entry]:
        mine: dict[Any, list[tuple[int, Mapping[str, Any]]]] = {}
        for index, image in enumerate(images):
            number = image.get("id")
            if isinstance(number, bool) or not isinstance(number, int | str):
                raise CorruptData(f"{self.file}: images[{index}]: id: a number or string is needed; got {number!r:.40}")
            if number in mine:
                raise CorruptData(f"{self.file}: images[{index}]: id {number!r:.40} occurs twice")
            mine[number] = []
        for index, annotation in enumerate(annotations):
            number = annotation.get("image_id")
            if isinstance(number, list | dict) or number not in mine:
                self.problems.bad(
                    self.file, index, f"annotation {index} is of image {number!r:.40}, and there is none of that id"
                )
                continue
            mine[number].append((index, annotation))
        return [Entry(image["id"], image, mine[image["id"]]) for image in images]

    def _read_notes(self, info: Any) -> None:
        """Take what an export of maskl says of the table, else what every COCO file has."""
        own = isinstance(info, dict) and "maskl" in info
        notes: dict[str, Any] = info if own else {}
        self.image, self.key = notes.get("image", "image"), notes.get("mask", "ground_truth")
        self.table, self.columns = notes.get("table", ""), notes.get("columns", ["file_name", self.image])
        texts = [self.image, self.key, self.table]
        if not isinstance(self.columns, list) or not all(isinstance(name, str) for name in (*texts, *self.columns)):
            raise CorruptData(f"{self.file}: info: image, mask, table and columns must be names")
        metadata = json.dumps(notes.get("metadata", {"version": "1.0.0", "columns": {}}))
        where = f"{self.file}: info.metadata"
        columns = parse_metadata(metadata, where)
        if any(column.kind != "value" for column in columns.values()):
            raise CorruptData(f"{where}: columns of values are needed")
        self.types = value_types(columns, where)
        kept = {self.image, "file_name", *self.types}
        self.columns = [name for name in dict.fromkeys((*self.columns, self.image)) if name in kept]
        self.own = own

    def row(self, entry: Entry, painted: Callable[[], tuple[Pixels, Sequence[ClassItem]]] | None) -> list[Any]:
        """Return the row of an image.

        ``painted`` returns its mask, and classes of the mask beside the categories; it is called when the
        image has proved to have the size that the file says.
        """
        image = self._image(entry)
        if painted is not None:
            mask, more = painted()
            classes = ClassSet(sorted((*self.classes, *more), key=lambda item: item.id))
            mask = _typed(mask, entry.body.get("dtype"), classes, self.ids)
            image = Image(image, masks={self.key: mask_of(mask, self.key, classes)})
        if not self.own:
            values: dict[str, Any] = {"file_name": entry.body.get("file_name")}
        else:
            values = read_value(json.dumps(entry.body.get("columns", {})))
            if not isinstance(values, dict):
                raise InvalidValue(f"columns of image {entry.id!r:.40}: an object is needed; got {values!r:.60}")
        return [image if name == self.image else values.get(name) for name in self.columns]

    def _image(self, entry: Entry) -> Image:
        caption = entry.body.get("caption")
        if caption is not None and not isinstance(caption, str):
            raise InvalidValue(f"a caption must be a string; got {caption!r:.40}")
        name, url = entry.body.get("file_name"), entry.body.get("coco_url")
        if name is None and isinstance(url, str) and URL.match(url):
            return Image(url, caption=caption)
        image = read_image(self._path(name), caption)
        if (image.height, image.width) != entry.size:
            height, width = entry.size
            raise InvalidValue(f"{name} is {image.width}×{image.height}; {self.file.name} says {width}×{height}")
        return image

    def _path(self, name: object) -> Path:
        folders = [Path(self.options.images)] if self.options.images else [self.file.parent / at for at in FOLDERS]
        problem: MasklError | None = None
        for folder in folders:
            try:
                return inside(folder, name)
            except NotFound as error:
                problem = problem or error
        hint = "" if self.options.images else ": name the folder of the images with --images"
        raise NotFound(f"{problem}{hint}")

    def spare(self, name: str, *, ignore: bool) -> ClassItem:
        """Return a class for pixels of no category."""
        free = next((number for number in SPARE if number not in self.ids), max((*self.ids, *SPARE)) + 1)
        return ClassItem(free, name, None, ignore)


def _color(color: Any, category: Mapping[str, Any], where: str) -> str | None:
    if color is None or category.get("uncolored") is True:
        return None
    if not isinstance(color, list) or len(color) != 3 or not all(is_count(part) and part < 256 for part in color):
        raise CorruptData(f"{where}: color: red, green and blue from 0 to 255 are needed; got {color!r:.40}")
    return "#{:02x}{:02x}{:02x}".format(*color)


def _typed(mask: Pixels, dtype: Any, classes: ClassSet, ids: frozenset[int]) -> Pixels:
    """Return the mask in the type that it was logged in, else in the narrowest that holds every category's id."""
    if dtype is not None:
        return as_logged(mask, str(dtype), "the mask")
    every = ids | {item.id for item in classes}
    low, high = min(every, default=0), max(every, default=0)
    narrow = next((kind for kind in (np.uint8, np.uint16) if low >= 0 and high <= np.iinfo(kind).max), np.int32)
    return mask.astype(narrow)
