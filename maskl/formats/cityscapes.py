"""Folders named as Cityscapes names them: ``leftImg8bit/<split>/<city>/`` and ``gtFine/<split>/<city>/``.

Read are instance ids, label ids or train ids of ``gtFine``, else of ``gtCoarse``; label ids of ``gtFine`` are written,
and instance ids beside them of masks with segments.

Split, city, sequence and frame are those of the columns of these names; without them all rows are
frames of one sequence. ``classes.json`` beside the folders holds the class set, and the names of the table, its
image column and its mask.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from maskl.adapters.pictures import open_picture
from maskl.formats._cityscapes_classes import INSTANCE_IDS, LABEL_IDS, THINGS, TRAIN_IDS
from maskl.formats._cityscapes_instances import CROWD, Instances, instance_mask
from maskl.images.sources import PNG_MODES
from maskl.interchange.documents import CLASSES, CLASSES_KEY, class_set, read_classes, read_object
from maskl.interchange.format import Format
from maskl.interchange.notes import TABLE, mask_note, noted_mask
from maskl.interchange.options import Dropped, ExportOptions, ImportOptions
from maskl.interchange.pictures import Frame, as_png, choose_mask, frames, join_classes, picture, save_ids
from maskl.interchange.problems import Problems
from maskl.interchange.records import GROUND_TRUTH, IMAGE, Layout, Record, blocks
from maskl.interchange.selection import Selection
from maskl.interchange.source_files import SourceFile, beside, has_folder, matching
from maskl.interchange.untrusted import mask_of, read_ids, read_image
from maskl_storage.errors import CorruptData, InvalidValue
from maskl_storage.format.document import is_count
from maskl_storage.format.metadata import ClassItem, ClassSet
from maskl_storage.format.names import is_file_name
from maskl_storage.masks.png import array_png

__all__ = ["FORMAT", "IMAGES", "LABELS", "read", "sniff", "write"]

IMAGES: Final = "leftImg8bit"
LABELS: Final = "gtFine"
#: what the names of files end in
IMAGE_END: Final = f"_{IMAGES}.png"
LABELS_END: Final = f"_{LABELS}_labelIds.png"
INSTANCES_END: Final = f"_{LABELS}_instanceIds.png"
#: where ground truth is, the better one first, and what its ids are, with the classes of each
GRADES: Final = (LABELS, "gtCoarse")
KINDS: Final = {"labelIds": LABEL_IDS, "labelTrainIds": TRAIN_IDS}
#: what stands beside a mask of label ids, or instead of it, and says more
INSTANCES: Final = "instanceIds"
#: columns that names are made of
COLUMNS: Final = ("split", "city", "sequence", "frame")
MAX_NUMBER: Final = 999_999
NAME: Final = re.compile(rf"(.+)_(\d{{6}})_(\d{{6}}){re.escape(IMAGE_END)}")


def write(selection: Selection, folder: Path, options: ExportOptions, tick: Callable[[int], None]) -> Dropped:
    """Write images and masks of label ids into an empty folder."""
    dropped = Dropped()
    image, key = choose_mask(selection, options)
    there = {column.name for column in selection.columns if column.kind == "value"}
    named = COLUMNS if there.issuperset(COLUMNS) else ()
    classes: dict[int, ClassItem] = {}
    taken: set[str] = set()
    instances = Instances(key, dropped)
    for frame in frames(selection, image, key, dropped, kept=named, segmented=True):
        if frame is not None:
            place = _place(frame, named, selection.table)
            if place in taken:
                raise InvalidValue(
                    f"row {frame.row.row}: there is a {place} already: split, city, sequence and frame tell rows apart"
                )
            taken.add(place)
            if _write_frame(selection, folder, frame, place, instances, dropped):
                join_classes(classes, frame, dropped)
        tick(1)
    items = ClassSet(classes[number] for number in sorted(classes) if _is_told(classes[number]))
    source: dict[str, Any] = {
        TABLE: selection.table,
        **mask_note(image, key),
        CLASSES_KEY: [item.to_json() for item in items],
    }
    source[CROWD] = instances.crowd
    text = json.dumps(source, ensure_ascii=False, indent=1)
    (folder / CLASSES).write_text(text + "\n", "utf-8", newline="\n")
    return dropped


def _is_told(item: ClassItem) -> bool:
    """Whether a class says more than that its id occurs."""
    return item.name is not None or item.ignore


def _place(frame: Frame, named: tuple[str, ...], table: str) -> str:
    """Return ``<split>/<city>/<city>_<sequence>_<frame>``."""
    if not named:
        town = "".join(letter for letter in table if letter.isalnum()) or "table"
        town += "" if is_file_name(town) else "-table"  # a device's name is none of a folder in Windows
        return f"val/{town}/{town}_{_number(0, frame)}_{_number(frame.index, frame)}"
    split, city, sequence, number = (frame.row.get(name) for name in COLUMNS)
    parts: dict[str, Any] = {"split": split, "city": city}
    for name, part in parts.items():
        if not isinstance(part, str) or not part.replace("-", "").isalnum() or not is_file_name(part):
            raise InvalidValue(
                f"row {frame.row.row}: {name} must be letters, digits and '-' and no device of Windows, since it is "
                f"part of file names; got {part!r:.60}: leave the columns {', '.join(COLUMNS)} out with --columns, or "
                f"correct it"
            )
    return f"{split}/{city}/{city}_{_number(sequence, frame)}_{_number(number, frame)}"


def _number(value: object, frame: Frame) -> str:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_NUMBER:
        raise InvalidValue(
            f"row {frame.row.row}: sequence and frame are numbers of six digits, 0 to {MAX_NUMBER}; got {value!r:.60}"
        )
    return f"{value:06d}"


def _write_frame(
    selection: Selection, folder: Path, frame: Frame, place: str, instances: Instances, dropped: Dropped
) -> bool:
    """Write image and mask, and return whether the mask was one that the format holds."""
    key = instances.key
    if frame.image.digest is None:
        dropped["images that are references"] += 1
        if frame.mask is not None:
            dropped[f"masks {key!r} of references"] += 1
        return False
    path = folder / IMAGES / f"{place}{IMAGE_END}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_as_png(*picture(selection, frame.image, portable=False), dropped))
    if frame.image.caption is not None:
        dropped["captions"] += 1
    if frame.mask is None or frame.ids is None:
        return False
    if int(frame.mask.min()) < 0 or int(frame.mask.max()) > 0xFF:
        dropped[f"masks {key!r} with ids outside 0–255"] += 1
        return False
    save_ids(folder / LABELS / f"{place}{LABELS_END}", frame.mask)
    ids = None if frame.segments is None else instances.of(frame)
    if ids is not None:
        (folder / LABELS / f"{place}{INSTANCES_END}").write_bytes(array_png(ids))
    if frame.ids.dtype != ("uint8" if ids is None else "uint16"):
        dropped[f"dtype {frame.ids.dtype} of mask {key!r}"] += 1
    return True


def _as_png(data: bytes, ending: str, dropped: Dropped) -> bytes:
    if ending == "png":
        return data
    with open_picture(data, "an image") as opened:
        if opened.mode in PNG_MODES:
            return as_png(opened)
        dropped[f"pixel format {opened.mode}"] += 1
        return as_png(opened.convert("RGB"))


# --- reading ------------------------------------------------------------------------------------


def sniff(source: Path) -> bool:
    """Whether a source is a folder with ``leftImg8bit``."""
    return has_folder(source, IMAGES)


def read(source: Path, options: ImportOptions, problems: Problems) -> Iterator[Record]:
    """Yield the images with their masks, and split, city, sequence and frame from their names.

    The class set is that of the file that ``options`` names, else of ``classes.json``, else Cityscapes' own of the
    ids that are read: those that more images have, of label ids and train ids. Instance ids count as label ids, and
    are taken where there are both: their mask has the segments of :mod:`maskl.formats._cityscapes_instances`. An image
    without any has no mask, with a warning.
    """
    if not sniff(source):
        raise InvalidValue(f"{source} holds no folder {IMAGES}")
    image, key, table, said, crowd = _notes(source, options)
    links = options.follow_links
    images = matching(source, f"{IMAGES}/*/*/*{IMAGE_END}", links=links)
    # what maskl wrote lacks only masks that were never there
    kind, labels = _ground_truth(source, images, links, problems, warned=table is None)
    classes = _classes(kind, labels.values()) if said is None else said

    def row(_: int, file: SourceFile) -> list[Any]:
        split, city = file.parts[-3:-1]
        match = NAME.fullmatch(file.name)
        if match is None or match[1] != city:
            raise InvalidValue(f"{file.name}: names are <city>_<6 digits>_<6 digits>{IMAGE_END}, in the city's folder")
        mask = labels.get(_place_of(file, IMAGE_END))
        masks = {}
        if mask is not None:
            pixels = read_ids(mask)
            divided = _of_instances(mask)
            masks[key] = instance_mask(pixels, key, classes, crowd) if divided else mask_of(pixels, key, classes)
        cell = read_image(file, None, masks, sized=True)
        return [split, city, int(match[2]), int(match[3]), cell]

    yield from blocks(Layout(table or "", [*COLUMNS, image], source / IMAGES), images, row, problems)


def _of_instances(file: SourceFile) -> bool:
    """Whether a mask is of instance ids."""
    return file.name.endswith(f"_{INSTANCES}.png")


def _classes(kind: str, files: Iterable[SourceFile]) -> ClassSet:
    """Return the classes that Cityscapes' own table gives the ids of the files that are read."""
    return INSTANCE_IDS if any(map(_of_instances, files)) else KINDS[kind]


