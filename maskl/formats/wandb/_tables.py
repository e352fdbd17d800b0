"""Tables of W&B: JSON in artifacts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import Any, Final

import numpy as np

from maskl.formats.wandb._artifacts import Artifacts
from maskl.formats.wandb._media import KEPT, Media, histogram_of, image_of, kept, labels_of
from maskl.interchange.documents import parse_object
from maskl.interchange.untrusted import packed_array
from maskl_storage.errors import CorruptData, InvalidValue, MasklError
from maskl_storage.format.metadata import ClassItem, ClassSet, Column

__all__ = ["Table", "read_table"]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
MISSING: Final = ("none", "unknown")


@dataclass(frozen=True, slots=False)
class Table:
    """A table as W&B wrote it; its cells become values row by row.

    ``inline`` has the rows that W&B writes beside the artifact, for arrays that stand there alone.
    """

    artifacts: Artifacts
    client: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    kinds: Sequence[Mapping[str, Any]]
    inline: Sequence[Sequence[Any]] | None
    #: types of cells that are kept as W&B describes them, and how many there were
    unknown: Counter[str] = field(default_factory=Counter)
    _classes: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def types(self) -> dict[str, Column]:
        """What is known of columns beside their values: those of several types, and ids of classes."""
        found = {}
        for name, kind in zip(self.columns, self.kinds, strict=True):
            members = [member for member in _members(kind) if member.get("wb_type") not in MISSING]
            kinds = {member.get("wb_type") for member in members}
            if len(kinds) > 1 or "any" in kinds:
                found[name] = Column("value", name, "json")
            elif members and members[0].get("wb_type") == "classesId":
                classes = self._class_ids(members[0])
                if classes is not None:
                    found[name] = Column("value", name, "int", class_sets=(classes,))
        return found

    @cached_property
    def arrays(self) -> dict[int, Any]:
        """Columns of arrays by their place, which stand in files of their own."""
        found: dict[int, Any] = {}
        for place, kind in enumerate(self.kinds):
            for member in _members(kind):
                where = (member.get("params") or {}).get("serialization_path")
                if member.get("wb_type") == "ndarray" and isinstance(where, dict):
                    found[place] = self._array(place, str(where.get("path")), str(where.get("key")))
        return found

    def values(self, row: Sequence[Any], number: int) -> list[Any]:
        """Return the values of a row.

        Raises
        ------
        InvalidValue, CorruptData
            Another number of cells than columns, or a file that is missing or broken.
        """
        if not isinstance(row, list) or len(row) != len(self.columns):
            raise InvalidValue(f"a row needs {len(self.columns)} cells; got {row!r:.80}")
        values = []
        for place, (cell, kind) in enumerate(zip(row, self.kinds, strict=True)):
            if place in self.arrays:
                column = self.arrays[place]
                if number >= len(column):
                    raise InvalidValue(f"column {self.columns[place]!r} has {len(column)} arrays")
                values.append(column[number])
            else:
                values.append(self._cell(cell, kind))
        return values

    def _cell(self, cell: Any, kind: Mapping[str, Any], *, inside: bool = False) -> Any:
        members = _members(kind)
        if isinstance(cell, dict | list) and not inside and not _typed(cell):
            return self._parts(cell, members)
        if type(cell) in (int, float) and any(member.get("wb_type") == "timestamp" for member in members):
            try:
                return EPOCH + timedelta(milliseconds=cell)
            except OverflowError as error:
                raise InvalidValue(f"the timestamp {cell} lies outside the years 1 to 9999") from error
        if not _typed(cell):
            return cell
        if cell["_type"] == "image-file":
            params = next((m.get("params") or {} for m in members if m.get("wb_type") == "image-file"), {})
            return self._image(cell, params)
        if cell["_type"] in KEPT:
            return kept(cell, self._read)
        if (histogram := histogram_of(cell)) is not None:
            return histogram
        self.unknown[str(cell["_type"])] += 1
        return cell

    def _parts(self, cell: Any, members: Sequence[Mapping[str, Any]]) -> Any:
        """Return a list or dict whose items may be media."""
        params = [member.get("params") or {} for member in members]
        if isinstance(cell, list):
            if not any(map(_typed, cell)):
                return cell
            of_items: Mapping[str, Any] = next(
                (some["element_type"] for some in params if isinstance(some.get("element_type"), dict)), {}
            )
            return [self._cell(item, of_items, inside=True) for item in cell]
        if not any(map(_typed, cell.values())):
            return cell
        of_keys: Mapping[str, Any] = next(
            (some["type_map"] for some in params if isinstance(some.get("type_map"), dict)), {}
        )
        return {key: self._cell(item, of_keys.get(key) or {}, inside=True) for key, item in cell.items()}

    def _read(self, item: Mapping[str, Any]) -> bytes:
        return self.artifacts.read(self.client, str(item.get("path")))

    def _image(self, cell: Mapping[str, Any], params: Mapping[str, Any]) -> Any:
        def labels(kind: str, key: str) -> dict[int, str] | None:
            maps = params.get("mask_class_maps" if kind == "mask" else "box_class_maps") or {}
            return labels_of((maps.get("params") or {}).get("val", {}).get(key))

        classes = cell.get("classes")
        if isinstance(classes, dict) and isinstance(classes.get("path"), str):
            path = classes["path"]
            if path not in self._classes:
                self._classes[path] = parse_object(self._read(classes), path).get("class_set")
            classes = self._classes[path]
        return image_of(cell, self._read, labels, lambda data: data, classes or None)

    def _class_ids(self, member: Mapping[str, Any]) -> ClassSet | None:
        described = (member.get("params") or {}).get("classes_obj")
        path = described.get("path") if isinstance(described, dict) else None
        if not isinstance(path, str):
            return None
        items = parse_object(self.artifacts.read(self.client, path), path).get("class_set")
        labels = labels_of({str(item["id"]): item["name"] for item in items}) if isinstance(items, list) else None
        return ClassSet(ClassItem(number, labels[number]) for number in sorted(labels)) if labels else None

    def _array(self, place: int, path: str, key: str) -> Any:
        try:
            arrays = packed_array(self.artifacts.read(self.client, path), key, path)
        except MasklError as error:
            # arrays of several shapes, or missing ones, are pickled
            if self.inline is None:
                raise InvalidValue(f"the arrays of column {self.columns[place]!r} cannot be read: {error}") from error
            return [None if row[place] is None else np.array(row[place]) for row in self.inline]
        if not arrays.ndim:
            raise CorruptData(f"column {self.columns[place]!r} needs an array a row; its file holds a number")
        return arrays


def read_table(artifacts: Artifacts, value: Mapping[str, Any], media: Media) -> Table:
    """Read the table that a value of the history names.

    Raises
    ------
    InvalidValue, CorruptData
        A file that is missing, altered or no table.
    """
    client, name = artifacts.table(value)
    body = parse_object(artifacts.read(client, name), name)
    columns, rows = body.get("columns"), body.get("data")
    if not isinstance(columns, list) or not isinstance(rows, list):
        raise InvalidValue(f"{name}: a table needs columns and data")
    types = ((body.get("column_types") or {}).get("params") or {}).get("type_map") or {}
    kinds = [types.get(str(column)) or {} for column in columns]
    inline = None
    if any(member.get("wb_type") == "ndarray" for kind in kinds for member in _members(kind)):
        inline = parse_object(media.read(value), name).get("data")
    return Table(artifacts, client, [str(column) for column in columns], rows, kinds, inline)


def _typed(cell: Any) -> bool:
    return isinstance(cell, dict) and isinstance(cell.get("_type"), str)


def _members(kind: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if kind.get("wb_type") == "union":
        members = (kind.get("params") or {}).get("allowed_types")
        return [member for member in members if isinstance(member, dict)] if isinstance(members, list) else []
    return [kind]
