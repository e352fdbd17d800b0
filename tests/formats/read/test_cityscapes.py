from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from maskl.cli.app import main
from maskl.errors import LeftOutWarning
from maskl.formats.cityscapes import sniff
from tests.formats.read.hostile import bomb, refused, save, skipped
from tests.formats.write.pictured import bring

#: an image of the source has no mask, which is warned of
pytestmark = pytest.mark.filterwarnings("ignore::maskl.errors.LeftOutWarning")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    for split, city, frame in (("train", "aachen", 19), ("val", "bern", 0), ("val", "bern", 1)):
        name = f"{split}/{city}/{city}_000003_{frame:06d}"
        save(source / "leftImg8bit" / f"{name}_leftImg8bit.png", np.full((2, 3, 3), frame))
        if frame != 1:
            save(source / "gtFine" / f"{name}_gtFine_labelIds.png", [[7, 7, 3], [3, 0, 0]])
            save(source / "gtFine" / f"{name}_gtFine_color.png", [[0]])
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


# --- which ground truth -------------------------------------------------------------------------

FINE, FINE_TRAIN = "gtFine_labelIds", "gtFine_labelTrainIds"
COARSE, COARSE_TRAIN = "gtCoarse_labelIds", "gtCoarse_labelTrainIds"
#: images 0 and 1; of each kind of masks the images that have one; the masks taken, and what is said: what is warned
#: of with a "!"
CASES: dict[str, tuple[dict[str, str], list[str | None], list[str]]] = {
    "train ids": ({FINE_TRAIN: "01"}, [FINE_TRAIN, FINE_TRAIN], []),
    "coarse": ({COARSE: "01"}, [COARSE, COARSE], []),
    "coarse train ids": ({COARSE_TRAIN: "01"}, [COARSE_TRAIN, COARSE_TRAIN], []),
    "both ids": (
        {FINE: "01", FINE_TRAIN: "01"},
        [FINE, FINE],
        ["masks gtFine_labelTrainIds, for gtFine_labelIds is taken: 2"],
    ),
    "more train ids": (
        {FINE: "0", FINE_TRAIN: "01"},
        [FINE_TRAIN, FINE_TRAIN],
        ["masks gtFine_labelIds, for gtFine_labelTrainIds is taken: 1"],
    ),
    "other ids": (
        {FINE: "0", FINE_TRAIN: "1"},
        [FINE, None],
        ["!images without a mask, for their ground truth is of labelTrainIds and that of others of labelIds: 1"],
    ),
    "fine before coarse": (
        {FINE: "01", COARSE: "01"},
        [FINE, FINE],
        ["masks gtCoarse_labelIds, for gtFine_labelIds is taken: 2"],
    ),
    "fine train ids before coarse": (
        {FINE_TRAIN: "01", COARSE: "01"},
        [FINE_TRAIN, FINE_TRAIN],
        ["masks gtCoarse_labelIds, for gtFine_labelTrainIds is taken: 2"],
    ),
    "fine and coarse": (
        {FINE: "0", COARSE: "1"},
        [FINE, COARSE],
        ["images without gtFine, whose masks are of gtCoarse: 1"],
    ),
    "some": ({FINE: "0"}, [FINE, None], ["!images without ground truth in gtFine or gtCoarse: 1"]),
    "none": ({}, [None, None], ["!images without ground truth in gtFine or gtCoarse: 2"]),
    "of no image": (
        {FINE: "01", COARSE: "7"},
        [FINE, FINE],
        ["masks gtCoarse_labelIds without an image in leftImg8bit: 1"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_there_is_taken_and_what_is_not_is_said(tmp_path: Path, case: str) -> None:
    masks, expected, said = CASES[case]
    values = {kind: number for number, kind in enumerate((FINE, FINE_TRAIN, COARSE, COARSE_TRAIN))}
    for frame in "017":
        name = f"val/ulm/ulm_000000_00000{frame}"
        if frame != "7":
            save(tmp_path / "in" / "leftImg8bit" / f"{name}_leftImg8bit.png", np.zeros((2, 3, 3)))
        for kind, which in masks.items():
            if frame in which:
                save(tmp_path / "in" / kind.split("_")[0] / f"{name}_{kind}.png", np.full((2, 3), values[kind]))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found, rows = bring(tmp_path / "in", "cityscapes")
    made = [row["image"].masks.get("ground_truth") for row in rows]
    assert [None if mask is None else mask.mask_data[0, 0] for mask in made] == [
        None if kind is None else values[kind] for kind in expected
    ]
    lines = [line for line in found.unused if not line.startswith("files")]
    assert [line.partition(", such as ")[0] for line in lines] == [line.removeprefix("!") for line in said]
    assert all("ulm_000000_00000" in line.partition(", such as ")[2] for line in lines)
    loud = [line for line, text in zip(lines, said, strict=True) if text.startswith("!")]
    assert [str(item.message) for item in caught if item.category is LeftOutWarning] == [
        f"{tmp_path / 'in'}: {line}" for line in loud
    ]


def test_instance_ids_come_in_as_segments(tmp_path: Path) -> None:
    """By Cityscapes' rule: 26 · 1,000 + number is a car, 26 alone a crowd of cars, and 7 the road."""
    ids = np.array([[7, 26, 26_000, 26_001]], np.uint16)
    for frame in "01":
        name = f"val/ulm/ulm_000000_00000{frame}"
        save(tmp_path / f"in/leftImg8bit/{name}_leftImg8bit.png", np.zeros((1, 4, 3)))
        save(tmp_path / f"in/gtFine/{name}_gtFine_labelIds.png", np.array([[7, 26, 26, 26]]))
    PILImage.fromarray(ids).save(tmp_path / "in/gtFine/val/ulm/ulm_000000_000000_gtFine_instanceIds.png")
    found, rows = bring(tmp_path / "in", "cityscapes")
    first, second = (row["image"].masks["ground_truth"] for row in rows)
    assert first.mask_data.tolist() == ids.tolist()
    assert first.class_data.tolist() == second.mask_data.tolist()
    assert [(one.id, one.class_id, one.iscrowd) for one in first.segments] == [
        (7, 7, False), (26, 26, True), (26_000, 26, False), (26_001, 26, False),
    ]  # fmt: skip
    assert second.segments is None
    assert {item.name for item in first.class_set if item.isthing} >= {"person", "car", "bicycle"}
    assert found.unused == ("files *.png: 1, such as gtFine/val/ulm/ulm_000000_000000_gtFine_labelIds.png",)


@pytest.mark.parametrize("kind", ["labelIds", "labelTrainIds"])
def test_ids_have_cityscapes_names(tmp_path: Path, kind: str) -> None:
    """Those of the table of its own, in which what is not scored is ignored."""
    ids = np.array([[0, 7, 10, 33]]) if kind == "labelIds" else np.array([[0, 18, 13, 255]])
    save(tmp_path / "in/leftImg8bit/val/ulm/ulm_000000_000001_leftImg8bit.png", np.zeros((1, 4, 3)))
    save(tmp_path / f"in/gtFine/val/ulm/ulm_000000_000001_gtFine_{kind}.png", ids)
    _, rows = bring(tmp_path / "in", "cityscapes")
    mask = rows[0]["image"].masks["ground_truth"]
    assert mask.mask_data.tolist() == ids.tolist()
    known = {item.id: item for item in mask.class_set}
    names = [known[number].name for number in ids[0].tolist()]
    assert names == (
        ["unlabeled", "road", "rail track", "bicycle"] if kind == "labelIds" else ["road", "bicycle", "car", "void"]
    )
    counted = [item for item in known.values() if not item.ignore]
    assert [item.name for item in counted][:3] == ["road", "sidewalk", "building"]
    assert len(counted) == 19
    assert [item.color for item in counted][-2:] == ["#0000e6", "#770b20"]
    assert len(known) == (34 if kind == "labelIds" else 20)


def test_the_command_says_each_in_a_line(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["import", str(source), "--dir", str(tmp_path / "store")])
    assert capsys.readouterr().err.splitlines() == [
        "maskl: not used: images without ground truth in gtFine or gtCoarse: 1, such as "
        "leftImg8bit/val/bern/bern_000003_000001_leftImg8bit.png",
        "maskl: not used: files *.png: 2, such as gtFine/train/aachen/aachen_000003_000019_gtFine_color.png",
    ]
    with pytest.raises(SystemExit):
        main(["import", str(source), "--dir", str(tmp_path / "store"), "--json"])
    assert len(json.loads(capsys.readouterr().out)["unused"]) == 2
