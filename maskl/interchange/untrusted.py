"""Images, masks and class sets from files that nothing is known of: no path leaves its folder, no picture is a bomb."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage

from maskl.annotations.classes import Classes
from maskl.annotations.mask import ImageMask
from maskl.drawing.overlay import parse_color
from maskl.images.image import Image
from maskl_storage.errors import CorruptData, InvalidType, InvalidValue, MasklError, NotFound
from maskl_storage.format.document import is_count
from maskl_storage.format.json_values import load_text
from maskl_storage.format.metadata import ClassItem, ClassSet, Column
from maskl_storage.masks.codec import encode

__all__ = [
    "BROKEN",
    "DTYPES",
    "MAX_PIXELS",
    "as_logged",
    "check_size",
    "class_set",
    "inside",
    "mask_of",
    "read_classes",
    "read_ids",
    "read_image",
    "read_json",
    "read_rgb",
    "read_value",
    "value_types",
]

Pixels = npt.NDArray[Any]

#: what reading a broken file raises: Pillow's decoders raise nearly anything
BROKEN: Final = (MasklError, OSError, ValueError, SyntaxError, EOFError, PILImage.DecompressionBombError)
#: pixels of a picture from which on Pillow, too, takes it for a bomb
MAX_PIXELS: Final = 178_956_970
#: the integer types of masks; with ``>`` before them where they are big-endian
DTYPES: Final = ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
#: what lists, arrays and columns of JSON may be of
VALUE_DTYPES: Final = (*DTYPES, "float16", "float32", "float64", "string", "list", "dict", "anything")
MAX_DIMENSIONS: Final = 32
#: Pillow's modes of one number a pixel
ID_MODES: Final = ("1", "L", "P", "I;16", "I;16B", "I")
DRIVE: Final = re.compile(r"[A-Za-z]:|\\")


def inside(folder: Path, name: object) -> Path:
    """Return the path of a file that metadata names, below the folder that the metadata speaks of.

    Raises
    ------
    InvalidValue
        A name that leads out of the folder: an absolute one, one with ``..``, or through a link.
    NotFound
        There is no such file.
    """
    if not isinstance(name, str) or not name or "\0" in name:
        raise InvalidValue(f"a file's name is needed; got {name!r:.80}")
    if DRIVE.search(name) or Path(name).is_absolute() or ".." in Path(name).parts:
        raise InvalidValue(f"{name!r:.80} leads out of {folder}: names of files are relative to it")
    path = folder / name
    try:
        real = path.resolve()
    except (OSError, RuntimeError) as error:
        raise InvalidValue(f"{name!r:.80} cannot be followed: {error}") from error
    if not real.is_relative_to(folder.resolve()):
        raise InvalidValue(f"{name!r:.80} leads out of {folder} through a link")
    if not real.is_file():
        raise NotFound(f"there is no file {name!r:.80} in {folder}")
    return path


def check_size(width: int, height: int, what: str) -> None:
    """Raise InvalidValue for a picture with more pixels than any that is meant well."""
    if width * height > MAX_PIXELS:
        raise InvalidValue(f"{what} claims {width}×{height} pixels; pictures of up to {MAX_PIXELS:,} are imported")


def read_image(
    path: Path, caption: str | None = None, masks: Mapping[str, ImageMask] | None = None, *, sized: bool = False
) -> Image:
    """Return the image of a file, kept byte for byte, with masks; ``sized`` says that these must have its size.

    Raises
    ------
    InvalidValue
        No image, one with too many pixels, or a mask of another size.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PILImage.DecompressionBombWarning)
            image = Image(path, caption=caption)
    except PILImage.DecompressionBombError as error:
        raise InvalidValue(f"{path.name} has too many pixels: {error}") from error
    assert image.width is not None  # noqa: S101  # a file has a size
    assert image.height is not None  # noqa: S101  # as above
    check_size(image.width, image.height, path.name)
    for key, mask in (masks or {}).items():
        if sized and mask.shape != (image.height, image.width):
            height, width = mask.shape
            raise InvalidValue(f"mask {key!r} is {width}×{height}, and its image {image.width}×{image.height}")
    return Image(image, masks=masks) if masks else image


