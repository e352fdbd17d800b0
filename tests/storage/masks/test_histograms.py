"""Statistics from run ends: the same counts as NumPy's from pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from maskl_storage import ClassItem, class_pixels, count_mask, encode_mask, joint_cells, joint_pixels
from maskl_storage.errors import InvalidValue
from maskl_storage.masks.codec import countable, encode_with_runs
from maskl_storage.masks.histograms import MAX_CLASSES, numbered
from maskl_storage.masks.run_lengths import Pixels, Runs

Mask = npt.NDArray[Any]
INT32 = np.iinfo(np.int32)

IDS = st.one_of(
    st.lists(st.integers(0, 12), min_size=1, max_size=12),
    st.lists(st.integers(-3, 300), min_size=1, max_size=12),
    st.lists(st.integers(INT32.min, INT32.max), min_size=1, max_size=12),
    st.just([INT32.min, INT32.max]),
    st.just([0, MAX_CLASSES - 1]),
    st.just([0, MAX_CLASSES]),
    st.just(list(range(-300, 300))),
)


@st.composite
def masks(draw: st.DrawFn, shape: tuple[int, int] | None = None) -> Mask:
    """Draw a mask of small or sparse, positive or negative ids, in smooth areas or noise."""
    height, width = shape or (draw(st.integers(1, 90)), draw(st.integers(1, 90)))
    ids = np.array(draw(IDS), np.int64)
    cell = draw(st.sampled_from([1, 3, 20]))
    coarse = np.random.default_rng(draw(st.integers(0, 99))).integers(
        0, ids.size, (-(-height // cell), -(-width // cell))
    )
    mask = ids[coarse].repeat(cell, axis=0).repeat(cell, axis=1)[:height, :width]
    low, high = int(mask.min()), int(mask.max())
    fits = [
        t for t in ("u1", "i1", "u2", "i2", "i4", ">i4", "i8") if np.iinfo(t).min <= low and high <= np.iinfo(t).max
    ]
    return mask.astype(draw(st.sampled_from(fits)))


def both_runs(mask: Mask) -> tuple[Runs, Runs]:
    """Return the runs that encoding found, and those that the bytes give back."""
    data, runs = encode_with_runs(mask)
    return runs, countable(data)


@given(masks())
def test_class_pixels_are_those_of_unique(mask: Mask) -> None:
    ids, pixels = np.unique(mask, return_counts=True)
    for runs in both_runs(mask):
        found = class_pixels(runs)
        assert found.ids.dtype == np.int32
        assert found.pixels.dtype == np.int64
        assert found.ids.tolist() == ids.tolist()
        assert found.pixels.tolist() == pixels.tolist()


@given(st.tuples(st.integers(1, 90), st.integers(1, 90)).flatmap(lambda s: st.tuples(masks(s), masks(s))))
def test_joint_pixels_are_the_histogram_of_pairs(pair: tuple[Mask, Mask]) -> None:
    a, b = pair
    rows = np.stack([a.ravel().astype(np.int64), b.ravel().astype(np.int64)], axis=1)
    pairs, pixels = np.unique(rows, axis=0, return_counts=True)
    for runs_a, runs_b in zip(both_runs(a), both_runs(b), strict=True):
        found = joint_pixels(runs_a, runs_b)
        assert found.ids_a.dtype == found.ids_b.dtype == np.int32
        assert found.pixels.dtype == np.int64
        assert np.stack([found.ids_a, found.ids_b], axis=1).tolist() == pairs.tolist()
        assert found.pixels.tolist() == pixels.tolist()


@given(st.tuples(st.integers(1, 60), st.integers(1, 60)).flatmap(lambda s: st.tuples(masks(s), masks(s))))
def test_joint_pixels_sum_to_the_class_pixels_of_both(pair: tuple[Mask, Mask]) -> None:
    runs = [encode_with_runs(mask)[1] for mask in pair]
    joint = joint_pixels(*runs)
    for ids, one in ((joint.ids_a, runs[0]), (joint.ids_b, runs[1])):
        marginal = class_pixels(one)
        sums = [int(joint.pixels[ids == i].sum()) for i in marginal.ids]
        assert sums == marginal.pixels.tolist()


def as_pixels(runs: Runs | Pixels) -> Pixels:
    """Return the same mask pixel by pixel."""
    if isinstance(runs, Pixels):
        return runs
    return Pixels(runs.values.repeat(np.diff([*runs.starts, runs.size])), runs.shape)


@pytest.mark.once
@settings(max_examples=30)
@given(st.tuples(st.integers(1, 30), st.integers(1, 30)).flatmap(lambda s: st.tuples(masks(s), masks(s))))
def test_counts_do_not_depend_on_blocks_or_on_runs(pair: tuple[Mask, Mask]) -> None:
    runs = [encode_with_runs(mask)[1] for mask in pair]
    expected = joint_pixels(*runs)
    classes = [class_pixels(one) for one in runs]
    pixels = [as_pixels(one) for one in runs]
    with pytest.MonkeyPatch.context() as patch:
        for smallest in (1, 7, 100):
            patch.setattr("maskl_storage.masks.histograms.BLOCK", (smallest, smallest))
            patch.setattr("maskl_storage.masks.histograms.WAITING", smallest)
            for kinds in (runs, pixels, (runs[0], pixels[1]), (pixels[0], runs[1])):
                found = joint_pixels(*kinds)
                for name in ("ids_a", "ids_b", "pixels"):
                    assert getattr(found, name).dtype == getattr(expected, name).dtype
                    assert getattr(found, name).tolist() == getattr(expected, name).tolist()
                for one, wanted in zip(kinds, classes, strict=True):
                    counted = class_pixels(one)
                    assert (counted.ids.tolist(), counted.pixels.tolist()) == (
                        wanted.ids.tolist(),
                        wanted.pixels.tolist(),
                    )


@pytest.mark.parametrize("dtype", ["u1", "i8", ">i2"])
def test_noise_is_counted_by_its_pixels(dtype: str) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 9, (90, 70)).astype(dtype) for _ in "ab")
    runs = both_runs(a), both_runs(b)
    assert all(isinstance(one, Pixels) for pair in runs for one in pair)
    assert not np.shares_memory(runs[0][0].values, a)
    smooth = encode_with_runs(np.zeros((90, 70), np.uint8))[1]
    assert isinstance(smooth, Runs)
    joint = joint_pixels(runs[0][0], smooth)
    assert joint.pixels.tolist() == class_pixels(runs[0][1]).pixels.tolist() == np.bincount(a.ravel()).tolist()
    assert joint_pixels(runs[0][0], runs[1][1]).pixels.reshape(9, 9).sum(0).tolist() == np.bincount(b.ravel()).tolist()


def test_a_bool_mask_is_counted_as_0_and_1() -> None:
    found = class_pixels(encode_with_runs(np.array([[True, False, True]]))[1])
    assert found.ids.tolist() == [0, 1]
    assert found.pixels.tolist() == [1, 2]


def test_bincount_agrees_on_a_large_mask() -> None:
    mask = np.random.default_rng(0).integers(0, 12, (50, 70)).repeat(9, axis=0).repeat(8, axis=1).astype(np.uint8)
    assert class_pixels(encode_with_runs(mask)[1]).pixels.tolist() == np.bincount(mask.ravel()).tolist()


def test_joint_pixels_need_one_shape() -> None:
    a, b = (encode_with_runs(np.zeros(shape, np.uint8))[1] for shape in ((2, 3), (3, 2)))
    with pytest.raises(InvalidValue, match=r"\(2, 3\) and \(3, 2\)"):
        joint_pixels(a, b)


def test_declared_classes_are_counted_with_zeros() -> None:
    mask = np.array([[3, 3, 9]], np.uint8)
    cell = count_mask(*encode_mask(mask), (ClassItem(1, "a"), ClassItem(3, "b", ignore=True)), statistics=None)
    assert cell.counts is not None
    assert cell.counts.ids.tolist() == [1, 3, 9]
    assert cell.counts.pixels.tolist() == [0, 2, 1]
    assert cell.unnamed == {9}
    assert cell.valid_pixels == 1


@pytest.mark.parametrize(
    ("ids", "statistics", "kept"),
    [
        (MAX_CLASSES, None, True),
        (MAX_CLASSES + 1, None, False),
        (MAX_CLASSES + 1, True, True),
        (MAX_CLASSES, False, False),
    ],
)
def test_masks_of_too_many_ids_are_not_counted(ids: int, statistics: bool | None, kept: bool) -> None:
    mask = np.minimum(np.arange(70 * 70), ids - 1).reshape(70, 70).astype(np.int32)
    cell = count_mask(*encode_mask(mask), (), statistics=statistics)
    assert (cell.counts is not None) is kept
    if cell.counts is not None:
        assert cell.counts.ids.size == ids


def test_joints_are_of_pairs_of_one_size_in_order_of_their_keys() -> None:
    shapes = {"b": (2, 2), "a": (2, 2), "c": (3, 3), "d": (2, 2)}
    runs = {key: encode_with_runs(np.zeros(shape, np.uint8))[1] for key, shape in shapes.items()}
    assert [(a, b) for a, b, _ in joint_cells(runs)] == [("a", "b"), ("a", "d"), ("b", "d")]


@given(
    hnp.arrays(
        st.sampled_from(["?", "u1", "i1", "u2", ">i2", "i4", "u8"]),
        hnp.array_shapes(min_dims=1, max_dims=3, max_side=6),
    )
)
def test_values_are_numbered_in_their_order(values: npt.NDArray[Any]) -> None:
    values = np.clip(values, -(1 << 31), (1 << 31) - 1) if values.dtype.itemsize == 8 else values
    distinct, places = numbered(values)
    assert distinct.tolist() == sorted(set(values.reshape(-1).tolist()))
    assert places.shape == values.shape
    assert np.array_equal(distinct[places], values)


@pytest.mark.parametrize(("low", "high"), [(0, 4), (0, 100), (-50, 60), (30_000, 30_100), (0, 256), (0, 60_000)])
def test_pairs_of_many_blocks_are_those_of_unique(low: int, high: int) -> None:
    """A block's table of pairs is small, is that of all blocks, or neither."""
    rng = np.random.default_rng(high)
    a, b = (rng.integers(low, high, (300, 200)).astype(np.int32) for _ in range(2))
    joint = joint_pixels(encode_with_runs(a)[1], encode_with_runs(b)[1])
    pairs, counts = np.unique(np.stack([a.ravel(), b.ravel()], 1), axis=0, return_counts=True)
    assert (joint.ids_a.dtype, joint.ids_b.dtype, joint.pixels.dtype) == (np.int32, np.int32, np.int64)
    assert np.array_equal(np.stack([joint.ids_a, joint.ids_b], 1), pairs)
    assert np.array_equal(joint.pixels, counts)
