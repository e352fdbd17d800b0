"""Images with masks and boxes."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
from blake3 import blake3
from PIL import Image as PILImage

from maskl.adapters.objects import as_scalar
from maskl.adapters.pictures import open_picture, orientation_of, turned
from maskl.adapters.values import simpler
from maskl.annotations.boxes import BoundingBoxes2D
from maskl.annotations.classes import Classes
from maskl.annotations.deferred import Deferred
from maskl.annotations.mask import ImageMask, as_dtype, resolve_class_set
from maskl.annotations.sink import sink
from maskl.images.decoding import Decoding
from maskl.images.sources import FileSource, Source, source_of
from maskl_storage.errors import (
    InvalidType,
    InvalidValue,
    NotFound,
    OrientationWarning,
    SizeMismatchWarning,
    prefixed,
    warn,
    warn_unless_strict,
)
from maskl_storage.format.metadata import class_name
from maskl_storage.format.names import check_text
from maskl_storage.lazy import LazyModule

if TYPE_CHECKING:
    import maskl_storage.read.table as stored_rows
else:
    stored_rows = LazyModule("maskl_storage.read.table")

__all__ = ["Image"]

#: what is kept as a reference
URL: Final = re.compile(r"(s3|gs|https?)://", re.IGNORECASE)
#: formats of photos as cameras make them
PHOTOS: Final = ("jpeg", "mpo")
FILE_TYPES: Final = ("png", "jpg", "jpeg", "bmp", "webp", "jxl")


@dataclass(slots=True)
class _Parsed:
    """What an image is: a new one has a source, a reference its URL, one from a store what is stored of it."""

    caption: str | None
    classes: Classes | None = None
    masks: dict[str, ImageMask] = field(default_factory=dict)
    boxes: dict[str, BoundingBoxes2D] = field(default_factory=dict)
    source: Source | None = None
    reference: str | None = None
    stored: stored_rows.StoredImage | None = None
    load: Callable[[], bytes] | None = None
    #: the pixels, once they were asked for, and the thread that decodes them before
    pil: PILImage.Image | None = None
    coming: Decoding | None = None

    @property
    def mode(self) -> str | None:
        """Pillow's name of the pixel format; None for a reference."""
        return self.stored.mode if self.stored is not None else self.source.mode if self.source else None

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height; None for a reference."""
        if self.source is not None:
            return self.source.size
        if self.stored is None or self.stored.width is None or self.stored.height is None:
            return None
        return self.stored.width, self.stored.height

    def decoded(self) -> PILImage.Image:
        """Return the pixels of a stored image."""
        assert self.load is not None  # noqa: S101  # it is stored
        of = self.stored.digest if self.stored is not None else "of a store"
        pil = open_picture(self.load(), f"image {of}")
        # WebP leaves out an alpha channel that hides nothing
        return pil if pil.mode == self.mode else pil.convert(self.mode)

    def called(self, *, caption: bool = True) -> str:
        """Return what tells the image from others in a message."""
        if caption and self.caption is not None:
            return f"image {self.caption!r:.60}"
        if self.reference is not None:
            return f"image {self.reference}" if caption else self.reference
        size = "{}×{}".format(*(self.size or (None, None)))
        if not caption:
            return size
        return f"image {self.source.path}" if isinstance(self.source, FileSource) else f"image of {size}"


class Image(Deferred[_Parsed]):
    """An image, with masks and boxes over it.

    Parameters
    ----------
    data_or_path : array_like, tensor, PIL.Image.Image, figure, str, path or Image
        - Pixels of shape (H, W), (H, W, 1), (H, W, 2), (H, W, 3) or (H, W, 4), or a torch tensor on any
          device of shape (H, W) or (C, H, W): uint8 as they are, uint16 of shape (H, W) and bool too;
          other integers are clipped to 0–255; floats that are meant in [0, 1] or [−1, 1] are scaled to 0–255.
        - An image of Pillow's; a figure or axes of matplotlib's, which are drawn.
        - The path of an image file, which is kept byte for byte.
        - A URL that begins with ``s3://``, ``gs://``, ``http://`` or ``https://``, which is kept as a
          reference: nothing is fetched, and ``image`` is an error.
        - Another Image, of which everything is taken that is not given anew.
    mode : str, optional
        Pillow's name of the pixel format to convert to.
    caption : str, optional
        Text that stands with the image; of a number its text is taken.
    grouping : int, optional
        Accepted with a warning: a number for W&B's server. Here a column of a table groups images.
    classes : Classes or list of dict, optional
        Names, colours and ignored ids of the classes of masks and boxes that bring no labels of their own.
    boxes : dict of str to dict or BoundingBoxes2D, optional
        The boxes by key; see :class:`BoundingBoxes2D` for the dicts.
    masks : dict of str to dict or ImageMask, optional
        The masks by key; see :class:`ImageMask` for the dicts.
    file_type : str, optional
        How an array is stored: ``png``, ``jpg``, ``bmp``, ``webp`` or ``jxl`` (JPEG XL, with ``maskl[jxl]``); by
        default without loss, as the run's ``image_format`` says: as WebP (8-bit RGB and RGBA) or PNG. Without effect
        on a path or URL, as with W&B. Where the store holds the same pixels in another lossless format, they stay so.
    normalize : bool, optional
        Whether floats that are meant in [0, 1] or [−1, 1] are scaled to 0–255; True by default. They are meant so
        where all of them, or all but one in a thousand, are within these ends or not far beyond, as rounding and
        resampling take them. What is beyond is clipped, with a warning where it is more than 0.05 or where it
        is not clear which range is meant.

    Raises
    ------
    InvalidType
        Data or arguments of the wrong type or shape.
    InvalidValue
        An empty array, a file that is no image, keys of masks or of boxes that differ only in case,
        a ``mode`` for a reference, a ``file_type`` that cannot hold the image.
    MissingExtra
        JPEG XL, and the package that reads and writes it is not installed.
    FileNotFoundError
        There is no file at the path.

    Warns
    -----
    SizeMismatchWarning
        A mask's size differs from the image's; it is stored as it is.
    OrientationWarning
        The EXIF orientation of a photo turns it where it is shown, and sizes do not tell whether its masks or boxes
        count in its pixels as the file has them, as they should.
    ConversionWarning
        Values out of range were clipped, it is not clear which range was meant, or the pixel format had to be
        changed.
    ServerOnlyWarning
        ``grouping`` was given.

    Examples
    --------
    >>> image = Image(np.zeros((4, 6, 3), np.uint8), masks={"truth": {"mask_data": np.ones((4, 6), int)}})
    >>> image.width, image.height, list(image.masks)
    (6, 4, ['truth'])
    """

    def __init__(
        self,
        data_or_path: Any,
        mode: str | None = None,
        caption: str | None = None,
        grouping: int | None = None,
        classes: Classes | Sequence[Mapping[str, Any]] | None = None,
        boxes: Mapping[str, Mapping[str, Any] | BoundingBoxes2D] | None = None,
        masks: Mapping[str, Mapping[str, Any] | ImageMask] | None = None,
        file_type: str | None = None,
        normalize: bool = True,
    ) -> None:
        self._hold(_parse_image, data_or_path, mode, caption, grouping, classes, boxes, masks, file_type, normalize)

    @classmethod
    def from_stored(cls, stored: stored_rows.StoredImage, load: Callable[[], bytes]) -> Image:
        """Return the image of a stored row; ``load`` returns its encoded bytes when they are needed."""
        image = cls.__new__(cls)
        reference = stored.path if stored.digest is None else None
        image._held = _Parsed(
            stored.caption,
            masks={
                key: ImageMask.from_stored(data, key, items, stored.segments.get(key))
                for key, (data, items) in stored.masks.items()
            },
            boxes={key: BoundingBoxes2D.from_stored(some, key, items) for key, (some, items) in stored.boxes.items()},
            reference=reference,
            stored=stored,
            load=None if reference is not None else load,
        )
        return image

    @classmethod
    def all_captions(cls, images: Sequence[Image]) -> list[str | None] | bool:
        """Return the caption of each image, None for one that has none; False where none has one."""
        captions = [image.caption for image in images]
        return captions if any(caption is not None for caption in captions) else False

    @property
    def image(self) -> PILImage.Image:
        """The image as Pillow has it, decoded when it is first asked for.

        Raises
        ------
        NotFound
            The image is a reference: its pixels are not here.
        """
        parsed = self._parsed
        if parsed.pil is None:
            self._check_pixels()
            if parsed.source is not None:
                parsed.pil = parsed.source.to_pil()
            elif parsed.load is not None:
                coming = parsed.coming
                parsed.pil = parsed.decoded() if coming is None else coming.result()
                parsed.coming = None
        assert parsed.pil is not None  # noqa: S101  # one of the two is set
        return parsed.pil

    @property
    def width(self) -> int | None:
        """Width in pixels; None for a reference."""
        size = self._parsed.size
        return None if size is None else size[0]

    @property
    def height(self) -> int | None:
        """Height in pixels; None for a reference."""
        size = self._parsed.size
        return None if size is None else size[1]

    @property
    def mode(self) -> str | None:
        """Pillow's name of the pixel format; None for a reference."""
        return self._parsed.mode

    @property
    def format(self) -> str | None:
        """The format of the image's file: ``webp``, ``png``, ``jxl``, ``jpeg`` or ``bmp``; None for a reference.

        An image that came as a file is stored as that file, and an array that the store holds already as it is there.
        """
        parsed = self._parsed
        kept = parsed.source if parsed.stored is None else parsed.stored
        return None if kept is None else kept.format

    @property
    def reference(self) -> str | None:
        """The URL of an image that is kept as a reference; None for one whose pixels are here."""
        return self._parsed.reference

    @property
    def caption(self) -> str | None:
        """Text that stands with the image."""
        return self._parsed.caption

    @property
    def classes(self) -> Classes | None:
        """The classes that were given with the image."""
        return self._parsed.classes

    @property
    def masks(self) -> dict[str, ImageMask]:
        """The masks by key."""
        return dict(self._parsed.masks)

    @property
    def boxes(self) -> dict[str, BoundingBoxes2D]:
        """The boxes by key."""
        return dict(self._parsed.boxes)

    @property
    def source(self) -> Source | None:
        """Where the pixels of a new image are; None for a reference, and for one that was read from a store."""
        return self._parsed.source

    @property
    def stored(self) -> tuple[stored_rows.StoredImage, Callable[[], bytes]] | None:
        """What a stored image is, and a call that returns its encoded bytes; None for a new one or a reference."""
        parsed = self._parsed
        if parsed.stored is None or parsed.load is None:
            return None
        return parsed.stored, parsed.load

    def digest(self) -> str:
        """Return the BLAKE3 over the pixels or file and the way they are stored, 64 hex digits.

        Raises
        ------
        NotFound
            The image is a reference: its pixels are not here.
        """
        self._check_pixels()
        parsed = self._parsed
        if parsed.stored is not None and parsed.stored.digest is not None:
            return parsed.stored.digest
        assert parsed.source is not None  # noqa: S101  # a new image has one
        hasher = blake3(parsed.source.signature().encode())
        hasher.update(parsed.source.content())
        return hasher.hexdigest()

    def to_data_array(self) -> list[list[Any]]:
        """Return the pixels as rows of numbers, or of tuples with a number for each channel.

        Examples
        --------
        >>> Image(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)).to_data_array()
        [[(1, 2, 3), (4, 5, 6)]]
        """
        pixels = np.asarray(self.image)
        if pixels.dtype == np.bool_:
            pixels = pixels.astype(np.uint8) * np.uint8(255)  # as Pillow counts black and white
        rows: list[list[Any]] = pixels.tolist()
        return rows if pixels.ndim == 2 else [[tuple(pixel) for pixel in row] for row in rows]

    def overlay(
        self, mask_key: str, alpha: float = 0.6, classes: Iterable[str | int] | str | int | None = None
    ) -> PILImage.Image:
        """Return the image with a mask drawn over it, its regions outlined.

        Parameters
        ----------
        mask_key : str
            Which mask.
        alpha : float, optional
            How much the colours cover the image, 0 to 1.
        classes : sequence of str or int, optional
            Names or ids of the classes to draw; by default all.

        Returns
        -------
        PIL.Image.Image
            RGB, of the image's size; a mask of another size is stretched to it. Regions are outlined, and so are
            objects that touch, where the mask has segments. A class has its own
            colour; one without is grey where it is ignored, else a colour that its id always has
            unless another class of the image has taken it.

        Raises
        ------
        NotFound
            The image has no such mask or the mask no such class, or the image is a reference, whose
            pixels are not here.
        InvalidType, InvalidValue
            ``alpha`` is not a number from 0 to 1.

        Examples
        --------
        >>> masks = {"truth": {"mask_data": np.array([[0, 1]]), "class_labels": {0: "road", 1: "car"}}}
        >>> image = Image(np.zeros((1, 2, 3), np.uint8), masks=masks)
        >>> drawn = image.overlay("truth", classes=["car"])
        >>> drawn.size, drawn.getpixel((0, 0))
        ((2, 1), (0, 0, 0))
        """
        from maskl.drawing.overlay import overlay
        from maskl.drawing.panels import ClassNames, flatten

        masks = self.masks
        if mask_key not in masks:
            known = ", ".join(map(repr, masks)) or "none"
            raise NotFound(f"the image has no mask {mask_key!r:.60}; its masks are: {known}")
        if isinstance(alpha, bool | str) or not isinstance(alpha, int | float | np.number):
            raise InvalidType(f"alpha must be a number from 0 to 1; got {alpha!r:.60}")
        if not 0 <= alpha <= 1:
            raise InvalidValue(f"alpha must be from 0 to 1; got {alpha!r}")
        hidden = _hidden(self, mask_key, classes)
        pixels = flatten(self.image)
        names = ClassNames()
        for key in masks:
            names.add(self, key, truth=True)
        colors = names.colors_of(self, mask_key)
        mask = masks[mask_key]
        return overlay(pixels, mask.class_data, colors, alpha=float(alpha), hidden=hidden, objects=mask.object_data)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return as_dtype(np.array(self.image), dtype, copy, "an image")

    def _repr_html_(self) -> str:
        from maskl.drawing.notebook import image_html

        return image_html(self)

    def _repr_png_(self) -> bytes | None:
        from maskl.drawing.notebook import image_png

        return image_png(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Image):
            return NotImplemented
        mine, others = self._parsed, other._parsed
        return (
            mine.reference == others.reference
            and mine.mode == others.mode
            and mine.size == others.size
            and mine.caption == others.caption
            and mine.masks == others.masks
            and mine.boxes == others.boxes
            and (mine.reference is not None or self.image.tobytes() == other.image.tobytes())
        )

    __hash__ = None  # type: ignore[assignment]

    def __getstate__(self) -> dict[str, Any]:
        # a pickle goes to other processes and machines: it brings the bytes, not the way to a store
        parsed = self._parsed
        load = None if parsed.load is None else partial(bytes, parsed.load())
        return self.__dict__ | {"_held": replace(parsed, load=load, pil=None, coming=None)}

    def __repr__(self) -> str:
        layers = (("masks", self._parsed.masks), ("boxes", self._parsed.boxes))
        over = [f"{what} {', '.join(some)}" for what, some in layers if some]
        mode = "" if self.mode is None else f" {self.mode}"
        return f"<Image {self._parsed.called(caption=False)}{mode}{' with ' if over else ''}{' and '.join(over)}>"

    def _check_pixels(self) -> None:
        reference = self._parsed.reference
        if reference is not None:
            raise NotFound(
                f"{reference} is kept as a reference, so its pixels are not here: fetch the file yourself, and "
                f"open it with Image(path)"
            )


