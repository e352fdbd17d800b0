"""Parquet: files that need nothing else, which come back with all that they hold; and any other tool's columns.

Images' bytes, masks, class sets and statistics stand beside what a store has; see ``docs/exporting.md``.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from maskl.formats.rows._columnar import Layout, ahead, grouped, tables
from maskl.formats.rows._parquet_footers import chunks_of
from maskl.formats.rows._parquet_pages import MAGIC, check_file, rows_at_once
from maskl.formats.rows._tables import HEEDS, Tables
from maskl.interchange.format import Format
from maskl.interchange.options import MASKS, Dropped, ExportOptions, ImportOptions
from maskl.interchange.problems import Problems
from maskl.interchange.records import Record
from maskl.interchange.selection import Selection
from maskl.interchange.source_files import SourceFile, begins_with, is_link, matching, named, open_file
from maskl_storage.errors import CorruptData, InvalidValue, MasklError

__all__ = [
    "DATA",
    "FORMAT",
    "MAGIC",
    "SHARD",
    "SUFFIX",
    "files_of",
    "is_parquet",
    "leaves",
    "read",
    "read_files",
    "schema_of",
    "sniff",
    "write",
    "write_parts",
]

SUFFIX: Final = ".parquet"
#: the folder of the files of a dataset of the Hub
DATA: Final = "data"
#: bytes of a file, before what small columns save
FILE_BYTES: Final = 500 << 20
#: bytes of rows that are read at a time
BATCH_BYTES: Final = 8 << 20
BATCH_ROWS: Final = 1024
#: bytes of a column that are read at a time: row groups of other tools may be larger than memory
BUFFER: Final = 1 << 20
#: the split in the name of a shard: train-00000-of-00002.parquet
SHARD: Final = re.compile(r"(.+?)-\d+(-of-\d+)?(-[0-9a-f]+)?")


# --- writing ------------------------------------------------------------------------------------


def write(selection: Selection, folder: Path, options: ExportOptions, tick: Callable[[int], None]) -> Dropped:
    """Write one file, or files of about 500 MB; nothing is dropped."""
    masks = options.masks or MASKS[0]
    layout = Layout.of(selection, masks)
    schema = layout.schema(selection, "parquet", masks)
    portable = options.images == "portable"
    groups = ahead(grouped(tables(selection, layout, schema, masks, tick, portable=portable)))
    if options.file is not None:
        write_parts(folder, schema, groups, lambda number: str(options.file), None)
    else:
        write_parts(folder, schema, groups, lambda number: f"part-{number:05}{SUFFIX}", FILE_BYTES)
    return Dropped()


def write_parts(
    folder: Path, schema: pa.Schema, groups: Iterable[pa.Table], name: Callable[[int], str], most: int | None
) -> list[Path]:
    """Write tables as row groups of files of at most so many bytes, one file at least, and return their paths."""
    paths: list[Path] = []
    waiting: Iterator[pa.Table] = iter(groups)
    group = next(waiting, None)
    while group is not None or not paths:
        paths.append(folder / name(len(paths)))
        held = 0
        with pq.ParquetWriter(paths[-1], schema, **_settings(schema)) as writer:
            while group is not None and (most is None or not held or held + group.nbytes <= most):
                writer.write_table(group, row_group_size=max(group.num_rows, 1))
                held += group.nbytes
                group = next(waiting, None)
    return paths


def _settings(schema: pa.Schema) -> dict[str, Any]:
    """Return the writer's settings: images and masks are compressed already, everything else is packed."""
    paths = [leaf for entry in schema for leaf in leaves(entry.name, entry.type)]
    packed = [path for path, kind in paths if not pa.types.is_binary(kind)]
    return {
        "compression": {path: "none" if pa.types.is_binary(kind) else "zstd" for path, kind in paths},
        "compression_level": dict.fromkeys(packed, 1),
        "use_dictionary": packed,
        "write_statistics": packed,
        "store_schema": True,
    }


