"""What rows are read as: a dict of the user's columns, and images as they are stored."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from maskl_storage.format.boxes import Box
from maskl_storage.format.metadata import ClassSet
from maskl_storage.format.segments import Segment

__all__ = ["Row", "StoredImage", "as_stored"]


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image cell as it is stored: no pixels, and its masks still encoded; a reference has no digest.

    ``segments`` has those of each mask whose ids are not classes.
    """

    digest: str | None
    format: str | None
    mode: str | None
    width: int | None
    height: int | None
    caption: str | None
    path: str | None
    masks: Mapping[str, tuple[bytes, ClassSet]]
    boxes: Mapping[str, tuple[tuple[Box, ...], ClassSet]] = dataclasses.field(default_factory=dict)
    segments: Mapping[str, tuple[Segment, ...]] = dataclasses.field(default_factory=dict)


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
