"""Which rows are chosen, in which order, and how parts that differ become one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import maskl
from maskl.interchange.selection import Selection, choose
from maskl_storage.errors import ConversionWarning, InvalidType, InvalidValue, NotFound, QueryError
from maskl_storage.format.schemas import columns_of

ALL = [*range(12), *(number + 0.5 for number in range(5))]


def ids(selection: Selection) -> list[Any]:
    return [row["id"] for row in selection.rows]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, ALL),
        ({"run": "second"}, ALL[12:]),
        ({"step": 1}, [*range(6, 12), *ALL[12:]]),
        ({"step": "last", "limit": 3}, [6, 7, 8]),
        ({"where": "id > 3 AND flag"}, [5, 7, 9, 11]),
        ({"where": "extra = 'x' -- a comment"}, ALL[12:]),
        ({"where": "image.caption LIKE '장면%'", "limit": 2}, [1, 3]),
        ({"run": "second", "where": "id < 2", "step": 1}, [0.5, 1.5]),
    ],
)
def test_rows_of_a_table_come_in_its_order(store: maskl.Store, arguments: dict[str, Any], expected: list[Any]) -> None:
    assert ids(choose(store, "표", **arguments)) == expected


def test_rows_of_a_query_come_once_and_in_its_order(store: maskl.Store) -> None:
    query = "FROM tables.표 SELECT run_id, table_name, _row, unnest([1, 2]) WHERE id < $most ORDER BY id DESC"
    chosen = choose(store, sql=query, params={"most": 3}, limit=4)
    assert ids(chosen) == [2.5, 2, 1.5, 1]
    assert chosen.table == "표"


def test_a_query_may_mix_tables(store: maskl.Store) -> None:
    names = "SELECT run_id, table_name, _row FROM tables"
    chosen = choose(store, sql=f"{names}.other UNION ALL {names}.표 WHERE id = 7")
    assert (chosen.table, sorted(ids(chosen))) == ("", [1, 2, 7])
    (rows,) = chosen.batches()
    assert sorted(rows["table_name"].to_pylist()) == ["other", "other", "표"]


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_batches_hold_every_row_in_order(store: maskl.Store, size: int) -> None:
    chosen = choose(store, sql="SELECT run_id, table_name, _row FROM tables.표 ORDER BY id % 1 DESC, hash(id)")
    batches = list(chosen.batches(size))
    assert [batch.num_rows for batch in batches[:-1]] == [size] * (len(batches) - 1)
    rows = pa.concat_tables(batches)
    assert rows["id"].to_pylist() == ids(chosen)
    for position, row in enumerate(chosen.rows):
        assert rows["run_id"][position].as_py() == row.run_id
        image = row["image"]
        for key in ("ground_truth", "예측"):
            stored = rows[f"image__mask__{key}"][position].as_py()
            assert stored == (None if image is None or key not in image.masks else image.masks[key][0])


def test_class_sets_of_all_parts_are_numbered_together(store: maskl.Store) -> None:
    chosen = choose(store, "표")
    rows = pa.concat_tables(chosen.batches(5))
    column = columns_of(rows.schema, "rows")["image__mask__ground_truth"]
    for position, row in enumerate(chosen.rows):
        masks = {} if row["image"] is None else row["image"].masks
        if "ground_truth" in masks:
            number = rows["image__set__ground_truth"][position].as_py()
            assert column.class_sets[number] == masks["ground_truth"][1]
    assert {item.id: item.name for item in chosen.classes("image", "ground_truth")} == {0: "도로", 1: "car", 2: "하늘"}
    # an id that its own labels do not name has the name of the other mask's
    assert {item.id: item.name for item in chosen.classes("image", "예측")} == {0: "ground", 2: "하늘", 7: "sky"}


def test_what_is_chosen_says_which_masks_there_are(store: maskl.Store) -> None:
    chosen = choose(store, "표")
    assert chosen.mask_keys("image") == ("ground_truth", "예측")
    assert chosen.boxes_keys("image") == ("found",)
    assert [column.name for column in chosen.columns] == [
        "id",
        "image",
        "loss",
        "name",
        "more",
        "list",
        "array",
        "at",
        "flag",
        "raw",
        "extra",
    ]
    assert chosen.columns[0].type == "float"  # integers in one run and floats in the other
    second = choose(store, "표", run="second")
    assert (second.mask_keys("image"), second.boxes_keys("image")) == (("ground_truth",), ())


def test_columns_are_chosen_by_the_users_names_and_in_this_order(store: maskl.Store) -> None:
    chosen = choose(store, "표", columns=["loss", "image"])
    assert [column.name for column in chosen.columns] == ["loss", "image"]
    (rows,) = chosen.batches()
    assert "id" not in rows.column_names
    assert "image__boxes__found" in rows.column_names


def test_images_are_found_by_digest(store: maskl.Store) -> None:
    chosen = choose(store, "표")
    digests = [None if row["image"] is None else row["image"].digest for row in chosen.rows]
    for column in (pa.array(digests[::-1]), pa.chunked_array([digests * 2])):
        found = chosen.images.column(column).to_pylist()
        assert found == [None if digest is None else store.image(digest) for digest in column.to_pylist()]
    assert chosen.image_bytes(str(digests[0])) == store.image(str(digests[0]))
    with pytest.raises(NotFound, match="no image with digest 00ff"):
        chosen.image_bytes("00ff")


def test_columns_whose_types_cannot_be_one_stand_apart(start: Callable[..., maskl.Run], store_dir: Any) -> None:
    for name, value in (("a", 1), ("b", "text"), ("c", {"x": 1}), ("d", 0.5), ("e", None), ("f", [1.0])):
        with start(name=name) as run:
            run.log({"t": maskl.Table(["v", "V"], [[value, value]])})
    chosen = choose(maskl.open(store_dir), "t")
    (rows,) = chosen.batches()
    found = {name: rows[name].drop_null().to_pylist() for name in rows.column_names if name.casefold()[0] == "v"}
    values = {"": ["text", '{"x": 1}'], "__int": [1], "__float": [1.0, 0.5], "__list": [[1.0]]}
    assert found == {f"{name}{kind}": some for name in ("v", "V_1") for kind, some in values.items()}
    assert len({name.casefold() for name in rows.column_names}) == len(rows.column_names)
    with pytest.warns(ConversionWarning):
        relation = maskl.open(store_dir).sql("FROM tables.t")
    assert {name for name in relation.columns if name.casefold()[0] == "v"} == found.keys()


def test_images_and_values_of_one_name_stand_apart(start: Callable[..., maskl.Run], store_dir: Any) -> None:
    mask = {"mask_data": np.eye(2, dtype=np.uint8), "class_labels": {0: "길", 1: "car"}}
    picture = maskl.Image(np.zeros((2, 2), np.uint8), masks={"truth": mask})
    for name, values in (("a", [1, 2]), ("b", [picture])):
        with start(name=name) as run:
            run.log({"t": maskl.Table(["v", "w"], [[value, 1] for value in values])})
    store = maskl.open(store_dir)
    chosen = choose(store, "t")
    (rows,) = chosen.batches()
    assert rows["v"].to_pylist() == [1, 2, None]
    assert [image is None for image in rows["v__struct"].to_pylist()] == [True, True, False]
    columns = columns_of(rows.schema, "rows")
    assert (columns["v__mask__truth"].image, columns["v__mask__truth"].name) == ("v__struct", "v__struct")
    assert [(column.name, column.kind) for column in chosen.columns] == [
        ("v", "value"),
        ("w", "value"),
        ("v__struct", "image"),
    ]
    assert [row["v__struct"] is None for row in chosen.rows] == [True, True, False]
    assert chosen.mask_keys("v__struct") == ("truth",)
    assert len(choose(store, "t", columns=["w"])) == 3


def test_integers_that_no_float_holds_are_refused(start: Callable[..., maskl.Run], store_dir: Any) -> None:
    for name, value in (("a", (1 << 53) + 1), ("b", 0.5)):
        with start(name=name) as run:
            run.log({"t": maskl.Table(["v"], [[value]])})
    with pytest.raises(InvalidValue, match="column 'v' holds integers in some runs"):
        list(choose(maskl.open(store_dir), "t").batches())


def test_a_table_without_rows_is_chosen_whole(start: Callable[..., maskl.Run], store_dir: Any) -> None:
    with start() as run:
        run.log({"empty": maskl.Table(["a"])})
    chosen = choose(maskl.open(store_dir), "empty")
    assert (len(chosen), list(chosen.batches()), [column.name for column in chosen.columns]) == (0, [], ["a"])


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({}, InvalidValue, "a table's name or, with sql="),
        ({"table": "표", "sql": "FROM runs"}, InvalidValue, "name one of the two"),
        ({"sql": "FROM runs", "where": "true"}, InvalidValue, "put them into its WHERE"),
        ({"sql": "FROM runs"}, QueryError, "lacks table_name, _row"),
        ({"sql": "SELECT 'x' AS run_id, '표' AS table_name, 1 AS _row"}, NotFound, "row 1 of run 'x' in table '표'"),
        ({"sql": "SELECT run_id, table_name, _row FROM tables.표 WHERE false"}, NotFound, "the query has no row"),
        ({"table": "없음"}, NotFound, "there are: 'other', '표'"),
        ({"table": "표", "run": "third"}, NotFound, "third"),
        ({"table": "표", "step": 9}, NotFound, "table '표', step 9 has no row"),
        ({"table": "표", "where": "id > 99"}, NotFound, "where 'id > 99' has no row"),
        ({"table": "표", "where": "nothing = 1"}, QueryError, "nothing"),
        ({"table": "표", "where": "true); DROP TABLE t; --"}, QueryError, ""),
        ({"table": "표", "where": 3}, InvalidType, "an SQL condition"),
        ({"table": "표", "columns": ["id", "nope"]}, NotFound, "no column 'nope' to export; there are: 'id'"),
        ({"table": "표", "columns": "id"}, InvalidType, "a list of names"),
        ({"table": "표", "limit": 0}, InvalidValue, "1 or more; got 0"),
        ({"table": "표", "limit": True}, InvalidValue, "got True"),
    ],
)
def test_what_cannot_be_chosen(
    store: maskl.Store, arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error) as caught:
        list(choose(store, **arguments).batches())
    assert words in str(caught.value)
