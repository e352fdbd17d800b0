"""What the pages of a Parquet file claim, read before any of them is decoded: a small file may claim gigabytes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from maskl.formats.rows._parquet_footers import BYTE_ARRAY, FIXED_LEN_BYTE_ARRAY, FOOTER_END, ChunkInfo
from maskl.interchange.untrusted import MAX_UNPACKED, bound
from maskl_storage.disk.thrift import Wanted, read_struct
from maskl_storage.errors import CorruptData, InvalidValue

__all__ = ["MAGIC", "check_file", "rows_at_once"]

#: bytes of what describes a file, which becomes some hundred times as many
MAX_FOOTER: Final = 16 << 20
MAGIC: Final = b"PAR1"
#: rows that any file may have; more only if each takes a byte
MAX_ROWS: Final = 1 << 20
#: values of a column of lists that a row group may have, which one row may hold; more only if each takes a byte
MAX_VALUES: Final = 1 << 25
#: bytes of the header of a page, as most have and as any may
HEADER: Final = 512
MAX_HEADER: Final = 1 << 20
#: the types of columns whose values are of any size, and encodings that repeat what stands before
VARIABLE: Final = (BYTE_ARRAY, FIXED_LEN_BYTE_ARRAY)
DELTA_BYTE_ARRAY: Final = 7
DICTIONARY_PAGE: Final = 2
#: fields of a page's header, and of what it says of its values
TYPE, UNPACKED, PACKED, DATA, DATA_2 = 1, 2, 3, 5, 8
VALUES: Final = 1
ENCODING: Final = {DATA: 2, DATA_2: 4}
SAID: Final[Wanted] = {
    **dict.fromkeys((TYPE, UNPACKED, PACKED)),
    **{which: {VALUES: None, encoding: None} for which, encoding in ENCODING.items()},
}


@dataclass(slots=True)
class _Chunk:
    """What a column of a row group comes to."""

    values: int = 0
    packed: int = 0
    unpacked: int = 0
    #: bytes of the largest value that few bytes may stand for
    largest: int = 0


def check_file(file: io.FileIO, what: object) -> None:
    """Raise InvalidValue for a file whose description is larger than any that is meant well.

    Its place is where it was afterwards.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - FOOTER_END))
    tail = file.read(FOOTER_END)
    file.seek(0)
    footer = int.from_bytes(tail[:4], "little")
    if tail.endswith(MAGIC) and MAX_FOOTER < footer <= size:
        raise InvalidValue(f"{what}: its description has {footer:,} bytes; those of up to {MAX_FOOTER:,} are read")


