"""Tables: every value that a cell takes comes back, and rows are found in every way that they are asked for."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import maskl
from maskl import Image, Table
from maskl.errors import InvalidType, InvalidValue, NotFound, QueryError
from maskl_storage import decode

Start = Callable[..., maskl.Run]

MASK_DTYPES = ["?", "u1", "i1", "<u2", ">i2", "<i4", ">u4", "<i8", ">u8"]


class Odd:
    """Something that nothing knows, with a name that does not change from run to run."""

    def __repr__(self) -> str:
        return "odd"


def stored(columns: list[str], rows: list[list[Any]]) -> list[list[Any]]:
    """Log rows as one table in a store of its own, and return what comes back."""
    with tempfile.TemporaryDirectory() as folder:
        maskl.finish()
        with maskl.init(name="r", dir=folder) as run:
            run.log({"t": Table(columns, rows)})
        back = [list(row.values()) for row in maskl.open(folder).table("t")]
        for row in back:  # images are read while the store is there
            for cell in row:
                if isinstance(cell, Image):
                    cell.image.load()
    return back


def assert_same(found: Any, expected: Any) -> None:
    """Check type, dtype, shape and value; NaN is a missing value."""
    if isinstance(expected, float) and np.isnan(expected):
        expected = None
    if isinstance(expected, np.ndarray):
        assert isinstance(found, np.ndarray)
        assert (found.dtype, found.shape) == (expected.dtype.newbyteorder("="), expected.shape)
        assert np.array_equal(found, expected, equal_nan=expected.dtype.kind == "f")
    elif isinstance(expected, Image):
        assert found == expected
    else:
        assert type(found) is type(expected)
        assert found == expected


# --- one value at a time ------------------------------------------------------------------------

UTC = timezone.utc
SEOUL = timezone(timedelta(hours=9))


@pytest.mark.parametrize(
    "value",
    [
        True,
        0,
        -(1 << 63),
        (1 << 63) - 1,
        0.1,
        -0.0,
        float("inf"),
        float("nan"),
        5e-324,
        None,
        "",
        "예측값 🐙",
        "a\nb\x00c",
        b"",
        b"\x00\xff",
        datetime(2026, 1, 2, 3, 4, 5, 678901),
        datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        datetime(1, 1, 1),
        datetime(9999, 12, 31, 23, 59, 59, 999999),
        [],
        [1, 2],
        [1.5, None, float("inf")],
        ["a", None, "나무"],
        [True, False, None],
        [None],
        [[1, 2], [3]],
        [1, "a", None, {"b": [2]}],
        {},
        {"a": 1, "b": [1, None, {"나": "무"}]},
        {"nested": {"deep": {"er": [1.5, "x", True]}}},
        np.arange(3),
        np.zeros(0),
        np.arange(6, dtype=np.uint8).reshape(2, 3),
        np.array([[1.5, np.nan]], np.float32),
        np.array([[True, False]]),
        np.array([1.5, np.nan, np.inf]),
        np.array([0.5], np.float16),
        np.array([(1 << 64) - 1], np.uint64),
        np.arange(24, dtype=">i2").reshape(2, 3, 4),
        np.zeros((2, 0)),
        np.zeros((0, 3)),
        np.zeros((2, 0, 3), np.int8),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.arange(10)[::-3],
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    ((found, other),) = stored(["value", "other"], [[value, 1]])
    assert_same(found, value)
    assert other == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int8(-3), -3),
        (np.uint64(7), 7),
        (np.float32(0.5), 0.5),
        (np.float64("nan"), None),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.array(5), 5),
        (bytearray(b"ab"), b"ab"),
        pytest.param(memoryview(b"ab"), b"ab", id="memoryview"),
        (date(2026, 1, 2), datetime(2026, 1, 2)),
        (np.datetime64("2026-01-02T03:04:05.000006"), datetime(2026, 1, 2, 3, 4, 5, 6)),
        (np.datetime64("NaT"), None),
        (datetime(2026, 1, 2, 9, tzinfo=SEOUL), datetime(2026, 1, 2, 0, tzinfo=UTC)),
        ((1, 2), [1, 2]),
        ([1, 2.5], [1.0, 2.5]),
        ([np.int64(1), np.float32(0.5)], [1.0, 0.5]),
        ({"a": (1, 2), "b": np.float32(0.5)}, {"a": [1, 2], "b": 0.5}),
        ([[np.int64(1)], (2,)], [[1], [2]]),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_a_value_that_has_a_plain_form_comes_back_in_it(value: Any, expected: Any) -> None:
    assert_same(stored(["value"], [[value]])[0][0], expected)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 0.5], [1.0, 0.5]),
        ([0.5, 1], [0.5, 1.0]),
        ([None, 1, float("nan")], [None, 1, None]),
        ([None, None], [None, None]),
        ([[], ["a"]], [[], ["a"]]),
        ([[None], [1]], [[None], [1]]),
        ([[1], [0.5]], [[1.0], [0.5]]),
        ([None, {"a": 1}, {"b": [1, "a"]}], [None, {"a": 1}, {"b": [1, "a"]}]),
        ([[], [1, "a"], [[2]]], [[], [1, "a"], [[2]]]),
        ([[1, "a"], [], [None]], [[1, "a"], [], [None]]),
        ([np.array([1], np.int8), np.array([300], np.int16)], [np.array([1], np.int16), np.array([300], np.int16)]),
        ([np.array([[1]]), np.array([[0.5]])], [np.array([[1.0]]), np.array([[0.5]])]),
        ([None, np.zeros((1, 2))], [None, np.zeros((1, 2))]),
        ([np.zeros((1, 2)), np.ones((3, 1))], [np.zeros((1, 2)), np.ones((3, 1))]),
    ],
    ids=lambda value: ascii(value)[:50],
)
def test_the_values_of_a_column_share_a_type(values: list[Any], expected: list[Any]) -> None:
    found = stored(["value"], [[value] for value in values])
    for (cell,), value in zip(found, expected, strict=True):
        assert_same(cell, value)


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (Odd(), InvalidType, "column 'value' cannot hold a Odd"),
        (1 << 63, InvalidValue, "outside signed 64 bits"),
        (-(1 << 63) - 1, InvalidValue, "outside signed 64 bits"),
        (np.uint64(1 << 63), InvalidValue, "outside signed 64 bits"),
        (np.array([(1, 2)], "i4,i4"), InvalidType, "array of dtype"),
        (np.array([Odd()]), InvalidType, "Odd"),
        ([Odd()], InvalidType, "Odd"),
        ({"a": Odd()}, InvalidType, "Odd"),
        (np.timedelta64(1, "s"), InvalidType, "timedelta"),
        ("\ud800", InvalidValue, "Unicode"),
        (["\ud800"], InvalidValue, "Unicode"),
        ([1 << 60 | 1, 0.5], InvalidValue, "exact"),
        (datetime(1, 1, 1, tzinfo=SEOUL), InvalidValue, "0001-01-01"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_a_value_that_no_cell_can_hold_is_refused_when_it_is_added(
    value: Any, error: type[Exception], words: str
) -> None:
    table = Table(["id", "value"], [[0, None]])
    with pytest.raises(error) as caught:
        table.add_data(1, value)
    assert words in str(caught.value)
    assert "row 1" in str(caught.value)
    assert "'value'" in str(caught.value)
    assert table.data == [[0, None]]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((1 << 53) + 1, 0.5),
        (0.5, (1 << 53) + 1),
        ([(1 << 53) + 1], [0.5]),
        (np.array([[(1 << 53) + 1]]), np.array([[0.5]])),
        (np.array([1 << 63], np.uint64), np.array([-1])),
    ],
    ids=ascii,
)
def test_integers_that_a_float_cannot_hold_never_reach_the_store(
    start: Start, store_dir: Path, first: Any, second: Any
) -> None:
    """A column widens to floats only while every value stays exact; what cannot be kept is refused at once."""
    table = Table(["value"], [[first]])
    run = start()
    with pytest.raises(InvalidValue):
        table.add_data(second)
    run.log({"t": table})
    assert_same(maskl.open(store_dir).table("t")[0]["value"], first)


def test_integers_that_a_float_cannot_hold_are_kept_when_logged_one_table_after_the_other(
    start: Start, store_dir: Path
) -> None:
    with start() as run:
        run.log({"t": Table(["value"], [[(1 << 53) + 1]])})
        run.log({"t": Table(["value"], [[0.5]])})
    assert [row["value"] for row in maskl.open(store_dir).table("t")] == [(1 << 53) + 1, 0.5]


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (1, "a", "holds int; got string: 'a'"),
        ("a", 1, "holds string; got int: 1"),
        (True, 1, "holds bool; got int"),
        (1, True, "holds int; got bool"),
        ([1], ["a"], "holds list of int64; got list of string"),
        ({"a": 1}, [1, "a"], "holds dict; got nested list"),
        ([1], [[1]], "holds list of int64; got nested list"),
        (np.zeros(2), np.zeros((2, 2)), "holds array of float64; got array of float64"),
        (np.zeros(2), [0.5], "holds array of float64; got list of float64"),
        (
            datetime(2026, 1, 1),
            datetime(2026, 1, 1, tzinfo=UTC),
            "holds timestamp without zone; got timestamp with zone",
        ),
        (1, Image(np.zeros((2, 2), np.uint8)), "holds int; got Image"),
        (Image(np.zeros((2, 2), np.uint8)), 1, "holds Image; got int"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_a_column_that_changes_type_is_refused(first: Any, second: Any, words: str) -> None:
    table = Table(["id", "value"], [[0, first]])
    with pytest.raises(InvalidType) as caught:
        table.add_data(1, second)
    message = str(caught.value)
    assert message.startswith("Data row contained incompatible types: row 1, column 'value'")
    assert words in message
    assert len(table) == 1


# --- many at once -------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(1 << 53), 1 << 53), st.floats(allow_nan=False), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "int": st.integers(-(1 << 63), (1 << 63) - 1),
    "float": st.floats(),
    "string": TEXT,
    "bytes": st.binary(max_size=12),
    "naive": st.datetimes(),
    "aware": st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1), timezones=st.just(UTC)),
    "ints": st.lists(st.one_of(st.none(), st.integers(-(1 << 63), (1 << 63) - 1)), max_size=3),
    "strings": st.lists(st.one_of(st.none(), TEXT), max_size=3),
    "dict": st.dictionaries(TEXT, JSON, max_size=3),
}


@st.composite
def column(draw: st.DrawFn, rows: int) -> list[Any]:
    """Draw a column: values of one type, or missing."""
    kind = draw(st.sampled_from(["array", *VALUES]))
    if kind == "array":
        rank = draw(st.integers(1, 3))
        dtype = draw(st.sampled_from(["?", "u1", "i1", "u2", ">i4", "i8", "u8", "f2", "f4", ">f8"]))
        values: st.SearchStrategy[Any] = hnp.arrays(
            # empty arrays have a test of their own: one column keeps the lengths inside them where they agree
            dtype,
            hnp.array_shapes(min_dims=rank, max_dims=rank, min_side=1, max_side=3),
        )
    else:
        values = VALUES[kind]
    return [draw(st.one_of(st.none(), values)) for _ in range(rows)]


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[Any]]]:
    """Draw column names and rows of plain values."""
    names = draw(st.lists(TEXT.filter(bool), min_size=1, max_size=4, unique=True))
    count = draw(st.integers(0, 4))
    columns = [draw(column(count)) for _ in names]
    return names, [list(row) for row in zip(*columns, strict=True)] if columns and count else []


@given(tables())
@settings(max_examples=60)
def test_any_table_of_plain_values_comes_back(table: tuple[list[str], list[list[Any]]]) -> None:
    names, rows = table
    found = stored(names, rows)
    assert len(found) == len(rows)
    for found_row, row in zip(found, rows, strict=True):
        assert len(found_row) == len(row)
        for cell, value in zip(found_row, row, strict=True):
            assert_same(cell, value)


@st.composite
def images(draw: st.DrawFn) -> tuple[Image | None, dict[str, Any]]:
    """Draw an image with some masks, of any dtype, each with labels of its own or none."""
    if draw(st.integers(0, 5)) == 0:
        return None, {}
    height, width = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    pixels = draw(hnp.arrays(np.uint8, st.sampled_from([(height, width), (height, width, 3)])))
    masks = {}
    for key in draw(st.lists(st.sampled_from(["예측값", "ground_truth", "a b", "k__set__1", "k_1"]), unique=True)):
        dtype = np.dtype(draw(st.sampled_from(MASK_DTYPES)))
        top = 1 if dtype.kind == "b" else 3
        mask = draw(hnp.arrays(np.uint8, (height, width), elements=st.integers(0, top))).astype(dtype)
        letters = st.dictionaries(st.integers(0, 4), st.sampled_from("abc"), min_size=1)
        labels = draw(st.none() | letters.map(lambda some: {i: f"{name}{i}" for i, name in some.items()}))
        ignored = draw(st.one_of(st.none(), st.integers(0, 4)))
        masks[key] = {"mask_data": mask, "class_labels": labels, "ignore_index": ignored}
    return Image(pixels, caption=draw(st.one_of(st.none(), TEXT)), masks=masks), masks


def own_names(image: Image, given: Mapping[str, Any], key: str) -> dict[int, str]:
    """Return the names that a mask of a row must come back with for the ids that are present."""
    sources = [given[key], *(val for other, val in given.items() if other != key)]
    names: dict[int, str] = {}
    for source in reversed(sources):
        names |= source["class_labels"] or {}
    return {int(i): names.get(int(i), f"class_{int(i)}") for i in np.unique(image.masks[key].mask_data)}


@given(st.lists(images(), max_size=5))
@settings(max_examples=60)
def test_any_images_and_masks_come_back_with_their_own_classes(
    drawn: list[tuple[Image | None, dict[str, Any]]],
) -> None:
    found = stored(["id", "image"], [[index, image] for index, (image, _) in enumerate(drawn)])
    assert [row[0] for row in found] == list(range(len(drawn)))
    for (_, back), (image, given_masks) in zip(found, drawn, strict=True):
        if image is None:
            assert back is None
            continue
        assert set(back.masks) == set(given_masks)
        assert np.array_equal(np.array(back.image), np.array(image.image))
        assert back.caption == image.caption
        for key, val in given_masks.items():
            mask = back.masks[key]
            assert mask.mask_data.dtype == val["mask_data"].dtype
            assert np.array_equal(mask.mask_data, val["mask_data"])
            names = {item.id: item.name for item in mask.class_set if item.name is not None}
            expected = own_names(image, given_masks, key)
            assert {i: names.get(i, f"class_{i}") for i in expected} == expected
            ignored = {val["ignore_index"]} & set(expected)
            assert mask.ignore_index & set(expected) == ignored


# --- masks over rows ----------------------------------------------------------------------------


def image_with(key: str = "k", labels: dict[int, str] | None = None, **more: Any) -> Image:
    masks = {key: {"mask_data": np.array([[0, 1]], np.uint8), "class_labels": labels, **more}}
    return Image(np.zeros((1, 2), np.uint8), masks=masks)


def test_a_mask_key_that_appears_later_is_missing_before() -> None:
    found = stored(["image"], [[image_with("a")], [Image(np.zeros((1, 2), np.uint8))], [image_with("b")], [None]])
    assert [None if row[0] is None else list(row[0].masks) for row in found] == [["a"], [], ["b"], None]


def test_a_mask_key_that_appears_in_a_later_call_is_missing_before(start: Start, store_dir: Path) -> None:
    with start() as run:
        for key in ("a", "b"):
            run.log({"t": image_with(key)})
    assert [list(row["image"].masks) for row in maskl.open(store_dir).table("t")] == [["a"], ["b"]]


@pytest.mark.parametrize("calls", ["one", "several", "sealed between"])
def test_class_sets_that_contradict_each_other_stay_with_their_rows(start: Start, store_dir: Path, calls: str) -> None:
    sets: list[dict[int, str] | None] = [{0: "a", 1: "b"}, {0: "b", 1: "a"}, None, {0: "a"}, {1: "z"}, {0: "a", 1: "b"}]
    with start() as run:
        if calls == "one":
            run.log({"t": [image_with(labels=labels) for labels in sets]})
        for labels in sets if calls != "one" else ():
            run.log({"t": image_with(labels=labels)})
            if calls == "sealed between":
                maskl.open(store_dir).refresh()
    table = maskl.open(store_dir).table("t")
    for row, labels in zip(table, sets, strict=True):
        given = {0: "class_0", 1: "class_1"} | (labels or {})
        names = {item.id: item.name for item in row["image"].masks["k"].class_set if item.name is not None}
        assert {i: names.get(i, f"class_{i}") for i in (0, 1)} == given
    sql = "SELECT _row, class_id, class_name FROM class_pixels ORDER BY ALL"
    expected = [
        (row.row, i, ({0: "class_0", 1: "class_1"} | (labels or {}))[i])
        for row, labels in zip(table, sets, strict=True)
        for i in (0, 1)
    ]
    assert maskl.sql(sql, dir=store_dir).fetchall() == expected


def test_ignored_ids_that_differ_between_rows_stay_with_their_rows() -> None:
    found = stored(["image"], [[image_with(ignore_index=i)] for i in (0, 1, None)])
    assert [row[0].masks["k"].ignore_index for row in found] == [{0}, {1}, set()]


def test_class_sets_that_agree_are_kept_as_their_union(start: Start, store_dir: Path) -> None:
    with start() as run:
        run.log({"t": [image_with(labels={0: "a", 1: "b"}), image_with(labels={0: "a", 1: "b", 5: "c"})]})
    columns = maskl.open(store_dir).table("t").to_arrow().column_names
    assert not [name for name in columns if "__set__" in name]


def test_several_image_columns_keep_their_masks_apart() -> None:
    found = stored(["a", "b"], [[image_with("k", {0: "x", 1: "y"}), image_with("k", {0: "y", 1: "x"})]])
    assert found[0][0].masks["k"].class_labels == {0: "x", 1: "y"}
    assert found[0][1].masks["k"].class_labels == {0: "y", 1: "x"}


# --- names --------------------------------------------------------------------------------------

ODD_COLUMNS = [
    *("filename", "run_id", "run_name", "name", "Name", "NAME_1", "table_name", "_row", "_step", "_timestamp"),
    *("a__mask__b", "a__set__b", "image__mask__k", "a.b", "a b", 'quo"te', "평가", "select", "file_row_number"),
    *("1", "name_1", "x\ty"),
]


def test_columns_of_any_name_come_back_under_it(start: Start, store_dir: Path) -> None:
    columns = [*ODD_COLUMNS, "image"]
    with start() as run:
        run.log({"t": Table(columns, [[*range(len(ODD_COLUMNS)), image_with("k")]])})
    store = maskl.open(store_dir)
    row = store.table("t")[0]
    assert list(row) == columns
    assert [row[name] for name in ODD_COLUMNS] == list(range(len(ODD_COLUMNS)))
    assert list(row["image"].masks) == ["k"]
    assert store.table("t").columns == columns
    relation = store.sql("FROM t")
    values = dict(zip(relation.columns, relation.fetchall()[0], strict=True))
    assert values["filename"] == 0
    assert values["run_id"] == row.run_id
    assert values["run_id_1"] == 1
    assert values["file_row_number"] == ODD_COLUMNS.index("file_row_number")


@pytest.mark.parametrize("key", ["x", "x_1", "X", "a__mask__b", "a__set__b"])
@pytest.mark.parametrize("name", ["image__mask__x", "image__set__x", "image__mask__x_1"])
def test_a_users_column_never_takes_the_name_of_a_masks(name: str, key: str) -> None:
    found = stored(["image", name], [[image_with(key, {0: "a"}), 1], [image_with(key, {0: "b"}), 2]])
    assert [row[1] for row in found] == [1, 2]
    assert [row[0].masks[key].class_labels[0] for row in found] == ["a", "b"]


def test_mask_keys_that_differ_only_in_case_between_rows_come_back() -> None:
    found = stored(["image"], [[image_with(key)] for key in ("A", "a", "a_1", "A_1")])
    assert [list(row[0].masks) for row in found] == [["A"], ["a"], ["a_1"], ["A_1"]]


@pytest.mark.parametrize(
    "name", ["val/평가", "0012", "a b", "it's", 'quo"te', "run_id=1", "100%", ".x", "SELECT", "t;--"]
)
def test_tables_of_any_name_come_back(start: Start, store_dir: Path, name: str) -> None:
    with start(id=f"run {name}") as run:
        run.log({name: Table(["a"], [[7]])})
    store = maskl.open(store_dir)
    assert [table.name for table in store.tables()] == [name]
    row = store.table(name)[0]
    assert (row["a"], row.table_name, row.run_id) == (7, name, f"run {name}")
    quoted = name.replace('"', '""')
    assert store.sql(f'SELECT table_name, run_id, a FROM tables."{quoted}"').fetchall() == [(name, f"run {name}", 7)]


# --- reading ------------------------------------------------------------------------------------


@pytest.fixture
def store(start: Start, store_dir: Path) -> maskl.Store:
    """Two runs of three steps of two rows; the first run's rows stand in three parts."""
    for name in ("one", "two"):
        with start(name=name) as run:
            for step in range(3):
                rows = [[10 * step + i, image_with(labels={0: f"{name}{step}"})] for i in range(2)]
                run.log({"t": Table(["id", "image"], rows)}, step=step)
                if name == "one":
                    maskl.open(store_dir).refresh()
    return maskl.open(store_dir)


