"""The checks of single parts, each a function that any process can run: files in, faults and small sums out."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from blake3 import blake3

from maskl_storage.disk.blobs import hash_of
from maskl_storage.disk.local import Folder
from maskl_storage.errors import CorruptData, MasklError, MissingExtra
from maskl_storage.format.json_values import load_text
from maskl_storage.format.metadata import LABELLED, Column, class_name
from maskl_storage.format.names import set_name
from maskl_storage.format.schemas import FIXED, JSON, TOTALS, check_types, column_faults, columns_of
from maskl_storage.format.seals import Part
from maskl_storage.images.digests import Words, words_of
from maskl_storage.images.jxl import open_image, size_of
from maskl_storage.images.lossless import EXACT, line_format
from maskl_storage.verify._faults import Fault
from maskl_storage.verify._recount import count
from maskl_storage.verify._sums import Listed, Place, Scored, Sums, joined, listed_in, sums_of

__all__ = ["BROKEN", "Pictures", "RowsFound", "check_images", "check_part", "check_rows", "form_faults", "scan"]

#: what reading a broken file raises
BROKEN: Final = (OSError, pa.ArrowException, MasklError, ValueError, KeyError, IndexError, TypeError, OverflowError)
SCAN_ROWS: Final = 1 << 18
#: modes of arrays that these formats keep exactly, and their NumPy types
MODES: Final = {"RGB": "|u1", "RGBA": "|u1", "L": "|u1", "1": "|b1", "I;16": "<u2"}


@dataclass
class RowsFound:
    """What was found in some rows: their numbers, their statistics, and the images that they refer to."""

    rows: npt.NDArray[np.int64]
    sums: dict[str, Sums] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    #: of each image column, the rows that refer to an image, and the digests
    images: dict[str, tuple[npt.NDArray[np.int64], Words]] = field(default_factory=dict)
    masks: int = 0
    #: rows whose masks do not decode
    broken: frozenset[int] = frozenset()


@dataclass
class Pictures:
    """What was found in some images: their digests, and how many digests nobody but their writer can check."""

    digests: Words
    faults: list[Fault] = field(default_factory=list)
    unchecked: int = 0


def check_part(files: Folder, part: Part) -> list[Fault]:
    """Check that a part is what its seal says: size, BLAKE3, rows and columns."""
    try:
        size = files.stat(part.path).st_size
        with files.raw_reader(part.path) as file:
            digest, _ = hash_of(file)
    except FileNotFoundError:
        return [Fault(part.path, "a live seal names it, and it is not there")]
    except (OSError, CorruptData) as error:
        return [Fault(part.path, str(error).removeprefix(f"{part.path}: "))]
    if size != part.bytes:
        return [Fault(part.path, f"it has {size} bytes; its seal says {part.bytes}")]
    if digest != part.blake3:
        return [Fault(part.path, "its BLAKE3 is not the one in its seal: its bytes were altered")]
    try:
        with pq.ParquetFile(files.checked(part.path)) as parquet:
            schema, rows = parquet.schema_arrow, parquet.metadata.num_rows
    except BROKEN as error:
        return [Fault(part.path, f"not Parquet: {error}")]
    faults = []
    if rows != part.rows:
        faults.append(Fault(part.path, f"it has {rows} rows; its seal says {part.rows}"))
    faults += [Fault(part.path, problem, column=column) for problem, column in column_faults(schema, part)]
    return faults


def scan(
    files: Folder,
    path: str,
    kind: str,
    groups: Sequence[int],
    window: tuple[int, int],
    ids: Mapping[Place, npt.NDArray[np.int64]],
) -> tuple[Sums | None, dict[Place, Listed]]:
    """Return the sums of row groups of statistics, and of class_pixels which of some classes they list.

    What is not of a row of ``window``, from one up to the other, is left out; totals are of no row.
    """
    found: list[Sums] = []
    listed: dict[Place, list[Listed]] = {}
    low, high = window
    with pq.ParquetFile(files.checked(path), memory_map=True, pre_buffer=False) as file:
        for batch in file.iter_batches(SCAN_ROWS, row_groups=list(groups), columns=FIXED[kind].names):
            table = pa.Table.from_batches([batch])
            if kind not in TOTALS:
                rows = table["_row"].to_numpy()
                there = (rows >= low) & (rows <= high)
                if not there.all():
                    table = table.filter(pa.array(there))
            found.append(sums_of(table, kind))
            if kind == "class_pixels":
                for place, one in listed_in([table], ids).items():
                    listed.setdefault(place, []).append(one)
    return (joined(found) if found else None), {place: Listed.union(some) for place, some in listed.items()}


# --- rows ---------------------------------------------------------------------------------------


def check_rows(
    files: Folder,
    path: str,
    groups: Sequence[int],
    listed: Mapping[Place, Listed],
    scored: Scored | None,
) -> RowsFound:
    """Check some row groups of a rows part, and count their masks."""
    try:
        with pq.ParquetFile(files.checked(path), memory_map=True, pre_buffer=False) as file:
            columns = columns_of(file.schema_arrow, path)
            check_types(file.schema_arrow, columns, path)
            table = file.read_row_groups(list(groups))
            if table["_row"].null_count or not pa.types.is_int64(table["_row"].type):
                raise CorruptData("_row must be a whole number in every row")
            rows = table["_row"].to_numpy()
            found = count(table, columns, listed, scored)
    except BROKEN as error:
        return RowsFound(np.zeros(0, np.int64), faults=[Fault(path, f"its rows cannot be read: {error}")])
    faults = [
        Fault(path, problem, row, column, None if column is None else columns[column].key)
        for row, column, problem in found.problems
    ]
    for name in columns:
        try:
            faults += _check_column(path, table, rows, name, columns)
        except BROKEN as error:
            faults.append(Fault(path, f"it cannot be read: {error}", column=name))
    stored = [table[name] for name, column in columns.items() if column.kind == "mask" and name in table.column_names]
    masks = sum(len(column) - column.null_count for column in stored)
    broken = frozenset(row for row, _, _ in found.problems if row is not None)
    return RowsFound(rows, found.sums, faults, _references(table, rows, columns), masks, broken)


def _references(
    table: pa.Table, rows: npt.NDArray[np.int64], columns: Mapping[str, Column]
) -> dict[str, tuple[npt.NDArray[np.int64], Words]]:
    found = {}
    for name, column in columns.items():
        if column.kind == "image" and name in table.column_names:
            digests = pc.struct_field(table[name], "digest").combine_chunks()
            found[name] = (rows[digests.is_valid().to_numpy(zero_copy_only=False)], words_of(digests.drop_null()))
    return found


def _check_column(
    path: str, table: pa.Table, rows: npt.NDArray[np.int64], name: str, columns: Mapping[str, Column]
) -> Iterable[Fault]:
    column = columns[name]
    if name not in table.column_names:
        return [Fault(path, "its metadata describes a column that it has not", column=name)]
    faults = []
    if column.kind in LABELLED and len(column.class_sets) > 1 and set_name(name) not in table.column_names:
        faults.append(Fault(path, f"it has several class sets and no column {set_name(name)}", column=name))
    if column.kind == "segments" and not any(
        one.kind == "mask" and (one.image, one.key) == (column.image, column.key) for one in columns.values()
    ):
        faults.append(Fault(path, f"it has segments of {column.key!r} and no such mask", column=name))
    if column.kind == "boxes":
        faults += _check_boxes(path, table, rows, name, column)
    if column.kind == "value" and column.type == "json":
        for row, text in zip(rows.tolist(), table[name].to_pylist(), strict=True):
            try:
                load_text(text if text is not None else "null")
            except (ValueError, TypeError, KeyError) as error:
                faults.append(Fault(path, f"not JSON: {error}", row, name))
    return faults


def form_faults(path: str, history: pa.Table) -> list[Fault]:
    """Check what a history says of the forms of its texts: columns ``_row``, ``text`` and ``form``."""
    faults = []
    for row, text, form in zip(*(history[name].to_pylist() for name in ("_row", "text", "form")), strict=True):
        if form == JSON:
            try:
                load_text("" if text is None else text)
            except (ValueError, TypeError, KeyError) as error:
                faults.append(Fault(path, f"not JSON: {error}", row, "text"))
        elif form is not None:
            faults.append(Fault(path, f"{JSON!r} or nothing is a form; got {form!r:.40}", row, "form"))
    return faults


def _check_boxes(path: str, table: pa.Table, rows: npt.NDArray[np.int64], name: str, column: Column) -> Iterable[Fault]:
    numbers = table[set_name(name)].to_pylist() if set_name(name) in table.column_names else [0] * rows.size
    names = [{item.id: item for item in items} for items in column.class_sets]
    faults = []
    for row, number, boxes in zip(rows.tolist(), numbers, table[name].to_pylist(), strict=True):
        if boxes is None:
            continue
        if number is None or number >= len(names):
            faults.append(
                Fault(path, f"class set {number} is not one of the part's {len(names)}", row, name, column.key)
            )
            continue
        for box in boxes:
            known = None if box["class_id"] is None else class_name(names[number].get(box["class_id"]), box["class_id"])
            if box["class_name"] != known:
                problem = (
                    f"a box of class {box['class_id']} is called {box['class_name']!r}; its class set says {known!r}"
                )
                faults.append(Fault(path, problem, row, name, column.key))
    return faults


# --- images -------------------------------------------------------------------------------------


def check_images(files: Folder, path: str, groups: Sequence[int]) -> Pictures:
    """Check some row groups of an images part: each image's file, size, mode and digest."""
    found: list[Words] = []
    faults: list[Fault] = []
    unchecked = 0
    try:
        with pq.ParquetFile(files.checked(path), memory_map=True, pre_buffer=False) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow thinks of an image is no fault of the store
            for group in groups:
                table = file.read_row_group(group)
                found.append(words_of(table["digest"]))
                for image in table.to_pylist():
                    problem = _image_problem(image)
                    unchecked += problem is None
                    if problem:
                        faults.append(Fault(path, f"image {image['digest']}: {problem}", column="bytes"))
    except BROKEN as error:
        faults.append(Fault(path, f"its images cannot be read: {error}"))
    return Pictures(np.concatenate([np.zeros((0, 4), np.uint64), *found]), faults, unchecked)


