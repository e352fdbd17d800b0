"""Times as a store writes them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

__all__ = ["after", "now"]


def now() -> str:
    """Return the current time as the store writes it."""
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")


def after(time: datetime) -> str:
    """Return the moment after a time as the store writes it."""
    moment = timedelta(microseconds=1)
    return (min(time, datetime.max.replace(tzinfo=timezone.utc) - moment) + moment).isoformat(timespec="microseconds")
