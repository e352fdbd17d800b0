"""COCO's panoptic form: ``panoptic.json``, a PNG of segment ids for each mask in ``panoptic/``, and ``images/``.

A pixel's segment is red + 256 · green + 65,536 · blue, and 0 where there is none. Each mask becomes one
segment a class, or with ``instances`` one a connected component; a mask with segments has these, and one a class of
the ids that no segment names. Pixels of ignored classes belong to no
segment, as COCO's scores have it; where a mask has one such id, its annotation says which. Other tools' files
come with their segments: pixels of none are an ignored class.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from maskl.formats.coco._common import (
    FILE_NAME,
    HEEDS,
    TAKES,
    Coco,
    Document,
    Entry,
    Painted,
    Pixels,
    dump,
    find_file,
    framed,
    narrowest,
    read_source,
    stem,
)
from maskl.formats.coco._segments import CROWD, REGION, check_apart, said_segment, segment_notes
from maskl.interchange.format import Format
from maskl.interchange.options import Dropped, ExportOptions, ImportOptions
from maskl.interchange.pictures import Frame
from maskl.interchange.problems import Problems
from maskl.interchange.records import Layout, Record, blocks
from maskl.interchange.selection import Selection
from maskl.interchange.source_files import SourceFile, has_folder, inside
from maskl.interchange.untrusted import read_codes
from maskl_storage.errors import CorruptData, InvalidValue, NotFound
from maskl_storage.format.segments import Segment
from maskl_storage.masks.coco import by_class, components, segments_of
from maskl_storage.masks.png import array_png

__all__ = ["FILE", "FOLDER", "FORMAT", "read", "sniff", "write"]

FILE: Final = "panoptic.json"
FOLDER: Final = "panoptic"
#: what an annotation has its segments under, which no other form of COCO has
SEGMENTS: Final = "segments_info"
#: what an annotation of ours has the id of its pixels of no segment under
VOID: Final = "void"
#: segments that three bytes tell apart, without the one that is none
MAX_SEGMENTS: Final = (1 << 24) - 1


def write(selection: Selection, folder: Path, options: ExportOptions, tick: Callable[[int], None]) -> Dropped:
    """Write the images, the segments' PNGs and their JSON of a selection into an empty folder."""
    dropped = Dropped()
    (folder / FOLDER).mkdir()

    def annotate(document: Document, frame: Frame) -> None:
        name = f"{stem(frame.index)}.png"
        annotation = _annotate(frame, folder / FOLDER / name, dropped, instances=options.instances)
        document.annotation(dump({"image_id": frame.index + 1, FILE_NAME: name, **annotation}))

    framed(selection, folder, options, tick, dropped, annotate, FILE)
    return dropped


def _annotate(frame: Frame, path: Path, dropped: Dropped, *, instances: bool) -> dict[str, Any]:
    """Write the PNG of a mask, and return its segments."""
    assert frame.mask is not None and frame.ids is not None  # noqa: S101, PT018  # only images with masks come here
    named = None if frame.segments is None else {segment.id: segment for segment in frame.segments}
    labels, ids = (components if instances and named is None else by_class)(frame.ids)
    parts = segments_of(labels, ids, counts=False)
    ignored = frame.classes.ignored.difference(named or ())
    void = sorted({part.class_id for part in parts} & ignored)
    if len(void) > 1:
        dropped["masks in which several ignored classes became one"] += 1
    numbers = _numbers(ids, ~np.isin(ids, void), named or {})
    if (count := int(np.count_nonzero(numbers))) > MAX_SEGMENTS:
        raise InvalidValue(f"row {frame.row.row}: {count} segments; a panoptic PNG tells {MAX_SEGMENTS} apart")
    colors = (numbers[:, None] >> np.array([0, 8, 16])).astype(np.uint8)
    path.write_bytes(array_png(colors[labels]))
    infos = []
    for number, part in zip(numbers.tolist(), parts, strict=True):
        if number:
            info = {"id": number, "category_id": part.class_id, "area": part.area, "bbox": part.bbox, CROWD: 0}
            if named is not None:
                segment = named.get(part.class_id)
                info |= {REGION: True} if segment is None else {"category_id": segment.class_id}
                info |= {} if segment is None else segment_notes(segment, number, frame.classes.ignored)
            infos.append(info)
    return {SEGMENTS: infos} | ({VOID: void[0]} if void else {})


def _numbers(ids: Pixels, kept: npt.NDArray[np.bool_], named: Collection[int]) -> npt.NDArray[np.int64]:
    """Return the number of each part in the PNG: a segment's id where it fits, else the lowest that is free."""
    numbers = np.zeros(ids.size, np.int64)
    own = kept & np.isin(ids, list(named)) & (ids > 0) & (ids <= MAX_SEGMENTS)
    numbers[own] = ids[own]
    others = kept & ~own
    free = np.setdiff1d(np.arange(1, ids.size + 1), numbers[own], assume_unique=True)
    numbers[others] = free[: np.count_nonzero(others)]
    return numbers


# --- reading ------------------------------------------------------------------------------------


def sniff(source: Path) -> bool:
    """Whether a source is a panoptic COCO file, or a folder that holds one."""
    return find_file(source, FILE, (SEGMENTS,)) is not None


