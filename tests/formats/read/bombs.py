"""Small sources that claim to be large: as large as they may be met, and small, for limits that are lowered."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from maskl.formats import image_folder as image_folders
from maskl.formats.coco import _common as coco
from maskl.formats.coco import rle
from maskl.formats.rows import _ipc_messages as ipc_messages
from maskl.formats.rows import _parquet_pages as parquet_pages
from maskl.formats.rows import _weights as weights
from maskl.formats.wandb import _log_file as log_file
from maskl.interchange import untrusted
from tests.formats.read.test_names import coco_panoptic, coco_rle, image_folder, wandb
from tests.formats.read.wandb_logs import field, history


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def black(side: int) -> bytes:
    """Return a PNG of so many pixels a side, of a few kilobytes, which holds what it claims, in colours."""
    packer = zlib.compressobj(9)
    row = bytes(3 * side + 1)
    body = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def one_value(source: Path, size: int) -> None:
    pq.write_table(pa.table({"a": [bytes(size)]}), source / "a.parquet", compression="zstd", use_dictionary=False)


def dictionary_in_lists(source: Path, size: int) -> None:
    values = pa.DictionaryArray.from_arrays(pa.array(np.zeros(size, np.int32)), pa.array([bytes(1 << 19)]))
    lists = pa.ListArray.from_arrays(pa.array([0, size], pa.int32()), values)
    pq.write_table(pa.table({"a": lists}), source / "a.parquet", compression="zstd", store_schema=False)


def runs_in_lists(source: Path, size: int) -> None:
    lists = pa.ListArray.from_arrays(pa.array([0, size], pa.int32()), pa.array(np.zeros(size, np.int8)))
    pq.write_table(pa.table({"a": lists}), source / "a.parquet", compression="zstd")


def rows_without_bytes(source: Path, size: int) -> None:
    pq.write_table(pa.table({"a": pa.nulls(size, pa.int64())}), source / "a.parquet", compression="zstd")


def feather(source: Path, table: pa.Table, codec: str | None = "zstd", *, file: bool = False) -> None:
    options = pa.ipc.IpcWriteOptions(compression=codec)
    make = pa.ipc.new_file if file else pa.ipc.new_stream
    with make(source / "a.arrow", table.schema, options=options) as writer:
        writer.write_table(table)


def in_stream(source: Path, size: int) -> None:
    feather(source, pa.table({"a": [bytes(size)]}))


def in_file(source: Path, size: int) -> None:
    feather(source, pa.table({"a": [bytes(size)]}), file=True)


def rows_in_stream(source: Path, size: int) -> None:
    feather(source, pa.table({"a": pa.nulls(size)}), None)


def nothing_in_lists(source: Path, size: int) -> None:
    lists = pa.ListArray.from_arrays(pa.array([0, size], pa.int32()), pa.nulls(size))
    feather(source, pa.table({"a": lists}), None)


def shared_in_lists(source: Path, size: int) -> None:
    views = pa.ListViewArray.from_arrays(
        pa.array(np.zeros(400), pa.int32()), pa.array(np.full(400, size), pa.int32()), pa.nulls(size)
    )
    whole = pa.ListViewArray.from_arrays(pa.array([0], pa.int32()), pa.array([400], pa.int32()), views)
    feather(source, pa.table({"a": whole}), None)


def covered(source: Path, form: str, side: int, *, polygons: int = 0, times: int = 2) -> None:
    """Make a COCO file of one black picture, of which annotations cover every pixel several times."""
    (coco_panoptic if form == "coco-panoptic" else coco_rle)(source, "0.png")
    path = source / ("panoptic.json" if form == "coco-panoptic" else "annotations.json")
    data = black(side)
    (source / "images" / "0.png").write_bytes(data)
    body = json.loads(path.read_text())
    body["images"][0] |= {"width": side, "height": side}
    if form == "coco-panoptic":
        (source / "panoptic" / "0.png").write_bytes(data)
    else:
        square = [0, 0, side, 0, side, side, 0, side]
        shape = [square] * polygons if polygons else {"size": [side, side], "counts": [0, side * side]}
        body["annotations"] = [{"image_id": 0, "category_id": 1, "segmentation": shape}] * times
    path.write_text(json.dumps(body))


def colours(source: Path, size: int) -> None:
    covered(source, "coco-panoptic", size)


def segments(source: Path, size: int) -> None:
    covered(source, "coco-rle", size, times=3)


def polygons(source: Path, size: int) -> None:
    covered(source, "coco-rle", size, polygons=3, times=1)


def lines(source: Path, name: str) -> None:
    image_folder(source, "0.png")
    with (source / "metadata.jsonl").open("a") as file:
        file.write(f'\n{{"file_name": "{name}"}}\n')


def long_name(source: Path, size: int) -> None:
    lines(source, "a/" * (size // 2))


def many_columns(source: Path, size: int) -> None:
    line = {"file_name": "0.png", **{str(number): 1 for number in range(size)}}
    image_folder(source, "0.png")
    (source / "metadata.jsonl").write_text(json.dumps(line))


def long_record(source: Path, size: int) -> None:
    wandb(source, history(0, {"a": "a" * size}))


def many_fields(source: Path, size: int) -> None:
    wandb(source, field(2, b"\x0a\x00" * size))


def deep_objects(source: Path, size: int) -> None:
    value: Any = 1
    for _ in range(size):
        value = {"a": value}
    wandb(source, history(0, {"a": value}))


def deep_lists(source: Path, size: int) -> None:
    value: Any = 1
    for _ in range(size):
        value = [value]
    wandb(source, history(0, {"a": value}))


@dataclass(frozen=True)
class Bomb:
    """How to make it in a folder, its format, what is said of it, and its sizes, with limits for the small one."""

    build: Callable[[Path, int], None]
    format: str
    words: str
    real: int
    small: int
    limits: tuple[tuple[Any, str, int], ...] = ()


UNPACKED = (untrusted, "MAX_UNPACKED", 1 << 16)
PAINTED = (coco, "MAX_PAINTED", 10_000)
BOMBS = {
    "a page": Bomb(one_value, "parquet", "a page of column 'a' claims up to", 300 << 20, 1 << 20, (UNPACKED,)),
    "a dictionary in lists": Bomb(
        dictionary_in_lists, "parquet", r"column 'a\.list\.element' claims up to", 100_000, 1000),
    "runs in lists": Bomb(
        runs_in_lists, "parquet", "values in a row group", parquet_pages.MAX_VALUES + 1, 10_001,
        ((parquet_pages, "MAX_VALUES", 10_000),)),
    "rows of nothing": Bomb(
        rows_without_bytes, "parquet", "rows in .* bytes; up to", 2 << 20, 10_001,
        ((parquet_pages, "MAX_ROWS", 5000),)),
    "a stream's buffer": Bomb(in_stream, "arrow", "a batch claims .* bytes unpacked", 300 << 20, 1 << 20, (UNPACKED,)),
    "a file's buffer": Bomb(in_file, "arrow", "a batch claims .* bytes unpacked", 300 << 20, 1 << 20, (UNPACKED,)),
    "rows of a stream": Bomb(
        rows_in_stream, "arrow", "rows in .* bytes; up to", 2 << 20, 10_001, ((ipc_messages, "MAX_ROWS", 5000),)),
    "lists of nothing": Bomb(
        nothing_in_lists, "arrow", "row comes to more than", 100_000_000, 1_000_001,
        ((weights, "MAX_ELEMENTS", 1_000_000),)),
    "lists that share": Bomb(
        shared_in_lists, "arrow", "row comes to more than", 1 << 22, 10_000, ((weights, "MOST", 1 << 20),)),
    "colours": Bomb(colours, "coco-panoptic", "claims .* pixels", 6000, 200, (PAINTED,)),
    "segments": Bomb(segments, "coco-rle", "its annotations cover", 5790, 100, ((rle, "MAX_PAINTED", 10_000),)),
    "polygons": Bomb(polygons, "coco-rle", "its annotations cover", 5790, 100, ((rle, "MAX_PAINTED", 10_000),)),
    "a line": Bomb(
        long_name, "png", "the line has more than .* bytes", 60 << 20, 4000, ((untrusted, "MAX_LINE", 1000),)),
    "a name": Bomb(long_name, "png", "cannot be followed", 20 << 20, 10_000),
    "columns": Bomb(many_columns, "png", "more than .* columns", 20_000, 200, ((image_folders, "MAX_COLUMNS", 100),)),
    "a record": Bomb(
        long_record, "wandb", "more than .* bytes, which", 60 << 20, 40_000, ((log_file, "MAX_LINE", 1000),)),
    "fields": Bomb(many_fields, "wandb", "more than .* fields", 4 << 20, 2000, ((log_file, "MAX_FIELDS", 1000),)),
    "a deep object": Bomb(deep_objects, "wandb", "nested more than", 900, 300),
    "deep lists": Bomb(deep_lists, "wandb", "nested more than", 900, 300),
}  # fmt: skip


@dataclass(frozen=True)
class Done:
    """How an import ended, and the most bytes that its process took."""

    code: int
    error: str
    peak: int


IMPORT = """
import re, sys
from pathlib import Path
from maskl.cli.app import main
try:
    main(["import", sys.argv[1], "--format", sys.argv[2], "--dir", sys.argv[3]])
finally:
    # unlike ru_maxrss, not that of who started this process
    print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) << 10)
"""


def imported_alone(source: Path, format_: str, target: Path) -> Done:
    """Import a source in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT, source, format_, target], capture_output=True, text=True, check=False
    )
    return Done(done.returncode, done.stderr, int(done.stdout.splitlines()[-1]))
