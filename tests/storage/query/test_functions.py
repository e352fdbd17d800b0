"""The pixel-level functions of SQL, and what they are made of, against NumPy and pycocotools."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import maskl
from maskl_storage import decode, encode
from maskl_storage.errors import CorruptData, InvalidValue, QueryError
from maskl_storage.masks import measures
from maskl_storage.masks.coco import by_class, segments_of
from maskl_storage.masks.codec import find_runs, runs_of
from maskl_storage.masks.png import mask_png
from maskl_storage.query._functions import FUNCTIONS, MACRO, NAMES

Mask = npt.NDArray[Any]
INT32 = np.iinfo(np.int32)
COLUMN = "image__mask__ground_truth"


@st.composite
def masks(draw: st.DrawFn, shape: tuple[int, int] | None = None) -> Mask:
    """Draw areas or noise of few ids, in any dtype that holds them."""
    height, width = shape or (draw(st.integers(1, 40)), draw(st.integers(1, 40)))
    number = st.one_of(st.integers(0, 3), st.sampled_from([-1, 255, 256, 65535, 65536, INT32.min, INT32.max]))
    ids = np.array(draw(st.lists(number, min_size=1, max_size=4)), np.int64)
    cell = draw(st.sampled_from([1, 2, 7]))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    coarse = rng.integers(0, ids.size, (-(-height // cell), -(-width // cell)))
    mask = ids[coarse].repeat(cell, axis=0).repeat(cell, axis=1)[:height, :width]
    fits = [t for t in ("u1", "i2", "i4", ">i4", "i8") if np.iinfo(t).min <= ids.min() and ids.max() <= np.iinfo(t).max]
    return mask.astype(draw(st.sampled_from(fits)))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Mask, Mask]:
    first = draw(masks())
    return first, draw(masks(first.shape))


def some_ids(mask: Mask) -> list[int]:
    return [*np.unique(mask).tolist(), 77, 1 << 40, -(1 << 40)]


def coco_counts(text: str) -> list[int]:
    """Read COCO's compressed run lengths, one character at a time."""
    counts: list[int] = []
    number = shift = 0
    for character in text:
        value = ord(character) - 48
        number |= (value & 0x1F) << shift
        shift += 5
        if not value & 0x20:
            if value & 0x10:
                number -= 1 << shift
            counts.append(number + (counts[-2] if len(counts) > 2 else 0))
            number = shift = 0
    return counts


@given(masks())
def test_the_regions_of_a_mask_are_those_of_its_pixels(mask: Mask) -> None:
    for runs in (find_runs(mask), runs_of(encode(mask))):
        assert measures.classes(runs) == np.unique(mask).tolist()
        for number in some_ids(mask):
            pixels = mask.astype(np.int64) == number  # NumPy 2.1 crashes on >i4 against 2**40
            assert measures.area(runs, number) == pixels.sum()
            rows, columns = pixels.nonzero()
            box = measures.bbox(runs, number)
            assert (box is None) == (not rows.size)
            if box is not None:
                assert (box["x"], box["x"] + box["width"] - 1) == (columns.min(), columns.max())
                assert (box["y"], box["y"] + box["height"] - 1) == (rows.min(), rows.max())
            rle = measures.rle(runs, number)
            assert rle["size"] == list(mask.shape)
            counts = coco_counts(rle["counts"])
            assert all(counts[1:])
            flat = np.arange(len(counts)).repeat(counts) % 2
            assert np.array_equal(flat.reshape(mask.shape, order="F"), pixels)


@given(masks())
def test_the_run_lengths_of_all_classes_are_those_of_each(mask: Mask) -> None:
    runs = find_runs(mask)
    ids, texts = measures.rles(runs)
    assert ids.tolist() == measures.classes(runs)
    assert texts.to_list() == [measures.rle(runs, number)["counts"] for number in ids.tolist()]


@pytest.mark.parametrize("shape", [(256, 256), (1, 65_535), (65_535, 1)])
def test_a_mask_may_have_as_many_classes_as_pixels(shape: tuple[int, int]) -> None:
    mask = np.random.default_rng(0).permutation(shape[0] * shape[1]).reshape(shape)
    ids, texts = measures.rles(find_runs(mask))
    counts = texts.to_list()
    assert ids.tolist() == list(range(mask.size))
    column, row = np.divmod(np.array([coco_counts(text)[0] for text in counts]), shape[0])
    assert np.array_equal(mask[row, column], np.arange(mask.size))
    labels, ids = by_class(mask)
    assert [each.counts for each in segments_of(labels, ids, counts=True)] == counts


