"""What is printed while a program runs: lines on stderr, of which nothing steers a terminal."""

from __future__ import annotations

import sys
from typing import Final

from maskl_storage.format.visible import visible

__all__ = ["PREFIX", "say"]

#: what each line begins with
PREFIX: Final = "maskl: "


def say(*lines: str, prefix: bool = True, newline: bool = True) -> None:
    """Print lines to stderr, each behind ``maskl:``."""
    if sys.stderr is None:  # a program without a console has none
        return
    shown = [f"{PREFIX if prefix else ''}{visible(line)}" for line in lines]
    print("\n".join(shown), file=sys.stderr, end="\n" if newline else "", flush=not newline)
