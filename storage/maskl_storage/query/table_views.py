"""One view a logged table, as SQL text: parts whose columns differ become one relation."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

from maskl_storage.catalog.listing import Listing, Sealed
from maskl_storage.errors import ConversionWarning, warn
from maskl_storage.format.schemas import columns_of, type_suffix

__all__ = ["TableView", "quote_name", "quote_text", "row_keys", "table_views"]

OWN = ("_row", "_step", "_timestamp")
#: the type of the columns that say which class set a row uses: no user's column has it
NUMBERS = "uint16"
_KEY = re.compile(r"int64|double|string|bool|timestamp")


@dataclass(frozen=True, eq=False)
class TableView:
    """The view of one table.

    Parameters
    ----------
    table : str
        The table's name.
    name : str
        The view's name: the table's, with a number where two differ in case only.
    select : str
        The text of the view's query.
    conflicts : tuple of str
        Columns whose type differs between runs, described.
    images : tuple of str
        The view's columns that hold images.
    keys : tuple of str
        The view's columns whose values can tell rows apart.
    latest : Path, optional
        The part that was sealed last.
    """

    table: str
    name: str
    select: str
    conflicts: tuple[str, ...] = field(default=())
    images: tuple[str, ...] = field(default=())
    keys: tuple[str, ...] = field(default=())
    latest: Path | None = None

    def primary_key(self) -> str | None:
        """Return the column that the table's latest part names as its primary key."""
        if self.latest is None:
            return None
        columns = columns_of(pq.read_schema(self.latest), self.latest.name)
        return next((name for name, column in columns.items() if column.primary_key), None)

    def named_in(self, sql: str) -> bool:
        """Whether a query may mean this table: a false yes costs time, a false no an error."""
        text = sql.casefold()
        return self.name.casefold() in text or self.name.replace('"', '""').casefold() in text

    def statements(self, taken: Iterable[str]) -> list[str]:
        """Return the statements that make the view, in ``main`` too where its name is free there."""
        made = [f"CREATE OR REPLACE VIEW tables.{quote_name(self.name)} AS\n{self.select}"]
        if self.name.casefold() not in set(taken):
            made.append(f"CREATE VIEW {quote_name(self.name)} AS FROM tables.{quote_name(self.name)}")
        return made

    def warn(self) -> None:
        """Warn of columns whose type differs between runs."""
        for conflict in self.conflicts:
            warn(f"table {self.table!r}: {conflict}", ConversionWarning)


def table_views(root: Path, listing: Listing) -> list[TableView]:
    """Return the view of each logged table."""
    parts: dict[str, list[Sealed]] = {}
    for sealed in listing.of("rows"):
        if sealed.table is not None:
            parts.setdefault(sealed.table, []).append(sealed)
    views: list[TableView] = []
    for table in sorted(parts):
        name, number = table, 0
        while any(name.casefold() == view.name.casefold() for view in views):
            number += 1
            name = f"{table}_{number}"
        views.append(_view(root, table, name, parts[table]))
    return views


def _view(root: Path, table: str, name: str, parts: Sequence[Sealed]) -> TableView:
    columns, conflicts = _columns(parts)
    groups: dict[tuple[tuple[str, str], ...], list[Sealed]] = {}
    for sealed in parts:
        groups.setdefault(sealed.part.columns, []).append(sealed)
    selects = [_select(root, columns, dict(signature), members) for signature, members in groups.items()]
    images = tuple(name for name, (_, kind) in columns.items() if kind.startswith("struct<digest"))
    keys = tuple(name for name, (_, kind) in columns.items() if _KEY.match(kind))
    return TableView(table, name, "\nUNION ALL\n".join(selects), conflicts, images, keys, root / parts[-1].part.path)


def row_keys(views: Sequence[TableView]) -> str:
    """Return the statement of the macro that says by what each row of a table is matched with other runs' rows.

    Its parameters' names begin with an underscore, as no column of a user's does. The primary key is
    that of the table's latest part, which is opened for it.
    """
    selects = [_keys(view, image) for view in views for image in view.images]
    nothing = "SELECT NULL::VARCHAR AS run_id, NULL::BIGINT AS _row, '' AS image_column, '' AS row_key WHERE false"
    body = "\nUNION ALL\n".join(selects) or nothing
    return f"CREATE OR REPLACE MACRO maskl_row_keys(_of_table, _by_column) AS TABLE\n{body}"


