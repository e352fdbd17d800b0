"""Panoptic quality equals that of Cityscapes' evaluator and of torchmetrics, and differs where the pages say."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage
from scipy import ndimage

from maskl.metrics import PanopticQuality, panoptic_quality
from tests.metrics.oracles.conftest import VOID

pytestmark = [pytest.mark.oracles, pytest.mark.filterwarnings("ignore")]
CASES = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
NAMES = {1: "road", 2: "sky", 3: "car", 4: "person"}
THINGS = {3, 4}


def official(
    cityscapes: Any, folder: Path, rows: list[tuple[Any, Any, dict[int, Any], dict[int, Any]]]
) -> tuple[dict[int, Any], dict[str, Any]]:
    """Return the counts of each class and the means, as the official evaluator has them; id 0 is void."""
    pairs = []
    for index, (truth, prediction, mine, theirs) in enumerate(rows):
        annotations = []
        for what, mask, segments in (("truth", truth, mine), ("prediction", prediction, theirs)):
            bits = np.stack([mask >> shift & 255 for shift in (0, 8, 16)], axis=2).astype(np.uint8)
            PILImage.fromarray(bits).save(folder / f"{what}{index}.png", compress_level=0)
            listed = [
                {
                    "id": key,
                    "category_id": about["class_id"],
                    "iscrowd": int(about["iscrowd"]),
                    "area": int((mask == key).sum()),
                }
                for key, about in segments.items()
            ]
            annotations.append({"image_id": index, "file_name": f"{what}{index}.png", "segments_info": listed})
        pairs.append(tuple(annotations))
    categories = {number: {"name": name, "isthing": int(number in THINGS)} for number, name in NAMES.items()}
    counted = cityscapes.pq_compute_single_core(0, pairs, str(folder), str(folder), categories)
    try:
        means = cityscapes.average_pq(counted, categories)
    except ZeroDivisionError:  # no class with a segment
        means = {}
    return counted.pq_per_cat, means


def same(found: PanopticQuality, counted: Any) -> None:
    for number, name in NAMES.items():
        index, wanted = found.classes.index(name), counted[number]
        assert (found.tp[index], found.fp[index], found.fn[index]) == (wanted.tp, wanted.fp, wanted.fn), name
        assert found.iou_sum[index] == pytest.approx(wanted.iou, rel=1e-9, abs=1e-12)


def segments_of(mask: Any, draw_class: Any, *, crowds: bool) -> dict[int, Any]:
    """Return segments for the ids of a mask but 0, with at most one crowd of a class."""
    found: dict[int, Any] = {}
    crowded: set[int] = set()
    for key in np.unique(mask).tolist():
        if key:
            number, crowd = draw_class()
            crowd = crowds and crowd and number not in crowded
            crowded |= {number} if crowd else set()
            found[key] = {"class_id": number, "iscrowd": crowd}
    return found


@st.composite
def scenes(draw: st.DrawFn, *, void_predicted: bool, crowds: bool) -> tuple[Any, Any, dict[int, Any], dict[int, Any]]:
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    shape = draw(st.tuples(st.integers(1, 24), st.integers(1, 24)))
    ids = np.array([0, *rng.choice(1 << 24, draw(st.integers(1, 8)), replace=False).tolist()])
    size = draw(st.integers(1, 8))
    blocks = rng.choice(ids, [-(-side // size) for side in shape])
    truth = np.kron(blocks, np.ones((size, size), np.int64))[: shape[0], : shape[1]]
    noise = rng.random(shape) < draw(st.sampled_from([0.0, 0.1, 0.4]))
    prediction = np.where(noise, rng.choice(ids, shape), truth)
    if not void_predicted:
        prediction[prediction == 0] = ids[-1] or 1

    def draw_class() -> tuple[int, bool]:
        return int(rng.choice(sorted(NAMES))), bool(rng.random() < 0.3)

    mine = segments_of(truth, draw_class, crowds=crowds)
    theirs = segments_of(prediction, draw_class, crowds=False)
    for key in theirs.keys() & mine.keys():
        if rng.random() < 0.8:
            theirs[key]["class_id"] = mine[key]["class_id"]
    return truth, prediction, mine, theirs


def ours(truth: Any, prediction: Any, mine: dict[int, Any], theirs: dict[int, Any]) -> PanopticQuality:
    return panoptic_quality(
        truth, prediction, truth_segments=mine, prediction_segments=theirs, classes=NAMES,
        things=[NAMES[number] for number in THINGS],
    )  # fmt: skip


@CASES
@given(scene=scenes(void_predicted=True, crowds=True))
def test_the_official_evaluator(libraries: SimpleNamespace, tmp_path: Path, scene: Any) -> None:
    found = ours(*scene)
    counted, means = official(libraries.cityscapes, tmp_path, [scene])
    same(found, counted)
    if means:
        for of in ("all", "things", "stuff"):
            wanted, mine = means[of.capitalize()], found.mean(of)  # type: ignore[arg-type]
            assert mine.n_classes == wanted["n"]
            assert (mine.pq or 0, mine.sq or 0, mine.rq or 0) == pytest.approx(
                (wanted["pq"], wanted["sq"], wanted["rq"])
            )


@CASES
@given(scene=scenes(void_predicted=False, crowds=False))
def test_torchmetrics(libraries: SimpleNamespace, scene: Any) -> None:
    truth, prediction, mine, theirs = scene
    torch = libraries.torch

    def coded(mask: Any, segments: dict[int, Any]) -> Any:
        classes = np.zeros(mask.shape, np.int64)
        for key, about in segments.items():
            classes[mask == key] = about["class_id"]
        return torch.from_numpy(np.stack([classes, mask.astype(np.int64)], axis=-1)[None])

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        preds, target = coded(prediction, theirs), coded(truth, mine)
        every = set(NAMES)
        wanted = libraries.torchmetrics.panoptic_quality(
            preds, target, things=every, stuffs=set(), allow_unknown_preds_category=True, return_sq_and_rq=True,
            return_per_class=True,
        )  # fmt: skip
    finally:
        torch.set_default_dtype(before)
    found = ours(*scene)
    scores = [[column[name] or 0.0 for column in (found.pq(), found.sq(), found.rq())] for name in NAMES.values()]
    assert np.array(scores) == pytest.approx(wanted.numpy(), rel=1e-9, abs=1e-12)


def test_real_frames(libraries: SimpleNamespace, camvid: list[tuple[Any, Any]], tmp_path: Path) -> None:
    """Every connected region of a class is a segment: thousands of them."""
    rows = []
    for truth, prediction in camvid:
        row: list[Any] = []
        for mask in (truth, prediction):
            ids, segments = np.zeros(mask.shape, np.int64), {}
            for number in set(np.unique(mask).tolist()) - {VOID}:
                regions, count = ndimage.label(mask == number)
                ids[regions > 0] = (regions[regions > 0] + len(segments)) * 7
                segments |= {(len(segments) + n) * 7: number % 4 + 1 for n in range(1, count + 1)}
            row.append((ids, {key: {"class_id": number, "iscrowd": False} for key, number in segments.items()}))
        rows.append((row[0][0], row[1][0], row[0][1], row[1][1]))
    truths, predictions, mine, theirs = (list(column) for column in zip(*rows, strict=True))
    found = ours(truths, predictions, mine, theirs)  # type: ignore[arg-type]
    same(found, official(libraries.cityscapes, tmp_path, rows)[0])
    assert found.tp.sum() > 50


def test_where_the_official_evaluator_differs(libraries: SimpleNamespace, tmp_path: Path) -> None:
    """Of several crowds of a class only the last excuses a prediction; here all do."""
    car = {"class_id": 3, "iscrowd": False}
    crowd = car | {"iscrowd": True}
    scene = (np.array([[1, 1, 2, 9, 9, 9]]), np.array([[5, 5, 5, 5, 0, 0]]), {1: crowd, 2: crowd, 9: car}, {5: car})
    counted, _ = official(libraries.cityscapes, tmp_path, [scene])
    assert counted[3].fp == 1
    assert ours(*scene).fp[ours(*scene).classes.index("car")] == 0


def test_where_torchmetrics_differs(libraries: SimpleNamespace) -> None:
    """What is not predicted at all counts in no union there."""
    torch = libraries.torch
    target = torch.tensor([[[[3, 1], [3, 1], [3, 1], [3, 1]]]])
    preds = torch.tensor([[[[3, 1], [3, 1], [3, 1], [0, 0]]]])
    score = libraries.torchmetrics.panoptic_quality(preds, target, {3}, {1}, allow_unknown_preds_category=True)
    assert float(score) == 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = panoptic_quality([[3, 3, 3, 3]], [[3, 3, 3, 0]], prediction_segments={3: 3}, classes={3: "car"})
    assert found.pq() == {"car": 0.75}
