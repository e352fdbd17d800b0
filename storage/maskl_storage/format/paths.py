"""Paths inside a store, both ways: where each file lies, and what the path of a file says. Standard library only.

A path is relative to the store, with ``/``; a pattern is what :meth:`pathlib.Path.glob` takes. SQL reads the folders
``run_id=…`` and ``table_name=…`` as columns. No other module holds what these paths are made of.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from maskl_storage.errors import InvalidValue
from maskl_storage.format.names import decode_name, encode_name, file_name, parse_name

__all__ = [
    "Place",
    "blob_path",
    "blob_pattern",
    "check_root",
    "compaction_lock_path",
    "digest_of",
    "hidden_path",
    "import_folder",
    "import_lock",
    "import_number",
    "is_description",
    "is_document",
    "is_part",
    "is_part_of",
    "is_run_folder",
    "is_seal",
    "kind_of",
    "lock_path",
    "lock_pattern",
    "part_path",
    "place_of",
    "resume_path",
    "run_folder",
    "run_folder_of",
    "run_folder_patterns",
    "run_of",
    "seal_path",
    "seal_pattern",
    "table_of",
    "unfinished_name",
    "version_of",
    "version_path",
    "version_pattern",
    "wal_path",
    "wal_pattern",
    "workplace",
    "writer_of",
    "writer_path",
    "writer_pattern",
]

#: the kinds of parts, each with a folder at the top of the store
KINDS: Final = (
    "images",
    "class_pixels",
    "class_totals",
    "confusion",
    "confusion_totals",
    "scores",
    "class_scores",
    "rows",
    "history",
    "pixel_scores",
    "artifacts",
    "artifact_files",
    "run_files",
)
#: kinds that say which files there are; they stand in seals apart
FILE_KINDS: Final = ("artifacts", "artifact_files", "run_files")
#: kinds whose parts lie in a folder of their table
TABLE_KINDS: Final = (
    *("class_pixels", "class_totals", "confusion", "confusion_totals", "scores", "class_scores", "rows"),
    "pixel_scores",
)
#: what is computed of rows after they were logged; it stands in seals apart, each of one table, in the name of a writer
#: that no process is
PIXEL_SCORES: Final = "pixel_scores"
SCORER: Final = 1 << 31
#: the other folders at the top: commits; what each writer says of its run; what is not sealed yet, and locks; and
#: where tables that are being filled keep files without a name
SEALS: Final = "seals"
RUNS: Final = "runs"
WAL: Final = "wal"
SPOOL: Final = "spool"
#: and what is in files by its hash; who claimed which version of an artifact; and where runs keep files meanwhile
BLOBS: Final = "blobs"
VERSIONS: Final = "artifact_versions"
WORKPLACES: Final = "files"
FOLDERS: Final = (SEALS, RUNS, WAL, SPOOL, BLOBS, VERSIONS, WORKPLACES)
#: the file at the top that keeps a store out of version control
IGNORE_FILE: Final = ".gitignore"

#: what names end in: of parts, of files that are not finished, of write-ahead files, and of those that were altered
PART: Final = ".parquet"
UNFINISHED: Final = ".tmp"
AHEAD: Final = ".wal"
DAMAGED: Final = ".damaged"
_DOCUMENT: Final = ".json"
_LOCK: Final = ".lock"

_RUN: Final = "run_id="
_TABLE: Final = "table_name="
_WRITER: Final = "writer-"
_IMPORT: Final = ".import-"
#: a number as a path has it, in one way only; no writer or seal has more digits
_NUMBER: Final = "(?:0|[1-9][0-9]{0,15})"
#: what stands before the folder of a run
_ABOVE: Final = re.compile(rf"(?P<kind>[^/]+)(?:/{_TABLE}(?P<table>[^/]+))?")
#: a file in that folder; a document that is being written has a dot before its name, and a process behind it
_FILE: Final = re.compile(
    rf"(?P<hidden>\.?)(?:{_WRITER}(?P<describing>{_NUMBER})\{_DOCUMENT}|(?P<locking>{_NUMBER})\{_LOCK}"
    rf"|(?P<writer>{_NUMBER})-(?P<seal>{_NUMBER})"
    rf"(?P<suffix>\{PART}|\{_DOCUMENT}|\{AHEAD}|\{DAMAGED}|\{UNFINISHED}))(?P<process>\.[0-9]+\{UNFINISHED})?"
)
_BLOB: Final = re.compile(rf"{BLOBS}/(?P<above>[0-9a-f]{{2}})/(?P<hidden>\.?)(?P<digest>[0-9a-f]{{64}})")
#: the folder of what belongs to no project
_NO_PROJECT: Final = "_"
_VERSION: Final = re.compile(rf"{VERSIONS}/(?P<project>[^/]+)/(?P<name>[^/]+)/(?P<number>{_NUMBER})\{_DOCUMENT}")
_IMPORT_LOCK: Final = re.compile(rf"{re.escape(_IMPORT)}(?P<number>[0-9a-f]+){re.escape(_LOCK)}")
#: characters of a store's path that DuckDB would expand, and components it would take for columns
GLOB: Final = re.compile(r"[*?\[\]{}]")
HIVE: Final = re.compile(r"[^=]+=")


# --- where a file lies --------------------------------------------------------------------------


def run_folder(kind: str, run_id: str, table: str | None = None) -> str:
    """Return the folder of a run, or of a table of it, below one at the top of the store.

    Examples
    --------
    >>> run_folder("wal", "한강"), run_folder("rows", "r", "val/1")
    ('wal/run_id=한강', 'rows/table_name=val%2F1/run_id=r')
    """
    above = kind if table is None else f"{kind}/{_TABLE}{encode_name(table)}"
    return f"{above}/{_RUN}{encode_name(run_id)}"


def part_path(kind: str, run_id: str, table: str | None, writer: int, seal: int) -> str:
    """Return where a part lies."""
    return f"{run_folder(kind, run_id, table if kind in TABLE_KINDS else None)}/{writer}-{seal}{PART}"


def seal_path(run_id: str, writer: int, seal: int) -> str:
    """Return where a seal lies."""
    return f"{run_folder(SEALS, run_id)}/{writer}-{seal}{_DOCUMENT}"


def writer_path(run_id: str, writer: int) -> str:
    """Return where the file lies in which a writer describes its run."""
    return f"{run_folder(RUNS, run_id)}/{_WRITER}{writer}{_DOCUMENT}"


def wal_path(run_id: str, writer: int, seal: int) -> str:
    """Return where the write-ahead file lies that a writer begins after a seal."""
    return f"{run_folder(WAL, run_id)}/{writer}-{seal}{AHEAD}"


def lock_path(run_id: str, writer: int) -> str:
    """Return where the file lies that a live writer holds a lock on."""
    return f"{run_folder(WAL, run_id)}/{writer}{_LOCK}"


def compaction_lock_path(run_id: str) -> str:
    """Return where the file lies that who compacts a run holds a lock on."""
    return f"{run_folder(WAL, run_id)}/compact{_LOCK}"


def resume_path(project: str) -> str:
    """Return where the file lies that remembers a run of a project, which is named by what its name may be.

    Its name begins with a dot: it is not part of the store.
    """
    return f".resume-{project}{_DOCUMENT}"


def unfinished_name(name: str, process: int) -> str:
    """Return the name that a file has while a process writes it."""
    return f".{name}.{process}{UNFINISHED}"


def import_folder(number: str) -> str:
    """Return the name of the folder, in a store or beside it, that an import fills before its runs are moved."""
    return f"{_IMPORT}{number}"


def import_lock(number: str) -> str:
    """Return the name of the file beside that folder which an import holds a lock on."""
    return f"{import_folder(number)}{_LOCK}"


def import_number(name: str) -> str | None:
    """Return the number of the import whose lock's file has this name; None where it is no such file."""
    found = _IMPORT_LOCK.fullmatch(name)
    return None if found is None else found["number"]


