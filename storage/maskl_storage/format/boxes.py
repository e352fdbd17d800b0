"""Boxes over an image: as plain data, and as an Arrow column that SQL can ask about.

A box is kept as it was logged, in pixels or fractions of the image and as corners or centre and size; beside
that stand its corners as fractions of the image, so that one query serves every form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from maskl_storage.format.metadata import ClassSet, class_name

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["CENTER", "CORNERS", "FRACTIONAL", "PIXEL", "Box", "boxes_array", "parse_boxes"]

#: forms of a position, and what its four numbers are
CORNERS: Final = "corners"  # min_x, min_y, max_x, max_y
CENTER: Final = "center"  # middle x, middle y, width, height
#: what the numbers of a position count
PIXEL: Final = "pixel"
FRACTIONAL: Final = "fractional"


class Box(NamedTuple):
    """One box as it was logged.

    Parameters
    ----------
    position : tuple of float
        ``min_x, min_y, max_x, max_y`` where the form is ``corners``; the middle's ``x, y``, then width
        and height where it is ``center``.
    form : {'corners', 'center'}
    domain : {'pixel', 'fractional'}
    class_id : int or None
    caption : str or None
    scores : mapping of str to float, or None
    """

    position: tuple[float, float, float, float]
    form: str
    domain: str
    class_id: int | None = None
    caption: str | None = None
    scores: Mapping[str, float] | None = None


#: the boxes of one image, their class set, and the image's width and height where they are known
Labelled = tuple[Sequence[Box], ClassSet, tuple[int, int] | None]


def boxes_array(rows: Sequence[Labelled | None]) -> pa.Array:
    """Return the column of boxes of several rows; NULL where a row has none."""
    import pyarrow as pa

    from maskl_storage.format.schemas import BOXES

    boxes = [box for row in rows if row is not None for box in row[0]]
    counts = [0 if row is None else len(row[0]) for row in rows]
    names = [name for row in rows if row is not None for name in _class_names(row[0], row[1])]
    corners = _corners(boxes, [None if row is None else row[2] for row in rows], counts)
    unknown = pa.array(np.isnan(corners[:, 0]))
    scores = [None if box.scores is None else list(box.scores.items()) for box in boxes]
    fields = list(BOXES.value_type)
    children = [
        pa.array([box.class_id for box in boxes], pa.int32()),
        pa.array(names, pa.string()),
        *(pa.array(corner, pa.float64(), mask=unknown.to_numpy(zero_copy_only=False)) for corner in corners.T),
        pa.array([box.caption for box in boxes], pa.string()),
        pa.array(scores, fields[7].type),
        pa.array([box.form for box in boxes], pa.string()),
        pa.array([box.domain for box in boxes], pa.string()),
        pa.array([box.position for box in boxes], fields[10].type),
    ]
    offsets = pa.array(np.concatenate(([0], np.cumsum(counts))), pa.int32())
    missing = pa.array([row is None for row in rows], pa.bool_())
    values = pa.StructArray.from_arrays(children, fields=fields)
    return pa.ListArray.from_arrays(offsets, values, type=BOXES, mask=missing)


def parse_boxes(stored: Sequence[Mapping[str, Any]]) -> tuple[Box, ...]:
    """Return the boxes of a row's cell as they were logged."""
    return tuple(
        Box(
            tuple(item["position"]),
            item["form"],
            item["domain"],
            item["class_id"],
            item["caption"],
            None if item["scores"] is None else dict(item["scores"]),
        )
        for item in stored
    )


def _class_names(boxes: Sequence[Box], class_set: ClassSet) -> list[str | None]:
    items = {item.id: item for item in class_set}
    return [None if box.class_id is None else class_name(items.get(box.class_id), box.class_id) for box in boxes]


def _corners(
    boxes: Sequence[Box], sizes: Sequence[tuple[int, int] | None], counts: Sequence[int]
) -> npt.NDArray[np.float64]:
    """Return each box's corners as fractions of its image, shape (N, 4); NaN where they cannot be known."""
    numbers = np.array([box.position for box in boxes], np.float64).reshape(-1, 4)
    center = np.array([box.form == CENTER for box in boxes], np.bool_)
    half = numbers[center, 2:] / 2
    with np.errstate(over="ignore"):  # what no double holds is infinite
        numbers[center] = np.hstack((numbers[center, :2] - half, numbers[center, :2] + half))
    pixel = np.array([box.domain == PIXEL for box in boxes], np.bool_)
    size = np.array([(np.nan, np.nan) if size is None else size for size in sizes], np.float64).reshape(-1, 2)
    numbers[pixel] /= np.tile(size.repeat(counts, axis=0)[pixel], 2)
    return numbers
