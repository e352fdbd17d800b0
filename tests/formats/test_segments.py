"""Masks with segments in formats: what holds them brings them back, and what does not writes classes and says so."""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import maskl
from tests.formats.write.pictured import bring, export

pytestmark = pytest.mark.once

NAMES = {0: "길", 3: "car", 7: "하늘"}
CARS = {301: {"class_id": 3, "score": 0.75}, 302: {"class_id": 3, "iscrowd": True}}


def ids() -> np.ndarray[Any, Any]:
    """Two cars on a road, one of them in two pieces; and the sky."""
    found = np.zeros((6, 8), np.int32)
    found[:2] = 7
    found[2:4, 1:3] = 301
    found[2:4, 3:5] = 302
    found[5, 7] = 302
    return found


def mask(pixels: Any = None, segments: Any = None, **more: Any) -> dict[str, Any]:
    return {
        "mask_data": ids() if pixels is None else pixels,
        "class_labels": NAMES,
        "segments": CARS if segments is None else segments,
        **more,
    }


@contextmanager
def logged(*masks: dict[str, Any], key: str = "ground_truth") -> Iterator[tuple[Path, maskl.Store]]:
    """Log a table with a row for each mask, and yield a folder to work in and its store."""
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore", maskl.errors.UnnamedClassWarning)
        folder = Path(name)
        with maskl.init(dir=folder / "store", name="run") as run:
            table = maskl.Table(columns=["picture"])
            for index, one in enumerate(masks):
                pixels = np.full((*one["mask_data"].shape, 3), index, np.uint8)
                table.add_data(maskl.Image(pixels, masks={key: one}))
            run.log({"표": table})
        yield folder, maskl.open(folder / "store")


def masks_of(rows: list[Any], column: str = "picture", key: str = "ground_truth") -> list[maskl.ImageMask]:
    return [row[column].masks[key] for row in rows]


def test_png_holds_the_classes_and_says_what_it_drops() -> None:
    with logged(mask(), {"mask_data": ids() % 100 % 8}) as (folder, store):
        assert export(store, folder, "png") == {"segments of mask 'ground_truth'": 1}
        before = masks_of(list(store.table("표")))
        after = masks_of(bring(folder / "once", "png")[1])
    for mine, theirs in zip(before, after, strict=True):
        assert theirs.segments is None
        assert theirs.mask_data.dtype == mine.mask_data.dtype
        assert np.array_equal(theirs.mask_data, mine.class_data)


@pytest.mark.parametrize("format_", ["parquet", "arrow", "huggingface"])
def test_tables_bring_back_every_mask_as_it_was(format_: str) -> None:
    many = np.arange(300, dtype=np.int32).reshape(15, 20) + 70_000  # beyond what a PNG holds
    with logged(mask(), mask(segments={}), {"mask_data": ids()}, mask(many, {70_001: 3})) as (folder, store):
        assert export(store, folder, format_) == {}
        before = masks_of(list(store.table("표")))
        after = masks_of(bring(folder / "once", format_)[1])
    assert after == before
    assert [None if one.segments is None else len(one.segments) for one in after] == [2, 0, None, 1]


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ([[{"id": 999, "class_id": 3}]], "segment 999 has no pixel of the mask"),
        ([[{"id": 301, "class_id": 3}, {"id": 301, "class_id": 0}]], "segment 301 occurs twice"),
        ([[{"id": 301, "class_id": None}]], "segment 301 has no class"),
        ([[{"id": 301, "class_id": 3, "score": float("inf")}]], "must be finite"),
        ([[None]], "must be a dict"),
        ([5], "a list of segments is needed; got 5"),
    ],
)
def test_a_table_of_ours_with_segments_that_are_none_is_refused(column: list[Any], words: str) -> None:
    with logged(mask()) as (folder, store):
        store.export("표", folder / "a.parquet")
        table = pq.read_table(folder / "a.parquet")
        place = table.column_names.index("picture__segments__ground_truth")
        changed = table.set_column(place, table.column_names[place], pa.array(column))
        pq.write_table(changed.replace_schema_metadata(table.schema.metadata), folder / "a.parquet")
        with pytest.raises(maskl.errors.MasklError, match=f"mask 'ground_truth' of column 'picture': .*{words}"):
            bring(folder / "a.parquet", "parquet")


