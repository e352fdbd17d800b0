"""Numbers that a call takes as arguments."""

from __future__ import annotations

import math
from typing import Any

from maskl.adapters.objects import as_real
from maskl_storage.errors import InvalidValue

__all__ = ["number_within"]


def number_within(value: Any, what: str, low: float, high: float = math.inf) -> float:
    """Return a number from ``low`` to ``high``, finite.

    Raises
    ------
    InvalidType
        It is none, or True or False.
    InvalidValue
        It is outside, or not finite.

    Examples
    --------
    >>> number_within(95, "percentile", 0, 100)
    95.0
    """
    number = as_real(value, what)
    if not low <= number <= high or math.isinf(number):
        wanted = f"within {low} to {high}" if math.isfinite(high) else f"at least {low} and finite"
        raise InvalidValue(f"{what} must be {wanted}; got {value!r:.60}")
    return number
