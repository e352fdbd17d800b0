"""HTML pages: what they say, and the pixels of every picture in them."""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image as PILImage

import maskl
from maskl.cli._pages import Entry, Prediction, Sheet, render_page, write_page
from maskl.drawing.overlay import FALSE, IGNORED, MISSED, STRIPES, WRONG, class_color
from maskl.errors import CorruptData, InvalidValue, SizeMismatchWarning
from maskl_storage.format.metadata import ClassItem, ClassSet
from maskl_storage.read.table import StoredImage

pytestmark = pytest.mark.once

VOID_TAGS = {"meta", "br", "img", "link", "input", "hr"}
CLEAR = (0, 0, 0, 0)
STRIPED = {(*color, 255) for color in STRIPES}
LABELS = {0: "road", 1: "car", 2: "void"}
TRUTH = np.array([[0, 0, 1, 1], [0, 0, 1, 2]])
GUESS = np.array([[0, 1, 1, 0], [0, 0, 1, 1]])


class Page(HTMLParser):
    """A page read back: its figures by article, its texts by tag, and every tag and attribute."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text = text
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: dict[str, list[str]] = {}
        self.articles: list[list[dict[str, Any]]] = []
        self.feed(text)
        self.close()
        assert self.open == [], "tags that are not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._start(tag, attrs)
        if tag not in VOID_TAGS:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._start(tag, attrs)

    def _start(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.attributes += found.items()
        self.texts.setdefault(tag, []).append("")
        if tag == "article":
            self.articles.append([])
        elif tag == "figure":
            self.articles[-1].append({"title": "", "note": "", "body": "", "layers": [], "use": None, "svg": None})
        elif self.articles and "figure" in self.open:
            figure = self.articles[-1][-1]
            if tag == "svg":
                figure["svg"] = found
            elif tag == "image":
                figure["layers"].append(found)
            elif tag == "use":
                figure["use"] = found
            elif tag == "rect":
                figure["rect"] = found

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open:
            return
        self.texts[self.open[-1]][-1] += data
        if "figure" in self.open:
            part = {"b": "title", "span": "note"}.get(self.open[-1], "body")
            self.articles[-1][-1][part] += data

    def figure(self, title: str, article: int = 0) -> dict[str, Any]:
        return next(figure for figure in self.articles[article] if figure["title"] == title)

    def pixels(self, title: str, article: int = 0) -> npt.NDArray[np.uint8]:
        """Return the topmost picture of a figure, RGBA."""
        return np.asarray(decoded(self.figure(title, article)["layers"][-1]["href"]).convert("RGBA"))

    def legend(self) -> dict[str, str]:
        """Return the background of each name's swatch, in order."""
        found = re.findall(r'<li><i style="background:([^"]*)"></i><bdi>(.*?)</bdi>', self.text)
        return {name: background for background, name in found}


def decoded(uri: str) -> PILImage.Image:
    head, data = uri.split(",", 1)
    assert head in ("data:image/png;base64", "data:image/webp;base64")
    return PILImage.open(io.BytesIO(base64.b64decode(data, validate=True)))


def mask(data: Any, labels: dict[int, str] | None = None, **more: Any) -> dict[str, Any]:
    return {"mask_data": np.asarray(data), "class_labels": labels or LABELS, **more}


def image(truth: Any = TRUTH, guess: Any = GUESS, pixels: Any = None, **more: Any) -> maskl.Image:
    masks = {}
    if truth is not None:
        masks["truth"] = truth if isinstance(truth, dict) else mask(truth, ignore_index=2)
    if guess is not None:
        masks["guess"] = guess if isinstance(guess, dict) else mask(guess)
    if pixels is None:
        pixels = np.full((2, 4, 3), 90, np.uint8)
    return maskl.Image(pixels, masks=masks, **more)


def entry(shown: maskl.Image | None = None, *others: maskl.Image, **more: Any) -> Entry:
    shown = image() if shown is None else shown
    guesses = [Prediction("unet", shown, "guess")]
    guesses += [Prediction(f"other {number}", other, "guess") for number, other in enumerate(others)]
    return Entry(more.pop("heading", "row 7"), shown, "truth", guesses, **more)


