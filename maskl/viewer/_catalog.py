"""What there is to look at: projects, runs, tables, their columns, classes and colours, as the page begins with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from maskl.drawing.html import hex_color
from maskl.drawing.overlay import FALSE, MISSED, RGB, STRIPES, WRONG, class_color, named_colors
from maskl.viewer._masks import MAX_PIXELS
from maskl.viewer._session import Moment, Session
from maskl.viewer._sets import kind_of
from maskl_storage.catalog.listing import Sealed
from maskl_storage.errors import MasklError
from maskl_storage.format.metadata import ClassItem, Column, class_name

__all__ = ["class_rows", "describe", "table_colors"]

#: parts of a table that are opened for what their metadata says of columns and classes, the newest runs' first
OPENED: Final = 24


def describe(session: Session, moment: Moment, version: str) -> dict[str, Any]:
    """Return what ``api/state`` answers: totals and seals are read for it, and no rows where masks are counted."""
    steps = _steps(session, moment)
    known = _counted_classes(session)
    tables = [_table(session, moment, name, steps.get(name, {}), known.get(name, {})) for name in moment.parts]
    of_run: dict[str, list[str]] = {}
    for name, parts in moment.parts.items():
        for run_id in dict.fromkeys(sealed.run_id for sealed in parts):
            of_run.setdefault(run_id, []).append(name)
    runs = [
        {
            "run_id": run.run_id,
            "name": run.name,
            "project": run.project,
            "group": run.group,
            "state": run.state,
            "started": run.started,
            "tables": of_run.get(run.run_id, []),
        }
        for run in reversed(moment.runs)
    ]
    missed, false, wrong, *stripes = map(hex_color, (MISSED, FALSE, WRONG, *STRIPES))
    return {
        "version": version,
        "store": session.store.root.name,
        "snapshot": {"id": moment.mark, "taken": moment.taken.isoformat(timespec="seconds")},
        "projects": list(dict.fromkeys(run["project"] or "" for run in runs)),
        "runs": runs,
        "tables": tables,
        "errors": {"missed": missed, "false": false, "wrong": wrong, "stripes": stripes},
        "limits": {"max_pixels": MAX_PIXELS},
    }


def _table(
    session: Session,
    moment: Moment,
    name: str,
    steps: Mapping[str, list[int]],
    counted: Mapping[tuple[str, str], list[ClassItem]],
) -> dict[str, Any]:
    parts = moment.parts_of(name)
    opened = _opened_first(moment, name)
    columns, problem = _columns(moment, name, opened)
    images: dict[str, dict[str, Any]] = {}
    for column, found in columns.items():
        if found.kind == "image":
            images.setdefault(column, {"column": column, "masks": [], "boxes": []})
    sets: dict[str, list[ClassItem]] = {}
    for found in columns.values():
        image = images.get(str(found.image))
        if image is None or found.kind not in ("mask", "boxes") or found.key is None:
            continue
        image["masks" if found.kind == "mask" else "boxes"].append(found.key)
        items = _joined([*found.class_sets, counted.get((str(found.image), found.key), [])])
        sets.setdefault(f"{found.image}/{found.key}", items)
    stored = [item for found in columns.values() for items in found.class_sets for item in items]
    others = [item for items in counted.values() for item in items]
    uncolored = {class_name(item, item.id) for item in others} - {
        class_name(item, item.id) for item in stored if item.color is not None
    }
    stored += _classes_of_others(session, moment, name, opened, uncolored)
    colors = named_colors([*stored, *others])
    moment.colors[name] = colors
    classes = {key: class_rows(items, colors) for key, items in sets.items()}
    values = [
        {"name": column, "type": kind, "kind": kind_of(kind)}
        for column, (_, kind) in moment.names(name).columns.items()
        if column not in columns or columns[column].kind == "value"
    ]
    described = {
        "name": name,
        "mode": "MUTABLE" if any(sealed.generation for sealed in parts) else "",
        "runs": list(dict.fromkeys(sealed.run_id for sealed in reversed(parts))),
        "rows": sum(sealed.part.rows for sealed in parts),
        "steps": steps,
        "images": list(images.values()),
        "columns": values,
        "classes": classes,
    }
    return described if problem is None else {**described, "problem": problem}


def class_rows(items: Iterable[ClassItem], colors: Mapping[str, RGB]) -> list[dict[str, Any]]:
    """Return classes for the page, each with its colour: one that its table has not is coloured by its id."""
    rows = []
    for item in items:
        name = class_name(item, item.id)
        color = hex_color(colors.get(name) or class_color(item.id))
        rows.append({"id": item.id, "name": name, "color": color, "ignored": item.ignore})
    return rows


def table_colors(session: Session, moment: Moment, name: str) -> Mapping[str, RGB]:
    """Return the colours of a table's classes by name, the same for all its rows and runs."""
    found = moment.colors.get(name)
    if found is None:
        _table(session, moment, name, {}, _counted_classes(session).get(name, {}))
        found = moment.colors[name]
    return found


def _joined(sets: Iterable[Iterable[ClassItem]]) -> list[ClassItem]:
    """Return the classes of several sets, by id: of several with one id the first."""
    found: dict[int, ClassItem] = {}
    for items in sets:
        for item in items:
            found.setdefault(item.id, item)
    return [found[number] for number in sorted(found)]


