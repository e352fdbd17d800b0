"""Rows of a table that is being filled: the last ones in memory, the others in a file that ends with the process."""

from __future__ import annotations

import os
import tempfile
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, overload

from maskl.annotations.sink import sink
from maskl_storage.cells.packing import pack, unpack
from maskl_storage.disk.forks import renewed
from maskl_storage.disk.local import Folder
from maskl_storage.write.pending import cell_weight

__all__ = ["LazyList", "RowStore", "Spool"]

#: up to this many bytes of rows stay in memory
MEMORY_BYTES: Final = 16 << 20
#: bytes of rows that are written and read together
BLOCK_BYTES: Final = 1 << 20

Row = tuple[Any, ...]


class Spool:
    """A file without a name: nothing of it is left when the process ends, however that comes.

    It is made when it is needed, in the store of the active run, or else in the folder of temporary files.
    """

    def __init__(self) -> None:
        self._end = 0
        self.renew()

    def renew(self) -> None:
        """Begin anew: what was forked off writes to a file of its own, and still reads its parent's."""
        self._file: _Handle | None = None
        self._lock = threading.Lock()

    def write(self, data: bytes) -> Callable[[], bytes]:
        """Keep some bytes, and return how to read them."""
        renewed(self)  # only here, since few tables are too much for memory
        with self._lock:
            if self._file is None:
                self._file, self._end = _Handle(None if sink.writer is None else sink.writer.spool), 0
            offset, view = self._end, memoryview(data)
            while view.nbytes:
                view = view[os.pwrite(self._file.descriptor, view, offset + len(data) - view.nbytes) :]
            self._end = offset + len(data)
            return partial(_read, self._file, offset, len(data))


class _Handle:
    """An open file without a name, which is closed when nobody needs it."""

    def __init__(self, place: tuple[Folder, str] | None) -> None:
        if place is not None:
            files, folder = place
            self.descriptor = files.nameless(folder)
        else:
            with tempfile.TemporaryFile() as file:
                self.descriptor = os.dup(file.fileno())

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


def _read(file: _Handle, offset: int, size: int) -> bytes:
    return os.pread(file.descriptor, size, offset)


@dataclass(frozen=True, slots=True)
class _Block:
    """Rows that were written together."""

    rows: int
    size: int
    load: Callable[[], bytes]


class RowStore(Sequence[Row]):
    """Rows of plain cells in order.

    What is beyond some megabytes stands in a :class:`Spool`, and is read back when it is asked for.
    """

    def __init__(self, spool: Spool, rows: Iterable[Row] = ()) -> None:
        self._spool = spool
        self._blocks: list[_Block] = []
        self._starts: list[int] = []
        self._written = 0
        self._tail: list[Row] = []
        self._bytes = 0
        self._last: tuple[_Block, list[Row]] | None = None
        for row in rows:
            self.append(row)

    @property
    def spooled(self) -> bool:
        """Whether rows stand in a file."""
        return bool(self._blocks)

    def append(self, row: Row) -> None:
        """Add a row at the end."""
        self._tail.append(row)
        self._bytes += 64 + sum(map(cell_weight, row))
        if self._bytes > MEMORY_BYTES:
            self._write()

    def bytes_from(self, first: int) -> int | None:
        """Return about how many bytes the rows from one on take; None where all are in memory."""
        if not self._blocks:
            return None
        written = [block.size for block, start in zip(self._blocks, self._starts, strict=True) if start >= first]
        return sum(written) + self._bytes

    def __len__(self) -> int:
        return self._written + len(self._tail)

    @overload
    def __getitem__(self, index: int) -> Row: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...

    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        if not self._blocks:
            return self._tail[index]
        if isinstance(index, slice):
            places = range(len(self))[index]
            return LazyList(len(places), lambda at: self[places[at]])
        at = range(len(self))[index]
        if at >= self._written:
            return self._tail[at - self._written]
        number = bisect_right(self._starts, at) - 1
        return self._rows(self._blocks[number])[at - self._starts[number]]

    def __iter__(self) -> Iterator[Row]:
        for block in self._blocks:
            yield from self._rows(block)
        yield from self._tail

    def _rows(self, block: _Block) -> list[Row]:
        last = self._last
        if last is None or last[0] is not block:
            last = self._last = (block, list(map(tuple, unpack(block.load()))))
        return last[1]

    def _write(self) -> None:
        """Move all rows that are in memory to the file."""
        count = max(1, len(self._tail) * BLOCK_BYTES // self._bytes)
        for start in range(0, len(self._tail), count):
            rows = self._tail[start : start + count]
            data = pack(rows)
            self._starts.append(self._written)
            self._blocks.append(_Block(len(rows), len(data), self._spool.write(data)))
            self._written += len(rows)
        self._tail, self._bytes = [], 0


class LazyList(Sequence[Any]):
    """A list whose items are made when they are asked for; it equals a list of the same items."""

    def __init__(self, length: int, item: Callable[[int], Any]) -> None:
        self._length, self._item = length, item

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: Any) -> Any:
        places = range(self._length)[index]
        if isinstance(places, range):
            return LazyList(len(places), lambda at: self._item(places[at]))
        return self._item(places)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str | bytes):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{self._length} items, read when they are asked for>"
