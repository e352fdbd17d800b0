"""Images: what was logged comes back bit for bit, mode and dtype included."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image as PILImage

import maskl
from maskl import Classes, Image, ImageMask
from maskl.errors import (
    ConversionWarning,
    InvalidType,
    InvalidValue,
    NotFound,
    ServerOnlyWarning,
    SizeMismatchWarning,
    StatisticsWarning,
)
from maskl_storage import StoredImage

Array = npt.NDArray[Any]
Start = Callable[..., maskl.Run]
RNG = np.random.default_rng(0)
MASK = {"mask_data": np.array([[0, 1], [1, 0]], np.uint8)}
PALE = {"mask_data": np.zeros((4, 4), np.uint8)}


class Odd:
    """Something that nothing knows, with a name that does not change from run to run."""

    def __repr__(self) -> str:
        return "odd"


@pytest.fixture
def logged(start: Start, store_dir: Path) -> Callable[[Image], Image]:
    """Log an image and read it back."""

    def logged(image: Image) -> Image:
        with start() as run:
            run.log({"images": image})
        back = maskl.open(store_dir).table("images")[0]["image"]
        assert isinstance(back, Image)
        return back

    return logged


def noise(shape: tuple[int, ...], dtype: str = "u1") -> Array:
    if dtype == "?":
        return RNG.random(shape) < 0.5
    return RNG.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


# --- arrays -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "dtype", "mode"),
    [
        ((7, 5, 3), "u1", "RGB"),
        ((7, 5, 4), "u1", "RGBA"),
        ((7, 5, 2), "u1", "LA"),
        ((7, 5), "u1", "L"),
        ((7, 5), "?", "1"),
        ((7, 9), "?", "1"),
        ((7, 5), "<u2", "I;16"),
        ((7, 1, 3), "u1", "RGB"),
        ((1, 7, 3), "u1", "RGB"),
        ((1, 1, 3), "u1", "RGB"),
        ((1, 1), "u1", "L"),
        ((1, 1), "?", "1"),
        ((7, 1, 4), "u1", "RGBA"),
        ((1, 7, 2), "u1", "LA"),
        ((64, 48, 3), "u1", "RGB"),
        ((3, 3, 3), "u1", "RGB"),
    ],
)
def test_arrays_come_back_bit_for_bit(
    logged: Callable[[Image], Image], shape: tuple[int, ...], dtype: str, mode: str
) -> None:
    array = noise(shape, dtype)
    image = Image(array)
    assert (image.height, image.width, image.mode) == (*shape[:2], mode)
    back = logged(image)
    assert (back.height, back.width, back.mode, back.image.mode) == (*shape[:2], mode, mode)
    pixels = np.array(back.image)
    assert pixels.dtype == array.dtype
    assert np.array_equal(pixels, array)


@given(
    hnp.arrays(
        np.uint8,
        st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 2, 3, 4])),
        elements=st.integers(0, 255),
    )
)
def test_any_small_array_comes_back_from_its_encoded_bytes(array: Array) -> None:
    image = Image(array)
    assert image.source is not None
    form = (image.source.format, image.mode, image.width, image.height)
    back = Image.from_stored(StoredImage(image.digest(), *form, None, None, {}), image.source.encode)
    assert back.image.mode == image.mode
    assert np.array_equal(np.array(back.image).reshape(array.shape), array)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_under_full_transparency_are_kept(logged: Callable[[Image], Image], mode: str) -> None:
    array = noise((6, 6, 4 if mode == "RGBA" else 3))
    array[..., -1] = 0
    assert np.array_equal(np.array(logged(Image(array)).image), array)


@pytest.mark.parametrize("channels", [2, 4])
def test_an_opaque_image_keeps_its_alpha_channel(logged: Callable[[Image], Image], channels: int) -> None:
    array = noise((6, 6, channels))
    array[..., -1] = 255
    back = logged(Image(array))
    assert back.image.mode == back.mode == ("LA" if channels == 2 else "RGBA")
    assert np.array_equal(np.array(back.image), array)


@pytest.mark.parametrize(
    "arrange",
    [np.asfortranarray, lambda a: a[::-1], lambda a: a[:, ::-1], lambda a: np.repeat(a, 2, 0)[::2]],
    ids=["Fortran", "flipped", "mirrored", "strided"],
)
@pytest.mark.parametrize("shape", [(6, 5, 3), (6, 5)])
def test_the_memory_layout_does_not_matter(
    logged: Callable[[Image], Image], shape: tuple[int, ...], arrange: Callable[[Array], Array]
) -> None:
    array = noise(shape)
    arranged = arrange(array)
    image = Image(arranged)
    assert image.digest() == Image(np.ascontiguousarray(arranged)).digest()
    assert np.array_equal(np.array(logged(image).image), arranged)


def test_one_channel_is_grey(logged: Callable[[Image], Image]) -> None:
    array = noise((4, 5, 1))
    back = logged(Image(array))
    assert back.mode == "L"
    assert np.array_equal(np.array(back.image), array[:, :, 0])


@pytest.mark.parametrize("dtype", ["i1", "i2", ">u2", "i4", "u4", "i8", ">i8", "u8"])
@pytest.mark.parametrize("shape", [(3, 4, 3), (3, 4, 1)])
def test_integers_from_0_to_127_are_taken_as_they_are(dtype: str, shape: tuple[int, ...]) -> None:
    array = noise(shape, "i1").clip(0).astype(dtype)
    assert np.array_equal(np.array(Image(array).image).reshape(shape), array)


def test_big_endian_uint16_is_16_bit_grey(logged: Callable[[Image], Image]) -> None:
    array = noise((4, 5), "<u2")
    assert np.array_equal(np.array(logged(Image(array.astype(">u2"))).image), array)


def test_bools_with_channels_become_black_and_white() -> None:
    array = noise((3, 4, 3), "?")
    assert np.array_equal(np.array(Image(array).image), array * np.uint8(255))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f8"])
def test_floats_from_0_to_1_are_scaled(logged: Callable[[Image], Image], dtype: str) -> None:
    array = (noise((4, 5, 3)) / 255).astype(dtype)
    expected = np.rint(array.astype("f8") * 255).astype(np.uint8)
    assert np.array_equal(np.array(logged(Image(array)).image), expected)


def test_floats_from_minus_1_to_1_are_scaled() -> None:
    array = np.array([[-1.0, 0.0, 1.0]])
    assert np.array(Image(array).image).tolist() == [[0, 128, 255]]


def test_floats_from_0_to_255_are_rounded() -> None:
    assert np.array(Image(np.array([[0.0, 1.6, 255.0]])).image).tolist() == [[0, 2, 255]]
    assert np.array(Image(np.array([[0.0, 0.4, 1.0]]), normalize=False).image).tolist() == [[0, 0, 1]]


@pytest.mark.parametrize(
    ("array", "pixels", "words"),
    [
        (np.array([[-5, 300]]), [[0, 255]], "from -5 to 300 were clipped"),
        (np.array([[-5.0, 300.0]]), [[0, 255]], "from -5 to 300 were clipped"),
        (np.array([[0.0, np.nan]]), [[0, 0]], "NaN or infinite"),
        (np.array([[1.0, np.inf]]), [[255, 0]], "NaN or infinite"),
        (np.array([[np.nan]]), [[0]], "NaN or infinite"),
    ],
    ids=str,
)
def test_values_that_do_not_fit_are_stored_with_a_warning(array: Array, pixels: list[list[int]], words: str) -> None:
    with pytest.warns(ConversionWarning, match=words):
        image = Image(array)
    assert np.array(image.image).tolist() == pixels


@pytest.mark.parametrize("dtype", ["u1", "i8", "u2"])
def test_integers_of_0_and_1_are_never_rescaled(dtype: str) -> None:
    array = noise((5, 4, 3), "?").astype(dtype)
    assert np.array_equal(np.array(Image(array).image), array)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("normalize", [True, False])
def test_many_floats_are_scaled_as_few_are(dtype: str, normalize: bool) -> None:
    array = (RNG.random((300, 257, 3)) * 2 - 1).astype(dtype)
    if not normalize:
        array *= 200
    expected = (array.astype("f8") + 1) * 127.5 if normalize else array.astype("f8")
    if normalize:
        image = Image(np.asfortranarray(array))
    else:
        with pytest.warns(ConversionWarning, match="clipped"):
            image = Image(array, normalize=False)
    assert np.array_equal(np.array(image.image), np.rint(expected.clip(0, 255)).astype(np.uint8))


def test_without_normalize_small_floats_stay_as_they_are() -> None:
    with pytest.warns(ConversionWarning, match="from -1 to 1 were clipped"):
        image = Image(np.array([[-1.0, 0.4, 1.0]]), normalize=False)
    assert image.to_data_array() == [[0, 0, 1]]


def test_many_integers_out_of_range_are_clipped() -> None:
    array = RNG.integers(-500, 500, (300, 257, 3))
    with pytest.warns(ConversionWarning, match="were clipped"):
        image = Image(array)
    assert np.array_equal(np.array(image.image), array.clip(0, 255))


@pytest.mark.parametrize(
    ("shape", "kept"),
    [
        ((1, 6, 5, 3), (6, 5, 3)),
        ((1, 1, 6, 5), (6, 5)),
        ((1, 6, 5), (6, 5)),
        ((6, 5, 1, 3), (6, 5, 3)),
        ((1, 1, 5, 3), (1, 5, 3)),
        ((1, 6, 5, 1), (6, 5)),
    ],
)
def test_a_batch_of_one_image_is_that_image(shape: tuple[int, ...], kept: tuple[int, ...]) -> None:
    array = noise(shape)
    assert np.array_equal(np.array(Image(array).image), array.reshape(kept))


@pytest.mark.parametrize("shape", [(7, 1, 3), (1, 7, 3), (1, 1, 3)])
def test_a_line_of_rgb_pixels_stays_rgb(shape: tuple[int, ...]) -> None:
    for array in (noise(shape), noise(shape) / 255, noise(shape).astype(np.int64)):
        image = Image(array)
        assert (image.mode, image.height, image.width) == ("RGB", *shape[:2])


def test_the_callers_array_is_neither_kept_nor_changed() -> None:
    array = np.zeros((4, 5, 3), np.uint8)
    image = Image(array)
    array[:] = 9
    assert np.array(image.image).max() == 0
    assert array.flags.writeable


def test_the_callers_masks_are_not_changed() -> None:
    masks = {"k": {"mask_data": np.zeros((2, 2), int), "class_labels": {0: "a"}}}
    classes = [{"id": 0, "name": "a"}]
    image = Image(np.zeros((2, 2), np.uint8), masks=masks, classes=classes)
    assert set(masks) == {"k"}
    assert set(masks["k"]) == {"mask_data", "class_labels"}
    assert classes == [{"id": 0, "name": "a"}]
    masks.clear()
    image.masks.clear()
    assert set(image.masks) == {"k"}


@pytest.mark.parametrize(
    "make",
    [
        partial(Image, np.array([[-5, 300]])),
        partial(Image, np.array([[-5.0, 300.0]])),
        partial(Image, np.array([[np.nan]])),
        partial(Image, PILImage.new("CMYK", (3, 3))),
        partial(Image, np.zeros((3, 3, 4), np.uint8), file_type="jpg"),
        partial(Image, np.zeros((4, 6), np.uint8), masks={"k": MASK}),
    ],
    ids=["integers", "floats", "NaN", "Pillow", "file type", "mask size"],
)
def test_a_warning_points_at_the_callers_line(make: Callable[[], Image]) -> None:
    with pytest.warns(maskl.errors.MasklWarning) as caught:
        make()
    assert [warning.filename for warning in caught] == [__file__]


# --- tensors and figures ------------------------------------------------------------------------


class Tensor:
    """What maskl asks of a torch tensor, for where torch is not installed; a CUDA tensor that needs its gradient."""

    __module__ = "torch"
    requires_grad = True
    is_sparse = False
    dtype = np.dtype(np.uint8)

    def __init__(self, array: Array, detached: bool = False) -> None:
        self._array, self._detached = array, detached

    def detach(self) -> Tensor:
        return Tensor(self._array, detached=True)

    def is_floating_point(self) -> bool:
        return False

    def numpy(self, *, force: bool = False) -> Array:
        assert self._detached
        assert force
        return self._array

    def __array__(self, *_: Any, **__: Any) -> Array:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


class Derived(Tensor):
    __module__ = "torchvision.tv_tensors"


@pytest.mark.parametrize("kind", [Tensor, Derived])
def test_tensors_have_their_channels_first(kind: type[Tensor]) -> None:
    array = noise((3, 5, 7))
    image = Image(kind(array))
    assert (image.width, image.height, image.mode) == (7, 5, "RGB")
    assert np.array_equal(np.array(image.image), array.transpose(1, 2, 0))
    assert np.array_equal(np.array(Image(kind(array[0])).image), array[0])
    assert np.array_equal(np.array(Image(kind(array[None])).image), array.transpose(1, 2, 0))


def test_a_tensor_that_is_no_image_is_refused() -> None:
    with pytest.raises(InvalidType, match=r"a tensor \(H, W\) or \(C, H, W\)"):
        Image(Tensor(noise((5, 7, 30))))


def test_tensors_of_torch_are_images_and_masks(logged: Callable[[Image], Image]) -> None:
    torch = pytest.importorskip("torch")
    pixels = torch.rand(3, 6, 8, requires_grad=True)
    mask = torch.randint(0, 300, (6, 8))
    back = logged(Image(pixels, masks={"k": {"mask_data": mask}}))
    expected = np.rint(pixels.detach().numpy().astype("f8").transpose(1, 2, 0) * 255)
    assert np.array_equal(np.array(back.image), expected)
    assert np.array_equal(back.masks["k"].mask_data, mask.numpy())
    half = Image(pixels.detach().to(torch.bfloat16))
    assert np.abs(np.array(half.image).astype(int) - expected).max() <= 1
    assert Image(torch.nn.Parameter(pixels)).digest() == Image(pixels).digest()
    assert Image(torch.zeros(1, 4, 4, dtype=torch.uint8)).mode == "L"
    with pytest.raises(InvalidType, match="channels"):
        Image(torch.zeros(5, 4, 4))


def test_figures_and_axes_are_drawn(logged: Callable[[Image], Image]) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    plt = pytest.importorskip("matplotlib.pyplot")
    figure, (left, right) = plt.subplots(1, 2, figsize=(3, 2), dpi=50)
    left.plot([1, 2])
    shown = right.imshow(np.eye(3))
    images = [Image(thing, caption="c") for thing in (figure, left, right, shown, plt)]
    assert (images[0].width, images[0].height) == (150, 100)
    assert all(image == images[0] for image in images)
    left.plot([2, 1])
    assert Image(figure, caption="c") != images[0]
    jpeg = Image(figure, file_type="jpg")  # opaque, so without a warning
    assert (jpeg.mode, Image(figure, mode="L").mode) == ("RGB", "L")
    plt.close(figure)
    assert logged(images[0]) == images[0]
    with pytest.raises(InvalidType, match="belongs to no figure"):
        Image(matplotlib.lines.Line2D([0, 1], [0, 1]))


# --- references ---------------------------------------------------------------------------------


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every connection an error."""
    import socket

    def refuse(*_: Any) -> None:
        raise AssertionError("something was fetched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    "url", ["s3://bucket/a/b.png", "gs://bucket/그림.jpg", "http://host/a.png?x=1", "https://host/a", "HTTPS://host/a"]
)
def test_a_url_is_kept_as_a_reference(logged: Callable[[Image], Image], store_dir: Path, url: str) -> None:
    given = Image(url, caption="far", masks={"k": MASK})
    back = logged(given)
    for image in (given, back, pickle.loads(pickle.dumps(back)), Image(back)):
        assert image.reference == url
        assert (image.width, image.height, image.mode, image.caption) == (None, None, None, "far")
        assert np.array_equal(image.masks["k"].mask_data, MASK["mask_data"])
        with pytest.raises(NotFound, match="is kept as a reference, so its pixels are not here"):
            _ = image.image
        with pytest.raises(NotFound, match="is kept as a reference"):
            image.digest()
        with pytest.raises(NotFound, match="is kept as a reference"):
            image.to_data_array()
    assert back == given
    assert back != Image(url + "x", caption="far", masks={"k": MASK})
    assert repr(back) == f"<Image {url} with masks k>"
    query = "SELECT image.path, image.digest, image.width FROM tables.images"
    assert maskl.sql(query, dir=store_dir).fetchall() == [(url, None, None)]
    assert maskl.sql("SELECT count(*) FROM images", dir=store_dir).fetchall() == [(0,)]
    (again,) = [row[0] for row in maskl.Table(["image"], [[back]]).data]
    assert again == back