def is_decoded(image: Image) -> bool:
    """Whether somebody has asked for the pixels of a stored image."""
    return image._parsed.pil is not None


def decode_ahead(image: Image) -> None:
    """Have another thread decode a stored image, whose pixels somebody asks for soon."""
    parsed = image._parsed
    if parsed.load is not None and parsed.pil is None and parsed.coming is None:
        with contextlib.suppress(RuntimeError):  # no thread can begin: who asks decodes
            parsed.coming = Decoding(parsed.decoded)


def _parse_image(
    data_or_path: Any,
    mode: str | None,
    caption: str | None,
    grouping: int | None,
    classes: Classes | Sequence[Mapping[str, Any]] | None,
    boxes: Mapping[str, Mapping[str, Any] | BoundingBoxes2D] | None,
    masks: Mapping[str, Mapping[str, Any] | ImageMask] | None,
    file_type: str | None,
    normalize: bool,
) -> _Parsed:
    """Return what the arguments of :class:`Image` come to."""
    caption = _text_of(caption)
    if file_type is not None and file_type not in FILE_TYPES:
        raise InvalidValue(f"file_type must be one of {list(FILE_TYPES)}; got {file_type!r}")
    if mode is not None and mode not in PILImage.MODES:
        raise InvalidValue(f"mode must be one of {list(PILImage.MODES)}; got {mode!r}")
    if grouping is not None:
        warn_unless_strict(
            "grouping is a number for W&B's server and is not stored: log the images in a Table with a column "
            "for their group",
            strict=sink.strict,
        )
    if classes is not None and not isinstance(classes, Classes):
        classes = Classes(classes)
    parsed = _Parsed(caption, classes, _by_key(masks, "masks", ImageMask))
    if isinstance(data_or_path, Image):
        _copy(data_or_path, parsed, mode, file_type)
    elif not (isinstance(data_or_path, str) and URL.match(data_or_path)):
        parsed.source = source_of(data_or_path, mode, file_type, normalize=normalize)
    elif mode is not None:
        raise InvalidValue(f"{data_or_path} is kept as a reference, whose mode {mode!r} cannot change")
    else:
        parsed.reference = check_text(data_or_path, "a URL")
    try:
        parsed.boxes = _by_key(boxes, "boxes", BoundingBoxes2D) or parsed.boxes
    except (InvalidType, InvalidValue) as error:
        raise prefixed(error, parsed.called()) from error
    _check_sizes(parsed, data_or_path)
    return parsed