ONE_RUN = [0, 1, 10, 11, 20, 21]


def test_rows_come_in_order_of_run_and_row(store: maskl.Store) -> None:
    table = store.table("t")
    assert len(table) == 12
    assert [row["id"] for row in table] == ONE_RUN * 2
    assert [row["id"] for row in store.table("t", run="two")] == ONE_RUN
    assert [row.step for row in table] == [0, 0, 1, 1, 2, 2] * 2
    assert all(
        a.row < b.row for a, b in zip(store.table("t", run="one"), store.table("t", run="one")[1:], strict=False)
    )


@pytest.mark.parametrize("index", [0, 5, 6, 11, -1, -12, np.int64(3)])
def test_a_row_by_its_index(store: maskl.Store, index: int) -> None:
    assert store.table("t")[index]["id"] == (ONE_RUN * 2)[index]


@pytest.mark.parametrize("index", [12, -13, 1 << 70])
def test_an_index_out_of_range_is_an_index_error(store: maskl.Store, index: int) -> None:
    with pytest.raises(IndexError, match="of a table of 12 rows"):
        store.table("t")[index]


@pytest.mark.parametrize(
    "part",
    [slice(None), slice(3, 9), slice(-2, None), slice(None, None, -1), slice(10, 2, -3), slice(5, 5), slice(99)],
    ids=str,
)
def test_a_slice_is_a_table_of_its_rows(store: maskl.Store, part: slice) -> None:
    expected = (ONE_RUN * 2)[part]
    table = store.table("t")[part]
    assert len(table) == len(expected)
    assert [row["id"] for row in table] == expected
    assert table.to_arrow()["id"].to_pylist() == expected
    assert [row["id"] for row in table[1:]] == expected[1:]
    names = [f"{run}{step}" for run in ("one", "two") for step in range(3) for _ in range(2)][part]
    assert [row["image"].masks["k"].class_labels[0] for row in table] == names


