from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image as PILImage

import maskl
from maskl.drawing.overlay import class_color
from maskl.errors import InvalidValue
from tests.formats.write.pictured import CLASSES, OTHERS, VALUES, Spec, bring, export, logged, same, tables

SETS = {"ground_truth": [CLASSES, OTHERS], "예측": [OTHERS, []]}


def fits(mask: maskl.ImageMask) -> bool:
    return mask.mask_data.min() >= 0 and mask.mask_data.max() <= 65535


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text("utf-8").split("\n")[:-1]]


@settings(max_examples=30)
@given(tables())
def test_folders_bring_back_all_but_what_is_listed(specs: list[Spec]) -> None:
    with logged(specs, SETS) as (folder, store):
        before = list(store.table("표"))
        if all(row["picture"] is None for row in before):
            return  # a column without any image is no image column
        dropped = export(store, folder, "png")
        expected: Counter[str] = Counter()
        for row in before:
            masks = row["picture"].masks if row["picture"] is not None else {}
            expected.update(f"masks {k!r} with ids outside 0–65535" for k, mask in masks.items() if not fits(mask))
        assert dropped == expected
        _, after = bring(folder / "once", "png")
        assert len(after) == len(before)
        for mine, theirs in zip(before, after, strict=True):
            assert list(theirs) == list(mine)
            for name in VALUES:
                assert same(theirs[name], mine[name]), name
            image, back = mine["picture"], theirs["picture"]
            if image is None:
                assert back is None
                continue
            kept = {key: mask for key, mask in image.masks.items() if fits(mask)}
            assert back.masks == kept
            for key, mask in kept.items():
                assert back.masks[key].class_set == mask.class_set
            assert (back.mode, back.caption, back.reference) == (image.mode, image.caption, image.reference)
            assert back.reference or back.image.tobytes() == image.image.tobytes()


def test_pillow_opens_masks_with_the_exact_ids_and_the_classes_colours(tmp_path: Path) -> None:
    masks = {
        "few": np.array([[0, 1, 2]], np.int64),
        "many": np.array([[0, 7, 255]], np.uint8),
        "wide": np.array([[0, 256, 65535]], np.int32),
    }
    with maskl.init(dir=tmp_path / "store") as run:
        given = {key: {"mask_data": mask, "class_labels": {0: "도로"}} for key, mask in masks.items()}
        run.log({"표": maskl.Image(np.zeros((1, 3), np.uint8), masks=given, classes=CLASSES)})
    export(maskl.open(tmp_path / "store"), tmp_path, "png")
    (line,) = lines_of(tmp_path / "once")
    for key, mask in masks.items():
        with PILImage.open(tmp_path / "once" / line[f"image__mask__{key}_file_name"]) as png:
            assert png.mode == ("I;16" if key == "wide" else "P")
            assert np.array_equal(np.array(png), mask)
            if key != "wide":
                colors = np.array(png.convert("RGB"))[0].tolist()
                assert colors[0] == [0x10, 0x20, 0x3F]
                assert colors[1] == list(class_color(int(mask[0, 1])))


def test_datasets_loads_every_row_with_its_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    mask = np.array([[0, 300], [7, 255]])
    with maskl.init(dir=tmp_path / "store") as run:
        table = maskl.Table(columns=["id", "image", "a_file_name", "score"])
        for index in range(3):
            masks = {"ground_truth": {"mask_data": mask % (256 << index), "class_labels": {7: "사람"}}}
            image = maskl.Image(np.full((2, 2, 3), index, np.uint8), masks=masks if index else None)
            table.add_data(index, image, "text", [float("inf"), 0.5, None][index])
        run.log({"표": table})
    export(maskl.open(tmp_path / "store"), tmp_path, "png")
    loaded = datasets.load_dataset(
        "imagefolder", data_dir=str(tmp_path / "once"), split="train", cache_dir=str(tmp_path / "cache")
    )
    image = datasets.Image()
    assert {name: type(feature) for name, feature in loaded.features.items() if feature == image} == {
        "image": datasets.Image,
        "image__mask__ground_truth": datasets.Image,
    }
    assert loaded["id"][:] == [0, 1, 2]
    assert loaded["a_file_name_1"][:] == ["text"] * 3
    assert loaded["score"][:] == [float("inf"), 0.5, None]
    assert loaded[0]["image__mask__ground_truth"] is None
    for index in (1, 2):
        assert np.array_equal(np.array(loaded[index]["image"]), np.full((2, 2, 3), index))
        found = np.array(loaded[index]["image__mask__ground_truth"])
        assert np.array_equal(found, mask % (256 << index))


def test_boxes_are_left_out_and_listed_and_names_do_not_clash(tmp_path: Path) -> None:
    box = {"position": {"minX": 0.1, "maxX": 0.2, "minY": 0.1, "maxY": 0.2}, "class_id": 1}
    with maskl.init(dir=tmp_path / "store") as run:
        table = maskl.Table(columns=["image", "image_caption", "image_file_name", "그림/2"])
        for caption in ("a", "b"):
            image = maskl.Image(np.zeros((2, 2), np.uint8), caption=caption, boxes={"o": {"box_data": [box]}})
            table.add_data(image, "own", "text", maskl.Image(np.ones((2, 2), np.uint8)))
        run.log({"표": table})
    store = maskl.open(tmp_path / "store")
    assert export(store, tmp_path, "png") == {"boxes 'o' of 'image'": 2}
    line = lines_of(tmp_path / "once")[0]
    assert line["image_caption"] == "own"
    assert (tmp_path / "once" / line["그림/2_file_name"]).parts[-2] == "그림%2F2"
    _, rows = bring(tmp_path / "once", "png")
    assert list(rows[1]) == ["image", "image_caption", "image_file_name", "그림/2"]
    assert rows[1]["image"].caption == "b"
    assert rows[1]["image_caption"] == "own"
    assert rows[1]["image_file_name"] == "text"


def test_a_table_without_images_is_refused(tmp_path: Path) -> None:
    with maskl.init(dir=tmp_path / "store") as run:
        run.log({"표": maskl.Table(columns=["id"], data=[[1]])})
    for kind in ("png", "coco-rle", "coco-panoptic", "cityscapes"):
        with pytest.raises(InvalidValue, match="no image column"):
            maskl.open(tmp_path / "store").export("표", tmp_path / "out", kind)
