"""JSON documents of a store: the format's version, parsing that reports every problem, and ``maskl.json`` itself.

Standard library only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final, NoReturn

from maskl_storage.errors import CorruptData, InvalidValue, UnsupportedVersion

__all__ = [
    "MAX_DEPTH",
    "MAX_DOCUMENT",
    "check_size",
    "check_version",
    "dump_json",
    "has_left_out",
    "is_count",
    "is_newer",
    "is_shallow",
    "parse_json",
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
#: says which files there are
WITH_FILES: Final = "1.2.0"
#: has scores that were computed after rows were logged
SCORED_LATER: Final = "1.2.0"
#: has columns of rows with roles
COLUMN_ROLES: Final = "1.2.0"
#: has a history in which texts are said to be JSON
HISTORY_FORMS: Final = "1.2.0"
#: has segments of masks, or classes that are said to be things or stuff
SEGMENTED: Final = "1.2.0"
#: has arrays in another lossless format than their digests say
FRAME_FORMATS: Final = "1.2.0"
STORE_FILE: Final = "maskl.json"
STORE_DIR: Final = "maskl-store"
#: what this reader knows, and so all that a document of it says
KNOWN: Final = ("1.0.0", WRITTEN, VERSION)
#: what Python writes for numbers that JSON has no word for; strings are matched first, and left alone
NOT_JSON: Final = re.compile(r'"(?:[^"\\]|\\.)*"|-?Infinity|NaN')
NUMBERS: Final = {"NaN": "null", "Infinity": "1e999", "-Infinity": "-1e999"}
#: bytes of a document, and lists and objects inside of each other: what has more is refused before it takes memory,
#: or the interpreter's stack
MAX_DOCUMENT: Final = 32 << 20
MAX_DEPTH: Final = 256
NESTED: Final = (dict, list, tuple)
#: counts of bytes, rows and writers are those of signed 64 bits
MAX_COUNT: Final = (1 << 63) - 1
#: half of a pair, perhaps without the other half
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
#: one number of a version; more digits are none
_VERSION: Final = re.compile(r"[0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9}")


def dump_json(value: object) -> str:
    """Return JSON text; infinity is 1e999, which every parser of doubles reads as infinity, and NaN is null.

    Raises
    ------
    InvalidValue
        Nobody would read it: it is nested too deep, or too large.
    """
    if not is_shallow(value):
        raise InvalidValue(f"lists and dicts stand in each other {MAX_DEPTH} deep at the most: store fewer")
    text = json.dumps(value, ensure_ascii=False)
    if "NaN" in text or "Infinity" in text:
        text = NOT_JSON.sub(lambda found: NUMBERS.get(found[0], found[0]), text)
    if len(text) > MAX_DOCUMENT or len(text.encode()) > MAX_DOCUMENT:
        raise InvalidValue(f"a document of a store has {MAX_DOCUMENT >> 20} MB at the most: store less")
    return text


def parse_store(data: bytes | str, where: str = STORE_FILE) -> str:
    """Check a store's ``maskl.json`` and return the format version that it names."""
    body = read_object(data, where)
    if body.get("format") != FORMAT:
        raise CorruptData(f"{where}: format: {FORMAT!r} is needed; got {body.get('format')!r:.40}")
    return check_version(body.get("version"), where)


def check_version(version: Any, where: str) -> str:
    """Return the version, or raise where this reader is too old for it."""
    if version in KNOWN:  # nearly all are
        return str(version)
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise CorruptData(f"{where}: version: 'major.minor.patch' is needed; got {version!r:.40}")
    if int(version.split(".")[0]) > int(VERSION.split(".")[0]):
        raise UnsupportedVersion(f"{where}: format version {version}; this maskl reads up to {VERSION}: update maskl")
    return version


@lru_cache(maxsize=64)
def is_newer(version: str) -> bool:
    """Whether a version that was checked is above the one that this reader knows."""
    return _numbers(version) > _numbers(VERSION)


@lru_cache(maxsize=64)
def has_left_out(version: str) -> bool:
    """Whether statistics of a version may lack pairs of masks of an image with more than 8."""
    return _numbers(version) >= _numbers(PAIRS_LEFT_OUT)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


def read_object(data: bytes | str, where: str) -> dict[str, Any]:
    """Parse the JSON object that a document of a store is, or raise CorruptData that says where it was."""
    check_size(len(data), where)
    body = parse_json(data, where)
    if not isinstance(body, dict):
        raise CorruptData(f"{where}: an object is needed; got {type(body).__name__}")
    return body


def parse_json(data: bytes | str, where: str, hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """Parse JSON text that others wrote, within a bound of depth; every failure names where it was.

    Parameters
    ----------
    data : bytes or str
        The text.
    where : str
        The file, and the place in it.
    hook : callable, optional
        Returns what an object of the text stands for.

    Raises
    ------
    CorruptData
        It is not JSON as RFC 8259 has it, not UTF-8, nested too deep, or holds half a surrogate pair, which
        no file, table or terminal takes; or the hook cannot make sense of it.
    """
    try:
        text = data if isinstance(data, str) else str(data, "utf-8")
        decoder = _DECODER if hook is None else json.JSONDecoder(object_hook=hook, parse_constant=_no_constant)
        body = decoder.decode(text)
        if isinstance(data, str):
            data.encode()
        if "\\u" in text and _SURROGATE.search(text):
            json.dumps(json.loads(text), ensure_ascii=False).encode()
        if text.count("[") + text.count("{") > MAX_DEPTH and not is_shallow(json.loads(text) if hook else body):
            raise RecursionError
    except RecursionError as error:
        raise CorruptData(f"{where}: lists and objects are nested more than {MAX_DEPTH} deep") from error
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        # also bytes that are no UTF-8, numbers of more digits than Python takes, and what a hook stumbles over
        raise CorruptData(f"{where}: not JSON: {error}") from error
    return body


def check_size(size: int, where: str) -> None:
    """Raise CorruptData where a document has so many bytes that nobody reads it."""
    if size > MAX_DOCUMENT:
        raise CorruptData(f"{where}: a document has {MAX_DOCUMENT >> 20} MB at the most; this one has {size:,} bytes")


def is_shallow(value: Any) -> bool:
    """Whether lists and dicts stand in each other no deeper than a document may hold them.

    Examples
    --------
    >>> nested = []
    >>> nested.append(nested)
    >>> is_shallow({"a": [1]}), is_shallow(nested)
    (True, False)
    """
    level: list[Any] = [[value]]
    for _ in range(MAX_DEPTH + 1):
        level = [
            item
            for held in level
            for item in (held.values() if isinstance(held, dict) else held)
            if isinstance(item, NESTED)
        ]
        if not level:
            return True
    return False


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")


#: made once: of thousands of documents, each would make its own
_DECODER: Final = json.JSONDecoder(parse_constant=_no_constant)


def raise_problems(problems: Sequence[str], where: str) -> None:
    """Raise CorruptData that lists the problems, if there are any."""
    if problems:
        raise CorruptData(f"{where}: " + "; ".join(problems))


def is_count(value: Any) -> bool:
    """Whether a JSON value is a whole number that is not negative, of 64 bits."""
    return type(value) is int and 0 <= value <= MAX_COUNT  # and True is no number
