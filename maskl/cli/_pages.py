"""Pages of rows: images, ground truth, predictions and errors side by side, in one HTML file that needs no other.

A page holds no scripts and loads nothing; its pictures are ``data:`` URIs. A photo stands in it once: the
masks are transparent pictures over it, which keeps their colours exact and the file small.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from string import Template

from maskl.drawing.html import data_uri, escape, hex_color
from maskl.drawing.overlay import FALSE, MISSED, STRIPES, WRONG
from maskl.drawing.panels import ClassNames, Drawn, Errors, Picture, draw_errors, draw_mask, fit, known_size, photo
from maskl.images.image import Image
from maskl_storage.disk.atomic import write_file
from maskl_storage.errors import InvalidValue

__all__ = ["Entry", "Prediction", "Sheet", "render_page", "write_page"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """A prediction to show.

    Parameters
    ----------
    label : str
        What stands above it, such as the run's name.
    image : Image
        The image that has the mask. Its errors are counted against its own truth, if it has one.
    key : str
        The mask's key.
    """

    label: str
    image: Image
    key: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of a page.

    Parameters
    ----------
    heading : str
        What the row is: its run, number, step.
    image : Image
        The image to show, with the ground truth.
    truth : str
        The key of the ground truth's mask.
    predictions : sequence of Prediction
        What is compared with the truth, each with its errors beside it.
    scores : sequence of (str, str), optional
        Labels and values, in order.
    caption : str, optional
        Text under the heading; by default the image's caption.
    """

    heading: str
    image: Image
    truth: str
    predictions: Sequence[Prediction]
    scores: Sequence[tuple[str, str]] = ()
    caption: str | None = None


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table of text above the rows: a caption, the names of the columns, and the cells by row."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def write_page(
    path: str | os.PathLike[str],
    title: str,
    summary: str,
    entries: Sequence[Entry],
    *,
    sheets: Sequence[Sheet] = (),
    class_name: str | None = None,
    class_map: Mapping[str, str] | None = None,
    force: bool = False,
) -> None:
    """Write a page of rows, whole or not at all.

    Parameters
    ----------
    path : path-like
        The HTML file.
    title, summary : str
        What stands above the rows.
    entries : sequence of Entry
        The rows, in order.
    sheets : sequence of Sheet, optional
        Tables above the rows.
    class_name : str, optional
        Show where this one class was missed and falsely predicted; by default every wrong pixel is shown.
    class_map : mapping of str to str, optional
        Names of groups by names of classes: within a group nothing is wrong.
    force : bool, optional
        Whether a file that exists is overwritten; False by default.

    Raises
    ------
    InvalidValue
        The file exists, or its directory does not.
    OSError
        The file cannot be written; what stood there before is untouched.
    """
    target = _target(path, force)
    page = render_page(title, summary, entries, sheets=sheets, class_name=class_name, class_map=class_map)
    try:
        write_file(target, page.encode())
    except OSError as error:
        raise OSError(error.errno, f"the page was not written: {error.strerror}", str(target)) from error


def render_page(
    title: str,
    summary: str,
    entries: Sequence[Entry],
    *,
    sheets: Sequence[Sheet] = (),
    class_name: str | None = None,
    class_map: Mapping[str, str] | None = None,
) -> str:
    """Return the HTML of a page, the same for the same arguments; see :func:`write_page`.

    Examples
    --------
    >>> import numpy as np
    >>> masks = {"truth": {"mask_data": np.eye(2, dtype=int)}, "unet": {"mask_data": np.zeros((2, 2), int)}}
    >>> image = Image(np.zeros((2, 2, 3), np.uint8), masks=masks)
    >>> page = render_page("Worst", "", [Entry("Row 0", image, "truth", [Prediction("unet", image, "unet")])])
    >>> page.count("data:image/"), "50.00% of 4 pixels wrong" in page
    (4, True)
    """
    names = _names(entries, class_map)
    # of a class that none of these rows knows, nothing was missed or falsely predicted
    wanted = None if class_name is None else names.code(class_name)
    rows = [_entry(number, entry, names, wanted) for number, entry in enumerate(entries, 1)]
    return _template().substitute(
        title=escape(title),
        summary=escape(summary),
        sheets="".join(map(_sheet, sheets)),
        legend=_legend(names, class_name) if entries else "",
        entries="".join(rows) or '<p class="summary">No rows.</p>\n',
    )


