"""What a table stores when it is logged again: nothing, everything in place of what was, or the new rows."""

from __future__ import annotations

from typing import Any, Literal, get_args

from maskl_storage.errors import InvalidValue, LogModeWarning, StateError, warn

__all__ = ["LogMode", "LogState"]

LogMode = Literal["IMMUTABLE", "MUTABLE", "INCREMENTAL"]


class LogState:
    """Where a table has been logged, and in which state.

    Parameters
    ----------
    mode : {'IMMUTABLE', 'MUTABLE', 'INCREMENTAL'}
        The table's log mode.
    """

    def __init__(self, mode: Any) -> None:
        if mode not in get_args(LogMode):
            raise InvalidValue(f"log_mode must be one of {', '.join(get_args(LogMode))}; got {mode!r:.60}")
        self.mode: LogMode = mode
        self._changes = 0
        self._logged: int | None = None
        #: for each run and name the step of the last log, and how many rows were logged by then
        self._places: dict[tuple[str, str], tuple[int, int]] = {}

    def change(self) -> None:
        """Note that the table is another one now."""
        self._changes += 1

    def check_columns_may_change(self, what: str) -> None:
        """Raise StateError where the table only grows by rows."""
        if self.mode == "INCREMENTAL":
            raise StateError(
                f"{what}() is not possible with log_mode='INCREMENTAL': rows that are stored stay as they are"
            )

    def first_row(self, rows: int, run: str, name: str, step: int) -> int | None:
        """Return the first row to store now; None where there is nothing to store."""
        last = self._places.get((run, name))
        if self.mode == "INCREMENTAL":
            other = next((place for place, _ in self._places if place != run), None)
            if other is not None:
                raise StateError(f"an INCREMENTAL table is logged to one run only; this one went to {other!r} already")
            return 0 if last is None else last[1] if last[1] < rows else None
        if self.mode == "IMMUTABLE" and self._logged is not None:
            if self._logged != self._changes:
                warn(
                    f"table {name!r} changed after it was logged, and its log_mode is IMMUTABLE: nothing is stored. "
                    f"Use log_mode='MUTABLE' to replace what was logged, 'INCREMENTAL' to add new rows",
                    LogModeWarning,
                )
                return None
            if last is not None and last[0] == step:
                return None
        return 0

    @property
    def changes(self) -> int:
        """How often the table was changed."""
        return self._changes

    def logged(self, rows: int, changes: int, run: str, name: str, step: int) -> None:
        """Note that the table is stored, with so many rows and as it was after so many changes."""
        self._logged = changes
        self._places[run, name] = (step, rows)

    def name_in(self, run: str) -> str | None:
        """Return the name that the table was last logged under in a run."""
        return next((name for place, name in reversed(self._places) if place == run), None)
