"""Boxes in three dimensions, for the scenes of ``Object3D``."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from maskl.adapters.objects import as_array
from maskl_storage.errors import InvalidType, InvalidValue

__all__ = ["box3d"]


def box3d(
    *,
    center: npt.ArrayLike,
    size: npt.ArrayLike,
    orientation: npt.ArrayLike,
    color: Sequence[float],
    label: str | None = None,
    score: float | None = None,
) -> dict[str, Any]:
    """Return a box as :meth:`maskl.Object3D.from_point_cloud` takes it.

    Parameters
    ----------
    center : array-like
        Its middle, ``x, y, z``.
    size : array-like
        Its lengths along its own axes.
    orientation : array-like
        How it is turned, a quaternion ``r, x, y, z`` of any length but 0.
    color : sequence of float
        ``r, g, b``, each from 0 to 1.
    label : str, optional
        What it is.
    score : float, optional
        How sure that is.

    Returns
    -------
    dict
        Its eight ``corners``, and ``color``, ``label`` and ``score`` as given.

    Examples
    --------
    >>> box = box3d(center=(0, 0, 0), size=(2, 2, 2), orientation=(1, 0, 0, 0), color=(1, 0, 0))
    >>> box["corners"][0], box["corners"][7]
    ((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0))
    """
    middle, lengths, turn = (
        _numbers("center", center, 3),
        _numbers("size", size, 3),
        _numbers("orientation", orientation, 4),
    )
    if not turn.any():
        raise InvalidValue("orientation must be a quaternion other than 0")
    unit = np.array(list(itertools.product((-0.5, 0.5), repeat=3)))
    corners = middle + _turned(unit * lengths, turn)
    return {"corners": tuple(map(tuple, corners.tolist())), "color": color, "label": label, "score": score}


def _numbers(name: str, value: Any, count: int) -> npt.NDArray[np.float64]:
    found = as_array(value)
    if found.shape != (count,) or found.dtype.kind not in "iuf" or not np.isfinite(found).all():
        raise InvalidType(f"{name} must be {count} finite numbers; got {value!r:.60}")
    return found.astype(np.float64)


def _turned(points: npt.NDArray[np.float64], quaternion: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return points, a row each, turned by a quaternion."""
    whole = quaternion / np.abs(quaternion).max()  # else the squares of the smallest are 0
    whole /= np.linalg.norm(whole)
    real, axis = whole[0], whole[1:]
    aside = 2 * np.cross(axis, points)
    turned: npt.NDArray[np.float64] = points + real * aside + np.cross(axis, aside)
    return turned