def test_a_reference_cannot_be_converted() -> None:
    with pytest.raises(InvalidValue, match="is kept as a reference, whose mode 'L' cannot change"):
        Image("s3://bucket/a.png", mode="L")
    with pytest.raises(NotFound, match="is kept as a reference"):
        Image(Image("s3://bucket/a.png"), mode="L")


# --- Pillow and files ---------------------------------------------------------------------------


def palette_image() -> PILImage.Image:
    image = PILImage.new("P", (6, 4))
    image.putpalette([value for index in range(5) for value in (index * 50, 255 - index, 7)])
    image.putdata([index % 5 for index in range(24)])
    return image


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_pillow_images_keep_their_mode(logged: Callable[[Image], Image], mode: str) -> None:
    if mode == "P":
        image = palette_image()
    elif mode == "I;16":
        image = PILImage.fromarray(noise((4, 6), "<u2"))
    else:
        image = PILImage.fromarray(noise((4, 6, 4))).convert(mode)
    assert image.mode == mode
    back = logged(Image(image))
    assert back.mode == back.image.mode == mode
    assert back.image.size == (6, 4)
    assert np.array_equal(np.array(back.image), np.array(image))
    if mode == "P":
        assert np.array_equal(np.array(back.image.convert("RGB")), np.array(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV", "F", "LAB"])
def test_modes_that_png_cannot_keep_are_converted_with_a_warning(mode: str) -> None:
    image = PILImage.new("RGB", (3, 3)).convert("L").convert("F") if mode == "F" else PILImage.new(mode, (3, 3))
    with pytest.warns(ConversionWarning, match=f"mode {mode} was converted to"):
        Image(image)


@pytest.mark.parametrize("high", [0, 65535])
def test_32_bit_images_that_fit_in_16_bits_keep_their_values(logged: Callable[[Image], Image], high: int) -> None:
    array = np.array([[0, high]], np.int32)
    assert np.array_equal(np.array(logged(Image(PILImage.fromarray(array))).image), array)


@pytest.mark.parametrize("values", [[0, 65536], [-1, 3]])
def test_32_bit_images_that_do_not_fit_are_converted_with_a_warning(values: list[int]) -> None:
    with pytest.warns(ConversionWarning, match="mode I was converted"):
        Image(PILImage.fromarray(np.array([values], np.int32)))


def test_a_pillow_image_is_copied(logged: Callable[[Image], Image]) -> None:
    pixels = palette_image()
    image = Image(pixels)
    pixels.putpixel((0, 0), 4)
    assert np.array(logged(image).image)[0, 0] == 0


def test_images_that_differ_in_transparency_only_stay_apart(start: Start, store_dir: Path) -> None:
    opaque, clear = palette_image(), palette_image()
    clear.info["transparency"] = 0
    with start() as run:
        run.log({"images": [Image(opaque), Image(clear)]})
    rows = maskl.open(store_dir).table("images")
    assert np.array(rows[0]["image"].image.convert("RGBA"))[0, 0, 3] == 255
    assert np.array(rows[1]["image"].image.convert("RGBA"))[0, 0, 3] == 0


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("a.png", "RGB"),
        ("a.jpg", "RGB"),
        ("a.bmp", "L"),
        ("a.webp", "RGB"),
        ("a.gif", "P"),
        ("a.tiff", "F"),
        ("b.png", "P"),
    ],
)
@pytest.mark.parametrize("as_text", [True, False])
def test_files_are_kept_byte_for_byte(
    logged: Callable[[Image], Image], store_dir: Path, tmp_path: Path, name: str, mode: str, as_text: bool
) -> None:
    path = tmp_path / name
    image = palette_image() if mode == "P" else PILImage.fromarray(noise((4, 6, 3))).convert("L").convert(mode)
    image.save(path)
    data = path.read_bytes()
    back = logged(Image(str(path) if as_text else path))
    path.unlink()
    assert maskl.sql("SELECT bytes FROM images", dir=store_dir).fetchall() == [(data,)]
    assert (back.width, back.height, back.mode) == (6, 4, mode)
    assert back.stored is not None
    assert back.stored[0].path == str(path)


