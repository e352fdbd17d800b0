"""Names of tables, runs and columns: which there can be, and how each is stored. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote

from maskl_storage.errors import InvalidValue, NameCaseWarning, warn

__all__ = [
    "check_name",
    "check_text",
    "column_name",
    "decode_name",
    "encode_name",
    "file_name",
    "is_file_name",
    "parse_name",
    "set_name",
    "warn_of_case",
]

MAX_NAME_BYTES: Final = 200
#: what a file system, a hive path or a glob would read as something else; '%' is the escape itself
UNSAFE: Final = re.compile(r'[\x00-\x1f\x7f/\\=%:*?"<>|\[\]{}]|^[. ]|[. ]$')
#: what is a device in every folder of Windows, whatever ending and spaces follow
DEVICE: Final = re.compile(
    r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9¹²³]) *(?:[.:].*)?", re.IGNORECASE | re.DOTALL
)
#: what no name of a file has in Windows
NOT_IN_WINDOWS: Final = re.compile(r'[\x00-\x1f/\\:*?"<>|]|[. ]\Z')
RESERVED: Final = ("run_id", "run_name", "table_name")
MARKS: Final = ("__mask__", "__boxes__", "__segments__", "__set__")
_MARK: Final = re.compile("__(mask|boxes|segments)__")


def check_name(name: object, what: str) -> str:
    """Return the name of a table or the id of a run, or raise InvalidValue saying what is wrong.

    Examples
    --------
    >>> check_name("val/평가", "table name")
    'val/평가'
    """
    if not isinstance(name, str):
        raise InvalidValue(f"a {what} must be a string; got {type(name).__name__}")
    if not name:
        raise InvalidValue(f"a {what} must not be empty")
    if name == "NULL" or name == "__HIVE_DEFAULT_PARTITION__":
        raise InvalidValue(f"a {what} must not be {name!r}: SQL would read it as a missing value")
    size = len(encode_name(check_text(name, f"a {what}")).encode())
    if size > MAX_NAME_BYTES:
        raise InvalidValue(f"a {what} must be at most {MAX_NAME_BYTES} bytes; {name[:40]!r}… has {size}: shorten it")
    return name


def warn_of_case(new: Iterable[str], known: Collection[str]) -> None:
    """Warn of new names of tables that differ from others, or from known ones, in case only."""
    spelled: dict[str, str] = {}
    for name in new:
        if name not in known:
            spelled = spelled or {other.casefold(): other for other in known}
            other = spelled.setdefault(name.casefold(), name)
            if other != name:
                warn(
                    f"the names of tables {other!r} and {name!r} differ in case only, which SQL and some file systems "
                    f"do not tell apart: in SQL, one of them gets a number behind its name; rename it",
                    NameCaseWarning,
                )


def check_text(text: str, what: str) -> str:
    """Return a text that UTF-8 can hold, or raise InvalidValue: half a surrogate pair cannot be stored."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidValue(f"{what} must be valid Unicode: {error}") from error
    return text


def encode_name(name: str) -> str:
    """Return the name as it stands in a path.

    Examples
    --------
    >>> encode_name("val/평가 1"), encode_name("a=b")
    ('val%2F평가 1', 'a%3Db')
    """
    return UNSAFE.sub(lambda match: quote(match[0], safe="").replace(".", "%2E"), name)


def decode_name(encoded: str) -> str:
    """Undo :func:`encode_name`, and :func:`file_name`."""
    return unquote(encoded) if "%" in encoded else encoded


def file_name(name: str) -> str:
    """Return a name as that of a file or folder by itself, which Windows can have too.

    In a store's paths a name stands behind ``run_id=`` or ``table_name=``, where :func:`encode_name` does; by itself
    it may be a device's.

    Examples
    --------
    >>> file_name("CON"), file_name("con.txt"), file_name("a/b"), file_name("console")
    ('%43ON', '%63on.txt', 'a%2Fb', 'console')
    """
    encoded = encode_name(name)
    return f"%{ord(encoded[0]):02X}{encoded[1:]}" if DEVICE.fullmatch(encoded) else encoded


def is_file_name(name: str) -> bool:
    """Whether a file or folder of this name can be in Windows.

    Examples
    --------
    >>> is_file_name("run_id=CON"), is_file_name("COM¹.txt"), is_file_name("a:b"), is_file_name("a.")
    (True, False, False, False)
    """
    return not NOT_IN_WINDOWS.search(name) and not DEVICE.fullmatch(name)


@lru_cache(maxsize=1 << 14)
def parse_name(encoded: str) -> str | None:
    """Return the name of a table or the id of a run from a path; None where :func:`encode_name` makes no such thing.

    Examples
    --------
    >>> parse_name("a%3Db"), parse_name("a=b"), parse_name("%41")
    ('a=b', None, None)
    """
    name = decode_name(encoded)
    try:
        return name if encode_name(check_name(name, "name")) == encoded else None
    except InvalidValue:
        return None


def column_name(name: str, taken: Iterable[str]) -> str:
    """Return the stored name for a user's column: its own, or with ``_1`` where that would clash.

    What tells columns of masks from others stands in no user's column: seals list names and types alone, and masks are
    bytes there.

    Examples
    --------
    >>> column_name("name", []), column_name("Name", ["name"]), column_name("run_id", []), column_name("a__mask__b", [])
    ('name', 'Name_1', 'run_id_1', 'a_mask_b')
    """
    used = {other.casefold() for other in taken}
    while any(mark in name for mark in MARKS):
        for mark in MARKS:
            name = name.replace(mark, mark[1:-1])
    clash = name.startswith("_") or name.casefold() in RESERVED
    if not clash and name.casefold() not in used:
        return name
    number = 1
    while f"{name}_{number}".casefold() in used:
        number += 1
    return f"{name}_{number}"


def set_name(column: str) -> str:
    """Return the name of the column that says which class set a row of a column of masks or boxes uses.

    Examples
    --------
    >>> set_name("image__mask__truth"), set_name("image__boxes__truth")
    ('image__set__truth', 'image__set__boxes__truth')
    """
    return _MARK.sub(lambda mark: "__set__" if mark[1] == "mask" else f"__set__{mark[1]}__", column, count=1)
