"""One row of a rows part: its stored cells, as the values that they stand for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from maskl_storage.format.boxes import Box, parse_boxes
from maskl_storage.format.json_values import load_text
from maskl_storage.format.metadata import LABELLED, ClassSet, Column
from maskl_storage.format.names import set_name

__all__ = ["Row", "RowReader", "StoredImage", "as_stored"]


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image cell as it is stored: no pixels, and its masks still encoded; a reference has no digest."""

    digest: str | None
    format: str | None
    mode: str | None
    width: int | None
    height: int | None
    caption: str | None
    path: str | None
    masks: Mapping[str, tuple[bytes, ClassSet]]
    boxes: Mapping[str, tuple[tuple[Box, ...], ClassSet]] = dataclasses.field(default_factory=dict)


def as_stored(image: StoredImage) -> StoredImage:
    """Return the image: what leaves the images of rows as they are stored."""
    return image


class Row(dict[str, Any]):
    """One row: the user's columns by their own names, and where it stands.

    Attributes
    ----------
    run_id, table_name : str
    row, step : int
        The ``_row`` and ``_step`` that SQL shows.
    """

    def __init__(self, cells: Mapping[str, Any], run_id: str, table_name: str, row: int, step: int) -> None:
        super().__init__(cells)
        self.run_id, self.table_name, self.row, self.step = run_id, table_name, row, step


class Columns(Protocol):
    """The columns of a row group, by their stored names."""

    def column(self, name: str) -> pa.Array:
        """Return a column."""

    def fields(self, name: str) -> Sequence[pa.Array]:
        """Return the fields of a column of images, in the order of ``IMAGE``."""

    def blob(self, name: str, position: int) -> bytes | None:
        """Return one value of a column of bytes."""


@dataclass(frozen=True, slots=True)
class _Labelled:
    """A column of masks or boxes of an image, and the column that numbers their class sets, where there is one."""

    stored: str
    key: str
    numbers: str | None
    class_sets: tuple[ClassSet, ...]

    def class_set(self, group: Columns, position: int) -> ClassSet:
        number = None if self.numbers is None else group.column(self.numbers)[position].as_py()
        return self.class_sets[number or 0]


class RowReader:
    """Makes rows of a part's row groups.

    Parameters
    ----------
    columns : mapping of str to Column
        The part's metadata.
    schema : pyarrow.Schema
        Its schema.
    """

    def __init__(self, columns: Mapping[str, Column], schema: pa.Schema) -> None:
        there = set(schema.names)
        layers: dict[tuple[str, str], list[_Labelled]] = {}
        for stored, column in columns.items():
            if column.kind in LABELLED and column.image is not None and column.key is not None:
                numbers = set_name(stored)
                layer = _Labelled(stored, column.key, numbers if numbers in there else None, column.class_sets)
                layers.setdefault((column.kind, column.image), []).append(layer)
        self._readers: list[tuple[str, bool, Callable[[Columns, int], Any]]] = []
        for stored, column in columns.items():
            if column.kind == "image":
                masks, boxes = (layers.get((kind, stored), []) for kind in LABELLED)
                self._readers.append((column.name, True, _ImageColumn(stored, masks, boxes)))
            elif column.kind == "value":
                self._readers.append((column.name, False, _ValueColumn(stored, column)))

    def cells(self, group: Columns, position: int, decode: Callable[[StoredImage], Any]) -> dict[str, Any]:
        """Return the user's cells of a row; ``decode`` makes a value of each image."""
        cells = {}
        for name, is_image, read in self._readers:
            value = read(group, position)
            cells[name] = decode(value) if is_image and value is not None else value
        return cells


@dataclass(frozen=True, slots=True)
class _ImageColumn:
    stored: str
    masks: list[_Labelled]
    boxes: list[_Labelled]

    def __call__(self, group: Columns, position: int) -> StoredImage | None:
        images = group.column(self.stored)
        if images.null_count and not images[position].is_valid:
            return None
        digest, form, mode, width, height, caption, path = (
            values[position].as_py() for values in group.fields(self.stored)
        )
        masks = {}
        for layer in self.masks:
            data = group.blob(layer.stored, position)
            if data is not None:
                masks[layer.key] = (data, layer.class_set(group, position))
        boxes = {}
        for layer in self.boxes:
            found = group.column(layer.stored)[position].as_py()
            if found is not None:
                boxes[layer.key] = (parse_boxes(found), layer.class_set(group, position))
        return StoredImage(digest, form, mode, width, height, caption, path, masks, boxes)


@dataclass(frozen=True, slots=True)
class _ValueColumn:
    stored: str
    column: Column

    def __call__(self, group: Columns, position: int) -> Any:
        if self.column.type == "bytes":
            return group.blob(self.stored, position)
        value = group.column(self.stored)[position].as_py()
        if value is None:
            return None
        if self.column.type == "json":
            return load_text(value)
        if self.column.type == "array":
            array = np.array(value, dtype=self.column.dtype)
            # nested lists do not tell the lengths inside an empty one
            inner = (self.column.shape or ())[array.ndim :] if array.size == 0 else ()
            return array.reshape((*array.shape, *(length or 0 for length in inner)))
        return value
