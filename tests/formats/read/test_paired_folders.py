from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import maskl
from maskl.cli.app import main
from maskl.formats import format_of
from maskl.formats.paired_folders import sniff
from maskl.importing.importer import import_dataset
from tests.formats.read.hostile import bomb, refused, save, skipped
from tests.formats.write.pictured import bring


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    for index, name in enumerate(("b", "a/x", "사진 1")):
        save(source / "images" / f"{name}.jpg", np.full((2, 3, 3), index))
        if name != "b":
            save(source / "masks" / f"{name}.png", np.full((2, 3), index))
    return source


def test_images_and_masks_are_matched_by_name(source: Path) -> None:
    (source / "classes.json").write_text(json.dumps({"classes": [{"id": 1, "name": "길"}]}))
    assert sniff(source)
    (source / "notes.txt").write_text("not read")
    found, rows = bring(source, "folders")
    assert [row["name"] for row in rows] == ["a/x", "b", "사진 1"]
    assert found.unused == (
        "images without a mask 'ground_truth': 1, such as images/b.jpg",
        "files *.txt: 1, such as notes.txt",
    )
    assert rows[1]["image"].masks == {}
    assert rows[2]["image"].masks["ground_truth"].mask_data.tolist() == [[2] * 3] * 2
    assert rows[0]["image"].masks["ground_truth"].class_labels == {1: "길"}
    assert rows[0]["image"].masks["ground_truth"].mask_data.dtype == np.uint8


def test_folders_in_masks_are_keys(source: Path) -> None:
    for key in ("ground_truth", "예측"):
        save(source / "masks" / key / "b.png", np.full((2, 3), 4))
    for name in ("a", "사진 1.png"):
        path = source / "masks" / name
        path.rename(source / name)
    _, rows = bring(source, "folders")
    assert set(rows[1]["image"].masks) == {"ground_truth", "예측"}


def test_patterns_say_what_images_and_masks_share(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for index in range(2):
        save(source / "raw" / f"{index}.left.png", np.full((2, 3, 3), index))
        save(source / "ann" / f"{index}_L.png", np.full((2, 3, 3), [0, 0, 128 * index]))
        save(source / "net" / "v2" / f"pred-{index}.png", np.full((2, 3), index))
    (tmp_path / "colours.json").write_text(
        json.dumps([{"id": 4, "name": "sky", "color": "#000000"}, {"id": 300, "name": "car", "color": "#000080"}])
    )
    patterns = ("ann/*_L.png", "predictions=net/*/pred-*.png")
    refused(
        source,
        "folders",
        "no mask 'predictions' has the name of an image",
        "'0'",
        "'v2/0'",
        images="raw/*.left.*",
        masks=patterns,
    )
    patterns = ("ann/*_L.png", "predictions=net/v2/pred-*.*")
    _, rows = bring(source, "folders", images="raw/*.left.*", masks=patterns, classes=str(tmp_path / "colours.json"))
    masks = rows[1]["image"].masks
    assert masks["ground_truth"].mask_data.tolist() == [[300] * 3] * 2
    assert masks["predictions"].mask_data.tolist() == [[1] * 3] * 2
    assert masks["predictions"].class_labels == {4: "sky", 300: "car"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": "photos"}, "no files are like 'photos'"),
        ({"images": "../x"}, "leads out of"),
        ({"images": "/etc/*"}, "leads out of"),
        ({"masks": ("labels",)}, "--mask PATTERN"),
        ({"masks": ("masks", "masks/*.png")}, "two patterns"),
    ],
)
def test_options_that_match_nothing_are_refused(source: Path, options: dict[str, object], message: str) -> None:
    refused(source, "folders", message, **options)


