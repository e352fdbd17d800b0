"""Metrics of stored tables: one call for what the SQL macros return, as an Arrow table."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from maskl_storage.errors import InvalidType, InvalidValue, RowsLeftOutWarning, warn
from maskl_storage.extras import optional
from maskl_storage.lazy import LazyModule

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    import maskl.metrics.registry as registry
else:
    pa, registry = LazyModule("pyarrow"), LazyModule("maskl.metrics.registry")
    pd, pl = LazyModule("pandas", optional=True), LazyModule("polars", optional=True)

__all__ = [
    "Answer",
    "By",
    "Group",
    "Steps",
    "check_exclude",
    "metrics_query",
    "registered_metrics",
    "warn_left_out",
    "with_registered",
]

#: what an answer may have a row for
Group = Literal["run", "step", "row", "class"]
#: what a comparison of two runs may have a row for
By = Literal["class", "mean"]
#: the steps to count: one, each by itself, each run's last one, or all summed
Steps = int | Literal["each", "last", "all"]

GROUPS: Final = ("run", "step", "row", "class")
COLUMNS: Final = {"run": ("run_id", "run_name"), "step": ("_step",), "row": ("_row",), "class": ("class_name",)}
ARGUMENTS: Final = "$t, truth := $truth, prediction := $prediction, step := $step"
#: how many rows an answer is over, and how many could not be compared
ROWS: Final = ("n_rows", "n_left_out")
#: of each class, from its counts; and the means of these over the classes
SCORES: Final = """
    maskl_iou(tp, fp, fn) AS iou, maskl_dice(tp, fp, fn) AS dice, maskl_share(tp, fn) AS recall,
    maskl_share(tp, fp) AS "precision", tp, fp, fn
"""
MEANS: Final = """
    maskl_mean(iou, class_name, $exclude) AS mean_iou, maskl_mean(dice, class_name, $exclude) AS mean_dice,
    maskl_mean(recall, class_name, $exclude) AS mean_accuracy,
    maskl_weighted_mean(iou, tp, fn, class_name, $exclude) AS frequency_weighted_iou,
    maskl_pixel_accuracy(tp, fn) AS pixel_accuracy