def page(*entries: Entry, **more: Any) -> Page:
    return Page(render_page(more.pop("title", "Worst"), more.pop("summary", "of val"), entries or [entry()], **more))


def rows(pixels: npt.NDArray[np.uint8]) -> list[list[tuple[int, ...]]]:
    return [[tuple(pixel) for pixel in row] for row in pixels.tolist()]


def layer(color: tuple[int, int, int]) -> tuple[int, ...]:
    return (*color, round(255 * 0.65))


# --- panels -------------------------------------------------------------------------------------


def test_a_row_shows_image_truth_prediction_and_errors() -> None:
    found = page()
    titles = [figure["title"] for figure in found.articles[0]]
    assert titles == ["Image", "Ground truth", "unet", "Errors"]
    assert found.pixels("Image").tolist() == np.full((2, 4, 4), [90, 90, 90, 255]).tolist()
    road, car, void = layer(class_color(0)), layer(class_color(1)), layer(IGNORED)
    assert rows(found.pixels("Ground truth")) == [[road, road, car, car], [road, road, car, void]]
    assert rows(found.pixels("unet")) == [[road, car, car, road], [road, road, car, car]]
    bad = (*WRONG, 255)
    errors = rows(found.pixels("Errors"))
    assert errors[0] == [CLEAR, bad, CLEAR, bad]
    assert errors[1][:3] == [CLEAR, CLEAR, CLEAR]
    assert errors[1][3] in STRIPED
    assert found.figure("Errors")["note"] == "28.57% of 7 pixels wrong"
    assert found.figure("Image")["note"] == "4 × 2"


def test_the_photo_stands_once_and_errors_lie_on_its_grey() -> None:
    found = page(entry(), entry())
    names = [figure["layers"][0]["id"] for article in found.articles for figure in article[:1]]
    assert names == ["photo-1", "photo-2"]
    for number, article in enumerate(found.articles):
        assert [figure["use"] and figure["use"]["href"] for figure in article] == [None] + [f"#{names[number]}"] * 3
        assert [bool(figure["use"] and "filter" in figure["use"]) for figure in article] == [False, False, False, True]
    assert '<filter id="grey"' in found.text
    assert found.text.count("data:image/webp") == 2


def test_one_class_asked_for_shows_what_was_missed_and_what_was_false() -> None:
    found = page(class_name="car")
    errors = rows(found.pixels("Errors"))
    assert errors[0] == [CLEAR, (*FALSE, 255), CLEAR, (*MISSED, 255)]
    assert errors[1][3] in STRIPED  # car was predicted there, on a pixel that does not count
    assert found.figure("Errors")["note"] == "1 pixels missed, 1 falsely predicted"
    assert {"car: missed", "car: falsely predicted"} <= set(found.legend())
    assert "wrong class" not in found.legend()


def test_a_class_that_no_row_has_was_not_missed() -> None:
    found = page(class_name="bus")
    assert found.figure("Errors")["note"] == "0 pixels missed, 0 falsely predicted"
    assert {pixel for row in rows(found.pixels("Errors")) for pixel in row} == {CLEAR, (*STRIPES[1], 255)}
    assert "bus: missed" in found.legend()


def test_classes_match_by_name_and_keep_their_colour_in_both_runs() -> None:
    renumbered = image(
        mask([[5, 5], [6, 9]], {5: "car", 6: "road", 9: "void"}, ignore_index=9),
        mask([[1, 0], [0, 1]], {0: "road", 1: "car"}),
        np.zeros((2, 2, 3), np.uint8),
    )
    found = page(entry(renumbered), entry())
    car, road = layer(class_color(5)), layer(class_color(6))
    assert rows(found.pixels("Ground truth"))[0] == [car, car]
    assert rows(found.pixels("unet")) == [[car, road], [road, car]]
    assert rows(found.pixels("Ground truth", 1))[0] == [road, road, car, car]
    errors = rows(found.pixels("Errors"))
    assert errors[0] == [CLEAR, (*WRONG, 255)]
    assert errors[1][0] == CLEAR
    assert errors[1][1] in STRIPED


