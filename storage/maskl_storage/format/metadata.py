"""What the metadata of a rows part says of its columns, as SPEC.md has it. Standard library only.

Everything read from a store passes a ``parse_*`` function here, in :mod:`maskl_storage.format.seals` or in
:mod:`maskl_storage.format.document`, which report every problem with its location; ``schema.json`` says the same to
other languages, and a test keeps the two in step.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from maskl_storage.errors import CorruptData
from maskl_storage.format.document import (
    COLUMN_ROLES,
    SEGMENTED,
    WRITTEN,
    check_version,
    is_count,
    is_newer,
    raise_problems,
    read_object,
)

__all__ = [
    "ClassItem",
    "ClassSet",
    "Column",
    "ForeignKey",
    "class_name",
    "class_set_problems",
    "dump_metadata",
    "parse_metadata",
]

METADATA_KEY: Final = b"maskl"
VALUE_TYPES: Final = ("null", "bool", "int", "float", "string", "bytes", "timestamp", "list", "array", "json")

ROW_BITS: Final = 40
INT32: Final = (-(1 << 31), (1 << 31) - 1)
#: the kinds of columns
COLUMN_KINDS: Final = ("image", "mask", "boxes", "segments", "value")
#: kinds of columns that belong to an image, under a key
LABELLED: Final = ("mask", "boxes", "segments")
#: and those of them that have class sets; segments are of the classes of their mask
CLASSED: Final = ("mask", "boxes")
#: what lists and arrays hold
ITEM_TYPES: Final = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "string"),
)
#: dimensions of an array, at most: no library has more
MAX_NDIM: Final = 64
COLOR: Final = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True, slots=True)
class ClassItem:
    """One class of a class set: ``name`` is None where only the id is known to be ignored or coloured.

    ``isthing`` says whether it has objects that can be counted; None where nobody said so.
    """

    id: int
    name: str | None = None
    color: str | None = None
    ignore: bool = False
    isthing: bool | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the item as SPEC.md writes it: what is absent is left out."""
        item: dict[str, Any] = {"id": self.id}
        if self.name is not None:
            item["name"] = self.name
        if self.color is not None:
            item["color"] = self.color
        if self.ignore:
            item["ignore"] = True
        if self.isthing is not None:
            item["isthing"] = self.isthing
        return item


class ClassSet(tuple[ClassItem, ...]):
    """The classes of a mask, by ascending id; rows share few of them, so what follows from one is computed once."""

    _hash: int | None = None

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = super().__hash__()
        return self._hash

    def __reduce__(self) -> tuple[type[ClassSet], tuple[tuple[ClassItem, ...]]]:
        return ClassSet, (tuple(self),)  # without the hash: that of a string is another in each process

    @cached_property
    def labels(self) -> tuple[tuple[int, str], ...] | None:
        """Id and name of each class that has a name; None where none has."""
        return tuple((item.id, item.name) for item in self if item.name is not None) or None

    @cached_property
    def is_divided(self) -> bool:
        """Whether some class is said to be a thing or stuff."""
        return any(item.isthing is not None for item in self)

    @cached_property
    def ignored(self) -> frozenset[int]:
        """The ids that metrics leave out."""
        return frozenset(item.id for item in self if item.ignore)

    @cached_property
    def label_names(self) -> tuple[str, ...]:
        """The names by id, as others number labels: where ids count from 0, and every name is one class's.

        Examples
        --------
        >>> ClassSet([ClassItem(0, "sky"), ClassItem(1)]).label_names, ClassSet([ClassItem(1, "sky")]).label_names
        (('sky', 'class_1'), ())
        """
        items = sorted(self, key=lambda item: item.id)
        names = tuple(class_name(item, item.id) for item in items)
        counted = [item.id for item in items] == list(range(len(items)))
        return names if counted and len(set(names)) == len(names) else ()


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """What the values of a column name: a row of another table, by a column of it or by its position.

    ``table`` is the name that the other table was logged under, None where it was not logged yet;
    ``column`` is its user's own name, None where the values are positions.
    """

    table: str | None
    column: str | None


