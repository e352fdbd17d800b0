"""The SQL text of a store's views and macros; ``sql/*.sql`` has the words, this fills in what differs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from string import Template
from typing import Final

from maskl_storage.catalog.layout import Layout
from maskl_storage.catalog.listing import Listing, Sealed
from maskl_storage.catalog.runs import RunInfo
from maskl_storage.errors import CorruptData, InvalidType
from maskl_storage.format.document import dump_json
from maskl_storage.format.paths import TABLE_KINDS
from maskl_storage.format.schemas import FIXED
from maskl_storage.query.table_views import quote_name, quote_text, row_keys, table_views

__all__ = ["VIEWS", "base_statements", "check_class_map", "setup_sql"]

#: the views that every store has
VIEWS: Final = (
    "runs",
    "history",
    "classes",
    "images",
    "class_pixels",
    "class_totals",
    "confusion",
    "confusion_totals",
    "scores",
    "class_scores",
)

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
#: what is said of a run, as types of DuckDB's
_RUN_FIELDS: Final = {
    "run_id": "VARCHAR",
    "name": "VARCHAR",
    "group": "VARCHAR",
    "project": "VARCHAR",
    "state": "VARCHAR",
    "job_type": "VARCHAR",
    "config": "JSON",
    "summary": "JSON",
    "tags": "VARCHAR[]",
    "notes": "VARCHAR",
    "started": "TIMESTAMPTZ",
    "updated": "TIMESTAMPTZ",
    "finished": "TIMESTAMPTZ",
}
#: from this version on, every row's scores stand beside it
_SCORED: Final = (1, 1)


def base_statements(
    layout: Layout, listing: Listing, runs: Sequence[RunInfo], class_map: Mapping[str, str] | None = None
) -> list[str]:
    """Return the statements that make the views that every store has, and the macros.

    ``class_map`` gives classes other names; classes of one name become one in all of them.
    """
    _check_files(layout, listing)
    sources = {kind: _source(layout, listing.of(kind), kind) for kind in FIXED}
    names = {run.run_id: run.name for run in runs}
    sources["run_names"], sources["runs"] = _map(names), _runs_source(runs)
    rows = [str(layout.root / sealed.part.path) for sealed in listing.of("rows")]
    empty = "(SELECT NULL::VARCHAR AS file_name, NULL::BLOB AS key, NULL::BLOB AS value WHERE false)"
    sources["metadata"] = f"parquet_kv_metadata({_list(rows)})" if rows else empty
    sources["schema"] = "stored." if class_map else ""
    views = _script("views.sql")
    sources |= _older(layout, listing, views)
    statements = [*_script("formulas.sql"), *(["CREATE SCHEMA IF NOT EXISTS stored"] if class_map else [])]
    statements += [Template(view).substitute(sources) for view in views]
    if class_map:
        relations = {"masks": "class_pixels", "pairs": "confusion", "sizes": "stored.scores"}
        relations["class_scores"] = "class_scores"
        fills = {"class_map": _map(class_map)} | _computed(relations)
        statements += [Template(view).substitute(fills) for view in _script("class_map.sql")]
    return [*statements, *_script("macros.sql"), row_keys([]), *_script("row_macros.sql")]


def setup_sql(
    layout: Layout, listing: Listing, runs: Sequence[RunInfo], class_map: Mapping[str, str] | None = None
) -> str:
    """Return the SQL that makes the store's views and macros in any DuckDB connection."""
    statements = [*base_statements(layout, listing, runs, class_map), "CREATE SCHEMA IF NOT EXISTS tables"]
    views = table_views(layout.files, listing)
    taken = set(VIEWS)
    for view in views:
        statements += view.statements(taken)
        taken.add(view.name.casefold())
    statements.append(row_keys(views))
    return "\n".join(f"{statement};" for statement in statements) + "\n"


def _check_files(layout: Layout, listing: Listing) -> None:
    """Raise where DuckDB, which opens by path, would be led to something else than the files of the store.

    Raises
    ------
    CorruptData
        One of them is no regular file, or is reached through a link.
    """
    refused = layout.files.refused(sealed.part.path for sealed in listing.parts)
    if refused:
        more = f" (and {len(refused) - 1} more files)" if len(refused) > 1 else ""
        raise CorruptData(f"{layout.root}: {min(refused.values())}{more}")


