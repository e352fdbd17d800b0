"""What notebooks show of images and of pages of rows: overlays with a legend, as HTML and as PNG.

The HTML holds no scripts and no style sheet and loads nothing; its pictures are ``data:`` URIs. However large
an image, a class set, a text or a table is, what is shown of it stays small.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

import numpy as np
from PIL import Image as PILImage

from maskl.drawing.html import data_uri, escape, hex_color
from maskl.drawing.overlay import PAPER, RGB, legend, overlay, side_by_side
from maskl.drawing.panels import ClassNames, Pictured, encode_picture, fit, known_size, thumbnail
from maskl_storage.errors import MasklError

__all__ = ["Rows", "image_html", "image_png", "table_html", "table_png"]

#: longest sides, in pixels, of the pictures of an image and of a cell
SIDE: Final = 320
CELL_SIDE: Final = 144
#: how much of a table is shown, and of it as a picture
ROWS: Final = 10
PNG_ROWS: Final = 5
PNG_WIDTH: Final = 360
COLUMNS: Final = 12
#: pictures in a row, and masks of an image
PICTURES: Final = 6
MASKS: Final = 4
#: classes of a legend, and letters of a text
CLASSES: Final = 32
LETTERS: Final = 160
#: what a broken image raises; Pillow calls a broken PNG a SyntaxError
BROKEN: Final = (MasklError, OSError, SyntaxError, ValueError)
#: the title of an image without a mask over it
PHOTO: Final = "image"
#: what is drawn instead of pixels that are elsewhere
FIELD: Final[RGB] = (195, 199, 207)
SOFT: Final = "opacity:.7;font-size:smaller"

_values = reprlib.Repr()
_values.maxstring = _values.maxother = LETTERS
_values.maxdict = _values.maxlist = _values.maxtuple = 8


class Rows(Protocol):
    """Rows that are read when they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Mapping[str, Any]: ...

    def __iter__(self) -> Iterator[Mapping[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class View:
    """A picture with what it shows, and whether its pixels are to be seen one by one."""

    title: str
    picture: PILImage.Image
    small: bool


class Page:
    """Images that are shown together: a class has one colour in all of them.

    Parameters
    ----------
    images : iterable of Pictured
        The images.
    side : int
        The longest side of a picture, in pixels.
    """

    def __init__(self, images: Iterable[Pictured], side: int) -> None:
        self._names = ClassNames()
        self._side = side
        self._broken: dict[int, str] = {}
        for image in images:
            try:
                for key in list(image.masks)[:MASKS]:
                    self._names.add(image, key, truth=True)
            except BROKEN as error:
                self._broken[id(image)] = str(error)

    def views(self, image: Pictured, most: int = MASKS + 1) -> tuple[list[View], list[str]]:
        """Return the pictures of an image, at most ``most``, and notes on what they do not show."""
        problem = self._broken.get(id(image))
        if problem is None:
            try:
                return self._views(image, most)
            except BROKEN as error:  # one image that is broken must not hide the others
                problem = str(error)
        return [], [_clip(f"cannot be shown: {problem}")]

    def _views(self, image: Pictured, most: int) -> tuple[list[View], list[str]]:
        keys = list(image.masks)
        base = thumbnail(image, self._side)
        notes = []
        views = []
        elsewhere = base is None
        if base is None:
            notes.append(_clip(f"not in the store: {image.reference}"))
            base = PILImage.new("RGB", fit(*known_size(image), self._side), FIELD)
        base, small = _enlarged(base, self._side)
        if not elsewhere:
            views.append(View(PHOTO, base, small))
        drawn = keys[: min(MASKS, max(0, most - len(views)))]
        for key in drawn:
            mask = image.masks[key]
            picture = overlay(base, mask.class_data, self._names.colors_of(image, key), objects=mask.object_data)
            views.append(View(key, picture, small))
        if len(keys) > len(drawn):
            notes.append(_clip(f"masks not shown: {', '.join(keys[len(drawn) :])}"))
        if image.boxes:
            notes.append(_clip(f"boxes: {', '.join(f'{key} ({len(some)})' for key, some in image.boxes.items())}"))
        return views, notes

    def legend(self) -> list[tuple[str, RGB]]:
        """Return names and colours of the classes that have pixels, most pixels first."""
        shown = self._names.shown()
        entries = [(_clip(item.label, 48), self._names.color(item)) for item in shown[:CLASSES]]
        if len(shown) > CLASSES:
            entries.append((f"… and {len(shown) - CLASSES:,} more classes", PAPER))
        return entries


def image_html(image: Pictured) -> str:
    """Return the HTML of an image: its pixels, each mask over them, and a legend."""
    page = Page([image], SIDE)
    views, notes = page.views(image)
    head = f"{image.width} × {image.height}" if image.width else ""
    caption = _clip(image.caption) if image.caption else ""
    title = f'<div dir="auto"><b>{escape(caption)}</b> <span style="{SOFT}">{head}</span></div>\n'
    return f"<div>\n{title}{_figures(views)}{_notes(notes)}{_legend(page)}</div>"


def image_png(image: Pictured) -> bytes | None:
    """Return a PNG of an image and its masks with a legend; None where there is nothing to draw."""
    page = Page([image], SIDE)
    views, _ = page.views(image)
    if not views:
        return None
    return encode_picture(side_by_side(_panels(views, PHOTO), page.legend(), size=14), "PNG").data


def table_html(rows: Rows, columns: Sequence[str], images: Sequence[str]) -> str:
    """Return the HTML of the first rows, with pictures in the columns of images.

    Parameters
    ----------
    rows : Rows
        The rows; only those that are shown are read.
    columns : sequence of str
        All columns.
    images : sequence of str
        Those of them that hold images.
    """
    shown = [rows[index] for index in range(min(ROWS, len(rows)))]
    names = list(columns[:COLUMNS])
    pictured = [name for name in names if name in images]
    page = Page([row[name] for row in shown for name in pictured if row.get(name) is not None], CELL_SIDE)
    most = max(1, PICTURES // max(1, len(pictured)))
    head = "".join(
        f'<th dir="auto" style="text-align:start;padding:.2em .5em">{escape(_clip(name, 48))}</th>' for name in names
    )
    body = ""
    for number, row in enumerate(shown):
        cells = "".join(_cell(row.get(name), page, most, image=name in pictured) for name in names)
        body += f'<tr><th style="vertical-align:top">{number}</th>{cells}</tr>\n'
    count = f"{len(shown)} of {len(rows):,} rows" if len(shown) < len(rows) else f"rows: {len(shown)}"
    if len(columns) > COLUMNS:
        count += f"; {COLUMNS} of {len(columns):,} columns"
    table = f"<table>\n<thead><tr><th></th>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n"
    return f'<div style="overflow-x:auto">\n{table}{_legend(page)}<div style="{SOFT}">{count}</div>\n</div>'


def table_png(rows: Rows, images: Sequence[str]) -> bytes | None:
    """Return a PNG of the images of the first rows with a legend; None where they have none."""
    cells = [
        (number, name, row[name])
        for number, row in enumerate(rows[index] for index in range(min(PNG_ROWS, len(rows))))
        for name in images
        if row.get(name) is not None
    ][:PNG_ROWS]
    page = Page([image for _, _, image in cells], CELL_SIDE)
    strips = [
        side_by_side(_panels(views, f"{number} · {name}"), [], size=12)
        for number, name, image in cells
        if (views := page.views(image, PICTURES)[0])
    ]
    if not strips:
        return None
    width = max(PNG_WIDTH, *(strip.width for strip in strips))
    below = legend(page.legend(), width - 24, size=12)
    sheet = PILImage.new("RGB", (width, sum(strip.height for strip in strips) + below.height), PAPER)
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    sheet.paste(below, (12, top))
    return encode_picture(sheet, "PNG").data


# --- pieces -------------------------------------------------------------------------------------


def _enlarged(picture: PILImage.Image, side: int) -> tuple[PILImage.Image, bool]:
    """Return a small picture enlarged by a whole number, so that masks have thin outlines; and whether it was."""
    factor = side // (2 * max(picture.size))
    if factor < 2:
        return picture, False
    size = picture.width * factor, picture.height * factor
    return picture.resize(size, PILImage.Resampling.NEAREST), True


def _panels(views: Sequence[View], first: str) -> list[tuple[str, PILImage.Image]]:
    """Return captions that fit over their pictures, and the pictures; the photo's caption is ``first``."""
    panels = []
    for number, view in enumerate(views):
        title = first if view.title == PHOTO else f"{first}, {view.title}" if number == 0 else view.title
        panels.append((_clip(title, max(4, view.picture.width // 8)), view.picture))
    return panels


def _figures(views: Sequence[View]) -> str:
    figures = []
    for view in views:
        data = encode_picture(view.picture, "WEBP", lossless=view.small, quality=80)
        title = escape(_clip(view.title, 48))
        caption = f'<figcaption dir="auto" style="{SOFT}">{title}</figcaption>'
        figures.append(
            f'<figure style="margin:0;max-width:100%">{caption}<img alt="{title}" width="{data.width}" '
            f'height="{data.height}" style="max-width:100%;height:auto" '
            f'src="{data_uri(data.data, data.media_type)}"></figure>'
        )
    return f'<div style="display:flex;flex-wrap:wrap;gap:.5em">{"".join(figures)}</div>\n' if figures else ""


def _cell(value: object, page: Page, most: int, *, image: bool) -> str:
    style = "text-align:start;vertical-align:top;padding:.2em .5em"
    if not image or value is None:
        return f'<td dir="auto" style="{style}">{escape(_text(value))}</td>'
    pictured: Any = value
    views, notes = page.views(pictured, most)
    if pictured.caption:
        notes.insert(0, _clip(pictured.caption))
    return f'<td style="{style}">{_figures(views)}{_notes(notes)}</td>'


def _notes(notes: Iterable[str]) -> str:
    return "".join(f'<div dir="auto" style="{SOFT}">{escape(note)}</div>\n' for note in notes)


def _legend(page: Page) -> str:
    swatch = "display:inline-block;width:1.2em;height:.8em;border:1px solid #888;margin-inline-end:.35em;background:"
    items = (
        f'<span style="display:inline-block;margin-inline-end:1em"><i style="{swatch}{hex_color(color)}"></i>'
        f"<bdi>{escape(name)}</bdi></span>\n"
        for name, color in page.legend()
    )
    listed = "".join(items)
    return f'<div style="margin-top:.3em;text-align:start">\n{listed}</div>\n' if listed else ""


def _clip(text: str, letters: int = LETTERS) -> str:
    return text if len(text) <= letters else f"{text[: letters - 1]}…"


def _text(value: object) -> str:
    """Return a value as a short text."""
    if value is None:
        return "·"
    if isinstance(value, str):
        return _clip(value)
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.6g}"
    if isinstance(value, bytes):
        return f"<{len(value):,} bytes>"
    if isinstance(value, np.ndarray):
        return f"<array {value.shape} {value.dtype}>"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return _clip(_values.repr(value))
