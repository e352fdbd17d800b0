"""The keys of dicts that masks, boxes and classes are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from maskl_storage.errors import ConversionWarning, warn

__all__ = ["warn_of_unknown"]


def warn_of_unknown(what: str, given: Mapping[Any, Any], known: Sequence[str]) -> None:
    """Warn of keys that mean nothing and are not kept, as W&B ignores them: one may be misspelled."""
    unknown = [key for key in given if key not in known]
    if unknown:
        named = ", ".join(f"{key!r:.60}" for key in unknown[:5])
        keys = f"key {named}, which is" if len(unknown) == 1 else f"keys {named}, which are"
        warn(f"{what} the {keys} not kept: known are {', '.join(known)}", ConversionWarning)