def test_a_rotated_photo_is_not_turned(logged: Callable[[Image], Image], store_dir: Path, tmp_path: Path) -> None:
    exif = PILImage.Exif()
    exif[0x0112] = 6
    PILImage.fromarray(noise((4, 6, 3))).save(tmp_path / "a.jpg", exif=exif)
    back = logged(Image(tmp_path / "a.jpg"))
    assert (back.width, back.height) == (6, 4)
    assert back.image.getexif()[0x0112] == 6


@pytest.mark.parametrize(
    ("kind", "mode"), [("png", "RGB"), ("webp", "RGBA"), ("bmp", "RGB"), ("png", "LA"), ("bmp", "1")]
)
def test_file_type_chooses_the_format(logged: Callable[[Image], Image], store_dir: Path, kind: str, mode: str) -> None:
    array = noise((5, 6), "?") if mode == "1" else noise((5, 6, len(mode)))
    back = logged(Image(array, file_type=kind))
    assert maskl.sql("SELECT format, mode FROM images", dir=store_dir).fetchall() == [(kind, mode)]
    assert np.array_equal(np.array(back.image), array)


def test_jpeg_is_kept_as_asked(logged: Callable[[Image], Image], store_dir: Path) -> None:
    back = logged(Image(noise((16, 16, 3)), file_type="jpg"))
    assert maskl.sql("SELECT format FROM images", dir=store_dir).fetchall() == [("jpeg",)]
    assert back.image.size == (16, 16)


