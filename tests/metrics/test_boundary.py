"""Boundary IoU: against erosion step by step, pixel by pixel, and the cases that implementations differ in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskl import ImageMask, metrics
from maskl.errors import InvalidType, InvalidValue
from maskl.metrics import boundary_counts, boundary_iou
from maskl_storage.format.metadata import ClassSet

Counts = dict[str, tuple[int, int]]
Pixels = set[tuple[int, int]]


def counts(found: metrics.BoundaryCounts) -> Counts:
    columns = zip(found.intersection.tolist(), found.union.tolist(), strict=True)
    return dict(zip(found.classes, columns, strict=True))


def eroded(region: Pixels, times: int) -> Pixels:
    """Return the pixels of a region whose eight neighbours are in it, again and again."""
    for _ in range(times):
        region = {
            (y, x) for y, x in region if all((y + dy, x + dx) in region for dy in (-1, 0, 1) for dx in (-1, 0, 1))
        }
    return region


def oracle(rows: Iterable[tuple[Any, Any]], ids: set[int], ignored: set[int], ratio: float) -> Counts:
    found = {f"class_{number}": (0, 0) for number in sorted(ids - ignored)}
    for truth, prediction in rows:
        reach = max(1, round(ratio * (truth.shape[0] ** 2 + truth.shape[1] ** 2) ** 0.5))
        counted = {at for at in np.ndindex(truth.shape) if int(truth[at]) not in ignored}
        for number in ids - ignored:
            edges = []
            for mask in (truth, prediction):
                region = {at for at in counted if mask[at] == number}
                edges.append(region - eroded(region, reach))
            both, either = found[f"class_{number}"]
            found[f"class_{number}"] = (both + len(edges[0] & edges[1]), either + len(edges[0] | edges[1]))
    return found


@st.composite
def scenes(draw: st.DrawFn) -> list[tuple[Any, Any]]:
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    rows = []
    for _ in range(draw(st.integers(1, 2))):
        shape = draw(st.tuples(st.integers(1, 13), st.integers(1, 13)))
        size = draw(st.integers(1, 6))
        blocks = rng.integers(0, 4, [-(-side // size) for side in shape])
        truth = np.kron(blocks, np.ones((size, size), int))[: shape[0], : shape[1]]
        prediction = np.where(rng.random(shape) < 0.05, rng.integers(0, 4, shape), np.roll(truth, 1, 1))
        rows.append((truth, prediction))
    return rows


@settings(max_examples=50)
@given(rows=scenes(), ratio=st.sampled_from([0.001, 0.1, 0.15, 0.25, 2.0]), ignored=st.sets(st.just(3)))
def test_counts_equal_those_of_erosion(rows: list[tuple[Any, Any]], ratio: float, ignored: set[int]) -> None:
    truths, predictions = ([row[i] for row in rows] for i in range(2))
    found = counts(boundary_counts(truths, predictions, dilation_ratio=ratio, ignore_index=ignored))
    ids = {int(number) for row in rows for mask in row for number in np.unique(mask)}
    assert {name: pair for name, pair in found.items() if any(pair)} == {
        name: pair for name, pair in oracle(rows, ids, ignored, ratio).items() if any(pair)
    }


def test_a_square() -> None:
    """Of 10 × 10 pixels the boundary one pixel wide has 36; moved by one, two sides are shared."""
    truth = np.zeros((20, 20), int)
    truth[5:15, 5:15] = 1
    assert counts(boundary_counts(truth, truth))["class_1"] == (36, 36)
    moved = counts(boundary_counts(truth, np.roll(truth, 1, 1)))["class_1"]
    assert moved == (18, 54)
    assert boundary_iou(truth, np.roll(truth, 1, 1))["class_1"] == 18 / 54
    assert counts(boundary_counts(truth, truth, dilation_ratio=0.1))["class_1"] == (84, 84)  # 3 pixels wide


def test_the_edge_of_the_image_is_a_boundary() -> None:
    whole = np.zeros((60, 80), np.uint8)  # a diagonal of 100: 2 pixels
    assert counts(boundary_counts(whole, whole)) == {"class_0": (60 * 80 - 56 * 76,) * 2}


def test_ignored_pixels_are_background_in_both_before_eroding() -> None:
    truth = np.zeros((9, 9), int)
    truth[4, 4] = 9
    found = counts(boundary_counts(truth, np.zeros((9, 9), int), ignore_index=9))
    # the hole has a boundary of eight pixels in both, though the prediction has no hole
    assert found == {"class_0": (32 + 8, 32 + 8)}


def test_a_class_absent() -> None:
    names = {0: "sky", 1: "road", 2: "car"}
    assert boundary_iou([[0, 0]], [[0, 2]], classes=names) == {"sky": 0.5, "road": None, "car": 0.0}
    found = boundary_counts([[0, 0]], [[0, 2]], classes=names)
    assert found.mean_iou() == 0.25
    assert found.mean_iou(exclude=["car"]) == 0.5


def test_empty_against_empty() -> None:
    empty = np.full((3, 3), 9)
    found = boundary_counts(empty, empty, classes={0: "sky"}, ignore_index=9)
    assert found.iou() == {"sky": None}
    assert found.mean_iou() is None


def test_touching_segments_of_a_class_are_one_region() -> None:
    truth, segments = np.array([[1, 1, 1, 2, 2, 2]] * 6), {1: 0, 2: 0}
    prediction = np.zeros((6, 6), int)
    found = counts(boundary_counts(truth, prediction, truth_segments=segments, classes={0: "car"}))
    assert found == {"car": (20, 20)}


def test_segments_ids_above_24_bits_and_a_divisor() -> None:
    large = np.array([[(1 << 31) - 1, 1 << 24, 3]], np.int32)
    # an id without a segment is a class
    found = boundary_counts(large, [[5, 5, 3]], truth_segments={(1 << 31) - 1: 5, 1 << 24: 5})
    assert found.iou() == {"class_3": 1.0, "class_5": 1.0}
    by_rule = boundary_counts([[7, 26001, 26002]], [[7, 26, 26]], truth_segments={"divisor": 1000})
    assert by_rule.iou() == {"class_7": 1.0, "class_26": 1.0}


def test_one_pixel_segments() -> None:
    assert boundary_iou([[0, 1, 2]], [[0, 1, 1]]) == {"class_0": 1.0, "class_1": 0.5, "class_2": 0.0}
    assert boundary_iou([[4]], [[4]]) == {"class_4": 1.0}


def test_counts_of_images_add_up() -> None:
    masks = [np.kron(np.eye(n, dtype=int), np.ones((4, 4), int)) for n in (2, 3)]
    apart = [boundary_counts(mask, np.roll(mask, 1, 0)) for mask in masks]
    together = boundary_counts(masks, [np.roll(mask, 1, 0) for mask in masks])
    assert counts(apart[0] + apart[1]) == counts(together)
    assert counts(boundary_counts([[0]], [[0]]) + boundary_counts([[3]], [[3]])) == {
        "class_0": (1, 1),
        "class_3": (1, 1),
    }


def test_stored_masks_and_many_classes() -> None:
    truth = np.arange(300).reshape(10, 30)
    prediction = np.roll(truth, 1, 0)
    wanted = counts(boundary_counts(truth, prediction))
    assert len(wanted) == 300
    masks = [ImageMask({"mask_data": array}, "m") for array in (truth, prediction)]
    for pair in (masks, [ImageMask.from_stored(mask.data, "m", ClassSet()) for mask in masks]):
        assert counts(boundary_counts(*pair)) == wanted


@pytest.mark.parametrize(
    ("ratio", "error"), [("0.1", InvalidType), (True, InvalidType), (0, InvalidValue), (np.nan, InvalidValue)]
)
def test_ratios_that_are_refused(ratio: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="dilation_ratio must be"):
        boundary_iou([[0]], [[0]], dilation_ratio=ratio)


def test_masks_of_different_sizes() -> None:
    with pytest.raises(InvalidValue, match="image 0: the truth is 2×1 pixels and the prediction 1×1"):
        boundary_iou([[0, 1]], [[0]])
