"""What is wrong with a store, and where."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Fault"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong.

    Parameters
    ----------
    file : str
        The file, relative to the store.
    problem : str
        What was expected, and what is there.
    row : int, optional
        The ``_row`` that it concerns.
    column : str, optional
        The stored name of the column.
    mask : str, optional
        The key of the mask, or of both masks of a pair.

    Examples
    --------
    >>> print(Fault("rows/r.parquet", "its checksum does not match", 7, "image__mask__truth", "truth"))
    rows/r.parquet, row 7, column 'image__mask__truth', mask 'truth': its checksum does not match
    """

    file: str
    problem: str
    row: int | None = None
    column: str | None = None
    mask: str | None = None

    def __str__(self) -> str:
        place = [self.file]
        place += [] if self.row is None else [f"row {self.row}"]
        place += [] if self.column is None else [f"column {self.column!r}"]
        place += [] if self.mask is None else [f"mask {self.mask!r}"]
        return f"{', '.join(place)}: {self.problem}"

    def to_json(self) -> dict[str, Any]:
        """Return the fault as a plain dict."""
        return asdict(self)
