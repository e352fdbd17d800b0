"""The commands that evaluate models: coverage, metrics, worst and compare."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import typer

import maskl
from maskl import charts, reports, show
from maskl.options import (
    ClassMap,
    Count,
    Csv,
    Directory,
    Force,
    Html,
    Json,
    Predictions,
    Project,
    Runs,
    Step,
    Truth,
    check_step,
    output_form,
)
from maskl.pages import write_page
from maskl_storage.errors import InvalidValue, NotFound

__all__ = ["compare", "coverage", "metrics", "worst"]

TableName = Annotated[str, typer.Argument(help="The logged table.", show_default=False)]
ClassName = Annotated[str | None, typer.Option("--class", help="Score by this one class instead of the mean over all.")]
#: what people see of each answer; programs get all of it
CLASSES_SHOWN: Final = ("image_column", "class_name", "iou_a", "iou_b", "change")
ROWS_SHOWN: Final = ("row_a", "_row", "image_column", "row_key", "caption", "iou_a", "iou_b", "change")
HEADINGS: Final = {"_row": "row_b", "row_key": "key"}
DIGEST: Final = re.compile("[0-9a-f]{64}")


def coverage(
    table: TableName,
    mask: Annotated[str, typer.Option("--mask", help="The key of the masks to count.")] = "ground_truth",
    step: Step = "each",
    class_map: ClassMap = None,
    directory: Directory = None,
    project: Project = None,
    run: Runs = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Show how much of the pixels each class covers, in each run."""
    form = output_form(as_json, as_csv)
    check_step(step)
    store = maskl.open(directory, project, run)
    store.table(table)  # raises an error that names the tables there are
    query = """
        SELECT c.* FROM class_coverage($t, mask := $mask, step := $step) AS c JOIN runs USING (run_id)
        ORDER BY runs.started, c.run_id, c._step, c.image_column, c.ignored, c.coverage DESC, c.class_id
    """
    parameters = {"t": table, "mask": mask, "step": step}
    result = show.fetch(store.sql(query, parameters, class_map=reports.read_class_map(class_map)))
    if not result.rows:
        raise NotFound(store.why_nothing(table, (mask,), step))
    if form == "table":
        charts.print_coverage(result)
    else:
        show.print_result(result, form)


