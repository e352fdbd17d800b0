"""Images as arrays and with a mask drawn over them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

import maskl
from maskl.drawing.overlay import IGNORED, class_color
from maskl.errors import InvalidType, InvalidValue, NotFound, SizeMismatchWarning

pytestmark = pytest.mark.once

LABELS = {0: "도로", 1: "car", 2: "void"}
TRUTH = np.array([[0, 0, 1, 1], [0, 0, 1, 2], [0, 0, 1, 2]])


def image(pixels: Any = None, **masks: Any) -> maskl.Image:
    made = {key: {"mask_data": data, "class_labels": LABELS, "ignore_index": 2} for key, data in masks.items()}
    classes = [{"id": 1, "name": "car", "color": "#ff0000"}]
    return maskl.Image(np.zeros((3, 4, 3), np.uint8) if pixels is None else pixels, classes=classes, masks=made)


def at(picture: PILImage.Image, row: int, column: int) -> tuple[int, ...]:
    found = picture.getpixel((column, row))
    assert isinstance(found, tuple)
    return found


def test_an_overlay_has_the_colour_of_each_class() -> None:
    drawn = image(truth=TRUTH).overlay("truth", alpha=1)
    assert (drawn.mode, drawn.size) == ("RGB", (4, 3))
    assert at(drawn, 0, 0) == class_color(0)
    ignored = image(truth=np.full((3, 4), 2)).overlay("truth", alpha=1)
    assert at(ignored, 1, 1) == IGNORED
    car = image(truth=np.full((3, 4), 1)).overlay("truth", alpha=1)
    assert at(car, 1, 1) == (255, 0, 0)


def test_alpha_is_how_much_of_the_image_is_covered() -> None:
    grey = np.full((3, 4, 3), 100, np.uint8)
    cars = np.ones((3, 4), np.uint8)
    assert at(image(grey, truth=cars).overlay("truth", alpha=0), 0, 0) == (100, 100, 100)
    assert at(image(grey, truth=cars).overlay("truth", alpha=0.5), 0, 0) == (178, 50, 50)


@pytest.mark.parametrize("classes", ["car", 1, np.int64(1), ["car"], (1,), {"car", 1}])
def test_only_the_classes_asked_for_are_drawn(classes: Any) -> None:
    drawn = np.asarray(image(truth=TRUTH).overlay("truth", alpha=1, classes=classes))
    assert (drawn[:, :2] == 0).all(), "no colour and no outline"
    assert drawn[1, 2, 0] > 200
    assert drawn[2, 2].tolist() != [0, 0, 0]


def test_hidden_classes_have_no_outlines_between_them() -> None:
    mask = np.array([[0, 0, 2, 2, 2, 1]])
    pixels = np.full((1, 6, 3), 50, np.uint8)
    drawn = np.asarray(image(pixels, truth=mask).overlay("truth", classes=["car"]))
    assert (drawn[0, :5] == 50).all()
    assert (drawn[0, 5] > 50).any()
    nothing = np.asarray(image(pixels, truth=mask).overlay("truth", classes=[]))
    assert (nothing == 50).all()


def test_a_mask_of_another_size_is_stretched() -> None:
    with pytest.warns(SizeMismatchWarning):
        small = image(truth=np.ones((1, 1), np.uint8))
    assert at(small.overlay("truth", alpha=1), 2, 3) == (255, 0, 0)


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.full((3, 4), 7, np.uint8), (7, 7, 7)),
        (np.ones((3, 4), np.bool_), (255, 255, 255)),
        (np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000, (0, 0, 0)),
        (np.zeros((3, 4, 4), np.uint8), (255, 255, 255)),
    ],
    ids=["L", "1", "I;16", "RGBA"],
)
def test_images_of_every_mode_are_drawn(pixels: Any, expected: tuple[int, ...]) -> None:
    drawn = image(pixels, truth=np.zeros((3, 4), int)).overlay("truth", alpha=0)
    assert at(drawn, 0, 0) == expected
    if pixels.dtype == np.uint16:
        assert at(drawn, 2, 3) == (255, 255, 255)


def test_a_stored_image_is_drawn_alike(start: Callable[..., maskl.Run], store_dir: Path) -> None:
    given = image(truth=TRUTH, other=TRUTH.T[:3, :3].repeat(2, 1)[:, :4])
    with start() as run:
        run.log({"t": maskl.Table(["image"], [[given]])})
    (row,) = maskl.open(store_dir).table("t")
    for key in ("truth", "other"):
        np.testing.assert_array_equal(np.asarray(row["image"].overlay(key)), np.asarray(given.overlay(key)))


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"mask_key": "guess"}, NotFound, "no mask 'guess'; its masks are: 'truth'"),
        ({"mask_key": "truth", "classes": ["bus"]}, NotFound, "no class 'bus'; its classes are: 0 '도로', 1 'car'"),
        ({"mask_key": "truth", "classes": 9}, NotFound, "no class 9"),
        ({"mask_key": "truth", "classes": [True]}, NotFound, "no class True"),
        ({"mask_key": "truth", "alpha": 1.5}, InvalidValue, "alpha must be from 0 to 1"),
        ({"mask_key": "truth", "alpha": float("nan")}, InvalidValue, "alpha must be from 0 to 1"),
        ({"mask_key": "truth", "alpha": "0.5"}, InvalidType, "alpha must be a number"),
        ({"mask_key": "truth", "alpha": None}, InvalidType, "alpha must be a number"),
    ],
)
def test_what_cannot_be_drawn_is_an_error(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        image(truth=TRUTH).overlay(**arguments)
    assert words in str(caught.value)


def test_a_reference_has_no_pixels_to_draw_on() -> None:
    with pytest.raises(NotFound, match="kept as a reference"):
        image("https://example.com/a.png", truth=TRUTH).overlay("truth")
    with pytest.raises(NotFound, match="kept as a reference"):
        np.asarray(image("https://example.com/a.png"))


def test_an_image_is_an_array_of_its_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 3)).astype(np.uint8)
    array = np.asarray(image(pixels))
    np.testing.assert_array_equal(array, pixels)
    assert array.flags.writeable
    array[:] = 0
    np.testing.assert_array_equal(np.array(image(pixels)), pixels)
    assert np.asarray(image(pixels), np.float32).dtype == np.float32
    assert np.asarray(maskl.Image(pixels[..., 0])).shape == (3, 4)


@pytest.mark.parametrize("dtype", ["?", "u1", "<i2", ">i2", "<u8", "<i8"])
def test_a_mask_is_an_array_of_what_was_logged(dtype: str) -> None:
    data = np.eye(3, 4).astype(dtype)
    mask = maskl.ImageMask({"mask_data": data}, "truth")
    assert np.asarray(mask).dtype == np.dtype(dtype)
    np.testing.assert_array_equal(np.asarray(mask), data)
    assert np.asarray(mask, np.float64).dtype == np.float64
    assert np.array(mask, copy=True) is not np.array(mask, copy=True)
    assert (mask == data).all()


def test_an_array_without_a_copy_is_refused() -> None:
    with pytest.raises(ValueError, match="always a copy"):
        np.array(image(), copy=False)
    with pytest.raises(ValueError, match="always a copy"):
        np.array(image(truth=TRUTH).masks["truth"], copy=False)


def test_a_mask_and_an_image_can_be_made_from_one() -> None:
    given = image(truth=TRUTH)
    again = maskl.ImageMask({"mask_data": given.masks["truth"]}, "truth")
    np.testing.assert_array_equal(again.mask_data, TRUTH)
    assert maskl.metrics.mean_iou(given.masks["truth"], TRUTH) == 1


def test_a_mask_by_itself_is_still_no_value_to_log(start: Callable[..., maskl.Run], store_dir: Path) -> None:
    mask = image(truth=TRUTH).masks["truth"]
    with start() as run:
        with pytest.raises(InvalidType, match="cannot hold a ImageMask"):
            run.log({"mask": mask})
        with pytest.warns(maskl.errors.ConversionWarning, match="is not the image of a cell is stored as its text"):
            maskl.Table(["mask"], [[mask]])
        with pytest.warns(maskl.errors.ConversionWarning, match="stored as its text"):
            run.config["mask"] = mask
    assert maskl.open(store_dir).sql("FROM history").fetchall() == []
