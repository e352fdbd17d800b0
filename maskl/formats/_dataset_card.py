"""The card of a Hugging Face dataset: a header that its tools read, and what people need to know."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from maskl.interchange.selection import Selection
from maskl_storage.format.metadata import class_name

__all__ = ["card"]

#: what the Hub calls sizes of datasets
SIZES: Final = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)


def card(selection: Selection, features: Mapping[str, Any], splits: Mapping[str, str]) -> str:
    """Return the text of ``README.md``; in its header every value is JSON, which YAML includes.

    Parameters
    ----------
    selection : Selection
        What is exported.
    features : mapping
        The columns by name.
    splits : mapping of str to str
        The pattern of the files of each split.
    """
    name = selection.table or "several tables"
    size = next((text for most, text in SIZES if len(selection) < most), "10M<n<100M")
    files = [{"split": split, "path": path} for split, path in splits.items()]
    header = {
        "pretty_name": name,
        "task_categories": ["image-segmentation"] if _masks(selection) else [],
        "tags": ["maskl"],
        "size_categories": [size],
        "configs": [{"config_name": "default", "data_files": files}],
    }
    lines = [
        "---",
        *(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in header.items() if value),
        "---",
    ]
    lines += ["", f"# {name}", "", f"{len(selection):,} rows, exported by maskl. Columns: {_listed(features)}.", ""]
    for image, key in _masks(selection):
        lines += _classes(selection, image, key)
    return "\n".join(lines).rstrip() + "\n"


def _masks(selection: Selection) -> list[tuple[str, str]]:
    images = [column.name for column in selection.columns if column.kind == "image"]
    return [(image, key) for image in images for key in selection.mask_keys(image)]


def _classes(selection: Selection, image: str, key: str) -> Iterator[str]:
    """Yield the lines of a table of a mask's ids, which are its PNG's grey values."""
    yield f"## Mask `{_cell(key)}` of `{_cell(image)}`"
    yield ""
    items = selection.classes(image, key)
    segments = _segments(selection, image, key)
    if segments is not None:
        yield f"Its pixel values are ids of segments, which `{_cell(segments)}` lists by row; others are classes."
        yield ""
    if items:
        yield f"| {'pixel value' if segments is None else 'category'} | class | ignored |"
        yield "|---|---|---|"
        for item in items:
            yield f"| {item.id} | {_cell(class_name(item, item.id))} | {'yes' if item.ignore else ''} |"
    else:
        yield "Its pixel values have no names."
    yield ""


def _segments(selection: Selection, image: str, key: str) -> str | None:
    """Return the column of the segments of a mask; None where its ids are classes."""
    for name, column in selection.union.columns.items():
        if column.kind == "segments" and (column.name, column.key) == (image, key):
            return name
    return None


def _listed(features: Mapping[str, Any]) -> str:
    return ", ".join(f"`{_cell(name)}`" for name in features)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
