"""SQL over a store: the only module that touches DuckDB."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib.resources import files
from string import Template
from typing import Any, Final

import duckdb

from maskl_storage.errors import QueryError
from maskl_storage.layout import Layout, RunInfo, run_of
from maskl_storage.parts import Listing
from maskl_storage.schema import FIXED
from maskl_storage.spec import TABLE_KINDS
from maskl_storage.tables import TableView, quote_name, quote_text, table_views

__all__ = ["Database", "setup_sql"]

#: sources with explicit types, so that an empty store has the same views
_HIVE: Final = {"run_id": "VARCHAR", "table_name": "VARCHAR"}
_SQL_TYPES: Final = {
    "int64": "BIGINT",
    "int32": "INTEGER",
    "double": "DOUBLE",
    "bool": "BOOLEAN",
    "string": "VARCHAR",
    "binary": "BLOB",
    "timestamp[us, tz=UTC]": "TIMESTAMPTZ",
    "dictionary<values=string, indices=int32, ordered=0>": "VARCHAR",
}
_RUN_FIELDS: Final = {
    "name": "VARCHAR",
    "group": "VARCHAR",
    "project": "VARCHAR",
    "state": "VARCHAR",
    "config": "JSON",
    "summary": "JSON",
    "tags": "VARCHAR[]",
    "notes": "VARCHAR",
    "started": "TIMESTAMPTZ",
    "updated": "TIMESTAMPTZ",
    "finished": "TIMESTAMPTZ",
}
_EXPLAIN: Final = re.compile(r"\s*EXPLAIN(\s+ANALYZE)?\s+(?=\w)", re.IGNORECASE)
#: where one of these words is, a query may ask for tables that it does not name
_CATALOG: Final = re.compile(r"\bshow\b|\btables\b|information_schema|duckdb_|sqlite_master|pg_", re.IGNORECASE)


class Database:
    """DuckDB over one moment of a store.

    Parameters
    ----------
    layout : Layout
        The store.
    listing : Listing
        The live parts that the views are made over.
    runs : sequence of RunInfo
        The runs, for their names.
    locked : bool
        Whether to forbid everything but reading the listed files.
    """

    def __init__(self, layout: Layout, listing: Listing, runs: Sequence[RunInfo], *, locked: bool) -> None:
        self._con = duckdb.connect(config={"autoinstall_known_extensions": "false"})
        self._con.execute("SET GLOBAL TimeZone = 'UTC'")
        self._con.execute("SET GLOBAL disable_parquet_prefetching = true")
        for statement in _base_statements(layout, listing, runs):
            self._con.execute(statement)
        self._con.execute("CREATE SCHEMA IF NOT EXISTS tables")
        self._views = table_views(layout.root, listing)
        self.root = layout.root
        if locked:
            self._lock(layout, listing)
        else:
            self._create(self._views)

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The connection itself, for callers who may do anything."""
        return self._con

    def query(self, sql: str, params: Any = None) -> duckdb.DuckDBPyRelation:
        """Return the relation of one SELECT; see :meth:`maskl_storage.Store.sql`."""
        statement = _one_select(sql)
        self._create([view for view in self._views if view.named_in(sql)] if not _CATALOG.search(sql) else self._views)
        try:
            relation = self._con.cursor().sql(statement, params=params) if params else self._con.cursor().sql(statement)
        except duckdb.Error as error:
            raise QueryError(_explain(error)) from error
        if relation is None:
            raise QueryError("the query returns no rows: one SELECT is needed")
        return relation

    def _create(self, views: Iterable[TableView]) -> None:
        for view in list(views):
            if view in self._views:
                for statement in view.statements(self._taken()):
                    self._con.cursor().execute(statement)
                view.warn()
                self._views.remove(view)

    def _taken(self) -> set[str]:
        rows = self._con.cursor().execute("SELECT view_name FROM duckdb_views() WHERE schema_name = 'main'").fetchall()
        return {str(name).casefold() for (name,) in rows}

    def _lock(self, layout: Layout, listing: Listing) -> None:
        paths = [str(layout.root / sealed.part.path) for sealed in listing.parts]
        paths += [str(layout.root / path) for path in layout.writer_files()]
        self._con.execute(f"SET allowed_paths = {_list(paths)}")
        self._con.execute("SET enable_external_access = false")
        self._con.execute("SET lock_configuration = true")


