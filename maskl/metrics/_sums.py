"""What is counted of each class, summed over images by the names of the classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from maskl.metrics.registry import Scores
from maskl_storage.errors import InvalidType

__all__ = ["Numbers", "Sums", "added", "frozen", "mean_of", "names_in", "ratio"]

Numbers = npt.NDArray[np.float64]


class Sums:
    """Rows of numbers, one for each class, to which those of an image are added.

    Parameters
    ----------
    width : int
        How many numbers a row has.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._rows: dict[str, Numbers] = {}
        self._ranks: dict[str, int] = {}
        # the classes of the last image, which most others have too, and what is summed of them
        self._same: Mapping[str, int] = {}
        self._block = np.zeros((0, width))

    def add(self, classes: Mapping[str, int], rows: npt.NDArray[Any]) -> None:
        """Add the rows of an image, shape (k, width), of classes that are given with their lowest ids."""
        if classes is not self._same:
            self._flush()
            self._same, self._block = classes, np.zeros((len(classes), self._width))
        self._block += rows

    def _flush(self) -> None:
        for (name, rank), row in zip(self._same.items(), self._block, strict=True):
            known = self._rows.get(name)
            self._rows[name] = row if known is None else known + row
            self._ranks[name] = min(rank, self._ranks.get(name, rank))
        self._same, self._block = {}, np.zeros((0, self._width))

    def table(self) -> tuple[tuple[str, ...], Numbers]:
        """Return the classes in the order of their ids, and their rows, shape (T, width)."""
        self._flush()
        names = sorted(self._rows, key=lambda name: (self._ranks[name], name))
        return tuple(names), np.array([self._rows[name] for name in names], np.float64).reshape(len(names), self._width)


def added(
    a: tuple[str, ...], columns_a: Iterable[npt.NDArray[Any]], b: tuple[str, ...], columns_b: Iterable[npt.NDArray[Any]]
) -> tuple[tuple[str, ...], list[npt.NDArray[Any]]]:
    """Return the classes of both, those of the first one first, and the sum of each pair of columns."""
    names = tuple(dict.fromkeys((*a, *b)))
    place = {name: index for index, name in enumerate(names)}
    summed = []
    for one, other in zip(columns_a, columns_b, strict=True):
        column = np.zeros(len(names), one.dtype)
        for classes, values in ((a, one), (b, other)):
            column[[place[name] for name in classes]] += values
        summed.append(frozen(column))
    return names, summed


def frozen(array: npt.NDArray[Any], kind: type[np.generic] | None = None) -> npt.NDArray[Any]:
    """Return an array that nobody can write to, of another type where one is given."""
    array = np.array(array, kind)
    array.setflags(write=False)
    return array


def ratio(classes: tuple[str, ...], part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> Scores:
    """Return ``part / whole`` of each class by name; 0 / 0 is None."""
    values = zip(classes, part.tolist(), whole.tolist(), strict=True)
    return {name: some / total if total else None for name, some, total in values}


def mean_of(scores: Scores, exclude: Iterable[str] = ()) -> float | None:
    """Return the mean of the scores that are not None, without the classes in ``exclude``."""
    left_out = names_in(exclude, "exclude")
    counted = [score for name, score in scores.items() if score is not None and name not in left_out]
    return sum(counted) / len(counted) if counted else None


def names_in(names: Iterable[str], what: str) -> frozenset[str]:
    """Return class names that were given as a list.

    Raises
    ------
    InvalidType
        They are a string.
    """
    if isinstance(names, str):
        raise InvalidType(f"{what} must be a list of class names, such as [{names!r}]; got {names!r}")
    return frozenset(names)
