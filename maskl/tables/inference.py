"""The type of a table's column, from the values it has held so far."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timezone
from functools import lru_cache, partial
from typing import Any, Final

import numpy as np

from maskl.adapters.objects import as_value, is_figure, is_frame, is_ours, is_plotly, logged_alone
from maskl.adapters.values import simpler
from maskl.images.image import Image
from maskl.media.kinds import Picture, Plotly
from maskl.media.media import Media
from maskl.tables.histogram import Histogram
from maskl_storage.cells.columns import exact_as_float
from maskl_storage.errors import ConversionWarning, InvalidType, InvalidValue, NotFound, warn
from maskl_storage.format.json_values import dump_text
from maskl_storage.format.metadata import Column
from maskl_storage.format.names import check_text
from maskl_storage.format.union import DICT, LIST

__all__ = ["INT64", "MediaText", "as_text", "describe", "known", "parse_cell", "widens"]

INT64: Final = (-(1 << 63), (1 << 63) - 1)
#: what the ``dtype`` of a JSON column says of a table's histograms
HISTOGRAM: Final = "Histogram"
#: and of its kept media
MEDIA: Final = "Media"
ITEM_TYPES: Final = {bool: "bool", int: "int64", float: "float64", str: "string"}


class MediaText(str):
    """JSON text that names kept media, with these."""

    media: tuple[Media, ...]


@lru_cache(maxsize=1024)
def _column(
    kind: str,
    name: str,
    type: str | None = None,  # noqa: A002  # as in Column
    dtype: str | None = None,
    zone: str | None = None,
) -> Column:
    """Return a column, the same object for the same arguments: one is asked for at every cell."""
    return Column(kind, name, type, dtype, timezone=zone)


def known(name: str, value: Any) -> Any:
    """Return the value that an object of another library stands for, and anything else as it is.

    Figures are drawn, those of plotly kept as their JSON; also those in a list.

    Raises
    ------
    InvalidType
        An array that does not give its values, or what belongs to no figure.
    """
    try:
        if isinstance(value, list | tuple):
            drawn = any(is_figure(item) or is_plotly(item) for item in value)
            return [_drawn(item) for item in value] if drawn else value
        found = _drawn(value)
        return as_value(value) if found is value else found
    except InvalidType as error:
        raise InvalidType(f"column {name!r}: {error}") from error


def _drawn(value: Any) -> Any:
    if is_figure(value):
        return Image(value)
    return Plotly(value) if is_plotly(value) else value


def parse_cell(name: str, value: Any) -> tuple[Column, Any]:
    """Return what a :func:`known` value says of its column, and the plain value; images stay as they are.

    Raises
    ------
    InvalidType
        A value that a cell cannot hold.
    """
    column, cell = _typed(name, value)
    if column.type == "json":
        return column, as_text(name, cell)
    texts = [cell] if column.type == "string" else cell if column.dtype == "string" else ()
    for text in texts:
        check_text(text or "", f"column {name!r}: a string")
    return column, cell


def _typed(name: str, value: Any) -> tuple[Column, Any]:
    """Return what a value says of its column, and the value as it is there; what becomes JSON is no text yet."""
    if isinstance(value, np.generic) and value.dtype.kind != "m":
        value = _microseconds(name, value) if value.dtype.kind == "M" else value.item()
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return _column("value", name, "null"), None
    if isinstance(value, Image):
        return _column("image", name), value
    if isinstance(value, bool):
        return _column("value", name, "bool"), value
    if isinstance(value, int):
        if not INT64[0] <= value <= INT64[1]:
            raise InvalidValue(f"column {name!r}: {value} is outside signed 64 bits: log it as a string")
        return _column("value", name, "int"), int(value)
    if isinstance(value, float):
        return _column("value", name, "float"), value
    if isinstance(value, str):
        return _column("value", name, "string"), value if type(value) is str else str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return _column("value", name, "bytes"), bytes(value)
    if isinstance(value, datetime):
        return _datetime(name, value)
    if isinstance(value, date):
        return _column("value", name, "timestamp"), datetime(value.year, value.month, value.day)
    if isinstance(value, np.ndarray):
        return _array(name, value)
    if isinstance(value, list | tuple):
        return _list(name, value)
    if isinstance(value, Mapping):
        return _column("value", name, "json", DICT), value
    if isinstance(value, Histogram):
        return _column("value", name, "json", HISTOGRAM), value
    if isinstance(value, Media):
        return _column("value", name, "json", MEDIA), value
    if is_ours(value):
        return _ours(name, value)
    cells = (
        "a cell is an Image, a number, a string, bytes, a datetime, a list, a dict, an array, a Histogram, kept media "
        "such as Html, or None"
    )
    raise InvalidType(
        f"column {name!r} cannot hold a {type(value).__name__}: {logged_alone(value) if is_frame(value) else cells}"
    )


def _ours(name: str, value: Any) -> tuple[Column, Any]:
    """Return a cell for what W&B takes for one: of a table its rows, of anything else that is no image its text."""
    if hasattr(value, "as_dict"):
        kept = "a dict of its columns and rows: log it under a name of its own"
        warn(f"column {name!r}: a {type(value).__name__} in a cell is stored as {kept}", ConversionWarning)
        return _column("value", name, "json", DICT), value.as_dict()
    return _column("value", name, "string"), _described(name, value)


def _described(name: str, value: Any) -> str:
    """Return the text of an image or the like that has no place where it stands, and say so."""
    warn(
        f"column {name!r}: a {type(value).__name__} that is not the image of a cell is stored as its text "
        f"{str(value)!r:.60}: give each image a row, or a column of its own",
        ConversionWarning,
    )
    return str(value)


def _inside(name: str, media: list[Media], value: Any) -> Any:
    """Return what an object inside of a list or dict stands for, and note kept media."""
    found = simpler(as_value(value))
    if isinstance(found, Image):
        found = value = _picture(name, found)
    if isinstance(found, Media):
        media.append(found)
        return value
    if not is_ours(found) or isinstance(found, Histogram):
        return found
    return _ours(name, found)[1]


def _picture(name: str, image: Image) -> Media | Image:
    """Return an image inside of a list or dict as kept media; one whose pixels are not here stays what it is."""
    try:
        picture = Picture(image)
    except NotFound:
        return image
    if image.masks or image.boxes:
        warn(
            f"column {name!r}: of an image inside of a list or dict the pixels and the caption are kept, no masks and "
            f"no boxes: give the image a column of its own",
            ConversionWarning,
        )
    return picture


def widens(a: Column, b: Column) -> bool:
    """Whether integers of a column of type ``a`` become floats in one of type ``b``."""
    integers = a.type == "int" or (a.type in ("list", "array") and str(a.dtype).startswith(("int", "uint")))
    return integers and (b.type == "float" or (b.type in ("list", "array") and str(b.dtype).startswith("float")))


def describe(column: Column) -> str:
    """Return a column's type for a message."""
    if column.kind == "image":
        return "Image"
    if column.type in ("list", "array"):
        return f"{column.type} of {column.dtype or 'nothing'}"
    if column.type == "timestamp":
        return f"timestamp {'without zone' if column.timezone is None else 'with zone'}"
    if column.type == "json":
        return "nested list" if column.dtype == LIST else str(column.dtype)
    return str(column.type)