def test_what_the_file_type_cannot_keep_is_converted_with_a_warning() -> None:
    with pytest.warns(ConversionWarning, match="mode RGBA was converted to RGB, since jpg cannot keep it"):
        assert Image(noise((3, 3, 4)), file_type="jpg").mode == "RGB"


def test_mode_converts(logged: Callable[[Image], Image]) -> None:
    array = noise((4, 5, 3))
    back = logged(Image(array, mode="L"))
    assert back.mode == "L"
    assert np.array_equal(np.array(back.image), np.array(PILImage.fromarray(array).convert("L")))


def test_an_image_too_wide_for_webp_is_kept_as_png(logged: Callable[[Image], Image]) -> None:
    array = np.zeros((1, 16384, 3), np.uint8)
    array[0, -1] = 7
    assert np.array_equal(np.array(logged(Image(array)).image), array)


# --- masks and classes --------------------------------------------------------------------------


def test_masks_come_back_with_dtype_labels_and_ignored_ids(logged: Callable[[Image], Image]) -> None:
    masks = {
        "예측값": {"mask_data": np.array([[0, -1], [1, 0]], ">i8"), "class_labels": {0: "사람", 5: "나무"}},
        "ground truth": {"mask_data": np.array([[True, False], [False, True]]), "ignore_index": [1]},
    }
    back = logged(Image(np.zeros((2, 2), np.uint8), masks=masks, caption="caption 🐙"))
    assert list(back.masks) == list(masks)
    assert back.caption == "caption 🐙"
    for key, val in masks.items():
        assert back.masks[key].mask_data.dtype == val["mask_data"].dtype
        assert np.array_equal(back.masks[key].mask_data, val["mask_data"])
    assert back.masks["예측값"].class_labels == {0: "사람", 5: "나무"}
    assert back.masks["ground truth"].ignore_index == {1}


