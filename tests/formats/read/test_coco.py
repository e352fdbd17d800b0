from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

import maskl
from maskl.errors import ConversionWarning, CorruptData, InvalidValue, LeftOutWarning, NotFound
from maskl.formats.coco.panoptic import sniff as is_panoptic
from maskl.formats.coco.rle import sniff as is_rle
from maskl_storage.format.segments import Segment
from tests.formats.read.hostile import bomb, edit, refused, save, skipped
from tests.formats.write.pictured import bring

#: 2 × 3 pixels, down the columns: 1 4 1
RLE = {"size": [2, 3], "counts": [1, 4, 1]}
CATEGORIES = [{"id": 1, "name": "사람", "color": [1, 2, 255]}, {"id": 5, "name": "car"}]


@pytest.fixture
def rle(tmp_path: Path) -> Path:
    """Two images with an annotation each, and one without."""
    source = tmp_path / "source"
    for index in range(3):
        save(source / "images" / f"{index}.png", np.full((2, 3, 3), index))
    body = {
        "images": [{"id": f"i{i}", "file_name": f"{i}.png", "width": 3, "height": 2} for i in range(3)],
        "annotations": [
            {"id": i + 1, "image_id": f"i{i}", "category_id": 5, "segmentation": dict(RLE)} for i in range(2)
        ],
        "categories": CATEGORIES,
    }
    (source / "instances.json").write_text(json.dumps(body), "utf-8")
    return source


@pytest.fixture
def panoptic(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    for index in range(2):
        save(source / "images" / f"{index}.png", np.full((2, 3, 3), index))
        # segments 1 and 257, and one pixel of none
        save(source / "panoptic_val" / f"{index}.png", [[[1, 0, 0]] * 3, [[1, 1, 0], [1, 1, 0], [0, 0, 0]]])
    segments = [{"id": 1, "category_id": 5}, {"id": 257, "category_id": 1}]
    body = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 3, "height": 2} for i in range(2)],
        "annotations": [{"image_id": i, "file_name": f"{i}.png", "segments_info": segments} for i in range(2)],
        "categories": CATEGORIES,
    }
    (source / "panoptic_val.json").write_text(json.dumps(body), "utf-8")
    return source


def test_a_foreign_file_becomes_masks_with_its_categories(rle: Path) -> None:
    found, rows = bring(rle, "coco-rle")
    assert found.rows == {"source": 3}
    assert [row["file_name"] for row in rows] == ["0.png", "1.png", "2.png"]
    mask = rows[0]["image"].masks["ground_truth"]
    assert mask.class_data.tolist() == [[0, 5, 5], [5, 5, 0]]
    assert mask.mask_data.tolist() == [[0, 256, 256], [256, 256, 0]]
    assert mask.mask_data.dtype == np.uint16
    assert mask.segments == (Segment(256, 5, pixels=4, bbox=(0, 0, 3, 2)),)
    assert mask.class_labels == {0: "background", 1: "사람", 5: "car"}
    assert mask.class_set[1].color == "#0102ff"
    assert rows[2]["image"].masks == {}
    assert is_rle(rle)
    assert is_rle(rle / "instances.json")
    assert not is_panoptic(rle)


def test_the_smaller_of_two_annotations_is_on_top(rle: Path) -> None:
    def overlap(body: dict[str, Any]) -> None:
        for counts, category in (([0, 1, 5], 1), ([0, 6], 5), ([3, 1, 2], 1)):
            segmentation = {"size": [2, 3], "counts": counts}
            body["annotations"].append({"image_id": "i2", "category_id": category, "segmentation": segmentation})

    edit(rle / "instances.json", overlap)
    with pytest.warns(ConversionWarning, match="2 pixels belonged to several annotations"):
        _, rows = bring(rle, "coco-rle")
    mask = rows[2]["image"].masks["ground_truth"]
    assert mask.class_data.tolist() == [[1, 5, 5], [5, 1, 5]]
    assert mask.mask_data.tolist() == [[256, 257, 257], [257, 258, 257]]


def test_polygons_cover_what_pycocotools_says(rle: Path) -> None:
    shape = [[0.2, 0.1, 2.9, 0.4, 1.5, 2]]

    def outline(body: dict[str, Any]) -> None:
        body["annotations"][1]["segmentation"] = [*shape, [0, 1, 1, 1, 1, 2, 0, 2]]

    edit(rle / "instances.json", outline)
    _, rows = bring(rle, "coco-rle")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools' arrays do not know NumPy 2's copy keyword
        wanted = coco_mask.decode(coco_mask.frPyObjects(shape, 2, 3))[:, :, 0]
    wanted[1, 0] = 1
    assert rows[1]["image"].masks["ground_truth"].class_data.tolist() == (5 * wanted).tolist()


