"""JSON documents of a store: the format's version, parsing that reports every problem, and ``maskl.json`` itself.

Standard library only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from maskl_storage.errors import CorruptData, UnsupportedVersion

__all__ = [
    "check_version",
    "dump_json",
    "has_left_out",
    "is_count",
    "is_newer",
    "parse_store",
    "raise_problems",
    "read_object",
]

FORMAT: Final = "maskl"
#: the version that this reader knows
VERSION: Final = "1.2.0"
#: what is written bears the lowest version that has all it uses: this one, unless it uses more
WRITTEN: Final = "1.1.0"
#: has pairs of masks left out of the statistics
PAIRS_LEFT_OUT: Final = "1.2.0"
STORE_FILE: Final = "maskl.json"
STORE_DIR: Final = "maskl-store"
#: what Python writes for numbers that JSON has no word for; strings are matched first, and left alone
NOT_JSON: Final = re.compile(r'"(?:[^"\\]|\\.)*"|-?Infinity|NaN')
NUMBERS: Final = {"NaN": "null", "Infinity": "1e999", "-Infinity": "-1e999"}


def dump_json(value: object) -> str:
    """Return JSON text; infinity is 1e999, which every parser of doubles reads as infinity, and NaN is null."""
    text = json.dumps(value, ensure_ascii=False)
    if "NaN" in text or "Infinity" in text:
        text = NOT_JSON.sub(lambda found: NUMBERS.get(found[0], found[0]), text)
    return text


def parse_store(data: bytes | str, where: str = STORE_FILE) -> str:
    """Check a store's ``maskl.json`` and return the format version that it names."""
    body = read_object(data, where)
    if body.get("format") != FORMAT:
        raise CorruptData(f"{where}: format: {FORMAT!r} is needed; got {body.get('format')!r:.40}")
    return check_version(body.get("version"), where)


def check_version(version: Any, where: str) -> str:
    """Return the version, or raise where this reader is too old for it."""
    if not isinstance(version, str) or not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise CorruptData(f"{where}: version: 'major.minor.patch' is needed; got {version!r:.40}")
    if int(version.split(".")[0]) > int(VERSION.split(".")[0]):
        raise UnsupportedVersion(f"{where}: format version {version}; this maskl reads up to {VERSION}: update maskl")
    return version


def is_newer(version: str) -> bool:
    """Whether a version that was checked is above the one that this reader knows."""
    return _numbers(version) > _numbers(VERSION)


def has_left_out(version: str) -> bool:
    """Whether statistics of a version may lack pairs of masks of an image with more than 8."""
    return _numbers(version) >= _numbers(PAIRS_LEFT_OUT)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


def read_object(data: bytes | str, where: str) -> dict[str, Any]:
    """Parse a JSON object, or raise CorruptData that says where it was."""
    try:
        body = json.loads(data)
    except ValueError as error:
        raise CorruptData(f"{where}: not JSON: {error}") from error
    if not isinstance(body, dict):
        raise CorruptData(f"{where}: an object is needed; got {type(body).__name__}")
    return body


def raise_problems(problems: Sequence[str], where: str) -> None:
    """Raise CorruptData that lists the problems, if there are any."""
    if problems:
        raise CorruptData(f"{where}: " + "; ".join(problems))


def is_count(value: Any) -> bool:
    """Whether a JSON value is a whole number that is not negative."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
