"""Values of the history and of summaries as users log them: histograms and kept media are of their classes."""

from __future__ import annotations

from typing import Any

from maskl.media import kinds
from maskl.tables import histogram
from maskl_storage.disk.local import Folder
from maskl_storage.format.json_values import load_text, revived
from maskl_storage.format.schemas import JSON

__all__ = ["logged_value", "summary_of"]

#: what objects in JSON text become, since these modules are imported
CLASSES = (histogram.Histogram, *kinds.KINDS)


def logged_value(files: Folder, value: float | None, text: str | None, form: str | None) -> Any:
    """Return what a row of the history of a store says was logged."""
    if text is None:
        return value
    if form == JSON:
        return load_text(text, store=files)
    return text if value is None else int(text)


def summary_of(files: Folder, summary: dict[str, Any]) -> dict[str, Any]:
    """Return the summary of a run of a store with the histograms and kept media in it."""
    found: dict[str, Any] = revived(summary, files)
    return found
