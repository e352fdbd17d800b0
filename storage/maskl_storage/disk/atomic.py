"""Where what is finished gets its name: whole or not at all, made to outlast a power failure where that is asked.

The files of a store are written by :class:`~maskl_storage.disk.local.Folder`. Here is the rest: the file that grows,
what lies outside of stores, a file or a folder that was made elsewhere, and the error that says what could not be
written.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from maskl_storage.disk.local import Folder, folder_of, write_all
from maskl_storage.errors import StorageError
from maskl_storage.format.paths import unfinished_name

__all__ = ["AppendFile", "beside", "is_taken", "move", "move_all", "storage_error", "write_file"]


def write_file(target: Path, data: bytes) -> None:
    """Write a small file outside of a store, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    Folder(target.parent).write(target.name, data)


def beside(target: Path) -> Path:
    """Return a path beside another one, for what is to get its name: nobody else's, and not too long for any name."""
    return target.with_name(unfinished_name(f"{target.name[:40]}.{secrets.token_hex(4)}", os.getpid()))


def is_taken(target: Path) -> bool:
    """Whether there is anything but an empty folder."""
    return target.is_symlink() or (any(target.iterdir()) if target.is_dir() else target.exists())


def move(made: Path, target: Path, *, replace: bool = False) -> None:
    """Give a finished file or folder its name, in one step; an empty folder that has the name gives way.

    Parameters
    ----------
    made : Path
        The file or folder, on the target's file system.
    target : Path
        Its name.
    replace : bool, optional
        Whether anything else that has the name gives way too. It is back if this fails.

    Raises
    ------
    FileExistsError
        Something has the name.
    """
    if not is_taken(target):
        if target.is_dir():
            target.rmdir()
        os.rename(made, target)
        return
    if not replace:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    old = beside(target)
    os.rename(target, old)
    try:
        os.rename(made, target)
    except BaseException:
        os.rename(old, target)
        raise
    if old.is_dir() and not old.is_symlink():
        shutil.rmtree(old)
    else:
        old.unlink()


def move_all(pairs: Iterable[tuple[str, str]], made: Folder, into: Folder) -> None:
    """Give finished files or folders their names, one after another; if one cannot have it, none has it.

    Parameters
    ----------
    pairs : iterable of (str, str)
        Where each lies in ``made``, and where it is to lie in ``into``, on the same file system.
    made, into : Folder
        The folders; neither what is in them nor the way to it is a link.

    Raises
    ------
    FileExistsError
        Something has one of the names.
    """
    moved: list[tuple[str, str]] = []
    try:
        for path, target in pairs:
            into.make_folder(folder_of(target))
            made.move(path, into, target)
            moved.append((path, target))
    except BaseException:
        for path, target in reversed(moved):
            into.move(target, made, path)
        raise


class AppendFile:
    """A file that grows; who writes says where, so that what was written in vain is written over.

    Parameters
    ----------
    files : Folder
        The store.
    path : str
        The file in it. What it holds, if it is there, counts for nothing: the first write cuts it off.
    sync : bool
        Whether :meth:`sync` waits for the disk.
    """

    def __init__(self, files: Folder, path: str, *, sync: bool = False) -> None:
        files.make_folder(folder_of(path), sync=sync)
        self.files, self.path, self._sync = files, path, sync
        self._reached = -1  # where the file ends; unknown
        # an object and not a number: whatever interrupts before it is kept, nothing stays open
        self._file = files.raw_writer(path)
        if sync:
            try:
                files.sync_folder(folder_of(path))
            except OSError:  # as if it had not been made: the next attempt makes it
                self.close()
                files.remove(path)
                raise

    def write(self, at: int, pieces: Sequence[bytes | memoryview]) -> int:
        """Write some bytes from a place on and return where they end; nothing is left behind them."""
        if self._reached != at:
            self.cut(at)
        self._reached = -1  # until all of it is there: whatever interrupts, the next call cuts first
        descriptor, end = self._file.fileno(), at + sum(map(len, pieces))
        os.lseek(descriptor, at, os.SEEK_SET)
        for piece in pieces:
            write_all(descriptor, piece)
        self._reached = end
        return end

    def cut(self, size: int) -> None:
        """Take back what was written from a place on."""
        self._reached = -1
        os.ftruncate(self._file.fileno(), size)
        self._reached = size

    @property
    def removed(self) -> bool:
        """Whether somebody removed the file, so that what is written to it is gone with this process."""
        return not self._file.closed and os.fstat(self._file.fileno()).st_nlink == 0  # one that is closed, this did

    def sync(self) -> None:
        """Wait until everything is on the disk, where that was asked for."""
        if self._sync:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):
            self._file.close()

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self.close()


def storage_error(error: Exception, what: str, where: Path) -> StorageError:
    """Return the error that says what could not be written, why, and that the run may go on."""
    reason = getattr(error, "strerror", None) or str(error)
    made = StorageError(
        f"{what} could not be written to {where}: {reason}. "
        f"What was logged before is kept; log again once this is mended"
    )
    if isinstance(error, OSError):
        made.errno = error.errno
    return made
