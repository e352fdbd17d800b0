"""W&B's side: offline runs, read back from the files that ``wandb sync`` would upload."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import wandb
from PIL import Image as PILImage
from wandb import data_types
from wandb.proto import wandb_internal_pb2 as messages

from tests.conformance.scenario import Kept, Side, picture, plain

__all__ = ["Theirs"]

HEADER, BLOCK = 7, 32768
UNION = ("union",)


class Theirs(Side):
    """wandb, offline."""

    name = "wandb"
    prefix = "WANDB"

    def __init__(self, directory: Path) -> None:
        self.module = wandb
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def class_of(self, name: str) -> Any:
        return getattr(data_types, name)

    def init(self, **arguments: Any) -> Any:
        return wandb.init(**{"mode": "offline", "dir": str(self.directory), **arguments})

    def kept(self, run: Any) -> Kept:
        return _Reader(Path(run.settings.sync_dir)).kept()

    def kept_table(self, table: Any) -> dict[str, Any]:
        artifact = wandb.Artifact("observed", "table")
        artifact.add(table, "table")
        files = {path: entry.local_path for path, entry in artifact.manifest.entries.items()}
        # a file that two tables share was written for the first one
        files = {path: local for path, local in files.items() if local is not None}
        return _table(files, "table.table.json", {})

    def loaded(self, image: Any) -> Any:
        artifact = wandb.Artifact("observed", "image")
        artifact.add(image, "image")
        return _Saved(artifact, self.directory / "saved").get("image.image-file.json")

    def names_of(self, image: Any, key: str) -> dict[Any, str]:
        own = getattr(image._masks[key], "_val", {}).get("class_labels")
        return own or {item["id"]: item["name"] for item in image._classes._class_set}

    def run(self, code: str, arguments: Sequence[str], variables: Mapping[str, str]) -> str:
        # a process of its own, since W&B reads its variables once
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            capture_output=True,
            text=True,
            cwd=self.directory,
            env={**inherited, **variables},
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout + done.stderr

    def media_json(self, run: Any) -> list[Any]:
        """Return the JSON of the tables that stands among the run's media files."""
        found = Path(run.settings.sync_dir).rglob("files/media/table/*.json")
        return [json.loads(path.read_text("utf-8")) for path in found]


class _Saved:
    """An artifact as it is loaded, made of the files that would be uploaded: what ``from_json`` asks of one."""

    def __init__(self, artifact: wandb.Artifact, root: Path) -> None:
        self.root = root
        for path, entry in artifact.manifest.entries.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(entry.local_path, root / path)

    def _default_root(self) -> str:
        return str(self.root)

    def get_entry(self, path: str) -> Any:
        local = str(self.root / path)
        return SimpleNamespace(download=lambda: local, ref_url=lambda: f"file://{local}")

    def get(self, path: str) -> Any:
        stored = json.loads((self.root / path).read_text("utf-8"))
        return data_types.WBValue.init_from_json(stored, self)


class _Reader:
    """The transaction log of one offline run, and the files beside it."""

    def __init__(self, directory: Path) -> None:
        self.files = directory / "files"
        (log,) = directory.glob("*.wandb")
        self.records = _finished(log)
        self.artifacts = {
            record.artifact.client_id: {entry.path: entry.local_path for entry in record.artifact.manifest.contents}
            for record in self.records
            if record.WhichOneof("record_type") == "artifact"
        }

    def kept(self) -> Kept:
        history: list[tuple[int, dict[str, Any]]] = []
        summary: dict[str, Any] = {}
        config: dict[str, Any] = {}
        for record in self.records:
            kind = record.WhichOneof("record_type")
            if kind == "history":
                values: dict[str, Any] = {}
                _apply(values, record.history.item)
                if _own(values):
                    history.append((record.history.step.num, values))
            elif kind == "summary":
                _apply(summary, record.summary.update)
                for removed in record.summary.remove:
                    summary.pop(removed.key or removed.nested_key[0], None)
            elif kind in ("run", "config"):
                changes = record.run.config if kind == "run" else record.config
                _apply(config, changes.update)
                for removed in changes.remove:
                    config.pop(removed.key, None)
        # the labels of masks stand in the run's config, where the last that was logged under a key holds for all
        labels = self._labels(config)
        logged = [(step, self._values(values, labels)) for step, values in history]
        return Kept(logged, self._values(summary, labels), _own(config))

    def _labels(self, config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Return the class labels by kind and ``<key of the log call>/<key of the mask>``."""
        found: dict[str, dict[str, Any]] = {}
        for kind in ("mask/class_labels", "bounding_box/class_labels"):
            entries = config.get("_wandb", {}).get(kind, {})
            found[kind] = {key.replace("_wandb_delimeter_", "/"): entry["value"] for key, entry in entries.items()}
        return found

    def _values(self, values: Mapping[str, Any], labels: Mapping[str, Any]) -> dict[str, Any]:
        return {key: self._value(key, value, labels) for key, value in _own(values).items()}

    def _value(self, key: str, value: Any, labels: Mapping[str, Any]) -> Any:
        if not isinstance(value, dict):
            return value
        kind = value.get("_type")
        if kind == "histogram":
            return {"counts": value["values"], "edges": value["bins"]}
        if kind == "image-file":
            return self._image(key, value, labels)
        if kind == "images/separated":
            return [
                self._image(
                    key,
                    {
                        "path": path,
                        "caption": value["captions"][number] if "captions" in value else None,
                        "masks": value["all_masks"][number] if "all_masks" in value else None,
                        "boxes": value["all_boxes"][number] if "all_boxes" in value else None,
                    },
                    labels,
                )
                for number, path in enumerate(value["filenames"])
            ]
        if kind in ("table-file", "incremental-table-file"):
            client, _, name = value["artifact_path"].removeprefix("wandb-client-artifact://").partition("/")
            return _table(self.artifacts[client], name, {"rows_said": value["nrows"]})
        return {name: self._value(f"{key}.{name}", item, labels) for name, item in value.items()}

    def _image(self, key: str, value: Mapping[str, Any], labels: Mapping[str, Any]) -> dict[str, Any]:
        masks = {}
        for name, mask in (value.get("masks") or {}).items():
            names = labels["mask/class_labels"].get(f"{key}/{name}")
            masks[name] = {"pixels": np.asarray(PILImage.open(self.files / mask["path"])), "labels": names}
        boxes = {}
        for name, box in (value.get("boxes") or {}).items():
            stored = json.loads((self.files / box["path"]).read_text("utf-8"))
            boxes[name] = {"data": stored["box_data"], "labels": labels["bounding_box/class_labels"][f"{key}/{name}"]}
        return picture(PILImage.open(self.files / value["path"]), value.get("caption"), masks, boxes)


def _finished(log: Path) -> list[Any]:
    """Return the records of a run, which reach the file a little after ``finish()`` returns."""
    for _ in range(20_000):
        records = list(_records(log.read_bytes()))
        if any(record.WhichOneof("record_type") == "exit" for record in records):
            return records
        time.sleep(0.05)
    raise TimeoutError(f"{log} has no end")


def _records(data: bytes) -> Iterator[Any]:
    """Yield the records of a transaction log: LevelDB's format of blocks, behind a header."""
    position, held = HEADER, b""
    while position + HEADER <= len(data):
        left = BLOCK - position % BLOCK
        if left < HEADER:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + HEADER])
        if position + HEADER + length > len(data):
            return  # still being written
        chunk = data[position + HEADER : position + HEADER + length]
        position += HEADER + length
        held = chunk if kind in (1, 2) else held + chunk
        if kind in (1, 4):
            record = messages.Record()
            record.ParseFromString(held)
            yield record


