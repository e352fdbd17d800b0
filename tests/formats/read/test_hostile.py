"""Sources that are broken or meant badly: an error with file and row, and nothing half-imported."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import maskl
from maskl import Image
from maskl.errors import CorruptData, InvalidValue, MasklError, NotFound, UnsupportedVersion
from maskl.importing.importer import import_dataset
from maskl_storage import encode
from maskl_storage.disk.local import OpenFolder

pytestmark = pytest.mark.once

Start = Callable[..., maskl.Run]


def png(width: int = 4, height: int = 3, data: bytes | None = None) -> bytes:
    """Return a grey PNG, or only the promise of one."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))

    packed = zlib.compress(bytes((width + 1) * height)) if data is None else data
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


BOMB = png(65_000, 65_000, zlib.compress(bytes(1000)))


@pytest.fixture
def exported(start: Start, tmp_path: Path, store_dir: Path) -> Path:
    """A Parquet file of four rows with images and masks."""
    with start(name="r") as run:
        table = maskl.Table(columns=["id", "image"])
        for number in range(4):
            pixels = np.full((3, 4, 3), number, np.uint8)
            masks = {"truth": {"mask_data": np.full((3, 4), number), "class_labels": {0: "하늘"}}}
            table.add_data(number, Image(pixels, masks=masks))
        run.log({"t": table})
    maskl.open(store_dir).export("t", tmp_path / "t.parquet")
    return tmp_path / "t.parquet"


def rewritten(path: Path, change: Callable[[pa.Table], pa.Table]) -> Path:
    """Write a Parquet file again with something changed."""
    pq.write_table(change(pq.read_table(path)), path)
    return path


def with_metadata(path: Path, key: bytes, value: bytes) -> Path:
    return rewritten(path, lambda table: table.replace_schema_metadata({**(table.schema.metadata or {}), key: value}))


def with_cell(path: Path, column: str, row: int, value: Any) -> Path:
    """Replace one cell."""

    def change(table: pa.Table) -> pa.Table:
        place = table.column_names.index(column)
        cells = table[column].to_pylist()
        cells[row] = value
        return table.set_column(place, table.schema.field(place), pa.array(cells, table.schema.field(place).type))

    return rewritten(path, change)


def refused(source: Path, error: type[MasklError], *words: str, **arguments: Any) -> None:
    """Check that a source is refused with these words, and that no file changes by it."""
    folder = source.parent

    def files() -> dict[str, bytes]:
        return {str(path): path.read_bytes() if path.is_file() else b"" for path in sorted(folder.rglob("*"))}

    before = files()
    for directory in ("maskl-store", "new/store"):
        with pytest.raises(error) as caught:
            import_dataset(source, dir=folder / directory, **arguments)
        for word in (source.name, *words):
            assert word in str(caught.value)
    assert files() == before


def meta(path: Path) -> dict[str, Any]:
    return dict(json.loads(pq.read_schema(path).metadata[b"maskl"]))


def test_a_file_is_imported_whole(exported: Path, tmp_path: Path) -> None:
    found = import_dataset(exported, dir=tmp_path / "other", run="mine", name="이름")
    assert (found.runs, found.rows, found.skipped) == (("mine",), {"t": 4}, 0)
    store = maskl.open(tmp_path / "other")
    assert store.run("이름").state == "finished"
    assert store.sql("SELECT sum(pixels) FROM class_pixels").fetchall() == [(48,)]


@pytest.mark.parametrize("text", [b"{", b"[]", b"\xff", b'"1.0.0"'])
def test_metadata_that_is_no_json_object(exported: Path, text: bytes) -> None:
    refused(with_metadata(exported, b"maskl", text), CorruptData)


@pytest.mark.parametrize("key", [b"maskl", b"maskl_export", b"huggingface"])
def test_metadata_that_is_nested_too_deep(exported: Path, key: bytes) -> None:
    for text in (b"[" * 100_000, b'{"a":' * 100_000):
        if key == b"huggingface":
            pq.write_table(pa.table({"a": [1]}).replace_schema_metadata({key: text}), exported)
        refused(with_metadata(exported, key, text), CorruptData)