def test_a_mask_takes_the_names_of_the_images_classes(logged: Callable[[Image], Image]) -> None:
    classes = Classes([{"id": 0, "name": "a"}, {"id": 1, "name": "b", "color": "#010203", "ignore": True}])
    back = logged(Image(np.zeros((2, 2), np.uint8), masks={"k": MASK}, classes=classes))
    assert back.masks["k"].class_labels == {0: "a", 1: "b"}
    assert back.masks["k"].ignore_index == {1}
    assert back.masks["k"].class_set == classes.items


def test_a_masks_own_labels_come_before_the_images_classes(logged: Callable[[Image], Image]) -> None:
    masks = {"k": {**MASK, "class_labels": {0: "mine"}}}
    back = logged(
        Image(np.zeros((2, 2), np.uint8), masks=masks, classes=[{"id": 0, "name": "a"}, {"id": 1, "name": "b"}])
    )
    assert back.masks["k"].class_labels == {0: "mine", 1: "b"}


def test_a_mask_takes_the_names_of_another_mask(logged: Callable[[Image], Image]) -> None:
    masks = {"k": MASK, "other": {**MASK, "class_labels": {0: "a", 1: "b"}}}
    back = logged(Image(np.zeros((2, 2), np.uint8), masks=masks))
    assert back.masks["k"].class_labels == {0: "a", 1: "b"}


