"""Layers over images: which pixel gets which colour."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image as PILImage

from maskl.drawing.overlay import FALSE, MISSED, STRIPE_WIDTH, STRIPES, WRONG, error_layer, mask_layer, stretch

pytestmark = pytest.mark.once

CLEAR = (0, 0, 0, 0)


def rgba(layer: PILImage.Image) -> npt.NDArray[np.uint8]:
    """Return a layer's pixels as they come back from a PNG file."""
    buffer = io.BytesIO()
    layer.save(buffer, "PNG")
    return np.asarray(PILImage.open(buffer).convert("RGBA"))


def pixel(layer: PILImage.Image, row: int, column: int) -> tuple[int, ...]:
    return tuple(rgba(layer)[row, column].tolist())


def test_stretch_takes_the_pixel_under_the_middle() -> None:
    mask = np.arange(12).reshape(3, 4)
    assert stretch(mask, 4, 3) is mask
    assert stretch(mask, 8, 6)[::2, ::2].tolist() == mask.tolist()
    assert stretch(mask, 8, 6)[1::2, 1::2].tolist() == mask.tolist()
    assert stretch(mask, 1, 1).tolist() == [[6]]
    assert stretch(np.array([[5]]), 3, 2).tolist() == [[5, 5, 5], [5, 5, 5]]
    assert stretch(mask, 4, 1).tolist() == [[4, 5, 6, 7]]


def test_mask_layer_has_the_colour_of_each_code() -> None:
    layer = mask_layer(np.array([[2, 0], [2, 1]]), [(1, 2, 3), (4, 5, 6), (250, 128, 0)], alpha=0.6)
    assert layer.mode == "P"
    assert rgba(layer).tolist() == [
        [[250, 128, 0, 153], [1, 2, 3, 153]],
        [[250, 128, 0, 153], [4, 5, 6, 153]],
    ]


@pytest.mark.parametrize("count", [1, 2, 255, 256, 257, 1000])
def test_mask_layer_of_many_classes(count: int) -> None:
    colors = [(number % 256, number // 256, 7) for number in range(count)]
    codes = np.arange(count).reshape(1, -1)
    pixels = rgba(mask_layer(codes, colors, alpha=1))
    assert [tuple(value) for value in pixels[0].tolist()] == [(*color, 255) for color in colors]


def test_error_layer_marks_what_is_wrong_and_what_does_not_count() -> None:
    truth = np.array([[0, 0, 1, 2]])
    prediction = np.array([[0, 1, 1, 1]])
    layer = error_layer(truth, prediction, truth != 2)
    assert [pixel(layer, 0, column) for column in range(3)] == [CLEAR, (*WRONG, 255), CLEAR]
    assert pixel(layer, 0, 3) in [(*color, 255) for color in STRIPES]


def test_error_layer_of_one_class_tells_missed_from_falsely_predicted() -> None:
    truth = np.array([[7, 7, 3, 3, 3, 9, 9]])
    prediction = np.array([[7, 3, 7, 3, 4, 7, 9]])
    layer = error_layer(truth, prediction, truth != 9, wanted=7)
    shown = [pixel(layer, 0, column) for column in range(5)]
    assert shown == [CLEAR, (*MISSED, 255), (*FALSE, 255), CLEAR, CLEAR]  # 3 taken for 4 is another class's error
    stripes = {(*color, 255) for color in STRIPES}
    assert {pixel(layer, 0, 5), pixel(layer, 0, 6)} <= stripes


def test_ignored_pixels_are_striped() -> None:
    nothing = np.zeros((20, 20), np.int32)
    pixels = rgba(error_layer(nothing, nothing + 1, nothing.astype(np.bool_)))
    found = {tuple(value) for value in pixels.reshape(-1, 4).tolist()}
    assert found == {(*color, 255) for color in STRIPES}
    assert tuple(pixels[0, 0]) != tuple(pixels[0, STRIPE_WIDTH])
    assert tuple(pixels[0, STRIPE_WIDTH]) == tuple(pixels[STRIPE_WIDTH, 0])


def test_layers_of_one_pixel() -> None:
    one = np.zeros((1, 1), np.int32)
    counted = np.ones((1, 1), np.bool_)
    assert pixel(error_layer(one, one, counted), 0, 0) == CLEAR
    assert pixel(error_layer(one, one + 1, counted), 0, 0) == (*WRONG, 255)
    assert pixel(error_layer(one, one, ~counted), 0, 0) == (*STRIPES[0], 255)


def test_error_colours_are_far_from_each_other_and_from_grey() -> None:
    colors = [WRONG, MISSED, FALSE]
    assert all(max(color) - min(color) > 150 for color in colors)
    for index, color in enumerate(colors):
        for other in colors[:index]:
            assert sum((a - b) ** 2 for a, b in zip(color, other, strict=True)) > 100**2
