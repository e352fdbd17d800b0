"""The format of maskl stores, and its reference implementation."""

from maskl_storage.catalog.layout import Layout, locate
from maskl_storage.catalog.runs import RunInfo
from maskl_storage.cells.cells import BoxesCell, ImageCell, MaskCell, Rows, count_mask, encode_mask, joint_cells
from maskl_storage.errors import MasklError
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
    "joint_cells",
    "joint_pixels",
    "locate",
    "mask_info",
    "register",
    "unregister",
]
