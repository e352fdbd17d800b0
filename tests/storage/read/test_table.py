"""Rows by index, in order and in batches: values at their place in a file equal what pyarrow reads."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import maskl
from maskl_storage import (
    ClassItem,
    Column,
    ImageBytes,
    ImageCell,
    Layout,
    Row,
    RunInfo,
    Store,
    StoredTable,
    Writer,
    count_mask,
    encode_mask,
)
from maskl_storage.catalog.listing import Sealed, write_seal
from maskl_storage.cells.cells import MaskCell, Rows
from maskl_storage.disk import mapped as mapped_module
from maskl_storage.disk import parquet as parts_module
from maskl_storage.disk.local import Folder
from maskl_storage.disk.mapped import OPEN_FILES
from maskl_storage.disk.parquet import write_part
from maskl_storage.errors import CorruptData, InvalidValue, NotFound
from maskl_storage.format.metadata import ClassSet
from maskl_storage.format.paths import part_path
from maskl_storage.format.seals import Part, Seal
from maskl_storage.read._row_groups import Group, RowsPart

COLUMNS = (Column("value", "n", "int"), Column("image", "image"), Column("value", "blob", "bytes"))
NAMES = [ClassSet([ClassItem(0, "길"), ClassItem(1, "차")]), ClassSet([ClassItem(0, "sky"), ClassItem(1, "car")])]


def mask_of(number: int, labels: ClassSet = NAMES[0]) -> MaskCell:
    mask = np.random.default_rng(number).integers(0, 2, (3 + number % 5, 4), np.uint8)
    return count_mask(*encode_mask(mask), labels, statistics=None)


def cell_of(number: int, keys: tuple[str, ...] = ("truth",), labels: ClassSet = NAMES[0]) -> ImageCell:
    digest = f"{number % 7:064x}"
    return ImageCell(
        digest, "png", "L", 4, 3, caption=f"행 {number}", masks={key: mask_of(number, labels) for key in keys}
    )


def image_of(number: int) -> ImageBytes:
    return ImageBytes(f"{number:064x}", "png", "L", 4, 3, f"image {number}".encode() * (number + 1))


def rows_of(count: int, start: int = 0) -> list[list[Any]]:
    """Return rows of which some lack the image, the mask or the bytes."""
    return [
        [
            number,
            None if number % 11 == 5 else cell_of(number, () if number % 5 == 3 else ("truth",)),
            None if number % 3 == 1 else b"x" * (number % 300),
        ]
        for number in range(start, start + count)
    ]


@pytest.fixture
def writer(store_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Writer]:
    """A writer whose row groups are small."""
    monkeypatch.setattr(parts_module, "BLOB_ROW_GROUP", 7)
    writer = Writer(Layout.create(store_dir), RunInfo("run", "run"))
    yield writer
    writer.close()


@pytest.fixture
def table(writer: Writer, store_dir: Path) -> StoredTable:
    """Fifty rows in two parts."""
    for number in range(7):
        writer.add_image(image_of(number))
    writer.write({"t": Rows(COLUMNS, rows_of(30))}, 0)
    writer.seal()
    writer.write({"t": Rows(COLUMNS, rows_of(20, 30))}, 1)
    writer.seal()
    return Store(store_dir).table("t")


def plain(rows: StoredTable | list[Row]) -> list[Any]:
    return [(row.run_id, row.row, row.step, dict(row)) for row in rows]


def masks_of(row: Row, name: str = "image") -> dict[str, bytes]:
    return {} if row[name] is None else {key: data for key, (data, _) in row[name].masks.items()}


def groups_of(table: StoredTable) -> list[Group]:
    found = []
    for part in table._parts:
        for number in range(len(part.starts) - 1):
            group = Group(part, number)
            group.load()
            found.append(group)
    return found


# --- values at their place ------------------------------------------------------------------------


def test_rows_are_what_was_written(table: StoredTable, store_dir: Path) -> None:
    assert len(table) == 50
    for number in (0, 49, 3, 7, 6, 30, 29, 5, 1, -1, 12):
        row, wanted = table[number], rows_of(1, number % 50)[0]
        assert (row["n"], row["blob"]) == (wanted[0], wanted[2])
        assert (row.row, row.step, row.run_id, row.table_name) == (number % 50, int(number % 50 >= 30), "run", "t")
        assert masks_of(row) == ({} if wanted[1] is None else {k: m.data for k, m in wanted[1].masks.items()})
        if row["image"] is not None:
            assert (row["image"].caption, row["image"].digest) == (f"행 {number % 50}", wanted[1].digest)
    with pytest.raises(IndexError, match="row 50 of a table of 50 rows"):
        table[50]
    with pytest.raises(IndexError):
        table[-51]


def test_bytes_are_sliced_and_not_read(table: StoredTable, monkeypatch: pytest.MonkeyPatch) -> None:
    table[0]  # the index
    asked: list[str] = []
    read = RowsPart.read_group

    def watched(self: Any, number: int, columns: Any) -> pa.Table:
        asked.extend(columns)
        return read(self, number, columns)

    monkeypatch.setattr(RowsPart, "read_group", watched)
    for row in table:
        masks_of(row)
    assert "n" in asked
    assert not {"image__mask__truth", "blob"} & set(asked)
    assert len(asked) == 7 * len(set(asked))  # of eight row groups each once, the first one before


LAYOUTS: dict[str, dict[str, Any]] = {
    "compressed": {"compression": "zstd", "use_dictionary": False},
    "dictionary": {"compression": "none", "use_dictionary": True},
    "pages": {"compression": "none", "use_dictionary": False, "data_page_size": 64, "write_batch_size": 3},
    "version 2": {"compression": "none", "use_dictionary": False, "data_page_version": "2.0"},
    "delta": {"compression": "none", "use_dictionary": False, "column_encoding": "DELTA_BYTE_ARRAY"},
    "checksums": {"compression": "none", "use_dictionary": False, "write_page_checksum": True},
}


def rewritten(store: Path, sealed: Sealed, **options: Any) -> Sealed:
    """Write a part again in another layout."""
    path = store / sealed.part.path
    data = pq.ParquetFile(path).read()
    pq.write_table(data, path, row_group_size=7, **options)
    part = Part(sealed.part.path, path.stat().st_size, sealed.part.rows, sealed.part.blake3, sealed.part.columns)
    return Sealed(part, sealed.run_id, sealed.table, sealed.generation, sealed.version)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_laid_out_in_another_way_is_read_by_pyarrow(table: StoredTable, store_dir: Path, layout: str) -> None:
    wanted = plain(table)
    options = dict(LAYOUTS[layout])
    if options.get("column_encoding"):
        names = list(table._parts[0].blobs)
        options["column_encoding"] = dict.fromkeys(names, options["column_encoding"])
    other = StoredTable(Folder(store_dir), [rewritten(store_dir, sealed, **options) for sealed in table.parts])
    assert plain(other) == wanted
    sliced = [starts is not None for group in groups_of(other) for starts in group._starts.values()]
    assert any(sliced) == (layout in ("checksums", "pages"))  # a few short values fit one page
    assert all(sliced) == (layout == "checksums")
    assert other.to_arrow().num_rows == 50


def part_of(store: Path, table: pa.Table, group: int) -> Sealed:
    columns = {name: Column("value", name, "bytes") for name in table.column_names if not name.startswith("_")}
    from maskl_storage.format.schemas import with_metadata

    table = table.cast(with_metadata(table.schema, columns))
    path = part_path("rows", "run", "t", 0, 0)
    return Sealed(write_part(Folder(store), path, table), "run", "t", 0, "1.1.0")


@given(
    values=st.lists(st.one_of(st.none(), st.binary(max_size=40), st.just(b"\0" * 20)), max_size=60),
    group=st.integers(1, 20),
    nullable=st.booleans(),
)
def test_any_value_at_its_place_is_what_pyarrow_reads(
    tmp_path_factory: pytest.TempPathFactory, values: list[bytes | None], group: int, nullable: bool
) -> None:
    if not nullable:
        values = [value or b"" for value in values]
    folder = tmp_path_factory.mktemp("store")
    numbers = pa.array(range(len(values)), pa.int64())
    schema = pa.schema(
        [
            *[("_row", pa.int64()), ("_step", pa.int64()), ("_timestamp", pa.timestamp("us", "UTC"))],
            *[pa.field("a", pa.binary(), nullable), ("a.b", pa.binary())],
        ]
    )
    times, blobs = (
        numbers.cast(pa.timestamp("us", "UTC")),
        [pa.array(some, pa.binary()) for some in (values, values[::-1])],
    )
    data = pa.table([numbers, numbers, times, *blobs], schema=schema)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts_module, "BLOB_ROW_GROUP", group)
        sealed = part_of(folder, data, group)
    rows = StoredTable(Folder(folder), [sealed])
    assert [dict(row) for row in rows] == [{"a": a, "a.b": b} for a, b in zip(values, values[::-1], strict=True)]
    read = pq.ParquetFile(folder / sealed.part.path).read()
    assert rows.to_arrow().drop_columns("run_id").equals(read)
    assert all(starts is not None for some in groups_of(rows) for starts in some._starts.values() if some.size)
    assert not values or groups_of(rows)[0].size


def test_a_changed_file_is_read_as_pyarrow_reads_it(table: StoredTable, store_dir: Path) -> None:
    """Whatever byte changes in the pages of a column of bytes: the values are pyarrow's, or it is an error."""
    rng = np.random.default_rng(0)
    sealed = table.parts[0]
    path = store_dir / sealed.part.path
    data = path.read_bytes()
    chunk = table._parts[0].chunk(0, "image__mask__truth")
    assert chunk is not None
    outcomes = set()
    for place in {*range(chunk.start, chunk.start + 60), *rng.integers(chunk.start, chunk.end, 40).tolist()}:
        changed = bytearray(data)
        changed[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(changed))
        try:
            file = pq.ParquetFile(path)
            wanted = file.read_row_group(0, columns=["image__mask__truth"])["image__mask__truth"].to_pylist()
        except (OSError, pa.ArrowException):
            wanted = None
        group = Group(StoredTable(Folder(store_dir), [sealed])._parts[0], 0)
        try:
            found = [group.blob("image__mask__truth", number) for number in range(7)]
        except (CorruptData, OSError, pa.ArrowException, MemoryError):
            outcomes.add("error")
            assert wanted is None or len(wanted) < 7
        else:
            outcomes.add("sliced" if group._starts["image__mask__truth"] else "read")
            assert wanted is None or found == wanted
    assert {"sliced", "error"} <= outcomes


