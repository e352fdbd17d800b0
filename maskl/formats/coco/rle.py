"""COCO's detection form: ``annotations.json`` with compressed run lengths, and ``images/``; read also with polygons.

Each mask becomes one annotation a class, or with ``instances`` one a connected component. Annotations of
ignored classes have ``iscrowd`` 1, which leaves them out of COCO's scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
    Pixels,
    dump,
    find_file,
    framed,
    narrowest,
    read_source,
)
from maskl.interchange.format import Format
from maskl.interchange.options import Dropped, ExportOptions, ImportOptions
from maskl.interchange.pictures import Frame
from maskl.interchange.problems import Problems
from maskl.interchange.records import Layout, Record, blocks
from maskl.interchange.selection import Selection
from maskl_storage.errors import ConversionWarning, CorruptData, InvalidValue, MasklError, prefixed, warn
from maskl_storage.format.metadata import ClassItem
from maskl_storage.masks.coco import by_class, components, polygon, positions, read_counts, segments_of

__all__ = ["FILE", "FORMAT", "read", "sniff", "write"]

FILE: Final = "annotations.json"
#: what an annotation has its pixels under, which no other form of COCO has
SEGMENTATION: Final = "segmentation"
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
        assert frame.mask is not None  # noqa: S101  # only images with masks are annotated
        height, width = frame.mask.shape
        labels, ids = (components if options.instances else by_class)(frame.mask)
        ignored = frame.classes.ignored
        for segment in segments_of(labels, ids, counts=True):
            written += 1
            annotation = {
                "id": written,
                "image_id": frame.index + 1,
                "category_id": segment.class_id,
                SEGMENTATION: {"size": [height, width], "counts": segment.counts},
                "area": segment.area,
                "bbox": segment.bbox,
                "iscrowd": int(segment.class_id in ignored),
            }
            document.annotation(dump(annotation))

    framed(selection, folder, options, tick, dropped, annotate, FILE)
    return dropped


# --- reading ------------------------------------------------------------------------------------


def sniff(source: Path) -> bool:
    """Whether a source is a COCO file with segmentations, or a folder that holds one."""
    return find_file(source, FILE, SEGMENTATION) is not None


def read(source: Path, options: ImportOptions, problems: Problems) -> Iterator[Record]:
    """Yield the images of a COCO file, each with a mask of its annotations' categories.

    Where annotations overlap, the smaller one is on top. Pixels of none are a class of their own,
    ``background``; an image without annotations has no mask.
    """
    coco = read_source(source, FILE, SEGMENTATION, options, problems)
    background = coco.spare("background", ignore=False)
    overlaps = 0

    def row(_: int, entry: Entry) -> list[Any]:
        def painted() -> tuple[Pixels, Sequence[ClassItem]]:
            nonlocal overlaps
            mask = np.full(entry.size, background.id, narrowest(coco.ids | {background.id}))
            overlaps += _paint(mask, entry, coco.ids)
            return mask, [background] if (mask == background.id).any() else []

        return coco.row(entry, painted if entry.annotations else None)

    yield from blocks(Layout(coco.table, coco.columns, coco.file, coco.types), coco.entries, row, problems)
    if overlaps:
        warn(
            f"{coco.file}: {overlaps:,} pixels belonged to several annotations, and went to the smallest of them",
            ConversionWarning,
        )


def _paint(mask: Pixels, entry: Entry, ids: frozenset[int]) -> int:
    """Paint the annotations of an image, the largest first, and return how many pixels were painted again."""
    height, width = mask.shape
    segments = []
    held = 0
    for index, annotation in entry.annotations:
        category = annotation.get("category_id")
        if isinstance(category, bool) or not isinstance(category, int) or category not in ids:
            raise InvalidValue(f"annotation {index}: there is no category {category!r:.40}")
        try:
            covered = _covered(annotation.get(SEGMENTATION), height, width)
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
        numbers = isinstance(corners, list) and all(type(number) in (int, float) for number in corners)
        if not numbers or len(corners) < 6 or len(corners) % 2:
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
