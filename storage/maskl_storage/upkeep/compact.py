"""Compaction: what writers that are gone left in many small parts becomes few, and what nothing refers to goes.

Whatever happens in between, a store is whole: what is new counts from the moment its seal is there, and what
it replaced is removed after that, when those that still read it have had time.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from maskl_storage.catalog.artifacts import blobs_named
from maskl_storage.catalog.layout import Layout
from maskl_storage.catalog.listing import all_seals, damaged_seals, live_seals, write_seal
from maskl_storage.disk.local import folder_of
from maskl_storage.disk.locks import FileLock, LocksUnsupported
from maskl_storage.disk.parquet import open_part
from maskl_storage.errors import CorruptData, StateError
from maskl_storage.format.document import is_newer
from maskl_storage.format.paths import (
    BLOBS,
    UNFINISHED,
    blob_path,
    blob_pattern,
    compaction_lock_path,
    digest_of,
    hidden_path,
    run_of,
    wal_pattern,
)
from maskl_storage.format.schemas import IMAGE
from maskl_storage.images.digests import Digests, words_of
from maskl_storage.merge import GRACE
from maskl_storage.merge.leftovers import came, free_numbers, leftovers, live_writers, lock_writers, remove
from maskl_storage.merge.rewrite import AT_ONCE, Counted, lanes, merge, mergeable
from maskl_storage.upkeep.recovery import recover
from maskl_storage.write.wal import wal_files

__all__ = ["Compacted", "alone_in", "compact"]

#: runs whose locks are held at a time while their images are dropped: each is an open file
TOGETHER: Final = 64


@dataclass(frozen=True)
class Compacted:
    """What a compaction did, or would do; :meth:`maskl.Store.compact` returns it.

    Parameters
    ----------
    runs : int
        How many runs it looked at.
    seals_before, seals_after : int
        The live seals of these runs.
    images, image_bytes : int
        How many images nothing refers to, and their bytes: they were dropped.
    blobs, blob_bytes : int
        How many files of artifacts and runs nothing names, and their bytes: they are out of the way, and removed by a
        compaction after another grace.
    removed, removed_bytes : int
        The files that went, and their bytes.
    kept : int
        The files that stay until the grace is over, for those that read them.
    skipped : list of str
        What was left alone, and why.
    """

    runs: int = 0
    seals_before: int = 0
    seals_after: int = 0
    images: int = 0
    image_bytes: int = 0
    blobs: int = 0
    blob_bytes: int = 0
    removed: int = 0
    removed_bytes: int = 0
    kept: int = 0
    skipped: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the counts as a plain dict."""
        return dict(self.__dict__)


@dataclass
class _Done:
    """What a compaction did so far."""

    runs: int = 0
    seals_before: int = 0
    seals_after: int = 0
    images: int = 0
    image_bytes: int = 0
    blobs: int = 0
    blob_bytes: int = 0
    skipped: list[str] = field(default_factory=list)


