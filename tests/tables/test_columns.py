"""A table's columns: declared types, missing values, mixed types, casts, computed columns, equality."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maskl
from maskl import Classes, Image, Table
from maskl.errors import InvalidType, InvalidValue, NotFound

Start = Callable[..., maskl.Run]
SEOUL = timezone(timedelta(hours=9))
ROADS = Classes([{"id": 2, "name": "나무", "color": "#00ff00"}, {"id": 1, "name": "road"}])
PIXELS = np.zeros((2, 3, 3), np.uint8)


def logged(table: Table, store_dir: Path) -> list[dict[str, Any]]:
    """Log a table and return its rows as they come back."""
    maskl.finish()
    with maskl.init(dir=store_dir) as run:
        run.log({"t": table})
    return [dict(row) for row in maskl.open(store_dir).table("t", run=run.id)]


def types_in_sql(store_dir: Path) -> dict[str, str]:
    relation = maskl.open(store_dir).sql("FROM t")
    return dict(zip(relation.columns, map(str, relation.types), strict=True))


# --- declared types -----------------------------------------------------------------------------

GOOD: list[tuple[Any, list[Any]]] = [
    (int, [1, np.int8(2), 0.5]),
    (float, [0.5, 1]),
    (bool, [True, np.bool_(False)]),
    (str, ["a", np.str_("나무")]),
    (bytes, [b"a"]),
    (datetime, [datetime(2026, 1, 1)]),
    (date, [date(2026, 1, 1)]),
    (list, [[1], []]),
    (tuple, [(1,), [2]]),
    (dict, [{"a": 1}, {}]),
    (np.ndarray, [np.zeros(2), np.zeros(3)]),
    (np.float32, [0.5]),
    (Image, [Image(PIXELS)]),
    ([int], [[1, 2], []]),
    ([[int]], [[[1], [2]]]),
    ([], [[1]]),
    ({"x": int, "y": str}, [{"x": 1, "y": "a"}]),
    (5, [5, 5]),
    ("low", ["low"]),
    (ROADS, [1, 2]),
    (ROADS.get_type(), [1, np.uint8(2)]),
]
BAD: list[tuple[Any, Any, str]] = [
    (int, "x", "takes number; got 'x'"),
    (int, True, "takes number; got True"),
    (float, "x", "takes number"),
    (bool, 1, "takes boolean; got 1"),
    (str, 1, "takes string; got 1"),
    (bytes, "a", "takes bytes"),
    (datetime, "2026", "takes timestamp"),
    (list, 1, "takes list"),
    (dict, [1], "takes dict"),
    (np.ndarray, [1], "takes array"),
    (Image, 1, "takes Image; got 1"),
    ([int], ["a"], "takes list of number; got ['a']"),
    ([int], [None], "takes list of number"),
    ({"x": int}, {"x": "a"}, "takes dict of x: number"),
    ({"x": int}, {"x": 1, "z": 1}, "takes dict of x: number"),
    ({"x": int}, {}, "takes dict of x: number"),
    (5, 6, "takes 5; got 6"),
    (5, 5.0, "takes 5; got 5.0"),
    ("int", 5, "takes 'int'; got 5"),
    (ROADS, 3, "takes ids of classes (1, 2); got 3"),
    (ROADS, "road", "takes ids of classes (1, 2); got 'road'"),
]


@pytest.mark.parametrize(("dtype", "values"), GOOD, ids=lambda value: ascii(value)[:30])
def test_a_declared_type_takes_its_values_and_missing_ones(dtype: Any, values: list[Any], store_dir: Path) -> None:
    table = Table(["a", "other"], dtype=[dtype, None])
    for value in values:
        table.add_data(value, "x")
    table.add_data(None, "y")
    rows = logged(table, store_dir)
    assert len(rows) == len(values) + 1
    assert rows[-1] == {"a": None, "other": "y"}
    plain = Table(["a"], [[value] for value in values]).data
    assert all(
        np.array_equal(row["a"], value) if isinstance(value, np.ndarray) else row["a"] == value
        for row, (value,) in zip(rows, plain, strict=False)
    )


@pytest.mark.parametrize(("dtype", "value", "words"), BAD, ids=lambda value: ascii(value)[:30])
def test_a_declared_type_refuses_others_by_row_and_column(dtype: Any, value: Any, words: str) -> None:
    table = Table(["other", "a"], [["x", None]], dtype=[str, dtype])
    with pytest.raises(TypeError, match=r"^Data row contained incompatible types: row 1, column 'a' ") as caught:
        table.add_data("y", value)
    assert isinstance(caught.value, InvalidType)
    assert words in str(caught.value)
    assert table.data == [["x", None]]


def test_one_type_goes_for_all_columns() -> None:
    table = Table(["a", "b"], [[1, 2]], dtype=int)
    with pytest.raises(InvalidType, match="column 'b'"):
        table.add_data(1, "x")


def test_an_empty_column_has_its_declared_type_in_sql(store_dir: Path) -> None:
    logged(Table(["i", "f", "s", "b"], dtype=[int, float, str, bool]), store_dir)
    found = types_in_sql(store_dir)
    assert [found[name] for name in "ifsb"] == ["BIGINT", "DOUBLE", "VARCHAR", "BOOLEAN"]


@pytest.mark.parametrize("missing", [None, float("nan"), np.float32("nan"), np.datetime64("NaT")], ids=str)
def test_a_column_that_is_not_optional_takes_no_missing_value(missing: Any) -> None:
    table = Table(["a", "b"], optional=[True, False])
    table.add_data(missing, 1)
    with pytest.raises(InvalidType, match="row 1, column 'b' takes no missing values; got"):
        table.add_data(1, missing)
    assert table.data == [[None, 1]]
    with pytest.raises(InvalidType, match="row 0, column 'a' takes no missing values"):
        Table(["a"], [[missing]], optional=False)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"dtype": [int]}, InvalidValue, "dtype must be one value or a list of 2, one a column; got 1"),
        ({"optional": [True]}, InvalidValue, "optional must be one value or a list of 2"),
        ({"optional": 1}, InvalidType, "optional must be True or False"),
        ({"dtype": complex}, InvalidType, "dtype complex is not known"),
        ({"dtype": 1j}, InvalidType, "dtype 1j is neither a type nor a plain value"),
        ({"data": [[1, 2]], "rows": [[1, 2]]}, InvalidValue, "one of data, rows and dataframe; got data and rows"),
        ({"data": 5}, InvalidType, "data must be a list of rows, an array or a data frame; got 5"),
        ({"data": "ab"}, InvalidType, "data must be a list of rows"),
    ],
    ids=ascii,
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        Table(["a", "b"], **arguments)
    assert words in str(caught.value)


def test_arguments_come_in_the_known_order(store_dir: Path) -> None:
    table = Table(["a"], None, [[1]], None, int, False, False, "MUTABLE")
    assert table.data == [[1]]
    with pytest.raises(InvalidType):
        table.add_data(None)


@pytest.mark.parametrize("dtype", ["i8", "u1", "f4", "?"])
def test_an_array_gives_rows(dtype: str) -> None:
    array = np.array([[0, 1], [1, 0], [1, 1]]).astype(dtype)
    table = Table(["a", 1], data=array)
    assert table.columns == ["a", "1"]
    assert table.data == array.tolist()
    assert {type(value) for row in table.data for value in row} == {type(array[0, 0].item())}


# --- mixed types --------------------------------------------------------------------------------

ANYTHING = [
    1,
    "a",
    0.5,
    None,
    True,
    b"\x00",
    [1, "x"],
    [1, 2],
    {"a": {1: [None]}},
    datetime(2026, 1, 2),
    datetime(2026, 1, 2, tzinfo=timezone.utc),
    float("inf"),
    (1 << 53) + 1,
    "$x",
]


@pytest.mark.parametrize("turn", range(len(ANYTHING)))
def test_mixed_values_come_back_with_their_types(store_dir: Path, turn: int) -> None:
    values = ANYTHING[turn:] + ANYTHING[:turn]
    table = Table(["id", "a"], allow_mixed_types=True)
    for number, value in enumerate(values):
        table.add_data(number, value)
    assert [row[1] for row in table.data] == values
    found = [row["a"] for row in logged(table, store_dir)]
    assert found == values
    assert list(map(type, found)) == list(map(type, values))
    assert types_in_sql(store_dir)["id"] == "BIGINT"


def test_a_mixed_array_comes_back(store_dir: Path) -> None:
    rows = logged(Table(["a"], [["x"], [np.arange(3, dtype=np.uint8)]], allow_mixed_types=True), store_dir)
    assert rows[1]["a"].dtype == np.uint8
    assert rows[1]["a"].tolist() == [0, 1, 2]


def test_a_column_of_one_type_stays_of_that_type(store_dir: Path) -> None:
    table = Table(["n", "image", "s"], [[1, Image(PIXELS), "a"], [0.5, None, None]], allow_mixed_types=True)
    rows = logged(table, store_dir)
    assert [row["n"] for row in rows] == [1.0, 0.5]
    found = types_in_sql(store_dir)
    assert (found["n"], found["s"]) == ("DOUBLE", "VARCHAR")


def test_mixed_values_are_plain_json_in_sql(store_dir: Path) -> None:
    logged(Table(["a"], [[1], ["x"], [{"k": [2]}], [None]], allow_mixed_types=True), store_dir)
    found = maskl.open(store_dir).sql("SELECT a, json_extract(a, '$.k[0]') FROM t ORDER BY _row").fetchall()
    assert found == [("1", None), ('"x"', None), ('{"k": [2]}', "2"), (None, None)]


def test_images_do_not_mix_with_values() -> None:
    table = Table(["a"], [[1]], allow_mixed_types=True)
    with pytest.raises(InvalidType, match="row 1, column 'a' holds int; got Image"):
        table.add_data(Image(PIXELS))
    with pytest.raises(InvalidType, match="row 0, column 'a' takes no missing values"):
        Table(["a"], [[None]], allow_mixed_types=True, optional=False)


def test_a_union_takes_several_types_and_no_other(store_dir: Path) -> None:
    table = Table(["a"], dtype=[[int, str]])
    for value in (1, "a", None, 2.5):
        table.add_data(value)
    with pytest.raises(InvalidType, match="takes number or string; got True"):
        table.add_data(True)
    assert [row["a"] for row in logged(table, store_dir)] == [1, "a", None, 2.5]


# --- casts --------------------------------------------------------------------------------------


def test_class_ids_take_their_classes_into_the_store(store_dir: Path) -> None:
    table = Table(["id", "class"], [[0, 1], [1, 2]])
    found = table.cast("class", ROADS.get_type())
    assert str(found) == "ids of classes (1, 2), never missing"
    for value in (3, None, "road"):
        with pytest.raises(InvalidType, match="row 2, column 'class' takes"):
            table.add_data(2, value)
    table.add_data(2, np.uint8(1))
    assert [row["class"] for row in logged(table, store_dir)] == [1, 2, 1]
    column = next(iter(maskl.open(store_dir).table("t")._parts)).described.columns["class"]
    assert [item.to_json() for items in column.class_sets for item in items] == [
        {"id": 1, "name": "road"},
        {"id": 2, "name": "나무", "color": "#00ff00"},
    ]
    assert types_in_sql(store_dir)["class"] == "BIGINT"


@pytest.mark.parametrize(
    ("values", "dtype", "optional", "words"),
    [
        ([1, 3], ROADS.get_type(), False, "Existing data of column 'a' cannot be cast to ids of classes (1, 2)"),
        ([1, "a"], str, False, "cannot be cast to string"),
        ([1, None], int, False, "takes no missing values"),
        ([Image(PIXELS), None], Image, False, "some rows have no image"),
        ([Image(PIXELS)], int, True, "which are images, cannot be cast to number"),
    ],
    ids=ascii,
)
def test_a_cast_that_values_contradict_changes_nothing(
    values: list[Any], dtype: Any, optional: bool, words: str
) -> None:
    table = Table(["a"], [[value] for value in values], allow_mixed_types=True)
    before = table.data
    with pytest.raises(InvalidType) as caught:
        table.cast("a", dtype, optional)
    assert words in str(caught.value)
    assert table.data == before
    table.add_data(None)


def test_a_cast_changes_what_the_column_is(store_dir: Path) -> None:
    table = Table(["f", "o", "image", "any"], [[1, 1, Image(PIXELS), 1]])
    table.cast("f", float)
    table.cast("o", int, optional=True)
    table.cast("image", Image)
    table.cast("any", object, optional=True)
    table.add_data(2, None, Image(PIXELS), "x")
    with pytest.raises(InvalidType, match="column 'image' takes no missing values"):
        table.add_data(2, None, None, 1)
    rows = logged(table, store_dir)
    assert [(row["f"], row["o"], row["any"]) for row in rows] == [(1.0, 1, 1), (2.0, None, "x")]
    assert types_in_sql(store_dir)["f"] == "DOUBLE"


@pytest.mark.parametrize(
    "call",
    [
        lambda table: table.cast("x", int),
        lambda table: table.get_column("x"),
        lambda table: table.set_pk("x"),
        lambda table: table.set_fk("x", Table(["k"]), "k"),
        lambda table: table.set_fk("a", Table(["k"]), "x"),
    ],
)
def test_a_column_that_is_not_there_is_named(call: Callable[[Table], Any]) -> None:
    with pytest.raises(NotFound, match="there is no column 'x'; there are: '"):
        call(Table(["a"], [["s"]]))


# --- keys ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [["a", "b"], [1, 2]], ids=str)
def test_keys_are_strings_or_integers(values: list[Any]) -> None:
    table = Table(["k", "f"], [[value, value] for value in values])
    table.set_pk("k")
    table.set_fk("f", Table(["other"], [["a"]]), "other")
    for bad in (None, 0.5, True):
        with pytest.raises(InvalidType, match="column 'k' takes"):
            table.add_data(bad, values[0])
        with pytest.raises(InvalidType, match="column 'f' takes"):
            table.add_data(values[0], bad)
    table.add_data(values[1], values[0])
    assert len(table) == 3


@pytest.mark.parametrize("value", [None, 0.5, [1], Image(PIXELS)], ids=str)
def test_what_tells_no_rows_apart_is_no_key(value: Any) -> None:
    table = Table(["k"], [[value]])
    with pytest.raises(InvalidType, match=r"Existing data of column 'k'.* cannot be cast to a primary key"):
        table.set_pk("k")
    table.add_data(value)


def test_keys_that_contradict_each_other_are_refused() -> None:
    table = Table(["a", "b"], [["x", "y"]])
    table.set_pk("a")
    table.set_pk("a")
    with pytest.raises(InvalidValue, match="column 'a' is the primary key already"):
        table.set_pk("b")
    with pytest.raises(InvalidValue, match="column 'a' is the primary key; it cannot be a foreign key"):
        table.set_fk("a", Table(["k"]), "k")
    with pytest.raises(InvalidValue, match="another table"):
        table.set_fk("b", table, "a")
    with pytest.raises(InvalidType, match="refers to a Table; got list"):
        table.set_fk("b", [], "a")  # type: ignore[arg-type]


def test_row_numbers_know_their_row() -> None:
    table = Table(["a", "b"], [[1, "x"], [2, "y"]])
    assert [(index, index.get_row()) for index in table.get_index()] == [
        (0, {"a": 1, "b": "x"}),
        (1, {"a": 2, "b": "y"}),
    ]
    assert [(index, row) for index, row in table.iterrows()] == [(0, [1, "x"]), (1, [2, "y"])]
    other = Table(["i"], [[index] for index, _ in table.iterrows()])
    assert other.data == [[0], [1]]
    assert type(other.data[0][0]) is int


# --- new columns --------------------------------------------------------------------------------


def test_a_column_is_added(store_dir: Path) -> None:
    table = Table(["a"], [[1], [2]])
    table.add_column("image", [Image(PIXELS, caption="x"), Image(PIXELS)])
    table.add_column("array", np.array([[1, 2], [3, 4]], np.uint8))
    table.add_column("gaps", [None, 1], optional=True)
    table.add_column("numbers", np.array([1, 2]))
    assert table.columns == ["a", "image", "array", "gaps", "numbers"]
    rows = logged(table, store_dir)
    assert [row["image"].caption for row in rows] == ["x", None]
    assert [row["array"].tolist() for row in rows] == [[1, 2], [3, 4]]
    assert [(row["gaps"], row["numbers"]) for row in rows] == [(None, 1), (1, 2)]


def test_the_first_column_makes_the_rows() -> None:
    table = Table([])
    table.add_column("a", [1, 2])
    table.add_data(3)
    assert table.data == [[1], [2], [3]]


@pytest.mark.parametrize(
    ("name", "data", "error", "words"),
    [
        ("a", [1, 2], InvalidValue, "column 'a' occurs twice"),
        ("b", [1], InvalidValue, "column 'b' needs 2 values, one a row; got 1"),
        ("b", [1, "x"], InvalidType, "row 1, column 'b' holds int; got string"),
        ("b", [1, None], InvalidType, "row 1, column 'b' takes no missing values"),
        ("b", [1, object()], InvalidType, "row 1: column 'b' cannot hold a object"),
        ("b", "xy", InvalidType, "must be a list or an array; got str"),
        ("b", 5, InvalidType, "must be a list or an array; got int"),
    ],
)
def test_a_column_that_does_not_fit_changes_nothing(name: str, data: Any, error: type[Exception], words: str) -> None:
    table = Table(["a"], [[1], [2]])
    with pytest.raises(error) as caught:
        table.add_column(name, data)
    assert words in str(caught.value)
    assert (table.columns, table.data) == (["a"], [[1], [2]])


def test_computed_columns_see_the_rows() -> None:
    table = Table(["x", "image"], [[3, Image(PIXELS)], [1, Image(PIXELS)]])
    table.add_computed_columns(lambda index, row: {"i": index, "width": row["image"].width * row["x"]})
    assert table.columns == ["x", "image", "i", "width"]
    assert [row[2:] for row in table.data] == [[0, 9], [1, 3]]


@pytest.mark.parametrize(
    ("fn", "error", "words"),
    [
        (
            lambda index, row: {"b": 1} if index else {},
            InvalidValue,
            "row 1: the function returned ['b'], for row 0 []",
        ),
        (lambda index, row: [index], InvalidType, "row 0: the function must return a dict; got list"),
        (lambda index, row: {"b": 1, "a": 2}, InvalidValue, "column 'a' occurs twice"),
        (lambda index, row: {"b": 1, "c": index or "x"}, InvalidType, "row 1, column 'c' holds string; got int"),
    ],
)
def test_computed_columns_that_do_not_fit_change_nothing(fn: Any, error: type[Exception], words: str) -> None:
    table = Table(["a"], [[1], [2]])
    with pytest.raises(error) as caught:
        table.add_computed_columns(fn)
    assert words in str(caught.value)
    assert (table.columns, table.data) == (["a"], [[1], [2]])


# --- columns as arrays --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([1, 2], "int64", [1, 2]),
        ([True, False], "bool", [True, False]),
        ([0.5, None], "float64", [0.5, float("nan")]),
        ([1, None], "object", [1, None]),
        (["나무", "b"], "<U2", ["나무", "b"]),
        (["a\x00", "b"], "object", ["a\x00", "b"]),
        ([b"a\x00", b"b"], "object", [b"a\x00", b"b"]),
        ([[1, 2], [3, 4]], "int64", [[1, 2], [3, 4]]),
        ([[1], [3, 4]], "object", [[1], [3, 4]]),
        ([np.zeros((1, 2), np.uint8)] * 2, "uint8", [[[0, 0]], [[0, 0]]]),
        ([Image(PIXELS), Image(PIXELS)], "uint8", np.array([PIXELS, PIXELS]).tolist()),
        ([None, None], "object", [None, None]),
    ],
    ids=ascii,
)
def test_a_column_as_an_array(values: list[Any], dtype: str, expected: list[Any]) -> None:
    table = Table(["a"], [[value] for value in values])
    found = table.get_column("a", convert_to="numpy")
    assert found.dtype == dtype
    np.testing.assert_equal(found.tolist(), expected)


def test_a_column_as_a_list() -> None:
    table = Table(["a", "b"], [[1, "x"], [None, "y"]])
    assert table.get_column("a") == [1, None]
    with pytest.raises(InvalidValue, match="convert_to must be None or 'numpy'; got 'torch'"):
        table.get_column("a", convert_to="torch")  # type: ignore[arg-type]


# --- equality -----------------------------------------------------------------------------------


def masked(mask: list[int], caption: str | None = None) -> Image:
    return Image(PIXELS, caption=caption, masks={"m": {"mask_data": np.array([mask, mask], np.uint8)}})


@pytest.mark.parametrize(
    "value",
    [
        1,
        "a",
        None,
        float("nan"),
        [1, float("nan")],
        np.array([1.0, float("nan")]),
        {"a": np.arange(3)},
        masked([0, 1, 2]),
        datetime(2026, 1, 2, tzinfo=SEOUL),
    ],
    ids=ascii,
)
def test_tables_of_equal_values_are_equal(value: Any) -> None:
    first, second = (Table(["a", "b"], [[value, 1], [None, 2]]) for _ in range(2))
    assert (first == second) is True
    assert (first != second) is False


@pytest.mark.parametrize(
    "other",
    [
        Table(["a"], [[np.array([1, 2])]]),
        Table(["a", "b"], [[np.array([1, 2]), 2]]),
        Table(["a", "b"], [[np.array([1, 3]), 1]]),
        Table(["a", "b"], [[np.array([1, 2, 3]), 1]]),
        Table(["a", "b"], [[np.array([1.0, 2.0]), 1]]),
        Table(["a", "b"], [[[1, 2], 1]]),
        Table(["a", "b"], [[None, 1]]),
        Table(["a", "c"], [[np.array([1, 2]), 1]]),
        Table(["a", "b"], [[np.array([1, 2]), "1"]]),
        Table(["a", "b"], [[np.array([1, 2]), 1]], optional=False),
        Table(["a", "b"], [[np.array([1, 2]), 1]] * 2),
        3,
    ],
    ids=lambda other: ascii(getattr(other, "data", other)),
)
def test_other_tables_are_not_equal(other: Any) -> None:
    table = Table(["a", "b"], [[np.array([1, 2]), 1]])
    assert (table == other) is False
    assert (table != other) is True


def test_integers_and_floats_are_numbers_and_pixels_are_compared() -> None:
    assert Table(["a"], [[1]]) == Table(["a"], [[1.0]])
    assert Table(["a"], [[masked([0, 1, 2])]]) != Table(["a"], [[masked([0, 1, 1])]])
    assert Table(["a"], [[masked([0, 1, 2])]]) != Table(["a"], [[masked([0, 1, 2], "x")]])


def test_the_same_pixels_from_a_file_and_an_array_are_equal(tmp_path: Path) -> None:
    from PIL import Image as PILImage

    PILImage.fromarray(PIXELS).save(tmp_path / "a.png")
    assert Table(["a"], [[Image(str(tmp_path / "a.png"))]]) == Table(["a"], [[Image(PIXELS)]])


def test_values_that_a_table_gives_are_the_callers_own() -> None:
    table = Table(["a", "b"], [[[1], np.zeros(1)]])
    table.data[0][0].append(2)
    table.data[0][1][0] = 9
    assert table.data[0][0] == [1]
    assert table.data[0][1].tolist() == [0]
