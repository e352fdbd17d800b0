"""W&B's artifacts: what the log says is in them, and where their files wait."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, Final

from maskl.formats.wandb._log_file import Message
from maskl.interchange.documents import parse_object
from maskl.interchange.records import Item, Version
from maskl.interchange.source_files import SourceFile, inside
from maskl.interchange.untrusted import MAX_JSON, read_file, unpacked_lines
from maskl_storage.errors import CorruptData, InvalidValue, MasklError, NotFound

__all__ = ["FILES", "Artifacts"]

CLIENT: Final = "wandb-client-artifact://"
#: the type of the artifact that W&B makes of a logged table, and how the types of others begin that it makes itself, of
#: which those of tables that grow are tables too
TABLE: Final = "run_table"
OWN: Final = re.compile("run_table|job|wandb-.*", re.DOTALL)
#: the folder in a run's folder that paths of media count from, and where in it copies of tables lie
FILES: Final = "files"
COPIES: Final = "media/table/"
#: where a staging folder of W&B's is in a folder of its data, and the folder in it of lists of files that are very many
STAGING: Final = "artifacts/staging"
MANIFESTS: Final = "artifact_manifests"
#: where a file is in W&B's cache, by its MD5
CACHED: Final = "artifacts/obj/md5"
#: what the digests of files are, unless the log says otherwise
MD5: Final = ("", "MANIFEST_MD5")


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file of an artifact: its digest in base 64, where it waits, and its address; what is not known is empty."""

    digest: str
    local: str
    reference: str
    size: int | None = None
    md5: bool = True


