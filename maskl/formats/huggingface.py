"""Datasets as the Hugging Face Hub and ``datasets`` know them: Parquet with images, labels and a card.

Written from the tables that ``parquet`` holds, with masks as PNG: an image's bytes become the struct that
the feature ``Image`` is, and what else is known of it stands beside; see ``docs/exporting.md``. Read from
such Parquet, shards of splits, and from folders that ``save_to_disk`` wrote.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from maskl.formats._dataset_card import card
from maskl.formats.arrow import read_batches
from maskl.formats.parquet import DATA, MAGIC, SHARD, SUFFIX, files_of, read_files, schema_of, write_parts
from maskl.formats.rows import _export_keys as export_keys
from maskl.formats.rows._columnar import Layout, ahead, grouped, tables
from maskl.formats.rows._export_keys import EXPORT_KEY
from maskl.formats.rows._plain import HUGGINGFACE
from maskl.formats.rows._tables import HEEDS, Tables
from maskl.interchange.documents import read_object
from maskl.interchange.format import Format
from maskl.interchange.options import Dropped, ExportOptions, ImportOptions
from maskl.interchange.problems import Problems
from maskl.interchange.records import Record
from maskl.interchange.selection import Selection
from maskl.interchange.source_files import SourceFile, begins_with, has_file, inside
from maskl.interchange.statistics import Statistics
from maskl_storage.errors import CorruptData, InvalidValue, MasklError, NotFound
from maskl_storage.format.metadata import Column, class_name
from maskl_storage.format.schemas import BOXES, IMAGE, SEGMENTS
from maskl_storage.masks.png import fits

__all__ = ["FORMAT", "read", "sniff", "write"]

#: what the feature ``Image`` is in Arrow, in this order
PICTURE: Final = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
#: ids of ``ClassLabel``
LABEL: Final = pa.int64()
LABELS: Final = pa.list_(LABEL)
#: boxes with a list of scores instead of a map, which ``datasets`` has no feature for
SCORES: Final = pa.list_(pa.struct([("key", pa.string()), ("value", pa.float64())]))
PLAIN_BOXES: Final = pa.list_(
    pa.struct([entry.with_type(SCORES) if pa.types.is_map(entry.type) else entry for entry in BOXES.value_type])
)
#: segments as COCO's panoptic form has them, and what each key is in a store
SEGMENT_KEYS: Final = {
    "id": "id", "category_id": "class_id", "category_name": "class_name", "area": "pixels", "bbox": "bbox",
    "iscrowd": "iscrowd", "score": "score",
}  # fmt: skip
STORED: Final = SEGMENTS.value_type
SEGMENTS_INFO: Final = pa.list_(pa.struct([(key, STORED.field(own).type) for key, own in SEGMENT_KEYS.items()]))
#: the split that all rows are written as
SPLIT: Final = "train"
#: bytes of a file and of a row group
SHARD_BYTES: Final = 480 << 20
GROUP_BYTES: Final = 32 << 20
#: rows whose masks are looked at, or whose classes are asked for, at a time
BLOCK: Final = 256
CLASSES_BLOCK: Final = 65536
#: what ``save_to_disk`` writes into a folder of splits, and into that of each
SPLITS: Final = "dataset_dict.json"
STATE: Final = "state.json"


@dataclass
class _Plan:
    """The columns of the dataset, and how each is made from a table of :func:`tables`."""

    fields: list[pa.Field] = field(default_factory=list)
    features: dict[str, Any] = field(default_factory=dict)
    make: list[Callable[[pa.Table], Any]] = field(default_factory=list)
    #: what else is known of an image column, and the classes present in a mask, by the column that says so
    info: dict[str, str] = field(default_factory=dict)
    classes: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add(self, name: str, kind: pa.DataType, feature: Any, make: Callable[[pa.Table], Any]) -> None:
        """Append a column."""
        self.fields.append(pa.field(name, kind))
        self.features[name] = feature
        self.make.append(make)


def write(selection: Selection, folder: Path, options: ExportOptions, tick: Callable[[int], None]) -> Dropped:
    """Write a folder that ``datasets.load_dataset`` and the Hub take; nothing is dropped."""
    if options.masks not in (None, "png"):
        raise InvalidValue(f"huggingface writes masks as png, which its feature Image is; got {options.masks!r}")
    layout = Layout.of(selection, "png", confusion=False)
    source = layout.schema(selection, "huggingface", "png")
    plan = _plan(selection, layout, source)
    info = {"info": {"features": plan.features}}  # as datasets has it
    metadata = {HUGGINGFACE: json.dumps(info, ensure_ascii=False).encode(), **source.metadata}
    metadata[EXPORT_KEY] = _described(source.metadata[EXPORT_KEY], plan)
    schema = pa.schema(plan.fields, metadata=metadata)
    made = (
        pa.table([make(rows) for make in plan.make], schema=schema)
        for rows in tables(selection, layout, source, "png", tick, portable=True)
    )
    data = folder / DATA
    data.mkdir()
    paths = write_parts(
        data, schema, ahead(grouped(made, GROUP_BYTES)), lambda number: f"{SPLIT}-{number:05}{SUFFIX}", SHARD_BYTES
    )
    for number, path in enumerate(paths):
        path.rename(data / f"{SPLIT}-{number:05}-of-{len(paths):05}{SUFFIX}")
    (folder / "README.md").write_text(card(selection, plan.features, {SPLIT: f"{DATA}/{SPLIT}-*"}), "utf-8")
    return Dropped()


def _plan(selection: Selection, layout: Layout, source: pa.Schema) -> _Plan:
    """Go through the columns of the tables."""
    plan = _Plan()
    columns = selection.union.columns
    names, unfit = _class_names(selection, layout), _unfit(selection)
    bytes_of = {image: column for column, image in layout.images.items()}
    for entry in source:
        name, column = entry.name, columns.get(entry.name)
        if column is not None and column.kind == "image":
            plan.add(name, PICTURE, {"_type": "Image"}, _picture(bytes_of[name]))
            info = layout.free(f"{name}__info")
            plan.info[info] = name
            plan.add(info, IMAGE, _feature(IMAGE), _same(name))
        elif column is not None and column.kind == "mask":
            plan.add(name, PICTURE, {"_type": "Image"}, _picture(name))
        elif column is not None and column.kind == "boxes":
            plan.add(name, PLAIN_BOXES, _feature(PLAIN_BOXES), _plain_boxes(name))
        elif column is not None and column.kind == "segments":
            plan.add(name, SEGMENTS_INFO, _feature(SEGMENTS_INFO), _segments_info(name))
        elif name in layout.pixels:
            label = {"names": names[name], "_type": "ClassLabel"}
            image, key = layout.pixels[name]
            classes = layout.free(f"{image}__classes__{key}")
            plan.classes[classes] = (image, key)
            plan.add(classes, LABELS, _list(label), _labels(name, names[name]))
        elif name in layout.images or (name in layout.exact and layout.exact[name] not in unfit):
            continue
        elif column is not None and (ids := _label_names(column)):
            plan.add(name, LABEL, {"names": list(ids), "_type": "ClassLabel"}, _same(name))
        else:
            plan.add(name, entry.type, _feature(entry.type), _same(name))
    return plan


def _described(body: bytes, plan: _Plan) -> bytes:
    """Return what the metadata says of the columns of this format."""
    described = json.loads(body)
    there = {entry.name for entry in plan.fields}
    exact = {column: mask for column, mask in described[export_keys.EXACT].items() if column in there}
    described |= {export_keys.BYTES: {}, export_keys.PIXELS: {}, export_keys.EXACT: exact}
    described |= {export_keys.INFO: plan.info, export_keys.CLASSES: plan.classes}
    return json.dumps(described, ensure_ascii=False).encode()


# --- columns ------------------------------------------------------------------------------------


def _same(name: str) -> Callable[[pa.Table], Any]:
    return lambda rows: rows[name]


def _picture(data: str) -> Callable[[pa.Table], Any]:
    """Return what makes images of a column of bytes; missing where these are."""

    def make(rows: pa.Table) -> pa.ChunkedArray:
        chunks = [
            pa.StructArray.from_arrays(
                [chunk, pa.nulls(len(chunk), pa.string())], fields=list(PICTURE), mask=chunk.is_null()
            )
            for chunk in rows[data].chunks
        ]
        return pa.chunked_array(chunks, PICTURE)

    return make


def _plain_boxes(name: str) -> Callable[[pa.Table], Any]:
    """Return what makes boxes with a list of scores."""

    def make(rows: pa.Table) -> pa.Array:
        stored = rows[name].combine_chunks()
        values = stored.flatten()
        children = []
        for index, entry in enumerate(BOXES.value_type):
            child = values.field(index)
            if pa.types.is_map(entry.type):
                pairs = pa.StructArray.from_arrays([child.keys, child.items], fields=list(SCORES.value_type))
                child = pa.ListArray.from_arrays(child.offsets, pairs, type=SCORES, mask=child.is_null())
            children.append(child)
        items = pa.StructArray.from_arrays(children, fields=list(PLAIN_BOXES.value_type))
        counts = pa.compute.list_value_length(stored).fill_null(0).to_numpy()
        offsets = pa.array(np.concatenate(([0], np.cumsum(counts))), pa.int32())
        return pa.ListArray.from_arrays(offsets, items, type=PLAIN_BOXES, mask=stored.is_null())

    return make


def _segments_info(name: str) -> Callable[[pa.Table], Any]:
    """Return what makes segments with the keys that COCO's panoptic form has."""

    def make(rows: pa.Table) -> pa.Array:
        stored = rows[name].combine_chunks()
        values = stored.flatten()
        children = [values.field(own) for own in SEGMENT_KEYS.values()]
        items = pa.StructArray.from_arrays(children, fields=list(SEGMENTS_INFO.value_type))
        counts = pa.compute.list_value_length(stored).fill_null(0).to_numpy()
        offsets = pa.array(np.concatenate(([0], np.cumsum(counts))), pa.int32())
        return pa.ListArray.from_arrays(offsets, items, type=SEGMENTS_INFO, mask=stored.is_null())

    return make