def check_class_map(class_map: object) -> dict[str, str]:
    """Return a class map as it was given, or raise what is wrong with it.

    Raises
    ------
    InvalidType
        It is not a dict of class names to names.
    """
    if not isinstance(class_map, Mapping):
        raise InvalidType(
            f"a class map is a dict of class names to the names that they get, such as "
            f'{{"car": "vehicle"}}; got {type(class_map).__name__}'
        )
    for name, new in class_map.items():
        if not (isinstance(name, str) and isinstance(new, str) and name and new):
            raise InvalidType(f"a class map has names of classes on both sides; got {name!r:.40}: {new!r:.40}")
    return dict(class_map)


def _script(name: str) -> list[str]:
    text = (files("maskl_storage.query") / "sql" / name).read_text("utf-8")
    return [part.strip() for part in re.split(r";\s*\n", text) if part.strip()]


def _filled(name: str, relations: Mapping[str, str]) -> str:
    (text,) = _script(name)
    return Template(text).substitute(relations)


def _computed(relations: Mapping[str, str]) -> dict[str, str]:
    names = ("computed_class_scores", "computed_scores")
    return {name: _filled(f"{name}.sql", relations) for name in names}


def _older(layout: Layout, listing: Listing, views: Sequence[str]) -> dict[str, str]:
    """Return what computes the scores of parts that were written before scores were."""

    def older(kind: str) -> list[Sealed]:
        return [part for part in listing.of(kind) if tuple(map(int, part.version.split(".")[:2])) < _SCORED]

    if not older("class_pixels"):
        return {"older_scores": "", "older_class_scores": ""}
    relations = {}
    for relation, kind in (("masks", "class_pixels"), ("pairs", "confusion")):
        (view,) = (view for view in views if f"VIEW ${{schema}}{kind} AS" in view)
        select = view.split(f"{kind} AS\n", 1)[1]
        relations[relation] = f"({Template(select).substitute({kind: _source(layout, older(kind), kind)})})"
    relations["sizes"] = f"({_filled('older_sizes.sql', relations)})"
    relations["class_scores"] = f"({_filled('computed_class_scores.sql', relations)})"
    return {f"older_{name.partition('_')[2]}": f"UNION ALL\n({text})" for name, text in _computed(relations).items()}


def _source(layout: Layout, parts: Iterable[Sealed], kind: str) -> str:
    paths = [str(layout.root / sealed.part.path) for sealed in parts]
    extra = ", filename = '_maskl_file', file_row_number = true" if kind == "images" else ""
    hive = _HIVE if kind in TABLE_KINDS else {"run_id": "VARCHAR"}
    if paths:
        return f"read_parquet({_list(paths)}, hive_partitioning = true, hive_types = {_struct(hive)}{extra})"
    fields = {field.name: _SQL_TYPES[str(field.type)] for field in FIXED[kind]} | hive
    if extra:
        fields |= {"_maskl_file": "VARCHAR", "file_row_number": "BIGINT"}
    return _nothing(fields)


def _runs_source(runs: Sequence[RunInfo]) -> str:
    """Return the runs as they were read, so that whatever a writer's file holds, SQL sees what :class:`Store` does."""
    if not runs:
        return _nothing(_RUN_FIELDS)
    rows = []
    for run in runs:
        row = {name: value for name, value in run.to_json().items() if name in _RUN_FIELDS}
        rows.append(row | {name: dump_json(row[name]) for name, kind in _RUN_FIELDS.items() if kind == "JSON"})
    kinds = {name: ["VARCHAR"] if kind == "VARCHAR[]" else "VARCHAR" for name, kind in _RUN_FIELDS.items()}
    columns = ", ".join(f"{quote_name(name)}::{kind} AS {quote_name(name)}" for name, kind in _RUN_FIELDS.items())
    values = f"from_json({quote_text(json.dumps(rows))}, {quote_text(json.dumps([kinds]))})"
    return f"(SELECT {columns} FROM (SELECT unnest({values}, max_depth := 2)))"


def _nothing(fields: Mapping[str, str]) -> str:
    columns = ", ".join(f"NULL::{kind} AS {quote_name(name)}" for name, kind in fields.items())
    return f"(SELECT {columns} WHERE false)"


def _map(pairs: Mapping[str, str]) -> str:
    entries = ", ".join(f"{quote_text(key)}: {quote_text(value)}" for key, value in pairs.items())
    return f"MAP {{{entries}}}" if entries else "CAST(MAP {} AS MAP(VARCHAR, VARCHAR))"


def _list(paths: Iterable[str]) -> str:
    return "[" + ", ".join(quote_text(path) for path in paths) + "]"


def _struct(fields: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{quote_text(name)}: {quote_text(kind)}" for name, kind in fields.items()) + "}"
