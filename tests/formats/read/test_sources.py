"""Sources of every format that lead outside, wait for somebody, or claim more than they are."""

from __future__ import annotations

import ast
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import maskl
from maskl.cli.app import main
from maskl.errors import MasklError
from maskl.formats import BUILT_IN
from maskl.formats.rows import _parquet_pages as parquet_pages
from maskl.formats.rows import _weights as weights
from maskl.importing.importer import import_dataset
from maskl.interchange import untrusted
from tests.formats.read.hostile import nothing_imported, save
from tests.formats.read.test_hostile import png
from tests.formats.read.test_names import (
    arrow,
    cityscapes,
    coco_panoptic,
    coco_rle,
    folders,
    huggingface,
    image_folder,
    parquet,
    wandb,
    wandb_media,
)
from tests.formats.read.test_wandb import field, history

ROOT = Path(__file__).parents[3]
MASKL = ROOT / "maskl"
#: bytes that an import of any source takes at most
MOST = 1_500_000_000


def with_picture(build: Callable[[Path, Any], None], folder: str = "") -> Callable[[Path], object]:
    """Return what builds a source with a picture ``good.png`` that it names."""

    def built(source: Path) -> None:
        source.mkdir()
        build(source, "good.png")
        (source / folder / "good.png").write_bytes(png(3, 2))

    return built


#: a source of each format that is right, of several files where the format has several
SOURCES: dict[str, Callable[[Path], object]] = {
    "wandb": with_picture(wandb_media, "files"),
    "huggingface": with_picture(huggingface),
    "parquet": with_picture(parquet),
    "arrow": with_picture(arrow),
    "coco-panoptic": with_picture(lambda source, name: coco_panoptic(source, name, "images"), "images"),
    "coco-rle": with_picture(coco_rle, "images"),
    "png": with_picture(image_folder),
    "cityscapes": cityscapes,
    "folders": folders,
}


#: what a source has that nothing in it names
UNUSED = {"wandb": ["files/own.png"], "png": ["0.png"], "coco-rle": ["images/0.png"], "coco-panoptic": ["images/0.png"]}


def test_every_format_that_is_read_is_here() -> None:
    assert set(SOURCES) == set(BUILT_IN)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def used(source: Path, folder: bool) -> list[str]:
    """Return the files of a source, or its folders."""
    return sorted(p.relative_to(source).as_posix() for p in source.rglob("*") if p.is_dir() == folder)


def each_file(format_: str, tmp_path: Path, *, folder: bool = False) -> Iterator[tuple[Path, str]]:
    """Yield a source by itself for each of its files, or folders, with the name of that."""
    SOURCES[format_](tmp_path / "first")
    for number, name in enumerate(used(tmp_path / "first", folder)):
        case = tmp_path / f"{format_}{number}"
        case.mkdir()
        shutil.copytree(tmp_path / "first", case / "source")
        yield case / "source", name


@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
@pytest.mark.parametrize("format_", SOURCES)
def test_what_lies_outside_is_read_only_where_the_user_says_so(tmp_path: Path, format_: str, folder: bool) -> None:
    for source, name in each_file(format_, tmp_path, folder=folder):
        outside = source.parent / "outside"
        outside.mkdir()
        (source / name).rename(outside / "moved")
        (source / name).symlink_to(outside / "moved")
        before = contents(outside)
        with nothing_imported(source) as target:
            if name in UNUSED.get(format_, ()):
                import_dataset(source, format_, dir=target)
                shutil.rmtree(target)
                continue
            with pytest.raises(MasklError, match="--follow-links"):
                import_dataset(source, format_, dir=target)
        good = import_dataset(source, format_, dir=source.parent / "followed", follow_links=True)
        assert good.skipped == 0
        assert contents(outside) == before


@pytest.mark.parametrize("format_", SOURCES)
def test_a_pipe_in_the_place_of_any_file_is_not_waited_for(tmp_path: Path, format_: str) -> None:
    for source, name in each_file(format_, tmp_path):
        (source / name).unlink()
        os.mkfifo(source / name)
        target = source.parent / "imported"
        try:
            found = import_dataset(source, format_, dir=target, skip_bad=True)
        except MasklError:
            assert not target.exists()
        else:
            (source / name).unlink()
            without = import_dataset(source, format_, dir=source.parent / "without", skip_bad=True)
            assert (found.rows, found.skipped) == (without.rows, without.skipped)