def _decoded(path: Path, modes: Sequence[str]) -> PILImage.Image:
    """Return a picture with its pixels, having looked at its size and mode before."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PILImage.DecompressionBombWarning)
            with PILImage.open(path) as image:
                check_size(*image.size, path.name)
                if image.mode not in modes:
                    raise InvalidValue(f"{path.name} is a picture of mode {image.mode}; {' or '.join(modes)} is needed")
                image.load()
                return image
    except PILImage.DecompressionBombError as error:
        raise InvalidValue(f"{path.name} has too many pixels: {error}") from error
    except MasklError:
        raise
    except BROKEN as error:
        raise CorruptData(f"{path.name} is no picture that Pillow can read: {error}") from error


def read_rgb(path: Path) -> npt.NDArray[np.uint8]:
    """Return the pixels of a colour picture, shape (H, W, 3)."""
    return np.asarray(_decoded(path, ("RGB",)))


def read_ids(path: Path, classes: Sequence[ClassItem] = ()) -> Pixels:
    """Return the class ids of a mask's file, shape (H, W); a picture of colours needs classes that have them.

    Raises
    ------
    InvalidValue
        A mode without ids, a colour that is no class's, too many pixels.
    CorruptData
        A file that cannot be decoded.
    """
    colors = {parse_color(item.color): item.id for item in classes if item.color is not None}
    image = _decoded(path, (*ID_MODES, "RGB", "RGBA") if colors else ID_MODES)
    if image.mode in ID_MODES:
        return np.array(image)
    pixels = np.asarray(image.convert("RGB")).astype(np.int64)
    codes = pixels[:, :, 0] << 16 | pixels[:, :, 1] << 8 | pixels[:, :, 2]
    present, numbers = np.unique(codes, return_inverse=True)
    known = {red << 16 | green << 8 | blue: number for (red, green, blue), number in colors.items()}
    missing = [code for code in present.tolist() if code not in known]
    if missing:
        raise InvalidValue(f"{path.name} has the colour #{missing[0]:06x}, which no class has")
    ids = np.array([known[code] for code in present.tolist()])
    low, high = int(ids.min()), int(ids.max())
    kind = np.uint8 if low >= 0 and high <= 0xFF else np.int32
    mask: Pixels = ids.astype(kind)[numbers.reshape(codes.shape)]
    return mask


def as_logged(pixels: Pixels, dtype: str, what: str) -> Pixels:
    """Return a mask in the type that it was logged in.

    Raises
    ------
    InvalidValue
        That is no type of masks, or one that cannot hold the ids.
    """
    if dtype.removeprefix(">") not in DTYPES:
        raise InvalidValue(f"{what}: dtype must be one of {', '.join(DTYPES)}; got {dtype!r:.40}")
    array = pixels.astype(np.dtype(dtype.removeprefix(">")).newbyteorder(">" if dtype[0] == ">" else "="))
    if not np.array_equal(array, pixels):
        raise InvalidValue(f"{what}: there are ids that {dtype} cannot hold")
    return array


def mask_of(pixels: Pixels, key: str, classes: ClassSet) -> ImageMask:
    """Return the mask of some pixels with exactly these classes."""
    return ImageMask.from_stored(encode(pixels), key, classes)


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises
    ------
    CorruptData
        It is no JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise CorruptData(f"{path}: not JSON: {error}") from error


def read_value(text: str) -> Any:
    """Return the value of a JSON text in which maskl writes what JSON has no form for.

    Raises
    ------
    CorruptData
        Its parts do not make a value.
    """
    try:
        return load_text(text)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CorruptData(f"{text:.60} is no value that maskl wrote: {error!r}") from error


def value_types(columns: Mapping[str, Column], where: str) -> dict[str, Column]:
    """Return columns of values by their user's names, if what is said of their types can be.

    Raises
    ------
    CorruptData
        A dtype, number of dimensions or time zone that is none.
    """
    for name, column in columns.items():
        dtype, zone = column.dtype, column.timezone
        known = dtype is None or (isinstance(dtype, str) and dtype in VALUE_DTYPES)
        dimensions = column.ndim is None or (is_count(column.ndim) and column.ndim <= MAX_DIMENSIONS)
        if not known or not dimensions or not isinstance(zone, str | None):
            raise CorruptData(f"{where}: columns.{name}: a type of values is needed; got {column.to_json()!r:.120}")
    return {column.name: column for column in columns.values()}


def read_classes(path: Path) -> ClassSet:
    """Return the classes of a JSON file.

    It holds a list of classes, each with ``id``, ``name`` and perhaps ``color`` and ``ignore``; an object
    with such a list as ``classes``; or an object of names by id.

    Raises
    ------
    CorruptData, InvalidValue, InvalidType
        It is no JSON, or has another form; the message names the file.
    """
    body = read_json(path)
    if isinstance(body, dict) and "classes" in body:
        body = body["classes"]
    elif isinstance(body, dict):
        body = [{"id": _number(path, key), "name": name} for key, name in body.items()]
    return class_set(body, path)


def class_set(body: Any, path: Path) -> ClassSet:
    """Return the class set of a list of classes; those that are ignored need no name."""
    if not isinstance(body, list) or not all(isinstance(item, dict) for item in body):
        raise InvalidType(f"{path}: a list of objects like {{'id': 0, 'name': 'road'}} is needed; got {body!r:.60}")
    nameless = [item for item in body if "name" not in item and item.get("ignore") is True and "id" in item]
    try:
        # a name for the check alone
        named = Classes([{"name": "", **item} if item in nameless else item for item in body])
    except MasklError as error:
        raise type(error)(f"{path}: {error}") from error
    unnamed = {item["id"] for item in nameless}
    found = [ClassItem(i.id, None if i.id in unnamed else i.name, i.color, i.ignore) for i in named]
    return ClassSet(sorted(found, key=lambda item: item.id))


def _number(path: Path, key: str) -> int:
    try:
        return int(key)
    except ValueError as error:
        raise InvalidValue(f"{path}: an id is needed as key of a class's name; got {key!r:.60}") from error
