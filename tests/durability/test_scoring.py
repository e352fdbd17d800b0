"""Processes killed while they score: each row is scored once in the end, and the store is whole at any time."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import numpy as np

import maskl
from maskl.scoring import score as scoring
from maskl_storage import Layout
from maskl_storage.upkeep.compact import compact
from maskl_storage.verify.verify import verify
from tests.durability.children import Trap, start

SEED = os.environ.get("MASKL_DURABILITY_SEED", "0")
#: how many processes are killed, ten a store
KILLS = max(10, int(os.environ.get("MASKL_DURABILITY_RUNS", "30")) // 10)
ROWS = 60


def number_of(truth: Any, prediction: Any, row: Any) -> dict[str, float]:
    return {"n": row["n"], "wrong": int((truth.class_data != prediction.class_data).sum())}


def score_on(root: Path, trap: Trap, again: bool) -> None:
    """Score all rows, and keep what was computed every few of them."""
    scoring.COMMIT_ROWS, scoring.BATCH = 7, 3  # type: ignore[misc]  # in a process that is about to end
    store = maskl.open(root)
    trap.set(root)
    store.score("t", ["panoptic", number_of], again=again)


def found_in(root: Path) -> dict[int, tuple[float, float]]:
    """Return the numbers of each row that is scored; each is there once."""
    query = "SELECT _row, name, value FROM pixel_scores WHERE metric = 'number_of' ORDER BY ALL"
    rows = maskl.open(root).sql(query).fetchall()
    assert len({(row, name) for row, name, _ in rows}) == len(rows)
    values = {(row, name): value for row, name, value in rows}
    return {row: (values[row, "n"], values[row, "wrong"]) for row, _, _ in rows}


def test_killed_processes_leave_each_row_scored_once(tmp_path: Path) -> None:
    print(f"MASKL_DURABILITY_SEED={SEED}")
    chance = random.Random(f"{SEED}-scoring")
    died = 0
    for number in range(-(-KILLS // 10)):
        root = tmp_path / str(number) / "maskl-store"
        with maskl.init(dir=root, id="r") as run:
            table = maskl.Table(["image", "n"])
            for row in range(ROWS):
                mask = np.random.default_rng(row).integers(0, 4, (6, 7))
                masks = {"ground_truth": {"mask_data": mask}, "predictions": {"mask_data": mask[::-1].copy()}}
                table.add_data(maskl.Image(np.zeros((6, 7), np.uint8), masks=masks), row)
            run.log({"t": table})
        expected = {row.row: row["n"] for row in maskl.open(root).table("t")}
        known: set[int] = set()
        for _ in range(10):
            again = chance.random() < 0.2
            process = start(
                score_on,
                root,
                Trap(chance.choice([chance.randrange(1, 40), chance.randrange(1, 200)]), chance.random()),
                again,
            )
            process.join()
            died += process.exitcode == -9
            now = found_in(root)
            assert known <= now.keys()  # what was kept stays
            known = set(now)
            assert {row: n for row, (n, _) in now.items()} == {row: expected[row] for row in now}
            if chance.random() < 0.3:
                compact(Layout(root), grace=0)
            assert verify(Layout(root)).faults == []
        done = maskl.open(root).score("t", ["panoptic", number_of])
        assert done.rows + done.known == ROWS
        assert set(found_in(root)) == set(expected)
        compact(Layout(root), grace=0)
        assert set(found_in(root)) == set(expected)
        assert verify(Layout(root)).faults == []
    assert died
    print(f"{died} processes died")
