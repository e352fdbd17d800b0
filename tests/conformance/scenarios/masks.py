"""Masks: their data, their labels, their keys."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image as PILImage

from tests.conformance.scenario import Side, differs, plain, same
from tests.conformance.scenarios.images import RGB, tensor

MASK = (np.arange(20).reshape(4, 5) % 3).astype(np.uint8)
LABELS = {0: "road", 1: "car", 2: "하늘"}


def kept(side: Side, **mask: Any) -> Any:
    """Return what is kept of one mask of an image."""
    return side.keep(side.Image(RGB, masks={"truth": mask}))["masks"]["truth"]


@same("Image(masks)", "ImageMask(val)", "ImageMask", 'mask["mask_data"]', 'mask["class_labels"]')
def masks_with_labels(side: Side) -> object:
    truth = {"mask_data": MASK, "class_labels": LABELS}
    prediction = {"mask_data": MASK[::-1].copy(), "class_labels": LABELS}
    return side.keep(side.Image(RGB, masks={"truth": truth, "prediction": prediction}))


@same('mask["mask_data"]')
def masks_of_any_integer_type(side: Side) -> object:
    dtypes = (np.int8, np.int16, np.int32, np.int64, np.uint16, np.uint32, np.uint64)
    return [kept(side, mask_data=MASK.astype(dtype), class_labels=LABELS)["pixels"] for dtype in dtypes]


@same('mask["mask_data"]')
def masks_of_bools(side: Side) -> object:
    return np.asarray(kept(side, mask_data=MASK > 0, class_labels={0: "no", 1: "yes"})["pixels"]).astype(int)


@same('mask["mask_data"]')
def masks_of_whole_floats(side: Side) -> object:
    return kept(side, mask_data=MASK.astype(np.float32), class_labels=LABELS)["pixels"]


@differs('mask["mask_data"]', wandb=None, maskl="TypeError")
def masks_of_fractions(side: Side) -> object:
    return side.error(lambda: side.ImageMask({"mask_data": MASK + 0.5}, "truth"))


@same('mask["mask_data"]')
def masks_of_a_high_class(side: Side) -> object:
    return kept(side, mask_data=np.full((4, 5), 200), class_labels={200: "void"})["pixels"]


@differs('mask["mask_data"]', wandb="TypeError", maskl=None)
def masks_of_classes_above_255(side: Side) -> object:
    return side.error(lambda: side.ImageMask({"mask_data": np.full((4, 5), 300)}, "truth"))


@differs('mask["mask_data"]', wandb="TypeError", maskl=None)
def masks_of_negative_classes(side: Side) -> object:
    return side.error(lambda: side.ImageMask({"mask_data": np.full((4, 5), -1)}, "truth"))


@same('mask["mask_data"]')
def masks_from_tensors(side: Side) -> object:
    return kept(side, mask_data=tensor(MASK), class_labels=LABELS)["pixels"]


@same('mask["mask_data"]')
def masks_of_three_dimensions(side: Side) -> object:
    return side.error(lambda: side.ImageMask({"mask_data": np.zeros((4, 5, 3), np.uint8)}, "truth"))


@differs('mask["mask_data"]', wandb="KeyError", maskl="TypeError")
def masks_without_data(side: Side) -> object:
    return side.error(lambda: side.ImageMask({"class_labels": LABELS}, "truth"))


@differs('mask["mask_data"]', wandb="AttributeError", maskl=None)
def masks_as_lists(side: Side) -> object:
    return side.error(lambda: side.ImageMask({"mask_data": MASK.tolist()}, "truth"))


@same('mask["class_labels"]')
def labels_default_to_numbered_names(side: Side) -> object:
    return kept(side, mask_data=np.full((4, 5), 7, np.uint8))["labels"]


@same('mask["class_labels"]')
def labels_that_are_no_labels(side: Side) -> object:
    wrong = ({"a": "road"}, {0: 1}, {None: "road"})
    return [
        side.error(lambda given=given: side.ImageMask({"mask_data": MASK, "class_labels": given}, "m"))
        for given in wrong
    ]


@differs(
    'mask["class_labels"]',
    wandb=["AttributeError", "AttributeError", "AttributeError"],
    maskl=["TypeError", "TypeError", "TypeError"],
)
def labels_that_are_no_dict(side: Side) -> object:
    wrong = (["road"], "road", 3)
    return [
        side.error(lambda given=given: side.ImageMask({"mask_data": MASK, "class_labels": given}, "m"))
        for given in wrong
    ]


@same('mask["path"]')
def masks_from_paths(side: Side) -> object:
    path = side.directory / "mask.png"
    PILImage.fromarray(MASK).save(path)
    masks = {"truth": {"path": str(path)}}
    return side.keep(side.Image(RGB, masks=masks, classes=[{"id": 0, "name": "road"}]))["masks"]["truth"]["pixels"]


@same('mask["path"]')
def masks_from_paths_to_nothing(side: Side) -> object:
    return side.refuses(lambda: side.ImageMask({"path": str(side.directory / "none.png")}, "truth"))


@same("ImageMask(key)")
def mask_objects_take_the_key_of_the_dict(side: Side) -> object:
    mask = side.ImageMask({"mask_data": MASK, "class_labels": LABELS}, key="other")
    return sorted(side.keep(side.Image(RGB, masks={"truth": mask}))["masks"])


@same("Image(masks)")
def masks_that_are_no_dict(side: Side) -> object:
    return side.error(lambda: side.Image(RGB, masks=[{"mask_data": MASK}]))


@same("Image(masks)")
def masks_of_another_size(side: Side) -> object:
    return kept(side, mask_data=np.zeros((2, 3), np.uint8), class_labels=LABELS)["pixels"]


@differs('mask["ignore_index"]', wandb=None, maskl=[2])
def an_ignored_class(side: Side) -> object:
    mask = side.ImageMask({"mask_data": MASK, "class_labels": LABELS, "ignore_index": 2}, "truth")
    return plain(getattr(mask, "ignore_index", None))


@same("ImageMask.validate", "ImageMask.type_name")
def what_masks_say_of_themselves(side: Side) -> object:
    mask = side.ImageMask({"mask_data": MASK, "class_labels": LABELS}, "truth")
    wrong = {"mask_data": np.zeros((2, 2, 2))}
    right = {"mask_data": MASK, "class_labels": LABELS}
    return [mask.validate(right), side.error(lambda: mask.validate(wrong)), mask.type_name()]
