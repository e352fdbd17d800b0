"""Columns of cells that come one after another, as one column: their types and class sets, where no value changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from maskl_storage.cells.cells import BoxesCell, MaskCell
from maskl_storage.errors import InvalidValue
from maskl_storage.format.metadata import ClassItem, ClassSet, Column

__all__ = ["exact_as_float", "merge_class_sets", "merge_columns"]

#: up to here float64 holds every integer
EXACT: Final = 1 << 53


def exact_as_float(values: Iterable[Any]) -> bool:
    """Whether float64 holds every integer among the values, or in the lists and arrays among them."""
    for value in values:
        if isinstance(value, np.ndarray):
            if value.dtype.kind in "iu" and value.size and max(-int(value.min()), int(value.max())) > EXACT:
                return False
        elif isinstance(value, list | tuple):
            if not exact_as_float(value):
                return False
        elif isinstance(value, int) and abs(value) > EXACT:
            return False
    return True


def merge_columns(a: tuple[Column, ...], b: tuple[Column, ...]) -> tuple[Column, ...] | None:
    """Return columns that hold the rows of both, or None where no such columns exist."""
    if [column.name for column in a] != [column.name for column in b]:
        return None
    merged = []
    for left, right in zip(a, b, strict=True):
        if _role(left) != _role(right):
            return None
        if left == right or right.type == "null":
            merged.append(left)
        elif left.type == "null":
            merged.append(right)
        elif {left.type, right.type} == {"int", "float"}:
            merged.append(replace(left, type="float"))
        else:
            return None
    return tuple(merged)


def _role(column: Column) -> tuple[Any, ...]:
    """Return what of a column is not its type."""
    classes = column.class_sets if column.kind == "value" else ()
    return column.primary_key, column.foreign_key, column.roles, classes


def merge_class_sets(
    masks: Sequence[MaskCell | BoxesCell | None],
) -> tuple[tuple[ClassSet, ...], list[int | None]]:
    """Join the class sets of a column's masks, or boxes, where no mask's classes change by it.

    Returns
    -------
    sets : tuple of ClassSet
        The joined sets.
    numbers : list
        For each mask the index of its set; None where there is no mask.
    """
    unnamed: dict[ClassSet, set[int]] = {}
    for mask in masks:
        if mask is not None:
            unnamed.setdefault(mask.class_set, set()).update(mask.unnamed)
    merged: list[tuple[dict[int, ClassItem], set[int]]] = []
    number: dict[ClassSet, int] = {}
    for class_set, ids in unnamed.items():
        items = {item.id: item for item in class_set}
        for index, (others, other_ids) in enumerate(merged):
            if _agree(items, ids, others, other_ids):
                others.update(items)
                other_ids.update(ids)
                number[class_set] = index
                break
        else:
            number[class_set] = len(merged)
            merged.append((items, set(ids)))
    if len(merged) > np.iinfo(np.uint16).max:
        raise InvalidValue(f"one batch holds {len(merged)} class sets of one mask that contradict each other")
    sets = tuple(ClassSet(items[key] for key in sorted(items)) for items, _ in merged)
    return sets, [None if mask is None else number[mask.class_set] for mask in masks]


def _agree(a: dict[int, ClassItem], unnamed_a: set[int], b: dict[int, ClassItem], unnamed_b: set[int]) -> bool:
    common = a.keys() & b.keys()
    return all(a[key] == b[key] for key in common) and unnamed_a.isdisjoint(b.keys()) and unnamed_b.isdisjoint(a.keys())
