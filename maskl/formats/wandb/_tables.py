"""Tables of W&B: JSON in artifacts, whose files wait in a staging folder."""

from __future__ import annotations

import base64
import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any, Final

import numpy as np

from maskl.formats.wandb._log_file import Message
from maskl.formats.wandb._media import Media, image_of, labels_of
from maskl.interchange.documents import parse_object
from maskl.interchange.source_files import SourceFile, inside
from maskl.interchange.untrusted import MAX_JSON, packed_array, read_file, unpacked_lines
from maskl_storage.errors import CorruptData, InvalidValue, MasklError, NotFound
from maskl_storage.format.metadata import ClassItem, ClassSet, Column

__all__ = ["Artifacts", "Table", "read_table"]

CLIENT: Final = "wandb-client-artifact://"
#: where a staging folder of W&B's is in a folder of its data, and the folder in it of lists of files that are very many
STAGING: Final = "artifacts/staging"
MANIFESTS: Final = "artifact_manifests"
EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
MISSING: Final = ("none", "unknown")


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file of an artifact: its MD5 in base 64, and where it waits; empty where another artifact has it."""

    digest: str
    local: str
    reference: str


class Artifacts:
    """The files of a run's artifacts, which wait to be uploaded.

    Parameters
    ----------
    log : SourceFile
        The run's log.
    staging : Path, optional
        The staging folder; by default W&B's own, where it lies unless the user told W&B otherwise, else one in the
        run's folder or beside it. Where the log says that files are is nothing to go by.
    """

    def __init__(self, log: SourceFile, staging: Path | None) -> None:
        self._links = log.links
        #: folders, and where in them a staging folder may be
        self._staging = [(staging, "")] if staging else [(own_data(), STAGING), *((at, STAGING) for at in log.above(3))]
        self._entries: dict[str, dict[str, _Entry]] = {}
        self._local: dict[str, str] = {}

    def add(self, artifact: Message | None) -> None:
        """Take an artifact's record."""
        manifest = None if artifact is None else artifact.message(12)
        if artifact is None or manifest is None:
            return
        entries = {entry.text(1): _Entry(entry.text(2), entry.text(6), entry.text(3)) for entry in manifest.messages(4)}
        if manifest.text(5):
            entries |= self._listed(manifest.text(5))
        self._entries[artifact.text(15)] = entries
        self._local |= {entry.digest: entry.local for entry in entries.values() if entry.local}

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
        local = entry.local or self._local.get(entry.digest, "")
        found = self._find(local)
        if found is None:
            raise InvalidValue(
                f"the file {path!r:.100} of an artifact is in no staging folder of yours; the log says that it is "
                f"{local!r:.200}: if that is right, name its folder with --staging"
            )
        data = read_file(found, MAX_JSON)
        md5 = hashlib.md5(data, usedforsecurity=False).digest()
        if base64.b64encode(md5).decode() != entry.digest:
            raise CorruptData(f"{found} was altered since it was logged as {path!r:.100}: its MD5 does not match")
        return data

    def _find(self, local: str, under: str = "") -> SourceFile | None:
        """Return where a file waits, whatever folder the log says: only in a staging folder, or in ``under`` there."""
        name = PurePath(local.replace("\\", "/")).name
        for folder, staging in self._staging if name else ():
            try:
                return inside(folder, name, links=self._links, under=f"{staging}/{under}".strip("/"))
            except NotFound:
                continue
        return None

    def _listed(self, path: str) -> dict[str, _Entry]:
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
                said = (str(entry.get(key) or "") for key in ("digest", "local_path", "ref"))
                entries[str(entry["path"])] = _Entry(*said)
        return entries


def own_data() -> Path:
    """Return the folder of W&B's data of whoever imports, as W&B finds it."""
    said = os.environ.get("WANDB_DATA_DIR")
    if said:
        return Path(said).expanduser()
    if sys.platform == "darwin":
        return Path("~/Library/Application Support/wandb").expanduser()
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA", "~/AppData/Local"), "wandb", "wandb").expanduser()
    return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share", "wandb").expanduser()


