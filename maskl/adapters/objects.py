"""Objects of other libraries as Python and NumPy have them; they are recognised by name, and never imported.

Every place that takes values asks here, so that an object is taken everywhere or refused everywhere.
"""

from __future__ import annotations

import io
from functools import lru_cache
from numbers import Real
from types import ModuleType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from maskl_storage.cells.columns import exact_as_float
from maskl_storage.errors import InvalidType, InvalidValue

__all__ = [
    "as_array",
    "as_number",
    "as_real",
    "as_scalar",
    "as_value",
    "draw",
    "hidden_values",
    "is_array",
    "is_figure",
    "is_frame",
    "is_ours",
    "is_pandas",
    "is_plotly",
    "is_tensor",
    "logged_alone",
]

#: types whose values are what they are
PLAIN: Final = frozenset((type(None), bool, int, float, str, bytes, list, tuple, dict))
#: what pandas calls a missing value
MISSING: Final = frozenset(("NAType", "NaTType"))
#: how arrays of any library give their values
ARRAY: Final = ("__array__", "__dlpack__")
#: how data frames of any library give their columns, and what tells them from a single column
FRAME: Final = ("__arrow_c_stream__", "__arrow_c_array__")
COLUMNS: Final = ("columns", "column_names", "schema")
#: what figures have, and what is drawn in them
DRAWN: Final = ("savefig", "get_figure")
#: floats of torch that NumPy has too
FLOATS: Final = ("float16", "float32", "float64")
#: types of NumPy's that hold what other libraries added to it (bfloat16, float8, int4), narrowest first
WIDER: Final = (np.int8, np.float32)
#: what an object raises that cannot give its values: it has none, or they are elsewhere
REFUSALS: Final = (TypeError, ValueError, RuntimeError, BufferError)


# --- what an object is --------------------------------------------------------------------------


def is_tensor(value: object) -> bool:
    """Whether a value is a torch tensor, or of a class derived from it; these have their channels first."""
    return _is_a(value, "torch", "Tensor")


def is_array(value: object) -> bool:
    """Whether a value is an array or tensor, of NumPy or any other library; a scalar of NumPy's is none."""
    if isinstance(value, np.ndarray):
        return True
    if isinstance(value, np.generic) or not _has(value, ARRAY):
        return False
    return not is_frame(value) and not is_ours(value)


def is_frame(value: object) -> bool:
    """Whether a value is a data frame: of pandas, Polars, pyarrow, DuckDB or another Arrow library."""
    # series speak Arrow too, but have no columns
    return is_pandas(value) or (_has(value, FRAME) and any(hasattr(value, name) for name in COLUMNS))


def is_ours(value: object) -> bool:
    """Whether a value is of a class of maskl's, such as an image or a table."""
    return _is_a(value, "maskl")


def is_pandas(value: object) -> bool:
    """Whether a value is a data frame of pandas, or of a class derived from it."""
    return _is_a(value, "pandas", "DataFrame")


def hidden_values(value: object) -> int:
    """Return how many values a masked array of NumPy's hides; 0 for anything else.

    Examples
    --------
    >>> hidden_values(np.ma.masked_equal([1, 2, 2], 2)), hidden_values(np.arange(3))
    (2, 0)
    """
    if type(value) is np.ndarray or not _is_a(value, "numpy", "MaskedArray"):
        return 0
    hidden: npt.NDArray[Any] = np.ma.getmaskarray(value)  # type: ignore[call-overload]
    return int(np.count_nonzero(hidden if hidden.dtype.names is None else hidden != np.zeros((), hidden.dtype)))


def is_figure(value: object) -> bool:
    """Whether a value is a figure of matplotlib, something drawn in one, or ``matplotlib.pyplot`` itself."""
    return _is_pyplot(value) or (_is_a(value, "matplotlib") and _has(value, DRAWN))


def is_plotly(value: object) -> bool:
    """Whether a value is a figure of plotly."""
    return _is_a(value, "plotly") and _has(value, ("to_plotly_json",))


def _is_pyplot(value: object) -> bool:
    return isinstance(value, ModuleType) and value.__name__ == "matplotlib.pyplot"


def _is_missing(value: object) -> bool:
    return type(value).__name__ in MISSING and _is_a(value, "pandas")


def _is_a(value: object, package: str, name: str | None = None) -> bool:
    """Whether a class of a package, of this name if one is given, is among the bases of a value's class."""
    return _derives(type(value), package, name)  # type: ignore[arg-type]  # mypy takes no class for hashable


def _has(value: object, names: tuple[str, ...]) -> bool:
    """Whether a value's class has one of these attributes; asked of the class, as Python does with such names."""
    return _offers(type(value), names)  # type: ignore[arg-type]  # mypy takes no class for hashable


@lru_cache(maxsize=1024)
def _derives(kind: type, package: str, name: str | None) -> bool:
    return any(base.__module__.partition(".")[0] == package and name in (None, base.__name__) for base in kind.__mro__)