def test_images_may_stand_elsewhere(rle: Path) -> None:
    (rle / "images").rename(rle.parent / "val2017")
    refused(rle, "coco-rle", "instances.json, row 0", "no file 'images/0.png'", "--images")
    _, rows = bring(rle, "coco-rle", images=str(rle.parent / "val2017"))
    assert len(rows) == 3


def change(place: str, index: int, **values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda body: body[place][index].update(values)


def counts(value: Any, size: list[int] | None = None) -> Callable[[dict[str, Any]], None]:
    return change("annotations", 1, segmentation={"size": size or [2, 3], "counts": value})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (counts([1, 400, 1]), "a run of 400 pixels leaves the 3×2 image"),
        (counts([1, 10**30, 1]), "leaves the 3×2 image"),
        (counts([1, 4]), "add up to 5 pixels; the 3×2 image has 6"),
        (counts([1, 5, 1]), "add up to 7 pixels"),
        (counts([1, -4, 9]), "counts must be text or whole numbers"),
        (counts("1m1"), "a run of 61 pixels"),
        (counts("141", [3, 2]), "size [3, 2] is not the image's, [2, 3]"),
        (counts("141", [65000, 65000]), "size [65000, 65000] is not the image's"),
        (counts("14\x7f"), "characters '0' to 'o'"),
        (counts("한"), "ASCII"),
        (counts("1o"), "end within a number"),
        (counts("o" * 14 + "0"), "64 bits"),
        (counts(None), "counts must be text"),
        (change("annotations", 1, segmentation=[[0, 0, 1]]), "a polygon is a list of at least three"),
        (change("annotations", 1, segmentation=[[0, 0, 1, 1, 2, 2, 3]]), "a polygon is a list of at least three"),
        (change("annotations", 1, segmentation=[[0, 0, 1, 1, 2, "2"]]), "a polygon is a list of at least three"),
        (change("annotations", 1, segmentation=[[0, 0, 1, 1, 2, 9e9]]), "farther away from the 3×2 image"),
        (change("annotations", 1, segmentation=[[0, 0, 1, 1, 2, 10**400]]), "out of range"),
        (change("annotations", 1, segmentation="141"), "size and counts are needed"),
        (change("annotations", 1, segmentation=None, bbox=[0, 0, 1]), "bbox: x, y, width and height are needed"),
        (change("annotations", 1, segmentation=[], bbox=[0, 0, -1, 1]), "no size below 0"),
        (change("annotations", 1, segmentation=[], bbox=[0, 0, 1e308, 1e309]), "finite numbers are needed"),
        (change("annotations", 1, segmentation=[], bbox=[0, 0, 1, 10**400]), "a number is out of range"),
        (change("annotations", 1, category_id=2), "there is no category 2"),
        (change("annotations", 1, category_id=True), "there is no category True"),
        (change("images", 1, width=4), "1.png is 3×2"),
        (change("images", 1, width=65000, height=65000), "claims 65000×65000 pixels"),
        (change("images", 1, width="3"), "needs a width and a height"),
        (change("images", 1, file_name="missing.png"), "no file 'images/missing.png'"),
        (change("images", 1, file_name="../secret.png"), "leads out of"),
        (change("images", 1, file_name="link.png"), "through a link"),
        (change("images", 1, file_name="folder/secret.png"), "through a link"),
        (change("images", 1, file_name="bomb.png"), "claims 65000×65000 pixels"),
        (change("images", 1, file_name="text.png"), "is not an image"),
        (change("images", 1, file_name=None), "a file's name is needed"),
        (change("images", 1, file_name="C:\\x.png"), "leads out of"),
        (change("images", 1, caption=5), "caption must be a string"),
    ],
)
def test_a_bad_image_is_named_with_file_and_row(
    rle: Path, spoil: Callable[[dict[str, Any]], None], message: str
) -> None:
    save(rle.parent / "secret.png", np.zeros((2, 3)))
    (rle / "images" / "link.png").symlink_to(rle.parent / "secret.png")
    (rle / "images" / "folder").symlink_to(rle.parent)
    (rle / "images" / "text.png").write_text("no image")
    bomb(rle / "images" / "bomb.png")
    edit(rle / "instances.json", spoil)
    refused(rle, "coco-rle", "instances.json, row 1", message)
    skipped(rle, "coco-rle", 2, "instances.json, row 1", message)


