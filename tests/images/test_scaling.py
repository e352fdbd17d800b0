"""Floats as pixels: a picture is never black by mistake, and what is not clear is said."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PILImage

import maskl
from maskl import Image
from maskl.errors import ConversionWarning
from maskl.images.scaling import to_bytes

Array = npt.NDArray[Any]
RNG = np.random.default_rng(7)
UNIT = RNG.random((40, 50, 3))
#: what the picture is in [0, 1], and as it is stored
STORED = np.rint(UNIT * 255).astype(np.uint8)


def stored(array: Array) -> Array:
    return np.array(Image(array).image)


def silently(array: Array) -> Array:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return stored(array)


def resized(pixels: Array) -> Array:
    """Return a picture of hard edges made larger as torch and Pillow do, which goes beyond both ends."""
    grey = PILImage.fromarray(pixels.astype(np.float32))
    return np.asarray(grey.resize((4 * grey.width, 4 * grey.height), PILImage.Resampling.BICUBIC))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4"])
@pytest.mark.parametrize(("low", "high"), [(0, 1 + 1e-6), (0, 1.04), (-1e-7, 1), (-0.04, 1.04), (-0.049, 0.97), (0, 1)])
def test_floats_just_beyond_0_and_1_are_a_picture(dtype: str, low: float, high: float) -> None:
    array = UNIT.copy()
    array[0, 0], array[0, 1] = low, high
    found = silently(array.astype(dtype))
    assert np.abs(found.astype(int)[1:] - STORED.astype(int)[1:]).max() <= 1
    assert (found[0, 0].max(), found[0, 1].min()) == (0, min(255, round(high * 255)))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("beyond", [0, 1e-6, 0.04])
def test_floats_just_beyond_minus_1_and_1_are_a_picture(dtype: str, beyond: float) -> None:
    array = UNIT * 2 - 1
    array[0, 0], array[0, 1] = -1 - beyond, 1 + beyond
    found = silently(array.astype(dtype))
    assert np.abs(found.astype(int)[1:] - STORED.astype(int)[1:]).max() <= 1
    assert found[0, :2].tolist() == [[0] * 3, [255] * 3]


def test_a_picture_that_was_resized_is_one() -> None:
    edges = np.kron(RNG.integers(0, 2, (6, 8)), np.ones((8, 8)))
    array = resized(edges)
    assert array.min() < -0.05, "the filter does not overshoot"
    with pytest.warns(ConversionWarning, match=r"from -0\.\d+ to 1\.\d+ were taken as \[0, 1\] and clipped"):
        found = stored(array)
    assert np.array_equal(found, np.rint(array.clip(0, 1) * 255))


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (UNIT * 1.3, "[0, 1]"),
        (UNIT * 1.5 - 0.25, "[0, 1]"),
        (UNIT * 1.2 - 0.3, "[−1, 1]"),  # a quarter is below 0
        (UNIT * 2.4 - 1.2, "[−1, 1]"),
        (UNIT * 0.06 - 0.03, "[0, 1]"),
        (np.where(UNIT < 0.01, -0.4, UNIT), "[0, 1]"),
    ],
)
def test_what_is_not_clear_is_said(array: Array, expected: str) -> None:
    low, high = f"{array.min():g}", f"{array.max():g}"
    with pytest.warns(ConversionWarning) as caught:
        found = stored(array)
    assert len(caught) == 1
    said = str(caught[0].message)
    assert said.startswith(f"image values from {low} to {high} were taken as {expected}")
    offset, factor = (0, 255) if expected == "[0, 1]" else (1, 127.5)
    assert np.array_equal(found, np.rint(((array + offset) * factor).clip(0, 255)))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("value", [77.0, -3.0, 1e30, 1.6])
@pytest.mark.parametrize("signed", [False, True])
def test_one_value_among_many_does_not_decide(dtype: str, value: float, signed: bool) -> None:
    array = RNG.random((500, 700, 3)) if not signed else RNG.random((500, 700, 3)) * 2 - 1
    array = array.astype(dtype)
    expected = np.rint((array.astype("f8") + signed) * (127.5 if signed else 255))
    array[3, 4, 1] = value
    with pytest.warns(ConversionWarning, match=r"all but 1 of 1,050,000 lie there, and these were clipped"):
        found = stored(array)
    assert found[3, 4, 1] == (255 if value > 0 else 0)
    found[3, 4, 1] = expected[3, 4, 1]
    assert np.array_equal(found, expected)


def test_an_outlier_beside_missing_values_does_not_decide_either() -> None:
    array = RNG.random((200, 200))
    array[0, 0], array[0, 1], array[0, 2] = 50, np.nan, -np.inf
    with pytest.warns(ConversionWarning) as caught:
        found = stored(array)
    assert {"all but 1 of 40,000" in str(one.message) for one in caught} == {True, False}
    assert found[0, :3].tolist() == [255, 0, 0]
    assert np.array_equal(found[1:], np.rint(array[1:] * 255))


@pytest.mark.parametrize(
    "array",
    [
        STORED.astype("f4"),
        STORED + RNG.normal(0, 0.1, STORED.shape).clip(-0.4, 0.4),
        np.where(np.arange(12000).reshape(100, 120) < 5, 200.0, 0.0),  # a dark picture with a few bright pixels
        np.array([[0.0, 1.0, 2.0, 18.0]]),  # ids
    ],
)
def test_floats_from_0_to_255_stay(array: Array) -> None:
    assert np.array_equal(silently(array), np.rint(array.clip(0, 255)))


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (UNIT * 6, "were taken as 0–255, where they are almost black"),
        (UNIT * 4.8 - 2.2, "were clipped to 0–255"),  # as ImageNet's mean and deviation make them
        (UNIT * 300, "were clipped to 0–255"),
    ],
)
def test_what_is_in_no_range_is_0_to_255_with_a_warning(array: Array, said: str) -> None:
    with pytest.warns(ConversionWarning, match=said):
        found = stored(array)
    assert np.array_equal(found, np.rint(array.clip(0, 255)))


def test_without_normalize_nothing_is_judged() -> None:
    for array in (UNIT, UNIT * 1.04, UNIT * 6):
        assert np.array_equal(np.asarray(Image(array, normalize=False).image), np.rint(array))


def test_a_float_picture_of_pillows_follows_the_same_rule() -> None:
    picture = PILImage.fromarray((UNIT[:, :, 0] * 1.04).astype(np.float32))
    with pytest.warns(ConversionWarning, match="mode F was converted to L"):
        found = np.asarray(Image(picture).image)
    assert np.array_equal(found, silently(np.asarray(picture)))


def test_a_video_of_floats_follows_the_same_rule() -> None:
    frames = np.broadcast_to(np.linspace(0, 1.04, 64, dtype="f4").reshape(8, 8), (2, 1, 8, 8))
    with pytest.warns(ConversionWarning, match="a video of float32"):
        video = maskl.Video(frames)
    with PILImage.open(io.BytesIO(video.data)) as gif:
        assert np.asarray(gif.convert("L")).max() == 255


@given(
    low=st.floats(-3, 3, width=32),
    span=st.floats(0, 300, width=32),
    dtype=st.sampled_from(["f2", "f4", "f8"]),
    outlier=st.none() | st.floats(width=16, allow_nan=True),
)
def test_every_float_becomes_a_pixel_by_one_rising_line(
    low: float, span: float, dtype: str, outlier: float | None
) -> None:
    array = (low + span * np.linspace(0, 1, 64).reshape(8, 8)).astype(dtype)
    if outlier is not None:
        array[0, 0] = outlier
    before = array.copy()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = to_bytes(array)
    assert np.array_equal(before, array, equal_nan=True)
    assert all(issubclass(one.category, ConversionWarning) for one in caught)
    rising = found.reshape(-1)[1:].astype(int)
    assert (np.diff(rising) >= 0).all()
    # what is meant to be seen is seen, or it is said why not
    known = array[np.isfinite(array)].astype("f8")
    whole = np.array_equal(known, np.rint(known))
    if known.size and known.max() <= 16 and known.max() - known.min() >= 0.5 and not whole and int(found.max()) < 32:
        assert caught


@pytest.mark.parametrize("dtype", ["u1", "i4", "u2", "f4", "?"])
def test_pixels_that_a_masked_array_hides_are_0_and_count_for_nothing(dtype: str) -> None:
    array = np.ma.array(np.array([[0, 1], [1, 77]]).astype(dtype), mask=[[False, False], [False, True]])
    with pytest.warns(ConversionWarning, match="hidden by a masked array,? were stored as 0"):
        found = stored(array)
    shown = 255 if dtype == "f4" else 1
    assert found.tolist() == [[0, shown], [shown, 0]]
    assert array.data[1, 1] == np.array(77).astype(dtype)
    nothing = np.ma.array(np.array([[0, 9]], np.uint8))
    assert silently(nothing).tolist() == [[0, 9]]