@pytest.mark.parametrize(("step", "expected"), [(0, [0, 1] * 2), (1, [10, 11] * 2), ("last", [20, 21] * 2), (7, [])])
def test_step_keeps_the_rows_of_a_step(store: maskl.Store, step: int | str, expected: list[int]) -> None:
    table = store.table("t", step=step)
    assert len(table) == len(expected)
    assert [row["id"] for row in table] == expected
    assert table.to_arrow()["id"].to_pylist() == expected


def test_the_last_step_is_each_runs_own(start: Start, store_dir: Path) -> None:
    for name, last in (("short", 1), ("long", 5)):
        with start(name=name) as run:
            for step in range(last + 1):
                run.log({"t": Table(["id"], [[step]])}, step=step)
    assert [row["id"] for row in maskl.open(store_dir).table("t", step="last")] == [1, 5]


@pytest.mark.parametrize("step", ["first", 1.5, True, "1"])
def test_another_step_is_refused(store: maskl.Store, step: Any) -> None:
    with pytest.raises(QueryError, match="whole number or 'last'"):
        store.table("t", step=step)


def test_what_is_not_there_is_named(store: maskl.Store) -> None:
    with pytest.raises(NotFound, match=r"no table 'x' in .*; there are: 't'"):
        store.table("x")
    with pytest.raises(NotFound, match="no run 'three'"):
        store.table("t", run="three")
    with pytest.raises(KeyError):
        store.run("three")


