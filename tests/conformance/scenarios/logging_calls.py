"""What log() takes, and which step it goes to."""

from __future__ import annotations

import numpy as np

from tests.conformance.scenario import Side, differs, same
from tests.conformance.scenarios.images import RGB


@same("Run.log", "Run.log(data)")
def numbers_and_strings(side: Side) -> object:
    return side.log({"a": 1, "b": 0.5, "c": "도로", "d": True, "e": np.float32(0.25), "f": np.int64(3)}).history


@same("Run.log", "Run.log(data)")
def calls_one_after_another(side: Side) -> object:
    return side.log({"a": 1}, {"a": 2}, {"b": 3}).history


@same("Run.log(data)")
def data_that_is_no_dict(side: Side) -> object:
    with side.init() as run:
        return [side.error(lambda given=given: run.log(given)) for given in (3, [1], None, "a", {1: 2})]


@same("Run.log(data)")
def data_of_nothing(side: Side) -> object:
    return side.log({}, {"a": 1}).history


@same("Run.log(data)")
def nan_and_infinity(side: Side) -> object:
    return side.log({"b": float("nan"), "c": float("inf"), "d": float("-inf")}).history


@differs("Run.log(data)", wandb=[[0, {"a": None, "b": 1}]], maskl=[[0, {"b": 1.0}]])
def none(side: Side) -> object:
    return side.log({"a": None, "b": 1}).history


@same("Run.log(step)")
def steps(side: Side) -> object:
    with side.init() as run:
        run.log({"a": 1}, step=3)
        run.log({"b": 2}, step=3)
        run.log({"a": 3}, step=7)
        run.log({"a": 4})
    return side.kept(run).history


@same("Run.log(step)")
def an_equal_step_merges(side: Side) -> object:
    with side.init() as run:
        run.log({"a": 1, "b": 1}, step=2)
        run.log({"a": 2}, step=2)
    return side.kept(run).history


@differs(
    "Run.log(step)", wandb=[[5, {"a": 1}], [6, {"a": 3}]], maskl=[[3, {"a": 2.0}], [5, {"a": 1.0}], [6, {"a": 3.0}]]
)
def a_lower_step(side: Side) -> object:
    with side.init() as run:
        run.log({"a": 1}, step=5)
        run.log({"a": 2}, step=3)
        run.log({"a": 3}, step=6)
    return side.kept(run).history


@same("Run.log(step)", "Run.step")
def a_lower_step_leaves_the_counter(side: Side) -> object:
    with side.init() as run:
        run.log({"a": 1}, step=5)
        before = run.step
        run.log({"a": 2}, step=3)
        return [before, run.step]


@same("Run.log(step)")
def steps_that_are_none(side: Side) -> object:
    with side.init() as run:
        return [side.refuses(lambda given=given: run.log({"a": 1}, step=given)) for given in ("one", 1.5, [1])]


@differs("Run.log(step)", wandb=[None, []], maskl=[None, [[-1, {"a": 1.0}]]])
def a_negative_step(side: Side) -> object:
    with side.init() as run:
        error = side.error(lambda: run.log({"a": 1}, step=-1))
    return [error, side.kept(run).history]


@same("Run.log(commit)")
def without_commit(side: Side) -> object:
    with side.init() as run:
        run.log({"a": 1}, commit=False)
        run.log({"b": 2})
        run.log({"c": 3})
    return side.kept(run).history


@same("Run.log(commit)")
def without_commit_at_the_end(side: Side) -> object:
    with side.init() as run:
        run.log({"a": 1})
        run.log({"b": 2}, commit=False)
    return side.kept(run).history


@same("Run.log(commit)")
def with_commit_and_step(side: Side) -> object:
    with side.init() as run:
        run.log({"a": 1}, step=2, commit=True)
        run.log({"b": 2})
    return side.kept(run).history


@same("Run.step", "Run.starting_step")
def the_step_of_a_run(side: Side) -> object:
    with side.init() as run:
        found = [run.step, run.starting_step]
        run.log({"a": 1})
        found.append(run.step)
        run.log({"a": 1}, step=9)
        return [*found, run.step]


@same("log(Image)")
def an_image(side: Side) -> object:
    masks = {"truth": {"mask_data": np.eye(4, 5, dtype=np.uint8), "class_labels": {0: "road", 1: "도로"}}}
    return side.log({"frame": side.Image(RGB, caption="c", masks=masks)}).history