@dataclass(frozen=True, slots=True)
class Column:
    """What the metadata says of one stored column.

    ``kind`` is ``image``, ``mask``, ``boxes``, ``segments`` or ``value``; ``name`` is the user's own name of it (of
    its image, for masks, boxes and segments). ``class_sets`` of a value column is one set: its integers are ids of
    these classes. ``roles`` are what a column of an evaluation is: ``input``, ``output`` or ``score``.
    """

    kind: str
    name: str
    type: str | None = None
    dtype: str | None = None
    ndim: int | None = None
    shape: tuple[int | None, ...] | None = None
    timezone: str | None = None
    image: str | None = None
    key: str | None = None
    class_sets: tuple[ClassSet, ...] = ()
    primary_key: bool = False
    foreign_key: ForeignKey | None = None
    roles: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the entry as SPEC.md writes it."""
        entry: dict[str, Any] = {"kind": self.kind, "name": self.name}
        for key in ("type", "dtype", "ndim", "shape", "timezone", "image", "key"):
            value = getattr(self, key)
            if value is not None:
                entry[key] = list(value) if isinstance(value, tuple) else value
        if self.foreign_key is not None:
            entry["foreign_key"] = {"table": self.foreign_key.table, "column": self.foreign_key.column}
        if self.roles:
            entry["roles"] = list(self.roles)
        if self.kind in CLASSED or self.class_sets:
            entry["class_sets"] = [[item.to_json() for item in items] for items in self.class_sets]
        return entry


def class_name(item: ClassItem | None, class_id: int) -> str:
    """Return the name of a class, ``class_<id>`` where it has none."""
    return f"class_{class_id}" if item is None or item.name is None else item.name


def dump_metadata(columns: Mapping[str, Column]) -> bytes:
    """Return the value of the ``maskl`` key of a rows part."""
    body: dict[str, Any] = {"version": _version(columns.values())}
    body["columns"] = {name: column.to_json() for name, column in columns.items()}
    for name, column in columns.items():
        if column.primary_key:
            body["primary_key"] = name
    return json.dumps(body, ensure_ascii=False).encode()


def _version(columns: Iterable[Column]) -> str:
    """Return the lowest version that has all that some columns are."""
    version = WRITTEN
    for column in columns:
        if column.roles:
            version = COLUMN_ROLES
        if column.kind == "segments" or any(item.isthing is not None for items in column.class_sets for item in items):
            version = SEGMENTED
    return version


def parse_metadata(data: bytes | str, where: str = "metadata") -> dict[str, Column]:
    """Parse and check the value of the ``maskl`` key; every problem is reported with its place."""
    body = read_object(data, where)
    version = check_version(body.get("version"), where)
    problems: list[str] = []
    columns = {}
    entries = body.get("columns")
    if not isinstance(entries, dict):
        raise CorruptData(f"{where}: columns: an object is needed; got {entries!r:.40}")
    for name, entry in entries.items():
        if is_newer(version) and isinstance(entry, dict) and entry.get("kind") not in COLUMN_KINDS:
            continue  # a kind of column that this reader does not know yet
        found = _column_problems(entry, entries)
        problems += [f"columns.{name}.{problem}" for problem in found]
        if not found:
            columns[name] = _column(entry, body.get("primary_key") == name)
    if body.get("primary_key") is not None and body["primary_key"] not in entries:
        problems.append(f"primary_key: a column of this part is needed; got {body['primary_key']!r:.40}")
    raise_problems(problems, where)
    return columns


def _column_problems(entry: Any, columns: Mapping[str, Any]) -> list[str]:
    if not isinstance(entry, dict):
        return [f"an object is needed; got {entry!r:.40}"]
    kind = entry.get("kind")
    problems = []
    if kind not in COLUMN_KINDS:
        return [f"kind: one of {', '.join(COLUMN_KINDS)} is needed; got {kind!r:.40}"]
    if not isinstance(entry.get("name"), str):
        problems.append("name: a string is needed")
    if kind == "value" and entry.get("type") not in VALUE_TYPES:
        problems.append(f"type: one of {', '.join(VALUE_TYPES)} is needed; got {entry.get('type')!r:.40}")
    problems += _type_problems(entry)
    shape = entry.get("shape", [])
    if not isinstance(shape, list) or not all(length is None or is_count(length) for length in shape):
        problems.append("shape: a list of numbers and nulls is needed")
    if kind in LABELLED:
        image = columns.get(entry["image"]) if isinstance(entry.get("image"), str) else None
        if not isinstance(image, dict) or image.get("kind") != "image":
            problems.append(f"image: a column of images of this part is needed; got {entry.get('image')!r:.40}")
        if not isinstance(entry.get("key"), str):
            problems.append("key: a string is needed")
    sets = entry.get("class_sets", None if kind in CLASSED else [])
    if not isinstance(sets, list):
        problems.append("class_sets: a list is needed")
    else:
        for index, items in enumerate(sets):
            problems += [f"class_sets[{index}]{problem}" for problem in class_set_problems(items)]
    roles = entry.get("roles", [])
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        problems.append(f"roles: a list of strings is needed; got {roles!r:.40}")
    key = entry.get("foreign_key")
    if key is not None and not (
        isinstance(key, dict) and all(isinstance(key.get(name, ""), str | None) for name in ("table", "column"))
    ):
        problems.append(f"foreign_key: an object of table and column is needed; got {key!r:.40}")
    return problems


def _type_problems(entry: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the rest of what an entry says of its values' type."""
    problems = []
    for key in ("dtype", "timezone"):
        if not isinstance(entry.get(key), str | None):
            problems.append(f"{key}: a string is needed; got {entry[key]!r:.40}")
    if entry.get("type") in ("list", "array") and entry.get("dtype") not in (None, *ITEM_TYPES):
        problems.append(f"dtype: one of {', '.join(ITEM_TYPES)} is needed; got {entry['dtype']!r:.40}")
    ndim = entry.get("ndim")
    if ndim is not None and not (is_count(ndim) and 1 <= ndim <= MAX_NDIM):
        problems.append(f"ndim: a number from 1 to {MAX_NDIM} is needed; got {ndim!r:.40}")
    return problems


