"""Stored rows as other tools' files: one module a format, imported when it is asked for.

A module of a format has ``write(selection, folder, options, tick)``, which writes everything below an
empty folder and returns what the format could not hold. A format whose files also stand alone has
``SUFFIX``: a destination that ends in it is one file, the only one that ``write`` makes then, called
:attr:`~maskl.interchange.options.Options.file`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from maskl_storage.errors import InvalidValue

__all__ = ["FORMATS", "SUFFIXES", "TAKES", "load"]

#: the module of each format
FORMATS: Final = {
    "parquet": "maskl.formats.parquet",
    "huggingface": "maskl.formats.huggingface",
    "arrow": "maskl.formats.arrow",
    "coco-panoptic": "maskl.formats.coco.panoptic",
    "coco-rle": "maskl.formats.coco.rle",
    "png": "maskl.formats.image_folder",
    "cityscapes": "maskl.formats.cityscapes",
}
#: the options that a format heeds, and refuses others; masks of ``huggingface`` are PNG in any case
TAKES: Final = {
    "parquet": ("masks",),
    "huggingface": ("masks",),
    "arrow": ("masks",),
    "coco-panoptic": ("instances", "image", "mask"),
    "coco-rle": ("instances", "image", "mask"),
    "png": (),
    "cityscapes": ("image", "mask"),
}
#: the format of files that end so
SUFFIXES: Final = {".parquet": "parquet", ".arrow": "arrow"}


def load(name: str) -> Any:
    """Return the module of a format.

    Raises
    ------
    InvalidValue
        There is no such format.
    """
    if name not in FORMATS:
        raise InvalidValue(f"format must be one of {', '.join(FORMATS)}; got {name!r:.60}")
    return import_module(FORMATS[name])