def test_a_mask_without_any_names_comes_back_with_defaults(logged: Callable[[Image], Image]) -> None:
    back = logged(Image(np.zeros((2, 2), np.uint8), masks={"k": MASK}))
    assert back.masks["k"].class_labels == {0: "class_0", 1: "class_1"}
    assert back.masks["k"].class_set == ()


def test_an_image_mask_may_be_given_as_such() -> None:
    mask = ImageMask(MASK, "old")
    image = Image(np.zeros((2, 2), np.uint8), masks={"new": mask})
    assert image.masks["new"].key == "new"
    assert mask.key == "old"


def test_a_mask_of_another_size_is_stored_as_it_is_with_a_warning(start: Start, store_dir: Path) -> None:
    with pytest.warns(SizeMismatchWarning, match="mask 'k' is 2×2 and its image 6×4: it is stored as it is"):
        image = Image(np.zeros((4, 6), np.uint8), masks={"k": MASK, "fits": {"mask_data": np.zeros((4, 6), int)}})
    with start() as run:
        run.log({"t": image})
    back = maskl.open(store_dir).table("t")[0]["image"]
    assert np.array_equal(back.masks["k"].mask_data, MASK["mask_data"])
    assert back.masks["fits"].shape == (4, 6)
    assert maskl.sql("SELECT count(*) FROM confusion", dir=store_dir).fetchall() == [(0,)]