@lru_cache(maxsize=1024)
def _offers(kind: type, names: tuple[str, ...]) -> bool:
    return any(hasattr(kind, name) for name in names)


# --- what it stands for -------------------------------------------------------------------------


def as_value(value: Any) -> Any:
    """Return an object of another library as Python or NumPy has it, and anything else as it is.

    Arrays and tensors become NumPy's; without dimensions they are scalars. What pandas has for a missing
    value is None, and so is a hidden value of a masked array: in an array of numbers it is NaN.

    Raises
    ------
    InvalidType
        An array that does not give its values.
    """
    kind = type(value)
    if kind in PLAIN:
        return value
    if isinstance(value, np.generic):
        return value if kind.__module__ == "numpy" else value.item()
    if _is_missing(value):
        return None
    if not is_array(value):
        return value
    if hidden_values(value):
        return _revealed(value)
    array = as_array(value)
    return array[()] if array.ndim == 0 else array


def _revealed(value: Any) -> Any:
    """Return a masked array with NaN for what it hides where floats hold the others, else with None, in lists."""
    if value.ndim == 0:
        return None
    if value.dtype.kind in "iu" and exact_as_float([value.compressed()]):
        value = value.astype(np.float64)
    return value.filled(np.nan) if value.dtype.kind == "f" else value.tolist()


def as_scalar(value: Any) -> Any:
    """Return the value as :func:`as_value` does, but numbers of NumPy, and tensors of one element, as Python's."""
    found = as_value(value)
    one = isinstance(found, np.ndarray) and found.size == 1 and found is not value
    return found.item() if one or isinstance(found, np.generic) else found


def as_array(value: object) -> npt.NDArray[Any]:
    """Return an array for anything array-like, tensors on any device included.

    Raises
    ------
    InvalidType
        Rows of uneven length, or an object that does not let itself be made an array.
    InvalidValue
        A masked array that hides some of its values.
    """
    if count := hidden_values(value):
        raise InvalidValue(
            f"this masked array hides {count:,} of its values, which are not to be used: fill them, as with "
            f"array.filled(0), or leave them out with array.compressed()"
        )
    if rows := isinstance(value, list | tuple):
        value = [as_value(row) for row in value]
    try:
        array = _values(value)
    except REFUSALS as error:
        problem = "not a regular array" if rows else f"this {type(value).__name__} does not give its values"
        raise InvalidType(f"{problem}: {error}") from error
    if array.dtype.type.__module__ != "numpy":
        return next((array.astype(kind) for kind in WIDER if np.can_cast(array.dtype, kind)), array)
    return array


def as_number(value: Any, what: str) -> float:
    """Return a number of Python, NumPy or any tensor library as a float of the same value.

    Raises
    ------
    InvalidType
        Not a number, or an integer that a float cannot hold.
    """
    value = as_scalar(value)
    if isinstance(value, str | bytes | bytearray | np.ndarray):
        raise InvalidType(f"{what} must be a number; got {value!r:.60}")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidType(f"{what} must be a number; got {value!r:.60}") from error
    if isinstance(value, int) and number != value:
        raise InvalidType(f"{what} must be a number that float64 holds exactly; got {value}")
    return number


def as_real(value: Any, what: str) -> float:
    """Return a number of Python, NumPy or any tensor library as a float; True and False are no numbers here.

    Raises
    ------
    InvalidType
        Not a number.
    """
    value = as_scalar(value)
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InvalidType(f"{what} must be a number; got {value!r:.60}")
    return float(value)


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


def logged_alone(value: object) -> str:
    """Return the words that refuse what is logged by itself, such as a figure or a data frame, as a plain value."""
    return f"a {type(value).__name__} is logged with run.log()"


def _values(value: Any) -> npt.NDArray[Any]:
    if hasattr(type(value), "detach") and _has(value, ARRAY):
        return _tensor_values(value.detach())
    if not hasattr(type(value), "__array__") and hasattr(type(value), "__dlpack__"):
        return np.from_dlpack(value, device="cpu")
    try:
        return np.asarray(value)
    except TypeError:
        if not hasattr(type(value), "__dlpack__"):
            raise
        return np.from_dlpack(value, device="cpu")  # an array on another device, which NumPy does not fetch by itself


def _tensor_values(tensor: Any) -> npt.NDArray[Any]:
    if not is_tensor(tensor):  # of a library that does as torch
        return np.asarray(tensor.cpu().numpy())
    if tensor.is_sparse or str(getattr(tensor, "layout", "torch.strided")) != "torch.strided":
        tensor = tensor.to_dense()
    if getattr(tensor, "is_quantized", False):
        tensor = tensor.dequantize()
    if tensor.is_floating_point() and str(tensor.dtype).removeprefix("torch.") not in FLOATS:
        tensor = tensor.float()  # NumPy has no bfloat16 and no float8
    array: npt.NDArray[Any] = tensor.numpy(force=True)
    return array