def test_a_file_that_is_not_as_long_as_its_seal_says_is_an_error(table: StoredTable, store_dir: Path) -> None:
    path = store_dir / table.parts[0].part.path
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CorruptData, match=r"0-0\.parquet has \d+ bytes, and its seal says"):
        Store(store_dir).table("t")[0]
    sealed = table.parts[1]
    (store_dir / sealed.part.path).write_bytes(b"x" * sealed.part.bytes)
    with pytest.raises(CorruptData, match=r"0-1\.parquet"):
        StoredTable(Folder(store_dir), [sealed])[0]


def test_little_of_the_files_stays_mapped(table: StoredTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped_module, "MOST", 1)
    wanted = plain(table)
    assert all(part.file._buffer is None for part in table._parts)
    assert plain(table) == wanted


# --- tables ---------------------------------------------------------------------------------------


def grown(writer: Writer) -> None:
    """Write parts whose columns, types and class sets differ."""
    image = Column("image", "image")
    writer.write({"t": Rows((image, Column("value", "v", "int")), [[cell_of(0), 1], [None, None]])}, 0)
    writer.seal()
    other = cell_of(1, ("truth", "prediction"), NAMES[1])
    writer.write(
        {"t": Rows((image, Column("value", "v", "float"), Column("value", "w", "string")), [[other, 0.5, "a"]])}, 1
    )
    writer.write({"t": Rows((image,), [[cell_of(2, ("truth",), NAMES[0])], [cell_of(3, ("truth",), NAMES[1])]])}, 1)
    writer.seal()
    writer.write({"t": Rows((image, Column("value", "v", "string")), [[None, "text"]])}, 2)
    writer.seal()


