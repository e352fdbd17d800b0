"""Log images with segmentation masks, keep them in columns, and ask questions about them in SQL."""

from importlib.metadata import version as _version

from maskl import errors
from maskl.boxes import BoundingBoxes2D
from maskl.classes import Classes
from maskl.image import Image
from maskl.mask import ImageMask
from maskl.run import Run, finish, init, log
from maskl.store import Store, open, sql  # noqa: A004  # maskl.open() is what users type
from maskl.table import Table

__version__ = _version("maskl")

__all__ = [
    "BoundingBoxes2D",
    "Classes",
    "Image",
    "ImageMask",
    "Run",
    "Store",
    "Table",
    "errors",
    "finish",
    "init",
    "log",
    "open",
    "sql",
]
