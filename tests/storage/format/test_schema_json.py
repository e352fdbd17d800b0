"""schema.json and the parsers of maskl_storage.format accept and refuse the same JSON."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from maskl import Histogram
from maskl_storage.errors import CorruptData, UnsupportedVersion
from maskl_storage.format import metadata, seals
from maskl_storage.format.document import COLUMN_ROLES, SEGMENTED, VERSION, WRITTEN
from maskl_storage.format.json_values import load_text
from maskl_storage.format.paths import KINDS, TABLE_KINDS

SCHEMA = json.loads((Path(__file__).parents[3] / "storage" / "schema.json").read_text())
STORES = sorted((Path(__file__).parents[2] / "golden").glob("v*/maskl-store"))

SEAL: dict[str, Any] = {
    "version": VERSION,
    "run_id": "a",
    "writer": 0,
    "seal": 0,
    "generation": 0,
    "parts": [
        {"path": "rows/table_name=t/run_id=a/0-0.parquet", "bytes": 1, "rows": 1, "blake3": "0" * 64,
         "columns": [["_row", "int64"]]}
    ],
    "replaces": [],
}  # fmt: skip
METADATA: dict[str, Any] = {
    "version": WRITTEN,
    "columns": {
        "image": {"kind": "image", "name": "image"},
        "image__mask__m": {"kind": "mask", "name": "image", "image": "image", "key": "m",
                           "class_sets": [[{"id": 0, "name": "sky", "color": "#808080"}, {"id": 255, "ignore": True}]]},
        "image__boxes__m": {"kind": "boxes", "name": "image", "image": "image", "key": "m",
                            "class_sets": [[{"id": 7, "name": "car"}], []]},
        "loss": {"kind": "value", "name": "loss", "type": "float"},
        "class": {"kind": "value", "name": "class", "type": "int", "class_sets": [[{"id": 1, "name": "road"}]]},
        "frame": {"kind": "value", "name": "frame", "type": "string",
                  "foreign_key": {"table": "frames", "column": None}},
    },
    "primary_key": "frame",
}  # fmt: skip


def validates(body: Any, definition: str) -> bool:
    schema = {"$ref": f"#/$defs/{definition}", "$defs": SCHEMA["$defs"]}
    return jsonschema.Draft202012Validator(schema).is_valid(body)


def changed(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    body = copy.deepcopy(body)
    *keys, last = path.split("/")
    place: Any = body
    for key in keys:
        place = place[int(key) if isinstance(place, list) else key]
    if value is None:
        del place[last]
    else:
        place[int(last) if isinstance(place, list) else last] = value
    return body


def test_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("store", STORES, ids=lambda path: path.parent.name)
def test_everything_in_a_store_validates(store: Path) -> None:
    assert validates(json.loads((store / "maskl.json").read_text()), "store")
    writers, seals = sorted(store.glob("runs/*/*.json")), sorted(store.glob("seals/*/*.json"))
    assert writers
    assert seals
    assert all(validates(json.loads(path.read_text()), "run") for path in writers)
    assert all(validates(json.loads(path.read_text()), "seal") for path in seals)


def test_good_seal_and_metadata_pass_both() -> None:
    assert validates(SEAL, "seal")
    assert validates(METADATA, "metadata")
    assert seals.parse_seal(json.dumps(SEAL)).to_json() == SEAL
    assert json.loads(metadata.dump_metadata(metadata.parse_metadata(json.dumps(METADATA)))) == METADATA


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_part_passes_both(kind: str) -> None:
    table = "table_name=t/" if kind in TABLE_KINDS else ""
    body = changed(SEAL, "parts/0/path", f"{kind}/{table}run_id=a/0-0.parquet")
    assert validates(body, "seal")
    assert seals.parse_seal(json.dumps(body)).parts[0].kind == kind


def test_metadata_with_roles_is_of_the_version_that_has_them() -> None:
    body = changed(METADATA, "columns/frame/roles", ["input", "score"]) | {"version": COLUMN_ROLES}
    assert validates(body, "metadata")
    columns = metadata.parse_metadata(json.dumps(body))
    assert columns["frame"].roles == ("input", "score")
    assert json.loads(metadata.dump_metadata(columns)) == body


SEGMENTS: dict[str, Any] = {"kind": "segments", "name": "image", "image": "image", "key": "m"}


@pytest.mark.parametrize(
    ("path", "value"),
    [("columns/image__segments__m", SEGMENTS), ("columns/image__mask__m/class_sets/0/0/isthing", False)],
)
def test_metadata_of_segments_and_things_is_of_the_version_that_has_them(path: str, value: Any) -> None:
    body = changed(METADATA, path, value) | {"version": SEGMENTED}
    assert validates(body, "metadata")
    assert json.loads(metadata.dump_metadata(metadata.parse_metadata(json.dumps(body)))) == body


@pytest.mark.parametrize("text", ['{"edges": [0, 1.5], "counts": [3]}', '{"edges": [0, 1, 2], "counts": [3, 0.5]}'])
def test_good_histograms_pass_both(text: str) -> None:
    assert validates(json.loads(text), "histogram")
    assert isinstance(load_text(f'{{"$histogram": {text}}}'), Histogram)


@pytest.mark.parametrize(
    "text", ["3", '{"edges": [0, 1]}', '{"edges": [0], "counts": []}', '{"edges": [0, "1"], "counts": [1]}']
)
def test_bad_histograms_fail_both(text: str) -> None:
    assert not validates(json.loads(text), "histogram")
    with pytest.raises(CorruptData):
        load_text(f'{{"$histogram": {text}}}')


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("version", None),
        ("version", "1"),
        ("run_id", ""),
        ("run_id", 7),
        ("writer", -1),
        ("seal", "0"),
        ("generation", None),
        ("replaces", [1]),
        ("parts", {}),
        ("parts/0", "x"),
        ("parts/0/path", "../x"),
        ("parts/0/path", "rows/../../x"),
        ("parts/0/path", "elsewhere/x.parquet"),
        ("parts/0/bytes", None),
        ("parts/0/rows", 1.5),
        ("parts/0/blake3", "0" * 63),
        ("parts/0/columns", [["_row"]]),
    ],
)
def test_bad_seal_fails_both(path: str, value: Any) -> None:
    body = changed(SEAL, path, value)
    assert not validates(body, "seal")
    with pytest.raises(CorruptData, match=r"^seal: "):
        seals.parse_seal(json.dumps(body))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("columns", None),
        ("columns/image", []),
        ("columns/image/kind", "boxen"),
        ("columns/image/name", None),
        ("columns/loss/type", "double"),
        ("columns/loss/type", None),
        ("columns/image__mask__m/key", None),
        ("columns/image__mask__m/image", None),
        ("columns/image__mask__m/class_sets", {}),
        ("columns/image__mask__m/class_sets/0", {}),
        ("columns/image__mask__m/class_sets/0/0/id", "0"),
        ("columns/image__mask__m/class_sets/0/0/id", 1 << 31),
        ("columns/image__mask__m/class_sets/0/0/name", 5),
        ("columns/image__mask__m/class_sets/0/0/color", "grey"),
        ("columns/image__mask__m/class_sets/0/1/ignore", 1),
        ("columns/image__mask__m/class_sets/0/0/isthing", 1),
        ("columns/image__segments__m", {**SEGMENTS, "key": 5}),
        ("columns/image__segments__m", {**SEGMENTS, "image": 5}),
        ("columns/class/class_sets", {}),
        ("columns/class/class_sets/0/0/id", "1"),
        ("columns/frame/foreign_key", "frames"),
        ("columns/frame/foreign_key/table", 5),
        ("columns/frame/roles", "input"),
        ("columns/frame/roles", [1]),
        ("primary_key", 5),
        ("columns/image__boxes__m/kind", "box"),
        ("columns/image__boxes__m/key", 3),
        ("columns/image__boxes__m/image", None),
        ("columns/image__boxes__m/class_sets", None),
        ("columns/image__boxes__m/class_sets/0/0/name", 5),
    ],
)
def test_bad_metadata_fails_both(path: str, value: Any) -> None:
    body = changed(METADATA, path, value)
    assert not validates(body, "metadata")
    with pytest.raises(CorruptData, match=r"^metadata: "):
        metadata.parse_metadata(json.dumps(body))


def test_every_problem_is_reported_with_its_place() -> None:
    body = changed(changed(METADATA, "columns/loss/type", "x"), "columns/image/kind", "y")
    with pytest.raises(CorruptData, match=r"columns\.image\.kind.*columns\.loss\.type"):
        metadata.parse_metadata(json.dumps(body))


def test_newer_major_version_is_refused_and_newer_minor_is_read() -> None:
    assert (
        metadata.parse_metadata(json.dumps(METADATA | {"version": "1.9.0", "more": 1})).keys()
        == METADATA["columns"].keys()
    )
    with pytest.raises(UnsupportedVersion, match=r"2\.0\.0.*update maskl"):
        metadata.parse_metadata(json.dumps(METADATA | {"version": "2.0.0"}))


def test_a_kind_of_column_of_a_newer_minor_version_is_overlooked() -> None:
    newer = {"version": "1.99.0", "columns": METADATA["columns"] | {"image__cube__m": {"kind": "cube", "sides": 6}}}
    assert metadata.parse_metadata(json.dumps(newer)).keys() == METADATA["columns"].keys()
    with pytest.raises(CorruptData, match=r"columns\.image__cube__m\.kind"):
        metadata.parse_metadata(json.dumps(newer | {"version": VERSION}))
