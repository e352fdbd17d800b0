"""The read side: stores opened for questions and rows."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from maskl.image import Image
from maskl_storage.layout import RunInfo
from maskl_storage.reader import StoredImage
from maskl_storage.store import Store as RawStore

__all__ = ["Store", "StoredRun", "open", "sql"]


class StoredRun:
    """A run of a store, as it stands there."""

    def __init__(self, store: Store, info: RunInfo) -> None:
        self._store = store
        self.info = info

    @property
    def id(self) -> str:
        """The run's id."""
        return self.info.run_id

    @property
    def name(self) -> str:
        """The run's name."""
        return self.info.name

    @property
    def state(self) -> str:
        """``running``, ``finished`` or ``failed``."""
        return self.info.state

    @property
    def config(self) -> Mapping[str, Any]:
        """What the run was configured with."""
        return self.info.config

    @property
    def summary(self) -> Mapping[str, Any]:
        """The run's summary."""
        return self.info.summary

    def history(self) -> pa.Table:
        """Return the run's scalars in order: columns ``_step, _timestamp, key, value, text``."""
        query = "SELECT _step, _timestamp, key, value, text FROM history WHERE run_id = ? ORDER BY _row"
        return self._store.sql(query, [self.id]).to_arrow_table()

    def __repr__(self) -> str:
        return f"<StoredRun {self.id!r} {self.state}>"


class Store(RawStore):
    """A store opened for reading, with rows decoded to :class:`maskl.Image` and plain values."""

    def run(self, name: str) -> StoredRun:  # type: ignore[override]  # richer than what the format knows
        """Return the run with this id, name, or unique prefix of its id."""
        return StoredRun(self, super().run(name))

    def _decode(self, image: StoredImage) -> Image:
        digest = image.digest
        return Image.from_stored(image, lambda: self.image(str(digest)))


def open(  # noqa: A001  # maskl.open() is what users type
    dir: str | os.PathLike[str] | None = None,  # noqa: A002  # as above
    project: str | None = None,
    runs: Sequence[str] | None = None,
) -> Store:
    """Open a store for reading.

    Parameters
    ----------
    dir : path-like, optional
        The store, or the directory that holds ``maskl-store``; by default the store that this process
        logs to, else ``$MASKL_DIR``, else the one found upward from the working directory.
    project : str, optional
        See only the runs of this project.
    runs : sequence of str, optional
        See only these runs, by id, name or unique prefix of an id.

    Returns
    -------
    Store

    Raises
    ------
    StoreNotFound
        There is no store at that place.
    """
    return Store(dir, project, runs)


_opened: dict[str, Store] = {}


def sql(
    query: str,
    params: Sequence[Any] | Mapping[str, Any] | None = None,
    dir: str | os.PathLike[str] | None = None,  # noqa: A002  # as above
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
    store = _opened.setdefault(str(store.root), store)
    return store.sql(query, params)
