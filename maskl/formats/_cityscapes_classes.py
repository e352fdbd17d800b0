"""The classes of Cityscapes: what its label ids and its train ids stand for."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from maskl_storage.format.metadata import ClassItem, ClassSet

__all__ = ["INSTANCE_IDS", "LABEL_IDS", "THINGS", "TRAIN_IDS"]

#: the train id of what is not trained on
VOID: Final = 255
#: of each label id from 0 on: its name and colour, and whether it is trained on, which numbers the train ids
LABELS: Final = (
    ("unlabeled", "#000000", False),
    ("ego vehicle", "#000000", False),
    ("rectification border", "#000000", False),
    ("out of roi", "#000000", False),
    ("static", "#000000", False),
    ("dynamic", "#6f4a00", False),
    ("ground", "#510051", False),
    ("road", "#804080", True),
    ("sidewalk", "#f423e8", True),
    ("parking", "#faaaa0", False),
    ("rail track", "#e6968c", False),
    ("building", "#464646", True),
    ("wall", "#66669c", True),
    ("fence", "#be9999", True),
    ("guard rail", "#b4a5b4", False),
    ("bridge", "#966464", False),
    ("tunnel", "#96785a", False),
    ("pole", "#999999", True),
    ("polegroup", "#999999", False),
    ("traffic light", "#faaa1e", True),
    ("traffic sign", "#dcdc00", True),
    ("vegetation", "#6b8e23", True),
    ("terrain", "#98fb98", True),
    ("sky", "#4682b4", True),
    ("person", "#dc143c", True),
    ("rider", "#ff0000", True),
    ("car", "#00008e", True),
    ("truck", "#000046", True),
    ("bus", "#003c64", True),
    ("caravan", "#00005a", False),
    ("trailer", "#00006e", False),
    ("train", "#005064", True),
    ("motorcycle", "#0000e6", True),
    ("bicycle", "#770b20", True),
)

#: the classes of label ids, of which scores leave out those that are not trained on
LABEL_IDS: Final = ClassSet(
    ClassItem(number, name, color, not trained) for number, (name, color, trained) in enumerate(LABELS)
)
#: the label ids of which objects are told apart
THINGS: Final = frozenset(range(24, 34))
#: the classes of instance ids
INSTANCE_IDS: Final = ClassSet(replace(item, isthing=item.id in THINGS) for item in LABEL_IDS)
#: those of train ids
TRAIN_IDS: Final = ClassSet(
    [
        *(
            ClassItem(number, name, color)
            for number, (name, color) in enumerate((name, color) for name, color, trained in LABELS if trained)
        ),
        ClassItem(VOID, "void", None, True),
    ]
)