def test_what_is_counted_of_segments_is_counted_again() -> None:
    """What a file says of their pixels and boxes is nobody's word."""
    with logged(mask()) as (folder, store):
        store.export("표", folder / "a.parquet")
        table = pq.read_table(folder / "a.parquet")
        place = table.column_names.index("picture__segments__ground_truth")
        said = [item | {"pixels": 1, "bbox": [0, 0, 1, 1], "class_name": "?"} for item in table[place][0].as_py()]
        pq.write_table(
            table.set_column(place, table.field(place), pa.array([said], table.field(place).type)), folder / "a.parquet"
        )
        (before,) = masks_of(list(store.table("표")))
        (after,) = masks_of(bring(folder / "a.parquet", "parquet")[1])
        assert after.segments == before.segments
        assert maskl.open(folder / "imported").verify().clean


def test_the_card_of_a_dataset_says_what_pixels_are() -> None:
    with logged(mask()) as (folder, store):
        export(store, folder, "huggingface")
        text = (folder / "once" / "README.md").read_text("utf-8")
    assert "ids of segments, which `picture__segments__ground_truth` lists" in text
    assert "| category | class | ignored |\n|---|---|---|\n| 0 | 길 |" in text


# --- any masks ----------------------------------------------------------------------------------

DTYPES = ("uint8", "uint16", "int16", "int32", ">u4")


