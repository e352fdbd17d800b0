"""The SQL text of a store's views and macros; ``sql/*.sql`` has the words, this fills in what differs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.resources import files
from string import Template
from typing import Final

from maskl_storage.catalog.layout import Layout
from maskl_storage.catalog.listing import Listing, Sealed
from maskl_storage.catalog.runs import RunInfo
from maskl_storage.disk.hashes import check_hashes, checks_hashes
from maskl_storage.errors import CorruptData, InvalidType
from maskl_storage.format.document import dump_json, has_left_out
from maskl_storage.format.paths import KINDS, TABLE_KINDS
from maskl_storage.format.schemas import FIXED
from maskl_storage.format.union_names import masks_of
from maskl_storage.query._allowed import RESAMPLES
from maskl_storage.query.resampling import PRIME, poisson_case
from maskl_storage.query.table_views import IMAGE_KIND, RUN_NAME, quote_name, quote_text, row_keys, table_views

__all__ = [
    "BY_RUN",
    "HELD_FROM",
    "HELD_NAMES",
    "HELD_SCHEMA",
    "VIEWS",
    "Definition",
    "check_class_map",
    "definitions",
    "held_table",
    "in_one_form",
    "needed",
    "read_files",
    "setup_sql",
    "source",
]

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
    "pixel_scores",
    "artifacts",
    "artifact_files",
    "run_files",
)

#: parts with blobs, whose hashes no query checks
UNCHECKED: Final = ("images", "rows")
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
    "list<element: string>": "VARCHAR[]",
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
#: what computes the scores of older parts, and from which computed scores
OLDER: Final = {"older_scores": "computed_scores", "older_class_scores": "computed_class_scores"}
#: parts that may leave pairs of masks out, and their kind
PAIRED: Final = {"paired_class_pixels": "class_pixels", "paired_scores": "scores"}
#: the columns of scores that are no part of their key
_VALUES: Final = ("version", "value")
#: the column of the history that not every part of it has
_FORM: Final = ("form", "string")
_DEFINES: Final = re.compile(r"CREATE OR REPLACE (?:MACRO|VIEW) (?:\$\{schema\})?(\w+)")
#: what a row says of an image, beside its bytes
_IMAGE_FIELDS: Final = ("digest", "format", "mode", "width", "height")
#: how many names a message has
TOLD: Final = 30
#: runs from which on DuckDB takes longer to look at a constant with their names than to look a name up in a table
HELD_FROM: Final = 64
#: where a connection has their names
HELD_SCHEMA: Final = "maskl_held"
HELD_NAMES: Final = f"{HELD_SCHEMA}.run_names"
#: the word that asks for what DuckDB leaves files out by: it does so where what is asked of a file's run is made of
#: constants, and of nothing that it would have to read
BY_RUN: Final = "maskl_by_run"
_HELD_NAME: Final = (
    f"CREATE OR REPLACE MACRO {RUN_NAME}(id) AS coalesce(map_extract((SELECT names FROM {HELD_NAMES}), id)[1], id)"
)
#: from this version on, every row's scores stand beside it
_SCORED: Final = (1, 1)


@dataclass(frozen=True, eq=False)
class Definition:
    """A view or macro that every store has; its text may name every file of the store, so it is made when asked for.

    Parameters
    ----------
    name : str
        What it is called, without its schema; empty for what must be there before all others.
    words : frozenset of str
        The words of its text, in lower case: among them are the names of those that it builds upon.
    kinds : frozenset of str
        The kinds of parts that it reads.
    make : callable
        Returns its statement.
    stub : callable, optional
        Returns the same over no files. What is built upon it is made quickly while it stands, and is the same later.
    asked_by : frozenset of str
        Words one of which a query has that needs it, where others do with what bears its name before it.
    held : frozenset of str
        The kinds of parts whose rows it reads from tables of the connection: see :func:`held_table`.
    instead : frozenset of str
        The kinds that it reads from files, where what bears its name before it reads tables.
    """

    name: str
    words: frozenset[str]
    kinds: frozenset[str]
    make: Callable[[], str]
    stub: Callable[[], str] | None = None
    asked_by: frozenset[str] = frozenset()
    held: frozenset[str] = frozenset()
    instead: frozenset[str] = frozenset()

    @classmethod
    def of(cls, text: str, asked_by: str | None = None) -> Definition:
        """Return what a whole statement defines; its own name asks for it too."""
        name = _defined(text)
        asking = frozenset[str]() if asked_by is None else frozenset({asked_by, name})
        return cls(name, _words(text), frozenset(), lambda: text, asked_by=asking)


def definitions(
    layout: Layout,
    listing: Listing,
    runs: Sequence[RunInfo],
    class_map: Mapping[str, str] | None = None,
    *,
    narrowed: bool = False,
    held_names: bool = False,
    held: Collection[str] = (),
) -> list[Definition]:
    """Return the views that every store has, and the macros, each behind what it builds upon.

    ``class_map`` gives classes other names; classes of one name become one in all of them. Where the listing is
    ``narrowed`` to some runs, their images may stand in parts of others: those have no bytes. ``held_names`` says that
    the table ``HELD_NAMES`` has a map of the runs' names, and ``held`` names kinds of parts whose rows are in tables
    of the connection.
    """
    views = _script("views.sql")
    schema = "stored." if class_map else ""
    sources = _sources(layout, listing, runs, views, schema)
    in_tables = _sources(layout, listing, runs, views, schema)
    in_tables.update({kind: held_table(kind) for kind in held})
    sources["other_images"] = _other_images(layout, listing) if narrowed else ""
    nothing = _sources(layout, Listing((), ()), (), views, schema)
    found = [Definition.of(text) for text in _script("formulas.sql")]
    if class_map:
        found.append(Definition("", frozenset(), frozenset(), lambda: "CREATE SCHEMA IF NOT EXISTS stored"))
    for view in views:
        definition = _view(view, sources, nothing)
        if held_names and definition.name == RUN_NAME:
            found.append(Definition.of(_HELD_NAME))
            definition = replace(definition, asked_by=frozenset({BY_RUN}))
        elif not definition.kinds.isdisjoint(held):
            found.append(_view(view, in_tables, nothing, held))
            definition = replace(definition, instead=definition.kinds.intersection(held))
        found.append(definition)
    if class_map:
        relations = {"masks": "class_pixels", "pairs": "confusion", "sizes": "stored.scores"}
        relations["class_scores"] = "class_scores"
        fills = {"class_map": _map(class_map)} | _computed(relations)
        found += [Definition.of(Template(view).substitute(fills)) for view in _script("class_map.sql")]
    left_out = any(has_left_out(part.version) for kind in PAIRED.values() for part in listing.of(kind))
    macros = _script("macros.sql", {"uncounted": _text("uncounted.sql") if left_out else ""})
    macros += [row_keys([]), *_script("row_macros.sql"), *_script("scored.sql"), *_script("no_intervals.sql")]
    found += [Definition.of(text) for text in macros]
    found += [Definition.of(text, asked_by=RESAMPLES) for text in (*_resampling(), *_script("intervals.sql"))]
    return found + [Definition.of(text) for text in _script("comparisons.sql")]


def held_table(kind: str) -> str:
    """Return the name of the table of a connection that has the rows of all parts of a kind."""
    return f"{HELD_SCHEMA}.{kind}"


def needed(among: Sequence[Definition], text: str) -> list[Definition]:
    """Return the definitions that a text may name, and all that they build upon, in order.

    What is named in vain costs time; what is left out is an error.
    """
    by_name: dict[str, list[Definition]] = {}
    asked = _words(text)
    for definition in among:
        if not definition.asked_by or not definition.asked_by.isdisjoint(asked):
            by_name.setdefault(definition.name, []).append(definition)
    waiting, found = ["", *asked], set()
    while waiting:
        for definition in by_name.pop(waiting.pop(), ()):
            found.add(definition)
            waiting += definition.words
    return [definition for definition in among if definition in found]


def in_one_form(among: Iterable[Definition], as_files: Collection[str]) -> list[Definition]:
    """Return the definitions without those that read tables where files are to be read, or files where tables are."""
    return [
        definition
        for definition in among
        if definition.held.isdisjoint(as_files) and not definition.instead.difference(as_files)
    ]


def setup_sql(
    layout: Layout, listing: Listing, runs: Sequence[RunInfo], class_map: Mapping[str, str] | None = None
) -> str:
    """Return the SQL that makes the store's views and macros in any DuckDB connection."""
    read_files(layout, listing, KINDS, check=False)
    statements = [definition.make() for definition in definitions(layout, listing, runs, class_map)]
    statements.append("CREATE SCHEMA IF NOT EXISTS tables")
    views = table_views(layout.files, listing)
    taken = set(VIEWS)
    for view in views:
        statements += view.statements(taken)
        taken.add(view.name.casefold())
    statements.append(row_keys(views))
    return "\n".join(f"{statement};" for statement in statements) + "\n"


