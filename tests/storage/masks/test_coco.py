from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco_mask

from maskl_storage.errors import CorruptData
from maskl_storage.masks.coco import by_class, components, polygon, positions, read_counts, segments_of

MASKS = arrays.arrays(
    st.sampled_from([np.int64, np.uint8]), st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 2)
)
# pycocotools' compiled arrays do not know NumPy 2's copy keyword
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


def flooded(mask: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Number the components pixel by pixel."""
    height, width = mask.shape
    labels = np.full(mask.shape, -1)
    for start in np.ndindex(mask.shape):
        if labels[start] >= 0:
            continue
        labels[start] = number = labels.max() + 1
        waiting = deque([start])
        while waiting:
            y, x = waiting.popleft()
            for near in ((y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)):
                if not (0 <= near[0] < height and 0 <= near[1] < width):
                    continue
                if labels[near] < 0 and mask[near] == mask[start]:
                    labels[near] = number
                    waiting.append(near)
    return labels


@given(MASKS)
def test_components_are_those_of_a_flood_and_classes_those_of_the_ids(mask: np.ndarray[Any, Any]) -> None:
    labels, ids = components(mask)
    assert np.array_equal(labels, flooded(mask))
    assert np.array_equal(ids[labels], mask)
    labels, ids = by_class(mask)
    assert ids.tolist() == np.unique(mask).tolist()
    assert np.array_equal(ids[labels], mask)


@given(MASKS)
def test_segments_are_what_pycocotools_makes_of_them(mask: np.ndarray[Any, Any]) -> None:
    for labels, ids in (by_class(mask), components(mask)):
        for number, segment in enumerate(segments_of(labels, ids, counts=True)):
            wanted = coco_mask.encode(np.asfortranarray(labels == number).astype(np.uint8))
            assert segment.counts == wanted["counts"].decode()
            assert segment.area == coco_mask.area(wanted)
            assert list(segment.bbox) == coco_mask.toBbox(wanted).tolist()
            covered = np.zeros(mask.size, np.bool_)
            covered[positions(read_counts(segment.counts), *mask.shape)] = True
            assert np.array_equal(covered.reshape(mask.shape), labels == number)


CORNERS = st.lists(st.tuples(*[st.integers(-40, 160) | st.floats(-4, 16)] * 2), min_size=3, max_size=7)


@given(CORNERS, st.tuples(st.integers(8, 13), st.integers(8, 13)), st.sampled_from([1.0, 0.1]))
def test_polygons_cover_what_pycocotools_says(corners: Any, size: tuple[int, int], scale: float) -> None:
    height, width = size
    points = (np.array(corners, np.float64) * scale).clip((-width, -height), (2 * width, 2 * height))
    wanted = coco_mask.decode(coco_mask.frPyObjects([points.reshape(-1).tolist()], height, width))[:, :, 0]
    covered = np.zeros(height * width, np.uint8)
    covered[polygon(points, height, width)] = 1
    assert np.array_equal(covered.reshape(height, width), wanted)


def test_a_polygon_too_far_away_or_too_long_is_refused() -> None:
    for corner in (np.nan, np.inf, 7, -4):
        with pytest.raises(CorruptData, match="farther away"):
            polygon(np.array([[0, 0], [1, 1], [corner, 0]]), 3, 3)
    zigzag = np.zeros((2000, 2))
    zigzag[::2] = 10_000
    with pytest.raises(CorruptData, match="pixels long"):
        polygon(zigzag, 10_000, 10_000)


def test_ids_far_apart_and_large_masks_are_numbered() -> None:
    mask = np.array([[-(1 << 31), (1 << 31) - 1]])
    assert by_class(mask)[1].tolist() == [-(1 << 31), (1 << 31) - 1]
    stripes = np.indices((300, 400)).sum(0) // 7 % 2
    labels, ids = components(stripes)
    assert ids.size == 100
    assert np.array_equal(ids[labels], stripes)
    (segment, _) = segments_of(*by_class(stripes), counts=True)
    assert read_counts(segment.counts).sum() == stripes.size


@pytest.mark.parametrize("text", ["o", "0/", "\x7f", "é", "o" * 13 + "0", b"\xff"])
def test_text_that_is_no_run_lengths_is_refused(text: str | bytes) -> None:
    with pytest.raises(CorruptData):
        read_counts(text)


@pytest.mark.parametrize("counts", [[7], [6, 1], [1, -1, 6], [2, 2], [], [1 << 62, 1 << 62, 1 << 62, 1 << 62, 6]])
def test_lengths_that_are_not_the_images_are_refused(counts: list[int]) -> None:
    with pytest.raises(CorruptData):
        positions(np.array(counts, np.int64), 2, 3)
