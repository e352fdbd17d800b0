"""Locks that a process holds on a file, and that end with it however it ends.

Who writes holds an exclusive one on a file of its own; who reads a store holds a shared one on its ``maskl.json``,
and nobody removes files of the store at once then.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from maskl_storage.disk.forks import renewed
from maskl_storage.disk.local import Folder
from maskl_storage.errors import MasklWarning, warn
from maskl_storage.format.document import STORE_FILE

fcntl: Any = None
if os.name == "posix":
    import fcntl

__all__ = ["FileLock", "LocksUnsupported", "hold_shared", "is_locked", "nobody_reads", "reading", "warn_unprotected"]

#: errors of file systems that know no locks
UNSUPPORTED: Final = (errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL)
#: seconds after which who asks whether a file is locked has let go of it
ASKED: Final = 0.0005

#: the stores that this process reads: what a query returned may be fetched at any later time, in a forked child too
_held: dict[Path, int] = {}
#: the stores of which this process has said that locks do not work there
_warned: set[Path] = set()


class LocksUnsupported(OSError):  # named for what is wrong
    """The file system or the operating system knows no locks, so nobody can tell whether a process lives."""


class _Locked(io.FileIO):
    """An open file that nobody else can come by, so that a lock on it ends when nobody has it any more.

    Of a descriptor, which is a number, an interrupt between two lines can lose the last trace, and the lock stays.
    """

    def __del__(self) -> None:
        self.close()  # which is how it ends, and nothing to warn of


class FileLock:
    """An exclusive lock on a file, which is made if there is none.

    The kernel lets go of it when the process ends. A forked child closes its copy, so that it neither
    holds nor ends the lock of its parent.

    Parameters
    ----------
    files : Folder
        The store, or the folder that the file is in.
    path : str
        The file in it; its folder must exist.

    Raises
    ------
    CorruptData
        What bears its name is no file, or is reached through a link: whoever takes the lock or asks for it learns so.
    """

    def __init__(self, files: Folder, path: str) -> None:
        self.files, self.path = files, path
        self._file: _Locked | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._file is not None

    @property
    def lost(self) -> bool:
        """Whether the lock is held on a file that somebody removed."""
        return self._file is not None and not self.files.leads_to(self.path, self._file.fileno())

    def acquire(self, *, wait: bool = False) -> bool:
        """Take the lock; return False where another holds it.

        Raises
        ------
        LocksUnsupported
            There are no locks here.
        """
        if fcntl is None:
            raise LocksUnsupported(
                errno.ENOTSUP, "this operating system has no flock", str(self.files.root / self.path)
            )
        if self.held:
            return True
        while True:
            file = _Locked(self.files.open(self.path, os.O_RDWR | os.O_CREAT), "r+")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except OSError as error:
                file.close()
                if error.errno in (errno.EAGAIN, errno.EACCES):
                    if is_locked(self.files, self.path):
                        return False
                    time.sleep(ASKED)
                    continue  # it was somebody who only asked
                if error.errno in UNSUPPORTED:
                    raise LocksUnsupported(error.errno, error.strerror, str(self.files.root / self.path)) from error
                raise
            if self.files.leads_to(self.path, file.fileno()):
                self._file = file
                renewed(self)
                return True
            file.close()  # its last holder removed the file: whoever comes next locks another one

    def release(self, *, remove: bool = False) -> None:
        """Let go of the lock, and remove the file first if asked to."""
        if self._file is None:
            return
        if remove:
            self.files.remove(self.path)
        self.close()

    def close(self) -> None:
        """Close this process's copy of the lock."""
        self._file = None

    def renew(self) -> None:
        """Close a forked child's copy: it holds none of its parent's locks."""
        self.close()


def is_locked(files: Folder, path: str) -> bool | None:
    """Whether somebody holds the lock on a file of a store; None where the file system cannot tell."""
    try:
        descriptor = files.open(path)
    except FileNotFoundError:
        return False
    try:
        if fcntl is None:
            return None
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: those who ask are not in each other's way
    except OSError as error:
        return None if error.errno in UNSUPPORTED else True
    finally:
        os.close(descriptor)
    return False


def warn_unprotected(root: Path) -> None:
    """Warn, once a process and store, of what nobody can keep apart where locks do not work."""
    if root not in _warned:
        _warned.add(root)
        warn(
            f"locks do not work in {root}, so nobody can tell whether a run there is being written: compact and delete "
            f"are refused, what a killed process leaves is brought in by maskl recover --force alone, and two "
            f"processes that write to one run or recover it are not kept apart; choose a disk where locks work",
            MasklWarning,
        )


def hold_shared(files: Folder) -> None:
    """Say, until this process ends, that it reads a store; a forked child goes on saying so.

    For what is given away, such as a query's result, of which nobody can tell how long it is used. The lock is on
    ``maskl.json``, so that a store that may only be read is left as it is. Where locks do not work, nothing is said,
    and nobody can tell there that a store is not read.
    """
    if fcntl is None:
        return
    with contextlib.suppress(OSError):
        root = files.root
        if root in _held:
            if files.leads_to(STORE_FILE, _held[root]):
                return
            os.close(_held.pop(root))  # the store was removed and made again
        descriptor = files.open(STORE_FILE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        except OSError:
            os.close(descriptor)
        else:
            _held[root] = descriptor


@contextlib.contextmanager
def reading(files: Folder) -> Iterator[None]:
    """Say, while the block runs, that a store is read; where locks do not work, nothing is said."""
    with contextlib.ExitStack() as stack:
        if fcntl is not None:
            with contextlib.suppress(OSError):
                file = stack.enter_context(files.raw_reader(STORE_FILE))
                fcntl.flock(file.fileno(), fcntl.LOCK_SH)
        yield


@contextlib.contextmanager
def nobody_reads(files: Folder) -> Iterator[bool]:
    """Tell whether no process reads a store; while the block runs, none begins to.

    Raises
    ------
    LocksUnsupported
        There are no locks here.
    """
    if fcntl is None:
        raise LocksUnsupported("this operating system has no flock")
    asking = _Asking(files)
    try:
        try:
            fcntl.flock(asking.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        except OSError as error:
            raise LocksUnsupported(error.errno, error.strerror, str(files.root / STORE_FILE)) from error
        else:
            yield True
    finally:
        asking.renew()


class _Asking:
    """The open file by which a thread asks whether anybody reads; a forked child never makes its parent wait."""

    def __init__(self, files: Folder) -> None:
        self.file: _Locked | None = _Locked(files.open(STORE_FILE, os.O_RDWR), "r+")
        renewed(self)

    def renew(self) -> None:
        """Close the file, here or in a forked child."""
        self.file = None
