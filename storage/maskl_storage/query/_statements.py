"""What a text must be to be asked of a store: one SELECT that calls only what is allowed; and what errors say."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Final

import duckdb

from maskl_storage.errors import QueryError
from maskl_storage.query._allowed import ALLOWED, asks_for_sums, called

__all__ = ["check_functions", "explained", "one_select"]

_EXPLAIN: Final = re.compile(r"\s*EXPLAIN(\s+ANALYZE)?\s+(?=\w)", re.IGNORECASE)


def one_select(sql: str) -> str:
    """Check that the text is one SELECT, and return it wrapped so that it cannot be anything else."""
    text = sql.strip()
    while text.endswith(";"):
        text = text[:-1].rstrip()
    explain = _EXPLAIN.match(text)
    prefix, body = (explain[0], text[explain.end() :]) if explain else ("", text)
    # on lines of its own, so that a comment at the end of the text hides nothing; inside a subquery
    # DuckDB refuses the CTEs that hold a COPY or change data, which its parser calls a SELECT too
    wrapped = f"SELECT * FROM (\n{body}\n)"
    for candidate in (body, wrapped):
        kinds = _statement_kinds(candidate)
        # a PIVOT whose columns come from the data is two statements to 1.5, and one of its own kind to 2.0
        if kinds not in (["SELECT"], ["MULTI"], ["CREATE", "SELECT"]) or (
            kinds != ["SELECT"] and not re.search(r"\bPIVOT(_WIDER)?\b", candidate, re.IGNORECASE)
        ):
            found = ", ".join(kinds) or "nothing"
            raise QueryError(
                f"one SELECT is needed; got {found}: to change data or settings, use the connection that "
                f"store.connect() returns"
            )
    return f"{prefix}{wrapped}"


def check_functions(cursor: duckdb.DuckDBPyConnection, sql: str) -> bool:
    """Raise QueryError where the text calls a table function of DuckDB's that is not allowed.

    Return whether it asks for sums and nothing else: see :func:`maskl_storage.query._allowed.asks_for_sums`.
    """
    body = sql[explain.end() :] if (explain := _EXPLAIN.match(sql)) else sql
    try:
        ((text,),) = cursor.execute("SELECT json_serialize_sql($1)", [body]).fetchall()
        tree = json.loads(text)
        names = called(body, tree) - ALLOWED
    except RecursionError as error:
        raise QueryError("the query is nested too deeply") from error
    # what is no function of DuckDB's is a macro of the store, or a mistake that DuckDB explains
    refused = sorted(names & _table_functions()) if names else []
    if refused:
        raise QueryError(
            f"{refused[0]}() is not for queries of a store, since it may change more than what is returned: "
            f"store.connect() returns a connection without limits"
        )
    return explain is None and asks_for_sums(tree)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Raise QueryError for what DuckDB raises."""
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise QueryError(f"the query needs more memory than memory_limit allows: {error}") from error
    except duckdb.Error as error:
        raise QueryError(_explain(error)) from error


def _statement_kinds(sql: str) -> list[str]:
    return [_kind(statement) for statement in duckdb.extract_statements(sql)]


def _kind(statement: duckdb.Statement) -> str:
    try:
        return str(statement.type).rpartition(".")[2]
    except ValueError:  # DuckDB has more kinds than its Python package has names for
        return "a statement of another kind"


@cache
def _table_functions() -> frozenset[str]:
    """Return the names of DuckDB's own table functions."""
    with duckdb.connect() as connection:
        query = "SELECT DISTINCT lower(function_name) FROM duckdb_functions() WHERE function_type = 'table'"
        return frozenset(name for (name,) in connection.execute(query).fetchall())


def _explain(error: duckdb.Error) -> str:
    message = str(error)
    if isinstance(error, duckdb.PermissionException) or "must be at the top level" in message:
        return (
            f"{message}\nOnly reading this store is allowed here; store.connect() returns a connection without limits."
        )
    return message.replace("SELECT * FROM (\n", "")
