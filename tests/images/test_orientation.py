"""Photos that their EXIF orientation turns: masks count in pixels as the file has them, and messages name it."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage
from PIL import ImageOps

from maskl import Image
from maskl.adapters.pictures import orientation_of
from maskl.errors import InvalidValue, OrientationWarning, SizeMismatchWarning
from maskl.interchange.source_files import inside
from maskl.interchange.untrusted import picture, read_image

UPRIGHT = {"mask_data": np.zeros((6, 4), np.uint8)}  # as the photo is seen
STORED = {"mask_data": np.zeros((4, 6), np.uint8)}  # as the file has it
BOXES = {"truth": {"box_data": [{"position": {"minX": 0, "maxX": 1, "minY": 0, "maxY": 1}, "class_id": 1}]}}
FORMATS = ("JPEG", "PNG", "WEBP")


def photo(orientation: int, kind: str = "JPEG", size: tuple[int, int] = (6, 4)) -> bytes:
    exif = PILImage.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    PILImage.new("RGB", size, (200, 10, 10)).save(file, kind, exif=exif)
    return file.getvalue()


def saved(folder: Path, *args: Any) -> Path:
    path = folder / "photo.jpg"
    path.write_bytes(photo(*args))
    return path


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_a_file_is_read(kind: str, orientation: int) -> None:
    data = photo(orientation, kind)
    assert orientation_of(data) == orientation
    with PILImage.open(io.BytesIO(data)) as image:
        assert orientation_of(image) == orientation
        assert orientation_of(ImageOps.exif_transpose(image)) == 1


def test_a_tiff_is_turned_by_pillow_itself() -> None:
    data = photo(6, "TIFF")
    with PILImage.open(io.BytesIO(data)) as image:
        image.load()
        assert image.size == (4, 6)
    assert orientation_of(data) == 1


@pytest.mark.parametrize("data", [photo(1)[:60], b"Exif\0\0", b"eXIf" * 9, photo(6).replace(b"\x01\x12", b"\xff\xff")])
def test_broken_files_have_none(data: bytes) -> None:
    assert orientation_of(data) == 1


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("opened", [False, True])
def test_a_mask_of_the_turned_photo_is_named(tmp_path: Path, kind: str, opened: bool) -> None:
    path = saved(tmp_path, 6, kind)
    given = PILImage.open(path) if opened else path
    with pytest.warns(SizeMismatchWarning, match=r"is 4×6 and its image 6×4.*EXIF orientation 6.*exif_transpose"):
        Image(given, masks={"truth": UPRIGHT})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = Image(given, masks={"truth": STORED})
        Image(ImageOps.exif_transpose(PILImage.open(path)), masks={"truth": UPRIGHT})
        Image(given)
    assert (image.width, image.height) == (6, 4)


@pytest.mark.parametrize(("orientation", "size"), [(2, (6, 4)), (3, (6, 4)), (4, (6, 4)), (6, (4, 4)), (8, (4, 4))])
def test_where_sizes_do_not_tell_it_is_said(tmp_path: Path, orientation: int, size: tuple[int, int]) -> None:
    path = saved(tmp_path, orientation, "JPEG", size)
    mask = {"mask_data": np.zeros(size[::-1], np.uint8)}
    with pytest.warns(OrientationWarning, match=f"EXIF orientation {orientation} .*as the file has them"):
        Image(path, masks={"truth": mask})


def test_boxes_have_no_size_that_tells(tmp_path: Path) -> None:
    with pytest.warns(OrientationWarning):
        Image(saved(tmp_path, 6), boxes=BOXES)


def test_photos_of_datasets_follow_the_same_rule(tmp_path: Path) -> None:
    path = saved(tmp_path, 6)
    with pytest.warns(SizeMismatchWarning, match="EXIF orientation 6"):
        picture(path.read_bytes(), masks={"truth": UPRIGHT})
    mask = Image(path, masks={"truth": STORED}).masks["truth"]
    turned = Image(np.zeros((6, 4), np.uint8), masks={"truth": UPRIGHT}).masks["truth"]
    found = inside(tmp_path, "photo.jpg", links=False)
    assert list(read_image(found, masks={"truth": mask}, sized=True).masks) == ["truth"]
    with pytest.raises(InvalidValue, match=r"is 4×6, and its image 6×4\. .*EXIF orientation 6"):
        read_image(found, masks={"truth": turned}, sized=True)
