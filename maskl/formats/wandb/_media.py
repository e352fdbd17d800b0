"""Images of W&B's history: files below the run's folder, and labels that stand in its config."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from maskl.images.image import URL, Image
from maskl.interchange.documents import parse_object
from maskl.interchange.source_files import SourceFile
from maskl.interchange.untrusted import mask_pixels, picture, read_beside
from maskl_storage.errors import CorruptData, InvalidValue

__all__ = ["Media", "image_of", "labels_of"]

#: the folder in a run's folder that paths of media count from
FILES: Final = "files"
#: what W&B writes for / in the name of labels
DELIMITER: Final = "_wandb_delimeter_"
#: items of lists of images: where their list stands, and what an item has it under
LISTS: Final = {"captions": "caption", "all_masks": "masks", "all_boxes": "boxes"}


class Media:
    """The media files of a run.

    Parameters
    ----------
    log : SourceFile
        The run's log, beside which the media lie below ``files``.
    labels : mapping
        What W&B keeps of its own in the run's config: the labels of masks and boxes, of which the last
        that was logged under a name holds for all.
    """

    def __init__(self, log: SourceFile, labels: Mapping[str, Any]) -> None:
        self._log = log
        self._labels = {
            kind: {
                str(name).replace(DELIMITER, "/"): labels_of(entry.get("value"))
                for name, entry in dict(labels.get(f"{kind}/class_labels") or {}).items()
                if isinstance(entry, dict)
            }
            for kind in ("mask", "bounding_box")
        }

    def read(self, item: Mapping[str, Any]) -> bytes:
        """Return the bytes of a media file.

        Raises
        ------
        InvalidValue, CorruptData
            There is no such file, or it was altered since.
        """
        path = item.get("path")
        data = read_beside(self._log, path, FILES)
        said = item.get("sha256")
        if said is not None and hashlib.sha256(data).hexdigest() != said:
            raise CorruptData(f"{path} was altered since it was logged: its SHA-256 does not match")
        return data

    def items(self, value: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Yield the one image that a value of the history is, or those that it lists."""
        if value.get("_type") == "image-file":
            yield value
            return
        names = value.get("filenames")
        for number, path in enumerate(names if isinstance(names, list) else ()):
            lists = {key: value.get(many) for many, key in LISTS.items()}
            yield {"path": path} | {
                key: some[number] for key, some in lists.items() if isinstance(some, list) and number < len(some)
            }

    def image(self, name: str, item: Mapping[str, Any]) -> Image:
        """Return an image that was logged under a name."""
        # W&B names labels of what is logged in a nested dict after the innermost key alone
        names = (name, name.replace("/", "."), name.rpartition("/")[2])

        def labels(kind: str, key: str) -> dict[int, str] | None:
            known = self._labels[kind]
            return next((known[f"{one}/{key}"] for one in names if f"{one}/{key}" in known), None)

        def boxes(stored: Any) -> Any:
            return parse_object(self.read(stored), stored.get("path")).get("box_data")

        return image_of(item, self.read, labels, boxes)


def image_of(
    item: Mapping[str, Any],
    read: Callable[[Mapping[str, Any]], bytes],
    labels: Callable[[str, str], dict[int, str] | None],
    box_data: Callable[[Any], Any],
    classes: Any = None,
) -> Image:
    """Return the image that W&B describes.

    Parameters
    ----------
    item : mapping
        W&B's description.
    read : callable
        Returns the bytes of a file that is described.
    labels : callable
        Returns the class labels of a ``mask`` or ``bounding_box`` of some key, or None.
    box_data : callable
        Returns the boxes of one key, from what stands there in the description.
    classes : optional
        The image's own classes.
    """
    masks, boxes = {}, {}
    for key, mask in _layers(item, "masks"):
        masks[key] = {"mask_data": mask_pixels(read(mask)), "class_labels": labels("mask", key)}
    for key, stored in _layers(item, "boxes"):
        boxes[key] = {"box_data": _boxes(box_data(stored)), "class_labels": labels("bounding_box", key)}
    caption = item.get("caption")
    path = item.get("path")
    if isinstance(path, str) and URL.match(path):
        return Image(path, caption=caption, classes=classes, masks=masks, boxes=boxes)
    return picture(read(item), str(path), caption=caption, classes=classes, masks=masks, boxes=boxes)


def _layers(item: Mapping[str, Any], what: str) -> Iterator[tuple[str, Any]]:
    found = item.get(what)
    if found is not None and not isinstance(found, dict):
        raise InvalidValue(f"{what} of an image must be an object of keys; got {found!r:.60}")
    yield from (found or {}).items()


def _boxes(data: Any) -> Any:
    """Return boxes without what W&B writes for values that were not given."""
    if not isinstance(data, list):
        raise InvalidValue(f"box_data must be a list; got {data!r:.60}")
    known = ("position", "domain", "class_id", "box_caption", "scores")
    return [
        {key: value for key, value in box.items() if key in known and value is not None}
        if isinstance(box, dict)
        else box
        for box in data
    ]


def labels_of(labels: Any) -> dict[int, str] | None:
    """Return class labels, whose ids JSON has as strings."""
    if not isinstance(labels, dict) or not labels:
        return None
    try:
        return {int(number): str(name) for number, name in labels.items()}
    except ValueError as error:
        raise InvalidValue(f"class labels need whole numbers as ids; got {labels!r:.80}") from error
