"""Tables: how they are made, changed and read, and what is kept of them."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import numpy as np

from tests.conformance.scenario import Side, differs, plain, same
from tests.conformance.scenarios.images import RGB

ROWS = [[1, "도로"], [2, "car"]]


def kept(side: Side, *values: Any, **arguments: Any) -> Any:
    """Return the type and the values of a column as they are kept."""
    found = side.kept_table(side.Table(columns=["c"], data=[[value] for value in values], **arguments))
    return [found["types"]["c"], [row[0] for row in found["rows"]]]


def frame(**columns: Any) -> Any:
    import pandas as pd

    return pd.DataFrame(columns)


@same("Table", "Table(columns)", "Table(data)", "Table.columns", "Table.data")
def columns_and_data(side: Side) -> object:
    table = side.Table(columns=["id", "이름"], data=ROWS)
    return [list(table.columns), [list(row) for row in table.data], side.kept_table(table)]


@same("Table(columns)")
def columns_by_default(side: Side) -> object:
    return list(side.Table().columns)


@same("Table(columns)")
def columns_by_default_with_data(side: Side) -> object:
    return side.kept_table(side.Table(data=[["in", "out", "expected"]]))


@same("Table(columns)")
def columns_that_are_no_list_of_names(side: Side) -> object:
    wrong = ("ab", [1.5], {"a": 1}, [None])
    return [side.refuses(lambda given=given: side.Table(columns=given)) for given in wrong]


@same("Table(columns)")
def columns_named_by_integers(side: Side) -> object:
    table = side.Table(columns=[0, 1], data=ROWS)
    return [list(table.get_column(0)), side.kept_table(table)["columns"]]


@differs("Table.columns", wandb=[0, 1], maskl=["0", "1"])
def integer_names_in_the_table(side: Side) -> object:
    return list(side.Table(columns=[0, 1], data=ROWS).columns)


@differs("Table(columns)", wandb=False, maskl=True)
def columns_twice_the_same(side: Side) -> object:
    return side.refuses(lambda: side.Table(columns=["a", "a"], data=[[1, 2]]))


@differs("Table(columns)", wandb=["a", "b"], maskl=["a"])
def the_callers_list_of_columns(side: Side) -> object:
    columns = ["a"]
    side.Table(columns=columns, data=[[1]]).add_column("b", [2])
    return columns


@same("Table(data)")
def data_of_arrays(side: Side) -> object:
    return side.kept_table(side.Table(columns=["a", "b"], data=np.array([[1, 2], [3, 4]])))


@same("Table(data)", "Table(dataframe)")
def data_of_dataframes(side: Side) -> object:
    given = frame(id=[1, 2], name=["a", "도로"], score=[0.5, float("nan")])
    return [
        side.kept_table(side.Table(data=given)),
        side.kept_table(side.Table(dataframe=given)),
    ]


@same("Table(dataframe)")
def columns_beside_a_dataframe(side: Side) -> object:
    return side.kept_table(side.Table(dataframe=frame(id=[1], name=["a"]), columns=["x", "y"]))


@differs("Table(data)", "Table(rows)", "Table(dataframe)", wandb=[False, False], maskl=[True, True])
def rows_from_two_places(side: Side) -> object:
    return [
        side.refuses(lambda: side.Table(columns=["id", "name"], rows=ROWS, data=ROWS)),
        side.refuses(lambda: side.Table(columns=["id"], data=[[1]], dataframe=frame(id=[1]))),
    ]


@same("Table(data)")
def data_of_rows_that_are_no_lists(side: Side) -> object:
    return [
        side.kept_table(side.Table(columns=["a", "b"], data=[(1, 2)]))["rows"],
        side.refuses(lambda: side.Table(columns=["a"], data={"a": [1]})),
    ]


@differs("Table(data)", wandb=True, maskl=False)
def a_tuple_of_rows(side: Side) -> object:
    return side.refuses(lambda: side.Table(columns=["a"], data=((1,),)))


@same("Table(data)")
def rows_of_another_length(side: Side) -> object:
    return side.error(lambda: side.Table(columns=["a", "b"], data=[[1]]))


@same("Table(rows)")
def rows_by_their_old_name(side: Side) -> object:
    return side.kept_table(side.Table(columns=["id", "name"], rows=ROWS))


@same("Table(dataframe)")
def dataframes_that_are_none(side: Side) -> object:
    return side.refuses(lambda: side.Table(dataframe=[[1]]))


@same("Table(dtype)")
def one_dtype_for_every_column(side: Side) -> object:
    return [
        side.kept_table(side.Table(columns=["a", "b"], data=[["x", "y"]], dtype=str))["types"],
        side.error(lambda: side.Table(columns=["a", "b"], data=[["x", 1]], dtype=str)),
    ]


@same("Table(dtype)")
def a_dtype_for_each_column(side: Side) -> object:
    kinds = [int, str, bool, side.Image, list, datetime]
    names = list("abcdef")
    row = [1, "x", True, side.Image(RGB), [1], datetime(2026, 1, 2, tzinfo=timezone.utc)]
    table = side.Table(columns=names, data=[row], dtype=kinds)
    errors = []
    for index in range(len(names)):
        wrong = [[*row[:index], object, *row[index + 1 :]]]
        errors.append(side.error(lambda wrong=wrong: side.Table(columns=names, data=wrong, dtype=kinds)))
    return [side.kept_table(table)["types"], errors]


@differs("Table(dtype)", wandb="TypeError", maskl=None)
def dict_as_dtype(side: Side) -> object:
    return side.error(lambda: side.Table(columns=["a"], data=[[{"k": 1}]], dtype=dict))


@differs("Table(dtype)", wandb=False, maskl=True)
def a_dtype_for_too_few_columns(side: Side) -> object:
    return side.refuses(lambda: side.Table(columns=["a", "b"], dtype=[int]))


@same("Table(optional)")
def missing_values_where_they_are_not_optional(side: Side) -> object:
    return [
        side.error(lambda: side.Table(columns=["a"], data=[[1], [None]], optional=False)),
        side.error(lambda: side.Table(columns=["a", "b"], data=[[None, 1]], optional=[True, False], dtype=int)),
        side.error(lambda: side.Table(columns=["a", "b"], data=[[1, None]], optional=[True, False], dtype=int)),
    ]


@same("Table(optional)")
def nan_where_missing_values_are_not_optional(side: Side) -> object:
    return side.error(lambda: side.Table(columns=["a"], data=[[1.0], [float("nan")]], optional=False))


@same("Table(allow_mixed_types)")
def mixed_types(side: Side) -> object:
    return [
        row[0]
        for row in side.kept_table(side.Table(columns=["a"], data=[[1], ["x"], [None], [2.5]], allow_mixed_types=True))[
            "rows"
        ]
    ]


@same("Table(allow_mixed_types)")
def types_that_do_not_mix(side: Side) -> object:
    return [
        side.error(lambda given=given: side.Table(columns=["a"], data=[[1], ["x"]], allow_mixed_types=given))
        for given in (True, False)
    ]


# --- types ------------------------------------------------------------------------------------------


@same("column: int, float, str, bool")
def integers_then_floats(side: Side) -> object:
    return [kept(side, 1, 2), kept(side, 1, 2.5), kept(side, 2.5, 1), kept(side, 1, None, 3)]


@same("column: int, float, str, bool")
def numbers_of_numpy(side: Side) -> object:
    return kept(side, np.int64(1), np.float32(0.5), np.uint8(3))


@same("column: int, float, str, bool")
def strings_and_bools(side: Side) -> object:
    return [kept(side, "a", "도로", "", None), kept(side, True, False, None), kept(side, np.bool_(True))]


@same("column: values that do not go together")
def what_does_not_go_together(side: Side) -> object:
    pairs = (
        (1, "a"),
        ("a", 1),
        (True, "a"),
        ([1], 1),
        ({"k": 1}, [1]),
        (datetime(2026, 1, 1), "a"),
        (True, 1),
        (1, True),
    )
    return [side.error(lambda pair=pair: side.Table(columns=["c"], data=[[pair[0]], [pair[1]]])) for pair in pairs]


@same("column: values that do not go together")
def how_an_error_of_types_begins(side: Side) -> object:
    table = side.Table(columns=["c"], data=[[1]])
    try:
        table.add_data("a")
    except TypeError as error:
        return str(error).startswith("Data row contained incompatible types:")
    return "no error"


@differs("column: values that do not go together", wandb=[True, False], maskl=[True, True])
def what_an_error_of_types_names(side: Side) -> object:
    table = side.Table(columns=["id", "score"], data=[[1, 0.5]])
    try:
        table.add_data(2, "high")
    except TypeError as error:
        return ["score" in str(error), "row 1" in str(error)]
    return "no error"


@same("column: values that do not go together")
def a_row_that_is_refused_leaves_the_table_as_it_was(side: Side) -> object:
    table = side.Table(columns=["c"], data=[[1]])
    side.error(lambda: table.add_data("a"))
    table.add_data(2)
    return side.kept_table(table)["rows"]


@same("column: None and NaN")
def none_and_nan(side: Side) -> object:
    return [kept(side, None, None), kept(side, 0.5, None), kept(side, "a", None), kept(side, None, 1)]


@same("column: None and NaN")
def nan(side: Side) -> object:
    return kept(side, 0.5, float("nan"))


@same("column: None and NaN")
def nan_among_strings(side: Side) -> object:
    return kept(side, "a", float("nan"))


@differs(
    "column: datetime",
    wandb=["timestamp", [None, "2026-01-02T03:04:05+00:00"]],
    maskl=["timestamp", [None, "2026-01-02T03:04:05"]],
)
def nat(side: Side) -> object:
    return kept(side, np.datetime64("NaT"), np.datetime64("2026-01-02T03:04:05"))


@same("column: int, float, str, bool")
def infinity(side: Side) -> object:
    return kept(side, 0.5, float("inf"), float("-inf"))


@same("column: dict")
def dicts(side: Side) -> object:
    return kept(side, {"a": 1, "b": {"c": "도로"}}, {"a": 2, "b": {"c": "x"}})


@differs("column: dict", wandb="TypeError", maskl=None)
def dicts_of_other_keys(side: Side) -> object:
    return side.error(lambda: kept(side, {"a": 1}, {"b": "x"}))


@same("column: list")
def lists(side: Side) -> object:
    return [kept(side, [1, 2], [3]), kept(side, ["a"], []), kept(side, [[1], [2, 3]])]


@same("column: list")
def lists_of_mixed_values(side: Side) -> object:
    return side.error(lambda: kept(side, [1, "a"]))


@differs("column: ndarray", wandb=["list", [[1, 2, 3], [4, 5, 6]]], maskl=["ndarray", [[1, 2, 3], [4, 5, 6]]])
def arrays_of_one_dimension(side: Side) -> object:
    return kept(side, np.array([1, 2, 3]), np.array([4, 5, 6]))


@same("column: ndarray")
def arrays_of_two_and_three_dimensions(side: Side) -> object:
    return [kept(side, np.arange(6).reshape(2, 3)), kept(side, np.arange(8.0).reshape(2, 2, 2), np.ones((2, 2, 2)))]


@differs("column: ndarray", wandb="TypeError", maskl=None)
def arrays_of_different_shapes(side: Side) -> object:
    return side.error(lambda: kept(side, np.zeros((2, 3)), np.zeros((3, 3))))


@same("column: datetime")
def datetimes_with_a_zone(side: Side) -> object:
    kst = timezone(timedelta(hours=9))
    found = kept(side, datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc), datetime(2026, 1, 2, 3, 4, 5, tzinfo=kst))
    return [found[0], [datetime.fromisoformat(value).timestamp() for value in found[1]]]


@differs(
    "column: datetime", wandb=["timestamp", ["2026-01-02T03:04:05+00:00"]], maskl=["timestamp", ["2026-01-02T03:04:05"]]
)
def datetimes_without_a_zone(side: Side) -> object:
    return kept(side, datetime(2026, 1, 2, 3, 4, 5))


@differs("column: datetime", wandb=678000, maskl=678901)
def microseconds(side: Side) -> object:
    (value,) = kept(side, datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone.utc))[1]
    return datetime.fromisoformat(value).microsecond


@differs(
    "column: datetime", wandb=["timestamp", ["2026-01-02T00:00:00+00:00"]], maskl=["timestamp", ["2026-01-02T00:00:00"]]
)
def dates(side: Side) -> object:
    return kept(side, date(2026, 1, 2))


@differs("column: bytes", wandb="UnicodeDecodeError", maskl=["bytes", [{"bytes": "00ff"}]])
def some_bytes(side: Side) -> object:
    try:
        return kept(side, b"\x00\xff")
    except UnicodeDecodeError:
        return "UnicodeDecodeError"


@same("column: int, float, str, bool")
def large_integers(side: Side) -> object:
    return kept(side, 2**53 + 1, -(2**63))


@same("column: Image")
def images_in_columns(side: Side) -> object:
    return kept(side, side.Image(RGB, caption="a"), None, side.Image(RGB[::-1].copy()))


@same("column: list of Image")
def lists_of_images_in_cells(side: Side) -> object:
    ((found,),) = kept(side, [side.Image(RGB)])[1]
    return "their text" if isinstance(found, str) else "images"


# --- methods ----------------------------------------------------------------------------------------


@same("Table.add_data")
def rows_one_by_one(side: Side) -> object:
    table = side.Table(columns=["id", "image"])
    table.add_data(1, side.Image(RGB))
    table.add_data(2, None)
    return [
        side.kept_table(table),
        side.error(lambda: table.add_data(1)),
        side.error(lambda: table.add_data(1, None, 3)),
    ]


@same("Table.add_row")
def rows_by_the_old_method(side: Side) -> object:
    table = side.Table(columns=["id", "name"])
    table.add_row(1, "a")
    return side.kept_table(table)


@same("Table.add_column")
def a_column_more(side: Side) -> object:
    table = side.Table(columns=["id", "name"], data=ROWS)
    table.add_column("score", [0.5, 1])
    table.add_column("count", np.array([3, 4]))
    return side.kept_table(table)


@same("Table.add_column")
def a_first_column(side: Side) -> object:
    table = side.Table(columns=[])
    table.add_column("id", [1, 2])
    return side.kept_table(table)


@same("Table.add_column")
def columns_that_do_not_fit(side: Side) -> object:
    table = side.Table(columns=["id", "name"], data=ROWS)
    tries = (("id", [1, 2]), ("x", [1]), (None, [1, 2]), ("x", "ab"))
    refused = [side.refuses(lambda name=name, data=data: table.add_column(name, data)) for name, data in tries]
    return [refused, side.error(lambda: table.add_column("x", [1, "a"])), side.kept_table(table)]


@same("Table.add_column(optional)")
def missing_values_in_a_column_more(side: Side) -> object:
    table = side.Table(columns=["id", "name"], data=ROWS)
    return [
        side.error(lambda: table.add_column("a", [1, None])),
        side.error(lambda: table.add_column("b", [1, None], optional=True)),
        side.kept_table(table),
    ]


@same("Table.add_computed_columns")
def columns_from_a_function(side: Side) -> object:
    table = side.Table(columns=["x", "y"], data=[[3, 1], [4, 6]])
    table.add_computed_columns(lambda index, row: {"difference": row["x"] - row["y"], "index": int(index)})
    return side.kept_table(table)


@same("Table.add_computed_columns")
def a_function_that_returns_no_dict(side: Side) -> object:
    table = side.Table(columns=["x"], data=[[3]])
    return side.refuses(lambda: table.add_computed_columns(lambda index, row: [1]))


@same("Table.get_column")
def a_column_as_it_is(side: Side) -> object:
    table = side.Table(columns=["id", "name"], data=ROWS)
    return [list(table.get_column("name")), side.refuses(lambda: table.get_column("none"))]


@same("Table.get_column(convert_to)")
def a_column_as_an_array(side: Side) -> object:
    table = side.Table(columns=["id", "vector"], data=[[1, [0.5, 1]], [2, [3, 4]]])
    found = [table.get_column(name, convert_to="numpy") for name in ("id", "vector")]
    wrong = side.refuses(lambda: table.get_column("id", convert_to="list"))
    return [[array.shape, array.dtype.kind, array] for array in found] + [wrong]


@same("Table.get_column(convert_to)")
def a_column_of_images_as_an_array(side: Side) -> object:
    table = side.Table(columns=["image"], data=[[side.Image(RGB)], [side.Image(RGB[::-1].copy())]])
    array = table.get_column("image", convert_to="numpy")
    return [array.shape, array]


@same("Table.get_index")
def the_index_of_each_row(side: Side) -> object:
    table = side.Table(columns=["id", "name"], data=ROWS)
    index = table.get_index()
    return [[int(number) for number in index], all(isinstance(number, int) for number in index), index[1].get_row()]


@same("Table.get_dataframe")
def a_dataframe(side: Side) -> object:
    found = side.Table(columns=["id", "name"], data=ROWS).get_dataframe()
    return [type(found).__name__, list(found.columns), found.to_numpy().tolist()]


@same("Table.iterrows")
def rows_in_turn(side: Side) -> object:
    table = side.Table(columns=["id", "name"], data=ROWS)
    return [[int(index), list(row)] for index, row in table.iterrows()]


@same("Table.cast")
def casting(side: Side) -> object:
    table = side.Table(columns=["id", "name"], data=ROWS)
    return [
        side.error(lambda: table.cast("id", int)),
        side.error(lambda: table.cast("name", int)),
        side.error(lambda: table.cast("id", str)),
        side.refuses(lambda: table.cast("none", int)),
        side.kept_table(table),
    ]


@same("Table.cast")
def casting_binds_later_rows(side: Side) -> object:
    table = side.Table(columns=["c"], data=[[None]])
    table.cast("c", float, optional=True)
    return [
        side.error(lambda: table.add_data("a")),
        side.error(lambda: table.add_data(1)),
        side.error(lambda: table.add_data(None)),
    ]


@same("Table.cast(optional)")
def casting_to_what_must_be_there(side: Side) -> object:
    table = side.Table(columns=["c"], data=[[1], [None]])
    return [side.error(lambda: table.cast("c", int)), side.error(lambda: table.cast("c", int, optional=True))]


@same("Table.set_pk")
def a_primary_key(side: Side) -> object:
    table = side.Table(columns=["id", "name"], data=[["a", "x"], ["b", "y"]])
    table.set_pk("id")
    return [
        side.kept_table(table)["rows"],
        side.refuses(lambda: table.set_pk("none")),
        side.refuses(lambda: table.set_pk("name")),
    ]


@differs("Table.set_pk", wandb="TypeError", maskl=None)
def a_primary_key_of_numbers(side: Side) -> object:
    return side.error(lambda: side.Table(columns=["id", "name"], data=ROWS).set_pk("id"))


@same("Table.set_pk")
def a_primary_key_with_doubles(side: Side) -> object:
    table = side.Table(columns=["id"], data=[["a"], ["a"]])
    return side.error(lambda: table.set_pk("id"))


@same("Table.set_fk")
def a_foreign_key(side: Side) -> object:
    frames = side.Table(columns=["id", "name"], data=[["a", "x"], ["b", "y"]])
    frames.set_pk("id")
    scores = side.Table(columns=["frame", "score"], data=[["a", 0.5], ["b", 0.7]])
    scores.set_fk("frame", frames, "id")
    return [
        [list(row) for row in scores.data],
        side.refuses(lambda: scores.set_fk("none", frames, "id")),
        side.refuses(lambda: scores.set_fk("score", frames, "none")),
    ]


@same("Table.==")
def tables_that_are_equal(side: Side) -> object:
    def made(columns: Any = ("id", "name"), data: Any = ROWS) -> Any:
        return side.Table(columns=list(columns), data=[list(row) for row in data])

    others = [made(), made(("id", "other")), made(data=ROWS[:1]), made(data=[[1, "a"], [2, "b"]]), 3]
    return [made() == other for other in others] + [made() != other for other in others]


@same("Table.==")
def tables_of_arrays_that_are_equal(side: Side) -> object:
    def made(last: int) -> Any:
        return side.Table(columns=["a"], data=[[np.array([1, 2, last])]])

    return [made(3) == made(3), made(3) == made(4)]


@same(
    *(f"Table.add_column({name})" for name in ("name", "data", "optional")),
    *("Table.add_computed_columns(fn)", "Table.get_column(name)", "Table.get_column(convert_to)"),
    *(f"Table.cast({name})" for name in ("col_name", "dtype", "optional")),
    *(f"Table.set_fk({name})" for name in ("col_name", "table", "table_col")),
)
def arguments_by_name(side: Side) -> object:
    frames = side.Table(columns=["id"], data=[["a"], ["b"]])
    table = side.Table(columns=["frame"], data=[["a"], ["b"]])
    table.add_column(name="score", data=[1, None], optional=True)
    table.add_computed_columns(fn=lambda index, row: {"twice": row["frame"] * 2})
    table.cast(col_name="score", dtype=float, optional=True)
    table.set_fk(col_name="frame", table=frames, table_col="id")
    return [
        [[str(cell) if isinstance(cell, str) else cell for cell in row] for row in table.data],
        [str(name) for name in table.get_column(name="twice", convert_to="numpy")],
    ]


@differs("Table.set_pk(col_name)", wandb="TypeError", maskl=None)
def a_primary_key_of_numbers_by_name(side: Side) -> object:
    return side.error(lambda: side.Table(columns=["id", "name"], data=ROWS).set_pk(col_name="id"))


@same("Table.columns")
def columns_of_an_empty_table(side: Side) -> object:
    return list(side.Table(columns=["a", "b"]).columns)


@same("JoinedTable", "JoinedTable(table1)", "JoinedTable(table2)", "JoinedTable(join_key)")
def joined_tables(side: Side) -> object:
    one, two = side.Table(columns=["id", "a"], data=ROWS), side.Table(columns=["id", "b"], data=ROWS)
    return [
        side.error(lambda: side.JoinedTable(one, two, "id")),
        side.error(lambda: side.JoinedTable(one, two, ["id", "id"])),
        side.error(lambda: side.JoinedTable(one, two, 3)),
        side.error(lambda: side.JoinedTable(one, two, ["id"])),
        side.error(lambda: side.JoinedTable(one, 3, "id")),
        side.error(lambda: side.JoinedTable(None, two, "id")),
    ]


@same("JoinedTable.==")
def joined_tables_that_are_equal(side: Side) -> object:
    def made(key: str) -> Any:
        tables = [side.Table(columns=["id", "other"], data=[[1, 2]]) for _ in range(2)]
        return side.JoinedTable(*tables, key)

    return [made("id") == made("id"), made("id") == made("other"), made("id") != made("id")]


@differs("JoinedTable(join_key)", wandb=False, maskl=True)
def a_key_that_is_in_neither_table(side: Side) -> object:
    return side.refuses(lambda: side.JoinedTable(side.Table(columns=["id"]), side.Table(columns=["id"]), "none"))


@same(
    "JoinedTable",
)
def joined_tables_logged(side: Side) -> object:
    joined = side.JoinedTable(side.Table(columns=["id"], data=[[1]]), side.Table(columns=["id"], data=[[1]]), "id")
    with side.init() as run:
        return side.error(lambda: run.log({"joined": joined}))


# --- log modes --------------------------------------------------------------------------------------


def logged(side: Side, mode: str) -> Any:
    """Log a table of one row, add another, and log again; return rows by step."""
    table = side.Table(columns=["id"], data=[[1]], log_mode=mode)
    with side.init() as run:
        run.log({"t": table})
        table.add_data(2)
        run.log({"t": table})
    return [[step, values["t"]["rows"]] for step, values in side.kept(run).history if "t" in values]


@same("Table(log_mode)")
def log_modes(side: Side) -> object:
    modes = ("IMMUTABLE", "MUTABLE", "INCREMENTAL")
    made = [side.error(lambda mode=mode: side.Table(columns=["a"], log_mode=mode)) for mode in modes]
    return [made, side.refuses(lambda: side.Table(log_mode="APPEND"))]


@same("Table.log_mode")
def the_log_mode_of_a_table(side: Side) -> object:
    return [side.Table().log_mode, side.Table(log_mode="MUTABLE").log_mode]


@differs("IMMUTABLE", wandb=[[0, [[1]]], [1, [[1]]]], maskl=[[0, [[1]]]])
def an_immutable_table_logged_twice(side: Side) -> object:
    return logged(side, "IMMUTABLE")


@differs("MUTABLE", wandb=[[0, [[1]]], [1, [[1], [2]]]], maskl=[[1, [[1], [2]]]])
def a_mutable_table_logged_twice(side: Side) -> object:
    return logged(side, "MUTABLE")


@same("INCREMENTAL")
def an_incremental_table_logged_twice(side: Side) -> object:
    return logged(side, "INCREMENTAL")


@same("INCREMENTAL")
def what_an_incremental_table_refuses(side: Side) -> object:
    table = side.Table(columns=["id"], data=[[1]], log_mode="INCREMENTAL")
    return [
        side.refuses(lambda: table.add_column("b", [1])),
        side.refuses(lambda: table.add_computed_columns(lambda index, row: {"c": 1})),
    ]


@differs("INCREMENTAL", wandb=[[1], [1]], maskl=[[1]])
def an_incremental_table_without_new_rows(side: Side) -> object:
    table = side.Table(columns=["id"], data=[[1]], log_mode="INCREMENTAL")
    with side.init() as run:
        run.log({"t": table})
        run.log({"t": table, "x": 1})
    return [row for _, values in side.kept(run).history if "t" in values for row in values["t"]["rows"]]


@same("MUTABLE")
def a_mutable_table_with_a_new_column(side: Side) -> object:
    table = side.Table(columns=["id"], data=[[1]], log_mode="MUTABLE")
    with side.init() as run:
        run.log({"t": table})
        table.add_column("score", [0.5])
        run.log({"t": table})
    return plain(side.kept(run).last("t")["rows"])
