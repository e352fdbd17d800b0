"""Parquet: what ``maskl export`` wrote, with all that it holds, or any other tool's columns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from maskl.formats.rows.tables import Tables
from maskl.interchange.import_options import Options
from maskl.interchange.problems import Problems
from maskl.interchange.records import Record
from maskl_storage.errors import CorruptData, InvalidValue

__all__ = ["files_of", "is_parquet", "read", "read_files", "sniff"]

MAGIC: Final = b"PAR1"
#: bytes of rows that are read at a time
BATCH_BYTES: Final = 8 << 20
BATCH_ROWS: Final = 1024
#: bytes of a column that are read at a time: row groups of other tools may be larger than memory
BUFFER: Final = 1 << 20
#: the split in the name of a shard: train-00000-of-00002.parquet
SHARD: Final = re.compile(r"(.+?)-\d+(-of-\d+)?(-[0-9a-f]+)?")


def sniff(source: Path) -> bool:
    """Whether this is a Parquet file, or a folder of them."""
    return any(is_parquet(path) for path in files_of(source)[:1])


def read(source: Path, options: Options, problems: Problems) -> Iterator[Record]:
    """Read a Parquet file, or those of a folder by name."""
    files = files_of(source)
    if not files:
        raise InvalidValue(f"{source} holds no Parquet file")
    return read_files([(path, "") for path in files], options, problems)


def read_files(files: list[tuple[Path, str]], options: Options, problems: Problems) -> Iterator[Record]:
    """Read Parquet files, each with the name of its table where its rows do not say one."""
    tables = Tables(options, problems)
    for path, table in files:
        try:
            with pq.ParquetFile(path, memory_map=False, pre_buffer=False, buffer_size=BUFFER) as file:
                yield from tables.records(file.schema_arrow, _batches(file, path, problems), path, table)
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # the file system's
                raise
            problems.bad(path, None, f"not a whole Parquet file: {error}", CorruptData)


def _batches(file: pq.ParquetFile, path: Path, problems: Problems) -> Iterator[tuple[int, pa.Table]]:
    """Yield rows some megabytes at a time; a row group that cannot be read is as bad as a row."""
    start = 0
    for number in range(file.num_row_groups):
        group = file.metadata.row_group(number)
        size = max(1, min(BATCH_ROWS, BATCH_BYTES * group.num_rows // max(group.total_byte_size, 1)))
        first = start
        try:
            for batch in file.iter_batches(size, row_groups=[number], use_threads=False):
                yield first, pa.Table.from_batches([batch])
                first += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            last = start + group.num_rows - 1
            problems.bad(path, first, f"rows {first} to {last} cannot be read: {error}", CorruptData)
        start += group.num_rows


def files_of(source: Path) -> list[Path]:
    """Return the Parquet files that a source is or holds, in order of their names."""
    if source.is_file():
        return [source]
    for pattern in ("*.parquet", "data/*.parquet", "*/*.parquet"):
        found = sorted(path for path in source.glob(pattern) if path.is_file() and not path.name.startswith("."))
        if found:
            return found
    return []


def is_parquet(path: Path) -> bool:
    """Whether a file begins as Parquet does."""
    with path.open("rb") as file:
        return file.read(4) == MAGIC
