"""Files of pictures, decoded: at their own size, or at a smaller one where only a thumbnail is made of them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

import maskl
from maskl.adapters.pictures import open_picture, open_reduced
from maskl.drawing.panels import photo, thumbnail
from maskl.errors import CorruptData
from maskl.viewer._photos import photo_of


def waves(width: int, height: int, mode: str = "RGB") -> PILImage.Image:
    """Return a picture without sharp edges, which looks alike at every size."""
    y, x = np.mgrid[:height, :width]
    bands = [(np.sin(x * 7 / width + band) * np.cos(y * 5 / height - band) * 120 + 128) for band in range(3)]
    return PILImage.fromarray(np.stack(bands, axis=-1).astype(np.uint8)).convert(mode)


def file_of(picture: PILImage.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize(
    ("size", "least", "decoded"),
    [
        ((800, 600), 800, (800, 600)),
        ((800, 600), 401, (800, 600)),
        ((800, 600), 400, (400, 300)),
        ((801, 601), 200, (201, 151)),
        ((601, 801), 101, (151, 201)),
        ((800, 600), 1, (100, 75)),
        ((801, 3), 200, (401, 2)),
        ((1, 801), 100, (1, 801)),
        ((1, 1), 100, (1, 1)),
    ],
)
def test_a_jpeg_is_decoded_no_larger_than_is_needed(
    mode: str, size: tuple[int, int], least: int, decoded: tuple[int, int]
) -> None:
    pixels, whole = open_reduced(file_of(waves(*size, mode), "JPEG", quality=95), "it", least)
    assert (pixels.mode, pixels.size, whole) == (mode, decoded, size)


@pytest.mark.parametrize("form", ["PNG", "WEBP", "GIF", "BMP"])
def test_other_formats_are_decoded_as_they_are(form: str) -> None:
    data = file_of(waves(333, 222), form)
    pixels, whole = open_reduced(data, "it", 10)
    assert pixels.size == whole == (333, 222)
    assert pixels.tobytes() == open_picture(data, "it").tobytes()


@pytest.mark.parametrize("data", [b"", b"no picture", file_of(waves(300, 200), "JPEG")[:1000]])
def test_what_is_no_picture_is_said(data: bytes) -> None:
    with pytest.raises(CorruptData, match="it is no picture that Pillow can read"):
        open_reduced(data, "it", 10)


def test_thumbnails_of_large_photos_look_as_those_of_all_their_pixels(tmp_path: Path) -> None:
    whole = waves(2003, 1501)
    path = tmp_path / "photo.jpg"
    path.write_bytes(file_of(whole, "JPEG", quality=95))
    with maskl.init(dir=tmp_path, settings={"silent": True}) as run:
        run.log({"t": maskl.Image(str(path))})
    image = maskl.open(tmp_path).table("t")[0]["image"]
    shown = photo(image)
    assert shown is not None
    of_page = PILImage.open(io.BytesIO(shown.data))
    small = thumbnail(image, 100)
    data, _ = photo_of(path.read_bytes(), "it", 100)
    for made, size in ((of_page, (640, 480)), (small, (100, 75)), (PILImage.open(io.BytesIO(data)), (100, 75))):
        assert made is not None
        assert made.size == size
        wanted = np.asarray(whole.resize(size, PILImage.Resampling.LANCZOS), np.int64)
        assert np.abs(np.asarray(made.convert("RGB"), np.int64) - wanted).mean() < 3