def _place_of(file: SourceFile, end: str) -> str:
    """Return ``<split>/<city>/<city>_<sequence>_<frame>`` of the file of an image or mask whose name ends so."""
    split, city = file.parts[-3:-1]
    return f"{split}/{city}/{file.name.removesuffix(end)}"


#: files of masks by place, for each kind of ids and each folder
_Found = dict[str, dict[str, dict[str, SourceFile]]]


def _ground_truth(
    source: Path, images: list[SourceFile], links: bool, problems: Problems, *, warned: bool
) -> tuple[str, dict[str, SourceFile]]:
    """Return what the ids of the masks are, and the mask of each image that has one, by its place."""
    shown = {_place_of(file, IMAGE_END): file for file in images}
    found: _Found = {}
    for kind in KINDS:
        found[kind] = {}
        for grade in GRADES:
            end = f"_{grade}_{kind}.png"
            files = matching(source, f"{grade}/*/*/*{end}", links=links)
            found[kind][grade] = {_place_of(file, end): file for file in files}
    for grade, masks in found["labelIds"].items():
        end = f"_{grade}_{INSTANCES}.png"
        masks |= {_place_of(file, end): file for file in matching(source, f"{grade}/*/*/*{end}", links=links)}

    def covered(kind: str) -> tuple[int, int]:
        masks = found[kind]
        return len(shown.keys() & set().union(*masks.values())), len(shown.keys() & masks[LABELS].keys())

    # label ids where as many images have them, as finely: they tell more apart
    kind = max(KINDS, key=covered)
    labels: dict[str, SourceFile] = {}
    for grade, masks in found[kind].items():
        for place in sorted(masks.keys() - shown.keys()):
            if grade == LABELS:
                problems.bad(masks[place], None, f"a mask without an image in {IMAGES}")
            else:  # the coarse ones of all splits come together
                problems.left(f"masks {grade}_{kind} without an image in {IMAGES}", masks[place].relative)
        labels |= {place: file for place, file in masks.items() if place in shown and place not in labels}
    for place in sorted(shown):
        _note(place, shown[place], found, kind, labels.get(place), problems, warned)
    return kind, labels


