"""COCO's panoptic form: ``panoptic.json``, a PNG of segment ids for each mask in ``panoptic/``, and ``images/``.

A pixel's segment is red + 256 · green + 65,536 · blue, and 0 where there is none. Each mask becomes one
segment a class, or with ``instances`` one a connected component. Pixels of ignored classes belong to no
segment, as COCO's scores have it; where a mask has one such id, its annotation says which.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from maskl.formats.coco.common import Document, dump, framed, stem
from maskl.interchange.options import Dropped, Options
from maskl.interchange.pictures import Frame
from maskl.interchange.selection import Selection
from maskl_storage.errors import InvalidValue
from maskl_storage.masks.coco import by_class, components, segments_of
from maskl_storage.masks.png import array_png

__all__ = ["FILE", "FOLDER", "write"]

FILE: Final = "panoptic.json"
FOLDER: Final = "panoptic"
#: segments that three bytes tell apart, without the one that is none
MAX_SEGMENTS: Final = (1 << 24) - 1


def write(selection: Selection, folder: Path, options: Options, tick: Callable[[int], None]) -> Dropped:
    """Write the images, the segments' PNGs and their JSON of a selection into an empty folder."""
    dropped = Dropped()
    (folder / FOLDER).mkdir()

    def annotate(document: Document, frame: Frame) -> None:
        name = f"{stem(frame.index)}.png"
        annotation = _annotate(frame, folder / FOLDER / name, dropped, instances=options.instances)
        document.annotation(dump({"image_id": frame.index + 1, "file_name": name, **annotation}))

    framed(selection, folder, options, tick, dropped, annotate, FILE)
    return dropped


def _annotate(frame: Frame, path: Path, dropped: Dropped, *, instances: bool) -> dict[str, Any]:
    """Write the PNG of a mask, and return its segments."""
    assert frame.mask is not None  # noqa: S101  # only images with masks are annotated
    labels, ids = (components if instances else by_class)(frame.mask)
    segments = segments_of(labels, ids, counts=False)
    ignored = frame.classes.ignored
    void = sorted({segment.class_id for segment in segments} & ignored)
    if len(void) > 1:
        dropped["masks in which several ignored classes became one"] += 1
    numbers = np.zeros(ids.size, np.int64)
    kept = ~np.isin(ids, void)
    numbers[kept] = np.arange(1, kept.sum() + 1)
    if kept.sum() > MAX_SEGMENTS:
        raise InvalidValue(f"row {frame.row.row}: {kept.sum()} segments; a panoptic PNG tells {MAX_SEGMENTS} apart")
    colors = (numbers[:, None] >> np.array([0, 8, 16])).astype(np.uint8)
    path.write_bytes(array_png(colors[labels]))
    infos = [
        {"id": number, "category_id": segment.class_id, "area": segment.area, "bbox": segment.bbox, "iscrowd": 0}
        for number, segment in zip(numbers.tolist(), segments, strict=True)
        if number
    ]
    return {"segments_info": infos} | ({"void": void[0]} if void else {})