def read_files(layout: Layout, listing: Listing, kinds: Collection[str], *, check: bool = True) -> list[str]:
    """Return the paths of what the views of some kinds read, each checked.

    The parts that hold statistics and what was logged beside tables are read against their hashes, unless that is
    turned off. Those that hold blobs are as large as the data, and not computed from: they are left to ``verify``.

    Raises
    ------
    CorruptData
        One of them is no regular file, or is reached through a link, so that DuckDB, which opens by path, would be
        led to something else than the files of the store; or it is not what was sealed.
    """
    parts = [sealed.part for kind in KINDS if kind in kinds for sealed in listing.of(kind)]
    stats: dict[str, os.stat_result] = {}
    refused = layout.files.refused([part.path for part in parts], stats)
    if refused:
        more = f" (and {len(refused) - 1} more files)" if len(refused) > 1 else ""
        raise CorruptData(f"{layout.root}: {min(refused.values())}{more}")
    if check and checks_hashes():
        check_hashes(layout.files, [part for part in parts if part.kind not in UNCHECKED], stats)
    return [f"{layout.root}/{part.path}" for part in parts]


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


def _text(name: str) -> str:
    return (files("maskl_storage.query") / "sql" / name).read_text("utf-8")


def _script(name: str, fills: Mapping[str, object] | None = None) -> list[str]:
    text = _text(name) if fills is None else Template(_text(name)).substitute(fills)
    return [part.strip() for part in re.split(r";\s*\n", text) if part.strip()]


