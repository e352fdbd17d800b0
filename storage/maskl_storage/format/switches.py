"""Switches as people write them in environment variables. Standard library only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from maskl_storage.errors import InvalidValue

__all__ = ["NO", "YES", "parse_switch"]

YES: Final = ("1", "true", "yes", "on")
NO: Final = ("0", "false", "no", "off", "")


def parse_switch(what: str, value: Any) -> bool | None:
    """Return a switch from a bool or what people write for one; None stays None.

    Examples
    --------
    >>> parse_switch("MASKL_STRICT", "Yes"), parse_switch("strict", False), parse_switch("strict", None)
    (True, False, None)
    """
    if value is None or isinstance(value, bool):
        return value
    lower: Callable[[], str] = getattr(value, "lower", lambda: "?")
    for words, answer in ((YES, True), (NO, False)):
        if lower() in words:
            return answer
    raise InvalidValue(f"{what} must be true or false (or 1, 0, yes, no, on, off); got {value!r:.60}")