def test_the_user_may_name_a_link(tmp_path: Path) -> None:
    folders(tmp_path / "real")
    (tmp_path / "source").symlink_to(tmp_path / "real")
    assert import_dataset(tmp_path / "source", "folders", dir=tmp_path / "s").skipped == 0
    parquet(tmp_path / "real", "images/a.png")
    (tmp_path / "a.parquet").symlink_to(tmp_path / "real" / "a.parquet")
    shutil.copytree(tmp_path / "real" / "images", tmp_path / "images")
    assert import_dataset(tmp_path / "a.parquet", dir=tmp_path / "t").rows == {"a": 1}


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    folders(tmp_path / "source")
    (tmp_path / "source" / "images" / "again").symlink_to("..")
    (tmp_path / "source" / "masks" / "again").symlink_to(".")
    with pytest.raises(MasklError, match=r"'images/again' -> '\.\.': links in a source are not followed"):
        import_dataset(tmp_path / "source", "folders", dir=tmp_path / "s")
    found = import_dataset(tmp_path / "source", "folders", dir=tmp_path / "s", follow_links=True, skip_bad=True)
    assert found.rows["source"] >= 1


def test_the_command_line_says_it_and_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders(tmp_path / "source")
    (tmp_path / "source" / "images").rename(tmp_path / "elsewhere")
    (tmp_path / "source" / "images").symlink_to(tmp_path / "elsewhere")
    words = ["import", str(tmp_path / "source"), "--dir", str(tmp_path / "s")]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "--follow-links" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main([*words, "--follow-links"])
    assert not ended.value.code


# --- what claims more than it is ----------------------------------------------------------------


def grey_bomb(side: int) -> bytes:
    """Return a PNG of so many pixels a side, of a few kilobytes, which holds what it claims, in colours."""
    packer = zlib.compressobj(9)
    row = bytes(3 * side + 1)
    body = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def one_value(source: Path) -> None:
    pq.write_table(pa.table({"a": [bytes(300 << 20)]}), source / "a.parquet", compression="zstd", use_dictionary=False)


def dictionary_in_lists(source: Path) -> None:
    values = pa.DictionaryArray.from_arrays(pa.array(np.zeros(100_000, np.int32)), pa.array([bytes(1 << 19)]))
    lists = pa.ListArray.from_arrays(pa.array([0, 100_000], pa.int32()), values)
    pq.write_table(pa.table({"a": lists}), source / "a.parquet", compression="zstd", store_schema=False)


def runs_in_lists(source: Path) -> None:
    count = parquet_pages.MAX_VALUES + 1
    lists = pa.ListArray.from_arrays(pa.array([0, count], pa.int32()), pa.array(np.zeros(count, np.int8)))
    pq.write_table(pa.table({"a": lists}), source / "a.parquet", compression="zstd")


def rows_without_bytes(source: Path) -> None:
    pq.write_table(pa.table({"a": pa.nulls(2 << 20, pa.int64())}), source / "a.parquet", compression="zstd")


def feather(source: Path, table: pa.Table, codec: str | None = "zstd", *, file: bool = False) -> None:
    options = pa.ipc.IpcWriteOptions(compression=codec)
    make = pa.ipc.new_file if file else pa.ipc.new_stream
    with make(source / "a.arrow", table.schema, options=options) as writer:
        writer.write_table(table)


def nothing_in_lists(source: Path) -> None:
    lists = pa.ListArray.from_arrays(pa.array([0, 100_000_000], pa.int32()), pa.nulls(100_000_000))
    feather(source, pa.table({"a": lists}), None)


def shared_in_lists(source: Path) -> None:
    views = pa.ListViewArray.from_arrays(
        pa.array(np.zeros(400), pa.int32()), pa.array(np.full(400, 1 << 22), pa.int32()), pa.nulls(1 << 22)
    )
    whole = pa.ListViewArray.from_arrays(pa.array([0], pa.int32()), pa.array([400], pa.int32()), views)
    feather(source, pa.table({"a": whole}), None)


def colours(source: Path) -> None:
    save(source / "images" / "0.png", np.zeros((2, 3, 3)))
    coco_panoptic(source, "0.png")
    data = grey_bomb(6000)
    (source / "images" / "0.png").write_bytes(data)
    (source / "panoptic" / "0.png").write_bytes(data)
    body = json.loads((source / "panoptic.json").read_text())
    body["images"][0] |= {"width": 6000, "height": 6000}
    (source / "panoptic.json").write_text(json.dumps(body))