class Artifacts:
    """The artifacts of one log, whose files wait to be uploaded.

    Parameters
    ----------
    log : SourceFile
        The run's log.
    staging : Path, optional
        A folder in which files wait under the names that the log says. After it they are looked for in W&B's own
        staging folder, where it lies unless the user told W&B otherwise, in one in the run's folder or beside it, in
        the run's own folder, and by their hash in the cache of W&B of whoever imports. Where the log says that files
        are is nothing to go by.
    """

    def __init__(self, log: SourceFile, staging: Path | None) -> None:
        self._log = log
        self._links = log.links
        #: folders, and where in them a staging folder may be
        self._staging = [(staging, "")] if staging is not None else []
        self._staging += [(own_data(), STAGING), *((at, STAGING) for at in log.above(3))]
        self._entries: dict[str, dict[str, _Entry]] = {}
        #: where files wait, by their digests
        self._local: dict[str, str] = {}
        self._said: list[tuple[Message, dict[str, _Entry]]] = []
        #: the artifact of the table that was logged last, and those of tables by the path of W&B's copy
        self._table: str | None = None
        self._copies: dict[str, str] = {}

    def add(self, artifact: Message | None) -> None:
        """Take an artifact's record."""
        manifest = None if artifact is None else artifact.message(12)
        if artifact is None or manifest is None:
            return
        client, kind, md5 = artifact.text(15), artifact.text(4), artifact.text(20) in MD5
        if kind == TABLE:
            self._table = client
        entries = {
            entry.text(1): _Entry(entry.text(2), entry.text(6), entry.text(3), entry.number(4), md5)
            for entry in manifest.messages(4)
        }
        if manifest.text(5):
            entries |= self._listed(manifest.text(5), md5)
        self._entries[client] = entries
        self._local |= {entry.digest: entry.local for entry in entries.values() if entry.local}
        if not OWN.fullmatch(kind):
            self._said.append((artifact, entries))

    def note_files(self, files: Message | None) -> None:
        """Take a record of files to upload: after a table's artifact follows the copy of it that the history names.

        Before W&B 0.19 that is all that leads from the history to the artifact.
        """
        if files is None or self._table is None:
            return
        for item in files.messages(1):
            if item.text(1).startswith(COPIES):
                self._copies[item.text(1)] = self._table

    def table(self, value: Any) -> tuple[str, str]:
        """Return the artifact of a table that the history names, and the table's path in it.

        Raises
        ------
        InvalidValue
            The log holds none of it.
        """
        where = value.get("artifact_path")
        if isinstance(where, str):
            client, _, name = where.removeprefix(CLIENT).partition("/")
            return client, name
        copied = self._copies.get(str(value.get("path")))
        for name in self._entries.get(copied or "", ()):
            # of the table itself, and not one that it refers to: its copy is called as it is, with step and hash
            if name.endswith(".table.json") and str(value["path"]).startswith(
                COPIES + name.removesuffix(".table.json") + "_"
            ):
                return str(copied), name
        raise InvalidValue(f"the log holds no artifact of the table {str(value.get('path'))!r:.120}")

    def read(self, client: str, path: str) -> bytes:
        """Return the bytes of a file of an artifact.

        Raises
        ------
        InvalidValue, CorruptData
            There is no such file any more, or it was altered since.
        """
        entry = self._entries.get(client, {}).get(path)
        if entry is None:
            raise InvalidValue(f"the artifact {client[:8]}… of the log holds no file {path!r:.100}")
        try:
            found = self._file(path, entry)
        except NotFound as error:
            raise InvalidValue(str(error)) from error
        data = read_file(found, MAX_JSON)
        if entry.md5 and hashlib.md5(data, usedforsecurity=False).digest() != _digest(entry):
            raise CorruptData(f"{found} was altered since it was logged as {path!r:.100}: its MD5 does not match")
        return data

    def __len__(self) -> int:
        """Return how many versions the user logged."""
        return len(self._said)

    def version(self, number: int, run: str) -> Version:
        """Return the version that the user logged as one of some.

        Raises
        ------
        CorruptData
            What is said of it is none of an artifact.
        """
        record, entries = self._said[number]
        name, metadata = record.text(5), record.text(8)
        return Version(
            run,
            name,
            record.text(4),
            [self._item(path, entry) for path, entry in entries.items()],
            f"{self._log}, artifact {name!r:.100}",
            record.text(7) or None,
            parse_object(metadata, "its metadata") if metadata else {},
            tuple(record.texts(11)),
            bool(record.number(100)),
        )

    def _item(self, path: str, entry: _Entry) -> Item:
        if entry.reference and not (self._waits(entry) and entry.reference.startswith(CLIENT)):
            return Item(path, reference=entry.reference, size=entry.size or None)

        def find() -> SourceFile:
            return self._file(path, entry)

        return Item(path, find, size=entry.size, md5=_digest(entry) if entry.md5 else None)

    def _waits(self, entry: _Entry) -> str:
        """Return where the log says that a file waits, of this artifact or of another one with the same bytes."""
        return entry.local or self._local.get(entry.digest, "")

    def _file(self, path: str, entry: _Entry) -> SourceFile:
        """Return where a file of an artifact is, or raise that it is nowhere."""
        local = self._waits(entry)
        found = self._find(local) or self._of_run(local) or (self._cached(entry) if entry.md5 else None)
        if found is None:
            raise NotFound(
                f"the file {path!r:.100} of an artifact is in no staging folder of yours; the log says that it is "
                f"{local!r:.200}: if that is right, name its folder with --staging"
            )
        return found

    def _find(self, local: str, under: str = "") -> SourceFile | None:
        """Return where a file waits, whatever folder the log says: only in a staging folder, or in ``under`` there."""
        name = PurePath(local.replace("\\", "/")).name
        for folder, staging in self._staging if name else ():
            try:
                return inside(folder, name, links=self._links, under=f"{staging}/{under}".strip("/"))
            except NotFound:
                continue
        return None

    def _of_run(self, local: str) -> SourceFile | None:
        """Return a file that the log says is in the run's own folder, wherever that is now."""
        parts = PurePosixPath(local.replace("\\", "/")).parts
        folder = self._log.above(1)[0].name
        if folder not in parts:
            return None
        within = parts[len(parts) - parts[::-1].index(folder) :]
        try:
            return self._log.neighbour("/".join(within))
        except MasklError:
            return None

    def _cached(self, entry: _Entry) -> SourceFile | None:
        try:
            digest = _digest(entry).hex()
            return inside(own_cache(), digest[2:], links=self._links, under=f"{CACHED}/{digest[:2]}")
        except (NotFound, CorruptData):
            return None

    def _listed(self, path: str, md5: bool) -> dict[str, _Entry]:
        """Read a manifest of very many files, which has a file of its own: a line of JSON for each."""
        found = self._find(path, MANIFESTS)
        if found is None:
            raise InvalidValue(
                f"the list of an artifact's files {path!r:.200} is in no staging folder of yours: name the folder that "
                f"it was in with --staging"
            )
        entries = {}
        for number, line in enumerate(unpacked_lines(read_file(found), found), 1):
            entry = parse_object(line, f"{found}, line {number}")
            if "path" in entry:
                digest, local, reference = (str(entry.get(key) or "") for key in ("digest", "local_path", "ref"))
                size = entry.get("size")
                entries[str(entry["path"])] = _Entry(digest, local, reference, size if type(size) is int else None, md5)
        return entries


def _digest(entry: _Entry) -> bytes:
    """Return the digest of a file, or raise that what stands there is none."""
    try:
        found = base64.b64decode(entry.digest, validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if len(found) != 16:
        raise CorruptData(f"{entry.digest!r:.60} is no MD5 in base 64")
    return found


def own_data() -> Path:
    """Return the folder of W&B's data of whoever imports, as W&B finds it."""
    return _own("WANDB_DATA_DIR", "Application Support", "XDG_DATA_HOME", "~/.local/share")


def own_cache() -> Path:
    """Return the folder of W&B's cache of whoever imports, as W&B finds it."""
    return _own("WANDB_CACHE_DIR", "Caches", "XDG_CACHE_HOME", "~/.cache", "Cache")


def _own(said: str, library: str, base: str, usual: str, *under: str) -> Path:
    """Return a folder of W&B's: what the environment says, else by the conventions of the system."""
    if os.environ.get(said):
        return Path(os.environ[said]).expanduser()
    if sys.platform == "darwin":
        return Path("~/Library", library, "wandb").expanduser()
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA", "~/AppData/Local"), "wandb", "wandb", *under).expanduser()
    return Path(os.environ.get(base) or usual, "wandb").expanduser()
