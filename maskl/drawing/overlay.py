"""Masks drawn over images, with a legend: Pillow only, no files."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from maskl_storage.format.metadata import ClassItem, class_name
from maskl_storage.masks.histograms import numbered

__all__ = [
    "RGB",
    "RGBA",
    "class_color",
    "class_colors",
    "error_layer",
    "font_for",
    "legend",
    "mask_layer",
    "named_colors",
    "overlay",
    "parse_color",
    "side_by_side",
    "stretch",
]

RGB = tuple[int, int, int]
RGBA = tuple[int, int, int, int]

INK: Final[RGB] = (32, 33, 36)
PAPER: Final[RGB] = (255, 255, 255)
#: what ignored classes are drawn in where they have no colour of their own
IGNORED: Final[RGB] = (96, 96, 96)
#: layers: a wrong pixel; where one class is asked for, what was missed of it and what was wrongly taken for it
#: (two hues that every kind of colour vision tells apart)
WRONG: Final[RGB] = (230, 0, 76)
MISSED: Final[RGB] = (255, 106, 0)
FALSE: Final[RGB] = (0, 118, 255)
#: the two stripes of pixels that do not count
STRIPES: Final[tuple[RGB, RGB]] = ((38, 42, 54), (104, 111, 130))
STRIPE_WIDTH: Final = 4
#: fonts with the letters of most scripts, as systems call their files
SYSTEM_FONTS: Final = (
    *("NotoSansCJK-Regular.ttc", "NotoSansKR-Regular.otf", "NanumGothic.ttf", "malgun.ttf", "AppleSDGothicNeo.ttc"),
    *("msyh.ttc", "Arial Unicode.ttf", "DejaVuSans.ttf"),
)
#: eight colours that all kinds of colour vision tell apart
OKABE_ITO: Final[tuple[RGB, ...]] = (
    *((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167)),
    (0, 0, 0),
)
#: hues a golden angle apart never come round to each other
GOLDEN_ANGLE: Final = math.pi * (3 - math.sqrt(5))
#: lightness and chroma in OKLCH, taken in turn, so that neighbouring ids differ in more than hue
TONES: Final = ((0.66, 0.18), (0.55, 0.19), (0.74, 0.16), (0.51, 0.13), (0.38, 0.14))
#: the hue of class 0 in radians; with these tones the first 32 ids stay well apart
FIRST_HUE: Final = 2.9


@cache
def class_color(class_id: int) -> RGB:
    """Return the colour of a class that has none: always the same for an id, far from its neighbours'.

    Parameters
    ----------
    class_id : int
        Any integer.

    Returns
    -------
    tuple of int
        Red, green and blue, 0–255.

    Notes
    -----
    The hue turns by the golden angle from id to id, in OKLCH [1]_, where equal steps look equal;
    lightness and chroma go round five tones.

    .. [1] B. Ottosson, "A perceptual color space for image processing", 2020.

    Examples
    --------
    >>> class_color(0) == class_color(0), class_color(0) == class_color(1)
    (True, False)
    """
    lightness, chroma = TONES[class_id % len(TONES)]
    angle = FIRST_HUE + class_id * GOLDEN_ANGLE
    return _from_oklab(lightness, chroma * math.cos(angle), chroma * math.sin(angle))


def parse_color(text: str) -> RGB:
    """Return the colour that ``#rrggbb`` stands for.

    Examples
    --------
    >>> parse_color("#4080ff")
    (64, 128, 255)
    """
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def class_colors(classes: Iterable[ClassItem]) -> dict[int, RGB]:
    """Return the colour of each class by id: its own, grey if it is ignored, else :func:`class_color`."""
    return {
        item.id: parse_color(item.color) if item.color else IGNORED if item.ignore else class_color(item.id)
        for item in classes
    }


def named_colors(classes: Iterable[ClassItem]) -> dict[str, RGB]:
    """Return the colour of each class by name, wherever it has which id: told apart by every kind of colour vision.

    Parameters
    ----------
    classes : iterable of ClassItem
        Those of all masks that are looked at together.

    Returns
    -------
    dict of str to tuple of int
        A class's own colour, grey if it is ignored. Up to eight others have those of Okabe and Ito [1]_; where there
        are more, and where an id has no name, :func:`class_color`, whose neighbours differ in lightness too.

    .. [1] M. Okabe and K. Ito, "Color universal design", 2008.

    Examples
    --------
    >>> named_colors([ClassItem(4, "car"), ClassItem(7, "sky", "#0000ff"), ClassItem(9, "void", ignore=True)])
    {'car': (230, 159, 0), 'sky': (0, 0, 255), 'void': (96, 96, 96)}
    """
    first: dict[str, ClassItem] = {}
    own: dict[str, RGB] = {}
    for item in classes:
        name = class_name(item, item.id)
        first.setdefault(name, item)
        if item.color is not None:
            own.setdefault(name, parse_color(item.color))
    free = [color for color in OKABE_ITO if color not in own.values()]
    plain = [name for name, item in first.items() if name not in own and not item.ignore and item.name is not None]
    few = dict(zip(plain, free, strict=False)) if len(plain) <= len(free) else {}
    return {
        name: own.get(name) or few.get(name) or (IGNORED if item.ignore else class_color(item.id))
        for name, item in first.items()
    }


def overlay(
    image: Image.Image,
    mask: npt.NDArray[Any],
    colors: Mapping[int, RGB],
    *,
    alpha: float = 0.6,
    hidden: Collection[int] = (),
    objects: npt.NDArray[Any] | None = None,
) -> Image.Image:
    """Return the image with a mask drawn over it, its regions outlined.

    Parameters
    ----------
    image : PIL.Image.Image
        Of any mode.
    mask : ndarray of int or bool, shape (H, W)
        Class ids; a mask of another size than the image's is stretched to it.
    colors : mapping of int to tuple of int
        The colour of each class id; ids that are missing here take :func:`class_color`.
    alpha : float, optional
        How much the colours cover the image, 0 to 1.
    hidden : collection of int, optional
        Class ids that are not drawn.
    objects : ndarray of int, shape (H, W), optional
        Ids of what is outlined instead, such as objects of one class that touch; of the mask's size.

    Returns
    -------
    PIL.Image.Image
        RGB, of the image's size.
    """
    picture = np.asarray(image.convert("RGB"), np.float32)
    height, width = picture.shape[:2]
    ids, codes = numbered(stretch(mask, width, height))
    known = ids.tolist()
    paint = np.array([colors.get(number, class_color(number)) for number in known], np.float32)
    weight = np.array([0 if number in hidden else alpha for number in known], np.float32)[codes][..., None]
    mixed = picture * (1 - weight) + paint[codes] * weight
    if objects is not None:
        _, codes = numbered(stretch(objects, width, height))
    if hidden:
        # what is not drawn has no outlines of its own either
        codes = np.where(weight[..., 0] > 0, codes, -1)
    edge = np.zeros((height, width), np.bool_)
    edge[:, 1:] |= codes[:, 1:] != codes[:, :-1]
    edge[1:] |= codes[1:] != codes[:-1]
    mixed[edge] = mixed[edge] * 0.35 + 255 * 0.65
    return Image.fromarray(mixed.round().astype(np.uint8))


def stretch(mask: npt.NDArray[Any], width: int, height: int) -> npt.NDArray[Any]:
    """Return a mask at another size, each pixel the nearest of the mask's.

    Examples
    --------
    >>> stretch(np.array([[1, 2]]), 4, 1)
    array([[1, 1, 2, 2]])
    >>> stretch(np.array([[1, 2, 3, 4, 5, 6]]), 2, 1)
    array([[2, 5]])
    """
    if mask.shape == (height, width):
        return mask
    rows, columns = (
        (2 * np.arange(size) + 1) * length // (2 * size)  # the pixel under the middle of each new one
        for size, length in zip((height, width), mask.shape, strict=True)
    )
    picked: npt.NDArray[Any] = mask[np.ix_(rows, columns)]
    return picked


def mask_layer(codes: npt.NDArray[np.integer], colors: Sequence[RGB], *, alpha: float = 0.65) -> Image.Image:
    """Return a mask as a transparent picture to lay over its image.

    Parameters
    ----------
    codes : ndarray of int, shape (H, W)
        For each pixel the index of its colour.
    colors : sequence of tuple of int
        Red, green and blue of each code.
    alpha : float, optional
        How much the colours cover the image, 0 to 1.

    Returns
    -------
    PIL.Image.Image
        Of mode P where at most 256 codes are present, else RGBA.
    """
    present = np.flatnonzero(np.bincount(codes.ravel(), minlength=len(colors)))
    places = np.zeros(len(colors), np.intp)
    places[present] = np.arange(present.size)
    opacity = round(255 * alpha)
    return _layer(places[codes], [(*colors[code], opacity) for code in present.tolist()])


def error_layer(
    truth: npt.NDArray[np.integer],
    prediction: npt.NDArray[np.integer],
    counted: npt.NDArray[np.bool_],
    wanted: int | None = None,
) -> Image.Image:
    """Return where a prediction is wrong, as a transparent picture to lay over a greyed image.

    Parameters
    ----------
    truth, prediction : ndarray of int, shape (H, W)
        Codes that are equal where the classes' names are.
    counted : ndarray of bool, shape (H, W)
        False where the truth's class is ignored.
    wanted : int, optional
        The code of the one class to look at; by default all.

    Returns
    -------
    PIL.Image.Image
        Mode P: transparent where the prediction is right, striped where the pixel does not count.
        ``WRONG`` where it is wrong; of one class, ``MISSED`` where the truth has it and the prediction
        does not, and ``FALSE`` where the prediction has it and the truth does not.
    """
    height, width = truth.shape
    wrong = counted & (truth != prediction)
    states = np.zeros((height, width), np.uint8)
    if wanted is None:
        states[wrong] = 1
    else:
        states[wrong & (truth == wanted)] = 2
        states[wrong & (prediction == wanted)] = 3
    diagonal = np.arange(height)[:, None] + np.arange(width)
    stripes = (4 + diagonal // STRIPE_WIDTH % 2).astype(np.uint8)
    states = np.where(counted, states, stripes)
    return _layer(states, [(0, 0, 0, 0), *((*color, 255) for color in (WRONG, MISSED, FALSE, *STRIPES))])


def _layer(indices: npt.NDArray[np.integer], colors: Sequence[RGBA]) -> Image.Image:
    if len(colors) > 256:
        return Image.fromarray(np.array(colors, np.uint8)[indices])
    picture = Image.frombytes("P", indices.shape[::-1], indices.astype(np.uint8).tobytes())
    picture.putpalette([value for color in colors for value in color[:3]])
    picture.info["transparency"] = bytes(color[3] for color in colors)
    return picture


def font_for(texts: Iterable[str], size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return a font for these texts: Pillow's own, or one of the system's where that lacks letters.

    Examples
    --------
    >>> font_for(["road"], 16).getlength("road") > 0
    True
    """
    own = ImageFont.load_default(size)
    letters = sorted(set("".join(texts)))
    if not isinstance(own, ImageFont.FreeTypeFont) or _draws(own, letters):
        return own
    fonts = (font for name in SYSTEM_FONTS if (font := _system_font(name, size)) is not None)
    return next((font for font in fonts if _draws(font, letters)), own)


