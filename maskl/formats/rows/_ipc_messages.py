"""What the messages of an Arrow file or stream claim, read before any of them is decoded."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from maskl.formats.rows._parquet_pages import MAX_FOOTER, MAX_ROWS
from maskl.interchange.untrusted import bound
from maskl_storage.errors import CorruptData, InvalidValue

__all__ = ["MAGIC", "STREAM", "check_messages"]

MAGIC: Final = b"ARROW1"
TORN: Final = "not a whole Arrow file or stream"
#: what a message begins with, but for those of very old files
STREAM: Final = b"\xff\xff\xff\xff"
#: types of messages, of those whose bodies are decoded
DICTIONARY, BATCH = 2, 3
#: places of fields in a message, a dictionary, a batch and a file's footer
HEADER_TYPE, HEADER, BODY_LENGTH = 1, 2, 3
DICTIONARY_BATCH: Final = 1
ROWS, BUFFERS, COMPRESSION = 0, 2, 3
DICTIONARIES, BATCHES = 2, 3
#: bytes of a batch, which is in memory whole
MAX_BODY: Final = 1 << 30
#: a buffer: where it begins in the body, and its length; a block: where it begins, and the lengths of head and body
BUFFER: Final = struct.Struct("<qq")
BLOCK: Final = struct.Struct("<qi4xq")
#: before each compressed buffer its length unpacked
LENGTH: Final = struct.Struct("<q")
SIZE: Final = struct.Struct("<i")


def check_messages(file: io.FileIO) -> None:
    """Check what every message of a file or stream claims; the file's place is its beginning afterwards.

    Raises
    ------
    InvalidValue
        They claim more than is read.
    CorruptData
        They contradict the file's size.
    """
    end = file.seek(0, io.SEEK_END)
    rows = unpacked = 0
    try:
        for head, body in _messages(file, end):
            held, claimed = _claimed(file, head, body)
            rows, unpacked = rows + held, unpacked + claimed
            if rows > max(MAX_ROWS, end):
                raise InvalidValue(
                    f"the file claims {rows:,} rows in {end:,} bytes; up to {MAX_ROWS:,}, or as many as bytes, are read"
                )
            if unpacked > bound(end):
                raise InvalidValue(
                    f"dictionaries claim {unpacked:,} bytes in a file of {end:,}; up to {bound(end):,} are read"
                )
    except (struct.error, IndexError) as error:
        raise CorruptData(f"{TORN}: {error}") from error
    file.seek(0)


def _messages(file: io.FileIO, end: int) -> Iterator[tuple[_Table, int]]:
    """Yield each message, and where its body begins: those that a file's footer names, or those of a stream."""
    file.seek(0)
    if file.read(len(MAGIC)) != MAGIC:
        yield from _in_order(file, end)
        return
    file.seek(max(0, end - len(MAGIC) - SIZE.size))
    (size,) = SIZE.unpack(file.read(SIZE.size))
    start = end - len(MAGIC) - SIZE.size - size
    if size > MAX_FOOTER:
        raise InvalidValue(f"its description has {size:,} bytes; those of up to {MAX_FOOTER:,} are read")
    if size <= 0 or start < 0:
        raise CorruptData(f"{TORN}: it ends without a description")
    file.seek(start)
    footer = _Table.root(file.read(size))
    for which in (DICTIONARIES, BATCHES):
        for at, _, _ in footer.structs(which, BLOCK):
            found = _message(file, at, end)
            if found is not None:
                yield found


def _in_order(file: io.FileIO, end: int) -> Iterator[tuple[_Table, int]]:
    at = 0
    while (found := _message(file, at, end)) is not None:
        yield found
        head, body = found
        at = body + head.number(BODY_LENGTH, LENGTH)


