"""Names, metadata and seals: written and read back, and every problem reported where it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from maskl_storage import ClassItem, Column
from maskl_storage.errors import CorruptData, InvalidValue, UnsupportedVersion
from maskl_storage.format.document import VERSION, WRITTEN, check_version, parse_store
from maskl_storage.format.metadata import VALUE_TYPES, class_name, dump_metadata, parse_metadata
from maskl_storage.format.names import MAX_NAME_BYTES, UNSAFE, check_name, column_name, decode_name, encode_name
from maskl_storage.format.seals import Part, Seal, parse_seal

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


# --- names --------------------------------------------------------------------------------------


@given(NAMES)
@example("val/평가")
@example("a%2Fb")
@example("..")
@example(" . ")
@example('C:\\x*?"<>|[]{}=\n\x00\x7f')
def test_any_name_comes_back_from_its_path(name: str) -> None:
    encoded = encode_name(name)
    assert decode_name(encoded) == name
    assert UNSAFE.search(encoded.replace("%", "")) is None
    assert encoded not in (".", "..")


@given(NAMES, NAMES)
def test_two_names_never_share_a_path(a: str, b: str) -> None:
    assume(a != b)
    assert encode_name(a) != encode_name(b)


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("val/평가 1", "val%2F평가 1"),
        ("run_id=1", "run_id%3D1"),
        ("100%", "100%25"),
        (".hidden", "%2Ehidden"),
        ("trailing.", "trailing%2E"),
        (" x ", "%20x%20"),
        ("inner. dot", "inner. dot"),
        ("00012", "00012"),
        ("it's", "it's"),
    ],
)
def test_names_are_encoded_only_where_needed(name: str, encoded: str) -> None:
    assert encode_name(name) == encoded


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "must not be empty"),
        ("NULL", "missing value"),
        ("__HIVE_DEFAULT_PARTITION__", "missing value"),
        ("x" * (MAX_NAME_BYTES + 1), "at most 200 bytes"),
        ("평" * 67, "has 201"),
        ("/" * 67, "has 201"),
        ("\ud800", "valid Unicode"),
        (7, "must be a string"),
        (None, "must be a string"),
    ],
)
def test_names_that_cannot_be_kept_are_refused(name: object, words: str) -> None:
    with pytest.raises(InvalidValue, match=words) as caught:
        check_name(name, "table name")
    assert "table name" in str(caught.value)


@pytest.mark.parametrize("name", ["x" * MAX_NAME_BYTES, "평" * 66, "null", "Null", "NULL ", "0", "a b", "'", '"'])
def test_other_names_are_taken_as_they_are(name: str) -> None:
    assert check_name(name, "table name") == name


@pytest.mark.parametrize(
    ("name", "taken", "stored"),
    [
        ("name", [], "name"),
        ("filename", [], "filename"),
        ("Name", ["name"], "Name_1"),
        ("NAME", ["name", "Name_1"], "NAME_2"),
        ("run_id", [], "run_id_1"),
        ("Run_ID", [], "Run_ID_1"),
        ("run_name", [], "run_name_1"),
        ("table_name", [], "table_name_1"),
        ("_row", [], "_row_1"),
        ("_", [], "__1"),
        ("a__mask__b", [], "a_mask_b"),
        ("a__boxes__b", [], "a_boxes_b"),
        ("a__set__b", [], "a_set_b"),
        ("a__mask__mask__b", ["A_mask_mask__b"], "a_mask_mask__b_1"),
        ("__mask____mask__", [], "_mask__mask__1"),
        ("a__segments__b", [], "a_segments_b"),
        ("STRASSE", ["straße"], "STRASSE_1"),
    ],
)
def test_columns_that_would_clash_get_a_number(name: str, taken: list[str], stored: str) -> None:
    assert column_name(name, taken) == stored


@given(
    st.lists(st.sampled_from(["a", "A", "a_1", "A_1", "a_2", "run_id", "RUN_ID", "run_id_1", "_x", "_X_1"]), max_size=8)
)
def test_stored_columns_never_differ_only_in_case(names: list[str]) -> None:
    stored: list[str] = []
    for name in names:
        stored.append(column_name(name, stored))
    assert len({name.casefold() for name in stored}) == len(names)


def test_a_class_without_a_name_is_called_by_its_id() -> None:
    assert class_name(None, 7) == "class_7"
    assert class_name(ClassItem(7), 7) == "class_7"
    assert class_name(ClassItem(7, "tree"), 7) == "tree"
    assert class_name(None, -1) == "class_-1"


# --- metadata -----------------------------------------------------------------------------------

COLORS = st.one_of(st.none(), st.from_regex("#[0-9a-f]{6}", fullmatch=True))
ITEMS = st.builds(
    ClassItem,
    st.integers(-(1 << 31), (1 << 31) - 1),
    st.one_of(st.none(), NAMES),
    COLORS,
    st.booleans(),
    st.sampled_from([None, True, False]),
)
CLASS_SETS = st.lists(ITEMS, max_size=4, unique_by=lambda item: item.id).map(tuple)


@st.composite
def columns(draw: st.DrawFn) -> dict[str, Column]:
    """Draw the metadata of a rows part."""
    found = {"image": Column("image", draw(NAMES))}
    for name in draw(st.lists(NAMES, max_size=3, unique=True)):
        dtype = draw(st.sampled_from([None, "float64", "uint8"]))
        kind = draw(st.sampled_from(VALUE_TYPES))
        found[f"v{name}"] = Column("value", name, kind, dtype, draw(st.sampled_from([None, 1, 3])))
    for key in draw(st.lists(NAMES, max_size=3, unique=True)):
        sets = tuple(draw(st.lists(CLASS_SETS, min_size=1, max_size=3)))
        found[f"image__mask__{key}"] = Column("mask", "image", image="image", key=key, class_sets=sets)
        if draw(st.booleans()):
            found[f"image__segments__{key}"] = Column("segments", "image", image="image", key=key)
    return found


@given(columns())
def test_metadata_comes_back(found: dict[str, Column]) -> None:
    assert parse_metadata(dump_metadata(found)) == found


def test_metadata_leaves_out_what_is_absent() -> None:
    column = Column(
        "mask", "image", image="image", key="k", class_sets=((ClassItem(1), ClassItem(2, "b", ignore=True)),)
    )
    body = json.loads(dump_metadata({"image": Column("image", "image"), "image__mask__k": column}))
    assert body["version"] == WRITTEN
    assert body["columns"]["image"] == {"kind": "image", "name": "image"}
    assert body["columns"]["image__mask__k"]["class_sets"] == [[{"id": 1}, {"id": 2, "name": "b", "ignore": True}]]


def mask_entry(**changes: Any) -> dict[str, Any]:
    entry = {"kind": "mask", "name": "image", "image": "image", "key": "k", "class_sets": [[]]}
    return {key: value for key, value in (entry | changes).items() if value is not ...}


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (3, "columns.x.an object is needed"),
        ({"kind": "film", "name": "x"}, "columns.x.kind: one of image, mask, boxes, segments, value"),
        ({"kind": "image"}, "columns.x.name: a string is needed"),
        ({"kind": "value", "name": "x", "type": "complex"}, "columns.x.type: one of null, bool"),
        ({"kind": "value", "name": "x"}, "columns.x.type: one of"),
        (mask_entry(image="other"), "columns.x.image: a column of images of this part"),
        (mask_entry(key=...), "columns.x.key: a string is needed"),
        (mask_entry(class_sets=...), "columns.x.class_sets: a list is needed"),
        (mask_entry(class_sets=[3]), "columns.x.class_sets[0]: a list is needed"),
        (mask_entry(class_sets=[[], [{"name": "a"}]]), "columns.x.class_sets[1][0].id: an integer"),
        (mask_entry(class_sets=[[{"id": True}]]), "class_sets[0][0].id: an integer"),
        (mask_entry(class_sets=[[{"id": 1}, {"id": 1}]]), "class_sets[0][1].id: 1 occurs twice"),
        (mask_entry(class_sets=[[{"id": 1 << 31}]]), "outside signed 32 bits"),
        (mask_entry(class_sets=[[{"id": 1, "name": 2}]]), "class_sets[0][0].name: a string"),
        (mask_entry(class_sets=[[{"id": 1, "color": "red"}]]), "class_sets[0][0].color: '#rrggbb'"),
        (mask_entry(class_sets=[[{"id": 1, "ignore": 1}]]), "class_sets[0][0].ignore: true or false"),
    ],
)
def test_metadata_problems_are_reported_where_they_are(entry: object, problem: str) -> None:
    body = {"version": VERSION, "columns": {"image": {"kind": "image", "name": "image"}, "x": entry}}
    with pytest.raises(CorruptData) as caught:
        parse_metadata(json.dumps(body), "rows/1.parquet")
    assert "rows/1.parquet" in str(caught.value)
    assert problem in str(caught.value)


def test_every_metadata_problem_is_reported() -> None:
    body = {"version": VERSION, "columns": {"a": 1, "b": {"kind": "value", "type": "int"}, "c": {"kind": "?"}}}
    with pytest.raises(CorruptData, match=r"columns\.a.*columns\.b\.name.*columns\.c\.kind"):
        parse_metadata(json.dumps(body))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"3", b"\xff", b'{"version": "1.0.0"}', b'{"columns": {}}'])
def test_metadata_that_is_no_metadata_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptData):
        parse_metadata(data)


# --- versions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.0.0", "1.9.12", "1.0.7", "0.9.0"])
def test_newer_minor_versions_are_read(version: str) -> None:
    assert check_version(version, "here") == version
    assert parse_store(json.dumps({"format": "maskl", "version": version, "more": 1})) == version
    assert parse_metadata(json.dumps({"version": version, "columns": {}, "more": 1})) == {}


@pytest.mark.parametrize("version", ["2.0.0", "10.0.0"])
def test_newer_major_versions_are_refused(version: str) -> None:
    with pytest.raises(UnsupportedVersion, match=f"here: format version {version}.*update maskl"):
        check_version(version, "here")


@pytest.mark.parametrize("version", [None, 1, "", "1", "1.0", "v1.0.0", "1.0.0-rc1", "1.0.0\n"])
def test_what_is_no_version_is_refused(version: object) -> None:
    with pytest.raises(CorruptData, match=r"major\.minor\.patch"):
        check_version(version, "here")


@pytest.mark.parametrize("data", ["", "{}", "[]", '{"format": "other", "version": "1.0.0"}'])
def test_a_store_file_of_something_else_is_refused(data: str) -> None:
    with pytest.raises(CorruptData, match=r"maskl\.json"):
        parse_store(data)


# --- seals --------------------------------------------------------------------------------------

PART = Part("rows/table_name=val%2F평가/run_id=a%3Db/0-1.parquet", 10, 2, "0" * 64, (("_row", "int64"),))
SEAL = Seal("a=b", 0, 1, (PART,), generation=3, replaces=("seals/run_id=a%3Db/0-0.json",))


def test_a_seal_comes_back() -> None:
    assert parse_seal(json.dumps(SEAL.to_json())) == SEAL


def test_a_seal_knows_its_path_and_a_part_its_kind_and_table() -> None:
    assert SEAL.path == "seals/run_id=a%3Db/0-1.json"
    assert (PART.kind, PART.table) == ("rows", "val/평가")
    assert Part("history/run_id=x/0-0.parquet", 1, 1, "0" * 64, ()).table is None


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"run_id": ""}, "run_id: a string"),
        ({"run_id": 3}, "run_id: a string"),
        ({"writer": -1}, "writer: a number"),
        ({"seal": True}, "seal: a number"),
        ({"seal": 1.0}, "seal: a number"),
        ({"generation": None}, "generation: a number"),
        ({"replaces": "x"}, "replaces: a list of strings"),
        ({"replaces": [1]}, "replaces: a list of strings"),
        ({"parts": {}}, "parts: a list"),
        ({"parts": [1]}, "parts[0].an object is needed"),
    ],
)
def test_seal_problems_are_reported_where_they_are(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(CorruptData) as caught:
        parse_seal(json.dumps(SEAL.to_json() | changes), "seals/run_id=x/0-1.json")
    assert problem in str(caught.value)
    assert "seals/run_id=x/0-1.json" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"path": "secrets/x.parquet"}, "parts[0].path: a path below one of"),
        ({"path": "rows/../../x.parquet"}, "parts[0].path"),
        ({"path": "/etc/passwd"}, "parts[0].path"),
        ({"path": 3}, "parts[0].path"),
        ({"bytes": -1}, "parts[0].bytes: a number"),
        ({"rows": None}, "parts[0].rows: a number"),
        ({"blake3": "0" * 63}, "parts[0].blake3: 64 hexadecimal digits"),
        ({"blake3": "G" * 64}, "parts[0].blake3"),
        ({"blake3": "0" * 64 + "\n"}, "parts[0].blake3"),
        ({"columns": [["a"]]}, "parts[0].columns: pairs of name and type"),
        ({"columns": [["a", 1]]}, "parts[0].columns"),
        ({"columns": None}, "parts[0].columns"),
    ],
)
def test_part_problems_are_reported_where_they_are(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(CorruptData) as caught:
        parse_seal(json.dumps(SEAL.to_json() | {"parts": [PART.to_json() | changes]}))
    assert problem in str(caught.value)


def test_a_seal_of_a_newer_version_is_refused() -> None:
    with pytest.raises(UnsupportedVersion):
        parse_seal(json.dumps(SEAL.to_json() | {"version": "2.0.0"}))


def test_kinds_of_parts_that_only_a_newer_minor_version_has_are_left_out() -> None:
    newer = PART.to_json() | {"path": "depth/table_name=t/run_id=a/0-0.parquet"}
    body = SEAL.to_json() | {"version": "1.99.0", "parts": [PART.to_json(), newer]}
    assert [part.path for part in parse_seal(json.dumps(body)).parts] == [PART.path]
