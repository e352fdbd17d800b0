"""What is computed from is what was sealed: parts are read against their hashes before SQL or a merge reads them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import maskl
from maskl.errors import CorruptData, InvalidValue
from maskl_storage.catalog.layout import Layout
from maskl_storage.disk import hashes
from maskl_storage.format.paths import KINDS
from maskl_storage.query.views import UNCHECKED
from tests.conftest import files_of
from tests.storage import stores

#: a query of each kind of part that is computed from; a macro reads totals
QUERIES = {
    "class_pixels": "SELECT sum(pixels) FROM class_pixels",
    "class_totals": "FROM class_coverage('t')",
    "confusion": "SELECT sum(pixels) FROM confusion",
    "confusion_totals": "FROM confusion_matrix('t')",
    "scores": "SELECT avg(mean_iou) FROM scores",
    "class_scores": "SELECT sum(tp) FROM class_scores",
    "pixel_scores": "FROM boundary_iou('t')",
    "history": "SELECT avg(value) FROM history",
    "artifacts": "FROM artifacts",
    "artifact_files": "FROM artifact_files",
    "run_files": "FROM run_files",
}


def fill(folder: Path, runs: int = 1) -> Path:
    """Write a store with a part of each kind, and return its directory."""
    masks = {key: {"mask_data": np.array([[0, 1]]), "class_labels": {0: "sky", 1: "road"}} for key in ("m", "n")}
    masks |= {"ground_truth": masks["m"], "predictions": masks["n"]}
    for number in range(runs):
        with maskl.init(dir=folder, id=f"r{number}") as run:
            for step in range(2):
                image = maskl.Image(np.full((1, 2), number, np.uint8), masks=masks)
                run.log({"t": maskl.Table(["image", "n"], [[image, step]]), "loss": 0.5})
                maskl.open(folder).refresh()  # a seal of its own, so that there is something to merge
            Path(run.dir, "kept.txt").write_text("x")
            artifact = maskl.Artifact("a", "dataset")
            Path("file.txt").write_text("y")
            artifact.add_file("file.txt")
            run.log_artifact(artifact)
    maskl.open(folder).score("t", "boundary")
    return folder / "maskl-store"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("hashes")
    before = Path.cwd()
    os.chdir(place)
    try:
        return fill(place)
    finally:
        os.chdir(before)


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    """A copy of the store that may be damaged."""
    for name, data in files_of(template).items():
        path = tmp_path / "maskl-store" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "maskl-store"


def flip(root: Path, kind: str) -> Path:
    """Flip a bit in the middle of a part, as a disk may do: no time of the file changes."""
    parts = sorted((root / kind).rglob("*.parquet"))
    path = next((path for path in parts if path.parents[1].name == "table_name=t"), parts[0])
    data, stat = bytearray(path.read_bytes()), path.stat()
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    return path


def test_every_kind_is_asked_for_or_left_out_on_purpose() -> None:
    assert {*QUERIES, *UNCHECKED} == set(KINDS)


@pytest.mark.parametrize("kind", QUERIES)
def test_a_flipped_bit_is_an_error_of_the_queries_that_read_it(root: Path, kind: str) -> None:
    path = flip(root, kind)
    hashes.forget()  # as another process, which has not read it
    with pytest.raises(CorruptData, match=r"its BLAKE3 is not the one in its seal.*`maskl verify`") as raised:
        maskl.open(root).sql(QUERIES[kind])
    assert str(path) in str(raised.value)
    if kind == "history":
        with pytest.raises(CorruptData, match="its BLAKE3") as limited:
            maskl.open(root).sql(QUERIES[kind], memory_limit="500MB")
        assert str(limited.value) == str(raised.value)
    else:  # what a query does not read is not checked
        assert maskl.open(root).sql(QUERIES["history"]).fetchall() == [(0.5,)]


def test_what_has_another_length_is_no_part_either(root: Path) -> None:
    path = next((root / "history").rglob("*.parquet"))
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(CorruptData, match="and its seal says"):
        maskl.open(root).sql("FROM history")


def test_a_file_is_read_once_and_again_when_it_changed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes.forget()
    read: list[str] = []
    plain = hashes._hash
    monkeypatch.setattr(hashes, "_hash", lambda folder, name, size: read.append(name) or plain(folder, name, size))
    query = QUERIES["scores"]
    maskl.open(root).sql(query)
    count = len(read)
    assert count >= len(list((root / "scores").rglob("*.parquet")))
    maskl.open(root).sql(query)
    assert len(read) == count
    path = next((root / "scores").rglob("*.parquet"))
    path.write_bytes(path.read_bytes())
    maskl.open(root).sql(query)
    assert len(read) == count + 1


@pytest.fixture
def damaged(root: Path) -> Path:
    flip(root, "history")
    hashes.forget()
    return root


def by_setting(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maskl.init(dir=root, id="other", settings={"check_hashes": False}).finish()


def by_variable(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(hashes.VARIABLE, "0")


@pytest.mark.parametrize("off", [by_setting, by_variable])
def test_it_can_be_turned_off(
    damaged: Path, monkeypatch: pytest.MonkeyPatch, off: Callable[[Path, pytest.MonkeyPatch], None]
) -> None:
    off(damaged, monkeypatch)
    try:
        assert not hashes.checks_hashes()
        maskl.open(damaged).sql("SELECT count(*) FROM history").fetchall()
        maskl.open(damaged).sql("SELECT count(*) FROM history", memory_limit="500MB").fetchall()
    finally:
        hashes.set_check_hashes(None)


def test_a_setting_is_a_switch(damaged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(hashes.VARIABLE, "maybe")
    with pytest.raises(InvalidValue, match=f"{hashes.VARIABLE} must be true or false"):
        maskl.open(damaged).sql("FROM history")


@pytest.mark.once
@pytest.mark.parametrize("kind", ["history", "rows"])
def test_what_is_damaged_is_not_sealed_anew(store_dir: Path, kind: str) -> None:
    stores.fill(Layout.create(store_dir), 1, runs=1)
    flip(store_dir, kind)
    hashes.forget()
    before = files_of(store_dir)
    faults = maskl.open(store_dir).verify().faults
    done = maskl.open(store_dir).compact(grace=0)
    assert [one for one in done.skipped if "stays as it is" in one and "its BLAKE3" in one]
    assert maskl.open(store_dir).verify().faults == faults != []
    assert {name for name in before if name.startswith(kind)} <= files_of(store_dir).keys()
