"""``store.metrics`` for everything that it can be asked, against NumPy, and the ways out of its answers."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import maskl
from maskl.errors import InvalidType, InvalidValue, MissingExtra, NotFound, QueryError
from maskl.reading.metrics import Answer

LABELS = {0: "하늘", 1: "road", 2: "car", 3: "truck", 255: "void"}
CLASSES = [name for name in LABELS.values() if name != "void"]
RUNS = ("기준", "candidate")
STEPS, IMAGES = 2, 3
GROUPS = ("run", "step", "row", "class")
Sample = tuple[int, int, int]
SAMPLES: list[Sample] = list(itertools.product(range(len(RUNS)), range(STEPS), range(IMAGES)))
LAST = [sample for sample in SAMPLES if sample[1] == STEPS - 1]


def truth(index: int) -> np.ndarray:
    known = [0, 1, 3, 255] if index == 2 else [0, 1, 2, 3, 255]  # the last image has no car
    return np.random.default_rng(index).choice(known, (20, 30)).astype(np.uint8)


def predicted(sample: Sample) -> np.ndarray:
    rng = np.random.default_rng(sample)
    noise = rng.choice([0, 1, 3] if sample[2] == 2 else [0, 1, 2, 3, 255], (20, 30))
    return np.where(rng.random((20, 30)) < 0.4 + 0.2 * sample[0] + 0.1 * sample[1], truth(sample[2]), noise).astype(
        np.uint8
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> maskl.Store:
    directory = tmp_path_factory.mktemp("answers")
    for number, name in enumerate(RUNS):
        with maskl.init(dir=directory, name=name) as run:
            for step in range(STEPS):
                table = maskl.Table(["image"])
                for index in range(IMAGES):
                    masks = {
                        "ground_truth": {"mask_data": truth(index), "class_labels": LABELS, "ignore_index": 255},
                        "predictions": {"mask_data": predicted((number, step, index)), "class_labels": LABELS},
                        "other": {"mask_data": truth(index), "class_labels": {key: f"x{key}" for key in LABELS}},
                    }
                    table.add_data(maskl.Image(np.full((20, 30, 3), index, np.uint8), masks=masks))
                run.log({"val": table}, step=step)
            run.log({"plain": maskl.Table(["n"], [[1]])})
    return maskl.open(directory)


def counts(samples: Iterable[Sample], class_map: dict[str, str] | None = None) -> dict[str, np.ndarray]:
    """Return tp, fp and fn of every class that is not ignored, over these images."""
    total: dict[str, np.ndarray] = {}
    for sample in samples:
        names = np.array([(class_map or {}).get(LABELS.get(i, ""), LABELS.get(i, "")) for i in range(256)])
        a, b = names[truth(sample[2])], names[predicted(sample)]
        for name in {(class_map or {}).get(name, name) for name in CLASSES}:
            kept = a != "void"
            hit = kept & (a == name) & (b == name)
            found = [hit.sum(), (kept & (b == name) & ~hit).sum(), (kept & (a == name) & ~hit).sum()]
            total[name] = total.get(name, np.zeros(3, np.int64)) + np.array(found)
    return total


def ratio(a: Any, b: Any) -> float | None:
    return float(a / b) if b else None


def scores(tp: Any, fp: Any, fn: Any) -> dict[str, float | None]:
    return {
        "iou": ratio(tp, tp + fp + fn),
        "dice": ratio(2 * tp, 2 * tp + fp + fn),
        "recall": ratio(tp, tp + fn),
        "precision": ratio(tp, tp + fp),
    }


def means(total: dict[str, np.ndarray], exclude: Iterable[str] = ()) -> dict[str, float | None]:
    chosen = {name: scores(*found) for name, found in total.items() if name not in set(exclude)}
    sizes = {name: int(total[name][0] + total[name][2]) for name in chosen}

    def mean(metric: str) -> float | None:
        values = [row[metric] for row in chosen.values() if row[metric] is not None]
        return float(np.mean(values)) if values else None  # type: ignore[arg-type]  # no None is left

    everything = np.sum(list(total.values()), axis=0)
    return {
        "mean_iou": mean("iou"),
        "mean_dice": mean("dice"),
        "mean_accuracy": mean("recall"),
        "frequency_weighted_iou": ratio(
            sum(size * (chosen[name]["iou"] or 0) for name, size in sizes.items()), sum(sizes.values())
        ),
        "pixel_accuracy": ratio(everything[0], everything[0] + everything[2]),
    }


def expected(
    by: Iterable[str], samples: Iterable[Sample], exclude: tuple[str, ...] = (), class_map: dict[str, str] | None = None
) -> dict[tuple[Any, ...], dict[str, Any]]:
    groups = set(by) | ({"run", "step"} if "row" in set(by) else set())
    parts: dict[tuple[Any, ...], list[Sample]] = {}
    for sample in samples:
        run, step, index = sample
        key = {"run": RUNS[run], "step": step, "row": step * IMAGES + index}
        parts.setdefault(tuple(key[name] for name in GROUPS if name in groups and name in key), []).append(sample)
    wanted: dict[tuple[Any, ...], dict[str, Any]] = {}
    for key_, part in parts.items():
        total = counts(part, class_map)
        if "class" not in groups:
            wanted[key_] = means(total, exclude)
            continue
        for name, (tp, fp, fn) in total.items():
            if name not in exclude:
                wanted[(*key_, name)] = scores(tp, fp, fn) | {"tp": tp, "fp": fp, "fn": fn}
    if "row" not in groups:
        for key_, row in wanted.items():
            row |= {"n_rows": len(parts[key_[:-1] if "class" in groups else key_]), "n_left_out": 0}
    return wanted


def check(answer: Answer, by: Iterable[str], wanted: dict[tuple[Any, ...], dict[str, Any]]) -> None:
    """Check that an answer has these rows and columns, in order of the columns that name them."""
    groups = set(by) | ({"run", "step"} if "row" in set(by) else set())
    columns = {"run": "run_name", "step": "_step", "row": "_row", "class": "class_name"}
    keys = [columns[name] for name in GROUPS if name in groups]
    found = {tuple(row[name] for name in keys): row for row in answer}
    assert found.keys() == wanted.keys()
    assert len(answer) == len(wanted)
    for key, row in wanted.items():
        for name, value in row.items():
            assert found[key][name] == (None if value is None else pytest.approx(value, rel=1e-12)), (key, name)
    named = {"run": ["run_id", "run_name"], "step": ["_step"], "row": ["_row"]}
    listed = [name for group in GROUPS if group in groups for name in named.get(group, [])]
    listed += ["image_column", *(["class_name"] if "class" in groups else [])]
    assert answer.column_names == [*listed, *next(iter(wanted.values()))]
    order = [tuple(row[name] for name in listed if name != "run_name") for row in answer]
    assert order == sorted(order)
    assert set(answer["image_column"]) == {"image"}


COMBINATIONS = [by for size in range(5) for by in itertools.combinations(GROUPS, size)]


@pytest.mark.parametrize("by", COMBINATIONS, ids=lambda by: "+".join(by) or "nothing")
def test_metrics_by_anything_are_those_of_numpy(store: maskl.Store, by: tuple[str, ...]) -> None:
    default = SAMPLES if {"step", "row"} & set(by) else LAST
    check(store.metrics("val", by=by), by, expected(by, default))


@pytest.mark.parametrize("by", [(), ("class",), ("run",), ("run", "class")], ids=lambda by: "+".join(by) or "nothing")
def test_steps_that_are_asked_for(store: maskl.Store, by: tuple[str, ...]) -> None:
    first = [sample for sample in SAMPLES if sample[1] == 0]
    for step in (0, "0"):
        check(store.metrics("val", by=by, step=step), by, expected(by, first))
    check(store.metrics("val", by=by, step="all"), by, expected(by, SAMPLES))
    check(store.metrics("val", by=by, step="last"), by, expected(by, LAST))


def test_steps_that_are_summed_have_no_number(store: maskl.Store) -> None:
    answer = store.metrics("val", by=("run", "step"), step="all")
    assert answer["_step"] == [None, None]
    assert store.metrics("val", by=("run", "step", "class"), step=0)["_step"] == [0] * 8
    assert set(store.metrics("val", by="row", step="last")["_step"]) == {1}


@pytest.mark.parametrize("by", [(), ("class",), ("run", "step", "class"), ("row",), ("row", "class")])
def test_classes_that_are_excluded(store: maskl.Store, by: tuple[str, ...]) -> None:
    default = SAMPLES if {"step", "row"} & set(by) else LAST
    exclude = ("car", "하늘")
    check(store.metrics("val", by=by, exclude=exclude), by, expected(by, default, exclude))


@pytest.mark.parametrize("by", [(), ("class",), ("run", "step", "class"), ("row",), ("row", "class")])
def test_classes_that_are_grouped(store: maskl.Store, by: tuple[str, ...]) -> None:
    default = SAMPLES if {"step", "row"} & set(by) else LAST
    class_map = {"car": "탈것", "truck": "탈것"}
    check(store.metrics("val", by=by, class_map=class_map), by, expected(by, default, (), class_map))
    check(
        store.metrics("val", by=by, class_map=class_map, exclude=["탈것"]),
        by,
        expected(by, default, ("탈것",), class_map),
    )


def test_metrics_are_those_of_the_macros(store: maskl.Store) -> None:
    assert list(store.metrics("val")) == store.sql("FROM class_iou('val')").to_arrow_table().to_pylist()
    for by, macro in ((("run", "step"), "mean_iou"), (("row",), "row_iou")):
        found = {
            (row["run_id"], row["_row"] if "row" in by else row["_step"]): row for row in store.metrics("val", by=by)
        }
        for row in store.sql(f"FROM {macro}('val')").to_arrow_table().to_pylist():
            mine = found.pop((row["run_id"], row["_row"] if "row" in by else row["_step"]))
            for name in ("mean_iou", "mean_dice", "pixel_accuracy"):
                assert mine[name] == pytest.approx(row[name], rel=1e-12)
        assert not found


def test_the_types_are_those_that_the_docs_say(store: maskl.Store) -> None:
    by_class = store.metrics("val").to_arrow().schema
    assert {str(by_class.field(name).type) for name in ("iou", "dice", "recall", "precision")} == {"double"}
    assert {str(by_class.field(name).type) for name in ("tp", "fp", "fn", "_step")} == {"int64"}
    by_run = store.metrics("val", by="run").to_arrow().schema
    assert {str(field.type) for field in list(by_run)[3:-2]} == {"double"}
    assert [(field.name, str(field.type)) for field in list(by_run)[-2:]] == [
        ("n_rows", "int64"),
        ("n_left_out", "int64"),
    ]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"table": "없음"}, NotFound, "there is no table '없음'"),
        ({"table": "plain"}, NotFound, "has no mask 'ground_truth'; its masks are: none with class statistics"),
        ({"truth": "없음"}, NotFound, "has no mask '없음'; its masks are: 'ground_truth', 'other', 'predictions'"),
        ({"prediction": "없음"}, NotFound, "has no mask '없음'"),
        ({"prediction": "other"}, QueryError, "have no class name in common: give both the same class_labels"),
        ({"prediction": "other", "by": "row"}, QueryError, "have no class name in common"),
        ({"step": 7}, NotFound, "at step 7; its steps go from 0 to 1"),
        ({"step": "soon"}, QueryError, "step must be 'each', 'last', 'all' or a whole number; got 'soon'"),
        ({"by": ("run", "epoch")}, InvalidValue, "by must name some of run, step, row, class; got 'epoch'"),
        ({"by": "image"}, InvalidValue, "got 'image'"),
        ({"exclude": "car"}, InvalidType, "exclude must be a list of class names; got 'car'"),
        ({"exclude": [1]}, InvalidType, "exclude must be a list of class names; got [1]"),
        ({"exclude": ["없음"]}, NotFound, "has no class '없음' to exclude; its classes are: 'car', 'road', 'truck'"),
        ({"exclude": ["car"], "class_map": {"car": "a"}}, NotFound, "has no class 'car' to exclude"),
        ({"class_map": ["car"]}, InvalidType, "a class map is a dict of class names"),
        ({"class_map": {"car": 1}}, InvalidType, "a class map has names of classes on both sides; got 'car': 1"),
    ],
)
def test_questions_that_make_no_sense(
    store: maskl.Store, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        store.metrics(**{"table": "val"} | arguments)
    assert message in str(caught.value)


# --- answers ------------------------------------------------------------------------------------


@pytest.fixture
def answer(store: maskl.Store) -> Answer:
    return store.metrics("val", by=("run", "class"))


def test_an_answer_is_a_sequence_of_dicts(answer: Answer) -> None:
    rows = answer.to_pylist()
    assert len(rows) == len(answer) == 8
    assert list(answer) == list(iter(answer)) == rows
    assert answer["iou"] == [row["iou"] for row in rows]
    assert list(rows[0]) == answer.column_names
    assert repr(answer).startswith("<Answer of 8 rows: run_id, run_name, image_column, class_name, iou")
    with pytest.raises(KeyError):
        answer["없음"]


def test_an_answer_speaks_arrow(answer: Answer) -> None:
    table = answer.to_arrow()
    assert isinstance(table, pa.Table)
    assert table.to_pylist() == answer.to_pylist()
    assert pa.table(answer) == table
    assert pl.DataFrame(answer).to_dicts() == answer.to_pylist()
    with duckdb.connect() as connection:
        connection.register("answered", answer)
        assert connection.sql("SELECT count(*) FROM answered").fetchall() == [(8,)]


def test_an_answer_becomes_frames(answer: Answer) -> None:
    frame = answer.to_pandas()
    assert isinstance(frame, pd.DataFrame)
    assert frame.columns.tolist() == answer.column_names
    assert frame["iou"].tolist() == answer["iou"]
    assert frame["tp"].dtype == np.int64
    polars = answer.to_polars()
    assert isinstance(polars, pl.DataFrame)
    assert polars.to_dicts() == answer.to_pylist()


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_of_libraries_that_are_not_there(answer: Answer, monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    convert: Callable[[], Any] = getattr(answer, f"to_{library}")
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtra) as caught:
        convert()
    assert f"pip install 'maskl[{library}]'" in str(caught.value)
    assert isinstance(caught.value, ImportError)
    assert answer.to_arrow().num_rows == 8
