"""What W&B gets silently wrong, and what is right."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
from PIL import Image as PILImage

from tests.conformance.scenario import Side, differs, same
from tests.conformance.scenarios.images import RGB

MASK = np.eye(4, 5, dtype=np.uint8)


def labels(side: Side, image: Any) -> Any:
    """Return the labels that are kept of an image's masks."""
    return {key: mask["labels"] for key, mask in side.keep(image)["masks"].items()}


def two_tasks(side: Side) -> Any:
    return side.Image(
        RGB,
        masks={
            "a": {"mask_data": MASK, "class_labels": {0: "road", 1: "car"}},
            "b": {"mask_data": MASK, "class_labels": {0: "healthy", 1: "tumour"}},
        },
    )


@same('mask["class_labels"]', "Image(masks)")
def labels_of_two_masks_in_a_table(side: Side) -> object:
    """W&B mended these lately: a table's type holds the labels of each mask."""
    return labels(side, two_tasks(side))


@differs(
    'mask["class_labels"]',
    wandb={"a": {"0": "healthy", "1": "tumour"}, "b": {"0": "healthy", "1": "tumour"}},
    maskl={"a": {"0": "road", "1": "car"}, "b": {"0": "healthy", "1": "tumour"}},
)
def labels_of_mask_a_overwritten_by_those_of_mask_b(side: Side) -> object:
    image = side.loaded(two_tasks(side))
    return {key: side.names_of(image, key) for key in ("a", "b")}


@differs('mask["class_labels"]', "log(Image)", wandb=["sky", "sky"], maskl=["road", "sky"])
def labels_of_one_image_overwritten_by_those_of_the_next(side: Side) -> object:
    def made(names: dict[int, str]) -> Any:
        return side.Image(RGB, masks={"a": {"mask_data": MASK, "class_labels": names}})

    kept = side.log({"frame": made({0: "road"})}, {"frame": made({0: "sky"})})
    return [values["frame"]["masks"]["a"]["labels"]["0"] for _, values in kept.history]


@differs('mask["path"]', 'mask["class_labels"]', wandb={"a": None}, maskl={"a": {"0": "road", "1": "car"}})
def class_labels_of_a_path_mask_dropped(side: Side) -> object:
    path = side.directory / "mask.png"
    PILImage.fromarray(MASK).save(path)
    mask = {"path": str(path), "class_labels": {0: "road", 1: "car"}}
    return labels(side, side.Image(RGB, masks={"a": mask}, classes=[{"id": 0, "name": "other"}]))


@differs('mask["mask_data"]', wandb="TypeError", maskl=300)
def a_float_class_id_of_300(side: Side) -> object:
    try:
        image = side.Image(RGB, masks={"a": {"mask_data": np.full((4, 5), 300.0), "class_labels": {300: "car"}}})
        return side.keep(image)["masks"]["a"]["pixels"][0][0]
    except TypeError:
        return "TypeError"


@differs('mask["class_labels"]', wandb=["class_labels", "mask_data"], maskl=["mask_data"])
def the_callers_dict_changed(side: Side) -> object:
    mask: dict[str, Any] = {"mask_data": MASK}
    side.Image(RGB, masks={"a": mask})
    return sorted(mask)


@differs("Image(masks)", wandb="kept", maskl="freed")
def the_mask_array_kept_in_memory_after_logging(side: Side) -> object:
    array = MASK.copy()
    gone = weakref.ref(array)
    image = side.Image(RGB, masks={"a": {"mask_data": array, "class_labels": {0: "road"}}})
    with side.init() as run:
        run.log({"frame": image})
        del array
        gc.collect()
        return "kept" if gone() is not None else "freed"


@differs("Image(caption)", "log(list of Image)", wandb=[None, None], maskl=[None, "second"])
def the_first_caption_none_dropping_all(side: Side) -> object:
    images = [side.Image(RGB), side.Image(RGB[::-1].copy(), caption="second")]
    return [image.get("caption") for image in side.log({"frames": images}).last("frames")]


@differs("log(list of Image)", "Image.MAX_ITEMS", wandb=108, maskl=120)
def more_than_108_images_cut(side: Side) -> object:
    images = [side.Image(np.full((2, 2), number, np.uint8)) for number in range(120)]
    return len(side.log({"frames": images}).last("frames"))


@differs(
    "Table.MAX_ROWS",
    "Table.MAX_ARTIFACT_ROWS",
    "log(Table)",
    wandb={"kept": 5, "said": 8},
    maskl={"kept": 8, "said": 8},
)
def a_table_over_its_limit(side: Side) -> object:
    limits = {"MAX_ROWS": 3, "MAX_ARTIFACT_ROWS": 5}
    before = {name: getattr(side.Table, name) for name in limits if hasattr(side.Table, name)}
    for name in before:
        setattr(side.Table, name, limits[name])
    try:
        kept = side.log({"t": side.Table(columns=["id"], data=[[number] for number in range(8)])}).last("t")
    finally:
        for name, value in before.items():
            setattr(side.Table, name, value)
    return {"kept": len(kept["rows"]), "said": kept.get("rows_said", len(kept["rows"]))}


@differs("log(Table)", "Table.MAX_ROWS", wandb={"kept": 10000, "said": 10001}, maskl={"kept": 10001, "said": 10001})
def a_table_of_10001_rows_in_the_runs_own_files(side: Side) -> object:
    with side.init() as run:
        run.log({"t": side.Table(columns=["id"], data=[[number] for number in range(10_001)])})
    kept = side.kept(run).last("t")
    stored = side.media_json(run)[0]["data"] if side.name == "wandb" else kept["rows"]
    return {"kept": len(stored), "said": kept.get("rows_said", len(kept["rows"]))}


@differs("log(Table)", wandb="Image", maskl="the image")
def images_of_a_table_in_the_runs_own_files(side: Side) -> object:
    """Without a server only the run's files are there; the artifact stands in a cache until it is uploaded."""
    with side.init() as run:
        run.log({"t": side.Table(columns=["image"], data=[[side.Image(RGB)]])})
    if side.name == "wandb":
        (table,) = side.media_json(run)
        return table["data"][0][0]
    return "the image" if side.kept(run).last("t")["rows"][0][0]["pixels"] == RGB.tolist() else "something else"


@differs("Image(Image)", "Image(masks)", wandb=[], maskl=["a"])
def an_image_of_an_image_losing_its_masks(side: Side) -> object:
    one = side.Image(RGB, masks={"a": {"mask_data": MASK, "class_labels": {0: "road", 1: "car"}}})
    return sorted(side.keep(side.Image(one)).get("masks", {}))


@differs("Image(Image)", wandb=[], maskl=["a"])
def an_image_of_an_image_losing_its_boxes(side: Side) -> object:
    position = {"minX": 0.1, "maxX": 0.2, "minY": 0.3, "maxY": 0.4}
    boxes = {"a": {"box_data": [{"position": position, "class_id": 1}], "class_labels": {1: "car"}}}
    return sorted(side.keep(side.Image(side.Image(RGB, boxes=boxes))).get("boxes", {}))


@differs('mask["class_labels"]', wandb={"a": None}, maskl={"a": {"0": "road", "1": "car"}})
def a_masks_own_labels_lost_by_saving_and_loading(side: Side) -> object:
    """Read the image back as a value, and save that again."""
    image = side.Image(RGB, masks={"a": {"mask_data": MASK, "class_labels": {0: "road", 1: "car"}}})
    return labels(side, side.loaded(image))
