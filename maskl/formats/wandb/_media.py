"""Media of W&B's history: files below the run's folder, and labels that stand in its config."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from maskl.formats.wandb._artifacts import FILES
from maskl.images.image import URL, Image
from maskl.interchange.documents import parse_object
from maskl.interchange.source_files import SourceFile
from maskl.interchange.untrusted import mask_pixels, picture, read_beside
from maskl.media.kinds import Audio, Bokeh, Html, Molecule, Object3D, Plotly, Video
from maskl.media.media import Media as Kept
from maskl.tables.histogram import Histogram
from maskl_storage.errors import CorruptData, InvalidType, InvalidValue, MasklError

__all__ = ["KEPT", "KEPT_LISTS", "SHOWN", "Media", "as_described", "histogram_of", "image_of", "kept", "labels_of"]

#: where in the folder of a run's files those lie that are values of the history
SHOWN: Final = "media/"
#: what W&B writes for / in the name of labels
DELIMITER: Final = "_wandb_delimeter_"
#: items of lists of images: where their list stands, and what an item has it under
LISTS: Final = {"captions": "caption", "all_masks": "masks", "all_boxes": "boxes"}
#: media that are kept as they are, by their type
KEPT: Final[dict[str, type[Kept]]] = {
    "audio-file": Audio,
    "bokeh-file": Bokeh,
    "html-file": Html,
    "molecule-file": Molecule,
    "object3D-file": Object3D,
    "plotly-file": Plotly,
    "video-file": Video,
}
#: lists of them: the type of the items, and where they stand; those of molecules are paths
KEPT_LISTS: Final = {
    "audio": ("audio-file", "audio"),
    "html": ("html-file", "html"),
    "molecule": ("molecule-file", "filenames"),
    "object3D": ("object3D-file", "objects"),
    "videos": ("video-file", "videos"),
}
#: the kinds whose values have a caption
CAPTIONED: Final = ("audio-file", "molecule-file", "object3D-file", "video-file")


@contextmanager
def as_described() -> Iterator[None]:
    """Raise CorruptData where what is said of a value is of no form that W&B writes, such as a number for an object."""
    try:
        yield
    except MasklError:
        raise
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise CorruptData(f"what the log says of it is of no form that W&B writes: {error}") from error


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
        #: paths of files that are values and do not lie where W&B puts those
        self.elsewhere: set[str] = set()
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
        if isinstance(path, str) and not path.startswith(SHOWN):
            self.elsewhere.add(path)
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

    def kept(self, value: Mapping[str, Any]) -> Kept | list[Kept]:
        """Return what is kept as it is: the one that a value of the history is, or those that it lists.

        Raises
        ------
        InvalidValue, CorruptData
            A file that is missing, was altered, or has a name of no such kind.
        """
        if value["_type"] in KEPT:
            return kept(value, self.read)
        kind, where = KEPT_LISTS[value["_type"]]
        items, captions = value.get(where), value.get("captions")
        if not isinstance(items, list):
            raise InvalidValue(f"a list of {kind} is needed under {where!r}; got {items!r:.60}")
        said = captions if isinstance(captions, list) and len(captions) == len(items) else [None] * len(items)
        described = ({"path": item} if isinstance(item, str) else item for item in items)
        return [
            kept({"caption": caption} | dict(item) | {"_type": kind}, self.read)
            for item, caption in zip(described, said, strict=True)
        ]

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


class _Named(io.BytesIO):
    """Bytes of a file, whose name says what they are."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self.name = name


def kept(item: Mapping[str, Any], read: Callable[[Mapping[str, Any]], bytes]) -> Kept:
    """Return what W&B describes, of one of the types :data:`KEPT`, byte for byte.

    Parameters
    ----------
    item : mapping
        W&B's description.
    read : callable
        Returns the bytes of the file.
    """
    kind, caption = item["_type"], item.get("caption")
    file = _Named(read(item), str(item.get("path")))
    # W&B writes an empty caption, or none, for what has none
    more = {"caption": caption} if isinstance(caption, str) and caption and kind in CAPTIONED else {}
    made: Callable[..., Kept] = KEPT[kind]
    return made(file, **more)


def histogram_of(value: Any) -> Histogram | None:
    """Return the histogram that W&B's JSON stands for; None where it stands for none."""
    if not isinstance(value, dict) or value.get("_type") != "histogram":
        return None
    try:
        return Histogram(np_histogram=(value.get("values"), value.get("bins")))
    except (InvalidType, InvalidValue):
        return None


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
