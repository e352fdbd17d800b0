"""The statistics of a batch as Arrow tables: class pixels, confusion, and their sums per step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from maskl_storage.cells.cells import Batch, ImageCell, MaskCell, MaskClasses
from maskl_storage.format.metadata import ClassItem, ClassSet, class_name
from maskl_storage.format.schemas import FIXED, TOTALS
from maskl_storage.masks.histograms import JointPixels, numbered

__all__ = [
    "JointGroup",
    "JointGroups",
    "MaskGroup",
    "MaskGroups",
    "Pair",
    "add_totals",
    "class_pixels_table",
    "class_totals",
    "confusion_table",
    "confusion_totals",
    "joint_groups",
    "mask_groups",
]

#: groups are counted in a table of all that there could be, where those are no more than this for each row
SPARSE: Final = 16
#: numbers that are this far apart are numbered anew before they are combined with others
WIDE: Final = 1 << 31


@dataclass(frozen=True, slots=True)
class MaskGroup:
    """The class pixels of masks of one key and class set.

    ``lengths`` says how many of ``ids`` and ``pixels`` the mask at each of ``positions`` in the batch has; ``sizes``
    and ``valid`` are its pixels, and those of them that are of no ignored class.
    """

    positions: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    valid: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    ids: npt.NDArray[np.int32]
    pixels: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class JointGroup:
    """The joint histograms of one pair of masks with the same classes; ``lengths`` as in :class:`MaskGroup`."""

    positions: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    ids_a: npt.NDArray[np.int32]
    ids_b: npt.NDArray[np.int32]
    pixels: npt.NDArray[np.int64]


#: by image column, mask key and class set
MaskGroups = Mapping[tuple[str, str, ClassSet], MaskGroup]
#: image column, mask a, mask b and their classes
Pair = tuple[str, str, str, MaskClasses, MaskClasses]
JointGroups = Mapping[Pair, JointGroup]


def mask_groups(batch: Batch, images: Sequence[tuple[str, int]]) -> MaskGroups:
    """Return the counts of a batch's masks; ``images`` names the image columns and their places in a row."""
    groups: dict[tuple[str, str, ClassSet], list[tuple[int, MaskCell]]] = {}
    for name, index in images:
        for position, row in enumerate(batch.rows):
            cell: ImageCell | None = row[index]
            if cell is not None:
                for key, mask in cell.masks.items():
                    if mask.counts is not None:
                        groups.setdefault((name, key, mask.class_set), []).append((position, mask))
    return {group: _mask_group(members) for group, members in groups.items()}


def _mask_group(members: Sequence[tuple[int, MaskCell]]) -> MaskGroup:
    counts = [mask.counts for _, mask in members if mask.counts is not None]
    return MaskGroup(
        positions=np.fromiter((position for position, _ in members), np.int64, len(members)),
        sizes=np.fromiter((m.shape[0] * m.shape[1] for _, m in members), np.int64, len(members)),
        valid=np.fromiter((mask.valid_pixels for _, mask in members), np.int64, len(members)),
        lengths=np.fromiter((count.ids.size for count in counts), np.int64, len(counts)),
        ids=np.concatenate([count.ids for count in counts]),
        pixels=np.concatenate([count.pixels for count in counts]),
    )


def class_pixels_table(batch: Batch, groups: MaskGroups) -> pa.Table:
    """Return one row for each mask and class."""
    tables: dict[tuple[str, ...], list[pa.Table]] = {}
    for (name, key, class_set), group in groups.items():
        ids, lengths, positions = group.ids, group.lengths, group.positions
        names, ignored = _names(ids, {item.id: item for item in class_set})
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
                    "pixels": group.pixels,
                    "mask_pixels": group.sizes.repeat(lengths),
                    "valid_pixels": group.valid.repeat(lengths),
                },
                schema=FIXED["class_pixels"],
            )
        )
    return _ordered(tables, "class_pixels", ("class_id",))


