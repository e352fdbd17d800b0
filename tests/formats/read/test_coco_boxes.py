"""COCO as other tools write it: boxes without pixels, polygons that enclose nothing, colours in hex, Windows' names."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from maskl.errors import CorruptData, InvalidValue, LeftOutWarning
from maskl.formats import format_of
from maskl.importing.importer import Imported
from maskl_storage.format.boxes import Box
from tests.formats.read.hostile import save
from tests.formats.write.pictured import bring

HEIGHT, WIDTH = 9, 11
SIZE: Final = {"width": WIDTH, "height": HEIGHT}
TRIANGLE: Final = [1.0, 1, 6, 1, 6, 6]
#: what the pixels of no annotation are, and those of a box alone
BACKGROUND, UNSEGMENTED = 0, 255


def write(
    folder: Path, annotations: list[dict[str, Any]], names: list[str] | None = None, category: Any = None
) -> Path:
    """Write a COCO file with an image of each name, of which there is one by default, and return its folder."""
    files = ["0.png"] if names is None else names
    for name in files:
        save(folder / "images" / Path(name).name, np.zeros((HEIGHT, WIDTH, 3)))
    body = {
        "images": [{"id": number, "file_name": name, **SIZE} for number, name in enumerate(files)],
        "annotations": [{"image_id": 0, "category_id": 1, "id": n, **one} for n, one in enumerate(annotations)],
        "categories": [{"id": 1, "name": "car", **(category or {})}, {"id": 2, "name": "사람"}],
    }
    (folder / "any.json").write_text(json.dumps(body), "utf-8")
    return folder


def taken(folder: Path, **options: Any) -> tuple[list[Any], list[str], Imported]:
    """Return the images, what is warned of and what an import came to."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found, rows = bring(folder, "coco-rle", **options)
    said = [str(item.message) for item in caught if item.category is LeftOutWarning]
    return [row["image"] for row in rows], said, found


# --- annotations without a segmentation ---------------------------------------------------------


@pytest.mark.parametrize("empty", [{"segmentation": []}, {"segmentation": None}, {"segmentation": {}}, {}])
def test_an_image_with_boxes_alone_has_boxes_and_no_mask(tmp_path: Path, empty: dict[str, Any]) -> None:
    (image,), (said,), found = taken(write(tmp_path / "in", [{"bbox": [1, 2, 3.5, 4], **empty}]))
    assert image.masks == {}
    boxes = image.boxes["ground_truth"]
    assert boxes.boxes == (Box((1.0, 2.0, 4.5, 6.0), "corners", "pixel", 1),)
    assert boxes.class_labels == {1: "car", 2: "사람"}
    assert found.unused == (
        "annotations without a segmentation, which are kept as boxes: 1, such as annotation 0 of 0.png",
        "images whose annotations have no segmentation, which have no mask: 1, such as 0.png",
    )
    assert said == f"{tmp_path / 'in'}: {'; '.join(found.unused)}"


def test_an_image_with_masks_and_boxes_has_both_and_ignores_what_only_a_box_holds(tmp_path: Path) -> None:
    """The pixels of the box are no background: a prediction that finds the object would be wrong there."""
    annotations = [{"bbox": [2, 3, 4.5, 20], "category_id": 2}, {"segmentation": [TRIANGLE]}]
    (image,), (said,), found = taken(write(tmp_path / "in", annotations))
    expected = np.full((HEIGHT, WIDTH), BACKGROUND)
    expected[3:, 2:7] = UNSEGMENTED
    expected[drawn([TRIANGLE])] = 1
    mask = image.masks["ground_truth"]
    assert np.array_equal(mask.class_data, expected)
    assert mask.class_labels == {0: "background", 1: "car", 2: "사람", 255: "unsegmented"}
    assert mask.ignore_index == {255}
    assert [box.class_id for box in image.boxes["ground_truth"].boxes] == [2]
    assert found.unused == (
        "annotations without a segmentation, which are kept as boxes: 1, such as annotation 0 of 0.png",
    )
    assert found.unused[0] in said


