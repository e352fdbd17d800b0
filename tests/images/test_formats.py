"""Lossless frames: every format keeps every pixel, a digest does not depend on it, and what cannot be is said first."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image as PILImage
from PIL import UnidentifiedImageError

import maskl
from maskl import Image
from maskl.errors import InvalidValue, MissingExtra
from maskl.images.encoding import encode_image
from maskl_storage.errors import CorruptData
from maskl_storage.images import jxl
from maskl_storage.images.lossless import format_of
from maskl_storage.masks import png

Array = npt.NDArray[Any]
Start = Callable[..., maskl.Run]
RNG = np.random.default_rng(3)
FORMATS = ("webp", "png", "jxl")
#: of each kind of array, its mode, and the format in which each choice keeps it
KINDS = {
    "RGB": ("u1", (3,), ("webp", "png", "jxl")),
    "RGBA": ("u1", (4,), ("webp", "png", "jxl")),
    "L": ("u1", (), ("png", "png", "jxl")),
    "LA": ("u1", (2,), ("png", "png", "jxl")),
    "I;16": ("u2", (), ("png", "png", "jxl")),
    "1": ("?", (), ("png", "png", "png")),
}
FRAME = RNG.integers(0, 256, (9, 13, 3), "u1")


def noise(mode: str, height: int = 5, width: int = 7) -> Array:
    dtype, channels, _ = KINDS[mode]
    shape = (height, width, *channels)
    return RNG.random(shape) < 0.5 if dtype == "?" else RNG.integers(0, np.iinfo(dtype).max, shape, dtype, True)


@pytest.fixture
def no_plugin(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Have the package that reads JPEG XL not be installed, from the call on."""
    return lambda: monkeypatch.setitem(sys.modules, "pillow_jxl", None)


def seals(store: Path) -> list[Any]:
    return [json.loads(path.read_text()) for path in sorted(store.glob("seals/*/*.json"))]


# --- pixels -------------------------------------------------------------------------------------


@st.composite
def arrays(draw: st.DrawFn) -> tuple[str, Array]:
    mode = draw(st.sampled_from(list(KINDS)))
    dtype, channels, _ = KINDS[mode]
    shape = (draw(st.integers(1, 19)), draw(st.integers(1, 19)), *channels)
    if draw(st.booleans()):
        return mode, draw(hnp.arrays(np.dtype(dtype), shape))
    return mode, np.full(shape, draw(hnp.from_dtype(np.dtype(dtype))))


@settings(deadline=None)
@given(arrays(), st.sampled_from(FORMATS))
def test_every_format_keeps_every_pixel(drawn: tuple[str, Array], form: str) -> None:
    mode, array = drawn
    kept = KINDS[mode][2][FORMATS.index(form)]
    source = Image(array, file_type=kept).source
    assert source is not None
    data = source.encode()
    assert format_of(data) == kept
    with jxl.open_image(io.BytesIO(data)) as opened:
        assert opened.size == (array.shape[1], array.shape[0])
        np.testing.assert_array_equal(np.array(opened.convert(mode) if kept == "webp" else opened), array)
        assert kept == "webp" or opened.mode == mode


@given(arrays())
def test_zlib_makes_the_same_png_where_there_is_no_isal(drawn: tuple[str, Array]) -> None:
    _, array = drawn
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "isal", None)
        patch.setattr(png, "_fast_packer", png._packers())
        made = png.frame_png(array)
    np.testing.assert_array_equal(np.array(PILImage.open(io.BytesIO(made))), array)


@given(arrays(), st.integers(1, 60))
def test_rows_that_are_written_apart_are_those_of_the_whole(drawn: tuple[str, Array], size: int) -> None:
    _, array = drawn
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(png, "STRIPE", size)
        made = png.frame_png(array)
    np.testing.assert_array_equal(np.array(PILImage.open(io.BytesIO(made))), array)


def test_a_large_frame_stands_in_several_chunks_and_takes_little_memory() -> None:
    frame = RNG.integers(0, 256, (1080, 1920, 3), "u1")
    tracemalloc.start()
    try:
        data = png.frame_png(frame)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert data.count(b"IDAT") > 2
    assert peak < 2.5 * frame.nbytes  # noise: what is written, in pieces and whole
    np.testing.assert_array_equal(np.array(PILImage.open(io.BytesIO(data))), frame)


