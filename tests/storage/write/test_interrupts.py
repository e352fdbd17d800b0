"""A call of log() that is interrupted costs nothing that was acknowledged, whether the program ends or goes on."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest

import maskl
from maskl_storage import Column, Layout, Rows, RunInfo, Store, Writer
from maskl_storage.errors import MasklError
from maskl_storage.upkeep.recovery import recover
from maskl_storage.write.wal import Mark, WalFile
from tests.storage.stores import png

pytestmark = pytest.mark.once

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


@pytest.mark.parametrize("mode", ["IMMUTABLE", "INCREMENTAL", "MUTABLE"])
@pytest.mark.parametrize("seam", ["before", "after"])
def test_a_table_knows_what_an_interrupted_call_stored_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, seam: str
) -> None:
    """Logged again at the same step, as who was interrupted does, each row is stored once."""
    run = maskl.init(dir=tmp_path)
    table = maskl.Table(["n"], [[0], [1]], log_mode=mode)
    real = Writer.write

    def write(*arguments: object) -> None:
        if seam == "after":
            real(*arguments)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "write", write)
        with pytest.raises(KeyboardInterrupt):
            run.log({"t": table, "loss": 1.0}, step=3)
    if mode != "IMMUTABLE":
        table.add_data(2)
    run.log({"t": table, "loss": 2.0}, step=3)
    run.finish()
    store = maskl.open(tmp_path)
    assert [row["n"] for row in store.table("t")] == ([0, 1] if mode == "IMMUTABLE" else [0, 1, 2])
    assert store.sql("SELECT value FROM history ORDER BY _row").fetchall() == [(1.0,), (2.0,)][seam == "before" :]
    assert store.run(run.id).summary["loss"] == 2.0


def test_an_interrupted_end_can_be_called_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = maskl.init(dir=tmp_path)
    run.log({"loss": 1.0})
    with monkeypatch.context() as patch:
        patch.setattr(Writer, "close", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            maskl.finish()
    assert maskl.run is run
    run.log({"loss": 2.0})
    maskl.finish()
    assert maskl.run is None
    assert maskl.open(tmp_path).run(run.id).state == "finished"


@pytest.mark.parametrize("raised", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("counted", [False, True])
def test_tables_that_come_after_a_commit_that_was_given_up_are_recovered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: type[BaseException], counted: bool
) -> None:
    """Also from files in which the record of that commit counts, as writers before left them."""
    layout = Layout.create(tmp_path / "maskl-store")
    writer = Writer(layout, RunInfo("r", "run"))
    real = writer._journal.commit

    def commit(mark: Mark, seal: int, generations: dict[str, int]) -> None:
        real(mark, seal, generations)
        if counted:
            writer._state = replace(writer._state, mark=Mark(writer._journal._file._reached, mark.records + 1))  # type: ignore[union-attr]

    monkeypatch.setattr(writer._journal, "commit", commit)
    writer.write({"a": Rows(COLUMNS, [(0, "")])}, 0, {"n": 0.0})
    with monkeypatch.context() as patch:
        patch.setattr(writer._committer, "write_parts", Mock(side_effect=raised))
        with pytest.raises(raised):
            writer.seal()
    writer.write({"b": Rows(COLUMNS, [(1, "")]), "a": Rows(COLUMNS, [(1, "")])}, 1, {"n": 1.0})
    writer.abandon()
    assert [left.problem for left in recover(layout)] == [None]
    store = Store(layout.root)
    assert [[row["n"] for row in store.table(name)] for name in "ab"] == [[0, 1], [1]]
    assert store.sql("SELECT value FROM history ORDER BY _row").fetchall() == [(0.0,), (1.0,)]
    assert store.verify().clean


def test_a_call_after_an_interrupt_between_closing_a_file_and_forgetting_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout.create(tmp_path / "maskl-store")
    writer = Writer(layout, RunInfo("r", "run"))
    writer.write({"a": Rows(COLUMNS, [(0, "")])}, 0, {})
    with monkeypatch.context() as patch:
        real = WalFile.remove

        def remove(file: WalFile) -> None:
            real(file)
            raise KeyboardInterrupt

        patch.setattr(WalFile, "remove", remove)
        with pytest.raises(KeyboardInterrupt):
            writer.seal()
    writer.write({"a": Rows(COLUMNS, [(1, "")])}, 1, {})
    writer.close()
    assert [row["n"] for row in Store(layout.root).table("a")] == [0, 1]
