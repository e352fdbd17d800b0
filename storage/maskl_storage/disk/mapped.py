"""Single values of Parquet files: where a column's bytes lie as they are, each is read from its place.

A writer of this format leaves binary columns uncompressed, without dictionary, one page a column chunk. The page
is then a header, the definition levels (which rows have a value), and the values in order, each behind its length.
One walk over the lengths of a row group says where every value begins. Whatever is laid out in another way is left
to pyarrow.
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
import weakref
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from maskl_storage.disk.local import Folder
from maskl_storage.disk.parquet import reading
from maskl_storage.disk.thrift import Wanted, read_struct, read_varint
from maskl_storage.errors import CorruptData

__all__ = ["Chunk", "MappedFile", "Maps", "chunks_of", "open_parquet"]

#: bytes of mapped files that are read before the maps are dropped: what was read counts as this process's memory
MOST: Final = 64 << 20
#: bytes that the system maps around a byte that is read
AROUND: Final = 64 << 10
#: files that are open in this process to read single values
OPEN_FILES: Final = 16

_LENGTH: Final = struct.Struct("<I")
_DATA_PAGE, _PLAIN, _RLE = 0, 0, 3
#: of the header of a page: its kind, its sizes, and how its values are encoded
_PAGE: Final[Wanted] = {**dict.fromkeys((1, 2, 3)), 5: dict.fromkeys((1, 2, 3))}
#: what the footer says of a chunk that can be sliced, in Thrift's compact form: bytes as the type, PLAIN and RLE as
#: encodings, the path, no compression, how many values, their size, the size as it is stored, where the page begins,
#: and no page of an index or a dictionary
_NUMBER: Final = rb"[\x80-\xff]*[\x00-\x7f]"
_SAID: Final = (
    rb"\x15\x0c\x19[\x15\x25\x35][\x00\x06]{1,3}\x19\x18%b\x15\x00"
    rb"\x16(" + _NUMBER + rb")\x16" + _NUMBER + rb"\x16(" + _NUMBER + rb")\x26(" + _NUMBER + rb")[^\x16\x26]"
)


class Maps:
    """Mapped files of a store that are let go of together, before what was read of them takes too much memory.

    Parameters
    ----------
    files : Folder
        The store.
    most : int, optional
        Bytes that are read before that; by default 64 MB.
    """

    def __init__(self, files: Folder, most: int | None = None) -> None:
        self.files = files
        self._most = most
        self._files: weakref.WeakSet[MappedFile] = weakref.WeakSet()
        self._read = 0

    def open(self, path: str, size: int) -> MappedFile:
        """Return a file that is mapped when it is read."""
        file = MappedFile(self, path, size)
        self._files.add(file)
        return file

    def count(self, size: int) -> None:
        """Say that so many bytes were read."""
        self._read += size
        if self._read > (MOST if self._most is None else self._most):
            self._read = 0
            for file in list(self._files):
                file.release()


class MappedFile:
    """A sealed file: mapped to be read at length, and open to read single values.

    A page of a map that is read for the first time costs more than reading one value; and what is mapped counts as
    this process's memory, so that maps are for what is read from end to end, and do not last.
    """

    def __init__(self, maps: Maps, path: str, size: int) -> None:
        self.path, self.size = path, size
        self._maps = maps
        self._buffer: pa.Buffer | None = None
        self._view: memoryview | None = None
        self._opened: _Descriptor | None = None

    @property
    def buffer(self) -> pa.Buffer:
        """All of the file.

        Raises
        ------
        FileNotFoundError
            The file is gone.
        CorruptData
            It is not as long as its seal says.
        """
        buffer = self._buffer
        if buffer is None:
            with pa.memory_map(str(self.checked())) as file:
                found = file.size()
                buffer = file.read_buffer() if found == self.size else None
            if buffer is None:
                raise CorruptData(f"{self.path} has {found} bytes, and its seal says {self.size}")
            self._buffer = buffer
        return buffer

    @property
    def view(self) -> memoryview:
        """All of the file, to slice."""
        view = self._view
        if view is None:
            view = self._view = memoryview(self.buffer).cast("B")
        return view

    def value(self, start: int, end: int) -> bytes:
        """Return the value between two places, which begins with its length.

        Raises
        ------
        FileNotFoundError
            The file is gone.
        CorruptData
            The length there is another.
        """
        return self._checked(self._bytes(start, end))

    def values(self, places: Sequence[tuple[int, int]]) -> list[bytes | None]:
        """Return values that lie behind each other, read at once; None where a place has no bytes."""
        first = places[0][0]
        data = self._bytes(first, places[-1][1])
        return [None if start == end else self._checked(data[start - first : end - first]) for start, end in places]

    def _checked(self, data: bytes) -> bytes:
        if data[:4] != _LENGTH.pack(len(data) - 4):
            raise CorruptData(f"{self.path} changed while it was read")
        return data[4:]

    def _bytes(self, start: int, end: int) -> bytes:
        if not hasattr(os, "pread"):
            self._maps.count(end - start + AROUND)
            return bytes(self.view[start:end])
        opened = self._opened  # held while it is read, whoever closes it
        if opened is None:
            opened = self._opened = _Descriptor(self._maps.files.open(self.path))
            _files_open.append(weakref.ref(self))
            while len(_files_open) > OPEN_FILES:
                oldest = _files_open.popleft()()
                if oldest is not None:
                    oldest._opened = None
        return os.pread(opened.number, end - start, start)

    def checked(self) -> Path:
        """Return the file's path on the disk, for what opens by path."""
        return self._maps.files.checked(self.path)

    def count(self, size: int) -> None:
        """Say that so many bytes were read."""
        self._maps.count(size)

    def release(self) -> None:
        """Let go of the map; the next read maps the file again."""
        self._buffer = self._view = None

    def close(self) -> None:
        """Let go of the file altogether, until it is read again."""
        self._opened = None
        self.release()


