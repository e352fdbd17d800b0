"""A metric of one's own from one new file: Python, confusion matrices, stores and the command line have it by name."""

from __future__ import annotations

import csv
import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import maskl
from maskl import Image, Table, metrics
from maskl.cli import app
from maskl.errors import InvalidValue
from maskl.metrics import registry
from maskl.reading.metrics import ROWS

pytestmark = pytest.mark.once

#: three metrics as a stranger writes them: of each class, over all, and of the whole matrix
FILE = '''
"""Toy metrics: the Tversky index, its mean, and Cohen's kappa."""

from maskl.metrics.registry import register


@register(per="class", version=2)
def tversky(counts, alpha=0.5, beta=2):
    """Return TP / (TP + alpha FP + beta FN) of each class."""
    return counts.ratio(counts.tp, counts.tp + alpha * counts.fp + beta * counts.fn)


@register(per="all")
def mean_tversky(counts, exclude=()):
    """Return the mean of the classes' Tversky index."""
    return counts.mean(tversky(counts), exclude)


@register(per="all", needs="confusion", name="kappa")
def cohens_kappa(matrix):
    """Return the agreement beyond chance."""
    total = matrix.pixels.sum()
    rows, columns = matrix.pixels.sum(axis=1), matrix.pixels.sum(axis=0)
    chance = (rows * columns[: len(rows)]).sum() / total**2
    return float((matrix.pixel_accuracy() - chance) / (1 - chance))
'''
TRUTH, GUESS = np.array([[0, 0, 1, 1, 1, 2]]), np.array([[0, 1, 1, 1, 0, 0]])
NAMES = {0: "sky", 1: "road", 2: "car"}
#: TP / (TP + FP / 2 + 2 FN): sky 1 1 2 1, road 2 1 1, car 0 0 1
TVERSKY = {"sky": 1 / (1 + 1 + 2), "road": 2 / (2 + 0.5 + 2), "car": 0.0}
BUILT_IN = {
    "class": ["iou", "dice", "recall", "precision"],
    "all": ["mean_iou", "mean_dice", "mean_accuracy", "frequency_weighted_iou", "pixel_accuracy"],
}


@pytest.fixture(autouse=True)
def _only_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget afterwards what a test registers, and before what the examples in docstrings did."""
    own = [metric for metric in registry._metrics.values() if ".formulas." in metric.function.__module__]
    monkeypatch.setattr(registry, "_metrics", {metric.name: metric for metric in own})


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import the one new file."""
    (tmp_path / "toy_metrics.py").write_text(FILE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "toy_metrics", raising=False)
    return importlib.import_module("toy_metrics")


@pytest.fixture
def store(store_dir: Path) -> maskl.Store:
    """Return a store of two runs with two steps of two rows each; of the second step every prediction is right."""
    for name in ("first", "second"):
        with maskl.init(name=name, dir=store_dir) as run:
            for step in range(2):
                table = Table(["image"])
                for _ in range(2):
                    guess = TRUTH if step else GUESS
                    layers = {"ground_truth": TRUTH, "predictions": guess}
                    masks = {key: {"mask_data": mask, "class_labels": NAMES} for key, mask in layers.items()}
                    table.add_data(Image(np.zeros(TRUTH.shape, np.uint8), masks=masks))
                run.log({"val": table})
    return maskl.open(store_dir)


# --- in Python ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("toy")
def test_it_is_computed_by_its_name() -> None:
    matrix = metrics.confusion_matrix(TRUTH, GUESS, classes=NAMES)
    assert matrix.compute("tversky") == TVERSKY == metrics.compute("tversky", TRUTH, GUESS, classes=NAMES)
    assert matrix.compute("tversky", alpha=1, beta=1) == matrix.iou()
    mean = sum(TVERSKY.values()) / 3
    assert matrix.compute("mean_tversky") == mean == metrics.compute("mean_tversky", TRUTH, GUESS, classes=NAMES)
    assert matrix.compute("mean_tversky", exclude=["car"]) == (TVERSKY["sky"] + TVERSKY["road"]) / 2
    # 3 of 6 are right; by chance (2·3 + 3·3 + 1·0) / 36
    assert matrix.compute("kappa") == pytest.approx((3 / 6 - 15 / 36) / (1 - 15 / 36))
    ignoring = metrics.compute("tversky", TRUTH, GUESS, classes=NAMES, ignore_index=2)
    assert ignoring == {"sky": 1 / (1 + 0.5 + 2), "road": TVERSKY["road"]}
    with pytest.raises(TypeError, match="gamma"):
        matrix.compute("tversky", gamma=1)


