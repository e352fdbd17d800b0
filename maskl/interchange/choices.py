"""What callers may choose by name, as a type checker sees it."""

from __future__ import annotations

from typing import Literal

__all__ = ["ExportFormat", "ImportFormat", "MaskForm"]

#: the formats that come with maskl, of ``store.export``
ExportFormat = Literal["parquet", "huggingface", "arrow", "coco-panoptic", "coco-rle", "png", "cityscapes"]
#: the formats that come with maskl, of ``maskl.import_dataset``
ImportFormat = Literal[
    "wandb", "huggingface", "parquet", "arrow", "coco-panoptic", "coco-rle", "png", "cityscapes", "folders"
]
#: how masks are written where a format leaves the choice
MaskForm = Literal["maskl", "png"]
