from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image as PILImage
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

import maskl
from maskl.errors import InvalidValue, NotFound
from tests.formats.write.pictured import CLASSES, VALUES, Spec, bring, export, logged, names_of, same, tables

SETS = {"ground_truth": [CLASSES, CLASSES], "예측": [CLASSES, CLASSES]}


def kept_rows(store: maskl.Store) -> list[Any]:
    return [row for row in store.table("표") if row["picture"] is not None]


def expected_drops(rows: list[Any], key: str) -> Counter[str]:
    drops: Counter[str] = Counter()
    for row in rows:
        image = row["picture"]
        if image is None:
            drops["rows without an image"] += 1
            continue
        drops.update(f"mask {other!r} of 'picture'" for other in image.masks if other != key)
    return drops


def chosen_key(rows: list[Any]) -> str | None:
    keys = [key for row in rows if row["picture"] is not None for key in row["picture"].masks]
    return "ground_truth" if "ground_truth" in keys else next(iter(keys), None)


def check_equal(before: list[Any], after: list[Any], key: str) -> None:
    assert len(before) == len(after)
    for mine, theirs in zip(before, after, strict=True):
        image, back = mine["picture"], theirs["picture"]
        assert (back.caption, back.reference) == (image.caption, image.reference)
        if image.reference is None:
            assert back.mode == image.mode
            assert back.image.tobytes() == image.image.tobytes()
        assert set(back.masks) == set(image.masks) & {key}
        if key in image.masks:
            assert same(back.masks[key].mask_data, image.masks[key].mask_data)
            assert names_of(back, key) == names_of(image, key)
        for name in VALUES:
            assert same(theirs[name], mine[name]), name


@settings(max_examples=20)
@given(tables())
def test_run_lengths_bring_back_all_but_what_is_listed(specs: list[Spec]) -> None:
    with logged(specs, SETS) as (folder, store):
        rows = list(store.table("표"))
        key = chosen_key(rows)
        if key is None:
            with pytest.raises(InvalidValue, match="image"):
                store.export("표", folder / "once", "coco-rle")
            return
        dropped = export(store, folder, "coco-rle", instances=len(specs) % 2 == 0)
        assert dropped == expected_drops(rows, key)
        _, back = bring(folder / "once", "coco-rle")
        check_equal(kept_rows(store), back, key)


@settings(max_examples=20)
@given(tables())
def test_panoptic_segments_bring_back_all_but_what_is_listed(specs: list[Spec]) -> None:
    with logged(specs, SETS) as (folder, store):
        rows = list(store.table("표"))
        key = chosen_key(rows)
        if key is None:
            return
        dropped = export(store, folder, "coco-panoptic", instances=len(specs) % 2 == 0)
        assert dropped == expected_drops(rows, key)  # each mask has at most one ignored class
        check_panoptic(folder / "once")
        _, back = bring(folder / "once", "coco-panoptic")
        check_equal(kept_rows(store), back, key)


def check_panoptic(folder: Path) -> None:
    """Check what the panoptic form asks for: ids, categories, areas and boxes of segments."""
    body = json.loads((folder / "panoptic.json").read_text("utf-8"))
    categories = {category["id"]: category for category in body["categories"]}
    assert len(categories) == len(body["categories"])
    for category in categories.values():
        assert category["isthing"] in (0, 1)
        assert category["name"]
        assert "supercategory" in category
        assert len(category["color"]) == 3
    images = {image["id"]: image for image in body["images"]}
    assert len({annotation["image_id"] for annotation in body["annotations"]}) == len(body["annotations"])
    for annotation in body["annotations"]:
        image = images[annotation["image_id"]]
        with PILImage.open(folder / "panoptic" / annotation["file_name"]) as png:
            assert png.mode == "RGB"
            assert png.size == (image["width"], image["height"])
            colors = np.array(png, np.uint32)
        ids = colors[:, :, 0] + 256 * colors[:, :, 1] + 256 * 256 * colors[:, :, 2]
        assert {segment["id"] for segment in annotation["segments_info"]} == set(np.unique(ids).tolist()) - {0}
        for segment in annotation["segments_info"]:
            where = ids == segment["id"]
            y, x = np.nonzero(where)
            assert segment["area"] == where.sum() > 0
            assert segment["bbox"] == [x.min(), y.min(), x.max() - x.min() + 1, y.max() - y.min() + 1]
            assert segment["category_id"] in categories
            assert segment["iscrowd"] == 0


@pytest.fixture
def blobs(tmp_path: Path) -> maskl.Store:
    """Three rows with a background, two separate things and an ignored edge."""
    mask = np.zeros((40, 50), np.uint8)
    mask[3:9, 4:11], mask[20:31, 30:33], mask[:, 49] = 1, 1, 255
    with maskl.init(dir=tmp_path / "store", name="run") as run:
        table = maskl.Table(columns=["picture"])
        for shift in range(3):
            masks = {"ground_truth": {"mask_data": np.roll(mask, shift, 0)}}
            table.add_data(maskl.Image(np.full((40, 50, 3), shift, np.uint8), classes=CLASSES, masks=masks))
        run.log({"표": table})
    return maskl.open(tmp_path / "store")