def test_an_annotation_of_no_image_is_named(rle: Path) -> None:
    edit(rle / "instances.json", change("annotations", 1, image_id="i9"))
    refused(rle, "coco-rle", "row 1", "annotation 1 is of image 'i9', and there is none")
    skipped(rle, "coco-rle", 3, "annotation 1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": [', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "an object is needed"),
        ('{"images": [], "annotations": {}, "categories": []}', "annotations: a list of objects"),
        ('{"images": [1], "annotations": [], "categories": []}', "images: a list of objects"),
        ('{"images": [{"id": []}], "annotations": [], "categories": []}', "images[0]: id"),
        ('{"images": [{"id": 1}, {"id": 1}], "annotations": [], "categories": []}', "id 1 occurs twice"),
        ('{"images": [], "annotations": [], "categories": [{"id": "1", "name": "a"}]}', "categories[0]: id"),
        ('{"images": [], "annotations": [], "categories": [{"id": 4294967296, "name": "a"}]}', "32 bits"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1}]}', "categories[0]: name"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a", "color": [1]}]}', "color"),
        ('{"images": [], "annotations": [], "categories": [], "info": {"maskl": 1, "columns": 5}}', "info"),
        (
            '{"images": [], "annotations": [], "categories": [], "info": {"maskl": 1, "metadata": 5}}',
            "info.metadata",
        ),
        ('{"images": [], "annotations": [], "categories": []}', "holds nothing to import"),
    ],
)
def test_a_file_that_is_no_coco_file_is_refused_also_without_its_bad_rows(
    tmp_path: Path, text: str, message: str
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name, kind in (("annotations.json", "coco-rle"), ("panoptic.json", "coco-panoptic")):
        (source / name).write_text(text, "utf-8")
        refused(source, kind, message)
        with pytest.raises(maskl.errors.MasklError):
            maskl.importing.importer.import_dataset(source, format=kind, dir=tmp_path / "x", skip_bad=True)
        assert not (tmp_path / "x").exists()


def test_a_foreign_panoptic_file_becomes_masks(panoptic: Path) -> None:
    _, rows = bring(panoptic, "coco-panoptic")
    mask = rows[1]["image"].masks["ground_truth"]
    assert mask.mask_data.tolist() == [[1, 1, 1], [257, 257, 0]]
    assert mask.class_data.tolist() == [[5, 5, 5], [1, 1, 0]]
    assert [(segment.id, segment.class_id) for segment in mask.segments] == [(1, 5), (257, 1)]
    assert mask.class_labels == {0: "void", 1: "사람", 5: "car"}
    assert mask.ignore_index == {0}
    assert is_panoptic(panoptic)
    assert not is_rle(panoptic)


def segments(*pairs: tuple[Any, Any]) -> Callable[[dict[str, Any]], None]:
    return change("annotations", 1, segments_info=[{"id": a, "category_id": b} for a, b in pairs])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (segments((1, 5)), "segment 257 is in 1.png and not in segments_info"),
        (segments((1, 5), (257, 1), (3, 1)), "segment 3 is not in 1.png but in segments_info"),
        (segments((1, 5), (257, 2)), "there is no category 2"),
        (segments((1, 5), (1, 5)), "segment 1 occurs twice"),
        (segments((0, 5)), "a number from 1"),
        (segments(("1", 5)), "a number from 1"),
        (change("annotations", 1, segments_info=5), "segments_info: a list"),
        (change("annotations", 1, segments_info=[5]), "an object is needed"),
        (change("annotations", 1, void=9), "void: there is no category 9"),
        (change("annotations", 1, image_id=0), "image 0 has 2 annotations"),
        (change("annotations", 1, file_name="small.png"), "small.png is 1×1; panoptic_val.json says 3×2"),
        (change("annotations", 1, file_name="grey.png"), "mode L; RGB is needed"),
        (change("annotations", 1, file_name="bomb.png"), "too many pixels"),
        (change("annotations", 1, file_name="../secret.png"), "leads out of"),
        (change("annotations", 1, file_name="link.png"), "through a link"),
        (change("annotations", 1, file_name="gone.png"), "no file 'panoptic_val/gone.png'"),
        (change("annotations", 1, file_name="torn.png"), "no picture that Pillow can read"),
    ],
)
def test_a_bad_panoptic_annotation_is_named_with_file_and_row(
    panoptic: Path, spoil: Callable[[dict[str, Any]], None], message: str
) -> None:
    folder = panoptic / "panoptic_val"
    save(panoptic.parent / "secret.png", np.zeros((2, 3, 3)))
    (folder / "link.png").symlink_to(panoptic.parent / "secret.png")
    save(folder / "small.png", np.zeros((1, 1, 3)))
    save(folder / "grey.png", np.zeros((2, 3)))
    (folder / "torn.png").write_bytes((folder / "1.png").read_bytes()[:50])
    bomb(folder / "bomb.png")
    edit(panoptic / "panoptic_val.json", spoil)
    row = 0 if "2 annotations" in message else 1
    refused(panoptic, "coco-panoptic", f"panoptic_val.json, row {row}", message)
    skipped(panoptic, "coco-panoptic", 1, f"panoptic_val.json, row {row}", message)


