"""How to export and how to import: what the caller may choose, and what a format says it left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

from maskl.interchange.choices import ImageFiles, MaskForm
from maskl_storage.errors import InvalidType, InvalidValue

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

__all__ = ["HEEDED", "HEEDED_READING", "MASKS", "Dropped", "ExportOptions", "ImportOptions", "check_heeded"]

#: what a format could not hold, and how often: ``{"captions": 12}``
Dropped = Counter[str]

#: how masks are written where a format leaves the choice
MASKS: Final = get_args(MaskForm)
#: how images are written where a format leaves the choice
IMAGES: Final = get_args(ImageFiles)
#: the options of exporting that a format says it heeds, and that are refused where it does not
HEEDED: Final = ("masks", "images", "instances", "image", "mask")
#: those of importing; ``table`` and ``step`` are heeded of every format
HEEDED_READING: Final = ("images", "masks", "classes", "staging", "follow_links")
#: what the command line calls those of importing that it does not call by their own name
FLAGS: Final = {"masks": "mask", "follow_links": "follow-links"}


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What an export is asked for.

    Parameters
    ----------
    masks : {'maskl', 'png'}, optional
        How ``parquet`` and ``arrow`` write masks: in maskl's own bytes, which is the default, or as PNG.
    images : {'stored', 'portable'}, optional
        Whether ``parquet`` and ``arrow`` hold images as they are stored, which is the default, or JPEG XL as WebP or
        PNG.
    instances : bool
        Whether COCO's formats make a segment of each connected component instead of each class, of masks without
        segments.
    image : str, optional
        The image column of formats that hold one; by default the first.
    mask : str, optional
        The key of the mask of formats that hold one; by default ``ground_truth``, else the first.
    force : bool
        Whether to replace what stands at the destination.
    file : str, optional
        The name of the one file to write, where the destination is a file.
    """

    masks: MaskForm | None = None
    images: ImageFiles | None = None
    instances: bool = False
    image: str | None = None
    mask: str | None = None
    force: bool = False
    file: str | None = None

    def __post_init__(self) -> None:
        if self.masks is not None and self.masks not in MASKS:
            raise InvalidValue(f"masks must be {' or '.join(map(repr, MASKS))}; got {self.masks!r:.60}")
        if self.images is not None and self.images not in IMAGES:
            raise InvalidValue(f"images must be {' or '.join(map(repr, IMAGES))}; got {self.images!r:.60}")


@dataclass(frozen=True, slots=True)
class ImportOptions:
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
    classes : Path, optional
        A JSON file of the classes of the masks of ``folders``, ``png`` and ``cityscapes``, and of those that ``masks``
        names of tables: a list of objects with ``id``, ``name`` and perhaps ``color`` and ``ignore``, or an object of
        names by id. By default what is in the source.
    staging : Path, optional
        Where the files of W&B's artifacts are; by default in W&B's own folder, or beside the run.
    follow_links : bool
        Whether links below the source are followed, wherever they lead; by default they are refused.
    """

    table: str | None = None
    step: int | None = None
    images: str | None = None
    masks: tuple[str, ...] = ()
    classes: Path | None = None
    staging: Path | None = None
    follow_links: bool = False

    def __post_init__(self) -> None:
        if self.table is not None and not isinstance(self.table, str):
            raise InvalidType(f"table must be a name; got {self.table!r:.60}")
        if self.step is not None and (isinstance(self.step, bool) or not isinstance(self.step, int)):
            raise InvalidType(f"step must be a whole number; got {self.step!r:.60}")
        if not all(isinstance(name, str) for name in self.masks):
            raise InvalidType(f"masks must be a list of columns or patterns; got {self.masks!r:.60}")


def check_heeded(
    options: ExportOptions | ImportOptions,
    heeded: Collection[str],
    name: str,
    others: Callable[[], Mapping[str, Collection[str]]],
) -> None:
    """Refuse an option that a format would not heed.

    Parameters
    ----------
    options : ExportOptions or ImportOptions
        What was asked for.
    heeded : collection of str
        The options that the format heeds.
    name : str
        The format's name.
    others : callable
        Returns what each format heeds, by name, which is asked for only where that is to be said.

    Raises
    ------
    InvalidValue
        There is one; the message says which formats heed it.
    """
    unset = type(options)()
    for option in HEEDED_READING if isinstance(options, ImportOptions) else HEEDED:
        if option not in heeded and getattr(options, option) != getattr(unset, option):
            heeding = ", ".join(other for other, heeds in others().items() if option in heeds) or "no format"
            flag = FLAGS.get(option, option) if isinstance(options, ImportOptions) else option
            raise InvalidValue(f"{name} takes no option {option!r}; it is for {heeding}: leave it out (--{flag})")
