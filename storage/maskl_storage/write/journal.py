"""The write-ahead side of a writer: what is acknowledged is in a file before it waits for a seal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from maskl_storage.cells.cells import Rows
from maskl_storage.cells.packing import pack_columns, pack_frame, unpack_columns, unpack_frame
from maskl_storage.disk.local import Folder, name_of
from maskl_storage.errors import CorruptData, UnsupportedVersion, prefixed
from maskl_storage.format.document import dump_json, is_count, read_object
from maskl_storage.format.names import check_name
from maskl_storage.format.paths import wal_path
from maskl_storage.format.schemas import JSON
from maskl_storage.images.writer import ImageBytes
from maskl_storage.write.pending import HistoryRow, Waiting
from maskl_storage.write.wal import Mark, Tail, WalFile, read_wal

__all__ = ["Journal", "Replayed", "replay"]

#: kinds of records
IMAGE, CALL, COMMIT, SUMMARY = "image", "call", "commit", "summary"
DIGEST: Final = re.compile("[0-9a-f]{64}")
#: the first and last microsecond that Python's times have
STAMPS: Final = (-62_135_596_800_000_000, 253_402_300_799_999_999)


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
        # where no text is JSON the rows are those of version 1.1
        call = [CALL, step, stamp, packed, [row if row[-1] is not None else row[:-1] for row in history]]
        return self._append(mark, seal, [*map(_image_record, images), (call, b"")])

    def summary(self, mark: Mark | None, seal: int, items: Mapping[str, Any], *, whole: bool) -> Mark:
        """Note what the run's summary says: some of its items, or all."""
        # JSON: it has integers of any size
        return self._append(mark, seal, [([SUMMARY, dump_json(items), whole], b"")])

    def commit(self, mark: Mark, seal: int, generations: Mapping[str, int]) -> None:
        """Note in which generation each table is about to be sealed, so that a repeated commit writes the same."""
        self._append(mark, seal, [([COMMIT, dict(generations)], b"")])

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
        if self._file is None:  # what has its name was made by an interrupted call: no other writer has this number
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
    """Read what waited for a seal when its writer ended.

    Raises
    ------
    CorruptData
        A whole record is none that a writer of this format makes.
    UnsupportedVersion
        Its columns are of a newer version of the format.
    """
    found = Replayed()
    try:
        for value, data in read_wal(files, path, found.tail):
            _take(found, value, data)
    except UnsupportedVersion as error:
        raise prefixed(error, name_of(path)) from error
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise CorruptData(f"{name_of(path)}: {error}") from error
    return found


def _take(found: Replayed, value: Any, data: bytes) -> None:
    kind, *fields = value
    if kind == IMAGE:
        digest, form, mode, width, height = fields
        _check(isinstance(digest, str) and DIGEST.fullmatch(digest), "digest of an image", digest)
        _check(isinstance(form, str) and isinstance(mode, str), "format and mode of an image", (form, mode))
        _check(is_count(width) and is_count(height), "size of an image", (width, height))
        found.images.append(ImageBytes(digest, form, mode, width, height, data))
    elif kind == CALL:
        step, stamp, tables, history = fields
        _check(_is_int64(step), "step", step)
        _check(_is_stamp(stamp), "time in microseconds", stamp)
        for table in tables:
            _take_table(found, *table, step=step, stamp=stamp)
        found.waiting.add_history([_history_row(*row) for row in history])
    elif kind == COMMIT:
        (generations,) = fields
        _check(
            isinstance(generations, dict)
            and all(isinstance(name, str) and is_count(number) for name, number in generations.items()),
            "generation of each table",
            generations,
        )
        found.generations = generations
    elif kind == SUMMARY:
        text, whole = fields
        items = read_object(text, "summary")
        if whole:
            found.summary, found.items = items, {}
        else:
            found.items.update(items)
    else:
        raise CorruptData(f"no record is of kind {kind!r:.40}")


def _take_table(
    found: Replayed,
    name: Any,
    first: Any,
    replace: Any,
    columns: Any,
    cells: Any,
    frame: Any,
    *,
    step: int,
    stamp: int,
) -> None:
    rows = Rows(unpack_columns(columns), cells, unpack_frame(frame), bool(replace))
    count = len(rows)
    _check(check_name(name, "table name") and is_count(first) and is_count(first + count), "number of a row", first)
    for row in cells:
        _check(isinstance(row, list) and len(row) == len(rows.columns), f"row of {len(rows.columns)} cells", row)
    if rows.frame is not None:
        _check(rows.frame.num_columns == len(rows.columns), "frame of its columns", rows.frame.schema.names)
    if replace:
        found.rows[name] = 0
    found.rows[name] = found.rows.get(name, 0) + count
    found.waiting.add(name, rows, first, step, stamp)


def _history_row(row: Any, step: Any, stamp: Any, key: Any, value: Any, text: Any, form: Any = None) -> HistoryRow:
    _check(is_count(row) and _is_int64(step) and _is_stamp(stamp), "number, step and time", (row, step, stamp))
    _check(isinstance(key, str) and isinstance(text, str | None), "key and text", (key, text))
    _check(isinstance(value, int | float | None), "value of a scalar", value)
    _check(form is None or (form == JSON and isinstance(text, str)), "form of a text", form)
    return row, step, stamp, key, value, text, form


def _is_int64(value: Any) -> bool:
    return isinstance(value, int) and -(1 << 63) <= value < 1 << 63


def _is_stamp(value: Any) -> bool:
    return isinstance(value, int) and STAMPS[0] <= value <= STAMPS[1]


def _check(holds: object, what: str, got: object) -> None:
    if not holds:
        raise CorruptData(f"a {what} is needed; got {got!r:.60}")
