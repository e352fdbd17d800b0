"""Which rows and columns to export, and reading them in order, some at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from maskl.interchange.portable import Portable
from maskl_storage.catalog.layout import Layout
from maskl_storage.catalog.listing import Sealed
from maskl_storage.disk.local import Folder
from maskl_storage.errors import InvalidType, InvalidValue, NotFound, QueryError
from maskl_storage.format.metadata import LABELLED, ClassItem, ClassSet, Column
from maskl_storage.format.union import UnionSchema
from maskl_storage.images.reader import ImageReader
from maskl_storage.query.table_views import quote_name
from maskl_storage.read.scan import OWN
from maskl_storage.read.table import StoredTable, Stretches
from maskl_storage.store import Store

__all__ = ["Selection", "choose"]

NAMES: Final = ("run_id", "table_name", "_row")


@dataclass(frozen=True, eq=False)
class Selection:
    """Rows of a store, in order, and the columns of them that are exported.

    Parameters
    ----------
    store : Store
        The store.
    table : str
        The table's name; empty where a query named rows of several.
    rows : StoredTable
        The rows, with images as they are stored.
    columns : tuple of Column
        The chosen columns in order, of kind ``image`` or ``value``, as the runs of these rows have them together.
    union : UnionSchema
        All of them, those of masks and boxes too, as :meth:`batches` has them.
    """

    store: Store
    table: str
    rows: StoredTable
    columns: tuple[Column, ...]
    union: UnionSchema = field(repr=False)
    #: what makes images' files that other tools open
    portable: Portable = field(default_factory=Portable, repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    def mask_keys(self, image: str) -> tuple[str, ...]:
        """Return the keys of the masks of an image column, by its user's name, in order of first appearance."""
        return self._keys("mask", image)

    def boxes_keys(self, image: str) -> tuple[str, ...]:
        """Return the keys of the boxes of an image column, by its user's name, in order of first appearance."""
        return self._keys("boxes", image)

    def classes(self, image: str, key: str) -> ClassSet:
        """Return the classes of a mask, by id, over all parts of the chosen rows.

        Where class sets contradict each other, the first name of an id holds.
        """
        items: dict[int, ClassItem] = {}
        for name, column in self.union.columns.items():
            if column.kind == "mask" and column.name == image and key in self.union.keys(name):
                for item in (item for items_ in column.class_sets for item in items_):
                    known = items.get(item.id)
                    if known is None or (known.name is None and item.name is not None):
                        items[item.id] = item
        return ClassSet(items[number] for number in sorted(items))

    def image_bytes(self, digest: str) -> bytes:
        """Return the encoded bytes of an image."""
        return self.store.image(digest)

    @cached_property
    def images(self) -> ImageReader:
        """The images of the store."""
        layout = Layout(self.store.root)
        return ImageReader(layout.files, layout.listing())

    @cached_property
    def schema(self) -> pa.Schema:
        """The schema of :meth:`batches`."""
        return self.union.schema([*OWN, *self.union.all_names], OWN)

    def batches(self, size: int = 256) -> Iterator[pa.Table]:
        """Read the rows in order, ``size`` at a time, as stored columns with ``run_id`` and ``table_name``.

        Columns that a part lacks are null, and class sets are numbered as in the metadata of the schema.
        """
        reader = self.reader()
        for start in range(0, len(self.rows), size):
            yield reader.rows(start, start + size)

    def reader(self) -> Stretches:
        """Return what reads any stretch of the rows, as :meth:`batches` has them."""
        return self.rows.stretches(self.union, self.schema)

    def _keys(self, kind: str, image: str) -> tuple[str, ...]:
        columns = ((name, c) for name, c in self.union.columns.items() if c.kind == kind and c.name == image)
        return tuple(dict.fromkeys(key for name, _ in columns for key in self.union.keys(name)))