def compact(
    layout: Layout,
    runs: Sequence[str] | None = None,
    *,
    dry_run: bool = False,
    grace: float = GRACE,
    step: Callable[[str], None] = lambda _: None,
) -> Compacted:
    """Merge what dead writers left, drop images that nothing refers to, and remove what nobody needs.

    No query returns anything else afterwards, and readers and writers may be at work meanwhile.

    Parameters
    ----------
    layout : Layout
        The store.
    runs : sequence of str, optional
        The ids of the runs whose seals are merged; all by default.
    dry_run : bool, optional
        Only say what there is to do.
    grace : float, optional
        Seconds for which files stay that were replaced, or that nothing names.
    step : callable, optional
        Is told each run's id before it is looked at.

    Raises
    ------
    StateError
        Locks do not work here, so nobody can tell which writers are alive; or another process compacts the
        store without a grace.
    """
    done = _Done()
    try:
        live_writers(layout.files)  # raises where nobody can tell
        if not dry_run:
            # what a dead writer's write-ahead file holds may be sealed already
            done.skipped += [left.problem for left in recover(layout) if left.problem is not None]
        found = {seal.run_id for seal in all_seals(layout.files, layout.seal_cache).values()}
        found |= {run_of(path) for path in damaged_seals(layout.files, layout.seal_cache)}
        for run_id in sorted(found if runs is None else found & set(runs)):
            step(run_id)
            before = done.seals_before
            try:
                _compact_run(layout, run_id, done, dry_run)
            except CorruptData as error:  # links, or files that are damaged: other runs are none the worse for it
                done.skipped.append(f"run {run_id!r} stays as it is: {error}")
                done.seals_after += done.seals_before - before
        _drop_images(layout, done, dry_run)
        _drop_blobs(layout, done, dry_run, grace)
        if not dry_run:
            _forget_empty_seals(layout)
        gone = leftovers(layout, odd=lambda path, problem: done.skipped.append(f"{path}: {problem}"))
        if dry_run:
            removed = [one for one in gone if one.age >= grace]
        else:
            removed = remove(layout, gone, grace=grace, alive=live_writers(layout.files))
    except LocksUnsupported as error:
        raise StateError(
            f"nobody can tell which writers of {layout.root} are alive, since locks do not work there: copy the store "
            f"to a disk where they do ({error})"
        ) from error
    except FileNotFoundError as error:
        raise StateError(
            f"another process removed {error.filename} meanwhile, compacting with a shorter grace: nothing is lost; "
            f"compact again"
        ) from error
    size = sum(one.bytes for one in removed)
    return Compacted(**vars(done), removed=len(removed), removed_bytes=size, kept=len(gone) - len(removed))


# --- runs ---------------------------------------------------------------------------------------


def _compact_run(layout: Layout, run_id: str, done: _Done, dry_run: bool) -> None:
    if damaged := damaged_seals(layout.files, layout.seal_cache, run_id):
        done.skipped.append(f"run {run_id!r} is left as it is, since nobody knows what {', '.join(damaged)} commits")
        return
    with alone_in(layout, run_id) as alone:
        if not alone:
            done.skipped.append(f"run {run_id!r} is being compacted by another process")
            return
        writers = {seal.writer for seal, _ in mergeable(layout, run_id)}
        with lock_writers(layout, run_id, writers) as dead:
            # what a write-ahead file holds may be sealed already, and recovery knows the seal by its number
            dead -= {writer for writer in dead if wal_files(layout.files, run_id, writer)}
            found = mergeable(layout, run_id)  # again: a writer may have sealed before it was locked
            done.runs += 1
            done.seals_before += len(found)
            if alive := writers - dead:
                numbers = ", ".join(map(str, sorted(alive)))
                done.skipped.append(
                    f"run {run_id!r} is being written: the seals of writer {numbers} are its own to merge"
                )
            if dry_run:
                merged = sum(len(stretch) - 1 for stretch in _stretches(found, dead) if len(stretch) > 1)
                done.seals_after += len(found) - merged
                return
            while pieces := _pieces(mergeable(layout, run_id), dead):
                for piece in pieces:  # all of a level before any of the next, so that few bytes are written twice
                    writer = piece[0][0].writer
                    merge(layout, piece, writer, free_numbers(layout, run_id, writer))
            done.seals_after += len(mergeable(layout, run_id))


def _forget_empty_seals(layout: Layout) -> None:
    """Remove seals of deleted runs that name nothing, once all that they replaced is gone."""
    for seal in live_seals(layout.files, layout.seal_cache):
        unread = damaged_seals(layout.files, layout.seal_cache, seal.run_id)
        if not seal.parts and not unread and not any(layout.files.exists(path) for path in seal.replaces):
            with contextlib.suppress(CorruptData), alone_in(layout, seal.run_id) as alone:  # what was wrong is told
                if alone:
                    layout.files.remove(seal.path)


def _stretches(found: Sequence[Counted], dead: set[int]) -> list[list[Counted]]:
    """Return neighbouring seals of dead writers that one seal can replace."""
    stretches: list[list[Counted]] = []
    for lane in lanes(found):
        stretches.append([])
        for counted in lane:
            if counted[0].writer in dead:
                stretches[-1].append(counted)
            else:
                stretches.append([])
    return stretches


