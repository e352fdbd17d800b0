"""Names in paths: each in one way, that Windows can have too, and back."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from maskl_storage.format.names import check_name, decode_name, encode_name, file_name, is_file_name
from maskl_storage.format.paths import part_path, place_of, seal_path

pytestmark = pytest.mark.once

#: what Windows reads as a device, in any case and with any ending
DEVICES = ["CON", "prn", "Aux", "NUL", "COM1", "com9", "LPT1", "COM¹", "LPT³", "CONIN$", "con.txt", "nul .a.b"]
#: and what it cannot have otherwise
OTHERS = ["a:b", "a.", "a ", ". .", "..", ".", "a\\b", "\\\\host\\share", "C:x", "a\x01", "a?", "a|b", "<>", '"', "a*"]
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


def examples(test):  # type: ignore[no-untyped-def]
    for name in (*DEVICES, *OTHERS):
        test = example(name)(test)
    return test


def is_legal(path: str) -> bool:
    """Whether a relative path is the same one in Windows, with no component that cannot be there."""
    windows, parts = PureWindowsPath(path), PurePosixPath(path).parts
    return windows.parts == parts and not windows.anchor and not any(map(_reserved, parts))


def _reserved(part: str) -> bool:
    return (
        PureWindowsPath(part).is_reserved()
        or part[-1] in ". "
        or any(letter < " " or letter in ':*?"<>|' for letter in part)
    )


@examples
@given(names)
def test_every_name_stands_in_paths_that_windows_can_have(name: str) -> None:
    for path in (part_path("rows", name, name, 0, 1), seal_path(name, 0, 1)):
        assert is_legal(path)
        assert all(map(is_file_name, path.split("/")))
    assert decode_name(encode_name(name)) == name


@examples
@given(names)
def test_a_file_that_is_called_as_a_name_can_be_in_windows(name: str) -> None:
    encoded = file_name(name)
    assert is_legal(f"masks/{encoded}/0.png")
    assert is_file_name(encoded)
    assert decode_name(encoded) == name


@examples
@given(names)
def test_what_is_said_to_be_a_name_in_windows_is_one(name: str) -> None:
    if "/" not in name and is_file_name(name):
        assert not _reserved(name)


@pytest.mark.parametrize("name", DEVICES)
def test_a_run_called_as_a_device_lies_where_it_always_did(name: str) -> None:
    """Released versions wrote it there, and Windows can have it: the folder's name begins with run_id=."""
    assert seal_path(check_name(name, "run id"), 0, 0) == f"seals/run_id={name}/0-0.json"


@pytest.mark.parametrize(
    "path",
    [
        r"rows\table_name=t\run_id=r\0-0.parquet",
        r"rows/table_name=t/run_id=..\..\x/0-0.parquet",
        "rows/table_name=t/run_id=C:x/0-0.parquet",
        "rows/table_name=t/run_id=%2e%2E/0-0.parquet",
        "rows/table_name=t/run_id=%61/0-0.parquet",
        "rows/table_name=t/run_id=r /0-0.parquet",
        "C:x/run_id=r\n/0-0.parquet",
        "rows/table_name=t/run_id=r/../0-0.parquet",
        "rows/table_name=t/run_id=r/0-0.parquet\n",
    ],
)
def test_a_path_that_is_spelt_otherwise_is_that_of_nothing(path: str) -> None:
    assert place_of(path) is None
