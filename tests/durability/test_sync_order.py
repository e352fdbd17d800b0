"""With ``durability="fsync"`` everything is on the disk before what builds on it: traced where files are written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import maskl
from maskl_storage.disk.atomic import AppendFile
from maskl_storage.disk.local import OpenFolder

Trace = list[tuple[str, str]]


@pytest.fixture
def trace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Trace:
    """Return what is synced, renamed, written and removed, in order, by its name below the store."""
    done: Trace = []

    def name(path: str | os.PathLike[str]) -> str:
        found = str(path)
        return found.removeprefix(str(tmp_path / "maskl-store")).lstrip("/").replace("/run_id=r", "") or "."

    def note(what: str, call: Callable[..., object], path_of: Callable[..., str]) -> Callable[..., object]:
        def noted(*args: object, **kwargs: object) -> object:
            done.append((what, name(path_of(*args))))
            return call(*args, **kwargs)

        return noted

    monkeypatch.setattr(os, "fsync", note("sync", os.fsync, lambda fd: os.readlink(f"/proc/self/fd/{fd}")))
    monkeypatch.setattr(
        OpenFolder,
        "rename",
        note("rename", OpenFolder.rename, lambda _folder, _name, into, target: into.path_of(target)),
    )
    monkeypatch.setattr(AppendFile, "write", note("append", AppendFile.write, lambda file, *_: file.path))
    monkeypatch.setattr(
        OpenFolder, "remove", note("remove", OpenFolder.remove, lambda folder, name: folder.path_of(name))
    )
    return done


def image(number: int) -> maskl.Image:
    masks = {key: {"mask_data": np.full((3, 4), number, np.uint8)} for key in ("ground_truth", "predictions")}
    return maskl.Image(np.full((3, 4, 3), number, np.uint8), masks=masks)


pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the names of open files are not known here")


def test_a_call_returns_when_its_file_and_its_folder_are_synced(trace: Trace, tmp_path: Path) -> None:
    run = maskl.init(dir=tmp_path, id="r", durability="fsync")
    trace.clear()
    run.log({"t": image(1), "n": 1})
    appended = [index for index, step in enumerate(trace) if step == ("append", "wal/0-0.wal")]
    call = appended[0]  # the image and the call; what the summary came to is noted after it
    assert ("sync", "wal/0-0.wal") in trace[call:]
    assert ("sync", "wal") in trace[:call]
    trace.clear()
    run.log({"t": image(2), "n": 2})
    assert trace[:2] == [("append", "wal/0-0.wal"), ("sync", "wal/0-0.wal")]


def test_parts_are_synced_before_the_seal_and_the_seal_before_the_file_goes(trace: Trace, tmp_path: Path) -> None:
    run = maskl.init(dir=tmp_path, id="r", durability="fsync")
    run.log({"t": image(1), "n": 1})
    trace.clear()
    run._writer.seal()
    renamed = [path for what, path in trace if what == "rename"]
    parts = [path for path in renamed if path.endswith(".parquet")]
    kinds = {path.split("/")[0] for path in parts}
    assert {"rows", "images", "class_pixels", "confusion", "history"} <= kinds
    seal = trace.index(("rename", "seals/0-0.json"))
    for path in [*parts, "seals/0-0.json"]:
        at = trace.index(("rename", path))
        folder, temporary = path.rpartition("/")[0], trace[at - 1]
        assert (temporary[0], temporary[1].rpartition("/")[0]) == ("sync", folder)  # the file before its name
        assert temporary[1].endswith(".tmp")
        assert trace[at + 1] == ("sync", folder)  # the name in its folder
        assert at + 1 < seal or path == "seals/0-0.json"
    assert trace.index(("remove", "wal/0-0.wal")) > seal + 1


def test_a_new_folder_is_synced_in_the_one_above(trace: Trace, tmp_path: Path) -> None:
    run = maskl.init(dir=tmp_path, id="r", durability="fsync")
    run.log({"t": image(1), "n": 1})
    run._writer.seal()
    synced = {path for what, path in trace if what == "sync"}
    assert {".", "seals", "rows", "rows/table_name=t", "images", "history", "runs", "wal"} <= synced


def test_nothing_waits_for_the_disk_otherwise(trace: Trace, tmp_path: Path) -> None:
    with maskl.init(dir=tmp_path, id="r") as run:
        run.log({"t": image(1), "n": 1})
    assert not [step for step in trace if step[0] == "sync"]
