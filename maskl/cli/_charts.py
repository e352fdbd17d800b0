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

__all__ = [
    "bar",
    "curve",
    "curve_width",
    "print_comparison",
    "print_coverage",
    "print_curves",
    "print_metrics",
    "print_names",
    "sparks",
]

#: a stretch of steps: its place, and the lowest and the highest value in it
Stretch = tuple[int, float, float]

BAR_WIDTH: Final = 40
#: lines of a curve
CURVE_HEIGHT: Final = 8
#: the dots of a braille character by column and row, from the top
DOTS: Final = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
#: for the numbers on a curve's left
AXIS: Final = 12
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
    >>> bar(0.5, 4), bar(0.001, 4), bar(0, 4), bar(float("nan"), 4)
    ('██', '▏', '', '')
    """
    if not share > 0:  # NaN, as of a store that is damaged, is not
        return ""
    eighths = max(round(min(share, 1) * width * 8), 1)
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
    signed = [name.startswith("change") for name in result.columns]
    for row in result.rows:
        change = row[place]
        style = "" if not change else "red" if change < 0 else "green"
        cells = [_value(cell, signed=sign) for cell, sign in zip(row, signed, strict=True)]
        drawn = bar(abs(change) / largest, 12) if change and largest else ""
        table.add_row(*cells, Text(drawn, style))
    print_content(Group(Text(title, "bold"), table))


def curve_width() -> int:
    """Return how many characters wide a curve is drawn."""
    return max(20, min(100, (terminal_width() or 80) - AXIS - 2))


def curve(stretches: Sequence[Stretch], width: int, height: int) -> list[str]:
    """Return a curve as lines of braille, from the top: two dots a character across, four down.

    Parameters
    ----------
    stretches : sequence of (int, float, float)
        Places from 0 to ``2 * width - 1``, in order, each with its lowest and its highest value.
    width, height : int
        The size in characters.

    Examples
    --------
    >>> print(*curve([(0, 0.0, 0.0), (1, 1.0, 1.0), (3, 0.0, 0.0)], 2, 1))
    ⣸⢧
    """
    low, high = min(stretch[1] for stretch in stretches), max(stretch[2] for stretch in stretches)
    rows = 4 * height

    def row(value: float) -> int:
        """Return how far from the top a value is; halves, as the difference of two may be infinite."""
        share = (value / 2 - low / 2) / (high / 2 - low / 2) if high > low else 0.5
        return rows - 1 - min(rows - 1, int(share * rows))

    cells = [[0] * width for _ in range(height)]
    before: tuple[int, int, int] | None = None
    for place, lowest, highest in stretches:
        top, bottom = row(highest), row(lowest)
        spans = {place: (top, bottom)}
        if before is not None:
            spans |= _between(before, (place, top, bottom))
        for x, (first, last) in spans.items():
            for y in range(first, last + 1):
                cells[y // 4][x // 2] |= DOTS[x % 2][y % 4]
        before = place, top, bottom
    return ["".join(chr(0x2800 + cell) if cell else " " for cell in line) for line in cells]


def _between(left: tuple[int, int, int], right: tuple[int, int, int]) -> dict[int, tuple[int, int]]:
    """Return the rows, by place, that join two stretches: each a place, its top and its bottom."""
    (x, top, bottom), (end, end_top, end_bottom) = left, right
    begin, finish = (bottom + top) / 2, (end_bottom + end_top) / 2
    spans = {}
    for place in range(x + 1, end + 1):
        levels = [begin + (finish - begin) * (at - x) / (end - x) for at in (place - 1, place)]
        first, last = round(min(levels)), round(max(levels))
        spans[place] = (min(first, end_top), max(last, end_bottom)) if place == end else (first, last)
    return spans


def sparks(stretches: Sequence[Stretch], width: int) -> str:
    """Return a curve as one line of blocks, the middle of each stretch as high as it is.

    Examples
    --------
    >>> sparks([(0, 0.0, 0.0), (2, 2.0, 4.0), (3, 4.0, 4.0)], 4)
    '▁ ▆█'
    """
    if not stretches:
        return ""
    middles = {place: lowest / 2 + highest / 2 for place, lowest, highest in stretches}
    low, high = min(middles.values()), max(middles.values())
    shares = {
        place: (value / 2 - low / 2) / (high / 2 - low / 2) if high > low else 0.5 for place, value in middles.items()
    }
    return "".join("▁▂▃▄▅▆▇█"[round(shares[x] * 7)] if x in shares else " " for x in range(width)).rstrip()


def print_curves(run: str, facts: Sequence[Mapping[str, Any]], stretches: Mapping[str, Sequence[Stretch]]) -> None:
    """Print a curve of each name, with its extremes on the left and its steps below; of strings the last."""
    width = curve_width()
    blocks: list[RenderableType] = []
    for fact in facts:
        heading = [visible(fact["key"]), run, _counted(fact)]
        blocks.append(Text(("\n" if blocks else "") + " · ".join(heading), "bold"))
        drawn = stretches[fact["key"]]
        if not drawn:
            continue
        lines = curve(drawn, width, CURVE_HEIGHT)
        sides = {0: f"{fact['max']:.4g}", CURVE_HEIGHT - 1: f"{fact['min']:.4g}"}
        for number, line in enumerate(lines):
            side = Text(f"{sides.get(number, ''):>{AXIS - 1}} │")
            blocks.append(side.append(line.rstrip(), "cyan"))
        first, last = f"step {fact['first_step']}", str(fact["last_step"])
        blocks.append(
            Text(
                " " * (AXIS + 1)
                + (first if last == str(fact["first_step"]) else f"{first}{last:>{width - len(first)}}")
            )
        )
    print_content(Group(*blocks))


def print_names(facts: Sequence[Mapping[str, Any]], stretches: Mapping[str, Sequence[Stretch]], width: int) -> None:
    """Print what each name comes to, with a small curve."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("key", overflow="fold")
    for name in ("values", "steps", "min", "max", "last"):
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("", no_wrap=True)
    for fact in facts:
        steps = f"{fact['first_step']}–{fact['last_step']}"
        numbers = [str(fact["logged"]), steps, _short(fact["min"]), _short(fact["max"]), _last(fact)]
        table.add_row(
            Text(visible(fact["key"])), *map(Text, numbers), Text(sparks(stretches[fact["key"]], width), "cyan")
        )
    print_content(Group(table))


def _counted(fact: Mapping[str, Any]) -> str:
    """Say how many values a name has, and which is the last."""
    values = f"{fact['logged']} value{'' if fact['logged'] == 1 else 's'}"
    undrawn = fact["logged"] - fact["drawn"]
    if undrawn and fact["drawn"]:
        values = f"{values}, of which {undrawn} cannot be drawn"
    return f"{values}, the last {_last(fact)}"


def _last(fact: Mapping[str, Any]) -> str:
    last = fact["last"]
    return _short(last["value"]) if last["text"] is None else visible(last["text"])


def _short(value: float | None) -> str:
    return MISSING if value is None else f"{value:.4g}"


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