def long_line(source: Path) -> None:
    image_folder(source, "0.png")
    with (source / "metadata.jsonl").open("a") as lines:
        lines.write('\n{"file_name": "' + "a/" * (30 << 20) + '"}\n')


def long_name(source: Path) -> None:
    image_folder(source, "0.png")
    with (source / "metadata.jsonl").open("a") as lines:
        lines.write('\n{"file_name": "' + "a/" * (10 << 20) + '"}\n')


def many_columns(source: Path) -> None:
    line = {"file_name": "0.png", **{str(number): 1 for number in range(20_000)}}
    image_folder(source, "0.png")
    (source / "metadata.jsonl").write_text(json.dumps(line))


def long_record(source: Path) -> None:
    wandb(source, history(0, {"a": "a" * (60 << 20)}))


def many_fields(source: Path) -> None:
    wandb(source, field(2, b"\x0a\x00" * (4 << 20)))


def deep(source: Path) -> None:
    wandb(source, history(0, {"a": json.loads('{"a":' * 900 + "1" + "}" * 900)}))


#: how to make each, the format, and what is said of it
BOMBS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "a page": (one_value, "parquet", "claims up to 314,"),
    "a dictionary in lists": (dictionary_in_lists, "parquet", "claims up to 52,"),
    "runs in lists": (runs_in_lists, "parquet", "33,554,433 values"),
    "rows of nothing": (rows_without_bytes, "parquet", "2,097,152 rows"),
    "a stream's buffer": (
        lambda source: feather(source, pa.table({"a": [bytes(300 << 20)]})), "arrow", "claims 314,"),
    "a file's buffer": (
        lambda source: feather(source, pa.table({"a": [bytes(300 << 20)]}), file=True), "arrow", "claims 314,"),
    "lists of nothing": (nothing_in_lists, "arrow", "row comes to more than"),
    "lists that share": (shared_in_lists, "arrow", "row comes to more than"),
    "colours": (colours, "coco-panoptic", "claims 6000×6000 pixels"),
    "a line": (long_line, "png", "the line has more than 33,554,432 bytes"),
    "a name": (long_name, "png", "cannot be followed"),
    "columns": (many_columns, "png", "more than 10,000 columns"),
    "a record": (long_record, "wandb", "more than 33,554,432 bytes"),
    "fields": (many_fields, "wandb", "more than 1,000,000 fields"),
    "a deep value": (deep, "wandb", "nested too deep"),
}  # fmt: skip

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


@pytest.mark.parametrize("bomb", BOMBS)
def test_what_claims_more_than_it_is_is_refused(tmp_path: Path, bomb: str) -> None:
    build, format_, words = BOMBS[bomb]
    source = tmp_path / "source"
    source.mkdir()
    build(source)
    with nothing_imported(source) as target:
        done = subprocess.run(
            [sys.executable, "-c", IMPORT, source, format_, target], capture_output=True, text=True, check=False
        )
    assert done.returncode == 2, done.stderr[-2000:]
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert int(done.stdout.splitlines()[-1]) <= MOST


def test_the_good_rows_beside_a_bad_line_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(untrusted, "MAX_LINE", 1000)
    image_folder(tmp_path / "source", "0.png")
    good = (tmp_path / "source" / "metadata.jsonl").read_text()
    long = json.dumps({"file_name": "a" * 5000})
    (tmp_path / "source" / "metadata.jsonl").write_text(f"{good}\n{long}\n{good}\n")
    found = import_dataset(tmp_path / "source", "png", dir=tmp_path / "s", skip_bad=True)
    assert (found.rows, found.skipped) == ({"source": 2}, 1)


def test_rows_that_share_are_few_at_a_time_and_come_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "PIECE", 1 << 20)
    texts = ["a" * 300_000, "b"]
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1] * 50, pa.int32()), pa.array(texts))
    sizes = [piece.num_rows for _, piece in weights.pieces(pa.table({"a": column})) if isinstance(piece, pa.Table)]
    assert sum(sizes) == 100
    assert max(sizes) < 10
    tmp_path.joinpath("source").mkdir()
    feather(tmp_path / "source", pa.table({"a": column}))
    import_dataset(tmp_path / "source", "arrow", dir=tmp_path / "s")
    assert [row["a"] for row in maskl.open(tmp_path / "s").table("source")] == texts * 50


