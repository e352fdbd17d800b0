"""Datasets that Hugging Face's ``datasets`` wrote: folders of ``save_to_disk`` and Parquet with features."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image as PILImage

import maskl
from maskl.errors import AbsentSegmentsWarning, CorruptData, InvalidValue, MasklError
from maskl.formats import format_of
from maskl.importing.importer import import_dataset

LABELS = ["하늘", "car"]


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The peer, which keeps its caches below the test's folder and asks no server."""
    before = {name: os.environ.get(name) for name in ("HF_HOME", "HF_HUB_OFFLINE")}
    os.environ |= {"HF_HOME": str(tmp_path_factory.mktemp("home")), "HF_HUB_OFFLINE": "1"}
    yield pytest.importorskip("datasets")
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


def pixels(row: int) -> Any:
    return np.random.default_rng(row).integers(0, 256, (5, 6, 3), np.uint8)


def mask(row: int) -> Any:
    return np.random.default_rng(100 + row).integers(0, 2, (5, 6), np.uint8)


def made(datasets: Any, rows: int, first: int = 0) -> Any:
    """Return a dataset of images, masks and labels; row 1 has no image, row 2 no label."""
    numbers = range(first, first + rows)
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "annotation": datasets.Image(),
            "label": datasets.ClassLabel(names=LABELS),
            "글": datasets.Value("string"),
            "scores": datasets.List(datasets.Value("float32")),
        }
    )
    columns = {
        "image": [None if row == 1 else PILImage.fromarray(pixels(row)) for row in numbers],
        "annotation": [None if row == 1 else PILImage.fromarray(mask(row)) for row in numbers],
        "label": [-1 if row == 2 else row % 2 for row in numbers],
        "글": [f"글 {row}" for row in numbers],
        "scores": [[0.5, row] for row in numbers],
    }
    return datasets.Dataset.from_dict(columns, features=features)


def assert_rows(rows: maskl.StoredTable, numbers: range, *, masks: bool) -> None:
    assert len(rows) == len(numbers)
    for row, number in zip(rows, numbers, strict=True):
        assert row["글"] == f"글 {number}"
        assert row["label"] == (None if number == 2 else number % 2)
        assert row["scores"] == [0.5, number]
        assert ("annotation" in row) is not masks
        if number == 1:
            assert row["image"] is None
            continue
        assert np.array_equal(np.asarray(row["image"].image), pixels(number))
        if masks:
            assert np.array_equal(row["image"].masks["annotation"].mask_data, mask(number))


@pytest.mark.parametrize("masks", [(), ("annotation",)])
def test_a_dataset_on_disk(datasets: Any, tmp_path: Path, masks: tuple[str, ...]) -> None:
    made(datasets, 4).save_to_disk(tmp_path / "street", num_shards=2)
    assert format_of(tmp_path / "street").name == "huggingface"
    found = import_dataset(tmp_path / "street", dir=tmp_path / "s", masks=masks)
    assert found.rows == {"street": 4}
    rows = maskl.open(tmp_path / "s").table("street")
    assert_rows(rows, range(4), masks=bool(masks))
    described = {column.name: column for part in rows._parts for column in part.described.columns.values()}
    assert [item.name for item in described["label"].class_sets[0]] == LABELS


def test_a_panoptic_set_comes_in_with_its_segments(datasets: Any, tmp_path: Path) -> None:
    """As the Hub has them: a picture of ids, and a list of what each stands for; what no segment has is void."""
    label = np.zeros((2, 3, 3), np.uint8)
    label[0, :2], label[1, 0] = (1, 2, 0), (1, 0, 1)
    said = [
        {"id": 513, "category_id": 3, "iscrowd": 0, "area": 2, "bbox": [0, 0, 2, 1]},
        {"id": 65537, "category_id": 0, "iscrowd": 1, "area": 1, "bbox": [0, 1, 1, 1]},
    ]
    columns = {
        "image": [PILImage.fromarray(np.full((2, 3, 3), row, np.uint8)) for row in range(3)],
        "label": [PILImage.fromarray(label), PILImage.fromarray(np.zeros((2, 3, 3), np.uint8)), None],
        "segments_info": [said, [], None],
    }
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.Image(),
            "segments_info": datasets.List(
                {
                    **{name: datasets.Value("int64") for name in ("id", "category_id", "iscrowd", "area")},
                    "bbox": datasets.List(datasets.Value("int64")),
                }
            ),
        }
    )
    classes = tmp_path / "classes.json"
    classes.write_text(json.dumps([{"id": 0, "name": "wall"}, {"id": 3, "name": "car", "isthing": True}]), "utf-8")
    datasets.Dataset.from_dict(columns, features=features).save_to_disk(tmp_path / "street")
    import_dataset(tmp_path / "street", dir=tmp_path / "s", masks=("label",), classes=classes)
    rows = list(maskl.open(tmp_path / "s").table("street"))
    assert list(rows[0]) == ["image"]
    first, second = (row["image"].masks["label"] for row in rows[:2])
    assert first.class_data.tolist() == [[3, 3, 255], [0, 255, 255]]
    assert first.mask_data.tolist() == [[513, 513, 255], [65537, 255, 255]]
    assert [(one.id, one.class_id, one.iscrowd) for one in first.segments] == [(513, 3, False), (65537, 0, True)]
    assert (first.ignore_index, second.ignore_index, second.segments) == ({255}, {255}, ())
    assert {item.name: item.isthing for item in first.class_set} == {"wall": None, "car": True, "void": None}
    assert rows[2]["image"].masks == {}
    # without the column they would be classes
    store = maskl.open(tmp_path / "s")
    store.export("street", tmp_path / "again", "huggingface")
    table = datasets.load_dataset(str(tmp_path / "again"), split="train", cache_dir=str(tmp_path / "cache"))
    out = table[0]["image__segments__label"]
    assert [{key: one[key] for key in said[0]} for one in out] == said
    assert [one["category_name"] for one in out] == ["car", "wall"]


PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
SAID = pa.list_(pa.struct([("id", pa.int64()), ("category_id", pa.int64()), ("score", pa.float64())]))


def panoptic(folder: Path, said: Any, kind: pa.DataType = SAID) -> Path:
    """Write one row whose mask is of the ids 7, 7 and 255."""
    data = []
    for array in (np.zeros((1, 3), np.uint8), np.array([[7, 7, 255]], np.uint8)):
        file = io.BytesIO()
        PILImage.fromarray(array).save(file, "PNG")
        data.append(pa.array([{"bytes": file.getvalue(), "path": None}], PICTURE))
    columns = {"image": data[0], "label": data[1], "segments_info": pa.array([said], kind)}
    pq.write_table(pa.table(columns), folder / "a.parquet")
    return folder / "a.parquet"


def test_segments_as_lists_by_key_and_ids_that_void_has_too(tmp_path: Path) -> None:
    lists = pa.struct([("id", pa.list_(pa.int64())), ("category_id", pa.list_(pa.int64()))])
    source = panoptic(tmp_path, {"id": [7, 255], "category_id": [1, 255]}, lists)
    import_dataset(source, dir=tmp_path / "s", masks=("label",))
    (row,) = maskl.open(tmp_path / "s").table("a")
    assert row["image"].masks["label"].class_data.tolist() == [[1, 1, 255]]
    import_dataset(panoptic(tmp_path, [{"id": 255, "category_id": 255}]), dir=tmp_path / "t", masks=("label",))
    (row,) = maskl.open(tmp_path / "t").table("a")
    mask = row["image"].masks["label"]
    assert mask.mask_data.tolist() == [[65_535, 65_535, 255]]
    assert (mask.ignore_index, [one.class_id for one in mask.segments]) == ({65_535}, [255])


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ([{"id": 7, "category_id": 1}, {"id": 7, "category_id": 2}], "segment 7 occurs twice"),
        ([{"id": None, "category_id": 1}], "lacks 'id'"),
        ([{"id": 7, "category_id": None}], "segment 7 has no class"),
        ([{"id": 1 << 40, "category_id": 1}], "within signed 32 bits"),
        ([{"id": 7, "category_id": 1, "score": float("nan")}], "must be finite"),
        ([None], "must be a dict"),
    ],
)
def test_what_no_segments_are_is_named(tmp_path: Path, said: Any, words: str) -> None:
    with pytest.raises(MasklError, match=rf"a\.parquet, row 0: column 'label': .*{words}"):
        import_dataset(panoptic(tmp_path, said), dir=tmp_path / "s", masks=("label",))


def test_a_segment_without_a_pixel_is_dropped_and_said(tmp_path: Path) -> None:
    source = panoptic(tmp_path, [{"id": 7, "category_id": 1}, {"id": 9, "category_id": 1}])
    with pytest.warns(AbsentSegmentsWarning, match="no pixel of segment 9"):
        import_dataset(source, dir=tmp_path / "s", masks=("label",))


def test_a_mask_of_segments_is_bounded_as_what_is_painted_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maskl.interchange.untrusted.MAX_CODED", 2)
    with pytest.raises(InvalidValue, match="claims 3×1 pixels; pictures of up to 2 are imported"):
        import_dataset(panoptic(tmp_path, []), dir=tmp_path / "s", masks=("label",))