@pytest.mark.parametrize(("statistics", "counted"), [(None, 0), (True, 4900), (False, 0)])
def test_a_mask_of_many_ids_keeps_statistics_only_if_asked(
    start: Start, store_dir: Path, statistics: bool | None, counted: int
) -> None:
    ids = np.arange(4900).reshape(70, 70)
    image = Image(np.zeros((70, 70), np.uint8), masks={"k": {"mask_data": ids, "statistics": statistics}})
    with start() as run:
        if statistics is None:
            with pytest.warns(StatisticsWarning, match="mask 'k' has 4900 distinct ids, more than 4096"):
                run.log({"t": image})
        else:
            run.log({"t": image})
    store = maskl.open(store_dir)
    assert store.sql("SELECT count(*) FROM class_pixels").fetchall() == [(counted,)]
    assert np.array_equal(store.table("t")[0]["image"].masks["k"].mask_data, ids)


def test_an_image_of_an_image_takes_what_is_not_given_anew() -> None:
    first = Image(noise((2, 2, 3)), caption="a", masks={"k": MASK}, classes=[{"id": 0, "name": "x"}])
    second = Image(first, caption="b")
    assert second.caption == "b"
    assert second.masks == first.masks
    assert second.classes == first.classes
    assert second.digest() == first.digest()


def test_a_stored_image_is_logged_again_as_it_is(start: Start, store_dir: Path) -> None:
    image = Image(noise((2, 2, 3)), caption="a", masks={"k": {**MASK, "class_labels": {0: "x"}, "ignore_index": 1}})
    with start(name="first") as run:
        run.log({"t": image})
    stored = maskl.open(store_dir).table("t")[0]["image"]
    with start(name="second") as run:
        run.log({"t": Image(stored)})
    store = maskl.open(store_dir)
    assert store.table("t", run="second")[0]["image"] == stored
    assert store.table("t", run="second")[0]["image"].masks["k"].class_set == stored.masks["k"].class_set
    assert store.sql("SELECT count(*) FROM images").fetchall() == [(1,)]


def test_images_of_equal_pixels_share_a_digest_and_others_do_not() -> None:
    array = noise((4, 4))
    assert Image(array).digest() == Image(array.copy()).digest() == Image(array, caption="x").digest()
    others = [array.T, array.reshape(2, 8), array.astype(np.uint16), noise((4, 4))]
    assert len({Image(other).digest() for other in [array, *others]}) == 5
    assert Image(array, file_type="bmp").digest() != Image(array).digest()


def test_equality_and_repr() -> None:
    array = noise((4, 6, 3))
    masks = {"k": {"mask_data": np.zeros((4, 6), int)}}
    assert Image(array, masks=masks) == Image(array, masks=masks)
    assert Image(array, masks=masks) != Image(array)
    assert Image(array) != Image(array, caption="x")
    assert Image(array) != Image(array[::-1])
    assert repr(Image(array, masks=masks)) == "<Image 6×4 RGB with masks k>"


def test_equality_looks_at_masks() -> None:
    array = noise((4, 6, 3))
    mask = np.zeros((4, 6), int)
    image = Image(array, masks={"k": {"mask_data": mask}})
    assert image != Image(array, masks={"k": {"mask_data": mask + 1}})
    assert image != Image(array, masks={"k": {"mask_data": mask, "class_labels": {0: "a"}}})
    assert image != Image(array, masks={"other": {"mask_data": mask}})


def test_all_captions_are_kept_whichever_is_missing() -> None:
    array = noise((2, 2))
    images = [Image(array), Image(array, caption="b"), Image(array), Image(array, caption="")]
    assert Image.all_captions(images) == [None, "b", None, ""]
    assert Image.all_captions(images[1:2]) == ["b"]
    assert Image.all_captions([images[0], images[2]]) is False
    assert Image.all_captions([]) is False


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([[1, 2], [3, 4]], np.uint8), [[1, 2], [3, 4]]),
        (np.array([[[1, 2, 3]], [[4, 5, 6]]], np.uint8), [[(1, 2, 3)], [(4, 5, 6)]]),
        (np.array([[[1, 2], [3, 4]]], np.uint8), [[(1, 2), (3, 4)]]),
        (np.array([[True, False]]), [[255, 0]]),
        (np.array([[300, 65535]], np.uint16), [[300, 65535]]),
    ],
)
def test_to_data_array_has_rows_of_pixels(
    logged: Callable[[Image], Image], array: Array, expected: list[list[Any]]
) -> None:
    assert Image(array).to_data_array() == expected
    assert logged(Image(array)).to_data_array() == expected