def _text_of(caption: Any) -> str | None:
    """Return a caption as text: numbers of any library, paths and enums are taken for theirs."""
    found = None if caption is None else as_scalar(simpler(caption))
    if found is None:
        return None
    if not isinstance(found, str | int | float):
        raise InvalidType(f"a caption must be a string or a number; got {caption!r:.60}")
    return check_text(str(found), "a caption")


def _copy(image: Image, to: _Parsed, mode: str | None, file_type: str | None) -> None:
    """Take everything of an image that was not given anew."""
    other = image._parsed
    if mode is not None or file_type is not None:
        to.source = source_of(image.image, mode, file_type)
    else:
        to.source, to.stored, to.load, to.pil = other.source, other.stored, other.load, other.pil
        to.reference = other.reference
    to.caption = other.caption if to.caption is None else to.caption
    to.classes = other.classes if to.classes is None else to.classes
    to.masks = to.masks or other.masks
    to.boxes = other.boxes


def _check_sizes(parsed: _Parsed, given: Any) -> None:
    """Warn of masks that are not of the image's size, or may be turned against it."""
    size = parsed.size
    if size is None or not (parsed.masks or parsed.boxes):
        return
    width, height = size
    orientation = _orientation(parsed, given)
    others = {key: shape for key, mask in parsed.masks.items() if (shape := mask.shape) != (height, width)}
    told = orientation >= 5 and width != height and not parsed.boxes  # by the masks' sizes
    if orientation != 1 and not others and not told:
        warn(f"{parsed.called(caption=False)}: {turned(orientation)}", OrientationWarning)
    for key, shape in others.items():
        warn(
            f"mask {key!r} is {shape[1]}×{shape[0]} and its image {width}×{height}: it is stored "
            f"as it is, and has no confusion with masks of another size"
            f"{f'. Of the image: {turned(orientation)}' if orientation != 1 else ''}",
            SizeMismatchWarning,
        )


