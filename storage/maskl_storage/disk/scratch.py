"""Folders for a while, outside of stores: each is gone when its owner is."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import weakref
from pathlib import Path

__all__ = ["scratch", "unmade"]


def scratch(owner: object) -> Path:
    """Make a folder of the system's for temporary files, and return it.

    It is removed with what is in it when its owner is collected, or this process ends; a forked child leaves it.
    """
    folder = tempfile.mkdtemp(prefix="maskl-")
    weakref.finalize(owner, _remove, folder, os.getpid())
    return Path(folder)


def unmade() -> str:
    """Return the path of a folder that nobody has made or knows of, for what makes and removes one of its own."""
    return os.path.join(tempfile.gettempdir(), f"maskl-{secrets.token_hex(16)}")


def _remove(folder: str, process: int) -> None:
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)
