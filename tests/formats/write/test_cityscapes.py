from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image as PILImage

import maskl
from maskl.errors import InvalidValue
from tests.formats.write.pictured import CLASSES, VALUES, Spec, bring, export, logged, names_of, tables

SETS = {"ground_truth": [CLASSES, CLASSES]}


@settings(max_examples=20)
@given(tables(keys=("ground_truth",)))
def test_names_of_cityscapes_bring_back_all_but_what_is_listed(specs: list[Spec]) -> None:
    with logged(specs, SETS) as (folder, store):
        rows = list(store.table("표"))
        if not any(row["picture"] is not None and row["picture"].masks for row in rows):
            return
        dropped = export(store, folder, "cityscapes")
        expected: Counter[str] = Counter()
        kept = []
        for row in rows:
            expected.update(f"column {name!r}" for name in VALUES if row[name] is not None)
            image = row["picture"]
            if image is None:
                expected["rows without an image"] += 1
            elif image.reference is not None:
                expected["images that are references"] += 1
                expected["masks 'ground_truth' of references"] += len(image.masks)
            else:
                expected["captions"] += image.caption is not None
                mask = image.masks["ground_truth"].mask_data if image.masks else np.zeros((1, 1), np.uint8)
                held = mask.min() >= 0 and mask.max() <= 255
                expected["masks 'ground_truth' with ids outside 0–255"] += not held
                expected[f"dtype {mask.dtype} of mask 'ground_truth'"] += held and mask.dtype != np.uint8
                kept.append((image, held))
        assert dropped == +expected
        after = bring(folder / "once", "cityscapes")[1] if kept else []
        assert len(after) == len(kept)
        for (image, held), row in zip(kept, after, strict=True):
            back = row["picture"]
            assert back.mode == image.mode
            assert back.image.tobytes() == image.image.tobytes()
            assert bool(back.masks) == bool(image.masks and held)
            if back.masks:
                assert np.array_equal(back.masks["ground_truth"].mask_data, image.masks["ground_truth"].mask_data)
                assert names_of(back, "ground_truth") == names_of(image, "ground_truth")


def test_names_come_from_columns_and_go_back_to_them(tmp_path: Path) -> None:
    with maskl.init(dir=tmp_path / "store") as run:
        table = maskl.Table(columns=["split", "city", "sequence", "frame", "image"])
        for split, city, frame in (("train", "서울", 5), ("val", "aachen", 19)):
            masks = {"ground_truth": {"mask_data": np.array([[7, 255]], np.uint8)}}
            table.add_data(
                split, city, 3, frame, maskl.Image(np.zeros((1, 2, 3), np.uint8), classes=CLASSES, masks=masks)
            )
        run.log({"표": table})
    assert not export(maskl.open(tmp_path / "store"), tmp_path, "cityscapes")
    place = tmp_path / "once" / "gtFine" / "val" / "aachen" / "aachen_000003_000019_gtFine_labelIds.png"
    with PILImage.open(place) as png:
        assert png.mode == "L"
        assert np.array(png).tolist() == [[7, 255]]
    assert (tmp_path / "once" / "leftImg8bit" / "train" / "서울" / "서울_000003_000005_leftImg8bit.png").is_file()
    classes = json.loads((tmp_path / "once" / "classes.json").read_text("utf-8"))["classes"]
    assert classes == CLASSES
    _, rows = bring(tmp_path / "once", "cityscapes")
    assert [tuple(row.values())[:4] for row in rows] == [("train", "서울", 3, 5), ("val", "aachen", 3, 19)]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (("val", "a_b", 0, 0), "city must be letters"),
        (("../x", "a", 0, 0), "split must be letters"),
        (("val", "a", -1, 0), "numbers of six digits"),
        (("val", "a", 0, 1_000_000), "numbers of six digits"),
        (("val", None, 0, 0), "city must be letters"),
    ],
)
def test_columns_that_make_no_names_are_refused(tmp_path: Path, values: tuple[object, ...], message: str) -> None:
    with maskl.init(dir=tmp_path / "store") as run:
        image = maskl.Image(np.zeros((1, 2), np.uint8), masks={"t": {"mask_data": np.zeros((1, 2), int)}})
        table = maskl.Table(columns=["split", "city", "sequence", "frame", "image"], data=[["val", "b", 0, 0, image]])
        table.add_data(*values, image)
        run.log({"표": table})
    with pytest.raises(InvalidValue, match=message):
        maskl.open(tmp_path / "store").export("표", tmp_path / "out", "cityscapes")
    assert not (tmp_path / "out").exists()


def test_two_rows_of_one_name_are_refused(tmp_path: Path) -> None:
    with maskl.init(dir=tmp_path / "store") as run:
        image = maskl.Image(np.zeros((1, 2), np.uint8), masks={"t": {"mask_data": np.zeros((1, 2), int)}})
        row = ["val", "b", 0, 0, image]
        columns = ["split", "city", "sequence", "frame", "image"]
        run.log({"표": maskl.Table(columns=columns, data=[row, row])})
    with pytest.raises(InvalidValue, match="already"):
        maskl.open(tmp_path / "store").export("표", tmp_path / "out", "cityscapes")
