"""What a table's column accepts: declared types, and whether values may be missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Final

import numpy as np

from maskl.annotations.classes import Classes, ClassIdType
from maskl.images.image import Image
from maskl_storage.errors import InvalidType, InvalidValue
from maskl_storage.format.metadata import ClassSet
from maskl_storage.format.names import check_text

__all__ = ["FREE", "ColumnType", "column_types", "key_type", "parse_dtype", "parse_names"]


@dataclass(frozen=True, slots=True)
class ColumnType:
    """What a column accepts.

    Parameters
    ----------
    name : str
        What it is called in messages; two types of one name are equal.
    optional : bool
        Whether values may be missing.
    accepts : callable, optional
        Whether a value that is not missing fits; without it the first value decides the type.
    families : frozenset of str
        Which of W&B's types the values are of; where there are several, the column holds mixed values.
    start : str
        The stored type that the column has before any value.
    classes : ClassSet or None
        The classes that the column's integers are ids of.
    """

    name: str = "any type"
    optional: bool = True
    accepts: Callable[[Any], bool] | None = field(default=None, compare=False)
    families: frozenset[str] = field(default=frozenset(), compare=False)
    start: str = field(default="null", compare=False)
    classes: ClassSet | None = None

    @property
    def mixed(self) -> bool:
        """Whether values of several types may stand in the column."""
        return len(self.families) > 1

    def problem(self, value: Any, missing: bool) -> str | None:
        """Return what is wrong with a value, or None."""
        if missing:
            return None if self.optional else "takes no missing values"
        if self.accepts is None or self.accepts(value):
            return None
        return f"takes {self.name}"

    def __str__(self) -> str:
        return self.name if self.optional else f"{self.name}, never missing"


#: no type declared: the first value decides
FREE: Final = ColumnType()

_FAMILY: Final[tuple[tuple[str, str, tuple[type, ...]], ...]] = (
    ("boolean", "bool", (bool, np.bool_)),
    ("number", "int", (int, np.integer)),
    ("number", "float", (float, np.floating)),
    ("string", "string", (str,)),
    ("bytes", "bytes", (bytes, bytearray, memoryview)),
    ("timestamp", "null", (date, np.datetime64)),
    ("list", "null", (list, tuple)),
    ("dict", "null", (dict, Mapping)),
    ("array", "null", (np.ndarray,)),
    ("Image", "null", (Image,)),
)
_CLASSES: Final = {
    family: tuple(c for name, _, cs in _FAMILY if name == family for c in cs) for family, _, _ in _FAMILY
}


def column_types(dtype: Any, optional: Any, count: int, *, mixed: bool) -> list[ColumnType]:
    """Return the type of each of ``count`` columns from a table's arguments ``dtype`` and ``optional``.

    ``dtype`` and ``optional`` are one value for all columns or a list with one for each.
    """
    dtypes = [None] * count if mixed else dtype if isinstance(dtype, list) else [dtype] * count
    optionals = optional if isinstance(optional, list) else [optional] * count
    for what, values in (("dtype", dtypes), ("optional", optionals)):
        if len(values) != count:
            raise InvalidValue(f"{what} must be one value or a list of {count}, one a column; got {len(values)}")
    for value in optionals:
        if not isinstance(value, bool):
            raise InvalidType(f"optional must be True or False, or a list of them; got {value!r:.60}")
    return [
        parse_dtype(object if mixed else one, may) if one is not None or mixed else _free(may)
        for one, may in zip(dtypes, optionals, strict=True)
    ]


def parse_dtype(dtype: Any, optional: bool) -> ColumnType:
    """Return the type that W&B's notation stands for.

    A Python class is that type (``int`` and ``float`` are both numbers, ``object`` is anything);
    ``[t]`` a list of ``t``, ``[a, b]`` one of several types, ``{"key": t}`` a dict with these keys,
    ``Classes(...).get_type()`` ids of classes, and any other value that value alone.
    """
    if isinstance(dtype, ColumnType):
        return _with(dtype, optional)
    if dtype is None:
        return _free(optional)
    if isinstance(dtype, Classes | ClassIdType):
        return _with(_class_ids(dtype if isinstance(dtype, Classes) else dtype.classes), optional)
    if isinstance(dtype, type):
        return _with(_python_type(dtype), optional)
    if isinstance(dtype, list):
        return _with(_list_of(dtype) if len(dtype) < 2 else _one_of([parse_dtype(d, False) for d in dtype]), optional)
    if isinstance(dtype, dict):
        return _with(_dict_of({key: parse_dtype(value, False) for key, value in dtype.items()}), optional)
    if isinstance(dtype, set | frozenset):
        return _with(_one_of([_constant(value) for value in dtype]), optional)
    return _with(_constant(dtype), optional)


def _free(optional: bool) -> ColumnType:
    return FREE if optional else ColumnType(optional=False)


def _with(found: ColumnType, optional: bool) -> ColumnType:
    return ColumnType(found.name, optional, found.accepts, found.families, found.start, found.classes)


def _python_type(dtype: type) -> ColumnType:
    if dtype is object:
        return ColumnType("anything", families=frozenset(_CLASSES))
    for family, start, classes in _FAMILY:
        if issubclass(dtype, classes):
            return ColumnType(family, accepts=_is_a(family), families=frozenset({family}), start=start)
    raise InvalidType(
        f"dtype {dtype.__name__} is not known: a column's type is bool, int, float, str, bytes, datetime, list, dict, "
        f"numpy.ndarray, Image, object, or a list of several"
    )


def _is_a(family: str) -> Callable[[Any], bool]:
    classes = _CLASSES[family]
    if family == "number":
        return lambda value: isinstance(value, classes) and not isinstance(value, bool)
    return lambda value: isinstance(value, classes)


def _class_ids(classes: Classes) -> ColumnType:
    ids = {item.id for item in classes}
    found = ClassSet(sorted(classes, key=lambda item: item.id))
    name = f"ids of classes ({', '.join(map(str, sorted(ids)))})" if len(ids) < 20 else f"ids of {len(ids)} classes"
    is_number = _is_a("number")
    return ColumnType(
        name,
        accepts=lambda value: is_number(value) and value in ids,
        families=frozenset({"number"}),
        start="int",
        classes=found,
    )


def _list_of(dtype: Sequence[Any]) -> ColumnType:
    is_list = _is_a("list")
    if not dtype or dtype[0] is None:
        return ColumnType("list", accepts=is_list, families=frozenset({"list"}))
    item = parse_dtype(dtype[0], False)
    families = frozenset({"list"} | ({"list of others"} if item.mixed else set()))
    return ColumnType(
        f"list of {item.name}",
        accepts=lambda value: is_list(value) and all(item.problem(one, one is None) is None for one in value),
        families=families,
    )


def _dict_of(items: Mapping[Any, ColumnType]) -> ColumnType:
    def accepts(value: Any) -> bool:
        return (
            isinstance(value, Mapping)
            and value.keys() <= items.keys()
            and all(item.problem(value.get(key), value.get(key) is None) is None for key, item in items.items())
        )

    described = ", ".join(f"{key}: {item.name}" for key, item in items.items())
    return ColumnType(f"dict of {described}", accepts=accepts, families=frozenset({"dict"}))


def _one_of(options: Sequence[ColumnType]) -> ColumnType:
    starts = {option.start for option in options}
    return ColumnType(
        " or ".join(sorted(option.name for option in options)),
        accepts=lambda value: any(option.problem(value, False) is None for option in options),
        families=frozenset().union(*(option.families for option in options)),
        start=starts.pop() if len(starts) == 1 else "null",
    )


def _constant(constant: Any) -> ColumnType:
    for family, start, classes in _FAMILY:
        if isinstance(constant, classes) and family in ("boolean", "number", "string", "bytes", "timestamp"):
            return ColumnType(
                repr(constant),
                accepts=lambda value: type(value) is type(constant) and value == constant,
                families=frozenset({family}),
                start=start,
            )
    raise InvalidType(f"dtype {constant!r:.60} is neither a type nor a plain value that every cell should equal")


def parse_names(columns: Any) -> list[str]:
    """Return the names of columns; integers, which pandas gives columns without a name, become strings."""
    if isinstance(columns, str) or not isinstance(columns, Sequence):
        raise InvalidType(f"columns must be a list of strings; got {columns!r:.60}")
    names = [str(name) if isinstance(name, int) and not isinstance(name, bool) else name for name in columns]
    for name in names:
        if not isinstance(name, str):
            raise InvalidType(f"a column's name must be a string; got {name!r:.60}")
        if not name:
            raise InvalidValue("a column's name must not be empty")
        check_text(name, "a column's name")
        if names.count(name) > 1:
            raise InvalidValue(f"column {name!r} occurs twice; each name must be its own")
    return names


def key_type(what: str) -> ColumnType:
    """Return the type of a column that tells rows apart."""
    found = parse_dtype([str, int], False)
    return replace(found, name=f"{what}, a string or an integer", families=frozenset(), accepts=_is_key)


def _is_key(value: Any) -> bool:
    return isinstance(value, str | int | np.integer) and not isinstance(value, bool)
