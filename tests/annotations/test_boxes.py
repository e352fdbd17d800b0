"""Boxes: come back in the form in which they were logged, and SQL sees corners as fractions of the image."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import maskl
from maskl import BoundingBoxes2D, Classes, Image, Table
from maskl.errors import ConversionWarning, InvalidType, InvalidValue, MasklError

Start = Callable[..., maskl.Run]
FRAME = np.zeros((100, 200, 3), np.uint8)
CORNERS = {"position": {"minX": 0.1, "maxX": 0.3, "minY": 0.2, "maxY": 0.7}, "class_id": 1}
CENTER = {"position": {"middle": [50, 40], "width": 20, "height": 10}, "domain": "pixel", "class_id": 2}
FULL = {
    "position": {"minX": 10, "maxX": 60.5, "minY": -5, "maxY": 120},
    "domain": "pixel",
    "class_id": 0,
    "scores": {"acc": 0.25, "손실": 2},
    "box_caption": "사람 0.25",
}
LABELS = {0: "사람", 1: "car", 2: "나무", 7: "never"}


def image(*boxes: dict[str, Any], key: str = "predictions", **more: Any) -> Image:
    return Image(FRAME, boxes={key: {"box_data": list(boxes), **more}})


@pytest.fixture
def logged(start: Start, store_dir: Path) -> Callable[..., list[Image]]:
    """Log images as rows of a table and read them back."""

    def logged(*images: Image | None) -> list[Image]:
        with start() as run:
            run.log({"t": Table(["image"], [[image] for image in images])})
        return [row["image"] for row in maskl.open(store_dir).table("t")]

    return logged


def test_the_type_has_a_name() -> None:
    assert BoundingBoxes2D.type_name() == "boxes2D"
    assert BoundingBoxes2D.validate({"box_data": [CORNERS], "class_labels": LABELS}) is True


@pytest.mark.parametrize("box", [CORNERS, CENTER, FULL], ids=["corners", "center", "full"])
def test_a_box_comes_back_as_it_was_logged(logged: Callable[..., list[Image]], box: dict[str, Any]) -> None:
    given = image(box, class_labels=LABELS)
    (back,) = logged(given)
    assert given.boxes["predictions"].box_data == [box]
    assert back.boxes["predictions"].box_data == [box]
    assert back.boxes["predictions"].class_labels == LABELS
    assert back == given


FINITE = st.floats(allow_nan=False, allow_infinity=False)
POSITIONS = st.one_of(
    st.fixed_dictionaries(dict.fromkeys(("minX", "maxX", "minY", "maxY"), FINITE)),
    st.fixed_dictionaries({"middle": st.lists(FINITE, min_size=2, max_size=2), "width": FINITE, "height": FINITE}),
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"position": POSITIONS},
            optional={
                "domain": st.just("pixel"),
                "class_id": st.integers(-(1 << 31), (1 << 31) - 1),
                "box_caption": st.text(st.characters(exclude_categories=["Cs"])),
                "scores": st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), FINITE),
            },
        ),
        max_size=4,
    )
)
def test_any_boxes_come_back_exactly(boxes: list[dict[str, Any]]) -> None:
    """Through the column of a part and back, without a file."""
    from maskl_storage.format.boxes import boxes_array, parse_boxes
    from maskl_storage.format.metadata import ClassSet

    made = BoundingBoxes2D({"box_data": boxes}, "k")
    column = boxes_array([None, (made.boxes, ClassSet(), (7, 3)), (made.boxes, ClassSet(), None)])
    assert column[0].as_py() is None
    for stored in (column[1].as_py(), column[2].as_py()):
        assert BoundingBoxes2D.from_stored(parse_boxes(stored), "k", ClassSet()).box_data == boxes


def test_numbers_of_numpy_are_taken(logged: Callable[..., list[Image]]) -> None:
    box = {
        "position": {"middle": np.array([0.5, 0.25], np.float32), "width": np.float16(0.5), "height": np.float64(1)},
        "class_id": np.int64(2),
        "scores": {"a": np.float32(0.5), "b": np.uint8(3), "c": True},
    }
    before = copy.deepcopy(box)
    (back,) = logged(image(box))
    position = {"middle": [0.5, 0.25], "width": 0.5, "height": 1.0}
    expected = {"position": position, "class_id": 2, "scores": {"a": 0.5, "b": 3.0, "c": 1.0}}
    assert back.boxes["predictions"].box_data == [expected]
    assert repr(box) == repr(before)


def test_tensors_are_taken() -> None:
    torch = pytest.importorskip("torch")
    corners = torch.tensor([0.25, 0.5, 0.75, 1.0], requires_grad=True)
    box = {
        "position": dict(zip(("minX", "minY", "maxX", "maxY"), corners, strict=True)),
        "class_id": torch.tensor(3),
        "scores": {"acc": torch.tensor(0.5)},
    }
    center = {"position": {"middle": torch.tensor([5, 6]), "width": 2, "height": 2}, "domain": "pixel"}
    (first, second) = BoundingBoxes2D({"box_data": [box, center]}, "k").box_data
    assert first == {
        "position": {"minX": 0.25, "minY": 0.5, "maxX": 0.75, "maxY": 1.0},
        "class_id": 3,
        "scores": {"acc": 0.5},
    }
    assert second["position"]["middle"] == [5, 6]


def test_no_boxes_and_no_entry_are_two_things(logged: Callable[..., list[Image]], store_dir: Path) -> None:
    empty, none, missing = logged(image(class_labels=LABELS), Image(FRAME), None)
    assert empty.boxes["predictions"].box_data == []
    assert empty.boxes["predictions"].class_labels == LABELS
    assert none.boxes == {}
    assert missing is None
    rows = maskl.sql("SELECT len(image__boxes__predictions) FROM tables.t ORDER BY _row", dir=store_dir).fetchall()
    assert rows == [(0,), (None,), (None,)]


def test_the_callers_dicts_are_neither_kept_nor_changed() -> None:
    box, labels = copy.deepcopy(FULL), {0: "a"}
    given = {"predictions": {"box_data": [box], "class_labels": labels}}
    before = copy.deepcopy(given)
    made = Image(FRAME, boxes=given)
    assert given == before
    box["scores"]["acc"] = 9
    labels[0] = "b"
    given.clear()
    assert made.boxes["predictions"].box_data == [FULL]
    assert made.boxes["predictions"].class_labels == {0: "a"}
    made.boxes["predictions"].box_data[0]["scores"]["acc"] = 9
    assert made.boxes["predictions"].box_data == [FULL]


# --- SQL ----------------------------------------------------------------------------------------


def test_sql_sees_corners_as_fractions_of_the_image(logged: Callable[..., list[Image]], store_dir: Path) -> None:
    logged(image(CORNERS, CENTER, FULL, class_labels=LABELS), image({**CENTER, "class_id": 5}), None)
    query = """
        SELECT b.class_id, b.class_name, b.min_x, b.min_y, b.max_x, b.max_y, b.domain, b.form, b.scores['acc'],
               b.caption, b.position
        FROM (SELECT _row, unnest(image__boxes__predictions) AS b FROM tables.t) ORDER BY _row, b.class_id
    """
    rows = maskl.sql(query, dir=store_dir).fetchall()
    boxes = [(0, "사람", 0.05, -0.05, 0.3025, 1.2), (1, "car", 0.1, 0.2, 0.3, 0.7), (2, "나무", 0.2, 0.35, 0.3, 0.45)]
    boxes.append((5, "class_5", 0.2, 0.35, 0.3, 0.45))
    assert [row[:2] for row in rows] == [box[:2] for box in boxes]
    assert np.allclose([row[2:6] for row in rows], [box[2:] for box in boxes])
    assert [row[6:8] for row in rows] == [
        ("pixel", "corners"),
        ("fractional", "corners"),
        ("pixel", "center"),
        ("pixel", "center"),
    ]
    assert [row[8] for row in rows] == [0.25, None, None, None]
    assert [row[9] for row in rows] == ["사람 0.25", None, None, None]
    assert rows[0][10] == [10, -5, 60.5, 120]


def test_a_reference_has_no_fractions_of_pixels(logged: Callable[..., list[Image]], store_dir: Path) -> None:
    boxes = {"k": {"box_data": [CENTER, CORNERS]}}
    (back,) = logged(Image("s3://bucket/a.png", boxes=boxes))
    assert back.boxes["k"].box_data == [CENTER, CORNERS]
    rows = maskl.sql(
        "SELECT b.min_x, b.max_y FROM (SELECT unnest(image__boxes__k) AS b FROM tables.t)", dir=store_dir
    ).fetchall()
    assert rows == [(None, None), (0.1, 0.7)]


# --- class sets ---------------------------------------------------------------------------------


def test_labels_of_one_key_never_change_those_of_another(logged: Callable[..., list[Image]]) -> None:
    boxes = {
        "a": {"box_data": [CORNERS], "class_labels": {1: "foo"}},
        "b": {"box_data": [CORNERS], "class_labels": {1: "bar"}},
    }
    masks = {"a": {"mask_data": np.ones((100, 200), int), "class_labels": {1: "baz"}}}
    (back,) = logged(Image(FRAME, boxes=boxes, masks=masks))
    assert [back.boxes[key].class_labels for key in "ab"] == [{1: "foo"}, {1: "bar"}]
    assert back.masks["a"].class_labels == {1: "baz"}


def test_rows_keep_their_own_labels(logged: Callable[..., list[Image]], store_dir: Path) -> None:
    names = [{1: "x"}, {1: "y"}, {1: "x", 2: "z"}]
    masks = {"k": {"mask_data": np.ones((100, 200), int), "class_labels": {1: "m"}}}
    other = {"k": {"mask_data": np.ones((100, 200), int), "class_labels": {1: "n"}}}
    images = [
        Image(FRAME, boxes={"k": {"box_data": [CORNERS], "class_labels": labels}}, masks=mask)
        for labels, mask in zip(names, (masks, other, masks), strict=True)
    ]
    back = logged(*images)
    assert [found.boxes["k"].class_labels[1] for found in back] == ["x", "y", "x"]
    assert [found.masks["k"].class_labels[1] for found in back] == ["m", "n", "m"]
    table = maskl.open(store_dir).table("t").to_arrow()
    assert table["image__set__boxes__k"].to_pylist() == [0, 1, 0]
    assert table["image__set__k"].to_pylist() == [0, 1, 0]


def test_parts_with_other_class_sets_are_joined(start: Start, store_dir: Path) -> None:
    for name, labels in (("first", {1: "x"}), ("second", {1: "y"})):
        with start(name=name) as run:
            run.log({"t": image(CORNERS, class_labels=labels)})
    table = maskl.open(store_dir).table("t")
    joined = table.to_arrow()
    assert [row["image"].boxes["predictions"].class_labels for row in table] == [{1: "x"}, {1: "y"}]
    assert joined["image__set__boxes__predictions"].to_pylist() in ([0, 1], [None, 1])
    assert table.columns == ["image", "index"]


def test_boxes_take_the_names_of_the_images_classes(logged: Callable[..., list[Image]]) -> None:
    classes = Classes([{"id": 1, "name": "a", "color": "#010203"}, {"id": 2, "name": "b", "ignore": True}])
    (back,) = logged(Image(FRAME, boxes={"k": {"box_data": [CORNERS]}}, classes=classes))
    assert back.boxes["k"].class_labels == {1: "a", 2: "b"}
    assert back.boxes["k"].class_set == classes.items


def test_own_labels_come_before_the_images_classes(logged: Callable[..., list[Image]]) -> None:
    boxes = {
        "k": {"box_data": [CORNERS, CENTER], "class_labels": {1: "mine"}},
        "other": {"box_data": [CENTER]},
    }
    (back,) = logged(Image(FRAME, boxes=boxes, classes=[{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]))
    assert back.boxes["k"].class_labels == {1: "mine", 2: "b"}
    assert back.boxes["other"].class_labels == {1: "a", 2: "b"}


def test_boxes_without_any_names_have_defaults(logged: Callable[..., list[Image]]) -> None:
    unlabelled = {"position": CORNERS["position"]}
    (back,) = logged(image(CORNERS, CENTER, unlabelled))
    assert back.boxes["predictions"].class_labels == {1: "class_1", 2: "class_2"}
    assert back.boxes["predictions"].box_data == [CORNERS, CENTER, unlabelled]


# --- images and values --------------------------------------------------------------------------


def test_an_image_of_an_image_keeps_its_boxes() -> None:
    first = image(CORNERS)
    assert Image(first).boxes == first.boxes
    assert Image(first, boxes={"k": {"box_data": []}}).boxes.keys() == {"k"}
    assert Image(first, mode="L").boxes == first.boxes


def test_images_that_differ_in_boxes_only_are_not_equal() -> None:
    assert image(CORNERS) == image(CORNERS)
    assert image(CORNERS) != image(CENTER)
    assert image(CORNERS) != Image(FRAME)
    assert image(CORNERS) != image(CORNERS, key="other")
    assert image(CORNERS) != image(CORNERS, class_labels=LABELS)


def test_boxes_may_be_given_as_such() -> None:
    boxes = BoundingBoxes2D({"box_data": [CORNERS]}, "old")
    made = Image(FRAME, boxes={"new": boxes})
    assert made.boxes["new"].key == "new"
    assert boxes.key == "old"
    assert repr(made) == "<Image 200×100 RGB with boxes new>"
    assert repr(boxes) == "<BoundingBoxes2D 'old' 1 boxes>"


def test_boxes_survive_a_pickle(logged: Callable[..., list[Image]]) -> None:
    given = image(FULL, class_labels=LABELS)
    assert pickle.loads(pickle.dumps(given)) == given
    (back,) = logged(given)
    assert pickle.loads(pickle.dumps(back)) == given


def test_a_stored_images_boxes_are_logged_again_as_they_are(start: Start, store_dir: Path) -> None:
    with start(name="first") as run:
        run.log({"t": image(FULL, class_labels=LABELS)})
    stored = maskl.open(store_dir).table("t")[0]["image"]
    with start(name="second") as run:
        run.log({"t": stored})
    again = maskl.open(store_dir).table("t", run="second")[0]["image"]
    assert again == stored
    assert again.boxes["predictions"].class_set == stored.boxes["predictions"].class_set


def test_many_boxes_come_back(logged: Callable[..., list[Image]], store_dir: Path) -> None:
    boxes = [{"position": {"middle": [n, n + 1], "width": 2, "height": 2}, "domain": "pixel"} for n in range(20_000)]
    (back,) = logged(image(*boxes))
    assert back.boxes["predictions"].box_data == boxes
    query = "SELECT count(*) FROM (SELECT unnest(image__boxes__predictions) FROM tables.t)"
    assert maskl.sql(query, dir=store_dir).fetchall() == [(20_000,)]


def test_keys_that_would_clash_get_columns_of_their_own(logged: Callable[..., list[Image]]) -> None:
    mask = {"mask_data": np.ones((100, 200), int)}
    boxes = {"k": {"box_data": [CORNERS]}, "a b/평가": {"box_data": [CENTER]}}
    (back,) = logged(Image(FRAME, masks={"k": mask, "boxes__k": mask}, boxes=boxes))
    assert back.boxes["k"].box_data == [CORNERS]
    assert back.boxes["a b/평가"].box_data == [CENTER]
    assert set(back.masks) == {"k", "boxes__k"}


def test_boxes_of_a_disabled_run_are_parsed_when_somebody_looks() -> None:
    wrong: dict[str, Any] = {"box_data": [{}]}
    with maskl.init(mode="disabled"):
        boxes = BoundingBoxes2D({"box_data": [FULL], "class_labels": LABELS}, "k")
        made = Image(FRAME, boxes={"k": boxes})
        never = BoundingBoxes2D(wrong, "k")
    assert pickle.loads(pickle.dumps(made)).boxes["k"].box_data == boxes.box_data == [FULL]
    with pytest.raises(InvalidType, match="box 0: position must be a dictionary"):
        len(never)


# --- refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("box", "error", "words"),
    [
        (3, InvalidType, "a box must be a dictionary"),
        ({}, InvalidType, "position must be a dictionary with minX"),
        ({"position": None}, InvalidType, "position must be a dictionary with minX"),
        ({"position": [1, 2, 3, 4]}, InvalidType, "position must be a dictionary with minX"),
        ({"position": {"minX": 1, "maxX": 2, "minY": 3}}, InvalidType, "position must be a dictionary with minX"),
        ({"position": {"middle": 5, "width": 1, "height": 1}}, InvalidType, "middle must be two numbers"),
        ({"position": {"middle": [1, 2, 3], "width": 1, "height": 1}}, InvalidType, "middle must be two numbers"),
        (
            {"position": {"middle": [1, "2"], "width": 1, "height": 1}},
            InvalidType,
            "position's middle must be a number",
        ),
        ({"position": {**CORNERS["position"], "minX": "0"}}, InvalidType, "position's minX must be a number; got '0'"),
        ({"position": {**CORNERS["position"], "minX": None}}, InvalidType, "position's minX must be a number"),
        ({"position": {**CORNERS["position"], "maxY": float("nan")}}, InvalidValue, "maxY must be finite; got nan"),
        ({"position": {**CORNERS["position"], "maxY": np.inf}}, InvalidValue, "maxY must be finite; got inf"),
        ({**CORNERS, "domain": "percent"}, InvalidValue, "domain must be 'pixel', or be left out"),
        ({**CORNERS, "domain": 3}, InvalidValue, "domain must be 'pixel', or be left out"),
        ({**CORNERS, "class_id": "1"}, InvalidType, "class_id must be an integer; got '1'"),
        ({**CORNERS, "class_id": 0.5}, InvalidType, "class_id must be an integer; got 0.5"),
        ({**CORNERS, "class_id": 1 << 31}, InvalidValue, "class_id must be within signed 32 bits"),
        ({**CORNERS, "box_caption": 3}, InvalidType, "box_caption must be a string; got 3"),
        ({**CORNERS, "box_caption": "\ud800"}, InvalidValue, "box_caption must be valid Unicode"),
        ({**CORNERS, "scores": [1]}, InvalidType, "scores must be a dictionary of names to numbers"),
        ({**CORNERS, "scores": {1: 2}}, InvalidType, "the name of a score must be a string; got 1"),
        ({**CORNERS, "scores": {"a": "high"}}, InvalidType, "score 'a' must be a number; got 'high'"),
        ({**CORNERS, "scores": {"a": 1j}}, InvalidType, "score 'a' must be a number"),
        ({**CORNERS, "scores": {"a": (1 << 53) + 1}}, InvalidType, "that float64 holds exactly"),
        ({**CORNERS, "scores": {"a": np.array([1, 2])}}, InvalidType, "score 'a' must be a number"),
    ],
    ids=lambda value: ascii(value)[:50],
)
def test_a_wrong_box_is_named(box: Any, error: type[MasklError], words: str) -> None:
    val = {"box_data": [CORNERS, CENTER, box]}
    with pytest.raises(error) as caught:
        Image(FRAME, caption="frame 7", boxes={"예측": val})
    assert str(caught.value).startswith("image 'frame 7': boxes '예측': box 2: ")
    assert words in str(caught.value)
    with pytest.raises(error):
        BoundingBoxes2D.validate(val)


@pytest.mark.parametrize(
    ("val", "error", "words"),
    [
        (None, InvalidType, "boxes must be a dictionary with the key 'box_data'"),
        ([CORNERS], InvalidType, "boxes must be a dictionary with the key 'box_data'"),
        ({}, InvalidType, "box_data must be a list"),
        ({"box_data": CORNERS}, InvalidType, "box_data must be a list"),
        ({"box_data": [], "class_labels": {"1": "a"}}, InvalidType, "Class labels must be a dictionary of numbers"),
        ({"box_data": [], "class_labels": {1: 2}}, InvalidType, "Class labels must be a dictionary of numbers"),
    ],
    ids=lambda value: ascii(value)[:50],
)
def test_what_are_no_boxes_is_refused(val: Any, error: type[MasklError], words: str) -> None:
    with pytest.raises(error) as caught:
        Image(FRAME, boxes={"k": val})
    assert str(caught.value).startswith("image of 200×100: boxes 'k': ")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("boxes", "error", "words"),
    [
        ([CORNERS], InvalidValue, 'Images "boxes" argument must be a dictionary'),
        ({3: {"box_data": []}}, InvalidType, "the key of boxes must be a string; got 3"),
        ({"": {"box_data": []}}, InvalidType, "must be a string that is not empty"),
        ({"A": {"box_data": []}, "a": {"box_data": []}}, InvalidValue, "'A' and 'a' differ only in case"),
    ],
    ids=lambda value: ascii(value)[:50],
)
def test_wrong_keys_are_refused(boxes: Any, error: type[MasklError], words: str) -> None:
    with pytest.raises(error, match=words.replace("'", ".")):
        Image(FRAME, boxes=boxes)


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ({**CORNERS, "label": "x"}, "box 1 has the key 'label', which is not kept"),
        (
            {"position": {**CORNERS["position"], "width": 3}, "class_id": 1},
            "1: position has the key 'width', which is not kept",
        ),
    ],
)
def test_what_a_box_does_not_have_is_left_out_with_a_warning(box: dict[str, Any], words: str) -> None:
    with pytest.warns(ConversionWarning, match=words) as caught:
        made = BoundingBoxes2D({"box_data": [CORNERS, box]}, "k")
    assert [warning.filename for warning in caught] == [__file__]
    assert made.box_data == [CORNERS, CORNERS]


def test_what_boxes_do_not_have_is_left_out_with_a_warning() -> None:
    words = "boxes have the key 'labels', which is not kept: known are box_data, class_labels"
    with pytest.warns(ConversionWarning, match=words):
        made = BoundingBoxes2D({"box_data": [CORNERS], "labels": {}}, "k")
    assert made.box_data == [CORNERS]
