"""COCO's panoptic form: a PNG of segment ids for each image, and the segments' categories in JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from maskl.formats.coco.read_common import Coco, Entry, Pixels, find_file
from maskl.interchange.blocking import Layout, blocks
from maskl.interchange.import_options import Options
from maskl.interchange.problems import Problems
from maskl.interchange.records import Record
from maskl.interchange.untrusted import inside, read_rgb
from maskl_storage.errors import CorruptData, InvalidValue, NotFound
from maskl_storage.format.metadata import ClassItem
from maskl_storage.masks.coco import by_class

__all__ = ["read", "sniff"]

FILE: Final = "panoptic.json"
FOLDER: Final = "panoptic"
KEY: Final = "segments_info"


def sniff(source: Path) -> bool:
    """Whether a source is a panoptic COCO file, or a folder that holds one."""
    return find_file(source, FILE, KEY) is not None


def read(source: Path, options: Options, problems: Problems) -> Iterator[Record]:
    """Yield the images of a panoptic COCO file, each with a mask of its segments' categories.

    Pixels of no segment are an ignored class of their own, ``void``; an image without an annotation has
    no mask. The PNGs stand in the folder ``panoptic``, or in that named as the JSON file.
    """
    file = find_file(source, FILE, KEY)
    if file is None:
        raise InvalidValue(f"{source} is, or holds, no single panoptic COCO file: name the JSON file")
    coco = Coco(file, options, problems)
    spare = coco.spare("void", ignore=True)

    def row(_: int, entry: Entry) -> list[Any]:
        def painted() -> tuple[Pixels, Sequence[ClassItem]]:
            index, annotation = entry.annotations[0]
            void = annotation.get("void", spare.id)
            if isinstance(void, bool) or not isinstance(void, int) or (void != spare.id and void not in coco.ids):
                raise InvalidValue(f"annotation {index}: void: there is no category {void!r:.40}")
            mask = _mask(file, entry, index, annotation, coco.ids, void)
            return mask, [spare] if void == spare.id and (mask == void).any() else []

        if len(entry.annotations) > 1:
            raise InvalidValue(f"image {entry.id!r:.40} has {len(entry.annotations)} annotations; one is needed")
        return coco.row(entry, painted if entry.annotations else None)

    yield from blocks(Layout(coco.table, coco.columns, file, coco.types), coco.entries, row, problems)


def _mask(
    file: Path, entry: Entry, index: int, annotation: Mapping[str, Any], ids: frozenset[int], void: int
) -> Pixels:
    """Return the category of each pixel."""
    categories = _categories(index, annotation.get(KEY), ids)
    png = _png(file, annotation.get("file_name"))
    colors = read_rgb(png)
    if colors.shape[:2] != entry.size:
        height, width = entry.size
        raise InvalidValue(f"{png.name} is {colors.shape[1]}×{colors.shape[0]}; {file.name} says {width}×{height}")
    codes = colors @ np.array([1, 1 << 8, 1 << 16])
    numbers, present = by_class(codes)
    found = set(present.tolist()) - {0}
    if found != set(categories):
        extra, lost = sorted(found - set(categories)), sorted(set(categories) - found)
        what = (
            f"segment {extra[0]} is in {png.name} and not" if extra else f"segment {lost[0]} is not in {png.name} but"
        )
        raise InvalidValue(f"annotation {index}: {what} in segments_info")
    values = np.array([categories.get(number, void) for number in present.tolist()], np.int64)
    return values[numbers]


def _categories(index: int, segments: Any, ids: frozenset[int]) -> dict[int, int]:
    """Return the category of each segment by its id."""
    if not isinstance(segments, list):
        raise CorruptData(f"annotation {index}: segments_info: a list is needed; got {segments!r:.60}")
    categories: dict[int, int] = {}
    for at, segment in enumerate(segments):
        where = f"annotation {index}: segments_info[{at}]"
        if not isinstance(segment, dict):
            raise CorruptData(f"{where}: an object is needed; got {segment!r:.60}")
        number, category = segment.get("id"), segment.get("category_id")
        if isinstance(number, bool) or not isinstance(number, int) or not 0 < number < 1 << 24:
            raise InvalidValue(f"{where}: id: a number from 1 to 16777215 is needed; got {number!r:.40}")
        if number in categories:
            raise InvalidValue(f"{where}: segment {number} occurs twice")
        if isinstance(category, bool) or not isinstance(category, int) or category not in ids:
            raise InvalidValue(f"{where}: there is no category {category!r:.40}")
        categories[number] = category
    return categories


def _png(file: Path, name: object) -> Path:
    """Return the PNG of an annotation."""
    try:
        return inside(file.parent / FOLDER, name)
    except NotFound as error:
        if not (file.parent / file.stem).is_dir():
            raise NotFound(f"{error}, nor is there a folder {file.stem}") from error
        return inside(file.parent / file.stem, name)
