"""Images on their way into a store: encoded, and written to a part as they arrive."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from maskl_storage.catalog.listing import Listing
from maskl_storage.disk.futures import Job, Pool
from maskl_storage.disk.local import Folder
from maskl_storage.disk.parquet import PartWriter, open_part
from maskl_storage.errors import CorruptData
from maskl_storage.format.schemas import FIXED
from maskl_storage.format.seals import Part
from maskl_storage.images.digests import Digests, words_of
from maskl_storage.images.lossless import is_array_of_another

__all__ = ["ImageBytes", "ImagePart", "images_table", "stored_formats"]

#: bytes a row group: one image is then read in well under a millisecond
GROUP_BYTES: Final = 3 << 19
#: bytes that are written at a time: few calls leave the interpreter to the thread that logs
BATCH_BYTES: Final = 8 << 20
#: batches that may wait to be written
QUEUE: Final = 2


@dataclass(frozen=True, slots=True)
class ImageBytes:
    """An encoded image and what its file is."""

    digest: str
    format: str
    mode: str
    width: int
    height: int
    data: bytes
    #: whether it came as this file; None where nobody knows any more
    is_file: bool | None = None

    @property
    def is_newer(self) -> bool:
        """Whether it is an array in another format than its digest says, which 1.1 does not have."""
        size = self.width, self.height
        return not self.is_file and is_array_of_another(self.digest, self.format, self.mode, size, self.data)


def images_table(images: Sequence[ImageBytes]) -> pa.Table:
    """Return an images part's table; the images' bytes are not copied."""
    blobs = []
    for image in images:
        ends = pa.py_buffer(np.array([0, len(image.data)], np.int32))
        blobs.append(pa.Array.from_buffers(pa.binary(), 1, [None, ends, pa.py_buffer(image.data)]))
    columns = [[getattr(image, name) for image in images] for name in FIXED["images"].names[:-1]]
    return pa.table([*columns, pa.chunked_array(blobs, pa.binary())], schema=FIXED["images"])


class ImagePart:
    """An images part that is written as images arrive, on a thread of its own.

    Parameters
    ----------
    files : Folder
        The store.
    path : str
        Where the part will lie in it.
    sync : bool
        Whether the part is on the disk when it is finished.
    """

    def __init__(self, files: Folder, path: str, *, sync: bool = False) -> None:
        #: how many images were taken whole; -1 once it ends
        self.images = 0
        self._writer = PartWriter(files, path, FIXED["images"], sync=sync)
        self._pool = Pool(1)
        self._queued: deque[Job[None]] = deque()
        self._batch: list[ImageBytes] = []
        self._bytes = 0

    def add(self, image: ImageBytes) -> None:
        """Take an image; raises what went wrong with earlier ones."""
        self._batch.append(image)
        self._bytes += len(image.data)
        if self._bytes >= BATCH_BYTES:
            self._write_batch()
        while len(self._queued) > QUEUE or (self._queued and self._queued[0].done):
            self._queued[0].result()
            self._queued.popleft()
        self.images += 1

    def finish(self) -> Part:
        """Write what is left and return what a seal says of the part."""
        self.images = -1
        if self._batch:
            self._write_batch()
        try:
            for queued in self._queued:
                queued.result()
            return self._writer.finish()
        except BaseException:
            self.abandon()
            raise
        finally:
            self._pool.end()

    def abandon(self) -> None:
        """Remove what was written."""
        self.images = -1
        self._pool.end(cancel=True)
        self._writer.abandon()

    def _write_batch(self) -> None:
        batch, rows = self._batch, max(1, len(self._batch) * GROUP_BYTES // max(self._bytes, 1))
        self._batch, self._bytes = [], 0
        try:
            self._queued.append(self._pool.submit(lambda: self._writer.write(images_table(batch), rows)))
        except RuntimeError:  # the interpreter is shutting down: no thread takes new work
            for queued in self._queued:
                queued.result()
            self._queued.clear()
            self._writer.write(images_table(batch), rows)


def stored_formats(files: Folder, listing: Listing, besides: Collection[str] = ()) -> dict[str, Digests]:
    """Return the digest of every image of a store, by the format of its file, but for those of some runs."""
    found: dict[str, Digests] = {}
    for sealed in listing.of("images"):
        if sealed.run_id in besides:
            continue
        # a part that was merged since it was listed, or that is no file of the store, is left out: at worst, its images
        # are stored once more
        with contextlib.suppress(FileNotFoundError, CorruptData), open_part(files, sealed.part) as file:
            images = file.read(columns=["digest", "format"])
            for form in images["format"].unique().to_pylist():
                there = images["format"].is_null() if form is None else pc.equal(images["format"], form)
                digests = words_of(images["digest"].filter(there))
                found.setdefault(str(form), Digests()).add(digests)
    return found
