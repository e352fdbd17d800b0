"""Rows of plain cells to Arrow tables: the rows themselves, and the statistics beside them.

Nothing here touches a file. A *batch* is rows of one table with one set of columns; its tables are
those of section 4 of SPEC.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.ma  # pyarrow loads these two at the first batch, in the middle of somebody's training
import numpy.typing as npt
import pyarrow as pa
import pyarrow.acero

from maskl_storage.cells import ImageCell, MaskCell
from maskl_storage.errors import InvalidValue
from maskl_storage.schema import FIXED, IMAGE, UTC, value_type, with_metadata
from maskl_storage.spec import ClassItem, ClassSet, Column, class_name, column_name, set_name
from maskl_storage.stats import JointPixels

__all__ = ["Batch", "build", "exact_as_float", "merge_class_sets", "merge_columns"]

Row = Sequence[Any]

#: id ranges up to this size are numbered by a lookup table
DENSE: Final = 1 << 12
#: up to here float64 holds every integer
EXACT: Final = 1 << 53


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows to be written: parallel sequences, one entry a row.

    ``columns`` describe the user's columns, of kind ``image`` or ``value``; each row has a cell for
    each of them: an :class:`ImageCell`, a plain value, or None.
    """

    columns: tuple[Column, ...]
    rows: Sequence[Row]
    row_ids: npt.NDArray[np.int64]
    steps: npt.NDArray[np.int64]
    timestamps: npt.NDArray[np.int64]


def exact_as_float(values: Iterable[Any]) -> bool:
    """Whether float64 holds every integer among the values, or in the lists and arrays among them."""
    for value in values:
        if isinstance(value, np.ndarray):
            if value.dtype.kind in "iu" and value.size and max(-int(value.min()), int(value.max())) > EXACT:
                return False
        elif isinstance(value, list | tuple):
            if not exact_as_float(value):
                return False
        elif isinstance(value, int) and abs(value) > EXACT:
            return False
    return True


def merge_columns(a: tuple[Column, ...], b: tuple[Column, ...]) -> tuple[Column, ...] | None:
    """Return columns that hold the rows of both, or None where no such columns exist."""
    if [column.name for column in a] != [column.name for column in b]:
        return None
    merged = []
    for left, right in zip(a, b, strict=True):
        if left == right or right.type == "null":
            merged.append(left)
        elif left.type == "null":
            merged.append(right)
        elif {left.type, right.type} == {"int", "float"}:
            merged.append(replace(left, type="float"))
        else:
            return None
    return tuple(merged)


def build(batch: Batch) -> Iterator[tuple[str, pa.Table]]:
    """Yield the tables of a batch by kind of part; statistics without a row are left out.

    Each is made when it is asked for, so that a writer that keeps none needs memory for one.
    """
    names = _stored_names(batch.columns)
    images = [(names[index], index) for index, column in enumerate(batch.columns) if column.kind == "image"]
    yield "rows", _rows_table(batch, names)
    for table, kind, totals in (
        (_class_pixels_table, "class_pixels", _class_totals),
        (_confusion_table, "confusion", _confusion_totals),
    ):
        counts = table(batch, images)
        if counts.num_rows:
            summed = totals(counts)
            yield kind, counts
            del counts
            yield f"{kind.partition('_')[0]}_totals", summed


# --- rows ---------------------------------------------------------------------------------------


def _stored_names(columns: Iterable[Column]) -> list[str]:
    names: list[str] = []
    for column in columns:
        names.append(column_name(column.name, names))
    return names


def _rows_table(batch: Batch, names: Sequence[str]) -> pa.Table:
    fields: list[tuple[str, pa.Array]] = [
        ("_row", pa.array(batch.row_ids)),
        ("_step", pa.array(batch.steps)),
        ("_timestamp", pa.array(batch.timestamps).cast(UTC)),
    ]
    metadata: dict[str, Column] = {}
    taken = {name.casefold() for name in names}
    cells = list(zip(*batch.rows, strict=True)) if len(batch.rows) else [()] * len(batch.columns)
    for name, column, values in zip(names, batch.columns, cells, strict=True):
        metadata[name] = column
        if column.kind == "image":
            fields.append((name, _image_array(values)))
            for stored, entry, arrays in _mask_columns(name, values, taken):
                metadata[stored] = entry
                fields += arrays
        else:
            fields.append((name, _value_array(column, values)))
    table = pa.table([array for _, array in fields], names=[name for name, _ in fields])
    return table.replace_schema_metadata(with_metadata(table.schema, metadata).metadata)


