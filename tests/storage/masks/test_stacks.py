"""Many masks counted at once have the counts of each alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskl_storage.errors import CorruptData
from maskl_storage.masks.codec import HEADER, Unpacker, encode, runs_of
from maskl_storage.masks.codecs.bands import Events
from maskl_storage.masks.histograms import class_pixels, joint_pixels
from maskl_storage.masks.stacks import Stack, class_pixels_of, joint_pixels_of

SHAPES = [(1, 1), (1, 300), (9, 7), (64, 64), (70, 300)]


def some_masks(rng: np.random.Generator, shape: tuple[int, int], count: int) -> list[np.ndarray[Any, Any]]:
    """Return masks of every kind: regions, noise, one value, ids that are far apart, several types."""
    made = []
    for _ in range(count):
        kind = rng.integers(5)
        if kind == 0:
            mask = rng.integers(0, 4, shape).astype(np.uint8)
        elif kind == 1:
            mask = np.full(shape, rng.integers(-5, 5), np.int32)
        elif kind == 2:
            mask = rng.choice(np.array([-(2**31), 0, 2**31 - 1]), shape)
        else:
            mask = np.zeros(shape, np.uint16)
            mask[: rng.integers(shape[0] + 1), : rng.integers(shape[1] + 1)] = rng.integers(1, 300)
        made.append(mask)
    return made


def stacked(masks: list[np.ndarray[Any, Any]]) -> Stack:
    unpacker = Unpacker()
    return Stack.of([unpacker.unpack(memoryview(encode(mask)))[0] for mask in masks], masks[0].shape)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32), shape=st.sampled_from(SHAPES), count=st.integers(1, 12))
def test_a_stack_has_the_counts_of_each_mask(seed: int, shape: tuple[int, int], count: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = some_masks(rng, shape, count), some_masks(rng, shape, count)
    declared = sorted({0, 3, int(rng.integers(-9, 400))})
    one, two = stacked(a), stacked(b)
    places = np.flatnonzero(rng.integers(0, 2, count))
    if places.size:
        chosen = stacked([a[place] for place in places])
        taken = one.take(places)
        assert (taken.starts == chosen.starts).all()
        assert (taken.values == chosen.values).all()
    counts, joint = class_pixels_of(one, declared), joint_pixels_of(one, two)
    start = at = 0
    for number in range(count):
        alone = class_pixels(runs_of(encode(a[number])))
        stop = start + int(counts.lengths[number])
        found = dict(zip(counts.ids[start:stop].tolist(), counts.pixels[start:stop].tolist(), strict=True))
        assert list(found) == sorted(found)
        assert found == dict.fromkeys(declared, 0) | dict(zip(alone.ids.tolist(), alone.pixels.tolist(), strict=True))
        both = joint_pixels(runs_of(encode(a[number])), runs_of(encode(b[number])))
        end = at + int(joint.lengths[number])
        assert joint.ids_a[at:end].tolist() == both.ids_a.tolist()
        assert joint.ids_b[at:end].tolist() == both.ids_b.tolist()
        assert joint.pixels[at:end].tolist() == both.pixels.tolist()
        start, at = stop, end


def damaged(events: Events, place: int, value: int) -> Events:
    raw = bytearray(events.raw)
    raw[place] = value
    return Events(bytes(raw), events.events, events.runs, events.info)


@pytest.mark.parametrize("what", ["no gap", "beyond", "no rows", "a row below", "not from 0"])
def test_a_mask_that_is_none_is_found_among_others(what: str) -> None:
    masks = [np.repeat(np.arange(9, dtype=np.uint8), 7).reshape(9, 7) for _ in range(3)]
    unpacker = Unpacker()
    good = [unpacker.unpack(memoryview(encode(mask, "bands")))[0] for mask in masks]
    second = good[1]
    assert isinstance(second, Events)
    last = second.events - 1
    place, value = {
        "no gap": (last, 0),
        "beyond": (last, 255),
        "no rows": (second.events, 0),
        "a row below": (2 * second.events - 1, 128),
        "not from 0": (0, 2),
    }[what]
    with pytest.raises(CorruptData):
        Stack.of([good[0], damaged(second, place, value), good[2]], masks[0].shape)


def test_a_header_that_changed_is_found_though_another_is_known() -> None:
    data = bytearray(encode(np.eye(9, dtype=np.uint8)))
    unpacker = Unpacker()
    unpacker.unpack(memoryview(data))
    data[HEADER.size - 1] ^= 1
    with pytest.raises(CorruptData):
        unpacker.unpack(memoryview(data))
    with pytest.raises(CorruptData):
        unpacker.unpack(memoryview(b"MSKL"))
