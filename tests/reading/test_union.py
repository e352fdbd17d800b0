"""Runs whose columns differ are one table, with the same names, types and values wherever it is read."""

from __future__ import annotations

import os
import warnings
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import maskl
from maskl.errors import MasklWarning
from maskl_storage import StoredImage
from maskl_storage.format.json_values import load_text
from maskl_storage.format.metadata import LABELLED
from maskl_storage.format.schemas import columns_of

pytestmark = pytest.mark.once

#: names that differ in case, that a column told apart would get, that are stored under others, and those of masks
COLUMNS = ["x", "X", "x__string", "x__int", "x__string_1", "값", "값__list", "run_id", "RUN_ID", "_x", "x__mask__k"]
KEYS = ["k", "K", "정답", "k_1", "k__set__1"]
#: stores that are made, each of which is read in every way, twice
STORES = int(os.environ.get("MASKL_UNION_STORES", "10"))
WHEN = datetime(2026, 1, 2, 3, 4, 5, 678901)
LABELS: list[dict[int, str] | None] = [{0: "길", 1: "car"}, {0: "road"}, None]


@st.composite
def images(draw: st.DrawFn) -> maskl.Image:
    """Draw an image with some masks and boxes."""
    pixels = np.full((2, 3), draw(st.integers(0, 2)), np.uint8)
    masks: dict[str, Any] = {}
    for key in draw(st.lists(st.sampled_from(KEYS), unique_by=str.casefold, max_size=2)):
        labels = draw(st.sampled_from(LABELS))
        mask = {"mask_data": np.full((2, 3), draw(st.integers(0, 2)), np.uint8)}
        masks[key] = mask | ({} if labels is None else {"class_labels": labels})
    box = {"position": {"minX": 0, "maxX": 0.5, "minY": 0.25, "maxY": 1}, "class_id": 1, "scores": {"s": 0.5}}
    keys = draw(st.lists(st.sampled_from(KEYS), unique=True, max_size=1))
    boxes = {key: {"box_data": [box], "class_labels": {1: "차"}} for key in keys}
    return maskl.Image(pixels, masks=masks or None, boxes=boxes or None)


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "int": st.integers(-3, 3),
    "float": st.sampled_from([0.5, -1.0]),
    "string": st.sampled_from(["글", "", '{"a": 1}']),
    "bool": st.booleans(),
    "bytes": st.sampled_from([b"", b"x"]),
    "moment": st.just(WHEN),
    "utc": st.just(WHEN.replace(tzinfo=timezone.utc)),
    "missing": st.none(),
    "ints": st.lists(st.integers(0, 2), min_size=1, max_size=2),
    "floats": st.lists(st.just(0.5), min_size=1, max_size=2),
    "strings": st.lists(st.just("글"), max_size=2),
    "nested": st.just([[1], "글"]),
    "dict": st.sampled_from([{"a": [1, None]}, {"k": b"x"}]),
    "array": st.sampled_from([np.array([0.5, 1.5]), np.zeros(0)]),
    "matrix": st.sampled_from([np.ones((1, 2), np.int16), np.ones((2, 2), np.int16)]),
    "image": images(),
}

Logged = tuple[list[str], list[list[Any]]]


@st.composite
def tables(draw: st.DrawFn) -> Logged:
    """Draw the columns and rows of one call; each column holds values of one type."""
    names = draw(st.lists(st.sampled_from(COLUMNS), unique=True, min_size=1, max_size=4))
    kinds = [draw(st.sampled_from(["int", "string", "image", *VALUES])) for _ in names]
    count = draw(st.integers(0, 3))
    return names, [[draw(VALUES[kind]) for kind in kinds] for _ in range(count)]


@st.composite
def runs(draw: st.DrawFn) -> list[tuple[str, list[Logged]]]:
    """Draw runs in the order in which they are logged; the store lists them in that of their ids."""
    ids = draw(st.permutations(["a", "b", "c"]))[: draw(st.integers(1, 3))]
    return [(run_id, draw(st.lists(tables(), min_size=1, max_size=3))) for run_id in ids]


