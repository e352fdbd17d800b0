"""What notebooks show: the pixels of every picture, texts that stand for themselves, and a bounded size."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from datetime import datetime, timezone
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

import maskl
from maskl.drawing.notebook import CLASSES, COLUMNS, LETTERS, ROWS
from maskl.drawing.overlay import IGNORED, class_color

pytestmark = pytest.mark.once

HOSTILE = "<script>alert(1)</script>\"'&\x00\ud800"
NAME = "<script>\"'&"
TAGS = {
    *("div", "span", "b", "i", "bdi", "figure", "figcaption", "img"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}


class Fragment(HTMLParser):
    """HTML read back: its tags, attributes, texts and pictures; every tag that opens must close."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[tuple[str, str]] = []
        self.pictures: list[PILImage.Image] = []
        self.feed(text)
        self.close()
        assert self.open == [], "tags that are not closed"
        assert set(self.tags) <= TAGS
        assert {name for name, _ in self.attributes} <= {"style", "dir", "src", "alt", "width", "height"}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = {name: value or "" for name, value in attrs}
        self.attributes += found.items()
        if tag == "img":
            head, data = found["src"].split(",", 1)
            assert head == "data:image/webp;base64"
            picture = PILImage.open(io.BytesIO(base64.b64decode(data, validate=True)))
            assert picture.size == (int(found["width"]), int(found["height"]))
            self.pictures.append(picture.convert("RGB"))
        else:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data))

    def of(self, tag: str) -> list[str]:
        return [text for found, text in self.texts if found == tag]

    @property
    def colors(self) -> list[str]:
        styles = (value for name, value in self.attributes if name == "style")
        return [found[1] for style in styles if (found := re.search("background:(#......)$", style))]


def png(data: bytes | None) -> PILImage.Image:
    assert data is not None
    picture = PILImage.open(io.BytesIO(data))
    assert picture.format == "PNG"
    return picture.convert("RGB")


def colors_of(picture: PILImage.Image) -> set[tuple[int, ...]]:
    return {tuple(color) for color in np.asarray(picture).reshape(-1, 3).tolist()}


def image(pixels: Any = None, caption: str | None = None, **masks: Any) -> maskl.Image:
    entries = {
        key: {"mask_data": data, "class_labels": {0: "도로", 1: "car", 2: "void"}, "ignore_index": 2}
        for key, data in masks.items()
    }
    return maskl.Image(np.zeros((2, 4, 3), np.uint8) if pixels is None else pixels, caption=caption, masks=entries)


def stored(
    start: Callable[..., maskl.Run], store_dir: Path, columns: list[str], rows: list[list[Any]]
) -> maskl.StoredTable:
    with start() as run:
        run.log({"t": maskl.Table(columns, rows)})
    return maskl.open(store_dir).table("t")


TRUTH = np.array([[0, 0, 1, 1], [0, 0, 2, 2]])
GUESS = np.array([[0, 1, 1, 1], [0, 0, 0, 0]])


def test_an_image_is_shown_with_each_mask_over_it_and_a_legend() -> None:
    page = Fragment(image(caption="첫째", truth=TRUTH, guess=GUESS)._repr_html_())
    assert page.of("figcaption") == ["image", "truth", "guess"]
    assert page.of("bdi") == ["도로", "car", "void (ignored)"]  # most pixels first
    assert page.colors == [f"#{bytes(color).hex()}" for color in (class_color(0), class_color(1), IGNORED)]
    assert (page.of("b"), page.of("span")) == (["첫째"], ["4 × 2"])
    plain, truth, _ = page.pictures
    assert colors_of(plain) == {(0, 0, 0)}
    assert plain.size == (160, 80), "a small image is enlarged by a whole number"
    painted = tuple(round(0.6 * value) for value in class_color(0))
    assert truth.getpixel((20, 20)) == painted
    assert truth.getpixel((60, 60)) == painted
    assert truth.getpixel((100, 20)) == tuple(round(0.6 * value) for value in class_color(1))


