"""The rows of a table as plain cells: those that came as a data frame as Arrow columns, the others row by row."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa

from maskl.adapters.frames import arrow_column
from maskl.adapters.values import simpler
from maskl.images.encoding import PendingImage, encode_image, image_of
from maskl.images.image import Image
from maskl.media.media import Media
from maskl.tables._column_types import FREE, ColumnType
from maskl.tables._spool import LazyList, RowStore, Spool
from maskl.tables.inference import INT64, MediaText, as_text, describe, known, parse_cell, widens
from maskl_storage.cells.cells import ImageCell
from maskl_storage.cells.columns import exact_as_float
from maskl_storage.errors import InvalidType, InvalidValue, prefixed
from maskl_storage.format.json_values import load_text
from maskl_storage.format.metadata import Column
from maskl_storage.format.schemas import value_type
from maskl_storage.format.union import MIXED, merge_types

__all__ = ["Content", "same_cell"]

#: types of values that are cells as they are, where the column is of that type already
PLAIN: Final = {int: "int", float: "float", str: "string", bool: "bool"}

#: images of so many pixels in all wait in memory for a log() where no run takes them at once
KEPT_PIXELS: Final = 16 << 20

#: what W&B calls the types of columns that Arrow has
FAMILIES: Final = {"bool": "boolean", "int": "number", "float": "number", "string": "string", "bytes": "bytes"}

Held = Callable[[], Iterable[Any]]


class Content:
    """Rows, their columns' types, and the images that they refer to.

    Parameters
    ----------
    names : sequence of str
        The columns' names.
    rules : sequence of ColumnType
        What each column accepts.
    """

    def __init__(self, names: Sequence[str], rules: Sequence[ColumnType]) -> None:
        self.types = tuple(Column("value", name, rule.start) for name, rule in zip(names, rules, strict=True))
        self.rules = tuple(rules)
        #: rows that came as a frame; they stand before the others
        self.frame: pa.Table | None = None
        #: what is too much for memory
        self.spool = Spool()
        self.rows = RowStore(self.spool)
        self.images: dict[str, PendingImage] = {}
        #: kept media that cells name, by their digests
        self.media: dict[str, Media] = {}
        #: images whose bytes no store has
        self._kept: deque[PendingImage] = deque()
        self._kept_bytes = 0

    @property
    def framed(self) -> int:
        """How many rows stand in the frame."""
        return 0 if self.frame is None else int(self.frame.num_rows)

    def __len__(self) -> int:
        return self.framed + len(self.rows)

    def add(self, values: Sequence[Any]) -> None:
        """Append a row, or raise and change nothing."""
        cells: list[Any] = []
        types: list[Column] | None = None
        pictures = False
        for index, value in enumerate(values):
            column, rule = self.types[index], self.rules[index]
            if rule is FREE and (value is None or _is_plain(column, value)):
                cells.append(value)
                continue
            merged, cell = _fit(column, rule, len(self), value, partial(self._held, index))
            if merged is not column:
                types = types or list(self.types)
                types[index] = merged
            pictures = pictures or isinstance(cell, Image | MediaText)
            cells.append(cell)
        if pictures:
            cells = self._encoded(cells)
        if types is not None:
            self._retype(types)
        self.rows.append(tuple(cells))

    def add_frame(self, columns: Sequence[pa.ChunkedArray | list[Any]]) -> None:
        """Take the columns of a frame, as Arrow columns where none of them holds images."""
        found: list[tuple[Column, Any]] = []
        for own, rule, values in zip(self.types, self.rules, columns, strict=True):
            made = arrow_column(own.name, values) if isinstance(values, pa.ChunkedArray) else values
            if isinstance(made, tuple) and _suits(own, rule, made):
                found.append((merge_types(own, made[0]) or own, made[1]))
            else:
                found.append(_parse(own, rule, made if isinstance(made, list) else made[1].to_pylist()))
        types = tuple(column for column, _ in found)
        if not all(map(_fits_a_frame, types)):
            listed = [cells if isinstance(cells, list) else cells.to_pylist() for _, cells in found]
            self._set_rows(tuple(self._encoded(row)) for row in zip(*listed, strict=True))
        else:
            arrays = [
                _array(column, self._encoded(cells) if isinstance(cells, list) else cells) for column, cells in found
            ]
            self.frame = pa.Table.from_arrays(arrays, names=[column.name for column in types])
        self.types = types

    def add_column(self, name: str, rule: ColumnType, values: Sequence[Any]) -> None:
        """Append a column with a value for each row, or raise and change nothing."""
        column, cells = _parse(Column("value", name, rule.start), rule, values)
        if not _fits_a_frame(column):
            self._unframe()
        if not self.types and not len(self):
            self._set_rows(() for _ in cells)
        cells = self._encoded(cells)
        if self.frame is not None:
            self.frame = self.frame.append_column(name, _array(column, cells[: self.framed]))
        self._set_rows((*row, cell) for row, cell in zip(self.rows, cells[self.framed :], strict=True))
        self.types, self.rules = (*self.types, column), (*self.rules, rule)

    def cast(self, index: int, rule: ColumnType) -> None:
        """Give a column a type that every value of it has, or raise and change nothing."""
        old = self.types[index]
        column, cells = old, None
        if old.kind == "image":
            _check_images(old, rule, self._held(index))
        else:
            column, cells = _parse(Column("value", old.name, rule.start), rule, self.column(index), cast=True)
            cells = self._encoded(cells)
        if cells is not None:
            self._replace(index, column, cells)
        self.types = (*self.types[:index], column, *self.types[index + 1 :])
        self.rules = (*self.rules[:index], rule, *self.rules[index + 1 :])

    def column(self, index: int) -> Sequence[Any]:
        """Return the values of a column; where rows are in a file, they are read when they are asked for."""
        column = self.types[index]
        if self.rows.spooled:
            return LazyList(len(self), lambda at: self.value(column, self.cells(at)[index]))
        return [self.value(column, cell) for cell in self._held(index)]

    def row(self, index: int) -> list[Any]:
        """Return the values of a row."""
        return [self.value(column, cell) for column, cell in zip(self.types, self.cells(index), strict=True)]

    def tuples(self) -> Sequence[tuple[Any, ...]]:
        """Return the cells of all rows."""
        if self.frame is None or not self.framed:
            return self.rows
        return [*zip(*(column.to_pylist() for column in self.frame.columns), strict=True), *self.rows]

    def since(self, first: int) -> tuple[pa.Table | None, Sequence[tuple[Any, ...]]]:
        """Return the rows from one on: those of the frame, in the columns' types, and the others."""
        frame = None
        if self.frame is not None and first < self.framed:
            arrays = map(_array, self.types, self.frame.slice(first).columns)
            frame = pa.Table.from_arrays(list(arrays), names=[column.name for column in self.types])
        return frame, self.rows[max(first - self.framed, 0) :]

    def bytes_since(self, first: int) -> int | None:
        """Return about how many bytes the rows from one on take, where that is known without reading them."""
        size = self.rows.bytes_from(max(first - self.framed, 0))
        return None if size is None else size + (0 if self.frame is None else int(self.frame.nbytes))

    def cells(self, index: int) -> Sequence[Any]:
        """Return the cells of a row."""
        if self.frame is None or index >= self.framed:
            return self.rows[index - self.framed]
        return [column[index].as_py() for column in self.frame.columns]

    def data(self) -> Sequence[list[Any]]:
        """Return the values of all rows; where rows are in a file, they are read when they are asked for."""
        if self.rows.spooled:
            return LazyList(len(self), self.row)
        if not self.types:
            return [[] for _ in range(len(self))]
        return [list(row) for row in zip(*(self.column(index) for index in range(len(self.types))), strict=True)]

    def value(self, column: Column, cell: Any) -> Any:
        """Return the value that a cell stands for."""
        if cell is None:
            return None
        if isinstance(cell, ImageCell):
            return image_of(cell, self.images)
        if column.type == "json":
            return load_text(cell, store=self.media)
        if column.type == "float":
            return float(cell)
        return cell.copy() if isinstance(cell, list | np.ndarray) else cell

    # --- inside ---------------------------------------------------------------------------------

    def _held(self, index: int) -> Iterable[Any]:
        if self.frame is not None:
            yield from self.frame.column(index).to_pylist()
        for row in self.rows:
            yield row[index]

    def _encoded(self, cells: Sequence[Any]) -> list[Any]:
        """Return the cells with their images encoded and their media noted; they may be of a column or a row."""
        made, images = [], []
        for cell in cells:
            if isinstance(cell, Image):
                cell, image = encode_image(cell)
                images += [image] if image is not None else []
            elif isinstance(cell, MediaText):
                self.media.update((media.digest, media) for media in cell.media)
                cell = str(cell)
            made.append(cell)
        for image in images:
            if self.images.setdefault(image.digest, image) is image and not image.released:
                self._keep(image)
        return made

    def _keep(self, image: PendingImage) -> None:
        """Count an image that only memory holds, and move the oldest to a file where there are too many."""
        self._kept.append(image)
        self._kept_bytes += image.pixels
        while self._kept_bytes > KEPT_PIXELS:
            oldest = self._kept.popleft()
            self._kept_bytes -= oldest.pixels
            if not oldest.released:
                try:
                    data = oldest.load()
                except (OSError, ValueError, MemoryError):  # log() says which row it is
                    continue
                oldest.release(self.spool.write(data))

    def _set_rows(self, rows: Iterable[tuple[Any, ...]]) -> None:
        self.rows = RowStore(self.spool, rows)

    def _retype(self, types: Sequence[Column]) -> None:
        for index, (old, new) in enumerate(zip(self.types, types, strict=True)):
            if _becomes_text(old, new):
                texts = [None if cell is None else as_text(old.name, cell) for cell in self._held(index)]
                self._replace(index, new, texts)
        self.types = tuple(types)

    def _replace(self, index: int, column: Column, cells: Sequence[Any]) -> None:
        if self.frame is not None:
            array = _array(column, cells[: self.framed])
            self.frame = self.frame.set_column(index, column.name, array)
        rest = cells[self.framed :]
        self._set_rows((*row[:index], cell, *row[index + 1 :]) for row, cell in zip(self.rows, rest, strict=True))

    def _unframe(self) -> None:
        """Turn the frame's rows into rows of cells."""
        self._set_rows(self.tuples())
        self.frame = None


