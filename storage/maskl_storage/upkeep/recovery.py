"""Bringing in what killed writers left in their write-ahead files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import pyarrow as pa

from maskl_storage.catalog.artifacts import files_of_run
from maskl_storage.catalog.layout import Layout
from maskl_storage.catalog.signed import read_document, write_json
from maskl_storage.disk.atomic import storage_error
from maskl_storage.disk.blobs import hash_of, put_blob
from maskl_storage.disk.local import Folder, folder_of, name_of
from maskl_storage.disk.locks import FileLock, LocksUnsupported, warn_unprotected
from maskl_storage.errors import CorruptData, UnsupportedVersion
from maskl_storage.format.document import dump_json
from maskl_storage.format.paths import AHEAD, DAMAGED, lock_path, run_of, writer_of, writer_path
from maskl_storage.format.seals import Seal, read_seal
from maskl_storage.merge.leftovers import free_numbers
from maskl_storage.write.commit import Committer, NewImages, seals_of
from maskl_storage.write.files import changed_files, files_tables
from maskl_storage.write.journal import Replayed, replay
from maskl_storage.write.wal import wal_files, writers_of

__all__ = ["Recovered", "recover"]

#: what values raise that no writer made, such as text in a column of integers; a full disk is none of these
UNCOMMITTABLE: Final = (
    *(ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError),
    *(pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowKeyError, pa.ArrowIndexError),
    *(pa.ArrowNotImplementedError, pa.ArrowCapacityError),
)


@dataclass(frozen=True, slots=True)
class Recovered:
    """What one killed writer left; :meth:`maskl.Store.recover` returns one for each.

    Parameters
    ----------
    run_id : str
        The run that it logged to.
    writer : int
        The writer's number in its run.
    rows : dict of str to int
        How many rows of each table were brought in.
    scalars, images : int
        How many of these were brought in.
    torn : int
        Bytes of a log call in flight, which was not acknowledged and is dropped.
    killed : bool
        Whether the run's file said that it is running still.
    problem : str or None
        What of a write-ahead file could not be brought in, and why; the file is kept.
    files : int
        How many files that lay in the run's folder it keeps now.
    """

    run_id: str
    writer: int
    rows: dict[str, int] = field(default_factory=dict)
    scalars: int = 0
    images: int = 0
    torn: int = 0
    killed: bool = False
    problem: str | None = None
    files: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return what was found as plain values."""
        return {name: getattr(self, name) for name in self.__slots__}


def recover(layout: Layout, *, force: bool = False, dry_run: bool = False) -> list[Recovered]:
    """Seal the rows of writers that ended without doing so, and say of their runs that they were killed.

    Writers that live are left alone. Nothing happens twice, however often and by however many processes
    this is called.

    Parameters
    ----------
    layout : Layout
        The store.
    force : bool
        Act also where the file system knows no locks, so that nobody can tell whether a writer lives.
    dry_run : bool
        Only say what there is.

    Returns
    -------
    list of Recovered
        One for each writer that left something.
    """
    writers = set(writers_of(layout.files))
    for path in layout.writer_files():
        with suppress(CorruptData):  # whoever lists the runs is told
            if layout.read_writer(path)["state"] == "running":
                writers.add((run_of(path), writer_of(path)))
    found = []
    for run_id, writer in sorted(writers):
        try:
            with _dead(layout.files, run_id, writer, force) as dead:
                left = _recover(layout, run_id, writer, dry_run) if dead else None
        except CorruptData as error:  # where its files are to be is a link, or something else that leads elsewhere
            left = Recovered(run_id, writer, problem=str(error))
        except (OSError, pa.ArrowException) as error:
            raise storage_error(error, f"what a killed process logged to run {run_id!r}", layout.root) from error
        if left is not None:
            found.append(left)
    return found


@contextmanager
def _dead(files: Folder, run_id: str, writer: int, force: bool) -> Iterator[bool]:
    """Hold a writer's lock, if nobody else does: then the writer is gone."""
    lock = FileLock(files, lock_path(run_id, writer))
    there = files.exists(lock.path)
    while True:
        files.make_folder(folder_of(lock.path))
        try:
            dead = lock.acquire()
        except FileNotFoundError:  # somebody removed the folder while it was empty
            continue
        except LocksUnsupported:
            dead = force
            if not force:
                warn_unprotected(files.root)
        break
    try:
        yield dead
    except BaseException:
        lock.release(remove=not there)
        raise
    lock.release(remove=not wal_files(files, run_id, writer))


