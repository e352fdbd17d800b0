"""Log images with segmentation masks, keep them in columns, and ask questions about them in SQL."""

from importlib.metadata import version as _version
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from maskl import errors, masks, metrics
from maskl.annotations.boxes import BoundingBoxes2D
from maskl.annotations.classes import Classes
from maskl.annotations.mask import ImageMask
from maskl.errors import MasklError as Error
from maskl.errors import UsageError
from maskl.images.image import Image
from maskl.reading.store import Store, open, sql  # noqa: A004  # maskl.open() is what users type
from maskl.reading.table import StoredTable
from maskl.runs.active import attribute as _attribute
from maskl.runs.active import define_metric, finish, init, log, login, setup, teardown, unwatch, watch
from maskl.runs.config import Config
from maskl.runs.run import Run
from maskl.runs.settings import Settings
from maskl.runs.summary import Metric, Summary
from maskl.tables.joined import JoinedTable
from maskl.tables.table import Table

if _TYPE_CHECKING:
    # what the active run makes of them; see __getattr__
    run: Run | None
    config: Config
    summary: Summary

__version__ = _version("maskl")

__all__ = [
    "BoundingBoxes2D",
    "Classes",
    "Config",
    "Error",
    "Image",
    "ImageMask",
    "JoinedTable",
    "Metric",
    "Run",
    "Settings",
    "Store",
    "StoredTable",
    "Summary",
    "Table",
    "UsageError",
    "config",
    "define_metric",
    "errors",
    "finish",
    "init",
    "log",
    "login",
    "masks",
    "metrics",
    "open",
    "run",
    "setup",
    "sql",
    "summary",
    "teardown",
    "unwatch",
    "watch",
]


def __getattr__(name: str) -> _Any:
    """Return the active run, its config or its summary, or say what to use instead of a name of W&B's."""
    return _attribute(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
