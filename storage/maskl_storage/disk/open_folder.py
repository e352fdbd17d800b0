"""A folder that is open, whose files are named by their names in it, and opened through links only where that is asked.

Each folder on the way to a file is opened by its name in the one before it, and what is opened at the end is a regular
file, known to be one before it is opened, since opening a FIFO or a device may wait, or do something.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from maskl_storage.errors import CorruptData
from maskl_storage.format.paths import unfinished_name

__all__ = ["AT", "OpenFolder", "is_file", "leads_on", "what_it_is"]

#: whether a file can be named by an open folder and its name there; else each folder is looked at before its path is
#: used
AT: Final = {os.open, os.stat, os.unlink, os.rmdir, os.mkdir, os.rename} <= os.supports_dir_fd and (
    os.scandir in os.supports_fd and hasattr(os, "O_NOFOLLOW") and hasattr(os, "O_DIRECTORY")
)
#: flags of every file that is opened: no link, no waiting, no terminal, and the bytes as they are
_FILE: Final = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY"))
_ROOT: Final = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_DIRECTORY", "O_CLOEXEC"))
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0)
_FOLDER: Final = _ROOT | _NO_LINK
_NAMELESS: Final = getattr(os, "O_TMPFILE", 0)
#: errors of opening what is a link, or no folder
_OTHERS: Final = (errno.ELOOP, errno.ENOTDIR, errno.EMLINK)
#: what Windows marks junctions with
_JUNCTION: Final = 0xA0000003
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


class OpenFolder:
    """A folder of a store that is open, so that its files are named by their names in it.

    Parameters
    ----------
    where : Path
        Its path on the disk.
    path : str
        Its path in the store.
    descriptor : int, optional
        What it is open as; None where the system knows no such thing, and what is in it is named by its path.
    links : bool, optional
        Whether files and folders in it are opened through links, too.
    """

    __slots__ = ("_descriptor", "_links", "_where", "path")

    def __init__(self, where: Path, path: str, descriptor: int | None, *, links: bool = False) -> None:
        self._where, self.path, self._descriptor, self._links = where, path, descriptor, links

    @classmethod
    def at(cls, where: Path, *, links: bool = False) -> OpenFolder:
        """Open the folder of a path, which may be reached through links; whoever does so closes it."""
        return cls(where, "", os.open(where, _ROOT) if AT else None, links=links)

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
        with self._named(""), os.scandir(self._where if self._descriptor is None else self._descriptor) as found:
            return sorted(found, key=lambda entry: entry.name)

    def lstat(self, name: str) -> os.stat_result:
        """Return what the system says of what has the name, which may be anything."""
        with self._named(name):
            return os.stat(self._at(name), dir_fd=self._descriptor, follow_symlinks=False)

    def beyond(self, name: str) -> os.stat_result:
        """Return what the system says of what the name leads to through links, of which nothing is opened."""
        with self._named(name):
            return os.stat(self._at(name), dir_fd=self._descriptor)

    def target(self, name: str) -> str:
        """Return where a link says that it leads."""
        with self._named(name):
            return os.readlink(self._at(name), dir_fd=self._descriptor)

    def identity(self) -> tuple[int, int]:
        """Return what tells the folder from all others."""
        with self._named(""):
            found = os.stat(self._where if self._descriptor is None else self._descriptor)
        return found.st_dev, found.st_ino

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
        found = self.beyond(name) if self._links else self.lstat(name)
        if not is_file(found):
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
            with self._named(name):
                descriptor = os.open(self._at(name), flags | self._own(_FILE), 0o666, dir_fd=self._descriptor)
        except OSError as error:
            if error.errno in _OTHERS:
                self.stat(name)
            raise
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            os.close(descriptor)
            raise _refused(self.path_of(name), found, "a file")
        return descriptor

    def read(self, name: str) -> bytes:
        """Return the bytes of a file."""
        with open(self.open(name), "rb", buffering=0) as file:
            return file.read()

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
            found = self.beyond(name) if self._links else self.lstat(name)
            if not stat.S_ISDIR(found.st_mode) or leads_on(found):
                raise _refused(self.path_of(name), found, "a folder")
            return OpenFolder(self._where / name, self.path_of(name), None, links=self._links)
        try:
            with self._named(name):
                descriptor = os.open(name, self._own(_FOLDER), dir_fd=self._descriptor)
        except OSError as error:
            if error.errno in _OTHERS:
                raise _refused(self.path_of(name), self.lstat(name), "a folder") from error
            raise
        return OpenFolder(self._where / name, self.path_of(name), descriptor, links=self._links)

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

    def _own(self, flags: int) -> int:
        return flags & ~_NO_LINK if self._links else flags

    def _at(self, name: str) -> str:
        return name if self._descriptor is not None else str(self._where / name)

    @contextlib.contextmanager
    def _named(self, name: str) -> Iterator[None]:
        """Have the system's errors tell the path, and not the name alone."""
        try:
            yield
        except OSError as error:
            error.filename, error.filename2 = str(self._where / name), None
            raise


def is_file(found: os.stat_result) -> bool:
    """Whether it is a regular file, and no link to one."""
    return stat.S_ISREG(found.st_mode) and not leads_on(found)


def leads_on(found: os.stat_result) -> bool:
    """Whether it is a junction of Windows, which is a folder to most and leads elsewhere as a link does."""
    return getattr(found, "st_reparse_tag", 0) == _JUNCTION


def what_it_is(found: os.stat_result, needed: str) -> str:
    """Say what something is that is not what is needed."""
    word = "a link" if leads_on(found) else _WORDS.get(stat.S_IFMT(found.st_mode), "something else")
    advice = _ADVICE.format(needed) if word not in ("a file", "a folder") else f"put {needed} in its place"
    return f"it is {word}: {advice}"


def _refused(path: str, found: os.stat_result, needed: str) -> CorruptData:
    return CorruptData(f"{path}: {needed} is needed; {what_it_is(found, needed)}")
