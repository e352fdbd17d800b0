"""Values as JSON for the page: what JSON cannot hold is text, and no text is longer than anybody reads."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final

import numpy as np
from blake3 import blake3

__all__ = ["mark_of", "plain"]

#: integers that a double, which is what JavaScript counts in, holds exactly
EXACT: Final = 1 << 53
#: characters of a text, of those that are shown whole and of those in the grid
LONG: Final = 100_000
SHORT: Final = 500


def plain(value: Any, longest: int = LONG) -> Any:
    """Return a value as JSON holds it, and as the page shows it.

    Examples
    --------
    >>> plain(1), plain(2**60), plain(float("nan")), plain(b"abc"), plain([1, None])
    (1, '1152921504606846976', 'nan', '<3 bytes>', '[1, null]')
    """
    if value is None or isinstance(value, bool | np.bool_):
        return value if value is None else bool(value)
    if isinstance(value, str):
        return _cut(value, longest)
    if isinstance(value, int | np.integer):
        return int(value) if -EXACT < int(value) < EXACT else str(int(value))
    if isinstance(value, float | np.floating):
        number = float(value)
        return number if math.isfinite(number) else str(number)
    return _cut(_text(value), longest)


def _text(value: Any) -> str:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, np.ndarray):
        if value.size > 1000:
            return f"<array of {value.dtype}, {' × '.join(map(str, value.shape))}>"
        return _text(value.tolist())
    if isinstance(value, list | tuple | Mapping):
        return json.dumps(value, ensure_ascii=False, default=str, skipkeys=False)
    return str(value)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"


def mark_of(*what: bytes | str) -> str:
    """Return a short hash by which others know what this is: the same for the same.

    Examples
    --------
    >>> len(mark_of("a", b"b")), mark_of("a") == mark_of(b"a"), mark_of("ab", "c") == mark_of("a", "bc")
    (24, True, False)
    """
    hasher = blake3()
    for one in what:
        data = one.encode("utf-8", "surrogatepass") if isinstance(one, str) else one
        hasher.update(len(data).to_bytes(8, "little"))
        hasher.update(data)
    return str(hasher.hexdigest(12))
