"""Scores of one table of one run, committed batch by batch beside the rows that they are of."""

from __future__ import annotations

from types import TracebackType
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from maskl_storage.catalog.layout import Layout
from maskl_storage.catalog.listing import damaged_seals, live_seals, with_parts, write_seal
from maskl_storage.disk.atomic import storage_error
from maskl_storage.disk.local import folder_of
from maskl_storage.disk.locks import FileLock, LocksUnsupported
from maskl_storage.disk.parquet import DEFAULT_ROW_GROUP, open_part, write_part
from maskl_storage.errors import CorruptData, NotFound, StateError
from maskl_storage.format.document import SCORED_LATER
from maskl_storage.format.paths import PIXEL_SCORES, SCORER, lock_path, part_path, place_of, run_folder_patterns
from maskl_storage.format.schemas import FIXED
from maskl_storage.format.seals import Part, Seal
from maskl_storage.merge.leftovers import free_numbers, sweep_replaced
from maskl_storage.merge.rewrite import AT_ONCE, lanes, merge, mergeable

__all__ = ["ScoreWriter", "Superseded"]

#: what says that a value is of a metric with its parameters, of a pair of masks
PAIR: Final = ("image_column", "truth_key", "prediction_key", "metric", "version", "params")


class Superseded(StateError):
    """The rows that were scored are not the table's any more: it was logged anew, or deleted."""


class ScoreWriter:
    """Commits scores of a table of a run; nobody else scores, merges or deletes the run meanwhile.

    Parameters
    ----------
    layout : Layout
        The store.
    run_id, table : str
        Whose rows are scored.

    Raises
    ------
    NotFound
        The run has no such table.
    StateError
        Another process scores or merges the run, or locks do not work here.
    CorruptData
        A seal of the run is damaged.
    """

    def __init__(self, layout: Layout, run_id: str, table: str) -> None:
        self.layout, self.run_id, self.table = layout, run_id, table
        self._lock = FileLock(layout.files, lock_path(run_id, SCORER))
        try:
            layout.files.make_folder(folder_of(self._lock.path))
            locked = self._lock.acquire()
        except LocksUnsupported as error:
            raise StateError(
                f"nobody can keep processes apart that score one run, since locks do not work in {layout.root}: copy "
                f"the store to a disk where they do"
            ) from error
        except OSError as error:
            raise storage_error(error, f"scores of run {run_id!r}", layout.root) from error
        if not locked:
            raise StateError(f"run {run_id!r} is being scored or compacted by another process: wait until that ends")
        try:
            self.generation = self._generation()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> ScoreWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let others score, merge and delete the run."""
        self._lock.release(remove=True)

    def rows(self) -> npt.NDArray[np.int64]:
        """Return the ``_row`` of every row of the table that is sealed, in order."""
        return self._numbers("rows", None)

    def scored(
        self, image: str, truth: str, prediction: str, metric: str, version: str, params: str
    ) -> npt.NDArray[np.int64]:
        """Return the ``_row`` of every row with a score of a metric with these parameters, or with none to be had.

        Parameters
        ----------
        image : str
            The stored name of the image column.
        truth, prediction : str
            The keys of the masks.
        metric, version : str
            The metric's name, and which way it is computed.
        params : str
            Its parameters as JSON text.
        """
        wanted = dict(zip(PAIR, (image, truth, prediction, metric, version, params), strict=True))
        return self._numbers(PIXEL_SCORES, wanted)

    def commit(self, scores: pa.Table) -> None:
        """Write scores; when it returns they are the store's.

        Parameters
        ----------
        scores : pyarrow.Table
            Columns of *pixel_scores*, in any order of rows.

        Raises
        ------
        Superseded
            The table was logged anew meanwhile, or is gone: nothing was written.
        StorageError
            They cannot be written.
        """
        if not scores.num_rows:
            return
        if self._generation() != self.generation:
            raise Superseded(f"table {self.table!r} of run {self.run_id!r} was logged anew while it was scored")
        files, number = self.layout.files, self._next()
        scores = scores.select(FIXED[PIXEL_SCORES].names).cast(FIXED[PIXEL_SCORES]).sort_by("_row")
        parts: list[Part] = []
        seal: Seal | None = None
        try:
            parts.append(self._write(PIXEL_SCORES, number, scores))
            # readers that know nothing of scores keep a seal that names a part which they know
            parts.append(self._write("history", number, FIXED["history"].empty_table()))
            seal = Seal(self.run_id, SCORER, number, tuple(parts), self.generation, version=SCORED_LATER)
            write_seal(files, seal)
        except BaseException as error:
            if seal is None or not files.exists(seal.path):  # once it is there, what it names is the store's
                for part in parts:
                    files.remove(part.path)
            if isinstance(error, OSError):
                raise storage_error(error, f"scores of table {self.table!r}", self.layout.root) from error
            raise

    def merge(self) -> None:
        """Make one seal of those that were committed, as far as they fit in one; what they replaced goes in time."""
        while pieces := [lane for lane in lanes(mergeable(self.layout, self.run_id, {SCORER})) if len(lane) > 1]:
            for lane in pieces:
                merge(self.layout, lane[:AT_ONCE], SCORER, free_numbers(self.layout, self.run_id, SCORER))
        sweep_replaced(self.layout, self.run_id, SCORER)

    def _generation(self) -> int:
        if damaged := damaged_seals(self.layout.files, self.layout.seal_cache, self.run_id):
            raise CorruptData(
                f"run {self.run_id!r} is not scored, since nobody knows what {', '.join(damaged)} commits"
            )
        live = with_parts(live_seals(self.layout.files, self.layout.seal_cache, self.run_id))
        found = [seal.generation for seal, parts in live for part in parts if self._is_mine(part, "rows")]
        if not found:
            raise NotFound(f"run {self.run_id!r} has no table {self.table!r} with rows that are sealed")
        return max(found)

    def _is_mine(self, part: Part, kind: str) -> bool:
        return part.kind == kind and part.table == self.table

    def _numbers(self, kind: str, wanted: dict[str, str] | None) -> npt.NDArray[np.int64]:
        found = [np.zeros(0, np.int64)]
        live = with_parts(live_seals(self.layout.files, self.layout.seal_cache, self.run_id))
        for part in (part for _, parts in live for part in parts if self._is_mine(part, kind)):
            with open_part(self.layout.files, part) as file:
                for batch in file.iter_batches(DEFAULT_ROW_GROUP, columns=["_row", *(wanted or ())]):
                    rows = batch["_row"].to_numpy()
                    for name, value in (wanted or {}).items():
                        rows_of = pc.equal(batch[name], value).fill_null(False).to_numpy(zero_copy_only=False)
                        batch = batch.filter(pa.array(rows_of))
                        rows = batch["_row"].to_numpy()
                    found.append(rows)
        numbers: npt.NDArray[np.int64] = np.concatenate(found)
        return numbers if wanted is None else np.unique(numbers)

    def _next(self) -> int:
        """Return a number above those of all seals and parts of scores of the run."""
        taken = [-1]
        for folder in run_folder_patterns("*", self.run_id):
            places = (place_of(path) for path in self.layout.files.glob(f"{folder}/{SCORER}-*"))
            taken += [place.seal for place in places if place is not None and place.seal is not None]
        return max(taken) + 1

    def _write(self, kind: str, number: int, data: pa.Table) -> Part:
        return write_part(self.layout.files, part_path(kind, self.run_id, self.table, SCORER, number), data)
