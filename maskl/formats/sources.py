"""Datasets from elsewhere become runs: one module a format, imported when it is asked for.

A module of a format has ``read(source, options, problems)``, which yields blocks of rows, scalars, and
what is said of runs; and perhaps ``sniff(source)``, whether a file or folder looks like its own.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Final

from maskl_storage.errors import InvalidValue

__all__ = ["FORMATS", "format_of", "load"]

#: the module of each format, in the order in which they are asked whether a source is theirs
FORMATS: Final = {
    "wandb": "maskl.formats.wandb.run",
    "huggingface": "maskl.formats.read_huggingface",
    "parquet": "maskl.formats.read_parquet",
    "arrow": "maskl.formats.read_arrow",
    "coco-panoptic": "maskl.formats.coco.read_panoptic",
    "coco-rle": "maskl.formats.coco.read_rle",
    "png": "maskl.formats.read_image_folder",
    "cityscapes": "maskl.formats.read_cityscapes",
    "folders": "maskl.formats.paired_folders",
}


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


def format_of(source: Path) -> str:
    """Return the format that a source looks like.

    Raises
    ------
    InvalidValue
        It looks like none of them.
    """
    for name in FORMATS:
        sniff = getattr(load(name), "sniff", None)
        if sniff is not None and sniff(source):
            return name
    raise InvalidValue(f"{source} does not look like any format: name one of {', '.join(FORMATS)} with --format")