def _resampling() -> list[str]:
    """Return the macros of the bootstrap, which differ in the rows that they are over."""
    fills: dict[str, object] = {"prime": PRIME, "poisson": poisson_case("h")}
    units = {
        "resampled_pair": "maskl_paired_units(t, run_a, run_b, truth, prediction, step, key)",
        "resampled_runs": "maskl_single_units(t, truth, prediction, step)",
    }
    for name, relation in units.items():
        (fills[name],) = _script("resampled.sql", fills | {"units": relation})
    return _script("resampling.sql", fills)


def _filled(name: str, relations: Mapping[str, str]) -> str:
    (text,) = _script(name, relations)
    return text


def _computed(relations: Mapping[str, str]) -> dict[str, str]:
    names = ("computed_class_scores", "computed_scores")
    return {name: _filled(f"{name}.sql", relations) for name in names}


class _Sources(dict[str, str]):
    """What the words with a dollar stand for, each made when it is first asked for."""

    def __init__(self, makers: Mapping[str, Callable[[], str]]) -> None:
        super().__init__()
        self._makers = makers

    def __missing__(self, name: str) -> str:
        made = self[name] = self._makers[name]()
        return made


def _sources(layout: Layout, listing: Listing, runs: Sequence[RunInfo], views: Sequence[str], schema: str) -> _Sources:
    names = {run.run_id: run.name for run in runs}
    makers: dict[str, Callable[[], str]] = {
        kind: partial(lambda kind: source(layout, listing.of(kind), kind), kind) for kind in FIXED
    }
    return _Sources(
        makers
        | {
            "history": lambda: _history_source(layout, listing.of("history")),
            "pixel_scores": lambda: _latest_scores(layout, listing.of("pixel_scores")),
            "run_names": lambda: _map(names),
            "names": lambda: _names_source(listing),
            "tables": lambda: quote_text(_told(_names(listing.of("rows")))),
            "masks_of_tables": lambda: _mask_texts(listing),
            "runs": lambda: _runs_source(runs),
            "metadata": lambda: _metadata_source(layout, listing.of("rows")),
            "schema": lambda: schema,
            "other_images": str,
        }
        | {name: partial(_older, layout, listing, views, name) for name in OLDER}
        | {name: partial(_paired, layout, listing, kind) for name, kind in PAIRED.items()}
    )


