"""Folders named as Cityscapes names them: ``leftImg8bit/<split>/<city>/`` and ``gtFine/<split>/<city>/``.

Split, city, sequence and frame are those of the columns of these names; without them all rows are
frames of one sequence. ``classes.json`` beside the folders holds the class set.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from PIL import Image as PILImage

from maskl.interchange.options import Dropped, Options
from maskl.interchange.pictures import Frame, as_png, choose_mask, frames, join_classes, picture, save_ids
from maskl.interchange.selection import Selection
from maskl_storage.errors import InvalidValue
from maskl_storage.format.metadata import ClassItem, ClassSet

__all__ = ["IMAGE", "LABELS", "write"]

IMAGE: Final = "leftImg8bit"
LABELS: Final = "gtFine"
#: columns that names are made of
COLUMNS: Final = ("split", "city", "sequence", "frame")
#: Pillow's modes that a PNG keeps
PNG_MODES: Final = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
MAX_NUMBER: Final = 999_999


def write(selection: Selection, folder: Path, options: Options, tick: Callable[[int], None]) -> Dropped:
    """Write images and masks of label ids into an empty folder."""
    dropped = Dropped()
    image, key = choose_mask(selection, options)
    there = {column.name for column in selection.columns if column.kind == "value"}
    named = COLUMNS if there.issuperset(COLUMNS) else ()
    classes: dict[int, ClassItem] = {}
    taken: set[str] = set()
    for frame in frames(selection, image, key, dropped, kept=named):
        if frame is not None:
            place = _place(frame, named, selection.table)
            if place in taken:
                raise InvalidValue(
                    f"row {frame.row.row}: there is a {place} already: split, city, sequence and frame tell rows apart"
                )
            taken.add(place)
            if _write_frame(selection, folder, frame, place, key, dropped):
                join_classes(classes, frame, dropped)
        tick(1)
    items = ClassSet(classes[number] for number in sorted(classes) if _is_told(classes[number]))
    source = {"table": selection.table, "image": image, "mask": key, "classes": [item.to_json() for item in items]}
    text = json.dumps(source, ensure_ascii=False, indent=1)
    (folder / "classes.json").write_text(text + "\n", "utf-8", newline="\n")
    return dropped


def _is_told(item: ClassItem) -> bool:
    """Whether a class says more than that its id occurs."""
    return item.name is not None or item.ignore


def _place(frame: Frame, named: tuple[str, ...], table: str) -> str:
    """Return ``<split>/<city>/<city>_<sequence>_<frame>``."""
    if not named:
        town = "".join(letter for letter in table if letter.isalnum()) or "table"
        return f"val/{town}/{town}_{_number(0, frame)}_{_number(frame.index, frame)}"
    split, city, sequence, number = (frame.row.get(name) for name in COLUMNS)
    parts: dict[str, Any] = {"split": split, "city": city}
    for name, part in parts.items():
        if not isinstance(part, str) or not part.replace("-", "").isalnum():
            raise InvalidValue(
                f"row {frame.row.row}: {name} must be letters, digits and '-', since it is part of file names; got "
                f"{part!r:.60}: leave the columns {', '.join(COLUMNS)} out with --columns, or correct it"
            )
    return f"{split}/{city}/{city}_{_number(sequence, frame)}_{_number(number, frame)}"


def _number(value: object, frame: Frame) -> str:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_NUMBER:
        raise InvalidValue(
            f"row {frame.row.row}: sequence and frame are numbers of six digits, 0 to {MAX_NUMBER}; got {value!r:.60}"
        )
    return f"{value:06d}"


def _write_frame(selection: Selection, folder: Path, frame: Frame, place: str, key: str, dropped: Dropped) -> bool:
    """Write image and mask, and return whether the mask was one that the format holds."""
    if frame.image.digest is None:
        dropped["images that are references"] += 1
        if frame.mask is not None:
            dropped[f"masks {key!r} of references"] += 1
        return False
    path = folder / IMAGE / f"{place}_{IMAGE}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_as_png(*picture(selection, frame.image), dropped))
    if frame.image.caption is not None:
        dropped["captions"] += 1
    if frame.mask is None:
        return False
    if int(frame.mask.min()) < 0 or int(frame.mask.max()) > 0xFF:
        dropped[f"masks {key!r} with ids outside 0–255"] += 1
        return False
    if frame.mask.dtype != "uint8":
        dropped[f"dtype {frame.mask.dtype} of mask {key!r}"] += 1
    return save_ids(folder / LABELS / f"{place}_{LABELS}_labelIds.png", frame.mask)


def _as_png(data: bytes, ending: str, dropped: Dropped) -> bytes:
    if ending == "png":
        return data
    with PILImage.open(io.BytesIO(data)) as opened:
        if opened.mode in PNG_MODES:
            return as_png(opened)
        dropped[f"pixel format {opened.mode}"] += 1
        return as_png(opened.convert("RGB"))