def _labels(name: str, names: Sequence[str]) -> Callable[[pa.Table], Any]:
    """Return what makes lists of labels, ascending, of the classes that occur in each mask."""
    known, width = pa.array(names, pa.string()), max(len(names), 1)

    def make(rows: pa.Table) -> pa.Array:
        stored = rows[name].combine_chunks()
        row = pa.compute.list_parent_indices(stored)
        classes = stored.flatten()
        occurs = pa.compute.greater(classes.field("pixels"), 0)
        labels = pa.compute.index_in(classes.field("class_name").filter(occurs), known).to_numpy()
        # several ids of one name are one label
        at, found = np.divmod(np.unique(row.filter(occurs).to_numpy() * width + labels), width)
        counts = np.bincount(at, minlength=len(stored))
        offsets = pa.array(np.concatenate(([0], np.cumsum(counts))), pa.int32())
        return pa.ListArray.from_arrays(offsets, pa.array(found, LABEL), type=LABELS, mask=stored.is_null())

    return make


def _class_names(selection: Selection, layout: Layout) -> dict[str, list[str]]:
    """Return, for each column of classes, the names that its labels count: those declared, then others present."""
    columns = selection.union.columns.values()
    named: dict[tuple[str, str], dict[int, list[str]]] = {}
    for column in columns:
        if column.kind == "mask":
            found = named.setdefault((str(column.image), str(column.key)), {})
            for item in (item for items in column.class_sets for item in items):
                found.setdefault(item.id, []).append(class_name(item, item.id))
    if named:
        with Statistics.of(selection) as counted:
            for first in range(0, len(selection), CLASSES_BLOCK):
                for image, key, number, name in counted.present(selection.rows.keys(first, first + CLASSES_BLOCK)):
                    if (image, key) in named:
                        named[image, key].setdefault(number, []).append(name)
    return {
        name: list(dict.fromkeys(text for number in sorted(named[masks]) for text in named[masks][number]))
        for name, masks in layout.pixels.items()
    }