def _message(file: io.FileIO, at: int, end: int) -> tuple[_Table, int] | None:
    """Return the message that begins somewhere, and where its body does; None where a stream ends."""
    if not 0 <= at <= end:
        raise CorruptData(f"{TORN}: a message begins behind the end of the file")
    file.seek(at)
    prefix = file.read(2 * SIZE.size)
    if prefix[: SIZE.size] == STREAM:
        prefix, at = prefix[SIZE.size :], at + SIZE.size
    if len(prefix) < SIZE.size or not any(prefix[: SIZE.size]):
        return None
    (size,) = SIZE.unpack_from(prefix)
    if not 0 < size <= MAX_FOOTER:
        raise InvalidValue(f"a message of {size:,} bytes; descriptions of up to {MAX_FOOTER:,} are read")
    file.seek(at + SIZE.size)
    head, body = _Table.root(file.read(size)), at + SIZE.size + size
    length = head.number(BODY_LENGTH, LENGTH)
    if length < 0 or body + length > end:
        raise CorruptData(f"{TORN}: a message of {length:,} bytes ends behind the end of the file")
    return head, body


def _claimed(file: io.FileIO, head: _Table, body: int) -> tuple[int, int]:
    """Return the rows of a batch, or the bytes of a dictionary, which stays in memory."""
    kind, header = head.byte(HEADER_TYPE), head.table(HEADER)
    batch = header.table(DICTIONARY_BATCH) if kind == DICTIONARY and header is not None else header
    if batch is None or kind not in (DICTIONARY, BATCH):
        return 0, 0
    length = unpacked = head.number(BODY_LENGTH, LENGTH)
    if length > MAX_BODY:
        raise InvalidValue(f"a batch of {length:,} bytes; those of up to {MAX_BODY:,} are read: write smaller ones")
    if batch.table(COMPRESSION) is not None:
        unpacked = 0
        for at, size in batch.structs(BUFFERS, BUFFER):
            if size >= LENGTH.size and 0 <= at <= length - LENGTH.size:
                file.seek(body + at)
                unpacked += max(size, *LENGTH.unpack(file.read(LENGTH.size)))
        if unpacked > bound(length):
            raise InvalidValue(
                f"a batch claims {unpacked:,} bytes unpacked, and has {length:,}; up to {bound(length):,} are read: "
                f"write it with smaller batches"
            )
    rows = batch.number(ROWS, LENGTH)
    if rows < 0:
        raise CorruptData(f"{TORN}: a batch of {rows:,} rows")
    return (rows, 0) if kind == BATCH else (0, unpacked)


# --- FlatBuffers --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of FlatBuffers; what points behind the end raises struct.error or IndexError."""

    data: bytes
    at: int

    @classmethod
    def root(cls, data: bytes) -> _Table:
        return cls(data, struct.unpack_from("<I", data)[0])

    def _place(self, field: int) -> int:
        """Return where a field stands, 0 where it is not there."""
        table = self.at - int(SIZE.unpack_from(self.data, self.at)[0])
        if not 0 <= table < len(self.data):
            raise IndexError("a table's fields lie behind the end")
        (size,) = struct.unpack_from("<H", self.data, table)
        entry = 4 + 2 * field
        offset: int = struct.unpack_from("<H", self.data, table + entry)[0] if entry + 2 <= size else 0
        return self.at + offset if offset else 0

    def byte(self, field: int) -> int:
        """Return a number of one byte."""
        place = self._place(field)
        return self.data[place] if place else 0

    def number(self, field: int, form: struct.Struct) -> int:
        """Return a number, 0 where there is none."""
        place = self._place(field)
        return int(form.unpack_from(self.data, place)[0]) if place else 0

    def table(self, field: int) -> _Table | None:
        """Return a table that this one refers to."""
        place = self._place(field)
        return _Table(self.data, place + struct.unpack_from("<I", self.data, place)[0]) if place else None

    def structs(self, field: int, form: struct.Struct) -> Iterator[tuple[int, ...]]:
        """Return the elements of a vector."""
        place = self._place(field)
        if not place:
            return iter(())
        place += struct.unpack_from("<I", self.data, place)[0]
        (count,) = struct.unpack_from("<I", self.data, place)
        body = self.data[place + 4 : place + 4 + count * form.size]
        if len(body) < count * form.size:
            raise IndexError("a list ends behind the end")
        return form.iter_unpack(body)
