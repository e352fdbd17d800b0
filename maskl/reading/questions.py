"""Questions to a store that stays open between them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from maskl.reading.store import Store
from maskl_storage.lazy import LazyModule

if TYPE_CHECKING:
    import duckdb
else:
    duckdb = LazyModule("duckdb")

__all__ = ["KEPT", "sql"]

#: the stores that sql() was asked for, by process: a forked child neither asks its parent's connections nor tears
#: them down, which would crash it
_opened: Final[dict[tuple[int, Path], Store]] = {}
#: how many of them are kept, those that were asked last: each has connections, which have threads
KEPT: Final = 8


def sql(
    query: str,
    params: Sequence[Any] | Mapping[str, Any] | None = None,
    dir: str | os.PathLike[str] | None = None,  # noqa: A002  # as for maskl.open()
    *,
    class_map: Mapping[str, str] | None = None,
    timeout: float | None = None,
    memory_limit: str | None = None,
) -> duckdb.DuckDBPyRelation:
    """Run one SELECT over a store, and return a DuckDB relation.

    Parameters
    ----------
    query : str
        One SELECT; see ``docs/sql.md`` for the views and macros.
    params : list or dict, optional
        Values for ``?``, ``$1`` or ``$name`` in the query.
    dir : path-like, optional
        The store; see :func:`open`.
    class_map, timeout, memory_limit : optional
        See :meth:`maskl.Store.sql`.

    Raises
    ------
    QueryError
        The SQL is wrong, or is not one SELECT over this store.
    StoreNotFound
        There is no store at that place.

    Examples
    --------
    >>> import tempfile, maskl
    >>> with maskl.init(name="one", dir=tempfile.mkdtemp()) as run:
    ...     run.log({"loss": 0.5})
    ...     maskl.sql("SELECT run_name, key, value FROM history").fetchall()
    [('one', 'loss', 0.5)]
    """
    store = Store(dir)
    key = (os.getpid(), store.root)
    store = _opened[key] = _opened.pop(key, store)
    mine = [other for other in list(_opened) if other[0] == key[0]]
    for other in mine[:-KEPT]:
        _opened.pop(other, None)
    return store.sql(query, params, class_map=class_map, timeout=timeout, memory_limit=memory_limit)
