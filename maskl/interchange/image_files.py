"""Images of a store in bulk, by digest: read in row groups, handed on without copies, never mapped into memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from maskl_storage.catalog.listing import Listing
from maskl_storage.errors import NotFound

__all__ = ["ImageFiles"]

#: bytes of row groups that are kept, since images of neighbouring rows stand side by side
KEPT: Final = 8 << 20
DIGEST: Final = pa.binary(64)


class ImageFiles:
    """The images of a store.

    Parameters
    ----------
    root : Path
        The store's directory.
    listing : Listing
        The live parts.
    """

    def __init__(self, root: Path, listing: Listing) -> None:
        self._files = [
            pq.ParquetFile(root / sealed.part.path, memory_map=False, pre_buffer=False)
            for sealed in listing.of("images")
        ]
        digests: list[npt.NDArray[np.bytes_]] = []
        places: list[npt.NDArray[np.int32]] = []
        for number, file in enumerate(self._files):
            held = file.read(columns=["digest"])["digest"].cast(pa.binary()).cast(DIGEST).combine_chunks()
            digests.append(np.frombuffer(held.buffers()[1] or b"", "S64")[held.offset : held.offset + len(held)])
            sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
            place = np.empty((len(held), 3), np.int32)
            place[:, 0] = number
            place[:, 1] = np.repeat(np.arange(len(sizes)), sizes)
            place[:, 2] = np.concatenate([np.arange(size) for size in sizes]) if sizes else 0
            places.append(place)
        found = np.concatenate(digests) if digests else np.zeros(0, "S64")
        order = found.argsort(kind="stable")
        self._digests = found[order]
        self._places = (np.concatenate(places) if places else np.zeros((0, 3), np.int32))[order]
        self._kept: OrderedDict[tuple[int, int], pa.Array] = OrderedDict()
        self._held = 0

    def column(self, digests: pa.Array | pa.ChunkedArray) -> pa.ChunkedArray:
        """Return the encoded images of a column of digests; null where there is no digest.

        Raises
        ------
        NotFound
            The store does not hold one of them.
        """
        names = digests.to_pylist()
        places = iter(self._find([name for name in names if name is not None]).tolist())
        rows = [None if name is None else next(places) for name in names]
        chunks = []
        for group, members in groupby(rows, key=lambda place: None if place is None else (place[0], place[1])):
            chosen = list(members)
            chunks.append(pa.nulls(len(chosen), pa.binary()) if group is None else self._slice(group, chosen))
        return pa.chunked_array(chunks, pa.binary())

    def _slice(self, group: tuple[int, int], chosen: Sequence[Any]) -> pa.Array:
        """Return images of a row group: a view, unless that would keep much more in memory than is used."""
        held = self._group(*group)
        first, count = chosen[0][2], len(chosen)
        if [place[2] for place in chosen] == list(range(first, first + count)) and 2 * count >= len(held):
            return held.slice(first, count)
        return held.take(pa.array([place[2] for place in chosen]))

    def _find(self, digests: Sequence[str]) -> npt.NDArray[np.int32]:
        wanted = np.array(digests, "S64") if digests else np.zeros(0, "S64")
        at = self._digests.searchsorted(wanted)
        inside = np.minimum(at, max(self._digests.size - 1, 0))
        missing = np.flatnonzero(self._digests[inside] != wanted) if self._digests.size else np.arange(wanted.size)
        if missing.size:
            raise NotFound(f"the store holds no image with digest {digests[int(missing[0])]}")
        return self._places[inside] if wanted.size else np.zeros((0, 3), np.int32)

    def _group(self, file: int, group: int) -> pa.Array:
        key = (file, group)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        held = self._files[file].read_row_group(group, columns=["bytes"])["bytes"].combine_chunks()
        self._kept[key] = held
        self._held += held.nbytes
        while len(self._kept) > 1 and self._held > KEPT:
            self._held -= self._kept.popitem(last=False)[1].nbytes
        return held
