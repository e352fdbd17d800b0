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
        error: type[MasklError] | None = None,
    ) -> None:
        """Raise what is wrong with a row of a file, or note it if bad rows are skipped.

        Parameters
        ----------
        file : path-like
            The file.
        row : int, optional
            The row's number in it, from 0; None for what is wrong with the file.
        message : str or Exception
            What is wrong.
        error : type, optional
            What is raised: by default the class of ``message`` where that is an error of maskl's, else InvalidValue.
        """
        text = f"{os.fspath(file)}{'' if row is None else f', row {row}'}: {message}"
        if not self.skip:
            raise (error or (type(message) if isinstance(message, MasklError) else InvalidValue))(text)
        self.count += 1
        if len(self.messages) < LISTED:
            self.messages.append(text)