def test_grouping_is_accepted_with_a_warning(logged: Callable[[Image], Image]) -> None:
    with pytest.warns(ServerOnlyWarning, match="grouping is a number for W&B's server") as caught:
        image = Image(noise((2, 2)), None, "caption", 3)
    assert [warning.filename for warning in caught] == [__file__]
    assert logged(image) == image


def test_images_and_rows_survive_a_pickle(start: Start, store_dir: Path) -> None:
    image = Image(noise((4, 4, 3)), caption="a", masks={"k": {**PALE, "class_labels": {0: "x"}}})
    assert pickle.loads(pickle.dumps(image)) == image
    table = maskl.Table(["image"], [[image]])
    assert pickle.loads(pickle.dumps(table.data[0][0])) == image
    with start() as run:
        run.log({"t": table})
    row = maskl.open(store_dir).table("t")[0]
    pickled = pickle.dumps(row)
    for path in sorted(store_dir.rglob("*.parquet")):
        path.unlink()
    back = pickle.loads(pickled)
    assert back == row
    assert back["image"] == image
    assert (back.run_id, back.row, back.step) == (row.run_id, row.row, row.step)


# --- refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (np.zeros((3,)), InvalidType, "shape (H, W) or (H, W, C)"),
        (np.zeros((3, 4, 5)), InvalidType, "got (3, 4, 5)"),
        (np.zeros((2, 3, 4, 3)), InvalidType, "got (2, 3, 4, 3)"),
        (np.zeros((0, 4, 3), np.uint8), InvalidValue, "must not be empty"),
        (np.zeros((2, 2), complex), InvalidType, "must hold numbers"),
        ([["a"]], InvalidType, "must hold numbers"),
        ([[1, 2], [3]], InvalidType, "not a regular array"),
        (None, InvalidType, "got ()"),
        (Odd(), InvalidType, "got ()"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_image_is_refused(data: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        Image(data)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"caption": [3]}, InvalidType, "a caption must be a string or a number; got [3]"),
        ({"caption": "\ud800"}, InvalidValue, "Unicode"),
        ({"file_type": "gif"}, InvalidValue, "file_type must be one of"),
        ({"mode": "XYZ"}, InvalidValue, "mode must be one of"),
        ({"classes": "road"}, InvalidType, "need a list of dicts"),
        ({"masks": [MASK]}, InvalidValue, 'Images "masks" argument must be a dictionary'),
        ({"masks": {"k": MASK["mask_data"]}}, InvalidType, "mask 'k': a mask must be a dictionary"),
        ({"masks": {3: MASK}}, InvalidType, "a mask's key must be a string; got 3"),
        ({"masks": {"": MASK}}, InvalidType, "a mask's key must be a string"),
        ({"masks": {"\ud800": MASK}}, InvalidValue, "Unicode"),
        ({"masks": {"Truth": MASK, "truth": MASK}}, InvalidValue, "'Truth' and 'truth' differ only in case"),
        ({"masks": {"k": {**MASK, "class_labels": {0: "\ud800"}}}}, InvalidValue, "Unicode"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        Image(np.zeros((2, 2), np.uint8), **arguments)
    assert words in str(caught.value)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.png"):
        Image("nowhere.png")


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
def test_a_file_that_is_no_image_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(InvalidValue, match=r"a\.png is not an image"):
        Image(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("given", "kept"),
    [(3, "3"), (0.5, "0.5"), (np.int64(7), "7"), (Path("a") / "b.png", str(Path("a") / "b.png"))],
    ids=str,
)
def test_a_caption_is_the_text_of_a_number_or_a_path(given: Any, kept: str) -> None:
    assert Image(np.zeros((2, 2), np.uint8), caption=given).caption == kept


def test_the_format_is_that_of_what_is_stored(tmp_path: Path, start: Callable[..., maskl.Run]) -> None:
    PILImage.new("RGB", (2, 2)).save(tmp_path / "a.jpeg")
    colour, grey = np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint8)
    images = [Image(colour), Image(grey), Image(colour, file_type="jpg"), Image(tmp_path / "a.jpeg")]
    formats = ["webp", "png", "jpeg", "jpeg"]
    assert [image.format for image in images] == formats
    assert Image("https://example.org/a.png").format is None
    with start() as run:
        run.log({"t": images})
    assert [row["image"].format for row in maskl.open(run.dir).table("t")] == formats
