"""What is wrong with a source: raised, or counted and listed where bad rows are to be skipped."""

from __future__ import annotations

import os
from typing import Final

from maskl_storage.errors import InvalidValue, MasklError

__all__ = ["Problems"]

#: messages that are kept; the others are only counted
LISTED: Final = 1000


class Problems:
    """The bad rows of a source.

    Parameters
    ----------
    skip : bool
        Whether a bad row is left out and noted, instead of ending the import.
    """

    def __init__(self, skip: bool = False) -> None:
        self.skip = skip
        #: how many rows were left out
        self.count = 0
        #: what was wrong with them, each with file and row
        self.messages: list[str] = []

    def bad(
        self,
        file: str | os.PathLike[str],
        row: int | None,
        message: object,
        error: type[MasklError] = InvalidValue,
    ) -> None:
        """Raise what is wrong with a row of a file (None: with the file), or note it if bad rows are skipped."""
        text = f"{os.fspath(file)}{'' if row is None else f', row {row}'}: {message}"
        if not self.skip:
            raise error(text)
        self.count += 1
        if len(self.messages) < LISTED:
            self.messages.append(text)