@pytest.mark.parametrize("transparency", [None, 1, b"\x00\x80\xff"], ids=str)
def test_palettes_are_kept(transparency: int | bytes | None) -> None:
    image = PILImage.fromarray(RNG.integers(0, 5, (6, 9), "u1")).convert("P")
    image.putpalette([1, 2, 3, 40, 50, 60, 7, 8, 9, 200, 0, 0])  # index 4 has no colour
    if transparency is not None:
        image.info["transparency"] = transparency
    source = Image(image).source
    assert source is not None
    back = PILImage.open(io.BytesIO(source.encode()))
    assert back.mode == "P"
    assert back.tobytes() == image.tobytes()
    assert back.convert("RGBA").tobytes() == image.convert("RGBA").tobytes()


def test_a_palette_with_its_own_alpha_is_kept() -> None:
    image = PILImage.fromarray(RNG.integers(0, 2, (6, 9), "u1")).convert("P")
    image.putpalette([1, 2, 3, 4, 50, 60, 70, 80], "RGBA")
    source = Image(image).source
    assert source is not None
    back = PILImage.open(io.BytesIO(source.encode()))
    assert back.convert("RGBA").tobytes() == image.convert("RGBA").tobytes()


def test_a_colour_profile_goes_along() -> None:
    image = PILImage.fromarray(noise("LA"))
    image.info["icc_profile"] = b"a profile"
    source = Image(image).source
    assert source is not None
    back = PILImage.open(io.BytesIO(source.encode()))
    assert (back.info["icc_profile"], back.tobytes()) == (b"a profile", image.tobytes())


# --- the choice ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_a_run_keeps_its_arrays_in_the_format_that_was_chosen(form: str, start: Start, store_dir: Path) -> None:
    arrays = {mode: noise(mode) for mode in KINDS}
    early = [Image(array) for array in arrays.values()]  # made before the run is there
    with start(image_format=form) as run:
        run.log({"early": early[:3]})
        run.log({"images": [Image(array) for array in arrays.values()]})
    store = maskl.open(store_dir)
    wanted = [kept[FORMATS.index(form)] for _, _, kept in KINDS.values()]
    for table, count in (("images", len(wanted)), ("early", 3)):
        rows = [store.table(table)[number]["image"] for number in range(count)]
        assert [row.format for row in rows] == wanted[:count]
        for row, array in zip(rows, arrays.values(), strict=False):
            np.testing.assert_array_equal(np.array(row.image), array)
    assert sorted(f for (f,) in store.sql("SELECT format FROM images").fetchall()) == sorted(wanted)
    assert not store.verify().faults
    assert store.verify().unchecked == 1  # grey and alpha are Pillow's own
    newer = "1.1.0" if form == "webp" else "1.2.0"
    assert {seal["version"] for seal in seals(store_dir) if any("images/" in p["path"] for p in seal["parts"])} == {
        newer
    }