def _newest(moment: Moment, name: str) -> list[Sealed]:
    order = {run.run_id: place for place, run in enumerate(moment.runs)}
    return sorted(moment.parts_of(name), key=lambda sealed: -order.get(sealed.run_id, -1))


def _opened_first(moment: Moment, name: str) -> list[Sealed]:
    """Return a few parts of a table: one of each set of columns, and of the newest runs."""
    newest = _newest(moment, name)
    chosen: list[Sealed] = []
    seen: set[Any] = set()
    for sealed in newest:  # each set of columns once, then the newest runs
        if sealed.part.columns not in seen:
            seen.add(sealed.part.columns)
            chosen.append(sealed)
    for sealed in newest:
        if len(chosen) >= OPENED:
            break
        if sealed not in chosen and sealed.run_id not in {other.run_id for other in chosen}:
            chosen.append(sealed)
    return chosen


def _classes_of_others(
    session: Session, moment: Moment, name: str, opened: Sequence[Sealed], uncolored: set[str]
) -> list[ClassItem]:
    """Return what parts that are not opened yet say of classes: one part of a run for each class without a colour.

    A part is opened for a class that no other one had, or, a few times, for one that others had without a colour.
    """
    runs = {sealed.run_id for sealed in opened}
    others = {sealed.run_id: sealed for sealed in reversed(_newest(moment, name)) if sealed.run_id not in runs}
    if not others or not uncolored:
        return []
    query = (
        "SELECT DISTINCT class_name, run_id FROM class_totals "
        "WHERE table_name = $t AND list_contains($names, class_name)"
    )
    runs_of: dict[str, set[str]] = {}
    for row in _rows(session, query, {"t": name, "names": sorted(uncolored)}):
        runs_of.setdefault(row["class_name"], set()).add(row["run_id"])
    found: list[ClassItem] = []
    seen: set[str] = set()
    again = OPENED
    for run_id in reversed(others):  # the newest first
        wanted = {one for one in uncolored if run_id in runs_of.get(one, ())}
        if not wanted or (wanted <= seen and again <= 0):
            continue
        again -= wanted <= seen
        try:
            columns = moment.store.part_columns(name, [others[run_id]]).union().columns.values()
        except (MasklError, OSError):  # one that is damaged hides no other
            continue
        items = [item for column in columns for one in column.class_sets for item in one]
        found += items
        seen |= wanted
        uncolored = uncolored - {class_name(item, item.id) for item in items if item.color is not None}
    return found


def _columns(moment: Moment, name: str, chosen: Sequence[Sealed]) -> tuple[dict[str, Column], str | None]:
    """Return what is known of a table's columns from some of its parts."""
    found: dict[str, Column] = {}
    problem: str | None = None
    try:
        return dict(moment.store.part_columns(name, chosen).union().columns), None
    except (MasklError, OSError) as error:
        problem = str(error)
    for sealed in chosen:  # one that is damaged hides no other
        try:
            for column, described in moment.store.part_columns(name, [sealed]).union().columns.items():
                found.setdefault(column, described)
        except (MasklError, OSError):
            continue
    return found, problem


def _steps(session: Session, moment: Moment) -> dict[str, dict[str, list[int]]]:
    """Return the first and last step of each run and table: from totals, of tables without masks from their rows."""
    query = "SELECT table_name, run_id, min(_step) AS low, max(_step) AS high FROM class_totals GROUP BY ALL"
    found: dict[str, dict[str, list[int]]] = {}
    for row in _rows(session, query):
        found.setdefault(row["table_name"], {})[row["run_id"]] = [row["low"], row["high"]]
    for name in moment.parts:
        if len(found.get(name, {})) == 0:
            query = f"SELECT run_id, min(_step) AS low, max(_step) AS high FROM {moment.relation(name)} GROUP BY ALL"
            for row in _rows(session, query):
                found.setdefault(name, {})[row["run_id"]] = [row["low"], row["high"]]
    return found


def _counted_classes(session: Session) -> dict[str, dict[tuple[str, str], list[ClassItem]]]:
    """Return the classes that pixels were counted of, by table, image and mask: of runs whose files are not opened."""
    query = (
        "SELECT table_name, image_column, mask_key, class_id, class_name, "
        "bool_and(ignored) AS ignored FROM class_totals WHERE class_id IS NOT NULL GROUP BY ALL ORDER BY class_id"
    )
    found: dict[str, dict[tuple[str, str], list[ClassItem]]] = {}
    for row in _rows(session, query):
        unnamed = row["class_name"] == f"class_{row['class_id']}"
        item = ClassItem(row["class_id"], None if unnamed else row["class_name"], None, bool(row["ignored"]))
        found.setdefault(row["table_name"], {}).setdefault((row["image_column"], row["mask_key"]), []).append(item)
    return found


def _rows(session: Session, query: str, params: Any = None) -> list[dict[str, Any]]:
    """Return the rows of a query; none where a damaged part is in its way, which the table itself says."""
    try:
        rows: list[dict[str, Any]] = session.ask(query, params).to_pylist()
    except (MasklError, OSError):
        return []
    return rows
