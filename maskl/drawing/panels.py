"""What pages and notebooks show: thumbnails, masks and errors as pictures, and classes that keep their colour."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage

from maskl.adapters.pictures import open_reduced
from maskl.annotations.boxes import BoundingBoxes2D
from maskl.annotations.classes import Classes
from maskl.annotations.mask import ImageMask, resolve_class_set
from maskl.drawing.overlay import IGNORED, PAPER, RGB, class_color, error_layer, mask_layer, parse_color, stretch
from maskl_storage.format.metadata import ClassItem, class_name
from maskl_storage.masks.histograms import numbered
from maskl_storage.read.table import StoredImage

__all__ = [
    "ClassNames",
    "Drawn",
    "Errors",
    "PageClass",
    "Picture",
    "Pictured",
    "draw_errors",
    "draw_mask",
    "encode_picture",
    "fit",
    "flatten",
    "known_size",
    "photo",
    "shown_pixels",
    "thumbnail",
]

#: longest side of what is shown, in pixels
SIDE: Final = 640
#: up to this side pictures are kept lossless and shown pixel by pixel
SMALL: Final = 200
#: times the longest side of a thumbnail that its pixels have, at least, before they are resampled
GAP: Final = 3
#: how many colours are tried for a class; of thousands of classes some must share theirs
TRIES: Final = 16

Codes = npt.NDArray[np.int32]


class Pictured(Protocol):
    """What there is to see of a :class:`maskl.Image`, whose module stands above this one."""

    @property
    def image(self) -> PILImage.Image:
        """The pixels; a reference raises."""

    @property
    def width(self) -> int | None:
        """Width in pixels, where it is known."""

    @property
    def height(self) -> int | None:
        """Height in pixels, where it is known."""

    @property
    def caption(self) -> str | None:
        """Text that stands with the image."""

    @property
    def reference(self) -> str | None:
        """The URL of an image whose pixels are elsewhere."""

    @property
    def stored(self) -> tuple[StoredImage, Callable[[], bytes]] | None:
        """What a stored image is, and a call that returns its encoded bytes."""

    @property
    def classes(self) -> Classes | None:
        """The classes that were given with the image."""

    @property
    def masks(self) -> dict[str, ImageMask]:
        """The masks by key."""

    @property
    def boxes(self) -> dict[str, BoundingBoxes2D]:
        """The boxes by key."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture: its bytes, media type and size in pixels."""

    data: bytes
    media_type: str
    width: int
    height: int

    @property
    def small(self) -> bool:
        """Whether its pixels are to be seen one by one."""
        return max(self.width, self.height) <= SMALL


@dataclass(slots=True)
class PageClass:
    """A class as a page shows it: one for each name, whatever its id is in a run."""

    name: str
    id: int
    own_color: RGB | None = None
    ignored: bool = False
    pixels: int = 0

    @property
    def label(self) -> str:
        """What a legend calls it."""
        return f"{self.name} (ignored)" if self.ignored else self.name


@dataclass(frozen=True, slots=True)
class Drawn:
    """A mask by the page's codes, and which of its pixels count as truth; both of shape (H, W)."""

    codes: Codes
    counted: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Errors:
    """Where a prediction is wrong.

    Parameters
    ----------
    picture : Picture
        The layer that :func:`maskl.drawing.overlay.error_layer` draws.
    same_size : bool
        Whether the two masks have one size; where not, nothing is counted.
    counted, wrong, missed, false : int
        Pixels of the whole masks: those that count, those of another class than the truth's, and of
        the class asked for the false negatives and false positives.
    """

    picture: Picture
    same_size: bool
    counted: int
    wrong: int
    missed: int
    false: int


