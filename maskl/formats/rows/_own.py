"""Rows with our metadata, as ``maskl export`` writes them, back as the values that were logged."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from maskl.formats.rows._export_keys import ARRAYS, BYTES, EXACT, EXPORT_KEY, INFO, JSON, MAJOR, TABLE, VERSION_KEY
from maskl.images.image import Image
from maskl.interchange.segmented import counted, said_segments
from maskl.interchange.untrusted import check_size, mask_pixels, stored_image
from maskl_storage.errors import CorruptData, InvalidValue, MasklError, UnsupportedVersion, prefixed
from maskl_storage.format.boxes import CENTER, CORNERS, FRACTIONAL, PIXEL, Box
from maskl_storage.format.json_values import load_text
from maskl_storage.format.metadata import LABELLED, METADATA_KEY, ClassSet, Column
from maskl_storage.format.names import set_name
from maskl_storage.format.schemas import IMAGE, columns_of, value_type
from maskl_storage.format.segments import Segment
from maskl_storage.format.union import MIXED
from maskl_storage.masks.codec import encode, mask_info
from maskl_storage.masks.png import SIGNATURE
from maskl_storage.read.table import StoredImage

__all__ = ["OwnRows", "is_own"]


def is_own(schema: pa.Schema) -> bool:
    """Whether a schema has our metadata."""
    return METADATA_KEY in (schema.metadata or {})


@dataclass(frozen=True, slots=True)
class _Layer:
    """A column of masks or boxes of an image."""

    stored: str
    column: Column
    #: the column that says which class set a row uses, and that of masks which PNG cannot hold
    numbers: str | None
    exact: str | None


@dataclass(frozen=True, slots=True)
class _Picture:
    """An image column: what is known of it and the bytes may stand in one column each, or in others."""

    stored: str
    info: str
    data: str | None
    layers: tuple[_Layer, ...]
    #: the column of the segments of each mask that has some, by its key
    segments: Mapping[str, str]


@dataclass(slots=True)
class OwnRows:
    """The columns of a file of ours.

    Parameters
    ----------
    schema : pyarrow.Schema
        The file's.
    file : str
        What it is called in messages.

    Raises
    ------
    CorruptData
        The metadata is no JSON or contradicts the columns.
    UnsupportedVersion
        It is of a newer major version.
    """

    schema: pa.Schema
    file: str
    #: the table that every row was exported from, empty where they are of several
    table: str = ""
    columns: tuple[str, ...] = ()
    types: dict[str, Column] = field(default_factory=dict)
    _makers: list[Callable[[Mapping[str, Sequence[Any]], int], Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        known = columns_of(self.schema, self.file)
        described = _described(self.schema, self.file)
        self.table = str(described.get(TABLE) or "")
        for stored, column in known.items():
            if stored not in self.schema.names:
                raise CorruptData(f"{self.file}: the metadata speaks of a column {stored!r}, which is not there")
            if column.kind in LABELLED:
                continue
            if column.name in self.types:  # stored in two types, as in SQL
                column = replace(column, name=stored)
            self.types[column.name] = column
            if column.kind == "image":
                self._makers.append(_image_maker(self._picture(stored, known, described)))
            else:
                self._check_type(stored, column)
                self._makers.append(self._value(stored, column, described))
        self.columns = tuple(self.types)

    def makers(self, batch: pa.Table) -> list[Callable[[int], Any]]:
        """Return what makes a column's value of each row of a batch, by its number there."""
        cells = {name: batch[name].to_pylist() for name in batch.column_names}
        return [partial(make, cells) for make in self._makers]

    def _value(
        self, stored: str, column: Column, described: Mapping[str, Any]
    ) -> Callable[[Mapping[str, Sequence[Any]], int], Any]:
        """Return what makes values of a column, some of which may be of another type than the others."""
        plain = _value_maker(stored, column)
        for key, kind in ((JSON, "json"), (ARRAYS, "array")):
            mark = _column_of(described.get(key), stored)
            if mark is not None:
                if mark not in self.schema.names:
                    raise CorruptData(f"{self.file}: the metadata speaks of a column {mark!r}, which is not there")
                self.types[column.name] = Column("value", column.name, "json", MIXED)
                return partial(_either, mark, _value_maker(stored, replace(column, type=kind)), plain)
        return plain

    def _picture(self, stored: str, known: Mapping[str, Column], described: Mapping[str, Any]) -> _Picture:
        names = set(self.schema.names)
        info = _column_of(described.get(INFO), stored) or stored
        data = _column_of(described.get(BYTES), stored)
        kind = self.schema.field(info).type
        if not pa.types.is_struct(kind) or not {entry.name for entry in IMAGE} <= {entry.name for entry in kind}:
            raise CorruptData(f"{self.file}: column {info!r} must hold what is known of images; it is {kind}")
        exact = described.get(EXACT)
        layers = tuple(
            _Layer(
                name,
                column,
                set_name(name) if set_name(name) in names else None,
                _column_of(exact, name),
            )
            for name, column in known.items()
            if column.kind in LABELLED and column.kind != "segments" and column.image == stored
        )
        segments = {
            str(column.key): name
            for name, column in known.items()
            if column.kind == "segments" and column.image == stored
        }
        for name in (info, data, *(layer.exact for layer in layers)):
            if name is not None and name not in names:
                raise CorruptData(f"{self.file}: the metadata speaks of a column {name!r}, which is not there")
        return _Picture(stored, info, data, layers, segments)

    def _check_type(self, stored: str, column: Column) -> None:
        wanted, kind = value_type(column), self.schema.field(stored).type
        if kind not in (wanted, pa.null()) and not _same_values(kind, wanted):
            raise CorruptData(f"{self.file}: column {stored!r} must be {wanted}, as the metadata says; it is {kind}")