def test_a_dict_of_splits_on_disk(datasets: Any, tmp_path: Path) -> None:
    splits = datasets.DatasetDict({"train": made(datasets, 3), "test": made(datasets, 2, 3)})
    splits.save_to_disk(tmp_path / "street")
    found = import_dataset(tmp_path / "street", dir=tmp_path / "s", masks=("annotation",))
    assert (found.rows, len(found.runs)) == ({"train": 3, "test": 2}, 1)
    store = maskl.open(tmp_path / "s")
    assert_rows(store.table("train"), range(3), masks=True)
    assert_rows(store.table("test"), range(3, 5), masks=True)


def test_parquet_of_datasets(datasets: Any, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    made(datasets, 3).to_parquet(tmp_path / "data" / "train-00000-of-00001.parquet")
    made(datasets, 2, 3).to_parquet(tmp_path / "data" / "test-00000-of-00001.parquet")
    assert format_of(tmp_path).name == "huggingface"
    found = import_dataset(tmp_path, dir=tmp_path / "s", masks=("annotation",))
    assert found.rows == {"train": 3, "test": 2}
    assert_rows(maskl.open(tmp_path / "s").table("train"), range(3), masks=True)


def test_classes_of_a_file_are_those_of_the_masks_and_255_counts_for_nothing(datasets: Any, tmp_path: Path) -> None:
    """As people have them: names by id, and 255 for what is not labelled."""
    pixels_of = np.array([[0, 1, 255], [1, 1, 255]], np.uint8)
    pictures = {"image": [PILImage.new("RGB", (3, 2))], "annotation": [PILImage.fromarray(pixels_of)]}
    features = datasets.Features({name: datasets.Image() for name in pictures})
    datasets.Dataset.from_dict(pictures, features=features).save_to_disk(tmp_path / "street")
    classes = [{"id": 0, "name": "wall"}, {"id": 1, "name": "건물"}, {"id": 255, "name": "void", "ignore": True}]
    (tmp_path / "names.json").write_text(json.dumps(classes), "utf-8")
    found = import_dataset(
        tmp_path / "street", dir=tmp_path / "s", masks="annotation", classes=tmp_path / "names.json", table="t"
    )
    store = maskl.open(tmp_path / "s")
    mask = store.table("t")[0]["image"].masks["annotation"]
    assert mask.class_labels == {0: "wall", 1: "건물", 255: "void"}
    assert mask.ignore_index == {255}
    counted = store.sql(
        "SELECT class_name, ignored, pixels FROM class_pixels WHERE table_name = 't' ORDER BY pixels DESC, 1"
    ).fetchall()
    assert counted == [("건물", False, 3), ("void", True, 2), ("wall", False, 1)]
    assert found.unused == ("files *.json: 1, such as dataset_info.json",)
    with pytest.raises(InvalidValue, match=r"say which columns are masks \(--mask\)"):
        import_dataset(tmp_path / "street", dir=tmp_path / "none", classes=tmp_path / "names.json")


def test_masks_that_are_not_there(datasets: Any, tmp_path: Path) -> None:
    made(datasets, 1).save_to_disk(tmp_path / "street")
    with pytest.raises(InvalidValue, match="'label' cannot be a mask"):
        import_dataset(tmp_path / "street", dir=tmp_path / "s", masks=("label",))
    with pytest.raises(InvalidValue, match="there is no other column"):
        import_dataset(tmp_path / "street", dir=tmp_path / "s", masks=("image", "annotation"))


def test_files_that_climb_out_are_gone_or_cut_off(datasets: Any, tmp_path: Path) -> None:
    folder = tmp_path / "street"
    made(datasets, 3).save_to_disk(folder)
    state = folder / "state.json"
    before = state.read_text()
    for name, error, words in (
        ("../x.arrow", InvalidValue, "leads out of"),
        ("none.arrow", InvalidValue, "there is no file"),
        (7, CorruptData, "_data_files"),
    ):
        state.write_text(json.dumps(json.loads(before) | {"_data_files": [{"filename": name}]}))
        with pytest.raises(error, match=words):
            import_dataset(folder, dir=tmp_path / "s")
    state.write_text("{")
    with pytest.raises(CorruptData, match="not JSON"):
        import_dataset(folder, dir=tmp_path / "s")
    state.write_text(before)
    (data,) = folder.glob("*.arrow")
    data.write_bytes(data.read_bytes()[:-600])
    with pytest.raises(CorruptData, match=r"\.arrow: not a whole"):
        import_dataset(folder, dir=tmp_path / "s")
    assert not (tmp_path / "s").exists()