def rows_at_once(file: io.FileIO, metadata: pq.FileMetaData, chunks: Sequence[ChunkInfo], number: int) -> int:
    """Return how many rows of a row group, of these columns, are surely small enough to be decoded together.

    Raises
    ------
    InvalidValue
        The row group claims more than is read.
    CorruptData
        Its pages contradict its description.
    """
    end = file.seek(0, io.SEEK_END)
    if metadata.num_rows > max(MAX_ROWS, end):
        raise InvalidValue(
            f"the file claims {metadata.num_rows:,} rows in {end:,} bytes; up to {MAX_ROWS:,}, or as many as bytes, "
            f"are read"
        )
    largest = packed = unpacked = 0
    for place, column in enumerate(chunks):
        kind = metadata.schema.column(place)
        chunk = _chunk(file, column, kind, end)
        repeated = kind.max_repetition_level > 0
        if repeated:
            _check_lists(column.name, chunk)
        if repeated or column.type in VARIABLE:
            packed, unpacked = packed + chunk.packed, unpacked + chunk.unpacked
            largest += 0 if repeated else chunk.largest
    if unpacked > bound(packed):
        raise InvalidValue(_claims(f"row group {number}", unpacked, packed))
    return max(1, MAX_UNPACKED // max(largest, 1))


def _check_lists(name: str, chunk: _Chunk) -> None:
    """Raise InvalidValue for a column of lists of which a single row may come to too much."""
    if chunk.values > max(MAX_VALUES, chunk.packed):
        raise InvalidValue(
            f"column {name!r:.80} claims {chunk.values:,} values in a row group of {chunk.packed:,} bytes; lists of up "
            f"to {MAX_VALUES:,} are read: write it with smaller row groups"
        )
    if chunk.values * chunk.largest > bound(chunk.packed):
        raise InvalidValue(_claims(f"column {name!r:.80}", chunk.values * chunk.largest, chunk.packed))


def _claims(what: str, unpacked: int, packed: int) -> str:
    return (
        f"{what} claims up to {unpacked:,} bytes, and has {packed:,}; up to {bound(packed):,} are read: write it with "
        f"smaller row groups"
    )


def _chunk(file: io.FileIO, column: ChunkInfo, kind: Any, end: int) -> _Chunk:
    """Go through the headers of the pages of a column."""
    found = _Chunk(largest=kind.length if column.type == FIXED_LEN_BYTE_ARRAY else 0)
    at, name = column.start, column.name
    last = min(end, at + column.size)
    while at < last and found.values < column.values:
        header, start = _header(file, at, name)
        packed, unpacked = header.get(PACKED), header.get(UNPACKED)
        if not isinstance(packed, int) or not isinstance(unpacked, int) or min(packed, unpacked) < 0:
            raise CorruptData(f"column {name!r:.80}: a page without a size")
        if unpacked > bound(packed):
            raise InvalidValue(_claims(f"a page of column {name!r:.80}", unpacked, packed))
        at = start + packed
        if at > end:
            raise CorruptData(f"column {name!r:.80}: a page of {packed:,} bytes ends behind the file")
        found.packed, found.unpacked = found.packed + packed, found.unpacked + unpacked
        _note(file, found, header, (start, packed, unpacked), column)
    return found


def _note(
    file: io.FileIO, found: _Chunk, header: dict[int, Any], place: tuple[int, int, int], column: ChunkInfo
) -> None:
    """Take what a page says of its values."""
    start, packed, unpacked = place
    if header.get(TYPE) == DICTIONARY_PAGE:
        if column.type == BYTE_ARRAY:
            file.seek(start)
            found.largest = max(found.largest, _longest(file.read(packed), unpacked, column.codec))
        return
    for which, encoding in ENCODING.items():
        said = header.get(which)
        if isinstance(said, dict):
            values = said.get(VALUES)
            if not isinstance(values, int) or values < 0:
                raise CorruptData(f"column {column.name!r:.80}: a page without a number of values")
            found.values += values
            if said.get(encoding) == DELTA_BYTE_ARRAY:
                found.largest = max(found.largest, unpacked)


def _longest(data: bytes, unpacked: int, codec: str) -> int:
    """Return the length of the longest value of a dictionary; its size where it cannot be read."""
    try:
        plain = data if codec == "uncompressed" else pa.decompress(data, unpacked, codec, asbytes=True)
    except (pa.ArrowException, ValueError, OSError):
        return unpacked  # reading it will say what is wrong
    longest = at = 0
    while at + 4 <= len(plain):
        length = int.from_bytes(plain[at : at + 4], "little")
        longest, at = max(longest, length), at + 4 + length
    return min(longest, unpacked)


def _header(file: io.FileIO, at: int, name: str) -> tuple[dict[int, Any], int]:
    """Return the fields of the header at a place of the file, and where its page begins."""
    size = HEADER
    while True:
        file.seek(at)
        data = file.read(size)
        try:
            header, length = read_struct(data, 0, SAID)
        except IndexError as error:
            if len(data) < size or size >= MAX_HEADER:
                raise CorruptData(f"column {name!r:.80}: a page without a header") from error
            size *= 16
            continue
        except ValueError as error:
            raise CorruptData(f"column {name!r:.80}: a page's header is broken: {error}") from error
        return header, at + length
