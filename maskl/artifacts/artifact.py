"""Artifacts: files, folders, addresses, tables and images under a name, in versions."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from maskl.annotations.sink import sink
from maskl.artifacts._drafts import Draft, files_in, text_of
from maskl.artifacts._metadata import parse_metadata
from maskl.artifacts._values import value_of
from maskl.artifacts.entries import ArtifactEntry
from maskl.images.image import Image
from maskl.tables.table import Table
from maskl_storage.catalog.artifacts import entries_of, versions
from maskl_storage.catalog.layout import Layout
from maskl_storage.catalog.runs import RunInfo
from maskl_storage.disk.blobs import copy_to, hash_of
from maskl_storage.disk.local import Folder
from maskl_storage.errors import (
    CorruptData,
    InvalidValue,
    MissingName,
    NotFound,
    NotStoredWarning,
    StateError,
    warn,
    warn_unless_strict,
)
from maskl_storage.format.artifacts import (
    LATEST,
    Entry,
    Version,
    check_alias,
    check_artifact_name,
    manifest_digest,
)
from maskl_storage.format.document import dump_json, parse_json
from maskl_storage.format.names import file_name
from maskl_storage.write.files import FileWriter, NewVersion
from maskl_storage.write.writer import Writer

__all__ = ["Artifact", "ArtifactManifest"]

#: what W&B puts behind the name of a table or image in an artifact
ENDING: Final = re.compile(r"\.(table|image-file)\.json$")
#: what only a server has, and what to use instead
ABSENT: Final = {
    **dict.fromkeys(
        (
            *("commit_hash", "distributed_id", "is_link", "linked_at", "source_artifact", "source_collection"),
            *("source_entity", "source_project", "source_qualified_name", "updated_at", "use_as"),
        ),
        "it means something to W&B's server only",
    ),
    "checkout": "download() writes the files to a folder",
    "collection": "SELECT * FROM artifacts WHERE name = ... lists all versions of a name",
    "delete": "maskl delete RUN removes a run with its artifacts",
    "get_added_local_path_name": "get_entry(name) finds what was added by its name",
    "history_step": "created_at says when it was logged",
    "json_encode": "maskl artifacts --json lists artifacts as JSON",
    "linked_artifacts": "there is no registry to link in",
    "new_draft": "make an Artifact of the same name, with incremental=True",
    "unlink": "there is no registry to link in",
    "used_by": "which runs used an artifact is not recorded",
}


class ArtifactManifest:
    """What is in an artifact; ``entries`` has each thing by its path.

    Parameters
    ----------
    entries : dict of str to ArtifactEntry
    """

    def __init__(self, entries: Mapping[str, ArtifactEntry]) -> None:
        self.entries = dict(entries)

    def digest(self) -> str:
        """Return the BLAKE3 over all that is in the artifact."""
        return manifest_digest(entry._entry for entry in self.entries.values())

    def __len__(self) -> int:
        return len(self.entries)

    def __repr__(self) -> str:
        return f"<ArtifactManifest of {len(self)}>"


class Artifact(Draft):
    """Files, folders, addresses, tables and images under a name, of which each ``run.log_artifact`` makes a version.

    What is added is stored as it is then, and stands once in the store however many versions hold it. An artifact that
    ``run.log_artifact`` or ``run.use_artifact`` returns is one version.

    Parameters
    ----------
    name : str
        What it is called in its project, without ``/`` and ``:``.
    type : str
        What kind of thing it is, such as ``"model"`` or ``"dataset"``; all versions of a name are of one type.
    description : str, optional
    metadata : dict, optional
        Anything that JSON can hold.
    incremental : bool, optional
        Whether the version also has what the latest one has, where nothing of the same path is added.
    use_as, storage_region : str, optional
        Mean something to W&B's server only, and warn.
    digest_algorithm : str, optional
        Digests are BLAKE3; another one than the default warns.

    Raises
    ------
    InvalidType, InvalidValue
        A name that is none, or metadata that JSON cannot hold.

    Examples
    --------
    >>> import tempfile, pathlib, maskl
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "best.pt").write_bytes(b"weights")
    >>> with maskl.init(dir=folder) as run:
    ...     model = maskl.Artifact("unet", "model", metadata={"miou": 0.71})
    ...     entry = model.add_file(folder / "best.pt")
    ...     logged = run.log_artifact(model, aliases=["best"])
    ...     used = run.use_artifact("unet:best")
    >>> logged.version, used.metadata, [entry.path for entry in used.files()]
    ('v0', {'miou': 0.71}, ['best.pt'])
    """

    def __init__(
        self,
        name: str,
        type: str,  # noqa: A002  # as W&B's users know it
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        incremental: bool = False,
        use_as: str | None = None,
        storage_region: str | None = None,
        digest_algorithm: str = "MD5",
    ) -> None:
        super().__init__()
        for argument, value in (("use_as", use_as), ("storage_region", storage_region)):
            if value is not None:
                warn_unless_strict(
                    f"{argument}={value!r:.60} only means something to W&B's server; it has no effect here",
                    strict=sink.strict,
                )
        if digest_algorithm != "MD5":
            warn_unless_strict(
                f"digest_algorithm={digest_algorithm!r:.60} has no effect here: digests are BLAKE3", strict=sink.strict
            )
        self._name = check_artifact_name(name)
        self._type = text_of("type", type)
        self._description = None if description is None else text_of("description", description, empty=True)
        self._metadata = parse_metadata(metadata)
        self._incremental = bool(incremental)
        self._aliases: list[str] = []
        self._version: Version | None = None
        self._layout: Layout | None = None
        self._final = False

    @classmethod
    def _of(cls, layout: Layout, version: Version) -> Artifact:
        """Return a version that is in a store."""
        artifact = cls(version.name, version.type)
        artifact._become(layout, version, entries_of(layout, version))
        return artifact

    def _become(self, layout: Layout, version: Version, entries: Iterable[Entry]) -> None:
        self._layout, self._version = layout, version
        self._entries = {entry.path: entry for entry in entries}
        metadata = parse_json(version.metadata, f"artifact {version.qualified}: metadata")
        if not isinstance(metadata, dict):
            raise CorruptData(f"artifact {version.qualified}: metadata: an object is needed")
        self._metadata, self._description, self._aliases = metadata, version.description, list(version.aliases)
        self._sources, self._values, self._staging = {}, {}, None

    # --- what it is -------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The name, and once it is logged the version: ``unet:v3``."""
        return self._name if self._version is None else f"{self._name}:{self.version}"

    @property
    def source_name(self) -> str:
        """The same as :attr:`name`."""
        return self.name

    @property
    def type(self) -> str:
        """What kind of thing it is."""
        return self._type

    @property
    def version(self) -> str:
        """The version, such as ``v3``; of one that is not logged an AttributeError."""
        return f"v{self._logged('version').number}"

    @property
    def source_version(self) -> str:
        """The same as :attr:`version`."""
        return self.version

    @property
    def project(self) -> str | None:
        """The project whose name it is."""
        return self._logged("project").project

    @property
    def qualified_name(self) -> str:
        """The project, the name and the version: ``streets/unet:v3``."""
        return self._logged("qualified_name").qualified

    @property
    def id(self) -> str:
        """The same as :attr:`qualified_name`."""
        return self._logged("id").qualified

    @property
    def entity(self) -> str:
        """Empty: there are no accounts."""
        return ""

    @property
    def url(self) -> None:
        """None: there is no page of it on a server."""
        return

    @property
    def digest(self) -> str:
        """BLAKE3 over paths, sizes and digests of all that is in it, 64 hexadecimal digits."""
        return manifest_digest(self._entries.values()) if self._version is None else self._version.digest

    @property
    def digest_algorithm(self) -> str:
        """``BLAKE3``."""
        return "BLAKE3"

    @property
    def size(self) -> int:
        """The bytes of all files in it."""
        return sum(entry.size or 0 for entry in self._entries.values())

    @property
    def file_count(self) -> int:
        """How many things are in it."""
        return len(self._entries)

    @property
    def created_at(self) -> str:
        """When it was logged, as ISO 8601."""
        return self._logged("created_at").time.isoformat()

    @property
    def state(self) -> str:
        """``COMMITTED`` once it is logged, ``PENDING`` before."""
        return "PENDING" if self._version is None else "COMMITTED"

    @property
    def incremental(self) -> bool:
        """Whether the version also has what the latest one has."""
        return self._incremental

    @property
    def manifest(self) -> ArtifactManifest:
        """What is in it."""
        return ArtifactManifest({path: self._entry(path) for path in sorted(self._entries)})

    @property
    def description(self) -> str | None:
        """What is said of it; what is set after it was logged is stored by :meth:`save`."""
        return self._description

    @description.setter
    def description(self, text: str | None) -> None:
        self._description = None if text is None else text_of("description", text, empty=True)

    @property
    def metadata(self) -> dict[str, Any]:
        """Anything that JSON can hold; what is changed after it was logged is stored by :meth:`save`."""
        return self._metadata

    @metadata.setter
    def metadata(self, metadata: Mapping[str, Any] | None) -> None:
        self._metadata = parse_metadata(metadata)

    @property
    def aliases(self) -> list[str]:
        """The aliases of a logged version; those that are appended are stored by :meth:`save`."""
        self._logged("aliases")
        return self._aliases

    @aliases.setter
    def aliases(self, aliases: Sequence[str]) -> None:
        self._logged("aliases")
        self._aliases = [check_alias(alias) for alias in aliases]

    def is_draft(self) -> bool:
        """Return whether it is not logged yet."""
        return self._version is None

    def logged_by(self) -> RunInfo:
        """Return what is known of the run that logged it."""
        version = self._logged("logged_by")
        assert self._layout is not None  # noqa: S101  # a version is in a store
        return self._layout.run(version.run_id)

    def wait(self, timeout: float | None = None) -> Artifact:
        """Return itself: what is logged is stored, so that there is nothing to wait for, however long."""
        return self

    def finalize(self) -> None:
        """Let nothing more be added."""
        self._final = True

    # --- what is taken out ------------------------------------------------------------------------

    def get(self, name: str) -> Table | Image | None:
        """Return a table or image by its name in the artifact; None where there is none.

        Behind the name may stand what W&B puts there, ``.table.json`` or ``.image-file.json``.
        """
        if name not in self._entries:
            name = ENDING.sub("", name)
        if name in self._values:
            return self._values[name]
        entry = self._entries.get(name)
        if entry is None or entry.kind not in ("table", "image"):
            return None
        version = self._logged("get")
        assert self._layout is not None  # noqa: S101  # a version is in a store
        return value_of(self._layout.root, version, entry)

    def __getitem__(self, name: str) -> Table | Image | None:
        return self.get(name)

    def get_entry(self, name: str | os.PathLike[str]) -> ArtifactEntry:
        """Return what is called so in the artifact.

        Raises
        ------
        NotFound
            There is nothing of the name.
        """
        path = os.fspath(name)
        if path not in self._entries:
            raise NotFound(f"there is no {path!r} in artifact {self.name!r}; there are: {self._known()}")
        return self._entry(path)

    def get_path(self, name: str | os.PathLike[str]) -> ArtifactEntry:
        """Return what is called so in the artifact; an older name of :meth:`get_entry`."""
        return self.get_entry(name)

    def files(
        self, names: Sequence[str] | None = None, per_page: int = 50, start: str | None = None
    ) -> list[ArtifactEntry]:
        """Return what is in the artifact, in order of the paths.

        Parameters
        ----------
        names : sequence of str, optional
            Only these.
        per_page : int, optional
            Without effect: all are returned at once.
        start : str, optional
            Only those whose path is this one or comes after it.
        """
        chosen = sorted(self._entries) if names is None else [path for path in sorted(self._entries) if path in names]
        return [self._entry(path) for path in chosen if start is None or path >= start]

    def download(
        self,
        root: str | os.PathLike[str] | None = None,
        allow_missing_references: bool = False,
        skip_cache: bool | None = None,
        path_prefix: str | os.PathLike[str] | None = None,
        multipart: bool | None = None,
    ) -> str:
        """Write the files to a folder, and return its path.

        Addresses of ``file://`` are copied, and others are left out with a warning. Tables and images are no files:
        :meth:`get` gives them.

        Parameters
        ----------
        root : path-like, optional
            The folder; by default ``artifacts/<name>:<version>`` in the working directory. Files in it that the
            artifact has too are replaced, others stay, and nothing is written through a link.
        allow_missing_references : bool, optional
            Whether to say nothing of addresses that are left out.
        skip_cache, multipart : bool, optional
            Without effect: files come from the store.
        path_prefix : str, optional
            Only what has a path that begins with this.

        Raises
        ------
        StateError
            It is not logged yet.
        CorruptData
            Bytes of the store were altered; or what is in the way to a file is a link.
        """
        self._logged("download")
        folder = self._folder() if root is None else Path(os.fspath(root))
        folder.mkdir(parents=True, exist_ok=True)
        prefix = "" if path_prefix is None else os.fspath(path_prefix)
        for path, entry in sorted(self._entries.items()):
            if not path.startswith(prefix):
                continue
            local = _local(entry)
            if entry.kind == "file":
                self._entry(path).download(folder)
            elif local is not None and local.is_file():
                with local.open("rb") as file:
                    copy_to(file, Folder(folder), path, entry.digest, str(entry.reference))
            elif entry.kind == "reference" and not allow_missing_references:
                warn(f"{path!r} is the address {entry.reference!r}: it is not downloaded", NotStoredWarning)
        return str(folder)

    def file(self, root: str | os.PathLike[str] | None = None) -> str:
        """Write the only file of the artifact to a folder, and return its path.

        Raises
        ------
        InvalidValue
            It holds none, or several.
        """
        self._logged("file")
        if len(self._entries) != 1:
            raise InvalidValue(
                f"artifact {self.name!r} holds {len(self._entries)} files: use download() or get_entry()"
            )
        (path,) = self._entries
        return self._entry(path).download(self._folder() if root is None else root)

    def verify(self, root: str | os.PathLike[str] | None = None) -> None:
        """Check that a folder holds the files of the artifact as they were logged, and no others.

        Raises
        ------
        CorruptData
            A file is missing, altered, or none of the artifact's.
        """
        self._logged("verify")
        folder = self._folder() if root is None else Path(os.fspath(root))
        wanted = {path: entry for path, entry in self._entries.items() if entry.kind == "file"}
        if not folder.is_dir():
            raise NotFound(f"there is no folder {str(folder)!r}: download() makes it")
        there = {path.relative_to(folder).as_posix(): path for path in files_in(folder, follow=False)}
        for path, entry in sorted(wanted.items()):
            if path not in there:
                raise CorruptData(f"{folder} lacks {path!r} of artifact {self.name!r}")
            with there[path].open("rb") as file:
                if hash_of(file)[0] != entry.digest:
                    raise CorruptData(f"{there[path]} is not {path!r} of artifact {self.name!r}: it was altered")
        more = sorted(there.keys() - wanted.keys() - {p for p, e in self._entries.items() if e.kind == "reference"})
        if more:
            raise CorruptData(f"{folder} holds {more[0]!r}, which is not in artifact {self.name!r}")

    def save(self, project: str | None = None, settings: Any = None) -> None:
        """Log the artifact with the active run; of one that is logged, store its aliases, description and metadata.

        Parameters
        ----------
        project, settings : optional
            Where W&B makes a run for it; they have no effect here, and warn.

        Raises
        ------
        StateError
            No run is active, or one that is disabled, which has no logged version to change.
        """
        if project is not None or settings is not None:
            what = "project and settings of save() have no effect: it saves with the active run"
            warn_unless_strict(what, strict=sink.strict)
        if self._version is None and sink.log_artifact is not None:
            sink.log_artifact(self)
            return
        version = self._logged("save()")
        writer = sink.writer
        if not isinstance(writer, Writer):
            raise StateError(f"artifact {self.name!r} is saved with a run that stores: call maskl.init() first")
        self._say_anew(FileWriter(writer), writer.layout, version)

    # --- what only a server has -------------------------------------------------------------------

    @property
    def tags(self) -> list[str]:
        """None of them: tags of artifacts mean something to W&B's server only, and setting them warns."""
        return []

    @tags.setter
    def tags(self, tags: Sequence[str]) -> None:
        warn_unless_strict(f"tags={tags!r:.60} of an artifact have no effect: give it aliases", strict=sink.strict)

    @property
    def ttl(self) -> None:
        """None: nothing is removed by its age, and setting it warns."""
        return

    @ttl.setter
    def ttl(self, ttl: Any) -> None:
        warn_unless_strict(f"ttl={ttl!r:.60} has no effect: maskl delete removes runs", strict=sink.strict)

    def link(self, target_path: str, aliases: Sequence[str] | None = None) -> Artifact:
        """Return itself after a warning: there is no registry to link it in."""
        warn_unless_strict(
            f"link({target_path!r:.60}) needs W&B's server, and maskl has none: nothing is linked", strict=sink.strict
        )
        return self

    def __getattr__(self, name: str) -> Any:
        if name in ABSENT:
            raise MissingName(f"an artifact has no {name} here; instead: {ABSENT[name]}", name)
        there = getattr(type(self), name, None)
        if isinstance(there, property) and there.fget is not None:  # it said why it has none, and is asked again
            return there.fget(self)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name)

    # --- inside -----------------------------------------------------------------------------------

    def _say_anew(self, files: FileWriter, layout: Layout, version: Version, aliases: Sequence[str] = ()) -> None:
        """Store what was changed of a version that is logged, and more aliases for it."""
        wanted = dict.fromkeys([*version.aliases, *self._aliases, *aliases])
        names = [check_alias(alias) for alias in wanted if alias != LATEST]
        metadata = dump_json(self._metadata)
        if set(names) - set(version.aliases) or (self._description, metadata) != (
            version.description,
            version.metadata,
        ):
            entries = list(self._entries.values())
            of = (version.project, version.name, version.type, entries, self._description, metadata, names)
            files.commit_version(NewVersion(*of, known=True), version.number)
        now = versions(layout, version.name)
        said = next(one for one in now if one.qualified == version.qualified)
        self._become(layout, said, self._entries.values())

    def _logged(self, what: str) -> Version:
        if self._version is None:
            raise NotLogged(
                f"artifact {self._name!r} has no {what} before it is logged: run.log_artifact() returns it logged", what
            )
        return self._version

    def _check_draft(self) -> None:
        if self._version is not None or self._final:
            raise StateError(
                f"artifact {self.name!r} is {'logged' if self._version else 'final'}, and nothing more goes into it: "
                f"make another one of its name, whose version will be the next"
            )

    def _entry(self, path: str) -> ArtifactEntry:
        store = None if self._layout is None else self._layout.files
        return ArtifactEntry(self._entries[path], store, self._folder)

    def _folder(self) -> Path:
        name = f"{file_name(self._name)}{'-' if os.name == 'nt' else ':'}{self.version}"
        return Path("artifacts") / name

    def __repr__(self) -> str:
        return f"<Artifact {self.name!r}: {self._type}, {len(self._entries)} files>"


class NotLogged(StateError, AttributeError):
    """What only a version of an artifact that is logged has; ``hasattr`` is False before."""

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.name = name


def _local(entry: Entry) -> Path | None:
    """Return the file of an address of ``file://``."""
    if entry.kind != "reference" or entry.reference is None:
        return None
    parts = urlsplit(entry.reference)
    return Path(unquote(parts.path)) if parts.scheme == "file" and parts.netloc in ("", "localhost") else None