def log(folder: Path, some: list[tuple[str, list[Logged]]]) -> None:
    for run_id, calls in some:
        with maskl.init(dir=folder, id=run_id) as run:
            for step, (names, rows) in enumerate(calls):
                run.log({"t": maskl.Table(names, data=rows)}, step=step)


def in_order(table: pa.Table) -> pa.Table:
    return table.sort_by([("run_id", "ascending"), ("_row", "ascending")])


def sql(store: maskl.Store) -> pa.Table:
    return store.sql("FROM tables.t ORDER BY run_id, _row").to_arrow_table()


def exported(store: maskl.Store, folder: Path, **options: Any) -> pa.Table:
    store.export("t", folder / "out.parquet", force=True, **options)
    return pq.read_table(folder / "out.parquet")


def user_columns(table: pa.Table) -> list[str]:
    """Return the columns that SQL has too: not those that number class sets, or that an export adds."""
    known = columns_of(table.schema, "t")
    return [field.name for field in table.schema if field.name in known and not pa.types.is_uint16(field.type)]


def types_of(table: pa.Table) -> dict[str, str]:
    """Return DuckDB's type of each column of a user's."""
    with duckdb.connect() as connection:
        relation = connection.from_arrow(table.select(user_columns(table)))
        return {name: str(kind) for name, kind in zip(relation.columns, relation.types, strict=True)}


def values_of(table: pa.Table) -> dict[str, list[Any]]:
    return {name: table[name].to_pylist() for name in user_columns(table)}


def content(store: maskl.Store, folder: Path) -> dict[str, Any]:
    """Return all that is read of a store, in the order of its rows."""
    rows = store.table("t")
    arrow, parquet, shown = rows.to_arrow(), exported(store, folder), sql(store)
    own = [(row.run_id, row.row, plain(row)) for row in rows.undecoded]
    return {
        "sql": (shown.schema, shown.to_pylist()),
        "arrow": (arrow.schema, arrow.schema.metadata, arrow.to_pylist()),
        "parquet": (parquet.schema, parquet.schema.metadata, parquet.to_pylist()),
        "rows": [(row.run_id, row.row, plain(row)) for row in rows.undecoded.united],
        # a row says nothing of a column that its part has not, and None of one that holds nothing
        "own": [(*place, {name: value for name, value in row.items() if value is not None}) for *place, row in own],
        "columns": (rows.columns, rows.names, rows.primary_key, store.tables()),
    }


def plain(row: Any) -> Any:
    """Return a row with arrays as lists."""
    return {name: ("array", value.tolist()) if isinstance(value, np.ndarray) else value for name, value in row.items()}


def same_value(logical: Any, shown: Any) -> bool:
    """Whether a value in a row is what SQL shows of it."""
    if isinstance(logical, StoredImage):
        return bool(logical.digest == shown["digest"])
    if isinstance(logical, np.ndarray):
        return bool(logical.tolist() == shown)
    if isinstance(logical, dict) or (isinstance(logical, list) and isinstance(shown, str)):
        return bool(logical == load_text(shown))
    return bool(logical == shown) and isinstance(logical, bool) == isinstance(shown, bool)


def logged_rows(some: list[tuple[str, list[Logged]]]) -> dict[tuple[str, int], dict[str, Any]]:
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for run_id, calls in some:
        rows = [dict(zip(names, values, strict=True)) for names, data in calls for values in data]
        found |= {(run_id, number): row for number, row in enumerate(rows)}
    return found


