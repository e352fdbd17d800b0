"""Where files are written and put in place: whole or not at all, made to outlast a power failure where that is asked.

Everything that writes by itself, and not through pyarrow, does it here; so what a full disk or a lost
folder does, and in which order files reach the disk, has one place. So has the last step of what is made elsewhere,
a file or a folder: it gets its name.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from maskl_storage.errors import StorageError
from maskl_storage.format.paths import unfinished_name

__all__ = [
    "AppendFile",
    "beside",
    "is_taken",
    "make_folder",
    "move",
    "move_all",
    "put",
    "storage_error",
    "sync_file",
    "sync_folder",
    "write_file",
]


def write_file(target: Path, data: bytes, *, sync: bool = False) -> None:
    """Write a small file, whole or not at all."""
    make_folder(target.parent, sync=sync)
    temporary = target.with_name(unfinished_name(target.name, os.getpid()))
    try:
        temporary.write_bytes(data)
        put(temporary, target, sync=sync)
    finally:
        temporary.unlink(missing_ok=True)


def put(temporary: Path, target: Path, *, sync: bool = False) -> None:
    """Give a finished file its name, in place of what has that name."""
    if sync:
        sync_file(temporary)
    os.replace(temporary, target)
    if sync:
        sync_folder(target.parent)


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


def move_all(pairs: Iterable[tuple[Path, Path]]) -> None:
    """Give finished files or folders their names, one after another; if one cannot have it, none has it.

    Raises
    ------
    FileExistsError
        Something has one of the names.
    """
    moved: list[tuple[Path, Path]] = []
    try:
        for made, target in pairs:
            make_folder(target.parent)
            move(made, target)
            moved.append((made, target))
    except BaseException:
        for made, target in reversed(moved):
            os.rename(target, made)
        raise


def make_folder(path: Path, *, sync: bool = False) -> None:
    """Make a folder and those above it, where they are not there."""
    if path.is_dir():
        return
    if sync:
        make_folder(path.parent, sync=True)
    path.mkdir(parents=True, exist_ok=True)
    if sync:
        sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Wait until a file's content is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    if os.name == "posix":  # elsewhere a folder cannot be opened
        sync_file(path)


class AppendFile:
    """A file that grows; who writes says where, so that what was written in vain is written over.

    Parameters
    ----------
    path : Path
        The file. What it holds, if it is there, counts for nothing: the first write cuts it off.
    sync : bool
        Whether :meth:`sync` waits for the disk.
    """

    def __init__(self, path: Path, *, sync: bool = False) -> None:
        make_folder(path.parent, sync=sync)
        self.path, self._sync = path, sync
        self._reached = -1  # where the file ends; unknown
        # an object and not a number: whatever interrupts before it is kept, nothing stays open
        self._file = open(path, "wb", buffering=0, opener=_grown)  # noqa: SIM115
        if sync:
            try:
                sync_folder(path.parent)
            except OSError:  # as if it had not been made: the next attempt makes it
                self.close()
                path.unlink(missing_ok=True)
                raise

    def write(self, at: int, pieces: Sequence[bytes | memoryview]) -> int:
        """Write some bytes from a place on and return where they end; nothing is left behind them."""
        if self._reached != at:
            self.cut(at)
        self._reached = -1  # until all of it is there: whatever interrupts, the next call cuts first
        descriptor, end = self._file.fileno(), at + sum(map(len, pieces))
        os.lseek(descriptor, at, os.SEEK_SET)
        for piece in pieces:
            view = memoryview(piece)
            while view.nbytes:
                view = view[os.write(descriptor, view) :]
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
        return os.fstat(self._file.fileno()).st_nlink == 0

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


def _grown(path: str, _: int) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)


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