@same("log(list of Image)")
def a_list_of_images(side: Side) -> object:
    images = [side.Image(RGB, caption="a"), side.Image(RGB[::-1].copy(), caption="b")]
    return side.log({"frames": images}).history


@same("log(list of Image)")
def a_tuple_of_images(side: Side) -> object:
    images = (side.Image(RGB), side.Image(RGB[::-1].copy()))
    return side.log({"frames": images}).history


@same("log(list of Image)")
def no_images(side: Side) -> object:
    return side.log({"frames": [], "a": 1}).at(0).get("a")


@same("log(list of Image)")
def images_with_masks_in_a_list(side: Side) -> object:
    def made(value: int) -> object:
        mask = {"mask_data": np.full((4, 5), value, np.uint8), "class_labels": {0: "road", 1: "car"}}
        return side.Image(RGB, masks={"truth": mask})

    return side.log({"frames": [made(0), made(1)]}).last("frames")


@same("log(list of Image)")
def images_of_different_sizes(side: Side) -> object:
    found = side.log({"frames": [side.Image(RGB), side.Image(RGB[:2].copy())]}).last("frames")
    return [len(image["pixels"]) for image in found]


@differs(
    "log(nested dict)",
    wandb=[[0, {"train": {"deep": {"acc": 0.7}, "loss": 0.5}}]],
    maskl=[[0, {"train/deep/acc": 0.7, "train/loss": 0.5}]],
)
def nested_scalars(side: Side) -> object:
    return side.log({"train": {"loss": 0.5, "deep": {"acc": 0.7}}}).history


@differs("log(nested dict)", wandb={"val": {"frame": "RGB"}}, maskl={"val/frame": "RGB"})
def nested_images(side: Side) -> object:
    kept = side.log({"val": {"frame": side.Image(RGB)}}).at(0)
    return {key: value["mode"] if "mode" in value else {"frame": value["frame"]["mode"]} for key, value in kept.items()}


@differs("log(nested dict)", wandb=[[1]], maskl={"val/table": [[1]]})
def nested_tables(side: Side) -> object:
    with side.init() as run:
        run.log({"val": {"table": side.Table(columns=["a"], data=[[1]])}})
    kept = side.kept(run).at(0)
    return kept["val"]["table"]["rows"] if "val" in kept else {"val/table": kept["val/table"]["rows"]}


@same("log(DataFrame)")
def a_dataframe_becomes_a_table(side: Side) -> object:
    import pandas as pd

    kept = side.log({"scores": pd.DataFrame({"id": [1, 2], "이름": ["a", "b"]})}).last("scores")
    return [kept["columns"], kept["types"], kept["rows"]]


@same("log(Table)")
def a_table(side: Side) -> object:
    table = side.Table(columns=["id", "image"], data=[[1, side.Image(RGB)]])
    kept = side.log({"t": table}).last("t")
    return [kept["columns"], kept["types"], kept["rows"]]


@same("log(Table)")
def the_same_table_under_two_keys(side: Side) -> object:
    table = side.Table(columns=["id"], data=[[1]])
    kept = side.log({"one": table, "two": table})
    return [kept.last("one")["rows"], kept.last("two")["rows"]]


@differs("log(Classes)", "log(ImageMask)", wandb=["AssertionError", None], maskl=["TypeError", "TypeError"])
def what_cannot_be_logged_by_itself(side: Side) -> object:
    with side.init() as run:
        return [
            side.error(lambda: run.log({"classes": side.Classes([{"id": 0, "name": "road"}])})),
            side.error(lambda: run.log({"mask": side.ImageMask({"mask_data": np.zeros((2, 2), np.uint8)}, "m")})),
        ]


@differs(
    "Run.log(data)",
    wandb=[[0, {"array": [0.5, 1.5], "list": [1, 2]}]],
    maskl=[[0, {"array": "[0.5, 1.5]", "list": "[1, 2]"}]],
)
def lists_of_numbers_and_arrays(side: Side) -> object:
    return side.log({"list": [1, 2], "array": np.array([0.5, 1.5])}).history


@same("Run.log(data)")
def keys_with_slashes_and_korean(side: Side) -> object:
    return side.log({"val/loss": 0.5, "평가/정확도": 1}).history
