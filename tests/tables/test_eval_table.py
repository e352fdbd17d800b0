"""Tables of evaluations: the roles of their columns, what they are stored as, and what rows are matched by."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import maskl
from maskl import EvalTable, Image
from maskl.errors import ConversionWarning, InvalidType, InvalidValue, NotSupported, ServerOnlyWarning
from maskl_storage.catalog.layout import Layout

pytestmark = pytest.mark.once

Start = Callable[..., maskl.Run]
ROLES = {"질문": ("input",), "답": ("output",), "score": ("score",)}


def table(*rows: Any, **arguments: Any) -> EvalTable:
    given = {"input_columns": ["질문"], "output_columns": ["답"], "score_columns": ["score"], "data": list(rows)}
    return EvalTable(**given | arguments)


# --- the table ----------------------------------------------------------------------------------


def test_columns_are_those_of_the_lists() -> None:
    made = table(["a", "b", 0.5])
    assert isinstance(made, maskl.Table)
    assert (made.columns, made.data, made.roles) == (list(ROLES), [["a", "b", 0.5]], ROLES)
    both = EvalTable(input_columns=("a",), score_columns=["a", "b"])
    assert both.roles == {"a": ("input", "score"), "b": ("score",)}


def test_columns_in_no_list_are_outputs() -> None:
    made = EvalTable(["a", "b", "c"], input_columns=["b"])
    made.add_column("d", [])
    assert made.roles == {"a": ("output",), "b": ("input",), "c": ("output",), "d": ("output",)}
    assert EvalTable(["a"]).roles == {"a": ("output",)}
    assert EvalTable().columns == maskl.Table().columns


@pytest.mark.parametrize("argument", ["data", "dataframe"])
def test_a_frame_has_its_own_columns(argument: str) -> None:
    frame = pa.table({"a": [1, 2], "b": ["x", "y"]})
    made = EvalTable(**{argument: frame}, input_columns=["b"])
    assert (made.columns, made.roles["b"]) == (["a", "b"], ("input",))


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"input_columns": "ab"}, InvalidType, "input_columns: columns must be a list"),
        ({"output_columns": [None]}, InvalidType, "output_columns: a column's name must be a string"),
        ({"score_columns": ["a", "a"]}, InvalidValue, "score_columns: column 'a' occurs twice"),
        ({"unsupported_media_mode": "skip"}, InvalidValue, "must be one of stub, raise; got 'skip'"),
        ({"backend": "cloud"}, InvalidValue, "must be one of weave, ces; got 'cloud'"),
        ({"log_mode": "SOMETIMES"}, InvalidValue, "log_mode"),
    ],
)
def test_what_is_no_table_of_an_evaluation(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        EvalTable(**arguments)


def test_what_no_cell_can_hold_is_named_or_refused() -> None:
    thing = object()
    made = EvalTable(["a", "b"])
    with pytest.warns(ConversionWarning, match="kept as a text that says so: object"):
        made.add_data(1, thing)
    assert made.data == [[1, "[object is not stored]"]]
    with pytest.raises(InvalidType, match="incompatible types"):  # a stub of text in a column of numbers
        made.add_data(thing, "x")
    with pytest.raises(InvalidType, match="incompatible types"):  # nothing to put a text for
        made.add_data("x", "y")
    strict = EvalTable(["a"], unsupported_media_mode="raise")
    with pytest.raises(InvalidType, match="cannot hold a object"):
        strict.add_data(thing)
    assert (len(made), len(strict)) == (1, 0)


def test_a_backend_is_for_a_server(start: Start) -> None:
    with pytest.warns(ServerOnlyWarning, match=r"backend='weave'"):
        EvalTable(["a"], backend="weave")
    start(settings={"strict": True})
    with pytest.raises(NotSupported, match="backend='ces'"):
        EvalTable(["a"], backend="ces")


# --- in a store ---------------------------------------------------------------------------------


def versions(store_dir: Path) -> dict[str, str]:
    return {str(sealed.table): sealed.version for sealed in Layout(store_dir).listing().parts}


def test_roles_stand_beside_the_columns(start: Start, store_dir: Path) -> None:
    with start() as run:
        run.log({"eval": table(["a", "b", 0.5])})
    with start() as run:
        run.log({"plain": maskl.Table(["a"], [[1]])})
    store = maskl.open(store_dir)
    assert (store.table("eval").roles, store.table("plain").roles) == (ROLES, {})
    assert versions(store_dir) == {"eval": "1.2.0", "plain": "1.1.0"}
    assert not store.verify().faults


def test_roles_outlast_merges_and_the_last_part_says_which(start: Start, store_dir: Path) -> None:
    made = [table(["a", "b", 0.5]), EvalTable(list(ROLES), [["c", "d", 1.0]]), table(["e", "f", 1.5])]
    for one in made:
        with start(id="one") as run:
            run.log({"eval": one})
    expected = [list(row) for one in made for row in one.data]
    for _ in range(2):
        store = maskl.open(store_dir)
        rows = store.table("eval")
        assert [list(row.values()) for row in rows] == expected
        assert rows.roles == ROLES
        store.compact()
    assert not store.verify().faults


def test_roles_are_exported_and_come_in_again(start: Start, store_dir: Path, tmp_path: Path) -> None:
    with start() as run:
        run.log({"eval": table(["a", "b", 0.5])})
    exported = maskl.open(store_dir).export("eval", tmp_path / "eval.parquet", format="parquet")
    maskl.import_dataset(exported.path, dir=tmp_path / "other", run="two", table="again")
    assert maskl.open(tmp_path / "other" / "maskl-store").table("again").roles == ROLES


def test_a_list_that_names_no_column_is_told_when_it_is_logged(start: Start) -> None:
    made = EvalTable(["a"], [[1]], input_columns=["b"])
    run = start()
    with pytest.raises(InvalidValue, match="table 'eval': input_columns names 'b'; the table has: 'a'"):
        run.log({"eval": made})
    made.add_column("b", ["x"])
    run.log({"eval": made})


# --- compare_rows -------------------------------------------------------------------------------


def scene(right: int) -> Image:
    """Return an image of 4 pixels whose prediction has so many of them right; the mean IoU is a quarter for each."""
    truth = np.ones((2, 2), np.uint8)
    prediction = (np.arange(4).reshape(2, 2) < right).astype(np.uint8)
    labels = {0: "void", 1: "road"}
    masks = {
        "ground_truth": {"mask_data": truth, "class_labels": labels, "ignore_index": 0},
        "predictions": {"mask_data": prediction, "class_labels": labels},
    }
    return Image(np.zeros((2, 2), np.uint8), masks=masks)  # the same pixels each time: an image tells no rows apart


def compared(store_dir: Path, rest: str = "") -> list[tuple[Any, ...]]:
    query = f"SELECT row_key, iou_a, iou_b FROM compare_rows('eval', 'a', 'b'{rest}) ORDER BY ALL"
    return maskl.open(store_dir).sql(query).fetchall()


def log_two(start: Start, columns: list[str], inputs: list[str], rows: Callable[[int], list[list[Any]]]) -> None:
    for index, name in enumerate("ab"):
        with start(id=name) as run:
            run.log({"eval": EvalTable(columns, rows(index), input_columns=inputs)})


def test_rows_are_matched_by_one_input(start: Start, store_dir: Path) -> None:
    log_two(
        start, ["질문", "image"], ["질문"], lambda index: [["가", scene(1 + index)], ["나", scene(4)]][:: 1 - 2 * index]
    )
    assert compared(store_dir) == [("가", 0.25, 0.5), ("나", 1.0, 1.0)]


def test_rows_are_matched_by_several_inputs(start: Start, store_dir: Path) -> None:
    """Neither input tells rows apart by itself, and joined by a comma two rows would be one."""
    keys = [["a, b", "c", 1], ["a", "b, c", 1], ["a", "b, c", None], ["a", None, 2]]
    log_two(
        start,
        ["one", "two", "n", "image"],
        ["one", "two", "n"],
        lambda index: [[*key, scene(number + 1)] for number, key in enumerate(keys)],
    )
    found = compared(store_dir)
    assert {key: (a, b) for key, a, b in found} == {
        '["a, b","c","1"]': (0.25, 0.25),
        '["a","b, c","1"]': (0.5, 0.5),
        '["a","b, c",null]': (0.75, 0.75),
        '["a",null,"2"]': (1.0, 1.0),
    }
    assert len(found) == 4


def test_an_input_may_be_a_list_or_an_image(start: Start, store_dir: Path) -> None:
    picture = Image(np.full((2, 2), 7, np.uint8))
    log_two(
        start,
        ["tokens", "picture", "image"],
        ["tokens", "picture"],
        lambda index: [[[1, 2], picture, scene(2)], [[1, 3], picture, scene(4)]],
    )
    found = compared(store_dir)
    assert [(a, b) for key, a, b in found if key.startswith('["[1, 2]","')] == [(0.5, 0.5)]
    assert len(found) == 2


def test_a_primary_key_and_a_key_that_is_named_go_before_inputs(start: Start, store_dir: Path) -> None:
    for name in "ab":
        with start(id=name) as run:
            made = EvalTable(["question", "id", "image"], input_columns=["question"])
            made.add_data("same", "x", scene(1))
            made.add_data("same", "y", scene(4))
            made.set_pk("id")
            run.log({"eval": made})
    assert compared(store_dir) == [("x", 0.25, 0.25), ("y", 1.0, 1.0)]
    with pytest.raises(Exception, match="have the same question, same"):
        compared(store_dir, ", key := 'question'")


def test_inputs_that_do_not_tell_rows_apart_are_told(start: Start, store_dir: Path) -> None:
    log_two(start, ["q", "image"], ["q"], lambda index: [["same", scene(1)], ["same", scene(2)]])
    with pytest.raises(Exception, match="have the same primary key, inputs or image, same"):
        compared(store_dir)


def test_a_table_without_inputs_is_matched_by_its_image(start: Start, store_dir: Path) -> None:
    log_two(start, ["image"], [], lambda index: [[scene(1 + index)]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ((_, before, after),) = compared(store_dir)
    assert (before, after) == (0.25, 0.5)