class ClassNames:
    """The classes of a page, by name.

    Parameters
    ----------
    class_map : mapping of str to str, optional
        Names of groups by names of classes; other classes keep their names.

    Examples
    --------
    >>> import maskl
    >>> truth = {"mask_data": np.array([[4, 4, 9]]), "class_labels": {4: "car", 9: "sky"}}
    >>> image = maskl.Image(np.zeros((1, 3), np.uint8), masks={"truth": truth})
    >>> names = ClassNames({"car": "vehicle"})
    >>> names.add(image, "truth")
    >>> names.draw(image, "truth").codes, [item.name for item in names.shown()]
    (array([[0, 0, 1]], dtype=int32), ['vehicle', 'sky'])
    """

    def __init__(self, class_map: Mapping[str, str] | None = None) -> None:
        self._map = dict(class_map or {})
        self._codes: dict[str, int] = {}
        self._classes: list[PageClass] = []
        self._colors: list[RGB] | None = None

    def add(self, image: Pictured, key: str, *, truth: bool = False, shown: bool = True) -> None:
        """Take in the classes of a mask: what a truth ignores, and the pixels of what the page shows."""
        mask = image.masks.get(key)
        if mask is None:
            return
        self._colors = None
        items = _items(image, mask)
        pixels = mask.classed[1]
        counts = dict(zip(pixels.ids.tolist(), pixels.pixels.tolist(), strict=True))
        for number in sorted(items.keys() | counts.keys()):
            item = items.get(number)
            known = self._class(self._name(item, number), number)
            if known.own_color is None and item is not None and item.color is not None:
                known.own_color = parse_color(item.color)
            known.ignored |= truth and item is not None and item.ignore
            known.pixels += counts.get(number, 0) if shown else 0

    def code(self, name: str) -> int:
        """Return the code of a class; one that no pixel has for a name that no mask has."""
        return self._codes.get(name, len(self._codes))

    def shown(self) -> list[PageClass]:
        """Return the classes that have pixels, most pixels first."""
        return sorted((item for item in self._classes if item.pixels), key=lambda item: -item.pixels)

    def color(self, item: PageClass) -> RGB:
        """Return the colour of a class on the whole page."""
        return self.colors[self._codes[item.name]]

    @property
    def colors(self) -> list[RGB]:
        """The colour of each code: the class's own, grey if it is ignored, else one that is not taken yet."""
        if self._colors is None:
            taken = {item.own_color for item in self._classes if item.own_color is not None}
            self._colors = [_color(item, taken) for item in self._classes]
        return self._colors

    def draw(self, image: Pictured, key: str) -> Drawn:
        """Return a mask, whose classes have been added, by the page's codes."""
        mask = image.masks[key]
        items = _items(image, mask)
        ids, places = numbered(mask.class_data)
        known = ids.tolist()
        codes = [self._codes[self._name(items.get(number), number)] for number in known]
        ignored = [number in items and items[number].ignore for number in known]
        return Drawn(np.array(codes, np.int32)[places], ~np.array(ignored, np.bool_)[places])

    def colors_of(self, image: Pictured, key: str) -> dict[int, RGB]:
        """Return the colour of each id that is present in a mask whose classes have been added."""
        mask = image.masks[key]
        items = _items(image, mask)
        ids: list[int] = mask.classed[1].ids.tolist()
        return {number: self.colors[self._codes[self._name(items.get(number), number)]] for number in ids}

    def _name(self, item: ClassItem | None, number: int) -> str:
        name = class_name(item, number)
        return self._map.get(name, name)

    def _class(self, name: str, number: int) -> PageClass:
        if name not in self._codes:
            self._codes[name] = len(self._classes)
            self._classes.append(PageClass(name, number))
        return self._classes[self._codes[name]]


def fit(width: int, height: int, side: int = SIDE) -> tuple[int, int]:
    """Return the size that a picture is shown in: its own, or shrunk to ``side``.

    Examples
    --------
    >>> fit(480, 360), fit(2048, 1024), fit(1, 100_000)
    ((480, 360), (640, 320), (1, 640))
    """
    longest = max(width, height)
    if longest <= side:
        return width, height
    return max(1, round(width * side / longest)), max(1, round(height * side / longest))


def known_size(image: Pictured, *others: Pictured) -> tuple[int, int]:
    """Return the size of an image without pixels: what is known of it, else that of a mask, its own or of others."""
    if image.width and image.height:
        return image.width, image.height
    return next((mask.shape[::-1] for one in (image, *others) for mask in one.masks.values()), (4, 3))


def photo(image: Pictured) -> Picture | None:
    """Return an image's thumbnail; None for a reference, whose pixels are elsewhere."""
    found = _pixels(image, SIDE)
    if found is None:
        return None
    pixels, size = found
    shown = _resized(shown_pixels(pixels), size)
    return encode_picture(shown, "WEBP", lossless=max(size) <= SMALL, quality=82)


