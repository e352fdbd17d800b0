"""What an artifact holds, before it is logged and after."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskl_storage.disk.blobs import fetch_blob
from maskl_storage.disk.local import Folder
from maskl_storage.errors import InvalidValue, StateError
from maskl_storage.format.artifacts import Entry

__all__ = ["ArtifactEntry", "Source"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where the bytes of a file are: in a folder by their BLAKE3, or in a file of its user's that does not change.

    ``writer`` is the writer that put them there, for a commit of its own.
    """

    files: Folder | None = None
    path: Path | None = None
    writer: Any = None


class ArtifactEntry:
    """One thing in an artifact: a file, an address, a table or an image.

    :meth:`maskl.Artifact.add_file` and its like return it, and ``artifact.files()`` lists it.

    Parameters
    ----------
    entry : Entry
        What it is.
    store : Folder, optional
        The store that holds its bytes, once it is logged.
    root : callable
        Returns the folder that it is downloaded to by default.

    Examples
    --------
    >>> import tempfile, pathlib, maskl
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.pt"
    >>> _ = path.write_bytes(b"weights")
    >>> entry = maskl.Artifact("model", "model").add_file(path)
    >>> entry.path, entry.size, entry.ref
    ('model.pt', 7, None)
    """

    def __init__(self, entry: Entry, store: Folder | None, root: Callable[[], Path]) -> None:
        self._entry, self._store, self._root = entry, store, root

    @property
    def path(self) -> str:
        """What it is called in the artifact, with ``/`` between folders."""
        return self._entry.path

    @property
    def name(self) -> str:
        """The same as :attr:`path`."""
        return self._entry.path

    @property
    def kind(self) -> str:
        """``file``, ``reference``, ``table`` or ``image``."""
        return self._entry.kind

    @property
    def size(self) -> int | None:
        """Its bytes; None of an address and a table."""
        return self._entry.size

    @property
    def digest(self) -> str | None:
        """BLAKE3 of its bytes, 64 hexadecimal digits; None where they are not known."""
        return self._entry.digest

    @property
    def reference(self) -> str | None:
        """The address, or the name of the table in the store; None of a file, and of what is not logged yet."""
        return self._entry.reference

    @property
    def ref(self) -> str | None:
        """The address; None of what is none."""
        return self._entry.reference if self._entry.kind == "reference" else None

    def ref_target(self) -> str:
        """Return the address.

        Raises
        ------
        InvalidValue
            It is none.
        """
        if self.ref is None:
            raise InvalidValue(f"{self.path!r} is a {self.kind} and no reference: download() gives it")
        return self.ref

    def download(self, root: str | os.PathLike[str] | None = None) -> str:
        """Write the file to a folder, and return its path there.

        Parameters
        ----------
        root : path-like, optional
            The folder; by default ``artifacts/<name>:<version>`` in the working directory.

        Raises
        ------
        StateError
            The artifact is not logged yet.
        InvalidValue
            It is no file.
        NotFound, CorruptData
            The store lacks its bytes, or they were altered; or what is in the way to its place in the folder is
            a link.
        """
        if self._store is None:
            raise StateError(f"{self.path!r} is in an artifact that is not logged yet: log_artifact() first")
        if self._entry.kind != "file":
            how = "get() gives it" if self._entry.kind != "reference" else f"fetch {self._entry.reference!r} yourself"
            raise InvalidValue(f"{self.path!r} is a {self.kind} and no file: {how}")
        folder = Path(os.fspath(root)) if root is not None else self._root()
        folder.mkdir(parents=True, exist_ok=True)
        fetch_blob(self._store, str(self._entry.digest), Folder(folder), self.path)
        return str(folder / self.path)

    def __repr__(self) -> str:
        return f"<ArtifactEntry {self.path!r}: {self._entry.kind}>"
