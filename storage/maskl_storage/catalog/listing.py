"""Parquet parts and the seals that commit them: the only writer and lister of sealed files."""

from __future__ import annotations

import contextlib
import json
import os
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from blake3 import blake3

from maskl_storage.disk.atomic import make_folder, put, write_file
from maskl_storage.disk.forks import in_forked_child
from maskl_storage.errors import CorruptData
from maskl_storage.format.metadata import TABLE_KINDS, encode_name
from maskl_storage.format.schemas import column_types
from maskl_storage.format.seals import Part, Seal, parse_seal

__all__ = [
    "Listing",
    "PartWriter",
    "SealCache",
    "Sealed",
    "all_seals",
    "checksum_holds",
    "list_generations",
    "list_seals",
    "live_seals",
    "part_path",
    "row_group_of",
    "signed",
    "with_parts",
    "write_json",
    "write_part",
    "write_seal",
]

#: rows a row group: of rows that hold blobs, of other rows at most, and of statistics
BLOB_ROW_GROUP: Final = 1024
ROW_GROUP: Final = 1 << 16
DEFAULT_ROW_GROUP: Final = 1 << 20
#: bytes that a row group of rows without blobs should not exceed
ROW_GROUP_BYTES: Final = 8 << 20
HASH_BLOCK: Final = 1 << 20
#: how often seals are listed that go while they are read
ATTEMPTS: Final = 100


#: modification time, size and inode: a seal never changes, but a store can be removed and made again
Stamp = tuple[int, int, int]
SealCache = dict[str, tuple[Stamp, Seal]]


@dataclass(frozen=True, slots=True)
class Sealed:
    """A live part, where it belongs, and the format version it was written in."""

    part: Part
    run_id: str
    table: str | None
    generation: int
    version: str


@dataclass(frozen=True, slots=True)
class Listing:
    """The live seals of a store at one moment, and the parts that they name."""

    seals: tuple[tuple[str, Stamp], ...]
    parts: tuple[Sealed, ...]

    def of(self, kind: str, table: str | None = None, run_id: str | None = None) -> list[Sealed]:
        """Return the parts of a kind, of one table or run where that is given."""
        return [
            sealed
            for sealed in self.parts
            if sealed.part.kind == kind
            and (table is None or sealed.table == table)
            and (run_id is None or sealed.run_id == run_id)
        ]


def part_path(kind: str, run_id: str, table: str | None, writer: int, seal: int) -> str:
    """Return where a part lies, relative to the store."""
    folder = f"{kind}/table_name={encode_name(table)}" if kind in TABLE_KINDS and table else kind
    return f"{folder}/run_id={encode_name(run_id)}/{writer}-{seal}.parquet"


class PartWriter:
    """Writes one part piece by piece; no reader sees it before it is finished, and none before a seal.

    Parameters
    ----------
    root : Path
        The store's directory.
    path : str
        Where the part will lie, relative to the store.
    schema : pyarrow.Schema
        The schema of every piece.
    sync : bool
        Whether the part is on the disk when it is finished.
    """

    def __init__(self, root: Path, path: str, schema: pa.Schema, *, sync: bool = False) -> None:
        self._root, self._path, self._schema, self._sync = root, path, schema, sync
        target = root / path
        make_folder(target.parent, sync=sync)
        self._temporary = target.with_suffix(".tmp")
        self._sink = pa.OSFile(str(self._temporary), "wb")
        self._writer = pq.ParquetWriter(self._sink, schema, **_options(schema))
        _sinks.add(self._sink)
        self._rows = 0
        self._hasher = blake3()
        self._block = bytearray(HASH_BLOCK)
        self._written = self._temporary.open("rb", buffering=0)

    def write(self, table: pa.Table, row_group_size: int | None = None) -> None:
        """Write a table as one row group, or as several of that many rows."""
        self._writer.write_table(table, row_group_size=row_group_size or max(table.num_rows, 1))
        self._rows += table.num_rows
        self._hash()

    def finish(self) -> Part:
        """Close the file, give it its name, and return what a seal says of it."""
        try:
            self._writer.close()
            self._sink.close()
            self._hash()
            size = self._written.tell()
            put(self._temporary, self._root / self._path, sync=self._sync)
        finally:
            self._sink.close()
            self._written.close()
            self._temporary.unlink(missing_ok=True)
        return Part(self._path, size, self._rows, self._hasher.hexdigest(), column_types(self._schema))

    def abandon(self) -> None:
        """Remove what was written."""
        for file in (self._writer, self._sink, self._written):
            with contextlib.suppress(OSError, pa.ArrowException):
                file.close()
        self._temporary.unlink(missing_ok=True)

    def _hash(self) -> None:
        """Hash what was written since, while it is in memory still."""
        while size := self._written.readinto(self._block):
            self._hasher.update(memoryview(self._block)[:size])


