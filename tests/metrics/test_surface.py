"""Surface Dice, Hausdorff and average surface distance: against loops over corners and pixels, and the hard cases."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskl import ImageMask, metrics
from maskl.errors import InvalidType, InvalidValue, MissingExtra
from maskl.metrics import average_surface_distance, hausdorff, surface_dice, surface_scores
from maskl_storage.format.metadata import ClassSet

pytest.importorskip("scipy")

Element = tuple[float, float, float]  # row, column, length


def contour(region: set[tuple[int, int]], height: float, width: float) -> list[Element]:
    """Return the pieces of the line around a region, one at each corner of pixels."""
    cut = math.hypot(height, width) / 2
    found = []
    for y, x in sorted({(y + dy, x + dx) for y, x in region for dy in (0, 1) for dx in (0, 1)}):
        above, below = ([(row, column) in region for column in (x - 1, x)] for row in (y - 1, y))
        inside = sum(above) + sum(below)
        if inside in (1, 3):
            found.append((y * height, x * width, cut))
        elif inside == 2 and above[0] != above[1] and above[0] != below[0]:
            found.append((y * height, x * width, 2 * cut))
        elif inside == 2:
            found.append((y * height, x * width, width if above[0] == above[1] else height))
    return found


def pixels(region: set[tuple[int, int]], height: float, width: float) -> list[Element]:
    """Return the pixels of a region that have a neighbour outside."""
    steps = ((0, 1), (1, 0), (0, -1), (-1, 0))
    edge = [(y, x) for y, x in region if any((y + dy, x + dx) not in region for dy, dx in steps)]
    return [(y * height, x * width, 1.0) for y, x in sorted(edge)]


def percentile_of(values: list[tuple[float, float]], percentile: float, elements: str) -> float:
    if elements == "pixels":
        return float(np.percentile([distance for distance, _ in values], percentile))
    whole, so_far = sum(length for _, length in values), 0.0
    for distance, length in sorted(values):
        so_far += length
        if so_far / whole >= percentile / 100 - 1e-12:
            return distance
    return max(values)[0]


def oracle(a: Any, b: Any, number: int, void: set[Any], options: dict[str, Any]) -> list[float | None]:
    """Return surface Dice, Hausdorff and average surface distance of a class of one image."""
    edges = []
    for mask in (a, b):
        region = {at for at in np.ndindex(mask.shape) if mask[at] == number and at not in void}
        edges.append((contour if options["elements"] == "contour" else pixels)(region, *options["spacing"]))
    whole = sum(length for edge in edges for *_, length in edge)
    if not all(edges):
        return [0.0 if whole else None, None, None]
    there, back = (
        [(min(math.hypot(y - v, x - u) for v, u, _ in edges[1 - i]), length) for y, x, length in edges[i]]
        for i in range(2)
    )
    agreed = sum(length for distance, length in there + back if distance <= options["tolerance"] + 1e-12)
    furthest = max(percentile_of(some, options["percentile"], options["elements"]) for some in (there, back))
    return [agreed / whole, furthest, sum(distance * length for distance, length in there + back) / whole]


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Any, Any, dict[str, Any]]:
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    shape = draw(st.tuples(st.integers(1, 8), st.integers(1, 8)))
    size = draw(st.integers(1, 4))
    blocks = rng.integers(0, 4, [-(-side // size) for side in shape])
    truth = np.kron(blocks, np.ones((size, size), int))[: shape[0], : shape[1]]
    prediction = np.where(rng.random(shape) < 0.1, rng.integers(0, 4, shape), np.roll(truth, 1, 1))
    options = {
        "elements": draw(st.sampled_from(["contour", "pixels"])),
        "spacing": draw(st.sampled_from([(1.0, 1.0), (0.5, 0.5), (1.0, 2.5), (3.0, 0.7)])),
        # no multiple of the sides: what lies at the tolerance itself is a test of its own
        "tolerance": draw(st.sampled_from([0.0, 0.9, 1.3, 2.9])),
        "percentile": draw(st.sampled_from([0, 37, 93.7, 100])),
    }
    return truth, prediction, options


@settings(max_examples=50)
@given(scene=scenes(), ignored=st.sets(st.just(3)))
def test_scores_equal_those_of_loops(scene: tuple[Any, Any, dict[str, Any]], ignored: set[int]) -> None:
    truth, prediction, options = scene
    found = surface_scores(truth, prediction, ignore_index=ignored, **options)
    void = {at for at in np.ndindex(truth.shape) if int(truth[at]) in ignored}
    columns = (found.surface_dice(), found.hausdorff(), found.average_surface_distance())
    for name in found.classes:
        wanted = oracle(truth, prediction, int(name.removeprefix("class_")), void, options)
        for column, value in zip(columns, wanted, strict=True):
            assert column[name] == (value if value is None else pytest.approx(value, rel=1e-9, abs=1e-12)), name
    there = set(np.unique(truth).tolist()) - ignored
    assert {int(name.removeprefix("class_")) for name in found.classes} >= there


def square(start: int, side: int = 4, size: int = 12) -> Any:
    mask = np.zeros((size, size), int)
    mask[4 : 4 + side, start : start + side] = 1
    return mask


CAR: dict[str, Any] = {"classes": {1: "car"}, "ignore_index": 0}


def test_two_squares() -> None:
    """The line around 4 × 4 pixels is 12 straight pieces and four corners cut off; the other is two to its right."""
    a = np.pad(np.ones((4, 4), int), 4)
    b = np.roll(a, 2, 1)
    arguments: dict[str, Any] = {"classes": {0: "off", 1: "car"}}
    found = surface_scores(a, b, tolerance=1, **arguments)
    assert found.length[1] == pytest.approx(2 * (12 + 4 * math.sqrt(0.5)))
    assert found.hausdorff()["car"] == 2.0
    assert hausdorff(a, b, elements="pixels", **arguments)["car"] == 2.0
    assert surface_dice(a, b, tolerance=2, **arguments)["car"] == 1.0
    # of each, one side and the middle of the opposite one are two pixels from the other
    far = 2 * (3 + 2 * math.sqrt(0.5) + 1)
    assert found.overlap[1] == pytest.approx(found.length[1] - far)


def test_a_tolerance_holds_at_the_distance_itself() -> None:
    a, b = square(2), square(5)
    for side in (1.0, 0.1, 0.3, 0.7):
        assert surface_dice(a, b, tolerance=3 * side, spacing=side, classes={0: "off", 1: "car"})["car"] == 1.0


def test_anisotropic_spacing() -> None:
    a = np.zeros((9, 9), int)
    a[4, 2] = 1
    down, across = np.roll(a, 2, 0), np.roll(a, 2, 1)
    arguments: dict[str, Any] = {"spacing": (3, 0.5), "classes": {0: "off", 1: "car"}}
    for elements in ("contour", "pixels"):
        assert hausdorff(a, down, elements=elements, **arguments)["car"] == 6.0
        assert hausdorff(a, across, elements=elements, **arguments)["car"] == 1.0
        assert surface_dice(a, across, elements=elements, tolerance=1, **arguments)["car"] == 1.0
    assert hausdorff(a, down, spacing=np.array([3, 0.5]), classes={0: "off", 1: "car"})["car"] == 6.0
    # the shape of the line, too
    assert surface_scores(a, a, **arguments).length[1] == pytest.approx(2 * 4 * math.hypot(3, 0.5) / 2)


def test_the_larger_of_two_directed_percentiles() -> None:
    """Not the percentile of both lists together, which many near elements of the one side would lower."""
    a, b = np.zeros((5, 60), int), np.zeros((5, 60), int)
    a[2, :5] = b[2, :5] = 1
    b[2, 5:55] = 1
    found = hausdorff(a, b, percentile=50, elements="pixels", classes={0: "off", 1: "car"})["car"]
    there, back = [0.0] * 5, [0.0] * 5 + [float(n) for n in range(1, 51)]
    assert found == np.percentile(back, 50) != np.percentile(there + back, 50)
    assert hausdorff(a, b, elements="pixels", classes={0: "off", 1: "car"})["car"] == 50


def test_a_class_absent() -> None:
    found = surface_scores([[0, 0, 2]], [[0, 0, 0]], classes={0: "sky", 1: "road", 2: "car"})
    assert found.surface_dice() == {"sky": 1.0, "road": None, "car": 0.0}
    for column in (found.hausdorff(), found.average_surface_distance()):
        assert column["road"] is None, "in neither mask"
        assert column["car"] is None, "in one alone: no distance leads there"
    assert found.n_both.tolist() == [1, 0, 0]
    assert found.n_one.tolist() == [0, 0, 1]


def test_empty_against_empty() -> None:
    empty = np.zeros((3, 3), int)
    found = surface_scores(empty, empty, **CAR)
    assert found.classes == ("car",)
    assert found.surface_dice() == found.hausdorff() == found.average_surface_distance() == {"car": None}
    nothing = surface_scores(empty, empty, ignore_index=0)
    assert nothing.classes == ()


def test_the_edge_of_the_image_is_a_contour() -> None:
    whole = np.ones((4, 6), int)
    assert surface_scores(whole, whole, elements="pixels").length.tolist() == [2 * 16]
    assert surface_scores(whole, whole).length[0] == pytest.approx(2 * (2 * 3 + 2 * 5 + 4 * math.sqrt(0.5)))


def test_one_pixel_segments() -> None:
    found = surface_scores([[1, 2]], [[2, 1]], elements="pixels", tolerance=0.5)
    assert found.hausdorff() == {"class_1": 1.0, "class_2": 1.0}
    assert found.surface_dice() == {"class_1": 0.0, "class_2": 0.0}


def test_touching_segments_of_a_class_have_one_contour() -> None:
    truth = np.array([[1, 1, 2, 2]] * 3)
    found = surface_scores(truth, np.zeros((3, 4), int), truth_segments={1: 0, 2: 0}, classes={0: "car"})
    assert found.hausdorff() == {"car": 0.0}
    assert found.surface_dice() == {"car": 1.0}


def test_ids_above_24_bits_and_a_divisor() -> None:
    truth = np.array([[(1 << 31) - 1, 1 << 24, 3]], np.int32)
    assert hausdorff(truth, [[5, 5, 3]], truth_segments={(1 << 31) - 1: 5, 1 << 24: 5}) == {
        "class_3": 0.0,
        "class_5": 0.0,
    }
    assert hausdorff([[26001, 26002, 7]], [[26, 26, 7]], truth_segments={"divisor": 1000}) == {
        "class_7": 0.0,
        "class_26": 0.0,
    }


def test_images_are_summed_and_hausdorff_distances_averaged() -> None:
    truths, predictions = [square(2), square(2), square(2)], [square(3), square(5), np.zeros((12, 12), int)]
    arguments: dict[str, Any] = {"classes": {0: "off", 1: "car"}, "tolerance": 2}
    together = surface_scores(truths, predictions, **arguments)
    apart = [surface_scores(a, b, **arguments) for a, b in zip(truths, predictions, strict=True)]
    summed = apart[0] + apart[1] + apart[2]
    for name in ("overlap", "length", "distance_sum", "distance_length", "hausdorff_sum", "n_both", "n_one"):
        assert getattr(together, name) == pytest.approx(getattr(summed, name)), name
    assert together.hausdorff()["car"] == (1 + 3) / 2
    assert together.n_one.tolist() == [0, 1]
    assert together.surface_dice()["car"] == pytest.approx(summed.overlap[1] / summed.length[1])


def test_a_tolerance_for_each_class() -> None:
    a, b = square(2), square(5)
    names = {0: "off", 1: "car"}
    found = surface_dice(a, b, tolerance={"off": 0, "car": 3}, classes=names)
    assert found == {
        "off": surface_dice(a, b, tolerance=0, classes=names)["off"],
        "car": surface_dice(a, b, tolerance=3, classes=names)["car"],
    }
    with pytest.raises(InvalidValue, match="tolerance has no number for the class 'off'"):
        surface_dice(a, b, tolerance={"car": 3}, classes=names)


def test_stored_masks_and_many_classes() -> None:
    truth = np.arange(300).reshape(10, 30)
    prediction = np.roll(truth, 1, 0)
    wanted = surface_scores(truth, prediction)
    assert wanted.hausdorff() == {name: 9.0 if int(name[6:]) >= 270 else 1.0 for name in wanted.classes}
    masks = [ImageMask({"mask_data": array}, "m") for array in (truth, prediction)]
    for pair in (masks, [ImageMask.from_stored(mask.data, "m", ClassSet()) for mask in masks]):
        assert surface_scores(*pair).hausdorff() == wanted.hausdorff()
    assert average_surface_distance(*masks)["class_0"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"tolerance": -1}, InvalidValue, "tolerance must be at least 0 and finite; got -1"),
        ({"tolerance": "1"}, InvalidType, "tolerance must be a number; got '1'"),
        ({"tolerance": True}, InvalidType, "tolerance must be a number; got True"),
        ({"tolerance": {"class_0": None}}, InvalidType, "the tolerance of 'class_0' must be a number; got None"),
        ({"percentile": 101}, InvalidValue, "percentile must be within 0 to 100; got 101"),
        ({"percentile": math.nan}, InvalidValue, "percentile must be within 0 to 100; got nan"),
        ({"spacing": 0}, InvalidValue, "spacing must be above 0; got 0"),
        ({"spacing": (1, 2, 3)}, InvalidValue, "spacing must be one number, or a pixel's height and width"),
        ({"spacing": (1, "2")}, InvalidType, "spacing must be a number; got '2'"),
        ({"spacing": math.inf}, InvalidValue, "spacing must be at least 0 and finite"),
        ({"elements": "voxels"}, InvalidValue, "elements must be one of 'contour', 'pixels'; got 'voxels'"),
    ],
)
def test_arguments_that_are_refused(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        surface_scores([[0]], [[0]], **arguments)


def test_masks_of_different_sizes() -> None:
    with pytest.raises(InvalidValue, match="image 0: the truth is 2×1 pixels and the prediction 1×1"):
        metrics.hausdorff([[0, 1]], [[0]])


def test_without_scipy_an_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.spatial", None)
    with pytest.raises(MissingExtra, match=r"a distance between contours needs scipy: pip install 'maskl\[score\]'"):
        metrics.hausdorff([[0]], [[0]])
