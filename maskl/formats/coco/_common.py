"""What COCO's two forms have in common: the JSON file, its categories, and the images that it names."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

from maskl.annotations.boxes import BoundingBoxes2D
from maskl.drawing.overlay import class_colors
from maskl.formats.coco._segments import CROWD, LOGGED, REGION, SCORE
from maskl.images.image import URL, Image
from maskl.interchange.documents import read_object, read_value, value_types
from maskl.interchange.notes import Notes, mask_note, noted_mask
from maskl.interchange.options import Dropped, ExportOptions, ImportOptions
from maskl.interchange.pictures import (
    Frame,
    choose_mask,
    dtype_name,
    frames,
    join_classes,
    picture,
    value_columns,
)
from maskl.interchange.problems import Problems
from maskl.interchange.segmented import segmented_mask
from maskl.interchange.selection import Selection
from maskl.interchange.source_files import SourceFile, has_file, inside, matching, named, open_file
from maskl.interchange.untrusted import MAX_BYTES, check_size, mask_of, read_image
from maskl_storage.errors import CorruptData, InvalidValue, MasklError, NotFound
from maskl_storage.format.boxes import Box
from maskl_storage.format.document import is_count
from maskl_storage.format.json_values import dump_text
from maskl_storage.format.metadata import INT32, ClassItem, ClassSet, Column, class_name
from maskl_storage.format.names import check_text
from maskl_storage.format.segments import Segment
from maskl_storage.masks.png import as_logged
from maskl_storage.read.table import StoredImage

__all__ = [
    "FILE_NAME",
    "HEEDS",
    "MAX_PAINTED",
    "TAKES",
    "Coco",
    "Document",
    "Entry",
    "Painted",
    "Pixels",
    "dump",
    "find_file",
    "framed",
    "narrowest",
    "read_source",
    "stem",
]

Pixels = npt.NDArray[Any]

#: the folder of the images, beside the JSON file, and the other places where they are looked for
IMAGES: Final = "images"
FOLDERS: Final = (IMAGES, "")
#: pixels of an image whose annotations are painted, which takes many times their bytes
MAX_PAINTED: Final = 1 << 25
#: the parts of the file that hold what is read
PARTS: Final = ("images", "annotations", "categories")
#: the key that says that maskl wrote the file, with a number that grows with what it adds to COCO's own keys
OWN: Final = "maskl"
VERSION: Final = 2
#: the first number whose categories say which classes nobody called things or stuff
DIVIDED: Final = 2
#: the options that both forms heed, of exporting and of importing
TAKES: Final = ("instances", "image", "mask")
HEEDS: Final = ("images", "follow_links")
#: keys of maskl's own of images, and of categories
CAPTION: Final = "caption"
DTYPE: Final = "dtype"
VALUES: Final = "columns"
IGNORE: Final = "ignore"
UNNAMED: Final = "unnamed"
UNCOLORED: Final = "uncolored"
UNDIVIDED: Final = "undivided"
#: of images, that the ids of the mask are segments
SEGMENTED: Final = "segmented"
#: whether a category is one of things
THING: Final = "isthing"
#: where an image is: the name of its file, or its URL
FILE_NAME: Final = "file_name"
URL_NAME: Final = "coco_url"
#: the keys of other tools' images, annotations and categories that become something here, or follow from it
KNOWN: Final = {
    "images": {"id", "width", "height", FILE_NAME, URL_NAME, CAPTION, DTYPE},
    "annotations": {
        *("id", "image_id", "category_id", "segmentation", "area", "bbox", CROWD, SCORE, LOGGED, REGION),
        *(FILE_NAME, "segments_info"),
    },
    "categories": {"id", "name", "color", IGNORE, THING},
}
#: keys that are shown as examples
SHOWN_KEYS: Final = 8
#: a colour as other tools write it
COLOR: Final = re.compile("#([0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})")
#: ids that pixels of no category get, the first one that is free
SPARE: Final = (0, 255)


# --- writing ------------------------------------------------------------------------------------


def dump(value: Any) -> str:
    """Return a value as JSON text without blanks."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def stem(index: int) -> str:
    """Return the name of the files of an image, without an ending."""
    return f"{index:012d}"


