"""What an import is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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
    masks : tuple of str, optional
        Columns of images that are masks of the first other column of images, where the source does not say so.
    staging : Path, optional
        Where the files of W&B's artifacts are; by default where its log says.
    """

    table: str | None = None
    step: int | None = None
    masks: tuple[str, ...] = ()
    staging: Path | None = None
