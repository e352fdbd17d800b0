"""Values of Python's own, and arrays of one element, wherever they are kept: as W&B has them, or more."""

from __future__ import annotations

import collections
import enum
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import numpy as np
import pytest

import maskl
from maskl import Image, Table
from maskl.adapters.values import simpler
from maskl.errors import ConversionWarning, InvalidType, InvalidValue
from tests.adapters import foreign

Start = Callable[..., maskl.Run]


class Color(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    HIGH = 3


class Kind(str, enum.Enum):  # noqa: UP042  # as programs have it since before StrEnum
    ROAD = "도로"


class Flags(enum.Flag):
    A = 1
    B = 2


@dataclass
class Options:
    lr: float = 0.5
    layers: list[Any] = field(default_factory=lambda: [1, PurePosixPath("a")])


class Net:
    """What can be called and has no name of its own, as a module of torch."""

    def __call__(self) -> None:
        """Do nothing."""

    def __repr__(self) -> str:
        return "Net()"


#: what is given, what config and summary keep of it, and what of a table's cell is not the same
VALUES: dict[str, tuple[Any, Any]] = {
    "path": (PurePosixPath("data/이미지.png"), "data/이미지.png"),
    "set": ({3, 1, 2}, [1, 2, 3]),
    "frozenset": (frozenset({"b", "a"}), ["a", "b"]),
    "empty set": (set(), []),
    "enum": (Color.RED, "RED"),
    "enum of integers": (Level.HIGH, "HIGH"),
    "enum of texts": (Kind.ROAD, "ROAD"),
    "list of enums": ([Color.RED, Level.HIGH], ["RED", "HIGH"]),
    "list of paths": ([PurePosixPath("a"), None], ["a", None]),
    "list of sets": ([{1}, {2}], [[1], [2]]),
    "complex": (1 + 2j, "1+2j"),
    "complex of NumPy": (np.complex64(1 + 2j), "1+2j"),
    "array of complex": (np.array([1j, 2j]), ["1j", "2j"]),
    "decimal": (Decimal("1.50"), "1.50"),
    "fraction": (Fraction(1, 3), "1/3"),
    "uuid": (UUID(int=3), str(UUID(int=3))),
    "timedelta": (timedelta(hours=1), "1:00:00"),
    "function": (len, "builtins.len"),
    "class": (Options, f"{__name__}.Options"),
    "callable": (Net(), "Net()"),
    "range": (range(3), [0, 1, 2]),
    "deque": (collections.deque([1, 2]), [1, 2]),
    "keys": ({"a": 1}.keys(), ["a"]),
    "texts": (np.array(["a", "b"]), ["a", "b"]),
    "objects": (np.array([[1, "a"], [None, 0.5]], object), [[1, "a"], [None, 0.5]]),
    "dataclass": (Options(), {"lr": 0.5, "layers": [1, "a"]}),
    "namespace": (SimpleNamespace(a=Color.RED), {"a": "RED"}),
    "dict": ({"p": PurePosixPath("a"), "s": {1}, "n": {"e": Color.RED}}, {"p": "a", "s": [1], "n": {"e": "RED"}}),
    "slice": (slice(1, None, 2), {"slice_start": 1, "slice_step": 2, "slice_stop": None}),
}
#: what the history has the value of, where everything else has the name
BY_VALUE = {
    "enum": 1,
    "enum of integers": 3,
    "enum of texts": "도로",
    "list of enums": [1, 3],
    "namespace": {"a": 1},
    "dict": {"p": "a", "s": [1], "n": {"e": 1}},
}


def cell(value: Any, store_dir: Path, start: Start) -> Any:
    with start(reinit="create_new") as run:
        run.log({"t": Table(["x"], [[value]])})
    (row,) = maskl.open(store_dir).table("t", run=run.id)
    return row["x"]


@pytest.mark.parametrize("name", VALUES)
def test_a_value_is_kept_as_json_has_it(start: Start, store_dir: Path, name: str) -> None:
    value, kept = VALUES[name]
    logged = BY_VALUE.get(name, kept)
    if isinstance(logged, dict):
        logged = {key: item for key, item in logged.items() if item is not None}
    with start(config={"x": value}) as run:
        run.summary["x"] = value
        run.log({"y": value})
        assert run.summary.as_dict() == {"x": kept, "y": logged}
    stored = maskl.open(store_dir).run(run.id)
    assert (stored.config, stored.summary) == ({"x": kept}, {"x": kept, "y": logged})
    assert cell(value, store_dir, start) == kept


@pytest.mark.parametrize("kind", ["numpy", *foreign.ARRAYS])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1)], ids=str)
def test_an_array_of_one_element_is_that_element(start: Start, store_dir: Path, kind: str, shape: Any) -> None:
    array = np.full(shape, 2.5)
    value = array if kind == "numpy" else foreign.ARRAYS[kind](array)
    run = start(config={"x": value, "l": [value, value]})
    run.summary.update({"x": value, "l": [value, value]})
    run.log({"y": value, "m": [value, value], "d": {"z": value}})
    kept = {"x": 2.5, "l": [2.5, 2.5]}
    assert dict(run.config) == kept
    assert run.summary.as_dict() == {**kept, "y": 2.5, "m": [2.5, 2.5], "d": {"z": 2.5}}
    run.finish()
    entries = maskl.open(store_dir).sql("SELECT key, value, text FROM history ORDER BY key").fetchall()
    assert entries == [("d/z", 2.5, None), ("m", None, "[2.5, 2.5]"), ("y", 2.5, None)]


