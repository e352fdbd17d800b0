"""What makes a format: its name, what reads it, what writes it, and what it says of both."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from maskl.interchange.options import HEEDED, HEEDED_READING
from maskl_storage.errors import InvalidValue

if TYPE_CHECKING:
    from maskl.interchange.options import Dropped, ExportOptions, ImportOptions
    from maskl.interchange.problems import Problems
    from maskl.interchange.records import Record
    from maskl.interchange.selection import Selection

__all__ = ["Format"]

NAME: Final = re.compile(r"[\w.-]+")
SUFFIX: Final = re.compile(r"\.[\w-]+")


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
    heeds : tuple of str, optional
        Those of :data:`maskl.interchange.options.HEEDED_READING` that ``read`` heeds; an import refuses the others.
    holds_copies : bool, optional
        Whether a source has the same files in several places, so that one which was not read tells nothing.

    Raises
    ------
    InvalidValue
        A name, suffix or option that is none, neither ``read`` nor ``write``, or something that belongs to the one
        that is not there.
    """

    name: str
    read: Callable[[Path, ImportOptions, Problems], Iterator[Record]] | None = None
    write: Callable[[Selection, Path, ExportOptions, Callable[[int], None]], Dropped] | None = None
    sniff: Callable[[Path], bool] | None = None
    suffix: str | None = None
    takes: tuple[str, ...] = ()
    heeds: tuple[str, ...] = ()
    holds_copies: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise InvalidValue(f"a format's name is of letters, digits, '.', '-' and '_'; got {self.name!r:.60}")
        if self.read is None and self.write is None:
            raise InvalidValue(f"format {self.name!r} needs read, write or both")
        if self.sniff is not None and self.read is None:
            raise InvalidValue(f"format {self.name!r} has sniff, which says what read can read, and no read")
        if (self.suffix is not None or self.takes) and self.write is None:
            raise InvalidValue(f"format {self.name!r} has suffix or takes, which say how write writes, and no write")
        if self.suffix is not None and (not isinstance(self.suffix, str) or not SUFFIX.fullmatch(self.suffix)):
            raise InvalidValue(f"format {self.name!r}: a suffix is like '.parquet'; got {self.suffix!r:.60}")
        if self.heeds and self.read is None:
            raise InvalidValue(f"format {self.name!r} has heeds, which says how read reads, and no read")
        for verb, said, known in (("takes", self.takes, HEEDED), ("heeds", self.heeds, HEEDED_READING)):
            unknown = [name for name in said if name not in known]
            if unknown:
                raise InvalidValue(
                    f"format {self.name!r} {verb} {unknown[0]!r:.60}, which is none of {', '.join(known)}"
                )