def _view(template: str, sources: _Sources, nothing: _Sources, held: Collection[str] = ()) -> Definition:
    """Return a view of every store whose text is filled in when it is asked for."""
    fills = set(re.findall(r"\$\{?(\w+)", template))
    kinds = (fills & FIXED.keys()) | ({"rows"} if "metadata" in fills else set())
    kinds |= {"rows"} if "other_images" in fills and sources["other_images"] else set()
    kinds |= {PAIRED[name] for name in fills & PAIRED.keys() if "read_parquet" in sources[name]}
    words = _words(template)
    if any(sources[name] for name in fills & OLDER.keys()):
        kinds |= {"class_pixels", "confusion"}
        words |= frozenset[str]().union(*(_words(sources[name]) for name in fills & OLDER.keys()))
    return Definition(
        name=_defined(template),
        words=words,
        kinds=frozenset(kinds.difference(held)),
        held=frozenset(fills.intersection(held)),
        make=lambda: Template(template).substitute(sources),
        stub=lambda: Template(template).substitute(nothing),
    )


def _defined(text: str) -> str:
    """Return the name of what a statement of this package's own defines."""
    (name,) = _DEFINES.findall(text)
    return str(name).casefold()


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", re.sub(r"--[^\n]*", "", text).casefold()))


def _older(layout: Layout, listing: Listing, views: Sequence[str], name: str) -> str:
    """Return what computes one of the scores of parts that were written before scores were."""

    def older(kind: str) -> list[Sealed]:
        return [part for part in listing.of(kind) if tuple(map(int, part.version.split(".")[:2])) < _SCORED]

    if not older("class_pixels"):
        return ""
    relations = {}
    for relation, kind in (("masks", "class_pixels"), ("pairs", "confusion")):
        (view,) = (view for view in views if f"VIEW ${{schema}}{kind} AS" in view)
        select = view.split(f"{kind} AS\n", 1)[1]
        relations[relation] = f"({Template(select).substitute({kind: source(layout, older(kind), kind)})})"
    relations["sizes"] = f"({_filled('older_sizes.sql', relations)})"
    relations["class_scores"] = f"({_filled('computed_class_scores.sql', relations)})"
    return f"UNION ALL\n({_computed(relations)[OLDER[name]]})"


def _paired(layout: Layout, listing: Listing, kind: str) -> str:
    return source(layout, [part for part in listing.of(kind) if has_left_out(part.version)], kind)


def _other_images(layout: Layout, listing: Listing) -> str:
    """Return what the rows of some runs say of images whose bytes stand in parts of other runs."""
    groups: dict[tuple[tuple[str, str], ...], list[Sealed]] = {}
    for sealed in listing.of("rows"):
        groups.setdefault(sealed.part.columns, []).append(sealed)
    selects = []
    for columns, parts in groups.items():
        relation = source(layout, parts, "rows")
        for name, kind in columns:
            if kind.startswith(IMAGE_KIND):
                fields = ", ".join(f"{quote_name(name)}.{field} AS {field}" for field in _IMAGE_FIELDS)
                selects.append(f"SELECT {fields} FROM {relation}")
    if not selects:
        return ""
    values = ", ".join(f"any_value({field})" for field in _IMAGE_FIELDS[1:])
    return (
        f"UNION ALL\nSELECT digest, {values}, NULL::BLOB FROM ({' UNION ALL '.join(selects)})\n"
        f"WHERE digest NOT IN (SELECT digest FROM {source(layout, listing.of('images'), 'images')})\nGROUP BY digest"
    )


def _metadata_source(layout: Layout, parts: Iterable[Sealed]) -> str:
    paths = [f"{layout.root}/{sealed.part.path}" for sealed in parts]
    empty = "(SELECT NULL::VARCHAR AS file_name, NULL::BLOB AS key, NULL::BLOB AS value WHERE false)"
    return f"parquet_kv_metadata({_list(paths)})" if paths else empty


