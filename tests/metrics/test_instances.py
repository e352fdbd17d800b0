"""Segments found, missed and invented at a threshold: against every way to pair them."""

from __future__ import annotations

import sys
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskl import metrics
from maskl.errors import InvalidType, InvalidValue, MissingExtra
from maskl.metrics import instance_matches

NAMES = {0: "background", 1: "cell"}


def counts(found: metrics.InstanceMatches) -> dict[str, tuple[int, int, int]]:
    columns = zip(found.tp.tolist(), found.fp.tolist(), found.fn.tolist(), strict=True)
    return dict(zip(found.classes, columns, strict=True))


@settings(max_examples=50)
@given(seed=st.integers(0, 1 << 32), shape=st.tuples(st.integers(1, 5), st.integers(1, 5)), threshold=st.sampled_from(
    [0, 0.1, 0.3, 0.5, 0.7, 0.99]
))  # fmt: skip
def test_as_many_match_as_can(seed: int, shape: tuple[int, int], threshold: float) -> None:
    pytest.importorskip("scipy")
    rng = np.random.default_rng(seed)
    truth, prediction = (rng.integers(0, 5, shape) for _ in range(2))  # 0 is background, the others are cells
    mine, theirs = ({int(key): min(int(key), 1) for key in np.unique(mask)} for mask in (truth, prediction))
    found = counts(
        instance_matches(
            truth, prediction, threshold=threshold, truth_segments=mine, prediction_segments=theirs, classes=NAMES
        )
    )
    a, b = ([key for key in some if key] for some in (mine, theirs))

    def match(one: int, other: int) -> bool:
        both, either = (truth == one) & (prediction == other), (truth == one) | (prediction == other)
        return bool(both.sum() / either.sum() > threshold)

    padded = b + [-1] * len(a)
    most = max(
        sum(other != -1 and match(one, other) for one, other in zip(a, order, strict=True))
        for order in set(permutations(padded, len(a)))
    )
    assert found["cell"] == (most, len(b) - most, len(a) - most)


def test_f1_at_one_half_is_the_recognition_quality() -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 30, (8, 8)).repeat(4, 0).repeat(4, 1)
    prediction = np.where(rng.random((32, 32)) < 0.25, 0, truth)
    segments = {"divisor": 2, "below": 0}  # 15 classes
    arguments: dict[str, Any] = {"truth_segments": segments, "prediction_segments": segments}
    assert (
        instance_matches(truth, prediction, **arguments).f1()
        == metrics.panoptic_quality(truth, prediction, **arguments).rq()
    )


def test_precision_recall_and_means() -> None:
    found = instance_matches(
        [[1, 1, 2, 2, 0]], [[1, 1, 0, 2, 0]], classes=NAMES, truth_segments={1: 1, 2: 1, 0: 0},
        prediction_segments={1: 1, 2: 1, 0: 0},
    )  # fmt: skip
    assert counts(found) == {"background": (0, 1, 1), "cell": (1, 1, 1)}
    assert found.precision() == found.recall() == found.f1() == {"background": 0.0, "cell": 0.5}
    assert found.mean_f1() == 0.25
    assert found.mean_f1(exclude=["background"]) == 0.5


def test_void_and_crowds_are_nobodys() -> None:
    truth, crowd = [[1, 1, 2, 2, 9, 9]], {1: {"class_id": 1, "iscrowd": True}, 2: 1}
    found = instance_matches(
        truth, [[4, 5, 6, 6, 7, 8]], classes=NAMES, truth_segments=crowd,
        prediction_segments=dict.fromkeys([4, 5, 6, 7, 8], 1),
    )  # fmt: skip
    assert counts(found)["cell"] == (1, 0, 0)


def test_empty_against_empty_and_a_class_absent() -> None:
    nothing = instance_matches([[0]], [[0]], truth_segments={}, prediction_segments={}, classes=NAMES)
    assert nothing.f1() == {"background": None, "cell": None}
    assert nothing.mean_f1() is None
    assert instance_matches([[0, 1]], [[0, 0]], classes=NAMES, threshold=0.9).f1() == {"background": 0.0, "cell": 0.0}


def test_matches_of_images_add_up_at_one_threshold() -> None:
    masks = [np.array([[0, 1]]), np.array([[1, 1]])]
    apart = [instance_matches(mask, mask, classes=NAMES) for mask in masks]
    assert counts(apart[0] + apart[1]) == counts(instance_matches(masks, masks, classes=NAMES))
    with pytest.raises(InvalidValue, match=r"matches at one threshold add up; these are at 0\.5 and at 0\.7"):
        apart[0] + instance_matches([[0]], [[0]], threshold=0.7)  # adding is the test


@pytest.mark.parametrize(
    ("threshold", "error"), [("0.5", InvalidType), (True, InvalidType), (1, InvalidValue), (-0.1, InvalidValue)]
)
def test_thresholds_that_are_refused(threshold: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="threshold must be"):
        instance_matches([[0]], [[0]], threshold=threshold)


def test_masks_of_different_sizes() -> None:
    with pytest.raises(InvalidValue, match="image 0: the truth is 2×1 pixels and the prediction 1×1"):
        instance_matches([[0, 1]], [[0]])


def test_only_low_thresholds_need_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("scipy.sparse", "scipy.sparse.csgraph"):
        monkeypatch.setitem(sys.modules, name, None)
    assert instance_matches([[0]], [[0]], threshold=0.5).f1() == {"class_0": 1.0}
    with pytest.raises(MissingExtra, match=r"a threshold below 0.5 needs scipy: pip install 'maskl\[score\]'"):
        instance_matches([[0]], [[0]], threshold=0.4)