def write_part(root: Path, path: str, table: pa.Table, *, sync: bool = False) -> Part:
    """Write a part that no seal names yet, whole or not at all."""
    writer = PartWriter(root, path, table.schema, sync=sync)
    try:
        size = row_group_of(table) if path.startswith("rows/") else DEFAULT_ROW_GROUP
        for start in range(0, max(table.num_rows, 1), size):
            writer.write(table.slice(start, size))
        return writer.finish()
    except BaseException:
        writer.abandon()
        raise


_sinks: weakref.WeakSet[pa.OSFile] = weakref.WeakSet()


@in_forked_child
def _let_go() -> None:
    """Lead a forked child's copies of open parts to nowhere: a Parquet writer that is torn down writes a footer."""
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    for sink in list(_sinks):
        if not sink.closed:
            os.dup2(nowhere, sink.fileno(), inheritable=False)
    os.close(nowhere)


def row_group_of(table: pa.Table) -> int:
    """Return how many rows a row group takes: whoever reads one of them reads the group."""
    if any(pa.types.is_binary(kind) for kind in table.schema.types):
        return BLOB_ROW_GROUP
    size: int = ROW_GROUP_BYTES * table.num_rows // max(table.nbytes, 1)
    return max(BLOB_ROW_GROUP, min(ROW_GROUP, size))


def write_seal(root: Path, seal: Seal, *, sync: bool = False) -> None:
    """Commit: from here on the seal's parts are the store's content."""
    write_json(root / seal.path, json.dumps(seal.to_json(), ensure_ascii=False), sync=sync)


def write_json(target: Path, text: str, *, sync: bool = False) -> None:
    """Write an object as JSON, whole or not at all, with its checksum as the last key."""
    write_file(target, signed(text), sync=sync)


def signed(text: str) -> bytes:
    """Return the text of a JSON object with the key ``blake3``: the BLAKE3 of all bytes before its own digits.

    Examples
    --------
    >>> signed('{"a": 1}')[:32]
    b'{"a": 1, "blake3": "8b35f8c1cdf4'
    """
    head = f'{text.removesuffix("}")}, "blake3": "'.encode()
    return head + blake3(head).hexdigest().encode() + b'"}'


def checksum_holds(data: bytes) -> bool | None:
    """Whether the checksum of a JSON text is right; None where it has none.

    Examples
    --------
    >>> checksum_holds(signed('{"a": 1}')), checksum_holds(signed('{"a": 1}').replace(b"1", b"2", 1))
    (True, False)
    """
    head, digits = data[:-66], data[-66:]
    if not head.endswith(b', "blake3": "'):
        return None
    return digits == blake3(head).hexdigest().encode() + b'"}'


def list_seals(root: Path, cache: SealCache) -> Listing:
    """List the live seals; ``cache`` keeps what was parsed, by path and what the file system says of it."""
    live = _live(_read_seals(root, cache, None))
    parts = [
        Sealed(part, seal.run_id, part.table, seal.generation, seal.version)
        for seal, counted in with_parts(list(live.values()))
        for part in counted
    ]
    return Listing(tuple((path, cache[path][0]) for path in sorted(live)), tuple(parts))


def all_seals(root: Path, cache: SealCache, run_id: str | None = None) -> dict[str, Seal]:
    """Return the seals of a run, or of all, by path: those that others replace too."""
    return _read_seals(root, cache, run_id)


