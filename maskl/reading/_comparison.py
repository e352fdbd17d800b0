"""Two runs compared: what the SQL macros return, with the intervals of the paired bootstrap from NumPy.

The rows, and the numbers that they and the resamples are drawn by, come from SQL (``sql/resampling.sql``). Sums of
counts are whole numbers below 2 ** 53, so that the order of adding changes nothing, and the intervals are those of SQL.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from maskl.reading.metrics import By
from maskl_storage.errors import InvalidType, InvalidValue
from maskl_storage.lazy import LazyModule
from maskl_storage.query.resampling import POISSON, PRIME

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = LazyModule("pyarrow")

__all__ = ["Resampled", "check_resamples", "comparison_query", "resampled", "units_query", "with_intervals"]

Floats = npt.NDArray[np.float64]
#: a side, a step and an image column; and with a class
Place = tuple[str, int | None, str]
Column = tuple[str, int | None, str, str]

MASKS: Final = "truth := $truth, prediction := $prediction, step := $step"
MAX_RESAMPLES: Final = 100_000
#: rows of counts that are held at a time, and numbers in a block of weights
BATCH: Final = 1 << 19
BLOCK: Final = 1 << 17
#: steps of the distribution that are looked at for every number: few numbers pass them all
COMMON: Final = 4
SHARES: Final = (0.025, 0.975)


def check_resamples(resamples: object) -> int:
    """Return a number of resamples, or raise what is wrong with it."""
    if isinstance(resamples, bool) or not isinstance(resamples, int):
        raise InvalidType(f"resamples must be a whole number; got {type(resamples).__name__}")
    if not 0 <= resamples <= MAX_RESAMPLES:
        raise InvalidValue(f"resamples must be a number from 0 to {MAX_RESAMPLES:,}; got {resamples}")
    return resamples


def comparison_query(by: By) -> str:
    """Return the query of a comparison, without intervals."""
    if by == "class":
        return f"FROM compare_classes($t, $a, $b, {MASKS})"
    if by == "mean":
        return f"FROM compare_means($t, $a, $b, {MASKS}, exclude := $exclude)"
    raise InvalidValue(f"by must be 'class' or 'mean'; got {by!r:.40}")


def units_query() -> str:
    """Return the query of the counts of matched rows; a row's stand together."""
    return "FROM maskl_paired_units($t, $a, $b, $truth, $prediction, $step, $key) ORDER BY unit"


