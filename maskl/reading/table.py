"""Stored rows at home in other libraries: pandas, Polars, torch, datasets and notebooks."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from maskl.media.kinds import KINDS
from maskl.reading._ahead import Ahead
from maskl.tables.histogram import Histogram
from maskl_storage.errors import InvalidType, NotFound
from maskl_storage.extras import optional
from maskl_storage.format.metadata import LABELLED, ClassSet, Column
from maskl_storage.format.union import UnionSchema
from maskl_storage.lazy import LazyModule
from maskl_storage.read.table import Row
from maskl_storage.read.table import StoredTable as RawTable

if TYPE_CHECKING:
    import datasets
    import pandas as pd
    import polars as pl
    import torch.utils.data as torch_data

    from maskl.drawing.notebook import Rows
else:
    datasets, torch_data = LazyModule("datasets", optional=True), LazyModule("torch.utils.data", optional=True)
    pd, pl = LazyModule("pandas", optional=True), LazyModule("polars", optional=True)

__all__ = ["StoredTable"]

#: what objects in JSON columns become, since these modules are imported
CLASSES: Final = (Histogram, *KINDS)
#: where a row stands, as SQL calls it
PLACES: Final = ("run_id", "_row", "_step", "_timestamp")
#: types of values that Arrow's libraries have too
PLAIN: Final = ("null", "bool", "int", "float", "string", "bytes", "timestamp")


class StoredTable(RawTable):
    """The rows of a stored table; :meth:`maskl.Store.table` returns it.

    It is used like a list: ``len()``, ``rows[i]`` and iteration give rows as dicts of the user's own column
    names, with :class:`maskl.Image` cells, and ``rows[a:b]`` is another StoredTable. Rows are read when
    they are asked for. The methods that turn it into something else name columns as SQL does: an image
    column ``image``, its masks ``image__mask__<key>``; ``names`` says what a user's own name was.
    A column ``x`` whose type differs between runs is several there, ``x`` with the type of most rows and such as
    ``x__string``; a row has the value that was logged as ``x``.

    Examples
    --------
    >>> import tempfile, maskl
    >>> with maskl.init(name="one", dir=tempfile.mkdtemp()) as run:
    ...     run.log({"losses": maskl.Table(["name", "loss"], [["a", 0.5], ["b", None]])})
    ...     rows = maskl.open().table("losses")
    >>> rows, rows[0], len(rows[1:])
    (<StoredTable of 2 rows: name, loss>, {'name': 'a', 'loss': 0.5}, 1)
    """

    @overload
    def __getitem__(self, index: int) -> Row: ...

    @overload
    def __getitem__(self, index: slice) -> StoredTable: ...

    def __getitem__(self, index: int | slice) -> Row | StoredTable:
        found: Row | StoredTable = super().__getitem__(index)  # type: ignore[assignment]  # a slice is of its class
        return found

    #: the rows that come next
    _ahead: Ahead | None = None

    def _row(self, index: int) -> Row:
        ahead = self._ahead
        if ahead is None or not ahead.of(self):
            ahead = self._ahead = Ahead(self)
        return ahead.row(index, super()._row)

    def to_pandas(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Return a pandas DataFrame.

        Parameters
        ----------
        columns : sequence of str, optional
            Columns by the names that SQL shows; by default ``run_id, _row, _step, _timestamp`` and all of
            the user's. Masks and boxes are in the images.

        Returns
        -------
        pandas.DataFrame
            Images are :class:`maskl.Image` objects, whose pixels are decoded when they are asked for;
            dicts, lists and arrays are themselves. Integers and booleans of which some are missing have
            pandas' types Int64 and boolean, so that no value changes.

        Raises
        ------
        MissingExtra
            pandas is not installed.
        NotFound
            There is no such column.

        Examples
        --------
        >>> import tempfile, maskl
        >>> with maskl.init(dir=tempfile.mkdtemp()) as run:
        ...     run.log({"counts": maskl.Table(["name", "n"], [["a", 1], ["b", None]])})
        ...     maskl.open().table("counts").to_pandas(["name", "n"])
          name     n
        0    a     1
        1    b  <NA>
        """
        pandas = optional("pandas", "to_pandas()")
        union = self.union()
        chosen = _chosen(
            columns, [*PLACES, *(name for name, column in union.columns.items() if column.kind not in LABELLED)]
        )
        plain = [name for name in chosen if name not in union.columns or _is_plain(union, name)]
        table = self.to_arrow(plain)
        whole = {pa.int64(): pandas.Int64Dtype(), pa.bool_(): pandas.BooleanDtype()}
        series = {
            name: table[name].to_pandas(types_mapper=whole.get if table[name].null_count else None) for name in plain
        }
        others = {name: union.labels[name] for name in chosen if name not in plain}
        for name, cells in _cells(self.united, others).items():
            series[name] = pandas.Series(_objects(cells), dtype=object)
        frame: pd.DataFrame = pandas.DataFrame({name: series[name] for name in chosen})
        return frame

    def to_polars(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Return a Polars DataFrame of the rows as they are stored.

        Parameters
        ----------
        columns : sequence of str, optional
            Columns by the names that SQL shows, masks and boxes among them; by default all.

        Returns
        -------
        polars.DataFrame
            Images are structs, whose bytes ``store.image(digest)`` has; masks are encoded, and
            ``maskl_storage.decode`` decodes them; dicts are JSON text.

        Raises
        ------
        MissingExtra
            Polars is not installed.
        NotFound
            There is no such column.
        """
        polars = optional("polars", "to_polars()")
        chosen = _chosen(columns, [*PLACES, *self.union().columns])
        table = self.to_arrow(None if columns is None else chosen)
        if columns is None:
            chosen = list(dict.fromkeys((*PLACES, *table.column_names)))
        frame: pl.DataFrame = polars.from_arrow(table.select(chosen))
        return frame

    def to_torch(
        self,
        columns: Sequence[str] | None = None,
        *,
        mask_dtype: Literal["int64", "own"] = "int64",
        mode: str | None = None,
        transform: Callable[[dict[str, Any]], Any] | None = None,
    ) -> torch_data.Dataset[Any]:
        """Return a ``torch.utils.data.Dataset``, which reads rows when they are asked for.

        Parameters
        ----------
        columns : sequence of str, optional
            Images, masks and values by the names that SQL shows; by default all.
        mask_dtype : {'int64', 'own'}, optional
            What masks become: int64, which torch's losses take, or the dtype that was logged.
        mode : str, optional
            Pillow's name of a pixel format, such as ``"RGB"``, that all images are converted to.
        transform : callable, optional
            What is done with each item; its result is the dataset's.

        Returns
        -------
        torch.utils.data.Dataset
            Its items are dicts by the names of the columns: images as uint8 tensors of shape
            (C, H, W), masks of shape (H, W), arrays as tensors, other values as they are. Only images
            of 16 bits, integers or floats have another dtype. What a row lacks is None, and so is a
            reference's image; the default collate function takes no None: name the columns that all
            rows have. It can be pickled, and works in a DataLoader with workers.

        Raises
        ------
        MissingExtra
            torch is not installed.
        NotFound
            There is no such column.
        InvalidValue
            Another ``mask_dtype`` or ``mode``.

        Examples
        --------
        >>> rows = maskl.open().table("evaluation")  # doctest: +SKIP
        >>> dataset = rows.to_torch(["image", "image__mask__ground_truth"])  # doctest: +SKIP
        >>> loader = torch.utils.data.DataLoader(dataset, batch_size=8, num_workers=2)  # doctest: +SKIP
        """
        from maskl.reading._torch import Field, check_dtype, check_mode, torch_dataset

        union = self.union()
        chosen = _chosen(columns, [name for name, column in union.columns.items() if column.kind != "boxes"])
        fields = {name: Field(union.labels[name], union.keys(name)) for name in chosen}
        rows = self.united, fields, check_dtype(mask_dtype), check_mode(mode), transform
        dataset: torch_data.Dataset[Any] = torch_dataset(*rows)
        return dataset

    def to_hf(
        self, columns: Sequence[str] | None = None, *, file: str | os.PathLike[str] | None = None
    ) -> datasets.Dataset:
        """Return a dataset of Hugging Face's ``datasets``.

        Parameters
        ----------
        columns : sequence of str, optional
            Images, masks and values by the names that SQL shows; by default ``run_id, _row, _step,
            _timestamp`` and all of these.
        file : path-like, optional
            An Arrow file to write and map, for what is larger than memory.

        Returns
        -------
        datasets.Dataset
            Images have the feature ``Image`` and the bytes that are stored; a reference has its URL as
            ``path``. A mask is a grey PNG of 8 or 16 bits whose values are the ids, beside a column
            ``<image>__classes__<key>`` of the classes that are present, with the feature ``ClassLabel``.
            So have columns of class ids that count from 0. Captions are ``<image>__caption``; dicts are
            JSON text; boxes are left out.

        Raises
        ------
        MissingExtra
            ``datasets`` is not installed.
        NotFound
            There is no such column.
        InvalidValue
            A mask with ids that no PNG holds, below 0 or above 65535; or the file exists.
        """
        import pyarrow.compute as pc

        from maskl.reading._huggingface import Source, hf_dataset

        union = self.union()
        known = {name: column for name, column in union.columns.items() if column.kind != "boxes"}
        chosen = _chosen(columns, [*PLACES, *known])
        held = [name for name in chosen if name not in known or known[name].kind == "value"]
        pictures = {
            name: Source(union.labels[name], union.keys(name), known[name].class_sets)
            for name in chosen
            if name not in held
        }
        images = [name for name in pictures if known[name].kind == "image"]
        table = self.to_arrow([*held, *images])
        values = {name: table[name] for name in held}
        for name in images:
            captions = pc.struct_field(table[name], "caption")
            if captions.null_count < len(captions) and f"{name}__caption" not in union.columns:
                values[f"{name}__caption"] = captions
        labels = {name: items for name in held if name in known and (items := _counted(known[name]))}
        dataset: datasets.Dataset = hf_dataset(self.united, values, pictures, labels, file)
        return dataset

    def _repr_html_(self) -> str:
        from maskl.drawing.notebook import table_html

        return table_html(self.united, self._labels("image", "value"), self._labels("image"))

    def _repr_png_(self) -> bytes | None:
        from maskl.drawing.notebook import table_png

        return table_png(self.united, self._labels("image"))

    def _labels(self, *kinds: str) -> list[str]:
        return [column.name for column in self.union().columns.values() if column.kind in kinds]


def _chosen(columns: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    """Return the columns to take, or raise what is wrong with those that were named."""
    if columns is None:
        return list(known)
    if isinstance(columns, str | bytes) or not all(isinstance(name, str) for name in columns):
        raise InvalidType(f"columns must be a list of names; got {columns!r:.60}")
    for name in columns:
        if name not in known:
            raise NotFound(f"the table has no column {name!r:.60} to take; it has: {', '.join(map(repr, known))}")
    return list(dict.fromkeys(columns))


def _is_plain(union: UnionSchema, name: str) -> bool:
    """Whether Arrow's column is what was logged: numbers, texts, bytes, moments."""
    column = union.columns[name]
    types = union.readings.get(name, {column.type})
    return types <= {"int", "float"} or (len(types) == 1 and column.type in PLAIN)


def _cells(rows: Rows, names: Mapping[str, str]) -> dict[str, list[Any]]:
    """Return the values of these columns, by what they are called, from one way through the rows."""
    cells: dict[str, list[Any]] = {name: [] for name in names}
    for row in rows if names else ():
        for name, own in names.items():
            cells[name].append(row.get(own))
    return cells


def _objects(cells: Sequence[Any]) -> npt.NDArray[np.object_]:
    """Return an array of objects, one by one: NumPy would look into those that are arrays."""
    made = np.empty(len(cells), object)
    for index, cell in enumerate(cells):
        made[index] = cell
    return made


def _counted(column: Column) -> ClassSet | None:
    """Return the classes of a column of class ids where the ids count from 0."""
    if len(column.class_sets) != 1:
        return None
    return column.class_sets[0] if column.class_sets[0].label_names else None
