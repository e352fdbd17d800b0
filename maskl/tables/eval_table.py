"""Tables of evaluations: which columns are inputs, which are outputs, and which are scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, get_args

from maskl.adapters.objects import is_frame
from maskl.annotations.sink import sink
from maskl.tables._column_types import parse_names
from maskl.tables._log_modes import LogMode
from maskl.tables.inference import known, parse_cell
from maskl.tables.table import ColumnKey, Table
from maskl_storage.cells.cells import Rows
from maskl_storage.errors import ConversionWarning, InvalidType, InvalidValue, prefixed, warn, warn_unless_strict

__all__ = ["EvalTable"]

#: what a column may be
ROLES: Final = ("input", "output", "score")
MediaMode = Literal["stub", "raise"]
Backend = Literal["weave", "ces"]


class EvalTable(Table):
    """A table of an evaluation: what was put in, what came out, and how good that is.

    Parameters
    ----------
    columns, data, rows, dataframe, dtype, optional, allow_mixed_types, log_mode
        As for :class:`Table`. Without ``columns`` they are those of the three lists below, in this order.
    input_columns : sequence of str, optional
        The columns that tell what was evaluated: ``compare_rows`` in SQL matches the rows of two runs by them, unless
        the table has a primary key. Without any, rows are matched by their image, as those of every table.
    output_columns : sequence of str, optional
        The columns that hold what came out. So do all columns that are in no list.
    score_columns : sequence of str, optional
        The columns that say how good it is.
    backend : {'weave', 'ces'}, optional
        Where W&B would send it: a warning says that this means something to its server only.
    unsupported_media_mode : {'stub', 'raise'}, optional
        What becomes of a value that no cell can hold: ``stub`` keeps a text that names its type, with a warning;
        ``raise`` raises, as :class:`Table` does.

    Raises
    ------
    InvalidType, InvalidValue
        As for :class:`Table`; lists that hold no names; when it is logged, names of columns that the table has not.

    Notes
    -----
    ``store.table(name).roles`` has the roles; a column may have several.

    Examples
    --------
    >>> table = EvalTable(input_columns=["question"], output_columns=["answer"], score_columns=["right"])
    >>> table.add_data("6 × 7", "42", True)
    >>> table.columns, table.roles
    (['question', 'answer', 'right'], {'question': ('input',), 'answer': ('output',), 'right': ('score',)})
    """

    def __init__(
        self,
        columns: Sequence[ColumnKey] | None = None,
        data: Any = None,
        rows: Iterable[Sequence[Any]] | None = None,
        dataframe: Any = None,
        dtype: Any = None,
        optional: bool | list[bool] = True,
        allow_mixed_types: bool = False,
        log_mode: LogMode = "IMMUTABLE",
        *,
        input_columns: Sequence[str] | None = None,
        output_columns: Sequence[str] | None = None,
        score_columns: Sequence[str] | None = None,
        backend: Backend | None = None,
        unsupported_media_mode: MediaMode = "stub",
    ) -> None:
        if unsupported_media_mode not in get_args(MediaMode):
            modes = ", ".join(get_args(MediaMode))
            raise InvalidValue(f"unsupported_media_mode must be one of {modes}; got {unsupported_media_mode!r:.60}")
        if backend not in (None, *get_args(Backend)):
            raise InvalidValue(f"backend must be one of {', '.join(get_args(Backend))}; got {backend!r:.60}")
        if backend is not None:
            message = f"EvalTable(backend={backend!r}) only means something to W&B's server; the rows stay in the store"
            warn_unless_strict(message, strict=sink.strict)
        self._mode = unsupported_media_mode
        lists = zip(ROLES, (input_columns, output_columns, score_columns), strict=True)
        self._listed: Mapping[str, list[str]] = {
            role: [] if names is None else _names(role, names) for role, names in lists
        }
        named = list(dict.fromkeys(name for names in self._listed.values() for name in names))
        framed = dataframe is not None or is_frame(data) or is_frame(rows)
        super().__init__(
            named if columns is None and named and not framed else columns,
            data,
            rows,
            dataframe,
            dtype,
            optional,
            allow_mixed_types,
            log_mode,
        )

    @property
    def roles(self) -> dict[str, tuple[str, ...]]:
        """The roles of each column: ``output`` alone where it is in no list."""
        found = {name: tuple(role for role in ROLES if name in self._listed[role]) for name in self.columns}
        return {name: roles or ("output",) for name, roles in found.items()}

    def add_data(self, *data: Any) -> None:
        """Add a row, as :meth:`Table.add_data` does; see ``unsupported_media_mode``."""
        try:
            super().add_data(*data)
        except InvalidType:
            kept = [value if _fits(value) else f"[{type(value).__name__} is not stored]" for value in data]
            if self._mode == "raise" or all(new is old for new, old in zip(kept, data, strict=True)):
                raise
            super().add_data(*kept)
            stubs = ", ".join(dict.fromkeys(type(value).__name__ for value in data if not _fits(value)))
            warn(f"values of these types are kept as a text that says so: {stubs}", ConversionWarning)

    def rows_to_log(self, run: str, name: str, step: int, together: Mapping[int, str]) -> Rows | None:
        """Return what logging the table there would store, with the roles of its columns."""
        roles = self.roles
        for role, names in self._listed.items():
            missing = [column for column in names if column not in roles]
            if missing:
                raise InvalidValue(
                    f"table {name!r}: {role}_columns names {', '.join(map(repr, missing))}; the table has: "
                    f"{', '.join(map(repr, roles))}"
                )
        for column, found in roles.items():
            self.give_roles(column, found)
        return super().rows_to_log(run, name, step, together)


def _names(role: str, names: Any) -> list[str]:
    try:
        return parse_names(list(names) if isinstance(names, tuple) else names)
    except (InvalidType, InvalidValue) as error:
        raise prefixed(error, f"{role}_columns") from error


def _fits(value: Any) -> bool:
    """Whether a cell could hold a value."""
    try:
        parse_cell("", known("", value))
    except InvalidType:
        return False
    return True