def test_parts_that_differ_are_one_table(writer: Writer, store_dir: Path) -> None:
    grown(writer)
    rows = Store(store_dir).table("t")
    table = rows.to_arrow()
    assert table["_row"].to_pylist() == list(range(6))
    assert table["v"].to_pylist() == [1, None, None, None, None, None]
    assert table["v__float"].to_pylist() == [1.0, None, 0.5, None, None, None]
    assert table["v__string"].to_pylist() == [None] * 5 + ["text"]
    assert table["w"].to_pylist() == [None, None, "a", None, None, None]
    assert table["run_id"].to_pylist() == ["run"] * 6
    columns = maskl_columns(table.schema)
    sets = columns["image__mask__truth"].class_sets
    numbers = table["image__set__truth"].to_pylist()
    for number, row in enumerate(rows):
        if row["image"] is not None:
            assert row["image"].masks["truth"][1] == sets[numbers[number] or 0]
    for size in (1, 2, 4, 100):
        batches = list(rows.iter_batches(size=size))
        assert {batch.schema for batch in batches} == {table.schema}
        assert all(batch.schema.equals(table.schema, check_metadata=True) for batch in batches)
        assert [batch.num_rows for batch in batches] == [min(size, 6 - at) for at in range(0, 6, size)]
        assert pa.Table.from_batches(batches).equals(table)
    some = list(rows.iter_batches(["image__mask__truth"]))
    assert sorted(some[0].schema.names) == ["image__mask__truth", "image__set__truth", "run_id"]
    assert some[0]["image__set__truth"].to_pylist() == numbers


