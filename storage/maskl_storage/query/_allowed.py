"""Which table functions a query of a store may call: DuckDB has some that change its state, or run text as SQL.

Files need no list here: DuckDB itself refuses those that are not the store's. And which queries ask for sums and for
nothing else, so that their rows are few.
"""

from __future__ import annotations

import re
from typing import Any, Final

__all__ = ["ALLOWED", "RESAMPLES", "asks_for_sums", "called"]

#: what makes rows, reads the store's files or lists what there is, and nothing else
ALLOWED: Final = frozenset(
    {
        *("generate_series", "json_each", "json_tree", "query_table", "range", "repeat", "repeat_row"),
        *("unnest", "seq_scan"),
        *("parquet_file_metadata", "parquet_kv_metadata", "parquet_metadata", "parquet_scan", "parquet_schema"),
        *("read_blob", "read_json", "read_json_auto", "read_parquet", "read_text"),
        *("duckdb_columns", "duckdb_constraints", "duckdb_databases", "duckdb_extensions", "duckdb_functions"),
        *("duckdb_indexes", "duckdb_keywords", "duckdb_memory", "duckdb_schemas", "duckdb_settings"),
        *("duckdb_tables", "duckdb_temporary_files", "duckdb_types", "duckdb_views"),
        *("pg_timezone_names", "pragma_database_size", "pragma_show", "pragma_table_info", "pragma_version"),
    }
)

#: macros that have no more rows than the totals have that they sum
SUMS: Final = frozenset(
    {"class_coverage", "class_iou", "compare_classes", "compare_means", "confusion_matrix", "mean_iou"}
)
#: what a query says that asks for intervals
RESAMPLES: Final = "resamples"
#: what else such a query may have: expressions and functions that make of some rows no more rows, and of a value no
#: larger one
_PLAIN_CLASSES: Final = frozenset(
    {"BETWEEN", "CASE", "CAST", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT", "OPERATOR", "STAR", "TYPE"}
)
_PLAIN_FUNCTIONS: Final = frozenset(
    {*"+-*/", "abs", "arg_max", "arg_min", "avg", "coalesce", "count", "count_star", "first", "floor", "iou", "dice"}
    | {"ceil", "lower", "max", "median", "min", "mode", "round", "starts_with", "stddev", "sum", "upper"}
)


def called(sql: str, tree: dict[str, Any]) -> set[str]:
    """Return the names of the table functions that a query calls, in lower case.

    ``tree`` is what DuckDB's ``json_serialize_sql`` makes of the query. Where it makes nothing, as of a
    PIVOT whose columns come from the data, every word of the text may be one.
    """
    if tree.get("error"):
        return {word.casefold() for word in re.findall(r"\w+", sql)}
    found: set[str] = set()
    waiting: list[Any] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if node.get("type") == "TABLE_FUNCTION":
                found.add(str(node["function"]["function_name"]).casefold())
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
    return found


def asks_for_sums(tree: dict[str, Any]) -> bool:
    """Whether a query has its rows from one macro that sums totals, and does nothing else than choose and sum them.

    ``tree`` is what DuckDB's ``json_serialize_sql`` makes of it. Of a tree that is not as expected, it is not known.
    """
    try:
        (statement,) = tree["statements"]
        node = statement["node"]
        table = node["from_table"]
        if node["type"] != "SELECT_NODE" or node["cte_map"]["map"] or len(node["group_sets"]) > 1:
            return False
        call = table["function"]  # a macro's arguments may be any expression: these are to be known
        arguments = [*call.get("children", ()), *(argument["expression"] for argument in call.get("arguments", ()))]
        names = {argument["alias"].casefold() for argument in arguments}
        is_sum = call["function_name"].casefold() in SUMS and not call["schema"] and RESAMPLES not in names
        rest = {**node, "from_table": {**table, "function": None}}
        return is_sum and all(argument["class"] == "CONSTANT" for argument in arguments) and _is_plain(rest)
    except (KeyError, TypeError, ValueError):
        return False


def _is_plain(node: dict[str, Any]) -> bool:
    waiting: list[Any] = [node]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            kind = part.get("class")
            if kind == "FUNCTION":
                kind = None if part["function_name"] in _PLAIN_FUNCTIONS else kind
            if kind is not None and kind not in _PLAIN_CLASSES:
                return False
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return True