class Document:
    """A COCO file in the making: images and annotations wait in files of their own.

    Parameters
    ----------
    path : Path
        The JSON file.
    source : mapping
        What is exported: the names of the table, its image column and its mask, and what its columns hold.
    """

    def __init__(self, path: Path, source: Mapping[str, Any], *, things: bool) -> None:
        self._path = path
        self._source = source
        self._things = things
        self._stack = ExitStack()
        self._images = self._spool(path.parent)
        self._annotations = self._spool(path.parent)
        self.classes: dict[int, ClassItem] = {}
        #: the classes that segments have
        self.segmented: set[int] = set()

    def _spool(self, folder: Path) -> IO[str]:
        return self._stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n", dir=folder))

    def __enter__(self) -> Document:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._stack:
            if error is None:
                self._finish()

    def image(self, text: str) -> None:
        """Add an image, as JSON text."""
        _append(self._images, text)

    def annotation(self, text: str) -> None:
        """Add an annotation, as JSON text."""
        _append(self._annotations, text)

    def _finish(self) -> None:
        info = {"description": "images with segmentation masks, exported by maskl", OWN: VERSION, **self._source}
        with self._path.open("w", encoding="utf-8", newline="\n") as file:
            file.write(f'{{"info":{dump(info)},\n"licenses":[],\n"images":[')
            for name, spool in (("annotations", self._images), ("categories", self._annotations)):
                spool.seek(0)
                shutil.copyfileobj(spool, file, 1 << 20)
                file.write(f'],\n"{name}":[')
            file.write(",\n".join(dump(item) for item in self._categories()))
            file.write("]}\n")

    def _categories(self) -> Iterator[dict[str, Any]]:
        items = [self.classes[number] for number in sorted(self.classes)]
        colors = class_colors(items)
        for item in items:
            name = class_name(item, item.id)
            category: dict[str, Any] = {"id": item.id, "name": name, "supercategory": name}
            category |= {THING: int(self._is_thing(item)), "color": list(colors[item.id])}
            # what maskl alone asks about
            marks = {IGNORE: item.ignore, UNNAMED: item.name is None, UNCOLORED: item.color is None}
            marks[UNDIVIDED] = item.isthing is None
            yield category | {mark: True for mark, holds in marks.items() if holds}

    def _is_thing(self, item: ClassItem) -> bool:
        """Whether a class is one of things: as it is said, else where it has segments, or each component is one."""
        if item.isthing is not None:
            return item.isthing
        return item.id in self.segmented or (self._things and not item.ignore)


def _append(spool: IO[str], text: str) -> None:
    if spool.tell():
        spool.write(",\n")
    spool.write(text)


def framed(
    selection: Selection,
    folder: Path,
    options: ExportOptions,
    tick: Callable[[int], None],
    dropped: Dropped,
    each: Callable[[Document, Frame], None],
    file: str,
) -> None:
    """Write the images and the COCO file; ``each`` writes the annotations of an image with a mask."""
    image, key = choose_mask(selection, options)
    columns = value_columns(selection)
    values = list(columns)
    source = {**mask_note(image, key), **Notes.of(selection, columns).to_json()}
    (folder / IMAGES).mkdir()
    with Document(folder / file, source, things=options.instances) as document:
        for frame in frames(selection, image, key, dropped, kept=values, segmented=True):
            if frame is not None:
                document.image(_image(selection, folder, frame, values))
                document.segmented |= {segment.class_id for segment in frame.segments or ()}
                join_classes(document.classes, frame, dropped)
                if frame.mask is not None:
                    each(document, frame)
            tick(1)


