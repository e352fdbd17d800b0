"""Where a store is and what stands where in it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from maskl_storage.catalog.listing import Listing, SealCache, list_seals, write_json
from maskl_storage.disk.locks import is_locked
from maskl_storage.errors import CorruptData, InvalidValue, NotFound, StoreNotFound
from maskl_storage.format.metadata import (
    FORMAT,
    STORE_DIR,
    STORE_FILE,
    VERSION,
    check_version,
    decode_name,
    encode_name,
    parse_store,
)

__all__ = ["Layout", "RunInfo", "find_store", "locate", "lock_path", "run_of", "writer_of", "writer_path"]

#: characters of a store's path that DuckDB would expand, and components it would take for columns
GLOB: Final = re.compile(r"[*?\[\]{}]")
HIVE: Final = re.compile(r"[^=]+=")


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run as its writers describe it; :meth:`maskl.Store.runs` returns one for each.

    Parameters
    ----------
    run_id : str
        The run's id.
    name : str
        The run's name.
    project, group, job_type : str, optional
        What the run belongs to.
    state : str
        ``running``, ``finished``, ``failed`` or ``killed``.
    config, summary : mapping of str to Any
        What the run was configured with, and what its values came to.
    tags : tuple of str
        The run's tags.
    notes : str, optional
        The run's notes.
    started, updated, finished : str, optional
        When the first writer started, when the run was described last, and when the last writer ended: ISO
        8601 in UTC.
    """

    run_id: str
    name: str
    project: str | None = None
    group: str | None = None
    job_type: str | None = None
    state: str = "running"
    config: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    notes: str | None = None
    started: str | None = None
    updated: str | None = None
    finished: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the body of a writer's file."""
        return {
            "version": VERSION,
            "run_id": self.run_id,
            "name": self.name,
            "project": self.project,
            "group": self.group,
            "job_type": self.job_type,
            "state": self.state,
            "config": dict(self.config),
            "summary": dict(self.summary),
            "tags": list(self.tags),
            "notes": self.notes,
            "started": self.started,
            "updated": self.updated,
            "finished": self.finished,
        }


def locate(directory: str | os.PathLike[str] | None) -> Path:
    """Return the store's path for what ``dir=`` names.

    That is the directory itself if it is a store or named as one, else ``maskl-store`` in it; without
    ``dir=`` the same of ``$MASKL_DIR`` or the working directory.
    """
    given = Path(directory or os.environ.get("MASKL_DIR") or ".").expanduser().absolute()
    is_store = (given / STORE_FILE).exists() or given.name == STORE_DIR
    return given if is_store else given / STORE_DIR


def find_store(directory: str | os.PathLike[str] | None) -> Path:
    """Return the path of an existing store, looking upward from the working directory if none is named."""
    path = locate(directory)
    if directory is None and not os.environ.get("MASKL_DIR"):
        for parent in (path.parent, *path.parent.parents):
            if (parent / STORE_FILE).exists():
                return parent
            if (parent / STORE_DIR / STORE_FILE).exists():
                return parent / STORE_DIR
        raise StoreNotFound(
            f"no {STORE_DIR} in {path.parent} or above it: log something first, or name the store with "
            f"dir=, --dir or MASKL_DIR"
        )
    if not (path / STORE_FILE).exists():
        given = path if path.exists() else path.parent
        problem = "does not exist" if not given.exists() else "is not a maskl store"
        raise StoreNotFound(f"{given} {problem}: a store holds a file {STORE_FILE}")
    return path


