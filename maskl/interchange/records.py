"""What a source is read as: blocks of rows, scalars, and what is said of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from maskl_storage.format.metadata import Column

__all__ = ["About", "Block", "Record", "Scalars"]


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Rows of one table at one step, as what a user would hand to :class:`maskl.Table`.

    Parameters
    ----------
    table : str
        The table's name; empty where the source does not say one.
    columns : sequence of str
        The user's column names.
    rows : sequence of list
        One value a column: Images and plain values, a bounded number of rows.
    step : int
    file : str
        Where the rows come from, for messages.
    numbers : sequence of int
        The number of each row in ``file``, from 0; by default their place in ``rows``.
    types : mapping of str to Column
        What is known of columns beside their values: their type where all are missing, classes of ids, keys.
    run : str
        What tells the runs of one source apart; empty where it holds one.
    time : int, optional
        When they were logged, in microseconds since 1970; by default now.
    """

    table: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    step: int = 0
    file: str = ""
    numbers: Sequence[int] = ()
    types: Mapping[str, Column] = field(default_factory=dict)
    run: str = ""
    time: int | None = None

    def number(self, index: int) -> int:
        """Return the number in the file of one of the rows."""
        return self.numbers[index] if self.numbers else index


@dataclass(frozen=True, slots=True)
class Scalars:
    """Numbers and strings of the history, logged together at one step."""

    values: Mapping[str, Any]
    step: int
    run: str = ""
    time: int | None = None


@dataclass(frozen=True, slots=True)
class About:
    """What a source says of a run; ``run_id`` is taken as the run's id where it is given.

    ``summary`` stands instead of what the history comes to; times are ISO 8601 in UTC.
    """

    run: str = ""
    run_id: str | None = None
    name: str | None = None
    project: str | None = None
    group: str | None = None
    job_type: str | None = None
    notes: str | None = None
    tags: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] | None = None
    state: str = "finished"
    started: str | None = None
    finished: str | None = None


Record = Block | Scalars | About
