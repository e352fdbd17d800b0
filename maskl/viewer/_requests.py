"""What the page asks for, parsed at the door: anything else is refused with what was expected."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from maskl_storage.errors import InvalidType, InvalidValue
from maskl_storage.format.names import check_text

__all__ = ["SetRequest", "parse_body", "parse_count", "parse_query", "parse_set"]

#: runs that may be looked at together, and bars of a histogram
MAX_RUNS: Final = 4096
MAX_BINS: Final = 400
#: rows that a query of the page returns at most
MAX_LIMIT: Final = 10_000
INT64: Final = 1 << 63


@dataclass(frozen=True, slots=True)
class SetRequest:
    """Which rows are wanted, in which order; ``step`` is None for each run's last one, ``every`` for all of them."""

    table: str
    runs: tuple[str, ...]
    image: str | None
    truth: str | None
    prediction: str | None
    step: int | None
    every: bool
    sql: str
    by: str
    descending: bool
    range: tuple[float, float] | None
    bins: int

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {name: getattr(self, name) for name in self.__slots__}


def parse_body(data: bytes) -> dict[str, Any]:
    """Return the object that a request's body is.

    Examples
    --------
    >>> parse_body(b'{"sql": "FROM runs"}')
    {'sql': 'FROM runs'}
    """
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidValue(f"the body must be JSON: {error}"[:300]) from error
    if not isinstance(body, dict):
        raise InvalidType(f"the body must be an object of JSON; got {type(body).__name__}")
    return body


def parse_set(body: Mapping[str, Any]) -> SetRequest:
    """Return the set of rows that a request asks for.

    Examples
    --------
    >>> parse_set({"table": "t", "runs": ["a"], "step": "last"}).by
    '_row'
    """
    runs = body.get("runs", [])
    if not isinstance(runs, list) or not all(isinstance(run, str) for run in runs) or len(runs) > MAX_RUNS:
        raise InvalidValue(f"runs must be a list of at most {MAX_RUNS} ids; got {runs!r:.80}")
    sort = {} if body.get("sort") is None else body["sort"]
    if not isinstance(sort, dict):
        raise InvalidValue(f"sort must be an object of by and descending; got {sort!r:.80}")
    sql = _text(body, "sql") or ""
    by = _text(sort, "by") or ("sql" if sql else "_row")
    if by == "sql" and not sql:
        by = "_row"
    for run in runs:
        check_text(run, "the id of a run")
    return SetRequest(
        table=_text(body, "table") or "",
        runs=tuple(dict.fromkeys(runs)),
        image=_text(body, "image"),
        truth=_text(body, "truth"),
        prediction=_text(body, "prediction"),
        step=parse_step(body.get("step", "last")),
        every=body.get("step") == "all",
        sql=sql,
        by=by,
        descending=sort.get("descending") is True,
        range=_range(body.get("range")),
        bins=parse_count(body.get("bins", 40), "bins", 1, MAX_BINS),
    )


def parse_query(body: Mapping[str, Any]) -> tuple[str, int]:
    """Return the text of a query, and how many rows of it are wanted."""
    sql = _text(body, "sql")
    if not sql:
        raise InvalidValue('a query is {"sql": "SELECT …", "limit": 100}; the text is missing')
    return sql, parse_count(body.get("limit", 1000), "limit", 0, MAX_LIMIT)


def parse_step(step: Any) -> int | None:
    """Return a step; None for each run's last one, of all of them too."""
    if step is None or step in ("last", "all"):
        return None
    return parse_count(step, "step", -INT64, INT64 - 1)


def parse_count(value: Any, what: str, least: int, most: int) -> int:
    """Return a whole number, also from a text.

    Examples
    --------
    >>> parse_count("12", "max", 1, 100)
    12
    """
    if isinstance(value, str) and len(value) <= 20 and value.lstrip("-").isascii() and value.lstrip("-").isdigit():
        value = int(value) if value.count("-") <= 1 else value
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidValue(f"{what} must be a whole number from {least} to {most}; got {value!r:.40}")
    return value


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidValue(f"{name} must be a text; got {value!r:.80}")
    return value if value is None else check_text(value, name)


def _range(value: Any) -> tuple[float, float] | None:
    if value is None:
        return None
    numbers = (
        [n for n in value if isinstance(n, int | float) and not isinstance(n, bool)] if isinstance(value, list) else []
    )
    if len(numbers) != 2:
        raise InvalidValue(f"range must be two numbers; got {value!r:.80}")
    try:
        low, high = map(float, numbers)
    except OverflowError as error:
        raise InvalidValue("range must be two numbers that a double holds") from error
    if math.isnan(low) or math.isnan(high):
        raise InvalidValue("range must be two numbers; got NaN")
    return low, high