@pytest.mark.usefixtures("toy")
def test_it_is_listed_with_what_it_is() -> None:
    found = metrics.registered()
    assert list(found)[-3:] == ["tversky", "mean_tversky", "kappa"]
    assert (found["tversky"].per, found["tversky"].needs, found["tversky"].version) == ("class", "counts", 2)
    assert (found["kappa"].per, found["kappa"].needs, found["kappa"].version) == ("all", "confusion", 1)
    found.clear()
    assert "kappa" in metrics.registered()


def test_the_metrics_there_are_are_registered_the_same_way() -> None:
    found = metrics.registered()
    assert {per: [name for name, one in found.items() if one.per == per] for per in BUILT_IN} == BUILT_IN
    assert {(metric.needs, metric.version) for metric in found.values()} == {("counts", 1)}
    matrix = metrics.confusion_matrix(TRUTH, GUESS, classes=NAMES)
    for name, metric in found.items():
        expected = getattr(matrix, name)()
        assert matrix.compute(name) == expected == getattr(metrics, name)(TRUTH, GUESS, classes=NAMES), name
        assert metrics.compute(name, TRUTH, GUESS, classes=NAMES) == expected == metric.function(matrix.counts)
    for name in BUILT_IN["all"][:-1]:
        assert matrix.compute(name, exclude=["car"]) == getattr(matrix, name)(exclude=["car"])
    assert set(found) <= set(metrics.__all__)


def test_a_file_in_the_folder_of_formulas_is_found_there(tmp_path: Path) -> None:
    copy = tmp_path / "tree"
    for package in ("maskl", "maskl_storage"):
        folder = Path(importlib.import_module(package).__file__ or "").parent
        shutil.copytree(folder, copy / package, ignore=shutil.ignore_patterns("*.pyc"))
    (copy / "maskl" / "metrics" / "formulas" / "toys.py").write_text(FILE)
    code = "from maskl import metrics; print(metrics.compute('kappa', [[0, 0, 1, 1]], [[0, 1, 1, 1]]))"
    env = {**os.environ, "PYTHONPATH": str(copy)}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert ran.stdout == "0.5\n"


# --- of a store -----------------------------------------------------------------------------------


def named(found: maskl.Answer) -> list[str]:
    """Return an answer's columns but for how many rows it is over, which come last."""
    names = list(found.column_names)
    if "row" in names or "_row" in names:
        return names
    assert names[-len(ROWS) :] == list(ROWS)
    return names[: -len(ROWS)]


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(
    "by", [("class",), ("run", "class"), ("step", "class"), ("run", "step", "class"), ("row", "class")], ids="-".join
)
def test_a_store_has_it_of_each_class(store: maskl.Store, by: tuple[str, ...]) -> None:
    for step in (0, 1):
        found = store.metrics("val", by=by, step=step)
        assert named(found)[-1] == "tversky"
        assert [name for name in found.column_names if name in ("mean_tversky", "kappa")] == []
        scores = TVERSKY if step == 0 else dict.fromkeys(TVERSKY, 1.0)
        assert {(row["class_name"], row["tversky"]) for row in found} == set(scores.items())
        assert len(found) == 3 * (2 if "run" in by else 4 if "row" in by else 1)


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("by", [(), ("run",), "run", ("run", "step"), ("row",)], ids=str)
def test_a_store_has_the_mean_of_it(store: maskl.Store, by: Any) -> None:
    found = store.metrics("val", by=by, step=0)
    assert named(found)[-1] == "mean_tversky"
    assert {row["mean_tversky"] for row in found} == {sum(TVERSKY.values()) / 3}
    left = store.metrics("val", by=by, step=0, exclude=["car"])
    assert {row["mean_tversky"] for row in left} == {(TVERSKY["sky"] + TVERSKY["road"]) / 2}


@pytest.mark.usefixtures("toy")
def test_an_excluded_class_is_no_row_and_a_renamed_one_is_counted_as_one(store: maskl.Store) -> None:
    found = store.metrics("val", by=["class"], step=0, exclude=["sky"], class_map={"car": "sky"})
    assert [(row["class_name"], row["tversky"]) for row in found] == [("road", TVERSKY["road"])]
    found = store.metrics("val", by=["class"], step=0, class_map={"car": "sky"})
    # sky is 3 pixels of which 2 were predicted as such, and 1 of the road was
    assert {row["class_name"]: row["tversky"] for row in found} == {"road": TVERSKY["road"], "sky": 2 / (2 + 0.5 + 2)}


