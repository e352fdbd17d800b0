"""Segments as an argument: every form of it, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskl.annotations.segments import Segment, Segments, parse_segments, warn_of_absent
from maskl.errors import AbsentSegmentsWarning, ConversionWarning, InvalidType, InvalidValue

SEVENTEEN = Segment(17, 3, 0.5, True)


@pytest.mark.parametrize(
    "value",
    [
        {17: {"class_id": 3, "score": 0.5, "iscrowd": True}},
        {np.int64(17): {"category_id": np.uint8(3), "score": np.float32(0.5), "iscrowd": np.bool_(True)}},
        [{"id": 17, "class_id": 3, "score": 0.5, "iscrowd": 1}],
        ({"id": 17.0, "category_id": 3, "class_id": 3, "score": np.float64(0.5), "iscrowd": True, "area": 9},),
        [{"id": 17, "category_id": 3, "score": 0.5, "iscrowd": 1, "bbox": [0, 0, 1, 1], "isthing": True}],
    ],
)
def test_forms_of_one_segment(value: Any) -> None:
    (found,) = parse_segments(value).listed
    assert found == SEVENTEEN
    assert [type(part) for part in (found.id, found.class_id, found.score, found.iscrowd)] == [int, int, float, bool]


def test_a_class_is_enough() -> None:
    assert parse_segments({17: 3}).listed == (Segment(17, 3),)
    assert parse_segments({17: {"class_id": 3, "score": None}}).listed == (Segment(17, 3),)
    assert parse_segments({}).listed == parse_segments([]).listed == ()
    parsed = parse_segments({17: 3})
    assert parse_segments(parsed) is parsed


def test_ids_beyond_24_bits_up_to_32() -> None:
    ids = [1 << 24, (1 << 24) + 1, (1 << 31) - 1, -(1 << 31)]
    found = parse_segments(dict.fromkeys(ids, 1)).present(np.array(ids, np.int32))
    assert [segment.id for segment in found.segments] == sorted(ids)
    with pytest.raises(InvalidValue, match="the id of a segment must be within signed 32 bits; got 2147483648"):
        parse_segments({1 << 31: 1})


def test_segments_without_a_pixel_are_named() -> None:
    found = parse_segments({5: 1, 9: 1, 2: 1}).present(np.array([5, 7]))
    assert found.segments == (Segment(5, 1),)
    assert found.absent == (2, 9)


@settings(max_examples=50)
@given(ids=st.sets(st.integers(-3, 1 << 20)), divisor=st.integers(2, 5000))
def test_a_divisor(ids: set[int], divisor: int) -> None:
    array = np.array(sorted(ids), np.int32)
    plain, below = parse_segments({"divisor": divisor}), parse_segments({"divisor": divisor, "below": 0, "crowd": [0]})
    wanted = {number: number // divisor if number >= divisor else number for number in ids if number >= 0}
    assert {segment.id: segment.class_id for segment in plain.present(array).segments} == wanted
    found = below.present(array).segments
    assert {segment.id: segment.class_id for segment in found} == {number: number // divisor for number in wanted}
    assert {segment.id for segment in found if segment.iscrowd} == {number for number in wanted if number < divisor}
    assert plain.present(array).absent == ()


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (3, InvalidType, "segments must be a dictionary of ids to classes, a list of dicts .*; got 3"),
        ("17", InvalidType, "segments must be a dictionary"),
        ([17], InvalidType, r"item 0 of segments must be a dict like \{'id': 17, 'class_id': 3\}; got 17"),
        ([{"class_id": 3}], InvalidValue, "item 0 of segments lacks 'id'"),
        ([{"id": 1, "class_id": 3}, {"id": 1, "class_id": 4}], InvalidValue, "segment 1 occurs twice"),
        ({17: {}}, InvalidValue, "segment 17 has no class: give 'class_id' or 'category_id'"),
        ({17: {"class_id": 3, "category_id": 4}}, InvalidValue, "two classes: class_id 3 and category_id 4"),
        ({17: True}, InvalidType, "the class of segment 17 must be an integer; got True"),
        ({True: 3}, InvalidType, "the id of a segment must be an integer; got True"),
        ({17: np.bool_(True)}, InvalidType, "the class of segment 17 must be an integer"),
        ({17: None}, InvalidType, "the class of segment 17 must be an integer; got None"),
        ({"17": 3}, InvalidType, "the id of a segment must be an integer; got '17'"),
        ({17: 2.5}, InvalidType, "the class of segment 17 must be an integer; got 2.5"),
        ({17: 1 << 31}, InvalidValue, "the class of segment 17 must be within signed 32 bits"),
        ({17: {"class_id": 3, "score": "0.9"}}, InvalidType, "the score of segment 17 must be a number; got '0.9'"),
        ({17: {"class_id": 3, "score": True}}, InvalidType, "the score of segment 17 must be a number; got True"),
        ({17: {"class_id": 3, "score": np.True_}}, InvalidType, "the score of segment 17 must be a number"),
        ({17: {"class_id": 3, "score": float("nan")}}, InvalidValue, "the score of segment 17 must be finite; got nan"),
        ({17: {"class_id": 3, "iscrowd": 2}}, InvalidType, "iscrowd of segment 17 must be True or False; got 2"),
        ({17: {"class_id": 3, "iscrowd": "no"}}, InvalidType, "iscrowd of segment 17 must be True or False"),
        ({"divisor": 1}, InvalidValue, "the divisor of segments must be at least 2; got 1"),
        ({"divisor": True}, InvalidType, "the divisor of segments must be an integer; got True"),
        ({"divisor": 1000, 17: 3}, InvalidValue, "segments by a rule are"),
        ({"below": 0}, InvalidValue, "segments by a rule are"),
        ({"divisor": 1000, "below": "sky"}, InvalidType, "'below' of segments must be an integer"),
        ({"divisor": 1000, "crowd": 24}, InvalidType, "'crowd' must be a list of class ids; got 24"),
        ({"divisor": 1000, "crowd": ["car"]}, InvalidType, "'crowd' of segments: a class must be an integer"),
    ],
)
def test_what_is_refused(value: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        parse_segments(value)


def test_a_class_that_is_not_there() -> None:
    with pytest.raises(InvalidValue, match="segment 17 has the class 3, which is not among the classes 0, 1: add it"):
        parse_segments({16: 1, 17: 3}, {0, 1})
    assert parse_segments({"divisor": 10}, {0, 1}) == Segments(divisor=10)


def test_what_is_not_kept_is_said() -> None:
    with pytest.warns(ConversionWarning, match="segment 17 has the key 'colour', which is not kept"):
        parse_segments({17: {"class_id": 3, "colour": "#ffffff", "area": 4}})


def test_one_warning_names_what_is_dropped() -> None:
    warn_of_absent([], "mask 'a'")
    with pytest.warns(AbsentSegmentsWarning, match="^mask 'a' has no pixel of segment 4, which has been dropped$"):
        warn_of_absent([4], "mask 'a'")
    with pytest.warns(AbsentSegmentsWarning, match="segments 0, 1, 2, 3, 4, …, which have been dropped"):
        warn_of_absent(range(9), "mask 'a'")
