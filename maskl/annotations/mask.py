"""Segmentation masks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage
from PIL import UnidentifiedImageError

from maskl.adapters.objects import as_array, as_value, hidden_values
from maskl.adapters.pictures import too_large
from maskl.annotations._keys import warn_of_unknown
from maskl.annotations.classes import Classes, Labels, class_id, join_class_set, parse_labels, told_apart
from maskl.annotations.deferred import Deferred
from maskl.annotations.segments import Segments, parse_segments, warn_of_absent
from maskl.annotations.sink import sink
from maskl_storage.cells.cells import encode_mask
from maskl_storage.errors import CorruptData, InvalidType, InvalidValue, prefixed
from maskl_storage.format.metadata import ClassSet
from maskl_storage.format.names import check_text
from maskl_storage.format.segments import Segment, classes_by_id
from maskl_storage.images.jxl import open_image
from maskl_storage.masks.codec import check_values, countable, decode, mask_info, runs_of
from maskl_storage.masks.histograms import ClassPixels, class_pixels
from maskl_storage.masks.png import ids_of, is_lossy, warn_of_loss
from maskl_storage.masks.run_lengths import Pixels, Runs
from maskl_storage.masks.segments import counted_segments, with_classes

__all__ = ["ImageMask", "as_dtype", "ignored_ids", "mask_array", "resolve_class_set"]

#: an encoded mask, its runs, and the pixels of each id that is present
Encoded = tuple[bytes, Runs | Pixels, ClassPixels]
KEYS = ("mask_data", "path", "class_labels", "ignore_index", "statistics", "segments")


@dataclass(slots=True)
class _Parsed:
    """What a mask is; ``encoded`` is made of ``data`` where it is asked for, and ``classed`` of that."""

    key: str
    data: bytes
    labels: Labels | None
    ignored: frozenset[int]
    statistics: bool | None = None
    class_set: ClassSet | None = None
    encoded: Encoded | None = None
    segments: tuple[Segment, ...] | None = None
    classed: tuple[Runs | Pixels, ClassPixels] | None = None


class ImageMask(Deferred[_Parsed]):
    """A mask: one integer class id for each pixel of an image.

    Parameters
    ----------
    val : dict
        ``mask_data``: array of int or bool, shape (H, W), (1, H, W) or (H, W, 1), class ids within signed
        32 bits (whole floats are taken as integers); or ``path``: an image file whose pixels are class ids.
        ``class_labels`` (optional): dict of class id to name; by default ``class_<id>`` for the ids
        that are present. ``ignore_index`` (optional): an id or a list of ids that metrics leave out.
        ``statistics`` (optional): True to count a mask of more than 4,096 distinct classes, False to
        count nothing. ``segments`` (optional): what the ids stand for where each is an object or a region and no
        class: ``{17: {"class_id": 3, "score": 0.9, "iscrowd": False}}``, ``{17: 3}``, a list of dicts with ``id`` and
        ``class_id`` or ``category_id``, or ``{"divisor": 1000}``, by which an id from 1,000 on is of the class
        ``id // 1000``. An id that no segment names is a class. The ids stay as they are, and everything that is
        counted or drawn is of the classes.
    key : str
        What the mask is: ``"ground_truth"``, ``"predictions"``, …

    Raises
    ------
    InvalidType
        A value of the wrong type or shape; a path that is no image of class ids.
    InvalidValue
        An empty mask, an id out of range, a masked array that hides pixels.
    FileNotFoundError
        There is no file at ``path``.

    Warns
    -----
    AbsentSegmentsWarning
        Segments have no pixel, and are dropped.
    DuplicateNameWarning
        Two ids have one name: all but the lowest have their id behind it, as ``car (7)``.
    LossyMaskWarning
        The file is a JPEG, which does not keep class ids.

    Examples
    --------
    >>> mask = ImageMask({"mask_data": np.eye(4, dtype=np.uint8), "class_labels": {0: "off", 1: "on"}}, "truth")
    >>> mask.class_labels
    {0: 'off', 1: 'on'}
    >>> mask.mask_data.shape
    (4, 4)
    >>> cars = {"mask_data": np.array([[0, 17, 18]]), "segments": {17: 3, 18: 3}, "class_labels": {0: "road", 3: "car"}}
    >>> ImageMask(cars, "truth").segments[0], ImageMask(cars, "truth").class_data.tolist()
    (Segment(id=17, class_id=3, pixels=1, bbox=(1, 0, 1, 1)), [[0, 3, 3]])
    """

    def __init__(self, val: Mapping[str, Any], key: str) -> None:
        self._hold(_parse_mask, val, key)

    @classmethod
    def from_stored(
        cls, data: bytes, key: str, class_set: ClassSet, segments: tuple[Segment, ...] | None = None
    ) -> ImageMask:
        """Return the mask that was encoded as ``data``; it is decoded when it is asked for."""
        mask = cls.__new__(cls)
        mask._held = _Parsed(key, data, class_set.labels, class_set.ignored, class_set=class_set, segments=segments)
        return mask

    def renamed(self, key: str) -> ImageMask:
        """Return the same mask under another key."""
        mask = copy(self)
        mask._held = replace(self._parsed, key=key)
        return mask

    @classmethod
    def type_name(cls) -> str:
        """Return the name of this type of media, ``"mask"``."""
        return "mask"

    @classmethod
    def validate(cls, val: Mapping[str, Any]) -> bool:
        """Return True for a dict that a mask can be made from, and raise what is wrong otherwise."""
        array, _, _, _ = _parse(val)
        if array is not None:
            check_values(array)
        return True

    @property
    def key(self) -> str:
        """What the mask is."""
        return self._parsed.key

    @property
    def mask_data(self) -> npt.NDArray[Any]:
        """The ids, shape (H, W), in the dtype that was logged: a new array at each call.

        They are those of classes, or of :attr:`segments` where the mask has some.
        """
        return decode(self._parsed.data)

    @property
    def class_data(self) -> npt.NDArray[Any]:
        """The class of each pixel, shape (H, W): a new array at each call."""
        ids = self.mask_data
        if not self._parsed.segments:
            return ids
        mask = with_classes(Pixels(ids.ravel(), ids.shape), classes_by_id(self._parsed.segments))
        return mask.values.reshape(ids.shape)

    @property
    def object_data(self) -> npt.NDArray[Any] | None:
        """The ids of segments, shape (H, W): a new array at each call; None where ids are classes."""
        return self.mask_data if self._parsed.segments else None

    @property
    def segments(self) -> tuple[Segment, ...] | None:
        """What ids stand for, by ascending id, with the pixels and the box of each; None where ids are classes."""
        return self._parsed.segments

    @property
    def shape(self) -> tuple[int, int]:
        """``(H, W)``."""
        parsed = self._parsed
        return mask_info(parsed.data).shape if parsed.encoded is None else parsed.encoded[1].shape

    @property
    def class_labels(self) -> dict[int, str]:
        """The name of each class: as given, else ``class_<id>`` for the ids that are present."""
        labels = self._parsed.labels
        if labels is not None:
            return dict(labels)
        return {int(number): f"class_{number}" for number in self.classed[1].ids}

    @property
    def own_labels(self) -> Labels | None:
        """Ids and names that the mask brought itself, in order; None where it brought none."""
        return self._parsed.labels

    @property
    def ignore_index(self) -> frozenset[int]:
        """The ids that metrics leave out."""
        return self._parsed.ignored

    @property
    def statistics(self) -> bool | None:
        """Whether to count the mask's classes; None leaves that to the number of ids."""
        return self._parsed.statistics

    @property
    def class_set(self) -> ClassSet | None:
        """The class set that a stored mask came with; None for a new one."""
        return self._parsed.class_set

    @property
    def data(self) -> bytes:
        """The encoded mask."""
        return self._parsed.data

    @property
    def runs(self) -> Runs:
        """The runs of equal pixels; those of a stored mask are not kept, so that many masks cost little memory."""
        parsed = self._parsed
        return runs_of(parsed.data) if parsed.encoded is None else parsed.encoded[1].to_runs()

    @property
    def encoded(self) -> Encoded:
        """The encoded mask, its runs, and the pixels of each id that is present."""
        parsed = self._parsed
        if parsed.encoded is None:
            runs = countable(parsed.data)
            parsed.encoded = (parsed.data, runs, class_pixels(runs))
        return parsed.encoded

    @property
    def classed(self) -> tuple[Runs | Pixels, ClassPixels]:
        """The mask with the class of each segment in its place, and the pixels of each class that is present."""
        parsed = self._parsed
        if not parsed.segments:
            return self.encoded[1:]
        if parsed.classed is None:
            mask = with_classes(self.encoded[1], classes_by_id(parsed.segments))
            parsed.classed = mask, class_pixels(mask)
        return parsed.classed

    def forget_runs(self) -> None:
        """Keep the encoded bytes only; the rest is read back from them where it is asked for again."""
        self._parsed.encoded = self._parsed.classed = None

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return as_dtype(self.mask_data, dtype, copy, "a mask")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ImageMask):
            return NotImplemented
        mine, theirs = self.mask_data, other.mask_data
        return (
            self.key == other.key
            and mine.dtype == theirs.dtype
            and np.array_equal(mine, theirs)
            and self.class_labels == other.class_labels
            and self.ignore_index == other.ignore_index
            and self.segments == other.segments
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        height, width = self.shape
        return f"<ImageMask {self.key!r} {width}×{height}>"


def as_dtype(array: npt.NDArray[Any], dtype: npt.DTypeLike | None, copy: bool | None, what: str) -> npt.NDArray[Any]:
    """Return a new array as ``__array__`` has to: in the dtype asked for, never where a copy is refused."""
    if copy is False:
        raise InvalidValue(f"{what} is kept encoded, so an array of it is always a copy: leave out copy=False")
    return array if dtype is None else array.astype(dtype, copy=False)


def resolve_class_set(mask: ImageMask, classes: Classes | None, others: Mapping[str, ImageMask]) -> ClassSet:
    """Return the class set of a mask: its own labels, else the image's classes, else another mask's."""
    parsed = mask._parsed
    present = frozenset(mask.classed[1].ids.tolist())
    if parsed.class_set is not None and classes is None:
        return told_apart(parsed.class_set, present)
    more = tuple(labels for other in others.values() if other is not mask and (labels := other._parsed.labels))
    unnamed = present.difference(number for number, _ in parsed.labels or ())
    return join_class_set(parsed.labels, parsed.ignored, classes, more, unnamed)


def _parse_mask(val: Mapping[str, Any], key: str) -> _Parsed:
    if not isinstance(key, str) or not key:
        raise InvalidType(f"a mask's key must be a string that is not empty; got {key!r:.60}")
    check_text(key, "a mask's key")
    array, labels, ignored, segments = _parse(val)
    # encoded at once, and nothing of the array is kept
    encoded = encode_mask(_read(val["path"]) if array is None else array)
    parsed = _Parsed(key, encoded[0], labels, ignored, val.get("statistics"), encoded=encoded)
    parsed.segments = None if segments is None else _counted(segments, encoded, key)
    return parsed


def _counted(given: Segments, encoded: Encoded, key: str) -> tuple[Segment, ...]:
    """Return the segments that the mask has pixels of, and say once a run and key that it lacks some."""
    _, mask, present = encoded
    there = given.present(present.ids)
    if there.absent and sink.not_told([("absent segments", key)]):
        warn_of_absent(there.absent, f"mask {key!r}")
    return counted_segments(there.segments, mask, present)[0]


def _parse(
    val: Mapping[str, Any],
) -> tuple[npt.NDArray[Any] | None, Labels | None, frozenset[int], Segments | None]:
    """Return the array (None for a path), labels, ignored ids and segments of a mask's dict, or raise what is wrong."""
    if not isinstance(val, Mapping):
        raise InvalidType(f"a mask must be a dictionary with the key 'mask_data' or 'path'; got {val!r:.60}")
    warn_of_unknown("a mask has", val, KEYS)
    array = None
    if "path" not in val:
        if "mask_data" not in val:
            raise InvalidType(
                'Missing key "mask_data": An image mask requires mask data: a 2D array representing the '
                "predictions (or 'path', a file that holds one)"
            )
        array = mask_array(val["mask_data"])
    elif "mask_data" in val:
        raise InvalidValue("a mask has either 'mask_data' or 'path'; got both")
    labels = None if val.get("class_labels") is None else parse_labels(val["class_labels"])
    if val.get("statistics") not in (None, True, False):
        raise InvalidType(f"statistics must be True, False or None; got {val['statistics']!r:.60}")
    segments = None if val.get("segments") is None else parse_segments(val["segments"])
    return array, labels, ignored_ids(val.get("ignore_index")), segments


def mask_array(value: object) -> npt.NDArray[Any]:
    """Return the array of ``mask_data``: two-dimensional, of integers or booleans; or raise what is wrong."""
    if count := hidden_values(value):
        raise InvalidValue(
            f"mask_data is a masked array that hides {count:,} pixels, and every pixel of a mask has an id: say "
            f"which with mask_data.filled(255), and 'ignore_index': 255 to have scores leave them out"
        )
    try:
        array = as_array(value)
    except InvalidType as error:
        rows = "; its rows differ in length" if isinstance(value, list | tuple) else ""
        raise prefixed(error, f"mask_data must be a 2D array{rows}") from error
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[2]):  # a channel, or a batch of one mask
        array = array[0] if array.shape[0] == 1 else array[:, :, 0]
    if array.ndim != 2:
        raise InvalidType(f"mask_data must be a 2D array; got {array.ndim} dimensions, shape {array.shape}")
    if array.size == 0:
        raise InvalidValue(f"mask_data is empty: shape {array.shape}; a mask has at least 1 × 1 pixels")
    if array.dtype.kind == "f":
        return _whole(array)
    if array.dtype.kind not in "iub":
        raise InvalidType(f"mask_data must hold integers or booleans; got dtype {array.dtype}")
    return array


