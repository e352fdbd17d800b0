"""Formats of datasets: a file each, with what reads and what writes it, and one registry of them all.

The file of a format makes a :class:`Format`. Those that come with maskl call it ``FORMAT``; they stand in a
table here, and are imported when they are asked for. Any other format is there as soon as a file is imported
that calls :func:`register`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from maskl_storage.errors import InvalidType, InvalidValue

if TYPE_CHECKING:
    from maskl.interchange.options import Dropped, ExportOptions, ImportOptions
    from maskl.interchange.problems import Problems
    from maskl.interchange.records import Record
    from maskl.interchange.selection import Selection

__all__ = ["BUILT_IN", "DEFAULT", "READ_ONLY", "Action", "Format", "format_of", "load", "name_for", "names", "register"]

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
    "png": "maskl.formats.image_folder",
    "cityscapes": "maskl.formats.cityscapes",
    "folders": "maskl.formats.paired_folders",
}
#: those of them that are only read
READ_ONLY: Final = ("wandb", "folders")
#: what is written where neither the caller nor the destination's name says it
DEFAULT: Final = "parquet"
NAME: Final = re.compile(r"[\w.-]+")


@dataclass(frozen=True, slots=True)
class Format:
    """A format that datasets are imported from, exported to, or both.

    Parameters
    ----------
    name : str
        What the caller names it by: letters, digits, ``.``, ``-`` and ``_``.
    read : callable, optional
        ``read(source, options, problems)`` yields what the file or folder ``source`` holds, as the records of
        :mod:`maskl.interchange.records`. What it raises ends the import; what it tells
        :class:`~maskl.interchange.problems.Problems` is a bad row, which may be skipped.
    write : callable, optional
        ``write(selection, folder, options, tick)`` writes the rows of a
        :class:`~maskl.interchange.selection.Selection` into an empty folder, calls ``tick`` with each number of
        rows done, and returns what the format could not hold, with counts.
    sniff : callable, optional
        ``sniff(source)``, whether a file or folder looks like one of this format; without it, a source is read as
        this format only where the caller says so.
    suffix : str, optional
        What the name of a file ends in that holds a dataset by itself, such as ``.parquet``: a destination that
        ends so is one file, the only one that ``write`` makes then, called
        :attr:`ExportOptions.file <maskl.interchange.options.ExportOptions>`.
    takes : tuple of str, optional
        Those of :data:`maskl.interchange.options.HEEDED` that ``write`` heeds; an export refuses the others.

    Raises
    ------
    InvalidType, InvalidValue
        A name or suffix that is none, neither ``read`` nor ``write``, or something that belongs to the one that is
        not there.
    """

    name: str
    read: Callable[[Path, ImportOptions, Problems], Iterator[Record]] | None = None
    write: Callable[[Selection, Path, ExportOptions, Callable[[int], None]], Dropped] | None = None
    sniff: Callable[[Path], bool] | None = None
    suffix: str | None = None
    takes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise InvalidValue(f"a format's name is of letters, digits, '.', '-' and '_'; got {self.name!r:.60}")
        if self.read is None and self.write is None:
            raise InvalidValue(f"format {self.name!r} needs read, write or both")
        if self.sniff is not None and self.read is None:
            raise InvalidValue(f"format {self.name!r} has sniff, which says what read can read, and no read")
        if (self.suffix is not None or self.takes) and self.write is None:
            raise InvalidValue(f"format {self.name!r} has suffix or takes, which say how write writes, and no write")
        if self.suffix is not None and (not isinstance(self.suffix, str) or not re.fullmatch(r"\.[\w-]+", self.suffix)):
            raise InvalidValue(f"format {self.name!r}: a suffix is like '.parquet'; got {self.suffix!r:.60}")


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
    own = [name for name in BUILT_IN if action == "read" or name not in READ_ONLY]
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
