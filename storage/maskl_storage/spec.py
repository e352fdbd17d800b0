"""Names, versions and metadata of the format: what SPEC.md says, as code. Standard library only.

Everything read from a store passes one of the ``parse_*`` functions here, which report every problem
with its location; ``schema.json`` says the same to other languages, and a test keeps the two in step.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, unquote

from maskl_storage.errors import CorruptData, InvalidValue, UnsupportedVersion

__all__ = [
    "ClassItem",
    "Column",
    "Part",
    "Seal",
    "check_name",
    "check_text",
    "class_name",
    "column_name",
    "decode_name",
    "dump_metadata",
    "encode_name",
    "parse_metadata",
    "parse_seal",
    "parse_store",
]

FORMAT: Final = "maskl"
VERSION: Final = "1.0.0"
STORE_FILE: Final = "maskl.json"
STORE_DIR: Final = "maskl-store"
METADATA_KEY: Final = b"maskl"

#: the kinds of parts, in the order in which a seal's parts are written
KINDS: Final = ("images", "class_pixels", "class_totals", "confusion", "confusion_totals", "rows", "history")
#: kinds whose parts lie in a folder of their table
TABLE_KINDS: Final = ("class_pixels", "class_totals", "confusion", "confusion_totals", "rows")
VALUE_TYPES: Final = ("null", "bool", "int", "float", "string", "bytes", "timestamp", "list", "array", "json")

ROW_BITS: Final = 40
MAX_NAME_BYTES: Final = 200
INT32: Final = (-(1 << 31), (1 << 31) - 1)
#: what a file system, a hive path or a glob would read as something else; '%' is the escape itself
UNSAFE: Final = re.compile(r'[\x00-\x1f\x7f/\\=%:*?"<>|\[\]{}]|^[. ]|[. ]$')
RESERVED: Final = ("run_id", "run_name", "table_name")
MARKS: Final = ("__mask__", "__boxes__", "__set__")
COLOR: Final = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True, slots=True)
class ClassItem:
    """One class of a class set: ``name`` is None where only the id is known to be ignored or coloured."""

    id: int
    name: str | None = None
    color: str | None = None
    ignore: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the item as SPEC.md writes it: what is absent is left out."""
        item: dict[str, Any] = {"id": self.id}
        if self.name is not None:
            item["name"] = self.name
        if self.color is not None:
            item["color"] = self.color
        if self.ignore:
            item["ignore"] = True
        return item


