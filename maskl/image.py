"""Images with masks."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from blake3 import blake3
from PIL import Image as PILImage

from maskl.classes import Classes
from maskl.deferred import deferrable
from maskl.mask import ImageMask, as_array
from maskl.pixels import FileSource, PilSource, PixelSource, array_pixels, read_file
from maskl_storage.errors import InvalidType, InvalidValue, SizeMismatchWarning
from maskl_storage.reader import StoredImage
from maskl_storage.spec import check_text
from maskl_storage.warn import warn

__all__ = ["Image"]

FILE_TYPES: Final = ("png", "jpg", "jpeg", "bmp", "webp")


@deferrable
class Image:
    """An image, with masks over it.

    Parameters
    ----------
    data_or_path : array_like, PIL.Image.Image, str, path or Image
        Pixels of shape (H, W), (H, W, 1), (H, W, 2), (H, W, 3) or (H, W, 4): uint8 as they are,
        uint16 of shape (H, W) and bool too; other integers are clipped to 0–255; floats in [0, 1]
        or [−1, 1] are scaled to 0–255. Or the path of an image file, which is kept byte for byte.
    mode : str, optional
        Pillow's name of the pixel format to convert to.
    caption : str, optional
        Text that stands with the image.
    classes : Classes or list of dict, optional
        Names, colours and ignored ids of the classes of masks that bring no labels of their own.
    masks : dict of str to dict or ImageMask, optional
        The masks by key; see :class:`ImageMask` for the dicts.
    file_type : str, optional
        How an array is stored: ``png``, ``jpg``, ``bmp`` or ``webp``; by default losslessly as WebP
        (8-bit RGB and RGBA) or PNG. Without effect on a path.
    normalize : bool, optional
        Whether floats in [0, 1] and [−1, 1] are scaled to 0–255; True by default.

    Raises
    ------
    InvalidType
        Data or arguments of the wrong type or shape.
    InvalidValue
        An empty array, a file that is no image, mask keys that differ only in case.
    FileNotFoundError
        There is no file at the path.

    Warns
    -----
    SizeMismatchWarning
        A mask's size differs from the image's; it is stored as it is.
    ConversionWarning
        Values out of range were clipped, or the pixel format had to be changed.

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
        classes: Classes | Sequence[Mapping[str, Any]] | None = None,
        masks: Mapping[str, Mapping[str, Any] | ImageMask] | None = None,
        file_type: str | None = None,
        normalize: bool = True,
    ) -> None:
        if caption is not None and not isinstance(caption, str):
            raise InvalidType(f"a caption must be a string; got {caption!r:.60}")
        if caption is not None:
            check_text(caption, "a caption")
        if file_type is not None and file_type not in FILE_TYPES:
            raise InvalidValue(f"file_type must be one of {list(FILE_TYPES)}; got {file_type!r}")
        if mode is not None and mode not in PILImage.MODES:
            raise InvalidValue(f"mode must be one of {list(PILImage.MODES)}; got {mode!r}")
        if classes is not None and not isinstance(classes, Classes):
            classes = Classes(classes)
        self._caption = caption
        self._classes = classes
        self._stored: StoredImage | None = None
        self._load: Callable[[], bytes] | None = None
        self._pil: PILImage.Image | None = None
        self._source: PixelSource | PilSource | FileSource | None = None
        self._masks = _masks(masks)
        if isinstance(data_or_path, Image):
            self._copy(data_or_path, mode, file_type)
        else:
            self._source = _source(data_or_path, mode, file_type, normalize)
        self._check_sizes()

    @classmethod
    def from_stored(cls, stored: StoredImage, load: Callable[[], bytes]) -> Image:
        """Return the image of a stored row; ``load`` returns its encoded bytes when they are needed."""
        image = cls.__new__(cls)
        image._caption, image._classes, image._pil, image._source = stored.caption, None, None, None
        image._stored, image._load = stored, load
        image._masks = {key: ImageMask.from_stored(data, key, items) for key, (data, items) in stored.masks.items()}
        return image

    @property
    def image(self) -> PILImage.Image:
        """The image as Pillow has it, decoded when it is first asked for."""
        if self._pil is None:
            if self._source is not None:
                self._pil = self._source.to_pil()
            elif self._load is not None:
                pil = PILImage.open(io.BytesIO(self._load()))
                pil.load()
                # WebP leaves out an alpha channel that hides nothing
                self._pil = pil if pil.mode == self.mode else pil.convert(self.mode)
        assert self._pil is not None  # noqa: S101  # one of the two is set
        return self._pil

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self._size()[0]

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self._size()[1]

    @property
    def mode(self) -> str:
        """Pillow's name of the pixel format."""
        if self._source is not None:
            return self._source.mode
        return str(self._stored.mode) if self._stored is not None else self.image.mode

    @property
    def caption(self) -> str | None:
        """Text that stands with the image."""
        return self._caption

    @property
    def classes(self) -> Classes | None:
        """The classes that were given with the image."""
        return self._classes

    @property
    def masks(self) -> dict[str, ImageMask]:
        """The masks by key."""
        return dict(self._masks)

    @property
    def source(self) -> PixelSource | PilSource | FileSource | None:
        """Where the pixels of a new image are; None for one that was read from a store."""
        return self._source

    @property
    def stored(self) -> tuple[StoredImage, Callable[[], bytes]] | None:
        """What a stored image is, and a call that returns its encoded bytes; None for a new one."""
        if self._stored is None or self._load is None:
            return None
        return self._stored, self._load

    def digest(self) -> str:
        """Return the BLAKE3 over the pixels or file and the way they are stored, 64 hex digits."""
        if self._stored is not None and self._stored.digest is not None:
            return self._stored.digest
        assert self._source is not None  # noqa: S101  # a new image has one
        hasher = blake3(self._source.signature().encode())
        hasher.update(self._source.content())
        return hasher.hexdigest()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Image):
            return NotImplemented
        return (
            self.mode == other.mode
            and self._size() == other._size()
            and self._caption == other._caption
            and self._masks == other._masks
            and self.image.tobytes() == other.image.tobytes()
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        masks = f" with masks {', '.join(self._masks)}" if self._masks else ""
        return f"<Image {self.width}×{self.height} {self.mode}{masks}>"

    def _size(self) -> tuple[int, int]:
        if self._source is not None:
            return self._source.size
        assert self._stored is not None  # noqa: S101  # a read image has one
        return int(self._stored.width or 0), int(self._stored.height or 0)

    def _copy(self, other: Image, mode: str | None, file_type: str | None) -> None:
        """Take everything of another image that was not given anew."""
        if mode is not None or file_type is not None:
            self._source = _source(other.image, mode, file_type, True)
        else:
            self._source, self._stored, self._load, self._pil = other._source, other._stored, other._load, other._pil
        self._caption = other._caption if self._caption is None else self._caption
        self._classes = other._classes if self._classes is None else self._classes
        self._masks = self._masks or other._masks

    def _check_sizes(self) -> None:
        width, height = self._size()
        for key, mask in self._masks.items():
            if mask.shape != (height, width):
                warn(
                    f"mask {key!r} is {mask.shape[1]}×{mask.shape[0]} and its image {width}×{height}: it is stored "
                    f"as it is, and has no confusion with masks of another size",
                    SizeMismatchWarning,
                )


def _masks(masks: object) -> dict[str, ImageMask]:
    if masks is None:
        return {}
    if not isinstance(masks, Mapping):
        raise InvalidValue(f'Images "masks" argument must be a dictionary; got {type(masks).__name__}')
    made: dict[str, ImageMask] = {}
    spelled: dict[str, str] = {}
    for key, value in masks.items():
        mask = _mask(key, value)
        folded = mask.key.casefold()
        if folded in spelled:
            raise InvalidValue(
                f"mask keys {spelled[folded]!r} and {key!r} differ only in case, which SQL does not tell apart: "
                f"rename one"
            )
        spelled[folded] = key
        made[key] = mask
    return made


def _mask(key: object, value: Any) -> ImageMask:
    if not isinstance(key, str):
        raise InvalidType(f"a mask's key must be a string; got {key!r:.60}")
    if isinstance(value, ImageMask):
        return value if value.key == key else value.renamed(key)
    try:
        return ImageMask(value, key)
    except (InvalidType, InvalidValue) as error:
        raise type(error)(f"mask {key!r}: {error}") from error


def _source(
    data: Any, mode: str | None, file_type: str | None, normalize: bool
) -> PixelSource | PilSource | FileSource:
    if isinstance(data, str | os.PathLike):
        file = read_file(os.path.expanduser(os.fsdecode(data)))
        return file if mode in (None, file.mode) else PilSource.of(file.to_pil().convert(mode), file_type)
    if isinstance(data, PILImage.Image):
        return PilSource.of(data if mode in (None, data.mode) else data.convert(mode), file_type)
    array: npt.NDArray[Any] = as_array(data)
    if type(data).__module__.partition(".")[0] == "torch" and array.ndim == 3:
        array = np.moveaxis(array, 0, -1)  # tensors have their channels first
    pixels = array_pixels(array, normalize=normalize, file_type=file_type)
    return pixels if mode in (None, pixels.mode) else PilSource.of(pixels.to_pil().convert(mode), file_type)
