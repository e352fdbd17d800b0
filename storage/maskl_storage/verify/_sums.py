"""Statistics as sums that two ways of counting can be compared by, and what statistics list of rows.

A statistic's row becomes a number of 64 bits; what is compared is, for each ``_row``, the sum of these numbers
(and of totals, for each ``_step``, the sum of pixels times these numbers). Sums do not depend on order, nor on
which part a row stands in, and take eight bytes a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from blake3 import blake3

from maskl_storage.format.schemas import TOTALS

__all__ = ["BY_ROW", "MEANS", "Listed", "Place", "Scored", "Sums", "differing", "joined", "listed_in", "sums_of"]

#: statistics of rows, and sums over rows
BY_ROW: Final = ("class_pixels", "confusion", "scores", "class_scores")
#: what is compared as numbers: in which order they were added up differs
MEANS: Final = ("mean_iou", "mean_dice", "pixel_accuracy")
#: means are compared as whole numbers of these, each times a factor from this one up to twice as large
UNITS: Final = 1 << 52
FACTOR: Final = np.uint64(1 << 10)
#: means of the same counts differ by the order in which they were added up: up to 1e-12
CLOSE: Final = 4500 << 10
#: keys are added up in a table of all between the lowest and the highest, where those are no more than this a row
SPARSE: Final = 8

#: what stands for a cell without a value
NOTHING: Final = (1 << 64) - 1

Words = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]
#: an image column and a mask's key
Place = tuple[str, str]


@dataclass(frozen=True)
class Sums:
    """Statistics of one kind, added up: ``keys`` are rows, or of totals steps, ascending.

    ``means`` adds up the means of each key as whole numbers of :data:`UNITS`, times a factor for each pair of masks.
    """

    keys: Ints
    sums: Words
    means: Words | None = None


@dataclass(frozen=True)
class Listed:
    """Which classes statistics list of one mask of each row: the class sets of a part may have been joined.

    ``bits`` has for each of ``rows``, ascending, one bit for each of ``ids``.
    """

    ids: npt.NDArray[np.int32]
    rows: Ints
    bits: npt.NDArray[np.uint8]

    @classmethod
    def of_pairs(cls, rows: Ints, classes: Ints, ids: Ints) -> Listed:
        """Return what pairs of a row and a class say of these ids, which ascend."""
        distinct, places = _numbered(rows)
        there = np.zeros((distinct.size, ids.size), np.bool_)
        if ids.size:
            codes = ids.searchsorted(classes)
            codes[codes == ids.size] = 0
            known = ids[codes] == classes
            there[places[known], codes[known]] = True
        return cls(ids.astype(np.int32), distinct, np.packbits(there, axis=1, bitorder="little"))

    @classmethod
    def union(cls, some: Sequence[Listed]) -> Listed:
        """Return what several say of the same ids."""
        if len(some) == 1:
            return some[0]
        rows, places = _numbered(np.concatenate([one.rows for one in some]))
        bits = np.zeros((rows.size, some[0].bits.shape[1]), np.uint8)
        start = 0
        for one in some:
            bits[places[start : start + one.rows.size]] |= one.bits
            start += one.rows.size
        return cls(some[0].ids, rows, bits)

    def between(self, low: int, high: int) -> Listed:
        """Return what is listed of some rows."""
        start, stop = self.rows.searchsorted((low, high + 1))
        return Listed(self.ids, self.rows[start:stop], self.bits[start:stop])

    def of(self, rows: Ints) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.uint8]]:
        """Return whether each of some rows' masks has statistics, and its bits, which are 0 where it has none."""
        if not self.rows.size:
            return np.zeros(rows.size, np.bool_), np.zeros((rows.size, self.bits.shape[1]), np.uint8)
        at = self.rows.searchsorted(rows)
        at[at == self.rows.size] = 0
        there = self.rows[at] == rows
        return there, self.bits[at] * there[:, None].astype(np.uint8)

    def ids_of(self, bits: bytes) -> frozenset[int]:
        """Return the ids that a row's bits say."""
        there = np.unpackbits(np.frombuffer(bits, np.uint8), count=self.ids.size, bitorder="little").view(np.bool_)
        return frozenset(self.ids[there].tolist())


