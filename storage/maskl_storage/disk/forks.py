"""Forks: what a forked child of this process begins anew, whatever another thread was doing meanwhile."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Protocol

__all__ = ["ForkLock", "in_forked_child", "renewed"]


class Renewed(Protocol):
    """What begins anew in a forked child."""

    def renew(self) -> None:
        """Forget what the parent held."""


#: in the order of their registration: what depends on another module's state comes after it, as its import does
_hooks: list[Callable[[], None]] = []
_renewed: weakref.WeakSet[Renewed] = weakref.WeakSet()


def in_forked_child(hook: Callable[[], None]) -> Callable[[], None]:
    """Call a function in every forked child, before anything else runs there; return it, as a decorator does."""
    _hooks.append(hook)
    return hook


def renewed(thing: Renewed) -> None:
    """Call the ``renew()`` of an object in every forked child, for as long as the object lives."""
    _renewed.add(thing)


class ForkLock:
    """A lock that is free in a forked process, whichever thread of its parent held it: ``with lock.held: ...``.

    It is no context manager itself: one that is written in Python can be interrupted when it has the lock and before
    the block begins that would give it back, and the next that asks for it waits for ever.
    """

    def __init__(self) -> None:
        self.renew()
        renewed(self)

    def renew(self) -> None:
        """Forget who holds the lock."""
        self.held = threading.Lock()


def _after_fork() -> None:
    for thing in list(_renewed):
        thing.renew()
    for hook in _hooks:
        hook()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_after_fork)