def test_the_png_of_an_image_shows_the_same() -> None:
    picture = png(image(truth=TRUTH)._repr_png_())
    assert {(0, 0, 0), class_color(0), class_color(1), IGNORED} <= colors_of(picture)
    assert tuple(round(0.6 * value) for value in class_color(1)) in colors_of(picture)
    assert picture.width < 400


def test_an_image_without_masks_is_shown() -> None:
    page = Fragment(image()._repr_html_())
    assert (len(page.pictures), page.of("bdi")) == (1, [])
    assert png(image()._repr_png_()).size[0] > 160


def test_a_reference_is_not_fetched() -> None:
    bare = maskl.Image("https://example.com/<b>.png")
    assert Fragment(bare._repr_html_()).of("div") == ["not in the store: https://example.com/<b>.png"]
    assert bare._repr_png_() is None
    page = Fragment(image("https://example.com/a.png", truth=TRUTH)._repr_html_())
    assert page.of("figcaption") == ["truth"]
    assert len(page.pictures) == 1
    assert "example.com" not in "".join(value for _, value in page.attributes)


def test_every_text_stands_for_itself(start: Callable[..., maskl.Run], store_dir: Path) -> None:
    hostile = maskl.Image(
        np.zeros((2, 2, 3), np.uint8),
        caption=NAME,
        masks={NAME: {"mask_data": np.zeros((2, 2), int), "class_labels": {0: NAME}}},
        boxes={NAME: {"box_data": []}},
    )
    page = Fragment(hostile._repr_html_())
    assert (page.of("b"), page.of("bdi"), page.of("figcaption")) == ([NAME], [NAME], ["image", NAME])
    assert f"boxes: {NAME} (0)" in page.of("div")
    rows = stored(start, store_dir, [NAME, "image", "json"], [[NAME, hostile, {NAME: [NAME]}]])
    text = rows._repr_html_()
    assert "<script" not in text
    assert NAME in Fragment(text).of("td")
    assert Fragment(text).of("th")[:2] == [NAME, "image"]
    assert png(rows._repr_png_()).width > 100


def test_what_html_cannot_hold_is_replaced() -> None:
    from maskl.drawing.notebook import table_html

    text = table_html([{HOSTILE: HOSTILE}], [HOSTILE], [])
    assert text.encode("utf-8")
    assert not re.search("[\x00-\x08]", text)
    assert Fragment(text).of("td") == [HOSTILE.replace("\x00", "\ufffd").replace("\ud800", "\ufffd")]


def test_a_page_of_rows_shows_values_and_pictures(start: Callable[..., maskl.Run], store_dir: Path) -> None:
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    given = [
        ["a", image(caption="첫째", truth=TRUTH), 0.123456789, 7, {"k": [1, None]}, b"xyz", when, np.zeros((2, 3))],
        ["b", None, None, None, None, None, None, None],
        ["c", image(guess=GUESS), float("inf"), -1, {}, b"", when, np.ones((2, 3))],
    ]
    rows = stored(start, store_dir, ["name", "image", "score", "n", "json", "raw", "when", "array"], given)
    page = Fragment(rows._repr_html_())
    assert page.of("th") == ["name", "image", "score", "n", "json", "raw", "when", "array", "0", "1", "2"]
    cells = page.of("td")
    assert cells[:7] == [
        *("a", "0.123457", "7", "{'k': [1, None]}", "<3 bytes>", "2026-01-02 03:04:05+00:00"),
        "<array (2, 3) float64>",
    ]
    assert cells[7:15] == ["b", *"·" * 7]
    assert cells[16] == "inf"
    assert page.of("figcaption") == ["image", "truth", "image", "guess"]
    assert page.of("div") == ["첫째", "rows: 3"]
    assert set(page.of("bdi")) == {"도로", "car", "void (ignored)"}
    assert len(page.pictures) == 4
    sheet = png(rows._repr_png_())
    assert {class_color(0), class_color(1), IGNORED} <= colors_of(sheet)


