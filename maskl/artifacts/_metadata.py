"""What is said of an artifact beside its contents: a dict, as JSON has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from maskl.adapters.values import as_json
from maskl_storage.errors import InvalidType, InvalidValue
from maskl_storage.format.document import dump_json

__all__ = ["parse_metadata"]


def parse_metadata(metadata: Any) -> dict[str, Any]:
    """Return metadata as JSON has it."""
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):
        raise InvalidType(f"metadata must be a dict; got {metadata!r:.60}")
    try:
        found: dict[str, Any] = as_json(metadata, "metadata", lambda value, _what: str(value))
        dump_json(found)
    except InvalidValue as error:
        raise InvalidType(f"metadata must be what JSON can hold: {error}") from error
    return found