def _image(selection: Selection, folder: Path, frame: Frame, values: list[str]) -> str:
    """Write the file of an image, and return its entry."""
    image = frame.image
    entry: dict[str, Any] = {"id": frame.index + 1, **_size(frame)}
    if image.digest is None:
        entry[URL_NAME] = image.path
    else:
        data, ending = picture(selection, image)
        name = f"{stem(frame.index)}.{ending}"
        (folder / IMAGES / name).write_bytes(data)
        entry[FILE_NAME] = name
    if image.caption is not None:
        entry[CAPTION] = image.caption
    if frame.ids is not None:
        entry[DTYPE] = dtype_name(frame.ids)
    if frame.segments is not None:
        entry[SEGMENTED] = True
    columns = ",".join(f"{dump(name)}:{dump_text(frame.row.get(name))}" for name in values)
    return f"{dump(entry)[:-1]},{dump(VALUES)}:{{{columns}}}}}" if values else dump(entry)


def _size(frame: Frame) -> dict[str, int]:
    """Return width and height of an image; those of the mask, where nothing is known of the image."""
    image: StoredImage = frame.image
    if image.width is not None and image.height is not None:
        return {"width": image.width, "height": image.height}
    return {} if frame.mask is None else {"width": frame.mask.shape[1], "height": frame.mask.shape[0]}


# --- reading ------------------------------------------------------------------------------------


def find_file(
    source: Path, name: str, keys: Sequence[str], unlike: str | None = None, *, links: bool = False
) -> SourceFile | None:
    """Return the JSON file of a source: itself, or of a folder the one of this name, else its only one with a key.

    Of several ``keys`` the first is asked for that any file has; one that has the key ``unlike`` is of another form.
    """
    if source.is_file():
        like = source.suffix.lower() == ".json" and _keys_in(named(source), keys, unlike)
        return named(source) if like else None
    if has_file(source, name):
        return SourceFile(source, (name,), links)
    files = [(file, _keys_in(file, keys, unlike)) for file in matching(source, "*.json", links=links, strict=False)]
    for key in keys:
        found = [file for file, there in files if key in there]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def read_source(
    source: Path, name: str, keys: Sequence[str], unlike: str | None, options: ImportOptions, problems: Problems
) -> Coco:
    """Read the JSON file of a source; see :func:`find_file`.

    Raises
    ------
    InvalidValue
        There is none, or not one alone, or it is a link that is not followed.
    CorruptData
        No JSON, or no COCO file.
    """
    file = find_file(source, name, keys, unlike, links=options.follow_links)
    if file is None:
        raise InvalidValue(f"{source} is, or holds, no single COCO file with {' or '.join(keys)}: name the JSON file")
    return Coco(file, options, problems)


