"""What a source is read as: blocks of rows, scalars, artifacts, files, and what is said of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from maskl.images.image import Image
from maskl.interchange.problems import Problems
from maskl.interchange.source_files import SourceFile
from maskl_storage.errors import MasklError
from maskl_storage.format.metadata import Column

__all__ = [
    "GROUND_TRUTH",
    "IMAGE",
    "MAX_COLUMNS",
    "WRONG",
    "About",
    "Block",
    "Item",
    "Layout",
    "Record",
    "RunFiles",
    "Scalars",
    "Version",
    "blocks",
]

Each = TypeVar("Each")

#: the image column and the key of its mask in a source that names neither
IMAGE: Final = "image"
GROUND_TRUTH: Final = "ground_truth"
#: rows of a block, which are in memory together
ROWS: Final = 32
#: bytes of images from which on a block is done
BLOCK_BYTES: Final = 64 << 20
#: columns of a table
MAX_COLUMNS: Final = 10_000
#: what a row that is wrong raises
WRONG: Final = (MasklError, OSError, ValueError, RecursionError)


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Rows of one table at one step, as what a user would hand to :class:`maskl.Table`.

    Parameters
    ----------
    table : str
        The table's name; empty where the source does not say one.
    columns : sequence of str
        The user's column names.
    rows : sequence of list
        One value a column: Images and plain values, a bounded number of rows.
    step : int
    file : str
        Where the rows come from, for messages.
    numbers : sequence of int
        The number of each row in ``file``, from 0; by default their place in ``rows``.
    types : mapping of str to Column
        What is known of columns beside their values: their type where all are missing, classes of ids, keys.
    run : str
        What tells the runs of one source apart; empty where it holds one.
    time : int, optional
        When they were logged, in microseconds since 1970; by default now.
    """

    table: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    step: int = 0
    file: str = ""
    numbers: Sequence[int] = ()
    types: Mapping[str, Column] = field(default_factory=dict)
    run: str = ""
    time: int | None = None

    def number(self, index: int) -> int:
        """Return the number in the file of one of the rows."""
        return self.numbers[index] if self.numbers else index


@dataclass(frozen=True, slots=True)
class Scalars:
    """Numbers and strings of the history, logged together at one step."""

    values: Mapping[str, Any]
    step: int
    run: str = ""
    time: int | None = None
    file: str = ""


@dataclass(frozen=True, slots=True)
class About:
    """What a source says of a run; ``run_id`` is taken as the run's id where it is given.

    ``summary`` stands instead of what the history comes to; times are ISO 8601 in UTC.
    """

    run: str = ""
    run_id: str | None = None
    name: str | None = None
    project: str | None = None
    group: str | None = None
    job_type: str | None = None
    notes: str | None = None
    tags: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] | None = None
    state: str = "finished"
    started: str | None = None
    finished: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """A file, or an address, in an artifact or beside a run.

    Parameters
    ----------
    path : str
        What it is called there, with ``/`` between folders.
    find : callable, optional
        Returns the file, or raises that it is not there; None of an address.
    reference : str, optional
        The address.
    size : int, optional
        Its bytes, where they are known.
    md5 : bytes, optional
        The MD5 that its content must have.
    """

    path: str
    find: Callable[[], SourceFile] | None = None
    reference: str | None = None
    size: int | None = None
    md5: bytes | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """A version of an artifact that a run logged; which number it gets is the store's to say.

    Parameters
    ----------
    run : str
        What tells the runs of one source apart.
    name, type : str
    items : sequence of Item
        What is in it.
    file : str
        Where it is described, for messages.
    description : str, optional
    metadata : mapping
        What JSON can hold.
    aliases : tuple of str
    incremental : bool
        Whether it also has what the version before it has.
    """

    run: str
    name: str
    type: str
    items: Sequence[Item]
    file: str = ""
    description: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    incremental: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class RunFiles:
    """Files that a run keeps; ``file`` is where they are from, for messages."""

    run: str
    items: Sequence[Item]
    file: str = ""


Record = Block | Scalars | About | Version | RunFiles


# --- rows that are read one by one --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Layout:
    """What the rows of a source have in common."""

    table: str
    columns: Sequence[str]
    file: Path | SourceFile
    types: Mapping[str, Column] = field(default_factory=dict)


def blocks(
    layout: Layout, items: Iterable[Each], row_of: Callable[[int, Each], list[Any]], problems: Problems
) -> Iterator[Block]:
    """Yield blocks of the rows that ``row_of`` makes of each item and its number; what it raises is a bad row."""
    rows: list[list[Any]] = []
    numbers: list[int] = []
    held = 0
    for number, item in enumerate(items):
        try:
            rows.append(row_of(number, item))
        except WRONG as error:
            problems.bad(str(layout.file), number, error)
            continue
        numbers.append(number)
        held += _weight(rows[-1])
        if len(rows) == ROWS or held >= BLOCK_BYTES:
            yield _block(layout, rows, numbers)
            rows, numbers, held = [], [], 0
    if rows:
        yield _block(layout, rows, numbers)


def _weight(row: Sequence[Any]) -> int:
    """Return how many bytes the images of a row have."""
    return sum(len(value.stored[1]()) for value in row if isinstance(value, Image) and value.stored is not None)


def _block(layout: Layout, rows: list[list[Any]], numbers: list[int]) -> Block:
    return Block(
        layout.table,
        layout.columns,
        rows,
        file=str(layout.file),
        numbers=numbers,
        types=layout.types,
    )
