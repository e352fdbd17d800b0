"""What a run holds already, read from parts of which a byte was changed."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

import maskl
from maskl_storage.catalog import history
from maskl_storage.catalog.layout import Layout
from maskl_storage.disk.mapped import Maps, open_parquet
from maskl_storage.errors import CorruptData

pytestmark = pytest.mark.once


def test_a_part_that_is_no_parquet_file_any_more_is_called_damaged(tmp_path: Path) -> None:
    with maskl.init(dir=tmp_path, id="a", settings={"silent": True}) as run:
        for step in range(3):
            run.log({"loss": step / 2, "note": "단계"})
    layout = Layout(tmp_path / "maskl-store")
    (part,) = layout.listing().of("history", run_id="a")
    path = layout.root / part.part.path
    whole, refused = path.read_bytes(), 0
    maps = Maps(layout.files)
    for place in range(0, len(whole), 7):
        for value in (0, 0xFF, whole[place] ^ 0x1F):
            path.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
            try:
                history.last_step(layout.files, layout.listing(), "a")
                list(history.scalars(layout.files, layout.listing(), "a"))
            except CorruptData:
                refused += 1
            with contextlib.suppress(CorruptData), open_parquet(maps.open(part.part.path, len(whole))) as file:
                file.read()
    assert refused > 50
