"""What the files of a source hold: bytes, pictures and values, none of which is trusted.

No file is without end, no picture is a bomb, and nothing is unpickled. Which files there are, and how one is opened,
is for :mod:`maskl.interchange.source_files`, whose names are here too for who reads a format.
"""

from __future__ import annotations

import gzip
import io
import os
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt
from blake3 import blake3
from PIL import Image as PILImage
from PIL import UnidentifiedImageError

from maskl.adapters.pictures import turned
from maskl.annotations.mask import ImageMask
from maskl.drawing.overlay import parse_color
from maskl.images.image import Image
from maskl.images.sources import file_source
from maskl.interchange.source_files import SourceFile, inside, open_file
from maskl_storage.errors import CorruptData, InvalidValue, MasklError, NotFound
from maskl_storage.format.metadata import ClassItem, ClassSet
from maskl_storage.images.jxl import is_jxl, open_image, size_of
from maskl_storage.masks.codec import encode
from maskl_storage.masks.png import KEYWORD, as_logged, ids_of, is_lossy, warn_of_loss
from maskl_storage.read.table import StoredImage

__all__ = [
    "MAX_BYTES",
    "MAX_JSON",
    "MAX_LINE",
    "MAX_PIXELS",
    "MAX_UNPACKED",
    "bound",
    "check_holes",
    "check_size",
    "inside",
    "mask_of",
    "mask_pixels",
    "packed_array",
    "picture",
    "read_beside",
    "read_codes",
    "read_document",
    "read_file",
    "read_ids",
    "read_image",
    "read_lines",
    "stored_image",
    "unpacked_lines",
]

Pixels = npt.NDArray[Any]

#: bytes of a file that is read whole
MAX_BYTES: Final = 2 << 30
#: bytes of a document of JSON, which is read whole, and becomes many times as many
MAX_JSON: Final = 1 << 30
#: bytes of zero that no JSON has, in whatever Unicode
ZEROS: Final = bytes(16)
#: bytes that anything compressed may unpack to, however small it is, and how many times its own size beyond that
MAX_UNPACKED: Final = 256 << 20
MAX_RATIO: Final = 16
#: lines of a compressed file, each of which becomes an object
MAX_LINES: Final = 1_000_000
#: bytes of a line of JSON, which becomes some twenty times as many
MAX_LINE: Final = 32 << 20
#: bytes of the file of a picture
MAX_PICTURE: Final = 512 << 20
#: pixels of a picture from which on Pillow, too, takes it for a bomb
MAX_PIXELS: Final = 178_956_970
#: bytes that are read at a time where it is not known how many there are
CHUNK: Final = 1 << 16
#: pixels that are looked at at a time where that takes many times their bytes
STRIP: Final = 1 << 20
#: pixels of a picture of the ids of segments
MAX_CODED: Final = 1 << 25
#: what Pillow hands to another program
FOREIGN: Final = ("eps", "wmf")
#: what Pillow's plugins raise for files that are broken
BROKEN: Final = (
    *(OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError, MemoryError),
    *(struct.error, zlib.error),
)


# --- bytes --------------------------------------------------------------------------------------


def bound(packed: int) -> int:
    """Return to how many bytes something compressed of this size may unpack."""
    return min(MAX_BYTES, max(MAX_UNPACKED, MAX_RATIO * packed))


def read_file(file: SourceFile | Path, most: int | None = None) -> bytes:
    """Return the bytes of a file of a source, or of one that the user named.

    Parameters
    ----------
    file : SourceFile or Path
        The file.
    most : int, optional
        How many bytes it may have; by default :data:`MAX_BYTES`.

    Raises
    ------
    InvalidValue
        There are more, or it is none that is opened.
    """
    most = MAX_BYTES if most is None else most
    with open_file(file) as opened:
        size = os.fstat(opened.fileno()).st_size
        _check_bytes(file, size, most)
        return _whole(opened, file, most, size)


def _check_bytes(file: SourceFile | Path, size: int, most: int) -> None:
    """Raise InvalidValue for a file that is too large, before any of it is read."""
    if size > most:
        raise InvalidValue(f"{file} has {size:,} bytes; files of up to {most:,} are read")


def check_holes(file: IO[bytes] | io.RawIOBase, what: object) -> None:
    """Raise InvalidValue for a large file that consists of holes, so that a copy takes many times the room."""
    stat = os.fstat(file.fileno())
    room = getattr(stat, "st_blocks", None)  # not on Windows, which is told to make holes
    if room is not None and stat.st_size > max(MAX_UNPACKED, MAX_RATIO * 512 * room):
        raise InvalidValue(
            f"{what} has {stat.st_size:,} bytes, and takes {512 * room:,}: what has such holes is not copied"
        )