def test_to_arrow_has_the_rows_their_run_and_the_class_sets(store: maskl.Store) -> None:
    table = store.table("t")
    arrow = table.to_arrow()
    assert arrow["id"].to_pylist() == ONE_RUN * 2
    assert arrow["run_id"].to_pylist() == [row.run_id for row in table]
    assert arrow["_step"].to_pylist() == [row.step for row in table]
    assert arrow["_row"].to_pylist() == [row.row for row in table]
    assert b"maskl" in arrow.schema.metadata
    masks = [np.array_equal(decode(data), [[0, 1]]) for data in arrow["image__mask__k"].to_pylist()]
    assert masks == [True] * 12


def test_to_arrow_takes_columns(store: maskl.Store) -> None:
    assert store.table("t").to_arrow(["id"]).column_names == ["id", "run_id"]


def test_to_arrow_joins_parts_whose_columns_differ(start: Start, store_dir: Path) -> None:
    with start() as run:
        run.log({"t": Table(["a", "b"], [[1, "x"]])})
        run.log({"t": Table(["a", "c"], [[0.5, True]])})
    arrow = maskl.open(store_dir).table("t").to_arrow()
    assert arrow["a"].to_pylist() == [1.0, 0.5]
    assert arrow["b"].to_pylist() == ["x", None]
    assert arrow["c"].to_pylist() == [None, True]
    assert [dict(row) for row in maskl.open(store_dir).table("t")] == [{"a": 1, "b": "x"}, {"a": 0.5, "c": True}]