def source(layout: Layout, parts: Iterable[Sealed], kind: str) -> str:
    """Return the relation of the rows of some parts of a kind."""
    paths = [f"{layout.root}/{sealed.part.path}" for sealed in parts]
    extra = ", filename = '_maskl_file', file_row_number = true" if kind == "images" else ""
    hive = _HIVE if kind in TABLE_KINDS else {"run_id": "VARCHAR"}
    if paths:
        return f"read_parquet({_list(paths)}, hive_partitioning = true, hive_types = {_struct(hive)}{extra})"
    fields = {field.name: _SQL_TYPES[str(field.type)] for field in FIXED[kind]} | hive
    if extra:
        fields |= {"_maskl_file": "VARCHAR", "file_row_number": "BIGINT"}
    return _nothing(fields)


def _history_source(layout: Layout, parts: Sequence[Sealed]) -> str:
    """Return the history of parts that say of texts whether they are JSON, and of those that do not."""
    formed = [sealed for sealed in parts if _FORM in sealed.part.columns]
    plain = [sealed for sealed in parts if _FORM not in sealed.part.columns]
    columns = ", ".join(quote_name(name) for name in (*FIXED["history"].names, "run_id"))
    selects = [f"SELECT {columns}, form FROM {source(layout, formed, 'history')}"] if formed else []
    if plain or not formed:
        selects.append(f"SELECT {columns}, NULL::VARCHAR AS form FROM {source(layout, plain, 'history')}")
    return f"({' UNION ALL '.join(selects)})"


def _latest_scores(layout: Layout, parts: Sequence[Sealed]) -> str:
    """Return the scores that were computed later: of several with one key the one of the last seal.

    The column ``metric`` has another name from the file on: a macro has a parameter of that name.
    """
    of_table: dict[tuple[str, str | None], list[Sealed]] = {}
    for sealed in parts:
        of_table.setdefault((sealed.run_id, sealed.table), []).append(sealed)
    several = [sealed for some in of_table.values() if len(some) > 1 for sealed in some]
    renamed = ", ".join("metric_name" if name == "metric" else name for name in FIXED["pixel_scores"].names)
    alone = [some[0] for some in of_table.values() if len(some) == 1]
    single = f"{source(layout, alone, 'pixel_scores')} AS found({renamed})"
    if not several:
        return single
    columns = f"{renamed}, {', '.join(_HIVE)}"
    keys = ", ".join(name for name in columns.split(", ") if name not in _VALUES)
    paths = _list(f"{layout.root}/{sealed.part.path}" for sealed in several)
    files = f"read_parquet({paths}, hive_partitioning = true, hive_types = {_struct(_HIVE)}, filename = '_file')"
    latest = (
        f"SELECT {columns} FROM {files} AS found({renamed})\n"
        f"QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY list_position({paths}, _file) DESC) = 1"
    )
    return f"(SELECT {columns} FROM {single} UNION ALL ({latest})) AS found"


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


def _names(parts: Iterable[Sealed]) -> dict[str, list[tuple[str, str]]]:
    """Return the masks of each table, with their image columns, as the names of stored columns have them."""
    kinds: dict[str, set[tuple[tuple[str, str], ...]]] = {}
    for sealed in parts:
        kinds.setdefault(str(sealed.table), set()).add(sealed.part.columns)
    return {
        table: sorted({mask for columns in several for mask in masks_of(columns)})
        for table, several in sorted(kinds.items())
    }


def _names_source(listing: Listing) -> str:
    lists: list[list[str]] = []
    for table, masks in _names((*listing.of("rows"), *listing.elsewhere)).items():
        by_image: dict[str, list[str]] = {}
        for image, key in masks:
            by_image.setdefault(image, []).append(key)
        lists += [[table, *keys] for keys in by_image.values()] or [[table]]
    return f"CAST([{', '.join(map(_list, lists))}] AS VARCHAR[][])"


def _mask_texts(listing: Listing) -> str:
    return _map({table: _told(key for _, key in masks) for table, masks in _names(listing.of("rows")).items()})


def _told(names: Iterable[str]) -> str:
    """Return names for a message, the first of many."""
    known = sorted(set(names))
    more = f" and {len(known) - TOLD} more" if len(known) > TOLD else ""
    return ", ".join(f"'{name}'" for name in known[:TOLD]) + more or "none"


def _list(paths: Iterable[str]) -> str:
    return "[" + ", ".join(quote_text(path) for path in paths) + "]"


def _struct(fields: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{quote_text(name)}: {quote_text(kind)}" for name, kind in fields.items()) + "}"
