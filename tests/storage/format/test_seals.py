"""Seals are read alike, whether the lists of columns in them were seen before or not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from maskl_storage.errors import CorruptData
from maskl_storage.format.seals import Part, Seal, parse_seal

COLUMNS = [["_row", "int64"], ["한강", "string"], ["columns", "double"]]
PART: dict[str, Any] = {
    "path": "rows/table_name=t/run_id=r/0-0.parquet",
    "bytes": 1,
    "rows": 2,
    "blake3": "0" * 64,
    "columns": COLUMNS,
}


def body(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    first = {"version": "1.1.0", "run_id": "r", "writer": 0, "seal": 0, "generation": 0}
    return first | {"parts": list(parts), "replaces": []} | more


def texts(value: dict[str, Any]) -> list[str]:
    """Return the texts of one seal: as it is written, and as no known text of columns is found in it."""
    plain = json.dumps(value, ensure_ascii=False)
    return [plain, plain, json.dumps(value), json.dumps(value, indent=1), json.dumps(value, separators=(",", ":"))]


@pytest.mark.parametrize(
    "columns",
    [
        COLUMNS,
        [],
        [["a", "b"]],
        [["a]]", "[[b"], ["]]", "[["]],
        [['"columns": [[', "x"], ['a"', "\\"]],
        [["columns", 'columns"']],
        [["\n\t", "\x7f"], ["", ""]],
    ],
)
def test_columns_are_those_of_the_text(columns: list[list[str]]) -> None:
    wanted = (Part(PART["path"], 1, 2, "0" * 64, tuple((name, kind) for name, kind in columns)),) * 2
    for text in texts(body(PART | {"columns": columns}, PART | {"columns": columns})):
        assert parse_seal(text).parts == parse_seal(text.encode()).parts == wanted


@pytest.mark.parametrize(
    "columns",
    [
        *(0, 1, True, None, "[[", {"columns": [["a", "b"]]}, [["a"]], [["a", 1]], [["a", "b", "c"]], [[]], ["ab"]),
        [[["a"], "b"]],
    ],
)
def test_what_is_no_columns_is_refused_however_often_others_were_read(columns: Any) -> None:
    parse_seal(texts(body(PART, PART))[0])
    for parts in ([PART | {"columns": columns}, PART], [PART, PART | {"columns": columns}]):
        number = 0 if parts[0]["columns"] == columns else 1
        for text in texts(body(*parts)):
            with pytest.raises(CorruptData, match=rf"parts\[{number}\].columns: pairs of name and type are needed"):
                parse_seal(text, "seal")


@pytest.mark.parametrize("broken", ['"columns": [[, ', '"columns": [["a", "b"]', '"columns": 0[["a", "b"]]', "]]", '"'])
def test_what_is_no_json_stays_none(broken: str) -> None:
    text = json.dumps(body(PART), ensure_ascii=False)
    whole = json.dumps(COLUMNS, ensure_ascii=False)
    with pytest.raises(CorruptData, match="not JSON"):
        parse_seal(text.replace(f'"columns": {whole}', broken))


def test_columns_elsewhere_are_no_columns_of_a_part() -> None:
    text = json.dumps(body(PART, columns=COLUMNS, level=0) | {"x": {"columns": COLUMNS}}, ensure_ascii=False)
    assert parse_seal(text) == Seal("r", 0, 0, parse_seal(json.dumps(body(PART))).parts, version="1.1.0")
    twice = text.replace('"columns": [[', '"columns": [["z", "string"]], "columns": [[', 1)
    assert parse_seal(twice) == parse_seal(text)


def test_seals_that_were_read_share_their_columns() -> None:
    first, second = (parse_seal(json.dumps(body(PART, seal=number), ensure_ascii=False)) for number in (0, 1))
    assert first.parts[0].columns is second.parts[0].columns
