"""A folder that is open: what is in it is named by its name there, and no link is followed but where that is asked."""

from __future__ import annotations

import contextlib
import errno
import operator
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from typing import Final

from maskl_storage.errors import CorruptData
from maskl_storage.format.paths import unfinished_name

__all__ = ["ROOT", "OpenFolder", "is_file", "is_folder", "leads_on", "refused", "said_of"]

#: flags of every file that is opened: no link, no waiting, no terminal, and the bytes as they are
_FILE: Final = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY"))
#: and of every folder; the first one may be reached through links
ROOT: Final = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_DIRECTORY", "O_CLOEXEC"))
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0)
_FOLDER: Final = ROOT | _NO_LINK
_NAMELESS: Final = getattr(os, "O_TMPFILE", 0)
#: errors of opening what is a link, or no folder
_OTHERS: Final = (errno.ELOOP, errno.ENOTDIR, errno.EMLINK)
_BY_NAME: Final = operator.attrgetter("name")
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
    where : str
        Its path on the disk.
    path : str
        Its path in the store.
    descriptor : int, optional
        What it is open as; None where the system knows no such thing, and what is in it is named by its path.
    links : bool, optional
        Whether files and folders in it are opened through links, too; never those of a store.
    """

    __slots__ = ("_descriptor", "_links", "_where", "path")

    def __init__(self, where: str, path: str, descriptor: int | None, *, links: bool = False) -> None:
        self._where, self.path, self._descriptor, self._links = where, path, descriptor, links

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
            return sorted(found, key=_BY_NAME)

    def lstat(self, name: str) -> os.stat_result:
        """Return what the system says of what has the name, which may be anything."""
        try:
            return os.stat(self._at(name), dir_fd=self._descriptor, follow_symlinks=False)
        except OSError as error:
            error.filename = self._path(name)
            raise

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
            raise refused(self.path_of(name), found, "a file")
        return found

    def open(self, name: str, flags: int = os.O_RDONLY, found: os.stat_result | None = None) -> int:
        """Open a regular file, or make one, as ``flags`` say, and return its descriptor.

        ``found`` is what the system has just said of what has the name, without following links; else it is asked.
        """
        if found is not None and self._descriptor is not None and not self._links:
            if not is_file(found):
                raise refused(self.path_of(name), found, "a file")
        elif not flags & os.O_EXCL:
            try:
                self.stat(name)
            except FileNotFoundError:
                if not flags & os.O_CREAT:
                    raise
        try:
            descriptor = os.open(self._at(name), flags | self._own(_FILE), 0o666, dir_fd=self._descriptor)
        except OSError as error:
            if error.errno in _OTHERS:
                self.stat(name)
            error.filename = self._path(name)
            raise
        opened = os.fstat(descriptor)
        if not stat.S_ISREG(opened.st_mode):
            os.close(descriptor)
            raise refused(self.path_of(name), opened, "a file")
        return descriptor

    def read(self, name: str, found: os.stat_result | None = None) -> bytes:
        """Return the bytes of a file; ``found`` is as in :meth:`open`."""
        with open(self.open(name, found=found), "rb", buffering=0) as file:
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
            if not is_folder(found):
                raise refused(self.path_of(name), found, "a folder")
            return OpenFolder(self._path(name), self.path_of(name), None, links=self._links)
        try:
            descriptor = os.open(name, self._own(_FOLDER), dir_fd=self._descriptor)
        except OSError as error:
            if error.errno in _OTHERS:
                raise refused(self.path_of(name), self.lstat(name), "a folder") from error
            error.filename = self._path(name)
            raise
        return OpenFolder(self._path(name), self.path_of(name), descriptor, links=self._links)

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

    def _path(self, name: str) -> str:
        return f"{self._where}{os.sep}{name}"

    def _at(self, name: str) -> str:
        return name if self._descriptor is not None else self._path(name)

    @contextlib.contextmanager
    def _named(self, name: str) -> Iterator[None]:
        """Have the system's errors tell the path, and not the name alone."""
        try:
            yield
        except OSError as error:
            error.filename, error.filename2 = self._path(name), None
            raise


def is_file(found: os.stat_result) -> bool:
    """Whether it is a regular file."""
    return stat.S_ISREG(found.st_mode) and not leads_on(found)


def is_folder(found: os.stat_result) -> bool:
    """Whether it is a folder of its own, and no way to another."""
    return stat.S_ISDIR(found.st_mode) and not leads_on(found)


def leads_on(found: os.stat_result) -> bool:
    """Whether it is a junction of Windows, which is a folder to most and leads elsewhere as a link does."""
    return getattr(found, "st_reparse_tag", 0) == _JUNCTION


def said_of(found: os.stat_result, needed: str) -> str:
    """Say what something is that is not what is needed."""
    word = "a link" if leads_on(found) else _WORDS.get(stat.S_IFMT(found.st_mode), "something else")
    advice = _ADVICE.format(needed) if word not in ("a file", "a folder") else f"put {needed} in its place"
    return f"it is {word}: {advice}"


def refused(path: str, found: os.stat_result, needed: str) -> CorruptData:
    """Return the error that names what is not what is needed."""
    return CorruptData(f"{path}: {needed} is needed; {said_of(found, needed)}")
