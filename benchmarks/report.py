"""What a benchmark returns, and how it is printed and kept in RESULTS.md."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Final

__all__ = ["Result", "at_least", "at_most", "environment", "info", "merge_sections", "render"]

LIBRARIES: Final = ("maskl", "numpy", "pyarrow", "duckdb", "pillow", "zstandard", "blake3")
HEADER: Final = ("what", "maskl", "peer", "ratio", "limit", "")
TITLE: Final = "# Results\n\nWritten by `make bench`; each section says when, where and how it was measured.\n"


@dataclass(frozen=True, slots=True)
class Result:
    """One line of a benchmark: a gate where ``limit`` is set, else information.

    ``ratio`` is what the limit is for; ``better`` says in which direction it may differ.
    """

    what: str
    maskl: str
    peer: str = ""
    ratio: float | None = None
    limit: float | None = None
    better: str = "more"

    @property
    def passed(self) -> bool | None:
        """Whether the gate holds; None where there is none."""
        if self.limit is None or self.ratio is None:
            return None
        return self.ratio >= self.limit if self.better == "more" else self.ratio <= self.limit

    def cells(self) -> tuple[str, ...]:
        """Return the line's cells as text."""
        sign = "≥" if self.better == "more" else "≤"
        ratio = "" if self.ratio is None else f"{self.ratio:.3g}"
        limit = "" if self.limit is None else f"{sign} {self.limit:g}"
        verdict = {None: "", True: "pass", False: "FAIL"}[self.passed]
        return self.what, self.maskl, self.peer, ratio, limit, verdict


def at_least(what: str, maskl: str, peer: str, ratio: float, limit: float) -> Result:
    """Return a gate on how many times as fast maskl is."""
    return Result(what, maskl, peer, ratio, limit, "more")


def at_most(what: str, maskl: str, peer: str, ratio: float, limit: float) -> Result:
    """Return a gate on what maskl takes as a share of what its peer takes."""
    return Result(what, maskl, peer, ratio, limit, "less")


def info(what: str, maskl: str, peer: str = "", ratio: float | None = None) -> Result:
    """Return a line that is for information only."""
    return Result(what, maskl, peer, ratio)


def render(results: Iterable[Result]) -> str:
    """Return the results as a Markdown table that is also aligned as plain text."""
    lines = [HEADER, *(result.cells() for result in results)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    text = [_line(line, widths) for line in lines]
    text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(text) + "\n"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"


def environment(command: str) -> str:
    """Return when, where and how, as a line of Markdown."""
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return (
        f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC, `{command}`. {_cpu()}, {os.cpu_count()} cores, "
        f"{_memory_gib():.0f} GiB; {platform.system()}, Python {platform.python_version()}, {versions}.\n"
    )


def _cpu() -> str:
    try:
        names = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)


def merge_sections(file: Path, sections: Mapping[str, str], order: Sequence[str]) -> None:
    """Replace these sections of the file and keep its others."""
    old = re.split(r"^## (.+)\n", file.read_text("utf-8"), flags=re.MULTILINE)[1:] if file.exists() else []
    bodies = dict(zip(old[::2], old[1::2], strict=True)) | dict(sections)
    text = TITLE + "".join(f"\n## {name}\n{bodies[name].rstrip()}\n" for name in order if name in bodies)
    file.write_text(text, "utf-8")
