"""Masks: from arrays and files, with every dtype, and nothing shared with the caller."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

from maskl import ImageMask
from maskl.errors import ConversionWarning, InvalidType, InvalidValue, MasklError

DTYPES = ["?", "u1", "i1", "<u2", ">u2", "<i2", ">i2", "<u4", ">u4", "<i4", ">i4", "<u8", ">u8", "<i8", ">i8"]
EYE = np.eye(4, dtype=np.uint8)


@pytest.mark.parametrize("make", [lambda val: ImageMask(val, "k"), ImageMask.validate], ids=["made", "validated"])
def test_keys_that_a_mask_does_not_have_are_named_with_a_warning(make: Callable[[Any], Any]) -> None:
    val = {"mask_data": EYE, "class_label": {0: "a"}, "마스크": 3, 5: 1}
    words = "a mask has the keys 'class_label', '마스크', 5, which are not kept: known are mask_data, path"
    with pytest.warns(ConversionWarning, match=words) as caught:
        made = make(val)
    assert [warning.filename for warning in caught] == [__file__]
    assert made is True or made == ImageMask({"mask_data": EYE}, "k")


def test_the_type_is_called_mask() -> None:
    assert ImageMask.type_name() == "mask"
    assert ImageMask({"mask_data": EYE}, "k").type_name() == "mask"


@pytest.mark.parametrize(
    "val",
    [
        {"mask_data": EYE},
        {"mask_data": [[0, 1], [1, 0]]},
        {"mask_data": EYE, "class_labels": {0: "a"}, "ignore_index": 255, "statistics": True},
        {"mask_data": EYE, "class_labels": None, "ignore_index": [1, 2], "statistics": None},
        {"path": "somewhere.png"},
    ],
    ids=str,
)
def test_validate_says_true_for_what_a_mask_can_be_made_from(val: dict[str, Any]) -> None:
    mask = ImageMask({"mask_data": EYE}, "k")
    assert ImageMask.validate(val) is True
    assert mask.validate(val) is True


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_is_kept(dtype: str) -> None:
    array = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype)
    mask = ImageMask({"mask_data": array}, "k")
    assert mask.mask_data.dtype == array.dtype
    assert np.array_equal(mask.mask_data, array)
    assert mask.shape == (2, 3)


@pytest.mark.parametrize("dtype", ["f2", "f4", ">f4", "f8"])
def test_whole_floats_become_integers(dtype: str) -> None:
    mask = ImageMask({"mask_data": np.array([[0, 255], [-1, 7]], dtype)}, "k")
    assert mask.mask_data.dtype == np.int32
    assert mask.mask_data.tolist() == [[0, 255], [-1, 7]]


def test_nested_lists_are_masks() -> None:
    assert ImageMask({"mask_data": [[0, 1], [2, 3]]}, "k").mask_data.tolist() == [[0, 1], [2, 3]]


def test_the_callers_array_is_neither_kept_nor_changed() -> None:
    array = np.zeros((3, 3), np.uint8)
    mask = ImageMask({"mask_data": array}, "k")
    assert not np.shares_memory(mask.mask_data, array)
    array[:] = 9
    assert mask.mask_data.max() == 0
    assert array.flags.writeable


def test_the_callers_dict_is_neither_kept_nor_changed() -> None:
    labels = {0: "off", 1: "on"}
    ignored = [255]
    val = {"mask_data": EYE, "class_labels": labels, "ignore_index": ignored}
    mask = ImageMask(val, "k")
    assert val == {"mask_data": EYE, "class_labels": labels, "ignore_index": ignored}
    assert labels == {0: "off", 1: "on"}
    labels[0] = "changed"
    ignored.append(7)
    assert mask.class_labels == {0: "off", 1: "on"}
    assert mask.ignore_index == {255}


def test_what_a_mask_returns_cannot_change_it() -> None:
    mask = ImageMask({"mask_data": EYE, "class_labels": {0: "a"}}, "k")
    mask.class_labels[5] = "b"
    assert mask.class_labels == {0: "a"}
    mask.mask_data[0, 0] = 9
    assert np.array_equal(mask.mask_data, EYE)


def test_labels_default_to_the_ids_that_are_present() -> None:
    mask = ImageMask({"mask_data": np.array([[7, -1], [300, 7]])}, "k")
    assert mask.class_labels == {-1: "class_-1", 7: "class_7", 300: "class_300"}


def test_given_labels_are_kept_whether_present_or_not() -> None:
    mask = ImageMask({"mask_data": EYE, "class_labels": {0: "사람", 9: "나무"}}, "예측값")
    assert mask.class_labels == {0: "사람", 9: "나무"}
    assert mask.key == "예측값"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, set()),
        (255, {255}),
        ([0, -1], {0, -1}),
        ((3,), {3}),
        ({4}, {4}),
        (np.uint8(255), {255}),
        (np.array([1, 2]), {1, 2}),
        ([], set()),
    ],
    ids=str,
)
def test_ignore_index_is_an_id_or_several(given: Any, expected: set[int]) -> None:
    assert ImageMask({"mask_data": EYE, "ignore_index": given}, "k").ignore_index == expected


def test_a_float_class_id_of_300_stays_300() -> None:
    mask = ImageMask({"mask_data": np.array([[300.0, 44.0]]), "class_labels": {300.0: "a", 44: "b"}}, "k")
    assert mask.mask_data.tolist() == [[300, 44]]
    assert mask.class_labels == {300: "a", 44: "b"}


# --- files --------------------------------------------------------------------------------------


def saved(path: Path, array: np.ndarray[Any, Any], mode: str) -> Path:
    image = PILImage.fromarray(array)
    assert image.mode == mode
    image.save(path)
    return path


@pytest.mark.parametrize(
    ("name", "array", "mode"),
    [
        ("L.png", np.array([[0, 255], [7, 1]], np.uint8), "L"),
        ("bool.png", np.array([[True, False], [False, True]]), "1"),
        ("wide.png", np.array([[0, 65535], [300, 1]], np.uint16), "I;16"),
        ("deep.tiff", np.array([[0, -1], [1 << 30, 1]], np.int32), "I"),
        ("L.bmp", np.array([[0, 255], [7, 1]], np.uint8), "L"),
    ],
)
@pytest.mark.parametrize("as_text", [True, False])
def test_mask_files_keep_ids_and_dtype(
    tmp_path: Path, name: str, array: np.ndarray[Any, Any], mode: str, as_text: bool
) -> None:
    path = saved(tmp_path / name, array, mode)
    mask = ImageMask({"path": str(path) if as_text else path}, "k")
    assert mask.mask_data.dtype == array.dtype
    assert np.array_equal(mask.mask_data, array)


def test_a_mask_file_keeps_its_class_labels(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.png", EYE, "L")
    given = {"path": str(path), "class_labels": {0: "off", 1: "on"}, "ignore_index": 0}
    mask = ImageMask(given, "k")
    assert mask.class_labels == {0: "off", 1: "on"}
    assert mask.ignore_index == {0}
    assert given == {"path": str(path), "class_labels": {0: "off", 1: "on"}, "ignore_index": 0}


@pytest.mark.parametrize("colors", [2, 5, 200])
def test_palette_masks_are_their_indices(tmp_path: Path, colors: int) -> None:
    indices = (np.arange(400).reshape(20, 20) % colors).astype(np.uint8)
    image = PILImage.fromarray(indices).convert("P")
    image.putdata(indices.ravel().tolist())
    image.putpalette([value for index in range(colors) for value in (255 - index, index, 128)])
    image.save(tmp_path / "p.png")
    with PILImage.open(tmp_path / "p.png") as file:
        assert file.mode == "P"
    mask = ImageMask({"path": tmp_path / "p.png"}, "k")
    assert mask.mask_data.dtype == np.uint8
    assert np.array_equal(mask.mask_data, indices)


def test_a_mask_file_is_read_when_the_mask_is_made(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.png", EYE, "L")
    mask = ImageMask({"path": path}, "k")
    path.unlink()
    assert np.array_equal(mask.mask_data, EYE)


def test_a_mask_is_equal_to_one_of_the_same_pixels_labels_and_key() -> None:
    val = {"mask_data": EYE, "class_labels": {0: "a"}}
    assert ImageMask(val, "k") == ImageMask(val, "k")
    assert ImageMask(val, "k") != ImageMask(val, "other")
    assert ImageMask(val, "k") != ImageMask({**val, "mask_data": EYE.astype(int)}, "k")
    assert ImageMask(val, "k") != ImageMask({**val, "class_labels": {0: "b"}}, "k")
    assert ImageMask(val, "k") != ImageMask({**val, "ignore_index": 0}, "k")


def test_repr_says_key_and_size() -> None:
    assert repr(ImageMask({"mask_data": np.zeros((3, 5), int)}, "truth")) == "<ImageMask 'truth' 5×3>"


# --- refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("val", "error", "words"),
    [
        (None, InvalidType, "a mask must be a dictionary"),
        (EYE, InvalidType, "a mask must be a dictionary"),
        ({}, InvalidType, 'Missing key "mask_data": '),
        ({"class_labels": {0: "a"}}, InvalidType, 'Missing key "mask_data": '),
        ({"mask_data": None}, InvalidType, "mask_data must be a 2D array"),
        ({"mask_data": 3}, InvalidType, "mask_data must be a 2D array"),
        ({"mask_data": [1, 2]}, InvalidType, "mask_data must be a 2D array"),
        ({"mask_data": np.zeros((2, 2, 3), int)}, InvalidType, "mask_data must be a 2D array; got 3 dimensions"),
        ({"mask_data": [[1, 2], [3]]}, InvalidType, "mask_data must be a 2D array; its rows differ in length"),
        ({"mask_data": [[]]}, InvalidValue, "mask_data is empty: shape (1, 0)"),
        ({"mask_data": np.zeros((0, 5), int)}, InvalidValue, "mask_data is empty: shape (0, 5)"),
        ({"mask_data": [["a"]]}, InvalidType, "integers or booleans"),
        ({"mask_data": [[None]]}, InvalidType, "integers or booleans"),
        ({"mask_data": [[1j]]}, InvalidType, "integers or booleans"),
        ({"mask_data": [[0.5]]}, InvalidType, "fractions, such as 0.5"),
        ({"mask_data": [[float("nan")]]}, InvalidValue, "NaN or infinity"),
        ({"mask_data": [[float("inf")]]}, InvalidValue, "NaN or infinity"),
        ({"mask_data": [[2.0**31]]}, InvalidValue, "signed 32 bits"),
        ({"mask_data": [[1 << 31]]}, InvalidValue, "signed 32 bits"),
        ({"mask_data": [[-(1 << 31) - 1]]}, InvalidValue, "signed 32 bits"),
        ({"mask_data": np.array([[1 << 63]], np.uint64)}, InvalidValue, "9223372036854775808"),
        ({"mask_data": EYE, "path": "x.png"}, InvalidValue, "either 'mask_data' or 'path'"),
        ({"mask_data": EYE, "statistics": "yes"}, InvalidType, "statistics must be True, False or None"),
        ({"mask_data": EYE, "ignore_index": 0.5}, InvalidType, "must be an integer"),
        ({"mask_data": EYE, "ignore_index": "255"}, InvalidType, "must be an integer"),
        ({"mask_data": EYE, "ignore_index": True}, InvalidType, "must be an integer"),
        ({"mask_data": EYE, "ignore_index": [1 << 31]}, InvalidValue, "signed 32 bits"),
        ({"path": 3}, InvalidType, "path must be a string or a path; got 3"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_mask_is_refused(val: Any, error: type[MasklError], words: str) -> None:
    with pytest.raises(error) as caught:
        ImageMask(val, "k")
    assert words in str(caught.value)
    if not (isinstance(val, dict) and "path" in val):
        with pytest.raises(error):
            ImageMask.validate(val)


@pytest.mark.parametrize("key", [None, 3, "", b"k"])
def test_a_key_is_a_string_that_is_not_empty(key: Any) -> None:
    with pytest.raises(InvalidType, match="key must be a string"):
        ImageMask({"mask_data": EYE}, key)


@pytest.mark.parametrize(("mode", "name"), [("RGB", "m.png"), ("RGBA", "m.png"), ("LA", "m.png"), ("F", "m.tiff")])
def test_a_file_of_colours_is_refused(tmp_path: Path, mode: str, name: str) -> None:
    PILImage.new(mode, (3, 3)).save(tmp_path / name)
    with pytest.raises(InvalidType, match=f"{name} is a {mode} image; a mask file holds one class id a pixel"):
        ImageMask({"path": tmp_path / name}, "k")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.png"):
        ImageMask({"path": "nowhere.png"}, "k")


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_a_file_that_is_no_image_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "m.png").write_bytes(data)
    with pytest.raises(InvalidValue, match=r"m\.png"):
        ImageMask({"path": tmp_path / "m.png"}, "k")


def test_a_torn_file_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.png", np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8), "L")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InvalidValue, match=r"m\.png"):
        ImageMask({"path": path}, "k")