def check_rows(store: maskl.Store, shown: pa.Table, some: list[tuple[str, list[Logged]]]) -> None:
    """Rows are what was logged, and joint ones have in each column what SQL shows."""
    rows = store.table("t")
    union = rows.union()
    labels = {union.labels[name]: name for name, column in union.columns.items() if column.kind not in LABELLED}
    assert len(labels) == len([column for column in union.columns.values() if column.kind not in LABELLED])
    by_place = {(line["run_id"], line["_row"]): line for line in shown.to_pylist()}
    expected = logged_rows(some)
    for own, row in zip(rows.undecoded, rows.undecoded.united, strict=True):
        place = (row.run_id, row.row)
        assert list(row) == list(labels)
        for label, name in labels.items():
            line = by_place[place]
            assert (row[label] is None) == (line[name] is None), (label, name)
            assert row[label] is None or same_value(row[label], line[name])
        logged = expected.pop(place)
        assert {name for name, value in own.items() if value is not None} == {
            name for name, value in logged.items() if value is not None
        }
        for name, value in logged.items():
            if isinstance(value, maskl.Image):
                assert {key: mask.encoded[0] for key, mask in value.masks.items()} == {
                    key: data for key, (data, _) in own[name].masks.items()
                }
            elif value is not None:
                assert type(own[name]) is type(value)
                assert np.array_equal(own[name], value) if isinstance(value, np.ndarray) else own[name] == value
    assert expected == {}


@settings(max_examples=STORES)
@given(some=runs(), data=st.data())
def test_any_runs_are_one_table_wherever_they_are_read(
    tmp_path_factory: pytest.TempPathFactory, some: list[tuple[str, list[Logged]]], data: st.DataObject
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MasklWarning)
        folder = tmp_path_factory.mktemp("union")
        log(folder / "first", some)
        store = maskl.open(folder / "first")
        shown = sql(store)
        names = shown.column_names[6:]
        types = dict(zip(names, map(str, store.sql("FROM tables.t").types[6:]), strict=True))
        arrow, parquet = in_order(store.table("t").to_arrow()), in_order(exported(store, folder))

        # names, types and values
        assert store.tables()[0].columns == tuple(names)
        assert len({name.casefold() for name in names}) == len(names)
        for table in (arrow, parquet):
            there = set(user_columns(table))
            assert all(shown[name].null_count == len(shown) for name in set(names) - there)
            assert there == set(names) if table is arrow else there <= set(names)  # a run without rows adds no column
            found = types_of(table)
            # what only runs without rows have the type of holds nothing
            assert found == types if table is arrow else all(k in (types[n], '"NULL"') for n, k in found.items())
            assert values_of(table) == {name: shown[name].to_pylist() for name in user_columns(table)}
        check_rows(store, shown, some)
        polars = store.table("t").to_polars()
        assert set(names) <= set(polars.columns)
        pandas = store.table("t").to_pandas()
        labelled = [name for name, column in store.table("t").union().columns.items() if column.kind in LABELLED]
        assert sorted(pandas.columns[4:]) == sorted(set(names) - set(labelled))

        # a part of the table has the names of the whole one
        name = data.draw(st.sampled_from(names))
        held = shown.filter(pa.compute.is_valid(shown[name]))
        if held.num_rows:
            chosen = in_order(exported(store, folder, where=f'"{name}" IS NOT NULL'))
            assert values_of(chosen)[name] == held[name].to_pylist()
            assert all(values == held[one].to_pylist() for one, values in values_of(chosen).items())
            run_id = held["run_id"][0].as_py()
            mine = store.table("t", run_id)
            assert set(mine.to_arrow().schema.names) <= set(arrow.schema.names)
            of_run = shown.filter(pa.compute.equal(shown["run_id"], run_id))
            assert mine.to_arrow([name])[name].to_pylist() == of_run[name].to_pylist()
            assert mine[:1].to_arrow().schema == mine.to_arrow().schema

        # merging changes nothing
        before = content(store, folder)
        store.compact(grace=0)
        assert content(maskl.open(folder / "first"), folder) == before

        # nor does the order of runs
        log(folder / "second", some[::-1])
        other = maskl.open(folder / "second")
        assert types_of(other.table("t").to_arrow()) == types_of(store.table("t").to_arrow())
        assert types_of(exported(other, folder)) == types_of(parquet)
        assert sorted(other.table("t").union().labels.items()) == sorted(store.table("t").union().labels.items())
