"""Every pixel of truth, prediction and errors in a real browser is what NumPy makes of the same masks and photo."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image as PILImage
from PIL import ImageCms

import maskl
from benchmarks.browser import chromium, viewing
from maskl.drawing.overlay import parse_color
from maskl_storage.images import jxl
from maskl_storage.masks.png import frame_png
from tests.viewer.browsing import Tab, asked, require_browser
from tests.viewer.oracle import RGB, Pixels, errors, named, painted, weight_of

require_browser()
pytestmark = pytest.mark.once

#: the prediction counts its classes otherwise: they match by name
TRUTH: dict[int, str] = {0: "background", 1: "road", 2: "차", 7: "void", 300: "far", 65_536: "deep", -5: "below"}
GUESS: dict[int, str] = {0: "void", 1: "background", 2: "road", 3: "차", 300: "deep", 70_000: "far", -9: "below"}
VOID = 7
#: cases whose masks are not as large as the photo
UNLIKE = ("other size", "unlike masks")


@dataclass
class Case:
    """A row: its photo, its two masks, and whether they are as large as the photo."""

    photo: Any
    truth: Pixels
    guess: Pixels
    #: the photo's pixels as a browser is to see them; by default what Pillow makes of it
    seen: Pixels | None = None


def drawn(rng: np.random.Generator, shape: tuple[int, int], ids: list[int]) -> Pixels:
    """Return a mask of rectangles."""
    height, width = shape
    mask = np.full(shape, ids[0], np.int64)
    for number in range(24):
        y, x = int(rng.integers(0, height)), int(rng.integers(0, width))
        mask[y : y + 1 + height // 3, x : x + 1 + width // 3] = ids[number % len(ids)]
    return mask


def swapped() -> bytes:
    """Return a profile that a browser would turn other colours out of: sRGB with red and blue swapped."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = profile.index(b"rXYZ"), profile.index(b"bXYZ")
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(profile)


def cases(folder: Path) -> dict[str, Case]:
    """Return what is to be seen, by name."""
    rng = np.random.default_rng(5)
    small = (31, 45)
    noise = rng.integers(0, 256, (*small, 3), dtype=np.uint8)
    long = rng.integers(0, 256, (1, 5000, 3), dtype=np.uint8)
    left, right = drawn(rng, small, [0, 1, 2, 7, 9]), drawn(rng, small, [1, 2, 3, 0, 9])

    def saved(name: str, picture: PILImage.Image, **options: Any) -> Path:
        picture.save(folder / name, **options)
        return folder / name

    def written(name: str, data: bytes) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    def plain(photo: Any, seen: Pixels | None = None) -> Case:
        return Case(photo, left, right, seen)

    turned = PILImage.Exif()
    turned[0x112] = 6
    rgba = np.dstack([noise, rng.integers(0, 256, small, dtype=np.uint8)])
    deep = rng.integers(300, 41_000, small, dtype=np.uint16)
    low, high = int(deep.min()), int(deep.max())
    scaled = ((deep - float(low)) * (255 / (high - low))).round().astype(np.uint8)
    see_through = PILImage.fromarray(noise).quantize(19)
    see_through.info["transparency"] = 3
    ramp = PILImage.fromarray(noise)
    return {
        "street": Case(
            rng.integers(0, 256, (360, 480, 3), dtype=np.uint8),
            drawn(rng, (360, 480), [0, 1, 2, 7]), drawn(rng, (360, 480), [1, 2, 3, 0]),
        ),
        "16-bit ids": Case(noise, drawn(rng, small, [0, 1, 300, 7]), drawn(rng, small, [1, 2, 300, 65_535])),
        "wide ids": Case(
            noise, drawn(rng, small, [65_536, -5, 0, 7, -7]), drawn(rng, small, [70_000, -9, 2, -(2**31), 2**31 - 1])
        ),
        "one pixel": Case(noise[:1, :1], np.array([[1]]), np.array([[3]])),
        "a line": Case(long, drawn(rng, (1, 5000), [0, 1, 2, 7]), drawn(rng, (1, 5000), [1, 2, 3])),
        "a column": Case(
            long.reshape(5000, 1, 3), drawn(rng, (5000, 1), [0, 1, 2]), drawn(rng, (5000, 1), [1, 2, 3])
        ),
        "turned": plain(saved("turned.jpg", ramp, quality=95, exif=turned)),
        "turned PNG": plain(saved("turned.png", ramp, exif=turned)),
        "turned WebP": plain(saved("turned.webp", ramp, lossless=True, exif=turned)),
        "profile": plain(saved("profile.png", ramp, icc_profile=swapped())),
        "profile of a JPEG": plain(saved("profile.jpg", ramp, quality=95, icc_profile=swapped())),
        "grey": plain(noise[..., 0]),
        "palette": plain(saved("palette.png", ramp.quantize(19))),
        "black and white": plain(noise[..., 0] > 127),
        "PNG of a frame": plain(written("frame.png", frame_png(noise))),
        "PNG with alpha": plain(written("alpha.png", frame_png(rgba)), rgba[..., :3]),
        "JPEG XL": plain(written("frame.jxl", jxl.encode(noise, "RGB")), noise),
        "JPEG XL of 8 bits": plain(written("grey.jxl", jxl.encode(noise[..., 0], "L")), np.dstack([noise[..., 0]] * 3)),
        "RGBA": plain(rgba, rgba[..., :3]),
        "RGBA file": plain(saved("rgba.png", PILImage.fromarray(rgba)), rgba[..., :3]),
        "palette with alpha": plain(saved("clear.png", see_through), np.asarray(see_through.convert("RGBA"))[..., :3]),
        "grey with alpha": plain(
            saved("faint.png", PILImage.fromarray(rgba[..., [0, 3]], "LA")), np.dstack([noise[..., 0]] * 3)
        ),
        "16 bits": plain(saved("deep.png", PILImage.fromarray(deep)), np.dstack([scaled] * 3)),
        "16 bits of an array": plain(deep, np.dstack([scaled] * 3)),
        "CMYK": plain(saved("ink.tif", ramp.convert("CMYK"))),
        "other size": Case(noise, drawn(rng, (20, 30), [0, 1, 2]), drawn(rng, (20, 30), [1, 2, 3])),
        "unlike masks": Case(noise, left, drawn(rng, (20, 30), [1, 2, 3])),
    }  # fmt: skip


