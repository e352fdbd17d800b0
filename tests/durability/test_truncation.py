"""A write-ahead file that was cut off anywhere: recovery gives back all whole calls before it, and no part of one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import maskl
from maskl_storage import Layout
from maskl_storage.disk.local import Folder
from maskl_storage.upkeep.recovery import recover
from maskl_storage.write.wal import HEAD, read_wal
from tests.durability.children import start

CALLS = 20
#: whether the file is cut at every byte, or around the end of every record and at some bytes between
EVERY = "MASKL_DURABILITY_RUNS" in os.environ


def log_twenty(root: Path) -> None:
    """Make 20 calls of every sort, and end without sealing any of it."""
    run = maskl.init(dir=root, id="r")
    changing = maskl.Table(["n"], log_mode="MUTABLE")
    for number in range(CALLS):
        if number % 4 == 0:
            run.log({"loss": number, "note": f"단계 {number}"})
        elif number % 4 == 1:
            mask = np.full((3, 4), number, np.uint8)
            masks = {"ground_truth": {"mask_data": mask, "class_labels": {number: "sky"}}}
            run.log({"seen": maskl.Image(np.full((3, 4, 3), number // 8, np.uint8), masks=masks)})
        elif number % 4 == 2:
            changing.add_data(number)
            run.log({"changing": changing, "loss": number})
        else:
            run.log({"t": maskl.Table(["n"], [[number], [number + 0.5]])})


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store whose only process ended without a word."""
    root = tmp_path_factory.mktemp("cut") / "maskl-store"
    process = start(log_twenty, root)
    process.join()
    assert process.exitcode == 0
    assert [path.name for path in root.glob("wal/*/*.wal")] == ["0-0.wal"]
    return root


def ends(path: Path) -> list[tuple[int, str]]:
    """Return where each record ends, and what it is."""
    found, end = [], 0
    whole = path.read_bytes()
    for value, _ in read_wal(Folder(path.parent), path.name):
        _, value_size, data_size, _ = HEAD.unpack(whole[end : end + HEAD.size])
        end += HEAD.size + value_size + data_size
        found.append((end, value[0]))
    assert end == len(whole)
    return found


def stored(root: Path) -> dict[str, list[dict[str, Any]]]:
    """Return every row of every kind, statistics too, by where its parts lie."""
    found: dict[str, list[dict[str, Any]]] = {}
    for sealed in Layout(root).listing().parts:
        rows = pq.ParquetFile(root / sealed.part.path).read().to_pylist()
        found.setdefault(str(Path(sealed.part.path).parent.parent), []).extend(rows)
    return found


def expected(kept: int) -> dict[str, Any]:
    """Return what a store holds after so many of the calls."""
    kinds = [number % 4 for number in range(kept)]
    changing = [number for number in range(kept) if number % 4 == 2]
    return {
        "history": [
            (number, key) for number in range(kept) for key in {0: ("loss", "note"), 2: ("loss",)}.get(number % 4, ())
        ],
        "rows/table_name=seen": [number for number in range(kept) if number % 4 == 1],
        "rows/table_name=changing": changing and [changing[-1]] * len(changing),  # all of it at its last step
        "rows/table_name=t": [number for number in range(kept) if number % 4 == 3 for _ in range(2)],
        "class_pixels/table_name=seen": kinds.count(1),
    }


def test_a_write_ahead_file_cut_off_anywhere_gives_back_whole_calls(killed: Path, tmp_path: Path) -> None:
    (path,) = killed.glob("wal/*/*.wal")
    whole, places = path.read_bytes(), ends(path)
    starts = [0, *(end for end, _ in places)]
    done: dict[int, Any] = {}
    for size in range(len(whole) + 1):
        near = any(end - 1 <= size <= end for end in starts)
        if not (EVERY or near or size % 499 == 0):
            continue
        kept = sum(kind == "call" and end <= size for end, kind in places)
        root = tmp_path / "maskl-store"
        shutil.copytree(killed, root)
        (copy,) = root.glob("wal/*/*.wal")
        os.truncate(copy, size)
        (left,) = recover(Layout(root))
        assert (left.problem, left.killed) == (None, True)
        assert left.torn == size - max(end for end in starts if end <= size)
        found = stored(root)
        images = {row["digest"] for row in found.pop("images", [])}
        assert {row["image"]["digest"] for row in found.get("rows/table_name=seen", [])} <= images
        assert found == done.setdefault(kept, found)  # at most the image of a call that was cut off
        assert recover(Layout(root)) == []
        shutil.rmtree(root)
    assert sorted(done) == list(range(CALLS + 1))
    for kept, found in done.items():
        wanted = expected(kept)
        assert [(row["_step"], row["key"]) for row in found.pop("history", [])] == wanted.pop("history")
        pixels = [row for row in found.pop("class_pixels/table_name=seen", []) if row["pixels"]]
        assert [(row["class_id"], row["pixels"]) for row in pixels] == [
            (step, 12) for step in wanted["rows/table_name=seen"]
        ]
        assert wanted.pop("class_pixels/table_name=seen") == len(pixels)
        for name, steps in wanted.items():
            assert [row["_step"] for row in found.get(name, [])] == steps
        values = [row["n"] for row in found.get("rows/table_name=changing", [])]
        assert values == [number for number in range(kept) if number % 4 == 2]
