"""Seals of which nothing is unusual are read by a shorter way, which never says anything else than the long one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from maskl_storage.errors import MasklError
from maskl_storage.format import seals
from maskl_storage.format.document import raise_problems
from maskl_storage.format.seals import Seal, _usual, parse_seal, place_problems, read_seal

RUN = "run_id=가"
PATH = f"seals/{RUN}/0-7.json"


def part(kind: str = "history", run: str = RUN, **changes: Any) -> dict[str, Any]:
    table = "" if kind == "history" else "table_name=t%2F1/"
    body = {"path": f"{kind}/{table}{run}/0-7.parquet", "bytes": 5, "rows": 0, "blake3": "0" * 64}
    return body | {"columns": [["_row", "int64"], ["글", "string"]]} | changes


def seal(*parts: Any, **changes: Any) -> str:
    body = {"version": "1.1.0", "run_id": "가", "writer": 0, "seal": 7, "generation": 0}
    return json.dumps(body | {"parts": list(parts) or [part(), part("rows")], "replaces": []} | changes)


def long_way(data: bytes) -> Seal:
    found = parse_seal(data, PATH)
    raise_problems(place_problems(found, PATH), PATH)
    return found


def came_of(read: Callable[[bytes], Seal], data: bytes) -> Seal | tuple[type, str]:
    try:
        return read(data)
    except MasklError as error:
        return type(error), str(error)


VALUES: list[Any] = [
    None,
    True,
    -1,
    1.0,
    1.5,
    2**63 - 1,
    2**63,
    2**64,
    10**400,
    "1",
    [],
    {},
    [[1, 2]],
    "\ud800",
    "a\0b",
]
USUAL = [
    seal(),
    seal(version="1.2.0"),
    seal(level=3, place=[0, 1]),
    seal(part("class_totals", rows=2**40)),
    seal(part(columns=[])),
    seal(blake3="0" * 64),
]
UNUSUAL = [
    seal(more={"unknown": [1]}),
    seal(part(more=1)),
    *(seal(**{key: value}) for key in ("version", "run_id", "writer", "seal", "generation") for value in VALUES),
    *(seal(**{key: value}) for key in ("parts", "replaces", "level", "place") for value in VALUES),
    *(seal(part(**{key: value})) for key in ("path", "bytes", "rows", "blake3", "columns") for value in VALUES),
    *(seal(value) for value in VALUES),
    *(seal(part(columns=[["a", value]])) for value in VALUES),
    *(seal(version=version) for version in ("1.0.0", "1.1.7", "1.9.0", "2.0.0", "01.1.0", "1.1")),
    *(
        seal(replaces=[path])
        for path in (f"seals/{RUN}/0-3.json", "seals/run_id=b/0-3.json", "../x", "rows/0-1.parquet")
    ),
    seal(part(run="run_id=b")),
    seal(part(run=f"{RUN}/{RUN}")),
    seal(part("unknown")),
    *(seal(part(path=path)) for path in (f"history/../history/{RUN}/0-7.parquet", f"history/{RUN}/.0-7.parquet")),
    *(
        seal(part(path=path))
        for path in (f"history/{RUN}/0-7.parquet.tmp", f"{RUN}/0-7.parquet", f"/{RUN}/0-7.parquet")
    ),
    *(seal(part(path=path)) for path in (f"rows/table_name=%zz/{RUN}/0-7.parquet", f"history/x{RUN}/0-7.parquet")),
    seal(part(blake3="A" * 64)),
    seal(part(blake3="0" * 64 + "\n")),
    seal()[:-1] + ', "writer": 1}',
    seal()[:-1] + ', "writer": NaN}',
    seal() + " x",
    "\ufeff" + seal(),
    seal(deep=json.loads("[" * 300 + "]" * 300)),
    "[]",
    "",
    '{"version": "1.1.0"}',
]


@pytest.mark.parametrize("text", USUAL)
def test_usual_seals_are_read_the_short_way(text: str) -> None:
    data = text.encode()
    assert _usual(data, PATH) == read_seal(data, PATH) == long_way(data)


@pytest.mark.parametrize("text", UNUSUAL)
def test_whatever_a_seal_says_both_ways_say_the_same(text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    assert came_of(lambda data: read_seal(data, PATH), data) == came_of(long_way, data)


def test_bytes_that_are_no_text_and_another_place_are_refused_alike() -> None:
    for data in (b"\xff" + seal().encode(), seal().encode().replace("글".encode(), b"\xed\xa0\x80")):
        assert came_of(lambda data: read_seal(data, PATH), data) == came_of(long_way, data)
    with pytest.raises(MasklError, match=r"by what it says, its path would be seals/"):
        read_seal(seal().encode(), f"seals/{RUN}/0-8.json")


def test_columns_are_shared_and_not_kept_for_ever() -> None:
    found = read_seal(seal(part(), part("rows", columns=[["c", "int64"]]), part()).encode(), PATH)
    assert found.parts[0].columns is found.parts[2].columns
    most = seals._checked.cache_info().maxsize
    assert most is not None
    for number in range(most + 9):
        read_seal(seal(part(columns=[[f"c{number}", "int64"]])).encode(), PATH)
        assert seals._checked.cache_info().currsize <= most