def blob_path(digest: str) -> str:
    """Return where the bytes of a BLAKE3 lie.

    Examples
    --------
    >>> blob_path("ab" * 32)[:10]
    'blobs/ab/a'
    """
    return f"{BLOBS}/{digest[:2]}/{digest}"


def hidden_path(path: str) -> str:
    """Return the path that a blob has while it waits to be removed."""
    above, _, name = path.rpartition("/")
    return f"{above}/.{name}"


def version_path(project: str | None, name: str, number: int) -> str:
    """Return where the file lies that claims a version of an artifact; a name may be that of a device.

    Examples
    --------
    >>> version_path("거리", "CON", 3), version_path(None, "model", 0)
    ('artifact_versions/거리/%43ON/3.json', 'artifact_versions/_/model/0.json')
    """
    return f"{_versions(project, name)}/{number}{_DOCUMENT}"


def workplace(run_id: str) -> str:
    """Return the folder in which a run keeps files that are not the store's yet."""
    return run_folder(WORKPLACES, run_id)


def _versions(project: str | None, name: str) -> str:
    folder = _NO_PROJECT if project is None else "%5F" if project == _NO_PROJECT else file_name(project)
    return f"{VERSIONS}/{folder}/{file_name(name)}"


# --- patterns of files --------------------------------------------------------------------------