@pytest.mark.parametrize(
    ("array", "kept"),
    [
        (np.array([7], np.uint8), 7),
        (np.array([True]), True),
        (np.array(["a"]), "a"),
        (np.array(["2020-01-02"], "M8[D]"), "2020-01-02"),
        (np.array([Color.RED]), 1),
        (np.array([], np.float64), []),
        (np.array([1.0, 2.0]), [1.0, 2.0]),
        (np.arange(33), list(range(33))),
        ([np.array([1, 2]), np.array(3.0), np.array([4.0])], [[1, 2], 3.0, 4.0]),
        ([{"a": np.float32(0.5), "b": {2}}], [{"a": 0.5, "b": [2]}]),
        ((1, (2, "a")), [1, [2, "a"]]),
        ([], []),
        (b"ab", "ab"),
        (datetime(2020, 1, 2, 3), "2020-01-02T03:00:00"),
        (date(2020, 1, 2), "2020-01-02"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_what_is_logged_reads_back_from_the_summary(start: Start, store_dir: Path, array: Any, kept: Any) -> None:
    run = start(id="r")
    run.log({"y": array})
    assert run.summary["y"] == kept
    assert type(run.summary["y"]) is type(kept)
    run.finish()
    assert maskl.open(store_dir).run("r").summary == {"y": kept}
    ((value, text),) = maskl.open(store_dir).sql("SELECT value, text FROM history").fetchall()
    assert (json.loads(text) if isinstance(kept, list) else value if text is None else text) == kept
    with start(id="r") as run:
        assert run.summary["y"] == kept
        run.define_metric("y", summary="last,copy")
        assert run.summary["y"]["last"] == kept


@pytest.mark.parametrize("value", [PurePosixPath("a"), Color.RED, len, 1j], ids=ascii)
def test_a_column_of_strings_takes_none_that_stand_for_something_else(value: Any) -> None:
    with pytest.raises(InvalidType, match="column 'x' takes string"):
        Table(["x"], [["a"], [value]], dtype=str)
    assert Table(["x"], [[{1, 2}]], dtype=[[int]]).data == [[[1, 2]]]
    assert Table(["x"], [[1], [value]], allow_mixed_types=True).data[1] == [simpler(value)]


def test_nothing_of_an_array_of_nothing_is_logged(start: Start) -> None:
    with start() as run:
        run.log({"y": np.array([None]), "n": np.array([np.nan])})
        assert np.isnan(run.summary["n"])
        assert "y" not in run.summary


def test_a_list_in_the_summary_is_nobody_elses(start: Start) -> None:
    given = [1, [2]]
    with start() as run:
        run.log({"y": given})
        given[1].append(3)  # type: ignore[union-attr]
        assert run.summary["y"] == [1, [2]]


def test_nested_keys_are_spelled_as_json_does(start: Start) -> None:
    with start() as run:
        run.log({"a": {1: 2, None: 3, 0.5: {Color.RED: 4}}})
        assert run.summary.as_dict() == {"a": {"1": 2, "null": 3, "0.5": {"RED": 4}}}


def test_integers_of_more_than_64_bits_are_floats_and_say_so_where_that_changes_them(start: Start) -> None:
    with start() as run:
        run.log({"a": 1 << 70})
        with pytest.warns(ConversionWarning, match="'b': 18446744073709551617 is outside signed 64 bits"):
            run.log({"b": (1 << 64) + 1})
        with pytest.warns(ConversionWarning, match="outside signed 64 bits"):
            run.log({"c": 10**400})
        assert run.summary.as_dict() == {"a": 2.0**70, "b": 2.0**64, "c": str(10**400)}


def test_bytes_that_are_no_text_are_their_text_and_say_so(start: Start) -> None:
    with start() as run:
        with pytest.warns(ConversionWarning, match="bytes that are not UTF-8"):
            run.log({"a": b"\xff"})
        assert run.summary["a"] == "b'\\xff'"


def test_a_list_of_tables_is_a_table_each(start: Start, store_dir: Path) -> None:
    with start() as run:
        run.log({"t": [Table(["a"], [[1]]), Table(["a"], [[2]])]})
    store = maskl.open(store_dir)
    assert [store.table(name)[0]["a"] for name in ("t/0", "t/1")] == [1, 2]


def test_a_generator_is_its_values_and_a_composite_flag_its_names() -> None:
    assert simpler(i for i in range(3)) == [0, 1, 2]
    assert simpler(Flags.A | Flags.B) in ("A|B", 3)


@pytest.mark.parametrize("value", [object(), [object()], {"a": object()}, np.array([object()])], ids=lambda v: type(v))
def test_what_nobody_knows_is_refused_by_log_and_named(start: Start, value: Any) -> None:
    with start() as run, pytest.raises(InvalidType, match="cannot hold a object"):
        run.log({"x": value})


def test_a_value_that_contains_itself_is_refused(start: Start) -> None:
    ring: list[Any] = []
    ring.append(ring)
    with start() as run, pytest.raises(InvalidValue, match="contains itself"):
        run.log({"x": ring})


# --- what has no place in a cell ------------------------------------------------------------------


def test_a_table_in_a_cell_is_its_columns_and_rows(start: Start, store_dir: Path) -> None:
    inner = Table(["이름", "n"], [["a", 1], [None, 2]])
    kept = {"columns": ["이름", "n"], "data": [["a", 1], [None, 2]]}
    with pytest.warns(ConversionWarning, match="column 'x': a Table in a cell is stored as a dict"):
        assert cell(inner, store_dir, start) == kept
    with pytest.warns(ConversionWarning, match="column 'x': a Table in a cell is stored as a dict"):
        assert cell([inner, {"t": inner}], store_dir, start) == [kept, {"t": kept}]
    with pytest.warns(ConversionWarning, match="a JoinedTable in a cell is stored as a dict"):
        joined = cell(maskl.JoinedTable(inner, Table(["이름"], [["a"]]), "이름"), store_dir, start)
    assert joined["columns"] == ["이름", "n"]


def test_an_image_inside_of_a_cell_keeps_its_pixels(start: Start, store_dir: Path) -> None:
    pixels = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    image = Image(pixels, caption="한강")
    found = cell({"a": image, "l": [image, None], "n": 1}, store_dir, start)
    assert (found["n"], found["l"], found["a"].caption) == (1, [found["a"], None], "한강")
    assert np.array_equal(np.asarray(found["a"].image), pixels)
    with pytest.warns(ConversionWarning, match="a Table in a cell is stored as a dict"):
        (((inner,),),) = [cell(Table(["i"], [[image]]), store_dir, start)["data"]]
    assert np.array_equal(np.asarray(inner.image), pixels)
    masked = Image(pixels, masks={"truth": {"mask_data": np.eye(2, 3, dtype=np.uint8)}})
    with pytest.warns(ConversionWarning, match="no masks and no boxes"):
        assert np.array_equal(np.asarray(cell([masked], store_dir, start)[0].image), pixels)
    with pytest.warns(ConversionWarning, match="is stored as its text"):  # its pixels are not here
        assert cell([Image("https://host.invalid/a.png")], store_dir, start) == ["<Image https://host.invalid/a.png>"]


@pytest.mark.parametrize(
    "value",
    [
        maskl.Classes([{"id": 1, "name": "a"}]),
        maskl.ImageMask({"mask_data": np.eye(2, dtype=np.uint8)}, "m"),
    ],
    ids=["Classes", "ImageMask"],
)
def test_what_belongs_to_an_image_is_its_text_in_a_cell(start: Start, store_dir: Path, value: Any) -> None:
    with pytest.warns(ConversionWarning, match=f"a {type(value).__name__} .* is stored as its text"):
        assert cell(value, store_dir, start) == str(value)
