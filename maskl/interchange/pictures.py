"""What formats of folders have in common: which image and mask they hold, image files, and counts of the rest."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage

from maskl.adapters.pictures import open_picture
from maskl.drawing.overlay import class_color, class_colors
from maskl.interchange.options import Dropped, ExportOptions
from maskl.interchange.records import GROUND_TRUTH
from maskl.interchange.selection import Selection
from maskl_storage.errors import InvalidValue, NotFound
from maskl_storage.format.metadata import ClassItem, ClassSet, Column, class_name
from maskl_storage.format.segments import Segment, classes_by_id
from maskl_storage.images.lossless import format_of
from maskl_storage.masks.coco import by_class
from maskl_storage.masks.codec import decode
from maskl_storage.masks.png import fits, ids_png
from maskl_storage.masks.run_lengths import Pixels as Counted
from maskl_storage.masks.segments import with_classes
from maskl_storage.read.table import Row, StoredImage

__all__ = [
    "Frame",
    "Palettes",
    "Pixels",
    "as_png",
    "choose_mask",
    "classes_of",
    "dtype_name",
    "frames",
    "join_classes",
    "picture",
    "save_ids",
    "value_columns",
]

Pixels = npt.NDArray[Any]

#: endings of files where they are not the format's name
ENDINGS: Final = {"jpeg": "jpg", "tiff": "tif", "jpeg2000": "jp2"}


#: the largest id of a mask whose classes are looked up in a list of all ids
LOOKED_UP: Final = 0xFFFF


@dataclass(frozen=True, slots=True)
class Frame:
    """One image with its mask, of a format that holds one of each.

    ``index`` counts the images from 0; ``mask`` has the class of each pixel, and is None where there is none, or the
    format cannot hold it. ``ids`` are the mask as it was logged, and ``segments`` what its ids stand for; None where
    they are classes.
    """

    index: int
    row: Row
    image: StoredImage
    mask: Pixels | None
    classes: ClassSet
    ids: Pixels | None = None
    segments: tuple[Segment, ...] | None = None


def choose_mask(selection: Selection, options: ExportOptions) -> tuple[str, str]:
    """Return the image column and the key of its mask that are exported where a format holds one.

    Raises
    ------
    InvalidValue
        There are no images, or no masks of them.
    NotFound
        There is no image column or mask of the name that was asked for.
    """
    images = [column.name for column in selection.columns if column.kind == "image"]
    if not images:
        raise InvalidValue("this format holds images with masks; there is no image column among those to export")
    image = images[0] if options.image is None else options.image
    if image not in images:
        raise NotFound(f"there is no image column {image!r} to export; there are: {', '.join(map(repr, images))}")
    keys = selection.mask_keys(image)
    if not keys:
        raise InvalidValue(f"this format holds images with masks; those of column {image!r} have none")
    key = options.mask or (GROUND_TRUTH if GROUND_TRUTH in keys else keys[0])
    if key not in keys:
        raise NotFound(f"image column {image!r} has no mask {key!r}; its masks are: {', '.join(map(repr, keys))}")
    return image, key


def frames(
    selection: Selection,
    image: str,
    key: str,
    dropped: Dropped,
    *,
    kept: Collection[str] = (),
    sized: bool = True,
    segmented: bool = False,
) -> Iterator[Frame | None]:
    """Yield what a format with one image and one mask holds of each row; None for a row without an image.

    Parameters
    ----------
    image, key : str
        The image column, and the key of its mask.
    dropped : Counter
        Takes what is left out, by name.
    kept : collection of str, optional
        The other columns that the format holds.
    sized : bool, optional
        Whether a mask must have its image's size.
    segmented : bool, optional
        Whether the format holds the segments of masks.
    """
    index = 0
    for row in selection.rows:
        cell = row.get(image)
        _count_others(selection, row, image, key, kept, dropped)
        if cell is None:
            dropped["rows without an image"] += 1
            yield None
            continue
        data, classes = cell.masks.get(key, (None, ClassSet()))
        ids = None if data is None else decode(data)
        known = sized and None not in (cell.width, cell.height)
        if known and ids is not None and ids.shape != (cell.height, cell.width):
            dropped[f"masks {key!r} of another size than their image"] += 1
            ids = None
        segments = None if ids is None else cell.segments.get(key)
        if segments is not None and not segmented:
            dropped[f"segments of mask {key!r}"] += 1
        mask = ids if ids is None or not segments else classes_of(ids, segments)
        yield Frame(index, row, cell, mask, classes, ids, segments)
        index += 1


def classes_of(ids: Pixels, segments: Iterable[Segment]) -> Pixels:
    """Return the class of each pixel, in the type of the ids where that holds them, else in int32."""
    classes = classes_by_id(segments)
    if ids.dtype.kind in "iu" and 0 <= int(ids.min()) <= int(ids.max()) <= LOOKED_UP:
        known = np.arange(int(ids.max()) + 1, dtype=np.int32)
        for number, of in classes.items():
            if 0 <= number < known.size:
                known[number] = of
        return _narrowed(known, ids.dtype)[ids]
    mask = with_classes(Counted(ids.ravel(), ids.shape), classes).values.reshape(ids.shape)
    return _narrowed(mask, ids.dtype)


def _narrowed(values: Pixels, dtype: np.dtype[Any]) -> Pixels:
    """Return values in a type, if that holds them."""
    narrow = values.astype(dtype)
    return narrow if np.array_equal(narrow, values) else values


def value_columns(selection: Selection) -> dict[str, Column]:
    """Return the columns of plain values by name; one whose types do not agree holds anything."""
    union = selection.union
    mixed = {union.labels[name] for name, types in union.readings.items() if not types <= {"int", "float"}}
    return {
        column.name: Column("value", column.name, "json") if column.name in mixed else column
        for column in selection.columns
        if column.kind == "value"
    }


def dtype_name(mask: Pixels) -> str:
    """Return the name of a mask's type, with ``>`` before it where it is big-endian."""
    return f"{'>' if mask.dtype.byteorder == '>' else ''}{mask.dtype.name}"


