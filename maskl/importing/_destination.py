"""Where an import goes: a private store beside the destination, whose runs are moved in when all is there."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from maskl.annotations.sink import sink
from maskl.interchange.records import WRONG, About
from maskl.media.media import Media
from maskl.runs.run import Run
from maskl.runs.settings import Settings
from maskl.runs.start import ID_LETTERS
from maskl_storage.catalog.artifacts import blobs_named
from maskl_storage.catalog.layout import Layout, is_store
from maskl_storage.catalog.runs import RunInfo
from maskl_storage.catalog.signed import write_json
from maskl_storage.disk.atomic import move_all
from maskl_storage.disk.blobs import move_blob
from maskl_storage.disk.local import Folder
from maskl_storage.disk.locks import FileLock, LocksUnsupported
from maskl_storage.errors import CorruptData, InvalidValue
from maskl_storage.format.document import STORE_DIR, dump_json
from maskl_storage.format.names import check_name
from maskl_storage.format.paths import (
    FILE_KINDS,
    RUNS,
    SEALS,
    TABLE_KINDS,
    blob_pattern,
    digest_of,
    import_folder,
    import_lock,
    import_number,
    run_folder_patterns,
    version_pattern,
    writer_path,
)
from maskl_storage.write.writer import Writer

__all__ = ["Destination"]

#: the folders, from the store upward, in which private stores are looked for
NEAR: Final = 4
#: the file in one that says where its runs are being moved to
MOVING: Final = "moving"
#: folders of a store in the order in which a run's are moved: the last one commits. Blobs come before them, and the
#: files that claim versions of artifacts, which are of no run alone
MOVED: Final = ("images", "history", *TABLE_KINDS, *FILE_KINDS, RUNS, SEALS)


class Destination:
    """A store that runs are imported into: all of them whole, or none.

    Parameters
    ----------
    root : Path
        The store; it is made when the import is committed, if it is not there.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        existing = is_store(root)
        if existing:
            Layout(root)  # refuses a store of a newer version before anything is read
        parent = root if existing else root.parent
        while not parent.exists():
            parent = parent.parent
        for folder in [root, *root.parents][:NEAR]:  # an import that was to make this store began beside it
            _sweep(folder, root)
        self._known = {run.run_id for run in Layout(root).runs()} if existing else set()
        number = secrets.token_hex(8)
        self._files, self._private = Folder(parent), import_folder(number)
        # says that this import is alive, so that others leave its folder alone
        self._lock = FileLock(self._files, import_lock(number))
        with contextlib.suppress(LocksUnsupported):
            self._lock.acquire(wait=True)
        self._layout: Layout | None = None
        self._runs: list[Run] = []
        self._time: int | None = None

    def run(self, about: About, name: str, run_id: str | None = None) -> Run:
        """Begin a run; without an id, given or its own, it gets one from ``name``."""
        run_id = run_id or about.run_id or f"{name}-{''.join(secrets.choice(ID_LETTERS) for _ in range(4))}"
        check_name(run_id, "run id")
        if run_id in self._known:
            raise InvalidValue(f"there is a run {run_id!r} in {self._root} already: give the new one another id, --run")
        self._known.add(run_id)
        if self._layout is None:
            self._layout = Layout.create(self._files.root / self._private / STORE_DIR)
        info = RunInfo(
            run_id,
            name,
            about.project,
            about.group,
            about.job_type,
            tags=about.tags,
            notes=about.notes,
            config=about.config,
            started=about.started,
        )
        layout = self._layout
        run = Run(
            info,
            lambda summary: Writer(layout, info, summary=summary, clock=self._clock),
            Settings(silent=True),
            allow_val_change=True,
        )
        self._runs.append(run)
        return run

    @contextlib.contextmanager
    def storing(self, run: Run, at: int | None) -> Iterator[None]:
        """Have what is logged within bear this time, and its images go to this run, whatever run is active."""
        self._time = at
        with sink.lent_to(run._writer):
            yield

    def finish(self, run: Run, about: About, refuse: Callable[[str, Exception], None]) -> None:
        """End a run as its source says it ended; ``refuse`` is told which part of its summary cannot be kept, and why.

        Kept media stay in the summary as the history came to them.
        """
        if about.summary is not None:
            for key in list(run.summary):
                if key in about.summary or not _is_kept(run.summary[key]):
                    del run.summary[key]
            try:
                run.summary.update(about.summary)
            except WRONG:
                for key, value in about.summary.items():
                    try:
                        run.summary.update({key: value})
                    except WRONG as error:
                        refuse(f"summary {key!r:.80}", error)
        run.finish(0 if about.state == "finished" else 1, quiet=True)
        assert self._layout is not None  # noqa: S101  # there is a run in it
        (info,) = [info for info in self._layout.runs() if info.run_id == run.id]
        info = replace(info, state=about.state, finished=about.finished or info.finished)
        write_json(self._layout.files, writer_path(run.id, 0), dump_json(info.to_json()))

    def commit(self) -> list[str]:
        """Move every run into the store, and return their ids."""
        if self._layout is None:
            return []
        Layout.create(self._root)
        # from here on, whoever comes next goes on
        self._files.write(f"{self._private}/{MOVING}", os.fsencode(self._root))
        _move(self._files, self._private, self._root)
        return [run.id for run in self._runs]

    def close(self) -> None:
        """Remove what was not committed."""
        for run in self._runs:
            run._writer.abandon()
        self._files.remove_tree(self._private)
        self._lock.release(remove=True)

    def _clock(self) -> int:
        return time.time_ns() // 1000 if self._time is None else self._time


