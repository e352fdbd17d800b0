"""Arrow schemas: the fixed ones, and the one of a rows part with its metadata."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import pyarrow as pa

from maskl_storage.errors import CorruptData
from maskl_storage.format.metadata import METADATA_KEY, Column, dump_metadata, parse_metadata
from maskl_storage.format.seals import Part

__all__ = [
    "BOXES",
    "FIXED",
    "FORMED",
    "IMAGE",
    "JSON",
    "SEGMENTS",
    "TOTALS",
    "check_columns",
    "check_types",
    "column_faults",
    "column_types",
    "columns_of",
    "stored_type",
    "value_type",
    "with_metadata",
]

UTC: Final = pa.timestamp("us", tz="UTC")
#: what rows have beside the user's columns
ROW: Final = (("_row", "int64"), ("_step", "int64"), ("_timestamp", str(UTC)))
#: names inside lists and maps
NAMES_INSIDE: Final = re.compile(r"(list<)\w+: | \('\w+'(?:, '\w+')*\)")
NAME: Final = pa.dictionary(pa.int32(), pa.string())


def _schema(*fields: tuple[str, pa.DataType]) -> pa.Schema:
    return pa.schema([pa.field(name, kind) for name, kind in fields])


#: an image in a row: everything but its bytes
IMAGE: Final = pa.struct(
    [
        ("digest", pa.string()),
        ("format", pa.string()),
        ("mode", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("caption", pa.string()),
        ("path", pa.string()),
    ]
)

#: the boxes of an image in a row, under one key
BOXES: Final = pa.list_(
    pa.struct(
        [
            ("class_id", pa.int32()),
            ("class_name", pa.string()),
            ("min_x", pa.float64()),
            ("min_y", pa.float64()),
            ("max_x", pa.float64()),
            ("max_y", pa.float64()),
            ("caption", pa.string()),
            ("scores", pa.map_(pa.string(), pa.float64())),
            ("form", pa.string()),
            ("domain", pa.string()),
            ("position", pa.list_(pa.float64())),
        ]
    )
)

#: the segments of a mask in a row, under its key
SEGMENTS: Final = pa.list_(
    pa.struct(
        [
            ("id", pa.int32()),
            ("class_id", pa.int32()),
            ("class_name", pa.string()),
            ("pixels", pa.int64()),
            ("bbox", pa.list_(pa.int32())),
            ("score", pa.float64()),
            ("iscrowd", pa.bool_()),
        ]
    )
)

#: when something was committed, and in which seal: of several with one name the last by these counts
STAMP: Final = (("time", UTC), ("writer", pa.int64()), ("seal", pa.int64()))

#: the schema of each kind of part whose columns do not depend on the user's
FIXED: Final[Mapping[str, pa.Schema]] = {
    "class_pixels": _schema(
        ("_row", pa.int64()),
        ("_step", pa.int64()),
        ("image_column", NAME),
        ("mask_key", NAME),
        ("class_id", pa.int32()),
        ("class_name", NAME),
        ("ignored", pa.bool_()),
        ("pixels", pa.int64()),
        ("mask_pixels", pa.int64()),
        ("valid_pixels", pa.int64()),
    ),
    "class_totals": _schema(
        ("_step", pa.int64()),
        ("image_column", NAME),
        ("mask_key", NAME),
        ("class_id", pa.int32()),
        ("class_name", NAME),
        ("ignored", pa.bool_()),
        ("pixels", pa.int64()),
        ("masks", pa.int64()),
    ),
    "confusion": _schema(
        ("_row", pa.int64()),
        ("_step", pa.int64()),
        ("image_column", NAME),
        ("mask_a", NAME),
        ("mask_b", NAME),
        ("class_id_a", pa.int32()),
        ("class_id_b", pa.int32()),
        ("class_a", NAME),
        ("class_b", NAME),
        ("ignored_a", pa.bool_()),
        ("ignored_b", pa.bool_()),
        ("a_in_b", pa.bool_()),
        ("b_in_a", pa.bool_()),
        ("pixels", pa.int64()),
    ),
    "confusion_totals": _schema(
        ("_step", pa.int64()),
        ("image_column", NAME),
        ("mask_a", NAME),
        ("mask_b", NAME),
        ("class_a", NAME),
        ("class_b", NAME),
        ("ignored_a", pa.bool_()),
        ("ignored_b", pa.bool_()),
        ("a_in_b", pa.bool_()),
        ("b_in_a", pa.bool_()),
        ("pixels", pa.int64()),
    ),
    "scores": _schema(
        ("_row", pa.int64()),
        ("_step", pa.int64()),
        ("image_column", NAME),
        ("truth_key", NAME),
        ("prediction_key", NAME),
        ("mean_iou", pa.float64()),
        ("mean_dice", pa.float64()),
        ("pixel_accuracy", pa.float64()),
        ("same_size", pa.bool_()),
        ("names_in_common", pa.bool_()),
    ),
    "class_scores": _schema(
        ("_row", pa.int64()),
        ("_step", pa.int64()),
        ("image_column", NAME),
        ("truth_key", NAME),
        ("prediction_key", NAME),
        ("class_name", NAME),
        ("tp", pa.int64()),
        ("fp", pa.int64()),
        ("fn", pa.int64()),
        ("names_in_common", pa.bool_()),
    ),
    "pixel_scores": _schema(
        ("_row", pa.int64()),
        ("_step", pa.int64()),
        ("image_column", NAME),
        ("truth_key", NAME),
        ("prediction_key", NAME),
        ("metric", NAME),
        ("version", NAME),
        ("params", NAME),
        ("class_name", NAME),
        ("name", NAME),
        ("value", pa.float64()),
    ),
    "history": _schema(
        ("_row", pa.int64()),
        ("_step", pa.int64()),
        ("_timestamp", UTC),
        ("key", NAME),
        ("value", pa.float64()),
        ("text", pa.string()),
    ),
    "images": _schema(
        ("digest", pa.string()),
        ("format", pa.string()),
        ("mode", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("bytes", pa.binary()),
    ),
    "artifacts": _schema(
        ("project", pa.string()),
        ("name", pa.string()),
        ("version", pa.int64()),
        ("type", pa.string()),
        ("digest", pa.string()),
        ("files", pa.int64()),
        ("size", pa.int64()),
        ("description", pa.string()),
        ("metadata", pa.string()),
        ("aliases", pa.list_(pa.field("element", pa.string()))),
        *STAMP,
    ),
    "artifact_files": _schema(
        ("project", pa.string()),
        ("name", pa.string()),
        ("version", pa.int64()),
        ("path", pa.string()),
        ("kind", pa.string()),
        ("size", pa.int64()),
        ("digest", pa.string()),
        ("reference", pa.string()),
    ),
    "run_files": _schema(("path", pa.string()), ("size", pa.int64()), ("digest", pa.string()), *STAMP),
}

#: what ``form`` says of a text of the history that is JSON
JSON: Final = "json"
#: the history where a text of it is JSON: ``form`` says of which
FORMED: Final = FIXED["history"].append(pa.field("form", pa.string()))

#: kinds of parts that hold sums over rows, and the columns that are added up where all others are equal
TOTALS: Final[Mapping[str, tuple[str, ...]]] = {"class_totals": ("pixels", "masks"), "confusion_totals": ("pixels",)}

_SCALARS: Final = {
    "bool": pa.bool_(),
    "int": pa.int64(),
    "float": pa.float64(),
    "string": pa.string(),
    "bytes": pa.binary(),
    "json": pa.string(),
    "null": pa.null(),
}


def value_type(column: Column) -> pa.DataType:
    """Return the Arrow type of a value column."""
    kind = column.type
    if kind == "timestamp":
        return pa.timestamp("us", tz=column.timezone)
    if kind in ("list", "array"):
        item = _item_type(column.dtype)
        for _ in range(column.ndim or 1):
            item = pa.list_(item)
        return item
    if kind not in _SCALARS:
        raise CorruptData(f"a value column of type {kind!r} is not known")
    return _SCALARS[kind]


def stored_type(column: Column) -> pa.DataType:
    """Return the Arrow type that a column is stored in."""
    if column.kind == "image":
        return IMAGE
    if column.kind == "mask":
        return pa.binary()
    lists = {"boxes": BOXES, "segments": SEGMENTS}
    return lists[column.kind] if column.kind in lists else value_type(column)


def _item_type(dtype: str | None) -> pa.DataType:
    if dtype in ("string", None):
        return pa.string()
    return pa.from_numpy_dtype(np.dtype(dtype))


def with_metadata(schema: pa.Schema, columns: Mapping[str, Column]) -> pa.Schema:
    """Return the schema with the metadata of its columns."""
    return schema.with_metadata({METADATA_KEY: dump_metadata(columns)})


def columns_of(schema: pa.Schema, where: str) -> dict[str, Column]:
    """Return what a rows part's schema metadata says of its columns."""
    metadata = schema.metadata or {}
    if METADATA_KEY not in metadata:
        raise CorruptData(f"{where}: the schema metadata has no key 'maskl'")
    return parse_metadata(metadata[METADATA_KEY], where)


