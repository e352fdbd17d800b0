"""Stored rows as a dataset of Hugging Face's ``datasets``, which is imported where one is made."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from maskl.drawing.notebook import Rows
from maskl.formats.huggingface import PICTURE
from maskl.interchange.portable import Portable
from maskl_storage.disk.atomic import beside, move
from maskl_storage.errors import InvalidValue
from maskl_storage.extras import optional
from maskl_storage.format.metadata import ClassSet, class_name
from maskl_storage.format.names import set_name
from maskl_storage.masks.png import mask_png

__all__ = ["Source", "hf_dataset"]

CLASSES: Final = pa.list_(pa.int64())
#: a record batch is full with so many rows, or so many bytes of pictures
ROWS: Final = 256
BYTES: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """What a column of pictures is made from: the name of the image column in rows, and a mask's keys and sets."""

    column: str
    keys: tuple[str, ...] = ()
    class_sets: tuple[ClassSet, ...] = ()


def hf_dataset(
    rows: Rows,
    values: Mapping[str, pa.ChunkedArray],
    pictures: Mapping[str, Source],
    labels: Mapping[str, ClassSet],
    file: str | os.PathLike[str] | None,
) -> Any:
    """Return a ``datasets.Dataset``.

    Parameters
    ----------
    rows : Rows
        Stored rows, with images as :class:`maskl.Image`; they are gone through once.
    values : mapping of str to pa.ChunkedArray
        The columns that stay as they are, with a value for each row.
    pictures : mapping of str to Source
        The columns of images and masks, by their names in the dataset.
    labels : mapping of str to ClassSet
        Those of the values that are class ids.
    file : path-like, optional
        The Arrow file to keep the dataset in; by default memory.

    Raises
    ------
    MissingExtra
        ``datasets`` is not installed.
    InvalidValue
        A mask that no PNG can hold; a file that exists.
    """
    datasets = optional("datasets", "to_hf()")
    made = _Pictures(pictures, {name: column.type for name, column in values.items()})
    schema = made.schema
    if file is None:
        sink = pa.BufferOutputStream()
        _write(sink, schema, made.batches(rows, values))
        return datasets.Dataset.from_buffer(sink.getvalue(), info=_info(datasets, made, labels))
    target = Path(os.fsdecode(file)).expanduser().resolve()
    if target.exists():
        raise InvalidValue(f"{target} exists: name another file")
    unfinished = beside(target)
    try:
        with pa.OSFile(str(unfinished), "wb") as sink:
            _write(sink, schema, made.batches(rows, values))
        move(unfinished, target)
    except FileExistsError as error:  # it came while this was written
        raise InvalidValue(f"{target} exists by now: name another file") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return datasets.Dataset.from_file(str(target), info=_info(datasets, made, labels))


def _write(sink: Any, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


class _Pictures:
    """Columns of images, masks, and the classes that are present in each mask."""

    def __init__(self, sources: Mapping[str, Source], values: Mapping[str, pa.DataType]) -> None:
        self.sources = sources
        self.portable = Portable()
        self.classes = {
            name: set_name(name).replace("__set__", "__classes__", 1) for name, source in sources.items() if source.keys
        }
        self.names: dict[str, dict[str, int]] = {}
        for name in self.classes:
            items = {item for items in sources[name].class_sets for item in items}
            named = dict.fromkeys(class_name(item, item.id) for item in sorted(items, key=lambda item: item.id))
            self.names[name] = {known: place for place, known in enumerate(named)}
        fields = [pa.field(name, kind) for name, kind in values.items()]
        for name in sources:
            fields.append(pa.field(name, PICTURE))
            if name in self.classes:
                fields.append(pa.field(self.classes[name], CLASSES))
        self.schema = pa.schema(fields)

    def batches(self, rows: Rows, values: Mapping[str, pa.ChunkedArray]) -> Iterator[pa.RecordBatch]:
        """Yield the rows, some megabytes at a time."""
        cells = self._empty()
        first = size = 0
        for number, row in enumerate(rows):
            for name, source in self.sources.items():
                size += self._add(cells, name, source, row.get(source.column), number)
            if number + 1 - first == ROWS or size >= BYTES or number + 1 == len(rows):
                some = {name: column.slice(first, number + 1 - first) for name, column in values.items()}
                yield self._batch(some, cells)
                cells, first, size = self._empty(), number + 1, 0

    def _empty(self) -> dict[str, list[Any]]:
        return {name: [] for name in (*self.sources, *self.classes.values())}

    def _batch(self, values: Mapping[str, pa.ChunkedArray], cells: Mapping[str, list[Any]]) -> pa.RecordBatch:
        arrays: dict[str, Any] = {name: column.combine_chunks() for name, column in values.items()}
        arrays |= {name: pa.array(some, self.schema.field(name).type) for name, some in cells.items()}
        return pa.RecordBatch.from_arrays([arrays[name] for name in self.schema.names], schema=self.schema)

    def _add(self, cells: dict[str, list[Any]], name: str, source: Source, image: Any, number: int) -> int:
        """Append the cell of a row, and return how many bytes it has."""
        if not source.keys:
            picture = None if image is None else self._picture(image)
            cells[name].append(picture)
            return len((picture or {}).get("bytes") or b"")
        mask = None if image is None else next((image.masks[key] for key in source.keys if key in image.masks), None)
        if mask is None:
            cells[name].append(None)
            cells[self.classes[name]].append(None)
            return 0
        try:
            data = mask_png(mask.data)
        except InvalidValue as error:
            raise InvalidValue(f"row {number}, column {name!r}: {error}, or name the columns without it") from error
        items = {item.id: item for item in mask.class_set or ()}
        places = self.names[name]
        present = [class_name(items.get(id_), id_) for id_ in mask.classed[1].ids.tolist()]
        cells[name].append({"bytes": data, "path": None})
        cells[self.classes[name]].append([places.setdefault(known, len(places)) for known in dict.fromkeys(present)])
        return len(data)

    def _picture(self, image: Any) -> dict[str, Any]:
        """Return an image's file, such as ``datasets`` opens; of a reference, which is never fetched, where it is."""
        if image.stored is None:
            return {"bytes": None, "path": image.reference}
        data = image.stored[1]()
        made = self.portable.file(image.digest(), data)
        return {"bytes": data if made is None else made[0], "path": None}


def _info(datasets: Any, made: _Pictures, labels: Mapping[str, ClassSet]) -> Any:
    """Return what the columns are: pictures, class ids, and what Arrow says of the others."""
    features = dict(datasets.Features.from_arrow_schema(made.schema))
    for name in made.sources:
        features[name] = datasets.Image()
    for name, places in made.names.items():
        if places:
            features[made.classes[name]] = datasets.Sequence(datasets.ClassLabel(names=list(places)))
    for name, items in labels.items():
        features[name] = datasets.ClassLabel(names=list(items.label_names))
    return datasets.DatasetInfo(features=datasets.Features(features))