def test_boxes_are_bounded_as_what_is_painted_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a few bytes, and covers all of the image."""
    monkeypatch.setattr("maskl.formats.coco.rle.MAX_PAINTED", 3 * HEIGHT * WIDTH)
    annotations = [{"segmentation": [TRIANGLE]}, *({"bbox": [-9, -9, 1e9, 1e9]} for _ in range(7))]
    with pytest.raises(InvalidValue, match="row 0: its annotations cover 693 pixels; up to 594 are painted"):
        taken(write(tmp_path / "in", annotations))
    (image,), _, _ = taken(write(tmp_path / "in", annotations[:-1]))
    assert len(image.boxes["ground_truth"].boxes) == 6


def test_of_an_annotation_with_nothing_it_is_said(tmp_path: Path) -> None:
    annotations = [{"bbox": None}, {"bbox": []}, {"segmentation": []}]
    (image,), (said,), found = taken(write(tmp_path / "in", annotations))
    assert (image.masks, image.boxes) == ({}, {})
    assert found.unused[0] == "annotations with neither segmentation nor box: 3, such as annotation 0 of 0.png"
    assert found.unused[0] in said


def test_images_without_annotations_are_counted_and_not_warned_of(tmp_path: Path) -> None:
    names = ["0.png", "1.png", "2.png"]
    images, said, found = taken(write(tmp_path / "in", [{"segmentation": [TRIANGLE]}], names))
    assert [list(image.masks) for image in images] == [["ground_truth"], [], []]
    assert said == []
    assert found.unused == ("images without annotations, which have no mask: 2, such as 1.png",)


def test_keys_that_nothing_is_made_of_and_files_that_nobody_names_are_counted(tmp_path: Path) -> None:
    source = write(
        tmp_path / "in", [{"segmentation": [TRIANGLE], "keypoints": [1], "caption": "a", "score": 1}], category={"a": 1}
    )
    save(source / "images" / "other.png", np.zeros((1, 1)))
    (source / "notes.TXT").write_text("one")
    for hidden in (".cache/x.txt", "maskl-store/y.txt"):
        (source / hidden).parent.mkdir()
        (source / hidden).write_text("none")
    _, said, found = taken(source)
    assert said == []
    assert found.unused == (
        "keys of annotations that are not imported: 2, such as 'caption', 'keypoints'",
        "keys of categories that are not imported: 1, such as 'a'",
        "files *.png: 1, such as images/other.png",
        "files *.txt: 1, such as notes.TXT",
    )
    images = source / "images"
    (source / "any.json").rename(tmp_path / "any.json")
    (tmp_path / "beside.txt").write_text("none of its business")
    _, _, found = taken(tmp_path / "any.json", images=str(images))
    assert found.unused[2:] == (f"files *.png: 1, such as {images / 'other.png'}",)


def test_a_file_of_boxes_alone_is_coco(tmp_path: Path) -> None:
    """Beside one with segmentations it is not taken for the dataset."""
    source = write(tmp_path / "in", [{"bbox": [1, 2, 3, 4]}])
    assert format_of(source).name == format_of(source / "any.json").name == "coco-rle"
    text = (source / "any.json").read_text("utf-8")
    (source / "boxes.json").write_text(text, "utf-8")
    write(source, [{"segmentation": [TRIANGLE]}])
    assert list(taken(source)[0][0].masks) == ["ground_truth"]
    (source / "any.json").write_text(text.replace("bbox", "segments_info"), "utf-8")
    assert format_of(source / "any.json").name == "coco-panoptic"


# --- polygons, as pycocotools has them ----------------------------------------------------------


def drawn(polygons: list[list[float]]) -> npt.NDArray[np.bool_]:
    """Return what pycocotools draws of polygons, of which it takes none of one or two points as the first."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # its arrays do not know NumPy 2's copy keyword
        encoded = coco_mask.merge(coco_mask.frPyObjects(polygons, HEIGHT, WIDTH))
        return coco_mask.decode(encoded).astype(bool)


