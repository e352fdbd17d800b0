"""Sorted parts merged into one sorted stream, a block of rows of each at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from maskl_storage.disk.local import Folder
from maskl_storage.disk.parquet import open_part, row_bounds
from maskl_storage.format.schemas import TOTALS
from maskl_storage.format.seals import Part

__all__ = ["ORDERS", "merged"]

#: the columns that each kind of part is sorted by; a totals part has one row for each
ORDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "rows": ("_row",),
    "history": ("_row",),
    "pixel_scores": ("_row",),
    "class_pixels": ("image_column", "mask_key", "class_id", "_row"),
    "class_totals": ("_step", "image_column", "mask_key", "class_id", "class_name", "ignored"),
    "confusion": ("image_column", "mask_a", "mask_b", "class_id_a", "class_id_b", "_row"),
    "confusion_totals": (
        *("_step", "image_column", "mask_a", "mask_b", "class_a", "class_b"),
        *("ignored_a", "ignored_b", "a_in_b", "b_in_a"),
    ),
    "scores": ("image_column", "truth_key", "prediction_key", "_row"),
    "class_scores": ("image_column", "truth_key", "prediction_key", "class_name", "_row"),
}
#: rows that are read of each part at a time: of parts with blobs, and of others
BLOB_ROWS: Final = 1024
ROWS: Final = 1 << 14

#: a sort key: one number for each column of the order
Key = tuple[int, ...]
Ints = npt.NDArray[np.int64]


class _Source:
    """One sorted part: the rows that were read and not yet passed on, and their keys."""

    def __init__(
        self, file: pq.ParquetFile, order: Sequence[str], ranks: _Ranks, adapt: Callable[[pa.Table], pa.Table]
    ) -> None:
        blobs = any(pa.types.is_binary(kind) for kind in file.schema_arrow.types)
        self._batches = file.iter_batches(BLOB_ROWS if blobs else ROWS)
        self._order, self._ranks, self._adapt = order, ranks, adapt
        self.rows: pa.Table = None
        self.keys: list[Ints] = []
        self.size = 0

    def fill(self) -> bool:
        """Read the next block if no row is left; return whether there are rows."""
        while not self.size:
            batch = next(self._batches, None)
            if batch is None:
                return False
            table = pa.Table.from_batches([batch])
            self.keys = [self._ranks.of(table[name]) for name in self._order]
            self.rows, self.size = self._adapt(table), table.num_rows
        return True

    def key(self, position: int) -> Key:
        return tuple(int(column[position]) for column in self.keys)

    def take(self, bound: Key) -> tuple[pa.Table, list[Ints]]:
        """Pass on the rows up to a key, that included."""
        low, high = 0, self.size
        while low < high:
            middle = (low + high) // 2
            if self.key(middle) <= bound:
                low = middle + 1
            else:
                high = middle
        taken = self.rows.slice(0, low), [column[:low] for column in self.keys]
        self.rows, self.keys = self.rows.slice(low), [column[low:] for column in self.keys]
        self.size -= low
        return taken


class _Ranks:
    """Numbers that sort as the strings of all parts do; nulls come last."""

    def __init__(self, names: Sequence[str]) -> None:
        self._rank = {name: rank for rank, name in enumerate(names)}

    def of(self, column: pa.ChunkedArray) -> Ints:
        array = column.combine_chunks()
        numbers: Ints
        if pa.types.is_dictionary(array.type):
            codes = np.array([self._rank[name] for name in array.dictionary.to_pylist()] or [0], np.int64)
            places = array.indices.fill_null(0).to_numpy(zero_copy_only=False)
            numbers = codes.take(places)
        elif pa.types.is_boolean(array.type):
            numbers = array.fill_null(False).to_numpy(zero_copy_only=False).astype(np.int64)
        else:
            numbers = array.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        if array.null_count:
            numbers = numbers.copy()
            numbers[array.is_null().to_numpy(zero_copy_only=False)] = np.iinfo(np.int64).max
        return numbers


def merged(
    files: Folder, parts: Sequence[Part], kind: str, adapt: Callable[[int, pa.Table], pa.Table] = lambda _, table: table
) -> Iterator[pa.Table]:
    """Yield the rows of parts of one kind in their order, totals of one key added up.

    Parameters
    ----------
    files : Folder
        The store.
    parts : sequence of Part
        The parts, each of them sorted.
    kind : str
        The kind of all of them.
    adapt : callable, optional
        Takes the number of a part and rows of it, and returns these rows as the others have them.
    """
    order = ORDERS[kind]
    ranks = _Ranks(_names(files, parts, order))
    for numbers in _apart(files, parts) if order == ("_row",) else [list(range(len(parts)))]:
        with contextlib.ExitStack() as stack:
            sources = []
            for number in numbers:
                file = stack.enter_context(open_part(files, parts[number]))
                sources.append(_Source(file, order, ranks, partial(adapt, number)))
            while sources := [source for source in sources if source.fill()]:
                bound = min(source.key(-1) for source in sources)
                found = [taken for source in sources if (taken := source.take(bound))[0].num_rows]
                yield _joined(found, kind)


def _apart(files: Folder, parts: Sequence[Part]) -> list[list[int]]:
    """Return the parts' numbers in order of their rows; those whose rows lie between each other's, together.

    Parts of rows mostly follow each other, and then one is open at a time.
    """
    ranges = sorted((*found, number) for number, part in enumerate(parts) if (found := _range(files, part)) is not None)
    groups: list[list[int]] = []
    end = -1
    for low, high, number in ranges:
        if not groups or low > end:
            groups.append([])
        groups[-1].append(number)
        end = max(end, high)
    return groups


def _range(files: Folder, part: Part) -> tuple[int, int] | None:
    """Return the first and the last ``_row`` of a part; None of one without rows."""
    with open_part(files, part) as file:
        found = [bounds for bounds in row_bounds(file) if bounds is not None]
    return (min(low for low, _ in found), max(high for _, high in found)) if found else None


def _names(files: Folder, parts: Sequence[Part], order: Sequence[str]) -> list[str]:
    """Return all strings in the columns of an order, sorted."""
    names: set[str] = set()
    for part in parts:
        with open_part(files, part) as file:
            coded = [name for name in order if pa.types.is_dictionary(file.schema_arrow.field(name).type)]
            for batch in file.iter_batches(ROWS, columns=coded) if coded else ():
                for column in batch.columns:
                    names.update(column.dictionary.to_pylist())
    return sorted(names)


def _joined(found: Sequence[tuple[pa.Table, list[Ints]]], kind: str) -> pa.Table:
    if len(found) == 1 and kind not in TOTALS:
        return found[0][0]
    table = pa.concat_tables([rows for rows, _ in found])
    keys = [np.concatenate(columns) for columns in zip(*(keys for _, keys in found), strict=True)]
    if len(found) > 1:
        places = np.lexsort(keys[::-1])
        table = table.unify_dictionaries().take(pa.array(places))
        keys = [column[places] for column in keys]
    return _summed(table, keys, kind) if kind in TOTALS else table


def _summed(table: pa.Table, keys: Sequence[Ints], kind: str) -> pa.Table:
    """Add up the rows of equal keys, which stand one behind the other."""
    if table.num_rows == 0:
        return table
    differs = np.ones(table.num_rows, np.bool_)
    differs[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in keys])
    starts = differs.nonzero()[0]
    if starts.size == table.num_rows:
        return table
    firsts = table.take(pa.array(starts))
    for name in TOTALS[kind]:
        sums: npt.NDArray[Any] = np.add.reduceat(table[name].to_numpy(), starts)
        firsts = firsts.set_column(firsts.column_names.index(name), name, pa.array(sums))
    return firsts
