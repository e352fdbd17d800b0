"""Seals, as code: what a commit says of its parts."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any, Final, NamedTuple

import msgspec

from maskl_storage.format.document import (
    KNOWN,
    MAX_COUNT,
    WRITTEN,
    check_version,
    is_count,
    is_newer,
    raise_problems,
    read_object,
)
from maskl_storage.format.paths import KINDS, is_part, is_part_of, is_seal, kind_of, run_folder_of, seal_path, table_of

__all__ = ["Part", "Seal", "parse_seal", "place_problems", "read_seal"]

DIGEST: Final = re.compile("[0-9a-f]{64}")

Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]


class Part(NamedTuple):
    """One Parquet file that a seal commits; ``path`` is relative to the store, with ``/``.

    A tuple, since a store of thousands of runs has tens of thousands, and none takes longer to make than another kind
    of object that nobody can change.
    """

    path: str
    bytes: int
    rows: int
    blake3: str
    columns: tuple[tuple[str, str], ...]

    @property
    def kind(self) -> str:
        """The first component of the path."""
        return kind_of(self.path)

    @property
    def table(self) -> str | None:
        """The table's name, for parts that belong to one."""
        return table_of(self.path)

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
    """One commit: the parts named by a live seal are the store's content.

    A seal that replaces others stands in the ``place`` of the first of them, and is of a higher ``level``:
    that of a seal that replaces none is 0.
    """

    run_id: str
    writer: int
    seal: int
    parts: tuple[Part, ...]
    generation: int = 0
    replaces: tuple[str, ...] = ()
    version: str = field(default=WRITTEN)
    level: int = 0
    first: tuple[int, int] | None = None

    @property
    def place(self) -> tuple[int, int]:
        """The writer and number by which the seals of a run are in order."""
        return self.first or (self.writer, self.seal)

    @property
    def bytes(self) -> int:
        """The size of all parts."""
        return sum(part.bytes for part in self.parts)

    @property
    def path(self) -> str:
        """Where the seal lies, relative to the store."""
        return seal_path(self.run_id, self.writer, self.seal)

    def to_json(self) -> dict[str, Any]:
        """Return the seal as SPEC.md writes it."""
        merged: dict[str, Any] = {} if self.first is None else {"level": self.level, "place": list(self.first)}
        return {
            "version": self.version,
            "run_id": self.run_id,
            "writer": self.writer,
            "seal": self.seal,
            "generation": self.generation,
            "parts": [part.to_json() for part in self.parts],
            "replaces": list(self.replaces),
            **merged,
        }


def parse_seal(data: bytes | str, where: str = "seal") -> Seal:
    """Parse and check a seal; every problem is reported with its place."""
    body = read_object(data, where)
    version = check_version(body.get("version"), where)
    problems = []
    if not isinstance(body.get("run_id"), str) or not body["run_id"]:
        problems.append("run_id: a string is needed")
    problems += [
        f"{key}: a number is needed" for key in ("writer", "seal", "generation") if not is_count(body.get(key))
    ]
    if not _strings(body.get("replaces")):
        problems.append("replaces: a list of strings is needed")
    place = body.get("place")
    if place is not None and not (isinstance(place, list) and len(place) == 2 and all(map(is_count, place))):
        problems.append("place: two numbers are needed")
    if not is_count(body.get("level", 0)):
        problems.append("level: a number is needed")
    parts = body.get("parts")
    found: list[Part] = []
    if not isinstance(parts, list):
        problems.append("parts: a list is needed")
    else:
        kept = [part for part in parts if not _of_unknown_kind(part)] if is_newer(version) else parts
        for index, value in enumerate(kept):
            part = _part(value)
            if isinstance(part, Part):
                found.append(part)
            else:
                problems += [f"parts[{index}].{problem}" for problem in part]
    raise_problems(problems, where)
    return Seal(
        run_id=body["run_id"],
        writer=body["writer"],
        seal=body["seal"],
        generation=body["generation"],
        parts=tuple(found),
        replaces=tuple(body["replaces"]),
        version=version,
        level=body.get("level", 0),
        first=None if place is None else (place[0], place[1]),
    )


