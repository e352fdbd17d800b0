"""A table of more rows than memory should hold is the same table, and nothing of it is left on the disk."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maskl
from maskl.tables import _spool as spool
from maskl.tables._rows import Content
from tests.conftest import HANGS


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep next to nothing in memory."""
    monkeypatch.setattr(spool, "MEMORY_BYTES", 2000)
    monkeypatch.setattr(spool, "BLOCK_BYTES", 700)
    monkeypatch.setattr("maskl.tables._rows.KEPT_PIXELS", 200)


def picture(number: int) -> maskl.Image:
    pixels = np.full((8, 9, 3), number % 256, np.uint8)
    mask = (np.arange(72).reshape(8, 9) % (2 + number % 3)).astype(np.uint8)
    return maskl.Image(pixels, caption=f"그림 {number}", masks={"predictions": {"mask_data": mask}})


def rows(count: int) -> list[list[Any]]:
    return [[n, picture(n) if n % 5 else None, f"이름 {n}", [n, None], n / 2 if n % 3 else None] for n in range(count)]


def table(count: int = 60) -> maskl.Table:
    return maskl.Table(["id", "image", "name", "list", "x"], rows(count))


def test_it_is_the_same_table(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    made = table()
    assert made.content.rows.spooled
    monkeypatch.undo()
    whole = table()
    assert not whole.content.rows.spooled
    assert made == whole
    assert len(made) == len(made.data) == 60
    assert made.data == whole.data
    assert made.data[-1] == whole.data[-1]
    assert made.data[10:20:3] == whole.data[10:20:3]
    assert made.get_column("image") == whole.get_column("image")
    assert made.row(7) == whole.row(7)
    assert [row for _, row in made.iterrows()] == whole.data
    assert made.get_column("x", convert_to="numpy").tolist()[1:3] == [0.5, 1.0]


def test_columns_may_change_when_rows_are_in_a_file(small: None) -> None:
    made = table()
    made.add_column("more", list(range(60)))
    made.add_computed_columns(lambda index, row: {"twice": row["id"] * 2})
    made.add_data(0.5, None, "z", None, None, 1, 2)
    assert made.get_column("id")[:3] == [0.0, 1.0, 2.0]
    assert isinstance(made.get_column("id")[0], float)
    assert made.get_column("twice")[59] == 118
    assert len(made) == 61


def test_it_is_logged_whole(small: None, start: Callable[..., maskl.Run], store_dir: Path) -> None:
    run = start()
    made = table()
    run.log({"t": made})
    made = maskl.Table(["n"], [[n] for n in range(500)], log_mode="INCREMENTAL")
    run.log({"n": made})
    for n in range(500, 900):
        made.add_data(n)
    run.log({"n": made})
    run.finish()
    store = maskl.open(store_dir)
    stored = store.table("t")
    assert [dict(row) for row in stored] == [dict(zip(made_row_names(), row, strict=True)) for row in table().data]
    assert [row["n"] for row in store.table("n")] == list(range(900))


def made_row_names() -> list[str]:
    return ["id", "image", "name", "list", "x"]


def test_images_that_no_run_took_move_to_the_file(small: None, start: Callable[..., maskl.Run]) -> None:
    made = table()
    kept = [image for image in made.content.images.values() if not image.released]
    assert len(kept) <= 4
    run = start()
    run.log({"t": made})
    assert all(image.released for image in made.content.images.values())


def test_nothing_is_left(small: None, start: Callable[..., maskl.Run], store_dir: Path) -> None:
    run = start()
    made = table()
    run.log({"t": made})
    assert list((store_dir / "spool").iterdir()) == []


def test_memory_holds_a_bounded_number_of_rows(small: None) -> None:
    content = Content(["n"], table(0).content.rules[:1])
    for n in range(5000):
        content.add([n])
    assert len(content.rows._tail) < 100
    assert content.rows.bytes_from(0) > 5000


FORKED = """
import os, sys, maskl
from maskl.tables import _spool as spool

spool.MEMORY_BYTES, spool.BLOCK_BYTES = 2000, 700

def grow(table):
    for number in range(100, 200):
        table.add_data(number, "x" * number)
    return list(table.data) == [[number, "x" * number] for number in range(200)]

table = maskl.Table(["id", "text"], [[number, "x" * number] for number in range(100)])
assert table.content.rows.spooled
with table.content.spool._lock:  # as another thread may hold it at the moment of the fork
    pid = os.fork()
    if pid == 0:
        os._exit(0 if grow(table) else 1)
assert os.waitpid(pid, 0)[1] == 0
assert grow(table)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_writes_to_a_file_of_its_own() -> None:
    subprocess.run([sys.executable, "-c", FORKED], check=True, timeout=HANGS)
