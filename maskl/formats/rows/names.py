"""What an export calls what it adds to a store's rows, as it is written and as it is read."""

from __future__ import annotations

from typing import Final

__all__ = ["EXPORT_KEY", "MAJOR", "RUN_NAME", "VERSION"]

#: the key of the schema metadata that says how an export differs from a store's rows
EXPORT_KEY: Final = b"maskl_export"
#: the version of what it says; a reader refuses a newer major one
MAJOR: Final = 1
VERSION: Final = f"{MAJOR}.0.0"
#: the column of the names of runs
RUN_NAME: Final = "run_name"
