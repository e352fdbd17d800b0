"""maskl's side: runs in a store of the scenario's own, read back with :func:`maskl.open`."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

import maskl
from maskl.data_types import Media
from maskl_storage.format.json_values import load_text
from maskl_storage.format.schemas import columns_of
from tests.conformance.scenario import Kept, Side, picture, plain

__all__ = ["Ours"]

#: maskl's types of columns in the words that both sides share
TYPES = {"int": "number", "float": "number", "bool": "boolean", "array": "ndarray"}


class Ours(Side):
    """maskl, in a directory."""

    name = "maskl"
    prefix = "MASKL"

    def __init__(self, directory: Path) -> None:
        self.module = maskl
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def class_of(self, name: str) -> Any:
        return getattr(maskl, name)

    def init(self, **arguments: Any) -> Any:
        return maskl.init(**{"dir": self.directory, **arguments})

    def kept(self, run: Any) -> Kept:
        store = maskl.open(self.directory)
        steps: dict[int, dict[str, Any]] = {}
        for entry in store.run(run.id).history().to_pylist():
            value = entry["text"] if entry["value"] is None else entry["value"]
            if entry["form"] == "json":
                found = load_text(value)
                histogram = isinstance(found, maskl.Histogram)
                value = {"counts": found.histogram, "edges": found.bins} if histogram else found
            steps.setdefault(entry["_step"], {})[entry["key"]] = plain(value)
        for table in store.tables():
            if run.id in table.runs:
                for step, value in self._logged(store, table.name, run.id).items():
                    steps.setdefault(step, {})[table.name] = value
        stored = store.run(run.id)
        return Kept(sorted(steps.items()), dict(stored.summary), dict(stored.config))

    def kept_table(self, table: Any) -> dict[str, Any]:
        with self.init() as run:
            run.log({"observed": table})
        return _table(maskl.open(self.directory, runs=[run.id]).table("observed"))

    def names_of(self, image: Any, key: str) -> dict[Any, str]:
        return dict(image.masks[key].class_labels)

    def run(self, code: str, arguments: Sequence[str], variables: Mapping[str, str]) -> str:
        before, given = dict(os.environ), sys.argv
        printed = io.StringIO()
        try:
            os.environ.update(variables)
            sys.argv = ["-c", *arguments]
            with redirect_stdout(printed), redirect_stderr(printed):
                exec(code, {})
        finally:
            sys.argv = given
            os.environ.clear()
            os.environ.update(before)
        return printed.getvalue()

    def loaded(self, image: Any) -> Any:
        with self.init() as run:
            run.log({"loaded": maskl.Table(columns=["image"], data=[[image]])})
        return maskl.open(self.directory).table("loaded", run=run.id)[0]["image"]

    def _logged(self, store: maskl.Store, name: str, run: str) -> dict[int, Any]:
        """Return what a table holds at each step: a table, or the images that were logged by themselves."""
        rows = store.table(name, run=run)
        found: dict[int, Any] = {}
        for step in sorted({row.step for row in rows}):
            here = store.table(name, run=run, step=step)
            if here.columns == ["image", "index"]:
                pictures = [_value(row["image"]) for row in here]
                found[step] = pictures if len(pictures) > 1 else pictures[0]
            else:
                found[step] = _table(here)
        return found


def _table(rows: Any) -> dict[str, Any]:
    columns = {column.name: column for column in columns_of(rows.to_arrow().schema, "rows").values()}
    types = {
        name: "image" if column.kind == "image" else TYPES.get(str(column.type), str(column.type))
        for name, column in columns.items()
        if name in rows.columns
    }
    cells = [[_value(row[name]) for name in rows.columns] for row in rows]
    for number, name in enumerate(rows.columns):
        if types[name] == "json":  # dicts, and lists of what has no type in common
            types[name] = "/".join(sorted({type(row[number]).__name__ for row in cells if row[number] is not None}))
    return plain({"columns": rows.columns, "types": types, "rows": cells})


def _value(value: Any) -> Any:
    if isinstance(value, Media):
        return {"media": value.type, "caption": value.caption}
    if isinstance(value, dict):
        return {key: _value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_value(item) for item in value]
    if not isinstance(value, maskl.Image):
        return plain(value)
    masks = {
        key: {"pixels": np.asarray(mask.mask_data), "labels": dict(mask.class_labels)}
        for key, mask in value.masks.items()
    }
    boxes = {key: {"data": box.box_data, "labels": dict(box.class_labels)} for key, box in value.boxes.items()}
    reference = value.width is None  # of a file elsewhere nothing is known
    return picture(None if reference else value.image, value.caption, masks, boxes)
