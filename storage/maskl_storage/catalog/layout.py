"""Where a store is and what stands where in it."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISREG
from typing import Any, Final

from maskl_storage.catalog.listing import Listing, SealCache, documents, list_seals
from maskl_storage.catalog.runs import RunInfo, run_of_writers
from maskl_storage.catalog.signed import read_document, write_json
from maskl_storage.disk.local import Folder, OpenFolder, folder_of, name_of
from maskl_storage.disk.locks import is_locked
from maskl_storage.disk.stamps import Stamp, stamp_of
from maskl_storage.errors import (
    CorruptData,
    DamagedWarning,
    InvalidValue,
    NotFound,
    StoreNotFound,
    UnsupportedVersion,
    prefixed,
    warn,
)
from maskl_storage.format.descriptions import parse_description
from maskl_storage.format.document import FORMAT, STORE_DIR, STORE_FILE, WRITTEN, check_size, parse_store
from maskl_storage.format.paths import (
    IGNORE_FILE,
    RUNS,
    UNFINISHED,
    check_root,
    is_description,
    lock_path,
    run_of,
    writer_of,
)

__all__ = ["Layout", "find_store", "is_store", "locate"]


def is_store(directory: Path) -> bool:
    """Whether a directory holds what says that it is a store: whatever that is, who opens the store learns."""
    return os.path.lexists(directory / STORE_FILE)


def locate(directory: str | os.PathLike[str] | None) -> Path:
    """Return the store's path for what ``dir=`` names.

    That is the directory itself if it is a store or named as one, else ``maskl-store`` in it; of what lies in a store,
    such as the folder of a run, that store. Without ``dir=`` it is the same of ``$MASKL_DIR`` or the working directory.
    """
    given = Path(directory or os.environ.get("MASKL_DIR") or ".").expanduser().absolute()
    if is_store(given) or given.name == STORE_DIR:
        return given
    if directory:
        for parent in given.parents:
            if is_store(parent):
                return parent
    return given / STORE_DIR


def find_store(directory: str | os.PathLike[str] | None) -> Path:
    """Return the path of an existing store, looking upward from the working directory if none is named."""
    path = locate(directory)
    if directory is None and not os.environ.get("MASKL_DIR"):
        for parent in (path.parent, *path.parent.parents):
            if is_store(parent):
                return parent
            if is_store(parent / STORE_DIR):
                return parent / STORE_DIR
        raise StoreNotFound(
            f"no {STORE_DIR} in {path.parent} or above it: log something first, or name the store with "
            f"dir=, --dir or MASKL_DIR"
        )
    if not is_store(path):
        given = path if path.exists() else path.parent
        problem = "does not exist" if not given.exists() else "is not a maskl store"
        raise StoreNotFound(f"{given} {problem}: a store holds a file {STORE_FILE}")
    return path


#: what writers' files say, or what is wrong with them
WriterCache = dict[str, tuple[Stamp, dict[str, Any] | str]]
#: stores whose documents are kept in a process, those that were opened last
KNOWN_STORES: Final = 4
_known: Final[OrderedDict[tuple[str, int, int], tuple[SealCache, WriterCache]]] = OrderedDict()
_knowing: Final = threading.Lock()


def _known_of(files: Folder) -> tuple[SealCache, WriterCache]:
    """Return what this process has read of a store's documents, however often it was opened."""
    with files.opened() as top:
        key = (str(files.root), *top.identity())  # another store may come to lie there
    with _knowing:
        found = _known.setdefault(key, ({}, {}))
        _known.move_to_end(key)
        while len(_known) > KNOWN_STORES:
            _known.popitem(last=False)
    return found