def _orientation(parsed: _Parsed, given: Any) -> int:
    """Return how the photo that an image was made of is turned by its EXIF where it is shown."""
    if isinstance(given, PILImage.Image):
        return orientation_of(given)
    if isinstance(parsed.source, FileSource):
        return parsed.source.orientation()
    if parsed.source is None and parsed.load is not None and parsed.stored and parsed.stored.format in PHOTOS:
        return orientation_of(parsed.load())
    return 1


def _hidden(image: Image, key: str, classes: Iterable[str | int] | str | int | None) -> frozenset[int]:
    """Return the ids of a mask that are not among these classes."""
    if classes is None:
        return frozenset()
    mask = image.masks[key]
    items = {item.id: item for item in resolve_class_set(mask, image.classes, image.masks)}
    present: list[int] = mask.classed[1].ids.tolist()
    names = {number: class_name(items.get(number), number) for number in (*items, *present)}
    chosen: set[int] = set()
    for wanted in [classes] if isinstance(classes, str | int | np.integer) else classes:
        found = {number for number, name in names.items() if wanted in (number, name)}
        if not found or isinstance(wanted, bool):
            known = ", ".join(f"{number} {name!r}" for number, name in sorted(names.items())[:40])
            raise NotFound(f"mask {key!r} has no class {wanted!r:.60}; its classes are: {known}")
        chosen |= found
    return frozenset(present) - chosen