def class_set_problems(items: Any) -> list[str]:
    """Return what is wrong with a class set as JSON has it, each problem with its place."""
    if not isinstance(items, list):
        return [": a list is needed"]
    problems = []
    seen: set[int] = set()
    for index, item in enumerate(items):
        if not isinstance(item, dict) or isinstance(item.get("id"), bool) or not isinstance(item.get("id"), int):
            problems.append(f"[{index}].id: an integer is needed")
            continue
        if not INT32[0] <= item["id"] <= INT32[1]:
            problems.append(f"[{index}].id: {item['id']} is outside signed 32 bits")
        if item["id"] in seen:
            problems.append(f"[{index}].id: {item['id']} occurs twice")
        seen.add(item["id"])
        if not isinstance(item.get("name", ""), str):
            problems.append(f"[{index}].name: a string is needed")
        color = item.get("color", "#000000")
        if not isinstance(color, str) or not COLOR.fullmatch(color):
            problems.append(f"[{index}].color: '#rrggbb' is needed; got {item.get('color')!r:.40}")
        if not isinstance(item.get("ignore", False), bool):
            problems.append(f"[{index}].ignore: true or false is needed")
        if not isinstance(item.get("isthing", False), bool):
            problems.append(f"[{index}].isthing: true or false is needed")
    return problems


def _column(entry: dict[str, Any], primary_key: bool) -> Column:
    key = entry.get("foreign_key")
    sets = tuple(
        ClassSet(
            ClassItem(item["id"], item.get("name"), item.get("color"), item.get("ignore", False), item.get("isthing"))
            for item in items
        )
        for items in entry.get("class_sets", ())
    )
    return Column(
        kind=entry["kind"],
        name=entry["name"],
        type=entry.get("type"),
        dtype=entry.get("dtype"),
        ndim=entry.get("ndim"),
        shape=None if entry.get("shape") is None else tuple(entry["shape"]),
        timezone=entry.get("timezone"),
        image=entry.get("image"),
        key=entry.get("key"),
        class_sets=sets,
        primary_key=primary_key,
        foreign_key=None if key is None else ForeignKey(key.get("table"), key.get("column")),
        roles=tuple(entry.get("roles", ())),
    )
