"""Any table, exported and imported again, is equal; what importing writes is a run like any other."""

from __future__ import annotations

import math
import warnings
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import maskl
from maskl import Classes, Image, Table
from maskl.errors import MasklWarning
from maskl.importing.importer import import_dataset
from maskl_storage.format.schemas import columns_of

DTYPES = ["?", *(f"{order}{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8) for order in "<>")]
NAMES = ["하늘", "car", "void", "a b"]
#: no two ids have one name, in masks that lend each other names too
LABELS = st.dictionaries(st.integers(0, 4), st.sampled_from(NAMES), min_size=1).map(
    lambda drawn: {number: f"{name}{number}" for number, name in drawn.items()}
)
KEYS = ["ground_truth", "예측값", "a b", "k__set__1"]
COLUMNS = ["id", "사진", "run_id", "_row", "Name", "name", "a__mask__b", "image__bytes", "점수", "table_name"]
INT32 = (-(1 << 31), (1 << 31) - 1)

text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6) | st.sampled_from(["한글", ""])
floats = st.floats(allow_nan=False)
ints = st.integers(-(1 << 63), (1 << 63) - 1)
times = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))
leaves = st.none() | st.booleans() | st.integers() | floats | text | st.binary(max_size=4)
values: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "int": ints,
    "float": floats,
    "str": text,
    "bytes": st.binary(max_size=6),
    "naive": times,
    "aware": times.map(lambda time: time.replace(tzinfo=timezone.utc)),
    "ints": st.lists(st.none() | ints, max_size=3),
    "floats": st.lists(floats, max_size=3),
    "strings": st.lists(text, max_size=3),
    "dict": st.dictionaries(text, leaves, max_size=2),
    "array": hnp.arrays(
        np.float32, hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=3), elements=st.just(1)
    ),
    "missing": st.none(),
}


@st.composite
def segmentings(draw: st.DrawFn, mask: np.ndarray[Any, Any]) -> dict[int, dict[str, Any]]:
    """Draw segments for some of the ids of a mask, perhaps for none."""
    return draw(
        st.dictionaries(
            st.sampled_from(sorted(set(mask.ravel().astype(int).tolist()))),
            st.fixed_dictionaries(
                {"class_id": st.integers(0, 4)},
                optional={"score": st.floats(0, 1), "iscrowd": st.booleans()},
            ),
            max_size=4,
        )
    )


@st.composite
def masks(draw: st.DrawFn, shape: tuple[int, int]) -> dict[str, Any]:
    """Draw a mask of any dtype, small ids or any that fit, with labels of its own or none."""
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    if dtype.kind == "b":
        elements: Any = st.booleans()
    else:
        info = np.iinfo(dtype)
        ends = max(int(info.min), INT32[0]), min(int(info.max), INT32[1])
        elements = draw(st.sampled_from([st.integers(0, 3), st.integers(*ends)]))
    made: dict[str, Any] = {"mask_data": draw(hnp.arrays(dtype, shape, elements=elements))}
    labels = draw(st.none() | LABELS)
    ignored = draw(st.none() | st.integers(0, 4))
    segments = draw(st.none() | segmentings(made["mask_data"]))
    return (
        made
        | ({} if segments is None else {"segments": segments})
        | ({} if labels is None else {"class_labels": labels})
        | ({} if ignored is None else {"ignore_index": ignored})
    )


@st.composite
def boxes(draw: st.DrawFn) -> dict[str, Any]:
    """Draw some boxes."""
    number = st.floats(-2, 2, width=32)
    corners = st.fixed_dictionaries({"minX": number, "maxX": number, "minY": number, "maxY": number})
    center = st.fixed_dictionaries(
        {"middle": st.lists(number, min_size=2, max_size=2), "width": number, "height": number}
    )
    box = st.fixed_dictionaries(
        {"position": corners | center},
        optional={
            "domain": st.just("pixel"),
            "class_id": st.integers(0, 4),
            "box_caption": text,
            "scores": st.dictionaries(text, floats, max_size=2),
        },
    )
    made: dict[str, Any] = {"box_data": draw(st.lists(box, max_size=2))}
    labels = draw(st.none() | LABELS)
    return made | ({} if labels is None else {"class_labels": labels})


@st.composite
def images(draw: st.DrawFn) -> Image | None:
    """Draw an image of any mode, a reference, or none."""
    kind = draw(st.sampled_from(["none", "url", "L", "LA", "RGB", "RGBA", "I;16", "1", "jpg"]))
    if kind == "none":
        return None
    shape = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    layers: dict[str, Any] = {
        "caption": draw(st.none() | text),
        "masks": {key: draw(masks(shape)) for key in draw(st.lists(st.sampled_from(KEYS), unique=True, max_size=3))},
        "boxes": {key: draw(boxes()) for key in draw(st.lists(st.sampled_from(KEYS), unique=True, max_size=2))},
    }
    if kind == "url":
        return Image("https://example.com/한글.png", **layers)
    channels = {"LA": (2,), "RGB": (3,), "RGBA": (4,)}.get(kind, ())
    dtype = {"I;16": np.uint16, "1": np.bool_}.get(kind, np.uint8)
    pixels = draw(hnp.arrays(dtype, (*shape, *channels)))
    return Image(pixels, file_type="jpg" if kind == "jpg" else None, **layers)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[Any]], dict[str, str]]:
    """Draw columns, rows, and what is declared of columns."""
    names = draw(st.lists(st.sampled_from(COLUMNS), unique=True, min_size=1, max_size=4))
    kinds = [draw(st.sampled_from(["image", "image", "ids", "key", *values])) for _ in names]
    if kinds.count("key") > 1:
        kinds = ["str" if kind == "key" else kind for kind in kinds]
    count = draw(st.integers(0, 4))
    strategies = values | {"image": images(), "ids": st.integers(0, 2), "key": text}
    optional = [strategies[kind] if kind == "key" else st.none() | strategies[kind] for kind in kinds]
    rows = [[draw(strategy) for strategy in optional] for _ in range(count)]
    return names, rows, {name: kind for name, kind in zip(names, kinds, strict=True) if kind in ("ids", "key")}


