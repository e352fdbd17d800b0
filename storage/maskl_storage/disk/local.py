"""The files of a store on a disk: whatever opens, lists, makes or removes one does it here, and follows no link.

A store may come from somebody else. So its directory may be reached through links, and nothing below it is: each
folder on the way to a file is opened by its name in the one before it, and what is opened at the end is a regular
file, known to be one before it is opened, since opening a FIFO or a device may wait, or do something. What opens by
path, as pyarrow and DuckDB do, gets a path that was looked at just before. That is safe with a store that somebody
else made, and not with one that somebody else changes meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import io
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from maskl_storage.disk._opened import ROOT, OpenFolder, is_file, is_folder, leads_on, refused, said_of
from maskl_storage.errors import CorruptData
from maskl_storage.format.paths import unfinished_name

__all__ = ["Folder", "Odd", "OpenFolder", "folder_of", "leads_on", "name_of", "open_folder", "telling", "write_all"]

#: whether a file can be named by an open folder and its name there; else each folder is looked at before its path is
#: used
AT: Final = {os.open, os.stat, os.unlink, os.rmdir, os.mkdir, os.rename} <= os.supports_dir_fd and (
    os.scandir in os.supports_fd and hasattr(os, "O_NOFOLLOW") and hasattr(os, "O_DIRECTORY")
)
#: what a component of a path cannot hold: the system would read it as more than one name, or as the end
_NO_NAME: Final = re.compile(r"[\x00/\\:]" if os.name == "nt" else r"[\x00/]")

#: is told of a path that was passed over, and why
Odd = Callable[[str, str], None]


@contextlib.contextmanager
def telling(odd: Odd, path: str) -> Iterator[None]:
    """Pass over what is damaged, and tell of it."""
    try:
        yield
    except CorruptData as error:
        odd(path, str(error).removeprefix(f"{path}: "))


def folder_of(path: str) -> str:
    """Return the folder that a path of a store lies in; of one at the top, the empty path.

    Examples
    --------
    >>> folder_of("wal/run_id=r/0.lock"), folder_of("maskl.json")
    ('wal/run_id=r', '')
    """
    return path.rpartition("/")[0]


def name_of(path: str) -> str:
    """Return the name that a path of a store ends with.

    Examples
    --------
    >>> name_of("wal/run_id=r/0.lock")
    '0.lock'
    """
    return path.rpartition("/")[2]


def open_folder(where: Path, *, links: bool = False) -> OpenFolder:
    """Open the folder of a path, which may be reached through links; whoever does so closes it.

    Parameters
    ----------
    where : Path
        The folder.
    links : bool, optional
        Whether what is in it is opened through links, too, as its user asked for; never what is in a store.
    """
    return OpenFolder(str(where), "", os.open(where, ROOT) if AT else None, links=links)


@dataclass(frozen=True, slots=True)
class Folder:
    """The files of a store, or of another folder that others may have filled, by their paths in it with ``/``.

    Whatever takes a path raises CorruptData where the way to it, or what is there, is a link, a FIFO, a device, a
    socket, or a folder in the place of a file; FileNotFoundError where there is nothing.

    Parameters
    ----------
    root : Path
        The directory, which may itself be reached through links.
    """

    root: Path

    @contextlib.contextmanager
    def opened(self, path: str = "") -> Iterator[OpenFolder]:
        """Hold a folder open; by default the root."""
        folder = open_folder(self.root)
        try:
            for name in _components(path):
                below = folder.below(name)
                folder.close()
                folder = below
            yield folder
        finally:
            folder.close()

    # --- files ------------------------------------------------------------------------------------

    def exists(self, path: str) -> bool:
        """Whether there is anything at a path: a link, too, wherever it leads, but nothing that lies behind one."""
        try:
            with self.opened(folder_of(path)) as folder:
                return folder.exists(_name(path))
        except (FileNotFoundError, CorruptData):
            return False

    def stat(self, path: str) -> os.stat_result:
        """Return what the system says of a file."""
        with self.opened(folder_of(path)) as folder:
            return folder.stat(_name(path))

    def leads_to(self, path: str, descriptor: int) -> bool:
        """Whether a path still leads to a file that is open: one look, whatever the way, since nothing is opened."""
        try:
            found = os.stat(f"{self.root}/{path}")
        except (FileNotFoundError, NotADirectoryError):
            return False
        return os.path.samestat(found, os.fstat(descriptor))

    def read(self, path: str) -> bytes:
        """Return the bytes of a file."""
        with self.opened(folder_of(path)) as folder:
            return folder.read(_name(path))

    def open(self, path: str, flags: int = os.O_RDONLY) -> int:
        """Open a file, or make one, as ``flags`` say, and return its descriptor; it is no other program's."""
        with self.opened(folder_of(path)) as folder:
            return folder.open(_name(path), flags)

    def reader(self, path: str) -> io.BufferedReader:
        """Return a file, open to be read."""
        return open(self.open(path), "rb")

    def raw_reader(self, path: str) -> io.FileIO:
        """Return a file, open to be read without a buffer."""
        return open(self.open(path), "rb", buffering=0)

    def checked(self, path: str) -> Path:
        """Return the path on the disk of what is a regular file reached without links, for what opens by path."""
        self.stat(path)
        return self.root / path

    def refused(self, paths: Iterable[str], stats: dict[str, os.stat_result] | None = None) -> dict[str, str]:
        """Return those of many paths that lead to no regular file, with what is wrong; what is not there, is not.

        What lies in neighbouring folders is looked at from one that is open. ``stats`` gets what the system says of
        the others.
        """
        found: dict[str, str] = {}
        stats = {} if stats is None else stats
        by_above: dict[str, list[str]] = {}
        for path in paths:
            by_above.setdefault(folder_of(folder_of(path)), []).append(path)
        for above, members in by_above.items():
            try:
                with self.opened(above) as folder:
                    _look(folder, members, found, stats)
            except FileNotFoundError:
                continue
            except CorruptData as error:
                found.update(dict.fromkeys(members, str(error)))
        return found

    def raw_writer(self, path: str) -> io.FileIO:
        """Return a file, open to be written to without a buffer, with what it holds; it is made if there is none."""
        return open(path, "wb", buffering=0, opener=lambda _path, _flags: self.open(path, os.O_WRONLY | os.O_CREAT))

    def write(self, path: str, data: bytes, *, sync: bool = False) -> None:
        """Write a small file, whole or not at all, in a folder that is made if there is none."""
        self.make_folder(folder_of(path), sync=sync)
        with self.opened(folder_of(path)) as folder:
            name = _name(path)
            temporary = unfinished_name(name, os.getpid())
            try:
                with open(_anew(folder, temporary), "wb", buffering=0) as file:
                    write_all(file.fileno(), data)
                    if sync:
                        os.fsync(file.fileno())
                folder.rename(temporary, folder, name)
                if sync:
                    folder.sync()
            finally:
                with contextlib.suppress(FileNotFoundError):
                    folder.remove(temporary)

    def create(self, path: str) -> int:
        """Make a file to write to, and return its descriptor.

        Raises
        ------
        FileExistsError
            Something has the name.
        """
        return self.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)

    def create_anew(self, path: str) -> Path:
        """Make an empty file in place of what has its name, and return its path, for what writes by path."""
        with self.opened(folder_of(path)) as folder:
            os.close(_anew(folder, _name(path)))
        return self.root / path

    def rename(self, path: str, target: str, *, sync: bool = False) -> None:
        """Give a finished file its name, in place of what has that name."""
        with self.opened(folder_of(path)) as folder, self.opened(folder_of(target)) as into:
            if sync:
                descriptor = folder.open(_name(path))
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
            folder.rename(_name(path), into, _name(target))
            if sync:
                into.sync()

    def remove(self, path: str) -> None:
        """Remove a file, where there is one; of a link, the link itself."""
        with contextlib.suppress(FileNotFoundError), self.opened(folder_of(path)) as folder:
            folder.remove(_name(path))

    # --- folders ----------------------------------------------------------------------------------

    def make_folder(self, path: str, *, sync: bool = False) -> None:
        """Make a folder and those above it, where they are not there; the root must be."""
        try:
            with self.opened(path):
                return
        except FileNotFoundError:
            pass
        made = ""
        for name in _components(path):
            with self.opened(made) as folder:
                folder.make(name, sync=sync)
            made = f"{made}/{name}" if made else name
        with self.opened(path):  # raises where something else has the name
            return

    def sync_folder(self, path: str) -> None:
        """Wait until the names in a folder are on the disk."""
        with self.opened(path) as folder:
            folder.sync()

    def nameless(self, path: str) -> int:
        """Make a file without a name in a folder, which is made if there is none, and return its descriptor."""
        self.make_folder(path)
        with self.opened(path) as folder:
            return folder.nameless()

    def remove_folder(self, path: str) -> None:
        """Remove an empty folder."""
        with self.opened(folder_of(path)) as folder:
            folder.remove_folder(_name(path))

    def remove_tree(self, path: str) -> None:
        """Remove a folder with what is in it, as far as that can be; of links in it, the links themselves."""
        with contextlib.suppress(FileNotFoundError), self.opened(folder_of(path)) as folder:
            folder.remove_tree(_name(path))

    def move(self, path: str, into: Folder, target: str) -> None:
        """Give a file or folder a name in another folder, in one step; an empty folder that has the name gives way.

        Raises
        ------
        FileExistsError
            Something has the name.
        """
        with self.opened(folder_of(path)) as folder, into.opened(folder_of(target)) as other:
            name = _name(target)
            with contextlib.suppress(FileNotFoundError):
                taken = other.lstat(name)
                try:
                    if not stat.S_ISDIR(taken.st_mode):
                        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
                    other.remove_folder(name)
                except OSError as error:
                    if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                        raise
                    where = str(into.root / target)
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), where) from error
            folder.rename(_name(path), other, name)

    # --- lists ------------------------------------------------------------------------------------

    def names(self, path: str = "") -> list[str]:
        """Return the names of what is in a folder, in order; none where there is no such folder."""
        try:
            with self.opened(path) as folder:
                return [entry.name for entry in folder.entries()]
        except FileNotFoundError:
            return []

    def glob(self, pattern: str, odd: Odd | None = None) -> list[str]:
        """Return the paths that a pattern matches, each component as a whole, in order.

        What bears a name that matches may be anything: who opens it learns what it is. Nothing is looked for in what
        is no folder.

        Parameters
        ----------
        pattern : str
            As :meth:`pathlib.Path.glob` takes them, without ``**``.
        odd : callable, optional
            Is told of a component that is to be a folder and is none, and what it is.
        """
        found: list[str] = []
        with contextlib.suppress(FileNotFoundError), self.opened() as root:
            _collect(root, pattern.split("/"), found, odd or (lambda _path, _why: None))
        return found

    def walk(self, odd: Odd, below: str = "") -> Iterator[str]:
        """Yield the paths of all files below a folder, folder by folder.

        ``odd`` is told of what is neither file nor folder.
        """
        waiting = [below]
        while waiting:
            path = waiting.pop()
            with contextlib.suppress(FileNotFoundError), self.opened(path) as folder:
                inner = []
                for entry in folder.entries():
                    if is_folder(found := entry.stat(follow_symlinks=False)):
                        inner.append(folder.path_of(entry.name))
                    elif is_file(found):
                        yield folder.path_of(entry.name)
                    else:
                        odd(folder.path_of(entry.name), said_of(found, "what belongs there"))
                waiting += reversed(inner)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write bytes to a file that is open, however many calls of the system that takes."""
    view = memoryview(data)
    while view.nbytes:
        view = view[os.write(descriptor, view) :]


def _components(path: str) -> list[str]:
    """Return the names that a path of a store is made of."""
    names = path.split("/") if path else []
    for name in names:
        if name in ("", ".", "..") or _NO_NAME.search(name):
            raise CorruptData(f"{path!r:.200} is no path of a file in a store: its parts are names with / between them")
    return names


def _name(path: str) -> str:
    """Return the last component of a path."""
    return _components(path)[-1]


def _anew(folder: OpenFolder, name: str) -> int:
    """Make a file in place of what an earlier process may have left under its name, and return its descriptor."""
    with contextlib.suppress(FileNotFoundError):
        folder.remove(name)
    return folder.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL)


def _look(above: OpenFolder, paths: Iterable[str], found: dict[str, str], stats: dict[str, os.stat_result]) -> None:
    """Look at files in an open folder, or in folders in it, and note which are none, and why."""
    looked: set[str] = {""}
    problems: dict[str, str] = {}
    for path in paths:
        inner = path.removeprefix(f"{above.path}/")
        folder = folder_of(inner)
        try:
            _components(path)
            if folder not in looked:
                there = above.lstat(folder)
                looked.add(folder)
                if not is_folder(there):
                    problems[folder] = str(refused(above.path_of(folder), there, "a folder"))
            if folder in problems:
                found[path] = problems[folder]
            else:
                stats[path] = above.stat(inner)
        except FileNotFoundError:
            continue
        except CorruptData as error:
            found[path] = str(error)


def _collect(folder: OpenFolder, parts: list[str], found: list[str], odd: Odd) -> None:
    """Append the paths below an open folder that the components of a pattern match."""
    part, *rest = parts
    for name in _matching(folder, part):
        if not rest:
            found.append(folder.path_of(name))
            continue
        with (
            contextlib.suppress(FileNotFoundError),
            telling(odd, folder.path_of(name)),
            contextlib.closing(folder.below(name)) as below,
        ):
            _collect(below, rest, found, odd)


def _matching(folder: OpenFolder, part: str) -> list[str]:
    if not _has_wildcard(part):
        return [part] if folder.exists(part) else []
    matches = _pattern(part).fullmatch
    return [entry.name for entry in folder.entries() if matches(entry.name)]


def _has_wildcard(part: str) -> bool:
    return any(character in part for character in "*?[")


@lru_cache
def _pattern(part: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(part))
