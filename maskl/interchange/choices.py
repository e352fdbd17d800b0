"""What callers may choose by name, as a type checker sees it."""

from __future__ import annotations

from typing import Literal

__all__ = ["ExportFormat", "ImageFiles", "ImportFormat", "MaskForm"]

#: the formats that come with maskl, of ``store.export``
ExportFormat = Literal[
    "parquet", "huggingface", "arrow", "coco-panoptic", "coco-rle", "coco-results", "png", "cityscapes"
]
#: the formats that come with maskl, of ``maskl.import_dataset``
ImportFormat = Literal[
    "wandb", "huggingface", "parquet", "arrow", "coco-panoptic", "coco-rle", "png", "cityscapes", "folders"
]
#: whether images are written as they are stored, or as other tools open them, where a format leaves the choice
ImageFiles = Literal["stored", "portable"]
#: how masks are written where a format leaves the choice
MaskForm = Literal["maskl", "png"]