def test_two_names_of_one_id_get_two_colours() -> None:
    first, second = image(), image(mask(TRUTH, {0: "lane", 1: "bus", 2: "sky"}), mask(GUESS, {0: "lane", 1: "bus"}))
    legend = page(entry(first), entry(second)).legend()
    names = ["road", "car", "lane", "bus", "sky"]
    assert len({legend[name] for name in names}) == len(names)


def test_a_class_s_own_colour_wins_wherever_it_stands() -> None:
    classes = maskl.Classes([{"id": 8, "name": "car", "color": "#102030"}])
    own = image(mask(np.full((2, 4), 8), {8: "car"}), mask(np.full((2, 4), 8), {8: "car"}), classes=classes)
    found = page(entry(), entry(own))
    assert found.legend()["car"] == "#102030"
    assert rows(found.pixels("Ground truth"))[0][3] == layer((0x10, 0x20, 0x30))


def test_a_class_map_joins_classes() -> None:
    labels = {0: "road", 1: "car", 2: "truck"}
    shown = image(mask([[0, 1, 2, 2]], labels), mask([[1, 2, 2, 0]], labels), np.zeros((1, 4, 3), np.uint8))
    found = page(entry(shown), class_map={"car": "vehicle", "truck": "vehicle"})
    assert rows(found.pixels("Errors")) == [[(*WRONG, 255), CLEAR, CLEAR, (*WRONG, 255)]]
    assert set(found.legend()) == {"vehicle", "road", "wrong class", "ignored: does not count"}
    assert page(entry(shown), class_map={"car": "vehicle", "truck": "vehicle"}, class_name="vehicle").figure("Errors")[
        "note"
    ] == ("1 pixels missed, 1 falsely predicted")


def test_predictions_of_two_runs_stand_under_each_other() -> None:
    other = image(guess=TRUTH)
    found = page(entry(image(), other))
    titles = [figure["title"] for figure in found.articles[0]]
    assert titles == ["Image", "Ground truth", "unet", "Errors of unet", "other 0", "Errors of other 0"]
    assert {pixel for row in rows(found.pixels("Errors of other 0")) for pixel in row} <= {CLEAR, *STRIPED}
    assert found.figure("Errors of other 0")["note"] == "0.00% of 7 pixels wrong"
    assert 'class="panels many"' in found.text
    assert "--row:2;--column:3" in found.text


def test_another_run_s_errors_are_against_its_own_truth() -> None:
    other = image(mask(np.zeros((2, 4), int)), mask(np.zeros((2, 4), int)))
    note = page(entry(image(), other)).figure("Errors of other 0")["note"]
    assert note == "0.00% of 8 pixels wrong; against its own ground truth, which is not the one shown"
    without = image(None, mask(TRUTH))
    assert page(entry(image(), without)).figure("Errors of other 0")["note"] == "0.00% of 7 pixels wrong"


def test_missing_masks_are_said() -> None:
    found = page(entry(image(None)), entry(image(guess=None)), entry(image(None, None)))
    assert found.figure("Ground truth", 0)["body"].strip() == "no mask 'truth'; its masks: 'guess'"
    assert found.figure("unet", 0)["layers"]
    assert found.figure("unet", 1)["body"].strip() == "no mask 'guess'; its masks: 'truth'"
    assert found.figure("unet", 2)["body"].strip() == "no mask 'guess'; its masks: none"
    for article in range(3):
        figure = found.figure("Errors", article)
        assert figure["layers"] == []
        assert "ground truth and a prediction" in figure["body"]


def test_everything_ignored() -> None:
    found = page(entry(image(np.full((2, 4), 2))))
    assert found.figure("Errors")["note"] == "every pixel is ignored"
    assert {pixel for row in rows(found.pixels("Errors")) for pixel in row} <= STRIPED


def test_masks_of_other_sizes_are_stretched_and_it_is_said() -> None:
    with pytest.warns(SizeMismatchWarning):
        small = image(TRUTH, [[0, 1]])
    found = page(entry(small))
    road, car = layer(class_color(0)), layer(class_color(1))
    assert rows(found.pixels("unet")) == [[road, car]]
    shown = found.figure("unet")
    assert (shown["layers"][0]["width"], shown["layers"][0]["height"]) == ("4", "2")  # over the whole image
    assert shown["layers"][0]["preserveaspectratio"] == "none"
    assert shown["note"] == "guess, stretched: 2 × 1, its image 4 × 2"
    assert found.figure("Errors")["note"] == "sizes differ, so nothing is counted; the prediction is stretched"
    errors = rows(found.pixels("Errors"))
    assert errors[0] == [CLEAR] * 4
    assert errors[1][3] in STRIPED


