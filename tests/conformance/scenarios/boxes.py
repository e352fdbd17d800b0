"""Bounding boxes."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from tests.conformance.scenario import Side, differs, same
from tests.conformance.scenarios.images import RGB

CORNERS = {"minX": 0.1, "maxX": 0.2, "minY": 0.3, "maxY": 0.4}
MIDDLE = {"middle": [2, 3], "width": 2, "height": 1}
LABELS = {1: "car", 2: "보행자"}


def kept(side: Side, *boxes: dict[str, Any], **also: Any) -> Any:
    """Return what is kept of one set of boxes of an image."""
    given = {"box_data": copy.deepcopy(list(boxes)), **also}
    return side.keep(side.Image(RGB, boxes={"truth": given}))["boxes"]["truth"]


def error(side: Side, box: Any, **also: Any) -> str | None:
    return side.error(lambda: side.BoundingBoxes2D({"box_data": box, **also}, "truth"))


@same(
    "BoundingBoxes2D",
    "BoundingBoxes2D(val)",
    "Image(boxes)",
    'boxes["box_data"]',
    'box["position"]',
    'box["class_id"]',
    'boxes["class_labels"]',
)
def boxes_by_corners(side: Side) -> object:
    return kept(side, {"position": CORNERS, "class_id": 1}, {"position": CORNERS, "class_id": 2}, class_labels=LABELS)


@same('box["position"]', 'box["domain"]')
def boxes_by_middle_in_pixels(side: Side) -> object:
    return kept(side, {"position": MIDDLE, "domain": "pixel", "class_id": 2}, class_labels=LABELS)


@same('box["scores"]', 'box["box_caption"]')
def boxes_with_scores_and_captions(side: Side) -> object:
    box = {"position": CORNERS, "class_id": 1, "scores": {"acc": 0.5, "n": 3}, "box_caption": "자동차 0.5"}
    return kept(side, box, class_labels=LABELS)


@same('boxes["class_labels"]')
def boxes_without_labels(side: Side) -> object:
    return kept(side, {"position": CORNERS, "class_id": 3})["labels"]


@same('box["class_id"]')
def boxes_without_a_class(side: Side) -> object:
    return kept(side, {"position": CORNERS}, class_labels=LABELS)["data"]


@same('boxes["box_data"]')
def no_boxes_at_all(side: Side) -> object:
    return kept(side, class_labels=LABELS)["data"]


@same("BoundingBoxes2D(key)")
def box_objects(side: Side) -> object:
    boxes = side.BoundingBoxes2D({"box_data": [{"position": CORNERS, "class_id": 1}], "class_labels": LABELS}, "other")
    return sorted(side.keep(side.Image(RGB, boxes={"truth": boxes}))["boxes"])


@same('box["position"]')
def positions_that_are_none(side: Side) -> object:
    wrong = ({}, {"minX": 1}, {"middle": [1], "width": 1, "height": 1}, {**CORNERS, "maxY": "high"})
    return [error(side, [{"position": position, "class_id": 1}]) for position in wrong] + [
        error(side, [{"class_id": 1}])
    ]


@same('boxes["box_data"]', 'box["scores"]', 'box["box_caption"]', 'box["class_id"]')
def boxes_of_wrong_types(side: Side) -> object:
    box = {"position": CORNERS, "class_id": 1}
    return [
        error(side, {"position": CORNERS}, class_labels=LABELS),
        error(side, [{**box, "scores": [1]}]),
        error(side, [{**box, "scores": {"acc": "high"}}]),
        error(side, [{**box, "scores": {1: 0.5}}]),
        error(side, [{**box, "box_caption": 3}]),
        error(side, [{**box, "class_id": "car"}], class_labels=LABELS),
        error(side, [box], class_labels={"one": "car"}),
    ]


@same("Image(boxes)")
def boxes_that_are_no_dict(side: Side) -> object:
    return side.error(lambda: side.Image(RGB, boxes=[{"box_data": []}]))


@differs('box["class_id"]', wandb="TypeError", maskl=None)
def class_ids_of_numpy(side: Side) -> object:
    return error(side, [{"position": CORNERS, "class_id": np.int64(1)}], class_labels=LABELS)


@same('box["position"]', 'box["scores"]')
def boxes_of_numpy_scalars(side: Side) -> object:
    position = {key: np.float32(value) for key, value in {**CORNERS, "minX": 0.5}.items()}
    boxes = [
        {"position": position, "class_id": 1},
        {"position": CORNERS, "class_id": 1, "scores": {"acc": np.float32(0.5)}},
    ]
    return [error(side, [box], class_labels=LABELS) for box in boxes]


@differs('box["domain"]', wandb=None, maskl="ValueError")
def domains_that_are_none(side: Side) -> object:
    return error(side, [{"position": CORNERS, "domain": "metres", "class_id": 1}])


@same('boxes["box_data"]')
def boxes_without_data(side: Side) -> object:
    return side.refuses(lambda: side.BoundingBoxes2D({"class_labels": LABELS}, "truth"))


@same("BoundingBoxes2D.validate", "BoundingBoxes2D.type_name")
def what_boxes_say_of_themselves(side: Side) -> object:
    given = {"box_data": [{"position": CORNERS, "class_id": 1}], "class_labels": LABELS}
    boxes = side.BoundingBoxes2D(given, "truth")
    wrong = {"box_data": [{"class_id": 1}]}
    return [boxes.validate(given), side.error(lambda: boxes.validate(wrong)), boxes.type_name()]


@differs("Image.==", wandb=[True, True], maskl=[True, False])
def equality_of_boxes(side: Side) -> object:
    def made(width: int) -> Any:
        box = {"position": {**MIDDLE, "width": width}, "class_id": 1}
        return side.Image(RGB, boxes={"truth": {"box_data": [box], "class_labels": LABELS}})

    return [made(2) == made(2), made(2) == made(3)]
