"""The statistics of stored rows once more, from their masks: many masks of one shape are counted at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from maskl_storage.cells.cells import MAX_PAIRED, Batch, MaskClasses
from maskl_storage.cells.class_pixels import (
    JointGroup,
    MaskGroup,
    Pair,
    class_pixels_table,
    class_totals,
    confusion_table,
    confusion_totals,
)
from maskl_storage.cells.class_scores import score_tables
from maskl_storage.errors import MasklError
from maskl_storage.format.metadata import ClassSet, Column, class_name
from maskl_storage.format.names import set_name
from maskl_storage.format.segments import parse_stored_segments
from maskl_storage.masks.codec import Unpacker
from maskl_storage.masks.codecs import Packed
from maskl_storage.masks.histograms import class_pixels
from maskl_storage.masks.run_lengths import Pixels, Runs
from maskl_storage.masks.segments import counted_segments, with_classes
from maskl_storage.masks.stacks import Stack, class_pixels_of, joint_pixels_of
from maskl_storage.verify._sums import Listed, Place, Scored, Sums, sums_of

__all__ = ["Count", "Problem", "count", "tables_of"]

#: numbers that the masks of some rows take at a time: what is counted of them stays in a processor's cache
AT_ONCE: Final = 1 << 17

#: the row, the column and what is wrong with it
Problem = tuple[int | None, str | None, str]
Ints = npt.NDArray[np.int64]


@dataclass
class Count:
    """What the masks of some rows say: sums by kind, and masks that are broken."""

    sums: dict[str, Sums]
    problems: list[Problem] = field(default_factory=list)


def count(
    rows: pa.Table, columns: Mapping[str, Column], listed: Mapping[Place, Listed], scored: Scored | None
) -> Count:
    """Count the masks of some rows."""
    problems: list[Problem] = []
    sums = {kind: sums_of(table, kind) for kind, table in tables_of(rows, columns, listed, problems, scored)}
    return Count(sums, problems)


def tables_of(
    rows: pa.Table,
    columns: Mapping[str, Column],
    listed: Mapping[Place, Listed],
    problems: list[Problem],
    scored: Scored | None,
) -> Iterator[tuple[str, pa.Table]]:
    """Yield the statistics that some rows have by their masks.

    ``scored`` has the pairs that count of an image with many masks; None where all do.
    """
    ids = rows["_row"].to_numpy()
    found = _Groups()
    for stored, column in columns.items():
        if column.kind == "image":
            masks = {
                name: one
                for name, one in columns.items()
                if one.kind == "mask" and one.image == stored and name in rows.column_names
            }
            if masks:
                segments = {
                    one.key: name
                    for name, one in columns.items()
                    if one.kind == "segments" and one.image == stored and name in rows.column_names
                }
                counted = [_Masks(rows, ids, name, one, listed, segments.get(one.key)) for name, one in masks.items()]
                _Image(stored, counted, ids, scored, found).count()
    problems += sorted(found.problems, key=lambda problem: problem[0] or 0)
    batch = Batch((), (), ids, rows["_step"].to_numpy(), np.zeros(rows.num_rows, np.int64))
    counts = class_pixels_table(batch, {group: MaskGroup(*_whole(some)) for group, some in found.masks.items()})
    if counts.num_rows:
        yield "class_pixels", counts
        yield "class_totals", class_totals(counts)
    groups = {group: JointGroup(*_whole(some)) for group, some in found.joints.items()}
    counts = confusion_table(batch, groups)
    if counts.num_rows:
        yield "confusion", counts
        yield "confusion_totals", confusion_totals(counts)
    del counts
    unmatched = {pair: np.concatenate(some).tolist() for pair, some in found.unmatched.items()}
    yield from score_tables(batch, groups, unmatched)


def _whole(pieces: Sequence[Sequence[npt.NDArray[Any]]]) -> list[npt.NDArray[Any]]:
    return [np.concatenate(some) for some in zip(*pieces, strict=True)]


@dataclass
class _Groups:
    """What was counted so far, piece by piece: the arrays of groups, and where masks of a pair differ in size."""

    masks: dict[tuple[str, str, ClassSet], list[Sequence[npt.NDArray[Any]]]] = field(default_factory=dict)
    joints: dict[Pair, list[Sequence[npt.NDArray[Any]]]] = field(default_factory=dict)
    unmatched: dict[Pair, list[Ints]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


class _Masks:
    """The masks of one column: their bytes, and of each the classes that are declared for it."""

    def __init__(
        self,
        rows: pa.Table,
        ids: Ints,
        name: str,
        column: Column,
        listed: Mapping[Place, Listed],
        segments: str | None,
    ) -> None:
        self.name, self.key = name, str(column.key)
        self.class_sets = column.class_sets
        #: the column of their segments, and what it says of each row
        self.segments_name = segments
        self.segments = [None] * ids.size if segments is None else rows[segments].to_pylist()
        self.data = _buffers(rows[name])
        self.known = len(column.class_sets)
        self.numbers = np.zeros(ids.size, np.int64)
        if set_name(name) in rows.column_names:  # a set that is none is told of
            self.numbers = rows[set_name(name)].cast(pa.int64()).fill_null(-1).to_numpy()
        mine = listed.get((str(column.image), self.key))
        self.counted = np.zeros(ids.size, np.bool_)
        #: of each row the number of what is declared for its mask
        self.sets = np.zeros(ids.size, np.int64)
        self.declared: list[ClassSet] = []
        patterns = np.zeros((ids.size, 4), np.uint8)
        if mine is not None:
            self.counted, bits = mine.of(ids)
            patterns = np.concatenate((patterns, bits), axis=1)
        patterns[:, :4] = self.numbers.astype(np.uint32).view(np.uint8).reshape(-1, 4)
        known: dict[bytes, int] = {}
        width, flat = patterns.shape[1], patterns.tobytes()
        # of what has no statistics nothing is listed, which is no pattern: nothing of it is counted
        for place in np.flatnonzero(self.counted & (self.numbers >= 0) & (self.numbers < self.known)).tolist():
            pattern = flat[place * width : (place + 1) * width]
            if pattern not in known:
                known[pattern] = len(self.declared)
                chosen = column.class_sets[int(self.numbers[place])]
                if mine is not None:
                    there = mine.ids_of(pattern[4:])
                    chosen = ClassSet(item for item in chosen if item.id in there)
                self.declared.append(chosen)
            self.sets[place] = known[pattern]


def _buffers(column: pa.ChunkedArray) -> list[memoryview | None]:
    """Return the bytes of each cell, without copying them."""
    found: list[memoryview | None] = []
    for chunk in column.chunks:
        kind = np.int64 if pa.types.is_large_binary(chunk.type) else np.int32
        _, offsets, data = chunk.buffers()
        ends = np.frombuffer(offsets, kind)[chunk.offset : chunk.offset + len(chunk) + 1].tolist() if offsets else [0]
        view = memoryview(data if data is not None else b"")
        valid = chunk.is_valid().to_pylist() if chunk.null_count else [True] * len(chunk)
        found += [
            view[start:stop] if there else None for start, stop, there in zip(ends[:-1], ends[1:], valid, strict=True)
        ]
    return found


def _segments_problem(stored: Sequence[Mapping[str, Any]], mask: Runs | Pixels, class_set: ClassSet) -> str | None:
    """Return what is wrong with the segments of a mask."""
    try:
        segments = parse_stored_segments(stored)
    except (TypeError, ValueError, KeyError) as error:
        return f"its segments cannot be read: {error}"
    if len({segment.id for segment in segments}) < len(segments):
        return "two segments have one id"
    right, absent = counted_segments(segments, mask, class_pixels(mask))
    if absent:
        return f"segment {absent[0]} has no pixel in its mask"
    for said, counted in zip(segments, right, strict=True):
        if said != counted:
            return (
                f"segment {said.id} is said to have {said.pixels} pixels in the box {said.bbox}; in its mask it has "
                f"{counted.pixels} in {counted.bbox}"
            )
    names = {item.id: item for item in class_set}
    for item in stored:
        known = class_name(names.get(item["class_id"]), item["class_id"])
        if item["class_name"] != known:
            return (
                f"segment {item['id']} of class {item['class_id']} is called {item['class_name']!r}; the class set of "
                f"its mask says {known!r}"
            )
    return None


class _Image:
    """The masks of one image column, counted a few rows at a time."""

    def __init__(self, name: str, masks: Sequence[_Masks], ids: Ints, scored: Scored | None, found: _Groups) -> None:
        self.name, self.masks, self.ids, self.scored, self.found = name, masks, ids, scored, found
        self._unpacker = Unpacker()

    def count(self) -> None:
        """Count the masks of every row whose masks all decode."""
        waiting: dict[int, dict[int, tuple[Runs | Pixels | Packed, tuple[int, int]]]] = {}
        weight = 0
        for position in range(self.ids.size):
            row, heavy = self._row(position)
            if row:
                waiting[position] = row
                weight += heavy
            if weight >= AT_ONCE:
                self._count(waiting)
                waiting, weight = {}, 0
        if waiting:
            self._count(waiting)

    def _row(self, position: int) -> tuple[dict[int, tuple[Runs | Pixels | Packed, tuple[int, int]]] | None, int]:
        """Return the masks of a row by the number of their column, and about how many numbers they take."""
        row: dict[int, tuple[Runs | Pixels | Packed, tuple[int, int]]] | None = {}
        weight = 0
        for number, column in enumerate(self.masks):
            data = column.data[position]
            if data is None:
                continue
            try:
                set_number = int(column.numbers[position])
                if not 0 <= set_number < column.known:
                    what = None if set_number < 0 else set_number
                    self._problem(position, column, f"class set {what} is not one of the part's {column.known}")
                    row = None
                    continue
                found, info = self._unpacker.unpack(data)
                if (segments := column.segments[position]) is not None:
                    found = found.to_runs() if isinstance(found, Packed) else found
                    problem = _segments_problem(segments, found, column.class_sets[set_number])
                    if problem is not None:
                        self.found.problems.append((int(self.ids[position]), column.segments_name, problem))
                        row = None
                        continue
                    found = with_classes(found, {item["id"]: item["class_id"] for item in segments})
            except MasklError as error:
                self._problem(position, column, str(error))
                row = None
                continue
            if row is not None:
                row[number] = found, info.shape
            weight += found.weight if isinstance(found, Packed) else found.values.size
        return row, weight

    def _problem(self, position: int, column: _Masks, problem: str) -> None:
        self.found.problems.append((int(self.ids[position]), column.name, problem))

    def _count(self, rows: dict[int, dict[int, tuple[Runs | Pixels | Packed, tuple[int, int]]]]) -> None:
        places: dict[tuple[int, tuple[int, int]], list[int]] = {}
        for position, row in rows.items():
            for number, (_, shape) in row.items():
                places.setdefault((number, shape), []).append(position)
        stacks: dict[tuple[int, tuple[int, int]], tuple[Ints, Stack]] = {}
        for (number, shape), here in places.items():
            try:
                stacks[number, shape] = np.array(here), Stack.of([rows[at][number][0] for at in here], shape)
            except MasklError:  # one of them: find out which, and go on with the others
                broken = {position: row for position, row in rows.items() if not self._decodes(position, row)}
                self._count({position: row for position, row in rows.items() if position not in broken})
                return
        many = np.fromiter(map(len, rows.values()), np.int64, len(rows)) > MAX_PAIRED
        crowded = np.fromiter(rows, np.int64, len(rows))[many]
        self._count_stacks(stacks, crowded)

    def _decodes(self, position: int, row: Mapping[int, tuple[Runs | Pixels | Packed, tuple[int, int]]]) -> bool:
        good = True
        for number, (mask, _) in row.items():
            try:
                if isinstance(mask, Packed):
                    mask.to_runs()
            except MasklError as error:
                self._problem(position, self.masks[number], str(error))
                good = False
        return good

    def _count_stacks(self, stacks: Mapping[tuple[int, tuple[int, int]], tuple[Ints, Stack]], crowded: Ints) -> None:
        """Count stacks by the number of their column and their shape; ``crowded`` are rows with many masks."""
        classes: dict[int, dict[int, MaskClasses]] = {}
        unnamed: dict[int, list[tuple[Ints, Ints]]] = {}
        whole: dict[int, dict[int, MaskClasses]] = {}
        kept: dict[tuple[int, tuple[int, int]], tuple[Ints, Stack]] = {}
        for (number, shape), (positions, stack) in stacks.items():
            column = self.masks[number]
            counted = column.counted[positions]
            positions, stack = positions[counted], stack.take(counted.nonzero()[0])
            if positions.size:
                kept[number, shape] = positions, stack
                of, odd = classes.setdefault(number, {}), unnamed.setdefault(number, [])
                for code in np.unique(column.sets[positions]).tolist():
                    here = np.flatnonzero(column.sets[positions] == code)
                    self._count_masks(column, column.declared[code], positions[here], stack.take(here), of, odd)
        for (a, shape_a), (positions_a, stack_a) in kept.items():
            for (b, shape_b), (positions_b, stack_b) in kept.items():
                first, second = self.masks[a].key, self.masks[b].key
                if first >= second:
                    continue
                both, at_a, at_b = np.intersect1d(positions_a, positions_b, assume_unique=True, return_indices=True)
                if self.scored is not None and crowded.size:
                    there = ~np.isin(both, crowded) | self.scored.has(self.ids[both], self.name, first, second)
                    both, at_a, at_b = both[there], at_a[there], at_b[there]
                if shape_a != shape_b:
                    for number in {a, b} - whole.keys():
                        whole[number] = classes[number] | _with_unnamed(classes[number], unnamed[number])
                    for (classes_a, classes_b), here in _alike(both, whole[a], whole[b]):
                        pair = (self.name, first, second, classes_a, classes_b)
                        self.found.unmatched.setdefault(pair, []).append(both[here])
                    continue
                for (classes_a, classes_b), here in _alike(both, classes[a], classes[b]):
                    pair = (self.name, first, second, classes_a, classes_b)
                    joint = joint_pixels_of(stack_a.take(at_a[here]), stack_b.take(at_b[here]))
                    piece = (both[here], joint.lengths, joint.ids_a, joint.ids_b, joint.pixels)
                    self.found.joints.setdefault(pair, []).append(piece)

    def _count_masks(
        self,
        column: _Masks,
        declared: ClassSet,
        positions: Ints,
        stack: Stack,
        classes: dict[int, MaskClasses],
        unnamed: list[tuple[Ints, Ints]],
    ) -> None:
        """Count masks of one class set, and note each one's classes, and the ids of them that are not in it."""
        counts = class_pixels_of(stack, [item.id for item in declared])
        masks = np.arange(positions.size).repeat(counts.lengths)
        hidden = np.isin(counts.ids, list(declared.ignored)) if declared.ignored else np.zeros(masks.size, np.bool_)
        valid = stack.size - np.bincount(masks[hidden], counts.pixels[hidden], positions.size).astype(np.int64)
        sizes = np.full(positions.size, stack.size)
        piece = (positions, sizes, valid, counts.lengths, counts.ids, counts.pixels)
        self.found.masks.setdefault((self.name, column.key, declared), []).append(piece)
        classes.update(dict.fromkeys(positions.tolist(), MaskClasses(declared, frozenset())))
        odd = np.flatnonzero(~np.isin(counts.ids, [item.id for item in declared]))
        if odd.size:
            found = positions[masks[odd]], counts.ids[odd].astype(np.int64)
            unnamed.append(found)
            if any(item.name is not None for item in declared):  # else it admits every class
                classes.update(_with_unnamed(classes, [found]))