def test_rows_of_calls_whose_columns_differ_in_type_keep_their_own(start: Start, store_dir: Path) -> None:
    with start() as run:
        for value in (1, "x", None, [1]):
            run.log({"t": Table(["a"], [[value]])})
    assert [row["a"] for row in maskl.open(store_dir).table("t")] == [1, "x", None, [1]]


def test_select_gives_the_rows_that_a_query_names_in_its_order(store: maskl.Store) -> None:
    rows = store.select("FROM t ORDER BY id DESC, run_id")
    assert [row["id"] for row in rows] == sorted(ONE_RUN * 2, reverse=True)
    assert rows[0]["image"].masks["k"].class_labels[0] == "one2"
    assert rows[1]["image"].masks["k"].class_labels[0] == "two2"
    twice = store.select("SELECT * FROM t WHERE id = ? UNION ALL FROM t WHERE id = 0", [20])
    assert sorted(row["id"] for row in twice) == [0, 0, 20, 20]
    assert store.select("FROM t WHERE false") == []


def test_select_needs_to_know_the_rows(store: maskl.Store) -> None:
    with pytest.raises(
        QueryError, match="needs the columns run_id, table_name and _row; the query lacks table_name, _row"
    ):
        store.select("SELECT run_id, id FROM t")


def test_a_store_shows_one_project_or_some_runs(start: Start, store_dir: Path) -> None:
    for project, name in (("p", "one"), ("p", "two"), ("q", "three")):
        with start(project=project, name=name) as run:
            run.log({"t": Table(["name"], [[name]])})
    assert [row["name"] for row in maskl.open(store_dir, project="p").table("t")] == ["one", "two"]
    assert [row["name"] for row in maskl.open(store_dir, runs=["three", "one"]).table("t")] == ["one", "three"]
    assert maskl.open(store_dir, project="q").sql("SELECT name FROM t").fetchall() == [("three",)]
    assert [run.name for run in maskl.open(store_dir, project="q").runs()] == ["three"]