class _Descriptor:
    """An open file, closed when nobody reads it any more; reading at a place does not depend on who shares it."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


_files_open: Final[deque[weakref.ref[MappedFile]]] = deque()


@contextlib.contextmanager
def open_parquet(file: MappedFile, metadata: pq.FileMetaData | None = None) -> Iterator[pq.ParquetFile]:
    """Open a mapped Parquet file; cheap if its metadata is known.

    Raises
    ------
    CorruptData
        It is none, or what is read of it is damaged.
    """
    with (
        reading(file.path),
        pq.ParquetFile(pa.BufferReader(file.buffer), metadata=metadata, pre_buffer=False) as opened,
    ):
        yield opened


@dataclass(frozen=True, slots=True)
class Chunk:
    """A column chunk of binary values: where it lies in its file, and how many rows it has."""

    start: int
    end: int
    rows: int
    optional: bool

    def value_starts(self, file: MappedFile) -> array[int] | None:
        """Return where each row's value begins, and the end: an int64 array of rows + 1 places.

        A row without a value has no bytes. None where the chunk is not laid out to be sliced.
        """
        try:
            found = self._walk(file.view)
        except (struct.error, IndexError, ValueError, _OtherLayout):
            return None
        file.count(self.end - self.start)
        return found

    def _walk(self, view: memoryview) -> array[int]:
        place = _values_of(view, self)
        present = None
        if self.optional:
            (size,) = _LENGTH.unpack_from(view, place)
            present = _levels(view, place + 4, place + 4 + size, self.rows)
            place += 4 + size
        starts = array("q", [0]) * (self.rows + 1)
        unpack = _LENGTH.unpack_from
        for row in range(self.rows):
            starts[row] = place
            if present is None or present[row]:
                place += 4 + unpack(view, place)[0]
        starts[self.rows] = place
        if place != self.end:
            raise _OtherLayout
        return starts


def chunks_of(file: MappedFile, metadata: pq.FileMetaData, name: str) -> list[Chunk | None]:
    """Return the chunks of a column of bytes by row group, None for each where the footer says that none can be sliced.

    The footer is searched for what a writer of this format says of such a column: Arrow's objects for that end the
    process where a footer contradicts itself. Whoever reads a value looks at what stands around it once more.
    """
    nothing: list[Chunk | None] = [None] * metadata.num_row_groups
    leaves = [metadata.schema.column(leaf) for leaf in range(len(metadata.schema))]
    named = [leaf for leaf in leaves if leaf.path == name]
    if len(named) != 1 or named[0].max_repetition_level or named[0].max_definition_level > 1:
        return nothing
    view, path = file.view, name.encode()
    footer = bytes(view[max(0, view.nbytes - 8 - int.from_bytes(view[-8:-4], "little")) : -8])
    said = re.compile(_SAID % re.escape(_varint(len(path)) + path), re.DOTALL)
    found = [[_integer(number) for number in numbers] for numbers in said.findall(footer)]
    if len(found) != len(nothing):
        return nothing
    return [Chunk(start, start + size, rows, named[0].max_definition_level == 1) for rows, size, start in found]


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _integer(data: bytes) -> int:
    zigzag, _ = read_varint(data, 0)
    return zigzag >> 1 ^ -(zigzag & 1)


class _OtherLayout(Exception):  # never leaves this module
    """A page that is laid out in another way."""


def _values_of(view: memoryview, chunk: Chunk) -> int:
    """Return where the body of a chunk's only page begins."""
    header, place = read_struct(view, chunk.start, _PAGE)
    page = header.get(5)
    if (
        header.get(1) != _DATA_PAGE
        or header.get(2) != header.get(3)
        or not isinstance(page, dict)
        or (page.get(1), page.get(2)) != (chunk.rows, _PLAIN)
        or (chunk.optional and page.get(3) != _RLE)
        or place + header[3] != chunk.end
    ):
        raise _OtherLayout
    return place


def _levels(view: memoryview, place: int, end: int, rows: int) -> list[bool] | None:
    """Return which rows have a value, from levels of one bit in runs or packed; None if all have."""
    pieces: list[np.ndarray[Any, Any]] = []
    count = 0
    while count < rows:
        header, place = read_varint(view, place)
        if header & 1:
            size = header >> 1
            bits = np.frombuffer(view[place : place + size], np.uint8)
            pieces.append(np.unpackbits(bits, bitorder="little"))
            place += size
            count += 8 * size
        else:
            size = min(header >> 1, rows - count)
            pieces.append(np.full(size, view[place] & 1, np.uint8))
            place += 1
            count += size
            if size == 0:
                raise _OtherLayout
        if place > end:
            raise _OtherLayout
    if place != end:
        raise _OtherLayout
    present = np.concatenate(pieces)[:rows] if pieces else np.zeros(0, np.uint8)
    return None if present.all() else present.view(np.bool_).tolist()
