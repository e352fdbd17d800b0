"""Where an image's pixels come from, and how each kind of source is encoded."""

from __future__ import annotations

import io
import os
import struct
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage
from PIL import UnidentifiedImageError, WebPImagePlugin  # noqa: F401  # else the first save loads every plugin

from maskl.adapters.objects import as_array, draw, hidden_values, is_figure, is_tensor
from maskl.adapters.pictures import open_picture, orientation_of, too_large
from maskl.images.formats import chosen
from maskl.images.scaling import to_bytes
from maskl_storage.errors import ConversionWarning, CorruptData, InvalidType, InvalidValue, warn
from maskl_storage.images import jxl
from maskl_storage.images.lossless import FORMATS, MAX_WEBP, WEBP_MODES, line_format
from maskl_storage.masks.png import SIGNATURE, frame_png

__all__ = [
    "PNG_MODES",
    "FileSource",
    "PilSource",
    "PixelSource",
    "Source",
    "file_source",
    "source_of",
]

#: Pillow's modes that PNG keeps as they are
PNG_MODES: Final = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
#: what each file type keeps as it is
KEPT: Final = {
    "png": PNG_MODES,
    "jpeg": ("L", "RGB", "CMYK"),
    "bmp": ("1", "L", "P", "RGB"),
    "webp": WEBP_MODES,
    "jxl": jxl.MODES,
}
#: pixels a side
MAX_SIDE: Final = {"webp": MAX_WEBP, "jpeg": 65500}
CHANNELS: Final = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
#: mode by colour type and bit depth of a PNG's header
PNG_HEADER: Final = {
    (0, 1): "1",
    (0, 8): "L",
    (0, 16): "I;16",
    (2, 8): "RGB",
    (3, 8): "P",
    (4, 8): "LA",
    (6, 8): "RGBA",
}


@dataclass(frozen=True, slots=True, eq=False)
class PixelSource:
    """An array of pixels that Pillow has a mode for: bool, uint8 or uint16, C-ordered, read-only.

    ``file_type`` is the format that was asked for; where none was, the format is that of the run which stores it.
    """

    array: npt.NDArray[Any]
    mode: str
    file_type: str | None

    @property
    def format(self) -> str:
        """The format of its file."""
        return _format(self.mode, self.size, self.file_type)

    @property
    def size(self) -> tuple[int, int]:
        """``(width, height)``."""
        return self.array.shape[1], self.array.shape[0]

    def content(self) -> memoryview:
        """Return the bytes that the digest is over."""
        return self.array.reshape(-1).view(np.uint8).data

    def signature(self) -> str:
        """Return what else the digest is over: the kind of source and how it is encoded."""
        return f"array {self.array.shape} {self.array.dtype.str} {self.mode} {_line(self)}\n"

    def to_pil(self) -> PILImage.Image:
        """Return the pixels as Pillow has them."""
        return PILImage.fromarray(self.array)

    def encode(self) -> bytes:
        """Return the encoded file."""
        if self.format == "png":
            return frame_png(self.array)
        return jxl.encode(self.array, self.mode) if self.format == "jxl" else _save(self.to_pil(), self.format)


@dataclass(frozen=True, slots=True, eq=False)
class PilSource:
    """An image of Pillow's, in a mode that its format keeps; ``file_type`` is as in :class:`PixelSource`."""

    image: PILImage.Image
    file_type: str | None

    @property
    def format(self) -> str:
        """The format of its file."""
        return _format(self.mode, self.size, self.file_type)

    @classmethod
    def of(cls, image: PILImage.Image, file_type: str | None, *, normalize: bool = True) -> PixelSource | PilSource:
        """Copy the image, converting what its format cannot keep; plain pixels become an array."""
        image = _keepable(image, file_type or "png", normalize)
        if image.mode in ("RGB", "RGBA", "L", "1", "I;16"):
            array = np.array(image)
            array.flags.writeable = False
            return _checked(PixelSource(array, image.mode, file_type))
        return _checked(cls(image.copy(), file_type))

    @property
    def mode(self) -> str:
        """Pillow's name of the pixel format."""
        return self.image.mode

    @property
    def size(self) -> tuple[int, int]:
        """``(width, height)``."""
        return self.image.size

    def content(self) -> bytes:
        """Return the bytes that the digest is over."""
        palette = self.image.getpalette("RGBA") if self.image.mode == "P" else None
        return self.image.tobytes() + bytes(palette or ())

    def signature(self) -> str:
        """Return what else the digest is over: the kind of source and how it is encoded."""
        transparency = self.image.info.get("transparency")
        return f"pil {self.image.size} {self.image.mode} {_line(self)} {transparency!r}\n"

    def to_pil(self) -> PILImage.Image:
        """Return the image."""
        return self.image

    def encode(self) -> bytes:
        """Return the encoded file."""
        if self.format == "jxl":
            return jxl.encode(np.array(self.image), self.mode)
        if self.format != "png" or "icc_profile" in self.image.info:  # which Pillow writes along
            return _save(self.image, self.format)
        if self.mode == "P":
            return frame_png(np.array(self.image), *_palette(self.image))
        return frame_png(np.array(self.image))