def joint_groups(batch: Batch, images: Sequence[tuple[str, int]]) -> JointGroups:
    """Return the joint histograms of a batch, those of one pair of masks with the same classes together."""
    groups: dict[Pair, list[tuple[int, JointPixels]]] = {}
    for name, index in images:
        for position, row in enumerate(batch.rows):
            cell: ImageCell | None = row[index]
            if cell is not None:
                for a, b, joint in cell.joints:
                    group = (name, a, b, MaskClasses.of(cell.masks[a]), MaskClasses.of(cell.masks[b]))
                    groups.setdefault(group, []).append((position, joint))
    return {group: _joint_group(members) for group, members in groups.items()}


def _joint_group(members: Sequence[tuple[int, JointPixels]]) -> JointGroup:
    return JointGroup(
        positions=np.fromiter((position for position, _ in members), np.int64, len(members)),
        lengths=np.fromiter((joint.pixels.size for _, joint in members), np.int64, len(members)),
        ids_a=np.concatenate([joint.ids_a for _, joint in members]),
        ids_b=np.concatenate([joint.ids_b for _, joint in members]),
        pixels=np.concatenate([joint.pixels for _, joint in members]),
    )


def confusion_table(batch: Batch, groups: JointGroups) -> pa.Table:
    """Return one row for each pair of masks of an image and pair of classes that meet in it."""
    tables: dict[tuple[str, ...], list[pa.Table]] = {}
    for (name, a, b, classes_a, classes_b), group in groups.items():
        positions, lengths, ids_a, ids_b = group.positions, group.lengths, group.ids_a, group.ids_b
        items_a, items_b = ({item.id: item for item in classes.class_set} for classes in (classes_a, classes_b))
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
                    "a_in_b": _admitted(class_a, classes_b),
                    "b_in_a": _admitted(class_b, classes_a),
                    "pixels": group.pixels,
                },
                schema=FIXED["confusion"],
            )
        )
    return _ordered(tables, "confusion", ("class_id_a", "class_id_b"))


def class_totals(class_pixels: pa.Table) -> pa.Table:
    """Sum per step and class, and once per step over all classes (class NULL), which counts the masks."""
    masks = class_pixels.take(_groups(class_pixels, ["image_column", "mask_key", "_row"])[0])  # the first row of each
    whole = masks.select(["image_column", "mask_key", "_step", "mask_pixels"])
    return _totals(class_pixels, "class_totals", whole.rename_columns({"mask_pixels": "pixels"}))


def confusion_totals(confusion: pa.Table) -> pa.Table:
    """Sum per step and pair of class names."""
    return _totals(confusion, "confusion_totals")


def add_totals(tables: Sequence[pa.Table], kind: str) -> pa.Table:
    """Return totals of one kind as one table, in which each key stands once."""
    if len(tables) == 1:
        return tables[0]
    joined = pa.concat_tables([table.cast(_plain(FIXED[kind])) for table in tables])
    first, groups = _groups(joined, _keys(kind))
    sums = joined.select(_keys(kind)).take(first)
    for name in TOTALS[kind]:
        sums = sums.append_column(name, _sums(groups, len(first), joined[name].to_numpy()))
    return _as_part(sums, kind)


def _totals(table: pa.Table, kind: str, *others: pa.Table) -> pa.Table:
    """Sum the pixels per step over the columns that the totals keep; columns that a table lacks are null."""
    schema = FIXED[kind]
    summed = []
    for source in (table, *others):
        keys = [name for name in schema.names if name in source.column_names and name != "pixels"]
        first, groups = _groups(source, keys)
        sums = source.select(keys).take(first)
        sums = sums.append_column("pixels", _sums(groups, len(first), source["pixels"].to_numpy()))
        sums = sums.append_column("masks", pa.array(np.bincount(groups, minlength=len(first)), pa.int64()))
        fields = [field for field in schema if field.name in sums.column_names]
        summed.append(sums.select([field.name for field in fields]).cast(_plain(fields)))
    return _as_part(pa.concat_tables(summed, promote_options="default"), kind)


