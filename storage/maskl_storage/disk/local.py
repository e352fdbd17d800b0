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
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from maskl_storage.errors import CorruptData
from maskl_storage.format.paths import unfinished_name

__all__ = ["Folder", "OpenFolder", "folder_of", "name_of"]

#: whether a file can be named by an open folder and its name there; else each folder is looked at before its path is
#: used
AT: Final = {os.open, os.stat, os.unlink, os.rmdir, os.mkdir, os.rename} <= os.supports_dir_fd and (
    os.scandir in os.supports_fd and hasattr(os, "O_NOFOLLOW") and hasattr(os, "O_DIRECTORY")
)
#: flags of every file that is opened: no link, no waiting, no terminal, and the bytes as they are
_FILE: Final = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY"))
_ROOT: Final = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_DIRECTORY", "O_CLOEXEC"))
_FOLDER: Final = _ROOT | getattr(os, "O_NOFOLLOW", 0)
_NAMELESS: Final = getattr(os, "O_TMPFILE", 0)
#: errors of opening what is a link, or no folder
_OTHERS: Final = (errno.ELOOP, errno.ENOTDIR, errno.EMLINK)
#: bytes that are read at a time
_PIECE: Final = 1 << 20
#: what Windows marks junctions with
_JUNCTION: Final = 0xA0000003
#: what a component of a path cannot hold: the system would read it as more than one name, or as the end
_NO_NAME: Final = re.compile(r"[\x00/\\:]" if os.name == "nt" else r"[\x00/]")

_WORDS: Final = {
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
    stat.S_IFREG: "a file",
}
_ADVICE: Final = "nothing of a store is reached through links or special files: remove it, or put {} in its place"

#: is told of a path that was passed over, and why
Odd = Callable[[str, str], None]


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