def _target(path: str | os.PathLike[str], force: bool) -> Path:
    target = Path(os.fsdecode(path)).expanduser().resolve()
    if target.exists() and not target.is_file():
        raise InvalidValue(f"{target} is not a file: name the HTML file to write")
    if target.exists() and not force:
        raise InvalidValue(f"{target} exists: name another file, or ask to overwrite it")
    if not target.parent.is_dir():
        raise InvalidValue(f"{target.parent} is not a directory: make it first, or name a file elsewhere")
    return target


@cache
def _template() -> Template:
    return Template(files("maskl.cli").joinpath("page.html").read_text("utf-8"))


def _names(entries: Sequence[Entry], class_map: Mapping[str, str] | None) -> ClassNames:
    names = ClassNames(class_map)
    for entry in entries:
        names.add(entry.image, entry.truth, truth=True)
        for prediction in entry.predictions:
            names.add(prediction.image, prediction.key)
            if prediction.image is not entry.image:
                names.add(prediction.image, entry.truth, truth=True, shown=False)
    return names


# --- rows ---------------------------------------------------------------------------------------


def _entry(number: int, entry: Entry, names: ClassNames, wanted: int | None) -> str:
    stage = _Stage(f"photo-{number}", entry.image, entry)
    truth = names.draw(entry.image, entry.truth) if entry.truth in entry.image.masks else None
    figures = [
        _figure("Image", stage.photo_note, stage.svg(stage.alt("image")), 1, 1),
        _mask_figure("Ground truth", entry.image, entry.truth, truth, names, stage, 2, 1),
    ]
    for row, prediction in enumerate(entry.predictions, 1):
        image, key = prediction.image, prediction.key
        drawn = names.draw(image, key) if key in image.masks else None
        own = truth
        if image is not entry.image and entry.truth in image.masks:
            own = names.draw(image, entry.truth)
        figures.append(_mask_figure(prediction.label, image, key, drawn, names, stage, row, 2))
        title = f"Errors of {prediction.label}" if len(entry.predictions) > 1 else "Errors"
        figures.append(_error_figure(title, own, drawn, truth, wanted, stage, row))
    many = " many" if len(entry.predictions) > 1 else ""
    caption = entry.image.caption if entry.caption is None else entry.caption
    scores = "".join(f"<div><dt>{escape(label)}</dt><dd>{escape(value)}</dd></div>" for label, value in entry.scores)
    return (
        f'<article>\n<h2 dir="auto">{escape(entry.heading)}</h2>\n'
        + (f'<p class="caption" dir="auto">{escape(caption)}</p>\n' if caption else "")
        + (f"<dl>{scores}</dl>\n" if scores else "")
        + f'<div class="panels{many}">\n{"".join(figures)}</div>\n</article>\n'
    )


class _Stage:
    """Where a row's masks are drawn: over its photo, or over a plain field of its size."""

    def __init__(self, name: str, image: Image, entry: Entry) -> None:
        self._name = name
        self._picture = photo(image)
        self._heading = entry.heading
        if self._picture is not None:
            self.size = self._picture.width, self._picture.height
            self.photo_note = f"{image.width} × {image.height}"
        else:
            self.size = fit(*known_size(image, *(prediction.image for prediction in entry.predictions)))
            self.photo_note = _reference_note(image)
        self._defined = False

    def svg(self, alt: str, layer: Picture | None = None, *, grey: bool = False) -> str:
        """Return the photo with a layer over it; the first call brings the photo itself."""
        width, height = self.size
        if self._picture is None:
            ground = f'<rect class="plain" width="{width}" height="{height}"/>'
        elif not self._defined:
            ground = _image(self._picture, self.size, f'id="{self._name}" ')
            self._defined = True
        else:
            tone = ' filter="url(#grey)"' if grey else ""
            ground = f'<use href="#{self._name}"{tone}/>'
        over = _image(layer, self.size) if layer is not None else ""
        return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(alt)}">{ground}{over}</svg>'

    def alt(self, what: str) -> str:
        """Return what a picture of this row shows, in words."""
        return f"{self._heading}: {what}"


def _reference_note(image: Image) -> str:
    return f"not in the store: {image.reference}"


