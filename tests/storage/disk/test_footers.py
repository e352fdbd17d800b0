"""No footer ends the process, whatever it says of its columns: Arrow's own objects for that do."""

from __future__ import annotations

import io
import random
import re
from collections import Counter
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from maskl.formats.rows import _parquet_footers as footers
from maskl_storage.disk.mapped import MappedFile, chunks_of
from maskl_storage.disk.parquet import _options, row_bounds
from maskl_storage.errors import CorruptData
from tests.durability.children import start

TABLE = pa.table(
    {
        "_row": pa.array(range(5), pa.int64()),
        "text": pa.array(["a", "b", None, "d", "e"]).dictionary_encode(),
        "number": [1.0, 2.0, None, 4.0, 5.0],
        "blob": pa.array([b"x" * 9, None, b"", b"y" * 9, b"z"], pa.binary()),
        "list": pa.array([[1], [2], [3], [], [1]]),
    }
)
TRIALS = 400
PACKAGES = [Path(__file__).parents[3] / folder for folder in ("maskl", "storage/maskl_storage")]
BROKEN = (OSError, pa.ArrowException, CorruptData, UnicodeDecodeError, ValueError, KeyError)


class Whole(MappedFile):
    """A file in memory."""

    def __init__(self, data: Any) -> None:
        self.whole = memoryview(data)

    @property
    def view(self) -> memoryview:
        return self.whole

    def count(self, size: int) -> None:
        pass


@pytest.fixture(scope="module")
def data() -> bytes:
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, TABLE.schema, **_options(TABLE.schema)) as writer:
        for start_ in range(0, 5, 2):
            writer.write_table(TABLE.slice(start_, 2))
    found: bytes = sink.getvalue().to_pybytes()
    return found


def changed(data: bytes, chance: random.Random) -> bytes:
    """Return a file with some bytes of its footer changed."""
    size = int.from_bytes(data[-8:-4], "little")
    places = range(len(data) - 8 - size, len(data) - 8)
    made = bytearray(data)
    for _ in range(chance.choice([1, 1, 2])):
        made[chance.choice(places)] = chance.choice([chance.randrange(256), 0, 1, 255, data[chance.choice(places)]])
    return bytes(made)


def read_all(data: bytes) -> None:
    with pq.ParquetFile(pa.BufferReader(data), pre_buffer=False) as file:
        for look in (
            lambda: list(row_bounds(file)),
            lambda: [chunks_of(Whole(data), file.metadata, name) for name in TABLE.schema.names],
            lambda: footers.chunks_of(io.BytesIO(data), file.metadata),
            lambda: file.read(use_threads=False),
            lambda: list(file.iter_batches(2, use_threads=False)),
        ):
            try:
                look()
            except BROKEN:
                continue


def try_footers(data: bytes, seed: int, told: Connection) -> None:
    """Say the number of each trial before it is made: the last one is that which ended the process."""
    for number in range(TRIALS):
        told.send(number)
        try:
            read_all(changed(data, random.Random(f"{seed}-{number}")))
        except BROKEN:
            continue
    told.send(None)


@pytest.mark.parametrize("seed", range(2))
def test_a_changed_footer_ends_no_process(data: bytes, seed: int) -> None:
    here, there = Pipe(duplex=False)
    process = start(try_footers, data, seed, there)
    there.close()
    last: int | None = -1
    while last is not None:
        try:
            last = here.recv()
        except EOFError:
            break
    process.join()
    assert last is None, f"trial {last} of seed {seed} ended the process with {process.exitcode}"


def test_what_is_read_of_a_footer_is_what_arrow_reads(data: bytes) -> None:
    with pq.ParquetFile(pa.BufferReader(data)) as file:
        assert list(row_bounds(file)) == [(0, 1), (2, 3), (4, 4)]
        assert list(row_bounds(file, [2])) == [(4, 4)]
        groups = footers.chunks_of(io.BytesIO(data), file.metadata)
        found = Counter[str]()
        for number, group in enumerate(groups):
            for leaf, chunk in enumerate(group):
                theirs = file.metadata.row_group(number).column(leaf)
                assert (chunk.name, chunk.values, chunk.size) == (
                    *(theirs.path_in_schema, theirs.num_values, theirs.total_compressed_size),
                )
                assert chunk.codec == theirs.compression.lower()
                pages = theirs.data_page_offset, theirs.dictionary_page_offset
                assert chunk.start == min(page for page in pages if page is not None)
                found[chunk.codec] += 1
        assert set(found) == {"uncompressed", "zstd"}
        leaf = TABLE.schema.get_field_index("blob")
        for sliced, group in zip(chunks_of(Whole(data), file.metadata, "blob"), groups, strict=True):
            assert sliced is not None
            assert (sliced.start, sliced.end - sliced.start) == (group[leaf].start, group[leaf].size)
        assert (
            chunks_of(Whole(data), file.metadata, "_row")
            == chunks_of(Whole(data), file.metadata, "nothing")
            == [None] * 3
        )


OTHERS: list[dict[str, object]] = [
    {"compression": "zstd"},
    {"use_dictionary": True},
    {"data_page_version": "2.0"},
    {"column_encoding": {"blob": "DELTA_BYTE_ARRAY"}},
]


@pytest.mark.parametrize("options", OTHERS, ids=str)
def test_chunks_that_are_laid_out_in_another_way_are_left_to_arrow(options: dict[str, object]) -> None:
    sink = pa.BufferOutputStream()
    plain = {"compression": "none", "use_dictionary": False}
    pq.write_table(pa.table({"blob": pa.array([bytes([n]) * 40 for n in range(9)])}), sink, **(plain | options))
    data = sink.getvalue()
    (found,) = chunks_of(Whole(data), pq.read_metadata(pa.BufferReader(data)), "blob")
    assert found is None or found.value_starts(Whole(data)) is None


def test_names_of_any_length_and_language_are_found() -> None:
    names = ["픽셀 " * 60, "a.b", "x" * 200]
    for name in names:
        sink = pa.BufferOutputStream()
        table = pa.table({name: pa.array([b"1", b"22"], pa.binary())})
        with pq.ParquetWriter(sink, table.schema, **_options(table.schema)) as writer:
            writer.write_table(table)
        (found,) = chunks_of(Whole(sink.getvalue()), pq.read_metadata(pa.BufferReader(sink.getvalue())), name)
        assert found is not None
        assert found.rows == 2


def test_many_row_groups_are_read_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maskl_storage.disk.parquet.BOUNDED", 7)
    sink = pa.BufferOutputStream()
    rows = np.random.default_rng(5).permutation(100)
    pq.write_table(pa.table({"_row": rows}), sink, row_group_size=3)
    with pq.ParquetFile(pa.BufferReader(sink.getvalue())) as file:
        assert list(row_bounds(file)) == [(min(rows[at : at + 3]), max(rows[at : at + 3])) for at in range(0, 100, 3)]


#: Arrow's objects of column chunks, and how it writes what it read of a footer
ENDING = re.compile(r"row_group\([^()]*\)\.column\(|\.write_metadata_file\b|ColumnChunkMetaData")


def test_nobody_asks_arrow_of_a_column_chunk() -> None:
    texts = {path: path.read_text("utf-8") for package in PACKAGES for path in package.rglob("*.py")}
    assert len(texts) > 300
    assert not [path for path, text in texts.items() if ENDING.search(text)], "read the footer as disk/mapped.py does"
