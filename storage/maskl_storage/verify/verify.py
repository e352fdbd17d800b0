"""Whether a store is what it says: every checksum, and every statistic against the masks."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from maskl_storage.catalog.layout import Layout
from maskl_storage.catalog.listing import with_parts
from maskl_storage.disk.local import Folder
from maskl_storage.format.document import has_left_out, is_newer
from maskl_storage.format.paths import FILE_KINDS, PIXEL_SCORES, SEALS, kind_of
from maskl_storage.format.schemas import TOTALS, columns_of
from maskl_storage.format.seals import Part, Seal
from maskl_storage.images.digests import Digests
from maskl_storage.masks.limits import max_mask_pixels, set_max_mask_pixels
from maskl_storage.verify._checks import (
    Pictures,
    RowsFound,
    check_images,
    check_part,
    check_rows,
    form_faults,
    scan,
)
from maskl_storage.verify._documents import check_documents, read_seals
from maskl_storage.verify._faults import Fault
from maskl_storage.verify._files import check_blob, check_files
from maskl_storage.verify._orphans import notes_of, strange_faults, waiting_faults
from maskl_storage.verify._recount import tables_of
from maskl_storage.verify._sums import BY_ROW, MEANS, Listed, Place, Scored, Sums, differing, joined
from maskl_storage.verify._windows import EVERY, Group, declared_in, groups_of, together, windows

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

__all__ = ["Fault", "Verified", "verify"]

#: rows, or bytes of images, that a process takes at a time
TASK_ROWS: Final = 4096
TASK_BYTES: Final = 16 << 20
#: differences that are named, of one table's statistics of one kind
NAMED: Final = 10


@dataclass(frozen=True)
class Verified:
    """What a verification found; :meth:`maskl.Store.verify` returns it.

    Parameters
    ----------
    faults : list of Fault
        What is wrong: each with its ``problem`` and ``file``, and the ``row``, ``column`` and ``mask`` where it
        is about these.
    notes : list of str
        What is no fault, such as files that nothing names.
    seals, parts, bytes : int
        How many of these the store has, and how large its parts are.
    rows, masks, images, files : int
        How many of these were checked; files are those of artifacts and runs, each of which stands once.
    unchecked : int
        Images whose digest is over a source that is not stored: their bytes were compared with the checksum of
        their part.
    """

    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seals: int = 0
    parts: int = 0
    bytes: int = 0
    rows: int = 0
    masks: int = 0
    images: int = 0
    files: int = 0
    unchecked: int = 0

    @property
    def clean(self) -> bool:
        """Whether no fault was found."""
        return not self.faults

    def to_json(self) -> dict[str, Any]:
        """Return counts, faults and notes as plain values."""
        return {**self.__dict__, "faults": [fault.to_json() for fault in self.faults], "clean": self.clean}


@dataclass
class _Found:
    """What a verification found so far."""

    faults: list[Fault]
    rows: int = 0
    masks: int = 0
    images: int = 0
    files: int = 0
    unchecked: int = 0


@dataclass
class _Table:
    """A table of a run: its parts, and what was found so far.

    ``partial`` are the parts that may leave pairs of masks out, ``declared`` the ids of each mask's class sets;
    ``whole`` says whether all masks are there, and ``more`` how many rows of a kind of statistics are wrong beyond
    those that are named.
    """

    members: Sequence[tuple[Seal, Part]]
    partial: Collection[str]
    declared: Mapping[Place, npt.NDArray[np.int64]]
    whole: bool
    more: dict[str, int] = field(default_factory=dict)


def verify(
    layout: Layout, *, processes: int = 1, tick: Callable[[int, int], None] = lambda _done, _all: None
) -> Verified:
    """Check every file of a store, and return all that is wrong.

    Parameters
    ----------
    layout : Layout
        The store.
    processes : int, optional
        How many processes check. More than one are started anew, so a program that asks for them guards its
        main module as :mod:`multiprocessing` says.
    tick : callable, optional
        Is told how many bytes were checked, and of how many.
    """
    files = layout.files
    found = _Found(check_documents(files))
    seals, faults = read_seals(files)
    found.faults += faults
    dead = {path for seal in seals.values() for path in seal.replaces}
    live = [seal for path, seal in seals.items() if path not in dead]
    live.sort(key=lambda seal: (seal.run_id, seal.place, seal.seal))
    named: dict[str, str] = {}
    for seal in live:
        for part in seal.parts:
            if named.setdefault(part.path, seal.path) != seal.path:
                found.faults.append(Fault(seal.path, f"{part.path} is a part of {named[part.path]} too"))
    sizes = sum(part.bytes for seal in live for part in seal.parts)
    with _pool(processes) as pool:
        _Verification(files, found, pool, processes, tick, 2 * sizes).run(live)
    found.faults += waiting_faults(files)
    strange = strange_faults(files)
    named_there = {fault.file for fault in strange}
    found.faults = strange + [fault for fault in found.faults if fault.file not in named_there]
    notes = []
    if not any(kind_of(fault.file) == SEALS for fault in found.faults):
        notes = notes_of(layout)
    return Verified(**vars(found), notes=notes, seals=len(live), parts=len(named), bytes=sizes)


@contextlib.contextmanager
def _pool(processes: int) -> Iterator[Executor | None]:
    if processes < 2:
        yield None
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    # begun anew: a fork would take along locks that other threads hold
    context, limit = get_context("spawn"), (max_mask_pixels(),)
    with ProcessPoolExecutor(processes, context, set_max_mask_pixels, limit) as pool:
        yield pool


class _Verification:
    """One pass over the parts of the live seals."""

    def __init__(
        self,
        files: Folder,
        found: _Found,
        pool: Executor | None,
        processes: int,
        tick: Callable[[int, int], None],
        total: int,
    ) -> None:
        self.files, self.found, self.pool, self.ahead = files, found, pool, 4 * processes
        self._tick, self._done, self._total = tick, 0, total
        self.bad: set[str] = set()

    def run(self, live: Sequence[Seal]) -> None:
        parts = [part for seal in live for part in seal.parts]
        for part, faults in self._all((part, partial(check_part, self.files, part)) for part in parts):
            self.found.faults += faults
            self.bad |= {part.path} if faults else set()
            self._advance(part.bytes)
        counted = with_parts(live)
        held = self._images([part for _, found in counted for part in found if part.kind == "images"])
        tables: dict[tuple[str, str], list[tuple[Seal, Part]]] = {}
        for seal, found in counted:
            for part in found:
                if part.table is not None:
                    tables.setdefault((seal.run_id, part.table), []).append((seal, part))
                elif part.kind == "history":
                    tables.setdefault((seal.run_id, ""), []).append((seal, part))
        for (_, table), members in tables.items():
            if table:
                scores = [part for _, part in members if part.kind == PIXEL_SCORES]
                others = [(seal, part) for seal, part in members if part.kind != PIXEL_SCORES]
                if others:
                    self._table(others, held)
                self._later([part for part in scores if part.path not in self.bad], [part for _, part in others])
            else:
                self._history([part for _, part in members])
        of_files = [part for _, found in counted for part in found if part.kind in FILE_KINDS]
        self._blobs([part for part in of_files if part.path not in self.bad])
        for part in of_files:
            self._advance(part.bytes)

    def _advance(self, size: int) -> None:
        self._done += size
        self._tick(self._done, self._total)

    def _all(self, tasks: Iterable[tuple[Any, Callable[[], Any]]]) -> Iterator[tuple[Any, Any]]:
        """Yield each task's name and result, in order; few wait at a time."""
        if self.pool is None:
            yield from ((name, task()) for name, task in tasks)
            return
        waiting: deque[tuple[Any, Future[Any]]] = deque()
        for name, task in tasks:
            waiting.append((name, self.pool.submit(task)))
            if len(waiting) > self.ahead:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()

    def _images(self, parts: Sequence[Part]) -> Digests:
        """Check the images, and return their digests."""
        held = Digests()
        some = (some for part in parts for some in together(groups_of(self.files, part), None, TASK_BYTES))
        tasks = (
            (sum(g.bytes for g in one), partial(check_images, self.files, one[0].part.path, [g.number for g in one]))
            for one in some
        )
        pictures: Pictures
        for size, pictures in self._all(tasks):
            held.add(pictures.digests)
            # bytes that were altered are named by the image they belong to
            self.found.faults += pictures.faults
            self.found.images += pictures.digests.shape[0]
            self.found.unchecked += pictures.unchecked
            self._advance(size)
        return held

    def _history(self, parts: Sequence[Part]) -> None:
        rows: dict[str, npt.NDArray[np.int64]] = {}
        for part in parts:
            if part.path not in self.bad:
                with pq.ParquetFile(self.files.checked(part.path)) as file:
                    rows[part.path] = file.read(columns=["_row"])["_row"].to_numpy()
                    if "form" in file.schema_arrow.names:
                        self.found.faults += form_faults(part.path, file.read(columns=["_row", "text", "form"]))
            self._advance(part.bytes)
        self._unique(rows)

    def _unique(self, rows: Mapping[str, npt.NDArray[np.int64]]) -> None:
        """Name each number that two rows have."""
        missing = [path for path, found in rows.items() if found.dtype.kind not in "iu"]
        if missing:
            self.found.faults.append(Fault(missing[0], "a row has no whole number", column="_row"))
            return
        if not rows:
            return
        numbers = np.concatenate(list(rows.values()))
        distinct, counts = np.unique(numbers, return_counts=True)
        for number in distinct[counts > 1][:NAMED].tolist():
            files = [path for path, found in rows.items() if (found == number).any()]
            self.found.faults.append(
                Fault(files[-1], f"{len(files)} parts or more rows have this number", number, "_row")
            )

    # --- files ------------------------------------------------------------------------------

    def _blobs(self, parts: Sequence[Part]) -> None:
        """Check that what parts say of files is so, and the bytes of the files."""
        named, faults = check_files(self.files, parts)
        self.found.faults += faults
        tasks = ((digest, partial(check_blob, self.files, digest, *place)) for digest, place in sorted(named.items()))
        for _, problems in self._all(tasks):
            self.found.faults += problems
            self.found.files += 1

    # --- tables -----------------------------------------------------------------------------

    def _table(self, members: Sequence[tuple[Seal, Part]], held: Digests) -> None:
        """Check the rows of one table of one run, and its statistics against them: some rows after others."""
        rows_parts = [part for _, part in members if part.kind == "rows"]
        statistics = [part for _, part in members if part.kind != "rows"]
        bad = {part.kind for part in statistics if part.path in self.bad}
        # which classes a mask has follows from class_pixels, and so does all else
        broken = bad if "class_pixels" not in bad else {*BY_ROW, *TOTALS}
        partial_parts = {part.path for seal, part in members if has_left_out(seal.version)}
        if any(_unscored(seal) for seal, _ in members):
            broken = broken | {"scores", "class_scores"}
        if partial_parts and "scores" in bad:
            broken = broken | {*BY_ROW, *TOTALS} - {"class_pixels", "class_totals"}  # which pairs count follows from it
        good = [part for part in statistics if part.path not in self.bad]
        groups = [one for part in (*rows_parts, *good) for one in groups_of(self.files, part)]
        counted: dict[str, Sums] = {}
        whole = not any(part.path in self.bad for part in rows_parts)
        found = _Table(members, partial_parts, declared_in(self.files, rows_parts), whole)
        for window in windows([group for group in groups if group.part.kind == "rows"]):
            for kind, sums in self._window(window, groups, broken, found, held).items():
                counted[kind] = joined([counted[kind], sums]) if kind in counted else sums
        for kind, more in found.more.items():
            if more > 0:
                file = next((part.path for part in statistics if part.kind == kind), rows_parts[0].path)
                self.found.faults.append(Fault(file, f"and {more} more rows whose {kind} are wrong"))
        if found.whole:
            stored = self._scan([group for group in groups if group.part.kind in TOTALS], EVERY, found)[0]
            for kind in (kind for kind in TOTALS if kind not in broken):
                file = next((part.path for part in statistics if part.kind == kind), members[0][1].path)
                self.found.faults += [
                    Fault(file, f"the sums of step {step} are not those of the masks")
                    for step in differing(stored.get(kind), counted.get(kind))[:NAMED].tolist()
                ]

    def _window(
        self, window: tuple[int, int], groups: Sequence[Group], broken: Collection[str], table: _Table, held: Digests
    ) -> dict[str, Sums]:
        """Check some rows of a table, and return the sums of their totals."""
        near = [group for group in groups if group.meets(window)]
        stored, listed = self._scan([group for group in near if group.part.kind in BY_ROW], window, table)
        scored = self._scored([group for group in near if group.part.kind == "scores"], window, table.partial)
        counted: dict[str, list[Sums]] = {}
        places: dict[str, list[npt.NDArray[np.int64]]] = {}
        odd: set[int] = set()
        found: RowsFound
        tasks = self._row_tasks([group for group in near if group.part.kind == "rows"], listed, scored, table.partial)
        for (path, size), found in self._all(tasks):
            places.setdefault(path, []).append(found.rows)
            for kind, sums in found.sums.items():
                counted.setdefault(kind, []).append(sums)
            self.found.faults += found.faults
            self.found.rows += found.rows.size
            self.found.masks += found.masks
            odd |= found.broken
            self._refer(path, found, held)
            self._advance(size)
        rows = {path: np.concatenate(some) for path, some in places.items()}
        self._unique(rows)
        table.whole = table.whole and not odd
        known = np.concatenate(list(rows.values())) if rows else np.zeros(0, np.int64)
        for kind in BY_ROW:
            if kind not in broken:
                wrong = differing(stored.get(kind), joined(counted[kind]) if kind in counted else None)
                if not table.whole:
                    wrong = wrong[np.isin(wrong, known) & ~np.isin(wrong, list(odd))]
                self._name(kind, wrong, table, rows, (listed, scored))
        return {kind: joined(some) for kind, some in counted.items() if kind in TOTALS}

    def _scan(
        self, groups: Sequence[Group], window: tuple[int, int], table: _Table
    ) -> tuple[dict[str, Sums], dict[Place, Listed]]:
        """Return the sums of a table's statistics, and what classes they list."""
        stored: dict[str, list[Sums]] = {}
        listed: dict[Place, list[Listed]] = {}
        tasks = (
            (group, partial(scan, self.files, group.part.path, group.part.kind, [group.number], window, table.declared))
            for group in groups
        )
        for group, (sums, names) in self._all(tasks):
            if sums is not None:
                stored.setdefault(group.part.kind, []).append(sums)
            for key, one in names.items():
                listed.setdefault(key, []).append(one)
            if group.low >= window[0]:  # else it was counted with the rows before
                self._advance(group.bytes)
        union = {key: Listed.union(some) for key, some in listed.items()}
        return {kind: joined(some) for kind, some in stored.items()}, union

    def _scored(self, groups: Sequence[Group], window: tuple[int, int], partial_parts: Collection[str]) -> Scored:
        """Return which pairs of masks parts of scores list that may leave some out."""
        columns = ["_row", "image_column", "truth_key", "prediction_key"]

        def tables() -> Iterator[pa.Table]:
            for group in groups:
                if group.part.path in partial_parts:
                    with pq.ParquetFile(self.files.checked(group.part.path)) as file:
                        yield file.read_row_group(group.number, columns=columns)

        return Scored.of(tables()).between(*window)

    def _row_tasks(
        self,
        groups: Sequence[Group],
        listed: Mapping[Place, Listed],
        scored: Scored,
        partial_parts: Collection[str],
    ) -> Iterator[tuple[tuple[str, int], Callable[[], RowsFound]]]:
        for some in together(groups, TASK_ROWS, TASK_BYTES):
            part, numbers = some[0].part, [group.number for group in some]
            low, high = min(group.low for group in some), max(group.high for group in some)
            near = {key: one.between(low, high) for key, one in listed.items()}
            pairs = scored.between(low, high) if part.path in partial_parts else None
            size = sum(group.bytes for group in some)
            yield (part.path, size), partial(check_rows, self.files, part.path, numbers, near, pairs)

    def _refer(self, path: str, found: RowsFound, held: Digests) -> None:
        """Name each row that refers to an image that is not there."""
        for column, (rows, wanted) in found.images.items():
            missing = rows[~held.has(wanted)]
            for row in missing[:NAMED].tolist():
                self.found.faults.append(Fault(path, "the store does not hold its image", row, column))

    def _later(self, scores: Sequence[Part], parts: Sequence[Part]) -> None:
        """Check that scores that were computed later are of rows that the table has."""
        if not scores:
            return
        rows = [part.path for part in parts if part.kind == "rows" and part.path not in self.bad]
        known = np.concatenate([np.zeros(0, np.int64), *map(self._row_numbers, rows)])
        for part in scores:
            found = np.unique(self._row_numbers(part.path))
            if found.dtype.kind not in "iu":
                self.found.faults.append(Fault(part.path, "a score is of no row", column="_row"))
                continue
            if any(part.kind == "rows" and part.path in self.bad for part in parts):
                found = found[:0]  # a row may be one of those
            for row in found[~np.isin(found, known)][:NAMED].tolist():
                self.found.faults.append(
                    Fault(part.path, "it has a score of a row that the table has not", row, "_row")
                )
            self._advance(part.bytes)

    def _row_numbers(self, path: str) -> npt.NDArray[np.int64]:
        with pq.ParquetFile(self.files.checked(path)) as file:
            numbers: npt.NDArray[np.int64] = file.read(columns=["_row"])["_row"].to_numpy()
        return numbers

    # --- comparing --------------------------------------------------------------------------

    def _name(
        self,
        kind: str,
        wrong: npt.NDArray[np.int64],
        table: _Table,
        rows: Mapping[str, npt.NDArray[np.int64]],
        known: tuple[Mapping[Place, Listed], Scored],
    ) -> None:
        """Name what the stored statistics of a kind and those by the masks do not share, of a table's first rows."""
        files = [part.path for _, part in table.members if part.kind == kind] or list(rows)
        left = table.more.get(kind, -NAMED)
        for row in wrong[: max(0, -left)].tolist():
            self.found.faults += list(self._explain(kind, row, files, table, rows, known))
        table.more[kind] = left + wrong.size

    def _explain(
        self,
        kind: str,
        row: int,
        files: Sequence[str],
        table: _Table,
        rows: Mapping[str, npt.NDArray[np.int64]],
        known: tuple[Mapping[Place, Listed], Scored],
    ) -> Iterator[Fault]:
        """Yield what is wrong with the statistics of one row, by image column and mask."""
        mine = [
            (path, entry)
            for path in files
            if kind_of(path) == kind
            for entry in pq.read_table(
                self.files.checked(path), filters=[("_row", "==", row)], partitioning=None
            ).to_pylist()
        ]
        theirs: list[dict[str, Any]] = []
        listed, scored = known
        for path, numbers in rows.items():
            if (numbers == row).any():
                one = pq.read_table(self.files.checked(path), filters=[("_row", "==", row)], partitioning=None)
                columns = columns_of(pq.read_schema(self.files.checked(path)), path)
                made = dict(tables_of(one, columns, listed, [], scored if path in table.partial else None))
                theirs += made[kind].to_pylist() if kind in made else []
        file = mine[0][0] if mine else files[0]
        left, right = {_entry(entry) for _, entry in mine}, {_entry(entry) for entry in theirs}
        places = sorted({place for place, _ in left ^ right})
        if not places:
            yield Fault(file, f"its {kind} are not those of its masks", row)
        for column, *masks in places:
            yield Fault(file, f"its {kind} are not those of its masks", row, column, " and ".join(masks))


def _entry(entry: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    keys = [
        name
        for name in ("image_column", "mask_key", "mask_a", "mask_b", "truth_key", "prediction_key")
        if name in entry
    ]
    rest = tuple(value for name, value in sorted(entry.items()) if name not in keys and name not in MEANS)
    return tuple(str(entry[name]) for name in keys), rest


def _unscored(seal: Seal) -> bool:
    """Whether a seal is of a version that has no scores, or of one that may have others."""
    return tuple(map(int, seal.version.split(".")[:2])) < (1, 1) or is_newer(seal.version)
