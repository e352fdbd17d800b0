"""Chosen rows as self-contained Arrow tables: images' bytes, masks and statistics beside what is stored.

This is what the formats ``parquet`` and ``arrow`` hold, and what ``huggingface`` is made from; see
``docs/exporting.md``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Final

import pyarrow as pa

from maskl.formats.rows import _export_keys as export_keys
from maskl.formats.rows._export_keys import EXPORT_KEY, RUN_NAME
from maskl.interchange.mask_pngs import MaskPngs
from maskl.interchange.selection import Selection
from maskl.interchange.statistics import CONFUSION, PIXELS, Statistics

__all__ = ["Layout", "ahead", "grouped", "tables"]

#: rows whose statistics are asked for at a time
BLOCK: Final = 2048
#: rows that are read first, and bytes, with images, that as many rows should take as are read at a time later
FIRST: Final = 8
PIECE_BYTES: Final = 4 << 20
#: bytes of a row group, or of a record batch
GROUP_BYTES: Final = 16 << 20


@dataclass(frozen=True)
class Layout:
    """The columns of an export beside those that are stored: each by its name, with what it belongs to.

    Parameters
    ----------
    images : dict of str to str
        The bytes of an image column.
    exact : dict of str to str
        The masks of a column of masks that PNG cannot hold; empty where masks are not PNG.
    pixels : dict of str to tuple
        The classes of a mask: its image column and key.
    confusion : dict of str to tuple
        The joint histogram of two masks: their image column and keys.
    json, arrays : dict of str to str
        Which of the texts of a column are JSON, and which of its lists are arrays, where runs differ in that.
    taken : set of str
        The names of all columns, case folded.
    """

    images: dict[str, str] = field(default_factory=dict)
    exact: dict[str, str] = field(default_factory=dict)
    pixels: dict[str, tuple[str, str]] = field(default_factory=dict)
    confusion: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    json: dict[str, str] = field(default_factory=dict)
    arrays: dict[str, str] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, selection: Selection, masks: str, *, confusion: bool = True) -> Layout:
        """Return names for the columns that no column of the selection has."""
        layout = cls(taken={name.casefold() for name in (*selection.schema.names, RUN_NAME)})
        keys: dict[str, list[str]] = {}
        for name, types in selection.union.readings.items():
            for kind, marks in (("json", layout.json), ("array", layout.arrays)):
                if kind in types:
                    marks[layout.free(f"{name}__{kind}")] = name
        for name, column in selection.union.columns.items():
            image, key = str(column.image), str(column.key)
            if column.kind == "image":
                layout.images[layout.free(f"{name}__bytes")] = name
            if column.kind == "mask":
                layout.pixels[layout.free(f"{image}__pixels__{key}")] = (image, key)
                keys.setdefault(image, []).append(key)
                if masks == "png":
                    layout.exact[layout.free(f"{image}__exact__{key}")] = name
        for image, found in keys.items() if confusion else ():
            for a, b in combinations(sorted(found), 2):
                layout.confusion[layout.free(f"{image}__confusion__{a}__{b}")] = (image, a, b)
        return layout

    def free(self, name: str) -> str:
        """Return the name, or one like it where a column bears it already, and keep it."""
        while name.casefold() in self.taken:
            name += "_1"
        self.taken.add(name.casefold())
        return name

    def schema(self, selection: Selection, name: str, masks: str) -> pa.Schema:
        """Return the schema of an export, with the metadata that tells the columns apart."""
        mask_of = {
            (column.image, column.key): stored
            for stored, column in selection.union.columns.items()
            if column.kind == "mask"
        }
        more: dict[str, list[pa.Field]] = {"run_id": [pa.field(RUN_NAME, pa.string())]}
        for column, stored in (*self.images.items(), *self.exact.items()):
            more.setdefault(stored, []).append(pa.field(column, pa.binary()))
        for column, stored in (*self.json.items(), *self.arrays.items()):
            more.setdefault(stored, []).append(pa.field(column, pa.bool_()))
        for column, (image, key) in self.pixels.items():
            more.setdefault(mask_of[image, key], []).append(pa.field(column, PIXELS))
        fields = [entry for stored in selection.schema for entry in (stored, *more.get(stored.name, ()))]
        fields += [pa.field(column, CONFUSION) for column in self.confusion]
        body = {
            export_keys.VERSION_KEY: export_keys.VERSION,
            export_keys.FORMAT: name,
            export_keys.TABLE: selection.table,
            export_keys.MASKS: masks,
            export_keys.BYTES: self.images,
            export_keys.EXACT: self.exact,
            export_keys.PIXELS: self.pixels,
            export_keys.CONFUSION: self.confusion,
        }
        body |= {export_keys.JSON: self.json} if self.json else {}
        body |= {export_keys.ARRAYS: self.arrays} if self.arrays else {}
        own = {EXPORT_KEY: json.dumps(body, ensure_ascii=False).encode()}
        return pa.schema(fields, metadata=selection.schema.metadata | own)


def tables(
    selection: Selection,
    layout: Layout,
    schema: pa.Schema,
    masks: str,
    tick: Callable[[int], None],
    *,
    portable: bool,
) -> Iterator[pa.Table]:
    """Yield the rows of an export in order, some megabytes at a time.

    ``portable`` says whether images' files are such that other tools open.
    """
    names = {info.run_id: info.name for info in selection.store.runs()}
    reader = selection.reader()
    size = FIRST
    with ExitStack() as stack:
        counted = stack.enter_context(Statistics.of(selection)) if layout.pixels else None
        pngs = stack.enter_context(MaskPngs.started()) if masks == "png" else None
        for first in range(0, len(selection), BLOCK):
            last = min(first + BLOCK, len(selection))
            counts = {} if counted is None else _counts(selection, layout, counted, first, last)
            for kind, marks in (("json", layout.json), ("array", layout.arrays)):
                counts |= {column: selection.rows.typed(name, kind, first, last) for column, name in marks.items()}
            start = first
            while start < last:
                made = _made(selection, layout, pngs, reader.rows(start, min(start + size, last)), portable)
                rows = len(made["_row"])
                made[RUN_NAME] = pa.array([names.get(run, run) for run in made["run_id"].to_pylist()], pa.string())
                made |= {column: values.slice(start - first, rows) for column, values in counts.items()}
                columns = [made.get(entry.name, pa.nulls(rows, entry.type)) for entry in schema]
                table = pa.table(columns, schema=schema)
                yield table
                tick(rows)
                start += rows
                size = max(1, min(BLOCK, PIECE_BYTES * rows // max(table.nbytes, 1)))


def grouped(parts: Iterable[pa.Table], size: int = GROUP_BYTES) -> Generator[pa.Table, None, None]:
    """Join tables to ones of about so many bytes."""
    waiting: list[pa.Table] = []
    held = 0
    for part in parts:
        if waiting and held + part.nbytes > size:
            yield pa.concat_tables(waiting)
            waiting, held = [], 0
        waiting.append(part)
        held += part.nbytes
    if waiting:
        yield pa.concat_tables(waiting)


def ahead(parts: Generator[pa.Table, None, None]) -> Iterator[pa.Table]:
    """Yield what an iterator does, which makes the next one, on a thread, while one is used."""
    try:
        with ThreadPoolExecutor(1, "maskl-export-read") as pool:
            waiting = pool.submit(next, parts, None)
            while (part := waiting.result()) is not None:
                waiting = pool.submit(next, parts, None)
                yield part
    finally:
        parts.close()


def _made(
    selection: Selection, layout: Layout, pngs: MaskPngs | None, rows: pa.Table, portable: bool
) -> dict[str, Any]:
    """Return the columns of stored rows with the images' bytes, and masks as they are wanted."""
    made: dict[str, Any] = dict(zip(rows.column_names, rows.columns, strict=True))
    for column, image in layout.images.items():
        made[column] = selection.images.column(pa.compute.struct_field(rows[image], "digest"))
        if portable:
            made[image], made[column] = selection.portable.columns(rows[image], made[column])
    if pngs is not None:
        for column, mask in layout.exact.items():
            made[mask], made[column] = pngs.columns(rows[mask])
    return made


def _counts(selection: Selection, layout: Layout, counted: Statistics, first: int, last: int) -> dict[str, Any]:
    """Return the columns of statistics of rows."""
    keys = selection.rows.keys(first, last)
    pixels, confusion = counted.pixels(keys), counted.confusion(keys) if layout.confusion else {}
    made = {column: pixels.get((*masks, "")) for column, masks in layout.pixels.items()}
    made |= {column: confusion.get(masks) for column, masks in layout.confusion.items()}
    return {column: values for column, values in made.items() if values is not None}