class _Part(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    path: str
    bytes: Count
    rows: Count
    blake3: str
    columns: tuple[tuple[str, str], ...]


class _Seal(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    version: str
    run_id: str
    writer: Count
    seal: Count
    generation: Count
    parts: tuple[_Part, ...]
    replaces: tuple[str, ...]
    level: Count = 0
    place: tuple[Count, Count] | None = None
    blake3: str = ""


_decoder: Final = msgspec.json.Decoder(_Seal)


def _usual(data: bytes, path: str) -> Seal | None:
    """Return a seal that lies at a path, and of which nothing is unusual; None where others are to tell what is.

    A store has thousands of them, and this takes half of the time that :func:`parse_seal` takes.
    """
    try:
        seal = _decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if seal.version not in KNOWN or not seal.run_id or seal.replaces:
        return None
    if seal_path(seal.run_id, seal.writer, seal.seal) != path:
        return None
    run = run_folder_of(path)
    parts = []
    for part in seal.parts:
        columns = _checked(part.columns)
        if columns is None or not is_part_of(part.path, run) or not DIGEST.fullmatch(part.blake3):
            return None
        parts.append(Part(part.path, part.bytes, part.rows, part.blake3, columns))
    return Seal(
        *(seal.run_id, seal.writer, seal.seal, tuple(parts), seal.generation, seal.replaces, seal.version, seal.level),
        seal.place,
    )


def read_seal(data: bytes, path: str) -> Seal:
    """Parse the seal that lies at a path of a store, which may speak of nothing but the run whose folder it is in.

    Raises
    ------
    CorruptData
        It is none, or that of another place.
    """
    seal = _usual(data, path)
    if seal is None:
        seal = parse_seal(data, path)
        raise_problems(place_problems(seal, path), path)
    return seal


def place_problems(seal: Seal, path: str) -> list[str]:
    """Return what in a seal does not fit where it lies."""
    problems = [] if seal.path == path else [f"by what it says, its path would be {seal.path}"]
    run = run_folder_of(path)
    problems += [
        f"{part.path!r:.120} is no path of a part of its run"
        for part in seal.parts
        if not is_part(part.path) or run_folder_of(part.path) != run
    ]
    problems += [
        f"replaces: {other!r:.120} is no path of a seal of its run"
        for other in seal.replaces
        if not is_seal(other) or run_folder_of(other) != run
    ]
    return problems


def _of_unknown_kind(part: Any) -> bool:
    path = part.get("path") if isinstance(part, dict) else None
    return isinstance(path, str) and kind_of(path) not in KINDS


def _part(part: Any) -> Part | list[str]:
    """Return the part that a seal names, or what is wrong with it."""
    if not isinstance(part, dict):
        return ["an object is needed"]
    problems = []
    path = part.get("path")
    if not isinstance(path, str) or kind_of(path) not in KINDS or (".." in path and ".." in path.split("/")):
        problems.append(f"path: a path below one of {', '.join(KINDS)} is needed; got {path!r:.60}")
    size, rows, digest = part.get("bytes"), part.get("rows"), part.get("blake3")
    if not is_count(size):
        problems.append("bytes: a number is needed")
    if not is_count(rows):
        problems.append("rows: a number is needed")
    if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
        problems.append("blake3: 64 hexadecimal digits are needed")
    columns = _columns(part.get("columns"))
    if columns is None:
        problems.append("columns: pairs of name and type are needed")
    return problems or Part(path, size, rows, digest, columns)  # type: ignore[arg-type]  # what has no problem


def _columns(value: Any) -> tuple[tuple[str, str], ...] | None:
    """Return a part's columns; None where they are none."""
    if not isinstance(value, list) or not {*map(type, value)} <= {list}:
        return None
    try:
        return _checked(tuple(map(tuple, value)))
    except TypeError:  # what cannot be hashed is no name
        return None


@lru_cache(maxsize=1024)
def _checked(columns: tuple[tuple[Any, ...], ...]) -> tuple[tuple[str, str], ...] | None:
    """Return columns that are pairs of strings: the parts of a store share few of them, and so the objects."""
    pairs = all(len(pair) == 2 and all(isinstance(item, str) for item in pair) for pair in columns)
    return columns if pairs else None


def _strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