@dataclass(frozen=True, slots=True, eq=False)
class FileSource:
    """An image file, kept byte for byte."""

    data: bytes
    path: str
    format: str
    mode: str
    size: tuple[int, int]

    def content(self) -> bytes:
        """Return the bytes that the digest is over."""
        return self.data

    def signature(self) -> str:
        """Return what else the digest is over."""
        return "file\n"

    def orientation(self) -> int:
        """Return how the file's EXIF has it turned where it is shown; 1 where it is not turned."""
        return orientation_of(self.data)

    def to_pil(self) -> PILImage.Image:
        """Return the decoded image, not turned."""
        return open_picture(self.data, self.path)

    def encode(self) -> bytes:
        """Return the file's bytes."""
        return self.data


Source = PixelSource | PilSource | FileSource
Made = TypeVar("Made", PixelSource, PilSource)


def settled(source: Source) -> Source:
    """Return a source with its format settled, whatever run comes next; a file has its own."""
    return source if isinstance(source, FileSource) else replace(source, file_type=source.format)


def source_of(data: Any, mode: str | None, file_type: str | None, *, normalize: bool = True) -> Source:
    """Return where the pixels of a path, an image of Pillow's, a figure, a tensor or an array come from.

    Parameters
    ----------
    data : path-like, PIL.Image.Image, figure, tensor or array_like
        What holds the pixels.
    mode : str, optional
        Pillow's name of the pixel format to convert to.
    file_type : str, optional
        How the pixels are stored; a file that is not converted stays as it is.
    normalize : bool
        Whether floats that are meant in [0, 1] or [−1, 1] are scaled to 0–255.
    """
    source: Source
    if isinstance(data, str | os.PathLike):
        source = _read_file(os.path.expanduser(os.fsdecode(data)))
    elif isinstance(data, PILImage.Image) or is_figure(data):
        drawn = data if isinstance(data, PILImage.Image) else PILImage.open(io.BytesIO(draw(data)))
        return PilSource.of(
            drawn if mode in (None, drawn.mode) else drawn.convert(mode), file_type, normalize=normalize
        )
    else:
        array: npt.NDArray[Any] = as_array(_without_hidden(data))
        if is_tensor(data) and array.ndim > 2:
            array = np.moveaxis(array, -3, -1)  # tensors have their channels first
        source = _array_source(array, normalize=normalize, file_type=file_type)
    return source if mode in (None, source.mode) else PilSource.of(source.to_pil().convert(mode), file_type)


def _without_hidden(data: Any) -> Any:
    """Return what a masked array shows: pixels that it hides are stored as 0, as those that are NaN."""
    if not (count := hidden_values(data)):
        return data
    if data.dtype.kind == "f":
        return data.filled(np.nan)  # which says nothing of the range, and is warned about
    warn(f"{count:,} image values that are hidden by a masked array were stored as 0", ConversionWarning)
    return data.filled(0)


def _read_file(path: str) -> FileSource:
    """Read an image file; only its header is parsed."""
    with open(path, "rb", buffering=0) as file:
        return file_source(file.read(), path)


def file_source(data: bytes, path: str) -> FileSource:
    """Return what was read from an image file; only its header is parsed."""
    name = os.fsencode(path).decode("utf-8", "backslashreplace")  # a file's name need not be text
    if data[:8] == SIGNATURE and data[12:16] == b"IHDR" and len(data) > 33:
        width, height, depth, kind = struct.unpack_from(">IIBB", data, 16)
        mode = PNG_HEADER.get((kind, depth))
        if mode is not None and width and height:  # opening a PNG takes longer than storing it
            return FileSource(data, name, "png", mode, (width, height))
    try:
        with jxl.open_image(io.BytesIO(data)) as image:
            return FileSource(data, name, str(image.format).lower(), image.mode, image.size)
    except PILImage.DecompressionBombError as error:
        raise too_large(path, error) from error
    except (UnidentifiedImageError, SyntaxError, CorruptData) as error:
        raise InvalidValue(f"{path} is not an image that Pillow can read: {error}") from error


def _array_source(array: npt.NDArray[Any], *, normalize: bool, file_type: str | None) -> PixelSource | PilSource:
    """Copy an array into one that Pillow has a mode for."""
    if array.size == 0:
        raise InvalidValue(f"an image array must not be empty; got shape {array.shape}")
    array = _one_image(array)
    if array.dtype.kind not in "biuf":
        raise InvalidType(f"an image array must hold numbers; got dtype {array.dtype}")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim == 2 and array.dtype == np.bool_:
        mode, pixels = "1", array
    elif array.ndim == 2 and array.dtype.newbyteorder("=") == np.uint16:
        mode, pixels = "I;16", array.astype(np.uint16, order="C")
    else:
        mode, pixels = CHANNELS[1 if array.ndim == 2 else array.shape[2]], to_bytes(array, normalize=normalize)
    kept = np.array(pixels, order="C", copy=True) if pixels is array else pixels
    kept.flags.writeable = False
    source = _checked(PixelSource(kept, mode, file_type))
    if file_type is not None and mode not in KEPT[source.format]:
        return PilSource.of(source.to_pil(), file_type)
    return source


