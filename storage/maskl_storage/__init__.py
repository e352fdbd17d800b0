"""The format of maskl stores, and its reference implementation.

What is here is imported when it is first asked for.
"""

from typing import TYPE_CHECKING
from typing import Any as _Any
from typing import Final as _Final

from maskl_storage import errors
from maskl_storage.errors import MasklError
from maskl_storage.lazy import public_name as _public_name

if TYPE_CHECKING:
    from maskl_storage.catalog.layout import Layout, locate
    from maskl_storage.catalog.runs import RunInfo
    from maskl_storage.cells.cells import BoxesCell, ImageCell, MaskCell, Rows, count_mask, encode_mask, joint_cells
    from maskl_storage.format.boxes import Box
    from maskl_storage.format.metadata import ClassItem, Column
    from maskl_storage.images.writer import ImageBytes
    from maskl_storage.masks.codec import MaskInfo, decode, encode, mask_info
    from maskl_storage.masks.histograms import ClassPixels, JointPixels, class_pixels, joint_pixels
    from maskl_storage.masks.run_lengths import Runs
    from maskl_storage.read.table import Row, StoredImage, StoredTable
    from maskl_storage.store import Store, TableInfo
    from maskl_storage.write.live import register, unregister
    from maskl_storage.write.writer import Writer

#: the module of each public name
_PLACES: _Final = {
    "Box": "maskl_storage.format.boxes",
    "BoxesCell": "maskl_storage.cells.cells",
    "ClassItem": "maskl_storage.format.metadata",
    "ClassPixels": "maskl_storage.masks.histograms",
    "Column": "maskl_storage.format.metadata",
    "ImageBytes": "maskl_storage.images.writer",
    "ImageCell": "maskl_storage.cells.cells",
    "JointPixels": "maskl_storage.masks.histograms",
    "Layout": "maskl_storage.catalog.layout",
    "MaskCell": "maskl_storage.cells.cells",
    "MaskInfo": "maskl_storage.masks.codec",
    "Row": "maskl_storage.read.table",
    "Rows": "maskl_storage.cells.cells",
    "RunInfo": "maskl_storage.catalog.runs",
    "Runs": "maskl_storage.masks.run_lengths",
    "Store": "maskl_storage.store",
    "StoredImage": "maskl_storage.read.table",
    "StoredTable": "maskl_storage.read.table",
    "TableInfo": "maskl_storage.store",
    "Writer": "maskl_storage.write.writer",
    "class_pixels": "maskl_storage.masks.histograms",
    "count_mask": "maskl_storage.cells.cells",
    "decode": "maskl_storage.masks.codec",
    "encode": "maskl_storage.masks.codec",
    "encode_mask": "maskl_storage.cells.cells",
    "joint_cells": "maskl_storage.cells.cells",
    "joint_pixels": "maskl_storage.masks.histograms",
    "locate": "maskl_storage.catalog.layout",
    "mask_info": "maskl_storage.masks.codec",
    "register": "maskl_storage.write.live",
    "unregister": "maskl_storage.write.live",
}

__all__ = [
    "Box",
    "BoxesCell",
    "ClassItem",
    "ClassPixels",
    "Column",
    "ImageBytes",
    "ImageCell",
    "JointPixels",
    "Layout",
    "MaskCell",
    "MaskInfo",
    "MasklError",
    "Row",
    "Rows",
    "RunInfo",
    "Runs",
    "Store",
    "StoredImage",
    "StoredTable",
    "TableInfo",
    "Writer",
    "class_pixels",
    "count_mask",
    "decode",
    "encode",
    "encode_mask",
    "errors",
    "joint_cells",
    "joint_pixels",
    "locate",
    "mask_info",
    "register",
    "unregister",
]


if not TYPE_CHECKING:  # a type checker knows every name, and says so of one that is not there

    def __getattr__(name: str) -> _Any:
        return _public_name(__name__, _PLACES, name)


def __dir__() -> list[str]:
    return list(__all__)


del TYPE_CHECKING  # it is no public name