def _pieces(found: Sequence[Counted], dead: set[int]) -> list[list[Counted]]:
    """Return what is merged at a time."""
    cut = [s[start : start + AT_ONCE] for s in _stretches(found, dead) for start in range(0, len(s), AT_ONCE)]
    return [piece for piece in cut if len(piece) > 1]


@contextlib.contextmanager
def alone_in(layout: Layout, run_id: str) -> Iterator[bool]:
    """Be the only one that compacts a run; say False where another is."""
    lock = FileLock(layout.files, compaction_lock_path(run_id))
    layout.files.make_folder(folder_of(lock.path))
    alone = lock.acquire()
    try:
        yield alone
    finally:
        lock.release(remove=True)


# --- images -------------------------------------------------------------------------------------


def _drop_images(layout: Layout, done: _Done, dry_run: bool) -> None:
    """Drop images that no row of the store refers to, where nobody is about to refer to one."""
    if not layout.listing().of("images"):
        return
    if (why := _in_use(layout)) is not None:
        done.skipped.append(f"images stay, since {why}")
        return
    used, read = Digests(), set[str]()
    try:
        _add_referenced(layout, used, read)  # nearly all of them, while nobody is kept from relying on any image
        runs = sorted({sealed.run_id for sealed in layout.listing().of("images")})
        for start in range(0, len(runs), TOGETHER):
            with contextlib.ExitStack() as stack:
                some = runs[start : start + TOGETHER]
                alone = [run_id for run_id in some if stack.enter_context(alone_in(layout, run_id))]
                # who begins to write from here on relies on no image of these runs; who came and went has sealed rows
                if (why := _in_use(layout)) is not None:
                    done.skipped.append(f"images stay, since {why}")
                    return
                _add_referenced(layout, used, read)
                for run_id in alone:
                    _drop_images_of(layout, run_id, used, done, dry_run)
    except CorruptData as error:
        done.skipped.append(f"images stay, since not all that was logged can be read: {error}")


def _in_use(layout: Layout) -> str | None:
    """Return why any image or blob may be referred to; None where what live seals say is all."""
    if live_writers(layout.files):
        return "a writer that is alive may refer to any of them"
    if damaged_seals(layout.files, layout.seal_cache):
        return "rows of a seal that is damaged may refer to any of them"
    unread: list[str] = []
    if layout.files.glob(wal_pattern(), lambda path, _problem: unread.append(path)) or unread:
        return "a writer that is gone may refer to any of them: run maskl recover first"
    return None


def _add_referenced(layout: Layout, used: Digests, read: set[str]) -> None:
    """Add the digests of all images that rows of a store refer to, but for parts that were read already."""
    for sealed in layout.listing().of("rows"):
        if sealed.part.path in read:
            continue
        with open_part(layout.files, sealed.part) as file:
            names = [f"{one.name}.digest" for one in file.schema_arrow if _is_image(one.type)]
            for batch in file.iter_batches(columns=names) if names else ():
                for column in batch.columns:
                    if pa.types.is_struct(column.type):
                        used.add(words_of(pc.struct_field(column, "digest").drop_null()))
        read.add(sealed.part.path)


def _is_image(kind: pa.DataType) -> bool:
    return bool(pa.types.is_struct(kind) and kind.get_field_index("digest") >= 0 and len(kind) >= len(IMAGE))


def _drop_images_of(layout: Layout, run_id: str, used: Digests, done: _Done, dry_run: bool) -> None:
    for counted in mergeable(layout, run_id):
        seal, parts = counted
        if is_newer(seal.version):
            continue
        unused = [0, 0]
        for part in parts:
            if part.kind == "images":
                with open_part(layout.files, part) as file:
                    for batch in file.iter_batches(64, columns=["digest", "bytes"]):
                        gone = batch.filter(pa.array(~used.has(words_of(batch["digest"]))))
                        unused[0] += gone.num_rows
                        unused[1] += sum(len(value.as_buffer()) for value in gone["bytes"])
        if not unused[0]:
            continue
        if dry_run or _rewrite(layout, counted, used, done):
            done.images += unused[0]
            done.image_bytes += unused[1]


