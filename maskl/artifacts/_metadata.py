"""What is said of an artifact beside its contents: a dict, as JSON has it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from maskl.adapters.objects import as_value
from maskl_storage.errors import InvalidType
from maskl_storage.format.document import dump_json

__all__ = ["parse_metadata"]


def parse_metadata(metadata: Any) -> dict[str, Any]:
    """Return metadata as JSON has it."""
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):
        raise InvalidType(f"metadata must be a dict; got {metadata!r:.60}")
    try:
        found = json.loads(json.dumps(dict(metadata), default=_plain))
        dump_json(found)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidType(f"metadata must be what JSON can hold: {error}") from error
    assert isinstance(found, dict)  # noqa: S101  # what a dict becomes
    return found


def _plain(value: Any) -> Any:
    found = as_value(value)
    if hasattr(found, "tolist"):
        return found.tolist()
    if isinstance(found, set | frozenset):
        return sorted(found, key=repr)
    return str(found) if found is value else found