def same_cell(a: Any, b: Any) -> bool:
    """Whether two cells hold the same; arrays too, which Python's ``==`` compares one by one."""
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)):
            return False
        return bool(np.array_equal(a, b, equal_nan=a.dtype.kind == b.dtype.kind == "f"))
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(x is y or x == y or (x != x and y != y) for x, y in zip(a, b, strict=True))
    if isinstance(a, ImageCell) and isinstance(b, ImageCell):
        return _image_key(a) == _image_key(b)
    return bool(a == b)


def _image_key(cell: ImageCell) -> tuple[Any, ...]:
    masks = {key: (mask.data, mask.class_set) for key, mask in cell.masks.items()}
    boxes = {key: (boxes.boxes, boxes.class_set) for key, boxes in cell.boxes.items()}
    path = cell.path if cell.digest is None else None  # of a reference it is all that there is
    return cell.digest, cell.format, cell.mode, cell.width, cell.height, cell.caption, path, masks, boxes


def _is_plain(column: Column, value: Any) -> bool:
    """Whether a value is a cell as it is, and changes nothing about its column."""
    kind = type(value)
    name = PLAIN.get(kind)
    if name is None or name != column.type:
        return False
    if kind is int:
        return bool(INT64[0] <= value <= INT64[1])
    return bool(value == value if kind is float else kind is bool or value.isascii())