def maskl_columns(schema: pa.Schema) -> dict[str, Column]:
    from maskl_storage.format.schemas import columns_of

    return columns_of(schema, "a batch")


@pytest.mark.parametrize("chosen", [slice(None, None, -1), slice(3, 45, 7), slice(0, 0), slice(49, None)])
def test_slices_are_tables(table: StoredTable, chosen: slice) -> None:
    view = table[chosen]
    assert plain(view) == plain(table)[chosen]
    assert len(view) == len(range(50)[chosen])
    assert view.to_arrow()["n"].to_pylist() == list(range(50)[chosen])
    assert [n for batch in view.iter_batches(["n"], size=3) for n in batch["n"].to_pylist()] == list(range(50)[chosen])
    assert view.to_arrow().schema.names == table.to_arrow().schema.names
    assert [row["n"] for row in view[::2]] == list(range(50)[chosen][::2])


def test_rows_at_places_and_by_their_number(table: StoredTable) -> None:
    view = table.at([7, 3, 3, 49])
    assert [row["n"] for row in view] == [7, 3, 3, 49]
    assert view.to_arrow(["n"])["n"].to_pylist() == [7, 3, 3, 49]
    assert view.find("run", 49)["n"] == 49
    for run, row in (("run", 48), ("other", 3)):
        with pytest.raises(NotFound, match=f"run {run!r} has no row {row} in this table"):
            view.find(run, row)
    with pytest.raises(NotFound):
        table[:0].find("run", 3)


