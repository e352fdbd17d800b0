"""Arrow IPC: the same tables as in ``parquet``, to be mapped into memory; see ``docs/exporting.md``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pyarrow as pa

from maskl.formats.rows.columnar import Layout, ahead, grouped, tables
from maskl.interchange.options import Dropped, Options
from maskl.interchange.selection import Selection

__all__ = ["SUFFIX", "write"]

SUFFIX: Final = ".arrow"


def write(selection: Selection, folder: Path, options: Options, tick: Callable[[int], None]) -> Dropped:
    """Write one IPC file; nothing is dropped."""
    layout = Layout.of(selection, options.masks)
    schema = layout.schema(selection, "arrow", options.masks)
    path = folder / (options.file or f"data{SUFFIX}")
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for group in ahead(grouped(tables(selection, layout, schema, options.masks, tick))):
            for batch in group.combine_chunks().to_batches():
                writer.write_batch(batch)
    return Dropped()
