"""Masks whose ids are segments: what is kept of them, and that all that is counted is of their classes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import maskl
from maskl.errors import AbsentSegmentsWarning, InvalidType, InvalidValue, UnnamedClassWarning
from maskl.metrics import confusion_matrix, panoptic_quality
from maskl_storage import Layout
from maskl_storage.catalog.listing import live_seals
from maskl_storage.format import schemas as stored
from maskl_storage.format.document import SEGMENTED, WRITTEN
from maskl_storage.format.segments import Segment
from maskl_storage.upkeep.compact import compact
from maskl_storage.upkeep.recovery import recover
from maskl_storage.verify._recount import tables_of
from maskl_storage.verify.verify import verify

Start = Callable[..., maskl.Run]
NAMES = {0: "길", 3: "car", 7: "하늘"}
#: each of the macros that count pixels of classes
COUNTED = ("class_coverage", "class_iou", "row_iou", "row_class_iou", "confusion_matrix", "cooccurrence")
PIXELS = np.zeros((6, 8, 3), np.uint8)


def ids() -> np.ndarray:
    """Two cars beside each other, one of them in two pieces, on a road; and the sky."""
    found = np.zeros((6, 8), np.int32)
    found[:2] = 7
    found[2:4, 1:3] = 301
    found[2:4, 3:5] = 302
    found[5, 7] = 302
    return found


def logged(mask: np.ndarray, segments: Any, **more: Any) -> dict[str, Any]:
    return {"mask_data": mask, "class_labels": NAMES, "segments": segments, **more}


CARS = {301: {"class_id": 3, "score": 0.75}, 302: {"class_id": 3, "iscrowd": True}}
FOUND = (
    Segment(301, 3, 0.75, pixels=4, bbox=(1, 2, 2, 2)),
    Segment(302, 3, iscrowd=True, pixels=5, bbox=(3, 2, 5, 4)),
)


def test_what_a_mask_says_of_its_segments() -> None:
    mask = maskl.ImageMask(logged(ids(), CARS), "truth")
    assert mask.segments == FOUND
    assert np.array_equal(mask.mask_data, ids())
    assert np.array_equal(mask.class_data, np.where(ids() > 300, 3, ids()))
    assert maskl.ImageMask({"mask_data": ids(), "segments": CARS}, "k").class_labels == {
        0: "class_0", 3: "class_3", 7: "class_7",
    }  # fmt: skip
    plain = maskl.ImageMask({"mask_data": ids()}, "k")
    assert plain.segments is None
    assert np.array_equal(plain.class_data, ids())
    assert mask != maskl.ImageMask({"mask_data": ids(), "class_labels": NAMES}, "truth")


@pytest.mark.parametrize(
    ("segments", "error", "words"),
    [
        ("abc", InvalidType, "mask 'm': segments must be a dictionary"),
        ({17: {}}, InvalidValue, "segment 17 has no class"),
        ([{"id": 1, "class_id": 2}, {"id": 1, "class_id": 3}], InvalidValue, "segment 1 occurs twice"),
        ({1 << 31: 3}, InvalidValue, "within signed 32 bits"),
        ({"divisor": 1}, InvalidValue, "at least 2"),
        ({1: {"class_id": 3, "score": float("nan")}}, InvalidValue, "must be finite"),
    ],
)
def test_what_no_segments_are(segments: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        maskl.Image(PIXELS, masks={"m": {"mask_data": ids(), "segments": segments}})
    with pytest.raises(error, match=words.removeprefix("mask 'm': ")):
        maskl.ImageMask.validate({"mask_data": ids(), "segments": segments})


def test_segments_without_a_pixel_are_dropped_and_said_once_a_run(start: Start) -> None:
    with start() as run:
        with pytest.warns(AbsentSegmentsWarning, match="mask 'm' has no pixel of segments 5, 9") as told:
            images = [maskl.Image(PIXELS, masks={"m": logged(ids(), {301: 3, 5: 3, 9: 0})}) for _ in range(3)]
        assert len(told) == 1
        run.log({"t": maskl.Table(["image"], [[image] for image in images])})
    for row in maskl.open(run.dir).table("t"):
        assert [segment.id for segment in row["image"].masks["m"].segments] == [301]


def test_a_class_without_a_name_is_said(start: Start) -> None:
    with start(), pytest.warns(UnnamedClassWarning, match="id 9 of its pixels has no name"):
        maskl.Table(["image"], [[maskl.Image(PIXELS, masks={"m": logged(ids(), {301: 9, 302: 3})})]])


def test_more_segments_than_classes_can_be_keep_their_statistics(start: Start) -> None:
    many = np.arange(100 * 100, dtype=np.int32).reshape(100, 100) + (1 << 25)
    segments = {int(number): int(number) % 3 * 3 for number in many.ravel()}
    with start() as run:
        run.log({"t": maskl.Table(["image"], [[maskl.Image(many == 0, masks={"m": logged(many, segments)})]])})
    store = maskl.open(run.dir)
    assert store.sql("SELECT class_id, pixels FROM class_pixels WHERE pixels > 0 ORDER BY 1").fetchall() == [
        (0, 3333), (3, 3333), (6, 3334),
    ]  # fmt: skip
    (row,) = store.table("t")
    assert len(row["image"].masks["m"].segments) == 10_000
    assert store.verify().clean


def tables(store: maskl.Store, name: str) -> dict[str, list[str]]:
    """Return what each macro says of a table, but for the names of the run and the table."""
    told = {}
    for macro in COUNTED:
        found = store.sql(f"FROM {macro}('{name}')")
        columns = [
            column for column in found.columns if column not in ("run_id", "run_name", "table_name", "_step", "_row")
        ]
        told[macro] = sorted(map(repr, found.project(*columns).fetchall()))
    return told


def drawn_segments(random: np.random.Generator) -> Any:
    """Return no segments, a rule, or classes of some ids, not all of which occur."""
    kind = random.integers(3)
    if kind == 0:
        return None
    if kind == 1:
        return {"divisor": int(random.integers(2, 9))}
    return {int(number): int(random.choice([0, 3, 7, 9])) for number in random.integers(-2, 13, random.integers(0, 9))}


@pytest.mark.filterwarnings("ignore::maskl.errors.MasklWarning")
def test_all_that_is_counted_is_of_the_classes(start: Start, store_dir: Path) -> None:
    """As if the classes had been logged: for 300 images of random ids, of which some have segments."""
    random = np.random.default_rng(16)
    logs: dict[str, list[Any]] = {"segments": [], "classes": []}
    with start() as run:
        for _ in range(300):
            array = random.integers(-2, 13, random.integers(1, 9, 2)).astype(np.int16)
            masks = {
                key: maskl.ImageMask(logged(given, drawn_segments(random), ignore_index=7), key)
                for key, given in (("ground_truth", array), ("predictions", np.roll(array, 1, axis=1)))
            }
            plain = {
                key: {"mask_data": mask.class_data, "class_labels": NAMES, "ignore_index": 7}
                for key, mask in masks.items()
            }
            logs["segments"].append([maskl.Image(PIXELS, masks=masks)])
            logs["classes"].append([maskl.Image(PIXELS, masks=plain)])
        run.log({name: maskl.Table(["image"], table) for name, table in logs.items()})
    store = maskl.open(store_dir)
    assert tables(store, "segments") == tables(store, "classes")
    assert [row["image"] for row in store.table("segments")] == [image for (image,) in logs["segments"]]
    assert store.verify().faults == []


def test_they_are_stored_and_read(start: Start) -> None:
    truth, prediction = logged(ids(), {"divisor": 100}), logged(ids() + 0, CARS)
    image = maskl.Image(PIXELS, masks={"ground_truth": truth, "predictions": prediction, "plain": logged(ids(), None)})
    with start() as run:
        run.log({"t": maskl.Table(["image", "n"], [[image, 1], [maskl.Image(PIXELS), 2], [None, 3]])})
    with start() as run:
        run.log({"u": maskl.Table(["image"], [[maskl.Image(PIXELS, masks={"plain": {"mask_data": ids()}})]])})
    store = maskl.open(run.dir)
    rows = store.table("t")
    assert rows[0]["image"] == image
    assert rows[0]["image"].masks["predictions"].segments == FOUND
    assert [segment.class_id for segment in rows[0]["image"].masks["ground_truth"].segments] == [0, 7, 3, 3]
    assert rows.to_arrow()["image__segments__predictions"].null_count == 2
    assert store.sql(
        "SELECT s.class_name, s.pixels, s.bbox FROM t, unnest(image__segments__predictions) AS u(s) WHERE s.iscrowd"
    ).fetchall() == [("car", 5, [3, 2, 5, 4])]
    assert "image__segments__plain" not in rows.to_arrow().column_names
    versions = {seal.version for seal in live_seals(Layout(store.root).files, {})}
    assert versions == {WRITTEN, SEGMENTED}  # a table without segments stays what older readers merge


def test_rows_that_no_seal_holds_yet_come_back(start: Start, store_dir: Path, tmp_path: Path) -> None:
    classes = [{"id": 3, "name": "car", "isthing": True}, {"id": 7, "name": "sky", "isthing": False}]
    image = maskl.Image(PIXELS, classes=classes, masks={"m": {"mask_data": ids(), "segments": CARS}})
    with start(id="r") as run:
        run.log({"t": maskl.Table(["image"], [[image]])})
        shutil.copytree(store_dir, tmp_path / "killed")
    layout = Layout(tmp_path / "killed")
    assert not live_seals(layout.files, {})
    recover(layout)
    (row,) = maskl.open(layout.root).table("t")
    assert row["image"].masks["m"].segments == FOUND
    assert [(item.id, item.isthing) for item in row["image"].masks["m"].class_set] == [(3, True), (7, False)]
    assert verify(layout).faults == []


def test_parts_with_segments_and_without_are_merged(start: Start, store_dir: Path) -> None:
    for number in range(6):
        masks = {"m": logged(ids(), CARS if number % 2 else None)}
        with start(id="r", resume="allow") as run:
            run.log({"t": maskl.Table(["image"], [[maskl.Image(PIXELS, masks=masks)]])})
    layout = Layout(store_dir)
    before = [row["image"].masks["m"].segments for row in maskl.open(store_dir).table("t")]
    assert before == [None, FOUND] * 3
    compact(layout, grace=0)
    assert len(list(Layout(store_dir).listing().of("rows"))) == 2  # those of 1.1 stay what older readers merge
    assert [row["image"].masks["m"].segments for row in maskl.open(store_dir).table("t")] == before
    assert verify(layout).faults == []


def test_a_table_that_is_logged_again_has_the_segments_of_the_last(start: Start) -> None:
    table = maskl.Table(["image"], log_mode="MUTABLE")
    with start() as run:
        table.add_data(maskl.Image(PIXELS, masks={"m": logged(ids(), CARS)}))
        run.log({"t": table})
        table.add_data(maskl.Image(PIXELS, masks={"m": logged(ids(), {"divisor": 100})}))
        run.log({"t": table})
    found = [row["image"].masks["m"].segments for row in maskl.open(run.dir).table("t")]
    assert (found[0], len(found[1])) == (FOUND, 4)


def test_an_image_of_a_store_is_logged_with_its_segments(start: Start) -> None:
    with start() as run:
        run.log({"t": maskl.Table(["image"], [[maskl.Image(PIXELS, masks={"m": logged(ids(), CARS)})]])})
    (row,) = maskl.open(run.dir).table("t")
    with start() as run:
        run.log({"again": maskl.Table(["image"], [[row["image"]]])})
    (again,) = maskl.open(run.dir).table("again")
    assert again["image"].masks["m"].segments == FOUND
    assert maskl.open(run.dir).verify().clean


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda item: item | {"pixels": 3}, "is said to have 3 pixels"),
        (lambda item: item | {"bbox": [0, 0, 2, 2]}, "in the box"),
        (lambda item: item | {"class_name": "자동차"}, "is called '자동차'"),
        (lambda item: item | {"id": 999}, "segment 999 has no pixel"),
        (lambda item: item | {"id": 302}, "two segments have one id"),
        (lambda item: item | {"bbox": [1]}, "its segments cannot be read"),
    ],
)
def test_verification_counts_them(
    start: Start, store_dir: Path, change: Callable[[dict[str, Any]], dict[str, Any]], problem: str
) -> None:
    with start() as run:
        run.log({"t": maskl.Table(["image"], [[maskl.Image(PIXELS, masks={"m": logged(ids(), CARS)})]])})
    (sealed,) = Layout(store_dir).listing().of("rows")
    table = pq.read_table(store_dir / sealed.part.path, partitioning=None)
    first, second = table["image__segments__m"][0].as_py()
    place = table.column_names.index("image__segments__m")
    changed = table.set_column(place, "image__segments__m", pa.array([[change(first), second]], stored.SEGMENTS))
    problems: list[Any] = []
    list(tables_of(changed, stored.columns_of(table.schema, "rows"), {}, problems, None))
    ((_, column, said),) = problems
    assert column == "image__segments__m"
    assert problem in said


def test_metrics_take_the_segments_of_a_mask() -> None:
    mask = maskl.ImageMask(logged(ids(), {"divisor": 100}), "truth")
    moved = maskl.ImageMask(logged(np.roll(ids(), 1, axis=0), {"divisor": 100}), "prediction")
    found = panoptic_quality(mask, moved)
    given = panoptic_quality(
        ids(), np.roll(ids(), 1, axis=0), truth_segments={"divisor": 100}, prediction_segments={"divisor": 100},
        classes=maskl.Classes([{"id": number, "name": name} for number, name in NAMES.items()]),
    )  # fmt: skip
    assert [getattr(found, name).tolist() for name in ("tp", "fp", "fn", "iou_sum")] == [
        getattr(given, name).tolist() for name in ("tp", "fp", "fn", "iou_sum")
    ]
    assert found.classes == given.classes
    classes = confusion_matrix(mask, moved)
    assert set(classes.truth_classes) == set(NAMES.values())


def test_pictures_show_the_classes_and_outline_objects() -> None:
    classes = [{"id": 3, "name": "car", "color": "#ff0000"}, {"id": 0, "name": "road", "color": "#0000ff"}]
    made = maskl.ImageMask({"mask_data": ids(), "segments": CARS}, "m")
    drawn, plain = (
        maskl.Image(PIXELS, classes=classes, masks={"m": mask})
        for mask in (made, maskl.ImageMask({"mask_data": made.class_data}, "m"))
    )
    between = np.zeros((6, 8), np.bool_)
    between[3, 3] = True  # where the second car begins, below the line to the sky
    for chosen, there in ((None, between), (["car"], between), ([3, "road"], between), (["road"], between & False)):
        one, other = (np.asarray(image.overlay("m", classes=chosen)) for image in (drawn, plain))
        assert np.array_equal((one != other).any(axis=2), there)
    assert len(drawn._repr_html_()) > 0
    assert maskl.Image(PIXELS, masks={"m": {"mask_data": ids()}}).masks["m"].object_data is None