def run_folder_patterns(kind: str, run_id: str | None = None) -> tuple[str, str]:
    """Return the patterns of the folders of a run, or of all runs, below one at the top: its own, and its tables'."""
    run = _run(run_id)
    return f"{kind}/{run}", f"{kind}/{_TABLE}*/{run}"


def writer_pattern(run_id: str | None = None) -> str:
    """Return the pattern of the files in which writers describe a run, or all."""
    return f"{RUNS}/{_run(run_id)}/{_WRITER}*{_DOCUMENT}"


def seal_pattern() -> str:
    """Return the pattern of seals, some of them perhaps unfinished."""
    return f"{SEALS}/{_run(None)}/*{_DOCUMENT}"


def wal_pattern(run_id: str | None = None, writer: int | None = None) -> str:
    """Return the pattern of write-ahead files, of one run or writer of it where that is given."""
    return f"{WAL}/{_run(run_id)}/{'' if writer is None else f'{writer}-'}*{AHEAD}"


def blob_pattern() -> str:
    """Return the pattern of blobs, also of those that wait to be removed or are not finished."""
    return f"{BLOBS}/*/*"


def version_pattern(project: str | None = None, name: str | None = None) -> str:
    """Return the pattern of the files that claim versions, of one artifact, or with no ``name`` of all."""
    return f"{VERSIONS}/*/*/*{_DOCUMENT}" if name is None else f"{_versions(project, name)}/*{_DOCUMENT}"


def lock_pattern() -> str:
    """Return the pattern of the files that writers hold locks on; those that compact do so too."""
    return f"{WAL}/{_run(None)}/*{_LOCK}"


def _run(run_id: str | None) -> str:
    # an encoded name holds no character that a pattern would expand
    return f"{_RUN}*" if run_id is None else f"{_RUN}{encode_name(run_id)}"


# --- what a path says ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """What the path of a file in the folder of a run says.

    ``kind`` is the folder at the top of the store, ``suffix`` what the name of the finished file ends in; ``table`` and
    ``seal`` are None where the path names none.
    """

    kind: str
    run_id: str
    writer: int
    seal: int | None
    table: str | None
    suffix: str
    finished: bool = True


def place_of(path: str) -> Place | None:
    """Return what a path says, also of a file that is not finished; None where it names no file of a writer.

    Examples
    --------
    >>> place_of("rows/table_name=val%2F1/run_id=r/0-3.parquet")
    Place(kind='rows', run_id='r', writer=0, seal=3, table='val/1', suffix='.parquet', finished=True)
    >>> place_of("wal/run_id=r/compact.lock") is None
    True
    """
    said = _said(path)
    if said is None:
        return None
    (kind, table), run_id, (writer, seal, suffix, finished) = said
    return Place(kind, run_id, writer, seal, table, suffix, finished)


def is_part(path: str) -> bool:
    """Whether a path is one that a part can have."""
    run = path.rpartition("/")[0].rpartition("/")[2]
    return is_run_folder(run) and parse_name(run.removeprefix(_RUN)) is not None and is_part_of(path, run)


def is_part_of(path: str, folder: str) -> bool:
    """Whether a path is one that a part can have of the run whose folder has a name: that of a seal of it."""
    above, _, name = path.rpartition(f"/{folder}/")
    kind, file = _above(above), _file(name)
    if kind is None or file is None:
        return False
    _, seal, suffix, finished = file
    return finished and seal is not None and suffix == PART and kind[0] in KINDS


def is_seal(path: str) -> bool:
    """Whether a path is one that a seal can have."""
    said = _said(path)
    if said is None:
        return False
    (kind, table), _, (_, seal, suffix, finished) = said
    return finished and seal is not None and suffix == _DOCUMENT and kind == SEALS and table is None


def is_description(path: str) -> bool:
    """Whether a path is one that the file can have in which a writer describes its run."""
    said = _said(path)
    if said is None:
        return False
    (kind, _), _, (_, _, suffix, finished) = said
    return finished and suffix == _DOCUMENT and kind == RUNS


def _said(path: str) -> tuple[tuple[str, str | None], str, tuple[int, int | None, str, bool]] | None:
    """Return what :func:`place_of` does, by the three pieces of a path: of thousands of paths each is one of few."""
    above, _, below = path.rpartition(f"/{_RUN}")
    run, _, name = below.partition("/")
    kind, file, run_id = _above(above), _file(name), parse_name(run)
    return None if kind is None or file is None or run_id is None else (kind, run_id, file)


@lru_cache(maxsize=1 << 12)
def _above(path: str) -> tuple[str, str | None] | None:
    """Return the kind, and the table, that the path above a run's folder names."""
    found = _ABOVE.fullmatch(path)
    if found is None:
        return None
    table = None if found["table"] is None else parse_name(found["table"])
    # no table bears a name that is written so
    return None if table is None and found["table"] is not None else (found["kind"], table)


