"""What a writer's file says of its run, as SPEC.md has it. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from maskl_storage.format.document import check_version, raise_problems, read_object

__all__ = ["KEYS", "REQUIRED", "STATES", "field_problems", "parse_description"]

STATES: Final = ("running", "finished", "failed", "killed")
#: ISO 8601 as every reader of a store knows it, SQL too
TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})?"
)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_time(value: Any) -> bool:
    try:
        return (
            isinstance(value, str)
            and TIME.fullmatch(value) is not None
            and datetime.fromisoformat(value).astimezone(UTC) is not None
        )
    except (ValueError, OverflowError):  # no such day, or none in UTC
        return False


def _is_time_or_none(value: Any) -> bool:
    return value is None or _is_time(value)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


#: what a writer's file must hold
REQUIRED: Final[Mapping[str, Callable[[Any], bool]]] = {
    "run_id": _is_text,
    "name": _is_text,
    "state": lambda value: value in STATES,
    "config": _is_object,
    "summary": _is_object,
    "tags": lambda value: isinstance(value, list) and all(map(_is_text, value)),
    "started": _is_time,
    "updated": _is_time,
}
#: and what it may
KEYS: Final[Mapping[str, Callable[[Any], bool]]] = {
    **REQUIRED,
    "version": _is_text,
    "project": _is_text_or_none,
    "group": _is_text_or_none,
    "job_type": _is_text_or_none,
    "notes": _is_text_or_none,
    "finished": _is_time_or_none,
    "blake3": _is_text,
}


def field_problems(body: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the values that a description has."""
    return [
        f"{key}: it cannot be {body[key]!r:.60}" for key, fits in KEYS.items() if key in body and not fits(body[key])
    ]


def parse_description(data: bytes, where: str) -> dict[str, Any]:
    """Parse and check a writer's file; what it leaves out is absent, and keys of newer versions stay.

    Raises
    ------
    CorruptData
        It is none: each problem is named with its place.
    UnsupportedVersion
        It was written by a newer major version of the format.
    """
    body = read_object(data, where)
    check_version(body.get("version"), where)
    raise_problems(field_problems({key: value for key, value in body.items() if value is not None}), where)
    return body
