"""Arrow IPC: the same tables as in ``parquet``, to be mapped into memory; and any other tool's files and streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from maskl.formats.rows._columnar import Layout, ahead, grouped, tables
from maskl.formats.rows._ipc_messages import MAGIC, STREAM, check_messages
from maskl.formats.rows._tables import HEEDS, Tables
from maskl.interchange.format import Format
from maskl.interchange.options import MASKS, Dropped, ExportOptions, ImportOptions
from maskl.interchange.problems import Problems
from maskl.interchange.records import Record
from maskl.interchange.selection import Selection
from maskl.interchange.source_files import SourceFile, begins_with, matching, named, open_file
from maskl_storage.errors import CorruptData, InvalidValue, MasklError

__all__ = ["FORMAT", "SUFFIX", "read", "read_batches", "sniff", "write"]

SUFFIX: Final = ".arrow"
#: what files of Arrow end in
SUFFIXES: Final = (SUFFIX, ".arrows", ".feather", ".ipc")


def write(selection: Selection, folder: Path, options: ExportOptions, tick: Callable[[int], None]) -> Dropped:
    """Write one IPC file; nothing is dropped."""
    masks = options.masks or MASKS[0]
    layout = Layout.of(selection, masks)
    schema = layout.schema(selection, "arrow", masks)
    portable = options.images == "portable"
    path = folder / (options.file or f"data{SUFFIX}")
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for group in ahead(grouped(tables(selection, layout, schema, masks, tick, portable=portable))):
            for batch in group.combine_chunks().to_batches():
                writer.write_batch(batch)
    return Dropped()


def sniff(source: Path) -> bool:
    """Whether this is an Arrow file or stream, or a folder of them."""
    files = _files(source, strict=False)
    return bool(files) and (source.is_dir() or begins_with(files[0], MAGIC, STREAM))


def read(source: Path, options: ImportOptions, problems: Problems) -> Iterator[Record]:
    """Read a file or stream, or those of a folder by name."""
    files = _files(source, links=options.follow_links)
    if not files:
        raise InvalidValue(f"{source} holds no Arrow file ({', '.join(SUFFIXES)})")
    tables = Tables(options, problems)
    for file in files:
        yield from read_batches(file, tables, problems)


def read_batches(file: SourceFile, tables: Tables, problems: Problems, table: str = "") -> Iterator[Record]:
    """Read one file or stream."""
    try:
        with open_file(file) as opened:
            try:
                check_messages(opened)
            except MasklError as error:
                problems.bad(file, None, error)
                return
            reader = pa.ipc.open_file(opened) if begins_with(file, MAGIC) else pa.ipc.open_stream(opened)
            yield from tables.records(reader.schema, _batches(reader), file, table)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the file system's
            raise
        problems.bad(file, None, CorruptData(f"not a whole Arrow file or stream: {error}"))


def _batches(reader: Any) -> Iterator[tuple[int, pa.Table]]:
    first = 0
    many = hasattr(reader, "num_record_batches")
    batches = map(reader.get_batch, range(reader.num_record_batches)) if many else iter(reader)
    for batch in batches:
        batch.validate(full=True)  # IPC is read unchecked: an offset past the data would be followed
        yield first, pa.Table.from_batches([batch])
        first += batch.num_rows


def _files(source: Path, *, links: bool = False, strict: bool = True) -> list[SourceFile]:
    if source.is_file():
        return [named(source)]
    files = matching(source, "*", links=links, strict=strict)
    return [file for file in files if file.path.suffix in SUFFIXES]


FORMAT: Final = Format(
    "arrow", read=read, write=write, sniff=sniff, suffix=SUFFIX, takes=("masks", "images"), heeds=HEEDS
)
