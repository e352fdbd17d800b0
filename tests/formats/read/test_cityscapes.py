from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from maskl.formats.cityscapes import sniff
from tests.formats.read.hostile import bomb, refused, save, skipped
from tests.formats.write.pictured import bring


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    for split, city, frame in (("train", "aachen", 19), ("val", "bern", 0), ("val", "bern", 1)):
        name = f"{split}/{city}/{city}_000003_{frame:06d}"
        save(source / "leftImg8bit" / f"{name}_leftImg8bit.png", np.full((2, 3, 3), frame))
        if frame != 1:
            save(source / "gtFine" / f"{name}_gtFine_labelIds.png", [[7, 7, 3], [3, 0, 0]])
            save(source / "gtFine" / f"{name}_gtFine_instanceIds.png", [[0]])
    return source


def test_names_become_columns_and_classes_come_from_a_file(source: Path) -> None:
    (source.parent / "names.json").write_text(
        json.dumps([{"id": 7, "name": "road", "color": "#804080"}, {"id": 3, "name": "out", "ignore": True}])
    )
    _, rows = bring(source, "cityscapes", classes=str(source.parent / "names.json"))
    assert [tuple(row.values())[:4] for row in rows] == [
        ("train", "aachen", 3, 19),
        ("val", "bern", 3, 0),
        ("val", "bern", 3, 1),
    ]
    mask = rows[0]["image"].masks["ground_truth"]
    assert mask.mask_data.tolist() == [[7, 7, 3], [3, 0, 0]]
    assert mask.class_labels == {3: "out", 7: "road"}
    assert mask.ignore_index == {3}
    assert rows[2]["image"].masks == {}
    assert sniff(source)
    assert not sniff(source.parent)


def test_bad_files_are_named(source: Path) -> None:
    folder = source / "gtFine" / "val" / "bern"
    mask = folder / "bern_000003_000000_gtFine_labelIds.png"
    good = mask.read_bytes()
    for spoil, message in (
        (lambda: save(mask, np.zeros((1, 1))), "mask 'ground_truth' is 1×1, and its image 3×2"),
        (lambda: save(mask, np.zeros((2, 3, 3))), "is a RGB image; a mask file holds one class id a pixel"),
        (lambda: bomb(mask), "too many pixels"),
        (lambda: mask.write_bytes(good[:50]), "no picture that Pillow can read"),
    ):
        spoil()
        refused(source, "cityscapes", "leftImg8bit, row 1", message)
    skipped(source, "cityscapes", 2, "leftImg8bit, row 1")


def test_a_mask_without_an_image_and_a_name_of_another_form_are_named(source: Path) -> None:
    image = source / "leftImg8bit" / "val" / "bern" / "bern_000003_000000_leftImg8bit.png"
    data = image.read_bytes()
    image.unlink()
    refused(source, "cityscapes", "bern_000003_000000_gtFine_labelIds.png", "a mask without an image")
    skipped(source, "cityscapes", 2, "a mask without an image")
    image.write_bytes(data)
    image.with_name("a_leftImg8bit.png").write_bytes(data)
    refused(source, "cityscapes", "row 1", "a_leftImg8bit.png: names are")


def test_a_link_out_of_the_source_is_refused(source: Path) -> None:
    save(source.parent / "secret.png", np.zeros((2, 3, 3)))
    (source / "leftImg8bit" / "val" / "bern" / "bern_000003_000002_leftImg8bit.png").symlink_to(
        source.parent / "secret.png"
    )
    refused(source, "cityscapes", "row 3", "through a link")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("5", "an object is needed"),
        ('{"mask": 5, "classes": []}', "must be names"),
        ('{"classes": {"0": "a"}}', "a list of objects"),
        ('{"classes": [{"id": 0}]}', "lacks 'name'"),
        ('{"classes": [5]}', "a list of objects"),
    ],
)
def test_bad_classes_are_refused(source: Path, text: str, message: str) -> None:
    (source / "classes.json").write_text(text)
    refused(source, "cityscapes", "classes.json", message)
