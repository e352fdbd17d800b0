"""Commits: what waits becomes parts, and then the seals that make them the store's."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pyarrow as pa

from maskl_storage.catalog.layout import Layout
from maskl_storage.catalog.listing import SealCache, list_generations, write_seal
from maskl_storage.cells.class_pixels import add_totals
from maskl_storage.disk.futures import Job, Pool
from maskl_storage.disk.parquet import write_part
from maskl_storage.format.document import (
    COLUMN_ROLES,
    FRAME_FORMATS,
    HISTORY_FORMS,
    PAIRS_LEFT_OUT,
    SEGMENTED,
    WITH_FILES,
    WRITTEN,
)
from maskl_storage.format.paths import part_path
from maskl_storage.format.schemas import FIXED, FORMED, TOTALS
from maskl_storage.format.seals import Part, Seal
from maskl_storage.images.digests import Digests
from maskl_storage.images.writer import ImageBytes, ImagePart, stored_formats
from maskl_storage.merge.leftovers import being_compacted
from maskl_storage.write._batches import build
from maskl_storage.write.pending import HistoryRow, Pending

__all__ = ["Commit", "Committer", "NewImages", "seals_of"]


@dataclass(frozen=True, slots=True)
class Commit:
    """Seals whose parts are written, and the number of the seal after them."""

    seals: tuple[Seal, ...]
    next: int


class NewImages:
    """Images that no seal holds yet: in memory, and in a part that is written as they come.

    Parameters
    ----------
    committer : Committer
        What says where the part lies.
    """

    def __init__(self, committer: Committer) -> None:
        self._committer = committer
        self._part: ImagePart | None = None
        #: by the format of the file
        self._stored: dict[str, Digests] | None = None
        #: kept until a seal holds them, so that a failed write loses nothing
        self.waiting: dict[str, ImageBytes] = {}

    @property
    def newer(self) -> bool:
        """Whether one of those that wait makes a seal of version 1.2."""
        return any(image.is_newer for image in self.waiting.values())

    def format_of(self, digest: str) -> str | None:
        """Return the format of an image that is in the store, or will be with the next seal; None where it is not."""
        if self._stored is None:
            layout = self._committer.layout
            besides = being_compacted(layout.files)  # before it is listed what there is
            self._stored = stored_formats(layout.files, layout.listing(), besides)
        if digest in self.waiting:
            return self.waiting[digest].format
        return next((form for form, digests in self._stored.items() if digest in digests), None)

    def add(self, image: ImageBytes, seal: int) -> None:
        """Take an image, for a seal of this number."""
        if self._part is None and not self.waiting:
            with contextlib.suppress(OSError, pa.ArrowException):  # without it the seal writes them all
                self._part = self._committer.image_part(seal)
        part = self._part
        self.waiting[image.digest] = image
        if part is not None and part.images >= 0:  # else it was ended, and what ended it was interrupted
            try:
                part.add(image)
            except (OSError, pa.ArrowException):
                self._let_go()

    def finish(self, seal: int) -> Part:
        """Return the part that holds them all."""
        if self._part is not None and self._part.images == len(self.waiting):
            with contextlib.suppress(OSError, pa.ArrowException):
                return self._part.finish()
        self._let_go()
        part = self._part = self._committer.image_part(seal)
        for image in self.waiting.values():
            part.add(image)
        return part.finish()

    def sealed(self) -> None:
        """Forget them: a seal holds them now."""
        if self._stored is not None:
            for image in self.waiting.values():
                self._stored.setdefault(image.format, Digests()).update([image.digest])
        self.waiting, self._part = {}, None

    def start_over(self) -> None:
        """Take nothing for stored that is in memory, and look anew at what the store holds."""
        self._let_go()
        self._stored = None

    def _let_go(self) -> None:
        """Remove what was written of the part; the seal writes them all."""
        if self._part is not None:
            self._part.abandon()
        self._part = None


class Committer:
    """Writes the parts and seals of one writer of a run.

    Parameters
    ----------
    layout : Layout
        The store.
    run_id : str
        The run.
    writer : int
        The writer's number in it.
    sync : bool
        Whether everything is on the disk before what builds on it is written.
    """

    def __init__(self, layout: Layout, run_id: str, writer: int, *, sync: bool = False) -> None:
        self.layout, self.run_id, self.writer, self.sync = layout, run_id, writer, sync
        self._cache: SealCache = {}
        self._behind = _OneBehind()

    def image_part(self, seal: int) -> ImagePart:
        """Return the images part of a seal, to be written."""
        return ImagePart(self.layout.files, self._path("images", None, seal), sync=self.sync)

    def generations(self, tables: Iterable[str], replaced: set[str]) -> dict[str, int]:
        """Return the generation in which a commit now would write each table."""
        tables = list(tables)
        known = list_generations(self.layout.files, self.run_id, self._cache) if tables else {}
        return {name: known.get(name, -1) + 1 if name in replaced else known.get(name, 0) for name in tables}

    def write_parts(
        self,
        seal: int,
        tables: Mapping[str, Iterable[Pending]],
        generations: Mapping[str, int],
        history: Sequence[HistoryRow],
        images: NewImages,
    ) -> Commit:
        """Write the parts of a commit, and return what :meth:`publish` makes the store's.

        There is one seal for each generation among the tables, and behind them one of a history with JSON in it, so
        that the version of that is no other part's. A table's second part in one commit bears the number that the next
        seal would have had.
        """
        parts: dict[int, list[Part]] = {next(iter(generations.values()), 0): []}
        versions: dict[int, str] = {}
        own: list[Part] = []
        first = next(iter(parts.values()))
        most = 1
        behind = self._behind.again()
        try:
            if images.waiting:
                first.append(images.finish(seal))
                if images.newer:
                    versions[next(iter(parts))] = FRAME_FORMATS
            formed = _has_forms(history)
            apart = seals_of(generations, history) - 1 if formed else 0
            if history:
                (own if apart else first).append(
                    self._write("history", None, seal + apart, _history_table(history, formed=formed))
                )
            for name, generation in generations.items():
                found = parts.setdefault(generation, [])
                totals: dict[str, list[pa.Table]] = {}
                for number, pending in enumerate(tables[name]):
                    most = max(most, number + 1)
                    batch = pending.batch()
                    if batch.leaves_pairs_out:
                        versions[generation] = PAIRS_LEFT_OUT
                    elif batch.has_segments:
                        versions[generation] = SEGMENTED
                    elif batch.has_roles:
                        versions.setdefault(generation, COLUMN_ROLES)
                    for kind, table in build(batch):
                        if kind in TOTALS:
                            totals.setdefault(kind, []).append(table)
                        else:
                            behind.run(partial(self._write, kind, name, seal + number, table), found)
                for kind, some in totals.items():
                    behind.run(partial(self._write, kind, name, seal, add_totals(some, kind)), found)
            behind.wait()
        except BaseException:
            behind.end()
            self._remove(part.path for found in [*parts.values(), own] for part in found)
            raise
        seals = [
            Seal(
                *(self.run_id, self.writer, seal + number, tuple(found), generation),
                version=versions.get(generation, WRITTEN),
            )
            for number, (generation, found) in enumerate(parts.items())
        ]
        if own:
            seals.append(Seal(self.run_id, self.writer, seal + apart, tuple(own), version=HISTORY_FORMS))
        elif formed:
            seals = [replace(seals[0], version=HISTORY_FORMS)]
        return Commit(tuple(seals), seal + max(len(seals), most))

    def write_alone(self, seal: int, tables: Mapping[str, pa.Table]) -> Commit:
        """Write parts that say which files there are, and return what :meth:`publish` makes the store's."""
        parts: list[Part] = []
        try:
            for kind, table in tables.items():
                parts.append(self._write(kind, None, seal, table))
        except BaseException:
            self._remove(part.path for part in parts)
            raise
        made = Seal(self.run_id, self.writer, seal, tuple(parts), version=WITH_FILES)
        return Commit((made,), seal + 1)

    def publish(self, commit: Commit) -> None:
        """Write the seals of a commit, after which its parts are the store's: all of them, or after an OSError none."""
        try:
            for made in commit.seals:
                write_seal(self.layout.files, made, sync=self.sync)
        except OSError:
            self._remove(made.path for made in reversed(commit.seals))  # those that are there already
            raise

    def publish_rest(self, commit: Commit) -> bool:
        """Bring to its end what interrupted :meth:`publish`, and return whether the commit is the store's."""
        there = [self.layout.files.exists(made.path) for made in commit.seals]
        if any(there) and not all(there):
            self.publish(commit)
        return any(there)

    def _remove(self, paths: Iterable[str]) -> None:
        for path in paths:
            self.layout.files.remove(path)

    def _write(self, kind: str, table: str | None, seal: int, data: pa.Table) -> Part:
        return write_part(self.layout.files, self._path(kind, table, seal), data, sync=self.sync)

    def _path(self, kind: str, table: str | None, seal: int) -> str:
        return part_path(kind, self.run_id, table, self.writer, seal)