def test_a_class_has_one_colour_on_the_page(start: Callable[..., maskl.Run], store_dir: Path) -> None:
    def labelled(labels: dict[int, str]) -> maskl.Image:
        mask = np.array([list(labels)])
        return maskl.Image(np.zeros((1, 2, 3), np.uint8), masks={"m": {"mask_data": mask, "class_labels": labels}})

    rows = stored(start, store_dir, ["image"], [[labelled({0: "road", 1: "car"})], [labelled({0: "car", 1: "road"})]])
    page = Fragment(rows._repr_html_())
    assert sorted(page.of("bdi")) == ["car", "road"]
    _, first, _, second = (np.asarray(picture)[10] for picture in page.pictures)
    assert first[10].tolist() == second[-10].tolist() != first[-10].tolist() == second[10].tolist()


def test_tables_without_pictures_and_without_rows(start: Callable[..., maskl.Run], store_dir: Path) -> None:
    rows = stored(start, store_dir, ["n"], [[number] for number in range(25)])
    page = Fragment(rows._repr_html_())
    assert page.of("td") == [str(number) for number in range(ROWS)]
    assert page.of("div") == [f"{ROWS} of 25 rows"]
    assert rows._repr_png_() is None
    assert Fragment(rows[20:]._repr_html_()).of("td") == ["20", "21", "22", "23", "24"]
    assert Fragment(rows[:0]._repr_html_()).of("div") == ["rows: 0"]
    assert rows[:0]._repr_png_() is None


def test_what_is_shown_is_bounded(start: Callable[..., maskl.Run], store_dir: Path) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (400, 500, 3)).astype(np.uint8)
    masks = {f"mask_{number}": rng.integers(0, 3000, (400, 500)) for number in range(7)}
    picture = maskl.Image(
        noise,
        caption="x" * 10_000,
        masks={
            k: {"mask_data": m, "class_labels": {i: "이름" * 200 + str(i) for i in range(50)}} for k, m in masks.items()
        },
    )
    text = picture._repr_html_()
    page = Fragment(text)
    assert len(page.pictures) == 5
    assert max(max(found.size) for found in page.pictures) <= 320
    assert page.of("div") == ["masks not shown: mask_4, mask_5, mask_6"]
    assert len(page.of("bdi")) == CLASSES + 1
    assert page.of("bdi")[-1] == f"… and {3000 - CLASSES:,} more classes"
    assert max(len(found) for _, found in page.texts) <= LETTERS
    assert len(text) < 700_000
    data = picture._repr_png_()
    assert data is not None
    assert len(data) < 1_500_000
    columns = ["image", *(f"c{number}" for number in range(20))]
    picture = maskl.Image(noise, masks={k: {"mask_data": m, "statistics": False} for k, m in [*masks.items()][:4]})
    rows = stored(start, store_dir, columns, [[picture, *["y" * 100_000] * 20]])
    text = rows._repr_html_()
    assert f"rows: 1; {COLUMNS} of 21 columns" in text
    assert len(text) < 400_000


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (64, 65)])
def test_images_of_odd_sizes_are_shown(shape: tuple[int, int]) -> None:
    given = image(np.full((*shape, 3), 200, np.uint8), truth=np.ones(shape, np.uint8))
    page = Fragment(given._repr_html_())
    assert all(1 <= side <= 320 for found in page.pictures for side in found.size)
    assert min(png(given._repr_png_()).size) >= 1


@pytest.mark.parametrize("data", [b"no image", b"\x89PNG\r\n\x1a\n" + b"\x00" * 40, b""], ids=["junk", "png", "empty"])
def test_one_broken_image_does_not_hide_the_others(
    start: Callable[..., maskl.Run], store_dir: Path, data: bytes
) -> None:
    rows = stored(start, store_dir, ["name", "image"], [["a", image(truth=TRUTH)], ["b", image(guess=GUESS)]])
    cells = [dict(row) for row in rows]
    loaded = cells[0]["image"]
    loaded._parsed.load = lambda: data
    from maskl.drawing.notebook import table_html, table_png

    page = Fragment(table_html(cells, rows.columns, ["image"]))
    assert page.of("figcaption") == ["image", "guess"]
    assert any(text.startswith("cannot be shown: ") for text in page.of("div"))
    assert table_png(cells, ["image"]) is not None
    assert table_png(cells[:1], ["image"]) is None