def _mask_figure(
    label: str, image: Image, key: str, drawn: Drawn | None, names: ClassNames, stage: _Stage, row: int, column: int
) -> str:
    if drawn is None:
        known = ", ".join(map(repr, image.masks)) or "none"
        return _figure(label, "", _missing(f"no mask {key!r}; its masks: {known}", stage.size), row, column)
    height, width = drawn.codes.shape
    fits = not image.width or (width, height) == (image.width, image.height)
    note = key if fits else f"{key}, stretched: {width} × {height}, its image {image.width} × {image.height}"
    svg = stage.svg(stage.alt(f"{label}, mask {key}"), draw_mask(drawn, names.colors))
    return _figure(label, note, svg, row, column)


def _error_figure(
    title: str, own: Drawn | None, drawn: Drawn | None, shown: Drawn | None, wanted: int | None, stage: _Stage, row: int
) -> str:
    if own is None or drawn is None:
        return _figure(title, "", _missing("errors need a ground truth and a prediction", stage.size), row, 3)
    errors = draw_errors(own, drawn, wanted)
    note = _errors_note(errors, wanted)
    if shown is not None and own is not shown and not _same(own, shown):
        note += "; against its own ground truth, which is not the one shown"
    return _figure(title, note, stage.svg(stage.alt(f"{title}, {note}"), errors.picture, grey=True), row, 3)


def _errors_note(errors: Errors, wanted: int | None) -> str:
    if not errors.same_size:
        return "sizes differ, so nothing is counted; the prediction is stretched"
    if not errors.counted:
        return "every pixel is ignored"
    if wanted is not None:
        return f"{errors.missed:,} pixels missed, {errors.false:,} falsely predicted"
    return f"{errors.wrong / errors.counted:.2%} of {errors.counted:,} pixels wrong"


def _same(a: Drawn, b: Drawn) -> bool:
    return a.codes.shape == b.codes.shape and bool(((a.codes == b.codes) & (a.counted == b.counted)).all())


# --- HTML ---------------------------------------------------------------------------------------


def _image(picture: Picture, size: tuple[int, int], attributes: str = "") -> str:
    shown = 'class="pixels" ' if picture.small else ""
    return (
        f'<image {attributes}{shown}width="{size[0]}" height="{size[1]}" preserveAspectRatio="none" '
        f'href="{data_uri(picture.data, picture.media_type)}"/>'
    )


def _figure(title: str, note: str, body: str, row: int, column: int) -> str:
    under = f'<span dir="auto">{escape(note)}</span>' if note else ""
    return (
        f'<figure style="--row:{row};--column:{column}"><figcaption><b dir="auto">{escape(title)}</b>{under}'
        f"</figcaption>{body}</figure>\n"
    )


def _missing(why: str, size: tuple[int, int]) -> str:
    return f'<div class="missing" dir="auto" style="aspect-ratio:{size[0]}/{size[1]}">{escape(why)}</div>'


def _sheet(sheet: Sheet) -> str:
    head = "".join(f'<th scope="col" dir="auto">{escape(name)}</th>' for name in sheet.columns)
    rows = "".join(
        "<tr>" + "".join(f'<td dir="auto">{escape(cell)}</td>' for cell in row) + "</tr>\n" for row in sheet.rows
    )
    return (
        f'<div class="scroll"><table><caption dir="auto">{escape(sheet.caption)}</caption>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n"
    )


def _legend(names: ClassNames, class_name: str | None) -> str:
    classes = (
        _swatch(hex_color(names.color(item)), item.name + (" (ignored)" if item.ignored else ""))
        for item in names.shown()
    )
    if class_name is None:
        errors = [_swatch(hex_color(WRONG), "wrong class")]
    else:
        errors = [
            _swatch(hex_color(MISSED), f"{class_name}: missed"),
            _swatch(hex_color(FALSE), f"{class_name}: falsely predicted"),
        ]
    dark, light = map(hex_color, STRIPES)
    errors.append(_swatch(f"repeating-linear-gradient(135deg,{dark} 0 3px,{light} 3px 6px)", "ignored: does not count"))
    lists = _list("Classes", classes) + _list("Errors", errors)
    return f'<section class="legend" aria-label="Legend">\n{lists}</section>\n'


def _list(label: str, items: Iterable[str]) -> str:
    return f'<ul aria-label="{label}">\n<li><b>{label}</b></li>\n{"".join(items)}</ul>\n'


def _swatch(background: str, name: str) -> str:
    return f'<li><i style="background:{background}"></i><bdi>{escape(name)}</bdi></li>\n'
