"""How rows are told apart and referred to: primary and foreign keys, and row numbers that know their table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from maskl_storage.cells.cells import Rows
from maskl_storage.errors import DuplicateKeyWarning, warn
from maskl_storage.format.metadata import ClassSet, Column, ForeignKey

__all__ = ["HasRows", "Keys", "TableIndex"]


class HasRows(Protocol):
    """A table, as far as what refers to its rows needs it."""

    def row(self, index: int) -> dict[str, Any]:
        """Return a row's values by column."""

    def name_in(self, run: str) -> str | None:
        """Return the name that the table was logged under in a run."""


class TableIndex(int):
    """The number of a row of a table; a column of such numbers in another table refers to its rows."""

    table: HasRows

    def __new__(cls, index: int, table: HasRows) -> TableIndex:
        """Return the number of that row of that table."""
        number = super().__new__(cls, index)
        number.table = table
        return number

    def get_row(self) -> dict[str, Any]:
        """Return the row's values by column."""
        return self.table.row(self)


@dataclass
class Keys:
    """The keys of a table, by the places of their columns.

    A foreign key refers to the rows of another table by a column of it, or by their number.
    """

    primary: int | None = None
    foreign: dict[int, tuple[HasRows, str | None]] = field(default_factory=dict)

    def note(self, table: HasRows, index: int, values: Sequence[Any]) -> None:
        """Make a column of ``table`` that holds row numbers of another refer to it, unless it refers already."""
        if values and all(type(value) is TableIndex and value.table is not table for value in values):
            self.foreign.setdefault(index, (values[0].table, None))

    def stored(
        self, columns: Sequence[Column], classes: Sequence[ClassSet | None], run: str, together: Mapping[int, str]
    ) -> tuple[Column, ...]:
        """Return columns as a part's metadata describes them; ``together`` names tables that are logged with it."""
        described = []
        for index, (column, class_set) in enumerate(zip(columns, classes, strict=True)):
            table, other = self.foreign.get(index, (None, None))
            name = None if table is None else together.get(id(table)) or table.name_in(run)
            described.append(
                replace(
                    column,
                    dtype=None if column.type == "json" else column.dtype,
                    class_sets=() if class_set is None else (class_set,),
                    primary_key=index == self.primary,
                    foreign_key=None if table is None else ForeignKey(name, other),
                )
            )
        return tuple(described)

    def warn_of_duplicates(self, name: str, rows: Rows) -> None:
        """Warn where rows of a table share a primary key."""
        if self.primary is None:
            return
        keys = [row[self.primary] for row in rows.cells]
        keys += [] if rows.frame is None else rows.frame.column(self.primary).to_pylist()
        repeated = len(keys) - len(set(keys))
        if repeated:
            warn(
                f"table {name!r}: {repeated} rows repeat a value of the primary key "
                f"{rows.columns[self.primary].name!r}: runs cannot be compared row by row by it",
                DuplicateKeyWarning,
            )
