"""Names and modules that are imported when they are first asked for, so that a program pays for what it uses."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

__all__ = ["Absent", "LazyModule", "begin_without_pandas", "public_name"]


def public_name(package: str, places: Mapping[str, str], name: str) -> Any:
    """Return a public name of a package from the module that defines it, for the package's ``__getattr__``.

    It is kept in the package's namespace, so that Python asks for it only once.

    Parameters
    ----------
    package : str
        The package's ``__name__``.
    places : mapping of str to str
        The module of each public name: ``module``, or ``module:other`` where it bears another name there. A
        name whose module is the package's own of that name is the module itself.
    name : str
        The name that is asked for.

    Raises
    ------
    AttributeError
        The package has no such name.
    """
    if name not in places:
        raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=sys.modules[package])
    place, _, other = places[name].partition(":")
    module = import_module(place)
    value = module if place == f"{package}.{name}" else getattr(module, other or name)
    vars(sys.modules[package])[name] = value
    return value


class Absent:
    """What annotations name of a package that is not installed."""

    def __class_getitem__(cls, item: object) -> type[Absent]:
        return cls


class LazyModule(ModuleType):
    """Stands for a module in annotations, and imports it when something of it is asked for.

    A type checker is told of the real module (``if TYPE_CHECKING: import pandas as pd``), and
    :func:`typing.get_type_hints` still finds what the annotations name. Code that runs often imports the module
    itself, inside the function.

    Parameters
    ----------
    name : str
        The module.
    optional : bool, optional
        Whether what is in it is :class:`Absent` where it is not installed.

    Examples
    --------
    >>> decimal = LazyModule("decimal")
    >>> decimal.Decimal("0.5")
    Decimal('0.5')
    """

    def __init__(self, name: str, *, optional: bool = False) -> None:
        super().__init__(name)
        self._optional = optional

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked by tools that look at any object
            raise AttributeError(name)
        try:
            module = import_module(self.__name__)
        except ImportError:
            if self._optional:
                return Absent
            raise
        return getattr(module, name)


class _NoPandas:
    """Among those who find modules: whoever asks for pandas learns that there is none."""

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        """Raise ModuleNotFoundError for pandas, and leave all others to the next."""
        if name == "pandas":
            raise ModuleNotFoundError(name=name)


def begin_without_pandas() -> None:
    """Have Arrow not load pandas at its first conversion: 50 MB of a process in which nobody has a DataFrame."""
    arrow = import_module("pyarrow")
    sys.meta_path.insert(0, _NoPandas)
    try:
        arrow.array([0])  # it looks once
    finally:
        sys.meta_path.remove(_NoPandas)
