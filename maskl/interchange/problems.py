"""What is wrong with a source: raised, or counted and listed where bad rows are to be skipped."""

from __future__ import annotations

from typing import Final

from maskl_storage.errors import CorruptData, InvalidValue, MasklError, prefixed

__all__ = ["Problems"]

#: messages that are kept; the others are only counted
LISTED: Final = 1000
#: kinds of what is left out that are told apart
KINDS: Final = 100


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
        self._left: dict[str, tuple[int, str, bool]] = {}

    def left(self, what: str, example: object, count: int = 1, *, warned: bool = False) -> None:
        """Note what an import leaves out of a source that is not wrong.

        Parameters
        ----------
        what : str
            What it is, in the plural: ``images without a mask``. What is of one kind is counted together, with the
            first example.
        example : object
            One of them.
        count : int, optional
            How many there are.
        warned : bool, optional
            Whether that is so much that a :class:`~maskl.errors.LeftOutWarning` says it too.
        """
        if what not in self._left and len(self._left) >= KINDS:
            what = "others"
        before, first, loud = self._left.get(what, (0, f"{example!s:.200}", False))
        self._left[what] = (before + count, first, loud or warned)

    def lines(self, *, warned: bool | None = None) -> list[str]:
        """Return what was left out, each with its count and an example; only what is warned of, or the rest."""
        return [
            f"{what}: {count:,}, such as {example}"
            for what, (count, example, loud) in self._left.items()
            if warned in (None, loud)
        ]

    def bad(
        self,
        file: object,
        row: int | None,
        problem: Exception | str,
    ) -> None:
        """Raise what is wrong with a row of a file (None: with the file), or note it if bad rows are skipped."""
        if isinstance(problem, RecursionError):
            problem = CorruptData("something is nested too deep to be meant")
        error = problem if isinstance(problem, MasklError) else InvalidValue(str(problem))
        placed = prefixed(error, f"{file}{'' if row is None else f', row {row}'}")
        if not self.skip:
            raise placed from (problem if isinstance(problem, Exception) else None)
        self.count += 1
        if len(self.messages) < LISTED:
            self.messages.append(str(placed))