def test_metadata_of_other_versions(exported: Path) -> None:
    body = meta(exported)
    for version, error in (("2.0.0", UnsupportedVersion), ("one", CorruptData), (None, CorruptData)):
        refused(with_metadata(exported, b"maskl", json.dumps(body | {"version": version}).encode()), error, "version")


def test_metadata_of_an_export_of_other_versions(exported: Path) -> None:
    for text, error in (
        (b"{", CorruptData),
        (b'{"version": "x"}', CorruptData),
        (b'{"version": "2.0.0"}', UnsupportedVersion),
    ):
        refused(with_metadata(exported, b"maskl_export", text), error, "version" if b"v" in text else "JSON")


def test_a_column_that_only_the_metadata_knows(exported: Path) -> None:
    body = meta(exported)
    body["columns"]["gone"] = {"kind": "value", "name": "gone", "type": "int"}
    refused(with_metadata(exported, b"maskl", json.dumps(body).encode()), CorruptData, "gone")


def test_a_column_of_another_type_than_the_metadata_says(exported: Path) -> None:
    body = meta(exported)
    body["columns"]["id"]["type"] = "timestamp"
    refused(with_metadata(exported, b"maskl", json.dumps(body).encode()), CorruptData, "id", "timestamp")


def test_every_truncation_is_refused(exported: Path) -> None:
    data = exported.read_bytes()
    for size in (*range(12), len(data) // 2, len(data) - 9, len(data) - 1):
        exported.write_bytes(data[:size])
        refused(exported, CorruptData, format="parquet")


def test_altered_bytes_are_refused_or_bring_the_same_rows(exported: Path, tmp_path: Path) -> None:
    data = exported.read_bytes()
    random = np.random.default_rng(6)
    for number in range(60):
        altered = bytearray(data)
        altered[int(random.integers(len(data)))] ^= 1 << int(random.integers(8))
        exported.write_bytes(altered)
        store, message = tmp_path / str(number), ""
        try:
            import_dataset(exported, dir=store, format="parquet")
        except MasklError as error:
            message = str(error)
        if message:
            assert exported.name in message
            assert not store.exists()
        else:
            assert len(maskl.open(store).table("t")) == 4


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("image__bytes", BOMB, ("row 2", "pixels", "178,956,970")),
        ("image__bytes", png()[:60], ("row 2", "image")),
        ("image__bytes", b"no image", ("row 2", "not an image")),
        ("image__bytes", None, ("row 2", "missing")),
        ("image__mask__truth", b"MSKL", ("row 2", "mask 'truth'")),
        ("image__mask__truth", encode(np.zeros((3, 4), int))[:-1], ("row 2", "mask 'truth'")),
        ("image__mask__truth", BOMB, ("row 2", "mask 'truth'", "pixels")),
    ],
    ids=["bomb", "truncated", "text", "missing", "mask's header", "truncated mask", "mask bomb"],
)
def test_a_bad_cell_is_named_or_skipped(exported: Path, tmp_path: Path, column: str, value: Any, words: Any) -> None:
    refused(with_cell(exported, column, 2, value), MasklError, *words)
    found = import_dataset(exported, dir=tmp_path / "other", skip_bad=True)
    assert (found.rows, found.skipped, len(found.problems)) == ({"t": 3}, 1, 1)
    assert all(word in found.problems[0] for word in (exported.name, *words))
    assert [row["id"] for row in maskl.open(tmp_path / "other").table("t")] == [0, 1, 3]


def test_a_mask_of_too_many_pixels_is_not_decoded(exported: Path) -> None:
    mask = bytearray(encode(np.zeros((3, 4), np.uint8)))
    shape = mask.find(struct.pack("<II", 3, 4))
    assert shape > 0
    mask[shape : shape + 8] = struct.pack("<II", 65_000, 65_000)
    refused(with_cell(exported, "image__mask__truth", 1, bytes(mask)), InvalidValue, "row 1", "mask 'truth'", "65000")