def _count_others(
    selection: Selection, row: Row, image: str, key: str, kept: Collection[str], dropped: Dropped
) -> None:
    for name in (column.name for column in selection.columns):
        value = row.get(name)
        if value is None:
            continue
        if name != image:
            if isinstance(value, StoredImage):
                dropped[f"image column {name!r}"] += 1
            elif name not in kept:
                dropped[f"column {name!r}"] += 1
            continue
        for other in value.masks:
            if other != key:
                dropped[f"mask {other!r} of {image!r}"] += 1
        for boxes in value.boxes:
            dropped[f"boxes {boxes!r} of {image!r}"] += 1


def picture(selection: Selection, image: StoredImage, *, portable: bool = True) -> tuple[bytes, str]:
    """Return the file of an image, one that other tools open unless that does not matter, and how its name ends."""
    data = selection.image_bytes(str(image.digest))
    made = selection.portable.file(str(image.digest), data) if portable else None
    # a row may have been written before another process stored the same pixels in its format
    data, kind = (data, format_of(data) or str(image.format)) if made is None else made
    if kind == "webp" and image.mode == "RGBA":
        with open_picture(data, f"image {image.digest}") as opened:
            if opened.mode != "RGBA":  # WebP leaves out an alpha channel that hides nothing
                return as_png(opened.convert("RGBA")), "png"
    return data, ENDINGS.get(kind, kind)


def as_png(image: PILImage.Image) -> bytes:
    """Return an image as a PNG file."""
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


class Palettes:
    """The colours of ids as palettes, which rows share."""

    def __init__(self) -> None:
        self._known: dict[ClassSet, bytes] = {}

    def of(self, classes: ClassSet) -> bytes:
        """Return red, green and blue of the ids from 0 to 255, one after the other."""
        if classes not in self._known:
            colors = class_colors(classes)
            named = (colors.get(number) or class_color(number) for number in range(256))
            self._known[classes] = bytes(value for color in named for value in color)
        return self._known[classes]


def save_ids(path: Path, mask: Pixels, palette: bytes = b"") -> bool:
    """Write a mask as a PNG whose values are the ids, or return False where a PNG cannot hold them.

    Ids up to 255 take 8 bits a pixel, with a palette where one is given; larger ones take 16.
    """
    if not fits(mask):
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(ids_png(mask, palette))
    return True


def join_classes(known: dict[int, ClassItem], frame: Frame, dropped: Dropped) -> None:
    """Add the classes of a mask, and the ids in it, to those of others, for formats that hold one class set.

    Raises
    ------
    InvalidValue
        An id that is another class elsewhere, or ignored here and not there.
    """
    if frame.mask is None:
        return
    own = {item.id: item for item in frame.classes}
    for number in by_class(frame.mask)[1].tolist():
        own.setdefault(number, ClassItem(number))
    for item in own.values():
        other = known.setdefault(item.id, item)
        if other == item:
            continue
        if other.ignore != item.ignore or (None not in (other.name, item.name) and other.name != item.name):
            raise InvalidValue(
                f"id {item.id} is {_told(other)} in some rows and {_told(item)} in others, and this format holds one "
                f"set of classes: export the runs or steps by themselves"
            )
        if other.name != item.name:
            dropped[f"id {item.id} without the name that it has in other rows"] += 1
        if None not in (other.isthing, item.isthing) and other.isthing != item.isthing:
            dropped[f"whether class {class_name(item, item.id)!r} is a thing in other rows"] += 1
        if None not in (other.color, item.color) and other.color != item.color:
            dropped[f"other colours of class {class_name(item, item.id)!r}"] += 1
        known[item.id] = replace(
            other,
            name=other.name or item.name,
            color=other.color or item.color,
            isthing=item.isthing if other.isthing is None else other.isthing,
        )


def _told(item: ClassItem) -> str:
    return f"{class_name(item, item.id)!r}{', ignored' if item.ignore else ''}"
