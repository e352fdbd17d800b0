"""One view a logged table, as SQL text: parts whose columns differ become one relation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from maskl_storage.catalog.listing import Listing, Sealed
from maskl_storage.disk.local import Folder
from maskl_storage.disk.parquet import open_part
from maskl_storage.errors import ConversionWarning, NameCaseWarning, warn
from maskl_storage.format.schemas import columns_of
from maskl_storage.format.seals import Part
from maskl_storage.format.union_names import OWN, UnionNames

__all__ = [
    "IMAGE_KIND",
    "RUN_NAME",
    "NamedTable",
    "TableView",
    "named_tables",
    "quote_name",
    "quote_text",
    "row_keys",
    "table_views",
]

#: the role of columns that tell what was evaluated
INPUT: Final = "input"
#: the macro that a table's view names runs by
RUN_NAME: Final = "maskl_run_name"
#: what the types of columns that hold images begin with
IMAGE_KIND: Final = "struct<digest"
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
    others : tuple of str
        Its columns of other values.
    files : Folder, optional
        The store.
    latest : Part, optional
        The part that was sealed last.
    """

    table: str
    name: str
    select: str
    conflicts: tuple[str, ...] = field(default=())
    images: tuple[str, ...] = field(default=())
    keys: tuple[str, ...] = field(default=())
    others: tuple[str, ...] = field(default=())
    files: Folder | None = None
    latest: Part | None = None

    def matching(self) -> tuple[str, ...]:
        """Return the columns that the table's latest part has rows told apart by: its primary key, else its inputs."""
        if self.files is None or self.latest is None:
            return ()
        with open_part(self.files, self.latest) as file:
            columns = columns_of(file.schema_arrow, self.latest.path)
        primary = tuple(name for name, column in columns.items() if column.primary_key and name in self.keys)
        known = {*self.keys, *self.images, *self.others}
        return primary or tuple(name for name, column in columns.items() if INPUT in column.roles and name in known)

    def statements(self, taken: Iterable[str]) -> list[str]:
        """Return the statements that make the view, in ``main`` too where its name is free there."""
        made = [f"CREATE OR REPLACE VIEW tables.{quote_name(self.name)} AS\n{self.select}"]
        if self.name.casefold() not in set(taken):
            made.append(f"CREATE VIEW {quote_name(self.name)} AS FROM tables.{quote_name(self.name)}")
        return made

    def warn(self) -> None:
        """Warn of columns whose type differs between runs, and of a name that another table has in other case."""
        if self.name != self.table:
            warn(
                f"the name of table {self.table!r} differs from another one's in case only, which SQL does not tell "
                f"apart: its view is {quote_name(self.name)}",
                NameCaseWarning,
            )
        for conflict in self.conflicts:
            warn(f"table {self.table!r}: {conflict}", ConversionWarning)


@dataclass(frozen=True, eq=False)
class NamedTable:
    """A logged table, the name of its view, and its parts: what is known of it before its view is made."""

    table: str
    name: str
    parts: Sequence[Sealed]

    def named_in(self, sql: str) -> bool:
        """Whether a query may mean this table: a false yes costs time, a false no an error."""
        text = sql.casefold()
        return self.name.casefold() in text or self.name.replace('"', '""').casefold() in text

    def view(self, files: Folder) -> TableView:
        """Return its view."""
        return _view(files, self.table, self.name, self.parts)


def named_tables(listing: Listing) -> list[NamedTable]:
    """Return each logged table, by name."""
    parts: dict[str, list[Sealed]] = {}
    for sealed in listing.of("rows"):
        if sealed.table is not None:
            parts.setdefault(sealed.table, []).append(sealed)
    found: list[NamedTable] = []
    for table in sorted(parts):
        name, number = table, 0
        while any(name.casefold() == other.name.casefold() for other in found):
            number += 1
            name = f"{table}_{number}"
        found.append(NamedTable(table, name, parts[table]))
    return found


def table_views(files: Folder, listing: Listing) -> list[TableView]:
    """Return the view of each logged table."""
    return [table.view(files) for table in named_tables(listing)]


def _view(files: Folder, table: str, name: str, parts: Sequence[Sealed]) -> TableView:
    names = UnionNames.of((sealed.run_id, sealed.part) for sealed in parts)
    groups: dict[tuple[tuple[str, str], ...], list[Sealed]] = {}
    for sealed in parts:
        groups.setdefault(sealed.part.columns, []).append(sealed)
    selects = [_select(files, names, signature, members) for signature, members in groups.items()]
    images = tuple(name for name, (_, kind) in names.columns.items() if kind.startswith(IMAGE_KIND))
    keys = tuple(name for name, (_, kind) in names.columns.items() if _KEY.match(kind))
    others = tuple(name for name, (_, kind) in names.columns.items() if kind.startswith("list<") or kind == "binary")
    text = "\nUNION ALL\n".join(selects)
    return TableView(table, name, text, names.conflicts, images, keys, others, files, parts[-1].part)


def row_keys(views: Sequence[TableView]) -> str:
    """Return the statement of the macro that says by what each row of a table is matched with other runs' rows.

    Its parameters' names begin with an underscore, as no column of a user's does. The primary key, and which columns
    are inputs, are those of the table's latest part, which is opened for it.
    """
    selects = [_keys(view, image) for view in views for image in view.images]
    nothing = "SELECT NULL::VARCHAR AS run_id, NULL::BIGINT AS _row, '' AS image_column, '' AS row_key WHERE false"
    body = "\nUNION ALL\n".join(selects) or nothing
    return f"CREATE OR REPLACE MACRO maskl_row_keys(_of_table, _by_column) AS TABLE\n{body}"


def _keys(view: TableView, image: str) -> str:
    matching = [_as_text(view, name) for name in view.matching() or (image,)]
    default = matching[0]
    if len(matching) > 1:  # as JSON, so that no two lists of texts are one text
        default = f"CAST(to_json([{', '.join(matching)}]) AS VARCHAR)"
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


def _as_text(view: TableView, name: str) -> str:
    """Return the text by which values of a column are equal or not: of an image what says which it is."""
    column = quote_name(name)
    return f"coalesce({column}.digest, {column}.path)" if name in view.images else f"CAST({column} AS VARCHAR)"


def _select(files: Folder, names: UnionNames, signature: Iterable[tuple[str, str]], parts: Sequence[Sealed]) -> str:
    here: dict[str, str] = {}
    for stored, kind in signature:
        for name in names.of_part(stored, kind):
            if names.columns[name][1] == kind:
                here[name] = quote_name(stored)
            elif kind != "null":  # an integer in a column of floats
                here[name] = f"CAST({quote_name(stored)} AS DOUBLE)"
    fields = ["run_id", f"{RUN_NAME}(run_id) AS run_name", "table_name", *OWN]
    fields += [f"{here.get(name, 'NULL')} AS {quote_name(name)}" for name in names.columns]
    paths = ", ".join(quote_text(f"{files.root}/{sealed.part.path}") for sealed in parts)
    types = "{'run_id': 'VARCHAR', 'table_name': 'VARCHAR'}"
    return f"SELECT {', '.join(fields)}\nFROM read_parquet([{paths}], hive_partitioning = true, hive_types = {types})"


def quote_name(name: str) -> str:
    """Return the name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """Return the text as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"
