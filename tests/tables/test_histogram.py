"""Histograms: counted as NumPy counts, logged, merged, brought in after a crash, and read back."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import maskl
from maskl import Histogram
from maskl.errors import ConversionWarning, CorruptData, InvalidType, InvalidValue
from maskl_storage.catalog.layout import Layout
from maskl_storage.disk.local import Folder
from maskl_storage.disk.parquet import open_part, write_part
from maskl_storage.format.json_values import JsonText, load_text
from maskl_storage.format.schemas import FIXED, FORMED, column_types
from maskl_storage.format.seals import Seal
from maskl_storage.merge.rewrite import merge
from maskl_storage.write import commit, writer
from maskl_storage.write.journal import Journal, replay
from maskl_storage.write.wal import Tail, read_wal
from tests.adapters.foreign import Tensor

pytestmark = pytest.mark.once

Start = Callable[..., maskl.Run]
SMALL = Histogram([1, 2, 2, 3], num_bins=2)


# --- the value ----------------------------------------------------------------------------------


def test_numpy_counts() -> None:
    values = np.random.default_rng(0).normal(size=(50, 20))
    for given in (values, values.tolist(), values.astype(">f8")):
        made = Histogram(given)
        counts, edges = np.histogram(values, bins=64)
        assert (made.histogram, made.bins) == (counts.tolist(), edges.tolist())
    assert Histogram(np_histogram=np.histogram(values, bins=64)) == made
    assert hash(Histogram(values)) == hash(made)
    assert Histogram(values, num_bins=3) != made


@pytest.mark.parametrize(
    ("sequence", "counts", "edges"),
    [
        ([], [0, 0], [0.0, 0.5, 1.0]),
        ([7], [0, 1], [6.5, 7.0, 7.5]),
        ([True, False, True], [1, 2], [0.0, 0.5, 1.0]),
        (np.array([0, 255], np.uint8), [1, 1], [0.0, 127.5, 255.0]),
        (np.array([-60000, 60000], np.float16), [1, 1], [-60000.0, 0.0, 60000.0]),
        ([(1, 2), (3, 4)], [2, 2], [1.0, 2.5, 4.0]),
    ],
)
def test_what_a_sequence_may_be(sequence: Any, counts: list[int], edges: list[float]) -> None:
    made = Histogram(sequence, num_bins=2)
    assert (made.histogram, made.bins) == (counts, edges)


def test_tensors() -> None:
    values = Tensor(np.array([[1, 2], [2, 3]], np.float32), "bfloat16", requires_grad=True, is_cuda=True)
    assert Histogram(values, num_bins=2) == SMALL
    counts, edges = Tensor(np.array([1.0, 3.0]), is_cuda=True), Tensor(np.array([1.0, 2.0, 3.0]))
    assert Histogram(np_histogram=(counts, edges)) == SMALL


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_lies_in_no_bin(odd: float) -> None:
    with pytest.warns(ConversionWarning, match="leaves out values that are NaN or infinite"):
        assert Histogram([1, odd, 2, 2, 3], num_bins=2) == SMALL
    with pytest.warns(ConversionWarning):
        assert sum(Histogram([odd, odd]).histogram) == 0


def test_counts_may_have_weights() -> None:
    made = Histogram(np_histogram=([0.25, 1.5], (0, 1, 2)))
    assert (made.histogram, made.bins) == ([0.25, 1.5], [0.0, 1.0, 2.0])


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({}, InvalidValue, "got neither"),
        ({"sequence": [1], "np_histogram": ([1], [0, 1])}, InvalidValue, "got both"),
        ({"sequence": ["a"]}, InvalidType, "must hold numbers"),
        ({"sequence": [1j]}, InvalidType, "must hold numbers"),
        ({"sequence": [1, [2]]}, InvalidType, "regular array"),
        ({"sequence": object()}, InvalidType, "must hold numbers"),
        ({"sequence": [1], "num_bins": 0}, InvalidValue, "from 1 to 512"),
        ({"sequence": [1], "num_bins": 513}, InvalidValue, "from 1 to 512"),
        ({"sequence": [1], "num_bins": 2.5}, InvalidType, "whole number"),
        ({"sequence": [1], "num_bins": "auto"}, InvalidType, "whole number"),
        ({"sequence": [-1.7e308, 1.7e308]}, InvalidValue, "too wide a range"),
        ({"np_histogram": ([1, 2],)}, InvalidValue, "a pair of counts and edges"),
        ({"np_histogram": ([1, 2], [0, 1])}, InvalidValue, "one edge more"),
        ({"np_histogram": ([], [0])}, InvalidValue, "one edge more"),
        ({"np_histogram": ([1], [1, 0])}, InvalidValue, "must ascend"),
        ({"np_histogram": ([math.nan], [0, 1])}, InvalidValue, "finite"),
        ({"np_histogram": (np.ones(513), np.arange(514))}, InvalidValue, "512 bins at the most"),
        ({"np_histogram": (["a"], [0, 1])}, InvalidType, "must hold numbers"),
    ],
)
def test_what_is_no_histogram(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Histogram(**arguments)


# --- in a run -----------------------------------------------------------------------------------


def test_a_histogram_comes_back_from_history_summary_and_cells(start: Start, store_dir: Path) -> None:
    table = maskl.Table(["층", "grads", "all"], [["a", SMALL, {"deep": [SMALL, 1]}], ["b", None, {}]])
    with start(name="one") as run:
        run.log({"grads": SMALL, "loss": 0.5, "note": "도로"}, 3)
        run.log({"val": {"deep": {"기울기": SMALL}}, "t": table}, 4)
        assert run.summary["grads"] == run.summary.grads == SMALL
        assert run.summary["val"]["deep"]["기울기"] == SMALL
        assert table.data[0][1:] == [SMALL, {"deep": [SMALL, 1]}]
    store = maskl.open(store_dir)
    stored = store.run("one")
    assert stored.values("grads") == [(3, SMALL)]
    assert stored.values("val/deep/기울기") == [(4, SMALL)]
    assert [stored.values(key) for key in ("loss", "note", "none")] == [[(3, 0.5)], [(3, "도로")], []]
    assert stored.summary["grads"] == stored.summary["val"]["deep"]["기울기"] == SMALL
    rows = store.table("t")
    assert [dict(row) for row in rows] == [
        {"층": "a", "grads": SMALL, "all": {"deep": [SMALL, 1]}},
        {"층": "b", "grads": None, "all": {}},
    ]
    assert rows.to_pandas()["grads"][0] == SMALL
    found = store.sql("SELECT key, value, text, form FROM history ORDER BY _row LIMIT 3").fetchall()
    text = '{"$histogram": {"edges": [1.0, 2.0, 3.0], "counts": [1, 3]}}'
    assert found == [("grads", None, text, "json"), ("loss", 0.5, None, None), ("note", None, "도로", None)]
    assert json.loads(store.sql("SELECT grads FROM t WHERE 층 = 'a'").fetchall()[0][0]) == json.loads(text)
    assert not store.verify().faults


def test_a_column_of_histograms_takes_no_other_values() -> None:
    table = maskl.Table(["h"], [[SMALL], [None]])
    with pytest.raises(InvalidType, match="holds Histogram; got float"):
        table.add_data(0.5)
    mixed = maskl.Table(["h"], [[SMALL], [0.5]], allow_mixed_types=True)
    assert mixed.data == [[SMALL], [0.5]]


def test_a_summary_may_be_given_one(start: Start, store_dir: Path) -> None:
    with start(name="one") as run:
        run.define_metric("grads", summary="first,last")
        run.log({"grads": SMALL})
        run.summary["mine"] = SMALL
        run.summary["odd"] = {"$histogram": 3}
        assert run.summary["grads"]["first"] == SMALL
        assert run.summary["odd"].as_dict() == {"$histogram": 3}
    stored = maskl.open(store_dir).run("one").summary
    assert (stored["mine"], stored["grads"]["last"], stored["odd"]) == (SMALL, SMALL, {"$histogram": 3})


def test_a_run_that_is_taken_up_again_knows_its_histograms(start: Start) -> None:
    with start(id="one") as run:
        run.log({"grads": SMALL, "text": "{}"})
    with start(id="one") as run:
        assert run.summary["grads"] == SMALL
        run.define_metric("grads", summary="first")
        run.define_metric("text", summary="first")
        assert run.summary["grads"]["first"] == SMALL
        assert run.summary["text"]["first"] == "{}"


# --- in the store -------------------------------------------------------------------------------


def parts(store_dir: Path) -> list[tuple[str, str, bool]]:
    """Return kind and version of each live part, and whether it is a history that says of texts what they are."""
    listing = Layout(store_dir).listing()
    return sorted((part.kind, sealed.version, part.columns == column_types(FORMED))
                  for sealed in listing.parts for part in [sealed.part])  # fmt: skip


def test_only_a_history_with_json_is_of_the_newer_version(start: Start, store_dir: Path) -> None:
    with start() as run:
        run.log({"loss": 0.5, "t": maskl.Table(["a"], [[1]])})
    assert parts(store_dir) == [("history", "1.1.0", False), ("rows", "1.1.0", False)]
    with start() as run:
        run.log({"grads": SMALL, "t": maskl.Table(["a"], [[SMALL]])})
    assert parts(store_dir)[1:] == [("history", "1.2.0", True), ("rows", "1.1.0", False), ("rows", "1.1.0", False)]
    with start() as run:
        run.log({"grads": SMALL})
    assert parts(store_dir)[2] == ("history", "1.2.0", True)


def test_parts_with_and_without_forms_are_merged(start: Start, store_dir: Path) -> None:
    for step in range(4):
        with start(id="one") as run:
            image = maskl.Image(np.full((2, 2), step, np.uint8))  # a seal of images alone is no reason for a version
            run.log({"loss": step / 2} | ({"grads": SMALL, "t": maskl.Table(["i"], [[image]])} if step % 2 else {}))
    store = maskl.open(store_dir)
    before = store.sql("SELECT * EXCLUDE _row FROM history ORDER BY _row").fetchall()
    compacted = store.compact()
    assert not compacted.skipped
    found = [part for part in parts(store_dir) if part[0] == "history"]
    assert found == [("history", "1.1.0", False), ("history", "1.2.0", True)]
    after = maskl.open(store_dir)
    assert after.sql("SELECT * EXCLUDE _row FROM history ORDER BY _row").fetchall() == before
    assert after.run("one").values("grads") == [(1, SMALL), (3, SMALL)]
    assert not after.verify().faults


def test_a_merge_of_one_lane_fills_in_what_parts_lack(tmp_path: Path) -> None:
    """Seals of version 1.2 may hold a history of either kind."""
    layout = Layout.create(tmp_path / "store")
    sources = []
    stamp = 1_700_000_000_000_000
    for number, schema in enumerate((FIXED["history"], FORMED)):
        row: dict[str, Any] = {"_row": number, "_step": 0, "_timestamp": stamp, "key": "키", "value": None, "text": "1"}
        table = pa.Table.from_pylist([row | ({"form": "json"} if "form" in schema.names else {})], schema)
        part = write_part(layout.files, f"history/run_id=a/0-{number}.parquet", table)
        sources.append((Seal("a", 0, number, (part,), version="1.2.0"), (part,)))
    seal = merge(layout, sources, 0, lambda count: 1 << 32)
    (part,) = seal.parts
    with open_part(layout.files, part) as file:
        assert file.schema_arrow.equals(FORMED)
        assert file.read(columns=["text", "form"]).to_pylist() == [
            {"text": "1", "form": None}, {"text": "1", "form": "json"}]  # fmt: skip
    assert seal.version == "1.2.0"


@pytest.mark.parametrize("tables", [{}, {"t": maskl.Table(["a"], [[1]])}], ids=["alone", "with a table"])
def test_a_killed_run_keeps_its_histograms(start: Start, store_dir: Path, tables: dict[str, Any]) -> None:
    run = start(id="one")
    run.log({"grads": SMALL, "loss": 1} | tables)
    run._writer.abandon()
    (recovered,) = maskl.open(store_dir).recover()
    assert (recovered.scalars, recovered.problem) == (2, None)
    stored = maskl.open(store_dir).run("one")
    assert (stored.values("grads"), stored.summary["grads"]) == ([(0, SMALL)], SMALL)
    assert stored.values("loss") == [(0, 1.0)]


def test_a_run_that_is_killed_between_its_two_seals_has_each_row_once(
    start: Start, store_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows of tables and a history with JSON have a seal each: the second one is not there."""
    real = commit.write_seal

    def killed(*arguments: Any, **more: Any) -> None:
        real(*arguments, **more)
        raise KeyboardInterrupt

    run = start(id="one")
    run.log({"grads": SMALL, "t": maskl.Table(["a"], [[1], [2]])})
    monkeypatch.setattr(commit, "write_seal", killed)
    with pytest.raises(KeyboardInterrupt):
        run.finish()
    monkeypatch.undo()
    run._writer.abandon()
    assert [kind for kind, *_ in parts(store_dir)] == ["rows"]
    (recovered,) = maskl.open(store_dir).recover()
    assert recovered.problem is None
    store = maskl.open(store_dir)
    assert [dict(row) for row in store.table("t")] == [{"a": 1}, {"a": 2}]
    assert store.run("one").values("grads") == [(0, SMALL)]
    assert not store.verify().faults


