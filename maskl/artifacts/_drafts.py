"""What goes into an artifact before it is logged."""

from __future__ import annotations

import contextlib
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import unquote, urlsplit

from maskl.annotations.sink import sink
from maskl.artifacts.entries import ArtifactEntry, Source
from maskl.images.image import Image
from maskl.tables.joined import JoinedTable
from maskl.tables.table import Table
from maskl_storage.disk.blobs import hash_of, put_blob
from maskl_storage.disk.local import Folder
from maskl_storage.disk.scratch import scratch
from maskl_storage.errors import InvalidType, InvalidValue, NotFound
from maskl_storage.format.artifacts import Entry, check_file_path
from maskl_storage.format.names import check_text
from maskl_storage.write.files import FileWriter
from maskl_storage.write.writer import Writer

__all__ = ["Draft", "files_in", "text_of"]

POLICIES: Final = ("mutable", "immutable", None)


class Draft(ABC):
    """What is put into an artifact; it is stored at once where a run is active, else in a temporary folder."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._sources: dict[str, Source] = {}
        self._values: dict[str, Table | Image] = {}
        self._staging: Folder | None = None

    @property
    @abstractmethod
    def name(self) -> str:
        """The name."""

    @abstractmethod
    def _check_draft(self) -> None:
        """Raise where nothing can be added any more."""

    @abstractmethod
    def _entry(self, path: str) -> ArtifactEntry:
        """Return what is called so, as users see it."""

    def add_file(
        self,
        local_path: str | os.PathLike[str],
        name: str | None = None,
        is_tmp: bool | None = False,
        skip_cache: bool | None = False,
        policy: str | None = "mutable",
        overwrite: bool = False,
    ) -> ArtifactEntry:
        """Add a file.

        Parameters
        ----------
        local_path : path-like
            The file; where it is a link, what the link leads to.
        name : str, optional
            What it is called in the artifact; by default as the file is.
        is_tmp : bool, optional
            Whether its name begins with a hash of it, so that no other file has it.
        skip_cache : bool, optional
            Without effect: no file is kept twice.
        policy : {'mutable', 'immutable'}, optional
            ``immutable`` says that the file stays as it is, so that it is read again when the artifact is logged
            instead of copied now.
        overwrite : bool, optional
            Whether another file of the same name gives way; else it is an error.

        Raises
        ------
        NotFound, InvalidValue
            There is no such file, it is no regular file, or the name is none that a folder can hold; or something
            else has it.
        """
        path = Path(os.fspath(local_path))
        if not path.exists():
            raise NotFound(f"there is no file {str(path)!r}")
        if not path.is_file():
            raise InvalidValue(f"{str(path)!r} is no regular file" + (": add_dir() takes folders" * path.is_dir()))
        return self._add_path(path, path.name if name is None else name, policy, overwrite, hashed=bool(is_tmp))

    def add_dir(
        self,
        local_path: str | os.PathLike[str],
        name: str | None = None,
        skip_cache: bool | None = False,
        policy: str | None = "mutable",
        merge: bool = False,
        *,
        follow_links: bool = False,
    ) -> None:
        """Add the files in a folder, and in those below it.

        Parameters
        ----------
        local_path : path-like
            The folder.
        name : str, optional
            The folder of the artifact that they come in; by default they lie at its top.
        skip_cache : bool, optional
            Without effect: no file is kept twice.
        policy : {'mutable', 'immutable'}, optional
            As for :meth:`add_file`.
        merge : bool, optional
            Whether other files of the same names give way.
        follow_links : bool, optional
            Whether what a link in the folder leads to is added; else a link is an error, since it may lead out of it.

        Raises
        ------
        NotFound, InvalidValue
            There is no such folder, or something in it is a link, a device, or has a name that no folder can hold.
            Nothing was added then.
        """
        folder = Path(os.fspath(local_path))
        if not folder.is_dir():
            raise NotFound(f"there is no folder {str(folder)!r}")
        above = f"{check_file_path(str(name).strip('/'), 'name')}/" if name is not None and str(name).strip("/") else ""
        found = [(path, f"{above}{path.relative_to(folder).as_posix()}") for path in files_in(folder, follow_links)]
        for _, inner in found:
            check_file_path(inner, "the name of a file")
        before = dict(self._entries), dict(self._sources)
        try:
            for path, inner in found:
                self._add_path(path, inner, policy, merge)
        except BaseException:
            self._entries, self._sources = before
            raise

    def add_reference(
        self,
        uri: str | ArtifactEntry,
        name: str | os.PathLike[str] | None = None,
        checksum: bool = True,
        max_objects: int | None = None,
    ) -> Sequence[ArtifactEntry]:
        """Add an address, whose content is not stored, and never fetched.

        Parameters
        ----------
        uri : str
            The address, such as ``s3://bucket/a.tar`` or ``file:///data/a.tar``.
        name : str, optional
            What it is called in the artifact; by default the end of its path.
        checksum : bool, optional
            Whether size and BLAKE3 of a ``file://`` are kept.
        max_objects : int, optional
            How many files of a folder are added at most.

        Raises
        ------
        InvalidValue
            It is no address, or the name is taken.
        """
        address = uri.ref_target() if isinstance(uri, ArtifactEntry) else text_of("uri", uri)
        parts = urlsplit(address)
        if not parts.scheme:
            raise InvalidValue(
                f"a reference is an address such as 's3://bucket/key' or 'file:///path'; got {uri!r:.80}"
            )
        base = os.fspath(name) if name is not None else unquote(parts.path).rstrip("/").rpartition("/")[2]
        local = Path(unquote(parts.path)) if parts.scheme == "file" else None
        if local is None or not local.is_dir():
            return [self._add_address(address, base or parts.netloc, local if checksum else None)]
        paths = list(files_in(local, follow=False))
        if max_objects is not None and len(paths) > max_objects:
            raise InvalidValue(f"{address} holds {len(paths)} files, and max_objects is {max_objects}: raise it")
        above = f"{base}/" if name is not None else ""
        return [
            self._add_address(path.absolute().as_uri(), f"{above}{path.relative_to(local).as_posix()}", path)
            for path in paths
        ]

    def add(self, obj: Any, name: str | os.PathLike[str], overwrite: bool = False) -> ArtifactEntry:
        """Add a table or an image, which :meth:`get` gives back, with masks and boxes.

        Parameters
        ----------
        obj : Table or Image
        name : str
            What it is called in the artifact.
        overwrite : bool, optional
            Whether something else of the same name gives way.

        Raises
        ------
        InvalidType
            It is something else.
        InvalidValue
            The name is taken.
        """
        value = obj.table() if isinstance(obj, JoinedTable) else obj
        if not isinstance(value, Table | Image):
            raise InvalidType(
                f"an artifact takes a maskl.Table or a maskl.Image; got {type(obj).__name__}: write other things to a "
                f"file, and add_file() that"
            )
        path = self._free(os.fspath(name), overwrite)
        self._entries[path] = Entry(path, "image" if isinstance(value, Image) else "table")
        self._values[path] = value
        return self._entry(path)

    @contextlib.contextmanager
    def new_file(
        self, name: str, mode: str = "x", encoding: str | None = None, policy: str | None = "mutable"
    ) -> Iterator[IO[Any]]:
        """Open a new file, which is added when it is closed.

        Parameters
        ----------
        name : str
            What it is called in the artifact.
        mode : str, optional
            As :func:`open` takes it, to write; ``"wb"`` for bytes.
        encoding : str, optional
            As :func:`open` takes it.
        policy : {'mutable', 'immutable'}, optional
            As for :meth:`add_file`.

        Examples
        --------
        >>> import maskl
        >>> artifact = maskl.Artifact("notes", "text")
        >>> with artifact.new_file("readme.txt") as file:
        ...     _ = file.write("한강")
        >>> artifact.size
        6
        """
        path = self._free(name, overwrite="x" not in mode)
        with tempfile.TemporaryDirectory(prefix="maskl-") as folder:
            made = Path(folder) / "file"
            if encoding is None and "b" not in mode:
                encoding = "utf-8"
            with made.open(mode, encoding=encoding) as file:
                yield file
            self._add_path(made, path, "mutable" if policy == "immutable" else policy, overwrite=True)

    def remove(self, item: str | os.PathLike[str] | ArtifactEntry) -> None:
        """Take something out that was added, or all that lies in a folder of the artifact."""
        self._check_draft()
        path = item.path if isinstance(item, ArtifactEntry) else os.fspath(item).rstrip("/")
        found = [known for known in self._entries if known == path or known.startswith(f"{path}/")]
        if not found:
            raise NotFound(f"there is no {path!r} in artifact {self.name!r}; there are: {self._known()}")
        for known in found:
            del self._entries[known]
            self._sources.pop(known, None)
            self._values.pop(known, None)

    def __setitem__(self, name: str, obj: Any) -> None:
        self.add(obj, name)

    # --- inside -----------------------------------------------------------------------------------

    def _known(self) -> str:
        names = sorted(self._entries)
        return ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "") or "none"

    def _free(self, name: str, overwrite: bool) -> str:
        """Return the path for something new, or raise that it is none, or taken."""
        self._check_draft()
        path = check_file_path(name, "the name of what is added")
        if path in self._entries and not overwrite:
            raise InvalidValue(f"artifact {self.name!r} holds {path!r} already: give another name, or overwrite=True")
        for known in self._entries:
            if known.startswith(f"{path}/") or path.startswith(f"{known}/"):
                raise InvalidValue(f"{path!r} and {known!r} cannot both be in an artifact: one is the other's folder")
        self._values.pop(path, None)
        return path

    def _add_path(
        self, local: Path, name: str, policy: str | None, overwrite: bool, *, hashed: bool = False
    ) -> ArtifactEntry:
        if policy not in POLICIES:
            raise InvalidValue(f"policy must be 'mutable' or 'immutable'; got {policy!r:.60}")
        self._check_draft()
        with local.open("rb") as file:
            if policy == "immutable" or sink.discards:
                (digest, size), source = hash_of(file), Source(path=local.absolute())
            elif isinstance(writer := sink.writer, Writer) and not (writer.closed or writer.forked):
                digest, size = FileWriter(writer).put(file)
                source = Source(writer.layout.files, writer=writer)
            else:
                if self._staging is None:
                    self._staging = Folder(scratch(self))
                digest, size = put_blob(self._staging, file)
                source = Source(self._staging)
        path = f"{digest[:8]}/{name}" if hashed else name
        same = self._entries.get(path)
        path = self._free(path, overwrite or (same is not None and same.digest == digest))
        self._entries[path] = Entry(path, "file", size, digest)
        self._sources[path] = source
        return self._entry(path)

    def _add_address(self, address: str, name: str, local: Path | None) -> ArtifactEntry:
        size = digest = None
        if local is not None:
            try:
                with local.open("rb") as file:
                    digest, size = hash_of(file)
            except OSError as error:
                raise NotFound(f"there is no file {str(local)!r}: checksum=False keeps the address alone") from error
        path = self._free(name, overwrite=name in self._entries and self._entries[name].reference == address)
        self._entries[path] = Entry(path, "reference", size, digest, address)
        return self._entry(path)


def files_in(folder: Path, follow: bool) -> Iterator[Path]:
    """Yield the files in a folder and below, in order; what is none, and a link that is not to be followed, raises."""
    seen: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        above = waiting.pop()
        stat = above.stat()
        if (stat.st_dev, stat.st_ino) in seen:
            raise InvalidValue(f"{str(above)!r} leads back to a folder that it lies in")
        seen.add((stat.st_dev, stat.st_ino))
        below = []
        for path in sorted(above.iterdir()):
            if path.is_symlink() and not follow:
                raise InvalidValue(
                    f"{str(path)!r} is a link, which may lead out of the folder: add_dir(follow_links=True) adds "
                    f"what it leads to"
                )
            if path.is_dir():
                below.append(path)
            elif path.is_file():
                yield path
            else:
                raise InvalidValue(f"{str(path)!r} is neither a file nor a folder")
        waiting += reversed(below)


def text_of(what: str, value: Any, *, empty: bool = False) -> str:
    """Return an argument that is a string, or raise what is wrong with it."""
    if not isinstance(value, str):
        raise InvalidType(f"{what} must be a string; got {value!r:.60}")
    if not (value or empty):
        raise InvalidValue(f"{what} must not be empty")
    return check_text(value, what)