def test_one_that_is_called_as_a_column_is_not_shown_beside_it(store: maskl.Store) -> None:
    metrics.register(per="class", name="tp")(lambda counts: counts.ratio(counts.tp, counts.tp))
    metrics.register(per="all", name="run_id")(lambda counts: 0.5)
    assert store.metrics("val").column_names.count("tp") == 1
    assert store.metrics("val", by=["run"]).column_names.count("run_id") == 1


def test_without_one_a_store_has_what_sql_has(store: maskl.Store) -> None:
    classes, means = store.metrics("val"), store.metrics("val", by=["run"])
    assert classes.column_names[-9:] == [*BUILT_IN["class"], "tp", "fp", "fn", *ROWS]
    assert means.column_names[-7:] == [*BUILT_IN["all"], *ROWS]


# --- on the command line --------------------------------------------------------------------------


def printed(capsys: pytest.CaptureFixture[str], store_dir: Path, *arguments: str) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        app.main(["metrics", "val", "--dir", str(store_dir), *arguments])
    assert not left.value.code, capsys.readouterr().err
    return capsys.readouterr().out


@pytest.mark.usefixtures("toy", "store")
def test_the_command_line_shows_it(store_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line.split() for line in printed(capsys, store_dir, "--metric", "tversky", "--step", "0").splitlines()]
    assert lines[0] == ["tversky", "first", "second"]
    assert ["road", f"{TVERSKY['road']:.4f}", f"{TVERSKY['road']:.4f}"] in lines
    rows = json.loads(printed(capsys, store_dir, "--json", "--step", "0"))
    assert {(row["class_name"], row["tversky"]) for row in rows} == set(TVERSKY.items())
    (road, *_) = [
        row for row in csv.DictReader(printed(capsys, store_dir, "--csv").splitlines()) if row["class_name"] == "road"
    ]
    assert road["tversky"] == "1.0"


@pytest.mark.usefixtures("toy", "store")
@pytest.mark.parametrize("name", ["none", "mean_tversky", "kappa"])
def test_the_command_line_says_which_there_are(name: str, store_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        app.main(["metrics", "val", "--dir", str(store_dir), "--metric", name])
    assert left.value.code == 2
    words = f"'--metric': '{name}' is not one of 'iou', 'dice', 'recall', 'precision', 'tversky'."
    assert words in capsys.readouterr().err


# --- registering ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"per": "image"}, "per must be one of 'class', 'all'; got 'image'"),
        ({"per": "all", "needs": "pixels"}, "needs must be one of 'counts', 'confusion'; got 'pixels'"),
        ({"per": "all", "version": 0}, "version must be an integer from 1 on; got 0"),
        ({"per": "all", "version": True}, "version must be an integer from 1 on; got True"),
        ({"per": "all", "version": "1"}, "version must be an integer from 1 on; got '1'"),
        ({"per": "all", "name": "a b"}, "a metric's name must be a word, which may be a column's; got 'a b'"),
        ({"per": "all", "name": ""}, "a metric's name must be a word"),
        ({"per": "all", "name": 3}, "a metric's name must be a word"),
        (
            {"per": "all", "name": "iou"},
            r"'iou' is registered already, by maskl\.metrics\.formulas\.ratios\.iou",
        ),
    ],
    ids=str,
)
def test_what_is_no_metric_is_refused(arguments: dict[str, Any], words: str) -> None:
    before = metrics.registered()
    with pytest.raises(InvalidValue, match=words):
        metrics.register(**arguments)(lambda counts: None)
    assert metrics.registered() == before


def test_a_name_that_nothing_has_is_refused() -> None:
    with pytest.raises(InvalidValue, match=r"metric must be one of 'iou', 'dice', .*; got 'none'"):
        metrics.compute("none", TRUTH, GUESS)


def test_a_metric_that_is_made_once_more_takes_the_place_of_the_first() -> None:
    for number in (1.0, 2.0):

        @metrics.register(per="all")
        def again(counts: metrics.ClassCounts, number: float = number) -> float:
            return number

    assert metrics.compute("again", TRUTH, GUESS) == 2
