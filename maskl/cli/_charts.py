"""Coverage as bars and metrics side by side, for people; see :mod:`maskl.cli._output` for everything else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from rich import box
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from maskl.cli._layout import MISSING, print_content, terminal_width
from maskl.cli._output import Result
from maskl_storage.format.visible import visible

__all__ = ["bar", "print_comparison", "print_coverage", "print_metrics"]

BAR_WIDTH: Final = 40
#: what stands behind the best value of a row
BEST: Final = "*"


def print_coverage(result: Result) -> None:
    """Print rows of ``class_coverage`` as bars, a block for each run, step and image column."""
    rows = [dict(zip(result.columns, row, strict=True)) for row in result.rows]
    several = len({row["image_column"] for row in rows}) > 1
    longest = max((cell_len(_shown(row["class_name"])) for row in rows), default=0)
    width = max(8, min(BAR_WIDTH, (terminal_width() or 80) - longest - 22))
    top = max((row["coverage"] or 0 for row in rows if not row["ignored"]), default=0)
    blocks: list[RenderableType] = []
    for key, group in groupby(rows, lambda row: (row["run_id"], row["_step"], row["image_column"])):
        classes = list(group)
        first, step = classes[0], key[1]
        title = [_shown(first["run_name"]), "all steps" if step is None else f"step {step}"]
        title += [_shown(first["image_column"])] if several else []
        masks = "mask" if first["n_rows"] == 1 else "masks"
        heading = Text(("\n" if blocks else "") + " · ".join([*title, f"{first['n_rows']} {masks}"]), "bold")
        blocks += [heading, _bars(classes, top, width)]
    print_content(Group(*blocks))


def bar(share: float, width: int) -> str:
    """Return a bar of ``width`` characters times ``share``, in eighths; anything above 0 shows.

    Examples
    --------
    >>> bar(0.5, 4), bar(0.001, 4), bar(0, 4)
    ('██', '▏', '')
    """
    eighths: int = round(min(max(share, 0), 1) * width * 8)
    if share > 0:
        eighths = max(eighths, 1)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def print_metrics(rows: Sequence[Mapping[str, Any]], means: Sequence[Mapping[str, Any]], metric: str) -> None:
    """Print one metric of each class, runs side by side, with the best in each row marked.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of ``Store.metrics`` by run, step and class.
    means : sequence of mapping
        The same by run and step: their means stand below the classes.
    metric : str
        The column of ``rows`` to print.
    """
    images = list(dict.fromkeys(row["image_column"] for row in rows))
    runs = list(dict.fromkeys((row["run_id"], row["_step"]) for row in rows))
    headers = _headers(rows, runs)
    blocks: list[RenderableType] = []
    marked = False
    for image in images:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
        table.add_column(Text(metric), overflow="fold")
        for header in headers:
            table.add_column(Text(header), justify="right", overflow="fold")
        mine = [row for row in rows if row["image_column"] == image]
        for name in dict.fromkeys(row["class_name"] for row in mine):
            values = {(row["run_id"], row["_step"]): row[metric] for row in mine if row["class_name"] == name}
            cells, best = _marked([values.get(run) for run in runs])
            marked = marked or best
            table.add_row(Text(_shown(name)), *cells)
        table.add_section()
        below = {(row["run_id"], row["_step"]): row for row in means if row["image_column"] == image}
        for name in ("mean_iou", "mean_dice", "pixel_accuracy"):
            cells, best = _marked([below[run][name] if run in below else None for run in runs])
            table.add_row(Text(name.replace("_", " "), "bold"), *cells)
        if len(images) > 1:
            blocks.append(Text(("\n" if blocks else "") + _shown(image), "bold"))
        blocks.append(table)
    if marked:
        blocks.append(Text(f"{BEST} the best of its row", "dim"))
    print_content(Group(*blocks))


def print_comparison(title: str, result: Result, headings: Sequence[str]) -> None:
    """Print rows whose column ``change`` is drawn: a loss in red, a gain in green, the largest as the longest bar.

    ``headings`` stand above the columns instead of their names.
    """
    place = result.columns.index("change")
    largest = max((abs(row[place]) for row in result.rows if row[place] is not None), default=0)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    numbers = [any(isinstance(row[index], int | float) for row in result.rows) for index in range(len(result.columns))]
    for name, number in zip(headings, numbers, strict=True):
        table.add_column(Text(_shown(name)), justify="right" if number else "left", overflow="fold")
    table.add_column("")
    for row in result.rows:
        change = row[place]
        style = "" if not change else "red" if change < 0 else "green"
        cells = [_value(cell, signed=index == place) for index, cell in enumerate(row)]
        drawn = bar(abs(change) / largest, 12) if change and largest else ""
        table.add_row(*cells, Text(drawn, style))
    print_content(Group(Text(title, "bold"), table))


def _headers(rows: Sequence[Mapping[str, Any]], runs: Sequence[tuple[str, int | None]]) -> list[str]:
    """Return what tells the runs apart: their names, where that is not enough their ids, and their steps."""
    names = {row["run_id"]: row["run_name"] for row in rows}
    unique = len(set(names.values())) == len(names)
    several = len(runs) > len(names)
    return [
        _shown(names[run] if unique else run) + (f" @{step}" if several and step is not None else "")
        for run, step in runs
    ]


def _marked(values: Sequence[float | None]) -> tuple[list[Text], bool]:
    known = [value for value in values if value is not None]
    best = max(known, default=None) if len(known) > 1 and len(values) > 1 and min(known) < max(known) else None
    cells = []
    for value in values:
        is_best = best is not None and value == best
        cell = _value(value)
        cell.append(BEST if is_best else " ")
        if is_best:
            cell.stylize("bold green")
        cells.append(cell)
    return cells, best is not None


def _value(value: Any, *, signed: bool = False) -> Text:
    if value is None:
        return Text(MISSING, "dim")
    if isinstance(value, float):
        return Text(f"{value:+.4f}" if signed else f"{value:.4f}")
    return Text(_shown(value))


def _shown(value: Any) -> str:
    """Return a value as text that steers no terminal; names are missing where a statistic was altered."""
    return MISSING if value is None else visible(str(value))


def _bars(rows: Iterable[dict[str, Any]], top: float, width: int) -> Table:
    grid = Table.grid(padding=(0, 2))
    for justify in ("left", "right", "left", "left"):
        grid.add_column(justify=justify, overflow="fold")
    for row in rows:
        share, ignored = row["coverage"] or 0, row["ignored"]
        percent = "<0.01 %" if 0 < share < 0.00005 else f"{100 * share:.2f} %"
        drawn = bar(share / top if top else 0, width)
        style = "dim" if ignored else ""
        note = "ignored" if ignored else "none" if share == 0 else ""
        grid.add_row(
            Text("  " + _shown(row["class_name"]), style),
            Text(percent, style),
            Text(drawn, style or "cyan"),
            Text(note, style or "bold red"),
        )
    return grid
