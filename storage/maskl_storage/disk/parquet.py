"""Parts as Parquet files: written piece by piece, hashed while they are written, whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from blake3 import blake3

from maskl_storage.disk.forks import renewed
from maskl_storage.disk.local import Folder, folder_of
from maskl_storage.errors import CorruptData
from maskl_storage.format.paths import PART, UNFINISHED, kind_of
from maskl_storage.format.schemas import check_columns, column_types
from maskl_storage.format.seals import Part

__all__ = ["PartWriter", "begin_arrow", "open_part", "reading", "row_bounds", "row_group_of", "write_part"]

#: rows a row group: of rows that hold blobs, of other rows at most, and of statistics
BLOB_ROW_GROUP: Final = 1024
ROW_GROUP: Final = 1 << 16
DEFAULT_ROW_GROUP: Final = 1 << 19
#: bytes that a row group of rows without blobs should not exceed
ROW_GROUP_BYTES: Final = 8 << 20
HASH_BLOCK: Final = 1 << 20
#: rows whose numbers are read at a time
BOUNDED: Final = 1 << 20


class PartWriter:
    """Writes one part piece by piece; no reader sees it before it is finished, and none before a seal.

    Parameters
    ----------
    files : Folder
        The store.
    path : str
        Where the part will lie in it.
    schema : pyarrow.Schema
        The schema of every piece.
    sync : bool
        Whether the part is on the disk when it is finished.
    """

    def __init__(self, files: Folder, path: str, schema: pa.Schema, *, sync: bool = False) -> None:
        self._files, self._path, self._schema, self._sync = files, path, schema, sync
        files.make_folder(folder_of(path), sync=sync)
        self._temporary = path.removesuffix(PART) + UNFINISHED
        self._rows = 0
        self._hasher = blake3()
        self._block = bytearray(HASH_BLOCK)
        # last what writes a footer when it is torn down, perhaps into what was written to this file meanwhile
        try:
            # a file of its own, so that nothing that was interrupted writes to it, and no link leads elsewhere
            self._sink = pa.OSFile(str(files.create_anew(self._temporary)), "wb")
            renewed(self)
            self._written = files.raw_reader(self._temporary)
            self._writer = pq.ParquetWriter(self._sink, schema, **_options(schema))
        except BaseException:
            self.abandon()
            raise

    def write(self, table: pa.Table, row_group_size: int | None = None) -> None:
        """Write a table as one row group, or as several of that many rows."""
        self._writer.write_table(table, row_group_size=row_group_size or max(table.num_rows, 1))
        self._rows += table.num_rows
        self._hash()

    def finish(self) -> Part:
        """Close the file, give it its name, and return what a seal says of it."""
        try:
            self._writer.close()
            self._sink.close()
            self._hash()
            size = self._written.tell()
            self._files.rename(self._temporary, self._path, sync=self._sync)
        finally:
            self._sink.close()
            self._written.close()
            self._files.remove(self._temporary)
        return Part(self._path, size, self._rows, self._hasher.hexdigest(), column_types(self._schema))

    def abandon(self) -> None:
        """Remove what was written."""
        for file in (getattr(self, name, None) for name in ("_writer", "_sink", "_written")):
            with contextlib.suppress(OSError, pa.ArrowException):
                if file is not None:
                    file.close()
        self._files.remove(self._temporary)

    def renew(self) -> None:
        """Lead a forked child's copy of the file to nowhere: a Parquet writer that is torn down writes a footer."""
        if not self._sink.closed:
            nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            os.dup2(nowhere, self._sink.fileno(), inheritable=False)
            os.close(nowhere)

    def _hash(self) -> None:
        """Hash what was written since, while it is in memory still."""
        while size := self._written.readinto(self._block):
            self._hasher.update(memoryview(self._block)[:size])


@contextlib.contextmanager
def open_part(files: Folder, part: Part) -> Iterator[pq.ParquetFile]:
    """Open a part that a seal names, to read it by its path.

    Raises
    ------
    CorruptData
        It is no regular file, no whole Parquet file, or has other columns than its seal lists or its kind has.
    """
    with (
        reading(part.path),
        pq.ParquetFile(files.checked(part.path), memory_map=True, pre_buffer=False) as file,
    ):
        check_columns(file.schema_arrow, part)
        yield file


