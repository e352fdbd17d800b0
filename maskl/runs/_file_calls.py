"""The methods of a run that keep files: its folder, what is saved, and artifacts."""

from __future__ import annotations

import contextlib
import glob as globbing
import os
import re
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from maskl.media.media import Media
from maskl.runs._server_calls import ServerCalls
from maskl.runs._unsupported import Nothing
from maskl_storage.catalog.artifacts import files_of_run
from maskl_storage.catalog.layout import Layout
from maskl_storage.disk.blobs import fetch_blob
from maskl_storage.disk.local import Folder
from maskl_storage.disk.scratch import scratch
from maskl_storage.disk.stamps import stamp_of
from maskl_storage.errors import InvalidType, InvalidValue, NotFound, NotStoredWarning, warn
from maskl_storage.format.artifacts import check_file_path
from maskl_storage.format.paths import workplace
from maskl_storage.lazy import LazyModule
from maskl_storage.write.files import FileWriter, NewFile, changed_files
from maskl_storage.write.null import NullWriter
from maskl_storage.write.writer import Writer

if TYPE_CHECKING:
    import maskl.artifacts.artifact as artifacts
    import maskl.artifacts.logging as logging
    from maskl.tables.table import Table
else:
    # who logs no artifact needs neither
    artifacts, logging = LazyModule("maskl.artifacts.artifact"), LazyModule("maskl.artifacts.logging")

__all__ = ["FileCalls"]

POLICIES: Final = ("live", "now", "end")
#: what no name of an artifact has
NO_NAME: Final = re.compile(r"[/:\\\x00-\x1f\x7f]")