ClassSet = tuple[ClassItem, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """What the metadata says of one stored column.

    ``kind`` is ``image``, ``mask`` or ``value``; ``name`` is the user's own name of it (of its image,
    for a mask).
    """

    kind: str
    name: str
    type: str | None = None
    dtype: str | None = None
    ndim: int | None = None
    timezone: str | None = None
    image: str | None = None
    key: str | None = None
    class_sets: tuple[ClassSet, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the entry as SPEC.md writes it."""
        entry: dict[str, Any] = {"kind": self.kind, "name": self.name}
        for key in ("type", "dtype", "ndim", "timezone", "image", "key"):
            if getattr(self, key) is not None:
                entry[key] = getattr(self, key)
        if self.kind == "mask":
            entry["class_sets"] = [[item.to_json() for item in items] for items in self.class_sets]
        return entry


@dataclass(frozen=True, slots=True)
class Part:
    """One Parquet file that a seal commits; ``path`` is relative to the store, with ``/``."""

    path: str
    bytes: int
    rows: int
    blake3: str
    columns: tuple[tuple[str, str], ...]

    @property
    def kind(self) -> str:
        """The first component of the path."""
        return self.path.split("/", 1)[0]

    @property
    def table(self) -> str | None:
        """The table's name, for parts that belong to one."""
        for component in self.path.split("/"):
            if component.startswith("table_name="):
                return decode_name(component.removeprefix("table_name="))
        return None

    def to_json(self) -> dict[str, Any]:
        """Return the part as SPEC.md writes it."""
        return {
            "path": self.path,
            "bytes": self.bytes,
            "rows": self.rows,
            "blake3": self.blake3,
            "columns": [list(column) for column in self.columns],
        }


@dataclass(frozen=True, slots=True)
class Seal:
    """One commit: the parts named by a live seal are the store's content."""

    run_id: str
    writer: int
    seal: int
    parts: tuple[Part, ...]
    generation: int = 0
    replaces: tuple[str, ...] = ()
    version: str = field(default=VERSION)

    @property
    def path(self) -> str:
        """Where the seal lies, relative to the store."""
        return f"seals/run_id={encode_name(self.run_id)}/{self.writer}-{self.seal}.json"

    def to_json(self) -> dict[str, Any]:
        """Return the seal as SPEC.md writes it."""
        return {
            "version": self.version,
            "run_id": self.run_id,
            "writer": self.writer,
            "seal": self.seal,
            "generation": self.generation,
            "parts": [part.to_json() for part in self.parts],
            "replaces": list(self.replaces),
        }


# --- names --------------------------------------------------------------------------------------


def check_name(name: object, what: str) -> str:
    """Return the name of a table or the id of a run, or raise InvalidValue saying what is wrong.

    Examples
    --------
    >>> check_name("val/평가", "table name")
    'val/평가'
    """
    if not isinstance(name, str):
        raise InvalidValue(f"a {what} must be a string; got {type(name).__name__}")
    if not name:
        raise InvalidValue(f"a {what} must not be empty")
    if name == "NULL" or name == "__HIVE_DEFAULT_PARTITION__":
        raise InvalidValue(f"a {what} must not be {name!r}: SQL would read it as a missing value")
    size = len(encode_name(check_text(name, f"a {what}")).encode())
    if size > MAX_NAME_BYTES:
        raise InvalidValue(f"a {what} must be at most {MAX_NAME_BYTES} bytes; {name[:40]!r}… has {size}: shorten it")
    return name


def check_text(text: str, what: str) -> str:
    """Return a text that UTF-8 can hold, or raise InvalidValue: half a surrogate pair cannot be stored."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidValue(f"{what} must be valid Unicode: {error}") from error
    return text


def encode_name(name: str) -> str:
    """Return the name as it stands in a path.

    Examples
    --------
    >>> encode_name("val/평가 1"), encode_name("a=b")
    ('val%2F평가 1', 'a%3Db')
    """
    return UNSAFE.sub(lambda match: quote(match[0], safe="").replace(".", "%2E"), name)


def decode_name(encoded: str) -> str:
    """Undo :func:`encode_name`."""
    return unquote(encoded)


def class_name(item: ClassItem | None, class_id: int) -> str:
    """Return the name of a class, ``class_<id>`` where it has none."""
    return f"class_{class_id}" if item is None or item.name is None else item.name


def column_name(name: str, taken: Iterable[str]) -> str:
    """Return the stored name for a user's column: its own, or with ``_1`` where that would clash.

    Examples
    --------
    >>> column_name("name", []), column_name("Name", ["name"]), column_name("run_id", [])
    ('name', 'Name_1', 'run_id_1')
    """
    used = {other.casefold() for other in taken}
    clash = name.startswith("_") or name.casefold() in RESERVED or any(mark in name for mark in MARKS)
    if not clash and name.casefold() not in used:
        return name
    number = 1
    while f"{name}_{number}".casefold() in used:
        number += 1
    return f"{name}_{number}"


# --- metadata -----------------------------------------------------------------------------------


def dump_metadata(columns: Mapping[str, Column]) -> bytes:
    """Return the value of the ``maskl`` key of a rows part."""
    body = {"version": VERSION, "columns": {name: column.to_json() for name, column in columns.items()}}
    return json.dumps(body, ensure_ascii=False).encode()


def parse_metadata(data: bytes | str, where: str = "metadata") -> dict[str, Column]:
    """Parse and check the value of the ``maskl`` key; every problem is reported with its place."""
    body = _object(data, where)
    check_version(body.get("version"), where)
    problems: list[str] = []
    columns = {}
    entries = body.get("columns")
    if not isinstance(entries, dict):
        raise CorruptData(f"{where}: columns: an object is needed; got {entries!r:.40}")
    for name, entry in entries.items():
        found = _column_problems(entry, entries)
        problems += [f"columns.{name}.{problem}" for problem in found]
        if not found:
            columns[name] = _column(entry)
    _raise(problems, where)
    return columns


def _column_problems(entry: Any, columns: Mapping[str, Any]) -> list[str]:
    if not isinstance(entry, dict):
        return [f"an object is needed; got {entry!r:.40}"]
    kind = entry.get("kind")
    problems = []
    if kind not in ("image", "mask", "value"):
        return [f"kind: one of image, mask, value is needed; got {kind!r:.40}"]
    if not isinstance(entry.get("name"), str):
        problems.append("name: a string is needed")
    if kind == "value" and entry.get("type") not in VALUE_TYPES:
        problems.append(f"type: one of {', '.join(VALUE_TYPES)} is needed; got {entry.get('type')!r:.40}")
    if kind == "mask":
        if not isinstance(entry.get("image"), str) or entry["image"] not in columns:
            problems.append(f"image: a column of this part is needed; got {entry.get('image')!r:.40}")
        if not isinstance(entry.get("key"), str):
            problems.append("key: a string is needed")
        sets = entry.get("class_sets")
        if not isinstance(sets, list):
            problems.append("class_sets: a list is needed")
        else:
            for index, items in enumerate(sets):
                problems += [f"class_sets[{index}]{problem}" for problem in _class_set_problems(items)]
    return problems


def _class_set_problems(items: Any) -> list[str]:
    if not isinstance(items, list):
        return [": a list is needed"]
    problems = []
    seen: set[int] = set()
    for index, item in enumerate(items):
        if not isinstance(item, dict) or isinstance(item.get("id"), bool) or not isinstance(item.get("id"), int):
            problems.append(f"[{index}].id: an integer is needed")
            continue
        if not INT32[0] <= item["id"] <= INT32[1]:
            problems.append(f"[{index}].id: {item['id']} is outside signed 32 bits")
        if item["id"] in seen:
            problems.append(f"[{index}].id: {item['id']} occurs twice")
        seen.add(item["id"])
        if not isinstance(item.get("name", ""), str):
            problems.append(f"[{index}].name: a string is needed")
        color = item.get("color", "#000000")
        if not isinstance(color, str) or not COLOR.fullmatch(color):
            problems.append(f"[{index}].color: '#rrggbb' is needed; got {item.get('color')!r:.40}")
        if not isinstance(item.get("ignore", False), bool):
            problems.append(f"[{index}].ignore: true or false is needed")
    return problems


def _column(entry: dict[str, Any]) -> Column:
    sets = tuple(
        tuple(ClassItem(item["id"], item.get("name"), item.get("color"), item.get("ignore", False)) for item in items)
        for items in entry.get("class_sets", ())
    )
    return Column(
        kind=entry["kind"],
        name=entry["name"],
        type=entry.get("type"),
        dtype=entry.get("dtype"),
        ndim=entry.get("ndim"),
        timezone=entry.get("timezone"),
        image=entry.get("image"),
        key=entry.get("key"),
        class_sets=sets,
    )


# --- files --------------------------------------------------------------------------------------


def parse_store(data: bytes | str, where: str = STORE_FILE) -> str:
    """Check a store's ``maskl.json`` and return the format version that it names."""
    body = _object(data, where)
    if body.get("format") != FORMAT:
        raise CorruptData(f"{where}: format: {FORMAT!r} is needed; got {body.get('format')!r:.40}")
    return check_version(body.get("version"), where)


def parse_seal(data: bytes | str, where: str = "seal") -> Seal:
    """Parse and check a seal; every problem is reported with its place."""
    body = _object(data, where)
    version = check_version(body.get("version"), where)
    problems = []
    if not isinstance(body.get("run_id"), str) or not body["run_id"]:
        problems.append("run_id: a string is needed")
    problems += [f"{key}: a number is needed" for key in ("writer", "seal", "generation") if not _count(body.get(key))]
    if not _strings(body.get("replaces")):
        problems.append("replaces: a list of strings is needed")
    parts = body.get("parts")
    if not isinstance(parts, list):
        problems.append("parts: a list is needed")
    else:
        for index, part in enumerate(parts):
            problems += [f"parts[{index}].{problem}" for problem in _part_problems(part)]
    _raise(problems, where)
    return Seal(
        run_id=body["run_id"],
        writer=body["writer"],
        seal=body["seal"],
        generation=body["generation"],
        parts=tuple(
            Part(p["path"], p["bytes"], p["rows"], p["blake3"], tuple((n, t) for n, t in p["columns"]))
            for p in body["parts"]
        ),
        replaces=tuple(body["replaces"]),
        version=version,
    )


def _part_problems(part: Any) -> list[str]:
    if not isinstance(part, dict):
        return ["an object is needed"]
    problems = []
    path = part.get("path")
    if not isinstance(path, str) or path.split("/", 1)[0] not in KINDS or ".." in path.split("/"):
        problems.append(f"path: a path below one of {', '.join(KINDS)} is needed; got {path!r:.60}")
    problems += [f"{key}: a number is needed" for key in ("bytes", "rows") if not _count(part.get(key))]
    if not isinstance(part.get("blake3"), str) or not re.fullmatch("[0-9a-f]{64}", part["blake3"]):
        problems.append("blake3: 64 hexadecimal digits are needed")
    columns = part.get("columns")
    if not isinstance(columns, list) or not all(_strings(pair) and len(pair) == 2 for pair in columns):
        problems.append("columns: pairs of name and type are needed")
    return problems


def check_version(version: Any, where: str) -> str:
    """Return the version, or raise where this reader is too old for it."""
    if not isinstance(version, str) or not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise CorruptData(f"{where}: version: 'major.minor.patch' is needed; got {version!r:.40}")
    if int(version.split(".")[0]) > int(VERSION.split(".")[0]):
        raise UnsupportedVersion(f"{where}: format version {version}; this maskl reads up to {VERSION}: update maskl")
    return version


def _object(data: bytes | str, where: str) -> dict[str, Any]:
    try:
        body = json.loads(data)
    except ValueError as error:
        raise CorruptData(f"{where}: not JSON: {error}") from error
    if not isinstance(body, dict):
        raise CorruptData(f"{where}: an object is needed; got {type(body).__name__}")
    return body


def _raise(problems: Sequence[str], where: str) -> None:
    if problems:
        raise CorruptData(f"{where}: " + "; ".join(problems))


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