def _keys(view: TableView, image: str) -> str:
    primary = view.primary_key()
    default = f"coalesce({quote_name(image)}.digest, {quote_name(image)}.path)"
    if primary in view.keys:
        default = f"CAST({quote_name(primary)} AS VARCHAR)"
    cases = [f"WHEN _by_column IS NULL THEN {default}"]
    cases += [
        f"WHEN lower(_by_column) = lower({quote_text(key)}) THEN CAST({quote_name(key)} AS VARCHAR)"
        for key in view.keys
    ]
    problem = f"table '{view.table}' has no column to match rows by that is called '"
    known = "'; there are: " + (", ".join(view.keys) or "none")
    cases.append(f"ELSE error({quote_text(problem)} || _by_column || {quote_text(known)})")
    return (
        f"SELECT run_id, _row, {quote_text(image)} AS image_column, CASE {' '.join(cases)} END AS row_key\n"
        f"FROM tables.{quote_name(view.name)} WHERE _of_table = {quote_text(view.table)}"
    )


def _columns(parts: Sequence[Sealed]) -> tuple[dict[str, tuple[str, str]], tuple[str, ...]]:
    """Return the view's columns as name: (stored name, Arrow type), and what conflicts there are."""
    rows: dict[str, Counter[str]] = {}
    spelled: dict[str, str] = {}
    runs: dict[tuple[str, str], list[str]] = {}
    for sealed in parts:
        for stored, kind in sealed.part.columns:
            if kind == NUMBERS:  # of a part's class sets: another part's are others, and merging parts changes them
                continue
            key = stored.casefold()
            spelled.setdefault(key, stored)
            rows.setdefault(key, Counter())
            if kind != "null":
                rows[key][kind] += sealed.part.rows
                runs.setdefault((key, kind), []).append(sealed.run_id)
    columns: dict[str, tuple[str, str]] = {}
    conflicts = []
    for key, kinds in rows.items():
        stored = spelled[key]
        if stored in OWN:
            continue
        if set(kinds) == {"int64", "double"}:
            columns[stored] = (key, "double")
            continue
        ordered = [kind for kind, _ in kinds.most_common()] or ["null"]
        columns[stored] = (key, ordered[0])
        for kind in ordered[1:]:
            other = f"{stored}__{type_suffix(kind)}"
            while other.casefold() in rows or other in columns:
                other += "_1"
            columns[other] = (key, kind)
            conflicts.append(
                f"column {stored!r} is {ordered[0]} in most rows and {kind} in "
                f"{', '.join(sorted(set(runs[key, kind])))}: those values are in column {other!r}"
            )
    return columns, tuple(conflicts)


def _select(
    root: Path, columns: Mapping[str, tuple[str, str]], stored: Mapping[str, str], parts: Sequence[Sealed]
) -> str:
    here = {name.casefold(): (name, kind) for name, kind in stored.items()}
    fields = ["run_id", "maskl_run_name(run_id) AS run_name", "table_name", *OWN]
    for name, (key, kind) in columns.items():
        mine, my_kind = here.get(key, ("", "null"))
        if mine and my_kind == kind:
            fields.append(f"{quote_name(mine)} AS {quote_name(name)}")
        elif kind == "double" and my_kind == "int64":
            fields.append(f"CAST({quote_name(mine)} AS DOUBLE) AS {quote_name(name)}")
        else:
            fields.append(f"NULL AS {quote_name(name)}")
    paths = ", ".join(quote_text(str(root / sealed.part.path)) for sealed in parts)
    types = "{'run_id': 'VARCHAR', 'table_name': 'VARCHAR'}"
    return f"SELECT {', '.join(fields)}\nFROM read_parquet([{paths}], hive_partitioning = true, hive_types = {types})"


def quote_name(name: str) -> str:
    """Return the name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """Return the text as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"