def _image_problem(image: Mapping[str, Any]) -> str | None:
    """Return what is wrong with an image, "" for nothing, and None where its digest is over what is not stored."""
    data, digest = image["bytes"], image["digest"]
    if blake3(b"file\n" + data).hexdigest() == digest:
        return ""
    try:
        with open_image(io.BytesIO(data)) as opened:
            size, kind = opened.size, str(opened.format).lower()
            exact = image["mode"] in MODES and kind in EXACT
            # WebP leaves out an alpha that is opaque everywhere
            pixels = np.array(opened.convert("RGBA") if image["mode"] == "RGBA" else opened) if exact else None
    except MissingExtra:  # nothing here reads more of it than its size
        size, kind, pixels = size_of(data), "jxl", None
    except Exception as error:  # whatever a decoder raises: the file cannot be decoded
        return f"it does not decode: {error}"
    if kind != image["format"] or size != (image["width"], image["height"]):
        return f"it is {kind} of {size}; its row says {image['format']} of {(image['width'], image['height'])}"
    if pixels is None:
        return None
    kind = MODES[image["mode"]]
    if pixels.dtype.str != kind:
        return None
    forms = line_format(image["mode"], *size), image["format"]
    heads = [f"array {pixels.shape} {kind} {image['mode']} {form}\n".encode() for form in forms]
    contents = [pixels.tobytes()]
    if pixels.dtype == np.bool_:  # true is 1 in arrays, and 255 in those that are Pillow's
        contents.append((pixels.view(np.uint8) != 0).tobytes())
    holds = any(blake3(head + content).hexdigest() == digest for head in heads for content in contents)
    return "" if holds else "its digest is not that of its pixels"
