"""The writers of this process whose rows its readers see: what waits in them is sealed before a store is read."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from maskl_storage.disk.forks import renewed
from maskl_storage.lazy import LazyModule

if TYPE_CHECKING:
    import maskl_storage.write.writer as writing
else:
    writing = LazyModule("maskl_storage.write.writer")  # who only reads loads no writer

__all__ = ["live_writers", "register", "unregister"]


class _Live:
    """The writers, the latest last; a forked child has none of its parent's."""

    def __init__(self) -> None:
        self.renew()
        renewed(self)

    def renew(self) -> None:
        """Forget them all."""
        self.writers: list[weakref.ref[writing.Writer]] = []


_live = _Live()


def register(writer: writing.Writer) -> None:
    """Make readers in this process see what waits in the writer, and read its store by default."""
    _live.writers = [ref for ref in _live.writers if ref() is not None]
    _live.writers.append(weakref.ref(writer))


def unregister(writer: writing.Writer) -> None:
    """Forget a writer."""
    _live.writers = [ref for ref in _live.writers if ref() is not writer]


def live_writers(root: Path | None = None) -> list[writing.Writer]:
    """Return the writers that are open, the latest last; of one store where that is given."""
    found = [writer for ref in _live.writers if (writer := ref()) is not None and not writer.closed]
    return found if root is None else [writer for writer in found if writer.layout.root == root]