def test_a_file_of_a_store_has_no_bytes(start: Start, store_dir: Path, tmp_path: Path) -> None:
    with start(name="r") as run:
        run.log({"t": Image(np.zeros((3, 4), np.uint8))})
    (part,) = store_dir.glob("rows/**/*.parquet")
    with pytest.raises(InvalidValue, match="maskl export"):
        import_dataset(part, dir=tmp_path / "other")


def huggingface(path: Path, cells: list[Any], column: str = "image") -> Path:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features = {"info": {"features": {column: {"_type": "Image"}}}}
    table = pa.table({column: pa.array(cells, kind), "n": list(range(len(cells)))})
    pq.write_table(table.replace_schema_metadata({b"huggingface": json.dumps(features).encode()}), path)
    return path


@pytest.mark.parametrize(
    "name", ["../secret.png", "/etc/hostname", "a/../../secret.png", "C:\\x.png", "..\\secret.png"]
)
def test_a_path_does_not_climb_out(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.png").write_bytes(png())
    (tmp_path / "data").mkdir()
    source = huggingface(
        tmp_path / "data" / "train.parquet", [{"bytes": png(), "path": "x"}, {"bytes": None, "path": name}]
    )
    refused(source, InvalidValue, "row 1", "leads out of")


def test_files_beside_are_read_and_missing_ones_named(tmp_path: Path) -> None:
    (tmp_path / "그림.png").write_bytes(png())
    source = huggingface(
        tmp_path / "train.parquet", [{"bytes": None, "path": "그림.png"}, None, {"bytes": None, "path": "none.png"}]
    )
    refused(source, InvalidValue, "row 2", "there is no file")
    found = import_dataset(source, dir=tmp_path / "other", skip_bad=True)
    assert (found.rows, found.skipped) == ({"train": 2}, 1)
    rows = maskl.open(tmp_path / "other").table("train")
    assert (rows[0]["image"].width, rows[1]["image"], [row["n"] for row in rows]) == (4, None, [0, 1])


def test_a_source_must_be_there_and_known(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="none"):
        import_dataset(tmp_path / "none", dir=tmp_path / "s")
    (tmp_path / "x.txt").write_text("x")
    with pytest.raises(InvalidValue, match="--format"):
        import_dataset(tmp_path / "x.txt", dir=tmp_path / "s")
    with pytest.raises(InvalidValue, match="format must be one of"):
        import_dataset(tmp_path / "x.txt", format="xls", dir=tmp_path / "s")


def test_a_run_id_that_is_taken(exported: Path, store_dir: Path) -> None:
    import_dataset(exported, dir=store_dir, run="mine")
    with pytest.raises(InvalidValue, match=r"'mine'.*--run"):
        import_dataset(exported, dir=store_dir, run="mine")
    assert [run.run_id for run in maskl.open(store_dir).runs()][1:] == ["mine"]
    assert not list(store_dir.glob(".import-*"))


def test_a_failed_move_moves_everything_back(exported: Path, store_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = OpenFolder.rename

    def rename(folder: OpenFolder, name: str, into: OpenFolder, target: str) -> None:
        if into.path == "seals" and target.startswith("run_id="):
            raise OSError(28, "No space left on device")
        real(folder, name, into, target)

    before = {path: path.read_bytes() for path in store_dir.rglob("*") if path.is_file()}
    monkeypatch.setattr(OpenFolder, "rename", rename)
    with pytest.raises(OSError, match="No space"):
        import_dataset(exported, dir=store_dir)
    assert {path: path.read_bytes() for path in store_dir.rglob("*") if path.is_file()} == before


def test_an_active_run_is_left_alone(exported: Path, start: Start, tmp_path: Path) -> None:
    run = start(name="active")
    found = import_dataset(exported, dir=tmp_path / "other")
    run.log({"x": Image(np.ones((2, 2), np.uint8))})
    run.finish()
    images = maskl.open(tmp_path / "other").sql("SELECT count(*) FROM images").fetchall()
    assert (found.rows, images) == ({"t": 4}, [(4,)])