@dataclass
class Viewed:
    """A store that is viewed, its cases, and where each is."""

    address: str
    cases: dict[str, Case]
    rows: dict[str, tuple[str, str, str]]
    state: dict[str, Any]
    digests: dict[str, str]

    def colors(self, key: str) -> dict[int, RGB]:
        """Return the colours that the server tells of a mask's classes."""
        (table,) = self.state["tables"]
        return {item["id"]: parse_color(item["color"]) for item in table["classes"][f"image/{key}"]}

    def errors(self, photo: Pixels, case: Case, off: set[str], weight: int) -> Pixels:
        """Return the error layer of a case over a photo."""
        left, right = named(case.truth, TRUTH), named(case.guess, GUESS)
        return errors(photo, left, right, TRUTH[VOID], off, weight, self.state["errors"])

    def photo(self, name: str) -> Pixels:
        """Return the photo as it lies in the store, RGB."""
        case = self.cases[name]
        if case.seen is not None:
            return case.seen
        picture = PILImage.open(case.photo) if isinstance(case.photo, Path) else PILImage.fromarray(case.photo)
        return np.asarray(picture.convert("RGB"))


@pytest.fixture(scope="module")
def viewed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewed]:
    folder = tmp_path_factory.mktemp("pixels")
    found = cases(folder)
    with maskl.init(dir=folder / "store", project="p", settings=maskl.Settings(silent=True)) as run:
        table = maskl.Table(columns=["name", "image"])
        for name, case in found.items():
            photo = str(case.photo) if isinstance(case.photo, Path) else case.photo
            masks = {
                "ground_truth": {"mask_data": case.truth, "class_labels": TRUTH, "ignore_index": {VOID}},
                "predictions": {"mask_data": case.guess, "class_labels": GUESS},
            }
            unlike = pytest.warns(maskl.errors.SizeMismatchWarning) if name in UNLIKE else nullcontext()
            with unlike:
                table.add_data(name, maskl.Image(photo, masks=masks))
        run.log({"cases": table})
    store = maskl.open(folder / "store")
    places = store.sql("SELECT name, run_id, _row, image.digest FROM tables.cases").fetchall()
    with viewing(folder / "store") as address:
        rows = {name: (run_id, "cases", str(row)) for name, run_id, row, _ in places}
        digests = {name: digest for name, _, _, digest in places}
        yield Viewed(address, found, rows, asked(address, "api/state"), digests)


@pytest.fixture(scope="module")
def tab(viewed: Viewed) -> Iterator[Callable[..., Tab]]:
    """Tabs by their device pixel ratio."""
    tabs: dict[float, Tab] = {}
    with chromium() as browser:

        def tab(ratio: float = 1) -> Tab:
            if ratio not in tabs:
                tabs[ratio] = Tab(browser, viewed.address, device_scale_factor=ratio)
                tabs[ratio].open()
            return tabs[ratio]

        yield tab
        for one in tabs.values():
            one.close()


def check(viewed: Viewed, tab: Tab, name: str, off: set[str], opacity: int) -> None:
    """Compare all panels of a case with NumPy's."""
    case, photo, weight = viewed.cases[name], viewed.photo(name), weight_of(opacity)
    assert np.array_equal(tab.pixels("image")[..., :3], photo)
    for key, mask, names in [("truth", case.truth, TRUTH), ("prediction", case.guess, GUESS)]:
        pixels = tab.pixels(key)
        colors = viewed.colors("ground_truth" if key == "truth" else "predictions")
        on = {number for number in np.unique(mask).tolist() if names.get(number, f"class_{number}") not in off}
        wanted = painted(photo, mask, colors, on.__contains__, weight)
        assert (pixels[..., 3] == 255).all()
        assert np.array_equal(pixels[..., :3], wanted), (key, (pixels[..., :3] != wanted).any(-1).mean())
    pixels, wanted = tab.pixels("errors")[..., :3], viewed.errors(photo, case, off, weight)
    assert np.array_equal(pixels, wanted), (pixels != wanted).any(-1).mean()


