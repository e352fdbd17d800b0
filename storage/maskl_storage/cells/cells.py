"""One mask or image of a row as plain, immutable data, encoded and counted; and rows of them.

These are what the writer takes and the batches are built from; they hold no pixels.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from maskl_storage.format.boxes import Box
from maskl_storage.format.metadata import ClassSet, Column, class_name
from maskl_storage.format.segments import Segment
from maskl_storage.lazy import LazyModule
from maskl_storage.masks.codec import encode_with_runs
from maskl_storage.masks.histograms import MAX_CLASSES, ClassPixels, JointPixels, class_pixels, joint_pixels
from maskl_storage.masks.run_lengths import Pixels, Runs

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = LazyModule("pyarrow")

__all__ = [
    "Batch",
    "BoxesCell",
    "ImageCell",
    "MaskCell",
    "MaskClasses",
    "Rows",
    "count_mask",
    "encode_mask",
    "joint_cells",
    "pairs_with",
]

#: the pairs of all masks are counted of images of so many masks
MAX_PAIRED: Final = 8
#: the keys of each pair, in ascending order
Pairs = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True, eq=False)
class MaskCell:
    """An encoded mask with its class set and counts.

    Parameters
    ----------
    data : bytes
        The encoded mask.
    shape : tuple of int
        ``(H, W)``.
    class_set : ClassSet
        The classes declared for the mask.
    counts : ClassPixels or None
        One entry for each class declared or present, zeros included; None where the mask keeps no
        statistics.
    unnamed : frozenset of int
        Ids that are present and not in the class set.
    valid_pixels : int
        Pixels of classes that are not ignored.
    segments : tuple of Segment, optional
        What its ids stand for, in the order of the ids, each with its pixels and box; all else here is of the mask
        with the class of each segment in its place. None where ids are classes.
    """

    data: bytes
    shape: tuple[int, int]
    class_set: ClassSet
    counts: ClassPixels | None
    unnamed: frozenset[int] = frozenset()
    valid_pixels: int = 0
    segments: tuple[Segment, ...] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class BoxesCell:
    """The boxes of an image under one key, with their class set.

    Parameters
    ----------
    boxes : tuple of Box
        The boxes as they were logged.
    class_set : ClassSet
        The classes declared for the boxes.
    unnamed : frozenset of int
        Ids that occur and are not in the class set.
    """

    boxes: tuple[Box, ...]
    class_set: ClassSet
    unnamed: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class ImageCell:
    """An image of a row: where its bytes are, its masks and its boxes.

    ``joints`` holds ``(mask_a, mask_b, counts)`` for each pair of equally sized masks that is counted, the keys of a
    pair in ascending order. ``pairs`` are the pairs that are counted, of equal size or not; None where all are.
    """

    digest: str | None
    format: str | None
    mode: str | None
    width: int | None
    height: int | None
    caption: str | None = None
    path: str | None = None
    masks: Mapping[str, MaskCell] = field(default_factory=dict)
    joints: tuple[tuple[str, str, JointPixels], ...] = ()
    boxes: Mapping[str, BoxesCell] = field(default_factory=dict)
    pairs: Pairs | None = None

    def paired(self, keys: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Return the counted pairs of some of its masks, the keys of a pair in ascending order."""
        if self.pairs is None:
            return combinations(sorted(keys), 2)
        there = set(keys)
        return iter(sorted(pair for pair in self.pairs if there.issuperset(pair)))


