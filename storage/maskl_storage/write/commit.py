"""Commits: what waits becomes parts, and then the seals that make them the store's."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pyarrow as pa

from maskl_storage.catalog.layout import Layout
from maskl_storage.catalog.listing import SealCache, list_generations, write_seal
from maskl_storage.cells.class_pixels import add_totals
from maskl_storage.disk.parquet import write_part
from maskl_storage.format.paths import part_path
from maskl_storage.format.schemas import FIXED, TOTALS
from maskl_storage.format.seals import Part, Seal
from maskl_storage.images.digests import Digests
from maskl_storage.images.writer import ImageBytes, ImagePart, stored_digests
from maskl_storage.write._batches import build
from maskl_storage.write.pending import HistoryRow, Pending

__all__ = ["Committer", "NewImages"]


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
        self._stored: Digests | None = None
        #: kept until a seal holds them, so that a failed write loses nothing
        self.waiting: dict[str, ImageBytes] = {}

    def holds(self, digest: str) -> bool:
        """Whether an image is in the store, or will be with the next seal."""
        if self._stored is None:
            layout = self._committer.layout
            self._stored = stored_digests(layout.files, layout.listing())
        return digest in self._stored or digest in self.waiting

    def add(self, image: ImageBytes, seal: int) -> None:
        """Take an image, for a seal of this number."""
        if self._part is None and not self.waiting:
            with contextlib.suppress(OSError, pa.ArrowException):  # without it the seal writes them all
                self._part = self._committer.image_part(seal)
        self.waiting[image.digest] = image
        if self._part is not None:
            try:
                self._part.add(image)
            except (OSError, pa.ArrowException):
                self._part.abandon()
                self._part = None

    def finish(self, seal: int) -> Part:
        """Return the part that holds them all."""
        part, self._part = self._part, None
        if part is not None:
            with contextlib.suppress(OSError, pa.ArrowException):
                return part.finish()
        part = self._committer.image_part(seal)
        for image in self.waiting.values():
            part.add(image)
        return part.finish()

    def sealed(self) -> None:
        """Forget them: a seal holds them now."""
        if self._stored is not None:
            self._stored.update(self.waiting)
        self.waiting = {}

    def start_over(self) -> None:
        """Take nothing for stored that is in memory, and look anew at what the store holds."""
        if self._part is not None:
            self._part.abandon()
        self._part = self._stored = None


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

    def image_part(self, seal: int) -> ImagePart:
        """Return the images part of a seal, to be written."""
        return ImagePart(self.layout.files, self._path("images", None, seal), sync=self.sync)

    def generations(self, tables: Iterable[str], replaced: set[str]) -> dict[str, int]:
        """Return the generation in which a commit now would write each table."""
        tables = list(tables)
        known = list_generations(self.layout.files, self.run_id, self._cache) if tables else {}
        return {name: known.get(name, -1) + 1 if name in replaced else known.get(name, 0) for name in tables}

    def commit(
        self,
        seal: int,
        tables: Mapping[str, Iterable[Pending]],
        generations: Mapping[str, int],
        history: Sequence[HistoryRow],
        images: NewImages,
    ) -> int:
        """Write parts, then the seals that commit them, and return the number of the next seal.

        There is one seal for each generation among the tables. A table's second part in one commit
        bears the number that the next seal would have had.
        """
        parts: dict[int, list[Part]] = {next(iter(generations.values()), 0): []}
        first = next(iter(parts.values()))
        most = 1
        try:
            if images.waiting:
                first.append(images.finish(seal))
            if history:
                first.append(self._write("history", None, seal, _history_table(history)))
            with _OneBehind() as behind:
                for name, generation in generations.items():
                    found = parts.setdefault(generation, [])
                    totals: dict[str, list[pa.Table]] = {}
                    for number, pending in enumerate(tables[name]):
                        most = max(most, number + 1)
                        for kind, table in build(pending.batch()):
                            if kind in TOTALS:
                                totals.setdefault(kind, []).append(table)
                            else:
                                behind.run(partial(self._write, kind, name, seal + number, table), found)
                    for kind, some in totals.items():
                        behind.run(partial(self._write, kind, name, seal, add_totals(some, kind)), found)
        except BaseException:
            for part in (part for found in parts.values() for part in found):
                self.layout.files.remove(part.path)
            raise
        seals = [
            Seal(self.run_id, self.writer, seal + number, tuple(found), generation)
            for number, (generation, found) in enumerate(parts.items())
        ]
        try:
            for made in seals:
                write_seal(self.layout.files, made, sync=self.sync)
        except BaseException:
            for made in reversed(seals):  # those that are there already: all of a commit counts, or none
                self.layout.files.remove(made.path)
            raise
        images.sealed()
        return seal + max(len(parts), most)

    def _write(self, kind: str, table: str | None, seal: int, data: pa.Table) -> Part:
        return write_part(self.layout.files, self._path(kind, table, seal), data, sync=self.sync)

    def _path(self, kind: str, table: str | None, seal: int) -> str:
        return part_path(kind, self.run_id, table, self.writer, seal)


class _OneBehind:
    """Writes parts on another thread, each while the next one is made."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "maskl-parts")
        self._running: tuple[Future[Part], list[Part]] | None = None

    def __enter__(self) -> _OneBehind:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            with contextlib.nullcontext() if kind is None else contextlib.suppress(Exception):
                self._wait()
        finally:
            self._pool.shutdown()

    def run(self, write: Callable[[], Part], parts: list[Part]) -> None:
        """Write a part, which is appended to ``parts`` when it is there; raises what went wrong with the last."""
        self._wait()
        try:
            self._running = self._pool.submit(write), parts
        except RuntimeError:  # the interpreter is shutting down: no thread takes new work
            parts.append(write())

    def _wait(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            written, parts = running
            parts.append(written.result())


def _history_table(rows: Sequence[HistoryRow]) -> pa.Table:
    columns: Iterable[list[Any]] = map(list, zip(*rows, strict=True))
    return pa.table(dict(zip(FIXED["history"].names, columns, strict=True)), schema=FIXED["history"])