def choose(
    store: Store,
    table: str | None = None,
    *,
    sql: str | None = None,
    params: Any = None,
    run: str | None = None,
    step: int | Literal["last"] | None = None,
    where: str | None = None,
    columns: Sequence[str] | None = None,
    limit: int | None = None,
) -> Selection:
    """Return the rows of a table, or those that a query names, in order.

    Raises
    ------
    NotFound
        There is no such table, run or column, or no row is chosen.
    QueryError
        The SQL is wrong, or lacks one of the columns ``run_id, table_name, _row``.
    InvalidType, InvalidValue
        Arguments that exclude each other, or are of the wrong type.
    """
    if (table is None) == (sql is None):
        raise InvalidValue("what to export is a table's name or, with sql=, a query: name one of the two")
    if sql is not None and not (run is None and step is None and where is None):
        raise InvalidValue("run, step and where choose from a table; with a query, put them into its WHERE")
    if params is not None and sql is None:
        raise InvalidValue("params are the values of a query's parameters: name the query with sql=")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise InvalidValue(f"limit must be a number of rows, 1 or more; got {limit!r:.60}")
    if table is not None:
        rows = store.table(table, run, step).undecoded
        if where is not None:
            rows = rows.at(_matching(store, table, where, rows))
        chosen = f"table {table!r}" + "".join(
            f", {name} {value!r}"
            for name, value in (("run", run), ("step", step), ("where", where))
            if value is not None
        )
        some = len(rows) or (step is None and where is None)
    else:
        table, rows = _named(store, str(sql), params)
        chosen, some = "the query", len(rows)
    if not some:
        raise NotFound(f"there is nothing to export: {chosen} has no row")
    if limit is not None:
        rows = rows.at(np.arange(min(limit, len(rows))))
    return _selection(store, table, rows, columns)


def _matching(store: Store, table: str, where: str, rows: StoredTable) -> npt.NDArray[np.int64]:
    """Return the positions of the rows that a condition holds for."""
    if not isinstance(where, str):
        raise InvalidType(f'where must be an SQL condition, such as "loss > 0.5"; got {type(where).__name__}')
    view = quote_name(store.view(table).name)
    found = store.sql(f"SELECT run_id, _row FROM tables.{view} WHERE (\n{where}\n)").to_arrow_table()
    wanted: dict[str, npt.NDArray[np.int64]] = {}
    for run_id in found["run_id"].unique().to_pylist():
        wanted[run_id] = found.filter(pa.compute.equal(found["run_id"], run_id))["_row"].to_numpy()
    numbers, _, row = rows.places
    kept = np.zeros(row.size, np.bool_)
    for number, part in enumerate(rows.parts):
        mine = np.flatnonzero(numbers == number)
        kept[mine] = np.isin(row[mine], wanted.get(part.run_id, np.zeros(0, np.int64)))
    return np.flatnonzero(kept)


def _named(store: Store, sql: str, params: Any) -> tuple[str, StoredTable]:
    """Return the rows that a query names, each once, in its order, and the table that they are all of."""
    relation = store.sql(sql, params)
    missing = [name for name in NAMES if name not in relation.columns]
    if missing:
        raise QueryError(
            f"rows to export need the columns run_id, table_name and _row; the query lacks {', '.join(missing)}"
        )
    named = dict.fromkeys(relation.project(", ".join(NAMES)).fetchall())
    tables = list(dict.fromkeys(name for _, name, _ in named))
    if len(tables) == 1:
        rows = store.table(tables[0]).undecoded
    else:
        parts: list[Sealed] = []
        for name in tables:
            parts += store.table(name).parts
        rows = StoredTable(Folder(store.root), parts)
    numbers, _, row = rows.places
    keys = [(part.run_id, str(part.table)) for part in rows.parts]
    found = {
        (*keys[number], at): index
        for index, (number, at) in enumerate(zip(numbers.tolist(), row.tolist(), strict=True))
    }
    unknown = next((name for name in named if name not in found), None)
    if unknown is not None:
        run_id, name, at = unknown
        raise NotFound(f"the query names row {at} of run {run_id!r} in table {name!r}, and there is none")
    positions = np.array([found[name] for name in named], np.int64)
    return tables[0] if len(tables) == 1 else "", rows.at(positions)


def _selection(store: Store, table: str, rows: StoredTable, columns: Sequence[str] | None) -> Selection:
    if columns is not None:
        if isinstance(columns, str) or not all(isinstance(name, str) for name in columns):
            raise InvalidType(f"columns must be a list of names; got {columns!r:.60}")
        known = rows.columns
        for name in columns:
            if name not in known and name not in rows.union().labels.values():
                there = ", ".join(map(repr, known)) or "none"
                raise NotFound(f"there is no column {name!r} to export; there are: {there}")
    union = rows.union(used=True)
    union = union if columns is None else union.only(columns)
    chosen = [column for column in union.columns.values() if column.kind not in LABELLED]
    if columns is not None:
        order = {name: index for index, name in reversed(list(enumerate(columns)))}
        own = {union.labels[name]: user for name, user in union.users.items()}
        chosen.sort(key=lambda column: order.get(column.name, order.get(own[column.name], 0)))
    return Selection(store, table, rows.united, tuple(chosen), union)
