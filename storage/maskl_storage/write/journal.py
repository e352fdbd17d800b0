"""The write-ahead side of a writer: what is acknowledged is in a file before it waits for a seal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from maskl_storage.cells.cells import Rows
from maskl_storage.cells.packing import pack_columns, pack_frame, unpack_columns, unpack_frame
from maskl_storage.disk.local import Folder, name_of
from maskl_storage.errors import CorruptData
from maskl_storage.format.document import dump_json
from maskl_storage.format.paths import wal_path
from maskl_storage.images.writer import ImageBytes
from maskl_storage.write.pending import HistoryRow, Waiting
from maskl_storage.write.wal import Mark, Tail, WalFile, read_wal

__all__ = ["Journal", "Replayed", "replay"]

#: kinds of records
IMAGE, CALL, COMMIT, SUMMARY = "image", "call", "commit", "summary"


class Journal:
    """Writes one write-ahead file after another.

    What counts in the file is the caller's to know: each method that writes takes what counted before, and returns
    what counts with it. Where nothing counts, the file goes with :meth:`drop`.

    Parameters
    ----------
    files : Folder
        The store.
    run_id : str
        The run.
    writer : int
        The writer's number in it.
    sync : bool
        Whether a call is on the disk when it is acknowledged.
    """

    def __init__(self, files: Folder, run_id: str, writer: int, *, sync: bool = False) -> None:
        self._files, self._run_id, self._writer, self._sync = files, run_id, writer, sync
        self._file: WalFile | None = None
        self._images: set[str] = set()

    @property
    def removed(self) -> bool:
        """Whether somebody removed the file that is being written."""
        return self._file is not None and self._file.removed

    def lacks(self, images: Iterable[ImageBytes]) -> list[ImageBytes]:
        """Return those of the images that the file does not hold."""
        return [image for image in images if image.digest not in self._images]

    def holds(self, images: Iterable[ImageBytes]) -> None:
        """Note that the file holds these images, since a call that counts wrote them."""
        self._images.update(image.digest for image in images)

    def call(
        self,
        mark: Mark | None,
        seal: int,
        images: Iterable[ImageBytes],
        tables: Mapping[str, tuple[Rows, int]],
        history: Sequence[HistoryRow],
        step: int,
        stamp: int,
    ) -> Mark:
        """Write what a call logs: images that the file does not hold, and in one record all else.

        ``tables`` has with the rows of each table the ``_row`` of the first; ``seal`` is the number of
        the seal that they wait for.
        """
        packed = [
            [name, first, rows.replace, pack_columns(rows.columns), list(rows.cells), pack_frame(rows.frame)]
            for name, (rows, first) in tables.items()
        ]
        call = [CALL, step, stamp, packed, list(history)]
        return self._append(mark, seal, [*map(_image_record, images), (call, b"")])

    def summary(self, mark: Mark | None, seal: int, items: Mapping[str, Any], *, whole: bool) -> Mark:
        """Note what the run's summary says: some of its items, or all."""
        # JSON: it has integers of any size
        return self._append(mark, seal, [([SUMMARY, dump_json(items), whole], b"")])

    def commit(self, mark: Mark, seal: int, generations: Mapping[str, int]) -> Mark:
        """Note in which generation each table is about to be sealed, so that a repeated commit writes the same."""
        return self._append(mark, seal, [([COMMIT, dict(generations)], b"")])

    def drop(self) -> None:
        """Remove the file, since nothing in it counts any more."""
        file = self._file
        if file is not None:
            file.remove()
            self._file, self._images = None, set()

    def abandon(self) -> str | None:
        """Close the file without touching it, and return where it lay."""
        file = self._file
        if file is None:
            return None
        file.close()
        self._file, self._images = None, set()
        return file.path

    def _append(self, mark: Mark | None, seal: int, records: Iterable[tuple[Any, bytes]]) -> Mark:
        if mark is None:
            self.drop()
        if (
            self._file is None
        ):  # one of this name is what an interrupted call made: nobody else writes under this number
            self._file = WalFile(self._files, wal_path(self._run_id, self._writer, seal), sync=self._sync)
        return self._file.append(mark or Mark(), records)


def _image_record(image: ImageBytes) -> tuple[Any, bytes]:
    return [IMAGE, image.digest, image.format, image.mode, image.width, image.height], image.data


@dataclass(slots=True)
class Replayed:
    """What a write-ahead file held."""

    waiting: Waiting = field(default_factory=Waiting)
    images: list[ImageBytes] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    #: the generation of each table, where a commit had begun
    generations: dict[str, int] | None = None
    #: the whole summary, if it was noted, and the items that were noted since
    summary: dict[str, Any] | None = None
    items: dict[str, Any] = field(default_factory=dict)
    #: what follows the last good record
    tail: Tail = field(default_factory=Tail)


def replay(files: Folder, path: str) -> Replayed:
    """Read what waited for a seal when its writer ended."""
    found = Replayed()
    try:
        for value, data in read_wal(files, path, found.tail):
            _take(found, value, data)
    except (ValueError, TypeError, IndexError) as error:  # whole records that no writer of this format makes
        raise CorruptData(f"{name_of(path)}: {error}") from error
    return found


def _take(found: Replayed, value: Any, data: bytes) -> None:
    kind, *fields = value
    if kind == IMAGE:
        digest, form, mode, width, height = fields
        found.images.append(ImageBytes(digest, form, mode, width, height, data))
    elif kind == CALL:
        step, stamp, tables, history = fields
        for name, first, replace, columns, cells, frame in tables:
            rows = Rows(unpack_columns(columns), cells, unpack_frame(frame), replace)
            if replace:
                found.rows[name] = 0
            found.rows[name] = found.rows.get(name, 0) + len(cells) + (0 if rows.frame is None else rows.frame.num_rows)
            found.waiting.add(name, rows, first, step, stamp)
        found.waiting.add_history([tuple(row) for row in history])
    elif kind == COMMIT:
        (found.generations,) = fields
    elif kind == SUMMARY:
        text, whole = fields
        if whole:
            found.summary, found.items = json.loads(text), {}
        else:
            found.items.update(json.loads(text))
