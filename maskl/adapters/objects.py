"""What other libraries hold, as arrays, numbers and files; they are recognised by name, and never imported."""

from __future__ import annotations

import io
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from maskl_storage.errors import InvalidType

__all__ = ["as_array", "as_number", "draw", "is_figure", "is_tensor"]


def is_tensor(value: object) -> bool:
    """Whether a value is a torch tensor, or of a class derived from it."""
    return any(base.__name__ == "Tensor" and _comes_from("torch", base) for base in type(value).__mro__)


def as_array(value: object) -> npt.NDArray[Any]:
    """Return an array for anything array-like, torch tensors on any device included.

    Raises
    ------
    InvalidType
        Rows of uneven length, or an object that does not let itself be made an array.
    """
    if is_tensor(value):
        return _tensor_array(value)
    try:
        return np.asarray(value)
    except (TypeError, ValueError) as error:
        raise InvalidType(f"not a regular array: {error}") from error


def as_number(value: Any, what: str) -> float:
    """Return a number of Python, NumPy or torch as a float of the same value.

    Raises
    ------
    InvalidType
        Not a number, or an integer that a float cannot hold.
    """
    if is_tensor(value):
        value = value.detach()
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if isinstance(value, str | bytes | bytearray | np.ndarray):
        raise InvalidType(f"{what} must be a number; got {value!r:.60}")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidType(f"{what} must be a number; got {value!r:.60}") from error
    if isinstance(value, int) and number != value:
        raise InvalidType(f"{what} must be a number that float64 holds exactly; got {value}")
    return number


def is_figure(value: object) -> bool:
    """Whether a value is a figure of matplotlib, something drawn in one, or ``matplotlib.pyplot`` itself."""
    return _is_pyplot(value) or any(_comes_from("matplotlib", base) for base in type(value).__mro__)


def draw(value: Any) -> bytes:
    """Return a PNG of a figure, of the figure that an artist belongs to, or of pyplot's current one.

    Raises
    ------
    InvalidType
        An artist that belongs to no figure.
    """
    figure = value.gcf() if _is_pyplot(value) else value
    while figure is not None and not hasattr(figure, "savefig"):
        # axes are drawn with the figure that they belong to, a subfigure with the whole
        figure = figure.figure if getattr(figure, "figure", figure) is not figure else None
    if figure is None:
        raise InvalidType(f"this {type(value).__name__} of matplotlib belongs to no figure: pass the figure itself")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _is_pyplot(value: object) -> bool:
    return value is not None and value is sys.modules.get("matplotlib.pyplot")


def _comes_from(package: str, kind: type) -> bool:
    return kind.__module__.partition(".")[0] == package


def _tensor_array(tensor: Any) -> npt.NDArray[Any]:
    tensor = tensor.detach()
    if tensor.is_sparse:
        tensor = tensor.to_dense()
    if tensor.is_floating_point() and tensor.dtype.itemsize < 4:
        tensor = tensor.float()  # NumPy has no bfloat16 and no float8
    array: npt.NDArray[Any] = tensor.numpy(force=True)
    return array