def test_columns_that_are_not_there_and_sizes_that_are_none(table: StoredTable) -> None:
    with pytest.raises(NotFound, match=r"no column 'm'; there are: 'n', 'image'"):
        table.iter_batches(["n", "m"])
    with pytest.raises(NotFound):
        table.to_arrow(["m"])
    for size in (0, -1, 1.5, True):
        with pytest.raises(InvalidValue, match="size must be a number of rows"):
            table.iter_batches(size=size)  # type: ignore[arg-type]
    assert table.to_arrow(["run_id"]).schema.names == ["run_id"]


def test_other_libraries_take_a_table_as_a_stream(table: StoredTable, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = list(range(50))
    assert pa.table(table).equals(table.to_arrow())
    frame = pl.from_arrow(table)
    frame = frame.struct.unnest() if isinstance(frame, pl.Series) else frame  # Polars 2 makes a series of structs
    assert frame["n"].to_list() == wanted
    assert pl.DataFrame(table)["blob"].to_list() == table.to_arrow()["blob"].to_pylist()
    with duckdb.connect() as connection:
        rows = table
        assert connection.execute("SELECT list(n) FROM rows").fetchall() == [(wanted,)]
        assert len(rows) == 50
    read: list[int] = []
    monkeypatch.setattr("maskl_storage.read.table.BATCH", 10)
    block = StoredTable._group

    def watched(self: Any, part: Any, number: int, names: Any = None) -> Group:
        read.append(number)
        return block(self, part, number, names)

    monkeypatch.setattr(StoredTable, "_group", watched)
    stream = pa.RecordBatchReader.from_stream(table)
    assert stream.read_next_batch().num_rows == 10
    assert len(read) == 2  # two row groups of seven rows, not the table


def test_a_table_without_rows(writer: Writer, store_dir: Path) -> None:
    writer.write({"t": Rows((Column("value", "n", "int"),), [])}, 0)
    writer.seal()
    rows = Store(store_dir).table("t")
    assert (len(rows), list(rows), list(rows.iter_batches())) == (0, [], [])
    assert rows.to_arrow().schema.names == ["_row", "_step", "_timestamp", "n", "run_id"]
    assert pa.table(rows).num_rows == 0
    assert StoredTable(Folder(store_dir), []).to_arrow() == pa.table({})


# --- processes and threads ------------------------------------------------------------------------


def read_rows(table: StoredTable, numbers: list[int]) -> list[Any]:
    return plain([table[number] for number in numbers])


def test_a_pickle_reads_the_same_rows(table: StoredTable, store_dir: Path) -> None:
    wanted = plain(table)
    copy = pickle.loads(pickle.dumps(table))
    assert plain(copy) == wanted
    assert plain(pickle.loads(pickle.dumps(copy[5:9]))) == wanted[5:9]
    assert pickle.loads(pickle.dumps(table[3])) == table[3]
    decoded = pickle.loads(pickle.dumps(maskl.open(store_dir).table("t")))
    assert isinstance(decoded[0]["image"], maskl.Image)
    assert decoded[0]["image"].stored[1]() == image_of(0).data
    assert maskl.open(store_dir).table("t").undecoded[0]["image"] == table[0]["image"]
    store = pickle.loads(pickle.dumps(maskl.open(store_dir, runs=["run"])))
    assert (type(store), len(store.table("t")), store._only) == (maskl.Store, 50, ["run"])


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_other_processes_read_a_table(table: StoredTable, method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {method}")
    wanted = plain(table)
    context = multiprocessing.get_context(method)
    with context.Pool(2 if method == "fork" else 1) as pool:
        jobs = [pool.apply_async(read_rows, (table, list(range(start, 50, 4)))) for start in range(4)]
        found = [job.get(60) for job in jobs]
    assert [found[number % 4][number // 4] for number in range(50)] == wanted


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_a_fork_reads_on_whatever_its_parent_holds(store_dir: Path, table: StoredTable) -> None:
    """A child that is forked while a thread of its parent holds every lock reads all the same."""
    rows = maskl.open(store_dir).table("t")
    wanted = [row["image"].stored[1]() for row in rows if row["image"] is not None]
    held = [rows._source.lock.held, rows._room.groups._lock]
    for lock in held:
        lock.acquire()
    child = os.fork()
    if child == 0:
        found = [row["image"].stored[1]() for row in rows if row["image"] is not None]
        os._exit(0 if found == wanted else 1)
    for lock in held:
        lock.release()
    done = threading.Timer(60, lambda: os.kill(child, 9))
    done.start()
    assert os.waitpid(child, 0)[1] == 0
    done.cancel()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not list open files")
def test_few_files_stay_open_and_none_for_longer_than_its_table(writer: Writer, store_dir: Path) -> None:
    for number in range(OPEN_FILES + 8):
        writer.write({"t": Rows(COLUMNS, rows_of(2, number))}, 0)
        writer.seal()

    def open_files() -> int:
        links = [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        return len([link for link in links if str(store_dir.resolve()) in link and link.endswith(".parquet")])

    writer.close()
    before = open_files()
    tables = [Store(store_dir).table("t") for _ in range(3)]
    assert len({str(plain(rows)) for rows in tables}) == 1
    assert before < open_files() <= before + OPEN_FILES
    tables.clear()
    assert open_files() <= before


def test_threads_share_a_table(table: StoredTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped_module, "MOST", 100_000)  # files are let go of all the time
    wanted = plain(table)
    built: list[int] = []
    index_of = __import__("maskl_storage.read._index", fromlist=["index_of"]).index_of
    monkeypatch.setattr("maskl_storage.read._index.index_of", lambda *given: (built.append(1), index_of(*given))[1])
    shared = StoredTable(table._files, table.parts)
    orders = [np.random.default_rng(seed).permutation(50).tolist() for seed in range(16)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda order: read_rows(shared, order), orders))
    for order, rows in zip(orders, found, strict=True):
        assert rows == [wanted[number] for number in order]
    assert built == [1]


class Masks:
    """What PyTorch calls a dataset: ``len`` and ``[]``."""

    def __init__(self, rows: StoredTable) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[int, bytes]:
        row = self.rows[index]
        return row["n"], masks_of(row).get("truth", b"")


def pairs(rows: list[Any]) -> list[tuple[int, bytes]]:
    return [row if isinstance(row, tuple) else (row["n"], masks_of(row).get("truth", b"")) for row in rows]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_data_loader_reads_with_workers(table: StoredTable, method: str) -> None:
    torch_data = pytest.importorskip("torch.utils.data")
    wanted = {row["n"]: masks_of(row).get("truth", b"") for row in table}
    for rows in (Masks(table), table):
        loader = torch_data.DataLoader(
            rows, batch_size=8, shuffle=True, num_workers=2, collate_fn=pairs, multiprocessing_context=method
        )
        for _ in range(2):
            assert dict(pair for batch in loader for pair in batch) == wanted


# --- files that others replace --------------------------------------------------------------------


def merge(store: Path) -> None:
    """Replace the parts of the table by one, as a merge does, and remove them."""
    layout = Layout(store)
    listing = layout.listing()
    old = listing.of("rows", "t")
    tables = [pq.ParquetFile(store / sealed.part.path).read() for sealed in old]
    part = write_part(Folder(store), part_path("rows", "run", "t", 0, 90), pa.concat_tables(tables))
    write_seal(
        Folder(store),
        Seal("run", 0, 90, (part,), 0, tuple(path for path, _ in listing.seals if "/run_id=run/" in path)),
    )
    for sealed in old:
        (store / sealed.part.path).unlink()


READS: dict[str, Callable[[StoredTable], Any]] = {
    "all": plain,
    "one": lambda rows: plain([rows[9]]),
    "find": lambda rows: plain([rows.find("run", 9)]),
    "arrow": lambda rows: rows.to_arrow().to_pylist(),
    "batches": lambda rows: [batch.to_pylist() for batch in rows.iter_batches(size=8)],
    "stream": lambda rows: pa.table(rows).to_pylist(),
    "columns": lambda rows: (rows.columns, rows.names, rows.primary_key),
}


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("indexed", [False, True])
def test_rows_whose_files_were_merged_are_found_again(
    table: StoredTable, store_dir: Path, read: str, indexed: bool
) -> None:
    store = Store(store_dir)
    wanted = READS[read](store.table("t"))
    rows = store.table("t")
    view = rows[::-1]
    if not indexed:
        rows = store.table("t")
    merge(store_dir)
    for part in (*rows._parts, *view._parts):
        part.file.close()
    assert READS[read](rows) == wanted
    assert [row["n"] for row in view] == list(range(50))[::-1]
    assert plain(pickle.loads(pickle.dumps(view))) == plain(table_of(store_dir))[::-1]


@pytest.mark.parametrize("says", [True, False])
def test_a_row_is_found_whether_parts_say_where_it_may_be_or_not(
    table: StoredTable, store_dir: Path, monkeypatch: pytest.MonkeyPatch, says: bool
) -> None:
    if not says:
        monkeypatch.setattr(RowsPart, "row_bounds", None)
    wanted = [plain([row])[0] for row in Store(store_dir).table("t")]
    rows = table.places[2].tolist()
    fresh = Store(store_dir).table("t")
    assert [plain([fresh.find("run", row)])[0] for row in reversed(rows)] == wanted[::-1]
    by_run = fresh._source.by_run
    assert by_run is not None
    assert bool(by_run._known) is not says  # an index of all rows is read only where it is needed
    for run, row in (("run", max(rows) + 1), ("run", -1), ("nobody", 0)):
        with pytest.raises(NotFound, match=f"no row {row}"):
            fresh.find(run, row)


def test_a_row_is_found_after_its_parts_were_merged(table: StoredTable, store_dir: Path) -> None:
    number = int(table.places[2][40])
    wanted = plain([Store(store_dir).table("t").find("run", number)])
    table = Store(store_dir).table("t")
    assert plain([table.find("run", 0)])
    merge(store_dir)
    table._room.groups.renew()
    assert plain([table.find("run", number)]) == wanted


def table_of(store: Path) -> StoredTable:
    return Store(store).table("t")


def test_a_merge_while_rows_are_read(table: StoredTable, store_dir: Path) -> None:
    wanted = table.to_arrow()
    batches = table.iter_batches(size=8)
    rows = iter(table)
    first, row = next(batches), next(rows)
    merge(store_dir)
    table._room.groups.renew()
    for part in table._parts:
        part.file.close()
    assert pa.Table.from_batches([first, *batches]).equals(wanted)
    assert [row["n"], *(row["n"] for row in rows)] == list(range(50))


def test_rows_that_are_no_more_are_an_error(table: StoredTable, store_dir: Path, writer: Writer) -> None:
    view = table[10:20]
    old = [sealed.part.path for sealed in table.parts]
    writer.write({"t": Rows(COLUMNS, rows_of(5), replace=True)}, 3)
    writer.seal()
    for path in old:
        (store_dir / path).unlink()
    for part in view._parts:
        part.file.close()
    view._room.groups.renew()
    with pytest.raises(NotFound, match=r"row 10 of run 'run' was deleted or replaced since the table was opened"):
        view[0]


def test_a_file_that_is_missing_is_named(table: StoredTable, store_dir: Path) -> None:
    (store_dir / table.parts[1].part.path).unlink()
    with pytest.raises(FileNotFoundError, match=r"0-1\.parquet"):
        Store(store_dir).table("t")[0]
    with pytest.raises(FileNotFoundError, match=r"0-1\.parquet"):
        StoredTable(Folder(store_dir), table.parts)[0]
