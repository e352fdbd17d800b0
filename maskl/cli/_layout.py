"""Tables laid out for people: as wide as they like, or folded to the terminal, or as records."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import Final, Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.segment import Segment, Segments
from rich.table import Table
from rich.text import Text

from maskl.interchange.terminal import bare
from maskl_storage.format.visible import visible

__all__ = ["MISSING", "print_content", "print_table", "terminal_width"]

MISSING: Final = "·"
#: where a terminal is narrow, names and texts are folded to no less than this
FOLDED: Final = 6
#: characters between columns
GAP: Final = 2
WIDE: Final = 1 << 20

#: the texts of a row; None is a missing value
Cells = Sequence[str | None]


def print_table(headers: Sequence[str], rows: Sequence[Cells], numbers: Sequence[bool]) -> None:
    """Print rows below their headers; ``numbers`` says which columns hold numbers, which are not folded."""
    print_content(_table(headers, rows, numbers, terminal_width()))


def terminal_width() -> int | None:
    """Return the terminal's width; None where standard output is none, and lines may have any length."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _console(width: int) -> Console:
    return Console(
        file=bare(sys.stdout), width=width, height=25, markup=False, emoji=False, highlight=False, force_jupyter=False
    )


def _natural(content: RenderableType) -> int:
    console = _console(WIDE)
    return Measurement.get(console, console.options, content).maximum


def print_content(content: RenderableType) -> None:
    """Print what rich lays out, as wide as the terminal, without spaces at the ends of lines.

    Rich colours it; what is in it was made visible where its width mattered, and is so here at the latest.
    """
    console = _console(terminal_width() or max(80, _natural(content)))
    shown = [Segment(visible(text, keep="\n"), style) for text, style, _ in console.render(content)]
    with console.capture() as captured:
        console.print(Segments(shown), end="")
    bare(sys.stdout).write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def _table(names: Sequence[str], rows: Sequence[Cells], right: Sequence[bool], width: int | None) -> RenderableType:
    """Lay out a table: as wide as it likes, or with names and texts folded, or as records."""
    table = _grid(names, right, None, rows)
    if width is None or _natural(table) <= width:
        return table
    contents = [max(cell_len(cell or "") for cell in column) for column in zip(*rows, strict=True)]
    # a number in two lines is misread, a text is not
    floors = [
        content if is_number else min(content, FOLDED) for content, is_number in zip(contents, right, strict=True)
    ]
    headers = [_fold(name, max(floor, FOLDED)) for name, floor in zip(names, floors, strict=True)]
    floors = [max(floor, *map(cell_len, name.split("\n"))) for floor, name in zip(floors, headers, strict=True)]
    spare = width - sum(floors) - GAP * len(floors)
    if spare < 0:
        return _records(names, rows)
    widths = _share_out(spare, floors, contents)
    return _grid(headers, right, widths, rows)


def _share_out(spare: int, floors: Sequence[int], contents: Sequence[int]) -> list[int]:
    """Widen columns by what is spare, those first that need least to be whole."""
    widths = list(floors)
    for index in sorted(range(len(widths)), key=lambda index: contents[index] - floors[index]):
        extra = max(0, min(spare, contents[index] - floors[index]))
        widths[index] += extra
        spare -= extra
    return widths


def _grid(headers: Sequence[str], right: Sequence[bool], widths: Sequence[int] | None, rows: Sequence[Cells]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for index, name in enumerate(headers):
        justify: Literal["left", "right"] = "right" if right[index] else "left"
        width = None if widths is None else widths[index]
        table.add_column(Text(name), justify=justify, overflow="fold", vertical="top", width=width)
    for row in rows:
        table.add_row(*map(_cell, row))
    return table


def _records(names: Sequence[str], rows: Sequence[Cells]) -> Group:
    """Lay out each row as lines of name and value, for tables wider than the terminal."""
    blocks: list[RenderableType] = []
    for number, row in enumerate(rows, 1):
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="bold", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, cell in zip(names, row, strict=True):
            grid.add_row(Text(name), _cell(cell))
        blocks += [Text(("\n" if number > 1 else "") + f"── row {number} of {len(rows)}", "dim"), grid]
    return Group(*blocks)


def _cell(text: str | None) -> Text:
    return Text(MISSING, "dim") if text is None else Text(text)


def _fold(name: str, width: int) -> str:
    """Break a column's name at underscores into lines of at most ``width``, where that is possible."""
    lines = [""]
    for word in name.replace("_", "_\0").split("\0"):
        if lines[-1].strip("_") and cell_len(lines[-1] + word) > width:
            lines.append("")
        lines[-1] += word
    return "\n".join(lines)
