"""COCO's detection form: ``annotations.json`` with compressed run lengths, and ``images/``.

Each mask becomes one annotation a class, or with ``instances`` one a connected component. Annotations of
ignored classes have ``iscrowd`` 1, which leaves them out of COCO's scores.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from maskl.formats.coco.common import Document, dump, framed
from maskl.interchange.options import Dropped, Options
from maskl.interchange.pictures import Frame
from maskl.interchange.selection import Selection
from maskl_storage.masks.coco import by_class, components, segments_of

__all__ = ["FILE", "write"]

FILE: Final = "annotations.json"


def write(selection: Selection, folder: Path, options: Options, tick: Callable[[int], None]) -> Dropped:
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
                "segmentation": {"size": [height, width], "counts": segment.counts},
                "area": segment.area,
                "bbox": segment.bbox,
                "iscrowd": int(segment.class_id in ignored),
            }
            document.annotation(dump(annotation))

    framed(selection, folder, options, tick, dropped, annotate, FILE)
    return dropped