@dataclass(frozen=True, slots=False)
class Table:
    """A table as W&B wrote it; its cells become values row by row.

    ``inline`` has the rows that W&B writes beside the artifact, for arrays that stand there alone.
    """

    artifacts: Artifacts
    client: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    kinds: Sequence[Mapping[str, Any]]
    inline: Sequence[Sequence[Any]] | None
    _classes: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def types(self) -> dict[str, Column]:
        """What is known of columns beside their values: those of several types, and ids of classes."""
        found = {}
        for name, kind in zip(self.columns, self.kinds, strict=True):
            members = [member for member in _members(kind) if member.get("wb_type") not in MISSING]
            kinds = {member.get("wb_type") for member in members}
            if len(kinds) > 1 or "any" in kinds:
                found[name] = Column("value", name, "json")
            elif members and members[0].get("wb_type") == "classesId":
                classes = self._class_ids(members[0])
                if classes is not None:
                    found[name] = Column("value", name, "int", class_sets=(classes,))
        return found

    @cached_property
    def arrays(self) -> dict[int, Any]:
        """Columns of arrays by their place, which stand in files of their own."""
        found: dict[int, Any] = {}
        for place, kind in enumerate(self.kinds):
            for member in _members(kind):
                where = (member.get("params") or {}).get("serialization_path")
                if member.get("wb_type") == "ndarray" and isinstance(where, dict):
                    found[place] = self._array(place, str(where.get("path")), str(where.get("key")))
        return found

    def values(self, row: Sequence[Any], number: int) -> list[Any]:
        """Return the values of a row.

        Raises
        ------
        InvalidValue, CorruptData
            Another number of cells than columns, or a file that is missing or broken.
        """
        if not isinstance(row, list) or len(row) != len(self.columns):
            raise InvalidValue(f"a row needs {len(self.columns)} cells; got {row!r:.80}")
        values = []
        for place, (cell, kind) in enumerate(zip(row, self.kinds, strict=True)):
            if place in self.arrays:
                column = self.arrays[place]
                if number >= len(column):
                    raise InvalidValue(f"column {self.columns[place]!r} has {len(column)} arrays")
                values.append(column[number])
            else:
                values.append(self._cell(cell, kind))
        return values

    def _cell(self, cell: Any, kind: Mapping[str, Any]) -> Any:
        members = _members(kind)
        if isinstance(cell, dict) and cell.get("_type") == "image-file":
            params = next((m.get("params") or {} for m in members if m.get("wb_type") == "image-file"), {})
            return self._image(cell, params)
        if type(cell) in (int, float) and any(member.get("wb_type") == "timestamp" for member in members):
            try:
                return EPOCH + timedelta(milliseconds=cell)
            except OverflowError as error:
                raise InvalidValue(f"the timestamp {cell} lies outside the years 1 to 9999") from error
        if isinstance(cell, dict) and "_type" in cell:
            raise InvalidValue(f"a cell holds W&B's type {cell['_type']!r:.60}, which has no counterpart here")
        return cell

    def _image(self, cell: Mapping[str, Any], params: Mapping[str, Any]) -> Any:
        def labels(kind: str, key: str) -> dict[int, str] | None:
            maps = params.get("mask_class_maps" if kind == "mask" else "box_class_maps") or {}
            return labels_of((maps.get("params") or {}).get("val", {}).get(key))

        def read(item: Mapping[str, Any]) -> bytes:
            return self.artifacts.read(self.client, str(item.get("path")))

        classes = cell.get("classes")
        if isinstance(classes, dict) and isinstance(classes.get("path"), str):
            path = classes["path"]
            if path not in self._classes:
                self._classes[path] = parse_object(read(classes), path).get("class_set")
            classes = self._classes[path]
        return image_of(cell, read, labels, lambda data: data, classes or None)

    def _class_ids(self, member: Mapping[str, Any]) -> ClassSet | None:
        described = (member.get("params") or {}).get("classes_obj")
        path = described.get("path") if isinstance(described, dict) else None
        if not isinstance(path, str):
            return None
        items = parse_object(self.artifacts.read(self.client, path), path).get("class_set")
        labels = labels_of({str(item["id"]): item["name"] for item in items}) if isinstance(items, list) else None
        return ClassSet(ClassItem(number, labels[number]) for number in sorted(labels)) if labels else None

    def _array(self, place: int, path: str, key: str) -> Any:
        try:
            arrays = packed_array(self.artifacts.read(self.client, path), key, path)
        except MasklError as error:
            # arrays of several shapes, or missing ones, are pickled
            if self.inline is None:
                raise InvalidValue(f"the arrays of column {self.columns[place]!r} cannot be read: {error}") from error
            return [None if row[place] is None else np.array(row[place]) for row in self.inline]
        if not arrays.ndim:
            raise CorruptData(f"column {self.columns[place]!r} needs an array a row; its file holds a number")
        return arrays


def read_table(artifacts: Artifacts, value: Mapping[str, Any], media: Media) -> Table:
    """Read the table that a value of the history names.

    Raises
    ------
    InvalidValue, CorruptData
        A file that is missing, altered or no table.
    """
    client, _, name = str(value.get("artifact_path", "")).removeprefix(CLIENT).partition("/")
    body = parse_object(artifacts.read(client, name), name)
    columns, rows = body.get("columns"), body.get("data")
    if not isinstance(columns, list) or not isinstance(rows, list):
        raise InvalidValue(f"{name}: a table needs columns and data")
    types = ((body.get("column_types") or {}).get("params") or {}).get("type_map") or {}
    kinds = [types.get(str(column)) or {} for column in columns]
    inline = None
    if any(member.get("wb_type") == "ndarray" for kind in kinds for member in _members(kind)):
        inline = parse_object(media.read(value), name).get("data")
    return Table(artifacts, client, [str(column) for column in columns], rows, kinds, inline)


def _members(kind: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if kind.get("wb_type") == "union":
        members = (kind.get("params") or {}).get("allowed_types")
        return [member for member in members if isinstance(member, dict)] if isinstance(members, list) else []
    return [kind]
