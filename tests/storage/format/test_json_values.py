"""JSON text gives values back, and stays JSON that other programs can read."""

from __future__ import annotations

import enum
import json
from datetime import date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskl_storage.format.json_values import dump_text, load_text

SEOUL = timezone(timedelta(hours=9))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(["$", "$dict", "$float", "$x"])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    TEXT,
    st.binary(max_size=8),
    st.datetimes(),
    st.datetimes(timezones=st.just(SEOUL)),
)
KEYS = st.one_of(TEXT, st.integers(), st.booleans(), st.none(), st.binary(max_size=4))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)


def same(a: Any, b: Any) -> bool:
    """Whether two values are equal with the types of everything in them."""
    if type(a) is not type(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return len(a) == len(b) and all(same(x, y) and same(a[x], b[y]) for x, y in zip(a, b, strict=True))
    return bool(a == b)


@given(VALUES)
def test_any_value_comes_back_with_its_types(value: Any) -> None:
    text = dump_text(value)
    assert same(load_text(text), value)


@given(VALUES)
def test_the_text_is_strict_json(value: Any) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(word)

    json.loads(dump_text(value), parse_constant=refuse)


def test_what_json_has_is_written_as_json() -> None:
    value = {"a": [1, 0.5, True, None, "나무"], "b": {"c": []}}
    assert dump_text(value) == json.dumps(value, ensure_ascii=False)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (float("nan"), '{"$float": "nan"}'),
        (float("-inf"), '{"$float": "-inf"}'),
        (b"\x00\xff", '{"$bytes": "AP8="}'),
        (datetime(2026, 1, 2, 3, tzinfo=SEOUL), '{"$time": "2026-01-02T03:00:00+09:00"}'),
        ({1: "road"}, '{"$dict": [[1, "road"]]}'),
        ({"$a": 1}, '{"$dict": [["$a", 1]]}'),
        (np.array([[1, 2]], np.uint8), '{"$array": [[1, 2]], "dtype": "uint8", "shape": [1, 2]}'),
        (np.array([np.inf], np.float32), '{"$array": [{"$float": "inf"}], "dtype": "float32", "shape": [1]}'),
    ],
    ids=ascii,
)
def test_what_json_has_not_is_an_object_with_a_dollar(value: Any, text: str) -> None:
    assert dump_text(value) == text


@pytest.mark.parametrize("array", [np.zeros((2, 0, 3), np.int8), np.arange(6).reshape(2, 3), np.array(5.0)], ids=ascii)
def test_arrays_inside_come_back_with_dtype_and_shape(array: np.ndarray) -> None:
    found = load_text(dump_text({"a": array}))["a"]
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert np.array_equal(found, array)


class Colour(enum.IntEnum):
    RED = 1


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.float32(0.5), 0.5),
        (np.int8(3), 3),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.datetime64("2026-01-02"), datetime(2026, 1, 2)),
        (date(2026, 1, 2), datetime(2026, 1, 2)),
        (Colour.RED, 1),
        ((1, (2,)), [1, [2]]),
        (bytearray(b"a"), b"a"),
    ],
    ids=ascii,
)
def test_values_with_a_plain_form_come_back_in_it(value: Any, plain: Any) -> None:
    assert same(load_text(dump_text([value])), [plain])


def test_a_form_of_a_newer_version_is_left_as_it_is() -> None:
    assert load_text('{"a": {"$decimal": "1.5"}}') == {"a": {"$decimal": "1.5"}}


@pytest.mark.parametrize(
    "value", [{1, 2}, 1j, object(), np.array(["a"]), np.timedelta64(1, "s")], ids=lambda value: type(value).__name__
)
def test_what_has_no_form_is_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError):
        dump_text({"a": [value]})


def test_a_list_that_holds_itself_is_a_type_error() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(TypeError, match="holds itself"):
        dump_text(value)


def test_objects_inside_are_what_they_are_said_to_stand_for() -> None:
    class Two:
        """An object of another library."""

    def adapt(value: Any) -> Any:
        return 2 if isinstance(value, Two) else value

    assert load_text(dump_text({"a": [Two()], "b": {1: Two()}, "c": np.int8(3)}, adapt)) == {
        "a": [2],
        "b": {1: 2},
        "c": 3,
    }
    with pytest.raises(TypeError, match="a Two inside cannot be stored"):
        dump_text([Two()])
