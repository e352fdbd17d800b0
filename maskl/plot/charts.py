"""Charts of the columns of a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from maskl.adapters.objects import as_value
from maskl.tables.table import Table
from maskl_storage.errors import ConversionWarning, InvalidType, InvalidValue, NotFound, warn

__all__ = ["CustomChart", "bar", "histogram", "line", "line_series", "plot_table", "scatter"]

#: where tables stand whose charts were made with ``split_table=True``
APART: Final = "Custom Chart Tables"


class CustomChart:
    """A table, and which chart is to be drawn of it; what the functions of :mod:`maskl.plot` return, for ``log()``.

    Parameters
    ----------
    table : Table
        The table.
    spec_name : str
        The chart, by W&B's name of its Vega-Lite specification, such as ``wandb/line/v0``.
    fields : mapping of str to str
        The specification's fields, and the table's columns in them.
    string_fields : mapping of str to str, optional
        The specification's texts, such as ``title``.
    split_table : bool, optional
        Whether the table's name begins with ``Custom Chart Tables/``.

    Notes
    -----
    Logged under ``key`` it stores the table ``<key>_table``, and under ``key`` in the history a dict with ``chart``,
    ``table``, ``fields`` and ``string_fields``.
    """

    def __init__(
        self,
        table: Table,
        spec_name: str,
        fields: Mapping[str, Any],
        string_fields: Mapping[str, Any] | None = None,
        split_table: bool = False,
    ) -> None:
        self.table = table
        self.spec_name = spec_name
        self.fields = dict(fields)
        self.string_fields = dict(string_fields or {})
        self.split_table = split_table

    def __repr__(self) -> str:
        return f"<CustomChart {self.spec_name!r} of {self.table!r}>"

    def table_name(self, key: str) -> str:
        """Return the name of the table where the chart is logged under a key.

        Examples
        --------
        >>> chart = bar(Table(["class", "iou"], [["road", 0.75]]), "class", "iou")
        >>> chart.table_name("val/iou")
        'val/iou_table'
        """
        return f"{APART}/{key}_table" if self.split_table else f"{key}_table"

    def described(self, key: str) -> dict[str, Any]:
        """Return what the history has of the chart where it is logged under a key."""
        return {
            "chart": self.spec_name,
            "table": self.table_name(key),
            "fields": self.fields,
            "string_fields": self.string_fields,
        }


def plot_table(
    vega_spec_name: str,
    data_table: Table,
    fields: Mapping[str, Any],
    string_fields: Mapping[str, Any] | None = None,
    split_table: bool = False,
) -> CustomChart:
    """Return a chart of a table by any specification of Vega-Lite.

    Parameters
    ----------
    vega_spec_name : str
        The specification's name, as W&B has it.
    data_table : Table
        The table; it is stored as ``<key>_table``.
    fields : mapping of str to str
        The specification's fields, and the table's columns in them.
    string_fields : mapping of str to str, optional
        The specification's texts, such as ``title``.
    split_table : bool, optional
        Whether the table is stored as ``Custom Chart Tables/<key>_table``.

    Returns
    -------
    CustomChart

    Raises
    ------
    InvalidType
        An argument of another type.

    Examples
    --------
    >>> table = Table(["step", "height"], [[0, 1.5], [1, 2.5]])
    >>> plot_table("wandb/line/v0", table, {"x": "step", "y": "height"}, {"title": "Heights"})
    <CustomChart 'wandb/line/v0' of <Table of 2 rows: step, height>>
    """
    if not isinstance(data_table, Table):
        raise InvalidType(f"a chart is drawn of a Table; got {type(data_table).__name__}")
    if not isinstance(vega_spec_name, str):
        raise InvalidType(f"vega_spec_name must be a string; got {vega_spec_name!r:.60}")
    for what, given in (("fields", fields), ("string_fields", {} if string_fields is None else string_fields)):
        if not isinstance(given, Mapping) or not all(
            isinstance(item, str | None) for item in (*given, *given.values())
        ):
            raise InvalidType(f"{what} must be a dict of strings to strings; got {given!r:.60}")
    if not isinstance(split_table, bool | np.bool_):
        raise InvalidType(f"split_table must be True or False; got {split_table!r:.60}")
    return CustomChart(data_table, vega_spec_name, fields, string_fields, bool(split_table))


def line(
    table: Table, x: str, y: str, stroke: str | None = None, title: str = "", split_table: bool = False
) -> CustomChart:
    """Return a chart of lines.

    Parameters
    ----------
    table : Table
        The table; it is stored as ``<key>_table``.
    x, y : str
        Its columns for the axes.
    stroke : str, optional
        Its column that tells one line from another.
    title : str, optional
        The chart's title.
    split_table : bool, optional
        Whether the table is stored as ``Custom Chart Tables/<key>_table``.

    Returns
    -------
    CustomChart

    Raises
    ------
    NotFound
        The table has no such column.

    Examples
    --------
    >>> table = Table(["epoch", "iou", "model"], [[0, 0.5, "a"], [1, 0.75, "a"]])
    >>> line(table, "epoch", "iou", stroke="model").fields
    {'x': 'epoch', 'y': 'iou', 'stroke': 'model'}
    """
    return _of_columns("wandb/line/v0", table, {"x": x, "y": y, "stroke": stroke}, title, split_table)


def scatter(table: Table, x: str, y: str, title: str = "", split_table: bool = False) -> CustomChart:
    """Return a chart of points.

    Parameters
    ----------
    table : Table
        The table; it is stored as ``<key>_table``.
    x, y : str
        Its columns for the axes.
    title : str, optional
        The chart's title.
    split_table : bool, optional
        Whether the table is stored as ``Custom Chart Tables/<key>_table``.

    Returns
    -------
    CustomChart

    Raises
    ------
    NotFound
        The table has no such column.

    Examples
    --------
    >>> scatter(Table(["size", "iou"], [[10, 0.5], [400, 0.75]]), "size", "iou").fields
    {'x': 'size', 'y': 'iou'}
    """
    return _of_columns("wandb/scatter/v0", table, {"x": x, "y": y}, title, split_table)


def bar(table: Table, label: str, value: str, title: str = "", split_table: bool = False) -> CustomChart:
    """Return a chart of bars.

    Parameters
    ----------
    table : Table
        The table; it is stored as ``<key>_table``.
    label, value : str
        Its columns for each bar's name and length.
    title : str, optional
        The chart's title.
    split_table : bool, optional
        Whether the table is stored as ``Custom Chart Tables/<key>_table``.

    Returns
    -------
    CustomChart

    Raises
    ------
    NotFound
        The table has no such column.

    Examples
    --------
    >>> bar(Table(["class", "iou"], [["road", 0.75]]), "class", "iou", title="IoU").string_fields
    {'title': 'IoU'}
    """
    return _of_columns("wandb/bar/v0", table, {"label": label, "value": value}, title, split_table)


def histogram(table: Table, value: str, title: str = "", split_table: bool = False) -> CustomChart:
    """Return a chart of how often the values of a column occur; the table is stored, and its values are not counted.

    Parameters
    ----------
    table : Table
        The table; it is stored as ``<key>_table``.
    value : str
        Its column.
    title : str, optional
        The chart's title.
    split_table : bool, optional
        Whether the table is stored as ``Custom Chart Tables/<key>_table``.

    Returns
    -------
    CustomChart

    Raises
    ------
    NotFound
        The table has no such column.

    Examples
    --------
    >>> histogram(Table(["iou"], [[0.5], [0.75]]), "iou").fields
    {'value': 'iou'}
    """
    return _of_columns("wandb/histogram/v0", table, {"value": value}, title, split_table)


def line_series(
    xs: Iterable[Any],
    ys: Iterable[Iterable[Any]],
    keys: Iterable[str] | None = None,
    title: str = "",
    xname: str = "x",
    split_table: bool = False,
) -> CustomChart:
    """Return a chart of several lines.

    Parameters
    ----------
    xs : sequence, or sequence of sequences
        The places on the x axis: of all lines, or of each.
    ys : sequence of sequences
        The values of each line.
    keys : sequence of str, optional
        The lines' names; ``line_0`` and so on by default.
    title : str, optional
        The chart's title.
    xname : str, optional
        What the x axis is called.
    split_table : bool, optional
        Whether the table is stored as ``Custom Chart Tables/<key>_table``.

    Returns
    -------
    CustomChart
        Its table has the columns ``step``, ``lineKey`` and ``lineVal``, a row for each value.

    Raises
    ------
    InvalidValue
        Not as many lists of places, or names, as lines.

    Warns
    -----
    ConversionWarning
        A line has not as many values as places: what is more of either is left out.

    Examples
    --------
    >>> line_series([0, 1], [[1, 2], [1, 4]], keys=["x", "x²"]).table.data
    [[0, 'x', 1], [1, 'x', 2], [0, 'x²', 1], [1, 'x²', 4]]
    """
    lines = [_items(values, "ys: each line") for values in _items(ys, "ys")]
    places = _items(xs, "xs")
    own = bool(places) and not isinstance(places[0], str | bytes) and _is_iterable(places[0])
    each = [_items(values, "xs: the places of a line") for values in places] if own else [places] * len(lines)
    names = [f"line_{index}" for index in range(len(lines))] if keys is None else _items(keys, "keys")
    for what, found in (("lists of places in xs", each), ("names in keys", names)):
        if len(found) != len(lines):
            raise InvalidValue(f"there are {len(lines)} lines in ys and {len(found)} {what}: give one for each line")
    rows = []
    for name, x, y in zip(names, each, lines, strict=True):
        if len(x) != len(y):
            left_out = f"what is more of either is left out: {len(x)} places and {len(y)} values"
            warn(f"line {name!r:.60} has not as many values as places; {left_out}", ConversionWarning)
        rows += [[place, str(name), value] for place, value in zip(x, y, strict=False)]
    fields = {name: name for name in ("step", "lineKey", "lineVal")}
    texts = {"title": title, "xname": xname}
    return plot_table("wandb/lineseries/v0", Table(list(fields), rows), fields, texts, split_table)


def _of_columns(
    spec: str, table: Table, fields: Mapping[str, str | None], title: str, split_table: bool
) -> CustomChart:
    chart = plot_table(spec, table, fields, {"title": title}, split_table)
    for name, column in fields.items():
        if column not in table.columns and not (column is None and name == "stroke"):
            known = ", ".join(map(repr, table.columns))
            raise NotFound(f"{name}={column!r:.60} is no column of the table; it has: {known}")
    return chart


def _items(values: Any, what: str) -> Sequence[Any]:
    """Return what is iterated over as a list of plain values."""
    value = as_value(values)
    if isinstance(value, str | bytes) or not _is_iterable(value):
        raise InvalidType(f"{what} must be a sequence; got {values!r:.60}")
    return value.tolist() if isinstance(value, np.ndarray) else list(value)


def _is_iterable(value: Any) -> bool:
    value = as_value(value)
    return isinstance(value, Iterable) and not (isinstance(value, np.ndarray) and value.ndim == 0)
