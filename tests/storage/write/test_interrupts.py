"""A call of log() that is interrupted costs nothing that was acknowledged, whether the program ends or goes on."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from maskl_storage import Column, Layout, Rows, RunInfo, Store, Writer
from maskl_storage.errors import MasklError
from maskl_storage.upkeep.recovery import recover
from tests.storage.stores import png

COLUMNS = (Column("value", "n", "int"), Column("value", "text", "string"))


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit, MemoryError, OSError])
@pytest.mark.parametrize("seed", range(5))
def test_rows_of_calls_that_returned_are_recovered_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: type[BaseException], seed: int
) -> None:
    layout = Layout.create(tmp_path / "maskl-store")
    writer = Writer(layout, RunInfo("r", "run"))
    chance, real = random.Random(seed), os.write
    left = -1  # writes until one is interrupted

    def write(descriptor: int, data: bytes) -> int:
        nonlocal left
        left -= 1
        if left == 0:
            real(descriptor, bytes(data)[: chance.randrange(len(data) + 1)])
            raise raised
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    kept = []
    for number in range(99):
        left = chance.randrange(16)
        try:
            writer.add_image(png(number))
            writer.write({"표": Rows(COLUMNS, [(number, "글" * (number % 7))])}, number, {"loss": number / 2})
        except (raised, MasklError):
            continue
        else:
            kept.append(number)
        finally:
            left = -1
    assert 9 < len(kept) < 90
    writer.abandon()  # as a kill does: nothing is sealed, and the write-ahead file stays
    found = recover(layout)
    assert [left.problem for left in found] == [None]
    rows = Store(layout.root).table("표")
    assert [row["n"] for row in rows] == kept
    assert len({row.row for row in rows}) == len(kept)
    assert Store(layout.root).verify().clean