def _one_image(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Drop axes of length 1 where there are too many, such as that of a batch of one image."""
    shape = array.shape
    while array.ndim > 3 and 1 in array.shape:
        array = array.squeeze(array.shape.index(1))
    if array.ndim == 3 and array.shape[2] not in CHANNELS and array.shape[0] == 1:
        array = array[0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in CHANNELS):
        raise InvalidType(
            f"an image array must have the shape (H, W) or (H, W, C) with 1 to 4 channels last (a tensor (H, W) or "
            f"(C, H, W)); got {shape}"
        )
    return array


def _format(mode: str, size: tuple[int, int], file_type: str | None) -> str:
    """Return the format of an image's file: as it was asked for, else as arrays are kept in this run."""
    if file_type is not None:
        kind = "jpeg" if file_type == "jpg" else file_type
        if not _fits(size, kind):
            raise InvalidValue(f"an image of {size[0]}×{size[1]} is too large for {file_type}: {MAX_SIDE[kind]} a side")
        return kind
    kind = chosen()
    return kind if mode in KEPT[kind] and _fits(size, kind) else "png"


def _fits(size: tuple[int, int], kind: str) -> bool:
    """Whether a format takes an image of a size."""
    return max(size) <= MAX_SIDE.get(kind, max(size))


def _palette(image: PILImage.Image) -> tuple[bytes, bytes]:
    """Return red, green and blue of each index of an image, and how opaque the first of them are."""
    used = 3 * (int(np.asarray(image).max()) + 1)
    colors = bytes(image.getpalette("RGB") or ()).ljust(used, b"\0")
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        return colors, b"\xff" * transparent + b"\0"
    if transparent is None and image.palette is not None and image.palette.mode == "RGBA":
        transparent = bytes(image.getpalette("RGBA") or ())[3::4]
    return colors, bytes(transparent or b"")[: len(colors) // 3]


def _checked(source: Made) -> Made:
    """Return the source; raise what is wrong with the format that was asked for, before anything is written."""
    if source.format == "jxl":
        jxl.plugin(f"file_type={source.file_type!r}" if source.file_type else "image_format='jxl'")
    return source


def _line(source: PixelSource | PilSource) -> str:
    """Return the format that a digest names: one for all of which a run may choose."""
    return line_format(source.mode, *source.size) if source.format in FORMATS else source.format


def _keepable(image: PILImage.Image, file_type: str, normalize: bool) -> PILImage.Image:
    """Convert an image to a mode that the file type keeps, with a warning where that changes it."""
    kept = KEPT["jpeg" if file_type == "jpg" else file_type]
    if image.mode in kept:
        return image
    if image.mode == "I;16B":
        return PILImage.fromarray(np.array(image).astype(np.uint16))
    if image.mode in ("I", "F") and "I;16" in kept:
        array = np.array(image)
        if image.mode == "I" and array.min() >= 0 and array.max() < 1 << 16:
            return PILImage.fromarray(array.astype(np.uint16))
        if image.mode == "I":
            array = array.clip(0, 255).astype(np.uint8)
        target, converted = "L", PILImage.fromarray(to_bytes(array, normalize=normalize))
    elif file_type == "jxl":
        raise InvalidValue(
            f"file_type 'jxl' keeps images of the modes {', '.join(kept)}; this one is of mode {image.mode}: leave "
            f"file_type out, take file_type='png', or pass mode= to convert it"
        )
    else:
        alpha = image.mode in ("LA", "RGBA", "PA", "La", "RGBa") and "RGBA" in kept
        grey = image.mode in ("1", "L", "LA", "I", "I;16", "F") and "L" in kept
        target = "RGBA" if alpha else "L" if grey else "RGB"
        converted = image.convert(target)
    # an alpha channel that hides nothing is no loss
    if not (image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255)):
        warn(
            f"an image of mode {image.mode} was converted to {target}, since {file_type} cannot keep it",
            ConversionWarning,
        )
    return converted


class _Written(io.BytesIO):
    """Keeps what is written in one piece, as WebP is, without a copy."""

    data: bytes = b""

    def write(self, data: Any) -> int:
        self.data += data  # nothing and a piece make that piece itself
        return len(data)


def _save(image: PILImage.Image, kind: str) -> bytes:
    if kind == "webp":
        written = _Written()
        # the fastest lossless setting: on street scenes 7 times as fast as PNG, and smaller
        image.save(written, "WEBP", lossless=True, quality=0, method=0, exact=True)
        return written.data
    buffer = io.BytesIO()
    image.save(buffer, kind.upper())
    return buffer.getvalue()