def test_the_share_of_wrong_pixels_is_what_sql_says(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    truth, guess = rng.integers(0, 3, (2, 31, 47))
    shown = image(truth, mask(guess), np.zeros((31, 47, 3), np.uint8))
    table = maskl.Table(columns=["image"], data=[[shown]])
    with maskl.init(name="one", dir=tmp_path) as run:
        run.log({"val": table})
    store = maskl.open(tmp_path)
    query = "SELECT pixel_accuracy FROM mean_iou('val', truth := 'truth', prediction := 'guess')"
    ((accuracy,),) = store.sql(query).fetchall()
    stored = store.table("val")[0]["image"]
    found = page(entry(stored))
    assert found.figure("Errors")["note"].startswith(f"{1 - accuracy:.2%} of ")
    assert found.text == page(entry(shown)).text


# --- images -------------------------------------------------------------------------------------


def shown_photo(pixels: Any, **more: Any) -> npt.NDArray[np.uint8]:
    return page(entry(image(pixels=pixels, **more))).pixels("Image")


def test_grey_alpha_and_deep_images() -> None:
    assert shown_photo(np.full((2, 4), 33, np.uint8))[0, 0].tolist() == [33, 33, 33, 255]
    alpha = np.full((2, 4, 4), [10, 20, 30, 128], np.uint8)
    assert shown_photo(alpha)[1, 3].tolist() == [10, 20, 30, 128]
    deep = np.linspace(1000, 5000, 8).astype(np.uint16).reshape(2, 4)
    assert shown_photo(deep)[..., 0].ravel().tolist() == [0, 36, 73, 109, 146, 182, 219, 255]
    assert shown_photo(np.full((2, 4), 9, np.uint16))[0, 0].tolist() == [0, 0, 0, 255]
    bits = np.eye(2, 4, dtype=np.bool_)
    assert shown_photo(bits)[..., 0].tolist() == (bits * 255).tolist()


@pytest.mark.parametrize("mode", ["P", "CMYK", "LA", "LAB", "F", "I"])
def test_pixel_formats_of_pillow(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "image.tiff"
    source = PILImage.fromarray(np.full((2, 4, 3), [0, 255, 0], np.uint8)).convert("L" if mode in "FI" else "RGB")
    source = source.convert(mode)
    source.save(path)
    pixels = shown_photo(path)
    assert pixels.shape == (2, 4, 4)
    if mode in ("P", "CMYK"):
        assert np.abs(pixels[0, 0].astype(int) - [0, 255, 0, 255]).max() < 3


def test_orientation_in_exif_does_not_turn_the_image_away_from_its_masks(tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    exif = PILImage.Exif()
    exif[0x0112] = 6
    PILImage.new("RGB", (4, 2)).save(path, exif=exif)
    picture = decoded(page(entry(image(pixels=path))).figure("Image")["layers"][0]["href"])
    assert picture.size == (4, 2)
    assert not picture.getexif()


def reference(width: int | None, height: int | None, masks: dict[str, maskl.ImageMask]) -> maskl.Image:
    names = ClassSet(ClassItem(number, name) for number, name in LABELS.items())
    cells = {key: (value.encoded[0], names) for key, value in masks.items()}

    def load() -> bytes:
        raise AssertionError("a reference has no pixels to load")

    url = "https://example.com/a?b=1&c=<2>"
    return maskl.Image.from_stored(StoredImage(None, None, None, width, height, None, url, cells), load)


@pytest.mark.parametrize(("width", "height"), [(4, 2), (None, None)])
def test_references_are_plain_fields_with_masks_over_them(width: int | None, height: int | None) -> None:
    masks = {"truth": maskl.ImageMask(mask(TRUTH), "truth"), "guess": maskl.ImageMask(mask(GUESS), "guess")}
    found = page(entry(reference(width, height, masks)))
    assert all(figure["rect"] == {"class": "plain", "width": "4", "height": "2"} for figure in found.articles[0])
    assert found.figure("Image")["note"] == "not in the store: https://example.com/a?b=1&c=<2>"
    assert rows(found.pixels("Errors"))[0] == [CLEAR, (*WRONG, 255), CLEAR, (*WRONG, 255)]
    assert 'href="https' not in found.text
    bare = page(entry(reference(width, height, {})))
    assert [len(figure["layers"]) for figure in bare.articles[0]] == [0, 0, 0, 0]


def test_one_pixel() -> None:
    found = page(entry(image([[0]], [[1]], np.full((1, 1, 3), 200, np.uint8))))
    assert rows(found.pixels("Image")) == [[(200, 200, 200, 255)]]
    assert rows(found.pixels("Errors")) == [[(*WRONG, 255)]]
    assert found.figure("Image")["layers"][0]["class"] == "pixels"


@pytest.mark.parametrize(
    ("size", "shown"), [((2048, 1024), (640, 320)), ((7, 3000), (1, 640)), ((640, 480), (640, 480))]
)
def test_large_images_are_thumbnails(size: tuple[int, int], shown: tuple[int, int]) -> None:
    width, height = size
    truth = np.zeros((height, width), np.uint8)
    truth[height // 2 :] = 1
    found = page(entry(image(truth, np.zeros_like(truth), np.full((height, width, 3), 77, np.uint8))))
    for figure in found.articles[0]:
        assert figure["svg"]["viewbox"] == f"0 0 {shown[0]} {shown[1]}"
        assert decoded(figure["layers"][-1]["href"]).size == shown
        assert "class" not in figure["layers"][-1]
    errors = found.pixels("Errors")
    half = shown[1] // 2
    assert (errors[:half] == CLEAR).all()
    assert (errors[half:] == (*WRONG, 255)).all()
    assert found.figure("Errors")["note"] == f"50.00% of {width * height:,} pixels wrong"


def test_a_page_of_twenty_rows_stays_small(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    # grain as a camera has it, and regions with ragged edges
    entries = []
    for _ in range(5):
        coarse = rng.integers(0, 256, (30, 40, 3)).astype(np.uint8)
        smooth = np.asarray(PILImage.fromarray(coarse).resize((1280, 960), PILImage.Resampling.BICUBIC), np.int16)
        pixels = np.clip(smooth + rng.normal(0, 8, smooth.shape), 0, 255).astype(np.uint8)
        truth = smooth[..., 0] // 24
        guess = np.clip(truth + (rng.random(truth.shape) < 0.01), 0, 10)
        labels = {number: f"c{number}" for number in range(11)}
        entries.append(entry(image(mask(truth, labels), mask(guess, labels), pixels)))
    path = tmp_path / "page.html"
    write_page(path, "Worst", "", entries * 4)
    assert 200_000 < path.stat().st_size < 5_000_000


# --- legend -------------------------------------------------------------------------------------


def test_the_legend_lists_what_is_shown_most_pixels_first() -> None:
    labels = {number: f"class number {number}" for number in range(150)}
    truth = np.repeat([[149, 3, 20, 149]], 2, axis=0)
    found = page(entry(image(mask(truth, labels), mask(truth, labels))))
    legend = found.legend()
    names = ["class number 149", "class number 3", "class number 20", "wrong class", "ignored: does not count"]
    assert list(legend) == names
    assert legend["class number 149"] == "#{:02x}{:02x}{:02x}".format(*class_color(149))
    every = np.arange(150).reshape(10, 15)
    whole = page(entry(image(mask(every, labels), mask(every, labels), np.zeros((10, 15, 3), np.uint8)))).legend()
    assert len(whole) == 152
    assert len(set(whole.values())) == 152


def test_ignored_classes_and_stripes_are_explained() -> None:
    legend = page().legend()
    assert "void (ignored)" in legend
    assert legend["ignored: does not count"].startswith("repeating-linear-gradient")
    assert legend["wrong class"] == "#{:02x}{:02x}{:02x}".format(*WRONG)


def test_ids_without_a_name_and_many_ids() -> None:
    ids = np.arange(5000).reshape(50, 100) - 7
    shown = image({"mask_data": ids}, {"mask_data": ids * 400_000}, np.zeros((50, 100, 3), np.uint8))
    found = page(entry(shown))
    assert {"class_-7", "class_4992"} <= set(found.legend())
    assert "0.02% of" not in found.figure("Errors")["note"]
    assert rows(found.pixels("Errors"))[0][7] == CLEAR  # id 0 in both
    assert rows(found.pixels("Errors"))[0][8] == (*WRONG, 255)


# --- text ---------------------------------------------------------------------------------------

NASTY = "</b><script>alert(1)</script> \"'& 한국어 مرحبا 🚗 $title \u202e"


def test_everything_that_users_made_is_escaped() -> None:
    labels = {0: f"road {NASTY}", 1: f"car {NASTY}", 2: "void"}
    shown = maskl.Image(
        np.zeros((2, 4, 3), np.uint8),
        caption=f"caption {NASTY}",
        masks={f"t {NASTY}": mask(TRUTH, labels, ignore_index=2), f"p {NASTY}": mask(GUESS, labels)},
    )
    one = Entry(
        f"run {NASTY}", shown, f"t {NASTY}", [Prediction(f"label {NASTY}", shown, f"p {NASTY}")], [(NASTY, NASTY)]
    )
    other = Entry("x", shown, NASTY, [Prediction("y", shown, NASTY)])
    sheet = Sheet(f"sheet {NASTY}", [f"column {NASTY}"], [[f"cell {NASTY}"]])
    found = page(one, other, title=f"title {NASTY}", summary=f"summary {NASTY}", sheets=[sheet], class_name=labels[1])
    assert "script" not in found.tags
    assert "<script" not in found.text.lower()
    assert found.texts["h1"] == [f"title {NASTY}"]
    assert found.texts["title"] == [f"title {NASTY}"]
    assert found.texts["h2"] == [f"run {NASTY}", "x"]
    assert found.texts["p"][:2] == [f"summary {NASTY}", f"caption {NASTY}"]
    assert found.texts["dt"] == [NASTY] == found.texts["dd"]
    assert found.texts["caption"] == [f"sheet {NASTY}"]
    assert (found.texts["th"], found.texts["td"]) == ([f"column {NASTY}"], [f"cell {NASTY}"])
    assert {f"road {NASTY}", f"car {NASTY}", f"car {NASTY}: missed"} <= set(found.texts["bdi"])
    titles = [figure["title"] for figure in found.articles[0]]
    assert titles == ["Image", "Ground truth", f"label {NASTY}", "Errors"]
    assert found.figure("Ground truth")["note"] == f"t {NASTY}"
    assert found.figure("Ground truth")["svg"]["aria-label"] == f"run {NASTY}: Ground truth, mask t {NASTY}"


def test_what_html_cannot_hold_is_replaced() -> None:
    found = page(entry(heading="a\x00b\x1b\ud800c\x85d\ufffe\te"))
    assert found.texts["h2"] == ["a\ufffdb\ufffd\ufffdc\ufffdd\ufffd\te"]
    assert found.text.encode()


def test_captions() -> None:
    captioned = image(caption="the image's")
    found = page(entry(captioned), entry(captioned, caption="the row's"), entry(captioned, caption=""), entry())
    assert [text for text in found.texts["p"] if text.startswith("the ")] == ["the image's", "the row's"]
    assert found.text.count('class="caption"') == 2


def test_a_page_loads_nothing_and_runs_nothing() -> None:
    found = page(sheets=[Sheet("s", ["a"], [["b"]])])
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & set(found.tags)
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    links = [value for name, value in found.attributes if name in ("href", "src", "xlink:href")]
    assert links
    assert all(link.startswith(("data:image/", "#")) for link in links)
    assert "http:" not in found.text
    assert "https:" not in found.text
    assert "@import" not in found.text
    assert {"url(" + part.split(")")[0] + ")" for part in found.text.split("url(")[1:]} == {"url(#grey)"}
    assert ("content", "default-src 'none'; img-src data:; style-src 'unsafe-inline'") in found.attributes


def test_a_page_can_be_read_by_everybody() -> None:
    found = page()
    assert found.text.startswith("<!doctype html>\n")
    assert ("lang", "en") in found.attributes
    assert ("charset", "utf-8") in found.attributes
    assert ("content", "width=device-width, initial-scale=1") in found.attributes
    assert "prefers-color-scheme: dark" in found.text
    for figure in found.articles[0]:
        assert figure["svg"]["role"] == "img"
        assert figure["svg"]["aria-label"].startswith("row 7: ")
    assert found.figure("Errors")["svg"]["aria-label"] == "row 7: Errors, 28.57% of 7 pixels wrong"


def contrast(a: str, b: str) -> float:
    def light(color: str) -> float:
        parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dim, bright = sorted((light(a), light(b)))
    return (bright + 0.05) / (dim + 0.05)


def test_text_stands_out_from_its_ground_by_day_and_by_night() -> None:
    schemes = re.findall(r":root \{([^}]*)\}", page().text)
    assert len(schemes) == 2
    for scheme in schemes:
        colors = dict(re.findall(r"--(\w+): (#\w{6})", scheme))
        for ink in ("ink", "soft"):
            for ground in ("paper", "card", "blank"):
                assert contrast(colors[ink], colors[ground]) >= 4.5, (ink, ground)


def test_no_rows() -> None:
    found = page_of([])
    assert found.texts["h1"] == ["Nothing"]
    assert "No rows." in found.texts["p"]
    assert "section" not in found.tags
    assert page_of([], class_name="car").articles == []


def page_of(entries: Sequence[Entry], **more: Any) -> Page:
    return Page(render_page("Nothing", "", entries, **more))


# --- files --------------------------------------------------------------------------------------


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        write_page(tmp_path / name, "한국", "", [entry(image(), image(guess=TRUTH))])
    data = (tmp_path / "a.html").read_bytes()
    assert data == (tmp_path / "b.html").read_bytes()
    assert data.decode("utf-8") == render_page("한국", "", [entry(image(), image(guess=TRUTH))])


def test_a_file_is_overwritten_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("precious")
    with pytest.raises(InvalidValue, match=r"page\.html exists"):
        write_page(path, "T", "", [entry()])
    assert path.read_text() == "precious"
    write_page(path, "T", "", [entry()], force=True)
    assert path.read_text().startswith("<!doctype html>")
    assert os.listdir(tmp_path) == ["page.html"]


def test_places_where_no_page_can_be(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="missing is not a directory: make it first"):
        write_page(tmp_path / "missing" / "page.html", "T", "", [entry()])
    with pytest.raises(InvalidValue, match="is not a file"):
        write_page(tmp_path, "T", "", [entry()], force=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises((InvalidValue, NotADirectoryError)):
        write_page(tmp_path / "file" / "page.html", "T", "", [entry()])
    assert os.listdir(tmp_path) == ["file"]


def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link.html").symlink_to(tmp_path / "real.html")
    write_page(tmp_path / "link.html", "T", "", [entry()])
    assert (tmp_path / "link.html").is_symlink()
    assert (tmp_path / "real.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize("broken", ["write", "rename"])
def test_a_failing_write_leaves_what_was_there(broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "page.html"
    path.write_text("precious")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    if broken == "write":
        monkeypatch.setattr(os, "write", fail)
    else:
        monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match=r"the page was not written: No space left on device.*page\.html"):
        write_page(path, "T", "", [entry()], force=True)
    assert path.read_text() == "precious"
    assert os.listdir(tmp_path) == ["page.html"]


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_directory_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError, match="the page was not written"):
            write_page(tmp_path / "page.html", "T", "", [entry()])
    finally:
        tmp_path.chmod(0o700)


def test_a_row_that_cannot_be_drawn_writes_nothing(tmp_path: Path) -> None:
    names = ClassSet([ClassItem(0, "road")])
    cells = {"truth": (maskl.ImageMask(mask([[0]]), "truth").encoded[0], names)}
    broken = maskl.Image.from_stored(StoredImage("00", "png", "RGB", 1, 1, None, None, cells), lambda: b"not a picture")
    with pytest.raises(CorruptData, match="no picture that Pillow can read"):
        write_page(tmp_path / "page.html", "T", "", [entry(), entry(broken)])
    assert os.listdir(tmp_path) == []