def _with_unnamed(classes: Mapping[int, MaskClasses], unnamed: Sequence[tuple[Ints, Ints]]) -> dict[int, MaskClasses]:
    """Return the classes of masks with ids that are not in their class sets; ``unnamed`` has rows and such ids."""
    ids: dict[int, set[int]] = {}
    for positions, numbers in unnamed:
        for position, number in zip(positions.tolist(), numbers.tolist(), strict=True):
            ids.setdefault(position, set()).add(number)
    return {at: MaskClasses(classes[at].class_set, frozenset(some)) for at, some in ids.items()}


def _alike(
    positions: Ints, a: Mapping[int, MaskClasses], b: Mapping[int, MaskClasses]
) -> Iterator[tuple[tuple[MaskClasses, MaskClasses], Ints]]:
    """Yield the rows whose two masks have the same classes: the classes, and the places of the rows."""
    if not positions.size:
        return
    known: dict[tuple[int, int], int] = {}
    pairs: list[tuple[MaskClasses, MaskClasses]] = []
    by_value: dict[tuple[MaskClasses, MaskClasses], int] = {}
    codes = np.empty(positions.size, np.int64)
    for place, position in enumerate(positions.tolist()):
        left, right = a[position], b[position]
        code = known.get((id(left), id(right)))
        if code is None:
            code = by_value.setdefault((left, right), len(pairs))
            if code == len(pairs):
                pairs.append((left, right))
            known[id(left), id(right)] = code
        codes[place] = code
    for code, pair in enumerate(pairs):
        yield pair, np.flatnonzero(codes == code)
