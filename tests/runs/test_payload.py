"""What ``log()`` takes: images, lists of any length, nested dicts, tables of other libraries, tensors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import maskl
from maskl import Image, Table

Start = Callable[..., maskl.Run]
PIXELS = np.zeros((2, 2), np.uint8)


def test_a_list_of_more_than_108_images_is_kept_whole(start: Start, store_dir: Path) -> None:
    images = [Image(PIXELS + i, caption=str(i)) for i in range(250)]
    with start() as run:
        run.log({"shots": images})
    rows = maskl.open(store_dir).table("shots")
    assert [(row["index"], row["image"].caption) for row in rows] == [(i, str(i)) for i in range(250)]
    assert rows[249]["image"] == images[249]


def test_captions_are_each_images_own_also_where_the_first_has_none(start: Start, store_dir: Path) -> None:
    with start() as run:
        run.log({"shots": [Image(PIXELS), Image(PIXELS, caption="b"), Image(PIXELS, caption="")]})
    assert [row["image"].caption for row in maskl.open(store_dir).table("shots")] == [None, "b", ""]


def test_dicts_are_nested_to_any_depth(start: Start, store_dir: Path) -> None:
    data: dict[str, Any] = {"loss": 1, "shots": [Image(PIXELS)], "t": Table(["a"], [[1]])}
    for _ in range(40):
        data = {"a": data}
    with start() as run:
        run.log(data)
    store = maskl.open(store_dir)
    above = "a/" * 40
    assert [table.name for table in store.tables()] == [f"{above}shots", f"{above}t"]
    assert store.sql("SELECT key FROM history").fetchall() == [(f"{above}loss",)]
    inner = dict(store.runs()[0].summary)
    for _ in range(40):
        inner = inner["a"]
    assert inner == {"loss": 1}


def test_labels_belong_to_each_mask_of_each_row(start: Start, store_dir: Path) -> None:
    """Logging other labels later, or for another mask, never changes what was stored."""

    def scene(**labels: dict[int, str]) -> Image:
        return Image(
            PIXELS, masks={key: {"mask_data": [[0, 1], [1, 0]], "class_labels": names} for key, names in labels.items()}
        )

    first = scene(truth={0: "sky", 1: "road"}, guess={0: "nothing", 1: "thing"})
    with start(name="one") as run:
        run.log({"shot": first})
        run.log({"shot": scene(truth={0: "road", 1: "sky"}, guess={0: "none", 1: "other"})})
        labels = {0: "x", 1: "y"}
        late = scene(truth=labels)
        labels[0] = "changed"
        run.log({"shot": late})
    with start(name="two") as run:
        run.log({"shot": scene(truth={0: "later", 1: "still"})})
    rows = maskl.open(store_dir).table("shot")
    kept = [{key: mask.class_labels for key, mask in row["image"].masks.items()} for row in rows]
    assert kept == [
        {"truth": {0: "sky", 1: "road"}, "guess": {0: "nothing", 1: "thing"}},
        {"truth": {0: "road", 1: "sky"}, "guess": {0: "none", 1: "other"}},
        {"truth": {0: "x", 1: "y"}},
        {"truth": {0: "later", 1: "still"}},
    ]
    assert rows[0]["image"] == first


class Tensor:
    """What is asked of a tensor of torch on another device that requires grad."""

    def __init__(self, values: Any, where: str = "gpu") -> None:
        self.values, self.where = np.asarray(values), where

    def detach(self) -> Tensor:
        return Tensor(self.values, "detached")

    def cpu(self) -> Tensor:
        assert self.where == "detached"
        return Tensor(self.values, "cpu")

    def numpy(self) -> Any:
        assert self.where == "cpu"
        return self.values

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("on another device")


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (Tensor(np.float32(0.5)), 0.5),
        (Tensor(3), 3),
        (Tensor([[1, 2]]), "[[1, 2]]"),
        (np.array([0.5, 1]), "[0.5, 1.0]"),
        ([1, "a"], '[1, "a"]'),
        (np.float16(0.25), 0.25),
        (np.bool_(True), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_scalars_and_arrays(start: Start, store_dir: Path, value: Any, kept: Any) -> None:
    with start() as run:
        run.log({"x": value})
    ((number, text),) = maskl.open(store_dir).sql("SELECT value, text FROM history").fetchall()
    assert (json.loads(text) if isinstance(kept, str) else number) == (
        json.loads(kept) if isinstance(kept, str) else kept
    )


def test_nan_is_kept_in_the_history_and_none_is_not(start: Start, store_dir: Path) -> None:
    with start() as run:
        run.log({"a": float("nan"), "b": np.float32("nan"), "c": None, "d": float("inf")})
    rows = maskl.open(store_dir).sql("SELECT key, CAST(value AS VARCHAR) FROM history ORDER BY _row").fetchall()
    assert rows == [("a", "nan"), ("b", "nan"), ("d", "inf")]


def frame_of(kind: str) -> Any:
    table = pa.table({"id": [1, 2, 3], "이름": ["가", None, "다"], "loss": [0.5, 1.5, None]})
    if kind == "pyarrow":
        return table
    if kind == "capsule":
        speaks = {"__arrow_c_stream__": lambda self, schema=None: table.__arrow_c_stream__(schema), "columns": ["id"]}
        return type("Frame", (), speaks)()
    return pytest.importorskip(kind).DataFrame({name: table[name].to_pylist() for name in table.column_names})


@pytest.mark.parametrize("kind", ["pyarrow", "capsule", "pandas", "polars"])
def test_a_frame_of_another_library_becomes_a_table(start: Start, store_dir: Path, kind: str) -> None:
    with start() as run:
        run.log({"val": {"frame": frame_of(kind)}}, step=4)
    rows = maskl.open(store_dir).table("val/frame")
    assert [(row.step, dict(row)) for row in rows] == [
        (4, {"id": 1, "이름": "가", "loss": 0.5}),
        (4, {"id": 2, "이름": None, "loss": 1.5}),
        (4, {"id": 3, "이름": "다", "loss": None}),
    ]


@pytest.mark.parametrize("logged", ["figure", "pyplot"])
def test_a_figure_becomes_an_image(start: Start, store_dir: Path, logged: str) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    pyplot = pytest.importorskip("matplotlib.pyplot")
    figure = pyplot.figure(figsize=(2, 1), dpi=50)
    with start() as run:
        run.log({"chart": figure if logged == "figure" else pyplot})
    assert maskl.open(store_dir).table("chart")[0]["image"].width == 100
    pyplot.close(figure)