def _recover(layout: Layout, run_id: str, writer: int, dry_run: bool) -> Recovered | None:
    problems: list[str] = []
    scalars = images = torn = 0
    rows: dict[str, int] = {}
    files = wal_files(layout.files, run_id, writer)
    found = []
    for seal, path in files:
        try:
            found.append((seal, path, replay(layout.files, path)))
        except UnsupportedVersion as error:  # left where it is: a newer maskl brings it in
            problems.append(str(error))
        except CorruptData as error:
            problems.append(_set_aside(layout.files, path, str(error), dry_run))
    killed = _describe(layout, run_id, writer, [held for _, _, held in found], dry_run)
    for seal, path, held in found:
        if not dry_run:
            try:
                _seal(Committer(layout, run_id, writer), seal, held)
            except CorruptData as error:  # something else in the store is in the way: the file is as good as it was
                problems.append(f"{name_of(path)} stays: {error}")
                continue
            except UNCOMMITTABLE as error:
                why = f"{name_of(path)}: it cannot be committed: {error}"
                problems.append(_set_aside(layout.files, path, why, dry_run))
                continue
        torn += held.tail.bytes
        scalars += len(held.waiting.history)
        images += len(held.images)
        for name, count in held.rows.items():
            rows[name] = rows.get(name, 0) + count
        if held.tail.damaged or held.tail.skipped:  # somebody may yet make sense of it
            problems.append(_set_aside(layout.files, path, _passed_over(path, held), dry_run))
        elif not dry_run:
            layout.files.remove(path)
    kept = _keep_files(layout, run_id, writer, problems, dry_run) if killed else 0
    problem = "; ".join(problems) or None
    return Recovered(run_id, writer, rows, scalars, images, torn, killed, problem, kept) if files or killed else None


def _keep_files(layout: Layout, run_id: str, writer: int, problems: list[str], dry_run: bool) -> int:
    """Commit that a run keeps what lies in its folder, and return how many files were not kept yet."""
    files = layout.files
    put = hash_of if dry_run else partial(put_blob, files)
    known = files_of_run(layout, run_id)
    new = changed_files(files, run_id, known, put, lambda path, why: problems.append(f"{path} is not kept: {why}"))
    if new and not dry_run:
        number = free_numbers(layout, run_id, writer)(1)
        committer = Committer(layout, run_id, writer)
        committer.publish(committer.write_alone(number, files_tables(new, writer, number)))
    return len(new)


def _set_aside(files: Folder, path: str, problem: str, dry_run: bool) -> str:
    """Keep a write-ahead file that nobody can bring in whole out of the way, and say so."""
    damaged = path.removesuffix(AHEAD) + DAMAGED
    if not dry_run:
        files.rename(path, damaged)
    return f"{problem}; {'it would be ' if dry_run else ''}kept as {name_of(damaged)}"


def _passed_over(path: str, held: Replayed) -> str:
    if held.tail.skipped:
        return f"{name_of(path)}: {held.tail.skipped} bytes before whole records are none, and were passed over"
    return f"{name_of(path)}: the last {held.tail.bytes} bytes are damaged"


def _describe(layout: Layout, run_id: str, writer: int, held: Sequence[Replayed], dry_run: bool) -> bool:
    """Say in the writer's file that it was killed, if it was, and what the summary came to."""
    path = writer_path(run_id, writer)
    if not layout.files.exists(path):
        return False
    try:
        if not layout.files.stat(path).st_size:
            return False
        body = layout.read_writer(path)
    except CorruptData:  # whoever lists the runs is told; what it says is not for us to write
        return False
    killed: bool = body["state"] == "running"
    summary = body.get("summary") or {}
    for one in held:
        summary = {**(summary if one.summary is None else one.summary), **one.items}
    new = body | {"state": "killed" if killed else body["state"], "summary": summary}
    if new != body and not dry_run:
        write_json(layout.files, path, dump_json({name: value for name, value in new.items() if name != "blake3"}))
    return killed


def _seal(committer: Committer, seal: int, held: Replayed) -> None:
    """Commit what a write-ahead file held, under the names that its writer would have used."""
    images = NewImages(committer)
    try:
        for image in held.images:
            images.add(image, seal)
        waiting, generations = held.waiting, held.generations
        if not (waiting or images.waiting):
            return
        if generations is None or waiting.tables.keys() - generations.keys():  # more came after a commit that failed
            generations = committer.generations(waiting.tables, waiting.replaced)
        elif _is_sealed(committer, seal, held, generations):
            return
        committer.publish(committer.write_parts(seal, waiting.tables, generations, waiting.history, images))
        images.sealed()
    finally:
        images.start_over()  # what was written of them and is in no seal


def _is_sealed(committer: Committer, first: int, held: Replayed, generations: Mapping[str, int]) -> bool:
    """Whether the writer was killed after its commit: what is sealed then stays as it is."""
    wanted = {(name, generations[name]): sum(map(len, found)) for name, found in held.waiting.tables.items()}
    sealed: dict[tuple[str, int], int] = {}
    scalars = 0
    for number in range(first, first + seals_of(generations, held.waiting.history)):
        path = Seal(committer.run_id, committer.writer, number, ()).path
        try:
            seal = read_seal(read_document(committer.layout.files, path), path)
        except (FileNotFoundError, CorruptData):  # one that was altered is written again
            return False
        scalars += sum(part.rows for part in seal.parts if part.kind == "history")
        for part in seal.parts:
            if part.kind == "rows":
                place = str(part.table), seal.generation
                sealed[place] = sealed.get(place, 0) + part.rows
    return (sealed, scalars) == (wanted, len(held.waiting.history))
