from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maskl
from maskl.formats.image_folder import sniff
from tests.formats.read.hostile import bomb, edit, refused, save, skipped
from tests.formats.write.pictured import CLASSES, bring, export

Lines = list[dict[str, Any]]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """What maskl exports of two rows."""
    with maskl.init(dir=tmp_path / "store") as run:
        table = maskl.Table(columns=["id", "image", "when"])
        for index in range(2):
            masks = {"ground_truth": {"mask_data": np.array([[0, 7, index]], np.int16)}}
            image = maskl.Image(np.full((1, 3, 3), index, np.uint8), classes=CLASSES, masks=masks)
            table.add_data(index, image, b"x")
        run.log({"표": table})
    export(maskl.open(tmp_path / "store"), tmp_path, "png")
    (tmp_path / "once").rename(tmp_path / "source")
    return tmp_path / "source"


def line(**values: Any) -> Callable[[Path], None]:
    """Return what changes the second line of the metadata."""

    def spoil(source: Path) -> None:
        path = source / "metadata.jsonl"
        first, second = path.read_text("utf-8").splitlines()
        path.write_text(f"{first}\n{json.dumps({**json.loads(second), **values})}\n", "utf-8")

    return spoil


def text(value: str) -> Callable[[Path], None]:
    def spoil(source: Path) -> None:
        path = source / "metadata.jsonl"
        path.write_text(f"{path.read_text('utf-8').splitlines()[0]}\n{value}\n", "utf-8")

    return spoil


IMAGE, MASK = "image_file_name", "image__mask__ground_truth_file_name"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (line(**{IMAGE: "../secret.png"}), "leads out of"),
        (line(**{MASK: "../secret.png"}), "leads out of"),
        (line(**{MASK: "/etc/passwd"}), "leads out of"),
        (line(**{IMAGE: "link.png"}), "through a link"),
        (line(**{IMAGE: "folder/secret.png"}), "through a link"),
        (line(**{MASK: "loop.png"}), "loop.png"),
        (line(**{IMAGE: "gone.png"}), "no file 'gone.png'"),
        (line(**{IMAGE: "images"}), "no file 'images'"),
        (line(**{IMAGE: 5}), "a file's name is needed"),
        (line(**{IMAGE: "a\0b"}), "a file's name is needed"),
        (line(**{IMAGE: None}), "there is a mask and no image"),
        (line(**{IMAGE: "bomb.png"}), "claims 65000×65000 pixels"),
        (line(**{MASK: "bomb.png"}), "too many pixels"),
        (line(**{MASK: "colours.png"}), "colours.png has the colour #000000, which no class has"),
        (line(**{MASK: "far.png"}), "ids that int8 cannot hold"),
        (line(when=5), "text is needed for a value of type bytes"),
        (line(when="!"), "row 1"),
        (text("{"), "not JSON"),
        (text("[1]"), "an object is needed"),
        (text("[" * 100_000), "not JSON"),
    ],
)
def test_a_bad_line_is_named_with_file_and_row(source: Path, spoil: Callable[[Path], None], message: str) -> None:
    save(source.parent / "secret.png", np.zeros((1, 3)))
    (source / "link.png").symlink_to(source.parent / "secret.png")
    (source / "folder").symlink_to(source.parent)
    (source / "loop.png").symlink_to(source / "loop.png")
    save(source / "colours.png", np.zeros((1, 3, 3)))
    save(source / "far.png", [[0, 200, 1]])
    bomb(source / "bomb.png")
    edit(source / "classes.json", lambda body: body["rows"].update({MASK: [[0, 0, "int8"]]}))
    spoil(source)
    refused(source, "png", "metadata.jsonl, row 1", message)
    skipped(source, "png", 1, "metadata.jsonl, row 1", message)


def notes(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda body: body.update(values)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda body: body.pop("maskl"), "not maskl's classes.json"),
        (notes(maskl=2), "update maskl"),
        (notes(maskl="1"), "update maskl"),
        (notes(columns=5), "must be names"),
        (notes(columns=["id"]), "columns: the names that metadata has"),
        (notes(metadata=5), "metadata"),
        (notes(rows={}), "rows: image__mask__ground_truth_file_name"),
        (notes(rows={MASK: [[0, 9, "uint8"]]}), "lists of row, class set and dtype"),
        (notes(rows={MASK: [[0, 0, "float64"]]}), "lists of row, class set and dtype"),
        (notes(captions=5), "captions and urls"),
        (lambda body: body["metadata"]["columns"]["when"].update(type="array", dtype=[1]), "when.dtype: a string"),
        (lambda body: body["metadata"]["columns"]["when"].update(timezone=5), "when.timezone: a string"),
        (lambda body: body["metadata"]["columns"][MASK]["class_sets"][0].append({"id": 0}), "occurs twice"),
        (lambda body: body["metadata"]["columns"][MASK].update(image="id"), "a column of images of this part"),
    ],
)
def test_bad_notes_are_refused_also_without_bad_rows(
    source: Path, spoil: Callable[[dict[str, Any]], None], message: str
) -> None:
    edit(source / "classes.json", spoil)
    refused(source, "png", "classes.json", message)
    with pytest.raises(maskl.errors.MasklError):
        maskl.importing.importer.import_dataset(source, format="png", dir=source.parent / "x", skip_bad=True)
    assert not (source.parent / "x").exists()


def test_a_foreign_image_folder_has_its_first_files_as_images_and_the_others_as_masks(tmp_path: Path) -> None:
    source = tmp_path / "source"
    lines: Lines = []
    for index in range(2):
        save(source / f"{index}.jpg", np.full((2, 3, 3), index))
        save(source / "ann" / f"{index}.png", np.full((2, 3), index))
        lines.append({"file_name": f"{index}.jpg", "mask_file_name": f"ann/{index}.png", "text": f"글 {index}"})
    (source / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    (source / "names.json").write_text('{"0": "없음", "1": "road"}', "utf-8")
    assert sniff(source)
    _, rows = bring(source, "png", classes=str(source / "names.json"))
    assert list(rows[0]) == ["image", "text"]
    mask = rows[1]["image"].masks["mask"]
    assert mask.mask_data.tolist() == [[1] * 3] * 2
    assert mask.class_labels == {0: "없음", 1: "road"}
    assert rows[1]["text"] == "글 1"


def test_a_folder_without_files_in_its_metadata_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    refused(source, "png", "no folder with metadata.jsonl")
    (source / "metadata.jsonl").write_text('{"text": "a"}\n')
    refused(source, "png", "no column names files")
