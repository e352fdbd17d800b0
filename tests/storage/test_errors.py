"""An error that is raised again with where it happened before its message is the same in every other way."""

from __future__ import annotations

import errno
import pickle
import re
from pathlib import Path

import pytest

import maskl
import maskl_storage
from maskl_storage import errors
from maskl_storage.disk.atomic import storage_error
from maskl_storage.errors import EncodingError, MasklError, StorageError, prefixed

pytestmark = pytest.mark.once

KINDS = [
    kind
    for kind in (getattr(errors, name) for name in errors.__all__)
    if issubclass(kind, MasklError) and not issubclass(kind, Warning)
]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_keeps_its_type_notes_and_attributes(kind: type[MasklError]) -> None:
    error = kind("it is empty")
    error.add_note("a note")
    error.column = "x"  # type: ignore[attr-defined]  # any attribute
    made = prefixed(error, "row 3")
    assert type(made) is kind
    assert str(made) == "row 3: it is empty"
    assert vars(made) == vars(error) | {"__notes__": ["a note"]}
    assert str(prefixed(made, "table 't'")) == "table 't': row 3: it is empty"


@pytest.mark.parametrize(
    "error",
    [
        OSError("no number"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "a.png"),
        OSError(errno.EXDEV, "Invalid cross-device link", "a", None, "b"),
        storage_error(OSError(errno.ENOSPC, "No space left"), "it", Path("there")),
        StorageError(errno.EACCES, "Permission denied", "maskl.json"),
    ],
)
def test_an_error_of_the_system_keeps_number_and_files(error: OSError) -> None:
    made = prefixed(error, "row 3")
    assert type(made) is type(error)
    assert (made.errno, made.filename, made.filename2) == (error.errno, error.filename, error.filename2)
    assert str(made) == (str(error).replace("] ", "] row 3: ", 1) if error.strerror else f"row 3: {error}")


def test_what_an_error_counts_is_kept() -> None:
    made = prefixed(EncodingError("two images are broken", rows=2), "step 1")
    assert (made.rows, str(made)) == (2, "step 1: two images are broken")
    assert pickle.loads(pickle.dumps(made)).rows == 2


def test_where_an_error_happened_is_said_in_one_way() -> None:
    packages = [Path(module.__file__ or "").parent for module in (maskl, maskl_storage)]
    texts = [path for package in packages for path in package.rglob("*.py")]
    assert [path for path in texts if re.search(r"raise type\(\w+\)\(", path.read_text("utf-8"))] == []