@pytest.mark.parametrize("value", [{"a": {"$array": 1}}, {"a": {"$time": 5}}, {"a": {"$float": "x"}}, [1]])
def test_a_value_that_maskl_did_not_write_is_named(rle: Path, value: Any) -> None:
    def spoil(body: dict[str, Any]) -> None:
        body["info"] = {"maskl": 1, "metadata": {"version": "1.0.0", "columns": {}}}
        body["images"][1]["columns"] = value

    edit(rle / "instances.json", spoil)
    refused(rle, "coco-rle", "instances.json, row 1")
    skipped(rle, "coco-rle", 2, "instances.json, row 1")


def test_errors_are_of_the_class_that_says_what_is_wrong(rle: Path) -> None:
    for spoil, kind in (
        (counts("1o"), CorruptData),
        (counts("141", [1, 1]), InvalidValue),
        (change("images", 1, file_name="gone.png"), NotFound),
    ):
        text = (rle / "instances.json").read_text("utf-8")
        edit(rle / "instances.json", spoil)
        with pytest.raises(kind):
            bring(rle, "coco-rle")
        (rle / "instances.json").write_text(text, "utf-8")


def test_an_annotation_that_smaller_ones_cover_is_no_segment_and_said(rle: Path) -> None:
    def cover(body: dict[str, Any]) -> None:
        for some in ([0, 6], [0, 3, 3], [3, 3]):
            segmentation = {"size": [2, 3], "counts": some}
            body["annotations"].append({"image_id": "i2", "category_id": 5, "segmentation": segmentation})

    edit(rle / "instances.json", cover)
    with (
        pytest.warns(ConversionWarning, match="6 pixels belonged to several annotations"),
        pytest.warns(LeftOutWarning, match="a pixel that is none of a smaller one's"),
    ):
        found, rows = bring(rle, "coco-rle")
    assert found.unused == (
        "annotations without a pixel that is none of a smaller one's, which are no segments: 1, such as 2.png",
    )
    mask = rows[2]["image"].masks["ground_truth"]
    assert [(one.id, one.pixels) for one in mask.segments] == [(257, 3), (258, 3)]


def test_things_and_crowds_come_in(panoptic: Path) -> None:
    def say(body: dict[str, Any]) -> None:
        body["categories"][0]["isthing"], body["categories"][1]["isthing"] = 0, 1
        body["annotations"][1]["segments_info"][0] |= {"iscrowd": 1, "area": 3, "bbox": [0, 0, 3, 1]}

    edit(panoptic / "panoptic_val.json", say)
    _, rows = bring(panoptic, "coco-panoptic")
    mask = rows[1]["image"].masks["ground_truth"]
    assert {item.id: item.isthing for item in mask.class_set} == {0: None, 1: False, 5: True}
    assert [segment.iscrowd for segment in mask.segments] == [True, False]


@pytest.mark.parametrize("kind", ["coco-rle", "coco-panoptic"])
def test_what_came_in_goes_out_and_comes_back(request: pytest.FixtureRequest, tmp_path: Path, kind: str) -> None:
    source = request.getfixturevalue(kind.removeprefix("coco-"))

    def say(body: dict[str, Any]) -> None:
        body["categories"][1]["isthing"] = 1
        body["annotations"][0]["iscrowd"] = 1

    edit(source / ("instances.json" if kind == "coco-rle" else "panoptic_val.json"), say)
    _, before = bring(source, kind)
    for form in ("coco-rle", "coco-panoptic"):
        folder = tmp_path / form
        folder.mkdir()
        maskl.open(tmp_path / "imported").export("source", folder / "once", form)
        _, after = bring(folder / "once", form)
        for mine, theirs in zip(before, after, strict=True):
            assert theirs["image"].masks == mine["image"].masks
            assert theirs["file_name"] == mine["file_name"]
            for key, mask in mine["image"].masks.items():
                assert theirs["image"].masks[key].class_set == mask.class_set


def test_of_what_older_exports_say_of_things_nothing_is_taken(rle: Path) -> None:
    def older(body: dict[str, Any]) -> None:
        body["info"] = {"maskl": 1}
        body["categories"][1]["isthing"] = 0

    edit(rle / "instances.json", older)
    mask = bring(rle, "coco-rle")[1][0]["image"].masks["ground_truth"]
    assert mask.segments is None
    assert mask.mask_data.tolist() == [[0, 5, 5], [5, 5, 0]]
    assert {item.isthing for item in mask.class_set} == {None}
