"""Values beside numbers and text, wherever they may be; copies of a run; what a metric's name and NaN come to."""

from __future__ import annotations

import copy
import enum
import pickle
import warnings
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from tests.conformance.scenario import Side, differs, same
from tests.conformance.scenarios.images import RGB


class Color(enum.Enum):
    """An enum whose members' names and values differ."""

    RED = 1


@dataclass
class Options:
    """A few settings."""

    lr: float = 0.5
    path: Path = Path("a/b")


def values() -> dict[str, Any]:
    """Return one of each kind that both packages keep alike."""
    return {
        "path": Path("data/이미지.png"),
        "set": {1, 2},
        "frozenset": frozenset({3}),
        "complex": 1 + 2j,
        "decimal": Decimal("1.50"),
        "uuid": UUID(int=3),
        "bytes": b"ab",
        "function": len,
        "texts": np.array(["a", "b"]),
        "three": np.array([1, 2, 3]),
        "square": np.array([[1, 2], [3, 4]]),
        "list": [1, [2, "a"], None],
    }


@same("value: array of one element")
def arrays_of_one_element_logged(side: Side) -> object:
    given = {"0d": np.array(1.5), "1": np.array([2.5]), "1x1": np.array([[2]]), "bool": np.array([True])}
    return side.log({**given, "list": [np.array([2.5]), np.array(1.0)]}).summary


@same("value: array of one element")
def arrays_of_one_element_in_the_summary(side: Side) -> object:
    with side.init() as run:
        run.summary.update({"0d": np.array(1.5), "1": np.array([2.5]), "1x1": np.array([[2]])})
        found = [run.summary["0d"], run.summary["1"]]
    return [found, side.kept(run).summary]


@differs("value: array of one element", wandb={"0d": "1.5", "1": "2.5"}, maskl={"0d": 1.5, "1": 2.5})
def arrays_of_one_element_in_the_config(side: Side) -> object:
    with side.init(config={"0d": np.array(1.5), "1": np.array([2.5])}) as run:
        pass
    return side.kept(run).config


@same("value: path, set, complex, Decimal, UUID, bytes, function", "value: array of several elements")
def values_logged(side: Side) -> object:
    return side.log(values()).summary


@same("value: list")
def a_logged_list_in_the_summary(side: Side) -> object:
    with side.init() as run:
        run.log({"list": [1, 2], "array": np.array([0.5, 1.5]), "nested": {"x": [1]}})
        return [run.summary["list"], run.summary["array"], run.summary["nested"]["x"]]


@same("value: path, set, complex, Decimal, UUID, bytes, function", "value: array of several elements")
def values_in_the_summary(side: Side) -> object:
    with side.init() as run:
        run.summary.update(values())
    return side.kept(run).summary


@same("value: path, set, complex, Decimal, UUID, bytes, function", "Run.config")
def values_in_the_config(side: Side) -> object:
    with side.init(config=values()) as run:
        pass
    return side.kept(run).config


@differs("value: array of several elements", wandb="histogram", maskl=33)
def a_larger_array_that_is_logged(side: Side) -> object:
    found = side.log({"x": np.arange(33)}).summary["x"]
    return "histogram" if isinstance(found, dict) else len(found)


@same("value: Enum", "value: dataclass")
def enums_and_dataclasses(side: Side) -> object:
    with side.init(config={"enum": Color.RED, "options": Options()}) as run:
        run.summary["enum"] = Color.RED
        run.log({"logged": Color.RED, "options": Options(), "list": [Color.RED]})
    kept = side.kept(run)
    return [kept.config, kept.summary]


@same("value: what nobody knows")
def an_object_that_is_logged(side: Side) -> object:
    with side.init() as run:
        return side.error(lambda: run.log({"x": object()}))


@same("column: set, array of text")
def sets_in_cells(side: Side) -> object:
    return [side.keep({1, 2}), side.keep(np.array(["a", "b"])), side.keep([{1}, {2}]), side.keep({"a": {1}})]


@same("column: Enum, function")
def enums_in_cells(side: Side) -> object:
    return [side.keep(Color.RED), side.keep([Color.RED]), side.keep({"a": Color.RED}), side.keep(len)]


@differs("column: path, complex, UUID", wandb=["TypeError"] * 3, maskl=[None] * 3)
def paths_in_cells(side: Side) -> object:
    return [side.error(lambda value=value: side.keep(value)) for value in (Path("a"), 1j, UUID(int=3))]


@same("column: list of arrays")
def lists_of_arrays_in_cells(side: Side) -> object:
    return [side.keep([np.array(1.0), np.array(2.0)]), side.keep([np.array([1.0]), np.array([2.0])])]


@differs(
    "column: Table",
    wandb={"columns": ["a"], "data": [[1]], "_type": "table", "nrows": 1},
    maskl={"columns": ["a"], "data": [[1]]},
)
def a_table_in_a_cell(side: Side) -> object:
    found = side.keep(side.Table(columns=["a"], data=[[1]]))
    return {key: found[key] for key in ("columns", "data", "_type", "nrows") if key in found}


