"""The format that a run keeps its arrays in: what may be chosen, and what was."""

from __future__ import annotations

import os
from typing import Any, Final, Literal, cast, get_args

from maskl.annotations.sink import sink
from maskl_storage.errors import InvalidValue, MissingExtra, prefixed

__all__ = ["DEFAULT", "VARIABLE", "ImageFormat", "chosen", "parse_format"]

ImageFormat = Literal["webp", "png", "jxl"]

#: the smallest that every browser and Pillow read by themselves
DEFAULT: Final = "webp"
#: the environment variable that says something else
VARIABLE: Final = "MASKL_IMAGE_FORMAT"


def chosen() -> str:
    """Return the format for arrays of which nothing else is said: the active run's, else as the environment has it.

    Raises
    ------
    InvalidValue
        The environment variable names none.
    MissingExtra
        It names one whose package is not installed.
    """
    if sink.image_format is not None:
        return sink.image_format
    text = os.environ.get(VARIABLE)
    if not text:
        return DEFAULT
    try:
        return parse_format(text)
    except (InvalidValue, MissingExtra) as error:
        raise prefixed(error, f"the environment variable {VARIABLE}") from error


def parse_format(value: Any) -> ImageFormat:
    """Return a format that frames may be kept in.

    Raises
    ------
    InvalidValue
        There is no such format.
    MissingExtra
        Its package is not installed.

    Examples
    --------
    >>> parse_format("png")
    'png'
    """
    if not isinstance(value, str) or value not in get_args(ImageFormat):
        choices = ", ".join(map(repr, get_args(ImageFormat)))
        raise InvalidValue(f"image_format must be one of {choices}; got {value!r:.60}")
    if value == "jxl":
        from maskl_storage.images import jxl  # here: what reads settings need not load Pillow

        jxl.plugin(f"image_format={value!r}")
    return cast("ImageFormat", value)