@pytest.mark.parametrize("said", ["setting", "variable", "dict"])
def test_where_the_format_is_said(said: str, start: Start, store_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if said == "variable":
        monkeypatch.setenv("MASKL_IMAGE_FORMAT", "jxl")
        assert Image(FRAME).format == "jxl"
    given = {"setting": maskl.Settings(image_format="jxl"), "dict": {"image_format": "jxl"}, "variable": None}[said]
    with start(settings=given) as run:
        assert run.settings.image_format == "jxl"
        run.log({"image": Image(FRAME), "small": Image(FRAME[:2], file_type="png")})
    monkeypatch.delenv("MASKL_IMAGE_FORMAT", raising=False)
    assert Image(FRAME).format == "webp"  # it was the run's
    store = maskl.open(store_dir)
    assert store.table("image")[0]["image"].format == "jxl"
    assert store.table("small")[0]["image"].format == "png"


def test_the_format_does_not_change_the_digest() -> None:
    array = noise("RGB")
    assert len({Image(array, file_type=form).digest() for form in (None, *FORMATS)}) == 1
    assert len({Image(array, file_type=form).digest() for form in (None, "jpg", "bmp")}) == 3
    deep = noise("I;16")
    assert Image(deep).digest() == Image(deep, file_type="jxl").digest()


@pytest.mark.parametrize(("first", "second"), [("webp", "jxl"), ("jxl", "webp"), ("png", "jxl")])
def test_runs_share_frames_whatever_they_chose(first: str, second: str, start: Start, store_dir: Path) -> None:
    for number, form in enumerate((first, second)):
        with start(name=f"run{number}", image_format=form) as run:
            run.log({"t": Image(FRAME)})
    store = maskl.open(store_dir)
    assert store.sql("SELECT format FROM images").fetchall() == [(first,)]
    assert store.sql("SELECT image.format, count(*) FROM t GROUP BY ALL").fetchall() == [(first, 2)]
    assert not store.verify().faults


def test_a_row_that_names_another_format_than_the_file_has_is_copied_as_the_file_is(
    start: Start, store_dir: Path, tmp_path: Path
) -> None:
    stored = Image(FRAME, file_type="jxl")
    with start() as run:
        run.log({"t": stored})
    row = maskl.open(store_dir).table("t")[0]["image"]
    kept, load = row.stored
    said = type(kept)(**{**{name: getattr(kept, name) for name in kept.__dataclass_fields__}, "format": "webp"})
    with maskl.init(dir=tmp_path / "other") as run:
        run.log({"t": Image(Image.from_stored(said, load))})
    other = maskl.open(tmp_path / "other")
    assert other.sql("SELECT format FROM images").fetchall() == [("jxl",)]
    assert not other.verify().faults


def test_a_killed_writers_frames_come_back_in_their_format(start: Start, store_dir: Path) -> None:
    run = start(image_format="jxl")
    run.log({"t": Image(FRAME)})
    run._writer.abandon()
    (recovered,) = maskl.open(store_dir).recover()
    assert (recovered.images, recovered.problem) == (1, None)
    store = maskl.open(store_dir)
    np.testing.assert_array_equal(np.array(store.table("t")[0]["image"].image), FRAME)
    assert not store.verify().faults
    assert [seal["version"] for seal in seals(store_dir)] == ["1.2.0"]


def test_files_and_jpegs_are_of_the_version_that_they_were(start: Start, store_dir: Path, tmp_path: Path) -> None:
    PILImage.fromarray(FRAME).save(tmp_path / "a.png")
    (tmp_path / "b.jxl").write_bytes(jxl.encode(FRAME, "RGB"))
    with start(image_format="png") as run:
        run.log({"t": [Image(tmp_path / "a.png"), Image(tmp_path / "b.jxl"), Image(FRAME, file_type="jpg")]})
    assert {seal["version"] for seal in seals(store_dir)} == {"1.1.0"}
    store = maskl.open(store_dir)
    assert [store.table("t")[row]["image"].format for row in range(3)] == ["png", "jxl", "jpeg"]


# --- what cannot be -----------------------------------------------------------------------------


def test_an_unknown_format_is_refused_before_anything_is_written(
    start: Start, store_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidValue, match="image_format must be one of 'webp', 'png', 'jxl'; got 'jpg'"):
        start(image_format="jpg")
    monkeypatch.setenv("MASKL_IMAGE_FORMAT", "avif")
    with pytest.raises(InvalidValue, match=r"variable MASKL_IMAGE_FORMAT: image_format must be one of .* got 'avif'"):
        start()
    with pytest.raises(InvalidValue, match="variable MASKL_IMAGE_FORMAT"):
        encode_image(Image(FRAME))
    assert not store_dir.exists()


@pytest.mark.parametrize("mode", ["1", "P", "CMYK"])
def test_a_file_type_that_cannot_hold_the_mode_says_what_it_can(mode: str) -> None:
    image = PILImage.fromarray(FRAME).convert(mode)
    with pytest.raises(InvalidValue, match=f"'jxl' keeps images of the modes L, .* is of mode {mode}: leave file_type"):
        Image(image, file_type="jxl")


def test_without_the_plugin_the_extra_is_named_before_anything_is_written(
    no_plugin: Callable[[], None], start: Start, store_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "b.jxl").write_bytes(jxl.encode(FRAME, "RGB"))
    no_plugin()
    extra = r"pip install 'maskl\[jxl\]'"
    with pytest.raises(MissingExtra, match=f"image_format='jxl' needs pillow_jxl: {extra}"):
        start(image_format="jxl")
    with pytest.raises(MissingExtra, match=f"file_type='jxl' needs pillow_jxl: {extra}"):
        Image(FRAME, file_type="jxl")
    with pytest.raises(MissingExtra, match=extra):
        Image(tmp_path / "b.jxl")
    monkeypatch.setenv("MASKL_IMAGE_FORMAT", "jxl")
    with pytest.raises(MissingExtra, match=f"variable MASKL_IMAGE_FORMAT: .*{extra}"):
        start()
    assert not store_dir.exists()


def test_without_the_plugin_a_store_opens_and_its_frames_are_unchecked(
    no_plugin: Callable[[], None], start: Start, store_dir: Path
) -> None:
    with start(image_format="jxl") as run:
        run.log({"t": [Image(FRAME, masks={"m": {"mask_data": FRAME[:, :, 0]}}), Image(noise("1"))]})
    no_plugin()
    store = maskl.open(store_dir)
    found = store.verify(processes=1)
    assert (found.faults, found.unchecked) == ([], 1)
    image = store.table("t")[0]["image"]
    assert (image.format, image.mode, image.width) == ("jxl", "RGB", 13)
    np.testing.assert_array_equal(image.masks["m"].mask_data, FRAME[:, :, 0])
    with pytest.raises(MissingExtra, match=r"pip install 'maskl\[jxl\]'"):
        _ = image.image


# --- hostile files ------------------------------------------------------------------------------


@given(st.integers(1, 700), st.integers(1, 700), st.sampled_from(["L", "I;16"]))
def test_a_header_says_the_size(width: int, height: int, mode: str) -> None:
    array = np.zeros((height, width), KINDS[mode][0])
    data = jxl.encode(array, mode)  # 16 bits stand in a container
    assert jxl.size_of(data) == (width, height)


def test_a_file_that_claims_more_pixels_than_pillow_decodes_is_not_decoded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = jxl.encode(np.zeros((40, 50), "u1"), "L")
    monkeypatch.setattr(PILImage, "MAX_IMAGE_PIXELS", 900)
    with pytest.raises(PILImage.DecompressionBombError, match="2000 pixels"):
        jxl.open_image(io.BytesIO(data))
    (tmp_path / "a.jxl").write_bytes(data)
    with pytest.raises(InvalidValue, match="too large to decode"):
        Image(tmp_path / "a.jxl")


#: a bare codestream and a container
WHOLE = (jxl.encode(FRAME, "RGB"), jxl.encode(noise("I;16"), "I;16"))


@settings(deadline=None)
@given(st.data())
def test_a_broken_file_is_corrupt_and_nothing_else(data: st.DataObject) -> None:
    whole = bytearray(data.draw(st.sampled_from(WHOLE)))
    if data.draw(st.booleans()):
        del whole[data.draw(st.integers(2, len(whole) - 1)) :]
    else:
        whole[data.draw(st.integers(2, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(CorruptData, PILImage.DecompressionBombError, UnidentifiedImageError):
        jxl.open_image(io.BytesIO(bytes(whole)))


def test_verify_finds_a_frame_of_another_size_without_the_plugin(no_plugin: Callable[[], None]) -> None:
    from maskl_storage.verify._checks import _image_problem

    row = {"bytes": jxl.encode(FRAME, "RGB"), "digest": "0" * 64, "format": "jxl", "mode": "RGB"}
    no_plugin()
    assert _image_problem({**row, "width": 13, "height": 9}) is None
    assert _image_problem({**row, "width": 9, "height": 13}) == "it is jxl of (13, 9); its row says jxl of (9, 13)"


def test_verify_takes_the_digest_that_older_software_wrote(start: Start, store_dir: Path) -> None:
    """In version 1.1 an array that was to be a PNG said so in its digest."""
    from blake3 import blake3

    from maskl_storage.verify._checks import _image_problem

    def row(line: str) -> dict[str, Any]:
        head = f"array {FRAME.shape} |u1 RGB {line}\n".encode()
        digest = blake3(head + FRAME.tobytes()).hexdigest()
        return {
            "bytes": png.frame_png(FRAME),
            "digest": digest,
            "format": "png",
            "mode": "RGB",
            "width": 13,
            "height": 9,
        }

    assert _image_problem(row("png")) == _image_problem(row("webp")) == ""
    assert _image_problem(row("jxl")) == "its digest is not that of its pixels"


def test_pngs_hold_what_zlib_says() -> None:
    data = png.frame_png(noise("1", 3, 9))
    body = data[data.index(b"IDAT") + 4 : data.index(b"IEND") - 8]
    assert len(zlib.decompress(body)) == 3 * (1 + 2)  # a filter's number and a bit a pixel


# --- what reads frames --------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_what_shows_frames_reads_all_of_them(form: str, start: Start, store_dir: Path, tmp_path: Path) -> None:
    from maskl.viewer._photos import photo_of

    frame = RNG.integers(0, 256, (9, 13, 3), "u1")
    plain = Image(frame, masks={"ground_truth": {"mask_data": np.eye(9, 13, dtype="u1")}})
    with start(image_format=form) as run:
        run.log({"t": plain})
    store = maskl.open(store_dir)
    image = store.table("t")[0]["image"]
    assert image.overlay("ground_truth").tobytes() == plain.overlay("ground_truth").tobytes()
    assert image == plain
    assert image._repr_png_() == plain._repr_png_()
    stored, load = image.stored
    assert stored.format == format_of(load()) == form
    for side in (None, 4):
        data, media_type = photo_of(load(), "it", side)
        shown = np.asarray(PILImage.open(io.BytesIO(data)))
        assert media_type == ("image/png" if form == "jxl" and side is None else f"image/{'webp' if side else form}")
        assert shown.shape == (9, 13, 3) if side is None else max(shown.shape[:2]) == 4
        assert side is not None or np.array_equal(shown, frame)
    back = pickle.loads(pickle.dumps(store.table("t")))  # as it goes to a DataLoader's workers
    np.testing.assert_array_equal(np.asarray(back[0]["image"].image), frame)


@pytest.mark.parametrize("form", FORMATS)
def test_data_loaders_read_all_of_them(form: str, start: Start, store_dir: Path) -> None:
    torch = pytest.importorskip("torch")
    with start(image_format=form) as run:
        run.log({"t": Image(FRAME)})
    rows = maskl.open(store_dir).table("t").to_torch(["image"])
    (batch,) = torch.utils.data.DataLoader(rows)
    assert np.array_equal(np.asarray(batch["image"][0]).transpose(1, 2, 0), FRAME)


def test_datasets_of_hugging_face_hold_what_they_open(start: Start, store_dir: Path) -> None:
    with start(image_format="jxl") as run:
        run.log({"t": Image(FRAME)})
    made = maskl.open(store_dir).table("t").to_hf()
    data = made.data.column("image").to_pylist()[0]["bytes"]
    assert format_of(data) == "webp"
    np.testing.assert_array_equal(np.array(PILImage.open(io.BytesIO(data))), FRAME)


def test_what_claims_more_pixels_than_are_imported_or_painted_is_not_decoded() -> None:
    from maskl.interchange.untrusted import stored_image
    from maskl.viewer._photos import photo_of

    sides = (1 << 30) - 1
    bits = 0b110 | sides << 3 | 1 << 33  # no multiple of 8, in 30 bits, and as wide as high
    data = b"\xff\x0a" + bits.to_bytes(14, "little")
    assert jxl.size_of(data) == (1 << 30, 1 << 30)
    with pytest.raises(InvalidValue, match="claims 1073741824×1073741824 pixels"):
        stored_image(data)
    with pytest.raises(InvalidValue, match="pixels"):
        photo_of(data, "it")
