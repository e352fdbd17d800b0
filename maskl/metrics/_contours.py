"""The elements of contours of all classes of a mask at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from maskl.metrics._sides import NONE

__all__ = ["Elements", "Points", "Spacing", "elements_of"]

#: what a contour is made of
Elements = Literal["contour", "pixels"]
#: the side of a pixel, or its height and width
Spacing = float | Sequence[float]


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """The elements of the contours of each class, by class and then in raster order.

    Parameters
    ----------
    keys : ndarray of int64, shape (n,)
        A number for each class and position, ascending.
    at : ndarray of float64, shape (n, 2)
        Row and column.
    lengths : ndarray of float64, shape (n,)
        How long each is.
    starts : list of int, length T + 1
        Where the elements of each class begin, and the last ones end.
    """

    keys: npt.NDArray[np.int64]
    at: npt.NDArray[np.float64]
    lengths: npt.NDArray[np.float64]
    starts: list[int]

    def of(self, place: int) -> slice:
        """Return where the elements of a class stand."""
        return slice(self.starts[place], self.starts[place + 1])


def elements_of(labels: npt.NDArray[Any], width: int, spacing: tuple[float, float], elements: Elements) -> Points:
    """Return the elements of the contours of a mask.

    Parameters
    ----------
    labels : ndarray of int, shape (H, W)
        The place of each pixel's class among ``width`` classes; ``NONE`` for none.
    width : int
    spacing : tuple of float
        The height and width of a pixel.
    elements : {'contour', 'pixels'}
        As in :func:`maskl.metrics.surface_scores`.

    Examples
    --------
    >>> elements_of(np.zeros((1, 1), np.int8), 1, (1.0, 1.0), "contour").lengths.round(2)
    array([0.71, 0.71, 0.71, 0.71])
    """
    height, across = labels.shape
    padded = np.full((height + 2, across + 2), NONE, labels.dtype)
    padded[1:-1, 1:-1] = labels
    down = padded[1:] != padded[:-1]
    side = padded[:, 1:] != padded[:, :-1]
    if elements == "pixels":
        edge = down[1:, 1:-1] | down[:-1, 1:-1]
        edge |= side[1:-1, 1:]
        edge |= side[1:-1, :-1]
        edge &= labels != NONE
        positions = np.flatnonzero(edge)
        return _sorted(labels.reshape(-1)[positions], positions, np.ones(positions.size), width, labels.shape)
    corner = side[1:] | side[:-1]
    corner |= down[:, 1:]  # where both rows are of one label, the two columns tell the same
    positions = np.flatnonzero(corner)
    row, column = np.divmod(positions, across + 1)
    first = row * (across + 2) + column
    flat = padded.reshape(-1)
    four = [flat[first + step] for step in (0, 1, across + 2, across + 3)]
    table = _lengths(spacing)
    classes, places, lengths = [], [], []
    for index, mine in enumerate(four):
        same = [other == mine for other in four]
        new = mine != NONE
        for before in same[:index]:  # each class of a corner once
            new &= ~before
        code = sum(np.left_shift(equal, 3 - bit, dtype=np.uint8) for bit, equal in enumerate(same))
        classes.append(mine[new])
        places.append(positions[new])
        lengths.append(table[code[new]])
    shape = (height + 1, across + 1)
    return _sorted(np.concatenate(classes), np.concatenate(places), np.concatenate(lengths), width, shape)


def _sorted(
    classes: npt.NDArray[Any],
    positions: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.float64],
    width: int,
    shape: tuple[int, ...],
) -> Points:
    size = shape[0] * shape[1]
    keys = classes * np.int64(size) + positions
    order = np.argsort(keys)
    keys, positions = keys[order], positions[order]
    at = np.stack(np.divmod(positions, shape[1]), axis=1).astype(np.float64)
    starts = keys.searchsorted(np.arange(width + 1, dtype=np.int64) * size).tolist()
    return Points(keys, at, lengths[order], starts)


def _lengths(spacing: tuple[float, float]) -> npt.NDArray[np.float64]:
    """Return how long the line is in a square of four pixels, by which of them are inside (8, 4 above; 2, 1 below)."""
    height, width = spacing
    cut = 0.5 * (height**2 + width**2) ** 0.5  # a corner is cut off
    table = np.full(16, cut)
    table[[0, 15]] = 0.0
    table[[3, 12]] = width
    table[[5, 10]] = height
    table[[6, 9]] = 2 * cut
    return table
