"""Write-ahead files that cannot be committed, whatever is in them: set aside once, and the store goes on."""

from __future__ import annotations

import errno
import os
import warnings
from pathlib import Path
from typing import Any

import msgpack
import pyarrow as pa
import pytest

import maskl
from maskl.cli.app import main
from maskl.errors import RecoveryWarning, StorageError
from maskl_storage.cells import packing
from maskl_storage.cells.packing import pack_columns, pack_frame
from maskl_storage.disk.local import Folder
from maskl_storage.format.document import WRITTEN
from maskl_storage.format.metadata import Column
from maskl_storage.write.wal import Mark, WalFile

pytestmark = pytest.mark.once

INT = Column("value", "n", "int")
IMAGE = Column("image", "image")


def table(
    name: Any = "t", first: Any = 0, columns: Any = None, cells: Any = ((1,),), frame: Any = None, replace: Any = False
) -> list[Any]:
    return [name, first, replace, pack_columns((INT,)) if columns is None else columns, list(map(list, cells)), frame]


def call(*tables: list[Any], step: Any = 0, stamp: Any = 1, history: Any = ()) -> list[Any]:
    return ["call", step, stamp, list(tables), list(history)]


def extension(code: int, *fields: Any) -> msgpack.ExtType:
    return msgpack.ExtType(code, msgpack.packb(list(fields)))


def image(**changed: Any) -> msgpack.ExtType:
    fields = {
        "digest": None,
        "format": "png",
        "mode": "L",
        "width": 2,
        "height": 2,
        "caption": None,
        "path": "x.png",
        "masks": [],
        "joints": [],
        "boxes": [],
    }
    return extension(packing.IMAGE, *(fields | changed).values())


def images(*cells: Any) -> list[Any]:
    return call(table(columns=pack_columns((IMAGE,)), cells=[[cell] for cell in cells]))


NEWER = pack_columns((INT,)).replace(f'"{WRITTEN}"'.encode(), b'"1.999.0"')
RECORDS: dict[str, list[Any]] = {
    "a table name of 300 bytes": call(table("t" * 300)),
    "a table name of another type": call(table(5)),
    "a table without a name": call(table("")),
    "a table name with half a pair": call(table(b"\xed\xa0\x80")),
    "text in a column of integers": call(table(cells=[["text"]])),
    "a list in a column of integers": call(table(cells=[[[1]]])),
    "a dict in a column of integers": call(table(cells=[[{1: 2}]])),
    "an integer beyond 64 bits": call(table(cells=[[(1 << 64) - 1]])),
    "a row too short": call(table(cells=[[]])),
    "a row too long": call(table(cells=[[1, 2]])),
    "a row that is none": call(["t", 0, False, pack_columns((INT,)), [5], None]),
    "rows that are none": call(["t", 0, False, pack_columns((INT,)), 5, None]),
    "columns that are none": call(table(columns=b"[]")),
    "columns that are deep": call(table(columns=b"[" * 5000)),
    "columns of another type": call(table(columns=5)),
    "a column of an unknown kind": call(table(columns=pack_columns((INT,)).replace(b'"value"', b'"video"'))),
    "a column of an unknown type": call(table(columns=pack_columns((INT,)).replace(b'"int"', b'"complex"'))),
    "a frame that is none": call(table(frame=b"x", cells=[])),
    "a frame of other columns": call(table(frame=pack_frame(pa.table({"a": [1], "b": [2]})), cells=[])),
    "a number of a row beyond 64 bits": call(table(first=(1 << 64) - 1)),
    "a negative number of a row": call(table(first=-1)),
    "a step beyond 64 bits": call(table(), step=(1 << 64) - 1),
    "a step that is none": call(table(), step="last"),
    "a time that no calendar has": call(table(), stamp=(1 << 63) - 1),
    "a table of too few fields": call(["t", 0]),
    "history of other types": call(history=[[0, 0, 0, 5, 0.5, None]]),
    "history of too few fields": call(history=[[0, 0, 0]]),
    "history of a value that is none": call(history=[[0, 0, 0, "loss", "x", None]]),
    "history that is none": ["call", 0, 1, [], 5],
    "tables that are none": ["call", 0, 1, 5, []],
    "a call of too few fields": ["call", 0],
    "an image whose digest is none": ["image", "x", "png", "L", 1, 1],
    "an image of a negative size": ["image", "0" * 64, "png", "L", -1, 1],
    "an image of a size beyond 32 bits": ["image", "0" * 64, "png", "L", 1 << 40, 1],
    "generations that are none": ["commit", 5],
    "a generation that is none": ["commit", {"t": -1}],
    "a summary that is no object": ["summary", "[]", True],
    "a summary that is deep": ["summary", '{"a":' * 3000, False],
    "a summary of many digits": ["summary", '{"a":' + "1" * 5000 + "}", False],
    "an array of objects": call(table(cells=[[extension(packing.ARRAY, "|O", [1], b"12345678")]])),
    "an array that claims more": call(table(cells=[[extension(packing.ARRAY, "<i8", [1 << 40], b"12345678")]])),
    "an array that is no array": call(table(cells=[[extension(packing.ARRAY, "(", [1], b"1")]])),
    "an extension that is not known": call(table(cells=[[extension(99, 1)]])),
    "an extension in an extension": call(table(cells=[[image(masks=[extension(packing.ARRAY, "<i8", [0], b"")])]])),
    "a time that is none": call(table(cells=[[msgpack.ExtType(packing.TIME, b"soon")]])),
    "an image in a column of integers": call(table(cells=[[image()]])),
    "an integer in a column of images": images(5),
    "an image of other types": images(image(digest=5, width="wide")),
    "a mask that is none": images(image(masks=[["m", 5, [2, 2], [], None, [], 0]])),
    "a mask of too few fields": images(image(masks=[["m", b""]])),
    "a mask of counts that do not fit": images(image(masks=[["m", b"x", [2, 2], [], [b"1234", b"1"], [], 0]])),
    "a mask of a class that is none": images(image(masks=[["m", b"x", [2, 2], [[1, 2, 3, 4]], None, [], 0]])),
    "a pair of masks that are not there": images(image(joints=[["a", "b", b"1234", b"1234", b"12345678"]])),
    "boxes that are none": images(image(boxes=[["m", [[[1, 2], "corners", "pixel", 1, None, None]], [], []]])),
    "nothing that is known": ["video", 1],
    "no record": [],
}