def _unfit(selection: Selection) -> set[str]:
    """Return the columns of masks that hold one which PNG cannot."""
    masks = [name for name, column in selection.union.columns.items() if column.kind == "mask"]
    unfit: set[str] = set()
    if masks:
        for rows in selection.batches(BLOCK):
            for name in masks:
                if name not in unfit and not all(mask is None or fits(mask) for mask in rows[name].to_pylist()):
                    unfit.add(name)
    return unfit


def _label_names(column: Column) -> tuple[str, ...]:
    """Return the names of a column of class ids that labels can be made of."""
    counted = column.kind == "value" and column.type == "int" and len(column.class_sets) == 1
    return column.class_sets[0].label_names if counted else ()


# --- features -----------------------------------------------------------------------------------


def _feature(kind: pa.DataType) -> Any:
    """Return the feature of an Arrow type, as the metadata has it."""
    if pa.types.is_struct(kind):
        return {entry.name: _feature(entry.type) for entry in kind}
    if pa.types.is_list(kind):
        return _list(_feature(kind.value_type))
    return {"dtype": _dtype(kind), "_type": "Value"}


def _list(feature: Any) -> dict[str, Any]:
    return {"feature": feature, "_type": "List"}


def _dtype(kind: pa.DataType) -> str:
    names = {pa.float64(): "float64", pa.float32(): "float32", pa.float16(): "float16"}
    return names.get(kind, str(kind))


