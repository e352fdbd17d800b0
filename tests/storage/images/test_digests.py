"""Sets and indexes of digests are exact, whatever the digests are, and the same in every process."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskl_storage.images import digests as digests_module
from maskl_storage.images.digests import Digests, Sorted, words_of


def digest_of(number: int) -> str:
    return random.Random(number).randbytes(32).hex()


#: digests, some that begin alike, and texts that are none
KNOWN = [
    *map(digest_of, range(8)),
    *("0" * 64, "0" * 63 + "1", "0" * 16 + "f" * 48, "f" * 64, "0" * 15 + "1" + "0" * 48, "f" * 63 + "0"),
    *("", "00", "0" * 63, "0" * 65, "A" * 64, "a" * 64, "g" * 64, "나무" * 32, "0" * 64 + "\n", " " + "0" * 63),
]
some = st.lists(st.sampled_from(KNOWN), max_size=40)


@given(steps=st.lists(st.tuples(st.booleans(), some), max_size=6), asked=some, waiting=st.integers(0, 10))
def test_a_set_of_digests_is_a_set(steps: Sequence[tuple[bool, list[str]]], asked: list[str], waiting: int) -> None:
    digests, expected = Digests(), set[str]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digests_module, "WAITING", waiting)
        for whole, texts in steps:
            if whole:
                digests.add(words_of(pa.array(texts, pa.string())))
            else:
                digests.update(texts)
            expected |= set(texts)
            assert [text in digests for text in asked] == [text in expected for text in asked]
        assert len(digests) == len(expected)
        column = pa.chunked_array([pa.array(asked, pa.string())] * 2)
        assert digests.has(words_of(column)).tolist() == [text in expected for text in asked * 2]


@given(texts=st.lists(st.sampled_from(KNOWN), unique=True), asked=some)
def test_every_digest_is_found_where_it_stood(texts: list[str], asked: list[str]) -> None:
    found, order = Sorted.of(words_of(pa.array(texts, pa.string())))
    places = found.places(words_of(pa.array(asked, pa.string())))
    for text, place in zip(asked, places.tolist(), strict=True):
        assert place == found.find(text)
        assert (texts[order[place]] if place >= 0 else None) == (text if text in texts else None)
    np.testing.assert_array_equal(found.words[order.argsort()], words_of(pa.array(texts, pa.string())))


def test_null_is_no_digest() -> None:
    digests = Digests()
    digests.add(words_of(pa.array(KNOWN)))
    assert digests.has(words_of(pa.array([None, KNOWN[0]], pa.string()))).tolist() == [False, True]


@pytest.mark.once
def test_what_is_no_digest_is_the_same_in_every_process() -> None:
    script = (
        "import pyarrow as pa; from maskl_storage.images.digests import words_of; "
        "print(words_of(pa.array(['odd', None, 'A' * 64])).tolist())"
    )
    printed = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, env=environment)
        printed.add(done.stdout)
    assert len(printed) == 1


def test_many_digests_take_little_memory() -> None:
    count = 50_000
    texts = [bytes(digest).hex() for digest in np.random.default_rng(0).integers(0, 256, (count, 32), np.uint8)]
    digests = Digests()
    for _ in range(3):  # as rows of several epochs refer to the same images
        digests.add(words_of(pa.array(texts)))
    assert len(digests) == count
    assert digests._sorted.first.nbytes + digests._sorted.rest.nbytes == 32 * count
    assert not digests._waiting
    assert not digests._recent