def _image_array(cells: Sequence[ImageCell | None]) -> pa.Array:
    children = [
        pa.array([None if cell is None else getattr(cell, field.name) for cell in cells], field.type) for field in IMAGE
    ]
    missing = pa.array([cell is None for cell in cells], pa.bool_())
    return pa.StructArray.from_arrays(children, fields=list(IMAGE), mask=missing)


def _mask_columns(
    image: str, cells: Sequence[ImageCell | None], taken: set[str]
) -> Iterator[tuple[str, Column, list[tuple[str, pa.Array]]]]:
    """Yield each mask key's stored column, its metadata, and its arrays: bytes and perhaps set numbers."""
    keys = dict.fromkeys(key for cell in cells if cell is not None for key in cell.masks)
    for key in keys:
        masks = [None if cell is None else cell.masks.get(key) for cell in cells]
        stored = f"{image}__mask__{key}"
        while not taken.isdisjoint({stored.casefold(), set_name(stored).casefold()}):
            stored += "_1"
        taken |= {stored.casefold(), set_name(stored).casefold()}
        sets, numbers = merge_class_sets(masks)
        arrays = [(stored, pa.array([None if mask is None else mask.data for mask in masks], pa.binary()))]
        if len(sets) > 1:
            arrays.append((set_name(stored), pa.array(numbers, pa.uint16())))
        yield stored, Column("mask", image, image=image, key=key, class_sets=sets), arrays


def merge_class_sets(masks: Sequence[MaskCell | None]) -> tuple[tuple[ClassSet, ...], list[int | None]]:
    """Join the class sets of a column's masks where no mask's classes change by it.

    Returns
    -------
    sets : tuple of ClassSet
        The joined sets.
    numbers : list
        For each mask the index of its set; None where there is no mask.
    """
    unnamed: dict[ClassSet, set[int]] = {}
    for mask in masks:
        if mask is not None:
            unnamed.setdefault(mask.class_set, set()).update(mask.unnamed)
    merged: list[tuple[dict[int, ClassItem], set[int]]] = []
    number: dict[ClassSet, int] = {}
    for class_set, ids in unnamed.items():
        items = {item.id: item for item in class_set}
        for index, (others, other_ids) in enumerate(merged):
            if _agree(items, ids, others, other_ids):
                others.update(items)
                other_ids.update(ids)
                number[class_set] = index
                break
        else:
            number[class_set] = len(merged)
            merged.append((items, set(ids)))
    if len(merged) > np.iinfo(np.uint16).max:
        raise InvalidValue(f"one batch holds {len(merged)} class sets of one mask that contradict each other")
    sets = tuple(ClassSet(items[key] for key in sorted(items)) for items, _ in merged)
    return sets, [None if mask is None else number[mask.class_set] for mask in masks]


def _agree(a: dict[int, ClassItem], unnamed_a: set[int], b: dict[int, ClassItem], unnamed_b: set[int]) -> bool:
    common = a.keys() & b.keys()
    return all(a[key] == b[key] for key in common) and unnamed_a.isdisjoint(b.keys()) and unnamed_b.isdisjoint(a.keys())


def _value_array(column: Column, values: Sequence[Any]) -> pa.Array:
    kind = value_type(column)
    if column.type == "array" and (column.ndim or 1) > 1:
        values = [None if value is None else value.tolist() for value in values]
    return pa.array(values, kind)


# --- statistics ---------------------------------------------------------------------------------


