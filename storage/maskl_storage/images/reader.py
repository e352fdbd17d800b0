"""Images, content-addressed: each distinct one stands once in a store, whatever refers to it."""

from __future__ import annotations

import contextlib
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from maskl_storage.catalog.listing import Listing
from maskl_storage.disk.cache import Cache
from maskl_storage.disk.forks import ForkLock
from maskl_storage.disk.local import Folder
from maskl_storage.disk.mapped import Chunk, MappedFile, Maps, chunks_of, open_parquet
from maskl_storage.disk.parquet import reading
from maskl_storage.errors import CorruptData, NotFound
from maskl_storage.images.digests import Sorted, words_of

__all__ = ["ImageReader"]

#: bytes of places of images that are kept, of row groups that were read last
STARTS_BYTES: Final = 4 << 20
#: bytes of row groups that are kept, since images of neighbouring rows stand side by side
GROUPS_BYTES: Final = 8 << 20


class ImageReader:
    """Reads images by digest, each from its place in a mapped file; safe to call from several threads.

    The digests of a part are read when an image is asked for that no part before it has, and are kept packed:
    40 bytes an image.

    Parameters
    ----------
    files : Folder
        The store.
    listing : Listing
        The live parts.
    """

    def __init__(self, files: Folder, listing: Listing) -> None:
        maps = Maps(files)
        self._files = [_ImageFile(maps.open(s.part.path, s.part.bytes)) for s in listing.of("images")]
        self._waiting = len(self._files)
        self._indexes: tuple[_Index, ...] = ()
        self._damaged: CorruptData | None = None
        self._lock = ForkLock()
        self._kept = False
        self._groups: Cache[pa.Array] = Cache(GROUPS_BYTES, lambda images: int(images.nbytes))
        self._starts: Cache[array[int]] = Cache(STARTS_BYTES, lambda starts: 8 * len(starts) + 256)

    def read(self, digest: str) -> bytes:
        """Return an image's encoded bytes.

        Raises
        ------
        NotFound
            The store does not hold the image, or the file that held it is gone.
        """
        place = self._place(digest)
        if place is None:
            raise self._missing(digest)
        number, row = place
        file = self._files[number]
        group = file.group_of(row)
        starts = self._starts.get((number, group))
        try:
            if starts is None:
                starts = file.starts_of(group)
                if starts is None:
                    return file.read(group, row)
                self._starts.put((number, group), starts)
            row -= file.groups[group]
            return file.file.value(starts[row], starts[row + 1])
        except FileNotFoundError as error:
            raise NotFound(f"the file that held the image with digest {digest} is gone") from error

    def column(self, digests: pa.Array | pa.ChunkedArray) -> pa.ChunkedArray:
        """Return the encoded images of a column of digests; null where there is no digest.

        Row groups are read as a whole and handed on without copies, and nothing is mapped, as what is mapped counts as
        this process's memory. Once this was called, the files can be removed.

        Raises
        ------
        NotFound
            The store does not hold one of them.
        """
        places = self._places(digests)
        ends = np.flatnonzero((places[1:, :2] != places[:-1, :2]).any(axis=1)) + 1
        chunks = []
        for start, stop in pairwise([0, *ends.tolist(), places.shape[0]]):
            number, group = places[start, :2].tolist() if stop > start else (-1, -1)
            rows = places[start:stop, 2]
            chunks.append(pa.nulls(rows.size, pa.binary()) if number < 0 else self._taken(number, group, rows))
        return pa.chunked_array(chunks, pa.binary())

    def _places(self, digests: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int64]:
        """Return the file, row group and row in that of each image; −1 where there is no digest."""
        with self._lock.held:
            for file in () if self._kept else self._files:
                with contextlib.suppress(FileNotFoundError, CorruptData):  # replaced since it was listed, or none
                    file.keep()
            self._kept = True
            while self._waiting:
                self._index_next()
            index = _Index.join(self._indexes)
        at = index.digests.places(words_of(digests))
        there = np.asarray(digests.is_valid().to_numpy(zero_copy_only=False), np.bool_)
        missing = np.flatnonzero(there & (at < 0))
        if missing.size:
            raise self._missing(digests[int(missing[0])].as_py())
        places = np.full((at.size, 3), -1, np.int64)
        numbers, rows = index.places[at[there]].T.astype(np.int64)
        groups = np.empty_like(rows)
        for number in np.unique(numbers).tolist():
            mine = numbers == number
            starts = np.array(self._files[number].groups)
            groups[mine] = starts.searchsorted(rows[mine], "right") - 1
            rows[mine] -= starts[groups[mine]]
        places[there] = np.stack([numbers, groups, rows], axis=1)
        return places

    def _taken(self, number: int, group: int, rows: npt.NDArray[np.int64]) -> pa.Array:
        """Return images of a row group: a view, unless that would keep much more in memory than is used."""
        images = self._groups.get((number, group))
        if images is None:
            try:
                with self._lock.held:
                    images = self._files[number].read_group(group)
            except FileNotFoundError as error:
                raise NotFound(f"{self._files[number].file.path} is gone, which held images") from error
            self._groups.put((number, group), images)
        first, count = int(rows[0]), rows.size
        if 2 * count >= len(images) and np.array_equal(rows, np.arange(first, first + count)):
            return images.slice(first, count)
        return images.take(pa.array(rows))

    def _place(self, digest: str) -> tuple[int, int] | None:
        """Return the file and row of an image, reading the digests of parts until it is found."""
        for index in self._indexes:
            if (place := index.find(digest)) is not None:
                return place
        with self._lock.held:
            while self._waiting:
                self._index_next()
                if self._indexes and (place := self._indexes[-1].find(digest)) is not None:
                    return place
        # perhaps another thread has found it meanwhile
        return next((place for index in self._indexes if (place := index.find(digest)) is not None), None)

    def _missing(self, digest: str) -> NotFound | CorruptData:
        """Return the error that says that an image is not found, and whether a damaged part may hold it."""
        if self._damaged is not None:
            return CorruptData(f"no image with digest {digest} can be read: {self._damaged}")
        return NotFound(f"the store holds no image with digest {digest}")

    def _index_next(self) -> None:
        """Read the digests of the last part whose digests were not read yet; with the lock held."""
        number = self._waiting - 1
        try:
            self._indexes = (*self._indexes, self._files[number].index(number))
        except FileNotFoundError:  # replaced since it was listed
            pass
        except CorruptData as error:  # the images of other parts can be read
            self._damaged = error
        self._waiting = number
        if not number:
            self._indexes = (_Index.join(self._indexes),)


