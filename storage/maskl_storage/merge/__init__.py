"""Parts rewritten as fewer and larger ones, with every answer as before."""

from typing import Final

__all__ = ["GRACE"]

#: seconds for which what was replaced stays, for those that read it
GRACE: Final = 600.0
