"""Classes."""

from __future__ import annotations

import numpy as np

from tests.conformance.scenario import Side, differs, same

LISTED = [{"id": 0, "name": "road"}, {"id": 1, "name": "car"}]


@same("Classes(class_set)", "Classes")
def classes_are_equal_by_their_items(side: Side) -> object:
    classes = side.Classes(LISTED)
    others = [side.Classes([dict(item) for item in LISTED]), side.Classes(LISTED[:1]), LISTED]
    return [classes == other for other in others] + [classes != other for other in others]


@same("Classes(class_set)")
def classes_without_id_or_name(side: Side) -> object:
    return [side.refuses(lambda given=given: side.Classes(given)) for given in ([{"id": 0}], [{"name": "road"}], [{}])]


@differs("Classes(class_set)", wandb=None, maskl="ValueError")
def classes_that_occur_twice(side: Side) -> object:
    return side.error(lambda: side.Classes([*LISTED, {"id": 0, "name": "sky"}]))


@differs("Classes(class_set)", wandb=None, maskl="TypeError")
def classes_with_ids_that_are_strings(side: Side) -> object:
    return side.error(lambda: side.Classes([{"id": "zero", "name": "road"}]))


@differs(
    'item["color"]',
    'item["ignore"]',
    wandb=None,
    maskl=[{"color": "#804080", "id": 0, "name": "road"}, {"id": 255, "ignore": True, "name": "void"}],
)
def colours_and_ignored_classes(side: Side) -> object:
    items = [{"id": 0, "name": "road", "color": "#804080"}, {"id": 255, "name": "void", "ignore": True}]
    image = side.Image(
        np.zeros((4, 5, 3), np.uint8),
        classes=side.Classes(items),
        masks={"truth": {"mask_data": np.zeros((4, 5), np.uint8), "class_labels": {0: "road"}}},
    )
    classes = getattr(image, "classes", None)
    return [item.to_json() for item in classes.items] if classes is not None else None


@same("Classes.get_type")
def a_column_of_class_ids(side: Side) -> object:
    table = side.Table(columns=["label"], data=[[0], [1]])
    table.cast("label", side.Classes(LISTED).get_type())
    table.add_data(1)
    return [side.kept_table(table)["rows"], side.error(lambda: table.add_data(7))]


@same("Classes.get_type")
def a_column_of_class_ids_with_another_in_it(side: Side) -> object:
    table = side.Table(columns=["label"], data=[[0], [7]])
    return side.error(lambda: table.cast("label", side.Classes(LISTED).get_type()))


@same("Classes.get_type", "Table(dtype)")
def class_ids_as_dtype(side: Side) -> object:
    kind = side.Classes(LISTED).get_type()
    return [
        side.error(lambda: side.Table(columns=["label"], data=[[0], [1]], dtype=kind)),
        side.error(lambda: side.Table(columns=["label"], data=[[0], [7]], dtype=kind)),
    ]
