"""Data frames become tables with their own names, types and values, whatever library they are of."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pyarrow as pa
import pytest

import maskl
from maskl import Classes, Image, Table
from maskl.adapters.frames import is_frame
from maskl.errors import ConversionWarning, InvalidType, InvalidValue, MissingExtra

UTC = timezone.utc
SEOUL = ZoneInfo("Asia/Seoul")

VALUES: dict[str, list[Any]] = {
    "int": [1, None, -(1 << 63)],
    "float": [0.5, None, float("inf")],
    "bool": [True, None, False],
    "이름": ["나무", None, ""],
    "bytes": [b"a\x00", None, b""],
    "naive": [datetime(2026, 1, 2, 3, 4, 5, 678901), None, datetime(1, 1, 1)],
    "aware": [datetime(2026, 1, 2, 3, tzinfo=UTC), None, datetime(1970, 1, 1, tzinfo=UTC)],
    "list": [[1, None], None, []],
    "words": [["a"], None, ["b", None]],
    "nested": [[[1], [2, 3]], None, []],
    "struct": [{"a": 1, "b": ["x"]}, None, {"a": None, "b": None}],
    "nothing": [None, None, None],
}
ARROW = pa.table(
    {
        **{name: pa.array(values) for name, values in VALUES.items() if name != "aware"},
        "aware": pa.array(VALUES["aware"], pa.timestamp("us", tz="UTC")),
    }
).select(list(VALUES))


def logged(frame: Any, store_dir: Path, **more: Any) -> list[dict[str, Any]]:
    maskl.finish()
    with maskl.init(dir=store_dir) as run:
        run.log({"t": Table(dataframe=frame, **more)})
    return [dict(row) for row in maskl.open(store_dir).table("t", run=run.id)]


def polars() -> Any:
    return pytest.importorskip("polars").from_arrow(ARROW.drop_columns(["nothing"]))


def pandas() -> Any:
    pd = pytest.importorskip("pandas")
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in VALUES.items()})


def relation() -> Any:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.register("frame", ARROW.drop_columns(["nothing"]))
    return connection.sql("FROM frame")


@pytest.mark.parametrize(
    "make",
    [lambda: ARROW, lambda: ARROW.to_batches()[0], lambda: ARROW.to_reader(), relation, polars, pandas],
    ids=["table", "batch", "reader", "duckdb", "polars", "pandas"],
)
def test_every_column_keeps_its_values(make: Callable[[], Any], store_dir: Path) -> None:
    frame = make()
    rows = logged(frame, store_dir)
    for name, values in VALUES.items():
        if name in rows[0]:
            found = [row[name] for row in rows]
            assert found == values
            assert list(map(type, found)) == list(map(type, values))
    assert set(VALUES) - set(rows[0]) <= {"nothing"}


def test_a_frame_is_the_same_table_as_its_rows(store_dir: Path) -> None:
    rows = [list(row.values()) for row in ARROW.to_pylist()]
    table = Table(dataframe=ARROW)
    assert table == Table(list(VALUES), rows)
    assert table.data == rows
    assert len(table) == 3
    assert table.get_column("이름") == VALUES["이름"]
    assert [row for _, row in table.iterrows()] == rows
    assert Table(data=ARROW) == table


@pytest.mark.parametrize(
    ("array", "expected", "sql"),
    [
        (pa.array([1, 255], pa.uint8()), [1, 255], "BIGINT"),
        (pa.array([1, (1 << 63) - 1], pa.uint64()), [1, (1 << 63) - 1], "BIGINT"),
        (pa.array([0.5, float("nan")], pa.float32()), [0.5, None], "DOUBLE"),
        (pa.array([np.float16(0.5)], pa.float16()), [0.5], "DOUBLE"),
        (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"], "VARCHAR"),
        (pa.array(["a"], pa.large_string()), ["a"], "VARCHAR"),
        (pa.array(["a"], pa.string_view()), ["a"], "VARCHAR"),
        (pa.array([b"ab"], pa.binary(2)), [b"ab"], "BLOB"),
        (pa.array([date(2026, 1, 2)]), [datetime(2026, 1, 2)], "TIMESTAMP"),
        (pa.array([5], pa.timestamp("s")), [datetime(1970, 1, 1, 0, 0, 5)], "TIMESTAMP"),
        (pa.array([5000], pa.timestamp("ns")), [datetime(1970, 1, 1, 0, 0, 0, 5)], "TIMESTAMP"),
        (
            pa.array([0], pa.timestamp("ms", tz="Asia/Seoul")),
            [datetime(1970, 1, 1, 9, tzinfo=SEOUL)],
            "TIMESTAMP WITH TIME ZONE",
        ),
        (pa.array([[1.5, float("nan")]], pa.list_(pa.float32(), 2)), [[1.5, float("nan")]], "DOUBLE[]"),
        (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())), [{"a": 1}], "VARCHAR"),
        (pa.array([{"t": datetime(2026, 1, 2)}]), [{"t": datetime(2026, 1, 2)}], "VARCHAR"),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else None,
)
def test_arrow_types_have_a_counterpart(array: pa.Array, expected: list[Any], sql: str, store_dir: Path) -> None:
    rows = logged(pa.table({"a": array}), store_dir)
    np.testing.assert_equal([row["a"] for row in rows], expected)
    relation = maskl.open(store_dir).sql("SELECT a FROM t")
    assert str(relation.types[0]) == sql


@pytest.mark.parametrize(
    ("array", "error", "words"),
    [
        (pa.array([1 << 63], pa.uint64()), InvalidValue, "column 'a': Integer value 9223372036854775808"),
        (pa.array([Decimal("1.5")]), InvalidType, "column 'a': Arrow type decimal128(2, 1) has no counterpart"),
        (pa.array([5], pa.duration("s")), InvalidType, "duration[s] has no counterpart"),
        (pa.array([5], pa.time64("us")), InvalidType, "time64[us] has no counterpart"),
        (pa.array([1 << 40], pa.timestamp("s")), InvalidValue, "column 'a': a timestamp lies outside the years"),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else None,
)
def test_what_a_column_cannot_hold_is_refused(array: pa.Array, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        Table(dataframe=pa.table({"a": array}))
    assert words in str(caught.value)


def test_nanoseconds_are_lost_with_a_warning() -> None:
    with pytest.warns(ConversionWarning, match="column 'a': its timestamps are kept to the microsecond"):
        table = Table(dataframe=pa.table({"a": pa.array([1001], pa.timestamp("ns"))}))
    assert table.data == [[datetime(1970, 1, 1, 0, 0, 0, 1)]]
    with pytest.warns(ConversionWarning, match="kept to the microsecond"):
        Table(["a"], [[np.datetime64(1001, "ns")]])


@pytest.mark.parametrize(
    "frame", [5, [[1]], {"a": [1]}, pa.chunked_array([[1]]), pa.array([1])], ids=lambda frame: type(frame).__name__
)
def test_something_else_is_no_frame(frame: Any) -> None:
    assert not is_frame(frame)
    with pytest.raises(InvalidType, match="dataframe must be a data frame of pandas, Polars"):
        Table(dataframe=frame)


def test_columns_are_the_frames() -> None:
    with pytest.warns(ConversionWarning, match="the columns of the data frame are taken"):
        table = Table(["x"], dataframe=pa.table({"a": [1]}))
    assert table.columns == ["a"]
    assert Table(["a"], dataframe=pa.table({"a": [1]})).columns == ["a"]
    with pytest.raises(InvalidValue, match="column 'a' occurs twice"):
        Table(dataframe=pa.table([[1], [2]], names=["a", "a"]))


def test_a_frame_without_rows_keeps_its_types(store_dir: Path) -> None:
    assert logged(ARROW.slice(0, 0), store_dir) == []
    relation = maskl.open(store_dir).sql("SELECT int, float, aware FROM t")
    assert list(map(str, relation.types)) == ["BIGINT", "DOUBLE", "TIMESTAMP WITH TIME ZONE"]


# --- rows and columns that join a frame ---------------------------------------------------------


def test_rows_and_columns_are_added_to_a_frame(store_dir: Path) -> None:
    table = Table(dataframe=pa.table({"a": [1, 2], "s": ["x", None]}))
    table.add_data(0.5, "나무")
    table.add_column("c", [10, 20, 30])
    table.add_computed_columns(lambda index, row: {"d": row["a"] * row["c"]})
    table.add_column("image", [Image(np.full((1, 1), value, np.uint8)) for value in range(3)])
    table.add_data(4, "y", 40, 1, Image(np.full((1, 1), 3, np.uint8)))
    maskl.finish()
    with maskl.init(dir=store_dir) as run:
        run.log({"t": table})
    rows = maskl.open(store_dir).table("t")
    assert [list(row.values())[:4] for row in rows] == [
        [1.0, "x", 10, 10.0],
        [2.0, None, 20, 40.0],
        [0.5, "나무", 30, 15.0],
        [4.0, "y", 40, 1.0],
    ]
    assert [np.array(row["image"].image).item() for row in rows] == [0, 1, 2, 3]


def test_a_frames_column_of_mixed_values(store_dir: Path) -> None:
    table = Table(dataframe=pa.table({"a": [1, None]}), allow_mixed_types=True)
    table.add_data("x")
    table.add_data(b"y")
    assert table.data == [[1], [None], ["x"], [b"y"]]
    maskl.finish()
    with maskl.init(dir=store_dir) as run:
        run.log({"t": table})
    assert [row["a"] for row in maskl.open(store_dir).table("t")] == [1, None, "x", b"y"]


def test_integers_of_a_frame_that_no_float_holds_stay() -> None:
    table = Table(dataframe=pa.table({"a": [(1 << 53) + 1]}))
    with pytest.raises(InvalidValue, match="row 1, column 'a': integers and floats"):
        table.add_data(0.5)
    assert table.data == [[(1 << 53) + 1]]


def test_declared_types_hold_for_frames(store_dir: Path) -> None:
    classes = Classes([{"id": 1, "name": "a"}, {"id": 2, "name": "b"}])
    table = Table(dataframe=pa.table({"a": [1, 2, 1]}), dtype=classes.get_type())
    with pytest.raises(InvalidType, match="takes ids of classes"):
        table.add_data(3)
    for frame, dtype, optional, words in (
        ([1, 3], classes.get_type(), True, "row 1, column 'a' takes ids of classes (1, 2); got 3"),
        (["x"], int, True, "row 0, column 'a' takes number; got 'x'"),
        ([1, None], int, False, "row 1, column 'a' takes no missing values"),
        ([5, 6], 5, True, "row 1, column 'a' takes 5; got 6"),
    ):
        with pytest.raises(InvalidType) as caught:
            Table(dataframe=pa.table({"a": frame}), dtype=dtype, optional=optional)
        assert words in str(caught.value)
    assert logged(pa.table({"a": [1]}), store_dir, dtype=float) == [{"a": 1.0}]


def test_casts_and_keys_of_a_frame() -> None:
    table = Table(dataframe=pa.table({"a": [1, 2], "s": ["x", "y"]}))
    table.set_pk("s")
    table.cast("a", float)
    assert table.data == [[1.0, "x"], [2.0, "y"]]
    with pytest.raises(InvalidType, match="column 's' takes a primary key"):
        table.add_data(1, 0.5)


# --- pandas -------------------------------------------------------------------------------------


def test_pandas_columns_keep_what_they_hold(store_dir: Path) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        {
            "i": np.array([1, 2], np.int32),
            "gaps": pd.array([1, None], "Int64"),
            "f": np.array([0.5, np.nan]),
            "text": ["나무", None],
            "category": pd.Categorical(["a", "b"]),
            "when": pd.to_datetime(["2026-01-02", None]),
            "zone": pd.to_datetime(["2026-01-02", "2026-01-03"]).tz_localize("Asia/Seoul"),
            "array": [np.arange(2, dtype=np.uint8), None],
            "dict": [{"a": b"x"}, None],
            "image": [Image(np.zeros((1, 1), np.uint8)), None],
        },
        index=[5, 7],
    )
    rows = logged(frame, store_dir)
    assert [row["array"].tolist() if row["array"] is not None else None for row in rows] == [[0, 1], None]
    assert rows[0]["array"].dtype == np.uint8
    assert [row["image"] is None for row in rows] == [False, True]
    assert [[row[name] for name in frame.columns if name not in ("array", "image")] for row in rows] == [
        [1, 1, 0.5, "나무", "a", datetime(2026, 1, 2), datetime(2026, 1, 2, tzinfo=SEOUL), {"a": b"x"}],
        [2, None, None, None, "b", None, datetime(2026, 1, 3, tzinfo=SEOUL), None],
    ]


def test_pandas_names_that_are_numbers_and_mixed_objects() -> None:
    pd = pytest.importorskip("pandas")
    assert Table(dataframe=pd.DataFrame(np.eye(2))).columns == ["0", "1"]
    assert Table(data=pd.DataFrame({"a": [1, 2]})).data == [[1], [2]]
    mixed = pd.DataFrame({"a": [1, "x"]})
    with pytest.raises(InvalidType, match="row 1, column 'a' holds int; got string: 'x'"):
        Table(dataframe=mixed)
    assert Table(dataframe=mixed, allow_mixed_types=True).data == [[1], ["x"]]
    exact = pd.DataFrame({"a": pd.Series([(1 << 53) + 1, 0.5], dtype=object)})
    with pytest.raises(InvalidValue, match="cannot hold every integer"):
        Table(dataframe=exact)
    with pytest.raises(InvalidType, match="a column's name must be a string; got"):
        Table(dataframe=pd.DataFrame({("a", "b"): [1]}))


def test_pandas_scalars_in_rows() -> None:
    pd = pytest.importorskip("pandas")
    table = Table(["a"], [[pd.Timestamp("2026-01-02")], [pd.NaT], [pd.NA]])
    assert table.data == [[datetime(2026, 1, 2)], [None], [None]]
    assert type(table.data[0][0]) is datetime


def test_get_dataframe() -> None:
    pd = pytest.importorskip("pandas")
    rows = [[1, 1, 0.5, "a", b"x", [1], datetime(2026, 1, 2), {"k": 1}], [2, None, None, None, None, None, None, None]]
    frame = Table(list("abcdefgh"), rows).get_dataframe()
    assert list(frame.columns) == list("abcdefgh")
    assert list(map(str, frame.dtypes[:3])) == ["int64", "Int64", "float64"]
    assert frame["b"].tolist() == [1, pd.NA]
    assert frame["f"].tolist() == [[1], None]
    assert frame["h"].tolist() == [{"k": 1}, None]
    assert Table(dataframe=frame).data == rows
    assert Table(["a"]).get_dataframe().shape == (0, 1)


def test_get_dataframe_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtra, match=r"pip install 'maskl\[pandas\]'") as caught:
        Table(["a"]).get_dataframe()
    assert isinstance(caught.value, ImportError)


# --- size ---------------------------------------------------------------------------------------


def test_a_million_rows_of_a_frame_take_no_call_for_each(store_dir: Path) -> None:
    count = 1_000_000
    frame = pa.table({"id": np.arange(count), "loss": np.linspace(0, 1, count), "s": pa.array(["나무"] * count)})
    calls = 0

    def profile(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        with maskl.init(dir=store_dir) as run:
            run.log({"t": Table(dataframe=frame)})
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert 0 < calls < count / 20
    store = maskl.open(store_dir)
    sql = "SELECT count(*), sum(id), count(DISTINCT _row), max(_row) FROM t WHERE s = '나무'"
    assert store.sql(sql).fetchall() == [(count, count * (count - 1) // 2, count, count - 1)]
    assert store.table("t")[count - 1]["loss"] == 1.0