class _ImageFile:
    """An images part: where its row groups begin, and where the images' bytes of each lie."""

    def __init__(self, file: MappedFile) -> None:
        self.file = file
        self.groups: list[int] = [0]
        self._chunks: list[Chunk | None] = []
        self._kept: pq.ParquetFile | None = None

    def index(self, number: int) -> _Index:
        """Read the digests, of the number-th file, and where the row groups are."""
        with open_parquet(self.file) if self._kept is None else contextlib.nullcontext(self._kept) as parquet:
            metadata = parquet.metadata
            nothing: list[Chunk | None] = [None] * metadata.num_row_groups  # of one that may be removed
            self._chunks = chunks_of(self.file, metadata, "bytes") if self._kept is None else nothing
            sizes = (metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
            self.groups = [0, *accumulate(sizes)]
            column = parquet.read(columns=["digest"], use_threads=False)["digest"]
        return _Index.of(column, number)

    def group_of(self, row: int) -> int:
        """Return the row group that holds a row."""
        return bisect_right(self.groups, row) - 1

    def starts_of(self, group: int) -> array[int] | None:
        """Return where the images of a row group begin, None where they cannot be sliced."""
        chunk = self._chunks[group]
        fits = chunk is not None and chunk.rows == self.groups[group + 1] - self.groups[group]
        return chunk.value_starts(self.file) if chunk is not None and fits else None

    def keep(self) -> pq.ParquetFile:
        """Hold the file open, to read whole row groups of it though it be removed, and return it."""
        if self._kept is None:
            with reading(self.file.path):
                self._kept = pq.ParquetFile(self.file.checked(), memory_map=False, pre_buffer=False)
        return self._kept

    def read_group(self, group: int) -> pa.Array:
        """Return the images of a row group."""
        with reading(self.file.path):
            return self.keep().read_row_group(group, columns=["bytes"])["bytes"].combine_chunks()

    def read(self, group: int, row: int) -> bytes:
        """Return one image as pyarrow reads it."""
        with open_parquet(self.file) as parquet:
            column = parquet.read_row_group(group, columns=["bytes"], use_threads=False)["bytes"]
        self.file.count(column.nbytes)
        data = column[row - self.groups[group]].as_py()
        if not isinstance(data, bytes):
            raise CorruptData(f"{self.file.path}: an image has no bytes")
        return data


@dataclass(frozen=True, slots=True, eq=False)
class _Index:
    """Digests in order, and of each the number of its file and its row there."""

    digests: Sorted
    places: npt.NDArray[np.uint32]

    @classmethod
    def of(cls, column: pa.ChunkedArray, number: int) -> _Index:
        """Return the index of the digests of a file."""
        digests, order = Sorted.of(words_of(column))
        places = np.empty((order.size, 2), np.uint32)
        places[:, 0], places[:, 1] = number, order
        return cls(digests, places)

    @classmethod
    def join(cls, some: Sequence[_Index]) -> _Index:
        """Return one index of several."""
        if len(some) == 1:
            return some[0]
        digests, order = Sorted.of(np.concatenate([np.zeros((0, 4), np.uint64), *(one.digests.words for one in some)]))
        places = np.concatenate([np.zeros((0, 2), np.uint32), *(one.places for one in some)])
        return cls(digests, places[order])

    def find(self, digest: str) -> tuple[int, int] | None:
        """Return the file and row of an image."""
        at = self.digests.find(digest)
        if at < 0:
            return None
        number, row = self.places[at].tolist()
        return number, row
