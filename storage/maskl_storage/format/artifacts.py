"""Artifacts and files of runs, as data: names, versions, what is in them, and the digest of it all."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, get_args

from blake3 import blake3

from maskl_storage.errors import CorruptData, InvalidType, InvalidValue
from maskl_storage.format.names import check_name

__all__ = [
    "LATEST",
    "Entry",
    "EntryKind",
    "RunFile",
    "Version",
    "check_alias",
    "check_artifact_name",
    "check_artifact_type",
    "check_entry",
    "check_file_path",
    "is_file_path",
    "manifest_digest",
]

#: what the content of an artifact may be: bytes that the store holds, an address, or rows of a table of its run, of
#: which an image is one
EntryKind = Literal["file", "reference", "table", "image"]
#: the alias that the highest version has
LATEST: Final = "latest"
#: what separates an artifact's name from its project and its version
_MARKS: Final = re.compile(r"[/:\\]")
_NUMBERED: Final = re.compile(r"v[0-9]+")
_DIGEST: Final = re.compile("[0-9a-f]{64}")
MAX_PATH_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing in an artifact.

    Parameters
    ----------
    path : str
        What it is called there, with ``/`` between folders.
    kind : {'file', 'reference', 'table', 'image'}
        What it is.
    size : int, optional
        Its bytes, where they are known.
    digest : str, optional
        BLAKE3 of its bytes; of an address what its user gave.
    reference : str, optional
        The address, or the name of the table.
    """

    path: str
    kind: EntryKind
    size: int | None = None
    digest: str | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """A version of an artifact that is the store's; ``number`` counts from 0.

    Parameters
    ----------
    project : str or None
        The project that the name is of.
    name : str
    number : int
    type : str
    digest : str
        BLAKE3 over all that is in it, see :func:`manifest_digest`.
    files, size : int
        How many things are in it, and their bytes.
    description : str or None
    metadata : str
        JSON text of an object.
    aliases : tuple of str
        Those that it has now, ``latest`` among them.
    run_id : str
        The run that logged it.
    time : datetime
        When.
    """

    project: str | None
    name: str
    number: int
    type: str
    digest: str
    files: int
    size: int
    description: str | None
    metadata: str
    aliases: tuple[str, ...]
    run_id: str
    time: datetime

    @property
    def qualified(self) -> str:
        """The project, the name and the version, as ``use_artifact`` takes them."""
        return f"{'' if self.project is None else f'{self.project}/'}{self.name}:v{self.number}"


@dataclass(frozen=True, slots=True)
class RunFile:
    """A file that a run keeps: its path in the run's folder, its bytes, their BLAKE3, and when it was saved."""

    path: str
    size: int
    digest: str
    time: datetime


def check_artifact_type(name: str, known: str | None, kind: str) -> None:
    """Raise InvalidValue where an artifact of another type has the name."""
    if known not in (None, kind):
        raise InvalidValue(f"artifact {name!r} is of type {known!r}, and cannot be of type {kind!r} too")


def check_artifact_name(name: Any) -> str:
    r"""Return the name of an artifact, or raise what is wrong with it.

    Raises
    ------
    InvalidType, InvalidValue
        It is no string, empty, too long, or holds ``/``, ``:``, ``\`` or a control character.
    """
    if not isinstance(name, str):
        raise InvalidType(f"an artifact's name must be a string; got {name!r:.60}")
    check_name(name, "name of an artifact")
    if _MARKS.search(name) or _controls(name) or name.isspace():
        raise InvalidValue(
            f"an artifact's name holds no '/', ':', '\\' and no control character; got {name!r:.80}: "
            f"versions and aliases are not part of it"
        )
    return name


def check_alias(alias: Any) -> str:
    """Return an alias, or raise what is wrong with it."""
    if not isinstance(alias, str):
        raise InvalidType(f"an alias must be a string; got {alias!r:.60}")
    if not alias or _MARKS.search(alias) or _controls(alias) or _NUMBERED.fullmatch(alias):
        raise InvalidValue(
            f"an alias is not empty, holds no '/', ':', '\\' and no control character, and is no version such as "
            f"'v3'; got {alias!r:.80}"
        )
    return alias


def check_file_path(path: Any, what: str) -> str:
    """Return the path of a file in an artifact or run, with ``/``, or raise what is wrong with it.

    Raises
    ------
    InvalidType, InvalidValue
        It is no string, or one that would lead out of a folder, or that no folder can hold.

    Examples
    --------
    >>> check_file_path("best/model.pt", "a name")
    'best/model.pt'
    """
    if not isinstance(path, str):
        raise InvalidType(f"{what} must be a string; got {path!r:.60}")
    if not is_file_path(path):
        raise InvalidValue(
            f"{what} is a relative path of names with '/' between them, none of them '.' or '..', without '\\' and "
            f"control characters; got {path!r:.120}"
        )
    return path


def is_file_path(path: str) -> bool:
    """Whether a path leads to a file in a folder and nowhere else, in every system."""
    if not path or "\\" in path or _controls(path) or re.match("[A-Za-z]:", path):
        return False
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return False
    return size <= MAX_PATH_BYTES and all(0 < len(name.encode()) <= 255 and name.strip(".") for name in path.split("/"))


def _controls(text: str) -> bool:
    return any(unicodedata.category(character) in ("Cc", "Cs") for character in text)


def check_entry(entry: Entry, where: str) -> Entry:
    """Return what a store says is in an artifact, or raise CorruptData where nothing can be."""
    fits = {
        "file": entry.digest is not None and _DIGEST.fullmatch(entry.digest) and entry.size is not None,
        "reference": entry.reference is not None,
        "table": entry.reference is not None,
        "image": entry.reference is not None,
    }
    if entry.kind not in get_args(EntryKind) or not fits[entry.kind]:
        raise CorruptData(f"{where}: {entry.path!r:.120} is said to be {entry.kind!r:.40}, and lacks what that needs")
    if not is_file_path(entry.path):
        raise CorruptData(f"{where}: {entry.path!r:.120} is no path of a file in an artifact")
    return entry


def manifest_digest(entries: Iterable[Entry]) -> str:
    """Return the BLAKE3, 64 hexadecimal digits, of all that is in an artifact.

    It is that of one line of JSON for each entry, in order of the paths: a list of path, kind, size, digest and
    reference, as :func:`json.dumps` writes it with ``ensure_ascii=False``, each line ended by a newline.
    """
    hasher = blake3()
    for entry in sorted(entries, key=lambda entry: entry.path):
        line = [entry.path, entry.kind, entry.size, entry.digest, entry.reference]
        hasher.update((json.dumps(line, ensure_ascii=False) + "\n").encode())
    return hasher.hexdigest()
