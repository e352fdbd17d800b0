"""Every question of the cookbook is one short statement, and its answer is what NumPy says."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

import maskl
from maskl.cli import app

PAGE = (Path(__file__).parents[2] / "docs" / "sql-cookbook.md").read_text("utf-8")
LABELS = {0: "sky", 1: "road", 2: "car", 3: "truck", 255: "void"}
CLASSES = [name for name in LABELS.values() if name != "void"]
RUNS = ("main", "candidate")
STEPS = 3
IMAGES = 6


def block(question: str, language: str = "sql") -> str:
    """Return the statement under the line that begins with these words."""
    (found,) = re.findall(rf"^{re.escape(question)}.*?```{language}\n(.*?)\n```", PAGE, re.DOTALL | re.MULTILINE)
    return str(found)


def truth(index: int) -> np.ndarray:
    rng = np.random.default_rng(index)
    ids = [0, 1, 3, 255] if index == 4 else [0, 1, 2, 3, 255]
    mask = rng.choice(ids, (20, 30), p=[0.3, 0.5, 0.005, 0.195] if index == 4 else [0.3, 0.48, 0.15, 0.005, 0.065])
    return mask.astype(np.uint8)


def predicted(run: str, step: int, index: int) -> np.ndarray:
    rng = np.random.default_rng([RUNS.index(run), step, index])
    noise = rng.choice([0, 1, 2, 3], (20, 30)).astype(np.uint8)
    kept = 0.5 + 0.1 * step + (0.2 if index % 2 else -0.2) * (run == "candidate")
    return np.where(rng.random((20, 30)) < kept, truth(index), noise)


def weather(index: int) -> str:
    return "비" if index % 3 else "맑음"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> maskl.Store:
    directory = tmp_path_factory.mktemp("cookbook")
    for name in RUNS:
        with maskl.init(dir=directory, name=name) as run:
            for step in range(STEPS):
                table = maskl.Table(["image", "weather"])
                for index in range(IMAGES):
                    masks = {
                        "ground_truth": {"mask_data": truth(index), "class_labels": LABELS, "ignore_index": 255},
                        "predictions": {"mask_data": predicted(name, step, index), "class_labels": LABELS},
                    }
                    image = maskl.Image(np.full((20, 30, 3), index, np.uint8), masks=masks)
                    table.add_data(image, weather(index))
                run.log({"val": table}, step=step)
    return maskl.open(directory)


def counts(run: str, step: int, images: Any = range(IMAGES)) -> dict[str, np.ndarray]:
    """Return tp, fp, fn of every class of the truth that is not ignored."""
    total = {name: np.zeros(3, np.int64) for name in CLASSES}
    for index in images:
        a, b = truth(index), predicted(run, step, index)
        counted = a != 255
        for number, name in LABELS.items():
            if name in total:
                hit, said, meant = counted & (a == b) & (a == number), counted & (b == number), counted & (a == number)
                total[name] += [hit.sum(), (said & ~hit).sum(), (meant & ~hit).sum()]
    return total


def ious(run: str, step: int, images: Any = range(IMAGES)) -> dict[str, float | None]:
    return {
        name: tp / (tp + fp + fn) if tp + fp + fn else None for name, (tp, fp, fn) in counts(run, step, images).items()
    }


def means(run: str, step: int, images: Any = range(IMAGES)) -> float:
    return float(np.mean([iou for iou in ious(run, step, images).values() if iou is not None]))


def rows(relation: duckdb.DuckDBPyRelation, *columns: str) -> list[tuple[Any, ...]]:
    places = [relation.columns.index(name) for name in columns]
    return [tuple(row[place] for place in places) for row in relation.fetchall()]


def same(found: dict[Any, Any], wanted: dict[Any, Any]) -> None:
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        assert found[key] == (value if value is None else pytest.approx(value, rel=1e-12)), key


def test_there_are_eighteen_questions_of_one_short_statement_each() -> None:
    statements = re.findall(r"```sql\n(.*?)\n```", PAGE, re.DOTALL)
    assert len(statements) == 18
    for statement in statements:
        assert len(statement) <= 120, statement
        assert len(duckdb.extract_statements(statement)) == 1 or statement.startswith("PIVOT")


def test_classes_under_one_percent(store: maskl.Store) -> None:
    pixels = np.concatenate([truth(index).reshape(-1) for index in range(IMAGES)])
    shares = {name: float(np.mean(pixels == number)) for number, name in LABELS.items() if name != "void"}
    wanted = {(run, name): share for run in RUNS for name, share in shares.items() if share < 0.01}
    found = rows(store.sql(block("Which classes cover less than 1 %")), "run_name", "class_name", "coverage")
    same({row[:2]: row[2] for row in found}, wanted)
    assert {name for _, name in wanted} == {"truck"}


def test_images_without_a_class(store: maskl.Store) -> None:
    found = rows(store.sql(block("Which images have no car?")), "run_name", "_step", "_row")
    assert sorted(found) == [(run, step, step * IMAGES + 4) for run in sorted(RUNS) for step in range(STEPS)]
    assert [row["weather"] for row in store.select(block("Which images have no car?"))] == [weather(4)] * len(found)


def test_cooccurrence(store: maskl.Store) -> None:
    present = [{LABELS[i] for i in np.unique(truth(index)).tolist()} - {"void"} for index in range(IMAGES)]
    wanted = {}
    for a in CLASSES:
        for b in CLASSES:
            both = sum(a in names and b in names for names in present)
            if a != b and both:
                wanted |= {(run, a, b): (both, both / sum(a in names for names in present)) for run in RUNS}
    relation = store.sql(block("Which classes occur together"))
    found = rows(relation, "run_name", "class_a", "class_b", "n_rows", "share")
    assert {row[:3]: row[3:] for row in found} == wanted


def test_iou_side_by_side(store: maskl.Store) -> None:
    relation = store.sql(block("What is the IoU of every class, runs"))
    assert sorted(relation.columns) == ["candidate", "class_name", "main"]
    for run in RUNS:
        same(dict(rows(relation, "class_name", run)), ious(run, STEPS - 1))


def test_leaderboard(store: maskl.Store) -> None:
    found = rows(store.sql(block("Which run is best?")), "run_name", "mean_iou")
    same(dict(found), {run: means(run, STEPS - 1) for run in RUNS})
    assert [name for name, _ in found] == sorted(RUNS, key=lambda run: -means(run, STEPS - 1))


def test_one_class_over_the_epochs(store: maskl.Store) -> None:
    found = rows(store.sql(block("How did one class do")), "run_name", "_step", "iou")
    same({row[:2]: row[2] for row in found}, {(run, s): ious(run, s)["car"] for run in RUNS for s in range(STEPS)})


def test_one_given_epoch(store: maskl.Store) -> None:
    found = rows(store.sql(block("What was the IoU of every class after epoch 1")), "run_name", "class_name", "iou")
    same({row[:2]: row[2] for row in found}, {(run, n): iou for run in RUNS for n, iou in ious(run, 1).items()})


def test_most_confused_pairs(store: maskl.Store) -> None:
    found = rows(
        store.sql(block("Which classes are taken for which?")),
        *("run_name", "truth_class", "prediction_class", "pixels", "share"),
    )
    wanted = {}
    for run in RUNS:
        a = np.concatenate([truth(index).reshape(-1) for index in range(IMAGES)])
        b = np.concatenate([predicted(run, STEPS - 1, index).reshape(-1) for index in range(IMAGES)])
        for i, name in LABELS.items():
            for j, other in LABELS.items():
                pixels = int(np.sum((a == i) & (b == j)))
                if i not in (j, 255) and pixels:
                    wanted[run, name, other] = (pixels, pixels / int(np.sum(a == i)))
    top = sorted(wanted.values(), reverse=True)[:10]
    assert [row[3] for row in found] == [pixels for pixels, _ in top]
    assert all(wanted[row[:3]] == (row[3], pytest.approx(row[4], rel=1e-12)) for row in found)


def test_iou_by_another_column(store: maskl.Store) -> None:
    relation = store.sql(block("Does the IoU depend on the weather"))
    found = {row[:3]: row[3] for row in relation.fetchall()}
    wanted = {}
    for run in RUNS:
        for kind in ("비", "맑음"):
            images = [index for index in range(IMAGES) if weather(index) == kind]
            wanted |= {(run, kind, name): iou for name, iou in ious(run, STEPS - 1, images).items()}
    same(found, wanted)


def test_worst_images(store: maskl.Store) -> None:
    query = block("Which images are worst?")
    found = rows(store.sql(query), "run_id", "_row", "mean_iou")
    wanted = {(run, (STEPS - 1) * IMAGES + i): means(run, STEPS - 1, [i]) for run in RUNS for i in range(IMAGES)}
    names = {run.run_id: run.name for run in store.runs()}
    same({(names[run], row): iou for run, row, iou in found}, wanted)
    assert [iou for *_, iou in found] == sorted(iou for *_, iou in found)
    first = store.select(query)[0]
    assert np.array_equal(
        first["image"].masks["predictions"].mask_data,
        predicted(names[found[0][0]], STEPS - 1, found[0][1] % IMAGES),
    )


def test_images_that_got_worse_on_a_class(store: maskl.Store) -> None:
    found = rows(store.sql(block("On which images did the candidate get worse")), "_row", "change", "iou_a", "iou_b")
    wanted = {}
    for i in range(IMAGES):
        a, b = (ious(run, STEPS - 1, [i])["car"] for run in RUNS)
        if a is not None and b is not None and b < a:
            wanted[(STEPS - 1) * IMAGES + i] = b - a
    assert wanted
    same({row: change for row, change, *_ in found}, wanted)
    assert [change for _, change, *_ in found] == sorted(wanted.values())


def test_predictions_with_much_of_a_class(store: maskl.Store) -> None:
    found = rows(store.sql(block("On which images is more than 5 %")), "run_name", "_row", "coverage")
    wanted = {
        (run, step * IMAGES + i): float(np.mean(predicted(run, step, i) == 2))
        for run in RUNS
        for step in range(STEPS)
        for i in range(IMAGES)
        if np.mean(predicted(run, step, i) == 2) > 0.05
    }
    same({row[:2]: row[2] for row in found}, wanted)


def test_the_gate_and_the_class_map(store: maskl.Store, capsys: pytest.CaptureFixture[str]) -> None:
    command = block("`maskl sql --fail-if-rows`", "console").removeprefix("$ maskl ")
    verb, option, query = re.fullmatch(r'(\w+) (--[\w-]+) "(.*)"', command).groups()  # type: ignore[union-attr]  # it fits
    run: Callable[[str], int] = lambda text: _exit_code([verb, option, text, "--dir", str(store.root)])  # noqa: E731
    changes = store.compare("val", "main", "candidate", resamples=1000).to_pylist()
    assert {row["change_high"] is not None for row in changes} == {True}
    assert run(query) == any(row["change_high"] < 0 for row in changes)
    assert run(query.replace("< 0", "IS NOT NULL")) == 1
    assert run(query.replace("< 0", "< -0.9")) == 0
    assert run(query.replace("'val'", "'vla'")) == 2
    assert "there is no table 'vla'; there are: 'val'" in capsys.readouterr().err
    exec(block("`class_map` gives classes", "python"), {"store": store})


def _exit_code(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        app.main(arguments)
    return int(ended.value.code or 0)


# --- objects and outlines -----------------------------------------------------------------------


def objects(index: int) -> np.ndarray:
    """Return ids of objects: class · 100 + number, and regions of a class under its own id."""
    small = np.random.default_rng(index).choice([0, 1, 201, 202, 203], (5, 6))
    found = np.kron(small, np.ones((4, 5), np.int64))
    found[0, 0] = 250 + index  # one pixel
    return found


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> maskl.Store:
    directory = tmp_path_factory.mktemp("objects")
    classes = [{"id": number, "name": LABELS[number], "isthing": number > 1} for number in (0, 1, 2)]
    for name in RUNS:
        with maskl.init(dir=directory, name=name) as run:
            table = maskl.Table(["image"])
            for index in range(IMAGES):
                moved = np.roll(objects(index), RUNS.index(name) + 1, axis=1)
                there = {int(number): {"class_id": 2, "score": 0.5} for number in np.unique(moved) if number > 1}
                masks = {
                    "ground_truth": {"mask_data": objects(index), "segments": {"divisor": 100}},
                    "predictions": {"mask_data": moved, "segments": there | {0: 0, 1: 1}},
                }
                table.add_data(maskl.Image(np.full((20, 30), index, np.uint8), masks=masks, classes=classes))
            run.log({"val": table})
    store = maskl.open(directory)
    store.score("val", ["panoptic", "boundary", "surface"])
    return store


def pairs(store: maskl.Store, run: str) -> tuple[list[maskl.ImageMask], list[maskl.ImageMask]]:
    images = [row["image"].masks for row in store.table("val", run=run)]
    return [masks["ground_truth"] for masks in images], [masks["predictions"] for masks in images]


def test_panoptic_quality_of_things_and_stuff(scored: maskl.Store) -> None:
    found = rows(scored.sql(block("What is the panoptic quality")), "run_name", "classes", "pq")
    wanted = {}
    for name in RUNS:
        whole = maskl.metrics.panoptic_quality(*pairs(scored, name), things=["car"])
        wanted |= {(name, of): whole.mean(of).pq for of in ("all", "things", "stuff")}
    same({row[:2]: row[2] for row in found}, wanted)


def test_classes_that_are_found_and_badly_segmented(scored: maskl.Store) -> None:
    found = rows(scored.sql(block("Which classes are found and badly")), "run_name", "class_name", "sq")
    wanted = {}
    for name in RUNS:
        whole = maskl.metrics.panoptic_quality(*pairs(scored, name))
        wanted |= {(name, of): whole.sq()[of] for of, rq in whole.rq().items() if rq > 0.5}
    same({row[:2]: row[2] for row in found}, wanted)
    assert wanted
    assert [row[2] for row in found] == sorted(row[2] for row in found)


def test_images_on_which_most_cars_are_missed(scored: maskl.Store) -> None:
    found = rows(scored.sql(block("On which images are most cars missed?")), "run_name", "_row", "fn")
    wanted = {}
    for name in RUNS:
        for index, pair in enumerate(zip(*pairs(scored, name), strict=True)):
            missed = maskl.metrics.panoptic_quality(*pair)
            wanted[name, index] = int(missed.fn[missed.classes.index("car")])
    assert {row[:2]: row[2] for row in found} == {key: fn for key, fn in wanted.items() if fn}
    assert [row[2] for row in found] == sorted((row[2] for row in found), reverse=True)


def test_classes_that_are_bad_at_their_edges(scored: maskl.Store) -> None:
    found = rows(scored.sql(block("Which classes are good inside")), "run_name", "class_name", "iou", "boundary_iou")
    wanted = {}
    for name in RUNS:
        inside, edges = maskl.metrics.iou(*pairs(scored, name)), maskl.metrics.boundary_iou(*pairs(scored, name))
        wanted |= {(name, of): (inside[of], edges[of]) for of in inside}
    assert {row[:2]: row[2:] for row in found} == {key: pytest.approx(pair, rel=1e-12) for key, pair in wanted.items()}


def test_outlines_that_are_furthest_off(scored: maskl.Store) -> None:
    found = scored.sql(block("Whose outlines are furthest off?")).fetchall()
    wanted = {}
    for name in RUNS:
        whole = maskl.metrics.surface_scores(*pairs(scored, name), percentile=95)
        wanted |= {(name, of): (whole.surface_dice()[of], whole.hausdorff()[of]) for of in whole.classes}
    assert {row[:2]: row[2:] for row in found} == {key: pytest.approx(pair, rel=1e-12) for key, pair in wanted.items()}


def test_objects_that_are_tiny(scored: maskl.Store) -> None:
    found = rows(scored.sql(block("Which predicted objects are tiny")), "run_name", "_row", "id", "pixels", "score")
    assert sorted(found) == sorted((name, index, 250 + index, 1, 0.5) for name in RUNS for index in range(IMAGES))