def _apply(target: dict[str, Any], items: Any) -> None:
    """Set keys, nested ones too, as the records say."""
    for item in items:
        path = list(item.nested_key) or [item.key]
        inner = target
        for part in path[:-1]:
            inner = inner.setdefault(part, {})
        inner[path[-1]] = json.loads(item.value_json)


def _own(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the user logged, without W&B's own keys."""
    return {key: value for key, value in values.items() if not key.startswith("_")}


def _table(files: Mapping[str, str], name: str, also: Mapping[str, Any]) -> dict[str, Any]:
    stored = json.loads(Path(files[name]).read_text("utf-8"))
    types = stored["column_types"]["params"]["type_map"]
    columns = [str(column) for column in stored["columns"]]
    arrays = {column: array for column in columns if (array := _arrays(types[column], files)) is not None}
    found = [
        [
            arrays[column][number] if column in arrays else _cell(cell, types[column], files)
            for cell, column in zip(row, columns, strict=True)
        ]
        for number, row in enumerate(stored["data"])
    ]
    named = {column: _type(types[column]) for column in columns}
    return plain({"columns": columns, "types": named, "rows": found, **also})


def _members(kind: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    members = kind["params"]["allowed_types"] if kind["wb_type"] in UNION else [kind]
    return [member for member in members if member["wb_type"] not in ("none", "unknown")]


def _type(kind: Mapping[str, Any]) -> str:
    """Return a column's type in the words that both sides share; ``null`` where no value was seen."""
    names = {"image-file": "image", "typedDict": "dict", "classesId": "number"}
    return "/".join(sorted({names.get(m["wb_type"], m["wb_type"]) for m in _members(kind)})) or "null"


def _arrays(kind: Mapping[str, Any], files: Mapping[str, str]) -> Any:
    """Return what stands in a file of its own, or None: arrays of a column, all of one shape."""
    for member in _members(kind):
        if member["wb_type"] == "ndarray" and "serialization_path" in member["params"]:
            where = member["params"]["serialization_path"]
            return np.load(files[where["path"]], allow_pickle=True)[where["key"]]
    return None


def _cell(cell: Any, kind: Mapping[str, Any], files: Mapping[str, str]) -> Any:
    members = _members(kind)
    if isinstance(cell, int | float) and any(member["wb_type"] == "timestamp" for member in members):
        return datetime.fromtimestamp(cell / 1000, timezone.utc)
    if isinstance(cell, dict) and cell.get("_type") == "image-file":
        (member,) = (m for m in members if m["wb_type"] == "image-file")
        return _image_cell(cell, member["params"], files)
    return cell


def _pixels(files: Mapping[str, str], path: str) -> Any:
    """Return the pixels of a file, or None for a reference to one elsewhere."""
    return np.asarray(PILImage.open(files[path])) if path in files else None


def _image_cell(cell: Mapping[str, Any], params: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, Any]:
    masks = {
        key: {
            "pixels": _pixels(files, mask["path"]),
            "labels": params["mask_class_maps"]["params"]["val"].get(key),
        }
        for key, mask in (cell.get("masks") or {}).items()
    }
    boxes = {
        key: {"data": data, "labels": params["box_class_maps"]["params"]["val"].get(key)}
        for key, data in (cell.get("boxes") or {}).items()
    }
    stored = files.get(cell["path"])
    return picture(PILImage.open(stored) if stored else None, cell.get("caption"), masks, boxes)
