"""The statistics of stored rows once more, from their masks, as sums that two ways of counting can be compared by.

A statistic's row becomes a number of 64 bits; what is compared is, for each ``_row``, the sum of these numbers
(and of totals, for each ``_step``, the sum of pixels times these numbers). Sums do not depend on order, nor on
which part a row stands in, and take eight bytes a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from blake3 import blake3

from maskl_storage.cells.cells import MAX_PAIRED, Batch, ImageCell, MaskCell, Pairs, count_mask, joint_cells
from maskl_storage.cells.class_pixels import (
    class_pixels_table,
    class_totals,
    confusion_table,
    confusion_totals,
    joint_groups,
)
from maskl_storage.cells.class_scores import score_tables
from maskl_storage.errors import MasklError
from maskl_storage.format.metadata import ClassSet, Column
from maskl_storage.format.names import set_name
from maskl_storage.format.schemas import TOTALS
from maskl_storage.masks.codec import countable
from maskl_storage.masks.histograms import class_pixels

__all__ = ["BY_ROW", "MEANS", "Listed", "Scored", "Sums", "count", "joined", "listed_in", "sums_of", "tables_of"]

#: statistics of rows, and sums over rows
BY_ROW: Final = ("class_pixels", "confusion", "scores", "class_scores")
#: what is compared as numbers: in which order they were added up differs
MEANS: Final = ("mean_iou", "mean_dice", "pixel_accuracy")
ODD: Final = np.uint64(0x9E3779B97F4A7C15)

Words = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sums:
    """Statistics of one kind, added up: ``keys`` are rows, or of totals steps, ascending; ``means`` of scores only.

    ``means`` has for each row of scores the number that says which it is, its ``_row``, and its three means.
    """

    keys: Ints
    sums: Words
    means: tuple[Words, Ints, npt.NDArray[np.float64]] | None = None


@dataclass(frozen=True)
class Listed:
    """Which classes statistics list of one mask of each row: the class sets of a part may have been joined.

    ``bits`` has for each of ``rows``, ascending, one bit for each of ``ids``.
    """

    ids: npt.NDArray[np.int32]
    rows: Ints
    bits: npt.NDArray[np.uint8]

    def between(self, low: int, high: int) -> Listed:
        """Return what is listed of some rows."""
        start, stop = self.rows.searchsorted((low, high + 1))
        return Listed(self.ids, self.rows[start:stop], self.bits[start:stop])

    def of(self, row: int) -> set[int] | None:
        """Return the ids of a row's mask; None where it has no statistics."""
        at = int(self.rows.searchsorted(row))
        if at == self.rows.size or self.rows[at] != row:
            return None
        there = np.unpackbits(self.bits[at], count=self.ids.size, bitorder="little").view(np.bool_)
        return set(self.ids[there].tolist())


@dataclass(frozen=True)
class Scored:
    """Which pairs of masks scores list of each row, by image column and keys in ascending order: rows, ascending."""

    rows: Mapping[tuple[str, str, str], Ints]

    @classmethod
    def of(cls, tables: Iterable[pa.Table]) -> Scored:
        """Return what parts of scores list."""
        found: dict[tuple[str, str, str], list[Ints]] = {}
        for table in tables:
            names = [table[name].to_pylist() for name in ("image_column", "truth_key", "prediction_key")]
            places: dict[tuple[str, str, str], list[int]] = {}
            for place, (column, a, b) in enumerate(zip(*names, strict=True)):
                places.setdefault((column, min(a, b), max(a, b)), []).append(place)
            rows = table["_row"].to_numpy()
            for key, some in places.items():
                found.setdefault(key, []).append(rows[some])
        return cls({key: np.unique(np.concatenate(some)) for key, some in found.items()})

    def between(self, low: int, high: int) -> Scored:
        """Return what is listed of some rows."""
        ends = {key: rows.searchsorted((low, high + 1)) for key, rows in self.rows.items()}
        return Scored({key: self.rows[key][start:stop] for key, (start, stop) in ends.items() if start < stop})

    def has(self, row: int, column: str, a: str, b: str) -> bool:
        """Whether a pair of a row is listed."""
        rows = self.rows.get((column, a, b))
        if rows is None:
            return False
        at = int(rows.searchsorted(row))
        return at < rows.size and int(rows[at]) == row


# --- numbers ------------------------------------------------------------------------------------


