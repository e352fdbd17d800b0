"""What logging a table again stores, in each log mode; keys as they are stored; large tables."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maskl
from maskl import Image, Table
from maskl.errors import DuplicateKeyWarning, InvalidType, InvalidValue, LogModeWarning, StateError

Start = Callable[..., maskl.Run]
LABELS = {0: "road", 1: "tree"}


def image(ids: list[int], labels: dict[int, str] = LABELS) -> Image:
    mask = np.array([ids], np.uint8)
    masks = {key: {"mask_data": mask, "class_labels": labels} for key in ("ground_truth", "predictions")}
    return Image(np.full((1, len(ids)), ids[0], np.uint8), masks=masks)


def rows_of(store_dir: Path, name: str = "t", **more: Any) -> list[tuple[Any, int]]:
    return [(row["a"], row.step) for row in maskl.open(store_dir).table(name, **more)]


# --- IMMUTABLE ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.add_data(2),
        lambda table: table.add_row(2),
        lambda table: table.add_column("b", [1]),
        lambda table: table.add_computed_columns(lambda index, row: {"b": index}),
        lambda table: table.cast("a", int),
        lambda table: table.set_pk("a"),
    ],
    ids=["add_data", "add_row", "add_column", "add_computed_columns", "cast", "set_pk"],
)
@pytest.mark.parametrize("name", ["t", "u"])
def test_a_second_log_after_a_change_warns_and_stores_nothing(
    start: Start, store_dir: Path, change: Callable[[Table], None], name: str
) -> None:
    table = Table(["a"], [[1]])
    with start() as run:
        run.log({"t": table}, step=0)
        change(table)
        with pytest.warns(LogModeWarning, match=f"table '{name}' changed after it was logged.*nothing is stored"):
            run.log({name: table, "loss": 0.5}, step=1)
        assert run.step == 1
    store = maskl.open(store_dir)
    assert [info.name for info in store.tables()] == ["t"]
    assert rows_of(store_dir) == [(1, 0)]
    assert store.sql("SELECT value, _step FROM history").fetchall() == [(0.5, 1)]


def test_the_warning_points_at_the_log_call(start: Start) -> None:
    table = Table(["a"], [[1]])
    with start() as run:
        run.log({"t": table})
        table.add_data(2)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run.log({"t": table})
    assert [item.filename for item in caught] == [__file__]


def test_an_unchanged_table_is_kept_once_for_each_step_and_name(start: Start, store_dir: Path) -> None:
    """As in W&B, whose history refers to the table at every step and under every name that it was logged at."""
    table = Table(["a"], [[1]])
    with start() as run:
        for step in (0, 0, 1):
            run.log({"t": table}, step=step)
        run.log({"u": table}, step=1)
    assert rows_of(store_dir) == [(1, 0), (1, 1)]
    assert rows_of(store_dir, "u") == [(1, 1)]


def test_an_unchanged_table_goes_to_another_run(start: Start, store_dir: Path) -> None:
    table = Table(["a"], [[1]])
    for name in ("one", "two"):
        with start(name=name) as run:
            run.log({"t": table}, step=0)
    assert rows_of(store_dir) == [(1, 0), (1, 0)]


def test_a_failed_log_does_not_count_as_logged(start: Start, store_dir: Path) -> None:
    table = Table(["a"], [[1]])
    with start() as run:
        with pytest.raises(InvalidType):
            run.log({"t": table, "bad": object()})
        table.add_data(2)
        run.log({"t": table}, step=3)
    assert rows_of(store_dir) == [(1, 3), (2, 3)]


# --- MUTABLE ------------------------------------------------------------------------------------


@pytest.mark.parametrize("sealed", [False, True])
def test_the_latest_version_replaces_the_earlier_one(start: Start, store_dir: Path, sealed: bool) -> None:
    table = Table(["a"], [[1]], log_mode="MUTABLE")
    with start() as run:
        for step in range(3):
            run.log({"t": table}, step=step)
            table.add_data(step + 2)
            if sealed:
                maskl.open(store_dir).refresh()
    assert rows_of(store_dir) == [(1, 2), (2, 2), (3, 2)]
    sql = "SELECT a, _step FROM t ORDER BY _row"
    assert maskl.sql(sql, dir=store_dir).fetchall() == [(1, 2), (2, 2), (3, 2)]
    assert len(maskl.open(store_dir).table("t", step=0)) == 0
    (info,) = maskl.open(store_dir).tables()
    assert info.rows == 3


@pytest.mark.parametrize("sealed", [False, True])
def test_statistics_are_those_of_the_latest_version(start: Start, store_dir: Path, sealed: bool) -> None:
    with start() as run:
        for ids, labels in (([0, 0, 0, 1], LABELS), ([0, 1], {0: "sky", 1: "tree"})):
            run.log({"t": Table(["image"], [[image(ids, labels)]], log_mode="MUTABLE")}, step=0)
            if sealed:
                maskl.open(store_dir).refresh()
    store = maskl.open(store_dir)
    coverage = "SELECT class_name, pixels, coverage, n_rows FROM class_coverage('t') ORDER BY 1"
    assert store.sql(coverage).fetchall() == [("sky", 1, 0.5, 1), ("tree", 1, 0.5, 1)]
    iou = "SELECT class_name, tp, iou FROM class_iou('t') ORDER BY 1"
    assert store.sql(iou).fetchall() == [("sky", 1, 1.0), ("tree", 1, 1.0)]
    for view in ("class_pixels", "class_totals", "confusion", "confusion_totals"):
        column = "class_name" if view.startswith("class") else "truth_class"
        names = store.sql(f"SELECT DISTINCT {column} FROM {view} WHERE {column} IS NOT NULL ORDER BY 1").fetchall()
        assert names == [("sky",), ("tree",)]


def test_a_run_opened_again_replaces_what_it_had(start: Start, store_dir: Path) -> None:
    for number in range(3):
        with start(id="r") as run:
            run.log({"t": Table(["a"], [[number]], log_mode="MUTABLE")}, step=number)
    assert rows_of(store_dir) == [(2, 2)]
    with start(id="r") as run:
        run.log({"t": Table(["a"], [[9]])}, step=3)
    assert rows_of(store_dir) == [(2, 2), (9, 3)]


def test_other_runs_keep_their_version(start: Start, store_dir: Path) -> None:
    for name in ("one", "two"):
        with start(name=name) as run:
            for value in (1, 2):
                run.log({"t": Table(["a"], [[value]], log_mode="MUTABLE"), "u": Table(["a"], [[value]])}, step=value)
    assert rows_of(store_dir) == [(2, 2), (2, 2)]
    assert rows_of(store_dir, "u", run="one") == [(1, 1), (2, 2)]


def test_columns_may_change_between_versions(start: Start, store_dir: Path) -> None:
    table = Table(["a"], [[1]], log_mode="MUTABLE")
    with start() as run:
        run.log({"t": table})
        maskl.open(store_dir).refresh()
        table.add_column("b", ["x"])
        table.cast("a", float)
        run.log({"t": table})
    assert [dict(row) for row in maskl.open(store_dir).table("t")] == [{"a": 1.0, "b": "x"}]
    assert maskl.open(store_dir).sql("FROM t").columns[-2:] == ["a", "b"]


def test_a_failed_call_keeps_the_version_before(start: Start, store_dir: Path) -> None:
    with start() as run:
        run.log({"t": Table(["a"], [[1]], log_mode="MUTABLE")}, step=0)
        with pytest.raises(InvalidType):
            run.log({"t": Table(["a"], [[2]], log_mode="MUTABLE"), "bad": object()}, step=1)
    assert rows_of(store_dir) == [(1, 0)]


# --- INCREMENTAL --------------------------------------------------------------------------------


@pytest.mark.parametrize("sealed", [False, True])
def test_each_log_stores_the_new_rows_only(start: Start, store_dir: Path, sealed: bool) -> None:
    table = Table(["a"], log_mode="INCREMENTAL")
    with start() as run:
        for step in range(3):
            table.add_data(10 * step)
            table.add_data(10 * step + 1)
            run.log({"t": table}, step=step)
            run.log({"t": table}, step=step + 10)
            if sealed:
                maskl.open(store_dir).refresh()
    assert rows_of(store_dir) == [(0, 0), (1, 0), (10, 1), (11, 1), (20, 2), (21, 2)]
    assert len({row.row for row in maskl.open(store_dir).table("t")}) == 6


def test_increments_have_their_images_and_statistics(start: Start, store_dir: Path) -> None:
    table = Table(["image"], log_mode="INCREMENTAL")
    with start() as run:
        for step in range(3):
            table.add_data(image([step, 1]))
            run.log({"t": table}, step=step)
    store = maskl.open(store_dir)
    assert [np.array(row["image"].image).tolist() for row in store.table("t")] == [[[0, 0]], [[1, 1]], [[2, 2]]]
    assert store.sql("SELECT _step, sum(pixels) FROM class_pixels WHERE mask_key = 'predictions' GROUP BY 1 ORDER BY 1"
                     ).fetchall() == [(0, 2), (1, 2), (2, 2)]  # fmt: skip


def test_increments_go_on_from_a_frame(start: Start, store_dir: Path) -> None:
    import pyarrow as pa

    table = Table(dataframe=pa.table({"a": [0, 1]}), log_mode="INCREMENTAL")
    with start() as run:
        run.log({"t": table}, step=0)
        table.add_data(2)
        run.log({"t": table}, step=1)
        table.add_data(3)
        run.log({"t": table}, step=2)
    assert rows_of(store_dir) == [(0, 0), (1, 0), (2, 1), (3, 2)]


def test_each_name_has_all_rows(start: Start, store_dir: Path) -> None:
    table = Table(["a"], [[0]], log_mode="INCREMENTAL")
    with start() as run:
        run.log({"t": table}, step=0)
        table.add_data(1)
        run.log({"t": table, "u": table}, step=1)
    assert rows_of(store_dir) == [(0, 0), (1, 1)]
    assert rows_of(store_dir, "u") == [(0, 1), (1, 1)]


def test_an_incremental_table_goes_to_one_run_and_keeps_its_columns(start: Start) -> None:
    table = Table(["a"], [[0]], log_mode="INCREMENTAL")
    with start(name="one") as run:
        run.log({"t": table})
    with start(name="two") as run, pytest.raises(StateError, match="one run only; this one went to 'one-"):
        run.log({"t": table})
    for change in (lambda: table.add_column("b", [1]), lambda: table.add_computed_columns(lambda i, row: {"b": i})):
        with pytest.raises(StateError, match="not possible with log_mode='INCREMENTAL'"):
            change()


@pytest.mark.parametrize("mode", ["X", None, "mutable"])
def test_another_log_mode_is_refused(mode: Any) -> None:
    with pytest.raises(InvalidValue, match="log_mode must be one of IMMUTABLE, MUTABLE, INCREMENTAL"):
        Table(log_mode=mode)


# --- keys ---------------------------------------------------------------------------------------


def metadata(store_dir: Path, name: str) -> dict[str, Any]:
    (part,) = (sealed.part.path for sealed in maskl.open(store_dir)._layout.listing().of("rows", name))
    import json

    import pyarrow.parquet as pq

    return json.loads(pq.read_schema(store_dir / part).metadata[b"maskl"])


def test_keys_are_stored_by_the_names_that_sql_sees(start: Start, store_dir: Path) -> None:
    frames = Table(["run_id", "x"], [["a", 1], ["b", 2]])
    frames.set_pk("run_id")
    boxes = Table(["frame", "score"], [["a", 0.5], ["a", 0.25]])
    boxes.set_fk("frame", frames, "run_id")
    rows = Table(["row"], [[index] for index in frames.get_index()])
    with start() as run:
        run.log({"boxes": boxes, "frames": frames, "rows": rows})
    assert metadata(store_dir, "frames")["primary_key"] == "run_id_1"
    assert maskl.open(store_dir).table("frames").primary_key == "run_id"
    assert maskl.open(store_dir).table("boxes").primary_key is None
    assert metadata(store_dir, "boxes")["columns"]["frame"]["foreign_key"] == {"table": "frames", "column": "run_id"}
    assert metadata(store_dir, "rows")["columns"]["row"]["foreign_key"] == {"table": "frames", "column": None}
    sql = "SELECT decode(value)->>'$.primary_key' FROM parquet_kv_metadata(?) WHERE decode(key) = 'maskl'"
    (part,) = (str(path) for path in store_dir.glob("rows/table_name=frames/*/*.parquet"))
    assert maskl.open(store_dir).connect().execute(sql, [part]).fetchall() == [("run_id_1",)]


def filled(rows: list[list[Any]]) -> Table:
    table = Table(["key"])
    for row in rows:
        table.add_data(*row)
    return table


#: ways of a key's values into a column of another table
WAYS: dict[str, Callable[[Table], Table]] = {
    "data": lambda frames: filled([[row[0]] for row in frames.data]),
    "get_column": lambda frames: Table(["key"], [[key] for key in frames.get_column("id")]),
    "iterrows": lambda frames: Table(["key"], [[row[0]] for _, row in frames.iterrows()]),
    "get_row": lambda frames: Table(["key"], [[index.get_row()["id"]] for index in frames.get_index()]),
    "add_column": lambda frames: column_of(frames.get_column("id")),
    "another foreign key": lambda frames: filled([[key] for key in referring(frames).get_column("key")]),
}


def column_of(values: list[Any]) -> Table:
    table = Table([], [[] for _ in values])
    table.add_column("key", values)
    return table


def referring(frames: Table) -> Table:
    table = Table(["key"], [[value] for value in frames.get_column("id")])
    table.set_fk("key", frames, "id")
    return table


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("ids", [["a", "도로"], [1, 2]], ids=["texts", "numbers"])
def test_values_of_a_primary_key_make_a_foreign_key(start: Start, store_dir: Path, way: str, ids: list[Any]) -> None:
    frames = Table(["id", "n"], [[value, 0] for value in ids])
    frames.set_pk("id")
    others = WAYS[way](frames)
    with start() as run:
        run.log({"frames": frames, "others": others})
    assert metadata(store_dir, "others")["columns"]["key"]["foreign_key"] == {"table": "frames", "column": "id"}
    assert [row["key"] for row in maskl.open(store_dir).table("others")] == ids
    assert others.data == [[value] for value in ids]


def test_values_of_a_key_are_what_they_are_and_of_no_key_refer_to_nothing(start: Start, store_dir: Path) -> None:
    frames = Table(["id", "n"], [["a", 1], ["b", 2]])
    loose = Table(["key"], [[row[0]] for row in frames.data])
    frames.set_pk("id")
    frames.add_data(frames.data[0][0] + "c", 3)  # a text of its own
    frames.add_column("id2", frames.get_column("id"))
    assert frames.data == [["a", 1, "a"], ["b", 2, "b"], ["ac", 3, "ac"]]
    assert type(pickle.loads(pickle.dumps(frames.data[0][0]))) is str
    joined = maskl.JoinedTable(frames, Table(["id"], [[frames.data[0][0]]]), "id")
    with start() as run:
        run.log({"frames": frames, "loose": loose, "joined": joined})
        run.log({"id": frames.data[0][0]})
        assert type(run.summary["id"]) is str
    assert "foreign_key" not in metadata(store_dir, "loose")["columns"]["key"]
    assert "foreign_key" not in metadata(store_dir, "frames")["columns"]["id2"]
    assert len(maskl.open(store_dir).table("joined")) == 3


def test_a_foreign_key_to_a_table_logged_before_and_never(start: Start, store_dir: Path) -> None:
    frames = Table(["id"], [["a"]])
    for name in ("early", "late"):
        boxes = Table(["frame"], [["a"]])
        boxes.set_fk("frame", frames, "id")
        with start(id="r") as run:
            run.log({name: boxes})
            run.log({"frames": frames}, step=0)
    assert metadata(store_dir, "early")["columns"]["frame"]["foreign_key"] == {"table": None, "column": "id"}
    assert metadata(store_dir, "late")["columns"]["frame"]["foreign_key"] == {"table": "frames", "column": "id"}


def test_repeated_keys_are_stored_with_a_warning(start: Start, store_dir: Path) -> None:
    table = Table(["a"], [["x"], ["y"], ["x"]])
    table.set_pk("a")
    with start() as run, pytest.warns(DuplicateKeyWarning, match="table 't': 1 rows repeat .* primary key 'a'"):
        run.log({"t": table}, step=0)
    assert rows_of(store_dir) == [("x", 0), ("y", 0), ("x", 0)]


# --- size ---------------------------------------------------------------------------------------


@pytest.mark.once
def test_no_row_is_cut(start: Start, store_dir: Path) -> None:
    count = 300_000
    table = Table(["a", "이름"])
    for number in range(count):
        table.add_data(number, "나무" if number % 2 else None)
    with start() as run:
        run.log({"t": table})
    store = maskl.open(store_dir)
    sql = 'SELECT count(*), sum(a), count("이름"), count(DISTINCT _row) FROM t'
    assert store.sql(sql).fetchall() == [(count, count * (count - 1) // 2, count // 2, count)]
    assert dict(store.table("t")[count - 1]) == {"a": count - 1, "이름": "나무"}