# pycocotools' compiled arrays do not know NumPy 2's copy keyword
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
@pytest.mark.parametrize("instances", [False, True])
def test_pycocotools_finds_the_pixels_that_sql_counts(
    blobs: maskl.Store, tmp_path: Path, instances: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not export(blobs, tmp_path, "coco-rle", instances=instances)
    coco = COCO(tmp_path / "once" / "annotations.json")
    found: Counter[tuple[int, str]] = Counter()
    for annotation in coco.loadAnns(coco.getAnnIds()):
        pixels = coco.annToMask(annotation)
        assert pixels.shape == (40, 50)
        assert annotation["area"] == pixels.sum() == coco_mask.area(annotation["segmentation"])
        assert annotation["bbox"] == coco_mask.toBbox(annotation["segmentation"]).tolist()
        (category,) = coco.loadCats(annotation["category_id"])
        assert annotation["iscrowd"] == (category["name"] == "void")
        found[annotation["image_id"] - 1, category["name"]] += annotation["area"]
    counted = blobs.sql(
        "SELECT dense_rank() OVER (ORDER BY _row) - 1, class_name, pixels FROM class_pixels "
        "WHERE table_name = '표' AND pixels > 0"
    ).fetchall()
    assert dict(found) == {(row, name): pixels for row, name, pixels in counted}
    assert len(coco.getAnnIds(imgIds=[1], catIds=coco.getCatIds(catNms=["sky"]))) == (2 if instances else 1)


def test_instances_are_things_of_the_panoptic_form(blobs: maskl.Store, tmp_path: Path) -> None:
    export(blobs, tmp_path, "coco-panoptic", instances=True)
    check_panoptic(tmp_path / "once")
    body = json.loads((tmp_path / "once" / "panoptic.json").read_text("utf-8"))
    assert {c["name"]: c["isthing"] for c in body["categories"]} == {
        "도로": 1,
        "sky": 1,
        "person, sitting": 1,
        "void": 0,
    }
    first = body["annotations"][0]
    assert [segment["category_id"] for segment in first["segments_info"]] == [0, 1, 1]
    assert first["void"] == 255


def test_colours_come_back_only_where_classes_had_them(blobs: maskl.Store, tmp_path: Path) -> None:
    export(blobs, tmp_path, "coco-rle")
    _, rows = bring(tmp_path / "once", "coco-rle")
    colors = {item.id: item.color for item in rows[0]["picture"].masks["ground_truth"].class_set}
    assert colors == {0: "#10203f", 1: None, 7: None, 255: None}


def test_several_ignored_classes_become_void_and_are_listed(tmp_path: Path) -> None:
    with maskl.init(dir=tmp_path / "store") as run:
        masks = {"truth": {"mask_data": np.array([[0, 254, 255]]), "ignore_index": [254, 255]}}
        run.log({"표": maskl.Image(np.zeros((1, 3), np.uint8), masks=masks)})
    store = maskl.open(tmp_path / "store")
    assert export(store, tmp_path, "coco-panoptic") == {"masks in which several ignored classes became one": 1}
    check_panoptic(tmp_path / "once")
    _, rows = bring(tmp_path / "once", "coco-panoptic")
    assert rows[0]["image"].masks["truth"].mask_data.tolist() == [[0, 254, 254]]


def test_a_mask_of_another_size_is_left_out_and_listed(tmp_path: Path) -> None:
    with maskl.init(dir=tmp_path / "store") as run, pytest.warns(maskl.errors.SizeMismatchWarning):
        run.log({"표": maskl.Image(np.zeros((4, 3), np.uint8), masks={"t": {"mask_data": np.ones((2, 3), int)}})})
    store = maskl.open(tmp_path / "store")
    for kind in ("coco-rle", "coco-panoptic", "cityscapes"):
        folder = tmp_path / kind
        folder.mkdir()
        dropped = export(store, folder, kind)
        assert dropped["masks 't' of another size than their image"] == 1
        assert not bring(folder / "once", kind)[1][0]["image"].masks


def test_one_id_with_two_names_is_refused(tmp_path: Path) -> None:
    with maskl.init(dir=tmp_path / "store") as run:
        for name in ("road", "sky"):
            masks = {"t": {"mask_data": np.zeros((2, 3), int), "class_labels": {0: name}}}
            run.log({"표": maskl.Image(np.zeros((2, 3), np.uint8), masks=masks)})
    store = maskl.open(tmp_path / "store")
    for kind in ("coco-rle", "coco-panoptic", "cityscapes"):
        with pytest.raises(InvalidValue, match="id 0 is 'road' in some rows and 'sky' in others"):
            store.export("표", tmp_path / "out", kind)
        assert not (tmp_path / "out").exists()


def test_the_image_column_and_mask_can_be_chosen(tmp_path: Path) -> None:
    with maskl.init(dir=tmp_path / "store") as run:
        table = maskl.Table(columns=["a", "b"])
        mask = {"mask_data": np.zeros((2, 3), int)}
        table.add_data(
            maskl.Image(np.zeros((2, 3), np.uint8), masks={"x": mask}),
            maskl.Image(np.ones((2, 3), np.uint8), masks={"y": mask, "z": mask}, boxes={"o": {"box_data": []}}),
        )
        run.log({"표": table})
    store = maskl.open(tmp_path / "store")
    dropped = export(store, tmp_path, "coco-rle", image="b", mask="z")
    assert dropped == {"image column 'a'": 1, "mask 'y' of 'b'": 1, "boxes 'o' of 'b'": 1}
    _, rows = bring(tmp_path / "once", "coco-rle")
    assert list(rows[0]) == ["b"]
    assert list(rows[0]["b"].masks) == ["z"]
    with pytest.raises(NotFound, match="no image column 'c'"):
        store.export("표", tmp_path / "out", "coco-rle", image="c")
    with pytest.raises(NotFound, match="no mask 'z'"):
        store.export("표", tmp_path / "out", "coco-rle", mask="z")
