"""Images, content-addressed: each distinct one stands once in a store, whatever refers to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from maskl_storage.errors import NotFound
from maskl_storage.parts import Listing
from maskl_storage.schema import FIXED

__all__ = ["ImageBytes", "ImageReader", "images_table", "stored_digests"]


@dataclass(frozen=True, slots=True)
class ImageBytes:
    """An encoded image and what its file is."""

    digest: str
    format: str
    mode: str
    width: int
    height: int
    data: bytes


def images_table(images: Iterable[ImageBytes]) -> pa.Table:
    """Return an images part's table."""
    items = list(images)
    columns = {
        "digest": [image.digest for image in items],
        "format": [image.format for image in items],
        "mode": [image.mode for image in items],
        "width": [image.width for image in items],
        "height": [image.height for image in items],
        "bytes": [image.data for image in items],
    }
    return pa.table(columns, schema=FIXED["images"])


def stored_digests(root: Path, listing: Listing) -> set[str]:
    """Return the digest of every image of a store."""
    digests: set[str] = set()
    for sealed in listing.of("images"):
        table = pq.read_table(root / sealed.part.path, columns=["digest"], partitioning=None)
        digests.update(table["digest"].to_pylist())
    return digests


class ImageReader:
    """Reads images by digest; files stay open, and the last row group of each is kept.

    Parameters
    ----------
    root : Path
        The store's directory.
    listing : Listing
        The live parts.
    """

    def __init__(self, root: Path, listing: Listing) -> None:
        self._root = root
        self._pending = [sealed.part.path for sealed in reversed(listing.of("images"))]
        self._places: dict[str, tuple[pq.ParquetFile, int, int]] = {}
        self._group: tuple[pq.ParquetFile, int, pa.Array] | None = None

    def read(self, digest: str) -> bytes:
        """Return an image's encoded bytes.

        Raises
        ------
        NotFound
            The store does not hold the image.
        """
        while digest not in self._places:
            if not self._pending:
                raise NotFound(f"the store holds no image with digest {digest}")
            self._index(self._pending.pop())
        file, group, index = self._places[digest]
        if self._group is None or self._group[0] is not file or self._group[1] != group:
            column = file.read_row_group(group, columns=["bytes"])["bytes"].combine_chunks()
            self._group = (file, group, column)
        data: bytes = self._group[2][index].as_py()
        return data

    def _index(self, path: str) -> None:
        file = pq.ParquetFile(self._root / path, memory_map=True, pre_buffer=False)
        for group in range(file.num_row_groups):
            digests = file.read_row_group(group, columns=["digest"])["digest"].to_pylist()
            for index, digest in enumerate(digests):
                self._places.setdefault(digest, (file, group, index))
