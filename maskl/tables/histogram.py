"""Histograms to log: counts between edges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from maskl.adapters.objects import as_array, as_value, hidden_values
from maskl_storage.errors import ConversionWarning, InvalidType, InvalidValue, warn
from maskl_storage.format.json_values import Form, register_form

__all__ = ["Histogram"]


class Histogram:
    """How many values lie between edges, to log by itself or in a table's cell.

    Parameters
    ----------
    sequence : array-like, optional
        Numbers or booleans of any shape: a list, an array of NumPy or another library, or a tensor on any device.
    np_histogram : (counts, edges), optional
        A histogram that is counted already, as :func:`numpy.histogram` returns it; instead of ``sequence``.
    num_bins : int, optional
        How many bins of equal width ``sequence`` is counted in, 1 to 512.

    Attributes
    ----------
    histogram : list of int or float
        The count of each bin; floats where ``np_histogram`` came with weights or a density.
    bins : list of float
        The edges, one more than counts. The last bin has both its edges, every other its lower one.

    Raises
    ------
    InvalidValue
        Neither or both of ``sequence`` and ``np_histogram``; a number of bins above 512; edges that are not one more
        than the counts, or do not ascend.
    InvalidType
        What holds no numbers.

    Notes
    -----
    Values that are NaN or infinite lie in no bin: they are left out, with a warning, as TensorBoard's and W&B's own
    records of gradients leave them out. Where no value is left, all counts are 0, over edges from 0 to 1.
    Integers above 2⁵³ are counted as float64.

    Examples
    --------
    >>> Histogram([1, 2, 2, 3], num_bins=2)
    Histogram(np_histogram=([1, 3], [1.0, 2.0, 3.0]))
    >>> Histogram(np_histogram=([4, 1], [0, 10, 20])).histogram
    [4, 1]
    """

    MAX_LENGTH: Final = 512

    __slots__ = ("_counts", "_edges")

    def __init__(self, sequence: Any = None, np_histogram: Any = None, num_bins: int = 64) -> None:
        if (sequence is None) == (np_histogram is None):
            given = "neither" if sequence is None else "both"
            raise InvalidValue(f"a histogram is made of a sequence or of an np_histogram; got {given}")
        counts, edges = _counted(sequence, num_bins) if np_histogram is None else _given(np_histogram)
        self._counts: tuple[int | float, ...] = tuple(counts)
        self._edges: tuple[float, ...] = tuple(edges)

    @property
    def histogram(self) -> list[int | float]:
        """The count of each bin."""
        return list(self._counts)

    @property
    def bins(self) -> list[float]:
        """The edges of the bins, one more than there are counts."""
        return list(self._edges)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Histogram):
            return NotImplemented
        return (self._counts, self._edges) == (other._counts, other._edges)

    def __hash__(self) -> int:
        return hash((self._counts, self._edges))

    def __repr__(self) -> str:
        return f"Histogram(np_histogram=({self.histogram}, {self.bins}))"


def _counted(sequence: Any, num_bins: Any) -> tuple[list[int], list[float]]:
    number = as_value(num_bins)
    if isinstance(number, bool) or not isinstance(number, int | np.integer):
        raise InvalidType(f"num_bins must be a whole number; got {num_bins!r:.60}")
    if not 1 <= number <= Histogram.MAX_LENGTH:
        raise InvalidValue(f"num_bins must be from 1 to {Histogram.MAX_LENGTH}; got {num_bins!r:.60}")
    sequence = sequence.compressed() if hidden_values(sequence) else sequence
    values = _numbers(sequence, "the sequence of a histogram").ravel()
    finite = np.isfinite(values)
    if not finite.all():
        warn("a histogram leaves out values that are NaN or infinite: they lie in no bin", ConversionWarning)
        values = values[finite]
    try:
        with np.errstate(over="raise"):
            counts, edges = np.histogram(values, bins=int(number))
    except (ValueError, FloatingPointError) as error:  # edges of the widest ranges are no floats
        raise InvalidValue(f"the sequence of a histogram has too wide a range for {number} bins: {error}") from error
    return counts.tolist(), edges.tolist()


def _given(np_histogram: Any) -> tuple[list[int | float], list[float]]:
    if not isinstance(np_histogram, list | tuple) or len(np_histogram) != 2:
        raise InvalidValue(f"np_histogram must be a pair of counts and edges; got {np_histogram!r:.60}")
    whole = as_array(np_histogram[0])
    counts, edges = (
        _numbers(values, f"the {what} of a histogram")
        for values, what in zip((whole, np_histogram[1]), ("counts", "edges"), strict=True)
    )
    if counts.ndim != 1 or edges.ndim != 1 or not counts.size or edges.size != counts.size + 1:
        raise InvalidValue(
            f"a histogram has counts in one dimension, and one edge more than counts; got counts of shape "
            f"{counts.shape} and edges of shape {edges.shape}"
        )
    if counts.size > Histogram.MAX_LENGTH:
        raise InvalidValue(f"a histogram has {Histogram.MAX_LENGTH} bins at the most; got {counts.size}")
    if not (np.isfinite(counts).all() and np.isfinite(edges).all() and (edges[1:] >= edges[:-1]).all()):
        raise InvalidValue("counts and edges of a histogram must be finite numbers, and the edges must ascend")
    return (whole if whole.dtype.kind in "iu" else counts).tolist(), edges.tolist()


def _numbers(values: Any, what: str) -> npt.NDArray[np.float64]:
    array = as_array(values)
    if array.dtype.kind not in "biuf" and array.size:
        raise InvalidType(f"{what} must hold numbers; got {values!r:.60}")
    return array.astype(np.float64)


def _plain(histogram: Histogram) -> dict[str, Any]:
    return {"edges": histogram.bins, "counts": histogram.histogram}


def _of_plain(body: Any) -> Histogram:
    if not isinstance(body, Mapping) or not {"edges", "counts"} <= body.keys():
        raise InvalidValue(f"a histogram has edges and counts; got {body!r:.60}")
    return Histogram(np_histogram=(body["counts"], body["edges"]))


register_form(Form("$histogram", Histogram, _plain, _of_plain))
