"""A second reader, written from SPEC.md with nothing but pyarrow, zlib and NumPy, reads the golden stores."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

GOLDEN = sorted((Path(__file__).parents[2] / "golden").glob("v*"))
#: boxes came with format 1.1
WITH_BOXES = [path for path in GOLDEN if path.name != "v1.0.0"]
DTYPES = dict(enumerate(["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"], 1))


def decode_mask(data: bytes) -> np.ndarray:
    """Section 3."""
    magic, version, codec, dtype, stored, height, width, crc = struct.unpack_from("<4sBBBBIII", data)
    assert (magic, version) == (b"MSKL", 1)
    payload = data[20:]
    assert zlib.crc32(payload, zlib.crc32(data[:16])) == crc
    value_type = np.dtype("<" + DTYPES[stored])
    if codec == 2:
        flat = decode_bands(payload, height, width, value_type)
    else:
        size = height * width * value_type.itemsize
        raw = payload if codec == 0 else pa.Codec("zstd").decompress(payload, size)
        flat = np.frombuffer(raw, value_type)
    order = ">" if dtype & 128 else "<"
    return flat.astype(order + DTYPES[dtype & 127]).reshape(height, width)


def decode_bands(payload: bytes, height: int, width: int, value_type: np.dtype) -> np.ndarray:
    events, runs = struct.unpack_from("<II", payload)
    raw = bytes(pa.Codec("zstd").decompress(payload[8:], 2 * events + runs * value_type.itemsize))
    gaps, bits = raw[:events], raw[events : 2 * events]
    starts, cell = [], -1
    for gap, row_bits in zip(gaps, bits, strict=True):
        cell += gap
        starts += [((cell // width) * 8 + i) * width + cell % width for i in range(8) if row_bits >> i & 1]
    starts.sort()
    assert len(starts) == runs
    values = np.frombuffer(raw[2 * events :], value_type)
    return np.repeat(values, np.diff([*starts, height * width]))


def live_parts(store: Path, kind: str) -> list[Path]:
    """Section 2."""
    seals = {path.relative_to(store).as_posix(): json.loads(path.read_text()) for path in store.glob("seals/*/*.json")}
    dead = {path for seal in seals.values() for path in seal["replaces"]}
    live = [(seal, part["path"]) for path, seal in seals.items() if path not in dead for part in seal["parts"]]
    highest: dict[tuple[str, str], int] = {}
    for seal, path in live:
        key = (seal["run_id"], table_of(path))
        highest[key] = max(highest.get(key, 0), seal["generation"])
    return [
        store / path
        for seal, path in live
        if path.startswith(kind + "/")
        and (not table_of(path) or seal["generation"] == highest[seal["run_id"], table_of(path)])
    ]


def table_of(path: str) -> str:
    """Return the table of a part, empty for those that belong to none."""
    return "".join(unquote(name[11:]) for name in path.split("/") if name.startswith("table_name="))


def load_text(text: str) -> object:
    """Section 4, JSON text."""

    def plain(found: dict[str, object]) -> object:
        forms = {
            "$float": float,
            "$bytes": base64.b64decode,
            "$time": datetime.fromisoformat,
            "$array": lambda items: np.array(items, found["dtype"]).reshape(found["shape"]),
            "$dict": dict,
        }
        for tag in list(found)[:1]:
            if tag in forms:
                return forms[tag](found[tag])
        return found

    return json.loads(text, object_hook=plain)


def test_there_are_golden_stores() -> None:
    assert GOLDEN
    assert WITH_BOXES


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.name)
def test_second_reader_finds_what_was_logged(golden: Path) -> None:
    store = golden / "maskl-store"
    assert json.loads((store / "maskl.json").read_text())["format"] == "maskl"
    expected = json.loads((golden / "expected.json").read_text())
    (path,) = live_parts(store, "rows")
    assert unquote(path.parent.name) == "run_id=golden/1"
    assert path.parent.parent.name == "table_name=표"
    table = pq.read_table(path, partitioning=None)
    columns = json.loads(table.schema.metadata[b"maskl"])["columns"]
    rows = table.to_pylist()
    assert [row["_row"] for row in rows] == list(range(len(expected)))
    assert {row["_step"] for row in rows} == {4}
    for row, wanted in zip(rows, expected, strict=True):
        assert (row["name"], row["score"]) == (wanted["name"], wanted["score"])
        assert row["image"]["caption"] == f"mask {row['_row']}"
        if wanted["mask"] is None:
            assert row["image__mask__참값"] is None
            continue
        mask = decode_mask(row["image__mask__참값"])
        assert mask.dtype.str == wanted["dtype"]
        assert np.array_equal(mask.astype(np.int64), wanted["mask"])
        items = columns["image__mask__참값"]["class_sets"][row["image__set__참값"] or 0]
        names = {item["id"]: item["name"] for item in items}
        assert names[0] == wanted["zero"]
        assert [item["id"] for item in items if item.get("ignore")] == [8]


def position_of(box: dict) -> dict:
    """Section 4: a position as it was logged."""
    a, b, c, d = box["position"]
    if box["form"] == "center":
        return {"middle": [a, b], "width": c, "height": d}
    assert box["form"] == "corners"
    return {"minX": a, "minY": b, "maxX": c, "maxY": d}


def corners_of(box: dict, width: int, height: int) -> list[float]:
    a, b, c, d = box["position"]
    if box["form"] == "center":
        a, b, c, d = a - c / 2, b - d / 2, a + c / 2, b + d / 2
    if box["domain"] == "pixel":
        a, b, c, d = a / width, b / height, c / width, d / height
    return [a, b, c, d]


@pytest.mark.parametrize("golden", WITH_BOXES, ids=lambda path: path.name)
def test_second_reader_finds_the_boxes_that_were_logged(golden: Path) -> None:
    expected = json.loads((golden / "expected.json").read_text())
    (path,) = live_parts(golden / "maskl-store", "rows")
    table = pq.read_table(path, partitioning=None)
    column = json.loads(table.schema.metadata[b"maskl"])["columns"]["image__boxes__참값"]
    assert {key: column[key] for key in ("kind", "name", "image", "key")} == {
        "kind": "boxes", "name": "image", "image": "image", "key": "참값",
    }  # fmt: skip
    found = 0
    for row, wanted in zip(table.to_pylist(), expected, strict=True):
        if wanted["boxes"] is None:
            assert row["image__boxes__참값"] is None
            continue
        assert len(row["image__boxes__참값"]) == len(wanted["boxes"])
        number = row["image__set__boxes__참값"] or 0
        names = {str(item["id"]): item["name"] for item in column["class_sets"][number]}
        assert names == wanted["box_names"]
        for box, logged in zip(row["image__boxes__참값"], wanted["boxes"], strict=True):
            assert position_of(box) == logged["position"]
            assert box["domain"] == logged.get("domain", "fractional")
            assert [box[name] for name in ("min_x", "min_y", "max_x", "max_y")] == corners_of(box, 4, 4)
            assert (box["class_id"], box["caption"]) == (logged.get("class_id"), logged.get("box_caption"))
            assert box["class_name"] == names.get(str(box["class_id"]))
            assert (None if box["scores"] is None else dict(box["scores"])) == logged.get("scores")
            found += 1
    assert found > 10


@pytest.mark.parametrize("golden", WITH_BOXES, ids=lambda path: path.name)
def test_maskl_reads_golden_boxes(golden: Path) -> None:
    import maskl

    expected = json.loads((golden / "expected.json").read_text())
    for row, wanted in zip(maskl.open(golden / "maskl-store").table("표"), expected, strict=True):
        boxes = row["image"].boxes
        assert {key: value.box_data for key, value in boxes.items()} == (
            {} if wanted["boxes"] is None else {"참값": wanted["boxes"]}
        )


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.name)
def test_golden_statistics_are_those_of_the_masks(golden: Path) -> None:
    store = golden / "maskl-store"
    expected = json.loads((golden / "expected.json").read_text())
    (path,) = live_parts(store, "class_pixels")
    counted = {}
    for row in pq.read_table(path, partitioning=None).to_pylist():
        if row["pixels"] and row["mask_key"] == "참값":
            counted.setdefault(row["_row"], {})[row["class_id"]] = row["pixels"]
        assert row["ignored"] == (row["class_id"] == 8 and row["mask_key"] == "참값")
    for number, wanted in enumerate(expected):
        if wanted["mask"] is not None:
            ids, pixels = np.unique(np.array(wanted["mask"]), return_counts=True)
            assert counted[number] == dict(zip(ids.tolist(), pixels.tolist(), strict=True))


def counts_of(
    truth: np.ndarray, prediction: np.ndarray, names: tuple[dict, dict], ignored: int
) -> dict[str, list[int]]:
    """Section 4, class_scores: what is true, falsely positive and falsely negative of each class of the truth."""
    ids = set(np.unique(truth).tolist())
    of_truth, of_prediction = (
        {**{i: f"class_{i}" for i in ids | set(np.unique(prediction).tolist())}, **n} for n in names
    )
    classes = {name for number, name in names[0].items() if number != ignored}
    classes |= {of_truth[number] for number in ids - {ignored}}
    counts = {name: [0, 0, 0] for name in classes}
    for a, b in zip(truth.reshape(-1).tolist(), prediction.reshape(-1).tolist(), strict=True):
        if a != ignored:
            name, other = of_truth[a], of_prediction[b]
            counts[name][0 if name == other else 2] += 1
            if name != other and other in classes:
                counts[other][1] += 1
    return counts


SCORED = [golden for golden in GOLDEN if (golden / "maskl-store" / "scores").exists()]


@pytest.mark.parametrize("golden", SCORED, ids=lambda path: path.name)
def test_golden_scores_are_those_of_the_masks(golden: Path) -> None:
    assert SCORED
    store = golden / "maskl-store"
    expected = json.loads((golden / "expected.json").read_text())
    (by_class,) = live_parts(store, "class_scores")
    (by_row,) = live_parts(store, "scores")
    rows = [row for row in pq.read_table(by_row, partitioning=None).to_pylist() if row["truth_key"] == "참값"]
    classes: dict[int, dict[str, list[int]]] = {}
    for row in pq.read_table(by_class, partitioning=None).to_pylist():
        if row["truth_key"] == "참값":
            classes.setdefault(row["_row"], {})[row["class_name"]] = [row["tp"], row["fp"], row["fn"]]
    assert [row["_row"] for row in rows] == [number for number, wanted in enumerate(expected) if wanted["mask"]]
    for row in rows:
        wanted = expected[row["_row"]]
        truth, prediction = np.array(wanted["mask"]), np.array(wanted["predicted"])
        found = classes[row["_row"]]
        assert row["same_size"] == (truth.shape == prediction.shape)
        if not row["same_size"]:
            assert row["mean_iou"] is None
            assert set(map(tuple, found.values())) == {(None, None, None)}
            continue
        labels = {number: f"종류 {number}" for number in range(9)}
        counts = counts_of(truth, prediction, ({**labels, 0: wanted["zero"]}, labels), 8)
        assert found == counts
        ious = [tp / (tp + fp + fn) for tp, fp, fn in counts.values() if tp + fp + fn]
        dices = [2 * tp / (2 * tp + fp + fn) for tp, fp, fn in counts.values() if tp + fp + fn]
        assert row["mean_iou"] == pytest.approx(np.mean(ious), rel=1e-12)
        assert row["mean_dice"] == pytest.approx(np.mean(dices), rel=1e-12)
        right, wrong = (sum(count[place] for count in counts.values()) for place in (0, 2))
        assert row["pixel_accuracy"] == pytest.approx(right / (right + wrong), rel=1e-12)


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.name)
def test_golden_images_decode(golden: Path) -> None:
    import io

    from PIL import Image

    (path,) = live_parts(golden / "maskl-store", "images")
    for number, row in enumerate(pq.read_table(path, partitioning=None).to_pylist()):
        image = Image.open(io.BytesIO(row["bytes"]))
        assert (image.format.lower(), image.mode, image.size) == (row["format"], row["mode"], (4, 4))
        assert np.array_equal(np.array(image), np.full((4, 4, 3), number, np.uint8))


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.name)
def test_maskl_reads_golden_stores(golden: Path) -> None:
    import maskl

    expected = json.loads((golden / "expected.json").read_text())
    rows = maskl.open(golden / "maskl-store").table("표", run="golden/1")
    for row, wanted in zip(rows, expected, strict=True):
        masks = row["image"].masks
        if wanted["mask"] is None:
            assert masks == {}
        else:
            assert masks["참값"].mask_data.dtype.str == wanted["dtype"]
            assert np.array_equal(masks["참값"].mask_data.astype(np.int64), wanted["mask"])
            assert masks["참값"].class_labels[0] == wanted["zero"]


def test_second_reader_sees_the_latest_generation_and_its_json_text(start: Callable[..., Any], store_dir: Path) -> None:
    import maskl
    import maskl_storage

    value = {"a": [b"x", float("inf"), datetime(2026, 1, 2)], 1: {"$b": None}}
    with start() as run:
        for version in range(3):
            table = maskl.Table(["key", "class", "any"], log_mode="MUTABLE", allow_mixed_types=True)
            table.add_data(f"k{version}", version, "text")
            table.add_data(f"k{version + 1}", version, value)
            table.set_pk("key")
            table.cast("class", maskl.Classes([{"id": number, "name": f"c{number}"} for number in range(3)]).get_type())
            run.log({"t": table, "other": maskl.Table(["n"], [[version]])}, step=version)
            maskl.open(store_dir).refresh()
    listed = maskl_storage.Layout(store_dir).listing()
    assert sorted(live_parts(store_dir, "rows")) == sorted(store_dir / s.part.path for s in listed.of("rows"))
    (path,) = [path for path in live_parts(store_dir, "rows") if table_of(str(path)) == "t"]
    table = pq.read_table(path, partitioning=None)
    metadata = json.loads(table.schema.metadata[b"maskl"])
    assert table["key"].to_pylist() == ["k2", "k3"]
    assert table["_step"].to_pylist() == [2, 2]
    assert [load_text(text) for text in table["any"].to_pylist()] == ["text", value]
    assert metadata["primary_key"] == "key"
    (classes,) = metadata["columns"]["class"]["class_sets"]
    assert {item["id"]: item["name"] for item in classes}[table["class"][0].as_py()] == "c2"


def test_second_reader_sees_histograms_and_the_roles_of_columns(start: Callable[..., Any], store_dir: Path) -> None:
    import maskl

    plain = {"edges": [1.0, 2.0, 3.0], "counts": [1, 3]}
    histogram = maskl.Histogram(np_histogram=(plain["counts"], plain["edges"]))
    with start() as run:
        run.log({"loss": 0.5, "note": "{}"})
    with start() as run:
        table = maskl.EvalTable(["질문", "h"], [["a", histogram]], input_columns=["질문"])
        run.log({"grads": histogram, "eval": table})
    history = [row for path in live_parts(store_dir, "history") for row in pq.read_table(path).to_pylist()]
    found = {row["key"]: (row["value"], row["text"], row.get("form")) for row in history}
    assert (found["loss"], found["note"]) == ((0.5, None, None), (None, "{}", None))
    assert found["grads"][::2] == (None, "json")
    assert load_text(str(found["grads"][1])) == {"$histogram": plain}
    (path,) = live_parts(store_dir, "rows")
    rows = pq.read_table(path, partitioning=None)
    assert load_text(rows["h"].to_pylist()[0]) == {"$histogram": plain}
    metadata = json.loads(rows.schema.metadata[b"maskl"])
    assert metadata["version"] == "1.2.0"
    assert {name: column["roles"] for name, column in metadata["columns"].items()} == {
        "질문": ["input"],
        "h": ["output"],
    }
