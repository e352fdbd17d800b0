"""The sums of statistics are what Arrow's own grouping makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskl_storage.cells.class_pixels import (
    _groups,
    _ranks,
    _sort_code,
    add_totals,
    class_totals,
    confusion_totals,
)
from maskl_storage.format.schemas import FIXED, TOTALS

IDS = st.sampled_from([-(1 << 31), -1, 0, 1, 255, (1 << 31) - 1])
NAMES = st.sampled_from(["", "car", "도로", "road"])


def dictionary(values: list[str | None]) -> pa.DictionaryArray:
    return pa.array(values, pa.string()).dictionary_encode()


@st.composite
def statistics(draw: st.DrawFn, kind: str) -> pa.Table:
    """Draw a table of class pixels or confusion, perhaps of several pieces with dictionaries of their own."""
    pieces = []
    for _ in range(draw(st.integers(1, 3))):
        size = draw(st.integers(1, 12))
        columns: dict[str, Any] = {}
        for field in FIXED[kind]:
            if pa.types.is_dictionary(field.type):
                columns[field.name] = dictionary(draw(st.lists(NAMES, min_size=size, max_size=size)))
            elif pa.types.is_boolean(field.type):
                columns[field.name] = draw(st.lists(st.booleans(), min_size=size, max_size=size))
            elif field.name in ("pixels", "mask_pixels", "valid_pixels"):
                columns[field.name] = draw(st.lists(st.integers(0, 1 << 40), min_size=size, max_size=size))
            else:
                columns[field.name] = draw(st.lists(IDS, min_size=size, max_size=size))
        if kind == "class_pixels":  # how large a mask is, and its step, follow from the mask
            columns["_step"] = [row % 3 for row in columns["_row"]]
            masks = zip(columns["image_column"], columns["mask_key"], columns["_row"], strict=True)
            columns["mask_pixels"] = [sum(map(len, map(str, mask))) for mask in masks]
        pieces.append(pa.table(columns, schema=FIXED[kind]))
    return pa.concat_tables(pieces)


def summed(table: pa.Table, keys: list[str], amounts: list[str]) -> list[dict[str, Any]]:
    """Return what Arrow's own grouping makes of a table, in order."""
    plain = table.cast(
        pa.schema([f.with_type(pa.string()) if pa.types.is_dictionary(f.type) else f for f in table.schema])
    )
    sums = plain.group_by(keys).aggregate([*((name, "sum") for name in amounts), (amounts[0], "count")])
    names = {**{f"{name}_sum": name for name in amounts}, f"{amounts[0]}_count": "count"}
    sums = sums.rename_columns([names.get(name, name) for name in sums.column_names])
    return sums.sort_by([(name, "ascending") for name in keys]).to_pylist()


@settings(max_examples=50, deadline=None)
@given(statistics("confusion"))
def test_confusion_is_summed_as_arrow_does(table: pa.Table) -> None:
    schema = FIXED["confusion_totals"]
    keys = [name for name in schema.names if name != "pixels"]
    wanted = [{name: row[name] for name in schema.names} for row in summed(table, keys, ["pixels"])]
    found = confusion_totals(table)
    assert found.schema == schema
    assert found.to_pylist() == wanted


@settings(max_examples=50, deadline=None)
@given(statistics("class_pixels"))
def test_class_pixels_are_summed_as_arrow_does(table: pa.Table) -> None:
    schema = FIXED["class_totals"]
    keys = ["_step", "image_column", "mask_key", "class_id", "class_name", "ignored"]
    wanted = [row | {"masks": row["count"]} for row in summed(table, keys, ["pixels"])]
    found = class_totals(table)
    assert found.schema == schema
    of_classes = [row for row in found.to_pylist() if row["class_name"] is not None]
    assert of_classes == [{name: row[name] for name in schema.names} for row in wanted]
    masks = {
        (row["image_column"], row["mask_key"], row["_row"]): (row["_step"], row["mask_pixels"])
        for row in table.to_pylist()
    }
    whole: dict[tuple[Any, ...], list[int]] = {}
    for (image, key, _), (step, pixels) in masks.items():
        whole.setdefault((step, image, key), []).append(pixels)
    of_masks = [row for row in found.to_pylist() if row["class_name"] is None]
    assert {
        (row["_step"], row["image_column"], row["mask_key"]): (row["pixels"], row["masks"]) for row in of_masks
    } == {mask: (sum(pixels), len(pixels)) for mask, pixels in whole.items()}


@settings(max_examples=25, deadline=None)
@given(st.lists(statistics("class_pixels").map(class_totals), min_size=2, max_size=4))
def test_totals_are_added_as_arrow_does(tables: list[pa.Table]) -> None:
    schema, amounts = FIXED["class_totals"], list(TOTALS["class_totals"])
    keys = [name for name in schema.names if name not in amounts]
    plain = pa.concat_tables(
        table.cast(pa.schema([f.with_type(pa.string()) if pa.types.is_dictionary(f.type) else f for f in schema]))
        for table in tables
    )
    found = add_totals(tables, "class_totals")
    assert found.schema == schema
    assert found.to_pylist() == [{name: row[name] for name in schema.names} for row in summed(plain, keys, amounts)]


@pytest.mark.parametrize("columns", [1, 3, 9])
@pytest.mark.parametrize("span", [2, 1 << 20, 1 << 40, 1 << 62])
def test_rows_with_equal_keys_are_one_group(columns: int, span: int) -> None:
    """Whether keys are few or many, near or far, and more than one number can tell apart."""
    chance = np.random.default_rng(columns)
    some = chance.integers(-span, span, (40, columns))
    keys = some[chance.integers(0, len(some), 500)]
    table = pa.table({f"k{index}": keys[:, index] for index in range(columns)})
    first, groups = _groups(table, table.column_names)
    assert (keys[first][groups] == keys).all()
    assert len(first) == len({tuple(row) for row in keys.tolist()})
    assert all(first[group] == np.flatnonzero(groups == group)[0] for group in range(len(first)))


def test_missing_values_are_a_key_like_any_other() -> None:
    table = pa.table({"name": ["a", None, "a", None], "id": pa.array([None, 1, None, 1], pa.int32())})
    first, groups = _groups(table, ["name", "id"])
    assert sorted(first.tolist()) == [0, 1]
    assert (groups[[0, 1]] == groups[[2, 3]]).all()


def test_totals_are_in_the_order_of_their_columns_however_far_steps_lie_apart() -> None:
    rng = np.random.default_rng(1)
    names = ["a", "b", "é", "가", "😀", "Z", "", "aa"]
    for count in (1, 2, 300):
        columns = {
            "_step": pa.array(rng.integers(-3, 3, count) * (1 << 60)),
            "mask_key": pa.array([names[at] if at else None for at in rng.integers(0, 8, count)], pa.string()),
            "class_id": pa.array([None if at > 3 else int(at) for at in rng.integers(-5, 5, count)], pa.int32()),
            "ignored": pa.array([None if at > 1 else bool(at) for at in rng.integers(0, 3, count)], pa.bool_()),
            "pixels": pa.array(np.arange(count)),
        }
        table = pa.table(columns)
        code = _sort_code([_ranks(table[name]) for name in columns])
        wanted = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in columns])
        assert np.argsort(code, kind="stable").tolist() == wanted.to_pylist()
