"""Bytes by their hash, and what upkeep makes of those that nothing names."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import maskl
from maskl_storage.catalog.layout import Layout
from maskl_storage.catalog.listing import live_seals
from maskl_storage.disk.blobs import fetch_blob, put_blob
from maskl_storage.disk.local import Folder
from maskl_storage.errors import CorruptData
from maskl_storage.format.paths import FILE_KINDS, blob_path, version_of, version_path
from maskl_storage.upkeep import compact as compaction
from maskl_storage.write.files import FileWriter

pytestmark = pytest.mark.once

Start = Callable[..., maskl.Run]


def blobs(store_dir: Path) -> list[str]:
    return sorted(path.name for path in store_dir.glob("blobs/*/*"))


def test_bytes_stand_once_and_come_back(tmp_path: Path) -> None:
    store, out = Folder(tmp_path / "store"), Folder(tmp_path / "out")
    for folder in (store, out):
        folder.root.mkdir()
    data = os.urandom(3 << 20)
    digest, size = put_blob(store, io.BytesIO(data))
    assert size == len(data)
    assert put_blob(store, io.BytesIO(data), sync=True) == (digest, size)
    assert [path.name for path in tmp_path.glob("store/blobs/*/*")] == [digest]
    assert fetch_blob(store, digest, out, "a/b") == size
    assert (out.root / "a" / "b").read_bytes() == data
    (store.root / blob_path(digest)).write_bytes(data[:-1])
    with pytest.raises(CorruptData, match="altered"):
        fetch_blob(store, digest, out, "a/b")
    assert (out.root / "a" / "b").read_bytes() == data  # as it was


class Failing(io.BytesIO):
    """A file on a disk that goes away."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() >= 1 << 20:
            raise OSError(5, "Input/output error")
        return super().read(size)


def test_what_cannot_be_read_to_its_end_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Input/output"):
        put_blob(Folder(tmp_path), Failing(bytes(2 << 20)))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("project", "name"), [(None, "a"), ("_", "a"), ("p", "CON"), ("한강/1", "a b"), ("..", "."), ("a%2Fb", "%41")]
)
def test_paths_of_versions_lead_back(project: str | None, name: str) -> None:
    for number in (0, 7, 10**15):
        assert version_of(version_path(project, name, number)) == (project, name, number)
        assert ".." not in version_path(project, name, number).split("/")


@pytest.mark.parametrize("path", ["p/a/01.json", "p/a/x.json", "a%2fb/a/1.json", "p/1.json", "p/CON/1.json"])
def test_other_paths_claim_nothing(path: str) -> None:
    assert version_of(f"artifact_versions/{path}") is None