@same("column: dict with Image")
def images_in_dicts_in_cells(side: Side) -> object:
    found = side.keep({"image": side.Image(RGB), "n": 1})
    return ["its text" if isinstance(found["image"], str) else "image", found["n"]]


@differs("copies of a run, its config and its summary", wandb=["RuntimeError"] * 3, maskl=["same"] * 3)
def pickles_in_the_same_process(side: Side) -> object:
    with side.init() as run:
        found = []
        for thing in (run, run.config, run.summary):
            try:
                found.append("same" if pickle.loads(pickle.dumps(thing)) is thing else "another")
            except RuntimeError:
                found.append("RuntimeError")
        return found


@same("copies of a run, its config and its summary")
def a_deep_copy_of_a_run(side: Side) -> object:
    with side.init() as run:
        return copy.deepcopy(run) is run


@differs("a key of a mask, boxes or class that is none of these", wandb=[None] * 3, maskl=["ConversionWarning"] * 3)
def unknown_keys(side: Side) -> object:
    mask = {"mask_data": np.eye(2, dtype=np.uint8), "class_label": {}}
    calls = (
        lambda: side.ImageMask(mask, "m"),
        lambda: side.BoundingBoxes2D({"box_data": [], "class_label": {}}, "b"),
        lambda: side.Classes([{"id": 1, "name": "a", "colour": "red"}]),
    )
    found = []
    for call in calls:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            call()
        found.append(told[0].category.__name__ if told else None)
    return found


@differs("Image.format", wandb=["png", "png", "jpg"], maskl=["webp", "png", "jpeg"])
def formats_of_images(side: Side) -> object:
    images = side.Image(RGB), side.Image(RGB[..., 0]), side.Image(RGB, file_type="jpg")
    return [image.format for image in images]


@differs("Image(caption)", wandb=3, maskl="3")
def a_caption_that_is_a_number(side: Side) -> object:
    return side.log({"i": side.Image(RGB, caption=3)}).last("i")["caption"]


@differs(
    "Run.define_metric(summary)",
    wandb={"min": "nan", "max": "nan", "mean": "nan"},
    maskl={"min": 1.0, "max": 3.0, "mean": 2.0},
)
def nan_in_metrics(side: Side) -> object:
    with side.init() as run:
        run.define_metric("a", summary="min,max,mean")
        for value in (1.0, float("nan"), 3.0):
            run.log({"a": value})
    return side.kept(run).summary["a"]


def largest(side: Side, name: str, key: dict[str, Any]) -> Any:
    with side.init() as run:
        run.define_metric(name, summary="max")
        run.log(key)
    return side.kept(run).summary


@same("Run.define_metric(name)")
def dots_in_the_names_of_metrics(side: Side) -> object:
    return [
        largest(side, r"a\.b", {"a.b": 3}),
        largest(side, "a.b", {"a": {"b": 3}}),
        largest(side, r"a\.b", {"a": {"b": 3}}),
        largest(side, r"a\.b.c", {"a.b": {"c": 3}}),
        largest(side, "a.*", {"a": {"b": 3}}),
    ]


@differs("Run.define_metric(name)", wandb={"a.b": 3}, maskl={"a.b": {"max": 3}})
def a_dot_that_is_not_escaped(side: Side) -> object:
    return largest(side, "a.b", {"a.b": 3})


@same("init(mode)", "Run.summary")
def the_summary_of_a_disabled_run(side: Side) -> object:
    run = side.init(mode="disabled")
    run.log({"a": 1, "list": [1, 2], "float": np.float32(0.5), "none": None, "path": Path("a")})
    found = [run.summary["a"], run.summary["list"], float(run.summary["float"]), str(run.summary["path"])]
    run.finish()
    return [*found, run.summary.get("none")]


@same("init(mode)")
def a_dry_run(side: Side) -> object:
    with side.init(mode="dryrun") as run:
        run.log({"a": 1})
    return [run.disabled, run.offline, side.kept(run).summary]


@differs("init(tags)", wandb=["o", "n", "e"], maskl=["one"])
def one_tag(side: Side) -> object:
    with side.init(tags="one") as run:
        return run.tags


@differs("init(dir)", wandb=None, maskl="ValueError")
def a_file_where_the_directory_should_be(side: Side) -> object:
    (side.directory / "file").write_text("x")
    return side.error(lambda: side.init(dir=str(side.directory / "file" / "x")).finish())


@same("Table.set_pk", "Table.set_fk")
def values_of_keys(side: Side) -> object:
    frames = side.Table(columns=["id", "n"], data=[["a", 1], ["b", 2]])
    frames.set_pk("id")
    boxes = side.Table(columns=["frame"], data=[[row[0]] for row in frames.data])
    return [frames.data, boxes.data, frames.get_column("id"), isinstance(boxes.data[0][0], str)]