def _keys_in(file: SourceFile, keys: Sequence[str], unlike: str | None) -> list[str]:
    """Return those of some keys that a file has in its first or last part, none where it has another one.

    It may be too large to be read for that.
    """
    try:
        with open_file(file, glance=True) as opened:
            head = opened.read(1 << 20)
            opened.seek(max(0, opened.seek(0, os.SEEK_END) - (1 << 20)))
            parts = head + opened.read(1 << 20)
    except (MasklError, OSError):
        return []
    if f'"{PARTS[0]}"'.encode() not in parts or (unlike is not None and f'"{unlike}"'.encode() in parts):
        return []
    return [key for key in keys if f'"{key}"'.encode() in parts]


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of a COCO file with its annotations."""

    id: int | str
    body: Mapping[str, Any]
    annotations: Sequence[tuple[int, Mapping[str, Any]]]

    @property
    def name(self) -> str:
        """What the image is called in messages."""
        name = self.body.get(FILE_NAME)
        return name if isinstance(name, str) else f"image {self.id!r:.40}"

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


#: a mask, classes of it beside the categories, and its segments; None where its ids are classes
Painted = tuple[Pixels, Sequence[ClassItem], Sequence[Segment] | None]


def _is_divided(info: Any) -> bool:
    """Whether the categories of a file say what is a thing: not where maskl said of all that none is."""
    version = info.get(OWN) if isinstance(info, dict) else None
    return version is None or (is_count(version) and version >= DIVIDED)


@dataclass(eq=False)
class Coco:
    """A COCO file.

    Parameters
    ----------
    file : Path
        The JSON file.
    options : ImportOptions
        Where its images are, if not beside it.
    problems : Problems
        Takes what is wrong with single annotations.

    Raises
    ------
    CorruptData
        No JSON, or no COCO file.
    """

    file: SourceFile
    options: ImportOptions
    problems: Problems
    classes: ClassSet = field(init=False)
    entries: list[Entry] = field(init=False)
    image: str = field(init=False)
    key: str = field(init=False)
    table: str = field(init=False)
    columns: list[str] = field(init=False)
    types: dict[str, Column] = field(init=False)
    own: bool = field(init=False)

    def __post_init__(self) -> None:
        body = read_object(self.file, MAX_BYTES)  # LVIS has a file of more than 1 GB
        for name in PARTS:
            items = body.get(name)
            if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
                raise CorruptData(f"{self.file}: {name}: a list of objects is needed; got {items!r:.60}")
        self.classes = self._classes(body["categories"], divided=_is_divided(body.get("info")))
        self.ids = frozenset(item["id"] for item in body["categories"])
        self.entries = self._entries(body["images"], body["annotations"])
        self._read_notes(body.get("info"))
        if not self.own:
            for name in PARTS:
                _note_keys(name, body[name], self.problems)

    def _classes(self, categories: Sequence[Mapping[str, Any]], *, divided: bool) -> ClassSet:
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
            ignore = category.get(IGNORE) is True
            known = None if category.get(UNNAMED) is True else name
            thing = category.get(THING) if divided and category.get(UNDIVIDED) is not True else None
            thing = bool(thing) if isinstance(thing, int) and thing in (0, 1) else None
            if known is not None or ignore or thing is not None:
                items[number] = ClassItem(number, known, _color(color, category, where), ignore, thing)
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
        self.own = isinstance(info, dict) and OWN in info
        said: dict[str, Any] = info if self.own else {}
        self.image, self.key = noted_mask(said, f"{self.file}: info.")
        notes = Notes.parse(said, f"{self.file}: info.", names=[FILE_NAME, self.image])
        if any(column.kind != "value" for column in notes.columns.values()):
            raise CorruptData(f"{self.file}: info.metadata: columns of values are needed")
        self.table, self.types = notes.table, value_types(notes.columns, f"{self.file}: info.metadata")
        kept = {self.image, FILE_NAME, *self.types}
        self.columns = [name for name in dict.fromkeys((*notes.names, self.image)) if name in kept]

    def row(
        self,
        entry: Entry,
        painted: Callable[[], Painted] | None,
        boxes: Sequence[Box] = (),
    ) -> list[Any]:
        """Return the row of an image.

        ``painted`` returns its mask, classes of the mask beside the categories, and its segments if its ids are not
        classes; it is called when the image has proved to have the size that the file says. ``boxes`` are of
        annotations that have no pixels.
        """
        if not entry.annotations and not self.own:
            self.problems.left("images without annotations, which have no mask", entry.name)
        image = self._image(entry)
        if boxes:
            image = Image(image, boxes={self.key: BoundingBoxes2D.from_stored(tuple(boxes), self.key, self.classes)})
        if painted is not None:
            height, width = entry.size
            check_size(width, height, f"the mask of image {entry.id!r:.40}", MAX_PAINTED)
            mask, more, segments = painted()
            classes = ClassSet(sorted((*self.classes, *more), key=lambda item: item.id))
            dtype = entry.body.get(DTYPE)
            if segments is None:
                made = mask_of(_typed(mask, dtype, classes, self.ids), self.key, classes)
            else:
                mask = mask if dtype is None else as_logged(mask, str(dtype), "the mask")
                made, absent = segmented_mask(mask, self.key, classes, segments)
                if absent:
                    what = "annotations without a pixel that is none of a smaller one's, which are no segments"
                    self.problems.left(what, entry.name, len(absent), warned=True)
            image = Image(image, masks={self.key: made})
        if not self.own:
            values: dict[str, Any] = {FILE_NAME: entry.body.get(FILE_NAME)}
        else:
            values = read_value(json.dumps(entry.body.get(VALUES, {})))
            if not isinstance(values, dict):
                raise InvalidValue(f"{VALUES} of image {entry.id!r:.40}: an object is needed; got {values!r:.60}")
        return [image if name == self.image else values.get(name) for name in self.columns]

    def _image(self, entry: Entry) -> Image:
        caption = entry.body.get(CAPTION)
        if caption is not None and not isinstance(caption, str):
            raise InvalidValue(f"a caption must be a string; got {caption!r:.40}")
        name, url = entry.body.get(FILE_NAME), entry.body.get(URL_NAME)
        if name is None and isinstance(url, str) and URL.match(url):
            return Image(url, caption=caption)
        image = read_image(self._path(name), caption)
        if (image.height, image.width) != entry.size:
            height, width = entry.size
            raise InvalidValue(f"{name} is {image.width}×{image.height}; {self.file.name} says {width}×{height}")
        return image

    def _path(self, name: object) -> SourceFile:
        given = self.options.images
        folder, links = Path(given or self.file.path.parent), self.options.follow_links
        problem: MasklError | None = None
        names = [(under, name) for under in (("",) if given else FOLDERS)]
        if isinstance(name, str):  # the folder that is named may stand before the names of its files, too
            first, _, rest = name.replace("\\", "/").partition("/")
            names += [("", rest)] if given and rest and first in (IMAGES, folder.name) else []
        for under, part in names:
            try:
                return inside(folder, part, links=links, under=under)
            except NotFound as error:
                problem = problem or error
            except InvalidValue as error:
                if given or links or "through a link" not in str(error):
                    raise
                raise InvalidValue(f"{error}; name the folder of the images with --images") from error
        hint = "" if given else ": name the folder of the images with --images"
        raise NotFound(f"{problem}{hint}")

    def is_segmented(self, entry: Entry) -> bool:
        """Whether what the file names of an image are objects and regions, and no classes that maskl wrote."""
        return not self.own or entry.body.get(SEGMENTED) is True

    def spare(self, name: str, *, ignore: bool, taken: Collection[int] = ()) -> ClassItem:
        """Return a class for pixels of no category, whose id is also none of those that are taken."""
        ids = self.ids.union(taken)
        above = max((*ids, *SPARE)) + 1
        others = chain(SPARE, range(above, INT32[1] + 1), count())  # the lowest where all above are taken
        free = next(number for number in others if number not in ids)
        return ClassItem(free, name, None, ignore)


def _color(color: Any, category: Mapping[str, Any], where: str) -> str | None:
    if color is None or category.get(UNCOLORED) is True:
        return None
    if isinstance(color, str) and (match := COLOR.fullmatch(color)):
        digits = match[1].lower()
        return f"#{digits if len(digits) == 6 else ''.join(2 * digit for digit in digits)}"
    if not isinstance(color, list) or len(color) != 3 or not all(is_count(part) and part < 256 for part in color):
        raise CorruptData(
            f"{where}: color: red, green and blue from 0 to 255 are needed, or '#rrggbb'; got {color!r:.40}"
        )
    return "#{:02x}{:02x}{:02x}".format(*color)


def _note_keys(name: str, items: Sequence[Mapping[str, Any]], problems: Problems) -> None:
    """Note the keys that nothing is made of."""
    keys = set[str]().union(*items) - KNOWN[name]
    if keys:
        shown = ", ".join(f"{key!r:.40}" for key in sorted(keys)[:SHOWN_KEYS])
        problems.left(f"keys of {name} that are not imported", shown, len(keys))


def _typed(mask: Pixels, dtype: Any, classes: ClassSet, ids: frozenset[int]) -> Pixels:
    """Return the mask in the type that it was logged in, else in the narrowest that holds every category's id."""
    if dtype is not None:
        return as_logged(mask, str(dtype), "the mask")
    return mask.astype(narrowest(ids | {item.id for item in classes}), copy=False)


def narrowest(ids: frozenset[int]) -> type[np.uint8 | np.uint16 | np.int32]:
    """Return the narrowest type of masks that holds all of some ids."""
    low, high = min(ids, default=0), max(ids, default=0)
    return next((kind for kind in (np.uint8, np.uint16) if low >= 0 and high <= np.iinfo(kind).max), np.int32)
