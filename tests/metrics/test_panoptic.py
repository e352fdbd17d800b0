"""Panoptic quality: against a count that goes from segment to segment, and the cases that implementations differ in."""

from __future__ import annotations

import math
import warnings
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import maskl
from maskl import ImageMask, metrics
from maskl.errors import AbsentSegmentsWarning, InvalidType, InvalidValue
from maskl.metrics import panoptic_quality
from maskl_storage.format.metadata import ClassSet

NAMES = {0: "road", 1: "sky", 2: "car", 3: "나무"}
Counts = dict[str, tuple[int, int, int, float]]


def counts(quality: metrics.PanopticQuality) -> Counts:
    columns = (quality.tp.tolist(), quality.fp.tolist(), quality.fn.tolist(), quality.iou_sum.tolist())
    return dict(zip(quality.classes, zip(*columns, strict=True), strict=True))


def oracle(truth: Any, prediction: Any, mine: dict[int, Any], theirs: dict[int, Any], ignored: set[int]) -> Counts:
    """Return TP, FP, FN and the sum of IoU of every class of ``NAMES``, with sets of pixels."""
    pixels = list(np.ndindex(truth.shape))
    real = {key for key, about in mine.items() if about["class_id"] not in ignored}
    void = {at for at in pixels if truth[at] not in real}
    found = dict.fromkeys(NAMES, (0, 0, 0, 0.0))

    def add(number: int, *more: float) -> None:
        found[number] = tuple(a + b for a, b in zip(found[number], more, strict=True))

    regions_a = {key: {at for at in pixels if truth[at] == key} for key in real}
    regions_b = {key: {at for at in pixels if prediction[at] == key} for key in theirs}
    matched = set()
    for a, area_a in regions_a.items():
        number, hit = mine[a]["class_id"], False
        for b, area_b in regions_b.items():
            if theirs[b]["class_id"] == number and area_a and not mine[a]["iscrowd"]:
                iou = len(area_a & area_b) / len(area_a | (area_b - void))
                if iou > 0.5:
                    add(number, 1, 0, 0, iou)
                    matched.add(b)
                    hit = True
        if not hit and area_a and not mine[a]["iscrowd"]:
            add(number, 0, 0, 1, 0)
    for b, area_b in regions_b.items():
        number = theirs[b]["class_id"]
        crowds = [regions_a[a] for a in real if mine[a]["iscrowd"] and mine[a]["class_id"] == number]
        excused = area_b & void.union(*crowds)
        if area_b and b not in matched and len(excused) / len(area_b) <= 0.5:
            add(number, 0, 1, 0, 0)
    return {name: found[number] for number, name in NAMES.items() if number not in ignored}


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Any, ...]:
    """Draw two masks of segments that mostly agree, what their ids stand for, and classes to ignore."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    shape = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    ids = draw(
        st.lists(st.sampled_from([0, 1, 5, 70, 1 << 24, (1 << 31) - 1, -4]), min_size=1, max_size=5, unique=True)
    )
    truth = rng.choice(ids, shape).astype(np.int32)
    for axis in range(2):  # larger segments
        if draw(st.booleans()):
            truth = truth.repeat(2, axis)[tuple(slice(0, side) for side in shape)]
    prediction = np.where(rng.random(shape) < draw(st.sampled_from([0.1, 0.4])), rng.choice(ids, shape), truth)
    either = st.fixed_dictionaries({"class_id": st.sampled_from(sorted(NAMES)), "iscrowd": st.booleans()})
    mine, theirs = ({key: draw(either) for key in ids if draw(st.integers(0, 5))} for _ in range(2))
    for about in theirs.values():
        about["iscrowd"] = False
    return truth, prediction.astype(np.int32), mine, theirs, draw(st.sets(st.sampled_from([1, 3]), max_size=1))


@settings(max_examples=60)
@given(scene=scenes())
def test_counts_equal_those_of_sets_of_pixels(scene: tuple[Any, ...]) -> None:
    truth, prediction, mine, theirs, ignored = scene
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AbsentSegmentsWarning)
        quality = panoptic_quality(
            truth, prediction, truth_segments=mine, prediction_segments=theirs, classes=NAMES, ignore_index=ignored
        )
    wanted = oracle(truth, prediction, mine, theirs, ignored)
    found = counts(quality)
    assert found.keys() == wanted.keys()
    for name, numbers in wanted.items():
        assert found[name] == pytest.approx(numbers, rel=1e-12)


def test_the_three_qualities() -> None:
    quality = panoptic_quality([[0, 0, 2, 2, 2, 1]], [[0, 0, 2, 2, 0, 0]], classes=NAMES, things=["car"])
    assert quality.classes == ("road", "sky", "car", "나무")
    assert quality.pq() == {"road": 0.0, "sky": 0.0, "car": 2 / 3, "나무": None}
    assert quality.sq() == {"road": None, "sky": None, "car": 2 / 3, "나무": None}
    assert quality.rq() == {"road": 0.0, "sky": 0.0, "car": 1.0, "나무": None}
    assert quality.mean() == metrics.PanopticMean(2 / 9, 2 / 9, 1 / 3, 3)
    assert quality.mean("things") == metrics.PanopticMean(2 / 3, 2 / 3, 1.0, 1)
    assert quality.mean("stuff") == metrics.PanopticMean(0.0, 0.0, 0.0, 2)
    assert quality.mean("stuff", exclude=["road", "sky"]) == metrics.PanopticMean(None, None, None, 0)


def test_a_prediction_over_void() -> None:
    def of(prediction: Any) -> Counts:
        segments = {1: 2, 2: 2, 3: 2}
        return counts(
            panoptic_quality(
                [[9, 9, 9, 1, 1, 1]], prediction, truth_segments={1: 2}, classes=NAMES,
                prediction_segments={key: segments[key] for key in np.unique(prediction).tolist()},
            )
        )  # fmt: skip

    assert of([[2, 2, 2, 1, 1, 1]])["car"] == (1, 0, 0, 1.0)  # all of it void
    assert of([[1, 1, 1, 1, 1, 1]])["car"] == (1, 0, 0, 1.0)  # void is in no union
    assert of([[3, 3, 2, 2, 1, 1]])["car"] == (1, 1, 0, 2 / 3)  # half of segment 2 is not more than half
    assert of([[3, 2, 2, 2, 1, 1]])["car"] == (1, 0, 0, 2 / 3)


def test_void_is_what_the_truth_ignores_and_what_no_segment_names() -> None:
    arguments: dict[str, Any] = {"prediction_segments": {4: 2, 5: 2}, "classes": NAMES}
    ignored = panoptic_quality([[1, 1, 2]], [[4, 4, 5]], ignore_index=1, **arguments)
    unnamed = panoptic_quality([[1, 1, 2]], [[4, 4, 5]], truth_segments={2: 2}, **arguments)
    assert counts(ignored)["car"] == counts(unnamed)["car"] == (1, 0, 0, 1.0)
    assert counts(unnamed)["sky"] == (0, 0, 0, 0.0), "an id without a segment is no class here"
    # a prediction of what is ignored hides no pixel
    assert counts(panoptic_quality([[2, 2]], [[1, 1]], classes=NAMES, ignore_index=1))["car"] == (0, 0, 1, 0.0)
    # a prediction's ids without a segment are nothing
    nothing = panoptic_quality([[2, 2]], [[2, 2]], prediction_segments={}, classes=NAMES)
    assert counts(nothing)["car"] == (0, 0, 1, 0.0)


def test_a_crowd() -> None:
    crowd = {1: {"class_id": 2, "iscrowd": True}, 2: 2, 3: {"class_id": 2, "iscrowd": True}}

    def of(prediction: Any, segments: dict[int, int]) -> Counts:
        truth = [[1, 1, 1, 2, 3, 3]]
        return counts(
            panoptic_quality(truth, prediction, truth_segments=crowd, prediction_segments=segments, classes=NAMES)
        )

    assert of([[7, 7, 7, 2, 8, 8]], {2: 2, 7: 2, 8: 2})["car"] == (1, 0, 0, 1.0)  # found in a crowd: neither
    assert of([[7, 7, 7, 2, 8, 8]], {2: 2, 7: 0, 8: 2})["road"] == (0, 1, 0, 0.0)  # of another class
    assert of([[8, 8, 7, 2, 8, 8]], {2: 2, 8: 2})["car"] == (1, 0, 0, 1.0)  # two crowds together
    assert of([[9, 9, 9, 9, 9, 9]], {})["car"] == (0, 0, 1, 0.0)  # not found: it is no false negative


def test_a_class_absent() -> None:
    quality = panoptic_quality([[0, 0, 2]], [[0, 0, 3]], classes=NAMES)
    assert quality.pq() == {"road": 1.0, "sky": None, "car": 0.0, "나무": 0.0}
    assert quality.mean().n_classes == 3
    # of classes that the truth does not know, there is no score
    truth = ImageMask({"mask_data": np.zeros((1, 3), int), "class_labels": {0: "road"}}, "m")
    assert panoptic_quality(truth, [[0, 0, 3]]).pq() == {"road": 2 / 3}


def test_empty_against_empty() -> None:
    empty = np.full((2, 3), 9)
    quality = panoptic_quality(empty, empty, truth_segments={}, prediction_segments=[], classes=NAMES, things=["car"])
    assert set(quality.pq().values()) == {None}
    assert quality.mean() == quality.mean("things") == metrics.PanopticMean(None, None, None, 0)


def test_one_pixel_segments() -> None:
    ids = np.arange(5000, dtype=np.int32).reshape(50, 100)  # more than the classes that a mask may have
    segments = {"divisor": 5000, "below": 2}
    quality = panoptic_quality(ids, ids, truth_segments=segments, prediction_segments=segments, classes=NAMES)
    assert counts(quality)["car"] == (5000, 0, 0, 5000.0)
    shifted = panoptic_quality(
        ids, np.roll(ids, 1, axis=1), truth_segments=segments, prediction_segments=segments, classes=NAMES
    )
    assert counts(shifted)["car"] == (5000, 0, 0, 5000.0), "ids need not be equal"


def test_touching_segments() -> None:
    truth, merged = [[1, 1, 2, 2]], [[1, 1, 1, 1]]
    named = {"classes": NAMES, "truth_segments": {1: 2, 2: 2}}
    assert counts(panoptic_quality(truth, truth, prediction_segments={1: 2, 2: 2}, **named))["car"] == (2, 0, 0, 2.0)
    # an IoU of one half is no match
    assert counts(panoptic_quality(truth, merged, prediction_segments={1: 2}, **named))["car"] == (0, 1, 2, 0.0)


def test_ids_above_24_bits() -> None:
    ids = np.array([[0, 1 << 24, (1 << 24) + 1, (1 << 31) - 1]], np.int32)
    segments = {0: 0, 1 << 24: 2, (1 << 24) + 1: 2, (1 << 31) - 1: 2}
    quality = panoptic_quality(ids, ids, truth_segments=segments, prediction_segments=segments, classes=NAMES)
    assert counts(quality)["car"] == (3, 0, 0, 3.0)


def test_a_divisor() -> None:
    truth = np.array([[0, 0, 2001, 2002, 2002, 2]])
    crowd = {"divisor": 1000, "crowd": [2]}
    quality = panoptic_quality(
        truth, [[0, 0, 2001, 2007, 2007, 2009]], truth_segments=crowd, prediction_segments={"divisor": 1000},
        classes=NAMES,
    )  # fmt: skip
    assert counts(quality)["car"] == (2, 0, 0, 2.0)
    panoptic = panoptic_quality(
        [[0, 1, 2001]], [[0, 1, 2003]], truth_segments={"divisor": 1000, "below": 0}, classes=NAMES,
        prediction_segments={"divisor": 1000, "below": 0},
    )  # fmt: skip
    assert counts(panoptic)["road"] == (2, 0, 0, 2.0)


def test_images_are_counted_apart_and_summed() -> None:
    truths = [np.array([[1, 1]]), np.array([[1, 3]]), np.array([[0, 0]])]
    segments = [{1: 2}, {1: 2, 3: 3}, None]
    arguments: dict[str, Any] = {"classes": NAMES, "things": ["car"]}
    together = panoptic_quality(truths, truths, truth_segments=segments, prediction_segments=segments, **arguments)
    apart = [
        panoptic_quality(truth, truth, truth_segments=some, prediction_segments=some, **arguments)
        for truth, some in zip(truths, segments, strict=True)
    ]
    assert counts(together) == counts(apart[0] + apart[1] + apart[2])
    assert counts(together)["car"] == (2, 0, 0, 2.0)
    assert (apart[0] + apart[1]).things == {"car"}
    batch = np.array([[[0, 2001]], [[0, 2005]]])
    by_rule = panoptic_quality(
        batch, batch[::-1], truth_segments={"divisor": 1000}, prediction_segments={"divisor": 1000}, classes=NAMES
    )
    assert counts(by_rule)["car"] == (2, 0, 0, 2.0)


def test_counts_of_different_classes_add_by_name() -> None:
    a = panoptic_quality([[0]], [[0]], classes={0: "a", 1: "b"})
    b = panoptic_quality([[0]], [[1]], classes={0: "c", 1: "b"})
    assert counts(a + b) == {"a": (1, 0, 0, 1.0), "b": (0, 1, 0, 0.0), "c": (0, 0, 1, 0.0)}
    with pytest.raises(TypeError):
        a + 1  # adding is the test
    with pytest.raises(ValueError, match="read-only"):
        (a + b).tp[0] = 5


def test_stored_masks_and_encoded_ones() -> None:
    arrays = [np.array([[1, 1, 7, 7]], np.int32), np.array([[1, 1, 1, 7]], np.int32)]
    arguments: dict[str, Any] = {"truth_segments": {1: 0, 7: 2}, "prediction_segments": {1: 0, 7: 2}, "classes": NAMES}
    wanted = counts(panoptic_quality(*arrays, **arguments))
    new = [ImageMask({"mask_data": array}, "m") for array in arrays]
    stored = [ImageMask.from_stored(mask.data, "m", ClassSet()) for mask in new]
    for pair in (new, stored, [mask.data for mask in new], [array.tolist() for array in arrays]):
        assert counts(panoptic_quality(*pair, **arguments)) == wanted
    assert wanted["road"] == (1, 0, 0, 2 / 3)


def test_segments_without_a_pixel_are_dropped_with_one_warning() -> None:
    masks = [np.array([[1]])] * 3
    with pytest.warns(AbsentSegmentsWarning) as caught:
        quality = panoptic_quality(
            masks, masks, truth_segments=[{1: 2, 5: 2, 6: 2}] * 3, prediction_segments=[{1: 2}] * 3
        )
    (warning,) = caught
    assert str(warning.message) == (
        "the truth of image 0 and of 2 more has no pixel of segments 5, 6, which have been dropped"
    )
    assert warning.filename == __file__
    assert counts(quality) == {"class_2": (3, 0, 0, 3.0)}


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (
            {"truth_segments": {1: 9}},
            InvalidValue,
            "truth_segments of image 0: segment 1 has the class 9, .* 0, 1, 2, 3",
        ),
        ({"prediction_segments": {1: True}}, InvalidType, "prediction_segments of image 0: the class of segment 1"),
        ({"things": "car"}, InvalidType, r"things must be a list of class names, such as \['car'\]"),
        ({"ignore_index": "x"}, InvalidType, "ignore_index must be an integer"),
    ],
)
def test_arguments_that_are_refused(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        panoptic_quality([[0, 1]], [[0, 1]], classes=NAMES, **arguments)


def test_segments_of_several_images_are_as_many() -> None:
    two = [np.array([[1]])] * 2
    for segments, words in (
        ([{1: 2}], "truth_segments must be as many as the images; they end after 1"),
        ([{1: 2}] * 3, "truth_segments must be as many as the images, of which there are 2"),
        ({1: 2}, "truth_segments of several images must be a list"),
        ("no", "truth_segments must be a list with the segments of each image; got 'no'"),
    ):
        with pytest.raises((InvalidType, InvalidValue), match=words):
            panoptic_quality(two, two, truth_segments=segments)


def test_masks_of_different_sizes() -> None:
    with pytest.raises(InvalidValue, match="image 0: the truth is 2×1 pixels and the prediction 1×1"):
        panoptic_quality([[0, 1]], [[0]])


def test_other_classes_have_no_score() -> None:
    with pytest.raises(InvalidValue, match="no class name in common"):
        panoptic_quality(
            ImageMask({"mask_data": [[0]], "class_labels": {0: "a"}}, "m"),
            ImageMask({"mask_data": [[0]], "class_labels": {0: "b"}}, "m"),
        )
    with pytest.raises(InvalidValue, match="at least one truth and one prediction are needed"):
        panoptic_quality([], [])


def test_means_that_cannot_be_had() -> None:
    quality = panoptic_quality([[0]], [[0]])
    with pytest.raises(InvalidValue, match=r"which classes are things is not known: name them with things="):
        quality.mean("things")
    with pytest.raises(InvalidValue, match="of must be one of 'all', 'things', 'stuff'; got 'thing'"):
        quality.mean("thing")  # type: ignore[arg-type]
    with pytest.raises(InvalidType, match="exclude must be a list"):
        quality.mean(exclude="car")


def test_classes_of_segments_that_are_named_in_a_class_set_match_by_name() -> None:
    truth = ImageMask({"mask_data": np.array([[11, 12]]), "class_labels": {0: "road", 2: "car"}}, "m")
    prediction = ImageMask({"mask_data": np.array([[5, 6]]), "class_labels": {7: "road", 9: "car"}}, "m")
    quality = panoptic_quality(truth, prediction, truth_segments={11: 0, 12: 2}, prediction_segments={5: 7, 6: 9})
    assert quality.pq() == {"road": 1.0, "car": 1.0}
    ignoring = maskl.Classes([{"id": 0, "name": "road", "ignore": True}, {"id": 2, "name": "car"}])
    assert panoptic_quality([[0, 2]], [[0, 2]], classes=ignoring).pq() == {"car": 1.0}


def test_a_larger_union_is_never_better() -> None:
    """The quality falls as more of the prediction lies beside the truth."""
    truth = np.zeros((1, 20), int)
    truth[0, :10] = 2
    scores = []
    for end in range(10, 20):
        prediction = np.zeros((1, 20), int)
        prediction[0, :end] = 2
        scores.append(panoptic_quality(truth, prediction, classes=NAMES).pq()["car"])
    assert all(a is not None and b is not None and a > b for a, b in pairwise(scores))
    assert math.isclose(scores[-1] or 0, 10 / 19)


def test_arrays_that_only_know_the_protocol() -> None:
    class Foreign:
        def __init__(self, array: Any) -> None:
            self._array = array

        def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
            return self._array if dtype is None else self._array.astype(dtype)

    masks = np.array([[[2, 2]], [[0, 2]]])
    for array in (masks, masks[0]):
        wanted = counts(panoptic_quality(array, array, classes=NAMES))
        assert counts(panoptic_quality(Foreign(array), Foreign(array), classes=NAMES)) == wanted