Layer = TypeVar("Layer", ImageMask, BoundingBoxes2D)


def _by_key(given: object, what: str, kind: type[Layer]) -> dict[str, Layer]:
    """Return the masks or boxes that were given, each under its key."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise InvalidValue(f'Images "{what}" argument must be a dictionary; got {type(given).__name__}')
    made: dict[str, Layer] = {}
    spelled: dict[str, str] = {}
    for key, value in given.items():
        layer = _layer(key, value, kind)
        folded = layer.key.casefold()
        if folded in spelled:
            raise InvalidValue(
                f"{what.removesuffix('s')} keys {spelled[folded]!r} and {key!r} differ only in case, which SQL does "
                f"not tell apart: rename one"
            )
        spelled[folded] = key
        made[key] = layer
    return made


def _layer(key: object, value: Any, kind: type[Layer]) -> Layer:
    if not isinstance(key, str):
        what = "a mask's key" if kind is ImageMask else "the key of boxes"
        raise InvalidType(f"{what} must be a string; got {key!r:.60}")
    if isinstance(value, kind):
        return value if value.key == key else value.renamed(key)
    if kind is not ImageMask:
        return kind(value, key)  # which names itself in errors
    try:
        return kind(value, key)
    except (InvalidType, InvalidValue) as error:
        raise prefixed(error, f"mask {key!r}") from error
