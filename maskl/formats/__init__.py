"""Formats of datasets: a file each, with what reads and what writes it, and one registry of them all.

The file of a format makes a :class:`~maskl.interchange.format.Format`. Those that come with maskl call it
``FORMAT``; they stand in a table here, and are imported when they are asked for. Any other format is there as soon
as a file is imported that calls :func:`register`.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Final, Literal

from maskl.interchange.format import Format
from maskl_storage.errors import InvalidType, InvalidValue

__all__ = [
    "BUILT_IN",
    "DEFAULT",
    "READ_ONLY",
    "WRITE_ONLY",
    "Action",
    "Format",
    "format_of",
    "load",
    "name_for",
    "names",
    "register",
]

#: what a format is asked for
Action = Literal["read", "write"]

#: the formats that come with maskl, in the order in which they are asked whether a source is theirs, with the module
#: of each
BUILT_IN: Final = {
    "wandb": "maskl.formats.wandb.run",
    "huggingface": "maskl.formats.huggingface",
    "parquet": "maskl.formats.parquet",
    "arrow": "maskl.formats.arrow",
    "coco-panoptic": "maskl.formats.coco.panoptic",
    "coco-rle": "maskl.formats.coco.rle",
    "coco-results": "maskl.formats.coco.results",
    "png": "maskl.formats.image_folder",
    "cityscapes": "maskl.formats.cityscapes",
    "folders": "maskl.formats.paired_folders",
}
#: those of them that are only read, and those that are only written
READ_ONLY: Final = ("wandb", "folders")
WRITE_ONLY: Final = ("coco-results",)
#: what is written where neither the caller nor the destination's name says it
DEFAULT: Final = "parquet"

#: formats from outside, by name, in the order in which they came
_registered: dict[str, Format] = {}


def register(format_: Format) -> Format:
    """Add a format to those that maskl reads and writes, in this process.

    A format that was registered under the same name gives way, so that a file or a notebook's cell can run again.
    Formats from outside are asked first whether a source is theirs.

    Parameters
    ----------
    format_ : Format
        The format.

    Returns
    -------
    Format
        The same.

    Raises
    ------
    InvalidType
        It is no :class:`Format`.
    InvalidValue
        A format that comes with maskl has its name.

    Examples
    --------
    >>> from maskl.interchange.options import Dropped
    >>> def write(selection, folder, options, tick):
    ...     (folder / "count.txt").write_text(str(len(selection)))
    ...     return Dropped()
    >>> register(Format("count", write=write)).name in names("write")
    True
    """
    if not isinstance(format_, Format):
        raise InvalidType(f"register() needs a Format; got {type(format_).__name__}")
    if format_.name in BUILT_IN:
        raise InvalidValue(f"maskl has a format {format_.name!r} of its own: give the new one another name")
    _registered[format_.name] = format_
    return format_


def names(action: Action) -> tuple[str, ...]:
    """Return the names of the formats that can be read, or written; of the latter the default first."""
    other = {"read": WRITE_ONLY, "write": READ_ONLY}[action]
    own = [name for name in BUILT_IN if name not in other]
    if action == "write":
        own.sort(key=lambda name: name != DEFAULT)
    return (*own, *(name for name, known in _registered.items() if getattr(known, action) is not None))


def load(name: str, action: Action) -> Format:
    """Return a format that can be read, or written; the module of one that comes with maskl is imported now.

    Raises
    ------
    InvalidValue
        There is no such format.
    """
    if name not in names(action):
        raise InvalidValue(f"format must be one of {', '.join(names(action))}; got {name!r:.60}")
    if name in _registered:
        return _registered[name]
    format_: Format = import_module(BUILT_IN[name]).FORMAT
    return format_


def format_of(source: Path) -> Format:
    """Return the format that a source looks like.

    Raises
    ------
    InvalidValue
        It looks like none of them.
    """
    for name in (*_registered, *BUILT_IN):
        if name in names("read"):
            format_ = load(name, "read")
            if format_.sniff is not None and format_.sniff(source):
                return format_
    raise InvalidValue(f"{source} does not look like any format: name one of {', '.join(names('read'))} with --format")


def name_for(dest: str | os.PathLike[str]) -> str:
    """Return the name of the format that a destination's name asks for by its suffix, else of the default."""
    suffix = os.path.splitext(os.fspath(dest))[1]
    if suffix:
        for name in names("write"):
            if load(name, "write").suffix == suffix:
                return name
    return DEFAULT
