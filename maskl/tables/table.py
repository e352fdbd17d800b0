"""Tables of rows to log."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy.typing as npt

from maskl.adapters.frames import read_frame
from maskl.adapters.objects import is_frame
from maskl.images.encoding import PendingImage, repaired
from maskl.media.media import Media
from maskl.tables._arrays import as_array, as_pandas, rows_of, values_of
from maskl.tables._column_types import ColumnType, column_types, key_type, parse_dtype, parse_names
from maskl.tables._keys import NumberKey, TextKey, key_of
from maskl.tables._log_modes import LogMode, LogState
from maskl.tables._rows import Content, same_cell
from maskl.tables._spool import LazyList
from maskl.tables.inference import describe
from maskl_storage.cells.cells import ImageCell, Rows
from maskl_storage.errors import ConversionWarning, DuplicateKeyWarning, InvalidType, InvalidValue, NotFound, warn
from maskl_storage.format.metadata import Column, ForeignKey
from maskl_storage.lazy import LazyModule

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = LazyModule("pandas", optional=True)

__all__ = ["Table", "TableIndex", "with_pairs"]

ColumnKey = str | int


class TableIndex(int):
    """The number of a row of a table; a column of such numbers in another table refers to its rows."""

    table: Table

    def __new__(cls, index: int, table: Table) -> TableIndex:
        """Return the number of that row of that table."""
        number = super().__new__(cls, index)
        number.table = table
        return number

    def get_row(self) -> dict[str, Any]:
        """Return the row's values by column."""
        return self.table.row(self)