@dataclass(frozen=True)
class Scored:
    """Which pairs of masks scores list of each row, by image column and keys in ascending order: rows, ascending."""

    rows: Mapping[tuple[str, str, str], Ints]

    @classmethod
    def of(cls, tables: Iterable[pa.Table]) -> Scored:
        """Return what parts of scores list."""
        found: dict[tuple[str, str, str], list[Ints]] = {}
        for table in tables:
            for (column, a, b), here in _named(table, ("image_column", "truth_key", "prediction_key")):
                found.setdefault((column, min(a, b), max(a, b)), []).append(table["_row"].to_numpy()[here])
        return cls({key: np.unique(np.concatenate(some)) for key, some in found.items()})

    def between(self, low: int, high: int) -> Scored:
        """Return what is listed of some rows."""
        ends = {key: rows.searchsorted((low, high + 1)) for key, rows in self.rows.items()}
        return Scored({key: self.rows[key][start:stop] for key, (start, stop) in ends.items() if start < stop})

    def has(self, rows: Ints, column: str, a: str, b: str) -> npt.NDArray[np.bool_]:
        """Whether a pair of each of some rows is listed."""
        listed = self.rows.get((column, a, b))
        return np.zeros(rows.size, np.bool_) if listed is None else np.isin(rows, listed)


# --- numbers ------------------------------------------------------------------------------------


def sums_of(table: pa.Table, kind: str) -> Sums:
    """Return the sums of some rows of statistics."""
    if kind in TOTALS:
        return _sums_of_totals(table, kind)
    rows = table["_row"].to_numpy()
    if kind != "scores":
        return Sums(*_added(rows, _mixed(_words(table, table.column_names))))
    words = _words(table, [name for name in table.column_names if name not in MEANS])
    fixed = []
    for number, name in enumerate(MEANS):
        values = table[name].to_numpy().astype(np.float64)
        nothing = np.isnan(values)
        words += nothing.astype(np.uint64) * np.uint64(_text(name) | 1)
        values = np.where(nothing, 0, values).clip(-2, 2) * UNITS
        fixed.append((np.uint64(number), np.rint(values).astype(np.int64).view(np.uint64)))
    words = _mixed(words)
    means = np.zeros(words.size, np.uint64)
    for add, units in fixed:
        means += (FACTOR + (_mixed(words + add) & (FACTOR - np.uint64(1)))) * units
    keys, sums = _added(rows, words)
    return Sums(keys, sums, _added(rows, means)[1])


def _sums_of_totals(table: pa.Table, kind: str) -> Sums:
    amounts = TOTALS[kind]
    words = _mixed(_words(table, [name for name in table.column_names if name not in amounts]))
    weighted = np.zeros(table.num_rows, np.uint64)
    for number, name in enumerate(amounts):
        weighted += _mixed(words + np.uint64(number)) * table[name].to_numpy().astype(np.uint64)
    return Sums(*_added(table["_step"].to_numpy(), weighted))


def joined(found: Sequence[Sums]) -> Sums:
    """Return the sums of several tables as of one."""
    all_keys = np.concatenate([one.keys for one in found])
    keys, sums = _added(all_keys, np.concatenate([one.sums for one in found]))
    means = [one.means for one in found if one.means is not None]
    return Sums(keys, sums, _added(all_keys, np.concatenate(means))[1] if means else None)


def differing(stored: Sums | None, counted: Sums | None) -> Ints:
    """Return the rows, or steps, whose sums differ."""
    empty = Sums(np.zeros(0, np.int64), np.zeros(0, np.uint64))
    a, b = stored or empty, counted or empty
    keys = np.union1d(a.keys, b.keys)
    sums, means = [], []
    for one in (a, b):
        at = keys.searchsorted(one.keys)
        sums.append(np.zeros(keys.size, np.uint64))
        sums[-1][at] = one.sums
        means.append(np.zeros(keys.size, np.uint64))
        if one.means is not None:
            means[-1][at] = one.means
    far = np.abs((means[0] - means[1]).view(np.int64)) > CLOSE
    wrong: Ints = keys[(sums[0] != sums[1]) | far]
    return wrong


def _numbered(keys: Ints) -> tuple[Ints, Ints]:
    """Return the distinct keys, ascending, and the place of each key among them."""
    if keys.size and int(keys.max()) - (low := int(keys.min())) < SPARSE * keys.size:
        there = np.zeros(int(keys.max()) - low + 1, np.bool_)
        there[keys - low] = True
        return there.nonzero()[0] + low, (there.cumsum() - 1)[keys - low]
    distinct, places = np.unique(keys, return_inverse=True)
    return distinct.astype(np.int64), places