def _is_kept(value: Any) -> bool:
    return isinstance(value, Media) or (isinstance(value, list) and any(isinstance(item, Media) for item in value))


def _move(files: Folder, private: str, root: Path) -> None:
    """Move every run of a private store into a store, those of its folders that commit it last.

    Blobs go first, only those that something names, and stay there if this fails: nobody sees what nothing names, and a
    writer of that store may have put the same bytes meanwhile.
    """
    store, into = f"{private}/{STORE_DIR}", Folder(root)
    blobs = list(files.glob(f"{store}/{blob_pattern()}"))
    # without blobs these are moved, and perhaps some of the parts that name them
    named = blobs_named(Layout(files.root / private / STORE_DIR)) if blobs else set()
    for path in blobs:
        digest, _ = digest_of(path.removeprefix(f"{store}/")) or ("", False)
        if digest in named:
            move_blob(files, path, into, digest)
        else:
            files.remove(path)
    patterns = (version_pattern(), *(pattern for kind in MOVED for pattern in run_folder_patterns(kind)))
    made = (path for pattern in patterns for path in files.glob(f"{store}/{pattern}"))
    try:
        move_all(((path, path.removeprefix(f"{store}/")) for path in made), files, into)
    except FileExistsError as error:
        raise InvalidValue(f"{error.filename} is there already: another import was first") from error


def _sweep(parent: Path, root: Path) -> None:
    """Remove what imports left that were killed, whose locks are free; one that was moving its runs is completed."""
    files = Folder(parent)
    try:
        found = [(name, number) for name in files.names() if (number := import_number(name)) is not None]
    except (NotADirectoryError, PermissionError):  # nobody imports into what is no folder, or one of somebody else
        return
    for name, number in found:
        lock, private = FileLock(files, name), import_folder(number)
        with contextlib.suppress(OSError, InvalidValue, CorruptData):  # what is no file or folder is no import's
            if lock.acquire():
                moving = f"{private}/{MOVING}"
                to = files.read(moving) if files.exists(moving) else None
                mine = to in (None, os.fsencode(root))
                if to == os.fsencode(root):
                    _move(files, private, root)
                if mine:
                    files.remove_tree(private)
                lock.release(remove=mine)
