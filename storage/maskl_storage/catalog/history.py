"""What a run holds already when it is opened again: its last step and its scalars."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from maskl_storage.catalog.listing import Listing
from maskl_storage.disk.local import Folder
from maskl_storage.disk.parquet import open_part
from maskl_storage.errors import CorruptData
from maskl_storage.format.json_values import JsonText
from maskl_storage.format.schemas import JSON
from maskl_storage.format.seals import Part

__all__ = ["last_step", "scalars"]


def last_step(files: Folder, listing: Listing, run_id: str) -> int | None:
    """Return the highest step of a run's rows and scalars; None where it has none."""
    highest = None
    for sealed in [*listing.of("rows", run_id=run_id), *listing.of("history", run_id=run_id)]:
        if sealed.part.rows:
            step = _highest(files, sealed.part)
            highest = step if highest is None else max(highest, step)
    return highest


def scalars(files: Folder, listing: Listing, run_id: str) -> Iterator[tuple[str, float | None, str | None, int]]:
    """Return key, value, text and step of a run's scalars, in the order in which they were logged.

    A text that is JSON is a :class:`~maskl_storage.format.json_values.JsonText`.
    """
    rows: list[tuple[Any, ...]] = []
    for sealed in listing.of("history", run_id=run_id):
        with open_part(files, sealed.part) as file:
            table = file.read(columns=["_row", "key", "value", "text", "_step"])
            columns = table.to_pydict()
            if "form" in file.schema_arrow.names:
                forms = file.read(columns=["form"])["form"].to_pylist()
                columns["text"] = [
                    JsonText(text) if form == JSON and text is not None else text
                    for text, form in zip(columns["text"], forms, strict=True)
                ]
            rows += zip(*columns.values(), strict=True)
        for name in ("_row", "key", "_step"):
            if table[name].null_count:
                raise CorruptData(f"{sealed.part.path}: {name} is missing in a row")
    return (row[1:] for row in sorted(rows, key=operator.itemgetter(0)))


def _highest(files: Folder, part: Part) -> int:
    """Return the highest ``_step`` of a part."""
    found: list[int] = []
    with open_part(files, part) as file:
        for batch in file.iter_batches(columns=["_step"], use_threads=False):
            steps = batch.column(0)
            if steps.null_count or not pa.types.is_integer(steps.type):
                raise CorruptData(f"{part.path}: _step must be a whole number in every row")
            found += [int(steps.to_numpy().max())] if len(steps) else []
    if not found:
        raise CorruptData(f"{part.path}: it has no rows")
    return max(found)
