"""Distances of contours equal those of surface-distance and of MONAI, and differ where the pages say."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maskl.metrics import SurfaceScores, hausdorff, surface_scores
from tests.metrics.oracles.conftest import VOID

pytestmark = [pytest.mark.oracles, pytest.mark.filterwarnings("ignore")]
CASES = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
CLASSES = dict(enumerate("abcd"))
Three = tuple[float | None, float | None, float | None]


@pytest.fixture(autouse=True)
def _exactly(monkeypatch: pytest.MonkeyPatch, libraries: SimpleNamespace) -> Iterator[None]:
    """Give surface-distance the name that NumPy 2 took away, and have MONAI compute in float64 instead of float32."""
    torch = libraries.torch
    monkeypatch.setattr(np, "Inf", math.inf, raising=False)
    for name in ("float", "float32"):
        monkeypatch.setattr(torch, name, torch.float64)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Any, Any, dict[str, Any]]:
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    shape = draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    size = draw(st.integers(1, 14))
    blocks = rng.integers(0, 4, [-(-side // size) for side in shape])
    truth = np.kron(blocks, np.ones((size, size), int))[: shape[0], : shape[1]]
    moved = np.roll(truth, draw(st.tuples(st.integers(-3, 3), st.integers(-3, 3))), (0, 1))
    prediction = np.where(rng.random(shape) < draw(st.sampled_from([0, 0.02])), rng.integers(0, 4, shape), moved)
    options = {
        "spacing": draw(st.sampled_from([(1.0, 1.0), (0.5, 0.5), (2.0, 0.75), (0.3, 1.1)])),
        "tolerance": draw(st.sampled_from([0.0, 1.01, 1.9, 4.2])),
        "percentile": draw(st.sampled_from([50, 95, 100])),
    }
    return truth, prediction, options


def of(found: SurfaceScores, name: str) -> Three:
    return found.surface_dice()[name], found.hausdorff()[name], found.average_surface_distance()[name]


def of_surface_distance(library: Any, a: Any, b: Any, options: dict[str, Any]) -> Three:
    """Return its three numbers; both averages as one, weighted with the lengths of the contours."""
    found = library.compute_surface_distances(a, b, options["spacing"])
    dice = library.compute_surface_dice_at_tolerance(found, options["tolerance"])
    furthest = library.compute_robust_hausdorff(found, options["percentile"])
    there, back = library.compute_average_surface_distance(found)
    lengths = found["surfel_areas_gt"].sum(), found["surfel_areas_pred"].sum()
    return dice, furthest, (there * lengths[0] + back * lengths[1]) / sum(lengths)


def of_monai(libraries: SimpleNamespace, a: Any, b: Any, options: dict[str, Any]) -> Three:
    a, b = (libraries.torch.from_numpy(mask[None, None].copy()) for mask in (a, b))
    spacing = list(options["spacing"])
    arguments = {"include_background": True, "spacing": spacing}
    monai = libraries.monai
    dice = monai.compute_surface_dice(b, a, [options["tolerance"]], **arguments)
    furthest = monai.compute_hausdorff_distance(b, a, percentile=options["percentile"], **arguments)
    mean = monai.compute_average_surface_distance(b, a, symmetric=True, **arguments)
    return float(dice), float(furthest), float(mean)


@CASES
@given(scene=scenes(), ignored=st.sets(st.just(3)))
def test_surface_distance(libraries: SimpleNamespace, scene: Any, ignored: set[int]) -> None:
    truth, prediction, options = scene
    found = surface_scores(truth, prediction, classes=CLASSES, ignore_index=ignored, **options)
    counted = ~np.isin(truth, sorted(ignored))
    for name in found.classes:
        a, b = ((mask == "abcd".index(name)) & counted for mask in (truth, prediction))
        if a.any() and b.any():
            wanted = of_surface_distance(libraries.surface_distance, a, b, options)
            assert of(found, name) == pytest.approx(wanted, rel=1e-9, abs=1e-12)


@CASES
@given(scene=scenes(), ignored=st.sets(st.just(3)))
def test_monai(libraries: SimpleNamespace, scene: Any, ignored: set[int]) -> None:
    truth, prediction, options = scene
    arguments = {"classes": CLASSES, "ignore_index": ignored, **options}
    found = surface_scores(truth, prediction, elements="pixels", **arguments)
    pieces = surface_scores(truth, prediction, **arguments)
    counted = ~np.isin(truth, sorted(ignored))
    for name in found.classes:
        a, b = ((mask == "abcd".index(name)) & counted for mask in (truth, prediction))
        if a.any() and b.any():
            assert of(found, name) == pytest.approx(of_monai(libraries, a, b, options), rel=1e-9, abs=1e-12)
            tensors = [libraries.torch.from_numpy(mask[None, None].copy()) for mask in (b, a)]
            dice = libraries.monai.compute_surface_dice(
                *tensors, [options["tolerance"]], include_background=True, spacing=list(options["spacing"]),
                use_subvoxels=True,
            )  # fmt: skip
            # its lengths come from a table in float32
            assert pieces.surface_dice()[name] == pytest.approx(float(dice), rel=1e-6)


def test_real_frames(libraries: SimpleNamespace, camvid: list[tuple[Any, Any]]) -> None:
    options: dict[str, Any] = {"spacing": (1.0, 1.0), "tolerance": 2.0, "percentile": 95}
    compared = 0
    for truth, prediction in camvid:
        both = [
            surface_scores(truth, prediction, ignore_index=VOID, elements=elements, **options)
            for elements in ("contour", "pixels")
        ]
        for name in both[0].classes:
            a, b = ((mask == int(name.removeprefix("class_"))) & (truth != VOID) for mask in (truth, prediction))
            if a.any() and b.any():
                wanted = of_surface_distance(libraries.surface_distance, a, b, options)
                assert of(both[0], name) == pytest.approx(wanted, rel=1e-9, abs=1e-12)
                assert of(both[1], name) == pytest.approx(of_monai(libraries, a, b, options), rel=1e-9, abs=1e-12)
                compared += 1
    assert compared > 50


def test_where_they_differ_on_a_class_in_one_mask_alone(libraries: SimpleNamespace) -> None:
    a, b = np.zeros((6, 6), bool), np.zeros((6, 6), bool)
    a[2:4, 2:4] = True
    options = {"spacing": (1.0, 1.0), "tolerance": 1.0, "percentile": 95}
    ours = of(surface_scores(a.astype(int), b.astype(int), classes={1: "a"}, ignore_index=5, **options), "a")
    assert ours == (0.0, None, None)
    found = libraries.surface_distance.compute_surface_distances(a, b, (1, 1))
    assert libraries.surface_distance.compute_surface_dice_at_tolerance(found, 1) == 0
    assert libraries.surface_distance.compute_robust_hausdorff(found, 95) == math.inf
    there, back = libraries.surface_distance.compute_average_surface_distance(found)
    assert there == math.inf
    assert math.isnan(back)
    dice, furthest, mean = of_monai(libraries, a, b, options)
    assert dice == 0
    assert math.isnan(furthest)
    assert mean == math.inf


def test_where_one_percentile_of_both_lists_differs() -> None:
    """What medpy calls HD95: the many elements that are near on one side hide those that are far on the other."""
    truth, prediction = np.zeros((5, 60), int), np.zeros((5, 60), int)
    truth[2, 1:41] = prediction[2, 1:41] = 1
    prediction[2, 41:46] = 1
    both = [0.0] * 80 + [1.0, 2.0, 3.0, 4.0, 5.0]
    ours = hausdorff(truth, prediction, percentile=95, elements="pixels", classes={0: "off", 1: "a"})["a"]
    assert ours == pytest.approx(np.percentile(both[40:], 95))
    assert ours > np.percentile(both, 95)