def test_a_set_of_images_logged_every_epoch_is_stored_once(start: Start, store_dir: Path) -> None:
    frames = [np.full((4, 4, 3), i, np.uint8) for i in range(5)]
    with start(name="one") as run:
        for step in range(3):
            run.log({"val": [Image(frame) for frame in frames]}, step=step)
            if step == 1:
                maskl.open(store_dir).refresh()
    with start(name="two") as run:
        run.log({"val": Table(["image"], [[Image(frame)] for frame in frames])})
    parts = sorted(store_dir.glob("images/*/*.parquet"))
    assert parts
    assert sum(pq.read_metadata(part).num_rows for part in parts) == 5
    rows = maskl.open(store_dir).table("val")
    assert len(rows) == 20
    assert all(np.array_equal(np.array(row["image"].image), frames[i % 5]) for i, row in enumerate(rows))


# --- before it is logged ------------------------------------------------------------------------


def test_columns_default_to_those_of_prompts() -> None:
    assert Table().columns == ["Input", "Output", "Expected"]


def test_a_table_gives_its_rows_back_before_it_is_logged() -> None:
    image = image_with(labels={0: "a"})
    table = Table(["n", "x", "image", "json"], [[1, 1, image, {"a": 1}], [2, 0.5, None, None]])
    assert table.data == [[1, 1.0, image, {"a": 1}], [2, 0.5, None, None]]
    assert type(table.data[0][1]) is float
    assert len(table) == 2
    assert repr(table) == "<Table of 2 rows: n, x, image, json>"