def test_bad_files_are_named(source: Path) -> None:
    mask = source / "masks" / "사진 1.png"
    good = mask.read_bytes()
    for spoil, message in (
        (lambda: save(mask, np.zeros((1, 1))), "mask 'ground_truth' is 1×1, and its image 3×2"),
        (lambda: save(mask, np.zeros((2, 3, 3))), "is a RGB image; a mask file holds one class id a pixel"),
        (lambda: bomb(mask), "too many pixels"),
        (lambda: mask.write_bytes(good[:50]), "no picture that Pillow can read"),
    ):
        spoil()
        refused(source, "folders", "row 2", message)
    skipped(source, "folders", 2, "row 2")


def test_a_mask_without_an_image_two_files_of_one_name_and_a_link_are_named(source: Path) -> None:
    extra = save(source / "masks" / "c.png", np.zeros((2, 3)))
    refused(source, "folders", "masks/c.png", "a mask without an image 'c'")
    skipped(source, "folders", 3, "c.png")
    extra.unlink()
    twin = save(source / "images" / "b.png", np.zeros((2, 3)))
    refused(source, "folders", "have one name, 'b'")
    twin.unlink()
    save(source.parent / "secret.png", np.zeros((2, 3)))
    (source / "masks" / "b.png").symlink_to(source.parent / "secret.png")
    refused(source, "folders", "row 1", "through a link")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ('{"a": "road"}', "an id is needed"),
        ('{"0": 5}', "must be a string"),
        ('[{"id": 0, "name": "a"}, {"id": 0, "name": "b"}]', "occurs twice"),
        ('[{"id": 0, "name": "a", "color": "red"}]', "#4080ff"),
    ],
)
def test_bad_classes_are_refused(source: Path, text: str, message: str) -> None:
    (source / "classes.json").write_text(text)
    refused(source, "folders", "classes.json", message)


@pytest.mark.parametrize("kind", ["coco-panoptic", "coco-rle", "png", "cityscapes"])
def test_what_was_exported_is_recognised(tmp_path: Path, kind: str) -> None:
    with maskl.init(dir=tmp_path / "store") as run:
        masks = {"ground_truth": {"mask_data": np.eye(3, dtype=np.uint8), "class_labels": {0: "a", 1: "b"}}}
        run.log({"표": maskl.Image(np.zeros((3, 3, 3), np.uint8), masks=masks)})
    maskl.open(tmp_path / "store").export("표", tmp_path / "out", kind, columns=["image"])
    assert format_of(tmp_path / "out").name == kind
    found = import_dataset(tmp_path / "out", dir=tmp_path / "imported")
    assert found.rows == {"표": 1}
    (row,) = maskl.open(tmp_path / "imported").table("표")
    assert row["image"] == maskl.open(tmp_path / "store").table("표")[0]["image"]


def test_pairs_of_folders_are_recognised(source: Path) -> None:
    assert format_of(source).name == "folders"


def test_the_command_line_imports_pairs_and_lists_what_it_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index in range(2):
        save(tmp_path / "camvid" / "frames" / f"{index}.png", np.full((2, 3, 3), index))
        save(tmp_path / "camvid" / "labels" / f"{index}_L.png", np.full((2, 3, 3), [0, 0, index]))
    (tmp_path / "labels.json").write_text(json.dumps([{"id": 9, "name": "sky", "color": "#000000"}]))
    words = ["import", "folders", "camvid", "--images", "frames/*.png", "--mask", "labels/*_L.png"]
    words += ["--classes", "labels.json", "--dir", "store"]
    for more, code in (([], 2), (["--skip-bad", "--json"], 0)):
        with pytest.raises(SystemExit) as exit_:
            main([*words, *more])
        assert int(exit_.value.code or 0) == code
        out, err = capsys.readouterr()
        if code:
            assert "camvid, row 1: 1_L.png has the colour #000001, which no class has" in err
            assert not (tmp_path / "store").exists()
    found = json.loads(out)
    assert (found["tables"], found["skipped"]) == ({"camvid": 1}, 1)
    assert "camvid, row 1: 1_L.png has the colour #000001" in found["problems"][0]
    (row,) = maskl.open(tmp_path / "store").table("camvid")
    assert row["image"].masks["ground_truth"].class_labels == {9: "sky"}
