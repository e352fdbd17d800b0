"""Values of Python's own beside numbers and text, such as paths, sets and enums, as JSON and cells hold them.

Every place that takes values asks here, so that a value is the same wherever it is kept.
"""

from __future__ import annotations

import dataclasses
import json
import os
import types
from collections import deque
from collections.abc import Callable, ItemsView, KeysView, Mapping, ValuesView
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any, Final, Literal
from uuid import UUID

import numpy as np
import numpy.typing as npt

from maskl.adapters.objects import as_scalar, as_value, is_ours
from maskl_storage.errors import ConversionWarning, InvalidType, InvalidValue, prefixed, warn
from maskl_storage.format.names import check_text

__all__ = ["Enums", "as_json", "as_key", "as_mapping", "simpler"]

#: what an enum's member is kept as: W&B keeps its value in the history, and its name anywhere else
Enums = Literal["name", "value"]

#: types whose values JSON holds as they are
PLAIN: Final = frozenset((type(None), bool, int, float))
#: what is kept as the text that Python has for it
COMPLEX: Final = (complex, np.complexfloating)
#: what stays as it is, to which only those of maskl's own classes are added
KEPT: Final = (str, int, float, bytes, list, tuple, date, np.generic)
#: what is kept as a list
SEVERAL: Final = (range, deque, KeysView, ValuesView, ItemsView, types.GeneratorType)
#: what is kept as its text, and is told exactly by it
TEXTS: Final = (Decimal, Fraction, UUID, timedelta)


def simpler(value: Any, enums: Enums = "name") -> Any:
    """Return the number, text, list or dict that a value of Python's own stands for, and anything else as it is.

    What is inside of a list or dict stays as it is.

    Examples
    --------
    >>> from pathlib import PurePosixPath
    >>> simpler(PurePosixPath("a/b")), simpler({3, 1, 2}), simpler(1 + 2j), simpler(range(3)), simpler(len)
    ('a/b', [1, 2, 3], '1+2j', [0, 1, 2], 'builtins.len')
    """
    if isinstance(value, Enum):
        return value.value if enums == "value" or value.name is None else value.name
    if isinstance(value, np.ndarray):
        return _listed(value)
    if isinstance(value, COMPLEX):
        return str(value).strip("()")
    if isinstance(value, KEPT) or is_ours(value):
        return value
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if isinstance(value, set | frozenset):
        return _sorted(value)
    if isinstance(value, SEVERAL):
        return list(value)
    if isinstance(value, TEXTS):
        return str(value)
    if isinstance(value, time):
        return value.isoformat()
    found = as_mapping(value)
    if found is not None:
        return found
    return _named(value) if callable(value) else value


def as_mapping(value: Any) -> Mapping[Any, Any] | None:
    """Return a dict, or the fields of a dataclass, a namespace or a slice; None for anything else."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, type) or is_ours(value):
        return None
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, types.SimpleNamespace) or type(value).__name__ == "Namespace":
        return dict(vars(value))
    if isinstance(value, slice):
        return {f"slice_{name}": getattr(value, name) for name in ("start", "step", "stop")}
    return None


def as_json(value: Any, what: str, other: Callable[[Any, str], Any], enums: Enums = "name") -> Any:
    """Return a value as JSON holds it, and nothing of the caller's: dicts, lists, strings, numbers, None.

    Arrays and tensors of one element are that element. NaN and infinity stay what they are.

    Parameters
    ----------
    value
        Anything.
    what : str
        What it is called in messages.
    other : callable
        Returns what to keep of a value that is known to nobody, or raises; it takes the value and ``what``.
    enums : {'name', 'value'}, optional
        What an enum's member is kept as.

    Raises
    ------
    InvalidType, InvalidValue
        A key that JSON has not, text that is not Unicode, a value that contains itself.
    """
    try:
        return _json(value, what, other, enums)
    except RecursionError as error:
        raise InvalidValue(f"{what} contains itself") from error


def as_key(key: Any, what: str) -> str:
    """Return a nested key as JSON spells it."""
    if isinstance(key, str) and not isinstance(key, Enum):
        return check_text(str(key), f"{what}: a key")
    key = as_scalar(simpler(key))
    if isinstance(key, str):
        return check_text(key, f"{what}: a key")
    if key is None or isinstance(key, bool | int | float):
        return json.dumps(key)
    raise InvalidType(f"{what}: a key must be a string or a number; got {key!r:.60}")


def _json(value: Any, what: str, other: Callable[[Any, str], Any], enums: Enums) -> Any:
    if type(value) in PLAIN:
        return value
    if type(value) is str:
        return check_text(value, what)
    try:
        value = as_value(value)
    except InvalidType as error:
        raise prefixed(error, what) from error
    if isinstance(value, np.ndarray):
        return _array(value, what, other, enums)
    value = simpler(value, enums)
    if isinstance(value, bytes | bytearray | memoryview):
        return _decoded(bytes(value), what)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return check_text(str(value), what)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value)
    if isinstance(value, Mapping):
        return {as_key(key, what): _json(item, what, other, enums) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item, what, other, enums) for item in value]
    if isinstance(value, np.generic):
        return _array(np.asarray(value), what, other, enums)
    if isinstance(value, date):
        return value.isoformat()
    return other(value, what)


def _array(value: npt.NDArray[Any], what: str, other: Callable[[Any, str], Any], enums: Enums) -> Any:
    if value.size == 1:
        value = value.reshape(())
    if value.dtype.kind in "mM" or value.dtype.char == "G":
        value = value.astype(str)  # times have no JSON, as NumPy's text they say their unit; nor have long doubles
    found = value.tolist()
    return found if value.dtype.kind in "biuf" and value.dtype.itemsize <= 8 else _json(found, what, other, enums)


def _listed(array: npt.NDArray[Any]) -> Any:
    """Return an array of anything but numbers as lists; one of numbers as it is."""
    if array.dtype.kind in "OSU":
        return array.tolist()
    if array.dtype.kind == "c":
        return [_listed(row) if isinstance(row, np.ndarray) else simpler(row) for row in array]
    return [_listed(row) for row in array] if array.dtype.kind in "mM" and array.ndim else array


def _sorted(values: set[Any] | frozenset[Any]) -> list[Any]:
    """Return the values of a set in an order that is the same in every process, where they have one."""
    try:
        return sorted(values)
    except TypeError:
        return list(values)


def _named(value: Any) -> str:
    """Return the name of a function or class, and the text of anything else that can be called."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    return f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else str(value)


def _decoded(value: bytes, what: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        text = repr(value)
        warn(f"{what} is bytes that are not UTF-8, which are stored as their text {text:.60}", ConversionWarning)
        return text
