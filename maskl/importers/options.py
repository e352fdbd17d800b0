"""What an import is asked for."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Options"]


@dataclass(frozen=True, slots=True)
class Options:
    """What an import is asked for.

    Parameters
    ----------
    table : str, optional
        The name of the table; by default what the source says, else the source's own name.
    step : int, optional
        The step of every row; by default what the source says, else 0.
    """

    table: str | None = None
    step: int | None = None
