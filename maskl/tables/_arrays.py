"""Between a table's values and what other libraries hold: arrays and data frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from maskl.adapters.objects import as_array as array_of
from maskl.adapters.objects import hidden_values, is_array
from maskl_storage.errors import InvalidType
from maskl_storage.extras import optional
from maskl_storage.format.metadata import Column

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["as_array", "as_pandas", "rows_of", "values_of"]


def rows_of(data: Any) -> Any:
    """Return what can be looped over for rows; an array's numbers become Python's at once."""
    if hidden_values(data):
        return data.tolist() if data.ndim == 2 else list(data)  # hidden values become None
    data = array_of(data) if is_array(data) else data
    if isinstance(data, np.ndarray):
        return data.tolist() if data.dtype.kind in "biuf" and data.ndim == 2 else list(data)
    if isinstance(data, str | bytes | Mapping) or not isinstance(data, Iterable):
        raise InvalidType(f"data must be a list of rows, an array or a data frame; got {data!r:.60}")
    return data


def values_of(name: str, data: Any) -> Sequence[Any]:
    """Return the values of a column; an array's numbers become Python's at once.

    Raises
    ------
    InvalidType
        Neither a list nor an array, of any library.
    """
    if hidden_values(data) and data.ndim:
        return data.tolist() if data.ndim == 1 else list(data)  # hidden values become None
    array = array_of(data) if is_array(data) else None
    if array is not None and array.ndim:
        values: list[Any] = array.tolist() if array.dtype.kind in "biuf" and array.ndim == 1 else list(array)
        return values
    if array is not None or isinstance(data, str | bytes | Mapping) or not isinstance(data, Sequence):
        raise InvalidType(f"the data of column {name!r} must be a list or an array; got {type(data).__name__}")
    return data


def as_array(column: Column, values: Sequence[Any]) -> npt.NDArray[Any]:
    """Return the values of a column as an array; of objects where no other holds them exactly."""
    if column.kind == "image":
        values = [None if value is None else np.asarray(value.image) for value in values]
    if column.type == "float":
        return np.array([np.nan if value is None else value for value in values], np.float64)
    if values and not any(value is None for value in values):
        if column.type in ("bool", "int", "string"):
            made = np.array(values)
            if made.dtype.kind != "U" or made.tolist() == values:  # NumPy drops trailing NULs
                return made
        rectangular = column.kind == "image" or column.type in ("array", "list")
        if rectangular and len({np.shape(value) for value in values}) == 1:
            return np.array(values)
    objects = np.empty(len(values), object)
    for index, value in enumerate(values):
        objects[index] = value
    return objects


def as_pandas(columns: Mapping[str, tuple[Column, Sequence[Any]]]) -> pd.DataFrame:
    """Return columns as a pandas data frame; integers with missing values get its type Int64."""
    pandas = optional("pandas", "a data frame")
    series = {}
    for name, (column, values) in columns.items():
        gaps = column.type == "int" and any(value is None for value in values)
        plain = column.type in ("bool", "int", "float", "string", "timestamp") and not gaps
        series[name] = pandas.Series(values, dtype="Int64" if gaps else None if plain and values else object)
    frame: pd.DataFrame = pandas.DataFrame(series, columns=list(columns))
    return frame