# --- reading ------------------------------------------------------------------------------------


def sniff(source: Path) -> bool:
    """Whether this is a folder that ``save_to_disk`` wrote, or Parquet with the features of ``datasets``."""
    if _is_saved(source):
        return True
    first = files_of(source, strict=False)[:1]
    try:
        return any(begins_with(file, MAGIC) and HUGGINGFACE in (schema_of(file).metadata or {}) for file in first)
    except (MasklError, pa.ArrowException, OSError):
        return False


def read(source: Path, options: ImportOptions, problems: Problems) -> Iterator[Record]:
    """Read every split; where there are several, each becomes a table of its name."""
    if _is_saved(source):
        return _read_saved(source, options, problems)
    files = files_of(source, links=options.follow_links)
    if not files:
        raise InvalidValue(f"{source} holds no Parquet file, and nothing that save_to_disk wrote")
    splits = [_split(file) for file in files]
    several = len(set(splits)) > 1
    named = [(file, split if several else "") for file, split in zip(files, splits, strict=True)]
    return read_files(named, options, problems)


def _is_saved(source: Path) -> bool:
    return has_file(source, SPLITS) or has_file(source, STATE)


def _split(file: SourceFile) -> str:
    """Return the split that a shard belongs to: its name before the number, or its folder."""
    match = SHARD.fullmatch(file.path.stem)
    return match[1] if match else file.path.stem


def _read_saved(source: Path, options: ImportOptions, problems: Problems) -> Iterator[Record]:
    tables = Tables(options, problems)
    if not has_file(source, SPLITS):
        yield from _read_split(source, "", tables, problems)
        return
    path = inside(source, SPLITS, links=options.follow_links)
    splits = read_object(path).get("splits")
    if not isinstance(splits, list) or not all(isinstance(split, str) for split in splits):
        raise CorruptData(f"{path}: splits: a list of names is needed; got {splits!r:.60}")
    for split in splits:
        yield from _read_split(source, split, tables, problems)


def _read_split(source: Path, split: str, tables: Tables, problems: Problems) -> Iterator[Record]:
    """Read the split of a name, which is that of its folder; without one, the source itself."""
    try:
        state = inside(source, f"{split}/{STATE}" if split else STATE, links=tables.options.follow_links)
    except NotFound as error:
        raise CorruptData(f"{error}, which save_to_disk writes") from error
    files = read_object(state).get("_data_files")
    entries = files if isinstance(files, list) else [None]
    names = [entry.get("filename") if isinstance(entry, dict) else None for entry in entries]
    if not all(isinstance(name, str) for name in names):
        raise CorruptData(f"{state}: _data_files: a list of file names is needed; got {files!r:.60}")
    for name in names:
        try:
            file = state.neighbour(name)
        except NotFound as error:
            problems.bad(state, None, str(error))
            continue
        yield from read_batches(file, tables, problems, split)


FORMAT: Final = Format("huggingface", read=read, write=write, sniff=sniff, takes=("masks",), heeds=HEEDS)
