"""What users of W&B call on its module that only its server could heed, and what it prints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from maskl.runs._server_calls import AlertLevel, tell_once
from maskl.runs._terminal import say
from maskl.runs.active import active_run, finish, settings_of_active

__all__ = [
    "AlertLevel",
    "alert",
    "ensure_configured",
    "join",
    "link_model",
    "login",
    "mark_preempting",
    "pin_config_keys",
    "require",
    "termerror",
    "termlog",
    "termsetup",
    "termwarn",
    "unwatch",
    "watch",
]

#: what was printed and is not to be repeated
_printed: Final[set[str]] = set()


def alert(*args: Any, **kwargs: Any) -> None:
    """Print an alert; see :meth:`Run.alert`."""
    active_run("alert()").alert(*args, **kwargs)


def link_model(*args: Any, **kwargs: Any) -> Any:
    """Do nothing but warn; see :meth:`Run.link_model`."""
    return active_run("link_model()").link_model(*args, **kwargs)


def mark_preempting() -> None:
    """Do nothing but warn; see :meth:`Run.mark_preempting`."""
    active_run("mark_preempting()").mark_preempting()


def pin_config_keys(keys: Any = ()) -> None:
    """Do nothing but warn; see :meth:`Run.pin_config_keys`."""
    active_run("pin_config_keys()").pin_config_keys(keys)


def watch(*args: Any, **kwargs: Any) -> None:
    """Do nothing but warn; see :meth:`Run.watch`."""
    active_run("watch()").watch(*args, **kwargs)


def unwatch(*args: Any, **kwargs: Any) -> None:
    """Do nothing but warn; see :meth:`Run.unwatch`."""
    active_run("unwatch()").unwatch(*args, **kwargs)


def login(*args: Any, **kwargs: Any) -> bool:
    """Return True after a warning: there is nothing to log in to."""
    tell_once("login", "nothing to log in to, nothing is uploaded", settings_of_active().strict)
    return True


def require(requirement: str | Iterable[str] | None = None, experiment: str | Iterable[str] | None = None) -> None:
    """Do nothing but warn: no feature of W&B's has to be switched on."""
    asked = requirement or experiment
    if asked:
        tell_once("require", "nothing is switched on", settings_of_active().strict)


def ensure_configured() -> None:
    """Do nothing: a process needs no preparation."""


def join(exit_code: int | None = None) -> None:
    """End the active run, if there is one; an older name of :func:`finish`."""
    finish(exit_code)


def termsetup(settings: Any, logger: Any) -> None:
    """Do nothing but warn: ``MASKL_SILENT`` says whether anything is printed."""
    tell_once("termsetup", "MASKL_SILENT says whether lines are printed", settings_of_active().strict)


def termlog(string: str = "", newline: bool = True, repeat: bool = True, prefix: bool = True) -> None:
    """Print a line to stderr, unless the run or ``MASKL_SILENT`` is silent.

    Parameters
    ----------
    string : str, optional
        What to print; of several lines each has its prefix.
    newline : bool, optional
        Whether the line ends.
    repeat : bool, optional
        Whether to print what was printed before with False.
    prefix : bool, optional
        Whether ``maskl:`` stands before it.

    Examples
    --------
    >>> termlog("epoch 3 of 10")
    """
    _print(string, newline, repeat, prefix)


def termwarn(string: str, newline: bool = True, repeat: bool = True, prefix: bool = True) -> None:
    """Print a line that begins with ``WARNING`` to stderr; see :func:`termlog`."""
    _print(f"WARNING {string}", newline, repeat, prefix)


def termerror(string: str, newline: bool = True, repeat: bool = True, prefix: bool = True) -> None:
    """Print a line that begins with ``ERROR`` to stderr; see :func:`termlog`."""
    _print(f"ERROR {string}", newline, repeat, prefix)


def _print(text: Any, newline: bool, repeat: bool, prefix: bool) -> None:
    text = str(text)
    if settings_of_active().silent or (not repeat and text in _printed):
        return
    if not repeat:
        _printed.add(text)
    say(*text.split("\n"), prefix=prefix, newline=newline)