def metrics(
    table: TableName,
    metric: Annotated[
        Literal["iou", "dice", "recall", "precision"], typer.Option("--metric", help="What to print of each class.")
    ] = "iou",
    truth: Truth = "ground_truth",
    prediction: Predictions = "predictions",
    step: Step = "last",
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", help="Leave this class out of the means. Repeatable.")
    ] = None,
    class_map: ClassMap = None,
    directory: Directory = None,
    project: Project = None,
    run: Runs = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Show a metric of each class, runs side by side; JSON and CSV hold every metric by run and class."""
    form = output_form(as_json, as_csv)
    store = maskl.open(directory, project, run)
    asked: dict[str, Any] = {
        "table": table,
        "truth": truth,
        "prediction": prediction,
        "step": check_step(step),
        "exclude": exclude or [],
        "class_map": reports.read_class_map(class_map),
    }
    classes = store.metrics(**asked)
    if form == "table":
        order = {info.run_id: number for number, info in enumerate(store.runs())}
        rows = sorted(classes, key=lambda row: (order[row["run_id"]], row["_step"] or 0))
        charts.print_metrics(rows, list(store.metrics(**asked, by=("run", "step"))), metric)
    else:
        names = tuple(classes.column_names)
        show.print_result(show.Result(names, [tuple(row.values()) for row in classes]), form)


def worst(
    table: TableName,
    count: Count = 20,
    class_name: ClassName = None,
    truth: Truth = "ground_truth",
    prediction: Predictions = "predictions",
    step: Step = "last",
    class_map: ClassMap = None,
    html: Html = None,
    force: Force = False,
    directory: Directory = None,
    project: Project = None,
    run: Runs = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """List the images with the lowest scores, the lowest first."""
    form = output_form(as_json, as_csv)
    store = maskl.open(directory, project, run)
    names = reports.read_class_map(class_map)
    question = reports.Question(table, truth, prediction, check_step(step), class_name, names)
    result = reports.worst(store, question, count)
    if html is not None:
        what = "mean IoU" if class_name is None else f"IoU of {class_name}"
        entries = reports.worst_entries(store, question, result)
        title = f"{table}: the {len(entries)} images with the lowest {what}"
        summary = f"{prediction} against {truth}, step {step}"
        write_page(html, title, summary, entries, class_name=class_name, class_map=names, force=force)
    if form == "table":
        hidden = ("run_id", "table_name") if _told_apart(result) else ("table_name",)
        show.print_result(_shown(result, [name for name in result.columns if name not in hidden]))
    else:
        show.print_result(result, form)


def compare(
    run_a: Annotated[str, typer.Argument(help="The run to compare with.", show_default=False)],
    run_b: Annotated[str, typer.Argument(help="The run that is compared.", show_default=False)],
    table: Annotated[
        str | None, typer.Option("--table", help="The logged table. Default: the only one that both runs have.")
    ] = None,
    count: Count = 20,
    class_name: ClassName = None,
    key: Annotated[
        str | None,
        typer.Option("--key", help="Match rows by this column. Default: the table's primary key, else the image."),
    ] = None,
    truth: Truth = "ground_truth",
    prediction: Predictions = "predictions",
    step: Step = "last",
    class_map: ClassMap = None,
    html: Html = None,
    force: Force = False,
    directory: Directory = None,
    project: Project = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Show which classes and which images changed most from one run to another.

    JSON is one object with the lists "classes" and "rows"; CSV has both, told apart by its first column.
    """
    form = output_form(as_json, as_csv)
    store = maskl.open(directory, project)
    table = _common_table(store, run_a, run_b) if table is None else table
    names = reports.read_class_map(class_map)
    question = reports.Question(table, truth, prediction, check_step(step), class_name, names)
    classes, rows = reports.comparison(store, (run_a, run_b), question, key)
    moved = show.Result(rows.columns, rows.rows[:count])
    if html is not None:
        entries = reports.comparison_entries(store, question, (run_a, run_b), moved)
        title = f"{table}: from {store.run(run_a).name} to {store.run(run_b).name}"
        summary = f"The {len(entries)} images that changed most of {len(rows.rows)} in both runs, step {step}"
        sheets = [reports.sheet("IoU of each class", _shown(classes, CLASSES_SHOWN))]
        write_page(html, title, summary, entries, sheets=sheets, class_name=class_name, class_map=names, force=force)
    if form == "table":
        charts.print_comparison("IoU of each class", _shown(classes, CLASSES_SHOWN))
        what = "mean IoU" if class_name is None else f"IoU of {class_name}"
        heading = f"\n{len(moved.rows)} of {len(rows.rows)} images, those whose {what} changed most first"
        charts.print_comparison(heading, _shown(moved, ROWS_SHOWN))
    else:
        show.print_results({"classes": classes, "rows": moved}, form)


def _common_table(store: maskl.Store, run_a: str, run_b: str) -> str:
    ids = {store.run(run_a).id, store.run(run_b).id}
    tables = [info.name for info in store.tables() if ids <= set(info.runs)]
    if len(tables) != 1:
        known = ", ".join(map(repr, tables)) or "none"
        raise InvalidValue(f"name the table to compare with --table: both runs have {known}")
    return tables[0]


def _told_apart(result: show.Result) -> bool:
    """Whether names tell the runs of a result apart."""
    pairs = {row[:2] for row in result.rows}
    return len(pairs) == len({name for _, name in pairs})


def _shown(result: show.Result, names: Sequence[str]) -> show.Result:
    """Choose columns, without the image column where there is one, keys that are digests, and empty captions."""
    places = {name: index for index, name in enumerate(result.columns)}
    values = {name: {row[places[name]] for row in result.rows} for name in names}
    kept = [name for name in names if not _says_nothing(name, values[name])]
    rows = [tuple(row[places[name]] for name in kept) for row in result.rows]
    return show.Result(tuple(HEADINGS.get(name, name) if "row_a" in names else name for name in kept), rows)


def _says_nothing(name: str, values: set[Any]) -> bool:
    if name == "image_column":
        return len(values) < 2
    if name == "row_key":
        return all(DIGEST.fullmatch(value) for value in values)
    return name == "caption" and values <= {None}
