"""Arrow IPC files and streams: what ``maskl export`` wrote, or any other tool's columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from maskl.formats.rows.tables import Tables
from maskl.interchange.import_options import Options
from maskl.interchange.problems import Problems
from maskl.interchange.records import Record
from maskl_storage.errors import CorruptData, InvalidValue

__all__ = ["read", "read_batches", "sniff"]

MAGIC: Final = b"ARROW1"
STREAM: Final = b"\xff\xff\xff\xff"
SUFFIXES: Final = (".arrow", ".arrows", ".feather", ".ipc")


def sniff(source: Path) -> bool:
    """Whether this is an Arrow file or stream, or a folder of them."""
    files = _files(source)
    return bool(files) and (source.is_dir() or _begins(files[0], MAGIC) or _begins(files[0], STREAM))


def read(source: Path, options: Options, problems: Problems) -> Iterator[Record]:
    """Read a file or stream, or those of a folder by name."""
    files = _files(source)
    if not files:
        raise InvalidValue(f"{source} holds no Arrow file ({', '.join(SUFFIXES)})")
    tables = Tables(options, problems)
    for path in files:
        yield from read_batches(path, tables, problems)


def read_batches(path: Path, tables: Tables, problems: Problems, table: str = "") -> Iterator[Record]:
    """Read one file or stream."""
    try:
        with pa.OSFile(str(path), "rb") as file:
            reader = pa.ipc.open_file(file) if _begins(path, MAGIC) else pa.ipc.open_stream(file)
            yield from tables.records(reader.schema, _batches(reader), path, table)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the file system's
            raise
        problems.bad(path, None, f"not a whole Arrow file or stream: {error}", CorruptData)


def _batches(reader: Any) -> Iterator[tuple[int, pa.Table]]:
    first = 0
    many = hasattr(reader, "num_record_batches")
    batches = map(reader.get_batch, range(reader.num_record_batches)) if many else iter(reader)
    for batch in batches:
        batch.validate(full=True)  # IPC is read unchecked: an offset past the data would be followed
        yield first, pa.Table.from_batches([batch])
        first += batch.num_rows


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    return sorted(path for path in source.glob("*") if path.suffix in SUFFIXES and path.is_file())


def _begins(path: Path, with_: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(with_)) == with_