def read_document(path: SourceFile | Path, most: int | None = None) -> bytes:
    """Return the bytes of a file of JSON, which is gone through before it is held whole.

    Parameters
    ----------
    path : SourceFile or Path
        The file.
    most : int, optional
        How many bytes it may have; by default :data:`MAX_JSON`.

    Raises
    ------
    CorruptData
        It has holes, which take less room than they have bytes, or others of zero.
    InvalidValue
        There are more, or it is none that is opened.
    """
    most = MAX_JSON if most is None else most
    with open_file(path) as opened:
        size = os.fstat(opened.fileno()).st_size
        _check_bytes(path, size, most)
        if size > MAX_UNPACKED:
            while part := opened.read(CHUNK):
                if ZEROS in part:
                    raise CorruptData(f"{path}: not JSON: it holds bytes of zero")
            opened.seek(0)
        return _whole(opened, path, most, size)


def read_beside(file: SourceFile, name: object, under: str = "") -> bytes:
    """Return the bytes of a picture, or of what stands beside one, whose name counts from the folder of a file.

    Raises
    ------
    InvalidValue
        The name is none that :func:`maskl.interchange.source_files.inside` takes, there is no such file, or it is too
        large.
    """
    try:
        found = file.neighbour(name, under)
    except NotFound as error:
        raise InvalidValue(str(error)) from error
    return read_file(found, MAX_PICTURE)


def read_lines(file: SourceFile) -> Iterator[bytes | None]:
    """Yield the lines of a file without their ends; None for one of more than :data:`MAX_LINE` bytes."""
    with io.BufferedReader(open_file(file), CHUNK) as opened:
        while line := opened.readline(MAX_LINE + 1):
            whole = len(line) <= MAX_LINE
            while not whole and line and not line.endswith(b"\n"):
                line = opened.readline(MAX_LINE)
            yield line.removesuffix(b"\n") if whole else None


def unpacked_lines(data: bytes, what: object) -> Iterator[bytes]:
    """Yield the lines of a gzip file.

    Raises
    ------
    CorruptData
        It is none, or not a whole one.
    InvalidValue
        It holds more than :func:`bound` says, or more than :data:`MAX_LINES` lines.
    """
    most, held, number = bound(len(data)), 0, 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            while line := file.readline(most - held + 1):
                held, number = held + len(line), number + 1
                if held > most:
                    raise InvalidValue(f"{what} holds more than {most:,} bytes; files of up to that are read")
                if number > MAX_LINES:
                    raise InvalidValue(f"{what} holds more than {MAX_LINES:,} lines; files of up to that are read")
                yield line
    except (OSError, EOFError, zlib.error) as error:
        raise CorruptData(f"{what}: not a whole gzip file: {error}") from error