def _groups(table: pa.Table, keys: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the first row of each group of rows with equal keys, and each row's group.

    Arrow's own grouping loads its datasets, and pandas with them, which takes longer than to start maskl.
    """
    code = np.zeros(table.num_rows, np.int64)
    possible = 1
    for name in keys:
        numbers = _numbers(table[name])
        low = int(numbers.min(initial=0))
        span = int(numbers.max(initial=0)) - low + 1
        if span > WIDE:
            distinct, numbers = np.unique(numbers, return_inverse=True)
            low, span = 0, distinct.size
        if possible > np.iinfo(np.int64).max // span:
            distinct, code = np.unique(code, return_inverse=True)
            possible = distinct.size
        code = code * span + (numbers.astype(np.int64) - low)
        possible *= span
    if possible > SPARSE * code.size:
        return np.unique(code, return_index=True, return_inverse=True)[1:]
    first = np.full(possible, -1, np.int64)
    first[code[::-1]] = np.arange(code.size - 1, -1, -1)  # what is set last stands
    there = first >= 0
    return first[there], (there.cumsum() - 1)[code]


def _numbers(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """Return a whole number for each cell, the same for the same values."""
    if column.null_count or not pa.types.is_integer(column.type):
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        codes = pa.chunked_array([chunk.indices for chunk in column.unify_dictionaries().chunks], pa.int32())
        column = codes.fill_null(-1)  # NULL is a value like any other
    numbers: npt.NDArray[Any] = column.to_numpy()
    return numbers


def _sums(groups: npt.NDArray[np.int64], count: int, amounts: npt.NDArray[np.int64]) -> pa.Array:
    """Return the sum of each group; in whole numbers, which np.bincount does not add."""
    sums = np.zeros(count, np.int64)
    np.add.at(sums, groups, amounts)
    return pa.array(sums)


def _keys(kind: str) -> list[str]:
    """Return the columns of totals that are no sums."""
    return [name for name in FIXED[kind].names if name not in TOTALS[kind]]


def _plain(fields: Iterable[pa.Field]) -> pa.Schema:
    """Return the fields with strings instead of dictionaries, which differ from one table to another."""
    return pa.schema([f.with_type(f.type.value_type) if pa.types.is_dictionary(f.type) else f for f in fields])


def _as_part(totals: pa.Table, kind: str) -> pa.Table:
    """Return totals in the order and with the schema of their kind."""
    schema = FIXED[kind]
    if not totals.num_rows:
        return schema.empty_table()
    order = np.argsort(_sort_code([_ranks(totals[name]) for name in _keys(kind)]), kind="stable")
    return totals.select(schema.names).take(pa.array(order)).cast(schema)


def _ranks(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Return a number for each cell that sorts as the cells do, those without a value last: few texts stand in many."""
    if pa.types.is_string(column.type):
        encoded = column.combine_chunks().dictionary_encode()
        ranks = np.empty(len(encoded.dictionary), np.int64)
        ranks[pc.sort_indices(encoded.dictionary).to_numpy()] = np.arange(ranks.size)
        column = pa.array(ranks).take(encoded.indices)
    values = column.cast(pa.int64())
    if values.null_count:
        values = values.fill_null((pc.max(values).as_py() or 0) + 1)
    numbers: npt.NDArray[np.int64] = values.to_numpy()
    return numbers


def _names(ids: npt.NDArray[np.int32], items: dict[int, ClassItem]) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    """Return the class name of each id, dictionary-encoded, and whether it is ignored."""
    distinct, codes = numbered(ids)
    found = [(items.get(key), key) for key in distinct.tolist()]
    labels = [class_name(item, key) for item, key in found]
    # two ids may share a name, a dictionary must not hold it twice
    order = {label: code for code, label in enumerate(dict.fromkeys(labels))}
    lookup = np.array([order[label] for label in labels], np.int32)
    ignored = np.array([item is not None and item.ignore for item, _ in found], np.bool_)
    names = pa.DictionaryArray.from_arrays(lookup[codes], pa.array(list(order), pa.string()))
    return names, ignored[codes]


def _admitted(names: pa.DictionaryArray, classes: MaskClasses) -> npt.NDArray[np.bool_]:
    """Whether each name is one of the mask's classes."""
    codes: npt.NDArray[np.int32] = names.indices.to_numpy()
    return np.array(classes.admits(names.dictionary.to_pylist()), np.bool_)[codes]


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
            code = np.unique(code, return_inverse=True)[1]
            total = int(code.max()) + 1
        code *= high - low + 1
        code += column.astype(np.int64) - low
        total *= high - low + 1
    return code.astype(np.uint16) if total <= 1 << 16 else code
