"""The commands that evaluate models: coverage, metrics, worst and compare."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

import maskl
from maskl.cli._options import (
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
    read_class_map,
)
from maskl_storage.errors import InvalidValue, NotFound
from maskl_storage.format.visible import visible

if TYPE_CHECKING:
    from maskl.cli._output import Result

__all__ = ["compare", "coverage", "metrics", "worst"]

TableName = Annotated[str, typer.Argument(help="The logged table.", show_default=False)]
ClassName = Annotated[str | None, typer.Option("--class", help="Score by this one class instead of the mean over all.")]
#: what people see of each answer; programs get all of it
CLASSES_SHOWN: Final = ("step_a", "step_b", "image_column", "class_name", "iou_a", "iou_b", "change")
INTERVAL_SHOWN: Final = ("change_low", "change_high")
ROWS_SHOWN: Final = ("row_a", "_row", "image_column", "row_key", "caption", "iou_a", "iou_b", "change")
#: what stands on both sides of a comparison, and how people read it
SIDES: Final = {("step_a", "step_b"): "step", ("row_a", "_row"): "row"}
DIGEST: Final = re.compile("[0-9a-f]{64}")
#: the directories of what looks like the path of a file
FILE: Final = re.compile(r"^.*[/\\](?=[^/\\]+\.[A-Za-z0-9]{1,5}$)", re.DOTALL)


def _metric(name: str) -> str:
    """Return the name of a metric that a store has of each class, or say which there are."""
    held = [other for other in maskl.metrics.registered().values() if other.per == "class" and other.needs == "counts"]
    if name not in {other.name for other in held}:
        raise typer.BadParameter(f"{name!r:.60} is not one of {', '.join(repr(other.name) for other in held)}.")
    return name


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
    from maskl.cli import _output as output

    form = output_form(as_json, as_csv)
    check_step(step)
    store = maskl.open(directory, project, run)
    store.table(table)  # raises an error that names the tables there are
    query = """
        SELECT c.* FROM class_coverage($t, mask := $mask, step := $step) AS c JOIN runs USING (run_id)
        ORDER BY runs.started, c.run_id, c._step, c.image_column, c.ignored, c.coverage DESC, c.class_id
    """
    parameters = {"t": table, "mask": mask, "step": step}
    result = output.fetch(store.sql(query, parameters, class_map=read_class_map(class_map)))
    if not result.rows:
        raise NotFound(store.why_nothing(table, (mask,), step))
    if form == "table":
        from maskl.cli import _charts as charts

        charts.print_coverage(result)
    else:
        output.print_result(result, form)


def metrics(
    table: TableName,
    metric: Annotated[
        str,
        typer.Option(
            "--metric",
            callback=_metric,
            help="What to print of each class: iou, dice, recall, precision, or one that was registered.",
        ),
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
    from maskl.cli import _output as output

    form = output_form(as_json, as_csv)
    store = maskl.open(directory, project, run)
    asked: dict[str, Any] = {
        "table": table,
        "truth": truth,
        "prediction": prediction,
        "step": check_step(step),
        "exclude": exclude or [],
        "class_map": read_class_map(class_map),
    }
    classes = store.metrics(**asked)
    if form == "table":
        from maskl.cli import _charts as charts

        order = {info.run_id: number for number, info in enumerate(store.runs())}
        rows = sorted(classes, key=lambda row: (order[row["run_id"]], row["_step"] or 0))
        charts.print_metrics(rows, list(store.metrics(**asked, by=("run", "step"))), metric)
    else:
        names = tuple(classes.column_names)
        output.print_result(output.Result(names, [tuple(row.values()) for row in classes]), form)


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
    from maskl.cli import _output as output
    from maskl.cli import _reports as reports

    form = output_form(as_json, as_csv)
    store = maskl.open(directory, project, run)
    names = read_class_map(class_map)
    question = reports.Question(table, truth, prediction, check_step(step), class_name, names)
    result = reports.worst(store, question, count)
    if html is not None:
        from maskl.cli._pages import write_page

        what = "mean IoU" if class_name is None else f"IoU of {class_name}"
        entries = reports.worst_entries(store, question, result)
        title = f"{table}: the {len(entries)} images with the lowest {what}"
        summary = f"{prediction} against {truth}, step {step}"
        write_page(html, title, summary, entries, class_name=class_name, class_map=names, force=force)
    if form == "table":
        hidden = ("run_id", "table_name") if _told_apart(result) else ("table_name",)
        output.print_result(_shown(result, [name for name in result.columns if name not in hidden]))
    else:
        output.print_result(result, form)


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
        typer.Option(
            "--key",
            help="Match rows by this column. Default: the table's primary key, else its inputs, else the image.",
        ),
    ] = None,
    truth: Truth = "ground_truth",
    prediction: Predictions = "predictions",
    step: Step = "last",
    resamples: Annotated[
        int,
        typer.Option(
            "--resamples", min=0, help="Say between which values a change is with 95 %, by so many resamples: 1000."
        ),
    ] = 0,
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
    from maskl.cli import _output as output
    from maskl.cli import _reports as reports

    form = output_form(as_json, as_csv)
    store = maskl.open(directory, project)
    table = _common_table(store, run_a, run_b) if table is None else table
    names = read_class_map(class_map)
    question = reports.Question(table, truth, prediction, check_step(step), class_name, names)
    classes, rows = reports.comparison(store, (run_a, run_b), question, key, resamples)
    moved = output.Result(rows.columns, rows.rows[:count])
    labels = reports.labels(store, (run_a, run_b))
    shown = (*CLASSES_SHOWN, *INTERVAL_SHOWN) if resamples else CLASSES_SHOWN
    by_class, by_row = _shown(classes, shown), _shown(moved, ROWS_SHOWN)
    if html is not None:
        from maskl.cli._pages import write_page

        entries = reports.comparison_entries(store, question, (run_a, run_b), moved)
        title = f"{table}: from {labels[0]} to {labels[1]}"
        summary = f"The {len(entries)} images that changed most of {len(rows.rows)} in both runs, step {step}"
        sheets = [reports.sheet("IoU of each class", by_class, _headings(by_class, labels))]
        write_page(html, title, summary, entries, sheets=sheets, class_name=class_name, class_map=names, force=force)
    if form == "table":
        from maskl.cli import _charts as charts

        charts.print_comparison("IoU of each class", by_class, _headings(by_class, labels))
        what = "mean IoU" if class_name is None else f"IoU of {visible(class_name)}"
        heading = f"\n{len(moved.rows)} of {len(rows.rows)} images, those whose {what} changed most first"
        if moved.rows:
            charts.print_comparison(heading, by_row, _headings(by_row, labels))
        else:
            sys.stdout.write(
                "\nNo image is in both runs: name with --key a column that tells which rows show the same.\n"
            )
    else:
        output.print_results({"classes": classes, "rows": moved}, form)


def _common_table(store: maskl.Store, run_a: str, run_b: str) -> str:
    ids = {store.run(run_a).id, store.run(run_b).id}
    tables = [info.name for info in store.tables() if ids <= set(info.runs)]
    if len(tables) != 1:
        known = ", ".join(map(repr, tables)) or "none"
        raise InvalidValue(f"name the table to compare with --table: both runs have {known}")
    return tables[0]


def _told_apart(result: Result) -> bool:
    """Whether names tell the runs of a result apart."""
    pairs = {row[:2] for row in result.rows}
    return len(pairs) == len({name for _, name in pairs})


def _shown(result: Result, names: Sequence[str]) -> Result:
    """Choose columns for people: none that says nothing, what both sides share once, of files their names."""
    from maskl.cli._output import Result

    places = {name: index for index, name in enumerate(result.columns)}
    values = {name: [row[places[name]] for row in result.rows] for name in names}
    if "caption" in values:
        values["caption"] = _file_names(values["caption"])
    kept = [name for name in names if not _says_nothing(name, set(values[name]))]
    for first, second in SIDES:
        if first in kept and second in kept and values[first] == values[second]:
            kept.remove(second)
    return Result(tuple(kept), list(zip(*(values[name] for name in kept), strict=True)))


def _headings(result: Result, labels: Sequence[str]) -> list[str]:
    """Return what stands above the columns of a comparison: the runs' names instead of a and b."""
    headings = {"row_key": "key", "iou_a": labels[0], "iou_b": labels[1], "change_low": "from", "change_high": "to"}
    for sides, word in SIDES.items():
        both = set(sides) <= set(result.columns)
        headings |= {side: f"{word} of {label}" if both else word for side, label in zip(sides, labels, strict=True)}
    return [headings.get(name, name) for name in result.columns]


def _file_names(captions: Sequence[str | None]) -> list[str | None]:
    """Leave directories out of captions that are paths of files, unless files of different ones bear one name."""
    short = {caption: FILE.sub("", caption) for caption in captions if caption is not None}
    if len(set(short.values())) < len(short):
        return list(captions)
    return [None if caption is None else short[caption] for caption in captions]


def _says_nothing(name: str, values: set[Any]) -> bool:
    if name in ("image_column", "step_a", "step_b"):
        return len(values) < 2
    if name == "row_key":
        return all(DIGEST.fullmatch(value) for value in values)
    return name == "caption" and values <= {None}
