"""Images, content-addressed: each distinct one stands once in a store, whatever refers to it."""

from __future__ import annotations

import contextlib
import struct
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from maskl_storage.catalog.listing import Listing
from maskl_storage.disk.cache import Cache
from maskl_storage.disk.forks import ForkLock
from maskl_storage.disk.mapped import Chunk, MappedFile, Maps, chunk_of, open_parquet
from maskl_storage.errors import NotFound

__all__ = ["ImageReader"]

#: bytes of places of images that are kept, of row groups that were read last
STARTS_BYTES: Final = 4 << 20
#: a digest as four numbers
WORDS: Final = struct.Struct(">4Q")


class ImageReader:
    """Reads images by digest, each from its place in a mapped file; safe to call from several threads.

    The digests of a part are read when an image is asked for that no part before it has, and are kept packed:
    40 bytes an image.

    Parameters
    ----------
    root : Path
        The store's directory.
    listing : Listing
        The live parts.
    """

    def __init__(self, root: Path, listing: Listing) -> None:
        maps = Maps()
        self._files = [_ImageFile(maps.open(root / s.part.path, s.part.bytes)) for s in listing.of("images")]
        self._waiting = len(self._files)
        self._digests: tuple[_Digests, ...] = ()
        self._lock = ForkLock()
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
            raise NotFound(f"the store holds no image with digest {digest}")
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

    def _place(self, digest: str) -> tuple[int, int] | None:
        """Return the file and row of an image, reading the digests of parts until it is found."""
        for digests in self._digests:
            if (place := digests.find(digest)) is not None:
                return place
        with self._lock:
            while self._waiting:
                number = self._waiting - 1
                with contextlib.suppress(FileNotFoundError):  # replaced since it was listed
                    self._digests = (*self._digests, self._files[number].index(number))
                self._waiting = number
                if not number:
                    self._digests = (_Digests.join(self._digests),)
                if self._digests and (place := self._digests[-1].find(digest)) is not None:
                    return place
        # perhaps another thread has found it meanwhile
        return next((place for digests in self._digests if (place := digests.find(digest)) is not None), None)


class _ImageFile:
    """An images part: where its row groups begin, and where the images' bytes of each lie."""

    def __init__(self, file: MappedFile) -> None:
        self.file = file
        self.groups: list[int] = [0]
        self._chunks: list[Chunk | None] = []

    def index(self, number: int) -> _Digests:
        """Read the digests, of the number-th file, and where the row groups are."""
        with open_parquet(self.file) as parquet:
            metadata = parquet.metadata
            leaf = parquet.schema_arrow.get_field_index("bytes")
            self._chunks = [chunk_of(metadata, group, leaf) for group in range(metadata.num_row_groups)]
            sizes = (metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
            self.groups = [0, *accumulate(sizes)]
            column = parquet.read(columns=["digest"], use_threads=False)["digest"]
        return _Digests.of(column, number)

    def group_of(self, row: int) -> int:
        """Return the row group that holds a row."""
        return bisect_right(self.groups, row) - 1

    def starts_of(self, group: int) -> array[int] | None:
        """Return where the images of a row group begin, None where they cannot be sliced."""
        chunk = self._chunks[group]
        fits = chunk is not None and chunk.rows == self.groups[group + 1] - self.groups[group]
        return chunk.value_starts(self.file) if chunk is not None and fits else None

    def read(self, group: int, row: int) -> bytes:
        """Return one image as pyarrow reads it."""
        with open_parquet(self.file) as parquet:
            column = parquet.read_row_group(group, columns=["bytes"], use_threads=False)["bytes"]
        self.file.count(column.nbytes)
        data: bytes = column[row - self.groups[group]].as_py()
        return data


@dataclass(frozen=True, slots=True, eq=False)
class _Digests:
    """Digests by their first eight bytes, sorted, with the rest of them, and the file and row of each.

    ``others`` are those that are not 64 hexadecimal digits.
    """

    first: npt.NDArray[np.uint64]
    rest: npt.NDArray[np.uint64]
    places: npt.NDArray[np.uint32]
    others: dict[str, tuple[int, int]]

    @classmethod
    def of(cls, column: pa.ChunkedArray, number: int) -> _Digests:
        """Sort the digests of a file."""
        rows = np.arange(len(column), dtype=np.uint32)
        regular = pc.match_substring_regex(column, "^[0-9a-f]{64}$").fill_null(False).to_numpy()
        others = (
            {text: (number, row) for row, text in enumerate(column.to_pylist()) if not regular[row]}
            if not regular.all()
            else {}
        )
        text = "".join(pc.array_filter(column.combine_chunks(), pa.array(regular)).to_pylist())
        words = np.frombuffer(bytes.fromhex(text), ">u8").astype(np.uint64).reshape(-1, 4)
        places = np.stack([np.full(words.shape[0], number, np.uint32), rows[regular]], axis=1)
        return cls._sorted(words[:, 0], words[:, 1:], places, others)

    @classmethod
    def join(cls, some: Sequence[_Digests]) -> _Digests:
        """Return the digests of several files, sorted together."""
        if not some:
            return cls.of(pa.chunked_array([], pa.string()), 0)
        first, rest, places = (np.concatenate([getattr(d, name) for d in some]) for name in ("first", "rest", "places"))
        others: dict[str, tuple[int, int]] = {}
        for digests in some:
            others.update(digests.others)
        return cls._sorted(first, rest, places, others)

    @classmethod
    def _sorted(cls, first: Any, rest: Any, places: Any, others: dict[str, tuple[int, int]]) -> _Digests:
        order = np.argsort(first, kind="stable")
        return cls(first[order], rest[order], places[order], others)

    def find(self, digest: str) -> tuple[int, int] | None:
        """Return the file and row of an image."""
        if digest in self.others:
            return self.others[digest]
        try:
            first, *rest = WORDS.unpack(bytes.fromhex(digest))
        except (ValueError, struct.error):
            return None
        at = int(np.searchsorted(self.first, np.uint64(first)))
        while at < self.first.size and self.first.item(at) == first:
            if self.rest[at].tolist() == rest:
                number, row = self.places[at].tolist()
                return number, row
            at += 1
        return None
