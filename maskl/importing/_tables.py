"""A block of rows as a table to log, with what is known of its columns beside their values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from maskl.annotations.classes import Classes
from maskl.interchange.problems import Problems
from maskl.interchange.records import MAX_COLUMNS, WRONG, Block
from maskl.tables.table import Table
from maskl_storage.errors import InvalidValue, MasklError
from maskl_storage.format.metadata import Column
from maskl_storage.format.union import MIXED

__all__ = ["build_table"]


def build_table(block: Block, problems: Problems) -> Table:
    """Return the table of a block's rows; a row that a table refuses is a problem of its file."""
    if len(block.columns) > MAX_COLUMNS:
        raise InvalidValue(f"{block.file}: {len(block.columns):,} columns; tables of up to {MAX_COLUMNS:,} are read")
    table = Table(list(block.columns))
    content = table.content
    content.types = tuple(_begun(name, block.types) for name in block.columns)
    content.rules = tuple(
        replace(rule, families=frozenset(("one", "or another"))) if column.type == "json" else rule
        for rule, column in zip(content.rules, content.types, strict=True)
    )
    for index, row in enumerate(block.rows):
        try:
            table.add_data(*row)
        except WRONG as error:
            problems.bad(block.file, block.number(index), error)
    for name, column in block.types.items():
        if name in table.columns:
            try:
                _finish(table, name, column)
            except MasklError as error:
                problems.bad(block.file, None, error)
    return table


def _begun(name: str, known: Mapping[str, Column]) -> Column:
    """Return the type that a column begins with: what is known, so that values only confirm it."""
    column = known.get(name)
    if column is None or column.kind == "image":
        return Column(column.kind if column is not None else "value", name, None if column is not None else "null")
    if column.type == "json":
        return Column("value", name, "json", MIXED)
    kept = {key: getattr(column, key) for key in ("type", "dtype", "ndim", "shape", "timezone")}
    return Column("value", name, **kept)


def _finish(table: Table, name: str, column: Column) -> None:
    """Give a column its classes and keys."""
    if column.class_sets and column.kind == "value":
        named = [item for item in column.class_sets[0] if item.name is not None]
        table.cast(name, Classes([item.to_json() for item in named]).get_type(), optional=True)
    if column.primary_key and None not in table.get_column(name):
        table.set_pk(name)
    if column.foreign_key is not None:
        table.refer_elsewhere(name, column.foreign_key)
    if column.roles:
        table.give_roles(name, column.roles)