@pytest.mark.parametrize("killed", [False, True])
def test_a_commit_of_several_generations_has_the_histograms_in_a_seal_of_their_own(
    start: Start, store_dir: Path, killed: bool
) -> None:
    latest = maskl.Table(["a"], [[0]], log_mode="MUTABLE")
    run = start(id="one")
    for number in range(3):
        latest.add_data(number)
        run.log({"latest": latest, "each": maskl.Table(["a"], [[number]]), "grads": SMALL})
        run._writer.seal()
    latest.add_data(3)
    run.log({"latest": latest, "each": maskl.Table(["a"], [[3]]), "grads": SMALL})
    if killed:
        run._writer.abandon()
        assert [left.problem for left in maskl.open(store_dir).recover()] == [None]
    else:
        run.finish()
    store = maskl.open(store_dir)
    assert [row["a"] for row in store.table("latest")] == [0, 0, 1, 2, 3]
    assert [row["a"] for row in store.table("each")] == [0, 1, 2, 3]
    assert store.run("one").values("grads") == [(step, SMALL) for step in range(4)]
    store.compact()
    after = maskl.open(store_dir)
    assert [row["a"] for row in after.table("latest")] == [0, 0, 1, 2, 3]
    assert after.run("one").values("grads") == [(step, SMALL) for step in range(4)]
    assert {version for kind, version, _ in parts(store_dir) if kind == "rows"} == {"1.1.0"}
    assert not after.verify().faults


