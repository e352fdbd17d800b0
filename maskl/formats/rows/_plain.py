"""Rows of other tools' Arrow tables: plain columns, and the images and labels of Hugging Face's features."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from maskl.adapters.frames import arrow_column
from maskl.annotations.mask import ImageMask
from maskl.annotations.segments import warn_of_absent
from maskl.images.image import URL, Image
from maskl.interchange.segmented import said_segments, segmented_mask
from maskl.interchange.source_files import SourceFile
from maskl.interchange.untrusted import mask_of, mask_pixels, picture, read_beside
from maskl_storage.errors import CorruptData, InvalidValue, MasklError, prefixed
from maskl_storage.format.metadata import ClassItem, ClassSet, Column
from maskl_storage.format.segments import Segment

__all__ = ["PlainRows"]

HUGGINGFACE: Final = b"huggingface"
#: what ``datasets`` writes for a label that is not known
NO_LABEL: Final = -1
#: the column of panoptic sets that says what the ids of a mask stand for
SEGMENTS: Final = "segments_info"
#: ids of pixels that no segment has, the first one that nothing else has
VOIDS: Final = (255, 65_535, -1)


@dataclass(slots=True)
class PlainRows:
    """The columns of a table without our metadata.

    Parameters
    ----------
    schema : pyarrow.Schema
        The file's.
    source : SourceFile
        The file, beside which those lie that an image only names.
    masks : sequence of str
        Columns of images that are masks of the first other one. Of the first of them a column ``segments_info`` says
        what its ids stand for, where there is one; pixels of no segment are an ignored class, ``void``.
    classes : ClassSet, optional
        The classes of these masks; by default nothing is known of their ids.

    Raises
    ------
    CorruptData
        The metadata of Hugging Face is no JSON.
    InvalidValue
        A column that is to be a mask and is not there, or holds no images.
    """

    schema: pa.Schema
    source: SourceFile
    masks: Sequence[str] = ()
    classes: ClassSet | None = None
    #: its rows say nothing of a table
    table: str = ""
    columns: tuple[str, ...] = ()
    types: dict[str, Column] = field(default_factory=dict)
    _pictures: tuple[str, ...] = ()
    _labels: dict[str, ClassSet] = field(default_factory=dict)
    _segments: str | None = None

    @property
    def file(self) -> str:
        """What the file is called in messages."""
        return str(self.source)

    def __post_init__(self) -> None:
        features = _features(self.schema, self.file)
        found = []
        for entry in self.schema:
            feature = features.get(entry.name)
            kind = feature.get("_type") if isinstance(feature, dict) else None
            if kind == "Image" or _is_picture(entry.type):
                found.append(entry.name)
            elif isinstance(feature, dict) and kind == "ClassLabel" and pa.types.is_integer(entry.type):
                self._labels[entry.name] = _classes(feature.get("names"), self.file, entry.name)
        for name in self.masks:
            if name not in found:
                raise InvalidValue(f"{self.file}: {name!r} cannot be a mask: the columns of images are {found}")
        self._pictures = tuple(name for name in found if name not in self.masks)
        if self.masks and not self._pictures:
            raise InvalidValue(f"{self.file}: masks need an image: there is no other column of images")
        if self.masks and SEGMENTS in self.schema.names and _has_segments(self.schema.field(SEGMENTS).type):
            self._segments = SEGMENTS
        self.columns = tuple(name for name in self.schema.names if name not in (*self.masks, self._segments))
        self.types = {name: Column("image", name) for name in self._pictures}

    def makers(self, batch: pa.Table) -> list[Callable[[int], Any]]:
        """Return what makes a column's value of each row of a batch, by its number there."""
        cells = {name: self._values(name, batch[name]) for name in batch.column_names}
        return [self._maker(name, cells) for name in self.columns]

    def _maker(self, name: str, cells: Mapping[str, Sequence[Any]]) -> Callable[[int], Any]:
        if name not in self._pictures:
            return cells[name].__getitem__
        masks = self.masks if name == self._pictures[0] else ()
        return lambda index: self._image(name, masks, cells, index)

    def _values(self, name: str, array: pa.ChunkedArray) -> list[Any]:
        if name in self._pictures or name in self.masks or name == self._segments:
            return list(array.to_pylist())
        try:
            made = arrow_column(name, array)
        except MasklError as error:
            raise prefixed(error, self.file) from error
        if isinstance(made, list):
            return made
        column, values = made
        if name not in self._labels:
            self.types[name] = column
            return list(values.to_pylist())
        self.types[name] = Column("value", name, "int", class_sets=(self._labels[name],))
        return [None if value == NO_LABEL else value for value in values.to_pylist()]

    def _image(self, name: str, masks: Sequence[str], cells: Mapping[str, Sequence[Any]], index: int) -> Any:
        cell = cells[name][index]
        there = {key: cells[key][index] for key in masks}
        layers = {}
        for key, mask in there.items():
            if mask is not None:
                said = cells[self._segments][index] if self._segments is not None and key == self.masks[0] else None
                make = self._mask if said is None else partial(self._segmented, said)
                layers[key] = self._read(key, mask, partial(make, key))
        if cell is None:
            if layers:
                raise InvalidValue(f"column {name!r} has no image for its masks {', '.join(layers)}")
            return None
        path = cell if isinstance(cell, str) else cell.get("path") if isinstance(cell, dict) else None
        if isinstance(path, str) and URL.match(path) and not _bytes(cell):
            return Image(path, masks=layers)
        return self._read(name, cell, lambda data: picture(data, path, masks=layers))

    def _mask(self, key: str, data: bytes) -> ImageMask:
        classes = self.classes or ClassSet()
        return mask_of(mask_pixels(data, classes=classes), key, classes)

    def _segmented(self, said: Any, key: str, data: bytes) -> ImageMask:
        """Return the mask of ids that stand for the segments that are said, as a list or as lists by key."""
        if isinstance(said, Mapping):
            try:
                said = [dict(zip(said, one, strict=True)) for one in zip(*said.values(), strict=True)]
            except (TypeError, ValueError) as error:
                raise InvalidValue(f"lists of one length are needed for {SEGMENTS}: {error}") from error
        segments = said_segments(said)
        pixels = mask_pixels(data, coded=True)
        items = self.classes or ClassSet()
        others = np.setdiff1d(pixels, [segment.id for segment in segments])
        if others.size:
            pixels, void = _voided(pixels, others, {segment.id for segment in segments}, segments, items)
            items = ClassSet(sorted({*items, void}, key=lambda item: item.id))
        mask, absent = segmented_mask(pixels, key, items, segments)
        warn_of_absent(absent, f"{self.file}: mask {key!r}")
        return mask

    def _read(self, name: str, cell: Any, decode: Callable[[bytes], Any]) -> Any:
        try:
            data = _bytes(cell)
            if data is None:
                path = cell.get("path") if isinstance(cell, dict) else cell
                if not isinstance(path, str):
                    raise InvalidValue(f"an image needs bytes or a path; got {cell!r:.60}")
                data = read_beside(self.source, path)
            return decode(data)
        except MasklError as error:
            raise prefixed(error, f"column {name!r}") from error