SAME_SIZE = [
    *("street", "16-bit ids", "wide ids", "one pixel", "a line", "a column", "turned", "turned PNG", "turned WebP"),
    *("profile", "profile of a JPEG", "grey", "palette", "palette with alpha", "black and white", "PNG of a frame"),
    *("PNG with alpha", "grey with alpha", "JPEG XL", "JPEG XL of 8 bits", "RGBA", "RGBA file", "16 bits"),
    *("16 bits of an array", "CMYK"),
]


def test_every_case_is_looked_at(viewed: Viewed) -> None:
    assert {*SAME_SIZE, *UNLIKE} == viewed.cases.keys()


@pytest.mark.parametrize("name", SAME_SIZE)
def test_every_pixel_is_numpys(viewed: Viewed, tab: Callable[..., Tab], name: str) -> None:
    tab().turn(open=viewed.rows[name])
    check(viewed, tab(), name, set(), 50)


@pytest.mark.parametrize("ratio", [1.25, 2, 3])
def test_the_screens_pixels_do_not_matter(viewed: Viewed, tab: Callable[..., Tab], ratio: float) -> None:
    for name in ["street", "one pixel", "a line", "wide ids", "turned"]:
        tab(ratio).turn(open=viewed.rows[name])
        check(viewed, tab(ratio), name, set(), 50)
    tab(ratio).turn(open=viewed.rows["wide ids"], off=["road", "below"], opacity=81, zoom="3~0.3~0.6")
    check(viewed, tab(ratio), "wide ids", {"road", "below"}, 81)


@pytest.mark.parametrize("opacity", [0, 30, 70, 100])
@pytest.mark.parametrize("off", [{"road"}, {"background", "class_9", "void"}])
def test_classes_that_are_off_and_other_opacities(
    viewed: Viewed, tab: Callable[..., Tab], off: set[str], opacity: int
) -> None:
    tab().turn(open=viewed.rows["grey"], off=sorted(off), opacity=opacity)
    check(viewed, tab(), "grey", off, opacity)


def test_a_photo_of_16_bits_leaves_as_a_png(viewed: Viewed) -> None:
    with urlopen(f"{viewed.address}api/image/{viewed.digests['16 bits']}") as answer:
        assert answer.headers["Content-Type"] == "image/png"


def test_one_class_alone(viewed: Viewed, tab: Callable[..., Tab]) -> None:
    tab().turn(open=viewed.rows["wide ids"], only=["차"])
    names = {*TRUTH.values(), *GUESS.values(), "class_-7", f"class_{2**31 - 1}", f"class_{-(2**31)}"} - {"차"}
    check(viewed, tab(), "wide ids", names, 50)


def test_contours_are_in_full_colour(viewed: Viewed, tab: Callable[..., Tab]) -> None:
    tab().turn(open=viewed.rows["grey"], contours=1, off=["road"])
    case, photo = viewed.cases["grey"], viewed.photo("grey")
    mask, colors = case.truth, viewed.colors("ground_truth")
    fill, full = (painted(photo, mask, colors, lambda number: number != 1, weight) for weight in (128, 255))
    edge = np.zeros(mask.shape, bool)
    edge[:, :-1] |= mask[:, :-1] != mask[:, 1:]
    edge[:-1] |= mask[:-1] != mask[1:]
    assert np.array_equal(tab().pixels("truth")[..., :3], np.where(edge[..., None], full, fill))


def test_masks_of_another_size_are_shown_in_their_own_and_said(viewed: Viewed, tab: Callable[..., Tab]) -> None:
    tab().turn(open=viewed.rows["other size"])
    case = viewed.cases["other size"]
    grey = np.full((20, 30, 3), 128, np.uint8)
    assert np.array_equal(tab().pixels("image")[..., :3], viewed.photo("other size"))
    for panel, key, mask in [("truth", "ground_truth", case.truth), ("prediction", "predictions", case.guess)]:
        wanted = painted(grey, mask, viewed.colors(key), lambda _: True, 128)
        assert np.array_equal(tab().pixels(panel)[..., :3], wanted)
    assert np.array_equal(tab().pixels("errors")[..., :3], viewed.errors(grey, case, set(), 128))
    for panel in ("truth", "prediction", "errors"):
        said = tab().page.locator(".panel", has=tab().page.locator(f'[data-panel="{panel}"]')).inner_text()
        assert "30 × 20" in said
        assert "45 × 31" in said


def test_masks_of_unlike_sizes_have_no_errors_and_it_is_said(viewed: Viewed, tab: Callable[..., Tab]) -> None:
    tab().turn(open=viewed.rows["unlike masks"])
    panel = tab().page.locator(".panel", has_text="Errors")
    assert panel.locator("canvas").count() == 0
    assert "45 × 31" in panel.inner_text()
    assert "30 × 20" in panel.inner_text()