def test_a_write_ahead_file_without_json_is_that_of_version_1_1(tmp_path: Path) -> None:
    files = Folder(tmp_path)
    written = Journal(files, "a", 0)
    mark = None
    for form in (None, "json"):
        mark = written.call(mark, 0, [], {}, [(0, 0, 0, "key", None, "1", form)], 0, 0)
    path = written.abandon()
    assert path is not None
    found = [value[-1] for value, _ in read_wal(files, path, Tail())]
    assert found == [[[0, 0, 0, "key", None, "1"]], [[0, 0, 0, "key", None, "1", "json"]]]
    assert replay(files, path).waiting.history == [(0, 0, 0, "key", None, "1", form) for form in (None, "json")]


@pytest.mark.parametrize("row", [("1", "yaml"), (None, "json"), ("1", 3)])
def test_a_write_ahead_file_with_another_form_is_damaged(tmp_path: Path, row: tuple[Any, Any]) -> None:
    files = Folder(tmp_path)
    written = Journal(files, "a", 0)
    written.call(None, 0, [], {}, [(0, 0, 0, "key", None, *row)], 0, 0)
    path = written.abandon()
    assert path is not None
    with pytest.raises(CorruptData, match="form of a text is needed"):
        replay(files, path)


def test_verification_reads_the_texts(start: Start, store_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "JSON", "yaml")
    with start() as run:
        run.log({"grads": SMALL})
    monkeypatch.undo()
    with start() as run:
        run._writer.write({}, 0, {"broken": JsonText("{")})
    found = [fault.problem for fault in maskl.open(store_dir).verify().faults]
    assert len(found) == 2
    assert any(problem.startswith("'json' or nothing is a form; got 'yaml'") for problem in found)
    assert any(problem.startswith("not JSON") for problem in found)


@pytest.mark.parametrize(
    "text",
    [
        '{"$histogram": 3}',
        '{"$histogram": {"edges": [0, 1]}}',
        '{"$histogram": {"edges": [0, 1], "counts": [1, 2, 3]}}',
        '{"$histogram": {"edges": [0, "1"], "counts": [1]}}',
        '{"$histogram": {"edges": [0, 1e999], "counts": [1]}}',
        '{"$histogram": {"edges": {"$dict": 3}, "counts": [1]}}',
    ],
)
def test_what_others_wrote_is_damaged_where_it_is_no_histogram(text: str) -> None:
    with pytest.raises(CorruptData):
        load_text(text)
