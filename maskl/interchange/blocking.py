"""Rows that are read one by one, as blocks of some rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from maskl.interchange.problems import Problems
from maskl.interchange.records import Block
from maskl.interchange.untrusted import BROKEN
from maskl_storage.errors import InvalidValue, MasklError
from maskl_storage.format.metadata import Column

__all__ = ["Layout", "blocks"]

Item = TypeVar("Item")

#: rows of a block, which are in memory together
ROWS: Final = 32


@dataclass(frozen=True, slots=True)
class Layout:
    """What the rows of a source have in common."""

    table: str
    columns: Sequence[str]
    file: Path
    types: Mapping[str, Column] = field(default_factory=dict)


def blocks(
    layout: Layout, items: Sequence[Item], row_of: Callable[[int, Item], list[Any]], problems: Problems
) -> Iterator[Block]:
    """Yield blocks of the rows that ``row_of`` makes of each item and its number; what it raises is a bad row."""
    rows: list[list[Any]] = []
    numbers: list[int] = []
    for number, item in enumerate(items):
        try:
            rows.append(row_of(number, item))
        except BROKEN as error:
            problems.bad(layout.file, number, error, type(error) if isinstance(error, MasklError) else InvalidValue)
            continue
        numbers.append(number)
        if len(rows) == ROWS:
            yield _block(layout, rows, numbers)
            rows, numbers = [], []
    if rows:
        yield _block(layout, rows, numbers)


def _block(layout: Layout, rows: list[list[Any]], numbers: list[int]) -> Block:
    return Block(
        layout.table,
        layout.columns,
        rows,
        file=str(layout.file),
        numbers=numbers,
        types=layout.types,
    )