@pytest.mark.parametrize("skip_bad", [False, True])
@pytest.mark.parametrize("short", [[], [3.0, 4.0], [1, 1, 9, 8]])
def test_polygons_of_less_than_three_points_are_skipped(tmp_path: Path, short: list[float], skip_bad: bool) -> None:
    """Only they are: the annotation keeps its others, and the image its annotations."""
    annotations = [
        {"segmentation": [TRIANGLE, short]},
        {"segmentation": [short, short, [8, 2, 10, 2, 10, 5, 8, 5]], "category_id": 2},
        {"segmentation": [short], "bbox": [0, 7, 2, 2]},
    ]
    (image,), (said,), found = taken(write(tmp_path / "in", annotations), skip_bad=skip_bad)
    expected = np.full((HEIGHT, WIDTH), BACKGROUND)
    expected[7:9, 0:2] = UNSEGMENTED
    expected[drawn([TRIANGLE, short])] = 1
    expected[drawn([[8, 2, 10, 2, 10, 5, 8, 5], short])] = 2
    assert np.array_equal(image.masks["ground_truth"].class_data, expected)
    assert (found.skipped, found.problems) == (0, ())
    assert found.unused[0] == "polygons of fewer than three points: 4, such as annotation 0 of 0.png"
    assert found.unused[0] in said


def shapes(numbers: random.Random) -> Iterator[dict[str, Any]]:
    """Yield annotations of every kind that pycocotools takes, and boxes alone."""
    for _ in range(numbers.randint(0, 4)):
        corners = [round(numbers.uniform(-1, 12), 2) for _ in range(2 * numbers.randint(3, 6))]
        more = [[round(numbers.uniform(0, 9), 1) for _ in range(size)] for size in numbers.choice([[], [2], [4, 8]])]
        grid = np.asfortranarray(np.array(numbers.choices([0, 1], k=HEIGHT * WIDTH), np.uint8).reshape(HEIGHT, WIDTH))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            packed = coco_mask.encode(grid)
        runs = {"size": [HEIGHT, WIDTH], "counts": numbers.choice([packed["counts"].decode(), counts_of(grid)])}
        segmentation: Any = numbers.choice([[corners, *more], [corners], runs, [], None])
        box = {"bbox": [1, 1, 3, 3]} if numbers.random() < 0.5 else {}
        yield {"segmentation": segmentation, "category_id": numbers.choice([1, 2]), **box}


def counts_of(grid: npt.NDArray[np.uint8]) -> list[int]:
    """Return the lengths of the runs down the columns, the first one of zeros."""
    flat = np.concatenate(([0], grid.reshape(-1, order="F")))
    ends = np.flatnonzero(np.diff(flat))
    return np.diff(np.concatenate(([0], ends, [grid.size]))).tolist()


def uncovered(outlined: list[tuple[npt.NDArray[np.bool_], int]]) -> list[tuple[int, int]]:
    """Return the category of each annotation, and its pixels that no smaller one covers, where it has some."""
    top = np.full((HEIGHT, WIDTH), -1)
    for place in sorted(range(len(outlined)), key=lambda place: -int(outlined[place][0].sum())):
        top[outlined[place][0]] = place
    counts = [(category, int((top == place).sum())) for place, (_, category) in enumerate(outlined)]
    return [pair for pair in counts if pair[1]]