def _whole(array: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    if not np.isfinite(array).all():
        raise InvalidValue("mask_data holds NaN or infinity; class ids are integers: use an id such as 255 instead")
    if float(array.min()) < -(1 << 31) or float(array.max()) >= 1 << 31:
        raise InvalidValue("mask_data holds floats outside signed 32 bits; class ids must be within them")
    whole = array.astype(np.int32)
    if not np.array_equal(whole, array):
        example = array[whole != array][0]
        raise InvalidType(
            f"mask_data holds fractions, such as {example}; class ids are integers: take the argmax of "
            f"probabilities, or round"
        )
    return whole


def _read(path: object) -> npt.NDArray[Any]:
    if not isinstance(path, str | os.PathLike):
        raise InvalidType(f"a mask's path must be a string or a path; got {path!r:.60}")
    try:
        with open(path, "rb") as file, open_image(file) as image:
            array = ids_of(image, str(path))
            lossy = is_lossy(image)
    except PILImage.DecompressionBombError as error:
        raise too_large(str(path), error) from error
    except (UnidentifiedImageError, CorruptData) as error:
        raise InvalidValue(f"{path} is not an image that Pillow can read") from error
    except (OSError, SyntaxError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the file system's
            raise
        raise InvalidValue(f"{path} is a broken image: {error}") from error
    if lossy:
        warn_of_loss(str(path))
    return array


def ignored_ids(value: Any) -> frozenset[int]:
    """Return the ids of ``ignore_index``: one, several, or None."""
    if value is None:
        return frozenset()
    value = as_value(value)
    many = isinstance(value, list | tuple | set | frozenset) or (isinstance(value, np.ndarray) and value.ndim == 1)
    values = list(value) if many else [value]
    return frozenset(class_id(item, "ignore_index") for item in values)
