"""COCO's form of results: ``results.json``, a list that ``loadRes`` of pycocotools takes beside the ground truth.

Each segment of a mask that has a score is one result. Images are numbered as ``coco-rle`` and ``coco-panoptic`` number
those of the same rows, and categories are the ids of classes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from maskl.formats.coco._common import dump
from maskl.formats.coco._segments import SCORE
from maskl.interchange.format import Format
from maskl.interchange.options import Dropped, ExportOptions
from maskl.interchange.pictures import choose_mask, frames
from maskl.interchange.selection import Selection
from maskl_storage.errors import InvalidValue
from maskl_storage.masks.coco import by_class, segments_of

__all__ = ["FILE", "FORMAT", "write"]

FILE: Final = "results.json"


def write(selection: Selection, folder: Path, options: ExportOptions, tick: Callable[[int], None]) -> Dropped:
    """Write the scored segments of a selection into an empty folder.

    Raises
    ------
    InvalidValue
        No segment has a score.
    """
    dropped = Dropped()
    image, key = choose_mask(selection, options)
    written = 0
    with (folder / FILE).open("w", encoding="utf-8", newline="\n") as file:
        file.write("[")
        for frame in frames(selection, image, key, dropped, segmented=True):
            tick(1)
            if frame is None or frame.ids is None:
                continue
            if frame.segments is None:
                dropped[f"masks {key!r} without segments"] += 1
                continue
            scored = {segment.id: segment for segment in frame.segments if segment.score is not None}
            if len(scored) < len(frame.segments):
                dropped[f"segments of mask {key!r} without a score"] += len(frame.segments) - len(scored)
            labels, ids = by_class(frame.ids)
            for part in segments_of(labels, ids, counts=True) if scored else ():
                segment = scored.get(part.class_id)
                if segment is None:
                    continue
                result = {
                    "image_id": frame.index + 1,
                    "category_id": segment.class_id,
                    "segmentation": {"size": list(frame.ids.shape), "counts": part.counts},
                    SCORE: segment.score,
                }
                file.write(("\n" if written == 0 else ",\n") + dump(result))
                written += 1
        file.write("]\n")
    if not written:
        raise InvalidValue(
            f"no segment of mask {key!r} has a score, which each of COCO's results needs: name the mask of predictions "
            f"with --mask, or log 'score' with its segments"
        )
    return dropped


FORMAT: Final = Format("coco-results", write=write, takes=("image", "mask"))
