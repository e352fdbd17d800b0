"""How to export: what the caller may choose, and what a format says it left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from maskl_storage.errors import InvalidValue

__all__ = ["MASKS", "Dropped", "Options"]

#: what a format could not hold, and how often: ``{"captions": 12}``
Dropped = Counter[str]

#: how masks are written where a format leaves the choice
MASKS: Final = ("maskl", "png")


@dataclass(frozen=True, slots=True)
class Options:
    """What the caller chose.

    Parameters
    ----------
    masks : {'maskl', 'png'}
        How ``parquet`` and ``arrow`` write masks: in maskl's own bytes, or as PNG.
    instances : bool
        Whether COCO's formats make a segment of each connected component instead of each class.
    image : str, optional
        The image column of formats that hold one; by default the first.
    mask : str, optional
        The key of the mask of formats that hold one; by default ``ground_truth``, else the first.
    force : bool
        Whether to replace what stands at the destination.
    file : str, optional
        The name of the one file to write, where the destination is a file.
    """

    masks: str = "maskl"
    instances: bool = False
    image: str | None = None
    mask: str | None = None
    force: bool = False
    file: str | None = None

    def __post_init__(self) -> None:
        if self.masks not in MASKS:
            raise InvalidValue(f"masks must be {' or '.join(map(repr, MASKS))}; got {self.masks!r:.60}")