def packed_array(data: bytes, key: str, what: object) -> Pixels:
    """Return an array of a file that ``numpy.savez`` wrote.

    Raises
    ------
    CorruptData
        It is no such file, or lacks the array, or holds it pickled: a pickle can run any code.
    InvalidValue
        The array has more than :func:`bound` says.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            member = archive.getinfo(f"{key}.npy")
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                # the others unpack a piece whole, however large it is
                raise CorruptData(f"{what}: array {key!r} is compressed as NumPy compresses none")
            with archive.open(member) as file:
                body = _whole(file, what, bound(len(data)))
        array: Pixels = np.lib.format.read_array(io.BytesIO(body), allow_pickle=False)
    except MasklError:
        raise
    except (*BROKEN, zipfile.BadZipFile, RuntimeError) as error:
        raise CorruptData(f"{what}: array {key!r} cannot be read: {error}") from error
    return array


def _whole(file: IO[bytes] | io.RawIOBase, what: object, most: int, size: int = 0) -> bytes:
    """Return what is left of a file that should have this size, and may have any."""
    parts: list[bytes] = []
    held = 0
    while part := file.read(max(size + 1 - held, CHUNK)):
        parts.append(part)
        held += len(part)
        if held > most:
            raise InvalidValue(f"{what} holds more than {most:,} bytes; files of up to that are read")
    return b"".join(parts)


# --- pictures -----------------------------------------------------------------------------------


def check_size(width: int, height: int, what: str, most: int = MAX_PIXELS) -> None:
    """Raise InvalidValue for a picture with more pixels than any that is meant well."""
    if width * height > most:
        raise InvalidValue(f"{what} claims {width}×{height} pixels; pictures of up to {most:,} are imported")


def stored_image(
    data: bytes, path: str | None = None, mode: str | None = None, caption: str | None = None
) -> StoredImage:
    """Return what is stored of an encoded image, which is decoded once to see that it can be.

    Parameters
    ----------
    data : bytes
        The file, which is kept byte for byte.
    path : str, optional
        What it is called in the source.
    mode : str, optional
        Pillow's name of the pixel format, where a file does not say it: WebP drops an alpha channel that hides
        nothing.
    caption : str, optional
        Text that stands with the image.

    Raises
    ------
    InvalidValue
        No image, or one of too many pixels.
    CorruptData
        One that cannot be decoded.
    """
    with _opened(data, "the image") as image:
        image.load()
        size, own, kind = image.size, image.mode, str(image.format).lower()
    if mode not in (None, own) and (own, mode) != ("RGB", "RGBA"):
        raise InvalidValue(f"the image is said to be of mode {mode!r:.20}, and is of mode {own}")
    return StoredImage(_digest(data), kind, mode or own, *size, caption, path, {})


def picture(
    data: bytes,
    path: str | None = None,
    *,
    caption: str | None = None,
    classes: Any = None,
    masks: Mapping[str, Any] | None = None,
    boxes: Mapping[str, Any] | None = None,
) -> Image:
    """Return the image of an encoded file, with what :class:`maskl.Image` takes beside it.

    Raises
    ------
    InvalidType, InvalidValue
        No image, one of too many pixels, or something beside it that is wrong.
    CorruptData
        An image that cannot be decoded.
    """
    return _with(stored_image(data, path), data, caption=caption, classes=classes, masks=masks, boxes=boxes)


def read_image(
    path: SourceFile, caption: str | None = None, masks: Mapping[str, ImageMask] | None = None, *, sized: bool = False
) -> Image:
    """Return the image of a file, kept byte for byte, with masks; only its header is parsed.

    Parameters
    ----------
    path : SourceFile
        The file, which has been found :func:`inside` its folder.
    caption : str, optional
        Text that stands with the image.
    masks : mapping of str to ImageMask, optional
        The masks by key.
    sized : bool, optional
        Whether masks must have the image's size.

    Raises
    ------
    InvalidValue
        No image, one with too many pixels, or a mask of another size.
    """
    data = read_file(path, MAX_PICTURE)
    with _explained(path.name):
        source = file_source(data, str(path))
    width, height = source.size
    check_size(width, height, path.name)
    _check_format(source.format, path.name)
    for key, mask in (masks or {}).items():
        if sized and mask.shape != (height, width):
            orientation = source.orientation()
            why = f". Of the image: {turned(orientation)}" if orientation != 1 else ""
            sizes = f"{mask.shape[1]}×{mask.shape[0]}, and its image {width}×{height}"
            raise InvalidValue(f"mask {key!r} is {sizes}{why}")
    stored = StoredImage(_digest(data), source.format, source.mode, width, height, None, source.path, {})
    return _with(stored, data, caption=caption, masks=masks)


def _with(stored: StoredImage, data: bytes, **more: Any) -> Image:
    """Return a stored image with what stands beside it, if there is any, which is checked."""
    image = Image.from_stored(stored, lambda: data)
    return Image(image, **more) if any(value or value == "" for value in more.values()) else image


def _digest(data: bytes) -> str:
    """Return the digest of an image that is kept as a file."""
    return blake3(b"file\n" + data).hexdigest()


def read_codes(path: SourceFile, shape: tuple[int, int], said: str) -> Iterator[tuple[int, npt.NDArray[np.uint32]]]:
    """Yield red + 256 · green + 65,536 · blue of each pixel of a colour picture, some rows at a time.

    Parameters
    ----------
    path : SourceFile
        The file.
    shape : tuple of int
        The height and width that it must have.
    said : str
        What says so.

    Yields
    ------
    top : int
        The number of the first row.
    codes : ndarray of uint32
    """
    with _opened(read_file(path, MAX_PICTURE), path.name) as image:
        if image.mode != "RGB":
            raise InvalidValue(f"{path.name} is a picture of mode {image.mode}; RGB is needed")
        if (image.height, image.width) != shape:
            height, width = shape
            raise InvalidValue(f"{path.name} is {image.width}×{image.height}; {said} says {width}×{height}")
        yield from _coded(image)


def read_ids(path: SourceFile, classes: Sequence[ClassItem] = ()) -> Pixels:
    """Return the class ids of a mask's file, shape (H, W); see :func:`mask_pixels`."""
    return mask_pixels(read_file(path, MAX_PICTURE), path.name, classes)


