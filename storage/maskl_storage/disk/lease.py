"""Who reads a store: a process that does says so by a shared lock, and nobody removes its files at once then."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from maskl_storage.filelock import LocksUnsupported
from maskl_storage.spec import STORE_FILE

__all__ = ["hold", "nobody_reads"]

#: the stores that this process reads: what a query returned may be fetched at any later time
_held: dict[Path, int] = {}
#: descriptors with which threads of this process ask whether anybody reads
_asking: set[int] = set()


def _let_go() -> None:
    """Close a forked child's copies: it would wait for its parent's lock, which it holds itself."""
    for descriptor in _asking:
        os.close(descriptor)
    _asking.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


def hold(root: Path) -> None:
    """Say, until this process ends, that it reads a store; a forked child goes on saying so.

    The lock is on ``maskl.json``, so that a store that may only be read is left as it is. Where locks do not work,
    nothing is said, and nobody can tell there that a store is not read.
    """
    if fcntl is None or (root in _held and _is_there(root)):
        return
    if root in _held:  # the store was removed and made again
        os.close(_held.pop(root))
    with contextlib.suppress(OSError):
        descriptor = os.open(root / STORE_FILE, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        except OSError:
            os.close(descriptor)
        else:
            _held[root] = descriptor


@contextlib.contextmanager
def nobody_reads(root: Path) -> Iterator[bool]:
    """Tell whether no process reads a store; while the block runs, none begins to.

    Raises
    ------
    LocksUnsupported
        There are no locks here.
    """
    if fcntl is None:
        raise LocksUnsupported("this operating system has no flock")
    path = root / STORE_FILE
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    _asking.add(descriptor)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        except OSError as error:
            raise LocksUnsupported(error.errno, error.strerror, str(path)) from error
        else:
            yield True
    finally:
        _asking.discard(descriptor)
        os.close(descriptor)


def _is_there(root: Path) -> bool:
    try:
        found = (root / STORE_FILE).stat()
        mine = os.fstat(_held[root])
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)
