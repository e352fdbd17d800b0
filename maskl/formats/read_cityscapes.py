"""Folders named as Cityscapes names them, with masks of label ids."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from maskl.interchange.blocking import Layout, blocks
from maskl.interchange.import_options import Options
from maskl.interchange.problems import Problems
from maskl.interchange.records import Record
from maskl.interchange.untrusted import class_set, inside, mask_of, read_classes, read_ids, read_image, read_json
from maskl_storage.errors import CorruptData, InvalidValue
from maskl_storage.format.metadata import ClassSet

__all__ = ["read", "sniff"]

IMAGES: Final = "leftImg8bit"
LABELS: Final = "gtFine"
CLASSES: Final = "classes.json"
PLACE: Final = re.compile(rf"(.+)_(\d{{6}})_(\d{{6}})_(?:{IMAGES}\.png|{LABELS}_labelIds\.png)")


def sniff(source: Path) -> bool:
    """Whether a source is a folder with ``leftImg8bit``."""
    return (source / IMAGES).is_dir()


def read(source: Path, options: Options, problems: Problems) -> Iterator[Record]:
    """Yield the images with their masks, and split, city, sequence and frame from their names.

    The class set is that of ``classes.json``, or of the file that ``options`` names.
    """
    if not sniff(source):
        raise InvalidValue(f"{source} holds no folder {IMAGES}")
    image, key, table, classes = _notes(source, options)
    images = sorted((source / IMAGES).glob(f"*/*/*_{IMAGES}.png"))
    labels = {_place(path) for path in (source / LABELS).glob(f"*/*/*_{LABELS}_labelIds.png")}
    problem_of = f"a mask without an image in {IMAGES}"
    for place in sorted(labels - {_place(path) for path in images}):
        problems.bad(f"{source / LABELS / place}_{LABELS}_labelIds.png", None, problem_of)

    def row(_: int, path: Path) -> list[Any]:
        split, city = path.parts[-3:-1]
        match = PLACE.fullmatch(path.name)
        if match is None or match[1] != city:
            raise InvalidValue(
                f"{path.name}: names are <city>_<6 digits>_<6 digits>_{IMAGES}.png, in the city's folder"
            )
        place = _place(path)
        masks = {}
        if place in labels:
            pixels = read_ids(inside(source, f"{LABELS}/{place}_{LABELS}_labelIds.png"))
            masks[key] = mask_of(pixels, key, classes)
        read_from = inside(source, f"{IMAGES}/{place}_{IMAGES}.png")
        return [split, city, int(match[2]), int(match[3]), read_image(read_from, None, masks, sized=True)]

    columns = ["split", "city", "sequence", "frame", image]
    yield from blocks(Layout(table, columns, source / IMAGES), images, row, problems)


def _place(path: Path) -> str:
    """Return ``<split>/<city>/<city>_<sequence>_<frame>``."""
    split, city = path.parts[-3:-1]
    name = path.name.removesuffix(f"_{IMAGES}.png").removesuffix(f"_{LABELS}_labelIds.png")
    return f"{split}/{city}/{name}"


def _notes(source: Path, options: Options) -> tuple[str, str, str, ClassSet]:
    """Return the names of image column, mask and table, and the classes."""
    if options.classes is not None:
        return "image", "ground_truth", "", read_classes(Path(options.classes))
    path = source / CLASSES
    if not path.is_file():
        return "image", "ground_truth", "", ClassSet()
    body = read_json(path)
    if not isinstance(body, dict):
        raise CorruptData(f"{path}: an object is needed; got {type(body).__name__}")
    image, key, table = body.get("image", "image"), body.get("mask", "ground_truth"), body.get("table", "")
    if not all(isinstance(name, str) for name in (image, key, table)):
        raise CorruptData(f"{path}: image, mask and table must be names")
    return image, key, table, class_set(body.get("classes"), path)
