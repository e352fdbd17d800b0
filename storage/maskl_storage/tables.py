"""One view a logged table, as SQL text: parts whose columns differ become one relation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from maskl_storage.errors import ConversionWarning
from maskl_storage.parts import Listing, Sealed
from maskl_storage.schema import type_suffix
from maskl_storage.warn import warn

__all__ = ["TableView", "quote_name", "quote_text", "table_views"]

_OWN = ("_row", "_step", "_timestamp")


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
    """

    table: str
    name: str
    select: str
    conflicts: tuple[str, ...] = field(default=())

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
    return TableView(table, name, "\nUNION ALL\n".join(selects), conflicts)


def _columns(parts: Sequence[Sealed]) -> tuple[dict[str, tuple[str, str]], tuple[str, ...]]:
    """Return the view's columns as name: (stored name, Arrow type), and what conflicts there are."""
    rows: dict[str, Counter[str]] = {}
    spelled: dict[str, str] = {}
    runs: dict[tuple[str, str], list[str]] = {}
    for sealed in parts:
        for stored, kind in sealed.part.columns:
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
        if stored in _OWN:
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
    fields = ["run_id", "maskl_run_name(run_id) AS run_name", "table_name", *_OWN]
    for name, (key, kind) in columns.items():
        mine, my_kind = here.get(key, ("", "null"))
        if my_kind == kind:
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
