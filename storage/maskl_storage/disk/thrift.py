"""Thrift's compact form, in which Parquet describes itself: as much of it as whoever reads a file needs.

Nothing here trusts what it reads: it raises IndexError where the bytes end too soon, and ValueError for what is none.
Format: "Thrift compact protocol encoding", Apache Thrift.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["Wanted", "read_struct", "read_varint"]

#: which fields of a struct are kept, and which of the structs in them; None keeps a number, a text or a list of them
Wanted = Mapping[int, "Wanted | None"]

#: structs and lists in each other; Parquet's stand in fewer
DEEPEST: Final = 16
TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)


def read_varint(data: bytes | memoryview, at: int) -> tuple[int, int]:
    """Return a number without sign, and where it ends.

    Examples
    --------
    >>> read_varint(bytes([0xAC, 0x02]), 0)
    (300, 2)
    """
    byte = data[at]
    at += 1
    if byte < 0x80:
        return byte, at
    number, shift = byte & 0x7F, 7
    while shift < 70:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
    raise ValueError("a number of more than 64 bits")


def read_struct(data: bytes | memoryview, at: int, wanted: Wanted, depth: int = 0) -> tuple[dict[int, Any], int]:
    """Return the fields of a struct that are wanted, by their numbers, and where the struct ends.

    Examples
    --------
    >>> read_struct(bytes([0x15, 0x02, 0x28, 0x01, 0x41, 0x00]), 0, {1: None, 3: None})
    ({1: 1, 3: b'A'}, 6)
    """
    if depth > DEEPEST:
        raise ValueError("structs too deep in each other")
    fields: dict[int, Any] = {}
    number = 0
    while head := data[at]:
        at += 1
        if head >> 4:
            number += head >> 4
        else:
            zigzag, at = read_varint(data, at)
            number = zigzag >> 1 ^ -(zigzag & 1)
        kind = head & 15
        if I16 <= kind <= I64 and data[at] < 0x80:  # as most fields are
            if number in wanted:
                fields[number] = data[at] >> 1 ^ -(data[at] & 1)
            at += 1
        elif number in wanted:
            fields[number], at = _value(data, at, kind, wanted[number], depth)
        else:
            at = _end(data, at, kind, depth)
    return fields, at + 1


def _value(data: bytes | memoryview, at: int, kind: int, wanted: Wanted | None, depth: int) -> tuple[Any, int]:
    """Return the value of a field, and where it ends."""
    if kind in (I16, I32, I64):
        zigzag, at = read_varint(data, at)
        return zigzag >> 1 ^ -(zigzag & 1), at
    if kind in (TRUE, FALSE):
        return kind == TRUE, at
    if kind == BINARY:
        size, at = read_varint(data, at)
        end = _within(data, at + size)
        return bytes(data[at:end]), end
    if kind == STRUCT:
        return read_struct(data, at, wanted or {}, depth + 1)
    if kind in (LIST, SET):
        count, kind, at = _list(data, at)
        items = []
        for _ in range(count):
            if kind in (TRUE, FALSE):
                items.append(data[at] == TRUE)
                at += 1
            else:
                item, at = _value(data, at, kind, wanted, depth + 1)
                items.append(item)
        return items, at
    return None, _end(data, at, kind, depth)


def _end(data: bytes | memoryview, at: int, kind: int, depth: int) -> int:
    """Return where a value ends."""
    if kind in (I16, I32, I64):
        while data[at] >= 0x80:
            at += 1
        return at + 1
    if kind in (TRUE, FALSE):
        return at
    if kind == BINARY:
        size, at = read_varint(data, at)
        return _within(data, at + size)
    if kind == STRUCT:
        return read_struct(data, at, {}, depth + 1)[1]
    if depth > DEEPEST:
        raise ValueError("lists too deep in each other")
    if kind in (LIST, SET):
        count, kind, at = _list(data, at)
        if kind in (TRUE, FALSE, BYTE):
            return _within(data, at + count)
        if I16 <= kind <= I64:
            for _ in range(count):
                while data[at] >= 0x80:
                    at += 1
                at += 1
            return at
        for _ in range(count):
            at = _end(data, at, kind, depth + 1)
        return at
    if kind == BYTE:
        return _within(data, at + 1)
    if kind == DOUBLE:
        return _within(data, at + 8)
    raise ValueError(f"a field of type {kind}, which Parquet has not")


def _list(data: bytes | memoryview, at: int) -> tuple[int, int, int]:
    """Return how many items a list has, of which type, and where the first begins; none takes less than a byte."""
    head = data[at]
    count, at = (head >> 4, at + 1) if head < 0xF0 else read_varint(data, at + 1)
    _within(data, at + count)
    return count, head & 15, at


def _within(data: bytes | memoryview, at: int) -> int:
    if at > len(data):
        raise IndexError
    return at
