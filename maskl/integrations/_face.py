"""maskl's public face, for what stands above it without importing it."""

from __future__ import annotations

import sys
from types import ModuleType

__all__ = ["face"]


def face() -> ModuleType:
    """Return maskl's package, which is loaded where anything below it is; rooms do not import it."""
    return sys.modules[__name__.partition(".")[0]]
