"""Rows of plain cells to Arrow tables: the rows themselves, and the statistics beside them.

Nothing here touches a file. A *batch* is rows of one table with one set of columns; its tables are
those of section 4 of SPEC.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.ma  # else pyarrow loads it at the first batch, in the middle of somebody's training
import pyarrow as pa

from maskl_storage.cells.cells import Batch, BoxesCell, ImageCell, MaskCell
from maskl_storage.cells.class_pixels import (
    class_pixels_table,
    class_totals,
    confusion_table,
    confusion_totals,
    joint_groups,
    mask_groups,
)
from maskl_storage.cells.class_scores import score_tables, unmatched_pairs
from maskl_storage.cells.columns import merge_class_sets
from maskl_storage.format.boxes import boxes_array
from maskl_storage.format.metadata import Column
from maskl_storage.format.names import column_name, set_name
from maskl_storage.format.schemas import IMAGE, UTC, value_type, with_metadata
from maskl_storage.format.segments import segments_array

# pyarrow looks for pandas when it first makes an array: now, and not in the middle of somebody's training
pa.array(np.empty(0))

__all__ = ["build"]

Row = Sequence[Any]


def build(batch: Batch) -> Iterator[tuple[str, pa.Table]]:
    """Yield the tables of a batch by kind of part; statistics without a row are left out.

    Each is made when it is asked for, so that a writer that keeps none needs memory for one.
    """
    names = _stored_names(batch.columns)
    images = [(names[index], index) for index, column in enumerate(batch.columns) if column.kind == "image"]
    yield "rows", _rows_table(batch, names)
    counts = class_pixels_table(batch, mask_groups(batch, images))
    if counts.num_rows:
        totals = class_totals(counts)
        yield "class_pixels", counts
        del counts
        yield "class_totals", totals
    groups = joint_groups(batch, images)
    counts = confusion_table(batch, groups)
    if counts.num_rows:
        totals = confusion_totals(counts)
        yield "confusion", counts
        del counts
        yield "confusion_totals", totals
    yield from score_tables(batch, groups, unmatched_pairs(batch, images))


# --- rows ---------------------------------------------------------------------------------------


def _stored_names(columns: Iterable[Column]) -> list[str]:
    names: list[str] = []
    for column in columns:
        names.append(column_name(column.name, names))
    return names


def _rows_table(batch: Batch, names: Sequence[str]) -> pa.Table:
    fields: list[tuple[str, pa.Array]] = [
        ("_row", pa.array(batch.row_ids)),
        ("_step", pa.array(batch.steps)),
        ("_timestamp", pa.array(batch.timestamps).cast(UTC)),
    ]
    metadata: dict[str, Column] = {}
    taken = {name.casefold() for name in names}
    if batch.frame is not None:
        for name, column, values in zip(names, batch.columns, batch.frame.columns, strict=True):
            metadata[name] = column
            fields.append((name, values))
    cells = list(zip(*batch.rows, strict=True)) if len(batch.rows) else [()] * len(batch.columns)
    for name, column, values in zip(names, batch.columns, cells, strict=True) if batch.frame is None else ():
        metadata[name] = column
        if column.kind == "image":
            fields.append((name, _image_array(values)))
            for part in (_mask_columns, _boxes_columns, _segments_columns):
                for stored, entry, arrays in part(name, values, taken):
                    metadata[stored] = entry
                    fields += arrays
        else:
            fields.append((name, _value_array(column, values)))
    table = pa.table([array for _, array in fields], names=[name for name, _ in fields])
    return table.replace_schema_metadata(with_metadata(table.schema, metadata).metadata)


def _image_array(cells: Sequence[ImageCell | None]) -> pa.Array:
    children = [
        pa.array([None if cell is None else getattr(cell, field.name) for cell in cells], field.type) for field in IMAGE
    ]
    missing = pa.array([cell is None for cell in cells], pa.bool_())
    return pa.StructArray.from_arrays(children, fields=list(IMAGE), mask=missing)


#: a stored column, its metadata, and its arrays: the values and perhaps the numbers of class sets
_Stored = tuple[str, Column, list[tuple[str, pa.Array]]]


def _mask_columns(image: str, cells: Sequence[ImageCell | None], taken: set[str]) -> Iterator[_Stored]:
    for key in dict.fromkeys(key for cell in cells if cell is not None for key in cell.masks):
        masks = [None if cell is None else cell.masks.get(key) for cell in cells]
        data = pa.array([None if mask is None else mask.data for mask in masks], pa.binary())
        yield _labelled("mask", image, key, masks, data, taken)


def _boxes_columns(image: str, cells: Sequence[ImageCell | None], taken: set[str]) -> Iterator[_Stored]:
    for key in dict.fromkeys(key for cell in cells if cell is not None for key in cell.boxes):
        boxes = [None if cell is None else cell.boxes.get(key) for cell in cells]
        rows = [
            None if found is None or cell is None else (found.boxes, found.class_set, _size(cell))
            for found, cell in zip(boxes, cells, strict=True)
        ]
        yield _labelled("boxes", image, key, boxes, boxes_array(rows), taken)


def _segments_columns(image: str, cells: Sequence[ImageCell | None], taken: set[str]) -> Iterator[_Stored]:
    found = ((key, mask) for cell in cells if cell is not None for key, mask in cell.masks.items())
    for key in dict.fromkeys(key for key, mask in found if mask.segments is not None):
        masks = [None if cell is None else cell.masks.get(key) for cell in cells]
        rows = [None if mask is None or mask.segments is None else (mask.segments, mask.class_set) for mask in masks]
        stored = _free_name(f"{image}__segments__{key}", taken)
        yield stored, Column("segments", image, image=image, key=key), [(stored, segments_array(rows))]


def _size(cell: ImageCell) -> tuple[int, int] | None:
    return None if cell.width is None or cell.height is None else (cell.width, cell.height)


def _labelled(
    kind: str,
    image: str,
    key: str,
    cells: Sequence[MaskCell | BoxesCell | None],
    values: pa.Array,
    taken: set[str],
) -> _Stored:
    """Return one key's masks or boxes under a name that nothing else has, with their class sets."""
    stored = _free_name(f"{image}__{kind}__{key}", taken)
    sets, numbers = merge_class_sets(cells)
    arrays = [(stored, values)]
    if len(sets) > 1:
        arrays.append((set_name(stored), pa.array(numbers, pa.uint16())))
    return stored, Column(kind, image, image=image, key=key, class_sets=sets), arrays


def _free_name(stored: str, taken: set[str]) -> str:
    """Return a name that nothing else has, nor what numbers its class sets, and take it."""
    while not taken.isdisjoint({stored.casefold(), set_name(stored).casefold()}):
        stored += "_1"
    taken |= {stored.casefold(), set_name(stored).casefold()}
    return stored


def _value_array(column: Column, values: Sequence[Any]) -> pa.Array:
    kind = value_type(column)
    if column.type == "array" and (column.ndim or 1) > 1:
        values = [None if value is None else value.tolist() for value in values]
    return pa.array(values, kind)