"""


class Answer:
    """What a question returned: an Arrow table, and the ways from it into other libraries.

    It speaks Arrow's PyCapsule interface, so Polars, pandas, DuckDB and others take it as it is.

    Examples
    --------
    >>> answer = Answer(pa.table({"class_name": ["car"], "iou": [0.5]}))
    >>> answer.column_names, len(answer), answer["iou"], list(answer)
    (['class_name', 'iou'], 1, [0.5], [{'class_name': 'car', 'iou': 0.5}])
    """

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    @property
    def column_names(self) -> list[str]:
        """The names of the columns."""
        names: list[str] = self._table.column_names
        return names

    def to_arrow(self) -> pa.Table:
        """Return the Arrow table."""
        return self._table

    def to_pylist(self) -> list[dict[str, Any]]:
        """Return a list with a dict for each row."""
        rows: list[dict[str, Any]] = self._table.to_pylist()
        return rows

    def to_pandas(self) -> pd.DataFrame:
        """Return a pandas DataFrame.

        Raises
        ------
        MissingExtra
            pandas is not installed.
        """
        optional("pandas", "to_pandas()")  # pyarrow needs it, and says so less clearly
        frame: pd.DataFrame = self._table.to_pandas()
        return frame

    def to_polars(self) -> pl.DataFrame:
        """Return a Polars DataFrame.

        Raises
        ------
        MissingExtra
            Polars is not installed.
        """
        frame: pl.DataFrame = optional("polars", "to_polars()").from_arrow(self._table)
        return frame

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)

    def __getitem__(self, name: str) -> list[Any]:
        values: list[Any] = self._table[name].to_pylist()
        return values

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.to_pylist())

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __repr__(self) -> str:
        return f"<Answer of {len(self)} rows: {', '.join(self.column_names)}>"


def metrics_query(
    by: Group | Iterable[Group], step: Steps | None, exclude: Collection[str]
) -> tuple[str, dict[str, Any]]:
    """Return the query that answers :meth:`maskl.Store.metrics`, and those of its parameters that follow from it.

    Raises
    ------
    InvalidType, InvalidValue
        Groups or classes that are none.
    """
    groups = _groups(by)
    check_exclude(exclude)
    if step is None:
        step = "each" if "step" in groups else "last"
    parameters: dict[str, Any] = {"step": step, "exclude": list(exclude)}
    keys = [name for group in GROUPS if group in groups for name in COLUMNS[group]]
    keys.insert(len(keys) - ("class" in groups), "image_column")
    named, order = ", ".join(keys), ", ".join(name for name in keys if name != "run_name")
    if "row" in groups:
        source = f"row_class_iou({ARGUMENTS})"
        fields = named.replace("run_name", "maskl_run_name(run_id) AS run_name")
    else:
        source, fields = f"class_iou({ARGUMENTS})", named
    counts = f"""
        SELECT {fields}{"" if "class" in groups else ", class_name"}, CAST(sum(c.tp) AS BIGINT) AS tp,
               CAST(sum(c.fp) AS BIGINT) AS fp, CAST(sum(c.fn) AS BIGINT) AS fn
        FROM asked AS c GROUP BY ALL
    """
    if "class" in groups:
        left_out = "maskl_is_left_out(class_name, $exclude)"
        query = f"SELECT {named}, {SCORES} FROM ({counts}) WHERE NOT {left_out}"
        order = f"{order}, class_name"
    else:
        query = f"SELECT {named}, {MEANS} FROM (SELECT *, {SCORES} FROM ({counts})) GROUP BY {named}"
    if "row" not in groups:
        query = _with_rows(query, [key for key in keys if key != "class_name"])
    return f"WITH asked AS MATERIALIZED (FROM {source}) {query} ORDER BY {order}", parameters


def check_exclude(exclude: Collection[str]) -> None:
    """Raise InvalidType where classes to leave out are no list of names."""
    if isinstance(exclude, str) or not all(isinstance(name, str) for name in exclude):
        raise InvalidType(f"exclude must be a list of class names; got {exclude!r:.60}")


def _with_rows(query: str, keys: Sequence[str]) -> str:
    """Return a query with how many rows its groups are over, each of which is in a group once for all its classes."""
    on = " AND ".join(f"s.{key} IS NOT DISTINCT FROM n.{key}" for key in keys)
    each = f"SELECT DISTINCT run_id AS of_run, _step AS of_step, n_rows, n_left_out, {', '.join(keys)} FROM asked"
    sums = ", ".join(f"CAST(sum({name}) AS BIGINT) AS {name}" for name in ROWS)
    rows = f"SELECT {', '.join(keys)}, {sums} FROM ({each}) GROUP BY ALL"
    return f"SELECT s.*, n.n_rows, n.n_left_out FROM ({query}) AS s JOIN ({rows}) AS n ON {on}"


def warn_left_out(table: str | None, columns: Sequence[str], values: Callable[[str], Sequence[Any]]) -> None:
    """Warn of rows that are in no number of an answer since their masks could not be compared.

    ``values`` returns those of one of its columns; few are asked for.
    """
    most, of = 0, ""
    for name in columns:
        for place, left in enumerate(values(name) if name.startswith(ROWS[1]) else ()):
            if isinstance(left, int) and left > most:
                rows = name.replace(ROWS[1], ROWS[0])
                counted = values(rows)[place] if rows in columns else None
                most, of = left, "" if counted is None else f" of {left + counted}"
    if most:
        where = "" if table is None else f"table {table!r}: "
        warn(
            f"{where}{most}{of} rows are in no mean or sum, since their two masks differ in size or one is "
            f"missing; the column n_left_out counts them",
            RowsLeftOutWarning,
        )


def registered_metrics(found: pa.Table) -> list[registry.Metric]:
    """Return the metrics that an answer of SQL's lacks, but that are functions of what it counts."""
    per = "class" if "class_name" in found.column_names else "all"
    return [
        metric
        for name, metric in registry.registered().items()
        if metric.per == per and metric.needs == "counts" and name not in found.column_names
    ]


def with_registered(
    found: pa.Table, counted: pa.Table, metrics: Sequence[registry.Metric], exclude: Collection[str]
) -> pa.Table:
    """Return metrics with columns for more, from the counts of every class of the same groups."""
    keys = counted.column_names[: counted.column_names.index("class_name")]
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in counted.to_pylist():
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    counts = [_counts(rows) for rows in groups.values()]
    asked = found.to_pylist()
    for metric in metrics:
        takes = {"exclude": exclude} if "exclude" in inspect.signature(metric.function).parameters else {}
        scores = dict(zip(groups, (metric.function(one, **takes) for one in counts), strict=True))
        values = [scores[tuple(row[key] for key in keys)] for row in asked]
        if metric.per == "class":
            values = [value.get(row["class_name"]) for value, row in zip(values, asked, strict=True)]
        place = found.column_names.index(ROWS[0]) if ROWS[0] in found.column_names else found.num_columns
        found = found.add_column(place, metric.name, pa.array(values, pa.float64()))
    return found


def _counts(rows: Sequence[Mapping[str, Any]]) -> registry.ClassCounts:
    """Return the counts of the classes of one group."""
    import numpy as np

    tp, fp, fn = (np.array([row[name] for row in rows], np.int64) for name in ("tp", "fp", "fn"))
    return registry.ClassCounts(tuple(row["class_name"] for row in rows), tp, fp, fn)


def _groups(by: Iterable[str]) -> set[str]:
    names = [by] if isinstance(by, str) else list(by)
    unknown = [name for name in names if name not in GROUPS]
    if unknown:
        raise InvalidValue(f"by must name some of {', '.join(GROUPS)}; got {unknown[0]!r:.40}")
    groups = set(names)
    return groups | {"run", "step"} if "row" in groups else groups
