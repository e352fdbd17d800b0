"""Values that nobody will store: made while the active run is disabled, they are parsed only if someone looks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from maskl.annotations.sink import sink

__all__ = ["Deferred"]

Parsed = TypeVar("Parsed")


class Deferred(Generic[Parsed]):
    """The base of values whose arguments are parsed at once, unless what is logged goes nowhere.

    Logging to a disabled run then costs no more than the calls. The arguments are parsed when something is
    asked of the value; what is wrong with them is raised then, which a disabled run never does.
    """

    #: what the arguments come to, or how to parse them and the arguments
    _held: Parsed | tuple[Any, ...]

    def _hold(self, parse: Callable[..., Parsed], *arguments: Any) -> None:
        """Take the arguments of the constructor."""
        self._held = (parse, *arguments) if sink.discards else parse(*arguments)

    @property
    def _parsed(self) -> Parsed:
        """What the arguments come to."""
        held = self._held
        if isinstance(held, tuple):
            parse, *arguments = held
            held = self._held = parse(*arguments)
        return held