@contextlib.contextmanager
def reading(path: object) -> Iterator[None]:
    """Raise CorruptData for what Arrow raises of a file that is no whole Parquet file.

    What the system says, that a disk is full or a file gone, has a number, and stays what it is.
    """
    try:
        yield
    except (pa.ArrowCancelled, pa.ArrowMemoryError):
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise CorruptData(f"{path}: it is no whole Parquet file: {error}") from error


@cache
def begin_arrow() -> None:
    """Let Arrow make what it makes once a process: a table is written to memory.

    A child that is forked while another thread is in the middle of that would wait for it for ever, so it is done
    before threads write parts, or read them.
    """
    # of no values that Arrow would convert: for its first conversion it loads pandas
    schema = pa.schema({"text": pa.dictionary(pa.int32(), pa.string()), "number": pa.int64(), "blob": pa.binary()})
    table = pa.table([pa.nulls(1, kind) for kind in schema.types], schema=schema)
    with pq.ParquetWriter(pa.BufferOutputStream(), schema, **_options(schema)) as writer:
        writer.write_table(table)


def write_part(files: Folder, path: str, table: pa.Table, *, sync: bool = False) -> Part:
    """Write a part that no seal names yet, whole or not at all."""
    writer = PartWriter(files, path, table.schema, sync=sync)
    try:
        size = row_group_of(table) if kind_of(path) == "rows" else DEFAULT_ROW_GROUP
        for start in range(0, max(table.num_rows, 1), size):
            writer.write(table.slice(start, size))
        return writer.finish()
    except BaseException:
        writer.abandon()
        raise


def row_bounds(file: pq.ParquetFile, groups: Sequence[int] | None = None) -> Iterator[tuple[int, int] | None]:
    """Yield the lowest and the highest ``_row`` of each row group, or of some; None of one without any.

    The rows themselves say so: what a footer says of them is only claimed, and Arrow's objects for that end the process
    where a footer contradicts itself.

    Raises
    ------
    CorruptData
        A row group has other rows than the footer says.
    """
    left = deque(range(file.num_row_groups) if groups is None else groups)
    while left:
        numbers: list[int] = []
        sizes: list[int] = []
        rows = 0
        while left and rows < BOUNDED:
            numbers.append(left.popleft())
            sizes.append(file.metadata.row_group(numbers[-1]).num_rows)
            rows += sizes[-1]
        table = file.read_row_groups(numbers, columns=["_row"], use_threads=False)
        right = min(sizes) >= 0 and table.num_columns == 1 and table.num_rows == rows
        if not right or not pa.types.is_integer(table.column(0).type):
            raise CorruptData("a row group has other rows than the footer says")
        start = 0
        for size in sizes:
            found = table.column(0).slice(start, size).drop_null().to_numpy()
            yield (int(found.min()), int(found.max())) if found.size else None
            start += size


def row_group_of(table: pa.Table) -> int:
    """Return how many rows a row group takes: whoever reads one of them reads the group."""
    if any(pa.types.is_binary(kind) for kind in table.schema.types):
        return BLOB_ROW_GROUP
    size: int = ROW_GROUP_BYTES * table.num_rows // max(table.nbytes, 1)
    return max(BLOB_ROW_GROUP, min(ROW_GROUP, size))


def _options(schema: pa.Schema) -> dict[str, Any]:
    """Blobs as they are and one page a chunk, so that a reader can slice them; the rest packed."""
    leaves = [leaf for field in schema for leaf in _leaves(field.name, field.type)]
    packed = [path for path, kind in leaves if not pa.types.is_binary(kind)]
    return {
        "compression": {path: "zstd" if path in set(packed) else "none" for path, _ in leaves},
        "compression_level": dict.fromkeys(packed, 1) or None,
        "use_dictionary": packed,
        "write_statistics": packed,
        "data_page_size": 1 << 30 if len(packed) < len(leaves) else 1 << 20,
        "store_schema": True,
    }


def _leaves(path: str, kind: pa.DataType) -> Sequence[tuple[str, pa.DataType]]:
    if pa.types.is_struct(kind):
        return [leaf for field in kind for leaf in _leaves(f"{path}.{field.name}", field.type)]
    if pa.types.is_list(kind):
        return _leaves(f"{path}.list.element", kind.value_type)
    if pa.types.is_map(kind):
        return [*_leaves(f"{path}.key_value.key", kind.key_type), *_leaves(f"{path}.key_value.value", kind.item_type)]
    if pa.types.is_dictionary(kind):
        return [(path, kind.value_type)]
    return [(path, kind)]