KINDS: dict[str, Any] = {
    "text": pa.array(["a", None, "ccc"]),
    "views": pa.array(["a", None, "c" * 30], pa.string_view()),
    "lists": pa.array([[1, 2], None, []]),
    "list views": pa.array([[1, 2], None, [3]], pa.list_view(pa.int64())),
    "fixed lists": pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int64(), 2)),
    "maps": pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int64())),
    "structs": pa.array([{"a": 1, "b": ["x"]}, None, {"a": 2, "b": None}]),
    "nulls": pa.nulls(3),
    "fixed bytes": pa.array([b"abc", None, b"abc"], pa.binary(3)),
    "runs": pa.compute.run_end_encode(pa.array(["a", "a", "b"])),
    "numbers": pa.array([1.5, None, 2]),
    "dictionaries": pa.array(["a", None, "a"]).dictionary_encode(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_value_of_every_type_has_a_weight(kind: str) -> None:
    """The weight of a value is the same, wherever its array is cut."""
    array = KINDS[kind]
    whole = [float(weights._weights(array)[row]) for row in range(3)]
    assert [float(weights._weights(array.slice(row, 1))[0]) for row in range(3)] == whole
    assert min(whole) >= weights.EACH


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("codec", ["none", "snappy", "zstd", "gzip", "lz4", "brotli"])
def test_pages_of_every_kind_are_counted(version: str, codec: str) -> None:
    """What the headers of pages say is what there is, so that nobody is refused for what was not read right."""
    table = pa.table({"a": ["x" * number for number in range(500)], "b": [[number] * 3 for number in range(500)]})
    sink = io.BytesIO()
    pq.write_table(table, sink, compression=codec, data_page_version=version, data_page_size=1000, row_group_size=200)
    file = io.BytesIO(sink.getvalue())
    metadata = pq.ParquetFile(file).metadata
    for number in range(metadata.num_row_groups):
        for place in range(2):
            column, kind = metadata.row_group(number).column(place), metadata.schema.column(place)
            found = parquet_pages._chunk(file, column, kind, len(sink.getvalue()))  # type: ignore[arg-type]
            assert found.values == column.num_values
            assert 0 < found.unpacked <= column.total_uncompressed_size
            assert 0 < found.packed <= column.total_compressed_size
        assert parquet_pages.rows_at_once(file, metadata, number) > 1000  # type: ignore[arg-type]


# --- one owner ----------------------------------------------------------------------------------

#: what opens a file, or asks what a folder holds
OPENING = {
    *("open", "read_bytes", "read_text", "glob", "rglob", "iterdir", "is_symlink", "stat", "lstat", "resolve"),
    *("listdir", "scandir", "fwalk", "readlink", "memory_map", "OSFile", "read_metadata", "exists"),
}
#: who writes, or reads what maskl made itself, or opens bytes: by module and function
OWN = {
    "maskl/formats/arrow.py": {"write"},
    "maskl/formats/image_folder.py": {"write", "_write_lines"},
    "maskl/formats/coco/_common.py": {"_finish"},
    "maskl/formats/cityscapes.py": {"_as_png"},
    "maskl/importing/_destination.py": {"__init__", "_move", "_sweep"},
    "maskl/importing/importer.py": {"import_dataset", "_stem"},
    "maskl/interchange/untrusted.py": {"packed_array", "_opened"},
}


def calls(tree: ast.AST, within: str = "") -> Iterator[tuple[str, str, int]]:
    """Yield the function, the name and the line of each call."""
    for node in ast.iter_child_nodes(tree):
        name = node.name if isinstance(node, ast.FunctionDef) else within
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            yield name, called, node.lineno
        yield from calls(node, name)


def test_files_of_a_source_are_opened_in_one_place() -> None:
    paths = [path for room in ("formats", "importing") for path in (MASKL / room).rglob("*.py")]
    assert len(paths) > 15
    seen = set()
    for path in [*paths, MASKL / "interchange" / "untrusted.py"]:
        module = path.relative_to(ROOT).as_posix()
        for function, called, line in calls(ast.parse(path.read_text("utf-8"))):
            if called in OPENING:
                assert function in OWN.get(module, ()), f"{module}:{line} calls {called}(): see source_files.py"
                seen.add((module, function))
    assert seen == {(module, function) for module, functions in OWN.items() for function in functions}