def read(source: Path, options: ImportOptions, problems: Problems) -> Iterator[Record]:
    """Yield the images of a panoptic COCO file, each with a mask of its segments.

    The ids of the PNG are those of the mask; of a mask whose ids were classes when maskl exported it, it is these.
    Pixels of no segment are an ignored class of their own, ``void``; an image without an annotation has
    no mask. The PNGs stand in the folder ``panoptic``, or in that named as the JSON file.
    """
    coco = read_source(source, FILE, (SEGMENTS,), None, options, problems)
    spare = coco.spare(VOID, ignore=True, taken=_taken(coco))

    def row(_: int, entry: Entry) -> list[Any]:
        def painted() -> Painted:
            index, annotation = entry.annotations[0]
            void = annotation.get(VOID, spare.id)
            if isinstance(void, bool) or not isinstance(void, int) or (void != spare.id and void not in coco.ids):
                raise InvalidValue(f"annotation {index}: {VOID}: there is no category {void!r:.40}")
            known = _known(index, annotation.get(SEGMENTS), coco.ids)
            segments = None
            if coco.is_segmented(entry):
                known, segments = _segments(index, annotation[SEGMENTS], known)
            mask, holed = _mask(coco, entry, index, annotation, void, known)
            if holed:
                check_apart((void, *(segment.id for segment in segments or ())), f"annotation {index}: {VOID}")
            return mask, [spare] if void == spare.id and holed else [], segments

        if len(entry.annotations) > 1:
            raise InvalidValue(f"image {entry.id!r:.40} has {len(entry.annotations)} annotations; one is needed")
        return coco.row(entry, painted if entry.annotations else None)

    yield from blocks(Layout(coco.table, coco.columns, coco.file, coco.types), coco.entries, row, problems)


def _taken(coco: Coco) -> set[int]:
    """Return the ids that segments have, where they are asked for: 0 is of none."""
    if 0 not in coco.ids:
        return set()
    annotations = (annotation for entry in coco.entries for _, annotation in entry.annotations)
    lists = (annotation.get(SEGMENTS) for annotation in annotations)
    items = (item for some in lists if isinstance(some, list) for item in some if isinstance(item, dict))
    return {number for item in items if isinstance(number := item.get("id"), int)}


def _segments(
    index: int, said: Sequence[Mapping[str, Any]], known: Mapping[int, int]
) -> tuple[dict[int, int], list[Segment]]:
    """Return the id that pixels of each segment of the PNG get, and what these ids stand for."""
    found: list[Segment] = []
    values: dict[int, int] = {}
    for at, item in enumerate(said):
        number = item["id"]
        if item.get(REGION) is True:
            values[number] = known[number]
        else:
            found.append(said_segment(f"annotation {index}: {SEGMENTS}[{at}]", item, known[number], number))
            values[number] = found[-1].id
    check_apart(values.values(), f"annotation {index}: {SEGMENTS}")
    return values, found


def _mask(
    coco: Coco, entry: Entry, index: int, annotation: Mapping[str, Any], void: int, of: Mapping[int, int]
) -> tuple[Pixels, bool]:
    """Return a mask with the id that each segment of the PNG becomes, and whether pixels are of none."""
    png = _png(coco.file, annotation.get(FILE_NAME), coco.options.follow_links)
    known = [0, *sorted(of)]
    kind = np.int32 if coco.is_segmented(entry) else narrowest(coco.ids | {void})
    values = np.array([void, *(of[number] for number in known[1:])], kind)
    # of each segment among the known ones, counted from 1; pages of memory that no segment lies in take none
    places = np.zeros(MAX_SEGMENTS + 1, np.uint32)
    places[known] = np.arange(1, len(known) + 1)
    mask = np.empty(entry.size, values.dtype)
    seen = np.zeros(len(known), np.bool_)
    for top, codes in read_codes(png, entry.size, coco.file.name):
        at = places[codes]
        if not at.all():
            number = int(codes[at == 0].min())
            raise InvalidValue(f"annotation {index}: segment {number} is in {png.name} and not in {SEGMENTS}")
        at -= 1
        mask[top : top + len(codes)] = values[at]
        seen[at] = True
    lost = [number for number, there in zip(known[1:], seen[1:].tolist(), strict=True) if not there]
    if lost:
        raise InvalidValue(f"annotation {index}: segment {lost[0]} is not in {png.name} but in {SEGMENTS}")
    return mask, bool(seen[0])


def _known(index: int, segments: Any, ids: frozenset[int]) -> dict[int, int]:
    """Return the category of each segment by its id."""
    if not isinstance(segments, list):
        raise CorruptData(f"annotation {index}: {SEGMENTS}: a list is needed; got {segments!r:.60}")
    categories: dict[int, int] = {}
    for at, segment in enumerate(segments):
        where = f"annotation {index}: {SEGMENTS}[{at}]"
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


def _png(file: SourceFile, name: object, links: bool) -> SourceFile:
    """Return the PNG of an annotation."""
    folder, stem = file.path.parent, file.path.stem
    try:
        return inside(folder, name, links=links, under=FOLDER)
    except NotFound as error:
        if not has_folder(folder, stem):
            raise NotFound(f"{error}, nor is there a folder {stem}") from error
        return inside(folder, name, links=links, under=stem)


FORMAT: Final = Format("coco-panoptic", read=read, write=write, sniff=sniff, takes=TAKES, heeds=HEEDS)