class Layout:
    """The files of one store.

    Parameters
    ----------
    root : Path
        The store's directory, which holds ``maskl.json``.
    """

    def __init__(self, root: Path) -> None:
        root = root.resolve()  # one store has one path, whatever links lead to it
        _check_path(root)
        self.root = root
        try:
            parse_store((root / STORE_FILE).read_bytes(), str(root / STORE_FILE))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise StoreNotFound(f"{root} is not a maskl store: it holds no {STORE_FILE}") from error
        self._seals: SealCache = {}
        self._writers: dict[str, tuple[tuple[int, int], dict[str, Any]]] = {}

    @classmethod
    def create(cls, root: Path) -> Layout:
        """Open the store, making it first where there is none."""
        _check_path(root)
        if not (root / STORE_FILE).exists():
            if root.exists() and not root.is_dir():
                raise InvalidValue(f"{root} is a file: a store is a directory")
            others = (".gitignore", STORE_FILE)  # another process may be making the same store
            if root.exists() and any(entry.suffix != ".tmp" for entry in root.iterdir() if entry.name not in others):
                raise InvalidValue(f"{root} is not a maskl store and not empty: name another directory with dir=")
            root.mkdir(parents=True, exist_ok=True)
            (root / ".gitignore").write_text("*\n")
            write_json(root / STORE_FILE, json.dumps({"format": FORMAT, "version": VERSION}))
        return cls(root)

    @property
    def seal_cache(self) -> SealCache:
        """The seals that were read, so that none is parsed twice."""
        return self._seals

    def listing(self) -> Listing:
        """Return the live parts at this moment."""
        return list_seals(self.root, self._seals)

    def runs(self) -> list[RunInfo]:
        """Return every run, in order of start."""
        by_run: dict[str, list[dict[str, Any]]] = {}
        for path in self.writer_files():
            body = self.read_writer(path)
            if body["state"] == "running" and self._is_gone(path):
                body = body | {"state": "killed"}
            by_run.setdefault(body["run_id"], []).append(body)
        runs = [_merge(bodies) for bodies in by_run.values()]
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

    def writer_files(self) -> list[str]:
        """Return the path of each writer's file, relative to the store."""
        files = self.root.glob("runs/run_id=*/writer-*.json")
        # a writer claims its number with an empty file, which is filled a moment later
        return sorted(path.relative_to(self.root).as_posix() for path in files if path.stat().st_size)

    def read_writer(self, path: str) -> dict[str, Any]:
        """Return what a writer's file says."""
        file = self.root / path
        stat = file.stat()
        stamp = (stat.st_mtime_ns, stat.st_size)
        if self._writers.get(path, (None,))[0] == stamp:
            return self._writers[path][1]
        try:
            body: dict[str, Any] = json.loads(file.read_bytes())
        except ValueError as error:
            raise CorruptData(f"{path}: not JSON: {error}") from error
        check_version(body.get("version"), path)
        body["run_id"] = run_of(path)
        body["state"] = str(body.get("state") or "running")
        self._writers[path] = (stamp, body)
        return body

    def _is_gone(self, path: str) -> bool:
        """Whether the writer of this file ended without saying so."""
        return is_locked(self.root / lock_path(run_of(path), writer_of(path))) is False


def run_of(path: str) -> str:
    """Return the id of the run that a writer's file belongs to."""
    return decode_name(Path(path).parent.name.removeprefix("run_id="))


def writer_of(path: str) -> int:
    """Return the number of the writer that a file belongs to."""
    return int(Path(path).stem.removeprefix("writer-"))


def lock_path(run_id: str, writer: int) -> str:
    """Return where the file lies that a live writer holds a lock on, relative to the store."""
    return f"wal/run_id={encode_name(run_id)}/{writer}.lock"


def writer_path(run_id: str, number: int) -> str:
    """Return where the file of a run's writer lies, relative to the store."""
    return f"runs/run_id={encode_name(run_id)}/writer-{number}.json"


def _merge(bodies: list[dict[str, Any]]) -> RunInfo:
    bodies.sort(key=lambda body: str(body.get("updated") or ""))
    last = bodies[-1]
    summary: dict[str, Any] = {}
    for body in bodies:
        summary.update(body.get("summary") or {})
    return RunInfo(
        run_id=last["run_id"],
        name=str(last.get("name") or last["run_id"]),
        project=last.get("project"),
        group=last.get("group"),
        job_type=last.get("job_type"),
        state="running" if any(body["state"] == "running" for body in bodies) else last["state"],
        config=last.get("config") or {},
        summary=summary,
        tags=tuple(last.get("tags") or ()),
        notes=last.get("notes"),
        started=min((body["started"] for body in bodies if body.get("started")), default=None),
        updated=last.get("updated"),
        finished=last.get("finished"),
    )


def _check_path(root: Path) -> None:
    if GLOB.search(str(root)) or any(HIVE.match(component) for component in root.parts):
        raise InvalidValue(
            f"the store's path {str(root)!r} holds a character of * ? [ ] {{ }} or a component such as run_id=…, "
            f"which SQL would read as a pattern or a column: choose another directory"
        )