class Table:
    """Rows to log, all with the same columns.

    Parameters
    ----------
    columns : sequence of str, optional
        The columns' names; ``["Input", "Output", "Expected"]`` by default.
    data : iterable of rows, array of shape (rows, columns), or data frame, optional
        Rows to begin with, each a sequence with one cell a column.
    rows : iterable of rows, optional
        The same as ``data``, under its older name.
    dataframe : data frame, optional
        Of pandas, Polars, pyarrow, DuckDB, or another library with Arrow's PyCapsule interface. Its
        columns become the table's, with their names and types.
    dtype : type or list, optional
        What the columns accept, one type for all or a list with one for each: a Python class (``int``
        and ``float`` are both numbers), ``[type]`` for a list, ``[a, b]`` for one of several, a dict of
        types, ``Classes(...).get_type()``, or a value that every cell equals. By default the first
        value decides.
    optional : bool or list of bool
        Whether values may be missing, for all columns or for each.
    allow_mixed_types : bool
        Whether a column may hold values of different types. It is stored as JSON text from the first
        value on that differs; each value comes back with its own type.
    log_mode : {'IMMUTABLE', 'MUTABLE', 'INCREMENTAL'}
        What logging the table again does. IMMUTABLE: after a change it warns and stores nothing.
        MUTABLE: what the run has logged under that name is replaced. INCREMENTAL: the rows that are
        new since are added, and those logged before keep their step.

    Raises
    ------
    InvalidType, InvalidValue
        A column name that is not a string, is empty or occurs twice; a row that does not fit.

    Notes
    -----
    A row is encoded when it is added, and nothing of the caller's arrays is kept. Each column has one
    type, that of its first value; integers widen to floats. None and NaN are missing values. There is
    no limit to the number of rows.

    Examples
    --------
    >>> table = Table(columns=["id", "loss"], data=[[1, 0.5]])
    >>> table.add_data(2, None)
    >>> len(table), table.data
    (2, [[1, 0.5], [2, None]])
    """

    def __init__(
        self,
        columns: Sequence[ColumnKey] | None = None,
        data: Any = None,
        rows: Iterable[Sequence[Any]] | None = None,
        dataframe: Any = None,
        dtype: Any = None,
        optional: bool | list[bool] = True,
        allow_mixed_types: bool = False,
        log_mode: LogMode = "IMMUTABLE",
    ) -> None:
        given = [
            name for name, value in (("data", data), ("rows", rows), ("dataframe", dataframe)) if value is not None
        ]
        if len(given) > 1:
            raise InvalidValue(f"a table's rows come from one of data, rows and dataframe; got {' and '.join(given)}")
        self._log = LogState(log_mode)
        #: the place of the primary key's column
        self._primary: int | None = None
        #: what columns refer to: the rows of a table by a column of it or their number, or of one that is not at hand
        self._foreign: dict[int, tuple[Table, str | None] | ForeignKey] = {}
        #: what columns are in an evaluation
        self._roles: dict[int, tuple[str, ...]] = {}
        source = next((value for value in (data, rows, dataframe) if value is not None), ())
        frame = read_frame(source) if dataframe is not None or is_frame(source) else None
        if frame is not None and columns is not None and [str(name) for name in columns] != [str(n) for n in frame[0]]:
            warn(
                f"the columns of the data frame are taken, {frame[0]!r:.80}, not the argument columns",
                ConversionWarning,
            )
        names = parse_names(
            frame[0] if frame is not None else ["Input", "Output", "Expected"] if columns is None else columns
        )
        self._content = Content(names, column_types(dtype, optional, len(names), mixed=allow_mixed_types))
        self._mixed = allow_mixed_types
        if frame is not None:
            self._content.add_frame(frame[1])
            return
        for row in rows_of(source):
            if isinstance(row, str | bytes | Mapping) or not isinstance(row, Iterable):
                raise InvalidType(f"a row of data must be a list with one cell a column; got {row!r:.60}")
            self.add_data(*row)

    @property
    def content(self) -> Content:
        """The rows as they are kept."""
        return self._content

    @classmethod
    def of(cls, content: Content) -> Table:
        """Return a table of rows that are encoded already."""
        table = cls([])
        table._content = content
        return table

    # --- rows -----------------------------------------------------------------------------------

    def add_data(self, *data: Any) -> None:
        """Add a row: one value for each column.

        Parameters
        ----------
        *data
            Images, numbers, strings, bytes, datetimes, lists, dicts, arrays or None; tensors of any
            library are numbers and arrays, figures of matplotlib are images, sets are lists, and paths,
            enums, complex numbers, ``Decimal`` and the like are text. A table is a dict of its columns
            and rows, and an image inside of a list or dict its text, with a warning.

        Raises
        ------
        InvalidValue
            The number of values is not that of the columns.
        InvalidType
            A value that a cell cannot hold, or of another type than its column's.
        """
        content = self._content
        if len(data) != len(content.types):
            raise InvalidValue(f"This table expects {len(content.types)} columns: {self.columns}, found {len(data)}")
        content.add(data)
        for index, value in enumerate(data):
            if type(value) in KEYS:
                self._note_keys(index, [value])
        self._log.change()

    def add_row(self, *row: Any) -> None:
        """Add a row; the older name of :meth:`add_data`."""
        self.add_data(*row)

    def iterrows(self) -> Iterator[tuple[TableIndex, list[Any]]]:
        """Yield each row's number and its values.

        A column of such numbers in another table refers to this table's rows.
        """
        for index in range(len(self)):
            yield TableIndex(index, self), self._with_keys(self._content.row(index))

    def get_index(self) -> list[TableIndex]:
        """Return the numbers of the rows; a column of them in another table refers to this one's rows."""
        return [TableIndex(index, self) for index in range(len(self))]

    def row(self, index: int) -> dict[str, Any]:
        """Return the values of a row by column."""
        return dict(zip(self.columns, self._with_keys(self._content.row(index)), strict=True))

    @property
    def data(self) -> Sequence[list[Any]]:
        """The rows, with images read back from what is stored of them.

        A list; of a table whose rows are too many for memory a sequence that reads them when they are
        asked for. Values of a key are strings and integers that remember the table: a column of them in
        another table refers to its rows.
        """
        data = self._content.data()
        if not self._keys():
            return data
        if isinstance(data, list):
            return list(map(self._with_keys, data))
        return LazyList(len(data), lambda index: self._with_keys(data[index]))

    def as_dict(self) -> dict[str, Any]:
        """Return the names of the columns and the rows, as ``columns`` and ``data`` of a dict.

        Examples
        --------
        >>> Table(columns=["id"], data=[[1], [2]]).as_dict()
        {'columns': ['id'], 'data': [[1], [2]]}
        """
        return {"columns": self.columns, "data": list(self.data)}

    def __len__(self) -> int:
        return len(self._content)

    def __repr__(self) -> str:
        return f"<Table of {len(self)} rows: {', '.join(self.columns)}>"

    def __eq__(self, other: object) -> bool:
        """Whether the other is a table of the same columns, types and values; None and NaN are equal."""
        if not isinstance(other, Table):
            return NotImplemented
        mine, others = self._content, other._content
        if len(mine) != len(others) or self.columns != other.columns or mine.rules != others.rules:
            return False
        if list(map(_family, mine.types)) != list(map(_family, others.types)):
            return False
        for a, b in zip(mine.tuples(), others.tuples(), strict=True):
            for index, (cell, other_cell) in enumerate(zip(a, b, strict=True)):
                if not same_cell(cell, other_cell) and not (
                    # the same pixels may have come as a file and as an array
                    isinstance(cell, ImageCell)
                    and mine.value(mine.types[index], cell) == others.value(others.types[index], other_cell)
                ):
                    return False
        return True

    __hash__ = None  # type: ignore[assignment]

    # --- columns --------------------------------------------------------------------------------

    @property
    def columns(self) -> list[str]:
        """The columns' names."""
        return [column.name for column in self._content.types]

    @property
    def log_mode(self) -> LogMode:
        """What the table stores when it is logged again."""
        return self._log.mode

    def add_column(self, name: str, data: Sequence[Any] | npt.NDArray[Any], optional: bool = False) -> None:
        """Add a column with a value for each row.

        Parameters
        ----------
        name : str
            A name that no column has yet.
        data : list or array
            Of NumPy or any other library; one value a row; where the table has no columns yet, these make its rows.
        optional : bool
            Whether values may be missing.

        Raises
        ------
        InvalidType, InvalidValue
            A name that is taken, another number of values, or values that no column can hold.
        StateError
            The table's log mode is INCREMENTAL.
        """
        self._log.check_columns_may_change("add_column")
        names = parse_names([*self.columns, name])
        values = values_of(name, data)
        if len(values) != len(self) and (self.columns or len(self)):
            raise InvalidValue(f"column {name!r} needs {len(self)} values, one a row; got {len(values)}")
        (rule,) = column_types(None, optional, 1, mixed=self._mixed)
        self._content.add_column(names[-1], rule, values)
        self._note_keys(len(names) - 1, values)
        self._log.change()

    def add_computed_columns(self, fn: Callable[[int, dict[str, Any]], Mapping[str, Any]]) -> None:
        """Add columns whose values a function computes from each row.

        Parameters
        ----------
        fn : callable
            Takes a row's number and its values by column, and returns a dict of new values by new
            column, with the same keys for every row.

        Raises
        ------
        InvalidType, InvalidValue
            What the function returns is no dict, or not every row has the same keys; the table is then
            as it was.

        Examples
        --------
        >>> table = Table(columns=["x", "y"], data=[[3, 1], [4, 6]])
        >>> table.add_computed_columns(lambda index, row: {"difference": row["x"] - row["y"]})
        >>> table.get_column("difference")
        [2, -2]
        """
        self._log.check_columns_may_change("add_computed_columns")
        computed: dict[str, list[Any]] = {}
        for index, values in self.iterrows():
            new = fn(index, dict(zip(self.columns, values, strict=True)))
            if not isinstance(new, Mapping):
                raise InvalidType(f"row {index}: the function must return a dict; got {type(new).__name__}")
            if index and new.keys() != computed.keys():
                raise InvalidValue(f"row {index}: the function returned {list(new)}, for row 0 {list(computed)}")
            for key, value in new.items():
                computed.setdefault(key, []).append(value)
        before = copy(self._content), dict(self._foreign)
        try:
            for name, column in computed.items():
                self.add_column(name, column)
        except BaseException:
            self._content, self._foreign = before
            raise

    def get_column(self, name: ColumnKey, convert_to: Literal["numpy"] | None = None) -> Any:
        """Return the values of a column, as a list or with ``convert_to="numpy"`` as an array.

        In an array missing floats are NaN; images are arrays of their pixels; where values differ in
        shape, or no NumPy type holds them exactly, it is an array of objects.
        """
        if convert_to not in (None, "numpy"):
            raise InvalidValue(f"convert_to must be None or 'numpy'; got {convert_to!r:.60}")
        index = self._index(name)
        values = self._content.column(index)
        if convert_to is not None:
            return as_array(self._content.types[index], values)
        key = self._keys().get(index)
        return values if key is None else [key_of(value, *key) for value in values]

    def get_dataframe(self) -> pd.DataFrame:
        """Return the rows as a pandas data frame; integers with missing values have its type Int64.

        Raises
        ------
        MissingExtra
            pandas is not installed.
        """
        types = self._content.types
        return as_pandas({column.name: (column, self._content.column(at)) for at, column in enumerate(types)})

    def cast(self, col_name: ColumnKey, dtype: Any, optional: bool = False) -> ColumnType:
        """Give a column a type that its values have and later ones must have.

        Parameters
        ----------
        col_name : str
        dtype
            As for :class:`Table`; ``Classes(...).get_type()`` makes it a column of class ids, whose
            classes are stored with the column.
        optional : bool
            Whether values may be missing.

        Returns
        -------
        ColumnType
            What the column accepts from now on.

        Raises
        ------
        InvalidType
            A value that is there already is of another type; the column is then as it was.
        """
        index = self._index(col_name)
        (rule,) = (
            column_types([dtype], optional, 1, mixed=False) if dtype is not None else (parse_dtype(None, optional),)
        )
        self._content.cast(index, rule)
        self._log.change()
        return rule

    def set_pk(self, col_name: ColumnKey) -> None:
        """Make a column of strings or integers the primary key, by which runs are compared row by row.

        A column of another table that is filled with its values refers to this table, as after :meth:`set_fk`.
        """
        index = self._index(col_name)
        if self._primary not in (None, index):
            raise InvalidValue(f"column {self.columns[self._primary or 0]!r} is the primary key already")
        self._content.cast(index, key_type("a primary key"))
        self._primary = index
        self._log.change()

    def set_fk(self, col_name: ColumnKey, table: Table, table_col: ColumnKey) -> None:
        """Make a column of strings or integers refer to the rows of another table by a column of it."""
        index = self._index(col_name)
        if not isinstance(table, Table):
            raise InvalidType(f"a foreign key refers to a Table; got {type(table).__name__}")
        if table is self:
            raise InvalidValue("a foreign key refers to another table, not to its own")
        if index == self._primary:
            raise InvalidValue(f"column {col_name!r} is the primary key; it cannot be a foreign key too")
        other = table.columns[table._index(table_col)]
        self._content.cast(index, key_type("a foreign key"))
        self._foreign[index] = (table, other)
        self._log.change()

    def refer_elsewhere(self, col_name: ColumnKey, key: ForeignKey) -> None:
        """Make a column refer to the rows of a table that is not at hand, as one that is imported may."""
        self._foreign[self._index(col_name)] = key

    def give_roles(self, col_name: ColumnKey, roles: Sequence[str]) -> None:
        """Say what a column is in an evaluation; see :class:`maskl.EvalTable`."""
        self._roles[self._index(col_name)] = tuple(roles)

    # --- for run.log() --------------------------------------------------------------------------

    def rows_to_log(self, run: str, name: str, step: int, together: Mapping[int, str]) -> Rows | None:
        """Return what logging the table there would store; None where there is nothing to store.

        ``together`` names the tables of the same call, by ``id()``.
        """
        content = self._content
        first = self._log.first_row(len(content), run, name, step)
        if first is None:
            return None
        frame, rows = content.since(first)
        columns = self._described(run, together)
        found = Rows(columns, rows, frame, self._log.mode == "MUTABLE", content.bytes_since(first))
        self._warn_of_duplicates(name, found)
        return found

    def all_rows(self, run: str) -> Rows:
        """Return all rows as they are stored in a run, whatever of them was logged before."""
        frame, rows = self._content.since(0)
        return Rows(self._described(run, {}), rows, frame, False, self._content.bytes_since(0))

    def name_in(self, run: str) -> str | None:
        """Return the name that the table was last logged under in a run."""
        return self._log.name_in(run)

    def once_logged(self, run: str, name: str, step: int) -> Callable[[], None]:
        """Return what notes that the table was stored there as it is now; to be called once it is, or again."""
        return partial(self._log.logged, len(self), self._log.changes, run, name, step)

    def images_of(self, rows: Rows) -> Iterator[tuple[int, str, PendingImage]]:
        """Yield the images that some of its rows refer to, with the number of the row among them and the column."""
        for index, column in enumerate(rows.columns):
            if column.kind == "image":
                for number, row in enumerate(rows.cells):
                    cell = row[index]
                    if cell is not None and cell.digest is not None:
                        yield number, column.name, self._content.images[cell.digest]

    def media(self) -> Collection[Media]:
        """Return the kept media that its cells name."""
        return self._content.media.values()

    # --- inside ---------------------------------------------------------------------------------

    def _index(self, name: ColumnKey) -> int:
        if str(name) not in self.columns:
            raise NotFound(f"there is no column {name!r}; there are: {', '.join(map(repr, self.columns))}")
        return self.columns.index(str(name))

    def _note_keys(self, index: int, values: Sequence[Any]) -> None:
        """Make a column that holds row numbers or keys of another table refer to it, unless it refers already."""
        if values and all(type(value) in KEYS and _referred(value)[0] is not self for value in values):
            self._foreign.setdefault(index, _referred(values[0]))

    def _keys(self) -> dict[int, tuple[Table, str]]:
        """Return the columns whose values tell rows apart, of this table or of another, and by which column."""
        keys = {
            index: (key[0], key[1])
            for index, key in self._foreign.items()
            if isinstance(key, tuple) and key[1] is not None
        }
        if self._primary is not None:
            keys[self._primary] = self, self.columns[self._primary]
        return keys

    def _with_keys(self, row: list[Any]) -> list[Any]:
        """Return a row in which values of keys remember their table."""
        for index, key in self._keys().items():
            row[index] = key_of(row[index], *key)
        return row

    def _described(self, run: str, together: Mapping[int, str]) -> tuple[Column, ...]:
        """Return the columns as a part's metadata describes them."""
        return tuple(
            replace(
                column,
                dtype=None if column.type == "json" else column.dtype,
                class_sets=() if rule.classes is None else (rule.classes,),
                primary_key=index == self._primary,
                foreign_key=self._foreign_key(index, run, together),
                roles=self._roles.get(index, ()),
            )
            for index, (column, rule) in enumerate(zip(self._content.types, self._content.rules, strict=True))
        )

    def _foreign_key(self, index: int, run: str, together: Mapping[int, str]) -> ForeignKey | None:
        key = self._foreign.get(index)
        if key is None or isinstance(key, ForeignKey):
            return key
        table, column = key
        return ForeignKey(together.get(id(table)) or table.name_in(run), column)

    def _warn_of_duplicates(self, name: str, rows: Rows) -> None:
        """Warn where rows share a primary key."""
        if self._primary is None:
            return
        keys = [row[self._primary] for row in rows.cells]
        keys += [] if rows.frame is None else rows.frame.column(self._primary).to_pylist()
        repeated = len(keys) - len(set(keys))
        if repeated:
            warn(
                f"table {name!r}: {repeated} rows repeat a value of the primary key "
                f"{rows.columns[self._primary].name!r}: runs cannot be compared row by row by it",
                DuplicateKeyWarning,
            )


#: types of values that remember which table's rows they tell apart
KEYS: Final = frozenset((TableIndex, TextKey, NumberKey))


def _referred(value: Any) -> tuple[Table, str | None]:
    """Return the table that a row number or a key is of, and the column of the key."""
    return (value.table, None) if isinstance(value, TableIndex) else value.key_of


def _family(column: Column) -> str:
    """Return what of a column's type tables are compared by: integers and floats are numbers."""
    return "number" if column.type in ("int", "float") else describe(column)


def with_pairs(rows: Rows, truth_keys: Sequence[str]) -> Rows:
    """Return rows whose images have the pairs of masks counted that are with one of these."""
    if not any(column.kind == "image" for column in rows.columns):
        return rows

    def row(index: int) -> list[Any]:
        return [repaired(cell, truth_keys) if isinstance(cell, ImageCell) else cell for cell in rows.cells[index]]

    if isinstance(rows.cells, list):
        return replace(rows, cells=[row(index) for index in range(len(rows.cells))])
    return replace(rows, cells=LazyList(len(rows.cells), row))  # they stand in a file