def _added(keys: Ints, words: Words) -> tuple[Ints, Words]:
    if not keys.size:
        return keys.astype(np.int64), words
    low, high = int(keys.min()), int(keys.max())
    if high - low >= SPARSE * keys.size:
        distinct, places = np.unique(keys, return_inverse=True)
        sums = np.zeros(distinct.size, np.uint64)
        np.add.at(sums, places, words)
        return distinct.astype(np.int64), sums
    places = keys - low
    sums, there = np.zeros(high - low + 1, np.uint64), np.zeros(high - low + 1, np.bool_)
    np.add.at(sums, places, words)
    there[places] = True
    present = there.nonzero()[0]
    return present + low, sums[present]


def _words(table: pa.Table, names: Sequence[str]) -> Words:
    """Return a number for each row, which says what its columns hold and is to be mixed.

    Each column is multiplied by an odd number of its own, so that a cell that changes changes the number.
    """
    words = np.zeros(table.num_rows, np.uint64)
    for name in names:
        words += _column(table[name], _text(name) | 1)
    return words


def _column(column: pa.ChunkedArray, factor: int) -> Words | np.uint64:
    """Return the cells of a column as numbers times a factor; of one value in all rows once."""
    nothing = np.uint64(NOTHING * factor % (1 << 64))
    times = np.uint64(factor)
    array = pa.concat_arrays(column.unify_dictionaries().chunks) if column.num_chunks else pa.array([], column.type)
    if pa.types.is_dictionary(array.type):
        codes = np.array([*map(_text, array.dictionary.to_pylist()), NOTHING], np.uint64) * times
        if codes.size == 2 and not array.null_count:
            return np.uint64(codes[0])
        coded: Words = codes.take(array.indices.fill_null(codes.size - 1).to_numpy(zero_copy_only=False))
        return coded
    whole = array.cast(pa.int64()) if array.type != pa.int64() else array
    values: Words = whole.fill_null(0).to_numpy(zero_copy_only=False).view(np.uint64) * times
    if array.null_count:
        values[array.is_null().to_numpy(zero_copy_only=False)] = nothing
    return values


def _text(text: str | None) -> int:
    return int.from_bytes(blake3(str(text).encode()).digest(8), "little")


def _mixed(words: Words) -> Words:
    """Spread every bit over all others."""
    mixed = words ^ (words >> np.uint64(30))
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def listed_in(tables: Iterable[pa.Table], ids: Mapping[Place, Ints]) -> dict[Place, Listed]:
    """Return which of some classes class_pixels list, by image column and mask key; ``ids`` ascend."""
    found: dict[Place, list[tuple[Ints, Ints]]] = {}
    for table in tables:
        rows, classes = table["_row"].to_numpy(), table["class_id"].to_numpy().astype(np.int64)
        for (column, key), here in _named(table, ("image_column", "mask_key")):
            found.setdefault((column, key), []).append((rows[here], classes[here]))
    listed = {}
    for place, pieces in found.items():
        rows, classes = (np.concatenate(some) for some in zip(*pieces, strict=True))
        listed[place] = Listed.of_pairs(rows, classes, ids.get(place, np.zeros(0, np.int64)))
    return listed


def _named(table: pa.Table, names: Sequence[str]) -> Iterator[tuple[tuple[str, ...], npt.NDArray[np.bool_] | slice]]:
    """Yield what columns of names hold together, and the rows that do; where a name is missing, nothing."""
    code = np.zeros(table.num_rows, np.int64)
    dictionaries = []
    for name in names:
        column = table[name].unify_dictionaries()
        array = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
        encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
        dictionaries.append([*encoded.dictionary.to_pylist(), None])
        code *= len(dictionaries[-1])
        code += encoded.indices.fill_null(len(encoded.dictionary)).to_numpy(zero_copy_only=False)
    distinct = np.unique(code).tolist()
    for one in distinct:
        found, rest = [], one
        for dictionary in reversed(dictionaries):
            rest, at = divmod(rest, len(dictionary))
            found.append(dictionary[at])
        if None not in found:
            yield tuple(reversed(found)), slice(None) if len(distinct) == 1 else code == one
