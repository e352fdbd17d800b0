"""What is said of a run at its two ends, on stderr."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from maskl.runs._terminal import say
from maskl.runs.run import Run
from maskl_storage.catalog.layout import find_store
from maskl_storage.errors import StoreNotFound

__all__ = ["say_end", "say_start"]


def say_start(run: Run) -> None:
    """Say where the store is."""
    if run.settings.silent or run.settings.quiet:
        return
    again = f", from step {run.starting_step}" if run.resumed else ""
    ignored = os.environ.get("WANDB_MODE") == "disabled" and not os.environ.get("MASKL_MODE")
    hint = " (WANDB_MODE is not read; MASKL_MODE is)" if ignored else ""
    say(f"run {run.id!r} logs to {run.dir}{again}{hint}")


def say_end(run: Run, exit_code: int | None, quiet: bool) -> None:
    """Say what a run holds, and which command asks for it."""
    layout = run._writer.layout
    if layout is None or run.settings.silent or quiet:
        return
    rows: dict[str, int] = {}
    listing = layout.listing()
    for sealed in listing.of("rows", run_id=run.id):
        rows[str(sealed.table)] = rows.get(str(sealed.table), 0) + sealed.part.rows
    count = sum(sealed.part.rows for sealed in listing.of("history", run_id=run.id))
    held = [_count(len(rows), "table"), _count(sum(rows.values()), "row"), _count(count, "scalar")]
    state = "failed" if exit_code else "finished"
    what = f"run {run.id!r} {state} with {', '.join(held)}"
    table = f"tables.{_quoted(next(iter(rows)))}" if rows else "history" if count else "runs"
    say(f"{what}; see: maskl sql{_where(layout.root)} {shlex.quote(f'FROM {table}')}")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else '"' + name.replace('"', '""') + '"'


def _where(root: Path) -> str:
    try:
        found = find_store(None) == root
    except StoreNotFound:
        found = False
    return "" if found else f" --dir {shlex.quote(str(root))}"