class _OneBehind:
    """Writes parts on another thread, each while the next one is made."""

    def __init__(self) -> None:
        self._pool = Pool(1)
        self._running: tuple[Job[Part], list[Part]] | None = None

    def again(self) -> _OneBehind:
        """Begin a commit. What an interrupted one may have left running ends first: it writes files of these names."""
        self.end()
        return self

    def end(self) -> None:
        """Wait for what runs, whatever comes of it."""
        running = self._running
        self._pool.end()
        if running is not None:
            with contextlib.suppress(Exception):  # whatever comes of it
                running[1].append(running[0].result())
        self._running = None

    def run(self, write: Callable[[], Part], parts: list[Part]) -> None:
        """Write a part, which is appended to ``parts`` when it is there; raises what went wrong with the last."""
        self._take()
        try:
            self._running = self._pool.submit(write), parts
        except RuntimeError:  # the interpreter is shutting down: no thread takes new work
            parts.append(write())

    def wait(self) -> None:
        """Wait for the last part, and end the thread."""
        self._take()
        self.end()

    def _take(self) -> None:
        if self._running is not None:
            written, parts = self._running
            try:
                part = written.result()
            except (OSError, pa.ArrowException, MemoryError):
                self._running = None
                raise
            self._running = None
            parts.append(part)


def seals_of(generations: Mapping[str, int], history: Sequence[HistoryRow]) -> int:
    """Return how many seals a commit has."""
    apart = bool(generations) and _has_forms(history)
    return max(1, len(set(generations.values()))) + apart


def _has_forms(history: Sequence[HistoryRow]) -> bool:
    return any(row[-1] is not None for row in history)


def _history_table(rows: Sequence[HistoryRow], *, formed: bool) -> pa.Table:
    schema = FORMED if formed else FIXED["history"]
    columns: Iterable[list[Any]] = map(list, zip(*rows, strict=True))
    return pa.table(dict(zip(schema.names, columns, strict=False)), schema=schema)