def test_what_nothing_names_goes_after_two_graces(start: Start, store_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("kept")
    with start(id="r") as run:
        run.save("a")
        writer = FileWriter(run._writer)  # type: ignore[arg-type]
        digest, _ = writer.put(io.BytesIO(b"nobody names it"))
        store = maskl.open(store_dir)
        done = store.compact(grace=0)
        assert done.blobs == 0
        assert "files of artifacts and runs stay, since a writer that is alive" in " ".join(done.skipped)
    assert len(blobs(store_dir)) == 2
    assert store.compact(dry_run=True, grace=0).blobs == 1
    assert store.compact().blobs == 0  # not old enough
    long_ago = 1.0
    os.utime(store_dir / blob_path(digest), (long_ago, long_ago))
    assert store.compact().blobs == 0  # as a copy of it would not be: when it came here counts
    done = store.compact(grace=0)
    assert (done.blobs, done.blob_bytes) == (1, 15)
    assert len(blobs(store_dir)) == 1
    assert store.verify().clean
    store.delete("r")
    assert store.compact(grace=0).blobs == 1
    assert blobs(store_dir) == []


def test_what_waits_to_go_is_back_once_it_is_named(start: Start, store_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("bytes")
    with start() as run:
        run.save("a")
    (name,) = blobs(store_dir)
    path = next(store_dir.glob("blobs/*/*"))
    path.rename(path.with_name(f".{name}"))  # as a compaction leaves it that did not see who named it
    store = maskl.open(store_dir)
    assert not store.verify().clean
    store.compact(grace=0)
    assert blobs(store_dir) == [name]
    assert store.verify().clean


def test_a_writer_that_appears_keeps_them(start: Start, store_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with start() as run:
        FileWriter(run._writer).put(io.BytesIO(b"nobody"))  # type: ignore[arg-type]
    before = blobs(store_dir)
    answers = iter([set(), set(), {("r", 0)}, {("r", 0)}])
    monkeypatch.setattr(compaction, "live_writers", lambda _files: next(answers))
    done = compaction.compact(Layout(store_dir), grace=0)
    assert (done.blobs, blobs(store_dir)) == (0, before)
    assert "since a writer appeared" in " ".join(done.skipped)


def test_a_writer_that_comes_and_goes_keeps_its_own(
    start: Start, store_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stores bytes that nothing named, after it was looked what is named and before they are out of the way."""
    with start(id="a") as run:
        FileWriter(run._writer).put(io.BytesIO(b"nobody"))  # type: ignore[arg-type]
    (store_dir / "n").write_bytes(b"nobody")
    real, calls = compaction.blobs_named, 0

    def naming(layout: Layout) -> set[str]:
        nonlocal calls
        found = real(layout)
        calls += 1
        if calls == 1:
            with start(id="b") as run:
                run.save(store_dir / "n", base_path=store_dir)
        return found

    monkeypatch.setattr(compaction, "blobs_named", naming)
    done = compaction.compact(Layout(store_dir), grace=0)
    assert (calls, done.blobs, done.blob_bytes) == (2, 0, 0)
    assert len(blobs(store_dir)) == 1
    assert maskl.open(store_dir).verify().clean


def test_what_is_not_finished_goes_in_time(store_dir: Path, start: Start) -> None:
    with start() as run:
        FileWriter(run._writer).put(io.BytesIO(b"x"))  # type: ignore[arg-type]
    left = store_dir / "blobs" / ".0123456789abcdef.77.tmp"
    left.write_text("half of a file")
    maskl.open(store_dir).compact()
    assert left.exists()
    maskl.open(store_dir).compact(grace=0)
    assert not left.exists()


def test_seals_of_files_stand_apart_and_hold_what_older_readers_know(start: Start, store_dir: Path) -> None:
    """Readers of 1.1 keep a seal that names a part which they know, and merge none of a newer version."""
    with start(id="r") as run:
        for number in range(20):
            run.log({"loss": number, "t": maskl.Table(["x"], [[number]])})
            artifact = maskl.Artifact("a", "data")
            with artifact.new_file("n") as file:
                file.write(str(number))
            run.log_artifact(artifact)
            (store_dir / "n").write_text(str(number))
            run.save(store_dir / "n", base_path=store_dir)
    maskl.open(store_dir).compact(grace=0)
    layout = Layout(store_dir)
    seals = live_seals(layout.files, {}, "r")
    of_files = [seal for seal in seals if any(part.kind in FILE_KINDS for part in seal.parts)]
    assert len(of_files) == 1
    for seal in seals:
        kinds = {part.kind for part in seal.parts}
        if seal in of_files:
            assert seal.version == "1.2.0"
            assert kinds == {"history", *FILE_KINDS}
            assert [part.rows for part in seal.parts if part.kind == "history"] == [0]
        else:
            assert not kinds & set(FILE_KINDS)
            assert seal.version == "1.1.0"
    store = maskl.open(store_dir)
    assert store.sql("SELECT count(*), max(version) FROM artifacts").fetchall() == [(20, 19)]
    assert store.sql("SELECT path, size FROM run_files").fetchall() == [("n", 2)]
    assert store.sql("SELECT count(*) FROM history").fetchall() == [(20,)]


def test_a_table_of_an_artifacts_name_is_found_in_its_schema(start: Start, store_dir: Path) -> None:
    with start() as run:
        run.log({"artifacts": maskl.Table(["x"], [[1]])})
    store = maskl.open(store_dir)
    assert store.sql("SELECT x FROM tables.artifacts").fetchall() == [(1,)]
    assert store.sql("FROM artifacts").fetchall() == []
