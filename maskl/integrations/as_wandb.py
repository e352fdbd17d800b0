"""``import wandb`` brings maskl: in this process, and in those that it starts."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Final

from maskl.integrations._finder import Finder
from maskl.integrations._stand_in import NAME, StandIn
from maskl.runs.settings import ENVIRONMENT
from maskl_storage.errors import MasklWarning, StateError, warn

__all__ = ["in_child", "install_as_wandb", "uninstall_as_wandb"]

#: says to processes that are started by this one that ``wandb`` is maskl there too; its value is this process's id
MARK: Final = "MASKL_AS_WANDB"
#: where they look first for ``sitecustomize``, which Python imports when it starts
CHILDREN: Final = str(Path(__file__).with_name("children"))
PATH: Final = "PYTHONPATH"
#: modules whose import was forbidden, by None in their place, before it was maskl's
_forbidden: Final[set[str]] = set()


def install_as_wandb() -> None:
    """Have ``import wandb`` bring maskl, here and in the Python processes that are started from here.

    Call it before a framework that logs to W&B is imported. ``python -m maskl.as_wandb SCRIPT`` does so for a
    whole program. Nothing of an installed W&B is imported, and no connection is opened. Where it is not installed,
    ``importlib.metadata.version("wandb")`` is that of the W&B whose names maskl has.

    Raises
    ------
    StateError
        Another ``wandb`` is imported already.

    Warns
    -----
    MasklWarning
        A variable of W&B's is set, and maskl's of that meaning is not; or this Python looks at no variables, so
        that processes which are started from here will not know of it.

    Notes
    -----
    The environment variables ``MASKL_AS_WANDB`` and ``PYTHONPATH`` tell the processes that are started later,
    such as those of :mod:`multiprocessing`. One that gets another ``PYTHONPATH`` does not know of it.

    Examples
    --------
    >>> install_as_wandb()
    >>> import wandb
    >>> wandb.Image.__module__
    'maskl.images.image'
    >>> uninstall_as_wandb()
    """
    _refuse_another()
    in_child()
    _tell_children()
    for name in [name for name in sys.modules if name.partition(".")[0] == NAME and sys.modules[name] is None]:
        del sys.modules[name]
        _forbidden.add(name)
    import_module(NAME)
    unread = [variable for variable in ENVIRONMENT.values() if _is_unread(variable)]
    if unread:
        set_ones = ", ".join(_of_wandb(variable) for variable in unread)
        warn(f"{set_ones} in the environment: maskl does not read it, and has {', '.join(unread)}", MasklWarning)
    if sys.flags.ignore_environment or sys.flags.no_site:
        warn("Python was started with -E, -I or -S: in processes that start from here wandb is not maskl", MasklWarning)


def uninstall_as_wandb() -> None:
    """Undo :func:`install_as_wandb`: the next ``import wandb`` brings what is installed, if anything is.

    Who imported ``wandb`` meanwhile keeps maskl.

    Examples
    --------
    >>> import importlib.util, sys
    >>> install_as_wandb()
    >>> uninstall_as_wandb()
    >>> "wandb" in sys.modules
    False
    """
    os.environ.pop(MARK, None)
    kept = [folder for folder in os.environ.get(PATH, "").split(os.pathsep) if folder != CHILDREN]
    if kept not in ([], [""]):
        os.environ[PATH] = os.pathsep.join(kept)
    else:
        os.environ.pop(PATH, None)
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, Finder)]
    for name in [name for name, module in sys.modules.items() if isinstance(module, StandIn)]:
        del sys.modules[name]
    while _forbidden:
        sys.modules.setdefault(_forbidden.pop(), None)  # type: ignore[arg-type]  # what forbids an import


def in_child() -> Finder:
    """Have ``wandb`` found here, if it is not yet, and return what finds it; the environment tells others already."""
    found = [finder for finder in sys.meta_path if isinstance(finder, Finder)]
    if not found:
        found = [Finder()]
        sys.meta_path.insert(0, found[0])
    return found[0]


def _refuse_another() -> None:
    for name, module in sys.modules.items():
        if name.partition(".")[0] == NAME and module is not None and not isinstance(module, StandIn):
            where = getattr(module, "__file__", None) or "without a file"
            raise StateError(
                f"another {name} ({where}) is imported already: call maskl.install_as_wandb() before anything imports "
                f"it, at the top of the program, or start the program with python -m maskl.as_wandb"
            )


def _tell_children() -> None:
    os.environ[MARK] = str(os.getpid())
    before = os.environ.get(PATH, "")
    if CHILDREN not in before.split(os.pathsep):
        os.environ[PATH] = os.pathsep.join([CHILDREN, before]) if before else CHILDREN


def _is_unread(variable: str) -> bool:
    return bool(os.environ.get(_of_wandb(variable))) and not os.environ.get(variable)


def _of_wandb(variable: str) -> str:
    """Return W&B's name of one of maskl's variables."""
    return f"WANDB_{variable.removeprefix('MASKL_')}"
