"""Ids that may not be what was meant: unnamed ones, names of two ids, and masks that a lossy file changed."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PILImage
from PIL import ImageDraw

import maskl
from maskl import Classes, Image, ImageMask, Table
from maskl.annotations.classes import join_class_set
from maskl.annotations.doubts import looks_lossy
from maskl.errors import DuplicateNameWarning, InvalidType, InvalidValue, LossyMaskWarning, UnnamedClassWarning
from maskl.interchange.untrusted import mask_pixels
from maskl_storage.masks.codec import countable, encode
from maskl_storage.masks.histograms import class_pixels

Array = npt.NDArray[Any]
Start = Callable[..., maskl.Run]
PIXELS = np.zeros((4, 4, 3), np.uint8)
TRUTH = np.array([[1, 1, 2, 2]] * 4, np.uint8)


def evaluated(
    start: Start, truth: Mapping[str, Any], prediction: Mapping[str, Any], **more: Any
) -> tuple[maskl.Store, maskl.Run]:
    with start() as run:
        image = Image(PIXELS, masks={"ground_truth": truth, "predictions": prediction}, **more)
        run.log({"evaluation": Table(["image"], [[image]])})
    return maskl.open(run.dir), run


# --- two ids with one name --------------------------------------------------------------------------


def test_a_prediction_that_is_wrong_everywhere_scores_nothing_though_two_ids_have_one_name(start: Start) -> None:
    labels = {1: "car", 2: "car"}
    with pytest.warns(DuplicateNameWarning, match=r"class ids 1 and 2 have one name, 'car'.*stored as 'car \(2\)'"):
        store, _ = evaluated(
            start, {"mask_data": TRUTH, "class_labels": labels}, {"mask_data": 3 - TRUTH, "class_labels": labels}
        )
    assert store.sql("SELECT mean_iou FROM mean_iou('evaluation')").fetchall() == [(0,)]
    scores = store.sql("SELECT class_name, iou FROM class_iou('evaluation')").fetchall()
    assert scores == [("car", 0), ("car (2)", 0)]
    assert store.sql("SELECT iou FROM class_iou('evaluation')", class_map={"car (2)": "car"}).fetchall() == [(1,)]


@pytest.mark.parametrize("number", [1, 5])
def test_the_name_of_an_id_without_one_is_no_other_ids_name(start: Start, number: int) -> None:
    labels = {2: f"class_{number}"}
    truth = np.where(TRUTH == 1, number, TRUTH)
    with pytest.warns((DuplicateNameWarning, UnnamedClassWarning)) as caught:
        store, _ = evaluated(
            start,
            {"mask_data": truth, "class_labels": labels},
            {"mask_data": np.where(truth == 2, number, 2), "class_labels": labels},
        )
    assert DuplicateNameWarning in {one.category for one in caught}
    assert store.sql("SELECT mean_iou FROM mean_iou('evaluation')").fetchall() == [(0,)]


def test_names_from_several_sources_are_told_apart() -> None:
    classes = Classes([{"id": 2, "name": "car", "color": "#102030"}])
    with pytest.warns(DuplicateNameWarning):
        found = join_class_set(((1, "car"),), frozenset(), classes, (), frozenset({2}))
    assert [(item.id, item.name) for item in found] == [(1, "car"), (2, "car (2)")]
    with pytest.warns(DuplicateNameWarning):
        assert Classes([{"id": 7, "name": "a"}, {"id": 3, "name": "a"}]).names == {7: "a (7)", 3: "a"}
    with pytest.warns(DuplicateNameWarning):
        mask = ImageMask({"mask_data": TRUTH, "class_labels": {1: "하늘", 2: "하늘"}}, "truth")
    assert mask.class_labels == {1: "하늘", 2: "하늘 (2)"}


def test_scores_of_masks_in_memory_count_ids_too() -> None:
    with pytest.warns(DuplicateNameWarning):
        matrix = maskl.metrics.confusion_matrix(TRUTH, 3 - TRUTH, classes={1: "car", 2: "car"})
    assert matrix.pixel_accuracy() == 0


@given(names=st.dictionaries(st.integers(0, 9), st.sampled_from(["a", "b", "a (2)", "class_3", "a (2) (2)"])))
def test_no_two_ids_have_one_name(names: dict[int, str]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = join_class_set(tuple(names.items()), frozenset(), None, (), frozenset(range(10)).difference(names))
    stored = {item.id: item.name for item in found}
    every = {number: stored.get(number) or f"class_{number}" for number in range(10)}
    assert len(set(every.values())) == 10
    assert names.keys() <= stored.keys()
    clashes = len({names.get(number, f"class_{number}") for number in range(10)}) < 10
    assert bool(caught) == clashes
    assert clashes or stored == names


# --- ids without a name -----------------------------------------------------------------------------


def test_ids_without_a_name_are_named_once_a_run(start: Start) -> None:
    mask = {"mask_data": np.array([[0, 1, 7, 255]]), "class_labels": {0: "road", 1: "car"}}
    pixels = np.zeros((1, 4, 3), np.uint8)
    with start() as run:
        with pytest.warns(UnnamedClassWarning, match=r"mask 'truth' has class labels, and ids 7, 255 .* class_7"):
            run.log({"frames": Image(pixels, masks={"truth": mask})})
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run.log({"frames": Image(pixels, masks={"truth": mask})})
        with pytest.warns(UnnamedClassWarning, match=r"mask 'other' .* id 9 "):
            run.log({"frames": Image(pixels, masks={"other": mask | {"mask_data": np.array([[0, 0, 0, 9]])}})})


@pytest.mark.parametrize(
    "mask",
    [
        {"class_labels": {0: "road", 1: "car"}, "ignore_index": [7, 255]},
        {"class_labels": {0: "road", 1: "car", 7: "tram", 255: "void"}},
        {},
        {"ignore_index": 255},
        {"class_labels": {0: "road"}, "statistics": False},
    ],
)
def test_ids_that_are_named_ignored_or_all_without_a_name_are_fine(start: Start, mask: dict[str, Any]) -> None:
    with start() as run:
        image = Image(np.zeros((1, 4, 3)), masks={"truth": {"mask_data": np.array([[0, 1, 7, 255]]), **mask}})
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run.log({"frames": image})
    assert run.summary is not None


# --- masks that went through JPEG -------------------------------------------------------------------


def regions(ids: list[int], seed: int, count: int = 25) -> Array:
    rng = np.random.default_rng(seed)
    picture = PILImage.new("L", (320, 256), ids[0])
    draw = ImageDraw.Draw(picture)
    for _ in range(count):
        x, y, width, height = (int(value) for value in rng.integers((0, 0, 6, 6), (320, 256, 90, 90)))
        draw.ellipse((x, y, x + width, y + height), fill=int(rng.choice(ids)))
    return np.array(picture)


def jpeg(mask: Array, quality: int) -> bytes:
    file = io.BytesIO()
    PILImage.fromarray(mask).save(file, "JPEG", quality=quality)
    return file.getvalue()


def lossy(mask: Array) -> bool:
    runs = countable(encode(mask))
    return looks_lossy(runs, class_pixels(runs))


SETS = {"on or off": [0, 255], "ADE20K": [0, 3, 20, 77, 140, 149], "VOC": [0, 1, 7, 15, 255]}


@pytest.mark.parametrize("ids", SETS.values(), ids=SETS)
@pytest.mark.parametrize("quality", [50, 75, 90, 95])
def test_masks_that_went_through_jpeg_are_told(ids: list[int], quality: int) -> None:
    mask = regions(ids, quality)
    assert not lossy(mask)
    with PILImage.open(io.BytesIO(jpeg(mask, quality))) as file:
        changed = np.array(file)
    assert lossy(changed)
    assert lossy(changed.astype(np.int64))


@pytest.mark.parametrize("seed", range(3))
def test_masks_of_many_ids_are_not_taken_for_lossy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    speckled = regions([0, 2, 8, 10, 13], seed)
    wrong = rng.random(speckled.shape) < 0.03
    speckled[wrong] = rng.integers(0, 19, int(wrong.sum()))  # as an early network predicts
    dots = np.zeros((256, 320), np.uint8)
    dots.reshape(-1)[rng.choice(dots.size, 250, replace=False)] = np.arange(250)
    rows, columns = np.indices((256, 320))
    for mask in (
        speckled,
        dots,
        regions(list(range(200)), seed, 400),  # instances
        (columns // 2).astype(np.uint8),  # bins of a depth
        ((rows + columns) // 4).astype(np.uint8),
        rng.integers(0, 256, (256, 320)).astype(np.uint8),
        regions(list(range(19)), seed),
    ):
        assert not lossy(mask)


def test_a_lossy_mask_is_warned_about_where_it_is_stored(start: Start, tmp_path: Path) -> None:
    data = jpeg(regions([0, 255], 1), 75)
    with PILImage.open(io.BytesIO(data)) as file:
        mask = np.array(file)
    with start() as run, pytest.warns(LossyMaskWarning, match="mask 'truth' looks as if it went through JPEG"):
        run.log({"frames": Image(mask, masks={"truth": {"mask_data": mask}})})
    path = tmp_path / "mask.png"  # the name says nothing
    path.write_bytes(data)
    with pytest.warns(LossyMaskWarning, match=r"mask\.png is a JPEG"):
        ImageMask({"path": path}, "truth")
    with pytest.warns(LossyMaskWarning, match="is a JPEG"):
        mask_pixels(data)  # of a dataset


# --- shapes and hidden pixels -----------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 4, 5), (4, 5, 1), (1, 1, 5), (1, 4, 1), (1, 1, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.bool_, np.float32])
def test_one_channel_or_a_batch_of_one_mask_is_that_mask(shape: tuple[int, ...], dtype: Any) -> None:
    array = (np.arange(np.prod(shape)).reshape(shape) % 2).astype(dtype)
    mask = ImageMask({"mask_data": array}, "truth")
    flat = array[0] if shape[0] == 1 else array[..., 0]
    assert mask.shape == flat.shape
    assert np.array_equal(mask.mask_data, flat)


@pytest.mark.parametrize("shape", [(2, 4, 5), (4, 5, 3), (4, 1, 5), (5,), (2, 1, 4, 5), (1, 1, 4, 5)])
def test_several_masks_in_one_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidType, match="must be a 2D array"):
        ImageMask({"mask_data": np.zeros(shape, int)}, "truth")


def test_a_mask_that_hides_pixels_is_refused_with_what_to_do() -> None:
    hidden = np.ma.masked_equal(np.array([[0, 1], [7, 7]]), 7)
    with pytest.raises(InvalidValue, match=r"hides 2 pixels.*filled\(255\)"):
        ImageMask({"mask_data": hidden}, "truth")
    shown = np.ma.array([[0, 1], [7, 7]])
    assert ImageMask({"mask_data": shown}, "truth").mask_data.tolist() == [[0, 1], [7, 7]]
    assert ImageMask({"mask_data": hidden.filled(255)}, "truth").mask_data.tolist() == [[0, 1], [255, 255]]
    with pytest.raises(InvalidValue, match="hides 2 of its values"):
        maskl.metrics.confusion_matrix(hidden, hidden)
