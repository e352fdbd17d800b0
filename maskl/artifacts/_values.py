"""Tables and images of artifacts, read back as values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from maskl.images.image import Image
from maskl.tables.table import Table
from maskl_storage.errors import CorruptData, InvalidType
from maskl_storage.format.artifacts import Entry, Version
from maskl_storage.store import Store

if TYPE_CHECKING:
    from maskl_storage.read.table import StoredImage

__all__ = ["value_of"]


class _Values(Store):
    """A store whose rows hold images."""

    def _decode(self, image: StoredImage) -> Image:
        digest = image.digest
        return Image.from_stored(image, lambda: self.image(str(digest)))


def value_of(root: Path, version: Version, entry: Entry) -> Table | Image:
    """Return the table, or the image, that an entry of a version is.

    Raises
    ------
    NotFound
        The store lacks its rows: somebody deleted the table.
    CorruptData
        They are others.
    """
    rows = _Values(root).table(str(entry.reference), run=version.run_id)
    if entry.kind == "image":
        image = rows[0]["image"] if len(rows) == 1 and "image" in rows.columns else None
        if not isinstance(image, Image):
            raise CorruptData(f"{entry.path!r} of artifact {version.qualified} is said to be an image, and is none")
        return image
    cells = [list(row.values()) for row in rows]
    names = rows.columns
    try:
        return Table(columns=names, data=cells)
    except InvalidType:
        return Table(columns=names, data=cells, allow_mixed_types=True)
