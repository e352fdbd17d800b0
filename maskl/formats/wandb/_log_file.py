"""W&B's transaction log: records of protocol buffers in LevelDB's log format, read without wandb or protobuf."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Final

from maskl.interchange.source_files import SourceFile, open_file
from maskl.interchange.untrusted import MAX_LINE
from maskl_storage.errors import CorruptData, InvalidValue, MasklError, prefixed
from maskl_storage.format.document import MAX_DEPTH, is_shallow

__all__ = ["Message", "items_of", "read_log", "set_items"]

#: before the blocks: a mark, a magic number and a version
MARK: Final = b":W&B"
FILE_HEADER: Final = struct.Struct("<4sHB")
#: of a piece of a record: checksum, length, and whether it is whole, the first, one between, or the last
PIECE: Final = struct.Struct("<IHB")
BLOCK: Final = 1 << 15
WHOLE, FIRST, BETWEEN, LAST = 1, 2, 3, 4
#: of none: some bytes were passed over
LOST: Final = 0
#: fields of a message, each of which becomes an object
MAX_FIELDS: Final = 1_000_000

#: wire types of protocol buffers
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class Message:
    """A message by the numbers of its fields, each with every value that it has: an integer or bytes."""

    fields: Mapping[int, Sequence[int | bytes]]

    @classmethod
    def parse(cls, data: bytes) -> Message:
        """Parse a message.

        Raises
        ------
        CorruptData
            The bytes are no message.
        InvalidValue
            There are more fields than anybody logs.
        """
        fields: dict[int, list[int | bytes]] = {}
        position = count = 0
        while position < len(data):
            tag, position = _varint(data, position)
            value, position = _value(data, position, tag & 7)
            fields.setdefault(tag >> 3, []).append(value)
            count += 1
            if count > MAX_FIELDS:
                raise InvalidValue(f"a record has more than {MAX_FIELDS:,} fields; those of up to that are read")
        return cls(fields)

    def number(self, field: int) -> int:
        """Return an integer, 0 where there is none."""
        value = self.fields.get(field, (0,))[-1]
        if not isinstance(value, int):
            raise CorruptData(f"field {field} of a record must be a number")
        return value

    def text(self, field: int) -> str:
        """Return a string, empty where there is none."""
        return _text(self.fields.get(field, (b"",))[-1], field)

    def texts(self, field: int) -> list[str]:
        """Return the strings of a repeated field."""
        return [_text(value, field) for value in self.fields.get(field, ())]

    def message(self, field: int) -> Message | None:
        """Return a message within, or None."""
        values = self.fields.get(field)
        return _message(values[-1], field) if values else None

    def messages(self, field: int) -> list[Message]:
        """Return the messages of a repeated field."""
        return [_message(value, field) for value in self.fields.get(field, ())]


def _message(value: int | bytes, field: int) -> Message:
    if not isinstance(value, bytes):
        raise CorruptData(f"field {field} of a record must be a message")
    return Message.parse(value)


def _text(value: int | bytes, field: int) -> str:
    if not isinstance(value, bytes):
        raise CorruptData(f"field {field} of a record must be a string")
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise CorruptData(f"field {field} of a record is not UTF-8: {error}") from error


def _varint(data: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while position < len(data) and shift < 64:
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            # as int64, which is the only type of number that is read here
            return number - (1 << 64) if number >> 63 else number, position
    raise CorruptData("a record of protocol buffers is cut off")


def _value(data: bytes, position: int, wire: int) -> tuple[int | bytes, int]:
    if wire == VARINT:
        return _varint(data, position)
    if wire == BYTES:
        size, position = _varint(data, position)
    elif wire in (FIXED64, FIXED32):
        size = 8 if wire == FIXED64 else 4
    else:
        raise CorruptData(f"a record of protocol buffers has the unknown wire type {wire}")
    if size < 0 or position + size > len(data):
        raise CorruptData("a record of protocol buffers is cut off")
    return data[position : position + size], position + size


def read_log(path: SourceFile, bad: Callable[[MasklError], object]) -> Iterator[Message]:
    """Yield the records of a transaction log; a last one that was not written whole is left out.

    Parameters
    ----------
    path : SourceFile
        The log.
    bad : callable
        Is told of each record that cannot be read, and raises that; where it returns, the log is read on after it:
        where a checksum does not match from the next block of 32 KiB on.

    Raises
    ------
    CorruptData
        The file is no transaction log.
    """
    with io.BufferedReader(open_file(path), BLOCK) as file:
        header = file.read(FILE_HEADER.size)
        if len(header) < FILE_HEADER.size or FILE_HEADER.unpack(header)[0] != MARK:
            raise CorruptData(f"not a transaction log of W&B, which begins with {MARK.decode()}")
        held: list[bytes] | None = None
        size = record = 0
        for kind, piece in _pieces(file, bad):
            if kind in (WHOLE, FIRST):
                held, size = [], 0
            if kind == LOST or held is None:  # the rest of a record whose beginning was not read
                held = None
                continue
            held.append(piece)
            size += len(piece)
            if size > MAX_LINE:
                held = None
                bad(InvalidValue(f"record {record}: more than {MAX_LINE:,} bytes, which are not read"))
                record += 1
            elif kind in (WHOLE, LAST):
                try:
                    message = Message.parse(b"".join(held))
                except MasklError as error:
                    bad(prefixed(error, f"record {record}"))
                else:
                    yield message
                record += 1
                held = None


def _pieces(file: IO[bytes], bad: Callable[[MasklError], object]) -> Iterator[tuple[int, bytes]]:
    """Yield the kind and the bytes of each piece; :data:`LOST` where some were passed over."""
    position = FILE_HEADER.size
    while True:
        left = BLOCK - position % BLOCK
        if left < PIECE.size:
            file.read(left)
            position += left
            continue
        header = file.read(PIECE.size)
        if len(header) < PIECE.size:
            return
        checksum, length, kind = PIECE.unpack(header)
        if (checksum, length, kind) == (0, 0, 0):  # room that was reserved and not filled
            return
        data = file.read(length)
        if len(data) < length:
            return
        if kind in (WHOLE, FIRST, BETWEEN, LAST) and zlib.crc32(data, zlib.crc32(bytes([kind]))) == checksum:
            yield kind, data
            position += PIECE.size + length
        else:
            bad(CorruptData(f"byte {position}: a record was altered: its checksum does not match"))
            yield LOST, b""
            position += left
            file.seek(position)


def items_of(message: Message | None, field: int) -> Iterator[tuple[list[str], str]]:
    """Yield the path of keys and the JSON text of each item of a history, summary or config."""
    for item in message.messages(field) if message is not None else ():
        yield item.texts(2) or [item.text(1)], item.text(16)


def set_items(target: dict[str, Any], message: Message | None, updates: int, removals: int | None = None) -> None:
    """Set and remove the items that a record names, nested ones too.

    Raises
    ------
    CorruptData
        A value is no JSON, or is nested deeper than any that a store holds.
    """
    for keys, text in items_of(message, updates):
        value = _value_of(keys, text)
        inner = target
        for key in keys[:-1]:
            within = inner.get(key)
            inner[key] = inner = within if isinstance(within, dict) else {}
        inner[keys[-1]] = value
    if removals is not None:
        for keys, _ in items_of(message, removals):
            found: Any = target
            for key in keys[:-1]:
                found = found.get(key) if isinstance(found, dict) else None
            if isinstance(found, dict):
                found.pop(keys[-1], None)


def _value_of(keys: list[str], text: str) -> Any:
    """Return the value of an item."""
    where = f"the value of {'/'.join(keys)!r:.80}"
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CorruptData(f"{where} is not JSON: {error}") from error
    if len(keys) > MAX_DEPTH or not is_shallow(value):
        raise CorruptData(f"{where} is nested more than {MAX_DEPTH} deep, which nobody meant")
    return value