def _note(
    place: str, image: SourceFile, found: _Found, kind: str, taken: SourceFile | None, problems: Problems, warned: bool
) -> None:
    """Note of an image that there is no ground truth, or only the coarse one, or others beside what was taken."""
    others = [
        (grade, other, masks[place])
        for other, grades in found.items()
        for grade, masks in grades.items()
        if place in masks and masks[place] is not taken
    ]
    if taken is None and others:
        problems.left(
            f"images without a mask, for their ground truth is of {others[0][1]} and that of others of {kind}",
            image.relative,
            warned=True,
        )
    elif taken is None:
        problems.left(f"images without ground truth in {' or '.join(GRADES)}", image.relative, warned=warned)
    else:
        if taken.parts[0] != LABELS and found[kind][LABELS]:
            problems.left(f"images without {LABELS}, whose masks are of {taken.parts[0]}", image.relative)
        for grade, other, file in others:
            problems.left(f"masks {grade}_{other}, for {taken.parts[0]}_{kind} is taken", file.relative)


def _notes(source: Path, options: ImportOptions) -> tuple[str, str, str | None, ClassSet | None, Collection[int]]:
    """Return the names of image column, mask and table, the classes, and those of crowds; None of what nobody says."""
    if options.classes is not None:
        classes = read_classes(options.classes)
        crowd = {item.id for item in classes if item.isthing} if classes.is_divided else THINGS
        return IMAGE, GROUND_TRUTH, None, classes, crowd
    path = beside(source, CLASSES, links=options.follow_links)
    if path is None:
        return IMAGE, GROUND_TRUTH, None, None, THINGS
    body = read_object(path)
    table = body.get(TABLE)
    if not isinstance(table, str | None):
        raise CorruptData(f"{path}: {TABLE} must be a name; got {table!r:.60}")
    said = body.get(CROWD, [])
    if not isinstance(said, list) or not all(is_count(number) for number in said):
        raise CorruptData(f"{path}: {CROWD} must be ids of classes; got {said!r:.60}")
    return *noted_mask(body, f"{path}: "), table, class_set(body.get(CLASSES_KEY), path), said


FORMAT: Final = Format(
    "cityscapes", read=read, write=write, sniff=sniff, takes=("image", "mask"), heeds=("classes", "follow_links")
)