@given(pairs())
def test_the_overlap_of_two_masks_is_that_of_their_pixels(masks: tuple[Mask, Mask]) -> None:
    a, b = (mask.astype(np.int64) for mask in masks)
    for number in some_ids(a) + some_ids(b):
        union = int(((a == number) | (b == number)).sum())
        both = int(((a == number) & (b == number)).sum())
        assert measures.iou(find_runs(a), runs_of(encode(b)), number) == (both / union if union else None)


@given(masks(), st.data())
def test_a_crop_is_a_slice(mask: Mask, data: st.DataObject) -> None:
    height, width = mask.shape
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    w, h = data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y))
    part = decode(measures.crop(encode(mask), x, y, w, h))
    assert part.dtype == mask.dtype
    assert np.array_equal(part, mask[y : y + h, x : x + w])


@given(masks())
def test_a_png_holds_the_ids(mask: Mask) -> None:
    if mask.min() < 0 or mask.max() > 65535:
        with pytest.raises(InvalidValue, match=f"ids from 0 to 65535; this mask has {mask.min()} to {mask.max()}"):
            mask_png(encode(mask))
        return
    with Image.open(io.BytesIO(mask_png(encode(mask)))) as image:
        assert image.format == "PNG"
        assert image.mode == ("L" if mask.max() <= 255 else "I;16")
        assert np.array_equal(np.array(image), mask)


