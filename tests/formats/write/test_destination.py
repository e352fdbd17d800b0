"""A destination appears whole or not at all, and nothing that stood there is lost by accident."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import maskl
from maskl.formats import load, parquet
from maskl.interchange.options import Dropped
from maskl_storage.errors import DroppedWarning, InvalidType, InvalidValue

pytestmark = pytest.mark.once


def left(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("dest", ["rows.parquet", "deep/er/rows.arrow", "폴더", "with.dot"])
def test_a_destination_is_a_file_or_a_folder_by_its_name(store: maskl.Store, tmp_path: Path, dest: str) -> None:
    done = store.export("other", dest)
    assert done.path == tmp_path / dest
    assert done.path.is_file() == dest.endswith((".parquet", ".arrow"))
    assert not [name for name in left(tmp_path) if name.endswith(".tmp")]
    assert done.rows == 2


def test_a_suffix_of_another_format_makes_a_folder(store: maskl.Store, tmp_path: Path) -> None:
    store.export("other", "x.arrow", "parquet")
    assert left(tmp_path) == ["x.arrow", "x.arrow/part-00000.parquet"]


@pytest.mark.parametrize("dest", ["out", "out.parquet"])
def test_what_fails_leaves_nothing(
    store: maskl.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dest: str
) -> None:
    original = pq.ParquetWriter.write_table

    def full(self: Any, table: Any, **settings: Any) -> None:
        original(self, table, **settings)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(OSError, match="No space left"):
        store.export("표", dest)
    assert left(tmp_path) == []


def test_what_fails_leaves_what_was_there(store: maskl.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.export("other", "out")
    before = (tmp_path / "out" / "part-00000.parquet").read_bytes()
    monkeypatch.setattr(parquet, "FORMAT", replace(parquet.FORMAT, write=lambda *_: 1 / 0))
    with pytest.raises(ZeroDivisionError):
        store.export("표", "out", force=True)
    monkeypatch.undo()
    rename = os.rename

    def fails(source: Path, target: Path) -> None:
        if Path(target).name == "out" and "tmp" in Path(source).name and (Path(source) / "new").exists():
            raise PermissionError(errno.EPERM, "not here")
        rename(source, target)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "rename", fails)
    monkeypatch.setattr(
        parquet,
        "FORMAT",
        replace(parquet.FORMAT, write=lambda selection, folder, *_: Dropped((folder / "new").write_text("") or ())),
    )
    with pytest.raises(PermissionError):
        store.export("표", "out", force=True)
    assert left(tmp_path) == ["out", "out/part-00000.parquet"]
    assert (tmp_path / "out" / "part-00000.parquet").read_bytes() == before


@pytest.mark.parametrize("dest", ["out", "out.parquet"])
def test_nothing_is_overwritten_without_force(store: maskl.Store, tmp_path: Path, dest: str) -> None:
    store.export("표", dest)
    before = left(tmp_path)
    with pytest.raises(InvalidValue, match=r"exists: name another destination, or replace it with --force"):
        store.export("other", dest)
    assert left(tmp_path) == before
    done = store.export("other", dest, force=True)
    assert pq.read_table(done.path).num_rows == 2
    assert left(tmp_path) == before


def test_what_came_while_it_was_written_stays(
    store: maskl.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = parquet.write

    def write(*arguments: Any) -> Dropped:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "mine").write_text("x")
        return original(*arguments)

    monkeypatch.setattr(parquet, "FORMAT", replace(parquet.FORMAT, write=write))
    with pytest.raises(InvalidValue, match="exists by now"):
        store.export("other", "out")
    assert left(tmp_path) == ["out", "out/mine"]


def test_an_empty_folder_is_a_destination(store: maskl.Store, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    store.export("other", "out")
    assert left(tmp_path) == ["out", "out/part-00000.parquet"]


def test_a_file_gives_way_to_a_folder_only_by_force(store: maskl.Store, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InvalidValue, match="exists"):
        store.export("other", "out")
    store.export("other", "out", force=True)
    assert left(tmp_path) == ["out", "out/part-00000.parquet"]


@pytest.mark.parametrize("force", [True, False])
def test_places_that_no_export_may_take(start: Any, store_dir: Path, tmp_path: Path, force: bool) -> None:
    with start() as run:
        run.log({"t": maskl.Table(["a"], [[1]])})
    (tmp_path / "other" / "maskl-store").mkdir(parents=True)
    (tmp_path / "other" / "maskl-store" / "maskl.json").write_text("{}")
    store = maskl.open(store_dir)
    for dest, words in (
        (store_dir, "inside the store"),
        (store_dir / "rows" / "x", "inside the store"),
        (tmp_path, "holds the store or the working directory"),
        (tmp_path.parent, "holds the store or the working directory"),
        (tmp_path / "other" / "maskl-store", "this is a store"),
    ):
        with pytest.raises(InvalidValue, match=words):
            store.export("t", dest, force=force)
    assert len(maskl.open(store_dir).table("t")) == 1


def test_permissions_are_the_umasks(store: maskl.Store, tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        store.export("other", "out")
    finally:
        os.umask(old)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "out" / "part-00000.parquet").stat().st_mode & 0o777 == 0o640


def test_what_is_dropped_is_named_and_counted(
    store: maskl.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped = Dropped({"captions": 1200, "boxes": 3, "nothing": 0})
    monkeypatch.setattr(parquet, "FORMAT", replace(parquet.FORMAT, write=lambda selection, folder, *_: dropped))
    with pytest.warns(DroppedWarning, match=r"parquet cannot hold all .*; left out: boxes \(3\), captions \(1,200\)"):
        done = store.export("other", "out")
    assert done.dropped == {"boxes": 3, "captions": 1200}


@pytest.mark.parametrize(
    ("progress", "terminal", "shown"),
    [(None, False, False), (None, True, True), (False, True, False), (True, False, True)],
)
def test_a_progress_bar_shows_on_a_terminal_only(
    store: maskl.Store,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    progress: bool | None,
    terminal: bool,
    shown: bool,
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    store.export("표", "out", progress=progress)
    out, err = capsys.readouterr()
    assert out == ""
    assert ("17/17" in err or "exporting" in err) == shown


def test_progress_counts_every_row(store: maskl.Store, tmp_path: Path) -> None:
    from maskl.interchange.options import ExportOptions
    from maskl.interchange.selection import choose

    for name in ("parquet", "arrow", "huggingface"):
        ticks: list[int] = []
        folder = tmp_path / name
        folder.mkdir()
        write = load(name, "write").write
        assert write is not None
        write(choose(store, "표"), folder, ExportOptions(), ticks.append)
        assert sum(ticks) == 17


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({}, InvalidType, "needs dest"),
        (
            {"dest": "x", "format": "csv"},
            InvalidValue,
            "format must be one of parquet, huggingface, arrow, coco-panoptic",
        ),
        (
            {"dest": "x", "instances": True},
            InvalidValue,
            "parquet takes no option 'instances'; it is for coco-panoptic, coco",
        ),
        ({"dest": "x", "format": "arrow", "mask": "a"}, InvalidValue, "takes no option 'mask'"),
        ({"dest": "x", "masks": "jpeg"}, InvalidValue, "masks must be 'maskl' or 'png'; got 'jpeg'"),
    ],
)
def test_arguments_that_are_wrong(
    store: maskl.Store, tmp_path: Path, arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        store.export("other", **arguments)
    assert left(tmp_path) == []
