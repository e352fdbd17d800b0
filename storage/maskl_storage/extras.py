"""Optional packages: imported where they are needed, or an error that names the extra that brings them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from maskl_storage.errors import MissingExtra

__all__ = ["optional"]


def optional(module: str, needed_by: str, *, instead: str = "", extra: str | None = None) -> Any:
    """Import a module of an optional package.

    Parameters
    ----------
    module : str
        The module's name, such as ``torch.utils.data``.
    needed_by : str
        What needs it, which begins the message: ``to_torch()``.
    instead : str, optional
        What else can be done, which ends the message.
    extra : str, optional
        The extra that brings it, by default named as its package.

    Raises
    ------
    MissingExtra
        The package is not installed, or cannot be imported.

    Examples
    --------
    >>> optional("yaml", "a config in YAML").safe_load("lr: 0.1")
    {'lr': 0.1}
    """
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtra(
            f"{needed_by} needs {package}: pip install 'maskl[{extra or package}]'{instead and f', or {instead}'}"
        ) from error