# pycocotools 2.0.11: mask.encode(np.asfortranarray(mask == i))["counts"]
RECORDED = [
    ([[0, 1, 1], [1, 1, 0]], 1, "141"),
    ([[1, 0], [0, 1]], 1, "0120"),
    ([[1]], 1, "01"),
    ([[1]], 0, "1"),
    (np.kron(np.eye(3, dtype=int), np.ones((400, 1), int)).tolist(), 1, "0`<`U1000"),
    (
        (np.arange(3000) % 1700 // 9 % 50 // 7).reshape(1000, 3).tolist(),
        2,
        "Z1e0Q400000oN0Q1000_O0a000000oN0Q1000_O0a000000nN0R1000VN",
    ),
]


@pytest.mark.parametrize(("mask", "number", "counts"), RECORDED)
def test_run_lengths_are_those_of_pycocotools(mask: list[list[int]], number: int, counts: str) -> None:
    found = measures.rle(find_runs(np.array(mask)), number)
    assert found == {"size": list(np.shape(mask)), "counts": counts}


@given(masks())
def test_pycocotools_reads_and_writes_the_same(mask: Mask) -> None:
    coco = pytest.importorskip("pycocotools.mask")
    for number in np.unique(mask).tolist():
        theirs = coco.encode(np.asfortranarray(mask == number).astype(np.uint8))
        assert measures.rle(find_runs(mask), number)["counts"] == theirs["counts"].decode()


@pytest.mark.parametrize("box", [(-1, 0, 1, 1), (0, -1, 1, 1), (0, 0, 0, 1), (0, 0, 1, 0), (3, 0, 2, 1), (0, 2, 1, 2)])
def test_a_box_that_leaves_the_mask_is_refused(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(InvalidValue, match=r"must hold a pixel and lie inside the mask, which is 4×3 pixels"):
        measures.crop(encode(np.zeros((3, 4), int)), *box)


# --- in SQL -------------------------------------------------------------------------------------

MASK = np.array([[0, 0, 1, 1], [0, 300, 1, 0], [0, 0, 0, 0]], np.int32)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> maskl.Store:
    """A table ``평가`` of three rows: a mask, another of another size, and none."""
    directory = tmp_path_factory.mktemp("functions")
    table = maskl.Table(["image"])
    for mask in (MASK, np.ones((2, 2), bool)):
        cells = {"ground_truth": {"mask_data": mask}}
        table.add_data(maskl.Image(np.zeros((*mask.shape, 3), np.uint8), masks=cells))
    table.add_data(maskl.Image(np.zeros((1, 1, 3), np.uint8)))
    with maskl.init(dir=directory) as run:
        run.log({"평가": table})
    return maskl.open(directory)


@pytest.fixture
def store(kept: maskl.Store) -> maskl.Store:
    """The same, opened anew: nothing was asked of it yet."""
    return maskl.open(kept.root)


@pytest.fixture(scope="module", params=["sql", "connect"])
def ask(kept: maskl.Store, request: pytest.FixtureRequest) -> Callable[[str], list[Any]]:
    """Ask on the locked connection, then on the one that may do anything."""
    if request.param == "sql":
        return lambda query: kept.sql(query).fetchall()
    connection = kept.connect()
    return lambda query: connection.execute(query).fetchall()


@pytest.mark.parametrize(
    ("call", "values", "kind"),
    [
        (
            "mask_shape(b)",
            [{"height": 3, "width": 4}, {"height": 2, "width": 2}],
            "STRUCT(height INTEGER, width INTEGER)",
        ),
        ("mask_classes(b)", [[0, 1, 300], [1]], "INTEGER[]"),
        ("mask_area(b, 1)", [3, 4], "BIGINT"),
        ("mask_area(b, 99)", [0, 0], "BIGINT"),
        (
            "mask_bbox(b, 1)",
            [{"x": 2, "y": 0, "width": 2, "height": 2}, {"x": 0, "y": 0, "width": 2, "height": 2}],
            "STRUCT(x INTEGER, y INTEGER, width INTEGER, height INTEGER)",
        ),
        ("mask_bbox(b, 300)", [{"x": 1, "y": 1, "width": 1, "height": 1}, None], None),
        ("mask_iou(b, b, 300)", [1.0, None], "DOUBLE"),
        ("mask_rle(b, 300)", [{"size": [3, 4], "counts": "417"}, {"size": [2, 2], "counts": "4"}], None),
        (
            "mask_rle(b)",
            [
                [
                    {"class_id": 0, "size": [3, 4], "counts": "041M10O1"},
                    {"class_id": 1, "size": [3, 4], "counts": "621O1"},
                    {"class_id": 300, "size": [3, 4], "counts": "417"},
                ],
                [{"class_id": 1, "size": [2, 2], "counts": "04"}],
            ],
            None,
        ),
        ("mask_rle(b)[1].size", [[3, 4], [2, 2]], "INTEGER[]"),
        ("mask_shape(mask_crop(b, 1, 0, 1, 2))", [{"height": 2, "width": 1}] * 2, None),
        ("mask_classes(mask_crop(b, 1, 0, 1, 2))", [[0, 300], [1]], None),
    ],
)
def test_what_the_functions_return(
    ask: Callable[[str], list[Any]], call: str, values: list[Any], kind: str | None
) -> None:
    source = f'(SELECT _row, {COLUMN} AS b FROM tables."평가")'
    rows = ask(f"SELECT {call}, typeof({call}) FROM {source} ORDER BY _row")
    assert [row[0] for row in rows] == [*values, None]
    assert kind is None or {row[1] for row in rows} == {kind}


def test_a_png_of_sql_is_the_mask(ask: Callable[[str], list[Any]]) -> None:
    rows = ask(f'SELECT mask_png({COLUMN}) FROM tables."평가" ORDER BY _row')
    images = [np.array(Image.open(io.BytesIO(data))) for (data,) in rows if data is not None]
    assert [image.tolist() for image in images] == [MASK.tolist(), [[1, 1], [1, 1]]]
    assert rows[2] == (None,)


def test_masks_that_differ_in_size_have_no_overlap(ask: Callable[[str], list[Any]]) -> None:
    query = (
        f'SELECT mask_iou(x.{COLUMN}, y.{COLUMN}, 1) FROM tables."평가" AS x, tables."평가" AS y WHERE x._row < y._row'
    )
    assert ask(query) == [(None,)] * 3


def test_null_gives_null(ask: Callable[[str], list[Any]]) -> None:
    calls = [f"{name}(NULL{', NULL' * (count - 1)})" for name, count in CALLS]
    calls += ["mask_area(NULL, 3)", "mask_area('x'::BLOB, NULL)", "mask_iou('x'::BLOB, NULL, 1)"]
    (row,) = ask(f"SELECT {', '.join(calls)}")
    assert set(row) == {None}
    (row,) = ask(f'SELECT {", ".join(f"list({call})" for call in calls)} FROM tables."평가"')
    assert all(cells == [None] * 3 for cells in row)


CALLS = [
    ("mask_shape", 1),
    ("mask_classes", 1),
    ("mask_png", 1),
    ("mask_rle", 1),
    ("mask_rle", 2),
    ("mask_area", 2),
    ("mask_bbox", 2),
    ("mask_iou", 3),
    ("mask_crop", 5),
]


@pytest.mark.parametrize(("name", "count"), CALLS)
def test_what_is_no_mask_is_an_error_that_says_so(ask: Callable[[str], list[Any]], name: str, count: int) -> None:
    data = "repeat('x', 30 + i::INT)::BLOB"
    arguments = ", ".join(
        [data] * (2 if name == "mask_iou" else 1) + ["1"] * (count - (2 if name == "mask_iou" else 1))
    )
    with pytest.raises(duckdb.Error, match=rf"{name}: not an encoded mask: it begins with b'xxxx'"):
        ask(f"SELECT {name}({arguments}) FROM range(3) AS r(i)")
    with pytest.raises((duckdb.Error, QueryError), match=f"{name}: an encoded mask has at least 20 bytes; got 3"):
        ask(f"SELECT {name}({arguments.replace(data, chr(39) + 'abc' + chr(39) + '::BLOB')})")


def test_errors_keep_their_words(ask: Callable[[str], list[Any]]) -> None:
    with pytest.raises(duckdb.Error, match=r"mask_crop: the box x=0, y=0, width=9, height=1 must .* is 4×3 pixels"):
        ask(f'SELECT mask_crop({COLUMN}, 0, 0, 9, 1) FROM tables."평가"')
    with pytest.raises((duckdb.Error, QueryError), match="No function matches"):
        ask("SELECT mask_area(1, 2)")


def test_every_function_is_found_by_its_name_and_made_only_then(store: maskl.Store) -> None:
    made = "SELECT count(*) FROM duckdb_functions() WHERE function_name LIKE 'mask\\_%' ESCAPE '\\'"
    names = {function.name for function in FUNCTIONS if not function.name.startswith("maskl_")} | {"mask_rle"}
    assert names == {name for name, _ in CALLS}
    assert all(NAMES.search(f"select\n{name.upper()} (b)") for name in names)
    assert not NAMES.search("SELECT mask_key, mask_a, mask_pixels, unmask_area FROM class_pixels")
    store.sql(f'SELECT {COLUMN}, mask_key FROM tables."평가", class_pixels')
    (database,) = store._databases.values()
    connection = database.connection
    assert connection.execute(made).fetchall() == [(0,)]
    assert store.sql(made).fetchall() == [(len(names) + 1,)]


@pytest.mark.once
def test_functions_hold_for_many_cursors_and_threads(store: maskl.Store) -> None:
    query = f'SELECT sum(mask_area({COLUMN}, 1)) FROM tables."평가", range(2000)'
    failed: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(10):
                assert store.sql(query).fetchall() == [(14000,)]
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_a_result_may_outlive_its_store(store: maskl.Store) -> None:
    relation = maskl.open(store.root).sql(f'SELECT sum(mask_area({COLUMN}, 1)) FROM tables."평가"')
    assert relation.fetchall() == [(7,)]


@pytest.mark.once
def test_100_000_rows(store: maskl.Store) -> None:
    query = f"""
        SELECT count(*), sum(mask_area(b, i % 2)), count(mask_bbox(b, 300)), sum(mask_shape(b).width)
        FROM range(100000) AS r(i) JOIN (SELECT _row, {COLUMN} AS b FROM tables."평가") AS t ON t._row = i % 3
    """
    ones, zeros = 3 * 16667 + 4 * 16667, 8 * 16667
    assert store.sql(query).fetchall() == [(100000, ones + zeros, 33334, 33334 * 4 + 33333 * 2)]


def test_calls_take_arrays_of_any_kind() -> None:
    area = next(function.call for function in FUNCTIONS if function.name == "mask_area")
    data = [encode(MASK), None, encode(np.ones((2, 2), bool))]
    numbers = [1, 1, 1]
    for kind in (pa.binary(), pa.large_binary(), pa.binary_view()):
        assert area(pa.array(data, kind), pa.array(numbers)).to_pylist() == [3, None, 4]
    chunked = pa.chunked_array([data[:1], data[1:]], pa.binary()), pa.chunked_array([numbers[:2], numbers[2:]])
    assert area(*chunked).to_pylist() == [3, None, 4]
    assert area(pa.array([], pa.binary()), pa.array([], pa.int64())).type == pa.int64()
    with pytest.raises(CorruptData, match="mask_area: not an encoded mask"):
        area(pa.array([b"x" * 99]), pa.array([1]))


def test_the_macro_calls_registered_functions() -> None:
    hidden = [function.name for function in FUNCTIONS if function.name.startswith("maskl_")]
    assert len(hidden) == 2
    assert all(f"{name}(" in MACRO for name in hidden)
