"""What an export calls what it adds to a store's rows, as it is written and as it is read."""

from __future__ import annotations

from typing import Final

__all__ = [
    "ARRAYS",
    "BYTES",
    "CLASSES",
    "CONFUSION",
    "EXACT",
    "EXPORT_KEY",
    "FORMAT",
    "INFO",
    "JSON",
    "MAJOR",
    "MASKS",
    "PIXELS",
    "RUN_NAME",
    "TABLE",
    "VERSION",
    "VERSION_KEY",
]

#: the key of the schema metadata that says how an export differs from a store's rows
EXPORT_KEY: Final = b"maskl_export"
#: the version of what it says; a reader refuses a newer major one
MAJOR: Final = 1
VERSION: Final = f"{MAJOR}.0.0"
VERSION_KEY: Final = "version"
#: what else it says: the name of the format, the table (empty where rows are of several), and how masks are written
FORMAT: Final = "format"
TABLE: Final = "table"
MASKS: Final = "masks"
#: and, by the names of columns that no store has, what they belong to: the column of the image whose bytes they hold,
#: or what else is known of it; the column of masks that PNG cannot hold; image and keys of the masks that are counted
BYTES: Final = "bytes"
INFO: Final = "info"
EXACT: Final = "exact"
PIXELS: Final = "pixels"
CONFUSION: Final = "confusion"
CLASSES: Final = "classes"
#: and the column that says which of a column's texts are JSON, or which of its lists are arrays, where some are not
JSON: Final = "json"
ARRAYS: Final = "arrays"
#: the column of the names of runs
RUN_NAME: Final = "run_name"