def check_types(schema: pa.Schema, columns: Mapping[str, Column], where: str) -> None:
    """Raise CorruptData where a column of images, what is over them, or arrays is not what the metadata says."""
    for name, column in columns.items():
        place = schema.get_field_index(name)
        if place < 0 or (column.kind == "value" and column.type not in ("list", "array")):
            continue
        kind = schema.field(place).type
        needed = stored_type(column)
        fits = {
            "image": pa.types.is_struct(kind) and all(kind.get_field_index(field.name) >= 0 for field in IMAGE),
            "mask": pa.types.is_binary(kind) or pa.types.is_large_binary(kind),
            "boxes": kind.equals(needed),
            "segments": kind.equals(needed),
            "value": _is_number(_inmost(kind)) == _is_number(_inmost(needed)),
        }
        if not fits[column.kind]:
            raise CorruptData(f"{where}: column {name!r} is said to be {column.kind} and holds {kind!s:.80}")


def _inmost(kind: pa.DataType) -> pa.DataType:
    lists = pa.ListType | pa.LargeListType | pa.FixedSizeListType
    return _inmost(kind.value_type) if isinstance(kind, lists) else kind


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def column_types(schema: pa.Schema) -> tuple[tuple[str, str], ...]:
    """Return name and Arrow type of each column, as a seal lists them."""
    return tuple((field.name, str(field.type)) for field in schema)


def column_faults(schema: pa.Schema, part: Part) -> list[tuple[str, str | None]]:
    """Return what is wrong with a part's columns, and the column, by what its seal lists and by what its kind has."""
    found = column_types(schema)
    faults: list[tuple[str, str | None]] = []
    if found != part.columns and _plain(found) != _plain(part.columns):
        faults.append(("its columns are not those in its seal", None))
    known = ROW if part.kind == "rows" else column_types(FIXED[part.kind])
    if part.kind == "history" and "form" in schema.names:
        known = column_types(FORMED)
    missing = [name for name, kind in known if (name, kind) not in found]
    if missing:
        faults.append((f"a part of this kind has a column {missing[0]}", missing[0]))
    return faults


def check_columns(schema: pa.Schema, part: Part) -> None:
    """Raise CorruptData where a part has other columns than its seal lists, or lacks one that its kind has."""
    for problem, _ in column_faults(schema, part):
        raise CorruptData(f"{part.path}: {problem}")


def _plain(columns: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return names and types without the names inside lists and maps, which Parquet does not keep."""
    return [(name, NAMES_INSIDE.sub(lambda found: "list<item: " if found[1] else "", kind)) for name, kind in columns]