def _described(schema: pa.Schema, file: str) -> dict[str, Any]:
    """Return what an export says of its columns; a file without it holds what is stored and nothing else."""
    text = (schema.metadata or {}).get(EXPORT_KEY)
    if text is None:
        return {}
    try:
        body = json.loads(text)
    except ValueError as error:
        raise CorruptData(f"{file}: the metadata {EXPORT_KEY.decode()!r} is not JSON: {error}") from error
    version = str(body.get(VERSION_KEY)) if isinstance(body, dict) else ""
    major = version.partition(".")[0]
    if not major.isdecimal():
        raise CorruptData(f"{file}: the metadata {EXPORT_KEY.decode()!r} needs a version; got {version!r:.40}")
    if int(major) > MAJOR:
        raise UnsupportedVersion(f"{file}: exported in version {version}; this maskl reads up to {MAJOR}: update maskl")
    return dict(body)


def _column_of(described: Any, stored: str) -> str | None:
    """Return the column that belongs to a stored one."""
    if not isinstance(described, dict):
        return None
    return next((str(name) for name, of in described.items() if of == stored), None)


def _same_values(kind: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a type only spells the wanted one otherwise, as other tools write it back."""
    pairs = ((pa.types.is_list, pa.types.is_large_list), (pa.types.is_string, pa.types.is_large_string))
    for small, large in (*pairs, (pa.types.is_binary, pa.types.is_large_binary)):
        if (small(kind) or large(kind)) and (small(wanted) or large(wanted)):
            if pa.types.is_list(wanted):
                return kind.value_type == wanted.value_type or _same_values(kind.value_type, wanted.value_type)
            return True
    return bool(pa.types.is_timestamp(kind) and pa.types.is_timestamp(wanted) and kind.tz == wanted.tz)


# --- values -------------------------------------------------------------------------------------


def _value_maker(stored: str, column: Column) -> Callable[[Mapping[str, Sequence[Any]], int], Any]:
    def make(cells: Mapping[str, Sequence[Any]], index: int) -> Any:
        value = cells[stored][index]
        if value is None or column.type not in ("json", "array"):
            return value
        try:
            return load_text(value) if column.type == "json" else _array(value, column)
        except (ValueError, TypeError, KeyError) as error:
            raise CorruptData(f"column {column.name!r}: no {column.type}: {error}") from error

    return make


def _either(mark: str, marked: Any, plain: Any, cells: Mapping[str, Sequence[Any]], index: int) -> Any:
    """Return a value as what it is, which a column of marks says."""
    return (marked if cells[mark][index] else plain)(cells, index)


def _array(value: Any, column: Column) -> np.ndarray[Any, Any]:
    array = np.array(value, dtype=column.dtype)
    # nested lists do not tell the lengths inside an empty one
    inner = (column.shape or ())[array.ndim :] if array.size == 0 else ()
    return array.reshape((*array.shape, *(length or 0 for length in inner)))


def _image_maker(column: _Picture) -> Callable[[Mapping[str, Sequence[Any]], int], Any]:
    def make(cells: Mapping[str, Sequence[Any]], index: int) -> Any:
        info = cells[column.info][index]
        if info is None:
            return None
        masks: dict[str, tuple[bytes, ClassSet]] = {}
        boxes: dict[str, tuple[tuple[Box, ...], ClassSet]] = {}
        segments: dict[str, tuple[Segment, ...]] = {}
        for layer in column.layers:
            value = cells[layer.stored][index]
            exact = None if layer.exact is None else cells[layer.exact][index]
            if value is None and exact is None:
                continue
            key = str(layer.column.key)
            what = f"{'mask' if layer.column.kind == 'mask' else 'boxes'} {key!r} of column {layer.column.name!r}"
            try:
                class_set = _class_set(layer, cells, index)
                if layer.column.kind == "mask":
                    masks[key] = (_mask(exact if value is None else value), class_set)
                    said = cells[column.segments[key]][index] if key in column.segments else None
                    if said is not None:
                        segments[key] = counted(masks[key][0], said_segments(said))
                else:
                    boxes[key] = (tuple(map(_box, value)), class_set)
            except MasklError as error:
                raise prefixed(error, what) from error
        try:
            image = _image(info, _data(column, cells, index), masks, boxes, segments)
        except MasklError as error:
            raise prefixed(error, f"image of column {column.stored!r}") from error
        for mask in image.masks.values():
            try:
                _ = mask.encoded  # decoded here, where the mask's name is known; the table uses it
            except MasklError as error:
                raise prefixed(error, f"mask {mask.key!r} of column {column.stored!r}") from error
        return image

    return make


def _class_set(layer: _Layer, cells: Mapping[str, Sequence[Any]], index: int) -> ClassSet:
    number = 0 if layer.numbers is None else cells[layer.numbers][index] or 0
    if not 0 <= number < len(layer.column.class_sets):
        raise CorruptData(f"class set {number} is needed; there are {len(layer.column.class_sets)}")
    return layer.column.class_sets[number]


def _mask(value: Any) -> bytes:
    """Return an encoded mask: the bytes as they are, or a PNG's pixels encoded."""
    data = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(data, bytes):
        raise InvalidValue(f"a mask's bytes are needed; got {data!r:.60}")
    if data.startswith(SIGNATURE):
        return encode(mask_pixels(data))
    height, width = mask_info(data).shape
    check_size(width, height, "the mask")
    return data


def _data(column: _Picture, cells: Mapping[str, Sequence[Any]], index: int) -> bytes | None:
    value = cells[column.data if column.data is not None else column.stored][index]
    data = value.get("bytes") if isinstance(value, dict) else value
    return data if isinstance(data, bytes) else None


def _image(
    info: Mapping[str, Any],
    data: bytes | None,
    masks: Mapping[str, Any],
    boxes: Mapping[str, Any],
    segments: Mapping[str, tuple[Segment, ...]],
) -> Image:
    caption, path = info["caption"], info["path"]
    if info["digest"] is None:
        if path is None:
            raise InvalidValue("an image needs a digest, or the path that it refers to")
        return Image.from_stored(
            StoredImage(None, None, None, None, None, caption, path, masks, boxes, segments), bytes
        )
    if data is None:
        raise InvalidValue(
            "the image's bytes are missing: a file of a store's folder rows holds none; import what maskl export wrote"
        )
    stored = replace(stored_image(data, path, info["mode"], caption), masks=masks, boxes=boxes, segments=segments)
    return Image.from_stored(stored, lambda: data)


def _box(item: Any) -> Box:
    """Return a box, which is checked as far as its type leaves anything open."""
    scores = item["scores"]
    if scores is not None:
        pairs = [(pair["key"], pair["value"]) if isinstance(pair, dict) else pair for pair in scores]
        if any(name is None or value is None for name, value in pairs):
            raise InvalidValue("a score needs a name and a number")
        scores = dict(pairs)
    position, form, domain = item["position"], item["form"], item["domain"]
    if not isinstance(position, list) or len(position) != 4 or any(x is None or not math.isfinite(x) for x in position):
        raise InvalidValue(f"a box needs a position of four finite numbers; got {position!r:.80}")
    if form not in (CENTER, CORNERS) or domain not in (PIXEL, FRACTIONAL):
        raise InvalidValue(f"a box needs a form and a domain; got {form!r:.20} and {domain!r:.20}")
    a, b, c, d = position
    return Box((a, b, c, d), form, domain, item["class_id"], item["caption"], scores)