def setup_sql(layout: Layout, listing: Listing, runs: Sequence[RunInfo]) -> str:
    """Return the SQL that makes the store's views and macros in any DuckDB connection."""
    statements = [*_base_statements(layout, listing, runs), "CREATE SCHEMA IF NOT EXISTS tables"]
    taken = {"runs", "history", "classes", "images", "class_pixels", "class_totals", "confusion", "confusion_totals"}
    for view in table_views(layout.root, listing):
        statements += view.statements(taken)
        taken.add(view.name.casefold())
    return "\n".join(f"{statement};" for statement in statements) + "\n"


def _one_select(sql: str) -> str:
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


def _statement_kinds(sql: str) -> list[str]:
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise QueryError(_explain(error)) from error
    return [str(statement.type).rpartition(".")[2] for statement in statements]


def _explain(error: duckdb.Error) -> str:
    message = str(error)
    if isinstance(error, duckdb.PermissionException) or "must be at the top level" in message:
        return (
            f"{message}\nOnly reading this store is allowed here; store.connect() returns a connection without limits."
        )
    return message.replace("SELECT * FROM (\n", "")


def _base_statements(layout: Layout, listing: Listing, runs: Sequence[RunInfo]) -> list[str]:
    sources = {kind: _source(layout, listing, kind) for kind in FIXED}
    names = {run.run_id: run.name for run in runs}
    pairs = ", ".join(f"{quote_text(key)}: {quote_text(name)}" for key, name in names.items())
    sources["run_names"] = f"MAP {{{pairs}}}" if pairs else "CAST(MAP {} AS MAP(VARCHAR, VARCHAR))"
    sources["runs"] = _runs_source(layout, set(names))
    rows = [str(layout.root / sealed.part.path) for sealed in listing.of("rows")]
    empty = "(SELECT NULL::VARCHAR AS file_name, NULL::BLOB AS key, NULL::BLOB AS value WHERE false)"
    sources["metadata"] = f"parquet_kv_metadata({_list(rows)})" if rows else empty
    scripts = files("maskl_storage") / "sql"
    views, macros = (
        [part.strip() for part in re.split(r";\s*\n", (scripts / name).read_text("utf-8")) if part.strip()]
        for name in ("views.sql", "macros.sql")
    )
    return [Template(view).substitute(sources) for view in views] + macros


def _source(layout: Layout, listing: Listing, kind: str) -> str:
    paths = [str(layout.root / sealed.part.path) for sealed in listing.of(kind)]
    extra = ", filename = '_maskl_file', file_row_number = true" if kind == "images" else ""
    hive = _HIVE if kind in TABLE_KINDS else {"run_id": "VARCHAR"}
    if paths:
        return f"read_parquet({_list(paths)}, hive_partitioning = true, hive_types = {_struct(hive)}{extra})"
    fields = {field.name: _SQL_TYPES[str(field.type)] for field in FIXED[kind]} | hive
    if extra:
        fields |= {"_maskl_file": "VARCHAR", "file_row_number": "BIGINT"}
    return _nothing(fields)


def _runs_source(layout: Layout, run_ids: Collection[str]) -> str:
    paths = [str(layout.root / path) for path in layout.writer_files() if run_of(path) in run_ids]
    if not paths:
        return _nothing({"run_id": "VARCHAR"} | _RUN_FIELDS)
    return (
        f"read_json({_list(paths)}, format = 'auto', columns = {_struct(_RUN_FIELDS)}, "
        f"hive_partitioning = true, hive_types = {_struct({'run_id': 'VARCHAR'})})"
    )


def _nothing(fields: Mapping[str, str]) -> str:
    columns = ", ".join(f"NULL::{kind} AS {quote_name(name)}" for name, kind in fields.items())
    return f"(SELECT {columns} WHERE false)"


def _list(paths: Iterable[str]) -> str:
    return "[" + ", ".join(quote_text(path) for path in paths) + "]"


def _struct(fields: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{quote_text(name)}: {quote_text(kind)}" for name, kind in fields.items()) + "}"
