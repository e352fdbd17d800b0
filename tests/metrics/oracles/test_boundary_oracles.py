"""Boundary IoU of one region equals faster-coco-eval's, pixel for pixel, and differs where the pages say."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maskl.metrics import boundary_counts
from tests.metrics.oracles.conftest import VOID

pytestmark = [pytest.mark.oracles, pytest.mark.filterwarnings("ignore")]
CASES = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def theirs(coco: Any, truth: Any, prediction: Any, ratio: float, backend: str = "opencv") -> tuple[int, int]:
    """Return the pixels of both boundaries of a region, and of either."""
    edges = [
        coco.rleToBoundary(coco.encode(np.asfortranarray(region.astype(np.uint8))), ratio, backend)
        for region in (truth, prediction)
    ]
    both, either = (int(coco.area(coco.merge(edges, intersect))) for intersect in (True, False))
    return both, either


@CASES
@given(
    seed=st.integers(0, 1 << 32), shape=st.tuples(st.integers(1, 60), st.integers(1, 60)), size=st.integers(1, 20),
    ratio=st.sampled_from([0.005, 0.02, 0.05, 0.1]), ignored=st.sets(st.just(3)),
)  # fmt: skip
def test_faster_coco_eval(
    libraries: SimpleNamespace, seed: int, shape: tuple[int, int], size: int, ratio: float, ignored: set[int]
) -> None:
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 4, [-(-side // size) for side in shape])
    truth = np.kron(blocks, np.ones((size, size), int))[: shape[0], : shape[1]]
    prediction = np.where(rng.random(shape) < 0.01, rng.integers(0, 4, shape), np.roll(truth, 1, 1))
    found = boundary_counts(
        truth, prediction, dilation_ratio=ratio, classes=dict(enumerate("abcd")), ignore_index=ignored
    )
    counted = ~np.isin(truth, sorted(ignored))
    for name, both, either in zip(found.classes, found.intersection, found.union, strict=True):
        number = "abcd".index(name)
        assert (both, either) == theirs(
            libraries.coco, (truth == number) & counted, (prediction == number) & counted, ratio
        )


def test_real_frames(libraries: SimpleNamespace, camvid: list[tuple[Any, Any]]) -> None:
    for truth, prediction in camvid:
        found = boundary_counts(truth, prediction, ignore_index=VOID)
        for name, both, either in zip(found.classes, found.intersection, found.union, strict=True):
            number, counted = int(name.removeprefix("class_")), truth != VOID
            regions = (truth == number) & counted, (prediction == number) & counted
            for backend in ("opencv", "mask_api"):
                assert (both, either) == theirs(libraries.coco, *regions, 0.02, backend), name


def test_where_their_default_backend_differs(libraries: SimpleNamespace) -> None:
    """In an image of two rows each pixel is at the edge; not so in what erodes run lengths."""
    whole = np.ones((2, 5), int)
    assert boundary_counts(whole, whole).union.tolist() == [10]
    assert theirs(libraries.coco, whole, whole, 0.02) == (10, 10)
    assert theirs(libraries.coco, whole, whole, 0.02, "mask_api") != (10, 10)


def test_where_eroding_first_differs(libraries: SimpleNamespace) -> None:
    """A prediction that fills what is ignored has no boundary there, where pixels are left out after eroding."""
    truth = np.zeros((40, 40), int)
    truth[18:22, 18:22] = 3
    prediction = np.zeros((40, 40), int)
    found = boundary_counts(truth, prediction, ignore_index=3)
    assert found.iou() == {"class_0": 1.0}
    both, either = theirs(libraries.coco, truth == 0, prediction == 0, 0.02)
    assert both < either