def live_seals(root: Path, cache: SealCache, run_id: str | None = None) -> list[Seal]:
    """Return the live seals of a run, or of all, in their order."""
    return list(_live(_read_seals(root, cache, run_id)).values())


def _live(found: Mapping[str, Seal]) -> dict[str, Seal]:
    dead = {path for seal in found.values() for path in seal.replaces}
    live = [(path, seal) for path, seal in found.items() if path not in dead]
    return dict(sorted(live, key=lambda pair: (pair[1].run_id, pair[1].place, pair[1].seal)))


def with_parts(live: Sequence[Seal]) -> list[tuple[Seal, tuple[Part, ...]]]:
    """Return each of the live seals with those of its parts that count: a table's of its highest generation."""
    highest = _highest(live)
    return [
        (
            seal,
            tuple(
                part
                for part in seal.parts
                if (table := part.table) is None or seal.generation == highest[seal.run_id, table]
            ),
        )
        for seal in live
    ]


def list_generations(root: Path, run_id: str, cache: SealCache) -> dict[str, int]:
    """Return the highest generation of each table of a run."""
    highest = _highest(_read_seals(root, cache, run_id).values())
    return {table: generation for (_, table), generation in highest.items()}


def _highest(seals: Iterable[Seal]) -> dict[tuple[str, str], int]:
    highest: dict[tuple[str, str], int] = {}
    for seal in seals:
        for table in {part.table for part in seal.parts}:
            if table is not None:
                key = (seal.run_id, table)
                highest[key] = max(highest.get(key, 0), seal.generation)
    return highest


def _read_seals(root: Path, cache: SealCache, run_id: str | None) -> dict[str, Seal]:
    """Return the seals of a run, or of all, by path."""
    for _ in range(ATTEMPTS):
        found: dict[str, Seal] = {}
        try:
            for path, stamp in _seal_paths(root, run_id):
                if path not in cache or cache[path][0] != stamp:
                    cache[path] = (stamp, parse_seal((root / path).read_bytes(), path))
                found[path] = cache[path][1]
        except FileNotFoundError:  # replaced and removed since it was listed: what replaced it may not be listed yet
            continue
        return found
    raise CorruptData(f"the seals in {root} change faster than they can be read: try again")


def _seal_paths(root: Path, run_id: str | None) -> Iterator[tuple[str, Stamp]]:
    wanted = None if run_id is None else f"run_id={encode_name(run_id)}"
    try:
        runs = sorted(entry.name for entry in os.scandir(root / "seals") if entry.name.startswith("run_id="))
    except FileNotFoundError:
        return
    for run in runs:
        if wanted not in (None, run):
            continue
        with os.scandir(root / "seals" / run) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.name.endswith(".json") and not entry.name.startswith("."):
                    stat = entry.stat()
                    yield f"seals/{run}/{entry.name}", (stat.st_mtime_ns, stat.st_size, stat.st_ino)


def _options(schema: pa.Schema) -> dict[str, Any]:
    """Blobs as they are and one page a chunk, so that a reader can slice them; the rest packed."""
    leaves = [leaf for field in schema for leaf in _leaves(field.name, field.type)]
    packed = [path for path, kind in leaves if not pa.types.is_binary(kind)]
    return {
        "compression": {path: "zstd" if path in set(packed) else "none" for path, _ in leaves},
        "compression_level": dict.fromkeys(packed, 1) or None,
        "use_dictionary": packed,
        "write_statistics": packed,
        "data_page_size": 1 << 30 if len(packed) < len(leaves) else 1 << 20,
        "store_schema": True,
    }


def _leaves(path: str, kind: pa.DataType) -> Sequence[tuple[str, pa.DataType]]:
    if pa.types.is_struct(kind):
        return [leaf for field in kind for leaf in _leaves(f"{path}.{field.name}", field.type)]
    if pa.types.is_list(kind):
        return _leaves(f"{path}.list.element", kind.value_type)
    if pa.types.is_map(kind):
        return [*_leaves(f"{path}.key_value.key", kind.key_type), *_leaves(f"{path}.key_value.value", kind.item_type)]
    if pa.types.is_dictionary(kind):
        return [(path, kind.value_type)]
    return [(path, kind)]
