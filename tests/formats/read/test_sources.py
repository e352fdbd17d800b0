"""Sources of every format that lead outside, wait for somebody, or claim more than they are."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import maskl
from maskl.cli.app import main
from maskl.errors import MasklError, NotStoredWarning
from maskl.formats import BUILT_IN, WRITE_ONLY
from maskl.formats.rows import _parquet_pages as parquet_pages
from maskl.formats.rows import _weights as weights
from maskl.formats.rows._parquet_footers import chunks_of
from maskl.importing.importer import import_dataset
from maskl.interchange import untrusted
from tests.formats.read.bombs import BOMBS, covered, feather, imported_alone
from tests.formats.read.hostile import nothing_imported
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
    saved,
    saved_split,
    wandb_media,
)

ROOT = Path(__file__).parents[3]
MASKL = ROOT / "maskl"


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
    assert set(SOURCES) == set(BUILT_IN) - set(WRITE_ONLY)


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
                # what lies beside W&B's media is kept as a file of the run, unless it is a link
                with pytest.warns(NotStoredWarning, match="--follow-links") if format_ == "wandb" else nullcontext():
                    import_dataset(source, format_, dir=target)
                shutil.rmtree(target)
                continue
            with pytest.raises(MasklError, match="--follow-links"):
                import_dataset(source, format_, dir=target)
        good = import_dataset(source, format_, dir=source.parent / "followed", follow_links=True)
        assert good.skipped == 0
        assert contents(outside) == before


@pytest.mark.filterwarnings("ignore::maskl.errors.NotStoredWarning")
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


@pytest.mark.parametrize("bomb", BOMBS)
def test_what_claims_more_than_it_is_is_refused(tmp_path: Path, bomb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With limits that are as much lower as the sources are smaller; those of real size are among the long tests."""
    case = BOMBS[bomb]
    for module, name, limit in case.limits:
        monkeypatch.setattr(module, name, limit)
    source = tmp_path / "source"
    source.mkdir()
    case.build(source, case.small)
    with nothing_imported(source) as target, pytest.raises(MasklError, match=case.words):
        import_dataset(source, case.format, dir=target)


def test_a_buffer_that_claims_gigabytes_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    case = BOMBS["a stream's buffer"]
    case.build(tmp_path, case.real)
    done = imported_alone(tmp_path, case.format, tmp_path / "s")
    assert done.code == 2, done.error
    assert re.search(case.words, done.error)
    assert done.peak <= 600_000_000


@pytest.mark.once
@pytest.mark.parametrize("form", ["coco-panoptic", "coco-rle"])
def test_the_largest_picture_that_is_painted_takes_less_than_a_gigabyte(tmp_path: Path, form: str) -> None:
    covered(tmp_path, form, 5790)
    done = imported_alone(tmp_path, form, tmp_path / "s")
    assert done.code == 0, done.error
    assert done.peak <= 700_000_000


#: the documents of JSON of each source, and the limit of each
DOCUMENTS: dict[str, tuple[str, Callable[[Path], object], str, int]] = {
    "coco-panoptic": ("coco-panoptic", SOURCES["coco-panoptic"], "panoptic.json", untrusted.MAX_BYTES),
    "coco-rle": ("coco-rle", SOURCES["coco-rle"], "annotations.json", untrusted.MAX_BYTES),
    "cityscapes": ("cityscapes", cityscapes, "classes.json", untrusted.MAX_JSON),
    "folders": ("folders", folders, "classes.json", untrusted.MAX_JSON),
    "png": ("png", SOURCES["png"], "classes.json", untrusted.MAX_JSON),
    "a saved dataset": ("huggingface", lambda source: saved(source, "a.arrow"), "state.json", untrusted.MAX_JSON),
    "saved splits": (
        "huggingface", lambda source: saved_split(source, "a"), "dataset_dict.json", untrusted.MAX_JSON),
}  # fmt: skip


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_document_of_any_size_is_refused_before_it_is_held(tmp_path: Path, document: str) -> None:
    """Both files have holes, and take no room: one is larger than any that is read, one is no JSON."""
    format_, build, name, most = DOCUMENTS[document]
    build(tmp_path / "source")
    path = tmp_path / "source" / name
    path.touch()
    limit = re.escape(f"has {most + 1:,} bytes; files of up to {most:,} are read")
    for size, words in ((most + 1, limit), (most, "not JSON: it holds bytes of zero")):
        os.truncate(path, size)
        tracemalloc.start()
        try:
            with nothing_imported(tmp_path / "source") as target, pytest.raises(MasklError, match=words):
                import_dataset(tmp_path / "source", format_, dir=target)
            assert tracemalloc.get_traced_memory()[1] < 100_000_000
        finally:
            tracemalloc.stop()


def test_the_file_of_classes_that_the_user_names_has_a_limit(tmp_path: Path) -> None:
    folders(tmp_path / "source")
    (tmp_path / "classes.json").touch()
    os.truncate(tmp_path / "classes.json", untrusted.MAX_JSON + 1)
    with pytest.raises(MasklError, match=f"files of up to {untrusted.MAX_JSON:,} are read"):
        import_dataset(tmp_path / "source", "folders", dir=tmp_path / "s", classes=tmp_path / "classes.json")


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
    chunks = chunks_of(file, metadata)
    for number in range(metadata.num_row_groups):
        for place, said in enumerate(chunks[number]):
            column, kind = metadata.row_group(number).column(place), metadata.schema.column(place)
            assert (said.name, said.values, said.size) == (
                *(column.path_in_schema, column.num_values, column.total_compressed_size),
            )
            found = parquet_pages._chunk(file, said, kind, len(sink.getvalue()))  # type: ignore[arg-type]
            assert found.values == column.num_values
            assert 0 < found.unpacked <= column.total_uncompressed_size
            assert 0 < found.packed <= column.total_compressed_size
        assert parquet_pages.rows_at_once(file, metadata, chunks[number], number) > 1000  # type: ignore[arg-type]


# --- one owner ----------------------------------------------------------------------------------

#: what opens a file, or asks what a folder holds
OPENING = {
    *(
        "open",
        "open_image",
        "read_bytes",
        "read_text",
        "glob",
        "rglob",
        "iterdir",
        "is_symlink",
        "stat",
        "lstat",
        "resolve",
    ),
    *("listdir", "scandir", "fwalk", "readlink", "memory_map", "OSFile", "read_metadata", "exists"),
}
#: who writes, or reads what maskl made itself, or opens bytes: by module and function
OWN = {
    "maskl/formats/arrow.py": {"write"},
    "maskl/formats/image_folder.py": {"write", "_write_lines"},
    "maskl/formats/coco/_common.py": {"_finish"},
    "maskl/formats/coco/results.py": {"write"},
    "maskl/importing/_destination.py": {"__init__", "_move", "_sweep"},
    "maskl/importing/importer.py": {"import_dataset", "_stem"},
    # the one place
    "maskl/interchange/source_files.py": {"above", "_mode", "open_file"},
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
    paths = [path for room in ("formats", "importing", "interchange") for path in (MASKL / room).rglob("*.py")]
    assert len(paths) > 35
    seen = set()
    for path in paths:
        module = path.relative_to(ROOT).as_posix()
        for function, called, line in calls(ast.parse(path.read_text("utf-8"))):
            if called in OPENING:
                assert function in OWN.get(module, ()), f"{module}:{line} calls {called}(): see source_files.py"
                seen.add((module, function))
    assert seen == {(module, function) for module, functions in OWN.items() for function in functions}