def _class_pixels_table(batch: Batch, images: Sequence[tuple[str, int]]) -> pa.Table:
    groups: dict[tuple[str, str, ClassSet], list[tuple[int, MaskCell]]] = {}
    for name, index in images:
        for position, row in enumerate(batch.rows):
            cell: ImageCell | None = row[index]
            if cell is not None:
                for key, mask in cell.masks.items():
                    if mask.counts is not None:
                        groups.setdefault((name, key, mask.class_set), []).append((position, mask))
    tables: dict[tuple[str, ...], list[pa.Table]] = {}
    for (name, key, class_set), members in groups.items():
        counts = [mask.counts for _, mask in members if mask.counts is not None]
        lengths = np.fromiter((count.ids.size for count in counts), np.int64, len(counts))
        positions = np.fromiter((position for position, _ in members), np.int64, len(members))
        ids = np.concatenate([count.ids for count in counts])
        items = {item.id: item for item in class_set}
        sizes = np.fromiter((m.shape[0] * m.shape[1] for _, m in members), np.int64, len(members))
        valid = np.fromiter((mask.valid_pixels for _, mask in members), np.int64, len(members))
        names, ignored = _names(ids, items)
        tables.setdefault((name, key), []).append(
            pa.table(
                {
                    "_row": batch.row_ids[positions].repeat(lengths),
                    "_step": batch.steps[positions].repeat(lengths),
                    "image_column": _constant(name, ids.size),
                    "mask_key": _constant(key, ids.size),
                    "class_id": ids,
                    "class_name": names,
                    "ignored": ignored,
                    "pixels": np.concatenate([count.pixels for count in counts]),
                    "mask_pixels": sizes.repeat(lengths),
                    "valid_pixels": valid.repeat(lengths),
                },
                schema=FIXED["class_pixels"],
            )
        )
    return _ordered(tables, "class_pixels", ("class_id",))


def _confusion_table(batch: Batch, images: Sequence[tuple[str, int]]) -> pa.Table:
    groups: dict[tuple[str, str, str, _Admits, _Admits], list[tuple[int, JointPixels]]] = {}
    for name, index in images:
        for position, row in enumerate(batch.rows):
            cell: ImageCell | None = row[index]
            if cell is not None:
                for a, b, joint in cell.joints:
                    group = (name, a, b, _admits(cell.masks[a]), _admits(cell.masks[b]))
                    groups.setdefault(group, []).append((position, joint))
    tables: dict[tuple[str, ...], list[pa.Table]] = {}
    for (name, a, b, admits_a, admits_b), members in groups.items():
        lengths = np.fromiter((joint.pixels.size for _, joint in members), np.int64, len(members))
        positions = np.fromiter((position for position, _ in members), np.int64, len(members))
        ids_a = np.concatenate([joint.ids_a for _, joint in members])
        ids_b = np.concatenate([joint.ids_b for _, joint in members])
        items_a, items_b = ({item.id: item for item in class_set} for class_set, _ in (admits_a, admits_b))
        class_a, ignored_a = _names(ids_a, items_a)
        class_b, ignored_b = _names(ids_b, items_b)
        tables.setdefault((name, a, b), []).append(
            pa.table(
                {
                    "_row": batch.row_ids[positions].repeat(lengths),
                    "_step": batch.steps[positions].repeat(lengths),
                    "image_column": _constant(name, ids_a.size),
                    "mask_a": _constant(a, ids_a.size),
                    "mask_b": _constant(b, ids_a.size),
                    "class_id_a": ids_a,
                    "class_id_b": ids_b,
                    "class_a": class_a,
                    "class_b": class_b,
                    "ignored_a": ignored_a,
                    "ignored_b": ignored_b,
                    "a_in_b": _admitted(class_a, admits_b),
                    "b_in_a": _admitted(class_b, admits_a),
                    "pixels": np.concatenate([joint.pixels for _, joint in members]),
                },
                schema=FIXED["confusion"],
            )
        )
    return _ordered(tables, "confusion", ("class_id_a", "class_id_b"))


def _class_totals(class_pixels: pa.Table) -> pa.Table:
    """Sum per step and class, and once per step over all classes (class NULL), which counts the masks."""
    first = class_pixels.group_by(["image_column", "mask_key", "_row", "_step"]).aggregate([("mask_pixels", "max")])
    whole = first.rename_columns({"mask_pixels_max": "pixels"})
    return _totals(class_pixels, "class_totals", whole)


def _confusion_totals(confusion: pa.Table) -> pa.Table:
    """Sum per step and pair of class names."""
    return _totals(confusion, "confusion_totals")


def _totals(table: pa.Table, kind: str, *others: pa.Table) -> pa.Table:
    """Sum the pixels per step over the columns that the totals keep; columns that a table lacks are null."""
    schema = FIXED[kind]
    summed = []
    for source in (table, *others):
        keys = [name for name in schema.names if name in source.column_names and name != "pixels"]
        sums = source.group_by(keys).aggregate([("pixels", "sum"), ("pixels", "count")])
        sums = sums.rename_columns({"pixels_sum": "pixels", "pixels_count": "masks"})
        fields = [field for field in schema if field.name in sums.column_names]
        plain = [f.with_type(f.type.value_type) if pa.types.is_dictionary(f.type) else f for f in fields]
        summed.append(sums.select([field.name for field in fields]).cast(pa.schema(plain)))
    joined = pa.concat_tables(summed, promote_options="default")
    keys = [name for name in schema.names if name not in ("pixels", "masks")]
    return joined.sort_by([(name, "ascending") for name in keys]).cast(schema)


