"""Parts whose values, types or metadata no writer would store: every command ends without a traceback."""

from __future__ import annotations

import json
import shutil
import struct
import warnings
import zlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from blake3 import blake3

import maskl
from maskl.cli.app import main
from maskl.errors import CorruptData, MasklError
from maskl_storage.catalog.signed import signed
from tests.conftest import some_of

#: beyond every calendar
LATE = (1 << 63) - 1
MASK = "image__mask__ground_truth"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made")
    with maskl.init(dir=directory, id="a") as run:
        labels = {0: "sky", 1: "road"}
        masks = {key: {"mask_data": np.eye(4, dtype=np.uint8), "class_labels": labels} for key in ("ground_truth", "p")}
        boxes = {"b": {"box_data": [{"position": {"minX": 0.1, "maxX": 0.2, "minY": 0.1, "maxY": 0.2}, "class_id": 1}]}}
        image = maskl.Image(np.zeros((4, 4, 3), np.uint8), masks=masks, boxes=boxes)
        row = [image, 1, {"a": 1}, np.arange(3), datetime(2024, 1, 1)]
        run.log({"t": maskl.Table(columns=["image", "n", "j", "array", "when"], data=[row]), "loss": 1.0})
    return directory / "maskl-store"


def column(kind: str, name: str, value: Any, type_: pa.DataType | None = None) -> Callable[[Path], None]:
    """Return what puts a value in every row of a column of a part."""

    def change(root: Path) -> None:
        (path,) = root.glob(f"{kind}/**/*.parquet")
        table = pq.ParquetFile(path).read()
        values = pa.array([value] * table.num_rows, type_)
        changed = table.set_column(table.column_names.index(name), name, values)
        pq.write_table(changed.replace_schema_metadata(table.schema.metadata), path)

    return change


def described(**changed: Any) -> Callable[[Path], None]:
    """Return what changes what the metadata says of columns."""

    def change(root: Path) -> None:
        (path,) = root.glob("rows/**/*.parquet")
        table = pq.ParquetFile(path).read()
        body = json.loads(table.schema.metadata[b"maskl"])
        for name, entry in changed.items():
            body["columns"][name].update(entry)
        pq.write_table(table.replace_schema_metadata({b"maskl": json.dumps(body).encode()}), path)

    return change


def metadata(text: bytes) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (path,) = root.glob("rows/**/*.parquet")
        table = pq.ParquetFile(path).read()
        pq.write_table(table.replace_schema_metadata({b"maskl": text}), path)

    return change