def _has_segments(kind: pa.DataType) -> bool:
    """Whether a type is that of lists of segments, or of lists of what each is."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = kind.value_type
    names = {entry.name for entry in kind} if pa.types.is_struct(kind) else set()
    return "id" in names and bool(names & {"category_id", "class_id"})


def _voided(
    pixels: npt.NDArray[Any], others: npt.NDArray[Any], taken: set[int], segments: Sequence[Segment], items: ClassSet
) -> tuple[npt.NDArray[np.int32], ClassItem]:
    """Return a mask in which pixels of no segment have an id that nothing else has, and its class, which is ignored."""
    ignored = [item for item in items if item.ignore and item.id not in taken]
    known = {*taken, *(segment.class_id for segment in segments), *(item.id for item in items)}
    void = ignored[0] if ignored else ClassItem(_free(known), "void", None, True)
    voided = pixels.astype(np.int32)
    voided[np.isin(pixels, others)] = void.id
    return voided, void


def _free(known: Collection[int]) -> int:
    return next((number for number in VOIDS if number not in known), min(known, default=0) - 1)


def _features(schema: pa.Schema, file: str) -> Mapping[str, Any]:
    """Return the features that ``datasets`` describes the columns with."""
    text = (schema.metadata or {}).get(HUGGINGFACE)
    if text is None:
        return {}
    try:
        body = json.loads(text)
        features = body["info"]["features"]
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptData(f"{file}: the metadata 'huggingface' holds no features: {error!r}") from error
    if not isinstance(features, dict):
        raise CorruptData(f"{file}: the metadata 'huggingface' holds no features: got {features!r:.60}")
    return features


def _is_picture(kind: pa.DataType) -> bool:
    """Whether a type is that of the feature ``Image``, which files bear also without metadata."""
    if not pa.types.is_struct(kind) or {entry.name for entry in kind} != {"bytes", "path"}:
        return False
    data, path = kind.field("bytes").type, kind.field("path").type
    binary = pa.types.is_binary(data) or pa.types.is_large_binary(data)
    return bool(binary and (pa.types.is_string(path) or pa.types.is_large_string(path)))


def _bytes(cell: Any) -> bytes | None:
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    return data if isinstance(data, bytes) else None


def _classes(names: Any, file: str, column: str) -> ClassSet:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise CorruptData(f"{file}: the labels of column {column!r} need a list of names; got {names!r:.60}")
    return ClassSet(ClassItem(number, name) for number, name in enumerate(names))