@dataclass(frozen=True, slots=True)
class MaskClasses:
    """The classes of a mask: those of its class set, and ids that are present without being in it.

    A class set without any name admits every class, so its mask's own ids need not be told apart.
    """

    class_set: ClassSet
    unnamed: frozenset[int]

    @classmethod
    def of(cls, mask: MaskCell) -> MaskClasses:
        """Return the classes of one mask."""
        named = any(item.name is not None for item in mask.class_set)
        return cls(mask.class_set, mask.unnamed if named else frozenset())

    @property
    def admits_all(self) -> bool:
        """Whether no class has a name, so that any class may be one of the mask's."""
        return all(item.name is None for item in self.class_set)

    @property
    def ignored(self) -> frozenset[int]:
        """The ids that metrics leave out."""
        return self.class_set.ignored

    def names(self, others: Iterable[int] = ()) -> dict[int, str]:
        """Return the name of each of the mask's ids, and of others."""
        names = {number: class_name(None, number) for number in (*others, *self.unnamed)}
        return names | {item.id: class_name(item, item.id) for item in self.class_set}

    def admits(self, names: Iterable[str]) -> list[bool]:
        """Whether each name is one of the mask's classes."""
        if self.admits_all:
            return [True for _ in names]
        known = set(self.names().values())
        return [name in known for name in names]


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows to be written: parallel sequences, one entry a row.

    ``columns`` describe the user's columns, of kind ``image`` or ``value``; each row has a cell for
    each of them: an :class:`ImageCell`, a plain value, or None. Or the rows are ``frame``, whose
    columns are the user's in order, of kind ``value`` and of their Arrow types; ``rows`` is then empty.
    """

    columns: tuple[Column, ...]
    rows: Sequence[Sequence[Any]]
    row_ids: npt.NDArray[np.int64]
    steps: npt.NDArray[np.int64]
    timestamps: npt.NDArray[np.int64]
    frame: pa.Table | None = None

    @property
    def leaves_pairs_out(self) -> bool:
        """Whether pairs of masks of some image are not counted."""
        return any(cell is not None and cell.pairs is not None for cell in self._images())

    @property
    def has_segments(self) -> bool:
        """Whether some mask has segments, or a class set says what is a thing and what is stuff."""
        sets = [items for column in self.columns for items in column.class_sets]
        for cell in self._images():
            if cell is not None:
                if any(mask.segments is not None for mask in cell.masks.values()):
                    return True
                sets += [mask.class_set for mask in cell.masks.values()]
                sets += [boxes.class_set for boxes in cell.boxes.values()]
        return any(items.is_divided for items in sets)

    def _images(self) -> Iterator[ImageCell | None]:
        images = [index for index, column in enumerate(self.columns) if column.kind == "image"]
        return (row[index] for index in images for row in self.rows)

    @property
    def has_roles(self) -> bool:
        """Whether columns are said to be inputs, outputs or scores."""
        return any(column.roles for column in self.columns)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows that are logged to one table in one call.

    Parameters
    ----------
    columns : tuple of Column
        The user's columns.
    cells : sequence of rows
        One cell for each column, as in :class:`Batch`.
    frame : pyarrow.Table, optional
        Rows that stand before those of ``cells``, as columns in the order of ``columns``.
    replace : bool
        Whether these rows replace what the run has logged to the table.
    bytes : int, optional
        About how many bytes they take, where that is known.
    """

    columns: tuple[Column, ...]
    cells: Sequence[Sequence[Any]] = ()
    frame: pa.Table | None = None
    replace: bool = False
    bytes: int | None = None

    def __len__(self) -> int:
        return len(self.cells) + (0 if self.frame is None else int(self.frame.num_rows))

    def copy(self) -> Rows:
        """Return the rows with their cells in a list of its own."""
        return replace(self, cells=list(self.cells))

    def without(self, numbers: Container[int]) -> Rows:
        """Return the rows but for some of ``cells``."""
        return replace(self, cells=[row for number, row in enumerate(self.cells) if number not in numbers])

    @property
    def pieces(self) -> list[tuple[pa.Table | None, Sequence[Sequence[Any]]]]:
        """The rows as a frame, or as cells, or both; a table without rows has one empty piece."""
        pieces: list[tuple[pa.Table | None, Sequence[Sequence[Any]]]] = []
        if self.frame is not None and self.frame.num_rows:
            pieces.append((self.frame, ()))
        if len(self.cells) or not pieces:
            pieces.append((None, self.cells))
        return pieces


def encode_mask(mask: npt.NDArray[Any]) -> tuple[bytes, Runs | Pixels, ClassPixels]:
    """Encode a mask and count the ids that are present."""
    data, runs = encode_with_runs(mask)
    return data, runs, class_pixels(runs)


def count_mask(
    data: bytes, runs: Runs | Pixels, present: ClassPixels, class_set: ClassSet, *, statistics: bool | None
) -> MaskCell:
    """Join what is present in a mask with what is declared for it.

    ``statistics`` None keeps counts for up to 4,096 distinct ids, True for any number, False for none.
    """
    if statistics is False or (statistics is None and present.ids.size > MAX_CLASSES):
        return MaskCell(data, runs.shape, class_set, None)
    declared, ignored = _declared(class_set)
    found = frozenset(present.ids.tolist())
    unnamed = found - declared
    counts = present
    if not declared <= found:
        ids = np.array(sorted(declared | unnamed), np.int32)
        pixels = np.zeros(ids.size, np.int64)
        pixels[ids.searchsorted(present.ids)] = present.pixels
        counts = ClassPixels(ids, pixels)
    hidden = int(present.pixels[np.isin(present.ids, list(ignored))].sum()) if ignored & found else 0
    return MaskCell(data, runs.shape, class_set, counts, unnamed, runs.size - hidden)


@lru_cache(maxsize=1024)
def _declared(class_set: ClassSet) -> tuple[frozenset[int], frozenset[int]]:
    """Return the ids of a class set, and those of them that are ignored."""
    return frozenset(item.id for item in class_set), frozenset(item.id for item in class_set if item.ignore)


def pairs_with(keys: Collection[str], truths: Iterable[str]) -> Pairs | None:
    """Return the pairs of an image's masks that are counted, the keys of a pair in ascending order; None for all.

    Of up to 8 masks these are all; of more, those with a truth, since there are as many as masks squared.

    Examples
    --------
    >>> pairs_with("ab", ()) is None, sorted(pairs_with("abcdefghi", "b"))[:2]
    (True, [('a', 'b'), ('b', 'c')])
    """
    if len(keys) <= MAX_PAIRED:
        return None
    there = set(keys).intersection(truths)
    if len(there) >= len(keys) - 1:
        return None
    return frozenset((min(a, b), max(a, b)) for a in there for b in keys if a != b)


def joint_cells(
    runs: Mapping[str, Runs | Pixels], pairs: Pairs | None = None
) -> tuple[tuple[str, str, JointPixels], ...]:
    """Return the joint histogram of each pair of equally sized masks of an image, or of these pairs."""
    chosen = combinations(sorted(runs), 2) if pairs is None else sorted(pairs)
    return tuple(
        (a, b, joint_pixels(runs[a], runs[b]))
        for a, b in chosen
        if a in runs and b in runs and runs[a].shape == runs[b].shape
    )
