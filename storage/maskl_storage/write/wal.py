"""Write-ahead files: what was acknowledged and stands in no seal yet.

File ``<w>-<n>.wal`` holds what writer w will commit from its seal n on. It is a sequence of records; each is
a head, then a msgpack value, then perhaps bytes that belong to it. The head tells their lengths and carries
a checksum over them and the record's number, so that a torn, altered, repeated or missing record is noticed,
and what stands behind it is found again.
"""

from __future__ import annotations

import contextlib
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from blake3 import blake3

from maskl_storage.cells.packing import pack, unpack
from maskl_storage.disk.atomic import AppendFile
from maskl_storage.errors import CorruptData
from maskl_storage.format.paths import lock_pattern, place_of, wal_pattern

__all__ = ["Records", "Tail", "WalFile", "read_wal", "wal_files", "writers_of"]

#: magic, length of the value, length of the bytes after it, checksum
HEAD: Final = struct.Struct("<4sIQ8s")
MAGIC: Final = b"MKW1"
#: how many records may be missing before one that is found again
MISSING: Final = 64
#: how often its own size is hashed of a file, at the most, in search of records behind one that is not whole
HASHED: Final = 4 * MISSING


class WalFile:
    """A write-ahead file that is being written.

    Parameters
    ----------
    path : Path
        Where it lies; it must not exist.
    sync : bool
        Whether :meth:`sync` waits for the disk.
    """

    def __init__(self, path: Path, *, sync: bool = False) -> None:
        self._file = AppendFile(path, sync=sync)
        #: where the records end that are kept, and how many they are; one assignment changes both, so that they
        #: agree whatever interrupts
        self._kept = (0, 0)

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return self._file.path

    @property
    def removed(self) -> bool:
        """Whether somebody removed the file."""
        return self._file.removed

    def append(self, value: Any, data: bytes = b"") -> None:
        """Write a record, whole or not at all."""
        with self.together() as records:
            records.append(value, data)

    @contextlib.contextmanager
    def together(self) -> Iterator[Records]:
        """Keep all records that are written inside, on the disk where that was asked for; after an exception none.

        Whatever interrupts, and wherever: what is not kept is cut off, or at the latest by what comes next.
        """
        records = Records(self._file, *self._kept)
        try:
            yield records
            self.sync()
            self._kept = (records.end, records.count)
        except BaseException:
            with contextlib.suppress(OSError):  # what comes next tries again
                self._file.cut(self._kept[0])
            raise

    def sync(self) -> None:
        """Wait until the records are on the disk, where that was asked for."""
        self._file.sync()

    def close(self, *, remove: bool) -> None:
        """Close the file, and remove it where all that it holds is sealed."""
        try:
            if remove:
                self._file.path.unlink(missing_ok=True)
        except OSError:  # it stays, but what it held is not brought in a second time
            with contextlib.suppress(OSError):
                self._file.cut(0)
            raise
        finally:
            self._file.close()


class Records:
    """Records that are kept together, or none of them.

    Parameters
    ----------
    file : AppendFile
        Where they are written.
    end, count : int
        Where the records before them end, and how many these are.
    """

    def __init__(self, file: AppendFile, end: int, count: int) -> None:
        self._file = file
        self.end, self.count = end, count

    def append(self, value: Any, data: bytes = b"") -> None:
        """Write a record behind the others."""
        packed = pack(value)
        head = HEAD.pack(MAGIC, len(packed), len(data), _checksum(self.count, packed, data))
        self.end = self._file.write(self.end, [head, packed, data])
        self.count += 1


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


def read_wal(path: Path, tail: Tail | None = None) -> Iterator[tuple[Any, bytes]]:
    """Yield the whole records of a write-ahead file: the value, and the bytes after it.

    Behind what is no whole record, reading goes on at the next one that is: each has a checksum of its own, over
    its number too. ``tail`` is told what was passed over, and what follows the last good record.
    """
    tail = Tail() if tail is None else tail
    size = path.stat().st_size
    number, end = 0, 0
    left = HASHED * size
    with path.open("rb") as file:
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


def writers_of(root: Path) -> list[tuple[str, int]]:
    """Return run and number of every writer that has a lock file or a write-ahead file."""
    files = [path for pattern in (lock_pattern(), wal_pattern()) for path in root.glob(pattern)]
    places = (place_of(path.relative_to(root).as_posix()) for path in files)
    return sorted({(place.run_id, place.writer) for place in places if place is not None and place.finished})


def wal_files(root: Path, run_id: str, writer: int) -> list[tuple[int, Path]]:
    """Return a writer's write-ahead files by the number of the seal that each is for, in order."""
    found = []
    for path in root.glob(wal_pattern(run_id, writer)):
        place = place_of(path.relative_to(root).as_posix())
        if place is not None and place.seal is not None and path.is_file():
            found.append((place.seal, path))
    return sorted(found)