def test_generated_files_are_read_as_pycocotools_reads_them(tmp_path: Path) -> None:
    """Pixel by pixel, the smaller annotations over the larger ones, through its own index of the file."""
    numbers = random.Random(11)
    files = [f"{number}.png" for number in range(40)]
    annotations = [{**one, "image_id": number} for number in range(40) for one in shapes(numbers)]
    source = write(tmp_path / "in", annotations, files)
    with contextlib.redirect_stdout(io.StringIO()):
        tool = COCO(str(source / "any.json"))
    images, _, _ = taken(source)
    for number, image in enumerate(images):
        mine = tool.loadAnns(tool.getAnnIds(imgIds=[number]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            outlined = [(tool.annToMask(one).astype(bool), one["category_id"]) for one in mine if one["segmentation"]]
        boxed = [one for one in mine if not one["segmentation"] and "bbox" in one]
        assert len(image.boxes["ground_truth"].boxes if boxed else image.boxes) == len(boxed)
        assert list(image.masks) == (["ground_truth"] if outlined else [])
        if outlined:
            expected = np.full((HEIGHT, WIDTH), BACKGROUND)
            if boxed:
                expected[1:4, 1:4] = UNSEGMENTED
            for covered, category in sorted(outlined, key=lambda pair: -int(pair[0].sum())):
                expected[covered] = category
            mask = image.masks["ground_truth"]
            assert np.array_equal(mask.class_data, expected), number
            assert [(one.class_id, one.pixels) for one in mask.segments] == uncovered(outlined), number


# --- colours and names --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("color", "expected"),
    [("#ff0000", "#ff0000"), ("#F0a", "#ff00aa"), ([255, 0, 16], "#ff0010"), (None, None)],
)
def test_colours_are_hex_or_lists(tmp_path: Path, color: Any, expected: str | None) -> None:
    (image,), _, _ = taken(write(tmp_path / "in", [{"segmentation": [TRIANGLE]}], category={"color": color}))
    assert {item.id: item.color for item in image.masks["ground_truth"].class_set}[1] == expected


@pytest.mark.parametrize(
    "color", ["ff0000", "#ff00", "#gg0000", "red", [1, 2], [1, 2, 256], [1, 2, 3.0], 5, "#ff0000 "]
)
def test_what_is_no_colour_is_named(tmp_path: Path, color: Any) -> None:
    with pytest.raises(CorruptData, match=r"any.json: categories\[0\]: color: red, green and blue from 0 to 255"):
        taken(write(tmp_path / "in", [{"segmentation": [TRIANGLE]}], category={"color": color}))


@pytest.mark.parametrize("where", ["images/1/a.png", "images/images/1/a.png", "1/a.png"])
def test_names_of_windows(tmp_path: Path, where: str) -> None:
    """Of the source's folder, of ``images`` in it, and of the folder that the user names."""
    source = write(tmp_path / "in", [{"segmentation": [TRIANGLE]}], ["images\\1/a.png"])
    options = {} if where.startswith("images") else {"images": str(source / "photos")}
    target = source / where if not options else source / "photos" / where
    target.parent.mkdir(parents=True, exist_ok=True)
    next((source / "images").glob("*.png")).rename(target)
    (image,), _, found = taken(source, **options)
    assert list(image.masks) == ["ground_truth"]
    assert found.unused == ()


@pytest.mark.skipif(os.name == "nt", reason="a backslash parts folders there")
def test_a_backslash_in_the_name_of_a_folder(tmp_path: Path) -> None:
    """As an archive that was packed on Windows is unpacked elsewhere."""
    source = write(tmp_path / "in", [{"segmentation": [TRIANGLE]}], ["images\\1/a.png"])
    (source / "images\\1").mkdir()
    next((source / "images").glob("*.png")).rename(source / "images\\1" / "a.png")
    assert list(taken(source)[0][0].masks) == ["ground_truth"]


@pytest.mark.parametrize(
    "name",
    [
        "..\\secret.png",
        "images\\..\\..\\secret.png",
        "C:\\secret.png",
        "C:secret.png",
        "\\\\host\\a",
        "\\secret.png",
    ],
)
@pytest.mark.parametrize("given", [False, True])
def test_names_of_windows_that_lead_out(tmp_path: Path, name: str, given: bool) -> None:
    source = write(tmp_path / "in", [{"segmentation": [TRIANGLE]}])
    body = json.loads((source / "any.json").read_text("utf-8"))
    body["images"][0]["file_name"] = name
    (source / "any.json").write_text(json.dumps(body), "utf-8")
    save(tmp_path / "secret.png", np.zeros((HEIGHT, WIDTH, 3)))
    with pytest.raises(InvalidValue, match="leads out of"):
        taken(source, **({"images": str(source / "images")} if given else {}))
