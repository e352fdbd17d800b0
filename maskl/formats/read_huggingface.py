"""Hugging Face's datasets: Parquet shards of splits, and folders that ``save_to_disk`` wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from maskl.formats.read_arrow import read_batches
from maskl.formats.read_parquet import SHARD, files_of, is_parquet, read_files
from maskl.formats.rows.plain import HUGGINGFACE
from maskl.formats.rows.tables import Tables
from maskl.interchange.encoded import file_inside
from maskl.interchange.import_options import Options
from maskl.interchange.problems import Problems
from maskl.interchange.records import Record
from maskl_storage.errors import CorruptData, InvalidValue

__all__ = ["read", "sniff"]

#: what ``save_to_disk`` writes into a folder of splits, and into that of each
SPLITS: Final = "dataset_dict.json"
STATE: Final = "state.json"


def sniff(source: Path) -> bool:
    """Whether this is a folder that ``save_to_disk`` wrote, or Parquet with the features of ``datasets``."""
    if _is_saved(source):
        return True
    first = files_of(source)[:1]
    try:
        return any(is_parquet(path) and HUGGINGFACE in (pq.read_schema(path).metadata or {}) for path in first)
    except (pa.ArrowException, OSError):
        return False


def read(source: Path, options: Options, problems: Problems) -> Iterator[Record]:
    """Read every split; where there are several, each becomes a table of its name."""
    if _is_saved(source):
        return _read_saved(source, options, problems)
    files = files_of(source)
    if not files:
        raise InvalidValue(f"{source} holds no Parquet file, and nothing that save_to_disk wrote")
    splits = [_split(path) for path in files]
    several = len(set(splits)) > 1
    named = [(path, split if several else "") for path, split in zip(files, splits, strict=True)]
    return read_files(named, options, problems)


def _is_saved(source: Path) -> bool:
    return (source / SPLITS).is_file() or (source / STATE).is_file()


def _split(path: Path) -> str:
    """Return the split that a shard belongs to: its name before the number, or its folder."""
    match = SHARD.fullmatch(path.stem)
    return match[1] if match else path.stem


def _read_saved(source: Path, options: Options, problems: Problems) -> Iterator[Record]:
    tables = Tables(options, problems)
    if not (source / SPLITS).is_file():
        yield from _read_split(source, "", tables, problems)
        return
    splits = _json(source / SPLITS).get("splits")
    if not isinstance(splits, list) or not all(isinstance(split, str) for split in splits):
        raise CorruptData(f"{source / SPLITS}: splits: a list of names is needed; got {splits!r:.60}")
    for split in splits:
        yield from _read_split(file_inside(source, split), split, tables, problems)


def _read_split(folder: Path, table: str, tables: Tables, problems: Problems) -> Iterator[Record]:
    state = folder / STATE
    if not state.is_file():
        raise CorruptData(f"there is no file {state}, which save_to_disk writes")
    files = _json(state).get("_data_files")
    names = [entry.get("filename") if isinstance(entry, dict) else None for entry in files or ()]
    if not isinstance(files, list) or not all(isinstance(name, str) for name in names):
        raise CorruptData(f"{state}: _data_files: a list of file names is needed; got {files!r:.60}")
    for name in names:
        path = file_inside(folder, str(name))
        if not path.is_file():
            problems.bad(state, None, f"there is no file {path}")
            continue
        yield from read_batches(path, tables, problems, table)


def _json(path: Path) -> dict[str, Any]:
    try:
        body = json.loads(path.read_bytes())
    except ValueError as error:
        raise CorruptData(f"{path}: not JSON: {error}") from error
    if not isinstance(body, dict):
        raise CorruptData(f"{path}: an object is needed; got {type(body).__name__}")
    return body