def _names(ids: npt.NDArray[np.int32], items: dict[int, ClassItem]) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    """Return the class name of each id, dictionary-encoded, and whether it is ignored."""
    distinct, codes = _numbered(ids)
    found = [(items.get(key), key) for key in distinct.tolist()]
    labels = [class_name(item, key) for item, key in found]
    # two ids may share a name, a dictionary must not hold it twice
    order = {label: code for code, label in enumerate(dict.fromkeys(labels))}
    lookup = np.array([order[label] for label in labels], np.int32)
    ignored = np.array([item is not None and item.ignore for item, _ in found], np.bool_)
    names = pa.DictionaryArray.from_arrays(lookup[codes], pa.array(list(order), pa.string()))
    return names, ignored[codes]


def _numbered(ids: npt.NDArray[np.int32]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the distinct ids, ascending, and each id's place among them."""
    low, high = int(ids.min()), int(ids.max())
    if high - low > DENSE:
        return np.unique(ids, return_inverse=True)
    present = np.zeros(high - low + 1, np.bool_)
    present[ids - low] = True
    place = present.cumsum() - 1
    return present.nonzero()[0] + low, place.take(ids - low)


#: a mask's class set, and the ids that are present without being in it
_Admits = tuple[ClassSet, frozenset[int]]


def _admits(mask: MaskCell) -> _Admits:
    named = any(item.name is not None for item in mask.class_set)
    return mask.class_set, mask.unnamed if named else frozenset()


def _admitted(names: pa.DictionaryArray, admits: _Admits) -> npt.NDArray[np.bool_]:
    """Whether each name is one of the mask's classes; a class set without any name admits every class."""
    class_set, unnamed = admits
    labels = {item.name for item in class_set if item.name is not None}
    known = labels | {class_name(None, number) for number in unnamed}
    known |= {class_name(item, item.id) for item in class_set}
    found = np.array([not labels or label in known for label in names.dictionary.to_pylist()], np.bool_)
    codes: npt.NDArray[np.int32] = names.indices.to_numpy()
    return found[codes]


def _constant(value: str, size: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(np.zeros(size, np.int32), pa.array([value], pa.string()))


def _ordered(groups: Mapping[tuple[str, ...], Sequence[pa.Table]], kind: str, ids: Sequence[str]) -> pa.Table:
    """Join the tables, sorted by group, class ids and row; within a table rows ascend already."""
    tables = []
    for group in sorted(groups):
        pieces = groups[group]
        table = pa.concat_tables(pieces).unify_dictionaries().combine_chunks()
        columns: list[npt.NDArray[Any]] = [table[name].to_numpy() for name in ids]
        if len(pieces) > 1:
            order = np.lexsort((table["_row"].to_numpy(), *reversed(columns)))
        else:
            order = np.argsort(_sort_code(columns), kind="stable")
        tables.append(_take(table, order))
    if not tables:
        return FIXED[kind].empty_table()
    return pa.concat_tables(tables).unify_dictionaries()


def _take(table: pa.Table, order: npt.NDArray[np.int64]) -> pa.Table:
    """Take the rows in this order; a column that holds one name is the same in any."""
    columns = []
    for column in table.columns:
        array = column.chunk(0)
        constant = pa.types.is_dictionary(array.type) and len(array.dictionary) == 1
        columns.append(array if constant else array.take(pa.array(order)))
    return pa.Table.from_arrays(columns, schema=table.schema)


def _sort_code(columns: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Return one number a row that sorts as the columns do, in 16 bits (a radix sort) where they fit."""
    code = np.zeros(columns[0].size, np.int64)
    total = 1
    for column in columns:
        low, high = int(column.min()), int(column.max())
        if total * (high - low + 1) > np.iinfo(np.int64).max:
            column = np.unique(column, return_inverse=True)[1]
            low, high = 0, int(column.max())
        code *= high - low + 1
        code += column.astype(np.int64) - low
        total *= high - low + 1
    return code.astype(np.uint16) if total <= 1 << 16 else code