def logged(table: tuple[list[str], list[list[Any]], dict[str, str]], steps: int = 1) -> None:
    """Log a table to the active store, at several steps."""
    names, rows, declared = table
    with maskl.init(name="먼저", dir="first") as run:
        for step in range(steps):
            made = Table(names, data=rows)
            for name, kind in declared.items():
                if kind == "ids":
                    made.cast(name, Classes([{"id": id_, "name": NAMES[id_]} for id_ in range(3)]).get_type(), True)
                else:
                    made.set_pk(name)
            run.log({"평가/val": made}, step=10 * step)


def assert_equal(found: Any, expected: Any) -> None:
    """Compare two values as a user sees them, types and class sets included."""
    assert type(found) is type(expected)
    if isinstance(expected, Image):
        assert found == expected
        assert found.reference == expected.reference
        for key, mask in expected.masks.items():
            assert found.masks[key].segments == mask.segments
        for layer in ("masks", "boxes"):
            mine, theirs = getattr(found, layer), getattr(expected, layer)
            assert mine.keys() == theirs.keys()
            assert {key: one.class_set for key, one in mine.items()} == {
                key: one.class_set for key, one in theirs.items()
            }
    elif isinstance(expected, np.ndarray):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert np.array_equal(found, expected)
    elif isinstance(expected, float):
        assert found == expected
        assert math.copysign(1, found) == math.copysign(1, expected)
    elif isinstance(expected, datetime):
        assert (found, found.utcoffset()) == (expected, expected.utcoffset())
    else:
        assert found == expected


def assert_same_tables(first: Path, second: Path) -> None:
    """Compare every row of the one table of two stores, and what is declared of its columns."""
    before, after = maskl.open(first).table("평가/val"), maskl.open(second).table("평가/val")
    assert after.columns == before.columns
    assert after.primary_key == before.primary_key
    assert len(after) == len(before)
    for found, expected in zip(after, before, strict=True):
        assert (list(found), found.step) == (list(expected), expected.step)
        for name in expected:
            assert_equal(found[name], expected[name])
    stamps = [table.to_arrow(["_timestamp"])["_timestamp"].to_pylist() for table in (before, after)]
    assert stamps[0] == stamps[1]
    assert [_class_ids(store) for store in (first, second)] == [_class_ids(first)] * 2


def _class_ids(directory: Path) -> set[tuple[str, Any]]:
    """Return the classes of columns of class ids, as the parts' metadata has them."""
    store = maskl.open(directory)
    parts = [store.root / sealed.part.path for sealed in store.table("평가/val").parts]
    columns = [column for path in parts for column in columns_of(pq.read_schema(path), path.name).values()]
    return {(column.name, column.class_sets) for column in columns if column.kind == "value"}


PAIRS: dict[str, tuple[Any, Any]] = {
    "JSON beside strings": ("text", {"a": [1, None]}),
    "strings like JSON": ('{"a": 1}', [[1], "글"]),
    "arrays beside lists": ([0.5, 1.0], np.array([0.5, 1.5])),
    "numbers beside strings": (1, "one"),
    "images beside numbers": (2, Image(np.zeros((2, 3), np.uint8), masks={"k": {"mask_data": np.eye(2, 3)}})),
}


@pytest.mark.filterwarnings("ignore::maskl.errors.ConversionWarning")
@pytest.mark.parametrize("format_", ["parquet", "arrow", "huggingface"])
@pytest.mark.parametrize("pair", PAIRS)
def test_columns_that_runs_have_in_different_types_come_back_equal(
    format_: str, pair: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in zip(("b", "a"), PAIRS[pair], strict=True):
        with maskl.init(name=name, id=name, dir="first") as run:
            run.log({"평가/val": Table(["값", "x"], [[value, 1], [None, 2], [value, 3]])}, step=1)
    maskl.open("first").export("평가/val", "out", format_, masks="png" if format_ == "huggingface" else "maskl")
    import_dataset("out", dir="second")
    rows = [
        {row.row: [value for name, value in row.items() if name != "x" and value is not None] for row in table}
        for first in ("a", "b")
        for table in (maskl.open(folder).table("평가/val", first) for folder in ("first", "second"))
    ]
    for before, after in (rows[:2], rows[2:]):
        assert before.keys() == after.keys()
        for row, values in before.items():
            assert len(after[row]) == len(values)
            for found, expected in zip(after[row], values, strict=True):
                assert_equal(found, expected)


FORMATS = [("parquet", "maskl"), ("parquet", "png"), ("arrow", "maskl"), ("arrow", "png"), ("huggingface", "png")]


def test_any_table_comes_back_equal(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    @given(tables(), st.integers(1, 2))
    @settings(max_examples=25)
    def check(table: tuple[list[str], list[list[Any]], dict[str, str]], steps: int) -> None:
        monkeypatch.chdir(tmp_path_factory.mktemp("any"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MasklWarning)
            logged(table, steps)
            for format_, masks_ in FORMATS:
                note(f"as {format_} with masks as {masks_}")
                out, second = f"{format_} {masks_}", f"second {format_} {masks_}"
                maskl.open("first").export("평가/val", out, format_, masks=masks_)
                found = import_dataset(out, dir=second)
                assert found.rows == {"평가/val": steps * len(table[1])}
                assert_same_tables(Path("first"), Path(second))

    check()
