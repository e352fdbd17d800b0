"""Merging changes how many files there are, and nothing else."""

from __future__ import annotations

import json
import random
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from maskl_storage import Column, Layout, Rows, RunInfo, Store, Writer
from maskl_storage.disk.local import OpenFolder
from maskl_storage.format.seals import Seal
from maskl_storage.merge import rewrite as merge_module
from maskl_storage.merge.background import merge_writer
from maskl_storage.merge.rewrite import lanes, merge, mergeable, plan_merge
from maskl_storage.verify.verify import verify
from tests.storage.stores import everything, fill, png

#: a seed does not shrink to a simpler case
PHASES = (Phase.explicit, Phase.generate)
NUMBERS = (Column("value", "n", "int"),)


@pytest.fixture
def layout(store_dir: Path) -> Layout:
    return Layout.create(store_dir)


def take_after(layout: Layout) -> Any:
    """Return what hands out numbers that nothing has yet."""
    count = 10_000 + len(list(layout.root.rglob("*")))

    def take(numbers: int) -> int:
        nonlocal count
        count += numbers
        return count - numbers

    return take


def merge_all(layout: Layout, run_id: str) -> int:
    """Merge all that one seal can replace, and return how many seals are left."""
    take = take_after(layout)
    for lane in lanes(mergeable(layout, run_id)):
        if len(lane) > 1:
            merge(layout, lane, lane[0][0].writer, take)
    return len(mergeable(layout, run_id))


def numbers(*values: int, replace: bool = False) -> Rows:
    return Rows(NUMBERS, [(value,) for value in values], replace=replace)


