"""COCO's detection form: ``annotations.json`` with compressed run lengths, and ``images/``; read also with polygons.

Each mask becomes one annotation a class, or with ``instances`` one a connected component; one with segments has one a
segment, and one a class of the ids that no segment names. These, and annotations of ignored classes, have ``iscrowd``
1, which leaves them out of COCO's scores. Other tools' annotations come in as segments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from maskl.formats.coco._common import (
    HEEDS,
    MAX_PAINTED,
    TAKES,
    Document,
    Entry,
    Painted,
    Pixels,
    dump,
    find_file,
    framed,
    narrowest,
    read_source,
)
from maskl.formats.coco._segments import CROWD, LOGGED, REGION, check_apart, said_segment, segment_notes
from maskl.interchange.format import Format
from maskl.interchange.options import Dropped, ExportOptions, ImportOptions
from maskl.interchange.pictures import Frame
from maskl.interchange.problems import Problems
from maskl.interchange.records import Layout, Record, blocks
from maskl.interchange.selection import Selection
from maskl_storage.errors import ConversionWarning, CorruptData, InvalidValue, MasklError, prefixed, warn
from maskl_storage.format.boxes import CORNERS, PIXEL, Box
from maskl_storage.format.metadata import INT32
from maskl_storage.format.segments import Segment
from maskl_storage.masks.coco import by_class, components, polygon, positions, read_counts, segments_of

__all__ = ["FILE", "FORMAT", "read", "sniff", "write"]

FILE: Final = "annotations.json"
#: what an annotation has its pixels under, which no other form of COCO has
SEGMENTATION: Final = "segmentation"
#: what it has its box under, which may be all that it has; and what files of the other form have beside boxes
BOX: Final = "bbox"
KEYS: Final = (SEGMENTATION, BOX)
SEGMENTS: Final = "segments_info"
#: numbers of a polygon that encloses something: x and y of three corners
CORNERS_NEEDED: Final = 6
#: how often the pixels of the largest image may be covered
COVERED: Final = 2
#: positions that are painted at a time
PIECE: Final = 1 << 20
#: what part of an image's pixels is rather painted than sorted
DENSE: Final = 8


def write(selection: Selection, folder: Path, options: ExportOptions, tick: Callable[[int], None]) -> Dropped:
    """Write the images and the annotations of a selection into an empty folder."""
    dropped = Dropped()
    written = 0

    def annotate(document: Document, frame: Frame) -> None:
        nonlocal written
        assert frame.ids is not None  # noqa: S101  # only images with masks are annotated
        height, width = frame.ids.shape
        named = None if frame.segments is None else {segment.id: segment for segment in frame.segments}
        labels, ids = (components if options.instances and named is None else by_class)(frame.ids)
        ignored = frame.classes.ignored
        for part in segments_of(labels, ids, counts=True):
            written += 1
            annotation = {
                "id": written,
                "image_id": frame.index + 1,
                "category_id": part.class_id,
                SEGMENTATION: {"size": [height, width], "counts": part.counts},
                "area": part.area,
                BOX: part.bbox,
                CROWD: int(named is not None or part.class_id in ignored),
            }
            if named is not None:
                segment = named.get(part.class_id)
                annotation |= {REGION: True} if segment is None else {"category_id": segment.class_id}
                annotation |= {} if segment is None else segment_notes(segment, None, ignored)
            document.annotation(dump(annotation))

    framed(selection, folder, options, tick, dropped, annotate, FILE)
    return dropped


# --- reading ------------------------------------------------------------------------------------


def sniff(source: Path) -> bool:
    """Whether a source is a COCO file with segmentations, or a folder that holds one."""
    return find_file(source, FILE, KEYS, SEGMENTS) is not None


def read(source: Path, options: ImportOptions, problems: Problems) -> Iterator[Record]:
    """Yield the images of a COCO file, each with a mask of its annotations.

    Each annotation is a segment, whose id is above those of all classes; what maskl wrote has the ids that it had.
    Where annotations overlap, the smaller one is on top. Pixels of none are a class of their own, ``background``; an
    image without annotations has no mask. Polygons of fewer than three points enclose nothing and are left out. An
    annotation without a segmentation is a box: the image has its box, and a mask only if other annotations have one,
    in which the pixels of the box that belong to none are an ignored class, ``unsegmented``.
    """
    coco = read_source(source, FILE, KEYS, SEGMENTS, options, problems)
    taken = {
        number for entry in coco.entries for _, said in entry.annotations if type(number := said.get(LOGGED)) is int
    }
    background = coco.spare("background", ignore=False, taken=taken)
    unsegmented = coco.spare("unsegmented", ignore=True, taken={*taken, background.id})
    spare = (background, unsegmented)
    overlaps = 0
    most = max((len(entry.annotations) for entry in coco.entries), default=0)
    first = _first({*coco.ids, *(item.id for item in spare)}, most)

    def row(_: int, entry: Entry) -> list[Any]:
        sorted_out = _SortedOut.of(entry, coco.ids)

        def painted() -> Painted:
            nonlocal overlaps
            outlined, segments = sorted_out.outlined, None
            used = coco.ids.union(item.id for item in spare)
            if coco.is_segmented(entry):
                outlined, segments = _segments(entry, outlined, first)
                used |= {first + most, *(segment.id for segment in segments)}
            mask = np.full(entry.size, background.id, narrowest(used))
            held = 0
            for box in map(_pixels_of, sorted_out.boxes):
                held += mask[box].size
                _check_covered(held)
                mask[box] = unsegmented.id
            overlaps += _paint(mask, outlined)
            return mask, [item for item in spare if (mask == item.id).any()], segments

        made = coco.row(entry, painted if sorted_out.outlined else None, sorted_out.boxes)
        sorted_out.note(entry, problems)
        return made

    yield from blocks(Layout(coco.table, coco.columns, coco.file, coco.types), coco.entries, row, problems)
    if overlaps:
        warn(
            f"{coco.file}: {overlaps:,} pixels belonged to several annotations, and went to the smallest of them",
            ConversionWarning,
        )


def _first(taken: Collection[int], count: int) -> int:
    """Return the first of so many ids in a row that are not taken, above all others where they fit there."""
    edges = sorted({0, INT32[1] + 1, *(number for number in taken if number > 0)})
    return [low + 1 for low, high in pairwise(edges) if high - low > count][-1]


def _segments(
    entry: Entry, outlined: Sequence[tuple[int, int, Any]], first: int
) -> tuple[list[tuple[int, int, Any]], list[Segment]]:
    """Return what is painted with the id that each annotation gets, and what these ids stand for."""
    said = dict(entry.annotations)
    painted: list[tuple[int, int, Any]] = []
    segments: list[Segment] = []
    for place, (index, category, segmentation) in enumerate(outlined):
        number = category
        if said[index].get(REGION) is not True:
            segments.append(said_segment(f"annotation {index}", said[index], category, first + place))
            number = segments[-1].id
        painted.append((index, number, segmentation))
    check_apart((number for _, number, _ in painted), entry.name)
    return painted, segments


@dataclass(slots=True)
class _SortedOut:
    """The annotations of an image: those with pixels, and those that are boxes alone."""

    #: number, category and segmentation
    outlined: list[tuple[int, int, Any]] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    #: the numbers of annotations that are boxes, that are nothing, and of each polygon that is too short
    boxed: list[int] = field(default_factory=list)
    empty: list[int] = field(default_factory=list)
    short: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, entry: Entry, ids: frozenset[int]) -> _SortedOut:
        """Sort the annotations out, each of which must be of a category."""
        made = cls()
        for index, annotation in entry.annotations:
            category = annotation.get("category_id")
            if isinstance(category, bool) or not isinstance(category, int) or category not in ids:
                raise InvalidValue(f"annotation {index}: there is no category {category!r:.40}")
            segmentation = annotation.get(SEGMENTATION)
            if isinstance(segmentation, list):
                kept = [corners for corners in segmentation if not _is_short(corners)]
                made.short += [index] * (len(segmentation) - len(kept))
                segmentation = kept
            if segmentation not in (None, [], {}):
                made.outlined.append((index, category, segmentation))
            elif (box := _box(annotation.get(BOX), category, index)) is not None:
                made.boxes.append(box)
                made.boxed.append(index)
            else:
                made.empty.append(index)
        return made

    def note(self, entry: Entry, problems: Problems) -> None:
        """Note what no mask is made of."""
        for what, numbers in (
            ("polygons of fewer than three points", self.short),
            ("annotations without a segmentation, which are kept as boxes", self.boxed),
            ("annotations with neither segmentation nor box", self.empty),
        ):
            if numbers:
                problems.left(what, f"annotation {numbers[0]} of {entry.name}", len(numbers), warned=True)
        if entry.annotations and not self.outlined:
            problems.left("images whose annotations have no segmentation, which have no mask", entry.name, warned=True)


def _is_short(corners: Any) -> bool:
    """Whether these are the numbers of fewer than three points."""
    return _are_numbers(corners) and len(corners) < CORNERS_NEEDED and len(corners) % 2 == 0


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(type(number) in (int, float) for number in value)


def _box(numbers: Any, category: int, index: int) -> Box | None:
    """Return the box of x, y, width and height; None where there are none."""
    if numbers is None or numbers == []:
        return None
    where = f"annotation {index}: {BOX}"
    if not _are_numbers(numbers) or len(numbers) != 4:
        raise CorruptData(f"{where}: x, y, width and height are needed; got {numbers!r:.60}")
    try:
        x, y, width, height = map(float, numbers)
    except OverflowError as error:
        raise CorruptData(f"{where}: a number is out of range: {error}") from error
    corners = (x, y, x + width, y + height)
    if not all(map(math.isfinite, corners)) or width < 0 or height < 0:
        raise CorruptData(f"{where}: finite numbers are needed, and no size below 0; got {numbers!r:.60}")
    return Box(corners, CORNERS, PIXEL, category)


def _pixels_of(box: Box) -> tuple[slice, slice]:
    """Return the rows and columns that a box touches; NumPy takes those beyond the image for none."""
    left, top, right, bottom = (max(number, 0.0) for number in box.position)
    return slice(math.floor(top), math.ceil(bottom)), slice(math.floor(left), math.ceil(right))


def _paint(mask: Pixels, annotations: Sequence[tuple[int, int, Any]]) -> int:
    """Paint the annotations of an image, the largest first, and return how many pixels were painted again."""
    height, width = mask.shape
    segments = []
    held = 0
    for index, category, segmentation in annotations:
        try:
            covered = _covered(segmentation, height, width)
        except MasklError as error:
            raise prefixed(error, f"annotation {index}") from error
        held += covered.size
        _check_covered(held)
        segments.append((covered, category))
    segments.sort(key=lambda segment: -segment[0].size)
    flat = mask.reshape(-1)
    painted = np.zeros(flat.size, np.bool_)
    for covered, category in segments:
        _paint_over(flat, covered, category)
        _paint_over(painted, covered, True)
    return sum(covered.size for covered, _ in segments) - int(painted.sum())


def _paint_over(flat: Pixels, places: Pixels, value: int) -> None:
    """Give some pixels a value, a piece at a time: NumPy makes eight bytes of each place."""
    for first in range(0, places.size, PIECE):
        flat[places[first : first + PIECE]] = value


def _check_covered(pixels: int) -> None:
    """Raise InvalidValue for more pixels than are held at a time, however many times each is covered."""
    if pixels > COVERED * MAX_PAINTED:
        raise InvalidValue(f"its annotations cover {pixels:,} pixels; up to {COVERED * MAX_PAINTED:,} are painted")


def _covered(segmentation: Any, height: int, width: int) -> Pixels:
    """Return the flat positions of the pixels of an annotation."""
    if isinstance(segmentation, list):
        return _inside(segmentation, height, width)
    if not isinstance(segmentation, Mapping):
        raise CorruptData(f"segmentation: size and counts are needed; got {segmentation!r:.60}")
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if size != [height, width]:
        raise InvalidValue(f"segmentation: size {size!r:.60} is not the image's, [{height}, {width}]")
    if isinstance(counts, str):
        return positions(read_counts(counts), height, width)
    if not isinstance(counts, list) or not all(type(count) is int and count >= 0 for count in counts):
        raise CorruptData(f"segmentation: counts must be text or whole numbers; got {counts!r:.60}")
    if any(count > height * width for count in counts):
        raise CorruptData(f"a run of {max(counts)!s:.40} pixels leaves the {width}×{height} image")
    return positions(np.array(counts, np.int64), height, width)


def _inside(polygons: Sequence[Any], height: int, width: int) -> Pixels:
    """Return the flat positions of the pixels that lie in any of some polygons."""
    return _united(_polygons(polygons, height, width), height * width)


def _polygons(polygons: Sequence[Any], height: int, width: int) -> Iterator[Pixels]:
    """Yield the flat positions of the pixels of each polygon."""
    total = 0
    for corners in polygons:
        if not _are_numbers(corners) or len(corners) < 6 or len(corners) % 2:
            raise CorruptData(f"segmentation: a polygon is a list of at least three x, y; got {corners!r:.60}")
        try:
            covered = polygon(np.array(corners, np.float64).reshape(-1, 2), height, width)
        except OverflowError as error:
            raise CorruptData(f"segmentation: a corner is out of range: {error}") from error
        total += covered.size
        _check_covered(total)
        yield covered


def _united(parts: Iterable[Pixels], size: int) -> Pixels:
    """Return the positions of several parts of an image of ``size`` pixels, each once.

    Those of a single part are distinct, and many are painted: sorting them takes longer than all else.
    """
    held: list[Pixels] = []
    canvas: npt.NDArray[np.bool_] | None = None
    for part in parts:
        held.append(part)
        if len(held) > 1 and sum(one.size for one in held) > size // DENSE:
            canvas = np.zeros(size, np.bool_) if canvas is None else canvas
            while held:
                _paint_over(canvas, held.pop(), True)
    if canvas is None:
        return held[0] if len(held) == 1 else np.unique(np.concatenate([np.zeros(0, np.int32), *held]))
    for part in held:
        _paint_over(canvas, part, True)
    united = np.empty(int(np.count_nonzero(canvas)), np.int32)
    end = 0
    for first in range(0, size, PIECE):
        found = canvas[first : first + PIECE].nonzero()[0] + first
        united[end : end + found.size] = found
        end += found.size
    return united


FORMAT: Final = Format("coco-rle", read=read, write=write, sniff=sniff, takes=TAKES, heeds=HEEDS)
