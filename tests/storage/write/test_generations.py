"""A commit is whole: what a call writes is there together, and a higher generation hides all that was before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from maskl_storage import Column, ImageCell, Layout, Rows, RunInfo, Store, Writer, count_mask, encode_mask, joint_cells
from maskl_storage.format.metadata import ClassItem, ClassSet
from maskl_storage.format.schemas import FIXED, TOTALS
from maskl_storage.verify.verify import verify
from maskl_storage.write import commit as commit_module

NUMBERS = (Column("value", "n", "int"),)
IMAGES = (Column("image", "image"),)


@pytest.fixture
def layout(store_dir: Path) -> Layout:
    return Layout.create(store_dir)


def writer_of(layout: Layout, run: str = "r", **more: Any) -> Writer:
    return Writer(layout, RunInfo(run, run), merges=False, **more)


def numbers(*values: int, replace: bool = False) -> Rows:
    return Rows(NUMBERS, [(value,) for value in values], replace=replace)


def masked(ids: list[int], names: str = "ab") -> tuple[ImageCell]:
    """Return a row of a reference with two masks, the second of them all zeros."""
    classes = ClassSet(ClassItem(number, name) for number, name in enumerate(names))
    encoded = {key: encode_mask(np.array([mask], np.uint8)) for key, mask in (("p", [0] * len(ids)), ("t", ids))}
    masks = {key: count_mask(*found, classes, statistics=None) for key, found in encoded.items()}
    joints = joint_cells({key: runs for key, (_, runs, _) in encoded.items()})
    return (ImageCell(None, None, None, None, None, path="s3://x", masks=masks, joints=joints),)


def values(layout: Layout, table: str = "t") -> list[Any]:
    return [row["n"] for row in Store(layout.root).table(table)]


def test_rows_that_replace_hide_sealed_ones(layout: Layout) -> None:
    writer = writer_of(layout)
    writer.write({"t": numbers(1, 2)}, 0)
    writer.seal()
    writer.write({"t": numbers(3, replace=True)}, 1)
    writer.close()
    assert values(layout) == [3]
    assert Store(layout.root).sql("SELECT n, _step FROM t").fetchall() == [(3, 1)]
    assert {seal.generation for seal in layout.listing().parts if seal.table == "t"} == {1}


def test_rows_that_replace_drop_waiting_ones(layout: Layout) -> None:
    writer = writer_of(layout)
    for value in range(5):
        writer.write({"t": numbers(value, replace=True)}, value)
    writer.close()
    assert values(layout) == [4]
    assert len(list(layout.root.glob("rows/*/*/*.parquet"))) == 1


def test_rows_after_a_replacement_are_added_to_it(layout: Layout) -> None:
    writer = writer_of(layout)
    for rows in (numbers(1), numbers(2, replace=True), numbers(3), numbers(4)):
        writer.write({"t": rows}, 0)
        writer.seal()
    writer.close()
    assert values(layout) == [2, 3, 4]


def test_a_replacement_leaves_other_tables_runs_and_history_alone(layout: Layout) -> None:
    other = writer_of(layout, "other")
    other.write({"t": numbers(9)}, 0)
    other.close()
    writer = writer_of(layout)
    writer.write({"t": numbers(1), "u": numbers(2)}, 0, {"loss": 0.5})
    writer.seal()
    writer.write({"t": numbers(3, replace=True), "u": numbers(4)}, 1, {"loss": 0.25})
    writer.close()
    assert sorted(values(layout)) == [3, 9]
    assert values(layout, "u") == [2, 4]
    history = Store(layout.root).sql("SELECT value FROM history ORDER BY _row").fetchall()
    assert history == [(0.5,), (0.25,)]


def test_a_later_writer_of_the_run_replaces_and_appends(layout: Layout) -> None:
    for rows in (numbers(1), numbers(2, replace=True), numbers(3), numbers(4, replace=True), numbers(5)):
        writer = writer_of(layout)
        writer.write({"t": rows}, 0)
        writer.close()
    assert values(layout) == [4, 5]


def test_a_writer_sees_what_another_replaced_meanwhile(layout: Layout) -> None:
    first, second = writer_of(layout), writer_of(layout)
    first.write({"t": numbers(1)}, 0)
    first.seal()
    second.write({"t": numbers(2, replace=True)}, 0)
    second.seal()
    first.write({"t": numbers(3)}, 0)
    first.close()
    second.close()
    assert sorted(values(layout)) == [2, 3]


def test_row_numbers_stay_unique_across_generations(layout: Layout) -> None:
    rows = set()
    for _ in range(2):
        writer = writer_of(layout)
        for value in range(3):
            writer.write({"t": numbers(value, value, replace=True)}, 0)
            found = {row.row for row in (writer.seal(), Store(layout.root))[1].table("t")}
            assert len(found) == 2
            assert found.isdisjoint(rows)
            rows |= found
        writer.close()


def test_statistics_are_those_of_the_latest_version_only(layout: Layout) -> None:
    writer = writer_of(layout)
    writer.write({"t": Rows(IMAGES, [masked([0, 1, 1])])}, 0)
    writer.seal()
    writer.write({"t": Rows(IMAGES, [masked([0, 0, 1], "cd")], replace=True)}, 0)
    writer.close()
    store = Store(layout.root)
    query = "SELECT class_name, pixels FROM {} WHERE mask_key = 't' AND class_name IS NOT NULL ORDER BY ALL"
    assert store.sql(query.format("class_pixels")).fetchall() == [("c", 2), ("d", 1)]
    assert store.sql(query.format("class_totals")).fetchall() == [("c", 2), ("d", 1)]
    confusion = "SELECT DISTINCT truth_class FROM {} WHERE truth_key = 't' ORDER BY 1"
    assert store.sql(confusion.format("confusion")).fetchall() == [("c",), ("d",)]
    assert store.sql(confusion.format("confusion_totals")).fetchall() == [("c",), ("d",)]
    assert store.sql("SELECT class_name FROM classes WHERE mask_key = 't' ORDER BY 1").fetchall() == [("c",), ("d",)]


def test_a_version_without_masks_has_no_statistics(layout: Layout) -> None:
    writer = writer_of(layout)
    writer.write({"t": Rows(IMAGES, [masked([0, 1])])}, 0)
    writer.seal()
    writer.write({"t": Rows(NUMBERS, [(1,)], replace=True)}, 0)
    writer.close()
    assert Store(layout.root).sql("SELECT count(*) FROM class_pixels").fetchall() == [(0,)]


# --- whole or not at all ------------------------------------------------------------------------


@pytest.mark.parametrize("replace", [False, True])
def test_rows_of_many_parts_are_one_commit(layout: Layout, replace: bool) -> None:
    writer = writer_of(layout, seal_bytes=10_000)
    writer.write({"t": numbers(-1)}, 0)
    writer.write({"t": numbers(*range(1000), replace=replace), "u": numbers(7)}, 1, {"loss": 0.5})
    writer.write({"t": numbers(1000)}, 2)
    writer.close()
    assert values(layout) == ([] if replace else [-1]) + list(range(1001))
    assert len(list(layout.root.glob("rows/table_name=t/*/*.parquet"))) > 5
    seals = [json.loads(path.read_text()) for path in sorted(layout.root.glob("seals/*/*.json"))]
    big = [seal for seal in seals if sum("table_name=t" in part["path"] for part in seal["parts"]) > 5]
    assert len(big) == 1
    paths = [part["path"] for seal in seals for part in seal["parts"]]
    assert len(paths) == len(set(paths))


def test_totals_of_rows_of_many_parts_stand_once(layout: Layout) -> None:
    writer = writer_of(layout, seal_bytes=3_000)
    writer.write({"t": Rows(IMAGES, [masked([number % 3, 1]) for number in range(60)])}, 0)
    writer.close()
    assert len(list(layout.root.glob("rows/*/*/*.parquet"))) > 3
    for kind in TOTALS:
        (path,) = layout.root.glob(f"{kind}/*/*/*.parquet")
        table = pq.read_table(path, partitioning=None)
        keys = table.drop_columns(list(TOTALS[kind]))
        assert keys.group_by(keys.column_names).aggregate([]).num_rows == table.num_rows
        assert table.schema.remove_metadata() == FIXED[kind]
    assert verify(layout).faults == []
    assert Store(layout.root).sql("SELECT class_name, tp, fp, fn FROM class_iou('t', 't', 'p')").fetchall() == [
        ("a", 20, 100, 0), ("b", 0, 0, 80), ("class_2", 0, 0, 20)
    ]  # fmt: skip


@pytest.mark.parametrize("fails_at", [1, 3, 6])
def test_a_failing_commit_of_many_parts_leaves_nothing(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    writer = writer_of(layout, seal_bytes=10_000)
    writer.write({"t": numbers(-1)}, 0)
    writer.seal()
    calls = 0
    real = commit_module.write_part

    def failing(*arguments: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == fails_at:
            raise OSError("no space left")
        return real(*arguments, **more)

    monkeypatch.setattr(commit_module, "write_part", failing)
    with pytest.raises(OSError, match="no space"):
        writer.write({"t": numbers(*range(1000), replace=True)}, 1, {"loss": 0.5})
    assert values(layout) == [-1]
    assert len(list(layout.root.glob("rows/*/*/*"))) == 1
    monkeypatch.undo()
    writer.write({"t": numbers(2)}, 1)
    writer.close()
    assert values(layout) == [-1, 2]
    assert Store(layout.root).sql("SELECT count(*) FROM history").fetchall() == [(0,)]


def test_a_call_whose_seal_fails_stores_nothing_and_loses_nothing(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = writer_of(layout, seal_bytes=1000)
    writer.write({"t": numbers(*range(10))}, 0)

    def full(*arguments: Any, **more: Any) -> Any:
        raise OSError("no space left")

    monkeypatch.setattr(commit_module, "write_part", full)
    with pytest.raises(OSError, match="no space"):
        writer.write({"t": numbers(*range(10, 20))}, 0, {"loss": 0.5})
    monkeypatch.undo()
    writer.close()
    assert values(layout) == list(range(10))


def test_a_row_of_another_length_stores_nothing(layout: Layout) -> None:
    writer = writer_of(layout)
    with pytest.raises(ValueError, match="table 'u' has 1 columns; a row has 2 cells"):
        writer.write({"t": numbers(1), "u": Rows(NUMBERS, [(1, 2)])}, 0, {"loss": 1})
    writer.close()
    assert layout.listing().parts == ()


# --- frames -------------------------------------------------------------------------------------


def test_frames_and_cells_of_a_table_stay_in_order(layout: Layout) -> None:
    writer = writer_of(layout)

    def frame(*values: int) -> pa.Table:
        return pa.table({"n": pa.array(values, pa.int64())})

    writer.write({"t": numbers(0, 1)}, 0)
    writer.write({"t": Rows(NUMBERS, [(4,)], frame(2, 3))}, 1)
    writer.write({"t": Rows(NUMBERS, frame=frame(5))}, 2)
    writer.write({"t": Rows(NUMBERS, frame=frame(6))}, 3)
    writer.close()
    assert values(layout) == list(range(7))
    assert [row.step for row in Store(layout.root).table("t")] == [0, 0, 1, 1, 1, 2, 3]
    assert [row.row for row in Store(layout.root).table("t")] == list(range(7))


def test_a_frame_larger_than_a_part_is_cut(layout: Layout) -> None:
    writer = writer_of(layout, seal_bytes=10_000)
    writer.write({"t": Rows(NUMBERS, frame=pa.table({"n": pa.array(range(5000), pa.int64())}))}, 0)
    writer.close()
    assert values(layout) == list(range(5000))
    assert len(list(layout.root.glob("rows/*/*/*.parquet"))) > 2


def test_rows_without_blobs_stand_in_large_groups(layout: Layout) -> None:
    import pyarrow.parquet as pq

    writer = writer_of(layout)
    writer.write({"t": Rows(NUMBERS, frame=pa.table({"n": pa.array(range(100_000), pa.int64())}))}, 0)
    writer.close()
    (part,) = layout.root.glob("rows/*/*/*.parquet")
    assert pq.read_metadata(part).num_row_groups == 2
    assert Store(layout.root).table("t")[99_999]["n"] == 99_999


def test_a_column_without_values_that_other_rows_lack_is_null(layout: Layout) -> None:
    writer = writer_of(layout)
    writer.write({"t": numbers(1)}, 0)
    writer.seal()
    writer.write({"t": Rows((*NUMBERS, Column("value", "empty", "null")), [(2, None)])}, 0)
    writer.close()
    assert Store(layout.root).sql("SELECT n, empty FROM t ORDER BY n").fetchall() == [(1, None), (2, None)]