def sums_of(table: pa.Table, kind: str) -> Sums:
    """Return the sums of some rows of statistics."""
    if kind in TOTALS:
        return _sums_of_totals(table, kind)
    names = [name for name in table.column_names if not (kind == "scores" and name in MEANS)]
    words = _words(table, names)
    keys, sums = _added(table["_row"].to_numpy(), words)
    means = None
    if kind == "scores":
        values = [table[name].to_numpy().astype(np.float64) for name in MEANS]
        means = (words, table["_row"].to_numpy(), np.stack(values, axis=1))
    return Sums(keys, sums, means)


def _sums_of_totals(table: pa.Table, kind: str) -> Sums:
    amounts = TOTALS[kind]
    words = _words(table, [name for name in table.column_names if name not in amounts])
    weighted = np.zeros(table.num_rows, np.uint64)
    for number, name in enumerate(amounts):
        weighted += _mixed(words + np.uint64(number)) * table[name].to_numpy().astype(np.uint64)
    return Sums(*_added(table["_step"].to_numpy(), weighted))


def joined(found: Sequence[Sums]) -> Sums:
    """Return the sums of several tables as of one."""
    keys, sums = _added(np.concatenate([one.keys for one in found]), np.concatenate([one.sums for one in found]))
    means = [one.means for one in found if one.means is not None]
    if not means:
        return Sums(keys, sums)
    words, rows, values = (np.concatenate(pieces) for pieces in zip(*means, strict=True))
    order = words.argsort()
    return Sums(keys, sums, (words[order], rows[order], values[order]))


def _added(keys: Ints, words: Words) -> tuple[Ints, Words]:
    distinct, places = np.unique(keys, return_inverse=True)
    sums = np.zeros(distinct.size, np.uint64)
    np.add.at(sums, places, words)
    return distinct.astype(np.int64), sums


def _words(table: pa.Table, names: Sequence[str]) -> Words:
    """Return a number for each row, which says what its columns hold."""
    words = np.zeros(table.num_rows, np.uint64)
    for name in sorted(names):
        words = _mixed(words * ODD + _column(table[name].combine_chunks()) + np.uint64(_text(name)))
    return words


def _column(array: Any) -> Words:
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    values: Words
    if pa.types.is_dictionary(array.type):
        codes = np.array([*map(_text, array.dictionary.to_pylist()), 0], np.uint64)
        values = codes.take(array.indices.fill_null(0).to_numpy(zero_copy_only=False))
    else:
        values = array.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False).astype(np.uint64)
    if array.null_count:
        values = values.copy()
        values[array.is_null().to_numpy(zero_copy_only=False)] = np.iinfo(np.uint64).max
    return values


def _text(text: str | None) -> int:
    return int.from_bytes(blake3(str(text).encode()).digest(8), "little")