class FileCalls(ServerCalls):
    """What of a run keeps files.

    A disabled run takes these calls and keeps nothing; its folder is a temporary one.
    """

    _writer: Writer | NullWriter

    def __init__(self) -> None:
        super().__init__()
        self._temporary: Path | None = None
        #: files that were saved, by their names: where each is, and whether it is looked at again when the run ends
        self._saved: dict[str, tuple[Path, bool]] = {}
        #: names of files, and what the system said of them when they were stored
        self._seen: set[tuple[str, tuple[int, int, int, int]]] = set()
        #: digests of the media that are files of the run already
        self._media: set[str] = set()

    @property
    @abstractmethod
    def id(self) -> str:
        """The run's id."""

    @property
    @abstractmethod
    def project(self) -> str | None:
        """The run's project."""

    @abstractmethod
    def _store_whole(self, name: str, table: Table) -> None:
        """Store all rows of a table."""

    @property
    def dir(self) -> str:
        """A folder of the run alone, made when it is first asked for.

        What lies in it when the run ends is kept, and :meth:`restore` gives it back. A disabled run has a temporary
        folder, which is gone when the run is.
        """
        layout = self._layout()
        if layout is None:
            if self._temporary is None:
                self._temporary = scratch(self)
            return str(self._temporary)
        folder = workplace(self.id)
        layout.files.make_folder(folder)
        return str(layout.root / folder)

    @property
    def store_dir(self) -> str:
        """The store that the run logs to; empty for a disabled run."""
        return "" if self._writer.layout is None else str(self._writer.layout.root)

    def save(
        self,
        glob_str: str | os.PathLike[str],
        base_path: str | os.PathLike[str] | None = None,
        policy: str = "live",
        glob: bool = True,
    ) -> list[str]:
        """Keep files as they are now; when it returns they are the store's.

        Parameters
        ----------
        glob_str : path-like
            A file, or a pattern of files as :func:`glob.glob` takes it.
        base_path : path-like, optional
            The folder from which on their paths are their names in the run; by default the working directory, and of an
            absolute path the folder above the one that they lie in.
        policy : {'live', 'end', 'now'}, optional
            Whether they are looked at once more when the run ends, and kept as they are then; ``now`` says not.
        glob : bool, optional
            Whether the path is a pattern.

        Returns
        -------
        list of str
            The files; none where there are none.

        Raises
        ------
        InvalidValue
            Another policy, or a file that does not lie in ``base_path``.
        StorageError
            The disk took none of it.
        """
        if policy not in POLICIES:
            raise InvalidValue(f"policy must be one of {', '.join(map(repr, POLICIES))}; got {policy!r:.60}")
        text = os.fsdecode(glob_str)
        if re.match(r"(s3|gs|az|https?)://", text):
            warn(
                f"save() takes files; an address such as {text!r:.80} is not fetched: nothing is kept", NotStoredWarning
            )
            return []
        whole = Path(os.path.abspath(text))
        base = Path(os.path.abspath(base_path or "."))
        if base_path is None and Path(text).is_absolute():
            base = whole.parent.parent
        found = sorted(globbing.glob(str(whole), recursive=True)) if glob else [str(whole)] * whole.exists()
        paths = [Path(path) for path in found if Path(path).is_file()]
        if self.disabled:
            return list(map(str, paths))
        names = [self._name_of(path, base) for path in paths]
        new, writer = [], self._file_writer()
        for path, name in zip(paths, names, strict=True):
            new.append(self._put(writer, path, name))
            self._saved[name] = path, policy != "now"
        if new:
            writer.commit_files(new)
        return list(map(str, paths))

    def restore(
        self,
        name: str,
        run_path: str | None = None,
        replace: bool = False,
        root: str | os.PathLike[str] | None = None,
    ) -> TextIO:
        """Write a file that a run keeps to a folder, and return it open.

        Parameters
        ----------
        name : str
            Its name in the run.
        run_path : str, optional
            Another run, by id, name, or a path that ends with its id.
        replace : bool, optional
            Whether a file that is there already is written anew; else it is opened as it is.
        root : path-like, optional
            The folder; by default :attr:`dir`.

        Raises
        ------
        NotFound
            The run keeps no file of this name; the message names those that it keeps.
        """
        check_file_path(name, "the name of a file")
        if self.disabled:
            return Nothing()  # type: ignore[return-value]  # a disabled run keeps nothing
        folder = Path(os.fspath(root)) if root is not None else Path(self.dir)
        path = folder / name
        if replace or not path.exists():
            layout = self._layout()
            assert layout is not None  # noqa: S101  # a run that is not disabled has a store
            run_id = self.id if run_path is None else layout.run(run_path.rpartition("/")[2]).run_id
            known = files_of_run(layout, run_id)
            if name not in known:
                there = ", ".join(map(repr, known)) or "none"
                raise NotFound(f"run {run_id!r} keeps no file {name!r}; there are: {there:.200}")
            folder.mkdir(parents=True, exist_ok=True)
            fetch_blob(layout.files, known[name].digest, Folder(folder), name)
        return path.open()

    # --- artifacts --------------------------------------------------------------------------------

    def log_artifact(
        self,
        artifact_or_path: artifacts.Artifact | str | os.PathLike[str],
        name: str | None = None,
        type: str | None = None,  # noqa: A002  # as W&B's users know it
        aliases: str | Sequence[str] | None = None,
        tags: Sequence[str] | None = None,
    ) -> artifacts.Artifact:
        """Make a version of an artifact; when it returns every reader finds it.

        Parameters
        ----------
        artifact_or_path : Artifact or path-like
            The artifact; or a file, a folder or an address that becomes one.
        name : str, optional
            Of a path, what the artifact is called; by default ``run-<id>-<file>``.
        type : str, optional
            Of a path, its type; ``unspecified`` by default.
        aliases : str or list of str, optional
            What the version can be asked for by, beside ``latest``, which the highest version has. An empty one
            is none, so that ``"best" if score > best else ""`` can stand in the list.
        tags : list of str, optional
            Mean something to W&B's server only, and warn.

        Returns
        -------
        Artifact
            The same, logged: what is as it was in an earlier version is that version.

        Raises
        ------
        InvalidType, InvalidValue
            It is no artifact, or its name is that of artifacts of another type, or an alias is none.
        NotFound
            There is nothing at the path.
        StorageError
            The disk took none of it.
        """
        if self.disabled:
            is_one = isinstance(artifact_or_path, artifacts.Artifact)
            return artifact_or_path if is_one else Nothing()  # type: ignore[return-value]  # nothing is looked at
        artifact = self._artifact(artifact_or_path, name, type)
        if tags:
            self._tell("tags of log_artifact", "give the version aliases")
        names = [aliases] if isinstance(aliases, str) else list(aliases or ())
        return logging.commit(artifact, self._open_writer(), self.project, names, self._store_whole)

    def upsert_artifact(
        self,
        artifact_or_path: artifacts.Artifact | str | os.PathLike[str],
        name: str | None = None,
        type: str | None = None,  # noqa: A002  # as above
        aliases: str | Sequence[str] | None = None,
        distributed_id: str | None = None,
    ) -> artifacts.Artifact:
        """Log a version of what this process holds, after a warning: no server joins what several processes add."""
        self._tell("upsert_artifact", "what each process adds becomes a version of its own")
        return self.log_artifact(artifact_or_path, name, type, aliases)

    def finish_artifact(
        self,
        artifact_or_path: artifacts.Artifact | str | os.PathLike[str],
        name: str | None = None,
        type: str | None = None,  # noqa: A002  # as above
        aliases: str | Sequence[str] | None = None,
        distributed_id: str | None = None,
    ) -> artifacts.Artifact:
        """Log a version of what this process holds, after a warning: no server joins what several processes add."""
        self._tell("finish_artifact", "what each process adds becomes a version of its own")
        return self.log_artifact(artifact_or_path, name, type, aliases)

    def use_artifact(
        self,
        artifact_or_name: str | artifacts.Artifact,
        type: str | None = None,  # noqa: A002  # as above
        aliases: str | Sequence[str] | None = None,
        use_as: str | None = None,
    ) -> artifacts.Artifact:
        """Return a version of an artifact, also one that this run has logged.

        Parameters
        ----------
        artifact_or_name : str or Artifact
            ``name`` for the highest version, ``name:alias`` or ``name:v3``; of another project ``project/name:alias``.
            An artifact that is not logged is logged first.
        type : str, optional
            The type that it must be of.
        aliases : str or list of str, optional
            Aliases for an artifact that is logged first.
        use_as : str, optional
            Means something to W&B's server only, and warns.

        Raises
        ------
        NotFound
            There is no such artifact or version; the message names those that there are.
        InvalidValue
            It is of another type.
        """
        if use_as is not None:
            self._tell("use_as of use_artifact", "which runs use an artifact is not recorded")
        layout = self._layout()
        if layout is None:
            return Nothing()  # type: ignore[return-value]  # what a disabled run returns where W&B has an object
        if isinstance(artifact_or_name, artifacts.Artifact):
            found = artifact_or_name
            if found.is_draft():
                found = self.log_artifact(found, aliases=aliases)
        elif isinstance(artifact_or_name, str):
            found = artifacts.Artifact._of(layout, logging.find(layout, artifact_or_name, self.project))
        else:
            raise InvalidType(f"use_artifact() takes a name or an artifact; got {artifact_or_name!r:.60}")
        if type is not None and found.type != type:
            raise InvalidValue(f"artifact {found.name!r} is of type {found.type!r}, not {type!r}")
        return found

    def log_model(
        self,
        path: str | os.PathLike[str],
        name: str | None = None,
        aliases: str | Sequence[str] | None = None,
    ) -> None:
        """Log a file or folder as an artifact of type ``model``; see :meth:`log_artifact`."""
        self.log_artifact(path, name, "model", aliases)

    def use_model(self, name: str) -> str:
        """Write the files of a model to a folder, and return the path of the file, or of the folder if there are more.

        Parameters
        ----------
        name : str
            As :meth:`use_artifact` takes it.
        """
        found = self.use_artifact(name)
        if not found:
            return ""
        if "model" not in found.type:
            raise InvalidValue(
                f"artifact {found.name!r} is of type {found.type!r}, and no model: use_artifact() finds it"
            )
        folder = found.download()
        files = [entry for entry in found.files() if entry.kind == "file"]
        return str(Path(folder) / files[0].path) if len(files) == 1 else folder

    # --- inside -----------------------------------------------------------------------------------

    def _keep_files(self) -> None:
        """Keep what lies in the run's folder, and what was saved and has changed since."""
        writer = self._file_writer()
        layout = self._layout()
        assert layout is not None  # noqa: S101  # a run that is not disabled has a store
        new: list[NewFile] = []
        for name, (path, again) in self._saved.items():
            if again:
                with contextlib.suppress(FileNotFoundError):  # what was kept of it stays
                    if (name, stamp_of(path.stat())) not in self._seen:
                        new.append(self._put(writer, path, name))
        if layout.files.exists(workplace(self.id)):
            known = files_of_run(layout, self.id)
            new += changed_files(layout.files, self.id, known, writer.put, self._leave_out, self._seen)
        if new:
            writer.commit_files(new)

    def _keep_media(self, named: Iterable[tuple[str, Media]], step: int) -> None:
        """Have media that are logged under these names be files of the run, before anything names them."""
        new: dict[str, NewFile] = {}
        for name, media in named:
            digest = media.digest
            if digest not in self._media and digest not in new and media.put(self._open_writer()):
                new[digest] = NewFile(media.path(name, step), media.size, digest)
        if new:
            self._file_writer().commit_files(list(new.values()))
            self._media |= new.keys()

    def _leave_out(self, path: str, why: str) -> None:
        warn(f"{path} is not kept: {why}", NotStoredWarning)

    def _put(self, writer: FileWriter, path: Path, name: str) -> NewFile:
        stamp = stamp_of(path.stat())
        with path.open("rb") as file:
            digest, size = writer.put(file)
        self._seen.add((name, stamp))
        return NewFile(name, size, digest)

    def _layout(self) -> Layout | None:
        """Return the store; of a run that came in a pickle it is opened without beginning to write."""
        layout = self._writer.layout
        return layout if layout is None or isinstance(layout, Layout) else Layout(layout.root)

    def _file_writer(self) -> FileWriter:
        return FileWriter(self._open_writer())

    def _open_writer(self) -> Writer:
        self._writer.check_open()  # which begins that of a run that came in a pickle
        assert isinstance(self._writer, Writer)  # noqa: S101  # that of a run which is not disabled
        return self._writer

    def _name_of(self, path: Path, base: Path) -> str:
        inside = Path(self.dir)
        for folder in (inside, inside.resolve(), base):
            with contextlib.suppress(ValueError):
                return check_file_path(path.relative_to(folder).as_posix(), "the name of a file")
        raise InvalidValue(f"{str(path)!r} does not lie in {str(base)!r}: give base_path, a folder that it lies in")

    def _artifact(self, given: Any, name: str | None, kind: str | None) -> artifacts.Artifact:
        if isinstance(given, artifacts.Artifact):
            return given
        if not isinstance(given, str | os.PathLike):
            raise InvalidType(f"log_artifact() takes an artifact or a path; got {given!r:.60}")
        text = os.fspath(given)
        address = re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text) is not None
        base = text.rstrip("/").rpartition("/")[2] if address else Path(os.path.abspath(text)).name
        artifact = artifacts.Artifact(
            name or f"run-{NO_NAME.sub('-', self.id)}-{NO_NAME.sub('-', base)}", kind or "unspecified"
        )
        if address:
            artifact.add_reference(text)
        elif os.path.isdir(text):
            artifact.add_dir(text)
        else:
            artifact.add_file(text)
        return artifact
