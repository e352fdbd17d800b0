"""What a run holds already when it is opened again: its last step and its scalars."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

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
    """Return the highest ``_step`` of a part, from its footer where that tells."""
    with open_part(files, part) as file:
        column = file.schema_arrow.get_field_index("_step")
        groups = [file.metadata.row_group(number).column(column) for number in range(file.num_row_groups)]
        found = [group.statistics.max for group in groups if group.statistics is not None]
        if len(found) < len(groups):
            found = file.read(columns=["_step"]).column(0).to_pylist()
    if not found or not all(isinstance(step, int) for step in found):
        raise CorruptData(f"{part.path}: _step must be a whole number in every row")
    return int(max(found))