class OpenFolder:
    """A folder of a store that is open, so that its files are named by their names in it.

    Parameters
    ----------
    root : Path
        The store.
    path : str
        Its path in the store.
    descriptor : int, optional
        What it is open as; None where the system knows no such thing.
    """

    __slots__ = ("_descriptor", "_root", "path")

    def __init__(self, root: Path, path: str, descriptor: int | None) -> None:
        self._root, self.path, self._descriptor = root, path, descriptor

    def __enter__(self) -> OpenFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def path_of(self, name: str) -> str:
        """Return the path in the store of what is called so here."""
        return f"{self.path}/{name}" if self.path else name

    def entries(self) -> list[os.DirEntry[str]]:
        """Return what is in it, in order of the names; to be asked only without following links."""
        try:
            with os.scandir(self._where("") if self._descriptor is None else self._descriptor) as found:
                return sorted(found, key=_entry_name)
        except OSError as error:
            self._tell(error, "")
            raise

    def lstat(self, name: str) -> os.stat_result:
        """Return what the system says of what has the name, which may be anything."""
        try:
            return os.stat(self._at(name), dir_fd=self._descriptor, follow_symlinks=False)
        except OSError as error:
            self._tell(error, name)
            raise

    def exists(self, name: str) -> bool:
        """Whether anything has the name."""
        try:
            self.lstat(name)
        except FileNotFoundError:
            return False
        return True

    def stat(self, name: str) -> os.stat_result:
        """Return what the system says of a file.

        Raises
        ------
        FileNotFoundError
            There is nothing of this name.
        CorruptData
            It is no regular file.
        """
        found = self.lstat(name)
        if not _is_file(found):
            raise _refused(self.path_of(name), found, "a file")
        return found

    def open(self, name: str, flags: int = os.O_RDONLY) -> int:
        """Open a regular file, or make one, as ``flags`` say, and return its descriptor."""
        if not flags & os.O_EXCL:
            try:
                self.stat(name)
            except FileNotFoundError:
                if not flags & os.O_CREAT:
                    raise
        try:
            descriptor = os.open(self._at(name), flags | _FILE, 0o666, dir_fd=self._descriptor)
        except OSError as error:
            if error.errno in _OTHERS:
                self.stat(name)
            self._tell(error, name)
            raise
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            os.close(descriptor)
            raise _refused(self.path_of(name), found, "a file")
        return descriptor

    def read(self, name: str) -> bytes:
        """Return the bytes of a file."""
        descriptor = self.open(name)
        try:
            pieces = [os.read(descriptor, _PIECE)]
            while pieces[-1]:
                pieces.append(os.read(descriptor, _PIECE))
        finally:
            os.close(descriptor)
        return pieces[0] if len(pieces) == 2 else b"".join(pieces)

    def below(self, name: str) -> OpenFolder:
        """Open a folder in this one; whoever does so closes it.

        Raises
        ------
        FileNotFoundError
            There is nothing of this name.
        CorruptData
            It is no folder.
        """
        if self._descriptor is None:
            found = self.lstat(name)
            if not stat.S_ISDIR(found.st_mode) or _leads_on(found):
                raise _refused(self.path_of(name), found, "a folder")
            return OpenFolder(self._root, self.path_of(name), None)
        try:
            descriptor = os.open(name, _FOLDER, dir_fd=self._descriptor)
        except OSError as error:
            if error.errno in _OTHERS:
                raise _refused(self.path_of(name), self.lstat(name), "a folder") from error
            self._tell(error, name)
            raise
        return OpenFolder(self._root, self.path_of(name), descriptor)

    def make(self, name: str, *, sync: bool = False) -> None:
        """Make a folder in this one, if there is none of this name."""
        with contextlib.suppress(FileExistsError), self._named(name):
            os.mkdir(self._at(name), dir_fd=self._descriptor)
            if sync:
                self.sync()

    def remove(self, name: str) -> None:
        """Remove a file, or a link by itself."""
        with self._named(name):
            os.unlink(self._at(name), dir_fd=self._descriptor)

    def remove_folder(self, name: str) -> None:
        """Remove an empty folder."""
        with self._named(name):
            os.rmdir(self._at(name), dir_fd=self._descriptor)

    def remove_tree(self, name: str) -> None:
        """Remove a folder with what is in it, as far as that can be; a link stays."""
        shutil.rmtree(self._at(name), ignore_errors=True, dir_fd=self._descriptor)

    def nameless(self) -> int:
        """Make a file without a name, which ends when it is closed, and return its descriptor."""
        if _NAMELESS and self._descriptor is not None:
            with contextlib.suppress(OSError):  # a file system that knows none
                return os.open(".", _NAMELESS | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=self._descriptor)
        name = unfinished_name(secrets.token_hex(8), os.getpid())
        descriptor = self.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        self.remove(name)
        return descriptor

    def rename(self, name: str, into: OpenFolder, target: str) -> None:
        """Give a file or folder another name, in place of what may be replaced by it."""
        with into._named(target):
            os.replace(self._at(name), into._at(target), src_dir_fd=self._descriptor, dst_dir_fd=into._descriptor)

    def sync(self) -> None:
        """Wait until the names in it are on the disk; where a folder is no file, nobody can."""
        if self._descriptor is not None:
            os.fsync(self._descriptor)

    def _at(self, name: str) -> str:
        return name if self._descriptor is not None else self._where(name)

    def _where(self, name: str) -> str:
        """Return the path on the disk of what is called so here."""
        return str(self._root / self.path / name)

    def _tell(self, error: OSError, name: str) -> None:
        """Have an error of the system's tell the path, and not the name alone."""
        error.filename, error.filename2 = self._where(name), None

    @contextlib.contextmanager
    def _named(self, name: str) -> Iterator[None]:
        """Have the system's errors tell the path: for what is done once, since it costs more than opening a file."""
        try:
            yield
        except OSError as error:
            self._tell(error, name)
            raise


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

    def opened(self, path: str = "") -> OpenFolder:
        """Open a folder, by default the root, which is closed at the end of a ``with``."""
        names = _components(path)
        folder = OpenFolder(self.root, "", os.open(self.root, _ROOT) if AT else None)
        for name in names:
            try:
                below = folder.below(name)
            finally:
                folder.close()
            folder = below
        return folder

    # --- files ------------------------------------------------------------------------------------

    def exists(self, path: str) -> bool:
        """Whether there is anything at a path: a link, too, wherever it leads."""
        try:
            with self.opened(folder_of(path)) as folder:
                return folder.exists(_name(path))
        except FileNotFoundError:
            return False

    def stat(self, path: str) -> os.stat_result:
        """Return what the system says of a file."""
        with self.opened(folder_of(path)) as folder:
            return folder.stat(_name(path))

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

    def refused(self, paths: Iterable[str]) -> dict[str, str]:
        """Return those of many paths that lead to no regular file, with what is wrong; what is not there is not told.

        Each folder is opened once, and so is the one above it.
        """
        found: dict[str, str] = {}
        beside: dict[str, dict[str, list[str]]] = {}
        for path in paths:
            above = folder_of(path)
            beside.setdefault(folder_of(above), {}).setdefault(above, []).append(path)
        for upper, folders in beside.items():
            try:
                with self.opened(upper) as top:
                    for above, members in folders.items():
                        found |= _refused_in(top, _name(above) if above else None, members)
            except FileNotFoundError:
                continue
            except CorruptData as error:
                found |= {path: str(error) for members in folders.values() for path in members}
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
                    view = memoryview(data)
                    while view.nbytes:
                        view = view[os.write(file.fileno(), view) :]
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
            Is told of a component that matches, is to be a folder and is none, and what it is.
        """
        found: list[str] = []
        with contextlib.suppress(FileNotFoundError), self.opened() as root:
            _collect(root, pattern.split("/"), found, odd or (lambda _path, _why: None))
        return found

    def walk(self, odd: Odd) -> Iterator[str]:
        """Yield the paths of all files, folder by folder; ``odd`` is told of what is neither file nor folder."""
        waiting = [""]
        while waiting:
            path = waiting.pop()
            with contextlib.suppress(FileNotFoundError), self.opened(path) as folder:
                below = []
                for entry in folder.entries():
                    if entry.is_dir(follow_symlinks=False) and not _leads_on(entry.stat(follow_symlinks=False)):
                        below.append(folder.path_of(entry.name))
                    elif _is_file(found := entry.stat(follow_symlinks=False)):
                        yield folder.path_of(entry.name)
                    else:
                        odd(folder.path_of(entry.name), _what(found, "what belongs there"))
                waiting += reversed(below)


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


def _entry_name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _is_file(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode) and not _leads_on(found)


def _leads_on(found: os.stat_result) -> bool:
    """Whether it is a junction of Windows, which is a folder to most and leads elsewhere as a link does."""
    return getattr(found, "st_reparse_tag", 0) == _JUNCTION


def _what(found: os.stat_result, needed: str) -> str:
    """Say what something is that is not what is needed."""
    word = "a link" if _leads_on(found) else _WORDS.get(stat.S_IFMT(found.st_mode), "something else")
    advice = _ADVICE.format(needed) if word not in ("a file", "a folder") else f"put {needed} in its place"
    return f"it is {word}: {advice}"


def _refused(path: str, found: os.stat_result, needed: str) -> CorruptData:
    return CorruptData(f"{path}: {needed} is needed; {_what(found, needed)}")


def _refused_in(top: OpenFolder, name: str | None, paths: list[str]) -> dict[str, str]:
    """Return those of the paths of a folder in an open one, or of that one itself, that lead to no regular file."""
    try:
        folder = top if name is None else top.below(name)
    except FileNotFoundError:
        return {}
    except CorruptData as error:
        return dict.fromkeys(paths, str(error))
    found: dict[str, str] = {}
    try:
        for path in paths:
            try:
                folder.stat(_name(path))
            except FileNotFoundError:
                continue
            except CorruptData as error:
                found[path] = str(error)
    finally:
        if folder is not top:
            folder.close()
    return found


def _anew(folder: OpenFolder, name: str) -> int:
    """Make a file in place of what an earlier process may have left under its name, and return its descriptor."""
    with contextlib.suppress(FileNotFoundError):
        folder.remove(name)
    return folder.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL)


def _collect(folder: OpenFolder, parts: list[str], found: list[str], odd: Odd) -> None:
    """Append the paths below an open folder that the components of a pattern match."""
    part, *rest = parts
    for name in _matching(folder, part):
        if not rest:
            found.append(folder.path_of(name))
            continue
        try:
            below = folder.below(name)
        except FileNotFoundError:
            continue
        except CorruptData as error:
            odd(folder.path_of(name), str(error).removeprefix(f"{folder.path_of(name)}: "))
            continue
        try:
            _collect(below, rest, found, odd)
        finally:
            below.close()


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
