"""What COCO's two forms have in common: the JSON file, written as rows come, and the images beside it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final

from maskl.drawing.overlay import class_colors
from maskl.interchange.options import Dropped, Options
from maskl.interchange.pictures import (
    Frame,
    choose_mask,
    dtype_name,
    frames,
    join_classes,
    notes,
    picture,
    value_columns,
)
from maskl.interchange.selection import Selection
from maskl_storage.format.json_values import dump_text
from maskl_storage.format.metadata import ClassItem, class_name
from maskl_storage.read.table import StoredImage

__all__ = ["Document", "dump", "framed", "stem"]

IMAGES: Final = "images"
#: what the file says of itself; the number grows with what maskl adds to COCO's own keys
VERSION: Final = 1


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
        info = {"description": "images with segmentation masks, exported by maskl", "maskl": VERSION, **self._source}
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
            category |= {"isthing": int(self._things and not item.ignore), "color": list(colors[item.id])}
            # what maskl alone asks about
            marks = {"ignore": item.ignore, "unnamed": item.name is None, "uncolored": item.color is None}
            yield category | {mark: True for mark, holds in marks.items() if holds}


def _append(spool: IO[str], text: str) -> None:
    if spool.tell():
        spool.write(",\n")
    spool.write(text)


def framed(
    selection: Selection,
    folder: Path,
    options: Options,
    tick: Callable[[int], None],
    dropped: Dropped,
    each: Callable[[Document, Frame], None],
    file: str,
) -> None:
    """Write the images and the COCO file; ``each`` writes the annotations of an image with a mask."""
    image, key = choose_mask(selection, options)
    columns = value_columns(selection)
    values = list(columns)
    source = {"image": image, "mask": key, **notes(selection, columns)}
    (folder / IMAGES).mkdir()
    with Document(folder / file, source, things=options.instances) as document:
        for frame in frames(selection, image, key, dropped, kept=values):
            if frame is not None:
                document.image(_image(selection, folder, frame, values))
                join_classes(document.classes, frame, dropped)
                if frame.mask is not None:
                    each(document, frame)
            tick(1)


def _image(selection: Selection, folder: Path, frame: Frame, values: list[str]) -> str:
    """Write the file of an image, and return its entry."""
    image = frame.image
    entry: dict[str, Any] = {"id": frame.index + 1, **_size(frame)}
    if image.digest is None:
        entry["coco_url"] = image.path
    else:
        data, ending = picture(selection, image)
        name = f"{stem(frame.index)}.{ending}"
        (folder / IMAGES / name).write_bytes(data)
        entry["file_name"] = name
    if image.caption is not None:
        entry["caption"] = image.caption
    if frame.mask is not None:
        entry["dtype"] = dtype_name(frame.mask)
    columns = ",".join(f"{dump(name)}:{dump_text(frame.row.get(name))}" for name in values)
    return f'{dump(entry)[:-1]},"columns":{{{columns}}}}}' if values else dump(entry)


def _size(frame: Frame) -> dict[str, int]:
    """Return width and height of an image; those of the mask, where nothing is known of the image."""
    image: StoredImage = frame.image
    if image.width is not None and image.height is not None:
        return {"width": image.width, "height": image.height}
    return {} if frame.mask is None else {"width": frame.mask.shape[1], "height": frame.mask.shape[0]}