def mask_pixels(data: bytes, what: str = "this", classes: Sequence[ClassItem] = (), *, coded: bool = False) -> Pixels:
    """Return the class ids of an encoded mask, in the dtype that a PNG of ours names.

    Parameters
    ----------
    data : bytes
        The file.
    what : str, optional
        What it is called in messages.
    classes : sequence of ClassItem, optional
        Classes whose colours are ids in a picture of colours.
    coded : bool, optional
        Whether the ids are of segments, and a picture of colours holds them as red + 256 · green + 65,536 · blue.

    Returns
    -------
    ndarray of shape (H, W)

    Raises
    ------
    InvalidType, InvalidValue
        No image, a picture of colours that are no classes', too many pixels, or a dtype that does not hold the ids.
    CorruptData
        An image that cannot be decoded.
    """
    colors = {parse_color(item.color): item.id for item in classes if item.color is not None}
    with _opened(data, what) as image:
        if coded:
            check_size(*image.size, what, MAX_CODED)
        if image.mode == "RGB" and coded:
            pixels = np.empty((image.height, image.width), np.int32)
            for top, codes in _coded(image):
                pixels[top : top + len(codes)] = codes
            return pixels
        if image.mode in ("RGB", "RGBA") and colors:
            return _ids_of_colors(image, colors, what)
        pixels = ids_of(image, what)
        dtype, lossy = image.info.get(KEYWORD), is_lossy(image)
    if lossy:
        warn_of_loss("the file of a mask")  # the same words for each, so that they are said once
    return pixels if dtype is None else as_logged(pixels, str(dtype), "the mask")


def _ids_of_colors(image: PILImage.Image, colors: Mapping[tuple[int, int, int], int], what: str) -> Pixels:
    known = np.array(sorted(red | green << 8 | blue << 16 for red, green, blue in colors), np.uint32)
    ids = np.array([colors[code & 0xFF, code >> 8 & 0xFF, code >> 16] for code in known.tolist()], np.int64)
    mask = np.empty((image.height, image.width), np.uint8 if 0 <= ids.min() <= ids.max() <= 0xFF else np.int32)
    low = high = 0
    for top, codes in _coded(image):
        places = np.searchsorted(known, codes).clip(max=len(known) - 1)
        other = codes[known[places] != codes]
        if other.size:
            red, green, blue = (int(other[0]) >> shift & 0xFF for shift in (0, 8, 16))
            raise InvalidValue(f"{what} has the colour #{red:02x}{green:02x}{blue:02x}, which no class has")
        there = ids[places]
        low, high = min(low, int(there.min())), max(high, int(there.max()))
        mask[top : top + len(codes)] = there
    return mask.astype(np.uint8) if mask.dtype != np.uint8 and 0 <= low <= high <= 0xFF else mask


def _coded(image: PILImage.Image) -> Iterator[tuple[int, npt.NDArray[np.uint32]]]:
    """Yield some rows of a picture at a time as red + 256 · green + 65,536 · blue, each with the first one's number."""
    rows = max(1, STRIP // image.width)
    for top in range(0, image.height, rows):
        strip = np.asarray(image.crop((0, top, image.width, min(top + rows, image.height))).convert("RGB"))
        codes: npt.NDArray[np.uint32] = strip[:, :, 2].astype(np.uint32)
        codes <<= 8
        codes |= strip[:, :, 1]
        codes <<= 8
        codes |= strip[:, :, 0]
        yield top, codes


def mask_of(pixels: Pixels, key: str, classes: ClassSet) -> ImageMask:
    """Return the mask of some pixels with exactly these classes."""
    return ImageMask.from_stored(encode(pixels), key, classes)


@contextmanager
def _opened(data: bytes, what: str) -> Iterator[PILImage.Image]:
    """Open an image within a limit of pixels."""
    if is_jxl(data):  # which is decoded when it is opened
        check_size(*size_of(data), what)
    with _explained(what), open_image(io.BytesIO(data)) as image:
        check_size(*image.size, what)
        _check_format(str(image.format).lower(), what)
        yield image


def _check_format(kind: str, what: str) -> None:
    if kind in FOREIGN:
        raise InvalidValue(f"{what} is an image of the format {kind}, which is not taken: convert it to PNG")


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Say in our words what is wrong with a picture."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow's, about what is odd in a file
            yield
    except MasklError:
        raise
    except PILImage.DecompressionBombError as error:
        raise InvalidValue(f"{what} has too many pixels, more than {MAX_PIXELS:,}: {error}") from error
    except UnidentifiedImageError as error:
        raise InvalidValue(f"{what} is not an image that Pillow can read") from error
    except BROKEN as error:
        raise CorruptData(f"{what} is no picture that Pillow can read: {error}") from error
