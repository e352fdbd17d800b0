"""Class sets and class labels: parsed once, frozen, refused with words."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from maskl import Classes, ImageMask
from maskl.errors import ConversionWarning, DuplicateNameWarning, InvalidType, InvalidValue, MasklError
from maskl_storage import ClassItem

ROAD = {"id": 0, "name": "road"}


def test_a_class_set_keeps_ids_names_colours_and_ignored_classes() -> None:
    classes = Classes([{"id": 3, "name": "사람", "color": "#4080FF"}, {"id": -1, "name": "void", "ignore": True}])
    assert list(classes) == [ClassItem(3, "사람", "#4080FF"), ClassItem(-1, "void", ignore=True)]
    assert classes.items == tuple(classes)
    assert classes.names == {3: "사람", -1: "void"}
    assert len(classes) == 2


def test_equal_class_sets_are_equal_and_hash_alike() -> None:
    assert Classes([ROAD]) == Classes((ROAD,))
    assert hash(Classes([ROAD])) == hash(Classes([ROAD]))
    assert Classes([ROAD]) != Classes([ROAD, {"id": 1, "name": "car"}])
    assert Classes([ROAD]) != [ROAD]


def test_repr_is_what_made_it() -> None:
    classes = Classes([ROAD, {"id": 255, "name": "void", "ignore": True}])
    assert eval(repr(classes)) == classes


def test_the_callers_list_and_dicts_are_copied_and_not_changed() -> None:
    item: dict[str, Any] = {"id": 0, "name": "road"}
    given = [item]
    classes = Classes(given)
    assert given == [{"id": 0, "name": "road"}]
    item["name"] = "river"
    given.clear()
    assert classes.names == {0: "road"}


def test_any_mapping_and_whole_number_is_taken() -> None:
    classes = Classes([MappingProxyType({"id": np.uint8(7), "name": "a"}), {"id": 8.0, "name": "b"}])
    assert classes.names == {7: "a", 8: "b"}
    assert {type(item.id) for item in classes} == {int}


def test_two_ids_that_share_a_name_are_told_apart() -> None:
    with pytest.warns(DuplicateNameWarning, match="class ids 0 and 1 have one name, 'road'"):
        assert Classes([ROAD, {"id": 1, "name": "road"}]).names == {0: "road", 1: "road (1)"}


def test_a_class_set_may_be_empty() -> None:
    assert len(Classes([])) == 0


@pytest.mark.parametrize(
    ("class_set", "error", "words"),
    [
        ("road", InvalidType, "need a list of dicts"),
        ({0: "road"}, InvalidType, "need a list of dicts"),
        (None, InvalidType, "need a list of dicts"),
        (7, InvalidType, "got int"),
        (["road"], InvalidType, "class 0 must be a dict"),
        ([ROAD, ["x"]], InvalidType, "class 1 must be a dict"),
        ([{"id": 0}], InvalidValue, "class 0 lacks 'name'"),
        ([{"name": "a"}], InvalidValue, "class 0 lacks 'id'"),
        ([{"id": 0, "name": 5}], InvalidType, "the name of class 0 must be a string; got 5"),
        ([{"id": 0, "name": None}], InvalidType, "must be a string"),
        ([{"id": "0", "name": "a"}], InvalidType, "class id must be an integer; got '0'"),
        ([{"id": True, "name": "a"}], InvalidType, "class id must be an integer; got True"),
        ([{"id": 0.5, "name": "a"}], InvalidType, "class id must be an integer; got 0.5"),
        ([{"id": float("nan"), "name": "a"}], InvalidType, "class id must be an integer"),
        ([{"id": float("inf"), "name": "a"}], InvalidType, "class id must be an integer"),
        ([{"id": None, "name": "a"}], InvalidType, "class id must be an integer"),
        ([{"id": 1 << 31, "name": "a"}], InvalidValue, "signed 32 bits; got 2147483648"),
        ([ROAD, {"id": 0, "name": "car"}], InvalidValue, "class id 0 occurs twice: 'road' and 'car'"),
        ([ROAD, {"id": 0.0, "name": "car"}], InvalidValue, "class id 0 occurs twice"),
        ([{**ROAD, "color": "red"}], InvalidValue, "must look like '#4080ff'; got 'red'"),
        ([{**ROAD, "color": "#00000"}], InvalidValue, "color of class 0"),
        ([{**ROAD, "color": 7}], InvalidValue, "color of class 0"),
        ([{**ROAD, "ignore": 1}], InvalidType, "ignore of class 0 must be True or False; got 1"),
        ([{"id": 0, "name": "\ud800"}], InvalidValue, "Unicode"),
    ],
)
def test_what_is_no_class_set_is_refused(class_set: Any, error: type[MasklError], words: str) -> None:
    with pytest.raises(error) as caught:
        Classes(class_set)
    assert words in str(caught.value)


def test_labels_take_any_whole_number_as_key() -> None:
    labels = {0: "a", np.int64(1): "b", 2.0: "c", -1: "d"}
    mask = ImageMask({"mask_data": np.zeros((2, 2), int), "class_labels": labels}, "truth")
    assert mask.class_labels == {0: "a", 1: "b", 2: "c", -1: "d"}
    assert {type(key) for key in mask.class_labels} == {int}


@pytest.mark.parametrize("labels", [["a"], "a", 3, {0: 1}, {"0": "a"}, {None: "a"}, {0.5: "a"}, {True: "a"}, {0: None}])
def test_labels_of_another_kind_are_refused_in_the_known_words(labels: Any) -> None:
    with pytest.raises(TypeError, match=r"^Class labels must be a dictionary of numbers to strings") as caught:
        ImageMask({"mask_data": np.zeros((2, 2), int), "class_labels": labels}, "truth")
    assert isinstance(caught.value, InvalidType)


@pytest.mark.parametrize("key", [1 << 31, -(1 << 31) - 1])
def test_labels_of_ids_out_of_range_are_refused(key: int) -> None:
    with pytest.raises(InvalidValue, match="signed 32 bits"):
        ImageMask({"mask_data": np.zeros((2, 2), int), "class_labels": {key: "a"}}, "truth")


def test_what_a_class_does_not_have_is_left_out_with_a_warning() -> None:
    words = "class 1 has the key 'colour', which is not kept: known are id, name, color, ignore"
    with pytest.warns(ConversionWarning, match=words):
        made = Classes([ROAD, {"id": 9, "name": "a", "colour": "#000000"}])
    assert made == Classes([ROAD, {"id": 9, "name": "a"}])