def _fit(column: Column, rule: ColumnType, row: int, value: Any, held: Held) -> tuple[Column, Any]:
    """Return the column that also holds this value, and the value's cell."""
    where = f"row {row}, column {column.name!r}"
    try:
        value = known(column.name, value)
        given, value = value, simpler(value)
        found, cell = parse_cell(column.name, value)
    except (InvalidType, InvalidValue) as error:
        raise prefixed(error, f"row {row}") from error
    if rule is not FREE:
        # a column of strings takes none that stand for something else
        problem = rule.problem(value if isinstance(value, list | Mapping) else given, found.type == "null")
        if problem is not None:
            raise InvalidType(f"Data row contained incompatible types: {where} {problem}; got {value!r:.60}")
    merged = merge_types(column, found)
    exact = merged is None or found is merged or _stays_exact(column, found, merged, cell, held)
    if (merged is None or not exact) and rule.mixed and column.kind == found.kind == "value":
        merged, exact = Column("value", column.name, "json", MIXED), True
    if merged is None:
        raise InvalidType(
            f"Data row contained incompatible types: {where} holds {describe(column)}; "
            f"got {describe(found)}: {value!r:.60}"
        )
    if not exact:
        raise InvalidValue(
            f"{where}: integers and floats in one column are kept as float64, which cannot hold every integer of it "
            f"exactly: log the integers as strings"
        )
    return merged, as_text(column.name, cell) if _becomes_text(found, merged) else cell


