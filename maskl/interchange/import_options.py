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
    images : str, optional
        Where images are: for ``folders`` a folder or a pattern with ``*``, counted from the source; for COCO
        a folder. By default ``images``.
    masks : tuple of str, optional
        What masks are, where the source does not say so: of tables, columns of images, over the first other
        column of images; of ``folders``, folders or patterns with ``*``, each perhaps after ``KEY=``, by
        default ``masks``.
    classes : str, optional
        A JSON file of the classes of ``folders``, ``png`` and ``cityscapes``: a list of objects with ``id``,
        ``name`` and perhaps ``color`` and ``ignore``, or an object of names by id. By default what is in the
        source.
    staging : Path, optional
        Where the files of W&B's artifacts are; by default where its log says.
    """

    table: str | None = None
    step: int | None = None
    images: str | None = None
    masks: tuple[str, ...] = ()
    classes: str | None = None
    staging: Path | None = None