def shown_pixels(pixels: PILImage.Image) -> PILImage.Image:
    """Return pixels of any mode as a browser has them, 8-bit RGB or RGBA, with no EXIF and no colour profile."""
    if pixels.mode.startswith(("I", "F")):
        pixels = _eight_bits(pixels)
    shown = pixels.convert("RGBA" if pixels.has_transparency_data else "RGB")
    # made anew: EXIF would turn the image but not its masks
    return PILImage.frombytes(shown.mode, shown.size, shown.tobytes())


def flatten(pixels: PILImage.Image) -> PILImage.Image:
    """Return pixels of any mode as 8-bit RGB, over white where they are transparent."""
    if pixels.mode.startswith(("I", "F")):
        pixels = _eight_bits(pixels)
    if pixels.has_transparency_data:
        shown = pixels.convert("RGBA")
        paper = PILImage.new("RGBA", shown.size, (*PAPER, 255))
        paper.alpha_composite(shown)
        return paper.convert("RGB")
    plain = pixels.convert("RGB")
    plain.info = {}  # no EXIF, which would turn the image but not its masks
    return plain


def thumbnail(image: Pictured, side: int) -> PILImage.Image | None:
    """Return an image as RGB, its longest side at most ``side``; None for a reference."""
    found = _pixels(image, side)
    if found is None:
        return None
    pixels, size = found
    return _resized(flatten(pixels), size)


def draw_mask(drawn: Drawn, colors: list[RGB]) -> Picture:
    """Return a mask as a transparent picture, shrunk to what is shown."""
    height, width = drawn.codes.shape
    return encode_picture(mask_layer(stretch(drawn.codes, *fit(width, height)), colors), "PNG")


def draw_errors(truth: Drawn, prediction: Drawn, wanted: int | None = None) -> Errors:
    """Return where a prediction is wrong, of all classes or of the one with the code ``wanted``."""
    height, width = truth.codes.shape
    size = fit(width, height)
    same_size = truth.codes.shape == prediction.codes.shape
    codes, predicted, counted = (stretch(array, *size) for array in (truth.codes, prediction.codes, truth.counted))
    picture = encode_picture(error_layer(codes, predicted, counted, wanted), "PNG")
    if not same_size:
        return Errors(picture, False, 0, 0, 0, 0)
    wrong = truth.counted & (truth.codes != prediction.codes)
    pixels = [truth.counted, wrong]
    if wanted is not None:
        pixels += [wrong & (truth.codes == wanted), wrong & (prediction.codes == wanted)]
    counts = [int(np.count_nonzero(chosen)) for chosen in pixels]
    return Errors(picture, True, *counts, *([0, 0] if wanted is None else []))


def _items(image: Pictured, mask: ImageMask) -> dict[int, ClassItem]:
    return {item.id: item for item in resolve_class_set(mask, image.classes, image.masks)}


def _color(item: PageClass, taken: set[RGB]) -> RGB:
    if item.own_color is not None:
        return item.own_color
    if item.ignored:
        return IGNORED
    colors = (class_color(number) for number in range(item.id, item.id + TRIES))
    # another name may have it, by another run's ids
    color = next((color for color in colors if color not in taken), class_color(item.id))
    taken.add(color)
    return color


def _pixels(image: Pictured, side: int) -> tuple[PILImage.Image, tuple[int, int]] | None:
    """Return pixels that a thumbnail can be made of, and the thumbnail's size; None for a reference."""
    if image.reference is not None:
        return None
    if image.stored is None:
        return image.image, fit(*image.image.size, side)
    stored, load = image.stored
    # decoded anew and not by image.image, which would keep the pixels of all rows in memory
    pixels, size = open_reduced(load(), f"image {stored.digest}", GAP * side)
    return pixels, fit(*size, side)


def _resized(pixels: PILImage.Image, size: tuple[int, int]) -> PILImage.Image:
    return pixels if pixels.size == size else pixels.resize(size, PILImage.Resampling.LANCZOS, reducing_gap=GAP)


def _eight_bits(pixels: PILImage.Image) -> PILImage.Image:
    """Return 16-bit, 32-bit and float pixels with their own range spread over 0–255."""
    values = np.nan_to_num(np.asarray(pixels, np.float64), posinf=0, neginf=0)
    low, high = float(values.min()), float(values.max())
    return PILImage.fromarray(((values - low) * (255 / (high - low or 1))).round().astype(np.uint8))


def encode_picture(picture: PILImage.Image, form: str, **options: Any) -> Picture:
    """Return a picture as a file of this form."""
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return Picture(buffer.getvalue(), f"image/{form.lower()}", *picture.size)