def test_a_table_of_images_that_are_stored_gives_them_back(start: Start, store_dir: Path) -> None:
    """Images are stored in several seals; each is read from where it is."""
    arrays = [np.full((2, 2), i, np.uint8) for i in range(3)]
    run = start()
    for array in arrays:
        run.log({"t": Image(array)})
        again = Table(["image"], [[Image(array)]])
        assert np.array_equal(np.array(again.data[0][0].image), array)


def test_the_callers_values_are_neither_kept_nor_changed() -> None:
    array, items, data = np.zeros(2), [1, 2], {"a": [1]}
    rows = [[array, items, data]]
    columns = ["array", "list", "dict"]
    table = Table(columns, rows)
    array[:] = 9
    items.append(3)
    data["a"].append(2)
    rows.clear()
    columns.clear()
    ((found_array, found_list, found_dict),) = table.data
    assert found_array.tolist() == [0, 0]
    assert found_list == [1, 2]
    assert found_dict == {"a": [1]}


def test_a_table_without_rows_or_columns_is_logged(start: Start, store_dir: Path) -> None:
    with start() as run:
        run.log({"no rows": Table(["a"]), "no columns": Table([], [[], []])})
    store = maskl.open(store_dir)
    assert (len(store.table("no rows")), len(store.table("no columns"))) == (0, 2)
    assert list(store.table("no rows")) == []
    assert store.table("no rows").to_arrow().num_rows == 0


