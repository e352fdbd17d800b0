"""A toy format: a line of JSON for each image, and the files of images and masks beside it.

This is the whole recipe: a file like this one, imported before the format is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from maskl.formats import Format, register
from maskl.interchange.documents import parse_object
from maskl.interchange.options import Dropped, ExportOptions, ImportOptions
from maskl.interchange.pictures import choose_mask, frames, picture, save_ids
from maskl.interchange.problems import Problems
from maskl.interchange.records import Layout, Record, blocks
from maskl.interchange.selection import Selection
from maskl.interchange.untrusted import inside, mask_of, read_file, read_ids, read_image
from maskl_storage.errors import InvalidValue
from maskl_storage.format.metadata import ClassItem, ClassSet

LINES: Final = "toy.jsonl"


def write(selection: Selection, folder: Path, options: ExportOptions, tick: Callable[[int], None]) -> Dropped:
    """Write the chosen rows into an empty folder, and return what the format cannot hold."""
    dropped = Dropped()
    image, key = choose_mask(selection, options)
    with (folder / LINES).open("w", encoding="utf-8") as lines:
        for frame in frames(selection, image, key, dropped):  # counts what is not kept
            if frame is not None and frame.image.digest is None:
                dropped["images that are references"] += 1
            elif frame is not None:
                data, ending = picture(selection, frame.image)
                line: dict[str, Any] = {"image": f"{frame.index}.{ending}", "caption": frame.image.caption}
                (folder / line["image"]).write_bytes(data)
                mask = f"{frame.index}_mask.png"
                if frame.mask is not None and save_ids(folder / mask, frame.mask):
                    line |= {"mask": mask, "names": {item.id: item.name for item in frame.classes}}
                lines.write(json.dumps(line) + "\n")
            tick(1)
    return dropped


def read(source: Path, options: ImportOptions, problems: Problems) -> Iterator[Record]:
    """Yield blocks of rows; what ``row`` raises is a bad row, which names the file and the line."""
    path = inside(source, LINES, links=options.follow_links)

    def row(number: int, text: bytes) -> list[Any]:
        line = parse_object(text, "the line")
        masks = {}
        if "mask" in line:
            classes = ClassSet(ClassItem(int(number), str(name)) for number, name in line["names"].items())
            masks["mask"] = mask_of(read_ids(inside(source, line["mask"], links=options.follow_links)), "mask", classes)
        return [read_image(inside(source, line.get("image"), links=options.follow_links), line.get("caption"), masks)]

    lines = read_file(path).splitlines()
    if not lines:
        raise InvalidValue(f"{path} has no line")
    yield from blocks(Layout("", ["image"], path), lines, row, problems)


def sniff(source: Path) -> bool:
    """Whether a folder looks like one of this format."""
    return (source / LINES).is_file()


register(Format("toy", read=read, write=write, sniff=sniff, takes=("image", "mask"), heeds=("follow_links",)))