class Resampled:
    """The counts of each class summed over the rows of each resample.

    Parameters
    ----------
    draws : pyarrow.Table
        The factor and the summand of each resample.
    """

    def __init__(self, draws: pa.Table) -> None:
        self._factors, self._summands = (_numbers(draws[name]).astype(np.uint64) for name in ("factor", "summand"))
        self._places: dict[Column, int] = {}
        self._sums = np.zeros((len(self._factors), 0))
        self._rows: dict[Place, int] = {}
        self._last: dict[Place, int] = {}

    def add(self, batch: pa.Table) -> None:
        """Add counts of rows; those of one row stand together, also over batches."""
        places = self._coded(batch)
        units, order = np.unique(_numbers(batch["unit"]), return_inverse=True)
        counts = [_numbers(batch[name]).astype(np.float64) for name in ("tp", "fp", "fn")]
        width = len(self._places)
        self._sums = np.pad(self._sums, ((0, 0), (0, 3 * width - self._sums.shape[1])))
        step = max(1, BLOCK // max(1, len(self._factors)))
        bounds = np.searchsorted(order, np.arange(0, len(units) + step, step))  # the rows of a unit stand together
        for number, (first, last) in enumerate(pairwise(bounds.tolist())):
            mine = units[number * step : (number + 1) * step]
            cells = (order[first:last] - number * step) * 3 * width + 3 * places[first:last]
            values = np.zeros(len(mine) * 3 * width)
            for kind, count in enumerate(counts):
                values += np.bincount(cells + kind, count[first:last], minlength=len(values))
            self._sums += self._weights(mine) @ values.reshape(len(mine), 3 * width)

    def _coded(self, batch: pa.Table) -> npt.NDArray[np.int64]:
        """Return for each row of counts which side, step, image and class it is of; count the rows of each."""
        columns = [
            batch[name].combine_chunks().dictionary_encode() for name in ("side", "at_step", "of_image", "of_class")
        ]
        encoded = [column if isinstance(column, pa.DictionaryArray) else column.combine_chunks() for column in columns]
        known = [column.dictionary.to_pylist() for column in encoded]
        codes = [np.from_dlpack(column.indices).astype(np.int64) for column in encoded]
        sizes = tuple(len(values) for values in known)
        flat = np.ravel_multi_index(tuple(codes), sizes)
        distinct, places = np.unique(flat, return_inverse=True)
        names = [
            tuple(values[code] for values, code in zip(known, several, strict=True))
            for several in zip(*np.unravel_index(distinct, sizes), strict=True)
        ]
        units = _numbers(batch["unit"])
        of_place: dict[Place, list[int]] = {}
        for index, name in enumerate(names):
            of_place.setdefault(name[:3], []).append(index)
        for place, indices in of_place.items():
            seen = units[np.isin(places, indices)]
            new = 1 + np.count_nonzero(np.diff(seen)) - (self._last.get(place) == seen[0])
            self._rows[place] = self._rows.get(place, 0) + int(new)
            self._last[place] = seen[-1]
        numbers = [self._places.setdefault(name, len(self._places)) for name in names]
        return np.array(numbers, np.int64)[places]

    def _weights(self, units: npt.NDArray[np.int64]) -> Floats:
        """Return how often each resample counts each row."""
        numbers = self._factors[:, None] * units.astype(np.uint64)
        numbers += self._summands[:, None]
        for _ in range(2):  # what is left by the prime 2 ** 31 - 1
            more = numbers >> np.uint64(31)
            numbers &= np.uint64(PRIME)
            numbers += more
        small = numbers.astype(np.uint32)
        small[small == PRIME] = 0
        weights = np.zeros(small.shape, np.uint8)
        for step in POISSON[:COMMON]:
            weights += small >= np.uint32(step)
        rare = np.nonzero(weights == COMMON)
        weights[rare] = np.searchsorted(np.array(POISSON, np.uint32), small[rare], side="right")
        return weights.astype(np.float64)

    def places(self) -> list[tuple[int | None, str]]:
        """Return the steps and image columns that have rows."""
        return list(dict.fromkeys((step, image) for _, step, image in self._rows))

    def rows(self, step: int | None, image: str) -> int:
        """Return over how many rows the resamples are."""
        return self._rows.get(("a", step, image), 0)

    def counts(self, side: str, step: int | None, image: str) -> dict[str, tuple[Floats, Floats, Floats]]:
        """Return the sums of each class by name, in the order of the names."""
        found = {}
        for name, place in sorted(self._places.items(), key=lambda item: item[0][3]):
            if name[:3] == (side, step, image):
                tp, fp, fn = (self._sums[:, 3 * place + kind] for kind in range(3))
                found[name[3]] = (tp, fp, fn)
        return found


def resampled(draws: pa.Table, units: Any) -> Resampled:
    """Return the sums of the resamples that are drawn, of the counts of the rows that a relation has."""
    found = Resampled(draws)
    for batch in units.to_arrow_reader(BATCH):
        found.add(pa.Table.from_batches([batch]))
    return found


def with_intervals(found: pa.Table, resampled: Resampled, by: By, exclude: Collection[str], step: Any) -> pa.Table:
    """Return a comparison with ``change_low``, ``change_high`` and ``n_matched``."""
    scores = {}
    for at_step, image in resampled.places():
        sides = []
        for side in ("a", "b"):
            counts = resampled.counts(side, at_step, image)
            sides.append(_ious(counts) if by == "class" else _means(counts, exclude))
        scores[at_step, image] = sides
    name = "class_name" if by == "class" else "metric"
    lows: list[float | None] = []
    highs: list[float | None] = []
    matched = []
    for row in found.select(["step_a", "step_b", "image_column", name]).to_pylist():
        known = row["step_b"] if row["step_a"] is None else row["step_a"]
        key = (0 if step == "last" or known is None else known, row["image_column"])
        count = resampled.rows(*key)
        first, second = (side.get(row[name]) for side in scores.get(key, ({}, {})))
        low, high = (None, None) if first is None or second is None or count < 2 else _interval(second - first)
        lows.append(low)
        highs.append(high)
        matched.append(count)
    for title, values in (("change_low", lows), ("change_high", highs), ("n_matched", matched)):
        place = found.column_names.index(title)
        found = found.set_column(place, title, _column(values, found.schema.field(place).type))
    return found


def _numbers(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """Return numbers without nulls; Arrow's own way would load pandas, which takes longer than to compare two runs."""
    return np.concatenate([np.from_dlpack(chunk) for chunk in column.chunks])


def _column(values: Sequence[float | None], kind: pa.DataType) -> pa.Array:
    """Return numbers as Arrow has them, None as null; as for :func:`_numbers`, without pandas."""
    known = np.packbits([value is not None for value in values], bitorder="little")
    numbers = np.array([value or 0 for value in values], kind.to_pandas_dtype())
    return pa.Array.from_buffers(kind, len(values), [pa.py_buffer(known), pa.py_buffer(numbers)])


def _ratio(part: Floats, whole: Floats) -> Floats:
    """Return ``part / whole``, and NaN where that is 0 / 0."""
    result = np.full(part.shape, np.nan)
    np.divide(part, whole, out=result, where=whole != 0)
    return result


def _ious(counts: dict[str, tuple[Floats, Floats, Floats]]) -> dict[str, Floats]:
    return {name: _ratio(tp, tp + fp + fn) for name, (tp, fp, fn) in counts.items()}


def _means(counts: dict[str, tuple[Floats, Floats, Floats]], exclude: Collection[str]) -> dict[str, Floats]:
    """Return the means over the classes, added in the order of their names as SQL does it."""
    kept = [values for name, values in counts.items() if name not in exclude]
    ious = [_ratio(tp, tp + fp + fn) for tp, fp, fn in kept]
    zero = np.zeros(len(next(iter(counts.values()))[0]))
    weighted, weight = zero.copy(), zero.copy()
    for iou, (tp, _, fn) in zip(ious, kept, strict=True):
        weighted += np.where(np.isnan(iou), 0, (tp + fn) * iou)
        weight += tp + fn
    right = sum((tp for tp, _, _ in counts.values()), zero)
    return {
        "mean_iou": _mean(ious, zero),
        "mean_dice": _mean([_ratio(2 * tp, 2 * tp + fp + fn) for tp, fp, fn in kept], zero),
        "mean_accuracy": _mean([_ratio(tp, tp + fn) for tp, _, fn in kept], zero),
        "frequency_weighted_iou": _ratio(weighted, weight),
        "pixel_accuracy": _ratio(right, sum((tp + fn for tp, _, fn in counts.values()), zero)),
    }


def _mean(scores: Sequence[Floats], zero: Floats) -> Floats:
    total, count = zero.copy(), zero.copy()
    for score in scores:
        total += np.where(np.isnan(score), 0, score)
        count += ~np.isnan(score)
    return _ratio(total, count)


def _interval(changes: Floats) -> Iterator[float | None]:
    """Yield the percentiles, between two neighbours as NumPy's method ``linear`` has it."""
    ordered = np.sort(changes[~np.isnan(changes)])
    for share in SHARES:
        if not ordered.size:
            yield None
            continue
        place = (ordered.size - 1) * share
        below = int(place)
        above = min(below + 1, ordered.size - 1)
        yield float(ordered[below] + (ordered[above] - ordered[below]) * (place - below))
