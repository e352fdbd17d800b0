"""Write-ahead files: what was acknowledged and stands in no seal yet.

File ``<w>-<n>.wal`` holds what writer w will commit from its seal n on. It is a sequence of records; each is
a head, then a msgpack value, then perhaps bytes that belong to it. The head tells their lengths and carries
a checksum over them and the record's number, so that a torn, altered, repeated or missing record is noticed,
and what stands behind it is found again.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from blake3 import blake3

from maskl_storage.cells.packing import pack, unpack
from maskl_storage.disk.atomic import AppendFile
from maskl_storage.disk.local import Folder
from maskl_storage.errors import CorruptData
from maskl_storage.format.paths import lock_pattern, place_of, wal_pattern

__all__ = ["Mark", "Tail", "WalFile", "read_wal", "wal_files", "writers_of"]

#: magic, length of the value, length of the bytes after it, checksum
HEAD: Final = struct.Struct("<4sIQ8s")
MAGIC: Final = b"MKW1"
#: how many records may be missing before one that is found again
MISSING: Final = 64
#: how often its own size is hashed of a file, at the most, in search of records behind one that is not whole
HASHED: Final = 4 * MISSING


class Mark(NamedTuple):
    """What of a write-ahead file counts: where its records end, and how many they are."""

    end: int = 0
    records: int = 0


class WalFile(AppendFile):
    """A write-ahead file that is being written.

    It keeps no account of what counts in it: who writes does, so that this changes in one step with all else that the
    writer knows, and what was written in vain is written over.

    Parameters
    ----------
    files : Folder
        The store.
    path : str
        Where it lies in it.
    sync : bool
        Whether a record is on the disk when it is written.
    """

    def append(self, mark: Mark, records: Iterable[tuple[Any, bytes]]) -> Mark:
        """Write records, each a value and bytes after it, behind those that count, and return what counts with them."""
        pieces: list[bytes] = []
        number = mark.records
        for value, data in records:
            packed = pack(value)
            pieces += [HEAD.pack(MAGIC, len(packed), len(data), _checksum(number, packed, data)), packed, data]
            number += 1
        end = self.write(mark.end, pieces)
        self.sync()
        return Mark(end, number)

    def remove(self) -> None:
        """Remove the file; where it cannot be removed, nothing is left in it.

        Raises
        ------
        OSError
            Neither can be done: it still holds what is sealed by now, and may be brought in a second time.
        """
        try:
            self.files.remove(self.path)
        except OSError:
            self.cut(0)
        self.close()


@dataclass(slots=True)
class Tail:
    """What a write-ahead file holds besides its whole records.

    ``bytes`` counts those that follow the last good record; ``damaged`` says that they are no torn record,
    which is what a killed process leaves, but one whose bytes changed. ``skipped`` counts the bytes that lie
    before good records and are none.
    """

    bytes: int = 0
    damaged: bool = False
    skipped: int = 0


def read_wal(files: Folder, path: str, tail: Tail | None = None) -> Iterator[tuple[Any, bytes]]:
    """Yield the whole records of a write-ahead file: the value, and the bytes after it.

    Behind what is no whole record, reading goes on at the next one that is: each has a checksum of its own, over
    its number too. ``tail`` is told what was passed over, and what follows the last good record.
    """
    tail = Tail() if tail is None else tail
    size = files.stat(path).st_size
    number, end = 0, 0
    left = HASHED * size
    with files.reader(path) as file:
        while end < size:
            file.seek(end)
            head = file.read(HEAD.size)
            torn = len(head) < HEAD.size or end + HEAD.size + sum(HEAD.unpack(head)[1:3]) > size
            record = None if torn else _read_record(head, file, number)
            if record is None:
                found, left = _next_record(file, end + 1, size, number, left)
                if found is None:
                    tail.bytes, tail.damaged = size - end, not torn or (len(head) >= 4 and head[:4] != MAGIC)
                    return
                tail.skipped += found[0] - end
                end, number = found
                continue
            end += record[0]
            number += 1
            yield record[1:]


def _next_record(file: Any, start: int, size: int, number: int, left: int) -> tuple[tuple[int, int] | None, int]:
    """Return where the next whole record is and its number, and how many bytes may still be hashed to find others."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        at = text.find(MAGIC, start)
        while at >= 0 and left > 0:
            head = text[at : at + HEAD.size]
            if len(head) == HEAD.size and at + HEAD.size + sum(HEAD.unpack(head)[1:3]) <= size:
                _, value_size, data_size, checksum = HEAD.unpack(head)
                value_end = at + HEAD.size + value_size
                value, data = text[at + HEAD.size : value_end], text[value_end : value_end + data_size]
                for candidate in range(number, number + MISSING + 1):
                    left -= HEAD.size + value_size + data_size
                    if _checksum(candidate, value, data) == checksum:
                        return (at, candidate), left
            at = text.find(MAGIC, at + 1)
    return None, left


def _read_record(head: bytes, file: Any, number: int) -> tuple[int, Any, bytes] | None:
    magic, value_size, data_size, checksum = HEAD.unpack(head)
    if magic != MAGIC:
        return None
    value, data = file.read(value_size), file.read(data_size)
    if _checksum(number, value, data) != checksum:
        return None
    try:
        return HEAD.size + value_size + data_size, unpack(value), data
    except CorruptData:
        return None


def _checksum(number: int, value: bytes, data: bytes) -> bytes:
    hasher = blake3(number.to_bytes(8, "little"))
    hasher.update(len(value).to_bytes(8, "little"))
    hasher.update(value)
    hasher.update(data)
    return hasher.digest(8)


def writers_of(files: Folder) -> list[tuple[str, int]]:
    """Return run and number of every writer that has a lock file or a write-ahead file."""
    places = (place_of(path) for pattern in (lock_pattern(), wal_pattern()) for path in files.glob(pattern))
    return sorted({(place.run_id, place.writer) for place in places if place is not None and place.finished})


def wal_files(files: Folder, run_id: str, writer: int) -> list[tuple[int, str]]:
    """Return a writer's write-ahead files by the number of the seal that each is for, in order."""
    found = []
    for path in files.glob(wal_pattern(run_id, writer)):
        place = place_of(path)
        if place is not None and place.seal is not None:
            found.append((place.seal, path))
    return sorted(found)
