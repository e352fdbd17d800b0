"""What ``datasets`` makes of a dataset: every row decoded, with the right features and class names."""

from __future__ import annotations

import io
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image as PILImage

import maskl
from maskl.formats import huggingface
from maskl.interchange.selection import choose
from maskl_storage import decode

Load = Callable[[Path], Any]


@pytest.fixture(scope="session")
def datasets() -> ModuleType:
    """The library, kept from asking the network."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it warns of while it is imported is its own business
        import datasets

        datasets.disable_progress_bars()
    return datasets


@pytest.fixture
def load(datasets: ModuleType, tmp_path: Path) -> Load:
    def load(folder: Path) -> Any:
        return datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))

    return load


def test_datasets_decodes_every_row(store: maskl.Store, tmp_path: Path, load: Load) -> None:
    store.export("표", tmp_path / "out", "huggingface")
    rows, chosen = load(tmp_path / "out"), choose(store, "표")
    assert len(rows) == len(chosen) == 17
    decoded = 0
    for row, stored in zip(rows, chosen.rows, strict=True):
        assert (row["run_id"], row["_row"], row["id"]) == (stored.run_id, stored.row, stored["id"])
        image = stored["image"]
        if image is None or image.digest is None:
            assert row["image"] is None
        else:
            pixels = np.asarray(PILImage.open(io.BytesIO(store.image(image.digest))))
            assert np.array_equal(np.asarray(row["image"]), pixels)
        for key in ("ground_truth", "예측"):
            mask = None if image is None or key not in image.masks else decode(image.masks[key][0])
            found, exact = row[f"image__mask__{key}"], row[f"image__exact__{key}"]
            if exact is not None:
                assert (found, exact) == (None, image.masks[key][0])
            elif mask is None:
                assert found is None
            else:
                assert found.mode == ("L" if int(mask.max()) < 256 else "I;16")
                assert np.array_equal(np.asarray(found), mask)
                decoded += 1
            labels = rows.features[f"image__classes__{key}"].feature
            names = row[f"image__classes__{key}"]
            if mask is not None:
                known = {item.id: item.name for item in image.masks[key][1]}
                present = {known.get(number) or f"class_{number}" for number in np.unique(mask).tolist()}
                assert {labels.int2str(number) for number in names} == present
                assert names == sorted(names)
            else:
                assert names is None
    assert decoded > 8


def test_features_match_what_is_stored(store: maskl.Store, tmp_path: Path, load: Load, datasets: ModuleType) -> None:
    store.export("표", tmp_path / "out", "huggingface")
    (path,) = (tmp_path / "out" / "data").iterdir()
    schema = pq.read_schema(path)
    features = datasets.Features.from_arrow_schema(schema)
    assert features.arrow_schema.equals(schema)  # so that nothing is converted
    picture = [(entry.name, str(entry.type)) for entry in schema.field("image").type]
    assert picture == [("bytes", "binary"), ("path", "string")]
    assert isinstance(features["image"], datasets.Image)
    assert isinstance(features["image__mask__ground_truth"], datasets.Image)
    labels = features["image__classes__ground_truth"].feature
    assert isinstance(labels, datasets.ClassLabel)
    assert set(labels.names) >= {"도로", "car", "하늘", "street", "auto", "class_300"}
    assert len(set(labels.names)) == len(labels.names)
    assert load(tmp_path / "out").features == features


def test_boxes_keep_their_scores(store: maskl.Store, tmp_path: Path, load: Load) -> None:
    store.export("표", tmp_path / "out", "huggingface")
    chosen = choose(store, "표")
    counts = []
    for row, stored in zip(load(tmp_path / "out"), chosen.rows, strict=True):
        boxes = row["image__boxes__found"]
        expected = None if stored["image"] is None else stored["image"].boxes.get("found")
        assert (boxes is None) == (expected is None)
        if boxes is not None:
            assert [box["scores"] for box in boxes] == [[{"key": "loss", "value": 0.5}]] * len(expected[0])
            assert [tuple(box["position"]) for box in boxes] == [box.position for box in expected[0]]
            counts.append(len(boxes))
    assert sorted(set(counts)) == [1, 2]


def test_class_ids_of_a_column_are_labels(start: Any, store_dir: Path, tmp_path: Path, load: Load) -> None:
    kinds = maskl.Classes([{"id": 0, "name": "맑음"}, {"id": 1, "name": "rain"}])
    gaps = maskl.Classes([{"id": 3, "name": "a"}, {"id": 5, "name": "b"}])
    table = maskl.Table(["weather", "other"], [[1, 3], [0, 5], [None, None]])
    table.cast("weather", kinds.get_type(), optional=True)
    table.cast("other", gaps.get_type(), optional=True)
    with start() as run:
        run.log({"t": table})
    maskl.open(store_dir).export("t", tmp_path / "out", "huggingface")
    rows = load(tmp_path / "out")
    assert rows.features["weather"].names == ["맑음", "rain"]
    assert (rows["weather"][:], rows["other"][:]) == ([1, 0, None], [3, 5, None])


def test_shards_are_numbered_and_load_as_one(
    store: maskl.Store, tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface, "SHARD_BYTES", 8000)
    monkeypatch.setattr(huggingface, "GROUP_BYTES", 2000)
    monkeypatch.setattr("maskl.formats.rows._columnar.FIRST", 2)
    monkeypatch.setattr("maskl.formats.rows._columnar.PIECE_BYTES", 1000)
    store.export("표", tmp_path / "out", "huggingface")
    names = sorted(path.name for path in (tmp_path / "out" / "data").iterdir())
    assert len(names) > 1
    assert names == [f"train-{number:05}-of-{len(names):05}.parquet" for number in range(len(names))]
    assert [row["id"] for row in load(tmp_path / "out").select_columns(["id"])] == [
        row["id"] for row in choose(store, "표").rows
    ]


def test_limits_are_those_of_the_hub() -> None:
    assert huggingface.GROUP_BYTES < 100 << 20
    assert huggingface.SHARD_BYTES <= 500 << 20


def test_the_card_has_a_header_that_tools_read(store: maskl.Store, tmp_path: Path) -> None:
    store.export("표", tmp_path / "out", "huggingface")
    _, header, body = (tmp_path / "out" / "README.md").read_text("utf-8").split("---\n", 2)
    found = yaml.safe_load(header)
    assert found["pretty_name"] == "표"
    assert found["task_categories"] == ["image-segmentation"]
    assert found["size_categories"] == ["n<1K"]
    assert found["configs"] == [{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*"}]}]
    assert "| 0 | 도로 |  |" in body
    assert "| 2 | 하늘 | yes |" in body


def test_what_is_ours_stands_in_the_metadata(store: maskl.Store, tmp_path: Path) -> None:
    store.export("표", tmp_path / "out", "huggingface", columns=["image"], run="second")
    (path,) = (tmp_path / "out" / "data").iterdir()
    schema = pq.read_schema(path)
    described = json.loads(schema.metadata[b"maskl_export"])
    assert described["info"] == {"image__info": "image"}
    assert described["classes"] == {"image__classes__ground_truth": ["image", "ground_truth"]}
    assert set(described["exact"]) <= set(schema.names)
    assert set(json.loads(schema.metadata[b"maskl"])["columns"]) == {"image", "image__mask__ground_truth"}