def _stays_exact(column: Column, found: Column, merged: Column, cell: Any, held: Held) -> bool:
    """Whether float64 holds every integer that becomes a float."""
    new = exact_as_float([cell]) if widens(found, merged) else True
    return new and (exact_as_float(held()) if widens(column, merged) else True)


def _becomes_text(old: Column, new: Column) -> bool:
    return new.type == "json" and old.type not in ("json", "null")


def _parse(column: Column, rule: ColumnType, values: Sequence[Any], *, cast: bool = False) -> tuple[Column, list[Any]]:
    """Return the type and cells of a column that comes as a whole."""
    cells: list[Any] = []
    for row, value in enumerate(values):
        if rule is FREE and (value is None or _is_plain(column, value)):
            cells.append(value)
            continue
        try:
            merged, cell = _fit(column, rule, row, value, cells.__iter__)
        except InvalidType as error:
            if not cast:
                raise
            raise prefixed(error, f"Existing data of column {column.name!r} cannot be cast to {rule}") from error
        if _becomes_text(column, merged):
            cells = [None if old is None else as_text(column.name, old) for old in cells]
        column = merged
        cells.append(cell)
    return column, cells


def _check_images(column: Column, rule: ColumnType, cells: Iterable[Any]) -> None:
    if rule.accepts is not None and "Image" not in rule.families:
        raise InvalidType(f"Existing data of column {column.name!r}, which are images, cannot be cast to {rule}")
    if not rule.optional and any(cell is None for cell in cells):
        raise InvalidType(f"Existing data of column {column.name!r} cannot be cast to {rule}: some rows have no image")


def _suits(own: Column, rule: ColumnType, made: tuple[Column, pa.ChunkedArray]) -> bool:
    """Whether an Arrow column can be taken as it is; if not, its values are looked at one by one."""
    found, array = made
    merged = merge_types(own, found)
    if merged is None or (not rule.optional and array.null_count):
        return False
    if widens(found, merged) and not exact_as_float(array.to_pylist()):
        return False
    if rule.accepts is None or found.type == "null":
        return True
    if rule.classes is not None:
        return found.type == "int" and all(rule.accepts(value) for value in array.drop_null().unique().to_pylist())
    return rule.name == FAMILIES.get(str(found.type))


def _fits_a_frame(column: Column) -> bool:
    """Whether a column's cells come back from Arrow as they were: images and arrays do not."""
    return column.kind == "value" and column.type != "array"


def _array(column: Column, cells: Any) -> pa.ChunkedArray:
    kind = value_type(column)
    return cells.cast(kind) if isinstance(cells, pa.ChunkedArray) else pa.chunked_array([pa.array(cells, kind)])
