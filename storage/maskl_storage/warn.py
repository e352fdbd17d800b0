"""Warnings that point at the user's line."""

from __future__ import annotations

import sys
import warnings

from maskl_storage.errors import MasklWarning

__all__ = ["warn"]

OWN = ("maskl", "maskl_storage")


def warn(message: str, category: type[MasklWarning]) -> None:
    """Warn, pointing at the line outside these packages that led here, however deep the call."""
    level = 1
    frame = sys._getframe()
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in OWN:
        frame = frame.f_back
        level += 1
    warnings.warn(message, category, stacklevel=level)