@lru_cache(maxsize=1 << 12)
def _file(name: str) -> tuple[int, int | None, str, bool] | None:
    """Return the writer, the seal and the suffix that a file's name has, and whether the file is finished."""
    found = _FILE.fullmatch(name)
    if found is None:
        return None
    seal = None if found["seal"] is None else int(found["seal"])
    suffix = found["suffix"] or (_LOCK if found["locking"] else _DOCUMENT)
    finished = not (found["hidden"] or found["process"] or found["suffix"] == UNFINISHED)
    return int(found["writer"] or found["locking"] or found["describing"]), seal, suffix, finished


def digest_of(path: str) -> tuple[str, bool] | None:
    """Return the BLAKE3 that the path of a blob names, and whether it waits to be removed; None where it is none."""
    found = _BLOB.fullmatch(path)
    if found is None or found["above"] != found["digest"][:2]:
        return None
    return found["digest"], bool(found["hidden"])


def version_of(path: str) -> tuple[str | None, str, int] | None:
    """Return the project, the name and the number that the path of a claim says; None where it is none.

    Examples
    --------
    >>> version_of("artifact_versions/_/model/12.json"), version_of("artifact_versions/p/m/x.json")
    ((None, 'model', 12), None)
    """
    found = _VERSION.fullmatch(path)
    if found is None:
        return None
    project = None if found["project"] == _NO_PROJECT else decode_name(found["project"])
    name, number = decode_name(found["name"]), int(found["number"])
    return (project, name, number) if version_path(project, name, number) == path else None


def is_document(name: str) -> bool:
    """Whether a file's name is that of a JSON document which is finished."""
    return name.endswith(_DOCUMENT) and not name.startswith(".")


def is_run_folder(name: str) -> bool:
    """Whether a folder's name is that of the folder of a run."""
    return name.startswith(_RUN)


def kind_of(path: str) -> str:
    """Return the folder at the top of the store: of a part it is its kind."""
    return path.split("/", 1)[0]


def table_of(path: str) -> str | None:
    """Return the name of the table that a part belongs to; None where it belongs to none."""
    if _TABLE not in path:
        return None
    above = _above(path.rpartition(f"/{_RUN}")[0])
    return None if above is None else above[1]


def run_folder_of(path: str) -> str:
    """Return the name of the folder that a file lies in, which is that of its run."""
    return path.split("/")[-2]


def run_of(path: str) -> str:
    """Return the id of the run that a file in the folder of a run belongs to."""
    return decode_name(run_folder_of(path).removeprefix(_RUN))


def writer_of(path: str) -> int:
    """Return the number of the writer whose description of its run a file is."""
    return int(Path(path).stem.removeprefix(_WRITER))


def check_root(root: Path) -> None:
    """Raise InvalidValue where SQL would read something else than a path from the path of a store."""
    if GLOB.search(str(root)) or any(HIVE.match(component) for component in root.parts):
        raise InvalidValue(
            f"the store's path {str(root)!r} holds a character of * ? [ ] {{ }} or a component such as {_RUN}…, "
            f"which SQL would read as a pattern or a column: choose another directory"
        )