@pytest.mark.parametrize(
    ("columns", "error", "words"),
    [
        ("abc", InvalidType, "columns must be a list of strings"),
        (3, InvalidType, "columns must be a list of strings"),
        ([1.5], InvalidType, "a column's name must be a string; got 1.5"),
        ([True], InvalidType, "a column's name must be a string; got True"),
        ([1, "1"], InvalidValue, "column '1' occurs twice"),
        ([""], InvalidValue, "must not be empty"),
        (["a", "a"], InvalidValue, "column 'a' occurs twice"),
        (["\ud800"], InvalidValue, "Unicode"),
    ],
    ids=ascii,
)
def test_wrong_columns_are_refused(columns: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        Table(columns)
    assert words in str(caught.value)


@pytest.mark.parametrize("row", ["ab", b"ab", {"a": 1, "b": 2}, 3, None])
def test_a_row_of_another_kind_is_refused(row: Any) -> None:
    with pytest.raises(InvalidType, match="a row of data must be a list"):
        Table(["a", "b"], [row])


@pytest.mark.parametrize("row", [[], [1], [1, 2, 3]])
def test_a_row_of_another_length_is_refused_in_the_known_words(row: list[int]) -> None:
    table = Table(["a", "b"])
    with pytest.raises(InvalidValue) as caught:
        table.add_data(*row)
    assert str(caught.value) == f"This table expects 2 columns: ['a', 'b'], found {len(row)}"
    assert len(table) == 0
