"""Joined tables: every row of both, and an error for keys that are not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import maskl
from maskl import Image, JoinedTable, Table
from maskl.errors import InvalidType, InvalidValue, NotFound

Start = Callable[..., maskl.Run]


def image(value: int) -> Image:
    pixels = np.full((2, 2), value, np.uint8)
    return Image(pixels, masks={"m": {"mask_data": pixels, "class_labels": {value: f"class {value}"}}})


def test_every_row_of_both_is_kept() -> None:
    left = Table(["id", "x"], [["a", 1], ["b", 2], [None, 3], ["c", 4]])
    right = Table(["id", "y"], [["c", 0.5], ["a", 1.5], [None, 2.5], ["d", 3.5], ["c", 4.5]])
    joined = JoinedTable(left, right, "id").table()
    assert joined.columns == ["id", "x", "y"]
    assert joined.data == [
        ["a", 1, 1.5],
        ["b", 2, None],
        [None, 3, None],
        ["c", 4, 0.5],
        ["c", 4, 4.5],
        [None, None, 2.5],
        ["d", None, 3.5],
    ]


def test_keys_of_different_names_and_columns_of_the_same() -> None:
    left = Table(["id", "x", "x_2"], [[1, "a", "b"]])
    right = Table(["key", "x", "id"], [[1.0, "c", "d"], [2.5, "e", "f"]])
    joined = JoinedTable(left, right, ["id", "key"]).table()
    assert joined.columns == ["id", "x", "x_2", "key", "x_3", "id_2"]
    assert joined.data == [[1.0, "a", "b", 1.0, "c", "d"], [2.5, None, None, 2.5, "e", "f"]]


def test_it_is_logged_as_a_table_with_its_images(start: Start, store_dir: Path) -> None:
    left = Table(["id", "image"], [[0, image(0)], [1, image(1)]])
    right = Table(dataframe=pa.table({"id": [1, 2], "score": [0.5, None]}))
    with start() as run:
        run.log({"joined": JoinedTable(left, right, "id")}, step=3)
    rows = maskl.open(store_dir).table("joined")
    assert [(row["id"], row["score"], row.step) for row in rows] == [(0, None, 3), (1, 0.5, 3), (2, None, 3)]
    assert rows[1]["image"].masks["m"].class_labels[1] == "class 1"
    assert np.array(rows[1]["image"].image).tolist() == [[1, 1], [1, 1]]
    assert rows[2]["image"] is None
    counted = maskl.open(store_dir).sql("SELECT class_name, sum(pixels) FROM class_pixels GROUP BY 1 ORDER BY 1")
    assert counted.fetchall() == [("class 0", 4), ("class 1", 4)]


def test_it_is_joined_when_it_is_logged(start: Start, store_dir: Path) -> None:
    left, right = Table(["id"], [[1]]), Table(["id", "y"], [[1, 2]])
    joined = JoinedTable(left, right, "id")
    left.add_data(5)
    with start() as run:
        run.log({"joined": joined})
    assert [row["id"] for row in maskl.open(store_dir).table("joined")] == [1, 5]
    assert repr(joined) == "<JoinedTable of 2 and 1 rows by id>"


def test_equality_is_that_of_tables_and_keys() -> None:
    def joined(value: int = 1, key: Any = "id") -> JoinedTable:
        return JoinedTable(Table(["id", "k"], [[value, 1]]), Table(["id", "k"], [[1, 1]]), key)

    assert joined() == joined()
    assert joined() == joined(key=["id", "id"])
    assert joined() != joined(2)
    assert joined() != joined(key="k")
    assert joined() != 1


@pytest.mark.parametrize(
    ("tables", "key", "error", "words"),
    [
        (("a.table.json", 0), "id", InvalidValue, "table1 should be a Table; got str"),
        ((0, None), "id", InvalidValue, "table2 should be a Table; got NoneType"),
        ((0, 0), 3, InvalidValue, "join_key should be a string or a list of two strings; got 3"),
        ((0, 0), ["id"], InvalidValue, "list of two strings"),
        ((0, 0), ["id", 1], InvalidValue, "list of two strings"),
        ((0, 0), "x", NotFound, "table1 has no column 'x'; it has: 'id', 'text', 'list', 'image'"),
        ((0, 0), ["id", "x"], NotFound, "table2 has no column 'x'"),
        ((0, 0), ["id", "text"], InvalidType, "keys never match: 'id' of table1 holds int, 'text' of table2 string"),
        ((0, 0), "list", InvalidType, "column 'list' cannot be a join key: it holds list of int64"),
        ((0, 0), "image", InvalidType, "column 'image' cannot be a join key: it holds Image"),
    ],
    ids=ascii,
)
def test_what_cannot_be_joined_is_refused(tables: Any, key: Any, error: type[Exception], words: str) -> None:
    table = Table(["id", "text", "list", "image"], [[1, "a", [1], image(0)]])
    first, second = (table if value == 0 else value for value in tables)
    with pytest.raises(error) as caught:
        JoinedTable(first, second, key)
    assert words in str(caught.value)
