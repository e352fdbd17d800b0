"""Ratios of true positives, false positives and false negatives, and their means; ``docs/metrics.md`` has sources."""

from __future__ import annotations

from collections.abc import Iterable

from maskl.metrics.registry import ClassCounts, Scores, register

__all__ = [
    "dice",
    "frequency_weighted_iou",
    "iou",
    "mean_accuracy",
    "mean_dice",
    "mean_iou",
    "pixel_accuracy",
    "precision",
    "recall",
]


@register(per="class")
def iou(counts: ClassCounts) -> Scores:
    """Return TP / (TP + FP + FN) of each class."""
    return counts.ratio(counts.tp, counts.tp + counts.fp + counts.fn)


@register(per="class")
def dice(counts: ClassCounts) -> Scores:
    """Return 2 TP / (2 TP + FP + FN) of each class."""
    return counts.ratio(2 * counts.tp, 2 * counts.tp + counts.fp + counts.fn)


@register(per="class")
def recall(counts: ClassCounts) -> Scores:
    """Return TP / (TP + FN) of each class."""
    return counts.ratio(counts.tp, counts.tp + counts.fn)


@register(per="class")
def precision(counts: ClassCounts) -> Scores:
    """Return TP / (TP + FP) of each class."""
    return counts.ratio(counts.tp, counts.tp + counts.fp)


@register(per="all")
def mean_iou(counts: ClassCounts, exclude: Iterable[str] = ()) -> float | None:
    """Return the mean IoU of the classes, without those in ``exclude``."""
    return counts.mean(iou(counts), exclude)


@register(per="all")
def mean_dice(counts: ClassCounts, exclude: Iterable[str] = ()) -> float | None:
    """Return the mean Dice coefficient of the classes, without those in ``exclude``."""
    return counts.mean(dice(counts), exclude)


@register(per="all")
def mean_accuracy(counts: ClassCounts, exclude: Iterable[str] = ()) -> float | None:
    """Return the mean recall of the classes, without those in ``exclude``."""
    return counts.mean(recall(counts), exclude)


@register(per="all")
def frequency_weighted_iou(counts: ClassCounts, exclude: Iterable[str] = ()) -> float | None:
    """Return the mean IoU of the classes, without those in ``exclude``, weighted with their pixels."""
    return counts.mean(iou(counts), exclude, counts.tp + counts.fn)


@register(per="all")
def pixel_accuracy(counts: ClassCounts) -> float | None:
    """Return the share of the pixels that count whose prediction is right."""
    total = int((counts.tp + counts.fn).sum())
    return int(counts.tp.sum()) / total if total else None
