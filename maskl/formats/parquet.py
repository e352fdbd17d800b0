"""Parquet files that need nothing else: images' bytes, masks, class sets and statistics; see ``docs/exporting.md``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from maskl.formats.rows.columnar import Layout, ahead, grouped, tables
from maskl.interchange.options import Dropped, Options
from maskl.interchange.selection import Selection

__all__ = ["SUFFIX", "leaves", "write", "write_parts"]

SUFFIX: Final = ".parquet"
#: bytes of a file, before what small columns save
FILE_BYTES: Final = 500 << 20


def write(selection: Selection, folder: Path, options: Options, tick: Callable[[int], None]) -> Dropped:
    """Write one file, or files of about 500 MB; nothing is dropped."""
    layout = Layout.of(selection, options.masks)
    schema = layout.schema(selection, "parquet", options.masks)
    groups = ahead(grouped(tables(selection, layout, schema, options.masks, tick)))
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
