"""What the columns of parts are called together, and what two types are as one."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from maskl_storage.errors import InvalidValue
from maskl_storage.format.metadata import ClassItem, ClassSet, Column
from maskl_storage.format.schemas import stored_type
from maskl_storage.format.seals import Part
from maskl_storage.format.union import (
    DICT,
    LIST,
    MIXED,
    NUMBERS,
    OWN,
    PartColumns,
    UnionSchema,
    adapted,
    merge_types,
)
from maskl_storage.format.union_names import UnionNames

SETS = [ClassSet([ClassItem(0, "길")]), ClassSet([ClassItem(0, "road")]), ClassSet([ClassItem(1, "car")])]


def part(rows: int, **columns: str) -> Part:
    return Part("rows/t.parquet", 1, rows, "", tuple(columns.items()))


def names(*parts: tuple[str, Part]) -> dict[str, tuple[str, str]]:
    return dict(UnionNames.of(parts).columns)


def test_the_type_of_most_rows_keeps_the_name() -> None:
    few, many = ("b", part(1, x="string")), ("a", part(3, x="int64"))
    for parts in ([few, many], [many, few]):
        found = UnionNames.of(parts)
        assert found.columns == {"x": ("x", "int64"), "x__string": ("x", "string")}
        assert found.disputed == {"x"}
        assert found.of_part("X", "string") == ("x__string",)
        assert found.of_part("x", "null") == ("x",)
        assert found.of_part("x", "bool") == ()
    assert names(("a", part(1, x="bool")), ("b", part(1, x="string"))) == {
        "x": ("x", "bool"),
        "x__string": ("x", "string"),
    }


def test_integers_and_floats_are_one_and_a_column_of_floats_takes_integers() -> None:
    parts = [("a", part(5, x="int64")), ("b", part(1, x="double"))]
    found = UnionNames.of(parts)
    assert (found.columns, found.disputed) == ({"x": ("x", "double")}, frozenset())
    assert found.of_part("x", "int64") == ("x",)
    found = UnionNames.of([*parts, ("c", part(2, x="string"))])
    assert list(found.columns) == ["x", "x__string", "x__float"]
    assert found.of_part("x", "int64") == ("x", "x__float")
    assert found.of_part("x", "double") == ("x__float",)


def test_a_column_told_apart_takes_no_other_columns_name() -> None:
    parts = [("a", part(2, x="int64", X__String="bool")), ("b", part(1, X="string", x__string_1="null"))]
    assert names(*parts) == {
        "x": ("x", "int64"),
        "x__string_1_1": ("x", "string"),
        "X__String": ("x__string", "bool"),
        "x__string_1": ("x__string_1", "null"),
    }


def test_what_numbers_class_sets_is_no_column() -> None:
    assert names(("a", part(1, _row="int64", x__mask__k="binary", x__set__k="uint16"))) == {
        "x__mask__k": ("x__mask__k", "binary")
    }


def column(type_: str | None, **more: Any) -> Column:
    return Column("value", "x", type_, **more)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (column("null"), column("json", dtype=DICT), column("json", dtype=DICT)),
        (column("int"), column("float"), column("float")),
        (column("json", dtype=MIXED), column("int"), column("json", dtype=MIXED)),
        (column("list", ndim=1), column("json", dtype=LIST), column("json", dtype=LIST)),
        (column("list", dtype="int64", ndim=1), column("json", dtype=LIST), None),
        (column("list", dtype="int64", ndim=1), column("list", dtype="float64", ndim=1), "float64"),
        (column("list", dtype="string", ndim=1), column("list", ndim=1), "string"),
        (
            column("array", dtype="int8", ndim=1, shape=(2,)),
            column("array", dtype="int16", ndim=1, shape=(3,)),
            "int16",
        ),
        (column("string"), column("json", dtype=DICT), None),
        (column("int"), column("string"), None),
        (Column("image", "x"), column("int"), None),
    ],
)
def test_two_types_become_one_or_none(a: Column, b: Column, expected: Column | str | None) -> None:
    merged = merge_types(a, b)
    assert (merged.dtype if isinstance(expected, str) and merged is not None else merged) == expected


def described(*columns: tuple[str, Column], sets: tuple[str, ...] = ()) -> PartColumns:
    fields = [pa.field(name, pa.int64()) for name in OWN[:2]]
    fields += [pa.field(name, stored_type(one)) for name, one in columns]
    fields += [pa.field(name, NUMBERS) for name in sets]
    schema = pa.schema(fields)
    return PartColumns(tuple((field.name, str(field.type)) for field in schema), schema, dict(columns))


def union(*parts: PartColumns) -> UnionSchema:
    return UnionSchema(UnionNames.of(("r", Part("p", 1, 1, "", one.kinds)) for one in parts), parts)


def mask(*sets: ClassSet) -> tuple[tuple[str, Column], tuple[str, Column]]:
    own = Column("mask", "x", image="x", key="k", class_sets=sets)
    return ("x", Column("image", "x")), ("x__mask__k", own)


def test_class_sets_of_all_parts_are_numbered_together() -> None:
    first, second = described(*mask(SETS[0])), described(*mask(SETS[1], SETS[0]), sets=("x__set__k",))
    joint = union(first, second)
    assert joint.all_names == ["x", "x__mask__k", "x__set__k"]
    assert joint.columns["x__mask__k"].class_sets == (SETS[0], SETS[1])
    schema = joint.schema(["x__mask__k", "x__set__k"], {})
    rows: dict[str, Any] = {"x__mask__k": pa.array([b"a", None, b"b"]), "x__set__k": pa.array([0, None, 1], NUMBERS)}
    fit = joint.fit(second)
    assert fit.needs(["x__set__k"]) == ["x__mask__k", "x__set__k"]
    assert adapted(rows, 3, schema, fit.stored, fit.numberings)["x__set__k"].to_pylist() == [1, None, 0]
    fit = joint.fit(first)
    table = adapted({"x__mask__k": rows["x__mask__k"]}, 3, schema, fit.stored, fit.numberings)
    assert table["x__set__k"].to_pylist() == [0, None, 0]
    assert union(first).all_names == ["x", "x__mask__k"]


def test_a_column_with_the_name_of_one_that_numbers_class_sets_is_named() -> None:
    clash = described(("x__set__k", Column("value", "x__set__k", "int")))
    joint = union(described(*mask(SETS[0], SETS[1]), sets=("x__set__k",)), clash)
    with pytest.raises(InvalidValue, match="column 'x__set__k' has the name of the one that numbers the class sets"):
        joint.schema(joint.all_names, {})
    assert joint.schema(["x__set__k"], {}).field("x__set__k").type == pa.int64()


def test_labels_are_the_users_names_as_far_as_they_tell_columns_apart() -> None:
    ints = described(("run_id_1", Column("value", "run_id", "int")), ("y", Column("value", "y", "int")))
    texts = described(("run_id_1", Column("value", "run_id", "string")), ("Y", Column("value", "Y", "int")))
    names = union(ints, texts).names
    for parts in ((ints, texts), (texts, ints)):
        labels = UnionSchema(names, parts).labels
        assert labels == {"run_id_1": "run_id", "run_id_1__string": "run_id_1__string", "y": "y"}


def test_json_beside_strings_is_text_and_arrays_beside_lists_are_lists() -> None:
    one = described(("j", Column("value", "j", "json", dtype=DICT)), ("l", Column("value", "l", "list", "float64", 1)))
    other = described(
        ("j", Column("value", "j", "string")), ("l", Column("value", "l", "array", "float64", 1, shape=(2,)))
    )
    for parts in ((one, other), (other, one)):
        joint = union(*parts)
        assert (joint.columns["j"].type, joint.columns["l"].type) == ("string", "list")
        assert joint.readings == {"j": {"json", "string"}, "l": {"list", "array"}}
    assert union(one).readings == {}


def test_integers_that_no_float_holds_are_named() -> None:
    schema = pa.schema([("x", pa.float64())])
    with pytest.raises(InvalidValue, match="column 'x' holds integers in some runs and floats in others"):
        adapted({"x": pa.array([(1 << 53) + 1])}, 1, schema, {"x": "x"}, {})