@cache
def _system_font(name: str, size: int) -> ImageFont.FreeTypeFont | None:
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None


def _draws(font: ImageFont.FreeTypeFont, letters: Iterable[str]) -> bool:
    """Whether a font has all letters; what it lacks looks like what no font has."""
    missing = bytes(font.getmask("\uffff"))
    return all(letter.isspace() or bytes(font.getmask(letter)) != missing for letter in letters)


def legend(entries: Sequence[tuple[str, RGB]], width: int, *, size: int = 16) -> Image.Image:
    """Return swatches with names beside them, in as many lines as the width needs.

    Parameters
    ----------
    entries : sequence of (str, tuple of int)
        Names and colours, in order.
    width : int
        Width of the picture in pixels.
    size : int, optional
        Height of the letters in pixels.
    """
    font = font_for((name for name, _ in entries), size)
    line = round(size * 1.9)
    places: list[tuple[int, int]] = []
    x = y = 0
    for name, _ in entries:
        length = round(size * 3 + font.getlength(name))
        if x and x + length > width:
            x, y = 0, y + line
        places.append((x, y))
        x += length
    picture = Image.new("RGB", (width, y + line), PAPER)
    draw = ImageDraw.Draw(picture)
    for (name, color), (left, top) in zip(entries, places, strict=True):
        middle = top + line // 2
        swatch = (left, middle - size // 2, left + round(size * 1.4), middle + size // 2)
        draw.rounded_rectangle(swatch, size // 5, fill=color, outline=INK)
        draw.text((left + round(size * 1.9), middle), name, INK, font, anchor="lm")
    return picture


def side_by_side(
    panels: Sequence[tuple[str, Image.Image]], entries: Sequence[tuple[str, RGB]], *, size: int = 18
) -> Image.Image:
    """Return pictures next to each other, a caption above each and one legend below, if there is any.

    Parameters
    ----------
    panels : sequence of (str, PIL.Image.Image)
        Captions and pictures, all of one height.
    entries : sequence of (str, tuple of int)
        What the legend says: names and colours.
    size : int, optional
        Height of the captions' letters in pixels.
    """
    font = font_for((caption for caption, _ in panels), size)
    gap, above = size, round(size * 1.8)
    width = gap + sum(picture.width + gap for _, picture in panels)
    height = max(picture.height for _, picture in panels)
    below = legend(entries, width - 2 * gap, size=round(size * 0.9)) if entries else None
    bottom = 0 if below is None else below.height + gap // 2
    sheet = Image.new("RGB", (width, gap // 2 + above + height + gap // 2 + bottom), PAPER)
    draw = ImageDraw.Draw(sheet)
    x = gap
    for caption, picture in panels:
        draw.text((x, gap // 2 + above // 2), caption, INK, font, anchor="lm")
        sheet.paste(picture.convert("RGB"), (x, gap // 2 + above))
        x += picture.width + gap
    if below is not None:
        sheet.paste(below, (gap, gap // 2 + above + height + gap // 2))
    return sheet


def _from_oklab(lightness: float, a: float, b: float) -> RGB:
    root = (
        lightness + 0.3963377774 * a + 0.2158037573 * b,
        lightness - 0.1055613458 * a - 0.0638541728 * b,
        lightness - 0.0894841775 * a - 1.2914855480 * b,
    )
    long, medium, short = (value**3 for value in root)
    return (
        _gamma(4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short),
        _gamma(-1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short),
        _gamma(-0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short),
    )


def _gamma(linear: float) -> int:
    """Return a linear light intensity as an sRGB byte; what is outside sRGB is clipped."""
    light = min(max(linear, 0.0), 1.0)
    encoded = 12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055
    return round(255 * encoded)
