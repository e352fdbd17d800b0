"""Arrow IPC: the same tables as in ``parquet``, to be mapped into memory; and any other tool's files and streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from maskl.formats.rows._columnar import Layout, ahead, grouped, tables
from maskl.formats.rows._tables import Tables
from maskl.interchange.format import Format
from maskl.interchange.options import Dropped, ExportOptions, ImportOptions
from maskl.interchange.problems import Problems
from maskl.interchange.records import Record
from maskl.interchange.selection import Selection
from maskl_storage.errors import CorruptData, InvalidValue

__all__ = ["FORMAT", "SUFFIX", "read", "read_batches", "sniff", "write"]

SUFFIX: Final = ".arrow"
#: what files of Arrow end in
SUFFIXES: Final = (SUFFIX, ".arrows", ".feather", ".ipc")
MAGIC: Final = b"ARROW1"
STREAM: Final = b"\xff\xff\xff\xff"


def write(selection: Selection, folder: Path, options: ExportOptions, tick: Callable[[int], None]) -> Dropped:
    """Write one IPC file; nothing is dropped."""
    layout = Layout.of(selection, options.masks)
    schema = layout.schema(selection, "arrow", options.masks)
    path = folder / (options.file or f"data{SUFFIX}")
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for group in ahead(grouped(tables(selection, layout, schema, options.masks, tick))):
            for batch in group.combine_chunks().to_batches():
                writer.write_batch(batch)
    return Dropped()


def sniff(source: Path) -> bool:
    """Whether this is an Arrow file or stream, or a folder of them."""
    files = _files(source)
    return bool(files) and (source.is_dir() or _begins(files[0], MAGIC) or _begins(files[0], STREAM))


def read(source: Path, options: ImportOptions, problems: Problems) -> Iterator[Record]:
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
        problems.bad(path, None, CorruptData(f"not a whole Arrow file or stream: {error}"))


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


FORMAT: Final = Format("arrow", read=read, write=write, sniff=sniff, suffix=SUFFIX, takes=("masks",))
