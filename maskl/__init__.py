"""Log images with segmentation masks, keep them in columns, and ask questions about them in SQL."""

from importlib.metadata import version as _version
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from maskl import errors, masks, metrics
from maskl.boxes import BoundingBoxes2D
from maskl.classes import Classes
from maskl.errors import MasklError as Error
from maskl.errors import MasklError as UsageError
from maskl.image import Image
from maskl.joined import JoinedTable
from maskl.mask import ImageMask
from maskl.process import attribute as _attribute
from maskl.process import define_metric, finish, init, log, login, setup, teardown, unwatch, watch
from maskl.runconfig import Config
from maskl.runs import Run
from maskl.runsummary import Metric, Summary
from maskl.settings import Settings
from maskl.store import Store, open, sql  # noqa: A004  # maskl.open() is what users type
from maskl.stored import StoredTable
from maskl.table import Table

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
