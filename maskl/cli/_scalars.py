"""The commands about what runs were configured with, and what was logged to them as numbers and strings."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

import typer

import maskl
from maskl.cli._options import Csv, Directory, Json, Project, output_form
from maskl_storage.errors import NotFound
from maskl_storage.format.visible import visible

__all__ = ["config", "history"]

RunName = Annotated[str, typer.Argument(help="A run: its id, its name or the beginning of its id.", show_default=False)]
#: how many points a curve has for each of its columns in a terminal; see charts.curve()
POINTS: Final = 2
#: the columns of a small curve beside its name
SMALL: Final = 24
#: the most that an error names
NAMED: Final = 20
#: where an item is
SIDES: Final = ("a", "b")

#: of each stretch of steps of each name, its extremes; steps at which nothing can be drawn count too
STRETCHES: Final = """
    WITH known AS (SELECT key, _step, value FROM history WHERE run_id = $run AND list_contains($keys, key)),
    span AS (SELECT key, min(_step) AS lo, max(_step) AS hi FROM known GROUP BY key)
    SELECT key, CASE WHEN hi = lo THEN 0 ELSE ((_step - lo)::DOUBLE / (hi - lo) * ($points - 1))::BIGINT END AS place,
           min(value), max(value)
    FROM known JOIN span USING (key) WHERE isfinite(value) GROUP BY key, place ORDER BY key, place
"""
#: of each name, what it comes to
NAMES: Final = """
    SELECT key, count(*) AS logged, min(_step) AS first_step, max(_step) AS last_step,
           min(value) FILTER (isfinite(value)) AS "min", max(value) FILTER (isfinite(value)) AS "max",
           arg_max({'value': value, 'text': text}, {'step': _step, 'row': _row}) AS last,
           count(*) FILTER (isfinite(value)) AS drawn
    FROM history WHERE run_id = $run GROUP BY key ORDER BY min(_row), key
"""


def config(
    run_a: RunName,
    run_b: RunName,
    everything: Annotated[bool, typer.Option("--all", help="List what is the same too.")] = False,
    directory: Directory = None,
    project: Project = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Show how the configs of two runs differ; items of items have their keys joined with a slash."""
    from maskl.cli import _output as output
    from maskl.cli import _reports as reports

    form = output_form(as_json, as_csv)
    store = maskl.open(directory, project)
    first, second = (dict(_items(store.run(run).config)) for run in (run_a, run_b))
    rows = []
    for path in dict.fromkeys([*first, *second]):
        found = "same" if path in first and path in second and _same(first[path], second[path]) else "changed"
        found = "only_a" if path not in second else "only_b" if path not in first else found
        if everything or found != "same":
            rows.append(("/".join(path), first.get(path), second.get(path), found))
    if form != "table":
        output.print_result(output.Result(("key", *SIDES, "change"), rows), form)
    elif rows:
        # None is a value, and where there is none the cell is empty
        shown = [
            (key, *(None if change == f"only_{other}" else _text(value) for value, other in ((a, "b"), (b, "a"))))
            for key, a, b, change in rows
        ]
        output.print_result(output.Result(("key", *reports.labels(store, (run_a, run_b))), shown))
    else:
        sys.stdout.write(f"no difference: both runs have the same {len(first)} items\n")


def history(
    run: RunName,
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY]...", help="Names that were logged: draw each as a curve.")
    ] = None,
    directory: Directory = None,
    project: Project = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Draw what was logged to a run as numbers, or list it; JSON and CSV hold every value."""
    from maskl.cli import _output as output

    form = output_form(as_json, as_csv)
    store = maskl.open(directory, project)
    found = store.run(run)
    names = output.fetch(store.sql(NAMES, {"run": found.id}))
    known = [row[0] for row in names.rows]
    wanted = list(dict.fromkeys(keys or known))
    missing = [key for key in wanted if key not in known]
    if missing or not known:
        listed = ", ".join(map(repr, known[:NAMED])) or "none"
        more = f" and {len(known) - NAMED} more" if len(known) > NAMED else ""
        raise NotFound(f"run {found.id!r} has no {', '.join(map(repr, missing)) or 'values'} in its history: "
                       f"what was logged to it are {listed}{more}")  # fmt: skip
    if form != "table":
        query = """
            SELECT run_id, _step, _timestamp, key, value, text FROM history
            WHERE run_id = $run AND list_contains($keys, key) ORDER BY _row, key
        """
        output.print_result(output.fetch(store.sql(query, {"run": found.id, "keys": wanted})), form)
        return
    from maskl.cli import _charts as charts

    points = POINTS * charts.curve_width() if keys else SMALL
    stretches: dict[str, list[tuple[int, float, float]]] = {key: [] for key in wanted}
    parameters = {"run": found.id, "keys": wanted, "points": points}
    for key, *stretch in store.sql(STRETCHES, parameters).fetchall():
        stretches[key].append((stretch[0], stretch[1], stretch[2]))
    facts = [dict(zip(names.columns, row, strict=True)) for row in names.rows if row[0] in stretches]
    if keys:
        facts.sort(key=lambda row: wanted.index(row["key"]))
        charts.print_curves(visible(found.name), facts, stretches)
    else:
        charts.print_names(facts, stretches, points)


def _items(config: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the items of a config, those of dicts in it one by one."""
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _items(value, (*above, key))
        else:
            yield (*above, key), value


def _same(a: Any, b: Any) -> bool:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (a, b))
    return bool(a == b) if numbers else json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


def _text(value: Any) -> str:
    """Return a value as JSON has it, but a string as it is."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
