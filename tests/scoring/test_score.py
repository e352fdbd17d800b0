"""Scores of stored rows: they are the metrics', kept once whatever interrupts, and added up by the macros."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

import maskl
from maskl import metrics
from maskl.errors import CorruptData, InvalidType, InvalidValue, NotFound, StateError
from maskl.scoring import _metrics
from maskl_storage import Layout
from maskl_storage.catalog.listing import live_seals
from maskl_storage.format.paths import PIXEL_SCORES, SCORER
from maskl_storage.format.schemas import FIXED
from maskl_storage.scores.writer import ScoreWriter
from maskl_storage.upkeep.compact import compact

pytestmark = pytest.mark.once  # the macros are called with the oldest DuckDB too, see test_sql_names

Start = Callable[..., maskl.Run]
NAMES = {0: "길", 3: "car", 7: "하늘"}
PIXELS = np.zeros((12, 15, 3), np.uint8)
EVERY = ["panoptic", "boundary", "surface", "instances"]


def masks(number: int) -> dict[str, Any]:
    """Return a truth with segments and a prediction with others, which differ from row to row."""
    random = np.random.default_rng(number)
    truth = np.kron(random.choice([0, 7, 301, 302], (3, 3)), np.ones((4, 5), np.int32)).astype(np.int32)
    prediction = np.roll(truth, 1, axis=int(random.integers(2)))
    there = set(np.unique(truth).tolist())
    segments = {301: 3, 302: {"class_id": 3, "iscrowd": bool(number % 2)}, 0: 0, 7: 7}
    segments = {identifier: of for identifier, of in segments.items() if identifier in there}
    return {
        "ground_truth": {"mask_data": truth, "class_labels": NAMES, "segments": {"divisor": 100}, "ignore_index": 7},
        "predictions": {"mask_data": prediction, "class_labels": NAMES, "segments": segments},
    }


def log(start: Start, numbers: range, **more: Any) -> maskl.Run:
    with start(**more) as run:
        rows = [[maskl.Image(PIXELS, masks=masks(number)), number] for number in numbers]
        run.log({"t": maskl.Table(["image", "n"], rows)})
    return run


def same(truth: maskl.ImageMask, prediction: maskl.ImageMask, row: Mapping[str, Any]) -> dict[str, float]:
    return {"same": int((truth.class_data == prediction.class_data).sum()), "n": row["n"], "none": float("nan")}


def values(store: maskl.Store, metric: str, **more: str) -> dict[tuple[int, Any, str], float | None]:
    """Return the values of a metric by row, class and name; each must be there once."""
    query = "SELECT _row, class_name, name, value FROM pixel_scores WHERE metric = ? AND name IS NOT NULL"
    for name, value in more.items():
        query += f" AND {name} = '{value}'"
    rows = store.sql(query, [metric]).fetchall()
    found = {tuple(key): value for *key, value in rows}
    assert len(found) == len(rows)
    return found  # type: ignore[return-value]


def test_they_are_the_metrics_of_each_row_and_the_macros_add_them_up(start: Start) -> None:
    run = log(start, range(40))
    store = maskl.open(run.dir)
    done = store.score("t", EVERY)
    assert (done.rows, done.known, done.empty, done.skipped) == (40, 0, 0, [])
    pairs = [[row["image"].masks[key] for key in ("ground_truth", "predictions")] for row in store.table("t")]
    panoptic, boundary = values(store, "panoptic"), values(store, "boundary")
    for number, pair in enumerate(pairs):
        found = metrics.panoptic_quality(*pair)
        for place, name in enumerate(found.classes):
            for what in ("tp", "fp", "fn", "iou_sum"):
                assert panoptic[number, name, what] == getattr(found, what)[place]
        counts = metrics.boundary_counts(*pair)
        for place, name in enumerate(counts.classes):
            assert boundary[number, name, "union"] == counts.union[place]
    truths, predictions = zip(*pairs, strict=True)
    whole = metrics.panoptic_quality(truths, predictions)
    rows = {
        row[0]: row[1:] for row in store.sql("SELECT class_name, pq, sq, rq, tp FROM panoptic_quality('t')").fetchall()
    }
    assert rows.keys() == set(whole.classes)
    for place, name in enumerate(whole.classes):
        expected = (whole.pq()[name], whole.sq()[name], whole.rq()[name], whole.tp[place])
        assert rows[name] == pytest.approx(expected, rel=1e-12)
    mean = whole.mean()
    (row,) = store.sql("SELECT classes, pq, sq, rq, n_classes FROM mean_panoptic_quality('t')").fetchall()
    assert row == ("all", *(pytest.approx(value, rel=1e-12) for value in (mean.pq, mean.sq, mean.rq)), mean.n_classes)
    boundaries = metrics.boundary_iou(truths, predictions)
    assert dict(store.sql("SELECT class_name, boundary_iou FROM boundary_iou('t')").fetchall()) == boundaries
    surfaces = metrics.surface_scores(truths, predictions, percentile=95)
    columns = "class_name, surface_dice, hausdorff, average_surface_distance, tolerance"
    for name, *scores, within in store.sql(f"SELECT {columns} FROM surface_scores('t')").fetchall():
        wanted = [surfaces.surface_dice()[name], surfaces.hausdorff()[name], surfaces.average_surface_distance()[name]]
        assert scores == [None if value is None else pytest.approx(value, rel=1e-12) for value in wanted]
        assert within == 1
    matches = metrics.instance_matches(truths, predictions)
    assert dict(store.sql("SELECT class_name, f1 FROM instance_matches('t')").fetchall()) == matches.f1()
    assert store.sql("SELECT count(*) FROM row_panoptic_quality('t')").fetchall() == [(40 * len(whole.classes),)]
    assert store.verify().faults == []


def test_things_and_stuff_are_told_apart_where_the_classes_say_so(start: Start) -> None:
    classes = [{"id": number, "name": name, "isthing": number == 3} for number, name in NAMES.items()]
    with start() as run:
        made = masks(1)
        for mask in made.values():
            del mask["class_labels"]
        made["ground_truth"].pop("ignore_index")
        run.log({"t": maskl.Table(["image"], [[maskl.Image(PIXELS, masks=made, classes=classes)]])})
    store = maskl.open(run.dir)
    store.score("t", "panoptic")
    found = dict(store.sql("SELECT classes, n_classes FROM mean_panoptic_quality('t')").fetchall())
    assert found == {"all": 3, "things": 1, "stuff": 2}


def test_only_new_rows_are_scored_unless_asked_again(start: Start) -> None:
    run = log(start, range(5), id="r")
    store = maskl.open(run.dir)
    assert store.score("t", ["boundary", same]).rows == 5
    log(start, range(5, 8), id="r", resume="allow")
    log(start, range(2), id="other")
    done = store.score("t", ["boundary", same])
    assert (done.rows, done.known, sorted(done.runs)) == (5, 5, ["other", "r"])
    assert store.score("t", ["panoptic", same], run="r").rows == 8  # which lack one of the two
    before = values(store, "same", run_id="r")
    assert {key[0] for key in before} == {row.row for row in store.table("t", run="r")}
    assert [before[row.row, None, "n"] for row in store.table("t", run="r")] == list(range(8))
    assert all(value is None for (_, _, name), value in before.items() if name == "none")
    assert store.score("t", "boundary", run="r", dilation_ratio=0.1).rows == 8  # beside those of the usual ratio
    with pytest.raises(duckdb.Error, match=r"several parameters: .*0.02.*0.1"):
        store.sql("FROM boundary_iou('t')").fetchall()
    wide, narrow = (
        store.sql(f"SELECT sum(n_union) FROM boundary_iou('t', dilation_ratio := {ratio})").fetchall()
        for ratio in (0.1, 0.02)
    )
    assert wide > narrow


def test_of_a_value_that_was_computed_again_the_last_counts(start: Start, store_dir: Path) -> None:
    log(start, range(6))
    store = maskl.open(store_dir)
    for offset in (0, 10, 20):

        def shifted(truth: Any, prediction: Any, row: Any) -> dict[str, int]:
            return {"n": row["n"] + offset}  # noqa: B023  # called in this turn only

        layout = Layout(store_dir)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ScoreWriter, "merge", lambda self: None)
            assert store.score("t", shifted, again=True).rows == 6
        assert sorted(values(store, "shifted").values()) == [number + offset for number in range(6)]
    assert len([s for s in live_seals(layout.files, {}) if s.writer == SCORER]) == 3
    compact(layout, grace=0)
    (left,) = [seal for seal in live_seals(layout.files, {}) if seal.writer == SCORER]
    assert [part.rows for part in left.parts if part.kind == PIXEL_SCORES] == [6]
    assert {part.kind for part in left.parts} == {PIXEL_SCORES, "history"}
    assert sorted(values(store, "shifted").values()) == [number + 20 for number in range(6)]
    store.score("t", shifted, again=True)  # whose number is above that of the merged seal
    assert store.verify().faults == []


def test_rows_are_scored_again_where_a_metric_is_computed_in_another_way(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = log(start, range(3))
    store = maskl.open(run.dir)
    store.score("t", "boundary")
    monkeypatch.setattr(_metrics, "VERSIONS", {**_metrics.VERSIONS, "boundary": "2"})
    assert store.score("t", "boundary").rows == 3
    assert len(values(store, "boundary")) == 3 * 2 * 2  # the later ones alone: of each row, class and name one
    assert store.sql("SELECT DISTINCT version FROM pixel_scores").fetchall() == [("2",)]
    assert store.verify().faults == []


def test_what_was_computed_before_an_interrupt_is_kept(start: Start) -> None:
    run = log(start, range(200))
    store = maskl.open(run.dir)
    asked: list[int] = []

    def counted(truth: Any, prediction: Any, row: Any) -> dict[str, int]:
        asked.append(row["n"])
        if len(asked) == 150:
            raise KeyboardInterrupt
        return {"n": row["n"]}

    with pytest.raises(KeyboardInterrupt):
        store.score("t", counted)
    kept = len(values(store, "counted"))
    assert 0 < kept < 200
    done = store.score("t", counted)
    assert (done.rows, done.known) == (200 - kept, kept)
    assert sorted(values(store, "counted").values()) == list(range(200))
    assert store.verify().faults == []


def test_a_table_that_is_logged_anew_meanwhile_is_scored_next_time(start: Start, store_dir: Path) -> None:
    table = maskl.Table(["image", "n"], log_mode="MUTABLE")
    with start(id="r") as run:
        for number in range(3):
            table.add_data(maskl.Image(PIXELS, masks=masks(number)), number)
        run.log({"t": table})
        again = True

        def logging(truth: Any, prediction: Any, row: Any) -> dict[str, int]:
            nonlocal again
            if again:
                again = False
                table.add_data(maskl.Image(PIXELS, masks=masks(9)), 9)
                run.log({"t": table})
                maskl.open(store_dir).refresh()
            return {"n": row["n"]}

        store = maskl.open(store_dir)
        done = store.score("t", logging)
        assert done.runs == []
        assert "was logged anew while it was scored: score it again" in done.skipped[0]
        with pytest.raises(duckdb.Error, match="has no scores of 'logging'"):
            store.sql("FROM pixel_scores('t', 'logging')").fetchall()
        assert store.score("t", logging).rows == 4
    assert sorted(values(store, "logging").values()) == [0, 1, 2, 9]
    assert store.verify().faults == []


def test_while_a_run_is_scored_it_is_not_deleted_and_may_be_compacted(start: Start, store_dir: Path) -> None:
    for number in range(3):
        log(start, range(2 * number, 2 * number + 2), id="r", resume="allow")
    store = maskl.open(store_dir)
    told: list[str] = []

    def meddling(truth: Any, prediction: Any, row: Any) -> dict[str, int]:
        if not told:
            other = maskl.open(store_dir)
            with pytest.raises(StateError, match="is being written"):
                other.delete("r")
            told.extend(other.compact(grace=0).skipped)
            told.extend(other.score("t", "panoptic").skipped)
        return {"n": row["n"]}

    assert store.score("t", meddling).rows == 6
    assert any("scored or compacted by another process" in reason for reason in told)
    assert sorted(values(store, "meddling").values()) == list(range(6))
    assert store.verify().faults == []
    store.delete("r")
    assert store.sql("SELECT count(*) FROM pixel_scores").fetchall() == [(0,)]
    store.compact(grace=0)
    assert not list(store_dir.glob("pixel_scores/*/*/*"))
    assert store.verify().faults == []


def test_a_table_is_deleted_with_its_scores(start: Start) -> None:
    run = log(start, range(3), id="r")
    store = maskl.open(run.dir)
    store.score("t", "panoptic")
    store.delete("r", table="t")
    assert store.sql("SELECT count(*) FROM pixel_scores").fetchall() == [(0,)]
    store.compact(grace=0)
    assert store.verify().faults == []


def test_rows_with_nothing_to_score_are_not_looked_at_again(start: Start) -> None:
    """One mask is missing, or of another size, or has no class that the other has; or the whole image is missing."""
    odd = [
        {"ground_truth": masks(0)["ground_truth"]},
        {"ground_truth": {"mask_data": np.zeros((12, 15), int)}, "predictions": {"mask_data": np.zeros((2, 2), int)}},
        {
            "ground_truth": {"mask_data": np.zeros((12, 15), int), "class_labels": {0: "a"}},
            "predictions": {"mask_data": np.zeros((12, 15), int), "class_labels": {0: "b"}},
        },
        masks(1),
    ]
    with start() as run:
        with pytest.warns(maskl.errors.SizeMismatchWarning):
            rows = [[maskl.Image(PIXELS, masks=some)] for some in odd] + [[None]]
        run.log({"t": maskl.Table(["image"], rows)})
    store = maskl.open(run.dir)
    done = store.score("t", ["panoptic", "boundary"])
    assert (done.rows, done.empty) == (5, 4)
    assert store.score("t", ["panoptic", "boundary"]).known == 5
    assert {key[0] for key in values(store, "panoptic")} == {3}
    nothing = store.sql("SELECT metric, count(*) FROM pixel_scores WHERE name IS NULL GROUP BY 1 ORDER BY 1").fetchall()
    assert nothing == [("boundary", 4), ("panoptic", 4)]


def test_several_processes_find_the_same(start: Start) -> None:
    run = log(start, range(300))
    store = maskl.open(run.dir)
    assert store.score("t", ["panoptic", "boundary"], processes=2).rows == 300
    found = {metric: values(store, metric) for metric in ("panoptic", "boundary")}
    store.score("t", ["panoptic", "boundary"], again=True)
    assert found == {metric: values(store, metric) for metric in found}


def bad(truth: Any, prediction: Any, row: Any) -> Any:
    return {"score": "high"}


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("x", "panoptic"), NotFound, "there is no table 'x'"),
        (("t", "panopticon"), InvalidValue, "there is no metric 'panopticon'; there are panoptic, boundary, surface"),
        (("t", []), InvalidValue, "needs a metric"),
        (("t", "no_such_module:f"), InvalidValue, "there is no module 'no_such_module'"),
        (("t", "json:no_such_function"), InvalidValue, "module 'json' has no 'no_such_function'"),
        (("t", "sys:path"), InvalidType, "sys:path is no function"),
        (("t", 5), InvalidType, "a metric is a name or a function"),
        (("t", lambda truth, prediction, row: {}), InvalidType, "a metric is a name or a function"),
        (("t", bad), InvalidType, r"row 0 of run 'r': metric 'bad' must return a dict of numbers by name; got 'score'"),
        (("t", "panoptic", {"truth": "gt"}), NotFound, "has no mask 'gt'; it has: 'ground_truth', 'predictions'"),
        (("t", "panoptic", {"image": "photo"}), NotFound, "has not an image column 'photo'; it has: 'image'"),
        (("t", "panoptic", {"truth": "predictions"}), InvalidValue, "a mask is not scored by itself"),
        (("t", "panoptic", {"run": "s"}), NotFound, "'s'"),
        (("t", "boundary", {"dilation_ratio": -1}), InvalidValue, "dilation_ratio"),
        (("t", "boundary", {"dilation_ratio": "wide"}), InvalidType, "must be a number"),
        (("t", "surface", {"spacing": [1, 2, 3]}), InvalidValue, "spacing"),
        (("t", "instances", {"threshold": 1}), InvalidValue, "threshold"),
        (("t", "boundary", {"dilation_ratio": float("inf")}), InvalidValue, "dilation_ratio"),
        (("t", "panoptic", {"tolerance": 1}), InvalidValue, "'tolerance' is no parameter of panoptic; there are"),
    ],
)
def test_what_cannot_be_scored(start: Start, arguments: Any, error: type[Exception], words: str) -> None:
    run = log(start, range(2), id="r")
    store = maskl.open(run.dir)
    table, metric, *more = arguments
    with pytest.raises(error, match=words):
        store.score(table, metric, **(more[0] if more else {}))
    assert store.sql("SELECT count(*) FROM pixel_scores").fetchall() == [(0,)]
    assert not list(store.root.glob("wal/*/*.lock"))


def test_macros_say_what_to_run_before_there_are_scores(start: Start) -> None:
    run = log(start, range(2))
    store = maskl.open(run.dir)
    command = "has no scores of 'panoptic' .*: compute them with maskl score panoptic --table 't'$"
    for query in ("FROM panoptic_quality('t')", "SELECT count(*) FROM mean_panoptic_quality('t') WHERE pq < 0"):
        with pytest.raises(duckdb.Error, match=command):
            store.sql(query).fetchall()
    with pytest.raises(duckdb.Error, match="maskl score own --table 't' --truth 'predictions' --prediction"):
        store.sql("FROM pixel_scores('t', 'own', truth := 'predictions', prediction := 'ground_truth')").fetchall()
    store.score("t", "surface")
    with pytest.raises(duckdb.Error, match=r'with other parameters: .*"tolerance":1.0'):
        store.sql("FROM surface_scores('t', within := 3)").fetchall()


def test_scores_are_of_rows_that_are_there(start: Start, store_dir: Path) -> None:
    log(start, range(2), id="r")
    with ScoreWriter(Layout(store_dir), "r", "t") as writer:
        row = dict.fromkeys(FIXED[PIXEL_SCORES].names, "x") | {"_row": 7, "_step": 0, "value": 1.0}
        writer.commit(pa.Table.from_pylist([row]).cast(FIXED[PIXEL_SCORES]))
    (fault,) = maskl.open(store_dir).verify().faults
    assert (fault.row, fault.column) == (7, "_row")
    assert "it has a score of a row that the table has not" in str(fault)


@pytest.mark.parametrize(("name", "value"), [("intersection", 1.0), ("union", None), ("surplus", 3.0)])
def test_verification_computes_a_sample_once_more(start: Start, store_dir: Path, name: str, value: Any) -> None:
    log(start, range(4), id="r")
    store = maskl.open(store_dir)
    store.score("t", [*EVERY, same])
    assert store.verify().faults == []
    query = "SELECT * EXCLUDE (run_id, run_name, table_name) FROM pixel_scores WHERE _row = 2 AND metric = 'boundary'"
    row = store.sql(f"{query} AND class_name = 'car' ORDER BY name LIMIT 1").to_arrow_table().to_pylist()[0]
    with ScoreWriter(Layout(store_dir), "r", "t") as writer:
        writer.commit(pa.Table.from_pylist([row | {"name": name, "value": value}]).cast(FIXED[PIXEL_SCORES]))
    (fault,) = maskl.open(store_dir).verify().faults
    assert (fault.row, fault.column, fault.mask) == (2, "image", "ground_truth, predictions")
    assert "its boundary is not that of its masks" in fault.problem


@pytest.mark.parametrize(
    "params", [None, "", "[]", "{}", '{"dilation_ratio":0}', '{"dilation_ratio": 0.02}', "[" * 9999]
)
def test_verification_names_parameters_that_are_none(start: Start, store_dir: Path, params: str | None) -> None:
    log(start, range(2), id="r")
    with ScoreWriter(Layout(store_dir), "r", "t") as writer:
        row = dict.fromkeys(FIXED[PIXEL_SCORES].names, "x") | {"_row": 1, "_step": 0, "value": 1.0}
        row |= {"metric": "boundary", "version": "1", "params": params}
        writer.commit(pa.Table.from_pylist([row]).cast(FIXED[PIXEL_SCORES]))
    (fault,) = maskl.open(store_dir).verify().faults
    assert fault.column == "params"


def test_a_mask_that_cannot_be_read_is_named(start: Start, store_dir: Path) -> None:
    import pyarrow.parquet as pq

    from maskl.scoring._batch import BatchScorer
    from maskl.scoring._metrics import metric_of

    log(start, range(2), id="r")
    (sealed,) = Layout(store_dir).listing().of("rows")
    table = pq.read_table(store_dir / sealed.part.path, partitioning=None)
    place = table.column_names.index("image__mask__predictions")
    data = [value[:-1] for value in table[place].to_pylist()]
    broken = table.set_column(place, table.column_names[place], pa.array(data, pa.binary()))
    broken = broken.append_column("run_id", pa.array(["r", "r"]))
    scorer = BatchScorer((metric_of("boundary"),), "image", "ground_truth", "predictions", "image")
    with pytest.raises(CorruptData, match="row 0 of run 'r'"):
        scorer.score_batch(broken.to_batches()[0])


def test_the_command(start: Start, tmp_path: Path) -> None:
    run = log(start, range(3))
    (tmp_path / "my_metrics.py").write_text("def half(truth, prediction, row):\n    return {'n': row['n'] / 2}\n")
    base = [sys.executable, "-m", "maskl"]
    where = ["--dir", str(run.dir)]

    def call(*words: str) -> tuple[int, str, str]:
        done = subprocess.run([*base, *words, *where], cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    assert call("score", "panoptic", "my_metrics:half", "--table", "t") == (
        0,
        "3 rows of 1 run scored, 0 had scores\n",
        "",
    )
    code, out, _ = call("score", "my_metrics:half", "--table", "t", "--json", "--again")
    assert (code, json.loads(out)["rows"]) == (0, 3)
    assert sorted(values(maskl.open(run.dir), "half").values()) == [0.0, 0.5, 1.0]
    code, _, said = call("score", "boundary", "--table", "t", "--dilation-ratio", "0")
    assert code == 2
    assert "dilation_ratio must be above 0" in said
    assert "Traceback" not in said