def leaves(path: str, kind: pa.DataType) -> Iterator[tuple[str, pa.DataType]]:
    """Yield path and type of each column of Parquet that an Arrow column becomes."""
    if pa.types.is_struct(kind):
        for entry in kind:
            yield from leaves(f"{path}.{entry.name}", entry.type)
    elif pa.types.is_map(kind):
        yield from leaves(f"{path}.key_value.key", kind.key_type)
        yield from leaves(f"{path}.key_value.value", kind.item_type)
    elif pa.types.is_list(kind):
        yield from leaves(f"{path}.list.element", kind.value_type)
    else:
        yield path, kind


# --- reading ------------------------------------------------------------------------------------


def sniff(source: Path) -> bool:
    """Whether this is a Parquet file, or a folder of them."""
    return any(is_parquet(file) for file in files_of(source, strict=False)[:1])


def read(source: Path, options: ImportOptions, problems: Problems) -> Iterator[Record]:
    """Read a Parquet file, or those of a folder by name."""
    files = files_of(source, links=options.follow_links)
    if not files:
        raise InvalidValue(f"{source} holds no Parquet file")
    return read_files([(file, "") for file in files], options, problems)


def read_files(files: list[tuple[SourceFile, str]], options: ImportOptions, problems: Problems) -> Iterator[Record]:
    """Read Parquet files, each with the name of its table where its rows do not say one."""
    tables = Tables(options, problems)
    for path, table in files:
        try:
            with open_file(path) as opened:
                check_file(opened, path)
                with pq.ParquetFile(opened, pre_buffer=False, buffer_size=BUFFER) as file:
                    yield from tables.records(file.schema_arrow, _batches(file, opened, path, problems), path, table)
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # the file system's
                raise
            problems.bad(path, None, CorruptData(f"not a whole Parquet file: {error}"))


def schema_of(path: SourceFile) -> pa.Schema:
    """Return the schema of a file."""
    with open_file(path) as opened:
        check_file(opened, path)
        return pq.read_schema(opened)


def _batches(
    file: pq.ParquetFile, opened: io.FileIO, path: SourceFile, problems: Problems
) -> Iterator[tuple[int, pa.Table]]:
    """Yield rows some megabytes at a time; a row group that cannot be read is as bad as a row."""
    start = 0
    try:
        described = chunks_of(opened, file.metadata)
    except CorruptData as error:
        problems.bad(path, None, error)
        return
    for number, chunks in enumerate(described):
        group = file.metadata.row_group(number)
        size = max(1, min(BATCH_ROWS, BATCH_BYTES * group.num_rows // max(group.total_byte_size, 1)))
        first = start
        try:
            size = min(size, rows_at_once(opened, file.metadata, chunks, number))
            for batch in file.iter_batches(size, row_groups=[number], use_threads=False):
                yield first, pa.Table.from_batches([batch])
                first += batch.num_rows
        except MasklError as error:
            problems.bad(path, first, error)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            last = start + group.num_rows - 1
            problems.bad(path, first, CorruptData(f"rows {first} to {last} cannot be read: {error}"))
        start += group.num_rows


def files_of(source: Path, *, links: bool = False, strict: bool = True) -> list[SourceFile]:
    """Return the Parquet files that a source is or holds, in order of their names."""
    if source.is_file():
        return [named(source)]
    patterns = [f"[!.]*{SUFFIX}", f"{DATA}/[!.]*{SUFFIX}", f"*/[!.]*{SUFFIX}"]
    return matching(source, *patterns, links=links, strict=strict)


def is_parquet(file: SourceFile) -> bool:
    """Whether a file begins as Parquet does; a link, which is not followed to see that, by its name."""
    return begins_with(file, MAGIC) or (file.path.suffix == SUFFIX and is_link(file))


FORMAT: Final = Format(
    "parquet", read=read, write=write, sniff=sniff, suffix=SUFFIX, takes=("masks", "images"), heeds=HEEDS
)
