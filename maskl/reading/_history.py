"""Values of the history and of summaries as users log them: histograms are :class:`maskl.Histogram`."""

from __future__ import annotations

from typing import Any

from maskl.tables import histogram
from maskl_storage.format.json_values import load_text, revived
from maskl_storage.format.schemas import JSON

__all__ = ["logged_value", "summary_of"]

#: what histograms in JSON text become, since that module is imported
HISTOGRAM = histogram.Histogram


def logged_value(value: float | None, text: str | None, form: str | None) -> Any:
    """Return what a row of the history says was logged."""
    if text is None:
        return value
    if form == JSON:
        return load_text(text)
    return text if value is None else int(text)


def summary_of(summary: dict[str, Any]) -> dict[str, Any]:
    """Return a run's summary with the histograms in it."""
    found: dict[str, Any] = revived(summary)
    return found
