"""What a row takes while it is made, and what is left of the caller's arrays afterwards."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from maskl import Image, Table
from maskl.images.encoding import ImageEncoder
from maskl_storage.disk.futures import Job

pytestmark = pytest.mark.once

Array = npt.NDArray[Any]
LABELS = {number: f"class {number}" for number in range(20)}


@pytest.fixture(autouse=True)
def encoder(monkeypatch: pytest.MonkeyPatch) -> Iterator[ImageEncoder]:
    """Encode on one thread, so that what is asked of it next is done last."""
    encoder = ImageEncoder(threads=1)
    monkeypatch.setattr("maskl.images.encoding.encoder", encoder)
    return encoder


def blobs(shape: tuple[int, int], shift: int) -> Array:
    """Return a mask of 20 classes in areas of some dozen pixels."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    waves = np.sin((x + shift) / 60) + np.cos((y - shift) / 45)
    return ((waves + 2) / 4.01 * 20).astype(np.uint8)


def noise(shape: tuple[int, int]) -> Array:
    return np.random.default_rng(0).integers(0, 20, shape).astype(np.uint8)


def frame(shape: tuple[int, int]) -> Array:
    """Return a frame that no encoder makes smaller."""
    return np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)


def add(table: Table, encoder: ImageEncoder, pixels: Array, masks: list[Array]) -> Image:
    names = ("ground_truth", "predictions")
    image = Image(
        pixels,
        masks={name: {"mask_data": mask, "class_labels": LABELS} for name, mask in zip(names, masks, strict=True)},
    )
    table.add_data(image)
    job = Job(bytes)
    encoder.submit(job, 0)
    job.result()
    return image


@pytest.mark.parametrize("shape", [(360, 480), (1080, 1920)], ids=["small", "large"])
@pytest.mark.parametrize(
    ("make", "frame_dtype", "mask_dtype"),
    [
        (lambda shape: [blobs(shape, 0), blobs(shape, 9)], "u1", "u1"),
        (lambda shape: [blobs(shape, 0), blobs(shape, 9)], "u1", "i8"),
        (lambda shape: [blobs(shape, 0), blobs(shape, 9)], "f4", "u1"),
        (lambda shape: [blobs(shape, 0), blobs(shape, 9)], "u1", "f4"),
        (lambda shape: [noise(shape), noise(shape)[::-1]], "u1", "u1"),
        (lambda shape: [noise(shape), blobs(shape, 9)], "u1", "i8"),
    ],
    ids=["uint8", "int64 masks", "float32 frame", "float32 masks", "noise", "noise beside areas"],
)
def test_a_row_takes_at_most_one_and_a_half_times_its_input(
    encoder: ImageEncoder, shape: tuple[int, int], make: Any, frame_dtype: str, mask_dtype: str
) -> None:
    pixels = frame(shape) if frame_dtype == "u1" else (frame(shape) / 255).astype(frame_dtype)
    masks = [np.ascontiguousarray(mask, mask_dtype) for mask in make(shape)]
    table = Table(["image"])
    add(table, encoder, pixels[:64, :64], [mask[:64, :64] for mask in masks])  # what is made once
    gc.collect()
    tracemalloc.start()
    try:
        image = add(table, encoder, pixels, masks)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert image.width == shape[1]
    assert peak <= 1.5 * (pixels.nbytes + sum(mask.nbytes for mask in masks))


@pytest.mark.parametrize("dtype", ["u1", "i8", "f8", ">i4", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_nothing_of_the_callers_arrays_is_kept(encoder: ImageEncoder, dtype: str, order: Any) -> None:
    arrays = [np.array(array, order=order) for array in (frame((36, 48)), frame((36, 48)) / 255)]
    masks = [np.array(mask % 2, dtype, order=order) for mask in (blobs((36, 48), 0), noise((36, 48)))]
    table = Table(["image"])
    images = [add(table, encoder, array, masks) for array in arrays]
    alive = [weakref.ref(array) for array in (*arrays, *masks)]
    assert all(ref() is not None for ref in alive)
    del arrays, masks
    gc.collect()
    assert [ref() for ref in alive] == [None] * 4
    kept = np.dtype("i4" if dtype == "f8" else dtype)
    assert [image.masks["predictions"].mask_data.dtype for image in images] == [kept] * 2
    assert len(table) == 2
