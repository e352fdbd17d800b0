"""Tables of rows to log."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from maskl.encode import PendingImage, encode_image, image_of
from maskl.image import Image
from maskl.infer import describe, merge, parse_cell, widens
from maskl_storage.batches import exact_as_float
from maskl_storage.cells import ImageCell
from maskl_storage.errors import InvalidType, InvalidValue
from maskl_storage.spec import Column, check_text

__all__ = ["Table"]


class Table:
    """Rows to log, all with the same columns.

    Parameters
    ----------
    columns : sequence of str, optional
        The columns' names; ``["Input", "Output", "Expected"]`` by default.
    data : iterable of rows, optional
        Rows to begin with, each a sequence with one cell a column.

    Raises
    ------
    InvalidType, InvalidValue
        A column name that is not a string, is empty or occurs twice; a row that does not fit.

    Notes
    -----
    A row is encoded when it is added, and nothing of the caller's arrays is kept. Each column has one
    type, that of its first value; integers widen to floats. None and NaN are missing values.

    Examples
    --------
    >>> table = Table(columns=["id", "loss"], data=[[1, 0.5]])
    >>> table.add_data(2, None)
    >>> len(table), table.data
    (2, [[1, 0.5], [2, None]])
    """

    def __init__(self, columns: Sequence[str] | None = None, data: Iterable[Sequence[Any]] | None = None) -> None:
        names = ["Input", "Output", "Expected"] if columns is None else columns
        if isinstance(names, str) or not isinstance(names, Sequence):
            raise InvalidType(f"columns must be a list of strings; got {names!r:.60}")
        for name in names:
            if not isinstance(name, str):
                raise InvalidType(f"a column's name must be a string; got {name!r:.60}")
            if not name:
                raise InvalidValue("a column's name must not be empty")
            check_text(name, "a column's name")
            if list(names).count(name) > 1:
                raise InvalidValue(f"column {name!r} occurs twice; each name must be its own")
        self._types = tuple(Column("value", name, "null") for name in names)
        self._rows: list[tuple[Any, ...]] = []
        self._images: dict[str, PendingImage] = {}
        for row in data if data is not None else ():
            if isinstance(row, str | bytes | Mapping) or not isinstance(row, Iterable):
                raise InvalidType(f"a row of data must be a list with one cell a column; got {row!r:.60}")
            self.add_data(*row)

    def add_data(self, *data: Any) -> None:
        """Add a row: one value for each column.

        Parameters
        ----------
        *data
            Images, numbers, strings, bytes, datetimes, lists, dicts, arrays or None.

        Raises
        ------
        InvalidValue
            The number of values is not that of the columns.
        InvalidType
            A value that a cell cannot hold, or of another type than its column's.
        """
        if len(data) != len(self._types):
            raise InvalidValue(f"This table expects {len(self._types)} columns: {self.columns}, found {len(data)}")
        types, cells = [], []
        for column, value in zip(self._types, data, strict=True):
            try:
                found, cell = parse_cell(column.name, value)
            except (InvalidType, InvalidValue) as error:
                raise type(error)(f"row {len(self._rows)}: {error}") from error
            merged = merge(column, found)
            if merged is None:
                raise InvalidType(
                    f"Data row contained incompatible types: row {len(self._rows)}, column {column.name!r} holds "
                    f"{describe(column)}; got {describe(found)}: {value!r:.60}"
                )
            if found is not merged:
                self._check_exact(column, found, merged, cell)
            types.append(merged)
            cells.append(cell)
        row, images = [], []
        for cell in cells:
            if isinstance(cell, Image):
                encoded, image = encode_image(cell)
                row.append(encoded)
                images += [image] if image is not None else []
            else:
                row.append(cell)
        for image in images:
            self._images.setdefault(image.digest, image)
        self._types = tuple(types)
        self._rows.append(tuple(row))

    @property
    def columns(self) -> list[str]:
        """The columns' names."""
        return [column.name for column in self._types]

    @property
    def data(self) -> list[list[Any]]:
        """The rows, with images read back from what is stored of them."""
        return [
            [self._value(column, cell) for column, cell in zip(self._types, row, strict=True)] for row in self._rows
        ]

    @property
    def types(self) -> tuple[Column, ...]:
        """What is known of each column's type."""
        return self._types

    @property
    def cells(self) -> Sequence[tuple[Any, ...]]:
        """The rows as plain cells."""
        return self._rows

    @property
    def images(self) -> Mapping[str, PendingImage]:
        """The images that rows refer to, by digest."""
        return self._images

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"<Table of {len(self)} rows: {', '.join(self.columns)}>"

    def _check_exact(self, column: Column, found: Column, merged: Column, cell: Any) -> None:
        """Refuse to make a float of an integer that float64 cannot hold."""
        index = self._types.index(column)
        new = exact_as_float([cell]) if widens(found, merged) else True
        old = exact_as_float(row[index] for row in self._rows) if widens(column, merged) else True
        if not (new and old):
            raise InvalidValue(
                f"row {len(self._rows)}, column {column.name!r}: integers and floats in one column are kept as "
                f"float64, which cannot hold every integer of it exactly: log the integers as strings"
            )

    def _value(self, column: Column, cell: Any) -> Any:
        if isinstance(cell, ImageCell):
            return image_of(cell, self._images)
        if column.type == "float" and isinstance(cell, int):
            return float(cell)
        return json.loads(cell) if column.type == "json" and cell is not None else cell