@st.composite
def segmented(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw masks of one set of classes, most of them with segments of some of their ids."""
    classes = draw(st.sampled_from([[0, 1, 5, 9], [0, 1, 5, 255], [1, 5, 9]]))
    labels = {number: f"이름 {number}" for number in draw(st.sets(st.sampled_from(classes)))}
    ignored = draw(st.sampled_from([[], [5], [1]]))
    made = []
    for _ in range(draw(st.integers(1, 3))):
        dtype = np.dtype(draw(st.sampled_from(DTYPES)))
        own = [
            number for number in (0, 1, 5, 9, 17, 255, -4, 300, 26_001, 1 << 24, (1 << 31) - 1) if _holds(dtype, number)
        ]
        # ids that are no segments are of the classes, so that every file's one set has them
        named = draw(
            st.none()
            | st.dictionaries(
                st.sampled_from(own),
                st.fixed_dictionaries(
                    {"class_id": st.sampled_from(classes)},
                    optional={"score": st.floats(0, 1), "iscrowd": st.booleans()},
                ),
                max_size=5,
            )
        )
        ids = sorted({*classes, *(named or ())})
        shape = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
        pixels = draw(hnp.arrays(np.int64, shape, elements=st.sampled_from(ids))).astype(dtype)
        one = {"mask_data": pixels, "class_labels": labels, "ignore_index": ignored}
        made.append(one if named is None else {**one, "segments": named})
    return made


def _holds(dtype: np.dtype[Any], number: int) -> bool:
    return bool(np.iinfo(dtype).min <= number <= np.iinfo(dtype).max)


@pytest.mark.parametrize("format_", ["coco-panoptic", "coco-rle"])
def test_any_masks_come_back_with_their_segments(format_: str) -> None:
    @given(segmented(), st.booleans())
    @settings(max_examples=40, deadline=None)
    def check(masks: list[dict[str, Any]], instances: bool) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", maskl.errors.MasklWarning)
            with logged(*masks) as (folder, store):
                assert export(store, folder, format_, instances=instances) == {}
                before = masks_of(list(store.table("표")))
                after = masks_of(bring(folder / "once", format_)[1])
        for mine, theirs in zip(before, after, strict=True):
            assert theirs.segments == mine.segments
            assert theirs.mask_data.dtype == mine.mask_data.dtype
            assert np.array_equal(theirs.mask_data, mine.mask_data)
            assert theirs.ignore_index == mine.ignore_index

    check()


# --- COCO ---------------------------------------------------------------------------------------

CLASSES = [
    {"id": 0, "name": "road", "isthing": False},
    {"id": 3, "name": "car", "isthing": True},
    {"id": 7, "name": "sky"},
    {"id": 9, "name": "void", "ignore": True},
]


def test_the_panoptic_form_keeps_ids_that_fit(tmp_path: Path) -> None:
    pixels = np.array([[301, 302, -5, 0], [7, 9, 1 << 25, 0]], np.int32)
    segments = {301: {"class_id": 3, "score": 0.5}, 302: {"class_id": 9}, -5: 3, 1 << 25: {"class_id": 7, "iscrowd": 1}}
    with maskl.init(dir=tmp_path / "store") as run:
        one = {"mask_data": pixels, "segments": segments}
        run.log({"표": maskl.Image(np.zeros((2, 4), np.uint8), classes=CLASSES, masks={"truth": one})})
    assert export(maskl.open(tmp_path / "store"), tmp_path, "coco-panoptic") == {}
    body = json.loads((tmp_path / "once" / "panoptic.json").read_text("utf-8"))
    (annotation,) = body["annotations"]
    assert annotation["void"] == 9
    found = {
        (info["id"], info["category_id"], info["iscrowd"], info.get("score"), info.get("logged_id"))
        for info in annotation["segments_info"]
    }
    # 9 is ignored, and so left out of COCO's scores; ids that do not fit, and classes, get the lowest that are free
    assert found == {
        (301, 3, 0, 0.5, None), (302, 9, 1, None, None), (1, 3, 0, None, -5), (2, 0, 0, None, None),
        (3, 7, 0, None, None), (4, 7, 1, None, 1 << 25),
    }  # fmt: skip
    assert {item["id"]: item["isthing"] for item in body["categories"]} == {0: 0, 3: 1, 7: 1, 9: 1}
    _, (row,) = bring(tmp_path / "once", "coco-panoptic")
    mask = row["image"].masks["truth"]
    assert np.array_equal(mask.mask_data, pixels)
    assert {item.id: item.isthing for item in mask.class_set} == {0: False, 3: True, 7: None, 9: None}
    assert [(one.id, one.class_id, one.iscrowd) for one in mask.segments] == [
        (-5, 3, False), (301, 3, False), (302, 9, False), (1 << 25, 7, True),
    ]  # fmt: skip


# pycocotools' compiled arrays do not know NumPy 2's copy keyword
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_pycocotools_counts_segments_as_objects_and_the_rest_as_crowds(capsys: pytest.CaptureFixture[str]) -> None:
    with logged(mask()) as (folder, store):
        export(store, folder, "coco-rle", instances=True)
        coco = COCO(folder / "once" / "annotations.json")
    found = [
        (one["category_id"], one["iscrowd"], one.get("score"), int(coco.annToMask(one).sum()))
        for one in coco.loadAnns(coco.getAnnIds())
    ]
    assert found == [(0, 1, None, 23), (7, 1, None, 16), (3, 0, 0.75, 4), (3, 1, None, 5)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"logged_id": 1 << 31}, "an integer within signed 32 bits is needed"),
        ({"logged_id": "1"}, "an integer within signed 32 bits is needed"),
        ({"logged_id": 302}, "id 302 of the mask is of two segments"),
        ({"score": "good"}, "score of segment 301"),
        ({"iscrowd": 2}, "iscrowd of segment 301 must be True or False"),
    ],
)
@pytest.mark.parametrize(("format_", "file"), [("coco-panoptic", "panoptic"), ("coco-rle", "annotations")])
def test_what_no_segments_are_is_named(change: dict[str, Any], words: str, format_: str, file: str) -> None:
    with logged(mask()) as (folder, store):
        export(store, folder, format_)
        path = folder / "once" / f"{file}.json"
        body = json.loads(path.read_text("utf-8"))
        items = body["annotations"] if format_ == "coco-rle" else body["annotations"][0]["segments_info"]
        next(item for item in items if item.get("score") == 0.75).update(change)
        path.write_text(json.dumps(body), "utf-8")
        with pytest.raises(maskl.errors.MasklError, match=words):
            bring(folder / "once", format_)


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_results_are_scored_by_pycocotools(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the rows with an image, also where one in between has none; a prediction of all pixels of a truth is right."""
    truth = {"mask_data": ids(), "segments": {301: 3, 302: 3}, "class_labels": NAMES}
    found = mask(ids() + (ids() > 300), {302: {"class_id": 3, "score": 0.75}, 303: {"class_id": 3, "score": 0.5}, 7: 7})
    with maskl.init(dir=tmp_path / "store") as run:
        table = maskl.Table(columns=["picture"])
        for masks in ({"truth": truth, "found": found}, None, {"truth": truth, "found": truth}, {"truth": truth}):
            pixels = np.full((6, 8), len(table.data), np.uint8)
            table.add_data(None if masks is None else maskl.Image(pixels, masks=masks))
        run.log({"표": table})
    store = maskl.open(tmp_path / "store")
    for name, kind, key in (("truth", "coco-rle", "truth"), ("found", "coco-results", "found")):
        (tmp_path / name).mkdir()
        dropped = export(store, tmp_path / name, kind, mask=key)
    assert dropped == {
        "rows without an image": 1, "mask 'truth' of 'picture'": 3, "segments of mask 'found' without a score": 3,
    }  # fmt: skip
    coco = COCO(tmp_path / "truth" / "once" / "annotations.json")
    results = coco.loadRes(str(tmp_path / "found" / "once" / "results.json"))
    assert [(one["image_id"], one["category_id"], one["score"], one["area"]) for one in results.anns.values()] == [
        (1, 3, 0.75, 4), (1, 3, 0.5, 5),
    ]  # fmt: skip
    scored = COCOeval(coco, results, "segm")
    scored.params.imgIds = [1]
    scored.evaluate()
    scored.accumulate()
    scored.summarize()
    assert scored.stats[0] == 1
    with pytest.raises(maskl.errors.InvalidValue, match="no segment of mask 'truth' has a score"):
        store.export("표", tmp_path / "none", "coco-results", mask="truth")
    assert not (tmp_path / "none").exists()


# --- Cityscapes ---------------------------------------------------------------------------------

RULE = {"divisor": 1000, "crowd": [3, 7]}


@given(
    hnp.arrays(
        np.uint16, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.sampled_from([0, 3, 7, 3000, 7999])
    )
)
@settings(max_examples=25, deadline=None)
def test_ids_by_cityscapes_rule_come_back(pixels: np.ndarray[Any, Any]) -> None:
    one, plain = mask(pixels, RULE), {"mask_data": pixels.astype(np.uint8) % 8, "class_labels": NAMES}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", maskl.errors.MasklWarning)
        with logged(one, plain) as (folder, store):
            assert export(store, folder, "cityscapes") == {}
            before = masks_of(list(store.table("표")))
            after = masks_of(bring(folder / "once", "cityscapes")[1])
    for mine, theirs in zip(before, after, strict=True):
        assert theirs.mask_data.dtype == mine.mask_data.dtype
        assert np.array_equal(theirs.mask_data, mine.mask_data)
    assert before[1].segments is after[1].segments is None
    assert [(s.id, s.class_id) for s in after[0].segments] == [(s.id, s.class_id) for s in before[0].segments]
    assert [s.iscrowd for s in after[0].segments] == [s.iscrowd for s in before[0].segments]


def test_other_ids_are_numbered_anew_for_cityscapes() -> None:
    with logged(mask(), mask(segments={301: 70, 302: 3})) as (folder, store):
        dropped = export(store, folder, "cityscapes")
        before = masks_of(list(store.table("표")))
        files = sorted(path.name for path in (folder / "once").rglob("*Ids.png"))
        first, second = masks_of(bring(folder / "once", "cityscapes")[1])
    assert dropped == {
        "ids of segments of mask 'ground_truth', which are numbered anew": 1,
        "scores of segments of mask 'ground_truth'": 1,
        "segments of mask 'ground_truth', which no instance ids of 16 bits hold": 1,
        "dtype int32 of mask 'ground_truth'": 2,
    }
    assert [name[-16:] for name in files] == ["_instanceIds.png", "ine_labelIds.png", "ine_labelIds.png"]
    for mine, theirs in zip(before, (first, second), strict=True):
        assert np.array_equal(theirs.class_data, mine.class_data)
    assert second.segments is None
    # the crowd of class 3 has the id of its class
    assert [(s.id, s.class_id, s.iscrowd, s.pixels) for s in first.segments] == [
        (0, 0, False, 23), (3, 3, True, 5), (7, 7, False, 16), (3000, 3, False, 4),
    ]  # fmt: skip


@pytest.mark.parametrize("dtype", ["bool", "uint64", "int8"])
@pytest.mark.parametrize("format_", ["coco-panoptic", "coco-rle", "cityscapes", "png", "parquet"])
def test_other_types_of_masks(dtype: str, format_: str) -> None:
    pixels = np.array([[0, 1, 1], [0, 0, 1]]).astype(dtype)
    with logged(mask(pixels, {1: {"class_id": 3, "score": 0.5}})) as (folder, store):
        export(store, folder, format_)
        (before,) = masks_of(list(store.table("표")))
        (after,) = masks_of(bring(folder / "once", format_)[1])
    assert np.array_equal(after.class_data, before.class_data)
    if format_ not in ("png", "cityscapes"):
        assert after == before