class Layout:
    """The files of one store.

    Parameters
    ----------
    root : Path
        The store's directory, which holds ``maskl.json``.
    """

    def __init__(self, root: Path) -> None:
        root = root.resolve()  # one store has one path, whatever links lead to it
        check_root(root)
        self.files = Folder(root)
        try:
            data = read_document(self.files, STORE_FILE)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise StoreNotFound(f"{root} is not a maskl store: it holds no {STORE_FILE}") from error
        except CorruptData as error:
            raise prefixed(error, str(root)) from error
        parse_store(data, str(root / STORE_FILE))
        self._seals, self._writers = _known_of(self.files)
        self._told: set[str] = set()

    @classmethod
    def create(cls, root: Path) -> Layout:
        """Open the store, making it first where there is none."""
        check_root(root)
        if not is_store(root):
            found = next(path for path in (root, *root.parents) if path.exists())
            if not found.is_dir():
                raise InvalidValue(f"{found} is a file: a store is a directory")
            root.mkdir(parents=True, exist_ok=True)
            files = Folder(root)
            mine = (IGNORE_FILE, STORE_FILE)  # another process may be making the same store
            strange = any(name not in mine and not name.endswith(UNFINISHED) for name in files.names())
            if is_store(root):  # another process made it meanwhile
                return cls(root)
            if strange:
                raise InvalidValue(f"{root} is not a maskl store and not empty: name another directory with dir=")
            if files.exists(IGNORE_FILE):
                files.stat(IGNORE_FILE)  # raises where it leads elsewhere
            files.write(IGNORE_FILE, b"*\n")
            write_json(files, STORE_FILE, json.dumps({"format": FORMAT, "version": WRITTEN}))
        return cls(root)

    @property
    def root(self) -> Path:
        """The store's directory."""
        return self.files.root

    @property
    def seal_cache(self) -> SealCache:
        """The seals that were read, so that none is parsed twice."""
        return self._seals

    def listing(self) -> Listing:
        """Return the live parts at this moment; warn once of each seal that is damaged."""
        listing = list_seals(self.files, self._seals)
        for path, problem in listing.damaged:
            self._tell(
                f"{problem}; this seal is set aside: what it commits of run {run_of(path)!r} is missing, and nothing "
                f"of the run is merged or removed: bring the file back, or remove it to do without"
            )
        return listing

    def runs(self) -> list[RunInfo]:
        """Return every run, in order of start; warn once of each writer's file that is damaged.

        A run of which no file can be read is known by its id.
        """
        by_run: dict[str, list[dict[str, Any]]] = {}
        for folder, name, stat in self._descriptions():
            path = folder.path_of(name)
            try:
                body = self._said(folder, name, stat)
            except FileNotFoundError:  # removed since it was listed
                continue
            except CorruptData as error:
                self._tell(f"{error}; what this writer's file says of run {run_of(path)!r} is set aside")
                body = {"run_id": run_of(path), "state": "running"}
            if body["state"] == "running" and self._is_gone(path):
                body = body | {"state": "killed"}
            by_run.setdefault(body["run_id"], []).append(body)
        runs = [run_of_writers(bodies) for bodies in by_run.values()]
        return sorted(runs, key=lambda run: (run.started or "", run.run_id))

    def run(self, name: str, among: Sequence[RunInfo] | None = None) -> RunInfo:
        """Return the run with this id, name, or unique prefix of its id."""
        runs = self.runs() if among is None else list(among)
        for matches in (
            [run for run in runs if run.run_id == name],
            [run for run in runs if run.name == name],
            [run for run in runs if run.run_id.startswith(name)],
        ):
            if len(matches) == 1:
                return matches[0]
            if matches:
                ids = ", ".join(run.run_id for run in matches)
                raise NotFound(f"{name!r} names {len(matches)} runs: {ids}: give one of these ids")
        known = ", ".join(run.run_id for run in runs[-5:]) or "none"
        raise NotFound(f"there is no run {name!r} in {self.root}; the latest are: {known}")

    def last_update(self, run_id: str, *, but: str) -> datetime | None:
        """Return when a run was described last, by what its writers say but for one's file; no time does not count."""
        times = []
        for folder, name, stat in self._descriptions(run_id):
            if folder.path_of(name) != but:
                with contextlib.suppress(CorruptData, UnsupportedVersion, FileNotFoundError):
                    updated = self._said(folder, name, stat).get("updated")
                    if updated is not None:
                        time = datetime.fromisoformat(updated)
                        times.append(time if time.tzinfo else time.replace(tzinfo=UTC))
        return max(times, default=None)

    def writer_files(self, run_id: str | None = None) -> list[str]:
        """Return the path of each writer's file, of one run or of all, relative to the store."""
        return [folder.path_of(name) for folder, name, _ in self._descriptions(run_id)]

    def _descriptions(self, run_id: str | None = None) -> Iterator[tuple[OpenFolder, str, os.stat_result]]:
        """Yield each writer's file: the folder that it lies in, its name there, and what the system says of it."""
        odd: dict[str, str] = {}
        for folder, entry in documents(self.files, RUNS, run_id, odd):
            if is_description(folder.path_of(entry.name)):
                with contextlib.suppress(FileNotFoundError):  # removed since it was listed
                    stat = folder.lstat(entry.name)
                    # a writer claims its number with an empty file, which is filled a moment later
                    if stat.st_size or not S_ISREG(stat.st_mode):
                        yield folder, entry.name, stat
        for path, problem in odd.items():
            self._tell_odd(path.removesuffix("/"), problem.removeprefix(f"{path.removesuffix('/')}: "))

    def read_writer(self, path: str) -> dict[str, Any]:
        """Return what a writer's file says.

        Raises
        ------
        CorruptData
            It is damaged.
        """
        with self.files.opened(folder_of(path)) as folder:
            name = name_of(path)
            return self._said(folder, name, folder.stat(name))

    def _said(self, folder: OpenFolder, name: str, stat: os.stat_result) -> dict[str, Any]:
        """Return what a writer's file in an open folder says; ``stat`` tells whether that was read before."""
        path, stamp = folder.path_of(name), stamp_of(stat)
        known = self._writers.get(path)
        if known is None or known[0] != stamp:
            known = self._writers[path] = (stamp, self._read_description(folder, name, stat))
        if isinstance(known[1], str):
            raise CorruptData(known[1])
        return known[1]

    def _read_description(self, folder: OpenFolder, name: str, found: os.stat_result) -> dict[str, Any] | str:
        """Return what a writer's file says, or what is wrong with it; ``found`` is what the system says of it."""
        path = folder.path_of(name)
        try:
            check_size(found.st_size, path)
            body = parse_description(folder.read(name, found), path)
        except CorruptData as error:
            return str(error)
        body["run_id"] = run_of(path)
        body["state"] = body.get("state") or "running"
        return body

    def _tell(self, problem: str) -> None:
        """Warn of a damaged file, once."""
        if problem not in self._told:
            self._told.add(problem)
            warn(problem, DamagedWarning)

    def _tell_odd(self, path: str, problem: str) -> None:
        """Warn of what is no folder of a run, once."""
        self._tell(f"{path}: {problem}; what it is to say of a run is set aside")

    def _is_gone(self, path: str) -> bool:
        """Whether the writer of this file ended without saying so."""
        try:
            return is_locked(self.files, lock_path(run_of(path), writer_of(path))) is False
        except CorruptData:  # what has the name of its lock is none that somebody holds
            return True
