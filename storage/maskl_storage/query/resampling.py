"""How often a resample counts a row: the numbers that SQL and NumPy share; see ``sql/resampling.sql``."""

from __future__ import annotations

from typing import Final

__all__ = ["POISSON", "PRIME", "poisson_case"]

#: rows and resamples have numbers below it, and their products are below 2 ** 62
PRIME: Final = 2**31 - 1
#: a number below PRIME counts a row as often as there are steps at or below it: PRIME times the shares of Poisson's
#: distribution of mean 1 up to 0, 1, 2 …, rounded
POISSON: Final = (
    790015084,
    1580030168,
    1975037710,
    2106706891,
    2139624186,
    2146207645,
    2147304888,
    2147461637,
    2147481231,
    2147483408,
    2147483625,
    2147483645,
)


def poisson_case(name: str) -> str:
    """Return the words of a CASE in SQL, from a number of this name to a DOUBLE.

    Examples
    --------
    >>> poisson_case("h")[:40]
    'WHEN h < 790015084 THEN 0e0 WHEN h < 158'
    """
    return (
        " ".join(f"WHEN {name} < {step} THEN {times}e0" for times, step in enumerate(POISSON))
        + f" ELSE {len(POISSON)}e0"
    )