def _rewrite(layout: Layout, counted: Counted, used: Digests, done: _Done) -> bool:
    """Write a seal's images again without those that are not used; take it back if a writer appeared meanwhile.

    A writer locks its file before it looks what the store holds, so one that is not alive after the commit has not seen
    what the commit left out. One that appears meanwhile relies on no image of a run that is being compacted; those of
    other software may not know of that.
    """
    seal = counted[0]
    take = free_numbers(layout, seal.run_id, seal.writer)
    with lock_writers(layout, seal.run_id, {seal.writer}) as dead:
        others = live_writers(layout.files) - {(seal.run_id, seal.writer)}
        if not dead or others:
            done.skipped.append(f"images of run {seal.run_id!r} stay, since a writer appeared")
            return False

        def kept(table: pa.Table) -> pa.Table:
            return table.filter(pa.array(used.has(words_of(table["digest"]))))

        new = merge(layout, [counted], seal.writer, take, images=kept)
        if live_writers(layout.files) - {(seal.run_id, seal.writer)}:
            back = replace(new, parts=counted[1], seal=take(1), replaces=(new.path, *new.replaces))
            write_seal(layout.files, back)
            done.skipped.append(f"images of run {seal.run_id!r} stay, since a writer appeared")
            return False
    return True


# --- blobs --------------------------------------------------------------------------------------


def _drop_blobs(layout: Layout, done: _Done, dry_run: bool, grace: float) -> None:
    """Put what nothing names out of the way, where nobody is about to name it, and remove what has been so for long.

    A writer takes bytes for stored only while it has put them itself, or a live part names them; so what is out of the
    way is missed by nobody who began since.
    """
    files = layout.files
    found = {path: digest_of(path) for path in files.glob(blob_pattern())}
    unfinished = [path for path in files.glob(f"{BLOBS}/*") if path.endswith(UNFINISHED)]
    if not found and not unfinished:
        return
    if (why := _in_use(layout)) is not None:
        done.skipped.append(f"files of artifacts and runs stay, since {why}")
        return
    try:
        named = blobs_named(layout)
    except CorruptData as error:
        done.skipped.append(f"files of artifacts and runs stay, since not all that names them can be read: {error}")
        return
    now, hidden = time.time(), dict[str, int]()
    for path, said in found.items():
        if said is None:
            continue
        with contextlib.suppress(FileNotFoundError, CorruptData):  # what is no file is a fault, which verify names
            stat = files.stat(path)
            old = now - came(stat) >= grace
            digest, waits = said
            if digest in named:
                if waits and not dry_run:  # it was named while it was put out of the way
                    files.rename(path, blob_path(digest))
            elif old and waits:
                unfinished.append(path)
            elif old:
                done.blobs += 1
                done.blob_bytes += stat.st_size
                if not dry_run:
                    files.rename(path, hidden_path(path))
                    hidden[path] = stat.st_size
    back = _missed(layout, hidden, done) if hidden else {}
    for path, size in back.items():
        files.rename(hidden_path(path), path)
        done.blobs -= 1
        done.blob_bytes -= size
    if grace <= 0:  # nobody is waited for
        unfinished += [hidden_path(path) for path in hidden if path not in back]
    for path in () if dry_run else unfinished:
        with contextlib.suppress(FileNotFoundError, CorruptData):
            if now - came(files.stat(path)) >= grace:
                files.remove(path)


def _missed(layout: Layout, hidden: Mapping[str, int], done: _Done) -> Mapping[str, int]:
    """Return which of the blobs that are out of the way are needed after all."""
    if live_writers(layout.files):
        done.skipped.append("files of artifacts and runs stay, since a writer appeared")
        return hidden
    try:
        needed = set(map(blob_path, blobs_named(layout)))  # a writer may have come and gone
    except CorruptData as error:
        done.skipped.append(f"files of artifacts and runs stay, since not all that names them can be read: {error}")
        return hidden
    return {path: size for path, size in hidden.items() if path in needed}