def _mixed(words: Words) -> Words:
    """Spread every bit over all others."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Words = words ^ (words >> np.uint64(31))
    return mixed


def listed_in(tables: Iterator[pa.Table]) -> dict[tuple[str, str], Listed]:
    """Return which classes a part of class_pixels lists, by image column and mask key."""
    found: dict[tuple[str, str], list[tuple[Ints, Ints]]] = {}
    for table in tables:
        columns = [table[name].cast(pa.string()).to_numpy() for name in ("image_column", "mask_key")]
        rows, ids = table["_row"].to_numpy(), table["class_id"].to_numpy().astype(np.int64)
        names = columns[0].astype(object) + "\0" + columns[1].astype(object)
        starts = np.flatnonzero(np.concatenate(([True], names[1:] != names[:-1]))).tolist() if names.size else []
        for start, stop in pairwise([*starts, names.size]):
            key = (str(columns[0][start]), str(columns[1][start]))
            found.setdefault(key, []).append((rows[start:stop], ids[start:stop]))
    listed = {}
    for key, pieces in found.items():
        rows, places = np.unique(np.concatenate([piece for piece, _ in pieces]), return_inverse=True)
        ids, codes = np.unique(np.concatenate([piece for _, piece in pieces]), return_inverse=True)
        bits = np.zeros((rows.size, -(-ids.size // 8)), np.uint8)
        np.bitwise_or.at(bits, (places, codes // 8), (1 << (codes % 8)).astype(np.uint8))
        listed[key] = Listed(ids.astype(np.int32), rows, bits)
    return listed


# --- counting -----------------------------------------------------------------------------------

#: the row, the column and what is wrong with it
Problem = tuple[int | None, str | None, str]


@dataclass
class Count:
    """What the masks of some rows say: sums by kind, masks that are broken, and digests that are referred to."""

    sums: dict[str, Sums]
    problems: list[Problem] = field(default_factory=list)


def count(
    rows: pa.Table,
    columns: Mapping[str, Column],
    listed: Mapping[tuple[str, str], Sequence[Listed]],
    scored: Scored | None,
) -> Count:
    """Count the masks of some rows."""
    problems: list[Problem] = []
    sums = {kind: sums_of(table, kind) for kind, table in tables_of(rows, columns, listed, problems, scored)}
    return Count(sums, problems)


def tables_of(
    rows: pa.Table,
    columns: Mapping[str, Column],
    listed: Mapping[tuple[str, str], Sequence[Listed]],
    problems: list[Problem],
    scored: Scored | None,
) -> Iterator[tuple[str, pa.Table]]:
    """Yield the statistics that some rows have by their masks.

    ``scored`` has the pairs that count of an image with many masks; None where all do.
    """
    batch = _batch(rows, columns, listed, problems, scored)
    # by the names that the columns are stored under
    images = [(column.name, index) for index, column in enumerate(batch.columns)]
    counts = class_pixels_table(batch, images)
    if counts.num_rows:
        yield "class_pixels", counts
        yield "class_totals", class_totals(counts)
    groups = joint_groups(batch, images)
    counts = confusion_table(batch, groups)
    if counts.num_rows:
        yield "confusion", counts
        yield "confusion_totals", confusion_totals(counts)
    yield from score_tables(batch, images, groups)


def _batch(
    rows: pa.Table,
    columns: Mapping[str, Column],
    listed: Mapping[tuple[str, str], Sequence[Listed]],
    problems: list[Problem],
    scored: Scored | None,
) -> Batch:
    """Return rows with their masks counted anew; a row with a mask that does not decode is left empty."""
    ids = rows["_row"].to_numpy()
    images = {
        stored: column
        for stored, column in columns.items()
        if column.kind == "image" and any(c.kind == "mask" and c.image == stored for c in columns.values())
    }
    cells: dict[str, list[ImageCell | None]] = {stored: [None] * rows.num_rows for stored in images}
    for stored in images:
        masks = {s: c for s, c in columns.items() if c.kind == "mask" and c.image == stored and s in rows.column_names}
        data = {s: rows[s] for s in masks}
        numbers = {s: rows[set_name(s)] for s in masks if set_name(s) in rows.column_names}
        for place, row in enumerate(ids.tolist()):
            counted = {}
            for name, column in masks.items():
                value = data[name][place]
                if value.is_valid:
                    number = numbers[name][place].as_py() if name in numbers else 0
                    counted[str(column.key)] = _mask(value.as_buffer(), row, name, column, number, listed, problems)
            good = {key: found for key, found in counted.items() if found is not None}
            if len(good) == len(counted):
                pairs = None
                if scored is not None and len(good) > MAX_PAIRED:
                    pairs = frozenset(pair for pair in combinations(sorted(good), 2) if scored.has(row, stored, *pair))
                cells[stored][place] = _cell(good, pairs)
    described = tuple(Column("image", stored) for stored in images)
    values = list(zip(*cells.values(), strict=True)) if cells else [()] * rows.num_rows
    stamps = np.zeros(rows.num_rows, np.int64)
    return Batch(described, values, ids, rows["_step"].to_numpy(), stamps)


def _mask(
    data: pa.Buffer,
    row: int,
    name: str,
    column: Column,
    number: int | None,
    listed: Mapping[tuple[str, str], Sequence[Listed]],
    problems: list[Problem],
) -> tuple[MaskCell, Any] | None:
    if number is None or number >= len(column.class_sets):
        problems.append((row, name, f"class set {number} is not one of the part's {len(column.class_sets)}"))
        return None
    known = listed.get((str(column.image), str(column.key)), ())
    ids = next((ids for one in known if (ids := one.of(row)) is not None), None)
    own = ClassSet(item for item in column.class_sets[number] if ids is None or item.id in ids)
    try:
        runs = countable(data)
        cell = count_mask(bytes(data), runs, class_pixels(runs), own, statistics=ids is not None)
    except MasklError as error:
        problems.append((row, name, str(error)))
        return None
    return cell, runs


def _cell(masks: Mapping[str, tuple[MaskCell, Any]], pairs: Pairs | None) -> ImageCell:
    cells = {key: cell for key, (cell, _) in masks.items()}
    joints = joint_cells({key: runs for key, (cell, runs) in masks.items() if cell.counts is not None}, pairs)
    return ImageCell(None, None, None, None, None, masks=cells, joints=joints, pairs=pairs)
