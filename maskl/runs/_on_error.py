"""Logging that goes on whatever happens: what could not be stored is warned of and counted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from maskl.runs.summary import Summary
from maskl_storage.errors import EncodingError, MasklError, NotStoredWarning, StateError, warn

__all__ = ["going_on"]

#: what is counted under ``not_stored`` in the summary
COUNTS = ("calls", "rows", "values")


@contextlib.contextmanager
def going_on(summary: Summary, data: Mapping[str, Any]) -> Iterator[None]:
    """Turn what goes wrong inside into a warning, and count it in the run's summary.

    Parameters
    ----------
    summary : Summary
        The run's summary; its item ``not_stored`` counts calls, rows and values.
    data : mapping
        What is logged inside; empty where the run is ended.
    """
    try:
        yield
    except (MasklError, OSError) as error:
        before = summary.get("not_stored", {})
        lost = _lost(data, error)
        with contextlib.suppress(StateError):
            summary["not_stored"] = {name: int(before.get(name, 0)) + lost.get(name, 0) for name in COUNTS}
        warn(f"not stored: {', '.join(map(repr, data)) or 'the end of the run'}: {error}", NotStoredWarning)


def _lost(data: Mapping[str, Any], error: Exception) -> dict[str, int]:
    """Return what a failed call of ``log()`` would have stored."""
    if isinstance(error, EncodingError):
        return {"rows": error.rows}
    rows = [len(value) for value in data.values() if hasattr(value, "__len__") and not isinstance(value, str)]
    return {"calls": 1, "rows": sum(rows), "values": len(data) - len(rows)}