def waiting(root: Path, *records: list[Any], run: str = "killed", seal: int = 0) -> Path:
    """Leave a write-ahead file of a process that is gone."""
    name = f"wal/run_id={run}/0-{seal}.wal"
    file = WalFile(Folder(root), name)
    file.append(Mark(), [(record, b"") for record in records])
    file.close()
    return root / name


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with maskl.init(dir=tmp_path, id="before") as run:
        run.log({"loss": 1.0})
    return tmp_path / "maskl-store"


def started(root: Path) -> list[str]:
    """Start a run as anybody would, and return what was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with maskl.init(dir=root) as run:
            run.log({"loss": 2.0})
    assert {warning.category for warning in caught} <= {RecoveryWarning}
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize("kind", RECORDS)
def test_what_cannot_be_committed_is_set_aside_once(root: Path, kind: str) -> None:
    path = waiting(root, call(history=[[0, 0, 1, "loss", 0.5, None]]), RECORDS[kind])
    data = path.read_bytes()
    (told,) = started(root)
    assert "0-0.wal: " in told
    assert "kept as 0-0.damaged" in told
    assert path.with_suffix(".damaged").read_bytes() == data
    assert started(root) == []  # the next run hears nothing of it
    assert [*root.glob("wal/*/*.wal"), *root.rglob("*.tmp")] == []
    store = maskl.open(root)
    assert store.verify().faults == []
    assert len(store.runs()) == 3
    assert [note for note in store.verify().notes if "tmp" in note] == []


def test_what_others_left_is_brought_in_beside_it(root: Path) -> None:
    bad = waiting(root, RECORDS["text in a column of integers"], run="a")
    waiting(root, call(table()), run="b")
    waiting(root, call(table()), run="a", seal=3)
    told = started(root)
    assert len(told) == 2
    assert bad.with_suffix(".damaged").exists()
    assert maskl.open(root).sql("SELECT run_id, n FROM tables.t ORDER BY run_id").fetchall() == [("a", 1), ("b", 1)]


def test_a_file_of_a_newer_version_is_left_where_it_is(root: Path) -> None:
    path = waiting(root, call(table(columns=NEWER)))
    (told,) = started(root)
    assert "format version 1.999.0: update maskl" in told
    assert path.exists()
    assert not path.with_suffix(".damaged").exists()


@pytest.mark.parametrize(
    "command", [["recover"], ["compact"], ["verify"], ["runs"], ["sql", "FROM runs"], ["delete", "before"]]
)
def test_every_command_goes_on(root: Path, command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    waiting(root, RECORDS["an integer beyond 64 bits"])
    waiting(root, RECORDS["a table name of 300 bytes"], run="other")
    with pytest.raises(SystemExit) as end:
        main([*command, "--dir", str(root)])
    out, err = capsys.readouterr()
    assert end.value.code == (1 if command == ["verify"] else 0)
    assert "Traceback" not in err
    named = {"recover": ".damaged", "compact": ".damaged", "verify": "0-0.wal"}
    assert named.get(command[0], "") in out


def test_a_dry_run_leaves_it(root: Path) -> None:
    path = waiting(root, RECORDS["a row too short"])
    (left,) = maskl.open(root).recover(dry_run=True)
    assert "would be kept as 0-0.damaged" in str(left.problem)
    assert path.exists()


def test_a_full_disk_is_not_taken_for_damage(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = waiting(root, call(table()))
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write_part(*_: Any, **__: Any) -> None:
        raise full

    monkeypatch.setattr("maskl_storage.write.commit.write_part", write_part)
    with pytest.raises(StorageError, match="No space left"):
        maskl.init(dir=root)
    assert path.exists()
    monkeypatch.undo()
    assert len(started(root)) == 1
    assert maskl.open(root).sql("SELECT n FROM tables.t").fetchall() == [(1,)]
