"""Values of a table's key, which remember the table: a column of them in another table refers to its rows."""

from __future__ import annotations

from typing import Any

__all__ = ["NumberKey", "TextKey", "key_of"]


class TextKey(str):
    """A string of a column that tells the rows of a table apart: of ``key_of[0]`` by the column ``key_of[1]``."""

    key_of: tuple[Any, str]

    def __reduce__(self) -> tuple[Any, ...]:
        return str, (str(self),)


class NumberKey(int):
    """An integer of a column that tells the rows of a table apart: of ``key_of[0]`` by the column ``key_of[1]``."""

    key_of: tuple[Any, str]

    def __reduce__(self) -> tuple[Any, ...]:
        return int, (int(self),)


def key_of(value: Any, table: Any, column: str) -> Any:
    """Return a value that remembers which table's rows it tells apart, and by which column."""
    if value is None:
        return None
    key = TextKey(value) if isinstance(value, str) else NumberKey(value)
    key.key_of = table, column
    return key