def of_bytes(kind: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def changed(root: Path) -> None:
        (path,) = root.glob(f"{kind}/**/*.parquet")
        path.write_bytes(change(path.read_bytes()))

    return changed


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


#: a picture of 4 thousand million pixels in some bytes
BOMB = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 65535, 65535, 8, 2, 0, 0, 0)) + chunk(b"IDAT", b"")
PARTS: dict[str, Callable[[Path], None]] = {
    "a time beyond the calendar": column("rows", "_timestamp", LATE, pa.timestamp("us", "UTC")),
    "a value beyond the calendar": column("rows", "when", LATE, pa.timestamp("us")),
    "scalars beyond the calendar": column("history", "_timestamp", -LATE, pa.timestamp("us", "UTC")),
    "steps that are missing": column("rows", "_step", None, pa.int64()),
    "numbers of rows that are missing": column("rows", "_row", None, pa.int64()),
    "JSON that is deep": column("rows", "j", "[" * 3000 + "]" * 3000),
    "JSON of many digits": column("rows", "j", "1" * 5000),
    "JSON with half a pair": column("rows", "j", '"\\ud800"'),
    "JSON of an array that claims more": column("rows", "j", '{"$array": ["x"], "dtype": "S999999999", "shape": [1]}'),
    "JSON of a time that is none": column("rows", "j", '{"$time": 5}'),
    "masks that are none": column("rows", MASK, b"MSKL"),
    "masks that are text": column("rows", MASK, "mask"),
    "images that are numbers": column("rows", "image", 5),
    "arrays of text": column("rows", "array", ["x"]),
    "boxes that are numbers": column("rows", "image__boxes__b", 5),
    "pictures without bytes": column("images", "bytes", None, pa.binary()),
    "pictures that are none": column("images", "bytes", b"junk"),
    "pictures that claim more": column("images", "bytes", BOMB),
    "digests that are none": column("images", "digest", "é"),
    "keys that are missing": column("history", "key", None, pa.string()),
    "counts that overflow": column("class_pixels", "pixels", LATE),
    "scores that are missing": column("class_scores", "tp", None, pa.int64()),
    "metadata that is deep": metadata(b"[" * 5000),
    "metadata that is no text": metadata(b"\xff\0"),
    "a column of another kind": described(n={"kind": "image"}),
    "a zone that is none": described(when={"timezone": "Nowhere/Land"}),
    "a type that is another's": described(j={"type": "array", "dtype": "float64"}),
    "dimensions without end": described(array={"ndim": 10**6}),
    "rows that are cut": of_bytes("rows", lambda data: data[: len(data) // 2]),
    "pictures that are zeros": of_bytes("images", lambda data: data[:4] + bytes(len(data) - 12) + data[-8:]),
    "a footer of zeros": of_bytes("history", lambda data: data[:-200] + bytes(192) + data[-8:]),
}
COMMANDS = (
    *(["sql", "FROM tables.t"], ["sql", "FROM history"], ["verify"], ["compact", "--grace", "0"]),
    ["worst", "t", "--prediction", "p", "--html", "page.html", "--force"],
    ["export", "t", "out", "--format", "huggingface", "--force"],
)


def mended(root: Path) -> None:
    """Have the seal say what its parts are now, so that nobody stops at a checksum."""
    (seal,) = root.glob("seals/*/*.json")
    body = json.loads(seal.read_bytes())
    del body["blake3"]
    for part in body["parts"]:
        data = (root / part["path"]).read_bytes()
        part |= {"bytes": len(data), "blake3": blake3(data).hexdigest()}
    seal.write_bytes(signed(json.dumps(body)))


@pytest.mark.once
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("kind", some_of(PARTS))
def test_no_command_ends_in_a_traceback(
    made: Path, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "maskl-store"
    shutil.copytree(made, root)
    PARTS[kind](root)
    mended(root)
    for command in COMMANDS:
        with pytest.raises(SystemExit) as end:
            main([*command, "--dir", str(root)])
        err = capsys.readouterr().err
        assert "Traceback" not in err
        assert end.value.code in ((0, 1) if command == ["verify"] else (0, 2)), (command, err)


@pytest.mark.parametrize(
    "kind",
    [
        *(
            "a value beyond the calendar",
            "JSON that is deep",
            "JSON of an array that claims more",
            "masks that are text",
        ),
        *("images that are numbers", "arrays of text", "boxes that are numbers", "metadata that is deep"),
    ],
)
def test_reading_names_the_file(made: Path, tmp_path: Path, kind: str) -> None:
    root = tmp_path / "maskl-store"
    shutil.copytree(made, root)
    PARTS[kind](root)
    mended(root)
    with pytest.raises(CorruptData, match=r"rows/table_name=t/run_id=a/0-0\.parquet"):
        maskl.open(root).table("t")[0]


def test_a_picture_that_claims_more_is_refused_by_its_size(made: Path, tmp_path: Path) -> None:
    root = tmp_path / "maskl-store"
    shutil.copytree(made, root)
    PARTS["pictures that claim more"](root)
    mended(root)
    image = maskl.open(root).table("t")[0]["image"]
    with pytest.raises(MasklError, match=r"too large to decode.*MAX_IMAGE_PIXELS"), warnings.catch_warnings():
        image.image  # noqa: B018