def as_text(name: str, value: Any) -> str:
    """Return a value as the text of a JSON column; a :class:`MediaText` where it holds kept media."""
    media: list[Media] = []
    try:
        text = dump_text(value, partial(_inside, name, media))
    except (TypeError, ValueError) as error:
        raise InvalidType(f"column {name!r} cannot hold this {type(value).__name__}: {error}") from error
    text = check_text(text, f"column {name!r}: text")
    if media:
        text = MediaText(text)
        text.media = tuple(media)
    return text


def _microseconds(name: str, value: np.generic) -> datetime | None:
    """Return the datetime; what is finer than a microsecond is lost, with a warning."""
    rounded = value.astype("datetime64[us]")
    if rounded != value and rounded == rounded:
        _warn_of_precision(name, value)
    plain = rounded.item()
    if isinstance(plain, int):
        raise InvalidValue(f"column {name!r}: {value} lies outside the years 1 to 9999")
    found: datetime | None = plain
    return found


def _warn_of_precision(name: str, value: object) -> None:
    warn(f"column {name!r}: {value} is kept to the microsecond", ConversionWarning)


def _datetime(name: str, value: datetime) -> tuple[Column, Any]:
    if type(value) is not datetime:  # pandas has a subclass with nanoseconds
        if getattr(value, "nanosecond", 0):
            _warn_of_precision(name, value)
        value = datetime.combine(value.date(), value.timetz())
    if value.tzinfo is None:
        return _column("value", name, "timestamp"), value
    try:
        return _column("value", name, "timestamp", zone="UTC"), value.astimezone(timezone.utc)
    except OverflowError as error:
        raise InvalidValue(f"column {name!r}: {value} lies outside the years 1 to 9999 in UTC") from error


def _array(name: str, value: np.ndarray[Any, Any]) -> tuple[Column, Any]:
    if value.dtype.kind not in "biuf" or value.dtype.itemsize > 8:
        raise InvalidType(f"column {name!r} cannot hold an array of dtype {value.dtype}: log numbers, or a list")
    copy = np.array(value, dtype=value.dtype.newbyteorder("="), order="C", copy=True)
    return Column("value", name, "array", dtype=copy.dtype.name, ndim=copy.ndim, shape=copy.shape), copy


def _item(item: Any) -> Any:
    """Return an item of a list as Python has it; times stay NumPy's, which says their unit."""
    item = simpler(as_value(item))
    return item.item() if isinstance(item, np.generic) and item.dtype.kind not in "mM" else item


def _list(name: str, value: Sequence[Any]) -> tuple[Column, Any]:
    items = [item if type(item) in ITEM_TYPES else _item(item) for item in value]
    kinds = {type(item) for item in items if item is not None}
    if kinds == {int, float}:
        if not exact_as_float(items):
            raise InvalidValue(
                f"column {name!r}: a list of integers and floats holds an integer that float64 cannot hold exactly: "
                f"log it as strings"
            )
        kinds = {float}
    if len(kinds) > 1 or not kinds <= set(ITEM_TYPES):
        return _column("value", name, "json", LIST), items
    dtype = ITEM_TYPES[kinds.pop()] if kinds else None
    if dtype == "int64" and any(item is not None and not INT64[0] <= item <= INT64[1] for item in items):
        return _column("value", name, "json", LIST), items
    return Column("value", name, "list", dtype=dtype, ndim=1), items
