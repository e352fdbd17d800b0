"""Which table functions a query of a store may call: DuckDB has some that change its state, or run text as SQL.

Files need no list here: DuckDB itself refuses those that are not the store's.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

__all__ = ["ALLOWED", "called"]

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


def called(sql: str, tree: str) -> set[str]:
    """Return the names of the table functions that a query calls, in lower case.

    ``tree`` is what DuckDB's ``json_serialize_sql`` makes of the query. Where it makes nothing, as of a
    PIVOT whose columns come from the data, every word of the text may be one.
    """
    parsed = json.loads(tree)
    if parsed.get("error"):
        return {word.casefold() for word in re.findall(r"\w+", sql)}
    found: set[str] = set()
    waiting: list[Any] = [parsed]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if node.get("type") == "TABLE_FUNCTION":
                found.add(str(node["function"]["function_name"]).casefold())
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
    return found