def sealed(layout: Layout, count: int, **more: Any) -> Writer:
    writer = Writer(layout, RunInfo("r", "r"), merges=False, **more)
    for value in range(count):
        writer.write({"t": numbers(value)}, value // 5, {"loss": value})
        writer.seal()
    return writer


@pytest.mark.once
@settings(max_examples=3, phases=PHASES)
@given(seed=st.integers(0, 1 << 32))
def test_nothing_that_is_asked_changes(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    layout = Layout.create(tmp_path_factory.mktemp("m") / "maskl-store")
    fill(layout, seed, runs=1, seals=8)
    before = everything(layout.root)
    assert verify(layout).faults == []
    for run in layout.runs():
        merge_all(layout, run.run_id)
    after = everything(layout.root)
    assert after.keys() == before.keys()
    for question, told in before.items():
        assert after[question] == told, question
    assert verify(layout).faults == []
    # again, now that parts are merged ones, and with room for little in each
    rng = random.Random(seed)
    for run in layout.runs():
        found = mergeable(layout, run.run_id)
        for lane in lanes(found):
            merge(layout, lane, lane[0][0].writer, take_after(layout), part_bytes=rng.choice([1, 10_000]))
    assert everything(layout.root) == before


def test_a_merged_part_is_laid_out_as_its_writer_would_have(layout: Layout, store_dir: Path) -> None:
    def write(layout: Layout, each: int) -> None:
        rng = np.random.default_rng(0)
        from maskl_storage import ImageCell, count_mask, encode_mask, joint_cells
        from maskl_storage.format.metadata import ClassItem, ClassSet

        classes = ClassSet((ClassItem(0, "a"), ClassItem(1, "b")))
        writer = Writer(layout, RunInfo("r", "r"), merges=False)
        cells = []
        for _ in range(1100):
            masks, runs = {}, {}
            for key in ("ground_truth", "predictions"):
                data, runs[key], counts = encode_mask(rng.integers(0, 2, (4, 4)).astype(np.uint8))
                masks[key] = count_mask(data, runs[key], counts, classes, statistics=None)
            cells.append(
                (ImageCell(None, None, None, None, None, path="s3://x", masks=masks, joints=joint_cells(runs)),)
            )
        for start in range(0, 1100, each):
            writer.write({"t": Rows((Column("image", "image"),), cells[start : start + each])}, 0)
            writer.seal()
        writer.close()

    whole = Layout.create(store_dir.parent / "whole" / "maskl-store")
    write(whole, 1100)
    write(layout, 100)
    merge_all(layout, "r")
    for sealed in whole.listing().parts:
        expected = pq.ParquetFile(whole.root / sealed.part.path)
        (one,) = layout.listing().of(sealed.part.kind)
        got = pq.ParquetFile(layout.root / one.part.path)
        assert one.part.columns == sealed.part.columns
        assert got.schema_arrow.equals(expected.schema_arrow, check_metadata=True)
        mine, theirs = got.read(), expected.read()
        if "_timestamp" in mine.column_names:
            mine, theirs = mine.drop(["_timestamp"]), theirs.drop(["_timestamp"])
        assert mine.equals(theirs), sealed.part.kind
        assert got.metadata.num_row_groups == expected.metadata.num_row_groups
        for group in range(got.metadata.num_row_groups):
            for at in range(got.metadata.num_columns):
                a, b = got.metadata.row_group(group).column(at), expected.metadata.row_group(group).column(at)
                assert (a.compression, a.encodings, a.num_values) == (b.compression, b.encodings, b.num_values)


def test_merging_can_happen_while_rows_are_logged(layout: Layout) -> None:
    writer = Writer(layout, RunInfo("r", "r"), merges=False)
    stop = threading.Event()
    errors = []

    def go() -> None:
        try:
            while not stop.is_set():
                merge_writer(layout, "r", writer.number)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=go)
    thread.start()
    for value in range(40):
        writer.write({"t": numbers(value)}, value)
        writer.seal()
    stop.set()
    thread.join()
    assert errors == []
    merge_writer(layout, "r", writer.number, last=True)
    writer.close()
    assert [row["n"] for row in Store(layout.root).table("t")] == list(range(40))
    assert len(list(layout.root.rglob("*.parquet"))) == 1


@pytest.mark.parametrize("count", [7, 8, 64, 65])
def test_a_writer_merges_eight_of_a_level(layout: Layout, count: int) -> None:
    writer = Writer(layout, RunInfo("r", "r"), merges=False)
    for value in range(count):
        writer.write({"t": numbers(value)}, value)
        writer.seal()
        merge_writer(layout, "r", writer.number)
    levels = sorted(seal.level for seal, _ in mergeable(layout, "r"))
    assert levels == {7: [0] * 7, 8: [1], 64: [2], 65: [0, 2]}[count]
    # nobody reads, so what was replaced is gone
    assert len(list(layout.root.rglob("*.parquet"))) == len(levels)
    assert [row["n"] for row in Store(layout.root).table("t")] == list(range(count))


def test_what_others_may_read_stays_for_a_while(layout: Layout) -> None:
    writer = sealed(layout, 9)
    store = Store(layout.root)
    relation = store.sql("SELECT n FROM t ORDER BY n")  # not run yet
    table = store.table("t")
    made = merge_writer(layout, "r", writer.number)
    assert [seal.level for seal in made] == [1]
    assert relation.fetchall() == [(value,) for value in range(9)]
    assert [row["n"] for row in table] == list(range(9))
    assert len(list(layout.root.glob("rows/*/*/*.parquet"))) == 10
    merge_writer(layout, "r", writer.number, grace=0)
    assert len(list(layout.root.glob("rows/*/*/*.parquet"))) == 1


def test_a_mutable_table_leaves_its_last_version(layout: Layout) -> None:
    writer = Writer(layout, RunInfo("r", "r"), merges=False)
    for value in range(40):
        writer.add_image(png(value))
        writer.write({"m": numbers(value, replace=True), "u": numbers(value)}, value)
        writer.seal()
        merge_writer(layout, "r", writer.number)
    merge_writer(layout, "r", writer.number, last=True)
    writer.close()
    store = Store(layout.root)
    assert [row["n"] for row in store.table("m")] == [39]
    assert [row["n"] for row in store.table("u")] == list(range(40))
    assert len(list(layout.root.rglob("*.parquet"))) == 4  # images of both seals
    assert verify(layout).faults == []


def test_an_error_leaves_what_was(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = sealed(layout, 8)
    writer.close()
    before = {path: path.read_bytes() for path in layout.root.rglob("*") if path.is_file()}

    def full(*_: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(merge_module, "write_seal", full)
    with pytest.raises(OSError, match="no space"):
        merge_all(layout, "r")
    assert {path: path.read_bytes() for path in layout.root.rglob("*") if path.is_file()} == before


def test_large_parts_stand_and_merged_ones_stay_bounded(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge_module, "STANDS_BYTES", 3000)
    writer = Writer(layout, RunInfo("r", "r"), merges=False)
    for value in range(8):
        many = 2000 if value == 3 else 10
        writer.write({"t": numbers(*range(many))}, value)
        writer.seal()
    writer.close()
    large = max(layout.listing().parts, key=lambda sealed: sealed.part.bytes).part
    merge_all(layout, "r")
    parts = [sealed.part for sealed in layout.listing().of("rows")]
    assert large in parts
    assert [part.rows for part in parts] == [30, 2000, 40]
    assert len(Store(layout.root).table("t")) == 2070


def test_parts_whose_columns_cannot_be_one_stay_apart(layout: Layout) -> None:
    writer = Writer(layout, RunInfo("r", "r"), merges=False)
    for value in (1, 0.5, 2, 1.5):
        kind = "int" if isinstance(value, int) else "float"
        writer.write({"t": Rows((Column("value", "n", kind),), [(value,)])}, 0)
        writer.seal()
    writer.close()
    merge_all(layout, "r")
    assert [sealed.part.rows for sealed in layout.listing().of("rows")] == [2, 2]
    values = [row["n"] for row in Store(layout.root).table("t")]
    assert values == [1, 0.5, 2, 1.5]
    assert [type(value) for value in values] == [int, float, int, float]


def test_seals_of_a_newer_version_are_left_alone(layout: Layout) -> None:
    writer = sealed(layout, 3)
    writer.close()
    for path in layout.root.glob("seals/*/*.json"):
        body = json.loads(path.read_text())
        del body["blake3"]
        path.write_text(json.dumps(body | {"version": "1.99.0", "new": 1}))
    assert lanes(mergeable(layout, "r")) == []


def test_a_plan_takes_neighbours_of_one_level() -> None:
    def counted(level: int, number: int) -> Any:
        return Seal("r", 0, number, (), level=level, first=(0, number)), ()

    levels = [2, *[1] * 7, *[0] * 8]
    plan = plan_merge([counted(level, number) for number, level in enumerate(levels)])
    assert plan is not None
    assert [seal.seal for seal, _ in plan] == list(range(8, 16))
    assert plan_merge([counted(level, number) for number, level in enumerate(levels[:-1])]) is None


def test_a_seal_that_goes_while_seals_are_listed_is_not_missed(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed(layout, 3).close()
    real = OpenFolder.read
    merged: list[int] = []

    def reading(folder: OpenFolder, name: str, *more: Any) -> bytes:
        if name == "0-1.json" and not merged:  # others merge, and remove at once, while this one reads
            merged.append(0)
            merged[0] = merge_all(Layout(layout.root), "r")
            for number in range(3):
                (layout.root / "seals" / "run_id=r" / f"0-{number}.json").unlink()
        return real(folder, name, *more)

    monkeypatch.setattr(OpenFolder, "read", reading)
    assert sum(part.part.rows for part in Layout(layout.root).listing().of("rows")) == 3
    assert merged == [1]
